//! What clients hear about bad writes: exactly what one InfluxDB would have told them.

mod support;

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use support::*;

/// A time before all that is stamped now, and after the small times that most tests write.
const LATE: i64 = 1_700_000_000_000_000_000;

/// Without the points of odd fields, which `random_body` makes by chance: with some seeds the reference does not show a
/// point of such a field that it answered with 204, while slotline's replicas do.
fn of_plain_fields(facts: &Facts) -> Facts {
    let plain =
        |point: &&String| point.split_once(' ').is_some_and(|(_, fields)| fields.as_bytes().get(1) == Some(&b'='));
    let points = |points: &BTreeSet<String>| points.iter().filter(plain).cloned().collect::<BTreeSet<_>>();
    let kept = facts.iter().map(|(series, all)| (series.clone(), points(all)));
    kept.filter(|(_, points)| !points.is_empty()).collect()
}

/// A cluster and a reference with the same empty database.
fn pair() -> (Cluster, Influxd) {
    let cluster = Cluster::new(2, 2);
    let reference = cluster.reference("db");
    cluster.create_db("db");
    (cluster, reference)
}

/// Facts with the time of points that were stamped on arrival, which is after `since`, replaced
/// by a word.
fn without_stamps(facts: Facts, since: i64) -> Facts {
    let hide = |point: String| match point.split_once(' ') {
        Some((time, rest)) if time.parse::<i64>().is_ok_and(|time| time > since) => {
            format!("stamped {rest}")
        }
        _ => point,
    };
    let points = |points: BTreeSet<String>| points.into_iter().map(hide).collect();
    facts.into_iter().map(|(series, all)| (series, points(all))).collect()
}

#[track_caller]
fn assert_same_store(cluster: &Cluster, reference: &Influxd, since: i64, assert: fn(&str, &Facts, &Facts)) {
    let expected = without_stamps(facts(reference.http(), "db"), since);
    for (number, group) in cluster.groups.iter().enumerate() {
        let mut share = expected.clone();
        share.retain(|series, _| cluster.group_of("db", &series.measurement) == number);
        for replica in group {
            let seen = without_stamps(facts(replica.http(), "db"), since);
            let who = format!("a replica of group {}", number + 1);
            assert(&who, &seen, &share);
        }
    }
}

fn assert_stores_nothing(cluster: &Cluster) {
    for replica in cluster.replicas() {
        assert_eq!(facts(replica.http(), "db"), Facts::new(), "something was stored");
    }
}

/// Writes to the same effect, in order, on both; every answer must be the same.
#[track_caller]
fn check_bodies(bodies: &[String]) {
    check_bodies_sent_by(bodies, LATE, facts::assert_same, |http, body| http.write("db", body));
}

/// The same with `send` to bring a body to slotline; what is later than `since` was stamped on
/// arrival.
#[track_caller]
fn check_bodies_sent_by(
    bodies: &[String],
    since: i64,
    assert: fn(&str, &Facts, &Facts),
    mut send: impl FnMut(Http, &str) -> Response,
) {
    let (cluster, reference) = pair();
    let mut assert = assert;
    for body in bodies {
        let expected = reference.http().write("db", body);
        let seen = send(cluster.http(), body).full_verdict();
        // Two types for a new field in one request: InfluxDB stores nothing of it. Of several groups only the one that
        // has the field does so; the others store their good lines.
        if expected.text().contains("\"field type conflict\"") {
            assert = |who, seen, share| facts::assert_holds_all(who, &of_plain_fields(seen), &of_plain_fields(share));
        }
        assert_eq!(seen, expected.full_verdict(), "for the body {body:?}");
    }
    assert_same_store(&cluster, &reference, since, assert);
}

