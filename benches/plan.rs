//! How long it takes to understand a query: text to tree (`parse`), and where it runs as well (`plan`), for what Grafana
//! sends. Three groups, one measurement split by a tag.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use slotline::influxql::{Params, parse_query};
use slotline::plan::{Circumstances, plan};
use slotline::topology::{GroupSpec, ReplicaSpec, RuleSpec, Spec, Topology, evenly};

/// Names and queries.
const QUERIES: &[(&str, &str)] = &[
    (
        "panel",
        r#"SELECT mean("usage_user") FROM "cpu" WHERE ("host" = 'web1') AND time >= 1700000060000ms and time <= 1700001500000ms GROUP BY time(30s) fill(null)"#,
    ),
    (
        "panel_split",
        r#"SELECT mean("used") AS "u" FROM "split" WHERE ("host" =~ /^(web1|web2|web3)$/) AND time >= 1700000060000ms and time <= 1700001500000ms GROUP BY time(30s), "host" fill(null)"#,
    ),
    (
        "derivative",
        r#"SELECT non_negative_derivative(mean("bytes_recv"), 1s) *8 FROM "net" WHERE ("host" = 'web2' AND "interface" =~ /^eth/) AND time >= now() - 6h GROUP BY time(10s), "host", "interface" fill(none)"#,
    ),
    (
        "nested",
        r#"SELECT sum("m") FROM (SELECT mean("usage_user") AS "m" FROM "cpu" WHERE time >= now() - 1h GROUP BY time(1m), "host") GROUP BY time(1m) fill(null)"#,
    ),
    ("variable", r#"SHOW TAG VALUES FROM "cpu" WITH KEY = "host" WHERE "region" =~ /^(eu|us)$/"#),
    (
        "three_statements",
        r#"SELECT mean("a") FROM "cpu" WHERE time > now() - 1h GROUP BY time(1m);SELECT max("b") FROM "mem" WHERE time > now() - 1h GROUP BY time(1m);SELECT last("c") FROM "disk""#,
    ),
];

fn topology() -> Topology {
    let group = |id: u32| {
        let (name, url, state) = (format!("g{id}a"), "http://127.0.0.1:1".to_owned(), "serving".to_owned());
        let replica = ReplicaSpec { name, url, username: String::new(), password: String::new(), state };
        GroupSpec { id, replicas: vec![replica] }
    };
    let ids = [1, 2, 3];
    let rules =
        vec![RuleSpec { db: "telegraf".to_owned(), measurement: "split".to_owned(), tags: vec!["host".to_owned()] }];
    let spec = Spec { groups: ids.map(group).to_vec(), slots: evenly(&ids), rules };
    spec.build(0).expect("it is sound")
}

fn understand(criterion: &mut Criterion) {
    let topology = topology();
    for (name, q) in QUERIES {
        criterion.bench_with_input(BenchmarkId::new("parse", name), q, |bencher, q| {
            bencher.iter(|| parse_query(black_box(q), &Params::new()).expect("InfluxQL"));
        });
        criterion.bench_with_input(BenchmarkId::new("plan", name), q, |bencher, q| {
            bencher.iter(|| {
                let query = parse_query(black_box(q), &Params::new()).expect("InfluxQL");
                plan(&query, Circumstances { topology: &topology, db: "telegraf", may_write: true })
            });
        });
    }
}

criterion_group!(benches, understand);
criterion_main!(benches);
