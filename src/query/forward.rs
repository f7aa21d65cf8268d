//! A request that one group answers alone: one replica is asked, its answer passes through untouched, but for a warning if
//! the replica has still to take points. InfluxDB sends the head of an answer when the query begins: until something of the
//! body has gone to the client, the next replica may still be asked.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::future::{poll_fn, poll_once, yield_now};
use http::response::Parts;
use http_body::{Body as _, Frame};
use hyper::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{Response, StatusCode};

use crate::backend::{Backend, Backends, Lent};
use crate::config::Stale;
use crate::influxql::inspect::Mention;
use crate::influxql::{Query, Statement};
use crate::merge::msgpack::decode;
use crate::net::{Body, BodyError, Held, Payload, deadline};
use crate::topology::{GroupId, GroupIndex};

use super::choose::{self, Behind};
use super::request::Asked;
use super::running::{INTERRUPTED, Registered};
use super::warning::Warning;
use super::{Queries, Refusal, refuse};

/// Headers of a replica's answer that are about its connection, or that we set ourselves.
const OWN_HEADERS: [HeaderName; 6] = [
    CONNECTION,
    TRANSFER_ENCODING,
    CONTENT_LENGTH,
    DATE,
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-request-id"),
];

const JSON: &[u8] = b"application/json";
const CSV: &[u8] = b"text/csv";
const MSGPACK: &[u8] = b"application/x-msgpack";
/// How what InfluxDB says to a query begins to tell its format.
const KINDS: [&[u8]; 3] = [JSON, CSV, MSGPACK];

/// So much of an answer is gathered, if it has come already, before the first of it is sent.
const AT_HAND_BYTES: usize = 64 * 1024;
/// So long the rest of an answer that comes in one go is waited for.
const REST_WAIT: Duration = Duration::from_millis(1);
/// So often the connection may have its turn before the next piece counts as not yet there: it hands them on one by one.
const TURNS: usize = 2;

/// In less time nobody answers.
const TRY_MIN: Duration = Duration::from_millis(1);

/// What is read of a replica's own failure.
const REASON_BYTES_MAX: usize = 4096;

/// Asks one replica after the other until one begins to answer.
pub async fn forward(
    queries: &Rc<Queries>,
    backends: &Backends,
    query: &Query,
    asked: &Asked,
    groups: &[GroupIndex],
    until: Instant,
    place: Held,
) -> Result<Response<Passed>, Refusal> {
    let mut candidates = candidates(queries, backends, groups, || key(&query.statements))?;
    // A warning cannot be set into what is packed.
    let request = |complete| asked.as_written(complete);
    let comes_whole = asked.params.get("chunked") != "true";
    let is_async = asked.params.get("async") == "true";
    let begin = async |first: First| {
        let (head, body) = first.answer.into_parts();
        let name = &first.replica.target.name;
        if head.status == StatusCode::NO_CONTENT && !is_async {
            return Err(format!("replica {name} answered nothing"));
        }
        let warning = first.behind.as_ref().map(|behind| Warning::new(behind.warning()));
        // Nothing is told of no statement.
        let ends = if query.statements.is_empty() { Ends::Anyhow } else { Ends::of(&head) };
        let last = None;
        let mut pieces = Pieces { body, ends, last, warning, ready: VecDeque::new(), ended: None };
        pieces.take_at_hand(comes_whole).await.map_err(|error| format!("replica {name} broke off: {error}"))?;
        Ok((head, pieces, first.behind))
    };
    let begun = first_begun(queries, &mut candidates, &mut Vec::new(), until, request, begin).await?;
    let (head, pieces, behind) = begun;
    let mut response = passed_on(head, Passed { pieces, place, running: None });
    mark_stale(&mut response, behind.as_slice());
    Ok(response)
}

/// Stands behind a text that InfluxDB shall parse and not run: no statement begins so.
const TAIL: &str = "\n;SLOTLINE_ENDS_HERE";
const TAIL_FOUND: &[u8] = b"found SLOTLINE_ENDS_HERE, expected ";

/// What it says about what it alone can judge.
const JUDGED: [&[u8]; 2] = [b"error parsing regexp: ", b"unable to find time zone "];

