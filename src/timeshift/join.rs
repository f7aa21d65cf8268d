//! Fields of one SELECT that are shifted by several lengths: a SELECT for each, joined on series and time.
//!
//! As InfluxDB's cursors put its calls side by side: a row for every time that any of them has, what one has not there is
//! null or what fill() says. LIMIT and OFFSET count the joined rows, SLIMIT and SOFFSET the joined series of a measurement.

use std::collections::BTreeMap;

use crate::influxql::Select;
use crate::influxql::ast::{Fill, FillValue, Shift, SortOrder};
use crate::influxql::range::TIME_MIN;
use crate::merge::evaluate::Kind;
use crate::merge::evaluate::columns::names;
use crate::merge::evaluate::fill::number;
use crate::merge::results::{Series, Value};

use super::ask;
use super::moved::{is_lone_selector, range, windows};

/// How the parts' answers become one.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// One SELECT for each shift.
    pub parts: Vec<Select>,
    /// Of the answer, time first.
    columns: Vec<String>,
    /// Where each column but the time stands: the part, and the column there.
    places: Vec<(usize, usize)>,
    fill: Fill,
    descending: bool,
    /// The one time of parts that are one row: of a selector alone it would be the point's.
    at: Vec<Option<i64>>,
    limit: usize,
    offset: usize,
    slimit: usize,
    soffset: usize,
}

/// What series are joined by: name and tags.
type Key = (String, Vec<(String, String)>);

