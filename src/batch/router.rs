//! Which slot and group a line belongs to.

use std::rc::Rc;
use std::sync::Arc;

use crate::lineprotocol::{Line, TagValue};
use crate::topology::{GroupIndex, SlotId, SlotKey, Topology};

use super::measurements::{Measurements, Way, same};

/// Routes the lines of one database by one topology. Measurements that neighbours share, or that were written lately, cost
/// a comparison; tags are looked for where a rule asks for them, unless the line begins as the last one did.
pub struct Router {
    measurements: Rc<Measurements>,
    last: Last,
    tags: Tags,
}

/// Names so long are compared with the next line's.
const LAST_BYTES_MAX: usize = 64;

/// The last line's measurement.
#[derive(Default)]
struct Last {
    name: LastName,
    /// `None`: there was no line yet.
    way: Option<Way>,
    /// Where lines of that name go, unless a rule has tags or the name is too long.
    slot: Option<SlotId>,
}

/// A raw name.
struct LastName {
    /// The name and what stood behind it: to copy a fixed length takes no call.
    begins: [u8; LAST_BYTES_MAX],
    len: usize,
    /// There was one, and it is not too long.
    is_kept: bool,
}

impl Default for LastName {
    fn default() -> LastName {
        LastName { begins: [0; LAST_BYTES_MAX], len: 0, is_kept: false }
    }
}

