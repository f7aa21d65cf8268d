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
    /// One that runs over stays as it is, for others to see.
    fn intersect(self, other: TimeRange) -> TimeRange {
        if self.runs_over() || other.runs_over() {
            return if self.runs_over() { self } else { other };
        }
        TimeRange { start: self.start.max(other.start), end: self.end.min(other.end) }
    }

    /// Whether an end lies beyond InfluxDB's own times: what it finds then hangs on how it has stored it.
    pub fn runs_over(self) -> bool {
        self.start < TIME_MIN - 1 || self.end > TIME_MAX
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

pub(super) fn is_time(expr: &Expr) -> bool {
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
    let time = evaluate(value, zone).and_then(Literal::moment).ok_or_else(unreadable)?;
    let start = |start: i64| TimeRange { start, ..all };
    let end = |end: i64| TimeRange { end, ..all };
    match op {
        BinaryOp::Equal => Ok(TimeRange { start: time, end: time }),
        // InfluxDB lets it run over too.
        BinaryOp::Less => Ok(end(time.wrapping_sub(1))),
        BinaryOp::LessEqual => Ok(end(time)),
        BinaryOp::Greater => Ok(start(time.wrapping_add(1))),
        BinaryOp::GreaterEqual => Ok(start(time)),
        other => Err(format!("invalid time comparison operator: {}", other.symbol())),
    }
}

/// What an expression of literals comes to.
enum Literal {
    /// Nanoseconds since 1970, which may lie beyond InfluxDB's times as long as more is added.
    Time(i128),
    Length(i64),
    Integer(i64),
    Float(f64),
}

impl Literal {
    /// The time that it means beside `time`.
    fn moment(self) -> Option<i64> {
        match self {
            Literal::Time(time) => i64::try_from(time).ok().filter(|time| (TIME_MIN..=TIME_MAX).contains(time)),
            Literal::Length(ns) | Literal::Integer(ns) => Some(ns),
            // What is too large Go turns into another number on every kind of machine.
            Literal::Float(value) => {
                let whole = value.trunc();
                (whole >= i64::MIN as f64 && whole < i64::MAX as f64).then_some(whole as i64)
            }
        }
    }
}

/// As `Reduce` of influxql has it; `None`: InfluxDB cannot reduce it either, or it comes to no time.
fn evaluate(expr: &Expr, zone: Option<Zone>) -> Option<Literal> {
    match expr {
        Expr::Paren(inner) => evaluate(inner, zone),
        Expr::Integer(value) => Some(Literal::Integer(*value)),
        Expr::Float(value) => Some(Literal::Float(*value)),
        Expr::Duration(ns) => Some(Literal::Length(*ns)),
        Expr::String(text) => parse_time(text, zone).map(|time| Literal::Time(time.into())),
        Expr::Binary { op, lhs, rhs } => calculate(*op, evaluate(lhs, zone)?, evaluate(rhs, zone)?),
        _ => None,
    }
}

fn calculate(op: BinaryOp, lhs: Literal, rhs: Literal) -> Option<Literal> {
    use BinaryOp::{Add, BitAnd, BitOr, BitXor, Div, Mod, Mul, Sub};
    use Literal::{Float, Integer, Length, Time};
    Some(match (op, lhs, rhs) {
        (Add, Time(time), Length(ns) | Integer(ns)) | (Add, Length(ns) | Integer(ns), Time(time)) => {
            Time(time + i128::from(ns))
        }
        (Sub, Time(time), Length(ns) | Integer(ns)) => Time(time - i128::from(ns)),
        (Sub, Time(one), Time(other)) => {
            Length((one - other).clamp(i64::MIN.into(), i64::MAX.into()).try_into().unwrap_or_default())
        }
        (Add, Length(a), Length(b)) => Length(a.wrapping_add(b)),
        (Sub, Length(a), Length(b)) => Length(a.wrapping_sub(b)),
        // An integer beside a duration is a time itself.
        (Add, Integer(time), Length(ns)) => Time(i128::from(time) + i128::from(ns)),
        (Sub, Integer(time), Length(ns)) => Time(i128::from(time) - i128::from(ns)),
        (Mul, Length(ns), Integer(by)) => Length(ns.wrapping_mul(by)),
        (Mul, Length(ns), Float(by)) => Length(ns.wrapping_mul(by as i64)),
        (Div, Length(ns), Integer(by)) => Length(if by == 0 { 0 } else { ns.wrapping_div(by) }),
        (Div, Length(_), Float(0.0)) => Length(0),
        (Div, Length(ns), Float(by)) if by.trunc() != 0.0 => Length(ns.wrapping_div(by as i64)),
        (Add, Integer(a), Integer(b)) => Integer(a.wrapping_add(b)),
        (Sub, Integer(a), Integer(b)) => Integer(a.wrapping_sub(b)),
        (Mul, Integer(a), Integer(b)) => Integer(a.wrapping_mul(b)),
        (Div, Integer(a), Integer(b)) => Float(if b == 0 { 0.0 } else { a as f64 / b as f64 }),
        (Mod, Integer(a), Integer(b)) => Integer(if b == 0 { 0 } else { a.wrapping_rem(b) }),
        (BitAnd, Integer(a), Integer(b)) => Integer(a & b),
        (BitOr, Integer(a), Integer(b)) => Integer(a | b),
        (BitXor, Integer(a), Integer(b)) => Integer(a ^ b),
        (_, Integer(a), Float(b)) => of_floats(op, a as f64, b)?,
        (_, Float(a), Integer(b)) => of_floats(op, a, b as f64)?,
        (_, Float(a), Float(b)) => of_floats(op, a, b)?,
        _ => return None,
    })
}

fn of_floats(op: BinaryOp, a: f64, b: f64) -> Option<Literal> {
    Some(Literal::Float(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div if b == 0.0 => 0.0,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        _ => return None,
    }))
}

