//! Which databases and policies slotline has seen lately, as `data_dir/databases.json` keeps it.

mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use support::*;

/// Every `database.policy` of the file, and every `database.`.
fn kept(slotline: &Slotline) -> BTreeSet<String> {
    let Ok(text) = std::fs::read(slotline.data_dir().join("databases.json")) else { return BTreeSet::new() };
    let json: Value = serde_json::from_slice(&text).expect("the file is whole at every moment");
    let groups = json["groups"].as_object().expect("lists by group").values();
    let lists = groups.chain([&json["seen"]]).flat_map(|list| list.as_object().expect("policies by database"));
    let names = lists.flat_map(|(db, policies)| {
        let policies = policies.as_array().expect("policies").iter().map(|policy| policy.as_str().expect("a name"));
        policies.chain([""]).map(move |policy| format!("{db}.{policy}"))
    });
    names.collect()
}

#[track_caller]
fn wait_kept(slotline: &Slotline, wanted: &[&str]) {
    let wanted: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    let what = format!("{wanted:?} in databases.json (last: {:?})", kept(slotline));
    wait_for(&what, SOON, || (kept(slotline) == wanted).then_some(()));
}

#[test]
fn what_influxdb_has_is_known_across_a_start_without_it() {
    let mut cluster = Cluster::new(2, 1);
    let slotline = &cluster.slotline;
    cluster.http().run("", "CREATE DATABASE a");
    cluster.http().run("", "CREATE RETENTION POLICY week ON a DURATION 1w REPLICATION 1");
    wait_kept(slotline, &["a.", "a.week"]);
    // Made past slotline: a write tells of it, the list of its policies comes later.
    for replica in cluster.replicas() {
        replica.http().run("", "CREATE DATABASE \"b \\\" c\"");
    }
    cluster.http().store("b \" c", "m v=1 1\n");
    wait_kept(slotline, &["a.", "a.autogen", "a.week", "b \" c.", "b \" c.autogen"]);
    cluster.groups.iter_mut().flatten().for_each(Influxd::stop);
    assert_eq!(cluster.slotline.stop(), 0);
    let all = ["a.", "a.autogen", "a.week", "b \" c.", "b \" c.autogen"];
    let path = cluster.slotline.data_dir().join("databases.json");
    assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    let config = cluster.config.clone();
    cluster.slotline.start_again(&config, &[]);
    wait_kept(&cluster.slotline, &all);
    assert_eq!(cluster.slotline.says("cannot be read"), 0);
    // Back again, one database is dropped: by slotline, and past it.
    cluster.groups.iter_mut().flatten().for_each(Influxd::restart);
    cluster.slotline.wait_metric("slotline_backend_up{backend=\"g1a\"}", 1.0);
    cluster.slotline.wait_metric("slotline_backend_up{backend=\"g2a\"}", 1.0);
    cluster.http().run("", "DROP DATABASE \"b \\\" c\"");
    wait_kept(&cluster.slotline, &["a.", "a.autogen", "a.week"]);
    for replica in cluster.replicas() {
        replica.http().run("", "DROP DATABASE a");
    }
    wait_kept(&cluster.slotline, &[]);
}

#[test]
fn a_broken_file_is_as_none() {
    let mut cluster = Cluster::new(1, 1);
    cluster.http().run("", "CREATE DATABASE a");
    wait_kept(&cluster.slotline, &["a.", "a.autogen"]);
    assert_eq!(cluster.slotline.stop(), 0);
    std::fs::write(cluster.slotline.data_dir().join("databases.json"), "{\"groups\":").expect("a folder takes a file");
    let config = cluster.config.clone();
    cluster.slotline.start_again(&config, &[]);
    assert_eq!(cluster.slotline.says("databases seen last cannot be read"), 1);
    wait_for("the list in databases.json", SOON, || {
        let text = std::fs::read_to_string(cluster.slotline.data_dir().join("databases.json")).ok()?;
        text.contains("autogen").then_some(())
    });
    wait_kept(&cluster.slotline, &["a.", "a.autogen"]);
}

#[test]
fn a_write_to_what_is_gone_makes_it_unknown() {
    let cluster = Cluster::new(1, 1);
    cluster.http().run("", "CREATE DATABASE a");
    cluster.http().run("", "CREATE RETENTION POLICY week ON a DURATION 1w REPLICATION 1");
    wait_kept(&cluster.slotline, &["a.", "a.autogen", "a.week"]);
    let influxd = cluster.groups[0][0].http();
    influxd.run("", "DROP RETENTION POLICY week ON a");
    assert_eq!(cluster.http().write_with("db=a&rp=week", "m v=1\n").status, 500);
    wait_kept(&cluster.slotline, &["a.", "a.autogen"]);
    influxd.run("", "DROP DATABASE a");
    assert_eq!(cluster.http().write("a", "m v=1\n").status, 404);
    wait_kept(&cluster.slotline, &[]);
}
