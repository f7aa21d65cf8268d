//! What lies in the logs to the replicas: in order, one request at a time, ever more slowly while nothing is taken.
//!
//! One shard watches a replica, by its name. While the replica's gate is not open, a task there
//! 1. waits until nothing is on its way directly any more, and until a request that was cut can have no effect any more;
//! 2. reads the log, joins neighbours of one database, sends them (`refused` finds guilty lines), and lets go of what was
//!    taken or lies in the dead-letter file;
//! 3. moves what the replica lacks the database or retention policy for to a second log (parked), and all that follows of
//!    that database, so that nothing else waits for it; the first of it is tried every now and then;
//! 4. when the log is nearly empty, holds the gate for a moment, takes the last of it, and opens the gate.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use bytes::Bytes;
use glommio::TaskQueueHandle;
use glommio::timer::sleep;

use crate::backend::{Backend, Courier, Current, Settings, WriteKey, health};
use crate::batch::Batch;
use crate::net::{spawn, spawn_loop};
use crate::spool::{DeadLetter, Entry, PARKED_STATEMENTS, Position, Queue, Record};

use super::keep::hold_for;
use super::pace::Pace;
use super::refused::{self, Dead, Trouble};
use super::{Delivery, ReplicaLog, statement, wall_ms};

/// How often gates are looked at.
const WATCH: Duration = Duration::from_millis(20);
/// How often it is seen whether what was on its way has ended.
const DIRECT_POLL: Duration = Duration::from_millis(2);
/// After a replica is heard again: for requests that were cut to have their effect.
const SETTLE: Duration = Duration::from_secs(1);
const SETTLE_POLL: Duration = Duration::from_millis(50);
/// How many times as long a gate is not held again after it was in vain.
const HOLD_REST: u32 = 10;
/// Between two attempts at what is parked.
const PARKED_RETRY: Duration = Duration::from_secs(3);
/// A replica that was slow is tried again directly after this time without a write.
const SLOW_FOR: Duration = Duration::from_secs(3);
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
                sleep(WATCH).await;
                replays.look();
                std::ops::ControlFlow::Continue(())
            }
        });
    }

    fn look(self: &Rc<Replays>) {
        let Some(backends) = self.current.take() else { return };
        let (index, shards) = self.shard;
        let mine = |backend: &&Rc<Backend>| {
            !backend.target.stats.gate.is_open()
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
    parked_due: Instant,
    hold: Hold,
    /// The last request was answered, and how fast.
    proven: Option<(Duration, Instant)>,
    /// The trouble that the log has told.
    told: Option<Trouble>,
    points: u64,
    began: Instant,
    /// What was taken and is still to be let go of, after a failure of the disk.
    taken: Option<Taken>,
}

/// A part of a log that its replica has taken.
struct Taken {
    queue: Queue,
    end: Position,
    dead: Vec<DeadLetter>,
    /// Records that leave the spool.
    records: u64,
}

/// When the gate was held, and when it may be held again.
enum Hold {
    Not { again: Instant },
    Since(Instant),
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
            hold: Hold::Not { again: now },
            proven: None,
            told: None,
            points: 0,
            began: now,
            taken: None,
        }
    }

    fn has_parked(&self) -> bool {
        !self.log.parked.load().is_empty()
    }

    /// Its thread is gone, which was told.
    fn broken(&self) -> Trouble {
        Trouble::Operator(format!("the spool of replica {} broke off; restart slotline", self.name))
    }

    fn delivery(&self) -> &Delivery {
        &self.replays.delivery
    }

    /// Until the gate is open, or no topology names the replica.
    async fn run(&mut self) {
        let mut courier: Option<(Rc<Backend>, Courier)> = None;
        loop {
            let named = self.replays.current.take().and_then(|backends| backends.named(&self.name).cloned());
            let Some(backend) = named else { return };
            while self.log.gate.direct() > 0 {
                sleep(DIRECT_POLL).await;
            }
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
                    self.proven = None;
                    self.tell(trouble);
                    let pause = self.pace.failed(fastrand::f64());
                    self.log.spool.stats().replay_rate.set(0);
                    wait_until_up(backend, pause).await;
                }
            }
            glommio::yield_if_needed().await;
        }
    }

    /// One look at the log, and what is to be done.
    async fn turn(&mut self, backend: &Rc<Backend>, courier: &Courier) -> Result<Turn, Trouble> {
        self.settle(backend).await?;
        self.consume().await?;
        if self.has_parked() && self.parked_due <= Instant::now() {
            self.parked_due = Instant::now() + PARKED_RETRY;
            self.retry_parked(courier).await?;
        }
        let failures = self.log.spool.stats().failures.get();
        let chunk = self.pace.chunk(self.delivery().config.write.request_bytes_max.0);
        let entries = self.read(Queue::Main, chunk).await?;
        let (began, bytes) = (Instant::now(), entries.iter().map(|entry| entry.bytes).sum::<u64>());
        for run in runs(entries, self.delivery().config.write.request_points_max.0) {
            if self.waits(&run) {
                self.park(run).await?;
                continue;
            }
            match self.send(courier, &run).await {
                Ok(dead) => self.let_go(courier, Queue::Main, &run, dead).await?,
                Err(Trouble::Lacks(reason)) => {
                    self.log.note_parked(&run.target().0);
                    self.tell(Trouble::Lacks(reason));
                    self.park(run).await?;
                }
                Err(trouble) => return Err(trouble),
            }
        }
        let worked = began.elapsed();
        let held = matches!(self.hold, Hold::Since(_));
        if bytes > 0 {
            let pause = self.pace.took(bytes, worked);
            let rate = bytes as f64 / (worked + pause).as_secs_f64();
            self.log.spool.stats().replay_rate.set(rate as u64);
            if !self.has_parked() {
                self.recovered();
            }
            // Writers that are held do not wait for the pace.
            if !held {
                sleep(pause).await;
            }
        }
        // With the gate held the rest would be waited for: not while it is much.
        if self.log.spool.stats().bytes.get() > chunk as u64 / 4 && !self.has_parked() {
            return Ok(Turn::Again);
        }
        self.open(backend, failures).await
    }

    /// Everything that was committed has been sent: opens the gate, unless more came meanwhile. `failures` of the disk, as
    /// they were before the log was read: what a failed append has left behind, another read makes sure of.
    async fn open(&mut self, backend: &Rc<Backend>, failures: u64) -> Result<Turn, Trouble> {
        if self.has_parked() {
            self.release();
            sleep(WATCH).await;
            return Ok(Turn::Again);
        }
        if self.proven.is_none() {
            // Nothing was sent: whether it lives is still to be seen.
            self.ask(backend).await?;
        }
        // What the disk has damaged will never be read.
        self.log.forget_lost();
        let spool_after = self.delivery().config.write.spool_after;
        let slow = self.proven.is_some_and(|(took, at)| took >= spool_after && at.elapsed() < SLOW_FOR);
        let stats = self.log.spool.stats();
        let sound = stats.failures.get() == failures && stats.records.get() == 0;
        if !slow && sound && self.log.gate.reopen() {
            tracing::info!(
                replica = %self.name, points = self.points, seconds = self.began.elapsed().as_secs_f64(),
                "writes go to the replica directly again"
            );
            self.log.spool.stats().blocked.set(0);
            self.log.spool.stats().replay_rate.set(0);
            return Ok(Turn::Open);
        }
        match self.hold {
            Hold::Since(at) if at.elapsed() >= Duration::from_millis(backend.target.stats.hold_ms.get()) => {
                self.release()
            }
            Hold::Not { again } if again <= Instant::now() && !slow => {
                let hold = hold_for(self.proven.map_or(Duration::ZERO, |(took, _)| took));
                backend.target.stats.hold_ms.set(u64::try_from(hold.as_millis()).unwrap_or(u64::MAX));
                self.log.gate.hold();
                self.hold = Hold::Since(Instant::now());
            }
            _ => {}
        }
        // A slow one stays so until a write to it, out of the log, was fast.
        sleep(if slow { WATCH } else { DIRECT_POLL }).await;
        Ok(Turn::Again)
    }

    /// New writes go into the log again.
    fn release(&mut self) {
        if let Hold::Since(_) = self.hold {
            self.log.gate.close();
            self.hold = Hold::Not { again: Instant::now() + hold_rest(self.proven) };
        }
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
        let read = self.log.spool.read(queue, bytes_max).await;
        read.map_err(|_| self.broken())?.map_err(Trouble::Operator)
    }

    /// Sends neighbours in one request; what was refused for good.
    async fn send(&mut self, courier: &Courier, run: &Run) -> Result<Vec<Dead>, Trouble> {
        let began = Instant::now();
        let sent = match run {
            Run::Points { key, batch, .. } => refused::send(courier, key, batch.clone()).await,
            Run::Statement { db, rp, text, .. } => statement::replay(courier, db, rp, text).await,
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

    /// Whether it must not overtake what is parked: points of the same database, a statement that takes something from it,
    /// and one that makes something in it once such a statement is parked.
    fn waits(&self, run: &Run) -> bool {
        let parked = self.log.parked.load();
        match run {
            Run::Points { key, .. } => parked.contains(&*key.db),
            Run::Statement { db, text, .. } => {
                statement::takes_from(db, text).is_some_and(|db| parked.contains(&db))
                    || (parked.contains(PARKED_STATEMENTS) && statement::makes_in(text, &parked))
            }
        }
    }

    /// Moves it behind what is parked.
    async fn park(&mut self, run: Run) -> Result<(), Trouble> {
        if matches!(run, Run::Statement { .. }) {
            self.log.note_parked(PARKED_STATEMENTS);
        }
        let (end, mut synced) = (run.end(), Vec::new());
        for (record, accepted_ms) in run.into_records() {
            synced.push(self.log.spool.append(Queue::Parked, record, accepted_ms));
        }
        for synced in synced {
            synced.await.map_err(|_| self.broken())?.map_err(|error| Trouble::Operator(error.to_string()))?;
        }
        self.taken = Some(Taken { queue: Queue::Main, end, dead: Vec::new(), records: 0 });
        self.consume().await
    }

    /// Lets go of what was taken; after a failure of the disk the same again, before anything else is read.
    async fn consume(&mut self) -> Result<(), Trouble> {
        let Some(Taken { queue, end, dead, records }) = &self.taken else { return Ok(()) };
        let consumed = self.log.spool.consume(*queue, *end, dead.clone()).await;
        consumed.map_err(|_| self.broken())?.map_err(|error| Trouble::Operator(error.to_string()))?;
        self.log.gate.taken(*records);
        self.taken = None;
        Ok(())
    }

    /// Sends what is parked, from its first on, for as long as it is taken.
    async fn retry_parked(&mut self, courier: &Courier) -> Result<(), Trouble> {
        let chunk = self.delivery().config.write.request_bytes_max.0;
        loop {
            let entries = self.read(Queue::Parked, chunk).await?;
            if entries.is_empty() {
                self.log.parked.store(Arc::default());
                self.recovered();
                return Ok(());
            }
            for run in runs(entries, self.delivery().config.write.request_points_max.0) {
                match self.send(courier, &run).await {
                    Ok(dead) => self.let_go(courier, Queue::Parked, &run, dead).await?,
                    Err(Trouble::Lacks(reason)) => {
                        self.tell(Trouble::Lacks(reason));
                        return Ok(());
                    }
                    Err(trouble) => return Err(trouble),
                }
            }
            glommio::yield_if_needed().await;
        }
    }

    /// Tells the log once of each trouble.
    fn tell(&mut self, trouble: Trouble) {
        if self.told.as_ref().is_some_and(|told| std::mem::discriminant(told) == std::mem::discriminant(&trouble)) {
            return;
        }
        let replica = &self.name;
        let blocked = self.has_parked() || !matches!(trouble, Trouble::Away(_));
        self.log.spool.stats().blocked.set(u64::from(blocked));
        match &trouble {
            Trouble::Away(reason) => {
                tracing::warn!(%replica, reason, "the replica does not take what waits in its spool; trying again");
            }
            Trouble::Operator(reason) => {
                tracing::error!(%replica, reason, "what waits in the replica's spool needs an operator; trying again");
            }
            Trouble::Lacks(reason) => tracing::error!(
                %replica, reason,
                "points are parked: make the database or retention policy on the replica, or drop them with `slotline \
                 spool drop`; other databases go on"
            ),
        }
        self.told = Some(trouble);
    }

    fn recovered(&mut self) {
        if self.told.take().is_some() {
            self.log.spool.stats().blocked.set(0);
            tracing::info!(replica = %self.name, "the replica takes what waits in its spool");
        }
    }
}

fn hold_rest(proven: Option<(Duration, Instant)>) -> Duration {
    hold_for(proven.map_or(Duration::ZERO, |(took, _)| took)) * HOLD_REST
}

/// Pauses; no longer than until a replica that is down is heard again.
async fn wait_until_up(backend: &Backend, pause: Duration) {
    let (until, was_up) = (Instant::now() + pause, backend.target.stats.is_up());
    while Instant::now() < until && (was_up || !backend.target.stats.is_up()) {
        sleep(WATCH.min(until.saturating_duration_since(Instant::now()))).await;
    }
}

enum Turn {
    Again,
    Open,
}

/// Neighbours in a log that go in one request.
enum Run {
    Points { key: WriteKey, batch: Batch, entries: Vec<Entry> },
    Statement { db: String, rp: String, text: String, entry: Entry },
}

impl Run {
    fn entries(&self) -> &[Entry] {
        match self {
            Run::Points { entries, .. } => entries,
            Run::Statement { entry, .. } => std::slice::from_ref(entry),
        }
    }

    fn end(&self) -> Position {
        // A run has an entry.
        self.entries()[self.entries().len() - 1].end
    }

    fn records(&self) -> u64 {
        self.entries().len() as u64
    }

    fn points(&self) -> u32 {
        match self {
            Run::Points { batch, .. } => batch.points,
            Run::Statement { .. } => 0,
        }
    }

    /// A part of it.
    fn refused(&self, db: &str, rp: &str, lines: Vec<u8>, points: u32) -> Record {
        let (db, rp) = (db.to_owned(), rp.to_owned());
        match self {
            Run::Points { key, .. } => {
                Record::Points { db, rp, precision: key.precision, points, open: false, lines: vec![lines.into()] }
            }
            Run::Statement { text, .. } => Record::Statement { db, rp, text: text.clone() },
        }
    }

    /// Database and retention policy.
    fn target(&self) -> (String, String) {
        match self {
            Run::Points { key, .. } => (key.db.to_string(), key.rp.to_string()),
            Run::Statement { db, rp, .. } => (db.clone(), rp.clone()),
        }
    }

    fn into_records(self) -> Vec<(Record, u64)> {
        let entries = match self {
            Run::Points { entries, .. } => entries,
            Run::Statement { entry, .. } => vec![entry],
        };
        entries.into_iter().map(|entry| (entry.record, entry.accepted_ms)).collect()
    }
}

/// Entries by what may share a request.
fn runs(entries: Vec<Entry>, points_max: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for entry in entries {
        let (db, rp, precision, points, open, lines) = match &entry.record {
            Record::Statement { db, rp, text } => {
                runs.push(Run::Statement { db: db.clone(), rp: rp.clone(), text: text.clone(), entry });
                continue;
            }
            Record::Points { db, rp, precision, points, open, lines } => (db, rp, *precision, *points, *open, lines),
        };
        if let Some(Run::Points { key, batch, entries }) = runs.last_mut()
            && *key.db == **db
            && *key.rp == **rp
            && key.precision == precision
            && !batch.open
            && !open
            && (batch.points + points) as usize <= points_max
        {
            batch.points += points;
            batch.bytes += lines.iter().map(Bytes::len).sum::<usize>();
            batch.pieces.extend(lines.iter().cloned());
            entries.push(entry);
            continue;
        }
        let key = WriteKey { db: db.as_str().into(), rp: rp.as_str().into(), precision, consistency: "".into() };
        let (pieces, bytes) = (lines.clone(), lines.iter().map(Bytes::len).sum());
        runs.push(Run::Points { key, batch: Batch { group: 0, pieces, bytes, points, open }, entries: vec![entry] });
    }
    runs
}
