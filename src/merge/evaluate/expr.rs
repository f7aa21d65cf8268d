//! A column's expression over the values of one row.
//!
//! As `ValuerEval` of influxql with `MathValuer` has it: an integer divided by an integer is a float, what is divided by zero
//! is zero, and what has no value makes none.

use crate::influxql::Expr;
use crate::influxql::ast::BinaryOp;
use crate::merge::results::Value;

use super::rows::as_f64;

/// A column's expression: names and calls are slots of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Slot(usize),
    Literal(Value),
    Binary(BinaryOp, Box<Cell>, Box<Cell>),
    Math(&'static Math, Vec<Cell>),
}

/// A function of numbers, evaluated on a row.
#[derive(Debug, PartialEq)]
pub struct Math {
    pub name: &'static str,
    of: Of,
}

#[derive(Clone, Copy, Debug)]
enum Of {
    One(fn(f64) -> f64),
    Two(fn(f64, f64) -> f64),
    /// An integer stays what it is.
    Whole(fn(f64) -> f64),
    Abs,
}

/// By its name alone.
impl PartialEq for Of {
    fn eq(&self, other: &Of) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

const fn row(name: &'static str, of: Of) -> Math {
    Math { name, of }
}

/// One row a function.
const MATH: &[Math] = &[
    row("abs", Of::Abs),
    row("sin", Of::One(f64::sin)),
    row("cos", Of::One(f64::cos)),
    row("tan", Of::One(f64::tan)),
    row("asin", Of::One(f64::asin)),
    row("acos", Of::One(f64::acos)),
    row("atan", Of::One(f64::atan)),
    row("atan2", Of::Two(f64::atan2)),
    row("exp", Of::One(f64::exp)),
    row("ln", Of::One(f64::ln)),
    row("log", Of::Two(|x, base| x.ln() / base.ln())),
    row("log2", Of::One(f64::log2)),
    row("log10", Of::One(f64::log10)),
    row("sqrt", Of::One(f64::sqrt)),
    row("pow", Of::Two(f64::powf)),
    row("floor", Of::Whole(f64::floor)),
    row("ceil", Of::Whole(f64::ceil)),
    row("round", Of::Whole(f64::round)),
];

pub fn math(name: &str) -> Option<&'static Math> {
    MATH.iter().find(|math| math.name == name)
}

impl Cell {
    /// What a number, text or truth in a column stands for.
    pub fn literal(expr: &Expr) -> Option<Cell> {
        Some(Cell::Literal(match expr {
            Expr::Integer(number) => Value::Integer(*number),
            Expr::Unsigned(number) => Value::Unsigned(*number),
            Expr::Float(number) => Value::Float(*number),
            Expr::Boolean(truth) => Value::Boolean(*truth),
            Expr::String(text) => Value::String(text.clone()),
            // InfluxDB calculates with neither.
            Expr::Duration(_) | Expr::BoundRegex(_) => Value::Null,
            _ => return None,
        }))
    }

    pub fn value(&self, slots: &[Value]) -> Value {
        match self {
            Cell::Slot(at) => slots[*at].clone(),
            Cell::Literal(value) => value.clone(),
            Cell::Binary(op, lhs, rhs) => binary(*op, &lhs.value(slots), &rhs.value(slots), Division::Float),
            Cell::Math(math, args) => {
                let args: Vec<Value> = args.iter().map(|arg| arg.value(slots)).collect();
                math.value(&args)
            }
        }
    }
}

impl Math {
    fn value(&self, args: &[Value]) -> Value {
        let float = |number: Option<f64>| number.map_or(Value::Null, Value::Float);
        match (self.of, args) {
            // Of an integer influxd 1.6.7 gives the integer itself, negative or not: the third arm.
            (Of::Abs, [Value::Float(number)]) => Value::Float(number.abs()),
            (Of::Whole(of), [Value::Float(number)]) => Value::Float(of(*number)),
            (Of::Abs | Of::Whole(_), [whole @ (Value::Integer(_) | Value::Unsigned(_))]) => whole.clone(),
            (Of::One(of), [one]) => float(as_f64(one).map(of)),
            (Of::Two(of), [one, other]) => float(as_f64(one).zip(as_f64(other)).map(|(one, other)| of(one, other))),
            _ => Value::Null,
        }
    }
}

