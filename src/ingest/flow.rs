//! Points that come without a request, over TCP or UDP: gathered, then delivered batch by batch.
//!
//! One batch is on its way while the next gathers, so that a slow replica makes larger batches, not more of them, and a
//! source's points keep their order. Nobody hears an answer: what neither a replica nor its log takes (the disk is full, or
//! nobody knows the database) is sent again and again, while the source is not read once the next batch is full.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ahash::AHashSet;
use event_listener::Event;
use futures_lite::future;

use crate::backend::{Backends, WriteKey};
use crate::batch::{Batch, Batches, Builder, ReplicaAnswer, Stamps, is_refused_whole};
use crate::deliver::{self, Consistency, GroupAnswer, Write};
use crate::lineprotocol::Precision;
use crate::net::{Held, deadline, sleep};
use crate::stats::{Counter, ShardStats};
use crate::topology::{GroupIndex, LineTarget};

use super::{Ingest, batch_limits, now_ns};

/// Between two attempts to deliver a batch: doubled from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(3);
/// A replica that hangs does not hold the first points of the others up for longer.
const CREATE_MAX: Duration = Duration::from_secs(1);
/// So often one delivery is halved to find guilty lines: enough for some of them among thousands. The parts that are
/// still refused whole then are lost whole.
const SPLITS_MAX: usize = 100;
/// How often it is seen whether there is a topology by now.
const TOPOLOGY_POLL: Duration = Duration::from_millis(50);

/// One source of points on its way to one database.
pub struct Flow {
    ingest: Rc<Ingest>,
    source: u64,
    received: fn(&ShardStats) -> &Counter,
    gathering: RefCell<Gathering>,
    /// There is a batch to send, or there will be none.
    due: Event,
    /// A batch was taken, or the flow has ended.
    taken: Event,
    ending: Cell<bool>,
    ended: Cell<bool>,
}

/// The batch that grows, under one topology.
struct Gathering {
    key: WriteKey,
    builder: Builder,
    backends: Rc<Backends>,
    held: Held,
    /// When its first point came.
    since: Option<Instant>,
}

/// A batch that has been taken.
struct Taken {
    key: WriteKey,
    batches: Rc<Batches>,
    backends: Rc<Backends>,
    held: Held,
}

/// What comes of `awaited`; `None` when `asked_to_end` comes first.
pub async fn unless<T>(asked_to_end: impl Future<Output = ()>, awaited: impl Future<Output = T>) -> Option<T> {
    let awaited = async { Some(awaited.await) };
    let ended = async {
        asked_to_end.await;
        None
    };
    future::or(awaited, ended).await
}

impl Flow {
    /// Begins once there is a topology; `run` must run beside it. `stamps` are for lines without a time.
    pub async fn begin(
        ingest: &Rc<Ingest>,
        target: &LineTarget,
        stamps: fn(Precision, i64) -> Stamps,
        received: fn(&ShardStats) -> &Counter,
        source: u64,
    ) -> Rc<Flow> {
        let backends = loop {
            match ingest.backends.take() {
                Some(backends) => break backends,
                None => sleep(TOPOLOGY_POLL).await,
            }
        };
        let key = write_key(target);
        let router = ingest.routes.router(&backends.topology, &target.db);
        let builder = Builder::new(router, stamps(target.precision, now_ns()), batch_limits(&ingest.config.write));
        let held = ingest.budget.hold();
        Rc::new(Flow {
            ingest: ingest.clone(),
            source,
            received,
            gathering: RefCell::new(Gathering { key, builder, backends, held, since: None }),
            due: Event::new(),
            taken: Event::new(),
            ending: Cell::new(false),
            ended: Cell::new(false),
        })
    }

    /// Nobody delivers any more.
    pub fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Waits until more may be read: neither is the growing batch full nor the memory for all used up. `false`: nobody
    /// delivers any more, or a line that has begun can get no memory for its end.
    pub async fn room(&self) -> bool {
        loop {
            let taken = self.taken.listen();
            if self.ended.get() || !self.is_full() {
                break;
            }
            taken.await;
        }
        // A line that has begun keeps memory until its end is read: those who wait with one must not wait for each other.
        let has_begun_line = self.gathering.borrow().builder.carried() > 0;
        let room = self.ingest.budget.room();
        if has_begun_line {
            let until = Instant::now() + self.ingest.config.limits.body_timeout;
            return deadline(until, room).await.is_ok() && !self.ended.get();
        }
        room.await;
        !self.ended.get()
    }

