//! A request that is taken apart: its statements run one after the other, each at the place that its plan says, and their
//! results go on as they come.
//!
//! As in InfluxDB, a statement that fails ends the request: what was to come behind it is not executed. An answer in chunks
//! is told while it is made (a task fills the body), any other is held until it is whole. A client that leaves drops the task,
//! and with it every part that was asked for.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as Waking, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_channel::mpsc;
use futures_lite::Stream;
use futures_lite::future::{self, poll_fn, poll_once};
use glommio::Task;
use http_body::Frame;
use hyper::Response;

use crate::backend::Backends;
use crate::http::gzip::Packer;
use crate::influxql::{Query, Statement};
use crate::merge::emit::{Emitter, not_executed};
use crate::merge::format::Format;
use crate::merge::results::{Message, NO_STATEMENT, Series, StatementResult, parse};
use crate::net::{Body, BodyError, Held, apart, deadline, spawn_kept};
use crate::plan::Place;
use crate::topology::GroupIndex;

use super::beside::beside;
use super::choose::Behind;
use super::forward::mark_stale;
use super::output::Output;
use super::partials::{Ask, Partial, Times, in_zone};
use super::request::Asked;
use super::running::{INTERRUPTED, Registered};
use super::timeshift::{Aside, Operands, Shifts, Telling};
use super::{Queries, Refusal, execute, fails, into, refuse, select, show, timed, timeshift};

/// What every statement of a request runs with.
pub struct Context {
    pub queries: Rc<Queries>,
    pub backends: Rc<Backends>,
    pub asked: Rc<Asked>,
    /// What InfluxDB does not know.
    pub shifts: Rc<Shifts>,
    pub until: Instant,
    /// One moment for all parts of all statements, in nanoseconds since 1970.
    pub now_ns: i64,
    /// Among the running queries, as long as this one runs.
    pub registered: Registered,
    /// Of what it writes.
    pub source: u64,
}

/// Runs the statements; `place` is kept until the answer has ended.
pub async fn answer(
    context: Context,
    query: Arc<Query>,
    places: Vec<Place>,
    place: Held,
) -> Result<Response<Body>, Refusal> {
    let output = Output::new(&context.asked);
    if context.asked.params.get("chunked") != "true" {
        let queries = context.queries.clone();
        let mut running = Running::new(context, query, output, None);
        running.run(places).await?;
        let Running { mut output, results, results_bytes, behind, .. } = running;
        let (output, whole) = beside(&queries, results_bytes, move || {
            let whole = output.whole(results);
            (output, whole)
        })
        .await?;
        drop(place);
        let mut response = output.respond(Body::Whole(whole));
        mark_stale(&mut response, &behind);
        return Ok(response);
    }
    let (to_client, mut pieces) = mpsc::channel::<Piece>(1);
    let begin = output.respond(Body::Whole(Bytes::new()));
    let queries = context.queries.clone();
    let (sender, packing) = if output.takes_gzip() {
        let (sender, plain) = mpsc::channel::<Piece>(1);
        (sender, Some(pack(queries.clone(), plain, to_client)))
    } else {
        (to_client, None)
    };
    let telling = async move {
        let mut running = Running::new(context, query, output, Some(sender));
        let ran = running.run(places).await;
        drop(place);
        if let (Err(refusal), true) = (&ran, running.begun) {
            // The head is out.
            let error = running.output.error(&refusal.error);
            running.send(error).await;
        }
        let Some(sender) = &mut running.sender else { return };
        match ran {
            Err(refusal) if !running.begun => send(sender, Piece::Refused(refusal)).await,
            _ => send(sender, Piece::End).await,
        }
    };
    let telling = apart(|| async move {
        match packing {
            // A statement that is broken off breaks no piece off.
            Some(packing) => drop(future::zip(telling, packing).await),
            None => telling.await,
        }
    });
    let task = spawn_kept("query", queries.queue, timed(queries, telling));
    // What comes first decides on the head.
    let (first, behind) = match poll_fn(|context| Pin::new(&mut pieces).poll_next(context)).await {
        Some(Piece::Refused(refusal)) => return Err(refusal),
        Some(Piece::Bytes(bytes, behind)) => (Some(bytes), behind),
        Some(Piece::End) => return Ok(begin),
        None => return Err(refuse(500, BROKE_OFF)),
    };
    let mut response = begin.map(|_| Body::Stream(Box::pin(Told { first, pieces, ended: false, task })));
    mark_stale(&mut response, &behind);
    Ok(response)
}

