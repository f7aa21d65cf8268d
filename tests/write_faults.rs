//! Writes while replicas are down, frozen or out of their mind: no client hears of it while others can answer, nobody else is
//! affected, and the replica gets all of it later, in order.

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::config::replica_name;
use support::facts::assert_same;
use support::*;

/// Within this a request must have its answer when `write.timeout` is up to three seconds.
const IN_TIME: Duration = Duration::from_secs(8);

fn quick(groups: usize, replicas: usize) -> Cluster {
    with_timeout(groups, replicas, "1s")
}

fn with_timeout(groups: usize, replicas: usize, timeout: &str) -> Cluster {
    let timeout = format!("timeout = \"{timeout}\"");
    let cluster = Setup::new(groups, replicas).set("write", &timeout).set("write", "hard_timeout = \"4s\"").start();
    cluster.create_db("db");
    cluster
}

/// The answer is a 503 whose JSON error names `guilty` and none of the others.
#[track_caller]
fn assert_blames(answer: &Response, guilty: &str, innocent: &[&str]) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    let error = answer.error();
    assert!(error.contains(guilty), "{guilty} is not named: {error}");
    for name in innocent {
        assert!(!error.contains(name), "{name} has done nothing: {error}");
    }
    assert!(answer.header("X-Influxdb-Error").is_some(), "{answer:?}");
}

#[test]
fn a_replica_that_is_down_costs_no_client_an_error_and_catches_up_by_itself() {
    let mut cluster = quick(2, 2);
    let (first, second) = (cluster.measurement_in("db", "m", 0), cluster.measurement_in("db", "m", 1));
    let http = cluster.http();
    http.store("db", format!("{first} v=1 1\n{second} v=1 1\n"));

    cluster.groups[0][1].kill9();
    for number in 2..6 {
        http.store("db", format!("{first} v=1 {number}\n"));
        http.store("db", format!("{first} v=2 {number}\n{second} v=2 {number}\n"));
    }
    for replica in [&cluster.groups[0][0], &cluster.groups[1][0], &cluster.groups[1][1]] {
        let stored = facts(replica.http(), "db");
        assert!(stored.values().all(|points| points.contains("5 v=2")), "{stored:?}");
    }
    assert_eq!(cluster.slotline.metric("slotline_spool_points", &["backend=\"g1b\""]), 8);

    cluster.groups[0][1].restart();
    cluster.slotline.wait_direct();
    let [one, two] = [0, 1].map(|replica| facts(cluster.groups[0][replica].http(), "db"));
    assert_same("g1b", &two, &one);
    assert!(one.values().all(|points| points.contains("5 v=2")), "{one:?}");
    http.store("db", format!("{first} v=10 10\n{second} v=10 10\n"));
    for replica in cluster.replicas() {
        let stored = facts(replica.http(), "db");
        assert!(stored.values().all(|points| points.contains("10 v=10")), "{stored:?}");
    }
    cluster.slotline.assert_running();
}

#[test]
fn with_all_replicas_down_all_of_them_are_named_if_nobody_knows_the_database() {
    let mut cluster = quick(2, 2);
    let (first, second) = (cluster.measurement_in("nowhere", "m", 0), cluster.measurement_in("nowhere", "m", 1));
    cluster.groups[0].iter_mut().for_each(Influxd::kill9);
    let answer = cluster.http().write("nowhere", format!("{first} v=1 1\n{second} v=1 1\n"));
    assert_blames(&answer, "g1a", &["g2a", "g2b"]);
    assert_blames(&answer, "g1b", &["g2a", "g2b"]);
    assert!(answer.error().contains("\"nowhere\""), "{answer:?}");
    assert_eq!(answer.header("Retry-After"), Some("1"));
}

