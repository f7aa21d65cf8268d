//! SELECT INTO: what top() and bottom() name as tags are tags of what is written, not columns.
//!
//! Rows that are made here bring their tags along ([`Evaluation::written`]); in an answer of InfluxDB's own they stand in the
//! columns behind the call ([`Apart`]), unless what is filled, cut or named shows that tags are not columns.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::influxql::ast::{Call, Cast, Field, Fill, Source};
use crate::influxql::{Expr, Select};
use crate::merge::results::{Series, Value};

use super::Evaluation;
use super::columns::{fields, name, names, time_name};
use super::functions::tags_of_best;
use super::rows::{Point, Rows};

impl Evaluation {
    /// The tags that a point keeps, those of GROUP BY too: keys and values in turn: cells that stand behind the columns.
    pub(super) fn kept_tags(&self, point: Option<&Point>, members: &[&Rows]) -> Vec<Value> {
        let Some(call) = self.keeping_call() else { return Vec::new() };
        let Some(rows) = point.and_then(|point| point.row).map(|at| members[at.series as usize]) else {
            return Vec::new();
        };
        let is_in_call =
            |key: &str| call.args.iter().skip(1).any(|arg| matches!(arg, Expr::VarRef(var) if var.name == key));
        let kept = rows.tags.iter().filter(|(key, _)| is_in_call(key) || self.dimensions.contains(key));
        kept.flat_map(|(key, value)| [Value::from(key.as_str()), Value::from(value.as_str())]).collect()
    }

    /// A series of the answer as it is written: as many series as its points have tags.
    pub fn written(&self, series: Series) -> Vec<Series> {
        if self.keeping_call().is_none() {
            return vec![series];
        }
        let mut found: Vec<Series> = Vec::new();
        for mut row in series.values {
            let texts: Vec<String> = row.drain(self.columns.len()..).filter_map(into_text).collect();
            let tags = texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
            push_row(&mut found, &series.name, tags, &series.columns, row);
        }
        found
    }

    /// One without tags keeps those of GROUP BY alone, which the series has.
    pub(super) fn keeping_call(&self) -> Option<&Call> {
        self.calls.iter().find(|call| self.writes && keeps_tags(call))
    }
}

/// Which columns of InfluxDB's own answer to a SELECT are tags of what is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// All columns, as InfluxDB tells them; empty: its answer does not tell what it would write.
    told: Vec<String>,
    /// Where in `told` the tags stand; not the first, which is the time.
    tags: Range<usize>,
    /// Their names.
    keys: Vec<String>,
    /// The other columns, as InfluxDB writes them.
    written: Vec<String>,
}

impl Apart {
    /// `None`: none is.
    pub fn of(select: &Select) -> Option<Apart> {
        let told = fields(select, true);
        let (at, call) = told.iter().enumerate().find_map(|(at, field)| Some((at, keeping_call(&field.expr)?)))?;
        let keys: Vec<String> = tags_of_best(call).map(|tag| tag.name.clone()).collect();
        // Behind the time and the call's own column.
        let tags = at + 2..at + 2 + keys.len();
        let tells = matches!(told[at].expr, Expr::Call(_))
            && keys.iter().all(|key| hands_on(select, key))
            && !begins_anew(select)
            && !select.fields.iter().any(|field| stands_for_others(&field.expr));
        let told = if tells { names(time_name(select), &told) } else { Vec::new() };
        Some(Apart { told, tags, keys, written: names(time_name(select), &fields(select, false)) })
    }

