//! SELECT over split measurements at the edges of numbers and of times: sums that run over, InfluxDB's first and last times, and
//! what JSON does not have. Whatever slotline answers is what one influxd answers that holds everything.

mod support;

use support::*;

/// What each series of `huge` has of its fields, one after the other.
const HUGE: [f64; 4] = [1.797e308, -1.797e308, 1.7e308, 1e307];

fn huge() -> String {
    let mut body = String::new();
    for (number, host) in HOSTS.iter().enumerate().filter(|(_, host)| !host.is_empty()) {
        for step in 0..4 {
            let (both, up) = (HUGE[(number + step) % HUGE.len()], HUGE[step % 2].abs() - 1e306 * step as f64);
            let sign = if number % 2 == 0 { "" } else { "-" };
            let (fields, time) = (format!("both={both:e},up={up:e},turns={sign}1.2e308"), T0 + 10 * step as i64);
            body.push_str(&format!("huge,host={host} {fields} {time}000000000\n"));
        }
    }
    body
}

fn loaded(split: &[&str], body: &str) -> Judged {
    let setup = split.iter().fold(Setup::new(3, 1), |setup, name| setup.rule("db", name, &["host"]));
    let cluster = setup.start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    [reference.http(), cluster.http()].iter().for_each(|http| http.store("db", body));
    Judged { cluster, reference }
}

/// Where floats run over on the way, what comes of them hangs on the order in which they are taken.
#[test]
fn floats_that_run_over_are_taken_in_order() {
    let mut queries = Vec::new();
    let windows = "WHERE time >= 1600000000s AND time < 1600000040s GROUP BY time(20s)";
    for field in ["both", "up", "turns"] {
        for call in ["sum", "mean", "stddev", "spread", "median"] {
            for rest in ["", "GROUP BY host", windows, "WHERE host =~ /h[0-2]/", "tz('Europe/Berlin')"] {
                queries.push(format!("SELECT {call}({field}) FROM huge {rest}"));
            }
            queries
                .push(format!("SELECT {call}({field}), count({field}) FROM huge {windows} fill(0) tz('Asia/Kolkata')"));
        }
    }
    let loaded = loaded(&["huge"], &huge());
    loaded.assert_same_with_rows(&queries, 20);
    // Where it is not JSON that is told, an infinite number is a number.
    loaded.assert_same_as(&queries, &[("epoch", "")], 20);
}

/// Of a part whose times have a zone too: whether that is known to slotline, or to the replicas alone.
#[test]
fn infinite_numbers_beside_times_of_a_zone_are_told_in_influxdbs_words() {
    let mut queries = Vec::new();
    for zone in ["Europe/Berlin", "America/New_York", "Local", "Nowhere/Else"] {
        for columns in ["sum(up)", "sum(turns)", "both * 10", "both"] {
            for rest in ["GROUP BY host", "WHERE host = 'h1'", "WHERE host = 'h1' GROUP BY host"] {
                // Of several replicas' words there is no telling which of them stands first.
                if zone == "Local" && rest == "GROUP BY host" && matches!(columns, "sum(turns)" | "both * 10") {
                    continue;
                }
                let text = format!("SELECT {columns} FROM huge {rest} tz('{zone}')");
                queries.extend([format!("SELECT both FROM huge WHERE host = 'h2'; {text}"), text]);
            }
        }
    }
    loaded(&["huge"], &huge()).assert_same_as(&queries, &[("epoch", "")], 10);
}

/// Clocks that are ahead show times that are behind the last one, and those that are behind times before the first.
#[test]
fn first_and_last_times_are_told_in_zones() {
    let (first, last) = (i64::MIN + 2, i64::MAX - 1);
    let mut body = String::new();
    for host in HOSTS.iter().filter(|host| !host.is_empty()) {
        for (value, time) in [first, first + 1, T0 * 1_000_000_000, last - 1, last].into_iter().enumerate() {
            body.push_str(&format!("ends,host={host} v={value} {time}\n"));
        }
    }
    let mut queries = Vec::new();
    for zone in ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"] {
        for rest in ["GROUP BY host", "WHERE host = 'h1'", "WHERE host = 'h1' ORDER BY time DESC LIMIT 2"] {
            queries.push(format!("SELECT v FROM ends {rest} tz('{zone}')"));
        }
    }
    loaded(&["ends"], &body).assert_same_as(&queries, &[("epoch", "")], 100);
}

