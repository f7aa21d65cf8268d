//! SHOW statements over several servers: who is asked, what, and how the parts join. Called by `plan` and `query`.
//!
//! LIMIT counts rows of the whole, so that each group is asked for LIMIT + OFFSET of them and OFFSET is done here. SLIMIT
//! and SOFFSET of TAG KEYS change nothing in InfluxDB 1.6 and 1.8, nor here.

use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::ast::{
    BinaryOp, CardinalityOf, Listing, MeasurementName, NameOrAll, ShowCardinality, ShowMeasurements,
};
use crate::influxql::range::{TimeRange, split_time};
use crate::influxql::{Expr, Measurement, Statement};
use crate::topology::{GroupIndex, Topology};

use super::Circumstances;
use super::names::{Step, steps};
use super::rewritten::has_time;

/// Where a SHOW statement runs, and how its parts join.
#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    /// One replica of each of these groups is asked.
    Groups(Vec<GroupIndex>, Box<Part>),
    /// One replica of each of these groups is asked several things, which make a set of measurements.
    Names(Vec<GroupIndex>, Names),
    /// Every replica is asked, since each has an answer of its own.
    Replicas(OfReplicas),
    /// The proxy's own table of running queries.
    Queries,
    /// The query of this id in it is ended.
    Kill(u64),
}

/// What each group is asked for, and what becomes of the answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub statement: Statement,
    pub join: Join,
    /// 0: no limit.
    pub limit: u64,
    pub offset: u64,
    pub cut: Cut,
}

/// Measurements that are calculated from answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Names {
    pub steps: Vec<Step>,
    /// 0: no limit.
    pub limit: u64,
    pub offset: u64,
}

/// How the answers of groups become one.
#[derive(Clone, Debug, PartialEq)]
pub enum Join {
    /// Of each series the union of the rows, sorted.
    Rows,
    /// Keys of series, in the order of the series.
    SeriesKeys,
    /// Of each series the sum, row by row: no series lives in two groups.
    Sum,
    /// Counts by measurement: how many measurements there are, of each set of tags.
    Measurements,
    /// Names: how many there are, in a column of this name.
    CountOfNames(&'static str),
    /// Counts of what several groups may have alike: a measurement that several answer for is counted anew.
    Recount,
}

/// The results in which InfluxDB hands a statement's series on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// One for each series, or piece of it of `chunk_size` rows, with `partial`.
    Rows,
    /// One for each series, with no word of more.
    Series,
    Whole,
}

/// Statements about servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfReplicas {
    /// Everything, each series with a tag that names the replica.
    Each,
    /// The union: what one server has the others should have too.
    Union,
}

/// Plans a SHOW statement; `None`: any one server has the whole answer, or it is no such statement.
pub fn plan(statement: &Statement, at: Circumstances<'_>) -> Option<Show> {
    let show = match statement {
        Statement::ShowMeasurements(show) => measurements(show, at),
        Statement::ShowSeries(listing) if listing.condition.as_ref().is_some_and(has_time) => {
            // Read from the points; their keys come in the order of their text.
            list(statement, listing, Join::Rows, Cut::Rows, at)
        }
        Statement::ShowSeries(listing) => list(statement, listing, Join::SeriesKeys, Cut::Rows, at),
        Statement::ShowTagKeys(listing) => list(statement, listing, Join::Rows, Cut::Series, at),
        Statement::ShowTagValues { listing, .. } => list(statement, listing, Join::Rows, Cut::Series, at),
        Statement::ShowFieldKeys(listing) => list(statement, listing, Join::Rows, Cut::Rows, at),
        // Any server refuses it; what would be asked in its place would be refused in other words.
        Statement::ShowCardinality(show) if is_refused_for_time(show) => return None,
        Statement::ShowCardinality(show) => cardinality(show, at),
        Statement::ShowShards
        | Statement::ShowShardGroups
        | Statement::ShowStats { .. }
        | Statement::ShowDiagnostics { .. } => Show::Replicas(OfReplicas::Each),
        Statement::ShowContinuousQueries | Statement::ShowSubscriptions => Show::Replicas(OfReplicas::Union),
        Statement::ShowQueries => Show::Queries,
        Statement::KillQuery { id, .. } => Show::Kill(*id),
        _ => return None,
    };
    Some(show)
}

