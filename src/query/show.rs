//! A SHOW statement over several servers, asked and joined as `plan::show` says. What each group says is held at once,
//! within `query.merge_bytes_max`.

use std::rc::Rc;
use std::time::Instant;

use futures_util::future::join_all;
use http_body_util::BodyExt;

use crate::backend::{Backend, Backends, Lent};
use crate::influxql::Statement;
use crate::merge::emit::{Emitter, gather};
use crate::merge::msgpack::Decoder;
use crate::merge::results::{Answer, Message, Series, StatementResult, parse};
use crate::merge::show::{self as join, Parts};
use crate::plan::show::{Cut, Join, OfReplicas, Part, Show};
use crate::topology::GroupIndex;

use super::choose::Behind;
use super::forward::{Candidates, candidates, first_answer};
use super::request::Asked;
use super::{Queries, Refusal, refuse};

/// One SHOW statement of a request.
pub struct Showing<'a> {
    pub queries: &'a Rc<Queries>,
    pub backends: &'a Backends,
    pub asked: &'a Asked,
    pub statement_id: usize,
    pub statement: &'a Statement,
    /// Rows of a result.
    pub chunk_rows: usize,
    pub until: Instant,
}

/// What there is to say of it, as results that InfluxDB would hand on, and the replicas whose part may be incomplete.
pub struct Shown {
    pub results: Vec<StatementResult>,
    pub behind: Vec<Behind>,
}

impl Shown {
    fn of(result: StatementResult) -> Shown {
        Shown { results: vec![result], behind: Vec::new() }
    }
}

/// Runs a planned SHOW statement.
pub async fn show(showing: &Showing<'_>, plan: Show) -> Result<Shown, Refusal> {
    match plan {
        Show::Groups(groups, part) => showing.of_groups(&groups, *part).await,
        Show::Replicas(of) => showing.of_replicas(of).await,
        Show::Queries => Ok(Shown::of(showing.queries.running.show(showing.statement_id, Instant::now()))),
        Show::Kill(id) => Ok(Shown::of(showing.queries.running.kill(showing.statement_id, id))),
    }
}

