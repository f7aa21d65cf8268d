//! SLIMIT and SOFFSET of measurements that rules split, OFFSET without LIMIT, and top() and bottom() with either: what influxd
//! counts in each of its storage shards, asked of a real one that holds everything and of slotline over three groups. Hosts come and go from week to week, some series have other fields
//! than the one that is asked for, and two policies cut time into storage shards of other lengths.

mod support;

use support::*;

const DAY: i64 = 86_400;
const WEEKS: i64 = 5;
/// Within the first storage shard of a week; and of a day.
const FIRST: &str = "WHERE time >= 1600000000s AND time < 1600000300s";

/// A point of each series for every week that has it, or for every day. `hosts` are those besides: of series whose tags are one
/// in InfluxDB's eyes (`a|b` and `c`, `a` and `b|c`), calls that are grouped by these make one.
fn points(measurements: &[&str], hosts: &[&str], step: i64, seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut body = String::new();
    for measurement in measurements {
        for host in ["", "a", "b", "h0", "h1", "h2", "r", "region", "z e"].iter().chain(hosts) {
            for region in ["", "b|c", "c", "eu"] {
                if random.u32(..100) < 30 {
                    continue;
                }
                let mut key = (*measurement).to_owned();
                for (name, value) in [("host", *host), ("region", region)] {
                    if !value.is_empty() {
                        key.push_str(&format!(",{name}={}", value.replace(' ', "\\ ")));
                    }
                }
                for number in 0..WEEKS {
                    // Neither all series nor all fields are in each.
                    if random.u32(..100) < 35 {
                        continue;
                    }
                    for _ in 0..2 {
                        let time = T0 + number * step + random.i64(0..100);
                        let v = f64::from(random.i32(-20..40)) / 4.0;
                        let fields = match random.usize(..4) {
                            0 => format!("n={}i", random.i32(0..9)),
                            1 => format!("v={v},s=\"x\",kind=\"k\""),
                            _ => format!("v={v},n={}i", random.i32(0..9)),
                        };
                        body.push_str(&format!("{key} {fields} {time}{:09}\n", random.u32(..1_000_000_000)));
                    }
                }
            }
        }
    }
    body
}

fn setup() -> Setup {
    Setup::new(3, 1).rule("db", "one", &["host"]).rule("db", "two", &["host", "region"]).rule("db", "more", &["region"])
}

fn load(cluster: &Cluster, others: &[&Influxd]) {
    cluster.create_db("db");
    let all = others.iter().map(|influxd| influxd.http()).chain([cluster.http()]);
    for http in all {
        http.run("", "CREATE RETENTION POLICY days ON db DURATION INF REPLICATION 1 SHARD DURATION 1d");
        http.store("db", points(&["one", "two", "more", "whole", "w2", "w3"], &[], 7 * DAY, 5));
        let stored = http.write_with("db=db&rp=days", points(&["one", "two"], &["a|b"], DAY, 6));
        assert_eq!(stored.status, 204, "{stored:?}");
    }
}

fn loaded() -> Judged {
    let cluster = setup().start();
    let reference = cluster.reference("db");
    load(&cluster, &[&reference]);
    Judged { cluster, reference }
}

const LIMITS: [&str; 7] = [
    "SLIMIT 1",
    "SLIMIT 2",
    "SLIMIT 3 SOFFSET 1",
    "SLIMIT 5 SOFFSET 2",
    "SLIMIT 99",
    "SOFFSET 1",
    "SLIMIT 2 SOFFSET 99",
];

fn product(columns: &[&str], froms: &[&str], clauses: &[&str], limits: &[&str]) -> Vec<String> {
    let mut queries = Vec::new();
    for columns in columns {
        for from in froms {
            for clause in clauses {
                queries.extend(limits.iter().map(|limit| format!("SELECT {columns} FROM {from} {clause} {limit}")));
            }
        }
    }
    queries
}

