//! What the groups are asked for: raw rows, or what the calls of a level make where no group has to know of another.
//!
//! The calls are left to the groups when the level is grouped by all that parts the series over groups, when all statements
//! around read it over the same time and by the same tags, and when each call makes one point of a window, so that a row
//! says which of the calls have one.

use std::collections::BTreeSet;

use crate::influxql::ast::{BinaryOp, Call, Field, Fill, VarRef};
use crate::influxql::range::{TIME_MAX, TIME_MIN, TimeRange};
use crate::influxql::{Expr, Select};
use crate::merge::evaluate::Stop;
use crate::merge::evaluate::functions::{Function, How, function, tags_of_best};
use crate::merge::evaluate::window::Windows;

use super::level::{Given, Input, Level, intersection};
use super::stream::{Tagged, Tags};

/// What may be asked of the groups.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Rows, or what calls make of them where that is enough.
    LeastRows,
    /// Rows: some of a series' are left out before anything is made of them.
    Rows,
}

/// A time and tags that a level is read by.
pub type Reading = (TimeRange, Vec<String>);

impl Level {
    /// Decides what is read for this level and those inside. `readings` are those of the statements around, `mapped` bounds
    /// all, `apart` says for each input which tags GROUP BY must have for the groups to answer each for its own.
    pub fn decide(
        &mut self,
        readings: &[Reading],
        mapped: TimeRange,
        apart: &[BTreeSet<String>],
        reads: Reads,
        needs: &mut [Option<Select>],
    ) {
        let own = |(range, keys): &Reading| (self.within(*range), self.all_keys(keys));
        let own = unique(readings.iter().map(own));
        let inner = unique(own.iter().flat_map(|reading| self.readings(reading)));
        let starts = inner.iter().map(|(range, _)| range.start).min();
        let ends = inner.iter().map(|(range, _)| range.end).max();
        let widest = TimeRange { start: starts.unwrap_or(TIME_MIN), end: ends.unwrap_or(TIME_MAX) };
        let read = intersection(widest, mapped);
        self.pushed = match (own.as_slice(), self.inputs.as_slice()) {
            ([reading], [Input::Measurements(input)]) if reads == Reads::LeastRows => {
                read == reading.0 && self.can_push(&reading.1, &apart[*input])
            }
            _ => false,
        };
        for input in &self.inputs {
            if let Input::Measurements(number) = input {
                needs[*number] = match own.first() {
                    Some((_, keys)) if self.pushed => Some(self.pushed_select(read, keys)),
                    Some((range, keys))
                        if reads == Reads::LeastRows && own.len() == 1 && read == *range && self.is_lone_end() =>
                    {
                        self.end_keys = Some(keys.clone());
                        Some(self.ends_select(read))
                    }
                    _ => self.raw_select(read),
                };
            }
        }
        for input in &mut self.inputs {
            if let Input::Subquery(level) = input {
                level.decide(&inner, mapped, apart, reads, needs);
            }
        }
    }

    /// What its calls read by.
    fn readings(&self, (range, keys): &Reading) -> Vec<Reading> {
        if self.evaluation.calls.is_empty() {
            return vec![(*range, keys.clone())];
        }
        let of = |call: &Call| (self.reach(call, *range), best_keys(call, keys));
        self.evaluation.calls.iter().map(of).collect()
    }

    fn can_push(&self, keys: &[String], apart: &BTreeSet<String>) -> bool {
        let evaluation = &self.evaluation;
        let plain = |call: &Call| {
            function(&call.name).is_some_and(Function::makes_one)
                && !(self.interval.is_none() && is_end(call))
                && matches!(call.args.first(), Some(Expr::VarRef(_)))
                && matches!(evaluation.check_call(call), Ok(Some(_)))
        };
        let covered = apart.iter().all(|tag| keys.contains(tag));
        let calls = &evaluation.calls;
        // Where clocks change, which window a point is in hangs on the points before it.
        let clocks_change = evaluation.windows.zone.is_some() && self.interval.is_some();
        let whole = evaluation.refs.is_empty() && covered && !calls.is_empty() && calls.iter().all(plain);
        whole && self.ascending() && !clocks_change
    }

    /// A first or last of measurements' whole range, and nothing beside it.
    fn is_lone_end(&self) -> bool {
        let evaluation = &self.evaluation;
        let lone = |call: &Call| is_end(call) && matches!(evaluation.check_call(call), Ok(Some(_)));
        let plain = self.interval.is_none() && evaluation.refs.is_empty() && !evaluation.nested;
        plain && matches!(&evaluation.calls[..], [call] if lone(call))
    }

