//! The measurements that a SELECT reads, and the groups that own them.
//!
//! Only measurements themselves have owners: below one subquery each there is one SELECT that reads them, the *leaf*. A
//! statement with several subqueries beside each other has no leaf: `subquery` takes it apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::ast::{BinaryOp, MeasurementName, Source};
use crate::influxql::inspect::Mention;
use crate::influxql::{Expr, Measurement, Select, regex_of};
use crate::topology::{GroupIndex, Rule, Topology};

use super::Circumstances;
use super::pinned::{self, Values};
use super::subquery::is_regex;

/// A measurement of a SELECT, and where its series are that the SELECT can see.
pub struct Share<'a> {
    pub db: &'a str,
    pub name: &'a str,
    /// If rules split it.
    pub rule: Option<&'a Rule>,
    /// The values that WHERE leaves to the rule's tags.
    pub tags: Vec<Values>,
    /// Empty: any group can say what is wrong with it, or that there is nothing.
    pub groups: BTreeSet<GroupIndex>,
}

/// The SELECT that reads measurements; `None` when there are several, or subqueries beside measurements.
pub fn leaf(select: &Select) -> Option<&Select> {
    match select.sources.as_slice() {
        [Source::Subquery(inner)] => leaf(inner),
        sources => sources.iter().all(|source| matches!(source, Source::Measurement(_))).then_some(select),
    }
}

pub fn leaf_mut(select: &mut Select) -> Option<&mut Select> {
    if let [Source::Subquery(_)] = select.sources.as_slice() {
        let Some(Source::Subquery(inner)) = select.sources.first_mut() else { return None };
        return leaf_mut(inner);
    }
    select.sources.iter().all(|source| matches!(source, Source::Measurement(_))).then_some(select)
}

pub fn name_of(measurement: &Measurement) -> &str {
    measurement.name.text()
}

/// Where a measurement's series are that `select`, which reads it, can see. `is_field` says which of the rule's tags are
/// fields somewhere as well.
///
/// # Errors
/// Nobody can say where they are.
pub fn share<'a>(
    measurement: &'a Measurement,
    select: Option<&Select>,
    circumstances: Circumstances<'a>,
    is_field: &impl Fn(&str) -> bool,
) -> Result<Share<'a>, String> {
    let topology = circumstances.topology;
    let name = name_of(measurement);
    let db = measurement.database.as_deref().unwrap_or(circumstances.db);
    let alone = |groups| Ok(Share { db, name, rule: None, tags: Vec::new(), groups });
    if topology.groups().len() == 1 {
        return alone(BTreeSet::from([0]));
    }
    if let MeasurementName::Regex(regex) = &measurement.name {
        return Err(format!("which measurements /{regex}/ means only the groups can tell"));
    }
    if db == "_internal" {
        return Err("the database _internal is every server's own; ask a replica directly".to_owned());
    }
    // Without a database, or of InfluxDB's own making, any group has the error for it.
    if db.is_empty() || is_system(name) {
        return alone(BTreeSet::new());
    }
    match topology.rule(db, name.as_bytes()).filter(|rule| !rule.tags.is_empty()) {
        None => alone(BTreeSet::from([topology.owner(Topology::measurement_slot(db, name.as_bytes()))])),
        Some(rule) => {
            let values = |tag: &String| select.and_then(|select| pinned::values(select, tag, is_field(tag)));
            let tags: Vec<Values> = rule.tags.iter().map(values).collect();
            let groups = pinned::owners(topology, db, name, &tags);
            if groups.is_empty() {
                // Of what no series can be the types may be wrong all the same, which those groups know that have any.
                let (tags, groups) = (vec![None; tags.len()], topology.group_indexes().collect());
                return Ok(Share { db, name, rule: Some(rule), tags, groups });
            }
            Ok(Share { db, name, rule: Some(rule), tags, groups })
        }
    }
}

/// The group that has all measurements of a SELECT, if each of them is whole and has a name: most often. Looks at nothing else
/// of the SELECT.
pub fn whole_in_one(select: &Select, circumstances: Circumstances<'_>) -> Option<GroupIndex> {
    let mut groups = select.sources.iter().map(|source| match source {
        Source::Subquery(inner) => whole_in_one(inner, circumstances),
        Source::Measurement(measurement) => {
            let share = share(measurement, None, circumstances, &|_| true).ok()?;
            share.groups.first().copied().filter(|_| share.rule.is_none())
        }
    });
    let first = groups.next()??;
    groups.all(|group| group == Some(first)).then_some(first)
}