#[test]
fn rows_of_the_sets_that_are_let_through() {
    let groupings = [
        "",
        "GROUP BY host",
        "GROUP BY region",
        "GROUP BY region, host",
        "GROUP BY *",
        "GROUP BY /^h/",
        "GROUP BY host, missing",
        "GROUP BY host ORDER BY time DESC",
        "GROUP BY region LIMIT 2 OFFSET 1",
    ];
    let loaded = loaded();
    loaded.assert_same_with_rows(&product(&["v", "*"], &["one", "two", "days.one"], &groupings, &LIMITS), 50);
    // In one storage shard.
    let first = groupings.map(|grouping| format!("{FIRST} {grouping}"));
    let first: Vec<&str> = first.iter().map(String::as_str).collect();
    loaded.assert_same_with_rows(&product(&["v, host", "n"], &["one", "two", "days.two"], &first, &LIMITS), 40);
}

#[test]
fn several_measurements_are_counted_each_by_itself() {
    let froms = [
        "one, two",
        "whole, one",
        "/^(one|w)/",
        "w2, more, w3",
        "more, nowhere",
        "one, days.one",
        "days.two, autogen.two, whole",
        "w2, whole, w3",
    ];
    let groupings = ["GROUP BY host", "GROUP BY region, host", "GROUP BY *"];
    let last = "WHERE time >= 1601900000s";
    let last = groupings.map(|grouping| format!("{last} {grouping}"));
    let clauses = groupings.into_iter().chain(last.iter().map(String::as_str)).collect::<Vec<_>>();
    let loaded = loaded();
    loaded.assert_same_with_rows(&product(&["v", "count(n)"], &froms, &clauses, &LIMITS), 50);
}

#[test]
fn conditions_choose_series_by_tags_alone() {
    let conditions = [
        "host != 'a'",
        "host =~ /^[ah]/",
        "host !~ /h/ AND region != ''",
        "region = ''",
        "v > 1",
        "v > 1 AND host != ''",
        "v > 1 OR host = 'h1'",
        "(host = 'h0' OR host = 'z e') AND n > 2",
        "(host = 'h0' AND n > 2) OR (host = 'r' AND v < 3)",
        "'h1' = host OR region = 'eu'",
        "host = 5 OR host = 'h1'",
        "host = region OR region = 'c'",
        "host > 'a' OR host = 'b'",
        "host + 'x' = 'h1x' OR host = 'h2'",
        "(host) = 'h1' OR host = 'h2'",
        "s = 'x' OR kind = 'k'",
        "host = v OR host = 'z e'",
        "1 = 2 OR host = 'h0'",
        "true AND host = 'h0'",
        "host::tag = 'h0' OR region::tag = 'eu'",
        "time > 1600500000s AND host != 'a'",
        "time > 1600500000s OR host != 'a'",
    ];
    let clauses: Vec<String> = conditions
        .iter()
        .flat_map(|condition| ["host", "region, host"].map(|tags| format!("WHERE {condition} GROUP BY {tags}")))
        .collect();
    let clauses: Vec<&str> = clauses.iter().map(String::as_str).collect();
    let loaded = loaded();
    loaded.assert_same_with_rows(&product(&["v", "sum(n)"], &["one", "two"], &clauses, &LIMITS[..4]), 60);
}