#[test]
fn with_all_replicas_down_a_database_that_was_seen_is_written_to() {
    let mut cluster = quick(1, 2);
    let http = cluster.http();
    http.store("db", "m v=0 0\n");
    cluster.groups[0].iter_mut().for_each(Influxd::kill9);
    for number in 1..5 {
        http.store("db", format!("m v={number} {number}\n"));
    }
    let bad = http.write("db", "m v=9 9\nm v=x 10\nm v=11 11\n");
    assert_eq!(bad.status, 400, "{bad:?}");
    assert_eq!(bad.error(), "partial write: unable to parse 'm v=x 10': invalid boolean dropped=0");
    cluster.groups[0].iter_mut().for_each(Influxd::restart);
    cluster.slotline.wait_direct();
    for replica in cluster.replicas() {
        let stored = facts(replica.http(), "db");
        let points = stored.values().next().expect("a series");
        assert_eq!(points.len(), 7, "{points:?}");
    }
}

/// A replica that refuses all of a request is asked once more where a peer waits: if it does not answer then, what it said
/// stays said.
#[test]
fn what_a_replica_refused_is_not_acknowledged_since_it_was_away_when_it_was_asked_once_more() {
    let failure = || Play::Answer(500, "{\"error\":\"timeout\"}".to_owned());
    let writes = AtomicUsize::new(0);
    let first = Fake::start_by(move |request| match request.path.starts_with("/write") {
        true if writes.fetch_add(1, Ordering::Relaxed) > 0 => failure(),
        true => Play::Answer(400, "{\"error\":\"field type conflict\"}".to_owned()),
        false => Play::stored(),
    });
    let second = Fake::start(failure());
    let replicas = [&first, &second].into_iter().zip(0..).map(|(fake, number)| (replica_name(0, number), fake.url()));
    let slotline = Slotline::start(&Config::new().group(&replicas.collect::<Vec<_>>()));
    let answer = slotline.http().write("db", "m v=1 1\nm v=1i 2\nm w=1 3\n");
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.error(), "field type conflict");
    assert!(first.writes().len() > 1, "it was asked once more");
    for backend in ["backend=\"g1a\"", "backend=\"g1b\""] {
        assert_eq!(
            slotline.metric("slotline_spool_points", &[backend]),
            3,
            "{backend} gets the good lines all the same"
        );
    }
}

#[test]
fn a_replica_restarted_between_two_writes_costs_no_client_an_error() {
    let mut cluster = quick(2, 2);
    let http = cluster.http();
    let body: String = (0..20).map(|number| format!("m{number}s v=1 1\n")).collect();
    http.store("db", &body);
    for group in 0..2 {
        for replica in 0..2 {
            cluster.groups[group][replica].restart();
        }
    }
    http.store("db", body.replace("v=1 1", "v=2 2"));
    for replica in cluster.replicas() {
        let stored = facts(replica.http(), "db");
        assert!(!stored.is_empty());
        assert!(stored.values().all(|points| points.contains("2 v=2")), "{stored:?}");
    }
}

#[test]
fn a_replica_that_is_down_at_the_start_does_not_keep_slotline_from_serving() {
    let mut influxd = Influxd::start();
    let other = Influxd::start();
    for each in [&influxd, &other] {
        each.http().run("", "CREATE DATABASE db");
    }
    let config = Config::new()
        .set("write", "timeout = \"1s\"")
        .group(&[("g1a".to_owned(), influxd.url())])
        .group(&[("g2a".to_owned(), other.url())]);
    influxd.stop();
    let slotline = Slotline::start(&config);
    let name = |group| slots::measurements_of("db", "m", group, 2, 1).remove(0);
    // The other group knows the database.
    slotline.http().store("db", name(1) + " v=1 1");
    slotline.http().store("db", name(0) + " v=1 1");
    influxd.restart();
    slotline.wait_direct();
    assert_eq!(facts(influxd.http(), "db").len(), 1);
}