/// Points at InfluxDB's first and last times, and beside them.
fn ends() -> String {
    let (first, last) = (i64::MIN + 2, i64::MAX - 1);
    let mut body = String::new();
    for (number, host) in (0i64..).zip(HOSTS.iter().filter(|host| !host.is_empty())) {
        let beside = 6 + number;
        for time in [first, first + 1, first + beside, T0 * 1_000_000_000, last - beside, last - 1, last] {
            body.push_str(&format!("ends,host={host} v={number}.5,n={number}i {time}\n"));
        }
    }
    body
}

/// The window of all times before the second one has no start: what is of it is shown at 0, and the last one has no time behind it.
#[test]
fn windows_of_the_first_and_last_times_are_influxdbs() {
    let mut queries = Vec::new();
    let bounds = [
        "time < -9223372036854775700",
        "time >= -9223372036854775806 AND time < -9223372036854775780",
        "time > -9223372036854775805 AND time < -9223372036854775790",
        "time > 9223372036854775780 AND time <= 9223372036854775806",
    ];
    for call in ["sum(v)", "count(n)", "first(v)", "max(n)", "mean(v)", "derivative(sum(v))", "median(v)", "spread(n)"]
    {
        for bounds in bounds {
            // Behind the last time influxd fills windows for ever, unless their length is just so.
            let filled = if bounds.contains("<= 9") { "time(7ns)" } else { "time(100ns)" };
            for rest in [filled, "time(7ns) fill(none)", "time(7ns) fill(none) ORDER BY time DESC"] {
                queries.push(format!("SELECT {call} FROM ends WHERE {bounds} GROUP BY {rest}"));
            }
        }
        // From window to window fill() runs over.
        queries.extend(["", " fill(none)"].map(|fill| format!("SELECT {call} FROM ends GROUP BY time(10000w){fill}")));
    }
    loaded(&["ends"], &ends()).assert_same_with_rows(&queries, 60);
}

/// Where an offset moves the first or the last time of all, windows run over, and so does what is filled.
#[test]
fn windows_of_an_offset_run_over_where_nothing_bounds_them() {
    let mut queries = Vec::new();
    for call in ["sum(v)", "max(n)", "count(v)", "median(v)", "derivative(mean(v))", "max(v), count(n)"] {
        for window in ["1000w, 3d", "1000w, -1h", "400w, 3s", "400w"] {
            for source in ["one", "(SELECT v, n FROM one)"] {
                for rest in ["", ", region fill(none)", " fill(0) LIMIT 3", " fill(linear) ORDER BY time DESC"] {
                    queries.push(format!("SELECT {call} FROM {source} GROUP BY time({window}){rest}"));
                }
            }
        }
        queries.push(format!("SELECT {call} FROM one GROUP BY time(1000w, 3d) tz('Europe/Berlin')"));
    }
    loaded(&["one"], &few_values(7, &[("one", &["eu", "us"])])).assert_same_with_rows(&queries, 60);
}

/// InfluxDB adds up from 0, so that a sum so far and a mean are never -0.
#[test]
fn sums_of_minus_nothing_are_nothing() {
    let body: String = HOSTS
        .iter()
        .filter(|host| !host.is_empty())
        .map(|host| {
            format!("nothing,host={host} v=-0.0 {T0}000000000\nnothing,host={host} v=-0.0 {}000000000\n", T0 + 10)
        })
        .collect();
    let mut queries = Vec::new();
    for call in ["mean(v)", "sum(v)", "cumulative_sum(v)", "moving_average(v, 2)", "spread(v)"] {
        queries.push(format!("SELECT {call} FROM nothing"));
        queries.push(format!("SELECT {call} FROM (SELECT v FROM nothing)"));
    }
    loaded(&["nothing"], &body).assert_same_with_rows(&queries, 100);
}

