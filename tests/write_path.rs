//! Points on their way in: where they end up, whatever the form in which they arrive.

mod support;

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use support::*;

/// Measurement names as line protocol writes them, with everything that names may hold.
const ODD_NAMES: &[&str] = &[
    r"a\,b",
    r"with\ space",
    "eq=sign",
    r"eq\=escaped",
    r"back\slash",
    r"double\\back",
    "quote\"in",
    "'single'",
    "ünïcödé",
    "日本語",
    "emoji🚀",
    "#inside",
    "semi;colon",
    "per%cent",
    "star*",
    "a.b/c:d",
    "tab\there",
    r"\,starts",
    r"ends\ ",
    "UPPER",
    "upper",
    "_under",
    "9digits",
    "-dash",
    "$1",
    r"\x\y",
    "{brace}",
    "[bracket]",
    "select",
    "null",
    "(paren)",
    "|pipe|",
    "q?mark",
    "at@sign",
    "a+b",
    "~",
];

fn many_measurements(count: usize) -> String {
    let plain = (0..count).map(|number| format!("m{number}s"));
    let odd = ODD_NAMES.iter().map(|name| (*name).to_owned());
    let mut body = String::new();
    for (number, name) in plain.chain(odd).enumerate() {
        for host in 0..2 {
            body.push_str(&format!("{name},host=h{host} v={number},w={host}i {}\n", 1000 + number));
        }
    }
    body
}

#[track_caller]
fn check_placement(groups: usize, replicas: usize) {
    let cluster = Cluster::new(groups, replicas);
    for db in ["telegraf", "other db"] {
        let reference = cluster.reference(db);
        cluster.create_db(db);
        let body = many_measurements(400);
        let direct = reference.http().write(db, &body);
        let answer = cluster.http().write(db, &body);
        assert_eq!(answer.verdict(), direct.verdict());
        let expected = facts(reference.http(), db);
        assert!(expected.len() > 800, "the reference holds too little to show anything");
        cluster.assert_holds(db, &expected);
    }
}

#[test]
fn two_groups_of_two_hold_each_point_on_both_replicas_of_its_group_only() {
    check_placement(2, 2);
}

#[test]
fn three_groups_of_one_hold_each_point_in_its_group_only() {
    check_placement(3, 1);
}

#[test]
fn five_groups_share_the_slots_without_a_rest() {
    check_placement(5, 1);
}

/// One cluster, one reference; `send` brings `body` to slotline in some form.
#[track_caller]
fn check_form(body: &str, send: impl FnOnce(Http, &str)) {
    let cluster = Cluster::new(2, 2);
    let reference = cluster.reference("db");
    cluster.create_db("db");
    reference.http().store("db", body);
    send(cluster.http(), body);
    cluster.assert_holds("db", &facts(reference.http(), "db"));
}

fn sample(lines: usize) -> String {
    let line = |number: usize| {
        let (measurement, host) = (number % 23, number % 7);
        format!("m{measurement}s,host=h{host} v={number},text=\"line {number}\\nnot\" {number}\n")
    };
    (0..lines).map(line).collect()
}

#[test]
fn a_plain_body_is_stored() {
    check_form(&sample(2000), |http, body| http.store("db", body));
}

#[test]
fn a_body_without_a_last_newline_is_stored_whole() {
    check_form(sample(50).trim_end(), |http, body| http.store("db", body));
}

#[test]
fn a_gzip_body_is_stored() {
    check_form(&sample(2000), |http, body| {
        let request = Request::write("db=db", gzip(body)).header("Content-Encoding", "gzip");
        assert_eq!(http.send(&request).status, 204);
    });
}

#[test]
fn gzip_of_several_members_is_stored_whole() {
    let mut random = random();
    check_form(&sample(500), |http, body| {
        let mut packed = Vec::new();
        let mut rest = body.as_bytes();
        while !rest.is_empty() {
            // Members end anywhere, within lines too; some are empty.
            let (member, after) = rest.split_at(random.usize(0..=rest.len().min(4000)));
            packed.extend(gzip(member));
            rest = after;
        }
        let request = Request::write("db=db", packed).header("Content-Encoding", "gzip");
        assert_eq!(http.send(&request).status, 204);
    });
}

