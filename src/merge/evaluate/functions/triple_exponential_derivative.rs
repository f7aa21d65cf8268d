//! triple_exponential_derivative: by how many percent an average three times over changes.

use super::averages::{self, Average, WarmUp, period};
use super::exponential_moving_average::Ema;
use super::{Args, Stream};

/// `TRIX` of gota.
struct Trix {
    averages: [Ema; 3],
    last: f64,
}

impl Average for Trix {
    fn add(&mut self, value: f64) -> f64 {
        let mut current = value;
        for average in &mut self.averages {
            current = average.add(current);
            if !average.passes_on() {
                break;
            }
        }
        // Infinite at first: there is nothing that it changes from.
        let rate = (current / self.last - 1.0) * 100.0;
        self.last = current;
        rate
    }

    fn warm_count(&self) -> usize {
        let one = self.averages[0].warm_count();
        match self.averages[0].warm_up {
            WarmUp::Exponential => one + 1,
            WarmUp::Simple => one * 3 + 1,
        }
    }
}

pub fn begin(args: &Args) -> Box<dyn Stream> {
    let ema = Ema::new(period(args), WarmUp::of(args).unwrap_or(WarmUp::Exponential));
    averages::begin(args, Trix { averages: [ema.clone(), ema.clone(), ema], last: 0.0 })
}

#[cfg(test)]
mod tests {
    use super::super::averages::told;
    use super::*;
    use crate::influxql::Expr;

    /// Worked out by hand from the source of 1.8: averages of averages of averages 1, 17/9, 41/9.
    #[test]
    fn in_percent() {
        let seen = told(begin, &[Expr::Integer(2), Expr::Integer(0)], &[1.0, 4.0, 10.0]);
        assert_eq!(seen, [(1, 88.888889), (2, 141.176471)], "the first is infinite");
        assert_eq!(told(begin, &[Expr::Integer(2)], &[1.0, 4.0, 10.0]), seen[1..]);
    }
}
