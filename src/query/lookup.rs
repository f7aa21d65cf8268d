//! What the groups have to say before a SELECT over several of them can be planned: which measurements a regular expression
//! means, and what their fields and tags are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::influxql::ast::{Listing, MeasurementName, NameOrAll, ShowMeasurements};
use crate::influxql::range::{TimeRange, nearest_time};
use crate::influxql::{Measurement, Statement};
use crate::merge::results::{Series, StatementResult, Value};
use crate::plan::columns::{Schema, field_type_named};
use crate::plan::select::{Probe, Question, TagKeys};
use crate::plan::slimit::Fields;
use crate::plan::sources::may_own;
use crate::topology::GroupIndex;

use super::partials::{Ask, Times};
use super::statement::Context;
use super::{Refusal, fails_there, refuse};

/// Rows of a document: such answers are read as a whole.
const CHUNK_ROWS: usize = 10_000;

/// The names that each regular expression means, by its text.
pub async fn names(context: &Context, regexes: &[Measurement]) -> Result<BTreeMap<String, BTreeSet<String>>, Refusal> {
    let topology = &context.backends.topology;
    let mut found = BTreeMap::new();
    for regex in regexes {
        let db = regex.database.as_deref().unwrap_or(context.asked.params.get("db"));
        let with = Measurement { database: None, retention_policy: None, ..regex.clone() };
        let database = (!db.is_empty()).then(|| NameOrAll::Name(db.to_owned()));
        let show = ShowMeasurements { database, with: Some(with), ..ShowMeasurements::default() };
        let text = Statement::ShowMeasurements(Box::new(show)).to_string();
        let asking = topology.group_indexes().map(|group| whole(context, group, text.clone()));
        let mut names = BTreeSet::new();
        for (group, answer) in topology.group_indexes().zip(join_all(asking).await) {
            let answer = answer?;
            // The SELECT says the same then.
            if let Some(error) = answer.error.as_ref().filter(|error| *error != "database name required") {
                let id = topology.group(group).id;
                return Err(refuse(503, format!("group {id}: {error}")));
            }
            let listed = first_column(answer);
            // What others own by now has stayed behind.
            names.extend(listed.into_iter().filter(|name| may_own(topology, group, db, name)));
        }
        debug_assert!(matches!(regex.name, MeasurementName::Regex(_)), "a name needs no look-up");
        found.insert(regex.to_string(), names);
    }
    Ok(found)
}