/// They begin before the first time, and end behind the last.
#[test]
fn rows_are_cut_in_the_first_and_last_storage_shards() {
    let cuts = ["OFFSET 2", "LIMIT 4 OFFSET 2", "ORDER BY time DESC OFFSET 3", "WHERE n > 2 OFFSET 1"];
    let mut queries: Vec<String> = cuts.iter().map(|cut| format!("SELECT v, n FROM ends {cut}")).collect();
    queries.extend(["top(v, 3)", "bottom(n, 2)"].map(|best| format!("SELECT {best} FROM ends LIMIT 9")));
    loaded(&["ends"], &ends()).assert_same_with_rows(&queries, 50);
}

/// Every two days of six weeks, at the same times in all series, of which each lacks some; under two policies whose storage
/// shards begin at other times.
fn weeks(seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut body = String::new();
    for host in HOSTS {
        let tag = if host.is_empty() { String::new() } else { format!(",host={host}") };
        let (first, last) = (random.i64(0..12), random.i64(14..25));
        for step in (first..last).filter(|step| (step / 4) % 3 != first % 3) {
            let (v, n, time) = (random.i64(0..9), random.i64(0..4), T0 + step * 172_800);
            for region in ["eu", "us"].iter().filter(|_| random.bool()) {
                body.push_str(&format!("weeks{tag},region={region} v={v}.5,n={n}i {time}000000000\n"));
            }
        }
    }
    body
}

/// InfluxDB merges series anew in each storage shard: which of several rows is first at one time hangs on those of this shard.
#[test]
fn rows_of_one_time_are_in_order_in_each_storage_shard() {
    let loaded = loaded(&["weeks"], &weeks(5));
    for http in [loaded.reference.http(), loaded.cluster.http()] {
        http.run("", "CREATE RETENTION POLICY other ON db DURATION INF REPLICATION 1 SHARD DURATION 3d");
        assert_eq!(http.write_with("db=db&rp=other", weeks(6)).status, 204);
    }
    let mut queries = Vec::new();
    let columns = [
        "v, n",
        "*",
        "v, host",
        "max(v), n, host",
        "min(n), host",
        "first(v), region, host",
        "last(n), host, v",
        "median(n)",
        "percentile(v, 60), host, region",
        "percentile(n, 50)",
        "mode(n)",
        "difference(v)",
        "elapsed(n)",
        "moving_average(n, 3)",
        "cumulative_sum(v)",
        "distinct(n)",
        "top(v, 5), host",
        "bottom(n, 4), region, host",
        "top(v, host, 3), region",
        "bottom(n, region, 2), host",
    ];
    for from in ["weeks", "other.weeks"] {
        for rest in ["", " GROUP BY region", " ORDER BY time DESC", " WHERE n > 0 GROUP BY region ORDER BY time DESC"] {
            queries.extend(columns.iter().map(|columns| format!("SELECT {columns} FROM {from}{rest}")));
        }
        for columns in ["v, host", "max(v), host, n", "top(n, 3), host", "derivative(v)"] {
            let windows = "WHERE time >= 1600000000s AND time < 1604200000s GROUP BY time(10d) fill(none)";
            queries.extend([format!("SELECT {columns} FROM {from} LIMIT 12")]);
            if columns != "v, host" {
                queries.push(format!("SELECT {columns} FROM {from} {windows}"));
            }
        }
        for (outer, inner) in [
            ("x, y, host", "v AS x, n AS y, host"),
            ("difference(x)", "v AS x"),
            ("x, y, z", "max(v) AS x, host AS y, region AS z"),
            ("x, y", "first(v) AS x, host AS y"),
            ("x, y", "last(n) AS x, region AS y"),
            ("distinct(x)", "n AS x"),
            ("x", "difference(v) AS x"),
            ("x, y", "top(v, 4) AS x, host AS y"),
        ] {
            for by in ["", " GROUP BY region", " GROUP BY region ORDER BY time DESC"] {
                queries.push(format!("SELECT {outer} FROM (SELECT {inner} FROM {from}{by})"));
            }
            queries.push(format!("SELECT {outer} FROM (SELECT {inner} FROM {from}) GROUP BY region"));
        }
    }
    loaded.assert_same(&queries);
}