#[test]
fn a_frozen_replica_is_waited_for_once_and_slows_no_other_group() {
    let mut cluster = with_timeout(2, 2, "3s");
    let (first, second) = (cluster.measurement_in("db", "m", 0), cluster.measurement_in("db", "m", 1));
    let http = cluster.http();
    http.store("db", format!("{first} v=1 1\n{second} v=1 1\n"));
    cluster.groups[0][1].pause();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let body = format!("{first} v=2 {client}\n");
            scope.spawn(move || {
                let started = Instant::now();
                http.store("db", body);
                assert!(started.elapsed() < IN_TIME, "it took {:?}", started.elapsed());
            });
        }
        for client in 0..4 {
            let second = &second;
            scope.spawn(move || {
                let mut slowest = Duration::ZERO;
                for number in 0..100 {
                    let started = Instant::now();
                    http.store("db", format!("{second},c={client} v=1 {number}\n"));
                    slowest = slowest.max(started.elapsed());
                }
                // Far below the three seconds that the frozen replica's writes wait.
                assert!(slowest < Duration::from_millis(1500), "a write waited {slowest:?}");
            });
        }
    });
    // Whoever comes later does not wait for it again.
    let started = Instant::now();
    http.store("db", format!("{first} v=3 3\n"));
    assert!(started.elapsed() < Duration::from_millis(1500), "it took {:?}", started.elapsed());
    cluster.groups[0][1].resume();
    cluster.slotline.wait_direct();
    let [one, two] = [0, 1].map(|replica| facts(cluster.groups[0][replica].http(), "db"));
    assert_same("g1b", &two, &one);
    cluster.slotline.assert_running();
}

#[test]
fn a_frozen_group_does_not_block_queries_of_another() {
    let cluster = quick(2, 1);
    let (first, second) = (cluster.measurement_in("db", "m", 0), cluster.measurement_in("db", "m", 1));
    cluster.http().store("db", format!("{first} v=1 1\n{second} v=1 1\n"));
    cluster.groups[0][0].pause();
    std::thread::scope(|scope| {
        scope.spawn(|| cluster.http().write("db", format!("{first} v=2 2\n")));
        let started = Instant::now();
        for _ in 0..20 {
            cluster.http().run("db", &format!("SELECT * FROM {second}"));
        }
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    });
    cluster.groups[0][0].resume();
}

/// Group 1 is a real server and a fake one, group 2 a real one.
struct Haunted {
    slotline: Slotline,
    fake: Fake,
    real: [Influxd; 2],
    first: String,
    second: String,
}

fn haunted() -> Haunted {
    let fake = Fake::start(Play::stored());
    let real = [Influxd::start(), Influxd::start()];
    for influxd in &real {
        influxd.http().run("", "CREATE DATABASE db");
    }
    let config = Config::new()
        .set("write", "timeout = \"1s\"")
        .set("write", "hard_timeout = \"2s\"")
        .group(&[(replica_name(0, 0), real[0].url()), (replica_name(0, 1), fake.url())])
        .group(&[(replica_name(1, 0), real[1].url())]);
    let slotline = Slotline::start(&config);
    let name = |group| slots::measurements_of("db", "m", group, 2, 1).remove(0);
    Haunted { slotline, fake, real, first: name(0), second: name(1) }
}

#[track_caller]
fn check_fault(play: Play) {
    let mut haunted = haunted();
    let http = haunted.slotline.http();
    let (first, second) = (haunted.first.clone(), haunted.second.clone());
    http.store("db", format!("{first} v=1 1\n{second} v=1 1\n"));
    haunted.fake.set(play);
    for number in 2..5 {
        let started = Instant::now();
        http.store("db", format!("{first} v=1 {number}\n"));
        assert!(started.elapsed() < IN_TIME, "it took {:?}", started.elapsed());
        let started = Instant::now();
        http.store("db", format!("{second} v=1 {number}\n"));
        assert!(started.elapsed() < IN_TIME, "it took {:?}", started.elapsed());
    }
    // What the healthy replica was sent is there: nothing waits for the sick one.
    let stored = facts(haunted.real[0].http(), "db");
    assert!(stored.values().any(|points| points.contains("4 v=1")), "{stored:?}");
    assert_eq!(haunted.slotline.metric("slotline_spool_points", &["backend=\"g1b\""]), 3);
    let before = haunted.fake.writes().len();
    haunted.fake.set(Play::stored());
    http.store("db", format!("{first} v=9 9\n"));
    haunted.slotline.wait_direct();
    let writes = haunted.fake.writes().split_off(before);
    assert!(writes.iter().all(|write| write.path.contains("db=db")), "{writes:?}");
    let bodies: Vec<u8> = writes.into_iter().flat_map(|write| write.body).collect();
    let bodies = String::from_utf8(bodies).expect("lines are text");
    // The first may have been tried once more before the others.
    let wanted: String = [2, 3, 4, 9].map(|n| format!("{first} v={} {n}\n", if n == 9 { 9 } else { 1 })).concat();
    assert!(bodies.ends_with(&wanted), "{bodies}");
    haunted.slotline.assert_running();
}

