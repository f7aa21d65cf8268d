//! `slotline spool` on spools that the library has filled.

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_lite::future::block_on;

use ::slotline::gate::parked_key;
use ::slotline::lineprotocol::Precision;
use ::slotline::spool::{DeadLetter, Queue, Record, Spools};

use support::*;

/// A configuration file with the replicas g1a and g1b, and its spools.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let replicas = [("g1a", 1001), ("g1b", 1002)];
        let replicas = replicas.map(|(name, port)| (name.to_owned(), format!("http://127.0.0.1:{port}")));
        let text = Config::new().group(&replicas).to_toml(&dir.path().join("data"));
        std::fs::write(dir.path().join("config.toml"), text).expect("a folder takes a file");
        Place { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("data/spool").join(name)
    }

    fn spools(&self) -> Arc<Spools> {
        let text = std::fs::read_to_string(self.dir.path().join("config.toml")).expect("it was written");
        let config = ::slotline::config::Config::parse(&text).expect("it is sound");
        Spools::open(&self.path(""), config.spool).expect("a folder can be made")
    }

    /// Spools with these records; their locks are free again.
    fn holding(self, records: &[(&str, Queue, Record)]) -> Place {
        let spools = self.spools();
        for (at, (replica, queue, record)) in records.iter().enumerate() {
            let spool = spools.of(replica).expect("it can be made");
            let appended = spool.append(*queue, record.clone(), 1_500_000_000_000 + at as u64);
            block_on(appended).expect("the thread answers").expect("there is room");
        }
        spools.all().iter().for_each(|spool| spools.release(spool.name()));
        self
    }

    #[track_caller]
    fn run(&self, args: &[&str], code: i32) -> Ended {
        let config = self.dir.path().join("config.toml");
        let config = config.to_str().expect("temporary paths are UTF-8");
        let ended = run(&[&["spool", args[0], "--config", config], &args[1..]].concat(), "");
        assert_eq!(ended.code, code, "{args:?}: {}", ended.said());
        ended
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Vec<serde_json::Value> {
        let ended = self.run(&[args, &["--json"]].concat(), 0);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.said()))
    }

    /// The lines and statements that wait for a replica.
    #[track_caller]
    fn waiting(&self, replica: &str) -> Vec<String> {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let shown = self.json(&["show", replica]);
        shown.iter().filter_map(|one| text(&one["lines"]).or_else(|| text(&one["statement"]))).collect()
    }
}

fn points(lines: &str) -> Record {
    Record::Points {
        db: "telegraf".into(),
        rp: String::new(),
        precision: Precision::Seconds,
        points: lines.lines().count() as u32,
        open: false,
        makes_database: false,
        lines: vec![Bytes::copy_from_slice(lines.as_bytes())],
    }
}

fn statement(text: &str) -> Record {
    Record::Statement { db: "telegraf".into(), rp: "week".into(), text: text.into() }
}

#[track_caller]
fn has(ended: &Ended, parts: &[&str]) {
    let said = ended.said();
    parts.iter().for_each(|part| assert!(said.contains(part), "{part:?} is not in:\n{said}"));
}

/// g1a holds lines and a statement, gone a line that is parked.
fn filled() -> Place {
    Place::new().holding(&[
        ("g1a", Queue::Main, points("cpu v=1 1\ncpu v=2 2\n")),
        ("g1a", Queue::Main, statement("DROP MEASUREMENT mem")),
        ("gone", Queue::Parked(7), points("disk v=1 1\n")),
        ("gone", Queue::Main, points("disk v=2 1\n")),
    ])
}

#[test]
fn what_waits_is_listed_and_shown() {
    let place = Place::new();
    has(&place.run(&["ls"], 0), &["nothing waits for any replica"]);
    assert!(place.json(&["ls"]).is_empty());
    has(&place.run(&["show", "g1a"], 2), &["no spool of a replica g1a", "there are none"]);

    let place = filled();
    let listed = place.run(&["ls"], 0);
    has(&listed, &["REPLICA", "g1a", "2017-07-14T02:40:00.000000000Z", "gone", "not in the topology"]);
    assert_eq!(listed.said().matches("not in the topology").count(), 1, "{}", listed.said());
    let rows = place.json(&["ls"]);
    let numbers =
        |row: usize| ["records", "points", "parked_points", "dead_letters"].map(|key| rows[row][key].as_u64());
    assert_eq!(numbers(0), [2, 2, 0, 0].map(Some));
    assert_eq!(numbers(1), [2, 2, 1, 0].map(Some));
    assert_eq!((&rows[0]["in_topology"], &rows[1]["in_topology"]), (&true.into(), &false.into()));

    assert_eq!(
        place.run(&["show", "g1a"], 0).stdout,
        "# 2017-07-14T02:40:00.000000000Z db=\"telegraf\" rp=\"\" precision=s points=2\ncpu v=1 1\ncpu v=2 2\n\
         # 2017-07-14T02:40:00.001000000Z db=\"telegraf\" rp=\"week\"\nDROP MEASUREMENT mem\n"
    );
    has(&place.run(&["show", "gone", "--limit", "1"], 0), &["parked", "disk v=1 1"]);
    assert_eq!(place.waiting("gone"), ["disk v=1 1\n", "disk v=2 1\n"]);
    has(&place.run(&["show", "other"], 2), &["no spool of a replica other", "g1a, gone"]);
}

