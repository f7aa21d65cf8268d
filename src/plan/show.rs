//! SHOW statements over several servers: who is asked, what, and how the parts join. Called by `plan` and `query`.
//!
//! LIMIT counts rows of the whole, so that each group is asked for LIMIT + OFFSET of them and OFFSET is done here. SLIMIT
//! and SOFFSET of TAG KEYS change nothing in InfluxDB 1.6 and 1.8, nor here.

use std::collections::BTreeSet;

use crate::influxql::ast::{
    CardinalityOf, Expr, Listing, MeasurementName, NameOrAll, ShowCardinality, ShowMeasurements,
};
use crate::influxql::{Measurement, Statement};
use crate::topology::{GroupIndex, Topology};

use super::Circumstances;

/// Where a SHOW statement runs, and how its parts join.
#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    /// One replica of each of these groups is asked.
    Groups(Vec<GroupIndex>, Box<Part>),
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

/// How the answers of groups become one.
#[derive(Clone, Debug, PartialEq)]
pub enum Join {
    /// Of each series the union of the rows, sorted.
    Rows,
    /// Keys of series, in the order of the series.
    SeriesKeys,
    /// Of each series the sum: no series lives in two groups.
    Sum,
    /// Counts by measurement: how many measurements there are, of each set of tags.
    Measurements,
    /// Names: how many there are, in a column of this name.
    CountOfNames(&'static str),
    /// Counts of what several groups may have alike: a measurement that several answer for is counted anew.
    Recount(Recount),
}

/// What is listed when counts cannot be added.
#[derive(Clone, Debug, PartialEq)]
pub struct Recount {
    of: CardinalityOf,
    database: Option<String>,
    condition: Option<Expr>,
    /// Counts by tags can't be made of a list.
    by_tags: bool,
    asked: String,
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
        Statement::ShowSeries(listing) => list(statement, listing, Join::SeriesKeys, Cut::Rows, at),
        Statement::ShowTagKeys(listing) => list(statement, listing, Join::Rows, Cut::Series, at),
        Statement::ShowTagValues { listing, .. } => list(statement, listing, Join::Rows, Cut::Series, at),
        Statement::ShowFieldKeys(listing) => list(statement, listing, Join::Rows, Cut::Rows, at),
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

impl Recount {
    /// The list of what a measurement's count counts, for measurements that several groups answer for; an error says why
    /// there is none.
    pub fn listing(&self, measurements: Vec<String>) -> Result<Statement, String> {
        if self.by_tags {
            return Err(format!(
                "{} with GROUP BY is not supported over measurement {:?}, whose series live in several groups; ask without \
                 GROUP BY",
                self.asked,
                measurements.first().map_or("", String::as_str)
            ));
        }
        let source = |name| Measurement { database: None, retention_policy: None, name: MeasurementName::Name(name) };
        let sources = measurements.into_iter().map(source).collect();
        let (database, condition) = (self.database.clone(), self.condition.clone());
        let listing = Box::new(Listing { database, sources, condition, ..Listing::default() });
        Ok(match &self.of {
            CardinalityOf::TagValues(keys) => Statement::ShowTagValues { keys: keys.clone(), listing },
            CardinalityOf::TagKeys => Statement::ShowTagKeys(listing),
            _ => Statement::ShowFieldKeys(Box::new(Listing { condition: None, ..*listing })),
        })
    }

