//! What was acknowledged is stored, whatever happens to replicas, to the proxy and to its disk: clients under load remember
//! what they were told (`support/witness.rs`), a fault happens, and afterwards every replica is asked.

mod support;

use std::collections::BTreeSet;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::scene::{HARD_TIMEOUT, Place, SPOOL_AFTER, quick};
use support::witness::{RECOVERY, assert_equal, spooled, wait_drained};
use support::*;

const FIRST: Place = (0, 0);
const SECOND: Place = (0, 1);

fn two_by_two() -> Setup {
    quick(Setup::new(2, 2))
}

/// Each replica in turn has the fault; no write is refused, and in the end the replicas of a group are equal.
#[track_caller]
fn check_each_replica(setup: Setup, db: &str, fault: Fault, writes: u64) {
    let mut scene = Scene::start(setup, db);
    for place in scene.places() {
        scene.suffer(fault, &[place], writes);
        scene.wait_drained();
    }
    check_end(scene);
}

/// One replica has the fault for `time` at least.
#[track_caller]
fn check_one_replica(db: &str, fault: Fault, time: Duration) {
    let mut scene = Scene::start(two_by_two().meddled(), db);
    scene.begin(fault, &[SECOND]);
    scene.go_on(time, 60);
    scene.wait_spooled(SECOND);
    scene.end(fault, &[SECOND]);
    scene.more(30);
    assert!(scene.cluster.meddlers[0][1].met() > 0, "nothing was meddled with");
    check_end(scene);
}

#[track_caller]
fn check_end(scene: Scene) {
    let (cluster, mut record) = scene.finish();
    record.assert_none_refused();
    let verdict = record.verify_equal(&cluster);
    assert!(verdict.acknowledged > 100, "{verdict}");
}

// That the witness can tell.

#[test]
fn the_witness_sees_lost_points_and_old_values() {
    let scene = Scene::start(two_by_two(), "witness");
    scene.more(50);
    let (cluster, mut record) = scene.finish();
    record.verify_equal(&cluster);
    let replica = cluster.groups[0][0].http();
    let name = cluster.measurement_in("witness", "w", 0);
    replica.run("witness", &format!("DELETE FROM {name} WHERE client = 'Steady0' AND time >= 1000"));
    let (verdict, told) = record.compare(&cluster);
    assert!(verdict.lost() > 0 && told.iter().all(|line| line.starts_with("g1a: ")), "{verdict} {told:?}");
    let (cluster, record) = {
        let scene = Scene::start(two_by_two(), "witness");
        scene.more(50);
        scene.finish()
    };
    let name = cluster.measurement_in("witness", "w", 0);
    cluster.groups[0][1].http().store("witness", format!("{name},client=Steady0,run=0 v=-1i 1\n"));
    assert_eq!(record.compare(&cluster).0.lost(), 1);
}

// Replicas.

#[test]
fn each_replica_killed_in_turn() {
    check_each_replica(two_by_two(), "killed", Fault::Killed, 150);
}

#[test]
fn each_replica_frozen_in_turn() {
    check_each_replica(two_by_two(), "frozen", Fault::Frozen, 60);
}

#[test]
fn a_replica_frozen_for_longer_than_a_request_may_stay_open() {
    let mut scene = Scene::start(two_by_two(), "frozen_long");
    scene.begin(Fault::Frozen, &[SECOND]);
    scene.go_on(2 * HARD_TIMEOUT, 100);
    scene.wait_spooled(SECOND);
    scene.end(Fault::Frozen, &[SECOND]);
    scene.more(30);
    check_end(scene);
}

#[test]
fn a_slow_replica_holds_up_few_writes() {
    let mut scene = Scene::start(two_by_two(), "slow_one");
    scene.begin(Fault::Frozen, &[SECOND]);
    scene.wait_spooled(SECOND);
    // Clients no longer wait for it.
    let name = scene.cluster.measurement_in("slow_one", "timed", 0);
    let mut slowest = Duration::ZERO;
    for n in 0..20 {
        let began = Instant::now();
        scene.cluster.http().store("slow_one", format!("{name} v={n}i {n}\n"));
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < SPOOL_AFTER, "a write waited {slowest:?}");
    scene.end(Fault::Frozen, &[SECOND]);
    check_end(scene);
}

#[test]
fn all_replicas_of_a_group_killed_at_once() {
    let mut scene = Scene::start(two_by_two(), "group_killed");
    scene.suffer(Fault::Killed, &[FIRST, SECOND], 150);
    scene.more(30);
    check_end(scene);
}

#[test]
fn all_replicas_of_a_group_frozen_at_once() {
    let mut scene = Scene::start(two_by_two(), "group_frozen");
    scene.suffer(Fault::Frozen, &[FIRST, SECOND], 60);
    scene.more(30);
    check_end(scene);
}

#[test]
fn single_replicas_of_all_groups_killed_at_once() {
    let mut scene = Scene::start(quick(Setup::of(&[1, 1, 1])), "singles");
    let all = scene.places();
    scene.begin(Fault::Killed, &all);
    scene.more(100);
    all.iter().for_each(|&place| scene.wait_spooled(place));
    // Of a database that nobody has seen nothing is known: maybe it does not exist.
    let name = scene.cluster.measurement_in("never_seen", "m", 0);
    let answer = scene.cluster.http().write("never_seen", format!("{name} v=1i 1\n"));
    assert_eq!(answer.status, 503, "{answer:?}");
    // Nor is anything acknowledged that nobody has parsed.
    let known = scene.cluster.measurement_in("singles", "w", 0);
    let answer = scene.cluster.http().write("singles", format!("{known},client=x,run=x v=1i 1\n{known} v= 2\n"));
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.error().contains("unable to parse"), "{answer:?}");
    scene.end(Fault::Killed, &all);
    scene.more(30);
    check_end(scene);
}

