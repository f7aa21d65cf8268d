//! count, sum, mean.
//!
//! Floats are added with what each addition loses (Neumaier), so that the order in which groups answer does not show.

use super::{Origin, State};
use crate::merge::evaluate::functions::{Args, WHOLE_SUM_MAX, plus, whole};
use crate::merge::evaluate::rows::{NO_TIME, Point, as_f64};
use crate::merge::results::Value;

/// A sum of values of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Total {
    #[default]
    Nothing,
    Integer(i64),
    Unsigned(u64),
    Float {
        sum: f64,
        lost: f64,
        /// Of the numbers without their signs.
        most: f64,
    },
}

impl Total {
    fn add(&mut self, value: &Value) {
        *self = match (*self, value) {
            (Total::Nothing, Value::Integer(number)) => Total::Integer(*number),
            (Total::Nothing, Value::Unsigned(number)) => Total::Unsigned(*number),
            (Total::Nothing, Value::Float(number)) => Total::Float { sum: *number, lost: 0.0, most: number.abs() },
            (Total::Integer(sum), Value::Integer(number)) => Total::Integer(sum.wrapping_add(*number)),
            (Total::Unsigned(sum), Value::Unsigned(number)) => Total::Unsigned(sum.wrapping_add(*number)),
            (Total::Float { sum, lost, most }, Value::Float(number)) => {
                let new = sum + number;
                let (greater, smaller) = if sum.abs() >= number.abs() { (sum, *number) } else { (*number, sum) };
                Total::Float { sum: new, lost: lost + ((greater - new) + smaller), most: most + number.abs() }
            }
            (other, _) => other,
        };
    }

    fn value(self) -> Value {
        match self {
            Total::Nothing => Value::Null,
            Total::Integer(sum) => Value::Integer(sum),
            Total::Unsigned(sum) => Value::Unsigned(sum),
            // Beyond what a float holds nothing is known of what was lost.
            Total::Float { sum, lost, .. } => Value::Float(if sum.is_finite() { sum + lost } else { sum }),
        }
    }

    /// Whether it may have, in some order of the numbers.
    fn runs_over(&self) -> bool {
        matches!(self, Total::Float { most, .. } if !most.is_finite())
    }
}

struct Count(i64);

pub fn count(_: &Args) -> Box<dyn State> {
    Box::new(Count(0))
}

impl State for Count {
    fn point(&mut self, _: i64, _: &Value) {
        self.0 += 1;
    }

    fn partial(&mut self, _: i64, cells: &[&Value]) {
        self.0 += cells[0].as_i64().unwrap_or_default();
    }

    fn finish(self: Box<Self>) -> Vec<Point> {
        vec![Point::new(NO_TIME, Value::Integer(self.0))]
    }
}

/// Points of series that are not yet over, one series of each group at most, and those of partials. InfluxDB adds up each
/// series' points first: there whole numbers may run over, and floats beyond all numbers.
struct BySeries {
    open: Vec<Open>,
    /// The one that points are of.
    at: usize,
}

/// What a series, or a part of one, has come to.
#[derive(Default)]
struct Open {
    origin: Origin,
    count: i64,
    sum: Value,
    /// Of whole numbers without their signs.
    most: u64,
}

impl Default for BySeries {
    fn default() -> BySeries {
        BySeries { open: vec![Open::default()], at: 0 }
    }
}

impl BySeries {
    /// The group's series before, which is over.
    fn begins(&mut self, origin: Origin) -> Option<Open> {
        let new = Open { origin, ..Open::default() };
        match self.open.iter().position(|open| open.origin.group == origin.group) {
            Some(at) => {
                self.at = at;
                (self.open[at].origin != origin).then(|| std::mem::replace(&mut self.open[at], new))
            }
            None => {
                self.at = self.open.len();
                self.open.push(new);
                None
            }
        }
    }

