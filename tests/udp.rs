//! Line protocol in datagrams: what arrives where, in which order, and what is counted when it does not.

mod support;

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use support::streams::*;
use support::*;

const RECEIVED: &str = "slotline_points_received_total";
const ACKED: &str = "slotline_points_acked_total";
const REJECTED: &str = "slotline_points_rejected_total";
const DATAGRAMS: &str = "slotline_udp_datagrams_total";
const DROPPED: &str = "slotline_udp_dropped_total";
const UNFINISHED: &str = "slotline_udp_lines_unfinished_total";

/// A cluster with a UDP listener, and a sender to it.
fn cluster(groups: usize, replicas: usize, lines: &str) -> (Cluster, Sender) {
    let cluster = Setup::new(groups, replicas).listen_lines("udp", lines).start();
    let sender = Sender::to(cluster.slotline.listening("udp")[0]);
    (cluster, sender)
}

/// A slotline before one fake, and a sender to its UDP listener.
fn one_fake(fake: &Fake, config: Config, lines: &str) -> (Slotline, Sender) {
    let (slotline, address) = before(&[fake], &config, "udp", &format!("db = \"udp\"\n{lines}"));
    (slotline, Sender::to(address))
}

fn has_database(http: Http, name: &str) -> bool {
    facts::names(&http.run("", "SHOW DATABASES")).iter().any(|own| own == name)
}

#[track_caller]
fn wait_database(cluster: &Cluster, name: &str) {
    for replica in cluster.replicas() {
        let what = format!("database {name:?} on {}", replica.addr());
        wait_for(&what, SOON, || has_database(replica.http(), name).then_some(()));
    }
}

#[test]
fn points_of_one_sender_lie_exactly_where_their_slots_say() {
    const DB: &str = "we need \\\"quotes\\\"";
    let db = DB.replace('\\', "");
    let (cluster, sender) = cluster(2, 2, &format!("db = \"{DB}\""));
    let reference = Influxd::start();
    reference.http().run("", "CREATE DATABASE \"we need \\\"quotes\\\"\"");
    let names = [r"a\,b", r"with\ space", "日本語", "in#side", r"ends\ ", r"\x\y", "quote\"in"];
    let mut points = 0;
    let mut whole = String::new();
    for number in 0..200 {
        let mut datagram = String::new();
        for line in 0..20 {
            let name = match names.get((number + line) % 40) {
                Some(name) => (*name).to_owned(),
                None => format!("m{}s", (number * 20 + line) % 97),
            };
            datagram.push_str(&format!("{name},host=h{line} v={number},s=\"a\nb\" {}\n", 1000 + number));
            points += 1;
        }
        sender.send(&datagram);
        whole.push_str(&datagram);
    }
    reference.http().store(&db, &whole);
    wait_metric(&cluster.slotline, ACKED, &[], points * 2);
    cluster.assert_holds(&db, &facts(reference.http(), &db));
    assert_eq!(cluster.slotline.metric(RECEIVED, &["udp"]), points);
    assert_eq!(cluster.slotline.metric(DATAGRAMS, &[]), 200);
    assert_eq!(cluster.slotline.metric(DROPPED, &[]), 0);
    assert_eq!(cluster.slotline.metric(REJECTED, &[]), 0);
}

#[test]
fn the_database_is_made_on_every_replica_also_after_it_was_dropped_under_traffic() {
    let (cluster, sender) = cluster(2, 2, "db = \"udp\"");
    let inhabited = cluster.measurement_in("udp", "m", 0);
    sender.send(format!("{inhabited} v=1i 1"));
    wait_metric(&cluster.slotline, ACKED, &[], 2);
    // Also those of the group that got nothing.
    wait_database(&cluster, "udp");

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut time = 2;
            while !over.load(Ordering::Relaxed) {
                sender.send(format!("{inhabited} v=1i {time}"));
                time += 1;
                std::thread::park_timeout(Duration::from_millis(1));
            }
        });
        let acked = || cluster.slotline.metric(ACKED, &[]);
        for _ in 0..3 {
            let before = acked();
            wait_metric(&cluster.slotline, ACKED, &[], before + 20);
            cluster.http().run("", "DROP DATABASE udp");
            wait_database(&cluster, "udp");
        }
        over.store(true, Ordering::Relaxed);
    });
    sender.send(format!("{inhabited} v=2i 1000000000"));
    // A DROP may still wait for a replica, in its place among the points.
    cluster.slotline.wait_direct();
    wait_database(&cluster, "udp");
    for replica in &cluster.groups[0] {
        wait_for("the last point", SOON, || {
            let facts = facts(replica.http(), "udp");
            facts.values().any(|points| points.contains("1000000000 v=2")).then_some(())
        });
    }
    assert_eq!(cluster.slotline.metric(REJECTED, &[]), 0);
}

