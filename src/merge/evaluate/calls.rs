//! What a call makes of the points of one series of the answer.

use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::Expr;
use crate::influxql::ast::{Call, Fill, FillValue};
use crate::merge::given_up::is_given_up;
use crate::merge::results::Value;

use super::ends::{AtSilence, is_silence, silence};
use super::fill::{Most, fill};
use super::functions::distinct::{distinct, is_in_order};
use super::functions::{Args, Function, Gives, How, best, compare, function, run, running, tags_of_best};
use super::order::{by_window, cut_in_shards, shard_of, sorted, sorted_in_shards, starts_of};
use super::rows::{NO_TIME, Point, RowAt, Rows};
use super::window::Windows;
use super::{Carried, Evaluation, Kind, Place, Stop};

/// So many points are read for a first or last one: of all series together, and of each.
pub(super) const END_READS: usize = 2;

/// Why different values are refused.
pub(super) const NO_ORDER: &str = "distinct() of numbers and of what is none, as sqrt() of one below 0, at one time";

/// What makes one point of some.
type Reduce = fn(&[Point]) -> Point;

impl Evaluation {
    /// The kind of what a call makes; `None`: of nothing, since nobody knows its argument.
    pub(super) fn check_call(&self, call: &Call) -> Result<Option<Kind>, Stop> {
        let function = known(call)?;
        let kind = match call.args.first() {
            Some(Expr::VarRef(var)) => match self.place_of(var) {
                Place::Field(_, kind) => kind,
                Place::Tag(_) | Place::Nowhere => return Ok(None),
            },
            Some(Expr::Call(inner)) => match self.check_call(inner)? {
                Some(kind) => kind,
                None => return Ok(None),
            },
            _ => return Err(Stop::Refused(format!("{call}"))),
        };
        // InfluxDB has worked it out before; what functions of literals come to, only it knows.
        if call.args.iter().skip(1).any(|arg| matches!(arg, Expr::Call(_) | Expr::Binary { .. } | Expr::Paren(_))) {
            return Err(Stop::Refused(format!("{call}")));
        }
        if panics(call) {
            return Err(Stop::Refused("chande_momentum_oscillator() of period 1 without a warm-up".to_owned()));
        }
        if !function.takes.contains(&kind) {
            if self.misfits_are_none {
                return Ok(Some(function.gives.of(Kind::Float)));
            }
            let (name, kind) = (function.named_in_errors(), format!("{kind:?}").to_lowercase());
            return Err(Stop::Wrong(format!("unsupported {name} iterator type: *query.{kind}InterruptIterator")));
        }
        Ok(Some(function.gives.of(kind)))
    }

    /// What a call gives as InfluxDB knows it before it looks at points: some functions' numbers are of one kind whatever they
    /// are given, be it nothing.
    pub(super) fn kind_of_call(&self, call: &Call) -> Result<Option<Kind>, Stop> {
        if let Some(kind) = self.check_call(call)? {
            return Ok(Some(kind));
        }
        Ok(match (known(call)?.gives, call.args.first()) {
            (Gives::Integer, _) => Some(Kind::Integer),
            (Gives::Float, _) => Some(Kind::Float),
            (Gives::Same, Some(Expr::Call(inner))) => self.kind_of_call(inner)?,
            (Gives::Same, Some(Expr::VarRef(var))) => {
                matches!(self.place_of(var), Place::Tag(_)).then_some(Kind::String)
            }
            (Gives::Same, _) => None,
        })
    }

    /// The points of a call, cut by LIMIT and OFFSET.
    pub(super) fn points(&self, call: &Call, members: &[&Rows], carried: &mut Carried) -> Result<Vec<Point>, Stop> {
        let function = known(call)?;
        if let (How::Stream { reads_before, begin }, Some(Expr::VarRef(_))) = (function.how, call.args.first()) {
            // Of as many points as there are rows no more are made than are shown.
            let windows = self.read_by_stream(self.windows, reads_before);
            let mut stream = begin(&Args::new(call, self.ascending, windows));
            let points = running(&mut *stream, self.ordered(call, members, windows)).skip(self.offset);
            return Ok(points.take(if self.limit > 0 { self.limit } else { usize::MAX }).collect());
        }
        Ok(self.cut(self.call(call, members, self.windows, carried)?, members))
    }