/// The measurement for which fields are to be counted by storage shards (`rewritten::fields_within`), since its series live in
/// several groups: with these clauses InfluxDB counts all fields of the shards in which series fit, those of other groups too.
pub fn counted_by_shards<'a>(
    show: &ShowCardinality,
    counted: &'a BTreeSet<String>,
    at: Circumstances<'_>,
) -> Option<&'a String> {
    if show.of != CardinalityOf::FieldKeys || (show.condition.is_none() && show.group_by.is_empty()) {
        return None;
    }
    let own = show.database.as_deref().unwrap_or(at.db);
    let named = || show.sources.iter().filter_map(|source| source.database.as_deref());
    let is_split = |name: &&String| named().chain([own]).any(|db| at.topology.splits(db, name.as_bytes()));
    counted.iter().find(is_split)
}

fn measurements(show: &ShowMeasurements, at: Circumstances<'_>) -> Show {
    let (limit, offset) = (show.limit, show.offset);
    let mut asked = show.clone();
    (asked.limit, asked.offset) = pushed(limit, offset);
    let database = match &show.database {
        Some(NameOrAll::Name(name)) => Some(name.as_str()),
        // A measurement of one name may lie in any group.
        Some(NameOrAll::All) => Some(""),
        None => None,
    };
    let groups = heard(show.with.as_slice(), database, show.condition.as_ref(), at);
    let is_timed = show.condition.as_ref().is_some_and(has_time);
    // One group has all of a measurement, or it is refused as it is.
    if groups.len() > 1
        && !is_timed
        && at.topology.rules().iter().any(|rule| !rule.tags.is_empty())
        && let Some(steps) = steps(show)
    {
        return Show::Names(groups, Names { steps, limit, offset });
    }
    let statement = Statement::ShowMeasurements(Box::new(asked));
    Show::Groups(groups, Box::new(Part { statement, join: Join::Rows, limit, offset, cut: Cut::Whole }))
}

fn list(statement: &Statement, listing: &Listing, join: Join, cut: Cut, at: Circumstances<'_>) -> Show {
    let (limit, offset) = (listing.limit, listing.offset);
    let mut asked = statement.clone();
    if let Statement::ShowSeries(listing)
    | Statement::ShowTagKeys(listing)
    | Statement::ShowTagValues { listing, .. }
    | Statement::ShowFieldKeys(listing) = &mut asked
    {
        (listing.limit, listing.offset) = pushed(limit, offset);
    }
    let is_select = matches!(statement, Statement::ShowSeries(_)) && listing.condition.as_ref().is_some_and(has_time);
    let condition = listing.condition.as_ref().filter(|_| !is_select);
    let groups = heard(&listing.sources, listing.database.as_deref(), condition, at);
    Show::Groups(groups, Box::new(Part { statement: asked, join, limit, offset, cut }))
}

/// Of tags' values alone InfluxDB counts those of a time.
fn is_refused_for_time(show: &ShowCardinality) -> bool {
    !matches!(show.of, CardinalityOf::TagValues(_)) && show.condition.as_ref().is_some_and(has_time)
}

