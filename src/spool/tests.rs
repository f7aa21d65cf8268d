//! Spools as the process uses them, on a real folder.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_lite::future::block_on;

use super::record::tests::{points, statement};
use super::*;
use crate::config::{self, Size};

fn settings(bytes_max: usize) -> config::Spool {
    config::Spool {
        bytes_max: Size(bytes_max),
        segment_bytes_max: Size(1000),
        dead_bytes_max: Size(400),
        age_alert: Duration::from_secs(60),
        retry_max: Duration::from_secs(1),
        replay_rate: Size(1_000_000),
    }
}

fn open(dir: &Path) -> Arc<Spools> {
    Spools::open(dir, settings(2000)).expect("a folder can be made")
}

#[track_caller]
fn wait<T>(answer: oneshot::Receiver<T>) -> T {
    block_on(answer).expect("the thread answers")
}

fn read(spool: &Spool, queue: Queue) -> Vec<Entry> {
    wait(spool.read(queue, usize::MAX)).expect("it can be read")
}

const KEY: u32 = 0x1f;
const PARKED: Queue = Queue::Parked(KEY);

fn record(number: u64) -> Record {
    points(&format!("m v={number}\n"))
}

#[test]
fn what_was_appended_waits_until_it_is_consumed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let spools = open(dir.path());
    let spool = spools.of("g1a").expect("it can be made");
    assert!(Arc::ptr_eq(&spool, &spools.of("g1a").expect("it is there")));
    let answers: Vec<_> = (1..4).map(|number| spool.append(Queue::Main, record(number), 100 + number)).collect();
    answers.into_iter().for_each(|answer| wait(answer).expect("there is room"));
    wait(spool.append(PARKED, statement("DROP SERIES"), 50)).expect("there is room");
    let stats = spool.stats();
    assert_eq!((stats.records.get(), stats.points.get(), stats.parked_points.get()), (4, 3, 0));
    assert_eq!((stats.since_ms.get(), stats.points_appended.get()), (50, 3));
    assert!((2..=4).contains(&stats.syncs.get()));
    spools.release("g1a");
    assert!(wait(spool.append(Queue::Main, record(9), 1)).is_err_and(|error| error.to_string().contains("g1a")));

    let spool = spools.of("g1a").expect("its lock is free");
    assert_eq!((spool.recovered(), spool.stats().records.get(), spool.queues()), (3, 4, vec![PARKED, Queue::Main]));
    let [found] = spool.parked() else { panic!("one is parked") };
    let statements = vec![("db".to_owned(), "DROP SERIES".to_owned())];
    assert_eq!((found.key, found.records, found.databases.len(), &found.statements), (KEY, 1, 0, &statements));
    let entries = read(&spool, Queue::Main);
    let records: Vec<Record> = entries.iter().map(|entry| entry.record.clone()).collect();
    assert_eq!(records, [record(1), record(2), record(3)]);
    assert_eq!(read(&spool, PARKED)[0].record, statement("DROP SERIES"));
    wait(spool.consume(Queue::Main, entries[1].end, vec![])).expect("the disk is sound");
    assert_eq!((read(&spool, Queue::Main).len(), spool.stats().points.get()), (1, 1));
    let finished = |empty| Ok(Finished { empty, lost: 0 });
    assert_eq!(wait(spool.finish(Queue::Main)), finished(false));
    wait(spool.consume(Queue::Main, entries[2].end, vec![])).expect("the disk is sound");
    assert_eq!((wait(spool.finish(Queue::Main)), wait(spool.finish(PARKED))), (finished(true), finished(false)));
    assert_eq!((spool.stats().since_ms.get(), spool.stats().main_bytes.get()), (50, 0));
    spools.release("g1a");
    let left = || {
        let entries = std::fs::read_dir(dir.path().join("g1a/main")).expect("it is there");
        let mut left: Vec<_> = entries.map(|entry| entry.expect("it is there").file_name()).collect();
        left.sort();
        left
    };
    let until = Instant::now() + Duration::from_secs(20);
    while left() != ["cursor", "floor"] {
        assert!(Instant::now() < until, "{:?}", left());
        std::thread::yield_now();
    }
    let mode = |name: &str| dir.path().join(name).metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(["g1a", "g1a/parked", "g1a/lock", "g1a/main/floor"].map(mode), [0o700, 0o700, 0o600, 0o600]);
}

