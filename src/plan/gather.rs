//! A SELECT that must combine points of several groups: each is asked for its rows, or what it makes of them
//! (`merge::combine` has what), and the answer is made of that here.
//!
//! A group gets the SELECT's condition as it is, so that it gives no row more than counts, with bounds in time written out,
//! wider by what transformations of windows read before. Rows come with GROUP BY *, so that series stay apart: where times are
//! equal, their order decides. `merge::evaluate` makes the answer. Pure.

use crate::influxql::ast::{BinaryOp, Field, SortOrder, Source, VarRef};
use crate::influxql::range::{TIME_MAX, TIME_MIN, TimeRange, split_time};
use crate::influxql::zone::Zone;
use crate::influxql::{Expr, Select};
use crate::merge::evaluate::functions::intervals_before;
use crate::topology::GroupIndex;

use super::sources::bound_by_now;

/// What has to be gathered for a SELECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Gathering {
    /// Wildcards written out, names with their types.
    pub select: Select,
    /// The measurements that each group has of it.
    pub sources: Vec<(GroupIndex, Vec<Source>)>,
    /// What stands in the way of asking one group alone: what a refusal says behind the function's name.
    pub split: String,
}

impl Gathering {
    /// What each group is asked for these fields' rows.
    ///
    /// # Errors
    /// A bound in time that cannot be read here.
    pub fn rows(&self, fields: &[VarRef]) -> Result<Vec<(GroupIndex, Select)>, String> {
        let field = |var: &VarRef| Field { expr: Expr::VarRef(var.clone()), alias: None };
        let part = Select {
            fields: fields.iter().map(field).collect(),
            group_by: vec![Expr::Wildcard(None)],
            ..Select::default()
        };
        self.parts(part, read_before(&self.select))
    }

    /// The same over no more than this time.
    pub fn within(&self, range: TimeRange) -> Gathering {
        let mut terms: Vec<Expr> = self.select.condition.iter().map(|own| Expr::Paren(Box::new(own.clone()))).collect();
        if range.start != TIME_MIN {
            terms.push(bound(BinaryOp::GreaterEqual, range.start));
        }
        if range.end != TIME_MAX {
            terms.push(bound(BinaryOp::LessEqual, range.end));
        }
        let condition = if terms.len() > 1 { Some(Expr::And(terms)) } else { terms.pop() };
        Gathering { select: Select { condition, ..self.select.clone() }, ..self.clone() }
    }

    /// The SELECT over what each group has of it.
    pub fn whole_parts(&self) -> Vec<(GroupIndex, Select)> {
        let part = |(group, sources): &(GroupIndex, Vec<Source>)| {
            (*group, Select { sources: sources.clone(), ..self.select.clone() })
        };
        self.sources.iter().map(part).collect()
    }

    /// What each group is asked: `part` of its measurements, with WHERE, whose bounds in time are so many nanoseconds `wider`.
    ///
    /// # Errors
    /// A bound in time that cannot be read here.
    pub fn parts(&self, part: Select, wider: i64) -> Result<Vec<(GroupIndex, Select)>, String> {
        let part = Select { condition: condition_within(&self.select, wider)?, ..part };
        let of = |(group, sources): &(GroupIndex, Vec<Source>)| {
            (*group, Select { sources: sources.clone(), ..part.clone() })
        };
        Ok(self.sources.iter().map(of).collect())
    }
}

/// WHERE as the groups get it, with bounds in time so many nanoseconds wider.
///
/// # Errors
/// A bound that cannot be read here.
pub fn condition_within(select: &Select, wider: i64) -> Result<Option<Expr>, String> {
    if select.condition.is_none() {
        return Ok(None);
    }
    let (rest, range) = split(select)?;
    let (earlier, later) = match select.order {
        Some(SortOrder::Descending) => (0, wider),
        _ => (wider, 0),
    };
    let mut terms = Vec::new();
    match rest {
        Some(Expr::And(own)) => terms.extend(own),
        Some(rest @ Expr::Or(_)) => terms.push(Expr::Paren(Box::new(rest))),
        other => terms.extend(other),
    }
    if range.start != TIME_MIN {
        terms.push(bound(BinaryOp::GreaterEqual, range.start.saturating_sub(earlier).max(TIME_MIN)));
    }
    // Where there are windows and no end, InfluxDB ends at now().
    if range.end != TIME_MAX || interval(select) > 0 {
        terms.push(bound(BinaryOp::LessEqual, range.end.saturating_add(later).min(TIME_MAX)));
    }
    Ok(if terms.len() > 1 { Some(Expr::And(terms)) } else { terms.pop() })
}

fn bound(op: BinaryOp, ns: i64) -> Expr {
    let time = VarRef { name: "time".to_owned(), cast: None };
    Expr::Binary { op, lhs: Box::new(Expr::VarRef(time)), rhs: Box::new(Expr::Integer(ns)) }
}