#[test]
fn databases_seen_are_known_after_a_start_without_any_replica() {
    let mut scene = Scene::start(quick(Setup::of(&[1, 1])), "seen");
    let all = scene.places();
    scene.begin(Fault::Killed, &all);
    scene.more(20);
    assert_eq!(scene.cluster.slotline.stop(), 0);
    let config = scene.cluster.config.clone();
    scene.start_again(&config);
    scene.more(50);
    let known = std::fs::read_to_string(scene.cluster.slotline.data_dir().join("databases.json"));
    assert!(known.expect("it is there").contains("\"seen\""));
    scene.end(Fault::Killed, &all);
    scene.more(20);
    let (cluster, mut record) = scene.finish();
    record.verify_equal(&cluster);
}

// What stands between.

#[test]
fn a_replica_that_answers_500() {
    check_one_replica("says500", Fault::Answers(500), Duration::ZERO);
}

#[test]
fn a_replica_that_answers_503() {
    check_one_replica("says503", Fault::Answers(503), Duration::ZERO);
}

#[test]
fn a_replica_that_answers_401_and_one_that_answers_403() {
    check_one_replica("says401", Fault::Answers(401), Duration::ZERO);
    check_one_replica("says403", Fault::Answers(403), Duration::ZERO);
}

#[test]
fn a_replica_that_knows_no_database_for_a_while() {
    check_one_replica("says404", Fault::Answers(404), Duration::ZERO);
}

#[test]
fn a_replica_that_hangs_before_and_amid_its_answers() {
    check_one_replica("hangs", Fault::Hangs, Duration::ZERO);
    check_one_replica("hangs_mid", Fault::HangsMidAnswer, HARD_TIMEOUT + SPOOL_AFTER);
}

#[test]
fn a_replica_whose_connections_are_reset_before_and_after_it_has_stored() {
    check_one_replica("resets", Fault::Resets, Duration::ZERO);
    check_one_replica("resets_stored", Fault::ResetsStored, Duration::ZERO);
}

#[test]
fn a_replica_whose_network_takes_a_kilobyte_a_second() {
    check_one_replica("one_kb", Fault::Slow, 2 * HARD_TIMEOUT);
}

#[test]
fn requests_that_arrive_after_their_connections_broke() {
    check_one_replica("late", Fault::LateStored, HARD_TIMEOUT);
}

/// Again and again, at a random moment of its recovery from one fault, the replica has another: writes go on.
#[track_caller]
fn check_fault_amid_recovery(db: &str, second: Fault, rounds: usize) {
    // Far longer than a write may wait.
    let setup = two_by_two().meddled().set("write", "hard_timeout = \"15s\"");
    let busy = |work: &mut Work| {
        work.hopping = 6;
        work.pause = Duration::from_millis(1);
    };
    let mut scene = Scene::start_with(setup, db, busy);
    let mut random = random_from(1);
    for round in 0..rounds {
        scene.begin(Fault::Answers(503), &[SECOND]);
        scene.go_on(Duration::from_millis(50), 20);
        let told = |scene: &Scene| scene.cluster.slotline.says("the replica takes what waits in its spool");
        let before = told(&scene);
        scene.end(Fault::Answers(503), &[SECOND]);
        // It is not told when replay has met nothing of the fault.
        let at_most = Instant::now() + Duration::from_millis(700);
        wait_for("replay", SOON, || (told(&scene) > before || Instant::now() > at_most).then_some(()));
        scene.go_on(Duration::from_millis(random.u64(..30)), 0);
        scene.begin(second, &[SECOND]);
        let began = Instant::now();
        // More than are on their way.
        scene.more(40);
        assert!(began.elapsed() < Duration::from_secs(4), "round {round}: {:?} for 40 writes", began.elapsed());
        scene.end(second, &[SECOND]);
        scene.more(5);
    }
    check_end(scene);
}

#[test]
fn a_database_lost_amid_recovery_holds_up_no_write() {
    check_fault_amid_recovery("amid404", Fault::Answers(404), 6);
}

#[test]
fn a_replica_frozen_amid_recovery_holds_up_few_writes() {
    check_fault_amid_recovery("amid_freeze", Fault::Frozen, 12);
}

#[test]
fn lines_of_one_client_that_are_refused_cost_no_other_a_point() {
    let scene = Scene::start(two_by_two().meddled(), "one_guilty");
    let name = scene.cluster.measurement_in("one_guilty", "w", 0);
    let body = "{\"error\":\"unable to parse 'guilty': played\"}\n".to_owned();
    for meddler in &scene.cluster.meddlers[0] {
        meddler.set(Meddle::AnswerTo("guilty".to_owned(), 400, body.clone()));
    }
    std::thread::scope(|scope| {
        for client in 0..2 {
            let (http, name) = (scene.cluster.http(), &name);
            scope.spawn(move || {
                for n in 0..60 {
                    let line = format!("{name},client=guilty{client},run=guilty v={n}i {n}\n");
                    let answer = http.write("one_guilty", line);
                    assert_eq!(answer.status, 400, "{answer:?}");
                }
            });
        }
        scene.more(100);
    });
    scene.cluster.meddlers[0].iter().for_each(|meddler| meddler.set(Meddle::Pass));
    assert_eq!(spooled(&scene.cluster), Default::default(), "a 400 is nothing to try again");
    check_end(scene);
}

