//! A SELECT over another time: its bounds, its windows, and the way back of its answer's times.

use crate::influxql::ast::{BinaryOp, Call, Source, VarRef};
use crate::influxql::inspect::since_truncated;
use crate::influxql::range::{TIME_MAX, TIME_MIN, TimeRange, parse_time, split_time};
use crate::influxql::zone::Zone;
use crate::influxql::{Expr, Select};
use crate::merge::evaluate::expr::math;
use crate::merge::evaluate::functions::{Function, function};
use crate::merge::results::{StatementResult, Value};

use super::ask;

/// What an answer's times have to go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Moved {
    /// How far away was looked; times go back by it.
    pub by: i64,
    /// An aggregate over all times is told at 0, which is no time to be moved.
    pub zero_stays: bool,
}

impl Moved {
    pub fn back(self, time: i64) -> i64 {
        match time {
            0 if self.zero_stays => 0,
            time => time.saturating_sub(self.by),
        }
    }

    pub fn apply(self, result: &mut StatementResult) {
        if self.by == 0 {
            return;
        }
        for cell in result.series.iter_mut().flat_map(|series| &mut series.values).flatten() {
            if let Value::Time(time) = cell {
                *time = self.back(*time);
            }
        }
    }
}

/// The zone of `tz()`.
pub fn zone(select: &Select) -> Result<Option<Zone>, String> {
    let Some(name) = &select.timezone else { return Ok(None) };
    let unknown = || format!("a timeshift with tz('{name}'), a zone not known here, is not supported");
    Zone::named(name).map(Some).ok_or_else(unknown)
}

/// The range in time that a SELECT has by its own WHERE.
pub fn range(select: &Select) -> Result<TimeRange, String> {
    match &select.condition {
        Some(condition) => Ok(split_time(condition, zone(select)?)?.1),
        None => Ok(TimeRange::default()),
    }
}

/// `GROUP BY time()`: the call, and its interval.
pub fn windows(select: &Select) -> Option<(&Call, i64)> {
    select.group_by.iter().find_map(|expr| match expr {
        Expr::Call(call) if call.name == "time" => match call.args.first() {
            Some(Expr::Duration(interval)) if *interval > 0 => Some((call, *interval)),
            _ => None,
        },
        _ => None,
    })
}

/// The same SELECT over a time that lies `by` away, without `tz()`: what remains of that is in the windows. Nowhere in it do
/// clocks change over windows.
///
/// # Errors
/// A time that cannot be read here.
pub fn moved(select: &Select, by: i64) -> Result<Select, String> {
    let mut moved = select.clone();
    for source in &mut moved.sources {
        if let Source::Subquery(inner) = source {
            **inner = self::moved(inner, by)?;
        }
    }
    let (zone, range) = (zone(select)?, range(select)?);
    if let Some(condition) = &select.condition {
        moved.condition = bounded(condition, zone, range, by)?;
    }
    let within = if range.start == TIME_MIN { range.end } else { range.start };
    let ahead = zone.map_or(0, |zone| zone.offset(within));
    for expr in &mut moved.group_by {
        let text = expr.to_string();
        if let Expr::Call(call) = expr
            && call.name == "time"
            && let Some(Expr::Duration(interval)) = call.args.first().cloned()
            && interval > 0
        {
            let offset = offset(call, interval, zone)
                .ok_or_else(|| format!("a timeshift cannot read GROUP BY {text}; write the offset as a duration"))?;
            let offset = i128::from(offset) - i128::from(ahead) + i128::from(by);
            call.args.truncate(1);
            match offset.rem_euclid(i128::from(interval)) as i64 {
                0 => {}
                offset => call.args.push(Expr::Duration(offset)),
            }
        }
    }
    Ok(Select { timezone: None, timeshift: Vec::new(), ..moved })
}

fn offset(call: &Call, interval: i64, zone: Option<Zone>) -> Option<i64> {
    match call.args.get(1) {
        None => Some(0),
        Some(Expr::Duration(offset)) => Some(*offset),
        Some(Expr::String(text)) => parse_time(text, zone).map(|time| since_truncated(time, interval)),
        Some(_) => None,
    }
}

/// A condition of the same fields and tags, and the range `by` away.
pub fn bounded(condition: &Expr, zone: Option<Zone>, range: TimeRange, by: i64) -> Result<Option<Expr>, String> {
    let (rest, _) = split_time(condition, zone)?;
    let mut terms = Vec::new();
    match rest {
        Some(Expr::And(own)) => terms.extend(own),
        Some(rest @ Expr::Or(_)) => terms.push(Expr::Paren(Box::new(rest))),
        other => terms.extend(other),
    }
    let bound = |op, time: i64| {
        let name = Expr::VarRef(VarRef { name: "time".to_owned(), cast: None });
        let time = time.saturating_add(by).clamp(TIME_MIN, TIME_MAX);
        Expr::Binary { op, lhs: Box::new(name), rhs: Box::new(Expr::Integer(time)) }
    };
    if range.start != TIME_MIN {
        terms.push(bound(BinaryOp::GreaterEqual, range.start));
    }
    if range.end != TIME_MAX {
        terms.push(bound(BinaryOp::LessEqual, range.end));
    }
    Ok(if terms.len() > 1 { Some(Expr::And(terms)) } else { terms.pop() })
}

/// The calls of an expression that are not inside others.
pub fn calls<'a>(expr: &'a Expr, found: &mut Vec<&'a Call>) {
    match expr {
        // Math of rows.
        Expr::Call(call) if math(&call.name).is_some() => {
            call.args.iter().for_each(|arg| calls(arg, found));
        }
        Expr::Call(call) if !found.contains(&call) => found.push(call),
        Expr::Binary { lhs, rhs, .. } => {
            calls(lhs, found);
            calls(rhs, found);
        }
        Expr::Paren(inner) => calls(inner, found),
        _ => {}
    }
}

/// The calls of a SELECT's fields, each once.
pub fn calls_of(select: &Select) -> Vec<&Call> {
    let mut found = Vec::new();
    ask::fields(select).for_each(|field| calls(&field.expr, &mut found));
    found
}

/// Whether what it makes has the points' own times without GROUP BY time, and is one row.
pub fn is_lone_selector(select: &Select) -> bool {
    matches!(calls_of(select).as_slice(), [call] if function(&call.name).is_some_and(Function::takes_one))
}

/// Functions that tell of points at their times.
const OF_POINTS: [&str; 12] = [
    "derivative",
    "non_negative_derivative",
    "difference",
    "non_negative_difference",
    "moving_average",
    "cumulative_sum",
    "elapsed",
    "top",
    "bottom",
    "sample",
    "exponential_moving_average",
    "kaufmans_adaptive_moving_average",
];

/// Whether rows of a SELECT without windows are told at 0: where its range has no start, and integral() anyhow.
pub fn is_told_at_zero(select: &Select, range: TimeRange) -> bool {
    let calls = calls_of(select);
    if calls.is_empty() || windows(select).is_some() {
        return false;
    }
    let own = |call: &&Call| OF_POINTS.contains(&call.name.as_str());
    let unbounded = range.start == TIME_MIN && !is_lone_selector(select) && !calls.iter().all(own);
    unbounded || calls.iter().any(|call| call.name == "integral")
}
