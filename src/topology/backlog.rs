//! What waits for replicas: a proxy's `backlog/<replica>/<proxy id>` as written, and who holds points for whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one proxy's spool holds for one replica: the JSON of its znode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// When the oldest of it was accepted: RFC 3339.
    pub since: String,
    /// Never 0: then there is no znode.
    pub points: u64,
    pub bytes: u64,
}

/// The ids of the proxies that hold points, by the replica that has still to take them.
pub type Backlogs = BTreeMap<String, Vec<String>>;