/// What InfluxDB says when it cannot parse the request as the client wrote it; `None`: it can, or nobody says. `misread`: there
/// is an error behind what it alone can judge, and only its own about that counts. Nothing of the request runs: where a NUL ends
/// the text for InfluxDB, so that it would not see what stands behind it, nobody is asked.
pub async fn parse_error(
    queries: &Queries,
    backends: &Backends,
    asked: &Asked,
    until: Instant,
    misread: bool,
) -> Option<Response<Body>> {
    if asked.params.get("q").contains('\0') {
        return None;
    }
    let groups: Vec<GroupIndex> = backends.topology.group_indexes().collect();
    let mut candidates = candidates(queries, backends, &groups, || asked.params.get("q").to_owned()).ok()?;
    let first = first_answer(queries, &mut candidates, until, |_| asked.followed_by(TAIL)).await.ok()?;
    let (head, body) = first.answer.into_parts();
    if head.status.as_u16() != 400 {
        return None;
    }
    let body = body.whole_by(queries.config.limits.replica_answer_bytes_max.0, until).await.ok()?;
    let says = |words: &[u8]| memchr::memmem::find(&body, words).is_some();
    let is_wrong = if misread { JUDGED.into_iter().any(says) } else { !says(TAIL_FOUND) };
    is_wrong.then(|| passed_on(head, Body::Whole(body)))
}

/// Replicas that may answer, best first, and what to call them all.
pub struct Candidates {
    pub replicas: Vec<Rc<Backend>>,
    groups: Vec<GroupId>,
}

/// The replicas of one or several groups, any of which may answer; `key` decides among several. None of them is complete: an
/// error, if that is not to be answered.
pub fn candidates(
    queries: &Queries,
    backends: &Backends,
    groups: &[GroupIndex],
    key: impl FnOnce() -> String,
) -> Result<Candidates, Refusal> {
    let replicas = choose::in_order(backends, groups, key, &queries.backlogs.load());
    let groups = groups.iter().map(|group| backends.topology.group(*group).id).collect();
    let candidates = Candidates { replicas, groups };
    let behind: Option<Vec<Behind>> = candidates.replicas.iter().map(|replica| queries.behind(replica)).collect();
    match behind {
        Some(behind) if queries.config.query.stale == Stale::Refuse && !behind.is_empty() => {
            Err(refuse_stale(queries, &candidates, behind.iter().map(Behind::to_string).collect()))
        }
        _ => Ok(candidates),
    }
}

fn refuse_stale(queries: &Queries, candidates: &Candidates, reasons: Vec<String>) -> Refusal {
    queries.stats.queries_stale_refused.add(1);
    let ids: Vec<String> = candidates.groups.iter().map(ToString::to_string).collect();
    let of = format!("{} {}", if ids.len() == 1 { "group" } else { "groups" }, ids.join(", "));
    let error = format!("no complete replica of {of} can answer: {} (query.stale)", reasons.join("; "));
    refuse(503, error)
}

/// An answer, and what the replica that gave it has still to take.
pub struct First {
    /// Who gave it.
    pub replica: Rc<Backend>,
    pub answer: Response<Lent>,
    pub behind: Option<Behind>,
}

/// The first answer that begins as it should, which `begin` finds out; it is given up at a moment. `failures` holds what those
/// before had to say.
pub async fn first_begun<T>(
    queries: &Queries,
    candidates: &mut Candidates,
    failures: &mut Vec<String>,
    until: Instant,
    request: impl Fn(bool) -> Result<hyper::Request<Payload>, http::Error>,
    begin: impl AsyncFn(First) -> Result<T, String>,
) -> Result<T, Refusal> {
    loop {
        let first = match first_answer(queries, candidates, until, &request).await {
            Ok(first) => first,
            // Those before broke off.
            Err(refusal) if !failures.is_empty() => {
                if !candidates.replicas.is_empty() {
                    failures.push(refusal.error.strip_prefix(NO_ANSWER).unwrap_or(&refusal.error).to_owned());
                }
                return Err(no_answer(std::mem::take(failures)));
            }
            Err(refusal) => return Err(refusal),
        };
        let (replica, is_stale) = (first.replica.clone(), first.behind.is_some());
        let late = |_| Err(format!("replica {} has not begun its answer in time", replica.target.name));
        match deadline(until, begin(first)).await.unwrap_or_else(late) {
            Ok(begun) => {
                queries.stats.queries_stale.add(u64::from(is_stale));
                return Ok(begun);
            }
            Err(error) => failures.push(error),
        }
        if until.saturating_duration_since(Instant::now()) < TRY_MIN {
            queries.stats.queries_limited_time.add(1);
            failures.push("no time is left (query.timeout)".to_owned());
            return Err(no_answer(std::mem::take(failures)));
        }
        queries.stats.queries_failed_over.add(1);
    }
}