#[test]
fn a_full_spool_refuses_at_once_and_parks_all_the_same() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let spool = open(dir.path()).of("g1a").expect("it can be made");
    let long = || points(&format!("m v=\"{}\"\n", "x".repeat(900)));
    wait(spool.append(Queue::Main, long(), 1)).expect("there is room");
    wait(spool.append(Queue::Main, long(), 2)).expect("there is room");
    let full = wait(spool.append(Queue::Main, long(), 3)).expect_err("there is no room");
    assert_eq!(full, AppendError::Full { replica: "g1a".into(), bytes_max: 2000 });
    assert!(full.to_string().contains("g1a") && full.to_string().contains("spool.bytes_max"), "{full}");
    assert_eq!((spool.stats().refused_full.get(), spool.stats().records.get()), (1, 2));
    let first = read(&spool, Queue::Main).swap_remove(0);
    wait(spool.append(PARKED, first.record.clone(), 1)).expect_err("there is no room");
    wait(spool.append_moved(PARKED, first.record, first.accepted_ms)).expect("it is not limited");
    wait(spool.consume(Queue::Main, first.end, vec![])).expect("the disk is sound");
    wait(spool.append(Queue::Main, long(), 4)).expect_err("what is parked counts");
    let parked = read(&spool, PARKED).swap_remove(0);
    wait(spool.consume(PARKED, parked.end, vec![])).expect("the disk is sound");
    wait(spool.append(Queue::Main, long(), 5)).expect("there is room again");
}

#[test]
fn what_is_taken_back_goes_by_without_content() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let spool = open(dir.path()).of("g1a").expect("it can be made");
    let append = |number| {
        let (appended, undecided) = spool.append_undecided(Queue::Main, record(number), number);
        wait(appended).expect("there is room");
        undecided
    };
    let (first, second) = (append(1), append(2));
    wait(spool.append(Queue::Main, record(3), 3)).expect("there is room");
    assert_eq!((read(&spool, Queue::Main).len(), spool.stats().points.get()), (0, 3));
    second.void();
    assert_eq!(read(&spool, Queue::Main).len(), 0, "the first is still open");
    drop(first);
    let entries = read(&spool, Queue::Main);
    let records: Vec<Record> = entries.iter().map(|entry| entry.record.clone()).collect();
    assert_eq!(records, [record(1), Record::Void, record(3)]);
    assert_eq!((spool.stats().points.get(), spool.stats().records.get()), (2, 3));
    wait(spool.consume(Queue::Main, entries[2].end, vec![])).expect("the disk is sound");
    assert_eq!(wait(spool.finish(Queue::Main)), Ok(Finished { empty: true, lost: 0 }));
    // There is no room for this one, and so nothing to decide.
    let long = points(&format!("m v=\"{}\"\n", "x".repeat(3000)));
    let (refused, undecided) = spool.append_undecided(Queue::Main, long, 4);
    assert!(matches!(wait(refused), Err(AppendError::Full { .. })));
    undecided.void();
    wait(spool.append(Queue::Main, record(5), 5)).expect("there is room");
    assert_eq!(read(&spool, Queue::Main).len(), 1);
}

#[test]
fn nothing_is_consumed_before_its_dead_letters_are_written() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let spool = open(dir.path()).of("g1a").expect("it can be made");
    (1..3).for_each(|number| wait(spool.append(Queue::Main, record(number), number)).expect("there is room"));
    let entries = read(&spool, Queue::Main);
    let letter =
        |reason: &str| vec![DeadLetter { record: entries[0].record.clone(), reason: reason.to_owned(), at_ms: 1 }];
    let full = wait(spool.consume(Queue::Main, entries[0].end, letter(&"x".repeat(400)))).expect_err("it is full");
    assert!(matches!(&full, ConsumeError::DeadFull { .. }));
    for part in ["g1a", "dead.jsonl", "spool.dead_bytes_max"] {
        assert!(full.to_string().contains(part), "{full}");
    }
    assert_eq!((read(&spool, Queue::Main).len(), spool.stats().points_dead.get()), (2, 0));
    wait(spool.consume(Queue::Main, entries[0].end, letter("too old"))).expect("it fits");
    assert_eq!((read(&spool, Queue::Main).len(), spool.stats().points_dead.get()), (1, 1));
    let letters = look::dead_letters(dir.path(), "g1a").expect("it can be read");
    assert_eq!((letters.len(), letters[0].reason.as_str()), (1, "too old"));
    assert!(spool.stats().dead_bytes.get() > 0);
}