#[test]
fn a_replica_that_was_down_at_the_first_traffic_gets_database_and_points_later() {
    let (mut cluster, sender) = cluster(1, 2, "db = \"udp\"");
    cluster.groups[0][1].stop();
    sender.send("m v=1i 1");
    wait_metric(&cluster.slotline, ACKED, &["g1a"], 1);
    cluster.groups[0][1].restart();
    cluster.slotline.wait_direct();
    for replica in cluster.replicas() {
        assert_eq!(facts(replica.http(), "udp").len(), 1);
    }
}

#[test]
fn a_replica_that_was_down_at_the_first_traffic_gets_the_database_without_points_too() {
    let (mut cluster, sender) = cluster(2, 1, "db = \"udp\"");
    cluster.groups[1][0].stop();
    let inhabited = cluster.measurement_in("udp", "m", 0);
    sender.send(format!("{inhabited} v=1i 1"));
    wait_metric(&cluster.slotline, ACKED, &["g1a"], 1);
    // It answers queries too, and must not say that there is no such database.
    cluster.groups[1][0].restart();
    wait_database(&cluster, "udp");
}

#[test]
fn policy_and_precision_are_the_listeners() {
    let setup = Setup::new(1, 2)
        .listen_lines("udp", "db = \"udp\"\nrp = \"my week\"\nprecision = \"s\"")
        .listen_lines("udp", "db = \"udp\"\nrp = \"nope\"");
    let cluster = setup.start();
    cluster.create_db("udp");
    for replica in cluster.replicas() {
        replica.http().run("udp", "CREATE RETENTION POLICY \"my week\" ON udp DURATION 0s REPLICATION 1");
    }
    let addresses = cluster.slotline.listening("udp");
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let before = second();
    Sender::to(addresses[0]).send("m v=1i 12\nm v=2i");
    wait_metric(&cluster.slotline, ACKED, &[], 4);
    let after = second();
    let mut seen = Vec::new();
    for replica in cluster.replicas() {
        assert_eq!(facts(replica.http(), "udp"), Facts::new(), "nothing lies under the default policy");
        let json = replica.http().get_query(&[("db", "udp"), ("epoch", "ns"), ("q", "SELECT v FROM \"my week\".m")]);
        seen.push(facts::rows(&json.json()));
    }
    assert_eq!(seen[0], seen[1]);
    let times: Vec<i64> = seen[0].iter().map(|row| row[0].as_i64().expect("a time")).collect();
    assert_eq!((times.len(), times[0], times[1] % 1_000_000_000), (2, 12_000_000_000, 0), "{times:?}");
    assert!((before..=after).contains(&(times[1] / 1_000_000_000)), "{times:?}");

    Sender::to(addresses[1]).send("m v=1i 12\nm v=2i");
    wait_metric(&cluster.slotline, REJECTED, &["refused"], 2);
}

#[test]
fn one_sender_feeds_every_core_or_stays_on_one() {
    for (spread, connections) in [("random", 2), ("source", 1)] {
        let fake = Fake::start(Play::stored());
        let config = Config::new().set("write", "lanes = 1");
        let (_slotline, sender) = one_fake(&fake, config, &format!("spread = \"{spread}\""));
        for number in 0..1000 {
            sender.send(format!("m v={number}i {number}"));
        }
        wait_lines(&fake, 1000);
        let counts = lines_by_connection(&fake);
        assert_eq!((counts.len(), counts.iter().sum::<usize>()), (connections, 1000), "{spread}: {counts:?}");
        assert!(counts.iter().all(|count| *count > 350), "{spread}: {counts:?}");
    }
}