#[test]
fn one_client_overwrites_its_points_from_core_to_core_through_outages() {
    let only_overwrites = |work: &mut Work| {
        (work.steady, work.hopping, work.overwriting) = (0, 0, 8);
        work.pause = Duration::from_millis(1);
    };
    let mut scene = Scene::start_with(two_by_two().meddled(), "hopping", only_overwrites);
    for (fault, time) in [
        (Fault::Killed, Duration::ZERO),
        (Fault::Frozen, SPOOL_AFTER),
        (Fault::Answers(503), Duration::ZERO),
        (Fault::Hangs, HARD_TIMEOUT),
        (Fault::Killed, Duration::ZERO),
    ] {
        scene.begin(fault, &[FIRST]);
        scene.go_on(time, 60);
        scene.end(fault, &[FIRST]);
        // Not waiting for the end of replay: the next fault may come amid it.
        scene.more(60);
    }
    let (cluster, mut record) = scene.finish();
    record.assert_none_refused();
    record.verify_equal(&cluster);
}

// Statements, parts of which wait.

#[test]
fn statements_take_their_place_among_the_writes_that_wait() {
    let mut scene = Scene::start(two_by_two(), "statements");
    let http = scene.cluster.http();
    let (one, two) = (scene.cluster.measurement_in("made", "m", 0), scene.cluster.measurement_in("made", "m", 1));
    let gone = scene.cluster.measurement_in("made", "gone", 0);
    scene.begin(Fault::Killed, &[SECOND]);
    scene.more(20);
    http.run("", "CREATE DATABASE made");
    let lines = |v: i64, from: i64, to: i64| -> String {
        (from..to).map(|time| format!("{one} v={v}i {time}\n{two} v={v}i {time}\n{gone} v={v}i {time}\n")).collect()
    };
    http.store("made", lines(1, 0, 100));
    http.run("made", &format!("DELETE FROM {one} WHERE time >= 20 AND time < 50"));
    http.store("made", lines(2, 30, 40));
    http.run("made", &format!("DROP MEASUREMENT {gone}"));
    http.store("made", format!("{gone} v=3i 3\n"));
    scene.wait_spooled(SECOND);
    scene.end(Fault::Killed, &[SECOND]);
    scene.wait_drained();
    let mut expected = Facts::new();
    let series = |name: &str| Series { measurement: name.to_owned(), tags: Default::default() };
    let value = |time: i64| if (30..40).contains(&time) { 2 } else { 1 };
    let all =
        |times: Vec<i64>| times.into_iter().map(|time| format!("{time} v={}", value(time))).collect::<BTreeSet<_>>();
    expected.insert(series(&one), all((0..20).chain(30..40).chain(50..100).collect()));
    expected.insert(series(&two), all((0..100).collect()));
    expected.insert(series(&gone), ["3 v=3".to_owned()].into());
    scene.cluster.assert_holds("made", &expected);
    // With no live replica a group refuses statements, and none is kept for later.
    scene.begin(Fault::Killed, &[FIRST, SECOND]);
    let answer = http.query("made", &format!("DELETE FROM {one}"));
    assert!(answer.text().contains("\"error\""), "{answer:?}");
    scene.end(Fault::Killed, &[FIRST, SECOND]);
    scene.wait_drained();
    scene.cluster.assert_holds("made", &expected);
    check_end(scene);
}

// Acknowledgements that clients ask for.

#[test]
fn consistency_is_influxdbs_own_while_the_points_wait() {
    let mut scene = Scene::start(quick(Setup::of(&[3, 2])), "asked");
    let (one, two) = (scene.cluster.measurement_in("asked", "m", 0), scene.cluster.measurement_in("asked", "m", 1));
    let write = |scene: &Scene, level: &str, time: i64| {
        let body = format!("{one} v={time}i {time}\n{two} v={time}i {time}\n");
        scene.cluster.http().write_with(&format!("db=asked&consistency={level}"), body)
    };
    let check = |scene: &Scene, wanted: [(&str, bool); 4], from: i64| {
        for (time, (level, reached)) in (from..).zip(wanted) {
            let answer = write(scene, level, time);
            match reached {
                true => assert_eq!(answer.status, 204, "{level}: {answer:?}"),
                false => {
                    assert_eq!((answer.status, answer.error()), (500, "timeout".to_owned()), "{level}: {answer:?}");
                }
            }
        }
    };
    check(&scene, [("any", true), ("one", true), ("quorum", true), ("all", true)], 0);
    scene.begin(Fault::Killed, &[SECOND]);
    scene.more(10);
    check(&scene, [("any", true), ("one", true), ("quorum", true), ("all", false)], 10);
    scene.begin(Fault::Killed, &[FIRST]);
    scene.more(10);
    check(&scene, [("any", true), ("one", true), ("quorum", false), ("all", false)], 20);
    scene.begin(Fault::Killed, &[(0, 2)]);
    scene.more(10);
    check(&scene, [("any", true), ("one", false), ("quorum", false), ("all", false)], 30);
    scene.end(Fault::Killed, &[FIRST, SECOND, (0, 2)]);
    scene.wait_drained();
    for replica in scene.cluster.replicas() {
        let stored = facts(replica.http(), "asked");
        let of_test = |(series, _): &(&Series, _)| series.measurement == one || series.measurement == two;
        let points: BTreeSet<String> = stored.iter().filter(of_test).flat_map(|(_, points)| points.clone()).collect();
        let wanted = [0, 10, 20, 30].into_iter().flat_map(|from| from..from + 4).map(|time| format!("{time} v={time}"));
        assert_eq!(points, wanted.collect(), "{}", replica.addr());
    }
    check_end(scene);
}

