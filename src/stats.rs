//! What a shard counts, readable from other threads. Most of it has one writer, so that counting is cheap; the text of
//! `/metrics` is made in `admin`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use hdrhistogram::Histogram;

use crate::gate::{Gate, Parked};

/// A number; most only grow.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn sub(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one shard counts.
#[derive(Default)]
pub struct ShardStats {
    pub points_received_http: Counter,
    pub points_received_tcp: Counter,
    pub points_received_udp: Counter,
    pub points_refused: Counter,
    pub points_unavailable: Counter,
    pub writes_too_large: Counter,
    pub writes_cut_short: Counter,
    pub writes_bad_gzip: Counter,
    pub writes_timed_out: Counter,
    pub writes_no_memory: Counter,
    pub divergences: Counter,
    pub queries_refused: Counter,
    pub queries_failed_over: Counter,
    /// Of requests whose text was parsed before, and texts that are no longer kept parsed.
    pub queries_parsed_before: Counter,
    pub queries_parses_forgotten: Counter,
    pub queries_limited_rows: Counter,
    pub queries_limited_series: Counter,
    pub queries_limited_bytes: Counter,
    pub queries_limited_time: Counter,
    pub queries_limited_concurrency: Counter,
    pub queries_limited_gathers: Counter,
    /// Those that gather now, and those that waited for others to end.
    pub queries_gathering: Counter,
    pub queries_gathered_later: Counter,
    /// Of queries, or groups' parts of one: answered by a replica with a backlog, and refused for want of another.
    pub queries_stale: Counter,
    pub queries_stale_refused: Counter,
    pub connections: Counter,
    pub connections_open: Counter,
    pub connections_refused: Counter,
    pub connections_handed_over: Counter,
    pub tcp_lines_too_long: Counter,
    pub tcp_lines_unfinished: Counter,
    pub tcp_idle: Counter,
    pub tcp_no_memory: Counter,
    pub stream_resends: Counter,
    pub inflight_bytes: Counter,
    /// Of the topology that the shard applies; 0: none yet.
    pub epoch: Counter,
    pub write_seconds: Latency,
    pub query_seconds: Latency,
    /// Of queries' tasks.
    pub query_turn_seconds: Latency,
}

/// What is counted of one UDP listener, by all shards.
#[derive(Default)]
pub struct UdpStats {
    pub datagrams: Counter,
    pub bytes: Counter,
    /// By the kernel, for want of room in the receive buffer.
    pub dropped_kernel: Counter,
    /// Longer than the memory for them.
    pub dropped_truncated: Counter,
    /// Of datagrams whose last line ended inside quotes or behind a backslash: that line.
    pub lines_unfinished: Counter,
}

/// What waits on disk for one replica.
#[derive(Default)]
pub struct SpoolStats {
    pub bytes: Counter,
    pub records: Counter,
    pub points: Counter,
    /// Of `bytes`, `records` and `points`: what an operator must act on before it can be taken.
    pub parked_points: Counter,
    /// Of `bytes`: what is not parked.
    pub main_bytes: Counter,
    /// Of `bytes`: what was taken back since a log was last empty.
    pub void_bytes: Counter,
    /// Whether replay has nearly reached the end of the main log: nothing goes there before it must then, so that there is
    /// an end.
    pub ends: Counter,
    /// When the oldest of it was accepted, in milliseconds since 1970; 0: nothing waits.
    pub since_ms: Counter,
    /// Since the process began.
    pub points_appended: Counter,
    pub points_replayed: Counter,
    pub points_dead: Counter,
    pub syncs: Counter,
    pub refused_full: Counter,
    pub failures: Counter,
    pub records_damaged: Counter,
    pub dead_bytes: Counter,
    /// Bytes a second, lately.
    pub replay_rate: Counter,
    /// Bytes a second that came in beside them.
    pub arriving: Counter,
    /// Whether an operator must act before all of it can be taken.
    pub blocked: Counter,
}

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

/// What is known of one replica, by all shards.
pub struct ReplicaStats {
    pub name: String,
    pub points_acked: Counter,
    pub requests: Counter,
    pub request_failures: Counter,
    pub queue_refusals: Counter,
    /// Of live writes that it answered: from sending to the answer.
    pub writes: Durations,
    /// Whether its last health check, or write, went well: UNKNOWN before the first.
    up: AtomicU8,
    pub spool: Arc<SpoolStats>,
    pub gate: Arc<Gate>,
    pub parked: Arc<Parked>,
    /// How long its gate may be held, by how long its writes take.
    pub hold_ms: Counter,
    /// Until when, by `backend`'s clock, a request may still be carried out whose connection broke.
    pub unknown_until_ms: Counter,
    /// When a request was cut that the replica may carry out whenever it goes on, by the same clock; 0: never.
    pub cut_ms: Counter,
    /// X-Influxdb-Version and X-Influxdb-Build of its last answer to a ping.
    pub version: ArcSwapOption<(String, String)>,
}

/// What is the same for all replicas of a name, whatever their address.
#[derive(Clone, Default)]
pub struct Lasting {
    pub spool: Arc<SpoolStats>,
    pub gate: Arc<Gate>,
    pub parked: Arc<Parked>,
}