#[test]
fn a_backend_that_resets_connections_gets_all_later() {
    check_fault(Play::Reset);
}

#[test]
fn a_backend_that_never_answers_gets_all_later() {
    check_fault(Play::Hang);
}

#[test]
fn a_backend_that_answers_garbage_gets_all_later() {
    check_fault(Play::Garbage);
}

#[test]
fn a_backend_that_sends_ten_megabytes_of_headers_gets_all_later() {
    check_fault(Play::HugeHeaders);
}

#[test]
fn a_backend_whose_answer_is_cut_off_gets_all_later() {
    check_fault(Play::CutOff);
}

#[test]
fn a_backend_that_answers_too_late_gets_all_later() {
    check_fault(Play::Slow(Duration::from_secs(4), 204, String::new()));
}

#[test]
fn a_backend_that_says_500_gets_all_later() {
    check_fault(Play::Answer(500, "{\"error\":\"engine is closed\"}\n".to_owned()));
}

#[test]
fn a_backend_that_says_503_gets_all_later() {
    check_fault(Play::Answer(503, "{\"error\":\"timeout\"}\n".to_owned()));
}

#[test]
fn what_a_backend_refuses_the_client_hears_and_what_it_cannot_take_is_kept() {
    let haunted = haunted();
    let http = haunted.slotline.http();
    let refusals = [
        (400, "no JSON at all"),
        (400, "{\"error\":\"partial write: points beyond retention policy dropped=1\"}\n"),
        (413, "{\"error\":\"Request Entity Too Large\"}\n"),
    ];
    for (status, body) in refusals {
        haunted.fake.set(Play::Answer(status, body.to_owned()));
        let answer = http.write("db", format!("{} v=1 1\n", haunted.first));
        assert_eq!(answer.status, status, "after {status} {body:?}: {answer:?}");
        assert!(!answer.error().is_empty());
    }
    let mut kept = Vec::new();
    for (status, body) in [
        (401, "{\"error\":\"authorization failed\"}\n"),
        (403, "{\"error\":\"forbidden\"}\n"),
        (404, "{\"error\":\"database not found: \\\"db\\\"\"}\n"),
        (404, "404 page not found\n"),
        (429, "slow down"),
        (301, ""),
        (500, "{\"error\":\"retention policy not found: x\"}\n"),
        (502, "<html>a proxy in between</html>"),
    ] {
        haunted.fake.set(Play::Answer(status, body.to_owned()));
        let line = format!("{} v={status} {}\n", haunted.first, kept.len());
        http.store("db", &line);
        kept.push(line.trim_end().to_owned());
        http.store("db", format!("{} v=1 1\n", haunted.second));
    }
    haunted.fake.set(Play::stored());
    haunted.slotline.wait_direct();
    let lines = haunted.fake.lines();
    for line in kept {
        assert!(lines.contains(&line), "{line} never came");
    }
}

/// The value of a URL parameter of a recorded request.
fn parameter<'a>(request: &'a fake::Recorded, name: &str) -> &'a str {
    let (_, query) = request.path.split_once('?').unwrap_or_default();
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

