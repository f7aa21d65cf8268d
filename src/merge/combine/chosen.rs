//! min, max, first, last: one of the points.

use std::cmp::Ordering;

use super::State;
use crate::merge::evaluate::functions::{Args, compare, compare_first};
use crate::merge::evaluate::rows::Point;
use crate::merge::results::Value;

/// A time and a value.
type Dated<'a> = (i64, &'a Value);

struct Chosen {
    best: Option<(i64, Value)>,
    /// `Less`: the first is better.
    order: fn(Dated, Dated) -> Ordering,
}

fn begin(order: fn(Dated, Dated) -> Ordering) -> Box<dyn State> {
    Box::new(Chosen { best: None, order })
}

pub fn min(_: &Args) -> Box<dyn State> {
    begin(|a, b| compare(a.1, b.1).then(a.0.cmp(&b.0)))
}

pub fn max(_: &Args) -> Box<dyn State> {
    begin(|a, b| compare(b.1, a.1).then(a.0.cmp(&b.0)))
}

pub fn first(_: &Args) -> Box<dyn State> {
    begin(|a, b| a.0.cmp(&b.0).then(compare_first(a.1, b.1)))
}

pub fn last(_: &Args) -> Box<dyn State> {
    begin(|a, b| b.0.cmp(&a.0).then(compare(b.1, a.1)))
}

impl State for Chosen {
    fn point(&mut self, time: i64, value: &Value) {
        let worse = |(known, best): &(i64, Value)| (self.order)((time, value), (*known, best)).is_lt();
        if self.best.as_ref().is_none_or(worse) {
            self.best = Some((time, value.clone()));
        }
    }

    fn partial(&mut self, time: i64, cells: &[&Value]) {
        self.point(time, cells[0]);
    }

    fn finish(self: Box<Self>) -> Vec<Point> {
        self.best.map(|(time, value)| Point::new(time, value)).into_iter().collect()
    }
}
