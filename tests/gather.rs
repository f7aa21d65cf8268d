//! SELECT over measurements that rules split: three groups, one measurement split by one tag and one by two, ties in time and in
//! value. Whatever slotline answers is what one influxd answers that holds everything; floats to 1e-9, since sums are added up
//! in another order.
//!
//! Left out, since influxd's own answer hangs on how its storage lies: the order of integral's series. What is cut in each
//! storage shard has tests of its own (`slimit`).

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::*;

/// Around both changes of clocks in Europe; a week of each.
const CHANGES: [i64; 2] = [1_616_706_000, 1_635_454_800];

/// When these change.
const CHANGED: [i64; 2] = [1_616_893_200, 1_635_642_000];

/// One measurement of two regions, one of three.
fn sample() -> String {
    few_values(7, &[("one", &["", "eu"]), ("two", &["eu", "us", ""])])
}

/// Every hour and a bit over both changes of clocks.
fn days() -> String {
    let mut body = String::new();
    for (number, host) in (0_i64..).zip(HOSTS.iter().filter(|host| !host.is_empty())) {
        for (start, step) in CHANGES.into_iter().flat_map(|start| (0..60).map(move |step| (start, step))) {
            if (step + number) % 7 != 0 {
                let (time, v) = (start + step * 5_000 + number * 60, (step * 7 + number * 3) % 40);
                body.push_str(&format!("days,host={host} v={v},n={}i {time}000000000\n", v / 3));
            }
        }
    }
    body
}

fn loaded() -> Judged {
    let setup = Setup::new(3, 1).rule("db", "one", &["host"]).rule("db", "two", &["host", "region"]).rule(
        "db",
        "days",
        &["host"],
    );
    let cluster = setup.start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    for body in [sample(), days()] {
        reference.http().store("db", &body);
        cluster.http().store("db", &body);
    }
    let split: BTreeSet<usize> = HOSTS.iter().map(|host| group_of(slot("db", "one", &[host]), 3)).collect();
    assert_eq!(split.len(), 3, "the measurement is in all groups");
    Judged { cluster, reference }
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
        "first(ok), last(ok)",
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
        &[
            "top(v, 3)",
            "bottom(n, 4)",
            "top(v, host, 2)",
            "bottom(v, region, host, 5)",
            "top(n, 3), s",
            "top(v, missing, 2)",
        ],
        &[
            "WHERE host != ''",
            "GROUP BY region",
            "WHERE time >= 1600000005s AND time < 1600000131s GROUP BY time(40s)",
            "WHERE time >= 1600000005s AND time < 1600000131s GROUP BY time(40s) fill(7)",
            "WHERE host != '' ORDER BY time DESC",
        ],
    );
    queries.extend(product(&columns, &clauses));
    // With a LIMIT the best of tags are the best; of rows, those of the first that it lets through.
    let tags = ["top(v, host, 2)", "bottom(n, region, host, 5)"];
    queries.extend(product(&tags, &["LIMIT 1", "GROUP BY region LIMIT 2 OFFSET 1", "ORDER BY time DESC OFFSET 1"]));
    let few = "WHERE host = 'h1' AND n > 3";
    queries
        .extend(product(&["top(v, 3)", "bottom(v, 2), n"], &[&format!("{few} LIMIT 40"), &format!("{few} OFFSET 40")]));
    queries.extend(product(&["v", "*"], &[&format!("{few} OFFSET 40"), "OFFSET 2", "GROUP BY region OFFSET 7"]));
    let cut = ["LIMIT 3", "LIMIT 9 OFFSET 4", "GROUP BY region ORDER BY time DESC LIMIT 5", "OFFSET 2"];
    queries.extend(product(&["top(v, 3)", "bottom(n, 2)", "top(n, 3), host"], &cut));
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
        "integral(n)",
        "non_negative_difference(last(v))",
        "non_negative_derivative(stddev(v))",
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

