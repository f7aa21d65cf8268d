//! SELECTs over split measurements in corners of InfluxDB: a tag that GROUP BY has twice, and what is no number or no point.
//! Whatever slotline answers is what one influxd answers that holds everything.

mod support;

use support::*;

/// A day apart each, thus of several storage shards, in an order of hosts that changes.
fn long() -> String {
    let mut body = String::new();
    for (number, host) in (0i64..).zip(HOSTS.iter().filter(|host| !host.is_empty())) {
        for day in (0i64..28).filter(|day| (day * 5 + number) % 7 > 1) {
            let (time, v) = (T0 + day * 86_400, (day * 7 + number * 3) % 20);
            body.push_str(&format!("long,host={host} v={v}.25,n={}i {time}000000000\n", v % 6));
        }
    }
    body
}

/// `bare` has no `n`, `old` has none but months before.
fn without_n() -> String {
    let mut body = String::new();
    for (number, host) in (0i64..).zip(HOSTS.iter().filter(|host| !host.is_empty())) {
        for step in 0i64..6 {
            let (time, v) = (T0 + step * 17 + number * 3, (step * 7 + number * 5) % 11);
            body.push_str(&format!("bare,host={host} v={v} {time}000000000\nold,host={host} v={v} {time}000000000\n"));
        }
        body.push_str(&format!("old,host={host} n={number}i {}000000000\n", T0 - 9_000_000));
    }
    body
}

struct Loaded {
    judged: Judged,
    /// Two measurements that are whole, in different groups.
    whole: [String; 2],
}

fn loaded() -> Loaded {
    let setup = Setup::new(3, 1).rule("db", "one", &["host"]).rule("db", "two", &["host", "region"]);
    let setup = setup.rule("db", "long", &["host"]).rule("db", "bare", &["host"]);
    let cluster = setup.rule("db", "far", &["region"]).start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    let apart =
        |group: usize| (0..99).map(|n| format!("w{n}")).find(|name| group_of(slot("db", name, &[]), 3) == group);
    let whole = [0, 1].map(|group| apart(group).expect("each group has some"));
    let regions: &[&str] = &["eu", "us", ""];
    let named: [(&str, &[&str]); 5] =
        [("one", &["", "eu"]), ("two", regions), (&whole[0], &["eu"]), (&whole[1], &["", "us"]), ("far", regions)];
    for body in [few_values(7, &named), long(), without_n()] {
        reference.http().store("db", &body);
        cluster.http().store("db", &body);
    }
    Loaded { judged: Judged { cluster, reference }, whole }
}

const BOUNDS: &str = "time >= 1600000005s AND time < 1600000131s";

impl Loaded {
    fn written(&self, queries: &[&str]) -> Vec<String> {
        let [first, second] = &self.whole;
        let written = |q: &&str| q.replace("BOUNDS", BOUNDS).replace("WHOLE", first).replace("OTHER", second);
        queries.iter().map(written).collect()
    }

    /// Each is refused with these words.
    fn assert_refused(&self, queries: &[&str], words: &str) {
        for q in self.written(queries) {
            let answer = self.judged.cluster.http().query("db", &q);
            assert!(answer.status == 400 && answer.text().contains(words), "{q}: {}", answer.text());
        }
    }
}

