//! A request's statements x topology -> where they run, or why they are refused.
//!
//! What one group can answer alone goes there as the client wrote it, the request as a whole or each of its statements.
//! A SELECT over several groups is planned once the groups have said what they hold (`select`, `columns`, `elsewhere`, `pinned`,
//! `sources`, `subquery`, `slimit`, `tag_sets`, `intervals`; `outline` says what it can before); SHOW is asked of every group
//! and merged (`show`); writing statements go to every replica of the groups that they concern (`writing`). Everything else is
//! refused with the reason. Called by `query` and by `slotline route --query`. Pure.

use crate::influxql::{Query, Select, Statement};
use crate::topology::{GroupIndex, Topology};

use select::{Planned, Selected};

pub mod columns;
pub mod elsewhere;
pub mod gather;
mod gojson;
pub mod intervals;
pub mod names;
pub mod outline;
pub mod params;
mod pinned;
pub mod rewritten;
pub mod select;
pub mod show;
pub mod slimit;
pub mod sources;
pub mod subquery;
pub mod tag_sets;
mod writing;

/// Where a request runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// One replica of any of these groups answers all of it, as it is.
    Whole(Vec<GroupIndex>),
    /// Every replica of these groups carries its one statement out.
    Everywhere(Vec<GroupIndex>),
    /// One statement after the other, each at its place.
    Each(Vec<Place>),
    /// It cannot be answered, for this reason. Nothing runs.
    Refuse(String),
}

/// Where one statement runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// One replica of any of these groups answers it as it is.
    One(Vec<GroupIndex>),
    /// A SELECT, or its EXPLAIN: several groups have to say what they hold before it can be planned.
    Asks,
    /// A SHOW that several servers have to answer, or the proxy itself (`show::plan` says how).
    Show,
    /// Every replica of these groups carries it out.
    Everywhere(Vec<GroupIndex>),
    /// It is made of what others answer; these are planned when it runs.
    Here,
    /// A SELECT INTO: what is read at this place is written through the proxy, wherever its points belong.
    Into(Box<Place>),
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

/// Plans a whole request. `Plan::Refuse` names the statement that stands in the way.
pub fn plan(query: &Query, circumstances: Circumstances<'_>) -> Plan {
    let places: Result<Vec<Place>, String> =
        query.statements.iter().map(|statement| place(statement, circumstances)).collect();
    match places {
        Ok(places) => whole(&places, circumstances).unwrap_or(Plan::Each(places)),
        Err(reason) => Plan::Refuse(reason),
    }
}

/// The plan of a request that need not be taken apart.
fn whole(places: &[Place], circumstances: Circumstances<'_>) -> Option<Plan> {
    // Several have each its own place in a replica's order: one may have to wait where another must not.
    if let [Place::Everywhere(groups)] = places {
        return Some(Plan::Everywhere(groups.clone()));
    }
    let mut common: Vec<GroupIndex> = circumstances.topology.group_indexes().collect();
    for place in places {
        let Place::One(groups) = place else { return None };
        common.retain(|group| groups.contains(group));
    }
    (!common.is_empty()).then_some(Plan::Whole(common))
}

fn place(statement: &Statement, circumstances: Circumstances<'_>) -> Result<Place, String> {
    if statement.writes() || (matches!(statement, Statement::KillQuery { .. }) && !circumstances.may_write) {
        return writing::place(statement, circumstances);
    }
    match statement {
        Statement::Select(select) | Statement::Explain { select, .. } => place_select(select, circumstances),
        Statement::ShowDatabases
        | Statement::ShowRetentionPolicies { .. }
        | Statement::ShowUsers
        | Statement::ShowGrants { .. } => Ok(Place::One(circumstances.topology.group_indexes().collect())),
        Statement::Math(_) => Ok(Place::Here),
        _ => Ok(place_show(statement, circumstances)),
    }
}

/// SHOW that several servers have to answer, or the proxy itself.
fn place_show(statement: &Statement, circumstances: Circumstances<'_>) -> Place {
    use show::Show;
    match show::plan(statement, circumstances) {
        Some(Show::Groups(groups, _)) if groups.len() == 1 && !show::is_timed_tags(statement) => Place::One(groups),
        // Which storage shards there are the others know.
        Some(Show::Groups(groups, _)) if circumstances.topology.groups().len() == 1 => Place::One(groups),
        // Of one server, and there is only one.
        Some(Show::Replicas(_)) if circumstances.topology.replicas().count() == 1 => Place::One(vec![0]),
        Some(_) => Place::Show,
        None => Place::One(circumstances.topology.group_indexes().collect()),
    }
}

