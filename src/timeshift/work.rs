//! A shifted SELECT, divided into what can be asked and what is made of that.

use crate::influxql::ast::{Fill, Shift, SortOrder, Source};
use crate::influxql::range::{TIME_MAX, TIME_MIN, TimeRange};
use crate::influxql::reduced::reduce_dimensions;
use crate::influxql::{Expr, Select, Statement};
use crate::plan::sources::bound_by_now;

use super::ask;
use super::calendar::distance;
use super::join::Join;
use super::moved::{Moved, bounded, calls_of, is_told_at_zero, moved, range, windows, zone};
use super::outer::Outer;
use super::read::{inside, without_clauses};
use super::rows::ByRows;

/// How a SELECT, or a part of one, is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// One SELECT, whose answer's times go back.
    Part(Box<Part>),
    /// Made here of rows.
    Rows(Box<ByRows>),
    /// Fields of several shifts, joined.
    Join(Box<Join>, Vec<Work>),
    /// Whole SELECTs, told apart by the tag `timeshift`.
    Beside(Vec<(String, Work)>),
    /// A SELECT over what its subqueries answer.
    Outer(Box<Outer>, Vec<Work>),
}

/// A SELECT that InfluxDB knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub select: Select,
    pub moved: Moved,
}

/// Divides a SELECT that is shifted by `base` and by what stands in it.
///
/// # Errors
/// Why it is refused.
pub fn work(select: &Select, base: Shift, now_ns: i64) -> Result<Work, String> {
    let mut statement = Statement::Select(Box::new(select.clone()));
    statement.replace_now(now_ns);
    let Statement::Select(mut select) = statement else { return Err("only a SELECT is shifted".to_owned()) };
    reduce_dimensions(&mut select);
    bound_by_now(&mut select, now_ns);
    divide(&select, base, now_ns)
}

fn divide(select: &Select, base: Shift, now_ns: i64) -> Result<Work, String> {
    if let Some(shift) = alike(select, base)? {
        return shifted_alike(select, shift, now_ns);
    }
    match select.timeshift.as_slice() {
        [] => {}
        [shift] => {
            let rest = Select { timeshift: Vec::new(), ..select.clone() };
            return divide(&rest, sum(base, *shift)?, now_ns);
        }
        shifts => {
            let mut beside = Vec::new();
            for shift in shifts {
                let one = Select { timeshift: vec![*shift], ..select.clone() };
                beside.push((shift.to_string(), divide(&one, base, now_ns)?));
            }
            return Ok(Work::Beside(beside));
        }
    }
    let shifts = ask::shifts(select);
    if shifts.len() > 1 {
        let join = Join::new(select, &shifts)?;
        let parts: Result<Vec<Work>, String> = join.parts.iter().map(|part| divide(part, base, now_ns)).collect();
        return Ok(Work::Join(Box::new(join), parts?));
    }
    let base = shifts.first().map_or(Ok(base), |shift| sum(base, *shift))?;
    let outer = Outer::new(select)?;
    let subqueries: Result<Vec<Work>, String> =
        outer.subqueries.iter().map(|inner| divide(inner, base, now_ns)).collect();
    Ok(Work::Outer(Box::new(outer), subqueries?))
}

fn sum(a: Shift, b: Shift) -> Result<Shift, String> {
    a.plus(b).ok_or_else(|| format!("a timeshift of {a} and {b} is out of reach"))
}

/// The shift of all that a SELECT reads, if it is one.
fn alike(select: &Select, base: Shift) -> Result<Option<Shift>, String> {
    let mut found = Vec::new();
    let single = totals(select, base, &mut found)?;
    found.dedup();
    Ok(match found.as_slice() {
        [shift] if single => Some(*shift),
        _ => None,
    })
}

