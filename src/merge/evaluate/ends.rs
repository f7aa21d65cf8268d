//! Windows whose points make no point: where InfluxDB stops reading.
//!
//! Its reducers say that there is no more when a window makes no point (a percentile of too low a rank), and in the end
//! whoever reads them believes it: the windows and series behind are lost. But fill() first puts a point into the window that
//! is due, and asks again; what has rows that are not yet told tells them, and asks again; several calls side by side ask
//! again for every row.

use crate::influxql::ast::{Call, Fill};
use crate::influxql::range::TIME_MIN;

use super::rows::Point;
use super::window::Windows;
use super::{Carried, Evaluation};

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
        let reads = &mut carried.reads[at].1;
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
            }
        }
        found
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
