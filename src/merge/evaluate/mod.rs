//! A SELECT over rows of several groups -> what one InfluxDB with all of them answers.
//!
//! THE STORY: the groups' rows come series by series (`rows`), of the columns and the time that [`Evaluation`] asks for; WHERE
//! has been applied by the groups. For each series of the answer (`groups`), each call of the SELECT makes points of them
//! (`calls`, `functions`, `window`, `fill`, `order`), LIMIT and OFFSET are cut, and the calls' points are put side by side as
//! rows, whose columns are expressions over them (`cursor`, `expr`). All follow InfluxDB's own iterators step by step, so that
//! ties fall as they do there.
//!
//! A SELECT with subqueries is one evaluation a level: `nested`, with WHERE between them in `filter`.
//!
//! Called by `query`; `plan` says what is asked of the groups. Pure; a group's points are held at once.

mod calls;
pub mod columns;
pub mod combined;
mod compact;
mod cursor;
mod ends;
pub mod expr;
pub mod fill;
mod filter;
pub mod functions;
mod gopow;
mod gosort;
pub mod many;
mod neldermead;
pub mod nested;
pub mod order;
pub mod rows;
#[cfg(test)]
mod tests;
pub mod window;
pub mod written;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::influxql::ast::{Call, Cast, Fill, SortOrder, VarRef};
use crate::influxql::range::{TimeRange, split_time};
use crate::influxql::zone::Zone;
use crate::influxql::{Expr, Select};

use super::results::{Series, Value};
use ends::{AtSilence, Reads, Told};
use expr::Cell;
use functions::{HidesOrder, WHOLE_SUM_MAX, is_best, tags_of_best, whole};
use rows::{Rows, as_f64, share_a_time};
use window::Windows;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Float,
    Integer,
    Unsigned,
    String,
    Boolean,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// InfluxDB's own error about the statement.
    Wrong(String),
    /// It cannot be told exactly.
    Refused(String),
    /// There are more rows than are allowed; so many at least.
    Rows(usize),
}

/// Where a name's values are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A field, by its number among those that are asked for.
    Field(usize, Kind),
    Tag(String),
    /// Nobody knows it.
    Nowhere,
}

/// When storage shards of measurements begin, in order, by name.
pub type Shards = BTreeMap<String, Arc<[i64]>>;

/// A SELECT that is ready for rows.
pub struct Evaluation {
    /// Of the answer, time first.
    columns: Vec<String>,
    cells: Vec<Cell>,
    /// Each text once; the first slots are theirs.
    calls: Vec<Call>,
    /// Names outside calls, by name; the slots behind those of the calls.
    refs: Vec<(VarRef, Place)>,
    /// Fields that are asked of the groups, in order.
    pub fields: Vec<VarRef>,
    /// Tags of GROUP BY, by key.
    dimensions: Vec<String>,
    windows: Windows,
    ascending: bool,
    fill: Fill,
    limit: usize,
    offset: usize,
    /// A lone call that takes one of the points.
    selector: bool,
    /// Rows come of subqueries, and not of measurements alone.
    nested: bool,
    rows_max: usize,
    /// In so many bytes points are sorted; more are counted.
    sort_max: usize,
    /// Times are told as texts, in the zone of tz().
    tells_zone: bool,
    /// SELECT INTO.
    writes: bool,
    /// Of what a call does not take there are no values.
    misfits_are_none: bool,
}

/// A series of the answer: its name, the tags' values, and which of the rows belong to it.
pub struct Group {
    name: String,
    values: Vec<String>,
    members: Vec<usize>,
}

/// What goes on from one series of the answer to the next.
#[derive(Default)]
pub struct Carried {
    /// How far InfluxDB reads calls whose windows may give no point, those within calls by how deep.
    reads: Vec<(Call, usize, Reads)>,
    /// In how many calls the one is that is read.
    inside: usize,
    /// What reads it.
    reader: AtSilence,
    told: Told,
}

impl Carried {
    /// A call of which a window made no point.
    fn silent(&self) -> Option<&Call> {
        self.reads.iter().find(|(_, _, reads)| reads.silent).map(|(call, _, _)| call)
    }
}

impl Evaluation {
    /// `select` reads measurements; its wildcards are written out, its names have their types, `now()` is a literal and GROUP
    /// BY time has its upper bound. `writes`: its rows become points ([`Evaluation::written`]).
    ///
    /// # Errors
    /// InfluxDB's own error, or why it cannot be told exactly.
    pub fn new(select: &Select, rows_max: usize, writes: bool) -> Result<Evaluation, Stop> {
        let evaluation = Evaluation::read(select, rows_max, writes)?;
        evaluation.check_calls()?;
        Ok(evaluation)
    }

