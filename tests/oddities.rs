//! Where InfluxDB is at odds with itself: what it answers hangs on what no client can know of (when its storage shards begin, on
//! how many cores it runs, what index it has, in what order it was written to, when it was started), or on chance. The README's
//! known differences from one InfluxDB are such.

mod support;

use support::*;

const HOUR: i64 = 3_600_000_000_000;

/// An influxd whose storage shards are so long.
fn of_shards(length: &str) -> Influxd {
    let influxd = Influxd::start();
    influxd.http().run("", &format!("CREATE DATABASE db WITH DURATION INF SHARD DURATION {length}"));
    influxd
}

/// One that runs on so many cores.
fn on_cores(count: &'static str) -> Influxd {
    let influxd = Influxd::start_in(vec![("GOMAXPROCS", count)]);
    influxd.http().run("", "CREATE DATABASE db");
    influxd
}

fn ask(influxd: &Influxd, q: &str) -> String {
    influxd.http().query("db", q).text().to_owned()
}

/// The same points and the same question, and two answers.
#[track_caller]
fn assert_at_odds(one: &Influxd, other: &Influxd, body: &str, q: &str) {
    for influxd in [one, other] {
        influxd.http().store("db", body);
    }
    let (first, second) = (ask(one, q), ask(other, q));
    assert!(first.contains("\"values\"") && second.contains("\"values\""), "{first}{second}");
    assert_ne!(first, second, "`{q}`");
}

fn with_long_and_short_shards(body: &str, q: &str) {
    assert_at_odds(&of_shards("1000d"), &of_shards("1h"), body, q);
}

/// So many series with a point each at each of these hours.
fn series(count: usize, hours: &[i64], value: impl Fn(usize, i64) -> f64) -> String {
    let mut body = String::new();
    for host in 0..count {
        for hour in hours {
            body.push_str(&format!("m,host=h{host} v={} {}\n", value(host, *hour), hour * HOUR));
        }
    }
    body
}

/// Large ones that balance each other, and small ones.
fn of_many_sizes() -> String {
    series(9, &[1, 2, 3, 4, 5, 6, 7], |host, hour| match (host * 7 + hour as usize * 5) % 11 {
        at @ 0..4 => [1e9, -1e9][at % 2] * 1.1,
        at => 0.1 * at as f64,
    })
}

#[test]
fn floats_have_other_last_digits_with_other_shards() {
    with_long_and_short_shards(&of_many_sizes(), "SELECT sum(v) FROM m");
}

#[test]
fn floats_have_other_last_digits_on_more_cores() {
    assert_at_odds(&on_cores("1"), &on_cores("4"), &of_many_sizes(), "SELECT sum(v) FROM m");
}

/// And where they are added up beyond the greatest.
#[test]
fn floats_run_over_with_other_shards() {
    let body = format!(
        "m,host=a v=1.7e308 {HOUR}\nm,host=b v=1.7e308 {HOUR}\nm,host=a v=-1.7e308 {0}\nm,host=b v=-1.7e308 {0}\n",
        2 * HOUR
    );
    let [long, short] = ["1000d", "1h"].map(|length| {
        let influxd = of_shards(length);
        influxd.http().store("db", &body);
        ask(&influxd, "SELECT sum(v) FROM m")
    });
    assert_ne!(long, short);
}

#[test]
fn rows_of_one_time_have_another_order_with_other_shards() {
    let body = series(4, &[1, 2, 11], |host, _| host as f64);
    with_long_and_short_shards(
        &(body + &format!("m,host=h4 v=4 {HOUR}\nm,host=h4 v=4 {}\n", 11 * HOUR)),
        "SELECT v FROM m",
    );
}

#[test]
fn which_of_the_greatest_is_taken_hangs_on_cores() {
    let body = series(6, &[1, 2, 3, 4, 5], |_, _| 1.0);
    assert_at_odds(
        &on_cores("1"),
        &on_cores("4"),
        &body,
        "SELECT max(v), host FROM m WHERE time < 6h GROUP BY time(1h)",
    );
}

