//! THE WRITE STORY, on one shard: from a client's body to its answer.
//!
//! 1. `http::write` reads the request's parameters as InfluxDB does and takes the topology with its
//!    backends, once.
//! 2. `body::read` receives the frames, unpacks gzip, and hands them to `batch::Builder`, which splits them into lines
//!    and gathers these by group. Only a body that ended properly counts. What has come by a topology that is no longer in
//!    force goes by the one that is.
//! 3. `Delivery::write` puts every batch into a lane of each replica of its group whose gate is open (lanes share requests
//!    over clients), and into the logs of the others.
//! 4. Every replica has answered, or its log has synced: `batch::merge` says what a single InfluxDB would have said.
//!
//! What comes over TCP and UDP has no request and no answer: `tcp` and `udp` receive it, `flow` gathers and delivers it by
//! the same steps.
//!
//! Used by `shard`; never by `query`.

mod body;
mod flow;
mod http;
pub mod tcp;
pub mod udp;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ahash::AHashSet;

use crate::backend::{Backends, Current};
use crate::batch::{BatchLimits, ReplicaAnswer, Routes};
use crate::config::{self, Config};
use crate::deliver::Delivery;
use crate::net::{Budget, Datagrams};
use crate::stats::{Recorder, ShardStats};
use crate::topology::Topology;

pub use self::http::{Dialect, write};

/// What the write story needs of its shard.
pub struct Ingest {
    pub config: Arc<Config>,
    pub backends: Rc<Current>,
    pub stats: Arc<ShardStats>,
    pub latency: Recorder,
    /// Bodies held in memory.
    pub budget: Rc<Budget>,
    pub delivery: Rc<Delivery>,
    pub databases: RefCell<Databases>,
    pub routes: Routes,
    /// Points were not stored.
    pub lost: Teller,
    /// Points wait for a replica.
    pub waiting: Teller,
    /// The memory for one run of datagrams, of whichever listener.
    pub datagrams: RefCell<Option<Datagrams>>,
}

/// The databases that TCP and UDP have made, under one topology.
#[derive(Default)]
pub struct Databases {
    topology: Option<Arc<Topology>>,
    made: AHashSet<Rc<str>>,
}

impl Databases {
    /// Whether the database is still to be made under this topology; the next time it is not.
    fn is_new(&mut self, backends: &Backends, db: &Rc<str>) -> bool {
        if !self.topology.as_ref().is_some_and(|known| Arc::ptr_eq(known, &backends.topology)) {
            self.topology = Some(backends.topology.clone());
            self.made.clear();
        }
        self.made.insert(db.clone())
    }
}

/// Tells the log of what befalls points over TCP and UDP, not more often than now and then.
pub struct Teller {
    what: &'static str,
    last: Cell<Option<Instant>>,
}

impl Teller {
    const EVERY: Duration = Duration::from_secs(10);

    pub fn new(what: &'static str) -> Teller {
        Teller { what, last: Cell::new(None) }
    }

    fn tell(&self, db: &str, reason: &str) {
        if self.last.get().is_none_or(|last| last.elapsed() >= Teller::EVERY) {
            self.last.set(Some(Instant::now()));
            let reason: String = reason.chars().take(1000).collect();
            tracing::warn!(db, reason, "{}", self.what);
        }
    }

    fn tell_of(&self, db: &str, answer: &ReplicaAnswer) {
        match answer {
            ReplicaAnswer::Stored | ReplicaAnswer::Spooled => {}
            ReplicaAnswer::Refused { status, error } => self.tell(db, &format!("InfluxDB answered {status}: {error}")),
            ReplicaAnswer::Failed(reason) => self.tell(db, reason),
        }
    }
}

/// Nanoseconds since 1970, until the year 2262.
fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

fn batch_limits(write: &config::Write) -> BatchLimits {
    BatchLimits { bytes_max: write.request_bytes_max.0, points_max: write.request_points_max.0 }
}
