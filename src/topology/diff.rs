//! What changes from one topology to the next, as far as it would hide stored data.

use std::collections::BTreeMap;

use super::build::ranges;
use super::{GroupId, SlotId, Topology};

/// One change after which stored points would no longer be found.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Slots that now belong to another group.
    Moved { slots: String, from: GroupId, to: GroupId },
    /// Measurements may hash by other tags now.
    Rules { before: String, after: String },
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Change::Moved { slots, from, to } => write!(f, "slots {slots} move from group {from} to group {to}"),
            Change::Rules { before, after } => write!(f, "the rules change from {before} to {after}"),
        }
    }
}

/// Lists the moves, in the order of their first slots.
pub fn changes_that_hide_data(before: &Topology, after: &Topology) -> Vec<Change> {
    let mut moved: BTreeMap<(GroupId, GroupId), Vec<usize>> = BTreeMap::new();
    for slot in SlotId::all() {
        let from = before.group(before.owner(slot)).id;
        let to = after.group(after.owner(slot)).id;
        if from != to {
            moved.entry((from, to)).or_default().push(slot.index());
        }
    }
    let mut moves: Vec<_> = moved.into_iter().collect();
    moves.sort_by_key(|(_, slots)| slots[0]);
    let moves = moves.into_iter().map(|((from, to), slots)| Change::Moved { slots: ranges(&slots), from, to });
    let mut changes: Vec<Change> = moves.collect();
    if before.spec().rules != after.spec().rules {
        changes.push(Change::Rules { before: rules(before), after: rules(after) });
    }
    changes
}

fn rules(topology: &Topology) -> String {
    let text = |rule: &super::RuleSpec| format!("{} {} by [{}]", rule.db, rule.measurement, rule.tags.join(", "));
    let rules: Vec<String> = topology.spec().rules.iter().map(text).collect();
    if rules.is_empty() { "none".to_owned() } else { format!("({})", rules.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{GroupSpec, ReplicaSpec, RuleSpec, Spec, evenly};

    fn topology(groups: &[GroupId]) -> Topology {
        let group = |&id: &GroupId| {
            let (name, url) = (format!("g{id}"), "http://h:1".to_owned());
            let (username, password, state) = (String::new(), String::new(), "serving".to_owned());
            GroupSpec { id, replicas: vec![ReplicaSpec { name, url, username, password, state }] }
        };
        let spec = Spec { groups: groups.iter().map(group).collect(), slots: evenly(groups), rules: Vec::new() };
        spec.build(1).expect("a sound topology")
    }

    #[test]
    fn a_group_more_moves_slots() {
        let changes = changes_that_hide_data(&topology(&[1]), &topology(&[1, 2]));
        assert_eq!(changes, [Change::Moved { slots: "512-1023".to_owned(), from: 1, to: 2 }]);
        assert_eq!(changes_that_hide_data(&topology(&[1, 2]), &topology(&[1, 2])), []);
    }

    #[test]
    fn a_rule_more_is_a_change() {
        let mut spec = topology(&[1]).spec().clone();
        spec.rules.push(RuleSpec { db: "*".into(), measurement: "cpu".into(), tags: vec!["host".into()] });
        let after = spec.build(2).expect("a sound topology");
        let text = changes_that_hide_data(&topology(&[1]), &after)[0].to_string();
        assert_eq!(text, "the rules change from none to (* cpu by [host])");
    }
}
