//! Reads: an answer is the one that a single InfluxDB would give, or a refusal with its reason.

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::facts::names;
use support::*;

const T0: i64 = 1_600_000_000;

/// Twelve measurements over the groups, with tags, all types, and gaps.
fn sample() -> String {
    let mut body = String::new();
    for measurement in 0..12 {
        for host in ["a", "b", "c,d"] {
            let host_escaped = host.replace(',', "\\,");
            for step in 0..40 {
                let time = (T0 + step * 10) * 1_000_000_000;
                let value = (step * 7 + measurement) % 13;
                body.push_str(&format!(
                    "m{measurement}s,host={host_escaped},dc=dc{} v={value}.5,n={value}i,ok={},s=\"x {step}\" {time}\n",
                    measurement % 2,
                    step % 2 == 0
                ));
            }
        }
        body.push_str(&format!("m{measurement}s only{measurement}=1 {}\n", T0 * 1_000_000_000));
    }
    body
}

struct Loaded {
    cluster: Cluster,
    reference: Influxd,
}

fn loaded(setup: Setup) -> Loaded {
    let cluster = setup.start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    reference.http().store("db", sample());
    cluster.http().store("db", sample());
    Loaded { cluster, reference }
}

/// The error of an answer that refuses as a whole or in one of its results.
fn refusal(answer: &Response) -> Option<String> {
    let json: Value = serde_json::from_slice(&answer.body).ok()?;
    let of_result = |result: &Value| result["error"].as_str().map(str::to_owned);
    let whole = of_result(&json);
    whole.or_else(|| json["results"].as_array()?.iter().find_map(of_result))
}

impl Loaded {
    fn ask(&self, http: Http, params: &[(&str, &str)], q: &str) -> Response {
        let all = [&[("db", "db"), ("q", q)], params].concat();
        http.get_query(&all)
    }

    /// Both give the same bytes.
    #[track_caller]
    fn assert_same(&self, params: &[(&str, &str)], q: &str) {
        let seen = self.ask(self.cluster.http(), params, q);
        let expected = self.ask(self.reference.http(), params, q);
        assert_eq!(seen.full_verdict(), expected.full_verdict(), "`{q}` with {params:?}");
    }

    /// Both give the same, or slotline says why it can't; a wrong answer is what must not be.
    #[track_caller]
    fn assert_same_or_refused(&self, q: &str) {
        let seen = self.ask(self.cluster.http(), &[], q);
        let expected = self.ask(self.reference.http(), &[], q);
        if seen.verdict() == expected.verdict() {
            return;
        }
        let Some(reason) = refusal(&seen) else {
            panic!("`{q}` is answered wrongly: {seen:?}\ninstead of {expected:?}");
        };
        assert!(reason.len() > 20, "`{q}` is refused with no real reason: {reason:?}");
        assert!(matches!(seen.status, 200 | 400), "`{q}`: {seen:?}");
    }
}

const ONE_MEASUREMENT: &[&str] = &[
    "SELECT * FROM {m}",
    "SELECT v, n FROM {m} WHERE host = 'a' ORDER BY time DESC LIMIT 7",
    "SELECT v FROM {m} WHERE host = 'c,d' AND time >= 1600000100s AND time < 1600000200s",
    "SELECT mean(v), count(n), last(s) FROM {m} GROUP BY host",
    "SELECT sum(n) FROM {m} WHERE time >= 1600000000s AND time < 1600000400s GROUP BY time(1m), host fill(0)",
    "SELECT max(v) FROM {m} WHERE time >= 1600000000s AND time < 1600000400s GROUP BY time(30s) LIMIT 3 OFFSET 2",
    "SELECT * FROM {m} GROUP BY * SLIMIT 2 SOFFSET 1",
    "SELECT percentile(v, 90), median(n), spread(v) FROM {m}",
    "SELECT mean(d) FROM (SELECT derivative(v, 10s) AS d FROM {m} GROUP BY host)",
    "SELECT top(v, 3), host FROM {m}",
    "SELECT v * 2 + n AS sum, s FROM {m} LIMIT 5",
    "SELECT * FROM \"db\".\"autogen\".{m} LIMIT 1",
    "SELECT * FROM db..{m} LIMIT 2",
    "SELECT /^[nv]$/ FROM {m} WHERE ok = true LIMIT 3",
    "SELECT nothing FROM {m}",
    "SELECT v FROM {m} WHERE host = 'nobody'",
    "SELECT distinct(n) FROM {m}",
    "SELECT v FROM {m} WHERE s =~ /x 1/ -- a comment\n LIMIT 2",
    "SELECT v FROM {m} LIMIT 1; SELECT n FROM {m} LIMIT 1",
    "SELECT undefined(v) FROM {m}",
    "SELECT v FROM nodb..{m}",
    "SELECT v FROM db.norp.{m}",
];