#[test]
fn chunked_bodies_are_stored_however_the_chunks_are_cut() {
    let mut random = random();
    check_form(&sample(300), |http, body| {
        let mut pieces = Vec::new();
        let mut rest = body.as_bytes();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(1..=rest.len().min(90)));
            pieces.push(piece);
            rest = after;
        }
        let mut conn = http.connect();
        conn.send(&Request::write("db=db", "").to_chunked(pieces));
        assert_eq!(conn.answer().status, 204);
    });
}

#[test]
fn chunked_gzip_is_stored() {
    check_form(&sample(300), |http, body| {
        let packed = gzip(body);
        let request = Request::write("db=db", "").header("Content-Encoding", "gzip");
        let mut conn = http.connect();
        conn.send(&request.to_chunked(packed.chunks(100)));
        assert_eq!(conn.answer().status, 204);
    });
}

#[test]
fn bodies_split_at_any_byte_over_packets_are_stored() {
    let mut random = random();
    check_form(&sample(400), |http, body| {
        let mut conn = http.connect();
        let bytes = Request::write("db=db", body).to_bytes();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(1..=rest.len().min(300)));
            conn.send(piece);
            rest = after;
        }
        assert_eq!(conn.answer().status, 204);
    });
}

#[test]
fn a_short_body_may_come_byte_by_byte() {
    check_form("a,t=x\\ y v=1,s=\"p\nq\" 1\nb v=2i 2\nc v=t 3", |http, body| {
        let mut conn = http.connect();
        for byte in Request::write("db=db", body).to_bytes() {
            conn.send(&[byte]);
        }
        assert_eq!(conn.answer().status, 204);
    });
}

#[test]
fn a_client_that_expects_100_continue_gets_it_and_is_served() {
    check_form(&sample(10), |http, body| {
        let request = Request::write("db=db", body).header("Expect", "100-continue");
        let bytes = request.to_bytes();
        let head = bytes.len() - body.len();
        let mut conn = http.connect();
        conn.send(&bytes[..head]);
        conn.send(&bytes[head..]);
        assert_eq!(conn.answer().status, 204);
    });
}

#[test]
fn writes_pipelined_in_one_packet_are_answered_in_their_order() {
    let cluster = Cluster::new(2, 2);
    let reference = cluster.reference("db");
    cluster.create_db("db");
    let mut packet = Vec::new();
    let mut expected = Vec::new();
    for number in 0..40 {
        let body = match number % 5 {
            3 => format!("bad{number}\n"),
            4 => format!("m{number}s v=1 1\nbad{number} v=\n"),
            _ => format!("m{number}s,host=a v={number} {number}\nn{number} v=1i {number}\n"),
        };
        expected.push(reference.http().write("db", &body).verdict());
        packet.extend(Request::write("db=db", &body).to_bytes());
    }
    let mut conn = cluster.http().connect();
    conn.send(&packet);
    for (number, expected) in expected.iter().enumerate() {
        assert_eq!(&conn.answer().verdict(), expected, "answer {number}");
    }
    cluster.assert_holds("db", &facts(reference.http(), "db"));
}

#[test]
fn one_connection_serves_writes_queries_and_pings_in_turn() {
    let cluster = Cluster::new(2, 1);
    cluster.create_db("db");
    let mut conn = cluster.http().connect();
    for number in 0..50 {
        let body = format!("m{}s v={number} {number}\n", number % 5);
        assert_eq!(conn.call(&Request::write("db=db", body)).status, 204);
        assert_eq!(conn.call(&Request::new("GET", "/ping")).status, 204);
        let q = format!("SELECT last(v) FROM m{}s", number % 5);
        let answer = conn.call(&Request::query(&[("db", "db"), ("epoch", "ns"), ("q", &q)]));
        let row = &answer.json()["results"][0]["series"][0]["values"][0];
        assert_eq!(*row, serde_json::json!([number, number]), "{answer:?}");
    }
}

