//! A SELECT over several groups: ask what they hold, plan, then put their series in order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use futures_util::future::join_all;

use crate::influxql::ast::{Expr, Field};
use crate::influxql::inspect::Mention;
use crate::influxql::reduced::reduce_dimensions;
use crate::influxql::{Measurement, Select, Source, Statement};
use crate::merge::alike::Alike;
use crate::merge::concatenate::{Concatenation as Joining, Next};
use crate::merge::results::{Message, NO_STATEMENT, Series, StatementResult, Value};
use crate::net::yield_if_needed;
use crate::plan::columns::Schema;
use crate::plan::select::{
    Concatenation, Passed, Planned, Selected, cuts_tag_sets, has_wildcard_call, made_here, narrowed, probe, questions,
    select as plan, typed, without_types,
};
use crate::plan::sources::{bound_by_now, join_names, leaf, name_regexes, regexes};
use crate::plan::subquery::{part_of, readers};
use crate::plan::{Circumstances, elsewhere, intervals};
use crate::topology::GroupIndex;

use super::gather::objection;
use super::partials::{Partial, document_rows};
use super::slimit::{self, Through};
use super::statement::{Context, Ended, PANIC, Running, is_panic};
use super::{Refusal, gather, into, lookup, refuse, subquery};

/// Runs a SELECT, or its EXPLAIN, that has to ask before it can be planned.
pub async fn run(running: &mut Running, id: usize, statement: &Statement) -> Result<Ended, Refusal> {
    let mut statement = statement.clone();
    statement.replace_now(running.context.now_ns);
    let (Statement::Select(select) | Statement::Explain { select, .. }) = &mut statement else {
        return Err(refuse(500, "only a SELECT has to ask before it is planned"));
    };
    reduce_dimensions(select);
    bound_by_now(select, running.context.now_ns);
    let found = regexes(select);
    if !found.is_empty() {
        let names = lookup::names(&running.context, &found).await?;
        name_regexes(select, &names);
        if let Some(error) = nowhere(&running.context, select, found).await? {
            return failed(running, id, error).await;
        }
    }
    let planned = plan_it(running, select).await?;
    let (key, zone) = (first_source(select), select.timezone.clone());
    let zone = zone.as_deref();
    let is_run = !matches!(statement, Statement::Explain { analyze: false, .. });
    let Settled { selected, listings, through } = match planned {
        Ok(planned) => planned,
        Err(error) if is_run => return failed(running, id, lookup::running(error)).await,
        Err(error) => return failed(running, id, error).await,
    };
    if let Statement::Explain { analyze, .. } = &statement {
        let parts = match selected {
            Selected::One(groups) => return running.relay(id, &groups, &statement.to_string(), &key, zone).await,
            Selected::Rewritten(group, part) => vec![(group, *part)],
            Selected::Concatenate(whole) => whole.parts,
            Selected::Gather(gathering) => {
                match gather::explained(running, id, &gathering, through.as_ref(), *analyze).await? {
                    Ok(parts) => parts,
                    Err(ended) => return Ok(ended),
                }
            }
            Selected::Nest(nesting) => {
                match subquery::explained(running, id, &nesting, through.as_ref(), *analyze).await? {
                    Ok(parts) => parts,
                    Err(ended) => return Ok(ended),
                }
            }
        };
        return explain(running, id, [listings, parts].concat(), *analyze).await;
    }
    if let Statement::Select(select) = &mut statement {
        join_names(select);
    }
    match selected {
        Selected::One(groups) => running.relay(id, &groups, &statement.to_string(), &key, zone).await,
        Selected::Rewritten(group, part) => running.relay(id, &[group], &asked(&part), &key, zone).await,
        Selected::Concatenate(whole) => concatenate(running, id, &statement, whole, zone, through.as_ref()).await,
        Selected::Gather(gathering) => gather::run(running, id, *gathering, through.as_ref()).await,
        Selected::Nest(nesting) => subquery::run(running, id, *nesting, through.as_ref()).await,
    }
}

/// What InfluxDB says of the places of regular expressions that mean nothing and stand in a SELECT no more: that there is no
/// such database or policy.
async fn nowhere(context: &Context, named: &Select, found: Vec<Measurement>) -> Result<Option<String>, Refusal> {
    let mut kept = BTreeSet::new();
    named.visit_measurements(&mut |mention| {
        if let Mention::Source(measurement) = mention {
            kept.insert((measurement.database.clone(), measurement.retention_policy.clone()));
        }
    });
    let is_read = |regex: &Measurement| kept.contains(&(regex.database.clone(), regex.retention_policy.clone()));
    let lost: Vec<Source> = found.into_iter().filter(|regex| !is_read(regex)).map(Source::Measurement).collect();
    match context.backends.topology.group_indexes().next() {
        Some(group) if !lost.is_empty() => {
            let fields = vec![Field { expr: Expr::Wildcard(None), alias: None }];
            lookup::invalid(context, group, &Select { fields, sources: lost, ..Select::default() }).await
        }
        _ => Ok(None),
    }
}

