//! Which slot and group a line belongs to.

use std::sync::Arc;

use ahash::{AHashMap, RandomState};

use crate::lineprotocol::{Line, TagValue};
use crate::topology::{GroupIndex, SlotId, SlotKey, Topology};

/// Measurements whose rule is remembered; a request with more distinct ones looks the rest up again.
const REMEMBERED_MAX: usize = 10_000;

/// Measurements at hand, at most; a power of two.
const KNOWN_MAX: usize = 256;
/// Room for the name of each; longer ones take their own.
const NAME_ROOM_BYTES: usize = 48;

/// Routes the lines of one database by one topology. Measurements that neighbours share, or that take turns, cost a
/// comparison; tags are looked for where a rule asks for them, unless the line begins as the last one did.
pub struct Router {
    topology: Arc<Topology>,
    db: String,
    db_key: SlotKey,
    /// Some rule covers the database.
    ruled: bool,
    /// Raw measurement -> its rule, if that has tags. Only for ruled databases.
    rules: AHashMap<Box<[u8]>, Option<usize>>,
    /// Measurements at hand, each at a place by its hash, where the latest wins. It grows with the misses, so that a
    /// small request stays cheap; its length is a power of two.
    known: Vec<Known>,
    last: Last,
    /// Measurements that were not at hand since `known` has its length.
    misses: usize,
    hashes: RandomState,
    tags: Tags,
}

/// The last line's measurement.
#[derive(Default)]
struct Last {
    /// Raw; empty: none yet.
    name: Vec<u8>,
    /// Where lines of that name go, unless a rule has tags.
    slot: Option<SlotId>,
    /// Where it is at hand. < known.len()
    place: usize,
}

/// What is known of a measurement.
#[derive(Clone)]
struct Known {
    /// Raw; `None`: no measurement is here yet.
    name: Option<Vec<u8>>,
    /// Database and measurement.
    key: SlotKey,
    /// By measurement alone.
    slot: SlotId,
    /// Its rule, if that has tags.
    rule: Option<usize>,
}

impl Known {
    fn nobody(db_key: &SlotKey) -> Known {
        Known { name: None, key: db_key.clone(), slot: db_key.clone().slot(), rule: None }
    }
}

/// What the search for a rule's tags leaves for the next line.
#[derive(Default)]
struct Tags {
    /// What the last line had up to the last of the tags; lines that begin alike go the same way. Empty: none yet.
    begins: Vec<u8>,
    slot: Option<SlotId>,
    /// Room for the tags' values, in the rule's order, and for the part of the key that they make.
    values: Vec<Option<TagValue>>,
    joined: Vec<u8>,
}

impl Router {
    pub fn new(topology: Arc<Topology>, db: &str) -> Router {
        let db_key = SlotKey::database(db);
        Router {
            db: db.to_owned(),
            known: vec![Known::nobody(&db_key)],
            db_key,
            ruled: topology.rules().iter().any(|rule| rule.covers(db)),
            topology,
            rules: AHashMap::new(),
            last: Last::default(),
            misses: 0,
            hashes: RandomState::new(),
            tags: Tags::default(),
        }
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
        match self.last.slot {
            Some(slot) if line.raw_name() == self.last.name => slot,
            _ => self.find_slot(line),
        }
    }

    #[inline(never)]
    fn find_slot(&mut self, line: &Line<'_>) -> SlotId {
        let name = line.raw_name();
        // The empty name is both a measurement's and that of no line yet.
        if name != self.last.name || name.is_empty() {
            self.turn_to(line);
        }
        let known = &self.known[self.last.place];
        match known.rule {
            Some(rule) => self.tags.slot(&self.topology.rules()[rule].tags, &known.key, line),
            None => known.slot,
        }
    }