#[test]
fn each_kind_of_bad_line_is_answered_as_influxdb_answers_it() {
    let lines = [
        "bad",
        "m",
        "m ",
        "m v",
        "m v=",
        "m v= 1",
        "m =1",
        "m v=1 x",
        "m v=1 1 1",
        "m v=1 1x",
        "m v=x",
        "m v=1ii",
        "m v=1u",
        "m v=NaN",
        "m v=1e400",
        "m v=9223372036854775808i",
        "m v=\"x",
        "m v=x\"",
        "m v=\"x\"y 1",
        "m,t v=1",
        "m,t= v=1",
        "m,=x v=1",
        "m, v=1",
        "m,t=a,t=b v=1 1",
        ",t=x v=1",
        "m,t=a,,u=b v=1",
        "m v=1,",
        "m v=1,,w=2",
        "m v=1,w",
        "m v=1 99999999999999999999",
        "m v=1 9223372036854775807",
        "m v=1 -9223372036854775808",
        "m,time=x v=1 1",
        "m time=1 1",
        "m time=1,v=2 1",
        "m v=1\0",
        "m v=1\u{7f}",
        "m v=tru 1",
        "m v=1\\ 1",
        "m\\ v=1",
        "m v=1 1\\",
        "m,t=\\ v=1 1",
        "m v=1.2.3",
        "m v=1e",
        "m v=--1",
        "m v=0x1f",
        "m v=1i2 1",
        "m v=\"a\" \"b\" 1",
        "m v =1 1",
        "m v= \"x\" 1",
        "m v=Inf",
        "m v=+Inf",
        "m v=-",
        "m v=.",
        "m v=1.e5 1",
        "m v=T1",
        "=x v=1",
        "\u{1}",
        "m,t=x=y v=1 1",
        "m,t=x v=1=2 1",
        "m v=1;w=2 1",
        "'m v=1 1",
        "m v='x' 1",
        "m,t=a\tb v=1\t1",
    ];
    let mut bodies: Vec<String> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let line = line.replacen('m', &format!("m{number}s"), 1);
        bodies.push(line.clone());
        bodies.push(format!("{line}\n"));
        bodies.push(format!("good{number} v=1 1\n{line}\nother{number} v=2 2\n"));
        bodies.push(format!("{line}\n\n# comment\n{line}\n"));
    }
    check_bodies(&bodies);
}

#[test]
fn a_key_that_is_too_long_is_refused_with_influxdbs_words() {
    let long = "k".repeat(66_000);
    check_bodies(&[
        format!("m,t={long} v=1 1\n"),
        format!("{long} v=1 1\ngood v=1 1\n"),
        format!("good v=2 2\nm {long}=1 1\nm2 v=1 1"),
    ]);
}

#[test]
fn errors_of_several_groups_come_in_the_order_of_the_lines() {
    let mut bodies = Vec::new();
    for size in [2, 3, 10, 60] {
        // Neighbours live in different groups, so both groups have errors all over.
        let lines = |text: fn(usize) -> String| -> String { (0..size).map(text).collect() };
        bodies.push(lines(|n| format!("m{n}s v=\n")));
        bodies.push(lines(|n| format!("m{n}s v=\nm{n}s v=1 {n}\n")));
        bodies.push(lines(|n| format!("m{n}s v=1 {n}\nx{n}\n")));
    }
    check_bodies(&bodies);
}

#[test]
fn type_conflicts_are_reported_and_counted_as_one_influxdb_does() {
    let types = ["1", "1i", "\"s\"", "true"];
    let mut bodies: Vec<String> = (0..12).map(|n| format!("m{n}s v={} 1\n", types[n % 4])).collect();
    for shift in 1..4 {
        // One conflict, then all at once over both groups, alone and among good lines.
        for n in 0..12 {
            bodies.push(format!("m{n}s v={} 2\n", types[(n + shift) % 4]));
        }
        let conflict = |n: usize| format!("m{n}s v={} 3\n", types[(n + shift) % 4]);
        let good = |n: usize| format!("m{n}s v={} 4\n", types[n % 4]);
        bodies.push((0..12).map(conflict).collect());
        bodies.push((0..12).map(|n| conflict(n) + &good(n)).collect());
        bodies.push((0..12).rev().map(|n| good(n) + &conflict(n)).collect());
        // Conflicts hide what could not be parsed.
        bodies.push((0..12).map(|n| format!("bad{n}\n") + &conflict(n)).collect());
        bodies.push((0..6).map(|n| conflict(n) + &good(n + 6) + &format!("bad{n} v=\n")).collect());
    }
    // Two fields of one point, and two types within one request.
    bodies.push("m0s v=1i,w=1 5\nm1 w=1,v=\"x\" 5\n".to_owned());
    bodies.push("new1 v=1 1\nnew1 v=1i 2\n".to_owned());
    bodies.push("new3,time=x v=1 1\nm0 v=1i 6\nnew4 time=3 1\n".to_owned());
    bodies.push("new5 time=3 1\nm0 v=1i 6\nbad\n".to_owned());
    check_bodies(&bodies);
}

