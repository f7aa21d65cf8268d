//! SLIMIT and SOFFSET of measurements whose series lie in several groups.
//!
//! What influxd 1.6.7 counts (`LimitTagSets`, which its engine calls; `tests/slimit.rs` asks it anew):
//!
//! - For each measurement of FROM by itself, and in each of its storage shards by itself: the tag sets of the series *in that
//!   storage shard*, whether or not they have the field, or a point in the range or one that the rest of WHERE lets through.
//!   So a series of the answer may have rows of one storage shard and none of another.
//! - Of WHERE only comparisons of tags with texts, regular expressions and tags choose series. What names a field, or is no
//!   plain comparison, is true of every series; it is so under AND and OR as well.
//! - Sets are those of the tags of the outermost GROUP BY, wherever SLIMIT stands; not those of `top(v, tag, N)`. Their order is
//!   that of `tag_sets`, also under ORDER BY time DESC. Without such tags all series are one set.
//! - A subquery adds SLIMIT and SOFFSET of the SELECTs around it to its own. WHERE of those around does not count.
//! - SOFFSET without SLIMIT lets nothing through. Aggregates, LIMIT, fill() and all else see only what is let through.
//!
//! So it is a filter of the measurements' rows, by series of the answer and storage shard. The groups list the sets of each
//! storage shard ([`Limited::listing`]), which begins and ends at the same time in each group as in one InfluxDB; from the
//! filter (`tag_sets`) comes a WHERE that asks for those series alone ([`Limits::narrow`]) of a SELECT without SLIMIT. Where a
//! series is let through or cut off in all storage shards alike the groups do with it what they otherwise do; else its rows
//! are looked at (`select::narrowed`). Pure.

use std::collections::BTreeSet;

use crate::influxql::ast::{BinaryOp, Cast, Field, SortOrder, Source, VarRef};
use crate::influxql::range::{TIME_MAX, TIME_MIN, TimeRange, split_time};
use crate::influxql::zone::Zone;
use crate::influxql::{Expr, Measurement, Select};
use crate::topology::GroupIndex;

use super::Circumstances;
use super::columns::Schema;
use super::gather::depth;
use super::select::{alone, split_of};
use super::sources::shares;
use super::subquery::{self, is_regex};
use super::tag_sets::Values;

/// Terms of a WHERE that names tag sets; of more the groups are asked for all series.
const TERMS_MAX: usize = 1_000;
/// Zones' clocks differ by less.
const ZONE_NS: i64 = 26 * 3_600 * 1_000_000_000;

/// The SLIMIT and SOFFSET of a SELECT, with its subqueries'.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The tags of the outermost GROUP BY, sorted.
    pub dimensions: Vec<String>,
    /// Only those that are limited.
    pub readers: Vec<Limited>,
}

/// A SELECT that reads measurements, of which not all tag sets are let through.
#[derive(Clone, Debug, PartialEq)]
pub struct Limited {
    /// Its number (`subquery::readers`).
    pub reader: usize,
    /// The sums of its own and those around.
    pub slimit: u64,
    pub soffset: u64,
    /// No row of another time is read.
    pub range: TimeRange,
    /// Each once, with the groups that have its series.
    pub measurements: Vec<(Measurement, Vec<GroupIndex>)>,
    dimensions: Vec<String>,
    /// What of WHERE chooses series.
    condition: Option<Expr>,
    /// WHERE is of its measurements alone.
    reads_only_measurements: bool,
}

/// Whether SLIMIT or SOFFSET stand in it, or in a subquery.
pub fn is_limited(select: &Select) -> bool {
    let inside = |source: &Source| matches!(source, Source::Subquery(inner) if is_limited(inner));
    select.slimit > 0 || select.soffset > 0 || select.sources.iter().any(inside)
}

/// Takes SLIMIT and SOFFSET out.
pub fn without_limits(select: &mut Select) {
    (select.slimit, select.soffset) = (0, 0);
    for source in &mut select.sources {
        if let Source::Subquery(inner) = source {
            without_limits(inner);
        }
    }
}