impl LastName {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.begins.get(..self.len).unwrap_or_default()
    }

    #[inline]
    fn is_of(&self, line: &Line<'_>) -> bool {
        self.is_kept && same(line.raw_name(), self.bytes())
    }

    #[inline]
    fn set(&mut self, line: &Line<'_>) {
        let name = line.raw_name();
        self.is_kept = name.len() <= LAST_BYTES_MAX;
        self.len = if self.is_kept { name.len() } else { 0 };
        match line.bytes().first_chunk() {
            Some(begins) => self.begins = *begins,
            None => self.begins[..self.len].copy_from_slice(&name[..self.len]),
        }
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
    /// One that shares what it learns with nobody.
    pub fn new(topology: Arc<Topology>, db: &str) -> Router {
        Router::with(Rc::new(Measurements::new(topology, db)))
    }

    pub fn with(measurements: Rc<Measurements>) -> Router {
        Router { measurements, last: Last::default(), tags: Tags::default() }
    }

    pub fn topology(&self) -> &Arc<Topology> {
        &self.measurements.topology
    }

    /// Reads a line; `None` for blanks and comments.
    #[inline]
    pub fn read<'l>(&self, line: &'l [u8]) -> Option<Line<'l>> {
        let name = self.last.name.bytes();
        let named = line.get(..name.len()).is_some_and(|begin| same(begin, name));
        named.then(|| Line::named(line, name.len())).flatten().or_else(|| Line::read(line))
    }

    #[inline]
    pub fn group(&mut self, line: &Line<'_>) -> GroupIndex {
        let slot = self.slot(line);
        self.topology().owner(slot)
    }

    #[inline]
    pub fn slot(&mut self, line: &Line<'_>) -> SlotId {
        match self.last.slot {
            Some(slot) if same(line.raw_name(), self.last.name.bytes()) => slot,
            _ => self.find_slot(line),
        }
    }

    #[inline(never)]
    fn find_slot(&mut self, line: &Line<'_>) -> SlotId {
        let Last { name, way, slot } = &mut self.last;
        if !name.is_of(line) {
            *way = None;
        }
        let way = way.get_or_insert_with(|| {
            name.set(line);
            self.measurements.way(line)
        });
        *slot = (name.is_kept && way.rule.is_none()).then_some(way.slot);
        match way.rule {
            Some(rule) => self.tags.slot(&self.measurements.topology.rules()[rule as usize].tags, &way.key, line),
            None => way.slot,
        }
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
    use super::super::measurements::{KNOWN_MAX, Routes};
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
    fn the_neighbours_name_is_reused() {
        let mut router = Router::new(topology(vec![]), "db");
        let name = |router: &mut Router, line: &'static str| {
            let line = router.read(line.as_bytes()).expect("a line");
            router.slot(&line);
            line.raw_name()
        };
        for (line, expected) in [
            ("cpu,host=a v=1", "cpu"),
            ("cpu v=1", "cpu"),
            ("cpu2 v=1", "cpu2"),
            ("cpu", "cpu"),
            ("cpu\\ v=1", "cpu\\ v=1"),
            ("cpu\\\\", "cpu\\\\"),
            ("cpu\\\\ x v=1", "cpu\\\\ x"),
            ("cpu\\\\", "cpu\\\\"),
            ("cpu\\\\,a=b v=1", "cpu\\\\,a=b"),
            ("mem v=1", "mem"),
            (",a=b v=1", ""),
            (" ,a=b v=1", ""),
            ("mem,a=b v=1", "mem"),
        ] {
            assert_eq!(name(&mut router, line), expected.as_bytes(), "{line}");
        }
    }

    /// An escaped byte at a line's very end is part of the name, and what begins alike has another one.
    #[test]
    fn names_that_end_escaped_are_not_taken_for_their_neighbours() {
        let rules = || vec![rule("db", "/^a/", &["host"])];
        for (before, line) in [("a\\ ", "a\\ b,host=x v=1"), ("a\\,", "a\\,b,host=x v=1")] {
            let alone = slots(rules(), "db", &[line]);
            assert_eq!(slots(rules(), "db", &[before, line])[1..], alone, "{before:?}");
        }
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
    }

    /// Kept in one way or another, or not at all; behind themselves and behind others that begin alike.
    #[test]
    fn names_of_every_length() {
        let mut router = Router::new(topology(vec![rule("*", "/^r/", &["host"])]), "db");
        let lens = (1..80).chain(250..262);
        for (first, len) in lens.clone().flat_map(|len| [("m", len), ("m", len), ("r", len), ("r", len)]) {
            for (len, host) in [(len, 1), (len, 2), (len + 1, 1)] {
                let name = first.repeat(len);
                let mut key = SlotKey::database("db");
                key.push(name.as_bytes());
                if first == "r" {
                    key.push(format!("h{host}").as_bytes());
                }
                for tail in [" v=1", " v=1,much=2,more=3,behind=4,it=5,than=6,sixty=7,four=8,bytes=9"] {
                    let line = format!("{name},host=h{host}{tail}");
                    let read = router.read(line.as_bytes()).expect("a line");
                    assert_eq!(router.slot(&read), key.clone().slot(), "{line}");
                }
            }
        }
        let empty = router.read(b",host=h1 v=1").expect("a line");
        let mut key = SlotKey::database("db");
        key.push(b"");
        assert_eq!(router.slot(&empty), key.slot());
    }

    /// However many databases are written to at once, each with many measurements.
    #[test]
    fn what_routers_in_use_have_at_hand_is_bounded() {
        let (routes, topology) = (Routes::default(), topology(vec![]));
        let mut routers: Vec<Router> = (0..50).map(|db| routes.router(&topology, &format!("db{db}"))).collect();
        let fill = |router: &mut Router| {
            for i in 0..2 * KNOWN_MAX {
                let line = format!("m{i} v=1");
                let read = router.read(line.as_bytes()).expect("a line");
                router.slot(&read);
            }
            router.measurements.room()
        };
        let rooms: Vec<usize> = routers.iter_mut().map(fill).collect();
        assert_eq!(rooms.iter().filter(|room| **room == KNOWN_MAX).count(), 16, "{rooms:?}");
        assert_eq!(rooms.iter().sum::<usize>(), 16 * KNOWN_MAX + 34 * 16);
        drop(routers);
        assert_eq!(fill(&mut routes.router(&topology, "another")), KNOWN_MAX, "an idle one makes room for it");
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