#[test]
fn a_select_of_one_group_gives_the_bytes_that_influxdb_gives() {
    let loaded = loaded(Setup::new(2, 2));
    for number in [0, 3, 5, 8] {
        let measurement = format!("m{number}s");
        for q in ONE_MEASUREMENT {
            let q = q.replace("{m}", &measurement);
            loaded.assert_same(&[], &q);
            loaded.assert_same(&[("epoch", "ms")], &q);
            loaded.assert_same(&[("pretty", "true"), ("epoch", "s")], &q);
            loaded.assert_same(&[("chunked", "true"), ("chunk_size", "10")], &q);
        }
    }
}

#[test]
fn each_epoch_and_chunk_size_gives_the_bytes_that_influxdb_gives() {
    let loaded = loaded(Setup::new(2, 1));
    for measurement in ["m1s", "m2s", "m3s", "m4s"] {
        let q = format!("SELECT * FROM {measurement} GROUP BY host");
        for epoch in ["ns", "n", "u", "µ", "ms", "s", "m", "h", "xx"] {
            loaded.assert_same(&[("epoch", epoch)], &q);
        }
        for size in ["1", "7", "10000", "0", "-1", "x"] {
            loaded.assert_same(&[("chunked", "true"), ("chunk_size", size)], &q);
            loaded.assert_same(&[("chunk_size", size)], &q);
        }
    }
}

#[test]
fn formats_and_headers_are_those_of_the_backend() {
    let loaded = loaded(Setup::new(2, 2));
    let query = |http: Http, accept: &str, encoding: &str, chunked: &str| {
        let params = client::form(&[("db", "db"), ("chunked", chunked), ("q", "SELECT * FROM m3s GROUP BY host")]);
        let request = Request::new("GET", &format!("/query?{params}"))
            .header("Accept", accept)
            .header("Accept-Encoding", encoding);
        http.send(&request)
    };
    for accept in ["application/json", "application/csv", "text/csv", "application/x-msgpack", "*/*", "x/y"] {
        for chunked in ["", "true"] {
            let seen = query(loaded.cluster.http(), accept, "identity", chunked);
            let expected = query(loaded.reference.http(), accept, "identity", chunked);
            assert_eq!(seen.body, expected.body, "{accept} chunked={chunked}");
            for name in ["Content-Type", "X-Influxdb-Version", "X-Influxdb-Build"] {
                assert_eq!(seen.header(name), expected.header(name), "{accept}: {name}");
            }
            let packed = query(loaded.cluster.http(), accept, "gzip", chunked);
            if packed.header("Content-Encoding") == Some("gzip") {
                assert_eq!(packed.unpacked(), expected.body, "{accept} by gzip");
            } else {
                assert_eq!(packed.body, expected.body, "{accept}");
            }
        }
    }
}

#[test]
fn a_long_answer_streams_through_unchanged() {
    let cluster = Cluster::new(2, 1);
    let reference = cluster.reference("db");
    cluster.create_db("db");
    let body: String = (0..60_000).map(|n| format!("long,host=h{} v={n},s=\"some text {n}\" {n}\n", n % 3)).collect();
    cluster.http().store("db", &body);
    reference.http().store("db", &body);
    for (chunked, size) in [("", ""), ("true", ""), ("true", "100")] {
        let ask = |http: Http| {
            let q = ("q", "SELECT * FROM long");
            http.get_query(&[("db", "db"), ("chunked", chunked), ("chunk_size", size), q])
        };
        let (seen, expected) = (ask(cluster.http()), ask(reference.http()));
        assert!(expected.body.len() > 2_000_000);
        assert!(seen.body == expected.body, "chunked={chunked} chunk_size={size} differs");
    }
}

#[test]
fn parameters_may_come_by_url_form_or_both() {
    let loaded = loaded(Setup::new(2, 1));
    let form_type = ("Content-Type", "application/x-www-form-urlencoded");
    let q = encode("SELECT v FROM m4s LIMIT 2");
    let with_params = encode("SELECT v FROM m4s WHERE host = $h LIMIT 2");
    for (path, body) in [
        (format!("/query?db=db&q={q}"), String::new()),
        ("/query?db=db".to_owned(), format!("q={q}")),
        ("/query?epoch=s".to_owned(), format!("db=db&q={q}")),
        (format!("/query?q={q}"), "db=db".to_owned()),
        (format!("/query?db=db&q={q}"), "epoch=s".to_owned()),
        (format!("/query?db=db&q={with_params}&params={}", encode("{\"h\":\"b\"}")), String::new()),
        ("/query?db=db".to_owned(), format!("q={with_params}&params={}", encode("{\"h\":\"b\"}"))),
        (format!("/query?db=db&q={with_params}"), String::new()),
        (format!("/query?db=db&q={}", q.replace("%20", "+")), String::new()),
        ("/query?db=db".to_owned(), String::new()),
        ("/query".to_owned(), String::new()),
        ("/query?db=db&q=".to_owned(), String::new()),
    ] {
        let request = Request::new("POST", &path).header(form_type.0, form_type.1).body(&body);
        let seen = loaded.cluster.http().send(&request);
        let expected = loaded.reference.http().send(&request);
        assert_eq!(seen.full_verdict(), expected.full_verdict(), "{path} {body}");
        if body.is_empty() {
            let seen = loaded.cluster.http().get(&path);
            assert_eq!(seen.full_verdict(), loaded.reference.http().get(&path).full_verdict(), "{path}");
        }
    }
}

