//! A SELECT with subqueries whose levels are evaluated here: the groups are asked at once for the rows of all its
//! measurements, or for what its innermost calls make of them.
//!
//! The rows are held, within `query.merge_bytes_max`. Each series of the answer, or where that is not enough all of them, is
//! made on a thread beside the shard's, as in `gather`. Where the first or last row of each series turns out not to be enough,
//! the groups are asked once more, for all rows. Used by `select`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::influxql::{Select, Source};
use crate::merge::evaluate::nested::{Known, Nested, Reads};
use crate::merge::evaluate::rows::Rows;
use crate::merge::evaluate::{Shards, Stop};
use crate::merge::results::{Message, Series, StatementResult};
use crate::plan::select::Passed;
use crate::plan::sources::name_of;
use crate::plan::subquery::Nesting;
use crate::topology::GroupIndex;

use super::beside::on_a_thread;
use super::choose::Behind;
use super::gather::{Broken, Part, add, apart, gather, know_shards, objection, stopped, unfit, with_messages};
use super::select::failed;
use super::slimit::{Filter, Through};
use super::statement::{Ended, Running};
use super::{Refusal, lookup, refuse};

/// What each group is asked for by a SELECT that runs level by level, and is explained, or carried out for that (`analyze`);
/// what would be refused is refused. The inner error: how it ended.
pub async fn explained(
    running: &mut Running,
    id: usize,
    nesting: &Nesting,
    through: Option<&Through>,
    analyze: bool,
) -> Result<Result<Vec<(GroupIndex, Select)>, Ended>, Refusal> {
    match nested(running, nesting, through, None) {
        Ok(nested) => match nested.wrong() {
            Some(error) => unfit(running, id, nesting.parts(), error, analyze).await,
            None => nesting.outline().map(Ok).map_err(|reason| refuse(400, reason)),
        },
        Err(stop) => stopped(running, id, stop, &nesting.split).await.map(Err),
    }
}

/// `reads`: what may be asked of the groups; `None`: as little as what is let through allows.
fn nested(
    running: &Running,
    nesting: &Nesting,
    through: Option<&Through>,
    reads: Option<Reads>,
) -> Result<Nested, Stop> {
    let rows_max = running.context.queries.config.query.rows_max.0;
    let passed = through.map_or(Passed::All, Through::passed);
    let least = if passed == Passed::Rows { Reads::Rows } else { Reads::LeastRows };
    let known = Known { fields: &nesting.fields, whole: passed == Passed::All };
    let writes = running.into.is_some();
    Nested::new(&nesting.select, &nesting.apart, known, reads.unwrap_or(least), rows_max, writes)
}

/// Runs a SELECT over the rows of several groups, level by level; `through` is let through of them.
pub async fn run(
    running: &mut Running,
    id: usize,
    nesting: Nesting,
    through: Option<&Through>,
) -> Result<Ended, Refusal> {
    let mut nested = match nested(running, &nesting, through, None) {
        Ok(nested) => nested,
        Err(stop) => return stopped(running, id, stop, &nesting.split).await,
    };
    if let Some(error) = nested.wrong()
        && let Some(told) = objection(running, nesting.parts(), error).await?
    {
        return failed(running, id, told).await;
    }
    if let Some(into) = &mut running.into {
        into.come_with_tags();
    }
    let _place = running.place_to_gather().await?;
    let (mut rows, mut messages) = match gathered(running, id, &nesting, &nested, through).await? {
        Ok(gathered) => gathered,
        Err(ended) => return Ok(ended),
    };
    if nested.lacks_rows(&rows) {
        drop(rows);
        nested = match self::nested(running, &nesting, through, Some(Reads::Rows)) {
            Ok(nested) => nested,
            Err(stop) => return stopped(running, id, stop, &nesting.split).await,
        };
        (rows, messages) = match gathered(running, id, &nesting, &nested, through).await? {
            Ok(gathered) => gathered,
            Err(ended) => return Ok(ended),
        };
    }
    if running.tells_zones() {
        nested.tell_zone();
    }
    let looking = move || {
        nested.see(&rows);
        (nested.ordered_in_shards(&rows), nested, rows)
    };
    let (ordered, nested, mut rows) = on_a_thread(&running.context.queries, looking).await?;
    let shards = shards(running, &nested, &nesting, ordered).await?;
    let looking = move || {
        rows.iter_mut().zip(&shards).for_each(|(rows, shards)| know_shards(rows.iter_mut(), shards));
        (nested.adds_in_unknown(&rows), nested, rows)
    };
    let (unknown, nested, rows) = on_a_thread(&running.context.queries, looking).await?;
    if let Some(what) = unknown {
        return stopped(running, id, Stop::Refused(what), &nesting.split).await;
    }
    tell(running, id, nested, rows, messages, &nesting.split).await
}

