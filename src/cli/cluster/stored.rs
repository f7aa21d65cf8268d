//! What the groups store, asked of their replicas, and what of it a change would put out of reach.
//!
//! A series is out of reach when the group that holds it owns its slot before the change and another one after it. Of a
//! measurement whose rule has no tags, before and after, the name is enough; else its series are looked at, up to
//! [`SERIES_MAX`]: beyond that it counts as lying in every slot of its group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::batch::Router;
use crate::influxql::{quote_ident, quote_string};
use crate::lineprotocol::Line;
use crate::topology::{Group, GroupId, Replica, ReplicaState, SLOTS, SlotId, Topology};

use super::influx;

/// Series of one measurement on one replica that are looked at.
const SERIES_MAX: usize = 200_000;
/// What InfluxDB keeps of itself.
const INTERNAL: &str = "_internal";

/// What one group holds of one measurement.
#[derive(Debug)]
pub struct Holding {
    pub group: GroupId,
    pub db: String,
    pub measurement: String,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    /// The name decides.
    Whole,
    /// Series keys as line protocol has them.
    Series(BTreeSet<String>),
    TooMany,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Stored {
    pub holdings: Vec<Holding>,
    /// The replicas that told, of each group that one of them told of.
    pub told: BTreeMap<GroupId, Vec<String>>,
    /// Groups that could not be asked, in words.
    pub unknown: Vec<String>,
}

/// What would be out of reach, in words, by measurement.
pub struct Hidden {
    pub db: String,
    pub measurement: String,
    pub group: GroupId,
    which: Which,
}

enum Which {
    All,
    Series(usize),
    /// More than are looked at.
    Unknown,
}

impl std::fmt::Display for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Hidden { db, measurement, group, which } = self;
        write!(f, "{db}.{}", quote_ident(measurement))?;
        match which {
            Which::All => write!(f, " on group {group}"),
            Which::Series(count) => write!(f, ": {count} series on group {group}"),
            Which::Unknown => write!(f, " on group {group}, maybe: more than {SERIES_MAX} series are not looked at"),
        }
    }
}

/// The groups whose data a change may put out of reach.
pub fn concerned(before: &Topology, after: &Topology) -> Vec<GroupId> {
    let id = |topology: &Topology, slot| topology.group(topology.owner(slot)).id;
    let losing: BTreeSet<GroupId> =
        SlotId::all().filter(|slot| id(before, *slot) != id(after, *slot)).map(|slot| id(before, slot)).collect();
    let rules = before.spec().rules != after.spec().rules;
    let owns = |index| !before.slots_of(index).is_empty();
    let owning = before.group_indexes().filter(|index| owns(*index)).map(|index| before.group(index).id);
    owning.filter(|group| losing.contains(group) || rules).collect()
}

/// Asks these groups' serving replicas what they hold, as far as the two topologies need it.
pub fn look(groups: &[GroupId], before: &Topology, after: &Topology) -> Stored {
    let split = |db: &str, name: &str| before.splits(db, name.as_bytes()) || after.splits(db, name.as_bytes());
    let mut stored = Stored::default();
    let groups: Vec<&Group> = before.groups().iter().filter(|group| groups.contains(&group.id)).collect();
    // A replica may have what its peers still wait for: all that answer are asked.
    let asked: Vec<(&Group, Vec<Told>)> = std::thread::scope(|scope| {
        let ask = |group: &'_ Group| {
            let serving = group.replicas.iter().filter(|replica| replica.state == ReplicaState::Serving);
            let one = |replica: Replica| find(&replica, &split).map(|found| (replica.name, found));
            let asked: Vec<_> = serving.cloned().map(|replica| scope.spawn(move || one(replica))).collect();
            let joined = |one: std::thread::ScopedJoinHandle<'_, _>| one.join().unwrap_or(Err("panicked".to_owned()));
            asked.into_iter().map(joined).collect()
        };
        groups.into_iter().map(|group| (group, ask(group))).collect()
    });
    for (group, answers) in asked {
        let (found, failed): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        if found.is_empty() {
            let reasons: Vec<String> = failed.into_iter().filter_map(Result::err).collect();
            stored.unknown.push(match reasons.as_slice() {
                [] => format!("group {} has no serving replica", group.id),
                _ => format!("group {}: {}", group.id, reasons.join("; ")),
            });
        }
        let (names, found): (Vec<String>, Vec<Found>) = found.into_iter().filter_map(Result::ok).unzip();
        if !names.is_empty() {
            stored.told.insert(group.id, names);
        }
        let mut holdings: BTreeMap<(String, String), Kept> = BTreeMap::new();
        for ((db, measurement), kept) in found.into_iter().flatten() {
            match (holdings.get_mut(&(db.clone(), measurement.clone())), kept) {
                (Some(Kept::Series(all)), Kept::Series(more)) => all.extend(more),
                (Some(Kept::Series(_)) | None, kept) => drop(holdings.insert((db, measurement), kept)),
                (Some(Kept::Whole | Kept::TooMany), _) => {}
            }
        }
        let group = group.id;
        let holding = |((db, measurement), kept)| Holding { group, db, measurement, kept };
        stored.holdings.extend(holdings.into_iter().map(holding));
    }
    stored
}

