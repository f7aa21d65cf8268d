//! All series of the answer at once, where it shows that InfluxDB reads their rows as one stream.
//!
//! Series by series is enough until what a series gets hangs on those before it (`order` says where). Then each level is made
//! once, as lists of what InfluxDB's iterators give (query/iterator.gen.go):
//!
//! - Sources beside each other are merged by a heap that lives on from one series to the next: raw rows by time and the texts
//!   beside them, what calls take by windows, each window of a source as a whole. So which is first of several at one time
//!   hangs on what was read before.
//! - A call takes the points that come one after the other, are of one series of the answer, and lie in the window of the first
//!   of them. A row without a value ends a window too, if it lies beyond. A window that comes again is a window of its own. A
//!   row that does not lie in its own window, as it is with rows before a range without windows, is the end for good.
//! - min, max, first, last, count, sum and mean do so twice: of each source, and of what all sources gave.
//! - fill() puts windows before a point that is late, and none before one that is early; LIMIT counts anew where tags change.
//! - A window of which a function makes no point (a percentile of too low a rank) is a silence: whoever reads is told that there
//!   is no more, and may ask again, then the windows behind come. It ends a window that has begun, fill() puts its point in its
//!   place while windows are due, transformations and what merges several sources end there for good, all else hands it on. The
//!   answer ends where its rows are silent twice.
//! - Where GROUP BY has a tag twice, rows with as many tags as it names are those of one series by all of these, and come in
//!   their order: so the series of the answer, by fewer tags, come several times (`Level::mixes`).
//! - Several calls are joined by name, then all tags in the order of their keys, then time, whatever the order of the series of
//!   the answer: a call that has ended in a series goes on in a later one while others are still in the first.
//!
//! What a level makes is held: no list has more than `rows_max` points.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::influxql::Expr;
use crate::influxql::ast::{Call, Fill, FillValue};
use crate::influxql::range::{TIME_MIN, TimeRange};
use crate::merge::evaluate::calls::NO_ORDER;
use crate::merge::evaluate::fill::missing;
use crate::merge::evaluate::functions::{Args, Function, How, Stream as Transformation, best, distinct, function};
use crate::merge::evaluate::order::{Heap, sorted};
use crate::merge::evaluate::rows::{NO_TIME, Point, RowAt, Rows};
use crate::merge::evaluate::window::Windows;
use crate::merge::evaluate::{Kind, Stop};
use crate::merge::given_up::is_given_up;
use crate::merge::results::Value;

use super::calls::Fed;
use super::level::{Given, Level, Merged, kind_of};
use super::reads::{best_keys, is_best_of_tags, takes_end};
use super::stream::{At, Row, Stream, Tagged, Tags, before, limited, subset, tags_by, taken};

/// All series of the answer, in InfluxDB's order.
pub struct Together<'a> {
    pub series: Vec<(At, &'a str, Given<'a>)>,
}

impl<'a> Together<'a> {
    /// Those of measurements.
    pub fn of(&self, names: &[(&str, usize)]) -> impl Iterator<Item = (At, &Given<'a>)> {
        let is_named = |own: &str| names.iter().any(|(name, _)| *name == own);
        self.series.iter().filter(move |(_, own, _)| is_named(own)).map(|(at, _, given)| (*at, given))
    }
}

impl Level {
    /// All that it makes of rows. `outer` is the time and `outer_keys` the tags that are read around.
    pub fn run_together(&self, all: &Together<'_>, outer: TimeRange, outer_keys: &[String]) -> Result<Stream, Stop> {
        let (range, keys) = (self.within(outer), self.all_keys(outer_keys));
        if self.evaluation.calls.is_empty() {
            let rows = self.raw_together(all, range, &keys)?;
            return Ok(Stream { rows: self.join(vec![rows], &[]), keys });
        }
        let (mut scanners, mut kinds) = (Vec::new(), Vec::new());
        for (number, call) in self.evaluation.calls.iter().enumerate() {
            let (kind, shown) = self.kinds_of(call)?;
            let points = match kind {
                None => Vec::new(),
                Some(_) if self.is_one_stream(call, &keys) => self.call_together(call, all, range, &keys)?,
                Some(_) if self.pushed => in_turn(all, |given| self.made(number, call, given, range, &keys))?,
                Some(_) => in_turn(all, |given| self.call(call, given, range, &keys))?,
            };
            self.check_rows(&points)?;
            scanners.push(limited(points, self.limit, self.offset, counted));
            kinds.push(shown);
        }
        Ok(Stream { rows: self.join(scanners, &kinds), keys })
    }

