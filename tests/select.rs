//! SELECT over several groups: what slotline answers over three of them is what one influxd answers that holds everything,
//! byte for byte, or it is refused with the reason.

mod support;

use std::collections::BTreeSet;

use support::*;

const T0: i64 = 1_600_000_000;
/// Plain measurements, all groups have some.
const PLAIN: [&str; 6] = ["m1", "m2", "m3", "m4", "with space", "m6"];

/// Points of 1970 and of 2020, thus in several storage shards. Fields that only some have, names that are a tag here and a
/// field there, an integer that is a float elsewhere; one measurement split by a tag, one by two.
fn sample() -> String {
    let mut body = String::new();
    for (number, name) in PLAIN.iter().enumerate() {
        let name = name.replace(' ', "\\ ");
        for (at, host) in ["a", "b", "c\\,d"].iter().enumerate() {
            for step in 0..8 {
                let time = (T0 + step * 10) * 1_000_000_000;
                let value = (step * 7 + number as i64 + at as i64) % 13;
                body.push_str(&format!(
                    "{name},host={host},dc=dc{} v={value}.5,n={value}i,ok={},s=\"x {step}\" {time}\n",
                    number % 2,
                    step % 2 == 0
                ));
            }
        }
        body.push_str(&format!("{name} only{number}={number},v=1 {}\n", number * 1_000_000_000));
        body.push_str(&format!("{name},zone=z{number} early=true {}\n", 5_000_000_000_i64));
    }
    body.push_str(&format!("m1 mixed=1.5 {T0}000000000\nm2 mixed=2i {T0}000000000\nm3,mixed=tag v=3 {T0}000000001\n"));
    body.push_str(&format!("m4 mixed=\"text\" {T0}000000000\nm6 big=9007199254740993i,tiny=1e-9 {T0}000000000\n"));
    for host in ["h0", "h1", "h2", "h3", "h12", "h24", "", "web 1"] {
        let tag = if host.is_empty() { String::new() } else { format!(",host={}", host.replace(' ', "\\ ")) };
        for step in 0..6_i64 {
            let time = (T0 + step * 10) * 1_000_000_000;
            let value = (host.len() as i64 * 3 + step * 5 + host.bytes().map(i64::from).sum::<i64>()) % 17;
            body.push_str(&format!("split1{tag},dc=d{} v={value}.25,n={value}i {time}\n", value % 2));
            for region in ["eu", "us"] {
                body.push_str(&format!("split2{tag},region={region} v={value}.125,up={}i {time}\n", step + value));
            }
        }
    }
    body.push_str(&format!("split1,host=h12,extra=e more=true {}\n", T0 * 1_000_000_000));
    body.push_str(&format!("split1,host=h3 last=\"only here\" {}\n", T0 * 1_000_000_000));
    body
}

struct Loaded {
    cluster: Cluster,
    reference: Influxd,
}

fn loaded() -> Loaded {
    let cluster = Setup::new(3, 1).rule("db", "split1", &["host"]).rule("db", "split2", &["host", "region"]).start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    reference.http().store("db", sample());
    cluster.http().store("db", sample());
    let homes: BTreeSet<usize> = PLAIN.iter().map(|name| cluster.group_of("db", name)).collect();
    assert_eq!(homes.len(), 3, "all groups have plain measurements");
    let split: BTreeSet<usize> =
        ["h0", "h2", "h12"].iter().map(|host| group_of(slot("db", "split1", &[host]), 3)).collect();
    assert_eq!(split.len(), 3, "the split measurement is in all groups");
    Loaded { cluster, reference }
}

impl Loaded {
    fn both(&self, params: &[(&str, &str)], accept: &str, q: &str) -> (Response, Response) {
        let all = [&[("db", "db"), ("q", q)], params].concat();
        let ask = |http: Http| {
            let request = Request::new("GET", &format!("/query?{}", client::form(&all)));
            http.send(&request.header("Accept", accept))
        };
        (ask(self.cluster.http()), ask(self.reference.http()))
    }

    /// What differs of one query.
    fn difference(&self, params: &[(&str, &str)], accept: &str, q: &str) -> Option<String> {
        let (seen, expected) = self.both(params, accept, q);
        // A map of Go's has no order, and MessagePack shows that: the same bytes, however they stand.
        let sorted = |response: &Response| {
            let mut bytes = response.body.clone();
            bytes.sort_unstable();
            bytes
        };
        let same_bytes = match accept {
            "application/x-msgpack" => sorted(&seen) == sorted(&expected),
            _ => seen.full_verdict() == expected.full_verdict() && seen.body == expected.body,
        };
        if same_bytes && seen.status == expected.status {
            return None;
        }
        Some(format!(
            "`{q}` with {params:?} as {accept}:\n  {:.1500}\ninstead of\n  {:.1500}\n",
            seen.text(),
            expected.text()
        ))
    }

    /// Every query gives the same bytes in several forms.
    #[track_caller]
    fn assert_same(&self, queries: &[&str]) {
        let forms: [(&[(&str, &str)], &str); 5] = [
            (&[], "application/json"),
            (&[("epoch", "ms"), ("pretty", "true")], "application/json"),
            (&[("chunked", "true"), ("chunk_size", "3")], "application/json"),
            (&[], "application/csv"),
            (&[("epoch", "ns"), ("chunked", "true")], "application/x-msgpack"),
        ];
        let different: Vec<String> = queries
            .iter()
            .flat_map(|q| forms.iter().map(move |(params, accept)| (q, params, accept)))
            .filter_map(|(q, params, accept)| self.difference(params, accept, q))
            .collect();
        assert!(different.is_empty(), "{} differences:\n{}", different.len(), different.join("\n"));
    }