/// Where windows are looked at that would begin before InfluxDB's first time, or end behind its last, there is nothing.
#[test]
fn what_looks_back_beyond_all_times_finds_nothing() {
    let columns = [
        "cumulative_sum(count(v))",
        "cumulative_sum(mean(n)) + 1",
        "derivative(mean(v))",
        "difference(max(n)), mean(v)",
        "non_negative_derivative(sum(n), 1s)",
        "moving_average(mean(v), 2)",
        "exponential_moving_average(mean(v), 3)",
        "elapsed(max(v), 1s)",
        "difference(count(*))",
        // What is wrong in any case, and of a field that would not do.
        "difference(mean(v), 2)",
        "derivative(mean(s))",
        // These do not look back.
        "integral(v)",
        "mean(v)",
        "holt_winters(mean(v), 2, 0)",
    ];
    let first = i64::MIN + 2;
    let mut clauses = vec![
        "GROUP BY time(20s) fill(none)".to_owned(),
        "WHERE time < 1600000131s GROUP BY time(20s)".to_owned(),
        "WHERE time < 1600000131s GROUP BY time(20s), host fill(none)".to_owned(),
        "GROUP BY time(20s) fill(none) ORDER BY time DESC".to_owned(),
        "WHERE time >= 1600000000s AND time <= 9223372036854775806 GROUP BY time(20s) fill(none) ORDER BY time DESC"
            .to_owned(),
    ];
    for intervals in 0..4 {
        let start = first + 20_000_000_000 * intervals;
        clauses.push(format!("WHERE time >= {start} AND time < 1600000131s GROUP BY time(20s) fill(none)"));
    }
    let clauses: Vec<&str> = clauses.iter().map(String::as_str).collect();
    let integrals = |q: &String| q.contains("integral") && q.contains("host");
    let mut queries: Vec<String> = product(&columns, &clauses).into_iter().filter(|q| !integrals(q)).collect();
    for inner in ["difference(count(v))", "derivative(mean(n), 1s)", "cumulative_sum(count(v))", "count(v)"] {
        for (bounds, rest) in
            [("", ""), ("WHERE time < 1600000131s", ""), (BOUNDS, ""), (BOUNDS, " GROUP BY time(20s) fill(none)")]
        {
            let inner = format!("(SELECT {inner} AS d FROM one GROUP BY time(20s) fill(none))");
            let outer = ["mean(d)", "integral(d)"].map(|call| format!("SELECT {call} FROM {inner} {bounds}{rest}"));
            queries.extend(outer);
            queries.push(format!("SELECT d FROM {inner} {bounds}"));
        }
    }
    loaded().assert_same_with_rows(&queries, 40);
}

/// Sums of whole numbers run over within a series, as InfluxDB adds them up, and floats beyond all numbers; stddev() knows
/// nothing of sums.
#[test]
fn sums_run_over_within_a_series() {
    let loaded = loaded();
    let mut body = String::new();
    let whole = [i64::MAX, i64::MIN, i64::MAX / 2 + 1, -1, i64::MAX - 7, 9_007_199_254_740_993];
    let floats = [f64::MAX, f64::MAX, f64::MIN, 1e300];
    for (number, host) in HOSTS.iter().enumerate().filter(|(_, host)| !host.is_empty()) {
        for step in 0..5 {
            let (i, f) = (whole[(number * 2 + step * step) % whole.len()], floats[(number + step / 4) % floats.len()]);
            body.push_str(&format!("days,host={host} big={i}i,huge={f:e} {}000000000\n", 1_700_000_000 + step));
        }
    }
    [loaded.reference.http(), loaded.cluster.http()].iter().for_each(|http| http.store("db", &body));
    let mut queries = Vec::new();
    for columns in [
        "mean(big)",
        "mean(big), median(big)",
        "mean(big), percentile(big, 40)",
        "mean(big::unsigned)",
        "mean(big::unsigned), median(big)",
        "sum(big), mean(big)",
        "stddev(big)",
        "stddev(big), max(big)",
        "stddev(big), median(big)",
        "sum(huge), median(huge)",
        "mean(huge), median(huge)",
    ] {
        for rest in ["", " GROUP BY host", " tz('Europe/Berlin')"] {
            queries.push(format!("SELECT {columns} FROM days WHERE time >= 1700000000s{rest}"));
        }
        // Of windows that have two points of each series.
        let windows = "WHERE time >= 1700000000s AND time < 1700000006s GROUP BY time(2s)";
        queries.extend(
            ["", " fill(0)", " tz('Asia/Kolkata')"].map(|rest| format!("SELECT {columns} FROM days {windows}{rest}")),
        );
    }
    loaded.assert_same_with_rows(&queries, 70);
}

