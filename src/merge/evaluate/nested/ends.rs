//! first() and last() of measurements' whole range, of several series' points at one time.
//!
//! In each storage shard InfluxDB reads two points of every series of one series of the answer (engine.go, `CreateIterator`),
//! and merges them by time with a heap. Where tags beside those of the answer part the series, of points that follow each other
//! with the same tags the first is taken; of those with the same tags the best one is it: the earliest or latest, at one time
//! the greater (of truths the first is false). Without such tags it is the best of the two uppermost points.
//!
//! So which of several points at one time it is hangs on all series that have points in the storage shard. Groups are asked for
//! one row of each series; where several are at one time, for all rows.

use std::collections::BTreeMap;

use crate::influxql::Expr;
use crate::influxql::ast::Call;
use crate::merge::evaluate::calls::END_READS;
use crate::merge::evaluate::order::{shard_of, starts_of};
use crate::merge::evaluate::rows::{Point, Rows};
use crate::merge::evaluate::window::Windows;
use crate::merge::evaluate::{Place, Stop};

use super::calls::Fed;
use super::level::Level;
use super::stream::{Tagged, Tags, limited, tags_by};
use super::together::Together;

impl Level {
    /// Whether first() and last() are those of measurements' whole range.
    pub fn takes_ends(&self) -> bool {
        self.interval.is_none() && self.reads_measurements()
    }

    /// Whether one row of each series is not enough to tell the first or last of them. `rows` are by input.
    pub fn lacks_rows(&self, rows: &[Vec<Rows>]) -> bool {
        let Some(keys) = &self.end_keys else { return false };
        let lacks = |input: usize| {
            let mut ends: BTreeMap<(&str, Vec<&str>), Vec<i64>> = BTreeMap::new();
            for series in rows[input].iter().filter(|series| !series.is_empty()) {
                let tags = keys.iter().map(|key| series.tag(key)).collect();
                ends.entry((&series.name, tags)).or_default().push(series.time(0));
            }
            let last = self.evaluation.calls.iter().any(|call| call.name == "last");
            ends.values().any(|times| several_at_the_end(times, last))
        };
        self.measurements().any(lacks)
    }

    /// The first or last point of each set of tags, at its own time.
    pub fn ends(
        &self,
        call: &Call,
        fed: &Fed<'_>,
        windows: Windows,
        of: fn(&[Point]) -> Point,
    ) -> Result<BTreeMap<Tags, Tagged>, Stop> {
        let rows: Vec<&Rows> = fed.members.iter().map(|(_, rows)| &**rows).collect();
        let tags = |point: &Point| tags_of(point, fed);
        let mut sets: BTreeMap<Tags, Vec<Point>> = BTreeMap::new();
        for read in self.read_ends(call, fed, windows)?.into_values() {
            read.into_iter().for_each(|point| sets.entry(tags(&point)).or_default().push(point));
        }
        let found = |(tags, points): (Tags, Vec<Point>)| {
            let point = self.tagged(of(&points), &tags, &rows);
            (tags, point)
        };
        Ok(sets.into_iter().map(found).collect())
    }

