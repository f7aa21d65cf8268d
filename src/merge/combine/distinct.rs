//! distinct: each value once, by when it came first; count(distinct()): how many.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::State;
use crate::merge::evaluate::functions::{Args, compare};
use crate::merge::evaluate::rows::{NO_TIME, Point};
use crate::merge::results::Value;

/// A value as Go's map has it: both zeros are one.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Bits(u64),
    Text(Box<str>),
}

fn key(value: &Value) -> Key {
    Key::Bits(match value {
        Value::String(text) => return Key::Text(text.as_str().into()),
        Value::Float(number) if *number == 0.0 => 0,
        Value::Float(number) => number.to_bits(),
        Value::Integer(number) | Value::Time(number) => *number as u64,
        Value::Unsigned(number) => *number,
        Value::Boolean(truth) => u64::from(*truth),
        Value::Null => 0,
    })
}

struct Distinct {
    /// The values with the times at which they came first, in the SELECT's direction.
    seen: HashMap<Key, (i64, Value)>,
    ascending: bool,
    counts: bool,
    /// Of its texts.
    bytes: usize,
}

pub fn begin(args: &Args) -> Box<dyn State> {
    Box::new(Distinct { seen: HashMap::new(), ascending: args.ascending, counts: false, bytes: 0 })
}

pub fn count(args: &Args) -> Box<dyn State> {
    Box::new(Distinct { seen: HashMap::new(), ascending: args.ascending, counts: true, bytes: 0 })
}

impl State for Distinct {
    fn point(&mut self, time: i64, value: &Value) {
        match self.seen.entry(key(value)) {
            Entry::Vacant(place) => {
                self.bytes += 2 * value.as_str().map_or(0, str::len);
                place.insert((time, value.clone()));
            }
            Entry::Occupied(mut known) => {
                let first = &mut known.get_mut().0;
                *first = if self.ascending { time.min(*first) } else { time.max(*first) };
            }
        }
    }

    fn partial(&mut self, time: i64, cells: &[&Value]) {
        self.point(time, cells[0]);
    }

    fn finish(self: Box<Self>) -> Vec<Point> {
        if self.counts {
            return vec![Point::new(NO_TIME, Value::Integer(self.seen.len() as i64))];
        }
        let mut points: Vec<Point> = self.seen.into_values().map(|(time, value)| Point::new(time, value)).collect();
        points.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| compare(&a.value, &b.value)));
        points
    }

    fn bytes(&self) -> usize {
        self.bytes + self.seen.len() * (size_of::<(Key, i64, Value)>() + size_of::<u64>())
    }
}
