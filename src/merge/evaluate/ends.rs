//! Windows whose points make no point: where InfluxDB stops reading.
//!
//! Its reducers say that there is no more when a window makes no point (a percentile of too low a rank). Whoever reads them
//! may ask again, and then the windows behind come: fill() first puts a point into the window that is due, and says that there
//! is no more only where none is; LIMIT and OFFSET pass it on. The rows of the answer are made so
//! ([`Evaluation::side_by_side`]): for each, every call is asked for the time of its next point, and one that says no more once
//! again when values are taken, be it of a later series. Where none has a time, what was told so far is given out, and they are
//! asked once more; where none has again, the answer ends. So a call may lag behind the others: its first windows come where
//! the others are further on, in rows of their own. LIMIT and OFFSET count the points of each call. What comes where none
//! of calls that lag has a time is not worked out: that is refused.
//!
//! A silence is a point of no points ([`silence`]) up to there.

use std::iter::Peekable;
use std::vec::IntoIter;

use crate::influxql::ast::{Call, Fill};
use crate::influxql::range::TIME_MIN;
use crate::merge::results::Value;

use super::rows::{NO_TIME, Point};
use super::window::Windows;
use super::{Carried, Evaluation, Stop};

/// How far a call is read.
#[derive(Clone, Copy, Default)]
pub struct Reads {
    /// Who reads it asks no more.
    ended: bool,
    /// Windows of the series before that fill() has still to fill.
    due: i64,
    /// A window made no point.
    pub silent: bool,
}

/// How often a call that has no point is asked for a row: for its time, then for its value.
const ASKED: usize = 2;

/// How far the rows of the answer are told.
#[derive(Default)]
pub struct Told {
    ended: bool,
    /// There are rows that are not yet given out.
    ungiven: bool,
    /// All rows so far were given out, as if they were all.
    pub paused: bool,
    /// How often each call was asked behind its points of the series before.
    ahead: Vec<usize>,
    /// Which calls have said that they have no point in the row that is being made.
    silent: Vec<bool>,
    /// One of several has said so in a row that others have.
    lags: bool,
    /// Which have said so twice: they have no value in it, though their next point may be of its time.
    pub without: Vec<bool>,
}

/// Some calls lag behind others where none has a point.
pub struct NotWorkedOut;

impl Told {
    /// The time of the next row, which all are asked for; `None`: the series has no more.
    ///
    /// # Errors
    /// Where InfluxDB goes on is not worked out.
    pub fn next_row(
        &mut self,
        calls: &mut [Peekable<IntoIter<Point>>],
        ascending: bool,
    ) -> Result<Option<i64>, NotWorkedOut> {
        self.ahead.resize(calls.len(), 0);
        self.silent.resize(calls.len(), false);
        loop {
            if self.ended {
                return Ok(None);
            }
            let (mut next, mut passed): (Option<i64>, Vec<usize>) = (None, Vec::new());
            for (number, points) in calls.iter_mut().enumerate() {
                if self.silent[number] {
                    continue;
                }
                while self.ahead[number] > 0 && points.next_if(is_silence).is_some() {
                    self.ahead[number] -= 1;
                }
                match points.peek() {
                    Some(point) if is_silence(point) => {
                        points.next();
                        self.silent[number] = true;
                    }
                    Some(Point { time, .. }) => {
                        self.ahead[number] = 0;
                        next = next.map_or(Some(*time), |next| {
                            Some(if ascending { next.min(*time) } else { next.max(*time) })
                        });
                    }
                    // What it says to this row stands in a later series.
                    None => passed.push(number),
                }
            }
            if next.is_none() && !passed.is_empty() {
                // What others say to this row would stand behind points of this series.
                let unread = calls.iter_mut().any(|points| points.peek().is_some());
                return if unread { Err(NotWorkedOut) } else { Ok(None) };
            }
            if next.is_some() {
                self.lags |= self.silent.contains(&true);
                self.ungiven = true;
                passed.into_iter().for_each(|number| self.ahead[number] += ASKED);
                for (number, points) in calls.iter_mut().enumerate() {
                    if !self.silent[number] {
                        continue;
                    }
                    match points.peek() {
                        Some(point) if is_silence(point) => drop(points.next()),
                        Some(_) => self.silent[number] = false,
                        None => self.ahead[number] += ASKED - 1,
                    }
                }
                self.without = std::mem::replace(&mut self.silent, vec![false; calls.len()]);
                return Ok(next);
            }
            if self.lags {
                return Err(NotWorkedOut);
            }
            self.silent.fill(false);
            (self.ended, self.paused) = (!self.ungiven, self.ungiven);
            self.ungiven = false;
        }
    }
}