/// What has to be listed for a SELECT that is limited.
///
/// # Errors
/// It cannot be told which series are counted.
pub fn limits(select: &Select, schemas: &[Schema], circumstances: Circumstances<'_>) -> Result<Limits, String> {
    let mut settled = select.clone();
    subquery::settle(&mut settled, &mut schemas.iter())?;
    let is_field = |tag: &str| schemas.iter().any(|schema| schema.fields.contains_key(tag));
    of_settled(&settled, &is_field, Unknown::Refused, circumstances)
}

/// The same before anybody was asked: as if each name were what it seems to be.
///
/// # Errors
/// It cannot be told which series are counted, whatever the schema.
pub fn outlined(select: &Select, circumstances: Circumstances<'_>) -> Result<Limits, String> {
    let all = shares(select, circumstances, &|_| false)?;
    let tags = all.iter().filter_map(|share| share.rule).flat_map(|rule| rule.tags.iter().cloned()).collect();
    let schema = Schema { tags, ..Schema::default() };
    let mut settled = select.clone();
    let schemas = vec![schema; subquery::readers(select).len()];
    subquery::settle(&mut settled, &mut schemas.iter())?;
    of_settled(&settled, &|_| false, Unknown::Tags, circumstances)
}

/// What a name is that has no type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    /// InfluxDB may know a field of that name of another time, which one group does not.
    Refused,
    Tags,
}

fn of_settled(
    settled: &Select,
    is_field: &impl Fn(&str) -> bool,
    unknown: Unknown,
    circumstances: Circumstances<'_>,
) -> Result<Limits, String> {
    let mut dimensions: Vec<String> = Vec::new();
    for expr in &settled.group_by {
        match expr {
            Expr::VarRef(var) => dimensions.push(var.name.clone()),
            Expr::Call(call) if call.name == "time" => {}
            // Nobody has said what tags there are.
            Expr::Wildcard(_) | Expr::Regex(_) if unknown == Unknown::Tags => {}
            other => {
                return Err(format!("SLIMIT or SOFFSET with GROUP BY {other} over several groups is not supported"));
            }
        }
    }
    dimensions.sort();
    dimensions.dedup();
    let zone = match &settled.timezone {
        Some(name) => Some(Zone::named(name).ok_or_else(|| format!("the time zone {name:?} is not known here"))?),
        None => None,
    };
    let around = Around { slimit: 0, soffset: 0, range: TimeRange::default() };
    let mut readers = Vec::new();
    let wider = wider(settled).saturating_add(if has_zone(settled) { ZONE_NS } else { 0 });
    below(settled, around, &Bounds { zone, wider }, &mut readers)?;
    let mut limited = Vec::new();
    for (reader, (select, around)) in readers.into_iter().enumerate() {
        if around.slimit == 0 && around.soffset == 0 {
            continue;
        }
        let reads_only_measurements = !select.sources.iter().any(|source| matches!(source, Source::Subquery(_)));
        let own = alone(select);
        let shares = shares(&own, circumstances, is_field)?;
        let rest = match &own.condition {
            Some(condition) => split_time(condition, zone)?.0,
            None => None,
        };
        let condition = match rest.as_ref().map(|rest| of_tags(rest, unknown)).transpose() {
            Ok(condition) => condition.flatten(),
            Err(name) => {
                return Err(format!(
                    "SLIMIT or SOFFSET with WHERE of {name:?}, which is no tag, over several groups is not supported: {}",
                    split_of(&shares, circumstances)
                ));
            }
        };
        let mut measurements: Vec<(Measurement, Vec<GroupIndex>)> = Vec::new();
        for (source, share) in own.sources.iter().zip(&shares) {
            let Source::Measurement(measurement) = source else { continue };
            if !is_regex(measurement) && !measurements.iter().any(|(other, _)| other == measurement) {
                measurements.push((measurement.clone(), share.groups.iter().copied().collect()));
            }
        }
        let Around { slimit, soffset, range } = around;
        let dimensions = dimensions.clone();
        limited.push(Limited {
            reader,
            slimit,
            soffset,
            range,
            measurements,
            dimensions,
            condition,
            reads_only_measurements,
        });
    }
    Ok(Limits { dimensions, readers: limited })
}