/// The schema of all groups for each reader of a SELECT; the inner error is InfluxDB's own about the statement.
pub async fn schemas(context: &Context, probe: &Probe) -> Result<Result<Vec<Schema>, String>, Refusal> {
    let asking = probe.iter().map(|question| whole(context, question.group, question.explain.clone()));
    let readers = probe.iter().map(|question| question.reader + 1).max().unwrap_or_default();
    let mut schemas = vec![Schema::default(); readers];
    let (mut silent, mut told) = (Vec::new(), Vec::new());
    for (question, answer) in probe.iter().zip(join_all(asking).await) {
        let answer = answer?;
        if let Some(error) = answer.error {
            return Ok(Err(error));
        }
        let lines = first_column(answer);
        let id = context.backends.topology.group(question.group).id;
        let keys = question.tag_keys.iter().map(|keys| (question, keys));
        match schemas[question.reader].add_explained(lines.iter().map(String::as_str)) {
            // Of the only policy that it reads it has a storage shard.
            Ok(true) if question.tag_keys.len() < 2 => {}
            Ok(true) => told.extend(keys),
            Ok(false) => silent.extend(keys),
            Err(error) => return Err(refuse(503, format!("group {id}: {error}"))),
        }
    }
    // Without any field there is no answer, and no tag in it.
    if schemas.iter().all(|schema| schema.fields.is_empty()) {
        silent.clear();
    }
    let mut policies = vec![BTreeSet::new(); readers];
    for question in probe {
        let written = |keys: &TagKeys| (keys.of.database.clone(), keys.of.retention_policy.clone());
        policies[question.reader].extend(question.tag_keys.iter().map(written));
    }
    let (mut asked, mut known) = (Vec::new(), ShardsByPlace::new());
    for (question, keys) in silent {
        // Of the only policy that is read some group has told fields.
        let is_read = !schemas[question.reader].fields.is_empty() && policies[question.reader].len() == 1;
        // Also where the replicas' user may not ask.
        if is_read
            || groups_that_read(context, question, keys, &mut known).await?.is_none_or(|groups| !groups.is_empty())
        {
            asked.push((question, keys));
        }
    }
    for (question, keys) in told {
        let groups = groups_that_read(context, question, keys, &mut known).await?.unwrap_or_default();
        if groups.is_empty() || groups.contains(&question.group) {
            continue;
        }
        asked.push((question, keys));
    }
    let asking = asked.iter().map(|(question, keys)| whole(context, question.group, keys.show.clone()));
    for ((question, keys), answer) in asked.iter().zip(join_all(asking).await) {
        let answer = answer?;
        if let Some(error) = answer.error {
            return Ok(Err(error));
        }
        let (listed, known) = (first_column(answer), &mut schemas[question.reader].tags);
        if listed.iter().all(|key| known.contains(key)) {
            continue;
        }
        let (db, _) = place_of(context, &keys.of).await?;
        match indexes_each_shard(context, question.group, &db).await {
            // EXPLAIN has told all that is in what is read.
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => known.extend(listed),
            // What most have is taken for granted where the replicas' user may not ask.
            Err(refusal) if refusal.denied => known.extend(listed),
            Ok(Err(error)) => return Ok(Err(error)),
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(Ok(schemas))
}

/// Each group's storage shards of databases' policies; `None`: the replicas' user may not ask.
type ShardsByPlace = BTreeMap<Place, Option<Vec<(GroupIndex, TimeRange)>>>;

/// The groups that have a storage shard of a policy in the times that are read, be it of other measurements; `None`: the
/// replicas' user may not ask.
async fn groups_that_read(
    context: &Context,
    question: &Question,
    keys: &TagKeys,
    known: &mut ShardsByPlace,
) -> Result<Option<BTreeSet<GroupIndex>>, Refusal> {
    let place = place_of(context, &keys.of).await?;
    if !known.contains_key(&place) {
        let groups: Vec<GroupIndex> = context.backends.topology.group_indexes().collect();
        let asking = groups.iter().map(async |group| (*group, shards(context, &[*group], &place.0, &place.1).await));
        let mut found = Some(Vec::new());
        for (group, answer) in join_all(asking).await {
            match answer {
                Ok(Ok(own)) => found.iter_mut().for_each(|all| all.extend(own.iter().map(|shard| (group, *shard)))),
                Ok(Err(error)) => {
                    let id = context.backends.topology.group(group).id;
                    return Err(refuse(503, format!("group {id}: {error}")));
                }
                Err(refusal) if refusal.denied => found = None,
                Err(refusal) => return Err(refusal),
            }
        }
        known.insert(place.clone(), found);
    }
    let range = question.range;
    let is_read = |shard: &TimeRange| shard.start <= range.end && range.start <= shard.end;
    let groups = |all: &Vec<(GroupIndex, TimeRange)>| {
        all.iter().filter(|(_, shard)| is_read(shard)).map(|(group, _)| *group).collect()
    };
    Ok(known[&place].as_ref().map(groups))
}

/// What InfluxDB has against a SELECT as it is written, whatever the data, where it only plans it.
pub async fn invalid(context: &Context, group: GroupIndex, select: &impl Display) -> Result<Option<String>, Refusal> {
    Ok(whole(context, group, format!("EXPLAIN {select}")).await?.error)
}

/// A type error of EXPLAIN -> of what is explained: what runs can be interrupted, whatever lies below that, and a type's name
/// says so.
pub fn running(error: String) -> String {
    let Some((before, name)) = error.split_once("iterator type: *query.") else { return error };
    let kinds = ["float", "integer", "unsigned", "string", "boolean"];
    match kinds.iter().find(|kind| name.starts_with(**kind)) {
        Some(kind) => format!("{before}iterator type: *query.{kind}InterruptIterator"),
        None => error,
    }
}

/// The default retention policy of a database; `None`: there is no such database, or none.
pub async fn default_policy(context: &Context, db: &str) -> Result<Option<String>, Refusal> {
    if db.is_empty() {
        return Ok(None);
    }
    let told = policies(context, db).await?;
    if let Some(error) = told.error.filter(|error| !is_no_database(error)) {
        return Err(refuse(503, format!("the retention policies of {db} are not told: {error}")));
    }
    let rows = told.series.into_iter().flat_map(|series| series.values);
    let mut defaults = rows.filter(|row| row.last() == Some(&Value::Boolean(true)));
    let name = defaults.next().and_then(|row| row.into_iter().next());
    Ok(name.and_then(|name| name.as_str().map(str::to_owned)))
}

/// Whether InfluxDB says that it does not have a database, and not that it could not look.
pub fn is_no_database(error: &str) -> bool {
    error.starts_with("database not found: ")
}

/// What InfluxDB says of a database that it does not have.
pub async fn no_database(context: &Context, db: &str) -> Result<Option<String>, Refusal> {
    Ok(policies(context, db).await?.error)
}

/// All retention policies of a database. The inner error is InfluxDB's own.
pub async fn policy_names(context: &Context, db: &str) -> Result<Result<Vec<String>, String>, Refusal> {
    let told = policies(context, db).await?;
    Ok(match told.error {
        Some(error) => Err(error),
        None => Ok(first_column(told)),
    })
}

/// Every group has every database: any of them tells, also when others are away.
async fn policies(context: &Context, db: &str) -> Result<StatementResult, Refusal> {
    let text = Statement::ShowRetentionPolicies { database: Some(db.to_owned()) }.to_string();
    let groups: Vec<GroupIndex> = context.backends.topology.group_indexes().collect();
    whole_of_any(context, &groups, text).await
}

/// The database and the retention policy of a measurement; the policy is empty where there is none.
pub async fn place_of(context: &Context, measurement: &Measurement) -> Result<(String, String), Refusal> {
    let params = &context.asked.params;
    let db = measurement.database.as_deref().unwrap_or(params.get("db")).to_owned();
    let own = measurement.retention_policy.as_deref().or(Some(params.get("rp")).filter(|rp| !rp.is_empty()));
    let policy = match own {
        Some(policy) => Some(policy.to_owned()),
        None => default_policy(context, &db).await?,
    };
    Ok((db, policy.unwrap_or_default()))
}

/// The fields of a measurement in all policies of its database and at any time, where InfluxDB's index knows them: with an
/// index for each storage shard it knows none of others than are read. The inner error is InfluxDB's own.
pub async fn fields_anytime(
    context: &Context,
    groups: &[GroupIndex],
    measurement: &Measurement,
) -> Result<Result<Fields, String>, Refusal> {
    let db = measurement.database.as_deref().unwrap_or(context.asked.params.get("db")).to_owned();
    let policies = match policy_names(context, &db).await? {
        Ok(policies) => policies,
        Err(error) => return Ok(Err(error)),
    };
    let placed = |policy: String| Measurement {
        database: Some(db.clone()),
        retention_policy: Some(policy),
        name: measurement.name.clone(),
    };
    let sources = policies.into_iter().map(placed).collect();
    let listing = Listing { database: Some(db.clone()), sources, ..Listing::default() };
    let text = Statement::ShowFieldKeys(Box::new(listing)).to_string();
    let asking = groups.iter().map(async |group| {
        match indexes_each_shard(context, *group, &db).await? {
            Ok(true) => return Ok(Ok(Vec::new())),
            Ok(false) => {}
            Err(error) => return Ok(Err(error)),
        }
        let answer = whole(context, *group, text.clone()).await?;
        Ok::<_, Refusal>(answer.error.map_or(Ok(answer.series), Err))
    });
    let mut fields = Fields::new();
    for answer in join_all(asking).await {
        let series = match answer? {
            Ok(series) => series,
            Err(error) => return Ok(Err(error)),
        };
        for row in series.iter().flat_map(|series| &series.values) {
            let [Value::String(name), Value::String(kind)] = row.as_slice() else {
                return Err(refuse(503, "SHOW FIELD KEYS tells no names with types"));
            };
            let Some(kind) = field_type_named(kind) else {
                return Err(refuse(503, format!("SHOW FIELD KEYS tells an unknown type: {kind}")));
            };
            let own = fields.entry(name.clone()).or_insert(kind);
            *own = kind.max(*own);
        }
    }
    Ok(Ok(fields))
}

/// The storage shards of a policy that these groups have, in order: those of one InfluxDB with all the points, unless they
/// overlap. The inner error is InfluxDB's own.
pub async fn shards(
    context: &Context,
    groups: &[GroupIndex],
    db: &str,
    rp: &str,
) -> Result<Result<Vec<TimeRange>, String>, Refusal> {
    let asking = groups.iter().map(|group| shards_of(context, *group, db, Some(rp)));
    let mut shards = BTreeSet::new();
    for answer in join_all(asking).await {
        match answer? {
            Ok(own) => shards.extend(own),
            Err(error) => return Ok(Err(error)),
        }
    }
    // The end is the next one's beginning.
    Ok(Ok(shards.into_iter().map(|(start, end)| TimeRange { start, end: end.saturating_sub(1) }).collect()))
}

/// When storage shards of measurements begin, and whether some begin before another ends: these are not those of one InfluxDB.
#[derive(Clone)]
pub struct Starts {
    pub starts: Arc<[i64]>,
    pub overlap: bool,
}

/// The storage shards of measurements: asked for once for each policy, however many measurements there are.
pub struct Policies<'a> {
    context: &'a Context,
    /// Database and policy, by what is written of them.
    places: BTreeMap<(Option<String>, Option<String>), Place>,
    known: BTreeMap<(Vec<GroupIndex>, Place), Result<Starts, Refusal>>,
}

type Place = (String, String);

impl Policies<'_> {
    pub fn new(context: &Context) -> Policies<'_> {
        Policies { context, places: BTreeMap::new(), known: BTreeMap::new() }
    }

    /// Those that these groups have of a measurement's policy. The inner error is why nobody knows them: in InfluxDB's words, or
    /// the replicas' user may not ask.
    pub async fn starts(
        &mut self,
        groups: &[GroupIndex],
        measurement: &Measurement,
    ) -> Result<Result<Starts, Refusal>, Refusal> {
        let written = (measurement.database.clone(), measurement.retention_policy.clone());
        if !self.places.contains_key(&written) {
            self.places.insert(written.clone(), place_of(self.context, measurement).await?);
        }
        let key = (groups.to_vec(), self.places[&written].clone());
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let (_, (db, policy)) = &key;
        let known = match shards(self.context, groups, db, policy).await {
            Ok(Ok(shards)) => {
                let starts: BTreeSet<i64> = shards.iter().map(|shard| shard.start).collect();
                Ok(Starts { starts: starts.into_iter().collect(), overlap: overlap(&shards) })
            }
            Ok(Err(error)) => Err(fails_there(error)),
            Err(refusal) if refusal.denied => Err(refusal),
            Err(refusal) => return Err(refusal),
        };
        self.known.insert(key, known.clone());
        Ok(known)
    }
}