#[test]
fn parameters_that_are_no_json_are_refused() {
    let cluster = Cluster::new(2, 1);
    cluster.create_db("db");
    for params in ["{\"h\":", "{", "x", "[1]", "{\"h\":{}}", "{\"h\":[1]}"] {
        let all = [("db", "db"), ("q", "SELECT v FROM m1s WHERE host = $h"), ("params", params)];
        let answer = cluster.http().get_query(&all);
        assert_eq!(answer.status, 400, "{params}: {answer:?}");
        assert!(answer.error().starts_with("error parsing query"), "{params}: {answer:?}");
    }
}

const SHOWS: &[&str] = &[
    "SHOW MEASUREMENTS",
    "SHOW MEASUREMENTS ON db",
    "SHOW MEASUREMENTS WITH MEASUREMENT =~ /m1s.*/",
    "SHOW MEASUREMENTS WITH MEASUREMENT = m3s",
    "SHOW MEASUREMENTS WHERE dc = 'dc1'",
    "SHOW MEASUREMENTS ON nodb",
    "SHOW TAG KEYS",
    "SHOW TAG KEYS FROM m1s",
    "SHOW TAG KEYS FROM m1s, m2s, m3s",
    "SHOW TAG KEYS FROM /m[0-4]/",
    "SHOW TAG VALUES WITH KEY = host",
    "SHOW TAG VALUES WITH KEY IN (host, dc)",
    "SHOW TAG VALUES FROM m2s WITH KEY = host",
    "SHOW TAG VALUES FROM m2s, m3s, m5s WITH KEY =~ /.*/",
    "SHOW TAG VALUES WITH KEY = host WHERE dc = 'dc0'",
    "SHOW TAG VALUES WITH KEY = missing",
    "SHOW FIELD KEYS",
    "SHOW FIELD KEYS FROM m7s",
    "SHOW FIELD KEYS FROM m1s, m2s, m3s, m4s",
    "SHOW SERIES",
    "SHOW SERIES FROM m1s",
    "SHOW SERIES FROM m1s, m2s, m3s",
    "SHOW SERIES WHERE host = 'a'",
    "SHOW SERIES FROM /m1s/ WHERE dc = 'dc1'",
    "SHOW DATABASES",
    "SHOW RETENTION POLICIES ON db",
    "SHOW RETENTION POLICIES",
    "SHOW RETENTION POLICIES ON nodb",
    "SHOW USERS",
    "SHOW GRANTS FOR nobody",
    "SHOW TAG KEYS ON nodb",
    "SHOW FIELD KEYS ON nodb",
    "SHOW SERIES ON nodb",
    "SHOW TAG VALUES ON nodb WITH KEY = host",
];

#[test]
fn show_statements_over_all_groups_answer_as_one_influxdb() {
    let loaded = loaded(Setup::new(2, 2));
    for q in SHOWS {
        loaded.assert_same(&[], q);
        loaded.assert_same(&[("pretty", "true")], q);
    }
}

#[test]
fn show_statements_with_limits_and_counts_are_right_or_refused() {
    let loaded = loaded(Setup::new(3, 1));
    for q in [
        "SHOW MEASUREMENTS LIMIT 5",
        "SHOW MEASUREMENTS LIMIT 3 OFFSET 4",
        "SHOW MEASUREMENTS OFFSET 3",
        "SHOW TAG KEYS LIMIT 1",
        "SHOW TAG KEYS OFFSET 1",
        "SHOW TAG VALUES WITH KEY = host LIMIT 2",
        "SHOW TAG VALUES WITH KEY = host LIMIT 1 OFFSET 1",
        "SHOW FIELD KEYS LIMIT 2 OFFSET 1",
        "SHOW SERIES LIMIT 7",
        "SHOW SERIES LIMIT 7 OFFSET 10",
        "SHOW SERIES CARDINALITY",
        "SHOW SERIES EXACT CARDINALITY",
        "SHOW MEASUREMENT CARDINALITY",
        "SHOW MEASUREMENT EXACT CARDINALITY",
        "SHOW TAG KEY CARDINALITY",
        "SHOW TAG KEY EXACT CARDINALITY",
        "SHOW TAG VALUES CARDINALITY WITH KEY = host",
        "SHOW TAG VALUES EXACT CARDINALITY WITH KEY = host",
        "SHOW FIELD KEY CARDINALITY",
        "SHOW FIELD KEY EXACT CARDINALITY",
        "SHOW MEASUREMENTS; SHOW TAG KEYS",
        "SHOW MEASUREMENTS; SELECT v FROM m1s LIMIT 1",
    ] {
        loaded.assert_same_or_refused(q);
    }
}

