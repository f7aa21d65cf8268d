//! How fast lines become batches, each step against the last; and what a full parse would cost.
//!
//! Every shape of lines is measured in steps over the same bytes, throughput in bytes:
//!
//! | name | does |
//! |---|---|
//! | `newlines` | memchr finds every newline: the yardstick, about what reading the bytes once costs |
//! | `lines` | `Splitter` finds the lines: quotes and escapes count, unfinished lines carry over to the next frame |
//! | `slots` | `lines`, and `Router` finds each line's slot |
//! | `batches` | `Builder` does all of it and gathers one batch a group: what a write costs before it is sent |
//! | `points` | `lines`, and the full parser reads each, with its fields' names and types |
//! | `check` | what InfluxDB would answer to a batch of all the lines (which are copied into one piece first) |
//!
//! The run ends in a table of each shape and step: throughput, and its ratio to that of `newlines`. Only the ratios of
//! one run can be compared, since the machine is in every number:
//!
//! - `lines` is what InfluxDB's rules for line ends cost over a bare scan: near 1 without strings, less with them
//!   (`quoted`).
//! - `slots` against `lines` is the price of the slot key: least while neighbours share it, more where measurements take
//!   turns (`turns`) or each line hashes a rule's tags (`rule`).
//! - `batches` against `slots` is the price of gathering and of looking for each line's timestamp: about 2 for plain
//!   lines, whether ranges of the frames are kept (`neighbours`), copied line by line (`turns`) or get a stamp
//!   (`unstamped`).
//! - `points` is what routing saves by not parsing, `check` what a write that no replica can answer costs besides.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use memchr::memchr_iter;
use slotline::batch::{Batch, BatchLimits, Builder, ReplicaAnswer, Router, Stamps, check};
use slotline::lineprotocol::{Line, Precision, Splitter, point};
use slotline::topology::{GroupSpec, ReplicaSpec, RuleSpec, Spec, Topology, evenly};

const LINES: usize = 10_000;
const FRAME_BYTES: usize = 64 * 1024;
const LIMITS: BatchLimits = BatchLimits { points_max: 20_000, bytes_max: 1024 * 1024 };
const DB: &str = "telegraf";
const STAMP: &str = " 1700000000000000000";

/// Lines of one kind.
struct Shape {
    name: &'static str,
    line: fn(usize) -> String,
}

const SHAPES: &[Shape] = &[
    // Long runs of one measurement, as a collector sends them.
    Shape { name: "neighbours", line: |i| cpu("cpu", i / 500 % 20, i, STAMP) },
    // Measurements, and with them groups, in turn.
    Shape { name: "turns", line: |i| cpu("cpu", i % 20, i, STAMP) },
    Shape { name: "unstamped", line: |i| cpu("cpu", i / 500 % 20, i, "") },
    Shape { name: "quoted", line: logged },
    // A rule of two tags; the tags change from line to line.
    Shape { name: "rule", line: |i| cpu("ruled", i / 500 % 20, i, STAMP) },
];

fn cpu(measurement: &str, number: usize, i: usize, stamp: &str) -> String {
    let (host, core) = (i % 100, i % 16);
    format!(
        "{measurement}{number},host=web-{host:03},region=eu,cpu=cpu{core} \
         usage_user=12.{i},usage_system=3.{i},usage_idle=84.{i},usage_iowait=0.01{stamp}\n"
    )
}

fn logged(i: usize) -> String {
    format!(
        "syslog{},host=web-{:03},app=nginx severity=6i,message=\"GET /item?id={i}, said \\\"ok\\\" = 200\",took=0.0{i}{STAMP}\n",
        i / 500 % 20,
        i % 100
    )
}

fn topology() -> Arc<Topology> {
    let group = |id| {
        let (name, url) = (format!("g{id}a"), "http://h:1".to_owned());
        let (username, password, state) = (String::new(), String::new(), "serving".to_owned());
        GroupSpec { id, replicas: vec![ReplicaSpec { name, url, username, password, state }] }
    };
    let tags = ["host", "cpu"].map(str::to_owned).to_vec();
    let rules = vec![RuleSpec { db: DB.to_owned(), measurement: "/^ruled/".to_owned(), tags }];
    let spec = Spec { groups: vec![group(1), group(2), group(3)], slots: evenly(&[1, 2, 3]), rules };
    Arc::new(spec.build(1).expect("a sound topology"))
}

/// Hands every whole line of a body to `each`.
fn for_each_line(frames: &[Bytes], mut each: impl FnMut(&[u8])) {
    let mut splitter = Splitter::default();
    for frame in frames {
        let Some((carried, at)) = splitter.begin_frame(frame) else { continue };
        if at > 0 {
            each(&carried);
        }
        let mut lines = Splitter::lines(frame, at);
        while let Some((start, end)) = lines.next_range() {
            each(&frame[start..end]);
        }
        splitter.end_frame(&frame[lines.rest()..]);
    }
}