    fn add(&mut self, value: &Value) {
        let open = &mut self.open[self.at];
        (open.count, open.sum) = (open.count + 1, plus(&open.sum, value));
        open.most = open.most.saturating_add(whole(value));
    }

    /// What it comes to with those that are open.
    fn with(&self, mut sum: Total) -> Total {
        self.open.iter().for_each(|open| sum.add(&open.sum));
        sum
    }

    fn bytes(&self) -> usize {
        self.open.capacity() * size_of::<Open>()
    }
}

impl Open {
    /// Whether whole numbers may have run over, in parts of the series: InfluxDB adds up those of each storage shard.
    fn runs_over(&self) -> bool {
        self.most > WHOLE_SUM_MAX
    }
}

#[derive(Default)]
struct Sum {
    sum: Total,
    series: BySeries,
}

pub fn sum(_: &Args) -> Box<dyn State> {
    Box::<Sum>::default()
}

impl State for Sum {
    fn begins(&mut self, origin: Origin) {
        if let Some(over) = self.series.begins(origin) {
            self.sum.add(&over.sum);
        }
    }

    fn point(&mut self, _: i64, value: &Value) {
        self.series.add(value);
    }

    fn partial(&mut self, _: i64, cells: &[&Value]) {
        self.sum.add(cells[0]);
    }

    fn finish(mut self: Box<Self>) -> Vec<Point> {
        self.series.open.iter().for_each(|open| self.sum.add(&open.sum));
        vec![Point::new(NO_TIME, self.sum.value())]
    }

    fn runs_over(&self) -> bool {
        self.series.with(self.sum).runs_over()
    }

    fn bytes(&self) -> usize {
        self.series.bytes()
    }
}

#[derive(Default)]
struct Mean {
    count: i64,
    sum: Total,
    series: BySeries,
    /// Whole numbers of a series that is over may have.
    ran_over: bool,
}

pub fn mean(_: &Args) -> Box<dyn State> {
    Box::<Mean>::default()
}

impl Mean {
    /// Whole numbers are added up as floats from here on.
    fn add(&mut self, open: &Open) {
        self.count += open.count;
        self.ran_over |= open.runs_over();
        if let Some(sum) = as_f64(&open.sum) {
            self.sum.add(&Value::Float(sum));
        }
    }
}

impl State for Mean {
    fn begins(&mut self, origin: Origin) {
        if let Some(over) = self.series.begins(origin) {
            self.add(&over);
        }
    }

    fn point(&mut self, _: i64, value: &Value) {
        self.series.add(value);
    }

    fn partial(&mut self, _: i64, cells: &[&Value]) {
        self.count += cells[0].as_i64().unwrap_or_default();
        self.sum.add(cells[1]);
    }

    fn finish(mut self: Box<Self>) -> Vec<Point> {
        let open = std::mem::take(&mut self.series).open;
        open.iter().for_each(|open| self.add(open));
        // Added to 0, as in InfluxDB: a mean is never -0.
        let sum = 0.0 + as_f64(&self.sum.value()).unwrap_or_default();
        vec![Point::new(NO_TIME, Value::Float(sum / self.count as f64))]
    }

    fn runs_over(&self) -> bool {
        self.ran_over || self.series.open.iter().any(Open::runs_over) || self.series.with(self.sum).runs_over()
    }

    fn bytes(&self) -> usize {
        self.series.bytes()
    }
}

/// Of whole numbers. InfluxDB adds them up within a series only, where their sum may run over, and means of series as floats.
#[derive(Default)]
struct MeanOfIntegers(Mean);

pub fn mean_of_integers(_: &Args) -> Box<dyn State> {
    Box::<MeanOfIntegers>::default()
}

/// Below this a mean times its count is so near to the sum of integers that rounding gives that.
const ROUNDED_SUM_MAX: f64 = (1_u64 << 50) as f64;

impl State for MeanOfIntegers {
    fn begins(&mut self, origin: Origin) {
        self.0.begins(origin);
    }

