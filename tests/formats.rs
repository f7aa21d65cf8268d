//! What slotline makes itself of several groups' answers is told as influxd tells it: formats, headers, errors, parameters.

mod support;

use support::*;

struct Loaded {
    cluster: Cluster,
    reference: Influxd,
}

fn loaded() -> Loaded {
    let cluster = Setup::new(3, 1).rule("db", "split", &["host"]).start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    let mut body = String::new();
    for n in 0..12 {
        let floats = ["1", "-0", "1.5", "1e21", "1e-7", "123456789.125", "1e300", "-2.5e-9", "100000000000000000000"];
        for (step, float) in floats.iter().enumerate() {
            let time = step * 1_500_000_000 + n;
            body.push_str(&format!("m{n},h={} f={float},i={step}i,b={} {time}\n", step % 3, step % 2 == 0));
        }
        body.push_str(&format!("m{n} s=\"<a> & \\\"b\\\", c\n\\\\\" -1500000000\n"));
        body.push_str(&format!("split,host=h{n} v={n} {n}\n"));
    }
    cluster.http().store("db", &body);
    reference.http().store("db", &body);
    Loaded { cluster, reference }
}

/// Names and values in order, but for what is the connection's or the moment's own.
fn headers(answer: &Response) -> Vec<(String, String)> {
    let own = ["date", "request-id", "x-request-id", "content-length", "transfer-encoding"];
    let mut headers: Vec<(String, String)> =
        answer.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    headers.retain(|(name, _)| !own.contains(&name.as_str()));
    headers.sort();
    headers
}

impl Loaded {
    #[track_caller]
    fn assert_same(&self, request: &Request) {
        let (seen, expected) = (self.cluster.http().send(request), self.reference.http().send(request));
        let about = request.head();
        assert_eq!(seen.status, expected.status, "{about}");
        assert_eq!(headers(&seen), headers(&expected), "{about}");
        for name in ["Request-Id", "X-Request-Id"] {
            assert!(seen.header(name).is_some_and(|id| !id.is_empty()), "{about}: {name}");
        }
        if seen.header("Content-Encoding").is_some() {
            assert_eq!(seen.unpacked(), expected.unpacked(), "{about}");
        } else {
            assert_eq!(String::from_utf8_lossy(&seen.body), String::from_utf8_lossy(&expected.body), "{about}");
            assert_eq!(seen.body, expected.body, "{about}");
        }
    }
}

/// Over several groups, one alone or several statements.
const QUERIES: &[&str] = &[
    "SHOW MEASUREMENTS",
    "SHOW SERIES LIMIT 5",
    "SHOW FIELD KEYS; SHOW TAG KEYS LIMIT 1",
    "SELECT * FROM m1, m2, m3, m4, m5",
    "SELECT f, s FROM m1, m2, m3, m4, m5 GROUP BY h",
    "SELECT v FROM split GROUP BY host",
    "SHOW MEASUREMENTS; SELECT nothing FROM /m/; SELECT mean(f), count(s) FROM m1, m2, m3 GROUP BY h; SHOW DATABASES",
    "SELECT f FROM m1, m2, m3, m4 LIMIT 2; SELECT foo(f) FROM m1; SHOW MEASUREMENTS",
    "SHOW MEASUREMENTS; SELECT f FROM nodb..m1",
    "SELECT pow(f, 40) FROM m1, m2, m3, m4",
    "SHOW SERIES; SELECT f FROM m1 ORDER BY time DESC LIMIT 3",
    "SHOW SERIES EXACT CARDINALITY; SHOW QUERY",
    "SHOW TAG VALUES WITH KEY = h; SHOW TAG VALUES ON nodb WITH KEY = h; SHOW USERS; SHOW DATABASES",
];

const FORMATS: &[&str] = &[
    "application/json",
    "application/csv",
    "text/csv",
    "application/x-msgpack",
    "*/*",
    "text/html",
    "application/csv, */*",
    "TEXT/CSV",
    "",
];

