//! SELECT over split measurements with calls that their arguments' types do not have. InfluxDB finds that once there is a series
//! of them, of the innermost first. Whatever slotline answers is what one influxd answers that holds everything.

mod support;

use support::*;

fn loaded() -> Judged {
    let setup = Setup::new(3, 1).rule("db", "one", &["host"]).rule("db", "two", &["host", "region"]);
    let cluster = setup.start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    let body = few_values(7, &[("one", &["", "eu"]), ("two", &["eu", "us", ""]), ("whole", &["eu"])]);
    [reference.http(), cluster.http()].iter().for_each(|http| http.store("db", &body));
    Judged { cluster, reference }
}

const CONDITIONS: [&str; 6] = ["", "host =~ /nobody/", "n > 100", "host =~ /h[12]$/", "time < 5", "missing = 'x'"];

#[test]
fn type_errors_are_told_once_there_is_a_series() {
    let inners = [
        "SELECT sum(s) AS x FROM one",
        "SELECT mean(ok) AS x FROM one",
        "SELECT sum(s) AS x, max(n) AS y FROM two",
        "SELECT max(x) AS x FROM (SELECT sum(s) AS x FROM one)",
    ];
    let outers = ["x", "max(x)", "sum(x)", "y", "count(x)", "z", "max(z)", "sum(x), count(y)"];
    let mut queries = Vec::new();
    for condition in CONDITIONS {
        let condition = if condition.is_empty() { String::new() } else { format!(" WHERE {condition}") };
        queries.push(format!("SELECT sum(s) FROM one{condition}"));
        if !condition.contains("missing") {
            queries.push(format!("SELECT sum(s), max(n) FROM one{condition} GROUP BY host SLIMIT 1 SOFFSET 2"));
        }
        for inner in inners {
            let within = match inner.strip_suffix(')') {
                Some(inner) => format!("{inner}{condition})"),
                None => format!("{inner}{condition}"),
            };
            for outer in outers {
                queries.push(format!("SELECT {outer} FROM ({within})"));
            }
            queries.push(format!("SELECT max(x) FROM ({inner}){condition}"));
            // Of a measurement that does not have the field, beside a subquery that has one, influxd panics.
            queries.extend(["x", "sum(x)"].map(|x| format!("SELECT {x} FROM ({within}), (SELECT n AS x FROM two)")));
            queries.push(format!("SELECT count(n), max(v) FROM two, ({within})"));
        }
    }
    // Of no series at all: what is around looks at types all the same.
    for inner in ["spread(s)", "max(s)", "first(s)", "sum(ok)", "mode(s)", "count(s)", "median(n)"] {
        for outer in ["max(x)", "sum(x)", "x", "count(x)", "count(x), max(x)"] {
            let within = format!("(SELECT {inner} AS x FROM one, two GROUP BY host)");
            queries.push(format!("SELECT {outer} FROM {within} SLIMIT 4 SOFFSET 99"));
        }
    }
    loaded().assert_same_with_rows(&queries, 10);
}

#[test]
fn tags_and_texts_beside_numbers_have_types_of_their_own() {
    let mut queries = Vec::new();
    let sources = ["one, (SELECT mean(s) FROM one)", "(SELECT mean(s) FROM one), two", "whole, (SELECT s, n FROM two)"];
    for from in sources {
        for columns in ["v + s", "v + mean", "stddev(host)", "sum(s)", "mean(host), mean(v)", "count(host)", "v, mean"]
        {
            queries.push(format!("SELECT {columns} FROM {from}"));
        }
        queries.push(format!(
            "SELECT sum(host), max(v) FROM {from} WHERE time >= 0 AND time < 9s GROUP BY time(3s) fill(0)"
        ));
    }
    for product in ["s * n", "ok * 2", "host * n", "n + ok"] {
        for inner in
            [format!("SELECT {product} AS x, n FROM one GROUP BY host"), format!("SELECT {product} AS x FROM two")]
        {
            for columns in ["count(x)", "count(x), sum(n)", "count(x), max(x), sum(n)", "x, n", "max(n), x", "count(*)"]
            {
                for rest in
                    ["", " GROUP BY host", " WHERE time >= 1600000000s AND time < 1600000100s GROUP BY time(30s)"]
                {
                    queries.push(format!("SELECT {columns} FROM ({inner}){rest}"));
                }
            }
            queries.push(format!("SELECT c, d FROM (SELECT count(x) AS c, sum(n) AS d FROM ({inner}))"));
        }
    }
    // What is made of what has no type has none in the statements around, whatever its rows show.
    for product in ["s * n", "s + 1", "host * n"] {
        for rest in
            ["GROUP BY time(20s), host fill(0)", "GROUP BY region, host fill(7)", "GROUP BY time(20s) fill(none)"]
        {
            let bounds = "WHERE time >= 1600000000s AND time < 1600000100s";
            let product = format!("SELECT {product} AS x, n FROM one");
            let inner = format!("SELECT count(x) AS c, sum(n) AS d FROM ({product}) {bounds} {rest}");
            let columns = ["*", "c", "c, d", "count(c)", "max(c), min(d)"];
            queries.extend(columns.map(|columns| format!("SELECT {columns} FROM ({inner}) {bounds}")));
        }
    }
    loaded().assert_same_with_rows(&queries, 30);
}

const LONE: [&str; 6] = ["lone0", "lone1", "lone2", "lone3", "lone4", "lone5"];

