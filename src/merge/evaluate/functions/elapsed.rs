//! elapsed: whole units of time since the point before, also of one time.

use super::{Args, Stream};
use crate::merge::evaluate::rows::Point;
use crate::merge::results::Value;

struct Elapsed {
    unit: i64,
    previous: Option<i64>,
}

pub fn begin(args: &Args) -> Box<dyn Stream> {
    // Nanoseconds; never 0, which InfluxDB refuses.
    Box::new(Elapsed { unit: args.unit.unwrap_or(1).max(1), previous: None })
}

impl Stream for Elapsed {
    fn push(&mut self, point: &Point) -> Option<Point> {
        let previous = self.previous.replace(point.time)?;
        Some(Point::new(point.time, Value::Integer(point.time.wrapping_sub(previous) / self.unit)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::super::tests::{args, floats};
    use super::*;

    #[test]
    fn in_whole_units() {
        let points = floats(&[(0, 1.0), (15, 3.0), (15, 9.0)]);
        let seen: Vec<Value> = run(&mut *begin(&args(0.0, Some(10))), &points).into_iter().map(|p| p.value).collect();
        assert_eq!(seen, [Value::Integer(1), Value::Integer(0)]);
    }
}