/// What is neither field nor tag where it is read is a field if another storage shard or policy has one of that name, of
/// whatever series, else a tag.
#[test]
fn conditions_of_names_that_are_not_read() {
    let loaded = loaded();
    // `late` is a field of the first week, `other` of another policy, each of one series and so of one group.
    for http in [loaded.cluster.http(), loaded.reference.http()] {
        http.store(
            "db",
            format!("one,host=h1 late=\"x\",soon=1i {T0}000000000\ntwo,host=h0 late=\"x\" {T0}000000001\n"),
        );
        let stored = http.write_with("db=db&rp=days", format!("one,host=a other=2.5,both=\"b\" {T0}000000000\n"));
        assert_eq!(stored.status, 204, "{stored:?}");
    }
    let conditions = [
        "nix = ''",
        "nix = 'x'",
        "nix != 'x' AND host != 'a'",
        "nix !~ /x/ OR host = 'a'",
        "nix =~ /x/ OR host = 'h1'",
        "nix = 5 OR host = 'r'",
        "nix = host",
        "nix > 'a' OR region = 'eu'",
        "late = 'x' OR v > 1",
        "late != 'x'",
        "(late = '' OR nix = '') AND host != ''",
        "late = '' OR host = 'h0'",
        "other = 'x' OR n > 1",
        "other != 'x' OR host =~ /h/",
        "both !~ /b/",
        "soon > 0 OR host = 'b'",
    ];
    let later = "time > 1600700000s";
    let clauses: Vec<String> = conditions
        .iter()
        .flat_map(|condition| {
            ["host", "region, host"].map(|tags| format!("WHERE ({condition}) AND {later} GROUP BY {tags}"))
        })
        .collect();
    let clauses: Vec<&str> = clauses.iter().map(String::as_str).collect();
    loaded.assert_same_with_rows(&product(&["v", "sum(n)"], &["one", "two"], &clauses, &LIMITS[..3]), 40);
    let inner = "FROM (SELECT v FROM one WHERE nix != 'x' AND time > 1600700000s) GROUP BY host SLIMIT 2";
    loaded.assert_same(&[format!("SELECT v {inner}"), format!("SELECT max(v) {inner}")]);
    let nowhere = "SELECT v FROM nowhere WHERE nix = 'a' SLIMIT 1";
    let beside = "SELECT v FROM one, nowhere, two WHERE nix != 'a' GROUP BY host SLIMIT 2";
    loaded.assert_same_with_rows(&[nowhere.to_owned(), beside.to_owned()], 50);
    let beside = |condition: &str| {
        format!("SELECT v FROM (SELECT v FROM two), one WHERE {condition} AND {later} GROUP BY host SLIMIT 2")
    };
    loaded.assert_same_with_rows(&[beside("nix != 'x'"), beside("nix = ''"), beside("nix =~ /x/")], 30);
    let field = loaded.cluster.http().query("db", &beside("late != 'x'"));
    assert!(
        field.status == 400 && field.text().contains("a field of measurements beside subqueries"),
        "{}",
        field.text()
    );
    let q = format!("SELECT v FROM one, more WHERE late = 'x' AND {later} GROUP BY host SLIMIT 1");
    let apart = loaded.cluster.http().query("db", &q);
    assert!(apart.status == 400 && apart.text().contains("of some of the measurements alone"), "{}", apart.text());
}

#[test]
fn calls_see_what_is_let_through() {
    let columns = [
        "count(v)",
        "mean(v), max(n)",
        "first(v), n",
        "last(n)",
        "max(v), host",
        "spread(n)",
        "stddev(v)",
        "median(v)",
        "percentile(v, 60)",
        "count(distinct(n))",
        "distinct(n)",
        "top(v, 3)",
        "bottom(v, host, 2)",
        "difference(v)",
        "cumulative_sum(n)",
        "moving_average(v, 2)",
        "mean(*)",
        "max(v) - min(v)",
    ];
    let groupings = ["", "GROUP BY host", "GROUP BY region", "GROUP BY region ORDER BY time DESC"];
    let loaded = loaded();
    loaded.assert_same_with_rows(
        &product(&columns, &["one", "two"], &groupings, &["SLIMIT 2", "SLIMIT 3 SOFFSET 1"]),
        60,
    );
    let windows = [
        "WHERE time >= 1600000000s AND time < 1602800000s GROUP BY time(3d), host fill(none)",
        "WHERE time >= 1600000000s AND time < 1602800000s GROUP BY time(10d), region",
        "WHERE time >= 1600700000s AND time < 1602000000s GROUP BY time(5d), region fill(previous) ORDER BY time DESC",
        "WHERE time >= 1600000000s AND time < 1600000300s GROUP BY time(1m), host fill(0)",
        "WHERE time >= 1600000000s AND time < 1600000300s GROUP BY time(1m), region LIMIT 2",
    ];
    let columns =
        ["count(v)", "mean(v), max(n)", "last(v)", "derivative(mean(v), 1d)", "cumulative_sum(count(n))", "spread(v)"];
    let limits = ["SLIMIT 1", "SLIMIT 2 SOFFSET 1", "SOFFSET 1"];
    loaded.assert_same_with_rows(&product(&columns, &["one", "two", "more"], &windows, &limits), 40);
    let zones = ["GROUP BY region SLIMIT 2 tz('Europe/Berlin')", "GROUP BY host SLIMIT 3 tz('Asia/Kolkata')"];
    loaded.assert_same_with_rows(&product(&["v", "mean(v)"], &["one"], &zones, &[""]), 90);
}

