//! What all shards shall apply.

use std::sync::Arc;

use crate::admin::Process;
use crate::backend::Snapshot;
use crate::topology::Topology;

/// Makes a topology the one in force.
pub fn publish(process: &Process, topology: Topology) {
    let before = process.snapshot.load_full();
    process.snapshot.store(Some(Arc::new(Snapshot::following(before.as_deref(), topology))));
}
