//! Which sources of a level are there for a call, or for rows.
//!
//! Of several sources InfluxDB takes what is of the type of the first that is there, and asks none again that was silent. A
//! subquery that has not what a call is of that joins one type ([`Function::joins_one_type`]) is there all the same, as one of
//! floats. A measurement is there if one of the storage shards that are read knows the field and a series of it that WHERE
//! leaves, be it without a value in the range. That is told by the schema, or by a value that the groups have given.

use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::Expr;
use crate::influxql::ast::{Call, Cast};
use crate::merge::evaluate::functions::{Function, function};
use crate::merge::evaluate::rows::Rows;
use crate::merge::evaluate::{Kind, Stop};

use super::level::{Input, Level, argument};
use super::reads::is_best_of_tags;

/// Fields and their types.
pub type Fields = BTreeMap<String, Cast>;

/// What is known of inputs.
#[derive(Clone, Copy, Default)]
pub struct Known<'a> {
    /// Of each the fields that its measurements have in the storage shards that are read. Of none: nobody was asked.
    pub fields: &'a [Fields],
    /// No series are left out but by WHERE.
    pub whole: bool,
}

/// What is known of the measurements of a level.
pub struct Present {
    fields: Option<Fields>,
    /// None of their series are left out.
    whole: bool,
    /// By source: the fields of which there are values.
    seen: Vec<BTreeSet<String>>,
}

impl Present {
    /// `input`: the first of the level's.
    pub fn new(condition: Option<&Expr>, input: usize, known: Known<'_>) -> Present {
        let whole = known.whole && condition.is_none_or(compares_fields);
        Present { fields: known.fields.get(input).cloned(), whole, seen: Vec::new() }
    }
}

impl Level {
    /// Looks at what the groups have given, by input.
    pub fn see(&mut self, rows: &[Vec<Rows>]) {
        if self.evaluation.nested && self.sources.len() > 1 && self.reads_measurements() {
            let fields = self.asked();
            let seen = |number: usize| -> BTreeSet<String> {
                let Some((name, input)) = self.named_input(&self.sources[number]) else { return BTreeSet::new() };
                let own = || rows[input].iter().filter(|rows| rows.name == name);
                let has = |field: usize| own().any(|rows| (0..rows.len()).any(|row| !rows.is_null(field, row)));
                let seen = fields.iter().enumerate().filter(|(field, _)| has(*field));
                seen.map(|(_, var)| var.name.clone()).collect()
            };
            self.present.seen = (0..self.sources.len()).map(seen).collect();
        }
        for input in &mut self.inputs {
            if let Input::Subquery(inner) = input {
                inner.see(rows);
            }
        }
    }

    /// Whether any of its measurements is there for what a call, or the innermost in it, is of; for rows, where there is no call.
    /// `None`: that is not known.
    pub fn has_measurements(&self, call: Option<&Call>) -> Option<bool> {
        if !self.reads_measurements() {
            return Some(false);
        }
        let var = call.and_then(argument);
        let is_seen = |seen: &BTreeSet<String>| var.map_or(!seen.is_empty(), |var| seen.contains(&var.name));
        if self.present.seen.iter().any(is_seen) {
            return Some(true);
        }
        let fields = self.present.fields.as_ref()?;
        let is_number = |cast| matches!(cast, Cast::Float | Cast::Integer | Cast::Unsigned);
        let known = match var {
            None => !fields.is_empty(),
            Some(var) => fields
                .get(&var.name)
                .is_some_and(|own| Some(*own) == var.cast || is_number(*own) && var.cast.is_some_and(is_number)),
        };
        (!known || self.present.whole).then_some(known)
    }

    /// Whether the first source that is there is a subquery that has not what a call is of: then nothing comes of the others.
    ///
    /// # Errors
    /// That hangs on a measurement of which it is not known.
    pub fn first_is_none(&self, call: &Call) -> Result<bool, Stop> {
        // The best of each tag is a max or a min first.
        let same = is_best_of_tags(call) || function(&call.name).is_some_and(Function::joins_one_type);
        let (Some(Expr::VarRef(var)), true, 2..) = (call.args.first(), same, self.sources.len()) else {
            return Ok(false);
        };
        if self.evaluation.check_call(call)?.is_none_or(|kind| kind == Kind::Float) {
            return Ok(false);
        }
        let mut before = false;
        for (number, source) in self.sources.iter().enumerate() {
            match &self.inputs[source.input] {
                Input::Measurements(_)
                    if self.present.seen.get(number).is_some_and(|seen| seen.contains(&var.name)) =>
                {
                    return Ok(false);
                }
                Input::Measurements(_) => before = true,
                Input::Subquery(inner) if inner.has(var) => return Ok(false),
                Input::Subquery(_) if !before => return Ok(true),
                // Only the measurements before it can have it.
                Input::Subquery(_) if number + 1 == self.sources.len() => return Ok(false),
                Input::Subquery(_) => {
                    let behind = self.sources[number + 1..].iter().any(|source| source.name.is_some());
                    return match self.has_measurements(Some(call)) {
                        Some(false) => Ok(true),
                        Some(true) if !behind => Ok(false),
                        _ => Err(Stop::Refused(format!(
                            "{}() of {var} beside a subquery without it, which stands before others and behind a measurement of \
                             which no {} is read,",
                            call.name, var.name
                        ))),
                    };
                }
            }
        }
        Ok(false)
    }
}

/// Whether a condition leaves all series in what is read: its names are fields.
fn compares_fields(expr: &Expr) -> bool {
    match expr {
        Expr::VarRef(var) => !matches!(var.cast, None | Some(Cast::Tag)),
        Expr::And(terms) | Expr::Or(terms) => terms.iter().all(compares_fields),
        Expr::Binary { lhs, rhs, .. } => [lhs, rhs].into_iter().all(|side| compares_fields(side)),
        Expr::Paren(inner) => compares_fields(inner),
        Expr::Boolean(_) | Expr::Call(_) => false,
        _ => true,
    }
}