/// How much more a call of a call reads with GROUP BY time, at most: an interval each.
fn read_before(select: &Select) -> i64 {
    let depth = select.fields.iter().map(|field| depth(&field.expr)).max().unwrap_or_default();
    interval(select).saturating_mul(depth.saturating_sub(1))
}

/// How much longer than its range the time is in which InfluxDB looks for storage shards, of whose fields and tags it then
/// knows.
pub fn looked_before(select: &Select) -> i64 {
    let most = select.fields.iter().map(|field| intervals_before(&field.expr)).max().unwrap_or_default();
    interval(select).saturating_mul(most)
}

/// Whether that time would begin before there is any, or end behind it: InfluxDB lets it run over, and finds no storage shard.
pub fn looks_nowhere(select: &Select) -> bool {
    let longer = looked_before(select);
    if longer == 0 {
        return false;
    }
    let mut bounded = select.clone();
    // Whatever the moment is, it is not the last one.
    bound_by_now(&mut bounded, 0);
    let Ok((_, range)) = split(&bounded) else { return false };
    match select.order {
        Some(SortOrder::Descending) => range.end.checked_add(longer).is_none(),
        _ => range.start.checked_sub(longer).is_none(),
    }
}

/// WHERE without its bounds in time, and these.
pub(super) fn split(select: &Select) -> Result<(Option<Expr>, TimeRange), String> {
    let zone = match &select.timezone {
        Some(name) => Some(Zone::named(name).ok_or_else(|| format!("the time zone {name:?} is not known here"))?),
        None => None,
    };
    select.condition.as_ref().map_or(Ok((None, TimeRange::default())), |condition| split_time(condition, zone))
}

/// That of GROUP BY time; 0: there is none.
fn interval(select: &Select) -> i64 {
    let of = |expr: &Expr| match expr {
        Expr::Call(call) => match call.args.first() {
            Some(Expr::Duration(interval)) => Some(*interval),
            _ => None,
        },
        _ => None,
    };
    select.group_by.iter().find_map(of).unwrap_or_default()
}

/// How many calls stand one in another.
pub fn depth(expr: &Expr) -> i64 {
    match expr {
        Expr::Call(call) => 1 + call.args.iter().map(depth).max().unwrap_or_default(),
        Expr::Binary { lhs, rhs, .. } => depth(lhs).max(depth(rhs)),
        Expr::Paren(inner) => depth(inner),
        _ => 0,
    }
}

/// The fields that a SELECT names, types or not: what will be asked for, before the schema is known.
pub fn named(select: &Select) -> Vec<VarRef> {
    let mut found = Vec::new();
    select.fields.iter().for_each(|field| names(&field.expr, &mut found));
    found
}

fn names(expr: &Expr, found: &mut Vec<VarRef>) {
    match expr {
        Expr::VarRef(var) if !found.contains(var) => found.push(var.clone()),
        Expr::Call(call) => call.args.iter().for_each(|arg| names(arg, found)),
        Expr::Binary { lhs, rhs, .. } => {
            names(lhs, found);
            names(rhs, found);
        }
        Expr::Paren(inner) => names(inner, found),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, Statement, parse_query};

    fn part(text: &str) -> String {
        let query = parse_query(text, &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let Statement::Select(select) = query.statements.into_iter().next().expect("one") else { panic!("a SELECT") };
        let (fields, sources) = (named(&select), vec![(0, select.sources.clone())]);
        let gathering = Gathering { select: *select, sources, split: String::new() };
        gathering.rows(&fields).expect("its times can be read").remove(0).1.to_string()
    }

    #[test]
    fn groups_are_asked_for_rows() {
        for (text, expected) in [
            ("SELECT mean(v::float), max(n::integer) FROM m", "SELECT v::float, n::integer FROM m GROUP BY *"),
            (
                "SELECT percentile(v::float, 9) FROM m WHERE (a = 'x' OR b = 'y') AND time > 5 AND time < 9 LIMIT 3",
                "SELECT v::float FROM m WHERE (a = 'x' OR b = 'y') AND time >= 6 AND time <= 8 GROUP BY *",
            ),
            (
                "SELECT derivative(mean(v::float)) FROM m WHERE time >= 3m AND time <= 9m GROUP BY time(1m), host",
                "SELECT v::float FROM m WHERE time >= 120000000000 AND time <= 540000000000 GROUP BY *",
            ),
            (
                "SELECT derivative(mean(v::float)) FROM m WHERE time >= 3m AND time <= 9m GROUP BY time(1m) ORDER BY time DESC",
                "SELECT v::float FROM m WHERE time >= 180000000000 AND time <= 600000000000 GROUP BY *",
            ),
            (
                "SELECT v::float FROM m WHERE time >= '1970-01-02' LIMIT 1 tz('Asia/Kolkata')",
                "SELECT v::float FROM m WHERE time >= 66600000000000 GROUP BY *",
            ),
            (
                "SELECT v::float FROM m WHERE a = 'x' OR time > 5",
                "SELECT v::float FROM m WHERE a = 'x' AND time >= 6 GROUP BY *",
            ),
        ] {
            assert_eq!(part(text), expected, "{text}");
        }
    }
}
