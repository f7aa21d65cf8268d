//! What changes from one topology to the next: what would hide stored data, and the rest in words.

use std::collections::BTreeMap;

use super::build::ranges;
use super::{GroupId, ReplicaSpec, SlotId, Topology};

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

/// Every other difference, a line each, passwords never in it; none when the two hold the same.
pub fn harmless_changes(before: &Topology, after: &Topology) -> Vec<String> {
    let (old, new) = (replicas(before), replicas(after));
    let mut lines = Vec::new();
    for group in after.groups().iter().filter(|group| before.groups().iter().all(|old| old.id != group.id)) {
        lines.push(format!("group {} is new", group.id));
    }
    for group in before.groups().iter().filter(|group| after.groups().iter().all(|new| new.id != group.id)) {
        lines.push(format!("group {} goes", group.id));
    }
    for (name, (group, replica)) in &new {
        match old.get(name) {
            None => lines.push(format!("replica {name} of group {group} is new: {}, {}", replica.url, replica.state)),
            Some(was) => replica_changes(name, *was, (*group, *replica), &mut lines),
        }
    }
    for (name, (group, _)) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        lines.push(format!("replica {name} of group {group} goes"));
    }
    if lines.is_empty() && before.spec() != after.spec() && changes_that_hide_data(before, after).is_empty() {
        lines.push("the same is written in another way".to_owned());
    }
    lines
}

fn replica_changes(name: &str, was: (GroupId, &ReplicaSpec), is: (GroupId, &ReplicaSpec), lines: &mut Vec<String>) {
    let mut changed = |what: &str, was: &dyn std::fmt::Display, is: &dyn std::fmt::Display| {
        lines.push(format!("replica {name}: {what} {was} becomes {is}"));
    };
    let ((old_group, old), (group, new)) = (was, is);
    if old_group != group {
        changed("group", &old_group, &group);
    }
    if old.url != new.url {
        changed("url", &old.url, &new.url);
    }
    if old.state != new.state {
        changed("state", &old.state, &new.state);
    }
    if (&old.username, &old.password) != (&new.username, &new.password) {
        lines.push(format!("replica {name}: other credentials"));
    }
}

/// By name, each with its group.
fn replicas(topology: &Topology) -> BTreeMap<&str, (GroupId, &ReplicaSpec)> {
    let groups = topology.spec().groups.iter();
    groups.flat_map(|group| group.replicas.iter().map(|replica| (replica.name.as_str(), (group.id, replica)))).collect()
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
    fn the_rest_is_told_in_words() {
        let before = topology(&[1, 2]);
        assert_eq!(harmless_changes(&before, &before), Vec::<String>::new());
        let mut spec = before.spec().clone();
        spec.groups[1] = GroupSpec { id: 3, replicas: spec.groups[1].replicas.clone() };
        spec.slots = evenly(&[1, 3]);
        let replica = &mut spec.groups[0].replicas[0];
        (replica.username, replica.password) = ("u".to_owned(), "s3cret".to_owned());
        let mut new = replica.clone();
        (new.name, new.state) = ("g1b".to_owned(), "joining".to_owned());
        spec.groups[0].replicas.push(new);
        let lines = harmless_changes(&before, &spec.build(2).expect("a sound topology"));
        let want = [
            "group 3 is new",
            "group 2 goes",
            "replica g1: other credentials",
            "replica g1b of group 1 is new: http://h:1, joining",
            "replica g2: group 2 becomes 3",
        ];
        assert_eq!(lines, want);
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
