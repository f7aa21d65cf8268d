//! The text of `/metrics`. A metric of a shard or a replica is one row of a table here.

use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary,
};
use prometheus::{Encoder, TextEncoder};

use crate::net::panics;
use crate::spool::Stranger;
use crate::stats::{self, BUCKETS, Durations, Latency, ReplicaStats, ShardStats, SpoolStats, UdpStats};
use crate::topology::LineTarget;

use super::{ControlStats, Process};

/// Metric, help, label (name and value, empty: none), value of one shard. Shards are added up; rows of one metric stand
/// together.
type ShardRow = (&'static str, &'static str, (&'static str, &'static str), fn(&ShardStats) -> u64);

const SHARD_COUNTERS: [ShardRow; 32] = [
    ("slotline_points_received_total", "Lines received, blanks and comments left out.", ("protocol", "http"), |s| {
        s.points_received_http.get()
    }),
    ("slotline_points_received_total", "", ("protocol", "tcp"), |s| s.points_received_tcp.get()),
    ("slotline_points_received_total", "", ("protocol", "udp"), |s| s.points_received_udp.get()),
    ("slotline_points_rejected_total", "Points of batches that were not stored whole.", ("reason", "refused"), |s| {
        s.points_refused.get()
    }),
    ("slotline_points_rejected_total", "", ("reason", "unavailable"), |s| s.points_unavailable.get()),
    ("slotline_writes_rejected_total", "Writes refused whole, by reason.", ("reason", "too_large"), |s| {
        s.writes_too_large.get()
    }),
    ("slotline_writes_rejected_total", "", ("reason", "cut_short"), |s| s.writes_cut_short.get()),
    ("slotline_writes_rejected_total", "", ("reason", "bad_encoding"), |s| s.writes_bad_gzip.get()),
    ("slotline_writes_rejected_total", "", ("reason", "timed_out"), |s| s.writes_timed_out.get()),
    ("slotline_writes_rejected_total", "", ("reason", "no_memory"), |s| s.writes_no_memory.get()),
    ("slotline_divergences_total", "Writes about which the replicas of a group disagreed.", ("", ""), |s| {
        s.divergences.get()
    }),
    ("slotline_queries_refused_total", "Queries answered with an error of the proxy's own.", ("", ""), |s| {
        s.queries_refused.get()
    }),
    (
        "slotline_queries_failed_over_total",
        "Replicas that did not answer a query, so that the next was asked.",
        ("", ""),
        |s| s.queries_failed_over.get(),
    ),
    (
        "slotline_queries_stale_total",
        "Queries, or groups' parts of one, answered by a replica that has still to take points.",
        ("", ""),
        |s| s.queries_stale.get(),
    ),
    (
        "slotline_queries_stale_refused_total",
        "Queries, or groups' parts of one, refused because no complete replica could answer.",
        ("", ""),
        |s| s.queries_stale_refused.get(),
    ),
    (
        "slotline_queries_parsed_before_total",
        "Queries whose text was kept parsed, be it with other times or other values in quotes.",
        ("", ""),
        |s| s.queries_parsed_before.get(),
    ),
    (
        "slotline_queries_parses_forgotten_total",
        "Texts of queries that are no longer kept parsed (query.texts_bytes_max).",
        ("", ""),
        |s| s.queries_parses_forgotten.get(),
    ),
    ("slotline_queries_limited_total", "Queries that reached a limit of [query].", ("limit", "concurrency"), |s| {
        s.queries_limited_concurrency.get()
    }),
    ("slotline_queries_limited_total", "", ("limit", "gathers"), |s| s.queries_limited_gathers.get()),
    ("slotline_queries_limited_total", "", ("limit", "time"), |s| s.queries_limited_time.get()),
    ("slotline_queries_limited_total", "", ("limit", "rows"), |s| s.queries_limited_rows.get()),
    ("slotline_queries_limited_total", "", ("limit", "series"), |s| s.queries_limited_series.get()),
    ("slotline_queries_limited_total", "", ("limit", "bytes"), |s| s.queries_limited_bytes.get()),
    (
        "slotline_queries_gathered_later_total",
        "SELECTs that waited because query.gathers_max others gathered points of several groups.",
        ("", ""),
        |s| s.queries_gathered_later.get(),
    ),
    ("slotline_connections_total", "Client connections accepted.", ("", ""), |s| s.connections.get()),
    ("slotline_connections_refused_total", "Client connections over limits.connections_max.", ("", ""), |s| {
        s.connections_refused.get()
    }),
    ("slotline_connections_handed_over_total", "Connections given to a shard that had fewer.", ("", ""), |s| {
        s.connections_handed_over.get()
    }),
    ("slotline_tcp_closed_total", "Line protocol connections that we closed.", ("reason", "line_too_long"), |s| {
        s.tcp_lines_too_long.get()
    }),
    ("slotline_tcp_closed_total", "", ("reason", "idle"), |s| s.tcp_idle.get()),
    ("slotline_tcp_closed_total", "", ("reason", "no_memory"), |s| s.tcp_no_memory.get()),
    (
        "slotline_stream_resends_total",
        "Batches over TCP and UDP sent again because neither a replica nor its spool took them.",
        ("", ""),
        |s| s.stream_resends.get(),
    ),
    ("slotline_tcp_lines_unfinished_total", "Last lines of streams dropped for want of a newline.", ("", ""), |s| {
        s.tcp_lines_unfinished.get()
    }),
];

