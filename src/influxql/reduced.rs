//! What a function is given: InfluxDB works out an argument before it looks at it (`Reduce` of influxql), so that
//! `derivative(v, 2 * 30)`, `max((v))` and `derivative(v, (1m))` are what they would be written plainly. Columns are named by
//! the function alone. Parentheses around what GROUP BY names are gone as well (`compileDimensions`), but not in
//! what InfluxDB says of the statement.

use super::Select;
use super::ast::{Expr, Source};
use super::range::worked_out;

/// Works out the arguments of all calls of a column.
pub fn reduce_arguments(expr: &mut Expr) {
    match expr {
        Expr::Call(call) => {
            for arg in &mut call.args {
                reduce_arguments(arg);
                reduce(arg);
            }
        }
        Expr::Binary { lhs, rhs, .. } => {
            reduce_arguments(lhs);
            reduce_arguments(rhs);
        }
        Expr::Paren(inner) => reduce_arguments(inner),
        _ => {}
    }
}

/// Literals are calculated, and parentheses around what is no calculation are gone.
fn reduce(arg: &mut Expr) {
    if !matches!(arg, Expr::Binary { .. } | Expr::Paren(_)) {
        return;
    }
    if let Some(literal) = worked_out(arg) {
        *arg = literal;
        return;
    }
    take_out(arg);
}

/// Takes what GROUP BY names out of its parentheses, in subqueries too.
pub fn reduce_dimensions(select: &mut Select) {
    select.group_by.iter_mut().for_each(take_out);
    for source in &mut select.sources {
        if let Source::Subquery(inner) = source {
            reduce_dimensions(inner);
        }
    }
}

/// Takes what is no calculation out of its parentheses.
fn take_out(expr: &mut Expr) {
    let is_plain = |inner: &Expr| {
        matches!(
            inner,
            Expr::Paren(_)
                | Expr::Call(_)
                | Expr::VarRef(_)
                | Expr::Distinct(_)
                | Expr::Wildcard(_)
                | Expr::String(_)
                | Expr::Boolean(_)
        )
    };
    while let Expr::Paren(inner) = expr
        && is_plain(inner)
    {
        *expr = std::mem::replace(inner, Expr::Boolean(false));
    }
}

#[cfg(test)]
mod tests {
    use super::reduce_dimensions;
    use crate::influxql::{Params, Statement, parse_query};

    #[test]
    fn group_by_has_no_parentheses() {
        let inner = "SELECT v FROM m GROUP BY";
        let text = format!("SELECT max(v) FROM ({inner} ((host))) GROUP BY (time(1m)), (*), (a + b)");
        let mut query = parse_query(&text, &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let [Statement::Select(select)] = query.statements.as_mut_slice() else { panic!("{text}") };
        reduce_dimensions(select);
        assert_eq!(select.to_string(), format!("SELECT max(v) FROM ({inner} host) GROUP BY time(1m), *, (a + b)"));
    }

    #[test]
    fn arguments_are_worked_out() {
        for (text, reduced) in [
            ("percentile(v, 100 / 2)", "percentile(v, 50.0)"),
            ("percentile(v, 5 / 0)", "percentile(v, 0.0)"),
            ("top(v, host, (1 + 1) * 2)", "top(v, host, 4)"),
            ("derivative(v, 1m + 30s)", "derivative(v, 90s)"),
            ("derivative(max((v)), (1m)) * (2 + 3)", "derivative(max(v), 1m) * (2 + 3)"),
            ("count((distinct(((v)))))", "count(distinct(v))"),
            ("count((distinct v))", "count(distinct v)"),
            ("mean((*)), (v)", "mean(*), (v)"),
            ("abs(v + (1 + 1)), mean((v + 1))", "abs(v + (1 + 1)), mean((v + 1))"),
            ("derivative(v, 10 * 1s)", "derivative(v, 10 * 1s)"),
            ("last(('2020-01-01'))", "last('2020-01-01')"),
        ] {
            let query = |fields: &str| format!("SELECT {fields} FROM m");
            let parsed = parse_query(&query(text), &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
            let plain = parse_query(&query(reduced), &Params::new()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(parsed.statements, plain.statements, "{text}");
        }
    }
}
