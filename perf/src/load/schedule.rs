//! Who sends what and when: one counter that all workers draw from. A unit is a request or a datagram.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a paced run may take beyond its time to send what was due in it.
const PACED_GRACE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct Limits {
    pub lines_per_unit: u64,
    pub points: Option<u64>,
    pub seconds: Option<Duration>,
    /// Points a second.
    pub rate: Option<f64>,
}

impl Limits {
    /// How many points there are to send, if that is known beforehand.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn points_max(&self) -> Option<u64> {
        let paced = self.rate.zip(self.seconds).map(|(rate, seconds)| (rate * seconds.as_secs_f64()).round() as u64);
        paced.into_iter().chain(self.points).min()
    }

    /// When a unit is due after the start.
    #[allow(clippy::cast_precision_loss, reason = "exact up to 2^52 points")]
    fn due(&self, unit: u64) -> Option<Duration> {
        self.rate.map(|rate| Duration::from_secs_f64((unit * self.lines_per_unit) as f64 / rate))
    }
}

/// What a worker is to send now.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    /// The first unit's number.
    pub unit: u64,
    /// Of all units together; the last unit of a run may be smaller than others.
    pub points: u64,
    /// Of a paced run.
    pub due: Option<Instant>,
}

pub struct Schedule {
    limits: Limits,
    start: Instant,
    points_max: Option<u64>,
    next: AtomicU64,
    /// After the start.
    stopped: OnceLock<Duration>,
}

impl Schedule {
    pub fn start(limits: Limits) -> Schedule {
        Schedule {
            points_max: limits.points_max(),
            limits,
            start: Instant::now(),
            next: AtomicU64::new(0),
            stopped: OnceLock::new(),
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn start_moment(&self) -> Instant {
        self.start
    }

    /// How long the run was: up to the last answer, or until it was stopped.
    pub fn length(&self) -> Duration {
        self.stopped.get().copied().unwrap_or_else(|| self.elapsed())
    }

    /// Ends the run before its time: nothing that is due later is handed over.
    pub fn stop(&self) {
        self.stopped.get_or_init(|| self.elapsed());
    }

    /// Takes `units` units, sleeps until the last of them is due and hands them over; `None` when the run is over.
    pub fn claim(&self, units: u64) -> Option<Claim> {
        if self.is_over() {
            return None;
        }
        let unit = self.next.fetch_add(units, Ordering::Relaxed);
        let points = self.points_of(unit, units)?;
        let due = self.limits.due(unit + units - 1).map(|due| self.start + due);
        if let Some(due) = due {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.stopped.get().is_some_and(|&stopped| due > self.start + stopped) {
                return None;
            }
        }
        Some(Claim { unit, points, due })
    }

    fn is_over(&self) -> bool {
        let grace = if self.limits.rate.is_some() { PACED_GRACE } else { Duration::ZERO };
        self.seconds().is_some_and(|seconds| self.elapsed() >= seconds + grace)
    }

    /// How long the run is, as far as that is known by now.
    fn seconds(&self) -> Option<Duration> {
        self.stopped.get().copied().into_iter().chain(self.limits.seconds).min()
    }

    /// How many points there are to send by now: a run that was stopped has fewer.
    fn points_max(&self) -> Option<u64> {
        let stopped = self.stopped.get().map(|&stopped| Limits { seconds: Some(stopped), ..self.limits.clone() });
        stopped.map_or(self.points_max, |limits| limits.points_max())
    }

    fn points_of(&self, unit: u64, units: u64) -> Option<u64> {
        let (first, points) = (unit * self.limits.lines_per_unit, units * self.limits.lines_per_unit);
        let left = self.points_max().map_or(points, |max| max.saturating_sub(first).min(points));
        (left > 0).then_some(left)
    }

    /// Points that were due or asked for, for which the time did not suffice.
    pub fn points_unsent(&self) -> u64 {
        let claimed = self.next.load(Ordering::Relaxed) * self.limits.lines_per_unit;
        self.points_max().map_or(0, |max| max.saturating_sub(claimed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { lines_per_unit: 50, points: None, seconds: None, rate: None }
    }

    #[test]
    fn the_last_unit_is_what_is_left() {
        let schedule = Schedule::start(Limits { points: Some(120), ..limits() });
        let points: Vec<u64> = std::iter::from_fn(|| schedule.claim(1)).map(|claim| claim.points).collect();
        assert_eq!(points, [50, 50, 20]);
        assert_eq!(schedule.points_unsent(), 0);
    }

    #[test]
    fn several_units_at_once_are_cut_too() {
        let schedule = Schedule::start(Limits { points: Some(220), ..limits() });
        assert_eq!(schedule.claim(2), Some(Claim { unit: 0, points: 100, due: None }));
        assert_eq!(schedule.claim(3), Some(Claim { unit: 2, points: 120, due: None }));
        assert_eq!(schedule.claim(3), None);
    }

    #[test]
    fn a_rate_spaces_the_units_and_bounds_their_number() {
        let seconds = Some(Duration::from_secs(2));
        let paced = Limits { rate: Some(1000.0), seconds, ..limits() };
        assert_eq!(paced.due(10), Some(Duration::from_millis(500)));
        assert_eq!(paced.points_max(), Some(2000));
        assert_eq!(Limits { points: Some(70), ..paced }.points_max(), Some(70));
    }

    #[test]
    fn a_stopped_run_hands_nothing_more_over() {
        let seconds = Some(Duration::from_secs(3600));
        let schedule = Schedule::start(Limits { rate: Some(50_000.0), seconds, ..limits() });
        assert!(schedule.claim(1).is_some());
        schedule.stop();
        let due = schedule.points_max().expect("a rate and a time");
        assert!(due < 50_000 * 3600, "{due}");
        // Those that were due before the stop, and no more.
        while let Some(claim) = schedule.claim(1) {
            assert!(claim.unit * 50 < due, "unit {} of {due} points", claim.unit);
        }
        assert_eq!(schedule.points_unsent(), 0);
        assert!(schedule.length() < schedule.elapsed());
    }

    #[test]
    fn a_run_out_of_time_says_what_it_left() {
        let limits = Limits { points: Some(120), seconds: Some(Duration::from_nanos(1)), ..limits() };
        let schedule = Schedule::start(limits);
        while schedule.elapsed().is_zero() {}
        assert_eq!(schedule.claim(1), None);
        assert_eq!(schedule.points_unsent(), 120);
    }
}
