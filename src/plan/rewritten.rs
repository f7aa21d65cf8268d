//! SHOW statements that InfluxDB itself runs as a SELECT: SHOW SERIES whose WHERE has a time, and every CARDINALITY that is no
//! estimate. Called by `show` and `query`. Pure.
//!
//! In a SELECT a name has one meaning over all that is read: when any measurement has a field of that name it is that field,
//! for those too of which it is a tag. A group knows only its own measurements, so that names and wildcards are written out
//! from the schema of all before the statement is sent.

use std::collections::BTreeSet;

use crate::influxql::ast::{
    BinaryOp, Call, CardinalityOf, Cast, Field, MeasurementName, ShowCardinality, SortOrder, Source, TagKeys, VarRef,
};
use crate::influxql::range::{TimeRange, split_time};
use crate::influxql::{Expr, Measurement, Select, Statement};

use super::columns::{Schema, has_wildcard, widen};
use super::sources::time_terms;

/// In which column of [`values`] and [`fields_within`] stands what is counted; before it stands a time.
pub const VALUE_COLUMN: usize = 1;

/// The EXPLAIN that tells a group's schema; `None`: nothing depends on it.
pub fn probe(statement: &Statement) -> Option<Statement> {
    let read = reading(statement)?;
    if read.condition.is_none() && !read.group_by.iter().any(has_wildcard) {
        return None;
    }
    let bounds = match statement {
        Statement::ShowSeries(_) | Statement::ShowCardinality(_) => {
            read.condition.iter().flat_map(time_terms).cloned().collect()
        }
        _ => Vec::new(),
    };
    let condition = (!bounds.is_empty()).then_some(Expr::And(bounds));
    let select = Box::new(Select { condition, ..select([Expr::Wildcard(None)], read.sources) });
    Some(Statement::Explain { select, analyze: false })
}

/// Writes out what the names of a statement mean, whose probe has told the schema.
///
/// # Errors
/// A regular expression that cannot be read here.
pub fn settle(statement: &mut Statement, schema: &Schema) -> Result<(), String> {
    let Some(mut read) = reading(statement) else { return Ok(()) };
    widen(&mut read, schema)?;
    match statement {
        Statement::ShowSeries(listing) => listing.condition = read.condition,
        Statement::ShowCardinality(show) => (show.condition, show.group_by) = (read.condition, read.group_by),
        _ => {}
    }
    Ok(())
}

/// The SELECT of what is counted, by measurement and tags, over these measurements at least. `None`: no values are counted.
pub fn values(show: &ShowCardinality, names: &BTreeSet<String>) -> Option<Statement> {
    let (counted, cast, keys) = match &show.of {
        CardinalityOf::TagKeys => ("_tagKey", None, None),
        CardinalityOf::TagValues(keys) => ("_tagValue", None, Some(keys)),
        // Its type InfluxDB does not know of itself.
        CardinalityOf::FieldKeys => ("_fieldKey", Some(Cast::Tag), None),
        CardinalityOf::Measurements | CardinalityOf::Series => return None,
    };
    let argument = Expr::VarRef(VarRef { name: counted.to_owned(), cast });
    let mut sources: Vec<Measurement> = show.sources.clone();
    sources.retain(|source| match &source.name {
        MeasurementName::Name(name) | MeasurementName::Also(name) => names.contains(name),
        MeasurementName::Regex(_) => true,
    });
    if show.sources.is_empty() {
        sources = named(names);
    }
    let distinct = Expr::Call(Call { name: "distinct".to_owned(), args: vec![argument] });
    let condition = match (show.condition.clone(), keys.map(key_condition)) {
        (Some(own), Some(keys)) => Some(Expr::And(vec![Expr::Paren(Box::new(own)), Expr::Paren(Box::new(keys))])),
        (own, keys) => own.or(keys),
    };
    let group_by = tags_of(&show.group_by);
    let sources = placed(&sources, show.database.as_deref());
    Some(Statement::Select(Box::new(Select { condition, group_by, ..select([distinct], sources) })))
}

/// What a statement counts the fields of: `names`, where FROM has none.
pub fn counted(show: &ShowCardinality, names: &BTreeSet<String>) -> Vec<Measurement> {
    let sources = if show.sources.is_empty() { named(names) } else { show.sources.clone() };
    sources.iter().map(|source| placed_in(source, show.database.as_deref())).collect()
}