impl ReplicaStats {
    pub fn new(name: &str, lasting: Lasting) -> Arc<ReplicaStats> {
        let Lasting { spool, gate, parked } = lasting;
        Arc::new(ReplicaStats {
            name: name.to_owned(),
            points_acked: Counter::default(),
            requests: Counter::default(),
            request_failures: Counter::default(),
            queue_refusals: Counter::default(),
            writes: Durations::default(),
            up: AtomicU8::new(UNKNOWN),
            spool,
            gate,
            parked,
            hold_ms: Counter::default(),
            unknown_until_ms: Counter::default(),
            // What an earlier process has left on its way is not known.
            cut_ms: Counter(AtomicU64::new(1)),
            version: ArcSwapOption::empty(),
        })
    }

    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed) == UP
    }

    /// It was asked, and did not answer. One look: between two a new replica may get its first answer, and then look as if
    /// it were neither new nor up.
    pub fn is_down(&self) -> bool {
        self.up.load(Ordering::Relaxed) == DOWN
    }

    /// Whether this is news.
    pub fn set_up(&self, up: bool) -> bool {
        let state = if up { UP } else { DOWN };
        self.up.swap(state, Ordering::Relaxed) != state
    }
}

/// Upper bounds of the latency buckets, in seconds.
pub const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How long things took, since the process began.
#[derive(Default)]
pub struct Durations {
    buckets: [Counter; BUCKETS.len()],
    pub count: Counter,
    pub sum_us: Counter,
}

impl Durations {
    pub fn record(&self, took: Duration) {
        if let Some(bucket) = BUCKETS.iter().position(|bound| took.as_secs_f64() <= *bound) {
            self.buckets[bucket].add(1);
        }
        self.count.add(1);
        self.sum_us.add(microseconds(took));
    }

    /// How many took at most the i-th bound.
    pub fn at_most(&self, bucket: usize) -> u64 {
        self.buckets[..=bucket].iter().map(Counter::get).sum()
    }
}

fn microseconds(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// Latencies of one shard.
pub struct Latency {
    pub durations: Durations,
    /// The last minute, as of the last `Recorder::publish`.
    minute: ArcSwap<Histogram<u64>>,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { durations: Durations::default(), minute: ArcSwap::from_pointee(histogram()) }
    }
}

impl Latency {
    pub fn last_minute(&self) -> Arc<Histogram<u64>> {
        self.minute.load_full()
    }
}

/// 1 us to 10 minutes, two digits.
pub fn histogram() -> Histogram<u64> {
    // The bounds are constants for which it cannot fail; a failure would be seen by every test.
    Histogram::new_with_bounds(1, 600_000_000, 2).expect("constant bounds")
}

/// A shard's own side of a `Latency`: keeps the windows of the last minute.
pub struct Recorder {
    stats: Arc<ShardStats>,
    which: fn(&ShardStats) -> &Latency,
    windows: RefCell<Windows>,
}

struct Windows {
    /// `slots[current]` is being filled.
    slots: [Histogram<u64>; 6],
    current: usize,
    since: Instant,
    /// Something was recorded, or forgotten, since they were published.
    changed: bool,
    published: Instant,
}

const WINDOW: Duration = Duration::from_secs(10);
/// To add the windows up takes a tenth of a millisecond, and the caches that work had.
const PUBLISHED_EVERY: Duration = Duration::from_secs(1);

impl Recorder {
    pub fn new(stats: &Arc<ShardStats>, which: fn(&ShardStats) -> &Latency, now: Instant) -> Recorder {
        let slots = std::array::from_fn(|_| histogram());
        let windows = Windows { slots, current: 0, since: now, changed: false, published: now };
        Recorder { stats: stats.clone(), which, windows: RefCell::new(windows) }
    }

    pub fn record(&self, took: Duration) {
        (self.which)(&self.stats).durations.record(took);
        let mut windows = self.windows.borrow_mut();
        let current = windows.current;
        windows.slots[current].saturating_record(microseconds(took));
        windows.changed = true;
    }

    /// Lets other threads see the last minute, up to a second late; call it every now and then.
    pub fn publish(&self, now: Instant) {
        let mut windows = self.windows.borrow_mut();
        if now.duration_since(windows.published) < PUBLISHED_EVERY {
            return;
        }
        while now.duration_since(windows.since) >= WINDOW {
            windows.since += WINDOW;
            windows.current = (windows.current + 1) % windows.slots.len();
            let current = windows.current;
            windows.slots[current].reset();
            windows.changed = true;
        }
        if !std::mem::take(&mut windows.changed) {
            return;
        }
        windows.published = now;
        let mut minute = histogram();
        // All have the same bounds, so adding cannot fail.
        for slot in &windows.slots {
            let _ = minute.add(slot);
        }
        (self.which)(&self.stats).minute.store(Arc::new(minute));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minute_forgets() {
        let start = Instant::now();
        let stats = Arc::new(ShardStats::default());
        let recorder = Recorder::new(&stats, |stats| &stats.write_seconds, start);
        recorder.record(Duration::from_millis(3));
        recorder.publish(start + Duration::from_secs(50));
        let seen = stats.write_seconds.last_minute();
        assert_eq!(seen.len(), 1);
        recorder.record(Duration::from_millis(3));
        recorder.publish(start + Duration::from_millis(50_900));
        assert_eq!(stats.write_seconds.last_minute().len(), 1, "published a moment before");
        recorder.publish(start + Duration::from_secs(51));
        assert_eq!(stats.write_seconds.last_minute().len(), 2);
        assert!((2_900..3_100).contains(&seen.value_at_quantile(0.5)));
        recorder.publish(start + Duration::from_secs(61));
        assert_eq!(stats.write_seconds.last_minute().len(), 1);
        recorder.publish(start + Duration::from_secs(112));
        assert_eq!(stats.write_seconds.last_minute().len(), 0);
        let durations = &stats.write_seconds.durations;
        assert_eq!((durations.count.get(), durations.sum_us.get()), (2, 6_000));
        assert_eq!((durations.at_most(2), durations.at_most(3)), (0, 2));
    }
}