#[test]
fn points_beyond_the_retention_policy_are_dropped_and_counted() {
    let (cluster, reference) = pair();
    let create = "CREATE RETENTION POLICY short ON db DURATION 1h REPLICATION 1";
    for influxd in cluster.replicas().chain([&reference]) {
        influxd.http().run("db", create);
    }
    for body in [
        "m0s v=1 1\n".to_owned(),
        (0..10).map(|n| format!("m{n}s v=1 {n}\n")).collect(),
        (0..10).map(|n| format!("m{n}s v=1 {n}\nm{n}s v=1\n")).collect(),
        (0..10).map(|n| format!("m{n}s v=1 {n}\nbad{n}\nm{n}s v=1\n")).collect(),
    ] {
        let expected = reference.http().write_with("db=db&rp=short", &body).full_verdict();
        let seen = cluster.http().write_with("db=db&rp=short", &body).full_verdict();
        assert_eq!(seen, expected, "for the body {body:?}");
    }
}

/// What a single InfluxDB tells where lines of several groups are dropped, each for a reason of its own.
#[test]
fn of_several_reasons_the_one_is_told_that_influxdb_tells() {
    let (cluster, reference) = pair();
    let name = |group: usize| (0..99).map(|n| format!("m{n}s")).find(|name| cluster.group_of("db", name) == group);
    let [one, two] = [0, 1].map(|group| name(group).expect("each group has some"));
    let create = "CREATE RETENTION POLICY short ON db DURATION 1h REPLICATION 1";
    let write = |http: Http, body: &str| http.write_with("db=db&rp=short", body).full_verdict();
    for influxd in cluster.replicas().chain([&reference]) {
        influxd.http().run("db", create);
    }
    let good = format!("{one} v=1\n{two} v=1\n");
    for http in [cluster.http(), reference.http()] {
        assert_eq!(http.write_with("db=db&rp=short", &good).status, 204);
    }
    let kinds = |name: &str| {
        [
            format!("{name} v=1i\n"),
            format!("{name},time=x v=1\n"),
            format!("{name} time=1\n"),
            format!("{name} v=1 1\n"),
            format!("{name} v=x\n"),
        ]
    };
    for first in kinds(&one) {
        for second in kinds(&two) {
            for body in
                [format!("{first}{second}"), format!("{second}{first}"), format!("{good}{first}{second}{first}")]
            {
                let expected = write(reference.http(), &body);
                assert_eq!(write(cluster.http(), &body), expected, "for the body {body:?}");
            }
        }
    }
}

/// A new field of two types InfluxDB refuses with all of the request where it has no storage shard yet, else by itself: of
/// replicas of which one has it, both store the rest.
#[test]
fn replicas_of_which_one_refuses_all_store_the_same() {
    let cluster = Cluster::new(1, 2);
    cluster.create_db("db");
    for (number, ahead) in cluster.groups[0].iter().enumerate() {
        let (measurement, time) = (format!("m{number}"), LATE + number as i64 * 86_400_000_000_000 * 30);
        // As after writes of two clients that reached the replicas in another order.
        ahead.http().store("db", format!("other v=1 {time}\n"));
        let body = format!("{measurement} v=1 {time}\n{measurement} v=1i {}\n{measurement} w=1 {time}\n", time + 1);
        let answer = cluster.http().write("db", &body);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.text().contains("partial write: ") && answer.text().contains(" dropped=1"), "{answer:?}");
        for replica in &cluster.groups[0] {
            let text = replica.http().query("db", &format!("SELECT v, w FROM {measurement}")).text();
            assert!(text.contains("\"values\":[[") && text.contains(",1,1]]"), "{text}");
        }
    }
}

