//! One pinned executor and all that it owns: listeners, connections, backends, queues for writes and for queries.
//!
//! A shard shares nothing with others but `admin::Process` (snapshots, or counters), the kernel's SO_REUSEPORT, and
//! doorbells: by its own it hears that there is something new (`apply`), by the others' it hands connections over
//! (`accept`). Made by `server`, one a core.

mod accept;
mod apply;
mod connection;
mod databases;
mod front;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use event_listener::Event;
use glommio::{Shares, TaskQueueHandle};

use crate::admin::Process;
use crate::backend::{Current, Settings};
use crate::config::Config;
use crate::deliver::{Delivery, Replays};
use crate::ingest::{Databases, Ingest, Teller};
use crate::net::{
    Budget, Doorbell, Listener, QUEUE_LATENCY, Wire, deadline, guarded, prepare, sleep, sleep_about, spawn, spawn_loop,
};
pub use crate::query::RunningQueries;
use crate::query::{Queries, Texts};
use crate::stats::{Recorder, ShardStats};

use accept::Service;
use apply::RunningUdp;

/// So long a connection that was handed over may take to be taken.
const HAND_OVER_MAX: Duration = Duration::from_millis(10);
/// How old the figures of `/metrics` may be.
const TICK: Duration = Duration::from_millis(500);

/// What a shard starts with.
pub struct Setup {
    /// Among all shards.
    pub index: usize,
    pub config: Arc<Config>,
    pub process: Arc<Process>,
    /// A listening socket for each listener that takes connections, and which of `config.listen` it is.
    pub listeners: Vec<(usize, TcpListener)>,
    /// The admin socket and the health checks are the first shard's.
    pub admin: Option<TcpListener>,
    pub wire: Wire,
    /// Everybody's.
    pub doorbells: Arc<[Doorbell]>,
    /// Everybody's.
    pub running: Arc<RunningQueries>,
    /// Told when the shard serves.
    pub ready: Sender<()>,
}

pub struct Shard {
    index: usize,
    config: Arc<Config>,
    process: Arc<Process>,
    doorbells: Arc<[Doorbell]>,
    stats: Arc<ShardStats>,
    settings: Rc<Settings>,
    backends: Rc<Current>,
    ingest: Rc<Ingest>,
    queries: Rc<Queries>,
    delivery: Rc<Delivery>,
    queues: Queues,
    udp: RefCell<HashMap<SocketAddr, RunningUdp>>,
    /// What each of `config.listen` is for; nothing for UDP.
    services: Vec<Option<Service>>,
    /// The process drains.
    drain_asked: Event,
    /// Rings when the connections shall end.
    drain: Event,
    draining: Cell<bool>,
    /// Connections and UDP listeners.
    open: Cell<usize>,
    closed: Event,
    next_source: Cell<u64>,
}

/// A heavy query never slows ingest: each has its share of the core.
#[derive(Clone, Copy)]
struct Queues {
    ingest: TaskQueueHandle,
    query: TaskQueueHandle,
    replay: TaskQueueHandle,
}

/// Runs a shard until the process drains.
pub async fn run(setup: Setup) {
    let _waits = match prepare() {
        Ok(waits) => waits,
        Err(error) => return tracing::error!(%error, "a shard could not be given its epoll"),
    };
    let queue = |shares, name| glommio::executor().create_task_queue(Shares::Static(shares), QUEUE_LATENCY, name);
    let queues = Queues { ingest: queue(1000, "ingest"), query: queue(250, "query"), replay: queue(250, "replay") };
    let shard = Shard::new(&setup, queues);
    let Setup { listeners, admin, wire, ready, .. } = setup;
    // The first sleep on an executor takes milliseconds.
    sleep(Duration::from_millis(2)).await;
    let drain_asked = shard.drain_asked.listen();
    shard.clone().watch(shard.apply()).await;
    let mut bell = match wire.connect() {
        Ok(bell) => bell,
        Err(error) => return tracing::error!(%error, "a shard's bell could not be waited for"),
    };
    let hearing = shard.clone();
    spawn("bell", queues.ingest, async move {
        // Whatever befalls, the shard goes on hearing.
        while bell.heard(|connection, listener| guarded("hand-over", || hearing.take(connection, listener))).await {
            if hearing.process.is_draining() {
                hearing.drain_asked.notify(usize::MAX);
            }
            hearing.queries.running.tell_killed(hearing.index);
            guarded("apply", || {
                let new = hearing.apply();
                spawn("first health checks", hearing.queues.query, hearing.clone().watch(new));
            });
        }
    });
    shard.replays().start();
    databases::watch(&shard);
    let ticking = shard.clone();
    spawn_loop("tick", queues.ingest, move || ticking.clone().tick());
    let listening = |socket, service: Service, number| {
        let listener = Listener::new(socket);
        let (shard, running) = (shard.clone(), listener.clone());
        spawn("listener", queues.ingest, async move {
            running.run(|stream| shard.accept(stream, &service, number)).await;
        });
        listener
    };
    let admin: Vec<_> = admin.into_iter().map(|socket| listening(socket, Service::Admin, None)).collect();
    let mut open = Vec::new();
    for (number, socket) in listeners {
        if let Some(service) = shard.services[number].clone() {
            open.push((listening(socket, service.clone(), Some(number)), service));
        }
    }
    // The server waits for it, unless it has given up.
    let _ = ready.send(());

    drain_asked.await;
    shard.drain(&open, &admin).await;
}