    /// Every query is refused, with these words.
    #[track_caller]
    fn assert_refused(&self, queries: &[(&str, &str)]) {
        for (q, words) in queries {
            let (seen, _) = self.both(&[], "application/json", q);
            let text = seen.text();
            assert!(seen.status == 400 && text.contains("\"error\"") && text.contains(words), "`{q}`: {text}");
        }
    }
}

#[test]
fn measurements_of_several_groups() {
    loaded().assert_same(&[
        "SELECT * FROM m1, m2, m3, m4, \"with space\", m6",
        "SELECT v, n FROM m2, m1, m3 WHERE host = 'a'",
        "SELECT v FROM m1, m2, m3, m4 WHERE time >= 1600000000s AND time < 1600000030s ORDER BY time DESC",
        "SELECT * FROM m1, m2, m3 GROUP BY * ORDER BY time DESC LIMIT 2",
        "SELECT * FROM m1, m2, m3, m4 GROUP BY host LIMIT 2 OFFSET 1",
        "SELECT v FROM m1, m2, m3 GROUP BY host SLIMIT 1",
        "SELECT v FROM m1, m2, m3 GROUP BY host SLIMIT 2 SOFFSET 1",
        "SELECT v FROM m1, m2, m3 LIMIT 0",
        "SELECT mean(v), count(n), last(s) FROM m1, m2, m3, m4 GROUP BY host",
        "SELECT count(*) FROM m1, m2, m6",
        "SELECT mean(/^[nv]$/) FROM m1, m2, m3, m4",
        "SELECT mean(*) AS x FROM m1, m2, m3 WHERE time >= 1600000000s AND time < 1600000100s GROUP BY time(20s), /^h/",
        "SELECT max(v), * FROM m1, m2, m3",
        "SELECT top(v, host, 2), s FROM m1, m2, m3",
        "SELECT first(v), only0, only1 FROM m1, m2",
        "SELECT derivative(mean(v), 1s) FROM m1, m2, m3 WHERE time >= 1600000000s AND time < 1600000100s GROUP BY time(20s), host",
        "SELECT mean(v) FROM m1, m2 WHERE time >= 1600000000s AND time < 1600000100s GROUP BY time(10s) fill(previous) LIMIT 4",
        "SELECT mean(v) FROM m1, m2, m3 WHERE time >= 1600000000s AND time < 1600000100s GROUP BY time(30s, 5s), * fill(linear)",
        "SELECT sum(n) FROM m1, m2, m3 WHERE time > now() - 1000w GROUP BY time(500w) fill(none)",
        "SELECT count(n) FROM m1, m2, m3 WHERE time >= '2020-09-13T00:00:00Z' AND time < '2020-09-15T00:00:00Z' GROUP BY time(1d) tz('America/New_York')",
        "SELECT v FROM m1, m2 WHERE time >= 1600000000s LIMIT 1 tz('Europe/Berlin')",
        "SELECT mixed FROM m1, m2, m3, m4",
        "SELECT mean(mixed) FROM m1, m2, m3, m4",
        "SELECT mixed, v FROM m2, m3, m4 WHERE mixed = 'tag'",
        "SELECT mixed, v FROM m2, m3, m4 WHERE mixed::tag = 'tag'",
        "SELECT * FROM m2, m3 WHERE mixed = ''",
        "SELECT v + n, -v, v * 2 AS twice FROM m1, m2, m3 LIMIT 2",
        "SELECT big, tiny, v FROM m6, m1 WHERE time >= 1600000000s",
        "SELECT DISTINCT v FROM m1, m2, m3",
        "SELECT count(distinct(n)) FROM m1, m2, m3 GROUP BY host",
        "SELECT percentile(v, 90), median(n) FROM m1, m2, m3 GROUP BY dc",
        "SELECT *::tag, v FROM m1, m2, m3 LIMIT 1",
        "SELECT *::field FROM m1, m2, m3 LIMIT 1",
        "SELECT host, dc FROM m1, m2, m3",
        "SELECT nothing FROM m1, m2, m3",
        "SELECT v, nothing FROM m1, m2, m3 LIMIT 2",
        "SELECT v FROM m1, m2, m3 WHERE nothing = ''  LIMIT 2",
        "SELECT v FROM m1, m2, nowhere, m3 LIMIT 1",
        "SELECT * FROM nowhere, nowhere2, nowhere3, nowhere4, nowhere5",
        "SELECT * FROM m1, m2, m3 WHERE time > 2100000000s",
        "SELECT * FROM m1, m2, m3 WHERE time < 1000000s",
        "SELECT v AS x, n AS x FROM m1, m2 LIMIT 1",
        "SELECT v FROM m1, m1, m2 LIMIT 1",
        "SELECT v FROM db.autogen.m1, db..m2, m3 LIMIT 1",
        "SELECT v FROM m1, m2, m3 WHERE s =~ /x [12]/ AND ok = false",
        "SELECT cumulative_sum(n) FROM m1, m2 WHERE host = 'a'",
        "SELECT holt_winters(mean(v), 2, 2) FROM m1, m2 WHERE time >= 1600000000s AND time < 1600000080s GROUP BY time(10s)",
        "SELECT spread(v), stddev(v), mode(n) FROM m1, m2, m3",
    ]);
}

