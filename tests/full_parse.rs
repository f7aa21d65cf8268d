//! What slotline says of a batch when no replica can be asked, against what a real InfluxDB says of it.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use slotline::batch::{Batch, BatchLimits, Batches, Builder, ReplicaAnswer, Router, Stamps, check, read_answer};
use slotline::lineprotocol::{Line, Precision};
use slotline::topology::{GroupSpec, ReplicaSpec, Spec, Topology, evenly};
use support::facts::assert_same;
use support::{Conn, Influxd, Request, facts::facts, random};

const PRECISIONS: [Precision; 6] = [
    Precision::Nanoseconds,
    Precision::Microseconds,
    Precision::Milliseconds,
    Precision::Seconds,
    Precision::Minutes,
    Precision::Hours,
];

/// Lines from which others are made. A field's first letter tells its type.
const LINES: &[&str] = &[
    "m f=1",
    "m,t=a f=1 5",
    "cpu,host=web-1,region=eu f=12.5,i=5i,b=true,s=\"x, y=z\" 1000",
    "cpu,region=eu,host=web-1 f=-1.5e+3 77",
    "m\\ n,t\\,u=a\\=b,v=\\\"w f\\ g=.5,s=\"a\\\"b\\\\\" 12",
    "m s=\"a\nb\",b=F",
    "m s=\"\",s2=\"a\"",
    "m i=9223372036854775807i,i2=-9223372036854775808i 9223372036854775806",
    "m f=1234567890123456789012345678.5,f2=1e308 -9223372036854775806",
    "m f=1 9223372036",
    "m,time=1 f=1 5",
    "m time=1 5",
    "m time=1,f=2 5",
    "m,a=1,b=2,c=3,d=4 f=1 5",
    "m s=\"a\"b=1, 5",
    "m f\\\\=1,f2=2 5",
    "m s=\"time=\",timer=1,time\\ =2 5",
];

/// What lines are changed with.
const PIECES: &[&str] = &[
    ",",
    "=",
    " ",
    "\"",
    "\\",
    "\t",
    "\0",
    "\r",
    "#",
    "-",
    "+",
    ".",
    "e",
    "E",
    "i",
    "u",
    "n",
    "N",
    "NaN",
    "t",
    "T",
    "true",
    "tru",
    "1",
    "0",
    "99999999999999999999",
    "1e400",
    "1e",
    "-i",
    "\\,",
    "\\=",
    "\\ ",
    "\\\\",
    "\\\"",
    ",t=a",
    ",t=b",
    ",time=1",
    ",time=1i",
    " time=1",
    ",f=1",
    ",s=\"x\"",
    "=1",
    "=\"",
    " 5",
    " -",
    " 5 5",
    "  ",
    "x",
    "\u{e9}",
    "=a=",
    ",,",
    "==",
    "\"\"",
    " f=1",
    ",=",
];

/// Bytes that are no text.
const NO_TEXT: &[u8] = b"\xff\xc3\xe2\x82";

fn mutated(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut line = LINES[random.usize(..LINES.len())].as_bytes().to_vec();
    for _ in 0..random.usize(..4) {
        let at = random.usize(..=line.len());
        let end = (at + random.usize(..4)).min(line.len());
        match random.u8(..8) {
            0 => drop(line.drain(at..end)),
            1 => line.insert(at, NO_TEXT[random.usize(..NO_TEXT.len())]),
            2 => line.truncate(at),
            3 => {
                let copied = line[at..end].to_vec();
                drop(line.splice(at..at, copied));
            }
            4 => drop(line.splice(at..end, PIECES[random.usize(..PIECES.len())].bytes())),
            _ => drop(line.splice(at..at, PIECES[random.usize(..PIECES.len())].bytes())),
        }
    }
    line
}

/// A body as it is, whatever it ends with.
fn raw(body: &[u8]) -> Batch {
    let pieces = vec![Bytes::copy_from_slice(body)];
    Batch { group: 0, bytes: body.len(), pieces, points: 1, open: false }
}

fn write(conn: &mut Conn, params: &str, body: &[u8]) -> ReplicaAnswer {
    let answer = conn.call(&Request::write(params, body));
    read_answer("influxd", answer.status, &answer.body)
}

fn quote(body: &[u8]) -> String {
    body.escape_ascii().to_string()
}