/// The first answer that is not the replica's own failure. `request` makes the request; it hears whether the replica is
/// complete. Left among the candidates are those behind the one that gave it.
pub async fn first_answer(
    queries: &Queries,
    candidates: &mut Candidates,
    until: Instant,
    request: impl Fn(bool) -> Result<hyper::Request<Payload>, http::Error>,
) -> Result<First, Refusal> {
    let mut failures = Vec::new();
    let (mut skipped, mut denied) = (false, false);
    for (at, replica) in candidates.replicas.iter().enumerate() {
        let name = &replica.target.name;
        // As of now: the replica before may have taken long to fail.
        let behind = queries.behind(replica);
        if let Some(behind) = behind.as_ref().filter(|_| queries.config.query.stale == Stale::Refuse) {
            failures.push(behind.to_string());
            skipped = true;
            continue;
        }
        match replica.pool.exchange(|| request(behind.is_none()), until).await {
            Ok(answer) if !is_influxdbs(&answer) => {
                let status = answer.status().as_u16();
                denied |= status == 403;
                let text = answer.into_body().whole_by(REASON_BYTES_MAX, until).await;
                let text = text.unwrap_or_else(|error| error.to_string().into());
                failures.push(format!("replica {name} answered {status}: {}", readable(&text)));
            }
            Ok(answer) => {
                let replica = replica.clone();
                candidates.replicas.drain(..=at);
                return Ok(First { replica, answer, behind });
            }
            Err(error) => failures.push(format!("replica {name} {error}")),
        }
        queries.stats.queries_failed_over.add(1);
    }
    if skipped {
        return Err(refuse_stale(queries, candidates, failures));
    }
    Err(Refusal { denied, ..no_answer(failures) })
}

/// Whether it is an answer to a query, and not that of a replica that cannot give one, or of somebody before it.
fn is_influxdbs(answer: &Response<Lent>) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_known = kind.is_none_or(|kind| KINDS.iter().any(|known| kind.starts_with(known)));
    is_known && answer.body().has_end() && matches!(answer.status().as_u16(), 200 | 204 | 400)
}

/// What an answer that is an error says: its text as it stands, but that of MessagePack, which is none.
pub fn readable(body: &[u8]) -> String {
    let error = decode(body).ok().and_then(|answer| answer.error);
    error.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned())
}

const NO_ANSWER: &str = "no answer: ";

pub fn no_answer(failures: Vec<String>) -> Refusal {
    let reason = if failures.is_empty() { "there is no serving replica".to_owned() } else { failures.join("; ") };
    refuse(503, format!("{NO_ANSWER}{reason}"))
}

/// Names the replicas that have still to take points.
pub fn mark_stale<B>(response: &mut Response<B>, behind: &[Behind]) {
    let names: Vec<&str> = behind.iter().map(|behind| behind.replica.as_str()).collect();
    if let (false, Ok(names)) = (names.is_empty(), HeaderValue::from_str(&names.join(","))) {
        response.headers_mut().insert("x-slotline-stale", names);
    }
}

/// What decides which replica is asked: the first measurement.
pub fn key(statements: &[Statement]) -> String {
    let mut key = String::new();
    for statement in statements {
        statement.visit_measurements(&mut |mention| {
            if let (true, Mention::Source(measurement)) = (key.is_empty(), mention) {
                key = measurement.to_string();
            }
        });
    }
    key
}