/// What one replica says of it tells nothing of other storage shards, of which it has stored the points: a replica that is away,
/// or lacks the database, gets what its peer has.
#[test]
fn a_replica_that_takes_nothing_gets_what_its_peer_stored_of_a_request_that_it_refused() {
    let mut cluster = Cluster::new(1, 2);
    cluster.create_db("db");
    let month = 86_400_000_000_000 * 30;
    for (measurement, old) in [("m", LATE), ("n", LATE + 3 * month)] {
        cluster.http().store("db", format!("other v=1 {old}\n"));
        let is_away = measurement == "m";
        match is_away {
            true => cluster.groups[0][1].kill9(),
            false => drop(cluster.groups[0][1].http().run("", "DROP DATABASE db")),
        }
        // The first goes into a storage shard that is there, the others into one that is not.
        let new = old + month;
        let body = format!("x w=1 {old}\nx v=1 {new}\nx v=1i {}\nx w=2 {new}\n", new + 1).replace('x', measurement);
        let answer = cluster.http().write("db", &body);
        match is_away {
            true => cluster.groups[0][1].restart(),
            false => drop(cluster.groups[0][1].http().run("", "CREATE DATABASE db")),
        }
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.text().contains("partial write: ") && answer.text().contains(" dropped=1"), "{answer:?}");
        cluster.slotline.wait_direct();
        cluster.slotline.wait_metric("slotline_spool_points{backend=\"g1b\"}", 0.0);
        for replica in &cluster.groups[0] {
            let found = replica.http().run("db", &format!("SELECT v, w FROM {measurement}"));
            let values = &found["results"][0]["series"][0]["values"];
            assert_eq!(values.as_array().map_or(0, Vec::len), 2, "{found}");
            assert_eq!((&values[0][2], &values[1][1], &values[1][2]), (&1.into(), &1.into(), &2.into()), "{found}");
        }
    }
}

fn pick<'a>(random: &mut fastrand::Rng, choices: &[&'a str]) -> &'a str {
    random.choice(choices).expect("there are choices")
}

/// Lines of few measurements and fields, so that types clash often, damaged now and then. Times
/// are in the microsecond after `base`.
fn random_body(random: &mut fastrand::Rng, base: i64) -> String {
    let mut body = String::new();
    for _ in 0..random.usize(0..12) {
        let measurement = random.u8(0..12);
        let tag = pick(random, &["", ",t=a", ",t=b\\ c", ",u=1,t=\"x\"", ",t="]);
        let values = ["1", "2.5", "7i", "t", "\"s\"", "\"a b, c=d\"", "\"q\\\"q\"", "1x", "\"two\nlines\""];
        let value = pick(random, &values);
        let value = if random.u8(..) < 150 { "1" } else { value };
        let time = base + random.i64(0..1000);
        let mut line = format!("m{measurement}s{tag} v={value}").into_bytes();
        if random.u8(..) < 30 {
            let at = random.usize(0..line.len());
            match random.u8(0..3) {
                0 => drop(line.remove(at)),
                1 => line.insert(at, b"\"\\ ,=#\ni0-"[random.usize(0..10)]),
                _ => line.truncate(at),
            }
        }
        body.push_str(&String::from_utf8(line).expect("all of it is ASCII"));
        body.push_str(&format!(" {time}"));
        body.push_str(pick(random, &["\n", "\n", "\n", "\n\n", " \n", "\n#c\n"]));
    }
    if random.bool() {
        body.pop();
    }
    body
}