impl Limits {
    /// Whether nothing of a SELECT of so many readers is let through, whatever there is.
    pub fn let_nothing_through(&self, readers: usize) -> bool {
        self.readers.len() == readers && self.readers.iter().all(|reader| reader.slimit == 0)
    }

    /// What the groups are asked of one storage shard, or of all.
    pub fn listings(&self, shard: Option<TimeRange>) -> Vec<(GroupIndex, Select)> {
        let mut listings = Vec::new();
        for reader in self.readers.iter().filter(|reader| reader.slimit > 0) {
            for (measurement, groups) in &reader.measurements {
                listings.extend(groups.iter().map(|group| (*group, reader.listing(measurement, shard))));
            }
        }
        listings
    }

    /// Takes SLIMIT and SOFFSET out of a SELECT and has it ask for no other tag sets than these, by reader, where that can be
    /// said.
    pub fn narrow(&self, select: &mut Select, sets: &[BTreeSet<Values>]) {
        without_limits(select);
        let mut terms = self.readers.iter().zip(sets).peekable();
        let mut number = 0;
        each_reader(select, &mut |select| {
            if let Some((reader, sets)) = terms.next_if(|(reader, _)| reader.reader == number)
                && reader.reads_only_measurements
                && let Some(term) = named(&self.dimensions, sets)
            {
                add_term(select, term);
            }
            number += 1;
        });
    }
}

impl Limited {
    /// What lists the tag sets of a measurement in a storage shard: a row each, of which the tags count.
    pub fn listing(&self, measurement: &Measurement, shard: Option<TimeRange>) -> Select {
        let tag = |name: &String| Expr::VarRef(VarRef { name: name.clone(), cast: None });
        let key = VarRef { name: "_seriesKey".to_owned(), cast: None };
        let mut select = Select {
            fields: vec![Field { expr: Expr::VarRef(key), alias: None }],
            sources: vec![Source::Measurement(measurement.clone())],
            condition: self.condition.clone(),
            group_by: self.dimensions.iter().map(tag).collect(),
            limit: 1,
            slimit: self.slimit.saturating_add(self.soffset).min(i64::MAX as u64),
            ..Select::default()
        };
        let range = shard.unwrap_or(self.range);
        // InfluxDB gives these rows the time 0, at which it stops reading forwards when the range ends before.
        select.order = (range.end < 0).then_some(SortOrder::Descending);
        for (op, bound, none) in
            [(BinaryOp::GreaterEqual, range.start, TIME_MIN), (BinaryOp::LessEqual, range.end, TIME_MAX)]
        {
            if bound != none {
                let time = Expr::VarRef(VarRef { name: "time".to_owned(), cast: None });
                add_term(&mut select, Expr::Binary { op, lhs: Box::new(time), rhs: Box::new(Expr::Integer(bound)) });
            }
        }
        select
    }
}

/// What a SELECT takes over from those that it stands in, and its own.
#[derive(Clone, Copy)]
struct Around {
    slimit: u64,
    soffset: u64,
    range: TimeRange,
}

/// How bounds in time are read.
struct Bounds {
    zone: Option<Zone>,
    /// So many nanoseconds more may be read, before and after.
    wider: i64,
}

