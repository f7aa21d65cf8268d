//! SELECT over subqueries, and over measurements of one name, where measurements are split or live in several groups: three
//! groups, one measurement split by one tag, one by two, two that are whole in different groups, and databases whose
//! measurements of one name lie apart. Whatever slotline answers is what one influxd answers that holds everything; floats to
//! 1e-9, since sums are added up in another order.

mod support;

use std::collections::BTreeSet;

use support::*;

/// Points of four weeks, thus of several storage shards.
fn long() -> String {
    let mut random = fastrand::Rng::with_seed(9);
    let mut body = String::new();
    for host in HOSTS.iter().filter(|host| !host.is_empty()) {
        for day in 0..28 {
            if random.f64() < 0.7 {
                let (v, n) = (f64::from(random.i32(0..40)) / 4.0, random.i32(0..9));
                let time = (T0 + day * 86_400) * 1_000_000_000;
                body.push_str(&format!("long,host={host} v={v},n={n}i {time}\n"));
            }
        }
    }
    body
}

/// Every hour and a half of three days over a change of clocks in Europe.
fn hours() -> String {
    let mut body = String::new();
    for (number, host) in (0_i64..).zip(HOSTS.iter().filter(|host| !host.is_empty())) {
        for step in (0_i64..48).filter(|step| (step + number) % 7 != 0) {
            let (time, v) = (1_616_800_000 + step * 5_400 + number * 60, (step * 7 + number * 3) % 40);
            body.push_str(&format!("hours,host={host} v={v},n={}i {time}000000000\n", v / 3));
        }
    }
    body
}

struct Loaded {
    judged: Judged,
    /// Two measurements that are whole, in different groups.
    whole: [String; 2],
    /// A database whose `m` is in another group than that of `db`.
    other: String,
}

fn loaded() -> Loaded {
    let setup = Setup::new(3, 1).rule("db", "two", &["host", "region"]);
    let setup = setup.rule("db", "one", &["host"]).rule("db", "long", &["host"]).rule("db", "hours", &["host"]);
    let setup = setup.rule("db", "late", &["region"]);
    let cluster = setup.start();
    let reference = cluster.reference("db");
    let group = |db: &str, name: &str| group_of(slot(db, name, &[]), 3);
    let apart =
        |group: usize| (0..99).map(|n| format!("w{n}")).find(|name| self::group_of(slot("db", name, &[]), 3) == group);
    let whole = [0, 1].map(|group| apart(group).expect("each group has some"));
    let other =
        (0..99).map(|n| format!("db{n}")).find(|db| group(db, "m") != group("db", "m")).expect("some are elsewhere");
    let regions: &[&str] = &["eu", "us", ""];
    let named: [(&str, &[&str]); 5] =
        [("one", &["", "eu"]), ("two", regions), (&whole[0], &["eu"]), (&whole[1], &["", "us"]), ("m", &["eu"])];
    for (db, seed, measurements) in [("db", 7, &named[..]), (other.as_str(), 8, &named[4..])] {
        cluster.create_db(db);
        let made = reference.http().query("", &format!("CREATE DATABASE {db}"));
        assert_eq!(made.status, 200, "{}", made.text());
        reference.http().store(db, few_values(seed, measurements));
        cluster.http().store(db, few_values(seed, measurements));
    }
    for body in [long(), hours(), few_values(9, &[("late", regions)])] {
        reference.http().store("db", &body);
        cluster.http().store("db", &body);
    }
    let split: BTreeSet<usize> = HOSTS.iter().map(|host| group_of(slot("db", "one", &[host]), 3)).collect();
    assert_eq!(split.len(), 3, "the measurement is in all groups");
    Loaded { judged: Judged { cluster, reference }, whole, other }
}

const BOUNDS: &str = "time >= 1600000005s AND time < 1600000131s";

/// Each outer statement over each inner one, which stands in its place.
fn product(outers: &[&str], inners: &[&str]) -> Vec<String> {
    let over =
        |outer: &&str| inners.iter().map(|inner| outer.replace("INNER", &format!("({inner})"))).collect::<Vec<_>>();
    outers.iter().flat_map(over).map(|text| text.replace("BOUNDS", BOUNDS)).collect()
}

/// Over both split measurements.
fn over_split(queries: &[String]) -> Vec<String> {
    ["one", "two"].iter().flat_map(|name| queries.iter().map(|text| text.replace("SPLIT", name))).collect()
}

#[test]
fn aggregates_of_raw_rows() {
    let outers = [
        "SELECT a FROM INNER",
        "SELECT mean(a), max(b), count(c) FROM INNER",
        "SELECT * FROM INNER WHERE BOUNDS",
        "SELECT max(a), b, host FROM INNER WHERE host != ''",
        "SELECT first(a) FROM INNER",
        "SELECT last(b), host FROM INNER WHERE a > 1",
        "SELECT sum(b) FROM INNER WHERE BOUNDS GROUP BY time(20s)",
        "SELECT mean(a) FROM INNER WHERE BOUNDS GROUP BY time(20s), host fill(previous)",
        "SELECT count(a) FROM INNER GROUP BY region",
        "SELECT percentile(b, 50), median(a) FROM INNER",
        "SELECT difference(a) FROM INNER WHERE host =~ /h1/",
        "SELECT distinct(b) FROM INNER",
        "SELECT a FROM INNER WHERE c = 'x' AND b >= 2 OR host = 'h3'",
        "SELECT a * 2 + b FROM INNER ORDER BY time DESC LIMIT 9",
        "SELECT a, b FROM INNER GROUP BY host LIMIT 2 OFFSET 1",
        "SELECT top(a, 3) FROM INNER",
        "SELECT bottom(a, host, 2) FROM INNER",
        "SELECT spread(b), stddev(a) FROM INNER GROUP BY host",
    ];
    let inners = [
        "SELECT v AS a, n AS b, s AS c FROM SPLIT",
        "SELECT v AS a, n AS b, s AS c, host FROM SPLIT",
        "SELECT v AS a, n AS b, s AS c FROM SPLIT GROUP BY host",
        "SELECT v AS a, n AS b, s AS c FROM SPLIT WHERE n > 1 GROUP BY region",
        "SELECT v AS a, n AS b, s AS c FROM SPLIT LIMIT 9",
    ];
    loaded().judged.assert_same(&over_split(&product(&outers, &inners)));
}

#[test]
fn aggregates_of_aggregates() {
    let outers = [
        "SELECT a FROM INNER WHERE BOUNDS",
        "SELECT a, b FROM INNER WHERE BOUNDS",
        "SELECT * FROM INNER WHERE BOUNDS",
        "SELECT a, host FROM INNER WHERE BOUNDS",
        "SELECT max(a), min(b) FROM INNER WHERE BOUNDS",
        "SELECT max(a) - min(a) FROM INNER WHERE BOUNDS",
        "SELECT sum(b) FROM INNER WHERE BOUNDS GROUP BY time(40s)",
        "SELECT mean(a) FROM INNER WHERE BOUNDS GROUP BY time(40s), region",
        "SELECT max(a) FROM INNER WHERE BOUNDS GROUP BY host",
        "SELECT derivative(mean(a)) FROM INNER WHERE BOUNDS GROUP BY time(20s)",
        "SELECT derivative(mean(a)), mean(a) FROM INNER WHERE BOUNDS GROUP BY time(20s)",
        "SELECT difference(a) FROM INNER WHERE BOUNDS",
        "SELECT cumulative_sum(b) FROM INNER WHERE BOUNDS",
        "SELECT a FROM INNER WHERE BOUNDS AND a > 1 AND host != 'h2'",
        "SELECT a FROM INNER WHERE BOUNDS ORDER BY time DESC LIMIT 5",
        "SELECT a, b FROM INNER WHERE BOUNDS GROUP BY host LIMIT 2",
        "SELECT top(a, host, 2) FROM INNER WHERE BOUNDS",
        "SELECT percentile(a, 90) FROM INNER WHERE BOUNDS GROUP BY region",
        "SELECT count(a), first(b) FROM INNER WHERE BOUNDS GROUP BY time(30s) fill(0)",
    ];
    let inners = [
        "SELECT mean(v) AS a, sum(n) AS b FROM SPLIT",
        "SELECT mean(v) AS a, sum(n) AS b FROM SPLIT GROUP BY time(20s)",
        "SELECT mean(v) AS a, sum(n) AS b FROM SPLIT GROUP BY time(20s), host",
        "SELECT max(v) AS a, count(n) AS b FROM SPLIT GROUP BY time(10s), region fill(0)",
        "SELECT max(v) AS a FROM SPLIT GROUP BY host",
        "SELECT first(v) AS a, last(n) AS b FROM SPLIT GROUP BY host, region",
        "SELECT mean(v) AS a, sum(n) AS b FROM SPLIT GROUP BY time(20s) LIMIT 3",
    ];
    loaded().judged.assert_same(&over_split(&product(&outers, &inners)));
}

