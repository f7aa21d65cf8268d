//! min, max, first, last: one of the points, with the row that it comes from.

use std::cmp::Ordering;

use crate::merge::evaluate::rows::{NO_TIME, Point};
use crate::merge::results::Value;

/// Of values of one kind.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Unsigned(a), Value::Unsigned(b)) => a.cmp(b),
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

/// Whether it is no number, as sqrt() makes of one below 0.
pub fn is_none(value: &Value) -> bool {
    matches!(value, Value::Float(number) if number.is_nan())
}

/// The first point that no other is better than.
fn best(points: &[Point], better: impl Fn(&Point, &Point) -> bool) -> Point {
    let chosen = points.iter().reduce(|chosen, point| if better(point, chosen) { point } else { chosen });
    chosen.cloned().unwrap_or_else(|| Point::new(NO_TIME, Value::Null))
}

pub fn min(points: &[Point]) -> Point {
    best(points, |a, b| compare(&a.value, &b.value).is_lt() || a.value == b.value && a.time < b.time)
}

pub fn max(points: &[Point]) -> Point {
    best(points, |a, b| compare(&b.value, &a.value).is_lt() || a.value == b.value && a.time < b.time)
}

/// Which of two values at one time first() takes: the greater one, but false rather than true.
pub fn compare_first(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        _ => compare(b, a),
    }
}

pub fn first(points: &[Point]) -> Point {
    best(points, |a, b| a.time.cmp(&b.time).then(compare_first(&a.value, &b.value)).is_lt())
}

/// At one time the greater value.
pub fn last(points: &[Point]) -> Point {
    best(points, |a, b| b.time.cmp(&a.time).then(compare(&b.value, &a.value)).is_lt())
}

#[cfg(test)]
mod tests {
    use super::super::tests::floats;
    use super::*;

    #[test]
    fn ties_go_to_the_earlier_time_or_the_greater_value() {
        let points = floats(&[(5, 2.0), (3, 2.0), (3, 1.0), (9, 1.0), (9, 1.5)]);
        let of = |function: fn(&[Point]) -> Point| {
            let point = function(&points);
            (point.time, point.number().expect("a number"))
        };
        assert_eq!([of(min), of(max), of(first), of(last)], [(3, 1.0), (3, 2.0), (3, 2.0), (9, 1.5)]);
        // Nothing is better than what is no number, nor is that than anything.
        let none = floats(&[(5, f64::NAN), (3, 1.0)]);
        assert!([min, max].iter().all(|function| function(&none).time == 5));
        let points = [true, false, true].map(|value| Point::new(3, Value::Boolean(value)));
        assert_eq!([first(&points).value, last(&points).value], [Value::Boolean(false), Value::Boolean(true)]);
    }
}
