//! SHOW over groups: the answer is the one that a single InfluxDB with all the data gives, in every format.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::*;

/// Over three groups; `split…` lies in all of them, by host.
struct Loaded {
    cluster: Cluster,
    reference: Influxd,
}

/// Names that sort otherwise when escaped, measurements with and without tags, all types of fields.
fn sample() -> String {
    let mut body = String::new();
    for number in 0..9 {
        for (host, dc) in [("a", "x"), ("b\\ c", "y"), ("d\\,e", "x")] {
            body.push_str(&format!("m{number},host={host},dc={dc} v={number}.5,n={number}i {number}\n"));
        }
        body.push_str(&format!("m{number} only{number}=\"text\",ok=true {number}\n"));
    }
    for name in ["e", "e!", "e#", "e\\,a", "e\\ a", "ea", "é", "E"] {
        body.push_str(&format!("{name} v=1 1\n{name},a=x v=1 1\n{name},a=x! v=1 1\n{name},a!=x v=1 1\n"));
        body.push_str(&format!("{name},a=x,b=1 w=1i 1\n{name},a=x\\ y,aa=1 v=1 1\n{name},b=1 v=1 1\n"));
    }
    // A type in each storage shard.
    for (week, value) in ["1.5", "true", "2i", "\"x\""].iter().enumerate() {
        body.push_str(&format!("types,host=a v={value} {}\n", week * 604_800_000_000_000));
    }
    for host in 0..40 {
        let dc = host % 3;
        body.push_str(&format!("split,host=h{host},dc=d{dc} v=1,f{dc}=2i {host}\n"));
        body.push_str(&format!("split2,host=h{host},k{dc}=1 v=1 {host}\n"));
    }
    body
}

fn loaded(replicas: usize) -> Loaded {
    let setup = Setup::new(3, replicas).rule("db", "split", &["host"]).rule("db", "split2", &["host"]);
    let cluster = setup.start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    cluster.http().store("db", sample());
    reference.http().store("db", sample());
    Loaded { cluster, reference }
}