/// Rows too: LIMIT and OFFSET and one more of each storage shard are all that OFFSET without LIMIT, top() and bottom() see.
#[test]
fn rows_are_cut_in_each_storage_shard() {
    let clauses = [
        "OFFSET 1",
        "OFFSET 9",
        "OFFSET 500",
        "GROUP BY host OFFSET 2",
        "GROUP BY region ORDER BY time DESC OFFSET 3",
        "WHERE n > 1 OFFSET 4",
        "WHERE time > 1600600000s GROUP BY host OFFSET 1",
        "GROUP BY region OFFSET 1 SLIMIT 2",
    ];
    let loaded = loaded();
    let froms = ["one", "two", "days.one", "one, more"];
    loaded.assert_same_with_rows(&product(&["v", "v, host, n", "*"], &froms, &clauses, &[""]), 80);
    let best = ["top(v, 3)", "bottom(v, 2), host", "top(n, 4), v", "top(v, 2) AS a", "bottom(v, host, 2)"];
    let limits = ["LIMIT 4", "LIMIT 5 OFFSET 1", "OFFSET 1", "GROUP BY region LIMIT 6", "ORDER BY time DESC LIMIT 4"];
    // Which of several equal ones it is does not show.
    let queries = product(&best, &froms, &limits, &["", "SLIMIT 2"]);
    loaded.assert_same_with_rows(&queries, 70);
    let windows = "WHERE time >= 1600000000s AND time < 1602800000s GROUP BY time(10d), host LIMIT 4";
    loaded.assert_same_with_rows(&product(&best, &froms[..3], &[windows], &[""]), 90);
}

#[test]
fn subqueries_take_over_the_limits_around_them() {
    let inner = [
        "SELECT v FROM one GROUP BY host SLIMIT 2",
        "SELECT v FROM one SLIMIT 1",
        "SELECT v FROM two",
        "SELECT v FROM one WHERE host != 'a' AND n > 1 GROUP BY host SLIMIT 1 SOFFSET 1",
        "SELECT mean(v) AS v FROM two GROUP BY region SLIMIT 2",
        "SELECT max(v) AS v FROM one GROUP BY *",
        "SELECT sum(v) AS v FROM more WHERE time >= 1600600000s GROUP BY host SOFFSET 1",
        "SELECT v FROM (SELECT v FROM one SLIMIT 1) SLIMIT 1",
        "SELECT v FROM days.one SLIMIT 2",
    ];
    let mut froms: Vec<String> = inner.iter().map(|inner| format!("({inner})")).collect();
    froms.push("(SELECT v FROM one SLIMIT 1), whole".to_owned());
    froms.push("(SELECT v FROM one SLIMIT 1), (SELECT v FROM whole)".to_owned());
    froms.push("two, (SELECT v FROM whole SLIMIT 2)".to_owned());
    let froms: Vec<&str> = froms.iter().map(String::as_str).collect();
    let clauses = [
        "",
        "GROUP BY host",
        "GROUP BY host SLIMIT 1",
        "GROUP BY region, host SLIMIT 2 SOFFSET 1",
        "GROUP BY host SOFFSET 1",
        "WHERE v > 1 GROUP BY region SLIMIT 1",
    ];
    let loaded = loaded();
    loaded.assert_same_with_rows(&product(&["sum(v)", "max(v)"], &froms, &clauses, &[""]), 50);
    let one_input = &froms[..inner.len()];
    loaded.assert_same_with_rows(
        &product(&["v"], one_input, &["GROUP BY host SLIMIT 2", "GROUP BY * SLIMIT 3 SOFFSET 1"], &[""]),
        60,
    );
}

