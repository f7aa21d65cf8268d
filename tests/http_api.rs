//! The HTTP surface: what InfluxDB's clients, browsers, balancers and Prometheus see.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::*;

/// Headers that two servers must agree about, whatever the answer.
const COMPARED: &[&str] = &[
    "Content-Type",
    "Allow",
    "X-Influxdb-Version",
    "X-Influxdb-Build",
    "X-Influxdb-Error",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Expose-Headers",
    "WWW-Authenticate",
];

type Surface = (u16, BTreeMap<&'static str, Option<String>>, String);

fn surface(answer: &Response) -> Surface {
    let headers = COMPARED.iter().map(|&name| (name, answer.header(name).map(in_order)));
    (answer.status, headers.collect(), answer.text())
}

/// A list of methods sorted: influxd's own order changes from start to start.
fn in_order(value: &str) -> String {
    if value.split(", ").any(|word| word != "POST" && word != "GET" && word != "HEAD" && word != "OPTIONS") {
        return value.to_owned();
    }
    let mut words: Vec<&str> = value.split(", ").collect();
    words.sort_unstable();
    words.join(", ")
}

#[track_caller]
fn assert_same_surface(cluster: &Cluster, reference: &Influxd, request: &Request) -> Response {
    let seen = cluster.http().send(request);
    let expected = reference.http().send(request);
    let what = format!("{} {} {:?}", request.method, request.path, request.headers);
    assert_eq!(surface(&seen), surface(&expected), "{what}");
    seen
}

fn pair() -> (Cluster, Influxd) {
    let cluster = Cluster::new(2, 1);
    let reference = cluster.reference("db");
    cluster.create_db("db");
    (cluster, reference)
}

#[test]
fn routes_and_methods_answer_as_influxdbs_do() {
    let (cluster, reference) = pair();
    for path in ["/ping", "/write?db=db", "/query?db=db&q=SHOW%20DATABASES", "/nothing", "/", "/writes"] {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"] {
            // HEAD of a query is the one where a proxy may differ: Go sends no length for it.
            assert_same_surface(&cluster, &reference, &Request::new(method, path));
        }
    }
}

/// As people write it in a URL by hand, and curl sends it.
#[test]
fn characters_that_no_url_has_are_read_as_influxdb_reads_them() {
    let (cluster, reference) = pair();
    for http in [cluster.http(), reference.http()] {
        http.store("db", (0..5).map(|n| format!("é,h=\\\"#{n} v={n} {n}\n")).collect::<String>());
    }
    let (mut one, mut other) = (cluster.http().connect(), reference.http().connect());
    for path in [
        "/query?db=db&q=SELECT+*+FROM+\"é\"+WHERE+v>3+OR+v<1",
        "/query?db=db&q=SELECT+v+FROM+\"\u{e9}\"+WHERE+h='\"#2'&epoch=s",
        "/query?db=db&q=SHOW+DATABASES#all",
        "/query?db=db&q=DELETE+FROM+\"é\"#1",
        "/query?db=db&q=SELECT+count(v)+FROM+\"é\"",
        "/ping#x",
    ] {
        let request = Request::new("GET", path);
        let whole = request.to_bytes();
        let (seen, expected) = (one.call(&request), other.call(&request));
        assert_eq!((seen.status, seen.text()), (expected.status, expected.text()), "{path}");
        for cut in (0..whole.len()).step_by(7) {
            one.send(&whole[..cut]);
            std::thread::sleep(Duration::from_millis(2));
            one.send(&whole[cut..]);
            assert_eq!(surface(&one.answer()), surface(&seen), "{path} cut at {cut}");
        }
    }
    // Of a body nothing is changed, whatever it looks like.
    let body = "GET,h=\"<#é> v=1 9\n";
    let whole = Request::write("db=db", body).to_bytes();
    let (head, body) = whole.split_at(whole.len() - body.len());
    for conn in [&mut one, &mut other] {
        conn.send(head);
        std::thread::sleep(Duration::from_millis(20));
        conn.send(body);
        assert_eq!(conn.answer().status, 204);
        assert_eq!(conn.call(&Request::new("GET", "/query?db=db&q=SHOW+FIELD+KEYS+FROM+\"GET\"")).status, 200);
    }
    let read = |http: Http| http.query("db", "SELECT * FROM \"GET\"").text();
    assert_eq!(read(cluster.http()), read(reference.http()));
    assert!(read(cluster.http()).contains("#é"), "{}", read(cluster.http()));
}

