//! double_exponential_moving_average: twice the average, less the average of the averages.

use super::averages::{self, Average, WarmUp, period};
use super::exponential_moving_average::Ema;
use super::{Args, Stream};

/// `DEMA` of gota.
struct Dema([Ema; 2]);

impl Average for Dema {
    fn add(&mut self, value: f64) -> f64 {
        let [first, second] = &mut self.0;
        let once = first.add(value);
        let twice = if first.passes_on() { second.add(once) } else { once };
        2.0 * once - twice
    }

    fn warm_count(&self) -> usize {
        let [first, second] = &self.0;
        match first.warm_up {
            WarmUp::Exponential => first.warm_count(),
            WarmUp::Simple => first.warm_count() + second.warm_count(),
        }
    }
}

pub fn begin(args: &Args) -> Box<dyn Stream> {
    let ema = Ema::new(period(args), WarmUp::of(args).unwrap_or(WarmUp::Exponential));
    averages::begin(args, Dema([ema.clone(), ema]))
}

#[cfg(test)]
mod tests {
    use super::super::averages::told;
    use super::*;
    use crate::influxql::Expr;

    /// Worked out by hand from the source of 1.8.
    #[test]
    fn each_warm_up() {
        let rest = |hold: i64, warm_up: &str| [Expr::Integer(2), Expr::Integer(hold), Expr::String(warm_up.to_owned())];
        let values = [1.0, 4.0, 10.0];
        // Averages 1, 3, 23/3; of these 1, 7/3, 53/9; twice the first less the second.
        assert_eq!(told(begin, &rest(-1, "exponential"), &values), [(1, 3.666667), (2, 9.444444)]);
        // 1, 2.5, 7.5; the second begins with the first warm value: 1 is itself, then 2.5, then 5.
        assert_eq!(told(begin, &rest(0, "simple"), &values), [(0, 1.0), (1, 2.5), (2, 10.0)]);
    }
}
