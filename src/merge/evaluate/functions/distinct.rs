//! distinct: each value once, by when it came first, then by value.

use std::cmp::Ordering;

use super::select::{compare, is_none};
use crate::merge::evaluate::rows::Point;
use crate::merge::results::Value;

/// Hashes a value as Go's map does: by what it is.
fn key(value: &Value) -> (u8, u64, &str) {
    match value {
        Value::Null => (0, 0, ""),
        Value::Boolean(truth) => (1, u64::from(*truth), ""),
        Value::Integer(number) | Value::Time(number) => (2, *number as u64, ""),
        Value::Unsigned(number) => (3, *number, ""),
        // Both zeros are one.
        Value::Float(number) => (4, if *number == 0.0 { 0 } else { number.to_bits() }, ""),
        Value::String(text) => (5, 0, text),
    }
}

pub fn distinct(points: &[Point]) -> Vec<Point> {
    let mut seen = std::collections::HashSet::new();
    // What is no number is not even like itself.
    let each = points.iter().filter(|point| is_none(&point.value) || seen.insert(key(&point.value)));
    let mut found: Vec<Point> = each.cloned().collect();
    found.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| in_order(&a.value, &b.value)));
    found
}

/// Whether InfluxDB has them in this order. Where numbers and what is none are of one time, it has another one each time.
pub fn is_in_order(found: &[Point]) -> bool {
    let none = |point: &Point| is_none(&point.value);
    found.chunk_by(|a, b| a.time == b.time).all(|same| same.iter().all(none) || !same.iter().any(none))
}

/// Whatever is among them.
fn in_order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
        _ => compare(a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::floats;
    use super::*;

    #[test]
    fn by_first_occurrence_then_value() {
        let points = floats(&[(1, 3.0), (1, 1.0), (2, 3.0), (2, 0.0), (3, -0.0)]);
        let seen: Vec<f64> = distinct(&points).iter().filter_map(Point::number).collect();
        assert_eq!(seen, [1.0, 3.0, 0.0]);
    }

    #[test]
    fn each_that_is_no_number_is_another() {
        let points = floats(&[(1, f64::NAN), (1, 1.0), (1, f64::NAN), (2, 1.0)]);
        assert_eq!(distinct(&points).len(), 3);
        assert!(!is_in_order(&distinct(&points)) && is_in_order(&distinct(&points[2..])));
    }
}
