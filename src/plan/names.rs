//! WHERE of SHOW MEASUREMENTS when series of one measurement live in several groups. Called by `show`. Pure.
//!
//! InfluxDB takes every comparison for a set of measurements: `=` and `=~` stand for those of which any series fits, `!=` and
//! `!~` for those that have the tag and no such series; AND and OR join sets. What fits may lie in one group and what does not
//! in another, so that each comparison is a question of its own, and the sets are joined here.

use crate::influxql::ast::{BinaryOp, ShowMeasurements};
use crate::influxql::{Expr, Statement};

/// One step of a calculation with sets on a stack.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Puts the union of what the groups answer on the stack.
    Ask(Statement),
    /// Puts one set in the place of the two on top.
    Join(Operation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// What is in both.
    And,
    /// What is in any.
    Or,
    /// What is in the lower one alone.
    Except,
}

/// The steps in the order in which InfluxDB looks at the comparisons: the first error is its error. `None`: the union of the
/// groups' answers to all of WHERE is right.
pub fn steps(show: &ShowMeasurements) -> Option<Vec<Step>> {
    let condition = show.condition.as_ref().filter(|condition| !is_union(condition))?;
    let ask = |condition: &Expr| {
        let asked = ShowMeasurements { condition: Some(condition.clone()), limit: 0, offset: 0, ..show.clone() };
        Step::Ask(Statement::ShowMeasurements(Box::new(asked)))
    };
    let mut steps = Vec::new();
    add(condition, &ask, &mut steps);
    Some(steps)
}

/// Whether a measurement fits as soon as its series in one group do.
fn is_union(condition: &Expr) -> bool {
    match condition {
        Expr::And(_) => false,
        Expr::Or(terms) => terms.iter().all(is_union),
        Expr::Paren(inner) => is_union(inner),
        Expr::Binary { op, .. } => opposite(*op).is_none(),
        _ => true,
    }
}

fn opposite(op: BinaryOp) -> Option<BinaryOp> {
    match op {
        BinaryOp::NotEqual => Some(BinaryOp::Equal),
        BinaryOp::NotMatch => Some(BinaryOp::Match),
        _ => None,
    }
}

fn add(condition: &Expr, ask: &impl Fn(&Expr) -> Step, steps: &mut Vec<Step>) {
    match condition {
        condition if is_union(condition) => steps.push(ask(condition)),
        Expr::Paren(inner) => add(inner, ask, steps),
        Expr::And(terms) => add_chain(terms, Operation::And, ask, steps),
        Expr::Or(terms) => add_chain(terms, Operation::Or, ask, steps),
        condition => {
            steps.push(ask(condition));
            if let Expr::Binary { op, lhs, rhs } = condition
                && let Some(op) = opposite(*op)
            {
                steps.push(ask(&Expr::Binary { op, lhs: lhs.clone(), rhs: rhs.clone() }));
                steps.push(Step::Join(Operation::Except));
            }
        }
    }
}

fn add_chain(terms: &[Expr], operation: Operation, ask: &impl Fn(&Expr) -> Step, steps: &mut Vec<Step>) {
    for (at, term) in terms.iter().enumerate() {
        add(term, ask, steps);
        if at > 0 {
            steps.push(Step::Join(operation));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, parse_query};

    fn printed(condition: &str) -> Option<Vec<String>> {
        let text = format!("SHOW MEASUREMENTS ON d WITH MEASUREMENT =~ /m/ WHERE {condition} LIMIT 2 OFFSET 1");
        let query = parse_query(&text, &Params::new()).expect("the test writes InfluxQL");
        let [Statement::ShowMeasurements(show)] = query.statements.as_slice() else { panic!("{text}") };
        let print = |step: &Step| match step {
            Step::Ask(statement) => {
                let text = statement.to_string();
                let asked = text.strip_prefix("SHOW MEASUREMENTS ON d WITH MEASUREMENT =~ /m/ WHERE ");
                asked.unwrap_or_else(|| panic!("{text}")).to_owned()
            }
            Step::Join(operation) => format!("{operation:?}"),
        };
        steps(show).map(|steps| steps.iter().map(print).collect())
    }

    #[test]
    fn comparisons_are_asked_one_by_one() {
        for (condition, steps) in [
            ("h != 'a'", &["h != 'a'", "h = 'a'", "Except"][..]),
            ("(h !~ /a/)", &["h !~ /a/", "h =~ /a/", "Except"]),
            ("h = 'a' AND i = 'b' AND h =~ /c/", &["h = 'a'", "i = 'b'", "And", "h =~ /c/", "And"]),
            ("(h = 'a' OR h = 'b') AND i = 'c'", &["(h = 'a' OR h = 'b')", "i = 'c'", "And"]),
            ("h = 'a' OR h != 'b'", &["h = 'a'", "h != 'b'", "h = 'b'", "Except", "Or"]),
            ("h > 'a' AND h", &["h > 'a'", "h", "And"]),
        ] {
            let steps: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
            assert_eq!(printed(condition), Some(steps), "{condition}");
        }
        for condition in ["h = 'a'", "h = 'a' OR (i =~ /b/ OR h = 'c')", "h > 'a'"] {
            assert_eq!(printed(condition), None, "{condition}");
        }
    }
}
