//! What is known of the measurements that were written lately: where each goes, so that most lines cost a comparison.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ahash::{AHashMap, RandomState};

use crate::lineprotocol::Line;
use crate::topology::{SlotId, SlotKey, Topology};

use super::Router;

/// Databases whose measurements are at hand.
const DATABASES_MAX: usize = 16;
/// Measurements of a database that are at hand; powers of two.
const KNOWN_MIN: usize = 16;
pub const KNOWN_MAX: usize = 4096;
/// Those with the same hash, for all that counts.
const SET: usize = 4;
/// Names so long are kept beside what is known of them, longer ones elsewhere; those beyond the second limit are looked up
/// each time.
const SHORT_BYTES_MAX: usize = 22;
const NAME_BYTES_MAX: usize = 256;

/// What the routers of one shard share: at most `DATABASES_MAX` tables of `KNOWN_MAX` measurements. While all of these are in
/// use, routers for other databases have `KNOWN_MIN` at hand, each for itself.
#[derive(Default)]
pub struct Routes {
    by_db: RefCell<AHashMap<Box<str>, Rc<Measurements>>>,
}

impl Routes {
    /// A router for a database's lines by this topology.
    pub fn router(&self, topology: &Arc<Topology>, db: &str) -> Router {
        let mut by_db = self.by_db.borrow_mut();
        if let Some(known) = by_db.get(db).filter(|known| Arc::ptr_eq(&known.topology, topology)) {
            return Router::with(known.clone());
        }
        if by_db.len() >= DATABASES_MAX && !by_db.contains_key(db) {
            // One in use would live on beside the new one.
            let idle = by_db.iter().find(|(_, known)| Rc::strong_count(known) == 1).map(|(other, _)| other.clone());
            match idle {
                Some(other) => drop(by_db.remove(&other)),
                None => return Router::with(Rc::new(Measurements::limited(topology.clone(), db, KNOWN_MIN))),
            }
        }
        let fresh = Rc::new(Measurements::new(topology.clone(), db));
        by_db.insert(db.into(), fresh.clone());
        Router::with(fresh)
    }
}

/// The measurements of one database by one topology.
pub struct Measurements {
    pub topology: Arc<Topology>,
    db: String,
    db_key: SlotKey,
    /// Some rule covers the database.
    ruled: bool,
    hashes: RandomState,
    table: RefCell<Table>,
}

/// Each measurement has a set of places by its hash, the latest first; the earliest goes.
struct Table {
    /// Its length is a power of two, and grows with the misses: few measurements take little.
    known: Vec<Option<Known>>,
    /// Measurements that were not at hand since `known` has its length.
    misses: usize,
    /// As long as `known` may become.
    len_max: usize,
}

/// In one line of the processor's cache: where measurements take turns, each line looks for its own.
#[repr(align(64))]
struct Known {
    name: Name,
    way: Way,
}

const _: () = assert!(size_of::<Option<Known>>() == 64);

/// A measurement's name as lines have it.
enum Name {
    Short { len: u8, bytes: [u8; SHORT_BYTES_MAX] },
    Long(Box<[u8]>),
}

impl Name {
    fn new(name: &[u8]) -> Name {
        if name.len() > SHORT_BYTES_MAX {
            return Name::Long(name.into());
        }
        let mut bytes = [0; SHORT_BYTES_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Name::Short { len: name.len() as u8, bytes }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Name::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Name::Long(name) => name,
        }
    }
}

/// Where lines of a measurement go.
#[derive(Clone)]
pub struct Way {
    /// Database and measurement.
    pub key: SlotKey,
    /// By measurement alone.
    pub slot: SlotId,
    /// Its rule, if that has tags.
    pub rule: Option<u32>,
}

impl Measurements {
    pub fn new(topology: Arc<Topology>, db: &str) -> Measurements {
        Measurements::limited(topology, db, KNOWN_MAX)
    }

    fn limited(topology: Arc<Topology>, db: &str, len_max: usize) -> Measurements {
        Measurements {
            ruled: topology.rules().iter().any(|rule| rule.covers(db)),
            db: db.to_owned(),
            db_key: SlotKey::database(db),
            topology,
            hashes: RandomState::new(),
            table: RefCell::new(Table { known: none(KNOWN_MIN), misses: 0, len_max }),
        }
    }

    /// Where lines of this line's measurement go.
    pub fn way(&self, line: &Line<'_>) -> Way {
        let name = line.raw_name();
        let hash = self.hashes.hash_one(name);
        let mut table = self.table.borrow_mut();
        if let Some(known) = table.set(hash).iter().flatten().find(|known| same(known.name.bytes(), name)) {
            return known.way.clone();
        }
        let way = self.find(line);
        if name.len() <= NAME_BYTES_MAX {
            table.put(hash, name, way.clone(), |known| self.hashes.hash_one(known.name.bytes()));
        }
        way
    }