const STATEMENTS: &[&str] = &[
    "SHOW MEASUREMENTS",
    "SHOW MEASUREMENTS LIMIT 3",
    "SHOW MEASUREMENTS OFFSET 4",
    "SHOW MEASUREMENTS LIMIT 3 OFFSET 4",
    "SHOW MEASUREMENTS LIMIT 3 OFFSET 400",
    "SHOW MEASUREMENTS WITH MEASUREMENT =~ /^m|split/ LIMIT 4",
    "SHOW MEASUREMENTS WITH MEASUREMENT = split",
    "SHOW MEASUREMENTS WITH MEASUREMENT = m1",
    "SHOW MEASUREMENTS ON db WHERE dc = 'x'",
    "SHOW MEASUREMENTS WHERE dc != 'd1'",
    "SHOW MEASUREMENTS WHERE host !~ /h1$|a/ LIMIT 2 OFFSET 1",
    "SHOW MEASUREMENTS WHERE host != 'nothing' AND dc != 'y'",
    "SHOW MEASUREMENTS WHERE host = 'h1' AND host = 'h2' AND host = 'h3' AND dc = 'd0'",
    "SHOW MEASUREMENTS WHERE (host !~ /[ab]/ OR a = 'x') AND (dc = 'd1' OR b = '1' OR k1 != '2')",
    "SHOW MEASUREMENTS WITH MEASUREMENT =~ /split/ WHERE k0 != '1'",
    "SHOW MEASUREMENTS WHERE host != ''",
    "SHOW MEASUREMENTS WHERE host > 'a' AND dc = 'x'",
    "SHOW MEASUREMENTS WHERE host != 'a' AND time > 0",
    "SHOW MEASUREMENTS ON nodb WHERE host != 'a'",
    "SHOW MEASUREMENTS ON nodb",
    "SHOW SERIES",
    "SHOW SERIES LIMIT 7",
    "SHOW SERIES LIMIT 7 OFFSET 20",
    "SHOW SERIES OFFSET 60",
    "SHOW SERIES LIMIT 5 OFFSET 6000",
    "SHOW SERIES FROM split LIMIT 9 OFFSET 9",
    "SHOW SERIES FROM m1, m2, split WHERE dc = 'x'",
    "SHOW SERIES FROM /e/ WHERE a = 'x'",
    "SHOW SERIES WHERE time < 100",
    "SHOW SERIES FROM /e/ WHERE time >= 1 LIMIT 7 OFFSET 3",
    "SHOW SERIES FROM split, m1 WHERE dc =~ /1|x/ AND time > 5",
    "SHOW SERIES ON nodb WHERE time > 0",
    "SHOW SERIES ON nodb",
    "SHOW TAG KEYS",
    "SHOW TAG KEYS LIMIT 1",
    "SHOW TAG KEYS OFFSET 1",
    "SHOW TAG KEYS LIMIT 1 OFFSET 2",
    "SHOW TAG KEYS FROM split2",
    "SHOW TAG KEYS FROM split2 LIMIT 2 OFFSET 1",
    "SHOW TAG KEYS FROM split, m3 WHERE dc = 'd1'",
    "SHOW TAG KEYS ON nodb",
    "SHOW TAG VALUES WITH KEY = host",
    "SHOW TAG VALUES WITH KEY = host LIMIT 4",
    "SHOW TAG VALUES WITH KEY IN (host, dc, a) LIMIT 4 OFFSET 2",
    "SHOW TAG VALUES WITH KEY =~ /.*/",
    "SHOW TAG VALUES WITH KEY !~ /host/ OFFSET 1",
    "SHOW TAG VALUES FROM split WITH KEY = dc",
    "SHOW TAG VALUES FROM split, m2 WITH KEY = host WHERE dc = 'x' LIMIT 2",
    "SHOW TAG VALUES ON nodb WITH KEY = host",
    "SHOW FIELD KEYS",
    "SHOW FIELD KEYS LIMIT 1",
    "SHOW FIELD KEYS LIMIT 2 OFFSET 1",
    "SHOW FIELD KEYS OFFSET 3",
    "SHOW FIELD KEYS FROM split",
    "SHOW FIELD KEYS FROM /split/ LIMIT 2",
    "SHOW FIELD KEYS ON nodb",
    "SHOW SERIES CARDINALITY",
    "SHOW SERIES CARDINALITY ON nodb",
    "SHOW SERIES CARDINALITY LIMIT 1",
    "SHOW SERIES CARDINALITY FROM split",
    "SHOW SERIES EXACT CARDINALITY",
    "SHOW SERIES EXACT CARDINALITY OFFSET 1",
    "SHOW SERIES EXACT CARDINALITY FROM m1, split WHERE dc = 'd1'",
    "SHOW SERIES EXACT CARDINALITY GROUP BY dc",
    "SHOW SERIES EXACT CARDINALITY GROUP BY *",
    "SHOW SERIES EXACT CARDINALITY WHERE time > 0",
    "SHOW SERIES EXACT CARDINALITY ON nodb WHERE dc = 'x'",
    "SHOW SERIES EXACT CARDINALITY ON nodb",
    "SHOW MEASUREMENT CARDINALITY",
    "SHOW MEASUREMENT CARDINALITY ON nodb",
    "SHOW MEASUREMENT EXACT CARDINALITY",
    "SHOW MEASUREMENT EXACT CARDINALITY FROM nothing",
    "SHOW MEASUREMENT EXACT CARDINALITY WHERE dc = 'd1'",
    "SHOW MEASUREMENT EXACT CARDINALITY GROUP BY dc",
    "SHOW MEASUREMENT CARDINALITY FROM /split|m/ LIMIT 1",
    "SHOW TAG KEY CARDINALITY",
    "SHOW TAG KEY EXACT CARDINALITY FROM split2",
    "SHOW TAG KEY EXACT CARDINALITY FROM split2 OFFSET 1",
    "SHOW TAG KEY EXACT CARDINALITY FROM m1 GROUP BY dc",
    "SHOW TAG KEY EXACT CARDINALITY FROM split GROUP BY dc",
    "SHOW TAG KEY EXACT CARDINALITY FROM split, m1 GROUP BY host",
    "SHOW TAG KEY EXACT CARDINALITY FROM split, split2 GROUP BY *",
    "SHOW TAG KEY CARDINALITY WHERE dc = 'd1' OFFSET 1",
    "SHOW TAG VALUES EXACT CARDINALITY WITH KEY = host GROUP BY dc",
    "SHOW TAG VALUES EXACT CARDINALITY FROM /split/ WITH KEY !~ /host/ WHERE host =~ /3/ GROUP BY dc",
    "SHOW TAG VALUES CARDINALITY ON nodb WITH KEY = host WHERE dc = 'x'",
    "SHOW TAG VALUES CARDINALITY WITH KEY = host",
    "SHOW TAG VALUES EXACT CARDINALITY WITH KEY = dc",
    "SHOW TAG VALUES EXACT CARDINALITY FROM split WITH KEY IN (host, dc)",
    "SHOW TAG VALUES EXACT CARDINALITY FROM split WITH KEY IN (host, dc) WHERE dc = 'd1'",
    "SHOW TAG VALUES EXACT CARDINALITY WITH KEY = nothing",
    "SHOW FIELD KEY CARDINALITY",
    "SHOW FIELD KEY EXACT CARDINALITY FROM split",
    "SHOW FIELD KEY EXACT CARDINALITY ON nodb",
    "SHOW RETENTION POLICIES; SHOW MEASUREMENTS",
    "SHOW MEASUREMENTS WHERE host > 'a'; SHOW MEASUREMENTS LIMIT 1",
    "SHOW DATABASES; SHOW TAG KEYS WHERE host > 'a'; SHOW MEASUREMENTS LIMIT 1",
    "SHOW TAG VALUES WITH KEY = host WHERE host > 'a'; SHOW MEASUREMENTS LIMIT 1",
    "SHOW SERIES WHERE host > 'a'; SHOW MEASUREMENTS LIMIT 1",
    "SHOW MEASUREMENTS WHERE host = dc; SHOW MEASUREMENTS LIMIT 1",
    "SHOW MEASUREMENTS WHERE 1 = 1; SHOW MEASUREMENTS LIMIT 1; SHOW MEASUREMENTS WHERE host; SHOW TAG KEYS LIMIT 1",
    "SHOW TAG VALUES WITH KEY = host WHERE abs(host) = 1; SHOW MEASUREMENTS LIMIT 1",
    "SHOW TAG VALUES FROM m1 WITH KEY = host WHERE host + 1 = 2; SHOW MEASUREMENTS LIMIT 1",
    "SHOW TAG VALUES FROM nodb..m1 WITH KEY = host WHERE host + 1 = 2; SHOW MEASUREMENTS LIMIT 1",
    "SHOW SERIES WHERE host = dc; SHOW MEASUREMENTS LIMIT 1",
    "SHOW TAG KEYS ON nodb; SHOW MEASUREMENTS LIMIT 1",
    "SHOW DATABASES; SHOW MEASUREMENTS WHERE time > 0; SHOW MEASUREMENTS LIMIT 1",
    "SHOW DATABASES; SHOW MEASUREMENTS LIMIT 1; SHOW TAG KEY EXACT CARDINALITY WHERE time > 0",
    "SHOW MEASUREMENTS LIMIT 1; SHOW DATABASES; SHOW TAG KEY EXACT CARDINALITY WHERE time > 0; SHOW DATABASES",
    "SHOW SERIES FROM split WHERE host = 'h1' OR nokey = ''",
    "SHOW SERIES WHERE nokey !~ /x/ LIMIT 3",
    "SHOW SERIES FROM split WHERE host = \"dc\"",
    "SHOW SERIES FROM split WHERE 1 = 1",
    "SHOW SERIES FROM split WHERE host",
    "SHOW SERIES FROM split WHERE host =~ /[/",
    "SHOW SERIES WHERE _name =~ /m[12]/ LIMIT 3",
    "SHOW SERIES FROM split WHERE host::tag = 'h1'",
    "SHOW SERIES FROM split WHERE host::field = 'h1'",
    "SHOW SERIES FROM split WHERE _tagKey = 'host'",
    "SHOW SERIES FROM split WHERE (host = 'h1' OR host = 'h2') AND (dc = 'd1' OR dc = 'd2')",
    "SHOW TAG VALUES WITH KEY = host WHERE _name = 'split' LIMIT 3",
    "SHOW TAG VALUES WITH KEY =~ /./ WHERE _tagKey = 'dc' LIMIT 3",
    "SHOW TAG VALUES WITH KEY != host WHERE host != ''",
    "SHOW TAG VALUES FROM split WITH KEY = host WHERE host = 5",
    "SHOW TAG VALUES FROM split WITH KEY = host WHERE v + 1 > 2",
    "SHOW TAG VALUES FROM split WITH KEY = host WHERE host = 'h1' OR time > 0",
    "SHOW TAG KEYS WHERE _name = 'split' AND _tagKey = 'host'",
    "SHOW TAG KEYS FROM split, split2, m1 SLIMIT 1 SOFFSET 1",
    "SHOW TAG KEYS FROM split2 WHERE host = 'h1' OR k0 = '1'",
    "SHOW FIELD KEYS FROM split WHERE host = 'h1'",
    "SHOW FIELD KEYS SLIMIT 1",
    "SHOW MEASUREMENTS WHERE _name =~ /split/ AND host = 'h1'",
    "SHOW MEASUREMENTS WHERE _tagKey = 'host'",
    "SHOW MEASUREMENTS WHERE true",
    "SHOW MEASUREMENTS WHERE host = 5",
    "SHOW SERIES EXACT CARDINALITY WHERE _name = 'split'",
    "SHOW SERIES EXACT CARDINALITY WHERE host > 'h1'",
    "SHOW SERIES EXACT CARDINALITY GROUP BY host LIMIT 2 OFFSET 1",
    "SHOW CONTINUOUS QUERIES",
    "SHOW SUBSCRIPTIONS",
];