/// What a running request tells.
enum Piece {
    /// Some of the body, and the replicas behind what was told so far.
    Bytes(Bytes, Vec<Behind>),
    /// There is no answer. Only ever the first.
    Refused(Refusal),
    /// That was all. Without it the answer is not whole.
    End,
}

/// Packs what is told; a client can unpack each piece once it is there.
async fn pack(queries: Rc<Queries>, mut pieces: mpsc::Receiver<Piece>, mut sender: mpsc::Sender<Piece>) {
    let mut packer = Packer::default();
    while let Some(piece) = poll_fn(|context| Pin::new(&mut pieces).poll_next(context)).await {
        match piece {
            Piece::Bytes(bytes, behind) => {
                let packing = beside(&queries, bytes.len(), move || (packer.piece(&bytes), packer));
                // Without an end the answer is not whole.
                let Ok((packed, own)) = packing.await else { return };
                packer = own;
                send(&mut sender, Piece::Bytes(packed.into(), behind)).await;
            }
            Piece::End => {
                send(&mut sender, Piece::Bytes(packer.finish().into(), Vec::new())).await;
                return send(&mut sender, Piece::End).await;
            }
            Piece::Refused(refusal) => return send(&mut sender, Piece::Refused(refusal)).await,
        }
    }
}

/// Waits until there is room; nobody listens any more: the task is dropped soon.
async fn send(sender: &mut mpsc::Sender<Piece>, piece: Piece) {
    if poll_fn(|context| sender.poll_ready(context)).await.is_ok() {
        // There is room, as was just said.
        let _ = sender.start_send(piece);
    }
}

/// The body of an answer in chunks. With it goes the task that makes it.
struct Told {
    first: Option<Bytes>,
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
    #[expect(dead_code, reason = "held, not read")]
    task: Option<Task<()>>,
}

/// What a client hears of a query that slotline itself has failed.
pub const BROKE_OFF: &str = "the query broke off; see slotline's log";

impl http_body::Body for Told {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Waking<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.pieces).poll_next(context).map(|piece| match piece {
            Some(Piece::Bytes(bytes, _)) => Some(Ok(Frame::data(bytes))),
            other => {
                self.ended = true;
                match other {
                    Some(Piece::End) => None,
                    // Never behind others.
                    Some(Piece::Refused(refusal)) => Some(Err(BodyError(refusal.error))),
                    _ => Some(Err(BodyError(BROKE_OFF.to_owned()))),
                }
            }
        })
    }
}

/// A request on its way.
pub struct Running {
    pub context: Context,
    /// As the client wrote it.
    pub query: Arc<Query>,
    output: Output,
    /// Where chunks go; without it `results` hold everything.
    sender: Option<mpsc::Sender<Piece>>,
    results: Vec<StatementResult>,
    results_bytes: usize,
    /// Of what was counted and has not been told: a chunk may be as long as the client wants.
    chunk_bytes: usize,
    behind: Vec<Behind>,
    /// Something was told, or carried out: what fails from here on is told in the answer.
    begun: bool,
    /// When the next piece is due; `None`: the client has still to take one.
    due: Rc<Cell<Option<Instant>>>,
    /// Where rows go instead of to the client.
    pub into: Option<into::Into>,
    /// How the times of a shifted part are told.
    pub moved: Option<Telling>,
    /// What holds rows instead.
    pub aside: Option<Aside>,
    /// What is held for MATHs.
    pub operands: Operands,
    /// Rows and series of the statement that runs.
    rows: usize,
    series: usize,
}

/// How a statement ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Well,
    /// Its error was told.
    Failed,
    /// InfluxDB has panicked over it, which was told: of what was to come behind it nothing is.
    Panicked,
}

impl Running {
    fn new(context: Context, query: Arc<Query>, output: Output, sender: Option<mpsc::Sender<Piece>>) -> Running {
        let (results, behind) = (Vec::new(), Vec::new());
        Running {
            context,
            query,
            output,
            sender,
            results,
            results_bytes: 0,
            chunk_bytes: 0,
            behind,
            begun: false,
            due: Rc::default(),
            into: None,
            moved: None,
            aside: None,
            operands: Operands::new(),
            rows: 0,
            series: 0,
        }
    }