/// What an integer divided by an integer is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Division {
    /// In a column.
    Float,
    /// In WHERE of a subquery's rows.
    Whole,
}

/// Of anything but AND, OR and regular expressions.
pub fn binary(op: BinaryOp, lhs: &Value, rhs: &Value, division: Division) -> Value {
    const FALSE: Value = Value::Boolean(false);
    match (lhs, rhs) {
        // What is missing is false beside a truth.
        (Value::Null, Value::Boolean(_)) => binary(op, &FALSE, rhs, division),
        (Value::Boolean(_), Value::Null) => binary(op, lhs, &FALSE, division),
        (Value::Boolean(a), Value::Boolean(b)) => match op {
            BinaryOp::BitAnd => Value::Boolean(a & b),
            BinaryOp::BitOr => Value::Boolean(a | b),
            BinaryOp::BitXor => Value::Boolean(a ^ b),
            BinaryOp::Equal => Value::Boolean(a == b),
            BinaryOp::NotEqual => Value::Boolean(a != b),
            _ if op.is_comparison() => FALSE,
            _ => Value::Null,
        },
        (Value::Boolean(_), _) if matches!(op, BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor) => FALSE,
        (Value::Integer(a), Value::Integer(b)) => integers(op, *a, *b, division),
        (Value::Unsigned(a), Value::Unsigned(b)) => unsigned(op, *a, *b),
        (Value::Unsigned(a), Value::Integer(b)) => unsigned(op, *a, *b as u64),
        (Value::Integer(a), Value::Unsigned(_)) if *a < 0 && is_below(op) => Value::Boolean(true),
        (Value::Integer(a), Value::Unsigned(_)) if *a < 0 && is_above(op) => FALSE,
        (Value::Integer(a), Value::Unsigned(b)) => unsigned(op, *a as u64, *b),
        (Value::String(a), Value::String(b)) => match op {
            BinaryOp::Equal => Value::Boolean(a == b),
            BinaryOp::NotEqual => Value::Boolean(a != b),
            _ if op.is_comparison() => FALSE,
            _ => Value::Null,
        },
        _ => match (as_f64(lhs), as_f64(rhs)) {
            (Some(a), Some(b)) => floats(op, a, b),
            _ if op.is_comparison() => FALSE,
            _ => Value::Null,
        },
    }
}

fn integers(op: BinaryOp, a: i64, b: i64, division: Division) -> Value {
    match op {
        BinaryOp::Add => Value::Integer(a.wrapping_add(b)),
        BinaryOp::Sub => Value::Integer(a.wrapping_sub(b)),
        BinaryOp::Mul => Value::Integer(a.wrapping_mul(b)),
        BinaryOp::Div if division == Division::Float => floats(op, a as f64, b as f64),
        BinaryOp::Div | BinaryOp::Mod if b == 0 => Value::Integer(0),
        BinaryOp::Div => Value::Integer(a.wrapping_div(b)),
        BinaryOp::Mod => Value::Integer(a.wrapping_rem(b)),
        BinaryOp::BitAnd => Value::Integer(a & b),
        BinaryOp::BitOr => Value::Integer(a | b),
        BinaryOp::BitXor => Value::Integer(a ^ b),
        _ => compared(op, a, b),
    }
}

/// What comparisons say of numbers of one kind; others say nothing of them.
fn compared<T: PartialOrd>(op: BinaryOp, a: T, b: T) -> Value {
    Value::Boolean(match op {
        BinaryOp::Equal => a == b,
        BinaryOp::NotEqual => a != b,
        BinaryOp::Less => a < b,
        BinaryOp::LessEqual => a <= b,
        BinaryOp::Greater => a > b,
        BinaryOp::GreaterEqual => a >= b,
        _ => return Value::Null,
    })
}

fn is_below(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Less | BinaryOp::LessEqual)
}

fn is_above(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Greater | BinaryOp::GreaterEqual)
}

