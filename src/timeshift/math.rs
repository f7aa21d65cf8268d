//! MATH: a series made of what a request's earlier statements have answered, as the small timeshift proxy has it.
//!
//! `$0` is the one column that the request's first statement has beside the time. Series meet when their tags are equal,
//! whatever their names; rows when their times are. What some of the statements has not makes no row. Statements that an
//! expression names are not answered themselves, unless `keep` lists them.

use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::ast::{Math, VarRef};
use crate::influxql::{Expr, ParamValue, Params, Select, Statement, parse_query};
use crate::merge::evaluate::expr::{Cell, math};
use crate::merge::results::{Series, Value};

/// An expression that can be worked out.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    name: String,
    cell: Cell,
    /// The statements that stand in it: slots of `cell`.
    pub operands: Vec<usize>,
    pub keep: Vec<usize>,
}

/// The values of a series by time.
type Column = BTreeMap<i64, Value>;

impl Formula {
    /// Reads the MATH that is a request's statement `id`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(statement: &Math, id: usize) -> Result<Formula, String> {
        let wrong = |what: String| format!("MATH expr={:?}: {what}", statement.expr);
        let mut params = Params::new();
        for number in 0..id {
            let name = format!("${number}");
            params
                .insert(&number.to_string(), ParamValue::Identifier(name))
                .map_err(|error| wrong(error.to_string()))?;
        }
        let text = format!("SELECT {} FROM m", statement.expr);
        let query = parse_query(&text, &params).map_err(|error| {
            match error.to_string().strip_prefix("missing parameter: ") {
                Some(number) => wrong(format!("${number} is none of the statements before it")),
                None => wrong(error.to_string()),
            }
        })?;
        let expr = alone(&query.statements).ok_or_else(|| wrong("one expression is wanted".to_owned()))?;
        let mut operands = Vec::new();
        let cell = cell(expr, &mut operands).map_err(wrong)?;
        if operands.is_empty() {
            return Err(wrong("it names no statement; $0 is the first".to_owned()));
        }
        if let Some(kept) = statement.keep.iter().find(|kept| **kept >= id) {
            return Err(wrong(format!("keep lists {kept}, which is none of the statements before it")));
        }
        Ok(Formula { name: statement.name.clone(), cell, operands, keep: statement.keep.clone() })
    }

    /// The series, of what each of `operands` has answered.
    ///
    /// # Errors
    /// What keeps them from being worked out.
    pub fn series(&self, answers: &BTreeMap<usize, Vec<Series>>) -> Result<Vec<Series>, String> {
        let columns: Result<Vec<_>, String> = self.operands.iter().map(|id| columns(*id, answers.get(id))).collect();
        let columns = columns?;
        let Some((first, others)) = columns.split_first() else { return Ok(Vec::new()) };
        let mut made = Vec::new();
        for (tags, column) in first {
            let Some(beside) = others.iter().map(|other| other.get(tags)).collect::<Option<Vec<_>>>() else { continue };
            let row = |(time, value): (&i64, &Value)| {
                let others = beside.iter().map(|column| column.get(time).cloned());
                let slots: Option<Vec<Value>> = std::iter::once(Some(value.clone())).chain(others).collect();
                let value = match self.cell.value(&slots?) {
                    Value::Float(number) if number.is_nan() => Value::Null,
                    value => value,
                };
                Some(vec![Value::Time(*time), value])
            };
            let values: Vec<Vec<Value>> = column.iter().filter_map(row).collect();
            if !values.is_empty() {
                let columns = vec!["time".to_owned(), self.name.clone()];
                made.push(Series { name: self.name.clone(), tags: tags.clone(), columns, values, ..Series::default() });
            }
        }
        Ok(made)
    }
}

/// The expression of a SELECT that is nothing else.
fn alone(statements: &[Statement]) -> Option<&Expr> {
    let [Statement::Select(select)] = statements else { return None };
    let [field] = select.fields.as_slice() else { return None };
    let plain = Select { fields: select.fields.clone(), sources: select.sources.clone(), ..Select::default() };
    let is_m = select.sources.iter().all(|source| source.to_string() == "m") && select.sources.len() == 1;
    (is_m && **select == plain && field.alias.is_none()).then_some(&field.expr)
}

