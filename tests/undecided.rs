//! What InfluxDB refuses while a replica is away: it lies in that replica's log before that is known, and is taken back.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::facts::assert_same;
use support::*;

/// Two replicas, the second of which is away.
fn one_away() -> Cluster {
    let mut cluster = Setup::new(1, 2).set("write", "timeout = \"3s\"").set("write", "hard_timeout = \"4s\"").start();
    cluster.create_db("db");
    let http = cluster.http();
    http.store("db", "m v=1 1\n");
    cluster.groups[0][1].kill9();
    http.store("db", "m v=2 2\n");
    assert_eq!(cluster.slotline.metric("slotline_spool_points", &[SECOND]), 1);
    cluster
}

const SECOND: &str = "backend=\"g1b\"";

/// Back, and with all that the other has; nothing was refused a second time.
#[track_caller]
fn assert_equal_in_the_end(cluster: Cluster) -> facts::Facts {
    assert_equal_in_the_end_of(cluster, |_| {})
}

/// The same, and what `look` finds then.
#[track_caller]
fn assert_equal_in_the_end_of(mut cluster: Cluster, look: impl FnOnce(&Cluster)) -> facts::Facts {
    cluster.groups[0][1].restart();
    cluster.slotline.wait_direct();
    look(&cluster);
    let [one, two] = [0, 1].map(|replica| facts(cluster.groups[0][replica].http(), "db"));
    assert_same("g1b", &two, &one);
    assert_eq!(cluster.slotline.metric("slotline_spool_dead_points_total", &[SECOND]), 0);
    cluster.slotline.assert_running();
    one
}

#[test]
fn what_is_refused_whole_or_in_part_is_not_replayed() {
    let cluster = one_away();
    let http = cluster.http();
    for number in 3..40 {
        // A connection each: one whose lines were refused is looked at more closely.
        let part = cluster.http().write("db", format!("m v= {number}\nm w={number} {number}\n"));
        assert_eq!(part.status, 400, "{part:?}");
        let whole = cluster.http().write("db", format!("m v=\"text\" {number}\n"));
        assert_eq!(whole.status, 400, "{whole:?}");
        let unread = cluster.http().write("db", "m v=\n");
        assert_eq!(unread.status, 400, "{unread:?}");
        http.store("db", format!("m v={number} {number}\n"));
    }
    // The whole ones are gone, of the others the good lines wait.
    assert_eq!(cluster.slotline.metric("slotline_spool_points", &[SECOND]), 1 + 2 * 37);
    let facts = assert_equal_in_the_end(cluster);
    assert!(facts.values().any(|points| points.contains("39 v=39")), "{facts:?}");
}

/// A statement that the others refuse is no dead letter of the one that is away; one that they carry out takes its place.
#[test]
fn statements_that_the_others_refuse_are_taken_back() {
    let cluster = one_away();
    let http = cluster.http();
    http.run("", "CREATE USER u WITH PASSWORD 'x'");
    let refused = [
        ("CREATE USER u WITH PASSWORD 'y'", "user already exists"),
        ("DROP USER nobody", "user not found"),
        ("CREATE RETENTION POLICY p ON nowhere DURATION 1d REPLICATION 1", "database not found: nowhere"),
    ];
    for (text, error) in refused {
        let answer = http.query("db", text);
        assert!(answer.text().contains(error), "{text}: {answer:?}");
    }
    http.run("db", "DELETE FROM m WHERE time < 2");
    http.store("db", "m v=3 3\n");
    let facts = assert_equal_in_the_end_of(cluster, |cluster| {
        let users = cluster.groups[0][1].http().run("", "SHOW USERS");
        assert!(users.to_string().contains("\"u\""), "{users}");
        assert_eq!(cluster.slotline.metric("slotline_spool_dead_bytes", &[SECOND]), 0);
    });
    assert!(facts.values().all(|points| points.len() == 2), "{facts:?}");
}

#[test]
fn a_database_that_nobody_has_any_more_parks_nothing() {
    let mut cluster = one_away();
    let http = cluster.http();
    // Behind slotline's back: it believes that there is one.
    cluster.groups[0][0].http().run("", "DROP DATABASE db");
    let gone = http.write("db", "m v=3 3\n");
    assert_eq!(gone.status, 404, "{gone:?}");
    cluster.groups[0][0].http().run("", "CREATE DATABASE db");
    cluster.groups[0][1].restart();
    cluster.slotline.wait_direct();
    assert_eq!(cluster.slotline.metric("slotline_spool_parked_points", &[SECOND]), 0);
    let stored = facts(cluster.groups[0][1].http(), "db");
    assert!(!stored.values().any(|points| points.contains("3 v=3")), "{stored:?}");
}