#[test]
fn a_source_keeps_its_order_and_every_datagram_has_a_stamp_of_its_own() {
    let fakes = [Fake::start(Play::stored()), Fake::start(Play::stored())];
    let lines = "db = \"udp\"\nspread = \"source\"";
    let (slotline, address) = before(&[&fakes[0], &fakes[1]], &Config::new(), "udp", lines);
    let senders = [Sender::to(address), Sender::to(address), Sender::to(address)];
    for number in 0..1000 {
        for (at, sender) in senders.iter().enumerate() {
            sender.send(format!("m,from={at} v={}i\nn,from={at} v={}i", number * 2, number * 2 + 1));
        }
    }
    let mut seen = Vec::new();
    for fake in &fakes {
        let lines = wait_lines(fake, 6000);
        for at in 0..3 {
            let mark = format!(",from={at} ");
            let own: Vec<&String> = lines.iter().filter(|line| line.contains(&mark)).collect();
            assert_rising("values", own.iter().map(|line| value_of(line)));
            assert_rising("a datagram's time", own.iter().step_by(2).map(|line| time_of(line)));
            assert!(own.chunks(2).all(|pair| time_of(pair[0]) == time_of(pair[1])), "one stamp a datagram");
        }
        seen.push(lines.into_iter().collect::<BTreeSet<String>>());
    }
    assert!(seen[0] == seen[1], "replicas get the same points with the same times");
    assert_eq!(slotline.metric(DATAGRAMS, &[]), 3000);
}

#[test]
fn of_one_sources_overwrites_the_last_wins() {
    let (cluster, sender) = cluster(1, 2, "db = \"udp\"\nspread = \"source\"");
    for number in 1..=2000 {
        sender.send(format!("m,t=x v={number}i 7"));
    }
    wait_metric(&cluster.slotline, ACKED, &[], 4000);
    for replica in cluster.replicas() {
        let facts = facts(replica.http(), "udp");
        assert_eq!(facts.into_values().next(), Some(BTreeSet::from(["7 v=2000".to_owned()])));
    }
}

/// Datagrams, and what of each InfluxDB is to store: what it stores of that text as a body of its own.
#[test]
fn datagrams_of_every_shape_are_stored_as_bodies_are() {
    let mut long = String::new();
    for number in 0.. {
        let line = format!("long,number={number} v={number}i {number}\n");
        if long.len() + line.len() > 65_000 {
            break;
        }
        long.push_str(&line);
    }
    let full = format!("{long}full s=\"{}\" 1", "x".repeat(65_507 - long.len() - "full s=\"\" 1".len()));
    assert_eq!(full.len(), 65_507);
    let datagrams: &[&str] = &[
        "several,n=1 v=1 1\nseveral,n=2 v=2 2\nseveral,n=3 v=3 3\n",
        "unended,n=1 v=1 1\nunended,n=2 v=2 2",
        "crlf,n=1 v=1 1\r\ncrlf,n=2 v=2 2\r\n",
        "crlftext,n=1 s=\"a\" 1\r\ncrlftext s=\"a\r\nb\" 2\n",
        "# a comment\ncommented v=1 1\n  # another\n\n\n   \ncommented v=2 2\n#",
        "# nothing else",
        "\n",
        "\r\n",
        "   ",
        "",
        "\0",
        "bad,n=1 v=1 1\nbad,n=2 v=\nbad,n=3 v=3 3\nbad\nbad,n=4 v=1 x\nbad,n=5 v=5 5",
        "only bad",
        "multi s=\"one\ntwo\" 1\nmulti s=\"three\n\nfour\" 2",
        "back\\slash,a=b\\c v=1,s=\"\\\\\" 1",
        "dangling,n=1 v=1 1\ndangling,n=2 s=\"never ends 2\ndangling,n=3 v=3 3",
        "dangling2 v=1 1\ndangling2 s=\"x",
        "escaped,n=1 v=1 1\nescaped,n=2 v=2 2\\",
        "escaped2,n=1 v=1 1\\\n",
        "binary,n=\u{1}\u{7f} v=1 1",
        &full,
    ];
    let (cluster, sender) = cluster(1, 2, "db = \"udp\"\nspread = \"source\"");
    let reference = cluster.reference("udp");
    // By the way of one source, so that the last one is the last to be stored.
    let mut refused = 0;
    for datagram in datagrams {
        let answer = reference.http().write("udp", datagram).text();
        if !answer.is_empty() {
            println!("{:?}: {answer}", &datagram[..datagram.len().min(80)]);
        }
        // What InfluxDB refuses of these ends does not get that far.
        if !datagram.starts_with("dangling") && !datagram.starts_with("escaped") {
            refused += answer.matches("unable to parse '").count() as u64;
        }
        sender.send(datagram);
    }
    let invalid = b"invalid\xff v=1 1";
    assert_eq!(reference.http().write("udp", invalid).status, 204);
    sender.send(invalid);
    let slotline = &cluster.slotline;
    assert!(refused > 5, "{refused}");
    wait_metric(slotline, REJECTED, &["refused"], refused);
    // InfluxDB tells of conflicts or of lines that do not parse, not of both: this one by itself.
    let conflict = "conflict v=1 1\nconflict v=\"text\" 2\nconflict v=3 3";
    reference.http().write("udp", conflict);
    sender.send(conflict);
    wait_metric(slotline, REJECTED, &["refused"], refused + 1);
    sender.send("last v=1 1");
    reference.http().store("udp", "last v=1 1");
    for replica in cluster.replicas() {
        let has_last = || facts(replica.http(), "udp").keys().any(|series| series.measurement == "last").then_some(());
        wait_for("the last point", SOON, has_last);
    }
    cluster.assert_holds("udp", &facts(reference.http(), "udp"));
    let bytes: usize = datagrams.iter().map(|datagram| datagram.len()).sum();
    let others = invalid.len() + conflict.len() + "last v=1 1".len();
    assert_eq!(slotline.metric("slotline_udp_bytes_total", &[]) as usize, bytes + others);
    assert_eq!(slotline.metric(DATAGRAMS, &[]) as usize, datagrams.len() + 3);
    // Of dangling, dangling2, escaped and escaped2.
    assert_eq!(slotline.metric(UNFINISHED, &[]), 4);
    assert_eq!(slotline.metric(REJECTED, &[]), refused + 1);
}