    /// Whether InfluxDB's own answer tells what it would write. Else its rows have to come here.
    pub fn is_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// A series of the answer as it is written: as many series as its points have tags.
    ///
    /// # Errors
    /// Its columns are not those that are known of the SELECT.
    pub fn split(&self, series: &Series) -> Result<Vec<Series>, String> {
        if series.columns != self.told {
            return Err("SELECT INTO with tags of top() or bottom() is not supported yet with SLIMIT or SOFFSET beside \
                        wildcards, LIMIT, OFFSET or fill(previous), within an expression, or over subqueries that are not \
                        grouped by them"
                .to_owned());
        }
        let mut found: Vec<Series> = Vec::new();
        for row in &series.values {
            let mut row = row.clone();
            let mut tags: BTreeMap<String, String> = series.tags.iter().cloned().collect();
            for (key, value) in self.keys.iter().zip(row.drain(self.tags.clone())) {
                tags.extend(into_text(value).map(|value| (key.clone(), value)));
            }
            push_row(&mut found, &series.name, tags.into_iter().collect(), &self.written, row);
        }
        Ok(found)
    }
}

fn keeping_call(expr: &Expr) -> Option<&Call> {
    match expr {
        Expr::Call(call) if keeps_tags(call) => Some(call),
        Expr::Call(call) => call.args.iter().find_map(keeping_call),
        Expr::Binary { lhs, rhs, .. } => keeping_call(lhs).or_else(|| keeping_call(rhs)),
        Expr::Paren(inner) => keeping_call(inner),
        _ => None,
    }
}

/// Whether a tag of the points is still there for a SELECT around them, and no column has its name.
fn hands_on(select: &Select, key: &str) -> bool {
    let is_key =
        |expr: &Expr| matches!(expr, Expr::Wildcard(_)) || matches!(expr, Expr::VarRef(var) if var.name == key);
    let is_hidden = |inner: &Select| {
        let hides = |field: &Field| stands_for_others(&field.expr) || known_as(field) == key;
        fields(inner, true).iter().any(hides)
    };
    select.sources.iter().all(|source| match source {
        Source::Measurement(_) => true,
        Source::Subquery(inner) => inner.group_by.iter().any(is_key) && !is_hidden(inner) && hands_on(inner, key),
    })
}

fn known_as(field: &Field) -> String {
    field.alias.clone().filter(|alias| !alias.is_empty()).unwrap_or_else(|| name(&field.expr))
}

/// A wildcard, or what else is no column itself.
fn stands_for_others(expr: &Expr) -> bool {
    match expr {
        Expr::Wildcard(_) | Expr::Regex(_) => true,
        Expr::Call(call) => call.args.iter().any(stands_for_others),
        Expr::Binary { lhs, rhs, .. } => stands_for_others(lhs) || stands_for_others(rhs),
        Expr::Paren(inner) => stands_for_others(inner),
        _ => false,
    }
}

/// Whether LIMIT, OFFSET and fill() show where points' own tags change, where these are tags of what is written.
fn begins_anew(select: &Select) -> bool {
    let has_windows = select.group_by.iter().any(|expr| matches!(expr, Expr::Call(_)));
    // One window has no more points than LIMIT lets through.
    let is_cut = select.offset > 0 || select.limit > 0 && has_windows;
    // What is filled is the tags' columns too.
    is_cut || select.fill == Fill::Previous
}

/// Says of what top() and bottom() name as tags that it is tags: of a field InfluxDB writes nothing.
pub fn name_tags(select: &mut Select) {
    for field in &mut select.fields {
        if let Expr::Call(call) = &mut field.expr
            && keeps_tags(call)
        {
            let last = call.args.len() - 1;
            for arg in &mut call.args[1..last] {
                if let Expr::VarRef(var) = arg {
                    var.cast = var.cast.or(Some(Cast::Tag));
                }
            }
        }
    }
}

fn keeps_tags(call: &Call) -> bool {
    tags_of_best(call).next().is_some()
}

/// Behind the last series, if it is of these tags.
fn push_row(found: &mut Vec<Series>, name: &str, tags: Vec<(String, String)>, columns: &[String], row: Vec<Value>) {
    match found.last_mut().filter(|last| last.tags == tags) {
        Some(last) => last.values.push(row),
        None => {
            let (name, columns) = (name.to_owned(), columns.to_vec());
            found.push(Series { name, tags, columns, values: vec![row], ..Series::default() });
        }
    }
}

fn into_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}