const SEVERAL_GROUPS: &[&str] = &[
    "SELECT v FROM m0s, m1s, m2s, m3s, m4s, m5s",
    "SELECT * FROM /m.*/",
    "SELECT count(v) FROM /m.*/",
    "SELECT count(v) FROM /m[0-9]+/ GROUP BY host",
    "SELECT mean(v) FROM m0s, m1s, m2s, m3s, m4s WHERE time >= 1600000000s AND time < 1600000400s GROUP BY time(1m)",
    "SELECT v FROM /m.*/ ORDER BY time DESC LIMIT 2",
    "SELECT v FROM /m.*/ LIMIT 1 SLIMIT 2",
    "SELECT sum(v) FROM (SELECT v FROM m0s, m1s, m2s, m3s, m4s)",
    "SELECT sum(x) FROM (SELECT mean(v) AS x FROM /m.*/ GROUP BY host)",
    "SELECT v FROM m0s, (SELECT v FROM m1s), (SELECT n FROM m2s), (SELECT n FROM m3s)",
    "SELECT v FROM m0s LIMIT 1; SELECT v FROM m1s LIMIT 1; SELECT v FROM m2s LIMIT 1; SELECT v FROM m3s LIMIT 1",
    "SELECT v FROM m0s LIMIT 1; SELECT v FROM nodb..m1s; SELECT v FROM m2s LIMIT 1; SELECT v FROM m3s",
    "SELECT v FROM /nothing_fits/",
    "SELECT v FROM nowhere1, nowhere2, nowhere3, nowhere4",
];

#[test]
fn selects_over_several_groups_are_right_or_refused() {
    let loaded = loaded(Setup::new(3, 1));
    for q in SEVERAL_GROUPS {
        loaded.assert_same_or_refused(q);
    }
}

#[test]
fn selects_from_a_measurement_split_by_a_rule_are_right_or_refused() {
    let loaded = loaded(Setup::new(2, 1).rule("db", "/^m[0-5]s$/", &["host"]));
    for q in ONE_MEASUREMENT {
        loaded.assert_same_or_refused(&q.replace("{m}", "m1s"));
        loaded.assert_same_or_refused(&q.replace("{m}", "m8s"));
    }
    for q in [
        "SELECT v FROM m1s WHERE host = 'a' LIMIT 3",
        "SELECT mean(v) FROM m1s WHERE host = 'b'",
        "SELECT mean(v) FROM m1s WHERE host = 'b' OR host = 'a'",
        "SELECT mean(v) FROM m1s WHERE host = 'b' AND dc = 'dc1' AND n > 3",
        "SELECT count(v) FROM m1s WHERE host != 'b'",
        "SELECT count(v) FROM m1s WHERE host =~ /a|b/",
        "SELECT count(only1) FROM m1s WHERE host = ''",
        "SELECT count(v) FROM m1s GROUP BY host",
        "SELECT count(v) FROM m1s",
        "SELECT first(v), last(v) FROM m1s GROUP BY dc",
        "SELECT count(v) FROM m1s WHERE (host = 'a' AND n > 3) OR (host = 'a' AND n < 2)",
        "SELECT count(v) FROM m1s WHERE NOT_A_FIELD = 'x' AND host = 'a'",
        "SHOW SERIES FROM m1s",
        "SHOW TAG VALUES FROM m1s WITH KEY = host",
        "SHOW FIELD KEYS FROM m1s",
        "SHOW TAG KEYS FROM m1s, m8s",
    ] {
        loaded.assert_same_or_refused(q);
    }
}

#[test]
fn errors_are_those_of_influxdb() {
    let loaded = loaded(Setup::new(2, 2));
    for q in [
        "SELECT",
        "SELEC v FROM m1s",
        "SELECT v FROM",
        "SELECT v FROM m1s WHERE",
        "SELECT v FROM m1s LIMIT x",
        "SELECT FROM m1s",
        "FOO",
        ";",
        ";;",
        "SELECT v FROM m1s GROUP BY time(x)",
        "SELECT v FROM 'm1s'",
        "SELECT v FROM m1s WHERE host = 'a",
        "SELECT \"v FROM m1s",
        "SHOW",
        "SHOW FOO",
        "SHOW TAG VALUES",
        "CREATE",
        "CREATE DATABASE",
        "DROP",
        "SELECT mean(v, n) FROM m1s",
        "SELECT mean(v), v FROM m1s",
        "SELECT v FROM m1s WHERE time > 'x'",
        "SELECT v FROM m1s; SELEC",
        "SELECT v FROM m1s fill(x)",
        "SELECT v FROM m1s ORDER BY v",
        "SELECT top(v) FROM m1s",
        "SELECT v FROM m1s GROUP BY 3",
        "GRANT FOO TO x",
        "DELETE",
        "SELECT count(distinct) FROM m1s",
        "KILL QUERY x",
        "SELECT v FROM m1s TZ('Nowhere/Land')",
        "SELECT percentile(v) FROM m1s",
        // What InfluxDB alone can judge stands before what is wrong in any case.
        "SELECT v FROM m1s TZ('Nowhere/Land') LIMIT 1",
        "SELECT v FROM (SELECT v FROM m1s TZ('Nowhere/Land') GROUP) WHERE v > 1",
        "SELECT /(v/ FROM m1s WHERE",
        "SELECT v FROM m1s WHERE host =~ /a(?<b)/ AND; SELECT v FROM m1s",
        "SELECT v FROM m1s TZ('Europe/Berlin') LIMIT 1",
        "SELECT v FROM m1s WHERE host =~ /^a(b|c)$/ AND",
    ] {
        loaded.assert_same(&[], q);
        let seen = loaded.cluster.http().query("db", q);
        assert_eq!(seen.full_verdict(), loaded.reference.http().query("db", q).full_verdict(), "`{q}`");
    }
    for db in ["", "nodb"] {
        for q in ["SELECT v FROM m1s", "SHOW TAG KEYS", "SHOW MEASUREMENTS", "SHOW FIELD KEYS", "SHOW SERIES"] {
            let seen = loaded.cluster.http().query(db, q).full_verdict();
            assert_eq!(seen, loaded.reference.http().query(db, q).full_verdict(), "`{q}` on {db:?}");
        }
    }
}

