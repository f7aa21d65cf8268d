//! The columns of a SELECT: their names, and what they are made of.

use std::collections::BTreeMap;

use crate::influxql::ast::{BinaryOp, Call, Cast, Field, VarRef};
use crate::influxql::{Expr, Select};
use crate::merge::results::Value;

use super::expr::{Cell, math};
use super::functions::{Function, function, tags_of_best};
use super::{Evaluation, Place, Stop};

/// Reads the fields of a SELECT into an evaluation.
pub fn read(evaluation: &mut Evaluation, select: &Select) -> Result<(), Stop> {
    if keeps_time(select) {
        return Err(Stop::Refused("a column time right behind another".to_owned()));
    }
    // What is written has as tags what top and bottom group by.
    let fields = fields(select, !evaluation.writes);
    evaluation.columns = names(time_name(select), &fields);
    for field in &fields {
        collect(evaluation, &field.expr)?;
    }
    evaluation.refs.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name).then_with(|| order(a.cast).cmp(&order(b.cast))));
    evaluation.selector = match evaluation.calls.as_slice() {
        [call] => function(&call.name).is_some_and(Function::selects),
        _ => false,
    };
    if !evaluation.selector && !evaluation.calls.is_empty() && !evaluation.refs.is_empty() {
        return Err(Stop::Wrong("mixing aggregate and non-aggregate queries is not supported".to_owned()));
    }
    let cells: Result<Vec<Cell>, Stop> = fields.iter().map(|field| cell(evaluation, &field.expr)).collect();
    evaluation.cells = cells?;
    Ok(())
}

/// What the columns behind the time are made of; `beside`: with what top and bottom group by behind these.
pub fn fields(select: &Select, beside: bool) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for field in select.fields.iter().filter(|field| !is_time(field)) {
        fields.push(field.clone());
        if let (Expr::Call(call), true) = (&field.expr, beside) {
            fields.extend(tags_of_best(call).map(|tag| Field { expr: Expr::VarRef(tag.clone()), alias: None }));
        }
    }
    fields
}

/// The name of the first column: the last one written.
pub fn time_name(select: &Select) -> String {
    let last = select.fields.iter().rfind(|field| is_time(field));
    last.and_then(|field| field.alias.clone()).unwrap_or_else(|| "time".to_owned())
}

/// InfluxDB takes the time out of the columns while it goes over them, and so passes over what stands behind it: a second
/// one there stays, as a column of which nothing is known.
fn keeps_time(select: &Select) -> bool {
    select.fields.windows(2).any(|pair| pair.iter().all(is_time))
}

pub fn is_time(field: &Field) -> bool {
    // A subquery's column of that name has a type.
    matches!(&field.expr, Expr::VarRef(VarRef { name, cast: None }) if name == "time")
}

/// How InfluxDB numbers its types.
fn order(cast: Option<Cast>) -> u8 {
    match cast {
        None => 0,
        Some(Cast::Float) => 1,
        Some(Cast::Integer) => 2,
        Some(Cast::String) => 3,
        Some(Cast::Boolean) => 4,
        Some(Cast::Tag) => 7,
        // A field that there is has one of the others.
        Some(Cast::Field) => 8,
        Some(Cast::Unsigned) => 9,
    }
}

/// As `SelectStatement.ColumnNames` has it: what would be there twice is numbered.
pub fn names(time: String, fields: &[Field]) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for alias in fields.iter().filter_map(|field| field.alias.clone()) {
        counts.insert(alias, 1);
    }
    let mut names = vec![time];
    for field in fields {
        if let Some(alias) = field.alias.clone().filter(|alias| !alias.is_empty()) {
            names.push(alias);
            continue;
        }
        let mut name = name(&field.expr);
        if let Some(mut count) = counts.get(&name).copied() {
            let numbered = loop {
                let numbered = format!("{name}_{count}");
                if !counts.contains_key(&numbered) {
                    break numbered;
                }
                count += 1;
            };
            counts.insert(name, count + 1);
            name = numbered;
        }
        *counts.entry(name.clone()).or_default() += 1;
        names.push(name);
    }
    names
}

