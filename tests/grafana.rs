//! What Grafana sends, as its query builder, its explorer, variables, annotations, alerting and health check write it: every
//! answer is that of one InfluxDB with all the data, over whole measurements and over split ones.

mod support;

use support::*;

const START_MS: u64 = 1_700_000_000_000;
const HOSTS: u64 = 4;
/// Points of each series, ten seconds apart.
const POINTS: u64 = 180;

struct Dashboard {
    cluster: Cluster,
    reference: Influxd,
}

/// Collectors' data: measurements with tags, one with gaps, events with text.
fn lines() -> String {
    let mut body = String::new();
    for n in 0..POINTS {
        let time = START_MS + n * 10_000;
        for host in 0..HOSTS {
            let (tags, load) =
                (format!("host=web{host},region={}", ["eu", "us"][host as usize % 2]), (n * 7 + host * 13) % 101);
            body.push_str(&format!("cpu,cpu=total,{tags} usage_user={load}.5,usage_idle={}i {time}\n", 100 - load));
            body.push_str(&format!("net,interface=eth0,{tags} bytes_recv={}i {time}\n", n * 1000 + host * (n % 5)));
            if (n / 20 + host) % 3 > 0 {
                body.push_str(&format!("mem,{tags} used_percent={}.25 {time}\n", (n + host * 20) % 100));
            }
        }
        if n % 60 == 5 {
            body.push_str(&format!(
                "events,kind=deploy title=\"v{n}\",text=\"it's <b>out</b>\",tags=\"web,eu\" {time}\n"
            ));
        }
    }
    body
}

fn dashboard(rules: &[(&str, &[&str])]) -> Dashboard {
    let setup = rules.iter().fold(Setup::new(3, 1), |setup, (name, tags)| setup.rule("telegraf", name, tags));
    let cluster = setup.start();
    let reference = cluster.reference("telegraf");
    cluster.create_db("telegraf");
    for http in [cluster.http(), reference.http()] {
        let stored = http.send(&Request::write("db=telegraf&precision=ms", lines()));
        assert_eq!(stored.status, 204, "{}", stored.text());
    }
    Dashboard { cluster, reference }
}

/// `$timeFilter` and `$__interval` filled in, as Grafana does before it asks.
fn filled(q: &str) -> String {
    let (from, to) = (START_MS + 60_000, START_MS + 1_500_000);
    q.replace("$timeFilter", &format!("time >= {from}ms and time <= {to}ms"))
        .replace("$__interval", "30s")
        .replace("$from", &format!("{from}ms"))
        .replace("$to", &format!("{to}ms"))
}

/// As its server asks since version 8: GET or POST, times in milliseconds, answers packed.
fn asked(q: &str, post: bool) -> Request {
    let q = filled(q);
    let request = match post {
        false => Request::new("GET", &format!("/query?db=telegraf&epoch=ms&q={}", encode(&q))),
        true => Request::new("POST", "/query?db=telegraf&epoch=ms")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(client::form(&[("q", &q)])),
    };
    request.header("User-Agent", "Grafana/10.4.2").header("Accept-Encoding", "gzip")
}

fn answer(http: Http, request: &Request) -> (u16, String) {
    let answer = http.send(request);
    let text = if answer.header("Content-Encoding").is_some() {
        String::from_utf8(answer.unpacked()).expect("JSON is UTF-8")
    } else {
        answer.text()
    };
    (answer.status, text)
}

