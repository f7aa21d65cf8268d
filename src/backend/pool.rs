//! Connections to a replica for queries and statements: lent for one exchange each, kept while they are good.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Frame;
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::{Request, Response, StatusCode};

use crate::net::{BodyError, Payload, Timer, deadline};

use super::{Connection, Purpose, RequestError, Settings, Target};

/// Connections kept idle for one replica.
const IDLE_MAX: usize = 32;

pub struct Pool {
    target: Rc<Target>,
    settings: Rc<Settings>,
    idle: RefCell<Vec<Connection>>,
}

/// The body of an answer and the connection that it comes over, which goes back to the pool at its end.
pub struct Lent {
    body: Incoming,
    connection: Option<Connection>,
    /// Its head has said how its end is known. What ends with its connection may have been cut: InfluxDB sends nothing so.
    has_end: bool,
    pool: Rc<Pool>,
    /// Silence for so long between two pieces breaks the answer off.
    silence_max: Duration,
    silence: Option<Timer>,
}

impl Pool {
    pub fn new(target: Rc<Target>, settings: Rc<Settings>) -> Rc<Pool> {
        Rc::new(Pool { target, settings, idle: RefCell::default() })
    }

    pub fn target(&self) -> &Rc<Target> {
        &self.target
    }

    pub fn connect_timeout(&self) -> Duration {
        self.settings.limits.connect_timeout
    }

    /// Sends a request and waits for the answer's head. `request` makes it anew for a second try: it may be carried out
    /// twice.
    pub async fn exchange(
        self: &Rc<Pool>,
        request: impl Fn() -> Result<Request<Payload>, http::Error>,
        until: Instant,
    ) -> Result<http::Response<Lent>, RequestError> {
        self.exchange_by(request, until, true).await
    }

    /// The same for what must not be carried out once more, later than its answer.
    pub async fn exchange_once(
        self: &Rc<Pool>,
        request: impl Fn() -> Result<Request<Payload>, http::Error>,
        until: Instant,
    ) -> Result<http::Response<Lent>, RequestError> {
        self.exchange_by(request, until, false).await
    }

    async fn exchange_by(
        self: &Rc<Pool>,
        request: impl Fn() -> Result<Request<Payload>, http::Error>,
        until: Instant,
        repeats: bool,
    ) -> Result<http::Response<Lent>, RequestError> {
        let asked = Instant::now();
        // An answer that has begun may go on for as long as it is not silent.
        match deadline(until, self.exchange_unbounded(request, self.settings.silence_max, repeats)).await {
            Ok(answer) => answer,
            Err(_) => Err(RequestError::TimedOut(asked.elapsed())),
        }
    }

    async fn exchange_unbounded(
        self: &Rc<Pool>,
        request: impl Fn() -> Result<Request<Payload>, http::Error>,
        silence_max: Duration,
        repeats: bool,
    ) -> Result<http::Response<Lent>, RequestError> {
        let prepared = || self.prepared(request().map_err(|error| RequestError::Unreachable(error.to_string()))?);
        let mut connection = match self.take_idle() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut answer = match connection.send_if_open(prepared()?).await {
            Some(answer) => answer,
            // The replica closed an idle connection just then: nothing was sent.
            None => {
                connection = self.connect().await?;
                connection.send(prepared()?).await
            }
        };
        if repeats && matches!(answer, Err(RequestError::Broken(_))) && connection.was_idle() {
            connection = self.connect().await?;
            answer = connection.send(prepared()?).await;
        }
        answer.map(|answer| {
            let has_end = has_end(&answer);
            let (connection, pool) = (Some(connection), self.clone());
            answer.map(|body| Lent { body, connection, has_end, pool, silence_max, silence: None })
        })
    }

    fn prepared(&self, mut request: Request<Payload>) -> Result<Request<Payload>, RequestError> {
        let value = |text: &str| HeaderValue::from_str(text).map_err(|e| RequestError::Unreachable(e.to_string()));
        request.headers_mut().insert(HOST, value(&self.target.host)?);
        if let Some(authorization) = &self.target.authorization {
            request.headers_mut().insert(AUTHORIZATION, value(authorization)?);
        }
        Ok(request)
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(mut connection) = idle.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Connection, RequestError> {
        let limits = &self.settings.limits;
        Connection::open(&self.target, limits.connect_timeout, limits.answer_timeout, Purpose::Queries).await
    }

    fn keep(&self, mut connection: Connection) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX && connection.is_ready() {
            idle.push(connection);
        }
    }
}

fn has_end<B>(answer: &Response<B>) -> bool {
    let headers = answer.headers();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().to_ascii_lowercase().ends_with(b"chunked");
    headers.contains_key(CONTENT_LENGTH)
        || headers.get_all(TRANSFER_ENCODING).iter().next_back().is_some_and(is_chunked)
        || answer.status() == StatusCode::NO_CONTENT
}

impl Lent {
    /// Whether it is known where it ends.
    pub fn has_end(&self) -> bool {
        self.has_end
    }

    /// The whole body, if it is not too long.
    pub async fn whole(self, bytes_max: usize) -> Result<Bytes, RequestError> {
        use http_body_util::BodyExt;
        let mut body = Box::pin(self);
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.map_err(|error| RequestError::Broken(error.0))?.into_data().unwrap_or_default();
            if whole.len() + data.len() > bytes_max {
                return Err(RequestError::TooLarge(bytes_max));
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.into())
    }

    /// The same, by a moment.
    pub async fn whole_by(self, bytes_max: usize, until: Instant) -> Result<Bytes, RequestError> {
        let asked = Instant::now();
        deadline(until, self.whole(bytes_max)).await.unwrap_or_else(|_| Err(RequestError::TimedOut(asked.elapsed())))
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let body = &mut this.body;
        let frame = match &mut this.connection {
            Some(connection) => connection.poll(context, |context| Pin::new(&mut *body).poll_frame(context)),
            None => Pin::new(body).poll_frame(context),
        };
        match frame {
            Poll::Ready(frame) => {
                this.silence = None;
                if frame.is_none() && !this.has_end {
                    return Poll::Ready(Some(Err(BodyError("the answer does not say where it ends".to_owned()))));
                }
                if frame.is_none()
                    && let Some(connection) = this.connection.take()
                {
                    this.pool.keep(connection);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyError(error.to_string()))))
            }
            Poll::Pending => {
                let silence = this.silence.get_or_insert_with(|| Timer::new(this.silence_max));
                ready!(Pin::new(silence).poll(context));
                Poll::Ready(Some(Err(BodyError(format!("silent for {:?}", this.silence_max)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // Never before `poll_frame` has said so: that is where the connection goes back.
        self.connection.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
