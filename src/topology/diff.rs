//! What changes from one topology to the next: what would hide stored data, and the rest in words.

use std::collections::BTreeMap;

use super::build::ranges;
use super::{GroupId, ReplicaSpec, RuleSpec, SlotId, Topology};

/// One change after which stored points would no longer be found.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Slots that now belong to another group.
    Moved { slots: String, from: GroupId, to: GroupId },
    /// Measurements may hash by other tags now: what becomes of which rule.
    Rules { changes: Vec<String> },
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Change::Moved { slots, from, to } => write!(f, "slots {slots} move from group {from} to group {to}"),
            Change::Rules { changes } => write!(f, "the rules change: {}", changes.join("; ")),
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
        changes.push(Change::Rules { changes: rule_changes(&before.spec().rules, &after.spec().rules) });
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

/// Rules that go, by their numbers before; new ones, by those after; and whether the others stand in another order.
fn rule_changes(before: &[RuleSpec], after: &[RuleSpec]) -> Vec<String> {
    let text = |rule: &RuleSpec| format!("{} {} by [{}]", rule.db, rule.measurement, rule.tags.join(", "));
    let not_in = |rules: &[RuleSpec], others: &[RuleSpec], what: &str| {
        let numbered = (1..).zip(rules).filter(|(_, rule)| !others.contains(rule));
        numbered.map(|(number, rule)| format!("rule {number} {what}: {}", text(rule))).collect::<Vec<String>>()
    };
    let mut changes = not_in(before, after, "goes");
    changes.extend(not_in(after, before, "is new"));
    let old: Vec<&RuleSpec> = before.iter().filter(|rule| after.contains(rule)).collect();
    let new: Vec<&RuleSpec> = after.iter().filter(|rule| before.contains(rule)).collect();
    if old != new {
        let order: Vec<String> = new.iter().map(|rule| text(rule)).collect();
        changes.push(format!("their order becomes {}", order.join(", ")));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{GroupSpec, Spec, evenly};

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
        let after = spec.clone().build(2).expect("a sound topology");
        let text = |before: &Topology, after: &Topology| changes_that_hide_data(before, after)[0].to_string();
        assert_eq!(text(&topology(&[1]), &after), "the rules change: rule 1 is new: * cpu by [host]");
        spec.rules.insert(0, RuleSpec { db: "db".into(), measurement: "/^m/".into(), tags: Vec::new() });
        let more = spec.clone().build(3).expect("a sound topology");
        assert_eq!(text(&after, &more), "the rules change: rule 1 is new: db /^m/ by []");
        assert_eq!(text(&more, &after), "the rules change: rule 1 goes: db /^m/ by []");
        spec.rules.reverse();
        let turned = spec.build(4).expect("a sound topology");
        let order = "the rules change: their order becomes * cpu by [host], db /^m/ by []";
        assert_eq!(text(&more, &turned), order);
    }
}