/// The SELECTs that read measurements, in the order of `subquery::readers`.
fn below<'a>(
    select: &'a Select,
    around: Around,
    bounds: &Bounds,
    found: &mut Vec<(&'a Select, Around)>,
) -> Result<(), String> {
    let own = match &select.condition {
        Some(condition) => split_time(condition, bounds.zone)?.1,
        None => TimeRange::default(),
    };
    let range = TimeRange {
        start: own.start.saturating_sub(bounds.wider).max(around.range.start),
        end: own.end.saturating_add(bounds.wider).min(around.range.end),
    };
    let own = Around {
        slimit: around.slimit.saturating_add(select.slimit),
        soffset: around.soffset.saturating_add(select.soffset),
        range,
    };
    if select.sources.iter().any(|source| matches!(source, Source::Measurement(_))) {
        found.push((select, own));
    }
    for source in &select.sources {
        if let Source::Subquery(inner) = source {
            below(inner, own, bounds, found)?;
        }
    }
    Ok(())
}

/// Calls `visit` for the SELECTs that read measurements, in the same order.
fn each_reader(select: &mut Select, visit: &mut impl FnMut(&mut Select)) {
    if select.sources.iter().any(|source| matches!(source, Source::Measurement(_))) {
        visit(select);
    }
    for source in &mut select.sources {
        if let Source::Subquery(inner) = source {
            each_reader(inner, visit);
        }
    }
}

/// How far beyond its bounds a SELECT reads, at most: a window for each call of another, and one that begins before.
fn wider(select: &Select) -> i64 {
    fn largest(select: &Select, interval: &mut i64, calls: &mut i64) {
        for expr in &select.group_by {
            if let Expr::Call(call) = expr
                && let Some(Expr::Duration(own)) = call.args.first()
            {
                *interval = (*interval).max(*own);
            }
        }
        *calls = select.fields.iter().map(|field| depth(&field.expr)).fold(*calls, i64::max);
        for source in &select.sources {
            if let Source::Subquery(inner) = source {
                largest(inner, interval, calls);
            }
        }
    }
    let (mut interval, mut calls) = (0, 0);
    largest(select, &mut interval, &mut calls);
    interval.saturating_mul(calls.saturating_add(1))
}

fn has_zone(select: &Select) -> bool {
    let inside = |source: &Source| matches!(source, Source::Subquery(inner) if has_zone(inner));
    select.timezone.is_some() || select.sources.iter().any(inside)
}

/// What of a condition without times chooses series; `None`: nothing. The error is a name of which nobody knows what it is.
fn of_tags(expr: &Expr, unknown: Unknown) -> Result<Option<Expr>, String> {
    let all = |terms: &[Expr]| terms.iter().map(|term| of_tags(term, unknown)).collect::<Result<Vec<_>, String>>();
    match expr {
        Expr::And(terms) => {
            let mut terms: Vec<Expr> = all(terms)?.into_iter().flatten().collect();
            Ok(if terms.len() > 1 { Some(Expr::And(terms)) } else { terms.pop() })
        }
        Expr::Or(terms) => {
            let terms: Option<Vec<Expr>> = all(terms)?.into_iter().collect();
            Ok(terms.map(Expr::Or))
        }
        Expr::Paren(inner) => Ok(of_tags(inner, unknown)?.map(|inner| Expr::Paren(Box::new(inner)))),
        Expr::Boolean(_) => Ok(Some(expr.clone())),
        Expr::Binary { lhs, rhs, .. } => Ok(chooses(lhs, rhs, unknown)?.then(|| expr.clone())),
        _ => Ok(None),
    }
}

/// Whether comparing these chooses series.
fn chooses(lhs: &Expr, rhs: &Expr, unknown: Unknown) -> Result<bool, String> {
    let mut tags = 0;
    for side in [lhs, rhs] {
        match plain(side) {
            Expr::VarRef(VarRef { cast: Some(Cast::Tag), .. }) => tags += 1,
            Expr::VarRef(VarRef { cast: Some(_), .. }) => return Ok(false),
            Expr::VarRef(VarRef { cast: None, .. }) if unknown == Unknown::Tags => tags += 1,
            Expr::VarRef(VarRef { name, cast: None }) => return Err(name.clone()),
            Expr::And(_) | Expr::Or(_) | Expr::Binary { .. } | Expr::Call(_) => return Ok(false),
            _ => {}
        }
    }
    let text = |side: &Expr| matches!(plain(side), Expr::String(_) | Expr::Regex(_));
    // InfluxDB works out what names nothing, wherever it stands.
    Ok(tags != 1 || text(lhs) || text(rhs))
}

