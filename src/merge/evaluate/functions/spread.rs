//! spread: the greatest value less the smallest.

use super::Args;
use super::select::{max, min};
use super::sum::minus;
use crate::merge::evaluate::rows::{NO_TIME, Point};

pub fn spread(points: &[Point], _: &Args) -> Vec<Point> {
    vec![Point::new(NO_TIME, minus(&max(points).value, &min(points).value))]
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
}
