//! The topology: which group owns which slot, which replicas a group has, which tags make the slot key.
//!
//! An immutable snapshot. Requests take one at their start and use it to their end. It is built and checked in
//! `build`, read and written as JSON in `document`, changed in `change`, compared in `diff`; `source` says where in ZooKeeper it lies. What else
//! proxies share: `udp`, listeners; `backlog`, what replicas have still to take.
//!
//! Used by every layer above.

mod backlog;
mod build;
pub mod change;
mod diff;
mod document;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod rule;
mod slot;
mod source;
mod udp;

pub use backlog::{Backlog, Backlogs};
pub use build::{GroupSpec, Place, ReplicaSpec, RuleSpec, SlotsSpec, Spec, SpecFault, evenly};
pub use diff::{Change, changes_that_hide_data, harmless_changes};
pub use document::{DocumentError, parse, print};
pub use rule::{MeasurementPattern, Rule};
pub use slot::{SLOTS, SlotId, SlotKey};
pub use source::{ROOT, Servers, Znodes};
pub use udp::{LineTarget, Spread, UdpListener, overlap, parse_udp, print_udp};

/// A group's number, as the operator wrote it.
pub type GroupId = u32;

/// Where a group stands in `Topology::groups`.
pub type GroupIndex = u16;

/// Who owns what, at one epoch.
#[derive(Clone, Debug)]
pub struct Topology {
    pub epoch: u64,
    /// Never empty.
    groups: Vec<Group>,
    /// Every entry is an index into `groups`.
    slots: Box<[GroupIndex; SLOTS]>,
    rules: Vec<Rule>,
    spec: Spec,
}

/// The replicas that hold the same slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub id: GroupId,
    /// Never empty, names unique over the topology.
    pub replicas: Vec<Replica>,
}

/// One InfluxDB.
#[derive(Clone, PartialEq, Eq)]
pub struct Replica {
    pub name: String,
    /// `http://host:port`, without a trailing slash.
    pub url: String,
    pub address: Address,
    pub username: String,
    pub password: String,
    pub state: ReplicaState,
}

/// Where a replica listens: the two parts of its URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an IP address; IPv6 without its brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    Serving,
    /// Takes every write and no read.
    Joining,
}

impl ReplicaState {
    /// As documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            ReplicaState::Serving => "serving",
            ReplicaState::Joining => "joining",
        }
    }
}

/// Slots in order as text, `0-511, 600`.
pub fn slots_text(slots: &[SlotId]) -> String {
    build::ranges(&slots.iter().map(|slot| slot.index()).collect::<Vec<_>>())
}

impl std::fmt::Debug for Replica {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Topology {
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub fn group(&self, index: GroupIndex) -> &Group {
        &self.groups[usize::from(index)]
    }

    pub fn owner(&self, slot: SlotId) -> GroupIndex {
        self.slots[slot.index()]
    }

    /// A group's slots as text, `0-511, 600`; empty if it has none.
    pub fn slots_of(&self, group: GroupIndex) -> String {
        let own = SlotId::all().filter(|slot| self.owner(*slot) == group).map(SlotId::index);
        build::ranges(&own.collect::<Vec<_>>())
    }

    /// The slots that a replica's group owns; none if no group has it.
    pub fn slots_of_replica(&self, name: &str) -> Vec<SlotId> {
        let has = |index: &GroupIndex| self.group(*index).replicas.iter().any(|replica| replica.name == name);
        let group = self.group_indexes().find(has);
        SlotId::all().filter(|slot| Some(self.owner(*slot)) == group).collect()
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the topology was built from.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The first rule that fits the measurement (unescaped).
    pub fn rule(&self, db: &str, measurement: &[u8]) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.fits(db, measurement))
    }

    /// Whether a rule spreads the measurement's series over groups.
    pub fn splits(&self, db: &str, measurement: &[u8]) -> bool {
        self.rule(db, measurement).is_some_and(|rule| !rule.tags.is_empty())
    }

    /// The slot of a measurement whose rule has no tags.
    pub fn measurement_slot(db: &str, measurement: &[u8]) -> SlotId {
        let mut key = SlotKey::database(db);
        key.push(measurement);
        key.slot()
    }

    /// All groups in written order.
    pub fn group_indexes(&self) -> impl Iterator<Item = GroupIndex> + use<> {
        0..self.groups.len() as GroupIndex
    }

    pub fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.groups.iter().flat_map(|group| &group.replicas)
    }

    /// Whether any replica is spoken to with rights of its own.
    pub fn has_credentials(&self) -> bool {
        self.replicas().any(|replica| !replica.username.is_empty())
    }
}
