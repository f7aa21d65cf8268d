//! Series of the answer put together as parts or rows come, without holding these: `merge::combine` has how.
//!
//! Used where the SELECT has no columns beside its calls, and each call has a row in that table: what goes over what a call
//! gives (transformations, fill, LIMIT, columns of several calls) is the same as over rows.

use std::collections::BTreeMap;

use crate::influxql::Expr;
use crate::influxql::ast::Call;
use crate::merge::combine::ask::{asked, parts};
use crate::merge::combine::{Combine, Origin, State};
use crate::merge::results::{Series, Value};

use super::calls::or_none;
use super::ends::AtSilence;
use super::functions::{Args, How, function, run};
use super::rows::{NO_TIME, Point, key_of};
use super::window::Windows;
use super::{Carried, Evaluation, Place, Stop};

/// How much memory a window takes beside its state, about.
const WINDOW_BYTES: usize = 96;
/// Cells of a part that one function takes, at most.
const CELLS_MAX: usize = 3;

/// What is known of all series of the answer so far.
pub struct Combination {
    calls: Vec<Taken>,
    dimensions: Vec<String>,
    /// What came is what groups made of their points; else it is points.
    of_partials: bool,
    found: BTreeMap<(String, Vec<String>), Vec<States>>,
    /// Which series' points have come, and from which group.
    seen: BTreeMap<String, Origin>,
    hides_windows: bool,
    bytes: usize,
}

/// Of one call, by windows' starts.
type States = BTreeMap<i64, Box<dyn State>>;

/// How one call takes what comes.
struct Taken {
    combine: &'static Combine,
    /// Which columns it reads, the time being 0.
    columns: Vec<usize>,
    args: Args<'static>,
}

/// One series of the answer, with what is known of each call.
pub struct Combined {
    name: String,
    values: Vec<String>,
    states: Vec<States>,
}

impl Evaluation {
    /// What takes what groups say: to these columns, or of no columns, rows of the fields. `None`: it takes all rows at once to
    /// make the answer.
    pub fn combination(&self, asked_for: Option<&[Expr]>) -> Option<Combination> {
        // Where clocks change, which window a point is in hangs on the points before it.
        let clocks_change = self.windows.zone.is_some() && self.windows.interval > 0;
        if !self.refs.is_empty() || self.calls.is_empty() || clocks_change || self.windows.reach_the_end() {
            return None;
        }
        let mut calls = Vec::new();
        for part in parts(&self.calls, self.windows.interval, self.limit > 0 || self.offset > 0)? {
            let columns = match asked_for {
                Some(columns) => {
                    let place = |column: Expr| Some(1 + columns.iter().position(|asked| *asked == column)?);
                    asked(&part).into_iter().map(place).collect::<Option<Vec<usize>>>()?
                }
                None => match self.place_of(part.of) {
                    Place::Field(at, _) => vec![1 + at],
                    Place::Tag(_) | Place::Nowhere => Vec::new(),
                },
            };
            let windows = self.wider(&self.windows, part.wider);
            let args = Args { rest: &[], ..Args::new(part.call, self.ascending, windows) };
            calls.push(Taken { combine: part.combine, columns, args });
        }
        let (dimensions, of_partials) = (self.dimensions.clone(), asked_for.is_some());
        let (found, seen, hides_windows) = (BTreeMap::new(), BTreeMap::new(), false);
        Some(Combination { calls, dimensions, of_partials, found, seen, hides_windows, bytes: 0 })
    }

    fn wider(&self, windows: &Windows, more: i64) -> Windows {
        if self.ascending { windows.widened(more, 0) } else { windows.widened(0, more) }
    }

    /// What was put together, in the order of the answer.
    pub fn in_order(&self, combination: Combination) -> Vec<Combined> {
        let combined = |((name, values), states)| Combined { name, values, states };
        let mut all: Vec<Combined> = combination.found.into_iter().map(combined).collect();
        if !self.ascending {
            all.reverse();
        }
        all
    }

    /// What there is to tell of the answer once its next series is known, as [`Evaluation::series`] has it.
    ///
    /// # Errors
    /// There are too many rows.
    pub fn combined(&self, series: Combined, carried: &mut Carried) -> Result<Vec<Series>, Stop> {
        let Combined { name, values, states } = series;
        let mut points = Vec::new();
        for (call, states) in self.calls.iter().zip(states) {
            points.push(self.cut(self.over(call, states, self.windows, carried)?, &[]));
        }
        self.side_by_side((name, values), points, &[], carried)
    }

    /// The points of a call whose innermost one is put together.
    fn over(&self, call: &Call, states: States, windows: Windows, carried: &mut Carried) -> Result<Vec<Point>, Stop> {
        let unknown = || Stop::Refused(format!("{}()", call.name));
        let function = function(&call.name).ok_or_else(unknown)?;
        let args = Args::new(call, self.ascending, windows);
        match (function.how, call.args.first()) {
            (How::Stream { reads_before, begin }, Some(Expr::Call(inner))) => {
                let wider = self.read_by_stream(windows, reads_before);
                if wider.range.start > wider.range.end {
                    return Ok(Vec::new());
                }
                let input =
                    self.of_inner(carried, AtSilence::Ends, |carried| self.over(inner, states, wider, carried))?;
                Ok(run(&mut *begin(&Args { windows: wider, ..args }), &input))
            }
            (How::Distinct, _) => Ok(self.shown(self.put_together(states), &windows)),
            (How::Best { .. }, _) => Ok(self.put_together(states)),
            // Values that are counted stand where the range begins, at 0 where it has no beginning: maybe behind its end.
            (How::Twice(..), Some(Expr::Call(_)))
                if windows.interval == 0 && !windows.range.contains(windows.shown(windows.range.start)) =>
            {
                Ok(Vec::new())
            }
            (How::Window(_), _) => {
                let found = self.until_the_end(call, self.put_together(states), Some(&windows), carried);
                self.finished(call, function, found, &windows, carried)
            }
            _ => self.finished(call, function, self.put_together(states), &windows, carried),
        }
    }