/// Both heads are there before the first of them is answered.
#[test]
fn a_body_behind_a_request_that_came_with_its_head_is_as_it_was_sent() {
    let (cluster, reference) = pair();
    let body = "m,h=\"<#é> v=1 9\n";
    let whole = Request::write("db=db", body).to_bytes();
    let (head, body) = whole.split_at(whole.len() - body.len());
    for http in [cluster.http(), reference.http()] {
        let mut conn = http.connect();
        conn.send(&[&Request::new("GET", "/ping").to_bytes()[..], head].concat());
        std::thread::sleep(Duration::from_millis(20));
        conn.send(body);
        assert_eq!((conn.answer().status, conn.answer().status), (204, 204));
        assert_eq!(conn.call(&Request::new("GET", "/ping")).status, 204);
    }
    let read = |http: Http| http.query("db", "SELECT * FROM m").text();
    assert_eq!(read(cluster.http()), read(reference.http()));
    assert!(read(cluster.http()).contains("#é"), "{}", read(cluster.http()));
}

#[test]
fn a_request_with_origin_gets_influxdbs_cors_headers() {
    let (cluster, reference) = pair();
    for (method, path, body) in [
        ("GET", "/ping", ""),
        ("OPTIONS", "/query", ""),
        ("OPTIONS", "/write", ""),
        ("GET", "/query?q=SHOW%20DATABASES", ""),
        ("GET", "/query?db=db&q=SELECT%20v%20FROM%20m1", ""),
        ("POST", "/write?db=db", "m1s v=1 1\n"),
        ("POST", "/write?db=db", "bad\n"),
        ("POST", "/write?db=nodb", "m1s v=1 1\n"),
        ("GET", "/query", ""),
    ] {
        let request = Request::new(method, path).header("Origin", "http://grafana.example").body(body);
        let seen = assert_same_surface(&cluster, &reference, &request);
        let allowed = seen.header("Access-Control-Allow-Origin");
        assert_eq!(allowed, Some("http://grafana.example"), "{method} {path}");
    }
}

#[test]
fn every_answer_carries_the_version_and_errors_their_header() {
    let (cluster, reference) = pair();
    let version = influxd::version(reference.http());
    for request in [
        Request::new("GET", "/ping"),
        Request::new("GET", "/query?q=SHOW%20DATABASES"),
        Request::write("db=db", "m v=1 1\n"),
        Request::write("db=db", "bad\n"),
        Request::write("", "m v=1 1\n"),
        Request::new("GET", "/query"),
        Request::new("GET", "/nothing"),
        Request::new("GET", "/health"),
    ] {
        let answer = cluster.http().send(&request);
        assert_eq!(answer.header("X-Influxdb-Version"), Some(version.as_str()), "{}", request.path);
        assert!(answer.header("X-Influxdb-Build").is_some(), "{}", request.path);
        let is_json = answer.header("Content-Type") == Some("application/json");
        if answer.status >= 400 && is_json {
            assert_eq!(answer.header("X-Influxdb-Error"), Some(answer.error().as_str()));
            assert!(answer.text().ends_with("}\n"), "{answer:?}");
        }
    }
    // A long error is cut in the header, not in the body.
    let long = format!("bad{}\n", "x".repeat(3000));
    let seen = assert_same_surface(&cluster, &reference, &Request::write("db=db", long));
    assert!(seen.header("X-Influxdb-Error").is_some_and(|text| text.len() <= 1024));
}