#[test]
fn levels_take_over_what_stands_around() {
    let queries = [
        // Transformations, selectors and distinct values inside.
        "SELECT sum(d) FROM (SELECT non_negative_derivative(mean(v), 1s) AS d FROM SPLIT GROUP BY time(10s), host) WHERE BOUNDS GROUP BY time(40s)",
        "SELECT d, host FROM (SELECT difference(v) AS d FROM SPLIT GROUP BY host) WHERE host != ''",
        "SELECT d FROM (SELECT derivative(v) AS d FROM SPLIT GROUP BY host) WHERE d > 0 LIMIT 20",
        "SELECT mean(d) FROM (SELECT cumulative_sum(n) AS d FROM SPLIT GROUP BY host, region) GROUP BY host",
        "SELECT max(m) FROM (SELECT moving_average(mean(v), 2) AS m FROM SPLIT GROUP BY time(10s), host) WHERE BOUNDS",
        "SELECT count(x) FROM (SELECT distinct(n) AS x FROM SPLIT GROUP BY host)",
        "SELECT x, host FROM (SELECT distinct(n) AS x FROM SPLIT GROUP BY host)",
        "SELECT x, host FROM (SELECT count(distinct(n)) AS x FROM SPLIT GROUP BY host)",
        "SELECT sum(x) FROM (SELECT count(distinct(s)) AS x FROM SPLIT WHERE BOUNDS GROUP BY time(20s), region)",
        "SELECT * FROM (SELECT max(v), n, host FROM SPLIT GROUP BY region)",
        "SELECT max, n, host FROM (SELECT max(v), n, host FROM SPLIT GROUP BY region)",
        "SELECT * FROM (SELECT top(v, host, 3) FROM SPLIT)",
        "SELECT top, host FROM (SELECT top(v, host, 3) FROM SPLIT GROUP BY region)",
        "SELECT sum(top) FROM (SELECT top(n, 2) FROM SPLIT GROUP BY host)",
        "SELECT mean(bottom) FROM (SELECT bottom(n, host, 2) FROM SPLIT WHERE BOUNDS GROUP BY time(30s))",
        // Depth.
        "SELECT max(y) FROM (SELECT mean(x) AS y FROM (SELECT sum(v) AS x FROM SPLIT GROUP BY time(10s), host, region) GROUP BY time(20s), host) WHERE BOUNDS",
        "SELECT y, host FROM (SELECT mean(x) AS y FROM (SELECT sum(v) AS x FROM SPLIT GROUP BY time(10s), host, region) GROUP BY time(20s)) WHERE BOUNDS GROUP BY host",
        "SELECT count(y) FROM (SELECT x AS y FROM (SELECT v AS x FROM SPLIT WHERE n > 0) WHERE x > 1) WHERE y < 3",
        "SELECT * FROM (SELECT * FROM (SELECT * FROM SPLIT GROUP BY host) GROUP BY region)",
        "SELECT * FROM (SELECT mean(*) FROM SPLIT GROUP BY time(30s), host) WHERE BOUNDS GROUP BY *",
        "SELECT /_v$/, host FROM (SELECT mean(/^[vn]$/) FROM SPLIT GROUP BY time(30s), host) WHERE BOUNDS",
        "SELECT max(*) FROM (SELECT mean(v) AS a, last(n) AS b, first(s) AS c FROM SPLIT GROUP BY host)",
        "SELECT *::field FROM (SELECT v, host FROM SPLIT GROUP BY region)",
        "SELECT *::tag, v FROM (SELECT v, host FROM SPLIT GROUP BY region)",
        "SELECT mean(v) FROM (SELECT v, host FROM SPLIT GROUP BY region) GROUP BY /^h/",
        "SELECT mean(v) FROM (SELECT v, n FROM SPLIT GROUP BY region, host) GROUP BY *",
        // Types: an integer by an integer, mathematics, truths, tags as columns.
        "SELECT x FROM (SELECT n / 2 AS x FROM SPLIT)",
        "SELECT sum(x) FROM (SELECT sum(n) / count(v) AS x FROM SPLIT GROUP BY host)",
        "SELECT sum(x) FROM (SELECT sqrt(n) AS x FROM SPLIT)",
        "SELECT x, y FROM (SELECT pow(v, 2) AS x, abs(n) AS y FROM SPLIT) WHERE x > y",
        "SELECT count(h) FROM (SELECT host AS h, v FROM SPLIT)",
        "SELECT count(distinct(h)) FROM (SELECT host AS h, v FROM SPLIT GROUP BY region)",
        "SELECT count(host) FROM (SELECT mean(v) FROM SPLIT GROUP BY host)",
        "SELECT t FROM (SELECT ok AS t, v FROM SPLIT) WHERE t = true",
        "SELECT v FROM (SELECT ok AS t, v FROM SPLIT) WHERE t != true",
        "SELECT v FROM (SELECT s AS t, v FROM SPLIT) WHERE t =~ /^x/ OR t = 'y' AND v > 2",
        "SELECT x FROM (SELECT v > 1 AS x FROM SPLIT)",
        "SELECT x + y AS z FROM (SELECT mean(v) AS x, mean(n) AS y FROM SPLIT GROUP BY time(20s)) WHERE BOUNDS AND x < y",
        "SELECT x FROM (SELECT v AS x, n AS y FROM SPLIT) WHERE y / 2 = 1",
        "SELECT v::integer FROM (SELECT v FROM SPLIT)",
        "SELECT nothing, v FROM (SELECT v FROM SPLIT)",
        "SELECT max(v), nothing FROM (SELECT v FROM SPLIT)",
        "SELECT mean_1 FROM (SELECT mean(v), mean(n) FROM SPLIT)",
        "SELECT mean FROM (SELECT mean(v), mean(n) FROM SPLIT)",
        // Limits and fill().
        "SELECT sum(v) FROM (SELECT v FROM SPLIT GROUP BY host LIMIT 2)",
        "SELECT v, host FROM (SELECT v FROM SPLIT GROUP BY host LIMIT 2)",
        "SELECT v FROM (SELECT v FROM SPLIT GROUP BY host LIMIT 3) ORDER BY time DESC",
        "SELECT v FROM (SELECT v FROM SPLIT LIMIT 9 OFFSET 3) LIMIT 4 OFFSET 1",
        "SELECT v FROM (SELECT v FROM SPLIT) OFFSET 5",
        "SELECT a FROM (SELECT mean(v) AS a FROM SPLIT GROUP BY time(10s), host LIMIT 2) WHERE BOUNDS",
        "SELECT count(a) FROM (SELECT mean(v) AS a FROM SPLIT GROUP BY time(10s), host fill(previous)) WHERE BOUNDS",
        "SELECT a, host FROM (SELECT mean(v) AS a FROM SPLIT GROUP BY time(30s), host fill(linear)) WHERE BOUNDS",
        "SELECT mean(a) FROM (SELECT last(v) AS a FROM SPLIT GROUP BY time(10s) fill(previous)) WHERE BOUNDS GROUP BY time(30s) fill(linear)",
        "SELECT a, b FROM (SELECT mean(v) AS a, max(n) AS b FROM SPLIT WHERE n > 5 GROUP BY time(10s) fill(previous)) WHERE BOUNDS",
        "SELECT sum(a) FROM (SELECT count(v) AS a FROM SPLIT GROUP BY time(7s, 2s), region) WHERE BOUNDS GROUP BY region",
        // Order, and bounds in time of both.
        "SELECT a, host FROM (SELECT mean(v) AS a FROM SPLIT GROUP BY time(20s), host) WHERE BOUNDS ORDER BY time DESC",
        "SELECT a FROM (SELECT max(v) AS a FROM SPLIT GROUP BY host) ORDER BY time DESC",
        "SELECT sum(a) FROM (SELECT v AS a FROM SPLIT WHERE time > 1600000030s) WHERE time < 1600000080s GROUP BY time(10s) fill(none)",
        "SELECT a FROM (SELECT mean(v) AS a FROM SPLIT WHERE time > 1600000030s) WHERE time < 1600000080s",
        "SELECT max(a) FROM (SELECT mean(v) AS a FROM SPLIT GROUP BY time(30s)) WHERE time >= 1600000000s AND time < 1600000090s",
        "SELECT max(a) FROM (SELECT mean(v) AS a FROM SPLIT GROUP BY time(10s)) WHERE time >= 1600000000s AND time < 1600000090s",
        "SELECT last(a) FROM (SELECT mean(v) AS a FROM SPLIT WHERE time < 1600000090s GROUP BY time(10s)) GROUP BY host",
        "SELECT time, a FROM (SELECT v AS a FROM SPLIT)",
        "SELECT DISTINCT a FROM (SELECT n AS a FROM SPLIT)",
        "SELECT max(a) - min(b) AS spread FROM (SELECT max(v) AS a, min(v) AS b FROM SPLIT GROUP BY host)",
        "SELECT integral(a) FROM (SELECT mean(v) AS a FROM SPLIT GROUP BY time(10s)) WHERE BOUNDS",
        "SELECT elapsed(a, 1s) FROM (SELECT mean(v) AS a FROM SPLIT GROUP BY time(10s)) WHERE BOUNDS",
    ];
    let queries: Vec<String> = queries.iter().map(|text| text.replace("BOUNDS", BOUNDS)).collect();
    loaded().judged.assert_same(&over_split(&queries));
}

