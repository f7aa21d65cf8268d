//! What a call makes of a level's rows, where points of several tags take turns.
//!
//! In InfluxDB a window holds the points of one series of the answer; what is grouped by more tags is put in order of the
//! tags within each window, or over all windows where a function takes all points. Transformations go on for each tags by
//! themselves, point after point as they come.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::influxql::Expr;
use crate::influxql::ast::{Call, Fill, FillValue, VarRef};
use crate::influxql::range::TimeRange;
use crate::merge::evaluate::cursor::beside;
use crate::merge::evaluate::fill::{Most, fill};
use crate::merge::evaluate::functions::{Args, Function, How, Stream as Transformation, best, function};
use crate::merge::evaluate::order::Heap;
use crate::merge::evaluate::rows::{Point, RowAt, Rows};
use crate::merge::evaluate::window::Windows;
use crate::merge::evaluate::{Carried, Place, Stop};
use crate::merge::given_up::is_given_up;
use crate::merge::results::Value;

use super::level::{Given, Input, Level, Merged, kind_of};
use super::reads::{best_keys, is_best_of_tags};
use super::stream::{Tagged, Tags, subset, taken};

/// Rows of one source, those of one series or of one set of tags together.
pub struct Fed<'a> {
    /// The source's number; of several together the first.
    pub input: usize,
    pub members: Vec<(Tags, Cow<'a, Rows>)>,
    /// The rows as they come: member and row. `None`: by time.
    pub turns: Option<Vec<(usize, usize)>>,
}

impl Fed<'_> {
    /// An evaluation reads rows backwards where time runs backwards: then they stand the other way round. They come as before.
    fn reversed(mut self) -> Self {
        for (_, rows) in &mut self.members {
            *rows = Cow::Owned(rows.reversed());
        }
        for (member, row) in self.turns.iter_mut().flatten() {
            *row = self.members[*member].1.len() - 1 - *row;
        }
        self
    }
}

impl Level {
    /// The points of a call, in InfluxDB's order, not yet cut by LIMIT. `keys` are all that the level is grouped by.
    pub fn call(&self, call: &Call, given: &Given<'_>, range: TimeRange, keys: &[String]) -> Result<Vec<Tagged>, Stop> {
        let unknown = || Stop::Refused(format!("{}()", call.name));
        let function = function(&call.name).ok_or_else(unknown)?;
        let windows = Windows { range, ..self.evaluation.windows };
        if let How::Stream { reads_before, begin } = function.how {
            let wider = if reads_before { self.earlier(range) } else { range };
            let args = Args::new(call, self.ascending(), Windows { range: wider, ..windows });
            let input = match call.args.first() {
                Some(Expr::Call(inner)) => self.call(inner, given, wider, keys)?,
                _ => self.points(call, function, given, wider, keys)?,
            };
            return Ok(transformed(input, || begin(&args)));
        }
        if let (How::Whole(of, held), Some(Expr::Call(inner))) = (function.how, call.args.first()) {
            let args = Args::new(call, self.ascending(), windows);
            let input = self.call(inner, given, range, keys)?;
            return self.whole(call, input, |points| of(points, &args), |points| held(points, &args), given);
        }
        if let (How::Best { greatest }, true) = (function.how, self.is_cut(call) && self.reads_measurements()) {
            return self.best_of_cut(call, given, windows, keys, greatest);
        }
        let grouped = self.grouped(call, function, given, windows, keys)?;
        let start = |point: &Tagged| windows.start(point.time);
        let take_turns = grouped.len() > 1;
        let mut points: Vec<Tagged> = grouped.into_iter().flatten().collect();
        match self.ascending() {
            _ if !take_turns => {}
            true => points.sort_by_key(start),
            false => points.sort_by_key(|point| std::cmp::Reverse(start(point))),
        }
        self.filled(points, call, function, &windows)
    }

    /// top or bottom of rows that LIMIT and OFFSET have cut.
    fn best_of_cut(
        &self,
        call: &Call,
        given: &Given<'_>,
        windows: Windows,
        keys: &[String],
        greatest: bool,
    ) -> Result<Vec<Tagged>, Stop> {
        let [Input::Measurements(input)] = self.inputs.as_slice() else {
            return Err(given.ended.want_all(format!("{}() with LIMIT over several sources", call.name)));
        };
        let points = self.cut_for(call, &given.rows[*input], windows, keys);
        let count = Args::new(call, self.ascending(), windows).number as usize;
        let own = |point: &Tagged| point.tags.clone();
        Ok(self.reduced(&points, &windows, own, |points| best(points.to_vec(), count, greatest)))
    }