/// What a group is asked.
fn asked(part: &Select) -> String {
    let mut part = part.clone();
    join_names(&mut part);
    part.to_string()
}

pub async fn failed(running: &mut Running, id: usize, error: String) -> Result<Ended, Refusal> {
    let error = as_written(running, id, error).await?;
    let (id, ended) = if is_panic(&error) { (NO_STATEMENT, Ended::Panicked) } else { (id, Ended::Failed) };
    running.tell(StatementResult::failed(id, error)).await?;
    Ok(ended)
}

/// An InfluxDB that panics tells over which request: that is the client's, with the places of the measurements of what it has
/// carried out, not what the group was asked.
pub async fn as_written(running: &Running, id: usize, error: String) -> Result<String, Refusal> {
    let Some(at) = error.rfind(PANIC) else { return without_our_types(running, id, error).await };
    let mut texts = Vec::new();
    for (number, statement) in running.query.statements.iter().enumerate() {
        let mut statement = statement.clone();
        if let (true, Statement::Select(select) | Statement::Explain { select, .. }) = (number <= id, &mut statement) {
            **select = into::named_in_full(&running.context, select).await?;
        }
        texts.push(statement.to_string());
    }
    Ok(format!("{}{}", texts.join(";\n"), &error[at..]))
}

/// The error of one group about names behind which types were written: InfluxDB's words about what the client wrote.
async fn without_our_types(running: &Running, id: usize, error: String) -> Result<String, Refusal> {
    let first = running.context.backends.topology.group_indexes().next();
    match (running.query.statements.get(id), first) {
        (Some(Statement::Select(select)), Some(group)) => untyped(running, group, select, error).await,
        _ => Ok(error),
    }
}

/// Where a SELECT runs, and what was asked for that.
struct Settled {
    selected: Selected,
    /// What the groups have listed for SLIMIT and SOFFSET.
    listings: Vec<(GroupIndex, Select)>,
    /// What these let through of the rows; `None`: all of them.
    through: Option<Through>,
}

/// The inner error is the statement's own.
async fn plan_it(running: &Running, select: &Select) -> Result<Result<Settled, String>, Refusal> {
    let context = &running.context;
    let circumstances =
        Circumstances { topology: &context.backends.topology, db: context.asked.params.get("db"), may_write: false };
    let made_here = running.into.as_ref().is_some_and(|into| into.made_here);
    let probe = match made_here {
        true => questions(select, circumstances),
        false => probe(select, circumstances),
    };
    let probe = probe.map_err(|reason| refuse(400, reason))?;
    let first = probe.first().map(|question| question.group);
    let schemas = match lookup::schemas(context, &probe).await? {
        Ok(schemas) => schemas,
        // Before it looks for a measurement's place InfluxDB looks at the statement itself.
        Err(error) => {
            let first = match first {
                Some(group) => lookup::invalid(context, group, select).await?,
                None => None,
            };
            return Ok(Err(first.unwrap_or(error)));
        }
    };
    let mut known = select.clone();
    if let Err(error) = know_elsewhere(context, &mut known, &schemas).await? {
        return Ok(Err(error));
    }
    let is_told = known != *select;
    let select = &known;
    let plan = |select: &Select| match made_here {
        true => self::made_here(select, &schemas, circumstances).map(Planned::Runs),
        false => plan(select, &schemas, circumstances),
    };
    let planned = plan(select);
    // What is wrong in InfluxDB's eyes too is told in its words.
    if let Some(group) =
        first.filter(|_| !planned.as_ref().is_ok_and(Planned::is_told_by_groups) || has_wildcard_call(select))
        && let Some(error) = lookup::invalid(context, group, &typed(select, &schemas)).await?
        // Whether there is a series of it is asked when it runs.
        && !(planned.is_ok() && error.contains(" iterator type: "))
    {
        return Ok(Err(untyped(running, group, select, error).await?));
    }
    // What InfluxDB takes is read as it reads it.
    let mut read = select.clone();
    let planned = match planned {
        Ok(planned) if planned.is_told_by_groups() => Ok(planned),
        planned if !intervals::settle(&mut read) => planned,
        _ => plan(&read),
    };
    let limits = match planned.map_err(|reason| refuse(400, reason))? {
        Planned::Lists(limits) => limits,
        Planned::Runs(selected) => {
            let selected = match selected {
                // It would not know what the others have told.
                Selected::One(groups) if is_told => match groups.first() {
                    Some(group) => Selected::Rewritten(*group, Box::new(select.clone())),
                    None => Selected::One(groups),
                },
                selected => selected,
            };
            return Ok(Ok(Settled { selected, listings: Vec::new(), through: None }));
        }
    };
    let mut limits = *limits;
    if let Err(error) = slimit::know(context, &mut limits, &mut read).await? {
        return Ok(Err(error));
    }
    let through = match Through::list(context, &limits).await? {
        Ok(through) => through,
        Err(error) => return Ok(Err(error)),
    };
    let selected = if through.is_empty(readers(select).len()) {
        // A group without a storage shard in the range looks at nothing; of what subqueries make, types may be wrong.
        let is_nested = read.sources.iter().any(|source| matches!(source, Source::Subquery(_)));
        let groups = match is_nested {
            true => limits.groups(),
            false => limits.listings(None).into_iter().map(|(group, _)| group).collect(),
        };
        let part = without_series(&typed(&read, &schemas));
        let parts = groups.into_iter().map(|group| (group, part.clone())).collect();
        Selected::Concatenate(Concatenation { parts, descending: false })
    } else {
        let mut rest = read;
        limits.narrow(&mut rest, &through.sets());
        narrowed(&rest, &schemas, through.passed(), circumstances).map_err(|reason| refuse(400, reason))?
    };
    Ok(Ok(Settled { selected, listings: limits.listings(None), through: Some(through) }))
}

