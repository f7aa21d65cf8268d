//! kaufmans_efficiency_ratio: how far the values came, in parts of the way that they went.

use std::collections::VecDeque;

use super::averages::{self, Average, period};
use super::{Args, Stream};

/// `KER` of gota. What comes before the first value is 0.
pub struct Ker {
    /// The last so many values, each with its change, oldest first.
    points: VecDeque<(f64, f64)>,
    way: f64,
    count: usize,
}

impl Ker {
    pub fn new(args: &Args) -> Ker {
        Ker { points: vec![(0.0, 0.0); period(args)].into(), way: 0.0, count: 0 }
    }

    pub fn warmed(&self) -> bool {
        self.count == self.points.len() + 1
    }

    pub fn last(&self) -> f64 {
        self.points.back().map_or(0.0, |(value, _)| *value)
    }
}

impl Average for Ker {
    fn add(&mut self, value: f64) -> f64 {
        let change = (value - self.last()).abs();
        let (oldest, oldest_change) = self.points.pop_front().unwrap_or_default();
        let far = (value - oldest).abs();
        self.way -= oldest_change;
        self.way += change;
        self.points.push_back((value, change));
        self.count = (self.count + 1).min(self.points.len() + 1);
        if far == 0.0 || self.way == 0.0 { 0.0 } else { far / self.way }
    }

    fn warm_count(&self) -> usize {
        self.points.len()
    }
}

pub fn begin(args: &Args) -> Box<dyn Stream> {
    averages::begin(args, Ker::new(args))
}

#[cfg(test)]
mod tests {
    use super::super::averages::told;
    use super::*;
    use crate::influxql::Expr;

    /// Worked out by hand from the source of 1.8: changes 1, 3, 2, 8; over two of them 1 of 5, then 6 of 10.
    #[test]
    fn how_straight() {
        let seen = told(begin, &[Expr::Integer(2)], &[1.0, 4.0, 2.0, 10.0]);
        assert_eq!(seen, [(2, 0.2), (3, 0.6)]);
    }
}
