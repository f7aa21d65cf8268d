//! Slots change hands.

use std::collections::BTreeMap;

use crate::topology::{GroupId, SLOTS, SlotId, SlotsSpec, Spec, Topology};

/// Reads `5`, `0-99` or `0-99,512,600-1023`.
pub fn parse_ranges(text: &str) -> Result<Vec<SlotId>, String> {
    let fault = |part: &str| format!("{part:?} is neither a slot nor a range of slots from 0 to {}", SLOTS - 1);
    let mut slots = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number < SLOTS);
        let (Some(from), Some(to)) = (number(from), number(to)) else { return Err(fault(part)) };
        if from > to {
            return Err(fault(part));
        }
        slots.extend((from..=to).filter_map(SlotId::new));
    }
    slots.sort_unstable();
    slots.dedup();
    Ok(slots)
}

/// Who owns each slot, as ranges.
pub fn merged(owners: &[GroupId]) -> Vec<SlotsSpec> {
    let mut ranges: Vec<SlotsSpec> = Vec::new();
    for (slot, &group) in owners.iter().enumerate() {
        match ranges.last_mut() {
            Some(last) if last.group == group => last.to = slot,
            _ => ranges.push(SlotsSpec { from: slot, to: slot, group }),
        }
    }
    ranges
}

fn owners(topology: &Topology) -> Vec<GroupId> {
    SlotId::all().map(|slot| topology.group(topology.owner(slot)).id).collect()
}

/// These slots go to a group.
pub fn assign(before: &Topology, slots: &[SlotId], group: GroupId) -> Result<Spec, String> {
    known(before, group)?;
    let mut owners = owners(before);
    slots.iter().for_each(|slot| owners[slot.index()] = group);
    Ok(Spec { slots: merged(&owners), ..before.spec().clone() })
}

/// Slots are evened out over these groups (all, when none is named) with as few moves as can be: slots that other groups
/// own are shared out too. Of a group with too many those that hold nothing go first, then the last ones; `only_empty`:
/// no others at all, be it even or not.
pub fn spread(
    before: &Topology,
    groups: &[GroupId],
    holds_data: &dyn Fn(SlotId) -> bool,
    only_empty: bool,
) -> Result<Spec, String> {
    let all: Vec<GroupId> = before.groups().iter().map(|group| group.id).collect();
    let groups = if groups.is_empty() { &all[..] } else { groups };
    groups.iter().try_for_each(|group| known(before, *group))?;
    let mut owners = owners(before);
    let mut own: BTreeMap<GroupId, Vec<usize>> = BTreeMap::new();
    owners.iter().enumerate().for_each(|(slot, group)| own.entry(*group).or_default().push(slot));
    // Of the groups, those that own the most keep one more when it does not come out even.
    let mut by_size: Vec<GroupId> = Vec::new();
    groups.iter().for_each(|group| {
        if !by_size.contains(group) {
            by_size.push(*group)
        }
    });
    let count = |group: &GroupId| own.get(group).map_or(0, Vec::len);
    by_size.sort_by_key(|group| std::cmp::Reverse(count(group)));
    let share = |at: usize| SLOTS / by_size.len() + usize::from(at < SLOTS % by_size.len());
    let wanted: BTreeMap<GroupId, usize> = by_size.iter().enumerate().map(|(at, group)| (*group, share(at))).collect();
    let mut free: Vec<usize> = Vec::new();
    for (group, slots) in &own {
        let excess = slots.len().saturating_sub(wanted.get(group).copied().unwrap_or(0));
        let (full, empty): (Vec<usize>, Vec<usize>) =
            slots.iter().rev().copied().partition(|slot| holds(*slot, holds_data));
        let full = if only_empty { Vec::new() } else { full };
        free.extend(empty.into_iter().chain(full).take(excess));
    }
    free.sort_unstable();
    let mut free = free.into_iter();
    for (group, wanted) in &wanted {
        let lacks = wanted.saturating_sub(own.get(group).map_or(0, Vec::len));
        free.by_ref().take(lacks).for_each(|slot| owners[slot] = *group);
    }
    Ok(Spec { slots: merged(&owners), ..before.spec().clone() })
}

