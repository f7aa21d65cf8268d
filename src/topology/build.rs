//! Building a topology from what an operator wrote (`config.toml` or the znode), and every check on it.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Address, Group, GroupId, GroupIndex, MeasurementPattern, Replica, ReplicaState, Rule, SLOTS, Topology};

/// A topology as written, unchecked: the znode's document without its epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    pub groups: Vec<GroupSpec>,
    pub slots: Vec<SlotsSpec>,
    #[serde(default)]
    pub rules: Vec<RuleSpec>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSpec {
    pub id: GroupId,
    pub replicas: Vec<ReplicaSpec>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaSpec {
    pub name: String,
    pub url: String,
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    pub password: String,
    #[serde(default = "serving")]
    pub state: String,
}

/// Slots `from` to `to`, both included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotsSpec {
    pub from: usize,
    pub to: usize,
    pub group: GroupId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    pub db: String,
    pub measurement: String,
    #[serde(default)]
    pub tags: Vec<String>,
}

fn serving() -> String {
    "serving".to_owned()
}

impl std::fmt::Debug for ReplicaSpec {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplicaSpec").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}

/// One fault of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecFault {
    pub place: Place,
    /// Names its object and says what is wrong.
    pub text: String,
}

impl SpecFault {
    /// As in `groups[2].replicas[0]: …`.
    pub fn with_place(&self) -> String {
        match self.place {
            Place::Whole => self.text.clone(),
            place => format!("{place}: {}", self.text),
        }
    }
}

/// Where a fault lies: indexes into the spec's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Whole,
    Group(usize),
    Replica(usize, usize),
    Slots(usize),
    Rule(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Whole => f.write_str("the whole"),
            Place::Group(at) => write!(f, "groups[{at}]"),
            Place::Replica(group, at) => write!(f, "groups[{group}].replicas[{at}]"),
            Place::Slots(at) => write!(f, "slots[{at}]"),
            Place::Rule(at) => write!(f, "rules[{at}]"),
        }
    }
}

/// The slots that `n` groups get when nobody says otherwise: the i-th gets `floor(1024*i/n)` to the next one's start.
pub fn evenly(groups: &[GroupId]) -> Vec<SlotsSpec> {
    let n = groups.len();
    let start = |i: usize| SLOTS * i / n;
    let ranges = groups.iter().enumerate().map(|(i, &group)| (start(i), start(i + 1), group));
    // With more groups than slots some get none.
    ranges
        .filter(|(from, end, _)| from < end)
        .map(|(from, end, group)| SlotsSpec { from, to: end - 1, group })
        .collect()
}

impl Spec {
    /// The topology, or every fault, each naming its object.
    pub fn build(self, epoch: u64) -> Result<Topology, Vec<SpecFault>> {
        let mut faults = Faults(Vec::new());
        let groups = build_groups(&self.groups, &mut faults);
        let slots = build_slots(&self.slots, &groups, &mut faults);
        let rules = build_rules(&self.rules, &mut faults);
        if !faults.0.is_empty() {
            return Err(faults.0);
        }
        Ok(Topology { epoch, groups, slots, rules, spec: self })
    }
}

struct Faults(Vec<SpecFault>);

impl Faults {
    fn add(&mut self, place: Place, text: String) {
        self.0.push(SpecFault { place, text });
    }
}

fn build_groups(specs: &[GroupSpec], faults: &mut Faults) -> Vec<Group> {
    if specs.is_empty() {
        faults.add(Place::Whole, "no groups: a topology needs at least one [[group]]".to_owned());
    }
    if specs.len() > usize::from(GroupIndex::MAX) {
        faults.add(Place::Whole, format!("{} groups; at most {} can be named", specs.len(), GroupIndex::MAX));
    }
    let mut ids = HashSet::new();
    let mut names = HashSet::new();
    let mut groups = Vec::new();
    for (i, group) in specs.iter().enumerate() {
        if !ids.insert(group.id) {
            faults.add(Place::Group(i), format!("group {} is written twice", group.id));
        }
        if group.replicas.is_empty() {
            faults.add(Place::Group(i), format!("group {} has no replicas", group.id));
        }
        let mut replicas = Vec::new();
        for (j, replica) in group.replicas.iter().enumerate() {
            if !names.insert(&replica.name) {
                faults.add(Place::Replica(i, j), format!("replica {:?} is written twice", replica.name));
            }
            match build_replica(replica) {
                Ok(replica) => replicas.push(replica),
                Err(texts) => texts.into_iter().for_each(|text| faults.add(Place::Replica(i, j), text)),
            }
        }
        groups.push(Group { id: group.id, replicas });
    }
    groups
}