/// What hangs on which of several points is first at one time, and on whose windows are whose.
#[test]
fn functions_of_all_points() {
    let loaded = loaded();
    let outers = [
        "SELECT a, host FROM INNER WHERE BOUNDS GROUP BY region",
        "SELECT a, host FROM INNER WHERE BOUNDS ORDER BY time DESC",
        "SELECT mode(a) FROM INNER",
        "SELECT mode(a) FROM INNER WHERE BOUNDS GROUP BY time(20s), host fill(0)",
        "SELECT sample(a, 1000) FROM INNER WHERE BOUNDS GROUP BY region",
        "SELECT sample(a, 1000) FROM INNER WHERE BOUNDS GROUP BY time(40s)",
        "SELECT count(b) FROM (SELECT sample(a, 2) AS b FROM INNER) WHERE BOUNDS GROUP BY time(20s)",
    ];
    let inners = [
        "SELECT v AS a FROM SPLIT GROUP BY host",
        "SELECT mode(v) AS a FROM SPLIT GROUP BY host",
        "SELECT mode(n) AS a FROM SPLIT WHERE BOUNDS GROUP BY time(20s)",
        "SELECT mode(s) AS a FROM SPLIT WHERE BOUNDS GROUP BY time(20s), host",
        "SELECT mode(ok) AS a FROM SPLIT GROUP BY region",
        "SELECT percentile(n, 50) AS a, host, region FROM SPLIT GROUP BY region",
        "SELECT sample(v, 1000) AS a FROM SPLIT WHERE BOUNDS GROUP BY time(20s), host LIMIT 2",
        "SELECT sample(ok, 1000) AS a, host FROM SPLIT GROUP BY region",
    ];
    loaded.judged.assert_same(&over_split(&product(&outers, &inners)));
    let outers = [
        "SELECT a, host FROM INNER WHERE BOUNDS GROUP BY region",
        "SELECT count(a) FROM INNER WHERE BOUNDS",
        "SELECT difference(a) FROM INNER WHERE BOUNDS",
    ];
    let inners = [
        "SELECT holt_winters_with_fit(mean(v), 4, 3) AS a FROM SPLIT WHERE BOUNDS GROUP BY time(10s)",
        "SELECT holt_winters(mean(v), 4, 0) AS a FROM SPLIT WHERE BOUNDS GROUP BY time(10s), host fill(previous)",
        "SELECT holt_winters_with_fit(mean(v), 4, 0) AS a FROM SPLIT WHERE BOUNDS GROUP BY time(10s), host LIMIT 2",
    ];
    let mut queries = product(&outers, &inners);
    let over = "SELECT holt_winters_with_fit(max(a), 4, 2) FROM (SELECT mean(v) AS a FROM SPLIT GROUP BY host) WHERE BOUNDS GROUP BY time(10s), region";
    queries.extend(["", " LIMIT 3", " fill(0)"].map(|rest| format!("{over}{rest}").replace("BOUNDS", BOUNDS)));
    loaded.judged.assert_same_with_rows(&over_split(&queries), 60);
}

/// Of one point stddev() makes what is no number; InfluxDB hands it on as a value.
#[test]
fn what_is_no_number_is_a_value() {
    let outers = [
        "SELECT a, host FROM INNER WHERE BOUNDS GROUP BY region",
        "SELECT a FROM INNER WHERE BOUNDS AND a != 1",
        "SELECT a FROM INNER WHERE BOUNDS AND a > 1 ORDER BY time DESC",
        "SELECT a * 2 + 1, b FROM INNER WHERE BOUNDS",
        "SELECT min(a), max(a) FROM INNER WHERE BOUNDS GROUP BY time(20s)",
        "SELECT max(a) FROM INNER WHERE BOUNDS GROUP BY time(20s), host fill(0)",
        "SELECT min(a) FROM INNER GROUP BY host",
        "SELECT mean(a), sum(a), count(a), first(a), last(a) FROM INNER WHERE BOUNDS GROUP BY region",
        "SELECT median(a), mode(a), spread(a), stddev(a) FROM INNER WHERE BOUNDS",
        "SELECT spread(a) FROM INNER WHERE BOUNDS GROUP BY time(20s), region",
        "SELECT percentile(a, 50) FROM INNER WHERE BOUNDS",
        "SELECT difference(a) FROM INNER WHERE BOUNDS",
        "SELECT moving_average(mean(a), 2) FROM INNER WHERE BOUNDS GROUP BY time(20s)",
        "SELECT integral(a) FROM INNER WHERE BOUNDS",
        "SELECT a::integer FROM INNER WHERE BOUNDS",
    ];
    let inners = [
        "SELECT stddev(v) AS a FROM SPLIT WHERE BOUNDS",
        "SELECT stddev(v) AS a, count(v) AS b FROM SPLIT WHERE BOUNDS GROUP BY time(10s)",
        "SELECT stddev(v) AS a FROM SPLIT WHERE BOUNDS GROUP BY time(10s), host",
        "SELECT stddev(v) AS a FROM SPLIT WHERE BOUNDS GROUP BY time(5s), host fill(0)",
        "SELECT stddev(v) AS a FROM SPLIT WHERE BOUNDS GROUP BY time(10s) fill(previous)",
    ];
    let mut statements = product(&outers, &inners);
    // Each of them is another.
    statements.extend(product(&["SELECT count(distinct(a)) FROM INNER WHERE BOUNDS GROUP BY time(20s)"], &inners[..3]));
    loaded().judged.assert_same_with_rows(&over_split(&statements), 70);
}