type Found = Vec<((String, String), Kept)>;
/// A replica's name and what it holds.
type Told = Result<(String, Found), String>;

fn find(replica: &Replica, split: &impl Fn(&str, &str) -> bool) -> Result<Found, String> {
    let named = |error: String| format!("{} ({}): {error}", replica.name, replica.url);
    let mut found = Vec::new();
    for db in databases(replica).map_err(named)? {
        let statement = format!("SHOW MEASUREMENTS ON {}", quote_ident(&db));
        for name in names(replica, &statement, "name").map_err(named)? {
            let kept = if split(&db, &name) { series(replica, &db, &name).map_err(named)? } else { Kept::Whole };
            found.push(((db.clone(), name), kept));
        }
    }
    Ok(found)
}

/// All that a replica holds, as `db.measurement`.
pub fn measurements(replica: &Replica) -> Result<Vec<String>, String> {
    let found = find(replica, &|_, _| false)?;
    Ok(found.into_iter().map(|((db, name), _)| format!("{db}.{}", quote_ident(&name))).collect())
}

/// Databases but InfluxDB's own.
pub fn databases(replica: &Replica) -> Result<Vec<String>, String> {
    Ok(names(replica, "SHOW DATABASES", "name")?.into_iter().filter(|db| db != INTERNAL).collect())
}

fn names(replica: &Replica, statement: &str, column: &str) -> Result<Vec<String>, String> {
    let answer = influx::query(replica, "", statement)?;
    Ok(answer.iter().flat_map(|series| series.texts([column])).map(|[name]| name).collect())
}

fn series(replica: &Replica, db: &str, measurement: &str) -> Result<Kept, String> {
    let (db, measurement) = (quote_ident(db), quote_ident(measurement));
    let statement = format!("SHOW SERIES ON {db} FROM {measurement} LIMIT {}", SERIES_MAX + 1);
    let keys: BTreeSet<String> = names(replica, &statement, "key")?.into_iter().collect();
    Ok(if keys.len() > SERIES_MAX { Kept::TooMany } else { Kept::Series(keys) })
}

/// How many series a replica has of each measurement, exactly.
pub fn cardinality(replica: &Replica, db: &str) -> Result<BTreeMap<String, u64>, String> {
    let statement = format!("SHOW SERIES EXACT CARDINALITY ON {}", quote_ident(db));
    let answer = influx::query(replica, "", &statement)?;
    let count = |series: &influx::Series| series.column("count").filter_map(serde_json::Value::as_u64).sum();
    Ok(answer.iter().map(|series| (series.name.clone(), count(series))).collect())
}

