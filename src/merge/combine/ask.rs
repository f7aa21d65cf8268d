//! What the groups of a SELECT are asked, so that no more comes from them than has to.
//!
//! Of the text alone: names may have types or not. Where `ask` says `Rows`, they are asked for all rows that count, of which
//! functions with a row in the table are put together as they come ([`parts`]).

use crate::influxql::ast::{Call, Cast, Field, Fill, VarRef};
use crate::influxql::{Expr, Select};
use crate::merge::evaluate::expr::math;
use crate::merge::evaluate::functions::{How, function};

use super::{Combine, When, combine};

/// What each group is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// The rows.
    Rows,
    /// Of each series the row that this call takes: which of several series' rows it is then hangs on all of them.
    Chosen(Call),
    /// What it makes of its own points, under the SELECT's GROUP BY, with bounds in time so many nanoseconds wider.
    Partials { columns: Vec<Expr>, wider: i64 },
}

/// A call, as it is put together.
pub struct Part<'a> {
    /// The innermost: what is around it goes over what it gives.
    pub call: &'a Call,
    pub combine: &'static Combine,
    pub of: &'a VarRef,
    /// How much more those around it read, in nanoseconds.
    pub wider: i64,
}

/// What is asked for a SELECT over measurements that lie in several groups, its wildcards written out.
pub fn ask(select: &Select) -> Ask {
    let (mut calls, mut refs) = (Vec::new(), false);
    for field in &select.fields {
        if !matches!(&field.expr, Expr::VarRef(var) if var.name == "time") {
            collect(&field.expr, &mut calls, &mut refs);
        }
    }
    let interval = interval(select);
    // A zone's windows are for one to tell.
    if select.timezone.is_some() {
        return Ask::Rows;
    }
    if !refs && let Some(partials) = partials(&calls, interval, select.limit > 0 || select.offset > 0) {
        return partials;
    }
    match calls.as_slice() {
        [call] if interval == 0 => chosen(call).map_or(Ask::Rows, Ask::Chosen),
        _ => Ask::Rows,
    }
}

impl Ask {
    /// The part of any group, but for its sources and its condition, and how much wider its bounds in time are; `None`: rows.
    /// `fields` are those that rows are made of.
    pub fn part(&self, select: &Select, fields: &[VarRef]) -> Option<(Select, i64)> {
        let field = |expr: Expr| Field { expr, alias: None };
        let (columns, group_by, wider): (Vec<Expr>, _, _) = match self {
            Ask::Rows => return None,
            Ask::Chosen(call) => {
                let column = |var: &VarRef| match call.args.first() {
                    Some(Expr::VarRef(of)) if of == var => Expr::Call(call.clone()),
                    _ => Expr::VarRef(var.clone()),
                };
                (fields.iter().map(column).collect(), vec![Expr::Wildcard(None)], 0)
            }
            Ask::Partials { columns, wider } => (columns.clone(), select.group_by.clone(), *wider),
        };
        let fill = if interval(select) > 0 { Fill::None } else { Fill::Null };
        let part = Select {
            fields: columns.into_iter().map(field).collect(),
            into: None,
            group_by,
            fill,
            order: None,
            limit: 0,
            offset: 0,
            slimit: 0,
            soffset: 0,
            ..select.clone()
        };
        Some((part, wider))
    }
}

/// How each call is put together; `None`: one of them is not. `cut`: by LIMIT or OFFSET.
pub fn parts(calls: &[Call], interval: i64, cut: bool) -> Option<Vec<Part<'_>>> {
    let alone = calls.len() == 1;
    let part = |call| {
        let (call, wider) = innermost(call, interval)?;
        let (combine, of) = combine(call)?;
        let fits = match combine.when {
            When::Always => true,
            When::Uncut => !cut,
            When::InWindows => interval > 0,
            When::NotAlone => interval > 0 || !alone,
        };
        fits.then_some(Part { call, combine, of, wider })
    };
    calls.iter().map(part).collect()
}