    async fn run(&mut self, places: Vec<Place>) -> Result<(), Refusal> {
        let query = self.query.clone();
        let count = query.statements.len();
        for (id, (statement, place)) in query.statements.iter().zip(places).enumerate() {
            (self.rows, self.series) = (0, 0);
            if self.sender.is_some() && self.begun {
                // What came before may have taken long.
                self.context.until = Instant::now() + self.context.queries.config.query.timeout;
            }
            let until = self.context.until;
            let killed = self.context.registered.killed();
            let interrupted = async {
                killed.await;
                Err(fails(INTERRUPTED))
            };
            let ended = future::or(interrupted, self.in_time(id, statement, place)).await;
            // Whatever befell it, the next one writes elsewhere.
            (self.into, self.moved, self.aside) = (None, None, None);
            if ended.is_err() && Instant::now() >= until {
                self.context.queries.stats.queries_limited_time.add(1);
            }
            let ended = match ended {
                Ok(ended) => ended,
                Err(refusal) if !refusal.influxdbs && !self.output.tells_failures() => return Err(refusal),
                // Our own reason is the whole answer, as long as nothing else is.
                Err(refusal) if !self.begun && refusal.status != 200 => return Err(refusal),
                Err(refusal) => {
                    // What it had said goes, as in InfluxDB; of an answer in chunks it is out.
                    self.results.retain(|result| result.statement_id != id);
                    self.tell(StatementResult::failed(id, refusal.error)).await?;
                    // "not executed" would hide it.
                    if refusal.status != 200 {
                        break;
                    }
                    Ended::Failed
                }
            };
            if ended == Ended::Panicked {
                break;
            }
            if ended == Ended::Failed {
                // Of the failed one too, if others were to come.
                for result in not_executed(id, count) {
                    self.tell(result).await?;
                }
                break;
            }
        }
        let mut end = Vec::new();
        if self.sender.is_some() {
            self.output.finish(&mut end);
            self.send(end).await;
        }
        Ok(())
    }

    async fn in_time(&mut self, id: usize, statement: &Statement, place: Place) -> Result<Ended, Refusal> {
        let (until, timeout) = (self.context.until, self.context.queries.config.query.timeout);
        // A SELECT INTO has told nothing until its last point is written.
        let tells = matches!(place, Place::One(_) | Place::Asks | Place::Show | Place::Everywhere(_));
        let (streams, due) = (tells && self.sender.is_some(), self.due.clone());
        due.set(Some(until));
        let late = async {
            let mut at = until;
            loop {
                let _ = deadline(at, future::pending::<()>()).await;
                at = match due.get() {
                    Some(due) if streams && due > at => due,
                    // Whenever it takes what was told: the next is due later.
                    None if streams => Instant::now() + timeout,
                    _ => return None,
                };
            }
        };
        let ended = async { Some(timeshift::statement(self, id, statement, place).await) };
        match future::or(ended, late).await {
            Some(ended) => ended,
            None => Err(self.timed_out()),
        }
    }

    fn timed_out(&self) -> Refusal {
        let timeout = self.context.queries.config.query.timeout;
        fails(format!("query-timeout limit exceeded (query.timeout = {timeout:?})"))
    }

    pub async fn statement(&mut self, id: usize, statement: &Statement, place: Place) -> Result<Ended, Refusal> {
        match place {
            Place::One(groups) => {
                let mut relayed = statement.clone();
                relayed.replace_now(self.context.now_ns);
                let (text, key) = (relayed.to_forwardable(), key(statement));
                let goes_on = |error: &str| goes_on(statement, error);
                self.relay_on(id, &groups, &text, &key, time_zone(statement), goes_on).await
            }
            Place::Asks => select::run(self, id, statement).await,
            Place::Show => show::run(self, id, statement).await,
            Place::Everywhere(groups) => self.carry_out(id, statement, groups).await,
            Place::Here => Box::pin(timeshift::run(self, id, statement)).await,
            Place::Into(place) => into::run(self, id, statement, *place).await,
        }
    }

    /// One replica's results as they are.
    pub async fn relay(
        &mut self,
        id: usize,
        groups: &[GroupIndex],
        text: &str,
        key: &str,
        zone: Option<&str>,
    ) -> Result<Ended, Refusal> {
        self.relay_on(id, groups, text, key, zone, |_| false).await
    }

    /// The same where what comes behind is carried out after an error that `goes_on`.
    async fn relay_on(
        &mut self,
        id: usize,
        groups: &[GroupIndex],
        text: &str,
        key: &str,
        zone: Option<&str>,
        goes_on: impl Fn(&str) -> bool,
    ) -> Result<Ended, Refusal> {
        let mut part = self.begin(groups, text, key, zone, self.output.chunk_rows()).await?;
        let mut warnings = self.stale(part.behind.take().as_slice());
        loop {
            let result = match part.next().await {
                Ok(Some(result)) => result,
                Ok(None) => return Ok(Ended::Well),
                Err(error) => return Err(refuse(503, error)),
            };
            let failed = result.error.as_ref().map(|error| ended(error, &goes_on));
            let statement_id = result.error.as_ref().map_or(id, |error| told_id(id, error));
            let mut result = StatementResult { statement_id, ..result };
            result.messages.splice(0..0, warnings.drain(..));
            if let Some(error) = result.error.take() {
                result.error = Some(select::as_written(self, id, error).await?);
            }
            self.count(&result)?;
            self.tell(result).await?;
            if let Some(ended) = failed {
                return Ok(ended);
            }
        }
    }

