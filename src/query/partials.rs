//! One group's part of an answer: one replica is asked for it, in chunks of MessagePack, and the next one as long as nothing
//! of it has come. Only where times are told in a zone that this proxy does not know it is asked in JSON, which has no infinite
//! numbers.
//!
//! A part is read document by document as its reader wants it, so that no more than one chunk of it is held. What breaks
//! off in the middle is an error, never an end. Used by `statement` and `lookup`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::BodyExt;
use hyper::Response;

use crate::backend::{Backends, Lent};
use crate::influxql::zone::Zone;
use crate::merge::emit::gather;
use crate::merge::msgpack::{DecodeError, Decoder};
use crate::merge::results::{Answer, Series, StatementResult, Value, parse};
use crate::net::{deadline, yield_if_needed};
use crate::stats::ShardStats;
use crate::topology::GroupIndex;

use super::choose::Behind;
use super::forward::{Candidates, First, candidates, first_begun, readable};
use super::request::Asked;
use super::{Queries, Refusal, refuse};

/// What is asked, and of whom.
pub struct Ask<'a> {
    pub queries: &'a Queries,
    pub backends: &'a Backends,
    pub asked: &'a Asked,
    /// Any of these answers.
    pub groups: &'a [GroupIndex],
    /// One statement.
    pub text: &'a str,
    /// What decides which replica is asked.
    pub key: &'a str,
    /// Rows of a document.
    pub chunk_rows: usize,
    pub times: Times,
    pub until: Instant,
}

/// How the times of a part are told.
#[derive(Clone, Copy)]
pub enum Times {
    /// As moments.
    Moments,
    /// As texts of this zone.
    In(Zone),
    /// As texts of a zone that only the replica knows.
    AsReplica,
}

impl Times {
    /// Those of a SELECT with this tz(), where they are told as texts.
    pub fn texts(zone: &str) -> Times {
        Zone::named(zone).map_or(Times::AsReplica, Times::In)
    }
}

/// A part that has begun to come.
pub struct Partial {
    /// Who says it.
    of: String,
    /// What the replica has still to take.
    pub behind: Option<Behind>,
    body: Pin<Box<Lent>>,
    documents: Documents,
    times: Times,
    /// A result that was read and not handed on.
    ready: Option<StatementResult>,
    /// Whether the last result said that more is to come.
    more: bool,
    stats: Arc<ShardStats>,
}

/// Cells of a document of a part that is joined here: read and joined within a fraction of a millisecond.
const DOCUMENT_CELLS: usize = 4_000;
/// Rows of one of many columns.
const DOCUMENT_ROWS_MIN: usize = 50;

/// Rows of a document that is asked for, of so many columns beside the time.
pub fn document_rows(columns: usize) -> usize {
    (DOCUMENT_CELLS / (1 + columns)).max(DOCUMENT_ROWS_MIN)
}

enum Documents {
    MessagePack(Decoder),
    /// A line each.
    Json {
        /// Who says it.
        of: String,
        buffer: Vec<u8>,
        /// Up to here there is no end of a line. `<= buffer.len()`.
        searched: usize,
        bytes_max: usize,
    },
}

/// Why a document was not read.
enum Unread {
    /// It has more bytes than may be held.
    TooMuch(String),
    Broken(String),
}

