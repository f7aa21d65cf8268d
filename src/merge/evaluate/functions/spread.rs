//! spread: the greatest value less the smallest; no number where one of them is none.

use super::Args;
use super::select::{is_none, max, min};
use super::sum::minus;
use crate::merge::evaluate::rows::{NO_TIME, Point};

pub fn spread(points: &[Point], _: &Args) -> Vec<Point> {
    let none = points.iter().find(|point| is_none(&point.value));
    let spread = none.map(|point| point.value.clone());
    vec![Point::new(NO_TIME, spread.unwrap_or_else(|| minus(&max(points).value, &min(points).value)))]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{args, floats};
    use super::*;
    use crate::merge::results::Value;

    #[test]
    fn of_one_point_it_is_zero() {
        let of = |points: &[(i64, f64)]| spread(&floats(points), &args(0.0, None)).remove(0).value;
        assert_eq!((of(&[(1, 3.0)]), of(&[(1, 3.0), (2, -1.0)])), (Value::Float(0.0), Value::Float(4.0)));
    }

    #[test]
    fn what_is_no_number_makes_none() {
        for points in [[1.0, f64::NAN, 5.0], [f64::NAN, 1.0, 5.0], [1.0, 5.0, f64::NAN]] {
            let points: Vec<(i64, f64)> = (1..).zip(points).collect();
            let spread = spread(&floats(&points), &args(0.0, None)).remove(0).value;
            assert!(matches!(spread, Value::Float(value) if value.is_nan()), "{spread:?}");
        }
    }
}
