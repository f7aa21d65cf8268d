//! A lane: one connection to a replica with one write in flight. What arrives meanwhile shares the next request.
//!
//! Batches share a request when database, retention policy and precision agree and none is open-ended. A 400 for a
//! shared request is resolved by sending its batches again half by half, before anything later of the lane, so that
//! only the guilty client hears of it; that client's writes then travel alone for a while. Sending good points twice is
//! harmless: they carry their timestamps.
//!
//! Limits: `write.queue_bytes_max` waiting, `write.request_bytes_max` and `_points_max` a request,
//! `write.hard_timeout` for an answer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use event_listener::Event;
use glommio::TaskQueueHandle;
use glommio::timer::sleep;
use hyper::Request;
use hyper::header::{AUTHORIZATION, HOST};

use crate::batch::{Batch, Batches, ReplicaAnswer, read_answer};
use crate::http::params;
use crate::lineprotocol::Precision;
use crate::net::{Payload, deadline, spawn_loop};

use super::{Connection, Purpose, Reply, RequestError, Settings, Target, read_limited};

/// So long after a failure to connect the next attempt comes.
const RETRY_AFTER: Duration = Duration::from_millis(100);
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
}

impl Item {
    fn batch(&self) -> &Batch {
        &self.batches.list[self.index]
    }
}

pub struct Lane {
    target: Rc<Target>,
    settings: Rc<Settings>,
    queue: TaskQueueHandle,
    waiting: RefCell<VecDeque<Item>>,
    waiting_bytes: Cell<usize>,
    arrived: Event,
    /// Nobody can submit any more.
    closed: Cell<bool>,
    /// When the request in flight was sent.
    in_flight_since: Cell<Option<Instant>>,
    /// When connecting may be tried again, after it has failed.
    retry_at: Cell<Option<Instant>>,
    connection: RefCell<Option<Connection>>,
    alone: RefCell<AHashMap<u64, Instant>>,
}