#[test]
fn the_last_of_several_writes_of_one_point_stays_whatever_the_connection() {
    let cluster = Cluster::new(2, 2);
    let reference = cluster.reference("db");
    cluster.create_db("db");
    let mut conns: Vec<Conn> = (0..7).map(|_| cluster.http().connect()).collect();
    for number in 0..200 {
        // One point a measurement, twice in the same request, from a connection after the other.
        let body: String =
            (0..6).map(|m| format!("m{m}s,a=x v=-{number} 1\nn{m} v={number} 1\nm{m}s,a=x v={number} 1\n")).collect();
        reference.http().store("db", &body);
        let answer = conns[number % 7].call(&Request::write("db=db", &body));
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    let expected = facts(reference.http(), "db");
    assert!(expected.values().all(|points| points.contains("1 v=199")), "{expected:?}");
    cluster.assert_holds("db", &expected);
}

#[test]
fn very_long_lines_are_stored_whole() {
    let mut body = String::new();
    for (number, size) in [1_000, 60_000, 70_000, 131_072, 500_000, 3_000_000].iter().enumerate() {
        let filler = "long, text = with\\\"all\\\"\n".repeat(size / 27);
        body.push_str(&format!("before{number} v=1 1\nlong{number} s=\"{filler}\",v=1 2\nafter v=1 {number}\n"));
    }
    check_form(&body, |http, body| http.store("db", body));
    check_form(&body, |http, body| {
        let mut conn = http.connect();
        conn.send(&Request::write("db=db", "").to_chunked(body.as_bytes().chunks(9_973)));
        assert_eq!(conn.answer().status, 204);
    });
}

#[test]
fn a_request_as_large_as_influxdb_takes_is_stored() {
    let cluster = Cluster::new(2, 1);
    cluster.create_db("db");
    let line = |n: usize| format!("m{}s,host=h{} v={n}i,s=\"{}\" {n}\n", n % 10, n % 5, "x".repeat(900));
    let mut body: String = (0..25_000).map(line).collect();
    body.truncate(24_000_000);
    body.truncate(body.rfind('\n').expect("there are lines") + 1);
    let lines = body.lines().count();
    cluster.http().store("db", &body);
    let mut stored = 0;
    for group in &cluster.groups {
        let json = group[0].http().run("db", "SELECT count(v) FROM /.*/");
        for series in json["results"][0]["series"].as_array().expect("series") {
            stored += series["values"][0][1].as_u64().expect("a count");
        }
    }
    assert_eq!(stored, lines as u64);
}

fn now_ns() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i128::try_from(since.as_nanos()).expect("nanoseconds fit")
}

/// The times of all points of a server, from `SELECT *`'s facts.
fn stamps(facts: &Facts) -> BTreeSet<i128> {
    let points = facts.values().flatten();
    points.map(|point| point.split(' ').next().expect("a time").parse().expect("a number")).collect()
}

