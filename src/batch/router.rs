//! Which slot and group a line belongs to.

use std::sync::Arc;

use ahash::AHashMap;

use crate::lineprotocol::Line;
use crate::topology::{GroupIndex, SlotId, SlotKey, Topology};

/// Measurements whose rule is remembered; a request with more distinct ones looks the rest up again.
const REMEMBERED_MAX: usize = 10_000;

/// Routes the lines of one database by one topology. Neighbouring lines with the same key cost a comparison.
pub struct Router {
    topology: Arc<Topology>,
    db: String,
    db_key: SlotKey,
    /// Some rule covers the database.
    ruled: bool,
    /// Raw measurement -> its rule, if that has tags. Only for ruled databases.
    rules: AHashMap<Box<[u8]>, Option<usize>>,
    last: Last,
}

/// The last line's key and where it led.
#[derive(Default)]
struct Last {
    /// Raw measurement; empty: none yet.
    name: Vec<u8>,
    /// Raw measurement and tags, when the rule has tags.
    series: Vec<u8>,
    slot: Option<SlotId>,
}

impl Router {
    pub fn new(topology: Arc<Topology>, db: &str) -> Router {
        let ruled = topology.rules().iter().any(|rule| rule.covers(db));
        let (db_key, rules) = (SlotKey::database(db), AHashMap::new());
        Router { topology, db: db.to_owned(), db_key, ruled, rules, last: Last::default() }
    }

    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// Reads a line; `None` for blanks and comments.
    #[inline]
    pub fn read<'l>(&self, line: &'l [u8]) -> Option<Line<'l>> {
        Line::read_named(line, &self.last.name).or_else(|| Line::read(line))
    }

    #[inline]
    pub fn group(&mut self, line: &Line<'_>) -> GroupIndex {
        let slot = self.slot(line);
        self.topology.owner(slot)
    }

    #[inline]
    pub fn slot(&mut self, line: &Line<'_>) -> SlotId {
        if let Some(slot) = self.last.slot
            && line.raw_name() == self.last.name
            && (self.last.series.is_empty() || line.raw_series() == self.last.series)
        {
            return slot;
        }
        self.find_slot(line)
    }

    fn find_slot(&mut self, line: &Line<'_>) -> SlotId {
        let mut key = self.db_key.clone();
        key.push_pieces(line.name_pieces());
        self.last.name.clear();
        self.last.name.extend_from_slice(line.raw_name());
        self.last.series.clear();
        if let Some(rule) = self.rule_with_tags(line) {
            self.last.series.extend_from_slice(line.raw_series());
            let tags = &self.topology.rules()[rule].tags;
            tags.iter().for_each(|tag| key.push_pieces(line.tag_pieces(tag)));
        }
        let slot = key.slot();
        self.last.slot = Some(slot);
        slot
    }

    fn rule_with_tags(&mut self, line: &Line<'_>) -> Option<usize> {
        if !self.ruled {
            return None;
        }
        if let Some(&rule) = self.rules.get(line.raw_name()) {
            return rule;
        }
        let name = line.name();
        let rules = self.topology.rules();
        let rule = rules.iter().position(|rule| rule.fits(&self.db, &name)).filter(|&at| !rules[at].tags.is_empty());
        if self.rules.len() < REMEMBERED_MAX {
            self.rules.insert(line.raw_name().into(), rule);
        }
        rule
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{GroupSpec, ReplicaSpec, RuleSpec, Spec, evenly};

    fn rule(db: &str, measurement: &str, tags: &[&str]) -> RuleSpec {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        RuleSpec { db: db.to_owned(), measurement: measurement.to_owned(), tags }
    }

    fn topology(rules: Vec<RuleSpec>) -> Arc<Topology> {
        let (name, url) = ("g1a".to_owned(), "http://h:1".to_owned());
        let (username, password, state) = (String::new(), String::new(), "serving".to_owned());
        let replicas = vec![ReplicaSpec { name, url, username, password, state }];
        let spec = Spec { groups: vec![GroupSpec { id: 1, replicas }], slots: evenly(&[1]), rules };
        Arc::new(spec.build(1).expect("a sound topology"))
    }

    fn slots(rules: Vec<RuleSpec>, db: &str, lines: &[&str]) -> Vec<usize> {
        let mut router = Router::new(topology(rules), db);
        let slot = |line: &&str| {
            let line = router.read(line.as_bytes()).expect("a line");
            router.slot(&line).index()
        };
        lines.iter().map(slot).collect()
    }

    #[test]
    fn the_contracts_vectors() {
        let lines = ["cpu,host=web-1 v=1", "cpu,host=web-1,region=eu v=1", "cpu v=1", "cpu,host=web-1 v=2"];
        assert_eq!(slots(vec![], "telegraf", &lines), [261, 261, 261, 261]);
        assert_eq!(slots(vec![rule("telegraf", "cpu", &["host"])], "telegraf", &lines), [916, 916, 219, 916]);
        let by_two = vec![rule("*", "cpu", &["host", "region"])];
        assert_eq!(slots(by_two, "telegraf", &["cpu,region=eu,host=web-1 v=1"]), [733]);
        assert_eq!(slots(vec![], "db", &["a\\,b v=1", "with\\ space v=1"]), [527, 826]);
    }

    #[test]
    fn the_first_rule_that_fits_wins() {
        let rules = || vec![rule("telegraf", "cpu", &[]), rule("*", "/c.u/", &["host"])];
        let line = ["cpu,host=web-1 v=1", "xcpux,host=web-1 v=1"];
        let exception = slots(rules(), "telegraf", &line);
        assert_eq!(exception[0], 261);
        let elsewhere = slots(rules(), "other", &line);
        let mut key = SlotKey::database("other");
        key.push(b"cpu");
        key.push(b"web-1");
        assert_eq!(elsewhere[0], key.slot().index());
    }
}