/// Texts and truths beside a call are filled by numbers too.
#[test]
fn numbers_fill_what_stands_beside() {
    let outers = [
        "SELECT x, y FROM INNER WHERE BOUNDS",
        "SELECT x, y FROM INNER WHERE BOUNDS AND y = 'x'",
        "SELECT x, y FROM INNER WHERE BOUNDS AND y != 'x' GROUP BY region",
        "SELECT y FROM INNER WHERE BOUNDS ORDER BY time DESC",
        "SELECT count(y), count(x) FROM INNER WHERE BOUNDS",
        "SELECT last(y), x FROM INNER WHERE BOUNDS",
        "SELECT * FROM INNER WHERE BOUNDS LIMIT 8",
    ];
    let inners = [
        "SELECT max(v) AS x, s AS y FROM SPLIT WHERE BOUNDS GROUP BY time(9s) fill(0)",
        "SELECT max(v) AS x, s AS y FROM SPLIT WHERE BOUNDS GROUP BY time(4s), host fill(1.5)",
        "SELECT max(v) AS x, host AS y FROM SPLIT WHERE BOUNDS GROUP BY time(3s) fill(7)",
        "SELECT min(v) AS x, ok AS y FROM SPLIT WHERE BOUNDS GROUP BY time(5s) fill(1)",
        "SELECT first(n) AS x, region AS y, n FROM SPLIT WHERE BOUNDS GROUP BY time(9s) fill(0)",
    ];
    let loaded = loaded();
    loaded.judged.assert_same_with_rows(&over_split(&product(&outers, &inners)), 70);
    // Calls of tags as well, which have no points.
    let calls =
        ["max(v), first(host)", "count(n), last(region), mode(host), max(nothing)", "sum(n), percentile(host, 20)"];
    let clauses =
        ["WHERE BOUNDS GROUP BY time(9s) fill(0)", "fill(1.5)", "WHERE BOUNDS GROUP BY time(20s), region fill(-7)"];
    let of =
        |calls: &str| clauses.map(|clause| format!("SELECT {calls} FROM SPLIT {clause}").replace("BOUNDS", BOUNDS));
    loaded.judged.assert_same(&over_split(&calls.into_iter().flat_map(of).collect::<Vec<_>>()));
}

/// InfluxDB works them out before it names columns and looks at types.
#[test]
fn calls_and_quotients_of_numbers_alone() {
    let made = [
        "v + abs(-2)",
        "n * pow(2, 3)",
        "n + sin(cos(1)) + abs(n)",
        "n + 2 / 4",
        "n * 2 / 4",
        "n - round(2.5) * (1 + 6 / 4)",
        "v - sqrt(4) * (n + ln(3))",
    ];
    let mut queries = Vec::new();
    for made in made {
        for outer in ["*", "n", "v_n", "n_abs"] {
            queries.push(format!("SELECT {outer} FROM (SELECT {made} FROM SPLIT)"));
        }
        for outer in ["sum(x)", "x", "max(x), host", "mean(x)"] {
            queries.push(format!("SELECT {outer} FROM (SELECT {made} AS x FROM SPLIT GROUP BY region)"));
        }
        queries.push(format!("SELECT {made}, {made} FROM SPLIT LIMIT 3"));
        let calls = made.replace("n)", "last(n))").replace("n ", "max(n) ").replace("v ", "min(v) ");
        queries.push(format!("SELECT {calls} FROM SPLIT GROUP BY region"));
        queries.push(
            format!("SELECT {calls} FROM SPLIT WHERE BOUNDS GROUP BY time(20s) fill(3)").replace("BOUNDS", BOUNDS),
        );
    }
    loaded().judged.assert_same_with_rows(&over_split(&queries), 70);
}

#[test]
fn several_sources() {
    let loaded = loaded();
    let [a, b] = &loaded.whole;
    let queries = [
        "SELECT mean(x) FROM (SELECT v AS x FROM A), (SELECT n AS x FROM B)",
        "SELECT * FROM (SELECT v AS x FROM A), (SELECT n AS x, s FROM B)",
        "SELECT x, host FROM (SELECT max(v) AS x FROM A GROUP BY host), (SELECT max(n) AS x FROM B GROUP BY host)",
        "SELECT max(x) FROM (SELECT mean(v) AS x FROM A GROUP BY time(20s)), (SELECT mean(n) AS x FROM B GROUP BY time(20s)) WHERE BOUNDS GROUP BY time(40s)",
        "SELECT * FROM (SELECT v FROM A), (SELECT n FROM B) GROUP BY host ORDER BY time DESC LIMIT 3",
        "SELECT * FROM (SELECT v FROM A), one",
        "SELECT mean(v) FROM one, (SELECT v FROM two), B GROUP BY region",
        "SELECT mean(v), max(n) FROM (SELECT v, n FROM one), (SELECT v, n FROM one WHERE n > 2)",
        "SELECT v, n FROM (SELECT v FROM one), (SELECT n FROM one)",
        "SELECT v, host FROM one, (SELECT v, host FROM one WHERE n > 3)",
        "SELECT sum(v) FROM (SELECT v FROM one), (SELECT n AS v FROM one), one WHERE BOUNDS GROUP BY time(30s)",
        "SELECT difference(v) FROM (SELECT mean(v) AS v FROM two GROUP BY time(10s)), (SELECT max(n) AS v FROM two GROUP BY time(10s)) WHERE BOUNDS",
        "SELECT x FROM (SELECT y AS x FROM (SELECT v AS y FROM A), (SELECT n AS y FROM two)) WHERE x > 3",
        "SELECT mean(v) FROM (SELECT v FROM A, B, one) GROUP BY host",
        "SELECT mean(x) FROM (SELECT v AS x FROM /^(one|two|w.*)$/)",
        "SELECT mean(v) FROM m, OTHER..m",
        "SELECT v, n FROM m, OTHER..m",
        "SELECT v, host FROM m, OTHER.autogen.m WHERE n > 1",
        "SELECT * FROM m, OTHER..m LIMIT 9 OFFSET 2",
        "SELECT max(v), host FROM m, OTHER..m WHERE host != ''",
        "SELECT first(v), last(n) FROM OTHER..m, m WHERE BOUNDS GROUP BY time(20s), host",
        "SELECT sum(v) FROM m, OTHER..m WHERE BOUNDS GROUP BY time(20s), host fill(0)",
        "SELECT percentile(v, 90), median(n) FROM m, OTHER..m",
        "SELECT top(v, host, 3) FROM m, OTHER..m",
        "SELECT top(v, 3), host FROM m, OTHER..m WHERE host != 'h1'",
        "SELECT bottom(v, 2), n, region, host FROM OTHER..m, m WHERE BOUNDS GROUP BY time(20s)",
        "SELECT mean(x) FROM (SELECT v AS x FROM m, OTHER..m WHERE n > 1 GROUP BY host)",
        "SELECT mean(x) FROM (SELECT v AS x FROM m), (SELECT v AS x FROM OTHER..m) GROUP BY host",
        "SELECT v FROM m, OTHER..m GROUP BY host",
        "SELECT v, n FROM OTHER..m, m GROUP BY region LIMIT 7",
        "SELECT v FROM m, OTHER..m GROUP BY host LIMIT 3 OFFSET 2",
        "SELECT v, region FROM OTHER..m, m GROUP BY host ORDER BY time DESC LIMIT 5",
        "SELECT max(p), count(q), mean(q) FROM (SELECT v AS p FROM one), (SELECT n AS q FROM two)",
        "SELECT min(*) FROM (SELECT v AS p FROM one), (SELECT n AS q, s AS r FROM one) GROUP BY region",
        "SELECT sum(q), count(q) FROM (SELECT v AS p FROM one), two, (SELECT n AS q FROM one) WHERE BOUNDS GROUP BY time(20s)",
        "SELECT sum(n), first(v) FROM (SELECT v AS p FROM one), two GROUP BY host",
        "SELECT last(q) FROM (SELECT n AS q FROM one), (SELECT v AS p FROM one)",
        "SELECT max(q) FROM (SELECT n AS p FROM one), (SELECT v AS q FROM one)",
        "SELECT difference(x) FROM (SELECT n AS y FROM two), (SELECT max(n) AS x FROM two GROUP BY host), (SELECT max(v) AS x FROM two GROUP BY host)",
        "SELECT percentile(x, 50) FROM (SELECT n AS y FROM two), (SELECT max(n) AS x FROM two GROUP BY host), (SELECT max(v) AS x FROM two GROUP BY host) GROUP BY region",
        "SELECT v FROM one, one",
        "SELECT mean(v), count(n) FROM one, db.autogen.one GROUP BY host",
        "SELECT min(n) FROM (SELECT v FROM A), B",
        "SELECT sum(n) + 1, count(n) FROM (SELECT max(v) AS v FROM A), B GROUP BY host",
        "SELECT max(x) FROM (SELECT last(n) AS x FROM (SELECT v FROM A), B)",
        "SELECT first(n), host FROM B, (SELECT v FROM A)",
        "SELECT max(v) FROM (SELECT n FROM A), B",
        "SELECT top(n, host, 2) FROM (SELECT v FROM A), B",
        "SELECT max(n) FROM (SELECT n FROM A SLIMIT 3 SOFFSET 2), (SELECT v FROM B)",
        "SELECT count(x) FROM (SELECT max(n) AS x FROM (SELECT n FROM A LIMIT 6), (SELECT v FROM B)) SLIMIT 1 SOFFSET 1",
        "SELECT bottom(n, host, 1) FROM (SELECT v FROM one), two GROUP BY region",
        "SELECT top(n, 2) FROM (SELECT v FROM one), two",
        "SELECT * FROM (SELECT max(n) AS host FROM A), one",
        "SELECT /^h/, v, host FROM (SELECT max(v) AS host FROM one), two LIMIT 5",
        "SELECT * FROM (SELECT count(v) AS region FROM two GROUP BY host), B, two GROUP BY host",
    ];
    let queries = queries.map(|text| {
        let named = text.replace("FROM A", &format!("FROM {a}")).replace("FROM B", &format!("FROM {b}"));
        let named = named.replace(", B", &format!(", {b}")).replace("OTHER", &loaded.other);
        named.replace("BOUNDS", BOUNDS)
    });
    loaded.judged.assert_same(&queries);
}

