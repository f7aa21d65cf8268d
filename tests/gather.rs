//! SELECT over measurements that rules split: three groups, one measurement split by one tag and one by two, ties in time and in
//! value. Whatever slotline answers is what one influxd answers that holds everything; floats to 1e-9, since sums are added up
//! in another order.
//!
//! Left out, since influxd's own answer hangs on how its storage lies: OFFSET without LIMIT of raw rows, SLIMIT and SOFFSET,
//! top and bottom with LIMIT, the order of integral's series; and what hangs on its sort that is not stable: which of several
//! points with its value a lone percentile shows, and mode's choice among texts that are equally frequent.

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::*;

const T0: i64 = 1_600_000_000;
const HOSTS: [&str; 7] = ["h0", "h1", "h2", "h3", "h12", "h24", ""];

/// Points of one week, thus of one storage shard. Most times are those of every series, some are not; few values, so that many
/// are equal; fields that are missing now and then.
fn sample() -> String {
    let mut random = fastrand::Rng::with_seed(7);
    let mut body = String::new();
    for (measurement, regions) in [("one", &["", "eu"][..]), ("two", &["eu", "us", ""][..])] {
        for host in HOSTS {
            for region in regions {
                let mut key = measurement.to_owned();
                for (name, value) in [("host", host), ("region", region)] {
                    if !value.is_empty() {
                        key.push_str(&format!(",{name}={value}"));
                    }
                }
                let beside = if random.bool() { 0 } else { random.i64(1..9_000_000_000) };
                for step in 0..12 {
                    if random.f64() < 0.2 {
                        continue;
                    }
                    let time = (T0 + 10 * step) * 1_000_000_000 + beside;
                    let mut fields = vec![format!("v={}", f64::from(random.i32(-8..24)) / 4.0)];
                    if random.f64() < 0.8 {
                        fields.push(format!("n={}i", random.i32(-3..9)));
                    }
                    if random.f64() < 0.7 {
                        fields.push(format!("s=\"{}\"", ["x", "y", ""][random.usize(..3)]));
                    }
                    if random.f64() < 0.5 {
                        fields.push(format!("ok={}", random.bool()));
                    }
                    body.push_str(&format!("{key} {} {time}\n", fields.join(",")));
                }
            }
        }
    }
    body
}

struct Loaded {
    cluster: Cluster,
    reference: Influxd,
}

fn loaded() -> Loaded {
    let setup = Setup::new(3, 1).rule("db", "one", &["host"]).rule("db", "two", &["host", "region"]);
    let cluster = setup.start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    reference.http().store("db", sample());
    cluster.http().store("db", sample());
    let split: BTreeSet<usize> = HOSTS.iter().map(|host| group_of(slot("db", "one", &[host]), 3)).collect();
    assert_eq!(split.len(), 3, "the measurement is in all groups");
    Loaded { cluster, reference }
}

/// Floats to 1e-9 of their size.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::Number(a), Value::Number(b)) if a != b => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
            _ => false,
        },
        _ => a == b,
    }
}

impl Loaded {
    #[track_caller]
    fn assert_same(&self, queries: &[String]) {
        let mut different = Vec::new();
        let mut rows = 0;
        for q in queries {
            let ask = |http: Http| {
                let form = client::form(&[("db", "db"), ("epoch", "ns"), ("q", q)]);
                http.send(&Request::new("GET", &format!("/query?{form}")))
            };
            let (seen, expected) = (ask(self.cluster.http()), ask(self.reference.http()));
            let json = |response: &Response| serde_json::from_slice::<Value>(&response.body).expect("JSON");
            let equal = seen.status == expected.status && same(&json(&seen), &json(&expected));
            rows += usize::from(expected.text().contains("\"values\""));
            if !equal {
                different.push(format!("`{q}`:\n  {:.900}\ninstead of\n  {:.900}", seen.text(), expected.text()));
            }
        }
        let count = queries.len();
        assert!(different.is_empty(), "{} of {count} differ:\n{}", different.len(), different.join("\n"));
        assert!(rows * 10 >= count * 8, "only {rows} of {count} answers have rows");
        println!("{count} statements are equal, {rows} of them with rows");
    }

    #[track_caller]
    fn assert_refused(&self, queries: &[(&str, &str)]) {
        for (q, words) in queries {
            let seen = self.cluster.http().query("db", q);
            let text = seen.text();
            assert!(seen.status == 400 && text.contains(words), "`{q}`: {text}");
        }
    }
}

fn product(columns: &[&str], clauses: &[&str]) -> Vec<String> {
    let mut queries = Vec::new();
    for measurement in ["one", "two"] {
        for columns in columns {
            queries.extend(clauses.iter().map(|clause| format!("SELECT {columns} FROM {measurement} {clause}")));
        }
    }
    queries
}

const BOUNDS: &str = "WHERE time >= 1600000005s AND time < 1600000131s";

