//! Takes over what the process has published: a topology, and which UDP listeners there shall be.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::admin::OpenUdp;
use crate::backend::{Backend, Backends, Snapshot, health};
use crate::ingest::udp::{self, UdpSource};
use crate::net::{Receiver, share_out, spawn, spawn_loop};
use crate::topology::Spread;

use super::{Open, Shard};

/// This shard's part of a UDP listener.
pub(super) struct RunningUdp {
    source: Rc<UdpSource>,
    spread: Cell<Spread>,
}

impl RunningUdp {
    /// The listener drains and ends.
    pub fn close(&self) {
        self.source.close();
    }

    /// The listener is told something else now.
    fn change(&self, udp: &OpenUdp, for_all: bool) {
        self.source.target.borrow_mut().clone_from(&udp.listener.target);
        let spread = udp.listener.spread;
        if self.spread.get() == spread {
            return;
        }
        if for_all
            && let Err(error) = share_out(&*self.source.receiver, spread == Spread::Random, self.source.port.count())
        {
            tracing::error!(listener = %self.source.port.address, %error, "the spread of a UDP listener could not be changed");
            return;
        }
        self.spread.set(spread);
    }

    pub fn count_drops(&self) {
        self.source.stats.dropped_kernel.add(self.source.receiver.take_drops());
    }
}

impl Shard {
    /// Does nothing when there is nothing new. The replicas that are new are for `watch`, on the first shard.
    pub(super) fn apply(self: &Rc<Shard>) -> Vec<Rc<Backend>> {
        if !self.draining.get() {
            self.apply_udp(&self.process.udp.load());
        }
        self.process.snapshot.load_full().map(|snapshot| self.apply_snapshot(&snapshot)).unwrap_or_default()
    }

    fn apply_snapshot(self: &Rc<Shard>, snapshot: &Snapshot) -> Vec<Rc<Backend>> {
        let before = self.backends.take();
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(&before.topology, &snapshot.topology)) {
            return Vec::new();
        }
        let backends = Backends::new(snapshot, before.as_deref(), &self.settings, self.queues.ingest);
        let known = |backend: &Backend| before.iter().flat_map(|before| before.all()).any(|b| b.shares_with(backend));
        let new: Vec<Rc<Backend>> = backends.all().filter(|backend| !known(backend)).cloned().collect();
        self.backends.replace(Rc::new(backends));
        self.stats.epoch.set(snapshot.topology.epoch);
        tracing::debug!(shard = self.index, epoch = snapshot.topology.epoch, "a topology is in force");
        new
    }

    /// Asks replicas once, then watches them for as long as a topology names them.
    pub(super) async fn watch(self: Rc<Shard>, backends: Vec<Rc<Backend>>) {
        if self.index > 0 {
            return;
        }
        let (interval, timeout) = (self.config.limits.health_interval, self.config.limits.connect_timeout);
        join_all(backends.iter().map(|backend| health::check(&backend.pool, timeout))).await;
        for backend in backends {
            let (pool, current) = (Rc::downgrade(&backend.pool), self.backends.clone());
            spawn_loop("health", self.queues.query, move || {
                health::watch(pool.clone(), current.clone(), interval, timeout)
            });
        }
    }

    fn apply_udp(self: &Rc<Shard>, wanted: &[Arc<OpenUdp>]) {
        let mut running = self.udp.borrow_mut();
        running.retain(|_, running| {
            let stays = wanted.iter().any(|udp| Arc::ptr_eq(&udp.port, &running.source.port));
            if !stays {
                running.close();
            }
            stays
        });
        for udp in wanted {
            match running.get(&udp.port.address) {
                Some(running) => running.change(udp, self.index == 0),
                None => {
                    let Some(socket) = udp.port.take(self.index) else { continue };
                    running.insert(udp.port.address, self.start_udp(udp, Receiver::new(socket)));
                }
            }
        }
    }

    fn start_udp(self: &Rc<Shard>, udp: &OpenUdp, receiver: Rc<Receiver>) -> RunningUdp {
        let source = Rc::new(UdpSource {
            port: udp.port.clone(),
            receiver,
            stats: udp.stats.clone(),
            target: RefCell::new(udp.listener.target.clone()),
            source: self.next_source(),
            closing: Cell::new(false),
        });
        let (open, running) = (Open::new(self), source.clone());
        spawn("udp listener", self.queues.ingest, async move {
            udp::listen(&open.0.ingest, running).await;
        });
        RunningUdp { source, spread: Cell::new(udp.listener.spread) }
    }
}