/// Then InfluxDB cuts rows in each series before it cuts them together, and counts OFFSET twice.
#[test]
fn a_tag_that_group_by_has_twice() {
    let loaded = loaded();
    let queries = loaded.written(&[
        "SELECT pow(v, 2) FROM SPLIT GROUP BY region, region LIMIT 2 OFFSET 1",
        "SELECT abs(first(v)) FROM SPLIT GROUP BY region, region",
        "SELECT v FROM SPLIT GROUP BY region, region",
        "SELECT v FROM SPLIT GROUP BY region, region LIMIT 2",
        "SELECT v, host FROM SPLIT GROUP BY region, region LIMIT 2 OFFSET 1",
        "SELECT * FROM SPLIT WHERE n > 1 GROUP BY region, host, region LIMIT 2 OFFSET 1",
        "SELECT v FROM SPLIT, WHOLE GROUP BY region, /reg/ LIMIT 3 OFFSET 1",
        "SELECT v FROM SPLIT GROUP BY *, region LIMIT 3 OFFSET 1",
        "SELECT v FROM SPLIT GROUP BY region, region, region ORDER BY time DESC LIMIT 5 OFFSET 2",
        "SELECT v FROM SPLIT GROUP BY region, region ORDER BY time DESC OFFSET 2",
        "SELECT n FROM long GROUP BY region, region LIMIT 20 OFFSET 3",
        "SELECT v FROM SPLIT WHERE host = 'h1' OR host = 'h2' GROUP BY region, region LIMIT 2 OFFSET 1",
        "SELECT v FROM SPLIT, WHOLE, OTHER GROUP BY host, host LIMIT 2 OFFSET 1",
        "SELECT v FROM SPLIT GROUP BY region, region LIMIT 2 OFFSET 1 SLIMIT 1 SOFFSET 1",
        "SELECT first(v) FROM SPLIT GROUP BY region, region SLIMIT 1 SOFFSET 1",
        "SELECT mean(v), max(n) FROM SPLIT WHERE BOUNDS GROUP BY time(7s), region, region fill(linear) LIMIT 4 OFFSET 1",
        "SELECT percentile(n, 90), last(v) FROM SPLIT GROUP BY region, region",
        "SELECT first(n), host FROM SPLIT GROUP BY region, region",
        "SELECT last(n), host FROM long GROUP BY region, region",
        "SELECT top(v, 20) FROM SPLIT GROUP BY region, region LIMIT 3 OFFSET 1",
        "SELECT bottom(n, 20), v FROM long GROUP BY region, region LIMIT 3 OFFSET 1",
        "SELECT top(v, host, 3) FROM SPLIT GROUP BY region, region LIMIT 2 OFFSET 1",
        "SELECT difference(v) FROM SPLIT GROUP BY region, region LIMIT 3 OFFSET 1",
        "SELECT distinct(n) FROM SPLIT GROUP BY region, region LIMIT 3 OFFSET 1",
        // Around a subquery, and within one.
        "SELECT v FROM (SELECT v FROM SPLIT) GROUP BY region, region LIMIT 2 OFFSET 1",
        "SELECT v, host FROM (SELECT v, host FROM SPLIT LIMIT 6 OFFSET 1) GROUP BY region, region",
        "SELECT v, host FROM (SELECT v, host FROM long GROUP BY host LIMIT 3) GROUP BY host, host",
        "SELECT v, host FROM (SELECT v, host FROM SPLIT GROUP BY region, region LIMIT 2) GROUP BY host",
        "SELECT v FROM SPLIT, (SELECT v FROM OTHER) GROUP BY region, region LIMIT 2 OFFSET 1",
        "SELECT first FROM (SELECT first(v) FROM SPLIT) GROUP BY region, region",
        "SELECT max(a) FROM (SELECT v AS a FROM SPLIT GROUP BY host) GROUP BY region, region, region",
        "SELECT a FROM (SELECT mean(v) AS a FROM WHOLE, OTHER GROUP BY region) GROUP BY region, region",
    ]);
    let over_split = ["one", "two"].map(|name| queries.iter().map(|q| q.replace("SPLIT", name)).collect::<Vec<_>>());
    loaded.judged.assert_same(&over_split.concat());
    assert_series_come_several_times(&loaded);
}

