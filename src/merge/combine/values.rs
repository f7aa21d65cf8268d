//! median, percentile: of all values, which are kept, eight bytes each.

use std::cmp::Ordering;

use super::State;
use crate::merge::evaluate::functions::{Args, halfway, rank};
use crate::merge::evaluate::rows::{NO_TIME, Point};
use crate::merge::results::Value;

enum Numbers {
    None,
    Floats(Vec<f64>),
    Integers(Vec<i64>),
    Unsigned(Vec<u64>),
}

struct Values {
    numbers: Numbers,
    /// Of percentile; `None`: the median.
    percent: Option<f64>,
}

pub fn median(_: &Args) -> Box<dyn State> {
    Box::new(Values { numbers: Numbers::None, percent: None })
}

pub fn percentile(args: &Args) -> Box<dyn State> {
    Box::new(Values { numbers: Numbers::None, percent: Some(args.number) })
}

impl State for Values {
    fn point(&mut self, _: i64, value: &Value) {
        match (&mut self.numbers, value) {
            (Numbers::Floats(numbers), Value::Float(number)) => numbers.push(*number),
            (Numbers::Integers(numbers), Value::Integer(number)) => numbers.push(*number),
            (Numbers::Unsigned(numbers), Value::Unsigned(number)) => numbers.push(*number),
            (numbers @ Numbers::None, Value::Float(number)) => *numbers = Numbers::Floats(vec![*number]),
            (numbers @ Numbers::None, Value::Integer(number)) => *numbers = Numbers::Integers(vec![*number]),
            (numbers @ Numbers::None, Value::Unsigned(number)) => *numbers = Numbers::Unsigned(vec![*number]),
            _ => {}
        }
    }

    fn partial(&mut self, time: i64, cells: &[&Value]) {
        self.point(time, cells[0]);
    }

    fn finish(self: Box<Self>) -> Vec<Point> {
        let percent = self.percent;
        let value = match self.numbers {
            Numbers::None => None,
            Numbers::Floats(numbers) => {
                let order = |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or(Ordering::Equal);
                chosen(numbers, percent, order, Value::Float)
            }
            Numbers::Integers(numbers) => chosen(numbers, percent, i64::cmp, Value::Integer),
            Numbers::Unsigned(numbers) => chosen(numbers, percent, u64::cmp, Value::Unsigned),
        };
        value.map(|value| Point::new(NO_TIME, value)).into_iter().collect()
    }

    fn bytes(&self) -> usize {
        let capacity = match &self.numbers {
            Numbers::None => 0,
            Numbers::Floats(numbers) => numbers.capacity(),
            Numbers::Integers(numbers) => numbers.capacity(),
            Numbers::Unsigned(numbers) => numbers.capacity(),
        };
        capacity * size_of::<u64>()
    }
}

fn chosen<T: Copy>(
    mut numbers: Vec<T>,
    percent: Option<f64>,
    order: impl Fn(&T, &T) -> Ordering + Copy,
    value: fn(T) -> Value,
) -> Option<Value> {
    let count = numbers.len();
    let at = match percent {
        Some(percent) => rank(count, percent)?,
        None => count / 2,
    };
    let (lower, chosen, _) = numbers.select_nth_unstable_by(at, order);
    let chosen = *chosen;
    if percent.is_some() {
        return Some(value(chosen));
    }
    let below = lower.iter().copied().max_by(order).filter(|_| count.is_multiple_of(2));
    halfway(&value(below.unwrap_or(chosen)), &value(chosen))
}