/// Parentheses around one operand InfluxDB takes away.
fn plain(side: &Expr) -> &Expr {
    match side {
        Expr::Paren(inner) => plain(inner),
        other => other,
    }
}

/// Whether a series has one of these tag sets; `None`: it takes too many terms to say, or there is nothing to say.
fn named(dimensions: &[String], sets: &BTreeSet<Values>) -> Option<Expr> {
    if dimensions.is_empty() || sets.is_empty() || sets.len().saturating_mul(dimensions.len()) > TERMS_MAX {
        return None;
    }
    let set = |values: &Values| {
        let mut terms: Vec<Expr> = dimensions.iter().zip(values).map(|(name, value)| has(name, value)).collect();
        match terms.len() {
            1 => terms.remove(0),
            _ => Expr::And(terms),
        }
    };
    let mut sets: Vec<Expr> = sets.iter().map(set).collect();
    Some(if sets.len() == 1 { sets.remove(0) } else { Expr::Or(sets) })
}

/// Whether a series has this value of a tag, whatever fields have its name.
fn has(name: &str, value: &str) -> Expr {
    let tag = Expr::VarRef(VarRef { name: name.to_owned(), cast: Some(Cast::Tag) });
    let value = Expr::String(value.to_owned());
    Expr::Binary { op: BinaryOp::Equal, lhs: Box::new(tag), rhs: Box::new(value) }
}