    /// Whether what comes of a series may hang on those before it.
    fn is_one_stream(&self, call: &Call, keys: &[String]) -> bool {
        let mixes = || self.mixes(keys.len()) || self.mixes(best_keys(call, keys).len());
        self.evaluation.nested || self.inputs.len() > 1 || may_be_silent(call) || mixes()
    }

    fn check_rows(&self, points: &[Tagged]) -> Result<(), Stop> {
        match points.len() > self.evaluation.rows_max {
            true => Err(Stop::Rows(points.len())),
            false => Ok(()),
        }
    }

    fn raw_together(&self, all: &Together<'_>, range: TimeRange, keys: &[String]) -> Result<Vec<Tagged>, Stop> {
        if self.inputs.len() < 2 && !self.evaluation.nested && !self.mixes(keys.len()) {
            return in_turn(all, |given| self.raw(given, range, keys));
        }
        if !self.evaluation.knows_a_ref() {
            return Ok(Vec::new());
        }
        let mut sources = Vec::new();
        for source in self.merged_sources() {
            sources.push(match source {
                Merged::Measurements(names) => {
                    self.of_names(all, &names, |given| Ok(self.raw_of(&given.of(&names), range, keys)))?
                }
                Merged::Subquery(inner) => {
                    let made = inner.run_together(all, range, keys)?;
                    let passed = made.rows.iter().filter(|row| self.passes(inner, &made, row));
                    passed.map(|row| self.beside(inner, &made, row, keys)).take_while(|_| !is_given_up()).collect()
                }
            });
        }
        let ascending = self.ascending();
        let less = |a: &Tagged, b: &Tagged| match self.by_series(a, b) {
            Ordering::Equal => before(a, b, ascending),
            order => order.is_lt(),
        };
        self.end_at_silences(&mut sources, None, |_| true)?;
        let merged: Vec<Tagged> = sorted(sources, less).collect();
        self.check_rows(&merged)?;
        Ok(limited(merged, self.limit, self.offset, counted))
    }

