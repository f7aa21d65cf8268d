//! A SHOW statement over several servers, asked and joined as `plan::show` says. What each group says is held at once,
//! within `query.merge_bytes_max`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Instant;

use futures_util::future::join_all;
use hyper::Method;

use crate::backend::Backend;
use crate::influxql::ast::{MeasurementName, ShowCardinality};
use crate::influxql::range::TimeRange;
use crate::influxql::{Measurement, Statement};
use crate::merge::emit::{CHUNK_ROWS, Emitter};
use crate::merge::results::{Answer, Message, Series, StatementResult, Value, parse};
use crate::merge::show::{self as join, Parts};
use crate::net::yield_if_needed;
use crate::plan::Circumstances;
use crate::plan::columns::Schema;
use crate::plan::names::{Operation, Step};
use crate::plan::rewritten::{
    CutKeys, VALUE_COLUMN, counted, cut_keys, fields_within, probe, reads_fields, settle, values,
};
use crate::plan::select::without_types;
use crate::plan::show::{
    Cut, Join, Names, OfReplicas, Part, Show, TimedTags, counted_by_shards, decide, deciding, in_policies, plan,
    series_places, timed_tags,
};
use crate::topology::GroupIndex;

use super::beside::beside;
use super::choose::Behind;
use super::forward::candidates;
use super::partials::{Ask, Times};
use super::running::deprecated;
use super::select::as_written;
use super::statement::{Context, Ended, Running, ended, goes_on, told_id};
use super::{Refusal, lookup, refuse};

/// What there is to say, or the statement's own error.
type Shown = Result<Vec<StatementResult>, String>;

/// Runs a SHOW statement that one server alone cannot answer.
pub async fn run(running: &mut Running, id: usize, statement: &Statement) -> Result<Ended, Refusal> {
    let mut statement = statement.clone();
    statement.replace_now(running.context.now_ns);
    let queries = running.context.queries.running.clone();
    let shown = match plan(&statement, circumstances(&running.context)) {
        Some(Show::Groups(groups, part)) => of_groups(running, id, &groups, *part).await?,
        Some(Show::Names(groups, names)) => of_names(running, id, &groups, names).await?,
        Some(Show::Replicas(of)) => of_replicas(running, id, &statement, of).await?,
        Some(Show::Queries) => Ok(vec![queries.show(id, Instant::now())]),
        Some(Show::Kill(query)) => queries.kill(query).map(|()| {
            let by_get = running.context.asked.method == Method::GET;
            let messages = by_get.then(|| deprecated(&statement)).into_iter().collect();
            vec![StatementResult { messages, ..result(id, Vec::new()) }]
        }),
        None => return Err(refuse(500, "not a statement that several servers answer")),
    };
    match shown {
        Ok(mut results) => {
            running.tell_all(&mut results).await?;
            Ok(Ended::Well)
        }
        Err(error) => {
            let error = as_written(running, id, error).await?;
            let ended = ended(&error, |error| goes_on(&statement, error));
            running.tell(StatementResult::failed(told_id(id, &error), error)).await?;
            Ok(ended)
        }
    }
}

fn circumstances(context: &Context) -> Circumstances<'_> {
    Circumstances { topology: &context.backends.topology, db: context.asked.params.get("db"), may_write: false }
}