#[test]
fn points_without_a_timestamp_get_one_stamp_a_request_truncated_to_its_precision() {
    let cluster = Cluster::new(2, 2);
    let units: &[(&str, i128)] = &[
        ("", 1),
        ("n", 1),
        ("ns", 1),
        ("u", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    for (number, &(precision, unit)) in units.iter().enumerate() {
        let db = format!("db{number}");
        cluster.create_db(&db);
        let body: String = (0..40).map(|number| format!("m{number}s v={number}\n")).collect();
        let before = now_ns();
        let params = format!("db={db}&precision={precision}");
        assert_eq!(cluster.http().write_with(&params, body).status, 204);
        let after = now_ns();

        let mut all = BTreeSet::new();
        let mut points = 0;
        for group in &cluster.groups {
            let first = facts(group[0].http(), &db);
            points += first.len();
            all.extend(stamps(&first));
            facts::assert_same("the other replica", &facts(group[1].http(), &db), &first);
        }
        assert_eq!(points, 40);
        assert_eq!(all.len(), 1, "several stamps for precision {precision:?}: {all:?}");
        let stamp = *all.first().expect("one stamp");
        assert_eq!(stamp % unit, 0, "not truncated to {precision:?}");
        assert!(stamp > before - unit && stamp <= after, "{before} {stamp} {after}");
    }
}

#[test]
fn lines_with_and_without_a_timestamp_mix() {
    let cluster = Cluster::new(2, 2);
    cluster.create_db("db");
    let mut body = String::new();
    for number in 0..60 {
        match number % 3 {
            0 => body.push_str(&format!("m{number}s v={number}\n")),
            1 => body.push_str(&format!("m{number}s v={number} {number}\n")),
            _ => body.push_str(&format!("m{number}s,t=x\\ y s=\"a b 12\"\n")),
        }
    }
    assert_eq!(cluster.http().write_with("db=db&precision=s", body).status, 204);
    let mut given = BTreeSet::new();
    for group in &cluster.groups {
        let first = facts(group[0].http(), "db");
        facts::assert_same("the other replica", &facts(group[1].http(), "db"), &first);
        given.extend(stamps(&first));
    }
    let (small, large): (Vec<i128>, Vec<i128>) = given.into_iter().partition(|&stamp| stamp < 1_000_000_000_000);
    let expected: Vec<i128> = (0..60).filter(|n| n % 3 == 1).map(|n| n * 1_000_000_000).collect();
    assert_eq!(small, expected);
    assert_eq!(large.len(), 1, "one stamp a request: {large:?}");
}

#[test]
fn timestamps_are_read_in_the_precision_of_the_request() {
    let cluster = Cluster::new(2, 1);
    let reference = cluster.reference("db");
    cluster.create_db("db");
    for (number, precision) in ["n", "ns", "u", "ms", "s", "m", "h", "xx"].iter().enumerate() {
        let params = format!("db=db&precision={precision}");
        let body: String = (0..10).map(|line| format!("p{number}x{line} v=1 {}\n", line * 3 + 7)).collect();
        let expected = reference.http().write_with(&params, &body).verdict();
        assert_eq!(cluster.http().write_with(&params, &body).verdict(), expected, "{precision}");
    }
    cluster.assert_holds("db", &facts(reference.http(), "db"));
}

#[test]
fn points_go_to_the_named_retention_policy() {
    let cluster = Cluster::new(2, 2);
    cluster.create_db("db");
    for replica in cluster.replicas() {
        replica.http().run("db", "CREATE RETENTION POLICY \"two\" ON \"db\" DURATION INF REPLICATION 1");
    }
    let body: String = (0..20).map(|number| format!("m{number}s v={number} {number}\n")).collect();
    assert_eq!(cluster.http().write_with("db=db&rp=two", &body).status, 204);
    for (number, group) in cluster.groups.iter().enumerate() {
        for replica in group {
            assert!(facts(replica.http(), "db").is_empty(), "points in the default policy");
            let stored = read_all(replica.http(), "db", "SELECT * FROM two./.*/ GROUP BY *");
            let names: Vec<&String> = stored.keys().map(|series| &series.measurement).collect();
            assert!(!names.is_empty());
            assert!(names.iter().all(|name| cluster.group_of("db", name) == number), "{names:?}");
        }
    }
}

/// Bodies with every escape and oddity of line protocol that InfluxDB accepts in whole or in part.
const ODD_BODIES: &[&str] = &[
    "a\\,b,t\\,ag=v\\,al,t\\ ag2=v\\ al,t\\=ag3=v\\=al f\\,ield=1,f\\ ield2=2,f\\=ield3=3 1\n",
    "quotes s=\"a \\\"quoted\\\" word\",t=\"\" 1\nquotes s=\"back\\\\slash\" 2\n",
    "quotes s=\"trailing backslash\\\\\" 3\nquotes s=\"comma, space = equals\" 4\n",
    "multi s=\"first\nsecond\nthird\" 1\nmulti s=\"#no comment\" 2\nmulti s=\"\n\n#\n\n\" 3\n",
    "multi2 s=\"cpu v=1 1\ncpu v=2 2\n\",n=1 5\nafter v=1 6\n",
    "# a comment\n\n\n   \n#another\nplain v=1 1\n   # indented\n\t\nplain v=2 2\n",
    "  leading v=1 1\n   leading\\ too v=1 2\n",
    "types f=1.5,i=-7i,b=t,b2=F,b3=true,b4=FALSE,s=\"x\",e=1e10,z=-0.0,big=9223372036854775807i 1\n",
    "types f=1,f2=.5,f3=5.,f4=+3,f5=1E-5 2\n",
    "q\"uote,t\"ag=v\"al f\"ield=1 1\n",
    "tagback,t=a\\b,u=c\\\\d v=1 1\n",
    "utf,t=ü,日=本 s=\"ünï\",ключ=1 1\n",
    "spaces   v=1   1\nspaces,t=a   v=2   2  \n",
    "unsorted,z=1,a=2,m=3 v=1 1\nunsorted,a=2,m=3,z=1 v=2 2\n",
    "dupfield v=1,v=2 1\n",
    "eq=al,t=x v=1 1\n",
    "eq\\=al,t=x v=1 1\n",
    "negative v=1 -5\nextreme v=1 1500000000000000000\n",
    "str s=\"a\\nb\",r=\"tab\there\" 1\nstr s=\"it's\" 2\nstr s=\"\\\\\\\"\" 3\nstr s=\"x\\\\\\\\\" 4\n",
    "crlf,t=a s=\"x\" 1\r\n",
    "crlf5 s=\"in\r\nside\" 1\n",
    "long,t=0123456789 s=\"0123456789\" 1",
    "tail v=1 1\n\n\n\n",
    "tail v=1 2\n#end",
    "nul,t=a\u{1}b s=\"\u{7f}\" 1\n",
    "t\\\\,a=b v=1 1\n",
    "weird\\ ,a\\ =b\\  f\\ =1 1\n",
    "tagend,t=a\\ v=1 1\n",
    "escnl\\\nnext v=1 1\n",
    "m,t=\"quoted v=1 1\nm,t=\"q\" v=2 1\n",
    "field,t=x a\"b=1,c=\"d\" 1\nfieldx v=1 1\n",
];

#[test]
fn carriage_returns_are_judged_as_influxdb_judges_them() {
    let cluster = Cluster::new(2, 1);
    let reference = cluster.reference("db");
    cluster.create_db("db");
    let fields = ["s=\"x\"", "i=1i", "b=t", "f=1", "f=1.5", "s=\"x\" 1", "f=1 1", "f=1 ", "f=1 1 "];
    for (number, fields) in fields.iter().enumerate() {
        for body in [
            format!("m{number}s {fields}\r\n"),
            format!("m{number}x {fields}\r\n\r\nm{number}y {fields}\r\n#comment\r\n"),
            format!("m{number}z {fields}\r"),
        ] {
            let expected = reference.http().write("db", &body).verdict();
            assert_eq!(cluster.http().write("db", &body).verdict(), expected, "{body:?}");
        }
    }
    // The stamps differ, the names that were stored must not.
    let stored = reference.http().query("db", "SHOW SERIES").verdict();
    assert_eq!(cluster.http().query("db", "SHOW SERIES").verdict(), stored);
}

#[test]
fn every_escape_is_stored_and_read_back_as_influxdb_does() {
    let cluster = Cluster::new(2, 2);
    let reference = cluster.reference("db");
    cluster.create_db("db");
    for body in ODD_BODIES {
        let expected = reference.http().write("db", body);
        let answer = cluster.http().write("db", body);
        assert_eq!(answer.verdict(), expected.verdict(), "for the body {body:?}");
    }
    let expected = facts(reference.http(), "db");
    cluster.assert_holds("db", &expected);

    let measurements: BTreeSet<&String> = expected.keys().map(|s| &s.measurement).collect();
    assert!(measurements.len() > 25, "the bodies store too little: {measurements:?}");
    for measurement in measurements {
        let quoted = measurement.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        for q in [
            format!("SELECT * FROM \"{quoted}\""),
            format!("SELECT * FROM \"{quoted}\" GROUP BY *"),
            format!("SHOW SERIES FROM \"{quoted}\""),
        ] {
            let seen = cluster.http().get_query(&[("db", "db"), ("q", &q)]);
            let expected = reference.http().get_query(&[("db", "db"), ("q", &q)]);
            assert_eq!(seen.verdict(), expected.verdict(), "{q}");
        }
    }
    let seen = cluster.http().query("db", "SHOW SERIES");
    assert_eq!(seen.verdict(), reference.http().query("db", "SHOW SERIES").verdict());
}