    fn point(&mut self, time: i64, value: &Value) {
        self.0.point(time, value);
    }

    fn partial(&mut self, _: i64, cells: &[&Value]) {
        let (count, mean) = (cells[0].as_i64().unwrap_or_default(), as_f64(cells[1]).unwrap_or_default());
        let sum = mean * count as f64;
        self.0.count += count;
        self.0.sum.add(&Value::Float(if sum.abs() < ROUNDED_SUM_MAX { sum.round() } else { sum }));
    }

    fn finish(self: Box<Self>) -> Vec<Point> {
        Box::new(self.0).finish()
    }

    fn runs_over(&self) -> bool {
        self.0.runs_over()
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_of_integers_give_their_sums_back() {
        for count in 1..500_i64 {
            for sum in [1_i64, -7, 49, 1_000_003, -(1 << 49) - 1] {
                let mut state = MeanOfIntegers::default();
                let (cells, zero) =
                    ((Value::Integer(count), Value::Float(sum as f64 / count as f64)), Value::Float(0.0));
                state.partial(0, &[&cells.0, &cells.1]);
                state.partial(0, &[&cells.0, &zero]);
                let mean = Box::new(state).finish().remove(0).value;
                assert_eq!(mean, Value::Float(sum as f64 / (2 * count) as f64), "{sum} over {count}");
            }
        }
    }

    #[test]
    fn each_series_is_added_up_first() {
        let of = |mut state: Box<dyn State>, points: &[(usize, usize, Value)]| {
            for (group, series, value) in points {
                state.begins(Origin { group: *group, series: *series });
                state.point(0, value);
            }
            state.finish().remove(0).value
        };
        let whole = |group: usize, series: usize, value: i64| (group, series, Value::Integer(value));
        // Two groups take turns; the one's sum runs over within its second series.
        let points =
            [whole(1, 0, i64::MAX), whole(2, 1, 1), whole(1, 2, i64::MAX), whole(2, 1, 1), whole(1, 2, i64::MAX)];
        assert_eq!(of(Box::<MeanOfIntegers>::default(), &points), Value::Float((2_f64.powi(63) + 2.0 - 2.0) / 5.0));
        let float = |series: usize, value: f64| (0, series, Value::Float(value));
        let beyond = [float(1, f64::MAX), float(1, f64::MAX), float(2, f64::MIN), float(2, f64::MIN)];
        for state in [Box::<Sum>::default() as Box<dyn State>, Box::<Mean>::default()] {
            assert!(matches!(of(state, &beyond), Value::Float(value) if value.is_nan()));
        }
    }

    #[test]
    fn whole_numbers_that_may_run_over_are_told() {
        for (numbers, may) in
            [([i64::MAX, 1], true), ([i64::MIN, 0], true), ([i64::MAX - 1, 1], false), ([-i64::MAX, 2], true)]
        {
            let mut state = MeanOfIntegers::default();
            for number in numbers {
                state.begins(Origin { group: 0, series: 0 });
                state.point(0, &Value::Integer(number));
            }
            assert_eq!(state.runs_over(), may, "{numbers:?}");
            // So they are once the series is over, and of two series each is added up by itself.
            state.begins(Origin { group: 0, series: 1 });
            state.point(0, &Value::Integer(7));
            assert_eq!(state.runs_over(), may, "{numbers:?}");
        }
    }

    #[test]
    fn the_order_of_floats_does_not_show() {
        let of = |numbers: &[f64]| {
            let mut total = Total::default();
            numbers.iter().for_each(|number| total.add(&Value::Float(*number)));
            total.value()
        };
        assert_eq!(of(&[1e16, 1.0, -1e16]), Value::Float(1.0));
        assert_eq!(of(&[0.1, 0.2, 0.3]), of(&[0.3, 0.2, 0.1]));
        assert_eq!(of(&[f64::MAX, f64::MAX]), Value::Float(f64::INFINITY));
    }
}
