//! What became of the points, and the report that it makes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// An hour; what took longer counts as that.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// What one worker saw.
pub struct Tally {
    pub requests: u64,
    pub bytes: u64,
    pub points_sent: u64,
    pub points_acknowledged: u64,
    /// By status.
    pub points_refused: BTreeMap<u16, u64>,
    /// Of requests that broke or timed out: stored or not, nobody said.
    pub points_unanswered: u64,
    /// Requests, by what broke them.
    pub errors: BTreeMap<String, u64>,
    latency_us: Histogram<u64>,
}

impl Tally {
    pub fn new() -> Tally {
        Tally {
            requests: 0,
            bytes: 0,
            points_sent: 0,
            points_acknowledged: 0,
            points_refused: BTreeMap::new(),
            points_unanswered: 0,
            errors: BTreeMap::new(),
            latency_us: Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("bounds in order, three digits"),
        }
    }

    /// A request with `points` points is on its way, or was meant to be.
    pub fn sent(&mut self, points: u64, bytes: usize) {
        self.requests += 1;
        self.points_sent += points;
        self.bytes += bytes as u64;
    }

    pub fn answered(&mut self, points: u64, status: u16, took: Duration) {
        self.took(took);
        if (200..300).contains(&status) {
            self.points_acknowledged += points;
        } else {
            *self.points_refused.entry(status).or_default() += points;
        }
    }

    pub fn took(&mut self, took: Duration) {
        self.latency_us.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub fn broke(&mut self, points: u64, why: String) {
        self.points_unanswered += points;
        *self.errors.entry(why).or_default() += 1;
    }

    pub fn add(&mut self, other: &Tally) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.points_sent += other.points_sent;
        self.points_acknowledged += other.points_acknowledged;
        self.points_unanswered += other.points_unanswered;
        for (&status, points) in &other.points_refused {
            *self.points_refused.entry(status).or_default() += points;
        }
        for (why, count) in &other.errors {
            *self.errors.entry(why.clone()).or_default() += count;
        }
        self.latency_us.add(&other.latency_us).expect("equal bounds");
    }
}

/// `points_sent` = `points_acknowledged` + all of `points_refused` + `points_unanswered` over HTTP; over TCP and UDP
/// nobody acknowledges.
#[derive(Debug, Serialize)]
pub struct Report {
    pub points_sent: u64,
    pub points_acknowledged: u64,
    pub points_unanswered: u64,
    pub points_unsent: u64,
    pub points_per_s: f64,
    pub seconds: f64,
    pub cpu_s: f64,
    pub requests: u64,
    pub bytes: u64,
    pub latency_p50_us: u64,
    pub latency_p90_us: u64,
    pub latency_p99_us: u64,
    pub latency_p999_us: u64,
    pub latency_max_us: u64,
    pub points_refused: BTreeMap<u16, u64>,
    pub errors: BTreeMap<String, u64>,
}

impl Report {
    #[allow(clippy::cast_precision_loss, reason = "points of a run are far below 2^52")]
    pub fn of(tally: &Tally, seconds: f64, cpu_s: f64, points_unsent: u64) -> Report {
        let quantile = |quantile| tally.latency_us.value_at_quantile(quantile);
        Report {
            points_sent: tally.points_sent,
            points_acknowledged: tally.points_acknowledged,
            points_unanswered: tally.points_unanswered,
            points_unsent,
            points_per_s: ((tally.points_sent - tally.points_unanswered) as f64 / seconds).round(),
            seconds,
            cpu_s,
            requests: tally.requests,
            bytes: tally.bytes,
            latency_p50_us: quantile(0.5),
            latency_p90_us: quantile(0.9),
            latency_p99_us: quantile(0.99),
            latency_p999_us: quantile(0.999),
            latency_max_us: tally.latency_us.max(),
            points_refused: tally.points_refused.clone(),
            errors: tally.errors.clone(),
        }
    }

    /// Points that were answered or, where nobody answers, sent.
    pub fn points_through(&self) -> u64 {
        self.points_sent - self.points_unanswered
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} points sent, {} acknowledged, {:.2} s, {:.0} points/s",
            self.points_sent, self.points_acknowledged, self.seconds, self.points_per_s
        )?;
        for (status, points) in &self.points_refused {
            write!(f, ", {points} refused with {status}")?;
        }
        if self.points_unanswered > 0 {
            write!(f, ", {} unanswered", self.points_unanswered)?;
        }
        if self.points_unsent > 0 {
            write!(f, ", {} unsent", self.points_unsent)?;
        }
        write!(
            f,
            "; latency p50 {} p90 {} p99 {} p99.9 {} max {} us; own CPU {:.2} s",
            self.latency_p50_us,
            self.latency_p90_us,
            self.latency_p99_us,
            self.latency_p999_us,
            self.latency_max_us,
            self.cpu_s
        )?;
        for (why, count) in &self.errors {
            write!(f, "\n  {count} requests: {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_ends_in_one_sum() {
        let (mut first, mut second) = (Tally::new(), Tally::new());
        first.sent(10, 100);
        first.answered(10, 204, Duration::from_millis(2));
        first.sent(5, 50);
        first.answered(5, 503, Duration::from_millis(4));
        second.sent(3, 30);
        second.broke(3, "read: timed out".to_owned());
        first.add(&second);
        let report = Report::of(&first, 0.5, 0.1, 0);
        assert_eq!((report.points_sent, report.points_acknowledged, report.points_unanswered), (18, 10, 3));
        assert_eq!(report.points_refused, BTreeMap::from([(503, 5)]));
        assert_eq!((report.points_through(), report.bytes, report.requests), (15, 180, 3));
        assert!((report.points_per_s - 30.0).abs() < f64::EPSILON);
        assert!((4000..4010).contains(&report.latency_max_us), "{}", report.latency_max_us);
    }
}