    /// Adds what has come; `bytes` is the memory that it keeps.
    pub fn add<T>(&self, bytes: usize, add: impl FnOnce(&mut Builder) -> T) -> T {
        let mut gathering = self.gathering.borrow_mut();
        if gathering.since.is_none() {
            self.renew(&mut gathering);
        }
        let before = gathering.builder.points();
        let result = add(&mut gathering.builder);
        let points = gathering.builder.points();
        (self.received)(&self.ingest.stats).add(points - before);
        if points == 0 {
            // Comments and blanks are gone, and nobody would give their memory back.
            gathering.held = self.ingest.budget.hold();
            let carried = gathering.builder.carried();
            gathering.held.add(carried);
        } else {
            gathering.held.add(bytes);
        }
        if points > 0 && gathering.since.is_none() {
            gathering.since = Some(Instant::now());
            self.due.notify(1);
        }
        drop(gathering);
        if points >= self.ingest.config.write.batch_points.0 as u64 || self.is_full() {
            self.due.notify(1);
        }
        result
    }

    /// Delivers batches until the end.
    pub async fn run(&self) {
        let _ended = Ended(self);
        while self.wait_until_due().await {
            let Some(taken) = self.take() else { continue };
            self.taken.notify(usize::MAX);
            self.deliver(taken).await;
        }
    }

    /// Nothing more will be added; waits until all is delivered or given up.
    pub async fn end(&self) {
        self.ending.set(true);
        self.due.notify(1);
        loop {
            let taken = self.taken.listen();
            if self.ended.get() {
                return;
            }
            taken.await;
        }
    }

    /// What follows goes elsewhere; what has come goes where it was meant to. Waits for nothing but the batch on its way.
    pub async fn retarget(&self, target: &LineTarget) {
        loop {
            let taken = self.taken.listen();
            if self.gathering.borrow().builder.points() == 0 || self.ended.get() {
                break;
            }
            self.gathering.borrow_mut().since = Some(Instant::now() - self.ingest.config.write.batch_wait);
            self.due.notify(1);
            taken.await;
        }
        let mut gathering = self.gathering.borrow_mut();
        let router = self.ingest.routes.router(&gathering.backends.topology, &target.db);
        let stamps = Stamps::same(target.precision, now_ns());
        gathering.builder = Builder::new(router, stamps, batch_limits(&self.ingest.config.write));
        gathering.key = write_key(target);
    }

    /// An empty batch takes the topology that is in force now.
    fn renew(&self, gathering: &mut Gathering) {
        let Some(now) = self.ingest.backends.take().filter(|now| !Rc::ptr_eq(now, &gathering.backends)) else { return };
        gathering.builder.take(self.ingest.routes.router(&now.topology, &gathering.key.db));
        gathering.backends = now;
    }

    fn is_full(&self) -> bool {
        let (gathering, write) = (self.gathering.borrow(), &self.ingest.config.write);
        let builder = &gathering.builder;
        builder.points() >= write.request_points_max.0 as u64 || builder.bytes() >= write.request_bytes_max.0
    }

    /// `false` once all is sent and nothing more comes.
    async fn wait_until_due(&self) -> bool {
        let write = &self.ingest.config.write;
        loop {
            let due = self.due.listen();
            let (since, points) = {
                let gathering = self.gathering.borrow();
                (gathering.since, gathering.builder.points())
            };
            let Some(since) = since else {
                if self.ending.get() {
                    return false;
                }
                due.await;
                continue;
            };
            let at = since + write.batch_wait;
            let enough = points >= write.batch_points.0 as u64 || self.is_full();
            if self.ending.get() || enough || Instant::now() >= at {
                return true;
            }
            // Either way there is something to look at.
            let _ = deadline(at, due).await;
        }
    }

    /// Takes the batch. It goes by the topology that is in force now, lest what came while an earlier batch was on its
    /// way, for however long, lands where nobody looks any more.
    fn take(&self) -> Option<Taken> {
        let mut gathering = self.gathering.borrow_mut();
        gathering.since.take()?;
        let next = self.ingest.backends.take().unwrap_or_else(|| gathering.backends.clone());
        let router = self.ingest.routes.router(&next.topology, &gathering.key.db);
        let mut batches = gathering.builder.take(router);
        if !Rc::ptr_eq(&gathering.backends, &next) {
            let router = self.ingest.routes.router(&next.topology, &gathering.key.db);
            batches = batches.routed_anew(router, batch_limits(&self.ingest.config.write));
            gathering.backends = next.clone();
        }
        let mut carried = self.ingest.budget.hold();
        carried.add(gathering.builder.carried());
        let held = std::mem::replace(&mut gathering.held, carried);
        Some(Taken { key: gathering.key.clone(), batches: Rc::new(batches), backends: next, held })
    }

