//! GROUP BY time as InfluxDB reads it, once it has taken it: an interval of nothing or less is none, and lengths are added
//! up. Used by `query`. Pure.

use crate::influxql::ast::{Call, Source};
use crate::influxql::range::length_of;
use crate::influxql::{Expr, Select};

/// Writes intervals as one length each, and leaves out those that are none, of subqueries too; whether any was written
/// otherwise.
pub fn settle(select: &mut Select) -> bool {
    let mut changed = false;
    for source in &mut select.sources {
        if let Source::Subquery(inner) = source {
            changed |= settle(inner);
        }
    }
    // The first decides, be it none.
    let mut are_none = false;
    select.group_by.retain_mut(|expr| match expr {
        Expr::Call(Call { name, args }) if name == "time" => {
            for arg in args.iter_mut().filter(|arg| !matches!(arg, Expr::Duration(_))) {
                if let Some(length) = length_of(arg) {
                    *arg = Expr::Duration(length);
                    changed = true;
                }
            }
            are_none |= matches!(args.as_slice(), [Expr::Duration(..=0)]);
            changed |= are_none;
            !are_none
        }
        _ => true,
    });
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, Statement, parse_query};

    #[test]
    fn intervals_are_one_length_or_none() {
        for (text, expected) in [
            ("SELECT max(v) FROM m GROUP BY time(0s), host", "SELECT max(v) FROM m GROUP BY host"),
            ("SELECT max(v) FROM m GROUP BY time(-3s) fill(1)", "SELECT max(v) FROM m fill(1)"),
            ("SELECT max(v) FROM m GROUP BY time(0s), host, time(1m)", "SELECT max(v) FROM m GROUP BY host"),
            ("SELECT max(v) FROM m GROUP BY time(3s + 1s, 2s - 1s)", "SELECT max(v) FROM m GROUP BY time(4s, 1s)"),
            (
                "SELECT max(v) FROM (SELECT v FROM m GROUP BY time(1s - 1s)) GROUP BY time(1m)",
                "SELECT max(v) FROM (SELECT v FROM m) GROUP BY time(1m)",
            ),
            ("SELECT max(v) FROM m GROUP BY time(1m, 5s)", "SELECT max(v) FROM m GROUP BY time(1m, 5s)"),
            ("SELECT max(v) FROM m GROUP BY time(0s, 1s)", "SELECT max(v) FROM m GROUP BY time(0s, 1s)"),
        ] {
            let query = parse_query(text, &Params::new()).expect("the test writes InfluxQL");
            let [Statement::Select(select)] = query.statements.as_slice() else { panic!("a SELECT") };
            let mut read = select.clone();
            assert_eq!(settle(&mut read), text != expected, "{text}");
            assert_eq!(read.to_string(), expected);
        }
    }
}