impl Lane {
    /// Starts the lane's task; it runs until the lane is closed and empty.
    pub fn start(target: Rc<Target>, settings: Rc<Settings>, queue: TaskQueueHandle) -> Rc<Lane> {
        let lane = Rc::new(Lane {
            target,
            settings,
            queue,
            waiting: RefCell::default(),
            waiting_bytes: Cell::new(0),
            arrived: Event::new(),
            closed: Cell::new(false),
            in_flight_since: Cell::new(None),
            retry_at: Cell::new(None),
            connection: RefCell::default(),
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

    /// Takes an item, or answers it at once when the replica is too far behind.
    pub fn submit(&self, item: Item) {
        let bytes = item.batch().bytes;
        let overdue = self.in_flight_since.get().map(|since| since.elapsed());
        let refusal = match overdue.filter(|since| *since > self.settings.write.timeout) {
            Some(since) => Some(format!("has not answered for {:.0?}", since)),
            None if self.waiting_bytes.get() + bytes > self.settings.write.queue_bytes_max.0 => {
                Some("has too many writes waiting (write.queue_bytes_max)".to_owned())
            }
            None => None,
        };
        match refusal {
            Some(reason) => {
                self.target.stats.queue_refusals.add(1);
                self.reply(item, &self.failed(&reason));
            }
            None => {
                self.waiting_bytes.set(self.waiting_bytes.get() + bytes);
                self.waiting.borrow_mut().push_back(item);
                self.arrived.notify(1);
            }
        }
    }

    async fn run_once(&self) -> ControlFlow<()> {
        self.in_flight_since.set(None);
        let Some(gathered) = self.gather().await else { return ControlFlow::Break(()) };
        let mut unsent = vec![gathered];
        while let Some(mut items) = unsent.pop() {
            items.retain(|item| !item.reply.is_canceled());
            if items.is_empty() {
                continue;
            }
            let (status, answer) = self.post(&items).await;
            // Somebody's lines are bad, or all together are too long for the replica: each half for itself.
            if items.len() > 1 && matches!(status, 400 | 413) {
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
        let suspect = || self.alone.borrow().get(&item.source).is_some_and(|until| *until > Instant::now());
        item.batch().open || suspect()
    }

    fn reply(&self, item: Item, answer: &ReplicaAnswer) {
        match answer {
            ReplicaAnswer::Stored => self.target.stats.points_acked.add(u64::from(item.batch().points)),
            ReplicaAnswer::Refused { .. } => self.suspect(item.source),
            ReplicaAnswer::Failed(_) => {}
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

    fn failed(&self, reason: &str) -> ReplicaAnswer {
        ReplicaAnswer::Failed(format!("replica {} {reason}", self.target.name))
    }

    /// One request with all the items' points: the status (0: none came) and what it means.
    async fn post(&self, items: &[Item]) -> (u16, ReplicaAnswer) {
        let sent = Instant::now();
        self.in_flight_since.set(Some(sent));
        let stats = &self.target.stats;
        stats.requests.add(1);
        let timeout = self.settings.write.hard_timeout;
        let answered = deadline(sent + timeout, self.exchange(items)).await;
        self.in_flight_since.set(None);
        let (status, answer) = match answered {
            Ok(Ok((status, body))) => (status, read_answer(&self.target.name, status, &body)),
            Ok(Err(error)) => (0, self.failed(&error.to_string())),
            Err(_) => (0, self.failed(&RequestError::TimedOut(timeout).to_string())),
        };
        match &answer {
            ReplicaAnswer::Failed(reason) => {
                stats.request_failures.add(1);
                if status == 0 && stats.set_up(false) {
                    tracing::warn!(replica = %self.target.name, reason, "replica is down: a write failed");
                }
            }
            _ => {
                if stats.set_up(true) {
                    tracing::info!(replica = %self.target.name, "replica is up: it takes writes");
                }
            }
        }
        (status, answer)
    }

    async fn exchange(&self, items: &[Item]) -> Result<(u16, Vec<u8>), RequestError> {
        let kept = self.connection.borrow_mut().take().filter(Connection::is_ready);
        let mut connection = match kept {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let mut answer = connection.send(self.request(items)?).await;
        if matches!(answer, Err(RequestError::Broken(_))) && connection.was_idle() {
            // The replica closed an idle connection just then. The points carry their times: twice is as once.
            connection = self.connect().await?;
            answer = connection.send(self.request(items)?).await;
        }
        let answer = answer?;
        let status = answer.status().as_u16();
        let body = match read_limited(answer.into_body(), self.settings.limits.replica_answer_bytes_max.0).await {
            Ok(body) => body.to_vec(),
            // Its class is known by its status; to hear it all would only cost memory.
            Err(RequestError::TooLarge(max)) if status == 400 => {
                return Ok((status, format!("{{\"error\":\"an error text of more than {max} bytes\"}}").into_bytes()));
            }
            Err(error) => return Err(error),
        };
        *self.connection.borrow_mut() = Some(connection);
        Ok((status, body))
    }

    async fn connect(&self) -> Result<Connection, RequestError> {
        if let Some(at) = self.retry_at.get() {
            sleep(at.saturating_duration_since(Instant::now())).await;
        }
        let timeout = self.settings.limits.connect_timeout;
        let opened =
            Connection::open(&self.target, timeout, self.settings.write.hard_timeout, self.queue, Purpose::Writes)
                .await;
        self.retry_at.set(opened.is_err().then(|| Instant::now() + RETRY_AFTER));
        opened
    }

    fn request(&self, items: &[Item]) -> Result<Request<Payload>, RequestError> {
        // An item is always there: `gather` returns at least one.
        let key = &items[0].key;
        let query = params::encode(&[
            ("db", &key.db),
            ("rp", &key.rp),
            ("precision", key.precision.as_str()),
            ("consistency", &key.consistency),
        ]);
        let mut request = Request::post(format!("/write?{query}")).header(HOST, &self.target.host);
        if let Some(authorization) = &self.target.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let pieces = items.iter().flat_map(|item| &item.batch().pieces).cloned();
        // Only a db, rp or host of tens of kilobytes could make it fail.
        request.body(Payload::new(pieces)).map_err(|error| RequestError::Unreachable(error.to_string()))
    }
}
