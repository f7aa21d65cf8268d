//! Windows whose points make no point: where InfluxDB stops reading.
//!
//! Its reducers say that there is no more when a window makes no point (a percentile of too low a rank), and in the end
//! whoever reads them believes it: the windows and series behind are lost. But fill() first puts a point into the window that
//! is due, and asks again; what has rows that are not yet told tells them, and asks again; several calls side by side ask
//! again for every row, and end with the first row of which none makes a point. Where one then lags behind the others is not
//! worked out: that is refused.

use std::collections::BTreeMap;

use crate::influxql::ast::{Call, Fill};
use crate::influxql::range::TIME_MIN;

use super::rows::Point;
use super::window::Windows;
use super::{Carried, Evaluation, Stop};

/// How far a call is read.
#[derive(Clone, Copy, Default)]
pub struct Reads {
    ended: bool,
    /// Windows of the series before that fill() has still to fill.
    due: i64,
    /// There are rows that are not yet told.
    untold: bool,
    /// A window made no point.
    pub silent: bool,
}

/// How far several calls are read, side by side.
#[derive(Clone, Copy, Default)]
pub struct Several {
    ended: bool,
    /// Some knew a window that others have no points of: they are not at the same place.
    apart: bool,
    /// None made a point of a window, but the answer goes on: some may lag behind others.
    lag: bool,
}

/// Whether a call may make no point of points.
fn may_fall_silent(call: &Call) -> bool {
    call.name == "percentile" || call.name.starts_with("holt_winters")
}

impl Evaluation {
    /// The windows' points up to the end that InfluxDB sees. A window without one comes as a point of no points, and goes.
    /// `filled`: fill() reads them.
    pub(super) fn until_the_end(
        &self,
        call: &Call,
        points: Vec<Point>,
        filled: Option<&Windows>,
        carried: &mut Carried,
    ) -> Vec<Point> {
        let (outermost, lone) = (self.calls.contains(call), self.calls.len() == 1);
        let at = carried.reads.iter().position(|(known, _)| known == call).unwrap_or_else(|| {
            carried.reads.push((call.clone(), Reads::default()));
            carried.reads.len() - 1
        });
        let Carried { reads, silences, .. } = carried;
        let reads = &mut reads[at].1;
        let mut found = Vec::new();
        for point in points {
            if reads.ended {
                break;
            }
            if point.count > 0 {
                (reads.due, reads.untold) =
                    (filled.map_or(0, |windows| self.due_behind(point.time, windows)), outermost);
                found.push(point);
                continue;
            }
            reads.silent = true;
            if reads.due > 0 {
                (reads.due, reads.untold) = (reads.due - 1, outermost);
            } else if reads.untold {
                reads.untold = false;
            } else {
                reads.ended = lone || !outermost;
                if !reads.ended {
                    silences.push(point.time);
                }
            }
        }
        found
    }

    /// The points of several calls up to the first window of which none of them makes one.
    ///
    /// # Errors
    /// Not all of them have points there, and some have others behind.
    pub(super) fn until_none_tells(&self, points: &mut [Vec<Point>], carried: &mut Carried) -> Result<(), Stop> {
        let silences = std::mem::take(&mut carried.silences);
        let several = &mut carried.several;
        if several.ended {
            points.iter_mut().for_each(Vec::clear);
        }
        if several.ended || self.calls.len() < 2 || !self.calls.iter().any(may_fall_silent) {
            return Ok(());
        }
        // In the order in which rows are told: how many calls know a window, and whether any makes a point of it.
        let place = |time: i64| {
            let start = self.windows.start(time);
            if self.ascending { start } else { !start }
        };
        let mut windows: BTreeMap<i64, (usize, bool)> = BTreeMap::new();
        for found in &*points {
            let mut known: Vec<i64> = found.iter().map(|point| place(point.time)).collect();
            known.dedup();
            for window in known {
                let (calls, told) = windows.entry(window).or_default();
                (*calls, *told) = (*calls + 1, true);
            }
        }
        silences.into_iter().for_each(|time| windows.entry(place(time)).or_default().0 += 1);
        for (window, (calls, told)) in windows {
            if told && several.lag {
                let names: Vec<String> = self.calls.iter().map(|call| format!("{}()", call.name)).collect();
                return Err(Stop::Refused(format!(
                    "{} of a window of which none makes a point",
                    names.join(" beside ")
                )));
            }
            let all = calls == self.calls.len();
            // LIMIT and OFFSET of one series read on to its end.
            if !told && all && !several.apart && self.limit == 0 && self.offset == 0 {
                several.ended = true;
                points.iter_mut().for_each(|found| found.retain(|point| place(point.time) < window));
                return Ok(());
            }
            several.lag |= !told;
            several.apart |= !all;
        }
        Ok(())
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
