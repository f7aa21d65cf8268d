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
    /// Acknowledged while this phase lasted, whenever they were due.
    pub points_acknowledged_meanwhile: u64,
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
            points_acknowledged_meanwhile: 0,
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
        self.points_acknowledged_meanwhile += other.points_acknowledged_meanwhile;
        for (&status, points) in &other.points_refused {
            *self.points_refused.entry(status).or_default() += points;
        }
        for (why, count) in &other.errors {
            *self.errors.entry(why.clone()).or_default() += count;
        }
        self.latency_us.add(&other.latency_us).expect("equal bounds");
    }
}

/// A tally for each phase, as they come.
#[derive(Default)]
pub struct Tallies(Vec<Tally>);

impl Tallies {
    pub fn of(&mut self, phase: usize) -> &mut Tally {
        while self.0.len() <= phase {
            self.0.push(Tally::new());
        }
        &mut self.0[phase]
    }

    pub fn add(&mut self, other: &Tallies) {
        for (phase, tally) in other.0.iter().enumerate() {
            self.of(phase).add(tally);
        }
    }

    pub fn sum(&self) -> Tally {
        self.0.iter().fold(Tally::new(), |mut sum, tally| {
            sum.add(tally);
            sum
        })
    }
}

impl From<Tally> for Tallies {
    fn from(tally: Tally) -> Tallies {
        Tallies(vec![tally])
    }
}

/// `points_sent` = `points_acknowledged` + all of `points_refused` + `points_unanswered` over HTTP; over TCP and UDP
/// nobody acknowledges.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub points_sent: u64,
    pub points_acknowledged: u64,
    pub points_unanswered: u64,
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

impl From<&Tally> for Outcome {
    fn from(tally: &Tally) -> Outcome {
        let quantile = |quantile| tally.latency_us.value_at_quantile(quantile);
        Outcome {
            points_sent: tally.points_sent,
            points_acknowledged: tally.points_acknowledged,
            points_unanswered: tally.points_unanswered,
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
}

/// Of one phase: the requests that were due in it.
#[derive(Debug, Serialize)]
pub struct PhaseReport {
    pub phase: String,
    pub seconds: f64,
    /// Points acknowledged while it lasted, those due before it too.
    pub acknowledged_per_s: f64,
    #[serde(flatten)]
    outcome: Outcome,
}

impl PhaseReport {
    #[allow(clippy::cast_precision_loss, reason = "points of a run are far below 2^52")]
    pub fn of(phase: String, tally: &Tally, length: Duration) -> PhaseReport {
        let seconds = length.as_secs_f64();
        let acknowledged_per_s = (tally.points_acknowledged_meanwhile as f64 / seconds.max(1e-9)).round();
        PhaseReport { phase, seconds, acknowledged_per_s, outcome: tally.into() }
    }
}

/// Of a whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub outcome: Outcome,
    pub points_unsent: u64,
    pub points_per_s: f64,
    pub seconds: f64,
    pub cpu_s: f64,
}

impl Report {
    #[allow(clippy::cast_precision_loss, reason = "points of a run are far below 2^52")]
    pub fn of(tally: &Tally, seconds: f64, cpu_s: f64, points_unsent: u64) -> Report {
        let points_per_s = ((tally.points_sent - tally.points_unanswered) as f64 / seconds).round();
        Report { outcome: tally.into(), points_unsent, points_per_s, seconds, cpu_s }
    }

    /// Points that were answered or, where nobody answers, sent.
    pub fn points_through(&self) -> u64 {
        self.outcome.points_sent - self.outcome.points_unanswered
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = &self.outcome;
        write!(
            f,
            "{} points sent, {} acknowledged, {:.2} s, {:.0} points/s",
            outcome.points_sent, outcome.points_acknowledged, self.seconds, self.points_per_s
        )?;
        for (status, points) in &outcome.points_refused {
            write!(f, ", {points} refused with {status}")?;
        }
        if outcome.points_unanswered > 0 {
            write!(f, ", {} unanswered", outcome.points_unanswered)?;
        }
        if self.points_unsent > 0 {
            write!(f, ", {} unsent", self.points_unsent)?;
        }
        write!(
            f,
            "; latency p50 {} p90 {} p99 {} p99.9 {} max {} us; own CPU {:.2} s",
            outcome.latency_p50_us,
            outcome.latency_p90_us,
            outcome.latency_p99_us,
            outcome.latency_p999_us,
            outcome.latency_max_us,
            self.cpu_s
        )?;
        for (why, count) in &outcome.errors {
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
        let outcome = &report.outcome;
        assert_eq!((outcome.points_sent, outcome.points_acknowledged, outcome.points_unanswered), (18, 10, 3));
        assert_eq!(outcome.points_refused, BTreeMap::from([(503, 5)]));
        assert_eq!((report.points_through(), outcome.bytes, outcome.requests), (15, 180, 3));
        assert!((report.points_per_s - 30.0).abs() < f64::EPSILON);
        assert!((4000..4010).contains(&outcome.latency_max_us), "{}", outcome.latency_max_us);
    }
    #[test]
    fn phases_are_told_apart_and_add_up() {
        let (mut first, mut second) = (Tallies::default(), Tallies::default());
        first.of(0).sent(10, 100);
        first.of(0).answered(10, 204, Duration::from_millis(2));
        first.of(2).points_acknowledged_meanwhile += 10;
        second.of(1).sent(5, 50);
        second.of(1).answered(5, 503, Duration::from_millis(8));
        first.add(&second);
        let report = |phases: &mut Tallies, phase| {
            let report = PhaseReport::of("p".to_owned(), phases.of(phase), Duration::from_secs(2));
            (report.outcome.points_sent, report.outcome.points_acknowledged, report.acknowledged_per_s)
        };
        assert_eq!([0, 1, 2].map(|phase| report(&mut first, phase)), [(10, 10, 0.0), (5, 0, 0.0), (0, 0, 5.0)]);
        let sum = first.sum();
        assert_eq!((sum.points_sent, sum.points_acknowledged, &sum.points_refused), (15, 10, &[(503, 5)].into()));
    }

    #[test]
    fn the_json_is_flat() {
        let mut tally = Tally::new();
        tally.sent(5, 50);
        tally.answered(5, 503, Duration::from_millis(8));
        let report = PhaseReport::of("down".to_owned(), &tally, Duration::from_secs(2));
        let json = serde_json::to_string(&report).expect("keys are strings and numbers");
        assert!(
            json.starts_with(r#"{"phase":"down","seconds":2.0,"acknowledged_per_s":0.0,"points_sent":5,"#),
            "{json}"
        );
        assert!(json.contains(r#""points_refused":{"503":5}"#), "{json}");
    }
}
