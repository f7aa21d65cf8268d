//! One keep-alive HTTP/1.1 connection to a replica.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::panic::catch_unwind;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use glommio::TaskQueueHandle;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue};
use hyper::{Request, Response};

use crate::net::{Heads, Payload, Stream, deadline, elsewhere, spawn};
use crate::topology::Address;

use super::Target;
use super::driver::Driver;

/// Where a replica says that it is there.
pub const PING: &str = "/ping";

/// Answers whose head is larger are garbage.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Of an answer to a query so much is read at once: a panel's whole answer, most often. A connection keeps such a buffer.
const READ_BYTES: usize = 64 * 1024;

/// Why a replica gave no answer.
#[derive(Debug)]
pub enum RequestError {
    /// It was not reached: nothing was sent.
    Unreachable(String),
    /// The connection broke, or the answer was no HTTP; the request may have been carried out.
    Broken(String),
    TimedOut(Duration),
    /// The answer is longer than we hold.
    TooLarge(usize),
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RequestError::Unreachable(reason) => write!(f, "could not be reached: {reason}"),
            RequestError::Broken(reason) => write!(f, "broke off: {reason}"),
            RequestError::TimedOut(after) => write!(f, "did not answer within {after:?}"),
            RequestError::TooLarge(bytes_max) => write!(f, "answered with more than {bytes_max} bytes"),
        }
    }
}

/// What a connection carries.
#[derive(Clone, Copy)]
pub enum Purpose {
    /// Driven by a task of its own in this queue: whoever sends a write may be gone when its answer comes.
    Writes(TaskQueueHandle),
    /// Driven by whoever waits for the answer. That may be MessagePack, in which every byte counts.
    Queries,
}

pub struct Connection {
    sender: SendRequest<Payload>,
    sent: u32,
    /// What is known of the answers' heads, and what the last one was asked for with.
    heads: Rc<RefCell<Heads>>,
    accepted: [Option<HeaderValue>; 2],
    /// `None`: it has a task of its own.
    driver: Option<Driver>,
}

impl Connection {
    pub async fn open(
        target: &Target,
        connect_timeout: Duration,
        stall_max: Duration,
        purpose: Purpose,
    ) -> Result<Connection, RequestError> {
        let unreachable = |reason: String| RequestError::Unreachable(format!("{}: {reason}", target.url));
        let address = resolve(&target.address, connect_timeout).await.map_err(unreachable)?;
        let stream = Stream::connect(address, connect_timeout, stall_max).await;
        let stream = stream.map_err(|error| {
            if error.kind() == ErrorKind::ConnectionRefused {
                target.note_gone();
            }
            unreachable(error.to_string())
        })?;
        let stream = if let Purpose::Writes(_) = purpose { stream.without_nul() } else { stream };
        let mut builder = http1::Builder::new();
        // InfluxDB quotes the client's own control characters in X-Influxdb-Error.
        builder.max_header_size(HEAD_BYTES_MAX).ignore_invalid_headers_in_responses(true);
        match purpose {
            Purpose::Writes(_) => builder.max_buf_size(512 * 1024),
            Purpose::Queries => builder.read_buf_exact_size(Some(READ_BYTES)),
        };
        let heads = stream.heads();
        let handshake = builder.handshake(stream).await;
        let (sender, connection) = handshake.map_err(|error| unreachable(error.to_string()))?;
        let driver = match purpose {
            Purpose::Queries => Some(Driver::new(connection)),
            Purpose::Writes(queue) => {
                spawn("replica connection", queue, async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection to a replica ended");
                    }
                });
                None
            }
        };
        Ok(Connection { sender, sent: 0, heads, accepted: Default::default(), driver })
    }

    /// Waits for something that comes over it.
    pub fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        match &mut self.driver {
            Some(driver) => driver.poll(context, wanted),
            None => wanted(context),
        }
    }

    async fn driven<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        let mut wanted = pin!(wanted);
        poll_fn(|context| self.poll(context, |context| wanted.as_mut().poll(context))).await
    }

    /// An answer that nobody waits for with `driver` is a write's, which is a head alone; so is a ping's.
    fn await_answer(&mut self, request: &Request<Payload>) {
        if request.uri().path() == PING {
            self.heads.borrow_mut().bodiless();
        } else if self.driver.is_some() {
            let accepts = [ACCEPT, ACCEPT_ENCODING].map(|name| request.headers().get(name).cloned());
            self.heads.borrow_mut().awaited(self.accepted == accepts);
            self.accepted = accepts;
        }
    }

    /// Whether a failure of the request just sent may only mean that the replica has closed an idle connection.
    pub fn was_idle(&self) -> bool {
        self.sent > 1
    }

    /// Whether a request can be sent now.
    pub fn is_ready(&mut self) -> bool {
        self.driver.iter_mut().for_each(Driver::settle);
        self.sender.is_ready()
    }

    /// The same; `None` if nothing of the request was sent, since the replica had closed the connection.
    pub async fn send_if_open(
        &mut self,
        request: Request<Payload>,
    ) -> Option<Result<Response<Incoming>, RequestError>> {
        self.await_answer(&request);
        let sending = self.sender.try_send_request(request);
        let answer = self.driven(sending).await;
        self.sent += 1;
        match answer {
            Ok(answer) => Some(Ok(answer)),
            Err(mut refused) => match refused.take_message() {
                Some(_unsent) => None,
                None => Some(Err(RequestError::Broken(with_cause(refused.error())))),
            },
        }
    }

    /// Sends a request; the answer's head.
    pub async fn send(&mut self, request: Request<Payload>) -> Result<Response<Incoming>, RequestError> {
        self.await_answer(&request);
        let sending = self.sender.send_request(request);
        let answer = self.driven(sending).await;
        self.sent += 1;
        answer.map_err(|error| RequestError::Broken(with_cause(&error)))
    }
}

/// Reads a whole answer.
pub async fn read_limited(mut body: Incoming, bytes_max: usize) -> Result<Bytes, RequestError> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| RequestError::Broken(with_cause(&error)))?;
        let Some(data) = frame.data_ref() else { continue };
        if whole.len() + data.len() > bytes_max {
            return Err(RequestError::TooLarge(bytes_max));
        }
        whole.extend_from_slice(data);
    }
    Ok(whole.into())
}

/// hyper's errors name their cause only as their source.
fn with_cause(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Names are looked up on a thread beside the shard, since the lookup blocks.
async fn resolve(address: &Address, timeout: Duration) -> Result<SocketAddr, String> {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, address.port));
    }
    let (host, port) = (address.host.clone(), address.port);
    let lookup = glommio::executor().spawn_blocking(move || {
        // A panic in here would lose that thread.
        catch_unwind(|| (host.as_str(), port).to_socket_addrs().map(|mut found| found.next()))
    });
    match elsewhere(deadline(Instant::now() + timeout, lookup)).await {
        Ok(Ok(Ok(Some(found)))) => Ok(found),
        Ok(Ok(Ok(None))) => Err(format!("{} has no address", address.host)),
        Ok(Ok(Err(error))) => Err(format!("{} could not be looked up: {error}", address.host)),
        Ok(Err(_)) => Err(format!("{} could not be looked up", address.host)),
        Err(_) => Err(format!("looking {} up took longer than {timeout:?}", address.host)),
    }
}