/// The replica, or every fault of it.
fn build_replica(spec: &ReplicaSpec) -> Result<Replica, Vec<String>> {
    let mut faults = Vec::new();
    if spec.name.is_empty() || !spec.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        faults.push("a name is made of letters, digits, '-', '_' and '.'".to_owned());
    }
    if spec.username.is_empty() != spec.password.is_empty() {
        faults.push("username and password go together".to_owned());
    }
    if spec.username.contains(':') {
        faults.push("a username with ':' cannot be sent to InfluxDB".to_owned());
    }
    let state = match spec.state.as_str() {
        "serving" => Some(ReplicaState::Serving),
        "joining" => Some(ReplicaState::Joining),
        other => {
            faults.push(format!("state {other:?} is neither \"serving\" nor \"joining\""));
            None
        }
    };
    let address = parse_url(&spec.url).map_err(|fault| faults.push(fault)).ok();
    match (state, address) {
        (Some(state), Some(address)) if faults.is_empty() => Ok(Replica {
            name: spec.name.clone(),
            url: spec.url.trim_end_matches('/').to_owned(),
            address,
            username: spec.username.clone(),
            password: spec.password.clone(),
            state,
        }),
        _ => Err(faults.into_iter().map(|fault| format!("replica {:?}: {fault}", spec.name)).collect()),
    }
}

/// Reads `http://host:port`, the port 8086 when absent.
fn parse_url(url: &str) -> Result<Address, String> {
    // First, lest another fault tells the password.
    if let Some((_, place)) = url.rsplit_once('@') {
        return Err(format!("url of {place}: put credentials into username and password"));
    }
    if url.starts_with("https://") {
        return Err(format!("url {url:?}: https to replicas is not supported; use http://"));
    }
    let fault = || format!("url {url:?} is not of the form http://host:port");
    let authority = url.strip_prefix("http://").ok_or_else(fault)?.trim_end_matches('/');
    let authority: http::uri::Authority = authority.parse().map_err(|_| fault())?;
    let port = match authority.as_str().strip_prefix(authority.host()).unwrap_or_default() {
        "" => 8086,
        port => port[1..].parse().ok().filter(|port| *port > 0).ok_or_else(fault)?,
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() { Err(fault()) } else { Ok(Address { host, port }) }
}

fn build_slots(specs: &[SlotsSpec], groups: &[Group], faults: &mut Faults) -> Box<[GroupIndex; SLOTS]> {
    let mut owners = Box::new([None; SLOTS]);
    for (i, spec) in specs.iter().enumerate() {
        let SlotsSpec { from, to, group } = *spec;
        let place = Place::Slots(i);
        if from > to || to >= SLOTS {
            faults.add(place, format!("slots {from} to {to}: a range lies within 0 to {} and runs upwards", SLOTS - 1));
            continue;
        }
        let Some(index) = groups.iter().position(|known| known.id == group) else {
            faults.add(place, format!("slots {from} to {to}: there is no group {group}"));
            continue;
        };
        let taken: Vec<usize> = (from..=to).filter(|&slot| owners[slot].is_some()).collect();
        if !taken.is_empty() {
            let text = format!("slots {} belong to two groups, group {group} being the second", ranges(&taken));
            faults.add(place, text);
        }
        owners[from..=to].fill(Some(index as GroupIndex));
    }
    let nobodys: Vec<usize> = (0..SLOTS).filter(|&slot| owners[slot].is_none()).collect();
    // Without groups, or with bad ranges, this would only repeat the fault.
    if !nobodys.is_empty() && faults.0.is_empty() {
        faults.add(Place::Whole, format!("slots {} belong to no group", ranges(&nobodys)));
    }
    Box::new(owners.map(Option::unwrap_or_default))
}

/// `0-3, 8` for sorted numbers.
pub(super) fn ranges(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == number => *end = number,
            _ => runs.push((number, number)),
        }
    }
    let text = |(from, to): (usize, usize)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    runs.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

