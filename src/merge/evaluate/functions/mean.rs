//! mean. Of several means, each weighs as much as it had points.

use crate::merge::results::Value;

use super::sum::sum;
use crate::merge::evaluate::rows::{NO_TIME, Point, as_f64};

pub fn mean(points: &[Point]) -> Point {
    let count: u64 = points.iter().map(|point| point.count).sum();
    let sum = match points.first().map(|point| &point.value) {
        // Of whole numbers the sum is one too.
        Some(Value::Integer(_) | Value::Unsigned(_)) => as_f64(&sum(points).value).unwrap_or_default(),
        _ => points.iter().map(weighted).fold(0.0, |sum, value| sum + value),
    };
    Point { count, ..Point::new(NO_TIME, Value::Float(sum / count as f64)) }
}

fn weighted(point: &Point) -> f64 {
    let value = point.number().unwrap_or_default();
    if point.count > 1 { value * point.count as f64 } else { value }
}

#[cfg(test)]
mod tests {
    use super::super::tests::floats;
    use super::*;

    #[test]
    fn means_weigh_as_their_points() {
        let one = mean(&floats(&[(0, 1.0), (1, 2.0), (2, 6.0)]));
        let other = mean(&[5, 6].map(|value| Point::new(0, Value::Integer(value))));
        assert_eq!((&one.value, &other.value), (&Value::Float(3.0), &Value::Float(5.5)));
        assert_eq!(mean(&[one, other]).value, Value::Float(4.0));
    }

    #[test]
    fn sums_of_whole_numbers_run_over() {
        let of = |values: [Value; 2]| mean(&values.map(|value| Point::new(0, value))).value;
        assert_eq!(of([Value::Integer(i64::MAX), Value::Integer(3)]), Value::Float((i64::MIN + 2) as f64 / 2.0));
        assert_eq!(of([Value::Unsigned(u64::MAX), Value::Unsigned(3)]), Value::Float(1.0));
    }
}
