//! What operators ask of a running proxy: `/metrics`, `/health`, `/ready`, on the admin port and beside InfluxDB's API.

mod metrics;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use crate::backend::ReplicaTable;
use crate::stats::ShardStats;
use crate::topology::Topology;

pub use metrics::text as metrics_text;

/// What the whole process shares and operators ask about.
pub struct Process {
    pub topology: Arc<ArcSwap<Topology>>,
    pub shards: Vec<Arc<ShardStats>>,
    pub replicas: ReplicaTable,
    /// SIGTERM has come.
    pub draining: AtomicBool,
}

/// What is said of the version until a replica has told its own.
const VERSION_UNKNOWN: (&str, &str) = ("1.8.10", "OSS");

impl Process {
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Version and build of the InfluxDB behind us: the first replica's that told.
    pub fn version(&self) -> (String, String) {
        let topology = self.topology.load();
        let told = topology.replicas().filter_map(|replica| self.replicas.get(&replica.name)?.version.load_full());
        match told.into_iter().next() {
            Some(version) => (*version).clone(),
            None => (VERSION_UNKNOWN.0.to_owned(), VERSION_UNKNOWN.1.to_owned()),
        }
    }

    /// Why the proxy should get no traffic: it drains, or a group has no replica that is up.
    pub fn unready(&self) -> Option<String> {
        if self.is_draining() {
            return Some("draining".to_owned());
        }
        let topology = self.topology.load();
        let up = |name: &str| self.replicas.get(name).is_some_and(|stats| stats.is_up());
        let dead = topology.groups().iter().find(|group| !group.replicas.iter().any(|replica| up(&replica.name)))?;
        let names: Vec<&str> = dead.replicas.iter().map(|replica| replica.name.as_str()).collect();
        Some(format!("group {} has no replica that is up ({})", dead.id, names.join(", ")))
    }
}