#[test]
fn measurements_by_regular_expression() {
    loaded().assert_same(&[
        "SELECT * FROM /^m[1-3]$/",
        "SELECT v FROM /^m/ LIMIT 1",
        "SELECT v FROM /^m/, \"with space\" ORDER BY time DESC LIMIT 1",
        "SELECT mean(v) FROM /./ GROUP BY host, region",
        "SELECT count(*) FROM db.autogen./m|w/",
        "SELECT count(v) FROM db../^m[12]/, m3",
        "SELECT v FROM /nothing fits/",
        "SELECT v FROM /nothing fits/, m1 LIMIT 1",
        "SELECT v FROM /^m1$/ LIMIT 1",
        "SELECT v FROM nodb../m/",
        "SELECT v FROM db.norp./m/",
        "SELECT max(x) FROM (SELECT mean(v) AS x FROM /^m/ GROUP BY host) GROUP BY host",
    ]);
}

#[test]
fn a_split_measurement_that_is_grouped_by_or_pinned_to_its_tags() {
    loaded().assert_same(&[
        "SELECT v FROM split1 GROUP BY host",
        "SELECT * FROM split1 GROUP BY host",
        "SELECT * FROM split1 GROUP BY *",
        "SELECT * FROM split1 GROUP BY /^ho/ ORDER BY time DESC LIMIT 2",
        "SELECT mean(v), max(n) FROM split1 GROUP BY host, dc",
        "SELECT count(*) FROM split1 WHERE time >= 1600000000s AND time < 1600000060s GROUP BY time(20s), host",
        "SELECT mean(v) FROM split1 WHERE host = 'h1'",
        "SELECT * FROM split1 WHERE host = 'h3'",
        "SELECT * FROM split1 WHERE host::tag = 'h0' AND v > 3 LIMIT 2",
        "SELECT mean(v) FROM split1 WHERE host = ''",
        "SELECT mean(v) FROM split1 WHERE host = 'web 1'",
        "SELECT mean(v) FROM split1 WHERE host = 'h1' AND host = 'h2'",
        "SELECT mean(v) FROM split1 WHERE host = 'nobody'",
        "SELECT mean(v) FROM split1 WHERE (host = 'h1' OR host = 'h2') GROUP BY host",
        "SELECT mean(v) FROM split1 WHERE host =~ /^(h1|h2|h12)$/ GROUP BY host",
        "SELECT mean(v) FROM split1 WHERE host =~ /h[1-4]/ AND dc = 'd1' GROUP BY host",
        "SELECT last FROM split1 GROUP BY host",
        "SELECT * FROM split2 GROUP BY host, region",
        "SELECT mean(v) FROM split2 WHERE region = 'eu' GROUP BY host",
        "SELECT mean(v) FROM split2 WHERE region = 'eu' AND host = 'h2'",
        "SELECT mean(v) FROM split2 WHERE host = 'h2' GROUP BY region",
        "SELECT * FROM split1, split2, m1, m2 GROUP BY host, region LIMIT 1",
        "SELECT v FROM split1, m1, m3 GROUP BY host LIMIT 1",
        "SELECT v FROM split1, m1, m3 WHERE host = 'h1'",
        "SELECT derivative(v, 1s) FROM split1 GROUP BY host",
        "SELECT bottom(v, 2) FROM split1 GROUP BY host",
    ]);
}

#[test]
fn subqueries_that_stay_whole() {
    loaded().assert_same(&[
        "SELECT max(x) FROM (SELECT mean(v) AS x FROM m1, m2, m3 GROUP BY host)",
        "SELECT max(x) FROM (SELECT mean(v) AS x FROM split1 GROUP BY host) GROUP BY host",
        "SELECT max(x) FROM (SELECT mean(v) AS x FROM split1) GROUP BY host",
        "SELECT * FROM (SELECT mean(v) AS x, max(n) AS y FROM split1 GROUP BY *) GROUP BY *",
        "SELECT * FROM (SELECT mean(*) FROM m1, m2, m3 GROUP BY *)",
        "SELECT mean(x) FROM (SELECT v AS x, n FROM m1, m2, m3 WHERE host = 'a') WHERE time >= 1600000010s AND x > 3",
        "SELECT mean(x) FROM (SELECT derivative(v, 1s) AS x FROM split1 WHERE time >= 1600000000s) WHERE time < 1600000060s GROUP BY time(20s), host",
        "SELECT x FROM (SELECT top(v, 2) AS x FROM m1, m2 GROUP BY host) WHERE host = 'a'",
        "SELECT sum(x) FROM (SELECT max(v) AS x FROM split1 WHERE host = 'h1' GROUP BY dc)",
        "SELECT v FROM (SELECT v FROM m1), (SELECT v FROM m2), (SELECT v FROM m3)",
        "SELECT * FROM (SELECT v FROM m1), (SELECT n FROM m2 GROUP BY host), m3 WHERE host = 'a'",
        "SELECT max(x), y FROM (SELECT v AS x, n AS y FROM m1), (SELECT n AS x, v AS y FROM m2) GROUP BY host",
    ]);
}