    /// In which column of a list stands what is counted: tag values are counted by value, whatever their key.
    pub fn column(&self) -> usize {
        usize::from(matches!(self.of, CardinalityOf::TagValues(_)))
    }
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
    let groups = owners(show.with.as_slice(), database, at);
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
    let groups = owners(&listing.sources, listing.database.as_deref(), at);
    Show::Groups(groups, Box::new(Part { statement: asked, join, limit, offset, cut }))
}

fn cardinality(show: &ShowCardinality, at: Circumstances<'_>) -> Show {
    let groups = owners(&show.sources, show.database.as_deref(), at);
    // A count is one row: LIMIT changes nothing, OFFSET leaves nothing.
    let (limit, offset) = (0, show.offset);
    let mut asked = ShowCardinality { limit: 0, offset: 0, ..show.clone() };
    let is_estimate = !show.exact
        && show.sources.is_empty()
        && show.condition.is_none()
        && show.group_by.is_empty()
        && (show.limit, show.offset) == (0, 0);
    let mut cut = if is_estimate { Cut::Whole } else { Cut::Rows };
    let statement = |show| Statement::ShowCardinality(Box::new(show));
    let recount = |show: &ShowCardinality| Recount {
        of: show.of.clone(),
        database: show.database.clone(),
        condition: show.condition.clone(),
        by_tags: !show.group_by.is_empty(),
        asked: Statement::ShowCardinality(Box::new(ShowCardinality {
            database: None,
            sources: Vec::new(),
            condition: None,
            group_by: Vec::new(),
            ..show.clone()
        }))
        .to_string(),
    };
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
            let recount = recount(&asked);
            (statement(asked), Join::Recount(recount))
        }
    };
    Show::Groups(groups, Box::new(Part { statement, join, limit, offset, cut }))
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
            let is_fixed = source.database.is_none()
                && !db.is_empty()
                && topology.rule(db, name.as_bytes()).is_none_or(|rule| rule.tags.is_empty());
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
    fn only_owners_are_asked() {
        assert_eq!(asked("SHOW SERIES FROM m").0, 1);
        assert_eq!(asked("SHOW MEASUREMENTS WITH MEASUREMENT = m").0, 1);
        assert_eq!(asked("SHOW SERIES EXACT CARDINALITY FROM m").0, 1);
        for all in [
            "SHOW SERIES FROM split",
            "SHOW SERIES FROM m, split",
            "SHOW SERIES FROM /m/",
            "SHOW TAG KEYS FROM d..m",
            "SHOW MEASUREMENTS ON *.* WITH MEASUREMENT = m",
        ] {
            assert_eq!(asked(all).0, 3, "{all}");
        }
    }

    #[test]
    fn cardinalities() {
        for (text, statement) in [
            ("SHOW SERIES CARDINALITY", "SHOW SERIES CARDINALITY"),
            ("SHOW SERIES CARDINALITY LIMIT 1", "SHOW SERIES EXACT CARDINALITY"),
            ("SHOW SERIES EXACT CARDINALITY GROUP BY h", "SHOW SERIES EXACT CARDINALITY GROUP BY h"),
            ("SHOW MEASUREMENT CARDINALITY ON x", "SHOW MEASUREMENTS ON x"),
            ("SHOW MEASUREMENT CARDINALITY FROM /m/", "SHOW SERIES EXACT CARDINALITY FROM /m/"),
            ("SHOW TAG KEY CARDINALITY OFFSET 1", "SHOW TAG KEY CARDINALITY"),
        ] {
            assert_eq!(asked(text).1, statement, "{text}");
        }
        let recounted = |text: &str| match asked(text).2.join {
            Join::Recount(recount) => Some(recount.listing(vec!["split".into()]).map(|list| list.to_string())),
            _ => None,
        };
        assert_eq!(
            recounted("SHOW TAG VALUES EXACT CARDINALITY ON x WITH KEY = h WHERE a = 'b'"),
            Some(Ok("SHOW TAG VALUES ON x FROM split WITH KEY = h WHERE a = 'b'".to_owned()))
        );
        assert_eq!(recounted("SHOW FIELD KEY CARDINALITY"), Some(Ok("SHOW FIELD KEYS FROM split".to_owned())));
        assert_eq!(recounted("SHOW SERIES CARDINALITY"), None);
        let refused = recounted("SHOW TAG KEY EXACT CARDINALITY FROM /./ GROUP BY h").expect("a count of keys");
        let reason = refused.expect_err("no list has tags");
        assert!(
            reason.starts_with("SHOW TAG KEY EXACT CARDINALITY with GROUP BY") && reason.contains("\"split\""),
            "{reason}"
        );
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
