//! One replica seen from one shard: connections, lanes for writes, a pool for queries.
//!
//! `connection` dials and speaks HTTP (`driver`: without a task of its own), `courier` carries one write at a time, `lane`
//! gathers the writes of many clients into one request at a time, `pool` lends connections to queries and statements, `health`
//! asks whether the replica lives. A new topology makes new `Backends`, which keep the lanes and pools of replicas that stay.
//! Used by `deliver` and `query`.

mod connection;
mod courier;
mod driver;
pub mod health;
mod lane;
mod pool;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use glommio::TaskQueueHandle;

use crate::batch::ReplicaAnswer;
use crate::config;
use crate::http;
use crate::stats::{Lasting, ReplicaStats};
use crate::topology::{Address, GroupIndex, Replica, ReplicaState, Topology};

pub use connection::{Connection, Purpose, RequestError, read_limited};
pub use courier::Courier;
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

impl Target {
    /// Nothing more goes to the replica directly, on any core; told once.
    pub fn close_gate(&self, reason: &str) {
        if self.stats.gate.close() {
            tracing::warn!(replica = %self.name, reason, "writes to the replica go into its spool");
        }
    }
}

/// Our live side of one replica, as one topology names it.
pub struct Backend {
    pub target: Rc<Target>,
    pub state: ReplicaState,
    lanes: Rc<Lanes>,
    pub pool: Rc<Pool>,
}

/// Shared by the backends of one replica under successive topologies, so that writes keep their order.
struct Lanes(Vec<Rc<Lane>>);

impl Drop for Lanes {
    fn drop(&mut self) {
        self.0.iter().for_each(|lane| lane.close());
    }
}

impl Backend {
    fn new(replica: &Replica, stats: Arc<ReplicaStats>, settings: &Rc<Settings>, lanes: TaskQueueHandle) -> Backend {
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
        let lane = |_| Lane::start(target.clone(), settings.clone(), lanes);
        let lanes = (0..settings.write.lanes.0).map(lane).collect();
        let pool = Pool::new(target.clone(), settings.clone());
        Backend { target, state: replica.state, lanes: Rc::new(Lanes(lanes)), pool }
    }

    /// The same connections under a topology that may call the replica's state something else.
    fn kept(&self, state: ReplicaState) -> Backend {
        let Backend { target, lanes, pool, .. } = self;
        Backend { target: target.clone(), state, lanes: lanes.clone(), pool: pool.clone() }
    }

    /// Whether both are of one replica, reached in one way.
    pub fn shares_with(&self, other: &Backend) -> bool {
        Rc::ptr_eq(&self.pool, &other.pool)
    }

    /// Puts a batch into the lane of its source. The answer comes once, or the sender is dropped with its lane.
    pub fn submit(&self, item: Item) {
        self.lane(item.source).submit(item);
    }

    /// Whether it has refused something of this source lately.
    pub fn suspects(&self, source: u64) -> bool {
        self.lane(source).suspects(source)
    }

    fn lane(&self, source: u64) -> &Lane {
        let lanes = &self.lanes.0;
        &lanes[usize::try_from(source).unwrap_or_default() % lanes.len()]
    }
}

/// The statistics of all replicas, by name.
pub type ReplicaTable = HashMap<String, Arc<ReplicaStats>>;

/// What the process publishes to its shards: a topology, and what is counted of its replicas. Immutable.
pub struct Snapshot {
    pub topology: Arc<Topology>,
    pub replicas: ReplicaTable,
}

impl Snapshot {
    /// The one that follows; a replica that has the same name and address goes on counting.
    /// What lasts of the others comes from `lasting`.
    pub fn following(before: Option<&Snapshot>, topology: Topology, lasting: impl Fn(&str) -> Lasting) -> Snapshot {
        let kept = |replica: &Replica| {
            let before = before?;
            let known = before.topology.replicas().find(|known| known.name == replica.name)?;
            before.replicas.get(&replica.name).filter(|_| known.url == replica.url).cloned()
        };
        let stats = |replica: &Replica| {
            kept(replica).unwrap_or_else(|| ReplicaStats::new(&replica.name, lasting(&replica.name)))
        };
        let replicas = topology.replicas().map(|replica| (replica.name.clone(), stats(replica))).collect();
        Snapshot { topology: Arc::new(topology), replicas }
    }
}

/// All backends of one shard, by group of the topology that they belong to.
pub struct Backends {
    pub topology: Arc<Topology>,
    groups: Vec<Vec<Rc<Backend>>>,
}

impl Backends {
    /// The backends of a snapshot, whose lanes run in a queue; those of replicas that `before` reaches in the same way are kept.
    pub fn new(
        snapshot: &Snapshot,
        before: Option<&Backends>,
        settings: &Rc<Settings>,
        lanes: TaskQueueHandle,
    ) -> Backends {
        let backend = |replica: &Replica| {
            // A snapshot has them for each replica of its topology.
            let stats = snapshot.replicas[&replica.name].clone();
            // A topology between the two may have been without it: then it counts anew.
            let known = before.and_then(|before| before.reaching(replica));
            Rc::new(match known.filter(|known| Arc::ptr_eq(&known.target.stats, &stats)) {
                Some(known) => known.kept(replica.state),
                None => Backend::new(replica, stats, settings, lanes),
            })
        };
        let topology = snapshot.topology.clone();
        let groups = topology.groups().iter().map(|group| group.replicas.iter().map(backend).collect()).collect();
        Backends { topology, groups }
    }