/// The best of rows of which many are equal, those of two retention policies too, come as InfluxDB merges and sorts them; and
/// of integers that all stand where the range starts there is no integral.
#[test]
fn equal_rows_are_merged_and_sorted_as_in_influxdb() {
    let loaded = loaded();
    let create = "CREATE RETENTION POLICY other ON db DURATION INF REPLICATION 1";
    let servers = loaded.cluster.replicas().chain([&loaded.reference]);
    servers.for_each(|server| drop(server.http().run("db", create)));
    let body = few_values(11, &[("one", &["eu", ""])]);
    for http in [loaded.reference.http(), loaded.cluster.http()] {
        assert_eq!(http.write_with("db=db&rp=other", body.clone()).status, 204);
    }
    let mut queries = Vec::new();
    for from in ["autogen.one, other.one", "other.one, autogen.one"] {
        for columns in ["top(n, 3), region", "bottom(n, 3), region", "top(v, 4), s", "bottom(n, 30), region, host"] {
            for rest in ["", " GROUP BY time(20s)", " GROUP BY time(7s) fill(none)"] {
                queries.push(format!("SELECT {columns} FROM {from} {BOUNDS}{rest} SLIMIT 1"));
            }
        }
    }
    // More than Go sorts by insertion, of one policy too.
    for columns in ["bottom(n, 30), region", "top(n, 30), host", "top(v, 40), region, host", "bottom(v, 60)"] {
        for rest in ["", " GROUP BY time(60s)"] {
            queries.extend(["one", "two"].map(|from| format!("SELECT {columns} FROM {from} {BOUNDS}{rest}")));
        }
    }
    queries.extend(["one", "days"].map(|name| format!("SELECT integral(n) FROM {name} WHERE time = 1600000000s")));
    queries.push("SELECT integral(n), first(v) FROM one WHERE time = 1600000000s".to_owned());
    loaded.assert_same(&queries);
}

/// Storage shards are those of the time that is looked back into: fields that only these have, and types there, count too.
#[test]
fn transformations_look_back() {
    let loaded = loaded();
    let mut body = String::new();
    for (number, host) in HOSTS.iter().enumerate().filter(|(_, host)| !host.is_empty()) {
        body.push_str(&format!("days,host={host} kind=1.5,old{number}=2 1617000000000000000\n"));
        body.push_str(&format!("days,host={host} kind=\"x\",new={number} 1618000000000000000\n"));
    }
    [loaded.reference.http(), loaded.cluster.http()].iter().for_each(|http| http.store("db", &body));
    let columns = [
        "difference(max(*))",
        "difference(max(/^old/))",
        "difference(max(new)), difference(max(kind))",
        "moving_average(max(*), 2)",
        "elapsed(first(*), 1s)",
    ];
    let windows = "FROM days WHERE time >= 1617600000s AND time < 1618600000s GROUP BY time(10d) fill(0)";
    let mut queries: Vec<String> = columns.iter().map(|columns| format!("SELECT {columns} {windows}")).collect();
    // Nothing at all lies in the range.
    let range = "time >= 1620000000s AND time < 1625000000s";
    queries.push(format!("SELECT derivative(mean(v), 1d) FROM days WHERE {range} GROUP BY time(4042000s)"));
    loaded.assert_same(&queries);
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
        "v, host::field, host::tag, region",
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
    let mut queries = product(&columns, &clauses);
    // What a row has not is as fill() says.
    let columns = ["*", "n, v, s, host", "v + n, missing", "-v, region"];
    let clauses =
        ["fill(7)", "GROUP BY region fill(-2.5) LIMIT 9", "fill(previous) ORDER BY time DESC LIMIT 40 OFFSET 3"];
    queries.extend(product(&columns, &clauses));
    loaded().assert_same(&queries);
}

/// A window that gives no point ends the answer, but where somebody asks again.
#[test]
fn windows_without_a_percentile() {
    let columns = ["percentile(v, 3)", "difference(percentile(v, 5))", "percentile(v, 4), ok, s"];
    let clauses = [
        format!("{BOUNDS} GROUP BY time(7s), host fill(none)"),
        format!("{BOUNDS} GROUP BY time(7s), region fill(none)"),
        format!("{BOUNDS} GROUP BY time(20s), region fill(2.5) ORDER BY time DESC"),
        format!("{BOUNDS} GROUP BY time(30s), region"),
    ];
    let mut queries = product(&columns, &clauses.iter().map(String::as_str).collect::<Vec<_>>());
    queries.extend(product(&["percentile(v, 3)"], &["GROUP BY host", "GROUP BY region ORDER BY time DESC"]));
    queries.extend(product(&["max(v), percentile(n, 5)"], &[&clauses[1], &clauses[3]]));
    // Beside each other, and where the groups could tell their own series.
    queries.extend(product(
        &["percentile(v, 3), percentile(n, 4)"],
        &["", "WHERE host = 'h1'", "GROUP BY region LIMIT 1"],
    ));
    queries
        .extend(product(&["percentile(v, 30), host", "percentile(v, 1)"], &["GROUP BY host", "GROUP BY host, region"]));
    // One lags behind the others: its first windows come in rows of their own.
    queries.extend(product(
        &[
            "first(v), percentile(n, 5)",
            "percentile(v, 5), mean(v)",
            "percentile(v, 10), max(n), difference(sum(n))",
            "count(n), percentile(v, 12), percentile(n, 30)",
        ],
        &[
            &format!("{BOUNDS} GROUP BY time(7s) fill(null)"),
            &format!("{BOUNDS} GROUP BY time(7s) fill(previous)"),
            &format!("{BOUNDS} GROUP BY time(20s), region fill(0)"),
            &format!("{BOUNDS} GROUP BY time(13s, 4s), region ORDER BY time DESC"),
        ],
    ));
    let predicted = ["holt_winters(first(n), 2, 4)", "holt_winters_with_fit(max(v), 1, 20)"];
    queries.extend(product(&predicted, &[&format!("{BOUNDS} GROUP BY time(20s), host, region")]));
    loaded().assert_same_with_rows(&queries, 40);
}