    /// The same where no group has a series of what calls do not take: to InfluxDB they are calls of no numbers then.
    ///
    /// # Errors
    /// As [`Evaluation::new`].
    pub fn without_misfits(select: &Select, rows_max: usize, writes: bool) -> Result<Evaluation, Stop> {
        let evaluation = Evaluation { misfits_are_none: true, ..Evaluation::read(select, rows_max, writes)? };
        evaluation.check_calls()?;
        Ok(evaluation)
    }

    /// The same, whatever its calls take.
    fn read(select: &Select, rows_max: usize, writes: bool) -> Result<Evaluation, Stop> {
        let zone = named_zone(select)?;
        let range = match &select.condition {
            Some(condition) => split_time(condition, zone).map_err(Stop::Refused)?.1,
            None => TimeRange::default(),
        };
        let (dimensions, windows) = grouping(select, range, zone)?;
        let mut evaluation = Evaluation {
            columns: Vec::new(),
            cells: Vec::new(),
            calls: Vec::new(),
            refs: Vec::new(),
            fields: Vec::new(),
            dimensions,
            windows,
            ascending: select.order != Some(SortOrder::Descending),
            fill: select.fill,
            limit: usize::try_from(select.limit).unwrap_or(usize::MAX),
            offset: usize::try_from(select.offset).unwrap_or(usize::MAX),
            selector: false,
            nested: false,
            rows_max,
            sort_max: usize::MAX,
            tells_zone: false,
            writes,
            misfits_are_none: false,
        };
        columns::read(&mut evaluation, select)?;
        if range.runs_over() {
            return Err(Stop::Refused(RUNS_OVER.to_owned()));
        }
        Ok(evaluation)
    }

    /// # Errors
    /// A call does not take what it is given, or cannot be told exactly.
    fn check_calls(&self) -> Result<(), Stop> {
        self.calls.iter().try_for_each(|call| self.check_call(call).map(|_| ()))
    }

    /// From now on times are told as texts in the zone of tz(), if there is one: JSON without `epoch` has them so.
    pub fn tell_zone(&mut self) {
        self.tells_zone = true;
    }

    /// A row's time as it is told.
    fn told(&self, time: i64) -> Value {
        match self.windows.zone {
            Some(zone) if self.tells_zone => Value::String(zone.rfc3339(time)),
            _ => Value::Time(time),
        }
    }

    /// Whether it matters when storage shards begin: InfluxDB cuts rows in each before it looks at them.
    pub fn cuts_in_shards(&self) -> bool {
        let best = |call: &Call| is_best(call) && tags_of_best(call).next().is_none();
        match self.calls.is_empty() {
            true => self.limit == 0 && self.offset > 0,
            false => (self.limit > 0 || self.offset > 0) && self.calls.iter().any(best),
        }
    }

