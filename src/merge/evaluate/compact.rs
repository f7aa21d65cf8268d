//! Times and values of one series in little memory: blocks of one type, no more than eight bytes a value, times as offsets that
//! mostly take two.

use std::collections::HashMap;
use std::sync::Arc;

use crate::merge::results::Value;

/// Values of a block. A block is not moved when more come, so that growing takes no more memory than what is held.
const BLOCK: usize = 1024;

/// Values of one size, in blocks.
#[derive(Clone, Debug)]
struct Blocks<T> {
    /// `BLOCK` each.
    full: Vec<Box<[T]>>,
    /// Fewer.
    last: Vec<T>,
}

impl<T> Default for Blocks<T> {
    fn default() -> Blocks<T> {
        Blocks { full: Vec::new(), last: Vec::new() }
    }
}

impl<T: Copy> Blocks<T> {
    fn push(&mut self, value: T) {
        self.last.push(value);
        if self.last.len() == BLOCK {
            self.full.push(std::mem::take(&mut self.last).into_boxed_slice());
        }
    }

    fn get(&self, at: usize) -> T {
        match self.full.get(at / BLOCK) {
            Some(block) => block[at % BLOCK],
            None => self.last[at % BLOCK],
        }
    }

    fn bytes(&self) -> usize {
        (self.full.len() * BLOCK + self.last.capacity()) * size_of::<T>()
    }
}

/// Times, of which those in order take the least.
#[derive(Clone, Debug, Default)]
pub struct Times {
    full: Vec<PackedTimes>,
    last: Vec<i64>,
}

/// `BLOCK` times.
#[derive(Clone, Debug)]
struct PackedTimes {
    first: i64,
    /// Nanoseconds of one in an offset.
    unit: i64,
    /// Bytes of an offset, up to 8.
    width: usize,
    /// Since `first`, little-endian.
    offsets: Box<[u8]>,
}

/// What times are often multiples of.
const UNITS: [i64; 3] = [1_000_000_000, 1_000_000, 1_000];

impl PackedTimes {
    fn of(times: &[i64]) -> PackedTimes {
        let first = times.first().copied().unwrap_or_default();
        let offset = |time: &i64| time.wrapping_sub(first) as u64;
        let divides = |unit: &i64| times.iter().all(|time| offset(time).is_multiple_of(*unit as u64));
        let unit = UNITS.into_iter().find(divides).unwrap_or(1);
        let greatest = times.iter().map(|time| offset(time) / unit as u64).max().unwrap_or_default();
        let width = (u64::BITS - greatest.leading_zeros()).div_ceil(8) as usize;
        let bytes = times.iter().flat_map(|time| (offset(time) / unit as u64).to_le_bytes().into_iter().take(width));
        PackedTimes { first, unit, width, offsets: bytes.collect() }
    }

    fn get(&self, at: usize) -> i64 {
        let mut offset = [0; 8];
        offset[..self.width].copy_from_slice(&self.offsets[at * self.width..(at + 1) * self.width]);
        self.first.wrapping_add((u64::from_le_bytes(offset) as i64).wrapping_mul(self.unit))
    }
}

impl Times {
    pub fn push(&mut self, time: i64) {
        self.last.push(time);
        if self.last.len() == BLOCK {
            self.full.push(PackedTimes::of(&self.last));
            self.last.clear();
        }
    }

    pub fn len(&self) -> usize {
        self.full.len() * BLOCK + self.last.len()
    }

    pub fn last(&self) -> Option<i64> {
        self.len().checked_sub(1).map(|at| self.get(at))
    }

    /// `at` is below `len`.
    pub fn get(&self, at: usize) -> i64 {
        match self.full.get(at / BLOCK) {
            Some(block) => block.get(at % BLOCK),
            None => self.last[at % BLOCK],
        }
    }