/// Where as many tags as GROUP BY names, and others, are those of a subquery, or of what top() takes the best of.
fn assert_series_come_several_times(loaded: &Loaded) {
    let around = |inner: &str| {
        let of = |call: &str| format!("SELECT {call} FROM ({inner}) GROUP BY region, region");
        ["a", "max(a)", "derivative(a)", "count(a), last(a)"].map(of)
    };
    let mut queries: Vec<String> = [
        "SELECT mean(v) AS a FROM SPLIT GROUP BY region, host",
        "SELECT mean(v) AS a FROM WHOLE GROUP BY region, host",
        "SELECT sum(n) AS a FROM SPLIT, WHOLE, OTHER WHERE BOUNDS GROUP BY time(20s), host fill(0)",
        "SELECT v AS a FROM SPLIT GROUP BY host LIMIT 2 OFFSET 1",
        "SELECT mean(v) AS a FROM WHOLE, OTHER GROUP BY host",
        "SELECT first(v) AS a FROM SPLIT GROUP BY host",
        "SELECT last(v) AS a FROM SPLIT, long GROUP BY host",
        "SELECT top(v, host, 2) AS a FROM SPLIT",
        "SELECT bottom(v, 3) AS a FROM SPLIT GROUP BY host LIMIT 2",
        "SELECT a FROM (SELECT percentile(v, 60) AS a FROM SPLIT) GROUP BY host",
    ]
    .iter()
    .flat_map(|inner| around(inner))
    .collect();
    queries.extend(
        [
            "SELECT v FROM WHOLE, (SELECT v FROM OTHER GROUP BY host) GROUP BY region, region",
            "SELECT sum(v) FROM SPLIT, (SELECT v FROM long GROUP BY host) GROUP BY region, region",
            "SELECT a FROM (SELECT first(v) AS a FROM SPLIT GROUP BY host) GROUP BY region, region ORDER BY time DESC",
            "SELECT a FROM (SELECT v AS a FROM SPLIT GROUP BY host) GROUP BY region, region LIMIT 1 SLIMIT 1 SOFFSET 1",
            "SELECT max(a) FROM (SELECT v AS a FROM SPLIT GROUP BY host) WHERE BOUNDS GROUP BY time(20s), region, region",
            "SELECT top(v, host, 2) FROM SPLIT GROUP BY region, region",
            "SELECT bottom(v, host, 2), n FROM WHOLE, OTHER GROUP BY region, region",
            "SELECT top(a, host, 2) FROM (SELECT min(v) AS a FROM SPLIT) GROUP BY region, region",
        ]
        .map(str::to_owned),
    );
    let written: Vec<&str> = queries.iter().map(String::as_str).collect();
    let queries = loaded.written(&written);
    let over_split = ["one", "two"].map(|name| queries.iter().map(|q| q.replace("SPLIT", name)).collect::<Vec<_>>());
    loaded.judged.assert_same(&over_split.concat());
    // Each series of the answer lies in one group, yet they take turns.
    loaded.judged.assert_same(&loaded.written(&[
        "SELECT top(v, host, 2) FROM far GROUP BY region, region",
        "SELECT bottom(v, host, 2), n FROM far, WHOLE GROUP BY region, region ORDER BY time DESC LIMIT 1",
        "SELECT top(v, host, region, 2) FROM far WHERE BOUNDS GROUP BY time(20s), region, /reg/, region",
        "SELECT top(v, host, 2) FROM far GROUP BY region, region SLIMIT 2",
        "SELECT top(v, host, 2) FROM far WHERE region = 'eu' OR region = 'us' GROUP BY region, region",
        "SELECT max(v), host FROM far GROUP BY region, region",
    ]));
}

/// Whether a measurement counts as the first source, or as one beside others, hangs on whether what is read of it knows the field.
#[test]
fn measurements_that_are_no_sources() {
    let loaded = loaded();
    let mut queries = Vec::new();
    let firsts = ["SPLIT", "bare", "old", "WHOLE", "SPLIT, long", "bare, old", "nothing"];
    for first in firsts {
        for rest in [
            "(SELECT v FROM OTHER), (SELECT n FROM SPLIT GROUP BY host)",
            "(SELECT v FROM SPLIT GROUP BY host), (SELECT v FROM WHOLE), (SELECT n, host FROM OTHER)",
        ] {
            let calls = ["sum(n)", "max(n), count(n)", "first(n)", "top(n, host, 2)", "min(n) + 1, mean(v)"];
            let clauses = ["", " WHERE n > 3 GROUP BY host", " WHERE BOUNDS", " WHERE host = 'h1' AND BOUNDS", ""];
            for (call, clause) in calls.iter().zip(clauses) {
                queries.push(format!("SELECT {call} FROM {first}, {rest}{clause}"));
            }
            queries.push(format!(
                "SELECT difference(max(n)) FROM {first}, {rest} WHERE BOUNDS GROUP BY time(20s), host fill(previous)"
            ));
        }
        for inner in [
            "SELECT percentile(n, 20) AS n, host FROM SPLIT WHERE BOUNDS GROUP BY time(20s), host",
            "SELECT percentile(n, 9) AS n FROM WHOLE, SPLIT GROUP BY host",
        ] {
            let columns = ["n", "max(n)", "count(n), last(n)", "median(n)", "difference(n)"];
            let clauses = ["", " WHERE BOUNDS GROUP BY host", " GROUP BY host", " WHERE BOUNDS", " WHERE n > 3"];
            for (columns, clause) in columns.iter().zip(clauses) {
                queries.push(format!("SELECT {columns} FROM ({inner}), {first}{clause}"));
            }
        }
    }
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    let queries = loaded.written(&queries);
    let queries: Vec<String> = queries.iter().map(|q| q.replace("SPLIT", "two")).collect();
    loaded.judged.assert_same_with_rows(&queries, 60);
    loaded.assert_refused(
        &[
            "SELECT sum(n) FROM one, (SELECT v FROM one), (SELECT n FROM two) WHERE host = 'x'",
            "SELECT sum(n) FROM bare, (SELECT v FROM one), two, (SELECT n FROM one)",
        ],
        "sum() of n::integer beside a subquery without it",
    );
}