#[test]
fn predictions() {
    let mut columns = Vec::new();
    for arguments in ["mean(v), 3, 0", "max(v), 4, 3", "count(n), 2, 4", "sum(n), 5, 2"] {
        columns.push(format!("holt_winters({arguments})"));
        columns.push(format!("holt_winters_with_fit({arguments})"));
    }
    let windows = [
        "GROUP BY time(10s)",
        "GROUP BY time(20s), region",
        "GROUP BY time(7s) fill(none)",
        "GROUP BY time(10s), host",
        "GROUP BY time(10s) fill(1) LIMIT 3",
        // Nothing.
        "GROUP BY time(10s) ORDER BY time DESC",
    ];
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let windows: Vec<String> = windows.iter().map(|clause| format!("{BOUNDS} {clause}")).collect();
    let windows: Vec<&str> = windows.iter().map(String::as_str).collect();
    loaded().assert_same_with_rows(&product(&columns, &windows), 70);
}

#[test]
fn samples() {
    let loaded = loaded();
    // All of a window's points.
    let columns = ["sample(v, 1000)", "sample(s, 1000), host, n", "sample(*, 1000)"];
    let windows = format!("{BOUNDS} GROUP BY time(20s)");
    let clauses = ["", "GROUP BY region", &windows, "ORDER BY time DESC", "LIMIT 7 OFFSET 2"];
    loaded.assert_same(&product(&columns, &clauses));
    // Some of them.
    let values = |q: &str| {
        let answer = loaded.cluster.http().query("db", q);
        let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
        json["results"][0]["series"][0]["values"].as_array().cloned().unwrap_or_default()
    };
    let (all, some) = (values("SELECT v, host FROM one"), values("SELECT sample(v, 9), host FROM one"));
    assert!(some.len() == 9 && some.iter().all(|row| all.contains(row)), "{some:?}");
    let times: Vec<&str> = some.iter().filter_map(|row| row[0].as_str()).collect();
    assert!(times.len() == 9 && times.is_sorted(), "{times:?}");
    assert_eq!(values(&format!("SELECT sample(v, 2) FROM one {BOUNDS} GROUP BY time(50s)")).len(), 6);
}

#[test]
fn windows_of_a_time_zone() {
    let loaded = loaded();
    let columns = ["count(v)", "mean(v), last(n)", "max(n)", "difference(sum(n))", "integral(v)"];
    let ranges = [
        "WHERE time >= '2021-03-27' AND time < '2021-03-30 12:00:00'",
        "WHERE time > '2021-10-29 22:30:00' AND time <= '2021-11-01T00:00:00Z'",
        "WHERE time >= '2021-03-26 04:30:00' AND time < '2021-03-29'",
    ];
    let windows = [
        "time(1d)",
        "time(6h) fill(none)",
        "time(1h), host fill(previous)",
        "time(12h, 3h) fill(linear)",
        "time(1w)",
        "time(90m, '2021-03-28 03:00:00') fill(0)",
        "time(1d) ORDER BY time DESC",
        "time(3h) fill(7) ORDER BY time DESC LIMIT 30",
    ];
    let zones = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "UTC"];
    let mut queries = Vec::new();
    for (columns, range) in columns.iter().zip(ranges.iter().cycle()) {
        for zone in zones {
            // The order in which InfluxDB tells integral's series is left to chance.
            let told = windows.iter().filter(|windows| !(columns.starts_with("integral") && windows.contains("host")));
            let query = |windows| format!("SELECT {columns} FROM days {range} GROUP BY {windows} tz('{zone}')");
            queries.extend(told.map(query));
        }
    }
    for columns in ["v", "n, host", "max(v)", "percentile(n, 40), host", "moving_average(v, 3)", "count(v)"] {
        queries.extend(ranges.iter().map(|range| format!("SELECT {columns} FROM days {range} tz('Europe/Berlin')")));
    }
    for windows in ["time(1d)", "time(1h) fill(none)", "time(1w) ORDER BY time DESC"] {
        let unbounded = format!("SELECT mean(v) FROM days WHERE time < '2021-03-29' GROUP BY {windows}");
        queries.push(format!("{unbounded} tz('Europe/Berlin')"));
    }
    loaded.assert_same(&queries);
    // With the zone's offsets.
    loaded.assert_same_as(&queries, &[], 80);
}

