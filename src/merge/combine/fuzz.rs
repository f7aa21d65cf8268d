//! The fuzz body of what is put together from parts; see `src/fuzz.rs`. `evaluate` is the slow twin: over all rows at once, and
//! for each group over its own.

use std::collections::BTreeMap;

use super::ask::{Ask, ask};
use crate::influxql::ast::{SortOrder, VarRef};
use crate::influxql::range::split_time;
use crate::influxql::{Expr, Params, Select, Statement, parse_query};
use crate::merge::evaluate::rows::Rows;
use crate::merge::evaluate::{Carried, Evaluation, Stop};
use crate::merge::results::{Series, Value};

const SECOND: i64 = 1_000_000_000;
const FIELDS: [&str; 4] = ["v::float", "n::integer", "s::string", "ok::boolean"];

/// How the columns of a SELECT are made, with GROUP BY time and without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Of what groups make of their points.
    Partials,
    /// Of a row of each series.
    Chosen,
    /// Of rows, as they come.
    Folded,
    /// Of all rows at once.
    Held,
}

use Way::{Chosen, Folded, Held, Partials};

/// Columns; how they are made in windows, and without.
pub const COLUMNS: &[(&str, Way, Way)] = &[
    ("count(v::float)", Partials, Partials),
    ("count(s::string), count(ok::boolean)", Partials, Partials),
    ("sum(n::integer)", Partials, Partials),
    ("sum(v::float) / count(v::float)", Partials, Partials),
    ("mean(v::float), mean(n::integer)", Partials, Partials),
    ("min(v::float)", Partials, Partials),
    ("max(n::integer)", Partials, Partials),
    ("max(ok::boolean)", Partials, Partials),
    ("max(v::float) - min(v::float), spread(n::integer)", Partials, Partials),
    ("spread(v::float)", Partials, Partials),
    ("stddev(v::float), stddev(n::integer)", Partials, Partials),
    ("top(v::float, 3)", Partials, Partials),
    ("bottom(n::integer, 2)", Partials, Partials),
    ("count(distinct(n::integer))", Partials, Partials),
    ("count(distinct(s::string))", Partials, Partials),
    ("first(v::float)", Folded, Chosen),
    ("last(s::string)", Folded, Chosen),
    ("first(n::integer), s::string, host::tag", Held, Chosen),
    ("last(v::float), n::integer", Held, Chosen),
    ("max(v::float), host::tag, n::integer", Held, Chosen),
    ("min(n::integer), v::float, region::tag", Held, Chosen),
    ("top(v::float, host::tag, 2)", Held, Chosen),
    ("bottom(n::integer, region::tag, 2)", Held, Chosen),
    ("first(v::float), mean(n::integer)", Folded, Held),
    ("distinct(n::integer)", Folded, Folded),
    ("distinct(s::string)", Folded, Folded),
    ("median(v::float)", Folded, Folded),
    ("median(n::integer), count(v::float)", Folded, Folded),
    ("percentile(v::float, 40)", Folded, Held),
    ("percentile(n::integer, 90), mean(v::float)", Folded, Folded),
    (
        "percentile(v::float, 0), max(ok::boolean), sum(n::integer), stddev(v::float), spread(n::integer)",
        Folded,
        Folded,
    ),
    ("difference(v::float)", Held, Held),
];

/// Such that go over windows' values.
pub const OF_WINDOWS: &[(&str, Way)] = &[
    ("derivative(mean(v::float), 1s)", Partials),
    ("difference(max(n::integer)), moving_average(sum(v::float), 2)", Partials),
    ("cumulative_sum(count(v::float))", Partials),
    ("cumulative_sum(difference(count(v::float)))", Partials),
    ("derivative(mean(v::float)), mean(v::float)", Folded),
    ("non_negative_difference(last(v::float))", Folded),
    ("elapsed(median(n::integer), 1s)", Folded),
];

const BOUNDS: &str = "WHERE time >= 15s AND time < 131s";
const CLAUSES: &[&str] = &["", BOUNDS, "GROUP BY host", "GROUP BY region, host ORDER BY time DESC"];
const WINDOWS: &[&str] = &[
    "GROUP BY time(20s)",
    "GROUP BY time(7s), host fill(previous)",
    "GROUP BY time(30s, 7s), region fill(none)",
    "GROUP BY time(20s) fill(linear)",
    "GROUP BY time(25s) fill(3) ORDER BY time DESC",
    "GROUP BY time(40s), region ORDER BY time DESC LIMIT 2",
    "GROUP BY time(20s), host LIMIT 3 OFFSET 1",
];