/// It is neither less nor more than anything, and like nothing, itself neither: the order of points counts.
#[test]
fn best_and_different_ones_of_what_is_no_number() {
    let roots = "(SELECT sqrt(v) AS x, host FROM one), (SELECT ln(v) AS x, host FROM two)";
    let both = "(SELECT stddev(v) AS x FROM one WHERE BOUNDS GROUP BY time(5s), host), \
                (SELECT stddev(v) AS x FROM two WHERE BOUNDS GROUP BY time(5s), host)";
    let sources = [
        "(SELECT sqrt(v) AS x, host FROM one)",
        "(SELECT stddev(v) AS x FROM one WHERE BOUNDS GROUP BY time(5s), host)",
        "(SELECT sqrt(v - 3) AS x, host FROM long)",
        roots,
        "(SELECT n / 0 AS x, host FROM two), (SELECT v AS x, host FROM one), (SELECT sqrt(v) AS x, host FROM WHOLE)",
        both,
    ];
    let mut queries = Vec::new();
    for source in sources {
        for call in [
            "max(x), min(x)",
            "max(x)",
            "count(distinct(x))",
            "top(x, 3)",
            "bottom(x, 30)",
            "top(x, host, 3)",
            "bottom(x, 4), host",
        ] {
            for rest in [
                "",
                "GROUP BY region",
                "WHERE BOUNDS GROUP BY time(20s)",
                "WHERE BOUNDS GROUP BY time(20s), region",
                "ORDER BY time DESC",
            ] {
                queries.push(format!("SELECT {call} FROM {source} {rest}"));
            }
        }
    }
    // Where they are never of the time of others.
    queries.extend([
        format!("SELECT distinct(x) FROM {both} WHERE BOUNDS GROUP BY time(20s), region"),
        "SELECT distinct(x) FROM (SELECT sqrt(v) AS x FROM one WHERE v < 0) GROUP BY region".to_owned(),
        "SELECT distinct(x) FROM (SELECT stddev(v) AS x FROM one WHERE BOUNDS GROUP BY time(2s)) WHERE BOUNDS"
            .to_owned(),
        "SELECT distinct(x) FROM (SELECT ln(v) AS x FROM one WHERE v < 0), (SELECT ln(v) AS x FROM two WHERE v < 0) \
         WHERE BOUNDS GROUP BY time(20s), region"
            .to_owned(),
    ]);
    let loaded = loaded();
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    loaded.judged.assert_same(&loaded.written(&queries));
    loaded.assert_refused(
        &["SELECT distinct(x) FROM (SELECT sqrt(v) AS x FROM one)"],
        "distinct() of numbers and of what is none",
    );
}