// The proxy.

#[test]
fn sigterm_under_load_with_a_replica_down_and_a_start_with_it_back() {
    let mut scene = Scene::start(two_by_two(), "sigterm");
    scene.begin(Fault::Killed, &[SECOND]);
    scene.more(100);
    scene.wait_spooled(SECOND);
    let began = Instant::now();
    assert_eq!(scene.cluster.slotline.stop(), 0);
    assert!(began.elapsed() < Duration::from_secs(6), "it took {:?}", began.elapsed());
    let config = scene.cluster.config.clone();
    scene.end(Fault::Killed, &[SECOND]);
    scene.start_again(&config);
    scene.more(50);
    let (cluster, mut record) = scene.finish();
    record.verify_equal(&cluster);
}

#[test]
fn sigterm_under_load_with_a_frozen_replica() {
    let mut scene = Scene::start(two_by_two(), "sigterm_frozen");
    scene.begin(Fault::Frozen, &[SECOND]);
    // Some writes still wait for it.
    scene.more(5);
    let began = Instant::now();
    assert_eq!(scene.cluster.slotline.stop(), 0);
    assert!(began.elapsed() < Duration::from_secs(6), "it took {:?}", began.elapsed());
    let config = scene.cluster.config.clone();
    scene.start_again(&config);
    scene.more(20);
    scene.end(Fault::Frozen, &[SECOND]);
    scene.more(50);
    let (cluster, mut record) = scene.finish();
    record.verify_equal(&cluster);
}

#[test]
fn kill_9_of_the_proxy_again_and_again_with_a_replica_down() {
    let mut scene = Scene::start(two_by_two(), "kill9");
    let config = scene.cluster.config.clone();
    scene.begin(Fault::Killed, &[SECOND]);
    for _ in 0..6 {
        scene.more(40);
        scene.cluster.slotline.kill9();
        scene.start_again(&config);
    }
    scene.more(40);
    scene.end(Fault::Killed, &[SECOND]);
    // Amid replay, too.
    for _ in 0..3 {
        scene.more(10);
        scene.cluster.slotline.kill9();
        scene.start_again(&config);
    }
    scene.more(40);
    let (cluster, record) = scene.finish();
    record.verify(&cluster);
}

#[test]
fn starts_with_other_numbers_of_cores() {
    let mut scene = Scene::start(two_by_two(), "cores");
    scene.begin(Fault::Killed, &[SECOND]);
    for cores in [1, 2, 1] {
        scene.more(60);
        assert_eq!(scene.cluster.slotline.stop(), 0);
        let config = scene.cluster.config.clone().set("server", &format!("cores = {cores}"));
        scene.start_again(&config);
    }
    scene.more(60);
    scene.end(Fault::Killed, &[SECOND]);
    scene.more(30);
    let (cluster, mut record) = scene.finish();
    record.verify_equal(&cluster);
}

const DAY_S: i64 = 86_400;

#[test]
fn the_clock_steps_forwards_and_back() {
    let Some(clock) = Clock::make() else { return };
    let mut scene = Scene::start(two_by_two().clock(&clock), "clock");
    let name = scene.cluster.measurement_in("clock", "stamped", 0);
    let stamped = |scene: &Scene, n: i64| {
        scene.cluster.http().store("clock", format!("{name} v={n}i\n"));
        let stored =
            read_all(scene.cluster.groups[0][0].http(), "clock", &format!("SELECT v FROM {name} WHERE v = {n}"));
        let point = stored.into_values().flatten().next().expect("the point is stored");
        point.split_once(' ').and_then(|(time, _)| time.parse::<i64>().ok()).expect("a time") / 1_000_000_000
    };
    let real = stamped(&scene, 0);
    let check = |scene: &Scene, n: i64, days: i64| {
        clock.step_to(days * DAY_S);
        let off = stamped(scene, n) - real - days * DAY_S;
        assert!((0..120).contains(&off), "stamps are off by {off} seconds");
    };
    check(&scene, 1, 2);
    scene.begin(Fault::Killed, &[SECOND]);
    scene.more(30);
    check(&scene, 2, 400);
    scene.more(30);
    check(&scene, 3, -400);
    scene.more(30);
    scene.wait_spooled(SECOND);
    scene.end(Fault::Killed, &[SECOND]);
    check(&scene, 4, 1);
    scene.more(10);
    check(&scene, 5, -1);
    scene.wait_drained();
    // A slow replica is noticed, one that hangs given up, whatever the wall clock does.
    scene.begin(Fault::Frozen, &[SECOND]);
    check(&scene, 6, -300);
    scene.more(30);
    scene.wait_spooled(SECOND);
    check(&scene, 7, 300);
    assert_eq!(scene.cluster.slotline.stop(), 0);
    clock.step_to(-200 * DAY_S);
    let config = scene.cluster.config.clone();
    scene.start_again(&config);
    scene.end(Fault::Frozen, &[SECOND]);
    scene.more(30);
    let (cluster, mut record) = scene.finish();
    record.verify_equal(&cluster);
}