#[test]
fn what_influxdb_refuses_is_refused_in_its_words() {
    let loaded = loaded();
    // In chunks the first statement's are out before a replica reads the second.
    let late = "SELECT v FROM m1; SELECT v FROM m2 tz('Nowhere')";
    assert_eq!(loaded.difference(&[], "application/json", late), None);
    loaded.assert_same(&[
        "SELECT v FROM nodb..m1, nodb..m2, nodb..m3",
        "SELECT v FROM m1, nodb..m2",
        "SELECT v FROM nodb1..m1, nodb2..m2, nodb3..m3",
        "SELECT v FROM db.norp.m1, db.norp.m2, db.norp.m3",
        "SELECT v FROM m1, nodb../m/",
        "SELECT mean(v) FROM nodb.norp./m/, split1, m2",
        "SELECT v FROM m1, db.norp./nothing/",
        "SELECT v FROM m1, norp./nothing/",
        "SELECT v FROM m1, m2, /nothing/",
        "SELECT mean(v) FROM m1, (SELECT v FROM nodb../m/, m2)",
        "EXPLAIN SELECT v FROM m1, nodb../m/",
        "SELECT undefined(v) FROM m1, m2, m3",
        "SELECT undefined(v) FROM split1",
        "SELECT mean(v), n FROM m1, m2, m3",
        "SELECT v + s FROM m1, m2, m3",
        "SELECT mean(s) FROM m1, m2, m3",
        "SELECT v FROM m1, m2, m3 GROUP BY time(10s)",
        "SELECT mean(*::tag) FROM m1, m2, m3",
        "SELECT * + v FROM m1, m2, m3",
        "SELECT top(*, 2) FROM m1, m2, m3",
        "SELECT v FROM m1, m2, \"_series\"",
        "SELECT v FROM /(/",
        "SELECT v FROM m1, m2, m3 WHERE host =~ /(/",
        "SELECT v FROM m1, m2, m3 tz('Nowhere')",
        "SELECT /(/ FROM m1, m2, m3",
        "SELECT v FROM \"_series\"",
        "SELECT v FROM m1, m2, m3; SELECT undefined(v) FROM m1, m2, m3; SELECT v FROM m1; SELECT v FROM m2",
        "SELECT undefined(v) FROM m1; SELECT v FROM m2",
        "SELECT v FROM m1 LIMIT 1; SELECT v FROM m2 LIMIT 1; SELECT undefined(v) FROM m1, m2, m3",
        "SELECT v FROM m1 LIMIT 1; SELECT v FROM nodb..m2 LIMIT 1; SELECT v FROM m3 LIMIT 1",
        "SELECT v FROM m1 LIMIT 1; SELECT v FROM \"_series\"; SELECT v FROM m3 LIMIT 1; SELECT v FROM m2",
        "SELECT v FROM m1 LIMIT 1; SELECT v FROM m2 LIMIT 1; SELECT v FROM \"_series\"",
        "SELECT v FROM m1, m2 LIMIT 1; SHOW GRANTS FOR nobody; SELECT v FROM m3",
    ]);
}

/// Where InfluxDB panics it names the query: the client's, not what the groups were asked.
#[test]
fn a_panic_names_what_the_client_wrote() {
    let loaded = loaded();
    for q in [
        "SELECT abs('x') + v FROM m1, m2, m3",
        "select abs('x') + v from split1 WHERE host = 'h0' OR dc = 'd1' GROUP BY dc LIMIT 2",
        "SELECT abs('x') + v FROM split2 WHERE time > 5 GROUP BY *",
        "SELECT mean(x) FROM (SELECT abs('x') + v AS x FROM split1 WHERE n > 2) GROUP BY dc",
    ] {
        // It stands for the whole request, from where it was on: none of its statements has its number.
        for q in [q.to_owned(), format!("SELECT v FROM m1, m2 LIMIT 1; {q}; SELECT v FROM m3 WHERE time > now() - 1h")]
        {
            for params in [&[][..], &[("chunked", "true")]] {
                let (seen, expected) = loaded.both(params, "application/json", &q);
                let told = expected.text();
                assert!(told.contains("\"statement_id\":-1") && told.contains(" [panic:unreachable]"), "`{q}`: {told}");
                assert_eq!(seen.text(), told, "`{q}`");
            }
            for accept in ["application/x-msgpack", "text/csv"] {
                let (seen, expected) = loaded.both(&[], accept, &q);
                assert_eq!(seen.body, expected.body, "`{q}` in {accept}");
            }
        }
    }
    // Of one group too, if others answer beside it.
    let one = "SELECT v FROM m1, m2 LIMIT 1; SELECT abs('x') + v FROM m1 tz('Europe/Berlin'); SHOW DATABASES";
    let (seen, expected) = loaded.both(&[], "application/json", one);
    assert!(expected.text().contains("\"statement_id\":-1"), "{}", expected.text());
    assert_eq!(seen.text(), expected.text());
}

#[test]
fn several_statements_each_at_its_place() {
    let loaded = loaded();
    loaded.assert_same(&[
        "SELECT v FROM m1 LIMIT 1; SELECT v FROM m2 LIMIT 1; SELECT v FROM m3 LIMIT 1",
        "SELECT v FROM m1, m2 LIMIT 1; SHOW DATABASES; SELECT mean(v) FROM split1 GROUP BY host; SELECT v FROM nowhere",
        "SHOW DATABASES; SELECT * FROM /^m/ LIMIT 1; ; SELECT count(v) FROM m1",
    ]);
    let writing = "SELECT v FROM m1, m2 LIMIT 1; CREATE DATABASE other; SHOW DATABASES; DROP SERIES FROM m1 WHERE host = 'a'; \
                   SELECT count(v) FROM m1, m2, m3; DROP DATABASE other; DELETE FROM m2, m3 WHERE time < 1000s; SELECT count(v) FROM m1, m2, m3";
    loaded.assert_same(&[writing]);
    for q in [writing, "DROP DATABASE nodb; SELECT v FROM m1 LIMIT 1; CREATE USER u WITH PASSWORD 'p'; SHOW USERS"] {
        let ask = |http: Http| http.query("db", q).verdict();
        assert_eq!(ask(loaded.cluster.http()), ask(loaded.reference.http()), "by POST: `{q}`");
    }
}

#[test]
fn what_must_combine_is_refused_by_name() {
    loaded().assert_refused(&[("SELECT v FROM split1 tz('Local')", "tz('Local'), a zone not known here,")]);
}