#[test]
fn a_small_write_before_a_large_one_does_not_change_the_large_ones_order() {
    let fake = Fake::start(Play::Slow(Duration::from_millis(500), 204, String::new()));
    let config = Config::new().group(&[("g1a".to_owned(), fake.url())]);
    let config =
        config.set("server", "cores = 1").set("write", "lanes = 1").set("write", "request_bytes_max = \"64KiB\"");
    let slotline = Slotline::start(&config);
    let received = |points: usize| {
        let line = format!("slotline_points_received_total{{protocol=\"http\"}} {points}\n");
        wait_for("the write", SOON, || slotline.http().get("/metrics").text().contains(&line).then_some(()));
    };
    // Comments end ranges, so that batches end at the limit.
    let pad: String = (0..60).map(|n| format!("pad s=\"{}\" {n}\n#\n", "x".repeat(1200))).collect();
    let large = format!("p v=1 1\n{pad}p v=2 1\n");
    std::thread::scope(|scope| {
        // One is in flight, then wait a small one and the two batches of a large one, of which the second is small.
        for body in ["first v=1 1\n", "small v=1 1\n"] {
            let http = slotline.http();
            scope.spawn(move || http.store("db", body));
            received(if body.starts_with("first") { 1 } else { 2 });
        }
        slotline.http().store("db", &large);
    });
    let sent: Vec<u8> = fake.writes().into_iter().flat_map(|write| write.body).collect();
    let sent = String::from_utf8(sent).expect("lines are text");
    assert!(sent.contains("small v=1 1"));
    assert!(sent.find("p v=1 1") < sent.find("p v=2 1"), "the older value was sent last");
}

#[test]
fn points_of_many_clients_share_requests_but_never_with_other_databases_or_precisions() {
    const CLIENTS: usize = 96;
    let fake = Fake::start(Play::Slow(Duration::from_millis(200), 204, String::new()));
    let config = Config::new().group(&[("g1a".to_owned(), fake.url())]);
    let slotline = Slotline::start(&config);
    let kinds = [("one", "s"), ("one", "ns"), ("two", "s")];
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let http = slotline.http();
            let (db, precision) = kinds[client % kinds.len()];
            scope.spawn(move || {
                let newline = if client % 2 == 0 { "\n" } else { "" };
                let body = format!("{db}_{precision},client={client} v=1 {client}{newline}");
                let answer = http.write_with(&format!("db={db}&precision={precision}"), body);
                assert_eq!(answer.status, 204, "{answer:?}");
            });
        }
    });
    let mut lines = Vec::new();
    let writes = fake.writes();
    for write in &writes {
        let precision = match parameter(write, "precision") {
            "" | "n" | "ns" => "ns",
            other => other,
        };
        let kind = format!("{}_{precision},", parameter(write, "db"));
        let body = String::from_utf8(write.body.clone()).expect("lines are text");
        for line in body.lines() {
            assert!(line.starts_with(&kind), "{line:?} in a request of {kind:?}");
            lines.push(line.to_owned());
        }
    }
    lines.sort();
    let mut expected: Vec<String> = (0..CLIENTS)
        .map(|client| {
            let (db, precision) = kinds[client % kinds.len()];
            format!("{db}_{precision},client={client} v=1 {client}")
        })
        .collect();
    expected.sort();
    assert_eq!(lines, expected);
    assert!(writes.len() < CLIENTS / 2, "{} requests for {CLIENTS} clients", writes.len());
}

#[test]
fn a_late_old_value_never_lands_on_a_newer_one() {
    let cluster = quick(1, 2);
    let http = cluster.http();
    let replica = &cluster.groups[0][1];
    http.store("db", "m v=0 1\n");
    for round in 0..4 {
        let old = format!("m v={} 1\n", 2 * round + 1);
        let new = format!("m v={} 1\n", 2 * round + 2);
        replica.pause();
        // Connections of both cores and of every lane leave an old value on its way.
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| http.store("db", &old));
            }
        });
        if round % 2 == 0 {
            replica.resume();
        }
        http.store("db", &new);
        replica.resume();
        cluster.slotline.wait_direct();
        let expected = format!("1 v={}", 2 * round + 2);
        // What is still under way needs a moment to do its harm: ask for a while.
        for _ in 0..100 {
            for replica in &cluster.groups[0] {
                let stored = facts(replica.http(), "db");
                let points = stored.values().next().expect("a series");
                assert!(points.contains(&expected), "round {round}: {points:?} instead of {expected}");
            }
        }
    }
}