#[test]
fn statements_about_databases_policies_and_users_reach_every_replica() {
    let cluster = Cluster::new(2, 2);
    let http = cluster.http();
    let every = |what: &str, check: &dyn Fn(Http) -> bool| {
        for (number, replica) in cluster.replicas().enumerate() {
            assert!(check(replica.http()), "replica {number}: {what}");
        }
    };
    let lists = |http: Http, q: &str, name: &str| names(&http.run("", q)).iter().any(|own| own == name);

    http.run("", "CREATE DATABASE one");
    http.run("", "CREATE DATABASE \"odd name\"; CREATE DATABASE three");
    for db in ["one", "odd name", "three"] {
        every("the database is missing", &|replica| lists(replica, "SHOW DATABASES", db));
    }
    assert_eq!(names(&http.run("", "SHOW DATABASES")), ["one", "odd name", "three"]);
    http.store("odd name", "m1s v=1 1\nm2 v=1 1\nm3 v=1 1\n");

    http.run("", "CREATE RETENTION POLICY week ON one DURATION 7d REPLICATION 1 DEFAULT");
    every("the policy is missing", &|replica| lists(replica, "SHOW RETENTION POLICIES ON one", "week"));
    http.run("", "ALTER RETENTION POLICY week ON one DURATION 14d");
    let duration = |replica: Http| {
        let json = replica.run("", "SHOW RETENTION POLICIES ON one");
        facts::rows(&json).iter().any(|row| row[0] == "week" && row[1] == "336h0m0s")
    };
    every("the policy is unchanged", &duration);
    http.run("", "DROP RETENTION POLICY week ON one");
    every("the policy is there", &|replica| !lists(replica, "SHOW RETENTION POLICIES ON one", "week"));

    http.run("", "CREATE USER jane WITH PASSWORD 'pw'");
    every("the user is missing", &|replica| lists(replica, "SHOW USERS", "jane"));
    http.run("", "GRANT READ ON one TO jane");
    every("the grant is missing", &|replica| lists(replica, "SHOW GRANTS FOR jane", "one"));
    http.run("", "SET PASSWORD FOR jane = 'other'");
    http.run("", "REVOKE READ ON one FROM jane");
    let revoked = |replica: Http| {
        let json = replica.run("", "SHOW GRANTS FOR jane");
        facts::rows(&json).iter().all(|row| row[1] == "NO PRIVILEGES")
    };
    every("the grant is there", &revoked);
    http.run("", "DROP USER jane");
    every("the user is there", &|replica| !lists(replica, "SHOW USERS", "jane"));

    http.run("", "DROP DATABASE three");
    every("the database is there", &|replica| !lists(replica, "SHOW DATABASES", "three"));
    // By GET it runs too, with InfluxDB's warning.
    let reference = Influxd::start();
    let by_get = http.get_query(&[("q", "CREATE DATABASE four")]);
    let expected = reference.http().get_query(&[("q", "CREATE DATABASE four")]);
    assert_eq!(by_get.verdict(), expected.verdict());
    every("the database is missing", &|replica| lists(replica, "SHOW DATABASES", "four"));
}