    pub fn bytes(&self) -> usize {
        let full = self.full.iter().map(|block| size_of::<PackedTimes>() + block.offsets.len());
        full.sum::<usize>() + self.last.capacity() * size_of::<i64>()
    }
}

/// Cells of one field.
#[derive(Clone, Debug, Default)]
pub struct Column {
    length: usize,
    /// A bit for each cell, set for one that is null; those behind the last are not.
    nulls: Vec<u64>,
    cells: Cells,
}

#[derive(Clone, Debug, Default)]
enum Cells {
    /// All are null.
    #[default]
    Nothing,
    Floats(Blocks<f64>),
    Integers(Blocks<i64>),
    Unsigned(Blocks<u64>),
    Booleans(Blocks<bool>),
    Texts(Texts),
    /// Of several types, which no field has that was asked for by its type.
    Any(Vec<Value>),
}

/// Each text once.
#[derive(Clone, Debug, Default)]
struct Texts {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    cells: Blocks<u32>,
    /// Of the texts.
    bytes: usize,
}

impl Texts {
    fn push(&mut self, text: &str) {
        let number = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                let (number, text): (u32, Arc<str>) = (self.texts.len() as u32, text.into());
                self.bytes += text.len() + 2 * size_of::<Arc<str>>() + 4 * size_of::<usize>();
                self.numbers.insert(text.clone(), number);
                self.texts.push(text);
                number
            }
        };
        self.cells.push(number);
    }
}

impl Column {
    pub fn push(&mut self, value: Value) {
        if matches!(self.cells, Cells::Nothing) && value != Value::Null {
            self.begin(&value);
        }
        match (&mut self.cells, value) {
            (Cells::Nothing, _) => {}
            (Cells::Any(values), value) => values.push(value),
            (Cells::Floats(cells), Value::Float(number)) => cells.push(number),
            (Cells::Integers(cells), Value::Integer(number)) => cells.push(number),
            (Cells::Unsigned(cells), Value::Unsigned(number)) => cells.push(number),
            (Cells::Booleans(cells), Value::Boolean(truth)) => cells.push(truth),
            (Cells::Texts(texts), Value::String(text)) => texts.push(&text),
            (_, Value::Null) => self.push_null(),
            (_, value) => {
                let mut values: Vec<Value> = (0..self.length).map(|at| self.get(at)).collect();
                values.push(value);
                self.cells = Cells::Any(values);
            }
        }
        self.length += 1;
    }

    /// The first that is not null comes.
    fn begin(&mut self, value: &Value) {
        self.cells = match value {
            Value::Float(_) => Cells::Floats(Blocks::default()),
            Value::Integer(_) => Cells::Integers(Blocks::default()),
            Value::Unsigned(_) => Cells::Unsigned(Blocks::default()),
            Value::Boolean(_) => Cells::Booleans(Blocks::default()),
            Value::String(_) => Cells::Texts(Texts::default()),
            Value::Null | Value::Time(_) => Cells::Any(Vec::new()),
        };
        for at in 0..std::mem::take(&mut self.length) {
            self.push(Value::Null);
            self.length = at + 1;
        }
    }

    fn push_null(&mut self) {
        match &mut self.cells {
            Cells::Nothing | Cells::Any(_) => {}
            Cells::Floats(cells) => cells.push(0.0),
            Cells::Integers(cells) => cells.push(0),
            Cells::Unsigned(cells) => cells.push(0),
            Cells::Booleans(cells) => cells.push(false),
            // There is a text: else nothing would be known of the type.
            Cells::Texts(texts) => texts.cells.push(0),
        }
        let (word, bit) = (self.length / 64, self.length % 64);
        self.nulls.resize(word + 1, 0);
        self.nulls[word] |= 1 << bit;
    }