/// Asks one replica of each group at once and joins what they say.
async fn of_groups(running: &mut Running, id: usize, groups: &[GroupIndex], mut part: Part) -> Result<Shown, Refusal> {
    let deciding = deciding(&part.statement);
    if !deciding.is_empty() {
        decide(&mut part.statement, &lookup::names(&running.context, &deciding).await?);
    }
    let own = part.statement.clone();
    if let Some(probe) = probe(&part.statement) {
        match schema(&running.context, groups, &probe).await? {
            Ok(schema) => settle(&mut part.statement, &schema).map_err(|reason| refuse(400, reason))?,
            Err(error) => return Ok(Err(error)),
        }
    }
    if let Some(keys) = cut_keys(&part.statement, part.limit, part.offset).map_err(|reason| refuse(400, reason))? {
        let cut = keys_of_shards(running, groups, &own, &keys, part.offset).await?;
        return Ok(cut.map(|(series, messages)| emitted(id, series, part.cut, running.emitter(id), messages)));
    }
    let (parts, behind) = ask_groups(&running.context, groups, &part.statement).await?;
    let mut messages = running.stale(&behind);
    let Parts { parts, messages: told } = match Parts::of(parts) {
        Ok(parts) => parts,
        Err(error) => return Ok(Err(untyped(&running.context, groups, &own, error).await?)),
    };
    messages.extend(told);
    let parts = match of_other_shards(running, groups, &part.statement, parts, &mut messages).await? {
        Ok(parts) => parts,
        Err(error) => return Ok(Err(error)),
    };
    let parts = match of_other_policies(running, groups, &part.statement, parts, &mut messages).await? {
        Ok(parts) => parts,
        Err(error) => return Ok(Err(error)),
    };
    let Part { statement, join, limit, offset, cut } = part;
    let context = &running.context;
    let series = match join {
        Join::Rows => joined(context, parts, join::rows).await?,
        Join::SeriesKeys => joined(context, parts, join::series_keys).await?,
        Join::Sum => joined(context, parts, join::sum).await?,
        Join::Measurements => joined(context, parts, join::measurements).await?,
        Join::CountOfNames(column) => joined(context, parts, move |parts| join::count_of_names(parts, column)).await?,
        Join::Recount => match recounted(&running.context, groups, &statement, parts).await? {
            Ok(counts) => counts,
            Err(error) => return Ok(Err(error)),
        },
    };
    let emitter = running.emitter(id);
    Ok(Ok(emitted(id, join::limited(series, limit, offset), cut, emitter, messages)))
}

/// The groups whose part is empty, where there are others.
fn silent(running: &Running, groups: &[GroupIndex], parts: &[Vec<Series>]) -> Vec<GroupIndex> {
    if running.context.backends.topology.groups().len() == 1 {
        return Vec::new();
    }
    groups.iter().zip(parts).filter(|(_, part)| part.is_empty()).map(|(group, _)| *group).collect()
}

/// The parts of a listing of tags with a time, with those of groups that have no storage shard at that time where another
/// group has one: in one InfluxDB that shard leads to what all of them have. The inner error is the statement's own.
///
/// Shards are asked for only where they matter: of groups that would have something to add.
async fn of_other_shards(
    running: &mut Running,
    groups: &[GroupIndex],
    statement: &Statement,
    mut parts: Vec<Vec<Series>>,
    messages: &mut Vec<Message>,
) -> Result<Result<Vec<Vec<Series>>, String>, Refusal> {
    let silent = silent(running, groups, &parts);
    if silent.is_empty() {
        return Ok(Ok(parts));
    }
    let db = running.context.asked.params.get("db").to_owned();
    let Some(timed) = timed_tags(statement, &db).map_err(|reason| refuse(400, reason))? else { return Ok(Ok(parts)) };
    let (anytime, behind) = ask_groups(&running.context, &silent, &timed.anytime).await?;
    let says = |(_, result): &(GroupIndex, StatementResult)| result.error.is_some() || !result.series.is_empty();
    let others: Vec<(GroupIndex, StatementResult)> = silent.into_iter().zip(anytime).filter(says).collect();
    let other_groups: Vec<GroupIndex> = others.iter().map(|(group, _)| *group).collect();
    let left = match out_of_time(&running.context, &other_groups, &timed, parts.iter().all(Vec::is_empty)).await? {
        Ok(left) => left,
        Err(error) => return Ok(Err(error)),
    };
    if left.is_empty() {
        return Ok(Ok(parts));
    }
    messages.extend(running.stale(&behind));
    let others = others.into_iter().filter(|(group, _)| left.contains(group)).map(|(_, result)| result);
    Ok(Parts::of(others.collect()).map(|others| {
        parts.extend(others.parts);
        parts
    }))
}

