//! SELECT over several groups when replicas fail, clients leave, and limits are reached: what has broken off is never an
//! answer.

mod support;

use std::time::Duration;

use support::*;

const ROWS: i64 = 40_000;
const Q: &str = "SELECT * FROM m1, m2, m3, m4, wide5";

fn fill(http: Http) {
    let mut body = String::new();
    for name in ["m1", "m2", "m3", "m4", "wide5"] {
        (0..50).for_each(|n| body.push_str(&format!("{name},host=h{} v={n},s=\"text {n}\" {n}\n", n % 5)));
    }
    http.store("db", body);
}

fn fill_more(http: Http) {
    for name in ["m1", "m2"] {
        let text = "some text that makes the answer long enough to fill every buffer on its way to the client";
        let line = |n: i64| format!("{name} v={n},s=\"{text} {n}\" {}\n", n + 1000);
        http.store("db", (0..ROWS).map(line).collect::<String>());
    }
}

fn cluster(change: impl FnOnce(Setup) -> Setup) -> Cluster {
    let cluster = change(Setup::new(3, 2).meddled()).start();
    cluster.create_db("db");
    fill(cluster.http());
    cluster
}

fn chunked(http: Http, q: &str) -> Response {
    http.get_query(&[("db", "db"), ("q", q), ("chunked", "true"), ("chunk_size", "10")])
}

fn chunked_csv(http: Http, q: &str) -> Response {
    let params = client::form(&[("db", "db"), ("q", q), ("chunked", "true"), ("chunk_size", "10")]);
    http.send(&Request::new("GET", &format!("/query?{params}")).header("Accept", "text/csv"))
}

#[test]
fn the_next_replica_answers_for_one_that_fails() {
    let cluster = cluster(|setup| setup);
    let expected = cluster.http().query("db", Q).text();
    assert!(expected.contains("wide5") && !expected.contains("error"), "{expected}");
    for meddle in [Meddle::Reset, Meddle::ResetStored, Meddle::status(500, "db"), Meddle::status(401, "db")] {
        for replica in 0..2 {
            cluster.meddlers.iter().for_each(|group| group[replica].set(meddle.clone()));
            let seen = cluster.http().query("db", Q).text();
            assert_eq!(seen, expected, "{meddle:?} of replica {replica}");
            cluster.meddlers.iter().for_each(|group| group[replica].set(Meddle::Pass));
        }
    }
    assert!(cluster.slotline.metric("slotline_queries_failed_over_total", &[]) >= 4);
}

/// InfluxDB sends the head of an answer as soon as the query begins. While the client has heard nothing, another replica may
/// still be asked.
#[test]
fn an_answer_that_breaks_off_before_a_byte_of_it_is_out_is_asked_of_the_next_replica() {
    let cluster = cluster(|setup| setup.set("query", "timeout = \"2s\""));
    let q = "SELECT * FROM m1";
    let group = cluster.group_of("db", "m1");
    let set = |replica: usize, meddle: Meddle| cluster.meddlers[group][replica].set(meddle);
    let asked = [|http: Http, q: &str| http.query("db", q), chunked];
    let expected = asked.map(|ask| ask(cluster.http(), q).text());
    assert!(expected[0].contains("text 49") && !expected[0].contains("error"), "{expected:?}");
    for meddle in [Meddle::CutBehindHead, Meddle::ResetStored] {
        for replica in 0..2 {
            set(replica, meddle.clone());
            let seen = asked.map(|ask| ask(cluster.http(), q).text());
            assert_eq!(seen, expected, "{meddle:?} of replica {replica}");
            set(replica, Meddle::Pass);
        }
    }
    assert!(cluster.slotline.metric("slotline_queries_failed_over_total", &[]) >= 2);
    for (meddle, says) in [(Meddle::CutBehindHead, "broke off"), (Meddle::HangBehindHead, "(query.timeout)")] {
        (0..2).for_each(|replica| set(replica, meddle.clone()));
        for ask in asked {
            let seen = ask(cluster.http(), q);
            assert_eq!(seen.status, 503, "{meddle:?}: {seen:?}");
            assert!(seen.text().contains(says) && !seen.text().contains("series"), "{meddle:?}: {seen:?}");
        }
        (0..2).for_each(|replica| set(replica, Meddle::Pass));
    }
    assert!(cluster.slotline.metric("slotline_queries_limited_total", &["time"]) >= 1);
}

