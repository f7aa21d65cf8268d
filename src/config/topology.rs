//! `[[group]]`, `[[slots]]` and `[[rule]]` of `config.toml`.

use crate::topology::{GroupSpec, Place, ReplicaSpec, RuleSpec, SlotsSpec, Spec, SpecFault, Topology, evenly};

use super::reader::{Reader, Section};

/// The lines on which the parts of a spec begin, for its faults.
#[derive(Default)]
struct Lines {
    groups: Vec<usize>,
    replicas: Vec<Vec<usize>>,
    slots: Vec<usize>,
    rules: Vec<usize>,
}

/// The topology as written, at epoch 1; `None` when it has faults, which are the reader's then, or when nothing at all
/// is written and it is `optional`.
pub fn read(reader: &mut Reader<'_>, root: &mut Section<'_>, optional: bool) -> Option<Topology> {
    let mut lines = Lines::default();
    let known = reader.faults.len();
    let groups = read_groups(reader, root, &mut lines);
    let slots = read_slots(reader, root, &mut lines);
    let rules = read_rules(reader, root, &mut lines);
    if optional && groups.is_empty() && slots.is_none() && rules.is_empty() {
        return None;
    }
    if groups.is_empty() {
        reader.fault(0, "", "no groups: a topology needs at least one [[group]]".to_owned());
    }
    // What did not even read would only be told twice.
    let complete = reader.faults.len() == known;
    let slots = slots.unwrap_or_else(|| evenly(&groups.iter().map(|group| group.id).collect::<Vec<_>>()));
    match (Spec { groups, slots, rules }).build(1) {
        Ok(topology) => complete.then_some(topology),
        Err(faults) => {
            for SpecFault { place, text } in faults {
                let (line, key) = lines.of(place);
                if complete || line > 0 {
                    reader.fault(line, key, text);
                }
            }
            None
        }
    }
}

impl Lines {
    fn of(&self, place: Place) -> (usize, &'static str) {
        let line = |lines: &[usize], at: usize| lines.get(at).copied().unwrap_or(0);
        match place {
            Place::Whole => (0, "slots"),
            Place::Group(i) => (line(&self.groups, i), "group"),
            Place::Replica(i, j) => (self.replicas.get(i).map_or(0, |lines| line(lines, j)), "group.replica"),
            Place::Slots(i) => (line(&self.slots, i), "slots"),
            Place::Rule(i) => (line(&self.rules, i), "rule"),
        }
    }
}

fn read_groups(reader: &mut Reader<'_>, root: &mut Section<'_>, lines: &mut Lines) -> Vec<GroupSpec> {
    let mut groups = Vec::new();
    for mut s in reader.sections(root, "group").unwrap_or_default() {
        lines.groups.push(s.line);
        let id = reader.value(&mut s, "id", None);
        let (mut replicas, mut replica_lines) = (Vec::new(), Vec::new());
        for mut r in reader.sections(&mut s, "replica").unwrap_or_default() {
            replica_lines.push(r.line);
            let empty = || Some(String::new());
            replicas.push(ReplicaSpec {
                name: reader.value(&mut r, "name", None),
                url: reader.value(&mut r, "url", None),
                username: reader.value(&mut r, "username", empty()),
                password: reader.value(&mut r, "password", empty()),
                state: reader.value(&mut r, "state", Some("serving".to_owned())),
            });
            reader.end(r);
        }
        lines.replicas.push(replica_lines);
        groups.push(GroupSpec { id, replicas });
        reader.end(s);
    }
    groups
}

fn read_slots(reader: &mut Reader<'_>, root: &mut Section<'_>, lines: &mut Lines) -> Option<Vec<SlotsSpec>> {
    let mut slots = Vec::new();
    for mut s in reader.sections(root, "slots")? {
        lines.slots.push(s.line);
        let from = reader.value(&mut s, "from", None);
        let to = reader.value(&mut s, "to", None);
        slots.push(SlotsSpec { from, to, group: reader.value(&mut s, "group", None) });
        reader.end(s);
    }
    Some(slots)
}

fn read_rules(reader: &mut Reader<'_>, root: &mut Section<'_>, lines: &mut Lines) -> Vec<RuleSpec> {
    let mut rules = Vec::new();
    for mut s in reader.sections(root, "rule").unwrap_or_default() {
        lines.rules.push(s.line);
        let db = reader.value(&mut s, "db", None);
        let measurement = reader.value(&mut s, "measurement", None);
        rules.push(RuleSpec { db, measurement, tags: reader.value(&mut s, "tags", None) });
        reader.end(s);
    }
    rules
}