impl Loaded {
    fn ask(&self, http: Http, accept: &str, params: &[(&str, &str)], q: &str) -> Response {
        let params = client::form(&[&[("db", "db"), ("q", q)], params].concat());
        http.send(&Request::new("GET", &format!("/query?{params}")).header("Accept", accept))
    }

    #[track_caller]
    fn assert_same(&self, accept: &str, params: &[(&str, &str)], q: &str) {
        let seen = self.ask(self.cluster.http(), accept, params, q);
        let expected = self.ask(self.reference.http(), accept, params, q);
        let about = format!("`{q}` as {accept} with {params:?}");
        assert_eq!(seen.text(), expected.text(), "{about}");
        assert_eq!(seen.full_verdict(), expected.full_verdict(), "{about}");
        assert_eq!(seen.body, expected.body, "{about}");
        assert_eq!(seen.header("Content-Type"), expected.header("Content-Type"), "{about}");
    }
}

#[test]
fn every_show_gives_the_bytes_that_influxdb_gives() {
    let loaded = loaded(1);
    for q in STATEMENTS {
        loaded.assert_same("application/json", &[], q);
        loaded.assert_same("application/json", &[("chunked", "true"), ("chunk_size", "3")], q);
    }
}

#[test]
fn every_format_gives_the_bytes_that_influxdb_gives() {
    let loaded = loaded(1);
    // InfluxDB's MessagePack has tags in no order: none of these has more than one.
    let settled = |q: &&&str| !q.contains("GROUP BY *");
    for q in STATEMENTS.iter().filter(settled).step_by(3) {
        for accept in ["application/csv", "text/csv", "application/x-msgpack", "*/*"] {
            loaded.assert_same(accept, &[], q);
            loaded.assert_same(accept, &[("chunked", "true"), ("chunk_size", "4")], q);
        }
        loaded.assert_same("application/json", &[("pretty", "true")], q);
        loaded.assert_same("application/json", &[("chunked", "true"), ("pretty", "true")], q);
        loaded.assert_same("application/json", &[("epoch", "ms")], q);
    }
}