#[test]
fn writes_and_pings_answer_in_the_format_that_the_client_accepts() {
    let (cluster, reference) = pair();
    for accept in ["text/csv", "application/csv", "application/x-msgpack", "application/json", "text/html"] {
        let ping = Request::new("GET", "/ping").header("Accept", accept);
        assert_same_surface(&cluster, &reference, &ping);
        for (params, body) in [
            ("db=db", "m v=1 1\n"),
            ("db=db", "bad \"x\", y\nm v=2 2\n"),
            ("db=db&pretty=true", "bad\n"),
            ("db=nodb", "m v=1 1\n"),
            ("db=db&rp=norp", "m v=1 1\n"),
            ("db=db&rp=a%0Ab%20%0A", "m v=1 1\n"),
            ("", "m v=1 1\n"),
        ] {
            let write = Request::write(params, body).header("Accept", accept);
            assert_same_surface(&cluster, &reference, &write);
        }
    }
}

/// InfluxDB 1.8 takes writes of clients of version 2; the reference, 1.6, gets the same under 1.x' names.
#[test]
fn writes_of_version_2_are_those_of_version_1() {
    let (cluster, reference) = pair();
    for (bucket, params) in [
        ("org=any&bucket=db/autogen&precision=s", "db=db&rp=autogen&precision=s"),
        ("bucket=db&precision=us", "db=db&precision=u"),
        ("bucket=db%2F&precision=ns", "db=db&precision=n"),
        ("bucket=db", "db=db"),
        ("bucket=db/norp&precision=ms", "db=db&rp=norp&precision=ms"),
        ("bucket=nodb/autogen", "db=nodb&rp=autogen"),
    ] {
        for body in ["m1,host=a v=1 1600000000\nm2 v=2 1600000001\n", "bad\nm3 v=1 1\n", ""] {
            let seen = Request::new("POST", &format!("/api/v2/write?{bucket}")).header("Authorization", "Token u:p");
            let seen = cluster.http().send(&seen.body(body));
            let expected = reference.http().send(&Request::write(params, body));
            assert_eq!(surface(&seen), surface(&expected), "{bucket}, {body:?}");
        }
    }
    cluster.assert_holds("db", &facts(reference.http(), "db"));
    for (params, status, error) in [
        ("org=o", 404, "bucket name \"\" is missing a slash; not in \"database/retention-policy\" format"),
        ("bucket=/autogen", 404, "bucket name \"/autogen\" is in db/rp form but has an empty database"),
        ("bucket=db&precision=h", 400, "invalid precision \"h\" (use ns, us, ms or s)"),
    ] {
        let request = Request::new("POST", &format!("/api/v2/write?{params}")).body("m v=1 1\n");
        let seen = cluster.http().send(&request);
        assert_eq!((seen.status, seen.error().as_str()), (status, error), "{params}");
    }
    let flux = cluster.http().send(&Request::new("POST", "/api/v2/query").body("buckets()"));
    assert_eq!((flux.status, flux.header("Content-Type")), (403, Some("text/plain; charset=utf-8")));
    assert!(flux.text().starts_with("Flux query service disabled. Verify flux-enabled=true"), "{flux:?}");
}

#[test]
fn prometheus_hears_what_to_use_instead() {
    let cluster = Setup::new(1, 1).start();
    for path in ["/api/v1/prom/write?db=db", "/api/v1/prom/read?db=db"] {
        let answer = cluster.http().send(&Request::new("POST", path).body("packed"));
        assert_eq!((answer.status, answer.header("Content-Type")), (404, Some("application/json")), "{answer:?}");
        let error = answer.error();
        assert!(error.contains("does not offer Prometheus' remote write and read"), "{error}");
        assert!(error.contains("/write") && error.contains("/query"), "{error}");
        assert_eq!(cluster.http().get(path).status, 405, "{path}");
    }
}