/// Windows that are no parts of the hours by which clocks change do not hold all of their points.
#[test]
fn windows_in_which_clocks_change() {
    let loaded = loaded();
    let mut body = String::new();
    for (number, host) in (0_i64..).zip(HOSTS.iter().filter(|host| !host.is_empty())) {
        for (change, step) in CHANGED.into_iter().flat_map(|change| (-40..40).map(move |step| (change, step))) {
            if (step + number) % 3 != 0 {
                let (time, v) = (change + step * 600, (step * 7 + number * 3).rem_euclid(40));
                body.push_str(&format!("days,host={host} v={v},n={}i {time}000000000\n", v / 3));
            }
        }
    }
    [loaded.reference.http(), loaded.cluster.http()].iter().for_each(|http| http.store("db", &body));
    let columns =
        ["count(v)", "mean(n)", "first(v), max(n)", "median(v)", "distinct(n)", "derivative(sum(v))", "top(v, 2)"];
    let windows = ["time(90m)", "time(90m) ORDER BY time DESC", "time(100m, 10m) fill(none)", "time(7h, -1h) fill(0)"];
    let mut queries = Vec::new();
    for (columns, windows) in columns.iter().flat_map(|columns| windows.map(|windows| (columns, windows))) {
        for (zone, change) in ["Europe/London", "Europe/Berlin"].iter().flat_map(|zone| CHANGED.map(|at| (zone, at))) {
            for (before, after) in [(12, 12), (1, 30), (0, 5)] {
                let (from, to) = (change - before * 1_800, change + after * 3_600);
                let range = format!("WHERE time >= {from}s AND time < {to}s");
                queries.push(format!("SELECT {columns} FROM days {range} GROUP BY {windows} tz('{zone}')"));
            }
        }
    }
    loaded.assert_same(&queries);
}

/// InfluxDB makes one series of both.
#[test]
fn one_name_under_two_policies() {
    let loaded = loaded();
    let mut body = String::new();
    for (number, line) in sample().lines().enumerate().filter(|(number, _)| number % 3 > 0) {
        let (point, time) = line.rsplit_once(' ').expect("a line has a time");
        let time: i64 = time.parse().expect("a number");
        // Half of them at the time of another one of the series.
        body.push_str(&format!("{point} {}\n", time + [0, 5_000_000_000][number % 2]));
    }
    for http in [loaded.reference.http(), loaded.cluster.http()] {
        http.run("", "CREATE RETENTION POLICY other ON db DURATION INF REPLICATION 1");
        let stored = http.write_with("db=db&rp=other", body.clone());
        assert_eq!(stored.status, 204, "{stored:?}");
    }
    let columns = ["count(v)", "mean(v), max(n)", "sum(n)", "min(v)", "spread(n)", "stddev(v)"];
    let windows = format!("{BOUNDS} GROUP BY time(20s), region");
    let mut queries = Vec::new();
    for sources in ["autogen.one, other.one", "other.two, autogen.two", "autogen.one, other.two, other.one"] {
        for clause in ["", "GROUP BY region", &windows, "WHERE n > 2 ORDER BY time DESC"] {
            queries.extend(columns.iter().map(|columns| format!("SELECT {columns} FROM {sources} {clause}")));
        }
    }
    for name in ["one", "two"] {
        // One series of each, whose rows take turns.
        let only = "WHERE host = 'h1' AND region = 'eu'";
        for columns in ["v, host", "v", "*", "distinct(s)"] {
            queries.push(format!("SELECT {columns} FROM autogen.{name}, other.{name} {only}"));
        }
    }
    // Of several series each begins as the one before has left the two.
    for sources in ["autogen.one, other.one", "other.one, autogen.one", "autogen.two, autogen.one, other.one"] {
        for columns in ["v", "v, s, n", "n, host"] {
            for cut in ["", "LIMIT 3", "LIMIT 20 OFFSET 11", "ORDER BY time DESC LIMIT 7"] {
                queries.push(format!("SELECT {columns} FROM {sources} GROUP BY region {cut}"));
                queries.push(format!("SELECT {columns} FROM {sources} {cut}"));
            }
        }
    }
    loaded.assert_same(&queries);
}

