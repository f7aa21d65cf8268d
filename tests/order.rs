//! Order and patience: late requests, statements among writes, what is parked, gates, and disks that hang. Networks and
//! disks are played by a relay and by a library loaded before slotline's own.

mod support;

use std::time::{Duration, Instant};

use support::facts::assert_same;
use support::*;

const TEXT: &str = "DELETE";

fn pair() -> Cluster {
    let cluster =
        Setup::new(1, 2).meddled().set("write", "timeout = \"3s\"").set("write", "hard_timeout = \"4s\"").start();
    cluster.create_db("db");
    cluster
}

fn values(influxd: &Influxd, measurement: &str) -> Vec<String> {
    let all = read_all(influxd.http(), "db", &format!("SELECT * FROM {measurement}"));
    all.into_values().flatten().collect()
}

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// A point that was acknowledged while a DELETE was on its way is there on the replica that was up, and gone on the other.
#[test]
fn a_point_acknowledged_while_a_statement_runs_is_on_all_replicas_or_on_none() {
    let mut cluster = pair();
    let http = cluster.http();
    http.store("db", "m v=1 1\n");
    cluster.groups[0][1].kill9();
    http.store("db", "m v=3 3\n");
    cluster.meddlers[0][0].set(Meddle::SlowAnswerTo("DROP".to_owned(), Duration::from_secs(2)));
    std::thread::scope(|scope| {
        scope.spawn(|| http.run("db", "DROP MEASUREMENT m"));
        scope.spawn(|| {
            pause(800);
            http.store("db", "m v=4 4\n");
        });
    });
    cluster.groups[0][1].restart();
    cluster.slotline.wait_direct();
    let [one, two] = [0, 1].map(|replica| facts(cluster.groups[0][replica].http(), "db"));
    assert_same("g1b", &two, &one);
}

/// The same with both replicas up, one of which breaks the connection amid the statement.
#[test]
fn a_statement_that_one_replica_breaks_off_is_not_replayed_behind_newer_points() {
    let cluster = pair();
    let http = cluster.http();
    http.store("db", "m v=1 1\n");
    cluster.meddlers[0][0].set(Meddle::SlowAnswerTo("DROP".to_owned(), Duration::from_secs(2)));
    cluster.meddlers[0][1].set(Meddle::AnswerTo("DROP".to_owned(), 503, "{\"error\":\"timeout\"}\n".to_owned()));
    std::thread::scope(|scope| {
        scope.spawn(|| http.run("db", "DROP MEASUREMENT m"));
        scope.spawn(|| {
            pause(800);
            cluster.meddlers[0][1].set(Meddle::Pass);
            http.store("db", "m v=4 4\n");
        });
    });
    cluster.slotline.wait_direct();
    let [one, two] = [0, 1].map(|replica| facts(cluster.groups[0][replica].http(), "db"));
    assert_same("g1b", &two, &one);
}

/// A request on a kept connection breaks, is repeated at once and stored; the first one arrives later, over a newer value.
#[test]
fn what_was_repeated_on_a_new_connection_lands_on_nothing_newer() {
    let cluster = Setup::new(1, 2)
        .meddled()
        .set("write", "timeout = \"3s\"")
        .set("write", "hard_timeout = \"4s\"")
        .set("write", "lanes = 1")
        .set("server", "cores = 1")
        .start();
    cluster.create_db("db");
    let http = cluster.http();
    for n in 0..4 {
        http.store("db", format!("other v=1 {n}\n"));
    }
    cluster.meddlers[0][1].set(Meddle::LateStoredOnce("m v=1".to_owned(), Duration::from_millis(1500)));
    http.store("db", "m v=1 1\n");
    http.store("db", "m v=2 1\n");
    pause(3000);
    cluster.slotline.wait_direct();
    assert_eq!([0, 1].map(|replica| values(&cluster.groups[0][replica], "m")), [["1 v=2"], ["1 v=2"]]);
}

