//! SLIMIT and SOFFSET of measurements whose series lie in several groups.
//!
//! What influxd 1.6.7 counts (`LimitTagSets`, which its engine calls; `tests/slimit.rs` asks it anew):
//!
//! - For each measurement of FROM by itself, and in each of its storage shards by itself: the tag sets of the series *in that
//!   storage shard*, whether or not they have the field, or a point in the range or one that the rest of WHERE lets through.
//!   So a series of the answer may have rows of one storage shard and none of another.
//! - Of WHERE only comparisons of tags with texts, regular expressions and tags choose series. What names a field, or is no
//!   plain comparison, is true of every series; it is so under AND and OR as well. A name that is neither in what is read is a
//!   field all the same where the measurement has one of that name in another storage shard or policy, else a tag that no series
//!   has: the groups tell that first ([`Limits::know`]).
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

use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::ast::{BinaryOp, Cast, Field, SortOrder, Source, VarRef};
use crate::influxql::range::{TIME_MAX, TIME_MIN, TimeRange, split_time};
use crate::influxql::zone::Zone;
use crate::influxql::{Expr, Measurement, Select};
use crate::topology::GroupIndex;

use super::Circumstances;
use super::columns::{FieldType, Schema, Type, give_types};
use super::gather::depth;
use super::select::alone;
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
    /// Each once.
    pub measurements: Vec<Counted>,
    /// Names in WHERE of which nobody knows what they are, until [`Limits::know`].
    pub unknown: BTreeSet<String>,
    dimensions: Vec<String>,
    /// WHERE is of its measurements alone.
    reads_only_measurements: bool,
}

/// A measurement of which series are counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    pub measurement: Measurement,
    /// Those that have its series.
    pub groups: Vec<GroupIndex>,
    /// WHERE without times.
    rest: Option<Expr>,
}