#[test]
fn the_deviation_of_one_point_is_not_filled() {
    let loaded = loaded();
    let mut queries = Vec::new();
    for windows in [
        "time(1s) fill(7)",
        "time(1s) fill(previous)",
        "time(1s) fill(linear)",
        "time(1s), region fill(7)",
        "time(1s), region fill(none)",
    ] {
        for from in ["one", "two"] {
            queries.push(format!("SELECT stddev(v), stddev(n) FROM {from} {BOUNDS} GROUP BY {windows}"));
            queries.push(format!("SELECT stddev(n) + 1 FROM {from} {BOUNDS} AND v > 3 GROUP BY {windows}"));
        }
    }
    loaded.assert_same(&queries);
}

/// What top() and bottom() write has the tags of the points.
#[test]
fn the_best_are_written_with_their_tags() {
    let loaded = loaded();
    let windows = format!("{BOUNDS} GROUP BY time(40s)");
    let mut read = Vec::new();
    for (at, columns) in ["top(v, 3)", "bottom(n, 4)", "top(v, host, 2)", "bottom(v, host, 5), s", "top(n, 3), s"]
        .into_iter()
        .enumerate()
    {
        for (number, (from, clause)) in
            [("one", "WHERE host != ''"), ("two", "GROUP BY region"), ("one", &windows)].into_iter().enumerate()
        {
            let target = format!("into{at}_{number}");
            let written = format!("SELECT {columns} INTO {target} FROM {from} {clause}");
            let [seen, expected] = [&loaded.cluster.http(), &loaded.reference.http()].map(|http| {
                http.send(&Request::new("POST", &format!("/query?{}", client::form(&[("db", "db"), ("q", &written)]))))
            });
            assert_eq!(seen.text(), expected.text(), "{written}");
            read.push(format!("SELECT * FROM {target} GROUP BY *"));
        }
    }
    loaded.assert_same(&read);
}

/// Each average with every warm-up, held back for more and for less than it takes.
#[test]
fn averages() {
    let (mut columns, functions) = (
        Vec::new(),
        [
            "exponential_moving_average",
            "double_exponential_moving_average",
            "triple_exponential_moving_average",
            "triple_exponential_derivative",
            "relative_strength_index",
            "chande_momentum_oscillator",
            "kaufmans_efficiency_ratio",
            "kaufmans_adaptive_moving_average",
        ],
    );
    for function in functions {
        for period in [2, 3, 5] {
            columns.extend(["", ", -1", ", 0", ", 4"].map(|hold| format!("{function}(v, {period}{hold})")));
        }
        let warm_ups: &[&str] = match function {
            "chande_momentum_oscillator" => &["none", "exponential", "simple"],
            name if name.starts_with("kaufmans") => &[],
            _ => &["exponential", "simple"],
        };
        for warm_up in warm_ups {
            columns.extend([-1, 0, 1].map(|hold| format!("{function}(n, 3, {hold}, '{warm_up}')")));
        }
    }
    columns.push("chande_momentum_oscillator(v, 1, -1, 'simple')".to_owned());
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut queries = product(&columns, &["WHERE host =~ /h[0-2]/", "GROUP BY region"]);
    let windows = format!("{BOUNDS} GROUP BY time(10s)");
    for function in functions {
        queries.push(format!("SELECT {function}(mean(v), 2) FROM one {windows}"));
    }
    loaded().assert_same(&queries);
}

