//! Clients that send too much, too slowly or nonsense: each is told so, and the next is served.

mod support;

use std::time::{Duration, Instant};

use support::*;

const MEGABYTE: usize = 1_000_000;

fn limited() -> Cluster {
    let cluster = Setup::new(2, 1)
        .set("limits", "body_bytes_max = \"1MB\"")
        .set("limits", "unpacked_bytes_max = \"2MB\"")
        .set("limits", "body_timeout = \"1s\"")
        .set("limits", "header_timeout = \"1s\"")
        .start();
    cluster.create_db("db");
    cluster
}

#[track_caller]
fn assert_serves(cluster: &mut Cluster) {
    cluster.http().store("db", "alive v=1 1\n");
    cluster.slotline.assert_running();
}

/// Valid lines of `bytes` bytes or a little more.
fn lines(bytes: usize) -> String {
    let line = format!("m,host=abc s=\"{}\" 1\n", "x".repeat(80));
    line.repeat(bytes / line.len() + 1)
}

fn assert_stores_no(cluster: &Cluster, measurement: &str) {
    for replica in cluster.replicas() {
        let stored = facts(replica.http(), "db");
        let found = stored.keys().any(|series| series.measurement == measurement);
        assert!(!found, "{measurement} was stored");
    }
}

#[test]
fn a_content_length_over_the_limit_is_refused_as_by_influxdb_without_reading_on() {
    let mut cluster = limited();
    let reference = cluster.reference("db");
    let ask = |http: Http, length: usize| {
        let mut conn = http.connect();
        let head = "POST /write?db=db HTTP/1.1\r\nHost: x\r\nContent-Length: ";
        conn.send(format!("{head}{length}\r\n\r\nm v=1 1\n").as_bytes());
        conn.answer()
    };
    let expected = ask(reference.http(), 30 * MEGABYTE);
    let seen = ask(cluster.http(), MEGABYTE + 1);
    assert_eq!(seen.full_verdict(), expected.full_verdict());
    assert_eq!(seen.status, 413);
    assert_eq!(ask(cluster.http(), 1 << 62).status, 413);
    assert_stores_no(&cluster, "m");
    assert_serves(&mut cluster);
}

#[test]
fn a_body_of_exactly_the_limit_is_taken() {
    let mut cluster = limited();
    let mut body = lines(MEGABYTE - 200);
    body.push_str(&"#".repeat(MEGABYTE - body.len()));
    cluster.http().store("db", &body);
    body.push('#');
    assert_eq!(cluster.http().write("db", &body).status, 413);
    assert_serves(&mut cluster);
}

#[test]
fn a_chunked_body_over_the_limit_is_refused() {
    let mut cluster = limited();
    let body = lines(MEGABYTE + MEGABYTE / 5);
    let mut conn = cluster.http().connect();
    let _ = conn.try_send(&Request::write("db=db", "").to_chunked(body.as_bytes().chunks(50_000)));
    let answer = conn.answer();
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(!answer.error().is_empty());
    assert_stores_no(&cluster, "m");
    assert_serves(&mut cluster);
}

#[test]
fn gzip_that_unpacks_beyond_the_limit_is_refused() {
    let mut cluster = limited();
    let fits = Request::write("db=db", gzip(lines(MEGABYTE + MEGABYTE / 2).replace("m,", "fits,")));
    let fits = fits.header("Content-Encoding", "gzip");
    assert_eq!(cluster.http().send(&fits).status, 204);
    for bomb in [
        gzip(lines(3 * MEGABYTE)),
        gzip("#".repeat(200 * MEGABYTE)),
        gzip("\n".repeat(200 * MEGABYTE)),
        gzip(format!("m s=\"{}", "x".repeat(100 * MEGABYTE))),
        gzip(lines(1000)).repeat(2500),
    ] {
        assert!(bomb.len() < MEGABYTE, "the packed size is not what is tested");
        let request = Request::write("db=db", bomb).header("Content-Encoding", "gzip");
        let answer = cluster.http().send(&request);
        assert_eq!(answer.status, 413, "{answer:?}");
        assert!(!answer.error().is_empty());
    }
    assert_stores_no(&cluster, "m");
    assert_serves(&mut cluster);
}

#[test]
fn a_client_that_stops_within_a_body_is_told_408_in_time() {
    let mut cluster = limited();
    let whole = Request::write("db=db", "m v=1 1\nm v=1 2\n").to_bytes();
    let started = Instant::now();
    let mut conn = cluster.http().connect();
    conn.send(&whole[..whole.len() - 3]);
    let answer = conn.answer();
    assert_eq!(answer.status, 408, "{answer:?}");
    let waited = started.elapsed();
    assert!(waited > Duration::from_millis(800) && waited < Duration::from_secs(8), "{waited:?}");
    assert!(conn.is_closed(), "the rest of the body would be taken for a request");

    let mut conn = cluster.http().connect();
    conn.send(Request::write("db=db", "").chunked_head().as_bytes());
    conn.send(&chunk(b"m v=1 1\n"));
    assert_eq!(conn.answer().status, 408);
    assert_stores_no(&cluster, "m");
    assert_serves(&mut cluster);
}

#[test]
fn a_slow_client_that_keeps_sending_is_served() {
    let mut cluster = limited();
    let whole = Request::write("db=db", "slow v=1 1\nslow v=1 2\nslow v=1 3\nslow v=1 4\n").to_bytes();
    let (head, body) = whole.split_at(whole.len() - 44);
    let mut conn = cluster.http().connect();
    conn.send(head);
    // Longer in all than `body_timeout`, which is about silence. The pauses are the subject.
    for piece in body.chunks(8) {
        std::thread::sleep(Duration::from_millis(300));
        conn.send(piece);
    }
    assert_eq!(conn.answer().status, 204);
    assert_serves(&mut cluster);
}