fn partials(calls: &[Call], interval: i64, cut: bool) -> Option<Ask> {
    let parts = parts(calls, interval, cut)?;
    let wider = parts.first()?.wider;
    let mut columns: Vec<Expr> = Vec::new();
    for part in &parts {
        if part.wider != wider || part.combine.asked.is_empty() {
            return None;
        }
        for column in asked(part) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    let stands_alone = |column: &Expr| matches!(column, Expr::Call(call) if matches!(call.name.as_str(), "top" | "bottom" | "distinct"));
    let fits = columns.len() == 1 || !columns.iter().any(stands_alone);
    fits.then_some(Ask::Partials { columns, wider })
}

/// The columns that a group is asked for a call.
pub fn asked(part: &Part<'_>) -> Vec<Expr> {
    // The sum of integers may run over, of which stddev() knows nothing.
    let of = |name: &str| match part.of.cast {
        Some(Cast::Integer) if name == "mean" && part.call.name == "stddev" => {
            VarRef { cast: Some(Cast::Float), ..part.of.clone() }
        }
        _ => part.of.clone(),
    };
    let column = |name: &&str| match part.call.name == *name {
        // With what else it says.
        true => Expr::Call(part.call.clone()),
        false => Expr::Call(Call { name: (*name).to_owned(), args: vec![Expr::VarRef(of(name))] }),
    };
    part.combine.asked.iter().map(column).collect()
}

/// What a lone call takes of each series, where that is one row.
fn chosen(call: &Call) -> Option<Call> {
    let [Expr::VarRef(of), rest @ ..] = call.args.as_slice() else { return None };
    let of_tags = rest.iter().any(|arg| matches!(arg, Expr::VarRef(_)));
    let name = match call.name.as_str() {
        name @ ("first" | "last" | "min" | "max") => name,
        "top" if of_tags => "max",
        "bottom" if of_tags => "min",
        _ => return None,
    };
    Some(Call { name: name.to_owned(), args: vec![Expr::VarRef(of.clone())] })
}

/// The call inside those that go over what it gives, and how much more they read.
fn innermost(call: &Call, interval: i64) -> Option<(&Call, i64)> {
    match (function(&call.name)?.how, call.args.first()?) {
        (How::Stream { reads_before, .. }, Expr::Call(inner)) => {
            let (inner, wider) = innermost(inner, interval)?;
            Some((inner, wider.saturating_add(if reads_before { interval } else { 0 })))
        }
        (How::Stream { .. }, _) => None,
        _ => Some((call, 0)),
    }
}

/// The calls of a column, and whether names stand outside them.
fn collect(expr: &Expr, calls: &mut Vec<Call>, refs: &mut bool) {
    match expr {
        Expr::VarRef(_) => *refs = true,
        Expr::Call(call) if math(&call.name).is_some() => call.args.iter().for_each(|arg| collect(arg, calls, refs)),
        Expr::Call(call) if !calls.contains(call) => calls.push(call.clone()),
        Expr::Binary { lhs, rhs, .. } => {
            collect(lhs, calls, refs);
            collect(rhs, calls, refs);
        }
        Expr::Paren(inner) => collect(inner, calls, refs),
        _ => {}
    }
}

/// Of GROUP BY time; 0: there is none.
fn interval(select: &Select) -> i64 {
    let of = |expr: &Expr| match expr {
        Expr::Call(Call { name, args }) if name == "time" => match args.first() {
            Some(Expr::Duration(interval)) => Some(*interval),
            _ => None,
        },
        _ => None,
    };
    select.group_by.iter().find_map(of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, Statement, parse_query};
    use crate::merge::evaluate::Evaluation;

    fn asked_for(text: &str) -> String {
        let query = parse_query(text, &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let Some(Statement::Select(select)) = query.statements.into_iter().next() else { panic!("{text}: a SELECT") };
        let fields = Evaluation::new(&select, 1, false).map(|evaluation| evaluation.fields).unwrap_or_default();
        match ask(&select).part(&select, &fields) {
            Some((part, 0)) => part.to_string(),
            Some((part, wider)) => format!("{part} +{wider}"),
            None => "rows".to_owned(),
        }
    }

    #[test]
    fn groups_are_asked_for_what_can_be_put_together() {
        let minutes = "GROUP BY time(1m), host";
        for (text, expected) in [
            ("SELECT count(v) FROM m", "SELECT count(v) FROM m".to_owned()),
            (
                "SELECT mean(v), 2 * count(v) + sum(n) FROM m GROUP BY host LIMIT 3",
                "SELECT count(v), sum(v), sum(n) FROM m GROUP BY host".to_owned(),
            ),
            (
                "SELECT mean(n::integer), mean(v::float) FROM m",
                "SELECT count(n::integer), mean(n::integer), count(v::float), sum(v::float) FROM m".to_owned(),
            ),
            (
                &format!("SELECT spread(v), max(v) FROM m {minutes} fill(0) ORDER BY time DESC"),
                format!("SELECT max(v), min(v) FROM m {minutes} fill(none)"),
            ),
            (
                &format!("SELECT stddev(v) FROM m {minutes}"),
                format!("SELECT count(v), mean(v), stddev(v) FROM m {minutes} fill(none)"),
            ),
            (
                "SELECT stddev(n::integer) FROM m",
                "SELECT count(n::integer), mean(n::float), stddev(n::integer) FROM m".to_owned(),
            ),
            (
                &format!("SELECT derivative(mean(v), 1s), difference(count(v)) FROM m {minutes}"),
                format!("SELECT count(v), sum(v) FROM m {minutes} fill(none) +60000000000"),
            ),
            (
                &format!("SELECT cumulative_sum(count(v)) FROM m {minutes}"),
                format!("SELECT count(v) FROM m {minutes} fill(none)"),
            ),
            ("SELECT top(v, 3) FROM m", "SELECT top(v, 3) FROM m".to_owned()),
            ("SELECT count(distinct(v)) FROM m", "SELECT distinct(v) FROM m".to_owned()),
            // One row of each series.
            ("SELECT first(v::float) FROM m", "SELECT first(v::float) FROM m GROUP BY *".to_owned()),
            (
                "SELECT n::integer, max(v::float), host::tag FROM m GROUP BY region",
                "SELECT n::integer, max(v::float) FROM m GROUP BY *".to_owned(),
            ),
            ("SELECT bottom(v::float, host, 3) FROM m", "SELECT min(v::float) FROM m GROUP BY *".to_owned()),
            // What is hidden in a group's answer.
            (&format!("SELECT first(v) FROM m {minutes}"), "rows".to_owned()),
            (&format!("SELECT max(v), n FROM m {minutes}"), "rows".to_owned()),
            ("SELECT mean(v), first(v) FROM m", "rows".to_owned()),
            ("SELECT top(v, 3), n FROM m", "rows".to_owned()),
            ("SELECT top(v, 3) FROM m LIMIT 2", "rows".to_owned()),
            ("SELECT bottom(v, 3) FROM m OFFSET 1", "rows".to_owned()),
            ("SELECT distinct(v) FROM m", "rows".to_owned()),
            ("SELECT count(distinct(v)), max(v) FROM m", "rows".to_owned()),
            // The one reads more than the other.
            (&format!("SELECT derivative(mean(v)), mean(v) FROM m {minutes}"), "rows".to_owned()),
            ("SELECT median(v), mean(v) FROM m", "rows".to_owned()),
            ("SELECT derivative(v) FROM m", "rows".to_owned()),
            ("SELECT v FROM m", "rows".to_owned()),
            ("SELECT max(v) FROM m tz('Europe/Berlin')", "rows".to_owned()),
        ] {
            assert_eq!(asked_for(text), expected, "{text}");
        }
    }
}
