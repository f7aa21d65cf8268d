//! What lies in the logs to the replicas: in order, one request at a time, ever more slowly while nothing is taken.
//!
//! One shard watches a replica, by its name. While the replica's gate is not open, a task there (`drain`)
//! 1. waits until nothing is on its way directly any more, and until a request that was cut can have no effect any more;
//! 2. reads the log, joins neighbours of one database (`run`), sends them (`refused` finds guilty lines), and lets go of
//!    what was taken or lies in the dead-letter file;
//! 3. moves what the replica lacks the database or retention policy for, or denies, to that database's own log
//!    (`parked`), and all that follows of it, so that nothing else waits for it;
//! 4. when the log is nearly empty, holds the gate for a moment, takes the last of it, and opens the gate.
//!
//! What is parked is tried every now and then, with the gate open or not.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use glommio::TaskQueueHandle;

use crate::backend::{Backend, Courier, Current, Settings, health};
use crate::gate::Gate;
use crate::net::{elsewhere, sleep, sleep_about, spawn, spawn_loop, yield_if_needed};
use crate::spool::{DeadLetter, Entry, Finished, Position, Queue};

use super::pace::Pace;
use super::refused::{self, Dead, Trouble};
use super::{Delivery, ReplicaLog, statement, wall_ms, way};

mod drain;
mod parked;
mod run;

use drain::Hold;
use run::Run;

/// How often gates are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The same of one that is not open.
const WATCH: Duration = Duration::from_millis(20);
/// How often it is seen whether what was on its way has ended.
const DIRECT_POLL: Duration = Duration::from_millis(2);
/// After a replica is heard again: for requests that were cut to have their effect.
const SETTLE: Duration = Duration::from_secs(1);
const SETTLE_POLL: Duration = Duration::from_millis(50);
/// An open gate that was closed again within this time finds its pause where it was.
const TROUBLED: Duration = Duration::from_secs(10);

/// What the replays of one shard need.
pub struct Replays {
    pub delivery: Rc<Delivery>,
    pub current: Rc<Current>,
    pub settings: Rc<Settings>,
    /// A task queue of its own, so that a backlog slows nothing else.
    pub queue: TaskQueueHandle,
    /// Which of how many shards this is.
    pub shard: (usize, usize),
    /// Replicas with a task, and how those without one fared.
    pub paces: RefCell<AHashMap<String, Rest>>,
}

/// Between two replays to a replica.
pub enum Rest {
    Running,
    Since(Instant, Pace),
}

impl Replays {
    /// Watches this shard's share of the replicas for as long as the shard lives.
    pub fn start(self: Rc<Replays>) {
        let queue = self.queue;
        spawn_loop("replay watch", queue, move || {
            let replays = self.clone();
            async move {
                sleep_about(LOOK).await;
                replays.look();
                std::ops::ControlFlow::Continue(())
            }
        });
    }

    fn look(self: &Rc<Replays>) {
        let Some(backends) = self.current.take() else { return };
        let (index, shards) = self.shard;
        let mine = |backend: &&Rc<Backend>| {
            let stats = &backend.target.stats;
            (!stats.gate.is_open() || !stats.parked.is_empty())
                && crc32fast::hash(backend.target.name.as_bytes()) as usize % shards == index
        };
        for backend in backends.all().filter(mine) {
            let name = backend.target.name.clone();
            let Some(log) = self.delivery.logs.get(&name) else { continue };
            let mut paces = self.paces.borrow_mut();
            let spool = &self.delivery.config.spool;
            let fresh = || Pace::new(spool.retry_max, spool.replay_rate.0 as u64);
            let (pace, troubled) = match paces.insert(name.clone(), Rest::Running) {
                Some(Rest::Running) => continue,
                Some(Rest::Since(at, pace)) if at.elapsed() < TROUBLED => (pace, true),
                _ => (fresh(), false),
            };
            let (replays, running) = (self.clone(), Running(self.clone(), name.clone()));
            spawn("replay", self.queue, async move {
                let mut replay = Replay::new(replays.clone(), name.clone(), log, pace);
                if troubled {
                    // Its gate was only just opened: not over and over again.
                    sleep(replay.pace.failed(fastrand::f64())).await;
                }
                replay.run().await;
                replays.paces.borrow_mut().insert(name, Rest::Since(Instant::now(), replay.pace));
                drop(running);
            });
        }
    }
}

/// A task that ends, however that is, can be followed by another.
struct Running(Rc<Replays>, String);

impl Drop for Running {
    fn drop(&mut self) {
        let mut paces = self.0.paces.borrow_mut();
        if matches!(paces.get(&self.1), Some(Rest::Running)) {
            paces.remove(&self.1);
        }
    }
}

struct Replay {
    replays: Rc<Replays>,
    name: String,
    log: Arc<ReplicaLog>,
    pace: Pace,
    /// When what is parked is tried next.
    parked_due: Instant,
    /// The parked database that was tried last.
    parked_tried: u32,
    hold: Hold,
    /// When it was last seen how much is in the main log, and how much that was.
    left: Option<(Instant, u64)>,
    /// The last request was answered, and how fast.
    proven: Option<(Duration, Instant)>,
    /// The trouble that the log has told.
    told: Option<Trouble>,
    points: u64,
    began: Instant,
    /// What was taken and is still to be let go of, after a failure of the disk.
    taken: Option<Taken>,
}