/// The first line of a storage shard has a name that is no text: InfluxDB fails at it, and stores it when it comes once more. A
/// replica that takes what its peer has stored then must store it too.
#[test]
fn what_a_peer_has_stored_at_its_second_attempt_is_stored_out_of_the_log() {
    let mut cluster = Cluster::new(1, 2);
    cluster.http().run("", "CREATE DATABASE fresh");
    cluster.groups[0][1].kill9();
    let line = b"\xff v=1 1\n";
    let first = cluster.http().write("fresh", line);
    assert!(first.status == 500 && first.text().contains("invalid UTF-8"), "{first:?}");
    cluster.http().store("fresh", line);
    cluster.groups[0][1].restart();
    cluster.slotline.wait_direct();
    let [one, two] = [0, 1].map(|replica| facts(cluster.groups[0][replica].http(), "fresh"));
    assert_eq!(one.len(), 1, "{one:?}");
    assert_same("g1b", &two, &one);
    assert_eq!(cluster.slotline.metric("slotline_spool_dead_points_total", &[]), 0);
}

/// A DELETE that waits for a replica is no backlog to readers: deleted points are told as if they were there.
#[test]
fn a_replica_that_has_a_statement_to_take_is_behind() {
    let cluster = pair();
    let http = cluster.http();
    // A measurement for which the second replica is asked.
    let name = (0..50)
        .map(|n| format!("m{n}"))
        .find(|name| {
            cluster.groups[0][0].http().store("db", format!("{name} v=1 1\n"));
            cluster.groups[0][1].http().store("db", format!("{name} v=2 1\n"));
            let answer = http.get_query(&[("db", "db"), ("q", &format!("SELECT v FROM {name}"))]);
            answer.json()["results"][0]["series"][0]["values"][0][1].as_u64() == Some(2)
        })
        .expect("some measurement");
    cluster.meddlers[0][1].set(Meddle::AnswerTo(TEXT.to_owned(), 503, "{\"error\":\"timeout\"}\n".to_owned()));
    http.run("db", &format!("DELETE FROM {name}"));
    let answer = http.get_query(&[("db", "db"), ("q", &format!("SELECT v FROM {name}"))]);
    let stale = answer.header("X-Slotline-Stale").map(str::to_owned);
    assert!(!answer.text().contains("values") || stale.is_some(), "deleted points, and no warning: {answer:?}");
}

/// The last thing that was replayed was slow, and nobody writes: the gate stays closed, and no statement is taken any more.
#[test]
fn a_replica_that_was_slow_once_is_written_to_directly_again() {
    let setup = Setup::new(1, 1)
        .meddled()
        .set("write", "timeout = \"5s\"")
        .set("write", "hard_timeout = \"8s\"")
        .set("write", "spool_after = \"1s\"");
    let cluster = setup.start();
    cluster.create_db("db");
    let http = cluster.http();
    http.store("db", "m v=0 0\n");
    cluster.meddlers[0][0].set(Meddle::LateTo("slow".to_owned(), Duration::from_millis(1500)));
    http.store("db", "slow v=1 1\n");
    pause(6000);
    assert_eq!(cluster.slotline.metric("slotline_spool_points", &[]), 0, "all of it is replayed");
    cluster.meddlers[0][0].set(Meddle::Pass);
    let began = Instant::now();
    loop {
        let answer = http.query("", "CREATE DATABASE made");
        if answer.status == 200 {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(15), "still {answer:?}");
        pause(500);
    }
}

/// Parked, then the replica leaves the topology and comes back.
#[test]
fn what_is_parked_outlives_a_topology_without_the_replica() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let replicas: Vec<Influxd> = (0..2).map(|_| Influxd::start()).collect();
    replicas[0].http().run("", "CREATE DATABASE db");
    let mut alone = Document::of([replicas[0].url()]);
    let mut both = alone.clone();
    both.group(1).push(Member::new("g1b", replicas[1].url()));
    znodes.put("topology", both.text());
    let slotline = Slotline::start(&Config::new().zookeeper(zookeeper.addr()));
    slotline.wait_metric("slotline_backend_up{backend=\"g1b\"}", 1.0);
    slotline.http().store("db", "m v=1 1\nm v=1 2\n");
    slotline.wait_says("points are parked");
    alone.epoch = 2;
    znodes.put("topology", alone.text());
    slotline.wait_epoch(2);
    pause(1000);
    both.epoch = 3;
    znodes.put("topology", both.text());
    slotline.wait_epoch(3);
    replicas[1].http().run("", "CREATE DATABASE db");
    slotline.http().store("db", "m v=2 1\n");
    wait_for("what was parked", SOON, || {
        let stored = facts(replicas[1].http(), "db");
        stored.values().any(|points| points.len() == 2).then_some(())
    });
    slotline.wait_direct();
    assert_same("g1b", &facts(replicas[1].http(), "db"), &facts(replicas[0].http(), "db"));
}