#[test]
fn more_series_than_a_chunk_has_rows() {
    let loaded = loaded(1);
    let body: String = (0..21_000).map(|n| format!("split,host=many{n} v=1 1\n")).collect();
    loaded.cluster.http().store("db", &body);
    loaded.reference.http().store("db", &body);
    for q in ["SHOW SERIES", "SHOW SERIES LIMIT 10050 OFFSET 10001", "SHOW TAG VALUES FROM split WITH KEY = host"] {
        for params in [&[][..], &[("chunked", "true")], &[("chunked", "true"), ("chunk_size", "9000")]] {
            loaded.assert_same("application/json", params, q);
        }
    }
}

/// InfluxDB counts all fields of the storage shards in which series fit.
#[test]
fn fields_of_some_series_of_a_split_measurement_are_counted_by_storage_shards() {
    let loaded = loaded(1);
    let later = |n: u64| n % 4 * 1_000_000_000_000_000;
    let body: String =
        (0..40).map(|n| format!("split,host=h{n},of=o{} late{}=1 {}\n", n % 5, n % 4, later(n))).collect();
    loaded.cluster.http().store("db", &body);
    loaded.reference.http().store("db", &body);
    for q in [
        "SHOW FIELD KEY EXACT CARDINALITY FROM split WHERE dc = 'd1'",
        "SHOW FIELD KEY EXACT CARDINALITY FROM split WHERE of = 'o3' OR host = 'h2'",
        "SHOW FIELD KEY EXACT CARDINALITY FROM split WHERE of != 'o3' AND host =~ /h[12]$/ GROUP BY of",
        "SHOW FIELD KEY EXACT CARDINALITY GROUP BY dc",
        "SHOW FIELD KEY EXACT CARDINALITY ON db GROUP BY of, none OFFSET 1",
        "SHOW FIELD KEY CARDINALITY FROM /split/ GROUP BY host",
        "SHOW FIELD KEY CARDINALITY FROM split, m1 WHERE host = 'h7' GROUP BY *",
        "SHOW FIELD KEY CARDINALITY FROM split WHERE v = 7",
        "SHOW FIELD KEY CARDINALITY FROM split WHERE none = ''",
        "SHOW FIELD KEY CARDINALITY FROM split WHERE host",
        "SHOW FIELD KEY CARDINALITY FROM split WHERE host = 'nobody'",
        // Nothing of it is in other groups.
        "SHOW FIELD KEY EXACT CARDINALITY FROM m1 GROUP BY host",
    ] {
        loaded.assert_same("application/json", &[], q);
        loaded.assert_same("application/csv", &[("chunked", "true"), ("chunk_size", "2")], q);
    }
    loaded.cluster.http().run("db", "CREATE RETENTION POLICY two ON db DURATION INF REPLICATION 1");
    for (clauses, why) in [
        ("FROM split, two.split GROUP BY host", "several databases"),
        ("FROM split WHERE host = 'h1' OR v = 1", "a field in WHERE"),
        ("WHERE v > 0 GROUP BY dc", "a field in WHERE"),
    ] {
        let answer = loaded.cluster.http().query("db", &format!("SHOW FIELD KEY CARDINALITY {clauses}"));
        let error = answer.error();
        assert!(answer.status == 400 && error.contains("\"split\"") && error.contains(why), "{clauses}: {answer:?}");
    }
}

/// In the first window is everything, and nothing in those up to now.
#[test]
fn counts_by_time_have_all_windows() {
    let loaded = loaded(1);
    let kinds = ["SERIES", "SERIES EXACT", "MEASUREMENT", "TAG KEY EXACT", "TAG VALUES", "FIELD KEY"];
    for of in kinds {
        for from in ["", " FROM split", " FROM m1, m2, split2", " FROM m1"] {
            let with = if of == "TAG VALUES" { " WITH KEY IN (host, dc)" } else { "" };
            for by in [
                "time(100000d)",
                "time(5000d)",
                "time(5000d, 5d), dc",
                "time(7000d), * LIMIT 2",
                "time(5000d) LIMIT 2 OFFSET 1",
                "time(5000d) OFFSET 1",
                "time(5)",
                "time()",
            ] {
                let q = format!("SHOW {of} CARDINALITY{from}{with} GROUP BY {by}");
                loaded.assert_same("application/json", &[], &q);
            }
            let q = format!("SHOW {of} CARDINALITY{from}{with} WHERE host =~ /1/ GROUP BY dc, time(5000d)");
            loaded.assert_same("text/csv", &[("chunked", "true"), ("chunk_size", "2")], &q);
        }
    }
}