#[test]
fn a_dangling_quote_swallows_nothing_of_the_next_datagram() {
    let fake = Fake::start(Play::stored());
    let (slotline, sender) = one_fake(&fake, Config::new(), "spread = \"source\"");
    for number in 0..10 {
        sender.send(format!("good v={number}i {number}\nbad s=\"{number}"));
        sender.send(format!("back v={number}i {number}\nbad v=1i {number}\\"));
    }
    let lines = wait_lines(&fake, 20);
    assert!(lines.iter().all(|line| line.starts_with("good v=") || line.starts_with("back v=")), "{lines:?}");
    wait_metric(&slotline, UNFINISHED, &[], 20);
    assert_eq!(slotline.metric(UNFINISHED, &[]), 20);
    assert_eq!(slotline.metric(RECEIVED, &["udp"]), 20);
}

#[test]
fn datagrams_sent_as_segments_of_one_send_are_taken_apart() {
    let fake = Fake::start(Play::stored());
    let (slotline, sender) = one_fake(&fake, Config::new(), "spread = \"source\"");
    let mut count = 0;
    for send in 0..40 {
        let datagrams: String = (0..60).map(|n| format!("m,pad=xxxxxxxx v={:06}i\n", send * 60 + n)).collect();
        let bytes = datagrams.len() / 60;
        // The last one is shorter: it has no newline.
        sender.send_segments(datagrams.trim_end().as_bytes(), u16::try_from(bytes).expect("it is short"));
        count += 60;
    }
    let lines = wait_lines(&fake, count);
    assert_eq!(lines.len(), count);
    assert_rising("values", lines.iter().map(|line| value_of(&line.replace("v=0", "v="))));
    assert_rising("times", lines.iter().map(|line| time_of(line)));
    assert_eq!(slotline.metric(DATAGRAMS, &[]), count as u64);
}

