//! A request's statements x topology -> where they run, or why they are refused.
//!
//! What one group can answer alone goes there as it is; SHOW is asked of every group and merged; writing statements go
//! to every replica of the groups that they concern. Everything else is refused with the reason. Called by `query` and
//! by `slotline route --query`. Pure.

use std::collections::BTreeSet;

use crate::influxql::ast::MeasurementName;
use crate::influxql::inspect::Mention;
use crate::influxql::{Measurement, Query, Statement};
use crate::topology::{GroupIndex, Topology};

pub mod params;
pub mod show;

/// Where a request runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// One replica of this group answers all of it.
    Group(GroupIndex),
    /// One replica of any group answers.
    Any,
    /// One replica of each group is asked; the series are merged.
    Merge,
    /// Every replica of these groups carries it out.
    Everywhere(Vec<GroupIndex>),
    /// It cannot be answered, for this reason. Nothing runs.
    Refuse(String),
}

/// What the plan depends on besides the statements.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    pub topology: &'a Topology,
    /// The request's `db`, empty when absent.
    pub db: &'a str,
    /// Whether this client's statements may write with the replicas' own rights.
    pub may_write: bool,
}

/// Where one statement runs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Group(GroupIndex),
    /// All groups know the answer.
    Any,
    Merge,
    Everywhere(Vec<GroupIndex>),
}

/// Plans a whole request. `Plan::Refuse` names the statement that stands in the way.
pub fn plan(query: &Query, circumstances: Circumstances<'_>) -> Plan {
    let mut whole: Option<Place> = None;
    for statement in &query.statements {
        let place = match place(statement, circumstances) {
            Ok(place) => place,
            Err(reason) => return Plan::Refuse(reason),
        };
        whole = match (whole, place) {
            (None, place) => Some(place),
            (Some(Place::Any), place @ (Place::Any | Place::Group(_))) => Some(place),
            (whole @ Some(Place::Group(_)), Place::Any) => whole,
            (Some(whole), place) if whole == place && place != Place::Merge => Some(whole),
            _ => {
                let reason = "statements that run in different places cannot share a request yet; send them one by one";
                return Plan::Refuse(reason.to_owned());
            }
        };
    }
    match whole {
        None | Some(Place::Any) => Plan::Any,
        Some(Place::Group(group)) => Plan::Group(group),
        Some(Place::Merge) => Plan::Merge,
        Some(Place::Everywhere(groups)) => Plan::Everywhere(groups),
    }
}

fn place(statement: &Statement, circumstances: Circumstances<'_>) -> Result<Place, String> {
    if statement.writes() || (matches!(statement, Statement::KillQuery { .. }) && !circumstances.may_write) {
        return place_writing(statement, circumstances);
    }
    match statement {
        Statement::Select(_) | Statement::Explain { .. } => place_reading(statement, circumstances),
        Statement::ShowDatabases
        | Statement::ShowRetentionPolicies { .. }
        | Statement::ShowUsers
        | Statement::ShowGrants { .. } => Ok(Place::Any),
        _ => Ok(place_show(statement, circumstances)),
    }
}

/// SHOW that several servers have to answer, or the proxy itself.
fn place_show(statement: &Statement, circumstances: Circumstances<'_>) -> Place {
    use show::Show;
    match show::plan(statement, circumstances) {
        Some(Show::Groups(groups, _)) if groups.len() == 1 => Place::Group(groups[0]),
        // Of one server, and there is only one.
        Some(Show::Replicas(_)) if circumstances.topology.replicas().count() == 1 => Place::Group(0),
        Some(_) => Place::Merge,
        None => Place::Any,
    }
}

/// SELECT and EXPLAIN: one group must own all that they read.
fn place_reading(statement: &Statement, circumstances: Circumstances<'_>) -> Result<Place, String> {
    let mut sources = Vec::new();
    statement.visit_measurements(&mut |mention| {
        if let Mention::Source(measurement) = mention {
            sources.push(measurement);
        }
    });
    let mut found: Option<(GroupIndex, &str)> = None;
    for source in sources {
        let Some(group) = owner(source, circumstances)? else { continue };
        let name = name(source);
        match found {
            Some((other, first)) if other != group => {
                let topology = circumstances.topology;
                let (one, two) = (topology.group(other).id, topology.group(group).id);
                return Err(format!(
                    "measurements of several groups in one SELECT are not supported yet: {first:?} lives in group {one}, \
                     {name:?} in group {two}"
                ));
            }
            _ => found = Some((group, name)),
        }
    }
    Ok(found.map_or(Place::Any, |(group, _)| Place::Group(group)))
}