impl Ask<'_> {
    /// Begins a part: its first document has come.
    pub async fn begin(&self) -> Result<Partial, Refusal> {
        self.begin_by(&mut self.candidates()?, &mut Vec::new()).await
    }

    fn candidates(&self) -> Result<Candidates, Refusal> {
        candidates(self.queries, self.backends, self.groups, || self.key.to_owned())
    }

    /// The same by one of these, which are then those behind it. `failures`: what those before it had to say.
    async fn begin_by(&self, candidates: &mut Candidates, failures: &mut Vec<String>) -> Result<Partial, Refusal> {
        let json = matches!(self.times, Times::AsReplica);
        let request = |_| self.asked.for_part(self.text, self.chunk_rows, json);
        let begin = async |first: First| {
            if !first.answer.status().is_success() {
                return Ok(Err(self.refused(first).await));
            }
            let mut partial = Partial::new(first, self);
            partial.fill().await?;
            Ok(Ok(partial))
        };
        first_begun(self.queries, candidates, failures, self.until, request, begin).await?
    }

    /// What a replica has against the request as a whole: what only InfluxDB finds when it parses (a regular expression, a
    /// time zone).
    async fn refused(&self, first: First) -> Refusal {
        let status = first.answer.status().as_u16();
        match first.answer.into_body().whole_by(self.bytes_max(), self.until).await {
            Ok(body) => {
                let error = parse(&body).ok().and_then(|answer| answer.error);
                refuse(status, error.unwrap_or_else(|| readable(&body)))
            }
            Err(error) => refuse(503, format!("a replica answers {status}, and then: {error}")),
        }
    }

    /// The whole part, which is small: one that breaks off is asked of the next replica.
    pub async fn whole(&self) -> Result<(StatementResult, Option<Behind>), Refusal> {
        let (mut candidates, mut failures) = (self.candidates()?, Vec::new());
        loop {
            let mut partial = self.begin_by(&mut candidates, &mut failures).await?;
            match deadline(self.until, self.rest_of(&mut partial)).await {
                Ok(Ok(result)) => return Ok((result?, partial.behind)),
                Ok(Err(error)) => failures.push(error),
                Err(_) => {
                    return Err(refuse(503, format!("{} has not answered in time (query.timeout)", partial.of)));
                }
            }
            self.queries.stats.queries_failed_over.add(1);
        }
    }

    /// All results of a part as one; the outer error: it broke off.
    async fn rest_of(&self, partial: &mut Partial) -> Result<Result<StatementResult, Refusal>, String> {
        let (mut results, mut bytes) = (Vec::new(), 0);
        let bytes_max = self.bytes_max();
        while let Some(result) = partial.next().await? {
            bytes += result.series.iter().map(|series| series.bytes()).sum::<usize>();
            if bytes > bytes_max {
                self.queries.stats.queries_limited_bytes.add(1);
                let reason = format!("{} answers with more than {bytes_max} bytes (query.merge_bytes_max)", partial.of);
                return Ok(Err(refuse(503, reason)));
            }
            gather(&mut results, result);
        }
        Ok(Ok(results.pop().unwrap_or_default()))
    }

    /// All groups' parts are held at once.
    fn bytes_max(&self) -> usize {
        self.queries.config.query.merge_bytes_max.0 / self.backends.topology.groups().len()
    }
}

impl Partial {
    fn new(first: First, ask: &Ask<'_>) -> Partial {
        let (times, bytes_max, stats) = (ask.times, ask.bytes_max(), ask.queries.stats.clone());
        let First { replica, answer, behind } = first;
        let name = &replica.target.name;
        let (head, body): (_, Lent) = Response::into_parts(answer);
        let is_msgpack = head.headers.get("content-type").is_some_and(|of| of == "application/x-msgpack");
        let documents = match is_msgpack {
            true => Documents::MessagePack(Decoder::new(bytes_max)),
            // Errors of the request as a whole come as JSON too.
            false => Documents::Json { of: name.clone(), buffer: Vec::new(), searched: 0, bytes_max },
        };
        let (of, ready) = (format!("replica {name}"), None);
        Partial { of, behind, body: Box::pin(body), documents, times, ready, more: true, stats }
    }

    /// The next result; `None`: there is no more.
    ///
    /// # Errors
    /// It broke off, or what came is no answer.
    pub async fn next(&mut self) -> Result<Option<StatementResult>, String> {
        self.fill().await?;
        Ok(self.ready.take())
    }

