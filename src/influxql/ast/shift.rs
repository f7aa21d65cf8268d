//! How far away from its own time a SELECT looks: what TIMESHIFT says, and slotline's aliases, which are read from the same
//! units.

use std::fmt;

/// A length of time with its parts by the calendar; what lies before is negative, in each part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Shift {
    pub months: i64,
    pub days: i64,
    pub ns: i64,
}

/// What a unit is called, and what one of it is.
type Unit = (&'static [&'static str], Shift);

/// Longest first.
const UNITS: &[Unit] = &[
    (&["y", "year", "years"], months(12)),
    (&["Q", "quarter", "quarters"], months(3)),
    (&["M", "month", "months"], months(1)),
    (&["w", "week", "weeks"], days(7)),
    (&["d", "day", "days"], days(1)),
    (&["h", "hour", "hours"], ns(3_600_000_000_000)),
    (&["m", "minute", "minutes"], ns(60_000_000_000)),
    (&["s", "second", "seconds"], ns(1_000_000_000)),
    (&["ms", "millisecond", "milliseconds"], ns(1_000_000)),
    (&["u", "µ"], ns(1_000)),
    (&["ns"], ns(1)),
];

const fn months(months: i64) -> Shift {
    Shift { months, days: 0, ns: 0 }
}

const fn days(days: i64) -> Shift {
    Shift { months: 0, days, ns: 0 }
}

const fn ns(ns: i64) -> Shift {
    Shift { months: 0, days: 0, ns }
}

impl Shift {
    /// So many of a unit, into the future; `None`: there is no such unit, or they are too many.
    pub fn of(count: &str, unit: &str) -> Option<Shift> {
        let (_, one) = UNITS.iter().find(|(names, _)| names.contains(&unit))?;
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let count: i64 = count.parse().ok()?;
        let times = |part: i64| part.checked_mul(count);
        Some(Shift { months: times(one.months)?, days: times(one.days)?, ns: times(one.ns)? })
    }

    /// Reads numbers with their units, `1w` or `1d12h`, and a minus before them.
    pub fn parse(text: &str) -> Option<Shift> {
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut whole = Shift::default();
        while !rest.is_empty() {
            let unit = rest.find(|c: char| !c.is_ascii_digit())?;
            let (count, after) = rest.split_at(unit);
            let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
            whole = whole.plus(Shift::of(count, unit)?)?;
            rest = after;
        }
        match text.is_empty() || text == "-" {
            true => None,
            false if negative => Some(whole.reversed()),
            false => Some(whole),
        }
    }

    /// One behind the other; `None`: too far.
    pub fn plus(self, other: Shift) -> Option<Shift> {
        Some(Shift {
            months: self.months.checked_add(other.months)?,
            days: self.days.checked_add(other.days)?,
            ns: self.ns.checked_add(other.ns)?,
        })
    }

    /// The other way.
    pub fn reversed(self) -> Shift {
        Shift { months: self.months.saturating_neg(), days: self.days.saturating_neg(), ns: self.ns.saturating_neg() }
    }

    pub fn is_none(self) -> bool {
        self == Shift::default()
    }
}

/// What [`Shift::parse`] reads back, if the parts look the same way: each in the largest unit that divides it.
impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("0s");
        }
        if self.months < 0 || self.days < 0 || self.ns < 0 {
            f.write_str("-")?;
        }
        for (count, part) in [
            (self.months, (|one| one.months) as fn(&Shift) -> i64),
            (self.days, |one| one.days),
            (self.ns, |one| one.ns),
        ] {
            let divides = |unit: &&Unit| part(&unit.1) > 0 && count % part(&unit.1) == 0;
            if let Some((names, one)) = UNITS.iter().find(divides).filter(|_| count != 0) {
                write!(f, "{}{}", (count / part(one)).unsigned_abs(), names[0])?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_are_read_and_printed() {
        for (text, shift, printed) in [
            ("1w", days(7), "1w"),
            ("-1w", days(-7), "-1w"),
            ("-10d", days(-10), "-10d"),
            ("2Q", months(6), "2Q"),
            ("18M", months(18), "6Q"),
            ("1years", months(12), "1y"),
            ("24h", ns(86_400_000_000_000), "24h"),
            ("90s", ns(90_000_000_000), "90s"),
            ("-1y1d1ms", Shift { months: -12, days: -1, ns: -1_000_000 }, "-1y1d1ms"),
            ("0m", Shift::default(), "0s"),
            ("-7ns", ns(-7), "-7ns"),
        ] {
            assert_eq!(Shift::parse(text), Some(shift), "{text}");
            assert_eq!(shift.to_string(), printed);
            assert_eq!(Shift::parse(printed), Some(shift), "{printed}");
        }
        for bad in ["", "-", "1", "w", "1x", "1W", "1.5h", "--1w", "1w2", "9999999999999999999s", "+1w"] {
            assert_eq!(Shift::parse(bad), None, "{bad}");
        }
    }
}