/// The measurements of a SELECT, subqueries included. A regular expression that still stands means none.
pub fn shares<'a>(
    select: &'a Select,
    circumstances: Circumstances<'a>,
    is_field: &impl Fn(&str) -> bool,
) -> Result<Vec<Share<'a>>, String> {
    let mut shares = Vec::new();
    for source in &select.sources {
        match source {
            Source::Measurement(measurement) if is_regex(measurement) => {
                let one = circumstances.topology.groups().len() == 1;
                let groups = if one { BTreeSet::from([0]) } else { BTreeSet::new() };
                let db = measurement.database.as_deref().unwrap_or(circumstances.db);
                shares.push(Share { db, name: name_of(measurement), rule: None, tags: Vec::new(), groups });
            }
            Source::Measurement(measurement) => shares.push(share(measurement, Some(select), circumstances, is_field)?),
            Source::Subquery(inner) => shares.extend(self::shares(inner, circumstances, is_field)?),
        }
    }
    Ok(shares)
}

/// The same, whatever WHERE pins.
pub fn unpinned<'a>(select: &'a Select, circumstances: Circumstances<'a>) -> Result<Vec<Share<'a>>, String> {
    let mut shares = shares(select, circumstances, &|_| true)?;
    for share in shares.iter_mut().filter(|share| share.rule.is_some()) {
        share.groups = circumstances.topology.group_indexes().collect();
    }
    Ok(shares)
}