/// InfluxDB joins tags by `|` and cuts `a|b`, `c` and `a`, `b|c` together; the groups that have one each do not.
#[test]
fn tag_sets_that_are_one_to_influxdb_are_told_whole_or_refused() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut body = String::new();
    let regions = ["b|c", "c", "eu"];
    let lies = |region: &str| group_of(slot("db", "joined", &[region]), 3);
    assert_ne!(lies("b|c"), lies("c"), "the sets lie in different groups");
    for (measurement, host) in ["joined", "apart"].iter().flat_map(|name| ["a|b", "a", "h1"].map(|host| (name, host))) {
        for (region, step) in regions.iter().flat_map(|region| (0..9).map(move |step| (region, step))) {
            let (v, n, time) = (random.i32(-9..9), random.i32(0..9), T0 + step * 10 + random.i64(0..3));
            body.push_str(&format!("{measurement},host={host},region={region} v={v},n={n}i {time}000000000\n"));
        }
    }
    let cluster = setup().rule("db", "joined", &["region"]).rule("db", "apart", &["other"]).start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    for http in [reference.http(), cluster.http()] {
        http.store("db", &body);
    }
    let judged = Judged { cluster, reference };
    let cut = [
        "SELECT v FROM joined GROUP BY host, region LIMIT 2",
        "SELECT * FROM joined GROUP BY * ORDER BY time DESC LIMIT 2 OFFSET 1",
        "SELECT last(n) FROM joined GROUP BY host, region",
        "SELECT first(v), n FROM joined GROUP BY *",
        "SELECT last(n), max(v) FROM joined, apart GROUP BY region, host",
        "SELECT top(v, 2) FROM joined GROUP BY host, region LIMIT 2",
    ];
    for q in cut {
        let answer = judged.cluster.http().query("db", q);
        let is_told = answer.status == 400 && answer.text().contains("are one to InfluxDB");
        assert!(is_told, "`{q}`: {}", answer.text());
    }
    let whole = [
        "SELECT v FROM joined GROUP BY host, region",
        "SELECT v FROM joined WHERE host != 'a' GROUP BY host, region LIMIT 2",
        "SELECT v FROM joined GROUP BY region LIMIT 2",
        "SELECT last(n) FROM joined WHERE time >= 1600000000s AND time < 1600000090s GROUP BY time(20s), host, region",
        "SELECT max(v) FROM joined GROUP BY *",
        "SELECT last(n) FROM apart GROUP BY host, region",
        "SELECT v FROM apart GROUP BY host, region LIMIT 2",
    ];
    judged.assert_same_with_rows(&whole.map(str::to_owned), 100);
}

#[test]
fn results_are_written_and_told_in_every_format() {
    let loaded = loaded();
    for q in [
        "SELECT v INTO c1 FROM one GROUP BY * SLIMIT 3",
        "SELECT mean(v) INTO c2 FROM two GROUP BY region SLIMIT 2 SOFFSET 1",
    ] {
        let ask = |http: Http| http.query("db", q);
        let (seen, expected) = (ask(loaded.cluster.http()), ask(loaded.reference.http()));
        assert_eq!((seen.status, seen.text()), (expected.status, expected.text()), "`{q}`");
    }
    loaded
        .assert_same_with_rows(&["SELECT * FROM c1 GROUP BY *", "SELECT * FROM c2 GROUP BY *"].map(str::to_owned), 100);
    for q in ["SELECT v FROM one GROUP BY host SLIMIT 2", "SELECT n FROM one GROUP BY region SLIMIT 2 SOFFSET 1"] {
        for parameters in [[("chunked", "true"), ("chunk_size", "3")], [("pretty", "true"), ("epoch", "ms")]] {
            let ask = |http: Http| {
                let form = client::form(&[&parameters[..], &[("db", "db"), ("q", q)]].concat());
                http.send(&Request::new("GET", &format!("/query?{form}")))
            };
            let (seen, expected) = (ask(loaded.cluster.http()), ask(loaded.reference.http()));
            assert_eq!((seen.status, seen.text()), (expected.status, expected.text()), "`{q}` {parameters:?}");
        }
    }
}

