//! SELECT over split measurements at the edges of numbers and of times: sums that run over, InfluxDB's first and last times, and
//! what JSON does not have. Whatever slotline answers is what one influxd answers that holds everything.

mod support;

use support::*;

/// What each series of `huge` has of its fields, one after the other.
const HUGE: [f64; 4] = [1.797e308, -1.797e308, 1.7e308, 1e307];

fn huge() -> String {
    let mut body = String::new();
    for (number, host) in HOSTS.iter().enumerate().filter(|(_, host)| !host.is_empty()) {
        for step in 0..4 {
            let (both, up) = (HUGE[(number + step) % HUGE.len()], HUGE[step % 2].abs() - 1e306 * step as f64);
            let sign = if number % 2 == 0 { "" } else { "-" };
            let (fields, time) = (format!("both={both:e},up={up:e},turns={sign}1.2e308"), T0 + 10 * step as i64);
            body.push_str(&format!("huge,host={host} {fields} {time}000000000\n"));
        }
    }
    body
}

fn loaded(split: &[&str], body: &str) -> Judged {
    let setup = split.iter().fold(Setup::new(3, 1), |setup, name| setup.rule("db", name, &["host"]));
    let cluster = setup.start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    [reference.http(), cluster.http()].iter().for_each(|http| http.store("db", body));
    Judged { cluster, reference }
}

/// Where floats run over on the way, what comes of them hangs on the order in which they are taken.
#[test]
fn floats_that_run_over_are_taken_in_order() {
    let mut queries = Vec::new();
    let windows = "WHERE time >= 1600000000s AND time < 1600000040s GROUP BY time(20s)";
    for field in ["both", "up", "turns"] {
        for call in ["sum", "mean", "stddev", "spread", "median"] {
            for rest in ["", "GROUP BY host", windows, "WHERE host =~ /h[0-2]/", "tz('Europe/Berlin')"] {
                queries.push(format!("SELECT {call}({field}) FROM huge {rest}"));
            }
            queries
                .push(format!("SELECT {call}({field}), count({field}) FROM huge {windows} fill(0) tz('Asia/Kolkata')"));
        }
    }
    let loaded = loaded(&["huge"], &huge());
    loaded.assert_same_with_rows(&queries, 20);
    // Where it is not JSON that is told, an infinite number is a number.
    loaded.assert_same_as(&queries, &[("epoch", "")], 20);
}

/// Of a part whose times have a zone too: whether that is known to slotline, or to the replicas alone.
#[test]
fn infinite_numbers_beside_times_of_a_zone_are_told_in_influxdbs_words() {
    let mut queries = Vec::new();
    for zone in ["Europe/Berlin", "America/New_York", "Local", "Nowhere/Else"] {
        for columns in ["sum(up)", "sum(turns)", "both * 10", "both"] {
            for rest in ["GROUP BY host", "WHERE host = 'h1'", "WHERE host = 'h1' GROUP BY host"] {
                // Of several replicas' words there is no telling which of them stands first.
                if zone == "Local" && rest == "GROUP BY host" && matches!(columns, "sum(turns)" | "both * 10") {
                    continue;
                }
                let text = format!("SELECT {columns} FROM huge {rest} tz('{zone}')");
                queries.extend([format!("SELECT both FROM huge WHERE host = 'h2'; {text}"), text]);
            }
        }
    }
    loaded(&["huge"], &huge()).assert_same_as(&queries, &[("epoch", "")], 10);
}

/// Clocks that are ahead show times that are behind the last one, and those that are behind times before the first.
#[test]
fn first_and_last_times_are_told_in_zones() {
    let (first, last) = (i64::MIN + 2, i64::MAX - 1);
    let mut body = String::new();
    for host in HOSTS.iter().filter(|host| !host.is_empty()) {
        for (value, time) in [first, first + 1, T0 * 1_000_000_000, last - 1, last].into_iter().enumerate() {
            body.push_str(&format!("ends,host={host} v={value} {time}\n"));
        }
    }
    let mut queries = Vec::new();
    for zone in ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"] {
        for rest in ["GROUP BY host", "WHERE host = 'h1'", "WHERE host = 'h1' ORDER BY time DESC LIMIT 2"] {
            queries.push(format!("SELECT v FROM ends {rest} tz('{zone}')"));
        }
    }
    loaded(&["ends"], &body).assert_same_as(&queries, &[("epoch", "")], 100);
}

/// Points at InfluxDB's first and last times, and beside them.
fn ends() -> String {
    let (first, last) = (i64::MIN + 2, i64::MAX - 1);
    let mut body = String::new();
    for (number, host) in (0i64..).zip(HOSTS.iter().filter(|host| !host.is_empty())) {
        let beside = 6 + number;
        for time in [first, first + 1, first + beside, T0 * 1_000_000_000, last - beside, last - 1, last] {
            body.push_str(&format!("ends,host={host} v={number}.5,n={number}i {time}\n"));
        }
    }
    body
}

/// The window of all times before the second one has no start: what is of it is shown at 0, and the last one has no time behind it.
#[test]
fn windows_of_the_first_and_last_times_are_influxdbs() {
    let mut queries = Vec::new();
    let bounds = [
        "time < -9223372036854775700",
        "time >= -9223372036854775806 AND time < -9223372036854775780",
        "time > -9223372036854775805 AND time < -9223372036854775790",
        "time > 9223372036854775780 AND time <= 9223372036854775806",
    ];
    for call in ["sum(v)", "count(n)", "first(v)", "max(n)", "mean(v)", "derivative(sum(v))", "median(v)", "spread(n)"]
    {
        for bounds in bounds {
            // Behind the last time influxd fills windows for ever, unless their length is just so.
            let filled = if bounds.contains("<= 9") { "time(7ns)" } else { "time(100ns)" };
            for rest in [filled, "time(7ns) fill(none)", "time(7ns) fill(none) ORDER BY time DESC"] {
                queries.push(format!("SELECT {call} FROM ends WHERE {bounds} GROUP BY {rest}"));
            }
        }
        // From window to window fill() runs over.
        queries.extend(["", " fill(none)"].map(|fill| format!("SELECT {call} FROM ends GROUP BY time(10000w){fill}")));
    }
    loaded(&["ends"], &ends()).assert_same_with_rows(&queries, 60);
}

/// They begin before the first time, and end behind the last.
#[test]
fn rows_are_cut_in_the_first_and_last_storage_shards() {
    let cuts = ["OFFSET 2", "LIMIT 4 OFFSET 2", "ORDER BY time DESC OFFSET 3", "WHERE n > 2 OFFSET 1"];
    let mut queries: Vec<String> = cuts.iter().map(|cut| format!("SELECT v, n FROM ends {cut}")).collect();
    queries.extend(["top(v, 3)", "bottom(n, 2)"].map(|best| format!("SELECT {best} FROM ends LIMIT 9")));
    loaded(&["ends"], &ends()).assert_same_with_rows(&queries, 50);
}
