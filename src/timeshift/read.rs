//! What a request asks for that InfluxDB does not know, taken out of it; and what of that is refused whatever the time is.

use crate::influxql::ast::{Field, Shift, Source, VarRef};
use crate::influxql::{Expr, Query, Select, Statement};
use crate::plan::gather::named;

use super::ask;
use super::math::Formula;
use super::moved::{calls, calls_of};

/// A statement that is not InfluxDB's alone.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// A SELECT that is shifted, in itself or by the request.
    Select(Box<Select>, Shift),
    /// A SHOW whose bounds in time are moved.
    Show(Shift),
    Math(Formula),
}

impl Asked {
    pub fn formula(&self) -> Option<&Formula> {
        match self {
            Asked::Math(formula) => Some(formula),
            _ => None,
        }
    }
}

/// Whether anything is asked for, or refused. Without `on` aliases mean nothing.
pub fn is_asked(query: &Query, on: bool) -> bool {
    query.statements.iter().any(|statement| match statement {
        Statement::Math(_) => true,
        Statement::Select(select) | Statement::Explain { select, .. } => clauses(select) || (on && shifts(select)),
        Statement::CreateContinuousQuery(create) => clauses(&create.select),
        _ => false,
    })
}

/// What is asked for by statement; empty: nothing is. From now on the statements are without TIMESHIFT. `base` is the shift
/// of the whole request; without `on` aliases mean nothing.
///
/// # Errors
/// Why the request is refused.
pub fn read(query: &mut Query, base: Option<Shift>, on: bool) -> Result<Vec<Option<Asked>>, String> {
    let mut asked = Vec::new();
    for (id, statement) in query.statements.iter_mut().enumerate() {
        asked.push(read_statement(id, statement, base, on)?);
    }
    if asked.iter().all(Option::is_none) {
        asked.clear();
    }
    for formula in asked.iter().flatten().filter_map(Asked::formula) {
        if let Some(id) = formula.operands.iter().find(|id| query.statements[**id].writes()) {
            return Err(format!("MATH: ${id} changes something, and answers nothing to work with"));
        }
    }
    Ok(asked)
}

fn read_statement(
    id: usize,
    statement: &mut Statement,
    base: Option<Shift>,
    on: bool,
) -> Result<Option<Asked>, String> {
    let writes = statement.writes();
    if let (Some(shift), true) = (base, writes) {
        return Err(format!("the request looks {shift} away from now (shift), where nothing can be written"));
    }
    match statement {
        Statement::Math(_) if !on => Err("MATH is off (query.timeshift)".to_owned()),
        Statement::Math(math) => Formula::new(math, id).map(|formula| Some(Asked::Math(formula))),
        Statement::Select(select) => {
            if !on && clauses(select) {
                return Err("TIMESHIFT is off (query.timeshift)".to_owned());
            }
            if base.is_none() && !(on && shifts(select)) {
                return Ok(None);
            }
            if writes {
                return Err(
                    "a timeshift in SELECT INTO is refused: points would be written at times that they never had"
                        .to_owned(),
                );
            }
            check(select)?;
            let whole = select.clone();
            without_clauses(select);
            Ok(Some(Asked::Select(whole, base.unwrap_or_default())))
        }
        Statement::Explain { select, .. } => match base.is_some() || clauses(select) || (on && shifts(select)) {
            true => Err("EXPLAIN of a SELECT with a timeshift is not supported; explain it without".to_owned()),
            false => Ok(None),
        },
        Statement::CreateContinuousQuery(create) if clauses(&create.select) => {
            Err("a timeshift in a continuous query is refused".to_owned())
        }
        _ => {
            let mut bounded = false;
            statement.visit_exprs_mut(&mut |_| bounded = true);
            Ok(base.filter(|_| bounded).map(Asked::Show))
        }
    }
}

/// Whether there is a TIMESHIFT in it.
fn clauses(select: &Select) -> bool {
    !select.timeshift.is_empty() || inside(select).any(clauses)
}

/// Whether anything in it is shifted.
fn shifts(select: &Select) -> bool {
    let aliased =
        select.fields.iter().any(|field| field.alias.as_deref().is_some_and(|alias| ask::of_alias(alias).is_some()));
    aliased || !select.timeshift.is_empty() || inside(select).any(shifts)
}

pub fn inside(select: &Select) -> impl Iterator<Item = &Select> {
    select.sources.iter().filter_map(|source| match source {
        Source::Subquery(inner) => Some(inner.as_ref()),
        Source::Measurement(_) => None,
    })
}

pub fn without_clauses(select: &mut Select) {
    select.timeshift.clear();
    for source in &mut select.sources {
        if let Source::Subquery(inner) = source {
            without_clauses(inner);
        }
    }
}

/// Functions whose rows are not one for each time, or not the same in two SELECTs.
const NOT_JOINED: [&str; 4] = ["top", "bottom", "sample", "distinct"];

/// What no time makes possible.
fn check(select: &Select) -> Result<(), String> {
    inside(select).try_for_each(check)?;
    if select.into.is_some() {
        return Err("a timeshift beside an INTO in a subquery is refused".to_owned());
    }
    let aliased = ask::fields(select).map(ask::of_field).any(|shift| !shift.is_none());
    if aliased && !select.timeshift.is_empty() {
        return Err("shift_… aliases and TIMESHIFT in one SELECT are refused: write either".to_owned());
    }
    if ask::shifts(select).len() < 2 {
        return Ok(());
    }
    let fields = || ask::fields(select).map(|field| &field.expr);
    if let Some(call) = calls_of(select).iter().find(|call| NOT_JOINED.contains(&call.name.as_str())) {
        return Err(format!(
            "{}() beside fields of another timeshift is refused: its rows have no times to join them on; ask in two statements",
            call.name
        ));
    }
    if let Some(Expr::Distinct(_)) = fields().find(|expr| matches!(expr, Expr::Distinct(_))) {
        return Err("DISTINCT beside fields of another timeshift is refused; ask in two statements".to_owned());
    }
    if fields().any(has_wildcard) {
        return Err(
            "a wildcard or regular expression beside fields of another timeshift is not supported; name the fields"
                .to_owned(),
        );
    }
    let is_call = |expr: &Expr| {
        let mut found = Vec::new();
        calls(expr, &mut found);
        !found.is_empty()
    };
    let bare = |expr: &&Expr| !is_call(expr) && !named_alone(expr).is_empty();
    if fields().any(is_call) && fields().any(|expr| bare(&expr)) {
        return Err("mixing aggregate and non-aggregate queries is not supported".to_owned());
    }
    Ok(())
}

fn named_alone(expr: &Expr) -> Vec<VarRef> {
    let field = Field { expr: expr.clone(), alias: None };
    named(&Select { fields: vec![field], ..Select::default() })
}

pub fn has_wildcard(expr: &Expr) -> bool {
    match expr {
        Expr::Wildcard(_) | Expr::Regex(_) => true,
        Expr::Call(call) => call.args.iter().any(has_wildcard),
        Expr::Binary { lhs, rhs, .. } => has_wildcard(lhs) || has_wildcard(rhs),
        Expr::Paren(inner) => has_wildcard(inner),
        _ => false,
    }
}
