//! One pinned executor and all that it owns: listeners, connections, backends, queues for writes and for queries.
//!
//! A shard shares nothing with others but `admin::Process` (read-only, or counters) and the kernel's SO_REUSEPORT. Made
//! by `server`, one a core.

mod connection;
mod front;

use std::cell::Cell;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use event_listener::Event;
use futures_util::future::join_all;
use glommio::timer::sleep;
use glommio::{Latency, Shares, TaskQueueHandle};

use crate::admin::Process;
use crate::backend::{Backends, Settings, health};
use crate::config::Config;
use crate::ingest::Ingest;
use crate::net::{Budget, Listener, Wire, deadline, spawn, spawn_loop};
use crate::query::Queries;
use crate::stats::{Recorder, ShardStats};

use front::Api;

/// How old the figures of `/metrics` may be.
const TICK: Duration = Duration::from_millis(200);

/// What a shard starts with.
pub struct Setup {
    pub config: Arc<Config>,
    pub process: Arc<Process>,
    pub stats: Arc<ShardStats>,
    /// Sockets of the HTTP API.
    pub http: Vec<TcpListener>,
    /// The admin socket and the health checks are the first shard's.
    pub admin: Option<TcpListener>,
    pub wire: Wire,
    /// Told when the shard serves.
    pub ready: Sender<()>,
}

pub struct Shard {
    config: Arc<Config>,
    process: Arc<Process>,
    stats: Arc<ShardStats>,
    ingest: Ingest,
    queries: Rc<Queries>,
    queues: Queues,
    /// The process drains.
    drain_asked: Event,
    /// Rings when the connections shall end.
    drain: Event,
    draining: Cell<bool>,
    connections: Cell<usize>,
    connection_closed: Event,
    next_source: Cell<u64>,
}

/// A heavy query never slows ingest: each has its share of the core.
#[derive(Clone, Copy)]
struct Queues {
    ingest: TaskQueueHandle,
    query: TaskQueueHandle,
}

/// Runs a shard until the process drains.
pub async fn run(setup: Setup) {
    let queues = Queues {
        ingest: glommio::executor().create_task_queue(
            Shares::Static(1000),
            Latency::Matters(Duration::from_millis(2)),
            "ingest",
        ),
        query: glommio::executor().create_task_queue(Shares::Static(250), Latency::NotImportant, "query"),
    };
    let Setup { config, process, stats, http, admin, wire, ready } = setup;
    let shard = Shard::new(config, process, stats, queues);
    let (listening, mut bell) = (shard.clone(), wire.connect());
    spawn("bell", queues.ingest, async move {
        while bell.heard().await && !listening.process.is_draining() {}
        listening.drain_asked.notify(usize::MAX);
    });
    let drain_asked = shard.drain_asked.listen();
    // The first sleep on an executor takes milliseconds.
    sleep(Duration::from_millis(2)).await;
    if admin.is_some() {
        shard.watch_replicas().await;
    }
    let ticking = shard.clone();
    spawn_loop("tick", queues.ingest, move || ticking.clone().tick());
    let http: Vec<_> = http.into_iter().map(Listener::new).collect();
    let admin: Vec<_> = admin.into_iter().map(Listener::new).collect();
    for (listeners, api) in [(&http, Api::Influx), (&admin, Api::Admin)] {
        for listener in listeners {
            let (shard, listener) = (shard.clone(), listener.clone());
            spawn("listener", queues.ingest, async move { listener.run(|stream| shard.serve(stream, api)).await });
        }
    }
    // The server waits for it, unless it has given up.
    let _ = ready.send(());

    drain_asked.await;
    shard.drain(&http, &admin).await;
}

impl Shard {
    fn new(config: Arc<Config>, process: Arc<Process>, stats: Arc<ShardStats>, queues: Queues) -> Rc<Shard> {
        let (write, limits) = (config.write.clone(), config.limits.clone());
        let settings = Rc::new(Settings { write, limits, silence_max: config.query.timeout });
        let topology = process.topology.clone();
        let backends = Rc::new(Backends::new(&topology.load(), &process.replicas, &settings, queues.ingest));
        let now = Instant::now();
        let ingest = Ingest {
            config: config.clone(),
            topology: topology.clone(),
            backends: backends.clone(),
            stats: stats.clone(),
            latency: Recorder::new(&stats, |stats| &stats.write_seconds, now),
            budget: Budget::new(config.limits.inflight_bytes_max.0),
        };
        let queries = Rc::new(Queries {
            config: config.clone(),
            topology,
            backends,
            stats: stats.clone(),
            latency: Recorder::new(&stats, |stats| &stats.query_seconds, now),
            places: Budget::strict(config.query.concurrency_max.0),
        });
        Rc::new(Shard {
            config,
            process,
            stats,
            ingest,
            queries,
            queues,
            drain_asked: Event::new(),
            drain: Event::new(),
            draining: Cell::new(false),
            connections: Cell::new(0),
            connection_closed: Event::new(),
            next_source: Cell::new(0),
        })
    }

    /// Asks every replica once, then watches it.
    async fn watch_replicas(&self) {
        let (interval, timeout) = (self.config.limits.health_interval, self.config.limits.connect_timeout);
        let backends: Vec<_> = self.ingest.backends.all().cloned().collect();
        join_all(backends.iter().map(|backend| health::check(backend, timeout))).await;
        for backend in backends {
            spawn_loop("health", self.queues.query, move || health::watch(backend.clone(), interval, timeout));
        }
    }

    /// What other threads shall see.
    async fn tick(self: Rc<Shard>) {
        sleep(TICK).await;
        let now = Instant::now();
        self.ingest.latency.publish(now);
        self.queries.latency.publish(now);
        self.ingest.budget.nudge();
        self.stats.inflight_bytes.set(self.ingest.budget.held() as u64);
        self.stats.connections_open.set(self.connections.get() as u64);
    }

    /// Stops listening once balancers had time to notice, finishes what is in flight, and gives up at a limit.
    async fn drain(self: &Rc<Shard>, http: &[Rc<Listener>], admin: &[Rc<Listener>]) {
        sleep(self.config.server.drain_notice).await;
        http.iter().for_each(|listener| listener.close(|stream| self.serve(stream, Api::Influx)));
        self.draining.set(true);
        self.drain.notify(usize::MAX);
        let until = Instant::now() + self.config.server.drain_timeout;
        while self.connections.get() > 0 {
            let closed = self.connection_closed.listen();
            if deadline(until, closed).await.is_err() {
                tracing::warn!(connections = self.connections.get(), "drain_timeout: connections are cut off");
                break;
            }
        }
        admin.iter().for_each(|listener| listener.close(drop));
    }
}