#[test]
fn what_is_wrong_is_told_as_it_was_written() {
    let loaded = loaded(1);
    for of in ["SERIES EXACT", "MEASUREMENT EXACT", "TAG KEY", "FIELD KEY EXACT"] {
        for condition in ["host", "noname(host) = 1", "host::tag", "host = 'h1' AND v", "v + host = 3"] {
            for from in ["", " FROM split", " FROM m1"] {
                loaded.assert_same("application/json", &[], &format!("SHOW {of} CARDINALITY{from} WHERE {condition}"));
            }
        }
    }
}

/// With these one InfluxDB has storage shards that not all groups have, and a database of which only one group has anything.
fn apart() -> Loaded {
    let cluster = Setup::new(3, 1).rule("db", "split", &["host"]).rule("db", "split2", &["host"]).start();
    let loaded = Loaded { reference: cluster.reference("db"), cluster };
    loaded.cluster.http().run("", "CREATE DATABASE db");
    let week = 604_800_000_000_000_u64;
    // Each in one group alone; the policy's shards are its own.
    let late = format!("late,host=a,only=z v=1 {}\nsplit,host=new v=1 {}\n", 10 * week, 12 * week);
    for http in [loaded.cluster.http(), loaded.reference.http()] {
        http.store("db", sample());
        http.run("db", "CREATE RETENTION POLICY long ON db DURATION INF REPLICATION 1 SHARD DURATION 52w");
        http.run("", "CREATE DATABASE small");
        http.run("", "CREATE DATABASE bare");
        http.store("db", &late);
        let stored =
            http.send(&Request::new("POST", "/write?db=db&rp=long").body(format!("kept,host=k v=1 {}\n", 300 * week)));
        assert_eq!(stored.status, 204, "{stored:?}");
        http.store("small", "m1,host=a v=1 1\n");
    }
    loaded
}

/// One InfluxDB lists the tags of all storage shards of a database as soon as one is within the time.
#[test]
fn tags_are_listed_by_the_storage_shards_of_all_groups() {
    let loaded = apart();
    let week = 604_800_000_000_000_u64;
    for from in ["", " FROM late", " FROM m1", " FROM split", " FROM m1, m2, late", " FROM nothing", " FROM /^m|late/"]
    {
        for condition in [
            format!("time > {}", 9 * week),
            format!("time > {}", 11 * week),
            format!("time >= {}", 50 * week),
            format!("time >= {}", 290 * week),
            format!("time >= {}", 1000 * week),
            format!("time < {week}"),
            format!("time < -{week}"),
            format!("time > {} AND time < {}", 9 * week, 10 * week),
            format!("time > {} AND host = 'a'", 9 * week),
            format!("(host = 'a' OR time > {}) AND dc = 'x'", 11 * week),
            format!("time > {} AND v > 0", 11 * week),
            format!("time > {} AND host", 11 * week),
            "time > now() - 1h".to_owned(),
            "time > 'yesterday'".to_owned(),
        ] {
            for q in [
                format!("SHOW TAG KEYS{from} WHERE {condition}"),
                format!("SHOW TAG VALUES{from} WITH KEY IN (host, only) WHERE {condition} LIMIT 3 OFFSET 1"),
                format!("SHOW TAG VALUES ON db{from} WITH KEY = host WHERE {condition}; SHOW TAG KEYS FROM late"),
            ] {
                loaded.assert_same("application/json", &[], &q);
            }
        }
    }
    for accept in ["text/csv", "application/x-msgpack"] {
        let q = format!("SHOW TAG KEYS WHERE time > {}", 11 * week);
        loaded.assert_same(accept, &[("chunked", "true")], &q);
    }
}

/// Fault is found with WHERE by whoever has anything of the database.
#[test]
fn what_is_wrong_is_told_by_groups_that_do_not_own_it() {
    let loaded = apart();
    let names: Vec<String> = (0..6).map(|n| format!("nothing{n}")).collect();
    let conditions = [
        "host = 3",
        "host",
        "v = 1",
        "host > 'a'",
        "3 = 3",
        "noname(host) = 1",
        "host = 'a' AND (host = 3)",
        "host = 'a'",
    ];
    for db in ["small", "bare"] {
        for condition in conditions {
            for name in &names {
                for q in [
                    format!("SHOW MEASUREMENTS ON {db} WITH MEASUREMENT = {name} WHERE {condition}; SHOW MEASUREMENTS"),
                    format!("SHOW TAG KEYS ON {db} FROM {name} WHERE {condition}; SHOW MEASUREMENTS"),
                    format!("SHOW TAG VALUES ON {db} FROM {name} WITH KEY = host WHERE {condition}"),
                    format!("SHOW SERIES ON {db} FROM {name} WHERE {condition}"),
                    format!("SHOW SERIES ON {db} FROM {name} WHERE {condition} AND time > 0"),
                ] {
                    loaded.assert_same("application/json", &[], &q);
                }
            }
            let q = format!("SHOW MEASUREMENTS ON {db} WITH MEASUREMENT =~ /nothing/ WHERE {condition}");
            loaded.assert_same("application/json", &[], &q);
        }
    }
}