/// What is measured: a name, and how to do it.
type Step = (&'static str, fn(&[Bytes], &Arc<Topology>) -> usize);

/// The first is the yardstick.
const STEPS: &[Step] = &[
    ("newlines", newlines),
    ("lines", lines),
    ("slots", slots),
    ("batches", batches),
    ("points", points),
    ("check", checked),
];

fn newlines(frames: &[Bytes], _: &Arc<Topology>) -> usize {
    frames.iter().flat_map(|frame| memchr_iter(b'\n', frame)).fold(0, |sum, at| sum ^ at)
}

fn lines(frames: &[Bytes], _: &Arc<Topology>) -> usize {
    let mut bytes = 0;
    for_each_line(frames, |line| bytes += line.len());
    bytes
}

fn slots(frames: &[Bytes], topology: &Arc<Topology>) -> usize {
    let mut router = Router::new(topology.clone(), DB);
    let mut sum = 0;
    for_each_line(frames, |text| {
        if let Some(line) = router.read(text) {
            sum += router.slot(&line).index();
        }
    });
    sum
}

/// One stamp for all lines, as of a request.
fn stamps() -> Stamps {
    Stamps::same(Precision::Nanoseconds, 1_700_000_000_000_000_000)
}

fn batches(frames: &[Bytes], topology: &Arc<Topology>) -> usize {
    let mut builder = Builder::new(Router::new(topology.clone(), DB), stamps(), LIMITS);
    frames.iter().for_each(|frame| builder.frame(frame));
    black_box(builder.finish()).points as usize
}

fn points(frames: &[Bytes], _: &Arc<Topology>) -> usize {
    let mut points = 0;
    for_each_line(frames, |text| {
        let line = Line::read(text);
        points += usize::from(line.and_then(|line| Some((line.name(), point::fields(&line)?))).is_some());
    });
    points
}

fn checked(frames: &[Bytes], _: &Arc<Topology>) -> usize {
    let text = frames.concat();
    let batch = Batch { group: 0, bytes: text.len(), pieces: vec![text.into()], points: 0, open: false };
    let checked = check(&batch, Precision::Nanoseconds);
    assert_eq!(checked.answer, ReplicaAnswer::Stored);
    checked.good.map_or(0, |good| good.pieces.len())
}

/// How long one pass of each step took over one shape, in seconds, in the order of `STEPS`; `None`: not measured.
struct Row {
    shape: &'static str,
    bytes: usize,
    seconds: Vec<Option<f64>>,
}

fn measure(criterion: &mut Criterion, shape: &Shape, topology: &Arc<Topology>) -> Row {
    let body = (0..LINES).map(shape.line).collect::<String>();
    let frames: Vec<Bytes> = body.as_bytes().chunks(FRAME_BYTES).map(Bytes::copy_from_slice).collect();
    for step in [batches, points] {
        assert_eq!(step(&frames, topology), LINES, "{}: every line is a point", shape.name);
    }
    let mut group = criterion.benchmark_group(shape.name);
    group.throughput(Throughput::Bytes(body.len() as u64));
    let mut row = Row { shape: shape.name, bytes: body.len(), seconds: Vec::new() };
    for (name, step) in STEPS {
        let mut samples = Vec::new();
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|passes| {
                let taken = time(passes, || step(black_box(&frames), topology));
                samples.push(taken.as_secs_f64() / passes as f64);
                taken
            });
        });
        samples.sort_by(f64::total_cmp);
        row.seconds.push(samples.get(samples.len() / 2).copied());
    }
    group.finish();
    row
}

fn time(passes: u64, pass: impl Fn() -> usize) -> Duration {
    let start = Instant::now();
    for _ in 0..passes {
        black_box(pass());
    }
    start.elapsed()
}

fn print(rows: &[Row]) {
    println!("GB/s, and the ratio to {} (medians)\n", STEPS[0].0);
    let names = STEPS.iter().map(|(name, _)| format!("{name:>13}"));
    println!("{:10}{}", "", names.collect::<String>());
    for Row { shape, bytes, seconds } in rows {
        let cell = |own: &Option<f64>| match own.zip(seconds[0]) {
            Some((own, yardstick)) => format!("{:>7.2} {:>5.3}", *bytes as f64 / own / 1e9, yardstick / own),
            None => format!("{:>13}", "-"),
        };
        println!("{shape:10}{}", seconds.iter().map(cell).collect::<String>());
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let topology = topology();
    let rows: Vec<Row> = SHAPES.iter().map(|shape| measure(&mut criterion, shape, &topology)).collect();
    print(&rows);
    criterion.final_summary();
}