#[test]
fn a_part_that_breaks_off_or_hangs_is_an_error() {
    let cluster = cluster(|setup| setup.set("query", "timeout = \"1s\""));
    for meddle in [Meddle::HangMidAnswer, Meddle::Hang, Meddle::ResetStored] {
        let group = cluster.group_of("db", "m2");
        cluster.meddlers[group].iter().for_each(|meddler| meddler.set(meddle.clone()));
        let seen = cluster.http().query("db", Q);
        assert!(seen.text().contains("error") && !seen.text().contains("series"), "{meddle:?}: {seen:?}");
        let seen = chunked(cluster.http(), Q);
        assert!(seen.text().contains("\"error\""), "{meddle:?}, chunked: {seen:?}");
        let seen = chunked_csv(cluster.http(), Q);
        assert!(seen.text().starts_with("error\n") || seen.text().contains("\n\nerror\n"), "{meddle:?}, CSV: {seen:?}");
        cluster.meddlers[group].iter().for_each(|meddler| meddler.set(Meddle::Pass));
    }
    assert!(cluster.slotline.metric("slotline_queries_limited_total", &["time"]) >= 1);
    assert!(!cluster.http().query("db", Q).text().contains("error"), "all is well again");
}

#[test]
fn a_show_that_breaks_off_is_asked_of_the_next_replica() {
    // Longer than what a meddler passes before it hangs or cuts.
    let cluster = cluster(|setup| setup);
    // Its answer has several chunks, of which the first comes whole.
    cluster.http().store("db", (0..25_000).map(|n| format!("m1,host=h{n} v=1 1\n")).collect::<String>());
    let q = "SHOW SERIES";
    let expected = cluster.http().query("db", q).text();
    assert!(expected.contains("m1,host=h24999") && expected.contains("m4,host=h1"), "{}", expected.len());
    for replica in 0..2 {
        cluster.meddlers.iter().for_each(|group| group[replica].set(Meddle::CutMidAnswer));
        let seen = cluster.http().query("db", q).text();
        assert_eq!(seen, expected, "replica {replica} breaks off");
        cluster.meddlers.iter().for_each(|group| group[replica].set(Meddle::Pass));
    }
    let group = cluster.group_of("db", "m1");
    cluster.meddlers[group].iter().for_each(|meddler| meddler.set(Meddle::CutMidAnswer));
    let seen = cluster.http().query("db", q).text();
    let says = |replica: &str| seen.contains(&format!("replica g{}{replica}:", group + 1));
    assert!(seen.starts_with("{\"error\":\"no answer: ") && says("a") && says("b"), "{seen}");
}

#[test]
fn who_gathers_beyond_the_limit_waits() {
    let cluster =
        cluster(|setup| setup.rule("db", "m1", &["host"]).set("server", "cores = 1").set("query", "gathers_max = 1"));
    let (q, plain) = ("SELECT percentile(v, 50) FROM m1", "SELECT count(v) FROM m2");
    let (expected, counted) = (cluster.http().query("db", q).text(), cluster.http().query("db", plain).text());
    assert!(expected.contains("[[\"1970-01-01T00:00:00.000000024Z\",24]]"), "{expected}");
    assert!(counted.contains("50]]"), "{counted}");
    assert_eq!(cluster.slotline.metric("slotline_queries_gathered_later_total", &[]), 0);
    // What is asked for rows, and nothing else.
    let late = Meddle::LateTo("chunk_size=2000".to_owned(), Duration::from_secs(1));
    cluster.meddlers.iter().flatten().for_each(|meddler| meddler.set(late.clone()));
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..3).map(|_| scope.spawn(|| cluster.http().query("db", q).text())).collect();
        cluster.slotline.wait_metric("slotline_queries_gathered_later_total", 2.0);
        assert_eq!(cluster.http().query("db", plain).text(), counted, "who does not gather does not wait");
        asked.into_iter().for_each(|asked| assert_eq!(asked.join().expect("an answer"), expected));
    });
    assert_eq!(cluster.slotline.metric("slotline_queries_limited_total", &["gathers"]), 0);
}