#[test]
fn the_errors_of_writing_statements_are_those_of_influxdb() {
    let cluster = Cluster::new(2, 2);
    let reference = Influxd::start();
    for q in [
        "CREATE DATABASE db",
        "CREATE DATABASE db",
        "CREATE DATABASE \"\"",
        "DROP DATABASE nodb",
        "CREATE RETENTION POLICY p ON nodb DURATION 1h REPLICATION 1",
        "CREATE RETENTION POLICY p ON db DURATION 1s REPLICATION 1",
        "CREATE RETENTION POLICY p ON db DURATION 2h REPLICATION 1",
        "CREATE RETENTION POLICY p ON db DURATION 3h REPLICATION 1",
        "ALTER RETENTION POLICY nope ON db DURATION 3h",
        "DROP RETENTION POLICY nope ON db",
        "CREATE USER u WITH PASSWORD 'x'",
        "CREATE USER u WITH PASSWORD 'y'",
        "DROP USER nobody",
        "GRANT ALL ON db TO nobody",
        "REVOKE ALL PRIVILEGES FROM nobody",
        "SET PASSWORD FOR nobody = 'x'",
        "DROP MEASUREMENT nothing",
        "DROP DATABASE db",
    ] {
        let seen = cluster.http().query("", q).full_verdict();
        assert_eq!(seen, reference.http().query("", q).full_verdict(), "`{q}`");
    }
}

#[test]
fn delete_and_drop_remove_the_points_from_every_replica() {
    let loaded = loaded(Setup::new(2, 2));
    // A field of one group alone.
    let line = "m9s,host=a only=1 1600000200000000000\n";
    [loaded.cluster.http(), loaded.reference.http()].iter().for_each(|http| http.store("db", line));
    for q in [
        "DELETE FROM m0s WHERE time < 1600000100s",
        "DELETE FROM m1s WHERE host = 'a'",
        "DROP SERIES FROM m2s WHERE host = 'b'",
        "DROP SERIES FROM m3s",
        "DROP MEASUREMENT m4s",
        "DROP MEASUREMENT m5s",
        "DELETE FROM /m[67]/ WHERE host = 'c,d'",
        "DELETE WHERE time > 1600000350s",
        "DROP SERIES WHERE dc = 'dc1'",
        "DELETE FROM m8s",
    ] {
        let seen = loaded.cluster.http().query("db", q).full_verdict();
        let expected = loaded.reference.http().query("db", q).full_verdict();
        assert_eq!(seen, expected, "`{q}`");
        let left = facts(loaded.reference.http(), "db");
        loaded.cluster.assert_holds("db", &left);
    }
    let left = facts(loaded.reference.http(), "db");
    assert!(!left.is_empty() && left.len() < 40, "{}", left.len());
    for q in ["DROP SERIES WHERE only = 1", "DELETE WHERE only = 1"] {
        // Each server numbers its shards by itself.
        let told = |http: Http| {
            let told = http.query("db", q).text();
            told.split_once("\"shard ")
                .map(|(head, rest)| (head.to_owned(), rest.trim_start_matches(|c| c != ':').to_owned()))
        };
        let expected = told(loaded.reference.http());
        assert!(expected.is_some() && told(loaded.cluster.http()) == expected, "`{q}`");
        loaded.cluster.assert_holds("db", &left);
    }
    // Of one measurement, which one of the groups has.
    let name = &left.keys().next().expect("points").measurement;
    for condition in ["time < 'x'", "time != 5", "time = host", "time > '2000-13-45'", "host = 'a' AND 5", "only"] {
        let q = format!("DELETE FROM /^{name}$/ WHERE {condition}");
        let [seen, expected] = [&loaded.cluster.http(), &loaded.reference.http()].map(|http| http.query("db", &q));
        assert!(expected.text().contains("invalid ") && seen.status == 200, "`{q}`: {seen:?} {expected:?}");
        assert_eq!(seen.text(), expected.text(), "`{q}`");
        loaded.cluster.assert_holds("db", &left);
    }
}

#[test]
fn delete_and_drop_of_a_split_measurement_reach_every_group() {
    let loaded = loaded(Setup::new(2, 2).rule("db", "/^m[0-5]s$/", &["host"]));
    let slot_of = |series: &Series| match series.measurement.as_str() {
        name @ ("m0s" | "m1s" | "m2s" | "m3s" | "m4s" | "m5s") => slot("db", name, &[series.tag("host")]),
        name => slot("db", name, &[]),
    };
    loaded.cluster.assert_holds_by("db", &facts(loaded.reference.http(), "db"), slot_of);
    for q in [
        "DELETE FROM m0s WHERE time < 1600000100s",
        "DELETE FROM m1s WHERE host = 'a'",
        "DELETE FROM m1s WHERE dc = 'dc1' AND time > 1600000200s",
        "DROP SERIES FROM m2s WHERE host = 'b'",
        "DROP SERIES FROM m3s",
        "DROP MEASUREMENT m4s",
        "DELETE WHERE host = 'c,d'",
    ] {
        let seen = loaded.cluster.http().query("db", q).full_verdict();
        assert_eq!(seen, loaded.reference.http().query("db", q).full_verdict(), "`{q}`");
        loaded.cluster.assert_holds_by("db", &facts(loaded.reference.http(), "db"), slot_of);
    }
}

