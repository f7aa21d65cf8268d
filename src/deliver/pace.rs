//! How fast a log is replayed: pauses that grow while a replica does not take anything, a slow start once it does, and a
//! cap on how much of the backlog goes, beside as much as comes in meanwhile. Pure: time comes in as durations.

use std::time::Duration;

/// The first pause after a failure.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Replay begins at this part of the cap.
const SLOW_START: u64 = 16;
/// So long at one rate before it doubles.
const STEP: Duration = Duration::from_secs(1);
/// A chunk is what the speed allows in this time. Long ones keep the core, and with it live writes, waiting; short ones cost
/// more turns and more syncs of what comes in between.
const CHUNKS_A_SECOND: usize = 128;
/// What comes in is seen over about this time.
const ARRIVALS: Duration = Duration::from_secs(1);

pub struct Pace {
    pause_max: Duration,
    rate_max: u64,
    pause: Duration,
    /// Bytes a second of the backlog.
    rate: u64,
    /// Bytes a second that come in.
    arriving: f64,
    /// At this rate without a failure.
    steady: Duration,
}

impl Pace {
    pub fn new(pause_max: Duration, rate_max: u64) -> Pace {
        let rate = (rate_max / SLOW_START).max(1);
        Pace { pause_max, rate_max, pause: PAUSE_FIRST, rate, arriving: 0.0, steady: Duration::ZERO }
    }

    /// Nothing was taken: how long to pause. `jitter` is from 0 to 1, so that proxies do not come all at once.
    pub fn failed(&mut self, jitter: f64) -> Duration {
        let pause = self.pause.min(self.pause_max);
        self.pause = (self.pause * 2).min(self.pause_max);
        self.rate = (self.rate_max / SLOW_START).max(1);
        self.steady = Duration::ZERO;
        pause.mul_f64(0.5 + jitter / 2.0)
    }

    /// So many bytes came in within that time.
    pub fn came(&mut self, bytes: u64, within: Duration) {
        let seconds = within.as_secs_f64().max(1e-6);
        let weight = (seconds / ARRIVALS.as_secs_f64()).min(1.0);
        self.arriving += (bytes as f64 / seconds - self.arriving) * weight;
    }

    /// Bytes a second that come in, lately.
    pub fn arriving(&self) -> u64 {
        self.arriving as u64
    }

    /// Bytes a second to send: with a cap below what comes in, a log would never be empty.
    fn speed(&self) -> f64 {
        self.rate as f64 * (1.0 + self.arriving / self.rate_max.max(1) as f64)
    }

    /// So many bytes were taken within `took`: how long to pause.
    pub fn took(&mut self, bytes: u64, took: Duration) -> Duration {
        self.pause = PAUSE_FIRST;
        let due = Duration::from_secs_f64(bytes as f64 / self.speed());
        let pause = due.saturating_sub(took);
        self.steady += took + pause;
        if self.steady >= STEP {
            self.steady = Duration::ZERO;
            self.rate = self.rate.saturating_mul(2).min(self.rate_max);
        }
        pause
    }

    /// How many bytes to send next, at most `bytes_max`.
    pub fn chunk(&self, bytes_max: usize) -> usize {
        (self.speed() as usize / CHUNKS_A_SECOND).clamp(1, bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over() {
        let mut pace = Pace::new(Duration::from_millis(300), 1 << 20);
        let pauses: Vec<u128> = (0..5).map(|_| pace.failed(1.0).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 300, 300]);
        assert_eq!(pace.failed(0.0).as_millis(), 150);
        pace.took(1, Duration::ZERO);
        assert_eq!(pace.failed(1.0).as_millis(), 50);
    }

    #[test]
    fn the_rate_doubles_up_to_its_cap_and_falls_after_a_failure() {
        let mut pace = Pace::new(Duration::from_secs(1), 1_600_000);
        let mut rates = Vec::new();
        for _ in 0..7 {
            let mut waited = Duration::ZERO;
            let mut sent = 0;
            while waited < STEP {
                let bytes = pace.chunk(usize::MAX) as u64;
                waited += pace.took(bytes, Duration::ZERO);
                sent += bytes;
            }
            rates.push((sent as f64 / waited.as_secs_f64()).round() as u64);
        }
        let thousands: Vec<u64> = rates.iter().map(|rate| (rate + 500) / 1000).collect();
        assert_eq!(thousands, [100, 200, 400, 800, 1600, 1600, 1600]);
        pace.failed(0.5);
        assert_eq!(pace.chunk(usize::MAX), 100_000 / CHUNKS_A_SECOND);
        assert_eq!(
            pace.took(1_000_000, Duration::from_secs(100)),
            Duration::ZERO,
            "a slow replica is not slowed further"
        );
    }

    #[test]
    fn what_comes_in_is_replayed_beside_the_backlog() {
        let mut pace = Pace::new(Duration::from_secs(1), 1_600_000);
        for _ in 0..6 {
            pace.took(1, STEP);
        }
        assert_eq!(pace.took(16_000, Duration::ZERO).as_micros(), 10_000);
        // Within a second or two it is known what comes.
        for _ in 0..500 {
            pace.came(32_000, Duration::from_millis(10));
        }
        assert!((3_150_000..=3_200_000).contains(&pace.arriving()), "{}", pace.arriving());
        assert_eq!(pace.took(48_000, Duration::ZERO).as_millis(), 10);
        assert_eq!(pace.chunk(usize::MAX) / 1000, 4_800 / CHUNKS_A_SECOND);
        pace.failed(0.5);
        assert_eq!(pace.took(3_000, Duration::ZERO).as_millis(), 10, "a slow start, of both");
        for _ in 0..500 {
            pace.came(0, Duration::from_millis(10));
        }
        assert!(pace.arriving() < 30_000);
    }
}
