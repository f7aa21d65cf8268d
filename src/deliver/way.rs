//! Which way a batch or a statement goes to one replica: directly, or into one of its logs.
//!
//! The replica's gate decides first. While it is open, what concerns a parked database goes behind what waits of it, in
//! that database's own log; while it is closed, everything goes into the main log, and replay brings it there.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::gate::{self, DirectPass, Gate, LogPass, Parked, parked_key};
use crate::influxql::{Params, Statement, parse_query, quote_ident};
use crate::spool::Queue;
use crate::stats::ReplicaStats;

pub enum Way {
    Direct(DirectPass),
    Log(Place),
    /// This gate is held: ask again in a moment.
    Wait(Arc<Gate>),
}

/// A place in a log, until it is dropped; `stay` once something lies there.
pub struct Place {
    pub queue: Queue,
    pass: LogPass,
    /// As long as something is on its way into a parked log, the replica's gate knows it as on its way.
    _direct: Option<DirectPass>,
}

impl Place {
    /// In the main log; everything after it goes there too.
    pub fn main(stats: &ReplicaStats) -> Place {
        Place { queue: Queue::Main, pass: stats.gate.enter_log(), _direct: None }
    }

    pub fn stay(self) {
        self.pass.stay();
    }
}

/// The way of points of a database.
pub fn of_points(stats: &ReplicaStats, db: &str) -> Way {
    enter(stats, |_| Some(parked_key(db)))
}

/// The way of a statement.
pub fn of_statement(stats: &ReplicaStats, concern: &Concern) -> Way {
    let way = enter(stats, |parked| concern.waits_for(parked));
    if let Way::Log(Place { queue: Queue::Parked(key), .. }) = way {
        stats.parked.note_makes(key, &concern.makes);
    }
    way
}

fn enter(stats: &ReplicaStats, key: impl FnOnce(&Parked) -> Option<u32>) -> Way {
    let direct = match stats.gate.enter() {
        gate::Way::Direct(pass) => pass,
        gate::Way::Log(pass) => return Way::Log(Place { queue: Queue::Main, pass, _direct: None }),
        gate::Way::Wait => return Way::Wait(stats.gate.clone()),
    };
    if stats.parked.is_empty() {
        return Way::Direct(direct);
    }
    let parked = key(&stats.parked).and_then(|key| Some((key, stats.parked.get(key)?)));
    let Some((key, parked)) = parked else { return Way::Direct(direct) };
    match parked.gate.enter() {
        // It was only just opened again.
        gate::Way::Direct(_) => Way::Direct(direct),
        gate::Way::Log(pass) => Way::Log(Place { queue: Queue::Parked(key), pass, _direct: Some(direct) }),
        gate::Way::Wait => Way::Wait(parked.gate),
    }
}

/// What a statement has to do with databases that are parked.
#[derive(Debug, Default)]
pub struct Concern {
    /// Databases that it takes something from.
    takes: BTreeSet<u32>,
    /// Databases that it makes, or makes something in.
    makes_in: BTreeSet<u32>,
    /// Statements that make what it drops.
    makes: Vec<String>,
    /// Databases that are there, or are not, once it is carried out.
    creates: Vec<String>,
    drops: Vec<String>,
}

impl Concern {
    /// Of a statement as a log holds it: its database and its text.
    pub fn of(db: &str, text: &str) -> Concern {
        let mut concern = Concern::default();
        let Ok(query) = parse_query(text, &Params::new()) else { return concern };
        for statement in &query.statements {
            match statement {
                Statement::DropDatabase { name } => {
                    concern.takes.insert(parked_key(name));
                    concern.makes.push(creation(name));
                    concern.drops.push(name.clone());
                }
                Statement::DropRetentionPolicy { name, database } => {
                    concern.takes.insert(parked_key(database));
                    let (policy, database) = (quote_ident(name), quote_ident(database));
                    let policy = format!("CREATE RETENTION POLICY {policy} ON {database} DURATION 0s REPLICATION 1");
                    concern.makes.push(policy);
                }
                Statement::Delete(_) | Statement::DropSeries(_) | Statement::DropMeasurement { .. } => {
                    concern.takes.insert(parked_key(db));
                }
                Statement::CreateDatabase(create) => {
                    concern.makes_in.insert(parked_key(&create.name));
                    concern.creates.push(create.name.clone());
                }
                Statement::CreateRetentionPolicy(create) => {
                    concern.makes_in.insert(parked_key(&create.database));
                }
                _ => {}
            }
        }
        concern
    }