/// A call of all rows ends at a subquery's window that begins before its range, for the series behind too.
#[test]
fn answers_end_where_influxdb_ends_them() {
    let loaded = loaded();
    let [a, b] = &loaded.whole;
    let mut queries = Vec::new();
    for call in ["max(x)", "mean(x), count(x)", "median(x)", "first(x)", "count(distinct(x))", "top(x, 2)"] {
        for from in ["one", "two", &format!("one, {b}, two, {a}")] {
            for (inner, outer) in [("time(20s)", "host"), ("time(20s), host", "region"), ("time(30s), host", "host")] {
                let inner = format!("SELECT max(v) AS x FROM {from} GROUP BY {inner}");
                let backwards = format!("{BOUNDS} GROUP BY {outer} ORDER BY time DESC");
                queries.push(format!("SELECT {call} FROM ({inner}) WHERE {backwards}"));
            }
        }
    }
    queries.push(format!("SELECT max(x) FROM (SELECT mean(v) AS x FROM {a}, {b} GROUP BY time(20s)) WHERE {BOUNDS}"));
    // Measurements beside the subquery are behind it where the call reads both as one.
    for call in ["median(v)", "percentile(v, 90)", "stddev(v)", "mode(v)", "top(v, 2)", "count(distinct(v))", "max(v)"]
    {
        for (inner, beside) in [("one", "two"), ("one", "one, two"), (a, "one"), ("two", &format!("one, {b}, two"))] {
            let from = format!("(SELECT mean(v) AS v FROM {inner} GROUP BY time(20s), host), {beside}");
            let outers = ["", " GROUP BY host", " ORDER BY time DESC"];
            queries.extend(outers.map(|outer| format!("SELECT {call} FROM {from} WHERE {BOUNDS}{outer}")));
        }
    }
    loaded.judged.assert_same(&queries);
}

#[test]
fn rows_inside_are_cut_in_each_storage_shard() {
    let queries = [
        "SELECT v, host FROM (SELECT v FROM long GROUP BY host LIMIT 2)",
        "SELECT v, host FROM (SELECT v FROM long GROUP BY host LIMIT 1 OFFSET 1)",
        "SELECT mean(v) FROM (SELECT v FROM long GROUP BY host LIMIT 3)",
        "SELECT v FROM (SELECT v FROM long OFFSET 3)",
        "SELECT v, host FROM (SELECT v, host FROM long OFFSET 2) GROUP BY host",
        "SELECT sum(v) FROM (SELECT v FROM long LIMIT 9 OFFSET 2)",
        "SELECT v, n FROM (SELECT v, n FROM long LIMIT 5) ORDER BY time DESC",
        "SELECT v, host FROM (SELECT v FROM long GROUP BY host LIMIT 2) ORDER BY time DESC LIMIT 9",
        "SELECT count(v) FROM (SELECT v FROM long, one GROUP BY host LIMIT 2)",
        "SELECT max(x) FROM (SELECT mean(v) AS x FROM long WHERE time < 1603000000s GROUP BY time(7d), host LIMIT 2)",
        "SELECT mean(x) FROM (SELECT last(v) AS x FROM long GROUP BY host)",
    ];
    loaded().judged.assert_same(&queries.map(str::to_owned));
}

/// Of several series' points at one time.
#[test]
fn the_first_and_last_of_one_time() {
    let loaded = loaded();
    let outers = [
        "SELECT x FROM INNER",
        "SELECT x FROM INNER GROUP BY host",
        "SELECT x, y FROM INNER GROUP BY region ORDER BY time DESC",
        "SELECT sum(x), count(x) FROM INNER GROUP BY region, host",
        "SELECT max(x) FROM INNER WHERE BOUNDS",
    ];
    let mut inners = Vec::new();
    for call in ["first", "last"] {
        for (field, from) in [("v", "SPLIT"), ("n", "SPLIT WHERE n > 2"), ("s", "SPLIT"), ("ok", "SPLIT WHERE v > 1")] {
            for by in ["", " GROUP BY host", " GROUP BY region", " GROUP BY host, region"] {
                inners.push(format!("SELECT {call}({field}) AS x FROM {from}{by}"));
                inners.push(format!("SELECT {call}({field}) AS x, host AS y FROM {from}{by}"));
            }
        }
        inners.push(format!("SELECT {call}(v) AS x, count(v) AS y FROM long GROUP BY nothing"));
        inners.push(format!("SELECT {call}(v) AS x, min(n) AS y FROM SPLIT, long GROUP BY region"));
    }
    let inners: Vec<&str> = inners.iter().map(String::as_str).collect();
    loaded.judged.assert_same_with_rows(&over_split(&product(&outers, &inners)), 60);
}

