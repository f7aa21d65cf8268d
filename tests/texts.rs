//! Texts of queries that are kept parsed (`query.texts_bytes_max`): whoever asks again hears what is true now, and nobody hears
//! what another request made of the same text.

mod support;

use support::*;

/// Every statement runs over one core, which keeps what comes twice.
fn cluster() -> Cluster {
    let cluster = Setup::new(3, 1).rule("db", "m", &["host"]).set("server", "cores = 1").start();
    for db in ["db", "other"] {
        cluster.create_db(db);
    }
    let line = |n: i64| format!("m,host=h{n} v={n} {}\n", n * 3_600_000_000_000);
    cluster.http().store("db", (1..9).map(line).collect::<String>());
    cluster.http().store("other", "m,host=h1 v=100 3600000000000\n");
    cluster
}

fn parsed_before(cluster: &Cluster) -> u64 {
    let metrics = cluster.slotline.admin().get("/metrics").text().to_owned();
    let line = metrics.lines().find_map(|line| line.strip_prefix("slotline_queries_parsed_before_total "));
    line.expect("it is counted").parse().expect("a number")
}

#[test]
fn who_asks_again_hears_the_same_and_what_was_written_since() {
    let cluster = cluster();
    let texts = [
        "SELECT v FROM m WHERE host = 'h3'",
        "SELECT mean(v) FROM m WHERE time > 0 AND time < 9h GROUP BY time(2h)",
        "SELECT v AS now, v AS shift_1_hour FROM m WHERE time > 2h",
        "SELECT v FROM m WHERE time > 2h TIMESHIFT -1h",
        "SELECT max(v) FROM (SELECT v FROM m TIMESHIFT -1h) WHERE time < 9h; MATH name=x expr=\"$0 + 1\"",
        "SHOW TAG VALUES FROM m WITH KEY = host",
        "CREATE DATABASE db",
        "SELECT x FROM m WHERE v = ",
        "SELECT top(v, 2), host FROM m; SELECT nothing(v) FROM m; SELECT v FROM m",
    ];
    for text in texts {
        let ask = || cluster.http().query("db", text);
        let first = ask();
        for _ in 0..3 {
            let again = ask();
            assert_eq!((again.status, again.text()), (first.status, first.text()), "{text}");
        }
    }
    let asked = parsed_before(&cluster);
    assert_eq!(asked, 2 * (texts.len() as u64 - 1), "all but the one that is wrong");
    let text = "SELECT count(v) FROM m WHERE time < now()";
    for count in 8..13 {
        let found = cluster.http().run("db", text);
        assert_eq!(found["results"][0]["series"][0]["values"][0][1], count, "{found}");
        cluster.http().store("db", format!("m,host=h1 v=1 {count}\n"));
    }
}

#[test]
fn requests_of_one_text_have_databases_shifts_and_parameters_of_their_own() {
    let cluster = cluster();
    let asked = |more: &[(&str, &str)]| {
        let more: Vec<_> = [&[("q", "SELECT first(v), host FROM m WHERE time > 0")], more].concat();
        let found = cluster.http().get_query(&more).text().to_owned();
        found.split_once("\"values\":").map_or(found.clone(), |(_, values)| values.to_owned())
    };
    for _ in 0..4 {
        assert_eq!(asked(&[("db", "db")]), "[[\"1970-01-01T01:00:00Z\",1,\"h1\"]]}]}]}\n");
        assert_eq!(asked(&[("db", "other")]), "[[\"1970-01-01T01:00:00Z\",100,\"h1\"]]}]}]}\n");
        assert_eq!(asked(&[("db", "db"), ("shift", "3h")]), "[[\"1970-01-01T04:00:00Z\",1,\"h1\"]]}]}]}\n");
        assert_eq!(asked(&[("db", "db@shift_1h")]), "[[\"1970-01-01T02:00:00Z\",1,\"h1\"]]}]}]}\n");
        let named = |host: &str| {
            let params = format!("{{\"host\": \"{host}\"}}");
            let q = "SELECT v FROM m WHERE host = $host";
            cluster.http().get_query(&[("db", "db"), ("q", q), ("params", &params)]).text().to_owned()
        };
        assert!(named("h2").contains("02:00:00Z\",2]") && named("h5").contains("05:00:00Z\",5]"));
        assert!(named("none").contains("{\"statement_id\":0}"));
    }
}

#[test]
fn texts_that_differ_in_their_values_hear_of_their_own() {
    let cluster = cluster();
    let since = |from: u64, to: u64| {
        let text = format!(
            "SELECT v FROM m WHERE time >= {from}m AND time <= {to}m; SELECT count(v) FROM m WHERE time > {from}h"
        );
        let found = cluster.http().run("db", &text);
        let rows = found["results"][0]["series"][0]["values"].as_array().map_or(0, Vec::len) as u64;
        // Points stand at the hours 1 to 8.
        assert_eq!(rows, to / 60 + 1 - from.div_ceil(60), "{text}: {found}");
        assert!(found["results"][1].get("series").is_none(), "{text}: {found}");
    };
    for (from, to) in [(60, 120), (60, 119), (61, 480), (99, 360), (10, 90), (12, 24), (60, 120), (60, 60)] {
        since(from, to);
    }
    let asked = parsed_before(&cluster);
    std::thread::scope(|scope| {
        for turn in 0..12 {
            scope.spawn(move || (60..99).for_each(|minute| since(minute, 480 - turn * 7 - minute)));
        }
    });
    assert!(parsed_before(&cluster) - asked >= 12 * 38, "all but the first of them");
    // Which host a text names says as well where it is asked for.
    let asked = parsed_before(&cluster);
    std::thread::scope(|scope| {
        for turn in 0..4 {
            let cluster = &cluster;
            scope.spawn(move || {
                for n in (1..9).chain([5, 5, 8]).map(|n| (n + turn) % 8 + 1) {
                    let text = format!("SELECT v FROM m WHERE host = 'h{n}' AND time >= '1970-01-01T0{n}:00:00Z'");
                    let found = cluster.http().run("db", &text);
                    assert_eq!(found["results"][0]["series"][0]["values"][0][1], n, "{text}: {found}");
                }
            });
        }
    });
    assert!(parsed_before(&cluster) - asked >= 4 * 11 - 2 - 4, "all but the first of them");
    // A time that is too large for InfluxDB is no other one here.
    let text = |seconds: u64| format!("SELECT v FROM m WHERE time < {seconds}s");
    for (seconds, is_time) in
        [(9_000_000_000, true), (9_000_000_001, true), (9_223_372_037, false), (9_000_000_002, true)]
    {
        let answer = cluster.http().query("db", &text(seconds));
        assert_eq!(answer.status == 200, is_time, "{seconds}: {}", answer.text());
    }
}
