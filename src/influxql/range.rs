//! The range in time that a condition means, and what is left of the condition.
//!
//! As `ConditionExpr` of influxql has it: every comparison with `time` bounds the whole, in an OR too; what is left stands for
//! fields and tags. Times without a zone are read in that of the statement, else in UTC. Used by `plan` and `merge`.

use super::ast::{BinaryOp, Expr};
use super::civil::days_from_civil;
use super::zone::Zone;

/// The first time of InfluxDB, in nanoseconds since 1970.
pub const TIME_MIN: i64 = i64::MIN + 2;
/// The last.
pub const TIME_MAX: i64 = i64::MAX - 1;

/// Both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    pub start: i64,
    pub end: i64,
}

impl Default for TimeRange {
    fn default() -> TimeRange {
        TimeRange { start: TIME_MIN, end: TIME_MAX }
    }
}

impl TimeRange {
    fn intersect(self, other: TimeRange) -> TimeRange {
        TimeRange { start: self.start.max(other.start), end: self.end.min(other.end) }
    }

    pub fn contains(self, time: i64) -> bool {
        (self.start..=self.end).contains(&time)
    }
}

/// Takes the comparisons with `time` out of a condition. `now()` is already a literal.
///
/// # Errors
/// A time that cannot be read here.
pub fn split_time(condition: &Expr, zone: Option<Zone>) -> Result<(Option<Expr>, TimeRange), String> {
    match condition {
        Expr::And(terms) | Expr::Or(terms) => {
            let (mut left, mut range) = (Vec::new(), TimeRange::default());
            for term in terms {
                let (rest, own) = split_time(term, zone)?;
                range = range.intersect(own);
                left.extend(rest);
            }
            let rest = match (left.len(), condition) {
                (0, _) => None,
                (1, _) => left.pop(),
                (_, Expr::And(_)) => Some(Expr::And(left)),
                _ => Some(Expr::Or(left)),
            };
            Ok((rest, range))
        }
        Expr::Paren(inner) => {
            let (rest, range) = split_time(inner, zone)?;
            Ok((rest.map(|rest| Expr::Paren(Box::new(rest))), range))
        }
        Expr::Binary { op, lhs, rhs } if is_time(lhs) => Ok((None, bound(*op, rhs, zone)?)),
        Expr::Binary { op, lhs, rhs } if is_time(rhs) => Ok((None, bound(turned(*op), lhs, zone)?)),
        other => Ok((Some(other.clone()), TimeRange::default())),
    }
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::VarRef(var) if var.name.eq_ignore_ascii_case("time"))
}

fn turned(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessEqual => BinaryOp::GreaterEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterEqual => BinaryOp::LessEqual,
        other => other,
    }
}

fn bound(op: BinaryOp, value: &Expr, zone: Option<Zone>) -> Result<TimeRange, String> {
    let all = TimeRange::default();
    let unreadable = || format!("the time {value} cannot be read here; write it as nanoseconds");
    let time = match evaluate(value, zone).ok_or_else(unreadable)? {
        Moment::Time(time) | Moment::Length(time) => time,
    };
    let start = |time: i64| TimeRange { start: time.max(TIME_MIN), ..all };
    let end = |time: i64| TimeRange { end: time.min(TIME_MAX), ..all };
    match op {
        BinaryOp::Equal => Ok(start(time).intersect(end(time))),
        BinaryOp::Less => Ok(end(time.checked_sub(1).ok_or_else(unreadable)?)),
        BinaryOp::LessEqual => Ok(end(time)),
        BinaryOp::Greater => Ok(start(time.checked_add(1).ok_or_else(unreadable)?)),
        BinaryOp::GreaterEqual => Ok(start(time)),
        other => Err(format!("invalid time comparison operator: {}", other.symbol())),
    }
}

/// Nanoseconds since 1970, or nanoseconds alone.
#[derive(Clone, Copy)]
enum Moment {
    Time(i64),
    Length(i64),
}

fn evaluate(expr: &Expr, zone: Option<Zone>) -> Option<Moment> {
    match expr {
        Expr::Paren(inner) => evaluate(inner, zone),
        Expr::Integer(ns) => Some(Moment::Length(*ns)),
        Expr::Duration(ns) => Some(Moment::Length(*ns)),
        Expr::String(text) => parse_time(text, zone).map(Moment::Time),
        Expr::Binary { op, lhs, rhs } => match (op, evaluate(lhs, zone)?, evaluate(rhs, zone)?) {
            (BinaryOp::Add, Moment::Time(a), Moment::Length(b))
            | (BinaryOp::Add, Moment::Length(a), Moment::Time(b)) => a.checked_add(b).map(Moment::Time),
            (BinaryOp::Add, Moment::Length(a), Moment::Length(b)) => a.checked_add(b).map(Moment::Length),
            (BinaryOp::Sub, Moment::Time(a), Moment::Length(b)) => a.checked_sub(b).map(Moment::Time),
            (BinaryOp::Sub, Moment::Length(a), Moment::Length(b)) => a.checked_sub(b).map(Moment::Length),
            _ => None,
        },
        _ => None,
    }
}