/// CSV has no place for the error of a statement, and one InfluxDB tells none. A refusal is seen all the same.
#[test]
fn csv_tells_what_was_refused_behind_other_statements() {
    let loaded = loaded();
    let q = "SELECT v FROM m1 LIMIT 1; SELECT v FROM split1 tz('Local'); SELECT v FROM m2";
    let csv = |params: &[(&str, &str)]| loaded.both(params, "application/csv", q).0;
    let error =
        "\"tz('Local'), a zone not known here, over several groups is not supported yet: measurement \"\"split1\"\"";
    let seen = csv(&[]);
    assert!(seen.status == 400 && seen.text().starts_with(&format!("error\n{error}")), "{seen:?}");
    let seen = csv(&[("chunked", "true")]);
    let told = format!("name,tags,time,v\nm1,,0,1\n\nerror\n{error}");
    assert!(seen.status == 200 && seen.text().starts_with(&told), "{seen:?}");
    // InfluxDB's own is left out as InfluxDB does it.
    let q = "SELECT v FROM m1 LIMIT 1; SELECT v FROM nodb..m1, nodb..m2, nodb..m3; SELECT v FROM m2";
    let (seen, expected) = loaded.both(&[("chunked", "true")], "application/csv", q);
    assert_eq!(seen.text(), expected.text());
}

#[test]
fn what_is_wrong_with_the_text_comes_before_what_is_not_there() {
    let loaded = loaded();
    for q in [
        "SELECT foo(v) FROM m1, m2",
        "SELECT top(v) FROM m1, m2",
        "SELECT v FROM m1, nodb..m2",
        "SELECT foo(v) FROM m1, nodb..m2",
        "SELECT foo(v) FROM (SELECT v FROM m1, m2)",
    ] {
        for params in [&[][..], &[("rp", "norp")], &[("chunked", "true")]] {
            let (seen, expected) = loaded.both(params, "application/json", q);
            assert_eq!((seen.status, seen.text()), (expected.status, expected.text()), "`{q}` with {params:?}");
        }
    }
}