#[test]
fn what_waits_can_be_moved() {
    let place = filled();
    has(&place.run(&["move", "gone", "typo"], 2), &["names no replica typo"]);
    has(&place.run(&["move", "gone", "gone"], 2), &["nothing to move"]);
    has(&place.run(&["move", "gone", "g1a"], 0), &["2 records, 2 points moved from gone to g1a"]);
    let all = ["cpu v=1 1\ncpu v=2 2\n", "DROP MEASUREMENT mem", "disk v=1 1\n", "disk v=2 1\n"];
    assert_eq!(place.waiting("g1a"), all);
    assert!(place.waiting("gone").is_empty());
    has(&place.run(&["move", "gone", "g1a"], 0), &["0 records"]);
    assert!(!place.run(&["ls"], 0).stdout.contains("gone"), "nothing is to be said of it");
}

#[test]
fn what_is_dropped_are_dead_letters() {
    let place = filled();
    has(&place.run(&["drop", "gone"], 2), &["2 points that wait for replica gone", "--yes"]);
    assert_eq!(place.waiting("gone").len(), 2);
    has(&place.run(&["drop", "gone", "--yes"], 0), &["2 records, 2 points of gone are dead letters now"]);
    assert!(place.waiting("gone").is_empty());
    let letters = place.json(&["dead", "gone"]);
    let texts =
        letters.iter().map(|one| ["replica", "reason", "lines"].map(|key| one[key].as_str().unwrap_or_default()));
    let reason = "dropped by an operator";
    assert_eq!(texts.collect::<Vec<_>>(), [["gone", reason, "disk v=1 1\n"], ["gone", reason, "disk v=2 1\n"]]);
    has(&place.run(&["dead", "--limit", "1"], 0), &["replica=gone", "reason=\"dropped by an operator\"", "disk v=2 1"]);
    assert_eq!(place.json(&["dead", "--limit", "1"]).len(), 1);
    assert!(place.json(&["dead", "g1a"]).is_empty());
    has(&place.run(&["ls"], 0), &["gone", "not in the topology"]);
}

#[test]
fn what_is_parked_can_be_dropped_alone() {
    let of = |db: &str, number: u32| match points(&format!("m v={number} {number}\n")) {
        Record::Points { rp, precision, points, open, makes_database, lines, .. } => {
            Record::Points { db: db.into(), rp, precision, points, open, makes_database, lines }
        }
        other => other,
    };
    let parked = |db: &str| Queue::Parked(parked_key(db));
    // Names with the same checksum share a log.
    let (one, same) = ("codding", "gnu");
    assert_eq!(parked_key(one), parked_key(same));
    let place = Place::new().holding(&[
        ("g1a", parked("a"), of("a", 1)),
        ("g1a", parked("b"), of("b", 2)),
        ("g1a", parked(one), of(one, 3)),
        ("g1a", parked(same), of(same, 4)),
        ("g1a", Queue::Main, of("c", 5)),
    ]);
    has(&place.run(&["drop", "g1a", "--db", "a"], 2), &["\"a\" that are parked for replica g1a", "--yes"]);
    has(&place.run(&["drop", "g1a", "--db", "a", "--yes"], 0), &["1 records, 1 points of g1a are dead letters now"]);
    has(&place.run(&["drop", "g1a", "--db", "c", "--yes"], 0), &["0 records"]);
    has(&place.run(&["drop", "g1a", "--db", one, "--yes"], 2), &["\"gnu\" lies in the same log", "--parked"]);
    assert_eq!(place.waiting("g1a").len(), 4);
    has(&place.run(&["drop", "g1a", "--parked", "--yes"], 0), &["3 records, 3 points"]);
    assert_eq!(place.waiting("g1a"), ["m v=5 5\n"]);
}

#[test]
fn what_a_running_proxy_holds_is_seen_and_left_alone() {
    let place = filled();
    let spools = place.spools();
    let spool = spools.of("gone").expect("its lock is free");
    for args in [&["move", "gone", "g1a"][..], &["drop", "gone", "--yes"]] {
        has(&place.run(args, 1), &["replica gone is in use by a running slotline", "stop that one first"]);
    }
    assert_eq!(place.waiting("gone").len(), 2);
    let entries = block_on(spool.read(Queue::Main, usize::MAX)).expect("the thread answers").expect("it can be read");
    let dead = vec![DeadLetter { record: entries[0].record.clone(), reason: "too old".into(), at_ms: 0 }];
    block_on(spool.consume(Queue::Main, entries[0].end, dead)).expect("the thread answers").expect("the disk is sound");
    assert_eq!((place.waiting("gone").len(), place.json(&["dead"]).len()), (1, 1));
}

#[test]
fn what_is_damaged_is_told() {
    let place = filled();
    let folder = std::fs::read_dir(place.path("g1a/main")).expect("it is there");
    let mut names = folder.map(|entry| entry.expect("it is there").path());
    let segment = names.find(|path| path.extension().is_some_and(|end| end == "seg")).expect("one");
    let mut bytes = std::fs::read(&segment).expect("it can be read");
    // In the lines of the first record.
    bytes[32 + 44 + 10] ^= 1;
    std::fs::write(&segment, bytes).expect("it can be written");
    let shown = place.run(&["show", "g1a"], 0);
    has(&shown, &[".seg:32: ", "cannot be read", "DROP MEASUREMENT mem"]);
    has(
        &place.run(&["move", "g1a", "g1b"], 0),
        &[":32 could not be read and are lost; 1 records of this spool", "1 records"],
    );
}