    /// Of all points of each set of tags, one after the other.
    fn whole(
        &self,
        call: &Call,
        input: Vec<Tagged>,
        of: impl Fn(&[Point]) -> Vec<Point>,
        held: impl Fn(&[Point]) -> usize,
        given: &Given<'_>,
    ) -> Result<Vec<Tagged>, Stop> {
        let mut sets: BTreeMap<Tags, Vec<Point>> = BTreeMap::new();
        for point in input.into_iter().filter(|point| point.value != Value::Null) {
            sets.entry(point.tags).or_default().push(Point::new(point.time, point.value));
        }
        let (silent, mut made) = (!sets.is_empty(), Vec::new());
        for (tags, points) in sets {
            let held = held(&points);
            if held > self.evaluation.rows_max {
                return Err(Stop::Rows(held));
            }
            let tagged = |point: Point| Tagged::new(point.time, tags.clone(), point.value, Vec::new());
            made.extend(of(&points).into_iter().map(tagged));
        }
        // InfluxDB ends here, how far it reads on depends on all that is around. Backwards in time nothing is ever made.
        if made.is_empty() && silent && given.several && self.ascending() {
            let what = format!("{}() in a subquery or over one, of too few points for it,", call.name);
            return Err(given.ended.want_all(what));
        }
        Ok(made)
    }