/// Has the groups tell which names in WHERE are fields that nothing that is read has. The inner error is InfluxDB's own.
async fn know_elsewhere(
    context: &Context,
    select: &mut Select,
    schemas: &[Schema],
) -> Result<Result<(), String>, Refusal> {
    let (topology, db) = (&context.backends.topology, context.asked.params.get("db"));
    let groups: Vec<GroupIndex> = topology.group_indexes().collect();
    let mut fields = BTreeMap::new();
    for measurement in elsewhere::measurements(select, schemas, topology, db) {
        match lookup::fields_anytime(context, &groups, measurement).await {
            Ok(Ok(known)) => drop(fields.insert(measurement.to_string(), known)),
            Ok(Err(error)) => return Ok(Err(error)),
            // Whether an index knows of other times only those may ask who may SHOW STATS.
            Err(refusal) if refusal.denied => return Ok(Ok(())),
            Err(refusal) => return Err(refusal),
        }
    }
    elsewhere::settle(select, schemas, &fields).map(Ok).map_err(|reason| refuse(400, reason))
}

/// The same of no series: InfluxDB looks at the types of some calls all the same.
fn without_series(select: &Select) -> Select {
    let mut none = Select { into: None, slimit: 1, soffset: u64::from(u32::MAX), ..select.clone() };
    for source in &mut none.sources {
        if let Source::Subquery(inner) = source {
            **inner = without_series(inner);
        }
    }
    none
}

/// What a group has against a SELECT in which types were written out: its words about the client's `own`, where these are the
/// same without types. (Types that InfluxDB itself tells are those of all groups: so are those of a type error, which a group
/// that lacks the field would not tell.)
async fn untyped(running: &Running, group: GroupIndex, own: &impl Display, error: String) -> Result<String, Refusal> {
    let bare = without_types(&error);
    if bare == error || error.starts_with("type error: ") {
        return Ok(error);
    }
    let said = lookup::invalid(&running.context, group, own).await?;
    Ok(said.filter(|said| *said == bare).unwrap_or(error))
}

/// What decides which replica of a group is asked.
pub fn first_source(select: &Select) -> String {
    let mut key = String::new();
    select.visit_measurements(&mut |mention| {
        if let (true, Mention::Source(measurement)) = (key.is_empty(), mention) {
            key = measurement.to_string();
        }
    });
    key
}