#[test]
fn what_influxdb_refuses_is_refused_in_its_words() {
    let mut columns = Vec::new();
    for field in ["s", "ok"] {
        for function in
            ["sum", "mean", "spread", "stddev", "median", "integral", "derivative", "non_negative_derivative"]
        {
            columns.push(format!("{function}({field})"));
        }
        for function in ["difference", "non_negative_difference", "cumulative_sum"] {
            columns.push(format!("{function}({field})"));
        }
        for function in ["percentile", "top", "bottom", "moving_average"] {
            columns.push(format!("{function}({field}, 2)"));
        }
        columns.push(format!("holt_winters(first({field}), 2, 0)"));
    }
    let arguments = [
        "min(s)",
        "percentile(v)",
        "percentile(v, 'x')",
        "derivative(v, 0s)",
        "elapsed(v, 0s)",
        "elapsed(v, 1)",
        "integral(v, -1s)",
        "moving_average(v, 1)",
        "moving_average(v)",
        "top(v, 0)",
        "bottom(v)",
        "sample(v, 0)",
        "holt_winters(v, 2, 0)",
        "holt_winters(mean(v), 0, 0)",
        "holt_winters(mean(v), 2, -1)",
        "cumulative_sum(v, 2)",
        "mean(distinct(v))",
        "distinct(v, n)",
        "mode(v, 1)",
        "s + 1",
        "v & 1",
        "mean(v), s",
        "kaufmans_efficiency_ratio(v, 3)",
    ];
    columns.extend(arguments.map(str::to_owned));
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut queries = product(&columns, &[&format!("{BOUNDS} GROUP BY time(10s)")]);
    queries.extend(product(&columns[..12], &[""]));
    queries.push("SELECT derivative(mean(v)) FROM one".to_owned());
    queries.push("SELECT mean(v) FROM two GROUP BY time(1d) tz('Nowhere')".to_owned());
    // What a type does not have is told once there is a series of it.
    let chosen = [
        "region = 'nowhere'",
        "region = 'eu'",
        "s = 'nothing'",
        "time > 1700000000s",
        "host =~ /[2-4]/ AND host = '1'",
    ];
    for columns in ["mean(s)", "spread(s), count(v)", "derivative(s)", "max(s), max(v)", "stddev(s)"] {
        queries.extend(chosen.map(|chosen| format!("SELECT {columns} FROM one WHERE {chosen} GROUP BY region")));
    }
    let loaded = loaded();
    // Types are told too where only one of the groups has such a field.
    for (number, host) in HOSTS.iter().enumerate().filter(|(_, host)| !host.is_empty()) {
        let point = format!("one,host={host} own{number}=1.5 1600000000000000000\n");
        [loaded.reference.http(), loaded.cluster.http()].iter().for_each(|http| http.store("db", &point));
        for columns in ["mean(X) & 1", "X & 1", "max(X) | min(n)", "-(mean(X)) ^ 0", "difference(X) & 1, n"] {
            queries.push(format!("SELECT {} FROM one", columns.replace('X', &format!("own{number}"))));
        }
    }
    loaded.assert_same_with_rows(&queries, 0);
}

#[test]
fn what_is_not_exact_is_refused() {
    let q = "SELECT mean(v) FROM one WHERE time < 1600000100s GROUP BY time(1d) tz('Local')";
    let loaded = loaded();
    let seen = loaded.cluster.http().query("db", q);
    assert!(seen.status == 400 && seen.text().contains("a zone not known here"), "`{q}`: {}", seen.text());
    for rest in ["", ", 0", ", -1, 'none'"] {
        let q = format!("SELECT chande_momentum_oscillator(v, 1{rest}) FROM one");
        let [seen, expected] =
            [&loaded.cluster.http(), &loaded.reference.http()].map(|http| http.query("db", &q).text());
        assert!(
            expected.contains("[panic:") && seen.contains("of period 1 without a warm-up"),
            "`{q}`: {seen} {expected}"
        );
    }
}

/// InfluxDB takes the time out of the columns, but one right behind another, which is a column of nothing to it.
#[test]
fn the_time_has_the_last_of_its_names() {
    let columns =
        ["time AS a, v, time AS b", "time AS a, v, time", "time AS a, max(v), time AS \"b c\", n", "time AS a, *"];
    let loaded = loaded();
    loaded.assert_same(&product(&columns, &["", "WHERE n > 2 LIMIT 3"]));
    for columns in ["time, time, v", "max(v), time AS a, time AS b", "mean(v), time, time"] {
        let q = format!("SELECT {columns} FROM one");
        let seen = loaded.cluster.http().query("db", &q);
        assert!(
            seen.status == 400 && seen.text().contains("a column time right behind another"),
            "`{q}`: {}",
            seen.text()
        );
    }
}

