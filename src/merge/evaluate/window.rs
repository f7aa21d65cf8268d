//! GROUP BY time: which window a time is in.
//!
//! As `IteratorOptions.Window` of InfluxDB's query/iterator.go has it.

use crate::influxql::range::{TIME_MAX, TIME_MIN, TimeRange};
use crate::influxql::zone::Zone;

/// The windows of a SELECT. Without an interval there is one, the whole range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Nanoseconds; 0: there are none.
    pub interval: i64,
    pub offset: i64,
    pub range: TimeRange,
    /// Whose clocks count.
    pub zone: Option<Zone>,
}

impl Windows {
    /// The first moment of the window, and the first behind it. As in InfluxDB it runs over, where an offset or a zone moves
    /// the first or the last time of all.
    pub fn of(&self, time: i64) -> (i64, i64) {
        if self.interval == 0 {
            return (self.range.start, self.range.end.saturating_add(1));
        }
        let time = time.wrapping_sub(self.offset);
        let ahead = self.ahead(time);
        let into = time.wrapping_add(ahead).rem_euclid(self.interval);
        let start = if TIME_MIN + into >= time { TIME_MIN } else { time - into };
        let left = self.interval - into;
        let end = if TIME_MAX - left <= time { TIME_MAX } else { time + left };
        let moved = |border: i64| border.wrapping_add(self.change(ahead, self.ahead(border)));
        // An end that would move to before the change stays.
        let end = Some(moved(end)).filter(|moved| self.ahead(*moved) == self.ahead(end)).unwrap_or(end);
        (moved(start).wrapping_add(self.offset), end.wrapping_add(self.offset))
    }

    /// How far the zone's clocks are ahead of UTC's.
    fn ahead(&self, time: i64) -> i64 {
        self.zone.map_or(0, |zone| zone.offset(time))
    }

    /// How far a border moves over which clocks change. By as much as an interval none does.
    fn change(&self, before: i64, after: i64) -> i64 {
        let change = before - after;
        if change.abs() < self.interval { change } else { 0 }
    }

    /// The windows that fill() counts from this one on, or back from it: an interval each, but where clocks change. As in
    /// InfluxDB they run over.
    pub fn steps(&self, from: i64, ascending: bool) -> impl Iterator<Item = i64> {
        let mut ahead = self.ahead(from);
        std::iter::successors(Some(from), move |at| {
            let next = at.wrapping_add(if ascending { self.interval } else { -self.interval });
            let before = std::mem::replace(&mut ahead, self.ahead(next.saturating_sub(1)));
            Some(next.wrapping_add(self.change(before, ahead)))
        })
    }

    pub fn start(&self, time: i64) -> i64 {
        self.of(time).0
    }

    /// Whether one of them has no start: it is shown at 0 ([`Windows::shown`]).
    pub fn begin_nowhere(&self) -> bool {
        self.interval > 0 && self.start(self.range.start) == TIME_MIN
    }

    /// Whether one of them has the last time of all: it ends there, and does not hold it.
    pub fn reach_the_end(&self) -> bool {
        self.interval > 0 && self.range.end == TIME_MAX
    }

    /// What an aggregate of the window shows as its time.
    pub fn shown(&self, time: i64) -> i64 {
        match self.start(time) {
            TIME_MIN => 0,
            start => start,
        }
    }

    /// The same windows over a longer range. As InfluxDB has it the range runs over, where it has no start: nothing lies in it
    /// then.
    pub fn widened(&self, before: i64, after: i64) -> Windows {
        let TimeRange { start, end } = self.range;
        Windows { range: TimeRange { start: start.wrapping_sub(before), end: end.wrapping_add(after) }, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_at_multiples_of_the_interval() {
        let all = TimeRange::default();
        let windows = Windows { interval: 10, offset: 0, range: all, zone: None };
        assert_eq!(windows.of(25), (20, 30));
        assert_eq!(windows.of(-1), (-10, 0));
        assert_eq!(windows.of(0), (0, 10));
        assert_eq!(Windows { offset: 3, ..windows }.of(25), (23, 33));
        assert_eq!(Windows { offset: -3, ..windows }.of(28), (27, 37));
        assert_eq!(windows.of(TIME_MIN + 1).0, TIME_MIN);
        assert_eq!(Windows { interval: 0, ..windows }.shown(5), 0);
        let bounded = Windows { interval: 0, range: TimeRange { start: 7, end: 9 }, ..windows };
        assert_eq!((bounded.of(8), bounded.shown(8)), ((7, 10), 7));
    }

    /// As influxd 1.6.7 has them.
    #[test]
    fn days_are_a_zones() {
        const HOUR: i64 = 3_600_000_000_000;
        let (zone, range) = (Zone::named("Europe/Berlin"), TimeRange::default());
        let days = Windows { interval: 24 * HOUR, offset: 0, range, zone };
        // The night of 28 March 2021, when clocks went forward at 1:00 UTC.
        let midnight = 1_616_886_000_000_000_000;
        assert_eq!(days.of(midnight), (midnight, midnight + 23 * HOUR));
        assert_eq!(days.of(midnight + 22 * HOUR), (midnight, midnight + 23 * HOUR));
        let steps: Vec<i64> = days.steps(midnight - 24 * HOUR, true).take(3).collect();
        assert_eq!(steps, [midnight - 24 * HOUR, midnight, midnight + 23 * HOUR]);
    }
}