/// The groups' parts at once, their series in InfluxDB's order.
async fn concatenate(
    running: &mut Running,
    id: usize,
    own: &Statement,
    whole: Concatenation,
    zone: Option<&str>,
    through: Option<&Through>,
) -> Result<Ended, Refusal> {
    let sources: Vec<Source> =
        whole.parts.iter().filter_map(|(_, part)| leaf(part)).flat_map(|own| own.sources.clone()).collect();
    let filter = through.and_then(|through| through.of(0, sources.iter()));
    let texts: Vec<(u16, String, String)> =
        whole.parts.iter().map(|(group, part)| (*group, asked(part), first_source(part))).collect();
    // One document of each group is held. Rows are cut anew for the client.
    let rows = document_rows(whole.parts.iter().map(|(_, part)| part.fields.len()).max().unwrap_or_default());
    let beginning = texts.iter().map(async |(group, text, key)| running.begin(&[*group], text, key, zone, rows).await);
    let begun: Result<Vec<Partial>, Refusal> = join_all(beginning).await.into_iter().collect();
    let mut parts = begun?;
    let behind: Vec<_> = parts.iter_mut().filter_map(|part| part.behind.take()).collect();
    let mut messages = running.stale(&behind);
    let mut joining = Joining::new(parts.len(), whole.descending);
    let mut alike = whole.parts.first().filter(|(_, part)| cuts_tag_sets(part)).map(|_| Alike::default());
    let (mut emitter, mut results) = (running.emitter(id), Vec::new());
    loop {
        match joining.take_next().map_err(|error| refuse(503, error))? {
            Next::Wants(at) => match parts[at].next().await.map_err(|error| refuse(503, error))? {
                None => joining.end(at),
                Some(StatementResult { error: Some(error), .. }) => {
                    let error = match is_panic(&error) {
                        true => objection(running, by_measurement(&whole.parts[at]), &error).await?.unwrap_or(error),
                        false => error,
                    };
                    let error = untyped(running, texts[at].0, own, error).await?;
                    return failed(running, id, error).await;
                }
                Some(mut result) => {
                    if let Some(filter) = &filter {
                        let all = result.series.into_iter();
                        result.series = all.filter_map(|series| filter.pass(series, Passed::Series)).collect();
                    }
                    if let Some(alike) = &mut alike {
                        let added = result.series.iter().try_for_each(|series| alike.add(Some(at), series));
                        added.map_err(|reason| refuse(400, reason))?;
                    }
                    running.count(&result)?;
                    messages
                        .extend(result.messages.iter().filter(|m| !messages.contains(m)).cloned().collect::<Vec<_>>());
                    result.series.into_iter().for_each(|series| joining.push(at, series));
                }
            },
            Next::Piece(series) => {
                emitter.push(series, &mut results);
                with_messages(&mut results, &mut messages);
                running.tell_all(&mut results).await?;
            }
            Next::End => break,
        }
        yield_if_needed().await;
    }
    emitter.finish(&mut results);
    with_messages(&mut results, &mut messages);
    running.tell_all(&mut results).await?;
    Ok(Ended::Well)
}

/// A group's part, by each of its measurements alone. InfluxDB panics over a call that one's type does not have behind one of
/// which it has no series, though others may have some.
fn by_measurement((group, part): &(GroupIndex, Select)) -> Vec<(GroupIndex, Select)> {
    let mut measurements = Vec::new();
    part.visit_measurements(&mut |mention| {
        if let Mention::Source(measurement) = mention
            && !measurements.contains(&measurement)
        {
            measurements.push(measurement);
        }
    });
    let alone = |own: &Measurement| part_of(part, &|measurement| measurement == own).map(|part| (*group, part));
    measurements.into_iter().filter_map(alone).collect()
}

/// What each group says of its part, behind a line that says which part that is: there is no such line where one group answers
/// what the client wrote.
async fn explain(
    running: &mut Running,
    id: usize,
    parts: Vec<(GroupIndex, Select)>,
    analyze: bool,
) -> Result<Ended, Refusal> {
    let (verb, column) = if analyze { ("EXPLAIN ANALYZE", "EXPLAIN ANALYZE") } else { ("EXPLAIN", "QUERY PLAN") };
    let mut values = Vec::new();
    for (group, part) in &parts {
        let result = lookup::whole(&running.context, *group, format!("{verb} {part}")).await?;
        if let Some(error) = result.error {
            return failed(running, id, error).await;
        }
        let number = running.context.backends.topology.group(*group).id;
        if !values.is_empty() {
            values.push(vec![Value::String(String::new())]);
        }
        values.push(vec![Value::String(format!("GROUP {number}: {part}"))]);
        values.extend(result.series.into_iter().flat_map(|series| series.values));
    }
    let series = vec![Series { columns: vec![column.to_owned()], values, ..Series::default() }];
    running.tell(StatementResult { statement_id: id, series, ..StatementResult::default() }).await?;
    Ok(Ended::Well)
}

/// They go with the first result.
fn with_messages(results: &mut [StatementResult], messages: &mut Vec<Message>) {
    if let Some(first) = results.first_mut() {
        first.messages.append(messages);
    }
}
