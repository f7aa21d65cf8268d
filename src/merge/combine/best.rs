//! top, bottom: the best of the groups' best.

use super::State;
use crate::merge::evaluate::functions::{Args, Best};
use crate::merge::evaluate::rows::Point;
use crate::merge::results::Value;

pub fn top(args: &Args) -> Box<dyn State> {
    Box::new(Best::new(args.number as usize, true))
}

pub fn bottom(args: &Args) -> Box<dyn State> {
    Box::new(Best::new(args.number as usize, false))
}

impl State for Best {
    fn point(&mut self, time: i64, value: &Value) {
        self.push(Point::new(time, value.clone()));
    }

    fn partial(&mut self, time: i64, cells: &[&Value]) {
        self.point(time, cells[0]);
    }

    fn finish(self: Box<Self>) -> Vec<Point> {
        self.in_order()
    }

    fn bytes(&self) -> usize {
        self.held() * size_of::<Point>()
    }
}
