//! Literals where InfluxDB reads them in ways of its own: times and lengths that are calculated or run over, intervals of
//! nothing, parameters that hold a regular expression, now() that is no function. Over measurements split over three groups
//! the answer is the one that a single InfluxDB gives.

mod support;

use support::*;

struct Loaded {
    cluster: Cluster,
    reference: Influxd,
}

fn loaded() -> Loaded {
    let setup = Setup::new(3, 1).rule("db", "split", &["host"]).rule("db", "twice", &["host", "dc"]);
    let cluster = setup.start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    let mut body = String::new();
    for name in ["split", "twice", "whole"] {
        for host in 0..8 {
            let second = i64::from(host) * 1_000_000_000;
            body.push_str(&format!(
                "{name},host=h{host},dc=d{} v={host}.5,n={host}i,s=\"x{host}\" {second}\n",
                host % 2
            ));
        }
    }
    cluster.http().store("db", &body);
    reference.http().store("db", &body);
    Loaded { cluster, reference }
}

impl Loaded {
    #[track_caller]
    fn assert_same(&self, q: &str, params: &str) {
        let form = client::form(&[("db", "db"), ("params", params), ("q", q)]);
        let ask = |http: Http| http.send(&Request::new("GET", &format!("/query?{form}")));
        let (seen, expected) = (ask(self.cluster.http()), ask(self.reference.http()));
        let about = format!("`{q}` with {params:?}");
        assert_eq!(seen.text(), expected.text(), "{about}");
        assert_eq!(seen.full_verdict(), expected.full_verdict(), "{about}");
    }

    /// Of each measurement that is split, and one that is not; `{m}` stands for it.
    #[track_caller]
    fn assert_same_of_all(&self, q: &str, params: &str) {
        for name in ["split", "twice", "whole"] {
            self.assert_same(&q.replace("{m}", name), params);
        }
    }
}

#[test]
fn times_are_calculated_as_influxdb_does() {
    let loaded = loaded();
    for time in [
        "99999999999d",
        "now() + 99999999999d",
        "now() + 'x'",
        "'x' + (now())",
        "now() + now()",
        "now() - now()",
        "(now()) + '1970-01-02'",
        "now() + ('1970-01-02' + 'x')",
        "now() - 'x'",
        "106752d",
        "99999999999999999999s",
        "5 * 2",
        "5s * 2",
        "10 / 4",
        "5s / 2",
        "7 % 4",
        "5 & 3",
        "5 | 2",
        "5 ^ 1",
        "1 / 0",
        "5s / 0",
        "1.5",
        "1500000000000000000.5",
        "1.5 + 2",
        "5 - 1h",
        "1h - 5",
        "'1970-01-02' - '1970-01-01'",
        "'1970-01-01' + 2s",
        "2s + '1970-01-01'",
        "2 - '2000-01-01'",
        "'x'",
        "'a' + 'b'",
        "18446744073709551615",
        "-9223372036854775807",
        "9223372036854775806",
        "'2263-01-01'",
        "'1600-01-01'",
        "host",
        "true",
        "now",
        "-(5s)",
        "9223372036854775807 * 2",
        "'2262-01-01' + 5000d",
    ] {
        for q in [
            "SELECT n FROM {m} WHERE time > {t}",
            "SELECT n FROM {m} WHERE {t} >= time",
            "SELECT count(n) FROM {m} WHERE time <= {t}",
            "SELECT n FROM {m} WHERE time = {t}",
            "SELECT n FROM {m} WHERE time != {t}",
            "SELECT max(n) FROM (SELECT n FROM {m}) WHERE time < {t}",
        ] {
            loaded.assert_same_of_all(&q.replace("{t}", time), "");
        }
    }
}

#[test]
fn intervals_of_nothing_are_none() {
    let loaded = loaded();
    for interval in
        ["0s", "-1s", "3s + 1s", "4s - 4s", "3s, 1s + 1s", "3s, -7s", "now()", "3s, now() - 1s", "3", "99999999999d"]
    {
        for q in [
            "SELECT mean(n) FROM {m} WHERE time >= 0 AND time < 8s GROUP BY time({i})",
            "SELECT max(n), min(n) FROM {m} WHERE time >= 0 AND time < 8s GROUP BY time({i}), dc fill(0)",
            "SELECT percentile(n, 50) FROM {m} WHERE time >= 0 AND time < 8s GROUP BY time({i}) fill(none)",
            "SELECT derivative(mean(n)) FROM {m} WHERE time >= 0 AND time < 8s GROUP BY time({i})",
            "SELECT n FROM {m} WHERE time >= 0 AND time < 8s GROUP BY time({i})",
            "SELECT mean(n) FROM (SELECT n FROM {m}) WHERE time >= 0 AND time < 8s GROUP BY time({i})",
            "SELECT mean(x) FROM (SELECT max(n) AS x FROM {m} GROUP BY time({i}), host) WHERE time >= 0 AND time < 8s",
        ] {
            loaded.assert_same_of_all(&q.replace("{i}", interval), "");
        }
    }
}

