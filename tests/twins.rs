//! SELECTs over measurements of one name, in several retention policies and databases, beside others: InfluxDB makes one series
//! of each name, whose rows of one time take turns as all sources before them have left it. Whatever slotline answers is what one
//! influxd answers that holds everything.

mod support;

use support::*;

/// Few values at few times of several storage shards, so that much is equal.
fn few(seed: u64, measurements: &[&str]) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut body = String::new();
    for measurement in measurements {
        for host in ["a", "b", "c", ""] {
            for region in ["eu", ""] {
                let tag = |key: &str, value: &str| match value {
                    "" => String::new(),
                    value => format!(",{key}={value}"),
                };
                let key = format!("{measurement}{}{}", tag("host", host), tag("region", region));
                for time in [0, 10, 20, 1_800, 3_600, 3_610, 90_000] {
                    if random.f64() < 0.3 {
                        continue;
                    }
                    let (v, n, s) = (random.i32(0..3), random.i32(0..3), ["x", "y"][random.usize(..2)]);
                    let time = (T0 + time) * 1_000_000_000;
                    body.push_str(&match random.usize(..4) {
                        0 => format!("{key} v={v},s=\"{s}\" {time}\n"),
                        1 => format!("{key} n={n}i {time}\n"),
                        _ => format!("{key} v={v},n={n}i,s=\"{s}\" {time}\n"),
                    });
                }
            }
        }
    }
    body
}

struct Loaded {
    judged: Judged,
    /// A measurement before all others that is in another group than `x`, one behind them, and one that is where `x` is.
    names: [String; 3],
    /// A database whose `x` is in another group than that of `db`.
    other: String,
}

fn loaded() -> Loaded {
    let cluster = Setup::new(3, 1).rule("db", "one", &["host"]).start();
    let reference = cluster.reference("db");
    let group = |db: &str, name: &str| group_of(slot(db, name, &[]), 3);
    let own = group("db", "x");
    let named = |letter: char, beside: bool| {
        let mut names = (0..99).map(|number| format!("{letter}{number}"));
        names.find(|name| (group("db", name) == own) == beside).expect("some name is there")
    };
    let names = [named('a', false), named('y', false), named('z', true)];
    let other = (0..99).map(|n| format!("db{n}")).find(|db| group(db, "x") != own).expect("some are elsewhere");
    cluster.create_db("db");
    cluster.create_db(&other);
    let made = reference.http().query("", &format!("CREATE DATABASE {other}"));
    assert_eq!(made.status, 200, "{}", made.text());
    let measurements = ["x", "one", &names[0], &names[1], &names[2]];
    for http in [cluster.http(), reference.http()] {
        for (number, db) in (0..).zip(["db", &other]) {
            http.run("", &format!("CREATE RETENTION POLICY late ON {db} DURATION INF REPLICATION 1 SHARD DURATION 1h"));
            http.store(db, few(number, &measurements));
            let stored = http.write_with(&format!("db={db}&rp=late"), few(10 + number, &measurements));
            assert_eq!(stored.status, 204, "{stored:?}");
        }
    }
    Loaded { judged: Judged { cluster, reference }, names, other }
}

impl Loaded {
    /// Each column of each source, with each clause.
    fn assert_same(&self, columns: &[&str], sources: &[&str], clauses: &[&str]) {
        let mut queries = Vec::new();
        for source in sources {
            let [before, behind, beside] = &self.names;
            let source = source.replace("BEFORE", before).replace("BEHIND", behind);
            let source = source.replace("BESIDE", beside).replace("OTHER", &self.other);
            for columns in columns {
                queries.extend(clauses.iter().map(|clause| format!("SELECT {columns} FROM {source} {clause}")));
            }
        }
        let queries: Vec<String> = queries.iter().map(|q| q.replace("BOUNDS", BOUNDS)).collect();
        self.judged.assert_same(&queries);
    }
}

const BOUNDS: &str = "time >= 1600000000s AND time < 1600008000s";

/// All of the twins lie in one group, what is beside them in others, or in all.
const SOURCES: [&str; 5] = [
    "BEFORE, autogen.x, late.x",
    "late.x, BEHIND, autogen.x",
    "autogen.x, BEFORE, late.x, BESIDE, BEHIND, late.BESIDE",
    "late.one, x, BEFORE, one, late.x",
    "x, OTHER..x, late.x, BEFORE, OTHER.late.x",
];

#[test]
fn calls_that_tell_which_row_is_first() {
    let columns = [
        "max(v), host",
        "min(n), host, v",
        "percentile(v, 60), host",
        "top(v, 2), host",
        "bottom(n, host, 2)",
        "distinct(s)",
        "mode(s)",
        "derivative(v, 10s)",
        "cumulative_sum(n)",
        "elapsed(v)",
        "difference(max(v))",
        "count(distinct(v))",
        "max(v), min(n)",
    ];
    let windows = "WHERE BOUNDS GROUP BY time(1h)";
    let of_tags = "WHERE BOUNDS GROUP BY time(20m), host";
    let loaded = loaded();
    let without: Vec<&str> = columns.into_iter().filter(|call| *call != "difference(max(v))").collect();
    loaded.assert_same(&without, &SOURCES, &["", "GROUP BY host", "GROUP BY region ORDER BY time DESC", "LIMIT 2"]);
    // What takes rows one after the other takes no windows.
    let windowed = ["max(v), host", "last(n), v", "top(v, 2), host", "distinct(s)", "difference(max(v))", "first(s)"];
    loaded.assert_same(&windowed, &SOURCES, &[windows, of_tags]);
}