    /// Whether it matters of these rows, where they can tell in which order they come at one time, in which storage shards they
    /// lie: InfluxDB puts them in order in each.
    pub fn orders_in_shards<'a>(&self, rows: impl IntoIterator<Item = &'a Rows>) -> bool {
        if !self.shows_order() {
            return false;
        }
        let mut sets: BTreeMap<(&str, Vec<&str>), Vec<&Rows>> = BTreeMap::new();
        for rows in rows {
            let values = self.dimensions.iter().map(|key| rows.tag(key)).collect();
            sets.entry((&rows.name, values)).or_default().push(rows);
        }
        sets.values().any(|series| share_a_time(series))
    }

    /// Whether it matters of a series' rows in which storage shards they lie, since what a mean or a sum adds up of a window runs
    /// over: InfluxDB adds up those of each first. `given`: where in the rows a field stands, if it is there.
    pub fn adds_in_shards(&self, rows: &Rows, given: impl Fn(usize) -> Option<usize>) -> bool {
        let mut added = self.calls.iter().filter_map(|call| self.added(call));
        added.any(|(field, kind)| given(field).is_some_and(|field| self.runs_over(rows, field, kind)))
    }

    /// Whether what a window has of a field may, in some order and parts of it.
    fn runs_over(&self, rows: &Rows, field: usize, kind: Kind) -> bool {
        let (mut until, mut wholes, mut floats) = (i64::MIN, 0_u64, 0.0);
        (0..rows.len()).any(|row| {
            let (time, value) = (rows.time(row), rows.value(field, row));
            if self.windows.interval > 0 && time >= until {
                (until, wholes, floats) = (self.windows.of(time).1, 0, 0.0);
            }
            wholes = wholes.saturating_add(whole(&value));
            floats += as_f64(&value).map_or(0.0, f64::abs);
            if kind == Kind::Float { !floats.is_finite() } else { wholes > WHOLE_SUM_MAX }
        })
    }

    /// The same, where nobody knows in which they lie, or whose they are: why it cannot be told.
    pub fn adds_in_unknown(
        &self,
        rows: &Rows,
        several: bool,
        given: impl Fn(usize) -> Option<usize>,
    ) -> Option<String> {
        let unknown = (several || rows.shards().is_none()) && self.adds_in_shards(rows, given);
        let why = "a sum that runs over, which InfluxDB begins anew in each storage shard, of which it is not known when they begin,";
        unknown.then(|| why.to_owned())
    }

    /// The field of which a call adds up values so that it matters where they run over; whole numbers of a sum may.
    fn added(&self, call: &Call) -> Option<(usize, Kind)> {
        match call.args.first() {
            Some(Expr::Call(inner)) => self.added(inner),
            Some(Expr::VarRef(var)) => match self.place_of(var) {
                Place::Field(field, kind) if call.name == "mean" || call.name == "sum" && kind == Kind::Float => {
                    Some((field, kind))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it shows in which order points of one time come.
    fn shows_order(&self) -> bool {
        let hides = |call: &Call| {
            matches!(call.args.first(), Some(Expr::VarRef(_)))
                && functions::function(&call.name).is_some_and(|function| function.hides_order == HidesOrder::Always)
        };
        self.calls.is_empty() || !self.refs.is_empty() || !self.calls.iter().all(hides)
    }

    /// Whether there may be points that their own windows do not hold: clocks change in these, or one has the last time of all.
    pub fn may_lose_points(&self) -> bool {
        let Windows { interval, range, zone, .. } = self.windows;
        let change = interval > 0 && zone.is_some_and(|zone| zone.changes_within(range.start, range.end));
        change || self.windows.reach_the_end()
    }

    /// Whether nothing can be put together of what groups make of their points, since their windows do not hold all of these.
    pub fn needs_points(&self) -> bool {
        self.windows.reach_the_end()
    }

    /// Whether there are such points among these ([`Evaluation::may_lose_points`]): InfluxDB reads no more of such a series in
    /// that storage shard.
    pub fn loses_points<'a>(&self, rows: impl IntoIterator<Item = &'a Rows>) -> bool {
        let lost = |time: i64| {
            let (start, end) = self.windows.of(time);
            !(start..end).contains(&time)
        };
        rows.into_iter().any(|rows| (0..rows.len()).any(|row| lost(rows.time(row))))
    }

    /// From now on rows are what subqueries answer.
    pub fn over_subqueries(&mut self) {
        self.nested = true;
    }

    /// Sorts rows by series of the answer, in InfluxDB's order.
    pub fn groups(&self, rows: &[Rows]) -> Vec<Group> {
        let mut found: BTreeMap<(String, Vec<String>), Vec<usize>> = BTreeMap::new();
        for (number, series) in rows.iter().enumerate() {
            let values = self.dimensions.iter().map(|key| series.tag(key).to_owned()).collect();
            found.entry((series.name.clone(), values)).or_default().push(number);
        }
        let group = |((name, values), mut members): (_, Vec<usize>)| {
            members.sort_by_cached_key(|number| rows[*number].key());
            if !self.ascending {
                members.reverse();
            }
            Group { name, values, members }
        };
        let mut groups: Vec<Group> = found.into_iter().map(group).collect();
        if !self.ascending {
            groups.reverse();
        }
        groups
    }

    /// The whole answer.
    ///
    /// # Errors
    /// As [`Evaluation::series`].
    pub fn answer(&self, rows: &[Rows]) -> Result<Vec<Series>, Stop> {
        let (mut carried, mut answer) = (Carried::default(), Vec::new());
        for group in self.groups(rows) {
            answer.extend(self.series(rows, &group, &mut carried)?);
        }
        answer.extend(self.last_rows(&mut carried)?);
        Ok(answer)
    }

    /// What there is to tell of the answer once its next series is known: mostly all of this one. In the end
    /// [`Evaluation::last_rows`] has the rest.
    ///
    /// # Errors
    /// There are too many rows, or what is asked for cannot be told exactly of these.
    pub fn series(&self, rows: &[Rows], group: &Group, carried: &mut Carried) -> Result<Vec<Series>, Stop> {
        let members: Vec<&Rows> = group.members.iter().map(|number| &rows[*number]).collect();
        let (name, values) = (group.name.clone(), group.values.clone());
        if self.calls.is_empty() {
            let rows = self.raw(&members)?;
            if rows.len() > self.rows_max {
                return Err(Stop::Rows(rows.len()));
            }
            return Ok(Vec::from_iter((!rows.is_empty()).then(|| self.series_of(name, values, rows))));
        }
        let mut points = Vec::new();
        for call in &self.calls {
            points.push(self.points(call, &members, carried)?);
        }
        self.side_by_side((name, values), points, &members, carried)
    }

    /// `tags` are the values of GROUP BY's.
    fn series_of(&self, name: String, tags: Vec<String>, values: Vec<Vec<Value>>) -> Series {
        let tags = self.dimensions.iter().cloned().zip(tags).collect();
        let columns = self.columns.clone();
        Series { name, tags, columns, values, ..Series::default() }
    }

    /// The field of this name and type that is asked for; it is asked for from now on.
    fn place(&mut self, var: &VarRef) -> Place {
        let kind = match var.cast {
            Some(Cast::Tag) => return Place::Tag(var.name.clone()),
            Some(Cast::Float) => Kind::Float,
            Some(Cast::Integer) => Kind::Integer,
            Some(Cast::Unsigned) => Kind::Unsigned,
            Some(Cast::String) => Kind::String,
            Some(Cast::Boolean) => Kind::Boolean,
            Some(Cast::Field) | None => return Place::Nowhere,
        };
        let known = self.fields.iter().position(|field| field == var);
        let at = known.unwrap_or_else(|| {
            self.fields.push(var.clone());
            self.fields.len() - 1
        });
        Place::Field(at, kind)
    }

    /// The same of a name that stands inside a call.
    fn place_of(&self, var: &VarRef) -> Place {
        let kind = match var.cast {
            Some(Cast::Float) => Kind::Float,
            Some(Cast::Integer) => Kind::Integer,
            Some(Cast::Unsigned) => Kind::Unsigned,
            Some(Cast::String) => Kind::String,
            Some(Cast::Boolean) => Kind::Boolean,
            Some(Cast::Tag) => return Place::Tag(var.name.clone()),
            Some(Cast::Field) | None => return Place::Nowhere,
        };
        self.fields.iter().position(|field| field == var).map_or(Place::Nowhere, |at| Place::Field(at, kind))
    }
}

/// Why a range is refused that [`TimeRange::runs_over`]: what InfluxDB finds hangs on how it has stored it.
const RUNS_OVER: &str = "a time before InfluxDB's first or behind its last";

/// The zone of tz().
fn named_zone(select: &Select) -> Result<Option<Zone>, Stop> {
    let named =
        |name: &String| Zone::named(name).ok_or_else(|| Stop::Refused(format!("tz('{name}'), a zone not known here,")));
    select.timezone.as_ref().map(named).transpose()
}

/// The tags of GROUP BY, and the windows.
fn grouping(select: &Select, range: TimeRange, zone: Option<Zone>) -> Result<(Vec<String>, Windows), Stop> {
    let mut dimensions = Vec::new();
    let mut windows = Windows { interval: 0, offset: 0, range, zone };
    for expr in &select.group_by {
        match expr {
            Expr::VarRef(var) => dimensions.push(var.name.clone()),
            Expr::Call(call) if call.name == "time" => match call.args.as_slice() {
                [Expr::Duration(interval)] if *interval > 0 => windows.interval = *interval,
                [Expr::Duration(interval), offset] if *interval > 0 => {
                    windows.interval = *interval;
                    windows.offset = offset_of(offset, *interval, zone).ok_or_else(|| unreadable(expr))?;
                }
                _ => return Err(unreadable(expr)),
            },
            other => return Err(unreadable(other)),
        }
    }
    dimensions.sort();
    dimensions.dedup();
    Ok((dimensions, windows))
}

fn unreadable(expr: &Expr) -> Stop {
    Stop::Refused(format!("GROUP BY {expr}"))
}

/// How far windows are moved: less than an interval.
fn offset_of(expr: &Expr, interval: i64, zone: Option<Zone>) -> Option<i64> {
    match expr {
        Expr::Duration(offset) => Some(offset % interval),
        Expr::String(text) => {
            let time = crate::influxql::range::parse_time(text, zone)?;
            Some(crate::influxql::inspect::since_truncated(time, interval))
        }
        Expr::Binary { .. } | Expr::Paren(_) | Expr::Integer(_) => None,
        _ => None,
    }
}
