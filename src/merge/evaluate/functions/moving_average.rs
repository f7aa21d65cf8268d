//! moving_average: of the last so many points, once there are so many.

use std::collections::VecDeque;

use super::sum::{from_zero, minus, plus};
use super::{Args, Stream};
use crate::merge::evaluate::rows::{Point, as_f64};
use crate::merge::results::Value;

struct MovingAverage {
    length: usize,
    values: VecDeque<Value>,
    sum: Value,
}

pub fn begin(args: &Args) -> Box<dyn Stream> {
    Box::new(MovingAverage { length: (args.number as usize).max(1), values: VecDeque::new(), sum: Value::Null })
}

impl Stream for MovingAverage {
    fn push(&mut self, point: &Point) -> Option<Point> {
        if self.values.len() == self.length
            && let Some(oldest) = self.values.pop_front()
        {
            self.sum = minus(&self.sum, &oldest);
        }
        self.values.push_back(point.value.clone());
        self.sum = from_zero(plus(&self.sum, &point.value));
        let sum = as_f64(&self.sum).filter(|_| self.values.len() == self.length)?;
        Some(Point::new(point.time, Value::Float(sum / self.length as f64)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::super::tests::{args, floats};
    use super::*;

    #[test]
    fn from_the_so_manieth_point_on() {
        let points = floats(&[(0, 1.0), (1, 3.0), (1, 5.0), (3, 1.0)]);
        assert_eq!(run(&mut *begin(&args(3.0, None)), &points), floats(&[(1, 3.0), (3, 3.0)]));
    }
}