fn name(measurement: &Measurement) -> &str {
    match &measurement.name {
        MeasurementName::Name(name) | MeasurementName::Regex(name) => name,
    }
}

/// The group of a measurement; `None` when any can say what is wrong with it; an error when there are several.
fn owner(measurement: &Measurement, circumstances: Circumstances<'_>) -> Result<Option<GroupIndex>, String> {
    let topology = circumstances.topology;
    if topology.groups().len() == 1 {
        return Ok(Some(0));
    }
    let db = measurement.database.as_deref().unwrap_or(circumstances.db);
    match &measurement.name {
        MeasurementName::Regex(regex) => Err(format!(
            "a regular expression over several groups is not supported yet: /{regex}/; name the measurement"
        )),
        MeasurementName::Name(name) => match topology.rule(db, name.as_bytes()) {
            Some(rule) if !rule.tags.is_empty() => Err(format!(
                "measurement {name:?} is split over groups by [{}]; queries over it are not supported yet",
                rule.tags.join(", ")
            )),
            // Without a database any group has the error for it.
            _ if db.is_empty() => Ok(None),
            _ if db == "_internal" => {
                Err("the database _internal is every server's own; ask a replica directly".to_owned())
            }
            _ => Ok(Some(topology.owner(Topology::measurement_slot(db, name.as_bytes())))),
        },
    }
}

fn place_writing(statement: &Statement, circumstances: Circumstances<'_>) -> Result<Place, String> {
    use Statement::*;
    let topology = circumstances.topology;
    let keyword = keywords(statement);
    if !circumstances.may_write {
        return Err(format!(
            "{keyword} is refused: slotline speaks to the replicas with its own rights and does not ask clients who they \
             are; auth.trust_clients = true allows it"
        ));
    }
    match statement {
        DropShard { .. } => Err("DROP SHARD is refused: the same shard id is another shard on every server".into()),
        CreateContinuousQuery(_) | DropContinuousQuery { .. } | CreateSubscription(_) | DropSubscription { .. } => {
            Err(format!("{keyword} is refused: a server would run it over its own part of the data, once per replica"))
        }
        Select(_) => Err("SELECT INTO is not supported yet: its rows may belong to other groups".into()),
        Delete(filter) | DropSeries(filter) => Ok(Place::Everywhere(owners(&filter.sources, circumstances))),
        DropMeasurement { name } => {
            let (database, retention_policy) = (None, None);
            let source = Measurement { database, retention_policy, name: MeasurementName::Name(name.clone()) };
            Ok(Place::Everywhere(owners(&[source], circumstances)))
        }
        _ => Ok(Place::Everywhere(topology.group_indexes().collect())),
    }
}

/// All groups that may hold points of these measurements; every group when none is named.
fn owners(sources: &[Measurement], circumstances: Circumstances<'_>) -> Vec<GroupIndex> {
    let named: Option<BTreeSet<GroupIndex>> =
        sources.iter().map(|source| owner(source, circumstances).ok().flatten()).collect();
    match named {
        Some(groups) if !groups.is_empty() => groups.into_iter().collect(),
        _ => circumstances.topology.group_indexes().collect(),
    }
}