    /// The points of a call, not yet cut by LIMIT. `keys` are all that the level is grouped by.
    fn call_together(
        &self,
        call: &Call,
        all: &Together<'_>,
        range: TimeRange,
        keys: &[String],
    ) -> Result<Vec<Tagged>, Stop> {
        if self.first_is_none(call)? {
            return Ok(Vec::new());
        }
        let unknown = || Stop::Refused(format!("{}()", call.name));
        let function = function(&call.name).ok_or_else(unknown)?;
        let windows = Windows { range, ..self.evaluation.windows };
        let args = Args::new(call, self.ascending(), windows);
        let inner = match call.args.first() {
            Some(Expr::Call(inner)) => Some(inner),
            _ => None,
        };
        let own = |points: &Tagged| points.tags.clone();
        let input = |range| match inner {
            // It is counted.
            Some(inner) if inner.name == "distinct" => {
                self.distinct_together(inner, all, Windows { range, ..windows }, keys, false)
            }
            Some(inner) => self.call_together(inner, all, range, keys),
            None => self.all_points(call, all, Windows { range, ..windows }, keys),
        };
        match function.how {
            How::Stream { reads_before, begin } => {
                let wider = if reads_before { self.earlier(range) } else { range };
                let args = Args { windows: Windows { range: wider, ..windows }, ..args };
                Ok(transformed(input(wider)?, || begin(&args)))
            }
            How::Whole(of, held) => {
                let unbounded = Windows { interval: 0, range: TimeRange::default(), ..windows };
                let (points, most) = (input(range)?, Cell::new(0));
                self.check_rows(&points)?;
                let of = |points: &[Point]| {
                    most.set(most.get().max(held(points, &args)));
                    if most.get() > self.evaluation.rows_max { Vec::new() } else { of(points, &args) }
                };
                let made = self.reduced(&points, &unbounded, own, of);
                if most.get() > self.evaluation.rows_max {
                    return Err(Stop::Rows(most.get()));
                }
                Ok(made)
            }
            How::Twice(of, again) => {
                let points = match inner {
                    Some(_) => self.reduced(&input(range)?, &windows, own, |points| vec![of(points)]),
                    None => self.twice_together(call, all, windows, keys, of, again)?,
                };
                self.finished_together(call, function, points, &windows)
            }
            How::End { of, .. } => {
                let points = self.twice_together(call, all, windows, keys, of, of)?;
                self.finished_together(call, function, points, &windows)
            }
            How::Window(of) => {
                let points = self.reduced(&input(range)?, &windows, own, |points| of(points, &args));
                self.finished_together(call, function, points, &windows)
            }
            How::Some(of) => Ok(self.reduced(&input(range)?, &windows, own, |points| of(points, &args))),
            How::Distinct => self.distinct_together(call, all, windows, keys, true),
            How::Best { greatest } => {
                let more = best_keys(call, keys);
                let of = self::function(if greatest { "max" } else { "min" });
                let points = match of.map(|function| function.how) {
                    Some(How::Twice(of, again)) if is_best_of_tags(call) => {
                        self.twice_together(call, all, windows, &more, of, again)?
                    }
                    _ => input(range)?,
                };
                let own = |point: &Tagged| subset(&more, &point.tags, keys);
                let count = args.number as usize;
                Ok(self.reduced(&points, &windows, own, |points| best(points.to_vec(), count, greatest)))
            }
        }
    }

    /// `shows`: their order matters.
    fn distinct_together(
        &self,
        call: &Call,
        all: &Together<'_>,
        windows: Windows,
        keys: &[String],
        shows: bool,
    ) -> Result<Vec<Tagged>, Stop> {
        let (own, in_order) = (|point: &Tagged| point.tags.clone(), Cell::new(true));
        let points = self.all_points(call, all, windows, keys)?;
        let points = self.reduced(&points, &windows, own, |points| {
            let found = distinct::distinct(points);
            in_order.set(in_order.get() && distinct::is_in_order(&found));
            found
        });
        if shows && !in_order.get() {
            return Err(Stop::Refused(NO_ORDER.to_owned()));
        }
        Ok(shown(points, &windows))
    }