/// The SELECTs that list the fields of measurements in one storage shard: beside each set of tags in which WHERE finds a
/// series, and all of them. InfluxDB heeds the times only in choosing shards.
pub fn fields_within(show: &ShowCardinality, sources: &[Measurement], shard: TimeRange) -> [Statement; 2] {
    let listing = |own: Option<&Expr>, group_by: &[Expr]| {
        let key = Expr::VarRef(VarRef { name: "_fieldKey".to_owned(), cast: Some(Cast::String) });
        let (condition, group_by) = (Some(Expr::And(within(own, shard))), group_by.to_vec());
        let sources = sources.iter().cloned().map(Source::Measurement).collect();
        Statement::Select(Box::new(Select { condition, group_by, ..select([key], sources) }))
    };
    [listing(show.condition.as_ref(), &tags_of(&show.group_by)), listing(None, &[])]
}

/// What SHOW SERIES with a time and OFFSET without LIMIT reads: of each measurement in each storage shard InfluxDB reads OFFSET
/// series and one more, and lists what is behind the first OFFSET of all of these together.
#[derive(Clone, Debug, PartialEq)]
pub struct CutKeys {
    pub sources: Vec<Measurement>,
    /// The storage shards that count.
    pub range: TimeRange,
    /// WHERE without times.
    rest: Option<Expr>,
}

/// The listing of series that is cut in each storage shard; `None`: this one is not.
///
/// # Errors
/// Its time cannot be read here.
pub fn cut_keys(statement: &Statement, limit: u64, offset: u64) -> Result<Option<CutKeys>, String> {
    let Statement::ShowSeries(listing) = statement else { return Ok(None) };
    let Some(condition) = listing.condition.as_ref().filter(|condition| has_time(condition)) else { return Ok(None) };
    if limit > 0 || offset == 0 {
        return Ok(None);
    }
    let (rest, range) = split_time(condition, None)?;
    let Some(read) = reading(statement) else { return Ok(None) };
    let measurement = |source| match source {
        Source::Measurement(measurement) => Some(measurement),
        Source::Subquery(_) => None,
    };
    Ok(Some(CutKeys { sources: read.sources.into_iter().filter_map(measurement).collect(), range, rest }))
}

impl CutKeys {
    /// The SELECT of the keys that some of the sources have in a storage shard, in [`VALUE_COLUMN`].
    pub fn within(&self, sources: &[Measurement], shard: TimeRange) -> Statement {
        let key = Expr::VarRef(VarRef { name: "_seriesKey".to_owned(), cast: None });
        let condition = Some(Expr::And(within(self.rest.as_ref(), shard)));
        let sources = sources.iter().cloned().map(Source::Measurement).collect();
        // InfluxDB gives these rows the time 0, at which it stops reading forwards when the range ends before.
        let order = (shard.end < 0).then_some(SortOrder::Descending);
        Statement::Select(Box::new(Select { condition, order, ..select([key], sources) }))
    }
}

/// A condition and the bounds of a storage shard.
fn within(own: Option<&Expr>, shard: TimeRange) -> Vec<Expr> {
    let mut terms: Vec<Expr> = own.map(|own| Expr::Paren(Box::new(own.clone()))).into_iter().collect();
    for (op, bound) in [(BinaryOp::GreaterEqual, shard.start), (BinaryOp::LessEqual, shard.end)] {
        let time = Expr::VarRef(VarRef { name: "time".to_owned(), cast: None });
        terms.push(Expr::Binary { op, lhs: Box::new(time), rhs: Box::new(Expr::Integer(bound)) });
    }
    terms
}

/// GROUP BY without time(): what is counted stands in one window.
fn tags_of(group_by: &[Expr]) -> Vec<Expr> {
    group_by.iter().filter(|expr| !matches!(expr, Expr::Call(_))).cloned().collect()
}

fn named(names: &BTreeSet<String>) -> Vec<Measurement> {
    let named = |name: &String| Measurement {
        database: None,
        retention_policy: None,
        name: MeasurementName::Name(name.clone()),
    };
    names.iter().map(named).collect()
}

/// Whether WHERE, with types, reads a field: its values at the time that InfluxDB gives keys (0) then decide what is counted.
pub fn reads_fields(condition: &Expr) -> bool {
    match condition {
        Expr::VarRef(var) => var.cast.is_some_and(|cast| cast != Cast::Tag),
        Expr::And(terms) | Expr::Or(terms) => terms.iter().any(reads_fields),
        Expr::Binary { lhs, rhs, .. } => reads_fields(lhs) || reads_fields(rhs),
        Expr::Paren(inner) => reads_fields(inner),
        Expr::Call(call) => call.args.iter().any(reads_fields),
        _ => false,
    }
}