/// Of storage shards that end before 1970 InfluxDB gives what is listed a time behind them.
#[test]
fn storage_shards_before_1970() {
    let cluster = setup().start();
    let judged = Judged { reference: cluster.reference("db"), cluster };
    judged.cluster.create_db("db");
    let mut body = String::new();
    for week in -4..2_i64 {
        for host in (0..8).filter(|host| (host + week) % 3 != 0) {
            let (v, time) = (host * 10 + week, week * 7 * DAY + host);
            body.push_str(&format!("one,host=h{host},region=r{} v={v},n={week}i {time}000000000\n", host % 3));
        }
    }
    [judged.cluster.http(), judged.reference.http()].iter().for_each(|http| http.store("db", &body));
    let clauses = [
        "GROUP BY host",
        "WHERE time < 0 GROUP BY host",
        "WHERE time < -20d GROUP BY region ORDER BY time DESC",
        "WHERE time >= -3w AND time < -3d AND host != 'h1' GROUP BY host, region",
        "WHERE time >= -3w AND time < 1w GROUP BY time(1w), region fill(none)",
    ];
    judged.assert_same(&product(&["max(v)", "count(n)"], &["one"], &clauses, &LIMITS[..4]));
    judged.assert_same(&product(&["v, n"], &["one"], &clauses[..4], &LIMITS[..4]));
}

/// What is listed counts towards the limits, and EXPLAIN tells it beside the parts that come of it.
#[test]
fn limits_hold_and_plans_are_told() {
    let cluster = setup().set("query", "series_max = 40").start();
    load(&cluster, &[]);
    let ask = |q: &str| cluster.http().query("db", q);
    let q = "SELECT v FROM one GROUP BY host, region SLIMIT 30";
    assert!(
        ask(q).text().contains("max-select-series limit exceeded: (41/40) (query.series_max)"),
        "{}",
        ask(q).text()
    );
    let q = "SELECT v FROM one WHERE v > -99 GROUP BY host SLIMIT 2";
    assert!(ask(q).status == 200 && ask(q).text().contains("values"), "{}", ask(q).text());
    let plan = ask(&format!("EXPLAIN {q}")).text();
    for part in [
        "GROUP 3: SELECT _seriesKey FROM one GROUP BY host LIMIT 1 SLIMIT 2",
        "FROM one WHERE v::float \\u003e -99 AND (host::tag = '' OR host::tag = 'a' OR host::tag = 'b')",
    ] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
}

/// Where groups cut time otherwise than one InfluxDB would, nobody knows what that one counts.
#[test]
fn storage_shards_that_overlap_are_refused() {
    let cluster = setup().start();
    cluster.create_db("db");
    let hosts: Vec<String> = (0..20).map(|number| format!("h{number}")).collect();
    let store = |hosts: &[String], time: i64| {
        let lines: String = hosts.iter().map(|host| format!("one,host={host} v=1 {time}000000000\n")).collect();
        cluster.http().store("db", lines);
    };
    let of_group = |group: usize| -> Vec<String> {
        let lies = |host: &&String| group_of(slot("db", "one", &[host]), 3) == group;
        hosts.iter().filter(lies).cloned().collect()
    };
    store(&of_group(0), T0);
    cluster.http().run("db", "ALTER RETENTION POLICY autogen ON db SHARD DURATION 1d");
    store(&hosts, T0 + 1);
    for (q, words) in [
        ("SELECT v FROM one GROUP BY host SLIMIT 2", "do not begin and end at the same times"),
        (
            "SELECT v FROM one OFFSET 1",
            "OFFSET without LIMIT of more rows than these, which InfluxDB cuts in each storage shard",
        ),
    ] {
        let seen = cluster.http().query("db", q);
        assert!(seen.status == 400 && seen.text().contains(words), "`{q}`: {}", seen.text());
    }
    let few = cluster.http().query("db", "SELECT v FROM one OFFSET 99");
    assert_eq!((few.status, few.text().contains("error")), (200, false), "{}", few.text());
}
