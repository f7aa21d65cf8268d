//! A SELECT x what the groups know -> where it runs.
//!
//! One group answers it as it is when that group owns all that the SELECT can see. Else every series of the answer must
//! come from one group alone, so that the groups' answers need only be put in order: *concatenate*. Each group reads its own
//! measurements, with columns and types written out from the schema of all (`columns`). What has to combine points of
//! several groups in one series is made of their rows: *gather* (`gather`), at every level if there are subqueries: *nest*
//! (`subquery`). What SLIMIT and SOFFSET let through of them has to be listed first (`slimit`).
//!
//! The shell asks in between: which measurements a regular expression means (`sources::regexes`), then, when a plan has a
//! `probe`, what the schema is. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::ast::{Call, Listing, SortOrder, Source};
use crate::influxql::inspect::Mention;
use crate::influxql::range::TimeRange;
use crate::influxql::{Expr, Measurement, Select, Statement};
use crate::merge::evaluate::functions::{HidesOrder, How, function};
use crate::topology::GroupIndex;

use super::Circumstances;
use super::columns::{Schema, has_wildcard, widen};
use super::gather::{Gathering, condition_within, looked_before, looks_nowhere, split};
use super::slimit::{self, Limits};
use super::sources::{
    Share, are_one_series, groups, in_order, is_system, leaf, leaf_mut, name_of, owned, shares, time_terms, unpinned,
};
use super::subquery::{self, Nesting, has_twins, readers};

/// Where a SELECT runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Selected {
    /// One replica of any of these groups answers it as it is.
    One(Vec<GroupIndex>),
    /// This group sees all of it, in these words: others have columns and types that count too.
    Rewritten(GroupIndex, Box<Select>),
    /// Each group answers its part; no series is in two of them.
    Concatenate(Concatenation),
    /// Points of several groups have to be combined.
    Gather(Box<Gathering>),
    /// The same under subqueries, or of measurements of one name.
    Nest(Box<Nesting>),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Planned {
    Runs(Selected),
    /// The groups have to list series first: then [`narrowed`] plans what SLIMIT and SOFFSET let through.
    Lists(Box<Limits>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Concatenation {
    /// At least two, in the order in which their measurements stand in FROM.
    pub parts: Vec<(GroupIndex, Select)>,
    pub descending: bool,
}

/// What a group has to be asked before a SELECT can be planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub group: GroupIndex,
    /// The number of the SELECT that reads the measurements (`subquery::readers`).
    pub reader: usize,
    /// The EXPLAIN that tells its schema: nothing, where it has no field in the policies and times that are read.
    pub explain: String,
    /// Then its tags count all the same, and so do those of measurements in a policy of which the group has no storage shard
    /// in these times, but others have: InfluxDB knows tags of whole databases.
    pub tag_keys: Vec<TagKeys>,
    /// The times of which storage shards are read.
    pub range: TimeRange,
}

/// What asks for the tags of measurements of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagKeys {
    /// One of them. Where no storage shard is read of its policy, InfluxDB knows no tags.
    pub of: Measurement,
    pub show: String,
}

/// All that has to be asked.
pub type Probe = Vec<Question>;

/// Whether a function's argument is a wildcard. InfluxDB looks at it before it writes it out, and refuses some that could
/// be written out.
pub fn has_wildcard_call(select: &Select) -> bool {
    let inside = |source: &Source| matches!(source, Source::Subquery(inner) if has_wildcard_call(inner));
    let is_one = |expr: &Expr| matches!(expr, Expr::Call(call) if call.args.iter().any(has_wildcard));
    select.fields.iter().any(|field| is_one(&field.expr)) || select.sources.iter().any(inside)
}

/// Whether the schema matters, and then what to ask. The measurements have names.
///
/// # Errors
/// Why the SELECT cannot be answered, whatever the schema.
pub fn probe(select: &Select, circumstances: Circumstances<'_>) -> Result<Probe, String> {
    // A name may turn out to be a field: then it pins nothing.
    let unsure = groups(&shares(select, circumstances, &|_| true)?);
    let everywhere = unpinned(select, circumstances)?;
    let all = groups(&everywhere);
    // What one group sees it sees as all would, but for the columns that only others have.
    let is_sure = all.len() < 2 && !hangs_on_shards(select, circumstances);
    if is_sure || (unsure.len() < 2 && !has_wildcards(select)) || looks_nowhere(select) {
        return Ok(Probe::new());
    }
    questions(select, circumstances)
}

