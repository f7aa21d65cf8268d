//! THE WRITE STORY, on one shard: from a client's body to its answer.
//!
//! 1. `http::write` reads the request's parameters as InfluxDB does and takes the topology, once.
//! 2. `body::read` receives the frames, unpacks gzip, and hands them to `batch::Builder`, which splits them into lines
//!    and gathers these by group. Only a body that ended properly counts.
//! 3. `deliver::write` puts every batch into a lane of each replica of its group; lanes share requests over clients.
//! 4. Every replica has answered: `batch::merge` says what a single InfluxDB would have said.
//!
//! Used by `shard`; never by `query`.

mod body;
mod http;

use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::backend::Backends;
use crate::config::Config;
use crate::net::Budget;
use crate::stats::{Recorder, ShardStats};
use crate::topology::Topology;

pub use self::http::write;

/// What the write story needs of its shard.
pub struct Ingest {
    pub config: Arc<Config>,
    pub topology: Arc<ArcSwap<Topology>>,
    pub backends: Rc<Backends>,
    pub stats: Arc<ShardStats>,
    pub latency: Recorder,
    /// Bodies held in memory.
    pub budget: Rc<Budget>,
}