#[test]
fn aggregates_and_selectors() {
    let columns = [
        "count(v)",
        "sum(n)",
        "mean(v)",
        "mean(n)",
        "min(v)",
        "max(n)",
        "max(ok)",
        "first(v)",
        "last(s)",
        "spread(n)",
        "stddev(v)",
        "median(n)",
        "median(v)",
        "percentile(v, 90), max(n)",
        "distinct(n)",
        "count(distinct(s))",
        "mean(v), max(n), first(s)",
        "count(*)",
        "mean(*)",
        "last(/^[ns]$/)",
        "max(v) - min(v)",
        "2 * mean(n) + sum(v) / count(n)",
        "round(mean(v)), abs(min(n))",
        "max(v), max(v)",
    ];
    let time = |rest: &str| format!("{BOUNDS} GROUP BY time({rest}");
    let clauses = [
        String::new(),
        "WHERE host =~ /h[0-2]/ AND n > 2".to_owned(),
        BOUNDS.to_owned(),
        "GROUP BY region".to_owned(),
        "GROUP BY region ORDER BY time DESC".to_owned(),
        time("30s)"),
        time("30s, 7s), region"),
        time("7s) fill(none)"),
        time("7s) fill(previous)"),
        time("7s), region fill(linear)"),
        time("7s) fill(3) LIMIT 4 OFFSET 2"),
        time("20s) ORDER BY time DESC LIMIT 3"),
        "WHERE time < 1600000060s GROUP BY time(25s) fill(0)".to_owned(),
    ];
    let clauses: Vec<&str> = clauses.iter().map(String::as_str).collect();
    loaded().assert_same(&product(&columns, &clauses));
}

#[test]
fn selectors_with_other_columns() {
    let columns =
        ["max(v), host, n", "min(n), *::tag", "first(v), s, host", "last(n), v, region", "percentile(n, 40), s, host"];
    let clauses = ["WHERE host != ''", "WHERE time >= 1600000031s", "GROUP BY region"];
    // Without ties in time and value: which of the rows is beside them is chance.
    let mut queries = product(
        &["top(v, 3)", "bottom(n, 4)", "top(v, host, 2)", "bottom(v, region, host, 5)", "top(n, 3), s"],
        &[
            "WHERE host != ''",
            "GROUP BY region",
            "WHERE time >= 1600000005s AND time < 1600000131s GROUP BY time(40s)",
            "WHERE host != '' ORDER BY time DESC",
        ],
    );
    queries.extend(product(&columns, &clauses));
    loaded().assert_same(&queries);
}

#[test]
fn transformations() {
    let raw = [
        "derivative(v)",
        "non_negative_derivative(n, 10s)",
        "difference(n)",
        "non_negative_difference(v)",
        "moving_average(v, 3)",
        "cumulative_sum(n)",
        "elapsed(s, 1ms)",
        "integral(v)",
        "integral(v, 1m)",
        "difference(v) + difference(n)",
    ];
    let clauses = ["", BOUNDS, "WHERE n > 1", "WHERE host =~ /h1/ ORDER BY time DESC LIMIT 5", "LIMIT 3 OFFSET 2"];
    let mut queries = product(&raw, &clauses);
    let windows = [
        "derivative(mean(v))",
        "derivative(max(n), 1s)",
        "difference(sum(v))",
        "moving_average(mean(n), 2)",
        "cumulative_sum(count(v))",
        "elapsed(max(v), 1s)",
        "integral(v)",
        "non_negative_difference(last(v))",
        "derivative(mean(v)) * 2, mean(v)",
    ];
    let clauses = [
        "GROUP BY time(20s)",
        "GROUP BY time(7s) fill(none)",
        "GROUP BY time(7s) fill(previous)",
        "GROUP BY time(20s) fill(0)",
        "GROUP BY time(15s) fill(linear) LIMIT 4",
        "GROUP BY time(20s) ORDER BY time DESC",
    ];
    let clauses: Vec<String> = clauses.iter().map(|clause| format!("{BOUNDS} {clause}")).collect();
    let clauses: Vec<&str> = clauses.iter().map(String::as_str).collect();
    queries.extend(product(&windows, &clauses));
    loaded().assert_same(&queries);
}

#[test]
fn raw_rows() {
    let columns = [
        "*",
        "v",
        "n, v",
        "v, host",
        "s, n",
        "*::tag, v",
        "/^[nv]$/",
        "v + n",
        "v * 2 AS twice, n / 3",
        "abs(n), pow(n, 2), floor(v)",
        "v > 1",
        "n & 3, n | 1, n ^ 2, n % 2",
        "missing, v",
        "v::integer, n::float",
        "v, v",
        "-v",
    ];
    let clauses = [
        "",
        BOUNDS,
        "WHERE n > 3 OR s = 'x'",
        "GROUP BY region",
        "GROUP BY region LIMIT 3",
        "LIMIT 5 OFFSET 3",
        "ORDER BY time DESC LIMIT 9",
        "WHERE host = '' OR region = 'eu'",
        "WHERE time = 1600000010s",
    ];
    loaded().assert_same(&product(&columns, &clauses));
}

#[test]
fn what_is_not_exact_is_refused() {
    loaded().assert_refused(&[
        (
            "SELECT sample(v, 3) FROM one",
            "sample(), since it takes points by chance, over several groups is not supported yet: \
                                          measurement \\\"one\\\" is split over groups by [host]",
        ),
        ("SELECT holt_winters(mean(v), 3, 0) FROM one WHERE time < 1600000100s GROUP BY time(20s)", "holt_winters()"),
        ("SELECT top(v, 3) FROM one LIMIT 3", "top() with LIMIT"),
        ("SELECT v FROM two OFFSET 2", "OFFSET without LIMIT"),
        ("SELECT v FROM two GROUP BY region SLIMIT 1", "add host to GROUP BY"),
        ("SELECT mean(v) FROM one WHERE time < 1600000100s GROUP BY time(1d) tz('Europe/Berlin')", "tz()"),
    ]);
}