/// Measurements of several groups, each with a field that no other has; of the split one beside them no region has two series.
fn loaded_apart() -> Judged {
    let loaded = loaded();
    let mut body = String::new();
    for (number, host) in HOSTS.iter().enumerate().filter(|(_, host)| !host.is_empty()) {
        body.push_str(&format!("one,host={host},region=r{number} s=\"x\" {T0}000000000\n"));
    }
    for (number, lone) in LONE.iter().enumerate() {
        body.push_str(&format!("{lone} v=1.5,ok=true,own{number}=1i {T0}000000000\n"));
        let regions = (0..HOSTS.len()).map(|region| format!("{lone},region=r{region} s=\"x\" {T0}000000000\n"));
        body.extend(regions);
    }
    [loaded.reference.http(), loaded.cluster.http()].iter().for_each(|http| http.store("db", &body));
    loaded
}

/// What operators do not take together is told by the types that names have over all sources.
#[test]
fn types_beside_a_subquery_are_those_of_all_sources() {
    let mut queries = Vec::new();
    for (number, lone) in LONE.iter().enumerate() {
        let own = format!("own{number}");
        for other in LONE.iter().filter(|other| *other != lone) {
            let sources = [
                format!("{other}, (SELECT s FROM one), {lone}"),
                format!("{lone}, (SELECT max(v) AS v FROM {other} GROUP BY region)"),
                format!("(SELECT v, {own} FROM {lone}), {other}"),
            ];
            for from in sources {
                let columns = [
                    format!("max({own}) & 1.5"),
                    format!("-1.5 ^ max({own})"),
                    format!("first(s) + first({own})"),
                    format!("{own} + s"),
                    "max(v) & 1".to_owned(),
                ];
                queries.extend(columns.map(|columns| format!("SELECT {columns} FROM {from}")));
            }
        }
    }
    loaded_apart().assert_same_with_rows(&queries, 0);
}

/// Of a subquery that has not what max() is of InfluxDB makes floats, and takes no booleans behind it.
#[test]
fn what_is_not_taken_has_no_wrong_type() {
    let bounds = "time >= 1600000000s AND time < 1600000100s";
    let mut queries = Vec::new();
    for lone in LONE {
        for other in LONE {
            for first in [format!("(SELECT v FROM {other})"), other.to_owned(), format!("(SELECT ok FROM {other})")] {
                for call in [
                    "difference(max(ok))",
                    "derivative(first(ok), 10s)",
                    "moving_average(last(ok), 2)",
                    "holt_winters(max(ok), 2, 0)",
                ] {
                    queries.push(format!("SELECT {call} FROM {first}, {lone} WHERE {bounds} GROUP BY time(30s)"));
                }
            }
        }
    }
    loaded_apart().assert_same_with_rows(&queries, 0);
}

/// Behind a measurement of which a group has no series InfluxDB panics over a call that does not take a type. Others have some.
#[test]
fn a_group_without_series_has_words_for_a_wrong_type() {
    let mut queries = Vec::new();
    for lone in LONE {
        for region in (0..HOSTS.len()).filter(|number| !HOSTS[*number].is_empty()) {
            let rest = format!("WHERE region = 'r{region}' GROUP BY host");
            for call in ["max(s)", "sum(s)"] {
                queries.push(format!("SELECT {call} FROM one, {lone} {rest}"));
                queries
                    .push(format!("SELECT count(x) FROM (SELECT {call} AS x FROM one, {lone} {rest}) GROUP BY host"));
            }
        }
    }
    loaded_apart().assert_same_with_rows(&queries, 0);
}

/// InfluxDB looks at types where it has a storage shard of the range, which may be of another measurement, in one group alone.
#[test]
fn type_errors_are_told_where_slimit_finds_no_series() {
    const WEEK: i64 = 604_800;
    let loaded = loaded();
    let mut queries = Vec::new();
    for number in 0..8_i64 {
        let time = 1_000_000_000 + number * WEEK;
        let point = format!("other{number} v=1 {time}000000000\n");
        [loaded.reference.http(), loaded.cluster.http()].iter().for_each(|http| http.store("db", &point));
        for columns in ["host / 2.0, v", "v", "ok + n, v", "max(s)", "max(v), host * 2"] {
            queries.push(format!("SELECT {columns} FROM one WHERE time = {time}s SLIMIT 1"));
            queries.push(format!(
                "SELECT {columns} FROM one, two WHERE time = {time}s GROUP BY region SLIMIT 2 SOFFSET 1"
            ));
        }
    }
    loaded.assert_same_with_rows(&queries, 0);
}

/// InfluxDB's index knows a field of another time than is read, and of another policy: nothing there compares with it. A group of
/// which no series has it would take it for a tag.
#[test]
fn fields_of_another_time_are_fields_in_every_group() {
    let judged = loaded();
    let later = T0 + 30 * 86_400;
    let body = format!("one,host=h1 v=1,later=\"x\",number=1i {later}000000000\n");
    [judged.reference.http(), judged.cluster.http()].iter().for_each(|http| http.store("db", &body));
    let mut queries = Vec::new();
    for condition in [
        "later = ''",
        "later != 'x'",
        "later !~ /x/",
        "number != 1",
        "(later = '' OR v > 2)",
        "host != 'h1' AND later = ''",
        "host = 'h2' AND later != 'x'",
    ] {
        for columns in ["count(v)", "v", "median(n)", "mean(n), max(v)", "derivative(v)"] {
            for rest in ["", " GROUP BY host", " LIMIT 2"] {
                queries.push(format!("SELECT {columns} FROM one WHERE {condition} AND time < {later}s{rest}"));
            }
            queries.push(format!("SELECT {columns} FROM one WHERE {condition} AND missing = ''"));
        }
        queries.push(format!("SELECT sum(x) FROM (SELECT max(v) AS x FROM one WHERE {condition} AND time < {later}s)"));
        queries.push(format!("SELECT max(v) FROM one, one WHERE {condition} AND time < {later}s"));
    }
    judged.assert_same_with_rows(&queries, 10);
}