    /// What a transformation reads.
    pub(super) fn read_by_stream(&self, windows: Windows, reads_before: bool) -> Windows {
        let interval = if reads_before { windows.interval } else { 0 };
        if self.ascending { windows.widened(interval, 0) } else { windows.widened(0, interval) }
    }

    /// LIMIT and OFFSET of a series, which count anew wherever the tags change that points keep; silences pass.
    pub(super) fn cut(&self, mut points: Vec<Point>, members: &[&Rows]) -> Vec<Point> {
        let end = if self.limit > 0 { self.offset.saturating_add(self.limit) } else { usize::MAX };
        let (mut number, mut tags) = (0, Vec::new());
        points.retain(|point| {
            if is_silence(point) {
                return true;
            }
            let own = self.kept_tags(Some(point), members);
            if own != tags {
                (number, tags) = (0, own);
            }
            number += 1;
            number > self.offset && number <= end
        });
        points
    }

    pub(super) fn call(
        &self,
        call: &Call,
        members: &[&Rows],
        windows: Windows,
        carried: &mut Carried,
    ) -> Result<Vec<Point>, Stop> {
        let function = known(call)?;
        let args = Args::new(call, self.ascending, windows);
        match function.how {
            How::Whole(of, held) => {
                let input = match call.args.first() {
                    Some(Expr::Call(inner)) => {
                        let points = |carried: &mut Carried| self.call(inner, members, windows, carried);
                        self.of_inner(carried, AtSilence::GoesOn, points)?
                    }
                    _ => self.ordered(call, members, windows).collect(),
                };
                let mut found = Vec::new();
                for part in carried.behind_silences(call, input).split_inclusive(is_silence) {
                    let points: Vec<Point> = part.iter().filter(|point| point.value != Value::Null).cloned().collect();
                    let held = held(&points, &args);
                    if held > self.rows_max {
                        return Err(Stop::Rows(held));
                    }
                    match points.is_empty() {
                        true => found.extend(part.last().filter(|last| is_silence(last)).cloned()),
                        false => found.extend(or_none(of(&points, &args))),
                    }
                }
                Ok(self.until_the_end(call, found, None, carried))
            }
            How::Some(of) => {
                let input: Vec<Point> = self.ordered(call, members, windows).collect();
                Ok(self.by_windows(&input, &windows, |points| of(points, &args)))
            }
            How::Stream { reads_before, begin } => {
                let wider = self.read_by_stream(windows, reads_before);
                let input = match call.args.first() {
                    Some(Expr::Call(inner)) => {
                        self.of_inner(carried, AtSilence::Ends, |carried| self.call(inner, members, wider, carried))?
                    }
                    _ => self.ordered(call, members, wider).collect(),
                };
                Ok(run(&mut *begin(&Args { windows: wider, ..args }), &input))
            }
            How::Best { greatest } => self.best(call, members, greatest, &args),
            How::Distinct => {
                let input: Vec<Point> = self.ordered(call, members, windows).collect();
                let found = self.by_windows(&input, &windows, distinct);
                // Whoever counts them does not ask for their order.
                if carried.inside == 0 && !is_in_order(&found) {
                    return Err(Stop::Refused(NO_ORDER.to_owned()));
                }
                Ok(self.shown(found, &windows))
            }
            How::Twice(of, _) if matches!(call.args.first(), Some(Expr::Call(_))) => {
                // count(distinct()).
                let Some(Expr::Call(inner)) = call.args.first() else { return Ok(Vec::new()) };
                let input =
                    self.of_inner(carried, AtSilence::Ends, |carried| self.call(inner, members, windows, carried))?;
                let input: Vec<Point> = input.into_iter().filter(|point| point.value != Value::Null).collect();
                self.finished(
                    call,
                    function,
                    self.by_windows(&input, &windows, |points| vec![of(points)]),
                    &windows,
                    carried,
                )
            }
            How::Twice(of, again) => {
                let found = self.twice(call, members, &windows, of, again);
                self.finished(call, function, found, &windows, carried)
            }
            How::End { last, of } if windows.interval == 0 && !self.nested => {
                let found = self.end(call, members, windows, last, of);
                self.finished(call, function, found, &windows, carried)
            }
            How::End { of, .. } => {
                let found = self.twice(call, members, &windows, of, of);
                self.finished(call, function, found, &windows, carried)
            }
            How::Window(of) => {
                let found = match call.name.as_str() {
                    "percentile" if windows.interval == 0 && !self.nested => {
                        self.percentile(call, members, windows, args.number)
                    }
                    _ => {
                        let input: Vec<Point> = self.ordered(call, members, windows).collect();
                        self.by_windows(&input, &windows, |points| or_none(of(points, &args)))
                    }
                };
                let found = self.until_the_end(call, found, Some(&windows), carried);
                self.finished(call, function, found, &windows, carried)
            }
        }
    }

