//! What the groups gave: rows of series, and points of one field of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::compact::{Column, Times};
use crate::merge::results::Value;

/// The rows of one series, in order of time. Fields stand in the order in which they were asked for.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub name: String,
    /// Every tag of the measurement, by key; one that the series has not is empty.
    pub tags: Vec<(String, String)>,
    times: Times,
    /// As many cells each as there are times.
    fields: Vec<Column>,
    /// Where rows of several series were put together: tags of which each row has its own, and the field that holds them.
    own_tags: Vec<(String, usize)>,
    /// When the storage shards that the rows lie in begin, in order; `None`: nobody knows.
    shards: Option<Arc<[i64]>>,
}

/// A value of one field, or what a function made of such.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// `NO_TIME` when a function does not say it.
    pub time: i64,
    pub value: Value,
    /// Of how many points.
    pub count: u64,
    /// The row that it comes from: what stands beside it.
    pub row: Option<RowAt>,
}

/// A function's point that has no time of its own: its window's start stands for it.
pub const NO_TIME: i64 = i64::MIN;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowAt {
    pub series: u32,
    pub row: u32,
}

impl Point {
    pub fn new(time: i64, value: Value) -> Point {
        Point { time, value, count: 1, row: None }
    }

    /// The value, if it is a number.
    pub fn number(&self) -> Option<f64> {
        as_f64(&self.value)
    }
}

pub fn as_f64(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        Value::Unsigned(number) => Some(*number as f64),
        _ => None,
    }
}

/// As Go makes an integer of a float: what does not fit is the smallest.
pub fn whole(number: f64) -> i64 {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if (-BEYOND..BEYOND).contains(&number) { number as i64 } else { i64::MIN }
}

impl Rows {
    pub fn new(name: String, tags: Vec<(String, String)>) -> Rows {
        Rows { name, tags, ..Rows::default() }
    }

    /// Takes the rows of one more piece of the series: the time, then the fields.
    ///
    /// # Errors
    /// They are not what was asked for.
    pub fn extend(&mut self, values: Vec<Vec<Value>>, fields: usize) -> Result<(), String> {
        self.fields.resize_with(fields, Column::default);
        for row in values {
            let mut cells = row.into_iter();
            let Some(Value::Time(time)) = cells.next() else { return Err("a row without a time".to_owned()) };
            if cells.len() != fields {
                return Err(format!("a row of {} fields instead of {fields}", cells.len()));
            }
            if self.times.last().is_some_and(|last| last > time) {
                return Err("rows that are not in order of time".to_owned());
            }
            self.times.push(time);
            self.fields.iter_mut().zip(cells).for_each(|(field, cell)| field.push(cell));
        }
        Ok(())
    }

    /// One more row, in whatever order of time.
    pub fn push(&mut self, time: i64, cells: Vec<Value>) {
        self.fields.resize_with(cells.len(), Column::default);
        self.times.push(time);
        self.fields.iter_mut().zip(cells).for_each(|(field, cell)| field.push(cell));
    }