#[test]
fn ten_thousand_points_a_second_are_all_stored() {
    const SECONDS: u64 = 5;
    const PER_MILLISECOND: u64 = 10;
    let (cluster, sender) = cluster(2, 1, "db = \"udp\"");
    let began = Instant::now();
    let mut sent = 0;
    while sent < SECONDS * 1000 * PER_MILLISECOND {
        let due = (began.elapsed().as_millis() as u64 * PER_MILLISECOND).min(SECONDS * 1000 * PER_MILLISECOND);
        while sent < due {
            sender.send(format!("m{}s,host=h{} v={sent}i {sent}", sent % 50, sent % 7));
            sent += 1;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    wait_metric(&cluster.slotline, ACKED, &[], sent);
    let stored: usize = (cluster.replicas())
        .map(|replica| facts(replica.http(), "udp").values().map(BTreeSet::len).sum::<usize>())
        .sum();
    assert_eq!(stored as u64, sent);
    assert_eq!(cluster.slotline.metric(DROPPED, &[]), 0);
}

/// Sends as fast as it goes; what was sent has been received or dropped by the kernel, and what was received has come
/// out at the other end.
#[track_caller]
fn check_flood(config: Config, play: Play, datagrams: u64, drops: impl Fn(u64) -> bool) {
    let fake = Fake::start(play);
    let (slotline, sender) = one_fake(&fake, config, "");
    for number in 0..datagrams {
        sender.send_now(format!("m,host=a v={number}i {number}\nn,host=a v={number}i {number}"));
    }
    let count = || (slotline.metric(DATAGRAMS, &[]), slotline.metric(DROPPED, &["kernel"]));
    wait_for("sent = received + dropped", SOON, || {
        let (received, dropped) = count();
        assert!(received + dropped <= datagrams, "{received} received and {dropped} dropped of {datagrams}");
        (received + dropped == datagrams).then_some(())
    });
    let (received, dropped) = count();
    println!("{received} received, {dropped} dropped");
    assert!(drops(dropped), "{dropped} of {datagrams} datagrams were dropped");
    assert_eq!(slotline.metric(RECEIVED, &["udp"]), received * 2);
    assert_eq!(slotline.metric(DROPPED, &["truncated"]), 0);
    let lines = wait_lines(&fake, received as usize * 2);
    assert_eq!(lines.len() as u64, received * 2);
    assert_eq!(lines.into_iter().collect::<BTreeSet<_>>().len() as u64, received * 2, "each came once");
    wait_metric(&slotline, ACKED, &[], received * 2);
}

#[test]
fn as_fast_as_a_sender_goes_what_was_sent_is_received_or_counted_as_dropped() {
    check_flood(Config::new(), Play::stored(), 50_000, |_| true);
}

#[test]
fn what_the_kernel_drops_is_counted_apart_and_exactly() {
    // The backend is slow and batches are short: the sockets are full again and again while they are read.
    let config = Config::new()
        .set("limits", "udp_buffer = \"64KiB\"")
        .set("write", "request_points_max = 200")
        .set("write", "batch_points = 100");
    let slow = Play::Slow(Duration::from_millis(20), 204, String::new());
    check_flood(config, slow, 30_000, |dropped| dropped > 0);
}

#[test]
fn a_replica_that_is_away_for_two_seconds_misses_nothing_and_keeps_the_order() {
    let (mut cluster, sender) = cluster(1, 2, "db = \"udp\"\nspread = \"source\"");
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (a, b) = cluster.groups[0].split_at_mut(1);
    let (a, b) = (&a[0], &mut b[0]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let number = sent.fetch_add(1, Ordering::Relaxed);
                sender.send(format!("each v={number}i {number}\nlast v={number}i 5"));
                std::thread::park_timeout(Duration::from_millis(1));
            }
        });
        let sent_more = |count| {
            let goal = sent.load(Ordering::Relaxed) + count;
            wait_for("more to be sent", SOON, || (sent.load(Ordering::Relaxed) >= goal).then_some(()));
        };
        sent_more(100);
        b.kill9();
        let down = Instant::now();
        wait_for("two seconds", SOON, || (down.elapsed() >= Duration::from_secs(2)).then_some(()));
        b.restart();
        sent_more(100);
        over.store(true, Ordering::Relaxed);
    });
    let sent = sent.into_inner() as u64;
    wait_metric(&cluster.slotline, RECEIVED, &["udp"], sent * 2);
    wait_metric(&cluster.slotline, ACKED, &["g1a"], sent * 2);
    cluster.slotline.wait_direct();
    for replica in [a, &*b] {
        let facts = facts(replica.http(), "udp");
        let points = |name: &str| {
            let (_, points) = facts.iter().find(|(series, _)| series.measurement == name).expect("it is there");
            points.clone()
        };
        assert_eq!(points("each").len() as u64, sent);
        assert_eq!(points("last"), BTreeSet::from([format!("5 v={}", sent - 1)]));
    }
    assert_eq!(cluster.slotline.metric(REJECTED, &[]), 0);
}