    /// The points of a call for each set of tags, by these.
    fn grouped(
        &self,
        call: &Call,
        function: &Function,
        given: &Given<'_>,
        windows: Windows,
        keys: &[String],
    ) -> Result<Vec<Vec<Tagged>>, Stop> {
        if self.first_is_none(call)? {
            return Ok(Vec::new());
        }
        let more = best_keys(call, keys);
        let best_of_tags = is_best_of_tags(call);
        let fed = self.feed(call, given, self.reach(call, windows.range), &more)?;
        let of_field = matches!(call.args.first(), Some(Expr::VarRef(_)));
        let each = best_of_tags || of_field && matches!(function.how, How::Twice(..) | How::End { .. });
        let number = given.ended.meet();
        self.check_windows(call, &fed, &windows, given)?;
        if fed.len() > 1 {
            self.check_beside(call, function, given)?;
            if !each {
                self.check_begun(call, &fed, &windows, given)?;
            }
        }
        let fed = if each { fed } else { self.together(fed, call, &windows).into_iter().collect() };
        let fed: Vec<Fed<'_>> = match each {
            true => fed,
            false => fed.into_iter().map(|fed| self.in_turn(fed, call, windows)).collect(),
        };
        let until_the_end = |fed| self.until_the_end(fed, call, number, given, &windows);
        let fed: Vec<Fed<'_>> = fed.into_iter().map(until_the_end).collect::<Result<_, Stop>>()?;
        if let (How::End { of, .. }, [fed]) = (function.how, fed.as_slice())
            && self.takes_ends()
            && self.end_keys.is_none()
            && fed.turns.is_none()
        {
            let ends = self.ends(call, fed, windows, of)?.into_values();
            let shown = |point: Tagged| Tagged { time: self.shown_end(point.time, &windows), ..point };
            return Ok(ends.map(|point| vec![shown(point)]).collect());
        }
        let mut sets: BTreeMap<Tags, Vec<(&Tags, &Rows)>> = BTreeMap::new();
        for (tags, rows) in fed.iter().flat_map(|fed| &fed.members) {
            sets.entry(subset(&more, tags, keys)).or_default().push((tags, rows));
        }
        let of = |(tags, members): (Tags, Vec<(&Tags, &Rows)>)| {
            let (own, rows): (Vec<&Tags>, Vec<&Rows>) = members.into_iter().unzip();
            let mut carried = Carried::default();
            let points = self.evaluation.call(call, &rows, windows, &mut carried)?;
            // How far InfluxDB reads on depends on all that is around.
            if let Some(Call { name, .. }) = carried.silent() {
                let what = format!("{name}() in a subquery or over one, of windows without a point of it,");
                return Err(given.ended.want_all(what));
            }
            let tagged = |point: Point| {
                let kept = point.row.filter(|_| self.evaluation.writes).map(|at| own[at.series as usize]);
                self.tagged(point, kept.unwrap_or(&tags), &rows)
            };
            Ok(points.into_iter().map(tagged).collect())
        };
        sets.into_iter().map(of).collect()
    }

    /// With what stands beside a point in its row.
    pub fn tagged(&self, point: Point, tags: &Tags, rows: &[&Rows]) -> Tagged {
        let beside = self.evaluation.refs.iter().map(|(_, place)| beside(&point, place, rows)).collect();
        Tagged { count: point.count, ..Tagged::new(point.time, tags.clone(), point.value, beside) }
    }

    /// All points of a call's field, as InfluxDB orders raw ones.
    fn points(
        &self,
        call: &Call,
        function: &Function,
        given: &Given<'_>,
        range: TimeRange,
        keys: &[String],
    ) -> Result<Vec<Tagged>, Stop> {
        let fed = self.feed(call, given, range, keys)?;
        let windows = Windows { range, ..self.evaluation.windows };
        if fed.len() > 1 {
            self.check_beside(call, function, given)?;
        }
        let fed = self.together(fed, call, &windows);
        let Some(Fed { members, turns, .. }) = fed else { return Ok(Vec::new()) };
        let rows: Vec<&Rows> = members.iter().map(|(_, rows)| &**rows).collect();
        let points = match turns {
            None => self.evaluation.ordered(call, &rows, windows).collect(),
            Some(turns) => {
                let Some(Expr::VarRef(var)) = call.args.first() else { return Ok(Vec::new()) };
                let Place::Field(field, _) = self.evaluation.place_of(var) else { return Ok(Vec::new()) };
                let point = |(member, row): (usize, usize)| {
                    let at = RowAt { series: member as u32, row: row as u32 };
                    Point { row: Some(at), ..Point::new(rows[member].time(row), rows[member].value(field, row)) }
                };
                let points = turns.into_iter().map(point).filter(|point| point.value != Value::Null);
                points.collect::<Vec<Point>>()
            }
        };
        let tags = |point: &Point| point.row.map_or_else(Tags::default, |row| members[row.series as usize].0.clone());
        Ok(points
            .into_iter()
            .map(|point| (tags(&point), point))
            .map(|(tags, point)| self.tagged(point, &tags, &rows))
            .take_while(|_| !is_given_up())
            .collect())
    }

    /// The rows of each source that has any, by tags of `keys`. InfluxDB does not look into a subquery without the call's name.
    fn feed<'a>(
        &self,
        call: &Call,
        given: &Given<'a>,
        range: TimeRange,
        keys: &[String],
    ) -> Result<Vec<Fed<'a>>, Stop> {
        let mut all = Vec::new();
        for (number, source) in self.merged_sources().enumerate() {
            let fed = match source {
                Merged::Measurements(names) => {
                    let tags = |rows: &Rows| Rc::new(keys.iter().map(|key| rows.tag(key).to_owned()).collect());
                    let member = |rows: &&'a Rows| (tags(rows), self.with_tag_columns(rows, range));
                    Fed { input: number, members: given.of(&names).iter().map(member).collect(), turns: None }
                }
                Merged::Subquery(inner) if !inner.knows(call) => continue,
                Merged::Subquery(inner) => Fed { input: number, ..self.feed_of(inner, given, range, keys)? },
            };
            if !fed.members.is_empty() {
                all.push(fed);
            }
        }
        Ok(all)
    }

    /// What passes of a subquery, its columns by the names of this level.
    fn feed_of<'a>(
        &self,
        inner: &Level,
        given: &Given<'a>,
        range: TimeRange,
        keys: &[String],
    ) -> Result<Fed<'a>, Stop> {
        let made = inner.run(given, range, keys)?;
        let fields = &self.evaluation.fields;
        let is_ref: Vec<bool> =
            fields.iter().map(|field| self.evaluation.refs.iter().any(|(var, _)| var == field)).collect();
        let mut found = Fed { input: 0, members: Vec::new(), turns: Some(Vec::new()) };
        let mut numbers: BTreeMap<Tags, usize> = BTreeMap::new();
        let passed = made.rows.iter().filter(|row| self.passes(inner, &made, row));
        for row in passed.take_while(|_| !is_given_up()) {
            let tags = subset(&made.keys, &row.tags, keys);
            let number = *numbers.entry(tags.clone()).or_insert(found.members.len());
            if number == found.members.len() {
                let named = keys.iter().cloned().zip(tags.iter().cloned()).collect();
                found.members.push((tags, Cow::Owned(Rows::new(String::new(), named))));
            }
            let rows = found.members[number].1.to_mut();
            let cell = |(var, is_ref): (&VarRef, &bool)| {
                let value = inner.value(&made, row, var);
                if *is_ref { value } else { taken(value, kind_of(var)) }
            };
            rows.push(row.time, fields.iter().zip(&is_ref).map(cell).collect());
            found.turns.get_or_insert_default().push((number, rows.len() - 1));
        }
        Ok(if self.ascending() { found } else { found.reversed() })
    }

    /// The rows of all inputs as one.
    fn together<'a>(&self, mut fed: Vec<Fed<'a>>, call: &Call, windows: &Windows) -> Option<Fed<'a>> {
        if fed.len() > 1 {
            return Some(self.merged(fed, call, windows));
        }
        fed.pop().map(|fed| Fed { input: 0, ..fed })
    }

    /// The rows of several inputs that a call is of, window after window, in each of them input after input.
    fn merged<'a>(&self, fed: Vec<Fed<'a>>, call: &Call, windows: &Windows) -> Fed<'a> {
        let ascending = self.ascending();
        let turns = |(number, fed): (usize, &Fed<'a>)| -> Vec<Turn> {
            let time = |member: usize, row: usize| fed.members[member].1.time(row);
            if let Some(turns) = &fed.turns {
                return turns.iter().map(|(member, row)| (time(*member, *row), number, *member, *row)).collect();
            }
            let members: Vec<&Rows> = fed.members.iter().map(|(_, rows)| &**rows).collect();
            let points = self.evaluation.ordered(innermost(call), &members, *windows);
            let turn = |point: Point| {
                let RowAt { series, row } = point.row?;
                Some((point.time, number, series as usize, row as usize))
            };
            points.filter_map(turn).collect()
        };
        let inputs: Vec<_> = fed.iter().enumerate().map(turns).collect();
        let turns = by_window(inputs, ascending, windows).into_iter().map(|(_, number, member, row)| {
            let (tags, rows) = &fed[number].members[member];
            (tags, &**rows, row)
        });
        self.by_tags(turns)
    }

    /// Series of one input that share their tags come in the order that they have among all of them.
    fn in_turn<'a>(&self, fed: Fed<'a>, call: &Call, windows: Windows) -> Fed<'a> {
        let tags: BTreeSet<&Tags> = fed.members.iter().map(|(tags, _)| tags).collect();
        if fed.turns.is_some() || tags.len() == 1 || tags.len() == fed.members.len() {
            return fed;
        }
        let rows: Vec<&Rows> = fed.members.iter().map(|(_, rows)| &**rows).collect();
        let points = self.evaluation.ordered(innermost(call), &rows, windows).filter_map(|point| point.row);
        let turns = points.map(|RowAt { series, row }| {
            let (tags, rows) = &fed.members[series as usize];
            (tags, &**rows, row as usize)
        });
        Fed { input: fed.input, ..self.by_tags(turns) }
    }

    /// Rows as they come, those of the same tags together.
    fn by_tags<'a, 'b>(&self, turns: impl Iterator<Item = (&'b Tags, &'b Rows, usize)>) -> Fed<'a> {
        let fields = self.evaluation.fields.len();
        // What stands beside a point is its own series'.
        let shown: Vec<&str> = (self.evaluation.refs.iter())
            .filter_map(|(_, place)| match place {
                Place::Tag(key) => Some(key.as_str()),
                _ => None,
            })
            .collect();
        let mut found = Fed { input: 0, members: Vec::new(), turns: Some(Vec::new()) };
        let mut numbers: BTreeMap<Tags, usize> = BTreeMap::new();
        for (tags, rows, row) in turns.take_while(|_| !is_given_up()) {
            let at = *numbers.entry(tags.clone()).or_insert(found.members.len());
            if at == found.members.len() {
                let mut merged = Rows::new(String::new(), rows.tags.clone());
                shown.iter().zip(fields..).for_each(|(key, field)| merged.own_tag(key, field));
                found.members.push((tags.clone(), Cow::Owned(merged)));
            }
            let merged = found.members[at].1.to_mut();
            let values = (0..fields).map(|field| rows.value(field, row));
            let own_tags = shown.iter().map(|key| Value::String(rows.tag_of(row, key).to_owned()));
            merged.push(rows.time(row), values.chain(own_tags).collect());
            found.turns.get_or_insert_default().push((at, merged.len() - 1));
        }
        if self.ascending() { found } else { found.reversed() }
    }

    /// Windows without points, as fill() says, anew wherever the tags change.
    pub fn filled(
        &self,
        points: Vec<Tagged>,
        call: &Call,
        function: &Function,
        windows: &Windows,
    ) -> Result<Vec<Tagged>, Stop> {
        let never = !matches!(function.how, How::Twice(..) | How::End { .. } | How::Window(_));
        if windows.interval == 0 || self.fill == Fill::None || never {
            return Ok(points);
        }
        let null_is_zero = call.name == "count" && self.fill == Fill::Null;
        let how = if null_is_zero { Fill::Value(FillValue::Integer(0)) } else { self.fill };
        let Some(kind) = self.evaluation.check_call(call)? else { return Ok(points) };
        let nulls = vec![Value::Null; self.evaluation.refs.len()];
        let mut all: Vec<Tagged> = Vec::new();
        for run in points.chunk_by(|a, b| a.tags == b.tags) {
            let plain = |(number, point): (usize, &Tagged)| {
                let row = Some(RowAt { series: 0, row: number as u32 });
                Point { row, ..Point::new(point.time, point.value.clone()) }
            };
            let plain = run.iter().enumerate().map(plain).collect();
            let left = self.evaluation.rows_max.saturating_sub(all.len());
            let most = Most { allowed: left, read: usize::MAX };
            let filled = fill(plain, windows, how, kind, self.ascending(), most);
            let filled = filled.map_err(|count| Stop::Rows(all.len() + count))?;
            all.extend(filled.into_iter().take_while(|_| !is_given_up()).map(|point| {
                let beside = point.row.map_or_else(|| nulls.clone(), |row| run[row.row as usize].beside.clone());
                Tagged::new(point.time, run[0].tags.clone(), point.value, beside)
            }));
        }
        Ok(all)
    }
}