impl Dashboard {
    /// Every answer is that of one InfluxDB, and shows something.
    #[track_caller]
    fn assert_all(&self) {
        let mut wrong = Vec::new();
        for q in [PANELS, VARIABLES, EXPLORER, ANNOTATIONS, ALERTING, HEALTH].into_iter().flatten() {
            for post in [false, true] {
                let request = asked(q, post);
                let (seen, expected) = (answer(self.cluster.http(), &request), answer(self.reference.http(), &request));
                if seen != expected || !seen.1.contains("\"values\"") {
                    wrong.push(format!("{q}\n  slotline: {seen:.1000?}\n  influxd:  {expected:.1000?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// The query builder's, and what dashboards' authors write by hand.
const PANELS: &[&str] = &[
    r#"SELECT mean("usage_user") FROM "cpu" WHERE $timeFilter GROUP BY time($__interval) fill(null)"#,
    r#"SELECT mean("usage_user") FROM "cpu" WHERE ("host" = 'web1') AND $timeFilter GROUP BY time($__interval) fill(null)"#,
    r#"SELECT mean("usage_user") FROM "cpu" WHERE ("host"::tag = 'web1') AND $timeFilter GROUP BY time($__interval) fill(null)"#,
    r#"SELECT mean("usage_user") AS "user", max("usage_idle") FROM "cpu" WHERE ("host" =~ /^web1$/) AND $timeFilter GROUP BY time($__interval), "host" fill(null)"#,
    r#"SELECT mean("usage_user") FROM "cpu" WHERE ("host" =~ /^(web1|web2)$/) AND $timeFilter GROUP BY time($__interval), "host"::tag fill(null)"#,
    r#"SELECT mean("usage_user") FROM "cpu" WHERE ("host" =~ /^(web0|web1|web2|web3)$/ AND "region" = 'eu') AND $timeFilter GROUP BY time($__interval), "host", "region" fill(none)"#,
    r#"SELECT mean("usage_user") FROM "cpu" WHERE ("region" =~ /.*/) AND $timeFilter GROUP BY time($__interval), "host" fill(previous)"#,
    r#"SELECT mean("used_percent") FROM "mem" WHERE $timeFilter GROUP BY time($__interval), "host" fill(linear)"#,
    r#"SELECT max("used_percent") FROM "mem" WHERE $timeFilter GROUP BY time($__interval), "region" fill(0)"#,
    r#"SELECT mean("used_percent") FROM "mem" WHERE $timeFilter GROUP BY time($__interval), "host" fill(previous)"#,
    r#"SELECT max("used_percent"), last("used_percent") FROM "mem" WHERE $timeFilter GROUP BY time($__interval), "host" fill(previous)"#,
    r#"SELECT median("used_percent") FROM "mem" WHERE $timeFilter GROUP BY time($__interval), "host" fill(previous)"#,
    r#"SELECT last("used_percent") FROM "mem" WHERE $timeFilter GROUP BY "host""#,
    r#"SELECT non_negative_derivative(mean("bytes_recv"), 1s) *8 FROM "net" WHERE ("host" = 'web2') AND $timeFilter GROUP BY time($__interval) fill(null)"#,
    r#"SELECT non_negative_derivative(max("bytes_recv"), 1s) FROM "net" WHERE $timeFilter GROUP BY time($__interval), "host", "interface" fill(none)"#,
    r#"SELECT derivative(mean("bytes_recv"), 10s) AS "in" FROM "net" WHERE $timeFilter GROUP BY time($__interval) fill(null)"#,
    r#"SELECT moving_average(mean("usage_user"), 5) FROM "cpu" WHERE $timeFilter GROUP BY time($__interval), "host" fill(null)"#,
    r#"SELECT cumulative_sum(sum("bytes_recv")) FROM "net" WHERE $timeFilter GROUP BY time($__interval) fill(0)"#,
    r#"SELECT difference(last("bytes_recv")) FROM "net" WHERE $timeFilter GROUP BY time(1m) fill(none)"#,
    r#"SELECT percentile("usage_user", 95) FROM "cpu" WHERE $timeFilter GROUP BY time($__interval), "region" fill(null)"#,
    r#"SELECT median("usage_user"), spread("usage_user") FROM "cpu" WHERE $timeFilter GROUP BY time(2m) fill(none)"#,
    // Over several series its last digits hang on the order of addition.
    r#"SELECT stddev("usage_user") FROM "cpu" WHERE $timeFilter GROUP BY time(2m), "host", "region" fill(none)"#,
    r#"SELECT sum("m") FROM (SELECT mean("usage_idle") AS "m" FROM "cpu" WHERE $timeFilter GROUP BY time(1m), "host") WHERE $timeFilter GROUP BY time(1m) fill(null)"#,
    r#"SELECT max("m") FROM (SELECT mean("usage_user") AS "m" FROM "cpu" WHERE $timeFilter GROUP BY "host")"#,
    r#"SELECT 100 - mean("usage_idle") FROM "cpu" WHERE ("cpu" = 'total') AND $timeFilter GROUP BY time($__interval), "host" fill(null)"#,
    r#"SELECT count("usage_user") / 30, min("usage_user"), max("usage_user") FROM "cpu" WHERE $timeFilter GROUP BY time(5m) fill(0)"#,
    r#"SELECT "usage_user" FROM "cpu" WHERE ("host" = 'web0') AND $timeFilter"#,
    r#"SELECT "usage_user", "host" FROM "cpu" WHERE ("region" = 'us') AND $timeFilter ORDER BY time DESC LIMIT 10"#,
    r#"SELECT * FROM "mem" WHERE $timeFilter AND "host" = 'web3' LIMIT 50"#,
    r#"SELECT top("usage_user", 5), "host" FROM "cpu" WHERE $timeFilter"#,
    r#"SELECT mean("usage_user") FROM "cpu" WHERE $timeFilter GROUP BY time(1h), "host" fill(null) tz('Europe/Berlin')"#,
    r#"SELECT mean("usage_user") FROM "autogen"."cpu" WHERE $timeFilter GROUP BY time($__interval) fill(null) ORDER BY time DESC LIMIT 20"#,
    r#"SELECT mean(*) FROM "cpu" WHERE $timeFilter GROUP BY time(5m)"#,
    r#"SELECT mean("usage_user") FROM "cpu" WHERE $timeFilter GROUP BY time($__interval) fill(null);SELECT mean("used_percent") FROM "mem" WHERE $timeFilter GROUP BY time($__interval) fill(null)"#,
    r#"SELECT mean("usage_user") FROM "cpu" WHERE $timeFilter GROUP BY time($__interval), * fill(none)"#,
    // With several series InfluxDB tells them in any order.
    r#"SELECT integral("usage_user", 1m) FROM "cpu" WHERE ("host" = 'web1') AND $timeFilter GROUP BY "host""#,
    r#"SELECT distinct("usage_idle") FROM "cpu" WHERE $timeFilter AND "host" = 'web1' LIMIT 7"#,
    r#"SELECT mode("usage_user"), first("usage_user"), last("usage_user") FROM "cpu" WHERE $timeFilter GROUP BY time(10m), "host""#,
];

/// Template variables' queries.
const VARIABLES: &[&str] = &[
    r#"SHOW MEASUREMENTS"#,
    r#"SHOW TAG VALUES WITH KEY = "host""#,
    r#"SHOW TAG VALUES FROM "cpu" WITH KEY = "host""#,
    r#"SHOW TAG VALUES FROM "cpu" WITH KEY = "host" WHERE "region" =~ /^(eu|us)$/"#,
    r#"SHOW TAG VALUES FROM "mem" WITH KEY IN ("host", "region") WHERE "region" = 'eu'"#,
    r#"SHOW TAG KEYS FROM "net""#,
    r#"SHOW FIELD KEYS FROM "cpu""#,
    r#"SHOW SERIES FROM "mem" WHERE "region" = 'us'"#,
    r#"SELECT DISTINCT("usage_idle") FROM "cpu" WHERE "host" = 'web2' AND $timeFilter"#,
];

/// What the editor asks while one types.
const EXPLORER: &[&str] = &[
    r#"SHOW RETENTION POLICIES ON "telegraf""#,
    r#"SHOW MEASUREMENTS WITH MEASUREMENT =~ /(?i)M/ LIMIT 100"#,
    r#"SHOW MEASUREMENTS WHERE "region" = 'eu' LIMIT 100"#,
    r#"SHOW TAG KEYS FROM "cpu" WHERE "host" = 'web0'"#,
    r#"SHOW TAG VALUES FROM "cpu" WITH KEY = "region" WHERE "host" =~ /^web/ LIMIT 1000"#,
    r#"SHOW FIELD KEYS FROM "autogen"."net""#,
    r#"SELECT * FROM "events" WHERE $timeFilter ORDER BY time DESC LIMIT 1000"#,
];

const ANNOTATIONS: &[&str] = &[
    r#"SELECT "title", "text", "tags" FROM "events" WHERE $timeFilter ORDER BY time ASC LIMIT 1000"#,
    r#"SELECT title FROM events WHERE time >= $from and time <= $to AND "kind" = 'deploy'"#,
];

const ALERTING: &[&str] = &[
    r#"SELECT last("used_percent") FROM "mem" WHERE time >= $from and time <= $to GROUP BY "host" fill(null)"#,
    r#"SELECT mean("usage_user") FROM "cpu" WHERE time >= $from and time <= $to GROUP BY time(1m), "host" fill(none)"#,
    r#"SELECT count("usage_user") FROM "cpu" WHERE time > $to - 5m AND time < $to"#,
];

const HEALTH: &[&str] =
    &[r#"SHOW DATABASES"#, r#"SHOW RETENTION POLICIES on "telegraf""#, r#"SHOW MEASUREMENTS LIMIT 1"#];

#[test]
fn whole_measurements_over_three_groups() {
    dashboard(&[]).assert_all();
}

#[test]
fn measurements_split_by_one_tag() {
    dashboard(&[("cpu", &["host"]), ("mem", &["host"]), ("net", &["region"])]).assert_all();
}

#[test]
fn measurements_split_by_two_tags() {
    dashboard(&[("cpu", &["host", "region"]), ("mem", &["region", "host"]), ("net", &["interface", "host"])])
        .assert_all();
}

/// A dashboard that is opened: all panels ask at the same time, over and over.
#[test]
fn thirty_panels_at_once() {
    let dashboard = dashboard(&[("cpu", &["host"])]);
    let panels: Vec<(Request, (u16, String))> = PANELS[..30]
        .iter()
        .map(|q| {
            let request = asked(q, false);
            let expected = answer(dashboard.reference.http(), &request);
            (request, expected)
        })
        .collect();
    std::thread::scope(|scope| {
        for (request, expected) in &panels {
            let http = dashboard.cluster.http();
            scope.spawn(move || (0..4).for_each(|_| assert_eq!(&answer(http, request), expected)));
        }
    });
    assert_eq!(dashboard.cluster.slotline.figure("slotline_panics_total"), Some(0.0));
}
