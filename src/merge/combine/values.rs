//! median, percentile: of all values, which are kept, eight bytes each.

use std::cmp::Ordering;

use super::State;
use crate::merge::evaluate::functions::{Args, halfway, rank};
use crate::merge::evaluate::many::{key, nth};
use crate::merge::evaluate::rows::{NO_TIME, Point};
use crate::merge::results::Value;

enum Numbers {
    None,
    Floats(Blocks<f64>),
    Integers(Blocks<i64>),
    Unsigned(Blocks<u64>),
}

/// Numbers of a block: one vector would be copied, and be there twice, whenever it grows.
const BLOCK: usize = 64 << 10;

/// Numbers in blocks, all of them full but the last.
struct Blocks<T>(Vec<Vec<T>>);

impl<T> Blocks<T> {
    fn of(first: T) -> Blocks<T> {
        Blocks(vec![vec![first]])
    }

    fn push(&mut self, number: T) {
        match self.0.last_mut().filter(|last| last.len() < BLOCK) {
            Some(last) => last.push(number),
            None => {
                let mut next = Vec::with_capacity(BLOCK);
                next.push(number);
                self.0.push(next);
            }
        }
    }

    fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    fn capacity(&self) -> usize {
        match self.0.as_slice() {
            [only] => only.capacity(),
            all => all.len() * BLOCK,
        }
    }
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
            (numbers @ Numbers::None, Value::Float(number)) => *numbers = Numbers::Floats(Blocks::of(*number)),
            (numbers @ Numbers::None, Value::Integer(number)) => *numbers = Numbers::Integers(Blocks::of(*number)),
            (numbers @ Numbers::None, Value::Unsigned(number)) => *numbers = Numbers::Unsigned(Blocks::of(*number)),
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
    numbers: Blocks<T>,
    percent: Option<f64>,
    order: impl Fn(&T, &T) -> Ordering + Copy,
    value: fn(T) -> Value,
) -> Option<Value> {
    let count = numbers.len();
    let at = match percent {
        Some(percent) => rank(count, percent)?,
        None => count / 2,
    };
    let between = percent.is_none() && count.is_multiple_of(2);
    let (below, chosen) = match <[Vec<T>; 1]>::try_from(numbers.0) {
        Ok([mut numbers]) => {
            let (lower, chosen, _) = numbers.select_nth_unstable_by(at, order);
            let chosen = *chosen;
            (lower.iter().copied().max_by(order).filter(|_| between), chosen)
        }
        Err(blocks) => {
            let numbers = || blocks.iter().flatten().copied();
            // Where they stand in order, without putting them there.
            let found = |rank| {
                let key_there = nth(rank, || numbers().filter_map(|number| key(&value(number))));
                numbers().find(|number| key(&value(*number)) == Some(key_there))
            };
            (at.checked_sub(1).filter(|_| between).and_then(found), found(at)?)
        }
    };
    match percent {
        Some(_) => Some(value(chosen)),
        None => halfway(below.map(value).as_ref(), &value(chosen)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::evaluate::functions::tests::args;

    fn found(state: Box<dyn State>, values: &[Value]) -> Option<Value> {
        let mut state = state;
        values.iter().for_each(|value| state.point(0, value));
        state.finish().pop().map(|point| point.value)
    }

    /// Each number once, in no order: a number of them that 7919 does not divide.
    fn shuffled(count: usize) -> impl Iterator<Item = i64> {
        (0..count).map(move |at| (at * 7919 % count) as i64)
    }

    #[test]
    fn of_many_blocks_as_of_one() {
        for count in [BLOCK, BLOCK + 1, 3 * BLOCK + 2] {
            let integers: Vec<Value> = shuffled(count).map(|number| Value::Integer(number - 9)).collect();
            let floats: Vec<Value> = shuffled(count).map(|number| Value::Float(number as f64 - 9.0)).collect();
            let middle = (count as f64 - 1.0) / 2.0 - 9.0;
            assert_eq!(found(median(&args(0.0, None)), &floats), Some(Value::Float(middle)), "{count}");
            let at = rank(count, 37.0).expect("there are enough") as i64 - 9;
            assert_eq!(found(percentile(&args(37.0, None)), &integers), Some(Value::Integer(at)), "{count}");
            let lowest = found(percentile(&args(0.001, None)), &floats);
            assert_eq!(lowest, rank(count, 0.001).map(|at| Value::Float(at as f64 - 9.0)), "{count}");
        }
    }

    #[test]
    fn what_stands_in_the_middle_keeps_its_sign() {
        let bits = |values: &[f64]| {
            let values: Vec<Value> = values.iter().copied().map(Value::Float).collect();
            match found(median(&args(0.0, None)), &values) {
                Some(Value::Float(middle)) => middle.to_bits(),
                other => panic!("{other:?} is no float"),
            }
        };
        assert_eq!(bits(&[1.0, -0.0, -1.0]), (-0.0_f64).to_bits());
        assert_eq!(bits(&[-0.0, -0.0]), 0.0_f64.to_bits());
    }

    #[test]
    fn memory_grows_by_blocks() {
        let mut state = median(&args(0.0, None));
        shuffled(10 * BLOCK).for_each(|number| state.point(0, &Value::Integer(number)));
        assert_eq!(state.bytes(), 10 * BLOCK * size_of::<i64>());
    }
}