/// Every statement, with how it is made.
pub fn statements() -> Vec<(String, Way)> {
    let mut statements = Vec::new();
    for (columns, in_windows, without) in COLUMNS {
        statements.extend(CLAUSES.iter().map(|clause| (format!("SELECT {columns} FROM m {clause}"), *without)));
        let windows = |clause: &&str| (format!("SELECT {columns} FROM m {BOUNDS} {clause}"), *in_windows);
        statements.extend(WINDOWS.iter().map(windows));
    }
    for (columns, way) in OF_WINDOWS {
        let windows = |clause: &&str| (format!("SELECT {columns} FROM m {BOUNDS} {clause}"), *way);
        statements.extend(WINDOWS.iter().map(windows));
    }
    // InfluxDB looks at fewer points for these, and slotline refuses where there are more.
    statements.retain(|(text, _)| !(text.contains("LIMIT") && (text.contains("top(") || text.contains("bottom("))));
    statements
}

/// Whatever the points, and however they lie in groups, what is put together is what is made of all at once.
pub fn combine(input: &[u8]) {
    let [first, second, seed, points @ ..] = input else { return };
    let statements = statements();
    let (text, way) = &statements[usize::from(u16::from_be_bytes([*first, *second])) % statements.len()];
    holds(text, *way, *seed, points);
}

pub fn holds(text: &str, way: Way, seed: u8, points: &[u8]) {
    let select = parsed(text);
    let groups = groups(seed, points);
    let all: Vec<Rows> = groups.iter().flat_map(|series| rows_of(series, &fields_of(&select))).collect();
    let expected = evaluated(&select, &all);
    let (seen, by) = put_together(&select, &groups, seed);
    assert_eq!(by, way, "{text}");
    let equal = match (&expected, &seen) {
        (Ok(expected), Ok(seen)) => same(expected, seen),
        (expected, seen) => expected == seen,
    };
    assert!(equal, "{text}\n  all at once: {expected:?}\n  together:    {seen:?}\n  of {groups:?}");
}