    /// Makes the line's measurement the last one.
    fn turn_to(&mut self, line: &Line<'_>) {
        let name = line.raw_name();
        self.last.place = self.place(name);
        let known = &self.known[self.last.place];
        if known.name.as_deref() != Some(name) {
            self.get_to_know(line);
        }
        let known = &self.known[self.last.place];
        self.last.slot = known.rule.is_none().then_some(known.slot);
        self.last.name.clear();
        self.last.name.extend_from_slice(name);
    }

    /// Where a measurement is, if it is at hand.
    #[inline]
    fn place(&self, name: &[u8]) -> usize {
        self.hashes.hash_one(name) as usize & (self.known.len() - 1)
    }

    /// Puts the measurement of a line at hand, in the place of whatever was there.
    fn get_to_know(&mut self, line: &Line<'_>) {
        let mut key = self.db_key.clone();
        key.push_pieces(line.name_pieces());
        let slot = key.clone().slot();
        let rule = self.rule_with_tags(line);
        self.misses += 1;
        if self.misses > 2 * self.known.len() && self.known.len() < KNOWN_MAX {
            self.grow();
            self.last.place = self.place(line.raw_name());
        }
        let known = &mut self.known[self.last.place];
        let room = known.name.get_or_insert_with(|| Vec::with_capacity(NAME_ROOM_BYTES));
        room.clear();
        room.extend_from_slice(line.raw_name());
        (known.key, known.slot, known.rule) = (key, slot, rule);
    }

    fn grow(&mut self) {
        let longer = vec![Known::nobody(&self.db_key); self.known.len() * 4];
        for known in std::mem::replace(&mut self.known, longer) {
            if let Some(name) = &known.name {
                let place = self.place(name);
                self.known[place] = known;
            }
        }
        self.misses = 0;
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

impl Tags {
    /// The slot of a line by the tags that the rule of its measurement wants; `key` holds the measurement.
    fn slot(&mut self, wanted: &[String], key: &SlotKey, line: &Line<'_>) -> SlotId {
        if let Some(slot) = self.slot
            && line.bytes().starts_with(&self.begins)
        {
            return slot;
        }
        let passed = self.find(wanted, line);
        self.joined.clear();
        for value in self.values.drain(..) {
            self.joined.push(0);
            if let Some(value) = value {
                line.put_value(value, &mut self.joined);
            }
        }
        let mut key = key.clone();
        key.push_joined(&self.joined);
        let slot = key.slot();
        self.slot = passed.map(|_| slot);
        self.begins.clear();
        self.begins.extend_from_slice(passed.unwrap_or_default());
        slot
    }

    /// Finds the values in one pass; what the line begins with up to the last of them.
    #[inline]
    fn find<'l>(&mut self, wanted: &[String], line: &Line<'l>) -> Option<&'l [u8]> {
        self.values.clear();
        self.values.resize(wanted.len(), None);
        let mut missing = wanted.len();
        let mut tags = line.raw_tags();
        while missing > 0
            && let Some(tag) = tags.next_tag()
        {
            for (key, value) in wanted.iter().zip(&mut self.values) {
                if value.is_none() {
                    *value = tag.value_of(key);
                    missing -= usize::from(value.is_some());
                }
            }
        }
        tags.passed()
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

    /// More than are at hand, each several times, by a rule and without one.
    #[test]
    fn many_measurements_in_turn() {
        let mut router = Router::new(topology(vec![rule("*", "/^ruled/", &["host"])]), "db");
        for i in 0..4 * KNOWN_MAX * 3 {
            let (name, host) = (format!("{}{}", ["m", "ruled"][i % 2], i * i % (2 * KNOWN_MAX)), i % 7);
            let line = format!("{name},host=h{host} v=1");
            let mut key = SlotKey::database("db");
            key.push(name.as_bytes());
            if name.starts_with("ruled") {
                key.push(format!("h{host}").as_bytes());
            }
            let read = router.read(line.as_bytes()).expect("a line");
            assert_eq!(router.slot(&read), key.slot(), "{line}");
        }
        assert_eq!(router.known.len(), KNOWN_MAX);
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