/// Whether InfluxDB finds a time in WHERE.
pub fn has_time(condition: &Expr) -> bool {
    match condition {
        Expr::And(terms) | Expr::Or(terms) => terms.iter().any(has_time),
        Expr::Paren(inner) => has_time(inner),
        Expr::Binary { lhs, .. } => matches!(&**lhs, Expr::VarRef(var) if var.name.eq_ignore_ascii_case("time")),
        _ => false,
    }
}

/// What the statement reads, as a SELECT of nothing.
fn reading(statement: &Statement) -> Option<Select> {
    let (database, sources, condition, group_by) = match statement {
        Statement::ShowSeries(listing) if listing.condition.as_ref().is_some_and(has_time) => {
            (&listing.database, &listing.sources, &listing.condition, &Vec::new())
        }
        Statement::ShowCardinality(show) => (&show.database, &show.sources, &show.condition, &show.group_by),
        _ => return None,
    };
    let any = Measurement { database: None, retention_policy: None, name: MeasurementName::Regex(".+".to_owned()) };
    let sources = if sources.is_empty() { std::slice::from_ref(&any) } else { sources.as_slice() };
    let (condition, group_by) = (condition.clone(), group_by.clone());
    Some(Select { condition, group_by, ..select([], placed(sources, database.as_deref())) })
}

fn placed(sources: &[Measurement], database: Option<&str>) -> Vec<Source> {
    sources.iter().map(|source| Source::Measurement(placed_in(source, database))).collect()
}

/// With the database of ON, unless it names one.
fn placed_in(source: &Measurement, database: Option<&str>) -> Measurement {
    let database = source.database.as_deref().or(database).map(str::to_owned);
    Measurement { database, ..source.clone() }
}

/// WITH KEY as a condition.
fn key_condition(keys: &TagKeys) -> Expr {
    let compare = |op, rhs| {
        let lhs = Box::new(Expr::VarRef(VarRef { name: "_tagKey".to_owned(), cast: None }));
        Expr::Binary { op, lhs, rhs: Box::new(rhs) }
    };
    let equal = |key: &String| compare(BinaryOp::Equal, Expr::String(key.clone()));
    match keys {
        TagKeys::Equal(key) => equal(key),
        TagKeys::NotEqual(key) => compare(BinaryOp::NotEqual, Expr::String(key.clone())),
        TagKeys::Match(regex) => compare(BinaryOp::Match, Expr::Regex(regex.clone())),
        TagKeys::NotMatch(regex) => compare(BinaryOp::NotMatch, Expr::Regex(regex.clone())),
        TagKeys::In(keys) => match keys.as_slice() {
            [key] => equal(key),
            keys => Expr::Or(keys.iter().map(equal).collect()),
        },
    }
}

