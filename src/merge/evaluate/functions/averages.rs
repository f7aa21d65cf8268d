//! What the averages of InfluxDB 1.7 and later have in common (query/internal/gota): how one warms up, and from when on it is
//! told.

use super::{Args, Stream};
use crate::influxql::Expr;
use crate::merge::evaluate::rows::Point;
use crate::merge::results::Value;

/// Something that a value more makes a number of.
pub trait Average {
    fn add(&mut self, value: f64) -> f64;

    /// So many values come before the first number that says something.
    fn warm_count(&self) -> usize;
}

/// How the first values count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmUp {
    Exponential,
    Simple,
}

impl WarmUp {
    /// As the call says it, in its last argument; `None`: it does not, or there is none.
    pub fn of(args: &Args) -> Option<WarmUp> {
        match args.rest.get(2) {
            Some(Expr::String(text)) if text == "simple" => Some(WarmUp::Simple),
            Some(Expr::String(text)) if text == "none" => None,
            Some(Expr::String(_)) => Some(WarmUp::Exponential),
            _ => None,
        }
    }
}

/// How many values an average is over; at least one.
pub fn period(args: &Args) -> usize {
    match args.rest.first() {
        Some(Expr::Integer(period)) => usize::try_from(*period).unwrap_or_default().max(1),
        _ => 1,
    }
}

struct Held<A> {
    average: A,
    /// So many values are not told.
    hold: usize,
    count: usize,
}

/// A stream of an average's numbers, from where the call says or where they say something. What is not finite is no number:
/// InfluxDB's JSON has none.
pub fn begin<A: Average + 'static>(args: &Args, average: A) -> Box<dyn Stream> {
    let hold = match args.rest.get(1) {
        Some(Expr::Integer(hold)) if *hold != -1 => usize::try_from(*hold).unwrap_or_default(),
        _ => average.warm_count(),
    };
    Box::new(Held { average, hold, count: 0 })
}

impl<A: Average> Stream for Held<A> {
    fn push(&mut self, point: &Point) -> Option<Point> {
        let value = self.average.add(point.number()?);
        self.count += 1;
        (self.count > self.hold && !value.is_infinite()).then(|| Point::new(point.time, Value::Float(value)))
    }
}

/// What a function of this call makes of values at 0, 1, 2 …, rounded to six digits.
#[cfg(test)]
pub fn told(begin: fn(&Args) -> Box<dyn Stream>, rest: &[Expr], values: &[f64]) -> Vec<(i64, f64)> {
    let points: Vec<(i64, f64)> = (0..).zip(values.iter().copied()).collect();
    let args = Args { rest, ..super::tests::args(0.0, None) };
    let told = super::run(&mut *begin(&args), &super::tests::floats(&points));
    let digits = |value: f64| (value * 1e6).round() / 1e6;
    told.iter().map(|point| (point.time, digits(point.number().unwrap_or(f64::NAN)))).collect()
}
