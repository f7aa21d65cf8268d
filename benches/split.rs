//! How fast lines become batches, each step against the last.
//!
//! Every shape of lines is measured four times over the same bytes, throughput in bytes:
//!
//! | name | does |
//! |---|---|
//! | `newlines` | memchr finds every newline: the yardstick, about what reading the bytes once costs |
//! | `lines` | `Splitter` finds the lines: quotes and escapes count, unfinished lines carry over to the next frame |
//! | `slots` | `lines`, and `Router` finds each line's slot |
//! | `batches` | `Builder` does all of it and gathers one batch a group: what a write costs before it is sent |
//!
//! Read them as ratios between the throughputs of one run, since the machine is in every number:
//!
//! - `newlines` : `lines` is what InfluxDB's rules for line ends cost over a bare scan: near 1 without strings, several
//!   times with them (`quoted`), since each quote and backslash is a stop.
//! - `lines` : `slots` is the price of the slot key: below 2 while neighbours share it, some 5 where each line hashes
//!   its measurement anew (`turns`), some 20 where it hashes a rule's tags too (`rule`).
//! - `slots` : `batches` is the price of gathering and of looking for each line's timestamp: about 2 for plain lines,
//!   whether ranges of the frames are kept (`neighbours`), copied line by line (`turns`) or get a stamp (`unstamped`).
//! - `newlines` : `batches` is the whole distance to the speed of reading bytes.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use memchr::memchr_iter;
use slotline::batch::{BatchLimits, Builder, Router, Stamps};
use slotline::lineprotocol::{Precision, Splitter};
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

fn newlines(frames: &[Bytes]) -> usize {
    frames.iter().flat_map(|frame| memchr_iter(b'\n', frame)).fold(0, |sum, at| sum ^ at)
}

fn lines(frames: &[Bytes]) -> usize {
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

fn batches(frames: &[Bytes], topology: &Arc<Topology>) -> u64 {
    let mut builder = Builder::new(
        Router::new(topology.clone(), DB),
        Stamps::same(Precision::Nanoseconds, 1_700_000_000_000_000_000),
        LIMITS,
    );
    frames.iter().for_each(|frame| builder.frame(frame));
    black_box(builder.finish()).points
}

fn split(criterion: &mut Criterion) {
    let topology = topology();
    for shape in SHAPES {
        let body = (0..LINES).map(shape.line).collect::<String>();
        let frames: Vec<Bytes> = body.as_bytes().chunks(FRAME_BYTES).map(Bytes::copy_from_slice).collect();
        assert_eq!(batches(&frames, &topology), LINES as u64, "{}: every line is a point", shape.name);
        let mut group = criterion.benchmark_group(shape.name);
        group.throughput(Throughput::Bytes(body.len() as u64));
        let id = BenchmarkId::from_parameter;
        group.bench_function(id("newlines"), |bencher| bencher.iter(|| newlines(black_box(&frames))));
        group.bench_function(id("lines"), |bencher| bencher.iter(|| lines(black_box(&frames))));
        group.bench_function(id("slots"), |bencher| bencher.iter(|| slots(black_box(&frames), &topology)));
        group.bench_function(id("batches"), |bencher| bencher.iter(|| batches(black_box(&frames), &topology)));
        group.finish();
    }
}

criterion_group!(benches, split);
criterion_main!(benches);