    /// The same of all series of the answer, where InfluxDB takes them for others (`mixes`): it merges what it has read of each
    /// by the order of the answer, while that has the order of the call.
    pub fn ends_together(
        &self,
        call: &Call,
        (all, own): (&Together<'_>, &[(&str, usize)]),
        windows: Windows,
        keys: &[String],
        of: fn(&[Point]) -> Point,
    ) -> Result<Vec<Tagged>, Stop> {
        let mut names: BTreeMap<u32, BTreeMap<usize, Vec<Vec<Tagged>>>> = BTreeMap::new();
        for (at, given) in all.of(own) {
            let rows = given.of(own);
            let members = rows.iter().map(|rows| (tags_by(rows, keys), self.with_tag_columns(rows, windows.range)));
            let fed = Fed { input: 0, members: members.collect(), turns: None };
            let rows: Vec<&Rows> = fed.members.iter().map(|(_, rows)| &**rows).collect();
            let tagged = |point: Point| {
                let tags = tags_of(&point, &fed);
                Tagged { at, ..self.tagged(point, &tags, &rows) }
            };
            for (shard, read) in self.read_ends(call, &fed, windows)? {
                let shards = names.entry(at.name).or_default();
                shards.entry(shard).or_default().push(read.into_iter().map(tagged).collect());
            }
        }
        let merged = |sources: Vec<Vec<Tagged>>| {
            let merged = self.by_window(sources, &windows);
            self.reduced(&merged, &windows, |point| point.tags.clone(), |points| vec![of(points)])
        };
        let of_name = |shards: BTreeMap<usize, Vec<Vec<Tagged>>>| merged(shards.into_values().map(merged).collect());
        Ok(merged(names.into_values().map(of_name).collect()))
    }

    /// What is read in each storage shard, in its order.
    fn read_ends(&self, call: &Call, fed: &Fed<'_>, windows: Windows) -> Result<BTreeMap<usize, Vec<Point>>, Stop> {
        let last = call.name == "last";
        let rows: Vec<&Rows> = fed.members.iter().map(|(_, rows)| &**rows).collect();
        if starts_of(&rows).is_empty() {
            self.check_ends(call, fed, windows, last)?;
        }
        let shard = shard_of(&rows);
        let mut shards: BTreeMap<usize, Vec<Vec<Point>>> = BTreeMap::new();
        for (number, series) in rows.iter().enumerate() {
            let points: Vec<Point> = self.evaluation.points_of(call, number, series, windows, !last).collect();
            for part in points.chunk_by(|a, b| shard(a) == shard(b)) {
                shards.entry(shard(&part[0])).or_default().push(part[..part.len().min(END_READS)].to_vec());
            }
        }
        let tags = |point: &Point| tags_of(point, fed);
        let apart = fed.members.first().is_some_and(|(tags, _)| self.is_apart(tags.len()));
        let read = |(shard, inputs): (usize, Vec<Vec<Point>>)| {
            let by_mixed = |a: &Point, b: &Point| self.by_mixed(&tags(a), &tags(b), !last);
            let merged = self.evaluation.merged_by_time(inputs, &rows, last, by_mixed);
            let read = match apart {
                true => limited(merged.collect(), 1, 0, |point| Some(tags(point))),
                false => merged.take(END_READS).collect(),
            };
            (shard, read)
        };
        Ok(shards.into_iter().map(read).collect())
    }

    /// The time that is told of a point without windows: a lone selector's own, else the range's.
    pub fn shown_end(&self, time: i64, windows: &Windows) -> i64 {
        if self.evaluation.selector { time } else { windows.shown(time) }
    }

    /// Where nobody knows when storage shards begin.
    fn check_ends(&self, call: &Call, fed: &Fed<'_>, windows: Windows, last: bool) -> Result<(), Stop> {
        let Some(Expr::VarRef(var)) = call.args.first() else { return Ok(()) };
        let Place::Field(field, _) = self.evaluation.place_of(var) else { return Ok(()) };
        let mut sets: BTreeMap<&Tags, Vec<i64>> = BTreeMap::new();
        for (tags, rows) in &fed.members {
            let valued = (0..rows.len()).filter(|row| !rows.is_null(field, *row));
            let times = valued.map(|row| rows.time(row)).filter(|time| windows.range.contains(*time));
            sets.entry(tags).or_default().extend(if last { times.max() } else { times.min() });
        }
        if !sets.values().any(|times| several_at_the_end(times, last)) {
            return Ok(());
        }
        Err(Stop::Refused(format!(
            "{}() in a subquery, of several points at one time, while it is not known when storage shards begin,",
            call.name
        )))
    }
}

fn tags_of(point: &Point, fed: &Fed<'_>) -> Tags {
    point.row.map_or_else(Tags::default, |row| fed.members[row.series as usize].0.clone())
}

fn several_at_the_end(times: &[i64], last: bool) -> bool {
    let best = if last { times.iter().max() } else { times.iter().min() };
    times.iter().filter(|time| Some(*time) == best).count() > 1
}