/// Whether wildcards may stand for more tags than the group knows that owns the measurements: of a policy of which it has no
/// storage shard, and another group has one. Where there is but one policy, it has a shard or nothing to tell.
pub(super) fn hangs_on_shards(select: &Select, circumstances: Circumstances<'_>) -> bool {
    circumstances.topology.groups().len() > 1 && has_wildcards(select) && reads_several_policies(select)
}

fn reads_several_policies(select: &Select) -> bool {
    if let [Source::Measurement(_)] = select.sources.as_slice() {
        return false;
    }
    let mut policies = BTreeSet::new();
    select.visit_measurements(&mut |mention| {
        if let Mention::Source(measurement) = mention
            && !is_system(name_of(measurement))
        {
            policies.insert((measurement.database.clone(), measurement.retention_policy.clone()));
        }
    });
    policies.len() > 1
}

/// What to ask of the schema in any case.
///
/// # Errors
/// As [`probe`].
pub fn questions(select: &Select, circumstances: Circumstances<'_>) -> Result<Probe, String> {
    // InfluxDB maps storage shards by the time of the statement around all.
    let bounds = bounds(select);
    let mut questions = Probe::new();
    for (number, reader) in readers(select).into_iter().enumerate() {
        let reader = alone(reader);
        let everywhere = unpinned(&reader, circumstances)?;
        let ask = |group: GroupIndex| {
            let sources = owned(&reader, &everywhere, group);
            let condition = bounds.clone();
            // In the time zone time bounds are read.
            let timezone = select.timezone.clone();
            let own = Select { fields: vec![star()], sources, condition, timezone, ..Select::default() };
            let tag_keys = tag_keys(&own, circumstances.db);
            // What cannot be read here is left for InfluxDB to judge.
            let range = split(&own).map_or(TimeRange::default(), |(_, range)| range);
            Question { group, reader: number, explain: format!("EXPLAIN {own}"), tag_keys, range }
        };
        questions.extend(in_order(&everywhere).into_iter().map(ask));
    }
    Ok(questions)
}

/// The time of which InfluxDB maps storage shards.
fn bounds(select: &Select) -> Option<Expr> {
    let terms: Vec<Expr> = select.condition.iter().flat_map(time_terms).cloned().collect();
    let bounds = (!terms.is_empty()).then_some(Expr::And(terms));
    let wider = looked_before(select);
    if wider == 0 {
        return bounds;
    }
    let (order, timezone) = (select.order, select.timezone.clone());
    let own = Select { condition: bounds.clone(), order, timezone, ..Select::default() };
    // What cannot be read here is left for InfluxDB to judge.
    condition_within(&own, wider).unwrap_or(bounds)
}

/// A SELECT without its subqueries.
pub fn alone(select: &Select) -> Select {
    let is_measurement = |source: &&Source| matches!(source, Source::Measurement(_));
    Select { sources: select.sources.iter().filter(is_measurement).cloned().collect(), ..select.clone() }
}

/// What asks for the tags of a SELECT's measurements.
fn tag_keys(select: &Select, db: &str) -> Vec<TagKeys> {
    let mut listings: BTreeMap<(&str, Option<&str>), (&Measurement, Listing)> = BTreeMap::new();
    for source in &select.sources {
        let Source::Measurement(measurement) = source else { continue };
        let db = measurement.database.as_deref().unwrap_or(db);
        let named = Measurement { database: None, retention_policy: None, ..measurement.clone() };
        let place = (db, measurement.retention_policy.as_deref());
        let (_, listing) = listings
            .entry(place)
            .or_insert_with(|| (measurement, Listing { database: Some(db.to_owned()), ..Listing::default() }));
        listing.sources.push(named);
    }
    let ask = |(of, listing): (&Measurement, Listing)| {
        let show = Statement::ShowTagKeys(Box::new(listing)).to_string();
        TagKeys { of: of.clone(), show }
    };
    listings.into_values().map(ask).collect()
}

