//! Rules come, go and change places: the first that fits a measurement wins.

use crate::topology::{MeasurementPattern, RuleSpec, Spec, Topology};

/// Where a new rule goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAt {
    Last,
    /// Before the rule of this number, counted from 1.
    Before(usize),
}

/// A rule more.
pub fn add_rule(before: &Topology, rule: RuleSpec, at: RuleAt) -> Result<Spec, String> {
    let mut spec = before.spec().clone();
    if let Some(same) = spec.rules.iter().position(|own| own.db == rule.db && own.measurement == rule.measurement) {
        let number = same + 1;
        return Err(format!(
            "rule {number} is for {} {} already; `rules remove {number}` first, if another shall take its place",
            rule.db, rule.measurement
        ));
    }
    let at = match at {
        RuleAt::Last => spec.rules.len(),
        RuleAt::Before(number) => place(before, number)?,
    };
    // One that never decides would only mislead.
    let earlier = spec.rules[..at].iter().position(|own| covers(own, &rule));
    if let Some(earlier) = earlier.map(|at| at + 1) {
        return Err(format!(
            "rule {earlier} fits all that this one fits, and comes first; --before {earlier} puts the new one before it"
        ));
    }
    spec.rules.insert(at, rule);
    Ok(spec)
}

/// Whether a rule decides all that the other would.
fn covers(first: &RuleSpec, other: &RuleSpec) -> bool {
    let db = first.db == "*" || first.db == other.db;
    let name = match MeasurementPattern::parse(&first.measurement) {
        Ok(MeasurementPattern::Regex(regex)) if !other.measurement.starts_with('/') => {
            regex.is_match(other.measurement.as_bytes())
        }
        _ => first.measurement == other.measurement,
    };
    db && name
}

/// The rules of these numbers go.
pub fn remove_rules(before: &Topology, numbers: &[usize]) -> Result<Spec, String> {
    let mut spec = before.spec().clone();
    let mut places = numbers.iter().map(|number| place(before, *number)).collect::<Result<Vec<_>, _>>()?;
    places.sort_unstable();
    places.dedup();
    places.into_iter().rev().for_each(|at| drop(spec.rules.remove(at)));
    Ok(spec)
}

/// The rules in the order of these numbers, which name each once.
pub fn order_rules(before: &Topology, numbers: &[usize]) -> Result<Spec, String> {
    let mut spec = before.spec().clone();
    let places = numbers.iter().map(|number| place(before, *number)).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = places.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..spec.rules.len()) {
        return Err(format!("an order names each of the {} rules once; `topology show` lists them", spec.rules.len()));
    }
    spec.rules = places.into_iter().map(|at| before.spec().rules[at].clone()).collect();
    Ok(spec)
}

fn place(topology: &Topology, number: usize) -> Result<usize, String> {
    let count = topology.spec().rules.len();
    match number.checked_sub(1).filter(|at| *at < count) {
        Some(at) => Ok(at),
        None if count == 0 => Err(format!("there is no rule {number}; there is none at all")),
        None => Err(format!("there is no rule {number}; `topology show` lists rules 1 to {count}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{GroupSpec, ReplicaSpec, evenly};

    fn rule(db: &str, measurement: &str) -> RuleSpec {
        RuleSpec { db: db.to_owned(), measurement: measurement.to_owned(), tags: vec!["host".to_owned()] }
    }

    fn with(rules: &[RuleSpec]) -> Topology {
        let (empty, url, state) = (String::new(), "http://h:1".to_owned(), "serving".to_owned());
        let replica = ReplicaSpec { name: "a".to_owned(), url, username: empty.clone(), password: empty, state };
        let groups = vec![GroupSpec { id: 1, replicas: vec![replica] }];
        Spec { groups, slots: evenly(&[1]), rules: rules.to_vec() }.build(1).expect("a sound topology")
    }

    #[test]
    fn rules_come_go_and_change_places() {
        let (cpu, mem, all) = (rule("db", "cpu"), rule("db", "mem"), rule("*", "/.*/"));
        let two = with(&[cpu.clone(), all.clone()]);
        let three = add_rule(&two, mem.clone(), RuleAt::Before(2)).expect("it is new");
        assert_eq!(three.rules, [cpu.clone(), mem.clone(), all.clone()]);
        let three = three.build(2).expect("a sound topology");
        let ordered = order_rules(&three, &[2, 1, 3]).expect("each once");
        assert_eq!(ordered.rules, [mem.clone(), cpu.clone(), all]);
        assert_eq!(remove_rules(&three, &[3, 1, 1]).expect("they are there").rules, std::slice::from_ref(&mem));
        for (refused, part) in [
            (add_rule(&two, cpu, RuleAt::Last), "rule 1 is for db cpu already"),
            (add_rule(&two, mem, RuleAt::Last), "--before 2"),
            (remove_rules(&two, &[3]), "no rule 3"),
            (order_rules(&two, &[1]), "each of the 2 rules"),
            (order_rules(&two, &[1, 1]), "each of the 2 rules"),
        ] {
            let text = refused.expect_err(part);
            assert!(text.contains(part), "{text}");
        }
    }
}