impl Shard {
    fn new(setup: &Setup, queues: Queues) -> Rc<Shard> {
        let (config, process) = (setup.config.clone(), setup.process.clone());
        let stats = process.shards[setup.index].clone();
        let (write, limits) = (config.write.clone(), config.limits.clone());
        let settings = Rc::new(Settings { write, limits, silence_max: config.query.timeout });
        let backends = Rc::<Current>::default();
        let now = Instant::now();
        let delivery = Rc::new(Delivery {
            config: config.clone(),
            stats: stats.clone(),
            logs: process.logs.clone(),
            last_seen: process.last_seen.clone(),
            queue: queues.ingest,
            on_their_way: Rc::default(),
        });
        let ingest = Rc::new(Ingest {
            config: config.clone(),
            backends: backends.clone(),
            stats: stats.clone(),
            latency: Recorder::new(&stats, |stats| &stats.write_seconds, now),
            budget: Budget::new(config.limits.inflight_bytes_max.0),
            delivery: delivery.clone(),
            databases: RefCell::<Databases>::default(),
            routes: Default::default(),
            lost: Teller::new("points over TCP or UDP were not stored; see slotline_points_rejected_total"),
            waiting: Teller::new("points over TCP or UDP wait in memory: neither replicas nor spools take them"),
            datagrams: RefCell::default(),
        });
        let queries = Rc::new(Queries {
            config: config.clone(),
            backends: backends.clone(),
            backlogs: process.backlogs.clone(),
            stats: stats.clone(),
            delivery: delivery.clone(),
            latency: Recorder::new(&stats, |stats| &stats.query_seconds, now),
            turns: Recorder::new(&stats, |stats| &stats.query_turn_seconds, now),
            queue: queues.query,
            places: Budget::strict(config.query.concurrency_max.0),
            gathers: Budget::strict(config.query.gathers_max.0),
            texts: Texts::new(config.query.texts_bytes_max.0, stats.clone()),
            running: setup.running.clone(),
            shard: setup.index,
        });
        Rc::new(Shard {
            index: setup.index,
            services: config.listen.iter().map(|listen| Service::of(&listen.protocol)).collect(),
            config,
            process,
            doorbells: setup.doorbells.clone(),
            stats,
            settings,
            backends,
            ingest,
            queries,
            delivery,
            queues,
            udp: RefCell::default(),
            drain_asked: Event::new(),
            drain: Event::new(),
            draining: Cell::new(false),
            open: Cell::new(0),
            closed: Event::new(),
            next_source: Cell::new(0),
        })
    }

    /// What brings the logs of this shard's share of the replicas to them.
    fn replays(&self) -> Rc<Replays> {
        Rc::new(Replays {
            delivery: self.delivery.clone(),
            current: self.backends.clone(),
            settings: self.settings.clone(),
            queue: self.queues.replay,
            shard: (self.index, self.process.shards.len()),
            paces: RefCell::default(),
        })
    }

    /// A number for a source of points, which stays on its lane.
    fn next_source(&self) -> u64 {
        self.next_source.replace(self.next_source.get() + 1)
    }

    /// What other threads shall see.
    async fn tick(self: Rc<Shard>) -> ControlFlow<()> {
        sleep_about(TICK).await;
        let now = Instant::now();
        self.ingest.latency.publish(now);
        self.queries.latency.publish(now);
        self.queries.turns.publish(now);
        self.ingest.budget.nudge();
        self.stats.queries_gathering.set(self.queries.gathers.held() as u64);
        self.stats.inflight_bytes.set(self.ingest.budget.held() as u64);
        self.udp.borrow().values().for_each(RunningUdp::count_drops);
        ControlFlow::Continue(())
    }

    /// Stops listening once balancers had time to notice, finishes what is in flight, and gives up at a limit.
    async fn drain(self: &Rc<Shard>, listeners: &[(Rc<Listener>, Service)], admin: &[Rc<Listener>]) {
        // What was handed over before is in the bell by then.
        sleep(self.config.server.drain_notice.max(HAND_OVER_MAX)).await;
        for (listener, service) in listeners {
            listener.close(|stream| self.serve(stream, service));
        }
        self.draining.set(true);
        self.drain.notify(usize::MAX);
        self.udp.borrow().values().for_each(RunningUdp::close);
        let until = Instant::now() + self.config.server.drain_timeout;
        // What others have handed over counts as ours before we have taken it.
        let on_their_way = || self.delivery.on_their_way.get();
        while self.open.get() > 0 || self.stats.connections_open.get() > 0 || on_their_way() > 0 {
            let closed = async {
                match self.open.get() {
                    0 => sleep(HAND_OVER_MAX).await,
                    _ => self.closed.listen().await,
                }
            };
            if deadline(until, closed).await.is_err() {
                tracing::warn!(open = self.open.get(), "drain_timeout: connections are cut off");
                break;
            }
        }
        admin.iter().for_each(|listener| listener.close(drop));
    }
}

/// Counts something as open until its task ends, however that is.
struct Open(Rc<Shard>);

impl Open {
    fn new(shard: &Rc<Shard>) -> Open {
        shard.open.set(shard.open.get() + 1);
        Open(shard.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.closed.notify(usize::MAX);
    }
}