    /// Of every series, then of what that gave, in each storage shard as far as it is known when these begin, and of that.
    pub(super) fn twice(
        &self,
        call: &Call,
        members: &[&Rows],
        windows: &Windows,
        of: Reduce,
        again: Reduce,
    ) -> Vec<Point> {
        self.twice_by(call, members, &[], windows, (of, again))
    }

    /// The same of each of these tags' sets by itself, though all come together.
    fn twice_by(
        &self,
        call: &Call,
        members: &[&Rows],
        tags: &[&str],
        windows: &Windows,
        (of, again): (Reduce, Reduce),
    ) -> Vec<Point> {
        // Measurements of one name have each its own storage shards.
        let mut owners: Vec<&[i64]> = Vec::new();
        let mut shards: BTreeMap<(usize, usize), Vec<Vec<Point>>> = BTreeMap::new();
        for (number, series) in members.iter().enumerate() {
            let (starts, shard) = (starts_of(&[*series]), shard_of(&[*series]));
            let owner = owners.iter().position(|own| std::ptr::eq(*own, starts)).unwrap_or_else(|| {
                owners.push(starts);
                owners.len() - 1
            });
            let input: Vec<Point> = self.points_of(call, number, series, *windows, self.ascending).collect();
            for points in input.chunk_by(|a, b| shard(a) == shard(b)) {
                let found = self.by_windows(points, windows, |points| vec![of(points)]);
                shards.entry((owner, shard(&points[0]))).or_default().push(found);
            }
        }
        let merged = |inputs| {
            let merged = by_window(inputs, self.ascending, &|time| windows.of(time));
            self.by_windows(&merged, windows, |points| {
                let mut sets: BTreeMap<Vec<&str>, Vec<Point>> = BTreeMap::new();
                for point in points {
                    let series = point.row.map(|row| members[row.series as usize]);
                    let values = tags.iter().map(|tag| series.map_or("", |series| series.tag(tag))).collect();
                    sets.entry(values).or_default().push(point.clone());
                }
                sets.values().map(|points| again(points)).collect()
            })
        };
        let mut found: Vec<Vec<Point>> = shards.into_values().map(merged).collect();
        if self.nested && found.len() < 2 {
            return found.pop().unwrap_or_default();
        }
        if !self.ascending {
            found.reverse();
        }
        merged(found)
    }

    /// The first point of all, or the last. InfluxDB reads two points of all series in each storage shard, and takes the better
    /// one.
    fn end(
        &self,
        call: &Call,
        members: &[&Rows],
        windows: Windows,
        last: bool,
        of: fn(&[Point]) -> Point,
    ) -> Vec<Point> {
        let of_one = |(number, series): (usize, &&Rows)| {
            self.points_of(call, number, series, windows, !last).take(END_READS).collect::<Vec<Point>>()
        };
        let shard = shard_of(members);
        let mut inputs: Vec<Vec<Point>> = members.iter().enumerate().map(of_one).collect();
        let heads = inputs.iter().filter_map(|points| points.first().map(&shard));
        let Some(own) = (if last { heads.max() } else { heads.min() }) else { return Vec::new() };
        inputs.iter_mut().for_each(|points| points.retain(|point| shard(point) == own));
        let mut points: Vec<Point> =
            self.merged_by_time(inputs, members, last, |_, _| Ordering::Equal).take(END_READS).collect();
        if !points.is_empty() {
            points = vec![of(&points)];
        }
        points
    }

