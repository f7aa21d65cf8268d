//! Rows on their way from one level to the next, of which each has its tags.

use std::iter::Peekable;
use std::rc::Rc;
use std::vec::IntoIter;

use crate::influxql::ast::{Fill, FillValue};
use crate::merge::evaluate::fill::number;
use crate::merge::evaluate::rows::{NO_TIME, Rows, whole};
use crate::merge::evaluate::{Kind, Place};
use crate::merge::given_up::is_given_up;
use crate::merge::results::Value;

use super::level::Level;

/// The values of the keys that a level is grouped by.
pub type Tags = Rc<Vec<String>>;

/// The place of a series of the answer among all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Of its name, by the alphabet.
    pub name: u32,
    /// Of the series, in InfluxDB's order.
    pub series: u32,
}

/// What a level makes.
pub struct Stream {
    /// Sorted: what the tags of the rows are values of.
    pub keys: Vec<String>,
    /// Silences among them ([`Row::is_silence`]) where all series of the answer are made together.
    pub rows: Vec<Row>,
}

pub struct Row {
    /// Where all series of the answer are made together.
    pub at: At,
    pub time: i64,
    pub tags: Tags,
    /// By column, without time.
    pub values: Vec<Value>,
}

impl Row {
    fn silence() -> Row {
        Row { at: At::default(), time: NO_TIME, tags: Tags::default(), values: Vec::new() }
    }

    /// Whoever reads is told that there is no more, and may ask again.
    pub fn is_silence(&self) -> bool {
        self.time == NO_TIME
    }
}

/// What a call has made, with the values that stand beside it.
#[derive(Clone)]
pub struct Tagged {
    /// Where all series of the answer are made together.
    pub at: At,
    pub time: i64,
    pub tags: Tags,
    pub value: Value,
    /// Of how many points.
    pub count: u64,
    /// By the names outside calls.
    pub beside: Vec<Value>,
}

impl Tagged {
    pub fn new(time: i64, tags: Tags, value: Value, beside: Vec<Value>) -> Tagged {
        Tagged { at: At::default(), time, tags, value, count: 1, beside }
    }

    /// A point of no points, as [`Row::is_silence`].
    pub fn silence() -> Tagged {
        Tagged { count: 0, ..Tagged::new(NO_TIME, Tags::default(), Value::Null, Vec::new()) }
    }

    pub fn is_silence(&self) -> bool {
        self.count == 0
    }
}

/// The tags of rows of a measurement.
pub fn tags_by(rows: &Rows, keys: &[String]) -> Tags {
    Tags::new(keys.iter().map(|key| rows.tag(key).to_owned()).collect())
}

/// The tags of some of the keys.
pub fn subset(keys: &[String], tags: &Tags, of: &[String]) -> Tags {
    if keys == of {
        return tags.clone();
    }
    let value = |key: &String| keys.iter().position(|own| own == key).map_or("", |at| &tags[at]).to_owned();
    Rc::new(of.iter().map(value).collect())
}

/// Cuts by LIMIT and OFFSET, which count anew wherever the tags change. What has none is not counted, and passes.
pub fn limited<T, K: PartialEq>(items: Vec<T>, limit: usize, offset: usize, tags: impl Fn(&T) -> Option<K>) -> Vec<T> {
    if limit == 0 && offset == 0 {
        return items;
    }
    let (mut count, mut last) = (0, None);
    let mut kept = Vec::new();
    for item in items {
        let own = tags(&item);
        if own.is_none() {
            kept.push(item);
            continue;
        }
        if own != last {
            (count, last) = (0, own);
        }
        count += 1;
        if count > offset && (limit == 0 || count - offset <= limit) {
            kept.push(item);
        }
    }
    kept
}

/// Whether a row comes before another where raw rows are merged: by time, then by what stands beside, as far as it is text.
pub fn before(a: &Tagged, b: &Tagged, ascending: bool) -> bool {
    if a.time != b.time {
        return if ascending { a.time < b.time } else { a.time > b.time };
    }
    for pair in a.beside.iter().zip(&b.beside) {
        let (Value::String(a), Value::String(b)) = pair else { return false };
        if a != b {
            return if ascending { a < b } else { a > b };
        }
    }
    false
}

