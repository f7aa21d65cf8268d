//! Fuzz bodies of routing and of the replicas' answers; see `src/fuzz.rs`.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::Stamps;
use super::{
    BatchLimits, Batches, Builder, ClientAnswer, ReplicaAnswer, Router, merge, merge_replicas, read_answer,
    refused_points,
};
use crate::lineprotocol::{Precision, naive, split};
use crate::topology::{GroupSpec, ReplicaSpec, RuleSpec, SlotId, SlotKey, Spec, Topology, evenly};

const DB: &str = "db";

/// Between the parts of an input.
const CUT: u8 = 0xff;

/// Three groups. By its rules `ruled` goes by two tags, whatever begins with `re` by one, `plain…` and all other
/// measurements by name.
static TOPOLOGY: LazyLock<Arc<Topology>> = LazyLock::new(|| {
    let group = |id| {
        let (name, url) = (format!("g{id}"), "http://h:1".to_owned());
        let (username, password, state) = (String::new(), String::new(), "serving".to_owned());
        GroupSpec { id, replicas: vec![ReplicaSpec { name, url, username, password, state }] }
    };
    let rule = |db: &str, measurement: &str, tags: &[&str]| {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        RuleSpec { db: db.to_owned(), measurement: measurement.to_owned(), tags }
    };
    let rules = vec![
        rule(DB, "/^plain/", &[]),
        rule("other", "ruled", &["x"]),
        rule("*", "ruled", &["host", "a b"]),
        rule(DB, "/^re/", &["t=1"]),
    ];
    let spec = Spec { groups: vec![group(1), group(2), group(3)], slots: evenly(&[1, 2, 3]), rules };
    Arc::new(spec.build(1).expect("a sound topology"))
});

/// Every line's slot, found beside its neighbours, is the one that it has alone by the slow twin.
pub fn routes(input: &[u8]) {
    let topology = &*TOPOLOGY;
    for db in [DB, "elsewhere"] {
        let mut router = Router::new(topology.clone(), db);
        for text in split(input) {
            let line = router.read(text);
            let slow = slow_slot(topology, db, text);
            assert_eq!(line.map(|line| router.slot(&line)), slow, "{db} \"{}\"", text.escape_ascii());
        }
    }
}

fn slow_slot(topology: &Topology, db: &str, line: &[u8]) -> Option<SlotId> {
    let series = naive::series(line)?;
    let mut key = SlotKey::database(db);
    key.push(&series.name);
    let tags = topology.rule(db, &series.name).map_or(&[][..], |rule| &rule.tags);
    tags.iter().for_each(|tag| key.push(series.tag(tag)));
    Some(key.slot())
}

/// A body, then what replicas say of its batches: each answer three digits and a body, said in turn.
pub fn answers(input: &[u8]) {
    let mut parts = input.split(|byte| *byte == CUT);
    let batches = batches(parts.next().unwrap_or_default());
    let said: Vec<ReplicaAnswer> = parts.map(read).collect();
    let mut said = said.iter().cycle();
    let mut merged = Vec::new();
    for batch in &batches.list {
        let replicas: Vec<ReplicaAnswer> = (0..2).map_while(|_| said.next().cloned()).collect();
        if replicas.is_empty() {
            return;
        }
        let (answer, divergent) = merge_replicas(&replicas);
        replicas_are_heard(&replicas, &answer, divergent);
        if let ReplicaAnswer::Refused { status, error } = &answer {
            assert!(refused_points(batch, *status, error) <= u64::from(batch.points));
        }
        merged.push(answer);
    }
    client_hears_all(&merged, &merge(&batches, &merged));
}

fn batches(body: &[u8]) -> Batches {
    let limits = BatchLimits { bytes_max: 64, points_max: 3 };
    let mut builder = Builder::new(Router::new(TOPOLOGY.clone(), DB), Stamps::same(Precision::Nanoseconds, 77), limits);
    builder.frame(&Bytes::copy_from_slice(body));
    let batches = builder.finish();
    let points: u64 = batches.list.iter().map(|batch| u64::from(batch.points)).sum();
    let lines: u64 = batches.runs.iter().map(|run| u64::from(run.lines)).sum();
    assert_eq!((points, lines), (batches.points, batches.points));
    batches
}

fn read(said: &[u8]) -> ReplicaAnswer {
    let (digits, body) = said.split_at(said.len().min(3));
    let status = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(400);
    let answer = read_answer("r", status, body);
    assert_eq!(answer == ReplicaAnswer::Stored, (200..300).contains(&status));
    match &answer {
        ReplicaAnswer::Stored => {}
        ReplicaAnswer::Refused { status: own, .. } => assert!(*own == status && [400, 404, 413, 500].contains(own)),
        ReplicaAnswer::Spooled => panic!("no replica says that"),
        ReplicaAnswer::Failed(reason) => assert!(reason.contains("replica r answered"), "{reason}"),
    }
    answer
}

fn replicas_are_heard(replicas: &[ReplicaAnswer], answer: &ReplicaAnswer, divergent: bool) {
    let any_failed = replicas.iter().any(|answer| matches!(answer, ReplicaAnswer::Failed(_)));
    let all_alike = replicas.iter().all(|answer| *answer == replicas[0]);
    let all_stored = replicas.iter().all(|answer| *answer == ReplicaAnswer::Stored);
    assert_eq!(*answer == ReplicaAnswer::Stored, all_stored);
    if any_failed {
        assert!(matches!(answer, ReplicaAnswer::Failed(_)) && !divergent);
    } else if all_alike {
        assert!(*answer == replicas[0] && !divergent);
    }
}

fn client_hears_all(answers: &[ReplicaAnswer], heard: &ClientAnswer) {
    let any_failed = answers.iter().any(|answer| matches!(answer, ReplicaAnswer::Failed(_)));
    let all_stored = answers.iter().all(|answer| *answer == ReplicaAnswer::Stored);
    assert_eq!(heard.status == 204, all_stored, "{heard:?}");
    assert_eq!(heard.status == 503, any_failed, "{heard:?}");
    assert_eq!(heard.error.is_none(), all_stored, "{heard:?}");
}