    /// `at` is below the number of cells.
    pub fn is_null(&self, at: usize) -> bool {
        match &self.cells {
            Cells::Nothing => true,
            Cells::Any(values) => values[at] == Value::Null,
            _ => self.nulls.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1),
        }
    }

    /// `at` is below the number of cells.
    pub fn get(&self, at: usize) -> Value {
        if self.is_null(at) {
            return Value::Null;
        }
        match &self.cells {
            Cells::Nothing => Value::Null,
            Cells::Floats(cells) => Value::Float(cells.get(at)),
            Cells::Integers(cells) => Value::Integer(cells.get(at)),
            Cells::Unsigned(cells) => Value::Unsigned(cells.get(at)),
            Cells::Booleans(cells) => Value::Boolean(cells.get(at)),
            Cells::Texts(_) => Value::String(self.text(at).unwrap_or_default().to_owned()),
            Cells::Any(values) => values[at].clone(),
        }
    }

    /// The cell, if it is text.
    pub fn text(&self, at: usize) -> Option<&str> {
        match &self.cells {
            Cells::Texts(texts) if !self.is_null(at) => {
                texts.texts.get(texts.cells.get(at) as usize).map(|text| &**text)
            }
            Cells::Any(values) => values[at].as_str(),
            _ => None,
        }
    }

    pub fn bytes(&self) -> usize {
        let cells = match &self.cells {
            Cells::Nothing => 0,
            Cells::Floats(cells) => cells.bytes(),
            Cells::Integers(cells) => cells.bytes(),
            Cells::Unsigned(cells) => cells.bytes(),
            Cells::Booleans(cells) => cells.bytes(),
            Cells::Texts(texts) => texts.cells.bytes() + texts.bytes,
            Cells::Any(values) => {
                values.iter().map(|value| size_of::<Value>() + value.as_str().map_or(0, str::len)).sum()
            }
        };
        cells + self.nulls.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(kind: u8, number: i64) -> Value {
        match kind {
            0 => Value::Null,
            1 => Value::Float(number as f64 / 4.0),
            2 => Value::Integer(number),
            3 => Value::Unsigned(number as u64),
            4 => Value::Boolean(number % 2 == 0),
            _ => Value::String(format!("text {}", number % 9)),
        }
    }

    proptest! {
        #[test]
        fn cells_come_out_as_they_went_in(kind in 0_u8..6, cells in prop::collection::vec((0_u8..12, any::<i64>()), 0..3000), mixed in any::<bool>()) {
            let value = |(other, number): &(u8, i64)| match other {
                0 => Value::Null,
                1..6 if mixed => value(*other, *number),
                _ => value(kind, *number),
            };
            let values: Vec<Value> = cells.iter().map(value).collect();
            let mut column = Column::default();
            values.iter().for_each(|value| column.push(value.clone()));
            for (at, value) in values.iter().enumerate() {
                prop_assert_eq!(&column.get(at), value);
                prop_assert_eq!(column.is_null(at), *value == Value::Null);
                prop_assert_eq!(column.text(at), value.as_str());
            }
        }

        #[test]
        fn times_come_out_as_they_went_in(unit in prop::sample::select(vec![1, 7, 1_000, 1_000_000_000]), steps in prop::collection::vec(0_i64..1 << 20, 1..3000), first in any::<i64>()) {
            let mut times = Times::default();
            let mut all = vec![first];
            for step in steps {
                all.push(all[all.len() - 1].saturating_add(step * unit));
            }
            all.iter().for_each(|time| times.push(*time));
            prop_assert_eq!(times.len(), all.len());
            prop_assert_eq!(times.last(), all.last().copied());
            all.iter().enumerate().for_each(|(at, time)| assert_eq!(times.get(at), *time));
        }
    }

    #[test]
    fn regular_points_take_ten_bytes() {
        let (mut times, mut column) = (Times::default(), Column::default());
        for at in 0..100 * BLOCK as i64 {
            times.push(at * 10 * 1_000_000_000);
            column.push(Value::Float(at as f64));
        }
        let each = (times.bytes() + column.bytes()) as f64 / times.len() as f64;
        assert!(each < 10.3, "{each}");
    }
}
