//! Where it shows that InfluxDB reads the rows of all series of an answer as one stream.
//!
//! A call without windows ends for good at the first row that is outside its range, as a subquery's first window may be:
//! nothing comes of the rows behind it, of later series either. And which of several sources is first at one time, what comes
//! of windows that are not in the order of time, and how calls are joined of which one ends before the others, hang on what was
//! read before: then all series of the answer are made together (`together`).

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::Expr;
use crate::influxql::ast::Call;
use crate::merge::evaluate::functions::{Function, HidesOrder, How, function};
use crate::merge::evaluate::rows::Rows;
use crate::merge::evaluate::window::Windows;
use crate::merge::evaluate::{Kind, Place, Stop};

use super::calls::Fed;
use super::level::{Given, Level};
use super::stream::Tagged;

/// Calls that have ended, from one series of the answer to the next. They are counted as they are met: each series has all.
#[derive(Default)]
pub struct Ended {
    met: RefCell<usize>,
    /// By call and source.
    calls: RefCell<BTreeSet<(usize, usize)>>,
    wants_all: Cell<bool>,
}

impl Ended {
    pub fn new(wants_all: bool) -> Ended {
        Ended { wants_all: Cell::new(wants_all), ..Ended::default() }
    }

    /// For the next series of the answer.
    pub fn rewind(&self) {
        self.met.replace(0);
    }

    /// Whether a series was refused that can be told together with all others ([`super::Nested::all_series`]).
    pub fn wants_all(&self) -> bool {
        self.wants_all.get()
    }

    /// Series by series it cannot be told.
    pub fn want_all(&self, what: String) -> Stop {
        self.wants_all.set(true);
        Stop::Refused(what)
    }

    /// The number of the call that is met now.
    pub fn meet(&self) -> usize {
        self.met.replace_with(|met| *met + 1)
    }
}

