//! kaufmans_adaptive_moving_average: follows the values the faster, the straighter they go.

use super::averages::{self, Average};
use super::kaufmans_efficiency_ratio::Ker;
use super::{Args, Stream};

/// How fast it follows at most, and at least.
const FASTEST: f64 = 2.0 / (2.0 + 1.0);
const SLOWEST: f64 = 2.0 / (30.0 + 1.0);

/// `KAMA` of gota.
struct Kama {
    ratio: Ker,
    last: f64,
}

impl Average for Kama {
    fn add(&mut self, value: f64) -> f64 {
        if !self.ratio.warmed() {
            self.last = self.ratio.last();
        }
        let speed = self.ratio.add(value) * (FASTEST - SLOWEST) + SLOWEST;
        self.last += speed * speed * (value - self.last);
        self.last
    }

    fn warm_count(&self) -> usize {
        self.ratio.warm_count()
    }
}

pub fn begin(args: &Args) -> Box<dyn Stream> {
    averages::begin(args, Kama { ratio: Ker::new(args), last: 0.0 })
}

#[cfg(test)]
mod tests {
    use super::super::averages::told;
    use super::*;
    use crate::influxql::Expr;

    /// Worked out by hand from the source of 1.8: ratios 0.2 and 0.6, thus speeds 0.0342941 and 0.1816395.
    #[test]
    fn it_follows() {
        let seen = told(begin, &[Expr::Integer(2)], &[1.0, 4.0, 2.0, 10.0]);
        assert_eq!(seen[0].0, 2);
        let speed = |ratio: f64| (ratio * (FASTEST - SLOWEST) + SLOWEST) * (ratio * (FASTEST - SLOWEST) + SLOWEST);
        let third = 4.0 + speed(0.2) * (2.0 - 4.0);
        let fourth = third + speed(0.6) * (10.0 - third);
        assert!((seen[0].1 - third).abs() < 1e-6 && (seen[1].1 - fourth).abs() < 1e-6, "{seen:?}");
    }
}