fn cardinality(show: &ShowCardinality, at: Circumstances<'_>) -> Show {
    let groups = owners(&show.sources, show.database.as_deref(), at);
    // A count is one row, and with GROUP BY time() one a window.
    let (limit, offset) = (show.limit, show.offset);
    let mut asked = show.clone();
    (asked.limit, asked.offset) = pushed(limit, offset);
    let is_estimate = !show.exact
        && show.sources.is_empty()
        && show.condition.is_none()
        && show.group_by.is_empty()
        && (show.limit, show.offset) == (0, 0);
    let mut cut = if is_estimate { Cut::Whole } else { Cut::Rows };
    let statement = |show| Statement::ShowCardinality(Box::new(show));
    let (statement, join) = match &show.of {
        CardinalityOf::Series => {
            // With LIMIT or OFFSET InfluxDB counts exactly.
            asked.exact |= !is_estimate;
            (statement(asked), Join::Sum)
        }
        CardinalityOf::Measurements if is_estimate => {
            let database = show.database.clone().map(NameOrAll::Name);
            let names = ShowMeasurements { database, ..ShowMeasurements::default() };
            (Statement::ShowMeasurements(Box::new(names)), Join::CountOfNames("cardinality estimation"))
        }
        CardinalityOf::Measurements => {
            (asked.of, asked.exact) = (CardinalityOf::Series, true);
            (statement(asked), Join::Measurements)
        }
        CardinalityOf::TagKeys | CardinalityOf::TagValues(_) | CardinalityOf::FieldKeys => {
            cut = Cut::Rows;
            (statement(asked), Join::Recount)
        }
    };
    Show::Groups(groups, Box::new(Part { statement, join, limit, offset, cut }))
}

/// The regular expressions of FROM of which every group has to know whether any group has what they mean. SHOW SERIES and
/// SHOW FIELD KEYS list, of the database and policy of every source, what any source names; only an expression that means
/// nothing brings none in. Where all sources lie in one of these, a group has nothing to list then.
pub fn deciding(statement: &Statement) -> Vec<Measurement> {
    let Some(listing) = across(statement) else { return Vec::new() };
    let placed: Vec<Measurement> = listing.sources.iter().map(|source| placed(source, listing)).collect();
    let is_elsewhere = |source: &Measurement| {
        (&source.database, &source.retention_policy) != (&placed[0].database, &placed[0].retention_policy)
    };
    if !placed.iter().any(is_elsewhere) {
        return Vec::new();
    }
    placed.into_iter().filter(|source| matches!(source.name, MeasurementName::Regex(_))).collect()
}

/// Puts beside each of them a measurement that it means, by its text: no more is named, and its place counts in every group.
pub fn decide(statement: &mut Statement, names: &BTreeMap<String, BTreeSet<String>>) {
    let found = deciding(statement);
    let (Statement::ShowSeries(listing) | Statement::ShowFieldKeys(listing)) = statement else { return };
    for regex in found {
        let named = names.get(&regex.to_string()).and_then(BTreeSet::first);
        let named = named.map(|name| Measurement { name: MeasurementName::Name(name.clone()), ..regex });
        listing.sources.extend(named);
    }
}

/// What lists the sources' databases; of points InfluxDB reads each source alone.
fn across(statement: &Statement) -> Option<&Listing> {
    match statement {
        Statement::ShowSeries(listing) if listing.condition.as_ref().is_some_and(has_time) => None,
        Statement::ShowSeries(listing) | Statement::ShowFieldKeys(listing) => Some(listing),
        _ => None,
    }
}

/// With the database of ON, unless it names one.
fn placed(source: &Measurement, listing: &Listing) -> Measurement {
    let database = source.database.clone().or_else(|| listing.database.clone());
    Measurement { database, ..source.clone() }
}

/// Where SHOW SERIES looks that takes no time: the sources of FROM, or any measurement. `None`: in several databases, or it is
/// another statement.
///
/// InfluxDB reads the storage shards of these policies, but lists what their index has: `inmem`, its own choice, is one index
/// of all a database's shards, whatever their policies. So all that FROM names is listed once there is one such shard.
pub fn series_places(statement: &Statement) -> Option<Vec<Measurement>> {
    let Statement::ShowSeries(listing) = statement else { return None };
    if listing.condition.as_ref().is_some_and(has_time) {
        return None;
    }
    let any = Measurement { database: None, retention_policy: None, name: MeasurementName::Regex(".+".to_owned()) };
    let sources = if listing.sources.is_empty() { std::slice::from_ref(&any) } else { &listing.sources };
    let placed: Vec<Measurement> = sources.iter().map(|source| placed(source, listing)).collect();
    placed.iter().all(|source| source.database == placed[0].database).then_some(placed)
}