fn get(q: &str, params: &str) -> Request {
    Request::new("GET", &format!("/query?db=db&q={}&{params}", encode(q)))
}

#[test]
fn every_format_with_every_header() {
    let loaded = loaded();
    for q in QUERIES {
        for accept in FORMATS {
            for params in ["", "chunked=true&chunk_size=2", "pretty=true", "epoch=u"] {
                loaded.assert_same(&get(q, params).header("Accept", accept));
            }
        }
    }
}

#[test]
fn every_parameter_in_json() {
    let loaded = loaded();
    for q in QUERIES {
        for epoch in ["ns", "n", "u", "µ", "ms", "s", "m", "h", "x"] {
            loaded.assert_same(&get(q, &format!("epoch={}", encode(epoch))));
        }
        for size in ["", "0", "-3", "1", "3", "x", "10000", "99999999999"] {
            loaded.assert_same(&get(q, &format!("chunked=true&chunk_size={size}")));
            loaded.assert_same(&get(q, &format!("chunked=yes&chunk_size={size}")));
        }
        loaded.assert_same(&get(q, "").header("Origin", "http://grafana"));
        loaded.assert_same(&get(q, "").header("Accept-Encoding", "gzip"));
        let form = Request::new("POST", "/query?pretty=true&epoch=s")
            .header("Content-Type", "application/x-www-form-urlencoded");
        loaded.assert_same(&form.body(client::form(&[("q", q), ("db", "db"), ("epoch", "ms"), ("chunked", "true")])));
    }
}

/// Where a window makes no point InfluxDB gives out what it has as if that were all, also within a series.
#[test]
fn chunks_end_in_front_of_a_window_without_a_point() {
    let loaded = loaded();
    let mut body = String::new();
    for (host, windows) in [&[2][..], &[1, 2], &[2, 1, 2], &[2, 2], &[1, 2, 2], &[2, 1, 2]].iter().enumerate() {
        for (window, points) in windows.iter().enumerate() {
            for point in 0..*points {
                let time = window * 10 + point;
                body.push_str(&format!("split,host=w{host} w={point} {time}000000000\n"));
                body.push_str(&format!("m{host} w={point} {time}000000000\n"));
            }
        }
    }
    [loaded.cluster.http(), loaded.reference.http()].iter().for_each(|http| http.store("db", &body));
    let rest = "WHERE time >= 0 AND time < 1m GROUP BY time(10s), host fill(none)";
    for q in [
        format!("SELECT percentile(w, 40) FROM split {rest}"),
        format!("SELECT percentile(w, 40) FROM m0, m1, m2, m3, m4, m5 {rest}"),
        format!("SELECT percentile(w, 40), percentile(w, 30) FROM split {rest} ORDER BY time DESC"),
        format!("SELECT percentile(w, 40), count(w), percentile(w, 50) FROM split {rest} LIMIT 1"),
        format!("SELECT max(w), holt_winters_with_fit(percentile(w, 40), 1, 2) FROM m0, m1, m2, m3, m4, m5 {rest}"),
        format!("SELECT percentile(x, 40) FROM (SELECT w AS x FROM split) {rest}"),
        format!("SELECT x FROM (SELECT percentile(w, 40) AS x FROM split {rest}) GROUP BY host"),
    ] {
        for params in ["", "chunked=true", "chunked=true&chunk_size=1", "chunked=true&chunk_size=2"] {
            loaded.assert_same(&get(&q, params));
        }
    }
}