/// Measurements of one name make one series in InfluxDB. Those of one database lie together, in all policies; those of
/// several may be in several groups.
pub fn are_one_series(shares: &[Share<'_>]) -> bool {
    shares.iter().enumerate().any(|(at, share)| {
        let twins = shares[..at].iter().filter(|other| other.name == share.name && other.db != share.db);
        twins.into_iter().any(|other| share.groups.union(&other.groups).count() > 1)
    })
}

pub fn groups(shares: &[Share<'_>]) -> BTreeSet<GroupIndex> {
    shares.iter().flat_map(|share| &share.groups).copied().collect()
}

/// Groups by their first measurement in FROM: the first error of several is the one that one InfluxDB has.
pub fn in_order(shares: &[Share<'_>]) -> Vec<GroupIndex> {
    let mut order = Vec::new();
    for group in shares.iter().flat_map(|share| &share.groups) {
        if !order.contains(group) {
            order.push(*group);
        }
    }
    order
}

/// The sources of a leaf that a group owns; those that any group may have stay with the first.
pub fn owned(leaf: &Select, shares: &[Share<'_>], group: GroupIndex) -> Vec<Source> {
    let first = shares.iter().flat_map(|share| &share.groups).next();
    let owns = |share: &Share<'_>| match share.groups.is_empty() {
        true => first == Some(&group),
        false => share.groups.contains(&group),
    };
    let mut shares = shares.iter();
    kept(&leaf.sources, |source| shares.next().filter(|share| owns(share)).map(|_| source.clone()))
}

/// What `keep` leaves of sources. Of names that one regular expression stands for the first that is left leads the others.
pub fn kept(sources: &[Source], mut keep: impl FnMut(&Source) -> Option<Source>) -> Vec<Source> {
    let (mut found, mut is_led) = (Vec::new(), false);
    for source in sources {
        let is_also = is_also(source);
        is_led &= is_also;
        let Some(mut source) = keep(source) else { continue };
        if let (true, false, Source::Measurement(measurement)) = (is_also, is_led, &mut source) {
            measurement.name = MeasurementName::Name(name_of(measurement).to_owned());
        }
        is_led = true;
        found.push(source);
    }
    found
}

fn is_also(source: &Source) -> bool {
    matches!(source, Source::Measurement(Measurement { name: MeasurementName::Also(_), .. }))
}

/// The names that InfluxDB keeps for itself, and refuses in FROM.
pub fn is_system(name: &str) -> bool {
    matches!(name, "_fieldKeys" | "_measurements" | "_series" | "_tagKeys" | "_tags")
}

/// Whether a group may own series of a measurement.
pub fn may_own(topology: &Topology, group: GroupIndex, db: &str, name: &str) -> bool {
    let split = topology.rule(db, name.as_bytes()).is_some_and(|rule| !rule.tags.is_empty());
    split || topology.owner(Topology::measurement_slot(db, name.as_bytes())) == group
}

/// All measurements that stand as regular expressions, subqueries included, each once.
pub fn regexes(select: &Select) -> Vec<Measurement> {
    let mut found: Vec<Measurement> = Vec::new();
    select.visit_measurements(&mut |mention| {
        if let Mention::Source(measurement) = mention
            && matches!(measurement.name, MeasurementName::Regex(_))
            && !found.contains(measurement)
        {
            found.push(measurement.clone());
        }
    });
    found
}

/// Puts the measurements' names in place of each regular expression. A subquery or SELECT that is left without sources
/// keeps its regular expression: there is nothing that it could read.
pub fn name_regexes(select: &mut Select, names: &BTreeMap<String, BTreeSet<String>>) {
    let mut named = Vec::new();
    for source in &select.sources {
        match source {
            Source::Measurement(measurement) => match names.get(&measurement.to_string()) {
                Some(names) => named.extend(names.iter().enumerate().map(|(number, name)| {
                    let name = match number {
                        0 => MeasurementName::Name(name.clone()),
                        _ => MeasurementName::Also(name.clone()),
                    };
                    Source::Measurement(Measurement { name, ..measurement.clone() })
                })),
                None => named.push(source.clone()),
            },
            Source::Subquery(inner) => {
                let mut inner = inner.clone();
                name_regexes(&mut inner, names);
                named.push(Source::Subquery(inner));
            }
        }
    }
    if !named.is_empty() {
        select.sources = named;
    }
}

/// Puts a regular expression in the place of names that one stands for, where other sources take turns with them: InfluxDB
/// merges what it means before it merges that with others.
pub fn join_names(select: &mut Select) {
    let (mut names, mut meets) = (BTreeSet::new(), false);
    for source in &select.sources {
        meets |= match source {
            Source::Measurement(measurement) => !names.insert(name_of(measurement)),
            Source::Subquery(_) => true,
        };
    }
    if meets {
        let joined = select.sources.chunk_by(|_, next| is_also(next)).map(joined).collect();
        select.sources = joined;
    }
    for source in &mut select.sources {
        if let Source::Subquery(inner) = source {
            join_names(inner);
        }
    }
}

/// A source, or all that one regular expression stands for.
fn joined(sources: &[Source]) -> Source {
    match sources {
        [Source::Measurement(first), _, ..] => {
            let names = sources.iter().filter_map(|source| match source {
                Source::Measurement(measurement) => Some(name_of(measurement)),
                Source::Subquery(_) => None,
            });
            Source::Measurement(Measurement { name: MeasurementName::Regex(regex_of(names)), ..first.clone() })
        }
        _ => sources[0].clone(),
    }
}

/// The comparisons with `time`, which bound what is read. InfluxDB takes them out of an OR as out of an AND.
pub fn time_terms(condition: &Expr) -> Vec<&Expr> {
    match condition {
        Expr::And(terms) | Expr::Or(terms) => terms.iter().flat_map(time_terms).collect(),
        Expr::Paren(inner) => time_terms(inner),
        Expr::Binary { op, lhs, rhs } if op.is_comparison() && (is_time(lhs) || is_time(rhs)) => vec![condition],
        _ => Vec::new(),
    }
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::VarRef(var) if var.name.eq_ignore_ascii_case("time"))
}

/// Writes out the upper bound that `GROUP BY time()` has without naming it, so that every group has the same. A subquery
/// has none of its own within the bounds of the statements around.
pub fn bound_by_now(select: &mut Select, now_ns: i64) {
    let bounded = |condition: &Expr| time_terms(condition).into_iter().any(bounds_above);
    let mut is_bounded = select.condition.as_ref().is_some_and(bounded);
    if groups_by_time(select) && !is_bounded {
        add_bound(select, now_ns);
        is_bounded = true;
    }
    for source in &mut select.sources {
        if let Source::Subquery(inner) = source
            && !is_bounded
        {
            bound_by_now(inner, now_ns);
        }
    }
}

fn groups_by_time(select: &Select) -> bool {
    select.group_by.iter().any(|expr| matches!(expr, Expr::Call(call) if call.name == "time"))
}

fn add_bound(select: &mut Select, now_ns: i64) {
    let time = Expr::VarRef(crate::influxql::ast::VarRef { name: "time".to_owned(), cast: None });
    let bound = Expr::Binary { op: BinaryOp::LessEqual, lhs: Box::new(time), rhs: Box::new(Expr::Integer(now_ns)) };
    select.condition = Some(match select.condition.take() {
        None => bound,
        Some(Expr::And(mut terms)) => {
            terms.push(bound);
            Expr::And(terms)
        }
        Some(condition @ Expr::Or(_)) => Expr::And(vec![Expr::Paren(Box::new(condition)), bound]),
        Some(condition) => Expr::And(vec![condition, bound]),
    });
}

fn bounds_above(term: &Expr) -> bool {
    let Expr::Binary { op, lhs, .. } = term else { return false };
    match op {
        BinaryOp::Equal => true,
        BinaryOp::Less | BinaryOp::LessEqual => is_time(lhs),
        BinaryOp::Greater | BinaryOp::GreaterEqual => !is_time(lhs),
        _ => false,
    }
}
