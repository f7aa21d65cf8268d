//! Timestamps for lines that have none. The time comes in from outside.

use std::fmt::Write;

use crate::lineprotocol::Precision;

/// What is put behind lines without a timestamp: a space and the time in the write's unit.
#[derive(Debug)]
pub struct Stamps {
    precision: Precision,
    rising: bool,
    /// In `precision`: of the next line.
    next: i64,
    /// The stamp of `written`.
    text: String,
    written: Option<i64>,
}

impl Stamps {
    /// One stamp for all lines that arrive at the same moment.
    pub fn same(precision: Precision, now_ns: i64) -> Stamps {
        Stamps { precision, rising: false, next: precision.time(now_ns), text: String::new(), written: None }
    }

    /// Every line's stamp is later than that of the line before, by one unit at least.
    pub fn rising(precision: Precision, now_ns: i64) -> Stamps {
        Stamps { rising: true, ..Stamps::same(precision, now_ns) }
    }

    /// What follows arrived at this moment.
    pub fn arrived(&mut self, now_ns: i64) {
        let now = self.precision.time(now_ns);
        self.next = if self.rising { self.next.max(now) } else { now };
    }

    /// The stamp last taken; empty: none yet.
    pub fn last(&self) -> &str {
        &self.text
    }

    /// The next line's stamp, with the space before it.
    pub fn take(&mut self) -> &str {
        if self.written != Some(self.next) {
            self.text.clear();
            // Writing into a String cannot fail.
            let _ = write!(self.text, " {}", self.next);
            self.written = Some(self.next);
        }
        if self.rising {
            self.next = self.next.saturating_add(1);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_stamp_truncated_to_its_unit() {
        let mut stamps = Stamps::same(Precision::Milliseconds, 1_999_999);
        assert_eq!([stamps.take().to_owned(), stamps.take().to_owned()], [" 1", " 1"]);
        stamps.arrived(2_000_000);
        assert_eq!(stamps.take(), " 2");
        assert_eq!(Stamps::same(Precision::Seconds, -1).take(), " -1");
    }

    #[test]
    fn a_stream_has_rising_stamps_whatever_the_clock_does() {
        let mut stamps = Stamps::rising(Precision::Nanoseconds, 5);
        let mut taken = vec![stamps.take().to_owned(), stamps.take().to_owned()];
        stamps.arrived(3);
        taken.push(stamps.take().to_owned());
        stamps.arrived(100);
        taken.push(stamps.take().to_owned());
        assert_eq!(taken, [" 5", " 6", " 7", " 100"]);
    }
}
