//! What operators ask of a running proxy: `/metrics`, `/health`, `/ready`, on the admin port and beside InfluxDB's API.

mod metrics;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::backend::{NO_TOPOLOGY, Snapshot};
use crate::databases::LastSeen;
use crate::deliver::Logs;
use crate::net::UdpPort;
use crate::stats::{Counter, ShardStats, UdpStats};
use crate::topology::{Backlogs, UdpListener};

pub use metrics::text as metrics_text;

/// What the whole process shares and operators ask about.
pub struct Process {
    /// `None` until there is a topology.
    pub snapshot: ArcSwapOption<Snapshot>,
    /// All UDP listeners.
    pub udp: ArcSwap<Vec<Arc<OpenUdp>>>,
    pub shards: Vec<Arc<ShardStats>>,
    /// What waits for replicas.
    pub logs: Arc<Logs>,
    /// The databases that InfluxDB was last seen to have.
    pub last_seen: Arc<LastSeen>,
    /// Who else holds points for replicas. What ZooKeeper said last; empty without it.
    pub backlogs: Arc<ArcSwap<Backlogs>>,
    /// With ZooKeeper only.
    pub control: Option<ControlStats>,
    /// SIGTERM has come.
    pub draining: AtomicBool,
}

/// A UDP listener, as it is told now.
pub struct OpenUdp {
    pub listener: UdpListener,
    pub port: Arc<UdpPort>,
    pub stats: Arc<UdpStats>,
}

/// What is known of ZooKeeper.
pub struct ControlStats {
    pub connected: AtomicBool,
    /// Documents refused since the start.
    pub refused_topologies: Counter,
    pub refused_udp: Counter,
    /// Documents whose epoch did not rise.
    pub epochs_not_risen: Counter,
    /// What the last topology was refused for; empty: it was taken.
    pub topology_refusal: ArcSwap<String>,
    /// The same of the UDP listeners.
    pub udp_refusal: ArcSwap<String>,
    /// When ZooKeeper last held what is in force here; before the first time, when the process began.
    confirmed: ArcSwap<Instant>,
    confirm_within: Duration,
}

impl ControlStats {
    pub fn new(confirm_within: Duration) -> ControlStats {
        ControlStats {
            connected: AtomicBool::default(),
            refused_topologies: Counter::default(),
            refused_udp: Counter::default(),
            epochs_not_risen: Counter::default(),
            topology_refusal: ArcSwap::default(),
            udp_refusal: ArcSwap::default(),
            confirmed: ArcSwap::from_pointee(Instant::now()),
            confirm_within,
        }
    }

    /// ZooKeeper's topology was read: it is in force here, unless it was refused.
    pub fn confirm(&self) {
        if self.topology_refusal.load().is_empty() {
            self.confirmed.store(Arc::new(Instant::now()));
        }
    }

    pub fn confirmed_ago(&self) -> Duration {
        self.confirmed.load().elapsed()
    }

    pub fn is_unconfirmed(&self) -> bool {
        self.confirmed_ago() > self.confirm_within
    }
}

/// What is said of the version until a replica has told its own.
const VERSION_UNKNOWN: (&str, &str) = ("1.8.10", "OSS");

impl Process {
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The epoch that every shard applies; 0: none yet.
    pub fn applied_epoch(&self) -> u64 {
        self.shards.iter().map(|shard| shard.epoch.get()).min().unwrap_or_default()
    }

    pub fn has_topology(&self) -> bool {
        self.snapshot.load().is_some()
    }

    /// What is said of a topology that has not been confirmed for too long; the proxy serves by it all the same.
    pub fn unconfirmed(&self) -> Option<String> {
        let control = self.control.as_ref().filter(|control| control.is_unconfirmed())?;
        let (epoch, seconds) = (self.applied_epoch(), control.confirmed_ago().as_secs());
        let refusal = control.topology_refusal.load();
        let why = match (control.connected.load(Ordering::Relaxed), refusal.as_str()) {
            (false, _) => "ZooKeeper is away".to_owned(),
            (true, "") => "ZooKeeper has not told it".to_owned(),
            (true, refusal) => format!("ZooKeeper's is refused: {refusal}"),
        };
        Some(format!("epoch {epoch} has not been confirmed for {seconds} s: {why}"))
    }

    /// Version and build of the InfluxDB behind us: the first replica's that told.
    pub fn version(&self) -> (String, String) {
        let snapshot = self.snapshot.load();
        let told = snapshot.iter().flat_map(|snapshot| {
            snapshot.topology.replicas().filter_map(|replica| snapshot.replicas.get(&replica.name)?.version.load_full())
        });
        match told.into_iter().next() {
            Some(version) => (*version).clone(),
            None => (VERSION_UNKNOWN.0.to_owned(), VERSION_UNKNOWN.1.to_owned()),
        }
    }

    /// Why the proxy should get no traffic: it drains, has no topology, or a group has no replica that is up. One that a
    /// new topology brings counts as up until it was asked, so that a change never sends traffic away.
    pub fn unready(&self) -> Option<String> {
        if self.is_draining() {
            return Some("draining".to_owned());
        }
        let Some(snapshot) = self.snapshot.load_full() else { return Some(NO_TOPOLOGY.to_owned()) };
        let topology = &snapshot.topology;
        let up = |name: &str| snapshot.replicas.get(name).is_some_and(|stats| !stats.is_down());
        let dead = topology.groups().iter().find(|group| !group.replicas.iter().any(|replica| up(&replica.name)))?;
        let names: Vec<&str> = dead.replicas.iter().map(|replica| replica.name.as_str()).collect();
        Some(format!("group {} has no replica that is up ({})", dead.id, names.join(", ")))
    }
}