#[test]
fn a_client_that_never_ends_its_head_is_let_go() {
    let mut cluster = limited();
    for head in ["", "POST /wri", "POST /write?db=db HTTP/1.1\r\nHost: x\r\nX-Y: "] {
        let started = Instant::now();
        let mut conn = cluster.http().connect();
        conn.send(head.as_bytes());
        if let Ok(answer) = conn.try_answer(false) {
            assert_eq!(answer.status, 408, "{answer:?}");
            assert!(conn.is_closed());
        }
        assert!(started.elapsed() < Duration::from_secs(15), "{head:?}: {:?}", started.elapsed());
        if head.is_empty() {
            // An idle connection may stay open longer than a begun head; it only must not hang us.
            continue;
        }
    }
    assert_serves(&mut cluster);
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let mut cluster = limited();
    for (request, status) in [
        (Request::write("db=db", "half v=1 1\n"), 204),
        (Request::write("db=db", "bad\n"), 400),
        (Request::query(&[("db", "db"), ("q", "SELECT * FROM half")]), 200),
        (Request::new("GET", "/query?db=db&q=SHOW%20DATABASES"), 200),
        (Request::new("GET", "/ping"), 204),
    ] {
        let mut conn = cluster.http().connect();
        conn.send(&request.to_bytes());
        conn.half_close();
        assert_eq!(conn.answer().status, status, "{}", request.path);
        assert!(conn.is_closed());
    }
    assert_serves(&mut cluster);
}

#[test]
fn nonsense_is_answered_with_400_and_the_connection_closed() {
    let mut cluster = limited();
    let write = "POST /write?db=db HTTP/1.1\r\nHost: x\r\n";
    let mut wrong = Vec::new();
    for nonsense in [
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\r\n\r\n".to_owned(),
        "hello\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /ping\r\n\r\n".to_owned(),
        "GET /ping HTTP/9.9\r\nHost: x\r\n\r\n".to_owned(),
        "G\u{0}T /ping HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        format!("{write}Content-Length: -1\r\n\r\n"),
        format!("{write}Content-Length: many\r\n\r\n"),
        format!("{write}Content-Length: 8\r\nContent-Length: 9\r\n\r\nm v=1 1\n"),
        format!("{write}Content-Length: 99999999999999999999999\r\n\r\n"),
        format!("{write}no colon here\r\n\r\n"),
        format!("{write}Transfer-Encoding: chunked\r\n\r\nzz\r\nm v=1 1\n\r\n0\r\n\r\n"),
        format!("{write}Transfer-Encoding: chunked\r\n\r\n8\r\nm v=1 1\nXX0\r\n\r\n"),
        format!("{write}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nm v=1 1\n\r\n"),
        format!("{write}Transfer-Encoding: chunked\r\n\r\n-8\r\nm v=1 1\n\r\n0\r\n\r\n"),
    ] {
        let mut conn = cluster.http().connect();
        let _ = conn.try_send(nonsense.as_bytes());
        conn.half_close();
        match conn.try_answer(false) {
            Ok(answer) if matches!(answer.status, 400 | 413 | 501 | 505) => {}
            other => wrong.push(format!("{nonsense:?}: {other:?}")),
        }
        assert!(conn.is_closed(), "still open after {nonsense:?}");
    }
    assert!(wrong.is_empty(), "not refused:\n{}", wrong.join("\n"));
    assert_stores_no(&cluster, "m");
    assert_serves(&mut cluster);
}

#[test]
fn heads_without_end_are_refused() {
    let mut cluster = limited();
    let many: String = (0..5000).map(|number| format!("X-H{number}: {}\r\n", "v".repeat(50))).collect();
    let long = format!("X-Long: {}\r\n", "v".repeat(3 * MEGABYTE));
    for headers in [many, long] {
        let mut conn = cluster.http().connect();
        let _ = conn.try_send(format!("GET /ping HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes());
        // The answer may be lost when the server closes before it has read all; an answer that
        // does come is a refusal.
        if let Ok(answer) = conn.try_answer(false) {
            assert!(matches!(answer.status, 400 | 431), "{answer:?}");
        }
    }
    assert_serves(&mut cluster);
}

#[test]
fn a_query_of_200_kb_is_taken_or_told_to_use_post() {
    let mut cluster = limited();
    let q = format!("SELECT * FROM alive WHERE host != '{}'", "x".repeat(200_000));
    assert_serves(&mut cluster);
    let by_post = cluster.http().query("db", &q);
    assert_eq!(by_post.status, 200, "{by_post:?}");
    assert!(by_post.text().contains("alive"), "{by_post:?}");
    let by_get = cluster.http().get_query(&[("db", "db"), ("q", &q)]);
    match by_get.status {
        200 => assert_eq!(by_get.text(), by_post.text()),
        status => assert!(status == 414 && by_get.text().contains("POST"), "{by_get:?}"),
    }
    assert_serves(&mut cluster);
}

#[test]
fn idle_connections_by_the_hundred_keep_nobody_out() {
    let mut cluster = limited();
    let idle: Vec<Conn> = (0..400).map(|_| cluster.http().connect()).collect();
    for _ in 0..20 {
        assert_serves(&mut cluster);
    }
    drop(idle);
    assert_serves(&mut cluster);
}