/// g1a has these databases, g1b has not; both have `db`.
fn lacking(databases: &[&str]) -> Cluster {
    let cluster = Cluster::new(1, 2);
    cluster.create_db("db");
    let http = cluster.groups[0][0].http();
    databases.iter().for_each(|db| drop(http.run("", &format!("CREATE DATABASE {db}"))));
    cluster
}

fn parked(cluster: &Cluster) -> f64 {
    cluster.slotline.figure("slotline_spool_parked_points{backend=\"g1b\"}").unwrap_or_default()
}

/// One database that never comes back holds up nobody: not another one, nor writes, statements and queries.
#[test]
fn what_is_parked_holds_up_its_own_database_only() {
    let cluster = lacking(&["never", "later"]);
    let http = cluster.http();
    http.store("never", "m v=1 1\n");
    http.store("later", "m v=1 1\nm v=1 2\n");
    wait_for("both to be parked", SOON, || (parked(&cluster) == 3.0).then_some(()));
    cluster.slotline.wait_direct();
    let spooled = || cluster.slotline.figure("slotline_spool_points{backend=\"g1b\"}");
    http.store("later", "m v=2 1\n");
    http.store("db", "m v=1 1\n");
    assert_eq!((spooled(), facts(cluster.groups[0][1].http(), "db").len()), (Some(4.0), 1), "db is written directly");
    // Through slotline: it is not held up behind what it heals.
    http.run("", "CREATE DATABASE later");
    wait_for("what was parked for it", SOON, || (parked(&cluster) == 1.0).then_some(()));
    http.store("later", "m v=3 2\n");
    let [one, two] = [0, 1].map(|replica| facts(cluster.groups[0][replica].http(), "later"));
    assert_same("g1b", &two, &one);
    assert!(one.values().all(|points| points.contains("1 v=2") && points.contains("2 v=3")), "{one:?}");
    assert_eq!(spooled(), Some(1.0));
}

/// A DROP waits behind what it drops, and makes what is lacking: nobody has to.
#[test]
fn a_parked_database_that_is_dropped_needs_no_operator() {
    let cluster = lacking(&["gone"]);
    let http = cluster.http();
    http.store("gone", "m v=1 1\n");
    wait_for("it to be parked", SOON, || (parked(&cluster) == 1.0).then_some(()));
    cluster.slotline.wait_direct();
    http.run("", "DROP DATABASE gone");
    http.run("", "CREATE DATABASE gone");
    http.store("gone", "m v=2 2\n");
    wait_for("what was parked", SOON, || (parked(&cluster) == 0.0).then_some(()));
    cluster.slotline.wait_metric("slotline_spool_points{backend=\"g1b\"}", 0.0);
    let [one, two] = [0, 1].map(|replica| facts(cluster.groups[0][replica].http(), "gone"));
    assert_same("g1b", &two, &one);
    assert!(one.values().all(|points| points.len() == 1), "the first was dropped: {one:?}");
}

/// Points that come to one replica behind the DROP DATABASE before which they came to its peer: they are gone there, too, and
/// no operator is called for.
#[test]
fn points_on_their_way_while_their_database_is_dropped_stay_parked_for_nobody() {
    let mut cluster = pair();
    let http = cluster.http();
    for (turn, down) in [false, true].into_iter().enumerate() {
        http.run("", "CREATE DATABASE gone");
        http.store("gone", "m v=1 1\n");
        if down {
            cluster.groups[0][1].kill9();
            http.store("gone", "m v=2 2\n");
        }
        cluster.meddlers[0][0].set(Meddle::LateTo("DROP".to_owned(), Duration::from_secs(5)));
        let bytes = || cluster.slotline.metric("slotline_spool_bytes", &["backend=\"g1b\""]);
        let (second, before) = (cluster.groups[0][1].http(), bytes());
        std::thread::scope(|scope| {
            scope.spawn(|| http.run("", "DROP DATABASE gone"));
            wait_for("the DROP at g1b, or in its log", SOON, || {
                match down {
                    false => !second.run("", "SHOW DATABASES").to_string().contains("gone"),
                    true => bytes() > before,
                }
                .then_some(())
            });
            http.store("gone", "m v=3 3\n");
        });
        cluster.meddlers[0][0].set(Meddle::Pass);
        if down {
            cluster.groups[0][1].restart();
        }
        let dead = || cluster.slotline.metric("slotline_spool_dead_points_total", &["backend=\"g1b\""]);
        wait_for("the late point", SOON, || (dead() == turn as u64 + 1).then_some(()));
        cluster.slotline.wait_direct();
        assert_eq!(parked(&cluster), 0.0);
        for replica in &cluster.groups[0] {
            let databases = replica.http().run("", "SHOW DATABASES").to_string();
            assert!(!databases.contains("gone"), "{databases}");
        }
    }
    http.run("", "CREATE DATABASE gone");
    http.store("gone", "m v=4 4\n");
    let [one, two] = [0, 1].map(|replica| facts(cluster.groups[0][replica].http(), "gone"));
    assert_same("g1b", &two, &one);
    assert!(one.values().all(|points| points.len() == 1), "{one:?}");
}