/// A part of a log that its replica, or another log, has taken.
struct Taken {
    queue: Queue,
    end: Position,
    dead: Vec<DeadLetter>,
    records: u64,
}

enum Turn {
    Again,
    /// Writes go directly, and nothing is parked.
    Open,
}

impl Replay {
    fn new(replays: Rc<Replays>, name: String, log: Arc<ReplicaLog>, pace: Pace) -> Replay {
        let now = Instant::now();
        Replay {
            replays,
            name,
            log,
            pace,
            parked_due: now,
            parked_tried: u32::MAX,
            hold: Hold::Not { again: now },
            left: None,
            proven: None,
            told: None,
            points: 0,
            began: now,
            taken: None,
        }
    }

    fn delivery(&self) -> &Delivery {
        &self.replays.delivery
    }

    /// Until the gate is open and nothing is parked, or no topology names the replica.
    async fn run(&mut self) {
        let mut courier: Option<(Rc<Backend>, Courier)> = None;
        loop {
            let named = self.replays.current.take().and_then(|backends| backends.named(&self.name).cloned());
            let Some(backend) = named else { return };
            if !courier.as_ref().is_some_and(|(known, _)| known.shares_with(&backend)) {
                let Replays { settings, queue, .. } = &*self.replays;
                let fresh = Courier::new(backend.target.clone(), settings.clone(), *queue);
                courier = Some((backend.clone(), fresh));
            }
            // It was just made.
            let Some((backend, courier)) = &courier else { return };
            match self.turn(backend, courier).await {
                Ok(Turn::Open) => return,
                Ok(Turn::Again) => {}
                Err(trouble) => {
                    self.release();
                    // It is away again: the end is far.
                    self.log.spool.stats().ends.set(0);
                    self.proven = None;
                    self.left = None;
                    self.tell(trouble);
                    let pause = self.pace.failed(fastrand::f64());
                    self.log.spool.stats().replay_rate.set(0);
                    wait_until_up(backend, pause).await;
                }
            }
            yield_if_needed().await;
        }
    }

    /// One look at the logs, and what is to be done.
    async fn turn(&mut self, backend: &Rc<Backend>, courier: &Courier) -> Result<Turn, Trouble> {
        let closed = !self.log.gate.is_open();
        while closed && self.log.gate.direct() > 0 {
            sleep(DIRECT_POLL).await;
        }
        self.settle(backend).await?;
        self.consume().await?;
        self.retry_parked(backend, courier).await?;
        if !self.is_current(backend) {
            return Ok(Turn::Again);
        }
        if closed {
            return self.drain(backend, courier).await;
        }
        if self.log.parked.is_empty() && self.log.gate.is_open() {
            return Ok(Turn::Open);
        }
        sleep(WATCH).await;
        Ok(Turn::Again)
    }

    /// Whether the topology in force still has the replica there.
    fn is_current(&self, backend: &Backend) -> bool {
        let current = self.replays.current.take();
        current.is_some_and(|now| now.named(&self.name).is_some_and(|named| named.shares_with(backend)))
    }

    /// Waits until no request of which nothing was heard can have an effect any more: one whose connection broke, until
    /// `write.hard_timeout`; one that was cut by us, until the replica is heard again and some time more.
    async fn settle(&mut self, backend: &Rc<Backend>) -> Result<(), Trouble> {
        let stats = &backend.target.stats;
        while backend.target.has_unknown() {
            // If nobody listens any more there is nothing to wait for.
            let _ = self.ask(backend).await;
            sleep(SETTLE_POLL).await;
        }
        let cut = stats.cut_ms.get();
        if cut > 0 {
            self.ask(backend).await?;
            sleep(SETTLE).await;
            if stats.cut_ms.get() == cut {
                stats.cut_ms.set(0);
            }
        }
        Ok(())
    }

    /// Whether the replica answers at all.
    async fn ask(&mut self, backend: &Rc<Backend>) -> Result<(), Trouble> {
        let began = Instant::now();
        health::check(&backend.pool, self.delivery().config.limits.connect_timeout).await;
        if !backend.target.stats.is_up() {
            return Err(Trouble::Away(format!("replica {} is down", self.name)));
        }
        self.proven = Some((began.elapsed(), Instant::now()));
        Ok(())
    }

    async fn read(&self, queue: Queue, bytes_max: usize) -> Result<Vec<Entry>, Trouble> {
        let read = elsewhere(self.log.spool.read(queue, bytes_max)).await;
        read.map_err(|_| self.broken())?.map_err(Trouble::Operator)
    }

    /// Whether nothing is left of a log, for good. What the disk has damaged will never be read, and counts no more.
    async fn finish(&self, queue: Queue) -> Result<bool, Trouble> {
        let finished = elsewhere(self.log.spool.finish(queue)).await;
        let Finished { empty, lost } = finished.map_err(|_| self.broken())?.map_err(Trouble::Operator)?;
        self.gate_of(queue).iter().for_each(|gate| gate.taken(lost));
        Ok(empty)
    }