fn cell(expr: &Expr, operands: &mut Vec<usize>) -> Result<Cell, String> {
    if let Some(literal) = Cell::literal(expr) {
        return Ok(literal);
    }
    match expr {
        Expr::VarRef(VarRef { name, cast: None }) => {
            let number = name.strip_prefix('$').and_then(|number| number.parse().ok());
            let number = number.ok_or_else(|| format!("{name} is no statement; $0 is the first"))?;
            let known = operands.iter().position(|own| *own == number);
            Ok(Cell::Slot(known.unwrap_or_else(|| {
                operands.push(number);
                operands.len() - 1
            })))
        }
        Expr::Call(call) => {
            let function = math(&call.name).ok_or_else(|| format!("{}() is not known here", call.name))?;
            let args: Result<Vec<Cell>, String> = call.args.iter().map(|arg| cell(arg, operands)).collect();
            Ok(Cell::Math(function, args?))
        }
        Expr::Binary { op, lhs, rhs } => {
            Ok(Cell::Binary(*op, Box::new(cell(lhs, operands)?), Box::new(cell(rhs, operands)?)))
        }
        Expr::Paren(inner) => cell(inner, operands),
        other => Err(format!("{other} is not known here")),
    }
}

/// A statement's values, by the tags of their series.
fn columns(id: usize, answer: Option<&Vec<Series>>) -> Result<BTreeMap<Vec<(String, String)>, Column>, String> {
    let mut columns = BTreeMap::new();
    for series in answer.into_iter().flatten() {
        if series.columns.len() != 2 {
            let names = series.columns.iter().skip(1).cloned().collect::<Vec<_>>().join(", ");
            return Err(format!("MATH: ${id} has the columns {names}; it must have one beside the time"));
        }
        let mut column = Column::new();
        for row in &series.values {
            let [Value::Time(time), value] = row.as_slice() else {
                return Err(format!("MATH: ${id} has rows without times"));
            };
            if column.insert(*time, value.clone()).is_some() {
                return Err(format!(
                    "MATH: ${id} has several rows at one time; GROUP BY the tags that tell them apart"
                ));
            }
        }
        if columns.insert(series.tags.clone(), column).is_some() {
            return Err(format!("MATH: ${id} has several series of the same tags"));
        }
    }
    Ok(columns)
}

/// Which statements a request's formulas name, and which of these are answered themselves.
pub fn mentioned<'a>(formulas: impl Iterator<Item = &'a Formula>) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let (mut named, mut kept) = (BTreeSet::new(), BTreeSet::new());
    for formula in formulas {
        named.extend(&formula.operands);
        kept.extend(&formula.keep);
    }
    (named, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formula(expr: &str, id: usize) -> Result<Formula, String> {
        Formula::new(&Math { name: "x".to_owned(), expr: expr.to_owned(), keep: Vec::new() }, id)
    }

    fn series(tag: &str, values: &[(i64, f64)]) -> Series {
        let row = |(time, value): &(i64, f64)| vec![Value::Time(*time), Value::Float(*value)];
        Series {
            name: "m".to_owned(),
            tags: vec![("host".to_owned(), tag.to_owned())],
            columns: vec!["time".to_owned(), "mean".to_owned()],
            values: values.iter().map(row).collect(),
            ..Series::default()
        }
    }

    #[test]
    fn series_meet_by_tags_and_rows_by_time() {
        let answers = BTreeMap::from([
            (0, vec![series("a", &[(1, 6.0), (2, 8.0), (4, 1.0)]), series("b", &[(1, 1.0)])]),
            (1, vec![series("a", &[(1, 3.0), (2, 0.0), (3, 1.0)]), series("c", &[(1, 1.0)])]),
        ]);
        let made =
            formula("100 * ($0 / $1) - abs($1)", 2).and_then(|formula| formula.series(&answers)).expect("it is right");
        assert_eq!(made.len(), 1);
        assert_eq!((made[0].name.as_str(), made[0].tags[0].1.as_str()), ("x", "a"));
        let rows = [(1, 197.0), (2, 0.0)].map(|(time, value)| vec![Value::Time(time), Value::Float(value)]);
        assert_eq!(made[0].values, rows);
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for (expr, why) in [
            ("$0 / $2", "$2 is none of the statements before it"),
            ("1 + 2", "names no statement"),
            ("$0 / v", "v is no statement"),
            ("mean($0)", "mean() is not known here"),
            ("$0, $1", "one expression is wanted"),
            ("$0 FROM x; DROP DATABASE y; SELECT v", "one expression is wanted"),
            ("$0 AS y", "one expression is wanted"),
            ("$0 +", "found FROM"),
        ] {
            let refused = formula(expr, 2).expect_err(expr);
            assert!(refused.contains(why), "{expr}: {refused}");
        }
    }
}
