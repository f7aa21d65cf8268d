//! Rules: measurements split over groups by their tags.

mod support;

use support::*;

fn hosts(measurement: &str) -> String {
    let mut body = String::new();
    for host in 0..40 {
        for region in ["eu", "us", ""] {
            let region = if region.is_empty() { String::new() } else { format!(",region={region}") };
            body.push_str(&format!("{measurement}{region},host=web-{host} v={host} {host}\n"));
        }
    }
    body
}

/// What went in, as a reference stores it, is held by the cluster where `slot_of` says.
#[track_caller]
fn check(cluster: &Cluster, db: &str, body: &str, slot_of: impl Fn(&Series) -> u32) {
    let reference = cluster.reference(db);
    cluster.create_db(db);
    reference.http().store(db, body);
    cluster.http().store(db, body);
    cluster.assert_holds_by(db, &facts(reference.http(), db), slot_of);
}

/// Both groups hold part of the measurement; else a placement test would prove little.
fn assert_is_split(cluster: &Cluster, db: &str, measurement: &str) {
    for group in &cluster.groups {
        let stored = facts(group[0].http(), db);
        assert!(stored.keys().any(|series| series.measurement == measurement), "{measurement}");
    }
}

#[test]
fn one_tag_of_a_rule_decides_the_group() {
    let cluster = Setup::new(2, 2).rule("telegraf", "cpu", &["host"]).start();
    let body = hosts("cpu") + &hosts("mem") + "cpu v=1 1\ncpu,region=eu v=2 2\n";
    check(&cluster, "telegraf", &body, |series| match series.measurement.as_str() {
        "cpu" => slot("telegraf", "cpu", &[series.tag("host")]),
        other => slot("telegraf", other, &[]),
    });
    assert_is_split(&cluster, "telegraf", "cpu");
}

#[test]
fn two_tags_count_in_the_order_of_the_rule_and_an_absent_tag_is_empty() {
    let cluster = Setup::new(3, 1)
        .rule("telegraf", "cpu", &["host", "region"])
        .rule("telegraf", "disk", &["region", "host"])
        .start();
    let bare = "cpu v=1 1\ncpu,region=eu v=2 2\ncpu,host=a v=3 3\ndisk v=1 1\ndisk,host=a v=1 2\n";
    let body = hosts("cpu") + &hosts("disk") + bare;
    check(&cluster, "telegraf", &body, |series| {
        let (host, region) = (series.tag("host"), series.tag("region"));
        match series.measurement.as_str() {
            "cpu" => slot("telegraf", "cpu", &[host, region]),
            _ => slot("telegraf", "disk", &[region, host]),
        }
    });
    assert_is_split(&cluster, "telegraf", "cpu");
    assert_is_split(&cluster, "telegraf", "disk");
}

#[test]
fn the_first_rule_that_fits_wins_and_empty_tags_make_an_exception() {
    let cluster = Setup::new(2, 1)
        .rule("telegraf", "cpu_total", &[])
        .rule("telegraf", "/^cpu_/", &["host"])
        .rule("*", "/_x$/", &["region"])
        .rule("telegraf", "/.*/", &["nothing"])
        .start();
    let body = ["cpu_total", "cpu_one", "cpu_x", "disk_x", "plain"].map(hosts).concat();
    for db in ["telegraf", "elsewhere"] {
        check(&cluster, db, &body, |series| {
            let name = series.measurement.as_str();
            match (db, name) {
                ("telegraf", "cpu_total") => slot(db, name, &[]),
                ("telegraf", "cpu_one" | "cpu_x") => slot(db, name, &[series.tag("host")]),
                (_, "disk_x" | "cpu_x") => slot(db, name, &[series.tag("region")]),
                ("telegraf", _) => slot(db, name, &[""]),
                _ => slot(db, name, &[]),
            }
        });
    }
}

#[test]
fn rules_see_names_and_values_without_their_escapes() {
    let cluster = Setup::new(2, 1).rule("db", "/^a b,c$/", &["ho st", "k,=ey"]).rule("db", "plain", &["host"]).start();
    let mut body = String::new();
    for number in 0..60 {
        body.push_str(&format!("a\\ b\\,c,ho\\ st=v\\ {number},k\\,\\=ey=\\=x\\,{number} v=1 1\n"));
        body.push_str(&format!("plain,host=c:\\dir{number} v=1 1\n"));
        body.push_str(&format!("plain,host=\"{number}\",ho=x v=1 1\n"));
        body.push_str(&format!("plain,hos=wrong,host=ü{number},hosts=wrong v=1 1\n"));
    }
    check(&cluster, "db", &body, |series| match series.measurement.as_str() {
        "plain" => slot("db", "plain", &[series.tag("host")]),
        name => slot("db", name, &[series.tag("ho st"), series.tag("k,=ey")]),
    });
    assert_is_split(&cluster, "db", "a b,c");
    assert_is_split(&cluster, "db", "plain");
}
