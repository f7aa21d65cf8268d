//! UDP listeners: `config.toml`'s, which are there from start to end, and the shared ones, which come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admin::{OpenUdp, Process};
use crate::config::{Config, Protocol};
use crate::net::{UdpPort, udp_sockets};
use crate::stats::UdpStats;
use crate::topology::{Spread, UdpListener, overlap};

use super::StartError;

/// Between two attempts to open what could not be opened.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// After so many the trouble is told.
const TRIES_TOLD: u32 = 2;

pub struct UdpListeners {
    shards: usize,
    buffer_bytes: usize,
    /// Of shared ones.
    max: usize,
    own: Vec<Arc<OpenUdp>>,
    wanted: Vec<UdpListener>,
    open: Vec<Arc<OpenUdp>>,
    /// Those that could not be opened, by how often; and when they are tried again.
    failed: Vec<(SocketAddr, u32)>,
    retry_at: Option<Instant>,
}

impl UdpListeners {
    /// Opens those of the configuration.
    pub fn open(config: &Config, shards: usize) -> Result<UdpListeners, StartError> {
        let buffer_bytes = config.limits.udp_buffer.0;
        let mut own = Vec::new();
        for listen in &config.listen {
            let Protocol::Udp(target, spread) = &listen.protocol else { continue };
            let listener = UdpListener { bind: listen.bind.0, target: target.clone(), spread: *spread };
            own.push(open(&listener, shards, buffer_bytes).map_err(StartError)?);
        }
        let (wanted, open, failed) = (Vec::new(), Vec::new(), Vec::new());
        let max = config.limits.udp_listeners_max.0;
        Ok(UdpListeners { shards, buffer_bytes, max, own, wanted, open, failed, retry_at: None })
    }

    /// Why there cannot be so many shared ones.
    pub fn refuse(&self, count: usize) -> Option<String> {
        (count > self.max).then(|| format!("{count} listeners; at most {} (limits.udp_listeners_max)", self.max))
    }

    /// The shared ones that there shall be.
    pub fn want(&mut self, listeners: Vec<UdpListener>) {
        let (own, shared): (Vec<_>, Vec<_>) =
            listeners.into_iter().partition(|l| self.own.iter().any(|own| overlap(own.port.address, l.bind)));
        for listener in own {
            tracing::warn!(bind = %listener.bind, "the shared UDP listener is left out: config.toml has one on its port");
        }
        self.wanted = shared;
        self.failed.clear();
    }

    /// Opens what is missing and publishes the whole list; whether it has changed.
    pub fn apply(&mut self, process: &Process) -> bool {
        // Nobody would read from new ones.
        if process.is_draining() {
            return false;
        }
        let before = std::mem::take(&mut self.open);
        let mut failed = Vec::new();
        for listener in &self.wanted {
            match before.iter().find(|open| open.listener.bind == listener.bind) {
                Some(open) if open.listener == *listener => self.open.push(open.clone()),
                Some(open) => self.open.push(Arc::new(OpenUdp {
                    listener: listener.clone(),
                    port: open.port.clone(),
                    stats: open.stats.clone(),
                })),
                None => match open(listener, self.shards, self.buffer_bytes) {
                    Ok(open) => self.open.push(open),
                    Err(error) => {
                        let tries = self.failed.iter().find(|(bind, _)| *bind == listener.bind);
                        let tries = tries.map_or(1, |(_, tries)| tries.saturating_add(1));
                        // At the first try it may be our own listener that has yet to close.
                        if tries == TRIES_TOLD {
                            tracing::error!(error, "a shared UDP listener could not be opened; it is tried again");
                        }
                        failed.push((listener.bind, tries));
                    }
                },
            }
        }
        for gone in before.iter().filter(|open| !self.wanted.iter().any(|wanted| wanted.bind == open.listener.bind)) {
            tracing::info!(addr = %gone.port.address, "closing protocol=udp");
        }
        self.retry_at = (!failed.is_empty()).then(|| Instant::now() + RETRY_AFTER);
        self.failed = failed;
        let all: Vec<Arc<OpenUdp>> = self.own.iter().chain(&self.open).cloned().collect();
        let old = process.udp.load();
        let changed = old.len() != all.len() || old.iter().zip(&all).any(|(one, two)| !Arc::ptr_eq(one, two));
        if changed {
            process.udp.store(Arc::new(all));
        }
        changed
    }

    /// Tries again what could not be opened, now and then.
    pub fn retry(&mut self, process: &Process) -> bool {
        self.retry_at.is_some_and(|at| Instant::now() >= at) && self.apply(process)
    }
}

fn open(listener: &UdpListener, shards: usize, buffer_bytes: usize) -> Result<Arc<OpenUdp>, String> {
    let UdpListener { bind, target, spread } = listener;
    let port = udp_sockets(*bind, shards, *spread == Spread::Random, buffer_bytes)
        .map_err(|error| format!("cannot listen on {bind} (udp): {error}; is another process on that port?"))?;
    tracing::info!("listening protocol=udp addr={}", port.address);
    tracing::debug!(db = target.db, spread = spread.as_str(), buffer_bytes = port.buffer_bytes, "a UDP listener");
    warn_of_small_buffer(&port, buffer_bytes);
    Ok(Arc::new(OpenUdp { listener: listener.clone(), port: Arc::new(port), stats: Arc::new(UdpStats::default()) }))
}

/// The kernel gives no more than `rmem_max`, unless the process may overrule it.
fn warn_of_small_buffer(port: &UdpPort, wanted: usize) {
    let rmem_max = std::fs::read_to_string("/proc/sys/net/core/rmem_max").ok();
    let rmem_max: Option<usize> = rmem_max.and_then(|text| text.trim().parse().ok());
    if let Some(rmem_max) = rmem_max.filter(|max| *max < wanted) {
        let (addr, got) = (port.address, port.buffer_bytes);
        tracing::warn!(
            %addr, rmem_max, wanted, got,
            "net.core.rmem_max is below limits.udp_buffer: without CAP_NET_ADMIN bursts are lost; \
             set it with sysctl -w net.core.rmem_max={wanted}"
        );
    }
}
