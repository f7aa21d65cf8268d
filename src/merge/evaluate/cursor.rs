//! The calls' points side by side, as rows.
//!
//! As InfluxDB's cursors have it: the earliest time of all calls is the next row (the latest, backwards), what a call has not
//! at that time is null, or what fill() says. Which row is the next one where calls fall silent: `ends`.

use crate::influxql::ast::{Fill, FillValue};
use crate::merge::given_up::is_given_up;
use crate::merge::results::{Series, Value};

use super::fill::number;
use super::order::{shard_of, sorted_in_shards};
use super::rows::{Point, RowAt, Rows};
use super::{Carried, Evaluation, Kind, Place, Stop};

impl Evaluation {
    /// Rows as they are: those that have any of the fields.
    pub(super) fn raw<'a>(&self, members: &[&'a Rows]) -> Result<Vec<Vec<Value>>, Stop> {
        if !self.knows_a_ref() {
            return Ok(Vec::new());
        }
        let fields: Vec<usize> = self.refs.iter().filter_map(|(_, place)| field_of(place)).collect();
        let (range, ascending) = (self.windows.range, self.ascending);
        let points_of = |(number, series): (usize, &&'a Rows)| {
            let (series, fields, count) = (*series, fields.clone(), series.len());
            let rows = (0..count).map(move |at| if ascending { at } else { count - 1 - at });
            let valued = move |row: usize| fields.iter().any(|field| !series.is_null(*field, row));
            let counts = move |row: &usize| range.contains(series.time(*row)) && valued(*row);
            rows.filter(counts).map(move |row| {
                let at = Some(RowAt { series: number as u32, row: row as u32 });
                Point { row: at, ..Point::new(series.time(row), Value::Null) }
            })
        };
        let inputs = || members.iter().enumerate().map(points_of);
        let cut = match self.limit == 0 && self.offset > 0 {
            true => Some(self.cut_first(inputs, members, "OFFSET without LIMIT")?),
            false => None,
        };
        // With a LIMIT they are the first of all as well.
        let less = |a: &Point, b: &Point| self.less(a, b, members, ascending);
        let all = cut.is_none().then(|| sorted_in_shards(inputs(), shard_of(members), ascending, less));
        let merged = cut.into_iter().flatten().chain(all.into_iter().flatten());
        let left = merged.skip(self.offset);
        let left = left.take(if self.limit > 0 { self.limit } else { usize::MAX });
        let mut slots = vec![Value::Null; self.refs.len()];
        let row = |point: Point| {
            for (slot, (_, place)) in slots.iter_mut().zip(&self.refs) {
                self.set(slot, beside(&point, place, members), kind_of(place));
            }
            self.row(point.time, &slots)
        };
        Ok(left.map(row).take_while(|_| !is_given_up()).collect())
    }

    /// The next series of the answer, of which each call has made these points: what can be told by now, in pieces of series.
    /// What is left is told with later ones, or by [`Evaluation::last_rows`].
    pub(super) fn side_by_side(
        &self,
        (name, values): (String, Vec<String>),
        points: Vec<Vec<Point>>,
        members: &[&Rows],
        carried: &mut Carried,
    ) -> Result<Vec<Series>, Stop> {
        carried.told.come(name, values, points);
        self.rows_by_now(members, carried)
    }

    /// What is left when all series have come.
    ///
    /// # Errors
    /// There are too many rows.
    pub fn last_rows(&self, carried: &mut Carried) -> Result<Vec<Series>, Stop> {
        carried.told.complete();
        // A lone call, which alone has columns beside it, leaves nothing.
        self.rows_by_now(&[], carried)
    }

    fn rows_by_now(&self, members: &[&Rows], carried: &mut Carried) -> Result<Vec<Series>, Stop> {
        let told = &mut carried.told;
        let kinds: Result<Vec<_>, Stop> = self.calls.iter().map(|call| self.kind_of_call(call)).collect();
        let kinds = kinds?;
        told.slots.resize(self.calls.len() + self.refs.len(), Value::Null);
        let (mut made, mut count): (Vec<Series>, usize) = (Vec::new(), 0);
        let mut tags = Vec::new();
        while let Some((series, time)) = told.next_row(self.ascending) {
            if told.at != Some(series) || made.is_empty() {
                let (name, values) = told.head(series);
                made.push(self.series_of(name, values, Vec::new()));
            }
            // What fill() goes by begins anew with another series.
            if told.at.replace(series) != Some(series) {
                told.slots.fill(Value::Null);
                tags.clear();
            }
            let points = told.row(series, time);
            for (at, point) in points.into_iter().enumerate() {
                let own = self.kept_tags(point.as_ref(), members);
                if own != tags {
                    told.slots.fill(Value::Null);
                    tags = own;
                }
                let value = point.as_ref().map_or(Value::Null, |point| point.value.clone());
                self.set(&mut told.slots[at], value, kinds[at]);
                if self.refs.is_empty() {
                    continue;
                }
                for (slot, (_, place)) in told.slots[self.calls.len()..].iter_mut().zip(&self.refs) {
                    let value = point.as_ref().map_or(Value::Null, |point| beside(point, place, members));
                    self.set(slot, value, kind_of(place));
                }
            }
            count += 1;
            if count > self.rows_max || is_given_up() {
                return Err(Stop::Rows(count));
            }
            let mut row = self.row(time, &told.slots);
            row.extend(tags.iter().cloned());
            if let Some(series) = made.last_mut() {
                series.pauses.extend(std::mem::take(&mut told.paused).then_some(series.values.len()));
                series.values.push(row);
            }
        }
        match told.unread() {
            waiting if waiting > self.rows_max => Err(Stop::Rows(waiting)),
            _ => Ok(made),
        }
    }

    /// A slot's new value; what is missing is as fill() says.
    fn set(&self, slot: &mut Value, value: Value, kind: Option<Kind>) {
        *slot = match (value, self.fill, kind) {
            (Value::Null, Fill::Previous, _) => return,
            // What is no number stays the number that fill() says.
            (Value::Null, Fill::Value(of), Some(Kind::String | Kind::Boolean)) => as_it_is(of),
            (Value::Null, Fill::Value(of), Some(kind)) => number(of, kind),
            (value, _, _) => value,
        };
    }

    fn row(&self, time: i64, slots: &[Value]) -> Vec<Value> {
        let value = |cell: &super::Cell| match cell.value(slots) {
            Value::Float(number) if number.is_nan() => Value::Null,
            value => value,
        };
        std::iter::once(self.told(time)).chain(self.cells.iter().map(value)).collect()
    }
}

fn as_it_is(value: FillValue) -> Value {
    match value {
        FillValue::Integer(number) => Value::Integer(number),
        FillValue::Float(number) => Value::Float(number),
    }
}

fn field_of(place: &Place) -> Option<usize> {
    match place {
        Place::Field(field, _) => Some(*field),
        Place::Tag(_) | Place::Nowhere => None,
    }
}

fn kind_of(place: &Place) -> Option<Kind> {
    match place {
        Place::Field(_, kind) => Some(*kind),
        // What is nowhere is no number either.
        Place::Tag(_) | Place::Nowhere => Some(Kind::String),
    }
}

/// What stands beside a point in its row.
pub(super) fn beside(point: &Point, place: &Place, members: &[&Rows]) -> Value {
    let Some(RowAt { series, row }) = point.row else { return Value::Null };
    let rows = members[series as usize];
    match place {
        Place::Field(field, _) => rows.value(*field, row as usize),
        Place::Tag(key) => match rows.tag_of(row as usize, key) {
            "" => Value::Null,
            text => Value::String(text.to_owned()),
        },
        Place::Nowhere => Value::Null,
    }
}