/// One request fails while those behind it are stored: what is sent again must not overwrite them.
#[test]
fn what_is_sent_again_is_followed_by_what_came_behind_it() {
    let mut writes = 0;
    let fake = Fake::start_by(move |request| {
        let is_write = request.path.starts_with("/write");
        writes += usize::from(is_write);
        if is_write && writes == 2 { Play::Answer(503, "{\"error\":\"timeout\"}".to_owned()) } else { Play::stored() }
    });
    let config = Config::new().set("write", "request_points_max = 100");
    let (_slotline, sender) = one_fake(&fake, config, "spread = \"source\"");
    // Without times they have the same one.
    sender.send((0..1000).map(|number| format!("m v={number}i\n")).collect::<String>());
    let values = || -> Vec<i64> { fake.lines().iter().map(|line| value_of(line)).collect() };
    let again = wait_for("the failed request's lines", SOON, || {
        let values = values();
        let at = values.windows(2).position(|pair| pair[0] > pair[1])?;
        (values.last() == Some(&999)).then(|| values[at + 1..].to_vec())
    });
    assert_eq!(again, (100..1000).collect::<Vec<i64>>());
}

#[test]
fn points_that_no_replica_takes_wait_for_it() {
    let fake = Fake::start(Play::Answer(503, "{\"error\":\"go away\"}".to_owned()));
    let (slotline, sender) = one_fake(&fake, Config::new(), "");
    for number in 0..10 {
        sender.send(format!("m v={number}i {number}\nn v=1i 1"));
    }
    wait_metric(&slotline, "slotline_spool_points", &[], 20);
    fake.set(Play::stored());
    sender.send("after v=1i 1");
    wait_metric(&slotline, ACKED, &[], 21);
    slotline.wait_direct();
    assert_eq!(slotline.metric(REJECTED, &[]), 0);
    assert!(slotline.log().contains("go away"), "the log names the reason");
    let made = fake.requests().into_iter().filter(|request| request.path.starts_with("/query")).count();
    assert!(made > 0, "the database is made before the points");
}

#[test]
fn a_replica_that_lacks_the_database_for_good_is_not_asked_without_a_pause() {
    let fake = Fake::start_by(|request| match request.path.starts_with("/write") {
        true => Play::Answer(404, "{\"error\":\"database not found: \\\"udp\\\"\"}".to_owned()),
        false => Play::stored(),
    });
    let (slotline, sender) = one_fake(&fake, Config::new(), "");
    let began = Instant::now();
    sender.send("m v=1i 1");
    wait_for("some attempts", SOON, || (fake.writes().len() >= 5).then_some(()));
    assert!(began.elapsed() > Duration::from_secs(1), "5 attempts within {:?}", began.elapsed());
    fake.set(Play::stored());
    wait_metric(&slotline, ACKED, &[], 1);
}

#[test]
fn sigterm_under_load_delivers_all_that_came_before_and_exits_0() {
    let fake = Fake::start(Play::Slow(Duration::from_millis(5), 204, String::new()));
    let (mut slotline, sender) = one_fake(&fake, Config::new(), "");
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let before = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                let _ = sender.try_send(format!("m v={number}i {number}"));
                number += 1;
                sent.store(number, Ordering::Release);
            }
        });
        wait_for("load", SOON, || (sent.load(Ordering::Acquire) > 5000).then_some(()));
        let before = sent.load(Ordering::Acquire);
        assert_eq!(slotline.stop(), 0);
        over.store(true, Ordering::Relaxed);
        before
    });
    let came: BTreeSet<i64> = fake.lines().iter().map(|line| value_of(line)).collect();
    let missing: Vec<i64> = (0..before as i64).filter(|number| !came.contains(number)).take(5).collect();
    assert!(missing.is_empty(), "sent before the signal and not delivered: {missing:?}");
}

#[test]
fn datagrams_that_never_hold_a_point_take_no_memory() {
    let fake = Fake::start(Play::stored());
    let (slotline, sender) = one_fake(&fake, Config::new().set("limits", "inflight_bytes_max = \"64KiB\""), "");
    let comment = format!("# {}", "x".repeat(1000));
    for _ in 0..500 {
        sender.send(&comment);
        sender.send("m s=\"dangling");
    }
    wait_metric(&slotline, DATAGRAMS, &[], 1000);
    wait_for("no memory held", Duration::from_secs(5), || {
        (slotline.metric("slotline_inflight_bytes", &[]) == 0).then_some(())
    });
    assert_eq!(slotline.http().write("db", "m v=1 1").status, 204);
}