/// Which of two policies' rows is first at one time hangs on names before theirs, in whatever group these lie.
#[test]
fn rows_of_one_time_under_two_policies_of_several_storage_shards() {
    let name = |group: usize| (0..99).map(|n| format!("w{n}")).find(|name| group_of(slot("db", name, &[]), 3) == group);
    let [before, behind] = [1, 2].map(|group| name(group).expect("each group has some"));
    let of = |name: &str, seed| weeks(seed).replace("weeks", name);
    let both = |seed| [of(&before, seed), of(&behind, seed + 1), of("weeks", seed + 2)].concat();
    let loaded = loaded(&["weeks"], &both(5));
    for http in [loaded.reference.http(), loaded.cluster.http()] {
        http.run("", "CREATE RETENTION POLICY other ON db DURATION INF REPLICATION 1 SHARD DURATION 3d");
        assert_eq!(http.write_with("db=db&rp=other", both(11)).status, 204);
    }
    let mut queries = Vec::new();
    for from in [
        "weeks, other.weeks".to_owned(),
        format!("{before}, {behind}, other.{before}"),
        format!("{behind}, {before}, other.{behind}, weeks"),
        format!("other.{before}, {before}, {behind}, other.weeks, weeks"),
    ] {
        for rest in ["", "ORDER BY time DESC", "GROUP BY region", "GROUP BY region ORDER BY time DESC", "LIMIT 9"] {
            queries.extend(["v", "v, n", "n, host", "*"].map(|columns| format!("SELECT {columns} FROM {from} {rest}")));
        }
    }
    loaded.assert_same(&queries);
}

/// Whole numbers whose sum runs over within a series, in some of several storage shards.
fn whole_numbers(measurements: &[&str], seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut body = String::new();
    for measurement in measurements {
        for host in HOSTS.iter().filter(|host| !host.is_empty()) {
            for region in ["eu", "us"] {
                for time in [0, 10, 1_800, 3_600, 3_610, 7_200, 90_000, 700_000, 700_010].map(|time| T0 + time) {
                    let n = if random.bool() {
                        i64::MAX / 3 - random.i64(0..1 << 40)
                    } else {
                        random.i64(1 << 60..1 << 61)
                    };
                    let key = format!("{measurement},host={host},region={region}");
                    body.push_str(&format!("{key} n={n}i,v={} {time}000000000\n", random.i32(0..9)));
                }
            }
        }
    }
    body
}

/// Whole numbers of a mean run over within what a series has in one storage shard.
#[test]
fn means_of_whole_numbers_run_over_in_each_storage_shard() {
    let apart =
        |group: usize| (0..99).map(|n| format!("w{n}")).find(|name| group_of(slot("db", name, &[]), 3) == group);
    let whole = [0, 1].map(|group| apart(group).expect("each group has some"));
    let measurements = ["one", "two", &whole[0], &whole[1]];
    let cluster = Setup::new(3, 1).rule("db", "one", &["host"]).rule("db", "two", &["host", "region"]).start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    for http in [reference.http(), cluster.http()] {
        http.run("", "CREATE RETENTION POLICY hours ON db DURATION INF REPLICATION 1 SHARD DURATION 1h");
        http.store("db", whole_numbers(&measurements, 1));
        let stored = http.write_with("db=db&rp=hours", whole_numbers(&measurements, 2));
        assert_eq!(stored.status, 204, "{stored:?}");
    }
    let judged = Judged { cluster, reference };
    let mut queries = Vec::new();
    let both = format!("{}, {}", whole[0], whole[1]);
    let inner = "SELECT mean(n) AS n, max(v) FROM hours.two GROUP BY host";
    for from in ["one", "two", "hours.one", "hours.two", "two, one", &both, &format!("hours.{}, one", whole[0])] {
        for columns in
            ["mean(n)", "mean(n), median(v)", "sum(n), mean(n), mode(v)", "stddev(n), mean(n) / 2", "mean(n), max(v)"]
        {
            for rest in ["", "GROUP BY host", "GROUP BY time(20m), region fill(none)", "GROUP BY time(9d) fill(none)"] {
                queries.push(format!(
                    "SELECT {columns} FROM {from} WHERE time >= 1600000000s AND time < 1600800000s {rest}"
                ));
            }
        }
        for rest in ["", "GROUP BY host", "GROUP BY region"] {
            queries
                .push(format!("SELECT mean(n) FROM (SELECT mean(n) AS n, count(n) FROM {from} GROUP BY host) {rest}"));
            queries.push(format!("SELECT n FROM (SELECT mean(n) AS n, mode(v) FROM {from} GROUP BY region) {rest}"));
            queries.push(format!("SELECT mean(n) FROM ({inner}), {from} {rest}"));
            queries.push(format!("SELECT mean(host), mean(n) FROM ({inner}), {from} {rest}"));
        }
    }
    queries.push("SELECT mean(n), max(v) FROM hours.one, one GROUP BY region".to_owned());
    queries.push("SELECT n, max FROM (SELECT mean(n) AS n, max(v) FROM hours.one, one GROUP BY region)".to_owned());
    // No window has a sum that does.
    let windows = "WHERE time >= 1600000000s AND time < 1600800000s GROUP BY time(10s) fill(none) \
                   tz('Europe/Berlin')";
    for from in ["hours.one, one", "one, one", "two, hours.two"] {
        for columns in ["mean(n)", "mean(n), count(distinct(v))", "elapsed(mean(n))"] {
            queries.push(format!("SELECT {columns} FROM {from} {windows}"));
        }
    }
    judged.assert_same(&queries);
    // Of which of the two a row is nobody knows.
    for from in ["hours.one, one", "one, one", "one, /^one$/"] {
        let refused = judged.cluster.http().query("db", &format!("SELECT mean(n), median(v) FROM {from}"));
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.text().contains("begins anew in each storage shard"), "{}", refused.text());
    }
}