    /// The first or last row of each series instead of all rows. Which of several at one time it is cannot be left to a group.
    fn ends_select(&self, range: TimeRange) -> Select {
        let field = |call: &Call| Field { expr: Expr::Call(call.clone()), alias: None };
        let fields = self.evaluation.calls.iter().map(field).collect();
        select(fields, self.bounded(range), vec![Expr::Wildcard(None)])
    }

    fn pushed_select(&self, range: TimeRange, keys: &[String]) -> Select {
        let field = |(number, call): (usize, &Call)| {
            let (expr, alias) = (Expr::Call(call.clone()), Some(format!("c{number}")));
            Field { expr, alias }
        };
        let fields = self.evaluation.calls.iter().enumerate().map(field).collect();
        let tag = |key: &String| Expr::VarRef(VarRef { name: key.clone(), cast: None });
        let group_by = self.interval.iter().cloned().chain(keys.iter().map(tag)).collect();
        Select { fill: Fill::None, ..select(fields, self.bounded(range), group_by) }
    }

    /// `None`: no field is looked at.
    fn raw_select(&self, range: TimeRange) -> Option<Select> {
        let field = |var: VarRef| Field { expr: Expr::VarRef(var), alias: None };
        let fields: Vec<Field> = self.asked().into_iter().map(field).collect();
        (!fields.is_empty()).then(|| select(fields, self.bounded(range), vec![Expr::Wildcard(None)]))
    }

    fn bounded(&self, range: TimeRange) -> Option<Expr> {
        let mut terms = Vec::new();
        match self.condition.clone() {
            Some(Expr::And(own)) => terms.extend(own),
            Some(rest @ Expr::Or(_)) => terms.push(Expr::Paren(Box::new(rest))),
            other => terms.extend(other),
        }
        if range.start != TIME_MIN {
            terms.push(bound(BinaryOp::GreaterEqual, range.start));
        }
        if range.end != TIME_MAX {
            terms.push(bound(BinaryOp::LessEqual, range.end));
        }
        if terms.len() > 1 { Some(Expr::And(terms)) } else { terms.pop() }
    }

    /// The points of a call that the groups have made, with fill().
    pub fn made(
        &self,
        number: usize,
        call: &Call,
        given: &Given<'_>,
        range: TimeRange,
        keys: &[String],
    ) -> Result<Vec<Tagged>, Stop> {
        let [Input::Measurements(input)] = self.inputs.as_slice() else { return Ok(Vec::new()) };
        let windows = Windows { range, ..self.evaluation.windows };
        let mut points = Vec::new();
        for rows in &given.rows[*input] {
            let tags = Tags::new(keys.iter().map(|key| rows.tag(key).to_owned()).collect());
            let valued = (0..rows.len()).filter(|row| !rows.is_null(number, *row));
            points.extend(
                valued.map(|row| Tagged::new(rows.time(row), tags.clone(), rows.value(number, row), Vec::new())),
            );
        }
        points.sort_by_cached_key(|point| (windows.start(point.time), point.tags.clone()));
        match function(&call.name) {
            Some(function) => self.filled(points, call, function, &windows),
            None => Ok(points),
        }
    }
}

/// Whether it makes the first or last point in time.
pub fn takes_end(call: &Call) -> bool {
    function(&call.name).is_some_and(|function| matches!(function.how, How::End { .. }))
}

fn is_end(call: &Call) -> bool {
    takes_end(call) && matches!(call.args.first(), Some(Expr::VarRef(_)))
}

/// Whether it is a top or bottom of the best of each tag.
pub fn is_best_of_tags(call: &Call) -> bool {
    tags_of_best(call).next().is_some()
}

/// What top and bottom take the best of is grouped by their tags as well.
pub fn best_keys(call: &Call, keys: &[String]) -> Vec<String> {
    let tags = tags_of_best(call).map(|tag| tag.name.clone());
    let all: BTreeSet<String> = keys.iter().cloned().chain(tags).collect();
    all.into_iter().collect()
}

fn unique(readings: impl Iterator<Item = Reading>) -> Vec<Reading> {
    let mut found = Vec::new();
    readings.for_each(|reading| {
        if !found.contains(&reading) {
            found.push(reading);
        }
    });
    found
}

fn select(fields: Vec<Field>, condition: Option<Expr>, group_by: Vec<Expr>) -> Select {
    Select { fields, condition, group_by, ..Select::default() }
}

fn bound(op: BinaryOp, ns: i64) -> Expr {
    let time = Expr::VarRef(VarRef { name: "time".to_owned(), cast: None });
    Expr::Binary { op, lhs: Box::new(time), rhs: Box::new(Expr::Integer(ns)) }
}