/// Of numbers beyond the integers, and of integers beside them.
fn unsigned(op: BinaryOp, a: u64, b: u64) -> Value {
    match op {
        BinaryOp::Add => Value::Unsigned(a.wrapping_add(b)),
        BinaryOp::Sub => Value::Unsigned(a.wrapping_sub(b)),
        BinaryOp::Mul => Value::Unsigned(a.wrapping_mul(b)),
        BinaryOp::Div => Value::Unsigned(a.checked_div(b).unwrap_or(0)),
        BinaryOp::Mod => Value::Unsigned(a.checked_rem(b).unwrap_or(0)),
        BinaryOp::BitAnd => Value::Unsigned(a & b),
        BinaryOp::BitOr => Value::Unsigned(a | b),
        BinaryOp::BitXor => Value::Unsigned(a ^ b),
        _ => compared(op, a, b),
    }
}

fn floats(op: BinaryOp, a: f64, b: f64) -> Value {
    match op {
        BinaryOp::Add => Value::Float(a + b),
        BinaryOp::Sub => Value::Float(a - b),
        BinaryOp::Mul => Value::Float(a * b),
        BinaryOp::Div if b == 0.0 => Value::Float(0.0),
        BinaryOp::Div => Value::Float(a / b),
        BinaryOp::Mod => Value::Float(a % b),
        _ => compared(op, a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_influxdbs() {
        use Value::{Boolean, Float, Integer, Null, Unsigned};
        for (op, a, b, expected) in [
            (BinaryOp::Div, Integer(7), Integer(2), Float(3.5)),
            (BinaryOp::Div, Integer(7), Integer(0), Float(0.0)),
            (BinaryOp::Div, Float(7.0), Integer(0), Float(0.0)),
            (BinaryOp::Mod, Integer(7), Integer(0), Integer(0)),
            (BinaryOp::Mul, Integer(i64::MAX), Integer(2), Integer(-2)),
            (BinaryOp::Sub, Unsigned(u64::MAX), Unsigned(u64::MAX - 5), Unsigned(5)),
            (BinaryOp::Sub, Integer(1), Unsigned(1 << 63), Unsigned((1 << 63) + 1)),
            (BinaryOp::Mod, Unsigned((1 << 63) + 1), Integer(2), Unsigned(1)),
            (BinaryOp::Div, Unsigned(1 << 63), Integer(0), Unsigned(0)),
            (BinaryOp::Less, Integer(-1), Unsigned(1 << 63), Boolean(true)),
            (BinaryOp::GreaterEqual, Integer(-1), Unsigned(1 << 63), Boolean(false)),
            (BinaryOp::Add, Integer(1), Float(0.5), Float(1.5)),
            (BinaryOp::Add, Null, Float(0.5), Null),
            (BinaryOp::Less, Null, Float(0.5), Boolean(false)),
            (BinaryOp::BitAnd, Float(3.0), Integer(1), Null),
            (BinaryOp::BitAnd, Boolean(true), Boolean(false), Boolean(false)),
            (BinaryOp::BitOr, Boolean(true), Integer(1), Boolean(false)),
            (BinaryOp::NotEqual, Null, Boolean(true), Boolean(true)),
            (BinaryOp::Less, Boolean(false), Boolean(true), Boolean(false)),
        ] {
            assert_eq!(binary(op, &a, &b, Division::Float), expected, "{a:?} {} {b:?}", op.symbol());
        }
        let value = |name: &str, args: &[Value]| math(name).expect("it has a row").value(args);
        assert_eq!(value("abs", &[Integer(-3)]), Integer(-3), "as influxd 1.6.7 has it");
        assert_eq!(value("round", &[Float(-2.5)]), Float(-3.0));
        assert_eq!(value("pow", &[Integer(3), Integer(2)]), Float(9.0));
        // No number is a value all the same: what counts it, or divides it by zero, has it.
        for beyond in ["asin", "acos"] {
            assert!(matches!(value(beyond, &[Integer(2)]), Float(number) if number.is_nan()), "{beyond}");
        }
        assert_eq!(value("sqrt", &[Null]), Null);
    }
}
