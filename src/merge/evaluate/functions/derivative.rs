//! derivative, non_negative_derivative: of points at one time the first counts.

use super::sum::minus;
use super::{Args, Stream};
use crate::merge::evaluate::rows::{Point, as_f64};
use crate::merge::results::Value;

const SECOND: i64 = 1_000_000_000;

struct Derivative {
    unit: i64,
    falls: bool,
    ascending: bool,
    previous: Option<Point>,
}

pub fn derivative(args: &Args) -> Box<dyn Stream> {
    begin(args, true)
}

pub fn non_negative(args: &Args) -> Box<dyn Stream> {
    begin(args, false)
}

fn begin(args: &Args, falls: bool) -> Box<dyn Stream> {
    let interval = args.windows.interval;
    let unit = args.unit.unwrap_or(if interval > 0 { interval } else { SECOND });
    Box::new(Derivative { unit, falls, ascending: args.ascending, previous: None })
}

impl Stream for Derivative {
    fn push(&mut self, point: &Point) -> Option<Point> {
        if self.previous.as_ref().is_some_and(|previous| previous.time == point.time) {
            return None;
        }
        let previous = self.previous.replace(point.clone())?;
        let difference = as_f64(&minus(&point.value, &previous.value))?;
        let elapsed = point.time.wrapping_sub(previous.time);
        let elapsed = if self.ascending { elapsed } else { -elapsed };
        let value = difference / (elapsed as f64 / self.unit as f64);
        // What is no number does not fall.
        (self.falls || difference.is_nan() || difference >= 0.0).then(|| Point::new(point.time, Value::Float(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::super::tests::{args, floats};
    use super::*;

    #[test]
    fn the_first_of_one_time_counts() {
        let points = floats(&[(0, 1.0), (SECOND, 3.0), (SECOND, 9.0), (3 * SECOND, 2.0)]);
        let seen = run(&mut *derivative(&args(0.0, None)), &points);
        assert_eq!(seen, floats(&[(SECOND, 2.0), (3 * SECOND, -0.5)]));
        assert_eq!(run(&mut *non_negative(&args(0.0, Some(10 * SECOND))), &points), floats(&[(SECOND, 20.0)]));
    }

    #[test]
    fn no_number_does_not_fall() {
        let points = floats(&[(0, 1.0), (SECOND, f64::NAN), (2 * SECOND, 2.0), (3 * SECOND, 1.0)]);
        let times = |stream: &mut dyn Stream| run(stream, &points).iter().map(|point| point.time).collect::<Vec<_>>();
        assert_eq!(times(&mut *non_negative(&args(0.0, None))), [SECOND, 2 * SECOND]);
    }
}