/// Sends a query whose answer does not fit between the two, and reads nothing of it.
fn not_read(http: Http, params: &[(&str, &str)]) -> Conn {
    let mut client = http.connect();
    client.send(&Request::new("GET", &format!("/query?{}", client::form(params))).to_bytes());
    client
}

const LONG: &str = "SELECT s, s, s, s, s FROM m1, m2";

#[test]
fn who_waits_too_long_for_a_place_is_told_for_which() {
    let one_at_once = |limit: &'static str| {
        let cluster = cluster(|setup| {
            let setup = setup.rule("db", "m1", &["host"]).set("server", "cores = 1").set("query", "timeout = \"3s\"");
            setup.set("query", limit)
        });
        fill_more(cluster.http());
        cluster
    };
    let gathers = "SELECT percentile(v, 50) FROM m1";
    for (limit, label, q, params) in [
        ("gathers_max = 1", "gathers", LONG, &[("chunked", "true"), ("chunk_size", "1000")][..]),
        ("concurrency_max = 1", "concurrency", "SELECT s, s, s, s, s FROM m2", &[]),
    ] {
        let cluster = one_at_once(limit);
        let http = cluster.http();
        let name = limit.split(' ').next().expect("a name");
        let expected = http.query("db", gathers).text();
        let limited = |label| cluster.slotline.metric("slotline_queries_limited_total", &[label]);
        let mut first = not_read(http, &[&[("db", "db"), ("q", q)], params].concat());
        let refused = || {
            let seen = http.query("db", gathers);
            (seen.status == 503 && seen.error().contains(&format!("(query.{name})"))).then_some(())
        };
        wait_for(&format!("a refusal that names query.{name}"), SOON, refused);
        assert!(limited(label) >= 1, "{limit}");
        if label == "gathers" {
            let plain = http.query("db", "SELECT count(v) FROM m3").text();
            assert!(plain.contains("50]]"), "who does not gather does not wait: {plain}");
            assert_eq!(limited("concurrency"), 0);
        }
        let whole = first.answer();
        assert!(whole.status == 200 && !whole.text().contains("\"error\""), "{limit}: {whole:?}");
        assert!(whole.text().matches("some text that").count() >= 5 * ROWS as usize, "{limit}");
        assert_eq!(http.query("db", gathers).text(), expected, "its place is free");
    }
}

/// Only the first byte of an answer in chunks has its time.
#[test]
fn a_slow_client_gets_the_whole_of_a_long_answer() {
    let cluster =
        cluster(|setup| setup.rule("db", "m1", &["host"]).set("server", "cores = 1").set("query", "timeout = \"3s\""));
    fill_more(cluster.http());
    for q in
        [LONG, "SELECT s, s, s, s, s FROM m2, m3, m4", "SELECT v FROM m3 LIMIT 1; SELECT s, s, s, s, s FROM m1, m2"]
    {
        let params = [("db", "db"), ("q", q), ("chunked", "true"), ("chunk_size", "1000")];
        let mut client = not_read(cluster.http(), &params);
        std::thread::sleep(Duration::from_secs(5));
        let whole = client.answer();
        assert!(whole.status == 200 && !whole.text().contains("\"error\""), "{q}: {whole:?}");
        assert!(whole.text().matches("some text that").count() >= 5 * ROWS as usize, "{q}");
    }
    assert_eq!(cluster.slotline.metric("slotline_queries_limited_total", &["time"]), 0);
}

#[test]
fn rows_to_be_merged_have_a_limit() {
    let limited = |cluster: &Cluster| cluster.slotline.metric("slotline_queries_limited_total", &["bytes"]);
    // Of all rows together, and of the rows that a group tells at once.
    for max in ["1MiB", "64KiB"] {
        let cluster =
            cluster(|setup| setup.rule("db", "m1", &["host"]).set("query", &format!("merge_bytes_max = \"{max}\"")));
        fill_more(cluster.http());
        let seen = cluster.http().query("db", "SELECT s FROM m1");
        assert!(
            seen.text().contains("\"error\"") && seen.text().contains("(query.merge_bytes_max)"),
            "{max}: {seen:?}"
        );
        // Of each group that has told too much, when it is heard before the answer is given up.
        let counted = limited(&cluster);
        assert!(counted > 0, "{max}");
        for q in ["SELECT count(s) FROM m1", "SELECT s FROM m2", "SELECT s FROM m1 WHERE time < 20"] {
            let seen = cluster.http().query("db", q).text();
            assert!(seen.contains("\"values\"") && !seen.contains("\"error\""), "{q}: {seen}");
        }
        assert_eq!(limited(&cluster), counted, "{max}");
    }
}