/// A date, a date and time with a space or as RFC 3339, up to nine digits of a second.
pub fn parse_time(text: &str, zone: Option<Zone>) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.split('-').map(|part| number(part, if part.len() == 4 { 4 } else { 2 }));
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month as u32, day as u32);
    let ns =
        |seconds: i64, fraction: i64| i64::try_from(i128::from(seconds) * 1_000_000_000 + i128::from(fraction)).ok();
    let local = |ns: i64| zone.map_or(ns, |zone| zone.moment(ns));
    if rest.is_empty() {
        return ns(days * 86_400, 0).map(local);
    }
    let (clock, offset) = match rest.split_at(1) {
        (" ", clock) => (clock, None),
        ("T", clock) => offset_of(clock).map(|(clock, offset)| (clock, Some(offset)))?,
        _ => return None,
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<9}").parse().ok()?;
    let mut parts = clock.split(':').map(|part| number(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    match offset {
        Some(offset) => ns(seconds - offset, fraction),
        None => ns(seconds, fraction).map(local),
    }
}

/// The clock without its zone, and the zone's seconds east.
fn offset_of(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let at = clock.len().checked_sub(6)?;
    let (clock, zone) = clock.split_at_checked(at)?;
    let sign = match zone.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    Some((clock, sign * (number(hours, 2)? * 3_600 + number(minutes, 2)? * 60)))
}

fn number(digits: &str, length: usize) -> Option<i64> {
    let whole = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| digits.parse().ok())?
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::civil::rfc3339_nano;
    use crate::influxql::{Params, Statement, parse_query};

    fn split(condition: &str) -> (String, i64, i64) {
        let query = parse_query(&format!("SELECT v FROM m WHERE {condition}"), &Params::new());
        let query = query.unwrap_or_else(|error| panic!("{condition}: {error}"));
        let Statement::Select(select) = &query.statements[0] else { panic!("a SELECT") };
        let condition = select.condition.as_ref().expect("there is one");
        let (rest, range) = split_time(condition, None).unwrap_or_else(|error| panic!("{condition}: {error}"));
        (rest.map_or_else(String::new, |rest| rest.to_string()), range.start, range.end)
    }

    #[test]
    fn bounds_leave_the_condition() {
        for (condition, rest, start, end) in [
            ("time > 5 AND time <= 7 AND v > 3", "v > 3", 6, 7),
            ("(time >= 5) AND (a = 'x' OR b = 'y')", "(a = 'x' OR b = 'y')", 5, TIME_MAX),
            ("time > 5 OR v > 3 OR 9 > time", "v > 3", 6, 8),
            ("time = '1970-01-01T00:00:00.000000009Z'", "", 9, 9),
            ("time < '1970-01-02' - 1h", "", TIME_MIN, 23 * 3_600_000_000_000 - 1),
            ("time >= '1970-01-01 00:00:01.5' + 1s", "", 2_500_000_000, TIME_MAX),
            ("time >= '1970-01-01T01:00:00+01:00'", "", 0, TIME_MAX),
            ("a = 'x'", "a = 'x'", TIME_MIN, TIME_MAX),
        ] {
            assert_eq!(split(condition), (rest.to_owned(), start, end), "{condition}");
        }
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        for ns in [0, -1, 951_782_400_000_000_000, 1_600_000_000_123_456_789, i64::MIN + 2, i64::MAX - 1] {
            assert_eq!(parse_time(&rfc3339_nano(ns), None), Some(ns), "{}", rfc3339_nano(ns));
        }
        for bad in [
            "",
            "yesterday",
            "2020-13-01",
            "2020-02-30",
            "2020-1-1",
            "2020-01-01T00:00",
            "2020-01-01 24:00:00",
            "é2020-01-01",
        ] {
            assert_eq!(parse_time(bad, None), None, "{bad}");
        }
    }

    #[test]
    fn times_without_a_zone_are_the_statements() {
        let berlin = Zone::named("Europe/Berlin");
        for (text, utc) in [
            ("2021-03-28", "2021-03-27T23:00:00Z"),
            ("2021-03-28 03:00:00", "2021-03-28T01:00:00Z"),
            ("2021-03-28T03:00:00Z", "2021-03-28T03:00:00Z"),
            ("2021-12-24T03:00:00-08:00", "2021-12-24T11:00:00Z"),
        ] {
            assert_eq!(parse_time(text, berlin), parse_time(utc, None), "{text}");
        }
    }
}