/// The literal that an expression of literals comes to, unless that is a time or has no text.
pub(super) fn worked_out(expr: &Expr) -> Option<Expr> {
    match evaluate(expr, None)? {
        Literal::Integer(value) => Some(Expr::Integer(value)),
        Literal::Float(value) => value.is_finite().then_some(Expr::Float(value)),
        Literal::Length(ns) => (ns != i64::MIN).then_some(Expr::Duration(ns)),
        Literal::Time(_) => None,
    }
}

/// The length that an expression of literals comes to.
pub fn length_of(expr: &Expr) -> Option<i64> {
    match evaluate(expr, None)? {
        Literal::Length(ns) => Some(ns),
        _ => None,
    }
}

/// A date, a date and time with a space or as RFC 3339, up to nine digits of a second.
pub fn parse_time(text: &str, zone: Option<Zone>) -> Option<i64> {
    let (ns, has_zone) = written_time(text)?;
    let ns = i64::try_from(ns).ok()?;
    Some(zone.filter(|_| !has_zone).map_or(ns, |zone| zone.moment(ns)))
}

/// The same in UTC, or the next to it that there is: the first and the last storage shard reach beyond all times.
pub fn nearest_time(text: &str) -> Option<i64> {
    let (ns, _) = written_time(text)?;
    Some(i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX }))
}

/// What a text says, and whether it says in which zone; else it is as if in UTC.
fn written_time(text: &str) -> Option<(i128, bool)> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.split('-').map(|part| number(part, if part.len() == 4 { 4 } else { 2 }));
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month as u32, day as u32);
    let ns = |seconds: i64, fraction: i64| i128::from(seconds) * 1_000_000_000 + i128::from(fraction);
    if rest.is_empty() {
        return Some((ns(days * 86_400, 0), false));
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
    Some((ns(seconds - offset.unwrap_or_default(), fraction), offset.is_some()))
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
            ("time > 5 * 2 AND time < 7s / 2", "", 11, 3_499_999_999),
            ("time > 1.5 AND time < 10 / 4", "", 2, 1),
            ("time > 5 - 1h", "", 6 - 3_600_000_000_000, TIME_MAX),
            ("time <= '1970-01-02' - '1970-01-01'", "", TIME_MIN, 86_400_000_000_000),
            ("time >= 9223372036854775807 + 1", "", i64::MIN, TIME_MAX),
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
        for (text, nearest) in [
            ("1677-09-15T00:00:00Z", i64::MIN),
            ("2262-04-14T00:00:00Z", i64::MAX),
            ("1970-01-01T00:00:01Z", 1_000_000_000),
        ] {
            assert_eq!(nearest_time(text), Some(nearest), "{text}");
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
