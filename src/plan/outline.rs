//! What can be said of a SELECT over several groups before these have been asked: what `slotline route --query` shows. Pure.

use crate::influxql::reduced::reduce_dimensions;
use crate::influxql::{Expr, Select, Statement};
use crate::topology::GroupIndex;

use super::Circumstances;
use super::columns::{Schema, widen};
use super::gather::Gathering;
use super::select::{
    Selected, beside, check, counts_series_of_several, gathered, is_nested, may_fall_silent, nested, part, split_of,
    take_turns,
};
use super::slimit;
use super::sources::{are_one_series, groups, in_order, leaf, leaf_mut, regexes, shares};
use super::subquery::{self, has_twins};

/// What can be said of a SELECT that has to ask, before it has asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Outline {
    /// Every group is asked which measurements its regular expressions mean.
    Regexes,
    /// One group, if no field has the name of a tag that WHERE pins.
    One(GroupIndex),
    /// Each group's part, columns not yet written out.
    Parts(Vec<(GroupIndex, Select)>),
    /// Points of several groups have to be combined.
    Gather(Box<Gathering>),
    /// The rows that each group is asked for, to be evaluated level by level.
    Nest(Vec<(GroupIndex, Select)>),
    /// What each group lists first, of each of its storage shards, for SLIMIT and SOFFSET. Then it is planned without these,
    /// of the series that they let through: at most as here.
    Lists(Vec<(GroupIndex, Select)>, Box<Outline>),
    /// SOFFSET without SLIMIT lets nothing through.
    Nothing,
}

/// The plan of a SELECT or EXPLAIN without a schema: as if each name were what it seems to be.
///
/// # Errors
/// Why it is refused, whatever the schema.
pub fn outline(statement: &Statement, circumstances: Circumstances<'_>) -> Result<Outline, String> {
    let mut statement = statement.clone();
    if let Statement::Select(select) | Statement::Explain { select, .. } = &mut statement {
        reduce_dimensions(select);
    }
    outlined(&statement, circumstances)
}

fn outlined(statement: &Statement, circumstances: Circumstances<'_>) -> Result<Outline, String> {
    let (Statement::Select(select) | Statement::Explain { select, .. }) = statement else {
        return Err("only a SELECT has to ask".to_owned());
    };
    if !regexes(select).is_empty() {
        return Ok(Outline::Regexes);
    }
    let shares = shares(select, circumstances, &|_| false)?;
    let groups = groups(&shares);
    if let (Some(group), true) = (groups.first(), groups.len() == 1) {
        return Ok(Outline::One(*group));
    }
    if slimit::is_limited(select) && counts_series_of_several(select, &[], &shares) {
        let limits = slimit::outlined(select, circumstances)?;
        if limits.let_nothing_through(subquery::readers(select).len()) {
            return Ok(Outline::Nothing);
        }
        let mut rest = statement.clone();
        if let Statement::Select(select) | Statement::Explain { select, .. } = &mut rest {
            slimit::without_limits(select);
        }
        return Ok(Outline::Lists(limits.listings(None), Box::new(outlined(&rest, circumstances)?)));
    }
    // Its rule's tags are tags, and a wildcard is grouped by them.
    let tags = shares.iter().filter_map(|share| share.rule).flat_map(|rule| rule.tags.iter().cloned()).collect();
    let schema = Schema { tags, ..Schema::default() };
    let mut grouped = (**select).clone();
    if let Some(leaf) = leaf_mut(&mut grouped) {
        leaf.group_by = grouped_by(leaf, &schema)?;
    }
    let nest = || nested(select, &[], &shares, circumstances)?.outline().map(Outline::Nest);
    let split = || shares.iter().any(|share| share.groups.len() > 1) || has_twins(&shares);
    if are_one_series(&shares) || subquery::may_end(select, false) || leaf(select).is_none() && split() {
        return nest();
    }
    if take_turns(select, &shares) || split() && (subquery::joins_by_others(&grouped) || subquery::mixes_tags(&grouped))
    {
        return nest();
    }
    if may_fall_silent(select) {
        if is_nested(&grouped, &shares) {
            return nest();
        }
        let split = split_of(&shares, circumstances);
        return Ok(Outline::Gather(Box::new(gathered((**select).clone(), &shares, &split))));
    }
    if leaf(select).is_none() {
        return match beside(select, &[], &shares, circumstances)? {
            Selected::Concatenate(whole) => Ok(Outline::Parts(whole.parts)),
            _ => Ok(Outline::Regexes),
        };
    }
    for share in shares.iter().filter(|share| share.groups.len() > 1) {
        if let Err(refusal) = check(&grouped, select, share, &schema) {
            if is_nested(&grouped, &shares) {
                return nest();
            }
            return Ok(Outline::Gather(Box::new(gathered((**select).clone(), &shares, &refusal))));
        }
    }
    Ok(Outline::Parts(in_order(&shares).into_iter().map(|group| (group, part(select, &shares, group))).collect()))
}

fn grouped_by(leaf: &Select, schema: &Schema) -> Result<Vec<Expr>, String> {
    let mut bare = Select { fields: Vec::new(), condition: None, ..leaf.clone() };
    widen(&mut bare, schema)?;
    Ok(bare.group_by)
}
