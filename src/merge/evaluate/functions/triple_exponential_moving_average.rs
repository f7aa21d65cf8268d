//! triple_exponential_moving_average: of averages once, twice and three times.

use super::averages::{self, Average, WarmUp, period};
use super::exponential_moving_average::Ema;
use super::{Args, Stream};

/// `TEMA` of gota.
struct Tema([Ema; 3]);

impl Average for Tema {
    fn add(&mut self, value: f64) -> f64 {
        let [first, second, third] = &mut self.0;
        let once = first.add(value);
        let twice = if first.passes_on() { second.add(once) } else { once };
        let thrice = if second.passes_on() { third.add(twice) } else { twice };
        3.0 * once - 3.0 * twice + thrice
    }

    fn warm_count(&self) -> usize {
        match self.0[0].warm_up {
            WarmUp::Exponential => self.0[0].warm_count(),
            WarmUp::Simple => self.0.iter().map(Ema::warm_count).sum(),
        }
    }
}

pub fn begin(args: &Args) -> Box<dyn Stream> {
    let ema = Ema::new(period(args), WarmUp::of(args).unwrap_or(WarmUp::Exponential));
    averages::begin(args, Tema([ema.clone(), ema.clone(), ema]))
}

#[cfg(test)]
mod tests {
    use super::super::averages::told;
    use super::*;
    use crate::influxql::Expr;

    /// Worked out by hand from the source of 1.8: averages 1, 3, 23/3; of these 1, 7/3, 53/9; of these 1, 17/9, 41/9.
    #[test]
    fn three_times() {
        let seen = told(begin, &[Expr::Integer(2)], &[1.0, 4.0, 10.0]);
        assert_eq!(seen, [(1, 3.888889), (2, 9.888889)]);
    }
}