fn holds(slot: usize, holds_data: &dyn Fn(SlotId) -> bool) -> bool {
    SlotId::new(slot).is_some_and(holds_data)
}

fn known(topology: &Topology, group: GroupId) -> Result<(), String> {
    if topology.groups().iter().any(|known| known.id == group) {
        return Ok(());
    }
    let ids: Vec<String> = topology.groups().iter().map(|group| group.id.to_string()).collect();
    Err(format!("there is no group {group}; there are {}; `groups add` adds one", ids.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{GroupSpec, ReplicaSpec, evenly};

    fn topology(groups: &[GroupId], owning: &[GroupId]) -> Topology {
        let replica = |id: GroupId| ReplicaSpec {
            name: format!("g{id}"),
            url: "http://h:1".to_owned(),
            username: String::new(),
            password: String::new(),
            state: "serving".to_owned(),
        };
        let group = |&id: &GroupId| GroupSpec { id, replicas: vec![replica(id)] };
        let spec = Spec { groups: groups.iter().map(group).collect(), slots: evenly(owning), rules: Vec::new() };
        spec.build(1).expect("a sound topology")
    }

    fn counts(spec: Result<Spec, String>) -> (Topology, Vec<usize>) {
        let topology = spec.expect("a change").build(2).expect("a sound topology");
        let count = |index| SlotId::all().filter(|slot| topology.owner(*slot) == index).count();
        let counts = topology.group_indexes().map(count).collect();
        (topology, counts)
    }

    #[test]
    fn ranges() {
        let numbers = |text| parse_ranges(text).map(|slots| slots.iter().map(|slot| slot.index()).collect::<Vec<_>>());
        assert_eq!(numbers("5, 1-3,2"), Ok(vec![1, 2, 3, 5]));
        assert_eq!(numbers("1023"), Ok(vec![1023]));
        for bad in ["", "a", "3-1", "1024", "1-", "-1", "1--2"] {
            assert!(parse_ranges(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn some_slots_go_to_a_group() {
        let before = topology(&[1, 2], &[1, 2]);
        let slots = parse_ranges("0-9,1000").expect("a list");
        let (after, counts) = counts(assign(&before, &slots, 2));
        assert_eq!(counts, [502, 522]);
        assert_eq!(after.slots_of(1), "0-9, 512-1023");
        assert!(assign(&before, &slots, 3).is_err_and(|text| text.contains("groups add")));
    }

    #[test]
    fn spread_moves_few_and_empty_ones_first() {
        let before = topology(&[1, 2, 3], &[1, 2]);
        let (after, all) = counts(spread(&before, &[], &|_| true, false));
        assert_eq!(all, [342, 341, 341]);
        let moved = SlotId::all().filter(|slot| before.owner(*slot) != after.owner(*slot)).count();
        assert_eq!(moved, 341);
        // Those of group 1 that hold nothing are its first 200.
        let (after, all) = counts(spread(&before, &[], &|slot| slot.index() >= 200, false));
        assert_eq!(all, [342, 341, 341]);
        assert!((30..200).all(|slot| SlotId::new(slot).is_some_and(|slot| after.owner(slot) == 2)));
        let (_, some) = counts(spread(&before, &[], &|slot| slot.index() >= 100, true));
        assert_eq!(some, [412, 512, 100]);
        let (after, two) = counts(spread(&before, &[2, 3], &|_| false, false));
        assert_eq!((after.slots_of(0).as_str(), &two[1..]), ("", &[512, 512][..]));
        let (again, _) = counts(spread(&after, &[2, 3], &|_| false, false));
        assert_eq!(again.spec().slots, after.spec().slots);
    }
}