    /// How many measurements there is room for.
    #[cfg(test)]
    pub fn room(&self) -> usize {
        self.table.borrow().known.len()
    }

    fn find(&self, line: &Line<'_>) -> Way {
        let mut key = self.db_key.clone();
        key.push_pieces(line.name_pieces());
        Way { slot: key.clone().slot(), key, rule: self.rule_with_tags(line) }
    }

    fn rule_with_tags(&self, line: &Line<'_>) -> Option<u32> {
        if !self.ruled {
            return None;
        }
        let name = line.name();
        let rules = self.topology.rules();
        let rule = rules.iter().position(|rule| rule.fits(&self.db, &name)).filter(|&at| !rules[at].tags.is_empty());
        rule.map(|at| u32::try_from(at).expect("a topology's document has less than 2^32 bytes"))
    }
}

impl Table {
    fn set(&mut self, hash: u64) -> &mut [Option<Known>] {
        let first = (hash as usize & (self.known.len() / SET - 1)) * SET;
        &mut self.known[first..first + SET]
    }

    /// In the place of the earliest in its set.
    fn put(&mut self, hash: u64, name: &[u8], way: Way, hash_of: impl Fn(&Known) -> u64) {
        self.misses += 1;
        if self.misses > self.known.len() / 2 && self.known.len() < self.len_max {
            let longer = none(self.known.len() * 4);
            // From the earliest in each set to the latest.
            for known in std::mem::replace(&mut self.known, longer).into_iter().rev().flatten() {
                let hash = hash_of(&known);
                *self.first(hash) = Some(known);
            }
            self.misses = 0;
        }
        *self.first(hash) = Some(Known { name: Name::new(name), way });
    }

    /// The first place of a set: the others move on, and the last of them is now there.
    fn first(&mut self, hash: u64) -> &mut Option<Known> {
        let set = self.set(hash);
        set.rotate_right(1);
        &mut set[0]
    }
}

fn none(len: usize) -> Vec<Option<Known>> {
    std::iter::repeat_with(|| None).take(len).collect()
}

/// Whether two names are the same. Most are short, and calling `memcmp` takes longer than to compare them.
#[inline]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    fn ends<const N: usize>(a: &[u8], b: &[u8]) -> bool {
        a.first_chunk::<N>() == b.first_chunk::<N>() && a.last_chunk::<N>() == b.last_chunk::<N>()
    }
    a.len() == b.len()
        && match a.len() {
            4..=8 => ends::<4>(a, b),
            9..=16 => ends::<8>(a, b),
            17..=32 => ends::<16>(a, b),
            _ => a == b,
        }
}

#[cfg(test)]
mod tests {
    use crate::topology::{GroupSpec, ReplicaSpec, Spec, evenly};

    use super::*;

    fn topology() -> Arc<Topology> {
        let (name, url) = ("g1a".to_owned(), "http://h:1".to_owned());
        let (username, password, state) = (String::new(), String::new(), "serving".to_owned());
        let replicas = vec![ReplicaSpec { name, url, username, password, state }];
        let spec = Spec { groups: vec![GroupSpec { id: 1, replicas }], slots: evenly(&[1]), rules: vec![] };
        Arc::new(spec.build(1).expect("a sound topology"))
    }

    #[test]
    fn what_is_at_hand_is_bounded() {
        let (routes, topology) = (Routes::default(), topology());
        let longest = "n".repeat(NAME_BYTES_MAX + 1);
        for db in 0..3 * DATABASES_MAX {
            let mut router = routes.router(&topology, &format!("db{db}"));
            for line in ["a v=1", "a v=2", &format!("{longest} v=1")] {
                let line = router.read(line.as_bytes()).expect("a line");
                router.slot(&line);
            }
        }
        let by_db = routes.by_db.borrow();
        assert_eq!(by_db.len(), DATABASES_MAX);
        let known = |at_hand: &Rc<Measurements>| at_hand.table.borrow().known.iter().flatten().count();
        assert!(by_db.values().all(|at_hand| known(at_hand) == 1));
    }

    #[test]
    fn another_topology_begins_anew() {
        let (routes, before) = (Routes::default(), topology());
        let after = topology();
        for topology in [&before, &before, &after] {
            assert!(Arc::ptr_eq(routes.router(topology, "db").topology(), topology));
        }
        assert_eq!(routes.by_db.borrow().len(), 1);
    }

    #[test]
    fn names_differ_wherever_a_byte_does() {
        for len in 0..70 {
            let name: Vec<u8> = (0..len).map(|i| b'a' + i % 26).collect();
            assert!(same(&name, &name.clone()), "{len}");
            assert!(!same(&name, &[&name[..], b"x"].concat()), "{len}");
            for at in 0..usize::from(len) {
                let mut other = name.clone();
                other[at] = b'_';
                assert!(!same(&name, &other), "{len} at {at}");
            }
        }
    }
}
