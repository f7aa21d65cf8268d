//! stddev: of counts, means and deviations by Chan's formula.
//!
//! Where squares run over it depends on the order of the values whether the mean does too.

use super::State;
use crate::merge::evaluate::functions::Args;
use crate::merge::evaluate::rows::{NO_TIME, Point, as_f64};
use crate::merge::results::Value;

#[derive(Default)]
struct Deviation {
    count: f64,
    mean: f64,
    /// Of the distances from the mean.
    squares: f64,
    /// A group's part has run over.
    is_lost: bool,
}

pub fn begin(_: &Args) -> Box<dyn State> {
    Box::<Deviation>::default()
}

impl Deviation {
    fn add(&mut self, count: f64, mean: f64, squares: f64) {
        let (all, distance) = (self.count + count, mean - self.mean);
        self.squares += squares + distance * distance * self.count * count / all;
        self.mean += distance * count / all;
        self.count = all;
    }
}

impl State for Deviation {
    fn point(&mut self, _: i64, value: &Value) {
        self.add(1.0, as_f64(value).unwrap_or_default(), 0.0);
    }

    fn partial(&mut self, _: i64, cells: &[&Value]) {
        let [count, mean, deviation] = [cells[0], cells[1], cells[2]].map(|cell| as_f64(cell).unwrap_or_default());
        self.add(count, mean, deviation * deviation * (count - 1.0));
        // A group tells no number where it has none.
        self.is_lost |= count > 1.0 && *cells[2] == Value::Null;
    }

    fn runs_over(&self) -> bool {
        self.is_lost || !self.squares.is_finite() || !self.mean.is_finite()
    }

    fn finish(self: Box<Self>) -> Vec<Point> {
        let value = match self.count > 1.0 {
            true => Value::Float((self.squares / (self.count - 1.0)).sqrt()),
            false => Value::Float(f64::NAN),
        };
        vec![Point::new(NO_TIME, value)]
    }
}