/// What a series of the answer gets hangs on those before it.
#[test]
fn all_series_are_one_stream() {
    let loaded = loaded();
    let outers = [
        "SELECT x FROM INNER WHERE BOUNDS GROUP BY region",
        "SELECT x, host FROM INNER WHERE BOUNDS GROUP BY host ORDER BY time DESC LIMIT 4",
        "SELECT * FROM INNER WHERE BOUNDS AND x > 1 GROUP BY region LIMIT 5 OFFSET 1",
        "SELECT top(x, 2) FROM INNER WHERE BOUNDS GROUP BY time(40s), region",
        "SELECT bottom(x, host, 2) FROM INNER WHERE BOUNDS GROUP BY time(40s)",
        "SELECT max(x), host FROM INNER WHERE BOUNDS GROUP BY region",
        "SELECT difference(x) FROM INNER WHERE BOUNDS GROUP BY host",
        "SELECT derivative(mean(x)), max(x), count(x) FROM INNER WHERE BOUNDS GROUP BY time(30s), region",
        "SELECT distinct(x) FROM INNER WHERE BOUNDS GROUP BY time(40s), host ORDER BY time DESC",
        "SELECT median(x), spread(x) FROM INNER WHERE BOUNDS GROUP BY time(25s), region fill(linear)",
        "SELECT sum(x) FROM INNER WHERE BOUNDS GROUP BY time(30s), host fill(previous)",
        "SELECT first(x) FROM INNER WHERE BOUNDS GROUP BY time(20s), region ORDER BY time DESC",
        "SELECT count(distinct(x)) FROM INNER WHERE BOUNDS GROUP BY host",
        "SELECT sample(x, 1000) FROM INNER WHERE BOUNDS GROUP BY time(40s), region",
        "SELECT holt_winters_with_fit(mean(x), 3, 0) FROM INNER WHERE BOUNDS GROUP BY time(20s), region",
        "SELECT count(z) FROM (SELECT moving_average(x, 2) AS z FROM INNER GROUP BY host) WHERE BOUNDS GROUP BY region",
    ];
    let inners = [
        "SELECT max(v) AS x, count(ok) AS y FROM SPLIT GROUP BY time(9s), host",
        "SELECT derivative(mean(v), 10s) AS x, mean(n) AS y FROM SPLIT GROUP BY time(20s), host, region",
        "SELECT max(v) AS x FROM SPLIT WHERE v > 1.5 GROUP BY time(20s), host fill(previous)",
        "SELECT max(v) AS x FROM SPLIT GROUP BY time(10s), host fill(0)",
        "SELECT mean(v) AS x FROM SPLIT GROUP BY time(15s), host, region fill(linear)",
        "SELECT v AS x FROM SPLIT), (SELECT n AS x FROM SPLIT",
        "SELECT v AS x, host FROM SPLIT GROUP BY host), (SELECT mean(v) AS x FROM SPLIT GROUP BY time(20s), region",
        "SELECT x FROM (SELECT min(n) AS x FROM SPLIT GROUP BY time(10s), region), (SELECT v AS x FROM one WHERE n > 2)",
    ];
    loaded.judged.assert_same_with_rows(&over_split(&product(&outers, &inners)), 80);
    let [a, b] = &loaded.whole;
    let queries = [
        "SELECT v FROM (SELECT n AS v FROM one GROUP BY host), one, WHOLE1, WHOLE0 GROUP BY region",
        "SELECT v, host FROM WHOLE0, (SELECT max(n) AS v FROM one GROUP BY time(20s), host), WHOLE1 WHERE BOUNDS GROUP BY host",
        "SELECT difference(v) FROM (SELECT v FROM one), one GROUP BY host",
        "SELECT mean(v), max(n) FROM (SELECT v, n FROM one), two, WHOLE0 GROUP BY host, region",
        "SELECT last(v) FROM (SELECT mean(v) AS v FROM one GROUP BY host), two WHERE BOUNDS GROUP BY time(30s), region",
        "SELECT top(v, 3) FROM (SELECT v FROM one), WHOLE1, one WHERE BOUNDS GROUP BY time(40s), host",
        "SELECT sum(x) FROM (SELECT v AS x FROM one), (SELECT mean(x) AS x FROM (SELECT v AS x FROM two), (SELECT n AS x FROM WHOLE0) GROUP BY host) GROUP BY host",
    ];
    let queries = queries.map(|text| text.replace("WHOLE0", a).replace("WHOLE1", b).replace("BOUNDS", BOUNDS));
    loaded.judged.assert_same(&queries);
}

/// Though each group has series of the answer of its own: calls are joined by tags before those.
#[test]
fn calls_are_joined_by_tags_that_the_answer_does_not_have() {
    let loaded = loaded();
    let outers = ["x, y", "x", "y, host", "median(x), max(y)", "sum(x) - sum(y)", "count(x)"];
    let inners = ["sum(n) AS x, sum(v) AS y", "first(n) AS x, max(v) - min(n) AS y", "mode(s) AS y, last(n) AS x"];
    let conditions = ["n > 6 OR v > 5", "ok = true AND n < 0 OR v < -1.5", "s = 'x' AND (v > 4 OR n > 7)"];
    let mut queries = Vec::new();
    for (outer, inner) in outers.iter().flat_map(|outer| inners.map(|inner| (outer, inner))) {
        for condition in conditions {
            let within = format!("SELECT {inner} FROM late WHERE {condition} GROUP BY host, region");
            for rest in ["", " ORDER BY time DESC", " LIMIT 1"] {
                queries.push(format!("SELECT {outer} FROM ({within}) GROUP BY region{rest}"));
            }
        }
    }
    loaded.judged.assert_same(&queries);
}

/// A percentile of too low a rank, a prediction of too few points: whoever reads it is told that there is no more, and may ask
/// again.
#[test]
fn windows_without_a_point() {
    let outers = [
        "SELECT x FROM INNER",
        "SELECT x, host FROM INNER WHERE BOUNDS GROUP BY region",
        "SELECT max(x) FROM INNER WHERE BOUNDS",
        "SELECT mean(x), count(x) FROM INNER WHERE BOUNDS GROUP BY region",
        "SELECT sum(x) FROM INNER WHERE BOUNDS GROUP BY time(40s), host fill(linear)",
        "SELECT count(x), last(x) FROM INNER WHERE BOUNDS GROUP BY time(20s), region ORDER BY time DESC",
        "SELECT percentile(x, 20), max(x) FROM INNER WHERE BOUNDS GROUP BY time(30s), host LIMIT 3",
        "SELECT difference(x) FROM INNER WHERE BOUNDS GROUP BY host",
        "SELECT top(x, 2) FROM INNER WHERE BOUNDS AND x > 1 GROUP BY region",
        "SELECT bottom(x, host, 2) FROM INNER WHERE BOUNDS GROUP BY time(30s)",
        "SELECT count(distinct(x)) FROM INNER GROUP BY host",
        "SELECT mean(z) FROM (SELECT x + 1 AS z FROM INNER WHERE x > 0 LIMIT 3 OFFSET 1) WHERE BOUNDS GROUP BY host",
        "SELECT max(x), count(x) FROM INNER, (SELECT max(n) AS x FROM SPLIT GROUP BY host) GROUP BY region",
        "SELECT x FROM INNER, (SELECT v AS x FROM SPLIT) GROUP BY host",
        "SELECT count(x), median(x) FROM (SELECT n AS y FROM SPLIT), INNER GROUP BY host",
    ];
    let inners = [
        "SELECT percentile(v, 9) AS x FROM SPLIT GROUP BY host",
        "SELECT percentile(n, 12) AS x, host FROM SPLIT GROUP BY region",
        "SELECT percentile(v, 25) AS x FROM SPLIT WHERE BOUNDS GROUP BY time(20s), host",
        "SELECT percentile(v, 20) AS x, max(n) AS y FROM SPLIT WHERE BOUNDS GROUP BY time(30s), host",
        "SELECT percentile(n, 20) AS x FROM SPLIT, WHOLE WHERE BOUNDS GROUP BY time(20s), region fill(0)",
        "SELECT percentile(v, 15) AS x FROM SPLIT WHERE BOUNDS GROUP BY time(20s), region fill(previous) LIMIT 4 OFFSET 1",
        "SELECT percentile(n, 30) AS x FROM SPLIT WHERE BOUNDS GROUP BY time(10s), host fill(linear)",
        "SELECT difference(percentile(n, 35)) AS x FROM SPLIT WHERE BOUNDS GROUP BY time(20s), host",
    ];
    let loaded = loaded();
    let mut queries = product(&outers, &inners);
    queries.extend(product(
        &[
            "SELECT holt_winters(max(a), 2, 20) FROM INNER WHERE BOUNDS GROUP BY time(10s), host",
            "SELECT count(x) FROM (SELECT holt_winters_with_fit(percentile(a, 30), 1, 0) AS x FROM INNER WHERE BOUNDS GROUP BY time(20s), host) GROUP BY region",
        ],
        &["SELECT v AS a FROM SPLIT", "SELECT v AS a FROM SPLIT, WHOLE WHERE n > 4"],
    ));
    let queries: Vec<String> = queries.iter().map(|q| q.replace("WHOLE", &loaded.whole[0])).collect();
    loaded.judged.assert_same_with_rows(&over_split(&queries), 40);
}