    /// Reads until there is a result, or the end. A document is as much as is read at a stretch.
    async fn fill(&mut self) -> Result<(), String> {
        while self.ready.is_none() {
            yield_if_needed().await;
            if let Some(answer) = self.documents.next().map_err(|unread| self.told(unread))? {
                let mut result = one_result(answer);
                if let Times::In(zone) = self.times {
                    in_zone(&mut result, zone);
                }
                self.more = result.error.is_none() && result.partial;
                self.ready = Some(result);
                break;
            }
            let Some(frame) = self.body.frame().await else {
                let ended = self.documents.finish();
                return match (ended, self.more) {
                    (Ok(()), false) => Ok(()),
                    (Ok(()), true) => Err(format!("{} broke off in the middle of its answer", self.of)),
                    (Err(error), _) => Err(format!("{}: {error}", self.of)),
                };
            };
            let frame = frame.map_err(|error| format!("{}: {}", self.of, error.0))?;
            self.documents.push(&frame.into_data().unwrap_or_default());
        }
        Ok(())
    }

    fn told(&self, unread: Unread) -> String {
        let reason = match unread {
            Unread::TooMuch(reason) => {
                self.stats.queries_limited_bytes.add(1);
                reason
            }
            Unread::Broken(reason) => reason,
        };
        format!("{}: {reason}", self.of)
    }
}

impl Documents {
    fn push(&mut self, bytes: &[u8]) {
        match self {
            Documents::MessagePack(decoder) => decoder.push(bytes),
            Documents::Json { buffer, .. } => buffer.extend_from_slice(bytes),
        }
    }

    fn next(&mut self) -> Result<Option<Answer>, Unread> {
        match self {
            Documents::MessagePack(decoder) => decoder.next_document().map_err(|error| match error {
                DecodeError::TooLarge(_) => Unread::TooMuch(format!("{error} (query.merge_bytes_max)")),
                _ => Unread::Broken(error.to_string()),
            }),
            Documents::Json { of, buffer, searched, bytes_max } => match memchr::memchr(b'\n', &buffer[*searched..]) {
                Some(end) => {
                    let rest = buffer.split_off(*searched + end + 1);
                    let line = std::mem::replace(buffer, rest);
                    *searched = 0;
                    match unsupported(&line) {
                        Some(number) => Ok(Some(of_number(number, of))),
                        None => parse(&line).map(Some).map_err(Unread::Broken),
                    }
                }
                None if buffer.len() > *bytes_max => {
                    let reason =
                        format!("a part of the answer has more than {bytes_max} bytes (query.merge_bytes_max)");
                    Err(Unread::TooMuch(reason))
                }
                None => {
                    *searched = buffer.len();
                    Ok(None)
                }
            },
        }
    }

    fn finish(&self) -> Result<(), String> {
        match self {
            Documents::MessagePack(decoder) => decoder.finish().map_err(|error| error.to_string()),
            Documents::Json { buffer, .. } if buffer.is_empty() => Ok(()),
            Documents::Json { .. } => Err("the answer ends in the middle".to_owned()),
        }
    }
}

/// The number that JSON does not have, of which Go tells instead of a document.
fn unsupported(line: &[u8]) -> Option<f64> {
    let told = line.strip_prefix(b"json: ")?.trim_ascii_end();
    let number = &told[memchr::memmem::rfind(told, UNSUPPORTED)? + UNSUPPORTED.len()..];
    match number {
        b"+Inf" => Some(f64::INFINITY),
        b"-Inf" => Some(f64::NEG_INFINITY),
        b"NaN" => Some(f64::NAN),
        _ => None,
    }
}

const UNSUPPORTED: &[u8] = b"unsupported value: ";

/// What makes the client's document such words too: all that is known of a replica's.
fn of_number(number: f64, replica: &str) -> Answer {
    let (name, columns, values) = (replica.to_owned(), vec![String::new()], vec![vec![Value::Float(number)]]);
    let series = Series { name, columns, values, ..Series::default() };
    Answer { results: vec![StatementResult { series: vec![series], ..StatementResult::default() }], error: None }
}

/// Times as texts of a zone.
pub fn in_zone(result: &mut StatementResult, zone: Zone) {
    for cell in result.series.iter_mut().flat_map(|series| &mut series.values).flatten() {
        if let Value::Time(time) = cell {
            *cell = Value::String(zone.rfc3339(*time));
        }
    }
}

fn one_result(answer: Answer) -> StatementResult {
    match answer.error {
        Some(error) => StatementResult::failed(0, error),
        None => answer.results.into_iter().next().unwrap_or_default(),
    }
}
