//! What SELECTs become. What that answers is held against real servers in `tests/timeshift.rs`.

use crate::influxql::ast::Shift;
use crate::influxql::{Params, Statement, parse_query};

use super::Asked;
use super::read::read;
use super::work::{Work, work};

/// 2021-03-30, 12:00 UTC: two days after clocks in Berlin changed.
const NOW: i64 = 1_617_105_600_000_000_000;

fn told(work: &Work) -> String {
    match work {
        Work::Part(part) => format!("{} by {}s", part.select, part.moved.by / 1_000_000_000),
        Work::Rows(rows) => format!("rows of {} by {}s", rows.select, rows.by / 1_000_000_000),
        Work::Join(_, parts) => format!("join [{}]", parts.iter().map(told).collect::<Vec<_>>().join(" | ")),
        Work::Beside(parts) => {
            let parts: Vec<String> = parts.iter().map(|(label, part)| format!("{label}: {}", told(part))).collect();
            format!("beside [{}]", parts.join(" | "))
        }
        Work::Outer(_, inner) => format!("over [{}]", inner.iter().map(told).collect::<Vec<_>>().join(" | ")),
    }
}

fn worked(text: &str, base: Option<&str>) -> String {
    let mut query = parse_query(text, &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let base = base.and_then(Shift::parse);
    match read(&mut query, base, true).map(|mut asked| asked.pop().flatten()) {
        Ok(Some(Asked::Select(select, base))) => work(&select, base, NOW).map_or_else(|why| why, |work| told(&work)),
        Ok(other) => format!("{other:?}"),
        Err(why) => why,
    }
}

#[test]
fn selects_look_away() {
    for (text, expected) in [
        ("SELECT v AS shift FROM m", "None"),
        (
            "SELECT mean(v) AS shift_1_d FROM m WHERE time > now() - 1h GROUP BY time(1m)",
            "SELECT mean(v) AS shift_1_d FROM m WHERE time >= 1617015600000000001 AND time <= 1617019200000000000 GROUP BY \
             time(1m) by -86400s",
        ),
        (
            "SELECT mean(v) FROM m WHERE (a = 'x' OR b = 'y') AND time < 2d GROUP BY time(7s, 2s) TIMESHIFT 10s",
            "SELECT mean(v) FROM m WHERE (a = 'x' OR b = 'y') AND time <= 172809999999999 GROUP BY time(7s, 5s) by 10s",
        ),
        (
            "SELECT max(x) FROM (SELECT mean(v) AS x FROM m WHERE time > 9d GROUP BY time(1w)) WHERE time < 30d TIMESHIFT -1d",
            "SELECT max(x) FROM (SELECT mean(v) AS x FROM m WHERE time >= 691200000000001 GROUP BY time(1w, 6d)) WHERE time \
             <= 2505599999999999 by -86400s",
        ),
        (
            "SELECT mean(v) AS shift_1_d FROM m WHERE time > now() - 1h GROUP BY (time(7s)), ((host))",
            "SELECT mean(v) AS shift_1_d FROM m WHERE time >= 1617015600000000001 AND time <= 1617019200000000000 GROUP BY \
             time(7s, 1s), host by -86400s",
        ),
        // The windows of a zone's days, where no clocks change over them.
        (
            "SELECT mean(v) AS shift_1_d FROM m WHERE time >= '2021-05-04' AND time < '2021-05-06' GROUP BY time(1d) \
             tz('Europe/Berlin')",
            "SELECT mean(v) AS shift_1_d FROM m WHERE time >= 1619992800000000000 AND time <= 1620165599999999999 GROUP BY \
             time(1d, 22h) by -86400s",
        ),
        (
            "SELECT mean(v) AS shift_1_w FROM m WHERE time >= '2021-03-29' AND time < '2021-03-30' GROUP BY time(1d) \
             tz('Europe/Berlin')",
            "rows of SELECT mean(v) AS shift_1_w FROM m WHERE time >= '2021-03-29' AND time < '2021-03-30' GROUP BY time(1d) \
             TZ('Europe/Berlin') by -601200s",
        ),
        (
            "SELECT v AS a, v AS shift_1_d FROM m WHERE time >= 5d LIMIT 3",
            "join [SELECT v AS a FROM m WHERE time >= 5d by 0s | SELECT v AS shift_1_d FROM m WHERE time >= 345600000000000 by \
             -86400s]",
        ),
        (
            "SELECT v FROM m WHERE time >= 5d TIMESHIFT 0s, -1d",
            "beside [0s: SELECT v FROM m WHERE time >= 5d by 0s | -1d: SELECT v FROM m WHERE time >= 345600000000000 by -86400s]",
        ),
        (
            "SELECT a - b FROM (SELECT mean(v) AS a FROM m), (SELECT mean(v) AS b FROM m TIMESHIFT -1d) WHERE time >= 5d AND \
             time < 6d GROUP BY time(1h), host",
            "over [SELECT mean(v) AS a FROM m WHERE time >= 432000000000000 AND time <= 518399999999999 GROUP BY time(1h), host \
             fill(none) by 0s | SELECT mean(v) AS b FROM m WHERE time >= 345600000000000 AND time <= 431999999999999 GROUP BY \
             time(1h), host fill(none) by -86400s]",
        ),
    ] {
        assert_eq!(worked(text, None), expected, "{text}");
    }
}

#[test]
fn a_requests_own_shift_adds_up() {
    assert_eq!(
        worked("SELECT v FROM m WHERE time >= 9d", Some("-1w")),
        "SELECT v FROM m WHERE time >= 172800000000000 by -604800s"
    );
    assert_eq!(
        worked("SELECT v AS shift_1_d FROM m WHERE time >= 9d", Some("-1w")),
        "SELECT v AS shift_1_d FROM m WHERE time >= 86400000000000 by -691200s"
    );
    assert!(worked("DELETE FROM m", Some("-1w")).contains("nothing can be written"));
    assert_eq!(worked("SHOW DATABASES", Some("-1w")), "None");
}

#[test]
fn nothing_that_influxdb_does_not_know_is_left() {
    let text = "SELECT v FROM (SELECT v FROM m TIMESHIFT -1w) TIMESHIFT 0s, -1d; SELECT w FROM m";
    let mut query = parse_query(text, &Params::new()).expect("it is InfluxQL and more");
    let asked = read(&mut query, None, true).expect("it is right");
    assert!(matches!(asked.as_slice(), [Some(Asked::Select(..)), None]));
    assert_eq!(query.to_string(), "SELECT v FROM (SELECT v FROM m); SELECT w FROM m");
    let whole = matches!(&query.statements[1], Statement::Select(_));
    assert!(whole && read(&mut query, None, true) == Ok(Vec::new()));
}