/// Which of several equal rows is the best hangs on the storage shard that they lie in: of that alone the best of each series
/// are asked for, not all rows.
#[test]
fn of_equal_rows_the_best_of_each_series_are_gathered() {
    let setup = Setup::new(3, 1).rule("db", "m1", &["host"]);
    let cluster = setup.set("query", "merge_bytes_max = \"64KiB\"").start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    let line = |n: i64| {
        let v = if n / 6 % 4_000 == 1_000 { 99 } else { n % 50 };
        format!("m1,host=h{},k=k{} v={v},s=\"text {n}\" {}000000000\n", n % 6, n % 2, T0 + n / 6)
    };
    let body: String = (0..36_000).map(line).collect();
    for http in [cluster.http(), reference.http()] {
        http.run("", "CREATE RETENTION POLICY hours ON db DURATION INF REPLICATION 1 SHARD DURATION 1h");
        let stored = http.write_with("db=db&rp=hours", body.clone());
        assert_eq!(stored.status, 204, "{stored:?}");
    }
    let raw = cluster.http().query("db", "SELECT s FROM hours.m1").text();
    assert!(raw.contains("(query.merge_bytes_max)"), "{raw}");
    let mut queries = Vec::new();
    for columns in ["max(v), s", "min(v), s, host", "top(v, k, 2), s", "bottom(v, host, 3), s", "max(v), host"] {
        for clause in ["", "GROUP BY k", "WHERE time > 1600002000s", "ORDER BY time DESC", "WHERE v < 40 OR v = 99"] {
            queries.push(format!("SELECT {columns} FROM hours.m1 {clause}"));
        }
    }
    Judged { cluster, reference }.assert_same(&queries);
}

/// Storage shards are a policy's: however many measurements there are, they are asked for once, where it shows in which order
/// rows of one time come. Of a database that is read, reading tells whether it is there.
#[test]
fn storage_shards_are_asked_for_once() {
    let cluster = cluster(|setup| setup.rule("db", "/^(many|apart)/", &["host"]));
    let http = cluster.http();
    let points = |n: i64| {
        let of_host = move |host| format!("many{n},host=h{host} v={n} 1\napart{n},host=h{host} v={n} {host}\n");
        (0..6).map(of_host)
    };
    http.store("db", (0..30).flat_map(points).collect::<String>());
    let many = ["SELECT v, host FROM /^many/", "SELECT x FROM (SELECT v AS x FROM /^many/)"];
    let none =
        ["SELECT v FROM /^apart/", "SELECT x FROM (SELECT v AS x FROM /^apart/)", "SELECT v INTO copy FROM /^apart/"];
    for (q, most) in many.map(|q| (q, 4)).into_iter().chain(none.map(|q| (q, 0))) {
        let met = || cluster.meddlers.iter().flatten().map(Meddler::met).sum::<u64>();
        let before = met();
        for text in ["SHOW+SHARDS", "SHOW+RETENTION+POLICIES"] {
            let meddle = Meddle::SlowAnswerTo(text.to_owned(), Duration::from_millis(1));
            cluster.meddlers.iter().flatten().for_each(|meddler| meddler.set(meddle.clone()));
            let answer = http.query("db", q);
            assert!(answer.text().contains("\"values\"") && !answer.text().contains("\"error\""), "{answer:?}");
        }
        let asked = met() - before;
        assert!((most.min(1)..=most).contains(&asked), "`{q}`: {asked}");
    }
}