/// Point after point, each tags for themselves; what is left at the end comes by tags.
fn transformed(points: Vec<Tagged>, begin: impl Fn() -> Box<dyn Transformation>) -> Vec<Tagged> {
    let mut states: BTreeMap<Tags, Box<dyn Transformation>> = BTreeMap::new();
    let mut made = Vec::new();
    for point in points.into_iter().filter(|point| point.value != Value::Null) {
        let state = states.entry(point.tags.clone()).or_insert_with(&begin);
        if let Some(next) = state.push(&Point::new(point.time, point.value)) {
            made.push(Tagged::new(next.time, point.tags, next.value, point.beside));
        }
    }
    for (tags, mut state) in states {
        if let Some(next) = state.finish() {
            made.push(Tagged::new(next.time, tags, next.value, Vec::new()));
        }
    }
    made
}

/// The time, the input, and there the member and its row.
type Turn = (i64, usize, usize, usize);

fn innermost(call: &Call) -> &Call {
    match call.args.first() {
        Some(Expr::Call(inner)) => innermost(inner),
        _ => call,
    }
}

/// The rows of each input that are in the earliest window, then those of the next.
fn by_window(inputs: Vec<Vec<Turn>>, ascending: bool, windows: &Windows) -> Vec<Turn> {
    let begin = |input: Vec<Turn>| Some((windows.start(input.first()?.0), input.into_iter().peekable()));
    let less = |a: &(i64, _), b: &(i64, _)| if ascending { a.0 < b.0 } else { a.0 > b.0 };
    let mut heap = Heap::new(inputs.into_iter().filter_map(begin).collect(), less);
    let mut merged = Vec::new();
    while let Some((_, mut input)) = heap.pop() {
        let Some(first) = input.next() else { continue };
        let (from, to) = windows.of(first.0);
        merged.push(first);
        while let Some(turn) = input.next_if(|turn| if ascending { turn.0 < to } else { turn.0 >= from }) {
            merged.push(turn);
        }
        if let Some(next) = input.peek() {
            heap.push((windows.start(next.0), input));
        }
    }
    merged
}
