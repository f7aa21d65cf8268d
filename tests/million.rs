//! A million points over several connections: every replica holds exactly what its slots say.

mod support;

use std::collections::BTreeMap;
use std::time::Instant;

use support::*;

const MEASUREMENTS: usize = 200;
const HOSTS: usize = 10;
const LINES: usize = 5_000;
const REQUESTS: usize = 200;
const CONNECTIONS: usize = 4;

/// Request `number`: every line is a point of its own, since its time is.
fn body(number: usize) -> String {
    let mut body = String::with_capacity(LINES * 60);
    for line in 0..LINES {
        let point = number * LINES + line;
        let measurement = point % MEASUREMENTS;
        let host = point / MEASUREMENTS % HOSTS;
        body.push_str(&format!("m{measurement}s,host=h{host} v={line}i {point}\n"));
    }
    body
}

#[test]
fn a_million_points_lie_exactly_where_their_slots_say() {
    let cluster = Cluster::new(2, 2);
    cluster.create_db("db");
    let started = Instant::now();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let http = cluster.http();
            scope.spawn(move || {
                let mut conn = http.connect();
                for number in (connection..REQUESTS).step_by(CONNECTIONS) {
                    let answer = conn.call(&Request::write("db=db", body(number)));
                    assert_eq!(answer.status, 204, "request {number}: {answer:?}");
                }
            });
        }
    });
    println!("{} points in {:?}", LINES * REQUESTS, started.elapsed());

    let each = LINES * REQUESTS / MEASUREMENTS;
    let mut total = 0;
    for (number, group) in cluster.groups.iter().enumerate() {
        let expected: BTreeMap<String, usize> = (0..MEASUREMENTS)
            .map(|measurement| format!("m{measurement}s"))
            .filter(|name| cluster.group_of("db", name) == number)
            .map(|name| (name, each))
            .collect();
        assert!(!expected.is_empty(), "every group has its share");
        total += expected.values().sum::<usize>();
        for replica in group {
            assert_eq!(counts(replica.http()), expected, "a replica of group {}", number + 1);
        }
    }
    assert_eq!(total, 1_000_000);
}

/// Points by measurement.
fn counts(http: Http) -> BTreeMap<String, usize> {
    let json = http.run("db", "SELECT count(v) FROM /.*/");
    let series = json["results"][0]["series"].as_array().expect("series");
    let count = |series: &serde_json::Value| {
        let count = series["values"][0][1].as_u64().expect("a count");
        usize::try_from(count).expect("a small count")
    };
    let name = |series: &serde_json::Value| series["name"].as_str().expect("a name").to_owned();
    series.iter().map(|series| (name(series), count(series))).collect()
}