/// holt_winters() looks at all points some thousand times.
#[test]
fn long_work_on_rows_keeps_no_other_waiting_and_ends_with_its_query() {
    let cluster =
        cluster(|setup| setup.rule("db", "m1", &["host"]).set("server", "cores = 1").set("query", "timeout = \"5s\""));
    let lines =
        |from: i64| (from..from + 50_000).map(|n| format!("m1,host=h{} v={n} {n}000\n", n % 5)).collect::<String>();
    (0..4).for_each(|part| cluster.http().store("db", lines(part * 50_000)));
    let long = "SELECT holt_winters(first(v), 3, 7) FROM m1 WHERE time >= 0 AND time < 200000000 GROUP BY time(1u)";
    let short = "SELECT percentile(v, 50) FROM m1 WHERE time < 1000000";
    let expected = cluster.http().query("db", short).text();
    assert!(expected.contains("\"values\""), "{expected}");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| cluster.http().query("db", long).text());
        // Its rows have come, and it works on them.
        let began = cluster.slotline.cpu();
        let works = || (cluster.slotline.cpu() - began > Duration::from_secs(2)).then_some(());
        wait_for("work on the rows", Duration::from_secs(5), works);
        assert_eq!(cluster.http().query("db", short).text(), expected);
        assert!(!asked.is_finished(), "it took less than was thought");
        let said = asked.join().expect("an answer");
        assert!(said.contains("timeout"), "{said}");
    });
    std::thread::sleep(Duration::from_millis(500));
    let before = cluster.slotline.cpu();
    std::thread::sleep(Duration::from_secs(1));
    let still = cluster.slotline.cpu() - before;
    assert!(still < Duration::from_millis(500), "nobody waits, and {still:?} of a second were worked");
}

/// What stands behind others, whose answers are out, has its time too.
#[test]
fn long_work_in_the_middle_of_an_answer_ends() {
    let cluster = cluster(|setup| setup.rule("db", "m1", &["host"]).set("query", "timeout = \"5s\""));
    let lines =
        |from: i64| (from..from + 50_000).map(|n| format!("m1,host=h{} v={n} {n}000\n", n % 5)).collect::<String>();
    (0..4).for_each(|part| cluster.http().store("db", lines(part * 50_000)));
    let long = "SELECT holt_winters(first(v), 3, 7) FROM m1 WHERE time >= 0 AND time < 200000000 GROUP BY time(1u)";
    let behind = format!("SELECT v FROM m2 LIMIT 1; {long}; SELECT v FROM m3");
    let limited = cluster.slotline.metric("slotline_queries_limited_total", &["time"]);
    let said = chunked(cluster.http(), &behind).text();
    let told = |what: &str| said.contains(&format!("{{\"statement_id\":{what}"));
    assert!(
        told("0,\"series\"")
            && told("1,\"error\":\"query-timeout limit exceeded")
            && told("1,\"error\":\"not executed"),
        "{said}"
    );
    assert_eq!(cluster.slotline.metric("slotline_queries_limited_total", &["time"]), limited + 1);
}

#[test]
fn limits_are_told_as_influxdb_tells_them_and_counted() {
    let cluster = cluster(|setup| {
        let setup = setup.set("query", "rows_max = 200").set("query", "series_max = 12");
        setup.set("query", "answer_bytes_max = \"30KiB\"")
    });
    for (q, words, limit) in [
        (Q, "max-select-point limit exceeded: (", "rows"),
        ("SELECT v FROM m1, m2, m3, m4 GROUP BY host", "max-select-series limit exceeded: (", "series"),
    ] {
        for seen in [cluster.http().query("db", q), chunked(cluster.http(), q)] {
            assert!(seen.status == 200 && seen.text().contains(&format!("\"error\":\"{words}")), "{q}: {seen:?}");
        }
        let seen = chunked_csv(cluster.http(), q);
        assert!(seen.status == 200 && seen.text().contains(&format!("\n\nerror\n{words}")), "{q}: {seen:?}");
        assert!(cluster.slotline.metric("slotline_queries_limited_total", &[limit]) >= 2, "{limit}");
    }
    let q = "SELECT s, s, s, s, s, s, s, s FROM m1, m2, m3 WHERE time < 45";
    let seen = cluster.http().query("db", q);
    assert!(
        seen.status == 200
            && seen.text().starts_with("{\"results\":[{\"statement_id\":0,\"error\":\"the answer has more than"),
        "{seen:?}"
    );
    assert_eq!(cluster.slotline.metric("slotline_queries_limited_total", &["bytes"]), 1);
    let seen = chunked(cluster.http(), q);
    assert!(!seen.text().contains("error"), "in chunks it is not held: {seen:?}");
    let q = format!("SELECT {} FROM m1, m2, m3 WHERE time < 45", ["s"; 40].join(", "));
    let params = [("db", "db"), ("q", &*q), ("chunked", "true"), ("chunk_size", "1000000")];
    let seen = cluster.http().get_query(&params);
    assert!(seen.text().contains("\"error\":\"a chunk has more than"), "a chunk is: {seen:?}");
    assert_eq!(cluster.slotline.metric("slotline_queries_limited_total", &["bytes"]), 2);
}

