//! spread: the greatest value less the smallest.

use super::State;
use crate::merge::evaluate::functions::{Args, compare, minus};
use crate::merge::evaluate::rows::{NO_TIME, Point};
use crate::merge::results::Value;

/// Both null, or neither.
#[derive(Default)]
struct Spread {
    greatest: Value,
    smallest: Value,
}

pub fn begin(_: &Args) -> Box<dyn State> {
    Box::<Spread>::default()
}

impl Spread {
    fn add(&mut self, greatest: &Value, smallest: &Value) {
        if self.greatest == Value::Null || compare(greatest, &self.greatest).is_gt() {
            self.greatest = greatest.clone();
        }
        if self.smallest == Value::Null || compare(smallest, &self.smallest).is_lt() {
            self.smallest = smallest.clone();
        }
    }
}

impl State for Spread {
    fn point(&mut self, _: i64, value: &Value) {
        self.add(value, value);
    }

    fn partial(&mut self, _: i64, cells: &[&Value]) {
        self.add(cells[0], cells[1]);
    }

    fn finish(self: Box<Self>) -> Vec<Point> {
        vec![Point::new(NO_TIME, minus(&self.greatest, &self.smallest))]
    }
}
