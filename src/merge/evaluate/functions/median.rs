//! median: the value in the middle, or what is halfway between the two.

use super::Args;
use super::select::compare;
use crate::merge::evaluate::rows::{NO_TIME, Point};
use crate::merge::results::Value;

pub fn median(points: &[Point], _: &Args) -> Vec<Point> {
    let mut values: Vec<&Value> = points.iter().map(|point| &point.value).collect();
    values.sort_by(|a, b| compare(a, b));
    let middle = values.len() / 2;
    let value = match (values.len() % 2, values.get(middle)) {
        (1, Some(value)) => super::super::rows::as_f64(value).unwrap_or_default(),
        (_, Some(high)) => match (values[middle - 1], high) {
            (Value::Float(low), Value::Float(high)) => low + (high - low) / 2.0,
            (Value::Integer(low), Value::Integer(high)) => *low as f64 + high.wrapping_sub(*low) as f64 / 2.0,
            (Value::Unsigned(low), Value::Unsigned(high)) => *low as f64 + (high - low) as f64 / 2.0,
            _ => return Vec::new(),
        },
        (_, None) => return Vec::new(),
    };
    vec![Point::new(NO_TIME, Value::Float(value))]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{args, floats};
    use super::*;

    #[test]
    fn the_middle_or_between() {
        let of = |points: &[(i64, f64)]| median(&floats(points), &args(0.0, None)).remove(0).value;
        assert_eq!(of(&[(1, 9.0), (2, 1.0), (3, 4.0)]), Value::Float(4.0));
        assert_eq!(of(&[(1, 9.0), (2, 1.0), (3, 4.0), (4, 2.0)]), Value::Float(3.0));
    }
}
