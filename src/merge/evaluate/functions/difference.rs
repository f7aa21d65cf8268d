//! difference, non_negative_difference: of points at one time the first counts.

use super::select::compare;
use super::sum::minus;
use super::{Args, Stream};
use crate::merge::evaluate::rows::Point;
use crate::merge::results::Value;

struct Difference {
    falls: bool,
    previous: Option<Point>,
}

pub fn difference(_: &Args) -> Box<dyn Stream> {
    Box::new(Difference { falls: true, previous: None })
}

pub fn non_negative(_: &Args) -> Box<dyn Stream> {
    Box::new(Difference { falls: false, previous: None })
}

impl Stream for Difference {
    fn push(&mut self, point: &Point) -> Option<Point> {
        if self.previous.as_ref().is_some_and(|previous| previous.time == point.time) {
            return None;
        }
        let previous = self.previous.replace(point.clone())?;
        let difference = minus(&point.value, &previous.value);
        // Of integers it may run over: then its sign counts.
        let falls = match &difference {
            Value::Float(difference) => *difference < 0.0,
            Value::Integer(difference) => *difference < 0,
            _ => compare(&point.value, &previous.value).is_lt(),
        };
        (self.falls || !falls).then(|| Point::new(point.time, difference))
    }
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::super::tests::{args, floats};
    use super::*;

    #[test]
    fn the_first_of_one_time_counts() {
        let points = floats(&[(0, 1.0), (1, 3.0), (1, 9.0), (3, 2.0)]);
        assert_eq!(run(&mut *difference(&args(0.0, None)), &points), floats(&[(1, 2.0), (3, -1.0)]));
        assert_eq!(run(&mut *non_negative(&args(0.0, None)), &points), floats(&[(1, 2.0)]));
    }
}
