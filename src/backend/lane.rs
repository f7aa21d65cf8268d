//! A lane: one connection to a replica with one write in flight. What arrives meanwhile shares the next request.
//!
//! Batches share a request when database, retention policy and precision agree and none is open-ended. A 400 for a
//! shared request is resolved by sending its batches again half by half, before anything later of the lane, so that
//! only the guilty client hears of it; that client's writes then travel alone for a while. Sending good points twice is
//! harmless: they carry their timestamps.
//!
//! A lane sends nothing once its replica's gate is closed, and closes it when a write fails.
//!
//! Limits: `write.queue_bytes_max` waiting in a lane, `write.request_bytes_max` and `_points_max` a request,
//! `write.hard_timeout` for an answer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Instant;

use ahash::AHashMap;
use event_listener::Event;
use glommio::TaskQueueHandle;

use crate::batch::{Batch, Batches, ClientAnswer, ReplicaAnswer, Run, is_refused_whole, merge};
use crate::gate::DirectPass;
use crate::lineprotocol::Precision;
use crate::net::{Held, spawn_loop};

use super::{Courier, Reply, Settings, Target};

/// Sources that travel alone; the oldest are forgotten beyond that.
const ALONE_MAX: usize = 1024;

/// What batches must agree in to share a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteKey {
    pub db: Rc<str>,
    pub rp: Rc<str>,
    pub precision: Precision,
    /// Passed on only when InfluxDB shall refuse it; empty otherwise.
    pub consistency: Rc<str>,
}

/// One batch on its way to one replica.
pub struct Item {
    pub key: WriteKey,
    /// The batch is `batches.list[index]`.
    pub batches: Rc<Batches>,
    pub index: usize,
    /// The connection that it came from: stays on its lane.
    pub source: u64,
    pub reply: Reply,
    /// Held until the replica has answered, or can answer no more.
    pub pass: DirectPass,
    /// The memory that it needs, as long as it is here.
    pub held: Option<Rc<Held>>,
}

impl Item {
    fn batch(&self) -> &Batch {
        &self.batches.list[self.index]
    }
}

pub struct Lane {
    courier: Courier,
    settings: Rc<Settings>,
    waiting: RefCell<VecDeque<Item>>,
    waiting_bytes: Cell<usize>,
    arrived: Event,
    /// Nobody can submit any more.
    closed: Cell<bool>,
    alone: RefCell<AHashMap<u64, Instant>>,
}

impl Lane {
    /// Starts the lane's task; it runs until the lane is closed and empty.
    pub fn start(target: Rc<Target>, settings: Rc<Settings>, queue: TaskQueueHandle) -> Rc<Lane> {
        let lane = Rc::new(Lane {
            courier: Courier::new(target, settings.clone(), queue),
            settings,
            waiting: RefCell::default(),
            waiting_bytes: Cell::new(0),
            arrived: Event::new(),
            closed: Cell::new(false),
            alone: RefCell::default(),
        });
        let running = lane.clone();
        spawn_loop("lane", queue, move || {
            let lane = running.clone();
            async move { lane.run_once().await }
        });
        lane
    }

    /// What waits is still sent; then the lane's task ends.
    pub fn close(&self) {
        self.closed.set(true);
        self.arrived.notify(1);
    }

    /// Takes an item, or answers it at once when too many wait.
    pub fn submit(&self, item: Item) {
        let bytes = item.batch().bytes;
        if self.waiting_bytes.get() + bytes > self.settings.write.queue_bytes_max.0 {
            self.target().stats.queue_refusals.add(1);
            self.reply(item, &self.fail("has too many writes waiting (write.queue_bytes_max)"));
            return;
        }
        self.waiting_bytes.set(self.waiting_bytes.get() + bytes);
        self.waiting.borrow_mut().push_back(item);
        self.arrived.notify(1);
    }

    fn target(&self) -> &Target {
        &self.courier.target
    }

    /// A replica that does not take a write gets nothing more directly: what follows waits in its log.
    fn fail(&self, reason: &str) -> ReplicaAnswer {
        self.target().close_gate(reason);
        self.courier.failed(reason)
    }

    async fn run_once(&self) -> ControlFlow<()> {
        let Some(gathered) = self.gather().await else { return ControlFlow::Break(()) };
        let mut unsent = vec![gathered];
        while let Some(mut items) = unsent.pop() {
            items.retain(|item| !item.reply.is_canceled());
            if items.is_empty() {
                continue;
            }
            let (status, answer) = self.post(&items).await;
            if let ReplicaAnswer::Failed(reason) = &answer {
                self.target().close_gate(reason);
            }
            // Somebody's lines are bad, or all together are too long for the replica: each half for itself.
            if items.len() > 1 && (matches!(status, 400 | 413) || is_refused_whole(&answer)) {
                let behind = items.split_off(items.len() / 2);
                unsent.extend([behind, items]);
                continue;
            }
            items.into_iter().for_each(|item| self.reply(item, &answer));
        }
        ControlFlow::Continue(())
    }