/// In other groups than the ones that have it as a tag.
#[test]
fn a_name_that_is_a_field_elsewhere_is_that_field() {
    let loaded = loaded(1);
    let body: String = (0..9).map(|n| format!("other{n} dc=\"x\",v=1 1\n")).collect();
    loaded.cluster.http().store("db", &body);
    loaded.reference.http().store("db", &body);
    for q in [
        "SHOW SERIES EXACT CARDINALITY WHERE dc = 'x'",
        "SHOW SERIES EXACT CARDINALITY WHERE dc::tag = 'x'",
        "SHOW SERIES EXACT CARDINALITY WHERE host = 'a'",
        "SHOW SERIES EXACT CARDINALITY FROM /m|split/ WHERE dc = 'x'",
        "SHOW MEASUREMENT EXACT CARDINALITY WHERE dc != 'x'",
        "SHOW TAG KEY CARDINALITY WHERE dc =~ /./",
        "SHOW TAG VALUES CARDINALITY WITH KEY = host WHERE dc = 'x'",
        "SHOW SERIES WHERE dc = 'x' AND time < 100",
    ] {
        loaded.assert_same("application/json", &[], q);
    }
}

fn series(answer: &Response) -> Vec<Value> {
    answer.json()["results"][0]["series"].as_array().cloned().unwrap_or_default()
}

/// The replicas that an answer has something of, each once, in order.
fn origins(answer: &Response) -> Vec<String> {
    let of = |series: &Value| series["tags"]["replica"].as_str().expect("every series names its replica").to_owned();
    let mut origins: Vec<String> = series(answer).iter().map(of).collect();
    origins.dedup();
    origins
}

#[test]
fn what_is_about_servers_names_them() {
    let mut loaded = loaded(2);
    let names = ["g1a", "g1b", "g2a", "g2b", "g3a", "g3b"].map(|name| name.to_owned());
    let http = loaded.cluster.http();
    for q in ["SHOW SHARDS", "SHOW SHARD GROUPS", "SHOW STATS", "SHOW DIAGNOSTICS", "SHOW STATS FOR 'queryExecutor'"] {
        let answer = http.query("db", q);
        assert_eq!(origins(&answer), names, "{q}");
        let expected = loaded.reference.http().query("db", q);
        let columns = |series: &[Value]| series.iter().map(|series| series["columns"].clone()).collect::<Vec<_>>();
        for columns in columns(&series(&expected)) {
            assert!(series(&answer).iter().any(|series| series["columns"] == columns), "{q}: {columns}");
        }
    }
    let csv = Request::new("GET", "/query?q=SHOW%20DIAGNOSTICS").header("Accept", "text/csv");
    assert!(http.send(&csv).text().starts_with("name,tags,Branch,Build Time,Commit,Version\nbuild,replica=g1a,"));

    // Each server's own lists should be alike: the union is told.
    let cq = "CREATE CONTINUOUS QUERY cq ON db BEGIN SELECT mean(v) INTO x FROM m1 GROUP BY time(1h) END";
    let odd = loaded.cluster.replicas().last().expect("there are six").http();
    odd.run("db", cq);
    loaded.reference.http().run("db", cq);
    loaded.assert_same("application/json", &[], "SHOW CONTINUOUS QUERIES");

    loaded.cluster.groups[1][0].kill9();
    let answer = http.query("db", "SHOW SHARDS");
    assert_eq!(origins(&answer), ["g1a", "g1b", "g2b", "g3a", "g3b"]);
    let messages = answer.json()["results"][0]["messages"].to_string();
    assert!(messages.contains("replica g2a") && messages.contains("its part is missing"), "{messages}");
    // A group's other replica answers for it.
    loaded.assert_same("application/json", &[], "SHOW SERIES");
}

/// The rows of SHOW QUERIES.
fn queries(http: Http) -> Vec<Value> {
    let answer = http.query("", "SHOW QUERIES");
    let columns = &series(&answer)[0]["columns"];
    assert_eq!(*columns, serde_json::json!(["qid", "query", "database", "duration", "status"]));
    series(&answer)[0]["values"].as_array().cloned().unwrap_or_default()
}

/// The id of a query that others can see, once they do.
#[track_caller]
fn id_of(http: Http, text: &str) -> u64 {
    let id = || {
        let rows = queries(http);
        let row = rows.iter().find(|row| row[1] == text)?;
        assert_eq!((&row[2], &row[4]), (&Value::from("db"), &Value::from("running")));
        row[0].as_u64()
    };
    wait_for(&format!("`{text}` in SHOW QUERIES"), SOON, id)
}

fn ended(http: Http, text: &str) {
    let gone = || queries(http).iter().all(|row| row[1] != text).then_some(());
    wait_for(&format!("`{text}` out of SHOW QUERIES"), SOON, gone);
}