/// Of integers integral() takes the range for a window: backwards its end is shown, and what stands at its start is told apart.
/// Without a start it begins at 0.
#[test]
fn integrals_of_integers_have_the_range_for_a_window() {
    let mut body = String::new();
    for (number, host) in (0i64..).zip(HOSTS.iter().filter(|host| !host.is_empty())) {
        for step in 0i64..6 {
            let (n, v) = ((step * 7 + number * 5) % 11, (step * 3 + number) % 7);
            let late = T0 + step * 17 + number * 3;
            body.push_str(&format!("wide,host={host} n={n}i,v={v} {late}000000000\n"));
            body.push_str(&format!("wide,host={host} old={n}i,v={v} {}000000000\n", (step - 5) * 7));
        }
    }
    let clauses = [
        "".to_owned(),
        "WHERE time <= 0".to_owned(),
        "WHERE time >= -35s AND time <= 0".to_owned(),
        format!("WHERE time >= {T0}s"),
        format!("WHERE time < {}s", T0 + 40),
        format!("WHERE time >= {T0}s AND time < {}s", T0 + 40),
    ];
    let mut queries = Vec::new();
    for columns in ["integral(n)", "integral(n, 1m), max(v)", "integral(*)", "integral(old)", "integral(old) / 60"] {
        for clause in &clauses {
            queries
                .extend(["", "ORDER BY time DESC"].map(|order| format!("SELECT {columns} FROM wide {clause} {order}")));
        }
    }
    for inner in ["integral(n) AS v", "old AS v", "n AS v"] {
        let inner = format!("(SELECT {inner} FROM wide)");
        queries.extend(["v", "sum(v)", "integral(v)"].map(|v| format!("SELECT {v} FROM {inner} ORDER BY time DESC")));
    }
    loaded(&["wide"], &body).assert_same_with_rows(&queries, 40);
}

/// A bound that runs over, beside others.
#[test]
fn bounds_that_run_over_are_refused_beside_others() {
    let cluster = Setup::new(3, 1).rule("db", "one", &["host"]).start();
    cluster.create_db("db");
    cluster.http().store("db", few_values(7, &[("one", &["eu"])]));
    for bound in ["time > 9223372036854775807", "time < -9223372036854775808"] {
        for text in [
            format!("SELECT count(v) FROM one WHERE {bound}"),
            format!("SELECT count(v) FROM one WHERE {bound} AND host != 'x'"),
            format!("SELECT v FROM one WHERE time > 5 AND {bound} AND n > 1"),
        ] {
            let seen = cluster.http().query("db", &text);
            assert!(
                seen.text().contains("a time before InfluxDB's first or behind its last"),
                "{text}: {}",
                seen.text()
            );
        }
    }
}