/// `bytes` cut into pieces at random places.
fn pieces<'a>(random: &mut fastrand::Rng, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(random.usize(1..=bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// Plain, in chunks, in gzip of one or several members, or both; in one packet or in several.
fn send_in_some_form(random: &mut fastrand::Rng, http: Http, body: &str) -> Response {
    let mut request = Request::write("db=db", body);
    if random.bool() {
        let members = pieces(random, body.as_bytes());
        request.body = members.into_iter().flat_map(gzip).collect();
        if body.is_empty() {
            request.body = gzip("");
        }
        request = request.header("Content-Encoding", "gzip");
    }
    let bytes = match random.bool() {
        true => request.to_bytes(),
        false => request.to_chunked(pieces(random, &request.body)),
    };
    let mut conn = http.connect();
    match random.bool() {
        true => conn.send(&bytes),
        false => pieces(random, &bytes).into_iter().for_each(|piece| conn.send(piece)),
    }
    conn.answer()
}

#[test]
fn random_bodies_are_answered_and_stored_as_by_one_influxdb() {
    let mut random = random();
    // Which of several conflicts one InfluxDB names depends on chance when the points are in
    // different weeks, so all times are near the one that lines without a time get.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    let base = i64::try_from(now.as_nanos()).expect("nanoseconds fit") - 10_000_000_000;
    // All fields exist from the first body on: a new one that comes with two types fails a whole
    // request of one InfluxDB, but only one group's share of it here.
    let first = |n: usize| format!("m{n}s v={} {base}\n", pick(&mut random, &["1", "1i", "t", "\"s\""]));
    let mut bodies = vec![(0..12).map(first).collect()];
    bodies.extend((0..1500).map(|_| random_body(&mut random, base)));
    let plain: fn(&str, &Facts, &Facts) =
        |who, seen, share| facts::assert_same(who, &of_plain_fields(seen), &of_plain_fields(share));
    check_bodies_sent_by(&bodies, base + 1000, plain, |http, body| send_in_some_form(&mut random, http, body));
}

#[test]
fn parameters_are_checked_as_influxdb_checks_them() {
    let (cluster, reference) = pair();
    let good = "m0s v=1 1\nm1 v=1 1\nm2 v=1 1\n";
    for params in [
        "",
        "db=",
        "db=nodb",
        "rp=x",
        "db=db&rp=nope",
        "db=nodb&rp=nope",
        "db=db&precision=xx",
        "db=db&precision=",
        "db=db&consistency=xx",
        "db=nodb&consistency=xx",
        "db=db&consistency=",
        "db=db&consistency=any",
        "db=db&consistency=ONE",
        "db=db&consistency=quorum",
        "db=db&consistency=all",
        "db=db&consistency=xx&rp=nope",
        "db=db&unknown=1",
        "db=db&db=nodb",
        "db=nodb&db=db",
        "db=d%62",
        "db=a%00b",
        "db=%zz",
        "&&db=db&&",
        "db=db&rp=autogen",
        "db=db&u=x&p=y",
        "precision=s",
    ] {
        for body in [good, "bad\n", "bad\nm0 v=1 1\n", "", "# only a comment\n", "\n\n", "m0s v=1i 1\n"] {
            let expected = reference.http().write_with(params, body).full_verdict();
            let seen = cluster.http().write_with(params, body).full_verdict();
            assert_eq!(seen, expected, "for {params:?} with {body:?}");
        }
    }
    assert_same_store(&cluster, &reference, LATE, facts::assert_same);
}

/// Bodies whose last lines would be valid when cut, with other values.
const CUT_ME: &str = "m0s v=1 1\nm1,host=abc v=12345 1500000000000000000\nm2 s=\"some text\",v=77i 160000\n";

#[track_caller]
fn answer_to_cut(http: Http, bytes: &[u8]) -> Response {
    let mut conn = http.connect();
    conn.send(bytes);
    conn.half_close();
    conn.answer()
}