    /// The backend of a replica of the same name, address and credentials.
    fn reaching(&self, replica: &Replica) -> Option<&Rc<Backend>> {
        let same = |own: &Replica| {
            own.name == replica.name
                && own.url == replica.url
                && own.username == replica.username
                && own.password == replica.password
        };
        let own = self.topology.groups().iter().zip(&self.groups);
        own.flat_map(|(group, backends)| group.replicas.iter().zip(backends))
            .find_map(|(own, backend)| same(own).then_some(backend))
    }

    pub fn named(&self, name: &str) -> Option<&Rc<Backend>> {
        self.all().find(|backend| backend.target.name == name)
    }

    /// The replicas of a group.
    pub fn group(&self, group: GroupIndex) -> &[Rc<Backend>] {
        &self.groups[usize::from(group)]
    }

    pub fn all(&self) -> impl Iterator<Item = &Rc<Backend>> {
        self.groups.iter().flatten()
    }

    /// Whether one of its replicas is reached over this pool.
    fn uses(&self, pool: &Rc<Pool>) -> bool {
        self.all().any(|backend| Rc::ptr_eq(&backend.pool, pool))
    }
}

/// The backends of the topology in force on one shard. A request takes them at its start and keeps them to its end.
#[derive(Default)]
pub struct Current(RefCell<Option<Rc<Backends>>>);

/// What clients hear while there is no topology.
pub const NO_TOPOLOGY: &str =
    "no topology yet: ZooKeeper has told none and data_dir holds no copy; see slotline's log and try again";

impl Current {
    /// `None` until there is a topology.
    pub fn take(&self) -> Option<Rc<Backends>> {
        self.0.borrow().clone()
    }

    pub fn replace(&self, backends: Rc<Backends>) {
        // The old ones are dropped when their last request has ended.
        self.0.replace(Some(backends));
    }
}

/// Where an answer to a write goes.
pub type Reply = oneshot::Sender<ReplicaAnswer>;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    use hyper::Request;

    use super::*;
    use crate::config::Config;
    use crate::net::{Payload, on_a_shard};

    /// A topology of one group with these replicas.
    fn topology(names: &[&str]) -> Topology {
        topology_at("http://127.0.0.1:9", names)
    }

    fn topology_at(url: &str, names: &[&str]) -> Topology {
        let replica = |name: &&str| format!("[[group.replica]]\nname = \"{name}\"\nurl = \"{url}\"\n");
        let replicas: String = names.iter().map(replica).collect();
        let config = Config::parse(&format!("[[group]]\nid = 1\n{replicas}")).expect("it is sound");
        config.topology.expect("it has one")
    }

    fn settings() -> Rc<Settings> {
        let config = Config::parse(crate::config::DEFAULT).expect("the default is sound");
        Rc::new(Settings { write: config.write, limits: config.limits, silence_max: config.query.timeout })
    }

    /// Answers a query in two pieces, as InfluxDB does, and then a ping; it stays.
    fn answering(listener: &TcpListener) -> TcpStream {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        stream.set_nodelay(true).expect("it is open");
        let long = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n";
        for pieces in [&[long, "{}"][..], &["HTTP/1.1 204 No Content\r\n\r\n"]] {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut bytes = [0; 256];
                let read = stream.read(&mut bytes).expect("it stays");
                assert!(read > 0, "it has asked for less than it should");
                request.extend_from_slice(&bytes[..read]);
            }
            for piece in pieces {
                stream.write_all(piece.as_bytes()).expect("it stays");
                thread::sleep(Duration::from_millis(20));
            }
        }
        stream
    }

    #[test]
    fn a_sign_of_life_is_heard_at_once_behind_a_query() {
        on_a_shard(|| async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let url = format!("http://{}", listener.local_addr().expect("it is bound"));
            let answerer = thread::spawn(move || answering(&listener));
            let first = Snapshot::following(None, topology_at(&url, &["a"]), |_| Lasting::default());
            let queue = glommio::executor().current_task_queue();
            let backends = Backends::new(&first, None, &settings(), queue);
            let replica = &backends.group(0)[0];
            let query = || Request::get("/query?q=SHOW+DATABASES").body(Payload::default());
            let until = Instant::now() + Duration::from_secs(10);
            let answer = replica.pool.exchange(query, until).await.expect("it answers");
            assert_eq!(answer.into_body().whole(64).await.expect("it ends").as_ref(), b"{}");
            health::check(&replica.pool, Duration::from_millis(200)).await;
            assert!(replica.target.stats.is_up());
            drop(answerer.join().expect("it does not panic"));
        });
    }

    #[test]
    fn a_replica_counts_where_its_snapshot_says_though_a_topology_was_skipped() {
        on_a_shard(|| async {
            let (settings, queue) = (settings(), glommio::executor().current_task_queue());
            let first = Snapshot::following(None, topology(&["a", "b"]), |_| Lasting::default());
            let without = Snapshot::following(Some(&first), topology(&["a"]), |_| Lasting::default());
            let last = Snapshot::following(Some(&without), topology(&["a", "b"]), |_| Lasting::default());
            // This shard has never seen the one in the middle.
            let before = Backends::new(&first, None, &settings, queue);
            let after = Backends::new(&last, Some(&before), &settings, queue);
            for backend in after.all() {
                assert!(Arc::ptr_eq(&backend.target.stats, &last.replicas[&backend.target.name]));
            }
            let [(a, old_a), (b, old_b)] = [0, 1].map(|at| (&after.group(0)[at], &before.group(0)[at]));
            assert!(a.shares_with(old_a) && !b.shares_with(old_b), "what stayed keeps its lanes");
        });
    }
}