fn select(fields: impl IntoIterator<Item = Expr>, sources: Vec<Source>) -> Select {
    Select {
        fields: fields.into_iter().map(|expr| Field { expr, alias: None }).collect(),
        sources,
        ..Select::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, parse_query};

    fn parsed(text: &str) -> Statement {
        let query = parse_query(text, &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
        query.statements.into_iter().next().expect("the test writes a statement")
    }

    /// `net` has a field `host`.
    fn schema() -> Schema {
        let mut schema = Schema::default();
        schema.add_explained(["AUXILIARY FIELDS: dc::tag, host::string, host::tag, v::float"]).expect("it reads");
        schema
    }

    #[test]
    fn names_mean_one_thing_over_all_groups() {
        for (text, probed, settled) in [
            (
                "SHOW SERIES EXACT CARDINALITY WHERE host = 'a' AND dc = 'x'",
                "EXPLAIN SELECT * FROM /.+/",
                "SHOW SERIES EXACT CARDINALITY WHERE host::string = 'a' AND dc::tag = 'x'",
            ),
            (
                "SHOW TAG KEY CARDINALITY ON d FROM cpu, e..net GROUP BY *",
                "EXPLAIN SELECT * FROM d..cpu, e..net",
                "SHOW TAG KEY CARDINALITY ON d FROM cpu, e..net GROUP BY dc, host",
            ),
            (
                "SHOW SERIES FROM cpu WHERE host = 'a' AND time > 5 LIMIT 3",
                "EXPLAIN SELECT * FROM cpu WHERE time > 5",
                "SHOW SERIES FROM cpu WHERE host::string = 'a' AND time > 5 LIMIT 3",
            ),
        ] {
            let mut statement = parsed(text);
            assert_eq!(probe(&statement).map(|probe| probe.to_string()).as_deref(), Some(probed), "{text}");
            settle(&mut statement, &schema()).expect("nothing to read");
            assert_eq!(statement.to_string(), settled);
        }
        for text in ["SHOW SERIES WHERE host = 'a'", "SHOW SERIES EXACT CARDINALITY GROUP BY dc", "SHOW TAG KEYS"] {
            assert_eq!(probe(&parsed(text)), None, "{text}");
        }
    }

    #[test]
    fn what_is_counted_can_be_listed() {
        let names = BTreeSet::from(["cpu".to_owned(), "split".to_owned()]);
        for (text, listed) in [
            ("SHOW TAG KEY CARDINALITY", "SELECT distinct(_tagKey) FROM cpu, split"),
            ("SHOW FIELD KEY CARDINALITY ON x", "SELECT distinct(_fieldKey::tag) FROM x..cpu, x..split"),
            (
                "SHOW TAG VALUES CARDINALITY ON x FROM second.cpu, y..m, /s/ WITH KEY IN (a, b) WHERE h = 'c' OR h = 'd' \
                 GROUP BY h",
                "SELECT distinct(_tagValue) FROM x.second.cpu, x../s/ WHERE (h = 'c' OR h = 'd') AND (_tagKey = 'a' OR \
                 _tagKey = 'b') GROUP BY h",
            ),
            (
                "SHOW TAG VALUES CARDINALITY FROM cpu WITH KEY !~ /a/",
                "SELECT distinct(_tagValue) FROM cpu WHERE _tagKey !~ /a/",
            ),
        ] {
            let Statement::ShowCardinality(show) = parsed(text) else { panic!("{text}") };
            let list = values(&show, &names).map(|list| list.to_string());
            assert_eq!(list.as_deref(), Some(listed), "{text}");
        }
    }

    #[test]
    fn keys_are_cut_by_storage_shards() {
        let shard = |start, end| TimeRange { start, end };
        let cut = |text: &str| cut_keys(&parsed(text), 0, 2).expect("its time is read");
        let keys = cut("SHOW SERIES ON x FROM cpu WHERE (h = 'a' OR h = 'b') AND time > 5").expect("it is cut");
        assert_eq!(keys.range, shard(6, TimeRange::default().end));
        for (shard, text) in [
            (shard(5, 9), "WHERE ((h = 'a' OR h = 'b')) AND time >= 5 AND time <= 9"),
            (shard(-9, -5), "WHERE ((h = 'a' OR h = 'b')) AND time >= -9 AND time <= -5 ORDER BY time DESC"),
        ] {
            let whole = format!("SELECT _seriesKey FROM x..cpu {text}");
            assert_eq!(keys.within(&keys.sources, shard).to_string(), whole);
        }
        assert_eq!(cut("SHOW SERIES WHERE h = 'a'"), None);
        let timed = parsed("SHOW SERIES WHERE time > 5");
        assert_eq!((cut_keys(&timed, 1, 2), cut_keys(&timed, 0, 0)), (Ok(None), Ok(None)));
    }

    #[test]
    fn fields_are_listed_by_storage_shards() {
        let names = BTreeSet::from(["cpu".to_owned(), "split".to_owned()]);
        for (text, listed, all) in [
            (
                "SHOW FIELD KEY CARDINALITY ON x WHERE h = 'c' OR h = 'd' GROUP BY h",
                "SELECT _fieldKey::string FROM x..cpu, x..split WHERE (h = 'c' OR h = 'd') AND time >= 5 AND time <= 9 GROUP BY h",
                "SELECT _fieldKey::string FROM x..cpu, x..split WHERE time >= 5 AND time <= 9",
            ),
            (
                "SHOW FIELD KEY CARDINALITY FROM /s/ GROUP BY h",
                "SELECT _fieldKey::string FROM /s/ WHERE time >= 5 AND time <= 9 GROUP BY h",
                "SELECT _fieldKey::string FROM /s/ WHERE time >= 5 AND time <= 9",
            ),
        ] {
            let Statement::ShowCardinality(show) = parsed(text) else { panic!("{text}") };
            let lists = fields_within(&show, &counted(&show, &names), TimeRange { start: 5, end: 9 });
            assert_eq!(lists.map(|list| list.to_string()), [listed, all], "{text}");
        }
    }
}
