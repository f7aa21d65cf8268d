//! How fast a log is replayed: pauses that grow while a replica does not take anything, a slow start once it does, and a
//! cap. Pure: time comes in as durations.

use std::time::Duration;

/// The first pause after a failure.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Replay begins at this part of the cap.
const SLOW_START: u64 = 16;
/// So long at one rate before it doubles.
const STEP: Duration = Duration::from_secs(1);
/// A chunk is what the rate allows in this time: sending a long one keeps the core, and with it live writes, waiting.
const CHUNKS_A_SECOND: u64 = 256;

pub struct Pace {
    pause_max: Duration,
    rate_max: u64,
    pause: Duration,
    /// Bytes a second.
    rate: u64,
    /// At this rate without a failure.
    steady: Duration,
}

impl Pace {
    pub fn new(pause_max: Duration, rate_max: u64) -> Pace {
        let rate = (rate_max / SLOW_START).max(1);
        Pace { pause_max, rate_max, pause: PAUSE_FIRST, rate, steady: Duration::ZERO }
    }

    /// Nothing was taken: how long to pause. `jitter` is from 0 to 1, so that proxies do not come all at once.
    pub fn failed(&mut self, jitter: f64) -> Duration {
        let pause = self.pause.min(self.pause_max);
        self.pause = (self.pause * 2).min(self.pause_max);
        self.rate = (self.rate_max / SLOW_START).max(1);
        self.steady = Duration::ZERO;
        pause.mul_f64(0.5 + jitter / 2.0)
    }

    /// So many bytes were taken within `took`: how long to pause.
    pub fn took(&mut self, bytes: u64, took: Duration) -> Duration {
        self.pause = PAUSE_FIRST;
        let due = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
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
        usize::try_from(self.rate / CHUNKS_A_SECOND).unwrap_or(usize::MAX).clamp(1, bytes_max)
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
        assert_eq!(pace.chunk(usize::MAX) as u64, 100_000 / CHUNKS_A_SECOND);
        assert_eq!(
            pace.took(1_000_000, Duration::from_secs(100)),
            Duration::ZERO,
            "a slow replica is not slowed further"
        );
    }
}
