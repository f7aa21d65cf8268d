//! One connection for writes to a replica, made when it is needed and kept while it is good.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use glommio::TaskQueueHandle;
use hyper::Request;
use hyper::header::{AUTHORIZATION, HOST};

use crate::batch::{ReplicaAnswer, read_answer};
use crate::http::{error_of, params};
use crate::net::{Payload, deadline, sleep};

use super::{Connection, Purpose, RequestError, Settings, Target, WriteKey, read_limited};

/// So long after a failure to connect the next attempt comes.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Carries one request at a time.
pub struct Courier {
    pub target: Rc<Target>,
    settings: Rc<Settings>,
    queue: TaskQueueHandle,
    connection: RefCell<Option<Connection>>,
    /// When connecting may be tried again, after it has failed.
    retry_at: Cell<Option<Instant>>,
}

impl Courier {
    pub fn new(target: Rc<Target>, settings: Rc<Settings>, queue: TaskQueueHandle) -> Courier {
        Courier { target, settings, queue, connection: RefCell::default(), retry_at: Cell::new(None) }
    }

    /// One write: the status (0: none came) and what it means. After `write.hard_timeout` its connection is cut.
    pub async fn write(&self, key: &WriteKey, pieces: impl Fn() -> Vec<Bytes>) -> (u16, ReplicaAnswer) {
        let query = params::encode(&[
            ("db", &key.db),
            ("rp", &key.rp),
            ("precision", key.precision.as_str()),
            ("consistency", &key.consistency),
        ]);
        let request = || Request::post(format!("/write?{query}")).body(Payload::new(pieces().into_iter()));
        let sent = self.send(request).await;
        if let Ok((status, body)) = &sent {
            self.target.note_answer(*status, body, self.settings.write.hard_timeout);
        }
        let is_unreachable = matches!(sent, Err(RequestError::Unreachable(_)));
        let (status, answer) = match sent {
            Ok((status, body)) => (status, read_answer(&self.target.name, status, &body)),
            Err(error) => (0, self.failed(&error.to_string())),
        };
        self.note(is_unreachable, &answer);
        (status, answer)
    }

    /// One request and its whole answer. After `write.hard_timeout` its connection is cut.
    pub async fn send(
        &self,
        request: impl Fn() -> Result<Request<Payload>, http::Error>,
    ) -> Result<(u16, Vec<u8>), RequestError> {
        let timeout = self.settings.write.hard_timeout;
        self.target.stats.requests.add(1);
        let sent = deadline(Instant::now() + timeout, self.exchange(&request)).await;
        match sent {
            Ok(sent) => sent.inspect_err(|error| self.target.note_unknown(error, timeout)),
            Err(_) => {
                // So long was waited for it.
                let error = RequestError::TimedOut(timeout);
                self.target.note_unknown(&error, Duration::ZERO);
                Err(error)
            }
        }
    }

    pub fn failed(&self, reason: &str) -> ReplicaAnswer {
        ReplicaAnswer::Failed(format!("replica {} {reason}", self.target.name))
    }

    /// What a write tells of the replica's health: one that is reached may be slow or sick, but is not down.
    fn note(&self, is_unreachable: bool, answer: &ReplicaAnswer) {
        let (stats, replica) = (&self.target.stats, &self.target.name);
        match answer {
            ReplicaAnswer::Failed(reason) => {
                stats.request_failures.add(1);
                if is_unreachable && stats.set_up(false) {
                    tracing::warn!(%replica, reason, "replica is down: a write failed");
                }
            }
            _ => {
                if stats.set_up(true) {
                    tracing::info!(%replica, "replica is up: it takes writes");
                }
            }
        }
    }

    async fn exchange(
        &self,
        request: &impl Fn() -> Result<Request<Payload>, http::Error>,
    ) -> Result<(u16, Vec<u8>), RequestError> {
        let prepared = || {
            let mut request = request().map_err(unsendable)?;
            let headers = request.headers_mut();
            headers.insert(HOST, self.target.host.parse().map_err(unsendable)?);
            if let Some(authorization) = &self.target.authorization {
                headers.insert(AUTHORIZATION, authorization.parse().map_err(unsendable)?);
            }
            Ok(request)
        };
        let kept = self.connection.borrow_mut().take();
        let kept = kept.and_then(|mut kept| kept.is_ready().then_some(kept));
        let mut connection = match kept {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let answer = match connection.send_if_open(prepared()?).await {
            Some(answer) => answer,
            // The replica closed an idle connection just then. Had it got the request, it might carry it out later still.
            None => {
                connection = self.connect().await?;
                connection.send(prepared()?).await
            }
        };
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
        let purpose = Purpose::Writes(self.queue);
        let opened = Connection::open(&self.target, timeout, self.settings.write.hard_timeout, purpose).await;
        self.retry_at.set(opened.is_err().then(|| Instant::now() + RETRY_AFTER));
        opened
    }
}

/// Milliseconds, from 1 on.
fn clock_ms() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    1 + u64::try_from(BEGAN.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX - 1)
}

impl Target {
    /// A request has failed that the replica may carry out all the same, within `at_most`, whatever stands between.
    pub fn note_unknown(&self, error: &RequestError, at_most: Duration) {
        match error {
            RequestError::Unreachable(_) => return,
            RequestError::TimedOut(_) => self.note_slow(),
            RequestError::Broken(_) | RequestError::TooLarge(_) => {}
        }
        self.unknown_for(at_most);
    }

    /// An answer that says that somebody has given up waiting: what was asked may still be done.
    fn note_answer(&self, status: u16, body: &[u8], at_most: Duration) {
        let timed_out = || error_of(body).is_some_and(|error| error == "timeout");
        if matches!(status, 502 | 504) || (status == 500 && timed_out()) {
            self.unknown_for(at_most);
        }
    }

    fn unknown_for(&self, at_most: Duration) {
        let at_most = u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX);
        let until = clock_ms().saturating_add(at_most);
        self.stats.unknown_until_ms.set(until.max(self.stats.unknown_until_ms.get()));
    }

    /// It has not answered in time: it may carry out whatever it was sent, once it goes on.
    pub fn note_slow(&self) {
        self.stats.cut_ms.set(clock_ms());
    }

    /// Nobody listens there: whoever had a request of ours is gone, and it with him.
    pub fn note_gone(&self) {
        self.stats.unknown_until_ms.set(0);
        self.stats.cut_ms.set(0);
    }

    /// Whether a request whose connection broke may still be carried out.
    pub fn has_unknown(&self) -> bool {
        clock_ms() < self.stats.unknown_until_ms.get()
    }
}

/// Only a db, rp or host of tens of kilobytes could make it fail.
fn unsendable(error: impl std::fmt::Display) -> RequestError {
    RequestError::Unreachable(error.to_string())
}