/// Adds a term to WHERE.
fn add_term(select: &mut Select, term: Expr) {
    let mut terms = Vec::new();
    for term in select.condition.take().into_iter().chain([term]) {
        match term {
            Expr::And(own) => terms.extend(own),
            term @ Expr::Or(_) => terms.push(Expr::Paren(Box::new(term))),
            term => terms.push(term),
        }
    }
    select.condition = if terms.len() > 1 { Some(Expr::And(terms)) } else { terms.pop() };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{parsed, topology};

    fn of(text: &str) -> Result<Limits, String> {
        let mut schema = Schema::default();
        schema.add_explained(["AUXILIARY FIELDS: host::tag, dc::tag, v::float, n::integer"]).expect("it reads");
        let topology = topology(2);
        let select = parsed(text);
        let schemas = vec![schema; subquery::readers(&select).len()];
        limits(&select, &schemas, Circumstances { topology: &topology, db: "d", may_write: true })
    }

    /// What the first group is asked for each reader.
    fn listed(text: &str) -> Vec<String> {
        let limits = of(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        limits.listings(None).into_iter().filter(|(group, _)| *group == 0).map(|(_, part)| part.to_string()).collect()
    }

    #[test]
    fn what_is_counted_is_listed() {
        for (text, expected) in [
            ("SELECT v FROM split SLIMIT 2", "SELECT _seriesKey FROM split LIMIT 1 SLIMIT 2"),
            (
                "SELECT mean(v) FROM split WHERE time >= 30 AND time < 90 GROUP BY time(5ns), host, * SLIMIT 2 SOFFSET 3",
                "SELECT _seriesKey FROM split WHERE time >= 20 AND time <= 99 GROUP BY dc, host LIMIT 1 SLIMIT 5",
            ),
            (
                "SELECT v FROM (SELECT v FROM split WHERE host = 'a' AND v > 1 GROUP BY dc SLIMIT 1) WHERE dc = 'x' GROUP BY host SLIMIT 2",
                "SELECT _seriesKey FROM split WHERE host::tag = 'a' GROUP BY host LIMIT 1 SLIMIT 3",
            ),
            (
                "SELECT x FROM (SELECT v AS x FROM split WHERE time > 40) WHERE time > 20 AND time < 50 SLIMIT 1",
                "SELECT _seriesKey FROM split WHERE time >= 41 AND time <= 49 LIMIT 1 SLIMIT 1",
            ),
            (
                "SELECT v FROM split WHERE time < 0 GROUP BY host SLIMIT 2",
                "SELECT _seriesKey FROM split WHERE time <= -1 GROUP BY host ORDER BY time DESC LIMIT 1 SLIMIT 2",
            ),
        ] {
            assert_eq!(listed(text), [expected], "{text}");
        }
        assert_eq!(listed("SELECT v FROM split SOFFSET 1"), [] as [String; 0]);
        let both = "SELECT x FROM (SELECT v AS x FROM split SLIMIT 1), (SELECT n AS x FROM split)";
        assert_eq!(listed(both).len(), 1, "the second is not limited");
        assert!(of("SELECT v FROM split WHERE nix = 'a' SLIMIT 1").is_err_and(|why| why.contains("\"nix\"")));
    }

    /// Asked of influxd by `tests/slimit.rs`.
    #[test]
    fn of_where_only_what_compares_tags_chooses_series() {
        for (condition, expected) in [
            ("host = 'a' AND v > 1", Some("host::tag = 'a'")),
            ("host = 'a' OR v > 1", None),
            ("(host = 'a' OR v > 1) AND dc != ''", Some("dc::tag != ''")),
            ("(host = 'a' AND v > 1) OR dc =~ /x/", Some("(host::tag = 'a') OR dc::tag =~ /x/")),
            ("host = 5 AND dc = host", Some("dc::tag = host::tag")),
            ("host = v AND host + 'x' = 'ax'", None),
            ("(host) = 'a' AND 1 = 2", Some("(host::tag) = 'a' AND 1 = 2")),
            ("host::tag > 'a' AND true", Some("host::tag > 'a' AND true")),
        ] {
            let where_ = expected.map_or(String::new(), |condition| format!(" WHERE {condition}"));
            let listing = format!("SELECT _seriesKey FROM split{where_} LIMIT 1 SLIMIT 1");
            assert_eq!(listed(&format!("SELECT v FROM split WHERE {condition} SLIMIT 1")), [listing], "{condition}");
        }
    }

    #[test]
    fn the_groups_are_asked_for_what_is_let_through() {
        let narrowed = |text: &str, sets: &[&[&str]]| {
            let mut select = parsed(text);
            let limits = of(text).expect("it can be counted");
            let values = |values: &&[&str]| values.iter().map(|value| (*value).to_owned()).collect();
            let sets: BTreeSet<Values> = sets.iter().map(values).collect();
            limits.narrow(&mut select, &[sets]);
            select.to_string()
        };
        for (text, sets, expected) in [
            (
                "SELECT v FROM split WHERE n > 1 OR n < 0 GROUP BY host SLIMIT 2",
                &[&["a"][..], &[""]][..],
                "SELECT v FROM split WHERE (n > 1 OR n < 0) AND (host::tag = '' OR host::tag = 'a') GROUP BY host",
            ),
            (
                "SELECT v FROM (SELECT v FROM split WHERE n > 1) GROUP BY host, dc SLIMIT 1",
                &[&["x", "a"][..]][..],
                "SELECT v FROM (SELECT v FROM split WHERE n > 1 AND dc::tag = 'x' AND host::tag = 'a') GROUP BY host, dc",
            ),
            ("SELECT v FROM split SLIMIT 1", &[&[][..]][..], "SELECT v FROM split"),
        ] {
            assert_eq!(narrowed(text, sets), expected, "{text}");
        }
        let beside = "SELECT v FROM split, (SELECT v FROM split) WHERE n > 1 GROUP BY host SLIMIT 1";
        let rows_of_both = narrowed(beside, &[&["a"]]);
        assert!(rows_of_both.ends_with("WHERE n > 1 GROUP BY host"), "WHERE is the subquery's too: {rows_of_both}");
    }
}