/// Plans a SELECT whose measurements have names, once its probe has told the schemas of its readers (none, if there was no
/// probe).
///
/// # Errors
/// Why it cannot be answered: the function and the measurement that stand in the way.
pub fn select(select: &Select, schemas: &[Schema], circumstances: Circumstances<'_>) -> Result<Planned, String> {
    let probed = !probe(select, circumstances)?.is_empty();
    let is_field = |tag: &str| !probed || schemas.iter().any(|schema| schema.fields.contains_key(tag));
    let shares = shares(select, circumstances, &is_field)?;
    if looks_nowhere(select) {
        // Anybody tells what is wrong with the text, or nothing.
        return Ok(Planned::Runs(Selected::One(circumstances.topology.group_indexes().collect())));
    }
    if slimit::is_limited(select) && counts_series_of_several(select, schemas, &shares) {
        return slimit::limits(select, schemas, circumstances).map(|limits| Planned::Lists(Box::new(limits)));
    }
    planned(select, schemas, &shares, probed, Passed::All, circumstances).map(Planned::Runs)
}

impl Planned {
    /// Whether the groups run the statement itself, or their parts of it.
    pub fn is_told_by_groups(&self) -> bool {
        matches!(self, Planned::Runs(Selected::One(_) | Selected::Rewritten(..) | Selected::Concatenate(_)))
    }
}

/// What of a SELECT's rows is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    All,
    /// What comes of some series.
    Series,
    /// Some rows of some series.
    Rows,
}

/// Plans a SELECT without the SLIMIT and SOFFSET that it had, of which only what these let through is looked at; its measurements
/// have series in several groups. Each group tells series or rows that can be told apart.
///
/// # Errors
/// Why it cannot be answered.
pub fn narrowed(
    select: &Select,
    schemas: &[Schema],
    passed: Passed,
    circumstances: Circumstances<'_>,
) -> Result<Selected, String> {
    let is_field = |tag: &str| schemas.iter().any(|schema| schema.fields.contains_key(tag));
    let shares = shares(select, circumstances, &is_field)?;
    let descending = select.order == Some(SortOrder::Descending);
    let alone = |group: Option<GroupIndex>, part: Select| {
        let parts = group.map(|group| (group, part)).into_iter().collect();
        Selected::Concatenate(Concatenation { parts, descending })
    };
    Ok(match planned(select, schemas, &shares, true, passed, circumstances)? {
        Selected::One(groups) => alone(groups.first().copied(), select.clone()),
        Selected::Rewritten(group, part) => alone(Some(group), *part),
        other => other,
    })
}

/// Plans a SELECT without SLIMIT and SOFFSET of which no group's own answer tells all that counts: rows come here, be they all of
/// one group. `schemas`: as [`questions`] has asked for them.
///
/// # Errors
/// Why it cannot be answered.
pub fn made_here(select: &Select, schemas: &[Schema], circumstances: Circumstances<'_>) -> Result<Selected, String> {
    let is_field = |tag: &str| schemas.iter().any(|schema| schema.fields.contains_key(tag));
    let shares = shares(select, circumstances, &is_field)?;
    match looks_nowhere(select) {
        true => Ok(Selected::One(circumstances.topology.group_indexes().collect())),
        false => planned(select, schemas, &shares, true, Passed::Rows, circumstances),
    }
}

