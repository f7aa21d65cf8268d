//! cumulative_sum: with every point, also of one time.

use super::sum::{from_zero, plus};
use super::{Args, Stream};
use crate::merge::evaluate::rows::Point;
use crate::merge::results::Value;

struct CumulativeSum(Value);

pub fn begin(_: &Args) -> Box<dyn Stream> {
    Box::new(CumulativeSum(Value::Null))
}

impl Stream for CumulativeSum {
    fn push(&mut self, point: &Point) -> Option<Point> {
        self.0 = from_zero(plus(&self.0, &point.value));
        Some(Point::new(point.time, self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::super::tests::{args, floats};
    use super::*;

    #[test]
    fn every_point_counts() {
        let points = floats(&[(0, 1.0), (1, 3.0), (1, -5.0)]);
        assert_eq!(run(&mut *begin(&args(0.0, None)), &points), floats(&[(0, 1.0), (1, 4.0), (1, -1.0)]));
    }

    #[test]
    fn it_begins_at_zero() {
        let told = run(&mut *begin(&args(0.0, None)), &floats(&[(0, -0.0)]));
        assert!(matches!(told[0].value, Value::Float(sum) if sum.is_sign_positive()));
    }
}