    /// The points of all series by `first`, then by time, backwards for the last one.
    pub(super) fn merged_by_time(
        &self,
        mut inputs: Vec<Vec<Point>>,
        members: &[&Rows],
        last: bool,
        first: impl Fn(&Point, &Point) -> Ordering,
    ) -> impl Iterator<Item = Point> {
        // Backwards in time the series come backwards too.
        if last == self.ascending {
            inputs.reverse();
        }
        sorted(inputs, move |a, b| match first(a, b) {
            Ordering::Equal => self.less(a, b, members, !last),
            order => order.is_lt(),
        })
    }

    /// The name and the time of rows, of which each is what a lone min(), max(), top() or bottom() takes of its series, where
    /// several are the best: which of them it is hangs on what each series has in their storage shard.
    pub fn equals<'a>(&self, rows: impl IntoIterator<Item = &'a Rows>) -> BTreeSet<(String, i64)> {
        let [call] = self.calls.as_slice() else { return BTreeSet::new() };
        let greatest = match function(&call.name) {
            Some(Function { how: How::Best { greatest }, .. }) => *greatest,
            Some(Function { name: "max", .. }) => true,
            Some(Function { name: "min", .. }) => false,
            _ => return BTreeSet::new(),
        };
        let Some(field) = self.field_of(call) else { return BTreeSet::new() };
        let of_call = tags_of_best(call).map(|tag| &tag.name);
        let keys: Vec<&String> = self.dimensions.iter().chain(of_call).collect();
        let mut best: BTreeMap<(&String, Vec<&str>), (Value, i64, bool)> = BTreeMap::new();
        for rows in rows {
            let tags = keys.iter().map(|key| rows.tag(key)).collect();
            let Some(row) = (0..rows.len()).find(|row| !rows.is_null(field, *row)) else { continue };
            let (value, time) = (rows.value(field, row), rows.time(row));
            match best.entry((&rows.name, tags)) {
                Entry::Vacant(entry) => drop(entry.insert((value, time, false))),
                Entry::Occupied(mut entry) => {
                    let known = entry.get_mut();
                    let order = compare(&value, &known.0);
                    match (if greatest { order.reverse() } else { order }).then(time.cmp(&known.1)) {
                        Ordering::Less => *known = (value, time, false),
                        Ordering::Equal => known.2 = true,
                        Ordering::Greater => {}
                    }
                }
            }
        }
        let several = best.into_iter().filter(|(_, (.., equals))| *equals);
        several.map(|((name, _), (_, time, _))| (name.clone(), time)).collect()
    }

    fn best(&self, call: &Call, members: &[&Rows], greatest: bool, args: &Args) -> Result<Vec<Point>, Stop> {
        let windows = args.windows;
        let mut tags: Vec<&str> = tags_of_best(call).map(|tag| tag.name.as_str()).collect();
        tags.sort_unstable();
        let input = match tags.is_empty() {
            true => {
                let of = |(number, series)| self.points_of(call, number, series, windows, self.ascending);
                match self.limit > 0 || self.offset > 0 {
                    true => {
                        let inputs = || members.iter().copied().enumerate().map(of);
                        self.cut_first(inputs, members, &format!("{}() with LIMIT or OFFSET", call.name))?
                    }
                    false => self.ordered(call, members, windows).collect(),
                }
            }
            false => {
                let of = if greatest { "max" } else { "min" };
                let Some(Function { how: How::Twice(of, again), .. }) = function(of) else { return Ok(Vec::new()) };
                self.twice_by(call, members, &tags, &windows, (*of, *again))
            }
        };
        let count = args.number as usize;
        Ok(self.by_windows(&input, &windows, |points| best(points.to_vec(), count, greatest)))
    }

    /// What InfluxDB takes of rows before it looks at them: as many as LIMIT and OFFSET and one more from each storage shard.
    /// Where nobody knows when these begin, it is told when there are no more than that in all.
    pub(super) fn cut_first<I: Iterator<Item = Point>, A: Iterator<Item = I>>(
        &self,
        inputs: impl Fn() -> A,
        members: &[&Rows],
        what: &str,
    ) -> Result<Vec<Point>, Stop> {
        let less = |a: &Point, b: &Point| self.less(a, b, members, self.ascending);
        let most = self.limit.saturating_add(self.offset).saturating_add(1);
        match members.first().and_then(|rows| rows.shards()) {
            Some(starts) => {
                let shard = |time: i64| starts.partition_point(|start| *start <= time);
                Ok(cut_in_shards(inputs(), most, shard, less))
            }
            None if inputs().map(Iterator::count).sum::<usize>() <= most => Ok(sorted(inputs(), less).collect()),
            None => Err(Stop::Refused(format!(
                "{what} of more rows than these, which InfluxDB cuts in each storage shard, of which it is not known when they \
                 begin,"
            ))),
        }
    }

    /// Runs a function over each window; what has no time gets the window's start.
    ///
    /// InfluxDB ends where a window does not hold the point that it is made for: it begins before the range of a subquery, or
    /// clocks change in it.
    fn by_windows(&self, points: &[Point], windows: &Windows, of: impl Fn(&[Point]) -> Vec<Point>) -> Vec<Point> {
        let mut found = Vec::new();
        let mut rest = points;
        while let Some(first) = rest.first() {
            let (start, end) = windows.of(first.time);
            if is_given_up() || !(start..end).contains(&first.time) {
                return found;
            }
            let inside = |point: &Point| (start..end).contains(&point.time);
            let length = rest.iter().position(|point| !inside(point)).unwrap_or(rest.len());
            let (window, behind) = rest.split_at(length);
            for mut point in of(window) {
                if point.time == NO_TIME && !is_silence(&point) {
                    point.time = start;
                }
                found.push(point);
            }
            rest = behind;
        }
        found
    }

    pub(super) fn shown(&self, mut points: Vec<Point>, windows: &Windows) -> Vec<Point> {
        points.iter_mut().filter(|point| !is_silence(point)).for_each(|point| point.time = windows.shown(point.time));
        points
    }

    /// Windows' times and fill(), but for a lone selector without windows. No more is filled than LIMIT leaves of what is shown.
    pub(super) fn finished(
        &self,
        call: &Call,
        function: &Function,
        points: Vec<Point>,
        windows: &Windows,
        carried: &Carried,
    ) -> Result<Vec<Point>, Stop> {
        if self.selector && windows.interval == 0 {
            return Ok(points);
        }
        let points = self.shown(points, windows);
        if windows.interval == 0 || self.fill == Fill::None {
            return Ok(points);
        }
        let null_is_zero = call.name == "count" && self.fill == Fill::Null;
        let how = if null_is_zero { Fill::Value(FillValue::Integer(0)) } else { self.fill };
        let kind = self.check_call(call)?.unwrap_or(function.gives.of(Kind::Float));
        let is_shown = carried.inside == 0 && self.limit > 0 && self.keeping_call().is_none();
        let read = if is_shown && !points.iter().any(is_silence) {
            self.limit.saturating_add(self.offset)
        } else {
            usize::MAX
        };
        let most = Most { allowed: self.rows_max, read };
        let fill = |points| fill(points, windows, how, kind, self.ascending, most).map_err(Stop::Rows);
        Evaluation::around_silences(points, fill)
    }

    /// All points of a call's field, as InfluxDB orders raw ones.
    pub(super) fn ordered<'a>(
        &'a self,
        call: &Call,
        members: &'a [&'a Rows],
        windows: Windows,
    ) -> impl Iterator<Item = Point> + use<'a> {
        self.ordered_by(call, members, windows, |_, _| Ordering::Equal)
    }

    /// The same by `first` before all else.
    pub(super) fn ordered_by<'a, L: Fn(&Point, &Point) -> Ordering>(
        &'a self,
        call: &Call,
        members: &'a [&'a Rows],
        windows: Windows,
        first: L,
    ) -> impl Iterator<Item = Point> + use<'a, L> {
        let inputs: Vec<_> = members
            .iter()
            .enumerate()
            .map(|(number, series)| self.points_of(call, number, series, windows, self.ascending))
            .collect();
        sorted_in_shards(inputs, shard_of(members), self.ascending, move |a, b| match first(a, b) {
            Ordering::Equal => self.less(a, b, members, self.ascending),
            order => order.is_lt(),
        })
    }

    /// By time, then by what stands beside, as far as it is strings.
    pub(super) fn less(&self, a: &Point, b: &Point, members: &[&Rows], ascending: bool) -> bool {
        if a.time != b.time {
            return if ascending { a.time < b.time } else { a.time > b.time };
        }
        for (_, place) in &self.refs {
            let (Some(a), Some(b)) = (text_beside(a, place, members), text_beside(b, place, members)) else {
                return false;
            };
            let order = a.cmp(b);
            if order.is_ne() {
                return if ascending { order.is_lt() } else { order.is_gt() };
            }
        }
        false
    }

    /// The points of a call's field in one series, the `number`th of those that belong together.
    pub(super) fn points_of<'a>(
        &self,
        call: &Call,
        number: usize,
        series: &'a Rows,
        windows: Windows,
        ascending: bool,
    ) -> impl Iterator<Item = Point> + use<'a> {
        let field = self.field_of(call);
        let count = if field.is_some() { series.len() } else { 0 };
        let field = field.unwrap_or_default();
        let rows = (0..count).map(move |at| if ascending { at } else { count - 1 - at });
        // What a subquery makes may begin before the range that it has read.
        let (range, nested) = (windows.range, self.nested);
        let counts = move |row: &usize| !series.is_null(field, *row) && (nested || range.contains(series.time(*row)));
        rows.take_while(|_| !is_given_up()).filter(counts).map(move |row| {
            let at = Some(RowAt { series: number as u32, row: row as u32 });
            Point { row: at, ..Point::new(series.time(row), series.value(field, row)) }
        })
    }

    /// The number of the field that a call is of.
    fn field_of(&self, call: &Call) -> Option<usize> {
        match call.args.first() {
            Some(Expr::VarRef(var)) => match self.place_of(var) {
                Place::Field(field, _) => Some(field),
                Place::Tag(_) | Place::Nowhere => None,
            },
            _ => None,
        }
    }
}

