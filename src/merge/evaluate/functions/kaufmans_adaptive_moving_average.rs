//! kaufmans_adaptive_moving_average: follows the values the faster, the straighter they go.

use super::averages::{self, Average};
use super::kaufmans_efficiency_ratio::Ker;
use super::{Args, Stream};

/// How fast it follows at least: as an average over 30 values.
const SLOWEST: f64 = 2.0 / 31.0;
/// How much faster it follows at most, as one over 2 values: 2/3 less 2/31. Go takes the difference before it rounds.
const RANGE: f64 = 56.0 / 93.0;

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
        let speed = self.ratio.add(value) * RANGE + SLOWEST;
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
    use super::super::tests::floats;
    use super::super::{Point, run};
    use super::*;
    use crate::influxql::Expr;

    /// Worked out by hand from the source of 1.8: ratios 0.2 and 0.6, thus speeds 0.0342941 and 0.1816395.
    #[test]
    fn it_follows() {
        let seen = told(begin, &[Expr::Integer(2)], &[1.0, 4.0, 2.0, 10.0]);
        assert_eq!(seen[0].0, 2);
        let speed = |ratio: f64| (ratio * RANGE + SLOWEST) * (ratio * RANGE + SLOWEST);
        let third = 4.0 + speed(0.2) * (2.0 - 4.0);
        let fourth = third + speed(0.6) * (10.0 - third);
        assert!((seen[0].1 - third).abs() < 1e-6 && (seen[1].1 - fourth).abs() < 1e-6, "{seen:?}");
    }

    /// To the last digit, as influxd prints it.
    #[test]
    fn every_digit() {
        let args = Args { rest: &[Expr::Integer(1)], ..super::super::tests::args(0.0, None) };
        let seen = run(&mut *begin(&args), &floats(&[(0, 0.0), (1, 1.0), (2, 4.0)]));
        let seen: Vec<Option<f64>> = seen.iter().map(Point::number).collect();
        assert_eq!(seen, [Some(0.444_444_444_444_444_53), Some(2.024_691_358_024_691_5)]);
    }
}