/// The harness's own client: a read with a timeout is broken off by any signal that is handled.
#[test]
fn a_signal_breaks_no_answer_off() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing, and nobody else uses the signal.
    unsafe { libc::signal(libc::SIGUSR1, nothing as *const () as libc::sighandler_t) };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let http = Http::new(listener.local_addr().expect("it is bound"));
    // SAFETY: it has no preconditions.
    let reader = unsafe { libc::pthread_self() };
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        for piece in ["HTTP/1.1 200 OK\r\nContent-", "Length: 2\r\n\r\n", "o", "k"] {
            std::thread::sleep(Duration::from_millis(50));
            // SAFETY: the thread waits for what is told here.
            unsafe { libc::pthread_kill(reader, libc::SIGUSR1) };
            std::thread::sleep(Duration::from_millis(50));
            std::io::Write::write_all(&mut stream, piece.as_bytes()).expect("it reads");
        }
    });
    let answer = http.connect().try_answer(false);
    assert_eq!(answer.map(|answer| answer.text()).map_err(|error| error.kind()), Ok("ok".to_owned()));
    server.join().expect("it has told all");
}

/// What clients get wrong, in the URL, in a form, in both.
#[test]
fn odd_requests_are_answered_as_influxdbs_are() {
    let (cluster, reference) = pair();
    for http in [cluster.http(), reference.http()] {
        http.store("db", "m1,host=a v=1 1\nm1,host=b v=2 2\nm2 v=3 3\n");
    }
    let q = encode("SELECT v FROM m1, m2");
    for params in [
        "db=db&q=%zz",
        "db=%zz&q=SHOW%20DATABASES",
        "db=db&db=nodb&q=SHOW%20MEASUREMENTS",
        "db=nodb&db=db&q=SHOW%20MEASUREMENTS",
        "DB=db&Q=SHOW%20DATABASES",
        "db=db&q=%20",
        "db=db&q=%3B%3B",
        "db=db&q=%00",
        "db=db&q=%FF",
        "db=db&q=%3B&chunked=true",
        "db=db&q=--%20x&chunked=true&pretty=true",
        "q=SELECT%20v%20INTO%20copies%20FROM%20m1",
        "q=SELECT%20v%20INTO%20db..copies%20FROM%20m1",
        "db=db&q=SELECT%20%22",
        "db=db&q=--%20x",
        "db=db&q=SHOW%20DATABASES%20SHOW%20DATABASES",
        "db=db&q=KILL%20QUERY%20x",
        "db=db&q=DROP%20USER%20nouser",
        "db=db&q=SHOW%20GRANTS%20FOR%20nouser",
        "db=db&q=CREATE%20RETENTION%20POLICY%20p%20ON%20nodb%20DURATION%201h%20REPLICATION%201",
        "db=db&q=SELECT%20v%20FROM%20m1%3B%20bad",
        "db=db&q=SHOW%20DATABASES%3BSELECT%20v%20FROM%20nodb..m%3BSHOW%20DATABASES",
    ] {
        for method in ["GET", "POST"] {
            for accept in ["", "text/csv"] {
                let request = Request::new(method, &format!("/query?{params}")).header("Accept", accept);
                assert_same_surface(&cluster, &reference, &request);
            }
        }
    }
    for more in [
        "epoch=bad",
        "epoch=1s",
        "epoch=",
        "chunked=true&chunk_size=-1",
        "chunked=true&chunk_size=1.5",
        "chunked=true&chunk_size=99999999999999999999",
        "chunked=True",
        "chunked=1",
        "rp=norp",
        "params=",
        "params=%7B%7D",
        "params=null",
        "node_id=x",
        "u=x&p=y",
        "%zz",
    ] {
        for q in [&*q, "SELECT%20v%20FROM%20m1"] {
            assert_same_surface(&cluster, &reference, &Request::new("GET", &format!("/query?db=db&q={q}&{more}")));
        }
    }
    let form = "application/x-www-form-urlencoded";
    let part = |name: &str, text: &str| format!("--X\r\nContent-Disposition: form-data; {name}\r\n\r\n{text}\r\n");
    let parts = part("name=\"q\"", "SELECT v FROM m1, m2") + &part("name=\"epoch\"", "ns") + "--X--\r\n";
    let file = part("name=\"q\"; filename=\"q.txt\"", "SELECT v FROM m1, m2") + "--X--\r\n";
    for (params, kind, body) in [
        (format!("db=db&q={q}"), form, "q=SHOW+DATABASES".to_owned()),
        (format!("db=nodb&q={q}"), form, "db=db".to_owned()),
        (format!("db=db&q={q}"), form, "q=".to_owned()),
        (format!("db=db&q={q}"), form, "%zz=1".to_owned()),
        ("db=db".to_owned(), form, "q=%zz".to_owned()),
        ("db=db".to_owned(), form, "pretty=true&q=SHOW+DATABASES".to_owned()),
        (format!("db=db&q={q}"), "", "whatever".to_owned()),
        ("db=db".to_owned(), "application/json", "{\"q\":\"SHOW DATABASES\"}".to_owned()),
        ("db=db".to_owned(), "APPLICATION/X-WWW-FORM-URLENCODED", "q=SHOW+DATABASES".to_owned()),
        ("db=db".to_owned(), "application/x-www-form-urlencoded;bad=;;", "q=SHOW+DATABASES".to_owned()),
        ("db=db".to_owned(), "multipart/form-data; boundary=X", parts.clone()),
        ("db=db".to_owned(), "multipart/form-data; boundary=X", file.replace("form-data", "attachment")),
        ("db=db".to_owned(), "multipart/form-data; boundary=X", file),
        ("db=db&q=SHOW%20DATABASES".to_owned(), "multipart/form-data; boundary=X", parts.clone()),
        ("db=db".to_owned(), "multipart/form-data; boundary=Y", parts.clone()),
        ("db=db".to_owned(), "multipart/form-data", parts.clone()),
        ("db=db".to_owned(), "multipart/form-data; boundary=X", parts[..parts.len() - 10].to_owned()),
        ("db=db".to_owned(), "multipart/mixed; boundary=X", parts),
        ("db=db".to_owned(), form, format!("q={}", encode(&"SHOW DATABASES;".repeat(500)))),
        ("db=db".to_owned(), form, format!("q={}", encode(&format!("SELECT v FROM {}", vec!["m1"; 2000].join(", "))))),
    ] {
        let request = Request::new("POST", &format!("/query?{params}")).header("Content-Type", kind).body(body);
        assert_same_surface(&cluster, &reference, &request);
    }
    for (params, body) in [
        ("", "m v=1 1"),
        ("db=%zz", "m v=1 1"),
        ("db=db&%zz=1", "m v=1 1"),
        ("db=db&db=nodb", "m v=1 1"),
        ("db=nodb&db=db", "m v=1 1"),
        ("DB=db", "m v=1 1"),
        ("db=db&precision=bad", "m v=1 1"),
        ("db=db&consistency=bad", "m v=1 1"),
        ("db=db&consistency=One", "m v=1 1"),
        ("db=db", ""),
        ("db=db", "# only a remark\n"),
        ("db=db", "m v=1 99999999999999999999"),
    ] {
        assert_same_surface(&cluster, &reference, &Request::write(params, body));
    }
    for path in ["/query/", "//query", "/Query", "/%71uery", "/write/", "/ping/", "/ping?wait_for_leader=bad", "/api"] {
        for method in ["GET", "HEAD", "POST", "DELETE", "FOO"] {
            assert_same_surface(&cluster, &reference, &Request::new(method, path));
        }
    }
}

