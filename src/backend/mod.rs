//! One replica seen from one shard: connections, lanes for writes, a pool for queries.
//!
//! `connection` dials and speaks HTTP, `lane` gathers the writes of many clients into one request at a time, `pool`
//! lends connections to queries and statements, `health` asks whether the replica lives. Used by `deliver` and
//! `query`.

mod connection;
pub mod health;
mod lane;
mod pool;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use glommio::TaskQueueHandle;

use crate::batch::ReplicaAnswer;
use crate::config;
use crate::http;
use crate::stats::ReplicaStats;
use crate::topology::{Address, GroupIndex, Replica, ReplicaState, Topology};

pub use connection::{Connection, Purpose, RequestError, read_limited};
use lane::Lane;
pub use lane::{Item, WriteKey};
pub use pool::Lent;
use pool::Pool;

/// Limits and time-outs towards replicas.
#[derive(Clone, Debug)]
pub struct Settings {
    pub write: config::Write,
    pub limits: config::Limits,
    /// Between two pieces of an answer to a query.
    pub silence_max: Duration,
}

/// How to reach a replica, and as whom.
pub struct Target {
    pub name: String,
    pub url: String,
    pub address: Address,
    /// The `Host` header.
    pub host: String,
    /// The `Authorization` header, if it has a username.
    pub authorization: Option<String>,
    pub stats: Arc<ReplicaStats>,
}

/// Our live side of one replica.
pub struct Backend {
    pub target: Rc<Target>,
    pub state: ReplicaState,
    lanes: Vec<Rc<Lane>>,
    pub pool: Rc<Pool>,
}

impl Backend {
    fn new(replica: &Replica, stats: Arc<ReplicaStats>, settings: &Rc<Settings>, queue: TaskQueueHandle) -> Backend {
        let Address { host, port } = &replica.address;
        let target = Rc::new(Target {
            name: replica.name.clone(),
            url: replica.url.clone(),
            address: replica.address.clone(),
            host: if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") },
            authorization: (!replica.username.is_empty())
                .then(|| http::basic_authorization(&replica.username, &replica.password)),
            stats,
        });
        let lanes = (0..settings.write.lanes.0).map(|_| Lane::start(target.clone(), settings.clone(), queue)).collect();
        let pool = Pool::new(target.clone(), settings.clone(), queue);
        Backend { target, state: replica.state, lanes, pool }
    }

    /// Puts a batch into the lane of its source. The answer comes once, or the sender is dropped with its lane.
    pub fn submit(&self, item: Item) {
        let lane = usize::try_from(item.source).unwrap_or_default() % self.lanes.len();
        self.lanes[lane].submit(item);
    }
}

/// All backends of one shard, by group.
pub struct Backends {
    groups: Vec<Vec<Rc<Backend>>>,
}

/// The statistics of all replicas, made once per process.
pub type ReplicaTable = HashMap<String, Arc<ReplicaStats>>;

impl Backends {
    pub fn new(topology: &Topology, table: &ReplicaTable, settings: &Rc<Settings>, queue: TaskQueueHandle) -> Backends {
        let backend = |replica: &Replica| {
            let stats = table.get(&replica.name).cloned().unwrap_or_else(|| ReplicaStats::new(&replica.name));
            Rc::new(Backend::new(replica, stats, settings, queue))
        };
        let groups = topology.groups().iter().map(|group| group.replicas.iter().map(backend).collect());
        Backends { groups: groups.collect() }
    }

    /// The replicas of a group.
    pub fn group(&self, group: GroupIndex) -> &[Rc<Backend>] {
        &self.groups[usize::from(group)]
    }

    pub fn all(&self) -> impl Iterator<Item = &Rc<Backend>> {
        self.groups.iter().flatten()
    }
}

/// Where an answer to a write goes.
pub type Reply = oneshot::Sender<ReplicaAnswer>;
