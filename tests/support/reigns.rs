//! Topologies that follow each other under load, and whether each point lies where one of its time says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::facts::facts;
use super::influxd::Influxd;
use super::load::Sent;
use super::znodes::Document;

/// A document, and when it may have been in force on some core.
pub struct Reign {
    pub document: Document,
    pub from: Instant,
    pub until: Option<Instant>,
}

/// The tag `host`, the measurement and the time of a line of the form `m,host=h v=1 time`.
fn parts(line: &str) -> (&str, &str, u64) {
    let (series, rest) = line.split_once(' ').expect("a line has fields");
    let (measurement, host) = series.split_once(",host=").expect("a line has a host");
    let (_, time) = rest.split_once(' ').expect("a line has a time");
    (measurement, host, time.parse().expect("a time is a number"))
}

/// Times, which are each point's own, and where they are found. What lies in the measurement `but` is not looked at.
pub fn found(servers: &[Influxd], but: &str) -> BTreeMap<u64, BTreeSet<String>> {
    let mut found: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for server in servers {
        for (series, points) in facts(server.http(), "db") {
            for point in points.iter().filter(|_| series.measurement != but) {
                let time = point.split_once(' ').expect("a time and a field").0.parse().expect("a number");
                found.entry(time).or_default().insert(server.url());
            }
        }
    }
    found
}

/// Each point lies on all replicas of a group that was its own while it was sent, and nowhere else. The servers of `late`
/// (by URL) have been given older points as well: they must have what was theirs while it was sent, and may have more.
/// How many ways to lie were seen.
#[track_caller]
pub fn assert_placed(
    sent: &[Sent],
    reigns: &[Reign],
    mut found: BTreeMap<u64, BTreeSet<String>>,
    late: &BTreeSet<String>,
) -> usize {
    let mut moved = BTreeSet::new();
    for request in sent {
        let in_force =
            reigns.iter().filter(|r| r.from <= request.ended && r.until.is_none_or(|until| until >= request.began));
        let in_force: Vec<&Document> = in_force.map(|reign| &reign.document).collect();
        let body = String::from_utf8(request.body.clone()).expect("the test writes text");
        for line in body.lines() {
            let (measurement, host, time) = parts(line);
            let urls = |document: &&Document| {
                document.replicas_of(measurement, host).iter().map(|replica| replica.url.clone()).collect()
            };
            let allowed: Vec<BTreeSet<String>> = in_force.iter().map(urls).collect();
            let lies = found.remove(&time).unwrap_or_default();
            let fits = |allowed: &BTreeSet<String>| {
                allowed.is_subset(&lies) && lies.difference(allowed).all(|url| late.contains(url))
            };
            assert!(allowed.iter().any(fits), "{line} lies on {lies:?} and belongs to one of {allowed:?}");
            moved.insert((measurement.to_owned(), host.to_owned(), lies));
        }
    }
    assert!(found.is_empty(), "points that nobody sent: {found:?}");
    moved.len()
}