#[test]
fn a_body_that_is_no_form_leaves_the_connection_open() {
    let (cluster, reference) = pair();
    let request = |http: Http| {
        let mut conn = http.connect();
        let text = Request::new("POST", "/query?db=db").header("Content-Type", "application/vnd.influxql");
        let first = conn.call(&text.body("SHOW DATABASES"));
        let second = conn.call(&Request::query(&[("q", "SHOW DATABASES")]));
        (surface(&first), first.header("Connection").map(str::to_owned), surface(&second))
    };
    assert_eq!(request(cluster.http()), request(reference.http()));
}

#[test]
fn request_ids_are_the_clients_or_fresh_ones() {
    let (cluster, _) = pair();
    for path in ["/ping", "/query?q=SHOW%20DATABASES", "/query", "/query?db=db&q=SELECT%20v%20FROM%20m"] {
        let ask = |headers: &[(&str, &str)]| {
            let mut request = Request::new("GET", path);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let answer = cluster.http().send(&request);
            let id = answer.header("Request-Id").expect("an id").to_owned();
            assert_eq!(answer.header("X-Request-Id"), Some(id.as_str()), "{path}");
            id
        };
        assert_eq!(ask(&[("X-Request-Id", "one")]), "one");
        assert_eq!(ask(&[("Request-Id", "two")]), "two");
        assert_eq!(ask(&[("Request-Id", "two"), ("X-Request-Id", "one")]), "one");
        let (fresh, other) = (ask(&[]), ask(&[]));
        assert_ne!(fresh, other);
        assert_eq!(fresh.len(), 36, "a UUID: {fresh}");
    }
    let write = Request::write("db=db", "m v=1 1\n").header("X-Request-Id", "mine");
    assert_eq!(cluster.http().send(&write).header("Request-Id"), Some("mine"));
}