impl Level {
    /// What of its rows a call reads until it ends.
    pub fn until_the_end<'a>(
        &self,
        fed: Fed<'a>,
        call: &Call,
        number: usize,
        given: &Given<'_>,
        windows: &Windows,
    ) -> Result<Fed<'a>, Stop> {
        if windows.interval != 0 || !self.evaluation.nested {
            return Ok(fed);
        }
        let key = (number, fed.input);
        let mut ended = given.ended.calls.borrow_mut();
        let (Some(turns), Some(field)) = (&fed.turns, self.field_of(call)) else {
            // Measurements beside a subquery that has ended what is read of both.
            return Ok(if ended.contains(&key) { Fed { members: Vec::new(), ..fed } } else { fed });
        };
        let valued = |(member, row): &&(usize, usize)| !fed.members[*member].1.is_null(field, *row);
        let beyond = |(member, row): &&(usize, usize)| !windows.range.contains(fed.members[*member].1.time(*row));
        let end = match ended.contains(&key) {
            true => Some(0),
            false => turns.iter().position(|turn| valued(&turn) && beyond(&turn)),
        };
        let read = &turns[..end.unwrap_or(turns.len())];
        let first = read.iter().position(|turn| valued(&turn)).unwrap_or(read.len());
        let last = read.iter().rposition(|turn| valued(&turn)).unwrap_or(first);
        if !joins_again(call) && read[first..last.max(first)].iter().any(|turn| beyond(&turn)) {
            let name = &call.name;
            let what = format!("{name}() over a subquery with windows that fill() left before its time");
            return Err(given.ended.want_all(what));
        }
        let Some(end) = end else { return Ok(fed) };
        ended.insert(key);
        Ok(self.first(&fed, turns, end))
    }

    /// Where rows of several sources are read as one, a subquery's window that begins before their time ends the call behind
    /// those of the sources that have had their turn.
    pub fn check_begun(&self, call: &Call, fed: &[Fed<'_>], windows: &Windows, given: &Given<'_>) -> Result<(), Stop> {
        let Some(field) = self.field_of(call).filter(|_| windows.interval == 0 && self.evaluation.nested) else {
            return Ok(());
        };
        let is_beyond = |rows: &Rows, row: usize| !rows.is_null(field, row) && !windows.range.contains(rows.time(row));
        let is_told = |fed: &Fed<'_>| {
            let mut turns = fed.turns.iter().flatten();
            !turns.any(|(member, row)| is_beyond(&fed.members[*member].1, *row))
        };
        if fed.iter().all(is_told) {
            return Ok(());
        }
        let what = format!("{}() over several sources, of which one has windows before its time,", call.name);
        Err(given.ended.want_all(what))
    }

    /// The first rows, so many of them.
    fn first<'a>(&self, fed: &Fed<'a>, turns: &[(usize, usize)], count: usize) -> Fed<'a> {
        let mut kept: Vec<BTreeMap<usize, usize>> = vec![BTreeMap::new(); fed.members.len()];
        for (member, row) in &turns[..count] {
            kept[*member].insert(*row, 0);
        }
        let mut members = Vec::new();
        for ((tags, rows), kept) in fed.members.iter().zip(&mut kept) {
            let mut own = Rows::new(rows.name.clone(), rows.tags.clone());
            for (number, (row, at)) in kept.iter_mut().enumerate() {
                *at = number;
                own.push(
                    rows.time(*row),
                    (0..self.evaluation.fields.len()).map(|field| rows.value(field, *row)).collect(),
                );
            }
            members.push((tags.clone(), Cow::Owned(own)));
        }
        let turns = turns[..count].iter().map(|(member, row)| (*member, kept[*member][row])).collect();
        Fed { input: fed.input, members, turns: Some(turns) }
    }

    /// The windows of several tags or sources are put in order here, of one they stay as they come. InfluxDB ends a window at a
    /// row of another one, though it has no value.
    pub fn check_windows(
        &self,
        call: &Call,
        fed: &[Fed<'_>],
        windows: &Windows,
        given: &Given<'_>,
    ) -> Result<(), Stop> {
        let Some(field) = self.field_of(call).filter(|_| windows.interval != 0) else { return Ok(()) };
        let joins = joins_again(call);
        let is_best = function(&call.name).is_some_and(|function| matches!(function.how, How::Best { .. }));
        let is_plain = matches!(call.args.first(), Some(Expr::VarRef(_))) && !is_best;
        let alone = self.inputs.len() == 1 && is_plain && matches!(fed, [one] if one.members.len() < 2);
        let is_told = |fed: &Fed<'_>| {
            let start = |(member, row): &(usize, usize)| {
                let rows = &fed.members[*member].1;
                (windows.start(rows.time(*row)), !rows.is_null(field, *row))
            };
            let rows: Vec<(i64, bool)> = fed.turns.iter().flatten().map(start).collect();
            let valued: Vec<(i64, bool)> = rows.iter().copied().filter(|(_, valued)| *valued).collect();
            let found = begun(&valued);
            let in_order = if self.ascending() { found.is_sorted() } else { found.is_sorted_by(|a, b| a >= b) };
            (alone || in_order) && (joins || begun(&rows) == found)
        };
        if fed.iter().all(is_told) {
            return Ok(());
        }
        let what = format!("{}() over a subquery whose windows do not come in the order of time", call.name);
        Err(given.ended.want_all(what))
    }

    /// Rows of several sources take turns: whether it shows which of them is first. Measurements of one name have each its own
    /// storage shards.
    pub fn check_beside(&self, call: &Call, function: &Function, given: &Given<'_>) -> Result<(), Stop> {
        let shows = matches!(function.hides_order, HidesOrder::OfCalls | HidesOrder::Never);
        let ends = matches!(function.how, How::End { .. }) && self.takes_ends();
        let apart = given.several || self.measurements().count() > 1;
        if ends || apart && (shows || !self.evaluation.refs.is_empty()) {
            return Err(given.ended.want_all(beside(&format!("{}()", call.name))));
        }
        Ok(())
    }

    /// The same of raw rows, which are merged by time and take turns where they have one.
    pub fn check_ties(&self, sources: &[Vec<Tagged>], given: &Given<'_>) -> Result<(), Stop> {
        if sources.len() < 2 {
            return Ok(());
        }
        let in_order = |rows: &Vec<Tagged>| match self.ascending() {
            true => rows.is_sorted_by_key(|row| row.time),
            false => rows.is_sorted_by(|a, b| a.time >= b.time),
        };
        if !sources.iter().all(in_order) {
            return Err(given.ended.want_all(beside("rows that do not come in the order of time")));
        }
        if !given.several && self.measurements().count() < 2 {
            return Ok(());
        }
        let mut found: BTreeMap<i64, usize> = BTreeMap::new();
        for (number, rows) in sources.iter().enumerate() {
            if rows.iter().any(|row| *found.entry(row.time).or_insert(number) != number) {
                return Err(given.ended.want_all(beside("rows at one time")));
            }
        }
        Ok(())
    }

    /// Calls are joined by all tags before those of the answer's series, if they sort before them: where one of them has no
    /// points left of this series, its next ones may come before the others' last.
    pub fn check_joined(
        &self,
        scanners: &[Vec<Tagged>],
        kinds: &[Option<Kind>],
        keys: &[String],
        given: &Given<'_>,
    ) -> Result<(), Stop> {
        let known: Vec<&Vec<Tagged>> =
            scanners.iter().zip(kinds).filter(|(_, kind)| kind.is_some()).map(|(points, _)| points).collect();
        let place = |point: &Tagged| (point.time, point.tags.clone());
        let alike = |pair: &[&Vec<Tagged>]| pair[0].iter().map(place).eq(pair[1].iter().map(place));
        if !given.several || keys.starts_with(&self.outermost) || known.windows(2).all(alike) {
            return Ok(());
        }
        Err(given.ended.want_all("several calls in a subquery, of which one ends before the others,".to_owned()))
    }

    fn field_of(&self, call: &Call) -> Option<usize> {
        match call.args.first() {
            Some(Expr::Call(inner)) => self.field_of(inner),
            Some(Expr::VarRef(var)) => match self.evaluation.place_of(var) {
                Place::Field(field, _) => Some(field),
                Place::Tag(_) | Place::Nowhere => None,
            },
            _ => None,
        }
    }
}

/// Whether what is made of parts of a window is put together once more.
fn joins_again(call: &Call) -> bool {
    let twice = |function: &Function| matches!(function.how, How::Twice(..) | How::End { .. });
    matches!(call.args.first(), Some(Expr::VarRef(_))) && function(&call.name).is_some_and(twice)
}

/// The windows that InfluxDB begins, of rows' starts and whether there is a value.
fn begun(rows: &[(i64, bool)]) -> Vec<i64> {
    let (mut windows, mut current) = (Vec::new(), None);
    for (start, valued) in rows {
        if current != Some(*start) {
            current = valued.then_some(*start);
            windows.extend(current);
        }
    }
    windows
}

fn beside(what: &str) -> String {
    format!("{what} of sources beside each other, in several series (ask for one source, or one series),")
}