/// SHOW SERIES of the same measurements in all of these policies.
pub fn in_policies(statement: &Statement, places: &[Measurement], policies: &[String]) -> Statement {
    let mut everywhere = statement.clone();
    if let Statement::ShowSeries(listing) = &mut everywhere {
        let of = |place: &Measurement| {
            let place = place.clone();
            policies.iter().map(move |policy| Measurement { retention_policy: Some(policy.clone()), ..place.clone() })
        };
        listing.sources = places.iter().flat_map(of).collect();
    }
    everywhere
}

/// A listing of tags with a time. InfluxDB takes the time for a choice of storage shards, in any policy, and lists what the
/// index of these has: `inmem`, its own choice, is one index of all a database's shards.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedTags {
    pub db: String,
    /// The storage shards that count.
    pub range: TimeRange,
    /// What there is in all shards.
    pub anytime: Statement,
}

/// Whether a statement is one of these.
pub fn is_timed_tags(statement: &Statement) -> bool {
    let (Statement::ShowTagKeys(listing) | Statement::ShowTagValues { listing, .. }) = statement else { return false };
    listing.condition.as_ref().is_some_and(has_time)
}

/// The listing that a statement is, which has no now().
///
/// # Errors
/// Its time cannot be read here.
pub fn timed_tags(statement: &Statement, db: &str) -> Result<Option<TimedTags>, String> {
    if !is_timed_tags(statement) {
        return Ok(None);
    }
    let mut anytime = statement.clone();
    let (Statement::ShowTagKeys(listing) | Statement::ShowTagValues { listing, .. }) = &mut anytime else {
        return Ok(None);
    };
    let Some(condition) = &listing.condition else { return Ok(None) };
    let (rest, range) = split_time(condition, None)?;
    listing.condition = rest;
    let db = listing.database.as_deref().unwrap_or(db).to_owned();
    Ok(Some(TimedTags { db, range, anytime }))
}

/// The groups that are asked: all of them what InfluxDB may find fault with, since it looks at WHERE once it has any series of
/// the database, whatever their measurement.
fn heard(
    sources: &[Measurement],
    database: Option<&str>,
    condition: Option<&Expr>,
    at: Circumstances<'_>,
) -> Vec<GroupIndex> {
    match condition.is_none_or(chooses_tags) {
        true => owners(sources, database, at),
        false => at.topology.group_indexes().collect(),
    }
}

/// Whether a condition compares tags with texts or regular expressions, beside times: there is nothing wrong with it.
fn chooses_tags(condition: &Expr) -> bool {
    match condition {
        Expr::And(terms) | Expr::Or(terms) => terms.iter().all(chooses_tags),
        Expr::Paren(inner) => chooses_tags(inner),
        Expr::Binary { .. } if has_time(condition) => true,
        Expr::Binary { op, lhs, rhs } => match op {
            BinaryOp::Equal | BinaryOp::NotEqual => matches!((&**lhs, &**rhs), (Expr::VarRef(_), Expr::String(_))),
            BinaryOp::Match | BinaryOp::NotMatch => matches!((&**lhs, &**rhs), (Expr::VarRef(_), Expr::Regex(_))),
            _ => false,
        },
        _ => false,
    }
}

/// LIMIT and OFFSET of what a group is asked.
fn pushed(limit: u64, offset: u64) -> (u64, u64) {
    if limit == 0 { (0, 0) } else { (limit.saturating_add(offset).min(i64::MAX as u64), 0) }
}