/// Line protocol takes a carriage return in a name, and InfluxQL has no escape for one: only regular expressions mean such a
/// measurement.
#[test]
fn a_name_that_no_identifier_can_say() {
    let cluster = Setup::new(3, 1).rule("db", "/split/", &["host"]).start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    let mut body = String::new();
    for name in ["split\r1", "split2", "a\r1", "a2", "a3", "a4", "a5"] {
        for (number, host) in HOSTS.iter().filter(|host| !host.is_empty()).enumerate() {
            body.push_str(&format!("{name},host={host} v={number},n={number}i {}000000000\n", T0 + number as i64));
        }
    }
    for http in [reference.http(), cluster.http()] {
        http.store("db", &body);
    }
    let judged = Judged { cluster, reference };
    let mut queries = vec!["SHOW FIELD KEYS FROM /./".to_owned(), "SHOW TAG KEYS FROM /a/".to_owned()];
    for from in ["/./", "/split/", "/a/", "/1/", "a2, /a/", "(SELECT v, n FROM /1/), /a/", "(SELECT v, n FROM /./)"] {
        for columns in ["v, n", "max(v)", "mean(n), mode(v)", "top(v, host, 2)", "*"] {
            queries.push(format!("SELECT {columns} FROM {from}"));
        }
    }
    judged.assert_same(&queries);
}

/// A call of whose windows some make no point lags behind the others; LIMIT and OFFSET count the points of each.
#[test]
fn limits_where_a_window_makes_no_point() {
    let mut queries = Vec::new();
    let calls = [
        "percentile(v, 5), mean(v)",
        "count(n), percentile(v, 12), percentile(n, 30)",
        "100 * percentile(v, 10) / max(v)",
    ];
    for columns in calls {
        for rest in ["", "fill(none)", "fill(previous)", "fill(0) ORDER BY time DESC"] {
            for limit in ["LIMIT 1", "LIMIT 3", "LIMIT 4 OFFSET 1"] {
                queries.push(format!("SELECT {columns} FROM SPLIT WHERE BOUNDS GROUP BY time(13s) {rest} {limit}"));
            }
        }
    }
    let loaded = loaded();
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    let of_both = |q: String| ["one", "two"].map(|split| q.replace("SPLIT", split));
    let queries: Vec<String> = loaded.written(&queries).into_iter().flat_map(of_both).collect();
    loaded.judged.assert_same(&queries);
}

/// Of what a cast leaves no value, and a call would not take, there is none; beside it others have theirs.
#[test]
fn calls_of_casts_that_do_not_fit() {
    let mut queries = Vec::new();
    let misfits =
        ["mean(v::boolean)", "max(v::string)", "derivative(sum(n::string)) * 2", "percentile(region::string, 50)"];
    for misfit in misfits {
        for beside in ["max(n)", "count(*)", "percentile(v, 50)", "mean(v) / 2"] {
            for rest in [
                "GROUP BY time(30s)",
                "GROUP BY time(30s), region fill(0) ORDER BY time DESC",
                "GROUP BY time(1m) fill(none)",
            ] {
                queries.push(format!("SELECT {misfit} AS a, {beside} FROM one WHERE BOUNDS {rest}"));
                queries.push(format!("SELECT * FROM (SELECT {beside}, {misfit} AS a FROM two WHERE BOUNDS {rest})"));
            }
        }
        queries.push(format!("SELECT {misfit}, {misfit} AS b FROM one WHERE BOUNDS GROUP BY time(30s)"));
    }
    let loaded = loaded();
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    loaded.judged.assert_same(&loaded.written(&queries));
}

/// What a subquery makes of no series has its type all the same.
#[test]
fn types_of_what_no_series_can_have() {
    let mut queries = Vec::new();
    for rest in
        ["WHERE host = 'a' AND host = 'b'", "WHERE host = 'a' AND region = 'nowhere' SOFFSET 1", "SLIMIT 1 SOFFSET 50"]
    {
        queries.push(format!("SELECT sum(x) FROM (SELECT max(v) AS y, last(s) AS x FROM one {rest})"));
        queries.push(format!("SELECT cumulative_sum(x) FROM (SELECT first(s) AS x FROM two {rest})"));
        queries.push(format!("SELECT count(x) FROM (SELECT first(s) AS x FROM two {rest})"));
    }
    queries.push("SELECT mean(x) FROM (SELECT last(s) AS x FROM one) SOFFSET 1".to_owned());
    loaded().judged.assert_same_with_rows(&queries, 0);
}