impl Holding {
    /// The slots in which it lies, a slot for each series; `None`: not known.
    fn slots(&self, topology: &Arc<Topology>) -> Option<Vec<SlotId>> {
        match &self.kept {
            Kept::Whole => Some(vec![Topology::measurement_slot(&self.db, self.measurement.as_bytes())]),
            Kept::TooMany => None,
            Kept::Series(keys) => {
                let mut router = Router::new(topology.clone(), &self.db);
                let slot = |key: &String| {
                    let line = format!("{key} v=1");
                    let slot = Line::read(line.as_bytes()).map(|line| router.slot(&line));
                    slot.unwrap_or_else(|| Topology::measurement_slot(&self.db, self.measurement.as_bytes()))
                };
                Some(keys.iter().map(slot).collect())
            }
        }
    }

    fn hidden(&self, before: &Arc<Topology>, after: &Arc<Topology>, moved: &[bool; SLOTS]) -> Option<Hidden> {
        let (old, new) = (self.slots(before), self.slots(after));
        let owner = |topology: &Topology, slot| topology.group(topology.owner(slot)).id;
        let which = match old.zip(new) {
            Some((old, new)) => {
                let was = |slot| owner(before, slot) == self.group;
                let is = |slot| owner(after, slot) == self.group;
                let hidden = old.into_iter().zip(new).filter(|(old, new)| was(*old) && !is(*new)).count();
                if hidden == 0 {
                    return None;
                }
                if matches!(self.kept, Kept::Series(_)) { Which::Series(hidden) } else { Which::All }
            }
            None => {
                let loses = SlotId::all().any(|slot| moved[slot.index()] && owner(before, slot) == self.group);
                let rule = |topology: &Topology| {
                    topology
                        .rule(&self.db, self.measurement.as_bytes())
                        .map(|rule| rule.tags.clone())
                        .unwrap_or_default()
                };
                if !loses && rule(before) == rule(after) {
                    return None;
                }
                Which::Unknown
            }
        };
        let Holding { group, db, measurement, .. } = self;
        Some(Hidden { db: db.clone(), measurement: measurement.clone(), group: *group, which })
    }
}

impl Stored {
    /// What a change would put out of reach.
    pub fn hidden(&self, before: &Topology, after: &Topology) -> Vec<Hidden> {
        let (before, after) = (Arc::new(before.clone()), Arc::new(after.clone()));
        let mut moved = [false; SLOTS];
        for slot in SlotId::all() {
            moved[slot.index()] = before.group(before.owner(slot)).id != after.group(after.owner(slot)).id;
        }
        self.holdings.iter().filter_map(|holding| holding.hidden(&before, &after, &moved)).collect()
    }

    /// Which slots hold data on the group that owns them. What is not known counts as holding.
    pub fn slots(&self, topology: &Topology) -> [bool; SLOTS] {
        let topology = Arc::new(topology.clone());
        let mut holding = [false; SLOTS];
        for held in &self.holdings {
            let own = |slot: &SlotId| topology.group(topology.owner(*slot)).id == held.group;
            let slots = held.slots(&topology).unwrap_or_else(|| SlotId::all().collect());
            slots.iter().filter(|slot| own(slot)).for_each(|slot| holding[slot.index()] = true);
        }
        holding
    }
}

/// Fields that have two types, in words: `SHOW FIELD KEYS` of one replica of each group that answers.
pub fn fields_of_two_types(topology: &Topology) -> Vec<String> {
    let answers: Vec<Vec<(String, String, String, String)>> = std::thread::scope(|scope| {
        let asked: Vec<_> = topology.groups().iter().map(|group| scope.spawn(|| fields(group))).collect();
        asked.into_iter().filter_map(|one| one.join().ok()).collect()
    });
    let mut types: BTreeMap<(String, String, String), BTreeSet<String>> = BTreeMap::new();
    for (db, measurement, field, kind) in answers.into_iter().flatten() {
        types.entry((db, measurement, field)).or_default().insert(kind);
    }
    let two = types.into_iter().filter(|(_, types)| types.len() > 1);
    two.map(|((db, measurement, field), types)| {
        let types: Vec<String> = types.into_iter().collect();
        format!("{db}.{}: field {} is {}", quote_ident(&measurement), quote_string(&field), types.join(" and "))
    })
    .collect()
}