/// What is parked is found again by the next process, and waits for its own database only.
#[test]
fn what_is_parked_outlives_a_crash() {
    let mut cluster = lacking(&["later"]);
    cluster.http().store("later", "m v=1 1\n");
    wait_for("it to be parked", SOON, || (parked(&cluster) == 1.0).then_some(()));
    cluster.slotline.wait_direct();
    cluster.http().store("later", "m v=2 1\n");
    cluster.slotline.kill9();
    cluster.slotline.restart();
    cluster.slotline.wait_direct();
    assert_eq!(parked(&cluster), 2.0);
    cluster.http().store("later", "m v=3 1\n");
    cluster.groups[0][1].http().run("", "CREATE DATABASE later");
    wait_for("what was parked", SOON, || (parked(&cluster) == 0.0).then_some(()));
    let two = facts(cluster.groups[0][1].http(), "later");
    assert!(two.values().all(|points| points.len() == 1 && points.contains("1 v=3")), "{two:?}");
}

/// A spool's folder that cannot be made once: the topology is never tried again.
#[test]
fn a_topology_that_the_disk_refused_is_tried_again() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let replicas: Vec<Influxd> = (0..2).map(|_| Influxd::start()).collect();
    let mut document = Document::of([replicas[0].url()]);
    znodes.put("topology", document.text());
    let slotline = Slotline::start(&Config::new().zookeeper(zookeeper.addr()));
    let in_the_way = slotline.data_dir().join("spool").join("g1b");
    std::fs::write(&in_the_way, "").expect("written");
    document.group(1).push(Member::new("g1b", replicas[1].url()));
    document.epoch = 2;
    znodes.put("topology", document.text());
    slotline.wait_says("refused whole");
    std::fs::remove_file(&in_the_way).expect("removed");
    slotline.wait_epoch(2);
}

/// A long backlog is replayed: new writes must not wait for the end of it again and again.
#[test]
fn a_gate_is_held_only_when_the_log_is_nearly_empty() {
    let mut cluster = Setup::new(1, 2).set("spool", "replay_rate = \"4MiB\"").start();
    cluster.create_db("db");
    let http = cluster.http();
    let latencies = |n: usize| {
        let mut conn = http.connect();
        let mut all: Vec<Duration> = (0..n)
            .map(|n| {
                let began = Instant::now();
                let answer = conn.call(&Request::write("db=db", format!("live v=1 {n}\n")));
                assert_eq!(answer.status, 204, "{answer:?}");
                let took = began.elapsed();
                pause(5);
                took
            })
            .collect();
        all.sort();
        all
    };
    let healthy = latencies(300);
    cluster.groups[0][1].kill9();
    // Records of 50 KB, 60 MB in all.
    let filler = "x".repeat(80);
    for n in 0..1200 {
        let lines: String = (0..500).map(|i| format!("m,t=1 v=\"{filler}\" {}\n", n * 500 + i)).collect();
        http.store("db", lines);
    }
    let before = cluster.slotline.metric("slotline_spool_bytes", &[]);
    println!("backlog {before} bytes");
    let waiting = latencies(300);
    cluster.groups[0][1].restart();
    let bytes = || cluster.slotline.metric("slotline_spool_bytes", &[]);
    wait_for("replay", SOON, || (bytes() < before * 95 / 100).then_some(()));
    pause(3000);
    let during = latencies(300);
    let left = cluster.slotline.metric("slotline_spool_bytes", &[]);
    let show = |name: &str, all: &[Duration]| {
        let slow = all.iter().filter(|took| **took > Duration::from_millis(100)).count();
        println!(
            "{name}: p50 {:?} p99 {:?} max {:?}, {slow} of {} over 100 ms",
            all[150],
            all[297],
            all[299],
            all.len()
        );
    };
    show("healthy", &healthy);
    show("one down", &waiting);
    show("replay", &during);
    println!("left {left} bytes");
    assert!(left > 1_000_000, "it was still being replayed");
    assert!(during[297] < Duration::from_millis(150), "p99 {:?}", during[297]);
}