    /// Of each source, and of what all sources gave.
    fn twice_together(
        &self,
        call: &Call,
        all: &Together<'_>,
        windows: Windows,
        keys: &[String],
        of: fn(&[Point]) -> Point,
        again: fn(&[Point]) -> Point,
    ) -> Result<Vec<Tagged>, Stop> {
        let own = |point: &Tagged| point.tags.clone();
        let takes_ends = self.takes_ends() && takes_end(call);
        let of_rows = |own: &[&Rows]| -> Vec<Tagged> {
            let rows: Vec<_> = own.iter().map(|rows| self.with_tag_columns(rows, windows.range)).collect();
            let mut sets: BTreeMap<Tags, Vec<&Rows>> = BTreeMap::new();
            for (own, rows) in own.iter().zip(&rows) {
                sets.entry(tags_by(own, keys)).or_default().push(rows);
            }
            let mut points: Vec<Tagged> = Vec::new();
            for (tags, rows) in sets {
                let found = self.evaluation.twice(call, &rows, &windows, of, again);
                points.extend(found.into_iter().map(|point| self.tagged(point, &tags, &rows)));
            }
            let start = |point: &Tagged| windows.start(point.time);
            match self.ascending() {
                true => points.sort_by_key(start),
                false => points.sort_by_key(|point| std::cmp::Reverse(start(point))),
            }
            points
        };
        let of_ends = |own: &[&Rows]| -> Result<Vec<Tagged>, Stop> {
            let rows = own.iter().map(|rows| (tags_by(rows, keys), self.with_tag_columns(rows, windows.range)));
            let found = self.ends(call, &Fed { input: 0, members: rows.collect(), turns: None }, windows, of)?;
            Ok(found.into_values().collect())
        };
        let mut sources = Vec::new();
        for source in self.merged_sources() {
            sources.push(match source {
                Merged::Measurements(names) if takes_ends && self.mixes(keys.len()) => {
                    self.ends_together(call, (all, &names), windows, keys, of)?
                }
                Merged::Measurements(names) if takes_ends => {
                    self.of_names(all, &names, |given| of_ends(&given.of(&names)))?
                }
                Merged::Measurements(names) => self.of_names(all, &names, |given| Ok(of_rows(&given.of(&names))))?,
                Merged::Subquery(inner) => {
                    let points = self.points_of_rows(call, inner, all, windows.range, keys)?;
                    self.reduced(&points, &windows, own, |points| vec![of(points)])
                }
            });
        }
        // One without the name is a source of nothing.
        self.end_at_silences(&mut sources, Some(call), |_| true)?;
        let merged = self.by_window(sources, &windows);
        Ok(self.reduced(&merged, &windows, own, |points| vec![again(points)]))
    }

    /// All points of a call's field, those of several sources window after window.
    fn all_points(
        &self,
        call: &Call,
        all: &Together<'_>,
        windows: Windows,
        keys: &[String],
    ) -> Result<Vec<Tagged>, Stop> {
        let of_rows = |own: &[&Rows]| -> Vec<Tagged> {
            if self.is_cut(call) {
                return self.cut_for(call, own, windows, keys);
            }
            let tags: Vec<Tags> = own.iter().map(|rows| tags_by(rows, keys)).collect();
            let rows: Vec<_> = own.iter().map(|rows| self.with_tag_columns(rows, windows.range)).collect();
            let rows: Vec<&Rows> = rows.iter().map(|rows| &**rows).collect();
            let of = |point: &Point| &tags[point.row.map_or(0, |row| row.series as usize)];
            let series = |a: &Point, b: &Point| self.by_mixed(of(a), of(b), self.ascending());
            let tagged = |point: Point| {
                let tags = of(&point);
                self.tagged(point, tags, &rows)
            };
            self.evaluation.ordered_by(call, &rows, windows, series).map(tagged).collect()
        };
        let mut sources = Vec::new();
        for source in self.merged_sources() {
            sources.push(match source {
                Merged::Measurements(names) => self.of_names(all, &names, |given| Ok(of_rows(&given.of(&names))))?,
                Merged::Subquery(inner) => self.points_of_rows(call, inner, all, windows.range, keys)?,
            });
        }
        self.end_at_silences(&mut sources, Some(call), |inner| inner.knows(call))?;
        let merged = self.by_window(sources, &windows);
        self.check_rows(&merged)?;
        Ok(merged)
    }

    /// What a call takes of the rows of a subquery: each, be it without a value; nothing where nobody there knows its name.
    fn points_of_rows(
        &self,
        call: &Call,
        inner: &Level,
        all: &Together<'_>,
        range: TimeRange,
        keys: &[String],
    ) -> Result<Vec<Tagged>, Stop> {
        let Some(Expr::VarRef(var)) = call.args.first().filter(|_| inner.knows(call)) else { return Ok(Vec::new()) };
        let made = inner.run_together(all, range, keys)?;
        let passed = made.rows.iter().filter(|row| self.passes(inner, &made, row));
        let point = |row: &Row| match row.is_silence() {
            true => Tagged::silence(),
            false => Tagged {
                value: taken(inner.value(&made, row, var), kind_of(var)),
                ..self.beside(inner, &made, row, keys)
            },
        };
        let points: Vec<Tagged> = passed.map(point).take_while(|_| !is_given_up()).collect();
        self.check_rows(&points)?;
        Ok(points)
    }