#[test]
fn chunks_are_packed_for_who_takes_that() {
    let loaded = loaded();
    for q in QUERIES.iter().chain(&["SELECT f FROM nodb..m1", "SHOW SERIES WHERE h = 'nobody'"]) {
        for accept in ["application/json", "text/csv", "application/x-msgpack"] {
            for encoding in ["gzip", "deflate, gzip;q=0.5", "deflate"] {
                let request = get(q, "chunked=true&chunk_size=2").header("Accept", accept);
                loaded.assert_same(&request.header("Accept-Encoding", encoding));
            }
        }
    }
    let request = get("SELECT f FROM m1, m2, m3", "chunked=true&chunk_size=2").header("Accept-Encoding", "gzip");
    assert_eq!(loaded.cluster.http().send(&request).header("Content-Encoding"), Some("gzip"));
    // A refusal comes as it is.
    let refused = get("SELECT v FROM split tz('Local')", "chunked=true").header("Accept-Encoding", "gzip");
    let refused = loaded.cluster.http().send(&refused);
    assert!(refused.status == 400 && refused.error().contains("tz('Local')"), "{refused:?}");
}

#[test]
fn errors_of_the_request_in_every_format() {
    let loaded = loaded();
    for accept in FORMATS {
        for params in
            ["", "q=", "q=SHO", "q=SHOW%20SERIES&params=%7B", "q=%20%3B%20", "q=--%20nothing", "pretty=true&q=SELECT"]
        {
            let request = Request::new("GET", &format!("/query?db=db&{params}"));
            let request = request.header("Accept", accept).header("Accept-Encoding", "gzip");
            if !params.contains("params") {
                loaded.assert_same(&request);
                continue;
            }
            // What is wrong with the JSON is said in other words.
            let (seen, expected) = (loaded.cluster.http().send(&request), loaded.reference.http().send(&request));
            assert_eq!((seen.status, seen.header("Content-Type")), (expected.status, expected.header("Content-Type")));
            assert!(seen.text().contains("error parsing query parameters: "), "{}", seen.text());
        }
    }
}

/// By GET InfluxDB carries out what changes something, and says that it should not have been asked so.
#[test]
fn changes_by_get_are_deprecated() {
    let loaded = loaded();
    for q in [
        "SELECT f INTO x1 FROM m1",
        "SELECT f INTO db..x2 FROM (SELECT f FROM m1) WHERE h = '1' GROUP BY h",
        "SELECT f INTO x4 FROM m1, db..m2, /m3/ GROUP BY *",
        "SHOW MEASUREMENTS; SELECT f INTO autogen.x3 FROM db.autogen.m1; CREATE DATABASE db2",
        "SHOW MEASUREMENTS; DROP MEASUREMENT m5; SHOW MEASUREMENTS",
        "KILL QUERY 123456",
        "SELECT f INTO x1 FROM m1; SELECT f INTO nodb..x2 FROM m1",
    ] {
        for accept in ["application/json", "application/x-msgpack", "text/csv"] {
            for params in ["", "chunked=true", "rp=autogen"] {
                loaded.assert_same(&get(q, params).header("Accept", accept));
                let post = Request::new("POST", &format!("/query?db=db&q={}&{params}", encode(q)));
                loaded.assert_same(&post.header("Accept", accept));
            }
        }
    }
}

#[test]
fn nobody_waits_for_an_async_query() {
    let loaded = loaded();
    let post = |q: &str| Request::new("POST", &format!("/query?db=db&async=true&chunked=true&q={}", encode(q)));
    for q in ["SELECT f INTO later FROM m1, m2, m3, m4", "CREATE DATABASE later", "SHOW SERIES; SHOW MEASUREMENTS"] {
        loaded.assert_same(&post(q));
    }
    loaded.assert_same(&post("SELECT ("));
    let count = |http: Http| http.run("db", "SELECT count(f) FROM later").to_string();
    let expected = wait_for("the points in influxd", SOON, || {
        let counted = count(loaded.reference.http());
        counted.contains("count").then_some(counted)
    });
    wait_for("the same through slotline", SOON, || (count(loaded.cluster.http()) == expected).then_some(()));
    for replica in loaded.cluster.replicas() {
        let has = || replica.http().run("", "SHOW DATABASES").to_string().contains("later").then_some(());
        wait_for("the database", SOON, has);
    }
}