/// What stands where a call says that there is no more.
pub fn silence() -> Point {
    Point { count: 0, ..Point::new(NO_TIME, Value::Null) }
}

pub fn is_silence(point: &Point) -> bool {
    point.count == 0
}

impl Evaluation {
    /// What a call within a call gives: whoever reads it asks no more where it falls silent.
    pub(super) fn of_inner<E>(
        &self,
        carried: &mut Carried,
        points: impl FnOnce(&mut Carried) -> Result<Vec<Point>, E>,
    ) -> Result<Vec<Point>, E> {
        carried.inside += 1;
        let found = points(carried);
        carried.inside -= 1;
        found
    }

    /// The windows' points with the silences between them, of a call within a call up to the first. `filled`: fill() reads
    /// them, and puts its points in the place of silences as long as windows are due.
    ///
    /// # Errors
    /// What fill() makes of them is not worked out.
    pub(super) fn until_the_end(
        &self,
        call: &Call,
        points: Vec<Point>,
        filled: Option<&Windows>,
        carried: &mut Carried,
    ) -> Result<Vec<Point>, Stop> {
        let Carried { reads, inside, .. } = carried;
        let known = reads.iter().position(|(known, depth, _)| known == call && depth == inside);
        let at = known.unwrap_or_else(|| {
            reads.push((call.clone(), *inside, Reads::default()));
            reads.len() - 1
        });
        let reads = &mut reads[at].2;
        let (mut found, mut before) = (Vec::new(), false);
        for point in points {
            let twice = std::mem::replace(&mut before, is_silence(&point)) && before;
            if reads.ended {
                break;
            }
            if !is_silence(&point) {
                reads.due = filled.map_or(0, |windows| self.due_behind(point.time, windows));
                found.push(point);
                continue;
            }
            reads.silent = true;
            if reads.due > 0 {
                // It looks at the window behind the one that it fills, and forgets that this made no point.
                if twice && self.fill == Fill::Linear {
                    let what = format!("{}() with fill(linear) of windows of which it makes no point", call.name);
                    return Err(Stop::Refused(what));
                }
                reads.due -= 1;
            } else if *inside > 0 {
                reads.ended = true;
            } else {
                found.push(silence());
            }
        }
        Ok(found)
    }

    /// What `finish` makes of the points, with the silences where they were: behind the same points as before.
    ///
    /// # Errors
    /// Those of `finish`.
    pub(super) fn around_silences<E>(
        points: Vec<Point>,
        finish: impl FnOnce(Vec<Point>) -> Result<Vec<Point>, E>,
    ) -> Result<Vec<Point>, E> {
        if !points.iter().any(is_silence) {
            return finish(points);
        }
        // How many silences stand before the first point, then behind each.
        let (mut silences, mut found) = (vec![0_usize], Vec::new());
        for point in points {
            match is_silence(&point) {
                true => *silences.last_mut().unwrap_or(&mut 0) += 1,
                false => {
                    silences.push(0);
                    found.push(point);
                }
            }
        }
        let times: Vec<i64> = found.iter().map(|point| point.time).collect();
        let mut all = vec![silence(); silences[0]];
        let mut next = 0;
        for point in finish(found)? {
            let known = times.get(next) == Some(&point.time);
            all.push(point);
            if known {
                next += 1;
                all.extend(std::iter::repeat_n(silence(), silences[next]));
            }
        }
        Ok(all)
    }

    /// How many windows fill() fills behind this one, if no point comes.
    fn due_behind(&self, time: i64, windows: &Windows) -> i64 {
        if windows.interval == 0 || self.fill == Fill::None {
            return 0;
        }
        let (start, end) = (windows.start(windows.range.start), windows.start(windows.range.end));
        match self.ascending {
            true => end.saturating_sub(windows.start(time)) / windows.interval,
            false if start == TIME_MIN => 0,
            false => windows.start(time).saturating_sub(start) / windows.interval,
        }
    }
}
