//! What was acknowledged is stored, whatever happens to replicas and to the proxy: clients under load remember
//! what they were told (`support/witness.rs`), a fault happens, and afterwards every replica is asked.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use support::scene::{FIRST, HARD_TIMEOUT, SECOND, SPOOL_AFTER, check_end, quick, two_by_two};
use support::witness::spooled;
use support::*;

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
