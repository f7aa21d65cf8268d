//! What influxd 1.6.7 said of the same rows.

use super::rows::Rows;
use super::{Carried, Evaluation, Stop};
use crate::influxql::{Params, Statement, parse_query};
use crate::merge::results::Value;

const SECOND: i64 = 1_000_000_000;

/// Series `h` of one measurement, with their `v` at seconds.
fn rows(series: &[(&str, &[(i64, f64)])]) -> Vec<Rows> {
    let of = |(host, points): &(&str, &[(i64, f64)])| {
        let mut rows = Rows::new("t".to_owned(), vec![("h".to_owned(), (*host).to_owned())]);
        let row = |(time, value): &(i64, f64)| vec![Value::Time(time * SECOND), Value::Float(*value)];
        rows.extend(points.iter().map(row).collect(), 1).expect("rows");
        rows
    };
    series.iter().map(of).collect()
}

fn sample() -> Vec<Rows> {
    rows(&[
        ("a", &[(100, 3.0), (110, 3.0), (120, 13.0)]),
        ("b", &[(100, 1.0), (110, 1.0), (120, 11.0)]),
        ("c", &[(100, 2.0), (110, 2.0), (120, 12.0)]),
        ("d", &[(100, 2.0), (110, 2.0), (130, 12.0)]),
        ("e", &[(100, 9.0)]),
    ])
}

fn evaluation(text: &str) -> Result<Evaluation, Stop> {
    let query = parse_query(text, &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let Some(Statement::Select(select)) = query.statements.into_iter().next() else { panic!("{text}: a SELECT") };
    Evaluation::new(&select, 1_000, false)
}

/// Rows of all series, a time in seconds before each; what has no value is a NaN, tags are left out.
fn answer(text: &str) -> Vec<(i64, Vec<f64>)> {
    let evaluation = evaluation(text).unwrap_or_else(|stop| panic!("{text}: {stop:?}"));
    let rows = sample();
    let mut out = Vec::new();
    for series in evaluation.answer(&rows).expect("few rows") {
        for row in series.values {
            let Value::Time(time) = row[0] else { panic!("{text}: no time first") };
            out.push((
                time / SECOND,
                row[1..].iter().map(|value| super::rows::as_f64(value).unwrap_or(f64::NAN)).collect(),
            ));
        }
    }
    out
}

#[track_caller]
fn assert_answer(text: &str, expected: &[(i64, f64)]) {
    let seen = answer(text);
    let first: Vec<(i64, f64)> = seen.iter().map(|(time, values)| (*time, values[0])).collect();
    let same = first.len() == expected.len()
        && first.iter().zip(expected).all(|(a, b)| a.0 == b.0 && (a.1 == b.1 || a.1.is_nan() && b.1.is_nan()));
    assert!(same, "{text}: {first:?} instead of {expected:?}");
}

#[test]
fn raw_rows_of_one_time_come_as_in_influxdb() {
    let values = [3.0, 9.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 1.0, 13.0, 11.0, 12.0, 12.0];
    let seen: Vec<f64> = answer("SELECT v::float FROM t").into_iter().map(|(_, values)| values[0]).collect();
    assert_eq!(seen, values);
    let seen: Vec<f64> = answer("SELECT v::float, h::tag FROM t").into_iter().map(|(_, values)| values[0]).collect();
    assert_eq!(seen, [3.0, 1.0, 2.0, 2.0, 9.0, 3.0, 1.0, 2.0, 2.0, 13.0, 11.0, 12.0, 12.0], "by the tag beside them");
    let seen: Vec<f64> =
        answer("SELECT v::float FROM t ORDER BY time DESC").into_iter().map(|(_, values)| values[0]).collect();
    assert_eq!(seen, [12.0, 13.0, 11.0, 12.0, 1.0, 2.0, 2.0, 3.0, 2.0, 3.0, 9.0, 2.0, 1.0]);
}

#[test]
fn functions_answer_as_in_influxdb() {
    assert_answer("SELECT difference(v::float) FROM t", &[(110, -1.0), (120, 11.0), (130, -1.0)]);
    assert_answer("SELECT integral(v::float) FROM t WHERE time > 5s", &[(0, 210.0)]);
    assert_answer("SELECT max(v::float) FROM t", &[(120, 13.0)]);
    assert_answer("SELECT first(v::float) FROM t", &[(100, 9.0)]);
    assert_answer("SELECT last(v::float) FROM t", &[(130, 12.0)]);
    assert_answer("SELECT sum(v::float) FROM t WHERE time < 120s", &[(0, 25.0)]);
    assert_answer("SELECT derivative(v::float) FROM t ORDER BY time DESC", &[(120, 0.1), (110, -1.2), (100, 0.1)]);
    let windows = "WHERE time >= 80s AND time < 140s GROUP BY time(20s)";
    assert_answer(&format!("SELECT integral(v::float) FROM t {windows}"), &[(100, 90.0), (120, 120.0)]);
    assert_answer(
        &format!("SELECT integral(v::float) FROM t {windows} ORDER BY time DESC"),
        &[(140, -125.0), (140, 0.0), (120, -90.0), (120, 0.0)],
    );
    let windows = "WHERE time >= 80s AND time < 140s GROUP BY time(10s)";
    assert_answer(
        &format!("SELECT elapsed(mean(v::float), 1s) FROM t {windows}"),
        &[(110, 10.0), (120, 10.0), (130, 10.0)],
    );
    assert_answer(
        &format!("SELECT mean(v::float) FROM t {windows} fill(previous)"),
        &[(80, f64::NAN), (90, f64::NAN), (100, 3.4), (110, 2.0), (120, 12.0), (130, 12.0)],
    );
    assert_answer(
        &format!("SELECT distinct(v::float) FROM t {windows} LIMIT 5"),
        &[(100, 1.0), (100, 2.0), (100, 3.0), (100, 9.0), (110, 1.0)],
    );
}

#[test]
fn what_cannot_be_told_is_refused() {
    let stopped = |text: &str| match evaluation(text) {
        Err(stop) => stop,
        Ok(_) => panic!("{text} is not refused"),
    };
    assert!(matches!(stopped("SELECT new_function(v::float) FROM t"), Stop::Refused(what) if what == "new_function()"));
    let wrong = Stop::Wrong("unsupported mean iterator type: *query.stringInterruptIterator".to_owned());
    assert_eq!(stopped("SELECT mean(v::string) FROM t"), wrong);
    for (columns, windows, rows_at_least) in [
        ("mean(v::float)", "1s)", 1_001),
        ("holt_winters(mean(v::float), 1000000000000, 0)", "10s) fill(none)", 1_000_000_000_000),
        ("holt_winters_with_fit(mean(v::float), 9223372036854775807, 0)", "10s) fill(none)", i64::MAX as usize),
        ("holt_winters(mean(v::float), 2, 0)", "1u) fill(none)", 1_000_000),
    ] {
        let text = format!("SELECT {columns} FROM t WHERE time < 900000s GROUP BY time({windows}");
        let many = evaluation(&text).expect("it is ready");
        let rows = sample();
        let made = many.series(&rows, &many.groups(&rows)[0], &mut Carried::default());
        assert!(matches!(made, Err(Stop::Rows(rows)) if rows >= rows_at_least), "{text}: {made:?}");
    }
}