/// A SELECT that one group answers whatever the schema, or else one that has to ask.
fn place_select(select: &Select, circumstances: Circumstances<'_>) -> Result<Place, String> {
    if let Some(group) = sources::whole_in_one(select, circumstances)
        && !select::hangs_on_shards(select, circumstances)
    {
        return Ok(Place::One(vec![group]));
    }
    let several = circumstances.topology.groups().len() > 1;
    if several && !sources::regexes(select).is_empty() {
        return Ok(Place::Asks);
    }
    if !select::probe(select, circumstances)?.is_empty() {
        return Ok(Place::Asks);
    }
    match select::select(select, &[], circumstances)? {
        Planned::Runs(Selected::One(groups)) => Ok(Place::One(groups)),
        Planned::Runs(Selected::Rewritten(..) | Selected::Concatenate(_) | Selected::Gather(_) | Selected::Nest(_))
        | Planned::Lists(_) => Ok(Place::Asks),
    }
}

/// The words that a statement begins with.
pub(crate) fn keywords(statement: &Statement) -> String {
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
        let rule = |db: &str| RuleSpec { db: db.into(), measurement: "split".into(), tags: vec!["host".into()] };
        let rules = ["d", "e"].map(rule).to_vec();
        let ids: Vec<u32> = (1..=groups).collect();
        let spec = Spec { groups: ids.iter().map(|id| group(*id)).collect(), slots: evenly(&ids), rules };
        spec.build(1).expect("a sound topology")
    }

    /// The SELECT that a test writes.
    pub fn parsed(text: &str) -> Select {
        let query = parse_query(text, &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
        match query.statements.into_iter().next() {
            Some(Statement::Select(select)) => *select,
            _ => panic!("{text}: a SELECT is wanted"),
        }
    }

    fn planned(groups: u32, text: &str) -> Plan {
        let query = parse_query(text, &Params::new()).expect("the test writes InfluxQL");
        plan(&query, Circumstances { topology: &topology(groups), db: "d", may_write: true })
    }

    /// Two measurements of different groups, and their groups, with two groups.
    pub fn apart() -> [(String, GroupIndex); 2] {
        let topology = topology(2);
        let group = |name: &str| topology.owner(Topology::measurement_slot("d", name.as_bytes()));
        let named = |wanted| (0..100).map(|i| format!("m{i}")).find(|name| group(name) == wanted);
        [0, 1].map(|wanted| (named(wanted).expect("both groups get some"), wanted))
    }

    #[test]
    fn one_group_answers_alone() {
        let [(a, in_a), (b, in_b)] = apart();
        for (text, group) in [
            (format!("SELECT * FROM {a}"), in_a),
            (format!("SELECT max(x) FROM (SELECT mean(v) AS x FROM {b} GROUP BY h)"), in_b),
            (format!("SELECT * FROM {a}; SHOW TAG KEYS FROM {a}; SHOW DATABASES"), in_a),
        ] {
            assert_eq!(planned(2, &text), Plan::Whole(vec![group]), "{text}");
        }
        assert_eq!(planned(2, "SHOW DATABASES"), Plan::Whole(vec![0, 1]));
        assert_eq!(planned(2, "SELECT * FROM x..a, \"_series\""), planned(2, "SELECT * FROM x..a"));
        assert_eq!(planned(1, &format!("SELECT * FROM {a}, {b}, /x/, split")), Plan::Whole(vec![0]));
        assert_eq!(planned(1, "SHOW SERIES CARDINALITY"), Plan::Whole(vec![0]));
    }

    #[test]
    fn several_groups_ask_merge_or_refuse() {
        let [(a, in_a), (b, in_b)] = apart();
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
            assert_eq!(planned(2, text), Plan::Each(vec![Place::Show]), "{text}");
        }
        for text in [
            format!("SELECT * FROM {a}, {b}"),
            "SELECT * FROM /x/".to_owned(),
            "SELECT * FROM split".to_owned(),
            "EXPLAIN SELECT * FROM split".to_owned(),
            "SELECT v FROM split WHERE host = 'a'".to_owned(),
            "SELECT v FROM (SELECT v FROM split)".to_owned(),
            format!("SELECT * FROM (SELECT v FROM {a}), (SELECT v FROM {b})"),
        ] {
            assert_eq!(planned(2, &text), Plan::Each(vec![Place::Asks]), "{text}");
        }
        let two = Plan::Each(vec![Place::One(vec![in_a]), Place::One(vec![in_b])]);
        assert_eq!(planned(2, &format!("SELECT * FROM {a}; SELECT * FROM {b}")), two);
        let into = |place| Plan::Each(vec![Place::Into(Box::new(place))]);
        assert_eq!(planned(2, &format!("SELECT * INTO x FROM {a}")), into(Place::One(vec![in_a])));
        assert_eq!(planned(2, "SELECT * INTO x FROM split"), into(Place::Asks));
        let mixed = Plan::Each(vec![Place::One(vec![0, 1]), Place::Everywhere(vec![0, 1]), Place::Show]);
        assert_eq!(planned(2, "SHOW DATABASES; CREATE DATABASE x; SHOW MEASUREMENTS"), mixed);
        for (text, reason) in [
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
        let one_by_one = Plan::Each(vec![Place::Everywhere(vec![0, 1]); 2]);
        assert_eq!(planned(2, "CREATE DATABASE x; CREATE DATABASE y"), one_by_one);
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