    /// Of several sources InfluxDB asks none again that was silent. One by itself it does.
    ///
    /// # Errors
    /// Whether measurements are there is not known.
    fn end_at_silences(
        &self,
        sources: &mut [Vec<Tagged>],
        call: Option<&Call>,
        is_there: impl Fn(&Level) -> bool,
    ) -> Result<(), Stop> {
        let is_silent = |source: &Vec<Tagged>| source.iter().any(Tagged::is_silence);
        if sources.len() < 2 || !sources.iter().any(is_silent) {
            return Ok(());
        }
        let subqueries = self.merged_sources().filter_map(|source| match source {
            Merged::Subquery(inner) => Some(is_there(inner)),
            Merged::Measurements(_) => None,
        });
        if subqueries.filter(|is_there| *is_there).count() < 2 {
            let what = "a subquery of whose windows percentile() or holt_winters() makes no point, beside a measurement without one,";
            if !self.has_measurements(call).ok_or_else(|| Stop::Refused(what.to_owned()))? {
                return Ok(());
            }
        }
        for source in sources {
            let end = source.iter().position(Tagged::is_silence);
            source.truncate(end.unwrap_or(source.len()));
        }
        Ok(())
    }

    /// What is made of measurements, one series of the answer after the other.
    fn of_names(
        &self,
        all: &Together<'_>,
        names: &[(&str, usize)],
        mut make: impl FnMut(&Given<'_>) -> Result<Vec<Tagged>, Stop>,
    ) -> Result<Vec<Tagged>, Stop> {
        let mut found = Vec::new();
        for (at, given) in all.of(names) {
            found.extend(make(given)?.into_iter().map(|point| Tagged { at, ..point }));
        }
        found.sort_by(|a, b| self.by_series(a, b));
        Ok(found)
    }

    /// Of several sources those in the earliest window of the first series, then those of the next.
    pub fn by_window(&self, mut sources: Vec<Vec<Tagged>>, windows: &Windows) -> Vec<Tagged> {
        if sources.len() < 2 {
            return sources.pop().unwrap_or_default();
        }
        let ascending = self.ascending();
        let begin = |source: Vec<Tagged>| Some((source.first()?.clone(), source.into_iter().peekable()));
        let less = |(a, _): &(Tagged, _), (b, _): &(Tagged, _)| {
            let (start, other) = (windows.start(a.time), windows.start(b.time));
            match self.by_series(a, b) {
                Ordering::Equal => {
                    if ascending {
                        start < other
                    } else {
                        start > other
                    }
                }
                order => order.is_lt(),
            }
        };
        let mut heap = Heap::new(sources.into_iter().filter_map(begin).collect(), less);
        let mut merged = Vec::new();
        while let Some((first, mut source)) = heap.pop() {
            let (from, to) = windows.of(first.time);
            merged.extend(source.next());
            // InfluxDB looks at the further border alone.
            let goes_on = |point: &Tagged| {
                self.by_series(point, &first).is_eq() && if ascending { point.time < to } else { point.time >= from }
            };
            while let Some(point) = source.next_if(goes_on) {
                merged.push(point);
            }
            if let Some(next) = source.peek().cloned() {
                heap.push((next, source));
            }
        }
        merged
    }

    /// Runs a function over each window, and there over the points of the same tags; what has no time gets the window's start. A
    /// silence ends a window, and is passed on where none has begun; a window without a point is one.
    pub fn reduced(
        &self,
        points: &[Tagged],
        windows: &Windows,
        tags: impl Fn(&Tagged) -> Tags,
        of: impl Fn(&[Point]) -> Vec<Point>,
    ) -> Vec<Tagged> {
        let (mut found, mut next) = (Vec::new(), 0);
        loop {
            let valued = |point: &Tagged| point.value != Value::Null;
            next += points[next..].iter().take_while(|point| !valued(point) && !point.is_silence()).count();
            let Some(first) = points.get(next).filter(|_| !is_given_up()) else { return found };
            if first.is_silence() {
                found.push(Tagged::silence());
                next += 1;
                continue;
            }
            let (start, end) = windows.of(first.time);
            let inside = |point: &&Tagged| {
                (start..end).contains(&point.time) && (!valued(point) || self.by_series(point, first).is_eq())
            };
            let length = points[next..].iter().take_while(|point| !point.is_silence()).take_while(inside).count();
            if length == 0 {
                return found;
            }
            let mut sets: BTreeMap<Tags, Vec<Point>> = BTreeMap::new();
            for (number, point) in points[next..next + length].iter().enumerate().filter(|(_, point)| valued(point)) {
                let row = Some(RowAt { series: 0, row: (next + number) as u32 });
                let own = Point { row, count: point.count, ..Point::new(point.time, point.value.clone()) };
                sets.entry(tags(point)).or_default().push(own);
            }
            let before = found.len();
            for (tags, own) in sets {
                let mut made = of(&own);
                made.sort_by_key(|point| point.time);
                found.extend(made.into_iter().map(|point| {
                    let time = if point.time == NO_TIME { start } else { point.time };
                    let nulls = || vec![Value::Null; self.evaluation.refs.len()];
                    let beside = point.row.map_or_else(nulls, |row| points[row.row as usize].beside.clone());
                    let (at, count) = (first.at, point.count);
                    let kept = point.row.filter(|_| self.evaluation.writes).map(|row| &points[row.row as usize].tags);
                    Tagged { at, count, ..Tagged::new(time, kept.unwrap_or(&tags).clone(), point.value, beside) }
                }));
            }
            if found.len() == before {
                found.push(Tagged::silence());
            }
            next += length;
            next += usize::from(points.get(next).is_some_and(Tagged::is_silence));
        }
    }

    /// Windows' times and fill(), but for a lone selector without windows.
    fn finished_together(
        &self,
        call: &Call,
        function: &Function,
        points: Vec<Tagged>,
        windows: &Windows,
    ) -> Result<Vec<Tagged>, Stop> {
        if self.evaluation.selector && windows.interval == 0 {
            return Ok(points);
        }
        let points = shown(points, windows);
        if windows.interval == 0 || self.fill == Fill::None {
            return Ok(points);
        }
        let null_is_zero = call.name == "count" && self.fill == Fill::Null;
        let how = if null_is_zero { Fill::Value(FillValue::Integer(0)) } else { self.fill };
        let kind = self.evaluation.check_call(call)?.unwrap_or(function.gives.of(Kind::Float));
        self.filled_together(points, windows, how, kind)
    }

    fn filled_together(
        &self,
        points: Vec<Tagged>,
        windows: &Windows,
        how: Fill,
        kind: Kind,
    ) -> Result<Vec<Tagged>, Stop> {
        let ascending = self.ascending();
        let (start, end) = (windows.start(windows.range.start), windows.start(windows.range.end));
        let (from, to) = if ascending { (start, end) } else { (end, start) };
        let reaches = |at: i64| if ascending { at <= to } else { at >= to && to != TIME_MIN };
        let plain = |point: &Tagged| Point::new(point.time, point.value.clone());
        let nulls = vec![Value::Null; self.evaluation.refs.len()];
        let mut rest = points.into_iter().peekable();
        let mut filled: Vec<Tagged> = Vec::new();
        while let Some(first) = rest.peek() {
            if first.is_silence() {
                filled.extend(rest.next());
                continue;
            }
            let (own, at) = (own_series(first), first.at);
            let begin = if from == TIME_MIN { windows.start(first.time) } else { from };
            let mut previous: Option<Point> = None;
            let mut steps = windows.steps(begin, ascending);
            let mut window = steps.next().unwrap_or(begin);
            loop {
                let is_own = |point: &&Tagged| own_series(point) == own;
                let is_due = |point: &Point| if ascending { point.time > window } else { point.time < window };
                let silence = rest.next_if(Tagged::is_silence);
                let mut next = rest.peek().filter(is_own).filter(|_| silence.is_none()).map(plain);
                if next.is_none() && !reaches(window) {
                    let Some(silence) = silence else { break };
                    filled.push(silence);
                    continue;
                }
                if filled.len() >= self.evaluation.rows_max || is_given_up() {
                    return Err(Stop::Rows(filled.len() + 1));
                }
                if next.as_ref().is_none_or(is_due) {
                    // A silence in its place is forgotten where a line is drawn to what comes then, as is one behind it.
                    let draws = how == Fill::Linear && previous.is_some();
                    if silence.is_some() && draws && rest.next_if(Tagged::is_silence).is_none() {
                        next = rest.peek().filter(is_own).map(plain);
                    }
                    let value = missing(window, how, kind, windows.interval, previous.as_ref(), next.as_ref());
                    filled.push(Tagged { at, ..Tagged::new(window, own.1.clone(), value, nulls.clone()) });
                } else if let Some(point) = rest.next() {
                    previous = Some(plain(&point));
                    filled.push(point);
                }
                window = steps.next().unwrap_or(window);
            }
        }
        Ok(filled)
    }
}

/// Whether a window may make no point of its points.
fn may_be_silent(call: &Call) -> bool {
    let inside = || matches!(call.args.first(), Some(Expr::Call(inner)) if may_be_silent(inner));
    let is_whole = function(&call.name).is_some_and(|function| matches!(function.how, How::Whole(..)));
    is_whole || call.name == "percentile" || inside()
}

/// What LIMIT counts by.
fn counted(point: &Tagged) -> Option<(u32, Tags)> {
    (!point.is_silence()).then(|| own_series(point))
}

/// What the same series of a level have in common.
fn own_series(point: &Tagged) -> (u32, Tags) {
    (point.at.name, point.tags.clone())
}

fn shown(mut points: Vec<Tagged>, windows: &Windows) -> Vec<Tagged> {
    points.iter_mut().filter(|point| !point.is_silence()).for_each(|point| point.time = windows.shown(point.time));
    points
}

/// What is made of one series of the answer after the other.
fn in_turn(
    all: &Together<'_>,
    mut make: impl FnMut(&Given<'_>) -> Result<Vec<Tagged>, Stop>,
) -> Result<Vec<Tagged>, Stop> {
    let mut found = Vec::new();
    for (at, _, given) in &all.series {
        found.extend(make(given)?.into_iter().map(|point| Tagged { at: *at, ..point }));
    }
    Ok(found)
}

/// Point after point, each tags for themselves; what is left at the end comes by tags. A silence is the end.
fn transformed(points: Vec<Tagged>, begin: impl Fn() -> Box<dyn Transformation>) -> Vec<Tagged> {
    let mut states: BTreeMap<(At, Tags), Box<dyn Transformation>> = BTreeMap::new();
    let mut made = Vec::new();
    let read = points.into_iter().take_while(|point| !point.is_silence());
    for point in read.filter(|point| point.value != Value::Null) {
        let state = states.entry((point.at, point.tags.clone())).or_insert_with(&begin);
        if let Some(next) = state.push(&Point::new(point.time, point.value)) {
            made.push(Tagged { at: point.at, ..Tagged::new(next.time, point.tags, next.value, point.beside) });
        }
    }
    for ((at, tags), mut state) in states {
        if let Some(next) = state.finish() {
            made.push(Tagged { at, ..Tagged::new(next.time, tags, next.value, Vec::new()) });
        }
    }
    made
}