/// Metric, help, reason label (empty: none), value of one UDP listener.
type UdpRow = (&'static str, &'static str, &'static str, fn(&UdpStats) -> u64);

const UDP: [UdpRow; 5] = [
    ("slotline_udp_datagrams_total", "Datagrams received.", "", |u| u.datagrams.get()),
    ("slotline_udp_bytes_total", "Their bytes.", "", |u| u.bytes.get()),
    (
        "slotline_udp_dropped_total",
        "Datagrams lost: in the kernel's buffer (joined ones count as one), or cut off.",
        "kernel",
        |u| u.dropped_kernel.get(),
    ),
    ("slotline_udp_dropped_total", "", "truncated", |u| u.dropped_truncated.get()),
    ("slotline_udp_lines_unfinished_total", "Lines dropped that would swallow the next datagram's.", "", |u| {
        u.lines_unfinished.get()
    }),
];

/// Metric, help, kind, value.
type ControlRow = (&'static str, &'static str, MetricType, fn(&ControlStats) -> u64);

const CONTROL: [ControlRow; 6] = [
    ("slotline_zookeeper_connected", "Whether ZooKeeper answers.", MetricType::GAUGE, |c| {
        u64::from(c.connected.load(Ordering::Relaxed))
    }),
    ("slotline_topology_refused_total", "Topology documents refused.", MetricType::COUNTER, |c| {
        c.refused_topologies.get()
    }),
    ("slotline_udp_document_refused_total", "Documents of UDP listeners refused.", MetricType::COUNTER, |c| {
        c.refused_udp.get()
    }),
    (
        "slotline_topology_epoch_not_risen_total",
        "Topologies applied although their epoch did not rise.",
        MetricType::COUNTER,
        |c| c.epochs_not_risen.get(),
    ),
    (
        "slotline_topology_confirmed_seconds_ago",
        "When ZooKeeper last held the topology in force here.",
        MetricType::GAUGE,
        |c| c.confirmed_ago().as_secs(),
    ),
    (
        "slotline_topology_unconfirmed",
        "Whether that is longer ago than cluster.confirm_within.",
        MetricType::GAUGE,
        |c| u64::from(c.is_unconfirmed()),
    ),
];

/// Metric, help, what a document was refused for. Nothing is shown once a good one was taken.
type RefusalRow = (&'static str, &'static str, fn(&ControlStats) -> &ArcSwap<String>);

const REFUSALS: [RefusalRow; 2] = [
    ("slotline_topology_refusal", "Why ZooKeeper's topology is not the one in force.", |c| &c.topology_refusal),
    ("slotline_udp_document_refusal", "Why ZooKeeper's UDP listeners are not those in force.", |c| &c.udp_refusal),
];
/// A label that is longer is cut.
const REASON_CHARS_MAX: usize = 500;

const SHARD_GAUGES: [ShardRow; 3] = [
    ("slotline_connections", "Client connections open.", ("", ""), |s| s.connections_open.get()),
    ("slotline_queries_gathering", "SELECTs that gather points of several groups.", ("", ""), |s| {
        s.queries_gathering.get()
    }),
    ("slotline_inflight_bytes", "Bodies, and lines over TCP and UDP, held in memory.", ("", ""), |s| {
        s.inflight_bytes.get()
    }),
];

type ReplicaRow = (&'static str, &'static str, MetricType, fn(&ReplicaStats) -> u64);

const REPLICAS: [ReplicaRow; 5] = [
    ("slotline_points_acked_total", "Points that the replica has stored.", MetricType::COUNTER, |r| {
        r.points_acked.get()
    }),
    ("slotline_backend_requests_total", "Write requests sent.", MetricType::COUNTER, |r| r.requests.get()),
    ("slotline_backend_failures_total", "Write requests that failed.", MetricType::COUNTER, |r| {
        r.request_failures.get()
    }),
    (
        "slotline_backend_queue_refusals_total",
        "Batches that found their lane full and went into the spool.",
        MetricType::COUNTER,
        |r| r.queue_refusals.get(),
    ),
    ("slotline_backend_up", "Whether the replica answers.", MetricType::GAUGE, |r| u64::from(r.is_up())),
];

/// Metric, help, kind, value of one replica's spool at a moment (milliseconds since 1970).
type SpoolRow = (&'static str, &'static str, MetricType, fn(&SpoolStats, u64) -> f64);

const SPOOLS: [SpoolRow; 17] = [
    ("slotline_spool_bytes", "What waits on disk for the replica.", MetricType::GAUGE, |s, _| s.bytes.get() as f64),
    ("slotline_spool_points", "Points of it.", MetricType::GAUGE, |s, _| s.points.get() as f64),
    (
        "slotline_spool_parked_points",
        "Points of it for a database or retention policy that the replica lacks.",
        MetricType::GAUGE,
        |s, _| s.parked_points.get() as f64,
    ),
    ("slotline_spool_age_seconds", "How long the oldest of it has waited.", MetricType::GAUGE, |s, now_ms| {
        match s.since_ms.get() {
            0 => 0.0,
            since_ms => now_ms.saturating_sub(since_ms) as f64 / 1e3,
        }
    }),
    ("slotline_spool_blocked", "Whether an operator must act; the log says how.", MetricType::GAUGE, |s, _| {
        s.blocked.get() as f64
    }),
    ("slotline_spool_replay_bytes_per_second", "How fast it is replayed.", MetricType::GAUGE, |s, _| {
        s.replay_rate.get() as f64
    }),
    (
        "slotline_spool_eta_seconds",
        "When it is replayed, at that rate and with what comes meanwhile; NaN while it does not get less.",
        MetricType::GAUGE,
        |s, _| match (s.bytes.get(), s.replay_rate.get().saturating_sub(s.arriving.get())) {
            (0, _) => 0.0,
            (_, 0) => f64::NAN,
            (bytes, rate) => bytes as f64 / rate as f64,
        },
    ),
    (
        "slotline_spool_appended_points_total",
        "Points that came to wait, those that were taken back too.",
        MetricType::COUNTER,
        |s, _| s.points_appended.get() as f64,
    ),
    ("slotline_spool_replayed_points_total", "Points that the replica took late.", MetricType::COUNTER, |s, _| {
        s.points_replayed.get() as f64
    }),
    (
        "slotline_spool_dead_points_total",
        "Points that InfluxDB refused for good: see `slotline spool dead`.",
        MetricType::COUNTER,
        |s, _| s.points_dead.get() as f64,
    ),
    ("slotline_spool_dead_bytes", "The file of these.", MetricType::GAUGE, |s, _| s.dead_bytes.get() as f64),
    ("slotline_spool_syncs_total", "Syncs to disk.", MetricType::COUNTER, |s, _| s.syncs.get() as f64),
    ("slotline_spool_full_total", "Batches refused because the spool is full.", MetricType::COUNTER, |s, _| {
        s.refused_full.get() as f64
    }),
    ("slotline_spool_failures_total", "Failures of the disk.", MetricType::COUNTER, |s, _| s.failures.get() as f64),
    (
        "slotline_spool_damaged_records_total",
        "Records that could not be read from disk.",
        MetricType::COUNTER,
        |s, _| s.records_damaged.get() as f64,
    ),
    ("slotline_spool_records", "Batches and statements that wait.", MetricType::GAUGE, |s, _| s.records.get() as f64),
    (
        "slotline_spool_void_bytes",
        "Of the bytes: what was taken back; from a sixteenth of spool.bytes_max on, writes wait for the disk behind the peers.",
        MetricType::GAUGE,
        |s, _| s.void_bytes.get() as f64,
    ),
];

/// Name of the summary, name of the histogram, help, which.
type LatencyRow = (&'static str, &'static str, &'static str, fn(&ShardStats) -> &Latency);

const LATENCIES: [LatencyRow; 3] = [
    ("slotline_write_seconds", "slotline_write_duration_seconds", "Writes, from head to answer.", |s| &s.write_seconds),
    ("slotline_query_seconds", "slotline_query_duration_seconds", "Queries, from head to the answer's head.", |s| {
        &s.query_seconds
    }),
    (
        "slotline_query_turn_seconds",
        "slotline_query_turn_duration_seconds",
        "For how long at a stretch queries keep a core from everything else.",
        |s| &s.query_turn_seconds,
    ),
];

/// Everything, in Prometheus' text format.
pub fn text(process: &Process) -> String {
    let mut families = Vec::new();
    let rows = SHARD_COUNTERS.iter().map(|row| (row, MetricType::COUNTER));
    for ((name, help, (label, value), read), kind) in
        rows.chain(SHARD_GAUGES.iter().map(|row| (row, MetricType::GAUGE)))
    {
        let sum = process.shards.iter().map(|shard| read(shard)).sum::<u64>();
        let labels = if label.is_empty() { vec![] } else { vec![(*label, *value)] };
        add(&mut families, name, help, kind, metric(kind, sum as f64, &labels));
    }
    add_udp(&mut families, process);
    add_udp_targets(&mut families, process);
    for (name, help, kind, read) in CONTROL {
        if let Some(control) = &process.control {
            add(&mut families, name, help, kind, metric(kind, read(control) as f64, &[]));
        }
    }
    for (name, help, refusal) in REFUSALS {
        let Some(reason) = process.control.as_ref().map(|control| refusal(control).load_full()) else { continue };
        if !reason.is_empty() {
            let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
            let metric = metric(MetricType::GAUGE, 1.0, &[("reason", &reason)]);
            add(&mut families, name, help, MetricType::GAUGE, metric);
        }
    }
    let snapshot = process.snapshot.load_full();
    for (name, help, kind, read) in REPLICAS {
        let Some(snapshot) = &snapshot else { break };
        for replica in snapshot.topology.replicas() {
            let Some(stats) = snapshot.replicas.get(&replica.name) else { continue };
            let labels = [("backend", replica.name.as_str())];
            add(&mut families, name, help, kind, metric(kind, read(stats) as f64, &labels));
        }
    }
    for replica in snapshot.iter().flat_map(|snapshot| snapshot.topology.replicas()) {
        let stats = snapshot.as_ref().and_then(|snapshot| snapshot.replicas.get(&replica.name));
        let Some(stats) = stats else { continue };
        let metric = labelled(histogram(&[&stats.writes]), &[("backend", &replica.name)]);
        let (name, help) =
            ("slotline_backend_write_duration_seconds", "Live writes, from sending to the replica's answer.");
        add(&mut families, name, help, MetricType::HISTOGRAM, metric);
    }
    add_spools(&mut families, process);
    add_backlogs(&mut families, process);
    let process_gauges = [
        ("slotline_topology_epoch", "Epoch of the topology in force on every shard; 0: none.", process.applied_epoch()),
        ("slotline_draining", "Whether the proxy is shutting down.", u64::from(process.is_draining())),
    ];
    for (name, help, value) in process_gauges {
        add(&mut families, name, help, MetricType::GAUGE, metric(MetricType::GAUGE, value as f64, &[]));
    }
    let counted = metric(MetricType::COUNTER, panics() as f64, &[]);
    add(&mut families, "slotline_panics_total", "Tasks that panicked.", MetricType::COUNTER, counted);
    for (summary_name, histogram_name, help, which) in LATENCIES {
        let latencies: Vec<&Latency> = process.shards.iter().map(|shard| which(shard)).collect();
        add(&mut families, summary_name, help, MetricType::SUMMARY, summary(&latencies));
        add(&mut families, histogram_name, help, MetricType::HISTOGRAM, histogram(&durations(&latencies)));
    }
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
        tracing::error!(%error, "metrics could not be printed");
    }
    String::from_utf8(text).unwrap_or_default()
}

fn add_spools(families: &mut Vec<MetricFamily>, process: &Process) {
    let (logs, strangers) = (process.logs.all(), process.logs.strangers());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let closed = |stranger: &Stranger| !logs.iter().any(|log| log.spool.name() == stranger.name);
    for (name, help, kind, read) in SPOOLS {
        for log in &logs {
            let labels = [("backend", log.spool.name())];
            add(families, name, help, kind, metric(kind, read(log.spool.stats(), now_ms), &labels));
        }
        // A gauge of what nobody takes shows that it is there.
        for stranger in strangers.iter().filter(|stranger| kind == MetricType::GAUGE && closed(stranger)) {
            let stats = SpoolStats::default();
            stats.bytes.set(stranger.bytes);
            stats.records.set(stranger.records);
            stats.points.set(stranger.points);
            stats.since_ms.set(stranger.since_ms);
            stats.blocked.set(1);
            let labels = [("backend", stranger.name.as_str())];
            add(families, name, help, kind, metric(kind, read(&stats, now_ms), &labels));
        }
    }
    for log in &logs {
        let state = match (log.gate.is_open(), log.spool.stats().replay_rate.get()) {
            (true, _) => "direct",
            (false, 0) => "spooling",
            (false, _) => "draining",
        };
        let labels = [("backend", log.spool.name()), ("state", state)];
        let help = "How writes reach the replica: directly, not now (spooling), or behind what is replayed (draining).";
        let metric = metric(MetricType::GAUGE, 1.0, &labels);
        add(families, "slotline_backend_state", help, MetricType::GAUGE, metric);
    }
}

fn add_backlogs(families: &mut Vec<MetricFamily>, process: &Process) {
    const HELP: &str = "Other proxies that hold points which the replica has still to take.";
    let Some(snapshot) = process.snapshot.load_full() else { return };
    let backlogs = process.backlogs.load();
    for replica in snapshot.topology.replicas() {
        let count = backlogs.get(&replica.name).map_or(0, Vec::len);
        let metric = metric(MetricType::GAUGE, count as f64, &[("backend", &replica.name)]);
        add(families, "slotline_replica_backlog_proxies", HELP, MetricType::GAUGE, metric);
    }
}

fn add_udp(families: &mut Vec<MetricFamily>, process: &Process) {
    for (name, help, reason, read) in UDP {
        for udp in process.udp.load().iter() {
            let listener = udp.port.address.to_string();
            let mut labels = vec![("listener", listener.as_str())];
            if !reason.is_empty() {
                labels.push(("reason", reason));
            }
            add(
                families,
                name,
                help,
                MetricType::COUNTER,
                metric(MetricType::COUNTER, read(&udp.stats) as f64, &labels),
            );
        }
    }
}

fn add_udp_targets(families: &mut Vec<MetricFamily>, process: &Process) {
    for udp in process.udp.load().iter() {
        let (address, LineTarget { db, rp, precision }) = (udp.port.address.to_string(), &udp.listener.target);
        let (precision, spread) = (precision.as_str(), udp.listener.spread.as_str());
        let labels = [("listener", &*address), ("db", db), ("rp", rp), ("precision", precision), ("spread", spread)];
        let metric = metric(MetricType::GAUGE, 1.0, &labels);
        add(families, "slotline_udp_listener", "What the UDP listeners are told.", MetricType::GAUGE, metric);
    }
}

/// Adds a metric to its family, which is the last one or a new one.
fn add(families: &mut Vec<MetricFamily>, name: &str, help: &str, kind: MetricType, metric: Metric) {
    match families.last_mut() {
        Some(last) if last.name() == name => last.mut_metric().push(metric),
        _ => {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family.set_metric(vec![metric]);
            families.push(family);
        }
    }
}

fn labelled(mut metric: Metric, labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    metric.set_label(labels.iter().map(pair).collect());
    metric
}

fn metric(kind: MetricType, value: f64, labels: &[(&str, &str)]) -> Metric {
    let mut metric = labelled(Metric::default(), labels);
    if kind == MetricType::GAUGE {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    } else {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    }
    metric
}

fn count_and_sum(durations: &[&Durations]) -> (u64, f64) {
    let count = durations.iter().map(|durations| durations.count.get()).sum();
    let sum_us: u64 = durations.iter().map(|durations| durations.sum_us.get()).sum();
    (count, sum_us as f64 / 1e6)
}

/// The last minute's quantiles over all shards.
fn summary(latencies: &[&Latency]) -> Metric {
    let mut minute = stats::histogram();
    for latency in latencies {
        // All have the same bounds, so adding cannot fail.
        let _ = minute.add(&*latency.last_minute());
    }
    let quantile = |q: f64| {
        let mut quantile = Quantile::default();
        quantile.set_quantile(q);
        let seconds = minute.value_at_quantile(q) as f64 / 1e6;
        quantile.set_value(if minute.is_empty() { f64::NAN } else { seconds });
        quantile
    };
    let mut summary = Summary::default();
    let (count, sum) = count_and_sum(&durations(latencies));
    summary.set_quantile([0.5, 0.9, 0.99, 0.999, 1.0].map(quantile).into());
    summary.set_sample_count(count);
    summary.set_sample_sum(sum);
    let mut metric = Metric::default();
    metric.set_summary(summary);
    metric
}

fn durations<'a>(latencies: &[&'a Latency]) -> Vec<&'a Durations> {
    latencies.iter().map(|latency| &latency.durations).collect()
}

fn histogram(durations: &[&Durations]) -> Metric {
    let bucket = |(i, bound): (usize, &f64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(durations.iter().map(|durations| durations.at_most(i)).sum());
        bucket
    };
    let mut histogram = Histogram::default();
    let (count, sum) = count_and_sum(durations);
    histogram.set_bucket(BUCKETS.iter().enumerate().map(bucket).collect());
    histogram.set_sample_count(count);
    histogram.set_sample_sum(sum);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}