    fn put_together(&self, states: States) -> Vec<Point> {
        let mut points = Vec::new();
        let mut window = |(start, state): (i64, Box<dyn State>)| {
            let found = state.finish().into_iter().map(|point| match point.time {
                NO_TIME => Point { time: start, ..point },
                _ => point,
            });
            points.extend(or_none(found.collect()));
        };
        match self.ascending {
            true => states.into_iter().for_each(&mut window),
            false => states.into_iter().rev().for_each(&mut window),
        }
        points
    }
}

impl Combination {
    /// Takes some rows of a series that a group gave.
    ///
    /// # Errors
    /// They are not what was asked for, or another group gave the series too.
    pub fn take(&mut self, group: usize, series: Series) -> Result<(), String> {
        let Series { name, tags, values: rows, columns, .. } = series;
        if self.calls.iter().flat_map(|call| &call.columns).any(|column| *column >= columns.len()) {
            return Err(format!("rows of {} columns, which are fewer than were asked for", columns.len()));
        }
        let shown_at_0 = |row: &Vec<Value>| row.first() == Some(&Value::Time(0));
        let begin_nowhere = |call: &Taken| call.args.windows.begin_nowhere();
        self.hides_windows |= self.of_partials && self.calls.iter().any(begin_nowhere) && rows.iter().any(shown_at_0);
        let origin = if self.of_partials { None } else { Some(self.origin(group, key_of(&name, &tags))?) };
        let tag = |key: &String| tags.iter().find(|(own, _)| own == key).map_or("", |(_, value)| value).to_owned();
        let place = (name, self.dimensions.iter().map(tag).collect());
        let calls = &self.calls;
        let all = self.found.entry(place).or_insert_with(|| calls.iter().map(|_| States::new()).collect());
        for (call, states) in calls.iter().zip(all) {
            self.bytes += call.take(&rows, origin, states)?;
        }
        Ok(())
    }

    /// Whose points a series' are.
    fn origin(&mut self, group: usize, key: String) -> Result<Origin, String> {
        match self.seen.get(&key) {
            Some(origin) if origin.group != group => {
                Err(format!("two groups have the series {key}: one has points that are not its own"))
            }
            Some(origin) => Ok(*origin),
            None => {
                let origin = Origin { group, series: self.seen.len() };
                self.bytes += WINDOW_BYTES + key.len();
                self.seen.insert(key, origin);
                Ok(origin)
            }
        }
    }

    /// Whether floats have run over on the way: what comes of them hangs on the order of the points, which rows alone tell.
    pub fn runs_over(&self) -> bool {
        self.found.values().flatten().flat_map(States::values).any(|state| state.runs_over())
    }

    /// Whether a group has shown a window at 0, which may be the one of all times before the second window: points tell.
    pub fn hides_windows(&self) -> bool {
        self.hides_windows
    }

    /// How much memory it takes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Taken {
    /// How much more memory is taken. What has no `origin` groups made of their points.
    fn take(&self, rows: &[Vec<Value>], origin: Option<Origin>, states: &mut States) -> Result<usize, String> {
        let of_partials = origin.is_none();
        let Some(first) = self.columns.first() else { return Ok(0) };
        let (mut rest, mut more) = (rows, 0);
        while let Some(row) = rest.first() {
            let (start, end) = self.args.windows.of(time(row)?);
            let mut run = 0;
            while let Some(row) = rest.get(run)
                && (run == 0 || (start..end).contains(&time(row)?))
            {
                run += 1;
            }
            let (window, behind) = rest.split_at(run);
            rest = behind;
            let counts = |row: &&Vec<Value>| self.counts(row, *first, of_partials);
            let mut counting = window.iter().filter(counts).peekable();
            if counting.peek().is_none() {
                continue;
            }
            let state = states.entry(start).or_insert_with(|| {
                more += WINDOW_BYTES;
                (self.combine.begin)(&self.args)
            });
            let before = state.bytes();
            origin.into_iter().for_each(|origin| state.begins(origin));
            for row in counting {
                if of_partials {
                    let mut cells = [&Value::Null; CELLS_MAX];
                    cells.iter_mut().zip(&self.columns).for_each(|(cell, column)| *cell = &row[*column]);
                    state.partial(time(row)?, &cells[..self.columns.len().min(CELLS_MAX)]);
                } else {
                    state.point(time(row)?, &row[*first]);
                }
            }
            more += state.bytes().saturating_sub(before);
        }
        Ok(more)
    }

    /// Whether there is anything in a row for this call.
    fn counts(&self, row: &[Value], first: usize, of_partials: bool) -> bool {
        match &row[first] {
            Value::Null => false,
            Value::Integer(0) if of_partials => self.combine.asked.first() != Some(&"count"),
            // Where there are windows, a group's row shows the window's start, which may lie before the range.
            _ => of_partials || time(row).is_ok_and(|time| self.args.windows.range.contains(time)),
        }
    }
}

fn time(row: &[Value]) -> Result<i64, String> {
    match row.first() {
        Some(Value::Time(time)) => Ok(*time),
        _ => Err("a row without a time".to_owned()),
    }
}