    /// Waits for an item; it and whatever may share its request, in order of arrival. `None`: there will be none.
    async fn gather(&self) -> Option<Vec<Item>> {
        loop {
            let arrival = self.arrived.listen();
            let gathered = self.take_waiting();
            if !gathered.is_empty() {
                return Some(gathered);
            }
            if self.closed.get() {
                return None;
            }
            arrival.await;
        }
    }

    fn take_waiting(&self) -> Vec<Item> {
        let mut waiting = self.waiting.borrow_mut();
        let mut gathered: Vec<Item> = Vec::new();
        let (mut bytes, mut points) = (0, 0);
        let mut at = 0;
        while at < waiting.len() {
            let item = &waiting[at];
            let batch = item.batch();
            // Its client has given up and was told that it is not acknowledged.
            let abandoned = item.reply.is_canceled();
            if !abandoned && let Some(first) = gathered.first() {
                if first.key != item.key || self.travels_alone(item) {
                    at += 1;
                    continue;
                }
                let write = &self.settings.write;
                let full = bytes + batch.bytes > write.request_bytes_max.0
                    || points + batch.points as usize > write.request_points_max.0;
                // Smaller ones behind it must not overtake it: they may be of the same request.
                if full {
                    break;
                }
            }
            let (item_bytes, item_points) = (batch.bytes, batch.points as usize);
            // `at` is within the queue.
            let Some(item) = waiting.remove(at) else { break };
            self.waiting_bytes.set(self.waiting_bytes.get() - item_bytes);
            if abandoned {
                continue;
            }
            let alone = gathered.is_empty() && self.travels_alone(&item);
            bytes += item_bytes;
            points += item_points;
            gathered.push(item);
            if alone {
                break;
            }
        }
        gathered
    }

    fn travels_alone(&self, item: &Item) -> bool {
        item.batch().open || self.suspects(item.source)
    }

    /// Whether something of this source was refused lately.
    pub fn suspects(&self, source: u64) -> bool {
        self.alone.borrow().get(&source).is_some_and(|until| *until > Instant::now())
    }

    fn reply(&self, item: Item, answer: &ReplicaAnswer) {
        match answer {
            ReplicaAnswer::Stored => self.target().stats.points_acked.add(u64::from(item.batch().points)),
            ReplicaAnswer::Refused { .. } => self.suspect(item.source),
            ReplicaAnswer::Failed(_) | ReplicaAnswer::Spooled => {}
        }
        // The client may have given up.
        let _ = item.reply.send(answer.clone());
    }

    fn suspect(&self, source: u64) {
        let mut alone = self.alone.borrow_mut();
        if alone.len() >= ALONE_MAX {
            let now = Instant::now();
            alone.retain(|_, until| *until > now);
            if alone.len() >= ALONE_MAX {
                alone.clear();
            }
        }
        alone.insert(source, Instant::now() + self.settings.write.alone_for);
    }

    /// One request with all the items' points: the status (0: none came) and what it means.
    async fn post(&self, items: &[Item]) -> (u16, ReplicaAnswer) {
        if !self.target().stats.gate.is_open() {
            return (0, self.courier.failed("has its writes wait in its spool"));
        }
        let pieces = || items.iter().flat_map(|item| &item.batch().pieces).cloned().collect();
        // An item is always there: `gather` returns at least one.
        let began = Instant::now();
        let (status, answer) = self.courier.write(&items[0].key, pieces).await;
        if status != 0 {
            self.target().stats.writes.record(began.elapsed());
        }
        match items {
            [item] if status == 413 && item.batch().points > 1 && !item.batch().open => {
                (0, self.post_in_parts(&item.key, item.batch()).await)
            }
            _ => (status, answer),
        }
    }

    /// A batch that is too long for the replica, piece by piece.
    async fn post_in_parts(&self, key: &WriteKey, batch: &Batch) -> ReplicaAnswer {
        let (mut list, mut answers) = (Vec::new(), Vec::new());
        let mut unsent: Vec<Batch> = batch.halves().into_iter().rev().collect();
        while let Some(part) = unsent.pop() {
            let (status, answer) = self.courier.write(key, || part.pieces.clone()).await;
            match answer {
                ReplicaAnswer::Failed(_) => return answer,
                _ if status == 413 && part.points > 1 => unsent.extend(part.halves().into_iter().rev()),
                answer => {
                    list.push(part);
                    answers.push(answer);
                }
            }
        }
        let runs = vec![Run { group: batch.group, lines: batch.points, stamped: false }];
        let parts = Batches { list, runs, stamp: String::new(), points: u64::from(batch.points) };
        match merge(&parts, &answers) {
            ClientAnswer { error: None, .. } => ReplicaAnswer::Stored,
            ClientAnswer { status, error: Some(error) } => ReplicaAnswer::Refused { status, error },
        }
    }
}
