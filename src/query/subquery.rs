//! A SELECT with subqueries whose levels are evaluated here: the groups are asked for the rows of all its measurements at
//! once.
//!
//! The rows are held, within `query.merge_bytes_max`. Each series of the answer is made on a thread beside the shard's, as in
//! `gather`. Used by `select`.

use std::cell::Cell;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::influxql::Select;
use crate::influxql::ast::Fill;
use crate::merge::evaluate::Stop;
use crate::merge::evaluate::nested::{Need, Nested};
use crate::merge::evaluate::rows::Rows;
use crate::merge::results::{Message, StatementResult};
use crate::net::guarded;
use crate::plan::gather::Gathering;
use crate::plan::subquery::Nesting;
use crate::topology::GroupIndex;

use super::choose::Behind;
use super::gather::{Broken, Part, apart, gather, stopped, with_messages};
use super::select::failed;
use super::statement::{BROKE_OFF, Ended, Running};
use super::{Refusal, refuse};

/// Runs a SELECT over the rows of several groups, level by level.
pub async fn run(running: &mut Running, id: usize, nesting: Nesting) -> Result<Ended, Refusal> {
    let rows_max = running.context.queries.config.query.rows_max.0;
    let nested = match Nested::new(&nesting.select, rows_max) {
        Ok(nested) => nested,
        Err(stop) => return stopped(running, id, stop, &nesting.split).await,
    };
    if nested.keeps_tags() && running.into.is_some() {
        return stopped(running, id, Stop::Refused("top() or bottom() INTO".to_owned()), &nesting.split).await;
    }
    let asks = asks(&nesting, &nested.needs())?;
    let bytes = Cell::new(0);
    let gathered = join_all(asks.iter().map(|ask| gather(running, &ask.part, ask.fields, &bytes))).await;
    let mut rows: Vec<Vec<Rows>> = vec![Vec::new(); nesting.inputs.len()];
    let (mut behind, mut messages): (Vec<Behind>, Vec<Message>) = (Vec::new(), Vec::new());
    for (ask, part) in asks.iter().zip(gathered) {
        match part {
            Ok(Part { rows: own, behind: late, messages: said }) => {
                rows[ask.input].extend(own);
                behind.extend(late.filter(|late| !behind.contains(late)));
                messages.extend(said.into_iter().filter(|message| !messages.contains(message)).collect::<Vec<_>>());
            }
            Err(Broken::Failed(error)) => return failed(running, id, error).await,
            Err(Broken::Refused(refusal)) => return Err(refusal),
        }
    }
    for input in &rows {
        apart(input).map_err(|error| refuse(503, error))?;
    }
    messages.splice(0..0, running.stale(&behind));
    tell(running, id, nested, rows, messages, &nesting.split).await
}

/// What one group is asked for.
struct Ask {
    input: usize,
    part: (GroupIndex, Select),
    fields: usize,
}

fn asks(nesting: &Nesting, needs: &[Need]) -> Result<Vec<Ask>, Refusal> {
    let mut asks = Vec::new();
    for (input, (need, sources)) in needs.iter().zip(&nesting.inputs).enumerate() {
        // Without a field there are no rows.
        if need.fields.is_empty() {
            continue;
        }
        let select = Select {
            fields: Vec::new(),
            into: None,
            sources: Vec::new(),
            condition: need.condition.clone(),
            group_by: Vec::new(),
            fill: Fill::Null,
            order: None,
            limit: 0,
            offset: 0,
            slimit: 0,
            soffset: 0,
            timezone: None,
        };
        let gathering = Gathering { select, sources: sources.clone(), split: nesting.split.clone() };
        let parts = gathering.parts(&need.fields).map_err(|reason| refuse(400, reason))?;
        asks.extend(parts.into_iter().map(|part| Ask { input, part, fields: need.fields.len() }));
    }
    Ok(asks)
}

/// Makes the series of the answer, one after the other.
async fn tell(
    running: &mut Running,
    id: usize,
    nested: Nested,
    rows: Vec<Vec<Rows>>,
    mut messages: Vec<Message>,
    split: &str,
) -> Result<Ended, Refusal> {
    let (nested, rows) = (Arc::new(nested), Arc::new(rows));
    let (mut emitter, mut results) = (running.emitter(id), Vec::new());
    for group in nested.groups(&rows) {
        let (nested, rows) = (nested.clone(), rows.clone());
        let made = glommio::executor().spawn_blocking(move || {
            let mut series = None;
            // A panic there would never come back, and the thread with it.
            guarded("evaluation", || series = Some(nested.series(&rows, &group)));
            series
        });
        let series = match made.await.ok_or_else(|| refuse(500, BROKE_OFF))? {
            Ok(Some(series)) => series,
            Ok(None) => continue,
            Err(stop) => return stopped(running, id, stop, split).await,
        };
        let result = StatementResult { series: vec![series], ..StatementResult::default() };
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