/// A replica's answer as our own.
pub fn passed_on<B>(mut head: Parts, body: B) -> Response<B> {
    OWN_HEADERS.iter().for_each(|name| drop(head.headers.remove(name)));
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// An answer that keeps its place among the queries at once until it has ended. Killed before, it is cut, so that what was
/// sent looks like no whole answer.
pub struct Passed {
    pieces: Pieces,
    #[expect(dead_code, reason = "held, not read")]
    place: Held,
    running: Option<Run>,
}

/// Of the running query that a body belongs to.
struct Run {
    killed: Pin<Box<dyn Future<Output = ()>>>,
    #[expect(dead_code, reason = "held, not read")]
    registered: Registered,
}

/// How a whole answer ends, whatever its length was said to be.
#[derive(Clone, Copy)]
enum Ends {
    /// With a newline. JSON has no other, but where it is indented or comes in chunks.
    WithNewline,
    /// The same, unless there is nothing to tell.
    EmptyOrWithNewline,
    NotEmpty,
    Anyhow,
}

impl Ends {
    fn of(head: &Parts) -> Ends {
        let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        match () {
            () if head.status != StatusCode::OK || head.headers.contains_key(CONTENT_ENCODING) => Ends::Anyhow,
            () if kind.starts_with(JSON) => Ends::WithNewline,
            () if kind.starts_with(CSV) => Ends::EmptyOrWithNewline,
            () if kind.starts_with(MSGPACK) => Ends::NotEmpty,
            () => Ends::Anyhow,
        }
    }

    /// Whether an answer may end behind this byte; `None`: it is empty.
    fn may_end(self, last: Option<u8>) -> bool {
        match self {
            Ends::WithNewline => last == Some(b'\n'),
            Ends::EmptyOrWithNewline => last.is_none_or(|last| last == b'\n'),
            Ends::NotEmpty => last.is_some(),
            Ends::Anyhow => true,
        }
    }
}

/// A replica's answer as it comes.
struct Pieces {
    body: Lent,
    ends: Ends,
    /// The last byte that has come.
    last: Option<u8>,
    /// That the replica has still to take points.
    warning: Option<Warning>,
    /// What has been read, and been through `warning`.
    ready: VecDeque<Bytes>,
    /// How `body` has ended, behind what is ready.
    ended: Option<Result<(), BodyError>>,
}

impl Pieces {
    /// Waits for the first piece and reads what has come with it, at most about `AT_HAND_BYTES`: a short answer leaves as a
    /// whole, its head with it. One that `comes_whole` is sent by InfluxDB in one go: its end is soon there.
    ///
    /// # Errors
    /// It broke off.
    async fn take_at_hand(&mut self, comes_whole: bool) -> Result<(), String> {
        poll_fn(|context| self.poll_piece(context)).await;
        if comes_whole {
            let rest = async {
                while self.is_short() {
                    poll_fn(|context| self.poll_piece(context)).await;
                }
            };
            // Late, it is passed on as it comes.
            let _ = deadline(Instant::now() + REST_WAIT, rest).await;
        } else {
            let mut turns = TURNS;
            while turns > 0 && self.is_short() {
                if poll_once(poll_fn(|context| self.poll_piece(context))).await.is_some() {
                    turns = TURNS;
                } else {
                    turns -= 1;
                    yield_now().await;
                }
            }
        }
        match &self.ended {
            Some(Err(error)) => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    /// Whether more may be gathered.
    fn is_short(&self) -> bool {
        self.ended.is_none() && self.ready.iter().map(Bytes::len).sum::<usize>() < AT_HAND_BYTES
    }

    /// One more piece of the replica's, or its end.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.last = data.and_then(|data| data.last().copied()).or(self.last);
        match (frame, &mut self.warning) {
            // Trailers, which InfluxDB does not send, are left out.
            (Some(Ok(frame)), Some(warning)) => warning.push(frame.into_data().unwrap_or_default(), &mut self.ready),
            (Some(Ok(frame)), None) => self.ready.extend(frame.into_data()),
            (Some(Err(error)), _) => self.ended = Some(Err(error)),
            (None, _) if !self.ends.may_end(self.last) => {
                self.ended = Some(Err(BodyError("the answer ends in the middle".to_owned())));
            }
            (None, warning) => {
                warning.iter_mut().for_each(|warning| warning.finish(&mut self.ready));
                self.ended = Some(Ok(()));
            }
        }
        Poll::Ready(())
    }
}

impl Passed {
    /// The query runs until its body has ended.
    pub fn of(mut self, registered: Registered) -> Body {
        if let Some(Ok(())) = self.pieces.ended {
            return Body::Pieces(Payload::new(self.pieces.ready.drain(..)));
        }
        let running = Some(Run { killed: Box::pin(registered.killed()), registered });
        Body::Stream(Box::pin(Passed { running, ..self }))
    }
}

impl http_body::Body for Passed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.running.as_mut().is_some_and(|run| run.killed.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Some(Err(BodyError(INTERRUPTED.to_owned()))));
        }
        let pieces = &mut this.pieces;
        while pieces.ready.is_empty() && pieces.ended.is_none() {
            ready!(pieces.poll_piece(context));
        }
        Poll::Ready(match pieces.ready.pop_front() {
            Some(piece) => Some(Ok(Frame::data(piece))),
            None => pieces.ended.replace(Ok(())).and_then(|ended| ended.err()).map(Err),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.ready.is_empty() && matches!(self.pieces.ended, Some(Ok(())))
    }
}