#[test]
fn many_callers_share_a_sync() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let spools = Spools::open(dir.path(), settings(10_000_000)).expect("a folder can be made");
    let spool = spools.of("g1a").expect("it can be made");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let spool = &spool;
            scope.spawn(move || {
                let numbers = (0..250).map(|number| thread * 1000 + number);
                let answers: Vec<_> = numbers.map(|number| spool.append(Queue::Main, record(number), 1)).collect();
                answers.into_iter().for_each(|answer| wait(answer).expect("there is room"));
            });
        }
    });
    assert!(spool.stats().syncs.get() < 1000, "{} syncs", spool.stats().syncs.get());
    let entries = read(&spool, Queue::Main);
    assert_eq!(entries.len(), 1000);
    for thread in 0..4 {
        let texts = entries.iter().map(|entry| entry.record.clone());
        let own: Vec<Record> = (0..250).map(|number| record(thread * 1000 + number)).collect();
        assert_eq!(texts.filter(|record| own.contains(record)).collect::<Vec<_>>(), own, "each thread's order is kept");
    }
}

#[test]
fn two_processes_cannot_have_the_same_spool() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (one, two) = (open(dir.path()), open(dir.path()));
    one.of("g1a").expect("it can be made");
    let Err(error) = two.of("g1a") else { panic!("it is locked") };
    assert!(error.to_string().contains("replica g1a is in use by a running slotline"), "{error}");
    one.release("g1a");
    two.of("g1a").expect("it is free");
}

#[test]
fn names_and_strangers() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let spools = open(&dir.path().join("spool"));
    for name in ["b", "..", "a"] {
        let spool = spools.of(name).expect("it can be made");
        wait(spool.append(Queue::Main, record(1), 7)).expect("there is room");
        assert_eq!(spool.name(), name);
    }
    spools.of("empty").expect("it can be made");
    assert!(spools.of("../x").is_err() && spools.of("").is_err());
    let names = |spools: &Spools| spools.all().iter().map(|spool| spool.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&spools), ["..", "a", "b", "empty"]);
    ["..", "a", "b", "empty"].iter().for_each(|name| spools.release(name));
    assert!(names(&spools).is_empty());
    assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 1, "nothing is beside the folder");
    spools.of("b").expect("it is free");
    let strangers = spools.strangers(&HashSet::from(["a".to_owned()])).expect("they can be read");
    let bytes = record(1).bytes();
    assert_eq!(strangers, [Stranger { name: "..".into(), records: 1, points: 1, bytes, since_ms: 7 }]);
}

#[test]
fn nobody_waits_for_a_thread_that_has_panicked() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let spools = open(dir.path());
    let spool = spools.of("g1a").expect("it can be made");
    wait(spool.append(Queue::Main, record(1), 1)).expect("there is room");
    spool.panic();
    let answers: Vec<_> = (0..3).map(|number| spool.append(Queue::Main, record(number), 1)).collect();
    // Cancelled or refused, each hears of it.
    assert!(answers.into_iter().all(|answer| block_on(answer).map_or(true, |said| said.is_err())));
    spools.release("g1a");
    assert_eq!(spools.of("g1a").expect("its lock is free").recovered(), 1);
}

#[test]
fn a_log_that_changes_can_be_looked_at() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let spools = Spools::open(dir.path(), settings(10_000_000)).expect("a folder can be made");
    let spool = spools.of("g1a").expect("it can be made");
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            for round in 0..100 {
                let answers: Vec<_> = (0..40).map(|number| spool.append(Queue::Main, record(number), 1)).collect();
                answers.into_iter().for_each(|answer| wait(answer).expect("there is room"));
                let entries = read(&spool, Queue::Main);
                let taken = if round % 3 == 0 { entries.len() } else { entries.len() / 2 };
                wait(spool.consume(Queue::Main, entries[taken - 1].end, vec![])).expect("the disk is sound");
            }
        });
        while !changing.is_finished() {
            look::summary(dir.path(), "g1a").expect("it can be looked at");
            look::records(dir.path(), "g1a", 50).expect("it can be looked at");
        }
    });
}