#[test]
fn explain_tells_each_groups_part() {
    let loaded = loaded();
    let (seen, _) = loaded.both(&[], "application/json", "EXPLAIN SELECT mean(*) FROM m1, m2");
    let text = seen.text();
    for part in [
        "GROUP 1: SELECT mean(mixed::float) AS mean_mixed, mean(n::integer) AS mean_n,",
        "FROM m1",
        "GROUP 2: SELECT mean(mixed::float) AS mean_mixed,",
        "EXPRESSION: mean(v::float)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(seen.json()["results"][0]["series"][0]["columns"][0], "QUERY PLAN", "{text}");
}

/// Which line begins a part is said wherever slotline has written it; what is refused is not explained.
#[test]
fn explain_is_told_of_whatever_is_answered() {
    let cluster = Setup::new(3, 1).rule("db", "split", &["host"]).start();
    cluster.create_db("db");
    cluster.http().store("db", (0..20).map(|n| format!("split,host=h{n} v=1 1\nwhole v=1 1\n")).collect::<String>());
    for verb in ["EXPLAIN", "EXPLAIN ANALYZE"] {
        let ask = |select: &str| cluster.http().query("db", &format!("{verb} {select}"));
        for (select, groups) in [
            ("SELECT v FROM whole", 0),
            ("SELECT v FROM split WHERE host = 'h1'", 1),
            ("SELECT v FROM (SELECT v FROM split WHERE host = 'h1')", 1),
            ("SELECT v FROM /^whole$/", 0),
            ("SELECT * FROM split WHERE host =~ /^h1$/", 1),
            ("SELECT v FROM split", 3),
            ("SELECT mean(v) FROM split GROUP BY host", 3),
            ("SELECT mode(v) FROM split", 3),
            ("SELECT max(x) FROM (SELECT mean(v) AS x FROM split)", 3),
        ] {
            let text = ask(select).text();
            assert!(!text.contains("\"error\""), "{verb} {select}: {text}");
            assert_eq!(text.matches("[\"GROUP ").count(), groups, "{verb} {select}: {text}");
        }
        for select in ["SELECT foo(v) FROM split", "SELECT v FROM split tz('Local')", "SELECT v FROM _internal..x"] {
            let (seen, own) = (ask(select), cluster.http().query("db", select));
            assert!(own.text().contains("\"error\""), "{select}: {own:?}");
            assert_eq!(seen.verdict(), own.verdict(), "{verb} {select}");
        }
    }
}

/// Types that are written out for groups do not show in what one of them says.
#[test]
fn errors_are_about_what_the_client_wrote() {
    let loaded = loaded();
    for q in [
        "SELECT v FROM split1 WHERE host = 'h3' AND v",
        "SELECT mean(v) FROM split1 WHERE host = 'h3' AND count(v, n) > 1 GROUP BY dc",
        "SELECT v FROM m1, m2, m3 WHERE v",
        "SELECT count(v) FROM split1 GROUP BY now()",
        "SELECT v FROM m1, m2, m3 WHERE time < now() GROUP BY host, now()",
    ] {
        let (seen, expected) = loaded.both(&[], "application/json", q);
        assert!(expected.text().contains("error"), "`{q}`: {}", expected.text());
        assert_eq!(seen.text(), expected.text(), "`{q}`");
    }
}

/// A call of a type that it does not have: where InfluxDB shows a plan there is one, else its words about it.
#[test]
fn what_does_not_run_may_be_explained() {
    let loaded = loaded();
    let verdict = |response: Response| {
        let answer = response.json();
        let error = answer["results"][0]["error"].as_str().map(str::to_owned);
        error.unwrap_or_else(|| format!("a plan: {}", !answer["results"][0]["series"].is_null()))
    };
    let (mut plans, mut errors) = (0, 0);
    for select in [
        "mean(s) FROM m1, m2, m3",
        "sum(ok) FROM m1, m2, m3 GROUP BY host",
        "max(s) FROM m1, m2, m3 WHERE v > 'a'",
        "percentile(s, 50) FROM m1, m2, m3",
        "derivative(s) FROM m1, m2, m3",
        "top(s, 2) FROM m1, m2, m3",
        "abs(sum(s)) FROM m1, m2, m3",
        "abs(s) FROM m1, m2, m3",
        "s + 1 FROM m1, m2, m3",
        "sum(s), max(v) FROM m1, m2, m3",
        "sum(s) FROM m1, m2, m3 SLIMIT 1",
        "sum(last) FROM split1",
        "mean(last) FROM split1 GROUP BY dc",
        "spread(more) FROM split1",
        "sum(last) FROM split1 WHERE dc = 'nothing'",
        "sum(last) FROM split1 SLIMIT 1",
        "integral(more), max(v) FROM split1",
        "holt_winters(mean(last), 2, 2) FROM split1 WHERE time > 0 AND time < 1h GROUP BY time(1m)",
        "mean(x) FROM (SELECT last AS x FROM split1)",
        "sum(x) FROM (SELECT max(last) AS x FROM split1)",
        "max(x) FROM (SELECT sum(last) AS x FROM split1)",
        "max(x) FROM (SELECT mean(v) AS x, sum(last) AS y FROM split1)",
        "sum(x) FROM (SELECT first(last) AS x FROM split1 GROUP BY host)",
        "spread(x) FROM (SELECT first(more) AS x FROM split1)",
        "percentile(x, 1) FROM (SELECT more AS x FROM split1) GROUP BY host",
        "sum(x) FROM (SELECT first(last) AS x FROM split1), (SELECT max(v) AS x FROM split2)",
        "x FROM (SELECT sum(last) AS x, first(v) AS y FROM split1)",
        "count(x), sum(x) FROM (SELECT last AS x FROM split1)",
        "derivative(x) FROM (SELECT first(last) AS x FROM split1 GROUP BY time(1m))",
        "mean(x) FROM (SELECT mean(last) AS x FROM split1 GROUP BY dc)",
        "foo(last) FROM split1",
    ] {
        for verb in ["EXPLAIN", "EXPLAIN ANALYZE"] {
            let (seen, expected) = loaded.both(&[], "application/json", &format!("{verb} SELECT {select}"));
            let (seen, expected) = (verdict(seen), verdict(expected));
            assert_eq!(seen, expected, "{verb} SELECT {select}");
            if expected == "a plan: true" { plans += 1 } else { errors += 1 }
        }
    }
    assert!(plans >= 15 && errors >= 30, "{plans} plans, {errors} errors");
}

#[test]
fn route_shows_the_plan_and_the_parts() {
    let loaded = loaded();
    let config = loaded.cluster.slotline.config_path();
    let route = |q: &str| {
        let config = config.to_str().expect("temporary paths are UTF-8");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_slotline"))
            .args(["route", "--config", config, "--db", "db", "--query", q])
            .output()
            .expect("slotline runs");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(
        route("SELECT * FROM m1, m2, m4; SHOW DATABASES; SELECT v FROM m2"),
        "plan=concatenate group=1 replicas=g1a query=SELECT * FROM m1, m4\n\
         plan=concatenate group=2 replicas=g2a query=SELECT * FROM m2\n\
         plan=any-group group=1 replicas=g1a query=SHOW DATABASES\n\
         plan=any-group group=2 replicas=g2a query=SHOW DATABASES\n\
         plan=any-group group=3 replicas=g3a query=SHOW DATABASES\n\
         plan=one-group group=2 replicas=g2a query=SELECT v FROM m2\n"
    );
    assert_eq!(
        route("SELECT mean(v) FROM split1 WHERE host = 'h2'"),
        "plan=one-group group=2 replicas=g2a query=SELECT mean(v) FROM split1 WHERE host = 'h2'\n"
    );
    let by_host = route("SELECT mean(v) FROM split1 GROUP BY host");
    assert_eq!(by_host.matches("plan=concatenate").count(), 3);
    assert_eq!(route("SELECT mean(v) FROM split1 GROUP BY (host)"), by_host);
    let mixed = route("SELECT top(v, dc, 3) FROM split1 GROUP BY host, host");
    assert_eq!(mixed.matches("plan=gather").count(), 3, "{mixed}");
    assert_eq!(route("SELECT mean(v) FROM /x/").matches("plan=ask-measurements").count(), 3);
    let combined = route("SELECT mean(v) FROM split1 WHERE n > 2 LIMIT 1");
    assert_eq!(combined.lines().count(), 3, "{combined}");
    assert!(combined.starts_with("plan=combine group=1"), "{combined}");
    assert!(combined.contains("query=SELECT count(v), sum(v) FROM split1 WHERE n > 2\n"), "{combined}");
    let chosen = route("SELECT last(v) FROM split1");
    assert!(
        chosen.starts_with("plan=combine group=1 replicas=g1a query=SELECT last(v) FROM split1 GROUP BY *"),
        "{chosen}"
    );
    let gathered = route("SELECT median(v) FROM split1 WHERE n > 2 LIMIT 1");
    assert_eq!(gathered.lines().count(), 3, "{gathered}");
    assert!(gathered.starts_with("plan=gather group=1"), "{gathered}");
    assert!(gathered.contains("query=SELECT v FROM split1 WHERE n > 2 GROUP BY *"), "{gathered}");
    let limited = route("SELECT mean(v) FROM split1 WHERE n > 2 AND host != 'h1' GROUP BY host SLIMIT 2 SOFFSET 1");
    let lists = "query=SELECT _seriesKey FROM split1 WHERE host::tag != 'h1' GROUP BY host LIMIT 1 SLIMIT 3\n";
    assert_eq!(limited.matches(lists).count(), 3, "{limited}");
    let parts = "query=SELECT mean(v) FROM split1 WHERE n > 2 AND host != 'h1' GROUP BY host\n";
    assert_eq!(limited.matches(parts).count(), 3, "{limited}");
    assert_eq!(route("SELECT v FROM split1 SOFFSET 1"), "plan=proxy query=SELECT v FROM split1 SOFFSET 1\n");
    assert!(limited.starts_with("plan=list-series group=1 replicas=g1a ") && limited.lines().count() == 6, "{limited}");
}

#[test]
fn odd_corners() {
    loaded().assert_same(&[
        // Fields and tags of one name, types that differ, conditions on what only some have.
        "SELECT * FROM m1, m3 WHERE mixed = 'tag' OR mixed::float > 1",
        "SELECT mixed::tag, v FROM m2, m3",
        "SELECT mixed::field, v FROM m2, m3",
        "SELECT mixed FROM m1, m3 GROUP BY mixed",
        "SELECT * FROM m1, m3 GROUP BY mixed LIMIT 1",
        "SELECT count(v) FROM m1, m3 GROUP BY mixed, nothing",
        "SELECT max(mixed), min(mixed) FROM m1, m2, m4",
        "SELECT count(mixed) FROM m1, m2, m4",
        "SELECT last(*) FROM m1, m2, m4",
        "SELECT first(*), last(mixed) FROM m1, m4",
        "SELECT sample(v, 100) FROM m1, m2 WHERE host = 'a'",
        "SELECT mixed + v FROM m1, m2",
        "SELECT mixed / 2, n % 3, n & 1, v - n FROM m1, m2 LIMIT 20",
        "SELECT ok, early FROM m1, m2, m3 WHERE ok = true OR early = true",
        "SELECT v FROM m1, m2 WHERE only0 = 0 OR only1 = 1",
        "SELECT v FROM m1, m2 WHERE v > 3 AND (host = 'a' OR host = 'b') AND time >= 1600000010s ORDER BY time DESC LIMIT 3",
        "SELECT v FROM m1, m2 WHERE host = 'a' OR time > 1600000050s",
        "SELECT v FROM m1, m2 WHERE host != '' LIMIT 2",
        "SELECT v FROM m1, m2 WHERE host !~ /a|b/ LIMIT 5",
        "SELECT v FROM m1, m2 WHERE \"_name\" = 'm2' LIMIT 1",
        // Times.
        "SELECT v FROM m1, m2 WHERE time = 1600000010s",
        "SELECT v FROM m1, m2 WHERE time > '2020-09-13 12:26:50' AND time <= '2020-09-13T12:27:10Z'",
        "SELECT v FROM m1, m2 WHERE time > '2020-09-13 14:26:50' LIMIT 1 tz('Europe/Berlin')",
        "SELECT mean(v) FROM m1, m2 WHERE time >= '2020-09-13' AND time < '2020-09-14' GROUP BY time(6h) fill(none) tz('Asia/Kolkata')",
        "SELECT mean(v) FROM m1, m2 GROUP BY time(10w) fill(none)",
        "SELECT count(v) FROM m1, m2 WHERE time < 10000s GROUP BY time(1h)",
        "SELECT count(v) FROM m1, m2 WHERE time >= 1600000000s AND time < 1600000080s GROUP BY time(20s) fill(7) ORDER BY time DESC LIMIT 2 OFFSET 1",
        "SELECT max(v) FROM m1, m2 WHERE time >= 1600000000s AND time < 1600000080s GROUP BY time(20s, -7s), host fill(0)",
        "SELECT v FROM m1, m2 WHERE time > now() + 1h",
        "SELECT moving_average(max(n), 2), difference(max(n)) FROM m1, m2 WHERE time >= 1600000000s AND time < 1600000080s GROUP BY time(10s)",
        "SELECT elapsed(v, 1s) FROM m1, m2 WHERE host = 'a' LIMIT 3",
        // Limits.
        "SELECT * FROM m1, m2 LIMIT 1000000 OFFSET 3",
        "SELECT * FROM m1, m2 OFFSET 3",
        "SELECT * FROM m1, m2 GROUP BY host OFFSET 7 LIMIT 1",
        "SELECT v FROM m1, m2, m3 GROUP BY * SOFFSET 1",
        "SELECT v FROM m1, m2, m3 GROUP BY * ORDER BY time DESC SLIMIT 1",
        // Names.
        "SELECT \"v\" AS \"a b\", n AS \"time\" FROM m1, \"with space\" LIMIT 1",
        "SELECT time, v FROM m1, m2 LIMIT 1",
        "SELECT v, v, v FROM m1, m2 LIMIT 1",
        "SELECT (v), (v + 1) * 2, -(v) FROM m1, m2 LIMIT 1",
        "SELECT mean(v) AS m, m FROM m1, m2",
        "SELECT pow(v, 2), sqrt(v), abs(n), round(v) FROM m1, m2 LIMIT 3",
        "SELECT mean(v) + mean(n), mean(v) / count(n) FROM m1, m2 GROUP BY host",
        "SELECT bottom(v, 2), host, s FROM m1, m2",
        "SELECT percentile(v, 50), host FROM m1, m2",
        "SELECT top(v, host, dc, 2) FROM m1, m2",
        "SELECT *, v FROM m1, m2 LIMIT 1",
        "SELECT /^v$|^n$/, /o/ FROM m1, m2 LIMIT 1",
        "SELECT mean(/nothing/) FROM m1, m2",
        "SELECT /nothing/ FROM m1, m2",
        "SELECT min(*), max(/^n$/) FROM m1, m2 GROUP BY /c/",
        "SELECT stddev(*) FROM m1, m2 GROUP BY /nothing/",
        "SELECT count(*::field) FROM m1, m2",
        "SELECT derivative(*) FROM m1, m2 WHERE host = 'a' LIMIT 2",
        "SELECT distinct(*) FROM m1, m2",
        "SELECT difference(mean(/^[vn]$/)) FROM m1, m2 WHERE time >= 1600000000s AND time < 1600000040s GROUP BY time(10s)",
        // Subqueries.
        "SELECT mean(x), host FROM (SELECT max(v) AS x FROM m1, m2 GROUP BY host)",
        "SELECT x, host FROM (SELECT max(v) AS x FROM m1, m2 GROUP BY host)",
        "SELECT * FROM (SELECT v, n, host FROM m1, m2) LIMIT 2",
        "SELECT sum(x) FROM (SELECT v AS x FROM m1, m2 WHERE time >= 1600000000s GROUP BY host) WHERE time < 1600000040s GROUP BY time(20s) fill(none)",
        "SELECT max(x) FROM (SELECT sum(v) AS x FROM m1, m2 WHERE time >= 1600000000s AND time < 1600000080s GROUP BY time(20s), host) GROUP BY host",
        "SELECT max(x) FROM (SELECT mean(x) AS x FROM (SELECT v + n AS x FROM m1, m2 GROUP BY *) GROUP BY host)",
        "SELECT count(x) FROM (SELECT v AS x FROM /^m/ WHERE host = 'a')",
        "SELECT /x/ FROM (SELECT max(v) AS x1, min(v) AS x2 FROM m1, m2 GROUP BY *) GROUP BY /ho/",
        "SELECT v FROM (SELECT v FROM m1, m2 LIMIT 2) LIMIT 1",
        "SELECT mixed FROM (SELECT mixed FROM m1, m2, m4)",
        "SELECT * FROM (SELECT first(mixed) FROM m1, m3)",
        "SELECT v FROM (SELECT v FROM m1), (SELECT v FROM m4) LIMIT 1",
        "SELECT x FROM (SELECT max(v) AS x FROM m1), m4",
        // Split ones. Columns that only other groups have count too.
        "SELECT * FROM split1 WHERE host = 'h2'",
        "SELECT * FROM split1 WHERE host::tag = 'h2' LIMIT 1",
        "SELECT * FROM split1 WHERE host::tag = 'h2' GROUP BY * LIMIT 1",
        "SELECT count(*) FROM split1 WHERE host::tag = 'h2'",
        "SELECT max(v) FROM split1 WHERE host = 'h2' GROUP BY /^e/, time(1000w) fill(none)",
        "SELECT * FROM split1 WHERE host = 'h2' AND time < 1000s",
        "SELECT *, last, more, extra FROM split1, m2 WHERE host = 'h2' LIMIT 2",
        "SELECT last FROM split1 WHERE host = 'h2'",
        "SELECT last, v FROM split1 WHERE host = 'h2' AND last = ''",
        "SELECT * FROM (SELECT * FROM split1 WHERE host = 'h2') LIMIT 1",
        "SELECT * FROM split1 WHERE host = 'h1' AND host = 'h2'",
        "SELECT v FROM split1 WHERE host = 'h1' OR host = 'h3' LIMIT 3",
        "SELECT mean(v) FROM split1 WHERE host = 'h2' AND host =~ /h/",
        "SELECT count(v) FROM split1 WHERE 'h2' = host",
        "SELECT * FROM split2 WHERE host = 'h2' AND region = 'us' ORDER BY time DESC",
        "SELECT sum(up) FROM split2 WHERE time >= 1600000000s AND time < 1600000060s GROUP BY time(30s), * fill(previous)",
        "SELECT v FROM split1 WHERE host =~ /^(h0|h12)$/ AND time > 1600000020s GROUP BY host, dc ORDER BY time DESC LIMIT 1",
        "SELECT mean(x) FROM (SELECT v AS x FROM split1 WHERE host = 'h2')",
        "SELECT mean(x) FROM (SELECT v AS x FROM split1) WHERE host = 'h2' GROUP BY host",
        "SELECT derivative(mean(v)) FROM split1 WHERE time >= 1600000000s AND time < 1600000060s GROUP BY time(10s), host fill(linear) LIMIT 2",
        "SELECT count(v) FROM split1, /^m/ GROUP BY host",
        "SELECT top(v, 1), dc FROM split1 GROUP BY host",
        "SELECT distinct(n) FROM split1 GROUP BY host",
        "SELECT last FROM split1 WHERE last = 'only here' GROUP BY host",
    ]);
}

/// A topology's rules are not the only thing that splits: what lies where its slot was before must not come back twice.
#[test]
fn points_that_are_not_a_groups_own_are_never_mixed_in() {
    let loaded = loaded();
    let stray = |group: usize, line: &str| loaded.cluster.groups[group][0].http().store("db", line);
    // m1 is the first group's, m2 the second's, h2 of split1 the second's.
    stray(1, "m1,host=a v=99 1600000000000000000\n");
    stray(2, "stray v=1 1600000000000000000\n");
    stray(0, "split1,host=h2 v=99 1600000000000000000\n");
    loaded.assert_same(&[
        "SELECT v FROM m1, m2",
        "SELECT v FROM /^m[12]$/",
        "SELECT v FROM /^m1$/, m2",
        "SELECT v FROM /stray/, m2 LIMIT 1",
        "SELECT v FROM split1 WHERE host = 'h2'",
    ]);
    let (seen, _) = loaded.both(&[], "application/json", "SELECT v FROM split1 GROUP BY host");
    assert!(seen.status == 503 && seen.text().contains("two groups have the series split1,host=h2"), "{seen:?}");
}