/// What InfluxDB compares of a point beside its time: strings alone.
fn text_beside<'a>(point: &Point, place: &Place, members: &[&'a Rows]) -> Option<&'a str> {
    let RowAt { series, row } = point.row?;
    let rows: &'a Rows = members[series as usize];
    match place {
        Place::Tag(key) => Some(rows.tag(key)).filter(|text| !text.is_empty()),
        Place::Field(field, _) => rows.text(*field, row as usize),
        Place::Nowhere => None,
    }
}

/// A point of no points, where there are none.
pub(super) fn or_none(points: Vec<Point>) -> Vec<Point> {
    match points.is_empty() {
        true => vec![silence()],
        false => points,
    }
}

/// InfluxDB panics over it: without a warm-up it keeps one change less than the period.
fn panics(call: &Call) -> bool {
    call.name == "chande_momentum_oscillator"
        && match call.args.get(1..).unwrap_or_default() {
            [Expr::Integer(1)] | [Expr::Integer(1), _] => true,
            [Expr::Integer(1), _, Expr::String(warm_up)] => warm_up == "none",
            _ => false,
        }
}

fn known(call: &Call) -> Result<&'static Function, Stop> {
    function(&call.name).ok_or_else(|| Stop::Refused(format!("{}()", call.name)))
}