/// What `slotline spool ARGS… --config …` prints.
fn spool_command(cluster: &Cluster, args: &[&str]) -> Ended {
    let path = cluster.slotline.config_path();
    run(&[&["spool"], args, &["--config", path.to_str().expect("temporary paths are UTF-8")]].concat(), "")
}

#[test]
fn what_waits_for_a_replica_that_the_topology_no_longer_has_is_kept() {
    let mut scene = Scene::start(two_by_two(), "renamed");
    scene.begin(Fault::Killed, &[SECOND]);
    scene.more(60);
    scene.wait_spooled(SECOND);
    assert_eq!(scene.cluster.slotline.stop(), 0);
    let config = scene.cluster.config.clone();
    scene.end(Fault::Killed, &[SECOND]);
    scene.start_again(&config.clone().replica_renamed("g1b", "g1x"));
    scene.more(30);
    let log = scene.cluster.slotline.log();
    assert!(log.lines().any(|line| line.contains("g1b") && line.contains("WARN")), "it is not told:\n{log}");
    let listed = spool_command(&scene.cluster, &["ls"]);
    assert!(listed.code == 0 && listed.stdout.contains("g1b"), "{listed:?}");
    // Named as before, it gets them.
    assert_eq!(scene.cluster.slotline.stop(), 0);
    scene.start_again(&config);
    scene.more(30);
    let (cluster, record) = scene.finish();
    // What was written under the other name came later and is overwritten by older values: only that nothing is missing
    // can be said of points written once.
    wait_drained(&cluster);
    let (_, told) = record.compare(&cluster);
    let missing: Vec<&String> = told.iter().filter(|line| line.contains("is None")).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

// Streams and datagrams.

fn with_streams(setup: Setup, db: &str) -> Setup {
    let lines = format!("db = {db:?}");
    setup.listen_lines("tcp", &lines).listen_lines("udp", &format!("{lines}\nspread = \"source\""))
}

#[track_caller]
fn check_streams(db: &str, places: &[Place], fault: Fault) {
    let mut scene = Scene::start(with_streams(two_by_two(), db), db);
    let received =
        |scene: &Scene, protocol| scene.cluster.slotline.metric("slotline_points_received_total", &[protocol]);
    let before = ["tcp", "udp"].map(|protocol| received(&scene, protocol));
    scene.suffer(fault, places, 150);
    for (protocol, before) in ["tcp", "udp"].into_iter().zip(before) {
        assert!(received(&scene, protocol) > before + 100, "nothing came over {protocol} during the outage");
    }
    scene.more(30);
    let (cluster, mut record) = scene.finish();
    record.assert_none_refused();
    assert_eq!(cluster.slotline.metric("slotline_udp_dropped_total", &[]), 0);
    assert_eq!(cluster.slotline.metric("slotline_points_rejected_total", &[]), 0);
    record.count_sent();
    // Datagrams that were sent last may still be on their way.
    wait_for("all datagrams to be stored", RECOVERY, || record.compare(&cluster).1.is_empty().then_some(()));
    record.verify_equal(&cluster);
}

#[test]
fn points_over_tcp_and_udp_while_a_replica_is_down() {
    check_streams("streams_one", &[SECOND], Fault::Killed);
}

#[test]
fn points_over_tcp_and_udp_while_a_replica_is_frozen() {
    check_streams("streams_frozen", &[SECOND], Fault::Frozen);
}

#[test]
fn points_over_tcp_and_udp_while_a_group_is_down() {
    check_streams("streams_group", &[FIRST, SECOND], Fault::Killed);
}

// What a replica will never take, or not yet.

#[test]
fn poisonous_lines_among_thousands_go_where_dead_ones_lie() {
    const REQUESTS: i64 = 40;
    const GOOD: i64 = 100;
    let mut scene = Scene::start(two_by_two(), "poison");
    let (good, poisoned) =
        (scene.cluster.measurement_in("poison", "good", 0), scene.cluster.measurement_in("poison", "bad", 0));
    // Only this replica has another type there.
    scene.cluster.groups[0][1].http().store("poison", format!("{poisoned},n=other v=\"text\" 1\n"));
    scene.begin(Fault::Killed, &[SECOND]);
    let mut guilty = BTreeSet::new();
    for request in 0..REQUESTS {
        let mut body: String = (0..GOOD).map(|n| format!("{good},n={n} v={request}i {request}\n")).collect();
        if request % 4 == 0 {
            let line = format!("{poisoned},n=n{request} v={request}i {request}");
            body.push_str(&format!("{line}\n{good},n=after v={request}i {request}\n"));
            guilty.insert(line);
        }
        scene.cluster.http().store("poison", body);
    }
    scene.wait_spooled(SECOND);
    scene.end(Fault::Killed, &[SECOND]);
    scene.more(30);
    scene.wait_drained();
    let of_good = |http: Http| read_all(http, "poison", &format!("SELECT * FROM {good} GROUP BY *"));
    let expected = of_good(scene.cluster.groups[0][0].http());
    assert_eq!(expected.len(), 101, "series of good points");
    facts::assert_same("g1b", &of_good(scene.cluster.groups[0][1].http()), &expected);
    let bad = read_all(scene.cluster.groups[0][1].http(), "poison", &format!("SELECT * FROM {poisoned} GROUP BY *"));
    assert_eq!(bad.len(), 1, "{bad:?}");
    let path = scene.cluster.slotline.data_dir().join("spool/g1b/dead.jsonl");
    let dead = std::fs::read_to_string(&path).expect("there are dead lines");
    for line in &guilty {
        let (key, _) = line.split_once(' ').expect("a line has fields");
        let kept = dead.lines().find(|text| text.contains(&format!("{key} ")));
        let kept = kept.unwrap_or_else(|| panic!("{line} is not in {dead}"));
        assert!(kept.contains("field type conflict"), "{kept}");
        let _: serde_json::Value = serde_json::from_str(kept).expect("a JSON document a line");
    }
    assert!(!dead.contains(&good), "good lines lie there: {dead}");
    let listed = spool_command(&scene.cluster, &["dead"]);
    assert!(listed.code == 0 && listed.said().contains("field type conflict"), "{listed:?}");
    let (cluster, record) = scene.finish();
    record.assert_none_refused();
    record.verify(&cluster);
}

#[test]
fn a_database_that_one_replica_lacks_holds_up_no_other() {
    let scene = Scene::start(two_by_two(), "has_it");
    let http = scene.cluster.http();
    for (number, replica) in scene.cluster.replicas().enumerate() {
        if number != 1 {
            replica.http().run("", "CREATE DATABASE lacks_it");
        }
    }
    let name = scene.cluster.measurement_in("lacks_it", "m", 0);
    let store = |from: i64| (from..from + 50).for_each(|n| http.store("lacks_it", format!("{name} v={n}i {n}\n")));
    store(0);
    scene.wait_spooled(SECOND);
    // Others go on, and what is written now gets there now.
    let other = scene.cluster.measurement_in("has_it", "other", 0);
    let replica = scene.cluster.groups[0][1].http();
    for n in 0..3 {
        scene.more(20);
        http.store("has_it", format!("{other} v={n}i {n}\n"));
        store(100 * (n + 1));
        wait_for("a point of another database", Duration::from_secs(5), || {
            let stored = read_all(replica, "has_it", &format!("SELECT * FROM {other}"));
            stored.values().any(|points| points.contains(&format!("{n} v={n}"))).then_some(())
        });
    }
    let log = scene.cluster.slotline.log();
    let told = |line: &str| {
        line.contains("g1b") && line.contains("lacks_it") && (line.contains("WARN") || line.contains("ERROR"))
    };
    assert!(log.lines().any(told), "no alert:\n{log}");
    scene.wait_spooled(SECOND);
    replica.run("", "CREATE DATABASE lacks_it");
    scene.wait_drained();
    let stored = facts(replica, "lacks_it");
    assert_eq!(stored.values().map(BTreeSet::len).sum::<usize>(), 200, "points of the database");
    assert_equal(&scene.cluster, "lacks_it");
    check_end(scene);
}

// The disk.

#[test]
fn a_full_spool_refuses_writes_until_there_is_room() {
    let setup = two_by_two().set("spool", "segment_bytes_max = \"64KiB\"").set("spool", "bytes_max = \"256KiB\"");
    check_full(Scene::start(setup, "full_spool"), Some("Retry-After"));
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let setup = two_by_two().set("spool", "segment_bytes_max = \"256KiB\"");
    let mut scene = Scene::start(setup, "full_disk");
    assert_eq!(scene.cluster.slotline.stop(), 0);
    let folder = scene.cluster.slotline.data_dir().join("spool");
    let mount = Mount::tmpfs(&folder, "1m");
    let config = scene.cluster.config.clone();
    scene.start_again(&config);
    let Some(_mount) = mount else { return };
    check_full(scene, None);
}

/// Fills the log of one replica until writes are refused.
#[track_caller]
fn check_full(mut scene: Scene, header: Option<&str>) {
    let db = scene.db.clone();
    scene.more(10);
    let (one, two) = (scene.cluster.measurement_in(&db, "fill", 0), scene.cluster.measurement_in(&db, "fill", 1));
    let filler = "x".repeat(4000);
    scene.begin(Fault::Killed, &[SECOND]);
    let http = scene.cluster.http();
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    let began = Instant::now();
    for n in 0.. {
        assert!(began.elapsed() < SOON && n < 5000, "{n} writes and no room is lacking");
        let answer = http.write(&db, format!("{one} v={n}i,s=\"{filler}\" {n}\n"));
        match answer.status {
            204 => acknowledged.push(n),
            503 => {
                refused += 1;
                assert!(answer.error().contains("g1b"), "{answer:?}");
                if let Some(name) = header {
                    assert!(answer.header(name).is_some(), "{answer:?}");
                }
            }
            _ => panic!("{answer:?}"),
        }
        if refused == 20 {
            break;
        }
        // The other group is not concerned.
        http.store(&db, format!("{two} v={n}i {n}\n"));
    }
    assert!(acknowledged.len() > 10, "{} were taken", acknowledged.len());
    scene.end(Fault::Killed, &[SECOND]);
    scene.wait_drained();
    scene.more(50);
    for replica in &scene.cluster.groups[0] {
        let stored = read_all(replica.http(), &db, &format!("SELECT v FROM {one}"));
        let points = stored.into_values().next().unwrap_or_default();
        let lost: Vec<_> = acknowledged.iter().filter(|n| !points.contains(&format!("{n} v={n}"))).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
    // Once there is room it serves on, through the next outage too.
    let refused = scene.witness.refused();
    assert!(refused.keys().all(|text| text.starts_with("503 ")), "{refused:?}");
    scene.begin(Fault::Killed, &[SECOND]);
    scene.more(20);
    scene.wait_spooled(SECOND);
    scene.end(Fault::Killed, &[SECOND]);
    let (cluster, record) = scene.finish();
    record.verify(&cluster);
}

/// A file system that is gone with the thread's mounts at the latest: nobody else sees it.
struct Mount(std::ffi::CString);

impl Mount {
    /// `None`, with the reason printed, where that is not permitted.
    fn tmpfs(folder: &Path, size: &str) -> Option<Mount> {
        use std::os::unix::ffi::OsStrExt;
        let text = |text: &str| std::ffi::CString::new(text).expect("no zero in it");
        let target = std::ffi::CString::new(folder.as_os_str().as_bytes()).expect("no zero in it");
        let (kind, root, options) = (text("tmpfs"), text("/"), text(&format!("size={size}")));
        std::fs::create_dir_all(folder).expect("a folder can be made");
        // SAFETY: the strings end with zeros and live until the calls are over; a null pointer means no such argument.
        let done = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    std::ptr::null(),
                    root.as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
                && libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) == 0
        };
        if !done {
            println!("skipped: a file system cannot be mounted here: {}", std::io::Error::last_os_error());
        }
        done.then_some(Mount(target))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // SAFETY: the string ends with a zero and lives until the call is over.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}

/// One client's requests lie in the log of a replica that is down, and slotline has ended.
struct Logged {
    cluster: Cluster,
    measurement: String,
    /// With records in it, the oldest first.
    segments: Vec<PathBuf>,
}

const LOGGED_REQUESTS: i64 = 400;
const LOGGED_POINTS: i64 = 5;

#[track_caller]
fn logged(db: &str) -> Logged {
    let setup = two_by_two().set("spool", "segment_bytes_max = \"32KiB\"");
    let mut cluster = setup.start();
    cluster.create_db(db);
    let measurement = cluster.measurement_in(db, "m", 0);
    cluster.http().store(db, format!("{measurement},n=first v=0i 0\n"));
    cluster.groups[0][1].kill9();
    let mut conn = cluster.http().connect();
    for request in 1..=LOGGED_REQUESTS {
        let body: String =
            (0..LOGGED_POINTS).map(|n| format!("{measurement},n=number{n} v={request}i {request}\n")).collect();
        let answer = conn.call(&Request::write(&format!("db={db}"), body));
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    assert_eq!(cluster.slotline.stop(), 0);
    let folder = cluster.slotline.data_dir().join("spool/g1b/main");
    let files = std::fs::read_dir(&folder).expect("the log's folder").map(|entry| entry.expect("an entry").path());
    let holds_records = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        memchr::memmem::find(&bytes, measurement.as_bytes()).is_some()
    };
    let mut segments: Vec<PathBuf> = files.filter(|path| path.is_file() && holds_records(path)).collect();
    segments.sort();
    println!("segments: {segments:?}");
    assert!(segments.len() >= 2, "{segments:?} in {}", folder.display());
    Logged { cluster, measurement, segments }
}

impl Logged {
    /// Starts slotline and the replica again: how many requests never came.
    #[track_caller]
    fn replayed(mut self, db: &str) -> (Cluster, usize) {
        self.cluster.groups[0][1].restart();
        let config = self.cluster.config.clone();
        self.cluster.slotline.start_again(&config, &[]);
        wait_drained(&self.cluster);
        // It goes on after that.
        self.cluster.http().store(db, format!("{},n=last v=1i 1\n", self.measurement));
        let q = format!("SELECT v FROM {} WHERE n =~ /number/ GROUP BY n", self.measurement);
        let stored = read_all(self.cluster.groups[0][1].http(), db, &q);
        let present: Vec<BTreeSet<String>> = stored.into_values().collect();
        assert_eq!(present.len(), LOGGED_POINTS as usize);
        assert!(present.iter().all(|points| *points == present[0]), "parts of requests came");
        let missing = LOGGED_REQUESTS as usize - present[0].len();
        println!("{missing} of {LOGGED_REQUESTS} requests are missing");
        (self.cluster, missing)
    }
}

/// The log says that something of the replica's spool is lost.
#[track_caller]
fn assert_damage_told(cluster: &Cluster) {
    let log = cluster.slotline.log();
    let told = |line: &str| line.contains("ERROR") && line.contains("g1b") && line.contains("are lost");
    assert!(log.lines().any(told), "no word of the damage:\n{log}");
}

#[test]
fn flipped_bytes_cost_the_records_they_lie_in() {
    const FLIPS: usize = 5;
    let mut random = random_from(1);
    let logged = logged("flipped");
    for _ in 0..FLIPS {
        let path = &logged.segments[random.usize(..logged.segments.len())];
        let bytes = std::fs::read(path).expect("a segment can be read");
        // Among the records: a segment's head is another thing.
        let first = memchr::memmem::find(&bytes, logged.measurement.as_bytes()).expect("it holds records");
        let last = memchr::memmem::rfind(&bytes, logged.measurement.as_bytes()).expect("it holds records");
        let at = random.usize(first..last);
        let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("a segment can be changed");
        file.seek(SeekFrom::Start(at as u64)).expect("within the file");
        file.write_all(&[bytes[at] ^ (1 << random.u8(..8))]).expect("a segment can be changed");
        println!("flipped a bit at {at} of {}", path.display());
    }
    let (cluster, missing) = logged.replayed("flipped");
    assert!(missing <= FLIPS, "{missing} requests are missing after {FLIPS} flips");
    assert!(missing > 0, "nothing was damaged");
    assert_damage_told(&cluster);
}

#[test]
fn cut_segments_cost_the_records_at_the_cut() {
    let logged = logged("cut");
    // One in the middle and the last one, each amid its last record.
    let last = logged.segments.len() - 1;
    for path in [&logged.segments[last / 2], &logged.segments[last]] {
        let bytes = std::fs::read(path).expect("a segment can be read");
        let at = memchr::memmem::rfind(&bytes, logged.measurement.as_bytes()).expect("it holds records");
        let file = std::fs::OpenOptions::new().write(true).open(path).expect("a segment can be changed");
        file.set_len(at as u64 + 3).expect("a segment can be cut");
    }
    let (cluster, missing) = logged.replayed("cut");
    assert!((1..=2).contains(&missing), "{missing} requests are missing after two cuts");
    assert_damage_told(&cluster);
}

#[test]
fn a_segment_that_is_empty_or_gone_costs_no_other() {
    let logged = logged("emptied");
    let count = logged.segments.len();
    let per_segment = LOGGED_REQUESTS as usize / (count - 1) + 2;
    std::fs::OpenOptions::new()
        .write(true)
        .open(&logged.segments[count / 2])
        .and_then(|file| file.set_len(0))
        .expect("a segment can be cut");
    let (_, missing) = logged.replayed("emptied");
    assert!(missing <= per_segment, "{missing} requests are missing with one of {count} segments");
}

// Random ones, by perf/soak.

/// A replica's fault, or the proxy's end, or both, in any combination: `SLOTLINE_FAULTS` of them (50), with the seed of
/// `SLOTLINE_TEST_SEED`; every 50 the clients stop and everything is checked.
#[test]
#[ignore = "takes minutes: perf/soak --faults"]
fn soak() {
    const CHECK_EVERY: usize = 50;
    let faults: usize =
        std::env::var("SLOTLINE_FAULTS").map_or(50, |text| text.parse().expect("SLOTLINE_FAULTS is a number"));
    let mut random = random();
    let db = "soak";
    let mut scene = Scene::start(two_by_two().meddled(), db);
    let mut total = (0, 0);
    let mut done = 0;
    while done < faults {
        let share = CHECK_EVERY.min(faults - done);
        for _ in 0..share {
            random_fault(&mut scene, &mut random, done);
            done += 1;
        }
        let work = scene.witness.work();
        let run = work.run.clone();
        let nobody = Witness::start(scene.cluster.http(), work.clone().none());
        let mut record = std::mem::replace(&mut scene.witness, nobody).stop();
        let verdict = record.verify(&scene.cluster);
        total = (total.0 + verdict.acknowledged, total.1 + verdict.stored);
        let refused: u64 = record.refused.values().sum();
        println!("faults {done} run={run} {verdict} refused={refused} broken={}", record.broken);
        record.refused.iter().for_each(|(text, times)| println!("refused {times} times: {text}"));
        record.verify_equal(&scene.cluster);
        // Else every check would take longer than the one before.
        for replica in scene.cluster.replicas() {
            replica.http().run(db, &format!("DROP SERIES WHERE run = '{run}'"));
        }
        scene.witness = Witness::start(scene.cluster.http(), Work { run: done.to_string(), ..work });
        scene.more(20);
    }
    println!("faults {done} in all acknowledged={} stored={} lost={}", total.0, total.1, total.0 - total.1);
}

fn random_fault(scene: &mut Scene, random: &mut fastrand::Rng, number: usize) {
    let fault = *random.choice(&Fault::ALL).expect("there are some");
    let mut places = scene.places();
    random.shuffle(&mut places);
    places.truncate(*random.choice(&[1, 1, 1, 2, 2, 4]).expect("there are some"));
    if matches!(fault, Fault::Answers(401 | 403 | 404)) {
        // Where all replicas of a group say so, clients rightly hear of it.
        let mut groups = BTreeSet::new();
        places.retain(|&(group, _)| groups.insert(group));
    }
    let time = Duration::from_millis(random.u64(..3000));
    let end = random.u8(..6);
    let statement = random.u8(..6) == 0;
    println!("fault {number}: {fault:?} at {places:?} for {time:?}, proxy {end}, statement {statement}");
    scene.begin(fault, &places);
    scene.go_on(time / 2, 10);
    if statement {
        // Refused when a group has no live replica; nobody reads that measurement.
        scene.cluster.http().query(&scene.db, "DELETE FROM nobodys WHERE time < 100");
    }
    if end < 3 {
        let cores = random.u8(1..3);
        match end {
            0 => scene.cluster.slotline.kill9(),
            _ => assert_eq!(scene.cluster.slotline.stop(), 0),
        }
        let config = scene.cluster.config.clone().set("server", &format!("cores = {cores}"));
        scene.start_again(&config);
    }
    scene.go_on(time / 2, 10);
    scene.end(fault, &places);
    if random.bool() {
        scene.wait_drained();
    }
    scene.more(5);
}