/// No more windows are filled than are shown: all of them would be nine millions in each series.
#[test]
fn few_of_very_many_windows() {
    let mut queries = Vec::new();
    for columns in ["mean(v)", "count(v), max(n) * 2"] {
        for rest in ["", "fill(linear)", "fill(0) ORDER BY time DESC"] {
            let from = T0 - 800;
            let times = format!("time >= {from}s AND time < 1600000131s GROUP BY time(100u)");
            queries.push(format!("SELECT {columns} FROM two WHERE {times} {rest} LIMIT 3 OFFSET 2"));
        }
    }
    loaded().judged.assert_same(&queries);
}

/// What a call that lags has in series that others have left behind comes in pieces; fill(linear) looks at windows of the next
/// series; a prediction ends where what it reads makes no point, be it in the next series.
#[test]
fn series_come_again_where_a_window_makes_no_point() {
    let mut queries = Vec::new();
    let calls = [
        "percentile(v, 5), percentile(n, 20), count(v)",
        "max(n), percentile(v, 30), percentile(n, 5)",
        "holt_winters(mean(v), 2, 4), percentile(n, 25)",
        "percentile(n, 30), holt_winters_with_fit(percentile(v, 30), 1, 2)",
        "moving_average(percentile(v, 40), 2), last(n), percentile(n, 10)",
    ];
    for columns in calls {
        for from in ["SPLIT", "WHOLE, OTHER", "SPLIT, WHOLE"] {
            for tags in ["region", "host"] {
                let grouped = format!("SELECT {columns} FROM {from} WHERE BOUNDS GROUP BY time(9s), {tags}");
                for rest in ["fill(linear)", "fill(linear) ORDER BY time DESC LIMIT 2", "OFFSET 1"] {
                    queries.push(format!("{grouped} {rest}"));
                }
            }
        }
    }
    let loaded = loaded();
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    let of_both = |q: String| ["one", "two"].map(|split| q.replace("SPLIT", split));
    let queries: Vec<String> = loaded.written(&queries).into_iter().flat_map(of_both).collect();
    loaded.judged.assert_same(&queries);
}

/// What asin() and acos() make of what is beyond them is no number, and yet a value; a line between whole numbers that are
/// far apart runs over as Go's does.
#[test]
fn what_is_no_number_is_a_value() {
    let loaded = loaded();
    let mut body = String::new();
    for (number, host) in (0i64..).zip(HOSTS.iter().filter(|host| !host.is_empty())) {
        let (v, time) = (number - 1, T0 + number);
        body.push_str(&format!("one,host={host} angle={v}.5,zero=0i {time}000000000\n"));
        for (second, big) in [(0, i64::MAX), (40, i64::MIN), (90, i64::MAX)] {
            body.push_str(&format!("one,host={host} big={big}i {}000000000\n", T0 + 10 + second));
        }
    }
    loaded.judged.reference.http().store("db", &body);
    loaded.judged.cluster.http().store("db", &body);
    let queries = loaded.written(&[
        "SELECT asin(angle) / zero, acos(angle) / zero, asin(angle) FROM one",
        "SELECT count(v), last(v) FROM (SELECT asin(angle) AS v FROM one)",
        "SELECT v FROM (SELECT acos(angle) / zero AS v FROM one) WHERE v >= 0",
        "SELECT max(big) FROM one WHERE BOUNDS GROUP BY time(10s) fill(linear)",
        "SELECT min(big) FROM one WHERE BOUNDS GROUP BY time(7s), region fill(linear) ORDER BY time DESC",
        // Beyond the integers.
        "SELECT max(v) + (1 - 9223372036854775808), -1 * 9223372036854775808 * max(v) FROM one",
        "SELECT v + (18446744073709551615 - 18446744073709551610), v * (9223372036854775809 % 2) FROM one",
        "SELECT a FROM (SELECT max(v) AS a FROM one) WHERE a < 18446744073709551615 - 18446744073709551500",
    ]);
    loaded.judged.assert_same_with_rows(&queries, 5);
}