    /// Rows of one series that were asked for several times: those of each time once, in order.
    pub fn joined(parts: &[Rows]) -> Rows {
        let mut joined =
            parts.first().map_or_else(Rows::default, |part| Rows::new(part.name.clone(), part.tags.clone()));
        let mut rows: Vec<(i64, usize, usize)> = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            rows.extend((0..part.len()).map(|row| (part.time(row), number, row)));
        }
        rows.sort_unstable();
        rows.dedup_by_key(|(time, ..)| *time);
        for (time, number, row) in rows {
            joined.push(time, parts[number].fields.iter().map(|field| field.get(row)).collect());
        }
        joined
    }

    /// The same rows the other way round.
    pub fn reversed(&self) -> Rows {
        let mut reversed = Rows::new(self.name.clone(), self.tags.clone());
        reversed.own_tags.clone_from(&self.own_tags);
        reversed.shards.clone_from(&self.shards);
        for row in (0..self.len()).rev() {
            reversed.push(self.time(row), self.fields.iter().map(|field| field.get(row)).collect());
        }
        reversed
    }

    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of one of the rows, the first being 0.
    pub fn time(&self, row: usize) -> i64 {
        self.times.get(row)
    }

    pub fn value(&self, field: usize, row: usize) -> Value {
        self.fields[field].get(row)
    }

    pub fn is_null(&self, field: usize, row: usize) -> bool {
        self.fields[field].is_null(row)
    }

    /// The value, if it is text.
    pub fn text(&self, field: usize, row: usize) -> Option<&str> {
        self.fields[field].text(row)
    }

    /// How much memory it takes, about.
    pub fn bytes(&self) -> usize {
        let text = |(key, value): &(String, String)| key.len() + value.len() + 2 * size_of::<String>();
        let head = size_of::<Rows>() + self.name.len() + self.tags.iter().map(text).sum::<usize>();
        head + self.times.bytes() + self.fields.iter().map(|field| size_of::<Column>() + field.bytes()).sum::<usize>()
    }

    /// From now on it is known when storage shards begin.
    pub fn know_shards(&mut self, starts: Arc<[i64]>) {
        self.shards = Some(starts);
    }

    /// When storage shards begin, as far as that is known.
    pub fn shards(&self) -> Option<&Arc<[i64]>> {
        self.shards.as_ref()
    }

    /// From now on each row has a tag of its own: a text of this field.
    pub fn own_tag(&mut self, key: &str, field: usize) {
        self.own_tags.push((key.to_owned(), field));
    }

    /// The tag of a row; empty where it has none.
    pub fn tag_of(&self, row: usize, key: &str) -> &str {
        match self.own_tags.iter().find(|(own, _)| own == key) {
            Some((_, field)) => self.text(*field, row).unwrap_or_default(),
            None => self.tag(key),
        }
    }

    pub fn tag(&self, key: &str) -> &str {
        self.tags.iter().find(|(own, _)| own == key).map_or("", |(_, value)| value)
    }

    /// What InfluxDB orders series by.
    pub fn key(&self) -> String {
        key_of(&self.name, &self.tags)
    }
}

/// So many rows are looked at for two of one time: to ask when storage shards begin takes less time than to look at more.
const LOOKED_AT_MAX: usize = 200_000;

/// Whether several series may have rows of one time.
pub fn share_a_time(series: &[&Rows]) -> bool {
    let valued = || series.iter().filter(|rows| !rows.is_empty());
    if valued().count() < 2 {
        return false;
    }
    let mut firsts = BTreeSet::new();
    // Most often they begin together.
    if !valued().all(|rows| firsts.insert(rows.time(0)))
        || valued().map(|rows| rows.len()).sum::<usize>() > LOOKED_AT_MAX
    {
        return true;
    }
    let mut times: Vec<i64> = valued().flat_map(|rows| (0..rows.len()).map(|row| rows.time(row))).collect();
    // They come in runs.
    times.sort();
    times.windows(2).any(|pair| pair[0] == pair[1])
}

/// What InfluxDB orders a series of this name and these tags by: in it the tags stand in the order of their escaped names.
pub fn key_of(name: &str, tags: &[(String, String)]) -> String {
    let mut key = escaped(name, &[',', ' ']);
    let present = tags.iter().filter(|(_, value)| !value.is_empty());
    let mut present: Vec<(String, &String)> =
        present.map(|(name, value)| (escaped(name, &[',', '=', ' ']), value)).collect();
    present.sort();
    for (name, value) in present {
        key.push(',');
        key.push_str(&name);
        key.push('=');
        key.push_str(&escaped(value, &[',', '=', ' ']));
    }
    key
}

fn escaped(text: &str, special: &[char]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if special.contains(&char) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As SHOW SERIES of influxd 1.6.7 shows it.
    #[test]
    fn tags_stand_in_the_order_of_their_escaped_names() {
        let tags = [("t 1", "a b"), ("t2", "x"), ("u", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(key_of("w m=", &tags), r"w\ m=,t2=x,t\ 1=a\ b");
    }
}