/// Whether SLIMIT and SOFFSET count series that lie in several groups: else each group counts for itself.
pub(super) fn counts_series_of_several(select: &Select, schemas: &[Schema], shares: &[Share<'_>]) -> bool {
    let split = || shares.iter().any(|share| share.groups.len() > 1);
    let made_here = || {
        are_one_series(shares)
            || subquery::may_end(select, false)
            || may_fall_silent(select)
            || leaf(select).is_none() && has_twins(shares)
            || take_turns(select, shares)
            || settled(select, schemas).is_some_and(|settled| {
                leaf(select).is_none() && subquery::first_decides(&settled)
                    || !has_plain_leaf(select) && subquery::mixes_tags(&settled)
            })
    };
    groups(shares).len() > 1 && (split() || made_here())
}

/// With wildcards and types written out, if they can be.
fn settled(select: &Select, schemas: &[Schema]) -> Option<Select> {
    let mut settled = select.clone();
    subquery::settle(&mut settled, &mut schemas.iter()).is_ok().then_some(settled)
}

fn planned(
    select: &Select,
    schemas: &[Schema],
    shares: &[Share<'_>],
    probed: bool,
    passed: Passed,
    circumstances: Circumstances<'_>,
) -> Result<Selected, String> {
    let groups = groups(shares);
    if groups.is_empty() {
        return Ok(Selected::One(circumstances.topology.group_indexes().collect()));
    }
    if groups.len() == 1 && !probed {
        return Ok(Selected::One(groups.into_iter().collect()));
    }
    let nested = || nested(select, schemas, shares, circumstances).map(|nesting| Selected::Nest(Box::new(nesting)));
    // Which of one name a row or series comes of, only `nested` tells.
    if passed != Passed::All && (leaf(select).is_none() || has_twins(shares)) {
        return nested();
    }
    if leaf(select).is_none() {
        return beside(select, schemas, shares, circumstances);
    }
    let schema = schemas.first().cloned().unwrap_or_default();
    let mut whole = select.clone();
    let leaf_of_whole = leaf_mut(&mut whole).ok_or("a SELECT that reads nothing")?;
    let had_fields = !leaf_of_whole.fields.is_empty();
    widen(leaf_of_whole, &schema)?;
    if had_fields && leaf_of_whole.fields.is_empty() {
        // None of them has anything that the wildcards mean.
        return Ok(Selected::One(groups.into_iter().take(1).collect()));
    }
    if passed == Passed::Rows {
        if is_nested(&whole, shares) {
            return nested();
        }
        let split = split_of(shares, circumstances);
        return Ok(Selected::Gather(Box::new(gathered(whole, shares, &split))));
    }
    if let (Some(group), 1) = (groups.first(), groups.len()) {
        return Ok(Selected::Rewritten(*group, Box::new(part(&whole, shares, *group))));
    }
    if !has_plain_leaf(select) {
        let mut settled = select.clone();
        subquery::settle(&mut settled, &mut schemas.iter())?;
        let split = shares.iter().any(|share| share.groups.len() > 1);
        if split && subquery::joins_by_others(&settled) || subquery::mixes_tags(&settled) {
            return nested();
        }
    }
    if are_one_series(shares) || subquery::may_end(select, false) {
        return nested();
    }
    // Series of several groups take turns there, by tags that the answer does not have.
    if shares.iter().any(|share| share.groups.len() > 1) && subquery::mixes_tags(&whole) {
        return nested();
    }
    // Which of one name is first at one time hangs on the names before theirs, which may be other groups'.
    if take_turns(select, shares) {
        return nested();
    }
    if may_fall_silent(select) {
        if is_nested(&whole, shares) {
            return nested();
        }
        let split = split_of(shares, circumstances);
        return Ok(Selected::Gather(Box::new(gathered(whole, shares, &split))));
    }
    for share in shares.iter().filter(|share| share.groups.len() > 1) {
        if let Err(refusal) = check(&whole, select, share, &schema) {
            if is_nested(&whole, shares) {
                return nested();
            }
            return Ok(Selected::Gather(Box::new(gathered(whole, shares, &refusal))));
        }
    }
    let descending = select.order == Some(SortOrder::Descending);
    let parts = in_order(shares).into_iter().map(|group| (group, part(&whole, shares, group))).collect();
    Ok(Selected::Concatenate(Concatenation { parts, descending }))
}

/// Plans a SELECT with several sources of which some are subqueries. Where every measurement lies in one group and is there
/// once, each group answers for its own: how rows of several sources take turns hangs on the names before theirs.
pub(super) fn beside(
    select: &Select,
    schemas: &[Schema],
    shares: &[Share<'_>],
    circumstances: Circumstances<'_>,
) -> Result<Selected, String> {
    let groups = groups(shares);
    let mut settled = select.clone();
    subquery::settle(&mut settled, &mut schemas.iter())?;
    if !select.fields.is_empty() && settled.fields.is_empty() {
        return Ok(Selected::One(groups.into_iter().take(1).collect()));
    }
    subquery::put_back(&mut settled, select);
    let of = |measurement: &Measurement| {
        let db = measurement.database.as_deref().unwrap_or(circumstances.db);
        shares.iter().find(|share| share.name == name_of(measurement) && share.db == db)
    };
    // Those that any group may have stay with the first.
    let owned = |group: GroupIndex| {
        move |measurement: &Measurement| match of(measurement) {
            Some(share) if !share.groups.is_empty() => share.groups.contains(&group),
            _ => groups_first(shares) == Some(group),
        }
    };
    let part = |group: GroupIndex| subquery::part_of(&settled, &owned(group)).map(|part| (group, part));
    if let (Some(group), 1) = (groups.first(), groups.len()) {
        return Ok(Selected::Rewritten(*group, Box::new(settled)));
    }
    subquery::check_fits(&settled)?;
    let split = shares.iter().any(|share| share.groups.len() > 1);
    let made_here = || {
        subquery::may_end(select, false)
            || may_fall_silent(select)
            || subquery::first_decides(&settled)
            || subquery::mixes_tags(&settled)
    };
    if split || has_twins(shares) || made_here() {
        return nested(select, schemas, shares, circumstances).map(|nesting| Selected::Nest(Box::new(nesting)));
    }
    let parts = in_order(shares).into_iter().filter_map(part).collect();
    Ok(Selected::Concatenate(Concatenation { parts, descending: select.order == Some(SortOrder::Descending) }))
}

fn groups_first(shares: &[Share<'_>]) -> Option<GroupIndex> {
    shares.iter().flat_map(|share| &share.groups).next().copied()
}

/// A SELECT whose levels are evaluated here. Without schemas nothing is written out.
pub(super) fn nested(
    select: &Select,
    schemas: &[Schema],
    shares: &[Share<'_>],
    circumstances: Circumstances<'_>,
) -> Result<Nesting, String> {
    let split = split_of(shares, circumstances);
    let mut settled = select.clone();
    if !schemas.is_empty() {
        subquery::settle(&mut settled, &mut schemas.iter())?;
    }
    let is_field = |tag: &str| schemas.iter().any(|schema| schema.fields.contains_key(tag));
    let alone: Vec<Select> = readers(&settled).into_iter().map(alone).collect();
    let by_reader: Result<Vec<Vec<Share<'_>>>, String> =
        alone.iter().map(|reader| super::sources::shares(reader, circumstances, &is_field)).collect();
    let (inputs, apart) = subquery::inputs(&settled, &by_reader?);
    let fields = subquery::fields(&settled, schemas);
    Ok(Nesting { select: settled, inputs, apart, fields, split })
}

/// Whether rows that have to be combined are evaluated level by level: those of subqueries, those of measurements of one name
/// where the order of rows at one time shows, and those that InfluxDB cuts in each series, since GROUP BY has a tag twice.
pub(super) fn is_nested(select: &Select, shares: &[Share<'_>]) -> bool {
    !has_plain_leaf(select)
        || has_twins(shares) && shows_order(select)
        || repeats_tags(select) && (cuts_tag_sets(select) || subquery::mixes_tags(select))
}

/// Whether it reads measurements, and no subqueries.
fn has_plain_leaf(select: &Select) -> bool {
    leaf(select).is_some_and(|leaf| std::ptr::eq(leaf, select))
}

/// Whether GROUP BY has a tag twice.
fn repeats_tags(select: &Select) -> bool {
    let mut seen = BTreeSet::new();
    select.group_by.iter().any(|expr| matches!(expr, Expr::VarRef(var) if !seen.insert(&var.name)))
}

/// Whether measurements of one name take turns where rows of one time come, and it shows which of them is first.
pub(super) fn take_turns(select: &Select, shares: &[Share<'_>]) -> bool {
    let Some(leaf) = leaf(select).filter(|_| has_twins(shares)) else { return false };
    let measurement = |source: &'_ Source| match source {
        Source::Measurement(measurement) => Some(measurement.clone()),
        Source::Subquery(_) => None,
    };
    let found: Vec<Measurement> = leaf.sources.iter().filter_map(measurement).collect();
    let place = |own: &Measurement| (own.database.clone(), own.retention_policy.clone());
    let differ = |(at, own): (usize, &Measurement)| {
        found[..at].iter().any(|other| name_of(other) == name_of(own) && place(other) != place(own))
    };
    found.iter().enumerate().any(differ) && shows_order(leaf)
}

/// Whether a call, at any level, may make no point of points. There InfluxDB ends the answer, that of other groups' series
/// too. A percentile of 50 and more, up to 100, has a rank even among one.
pub(super) fn may_fall_silent(select: &Select) -> bool {
    fn falls(expr: &Expr) -> bool {
        let here = |call: &Call| match (call.name.as_str(), call.args.get(1)) {
            ("percentile", Some(Expr::Integer(percent))) => !(50..=100).contains(percent),
            ("percentile", Some(Expr::Float(percent))) => !(50.0..=100.0).contains(percent),
            (name, _) => function(name).is_some_and(|function| matches!(function.how, How::Whole(..))),
        };
        match expr {
            Expr::Call(call) => here(call) || call.args.iter().any(falls),
            Expr::Binary { lhs, rhs, .. } => falls(lhs) || falls(rhs),
            Expr::Paren(inner) => falls(inner),
            _ => false,
        }
    }
    let inside = |source: &Source| matches!(source, Source::Subquery(inner) if may_fall_silent(inner));
    select.fields.iter().any(|field| falls(&field.expr)) || select.sources.iter().any(inside)
}

/// Whether InfluxDB cuts something in each set of GROUP BY's tags before it looks at all: rows, the one point of first() and
/// last(), the rows that top() and bottom() look at. Of subqueries nobody knows here which sets these have.
pub fn cuts_tag_sets(select: &Select) -> bool {
    let has_windows = select.group_by.iter().any(|expr| matches!(expr, Expr::Call(_)));
    let is_cut = select.limit > 0 || select.offset > 0;
    let mut names = Vec::new();
    select.fields.iter().for_each(|field| made_by(&field.expr, &mut names));
    let cut_by = |name: &&str| match *name {
        "first" | "last" => !has_windows,
        "top" | "bottom" => is_cut,
        _ => false,
    };
    let reads_subqueries = select.sources.iter().any(|source| matches!(source, Source::Subquery(_)));
    !reads_subqueries && if names.is_empty() { is_cut } else { names.iter().any(cut_by) }
}

/// The functions that make something of rows; mathematics are of rows as they are.
fn made_by<'a>(expr: &'a Expr, names: &mut Vec<&'a str>) {
    match expr {
        Expr::Call(call) if function(&call.name).is_some() => names.push(&call.name),
        Expr::Call(call) => call.args.iter().for_each(|arg| made_by(arg, names)),
        Expr::Distinct(_) => names.push("distinct"),
        Expr::Paren(inner) => made_by(inner, names),
        Expr::Binary { lhs, rhs, .. } => {
            made_by(lhs, names);
            made_by(rhs, names);
        }
        _ => {}
    }
}

/// What stands in the way of asking one group alone.
pub fn split_of(shares: &[Share<'_>], circumstances: Circumstances<'_>) -> String {
    let split = shares.iter().find_map(|share| Some((share.name, share.rule.filter(|_| share.groups.len() > 1)?)));
    match split {
        Some((name, rule)) => split_by(name, &rule.tags),
        None => format!("its measurements live in {}", numbers(&groups(shares), circumstances)),
    }
}

fn split_by(name: &str, tags: &[String]) -> String {
    format!("measurement {name:?} is split over groups by [{}]", tags.join(", "))
}

/// A SELECT in which every name has its type, and subqueries' wildcards are written out: any group has against it what InfluxDB
/// has.
pub fn typed(select: &Select, schemas: &[Schema]) -> Select {
    let mut typed = select.clone();
    subquery::settle_readers(&mut typed, &mut schemas.iter());
    subquery::settle_beside(&mut typed, schemas);
    typed
}

/// What InfluxDB says of a statement in which types were written out, without these.
pub fn without_types(error: &str) -> String {
    const TYPES: [&str; 6] = ["::float", "::integer", "::unsigned", "::string", "::boolean", "::tag"];
    TYPES.iter().fold(error.to_owned(), |bare, name| bare.replace(name, ""))
}

/// Whether what a SELECT makes of rows of measurements hangs on the order in which those of one time come.
fn shows_order(select: &Select) -> bool {
    let has_windows = select.group_by.iter().any(|expr| matches!(expr, Expr::Call(_)));
    !select.fields.iter().all(|field| is_without_order(&field.expr, has_windows))
}

/// Whether it is the same in whatever order rows of one time come.
fn is_without_order(expr: &Expr, has_windows: bool) -> bool {
    let without = |expr: &Expr| is_without_order(expr, has_windows);
    match expr {
        Expr::Call(Call { name, args }) => match (function(name).map(|function| function.hides_order), args.as_slice())
        {
            (Some(HidesOrder::Always), [Expr::VarRef(_)]) => true,
            (Some(HidesOrder::InWindows), [Expr::VarRef(_)]) => has_windows,
            // However the different ones come, there are as many.
            (Some(HidesOrder::Always), [Expr::Call(of)]) => of.name == "distinct",
            (Some(HidesOrder::OfCalls), [inner @ Expr::Call(_), ..]) => without(inner),
            _ => false,
        },
        Expr::Binary { lhs, rhs, .. } => without(lhs) && without(rhs),
        Expr::Paren(inner) => without(inner),
        Expr::VarRef(_) | Expr::Wildcard(_) | Expr::Regex(_) => false,
        _ => true,
    }
}

/// A SELECT whose rows have to be gathered; `refusal` says what stands in the way of asking one group.
pub(super) fn gathered(select: Select, shares: &[Share<'_>], refusal: &str) -> Gathering {
    let sources = in_order(shares).into_iter().map(|group| (group, owned(&select, shares, group))).collect();
    let split = refusal.split_once(": ").map_or(refusal, |(_, split)| split).to_owned();
    Gathering { select, sources, split }
}

/// Whether anything in it stands for columns that only the schema knows.
fn has_wildcards(select: &Select) -> bool {
    let inside = |source: &Source| matches!(source, Source::Subquery(inner) if has_wildcards(inner));
    select.fields.iter().any(|field| has_wildcard(&field.expr))
        || select.group_by.iter().any(has_wildcard)
        || select.sources.iter().any(inside)
}

fn numbers(groups: &BTreeSet<GroupIndex>, circumstances: Circumstances<'_>) -> String {
    let ids = groups.iter().map(|group| circumstances.topology.group(*group).id.to_string());
    format!("groups {}", ids.collect::<Vec<_>>().join(", "))
}

pub(super) fn part(whole: &Select, shares: &[Share<'_>], group: GroupIndex) -> Select {
    let mut part = whole.clone();
    if let Some(leaf) = leaf_mut(&mut part) {
        leaf.sources = owned(leaf, shares, group);
    }
    part
}

fn star() -> crate::influxql::ast::Field {
    crate::influxql::ast::Field { expr: Expr::Wildcard(None), alias: None }
}

/// Whether every series of the answer comes from one group, though several groups have series of this measurement.
pub(super) fn check(whole: &Select, written: &Select, share: &Share<'_>, schema: &Schema) -> Result<(), String> {
    let Some(rule) = share.rule else { return Ok(()) };
    let name = share.name;
    let split = split_by(name, &rule.tags);
    for (tag, values) in rule.tags.iter().zip(&share.tags) {
        let pinned = values.as_ref().is_some_and(|values| values.len() == 1);
        // No series has a tag that the schema does not know.
        let everywhere_absent = !schema.tags.contains(tag);
        if !pinned && !everywhere_absent && !groups_by(whole, tag) {
            let what = what(written);
            return Err(format!(
                "{what} over several groups is not supported yet: {split}; add {tag} to GROUP BY, or fix it in WHERE by ="
            ));
        }
    }
    Ok(())
}

/// Whether rows are grouped by a tag, also inside: what GROUP BY names outside, a subquery groups by as well.
fn groups_by(select: &Select, tag: &str) -> bool {
    let inside = || match select.sources.as_slice() {
        [Source::Subquery(inner)] => groups_by(inner, tag),
        _ => false,
    };
    select.group_by.iter().any(|expr| match expr {
        Expr::VarRef(var) => var.name == tag,
        Expr::Wildcard(_) => inside(),
        Expr::Regex(regex) => inside() && regex::Regex::new(regex).is_ok_and(|regex| regex.is_match(tag)),
        _ => false,
    })
}

/// What a refusal calls the SELECT: its functions.
fn what(select: &Select) -> String {
    let mut names: Vec<String> = Vec::new();
    for field in &select.fields {
        functions(&field.expr, &mut names);
    }
    match names.is_empty() {
        true if select.fields.iter().any(|field| has_wildcard(&field.expr)) => "SELECT *".to_owned(),
        true => "a SELECT of rows".to_owned(),
        false => names.join(" and "),
    }
}

fn functions(expr: &Expr, names: &mut Vec<String>) {
    match expr {
        Expr::Call(call) => {
            let name = format!("{}()", call.name);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Expr::Distinct(_) => names.push("distinct()".to_owned()),
        Expr::Paren(inner) => functions(inner, names),
        Expr::Binary { lhs, rhs, .. } => {
            functions(lhs, names);
            functions(rhs, names);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