/// With a time OFFSET without LIMIT sees that many series and one more of each measurement in each storage shard.
#[test]
fn series_are_cut_in_each_storage_shard() {
    let cluster = Setup::new(3, 1).rule("db", "split", &["host"]).rule("db", "two", &["dc"]).start();
    let judged = Judged { reference: cluster.reference("db"), cluster };
    judged.cluster.create_db("db");
    let mut random = fastrand::Rng::with_seed(7);
    let week = 604_800_000_000_000_i64;
    let mut lines = |weeks: std::ops::Range<i64>| {
        let mut body = String::new();
        for (n, week) in weeks.flat_map(|n| (0..40).map(move |at| (at, n * week))) {
            let (host, dc) = (random.u32(..9), random.u32(..4));
            let name = ["split", "two", "m1", "m2", "m3"][random.usize(..5)];
            body.push_str(&format!("{name},host=h{host},dc=d{dc} v={n},n{dc}=1i {}\n", week + n));
        }
        body
    };
    let (own, other) = (lines(-3..5), lines(1..3));
    for http in [judged.cluster.http(), judged.reference.http()] {
        http.run("", "CREATE RETENTION POLICY days ON db DURATION INF REPLICATION 1 SHARD DURATION 1d");
        http.store("db", &own);
        assert_eq!(http.write_with("db=db&rp=days", &other).status, 204);
    }
    let times = ["time > -10w", "time < 2w", "time >= 1w AND time < 3w", "time < -1w", "time > 40w", "time >= 3d"];
    let tags =
        ["", "dc != 'd1' AND ", "(host =~ /[1-6]/ OR dc = 'd0') AND ", "v > 3 AND ", "nix = '' AND ", "host = 5 AND "];
    let mut statements = Vec::new();
    for source in ["", "split", "split, m1", "/m/, two", "days.split", "days././, two", "nosuch", "nowhere.split"] {
        let from = if source.is_empty() { String::new() } else { format!(" FROM {source}") };
        for (time, tags) in times.iter().flat_map(|time| tags.iter().map(move |tags| (time, tags))) {
            let offset = [1, 2, 5, 300][random.usize(..4)];
            statements.push(format!("SHOW SERIES{from} WHERE {tags}{time} OFFSET {offset}"));
        }
    }
    judged.assert_same_with_rows(&statements, 25);
}

/// One InfluxDB lists all series of a database once a storage shard of a policy of FROM is there: here one group alone has it.
#[test]
fn policies_that_one_group_has_shards_of() {
    let cluster = Setup::new(3, 1).rule("db", "split", &["host"]).start();
    let judged = Judged { reference: cluster.reference("db"), cluster };
    judged.cluster.create_db("db");
    for http in [judged.cluster.http(), judged.reference.http()] {
        http.run("", "CREATE RETENTION POLICY few ON db DURATION INF REPLICATION 1");
        http.run("", "CREATE RETENTION POLICY none ON db DURATION INF REPLICATION 1");
        let week = 604_800_000_000_000_i64;
        let lines = (0..9).map(|n| format!("m{n},a=x{n},b=y v=1 {0}\nsplit,host=h{n} v=1 {0}\n", n * week));
        http.store("db", lines.collect::<String>());
        assert_eq!(http.write_with("db=db&rp=few", "m1,a=z v=1 5\n").status, 204);
    }
    let sources = [
        "",
        "few.m0",
        "few.m0, few.m1",
        "few./m/",
        "few./m0/",
        "few./nothing/",
        "few./nothing/, none.m2",
        "none./m/",
        "few.split",
        "few./nothing/, few.m2",
        "none.m3, few.m1",
        "m1",
        "autogen./[13]/",
        "nosuch.m1",
    ];
    let mut statements = Vec::new();
    for source in sources {
        let from = if source.is_empty() { String::new() } else { format!(" FROM {source}") };
        for rest in [
            "",
            " WHERE a != 'x3'",
            " LIMIT 2",
            " LIMIT 3 OFFSET 1",
            " OFFSET 2",
            " WHERE a =~ /./ AND time < 1w",
            " WHERE a = 5",
        ] {
            statements.push(format!("SHOW SERIES{from}{rest}"));
        }
        for rest in
            ["", " WHERE a != 'x3'", " WHERE time < 1w", " WHERE (a =~ /[0z]/) AND time < 15d", " WHERE time > 5w"]
        {
            statements.push(format!("SHOW TAG KEYS{from}{rest}"));
            statements.push(format!("SHOW TAG VALUES{from} WITH KEY IN (a, host){rest}"));
            statements.push(format!("SHOW TAG VALUES EXACT CARDINALITY{from} WITH KEY =~ /[ah]/{rest}"));
            statements.push(format!("SHOW TAG VALUES CARDINALITY{from} WITH KEY = host{rest}"));
        }
    }
    judged.assert_same_with_rows(&statements, 50);
}

