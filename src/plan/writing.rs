//! Statements that change something: on which groups they are carried out, or why not.

use std::collections::BTreeSet;

use crate::influxql::ast::MeasurementName;
use crate::influxql::named_in;
use crate::influxql::{Measurement, Statement};
use crate::topology::GroupIndex;

use super::sources::share;
use super::{Circumstances, Place, keywords, place_select};

pub fn place(statement: &Statement, circumstances: Circumstances<'_>) -> Result<Place, String> {
    use Statement::*;
    let keyword = keywords(statement);
    if !circumstances.may_write {
        return Err(format!(
            "{keyword} is refused: slotline speaks to the replicas with its own rights and does not ask clients who they \
             are; auth.trust_clients = true allows it"
        ));
    }
    // It waits as a text where a replica is away.
    if !matches!(statement, Select(_)) && named_in(&statement.to_string()).is_some() {
        return Err(format!(
            "{keyword} is refused with a regular expression that is bound behind another operator than =~ or !~"
        ));
    }
    match statement {
        DropShard { .. } => Err("DROP SHARD is refused: the same shard id is another shard on every server".into()),
        CreateContinuousQuery(_) | DropContinuousQuery { .. } | CreateSubscription(_) | DropSubscription { .. } => {
            Err(format!("{keyword} is refused: a server would run it over its own part of the data, once per replica"))
        }
        Select(select) => {
            let read = crate::influxql::Select { into: None, ..select.as_ref().clone() };
            Ok(Place::Into(Box::new(place_select(&read, circumstances)?)))
        }
        Delete(filter) | DropSeries(filter) => Ok(Place::Everywhere(owners(&filter.sources, circumstances))),
        DropMeasurement { name } => {
            let (database, retention_policy) = (None, None);
            let source = Measurement { database, retention_policy, name: MeasurementName::Name(name.clone()) };
            Ok(Place::Everywhere(owners(&[source], circumstances)))
        }
        _ => Ok(Place::Everywhere(circumstances.topology.group_indexes().collect())),
    }
}

/// All groups that may hold points of these measurements; every group when none is named, or nobody can say.
fn owners(sources: &[Measurement], circumstances: Circumstances<'_>) -> Vec<GroupIndex> {
    let groups = |source| share(source, None, circumstances, &|_| true).map(|share| share.groups);
    let named: Result<Vec<BTreeSet<GroupIndex>>, String> = sources.iter().map(groups).collect();
    match named.map(|named| named.into_iter().flatten().collect::<BTreeSet<GroupIndex>>()) {
        Ok(groups) if !groups.is_empty() => groups.into_iter().collect(),
        _ => circumstances.topology.group_indexes().collect(),
    }
}
