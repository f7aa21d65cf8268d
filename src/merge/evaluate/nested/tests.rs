//! What influxd 1.6.7 said of the same rows. `tests/subqueries.rs` asks it anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Ended, Known, Nested, Reads};
use crate::influxql::ast::Call;
use crate::influxql::{Expr, Params, Select, Statement, parse_query};
use crate::merge::evaluate::rows::Rows;
use crate::merge::evaluate::{Evaluation, Stop};
use crate::merge::results::Value;

const SECOND: i64 = 1_000_000_000;
const T: i64 = 1_600_000_000;
const BOUNDS: &str = "time >= 1600000000s AND time < 1600000090s";

fn parsed(text: &str) -> Select {
    let query = parse_query(text, &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
    match query.statements.into_iter().next() {
        Some(Statement::Select(select)) => *select,
        _ => panic!("{text}: a SELECT"),
    }
}

/// Series `h` of one measurement: seconds after `T` with v and n.
fn rows() -> Vec<Rows> {
    let of = |host: &str, points: &[(i64, f64, Option<i64>)]| {
        let tags = [("h", host), ("r", if matches!(host, "a" | "b") { "x" } else { "y" })]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec();
        let mut rows = Rows::new("m".to_owned(), tags);
        for (at, v, n) in points {
            rows.push((T + at) * SECOND, vec![Value::Float(*v), n.map_or(Value::Null, Value::Integer)]);
        }
        rows
    };
    vec![
        of("a", &[(5, 1.0, Some(1)), (25, 4.0, Some(2)), (65, 7.0, Some(3))]),
        of("b", &[(5, 2.0, Some(5)), (35, 5.0, None), (75, 8.0, Some(1))]),
        of("c", &[(5, 3.0, None), (35, 6.0, Some(7))]),
        of("", &[(75, 9.0, Some(1))]),
    ]
}

/// The same for rows that the groups give as they are: `host` parts them, which no statement here is grouped by.
fn nested(select: &Select) -> Result<Nested, Stop> {
    nested_for(select, false)
}

fn nested_for(select: &Select, writes: bool) -> Result<Nested, Stop> {
    let apart = vec![BTreeSet::from(["host".to_owned()]); if select.sources.len() > 1 { 2 } else { 1 }];
    Nested::new(select, &apart, Known::default(), Reads::LeastRows, 1_000, writes)
}

/// Rows of all series: the second after `T` (`None`: 1970), then the cells as text.
fn answer(text: &str) -> Vec<(Option<i64>, String)> {
    let select = parsed(&text.replace("BOUNDS", BOUNDS));
    let nested = nested(&select).unwrap_or_else(|stop| panic!("{text}: {stop:?}"));
    let inputs: Vec<Vec<Rows>> = nested.needs().iter().flatten().map(|need| read(need, rows())).collect();
    let (mut out, ended) = (Vec::new(), Ended::default());
    for group in nested.groups(&inputs) {
        let series = nested.series(&inputs, &group, &ended).expect("few rows");
        for row in series.into_iter().flat_map(|series| series.values) {
            let Value::Time(time) = row[0] else { panic!("{text}: no time first") };
            let cell = |cell: &Value| match cell {
                Value::Null => "-".to_owned(),
                Value::Float(number) => number.to_string(),
                Value::Integer(number) => format!("{number}i"),
                Value::String(text) => format!("{text:?}"),
                other => format!("{other:?}"),
            };
            let cells: Vec<String> = row[1..].iter().map(cell).collect();
            out.push(((time != 0).then_some(time / SECOND - T), cells.join(" ")));
        }
    }
    out
}

/// As a group gives it: the columns that are asked for.
fn read(need: &Select, rows: Vec<Rows>) -> Vec<Rows> {
    let names: Vec<&str> = need
        .fields
        .iter()
        .map(|field| match &field.expr {
            Expr::VarRef(var) => var.name.as_str(),
            // Of a first or last all rows are as good as the one.
            Expr::Call(Call { args, .. }) => match &args[0] {
                Expr::VarRef(var) => var.name.as_str(),
                other => panic!("{other} is no field"),
            },
            other => panic!("{other} is no field"),
        })
        .collect();
    let narrow = |rows: Rows| {
        let mut read = Rows::new(rows.name.clone(), rows.tags.clone());
        for row in 0..rows.len() {
            let cells = names.iter().map(|name| rows.value(usize::from(*name == "n"), row)).collect();
            read.push(rows.time(row), cells);
        }
        read
    };
    rows.into_iter().map(narrow).collect()
}

#[track_caller]
fn assert_answer(text: &str, expected: &[(i64, &str)]) {
    let expected: Vec<(Option<i64>, String)> =
        expected.iter().map(|(at, cells)| ((*at != i64::MIN).then_some(*at), (*cells).to_owned())).collect();
    assert_eq!(answer(text), expected, "{text}");
}

#[test]
fn rows_of_several_tags_take_turns() {
    let inner = "(SELECT mean(v::float) AS a, mean(n::integer) AS b FROM m GROUP BY time(30s), h)";
    assert_answer(
        &format!("SELECT a::float, b::float, h::tag FROM {inner} WHERE BOUNDS"),
        &[
            (-10, "1 1 \"a\""),
            (-10, "2 5 \"b\""),
            // Where the calls do not have the same points, InfluxDB takes the smaller tags first.
            (20, "- 2 \"a\""),
            (-10, "3 - \"c\""),
            (20, "4 - \"a\""),
            (20, "5 - \"b\""),
            (20, "6 7 \"c\""),
            (50, "9 1 \"\""),
            (50, "7 3 \"a\""),
            (50, "8 1 \"b\""),
        ],
    );
    assert_answer(
        "SELECT b::integer, h::tag FROM (SELECT v::float AS a, n::integer AS b FROM m GROUP BY h) WHERE a::float < 6",
        &[(5, "1i \"a\""), (5, "5i \"b\""), (5, "- \"c\""), (25, "2i \"a\""), (35, "- \"b\"")],
    );
}

#[test]
fn fill_and_limit_begin_anew_where_tags_change() {
    let filled = answer(
        "SELECT a::float, h::tag FROM (SELECT mean(v::float) AS a FROM m GROUP BY time(30s), h fill(0)) WHERE BOUNDS",
    );
    assert_eq!(filled.len(), 36, "nine times all four windows");
    assert_eq!(filled[..5].iter().map(|(at, _)| at.expect("a time")).collect::<Vec<_>>(), [-10, 20, 50, 80, -10]);
    let inner = "SELECT mean(v::float) AS a FROM m GROUP BY time(30s), h LIMIT 1";
    assert_eq!(
        answer(&format!("SELECT a::float FROM ({inner}) WHERE BOUNDS")).len(),
        9,
        "no two tags follow each other"
    );
}

/// As the source of influxd 1.6.7 has it (engine.go, `createVarRefIterator`): each storage shard gives so many rows.
#[test]
fn raw_rows_are_cut_in_each_storage_shard() {
    let made = |text: &str, starts: &[i64]| {
        let nested = nested(&parsed(text)).unwrap_or_else(|stop| panic!("{text}: {stop:?}"));
        assert_eq!(nested.cut_in_shards().into_iter().collect::<Vec<_>>(), [0], "{text}");
        let mut inputs: Vec<Vec<Rows>> = nested.needs().iter().flatten().map(|need| read(need, rows())).collect();
        let starts: Arc<[i64]> = starts.iter().map(|at| (T + at) * SECOND).collect();
        inputs.iter_mut().flatten().for_each(|rows| rows.know_shards(starts.clone()));
        let series = nested.series(&inputs, &nested.groups(&inputs)[0], &Ended::default()).expect("few rows");
        series.iter().map(|series| series.values.len()).sum::<usize>()
    };
    let offset = "SELECT x::float FROM (SELECT v::float AS x FROM m OFFSET 2)";
    assert_eq!((made(offset, &[]), made(offset, &[0, 30])), (1, 4), "three of each shard, without the first two");
    let apart = "SELECT x::float FROM (SELECT v::float AS x FROM m GROUP BY h LIMIT 1)";
    assert_eq!((made(apart, &[]), made(apart, &[0, 30])), (7, 9), "two of a series in each shard");
}

#[test]
fn windows_before_the_range_end_a_call_without_windows() {
    let inner = "(SELECT mean(v::float) AS a FROM m GROUP BY time(30s))";
    assert_answer(&format!("SELECT a::float FROM {inner} WHERE BOUNDS"), &[(-10, "2"), (20, "5"), (50, "8")]);
    assert_answer(&format!("SELECT max(a::float) FROM {inner} WHERE BOUNDS"), &[]);
    assert_answer(&format!("SELECT max(a::float) FROM {inner} WHERE time < 1600000090s"), &[(50, "8")]);
    assert_answer(&format!("SELECT sum(a::float) FROM {inner} WHERE time < 1600000090s"), &[(i64::MIN, "15")]);
}

#[test]
fn windows_and_bounds_are_taken_over() {
    assert_answer(
        "SELECT sum(a::float) FROM (SELECT max(v::float) AS a FROM m GROUP BY h) WHERE BOUNDS GROUP BY time(30s) fill(none)",
        &[(-10, "6"), (20, "15"), (50, "24")],
    );
    let needs = |text: &str| nested(&parsed(text)).unwrap_or_else(|stop| panic!("{stop:?}")).needs().to_vec();
    let text = "SELECT derivative(mean(x::float)) FROM (SELECT v::float AS x FROM m WHERE h::tag = 'a' AND time < 50) \
                WHERE time >= 20 AND time <= 90 GROUP BY time(10ns)";
    let need = needs(text).remove(0).and_then(|need| need.condition).map(|condition| condition.to_string());
    assert_eq!(need.as_deref(), Some("h::tag = 'a' AND time >= 10 AND time <= 49"));
    let twins = needs("SELECT mean(v::float) FROM m, e..m, other");
    assert_eq!(twins.len(), 2, "one more input for the second m");
}

#[test]
fn what_cannot_be_told_is_refused() {
    let stopped = |text: &str| match nested(&parsed(text)) {
        Err(Stop::Refused(what)) => what,
        Err(other) => panic!("{text}: {other:?}"),
        Ok(_) => panic!("{text} is not refused"),
    };
    assert!(stopped("SELECT x FROM (SELECT v::float AS x FROM m) WHERE x =~ /(?<!a)/").contains("(?<!a)"));
    let wrong = "SELECT mean(x::string) FROM (SELECT s::string AS x FROM m)";
    let wrong = nested(&parsed(wrong)).map(|nested| nested.wrong().cloned());
    assert!(matches!(wrong, Ok(Some(why)) if why.contains("unsupported mean iterator")));
    let many = "SELECT x::float FROM (SELECT mean(v::float) AS x FROM m GROUP BY time(1ms) fill(0)) WHERE BOUNDS";
    let nested = nested(&parsed(&many.replace("BOUNDS", BOUNDS))).unwrap_or_else(|stop| panic!("{stop:?}"));
    let rows: Vec<Vec<Rows>> = nested.needs().iter().flatten().map(|need| read(need, rows())).collect();
    assert_eq!(nested.series(&rows, &nested.groups(&rows)[0], &Ended::default()), Err(Stop::Rows(1_001)));
}

/// A statement with one level is the plain evaluation's.
#[test]
fn one_level_is_a_plain_evaluation() {
    for text in [
        "SELECT v::float, n::integer FROM m",
        "SELECT max(v::float), n::integer, h::tag FROM m",
        "SELECT mean(v::float), sum(n::integer) FROM m WHERE BOUNDS GROUP BY time(20s), h fill(linear)",
        "SELECT derivative(max(v::float)), count(n::integer) FROM m WHERE BOUNDS GROUP BY time(20s) fill(previous) LIMIT 3",
        "SELECT top(v::float, h::tag, 2) FROM m",
        "SELECT bottom(v::float, h::tag, 3), n::integer FROM m GROUP BY r fill(previous) LIMIT 1",
        "SELECT top(v::float, h::tag, 1) * 2 FROM m WHERE BOUNDS GROUP BY time(20s) LIMIT 1 OFFSET 1",
        "SELECT first(n::integer) FROM m GROUP BY h ORDER BY time DESC",
        "SELECT exponential_moving_average(v::float, 2), kaufmans_efficiency_ratio(n::integer, 2) FROM m",
        "SELECT mode(v::float), sample(n::integer, 3) FROM m",
        "SELECT holt_winters_with_fit(max(v::float), 2, 0) FROM m WHERE BOUNDS GROUP BY time(20s)",
    ] {
        let select = parsed(&text.replace("BOUNDS", BOUNDS));
        for writes in [false, true] {
            let plain = Evaluation::new(&select, 1_000, writes).unwrap_or_else(|stop| panic!("{text}: {stop:?}"));
            let nested = nested_for(&select, writes).unwrap_or_else(|stop| panic!("{text}: {stop:?}"));
            let need = nested.needs()[0].as_ref().expect("it has fields");
            let rows = read(need, rows());
            let mut carried = Default::default();
            let made = plain.groups(&rows).into_iter().map(|group| plain.series(&rows, &group, &mut carried));
            let made: Result<Vec<Vec<_>>, Stop> = made
                .map(|made| made.map(|made| made.into_iter().flat_map(|series| plain.written(series)).collect()))
                .collect();
            let inputs = [rows];
            let ended = Ended::default();
            let levels: Result<Vec<_>, Stop> =
                nested.groups(&inputs).iter().map(|group| nested.series(&inputs, group, &ended)).collect();
            assert_eq!(levels, made, "{text}");
        }
    }
}

/// What influxd 1.6.7 has not: over a subquery the same as without one, of each tags by themselves.
#[test]
fn averages_go_on_for_each_tags() {
    for call in [
        "exponential_moving_average(V, 2)",
        "double_exponential_moving_average(V, 2, 0)",
        "triple_exponential_moving_average(V, 2, 0)",
        "triple_exponential_derivative(V, 2, 0)",
        "relative_strength_index(V, 2, 0)",
        "chande_momentum_oscillator(V, 2, 0)",
        "kaufmans_efficiency_ratio(V, 2, 0)",
        "kaufmans_adaptive_moving_average(V, 2, 0)",
    ] {
        let of = |name: &str| call.replace('V', name);
        let alone = answer(&format!("SELECT {} FROM m WHERE BOUNDS", of("v::float")));
        assert!(!alone.is_empty(), "{call}");
        let outer = format!("SELECT {} FROM (SELECT v::float AS x FROM m) WHERE BOUNDS", of("x::float"));
        assert_eq!(answer(&outer), alone, "{call}");
        let inner = format!("SELECT x::float FROM (SELECT {} AS x FROM m) WHERE BOUNDS", of("v::float"));
        assert_eq!(answer(&inner), alone, "{call}");
        let mut apart = answer(&format!("SELECT {} FROM m WHERE BOUNDS GROUP BY h", of("v::float")));
        let mut together =
            answer(&format!("SELECT x::float FROM (SELECT {} AS x FROM m GROUP BY h) WHERE BOUNDS", of("v::float")));
        apart.sort();
        together.sort();
        assert_eq!(together, apart, "{call}");
    }
}

/// Where the groups make the points, the levels around make the same of them.
#[test]
fn calls_are_left_to_the_groups_where_they_can_be() {
    let asked = |text: &str| {
        let select = parsed(&text.replace("BOUNDS", BOUNDS));
        let apart = [BTreeSet::from(["h".to_owned()])];
        let nested = Nested::new(&select, &apart, Known::default(), Reads::LeastRows, 10, false);
        let nested = nested.unwrap_or_else(|stop| panic!("{text}: {stop:?}"));
        nested.needs()[0].as_ref().map(Select::to_string).unwrap_or_default()
    };
    for (text, pushed) in [
        ("SELECT max(x::float) FROM (SELECT mean(v::float) AS x FROM m GROUP BY time(10s), h)", true),
        ("SELECT max(x::float) FROM (SELECT mean(v::float) + 1 AS x FROM m GROUP BY time(10s)) GROUP BY h", true),
        ("SELECT max(x::float) FROM (SELECT mean(v::float) AS x FROM m GROUP BY time(10s))", false),
        ("SELECT top(x::float, h::tag, 2) FROM (SELECT mean(v::float) AS x FROM m GROUP BY time(10s))", true),
        ("SELECT x::float FROM (SELECT max(v::float) AS x, n::integer FROM m GROUP BY h)", false),
        ("SELECT x::float FROM (SELECT v::float AS x FROM m GROUP BY h)", false),
        ("SELECT x::float FROM (SELECT distinct(v::float) AS x FROM m GROUP BY h)", false),
        ("SELECT x::float FROM (SELECT max(v::float) AS x FROM m GROUP BY h) ORDER BY time DESC", false),
        (
            "SELECT derivative(mean(x::float)), max(x::float) FROM (SELECT max(v::float) AS x FROM m GROUP BY h) \
             WHERE BOUNDS GROUP BY time(10s)",
            false,
        ),
    ] {
        let seen = asked(text);
        assert_eq!(seen.ends_with("h fill(none)"), pushed, "{text}: {seen}");
    }
    let text = "SELECT sum(x::integer) FROM (SELECT count(v::float) * 2 AS x FROM m WHERE n > 1) WHERE BOUNDS GROUP BY time(10s), h";
    let expected = "SELECT count(v::float) AS c0 WHERE n > 1 AND time >= 1600000000000000000 AND time <= \
                    1600000089999999999 GROUP BY time(10s), h fill(none)";
    assert_eq!(asked(text), expected);
}