/// Where InfluxDB has no storage shard to read of a policy, it knows no tags of its measurements either.
#[test]
fn tags_of_what_no_shard_is_read_of() {
    let loaded = loaded();
    for http in [loaded.judged.cluster.http(), loaded.judged.reference.http()] {
        http.run("", "CREATE RETENTION POLICY empty ON db DURATION INF REPLICATION 1");
        http.run("", "CREATE RETENTION POLICY late ON db DURATION INF REPLICATION 1 SHARD DURATION 1h");
        assert_eq!(http.write_with("db=db&rp=late", "other,rack=r v=1 1700000000000000000\n").status, 204);
    }
    let mut queries = Vec::new();
    for silent in ["db.empty.one", "db.late.one", "db.late.WHOLE", "db.empty.other", "db.late.other"] {
        for other in ["(SELECT last(v) AS x FROM two WHERE BOUNDS GROUP BY host)", "(SELECT v AS x FROM OTHER)", "one"]
        {
            let sources = format!("(SELECT mean(v) AS x FROM {silent} GROUP BY *), {other}");
            queries.push(format!("SELECT max(x) FROM {sources} WHERE BOUNDS GROUP BY *"));
            queries.push(format!("SELECT max(x) FROM {sources} GROUP BY *"));
            queries.push(format!("SELECT * FROM {sources} WHERE BOUNDS"));
        }
        for other in ["two", "OTHER", "db.late.OTHER"] {
            queries.push(format!("SELECT max(v) FROM {silent}, {other} WHERE BOUNDS GROUP BY *"));
            queries.push(format!("SELECT * FROM {other}, {silent} WHERE BOUNDS"));
        }
    }
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    loaded.judged.assert_same_with_rows(&loaded.written(&queries), 12);
}

/// Where another group has a storage shard to read of a policy, InfluxDB knows the tags of all that is in the database: also
/// the group that owns all measurements, or has told of others, may lack the shard.
#[test]
fn tags_of_what_others_have_a_shard_of() {
    let loaded = loaded();
    let owned: Vec<String> =
        (0..99).map(|n| format!("x{n}")).filter(|name| group_of(slot("db", name, &[]), 3) == 0).collect();
    let [near, far, elsewhere] = [&owned[0], &owned[1], &loaded.whole[1]];
    for http in [loaded.judged.cluster.http(), loaded.judged.reference.http()] {
        for policy in ["p", "q"] {
            http.run("", &format!("CREATE RETENTION POLICY {policy} ON db DURATION INF REPLICATION 1"));
        }
        http.store("db", format!("{far},rack=r v=1 {T0}000000000\n"));
        for (policy, name) in [("p", near), ("q", elsewhere)] {
            let line = format!("{name},host=h v=1 {}000000000\n", T0 + 10);
            assert_eq!(http.write_with(&format!("db=db&rp={policy}"), line).status, 204);
        }
    }
    let mut queries = Vec::new();
    for (one, other) in [(format!("db.p.{near}"), format!("db.q.{far}")), ("one".to_owned(), format!("db.q.{far}"))] {
        queries.push(format!("SELECT * FROM {one}, {other} WHERE BOUNDS"));
        queries.push(format!("SELECT max(v) FROM {one}, {other} WHERE BOUNDS GROUP BY *"));
        queries.push(format!("SELECT max(v) FROM {one}, {other} WHERE BOUNDS GROUP BY ((*))"));
        queries.push(format!("SELECT v FROM {one}, {other} WHERE BOUNDS GROUP BY /r|h/"));
        queries.push(format!("SELECT * FROM (SELECT v AS x FROM {one}), (SELECT v AS x FROM {other} GROUP BY *)"));
        queries.push(format!("SELECT mean(v) FROM (SELECT max(v) AS v FROM {one}, {other} GROUP BY *) GROUP BY *"));
        queries.push(format!("SELECT max(v) FROM {one}, {other} WHERE BOUNDS GROUP BY rack"));
        // A policy of which nobody has a shard.
        queries.push(format!("SELECT * FROM {one}, db.p.{far} WHERE time > {}s", T0 + 40_000_000));
    }
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    loaded.judged.assert_same_with_rows(&loaded.written(&queries), 12);
}