/// Database, measurement, field and type, by the group's first replica that tells all.
fn fields(group: &Group) -> Vec<(String, String, String, String)> {
    let of = |replica: &Replica| {
        let mut fields = Vec::new();
        for db in databases(replica)? {
            for series in influx::query(replica, "", &format!("SHOW FIELD KEYS ON {}", quote_ident(&db)))? {
                let rows = series.texts(["fieldKey", "fieldType"]);
                fields.extend(rows.into_iter().map(|[field, kind]| (db.clone(), series.name.clone(), field, kind)));
            }
        }
        Ok::<_, String>(fields)
    };
    group.replicas.iter().find_map(|replica| of(replica).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{self, RuleSpec};

    fn topology(slots: &str, rules: &[RuleSpec]) -> Topology {
        let replica = |name: &str| format!(r#"[{{"name": "{name}", "url": "http://h:1"}}]"#);
        let (rules, a, b) = (serde_json::to_string(rules).expect("JSON"), replica("a"), replica("b"));
        let groups = format!(r#"[{{"id": 1, "replicas": {a}}}, {{"id": 2, "replicas": {b}}}]"#);
        let text = format!(r#"{{"epoch": 1, "groups": {groups}, "slots": {slots}, "rules": {rules}}}"#);
        topology::parse(text.as_bytes()).expect("a sound topology")
    }

    const HALVES: &str = r#"[{"from": 0, "to": 511, "group": 1}, {"from": 512, "to": 1023, "group": 2}]"#;
    const ALL: &str = r#"[{"from": 0, "to": 1023, "group": 2}]"#;

    fn holding(group: GroupId, kept: Kept) -> Holding {
        Holding { group, db: "telegraf".to_owned(), measurement: "cpu".to_owned(), kept }
    }

    fn hidden(holding: Holding, before: &Topology, after: &Topology) -> Vec<String> {
        let stored = Stored { holdings: vec![holding], ..Stored::default() };
        stored.hidden(before, after).iter().map(ToString::to_string).collect()
    }

    /// `telegraf cpu` is slot 261, of host web-1 916, of none 219.
    #[test]
    fn what_lies_with_its_owner_must_stay_with_it() {
        let by_host = [RuleSpec { db: "*".into(), measurement: "cpu".into(), tags: vec!["host".into()] }];
        let (halves, all) = (topology(HALVES, &[]), topology(ALL, &[]));
        let split = topology(HALVES, &by_host);
        assert_eq!(hidden(holding(1, Kept::Whole), &halves, &all), ["telegraf.cpu on group 1"]);
        assert_eq!(hidden(holding(1, Kept::Whole), &halves, &halves), [""; 0]);
        // It was out of reach before.
        assert_eq!(hidden(holding(2, Kept::Whole), &halves, &all), [""; 0]);
        let keys = || Kept::Series(["cpu,host=web-1", "cpu", "cpu,host=web-1,x=y"].map(str::to_owned).into());
        assert_eq!(hidden(holding(1, keys()), &halves, &split), ["telegraf.cpu: 2 series on group 1"]);
        assert_eq!(hidden(holding(1, keys()), &split, &topology(ALL, &by_host)), ["telegraf.cpu: 1 series on group 1"]);
        assert_eq!(hidden(holding(2, keys()), &split, &topology(ALL, &by_host)), [""; 0]);
        let maybe = "telegraf.cpu on group 1, maybe: more than 200000 series are not looked at";
        assert_eq!(hidden(holding(1, Kept::TooMany), &halves, &split), [maybe]);
        assert_eq!(hidden(holding(1, Kept::TooMany), &split, &split), [""; 0]);
        assert_eq!(concerned(&halves, &all), [1]);
        assert_eq!(concerned(&halves, &split), [1, 2]);
        let stored = Stored { holdings: vec![holding(2, keys())], ..Stored::default() };
        let slots = stored.slots(&split);
        let full: Vec<usize> = (0..SLOTS).filter(|slot| slots[*slot]).collect();
        assert_eq!(full, [916]);
    }
}