fn parsed(text: &str) -> Select {
    let query = parse_query(text, &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let Some(Statement::Select(select)) = query.statements.into_iter().next() else { panic!("{text}: a SELECT") };
    *select
}

/// WHERE, which bounds the time if anything, so many nanoseconds wider.
fn bounds(select: &Select, wider: i64) -> Option<Expr> {
    let (_, range) = split_time(select.condition.as_ref()?, None).expect("its times can be read");
    let (earlier, later) = if select.order == Some(SortOrder::Descending) { (0, wider) } else { (wider, 0) };
    let text = format!("SELECT v FROM m WHERE time >= {} AND time <= {}", range.start - earlier, range.end + later);
    parsed(&text).condition
}

/// Two tags, and by time a cell for each of `FIELDS`.
type Points = BTreeMap<(String, String), BTreeMap<i64, [Value; 4]>>;

/// The series of three groups: many points at one time, few values.
fn groups(seed: u8, bytes: &[u8]) -> Vec<Points> {
    let mut groups = vec![Points::new(), Points::new(), Points::new()];
    for point in bytes.chunks_exact(4) {
        let [series, time, value, which] = [point[0], point[1], point[2], point[3]];
        let (host, region) = (["", "a", "b", "c"][usize::from(series % 4)], ["", "eu"][usize::from(series / 4 % 2)]);
        let group = usize::from((series % 8).wrapping_mul(31).wrapping_add(seed) % 3);
        let time = i64::from(time % 16) * 10 * SECOND + i64::from(time / 224);
        let number = i64::from(value % 16) - 5;
        let when = |bit: u8, value: Value| if which & bit == 0 { value } else { Value::Null };
        let cells = [
            when(1, Value::Float(number as f64 / 4.0)),
            when(2, Value::Integer(number / 2)),
            when(4, Value::from(["x", "y", ""][usize::from(value % 3)])),
            when(8, Value::Boolean(value % 5 == 0)),
        ];
        groups[group].entry((host.to_owned(), region.to_owned())).or_default().insert(time, cells);
    }
    groups
}

fn fields_of(select: &Select) -> Vec<VarRef> {
    Evaluation::new(select, 10_000, false).map(|evaluation| evaluation.fields).expect("it can be told")
}

/// As a group gives them: rows that have any of the fields.
fn rows_of(series: &Points, fields: &[VarRef]) -> Vec<Rows> {
    let place = |field: &VarRef| {
        FIELDS.iter().position(|name| name.split("::").next() == Some(&field.name)).expect("one of the fields")
    };
    let places: Vec<usize> = fields.iter().map(place).collect();
    let mut all = Vec::new();
    for ((host, region), points) in series {
        let mut rows = Rows::new("m".to_owned(), tags(host, region));
        let row = |(time, cells): (&i64, &[Value; 4])| {
            std::iter::once(Value::Time(*time)).chain(places.iter().map(|at| cells[*at].clone())).collect()
        };
        let valued = |row: &Vec<Value>| row[1..].iter().any(|cell| *cell != Value::Null);
        let values: Vec<Vec<Value>> = points.iter().map(row).filter(valued).collect();
        if !values.is_empty() {
            rows.extend(values, fields.len()).expect("rows");
            all.push(rows);
        }
    }
    all
}

fn tags(host: &str, region: &str) -> Vec<(String, String)> {
    vec![("host".to_owned(), host.to_owned()), ("region".to_owned(), region.to_owned())]
}

/// What it makes of rows, or what of that cannot be told.
fn evaluated(select: &Select, rows: &[Rows]) -> Result<Vec<Series>, Stop> {
    let evaluation = Evaluation::new(select, 10_000, false).expect("it can be told");
    evaluation.answer(rows)
}

/// What a group's influxd would say to its part: `*` are all tags.
fn answered(part: &Select, series: &Points) -> Vec<Series> {
    let mut part = part.clone();
    if part.group_by == [Expr::Wildcard(None)] {
        let tag = |name: &str| Expr::VarRef(VarRef { name: name.to_owned(), cast: None });
        part.group_by = vec![tag("host"), tag("region")];
    }
    evaluated(&part, &rows_of(series, &fields_of(&part))).expect("parts can be told")
}

fn put_together(select: &Select, groups: &[Points], seed: u8) -> (Result<Vec<Series>, Stop>, Way) {
    let evaluation = Evaluation::new(select, 10_000, false).expect("it can be told");
    let fields = evaluation.fields.clone();
    let asked = ask(select);
    let part = asked.part(select, &fields).map(|(part, wider)| Select { condition: bounds(select, wider), ..part });
    let combination = match &asked {
        Ask::Partials { columns, .. } => evaluation.combination(Some(columns)),
        Ask::Rows => evaluation.combination(None),
        Ask::Chosen(_) => None,
    };
    let mut carried = Carried::default();
    match (part, combination) {
        (part, Some(mut combination)) => {
            let way = if part.is_some() { Partials } else { Folded };
            for (at, group) in groups.iter().enumerate() {
                let series = match &part {
                    Some(part) => answered(part, group),
                    None => rows_of(group, &fields).iter().map(|rows| as_series(rows, &fields)).collect(),
                };
                // In pieces, as they come.
                for series in series {
                    let (mut rest, length) = (series.values.as_slice(), 1 + usize::from(seed % 7));
                    while !rest.is_empty() {
                        let (piece, behind) = rest.split_at(length.min(rest.len()));
                        let piece = Series { values: piece.to_vec(), ..series.clone() };
                        combination.take(at, piece).expect("what was asked for");
                        rest = behind;
                    }
                }
            }
            let mut made: Vec<_> = evaluation
                .in_order(combination)
                .into_iter()
                .map(|series| evaluation.combined(series, &mut carried))
                .collect();
            made.push(evaluation.last_rows(&mut carried));
            let made: Result<Vec<Vec<Series>>, Stop> = made.into_iter().collect();
            (made.map(|made| made.concat()), way)
        }
        (Some(part), None) => {
            let mut rows = Vec::new();
            for series in groups.iter().flat_map(|group| answered(&part, group)) {
                let mut chosen = Rows::new(series.name, series.tags);
                chosen.extend(series.values, fields.len()).expect("rows");
                rows.push(chosen);
            }
            (evaluated(select, &rows), Chosen)
        }
        (None, None) => {
            let rows: Vec<Rows> = groups.iter().flat_map(|group| rows_of(group, &fields)).collect();
            (evaluated(select, &rows), Held)
        }
    }
}

fn as_series(rows: &Rows, fields: &[VarRef]) -> Series {
    let row = |at: usize| {
        let cells = (0..fields.len()).map(|field| rows.value(field, at));
        std::iter::once(Value::Time(rows.time(at))).chain(cells).collect()
    };
    let columns = std::iter::once("time".to_owned()).chain(fields.iter().map(|field| field.name.clone())).collect();
    let (name, tags, values) = (rows.name.clone(), rows.tags.clone(), (0..rows.len()).map(row).collect());
    Series { name, tags, columns, values, ..Series::default() }
}

/// Floats to a billionth.
fn same(a: &[Series], b: &[Series]) -> bool {
    let cell = |(a, b): (&Value, &Value)| match (a, b) {
        (Value::Float(a), Value::Float(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0),
        (a, b) => a == b,
    };
    let row = |(a, b): (&Vec<Value>, &Vec<Value>)| a.len() == b.len() && a.iter().zip(b).all(cell);
    let series = |(a, b): (&Series, &Series)| {
        a.same_series(b)
            && a.columns == b.columns
            && a.values.len() == b.values.len()
            && a.values.iter().zip(&b.values).all(row)
    };
    a.len() == b.len() && a.iter().zip(b).all(series)
}
