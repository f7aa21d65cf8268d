//! relative_strength_index: how much of the change is upwards, from 0 to 100.

use super::averages::{self, Average, WarmUp, period};
use super::exponential_moving_average::Ema;
use super::{Args, Stream};

/// Averages of what goes up and of what goes down; the first value goes up from 0.
pub struct UpAndDown {
    up: Ema,
    down: Ema,
    last: f64,
}

impl UpAndDown {
    pub fn new(args: &Args, warm_up: WarmUp) -> UpAndDown {
        let ema = Ema::of_wilder(period(args), warm_up);
        UpAndDown { up: ema.clone(), down: ema, last: 0.0 }
    }

    pub fn add(&mut self, value: f64) -> (f64, f64) {
        let change = value - self.last;
        self.last = value;
        let up = if change > 0.0 { change } else { 0.0 };
        let down = if change < 0.0 { -change } else { 0.0 };
        (self.up.add(up), self.down.add(down))
    }

    pub fn warm_count(&self) -> usize {
        self.up.warm_count()
    }
}

/// `RSI` of gota.
struct Rsi(UpAndDown);

impl Average for Rsi {
    fn add(&mut self, value: f64) -> f64 {
        let (up, down) = self.0.add(value);
        100.0 - 100.0 / (1.0 + up / down)
    }

    fn warm_count(&self) -> usize {
        self.0.warm_count()
    }
}

pub fn begin(args: &Args) -> Box<dyn Stream> {
    averages::begin(args, Rsi(UpAndDown::new(args, WarmUp::of(args).unwrap_or(WarmUp::Exponential))))
}

#[cfg(test)]
mod tests {
    use super::super::averages::told;
    use super::*;
    use crate::influxql::Expr;

    /// Worked out by hand from the source of 1.8.
    #[test]
    fn from_0_to_100() {
        // Up 1, 3, 0, 8: averages 1, 7/3, 7/6, 55/12. Down 0, 0, 2, 0: averages 0, 0, 1, 1/2.
        let seen = told(begin, &[Expr::Integer(2)], &[1.0, 4.0, 2.0, 10.0]);
        assert_eq!(seen, [(2, 53.846154), (3, 90.163934)]);
    }
}