#[test]
fn ping_health_and_ready_answer_balancers() {
    let (cluster, _) = pair();
    let version = influxd::version(cluster.groups[0][0].http());
    let verbose = cluster.http().get("/ping?verbose=true");
    assert_eq!(verbose.status, 200, "{verbose:?}");
    assert_eq!(verbose.json()["version"], version);
    for path in ["/ping?verbose=false", "/ping?verbose=0", "/ping?verbose="] {
        assert_eq!(cluster.http().get(path).status, 204, "{path}");
    }
    for port in [cluster.http(), cluster.slotline.admin()] {
        let health = port.get("/health");
        assert_eq!(health.status, 200, "{health:?}");
        assert_eq!(health.header("Content-Type"), Some("application/json"));
        let json = health.json();
        assert_eq!(json["status"], "pass");
        assert_eq!(json["name"], "influxdb");
        assert_eq!(json["message"], "ready for queries and writes");
        assert_eq!(json["checks"], serde_json::json!([]));
        let ready = port.get("/ready");
        assert_eq!(ready.status, 200, "{ready:?}");
    }
}

#[test]
fn old_and_closing_clients_are_served_as_they_ask() {
    let (cluster, _) = pair();
    let body = "m v=1 1\n";
    let mut conn = cluster.http().connect();
    conn.send(&Request::write("db=db", body).header("Connection", "close").to_bytes());
    assert_eq!(conn.answer().status, 204);
    assert!(conn.is_closed());

    let mut conn = cluster.http().connect();
    let head = format!("POST /write?db=db HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
    conn.send(&[head.as_bytes(), body.as_bytes()].concat());
    assert_eq!(conn.answer().status, 204);
    assert!(conn.is_closed());

    // HTTP/1.0 knows no chunks: the answer has a length or ends with the connection.
    let mut conn = cluster.http().connect();
    conn.send(b"GET /query?db=db&q=SELECT%20v%20FROM%20m HTTP/1.0\r\n\r\n");
    let answer = conn.answer();
    assert_eq!(answer.status, 200);
    assert!(!answer.chunked);
    assert!(answer.text().contains("\"series\""), "{answer:?}");
}

/// Prometheus text as name with labels, and value.
fn metrics(cluster: &Cluster) -> BTreeMap<String, f64> {
    let answer = cluster.slotline.admin().get("/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    let content_type = answer.header("Content-Type").unwrap_or_default();
    assert!(content_type.starts_with("text/plain"), "{content_type}");
    let mut metrics = BTreeMap::new();
    for line in answer.text().lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no metric: {line:?}"));
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line:?}"));
        let before = metrics.insert(name.to_owned(), value);
        assert!(before.is_none(), "{name} is there twice");
    }
    metrics
}