/// When the storage shards of a policy, or of all policies, that a group has begin and end. The inner error is InfluxDB's own.
async fn shards_of(
    context: &Context,
    group: GroupIndex,
    db: &str,
    rp: Option<&str>,
) -> Result<Result<Vec<(i64, i64)>, String>, Refusal> {
    let answer = whole(context, group, Statement::ShowShards.to_string()).await?;
    if let Some(error) = answer.error {
        return Ok(Err(error));
    }
    let mut shards = Vec::new();
    for series in answer.series.into_iter().filter(|series| series.name == db) {
        let column = |name: &str| series.columns.iter().position(|column| column == name);
        let columns = (column("retention_policy"), column("start_time"), column("end_time"));
        let (Some(policy), Some(start), Some(end)) = columns else {
            return Err(refuse(503, "SHOW SHARDS tells no policies or times"));
        };
        let time = |cell: &Value| cell.as_str().and_then(nearest_time);
        for row in series.values.iter().filter(|row| rp.is_none_or(|rp| row[policy].as_str() == Some(rp))) {
            let (Some(start), Some(end)) = (time(&row[start]), time(&row[end])) else {
                return Err(refuse(503, "SHOW SHARDS tells a time that cannot be read"));
            };
            shards.push((start, end));
        }
    }
    Ok(Ok(shards))
}