    fn gate_of(&self, queue: Queue) -> Option<Arc<Gate>> {
        match queue {
            Queue::Main => Some(self.log.gate.clone()),
            Queue::Parked(key) => self.log.parked.get(key).map(|parked| parked.gate),
        }
    }

    /// Sends neighbours in one request; what was refused for good. Where the database is lacking, and these statements, or
    /// the run's own, make it, they are carried out first.
    async fn send(&mut self, courier: &Courier, run: &Run, makes: &[String]) -> Result<Vec<Dead>, Trouble> {
        let sent = self.send_once(courier, run).await;
        let own = match run {
            Run::Points { key, makes_database: true, .. } => Some(way::creation(&key.db)),
            _ => None,
        };
        if !matches!(sent, Err(Trouble::Lacks(_))) || (makes.is_empty() && own.is_none()) {
            return sent;
        }
        for text in makes.iter().chain(&own) {
            statement::replay(courier, "", "", text).await?;
        }
        self.send_once(courier, run).await
    }

    async fn send_once(&mut self, courier: &Courier, run: &Run) -> Result<Vec<Dead>, Trouble> {
        let began = Instant::now();
        let sent = match run {
            Run::Points { key, batch, .. } => refused::send(courier, key, batch.clone()).await,
            Run::Statement { db, rp, text, .. } => statement::replay(courier, db, rp, text).await,
            Run::Void { .. } => return Ok(Vec::new()),
        };
        if sent.is_ok() {
            self.proven = Some((began.elapsed(), Instant::now()));
        }
        sent
    }

    /// The replica has taken it, but for the dead.
    async fn let_go(&mut self, courier: &Courier, queue: Queue, run: &Run, dead: Vec<Dead>) -> Result<(), Trouble> {
        let (db, rp) = run.target();
        let refused: u64 = dead.iter().map(|dead| u64::from(dead.points)).sum();
        if let Some(first) = dead.first() {
            tracing::warn!(
                replica = %self.name, db, points = refused, reason = first.reason,
                "InfluxDB refuses points of the spool for good: see `slotline spool dead`"
            );
        }
        let letter = |dead: Dead| DeadLetter {
            record: run.refused(&db, &rp, dead.lines, dead.points),
            reason: dead.reason,
            at_ms: wall_ms(),
        };
        let dead = dead.into_iter().map(letter).collect();
        self.taken = Some(Taken { queue, end: run.end(), dead, records: run.records() });
        self.consume().await?;
        let stored = u64::from(run.points()).saturating_sub(refused);
        self.points += stored;
        courier.target.stats.points_acked.add(stored);
        self.log.spool.stats().points_replayed.add(stored);
        Ok(())
    }

    /// Lets go of what was taken; after a failure of the disk the same again, before anything else is read.
    async fn consume(&mut self) -> Result<(), Trouble> {
        let Some(Taken { queue, end, dead, records }) = &self.taken else { return Ok(()) };
        let consumed = elsewhere(self.log.spool.consume(*queue, *end, dead.clone())).await;
        consumed.map_err(|_| self.broken())?.map_err(|error| Trouble::Operator(error.to_string()))?;
        self.gate_of(*queue).iter().for_each(|gate| gate.taken(*records));
        self.taken = None;
        Ok(())
    }

    /// Its thread is gone, which was told.
    fn broken(&self) -> Trouble {
        Trouble::Operator(format!("the spool of replica {} broke off; restart slotline", self.name))
    }

    /// Tells the log once of each trouble.
    fn tell(&mut self, trouble: Trouble) {
        if self.told.as_ref().is_some_and(|told| std::mem::discriminant(told) == std::mem::discriminant(&trouble)) {
            return;
        }
        let replica = &self.name;
        let blocked = !self.log.parked.is_empty() || matches!(trouble, Trouble::Operator(_) | Trouble::Denied(_));
        self.log.spool.stats().blocked.set(u64::from(blocked));
        match &trouble {
            Trouble::Away(reason) => {
                tracing::warn!(%replica, reason, "the replica does not take what waits in its spool; trying again");
            }
            Trouble::Operator(reason) | Trouble::Denied(reason) | Trouble::Lacks(reason) => {
                tracing::error!(%replica, reason, "what waits in the replica's spool needs an operator; trying again");
            }
        }
        self.told = Some(trouble);
    }

    /// Something was taken.
    fn recovered(&mut self) {
        self.log.spool.stats().blocked.set(u64::from(!self.log.parked.is_empty()));
        if self.told.take().is_some() {
            tracing::info!(replica = %self.name, "the replica takes what waits in its spool");
        }
    }
}

/// Pauses; no longer than until a replica that is down is heard again.
async fn wait_until_up(backend: &Backend, pause: Duration) {
    let (until, was_up) = (Instant::now() + pause, backend.target.stats.is_up());
    while Instant::now() < until && (was_up || !backend.target.stats.is_up()) {
        sleep(WATCH.min(until.saturating_duration_since(Instant::now()))).await;
    }
}