#[test]
fn a_query_behind_a_write_in_the_same_packet_sees_it() {
    let cluster = Cluster::new(2, 2);
    cluster.create_db("db");
    let mut packet = Vec::new();
    for number in 0..30 {
        packet.extend(Request::write("db=db", format!("m{number}s v={number} 1\n")).to_bytes());
        let q = format!("SELECT v FROM m{number}s");
        packet.extend(Request::query(&[("db", "db"), ("epoch", "ns"), ("q", &q)]).to_bytes());
    }
    let mut conn = cluster.http().connect();
    conn.send(&packet);
    for number in 0..30 {
        assert_eq!(conn.answer().status, 204);
        let answer = conn.answer();
        let row = &answer.json()["results"][0]["series"][0]["values"][0];
        assert_eq!(*row, serde_json::json!([1, number]), "{answer:?}");
    }
}

#[test]
fn a_query_in_a_multipart_body_is_answered_or_refused() {
    let loaded = loaded(Setup::new(2, 1));
    let part = |name: &str, file: &str, value: &str| {
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
    };
    let file = "; filename=\"q.txt\"";
    for body in [
        part("q", file, "SELECT v FROM m4s LIMIT 2"),
        part("q", "", "SELECT v FROM m4s LIMIT 2"),
        part("q", file, "SELECT v FROM m4s LIMIT 2; SELECT n FROM m4s LIMIT 1") + &part("epoch", "", "s"),
        part("other", file, "SELECT v FROM m4s"),
    ] {
        let request = Request::new("POST", "/query?db=db")
            .header("Content-Type", "multipart/form-data; boundary=xyz")
            .body(format!("{body}--xyz--\r\n"));
        let seen = loaded.cluster.http().send(&request);
        if seen.status == 415 {
            assert!(seen.error().contains("multipart"), "{seen:?}");
            continue;
        }
        let expected = loaded.reference.http().send(&request);
        assert_eq!(seen.full_verdict(), expected.full_verdict(), "{body}");
    }
}

#[test]
fn statements_about_single_servers_are_answered_or_refused() {
    let mut loaded = loaded(Setup::new(2, 2));
    for q in [
        "SHOW SHARDS",
        "SHOW SHARD GROUPS",
        "SHOW STATS",
        "SHOW DIAGNOSTICS",
        "SHOW QUERIES",
        "SHOW CONTINUOUS QUERIES",
        "SHOW SUBSCRIPTIONS",
        "EXPLAIN SELECT v FROM m1s",
        "EXPLAIN ANALYZE SELECT v FROM m1s",
    ] {
        let answer = loaded.cluster.http().query("db", q);
        match refusal(&answer) {
            Some(reason) => assert!(reason.len() > 20, "`{q}` is refused with no real reason: {reason:?}"),
            None => assert!(answer.status == 200 && answer.json()["results"].is_array(), "`{q}`: {answer:?}"),
        }
    }
    loaded.cluster.slotline.assert_running();
}

#[test]
fn statements_that_backends_would_do_wrong_are_refused() {
    let cluster = Cluster::new(2, 2);
    cluster.create_db("db");
    cluster.http().store("db", "m v=1 1\n");
    for q in [
        "DROP SHARD 1",
        "CREATE CONTINUOUS QUERY cq ON db BEGIN SELECT mean(v) INTO n FROM m GROUP BY time(1h) END",
        "DROP CONTINUOUS QUERY cq ON db",
        "CREATE SUBSCRIPTION sub ON db.autogen DESTINATIONS ALL 'udp://127.0.0.1:9'",
        "DROP SUBSCRIPTION sub ON db.autogen",
    ] {
        let answer = cluster.http().query("db", q);
        let reason = refusal(&answer).unwrap_or_else(|| panic!("`{q}` is not refused: {answer:?}"));
        assert!(reason.len() > 20, "`{q}` is refused with no real reason: {reason:?}");
    }
    for replica in cluster.replicas() {
        let shown = replica.http().run("", "SHOW CONTINUOUS QUERIES; SHOW SUBSCRIPTIONS").to_string();
        assert!(!shown.contains("cq") && !shown.contains("udp://"), "{shown}");
    }
}

#[test]
fn select_into_never_puts_points_into_the_wrong_group() {
    let loaded = loaded(Setup::new(2, 2));
    let mut targets = Vec::new();
    for number in 0..8 {
        let q = format!("SELECT v INTO copy{number} FROM m1s GROUP BY *");
        let answer = loaded.cluster.http().query("db", &q);
        if let Some(reason) = refusal(&answer) {
            assert!(reason.len() > 20, "`{q}` is refused with no real reason: {reason:?}");
            continue;
        }
        let expected = loaded.reference.http().query("db", &q);
        assert_eq!(answer.verdict(), expected.verdict(), "`{q}`");
        targets.push(number);
    }
    loaded.cluster.assert_holds("db", &facts(loaded.reference.http(), "db"));
    println!("SELECT INTO was run for {targets:?}");
}