impl Join {
    /// # Errors
    /// A time that cannot be read here.
    pub fn new(select: &Select, shifts: &[Shift]) -> Result<Join, String> {
        let fields: Vec<_> = ask::fields(select).cloned().collect();
        let time = select.fields.iter().filter(|field| ask::is_time(field)).find_map(|field| field.alias.clone());
        let columns = names(time.unwrap_or_else(|| "time".to_owned()), &fields);
        let mut parts: Vec<Select> = shifts.iter().map(|_| part(select)).collect();
        let mut places = Vec::new();
        for field in &fields {
            let shift = ask::of_field(field);
            let Some(at) = shifts.iter().position(|own| *own == shift) else { continue };
            places.push((at, parts[at].fields.len() + 1));
            parts[at].fields.push(field.clone());
        }
        let start = match range(select)?.start {
            TIME_MIN => 0,
            start => start,
        };
        let one_row = |part: &Select| (windows(select).is_none() && is_lone_selector(part)).then_some(start);
        let at = parts.iter().map(one_row).collect();
        let count = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Join {
            columns,
            places,
            fill: select.fill,
            descending: select.order == Some(SortOrder::Descending),
            at,
            limit: count(select.limit),
            offset: count(select.offset),
            slimit: count(select.slimit),
            soffset: count(select.soffset),
            parts,
        })
    }

    /// The parts' answers as one.
    ///
    /// # Errors
    /// A part has several rows at one time.
    pub fn joined(&self, answers: Vec<Vec<Series>>) -> Result<Vec<Series>, String> {
        let kinds = self.kinds(&answers);
        let mut series: BTreeMap<Key, Vec<Vec<Vec<Value>>>> = BTreeMap::new();
        for (part, answer) in answers.into_iter().enumerate() {
            for Series { name, tags, values, .. } in answer {
                let own = series.entry((name, tags)).or_insert_with(|| vec![Vec::new(); self.parts.len()]);
                own[part].extend(values);
            }
        }
        let mut joined = Vec::new();
        for ((name, tags), mut parts) in series {
            for (rows, at) in parts.iter_mut().zip(&self.at) {
                if let (Some(time), [row]) = (at, rows.as_mut_slice()) {
                    row[0] = Value::Time(*time);
                }
            }
            let values = self.rows(&name, parts, &kinds)?;
            joined.push(Series { name, tags, columns: self.columns.clone(), values, ..Series::default() });
        }
        joined.retain(|series| !series.values.is_empty());
        if self.descending {
            joined.reverse();
        }
        Ok(self.cut(joined))
    }

    fn rows(&self, name: &str, parts: Vec<Vec<Vec<Value>>>, kinds: &[Option<Kind>]) -> Result<Vec<Vec<Value>>, String> {
        let mut heads: Vec<_> = parts.into_iter().map(|rows| rows.into_iter().peekable()).collect();
        let mut rows: Vec<Vec<Value>> = Vec::new();
        let mut before: Vec<Value> = vec![Value::Null; self.places.len()];
        loop {
            let times = heads.iter_mut().filter_map(|part| part.peek().and_then(|row| time(row)));
            let Some(next) = (if self.descending { times.max() } else { times.min() }) else { break };
            let mut found = Vec::new();
            for part in &mut heads {
                found.push(part.next_if(|row| time(row) == Some(next)));
                if part.peek().is_some_and(|row| time(row) == Some(next)) {
                    return Err(format!(
                        "fields of several timeshifts cannot be joined: {name:?} has several rows at one time; GROUP BY the \
                         tags that tell them apart"
                    ));
                }
            }
            let mut row = vec![Value::Time(next)];
            for (column, (part, place)) in self.places.iter().enumerate() {
                let value = match &found[*part] {
                    Some(own) => own.get(*place).cloned().unwrap_or_default(),
                    None => self.missing(&before[column], kinds[column]),
                };
                before[column] = value.clone();
                row.push(value);
            }
            rows.push(row);
        }
        let most = if self.limit > 0 { self.limit } else { usize::MAX };
        Ok(rows.into_iter().skip(self.offset).take(most).collect())
    }

    /// What stands for a row that a part has not.
    fn missing(&self, before: &Value, kind: Option<Kind>) -> Value {
        match (self.fill, kind) {
            (Fill::Previous, _) => before.clone(),
            (Fill::Value(value), Some(kind)) => number(value, kind),
            (Fill::Value(FillValue::Integer(value)), None) => Value::Integer(value),
            (Fill::Value(FillValue::Float(value)), None) => Value::Float(value),
            (Fill::Null | Fill::None | Fill::Linear, _) => Value::Null,
        }
    }

    /// Of what kind each column is, as far as any value tells it.
    fn kinds(&self, answers: &[Vec<Series>]) -> Vec<Option<Kind>> {
        let of = |(part, place): &(usize, usize)| {
            let mut cells = answers[*part].iter().flat_map(|series| &series.values).filter_map(|row| row.get(*place));
            cells.find_map(kind)
        };
        self.places.iter().map(of).collect()
    }

    fn cut(&self, series: Vec<Series>) -> Vec<Series> {
        if self.slimit == 0 && self.soffset == 0 {
            return series;
        }
        let most = if self.slimit > 0 { self.slimit } else { usize::MAX };
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let wanted = self.soffset..self.soffset.saturating_add(most);
        let mut within = |series: &Series| {
            let number = seen.entry(series.name.clone()).or_default();
            *number += 1;
            wanted.contains(&(*number - 1))
        };
        series.into_iter().filter(|series| within(series)).collect()
    }
}

/// The SELECT without fields, and without what is done to the joined rows.
fn part(select: &Select) -> Select {
    Select { fields: Vec::new(), limit: 0, offset: 0, slimit: 0, soffset: 0, ..select.clone() }
}

fn time(row: &[Value]) -> Option<i64> {
    match row.first() {
        Some(Value::Time(time)) => Some(*time),
        _ => None,
    }
}

pub fn kind(value: &Value) -> Option<Kind> {
    match value {
        Value::Float(_) => Some(Kind::Float),
        Value::Integer(_) => Some(Kind::Integer),
        Value::Unsigned(_) => Some(Kind::Unsigned),
        Value::String(_) => Some(Kind::String),
        Value::Boolean(_) => Some(Kind::Boolean),
        Value::Null | Value::Time(_) => None,
    }
}