#[test]
fn queries_are_shown_and_killed_over_all_cores() {
    let mut cluster = Setup::new(2, 1).meddled().start();
    cluster.create_db("db");
    let http = cluster.http();
    http.store("db", "m v=1 1\n");
    cluster.meddlers.iter().flatten().for_each(|meddler| meddler.set(Meddle::Hang));
    // Each over its own connection, so that both cores have some.
    let texts: Vec<String> = (0..8)
        .map(|n| if n % 2 == 0 { format!("SELECT v{n} FROM m") } else { format!("SHOW SERIES WHERE h = '{n}'") })
        .collect();
    let mut victims: Vec<Conn> = texts
        .iter()
        .map(|text| {
            let mut victim = http.connect();
            victim.send(&Request::query(&[("db", "db"), ("q", text)]).to_bytes());
            victim
        })
        .collect();
    let ids: Vec<u64> = texts.iter().map(|text| id_of(http, text)).collect();
    for (at, id) in ids.iter().enumerate() {
        assert!(!ids[..at].contains(id), "{ids:?}");
        let killed = http.query("", &format!("KILL QUERY {id}"));
        assert_eq!(killed.verdict(), (200, r#"{"results":[{"statement_id":0}]}"#.to_owned() + "\n"));
        let answer = victims[at].answer();
        let interrupted = r#"{"results":[{"statement_id":0,"error":"query interrupted"}]}"#;
        assert_eq!(answer.verdict(), (200, interrupted.to_owned() + "\n"), "{}", texts[at]);
        ended(http, &texts[at]);
    }
    let gone = http.query("", &format!("KILL QUERY {}", ids[0]));
    let error = format!(r#"{{"results":[{{"statement_id":0,"error":"no such query id: {}"}}]}}"#, ids[0]);
    assert_eq!(gone.verdict(), (200, error + "\n"));
    cluster.slotline.assert_running();
}

/// Whichever core runs it, and whatever else that core waits for.
#[test]
fn a_killed_query_hears_it_at_once() {
    let cluster = Setup::new(2, 1).meddled().start();
    cluster.create_db("db");
    let http = cluster.http();
    http.store("db", "m v=1 1\n");
    cluster.meddlers.iter().flatten().for_each(|meddler| meddler.set(Meddle::Hang));
    let mut late: Vec<Duration> = (0..25)
        .map(|n| {
            let text = format!("SELECT v{n} FROM m");
            let mut victim = http.connect();
            victim.send(&Request::query(&[("db", "db"), ("q", &text)]).to_bytes());
            let id = id_of(http, &text);
            let heard = std::thread::spawn(move || (victim.answer(), Instant::now()));
            let killed = http.query("", &format!("KILL QUERY {id}"));
            let told = Instant::now();
            assert!(!killed.text().contains("error"), "{killed:?}");
            let (answer, at) = heard.join().expect("an answer");
            assert!(answer.text().contains("query interrupted"), "{answer:?}");
            at.saturating_duration_since(told)
        })
        .collect();
    late.sort_unstable();
    assert!(late[late.len() / 2] < Duration::from_millis(5), "{late:?}");
}

/// Its client hears so at once; the statement comes to its end all the same, on all replicas.
#[test]
fn a_writing_statement_can_be_killed() {
    let cluster = Setup::new(2, 2).meddled().start();
    cluster.create_db("db");
    let http = cluster.http();
    let late = Meddle::SlowAnswerTo("made".to_owned(), Duration::from_secs(8));
    cluster.meddlers.iter().flatten().for_each(|meddler| meddler.set(late.clone()));
    let text = "CREATE DATABASE made";
    let (began, mut victim) = (Instant::now(), http.connect());
    victim.send(&Request::query(&[("db", "db"), ("q", text)]).to_bytes());
    let id = id_of(http, text);
    http.query("", &format!("KILL QUERY {id}"));
    let interrupted = "{\"results\":[{\"statement_id\":0,\"error\":\"query interrupted\"}]}\n";
    assert_eq!(victim.answer().verdict(), (200, interrupted.to_owned()));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    ended(http, text);
    for replica in cluster.replicas() {
        let made = || replica.http().query("", "SHOW DATABASES").text().contains("\"made\"").then_some(());
        wait_for("the database", SOON, made);
    }
}

#[test]
fn a_query_killed_in_the_middle_of_its_answer_is_cut() {
    let cluster = Setup::new(2, 1).meddled().start();
    cluster.create_db("db");
    let http = cluster.http();
    http.store("db", (0..5_000).map(|n| format!("m v={n} {n}\n")).collect::<String>());
    cluster.meddlers.iter().flatten().for_each(|meddler| meddler.set(Meddle::HangMidAnswer));
    let mut victim = TcpStream::connect(http.addr).expect("it listens");
    let request = Request::query(&[("db", "db"), ("q", "SELECT v FROM m; SELECT v FROM m")]).to_bytes();
    victim.write_all(&request).expect("it reads");
    let text = "SELECT v FROM m;\nSELECT v FROM m";
    let id = id_of(http, text);
    let mut seen = Vec::new();
    while !seen.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let mut bytes = [0; 4096];
        let length = client::read_some(&mut victim, &mut bytes).expect("the answer has begun");
        assert!(length > 0, "{}", seen.escape_ascii());
        seen.extend_from_slice(&bytes[..length]);
    }
    assert!(seen.starts_with(b"HTTP/1.1 200"), "{}", seen.escape_ascii());
    http.query("", &format!("KILL QUERY {id}"));
    // A reset, or an end without the last chunk.
    let _ = victim.read_to_end(&mut seen);
    assert!(!seen.ends_with(b"0\r\n\r\n"), "it looks whole");
    ended(http, text);
}

/// Passwords are never shown.
#[test]
fn secrets_are_not_shown() {
    let cluster = Setup::new(2, 1).meddled().start();
    cluster.meddlers.iter().flatten().for_each(|meddler| meddler.set(Meddle::Hang));
    let http = cluster.http();
    let mut user = http.connect();
    let q = "CREATE USER u WITH PASSWORD 'topsecret'";
    user.send(&Request::new("POST", &format!("/query?q={}", encode(q))).to_bytes());
    let shown =
        || queries(http).into_iter().find(|row| row[1].as_str().is_some_and(|text| text.starts_with("CREATE USER")));
    let row = wait_for("the statement in SHOW QUERIES", SOON, shown);
    assert!(!row[1].to_string().contains("topsecret"), "{row}");
}