/// top() and bottom() take rows that are cut already, but for those with tags.
#[test]
fn the_best_of_what_is_cut() {
    let loaded = loaded();
    let outers = [
        "SELECT x FROM INNER",
        "SELECT x FROM INNER GROUP BY region",
        "SELECT sum(x), count(x) FROM INNER WHERE BOUNDS GROUP BY host",
        "SELECT x FROM INNER GROUP BY host ORDER BY time DESC",
    ];
    let inners = [
        "SELECT top(v, 2) AS x FROM SPLIT LIMIT 3",
        "SELECT top(v, 3) AS x FROM SPLIT GROUP BY host LIMIT 3",
        "SELECT bottom(n, 2) AS x FROM SPLIT WHERE v > 1 GROUP BY region LIMIT 4 OFFSET 1",
        "SELECT top(v, host, 2) AS x FROM SPLIT LIMIT 2",
        "SELECT bottom(v, host, 3) AS x, n FROM SPLIT GROUP BY region LIMIT 3 OFFSET 1",
        "SELECT top(v, 2) AS x FROM SPLIT WHERE BOUNDS GROUP BY time(30s), host LIMIT 3",
        "SELECT bottom(v, 2) AS x FROM long GROUP BY host LIMIT 2",
        "SELECT top(v, 4) AS x FROM long, SPLIT LIMIT 5 OFFSET 1",
    ];
    loaded.judged.assert_same_with_rows(&over_split(&product(&outers, &inners)), 80);
}

/// Windows, and times that WHERE names, are of the zone of the SELECT that they stand in; told are times in that of the outermost.
#[test]
fn each_select_has_its_own_time_zone() {
    let outers = [
        "SELECT x FROM INNER WHERE time < 1617100000s",
        "SELECT x FROM INNER WHERE time > '2021-03-27 12:00:00' AND time < '2021-03-29'",
        "SELECT sum(x) FROM INNER WHERE time >= '2021-03-27' AND time < '2021-03-29 06:00:00' GROUP BY time(1d)",
        "SELECT mean(x) FROM INNER WHERE time > 1616800000s AND time < 1617100000s GROUP BY time(6h) fill(0)",
        "SELECT max(x) FROM INNER WHERE time > 1616800000s AND time < 1617100000s GROUP BY time(12h), host",
        "SELECT difference(max(x)) FROM INNER WHERE time > 1616800000s AND time < 1617100000s GROUP BY time(1d)",
        "SELECT last(x) FROM INNER WHERE time < '2021-03-29' ORDER BY time DESC",
    ];
    let inners = [
        "SELECT v AS x FROM hours",
        "SELECT mean(v) AS x FROM hours GROUP BY host",
        "SELECT count(v) AS x FROM hours WHERE time > '2021-03-27 05:00:00' GROUP BY time(1d), host",
        "SELECT max(v) AS x FROM hours GROUP BY time(6h)",
        "SELECT sum(n) AS x FROM hours WHERE time > '2021-03-27' GROUP BY time(3h), host fill(previous)",
    ];
    let (own, none) = (" tz('Europe/Berlin')", "");
    let mut queries = Vec::new();
    for (outer, inner) in [(own, none), (none, own), (own, own), (own, " tz('America/New_York')")] {
        let with = |texts: &[&str], zone: &str| texts.iter().map(|text| format!("{text}{zone}")).collect::<Vec<_>>();
        let inners = with(&inners, inner);
        for outer in with(&outers, outer) {
            queries.extend(inners.iter().map(|inner| outer.replace("INNER", &format!("({inner})"))));
        }
    }
    queries.push("SELECT v, host FROM hours, OTHER..hours WHERE time > '2021-03-28' tz('Europe/Berlin')".to_owned());
    let loaded = loaded();
    let queries: Vec<String> = queries.iter().map(|q| q.replace("OTHER", &loaded.other)).collect();
    loaded.judged.assert_same(&queries);
    // With the zone's offsets.
    loaded.judged.assert_same_as(&queries, &[], 80);
}

#[test]
fn what_is_not_exact_is_refused() {
    let loaded = loaded();
    for (q, words) in [
        (
            "SELECT distinct(x) FROM (SELECT stddev(v) AS x FROM one WHERE BOUNDS GROUP BY time(5s), host)",
            "distinct() of numbers and of what is none",
        ),
        ("SELECT max(x) FROM (SELECT mean(v) AS x FROM one tz('Local'))", "tz('Local'), a zone not known here"),
        (
            "SELECT max(v) FROM (SELECT percentile(v, 9) AS v FROM one WHERE BOUNDS GROUP BY time(20s), host), two WHERE host = 'x'",
            "a subquery of whose windows percentile() or holt_winters() makes no point, beside a measurement",
        ),
        (
            "SELECT sum(n) FROM one, (SELECT v AS p FROM one), (SELECT n FROM one) WHERE host = 'x'",
            "sum() of n::integer beside a subquery without it",
        ),
        (
            "SELECT * FROM (SELECT first(s) AS host FROM one), two",
            "which is a tag, beside a subquery's column of texts,",
        ),
        ("SELECT count(v) FROM two, (SELECT s + 1 AS v FROM one)", "has no type, since what a subquery puts together"),
        ("SELECT x FROM (SELECT v AS x FROM one) WHERE x =~ /(?<!a)b/", "error parsing"),
    ] {
        let q = q.replace("OTHER", &loaded.other).replace("BOUNDS", BOUNDS);
        let seen = loaded.judged.cluster.http().query("db", &q);
        assert!(seen.status == 400 && seen.text().contains(words), "`{q}`: {}", seen.text());
    }
}

/// What is wrong with a subquery is an error once somebody reads it, and only then.
#[test]
fn what_nobody_reads_may_be_wrong() {
    let loaded = loaded();
    let mut read = Vec::new();
    for inner in ["max(s)", "sum(s)", "derivative(s)", "mean(ok)", "top(s, 1)"] {
        for outer in ["count(y)", "count(s), last(y)", "y", "first(y), host"] {
            let inner = format!("(SELECT {inner} AS x FROM one GROUP BY host)");
            read.push(format!("SELECT {outer} FROM {inner}"));
            read.push(format!("SELECT {} FROM {inner}", outer.replace('y', "x")));
            read.push(format!("SELECT {outer} FROM (SELECT x AS z FROM {inner})"));
            read.push(format!("SELECT {outer} FROM {inner} GROUP BY region"));
        }
    }
    // What does not fit has no type, nor has what is made of it.
    for misfit in ["v | 1.5", "v | 1.5 | n", "(v & n) ^ n", "n + (s * 2)"] {
        read.push(format!("SELECT x FROM (SELECT {misfit} AS x FROM one)"));
        read.push(format!("SELECT x, y FROM (SELECT {misfit} AS x, n AS y FROM one WHERE host = 'h1')"));
        for beside in [
            "(SELECT n AS x FROM two), (SELECT MISFIT AS x FROM one)",
            "(SELECT MISFIT AS x FROM one), (SELECT v AS x FROM two)",
        ] {
            for columns in ["x", "sum(x)", "last(x)"] {
                read.push(format!("SELECT {columns} FROM {}", beside.replace("MISFIT", misfit)));
            }
        }
    }
    loaded.judged.assert_same_with_rows(&read, 0);
    // Beside one that is read.
    loaded.judged.assert_same(&[
        "SELECT max(y) FROM (SELECT max(s) AS x FROM one), (SELECT v AS y FROM one)".to_owned(),
        "SELECT max(y), x FROM (SELECT max(s) AS x FROM one), (SELECT v AS y FROM one)".to_owned(),
    ]);
}

/// Wildcards may mean nothing.
#[test]
fn columns_of_nothing() {
    let loaded = loaded();
    let queries = [
        "SELECT f / f - f + 1.5, f FROM (SELECT /./ AS f FROM none, nothing GROUP BY host), missing",
        "SELECT f FROM (SELECT /none/ AS f FROM nothing GROUP BY host), missing",
        "SELECT f FROM (SELECT f FROM (SELECT /none/ AS f FROM one GROUP BY host)), missing",
        "SELECT f FROM (SELECT /none/ AS f FROM one GROUP BY host)",
        "SELECT f FROM (SELECT mean(/none/) FROM one), (SELECT * FROM missing)",
    ];
    loaded.judged.assert_same_with_rows(&queries.map(str::to_owned), 0);
    loaded.judged.assert_same(&["SELECT f FROM (SELECT /none/ AS f FROM one), (SELECT v AS f FROM two)".to_owned()]);
}

