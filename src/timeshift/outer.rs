//! A SELECT over subqueries that are shifted each by itself: what they answer are the points that it is evaluated over.
//!
//! As InfluxDB has it, a subquery's columns are fields, and what it is grouped by are tags; the range in time, the windows
//! and the tags of the SELECT around are handed on to it (`work::alone`).

use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::ast::{Cast, Fill, VarRef};
use crate::influxql::range::split_time;
use crate::influxql::{Expr, Select};
use crate::merge::evaluate::rows::Rows;
use crate::merge::evaluate::{Evaluation, Kind, Stop};
use crate::merge::results::{Series, Value};

use super::ask;
use super::join::kind;
use super::moved::{calls, calls_of, windows, zone};
use super::read::{has_wildcard, inside};
use super::work::alone;

#[derive(Clone, Debug, PartialEq)]
pub struct Outer {
    select: Select,
    /// Each as a statement of its own, in the order of the text.
    pub subqueries: Vec<Select>,
}

impl Outer {
    /// # Errors
    /// What stands in the way of evaluating it here.
    pub fn new(select: &Select) -> Result<Outer, String> {
        let refuse = |what: &str| Err(format!("{what} around subqueries of several timeshifts is not supported"));
        if inside(select).count() < select.sources.len() {
            return refuse("a measurement beside them,");
        }
        if ask::fields(select).any(|field| has_wildcard(&field.expr)) {
            return refuse("a wildcard or regular expression");
        }
        if select.group_by.iter().any(|expr| matches!(expr, Expr::Regex(_))) {
            return refuse("GROUP BY /regular expression/");
        }
        if select.slimit > 0 || select.soffset > 0 {
            return refuse("SLIMIT or SOFFSET");
        }
        // InfluxDB then reckons with the number where a value is missing.
        if calls_of(select).is_empty() && matches!(select.fill, Fill::Value(_)) {
            return refuse("fill() with a number of rows");
        }
        if let Some(condition) = &select.condition
            && split_time(condition, zone(select)?)?.0.is_some()
        {
            return refuse("WHERE with more than times");
        }
        let subqueries: Result<Vec<Select>, String> = inside(select).map(|inner| alone(inner, select)).collect();
        Ok(Outer { select: select.clone(), subqueries: subqueries? })
    }

    /// The answer, of those of the subqueries.
    ///
    /// # Errors
    /// It cannot be told, or has too many rows.
    pub fn evaluated(&self, answers: Vec<Vec<Series>>, rows_max: usize) -> Result<Vec<Series>, Stop> {
        let (fields, tags) = columns(&answers);
        let mut select = self.select.clone();
        if select.group_by.contains(&Expr::Wildcard(None)) {
            select.group_by.retain(|expr| !matches!(expr, Expr::Wildcard(_)));
            select.group_by.extend(tags.iter().map(|tag| Expr::VarRef(VarRef { name: tag.clone(), cast: None })));
        }
        select.fields.iter_mut().for_each(|field| settle(&mut field.expr, &fields, &tags));
        let mut evaluation = Evaluation::new(&select, rows_max, false)?;
        evaluation.over_subqueries();
        let mut rows = Vec::new();
        for answer in answers {
            let own: Result<Vec<Rows>, Stop> =
                answer.into_iter().map(|series| points(series, &evaluation.fields)).collect();
            let own = own?;
            if evaluation.groups(&own).len() < own.len() {
                self.check_mixed()?;
            }
            rows.extend(own);
        }
        evaluation.answer(&rows)
    }

    /// Series of a subquery become one. InfluxDB reads these in turns, not in the order of time, so only what does not
    /// hang on the order can be told.
    fn check_mixed(&self) -> Result<(), Stop> {
        let known: &[&str] = match windows(&self.select) {
            Some(_) => &["count", "sum", "min", "max"],
            None => &["count", "sum", "min", "max", "mean", "spread"],
        };
        let plain = |expr: &Expr| {
            let mut found = Vec::new();
            calls(expr, &mut found);
            !found.is_empty() && found.iter().all(|call| known.contains(&call.name.as_str()))
        };
        if ask::fields(&self.select).all(|field| plain(&field.expr)) {
            return Ok(());
        }
        Err(Stop::Refused(
            "what hangs on the order of a subquery's series (GROUP BY their tags around it too)".to_owned(),
        ))
    }
}

/// The fields that subqueries make, with their kinds, and the tags.
fn columns(answers: &[Vec<Series>]) -> (BTreeMap<String, Option<Kind>>, BTreeSet<String>) {
    let (mut fields, mut tags) = (BTreeMap::new(), BTreeSet::new());
    for series in answers.iter().flatten() {
        tags.extend(series.tags.iter().map(|(key, _)| key.clone()));
        for (at, name) in series.columns.iter().enumerate().skip(1) {
            let known: &mut Option<Kind> = fields.entry(name.clone()).or_default();
            if known.is_none() {
                *known = series.values.iter().find_map(|row| kind(&row[at]));
            }
        }
    }
    (fields, tags)
}

/// Says what each name is. One without any value is as good as a float.
fn settle(expr: &mut Expr, fields: &BTreeMap<String, Option<Kind>>, tags: &BTreeSet<String>) {
    match expr {
        Expr::VarRef(var) => {
            var.cast = match fields.get(&var.name) {
                Some(kind) => Some(cast(kind.unwrap_or(Kind::Float))),
                None => tags.contains(&var.name).then_some(Cast::Tag),
            };
        }
        Expr::Call(call) => call.args.iter_mut().for_each(|arg| settle(arg, fields, tags)),
        Expr::Binary { lhs, rhs, .. } => {
            settle(lhs, fields, tags);
            settle(rhs, fields, tags);
        }
        Expr::Paren(inner) => settle(inner, fields, tags),
        _ => {}
    }
}

fn cast(kind: Kind) -> Cast {
    match kind {
        Kind::Float => Cast::Float,
        Kind::Integer => Cast::Integer,
        Kind::Unsigned => Cast::Unsigned,
        Kind::String => Cast::String,
        Kind::Boolean => Cast::Boolean,
    }
}

/// A subquery's series as points of these fields, in order of time.
fn points(series: Series, fields: &[VarRef]) -> Result<Rows, Stop> {
    let places: Vec<Option<usize>> =
        fields.iter().map(|field| series.columns.iter().skip(1).position(|name| *name == field.name)).collect();
    let cell = |row: &[Value], place: &Option<usize>| place.and_then(|at| row.get(at + 1)).cloned().unwrap_or_default();
    let point = |row: Vec<Value>| {
        let cells = places.iter().map(|place| cell(&row, place));
        row.first().cloned().into_iter().chain(cells).collect::<Vec<Value>>()
    };
    let mut values: Vec<Vec<Value>> = series.values.into_iter().map(point).collect();
    if let [first, .., last] = values.as_slice()
        && let (Value::Time(first), Value::Time(last)) = (&first[0], &last[0])
        && first > last
    {
        values.reverse();
    }
    let mut rows = Rows::new(series.name, series.tags);
    rows.extend(values, fields.len()).map_err(Stop::Refused)?;
    Ok(rows)
}
