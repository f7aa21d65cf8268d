//! mean. Of several means, each weighs as much as it had points.

use crate::merge::results::Value;

use crate::merge::evaluate::rows::{NO_TIME, Point};

pub fn mean(points: &[Point]) -> Point {
    let count: u64 = points.iter().map(|point| point.count).sum();
    let mut integers = 0_i64;
    let mut floats = 0.0;
    for point in points {
        match &point.value {
            Value::Integer(number) => integers = integers.wrapping_add(*number),
            Value::Float(number) if point.count > 1 => floats += number * point.count as f64,
            _ => floats += point.number().unwrap_or_default(),
        }
    }
    let sum =
        if matches!(points.first(), Some(Point { value: Value::Integer(_), .. })) { integers as f64 } else { floats };
    Point { count, ..Point::new(NO_TIME, Value::Float(sum / count as f64)) }
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
}