    async fn deliver(&self, taken: Taken) {
        let Taken { key, mut batches, mut backends, held } = taken;
        let held = Rc::new(held);
        let (ingest, write) = (&self.ingest, &self.ingest.config.write);
        if ingest.databases.borrow_mut().is_new(&backends, &key.db) {
            create_database(ingest, &backends, &key.db).await;
        }
        let (mut pause, mut splits) = (PAUSE_FIRST, SPLITS_MAX);
        loop {
            let sending = Write {
                key: key.clone(),
                batches: batches.clone(),
                source: self.source,
                consistency: Consistency::Any,
                makes_database: true,
                held: Some(held.clone()),
            };
            let answers = ingest.delivery.send(&backends, &sending).await;
            let mut again = Again::default();
            for (batch, GroupAnswer { answer, .. }) in batches.list.iter().zip(&answers) {
                if !again.takes(batch, answer, &mut splits) {
                    deliver::count(&ingest.stats, batch, answer);
                    ingest.lost.tell_of(&key.db, answer);
                }
            }
            if again.list.is_empty() {
                return;
            }
            if let Some(reason) = &again.failure {
                ingest.stats.stream_resends.add(1);
                ingest.waiting.tell(&key.db, reason);
                if again.lacks_database {
                    create_database(ingest, &backends, &key.db).await;
                }
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_LAST);
            }
            batches = Rc::new(batches.with(again.list));
            // Nobody was told of these points: they need not go where they can no longer go.
            if let Some(now) = ingest.backends.take().filter(|now| !Rc::ptr_eq(now, &backends)) {
                let router = ingest.routes.router(&now.topology, &key.db);
                batches = Rc::new(batches.routed_anew(router, batch_limits(write)));
                backends = now;
            }
        }
    }
}

/// What of a delivery is to be sent again.
#[derive(Default)]
struct Again {
    list: Vec<Batch>,
    /// Groups of which something is: what came behind it follows again, else it would be overwritten by what is older.
    groups: AHashSet<GroupIndex>,
    /// Why, if neither a replica nor its log took something.
    failure: Option<String>,
    lacks_database: bool,
}

impl Again {
    /// Whether the batch is sent again: nobody took it, or it was refused whole, so that it is halved to find the guilty
    /// lines.
    fn takes(&mut self, batch: &Batch, answer: &ReplicaAnswer, splits: &mut usize) -> bool {
        let failure = match answer {
            ReplicaAnswer::Failed(reason) => Some(reason.clone()),
            ReplicaAnswer::Refused { status: 404, error } => Some(error.clone()),
            _ => None,
        };
        let halved = is_refused_whole(answer) && batch.points > 1 && *splits > 0;
        if failure.is_none() && !halved && !self.groups.contains(&batch.group) {
            return false;
        }
        self.groups.insert(batch.group);
        if halved {
            *splits -= 1;
            self.list.extend(batch.halves());
        } else {
            self.list.push(batch.clone());
        }
        // A replica's words, or `Delivery`'s when no replica answers.
        self.lacks_database |= failure.as_ref().is_some_and(|reason| reason.contains("database"));
        self.failure = self.failure.take().or(failure);
        true
    }
}

/// On every replica; one that cannot make it now finds it in its log before the points.
async fn create_database(ingest: &Ingest, backends: &Backends, db: &str) {
    let until = Instant::now() + CREATE_MAX.min(ingest.config.write.timeout);
    let failures = ingest.delivery.create_database(backends, db, until).await;
    if failures.is_empty() {
        tracing::info!(db, "the database is on every replica");
    } else {
        tracing::warn!(db, reason = failures.join("; "), "the database could not be made on every replica");
    }
}

/// Nobody waits for a flow whose task is gone, however it went.
struct Ended<'a>(&'a Flow);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.ended.set(true);
        self.0.taken.notify(usize::MAX);
    }
}

fn write_key(target: &LineTarget) -> WriteKey {
    let (db, rp) = (target.db.as_str().into(), target.rp.as_str().into());
    WriteKey { db, rp, precision: target.precision, consistency: "".into() }
}