/// What hangs on how Go's sort orders the equal: which of several equally frequent values is the mode, and which of several
/// points with its value a lone percentile shows.
#[test]
fn ties_are_sorted_as_go_sorts_them() {
    let mut columns: Vec<String> = ["v", "n", "s", "ok", "*"].map(|field| format!("mode({field})")).to_vec();
    for percent in (5..100).step_by(12) {
        columns.push(format!("percentile(v, {percent})"));
        columns.push(format!("percentile(n, {percent}), host, s"));
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let time = |rest: &str| format!("{BOUNDS} GROUP BY time({rest}");
    let clauses = [
        String::new(),
        "WHERE host =~ /h[0-2]/ AND n > 2".to_owned(),
        BOUNDS.to_owned(),
        "ORDER BY time DESC".to_owned(),
        "GROUP BY region".to_owned(),
        "GROUP BY region ORDER BY time DESC".to_owned(),
        time("30s)"),
        time("30s, 7s), region"),
        time("7s) fill(none)"),
        time("7s) fill(previous)"),
        time("20s) ORDER BY time DESC LIMIT 3"),
        "WHERE time < 1600000060s GROUP BY time(25s) fill(0)".to_owned(),
    ];
    let clauses: Vec<&str> = clauses.iter().map(String::as_str).collect();
    loaded().assert_same(&product(&columns, &clauses));
}

/// Where nothing says when a range begins InfluxDB shows 0 as its start, which lies behind the end of this one.
#[test]
fn what_is_before_1970() {
    let loaded = loaded();
    let mut body = String::new();
    for (number, host) in (0_i64..).zip(HOSTS.iter().filter(|host| !host.is_empty())) {
        for step in -20..20 {
            let (v, n) = (step * number, (step + number) / 3);
            body.push_str(&format!("days,host={host},region=r{} v={v},n={n}i {step}000000000\n", number % 2));
        }
    }
    [loaded.reference.http(), loaded.cluster.http()].iter().for_each(|http| http.store("db", &body));
    let columns = [
        "count(distinct(n))",
        "count(distinct(n)), sum(n)",
        "count(distinct(n)), median(n)",
        "distinct(n)",
        "mode(n)",
        "spread(v)",
        "top(n, 3)",
        "last(n), first(v)",
        "max(n), region",
        "stddev(v)",
    ];
    let clauses = [
        "WHERE time < 20s",
        "WHERE time < -5",
        "WHERE time < -5s GROUP BY region",
        "WHERE time < -5s ORDER BY time DESC",
        "WHERE time >= -15s AND time < -5s",
        "WHERE time >= -15s AND time < -5s GROUP BY time(3s, 1s) fill(none)",
    ];
    let queries =
        columns.iter().flat_map(|columns| clauses.map(|clause| format!("SELECT {columns} FROM days {clause}")));
    loaded.assert_same_with_rows(&queries.collect::<Vec<_>>(), 70);
}

/// Of booleans of one time InfluxDB takes false for the first and true for the last one, of other types the larger value.
#[test]
fn booleans_and_texts_of_one_time() {
    let cluster = Setup::new(3, 1).rule("db", "/^tied/", &["host"]).start();
    let judged = Judged { reference: cluster.reference("db"), cluster };
    judged.cluster.create_db("db");
    let mut body = String::new();
    for host in 0..24 {
        let groups = ["x", "y", "z"][host % 3];
        for time in 1..4 {
            let (ok, text) = ((host * 5 + time) % 7 < 3, ["a", "", "é", "b"][(host * 3 + time) % 4]);
            body.push_str(&format!("tied,host=h{host},dc={groups} ok={ok},s=\"{text}\" {time}\n"));
        }
        // Each of one host alone among all.
        body.push_str(&format!("tied_true,host=h{host} ok={},s=\"{}\" 5\n", host == 17, host % 5));
        body.push_str(&format!("tied_false,host=h{host} ok={},s=\"\" {}\n", host != 4, 5 + host % 2));
    }
    for http in [judged.cluster.http(), judged.reference.http()] {
        http.store("db", &body);
    }
    let mut queries = Vec::new();
    for measurement in ["tied", "tied_true", "tied_false"] {
        for columns in [
            "first(ok), last(ok)",
            "first(ok)",
            "last(ok)",
            "first(s)",
            "last(s)",
            "first(ok), last(s)",
            "min(ok)",
            "max(ok)",
            "min(ok), max(ok)",
            "mode(ok)",
            "mode(s)",
            "distinct(ok)",
            "distinct(s)",
            "count(distinct(ok)), count(distinct(s))",
            "count(ok), count(s)",
        ] {
            for clauses in [
                "",
                "WHERE time > 1",
                "WHERE ok = true",
                "WHERE s = ''",
                "GROUP BY dc",
                "ORDER BY time DESC",
                "GROUP BY dc ORDER BY time DESC",
                "WHERE time >= 0 AND time < 8 GROUP BY time(2ns)",
                "WHERE time >= 0 AND time < 8 GROUP BY time(3ns), dc fill(previous)",
            ] {
                queries.push(format!("SELECT {columns} FROM {measurement} {clauses}"));
            }
            // Of these InfluxDB decides by the order of its storage.
            if !columns.contains("mode") {
                queries.push(format!("SELECT {columns} FROM (SELECT ok, s FROM {measurement} WHERE time > 2)"));
            }
        }
    }
    judged.assert_same_with_rows(&queries, 75);
}
