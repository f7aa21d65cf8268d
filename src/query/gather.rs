//! A SELECT that combines points of several groups: they are asked for raw rows at once, and the answer is made of them.
//!
//! The rows are held, within `query.merge_bytes_max`. What is made of one series of the answer is made on a thread beside the
//! shard's, so that the shard goes on; series go on to the client as they are made. Used by `select`.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::influxql::Select;
use crate::merge::evaluate::rows::Rows;
use crate::merge::evaluate::{Carried, Evaluation, Stop};
use crate::merge::results::{Message, Series, StatementResult};
use crate::net::guarded;
use crate::plan::gather::Gathering;
use crate::topology::GroupIndex;

use super::choose::Behind;
use super::select::{failed, first_source};
use super::statement::{BROKE_OFF, Ended, Running};
use super::{Refusal, fails, refuse};

/// Rows of a document of a part.
const PART_ROWS: usize = 5_000;

/// What came of one group.
pub struct Part {
    pub rows: Vec<Rows>,
    pub behind: Option<Behind>,
    pub messages: Vec<Message>,
}

/// A part that is no answer.
pub enum Broken {
    /// InfluxDB's own error.
    Failed(String),
    Refused(Refusal),
}

/// Runs a SELECT over the rows of several groups.
pub async fn run(running: &mut Running, id: usize, gathering: Gathering) -> Result<Ended, Refusal> {
    let rows_max = running.context.queries.config.query.rows_max.0;
    let mut evaluation = match Evaluation::new(&gathering.select, rows_max, running.into.is_some()) {
        Ok(evaluation) => evaluation,
        Err(stop) => return stopped(running, id, stop, &gathering.split).await,
    };
    if running.tells_zones() {
        evaluation.tell_zone();
    }
    let parts = gathering.parts(&evaluation.fields).map_err(|reason| refuse(400, reason))?;
    // Without a field there are no rows; which measurements and policies there are the groups still say.
    let parts = match evaluation.fields.is_empty() {
        true => return nothing(running, id, &gathering).await,
        false => parts,
    };
    let bytes = Cell::new(0);
    let gathered = join_all(parts.iter().map(|part| gather(running, part, evaluation.fields.len(), &bytes))).await;
    let (mut rows, mut behind, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    for part in gathered {
        match part {
            Ok(part) => {
                rows.extend(part.rows);
                behind.extend(part.behind);
                messages.extend(part.messages);
            }
            Err(Broken::Failed(error)) => return failed(running, id, error).await,
            Err(Broken::Refused(refusal)) => return Err(refusal),
        }
    }
    apart(&rows).map_err(|error| refuse(503, error))?;
    messages.splice(0..0, running.stale(&behind));
    messages.dedup();
    tell(running, id, evaluation, rows, messages, &gathering).await
}

/// No series is in two groups.
pub fn apart(rows: &[Rows]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match rows.iter().map(Rows::key).find(|key| !seen.insert(key.clone())) {
        Some(key) => Err(format!("two groups have the series {key}: one has points that are not its own")),
        None => Ok(()),
    }
}

/// All rows of one group.
pub async fn gather(
    running: &Running,
    (group, part): &(GroupIndex, Select),
    fields: usize,
    bytes: &Cell<usize>,
) -> Result<Part, Broken> {
    let bytes_max = running.context.queries.config.query.merge_bytes_max.0;
    let begun = running.begin(&[*group], &part.to_string(), &first_source(part), false, PART_ROWS).await;
    let mut partial = begun.map_err(Broken::Refused)?;
    let mut found = Part { rows: Vec::new(), behind: partial.behind.take(), messages: Vec::new() };
    let broken = |error| Broken::Refused(refuse(503, error));
    while let Some(result) = partial.next().await.map_err(broken)? {
        if let Some(error) = result.error {
            return Err(Broken::Failed(error));
        }
        found.messages.extend(result.messages);
        for series in result.series {
            bytes.set(bytes.get() + series.bytes());
            if bytes.get() > bytes_max {
                running.context.queries.stats.queries_limited_bytes.add(1);
                let error = format!(
                    "the rows that have to be gathered take more than {bytes_max} bytes (query.merge_bytes_max); ask for \
                     less time or fewer series, or GROUP BY the tags that the measurement is split by"
                );
                return Err(Broken::Refused(fails(error)));
            }
            let Series { name, tags, values, .. } = series;
            match found.rows.last_mut().filter(|last| last.name == name && last.tags == tags) {
                Some(last) => last.extend(values, fields),
                None => {
                    found.rows.push(Rows { name, tags, ..Rows::default() });
                    found.rows.last_mut().map_or(Ok(()), |last| last.extend(values, fields))
                }
            }
            .map_err(broken)?;
        }
        glommio::yield_if_needed().await;
    }
    Ok(found)
}

/// Makes the series of the answer, one after the other.
async fn tell(
    running: &mut Running,
    id: usize,
    evaluation: Evaluation,
    rows: Vec<Rows>,
    mut messages: Vec<Message>,
    gathering: &Gathering,
) -> Result<Ended, Refusal> {
    let (evaluation, rows) = (Arc::new(evaluation), Arc::new(rows));
    let mut carried = Carried::default();
    let (mut emitter, mut results) = (running.emitter(id), Vec::new());
    for group in evaluation.groups(&rows) {
        let (ready, rows) = (evaluation.clone(), rows.clone());
        let made = glommio::executor().spawn_blocking(move || {
            let mut series = None;
            // A panic there would never come back, and the thread with it.
            guarded("evaluation", || series = Some(ready.series(&rows, &group, &mut carried)));
            (series, carried)
        });
        let (series, kept) = made.await;
        carried = kept;
        let series = match series.ok_or_else(|| refuse(500, BROKE_OFF))? {
            Ok(Some(series)) => series,
            Ok(None) => continue,
            Err(stop) => return stopped(running, id, stop, &gathering.split).await,
        };
        let result = StatementResult { series: evaluation.written(series), ..StatementResult::default() };
        running.count(&result)?;
        result.series.into_iter().for_each(|series| emitter.push(series, &mut results));
        with_messages(&mut results, &mut messages);
        running.tell_all(&mut results).await?;
    }
    emitter.finish(&mut results);
    with_messages(&mut results, &mut messages);
    running.tell_all(&mut results).await?;
    Ok(Ended::Well)
}

/// Any group says what there is to say of a SELECT without fields.
async fn nothing(running: &mut Running, id: usize, gathering: &Gathering) -> Result<Ended, Refusal> {
    let Some((group, _)) = gathering.sources.first() else { return Err(refuse(500, "no group has the measurement")) };
    let text = gathering.select.to_string();
    running.relay(id, &[*group], &text, &first_source(&gathering.select), false).await
}

/// What stopped an evaluation, told; `split` says what stands in the way of asking one group.
pub async fn stopped(running: &mut Running, id: usize, stop: Stop, split: &str) -> Result<Ended, Refusal> {
    match stop {
        Stop::Wrong(error) => failed(running, id, error).await,
        Stop::Refused(what) => Err(refuse(400, format!("{what} over several groups is not supported yet: {split}"))),
        Stop::Rows(rows) => {
            running.context.queries.stats.queries_limited_rows.add(1);
            let max = running.context.queries.config.query.rows_max.0;
            Err(fails(format!("max-select-point limit exceeded: ({rows}/{max}) (query.rows_max)")))
        }
    }
}

/// They go with the first result.
pub fn with_messages(results: &mut [StatementResult], messages: &mut Vec<Message>) {
    if let Some(first) = results.first_mut() {
        first.messages.append(messages);
    }
}
