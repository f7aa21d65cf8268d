//! The write path allocates nothing per line: counted with an allocator of its own.
//!
//! Two bodies of the same shape, one four times the other, go through `batch::Builder` in frames of the same size; what
//! the longer one allocates beyond the shorter, spread over its additional lines, must be next to nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use slotline::batch::{BatchLimits, Builder, Router, Stamps};
use slotline::lineprotocol::Precision;
use slotline::topology::{GroupSpec, ReplicaSpec, RuleSpec, Spec, Topology, evenly};

const FEW_LINES: usize = 10_000;
const MANY_LINES: usize = 40_000;
/// What a socket's buffer yields at once.
const FRAME_BYTES: usize = 64 * 1024;
/// One stamp for all lines, as of a request.
fn stamps() -> Stamps {
    Stamps::same(Precision::Seconds, 1_700_000_000_000_000_000)
}

const LIMITS: BatchLimits = BatchLimits { points_max: 20_000, bytes_max: 1024 * 1024 };
const GROUPS: u32 = 3;

/// Counts what its own thread asks of the system's allocator, growth in place included: tests run side by side.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every call goes to the system's allocator as it came; counting touches one cell that needs no memory and no
// destructor of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn topology() -> Arc<Topology> {
    let group = |id| {
        let (name, url) = (format!("g{id}a"), "http://h:1".to_owned());
        let (username, password, state) = (String::new(), String::new(), "serving".to_owned());
        GroupSpec { id, replicas: vec![ReplicaSpec { name, url, username, password, state }] }
    };
    let rule = |measurement: &str, tags: &[&str]| RuleSpec {
        db: "db".to_owned(),
        measurement: measurement.to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    };
    let ids: Vec<u32> = (1..=GROUPS).collect();
    let rules = vec![rule("spread", &["host", "region"]), rule("/^wild/", &["host"])];
    let spec = Spec { groups: ids.iter().copied().map(group).collect(), slots: evenly(&ids), rules };
    Arc::new(spec.build(1).expect("a sound topology"))
}

/// How many allocations the batches of a body take, from its first frame to the last batch.
fn allocations(lines: usize, line: fn(usize) -> String) -> u64 {
    let body: Bytes = (0..lines).map(line).collect::<String>().into_bytes().into();
    // Each frame has its own buffer, as those of a socket do.
    let frames: Vec<Bytes> = body.chunks(FRAME_BYTES).map(Bytes::copy_from_slice).collect();
    let mut builder = Builder::new(Router::new(topology(), "db"), stamps(), LIMITS);
    let before = ALLOCATIONS.get();
    frames.iter().for_each(|frame| builder.frame(frame));
    let batches = black_box(builder.finish());
    let taken = ALLOCATIONS.get() - before;
    assert_eq!(batches.points, lines as u64, "every line is a point");
    taken
}

/// Allocations of a longer body beyond those of a shorter one, a line.
fn per_line(name: &str, [few, many]: [usize; 2], line: fn(usize) -> String) -> f64 {
    let (for_few, for_many) = (allocations(few, line), allocations(many, line));
    let per_line = (for_many as f64 - for_few as f64) / (many - few) as f64;
    println!("{name}: {for_few} for {few} lines, {for_many} for {many}: {per_line:.5} a line");
    per_line
}

/// Allocations a line that the length of a body may cost. What is left goes by the byte and not by the line: a frame
/// takes one to share its buffer with slices; the line that spans two frames takes two to be put together and, between
/// ranges that are not copied, two for a chunk of its own; a chunk of copied lines (up to 128 KiB) takes two, and those
/// of a new batch begin small again; lists of pieces, runs and batches double. With frames of 64 KiB that is five or
/// six for over 1,000 lines, here 0.002 to 0.004 a line.
const PER_LINE_MAX: f64 = 0.01;

/// A name, and the line of a number. Measurements `m…` go by name alone, `spread` and `wild…` by a rule with tags.
type Shape = (&'static str, fn(usize) -> String);

const SHAPES: &[Shape] = &[
    ("one measurement", |i| format!("m,host=h{} usage=0.{i},idle=9.5 {}\n", i % 100, time(i))),
    ("long runs of a measurement", |i| format!("m{},host=h{} usage=0.{i} {}\n", i / 150 % 50, i % 100, time(i))),
    ("short runs of a measurement", |i| format!("m{},host=h{} usage=0.{i} {}\n", i / 10 % 50, i % 100, time(i))),
    ("measurements in turn", |i| format!("m{},host=h{} usage=0.{i} {}\n", i % 50, i % 100, time(i))),
    ("without timestamp", |i| format!("m{},host=h{} usage=0.{i}\n", i % 50, i % 100)),
    ("every other without timestamp", |i| match i % 2 {
        0 => format!("m,host=h{} usage=0.{i}\n", i % 100),
        _ => format!("m,host=h{} usage=0.{i} {}\n", i % 100, time(i)),
    }),
    ("strings", |i| format!("m{},host=h{} text=\"a, b = \\\"{i}\\\"\nnext\",n=1i {}\n", i % 7, i % 100, time(i))),
    ("strings without timestamp", |i| format!("m{},host=h{} text=\"a, b = \\\"{i}\\\"\nnext\",n=1i\n", i % 7, i % 100)),
    ("rule with two tags", |i| format!("spread,host=h{},region=r{} usage=0.{i} {}\n", i % 1000, i % 3, time(i))),
    ("rule by regex", |i| format!("wild{},host=h{} usage=0.{i} {}\n", i % 20, i % 1000, time(i))),
    ("rule without timestamp", |i| format!("spread,host=h{},region=r{} usage=0.{i}\n", i % 1000, i % 3)),
    ("escapes outside the slot key", |i| format!("spread,a=\\ {i},host=h{} usage=0.{i} {}\n", i % 1000, time(i))),
    ("escaped names in turn", |i| format!("with\\ space{} usage=0.{i} {}\n", i % 50, time(i))),
    ("escaped values of both tags", |i| {
        format!("spread,host=h\\ {},region=r\\ {} usage=0.{i} {}\n", i % 1000, i % 3, time(i))
    }),
    ("escaped name, the neighbour's", |i| format!("with\\ space,host=h{} usage=0.{i} {}\n", i % 1000, time(i))),
];

fn time(i: usize) -> usize {
    1_700_000_000 + i
}

#[test]
fn lines_allocate_nothing() {
    let costs = SHAPES.iter().map(|(name, line)| (name, per_line(name, [FEW_LINES, MANY_LINES], *line)));
    let dear: Vec<_> = costs.filter(|(_, cost)| *cost >= PER_LINE_MAX).collect();
    assert!(dear.is_empty(), "more than {PER_LINE_MAX} allocations a line: {dear:?}");
}

/// The exception: as many names as the router remembers, each once; by then it has.
const REMEMBERED_BY: usize = 5 * FEW_LINES;

#[test]
fn distinct_measurements_are_remembered_up_to_a_limit() {
    let lines = [REMEMBERED_BY, 2 * REMEMBERED_BY];
    let beyond = per_line("a measurement a line", lines, |i| format!("wild{i},host=h usage=0.{i} {}\n", time(i)));
    assert!(beyond < PER_LINE_MAX, "{beyond} a line beyond the first {REMEMBERED_BY} measurements");
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    let mut list = black_box(Vec::<u8>::with_capacity(1));
    list.reserve(black_box(4096));
    assert_eq!(ALLOCATIONS.get() - before, 2, "one for the list, one for its growth");
    black_box(list);
}