#[test]
fn a_body_cut_at_any_byte_answers_unexpected_eof_and_stores_nothing() {
    let (cluster, reference) = pair();
    let whole = Request::write("db=db", CUT_ME).to_bytes();
    for cut in whole.len() - CUT_ME.len()..whole.len() {
        let seen = answer_to_cut(cluster.http(), &whole[..cut]);
        assert_eq!((seen.status, seen.error().as_str()), (400, "unexpected EOF"), "at byte {cut}");
        if cut % 16 == 0 {
            let expected = answer_to_cut(reference.http(), &whole[..cut]);
            assert_eq!(seen.full_verdict(), expected.full_verdict());
        }
    }
    assert_stores_nothing(&cluster);
}

#[test]
fn a_large_body_cut_short_stores_nothing() {
    let (cluster, _) = pair();
    let body: String = (0..60_000).map(|n| format!("m{}s v={n} {n}\n", n % 50)).collect();
    let whole = Request::write("db=db", &body).to_bytes();
    for cut in [whole.len() - 1, whole.len() - 100, whole.len() / 2] {
        let seen = answer_to_cut(cluster.http(), &whole[..cut]);
        assert_eq!((seen.status, seen.error().as_str()), (400, "unexpected EOF"));
    }
    assert_stores_nothing(&cluster);
}

#[test]
fn a_chunked_body_without_its_last_chunk_stores_nothing() {
    let (cluster, _) = pair();
    let request = Request::write("db=db", "");
    let whole = request.to_chunked(CUT_ME.as_bytes().chunks(37));
    for cut in request.chunked_head().len()..whole.len() - 2 {
        let seen = answer_to_cut(cluster.http(), &whole[..cut]);
        assert_eq!((seen.status, seen.error().as_str()), (400, "unexpected EOF"), "at byte {cut}");
    }
    assert_stores_nothing(&cluster);
}

#[test]
fn gzip_without_its_end_is_refused_and_stores_nothing() {
    let (cluster, reference) = pair();
    let packed = gzip(CUT_ME);
    let mut two = gzip("m3s v=1 1\n");
    two.extend(&packed);
    for (whole, from) in [(&packed, 1), (&two, two.len() - packed.len() + 1)] {
        for cut in from..whole.len() {
            let request = Request::write("db=db", &whole[..cut]).header("Content-Encoding", "gzip");
            let seen = cluster.http().send(&request);
            let expected = reference.http().send(&request);
            assert_eq!(seen.full_verdict(), expected.full_verdict(), "at byte {cut}");
            assert_eq!(seen.status, 400);
        }
    }
    assert_stores_nothing(&cluster);
}

#[test]
fn damaged_gzip_is_refused_and_stores_nothing() {
    let (cluster, _) = pair();
    let packed = gzip(CUT_ME.repeat(20));
    let wrong_sum = {
        let mut bytes = packed.clone();
        let at = bytes.len() - 6;
        bytes[at] ^= 1;
        bytes
    };
    let wrong_data = {
        let mut bytes = packed.clone();
        let at = bytes.len() / 2;
        bytes[at] ^= 0x55;
        bytes
    };
    let with_rubbish = [packed.as_slice(), b"rubbish after it"].concat();
    let plain = CUT_ME.as_bytes().to_vec();
    for (what, body) in
        [("wrong sum", wrong_sum), ("wrong data", wrong_data), ("rubbish behind", with_rubbish), ("no gzip", plain)]
    {
        let request = Request::write("db=db", body).header("Content-Encoding", "gzip");
        let seen = cluster.http().send(&request);
        assert_eq!(seen.status, 400, "{what}: {seen:?}");
        assert!(!seen.error().is_empty());
    }
    assert_stores_nothing(&cluster);
}

