//! chande_momentum_oscillator: what went up less what went down, in percent of both.

use std::collections::VecDeque;

use super::averages::{self, Average, WarmUp, period};
use super::relative_strength_index::UpAndDown;
use super::{Args, Stream};

/// `CMO` of gota: over the last so many changes. The first value counts as one.
struct Cmo {
    period: usize,
    /// Oldest first; those before the first value are 0.
    changes: VecDeque<f64>,
    last: Option<f64>,
    up: f64,
    down: f64,
}

impl Average for Cmo {
    fn add(&mut self, value: f64) -> f64 {
        let change = self.last.map_or(0.0, |last| value - last);
        self.last = Some(value);
        if change > 0.0 {
            self.up += change;
        } else if change < 0.0 {
            self.down -= change;
        }
        let both = self.up + self.down;
        let told = if self.up != 0.0 || self.down != 0.0 { 100.0 * ((self.up - self.down) / both) } else { 0.0 };
        self.changes.push_back(change);
        if self.changes.len() == self.period
            && let Some(oldest) = self.changes.pop_front()
        {
            if oldest > 0.0 {
                self.up -= oldest;
            } else if oldest < 0.0 {
                self.down += oldest;
            }
        }
        told
    }

    fn warm_count(&self) -> usize {
        self.period - 1
    }
}

/// `CMOS` of gota: of averages, as a warm-up that is named asks for.
struct Smoothed(UpAndDown);

impl Average for Smoothed {
    fn add(&mut self, value: f64) -> f64 {
        let (up, down) = self.0.add(value);
        100.0 * ((up - down) / (up + down))
    }

    fn warm_count(&self) -> usize {
        self.0.warm_count()
    }
}

pub fn begin(args: &Args) -> Box<dyn Stream> {
    match WarmUp::of(args) {
        Some(warm_up) => averages::begin(args, Smoothed(UpAndDown::new(args, warm_up))),
        None => {
            let (period, changes) = (period(args), VecDeque::new());
            averages::begin(args, Cmo { period, changes, last: None, up: 0.0, down: 0.0 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::averages::told;
    use super::*;
    use crate::influxql::Expr;

    /// As influxd has it.
    #[test]
    fn in_percent_of_both() {
        // Changes 0, 3, -2, 8, 1; of two each from the second value on: 0 and 3, 3 and -2, -2 and 8, 8 and 1.
        let seen = told(begin, &[Expr::Integer(2)], &[1.0, 4.0, 2.0, 10.0, 11.0]);
        assert_eq!(seen, [(1, 100.0), (2, 20.0), (3, 60.0), (4, 100.0)]);
        let rest = |hold: i64, warm_up: &str| [Expr::Integer(2), Expr::Integer(hold), Expr::String(warm_up.to_owned())];
        assert_eq!(told(begin, &rest(0, "none"), &[1.0, 4.0, 2.0]), [(0, 0.0), (1, 100.0), (2, 20.0)]);
        // Up 1, 7/3, 7/6; down 0, 0, 1.
        assert_eq!(told(begin, &rest(-1, "exponential"), &[1.0, 4.0, 2.0]), [(2, 7.692308)]);
    }
}