/// Few points, and windows without end: what is made of them is bounded too, whichever way it is made.
#[test]
fn windows_beyond_the_limit_are_refused() {
    let setup = Setup::new(3, 1).rule("db", "one", &["host"]).set("query", "answer_bytes_max = \"4MiB\"");
    let cluster = setup.start();
    cluster.create_db("db");
    let points = ["a", "b", "c", "d"]
        .map(|host| format!("one,host={host},r=x v=1,n=1i 0\none,host={host},r=x v=2,n=2i 9000000\n"));
    let stored = cluster.http().write_with("db=db&precision=s", points.concat());
    assert_eq!(stored.status, 204);
    let before = cluster.slotline.peak_memory();
    const WINDOWS: &str = "WHERE time >= 0 AND time < 10000000s GROUP BY time(1s)";
    let mut refused = 0;
    for q in [
        format!("SELECT mean(v) FROM one {WINDOWS}"),
        format!("SELECT median(v) FROM one {WINDOWS}"),
        format!("SELECT mode(n), first(v), percentile(n, 50) FROM one {WINDOWS}"),
        format!("SELECT sum(n) FROM one {WINDOWS}, r fill(previous)"),
        format!("SELECT cumulative_sum(median(v)) FROM one {WINDOWS} fill(linear)"),
        format!("SELECT max(m) FROM (SELECT mean(v) AS m FROM one {WINDOWS} fill(0))"),
        format!("SELECT m FROM (SELECT median(v) AS m FROM one {WINDOWS}, host fill(0))"),
        format!("SELECT sum(m) FROM (SELECT median(v) AS m FROM one {WINDOWS} fill(0)) GROUP BY time(1h)"),
        format!("SELECT mean(v) FROM one {WINDOWS} ORDER BY time DESC"),
        format!("SELECT mean(v) INTO two FROM one {WINDOWS} fill(0)"),
    ] {
        for chunked in ["true", "false"] {
            let seen = cluster.http().send(&Request::query(&[("db", "db"), ("q", &q), ("chunked", chunked)]));
            assert!(seen.text().contains("(twice query.answer_bytes_max)"), "{q}: {}", seen.text());
            refused += 1;
            assert_eq!(cluster.slotline.metric("slotline_queries_limited_total", &["bytes"]), refused);
        }
    }
    let more = cluster.slotline.peak_memory().saturating_sub(before);
    // A thread for each query keeps some memory of its own; the windows would take more than a gigabyte.
    assert!(more < 300 << 20, "{more} bytes more than before");
    let seen = cluster.http().query("db", &format!("SELECT count(v) FROM one {WINDOWS} fill(none)"));
    assert!(seen.text().contains("1970-04-15T04:00:00Z"), "{}", seen.text());
}

#[test]
fn a_client_that_leaves_ends_its_query() {
    let cluster = cluster(|setup| setup);
    fill_more(cluster.http());
    let q = "SELECT * FROM m1, m2";
    let running = || cluster.http().query("db", "SHOW QUERIES").text().matches("FROM m1, m2").count();
    let params = client::form(&[("db", "db"), ("q", q), ("chunked", "true")]);
    let mut leaving = std::net::TcpStream::connect(cluster.http().addr).expect("slotline listens");
    let head = format!("GET /query?{params} HTTP/1.1\r\nHost: x\r\n\r\n");
    std::io::Write::write_all(&mut leaving, head.as_bytes()).expect("it is read");
    wait_for("the query to run", SOON, || (running() == 1).then_some(()));
    leaving.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    let mut some = [0; 1000];
    std::io::Read::read_exact(&mut leaving, &mut some).expect("the answer begins");
    assert_eq!(running(), 1, "it waits for its client");
    drop(leaving);
    wait_for("the query to end", SOON, || (running() == 0).then_some(()));
    let whole = chunked(cluster.http(), q);
    assert_eq!(whole.text().matches("some text").count() as i64, 2 * ROWS, "a client that stays gets it all");
}

