//! count, sum.

use crate::merge::results::Value;

use crate::merge::evaluate::rows::{NO_TIME, Point};

pub fn count(points: &[Point]) -> Point {
    Point::new(NO_TIME, Value::Integer(points.len() as i64))
}

pub fn sum(points: &[Point]) -> Point {
    Point::new(NO_TIME, points.iter().map(|point| &point.value).fold(Value::Null, |so_far, value| plus(&so_far, value)))
}

/// The greatest sum of whole numbers that fits, whatever their kind.
pub const WHOLE_SUM_MAX: u64 = i64::MAX as u64;

/// A whole number without its sign.
pub fn whole(value: &Value) -> u64 {
    match value {
        Value::Integer(number) => number.unsigned_abs(),
        Value::Unsigned(number) => *number,
        _ => 0,
    }
}

/// Integers wrap.
pub fn plus(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => Value::Integer(a.wrapping_add(*b)),
        (Value::Unsigned(a), Value::Unsigned(b)) => Value::Unsigned(a.wrapping_add(*b)),
        (Value::Float(a), Value::Float(b)) => Value::Float(a + b),
        (Value::Null, other) => other.clone(),
        (other, _) => other.clone(),
    }
}

/// What is added to nothing, where InfluxDB begins at 0: -0 becomes 0.
pub fn from_zero(sum: Value) -> Value {
    match sum {
        Value::Float(sum) => Value::Float(0.0 + sum),
        other => other,
    }
}

pub fn minus(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => Value::Integer(a.wrapping_sub(*b)),
        (Value::Unsigned(a), Value::Unsigned(b)) => Value::Unsigned(a.wrapping_sub(*b)),
        (Value::Float(a), Value::Float(b)) => Value::Float(a - b),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_wrap() {
        let points = [i64::MAX, 1, 1].map(|value| Point::new(0, Value::Integer(value)));
        assert_eq!(sum(&points).value, Value::Integer(i64::MIN + 1));
        assert_eq!(count(&points).value, Value::Integer(3));
    }
}
