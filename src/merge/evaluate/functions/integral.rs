//! integral: the area under the points by the trapezium rule; a window's border is interpolated.
//!
//! As InfluxDB's reducer has it, step by step: of points at one time the last counts, a window is told when the next one
//! begins, and backwards in time the windows' ends are shown.

use super::{Args, Stream};
use crate::influxql::range::TIME_MIN;
use crate::merge::evaluate::fill::between;
use crate::merge::evaluate::rows::Point;
use crate::merge::evaluate::window::Windows;
use crate::merge::results::Value;

const SECOND: i64 = 1_000_000_000;

struct Integral {
    unit: f64,
    ascending: bool,
    windows: Windows,
    /// What is shown, and where it ends; (0, 0) of floats without windows. Of integers InfluxDB takes the range for one.
    window: (i64, i64),
    previous: Option<(i64, f64)>,
    sum: f64,
    of_integers: bool,
}

pub fn begin(args: &Args) -> Box<dyn Stream> {
    let unit = args.unit.unwrap_or(SECOND) as f64;
    let Args { ascending, windows, .. } = *args;
    Box::new(Integral { unit, ascending, windows, window: (0, 0), previous: None, sum: 0.0, of_integers: false })
}

impl Integral {
    fn window_of(&self, time: i64) -> (i64, i64) {
        let (start, end) = self.windows.of(time);
        if self.ascending { (start, end) } else { (end, start) }
    }

    fn area(&self, from: (i64, f64), to: (i64, f64)) -> f64 {
        0.5 * (to.1 + from.1) * (to.0.wrapping_sub(from.0) as f64 / self.unit)
    }
}

impl Stream for Integral {
    fn push(&mut self, point: &Point) -> Option<Point> {
        let current = (point.time, point.number()?);
        self.of_integers = matches!(point.value, Value::Integer(_));
        let windowed = self.windows.interval > 0 || self.of_integers;
        let Some(mut previous) = self.previous.replace(current) else {
            if windowed {
                self.window = self.window_of(point.time);
                if self.of_integers && self.window.0 == TIME_MIN {
                    self.window.0 = 0;
                }
            }
            return None;
        };
        if previous.0 == point.time {
            return None;
        }
        let (shown, end) = self.window;
        let (mut told, mut last) = (None, current.1);
        if windowed && (self.ascending && point.time >= end || !self.ascending && point.time <= end) {
            if previous.0 != end {
                let border = (end, between(end, previous.0, current.0, previous.1, current.1));
                self.sum += self.area(previous, border);
                if self.of_integers {
                    // Of integers InfluxDB goes on from the last value, up to the one at the border.
                    (previous.0, last) = border;
                } else {
                    previous = border;
                }
            }
            told = Some(Point::new(shown, Value::Float(self.sum)));
            self.window = self.window_of(point.time);
            self.sum = 0.0;
        }
        self.sum += self.area(previous, (point.time, last));
        told
    }

    fn finish(&mut self) -> Option<Point> {
        let (time, _) = self.previous?;
        (time != self.window.0).then(|| Point::new(self.window.0, Value::Float(self.sum)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::super::tests::{args, floats};
    use super::*;

    #[test]
    fn integers_at_the_start_alone_give_nothing() {
        let mut args = args(0.0, None);
        args.windows.range.start = 100;
        let of = |time: i64| run(&mut *begin(&args), &[Point::new(time, Value::Integer(7))]);
        assert_eq!((of(100), of(101)), (Vec::new(), floats(&[(100, 0.0)])));
        args.windows.range.start = TIME_MIN;
        let of = |time: i64| run(&mut *begin(&args), &[Point::new(time, Value::Integer(7))]);
        assert_eq!((of(0), of(1)), (Vec::new(), floats(&[(0, 0.0)])), "a range without a start begins at 0");
        assert_eq!(run(&mut *begin(&args), &floats(&[(100, 7.0)])), floats(&[(0, 0.0)]));
    }

    /// Seen of influxd 1.6.7: a series of 3 at 100 s and 110 s, 13 at 120 s.
    #[test]
    fn the_area_is_influxdbs() {
        let points = floats(&[(100 * SECOND, 3.0), (110 * SECOND, 3.0), (120 * SECOND, 13.0)]);
        assert_eq!(run(&mut *begin(&args(0.0, None)), &points), floats(&[(0, 110.0)]));
    }
}
