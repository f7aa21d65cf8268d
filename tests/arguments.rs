//! SELECT over split measurements with arguments that InfluxDB works out before it looks at them: calculations of literals, and
//! parentheses. Whatever slotline answers is what one influxd answers that holds everything.

mod support;

use support::*;

#[test]
fn arguments_are_worked_out_first() {
    let cluster = Setup::new(3, 1).rule("db", "one", &["host"]).start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    let body = few_values(7, &[("one", &["", "eu"])]);
    [reference.http(), cluster.http()].iter().for_each(|http| http.store("db", &body));
    let loaded = Judged { cluster, reference };
    let plain = [
        "max((v))",
        "(min(v)), ((last((n))))",
        "max((v)), ((host))",
        "mean((*))",
        "first((s))",
        "sum((n::integer)) / count((v))",
        "count((distinct(v)))",
        "count(distinct((n)))",
        "count((distinct v))",
        "pow(mean(v), /u/)",
        "pow(v, *), n",
        "atan2(max(v), /v/), host",
        "percentile(v, 45 * 2)",
        "percentile((v), (100 / 3)), host",
        "percentile(v, 181 % 100)",
        "percentile(v, 64 | 16)",
        "top(v, host, 4 - 2)",
        "bottom((v), (host), (2))",
        "top(v, 1 + 1)",
        "top(v, 4 / 2)",
        "sample(v, 500 * 2)",
        "moving_average(v, 1 + 1)",
        "moving_average(v, 4 / 2)",
        "derivative(v, 1m / 2)",
        "derivative((v), (1m))",
        "derivative(v, 1m * 1.5)",
        "derivative(v, 2 * 30s)",
        "derivative(v, 1m + 5)",
        "elapsed(v, 1s * 10)",
        "exponential_moving_average(v, 1 + 1, 2 - 1)",
        "abs((v)), pow(v, (1 + 1))",
        "mean((v + 1))",
        "percentile(v, '9' + '0')",
    ];
    let windows = [
        "derivative((mean((v))), 10s + 10s)",
        "holt_winters(mean(v), 1 + 1, 2 - 2)",
        "cumulative_sum((sum((n))))",
        "percentile(v, 100 - 5)",
        "spread((v)), mode((n)), integral(v, (2s))",
    ];
    let mut queries: Vec<String> = plain.iter().map(|fields| format!("SELECT {fields} FROM one")).collect();
    queries.extend(plain.map(|fields| format!("SELECT {fields} FROM one GROUP BY region")));
    queries.extend(windows.map(|fields| format!("SELECT {fields} FROM one WHERE {BOUNDS} GROUP BY time(20s)")));
    let windows_of =
        ["time(0s), time(20s)", "time(-1s), region, time(20s)", "(time(20s)), ((region))", "time(20s), (*)"];
    queries.extend(windows_of.map(|times| format!("SELECT mean(v) FROM one WHERE {BOUNDS} GROUP BY {times}")));
    queries.extend(
        ["percentile(v, 45 * 2)", "max((v))", "derivative(v, 1s * 10)"]
            .map(|inner| format!("SELECT mean((x)) FROM (SELECT {inner} AS x FROM one GROUP BY host)")),
    );
    let names = ["(host)", "((region)), host", "(*)"];
    queries.extend(names.map(|names| format!("SELECT max(v), n FROM one GROUP BY {names}")));
    queries.extend(names.map(|names| format!("SELECT max(x) FROM (SELECT v AS x FROM one) GROUP BY {names}")));
    loaded.assert_same(&queries);
    // What functions of literals come to is not worked out.
    let seen = loaded.cluster.http().query("db", "SELECT percentile(v, pow(9, 2)) FROM one");
    assert_eq!(seen.status, 400, "{}", seen.text());
    assert!(
        seen.text().contains("percentile(v::float, pow(9, 2)) over several groups is not supported"),
        "{}",
        seen.text()
    );
}

const BOUNDS: &str = "time >= 1600000000s AND time < 1600000120s";
