//! Databases that one replica lacks or denies: each waits for itself, whatever befalls the others or the replica.

mod support;

use support::facts::assert_same;
use support::*;

const DENIED: &str = "{\"error\":\"\\\"s\\\" user is not authorized to write to database\"}\n";

fn parked(slotline: &Slotline) -> f64 {
    slotline.figure("slotline_spool_parked_points{backend=\"g1b\"}").unwrap_or_default()
}

/// Whichever of the two is tried first.
#[test]
fn a_parked_database_in_trouble_holds_up_no_other() {
    for (troubled, other) in [("one", "two"), ("two", "one")] {
        let cluster = Setup::new(1, 2).meddled().set("spool", "retry_max = \"300ms\"").start();
        for db in [troubled, other] {
            cluster.groups[0][0].http().run("", &format!("CREATE DATABASE {db}"));
        }
        let http = cluster.http();
        http.store(troubled, "bad v=1 1\n");
        http.store(other, "good v=1 1\n");
        wait_for("both to be parked", SOON, || (parked(&cluster.slotline) == 2.0).then_some(()));
        cluster.slotline.wait_direct();
        cluster.meddlers[0][1].set(Meddle::AnswerTo("bad".to_owned(), 403, DENIED.to_owned()));
        for db in [troubled, other] {
            cluster.groups[0][1].http().run("", &format!("CREATE DATABASE {db}"));
        }
        wait_for("the other one", SOON, || (parked(&cluster.slotline) == 1.0).then_some(()));
        assert_eq!(facts(cluster.groups[0][1].http(), other).len(), 1);
        cluster.meddlers[0][1].set(Meddle::Pass);
        wait_for("both", SOON, || (parked(&cluster.slotline) == 0.0).then_some(()));
    }
}

/// A database to which the replica's user may not write: the others go on.
#[test]
fn a_database_that_is_denied_holds_up_no_other() {
    let cluster = Setup::new(1, 2).meddled().set("spool", "retry_max = \"300ms\"").start();
    cluster.create_db("denied");
    cluster.create_db("db");
    cluster.meddlers[0][1].set(Meddle::AnswerTo("bad".to_owned(), 403, DENIED.to_owned()));
    let http = cluster.http();
    http.store("denied", "bad v=1 1\n");
    http.store("db", "good v=1 1\n");
    wait_for("the other database", SOON, || (facts(cluster.groups[0][1].http(), "db").len() == 1).then_some(()));
    cluster.slotline.wait_direct();
    cluster.meddlers[0][1].set(Meddle::Pass);
    cluster.slotline.wait_metric("slotline_spool_points{backend=\"g1b\"}", 0.0);
    let [one, two] = [0, 1].map(|replica| facts(cluster.groups[0][replica].http(), "denied"));
    assert_same("g1b", &two, &one);
}

/// What is parked is being taken when the replica gets another address: the rest goes there.
#[test]
fn what_is_parked_follows_its_replica() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let replicas: Vec<Influxd> = (0..3).map(|_| Influxd::start()).collect();
    replicas[0].http().run("", "CREATE DATABASE db");
    let mut document = Document::of([replicas[0].url()]);
    document.group(1).push(Member::new("g1b", replicas[1].url()));
    znodes.put("topology", document.text());
    let slotline = Slotline::start(&Config::new().zookeeper(zookeeper.addr()).set("spool", "replay_rate = \"16KiB\""));
    slotline.wait_metric("slotline_backend_up{backend=\"g1b\"}", 1.0);
    let filler = "x".repeat(1000);
    slotline.http().store("db", format!("m v=\"{filler}\" 0\n"));
    slotline.wait_says("points are parked");
    for n in 1..100 {
        slotline.http().store("db", format!("m v=\"{filler}\" {n}\n"));
    }
    wait_for("all to be parked", SOON, || (parked(&slotline) == 100.0).then_some(()));
    for replica in &replicas[1..] {
        replica.http().run("", "CREATE DATABASE db");
    }
    wait_for("the first of it", SOON, || (parked(&slotline) < 98.0).then_some(()));
    document.group(1)[1].url = replicas[2].url();
    document.epoch = 2;
    znodes.put("topology", document.text());
    slotline.wait_epoch(2);
    let left = parked(&slotline) as usize;
    assert!(left > 20, "{left}");
    wait_for("all of it", 3 * SOON, || (parked(&slotline) == 0.0).then_some(()));
    let there = facts(replicas[2].http(), "db").values().map(|points| points.len()).sum::<usize>();
    assert!(there + 20 >= left, "{left} waited when it moved, {there} are there");
}