#[test]
fn samples_are_drawn_by_chance() {
    let influxd = of_shards("1h");
    influxd.http().store("db", series(300, &[1], |host, _| host as f64));
    let ask = || ask(&influxd, "SELECT sample(v, 3) FROM m");
    assert_ne!(ask(), ask());
}

#[test]
fn integral_tells_series_in_another_order_each_time() {
    let influxd = of_shards("1000d");
    influxd.http().store("db", series(5, &[1, 2, 3, 4, 5, 6, 7, 8], |host, hour| host as f64 + hour as f64));
    let ask = || ask(&influxd, "SELECT integral(v, 1h) FROM m WHERE time < 9h GROUP BY time(150m), host");
    let first = ask();
    assert!((0..200).any(|_| ask() != first), "{first}");
}

#[test]
fn two_types_of_a_field_are_a_conflict_in_one_shard_and_none_in_two() {
    let body = format!("m,host=a v=1 {HOUR}\nm,host=b v=\"x\" {}\n", 2 * HOUR);
    let [long, short] = ["1000d", "1h"].map(|length| of_shards(length).http().write("db", &body).status);
    assert_eq!((long, short), (400, 204));
}

#[test]
fn a_new_field_of_two_types_is_refused_whole_or_in_part() {
    let body = format!("m v=1 {HOUR}\nm v=1i {}\n", HOUR + 1);
    let [new, old] = ["", "other v=1 3600000000000\n"].map(|before| {
        let influxd = of_shards("1h");
        if !before.is_empty() {
            influxd.http().store("db", before);
        }
        influxd.http().write("db", &body).text().to_owned()
    });
    assert!(!new.contains("partial write") && old.contains("partial write"), "{new}{old}");
}

#[test]
fn tags_in_a_range_of_time_hang_on_the_index() {
    let [inmem, tsi1] = ["inmem", "tsi1"].map(|index| {
        let influxd = Influxd::start_in(vec![("INFLUXDB_DATA_INDEX_VERSION", index)]);
        influxd.http().run("", "CREATE DATABASE db WITH DURATION INF SHARD DURATION 1h");
        influxd.http().store("db", format!("m,host=a v=1 {HOUR}\nm,host=b v=1 {}\n", 5 * HOUR));
        ask(&influxd, "SHOW TAG VALUES FROM m WITH KEY = host WHERE time > 4h AND time < 6h")
    });
    assert!(inmem.contains("\"a\"") && !tsi1.contains("\"a\""), "{inmem}{tsi1}");
}

#[test]
fn fields_in_the_where_of_a_show_are_those_of_the_shard_that_was_opened_last() {
    let shards = [format!("m,host=a v=1 {HOUR}\n"), format!("m,host=b w=1 {}\n", 2 * HOUR)];
    let one = of_shards("1h");
    let other = of_shards("1h");
    shards.iter().for_each(|body| one.http().store("db", body));
    shards.iter().rev().for_each(|body| other.http().store("db", body));
    let asked = [&one, &other].map(|influxd| ask(influxd, "SHOW TAG VALUES FROM m WITH KEY = host WHERE v = 'x'"));
    assert_ne!(asked[0], asked[1]);
}

/// DELETE by time leaves a series in the index as long as one whose key begins with its own has points in the cache.
#[test]
fn a_series_without_points_is_told_on_beside_one_whose_key_begins_alike() {
    let [alike, other] = ["m,host=a", "other,host=a"].map(|neighbour| {
        let influxd = of_shards("1h");
        influxd.http().store("db", format!("m v=1 {HOUR}\n{neighbour} v=1 {HOUR}\n{neighbour} v=1 {}\n", HOUR + 1));
        influxd.http().run("db", &format!("DELETE WHERE time = {HOUR}"));
        ask(&influxd, "SHOW SERIES")
    });
    assert!(alike.contains("[\"m\"]") && !other.contains("[\"m\"]"), "{alike}{other}");
}