/// The parts of a listing of series, with those of groups that have no storage shard of its policies where another group has
/// one: in one InfluxDB that shard leads to what all of them have, in any policy. The inner error is the statement's own.
async fn of_other_policies(
    running: &mut Running,
    groups: &[GroupIndex],
    statement: &Statement,
    mut parts: Vec<Vec<Series>>,
    messages: &mut Vec<Message>,
) -> Result<Result<Vec<Vec<Series>>, String>, Refusal> {
    let silent = silent(running, groups, &parts);
    if silent.is_empty() {
        return Ok(Ok(parts));
    }
    let Some(places) = series_places(statement) else { return Ok(Ok(parts)) };
    let (db, _) = lookup::place_of(&running.context, &places[0]).await?;
    let policies = match lookup::policy_names(&running.context, &db).await? {
        Ok(policies) if policies.len() > 1 => policies,
        Err(error) if !lookup::is_no_database(&error) => return Ok(Err(error)),
        _ => return Ok(Ok(parts)),
    };
    let (others, behind) = ask_groups(&running.context, &silent, &in_policies(statement, &places, &policies)).await?;
    let others = match Parts::of(others) {
        Ok(others) if others.parts.iter().all(Vec::is_empty) => return Ok(Ok(parts)),
        Ok(others) => others,
        Err(error) => return Ok(Err(error)),
    };
    // Whoever lists something has a shard.
    if parts.iter().all(Vec::is_empty) && !has_shards(&running.context, &db, &places).await? {
        return Ok(Ok(parts));
    }
    messages.extend(running.stale(&behind));
    for (group, part) in silent.into_iter().zip(others.parts).filter(|(_, part)| !part.is_empty()) {
        match lookup::indexes_each_shard(&running.context, group, &db).await? {
            Ok(true) => {}
            Ok(false) => parts.push(part),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(parts))
}

/// Whether any group has a storage shard of the policies of these sources, of expressions those that mean something.
async fn has_shards(context: &Context, db: &str, places: &[Measurement]) -> Result<bool, Refusal> {
    let groups: Vec<GroupIndex> = context.backends.topology.group_indexes().collect();
    let is_regex = |place: &&Measurement| matches!(place.name, MeasurementName::Regex(_));
    let regexes: Vec<Measurement> = places.iter().filter(is_regex).cloned().collect();
    let names = lookup::names(context, &regexes).await?;
    for place in places {
        if names.get(&place.to_string()).is_some_and(BTreeSet::is_empty) {
            continue;
        }
        let (_, policy) = lookup::place_of(context, place).await?;
        let shards = lookup::shards(context, &groups, db, &policy).await?;
        if !shards.map_err(|error| refuse(503, format!("storage shards are not told: {error}")))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Those of these groups that have no storage shard at the time of a listing where another group has one, and one index of
/// all their shards; `unknown`: no group has listed anything yet. The inner error is the statement's own.
async fn out_of_time(
    context: &Context,
    groups: &[GroupIndex],
    timed: &TimedTags,
    unknown: bool,
) -> Result<Result<Vec<GroupIndex>, String>, Refusal> {
    let within = match lookup::groups_within(context, groups, &timed.db, timed.range).await? {
        Ok(within) => within,
        Err(error) => return Ok(Err(error)),
    };
    let outside: Vec<GroupIndex> = groups.iter().copied().filter(|group| !within.contains(group)).collect();
    if !outside.is_empty() && unknown && within.is_empty() {
        let all = context.backends.topology.group_indexes();
        let rest: Vec<GroupIndex> = all.filter(|group| !groups.contains(group)).collect();
        match lookup::groups_within(context, &rest, &timed.db, timed.range).await? {
            Ok(within) if within.is_empty() => return Ok(Ok(Vec::new())),
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
    let mut left = Vec::new();
    for group in outside {
        match lookup::indexes_each_shard(context, group, &timed.db).await? {
            Ok(true) => {}
            Ok(false) => left.push(group),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(left))
}

/// What groups have against a statement in which types were written out: a group's words about the client's `own`, where these
/// are the same without types.
async fn untyped(context: &Context, groups: &[GroupIndex], own: &Statement, error: String) -> Result<String, Refusal> {
    let Some(&group) = groups.first().filter(|_| probe(own).is_some()) else { return Ok(error) };
    let said = lookup::whole(context, group, own.to_string()).await?.error;
    Ok(said.filter(|said| *said == without_types(&error)).unwrap_or(error))
}

/// Sorting takes long where there is much.
async fn joined(
    context: &Context,
    parts: Vec<Vec<Series>>,
    join: impl FnOnce(Vec<Vec<Series>>) -> Vec<Series> + Send + 'static,
) -> Result<Vec<Series>, Refusal> {
    beside(&context.queries, join::bytes(&parts), move || join(parts)).await
}

/// What is in the measurements of all groups; the inner error is the statement's own.
async fn schema(
    context: &Context,
    groups: &[GroupIndex],
    probe: &Statement,
) -> Result<Result<Schema, String>, Refusal> {
    let parts = match listed(context, groups, probe).await? {
        Ok(parts) => parts,
        Err(error) => return Ok(Err(error)),
    };
    let mut schema = Schema::default();
    for (group, part) in groups.iter().zip(parts) {
        let lines = part.iter().flat_map(|series| &series.values).filter_map(|row| row.first()?.as_str());
        let group = context.backends.topology.group(*group).id;
        schema.add_explained(lines).map_err(|error| refuse(503, format!("group {group}: {error}")))?;
    }
    Ok(Ok(schema))
}

/// Counts of groups -> of the whole: what several count is listed. The inner error is the statement's own.
async fn recounted(
    context: &Context,
    groups: &[GroupIndex],
    statement: &Statement,
    parts: Vec<Vec<Series>>,
) -> Result<Result<Vec<Series>, String>, Refusal> {
    let Statement::ShowCardinality(show) = statement else { return Err(refuse(500, "only counts are counted anew")) };
    let names: BTreeSet<String> = parts.iter().flatten().map(|series| series.name.clone()).collect();
    if let Some(name) = counted_by_shards(show, &names, circumstances(context)) {
        return recounted_by_shards(context, groups, show, name, &names, join::counts(parts).0).await;
    }
    let (counts, shared) = join::counts(parts);
    let Some(list) = values(show, &shared).filter(|_| !shared.is_empty()) else { return Ok(Ok(counts)) };
    Ok(match listed(context, groups, &list).await? {
        Ok(parts) => Ok(joined(context, parts, |parts| join::recounted(counts, parts, VALUE_COLUMN)).await?),
        Err(error) => Err(error),
    })
}

/// Counts of the fields of those storage shards in which series fit: groups list what each shard has, one after the other. The
/// inner error is the statement's own.
async fn recounted_by_shards(
    context: &Context,
    groups: &[GroupIndex],
    show: &ShowCardinality,
    name: &str,
    names: &BTreeSet<String>,
    counts: Vec<Series>,
) -> Result<Result<Vec<Series>, String>, Refusal> {
    let refuses = |why: &str| {
        Err(refuse(
            400,
            format!(
                "SHOW FIELD KEY CARDINALITY with WHERE or GROUP BY is not supported over measurement {name:?}, whose series \
                 live in several groups, {why}"
            ),
        ))
    };
    if show.condition.as_ref().is_some_and(reads_fields) {
        return refuses("with a field in WHERE");
    }
    let sources = counted(show, names);
    let place = |source: &Measurement| (source.database.clone(), source.retention_policy.clone());
    let written: BTreeMap<_, &Measurement> = sources.iter().map(|source| (place(source), source)).collect();
    let mut places = BTreeSet::new();
    for source in written.into_values() {
        places.insert(lookup::place_of(context, source).await?);
    }
    let [(db, policy)] = &Vec::from_iter(places)[..] else { return refuses("in several databases or policies") };
    let shards = match lookup::shards(context, groups, db, policy).await? {
        Ok(shards) => shards,
        Err(error) => return Ok(Err(error)),
    };
    if lookup::overlap(&shards) {
        return refuses("where the storage shards of the groups do not begin and end at the same times");
    }
    let mut fields = join::Fields::default();
    for shard in shards {
        let [of_series, of_all] = fields_within(show, &sources, shard);
        let (found, all) = match (listed(context, groups, &of_series).await?, listed(context, groups, &of_all).await?) {
            (Ok(found), Ok(all)) => (found, all),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        };
        let bytes = join::bytes(&found) + join::bytes(&all);
        fields = beside(&context.queries, bytes, move || fields.with(found, all, VALUE_COLUMN)).await?;
    }
    Ok(Ok(fields.counted(counts)))
}

/// The series that InfluxDB lists with a time behind the first `offset`, without LIMIT: of each measurement it reads one more
/// than these in each storage shard. The inner error is the statement's own.
async fn keys_of_shards(
    running: &mut Running,
    groups: &[GroupIndex],
    own: &Statement,
    keys: &CutKeys,
    offset: u64,
) -> Result<Result<(Vec<Series>, Vec<Message>), String>, Refusal> {
    let mut messages: Vec<Message> = Vec::new();
    let mut places: BTreeMap<(String, String), Vec<Measurement>> = BTreeMap::new();
    for source in &keys.sources {
        places.entry(lookup::place_of(&running.context, source).await?).or_default().push(source.clone());
    }
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
    let read_each = skipped.saturating_add(1);
    let mut found: BTreeSet<String> = BTreeSet::new();
    for ((db, policy), sources) in places {
        let shards = match lookup::shards(&running.context, groups, &db, &policy).await? {
            Ok(shards) => shards,
            Err(error) => return Ok(Err(error)),
        };
        if lookup::overlap(&shards) {
            return Err(refuse(
                400,
                format!(
                    "SHOW SERIES with a time and OFFSET without LIMIT is not supported here: InfluxDB cuts what each storage \
                     shard has, and those of the groups do not begin and end at the same times ({db}.{policy})"
                ),
            ));
        }
        let is_read = |shard: &TimeRange| shard.start <= keys.range.end && keys.range.start <= shard.end;
        let read: Vec<TimeRange> = shards.into_iter().filter(is_read).collect();
        // What is wrong with it InfluxDB says where there are no shards, too.
        for shard in if read.is_empty() { vec![keys.range] } else { read } {
            let (parts, behind) = ask_groups(&running.context, groups, &keys.within(&sources, shard)).await?;
            let told = running.stale(&behind);
            messages.extend(told.into_iter().filter(|told| !messages.contains(told)).collect::<Vec<_>>());
            let parts = match Parts::of(parts) {
                Ok(Parts { parts, .. }) => parts,
                Err(error) => return Ok(Err(untyped(&running.context, groups, own, error).await?)),
            };
            let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for series in parts.into_iter().flatten() {
                let cells = series.values.iter().filter_map(|row| row.get(VALUE_COLUMN)?.as_str());
                all.entry(series.name.clone()).or_default().extend(cells.map(str::to_owned));
            }
            for mut listed in all.into_values() {
                listed.sort_unstable();
                listed.dedup();
                found.extend(listed.into_iter().take(read_each));
            }
            yield_if_needed().await;
        }
    }
    // Rows have the time 0, at which InfluxDB stops reading forwards when the range ends before.
    if found.len() <= skipped || keys.range.end < 0 {
        return Ok(Ok((Vec::new(), messages)));
    }
    let values = found.into_iter().skip(skipped).map(|key| vec![Value::String(key)]).collect();
    Ok(Ok((vec![Series { columns: vec!["key".to_owned()], values, ..Series::default() }], messages)))
}

/// What each group says to a statement; the inner error is the statement's own.
async fn listed(
    context: &Context,
    groups: &[GroupIndex],
    list: &Statement,
) -> Result<Result<Vec<Vec<Series>>, String>, Refusal> {
    let (lists, _) = ask_groups(context, groups, list).await?;
    Ok(Parts::of(lists).map(|Parts { parts, .. }| parts))
}

/// Asks every question of all groups and calculates with the answers.
async fn of_names(running: &mut Running, id: usize, groups: &[GroupIndex], names: Names) -> Result<Shown, Refusal> {
    let (mut sets, mut messages): (Vec<Vec<Series>>, Vec<Message>) = (Vec::new(), Vec::new());
    for step in &names.steps {
        let set = match step {
            Step::Ask(statement) => {
                let (parts, behind) = ask_groups(&running.context, groups, statement).await?;
                for told in running.stale(&behind) {
                    if !messages.contains(&told) {
                        messages.push(told);
                    }
                }
                match Parts::of(parts) {
                    Ok(Parts { parts, .. }) => joined(&running.context, parts, join::rows).await?,
                    Err(error) => return Ok(Err(error)),
                }
            }
            Step::Join(operation) => {
                let (Some(upper), Some(lower)) = (sets.pop(), sets.pop()) else {
                    return Err(refuse(500, "WHERE has not become two sets to join"));
                };
                match operation {
                    Operation::And => join::compared(lower, &upper, true),
                    Operation::Except => join::compared(lower, &upper, false),
                    Operation::Or => join::rows(vec![lower, upper]),
                }
            }
        };
        sets.push(set);
        yield_if_needed().await;
    }
    let [set] = <[_; 1]>::try_from(sets).map_err(|_| refuse(500, "WHERE has not become one set"))?;
    let series = join::limited(set, names.limit, names.offset);
    Ok(Ok(emitted(id, series, Cut::Whole, running.emitter(id), messages)))
}

async fn ask_groups(
    context: &Context,
    groups: &[GroupIndex],
    statement: &Statement,
) -> Result<(Vec<StatementResult>, Vec<Behind>), Refusal> {
    let text = statement.to_string();
    for group in groups {
        // All first, so that nobody is asked when one of them refuses.
        candidates(&context.queries, &context.backends, &[*group], || text.clone())?;
    }
    let asking = groups.iter().map(async |group| {
        let Context { queries, backends, asked, until, .. } = context;
        let (groups, text, key) = (&[*group][..], text.as_str(), text.as_str());
        let chunk_rows = CHUNK_ROWS;
        Ask { queries, backends, asked, groups, text, key, chunk_rows, times: Times::Moments, until: *until }
            .whole()
            .await
    });
    let answers: Result<Vec<_>, Refusal> = join_all(asking).await.into_iter().collect();
    let (parts, behind): (Vec<_>, Vec<_>) = answers?.into_iter().unzip();
    Ok((parts, behind.into_iter().flatten().collect()))
}

/// Asks every replica, since each is a server of its own.
async fn of_replicas(
    running: &mut Running,
    id: usize,
    statement: &Statement,
    of: OfReplicas,
) -> Result<Shown, Refusal> {
    let Context { queries, backends, asked, until, .. } = &running.context;
    let text = statement.to_string();
    let replicas: Vec<&Rc<Backend>> = backends.all().collect();
    let bytes_max = queries.config.query.merge_bytes_max.0 / replicas.len().max(1);
    let asking = replicas.iter().map(async |replica| {
        // In JSON, which alone prints a server's durations as text.
        let request = || asked.for_merging(&text);
        let answer = replica.pool.exchange(request, *until).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.into_body().whole_by(bytes_max, *until).await.map_err(|error| error.to_string())?;
        match status.is_success() {
            true => parse(&body).map(one_result),
            false => Err(format!("answered {status}: {}", String::from_utf8_lossy(&body).trim())),
        }
    });
    let mut parts: Vec<(String, Vec<Series>)> = Vec::new();
    let mut silent = Vec::new();
    for (replica, answer) in replicas.iter().zip(join_all(asking).await) {
        let name = &replica.target.name;
        match answer {
            Ok(StatementResult { error: Some(error), .. }) => return Ok(Err(error)),
            Ok(result) => parts.push((name.clone(), result.series)),
            Err(reason) => silent.push(format!("replica {name} {reason}")),
        }
    }
    if parts.is_empty() {
        return Err(refuse(503, format!("no answer: {}", silent.join("; "))));
    }
    let messages =
        silent.into_iter().map(|silent| Message::warning(format!("{silent}; its part is missing"))).collect();
    let series = match of {
        OfReplicas::Each => join::concatenated(parts, "replica"),
        OfReplicas::Union => join::union(parts.into_iter().map(|(_, series)| series).collect()),
    };
    Ok(Ok(emitted(id, series, Cut::Whole, running.emitter(id), messages)))
}

/// Series as InfluxDB hands them on, the messages with the first.
fn emitted(
    id: usize,
    series: Vec<Series>,
    cut: Cut,
    mut emitter: Emitter,
    messages: Vec<Message>,
) -> Vec<StatementResult> {
    let mut results = Vec::new();
    match cut {
        Cut::Rows => {
            series.into_iter().for_each(|series| emitter.push(series, &mut results));
            emitter.finish(&mut results);
        }
        Cut::Series if !series.is_empty() => results.extend(series.into_iter().map(|series| result(id, vec![series]))),
        Cut::Series | Cut::Whole => results.push(result(id, series)),
    }
    if let Some(first) = results.first_mut() {
        first.messages = messages;
    }
    results
}

fn result(statement_id: usize, series: Vec<Series>) -> StatementResult {
    StatementResult { statement_id, series, ..StatementResult::default() }
}

fn one_result(answer: Answer) -> StatementResult {
    match answer.error {
        Some(error) => StatementResult::failed(0, error),
        None => answer.results.into_iter().next().unwrap_or_default(),
    }
}