/// Also before a byte of the answer has come, whatever the answer is made of.
#[test]
fn a_client_that_leaves_before_its_answer_ends_its_query() {
    let cluster = cluster(|setup| setup);
    cluster.meddlers.iter().flatten().for_each(|meddler| meddler.set(Meddle::Hang));
    let shown = || cluster.http().query("db", "SHOW QUERIES").text();
    for q in ["SELECT v FROM m1", Q, "SHOW SERIES", "SELECT v INTO m3 FROM m1", "SELECT v FROM m1; SELECT v FROM m2"] {
        for chunked in ["true", ""] {
            let mut leaving = cluster.http().connect();
            leaving.send(&Request::query(&[("db", "db"), ("q", q), ("chunked", chunked)]).to_bytes());
            wait_for("the query to run", SOON, || (shown().matches("running").count() == 2).then_some(()));
            drop(leaving);
            wait_for("the query to end", SOON, || (shown().matches("running").count() == 1).then_some(()));
        }
    }
}

/// InfluxDB says so in an answer with 200. What it would have told is not taken for nothing.
#[test]
fn a_look_up_that_fails_leaves_nothing_out() {
    let cluster = cluster(|setup| setup.rule("db", "split", &["host"]));
    let (http, busy) = (cluster.http(), "max-concurrent-queries limit exceeded(1, 1)");
    http.run("", "CREATE RETENTION POLICY few ON db DURATION INF REPLICATION 1");
    http.run("", "CREATE DATABASE \"db@shift_1w\"");
    http.store("db", (0..9).map(|n| format!("split,host=h{n} v={n} {n}\n")).collect::<String>());
    assert_eq!(http.write_with("db=db&rp=few", "m1 v=1 1\n").status, 204);
    for (db, q, look_up) in [
        ("db", "SELECT v FROM split GROUP BY host SLIMIT 2", "SHOW+RETENTION+POLICIES"),
        ("db", "SELECT v FROM /m[0-9]/", "SHOW+MEASUREMENTS"),
        ("db", "SHOW SERIES FROM few./m[0-9]/", "SHOW+RETENTION+POLICIES"),
        ("db", "SELECT * FROM few.m1, split", "SHOW+SHARDS"),
        ("db@shift_1w", "SELECT v FROM m1", "SHOW+DATABASES"),
    ] {
        let expected = http.query(db, q).text();
        assert!(expected.starts_with("{\"results\":[{\"statement_id\":0") && !expected.contains("error"), "{expected}");
        let meddlers = || cluster.meddlers.iter().flatten();
        let met = meddlers().map(Meddler::met).sum::<u64>();
        let answer = format!("{{\"results\":[{{\"statement_id\":0,\"error\":\"{busy}\"}}]}}\n");
        meddlers().for_each(|meddler| meddler.set(Meddle::AnswerTo(look_up.to_owned(), 200, answer.clone())));
        let seen = http.query(db, q).text();
        assert!(meddlers().map(Meddler::met).sum::<u64>() > met, "{q}: nobody is asked");
        assert!(seen.contains(busy) && !seen.contains("series"), "{q}: {seen}");
        meddlers().for_each(|meddler| meddler.set(Meddle::Pass));
        assert_eq!(http.query(db, q).text(), expected);
    }
}