/// The fields of a measurement, of all storage shards and policies.
pub type Fields = BTreeMap<String, FieldType>;

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
    of_settled(&settled, &is_field, Unknown::Asked, circumstances)
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
    Asked,
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
        let mut unknown_names = BTreeSet::new();
        if let (Some(rest), Unknown::Asked) = (&rest, unknown) {
            untyped_names(rest, &mut unknown_names);
        }
        let mut measurements: Vec<Counted> = Vec::new();
        for (source, share) in own.sources.iter().zip(&shares) {
            let Source::Measurement(measurement) = source else { continue };
            if !is_regex(measurement) && !measurements.iter().any(|other| other.measurement == *measurement) {
                let groups = share.groups.iter().copied().collect();
                measurements.push(Counted { measurement: measurement.clone(), groups, rest: rest.clone() });
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
            unknown: unknown_names,
            dimensions,
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

    /// All groups that have series of what is limited.
    pub fn groups(&self) -> BTreeSet<GroupIndex> {
        let counted = self.readers.iter().flat_map(|reader| &reader.measurements);
        counted.flat_map(|counted| counted.groups.iter().copied()).collect()
    }

    /// What the groups are asked of one storage shard, or of all.
    pub fn listings(&self, shard: Option<TimeRange>) -> Vec<(GroupIndex, Select)> {
        let mut listings = Vec::new();
        for reader in self.readers.iter().filter(|reader| reader.slimit > 0) {
            for counted in &reader.measurements {
                listings.extend(counted.groups.iter().map(|group| (*group, reader.listing(counted, shard))));
            }
        }
        listings
    }

    /// Settles what unknown names are, from the fields of the measurements, by the text of each, and writes it into the SELECT:
    /// not all groups have a field of each measurement's.
    ///
    /// # Errors
    /// One is a field of one measurement and not of another, or of those beside a subquery, whose WHERE it is too.
    pub fn know(&mut self, select: &mut Select, fields: &BTreeMap<String, Fields>) -> Result<(), String> {
        let none = Fields::new();
        let mut settled: BTreeMap<usize, BTreeMap<&str, Type>> = BTreeMap::new();
        for reader in &mut self.readers {
            let mut types: BTreeMap<&str, Type> = BTreeMap::new();
            for counted in &mut reader.measurements {
                let fields = fields.get(&counted.measurement.to_string()).unwrap_or(&none);
                let kind = |name: &str| fields.get(name).map_or(Type::Tag, |kind| Type::Field(*kind));
                for name in &reader.unknown {
                    let own = *types.entry(name).or_insert(kind(name));
                    if (own == Type::Tag) != (kind(name) == Type::Tag) {
                        return Err(format!(
                            "SLIMIT or SOFFSET with WHERE of {name:?} over several groups is not supported: in what is read it is \
                             neither field nor tag, and elsewhere a field of some of the measurements alone"
                        ));
                    }
                }
                let known = |name: &str| reader.unknown.contains(name).then(|| kind(name));
                counted.rest.iter_mut().for_each(|rest| give_types(rest, &known));
            }
            if reader.reads_only_measurements {
                settled.insert(reader.reader, types);
            } else if let Some((name, _)) = types.iter().find(|(_, kind)| **kind != Type::Tag) {
                return Err(format!(
                    "SLIMIT or SOFFSET with WHERE of {name:?} over several groups is not supported: in what is read it is neither \
                     field nor tag, and elsewhere a field of measurements beside subqueries"
                ));
            }
        }
        let mut number = 0;
        each_reader(select, &mut |select| {
            if let Some(types) = settled.get(&number) {
                let known = |name: &str| types.get(name).copied();
                select.condition.iter_mut().for_each(|condition| give_types(condition, &known));
            }
            number += 1;
        });
        Ok(())
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
    pub fn listing(&self, counted: &Counted, shard: Option<TimeRange>) -> Select {
        let tag = |name: &String| Expr::VarRef(VarRef { name: name.clone(), cast: None });
        let key = VarRef { name: "_seriesKey".to_owned(), cast: None };
        let mut select = Select {
            fields: vec![Field { expr: Expr::VarRef(key), alias: None }],
            sources: vec![Source::Measurement(counted.measurement.clone())],
            condition: counted.rest.as_ref().and_then(of_tags),
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

/// The names without a type.
pub(super) fn untyped_names(expr: &Expr, found: &mut BTreeSet<String>) {
    match expr {
        Expr::VarRef(VarRef { name, cast: None }) => drop(found.insert(name.clone())),
        Expr::And(terms) | Expr::Or(terms) => terms.iter().for_each(|term| untyped_names(term, found)),
        Expr::Binary { lhs, rhs, .. } => [lhs, rhs].into_iter().for_each(|side| untyped_names(side, found)),
        Expr::Paren(inner) => untyped_names(inner, found),
        Expr::Call(call) => call.args.iter().for_each(|arg| untyped_names(arg, found)),
        _ => {}
    }
}

/// What of a condition without times chooses series; `None`: nothing. A name without a type is taken for a tag.
fn of_tags(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::And(terms) => {
            let mut terms: Vec<Expr> = terms.iter().filter_map(of_tags).collect();
            if terms.len() > 1 { Some(Expr::And(terms)) } else { terms.pop() }
        }
        Expr::Or(terms) => terms.iter().map(of_tags).collect::<Option<Vec<Expr>>>().map(Expr::Or),
        Expr::Paren(inner) => of_tags(inner).map(|inner| Expr::Paren(Box::new(inner))),
        Expr::Boolean(_) => Some(expr.clone()),
        Expr::Binary { lhs, rhs, .. } => chooses(lhs, rhs).then(|| expr.clone()),
        _ => None,
    }
}

/// Whether comparing these chooses series.
fn chooses(lhs: &Expr, rhs: &Expr) -> bool {
    let mut tags = 0;
    for side in [lhs, rhs] {
        match plain(side) {
            Expr::VarRef(VarRef { cast: None | Some(Cast::Tag), .. }) => tags += 1,
            Expr::VarRef(_) | Expr::And(_) | Expr::Or(_) | Expr::Binary { .. } | Expr::Call(_) => return false,
            _ => {}
        }
    }
    let text = |side: &Expr| matches!(plain(side), Expr::String(_) | Expr::Regex(_));
    // InfluxDB works out what names nothing, wherever it stands.
    tags != 1 || text(lhs) || text(rhs)
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
    }

    #[test]
    fn what_names_are_that_are_not_read_is_told_by_other_times() {
        let text = "SELECT v FROM split, m WHERE nix != 'a' AND host = 'b' SLIMIT 1";
        let known = |of_split: &[&str], of_m: &[&str]| {
            let mut select = parsed(text);
            let mut limits = of(text).expect("it is asked");
            assert_eq!(limits.readers[0].unknown.iter().collect::<Vec<_>>(), ["nix"]);
            let fields =
                |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), FieldType::String)).collect::<Fields>();
            let fields = BTreeMap::from([("split".to_owned(), fields(of_split)), ("m".to_owned(), fields(of_m))]);
            limits.know(&mut select, &fields)?;
            without_limits(&mut select);
            Ok::<_, String>((limits.listings(None)[0].1.to_string(), select.to_string()))
        };
        let texts = |condition: &str, own: &str| {
            let listing = format!("SELECT _seriesKey FROM split WHERE {condition} LIMIT 1 SLIMIT 1");
            Ok((listing, format!("SELECT v FROM split, m WHERE {own} != 'a' AND host = 'b'")))
        };
        assert_eq!(known(&["nix"], &["nix"]), texts("host::tag = 'b'", "nix::string"));
        assert_eq!(known(&["other"], &[]), texts("nix::tag != 'a' AND host::tag = 'b'", "nix::tag"));
        assert!(known(&["nix"], &[]).is_err_and(|why| why.contains("\"nix\"")));
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