    /// A place among those that hold what several groups say, as long as it is kept.
    pub async fn place_to_gather(&self) -> Result<Held, Refusal> {
        let Context { queries, until, .. } = &self.context;
        let mut place = queries.gathers.hold();
        if poll_once(place.available()).await.is_none() {
            queries.stats.queries_gathered_later.add(1);
            if deadline(*until, place.available()).await.is_err() {
                queries.stats.queries_limited_gathers.add(1);
                return Err(refuse(503, "too many queries gather at once (query.gathers_max); try again"));
            }
        }
        place.add(1);
        Ok(place)
    }

    /// Asks one replica of any of these groups, for documents of so many rows. `zone`: of tz().
    pub async fn begin(
        &self,
        groups: &[GroupIndex],
        text: &str,
        key: &str,
        zone: Option<&str>,
        chunk_rows: usize,
    ) -> Result<Partial, Refusal> {
        let Context { queries, backends, asked, until, .. } = &self.context;
        let times = zone.filter(|_| self.tells_zones()).map_or(Times::Moments, Times::texts);
        Ask { queries, backends, asked, groups, text, key, chunk_rows, times, until: *until }.begin().await
    }

    /// Whether times of tz() are told with their zone. In MessagePack a time has none; none is written either.
    pub fn tells_zones(&self) -> bool {
        let asked = &self.context.asked;
        self.into.is_none()
            && self.aside.is_none()
            && asked.params.get("epoch").is_empty()
            && matches!(asked.format(), Format::Json { .. })
    }

    /// A writing statement on every replica of its groups.
    async fn carry_out(&mut self, id: usize, statement: &Statement, groups: Vec<GroupIndex>) -> Result<Ended, Refusal> {
        let Context { queries, backends, asked, until, now_ns, .. } = &self.context;
        let mut statement = statement.clone();
        statement.replace_now(*now_ns);
        let asking = asked.clone();
        let request = Box::new(move |text: &str| asking.for_merging(text));
        let answer = execute::execute(queries, backends.clone(), &statement, asked, groups, *until, request).await?;
        self.begun = true;
        let answer = parse(answer.body()).map_err(|error| refuse(503, format!("{}: {error}", answer.status())))?;
        let result = match answer.error {
            Some(error) => StatementResult::failed(id, error),
            None => StatementResult { statement_id: id, ..answer.results.into_iter().next().unwrap_or_default() },
        };
        let ended = if result.error.is_some() { Ended::Failed } else { Ended::Well };
        self.tell(result).await?;
        Ok(ended)
    }

    /// Notes replicas that have still to take points; the warnings about them.
    pub fn stale(&mut self, behind: &[Behind]) -> Vec<Message> {
        let new: Vec<Behind> = behind.iter().filter(|behind| !self.behind.contains(behind)).cloned().collect();
        self.behind.extend(new);
        behind.iter().map(|behind| Message::warning(behind.warning())).collect()
    }

    /// What was cut into results goes on.
    pub async fn tell_all(&mut self, results: &mut Vec<StatementResult>) -> Result<(), Refusal> {
        for result in results.drain(..) {
            self.tell(result).await?;
        }
        Ok(())
    }

    pub fn emitter(&self, id: usize) -> Emitter {
        Emitter::new(id, self.output.chunk_rows())
    }

    /// Counts rows and series against the limits.
    pub fn count(&mut self, result: &StatementResult) -> Result<(), Refusal> {
        let (stats, limits) = (&self.context.queries.stats, &self.context.queries.config.query);
        for series in &result.series {
            self.rows += series.values.len();
            self.series += usize::from(!series.partial);
        }
        if self.rows > limits.rows_max.0 {
            stats.queries_limited_rows.add(1);
            let (rows, max) = (self.rows, limits.rows_max.0);
            return Err(fails(format!("max-select-point limit exceeded: ({rows}/{max}) (query.rows_max)")));
        }
        if self.series > limits.series_max.0 {
            stats.queries_limited_series.add(1);
            let (series, max) = (self.series, limits.series_max.0);
            return Err(fails(format!("max-select-series limit exceeded: ({series}/{max}) (query.series_max)")));
        }
        if self.sender.is_some() {
            self.chunk_bytes += result.series.iter().map(Series::bytes).sum::<usize>();
            let bytes_max = limits.answer_bytes_max.0;
            if self.chunk_bytes > bytes_max {
                stats.queries_limited_bytes.add(1);
                let error = format!(
                    "a chunk has more than {bytes_max} bytes (query.answer_bytes_max); ask for a smaller chunk_size"
                );
                return Err(fails(error));
            }
        }
        Ok(())
    }

