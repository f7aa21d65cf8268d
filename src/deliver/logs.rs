//! Every replica's logs and gates, by its name: they last as long as the process, whatever topologies come.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config;
use crate::gate::{Gate, Parked};
use crate::spool::{ParkedFound, Spool, Spools, Stranger};
use crate::stats::Lasting;

use super::way::Concern;

/// One replica's.
pub struct ReplicaLog {
    pub spool: Arc<Spool>,
    pub gate: Arc<Gate>,
    pub parked: Arc<Parked>,
}

/// All of them. Made by one thread (`of`), looked up by all (`get`).
pub struct Logs {
    spools: Arc<Spools>,
    table: ArcSwap<HashMap<String, Arc<ReplicaLog>>>,
    /// What lies there for replicas that no topology has named yet, as it was last looked at.
    strangers: ArcSwap<Vec<Stranger>>,
}

impl Logs {
    /// What lies in `dir` is found as replicas are named.
    pub fn open(dir: &Path, settings: config::Spool) -> io::Result<Logs> {
        Ok(Logs { spools: Spools::open(dir, settings)?, table: ArcSwap::default(), strangers: ArcSwap::default() })
    }

    /// Looks at what lies there for replicas that the topology does not name, and tells what is new. Blocks.
    pub fn look_for_strangers(&self, named: &HashSet<String>) {
        let mut found = match self.spools.strangers(named) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "what lies in data_dir/spool cannot be looked at");
                return;
            }
        };
        // Of those that it named before.
        for log in self.all().iter().filter(|log| !named.contains(log.spool.name())) {
            let stats = log.spool.stats();
            let (records, points, bytes) = (stats.records.get(), stats.points.get(), stats.bytes.get());
            if records > 0 {
                let (name, since_ms) = (log.spool.name().to_owned(), stats.since_ms.get());
                found.push(Stranger { name, records, points, bytes, since_ms });
            }
        }
        let before = self.strangers.load();
        for stranger in found.iter().filter(|stranger| !before.iter().any(|known| known.name == stranger.name)) {
            let Stranger { name, points, bytes, .. } = stranger;
            tracing::warn!(
                replica = name,
                points,
                bytes,
                "points wait for a replica that the topology does not name: they are kept; see `slotline spool ls`, and \
                 `move` or `drop`"
            );
        }
        self.strangers.store(Arc::new(found));
    }

    pub fn strangers(&self) -> Arc<Vec<Stranger>> {
        self.strangers.load_full()
    }

    /// Makes it if need be. Reads and writes the disk: never on a shard.
    pub fn of(&self, replica: &str) -> io::Result<Arc<ReplicaLog>> {
        if let Some(known) = self.get(replica) {
            return Ok(known);
        }
        let spool = self.spools.of(replica)?;
        let parked = Arc::new(Parked::default());
        for ParkedFound { key, records, databases, statements } in spool.parked() {
            tracing::warn!(replica, ?databases, "what an earlier process has parked waits for these databases");
            let concerns = statements.iter().map(|(db, text)| Concern::of(db, text));
            let makes = concerns.flat_map(|concern| concern.makes().to_vec()).collect();
            parked.insert(*key, Gate::holding(*records), makes);
            spool.stats().blocked.set(1);
        }
        let gate = Gate::holding(spool.recovered());
        let log = Arc::new(ReplicaLog { spool, gate, parked });
        let mut table = HashMap::clone(&self.table.load());
        table.insert(replica.to_owned(), log.clone());
        self.table.store(Arc::new(table));
        Ok(log)
    }

    /// There is one for every replica of every topology that was ever in force.
    pub fn get(&self, replica: &str) -> Option<Arc<ReplicaLog>> {
        self.table.load().get(replica).cloned()
    }

    /// By name.
    pub fn all(&self) -> Vec<Arc<ReplicaLog>> {
        let mut all: Vec<Arc<ReplicaLog>> = self.table.load().values().cloned().collect();
        all.sort_by(|one, two| one.spool.name().cmp(two.spool.name()));
        all
    }

    /// What a snapshot holds of them.
    pub fn lasting(&self, replica: &str) -> Lasting {
        match self.get(replica) {
            Some(log) => {
                let ReplicaLog { spool, gate, parked } = &*log;
                Lasting { spool: spool.stats().clone(), gate: gate.clone(), parked: parked.clone() }
            }
            None => Lasting::default(),
        }
    }
}