/// A group that has nothing of a measurement in what is read knows tags of it that lie elsewhere. So does one InfluxDB's index of
/// all shards, but not one for each shard, which InfluxDB 1.6 does not say that it has.
#[test]
fn tags_of_another_policy_show_where_an_index_knows_them() {
    let cluster = cluster(|setup| setup.rule("db", "split", &["host"]));
    let http = cluster.http();
    http.run("", "CREATE RETENTION POLICY few ON db DURATION INF REPLICATION 1");
    let group = |host: &str| group_of(slot("db", "split", &[host]), cluster.groups.len());
    let hosts = (0..20).map(|n| format!("h{n}")).filter(|host| group(host) != group(""));
    let elsewhere: String = hosts.map(|host| format!("split,host={host} v=1 1\n")).collect();
    assert_eq!(http.write_with("db=db&rp=few", elsewhere).status, 204);
    http.store("db", "split,r=a v=1 1\n");
    let ask = || ["SELECT * FROM split", "SELECT v FROM split GROUP BY *"].map(|q| http.query("db", q).text());
    let meddlers = || cluster.meddlers.iter().flatten();
    for (index, known) in [("inmem", true), ("tsi1", false)] {
        let tags = format!("{{\"database\":\"db\",\"indexType\":\"{index}\"}}");
        let series = format!("{{\"name\":\"shard\",\"tags\":{tags},\"columns\":[\"writeReq\"],\"values\":[[1]]}}");
        let stats = format!("{{\"results\":[{{\"statement_id\":0,\"series\":[{series}]}}]}}\n");
        meddlers().for_each(|meddler| meddler.set(Meddle::AnswerTo("SHOW+STATS".to_owned(), 200, stats.clone())));
        for answer in ask() {
            assert!(answer.contains("\"r\"") && answer.contains("\"host\"") == known, "{index}: {answer}");
        }
    }
}

/// Nor is it passed on: a proxy before a replica has answers of its own, and lengths that are not those of what comes.
#[test]
fn what_is_no_whole_answer_of_influxdb_is_asked_of_the_next_replica() {
    const WHOLE: &str = "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"m\",\"columns\":[\"time\",\"v\"],\
                         \"values\":[[1,2],[3,4]]}]}]}\n";
    let fakes = [0, 1].map(|_| Fake::start(Play::Answer(200, WHOLE.to_owned())));
    let replicas = [("g1a".to_owned(), fakes[0].url()), ("g1b".to_owned(), fakes[1].url())];
    let slotline = Slotline::start(&Config::new().group(&replicas));
    let asked = [
        |http: Http| http.get_query(&[("db", "db"), ("q", "SELECT v FROM m")]),
        |http: Http| chunked(http, "SELECT v FROM m"),
    ];
    let played = |status: &str, kind: &str, length: Option<usize>, body: &str| {
        let length = length.map_or(String::new(), |length| format!("Content-Length: {length}\r\n"));
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{length}\r\n{body}")
    };
    let (json, html, all) = ("application/json", "text/html", Some(WHOLE.len()));
    for raw in [
        played("200 OK", json, None, WHOLE),
        played("200 OK", json, None, &WHOLE[..40]),
        played("200 OK", json, Some(40), WHOLE),
        played("200 OK", json, Some(WHOLE.len() - 1), WHOLE),
        played("200 OK", json, Some(0), ""),
        played("204 No Content", json, None, ""),
        played("206 Partial Content", json, all, WHOLE),
        played("302 Found", json, Some(0), ""),
        played("404 Not Found", "text/plain", Some(19), "404 page not found\n"),
        played("429 Too Many Requests", json, all, WHOLE),
        played("400 Bad Request", html, Some(6), "<html>"),
        played("200 OK", html, Some(6), "<html>"),
    ] {
        for (replica, fake) in fakes.iter().enumerate() {
            fake.set(Play::Raw(raw.clone()));
            for ask in asked {
                let seen = ask(slotline.http());
                assert_eq!((seen.status, seen.text().as_str()), (200, WHOLE), "replica {replica}: {raw}");
            }
            fake.set(Play::Answer(200, WHOLE.to_owned()));
        }
        fakes.iter().for_each(|fake| fake.set(Play::Raw(raw.clone())));
        for ask in asked {
            let seen = ask(slotline.http());
            assert!(seen.status == 503 && seen.error().starts_with("no answer: "), "{seen:?}: {raw}");
        }
        fakes.iter().for_each(|fake| fake.set(Play::Answer(200, WHOLE.to_owned())));
    }
}