/// One request of several batches, and of one in which a line is refused: the last of equal points stays the last.
#[test]
fn points_of_one_request_keep_their_order_when_some_are_taken_back() {
    let mut cluster = Setup::new(1, 2)
        .set("write", "request_points_max = 10")
        .set("write", "timeout = \"3s\"")
        .set("write", "hard_timeout = \"4s\"")
        .start();
    cluster.create_db("db");
    cluster.http().store("db", "m v=1 1\n");
    cluster.groups[0][1].kill9();
    cluster.http().store("db", "m v=2 2\n");
    let mut body = String::new();
    for number in 0..100 {
        body.push_str(&format!("m v={number} 7\n"));
        if number == 5 {
            body.push_str("m v= 8\n");
        }
    }
    let answer = cluster.http().write("db", body);
    assert_eq!(answer.status, 400, "{answer:?}");
    let facts = assert_equal_in_the_end(cluster);
    assert!(facts.values().any(|points| points.contains("7 v=99")), "{facts:?}");
}

/// A kill amid requests of which nothing is decided: what may lie in the log belongs there, or is refused again.
#[test]
fn a_crash_amid_undecided_writes_loses_nothing() {
    let mut cluster = Setup::new(1, 2).meddled().set("write", "timeout = \"3s\"").start();
    cluster.create_db("db");
    cluster.http().store("db", "m v=1 1\n");
    cluster.groups[0][1].kill9();
    cluster.http().store("db", "m v=2 2\n");
    cluster.meddlers[0][0].set(Meddle::SlowAnswerTo("m v=3".to_owned(), Duration::from_secs(2)));
    let http = cluster.http();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = http.connect();
            client.send(&Request::write("db=db", "m v=3 3\n").to_bytes());
            assert!(client.try_answer(false).is_err(), "it was answered");
        });
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(cluster.slotline.metric("slotline_spool_points", &[SECOND]), 2, "it lies there already");
        cluster.slotline.kill9();
    });
    cluster.meddlers[0][0].set(Meddle::Pass);
    cluster.groups[0][1].restart();
    cluster.slotline.restart();
    cluster.slotline.wait_direct();
    let stored = facts(cluster.groups[0][1].http(), "db");
    assert!(stored.values().any(|points| points.contains("2 v=2") && points.contains("3 v=3")), "{stored:?}");
}

/// Some tries may fail where other work keeps the disk from syncing in time; it takes a few seconds otherwise.
const OPENS_WITHIN: Duration = Duration::from_secs(40);

/// The gate opens while clients go on, however much slower than the replica's own writes its peers are, and nobody is busy
/// meanwhile.
#[track_caller]
fn check_opens_under_load(clients: usize, lines: usize, peers: Duration) {
    let mut cluster =
        Setup::new(1, 2).meddled().set("write", "timeout = \"4s\"").set("write", "hard_timeout = \"4s\"").start();
    cluster.create_db("db");
    cluster.http().store("db", "m v=1 1\n");
    cluster.groups[0][1].kill9();
    cluster.http().store("db", "m v=2 2\n");
    cluster.meddlers[0][0].set(Meddle::SlowAnswerTo("load".to_owned(), peers));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..clients {
            let (http, ended) = (cluster.http(), &ended);
            scope.spawn(move || {
                for number in 0.. {
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    let line = |line: usize| format!("load,c={client} v={number} {}\n", number * 10_000 + line);
                    http.store("db", (0..lines).map(line).collect::<String>());
                }
            });
        }
        std::thread::sleep(Duration::from_secs(1));
        let groups = &mut cluster.groups;
        groups[0][1].restart();
        let (began, before) = (Instant::now(), cluster.slotline.cpu());
        let open = || cluster.slotline.metric("slotline_backend_state", &[SECOND, "state=\"direct\""]) == 1;
        while !open() && began.elapsed() < OPENS_WITHIN {
            std::thread::sleep(Duration::from_millis(50));
        }
        let (took, busy) = (began.elapsed(), cluster.slotline.cpu() - before);
        ended.store(true, Ordering::Relaxed);
        assert!(took < OPENS_WITHIN, "the gate never opened");
        assert!(busy < took / 2 + Duration::from_millis(500), "{busy:?} of {took:?} were spent waiting");
    });
    cluster.slotline.wait_direct();
    let [one, two] = [0, 1].map(|replica| facts(cluster.groups[0][replica].http(), "db"));
    assert_same("g1b", &two, &one);
}

#[test]
fn the_gate_opens_under_load_with_peers_slower_than_a_gate_is_held() {
    check_opens_under_load(8, 1, Duration::from_millis(250));
}

#[test]
fn the_gate_opens_under_load_of_large_writes_to_very_slow_peers() {
    check_opens_under_load(2, 2000, Duration::from_secs(2));
}