/// The sum over all label sets of `name` that contain each of `labels`.
fn sum(metrics: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> f64 {
    let fits = |key: &str| {
        let own = key.split('{').next().expect("split gives one part");
        own == name && labels.iter().all(|label| key.contains(label))
    };
    metrics.iter().filter(|(key, _)| fits(key)).map(|(_, value)| value).sum()
}

#[test]
fn metrics_count_the_points_that_came_and_that_were_stored() {
    let cluster = Cluster::new(2, 2);
    cluster.create_db("db");
    let before = metrics(&cluster);
    let body: String = (0..100).map(|n| format!("m{n}s v=1 1\n# comment\n\n")).collect();
    for _ in 0..5 {
        cluster.http().store("db", &body);
    }
    let in_first = (0..100).filter(|n| cluster.group_of("db", &format!("m{n}s")) == 0).count();
    let after = wait_for("the counters", SOON, || {
        let after = metrics(&cluster);
        (sum(&after, "slotline_points_received_total", &[]) >= 500.0).then_some(after)
    });
    let grown = |name: &str, labels: &[&str]| sum(&after, name, labels) - sum(&before, name, labels);
    assert_eq!(grown("slotline_points_received_total", &["protocol=\"http\""]), 500.0);
    for (replica, points) in [("g1a", in_first), ("g1b", in_first), ("g2a", 100 - in_first), ("g2b", 100 - in_first)] {
        assert_eq!(grown("slotline_points_acked_total", &[replica]), (5 * points) as f64, "{replica}");
        assert_eq!(sum(&after, "slotline_backend_up", &[replica]), 1.0, "{replica}");
    }
    cluster.http().write("db", "bad\nm1 v=\nm2 v=1 2\n");
    let rejected = wait_for("the counter of rejected points", SOON, || {
        let now = metrics(&cluster);
        let rejected = sum(&now, "slotline_points_rejected_total", &[]);
        (rejected > 0.0).then_some(rejected)
    });
    assert_eq!(rejected, 2.0);
    assert!(after.contains_key("slotline_topology_epoch"), "{after:?}");
}

#[test]
fn metrics_tell_how_long_requests_take() {
    let cluster = Cluster::new(1, 1);
    cluster.create_db("db");
    for number in 0..20 {
        cluster.http().store("db", format!("m v=1 {number}\n"));
        cluster.http().run("db", "SELECT * FROM m");
    }
    let seen = wait_for("the latencies", SOON, || {
        let now = metrics(&cluster);
        // Shards show their quantiles a moment after they recorded.
        let shown = |name| sum(&now, name, &["quantile=\"0.5\""]) > 0.0;
        let all = sum(&now, "slotline_write_seconds_count", &[]) >= 20.0;
        (all && shown("slotline_write_seconds") && shown("slotline_query_seconds")).then_some(now)
    });
    for name in ["slotline_write_seconds", "slotline_query_seconds"] {
        assert_eq!(sum(&seen, &format!("{name}_count"), &[]), 20.0, "{name}");
        assert!(sum(&seen, &format!("{name}_sum"), &[]) > 0.0, "{name}");
        let mut last = 0.0;
        for quantile in ["0.5", "0.9", "0.99", "0.999"] {
            let value = sum(&seen, name, &[&format!("quantile=\"{quantile}\"")]);
            assert!(value > 0.0 && value >= last && value < 20.0, "{name} {quantile}: {value}");
            last = value;
        }
    }
    for name in ["slotline_write_duration_seconds", "slotline_query_duration_seconds"] {
        assert_eq!(sum(&seen, &format!("{name}_bucket"), &["le=\"+Inf\""]), 20.0, "{name}");
        assert_eq!(sum(&seen, &format!("{name}_count"), &[]), 20.0, "{name}");
    }
}

#[test]
fn metrics_show_a_replica_that_is_down() {
    let mut cluster = Setup::new(1, 2).set("write", "timeout = \"1s\"").start();
    cluster.create_db("db");
    cluster.http().store("db", "m v=1 1\n");
    cluster.groups[0][1].kill9();
    wait_for("the metric of the dead replica", SOON, || {
        cluster.http().write("db", "m v=1 1\n");
        let now = metrics(&cluster);
        assert_eq!(sum(&now, "slotline_backend_up", &["g1a"]), 1.0);
        (sum(&now, "slotline_backend_up", &["g1b"]) == 0.0).then_some(())
    });
    cluster.groups[0][1].restart();
    wait_for("the metric of the living replica", SOON, || {
        cluster.http().write("db", "m v=1 1\n");
        (sum(&metrics(&cluster), "slotline_backend_up", &["g1b"]) == 1.0).then_some(())
    });
}