fn build_rules(specs: &[RuleSpec], faults: &mut Faults) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (i, spec) in specs.iter().enumerate() {
        let name = format!("rule {} ({} {})", i + 1, spec.db, spec.measurement);
        let place = Place::Rule(i);
        if spec.db.is_empty() {
            faults.add(place, format!("{name}: db is empty; \"*\" means any"));
        }
        let distinct: HashSet<&String> = spec.tags.iter().collect();
        if distinct.len() != spec.tags.len() || spec.tags.iter().any(String::is_empty) {
            faults.add(place, format!("{name}: tags must be different names"));
        }
        match MeasurementPattern::parse(&spec.measurement) {
            Ok(measurement) => {
                let db = (spec.db != "*").then(|| spec.db.clone());
                rules.push(Rule { db, measurement, tags: spec.tags.clone() });
            }
            Err(fault) => faults.add(place, format!("{name}: {fault}")),
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: GroupId, names: &[&str]) -> GroupSpec {
        let replica = |name: &&str| ReplicaSpec {
            name: (*name).to_owned(),
            url: "http://127.0.0.1:8086".to_owned(),
            username: String::new(),
            password: String::new(),
            state: serving(),
        };
        GroupSpec { id, replicas: names.iter().map(replica).collect() }
    }

    fn spec(groups: Vec<GroupSpec>, slots: Vec<SlotsSpec>) -> Spec {
        Spec { groups, slots, rules: Vec::new() }
    }

    #[test]
    fn slots_are_shared_out_as_the_contract_says() {
        let ranges: Vec<_> = evenly(&[7, 8, 9]).iter().map(|s| (s.from, s.to, s.group)).collect();
        assert_eq!(ranges, [(0, 340, 7), (341, 681, 8), (682, 1023, 9)]);
        assert_eq!(evenly(&(0..2000).collect::<Vec<_>>()).len(), SLOTS);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let slots = vec![
            SlotsSpec { from: 0, to: 600, group: 1 },
            SlotsSpec { from: 600, to: 1023, group: 2 },
            SlotsSpec { from: 5, to: 2000, group: 1 },
            SlotsSpec { from: 5, to: 6, group: 9 },
        ];
        let mut bad = spec(vec![group(1, &["a"]), group(2, &["a"]), group(2, &[])], slots);
        bad.rules.push(RuleSpec { db: "*".into(), measurement: "/(/".into(), tags: vec!["h".into(), "h".into()] });
        let faults = bad.build(1).expect_err("it has faults");
        let text = faults.iter().map(|fault| fault.text.as_str()).collect::<Vec<_>>().join("\n");
        for part in [
            "replica \"a\" is written twice",
            "group 2 is written twice",
            "group 2 has no replicas",
            "slots 600 belong to two groups",
            "slots 5 to 2000",
            "there is no group 9",
            "tags must be different",
            "bad regex",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn slots_without_an_owner_are_a_fault() {
        let hole = vec![SlotsSpec { from: 0, to: 99, group: 1 }, SlotsSpec { from: 101, to: 1023, group: 1 }];
        let fault = SpecFault { place: Place::Whole, text: "slots 100 belong to no group".to_owned() };
        assert_eq!(spec(vec![group(1, &["a"])], hole).build(1).unwrap_err(), [fault]);
    }

    #[test]
    fn urls() {
        let parsed = |url| parse_url(url).map(|a| (a.host, a.port)).ok();
        assert_eq!(parsed("http://h:1"), Some(("h".to_owned(), 1)));
        assert_eq!(parsed("http://h/"), Some(("h".to_owned(), 8086)));
        assert_eq!(parsed("http://[::1]:9"), Some(("::1".to_owned(), 9)));
        for bad in ["h:1", "https://h:1", "http://", "http://u:p@h:1", "http://h:x", "http://h:99999", "http://h:0"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
        for bad in ["http://u:p@ss@h:1", "https://u:p@ss@h:1", "u:p@ss@h"] {
            let fault = parse_url(bad).expect_err("credentials stand elsewhere");
            assert!(fault.starts_with("url of h") && !fault.contains("p@ss"), "{fault}");
        }
    }
}