/// What a column is called that has no other name.
pub fn name(expr: &Expr) -> String {
    match expr {
        Expr::Call(call) => call.name.clone(),
        Expr::VarRef(var) => var.name.clone(),
        Expr::Paren(inner) => name(inner),
        Expr::Binary { .. } => {
            let mut parts = Vec::new();
            parts_of(expr, &mut parts);
            parts.join("_")
        }
        _ => String::new(),
    }
}

fn parts_of(expr: &Expr, parts: &mut Vec<String>) {
    match expr {
        Expr::Call(_) if expr.is_constant() => {}
        Expr::Call(call) => parts.push(call.name.clone()),
        Expr::VarRef(var) => parts.push(var.name.clone()),
        Expr::Binary { lhs, rhs, .. } => {
            parts_of(lhs, parts);
            parts_of(rhs, parts);
        }
        Expr::Paren(inner) => parts_of(inner, parts),
        _ => {}
    }
}

/// Finds the calls and names of a column.
fn collect(evaluation: &mut Evaluation, expr: &Expr) -> Result<(), Stop> {
    match expr {
        Expr::VarRef(var) => {
            if !evaluation.refs.iter().any(|(known, _)| known == var) {
                let place = evaluation.place(var);
                evaluation.refs.push((var.clone(), place));
            }
        }
        Expr::Call(call) if math(&call.name).is_some() => {
            for arg in call.args.iter().filter(|arg| !is_pattern(arg)) {
                collect(evaluation, arg)?;
            }
        }
        Expr::Call(call) => {
            if !evaluation.calls.contains(call) {
                evaluation.calls.push(call.clone());
                place_argument(evaluation, call);
            }
        }
        Expr::Binary { lhs, rhs, .. } => {
            collect(evaluation, lhs)?;
            collect(evaluation, rhs)?;
        }
        Expr::Paren(inner) => collect(evaluation, inner)?,
        other if Cell::literal(other).is_some() => {}
        other => return Err(Stop::Refused(format!("the column {other}"))),
    }
    Ok(())
}

/// What InfluxDB writes out as an argument of mathematics only if it is the first. Else it has no value.
fn is_pattern(arg: &Expr) -> bool {
    matches!(arg, Expr::Wildcard(_) | Expr::Regex(_))
}

fn place_argument(evaluation: &mut Evaluation, call: &Call) {
    match call.args.first() {
        Some(Expr::VarRef(var)) => drop(evaluation.place(var)),
        Some(Expr::Call(inner)) => place_argument(evaluation, inner),
        _ => {}
    }
}

fn cell(evaluation: &Evaluation, expr: &Expr) -> Result<Cell, Stop> {
    if let Some(literal) = Cell::literal(expr) {
        return Ok(literal);
    }
    let unknown = || Stop::Refused(format!("the column {expr}"));
    match expr {
        Expr::VarRef(var) => {
            let at = evaluation.refs.iter().position(|(known, _)| known == var).ok_or_else(unknown)?;
            Ok(Cell::Slot(evaluation.calls.len() + at))
        }
        Expr::Call(call) => match math(&call.name) {
            Some(math) => {
                let value = |arg: &Expr| match is_pattern(arg) {
                    true => Ok(Cell::Literal(Value::Null)),
                    false => cell(evaluation, arg),
                };
                let args: Result<Vec<Cell>, Stop> = call.args.iter().map(value).collect();
                Ok(Cell::Math(math, args?))
            }
            None => {
                let at = evaluation.calls.iter().position(|known| known == call).ok_or_else(unknown)?;
                Ok(Cell::Slot(at))
            }
        },
        Expr::Binary { op: BinaryOp::Match | BinaryOp::NotMatch, .. } => Err(unknown()),
        Expr::Binary { op, lhs, rhs } => {
            Ok(Cell::Binary(*op, Box::new(cell(evaluation, lhs)?), Box::new(cell(evaluation, rhs)?)))
        }
        Expr::Paren(inner) => cell(evaluation, inner),
        _ => Err(unknown()),
    }
}

impl Evaluation {
    /// Whether any of the names outside calls is known.
    pub(super) fn knows_a_ref(&self) -> bool {
        self.refs.iter().any(|(_, place)| matches!(place, Place::Field(..)))
    }
}
