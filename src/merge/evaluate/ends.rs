//! Windows whose points make no point: where InfluxDB stops reading.
//!
//! Its reducers say that there is no more when a window makes no point (a percentile of too low a rank). Whoever reads them
//! may ask again, and then the windows behind come: fill() first puts a point into the window that is due, and says that there
//! is no more only where none is; LIMIT and OFFSET pass it on. The rows of the answer are made so
//! ([`Evaluation::side_by_side`]): for each, every call is asked for the time of its next point, and one that says no more once
//! again when values are taken, be it of a later series. Where none has a time, what was told so far is given out, and they are
//! asked once more; where none has again, the answer ends. So a call may lag behind the others: its first windows come where
//! the others are further on, in rows of their own, be it in a series that was told before. LIMIT and OFFSET count the points
//! of each call.
//!
//! A silence is a point of no points ([`silence`]) up to there. Series come one after the other: what cannot be told before the
//! next one is known waits in [`Told`].

use std::collections::{BTreeMap, VecDeque};
use std::vec::IntoIter;

use crate::influxql::ast::{Call, Fill};
use crate::influxql::range::TIME_MIN;
use crate::merge::results::Value;

use super::rows::{NO_TIME, Point};
use super::window::Windows;
use super::{Carried, Evaluation};

/// What a call's reader does where it falls silent.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum AtSilence {
    /// It asks again.
    #[default]
    GoesOn,
    Ends,
}

/// How far a call is read.
#[derive(Clone, Copy, Default)]
pub struct Reads {
    /// Who reads it asks no more.
    ended: bool,
    /// Windows of the series before that fill() has still to fill.
    due: i64,
    /// fill(linear) has put a point into a window, and looks at what is behind the silence there: a further silence it forgets,
    /// and draws no line.
    looks_behind: bool,
    /// What it makes of another's points has begun, and is not ended yet.
    begun: bool,
    /// A window made no point.
    pub silent: bool,
}

/// How often a call that has no point is asked for a row: for its time, then for its value.
const ASKED: usize = 2;

/// How far the rows of the answer are told.
#[derive(Default)]
pub struct Told {
    /// Of each call.
    unread: Vec<Unread>,
    /// The name and the tags' values of series of which points are unread, by number.
    heads: BTreeMap<usize, (String, Vec<String>)>,
    /// So many series have come.
    came: usize,
    /// These are all.
    complete: bool,
    ended: bool,
    /// There are rows that are not yet given out.
    ungiven: bool,
    /// All rows so far were given out, as if they were all.
    pub paused: bool,
    /// How often each call was asked behind its points of the series that have come.
    ahead: Vec<usize>,
    /// Which calls have said that they have no point in the row that is being made.
    silent: Vec<bool>,
    /// The row's values, and the series that they are of.
    pub slots: Vec<Value>,
    pub at: Option<usize>,
}

/// A call's points and silences that are unread, by the number of the series.
#[derive(Default)]
struct Unread {
    series: VecDeque<(usize, IntoIter<Point>)>,
    /// Of all of them.
    count: usize,
}

impl Unread {
    fn peek(&mut self) -> Option<(usize, &Point)> {
        while self.series.front().is_some_and(|(_, points)| points.as_slice().is_empty()) {
            self.series.pop_front();
        }
        let (number, points) = self.series.front()?;
        points.as_slice().first().map(|point| (*number, point))
    }

    fn next_if(&mut self, takes: impl Fn(usize, &Point) -> bool) -> Option<Point> {
        let (number, point) = self.peek()?;
        if !takes(number, point) {
            return None;
        }
        self.count -= 1;
        self.series.front_mut()?.1.next()
    }

    fn pass_silence(&mut self) -> bool {
        self.next_if(|_, point| is_silence(point)).is_some()
    }
}

impl Told {
    /// One more series: what each call has made of it.
    pub fn come(&mut self, name: String, values: Vec<String>, points: Vec<Vec<Point>>) {
        if self.ended {
            return;
        }
        self.unread.resize_with(points.len(), Unread::default);
        self.ahead.resize(points.len(), 0);
        self.silent.resize(points.len(), false);
        if self.unread() == 0 {
            self.heads.clear();
        }
        self.heads.insert(self.came, (name, values));
        for (unread, points) in self.unread.iter_mut().zip(points) {
            unread.count += points.len();
            unread.series.push_back((self.came, points.into_iter()));
        }
        self.came += 1;
    }

    /// No more series come.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// How many points wait, at most of a call.
    pub fn unread(&self) -> usize {
        self.unread.iter().map(|unread| unread.count).max().unwrap_or(0)
    }

    pub fn head(&self, number: usize) -> (String, Vec<String>) {
        self.heads.get(&number).cloned().unwrap_or_default()
    }