/// The shifts of all that is read; `false`: some SELECT has several TIMESHIFTs.
fn totals(select: &Select, base: Shift, found: &mut Vec<Shift>) -> Result<bool, String> {
    let shifts = match select.timeshift.as_slice() {
        [] => ask::shifts(select),
        [shift] => vec![*shift],
        _ => return Ok(false),
    };
    for shift in shifts {
        let shift = sum(base, shift)?;
        if select.sources.iter().any(|source| matches!(source, Source::Measurement(_))) {
            found.push(shift);
        }
        for inner in inside(select) {
            if !totals(inner, shift, found)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn shifted_alike(select: &Select, shift: Shift, now_ns: i64) -> Result<Work, String> {
    let mut plain = select.clone();
    without_clauses(&mut plain);
    if shift.is_none() {
        return Ok(Work::Part(Box::new(Part { select: plain, moved: Moved::default() })));
    }
    let by = distance(shift, zone(&plain)?, anchor(&plain, now_ns)?)?;
    if by == 0 {
        return Ok(Work::Part(Box::new(Part { select: plain, moved: Moved::default() })));
    }
    let changes = clocks_change(&plain, TimeRange::default())?;
    if changes && inside(&plain).next().is_some() {
        return Err(
            "a timeshift of subqueries with tz() and GROUP BY time() over a change of clocks is not supported; ask \
                    for the time before and after it, or without tz()"
                .to_owned(),
        );
    }
    if changes {
        return Ok(Work::Rows(Box::new(ByRows { select: plain, by })));
    }
    let zero_stays = is_told_at_zero(&plain, range(&plain)?);
    Ok(Work::Part(Box::new(Part { select: moved(&plain, by)?, moved: Moved { by, zero_stays } })))
}

/// From where a calendar counts: the start of all that is read, else behind its end, else now.
fn anchor(select: &Select, now_ns: i64) -> Result<i64, String> {
    let range = whole_range(select)?;
    Ok(match (range.start, range.end) {
        (TIME_MIN, TIME_MAX) => now_ns,
        (TIME_MIN, end) => end.saturating_add(1),
        (start, _) => start,
    })
}

/// The range that all SELECTs of a statement have in common.
fn whole_range(select: &Select) -> Result<TimeRange, String> {
    let mut whole = range(select)?;
    for inner in inside(select) {
        let inner = whole_range(inner)?;
        whole = TimeRange { start: whole.start.max(inner.start), end: whole.end.min(inner.end) };
    }
    Ok(whole)
}

/// Intervals before and behind a range of which windows may be told: of it, and of what transformations read before.
const INTERVALS_AROUND: i64 = 12;

/// Whether windows of a zone's days lie over a change of its clocks, so that no offset of `GROUP BY time()` tells where they
/// are.
fn clocks_change(select: &Select, around: TimeRange) -> Result<bool, String> {
    let own = range(select)?;
    let range = TimeRange { start: own.start.max(around.start), end: own.end.min(around.end) };
    if let (Some(zone), Some((_, interval))) = (zone(select)?, windows(select)) {
        let more = interval.saturating_mul(INTERVALS_AROUND);
        if zone.changes_within(range.start.saturating_sub(more), range.end.saturating_add(more)) {
            return Ok(true);
        }
    }
    for inner in inside(select) {
        if clocks_change(inner, range)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The WHERE of a SHOW, shifted.
///
/// # Errors
/// A time that cannot be read here, or is out of reach.
pub fn condition(condition: &Expr, shift: Shift, now_ns: i64) -> Result<Expr, String> {
    let shown = Select { condition: Some(condition.clone()), ..Select::default() };
    let by = distance(shift, None, anchor(&shown, now_ns)?)?;
    Ok(bounded(condition, None, range(&shown)?, by)?.unwrap_or_else(|| condition.clone()))
}

/// A subquery as a statement: what InfluxDB hands on to it from the SELECT around stands in it.
///
/// # Errors
/// A time that cannot be read here, or another order.
pub fn alone(inner: &Select, around: &Select) -> Result<Select, String> {
    let mut alone = inner.clone();
    let (own, outer) = (range(inner)?, range(around)?);
    let both = TimeRange { start: own.start.max(outer.start), end: own.end.min(outer.end) };
    let nothing = Expr::And(Vec::new());
    alone.condition = bounded(inner.condition.as_ref().unwrap_or(&nothing), zone(inner)?, both, 0)?;
    for expr in &around.group_by {
        match expr {
            Expr::Call(_) => inherit(&mut alone, expr),
            // What the subquery is grouped by already.
            Expr::Wildcard(_) => {}
            _ if alone.group_by.contains(expr) => {}
            _ => alone.group_by.push(expr.clone()),
        }
    }
    if windows(&alone).is_some() && alone.fill == Fill::Null {
        alone.fill = Fill::None;
    }
    let descending = around.order == Some(SortOrder::Descending);
    if inner.order.is_some() && (inner.order == Some(SortOrder::Descending)) != descending {
        return Err("subqueries must be ordered in the same direction as the query itself".to_owned());
    }
    alone.order = around.order;
    Ok(alone)
}

/// Windows of a SELECT around are those of the next one inside that makes anything of its rows.
fn inherit(inner: &mut Select, time: &Expr) {
    if windows(inner).is_some() {
        return;
    }
    if !calls_of(inner).is_empty() {
        return inner.group_by.push(time.clone());
    }
    for source in &mut inner.sources {
        if let Source::Subquery(inner) = source {
            inherit(inner, time);
        }
    }
}