/// The words that a statement begins with.
fn keywords(statement: &Statement) -> String {
    let text = statement.to_string();
    let words = text.split_whitespace().take_while(|word| word.bytes().all(|byte| byte.is_ascii_uppercase()));
    words.take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::influxql::{Params, parse_query};
    use crate::topology::{GroupSpec, ReplicaSpec, RuleSpec, Spec, evenly};

    pub fn topology(groups: u32) -> Topology {
        let group = |id| {
            let (name, url) = (format!("g{id}"), "http://h:1".to_owned());
            let (username, password, state) = (String::new(), String::new(), "serving".to_owned());
            GroupSpec { id, replicas: vec![ReplicaSpec { name, url, username, password, state }] }
        };
        let rules = vec![RuleSpec { db: "d".into(), measurement: "split".into(), tags: vec!["host".into()] }];
        let ids: Vec<u32> = (1..=groups).collect();
        let spec = Spec { groups: ids.iter().map(|id| group(*id)).collect(), slots: evenly(&ids), rules };
        spec.build(1).expect("a sound topology")
    }

    fn planned(groups: u32, text: &str) -> Plan {
        let query = parse_query(text, &Params::new()).expect("the test writes InfluxQL");
        plan(&query, Circumstances { topology: &topology(groups), db: "d", may_write: true })
    }

    /// Two measurements of different groups, and their groups, with two groups.
    fn apart() -> [(String, GroupIndex); 2] {
        let topology = topology(2);
        let group = |name: &str| topology.owner(Topology::measurement_slot("d", name.as_bytes()));
        let named = |wanted| (0..100).map(|i| format!("m{i}")).find(|name| group(name) == wanted);
        [0, 1].map(|wanted| (named(wanted).expect("both groups get some"), wanted))
    }

    #[test]
    fn one_group_answers_alone() {
        let [(a, in_a), (b, in_b)] = apart();
        assert_eq!(planned(2, &format!("SELECT * FROM {a}")), Plan::Group(in_a));
        assert_eq!(
            planned(2, &format!("SELECT max(x) FROM (SELECT mean(v) AS x FROM {b} GROUP BY h)")),
            Plan::Group(in_b)
        );
        assert_eq!(
            planned(2, &format!("SELECT * FROM {a}; SHOW TAG KEYS FROM {a}; SHOW DATABASES")),
            Plan::Group(in_a)
        );
        assert_eq!(planned(2, "SHOW DATABASES"), Plan::Any);
        assert_eq!(planned(1, &format!("SELECT * FROM {a}, {b}, /x/, split")), Plan::Group(0));
        assert_eq!(planned(1, "SHOW SERIES CARDINALITY"), Plan::Group(0));
    }

    #[test]
    fn several_groups_merge_or_refuse() {
        let [(a, _), (b, _)] = apart();
        for text in [
            "SHOW MEASUREMENTS",
            "SHOW SERIES",
            "SHOW TAG VALUES WITH KEY = h",
            "SHOW FIELD KEYS FROM split",
            "SHOW SERIES LIMIT 1",
            "SHOW SERIES CARDINALITY",
            "SHOW SHARDS",
            "SHOW QUERIES",
            "KILL QUERY 1",
        ] {
            assert_eq!(planned(2, text), Plan::Merge, "{text}");
        }
        for (text, reason) in [
            (format!("SELECT * FROM {a}, {b}"), "several groups"),
            (format!("SELECT * FROM {a}; SELECT * FROM {b}"), "different places"),
            ("SELECT * FROM /x/".to_owned(), "regular expression"),
            ("SELECT * FROM split".to_owned(), "\"split\" is split over groups by [host]"),
            ("SHOW MEASUREMENTS; SHOW MEASUREMENTS".to_owned(), "different places"),
            ("SHOW DATABASES; SHOW MEASUREMENTS".to_owned(), "different places"),
            ("SHOW DATABASES; CREATE DATABASE x".to_owned(), "different places"),
            (format!("SELECT * INTO x FROM {a}"), "INTO"),
            ("SELECT * FROM \"_internal\".monitor.runtime".to_owned(), "_internal"),
            ("DROP SHARD 1".to_owned(), "shard id"),
            ("DROP CONTINUOUS QUERY a ON b".to_owned(), "DROP CONTINUOUS QUERY is refused"),
        ] {
            assert!(
                matches!(planned(2, &text), Plan::Refuse(why) if why.contains(reason)),
                "{text}: {:?}",
                planned(2, &text)
            );
        }
    }

    #[test]
    fn writing_statements_go_to_all_concerned() {
        let [(a, in_a), (b, in_b)] = apart();
        assert_eq!(planned(2, "CREATE DATABASE x; CREATE DATABASE y"), Plan::Everywhere(vec![0, 1]));
        assert_eq!(planned(2, &format!("DROP MEASUREMENT {a}")), Plan::Everywhere(vec![in_a]));
        assert_eq!(planned(2, &format!("DELETE FROM {b} WHERE h = 'x'")), Plan::Everywhere(vec![in_b]));
        assert_eq!(planned(2, "DROP SERIES FROM split"), Plan::Everywhere(vec![0, 1]));
        assert_eq!(planned(2, "DELETE WHERE time < 5"), Plan::Everywhere(vec![0, 1]));
    }

    #[test]
    fn without_the_right_nothing_is_written() {
        let topology = topology(2);
        for text in ["CREATE DATABASE x", "DELETE FROM m", "GRANT ALL TO u", "SELECT * INTO y FROM m", "KILL QUERY 1"] {
            let query = parse_query(text, &Params::new()).expect("the test writes InfluxQL");
            let plan = plan(&query, Circumstances { topology: &topology, db: "d", may_write: false });
            assert!(matches!(plan, Plan::Refuse(why) if why.contains("auth.trust_clients")), "{text}");
        }
    }
}
