//! GROUP BY time: which window a time is in.
//!
//! As `IteratorOptions.Window` of InfluxDB's query/iterator.go has it, without time zones.

use crate::influxql::range::{TIME_MAX, TIME_MIN, TimeRange};

/// The windows of a SELECT. Without an interval there is one, the whole range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Nanoseconds; 0: there are none.
    pub interval: i64,
    pub offset: i64,
    pub range: TimeRange,
}

impl Windows {
    /// The first moment of the window, and the first behind it.
    pub fn of(&self, time: i64) -> (i64, i64) {
        if self.interval == 0 {
            return (self.range.start, self.range.end.saturating_add(1));
        }
        let time = time.saturating_sub(self.offset);
        let into = time.rem_euclid(self.interval);
        let start = if TIME_MIN + into >= time { TIME_MIN } else { time - into };
        let left = self.interval - into;
        let end = if TIME_MAX - left <= time { TIME_MAX } else { time + left };
        (start.saturating_add(self.offset), end.saturating_add(self.offset))
    }

    pub fn start(&self, time: i64) -> i64 {
        self.of(time).0
    }

    /// What an aggregate of the window shows as its time.
    pub fn shown(&self, time: i64) -> i64 {
        match self.start(time) {
            TIME_MIN => 0,
            start => start,
        }
    }

    /// The same windows over a longer range.
    pub fn widened(&self, before: i64, after: i64) -> Windows {
        let TimeRange { start, end } = self.range;
        let range = TimeRange {
            start: start.saturating_sub(before).max(TIME_MIN),
            end: end.saturating_add(after).min(TIME_MAX),
        };
        Windows { range, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_at_multiples_of_the_interval() {
        let all = TimeRange::default();
        let windows = Windows { interval: 10, offset: 0, range: all };
        assert_eq!(windows.of(25), (20, 30));
        assert_eq!(windows.of(-1), (-10, 0));
        assert_eq!(windows.of(0), (0, 10));
        assert_eq!(Windows { offset: 3, ..windows }.of(25), (23, 33));
        assert_eq!(Windows { offset: -3, ..windows }.of(28), (27, 37));
        assert_eq!(windows.of(TIME_MIN + 1).0, TIME_MIN);
        assert_eq!(Windows { interval: 0, ..windows }.shown(5), 0);
        let bounded = Windows { interval: 0, offset: 0, range: TimeRange { start: 7, end: 9 } };
        assert_eq!((bounded.of(8), bounded.shown(8)), ((7, 10), 7));
    }
}
