//! What all shards shall apply: made here, told by their doorbells.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use crate::admin::{ControlStats, Process};
use crate::backend::Snapshot;
use crate::control::Audience;
use crate::influxql::civil::rfc3339_nano;
use crate::net::Doorbell;
use crate::spool::{self, Stranger};
use crate::stats::SpoolStats;
use crate::topology::{self, Backlog, Backlogs, Topology, changes_that_hide_data, parse_udp};

use super::data_dir::DataDir;
use super::udp::UdpListeners;
use super::{Addresses, StartError};

/// How soon a topology is tried again that the disk had no place for.
const APPLY_AGAIN: Duration = Duration::from_secs(3);

/// Publishes what ZooKeeper holds.
pub struct Publisher {
    pub process: Arc<Process>,
    pub doorbells: Arc<[Doorbell]>,
    pub data_dir: DataDir,
    pub udp: UdpListeners,
    /// A topology that is sound, but that the disk had no place for, and when it was tried.
    pub unapplied: Option<(Instant, Vec<u8>)>,
    /// `proxies/<id>` but for what changes.
    pub registration: Registration,
}

/// What other proxies and operators are told of this one.
#[derive(serde::Serialize)]
pub struct Registration {
    pub id: String,
    pub version: &'static str,
    pub http: String,
    pub admin: String,
    /// Applied by every shard.
    pub epoch: u64,
    pub started: String,
}

impl Registration {
    pub fn new(id: &str, addresses: Addresses) -> Registration {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Registration {
            id: id.to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            http: addresses.http.map(reachable).unwrap_or_default(),
            admin: reachable(addresses.admin),
            epoch: 0,
            started: rfc3339_nano(i64::try_from(started).unwrap_or_default().saturating_mul(1_000_000_000)),
        }
    }
}

/// An address by which others may reach it: any address is told as the host's name.
fn reachable(address: SocketAddr) -> String {
    let hostname = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    match hostname().filter(|_| address.ip().is_unspecified()) {
        Some(name) => format!("{}:{}", name.trim(), address.port()),
        None => address.to_string(),
    }
}

impl Publisher {
    /// Without ZooKeeper: the topology of the configuration, unless it would hide data.
    pub fn start_alone(&mut self, topology: &Topology, accept: bool) -> Result<(), StartError> {
        self.data_dir.check(topology, accept)?;
        self.data_dir.keep(topology)?;
        publish(&self.process, topology.clone()).map_err(StartError)?;
        self.udp.apply(&self.process);
        Ok(())
    }