/// Writes batches of one line a measurement until told to stop; the numbers that were answered
/// with 204.
fn write_through_all(
    http: Http,
    client: usize,
    names: &[String],
    answers: &AtomicUsize,
    stop: &AtomicBool,
) -> Vec<usize> {
    let mut acked = Vec::new();
    let mut conn = http.connect();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let body: String = names.iter().map(|name| format!("{name},c={client} v={number} {number}\n")).collect();
        let answer = conn.call(&Request::write("db=db", body));
        match answer.status {
            204 => acked.push(number),
            503 => {}
            _ => panic!("{answer:?}"),
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
    acked
}

#[test]
fn every_acknowledged_point_outlives_crashes_and_freezes_of_replicas() {
    let mut random = random();
    let mut cluster = quick(2, 2);
    let http = cluster.http();
    let names: Vec<String> =
        (0..4).map(|number| cluster.measurement_in("db", &format!("x{number}y"), number % 2)).collect();
    let (answers, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let acked: Vec<Vec<usize>> = std::thread::scope(|scope| {
        let (names, answers, stop) = (&names, &answers, &stop);
        let start = |client| scope.spawn(move || write_through_all(http, client, names, answers, stop));
        let clients: Vec<_> = (0..6).map(start).collect();
        let go_on = |count: usize| {
            let from = answers.load(Ordering::Relaxed);
            wait_for("answers", SOON, || (answers.load(Ordering::Relaxed) >= from + count).then_some(()));
        };
        for _ in 0..8 {
            go_on(random.usize(20..200));
            let victim = &mut cluster.groups[random.usize(0..2)][random.usize(0..2)];
            if random.bool() {
                victim.kill9();
                go_on(random.usize(0..30));
                victim.restart();
            } else {
                victim.pause();
                go_on(random.usize(0..12));
                victim.resume();
            }
        }
        go_on(200);
        cluster.slotline.wait_direct();
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().expect("a client finishes")).collect()
    });
    cluster.slotline.assert_running();
    for (number, group) in cluster.groups.iter().enumerate() {
        for replica in group {
            let stored = facts(replica.http(), "db");
            for (series, points) in &stored {
                assert_eq!(cluster.group_of("db", &series.measurement), number);
                let client: usize = series.tag("c").parse().expect("a client");
                let lost: Vec<_> =
                    acked[client].iter().filter(|n| !points.contains(&format!("{n} v={n}"))).take(5).collect();
                let who = format!("group {number}, {}", replica.addr());
                assert!(lost.is_empty(), "{who}: acknowledged and lost in {series:?}: {lost:?}");
            }
            assert_eq!(stored.len(), 2 * 6, "two measurements of six clients");
        }
    }
    let total: usize = acked.iter().map(Vec::len).sum();
    println!("{total} of {} requests were acknowledged", answers.load(Ordering::Relaxed));
    assert!(total > 200, "only {total} requests were acknowledged");
}

#[test]
fn clients_that_leave_in_the_middle_disturb_nobody() {
    let mut cluster = quick(2, 2);
    let http = cluster.http();
    let body: String = (0..500).map(|number| format!("gone{number} v=1 1\n")).collect();
    let whole = Request::write("db=db", &body).to_bytes();
    let mut random = random();
    for _ in 0..100 {
        let mut conn = http.connect();
        let _ = conn.try_send(&whole[..random.usize(0..whole.len())]);
    }
    for number in 0..50 {
        // These send all and don't wait for the answer.
        let line = format!("left v={number} {number}\n");
        http.connect().send(&Request::write("db=db", line).to_bytes());
    }
    http.store("db", "stays v=1 1\n");
    for replica in cluster.replicas() {
        let stored = facts(replica.http(), "db");
        assert!(!stored.keys().any(|series| series.measurement.starts_with("gone")), "{stored:?}");
    }
    cluster.slotline.assert_running();
}