impl Showing<'_> {
    /// Asks one replica of each group at once and joins what they say.
    async fn of_groups(&self, groups: &[GroupIndex], part: Part) -> Result<Shown, Refusal> {
        let (parts, mut behind) = self.ask_groups(groups, &part.statement).await?;
        let Parts { parts, mut messages } = match Parts::of(parts) {
            Ok(parts) => parts,
            Err(error) => return Ok(self.failed(error)),
        };
        let series = match &part.join {
            Join::Rows => join::rows(parts),
            Join::SeriesKeys => join::series_keys(parts),
            Join::Sum => join::sum(parts),
            Join::Measurements => join::measurements(parts),
            Join::CountOfNames(column) => join::count_of_names(parts, column),
            Join::Recount(recount) => {
                let (counts, shared) = join::counts(parts);
                if shared.is_empty() {
                    counts
                } else {
                    let list = recount.listing(shared.into_iter().collect()).map_err(|reason| refuse(400, reason))?;
                    let (lists, more) = self.ask_groups(groups, &list).await?;
                    let known: Vec<String> = behind.iter().map(|behind| behind.replica.clone()).collect();
                    behind.extend(more.into_iter().filter(|more| !known.contains(&more.replica)));
                    let lists = match Parts::of(lists) {
                        Ok(lists) => lists,
                        Err(error) => return Ok(self.failed(error)),
                    };
                    join::recounted(counts, lists.parts, recount.column())
                }
            }
        };
        let warnings = behind.iter().map(|behind| Message::warning(behind.warning()));
        messages.splice(0..0, warnings);
        let results = self.emitted(join::limited(series, part.limit, part.offset), part.cut, messages);
        Ok(Shown { results, behind })
    }

    async fn ask_groups(
        &self,
        groups: &[GroupIndex],
        statement: &Statement,
    ) -> Result<(Vec<StatementResult>, Vec<Behind>), Refusal> {
        let text = statement.to_string();
        // All first, so that nobody is asked when one of them refuses.
        let candidates: Result<Vec<(GroupIndex, Candidates)>, Refusal> = (groups.iter())
            .map(|group| Ok((*group, candidates(self.queries, self.backends, &[*group], &text)?)))
            .collect();
        let candidates = candidates?;
        let bytes_max = self.queries.config.query.merge_bytes_max.0 / groups.len().max(1);
        let asking = candidates.iter().map(async |(group, of)| {
            let id = self.backends.topology.group(*group).id;
            let answered = self.ask(of, &text, bytes_max).await?;
            let (answer, behind) = answered.map_err(|error| refuse(503, format!("group {id} {error}")))?;
            Ok((answer, behind))
        });
        let answers: Result<Vec<(StatementResult, Option<Behind>)>, Refusal> =
            join_all(asking).await.into_iter().collect();
        let (parts, behind): (Vec<_>, Vec<_>) = answers?.into_iter().unzip();
        Ok((parts, behind.into_iter().flatten().collect()))
    }

    /// One replica's whole answer to one statement; the inner error is about what it said.
    async fn ask(
        &self,
        candidates: &Candidates,
        text: &str,
        bytes_max: usize,
    ) -> Result<Result<(StatementResult, Option<Behind>), String>, Refusal> {
        let first = first_answer(self.queries, candidates, self.until, |_| self.asked.for_reading(text)).await?;
        let behind = first.behind;
        let is_msgpack = first.answer.headers().get("content-type").is_some_and(|of| of == "application/x-msgpack");
        let body = first.answer.into_body();
        if !is_msgpack {
            // Errors of the request as a whole come as JSON.
            let body = match body.whole_by(bytes_max, self.until).await {
                Ok(body) => body,
                Err(error) => return Ok(Err(format!("{error} (query.merge_bytes_max)"))),
            };
            return Ok(parse(&body).map(|answer| (one_result(answer), behind)));
        }
        Ok(read(body, bytes_max).await.map(|result| (result, behind)))
    }

    /// Asks every replica, since each is a server of its own.
    async fn of_replicas(&self, of: OfReplicas) -> Result<Shown, Refusal> {
        let text = self.statement.to_string();
        let topology = &self.backends.topology;
        let replicas: Vec<Rc<Backend>> =
            topology.group_indexes().flat_map(|group| self.backends.group(group).to_vec()).collect();
        let bytes_max = self.queries.config.query.merge_bytes_max.0 / replicas.len().max(1);
        let asking = replicas.iter().map(async |replica| {
            // In JSON, which alone prints a server's durations as text.
            let request = || self.asked.for_merging(&text);
            let answer = replica.pool.exchange(request, self.until).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = answer.into_body().whole_by(bytes_max, self.until).await.map_err(|error| error.to_string())?;
            match status.is_success() {
                true => parse(&body).map(one_result),
                false => Err(format!("answered {status}: {}", String::from_utf8_lossy(&body).trim())),
            }
        });
        let mut parts: Vec<(String, Vec<Series>)> = Vec::new();
        let (mut silent, mut messages) = (Vec::new(), Vec::new());
        for (replica, answer) in replicas.iter().zip(join_all(asking).await) {
            let name = &replica.target.name;
            match answer {
                Ok(StatementResult { error: Some(error), .. }) => return Ok(self.failed(error)),
                Ok(result) => parts.push((name.clone(), result.series)),
                Err(reason) => silent.push(format!("replica {name} {reason}")),
            }
        }
        if parts.is_empty() {
            return Err(refuse(503, format!("no answer: {}", silent.join("; "))));
        }
        messages.extend(silent.into_iter().map(|silent| Message::warning(format!("{silent}; its part is missing"))));
        let series = match of {
            OfReplicas::Each => join::concatenated(parts, "replica"),
            OfReplicas::Union => join::union(parts.into_iter().map(|(_, series)| series).collect()),
        };
        Ok(Shown { results: self.emitted(series, Cut::Whole, messages), behind: Vec::new() })
    }

    /// Series as InfluxDB hands them on, the messages with the first.
    fn emitted(&self, series: Vec<Series>, cut: Cut, messages: Vec<Message>) -> Vec<StatementResult> {
        let statement_id = self.statement_id;
        let result = |series| StatementResult { statement_id, series, ..StatementResult::default() };
        let mut results = Vec::new();
        match cut {
            Cut::Rows => {
                let mut emitter = Emitter::new(statement_id, self.chunk_rows);
                series.into_iter().for_each(|series| emitter.push(series, &mut results));
                emitter.finish(&mut results);
            }
            Cut::Series if !series.is_empty() => results.extend(series.into_iter().map(|series| result(vec![series]))),
            Cut::Series | Cut::Whole => results.push(result(series)),
        }
        if let Some(first) = results.first_mut() {
            first.messages = messages;
        }
        results
    }

    fn failed(&self, error: String) -> Shown {
        Shown::of(StatementResult::failed(self.statement_id, error))
    }
}

/// The chunks of an answer to one statement, put together. Frees the core between two chunks.
async fn read(body: Lent, bytes_max: usize) -> Result<StatementResult, String> {
    let mut body = Box::pin(body);
    let mut decoder = Decoder::new(bytes_max);
    let (mut results, mut bytes) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|error| error.0)?.into_data().unwrap_or_default();
        bytes += data.len();
        if bytes > bytes_max {
            return Err(format!("answers with more than {bytes_max} bytes (query.merge_bytes_max)"));
        }
        decoder.push(&data);
        while let Some(answer) = decoder.next_document().map_err(|error| error.to_string())? {
            gather(&mut results, one_result(answer));
            glommio::yield_if_needed().await;
        }
    }
    decoder.finish().map_err(|error| error.to_string())?;
    let mut result: StatementResult = results.pop().unwrap_or_default();
    // All of it is here.
    result.series.iter_mut().for_each(|series| series.partial = false);
    match result.partial {
        false => Ok(result),
        true => Err("broke off in the middle of its answer".to_owned()),
    }
}

fn one_result(answer: Answer) -> StatementResult {
    match answer.error {
        Some(error) => StatementResult::failed(0, error),
        None => answer.results.into_iter().next().unwrap_or_default(),
    }
}