/// `query.timeout` cuts a statement that a replica is still carrying out: it is waited for before anything newer goes there.
#[test]
fn a_statement_that_was_cut_does_nothing_to_newer_points() {
    let setup = Setup::new(1, 2).meddled().set("write", "timeout = \"3s\"").set("write", "hard_timeout = \"8s\"");
    let cluster = setup.set("query", "timeout = \"1s\"").start();
    cluster.create_db("db");
    let http = cluster.http();
    http.store("db", "m v=1 1\n");
    cluster.meddlers[0][1].set(Meddle::LateTo(TEXT.to_owned(), Duration::from_secs(6)));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pause(500);
            cluster.meddlers[0][1].set(Meddle::Pass);
        });
        http.run("db", "DELETE FROM m WHERE time < 10");
    });
    cluster.slotline.wait_direct();
    // After the DELETE was acknowledged.
    http.store("db", "m v=5 5\n");
    pause(7000);
    cluster.slotline.wait_direct();
    assert_eq!([0, 1].map(|replica| values(&cluster.groups[0][replica], "m")), [["5 v=5"], ["5 v=5"]]);
}

/// A disk that can be told to be faulty.
struct Disk(tempfile::TempDir);

impl Disk {
    fn make() -> Disk {
        let dir = tempfile::Builder::new().prefix("disk-").tempdir().expect("a temporary folder");
        let source = dir.path().join("disk.c");
        std::fs::write(&source, include_str!("support/faulty_disk.c")).expect("written");
        let library = dir.path().join("disk.so");
        let compiled = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status();
        assert!(compiled.is_ok_and(|status| status.success()), "a C compiler");
        Disk(dir)
    }

    fn environment(&self) -> Vec<(String, std::path::PathBuf)> {
        vec![("LD_PRELOAD".to_owned(), self.0.path().join("disk.so")), ("FAULTY_DISK".to_owned(), self.0.path().into())]
    }

    fn set(&self, what: &str, on: bool) {
        let path = self.0.path().join(what);
        if on { std::fs::write(path, "").expect("written") } else { std::fs::remove_file(path).expect("removed") }
    }
}

fn two(config: Config) -> (Disk, Vec<Influxd>, Slotline) {
    let disk = Disk::make();
    let replicas: Vec<Influxd> = (0..2).map(|_| Influxd::start()).collect();
    let named = [("g1a".to_owned(), replicas[0].url()), ("g1b".to_owned(), replicas[1].url())];
    let slotline = Slotline::start_in(&config.group(&named), disk.environment());
    for replica in &replicas {
        replica.http().run("", "CREATE DATABASE db");
    }
    slotline.http().store("db", "m v=0 0\n");
    (disk, replicas, slotline)
}

/// The last segment cannot be removed for a while: the replica is written to directly once it can.
#[test]
fn a_disk_that_removes_nothing_for_a_while_closes_no_gate_for_ever() {
    let (disk, mut replicas, slotline) = two(Config::new());
    replicas[1].kill9();
    (1..5).for_each(|n| slotline.http().store("db", format!("m v={n} {n}\n")));
    disk.set("keep", true);
    replicas[1].restart();
    wait_for("the disk's fault", SOON, || {
        (slotline.figure("slotline_spool_failures_total{backend=\"g1b\"}") > Some(0.0)
            || slotline.says("could not be removed") > 0)
            .then_some(())
    });
    pause(1000);
    disk.set("keep", false);
    slotline.wait_direct();
}

