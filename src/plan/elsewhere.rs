//! Names in WHERE that are neither field nor tag in what a SELECT reads, and yet a field of the measurement at another time or
//! under another policy.
//!
//! InfluxDB's index of a database (`inmem`) knows such a field, and so what its rows are compared with is not there: no
//! comparison is true. A group whose series never had it takes it for a tag that is not there, which is `''`. With its type
//! written behind it a name is a field for every group. Used by `query`.

use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::{Measurement, Select, Source};
use crate::topology::{GroupIndex, Topology};

use super::columns::{Schema, Type, give_types};
use super::slimit::{Fields, untyped_names};
use super::sources::may_own;
use super::subquery::is_regex;

/// The measurements of SELECTs that have such names, of which several groups may hold series, each once.
pub fn measurements<'a>(select: &'a Select, schemas: &[Schema], topology: &Topology, db: &str) -> Vec<&'a Measurement> {
    let mut found: Vec<&Measurement> = Vec::new();
    each(select, &mut schemas.iter(), &mut |select, schema| {
        if unknown(select, schema).is_empty() {
            return;
        }
        let split = plain(select).filter(|measurement| is_split(measurement, topology, db));
        for measurement in split {
            if !found.contains(&measurement) {
                found.push(measurement);
            }
        }
    });
    found
}

/// Writes the types of those that are fields behind them. `fields`: of the measurements, by the text of each.
///
/// # Errors
/// One is a field of some of the measurements alone.
pub fn settle(select: &mut Select, schemas: &[Schema], fields: &BTreeMap<String, Fields>) -> Result<(), String> {
    settle_of(select, &mut schemas.iter(), fields)
}

fn settle_of(
    select: &mut Select,
    schemas: &mut std::slice::Iter<'_, Schema>,
    fields: &BTreeMap<String, Fields>,
) -> Result<(), String> {
    if reads(select)
        && let Some(schema) = schemas.next()
    {
        let mut types: BTreeMap<String, Type> = BTreeMap::new();
        for name in unknown(select, schema) {
            let known = plain(select).filter_map(|measurement| fields.get(&measurement.to_string()));
            let kinds: Vec<Option<Type>> = known.map(|own| own.get(&name).map(|kind| Type::Field(*kind))).collect();
            let some = kinds.iter().flatten().next().copied();
            if some.is_some() && (kinds.iter().any(Option::is_none) || kinds.len() < plain(select).count()) {
                return Err(format!(
                    "WHERE of {name:?} over several groups is not supported: in what is read it is neither field nor tag, and \
                     elsewhere a field of some of the measurements alone; ask each measurement in a statement of its own"
                ));
            }
            if let Some(kind) = some {
                types.insert(name, kind);
            }
        }
        if let Some(condition) = select.condition.as_mut().filter(|_| !types.is_empty()) {
            give_types(condition, &|name| types.get(name).copied());
        }
    }
    for source in &mut select.sources {
        if let Source::Subquery(inner) = source {
            settle_of(inner, schemas, fields)?;
        }
    }
    Ok(())
}

fn each<'a>(
    select: &'a Select,
    schemas: &mut std::slice::Iter<'_, Schema>,
    visit: &mut impl FnMut(&'a Select, &Schema),
) {
    if reads(select)
        && let Some(schema) = schemas.next()
    {
        visit(select, schema);
    }
    for source in &select.sources {
        if let Source::Subquery(inner) = source {
            each(inner, schemas, visit);
        }
    }
}

fn reads(select: &Select) -> bool {
    select.sources.iter().any(|source| matches!(source, Source::Measurement(_)))
}

/// Beside subqueries a name may be a column of theirs.
fn unknown(select: &Select, schema: &Schema) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if select.sources.iter().all(|source| matches!(source, Source::Measurement(_))) {
        select.condition.iter().for_each(|condition| untyped_names(condition, &mut names));
    }
    names.retain(|name| name != "time" && !schema.fields.contains_key(name) && !schema.tags.contains(name));
    names
}

fn plain(select: &Select) -> impl Iterator<Item = &Measurement> {
    select.sources.iter().filter_map(|source| match source {
        Source::Measurement(measurement) if !is_regex(measurement) => Some(measurement),
        _ => None,
    })
}

fn is_split(measurement: &Measurement, topology: &Topology, db: &str) -> bool {
    let db = measurement.database.as_deref().unwrap_or(db);
    let owns = |group: &GroupIndex| may_own(topology, *group, db, measurement.name.text());
    topology.group_indexes().filter(owns).count() > 1
}