#[test]
fn a_buffer_that_the_kernel_will_not_give_is_told_of() {
    let fake = Fake::start(Play::stored());
    let text = std::fs::read_to_string("/proc/sys/net/core/rmem_max").expect("Linux tells");
    let rmem_max: usize = text.trim().parse().expect("a number");
    for (wanted, told) in [(rmem_max + 1024, true), (rmem_max, false)] {
        let config = Config::new().set("limits", &format!("udp_buffer = {wanted}"));
        let (slotline, _) = one_fake(&fake, config, "");
        let log = slotline.log();
        assert_eq!(log.contains("net.core.rmem_max is below limits.udp_buffer"), told, "{log}");
        assert!(!told || log.contains(&format!("net.core.rmem_max={wanted}")), "{log}");
    }
}

/// Runs `serve` with a UDP listener on a port that it will not get.
fn check_taken(taken: SocketAddr) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = Config::new().listen_lines("udp", &taken.to_string(), "db = \"udp\"");
    let config = config.group(&[("g1a".to_owned(), "http://127.0.0.1:9".to_owned())]);
    let path = dir.path().join("config.toml");
    std::fs::write(&path, config.to_toml(&dir.path().join("data"))).expect("a folder takes a file");
    let ended = run(&["serve", "--config", path.to_str().expect("temporary paths are UTF-8")], "");
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains(&taken.to_string()), "{taken} is not named: {ended:?}");
}

#[test]
fn a_taken_port_is_named_and_exits_2() {
    let holder = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    check_taken(holder.local_addr().expect("a bound socket has an address"));
    let fake = Fake::start(Play::stored());
    let (slotline, _) = one_fake(&fake, Config::new(), "");
    check_taken(slotline.listening("udp")[0]);
}

#[test]
fn the_ports_of_http_and_tcp_may_be_those_of_udp() {
    let fake = Fake::start(Play::stored());
    let (http, tcp) = (own_addr().to_string(), own_addr().to_string());
    let config = Config::new()
        .listen(&http)
        .listen_lines("tcp", &tcp, "db = \"tcp\"")
        .listen_lines("udp", &tcp, "db = \"udp\"")
        .listen_lines("udp", &http, "db = \"udp\"")
        .group(&[("g1a".to_owned(), fake.url())]);
    let slotline = Slotline::start(&config);
    assert_eq!(slotline.listening("udp").iter().map(SocketAddr::to_string).collect::<Vec<_>>(), [&*tcp, &*http]);
    for (at, address) in slotline.listening("udp").into_iter().enumerate() {
        Sender::to(address).send(format!("m v={at}i 1"));
    }
    wait_lines(&fake, 2);
    slotline.http().store("db", "m v=3i 1");
    assert_eq!(fake.line_count(), 3);
}

#[test]
fn ipv6_senders_are_heard() {
    if UdpSocket::bind("[::1]:0").is_err() {
        println!("this machine has no IPv6");
        return;
    }
    let fake = Fake::start(Play::stored());
    let config = Config::new().listen_lines("udp", "[::]:0", "db = \"udp\"").group(&[("g1a".to_owned(), fake.url())]);
    let mut slotline = Slotline::start(&config);
    let port = slotline.listening("udp")[0].port();
    Sender::to(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))).send("m v=6i 1");
    Sender::to(SocketAddr::from(([127, 0, 0, 1], port))).send("m v=4i 1");
    wait_lines(&fake, 2);
    assert_eq!(slotline.stop(), 0);
}

#[test]
fn listeners_that_hear_nothing_cost_nothing() {
    let fake = Fake::start(Play::Answer(204, String::new()));
    let mut config = Config::new().group(&[("g1a".to_owned(), fake.url())]);
    for _ in 0..20 {
        config = config.listen_lines("udp", "127.0.0.1:0", "db = \"udp\"");
    }
    let slotline = Slotline::start(&config);
    let sender = Sender::to(slotline.listening("udp")[7]);
    sender.send("cpu v=1 1");
    wait_for("the point", SOON, || (fake.line_count() == 1).then_some(()));
    let (before, started) = (slotline.cpu(), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let used = (slotline.cpu() - before).as_secs_f64() / started.elapsed().as_secs_f64();
    assert!(used < 0.06, "{used:.3} of a core");
}