    /// Hands a result on.
    pub async fn tell(&mut self, mut result: StatementResult) -> Result<(), Refusal> {
        if let Some((moved, zone)) = self.moved {
            moved.apply(&mut result);
            if let Some(zone) = zone {
                in_zone(&mut result, zone);
            }
        }
        if let (Some(aside), None) = (&mut self.aside, &result.error) {
            self.chunk_bytes = 0;
            return aside.take(result, self.context.queries.config.query.merge_bytes_max.0);
        }
        if let (Some(into), None) = (&mut self.into, &result.error) {
            self.chunk_bytes = 0;
            return into.take(&self.context, result.series).await;
        }
        if self.sender.is_none() {
            self.results_bytes += result.series.iter().map(Series::bytes).sum::<usize>();
            self.results.push(result);
            let bytes_max = self.context.queries.config.query.answer_bytes_max.0;
            let failed = self.results.last().is_some_and(|result| result.error.is_some());
            if self.results_bytes > bytes_max && !failed {
                self.context.queries.stats.queries_limited_bytes.add(1);
                let error = format!(
                    "the answer has more than {bytes_max} bytes (query.answer_bytes_max); ask for less, or with chunked=true"
                );
                return Err(fails(error));
            }
            return Ok(());
        }
        self.chunk_bytes = 0;
        let bytes = result.series.iter().map(Series::bytes).sum();
        let mut output = self.output.clone();
        let (output, printed) = beside(&self.context.queries, bytes, move || {
            let mut printed = Vec::new();
            output.push(result, &mut printed);
            (output, printed)
        })
        .await?;
        self.output = output;
        self.send(printed).await;
        Ok(())
    }

    async fn send(&mut self, bytes: Vec<u8>) {
        let behind = self.behind.clone();
        if let (Some(sender), false) = (&mut self.sender, bytes.is_empty()) {
            self.begun = true;
            self.due.set(None);
            send(sender, Piece::Bytes(bytes.into(), behind)).await;
            self.due.set(Some(Instant::now() + self.context.queries.config.query.timeout));
        }
    }
}

/// The id that InfluxDB gives a statement's error.
pub fn told_id(id: usize, error: &str) -> usize {
    match () {
        () if is_panic(error) => NO_STATEMENT,
        () if comes_before(error) => 0,
        () => id,
    }
}

/// How a statement has ended of which InfluxDB says this, if what stands behind it is carried out after an error that `goes_on`.
pub fn ended(error: &str, goes_on: impl Fn(&str) -> bool) -> Ended {
    match () {
        () if is_panic(error) => Ended::Panicked,
        () if goes_on(error) => Ended::Well,
        () => Ended::Failed,
    }
}

/// Behind the request over which InfluxDB has panicked, and before the reason.
pub const PANIC: &str = " [panic:";

pub fn is_panic(error: &str) -> bool {
    error.ends_with(']') && error.contains(PANIC)
}

/// Whether InfluxDB says this of a statement before it carries it out. Which it was it forgets.
pub fn comes_before(error: &str) -> bool {
    error.starts_with("unable to use system source") || error.ends_with("doesn't support time in WHERE clause")
}

/// Whether what stands behind a statement is carried out though it failed: names are listed, and InfluxDB found fault with
/// WHERE only while it looked for them. Any other error ends the request.
pub fn goes_on(statement: &Statement, error: &str) -> bool {
    let of_names = error == "invalid tag comparison operator"
        || error.starts_with("&influxql.")
        || ["left side of '", "right side of '"].iter().any(|side| error.starts_with(side));
    match statement {
        Statement::ShowMeasurements(_) => !comes_before(error) && error != "database name required",
        Statement::ShowTagKeys(_) | Statement::ShowTagValues { .. } => of_names,
        _ => false,
    }
}

/// What decides which replica is asked: the first measurement.
fn key(statement: &Statement) -> String {
    super::forward::key(std::slice::from_ref(statement))
}

fn time_zone(statement: &Statement) -> Option<&str> {
    match statement {
        Statement::Select(select) => select.timezone.as_deref(),
        _ => None,
    }
}