#[test]
fn a_query_is_answered_while_any_replica_of_its_group_is_up() {
    let mut loaded = loaded(Setup::new(2, 2).set("write", "timeout = \"1s\""));
    for replica in 0..2 {
        for group in 0..2 {
            loaded.cluster.groups[group][replica].kill9();
        }
        for _ in 0..3 {
            for number in 0..12 {
                loaded.assert_same(&[], &format!("SELECT * FROM m{number}s GROUP BY host"));
            }
            loaded.assert_same(&[], "SHOW MEASUREMENTS");
            loaded.assert_same(&[], "SHOW SERIES");
        }
        for group in 0..2 {
            loaded.cluster.groups[group][replica].restart();
        }
    }
}

#[test]
fn a_group_without_a_live_replica_is_an_error_never_a_part_of_the_answer() {
    let mut loaded = loaded(Setup::new(2, 2));
    let dead = loaded.cluster.measurement_in("db", "m", 0);
    let alive = loaded.cluster.measurement_in("db", "m", 1);
    loaded.cluster.groups[0][0].kill9();
    loaded.cluster.groups[0][1].kill9();
    for q in [format!("SELECT * FROM {dead}"), "SHOW MEASUREMENTS".to_owned(), "SHOW SERIES".to_owned()] {
        let answer = loaded.cluster.http().query("db", &q);
        let error = refusal(&answer).unwrap_or_else(|| panic!("`{q}` is answered: {answer:?}"));
        assert!(error.contains("g1a") || error.contains("g1b"), "nobody is named: {error}");
    }
    loaded.assert_same(&[], &format!("SELECT * FROM {alive}"));
    let answer = loaded.cluster.http().query("", "CREATE DATABASE partly");
    assert!(refusal(&answer).is_some(), "{answer:?}");
    loaded.cluster.groups[0][0].restart();
    wait_for("the group's answers", SOON, || {
        let answer = loaded.cluster.http().query("db", "SHOW MEASUREMENTS");
        refusal(&answer).is_none().then_some(())
    });
    loaded.assert_same(&[], &format!("SELECT * FROM {dead}"));
}

#[test]
fn a_frozen_replica_does_not_keep_a_query_from_its_answer_for_long() {
    let loaded = loaded(Setup::new(1, 2).set("query", "timeout = \"2s\""));
    for replica in 0..2 {
        loaded.cluster.groups[0][replica].pause();
        let started = std::time::Instant::now();
        let answer = loaded.cluster.http().query("db", "SELECT * FROM m1s");
        assert!(started.elapsed() < std::time::Duration::from_secs(12), "{:?}", started.elapsed());
        if let Some(error) = refusal(&answer) {
            let name = config::replica_name(0, replica);
            assert!(error.contains(&name), "{name} is not named: {error}");
        }
        loaded.cluster.groups[0][replica].resume();
    }
}

#[test]
fn every_client_of_a_crowd_gets_the_answer_to_its_own_query() {
    let loaded = loaded(Setup::new(2, 2));
    let expected: Vec<String> =
        (0..12).map(|n| loaded.reference.http().query("db", &format!("SELECT * FROM m{n}s")).text()).collect();
    assert_eq!(expected.iter().collect::<BTreeSet<_>>().len(), 12, "answers can be told apart");
    std::thread::scope(|scope| {
        for client in 0..16 {
            let (expected, http) = (&expected, loaded.cluster.http());
            scope.spawn(move || {
                let mut conn = http.connect();
                for round in 0..20 {
                    let number = (client + round) % 12;
                    let q = format!("SELECT * FROM m{number}s");
                    let answer = conn.call(&Request::query(&[("db", "db"), ("q", &q)]));
                    assert!(answer.text() == expected[number], "client {client}, round {round}");
                }
            });
        }
    });
}

#[test]
fn clients_that_leave_within_an_answer_disturb_nobody() {
    let mut loaded = loaded(Setup::new(2, 1));
    let body: String = (0..50_000).map(|n| format!("big v={n},s=\"{n} some more text\" {n}\n")).collect();
    loaded.cluster.http().store("db", &body);
    for _ in 0..20 {
        let mut conn = loaded.cluster.http().connect();
        conn.send(&Request::query(&[("db", "db"), ("q", "SELECT * FROM big")]).to_bytes());
        drop(conn);
    }
    loaded.assert_same(&[], "SELECT * FROM m1s");
    loaded.cluster.slotline.assert_running();
}

#[test]
fn an_async_query_answers_204_at_once() {
    let loaded = loaded(Setup::new(2, 1));
    for q in ["SELECT * FROM m1s", "SELECT * FROM m1s, m2s, m3s, m4s", "SELECT v FROM /m[/; SHOW SERIES"] {
        for accept in ["application/json", "text/csv", "application/x-msgpack"] {
            let params = client::form(&[("db", "db"), ("async", "true"), ("q", q)]);
            let request = Request::new("GET", &format!("/query?{params}")).header("Accept", accept);
            let [seen, expected] = [loaded.cluster.http(), loaded.reference.http()].map(|http| http.send(&request));
            let content_type = |response: &Response| response.header("Content-Type").map(str::to_owned);
            assert_eq!(seen.verdict(), expected.verdict(), "`{q}`");
            assert_eq!(content_type(&seen), content_type(&expected), "`{q}`, {accept}");
        }
    }
}