/// Each sent alone, to a retention policy that is not there: InfluxDB says so of a point, and stores nothing.
#[test]
fn lines_are_refused_in_influxdbs_words() {
    let influxd = Influxd::start();
    influxd.http().run("", "CREATE DATABASE db");
    let mut random = random();
    let mut conn = influxd.http().connect();
    let (mut points, mut refused) = (0, std::collections::BTreeMap::<String, usize>::new());
    let mut one = |line: &[u8], precision: Precision| {
        let own = check(&raw(line), precision);
        let params = format!("db=db&rp=none&precision={}", precision.as_str());
        let context = || format!("{} {precision:?}", quote(line));
        match (&own.answer, write(&mut conn, &params, line)) {
            // Nothing but comments and blanks.
            (ReplicaAnswer::Stored, _) if own.good.is_none() => {}
            (_, ReplicaAnswer::Refused { status: 500, error }) => {
                assert_eq!(error, "retention policy not found: none", "{}", context());
                points += 1;
                // Named `time`, or beside other lines: it could be read.
                let read = match &own.answer {
                    // Partly, or it would fail later.
                    ReplicaAnswer::Refused { status, error } => error.starts_with("partial write: ") || *status == 500,
                    answer => *answer == ReplicaAnswer::Stored,
                };
                assert!(read, "taken by InfluxDB, not by us: {}: {own:?}", context());
            }
            (answer, theirs) => {
                assert_eq!(*answer, theirs, "{}", context());
                assert!(own.good.is_none(), "{}", context());
                let ReplicaAnswer::Refused { error, .. } = theirs else { return };
                let reason = error.rsplit("': ").next().unwrap_or_default();
                let kind = reason.split(|c: char| c.is_ascii_digit() || c == '=').next().unwrap_or_default();
                *refused.entry(kind.to_owned()).or_default() += 1;
            }
        }
    };
    let long = |bytes: usize| "k".repeat(bytes);
    for line in [
        format!("m,t={} f=1", long(65527)),
        format!("m,t={} f=1", long(65528)),
        format!("m,t={} f=1", long(65532)),
        format!("m {}=1,f=1", long(65530)),
        format!("m f=1,{}=1", long(65531)),
        format!("m s=\"{}\",f=1", long(70_000)),
    ] {
        one(line.as_bytes(), Precision::Nanoseconds);
    }
    for _ in 0..4000 {
        one(&mutated(&mut random), PRECISIONS[random.usize(..PRECISIONS.len())]);
    }
    println!("{points} taken, refused: {refused:#?}");
    assert!(points > 500 && refused.len() > 15, "the lines are of all kinds");
}

fn one_group() -> Arc<Topology> {
    let (name, url) = ("a".to_owned(), "http://h:1".to_owned());
    let (username, password, state) = (String::new(), String::new(), "serving".to_owned());
    let replicas = vec![ReplicaSpec { name, url, username, password, state }];
    let spec = Spec { groups: vec![GroupSpec { id: 1, replicas }], slots: evenly(&[1]), rules: vec![] };
    Arc::new(spec.build(1).expect("a sound topology"))
}

/// As slotline gathers a request.
fn batches(body: &[u8]) -> Batches {
    let limits = BatchLimits { bytes_max: usize::MAX, points_max: usize::MAX };
    let stamps = Stamps::same(Precision::Nanoseconds, 77);
    let mut builder = Builder::new(Router::new(one_group(), "whole"), stamps, limits);
    builder.frame(&Bytes::copy_from_slice(body));
    builder.finish()
}

/// One server gets whole batches, the other what we find good of them: they hold the same.
#[test]
fn batches_are_answered_as_influxdb_does_and_their_good_lines_are_what_it_stores() {
    let (whole, good) = (Influxd::start(), Influxd::start());
    for server in [&whole, &good] {
        server.http().run("", "CREATE DATABASE db");
    }
    let mut random = random();
    let (mut to_whole, mut to_good) = (whole.http().connect(), good.http().connect());
    let (mut same, mut conflicts, mut failures) = (0, 0, 0);
    for _ in 0..200 {
        let mut body = Vec::new();
        for _ in 0..random.usize(1..8) {
            let mut line =
                if random.bool() { LINES[random.usize(..6)].as_bytes().to_vec() } else { mutated(&mut random) };
            // All of one of InfluxDB's time shards: it tells what it drops of one alone.
            line.retain(|byte| !b"789".contains(byte));
            // A new field whose name is no text makes 1.6.7 fail, or hide what it drops, until it knows the name.
            // Of two spellings of one measurement (`m=`, `m\=`), it may hide the points of one.
            let respelled = Line::read(&line).is_some_and(|line| line.raw_name().contains(&b'\\'));
            if std::str::from_utf8(&line).is_err() || respelled {
                continue;
            }
            body.extend(line);
            body.push(b'\n');
        }
        // An open end that is a point to InfluxDB would get its time from each server by itself: we refuse it.
        for batch in batches(&body).list.into_iter().filter(|batch| !batch.open) {
            let own = check(&batch, Precision::Nanoseconds);
            let theirs = write(&mut to_whole, "db=db", &batch.joined());
            let stored = own.good.as_ref().map(|good| write(&mut to_good, "db=db", &good.joined()));
            // Which type a field has, only a server can say; a batch that gives a new one two is refused whole.
            let is_conflict = |answer: &ReplicaAnswer| matches!(answer, ReplicaAnswer::Refused { error, .. } if error.contains("field type conflict"));
            if is_conflict(&theirs) || stored.as_ref().is_some_and(is_conflict) {
                conflicts += 1;
                continue;
            }
            // It took lines that it cannot store, and fails: so do we, and the rest is stored all the same.
            if let ReplicaAnswer::Failed(reason) = &theirs {
                assert!(reason.contains("answered 500: engine: unable to parse "), "{reason}: {}", quote(&body));
                assert!(
                    matches!(&own.answer, ReplicaAnswer::Refused { status: 500, error } if reason.ends_with(error.as_str()))
                );
                // Both shall hold the same.
                own.good.iter().for_each(|good| drop(write(&mut to_whole, "db=db", &good.joined())));
                failures += 1;
                continue;
            }
            same += 1;
            assert_eq!(own.answer, theirs, "{}", quote(&body));
            assert!(stored.is_none_or(|stored| stored == ReplicaAnswer::Stored), "not all good: {}", quote(&body));
        }
    }
    println!("{same} alike, {conflicts} with field type conflicts, {failures} at which InfluxDB fails");
    assert!(same > 50, "many batches can be compared");
    let held = |server: &Influxd| facts(server.http(), "db");
    assert_same("what got the good lines", &held(&good), &held(&whole));
}
