//! WHERE over rows that a subquery has made.
//!
//! As InfluxDB's filterCursor has it, with `ValuerEval` of influxql: a name is a column of the row, cast to the type that the
//! outer statement takes it for, or else the value of a tag, empty if there is none; an integer divided by an integer is an
//! integer; what cannot be compared is false, what is missing is false beside a truth. Rows of measurements are filtered by
//! the groups. Used by `nested`.

use regex::Regex;

use crate::influxql::Expr;
use crate::influxql::ast::{BinaryOp, VarRef};
use crate::merge::results::Value;

use super::Stop;
use super::expr::{Cell, Division, binary};

/// A condition without comparisons of `time`, ready for rows.
#[derive(Debug)]
pub enum Filter {
    Name(VarRef),
    Literal(Value),
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Binary(BinaryOp, Box<Filter>, Box<Filter>),
    /// Whether a text fits, or does not.
    Match(Box<Filter>, Regex, bool),
    /// What has no value here: calls.
    Nothing,
}

impl Filter {
    /// # Errors
    /// A regular expression that cannot be read here.
    pub fn new(condition: &Expr) -> Result<Filter, Stop> {
        if let Some(Cell::Literal(value)) = Cell::literal(condition) {
            return Ok(Filter::Literal(value));
        }
        let all = |terms: &[Expr]| terms.iter().map(Filter::new).collect::<Result<Vec<Filter>, Stop>>();
        match condition {
            Expr::VarRef(var) => Ok(Filter::Name(var.clone())),
            Expr::Paren(inner) => Filter::new(inner),
            Expr::And(terms) => Ok(Filter::And(all(terms)?)),
            Expr::Or(terms) => Ok(Filter::Or(all(terms)?)),
            Expr::Binary { op: op @ (BinaryOp::Match | BinaryOp::NotMatch), lhs, rhs } => {
                let Expr::Regex(regex) = &**rhs else { return Ok(Filter::Nothing) };
                let read = Regex::new(regex).map_err(|_| Stop::Refused(format!("the regular expression /{regex}/")))?;
                Ok(Filter::Match(Box::new(Filter::new(lhs)?), read, *op == BinaryOp::Match))
            }
            Expr::Binary { op, lhs, rhs } => {
                Ok(Filter::Binary(*op, Box::new(Filter::new(lhs)?), Box::new(Filter::new(rhs)?)))
            }
            _ => Ok(Filter::Nothing),
        }
    }

    /// Whether a row passes whose values `of` tells.
    pub fn passes(&self, of: &impl Fn(&VarRef) -> Value) -> bool {
        self.value(of) == Value::Boolean(true)
    }

    fn value(&self, of: &impl Fn(&VarRef) -> Value) -> Value {
        match self {
            Filter::Name(var) => of(var),
            Filter::Literal(value) => value.clone(),
            Filter::And(terms) => joined(terms, of, |a, b| a && b),
            Filter::Or(terms) => joined(terms, of, |a, b| a || b),
            Filter::Binary(op, lhs, rhs) => binary(*op, &lhs.value(of), &rhs.value(of), Division::Whole),
            Filter::Match(lhs, regex, fits) => match lhs.value(of) {
                Value::String(text) => Value::Boolean(regex.is_match(&text) == *fits),
                // A truth or a number fits no pattern, nor fails to.
                _ => Value::Null,
            },
            Filter::Nothing => Value::Null,
        }
    }
}

/// Term after term, as the operator binds to the left.
fn joined(terms: &[Filter], of: &impl Fn(&VarRef) -> Value, join: fn(bool, bool) -> bool) -> Value {
    let both = |lhs: Value, rhs: Value| match (lhs, rhs) {
        (Value::Boolean(a), Value::Boolean(b)) => Value::Boolean(join(a, b)),
        (Value::Boolean(a), Value::Null) => Value::Boolean(join(a, false)),
        (Value::Null, Value::Boolean(b)) => Value::Boolean(join(false, b)),
        (Value::Boolean(_), _) => Value::Boolean(false),
        _ => Value::Null,
    };
    terms.iter().map(|term| term.value(of)).reduce(both).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, Statement, parse_query};

    fn passes(condition: &str) -> bool {
        let text = format!("SELECT v FROM m WHERE {condition}");
        let query = parse_query(&text, &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let Statement::Select(select) = &query.statements[0] else { panic!("a SELECT") };
        let filter = Filter::new(select.condition.as_ref().expect("it has one")).expect("it reads");
        filter.passes(&|var| match var.name.as_str() {
            "f" => Value::Float(2.5),
            "i" => Value::Integer(7),
            "s" => Value::from("web-1"),
            "b" => Value::Boolean(true),
            "host" => Value::from(""),
            _ => Value::Null,
        })
    }

    #[test]
    fn as_influxdb_compares() {
        for condition in [
            "f > 2",
            "i = 7.0",
            "i / 2 = 3",
            "i / 0 = 0",
            "s = 'web-1'",
            "s =~ /^web/ AND s !~ /2$/",
            "b",
            "b = true AND none != true",
            "host = ''",
            "none > 1 OR i > 1",
            "(f > 3 OR f < 3) AND i + f > 9",
            "i & 3 = 3",
            "true",
        ] {
            assert!(passes(condition), "{condition}");
        }
        for condition in [
            "f > i",
            "none > 1",
            "none != 1",
            "none =~ /a/",
            "none !~ /a/",
            "i =~ /7/",
            "i !~ /8/",
            "s != 5",
            "s > 'a'",
            "i",
            "none",
            "i AND b",
            "abs(f) > 1",
            "b = 1",
        ] {
            assert!(!passes(condition), "{condition}");
        }
    }
}