    /// The number of the series and the time of the next row, which all are asked for; `None`: the series that have come do not
    /// tell more.
    pub fn next_row(&mut self, ascending: bool) -> Option<(usize, i64)> {
        while !self.ended {
            let (mut next, mut passed): (Option<(usize, i64)>, Vec<usize>) = (None, Vec::new());
            for (number, unread) in self.unread.iter_mut().enumerate() {
                if self.silent[number] {
                    continue;
                }
                while self.ahead[number] > 0 && unread.pass_silence() {
                    self.ahead[number] -= 1;
                }
                if unread.pass_silence() {
                    self.silent[number] = true;
                    continue;
                }
                let Some((series, Point { time, .. })) = unread.peek() else {
                    // What it says to this row stands in a later series.
                    passed.push(number);
                    continue;
                };
                self.ahead[number] = 0;
                let is_first = |(first, earliest): (usize, i64)| {
                    series < first || series == first && if ascending { *time < earliest } else { *time > earliest }
                };
                if next.is_none_or(is_first) {
                    next = Some((series, *time));
                }
            }
            if next.is_none() && !passed.is_empty() && !self.complete {
                return None;
            }
            if next.is_some() {
                self.ungiven = true;
                passed.into_iter().for_each(|number| self.ahead[number] += ASKED);
                let asked_again = self.unread.iter_mut().zip(&mut self.silent).zip(&mut self.ahead);
                for ((unread, silent), ahead) in asked_again.filter(|((_, silent), _)| **silent) {
                    match unread.peek() {
                        None => *ahead += ASKED - 1,
                        Some(_) => *silent = unread.pass_silence(),
                    }
                }
                return next;
            }
            self.silent.fill(false);
            (self.ended, self.paused) = (!self.ungiven, self.ungiven);
            self.ungiven = false;
            if self.ended {
                self.unread.clear();
            }
        }
        None
    }

    /// What each call has in the row that [`Told::next_row`] has told, where it was not silent twice.
    pub fn row(&mut self, series: usize, time: i64) -> Vec<Option<Point>> {
        let silent = std::mem::replace(&mut self.silent, vec![false; self.unread.len()]);
        let is_own = |number: usize, point: &Point| number == series && point.time == time && !is_silence(point);
        let of = |(unread, silent): (&mut Unread, bool)| if silent { None } else { unread.next_if(is_own) };
        self.unread.iter_mut().zip(silent).map(of).collect()
    }
}

/// What stands where a call says that there is no more.
pub fn silence() -> Point {
    Point { count: 0, ..Point::new(NO_TIME, Value::Null) }
}

pub fn is_silence(point: &Point) -> bool {
    point.count == 0 && point.time == NO_TIME
}

impl Carried {
    /// How far a call is read, as deep within others as it is now.
    fn reads_of(&mut self, call: &Call) -> &mut Reads {
        let known = self.reads.iter().position(|(known, depth, _)| known == call && *depth == self.inside);
        let at = known.unwrap_or_else(|| {
            self.reads.push((call.clone(), self.inside, Reads::default()));
            self.reads.len() - 1
        });
        &mut self.reads[at].2
    }

    /// What a call reads of another's points, where a silence ends what has begun, and passes where nothing has: without the one
    /// that ends what has begun in the series before.
    pub(super) fn behind_silences(&mut self, call: &Call, mut points: Vec<Point>) -> Vec<Point> {
        let counts = |point: &Point| point.value != Value::Null;
        let reads = self.reads_of(call);
        let Some(first) = points.iter().position(|point| is_silence(point) || counts(point)) else { return points };
        if std::mem::take(&mut reads.begun) && is_silence(&points[first]) {
            points.remove(first);
        }
        reads.begun = points.rsplit(is_silence).next().is_some_and(|last| last.iter().any(counts));
        points
    }
}

impl Evaluation {
    /// What a call within a call gives: up to where it falls silent, if whoever reads it ends there.
    pub(super) fn of_inner<E>(
        &self,
        carried: &mut Carried,
        reader: AtSilence,
        points: impl FnOnce(&mut Carried) -> Result<Vec<Point>, E>,
    ) -> Result<Vec<Point>, E> {
        let around = std::mem::replace(&mut carried.reader, reader);
        carried.inside += 1;
        let found = points(carried);
        carried.inside -= 1;
        carried.reader = around;
        found
    }

    /// The windows' points with the silences between them, up to the first where its reader ends. `filled`: fill() reads
    /// them, and puts its points in the place of silences as long as windows are due.
    pub(super) fn until_the_end(
        &self,
        call: &Call,
        points: Vec<Point>,
        filled: Option<&Windows>,
        carried: &mut Carried,
    ) -> Vec<Point> {
        let reader = carried.reader;
        let reads = carried.reads_of(call);
        let mut found: Vec<Point> = Vec::new();
        // The windows that are due, and the one that was put in the place of the last silence, of this series.
        let (mut windows, mut filling) = (None, None);
        for point in points {
            if reads.ended {
                break;
            }
            if !is_silence(&point) {
                reads.due = filled.map_or(0, |windows| self.due_behind(point.time, windows));
                reads.looks_behind = false;
                windows = filled.map(|windows| windows.steps(windows.start(point.time), self.ascending).skip(1));
                found.push(point);
                continue;
            }
            reads.silent = true;
            if std::mem::take(&mut reads.looks_behind) {
                found.extend(filling.take().map(|time| Point { time, ..silence() }));
            } else if reads.due > 0 {
                reads.due -= 1;
                filling = windows.as_mut().and_then(Iterator::next);
                reads.looks_behind = self.fill == Fill::Linear;
            } else if reader == AtSilence::Ends {
                reads.ended = true;
            } else {
                found.push(silence());
            }
        }
        found
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
            true => (end.saturating_sub(windows.start(time)) / windows.interval).max(0),
            false if start == TIME_MIN => 0,
            false => (windows.start(time).saturating_sub(start) / windows.interval).max(0),
        }
    }
}