/// The rows that are needed, by input, and what is said of them; the inner error: how it ended.
async fn gathered(
    running: &mut Running,
    id: usize,
    nesting: &Nesting,
    nested: &Nested,
    through: Option<&Through>,
) -> Result<Result<(Vec<Vec<Rows>>, Vec<Message>), Ended>, Refusal> {
    let passed = through.map_or(Passed::All, Through::passed);
    let asks = asks(nesting, nested);
    let filters = filters(nesting, through);
    let held = RefCell::new((vec![Vec::new(); asks.len()], 0));
    let take = |at: usize, series: Series, fields: usize| {
        let (given, bytes) = &mut *held.borrow_mut();
        let series = match &filters[asks[at].input] {
            Some(filter) => filter.pass(series, passed),
            None => Some(series),
        };
        let Some(series) = series else { return Ok(*bytes) };
        *bytes += add(&mut given[at], series, fields)?;
        Ok(*bytes)
    };
    let asked = asks.iter().enumerate();
    let parts = asked.map(|(at, ask)| gather(running, &ask.part, move |series| take(at, series, ask.fields)));
    let parts = join_all(parts).await;
    let (given, _) = held.into_inner();
    let mut rows: Vec<Vec<Rows>> = vec![Vec::new(); nesting.inputs.len()];
    let (mut behind, mut messages): (Vec<Behind>, Vec<Message>) = (Vec::new(), Vec::new());
    for ((ask, part), own) in asks.iter().zip(parts).zip(given) {
        match part {
            Ok(Part { behind: late, messages: said }) => {
                rows[ask.input].extend(own);
                behind.extend(late.filter(|late| !behind.contains(late)));
                messages.extend(said.into_iter().filter(|message| !messages.contains(message)).collect::<Vec<_>>());
            }
            Err(Broken::Failed(error)) => return failed(running, id, error).await.map(Err),
            Err(Broken::Refused(refusal)) => return Err(refusal),
        }
    }
    let rows =
        on_a_thread(&running.context.queries, move || rows.iter().try_for_each(|input| apart(input)).map(|()| rows))
            .await?;
    let rows = rows.map_err(|error| refuse(503, error))?;
    messages.splice(0..0, running.stale(&behind));
    Ok(Ok((rows, messages)))
}

/// What is let through, by input.
fn filters<'a>(nesting: &'a Nesting, through: Option<&'a Through>) -> Vec<Option<Filter<'a>>> {
    let inputs = nesting.readers().into_iter().zip(&nesting.inputs);
    inputs.map(|(reader, sources)| through?.of(reader, sources.iter().flat_map(|(_, own)| own))).collect()
}

/// When storage shards begin, by input, where that matters, or may matter and is known.
async fn shards(
    running: &Running,
    nested: &Nested,
    nesting: &Nesting,
    ordered: BTreeSet<usize>,
) -> Result<Vec<Shards>, Refusal> {
    let mut policies = lookup::Policies::new(&running.context);
    let mut shards = vec![Shards::new(); nesting.inputs.len()];
    let (cut, ends) = (nested.cut_in_shards(), nested.ends_in_shards());
    let inputs: BTreeSet<usize> = [&cut, &ends, &ordered].into_iter().flatten().copied().collect();
    for input in inputs {
        let groups: Vec<GroupIndex> = nesting.inputs[input].iter().map(|(group, _)| *group).collect();
        for source in nesting.inputs[input].iter().flat_map(|(_, sources)| sources) {
            let Source::Measurement(measurement) = source else { continue };
            let name = name_of(measurement).to_owned();
            if shards[input].contains_key(&name) {
                continue;
            }
            match policies.starts(&groups, measurement).await? {
                // Where they are not those of one InfluxDB nobody knows their order.
                Ok(known) if known.overlap && !cut.contains(&input) && !ends.contains(&input) => {}
                Ok(known) => drop(shards[input].insert(name, known.starts)),
                Err(refusal) if cut.contains(&input) => return Err(refusal),
                Err(_) => {}
            }
        }
    }
    Ok(shards)
}

/// What one group is asked for.
struct Ask {
    input: usize,
    part: (GroupIndex, Select),
    fields: usize,
}

fn asks(nesting: &Nesting, nested: &Nested) -> Vec<Ask> {
    let mut asks = Vec::new();
    for (input, (need, sources)) in nested.needs().iter().zip(&nesting.inputs).enumerate() {
        let Some(need) = need else { continue };
        asks.extend(sources.iter().map(|(group, sources)| {
            let part = (*group, Select { sources: sources.clone(), ..need.clone() });
            Ask { input, part, fields: need.fields.len() }
        }));
    }
    asks
}

/// Makes the series of the answer: one after the other, or, once that is not enough, all that are left together.
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
    let mut over = nested.begin();
    let (ordering, of) = (nested.clone(), rows.clone());
    let groups = Arc::new(on_a_thread(&running.context.queries, move || ordering.groups(&of)).await?);
    let mut told = 0;
    for number in 0..groups.len() {
        let (own, nested, rows) = (groups.clone(), nested.clone(), rows.clone());
        let making = move || {
            let one = (!over.wants_all()).then(|| nested.series(&rows, &own[number], &over));
            let made = match one.filter(|_| !over.wants_all()) {
                Some(one) => one,
                None => nested.all_series(&rows, &own).map(|all| all.into_iter().skip(told).collect::<Vec<Series>>()),
            };
            (made, over)
        };
        let (made, still) = on_a_thread(&running.context.queries, making).await?;
        over = still;
        let made = match made {
            Ok(made) => made,
            Err(stop) => return stopped(running, id, stop, split).await,
        };
        told += made.len();
        if made.is_empty() && !over.wants_all() {
            continue;
        }
        let result = StatementResult { series: made, ..StatementResult::default() };
        running.count(&result)?;
        result.series.into_iter().for_each(|series| emitter.push(series, &mut results));
        with_messages(&mut results, &mut messages);
        running.tell_all(&mut results).await?;
        if over.wants_all() {
            break;
        }
    }
    emitter.finish(&mut results);
    with_messages(&mut results, &mut messages);
    running.tell_all(&mut results).await?;
    Ok(Ended::Well)
}