#[test]
fn the_first_and_the_last() {
    let columns = ["first(v)", "last(v), host", "first(n), v, s", "last(s)", "first(v), last(n)"];
    let clauses = ["", "GROUP BY host", "WHERE BOUNDS ORDER BY time DESC", "GROUP BY region LIMIT 1", "GROUP BY *"];
    let loaded = loaded();
    loaded.assert_same(&columns, &SOURCES, &clauses);
    let beside = [
        "x, (SELECT v, n, s, host FROM late.x)",
        "late.x, (SELECT v, n, s, host FROM BEFORE), x, OTHER..x",
        "(SELECT v, n, s, host FROM one GROUP BY region), late.one, one",
    ];
    loaded.assert_same(&columns, &beside, &clauses[..3]);
}

#[test]
fn rows_and_subqueries_beside_them() {
    let columns = ["v, host", "max(v), host", "top(v, host, 2)", "distinct(v)", "moving_average(v, 2)"];
    let sources = [
        "x, (SELECT v, host FROM late.x, OTHER..x, x), late.x",
        "BEFORE, (SELECT max(v) AS v, host FROM x, late.x, BEHIND GROUP BY region), late.x, x",
        "(SELECT v, host FROM late.one), one, BEFORE, late.one",
    ];
    loaded().assert_same(&columns, &sources, &["", "GROUP BY host", "GROUP BY region", "LIMIT 3", "GROUP BY *"]);
}

/// Of two rows the lowest fifth is none.
#[test]
fn windows_of_which_a_call_makes_no_point() {
    let sources = SOURCES
        .map(|source| format!("(SELECT percentile(v, 20) AS p FROM {source} WHERE BOUNDS GROUP BY time(30m), host)"));
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    loaded().assert_same(&["p, host", "count(p)", "max(p)", "cumulative_sum(p)"], &sources, &["", "GROUP BY host"]);
}

/// InfluxDB merges what one regular expression means before it merges that with other sources.
#[test]
fn one_of_them_by_a_regular_expression() {
    let columns = ["v, host", "last(n), s", "difference(n)"];
    let sources = [
        "/^(BEFORE|x)$/, late.x, OTHER..x",
        "late.x, BEHIND, /^(x|BEHIND|BESIDE)$/",
        "x, late./^(x|BEHIND)$/, late.BEHIND, OTHER../^x$/",
        "/^(one|x)$/, /^(one|x)$/, late.one",
    ];
    loaded().assert_same(&columns, &sources, &["", "GROUP BY host", "GROUP BY region LIMIT 2", "ORDER BY time DESC"]);
}

/// A measurement has its tags also where it has no fields of a policy.
#[test]
fn tags_of_a_measurement_without_fields_beside_a_subquery() {
    let loaded = loaded();
    let http = [loaded.judged.cluster.http(), loaded.judged.reference.http()];
    http.iter().for_each(|http| http.store("db", "tagged,rack=r1 v=1 1600000000000000000\n"));
    loaded.assert_same(
        &["count(v)", "v"],
        &["late.tagged, (SELECT v FROM one)", "late.tagged, (SELECT max(v) AS v FROM x GROUP BY host), late.x"],
        &["GROUP BY *", "GROUP BY /r/"],
    );
}

/// What one regular expression means is merged first, and then with what stands beside it.
#[test]
fn regular_expressions_beside_their_names() {
    let columns = [
        "v, n, host",
        "cumulative_sum(v)",
        "derivative(v)",
        "bottom(v, 1)",
        "percentile(v, 60), host",
        "max(n), host",
        "count(distinct(v))",
    ];
    let inner = "(SELECT sum(v) AS v, sum(n) AS n FROM x GROUP BY time(7m))";
    let beside = "/^(x|BESIDE)$/";
    let sources = [
        format!("late.x, BESIDE, {beside}"),
        format!("late.BESIDE, late.{beside}, autogen.x, late.x"),
        "BEFORE, late./^(x|BEFORE|BESIDE)$/, x, late.BEFORE".to_owned(),
        format!("{inner}, {beside}"),
        format!("{beside}, BESIDE, {inner}"),
        format!("{inner}, BEFORE, /^(x|BEFORE|BESIDE)$/, BESIDE"),
        format!("BESIDE, {inner}, /^(x|BEHIND)$/"),
        format!("(SELECT v, n, host FROM late.x, BESIDE, {beside}), late.BESIDE"),
    ];
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let clauses = ["WHERE BOUNDS", "WHERE BOUNDS GROUP BY region", "WHERE BOUNDS ORDER BY time DESC"];
    loaded().assert_same(&columns, &sources, &clauses);
}