/// A disk that hangs: clients hear 503, and memory stays within its budget.
#[test]
fn a_disk_that_hangs_costs_no_more_memory_than_the_budget() {
    let config = Config::new().set("limits", "inflight_bytes_max = \"32MiB\"").set("write", "timeout = \"1s\"");
    let (disk, mut replicas, slotline) = two(config);
    replicas[1].kill9();
    slotline.http().store("db", "m v=1 1\n");
    disk.set("hang", true);
    let filler = "x".repeat(1000);
    let body: String = (0..1000).map(|i| format!("big,t=1 v=\"{filler}\" {i}\n")).collect();
    let rss = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", slotline.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a line");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") / 1024
    };
    let before = rss();
    let until = Instant::now() + Duration::from_secs(20);
    let mut most: u64 = 0;
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let mut conn = slotline.http().connect();
                while Instant::now() < until {
                    let answer = conn.call(&Request::write("db=db", &body));
                    assert_eq!(answer.status, 503, "{answer:?}");
                }
            });
        }
        while Instant::now() < until {
            most = most.max(rss());
            println!("rss {} MB, in flight {} MB", rss(), slotline.metric("slotline_inflight_bytes", &[]) >> 20);
            pause(2000);
        }
    });
    println!("rss before {before} MB, most {most} MB");
    disk.set("hang", false);
    assert!(most < before + 250, "{most} MB, {before} MB before, with a budget of 64 MB");
}

/// The disk hangs: the client hears so within the time-out, however many groups its points belong to.
#[test]
fn a_disk_that_hangs_is_waited_for_once() {
    const GROUPS: usize = 12;
    let disk = Disk::make();
    let fakes: Vec<Fake> = (0..GROUPS).map(|_| Fake::start(Play::stored())).collect();
    let mut config = Config::new().set("write", "timeout = \"1s\"");
    for (number, fake) in fakes.iter().enumerate() {
        let nobody = ("127.0.0.1:9", format!("g{}b", number + 1));
        config = config.group(&[(format!("g{}a", number + 1), fake.url()), (nobody.1, format!("http://{}", nobody.0))]);
    }
    let slotline = Slotline::start_in(&config, disk.environment());
    let body: String = (0..400).map(|n| format!("m{n} v=1 1\n")).collect();
    slotline.http().store("db", &body);
    disk.set("hang", true);
    let began = Instant::now();
    let mut conn = slotline.http().connect();
    conn.send(&Request::write("db=db", &body).to_bytes());
    let answer = conn.try_answer(false);
    let took = began.elapsed();
    disk.set("hang", false);
    println!("{took:?}: {answer:?}");
    assert!(took < Duration::from_secs(6), "{took:?} for a write with a time-out of 1s");
}

/// influxd answers 500 `timeout` after 10 s and goes on writing in the background: what was so answered is unknown.
#[test]
fn what_was_answered_with_a_timeout_lands_on_nothing_newer() {
    let cluster = pair();
    let http = cluster.http();
    http.store("db", "m v=0 0\n");
    cluster.meddlers[0][1].set(Meddle::TimeoutOnce("m v=1".to_owned(), Duration::from_millis(2500)));
    http.store("db", "m v=1 1\n");
    pause(1000);
    http.store("db", "m v=2 1\n");
    pause(3500);
    cluster.slotline.wait_direct();
    let all = [0, 1].map(|replica| values(&cluster.groups[0][replica], "m"));
    assert_eq!(all, [["0 v=0", "1 v=2"], ["0 v=0", "1 v=2"]]);
}

/// A DELETE on a kept connection breaks, and comes late: it is not repeated at once, lest the first one take what is newer.
#[test]
fn a_statement_that_was_repeated_on_a_new_connection_does_nothing_to_newer_points() {
    let cluster = pair();
    let http = cluster.http();
    http.store("db", "m v=1 1\n");
    cluster.meddlers[0][1].set(Meddle::LateStoredOnce(TEXT.to_owned(), Duration::from_millis(1500)));
    http.run("db", "DELETE FROM m");
    http.store("db", "m v=5 5\n");
    pause(3000);
    cluster.slotline.wait_direct();
    assert_eq!([0, 1].map(|replica| values(&cluster.groups[0][replica], "m")), [["5 v=5"], ["5 v=5"]]);
}