    /// The parked database behind which it must wait: it takes something from it, or it makes something that a statement
    /// that waits there will drop. (What makes the database that is lacking must not wait for it.)
    pub fn waits_for(&self, parked: &Parked) -> Option<u32> {
        let is_parked = |key: &u32| parked.get(*key).is_some();
        let drops = |key: &u32| parked.get(*key).is_some_and(|parked| !parked.makes.is_empty());
        let taken = self.takes.iter().copied().find(is_parked);
        taken.or_else(|| self.makes_in.iter().copied().find(drops))
    }

    pub fn makes(&self) -> &[String] {
        &self.makes
    }

    /// The replica has carried it out.
    pub fn note_done(&self, parked: &Parked) {
        self.creates.iter().for_each(|db| parked.note_made(db));
        self.drops.iter().for_each(|db| parked.note_dropped(db));
    }
}

/// The statement that makes a database.
pub fn creation(db: &str) -> String {
    format!("CREATE DATABASE {}", quote_ident(db))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Lasting;

    fn stats() -> Arc<ReplicaStats> {
        ReplicaStats::new("g1a", Lasting::default())
    }

    fn queue(way: Way) -> Option<Queue> {
        match way {
            Way::Direct(_) => None,
            Way::Log(place) => Some(place.queue),
            Way::Wait(_) => panic!("no gate is held"),
        }
    }

    #[test]
    fn a_parked_database_has_a_way_of_its_own() {
        let stats = stats();
        let parked = Queue::Parked(parked_key("gone"));
        assert_eq!(queue(of_points(&stats, "gone")), None);
        let gate = stats.parked.park(parked_key("gone"));
        assert_eq!(queue(of_points(&stats, "gone")), Some(parked));
        assert_eq!(queue(of_points(&stats, "other")), None);
        stats.gate.close();
        assert_eq!(queue(of_points(&stats, "gone")), Some(Queue::Main), "replay brings it there, in order");
        assert!(stats.gate.reopen());
        gate.hold();
        assert!(matches!(of_points(&stats, "gone"), Way::Wait(held) if Arc::ptr_eq(&held, &gate)));
        assert!(gate.reopen());
        assert_eq!(queue(of_points(&stats, "gone")), None, "open, though still in the table");
    }

    #[test]
    fn on_its_way_into_a_parked_log_is_on_its_way() {
        let stats = stats();
        let gate = stats.parked.park(parked_key("gone"));
        let Way::Log(place) = of_points(&stats, "gone") else { panic!("it is parked") };
        assert_eq!((stats.gate.direct(), gate.logged()), (1, 1));
        place.stay();
        assert_eq!((stats.gate.direct(), gate.logged()), (0, 1));
    }

    #[test]
    fn statements_wait_where_they_must() {
        let stats = stats();
        let parked = Queue::Parked(parked_key("gone"));
        let way = |db: &str, text: &str| queue(of_statement(&stats, &Concern::of(db, text)));
        stats.parked.park(parked_key("gone"));
        for text in ["CREATE DATABASE gone", "CREATE RETENTION POLICY a ON gone DURATION 1d REPLICATION 1"] {
            assert_eq!(way("", text), None, "{text} is what is waited for");
        }
        assert_eq!(way("gone", "DELETE FROM m"), Some(parked));
        assert_eq!(way("other", "DELETE FROM m"), None);
        assert_eq!(way("gone", "CREATE USER u WITH PASSWORD 'x'"), None);
        assert_eq!(way("", "DROP DATABASE gone"), Some(parked));
        assert_eq!(way("", "CREATE DATABASE gone"), Some(parked), "it comes behind the DROP");
        let makes = stats.parked.get(parked_key("gone")).expect("it is parked").makes;
        assert_eq!(makes, ["CREATE DATABASE gone"]);
    }
}