    /// What ZooKeeper held when it was last heard. A copy that cannot be read is as none.
    pub fn restore(&mut self) {
        match self.data_dir.last() {
            Ok(Some(topology)) => {
                if let Err(error) = publish(&self.process, topology) {
                    tracing::error!(%error, "the last topology cannot be served");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the last topology cannot be read; waiting for ZooKeeper's"),
        }
        match self.data_dir.last_udp() {
            Ok(listeners) => self.udp.want(listeners),
            Err(error) => tracing::error!(%error, "the last UDP listeners cannot be read; waiting for ZooKeeper's"),
        }
        match self.data_dir.last_backlogs() {
            Ok(others) => self.process.backlogs.store(Arc::new(others)),
            Err(error) => tracing::error!(%error, "the last backlogs cannot be read; waiting for ZooKeeper's"),
        }
        self.udp.apply(&self.process);
    }

    fn ring(&self) {
        self.doorbells.iter().for_each(Doorbell::ring);
    }

    fn accepted(&self, refusal: fn(&ControlStats) -> &ArcSwap<String>) {
        self.process.control.iter().for_each(|control| refusal(control).store(Arc::default()));
    }

    fn refused(&self, refusal: fn(&ControlStats) -> &ArcSwap<String>, reason: &str) -> Result<(), String> {
        self.process.control.iter().for_each(|control| refusal(control).store(Arc::new(reason.to_owned())));
        Err(reason.to_owned())
    }
}

/// What the spool holds for a replica, as others are told; `None` when nothing waits.
fn waiting(spool: &SpoolStats) -> Option<Backlog> {
    let points = spool.points.get();
    // Counted a moment before its time is set: then it is of now.
    let since_ms = Some(spool.since_ms.get()).filter(|since| *since > 0).unwrap_or_else(now_ms);
    (points > 0 || spool.records.get() > 0).then(|| backlog(since_ms, points, spool.bytes.get()))
}

fn backlog(since_ms: u64, points: u64, bytes: u64) -> Backlog {
    Backlog { since: spool::rfc3339(since_ms), points, bytes }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}

/// Makes a topology the one in force; every replica of it has a log from then on.
fn publish(process: &Process, topology: Topology) -> Result<(), String> {
    for replica in topology.replicas() {
        process.logs.of(&replica.name).map_err(|error| format!("the spool of replica {}: {error}", replica.name))?;
    }
    process.logs.look_for_strangers(&topology.replicas().map(|replica| replica.name.clone()).collect());
    let before = process.snapshot.load_full();
    let snapshot = Snapshot::following(before.as_deref(), topology, |name| process.logs.lasting(name));
    process.snapshot.store(Some(Arc::new(snapshot)));
    Ok(())
}

impl Audience for Publisher {
    fn topology(&mut self, document: &[u8]) -> Result<(), String> {
        let control = self.process.control.as_ref();
        let topology = match topology::parse(document) {
            Ok(topology) => topology,
            Err(error) => {
                control.inspect(|control| control.refused_topologies.add(1));
                return self.refused(|control| &control.topology_refusal, &error.to_string());
            }
        };
        self.accepted(|control| &control.topology_refusal);
        if let Some(before) = self.process.snapshot.load_full().map(|snapshot| snapshot.topology.clone()) {
            let same = before.spec() == topology.spec();
            if same && before.epoch == topology.epoch {
                return Ok(());
            }
            if topology.epoch <= before.epoch && !same {
                control.inspect(|control| control.epochs_not_risen.add(1));
                tracing::warn!(
                    before = before.epoch,
                    epoch = topology.epoch,
                    "the topology changes, yet its epoch did not rise"
                );
            }
            for change in changes_that_hide_data(&before, &topology) {
                tracing::warn!(%change, "stored data may no longer be found where it lies");
            }
        }
        let (epoch, groups) = (topology.epoch, topology.groups().len());
        let kept = topology.clone();
        self.unapplied = None;
        if let Err(reason) = publish(&self.process, topology) {
            self.unapplied = Some((Instant::now(), document.to_vec()));
            control.inspect(|control| control.refused_topologies.add(1));
            return self.refused(|control| &control.topology_refusal, &reason);
        }
        // Served even if it cannot be kept: the disk is not what clients wait for.
        if let Err(error) = self.data_dir.keep(&kept) {
            tracing::error!(%error, "the topology could not be kept for a start without ZooKeeper");
        }
        tracing::info!(epoch, groups, "a new topology is in force");
        self.ring();
        Ok(())
    }

    fn topology_read(&mut self) {
        self.process.control.iter().for_each(ControlStats::confirm);
    }

    fn topology_missing(&mut self, reason: &str) {
        if let Some(control) = &self.process.control {
            control.refused_topologies.add(1);
            control.topology_refusal.store(Arc::new(reason.to_owned()));
        }
    }

    fn udp(&mut self, document: Option<&[u8]>) -> Result<(), String> {
        let parsed = document.map_or(Ok(Vec::new()), parse_udp);
        let listeners = match parsed.and_then(|listeners| self.udp.refuse(listeners.len()).map_or(Ok(listeners), Err)) {
            Ok(listeners) => listeners,
            Err(reason) => {
                self.process.control.iter().for_each(|control| control.refused_udp.add(1));
                return self.refused(|control| &control.udp_refusal, &reason);
            }
        };
        self.accepted(|control| &control.udp_refusal);
        if let Err(error) = self.data_dir.keep_udp(&listeners) {
            tracing::error!(%error, "the UDP listeners could not be kept for a start without ZooKeeper");
        }
        self.udp.want(listeners);
        if self.udp.apply(&self.process) {
            self.ring();
        }
        Ok(())
    }

    fn tick(&mut self) {
        if self.unapplied.as_ref().is_some_and(|(at, _)| at.elapsed() >= APPLY_AGAIN)
            && let Some((_, document)) = self.unapplied.take()
        {
            // A failure is told by the topology's refusal.
            let _ = self.topology(&document);
        }
        // A port that was taken may be free by now.
        if self.udp.retry(&self.process) {
            self.ring();
        }
    }

    fn registration(&mut self) -> Vec<u8> {
        self.registration.epoch = self.process.applied_epoch();
        // Strings and a number: nothing that JSON could not hold.
        serde_json::to_vec(&self.registration).unwrap_or_default()
    }

    fn backlog(&mut self) -> Option<BTreeMap<String, Vec<u8>>> {
        // Before there are replicas it is not known what waits for them.
        self.process.snapshot.load_full()?;
        let (logs, strangers) = (self.process.logs.all(), self.process.logs.strangers());
        let own = logs.iter().filter_map(|log| Some((log.spool.name().to_owned(), waiting(log.spool.stats())?)));
        let closed = |stranger: &&Stranger| !logs.iter().any(|log| log.spool.name() == stranger.name);
        let gone = strangers.iter().filter(closed).map(|stranger| {
            let Stranger { name, points, bytes, since_ms, .. } = stranger;
            (name.clone(), backlog(*since_ms, *points, *bytes))
        });
        // A string and numbers: nothing that JSON could not hold.
        let json = |backlog: Backlog| serde_json::to_vec(&backlog).unwrap_or_default();
        Some(own.chain(gone).map(|(name, backlog)| (name, json(backlog))).collect())
    }

    fn backlogs(&mut self, others: &Backlogs) {
        tracing::debug!(?others, "what other proxies hold for replicas");
        self.process.backlogs.store(Arc::new(others.clone()));
        if let Err(error) = self.data_dir.keep_backlogs(others) {
            tracing::error!(%error, "the backlogs could not be kept for a start without ZooKeeper");
        }
    }

    fn connected(&mut self, connected: bool, _reason: &str) {
        if let Some(control) = &self.process.control {
            control.connected.store(connected, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_as_others_are_told() {
        let spool = SpoolStats::default();
        spool.bytes.set(70);
        assert_eq!(waiting(&spool), None);
        spool.points.set(3);
        spool.since_ms.set(1_600_000_000_250);
        let backlog = waiting(&spool).expect("points wait");
        let json = serde_json::to_string(&backlog).expect("it is JSON");
        assert_eq!(json, r#"{"since":"2020-09-13T12:26:40.250000000Z","points":3,"bytes":70}"#);
        spool.since_ms.set(0);
        assert!(waiting(&spool).is_some_and(|backlog| *backlog.since > *"2021"));
    }
}