/// What one client sends, request by request: URL parameters and body.
fn client_requests(client: usize, random: &mut fastrand::Rng) -> Vec<(String, String)> {
    let guilty = client.is_multiple_of(4);
    // All fields exist before anything clashes with them: of a new field with two types in one
    // request InfluxDB keeps the one that it saw first, which is no answer to compare with.
    let first = (0..6).map(|measurement| format!("c{client}m{measurement}s v=0 0\n")).collect();
    let mut requests = vec![("db=db".to_owned(), first)];
    for number in 0..200 {
        let mut body = String::new();
        for line in 0..random.usize(1..=20) {
            let measurement = random.u8(0..6);
            let time = number * 100 + line;
            body.push_str(&format!("c{client}m{measurement}s,host=h{line} v={number} {time}\n"));
        }
        let mut params = "db=db".to_owned();
        if guilty && number % 3 == 0 {
            let own = format!("c{client}m{}s", random.u8(0..6));
            match random.u8(0..10) {
                0 => body = format!("bad{client}\n"),
                1 => body.push_str(&format!("bad{client} v=\n")),
                2 => body.push_str(&format!("{own} v=\"text\" 5\n")),
                3 => body.push_str(&format!("{own},host=x s=\"dangling from {client}")),
                4 => body = format!("{own},host=x s=\"dangling\n{body}"),
                5 => body = String::new(),
                6 => body = format!("# client {client}\n"),
                7 => params = "db=nodb".to_owned(),
                8 => params = "db=db&rp=nope".to_owned(),
                _ => body = format!("{own} s=\"x\n\n{body}bad{client}\n{own} v=1i 3\n"),
            }
        } else if number % 5 == 0 {
            params.push_str("&precision=ms");
        }
        requests.push((params, body));
    }
    requests
}

#[test]
fn many_clients_at_once_each_hear_exactly_their_own_answer() {
    let (cluster, reference) = pair();
    let mut random = random();
    let plans: Vec<_> = (0..32).map(|client| client_requests(client, &mut random)).collect();
    // Every client has measurements of its own, so what one InfluxDB says doesn't depend on the
    // order in which the clients come.
    let run = |http: Http| -> Vec<Vec<(u16, String)>> {
        std::thread::scope(|scope| {
            let client = |plan: &'_ Vec<(String, String)>| {
                let mut conn = http.connect();
                let requests = plan.iter().map(|(params, body)| Request::write(params, body));
                requests.map(|request| conn.call(&request).verdict()).collect()
            };
            let threads: Vec<_> = plans.iter().map(|plan| scope.spawn(move || client(plan))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a client finishes")).collect()
        })
    };
    let expected = run(reference.http());
    let seen = run(cluster.http());
    for (client, plan) in plans.iter().enumerate() {
        for (number, request) in plan.iter().enumerate() {
            assert_eq!(
                seen[client][number], expected[client][number],
                "client {client}, request {number}: {request:?}"
            );
        }
    }
    cluster.assert_holds("db", &facts(reference.http(), "db"));
}

#[test]
fn a_dangling_quote_never_swallows_a_line_of_another_client() {
    let (cluster, _) = pair();
    let http = cluster.http();
    std::thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                let mut conn = http.connect();
                for number in 0..150 {
                    let body = format!("shared,c={client} v=1 {number}\nother,c={client} v=1 {number}\n");
                    let answer = conn.call(&Request::write("db=db", body));
                    assert_eq!(answer.status, 204, "an innocent client: {answer:?}");
                }
            });
            scope.spawn(move || {
                let mut conn = http.connect();
                for number in 0..150 {
                    let newline = if number % 2 == 0 { "\n" } else { "" };
                    let line = format!("shared,c=guilty s=\"{client} {number}");
                    let answer = conn.call(&Request::write("db=db", line.clone() + newline));
                    let expected = format!("unable to parse '{line}': unbalanced quotes");
                    assert_eq!((answer.status, answer.error()), (400, expected));
                }
            });
        }
    });
    let expected: BTreeSet<String> = (0..150).map(|number| format!("{number} v=1")).collect();
    let mut found = 0;
    for replica in cluster.replicas() {
        for (series, points) in facts(replica.http(), "db") {
            assert_ne!(series.tag("c"), "guilty", "{points:?}");
            assert_eq!(points, expected, "{series:?}");
            found += 1;
        }
    }
    assert_eq!(found, 2 * 8 * 2, "two measurements of eight clients on two replicas each");
}