/// What InfluxDB has against a statement is told in its words.
#[test]
fn errors_are_influxdbs() {
    let loaded = loaded();
    // A field that one group alone has.
    let hosts = || HOSTS.iter().enumerate().filter(|(_, host)| !host.is_empty());
    let rare = hosts().map(|(n, host)| format!("one,host={host} rare{n}=\"x\" 1600000000000000000\n"));
    let rare: String = rare.collect();
    loaded.judged.cluster.http().store("db", &rare);
    loaded.judged.reference.http().store("db", &rare);
    let of_wildcards = hosts().flat_map(|(n, _)| {
        [
            format!("SELECT v + rare{n} FROM (SELECT * FROM one)"),
            format!("SELECT 1 + rare{n} FROM (SELECT *, v FROM one GROUP BY host)"),
            format!("SELECT sum(rare{n}) + 1 FROM (SELECT /r/ FROM one GROUP BY host) GROUP BY region"),
            format!("SELECT x + 1 FROM (SELECT rare{n} AS x FROM (SELECT * FROM one))"),
        ]
    });
    let others = [
        "SELECT mean(x) FROM (SELECT s AS x FROM one)",
        "SELECT x FROM (SELECT v + s AS x FROM one)",
        "SELECT x + y FROM (SELECT v AS x, s AS y FROM one)",
        "SELECT x FROM (SELECT v AS x FROM one ORDER BY time DESC)",
        "SELECT derivative(x) FROM (SELECT v AS x FROM one) GROUP BY time(10s)",
        "SELECT mean(x), y FROM (SELECT v AS x, n AS y FROM one)",
        "SELECT nofunction(x) FROM (SELECT v AS x FROM one)",
        "SELECT x FROM (SELECT v AS x FROM nodb..one), (SELECT v AS x FROM two)",
        // What is wrong with the statement itself comes first.
        "SELECT x FROM (SELECT v AS x FROM db.nowhere.one ORDER BY time DESC)",
        "SELECT x FROM (SELECT v AS x FROM nodb..one), (SELECT v AS x FROM two ORDER BY time DESC)",
        "SELECT max(x) FROM (SELECT mean(v) AS x, n FROM db.nowhere.one), (SELECT v AS x FROM two)",
        "SELECT x FROM (SELECT v AS x FROM db.nowhere.one), (SELECT v AS x FROM two)",
        "SELECT mean(*::tag) FROM (SELECT v, host FROM one)",
        "SELECT x FROM (SELECT v AS x FROM one) WHERE x",
        "SELECT sum(host) FROM (SELECT * FROM one GROUP BY region)",
        "SELECT mean(host) FROM (SELECT * FROM one GROUP BY region) GROUP BY host",
        "SELECT max(region) FROM (SELECT v, region FROM one GROUP BY host) GROUP BY region",
        "SELECT mean(v), stddev(host) FROM (SELECT * FROM one)",
        "SELECT spread(host) FROM (SELECT * FROM one GROUP BY region), (SELECT * FROM one)",
        "SELECT x FROM (SELECT sum(host) AS x FROM (SELECT * FROM one GROUP BY region) GROUP BY host)",
    ];
    for q in others.map(str::to_owned).into_iter().chain(of_wildcards) {
        let ask = |http: Http| http.query("db", &q);
        let (seen, expected) = (ask(loaded.judged.cluster.http()), ask(loaded.judged.reference.http()));
        assert_eq!((seen.status, seen.text()), (expected.status, expected.text()), "`{q}`");
    }
}

/// What a subquery could not be asked for is no error where nothing of it is shown.
#[test]
fn what_is_not_shown_is_not_looked_at() {
    let loaded = loaded();
    for q in
        ["SELECT nothing FROM (SELECT sum(s) AS x FROM one), two", "SELECT nothing FROM (SELECT min(s) FROM one), one"]
    {
        let ask = |http: Http| http.query("db", q);
        let (seen, expected) = (ask(loaded.judged.cluster.http()), ask(loaded.judged.reference.http()));
        assert_eq!((seen.status, seen.text()), (expected.status, expected.text()), "`{q}`");
    }
}

/// The rows of a SELECT INTO whose SELECT has subqueries go where their series belong.
#[test]
fn results_can_be_written() {
    let loaded = loaded();
    for q in [
        "SELECT mean(x) AS x INTO copied FROM (SELECT max(v) AS x FROM one GROUP BY time(10s), host) WHERE BOUNDS GROUP BY time(30s), region",
        "SELECT x, host INTO :MEASUREMENT_copy FROM (SELECT v AS x FROM two GROUP BY host)",
    ] {
        let q = q.replace("BOUNDS", BOUNDS).replace(":MEASUREMENT_copy", "copied2");
        let ask = |http: Http| http.query("db", &q);
        let (seen, expected) = (ask(loaded.judged.cluster.http()), ask(loaded.judged.reference.http()));
        assert_eq!((seen.status, seen.text()), (expected.status, expected.text()), "`{q}`");
    }
    loaded.judged.assert_same(&["SELECT * FROM copied GROUP BY *", "SELECT * FROM copied2"].map(str::to_owned));
}

/// Rows that have to be held count towards the limit, and EXPLAIN tells each group's part.
#[test]
fn limits_hold_and_plans_are_told() {
    let setup = Setup::new(3, 1).rule("db", "one", &["host"]).set("query", "merge_bytes_max = \"16KiB\"");
    let cluster = setup.start();
    cluster.create_db("db");
    cluster.http().store("db", few_values(7, &[("one", &["", "eu"])]));
    let raw = cluster.http().query("db", "SELECT max(x) FROM (SELECT v AS x, n, s, ok, host FROM one)");
    assert!(raw.text().contains("query.merge_bytes_max"), "{}", raw.text());
    // The groups make few points of many rows.
    let pushed =
        cluster.http().query("db", "SELECT max(x) - min(x) AS d FROM (SELECT mean(v) AS x FROM one GROUP BY host)");
    assert!(pushed.status == 200 && pushed.text().contains("\"d\""), "{}", pushed.text());
    let plan = cluster.http().query("db", "EXPLAIN SELECT max(x) FROM (SELECT mean(v) AS x FROM one)");
    assert!(plan.text().contains("GROUP 3: SELECT v"), "{}", plan.text());
}

/// A subquery's column may be called like the time: in calls, in sums and in what a wildcard means it is that column.
#[test]
fn columns_may_be_named_time() {
    let Loaded { judged, .. } = loaded();
    let inners = [
        "SELECT v AS time FROM SPLIT",
        "SELECT n AS time, v FROM SPLIT GROUP BY host",
        "SELECT mean(v) AS time FROM SPLIT GROUP BY host",
        "SELECT host AS time, n FROM SPLIT",
        "SELECT time AS x, n FROM SPLIT",
        "SELECT time, n FROM SPLIT",
        "SELECT max(v) AS time FROM SPLIT WHERE BOUNDS GROUP BY time(20s), host",
    ];
    let mut outers: Vec<String> = Vec::new();
    for columns in [
        "sum(time)",
        "count(time)",
        "mean(time), count(n)",
        "first(time)",
        "sum(time) + 1",
        "time, n",
        "time + n",
        "derivative(time)",
        "max(time), n",
        "max(n), time",
        "*",
        "count(*)",
    ] {
        outers.push(format!("SELECT {columns} FROM INNER"));
        outers.push(format!("SELECT {columns} FROM INNER GROUP BY host"));
    }
    let outers: Vec<&str> = outers.iter().map(String::as_str).collect();
    let mut queries = product(&outers, &inners);
    let numbers: Vec<&str> = inners.iter().copied().filter(|inner| !inner.contains("host AS")).collect();
    queries.extend(product(&["SELECT sum(time) FROM SPLIT, INNER"], &numbers));
    judged.assert_same_with_rows(&over_split(&queries), 50);
}
