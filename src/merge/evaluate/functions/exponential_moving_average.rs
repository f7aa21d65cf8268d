//! exponential_moving_average: the newer a value, the more it weighs.

use super::averages::{self, Average, WarmUp, period};
use super::{Args, Stream};

/// `EMA` of gota.
#[derive(Clone)]
pub struct Ema {
    period: usize,
    last: f64,
    count: usize,
    alpha: f64,
    pub warm_up: WarmUp,
}

impl Ema {
    pub fn new(period: usize, warm_up: WarmUp) -> Ema {
        Ema { period, last: 0.0, count: 0, alpha: 2.0 / (period + 1) as f64, warm_up }
    }

    /// Wilder's: slower than its period says.
    pub fn of_wilder(period: usize, warm_up: WarmUp) -> Ema {
        Ema { alpha: 1.0 / period as f64, ..Ema::new(period + 1, warm_up) }
    }

    pub fn warmed(&self) -> bool {
        self.count == self.period
    }

    /// Whether another may go on from its numbers.
    pub fn passes_on(&self) -> bool {
        self.warmed() || self.warm_up == WarmUp::Exponential
    }
}

impl Average for Ema {
    fn add(&mut self, value: f64) -> f64 {
        let last = self.last;
        self.last = if self.count == 0 {
            value
        } else if self.warmed() {
            (value - last) * self.alpha + last
        } else if self.warm_up == WarmUp::Simple {
            (last * self.count as f64 + value) / (self.count + 1) as f64
        } else {
            (value - last) * (2.0 / (self.count + 2) as f64) + last
        };
        self.count = self.period.min(self.count + 1);
        self.last
    }

    fn warm_count(&self) -> usize {
        self.period - 1
    }
}

pub fn begin(args: &Args) -> Box<dyn Stream> {
    averages::begin(args, Ema::new(period(args), WarmUp::of(args).unwrap_or(WarmUp::Exponential)))
}

#[cfg(test)]
mod tests {
    use super::super::averages::told;
    use super::*;
    use crate::influxql::Expr;

    /// Worked out by hand from the source of 1.8.
    #[test]
    fn each_warm_up() {
        let rest = |hold: i64, warm_up: &str| [Expr::Integer(3), Expr::Integer(hold), Expr::String(warm_up.to_owned())];
        let values = [1.0, 4.0, 10.0, 2.0];
        // 1; (4-1)*2/3+1 = 3; (10-3)*2/4+3 = 6.5; (2-6.5)/2+6.5 = 4.25.
        assert_eq!(told(begin, &rest(-1, "exponential"), &values), [(2, 6.5), (3, 4.25)]);
        assert_eq!(told(begin, &rest(-1, "exponential")[..1], &values), [(2, 6.5), (3, 4.25)]);
        // 1; 2.5; 5; (2-5)/2+5 = 3.5.
        assert_eq!(told(begin, &rest(0, "simple"), &values), [(0, 1.0), (1, 2.5), (2, 5.0), (3, 3.5)]);
    }
}