/// The groups that may have something of these measurements: all, when none is named or one is not fixed to a group.
fn owners(sources: &[Measurement], database: Option<&str>, at: Circumstances<'_>) -> Vec<GroupIndex> {
    let topology = at.topology;
    let named: Option<BTreeSet<GroupIndex>> = sources
        .iter()
        .map(|source| {
            let MeasurementName::Name(name) = &source.name else { return None };
            let db = database.unwrap_or(at.db);
            // Which database InfluxDB takes when FROM names one differs from statement to statement.
            let is_fixed = source.database.is_none() && !db.is_empty() && !topology.splits(db, name.as_bytes());
            is_fixed.then(|| topology.owner(Topology::measurement_slot(db, name.as_bytes())))
        })
        .collect();
    match named {
        Some(groups) if !groups.is_empty() => groups.into_iter().collect(),
        _ => topology.group_indexes().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::topology;
    use super::*;
    use crate::influxql::{Params, parse_query};

    fn planned(text: &str) -> Option<Show> {
        let query = parse_query(text, &Params::new()).expect("the test writes InfluxQL");
        plan(&query.statements[0], Circumstances { topology: &topology(3), db: "d", may_write: true })
    }

    #[track_caller]
    fn asked(text: &str) -> (usize, String, Part) {
        match planned(text) {
            Some(Show::Groups(groups, part)) => (groups.len(), part.statement.to_string(), *part),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn groups_are_asked_for_limit_and_offset_together() {
        for (text, statement) in [
            ("SHOW MEASUREMENTS LIMIT 2 OFFSET 3", "SHOW MEASUREMENTS LIMIT 5"),
            ("SHOW MEASUREMENTS OFFSET 3", "SHOW MEASUREMENTS"),
            ("SHOW SERIES WHERE h = 'a' LIMIT 2", "SHOW SERIES WHERE h = 'a' LIMIT 2"),
            ("SHOW TAG KEYS LIMIT 1 OFFSET 1 SLIMIT 3", "SHOW TAG KEYS LIMIT 2 SLIMIT 3"),
            ("SHOW TAG VALUES WITH KEY = h OFFSET 7", "SHOW TAG VALUES WITH KEY = h"),
            (
                "SHOW FIELD KEYS ON x LIMIT 9223372036854775807 OFFSET 5",
                "SHOW FIELD KEYS ON x LIMIT 9223372036854775807",
            ),
        ] {
            let (groups, seen, _) = asked(text);
            assert_eq!((groups, seen.as_str()), (3, statement), "{text}");
        }
    }

    #[test]
    fn what_may_be_wrong_is_put_to_all() {
        for (condition, groups) in [
            ("h = 'a' AND (i !~ /b/ OR j != '')", 1),
            ("time > 5 AND h = 'a'", 1),
            ("h = 3", 3),
            ("h > 'a'", 3),
            ("h = 'a' OR h", 3),
            ("h = i", 3),
        ] {
            for text in ["SHOW TAG KEYS FROM m", "SHOW SERIES FROM m", "SHOW MEASUREMENTS WITH MEASUREMENT = m"] {
                assert_eq!(asked(&format!("{text} WHERE {condition}")).0, groups, "{text} WHERE {condition}");
            }
        }
        // A SELECT of its owners.
        assert_eq!(asked("SHOW SERIES FROM m WHERE h > 'a' AND time > 5").0, 1);
    }

    #[test]
    fn a_time_chooses_storage_shards_of_all_groups() {
        let timed = |text: &str| {
            let query = parse_query(text, &Params::new()).expect("the test writes InfluxQL");
            timed_tags(&query.statements[0], "d")
        };
        let wanted = |db: &str, start, end, anytime: &str| {
            let anytime = parse_query(anytime, &Params::new()).expect("the test writes InfluxQL").statements.remove(0);
            Ok(Some(TimedTags { db: db.to_owned(), range: TimeRange { start, end }, anytime }))
        };
        let all = TimeRange::default();
        assert_eq!(
            timed("SHOW TAG KEYS FROM m WHERE time > 5 LIMIT 3"),
            wanted("d", 6, all.end, "SHOW TAG KEYS FROM m LIMIT 3")
        );
        assert_eq!(
            timed("SHOW TAG VALUES ON e WITH KEY = h WHERE (h = 'a' OR time < 9) AND time >= 5"),
            wanted("e", 5, 8, "SHOW TAG VALUES ON e WITH KEY = h WHERE (h = 'a')"),
        );
        assert_eq!(timed("SHOW TAG KEYS WHERE h = 'a'"), Ok(None));
        assert_eq!(timed("SHOW SERIES WHERE time > 5"), Ok(None));
        assert!(timed("SHOW TAG KEYS WHERE time > 'soon'").is_err());
    }

    #[test]
    fn only_owners_are_asked() {
        assert_eq!(asked("SHOW SERIES FROM m").0, 1);
        assert_eq!(asked("SHOW MEASUREMENTS WITH MEASUREMENT = m").0, 1);
        assert_eq!(asked("SHOW SERIES EXACT CARDINALITY FROM m").0, 1);
        for all in [
            "SHOW SERIES FROM split",
            "SHOW SERIES FROM m, split",
            "SHOW SERIES FROM /m/",
            "SHOW TAG KEYS FROM d..m",
            // 1.8 alone takes this.
            "SHOW MEASUREMENTS ON *.* WITH MEASUREMENT = m",
        ] {
            assert_eq!(asked(all).0, 3, "{all}");
        }
    }

    #[test]
    fn sources_of_several_databases_count_in_every_group() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let found = BTreeMap::from([
            ("/b/".to_owned(), names(&["b1", "b2"])),
            ("e../b/".to_owned(), names(&["b3"])),
            ("/x/".to_owned(), names(&[])),
        ]);
        for (text, decided) in [
            ("SHOW SERIES FROM /b/, e..m", Some("SHOW SERIES FROM /b/, e..m, b1")),
            ("SHOW FIELD KEYS ON e FROM d..m, /b/ LIMIT 1", Some("SHOW FIELD KEYS ON e FROM d..m, /b/, e..b3 LIMIT 1")),
            ("SHOW SERIES FROM /x/, e..m", None),
            ("SHOW SERIES FROM /b/, m, /x/", None),
            ("SHOW SERIES FROM /b/, e..m WHERE time > 0", None),
            ("SHOW TAG KEYS FROM /b/, e..m", None),
            ("SHOW SERIES", None),
        ] {
            let mut query = parse_query(text, &Params::new()).expect("the test writes InfluxQL");
            decide(&mut query.statements[0], &found);
            assert_eq!(query.statements[0].to_string(), decided.unwrap_or(text), "{text}");
        }
    }

    #[test]
    fn series_are_listed_whatever_their_policy() {
        let parsed = |text: &str| {
            let query = parse_query(text, &Params::new()).expect("the test writes InfluxQL");
            query.statements.into_iter().next().expect("the test writes a statement")
        };
        for (text, everywhere) in [
            ("SHOW SERIES LIMIT 3", Some("SHOW SERIES FROM a./.+/, b./.+/ LIMIT 3")),
            ("SHOW SERIES ON e FROM b.m", Some("SHOW SERIES ON e FROM e.a.m, e.b.m")),
            ("SHOW SERIES FROM e.b.m, m", None),
            ("SHOW SERIES FROM b.m WHERE time > 0", None),
            ("SHOW TAG KEYS FROM b.m", None),
        ] {
            let statement = parsed(text);
            let policies = ["a".to_owned(), "b".to_owned()];
            let seen = series_places(&statement).map(|places| in_policies(&statement, &places, &policies).to_string());
            assert_eq!(seen.as_deref(), everywhere, "{text}");
        }
    }

    #[test]
    fn cardinalities() {
        assert_eq!(planned("SHOW TAG KEY CARDINALITY WHERE time > 0"), None, "anybody refuses it");
        assert_eq!(asked("SHOW TAG VALUES CARDINALITY WITH KEY = h WHERE time > 0").0, 3);
        for (text, statement) in [
            ("SHOW SERIES CARDINALITY", "SHOW SERIES CARDINALITY"),
            ("SHOW SERIES CARDINALITY LIMIT 1 OFFSET 2", "SHOW SERIES EXACT CARDINALITY LIMIT 3"),
            ("SHOW SERIES EXACT CARDINALITY GROUP BY h", "SHOW SERIES EXACT CARDINALITY GROUP BY h"),
            ("SHOW MEASUREMENT CARDINALITY ON x", "SHOW MEASUREMENTS ON x"),
            ("SHOW MEASUREMENT CARDINALITY FROM /m/", "SHOW SERIES EXACT CARDINALITY FROM /m/"),
            ("SHOW TAG KEY CARDINALITY OFFSET 1", "SHOW TAG KEY CARDINALITY"),
        ] {
            assert_eq!(asked(text).1, statement, "{text}");
        }
        for (text, is_by_shards) in [
            ("SHOW FIELD KEY CARDINALITY", false),
            ("SHOW FIELD KEY CARDINALITY FROM split WHERE h = 'a'", true),
            ("SHOW FIELD KEY EXACT CARDINALITY FROM /./ GROUP BY h", true),
            ("SHOW FIELD KEY EXACT CARDINALITY ON other GROUP BY h", false),
            ("SHOW TAG KEY EXACT CARDINALITY GROUP BY h", false),
        ] {
            let query = parse_query(text, &Params::new()).expect("the test writes InfluxQL");
            let [Statement::ShowCardinality(show)] = query.statements.as_slice() else { panic!("{text}") };
            let at = Circumstances { topology: &topology(3), db: "d", may_write: false };
            let counted = BTreeSet::from(["m".to_owned(), "split".to_owned()]);
            let by_shards = counted_by_shards(show, &counted, at);
            assert_eq!(by_shards.is_some_and(|name| name == "split"), is_by_shards, "{text}");
        }
    }

    #[test]
    fn measurements_are_calculated_when_a_rule_splits_some() {
        for (text, steps) in [
            ("SHOW MEASUREMENTS WHERE h != 'a' LIMIT 3 OFFSET 1", Some(3)),
            ("SHOW MEASUREMENTS WHERE h = 'a' AND i = 'b'", Some(3)),
            ("SHOW MEASUREMENTS WHERE h = 'a'", None),
            ("SHOW MEASUREMENTS WHERE h != 'a' AND time > 0", None),
            ("SHOW MEASUREMENTS WITH MEASUREMENT = m WHERE h != 'a'", None),
        ] {
            let found = match planned(text) {
                Some(Show::Names(groups, names)) => {
                    assert_eq!(groups, [0, 1, 2], "{text}");
                    Some(names.steps.len())
                }
                _ => None,
            };
            assert_eq!(found, steps, "{text}");
        }
    }

    #[test]
    fn keys_of_series_come_in_the_order_of_how_they_are_read() {
        assert_eq!(asked("SHOW SERIES WHERE h = 'a'").2.join, Join::SeriesKeys);
        assert_eq!(asked("SHOW SERIES WHERE h = 'a' OR time > 0").2.join, Join::Rows);
    }

    #[test]
    fn what_is_about_servers() {
        assert_eq!(planned("SHOW SHARDS"), Some(Show::Replicas(OfReplicas::Each)));
        assert_eq!(planned("SHOW CONTINUOUS QUERIES"), Some(Show::Replicas(OfReplicas::Union)));
        assert_eq!(planned("SHOW QUERIES"), Some(Show::Queries));
        assert_eq!(planned("SHOW DATABASES"), None);
        assert_eq!(planned("SELECT v FROM m"), None);
    }
}