/// Those of these groups that have a storage shard of a database, whatever its policy, that reaches into `range`. The inner
/// error is InfluxDB's own.
pub async fn groups_within(
    context: &Context,
    groups: &[GroupIndex],
    db: &str,
    range: TimeRange,
) -> Result<Result<BTreeSet<GroupIndex>, String>, Refusal> {
    let asking = groups.iter().map(|group| shards_of(context, *group, db, None));
    let mut within = BTreeSet::new();
    for (group, answer) in groups.iter().zip(join_all(asking).await) {
        match answer? {
            Ok(shards) if shards.iter().any(|(start, end)| *start <= range.end && range.start < *end) => {
                within.insert(*group);
            }
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(within))
}

/// Whether a group has an index for each of its storage shards of a database, instead of one of all (`inmem`, which those
/// versions are taken to have that do not say it). The inner error is InfluxDB's own.
pub async fn indexes_each_shard(
    context: &Context,
    group: GroupIndex,
    db: &str,
) -> Result<Result<bool, String>, Refusal> {
    let text = Statement::ShowStats { module: Some("shard".to_owned()) }.to_string();
    let answer = whole(context, group, text).await?;
    if let Some(error) = answer.error {
        return Ok(Err(error));
    }
    Ok(Ok(says_tsi1(&answer.series, db)))
}

fn says_tsi1(stats: &[Series], db: &str) -> bool {
    let says = |series: &Series, key: &str, value: &str| {
        series.tags.iter().any(|(own, said)| (own.as_str(), said.as_str()) == (key, value))
    };
    stats.iter().any(|series| says(series, "database", db) && says(series, "indexType", "tsi1"))
}

/// Whether storage shards, in order, do not follow one upon the other: then they are not those of one InfluxDB.
pub fn overlap(shards: &[TimeRange]) -> bool {
    shards.windows(2).any(|pair| pair[0].end >= pair[1].start)
}

/// All that a group has to say to one statement.
pub async fn whole(context: &Context, group: GroupIndex, text: String) -> Result<StatementResult, Refusal> {
    whole_of_any(context, &[group], text).await
}

async fn whole_of_any(context: &Context, groups: &[GroupIndex], text: String) -> Result<StatementResult, Refusal> {
    let ask = Ask {
        queries: &context.queries,
        backends: &context.backends,
        asked: &context.asked,
        groups,
        text: &text,
        key: &text,
        chunk_rows: CHUNK_ROWS,
        times: Times::Moments,
        until: context.until,
    };
    Ok(ask.whole().await?.0)
}

fn first_column(result: StatementResult) -> Vec<String> {
    let rows = result.series.into_iter().flat_map(|series| series.values);
    let first = |row: Vec<Value>| match row.into_iter().next() {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    rows.filter_map(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_a_shard_is_told_by_the_database() {
        let shard = |tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            Series { name: "shard".to_owned(), tags, ..Series::default() }
        };
        let told = [
            shard(&[("database", "a"), ("indexType", "inmem")]),
            shard(&[("database", "b"), ("indexType", "tsi1")]),
            shard(&[("database", "c")]),
        ];
        for (db, each_shard) in [("a", false), ("b", true), ("c", false), ("tsi1", false)] {
            assert_eq!(says_tsi1(&told, db), each_shard, "{db}");
        }
    }

    #[test]
    fn what_runs_has_other_types() {
        for (explained, told) in [
            (
                "unsupported sum iterator type: *query.stringTagSubsetIterator",
                "unsupported sum iterator type: *query.stringInterruptIterator",
            ),
            (
                "unsupported max iterator type: *query.stringIteratorMapper",
                "unsupported max iterator type: *query.stringInterruptIterator",
            ),
            (
                "unsupported mean iterator type: *query.booleanMergeIterator",
                "unsupported mean iterator type: *query.booleanInterruptIterator",
            ),
            ("undefined function foo()", "undefined function foo()"),
        ] {
            assert_eq!(running(explained.to_owned()), told);
        }
    }
}