impl Level {
    /// The calls' points side by side, or raw rows (one scanner, no call): as InfluxDB's cursors join them. Where streams do
    /// not agree on what is next, the smaller tags come first, whatever the time. Each is asked for its time, then for its value;
    /// where all are silent about the time, so is the row.
    pub fn join(&self, scanners: Vec<Vec<Tagged>>, kinds: &[Option<Kind>]) -> Vec<Row> {
        let (calls, refs) = (self.evaluation.calls.len(), self.evaluation.refs.len());
        let mut slots = vec![Value::Null; calls + refs];
        let mut scanners: Vec<_> = scanners.into_iter().map(|points| points.into_iter().peekable()).collect();
        let (mut rows, mut series): (Vec<Row>, Option<(u32, Tags)>) = (Vec::new(), None);
        loop {
            let head = |scanner: &mut Peekable<IntoIter<Tagged>>| match scanner.next_if(Tagged::is_silence) {
                Some(_) => None,
                None => scanner.peek().map(|point| ((point.at.name, point.tags.clone()), point.time, point.at)),
            };
            let heads = scanners.iter_mut().filter_map(head);
            let next = if self.ascending() { heads.min() } else { heads.max() };
            let Some((own, time, place)) = next.filter(|_| !is_given_up()) else {
                if is_given_up() || scanners.iter_mut().all(|scanner| scanner.peek().is_none()) {
                    return rows;
                }
                rows.push(Row::silence());
                continue;
            };
            if series.as_ref() != Some(&own) {
                slots.fill(Value::Null);
                series = Some(own.clone());
            }
            let (name, tags) = own;
            for (at, scanner) in scanners.iter_mut().enumerate() {
                let is_next = |point: &Tagged| point.time == time && point.at.name == name && point.tags == tags;
                let point = match scanner.next_if(Tagged::is_silence) {
                    Some(_) => None,
                    None => scanner.next_if(is_next),
                };
                // Nobody knows the argument of one without a kind.
                if kinds.get(at).is_some_and(Option::is_some) {
                    let value = point.as_ref().map_or(Value::Null, |point| point.value.clone());
                    self.set(&mut slots[at], value, kinds[at]);
                }
                for (number, (_, place)) in self.evaluation.refs.iter().enumerate() {
                    let value = point.as_ref().map_or(Value::Null, |point| point.beside[number].clone());
                    self.set(&mut slots[calls + number], value, kind_of(place));
                }
            }
            let values = self.evaluation.cells.iter().map(|cell| cell.value(&slots)).collect();
            rows.push(Row { at: place, time, tags, values });
        }
    }

    /// A slot's new value; what is missing is as fill() says.
    fn set(&self, slot: &mut Value, value: Value, kind: Option<Kind>) {
        *slot = match (value, self.fill) {
            (Value::Null, Fill::Previous) => return,
            (Value::Null, Fill::Value(fill)) => match kind {
                Some(kind @ (Kind::Float | Kind::Integer | Kind::Unsigned)) => number(fill, kind),
                _ => as_written(fill),
            },
            (value, _) => value,
        };
    }
}

fn as_written(fill: FillValue) -> Value {
    match fill {
        FillValue::Integer(number) => Value::Integer(number),
        FillValue::Float(number) => Value::Float(number),
    }
}

fn kind_of(place: &Place) -> Option<Kind> {
    match place {
        Place::Field(_, kind) => Some(*kind),
        Place::Tag(_) => Some(Kind::String),
        Place::Nowhere => None,
    }
}

/// A value as the type that an outer statement takes it for; one that cannot be cast stays what it is.
pub fn cast(value: &Value, kind: Option<Kind>) -> Value {
    match (kind, value) {
        (Some(Kind::Float), Value::Integer(number)) => Value::Float(*number as f64),
        (Some(Kind::Float), Value::Unsigned(number)) => Value::Float(*number as f64),
        (Some(Kind::Integer), Value::Float(number)) if !number.is_nan() => Value::Integer(whole(*number)),
        (Some(Kind::Integer), Value::Unsigned(number)) => Value::Integer(*number as i64),
        (Some(Kind::Unsigned), Value::Float(number)) => Value::Unsigned(*number as u64),
        (Some(Kind::Unsigned), Value::Integer(number)) => Value::Unsigned(*number as u64),
        (_, value) => value.clone(),
    }
}

/// What a call takes of a value that was cast: nothing, unless it is of this kind.
pub fn taken(value: Value, kind: Option<Kind>) -> Value {
    match (kind, &value) {
        (Some(Kind::Integer), Value::Float(number)) => Value::Integer(whole(*number)),
        (Some(Kind::Float), Value::Float(_))
        | (Some(Kind::Integer), Value::Integer(_))
        | (Some(Kind::Unsigned), Value::Unsigned(_))
        | (Some(Kind::String), Value::String(_))
        | (Some(Kind::Boolean), Value::Boolean(_)) => value,
        _ => Value::Null,
    }
}