#[test]
fn calls_that_are_no_functions_are_named() {
    let loaded = loaded();
    for call in
        ["now()", "NOW()", "now() - 1s", "count(n) + now()", "abs(now())", "foo()", "foo(n)", "n + 10m", "sum(n) * 5s"]
    {
        loaded.assert_same_of_all(&format!("SELECT {call} FROM {{m}}"), "");
        loaded.assert_same_of_all(&format!("SELECT {call} FROM {{m}} WHERE time < now() GROUP BY dc"), "");
        loaded.assert_same_of_all(&format!("SELECT {call} FROM (SELECT {call} FROM {{m}})"), "");
    }
}

#[test]
fn parameters_hold_regular_expressions() {
    let loaded = loaded();
    for regex in ["h[12]", "h/1", "", "h(", "^h1$", "\\\\d", "é\\\"x"] {
        for q in [
            "SELECT n FROM {m} WHERE host =~ $r",
            "SELECT n FROM {m} WHERE host !~ $r",
            "SELECT n FROM {m} WHERE host = $r",
            "SELECT n FROM {m} WHERE host != $\"r\"",
            "SELECT n FROM {m} WHERE n = 1 OR s = ($r)",
            "SELECT mean(n) FROM {m} WHERE $r = 'x' OR host = 'h1' GROUP BY dc",
            "SELECT n FROM {m} WHERE n > 1 AND $r",
            "SELECT n FROM {m} WHERE time > $r",
            "SELECT $r FROM {m}",
            "SELECT max(n) FROM (SELECT n, host FROM {m}) WHERE host = $r OR n = 3",
            "SHOW SERIES FROM {m} WHERE host = $r",
            "SHOW TAG VALUES FROM {m} WITH KEY =~ $r",
            "SELECT n FROM {m} LIMIT $r",
        ] {
            loaded.assert_same_of_all(q, &format!("{{\"r\": {{\"regex\": \"{regex}\"}}}}"));
        }
    }
}

#[test]
fn differences_that_run_over_count_by_their_sign() {
    let loaded = loaded();
    let body = "split,host=h1 over=-4i 1\nsplit,host=h2 over=9223372036854775807i 2\nsplit,host=h3 over=-5i 3\n";
    loaded.cluster.http().store("db", body);
    loaded.reference.http().store("db", body);
    loaded.assert_same("SELECT difference(over) FROM split", "");
    loaded.assert_same("SELECT non_negative_difference(over) FROM split", "");
}

#[test]
fn means_of_integers_run_over_within_one_series_only() {
    let loaded = loaded();
    let mut body = String::new();
    for host in 0..8 {
        body.push_str(&format!("split,host=h{host} over=9223372036854775807i,less=-9223372036854775808i 1\n"));
        body.push_str(&format!("split,host=h{host} over={host}i,odd={host}i 5000000000\n"));
    }
    // Twice in one series.
    body.push_str("split,host=h3 over=9223372036854775807i 5000000001\n");
    body.push_str("split,host=h3 over=9223372036854775807i 5000000002\n");
    loaded.cluster.http().store("db", &body);
    loaded.reference.http().store("db", &body);
    for columns in ["mean(over)", "mean(less)", "mean(odd), sum(odd)", "mean(over), sum(over), mean(less)"] {
        for range in ["", "WHERE time < 5s", "WHERE time >= 5s"] {
            loaded.assert_same(&format!("SELECT {columns} FROM split {range}"), "");
            loaded.assert_same(&format!("SELECT {columns} FROM split {range} GROUP BY time(5s) fill(none)"), "");
            loaded.assert_same(&format!("SELECT {columns} FROM split {range} GROUP BY dc, host"), "");
        }
    }
}

#[test]
fn times_of_deletes_are_calculated_as_influxdb_does() {
    let loaded = loaded();
    for time in
        ["now() + 'x'", "'x' + now()", "now() + now()", "now() - now()", "(now()) + 'x'", "now() - 'x'", "'a' + 'b'"]
    {
        for q in
            ["DELETE FROM {m} WHERE time < {t}", "DROP SERIES FROM {m} WHERE time < {t}", "DELETE WHERE {t} > time"]
        {
            loaded.assert_same_of_all(&q.replace("{t}", time), "");
        }
    }
    loaded.assert_same_of_all("SELECT n FROM {m}", "");
}
