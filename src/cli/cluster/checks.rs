//! What stands against a change of the topology, whichever command makes it: stored points that nobody would find, groups
//! that nobody could read, replicas that would be read though they lack points, points in spools whose replica goes,
//! credentials that a server does not take, one server under two names, and proxies that may not hear of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::control::Store;
use crate::topology::{Backlogs, Group, GroupId, Replica, ReplicaState, Topology, changes_that_hide_data};

use super::plan::{Objection, Plan};
use super::proxies::Proxy;
use super::{Failure, Place, history, influx, stored};

/// What waits for a moment only is no objection.
const BACKLOG_GRACE: Duration = Duration::from_secs(1);
const BACKLOG_POLL: Duration = Duration::from_millis(100);

/// Both sides of a change, and what ZooKeeper says of the spools.
pub struct Checks<'a> {
    pub now: &'a Topology,
    pub after: &'a Topology,
    /// By replica, also those that no topology names.
    pub waiting: Backlogs,
    /// A replica that the command itself holds against its peers before it serves.
    pub compared: Option<&'a str>,
}

/// Who holds points for whom.
fn waiting(store: &mut dyn Store, place: &Place) -> Result<Backlogs, Failure> {
    let folder = place.znodes.backlog();
    let mut waiting = Backlogs::new();
    for replica in store.children(&folder).map_err(Failure::new)? {
        let holders = store.children(&format!("{folder}/{replica}")).map_err(Failure::new)?;
        // Its last holder leaves an empty folder behind when another one comes at that moment.
        if !holders.is_empty() {
            waiting.insert(replica, holders);
        }
    }
    Ok(waiting)
}

impl<'a> Checks<'a> {
    /// Reads what waits; what is gone within a moment is none.
    pub fn begin(
        store: &mut dyn Store,
        place: &Place,
        (now, after): (&'a Topology, &'a Topology),
        compared: Option<&'a str>,
    ) -> Result<Checks<'a>, Failure> {
        let began = Instant::now();
        loop {
            let waiting = waiting(store, place)?;
            if waiting.is_empty() || began.elapsed() >= BACKLOG_GRACE {
                return Ok(Checks { now, after, waiting, compared });
            }
            std::thread::sleep(BACKLOG_POLL);
        }
    }

    /// Puts into the plan all that is found.
    pub fn look(&self, store: &mut dyn Store, place: &Place, plan: &mut Plan) -> Result<(), Failure> {
        self.data(plan);
        self.readers(plan);
        self.newly_read(plan);
        self.who_goes(plan);
        self.who_comes(store, place, plan)?;
        self.credentials(plan);
        self.twins(plan);
        Ok(())
    }

    /// What stored data would be out of reach.
    fn data(&self, plan: &mut Plan) {
        let groups = stored::concerned(self.now, self.after);
        let found = stored::look(&groups, self.now, self.after);
        plan.unreachable.extend(found.hidden(self.now, self.after).iter().map(ToString::to_string));
        let rules = self.now.spec().rules != self.after.spec().rules;
        plan.instead = if rules { INSTEAD_OF_RULING } else { INSTEAD_OF_MOVING }.to_owned();
        for group in self.now.groups().iter().filter(|group| found.told.contains_key(&group.id)) {
            let told = &found.told[&group.id];
            if !told.iter().any(|name| !self.waiting.contains_key(name)) {
                let what = format!("what is stored is not all known: {}", self.incomplete(group, told));
                plan.objections.push(Objection::new(what, INSTEAD_OF_INCOMPLETE));
            }
        }
        for unknown in found.unknown {
            let what = format!("what is stored cannot be found out: {unknown}");
            plan.objections.push(Objection::new(what, "bring a replica of the group back first"));
        }
    }

    fn incomplete(&self, group: &Group, told: &[String]) -> String {
        let silent = serving(group).filter(|replica| !told.contains(&replica.name));
        let silent: Vec<&str> = silent.map(|replica| replica.name.as_str()).collect();
        let silent = if silent.is_empty() { String::new() } else { format!(", {} cannot be asked", silent.join(", ")) };
        format!("of group {}, {} has still to take points from spools{silent}", group.id, told.join(", "))
    }

    /// Whether every group can be read as before.
    fn readers(&self, plan: &mut Plan) {
        for (index, group) in self.after.group_indexes().zip(self.after.groups()) {
            let was = self.now.groups().iter().find(|was| was.id == group.id);
            let old: Vec<&Replica> = was.into_iter().flat_map(serving).collect();
            let new: Vec<&Replica> = serving(group).collect();
            let id = group.id;
            let instead = format!(
                "`groups add-replica {id} NAME=URL`, restore its data, `groups serve NAME`, and only then let the old one \
                 go"
            );
            let owns = !self.after.slots_of(index).is_empty();
            let same = |one: &Replica, two: &&Replica| one.url == two.url;
            let stay: Vec<&Replica> = new.iter().copied().filter(|new| old.iter().any(|old| same(old, new))).collect();
            let what = if new.is_empty() && (!old.is_empty() || (owns && !self.owned(id))) {
                format!("group {id} would have no serving replica: nothing of it could be read")
            } else if old.is_empty() || stay.len() == old.len() {
                continue;
            } else if stay.is_empty() {
                format!("no server that group {id} is read from would stay: what they hold is out of reach")
            } else {
                let lacks: Vec<String> = stay.iter().filter_map(|replica| self.unfit(replica)).collect();
                if lacks.len() < stay.len() {
                    continue;
                }
                format!("no server of group {id} that would stay has all of its points: {}", lacks.join("; "))
            };
            plan.objections.push(Objection::new(what, instead));
        }
    }

    fn owned(&self, id: GroupId) -> bool {
        let mut own = self.now.group_indexes().filter(|index| self.now.group(*index).id == id);
        own.any(|index| !self.now.slots_of(index).is_empty())
    }

    /// Why a serving replica cannot stand alone for its group.
    fn unfit(&self, replica: &Replica) -> Option<String> {
        let name = &replica.name;
        if self.waiting.contains_key(name) {
            return Some(format!("{name} has still to take points from spools"));
        }
        stored::databases(replica).err().map(|error| format!("{name} cannot be asked: {error}"))
    }

    /// A replica is read once it was held against its peers, not because a document says so.
    fn newly_read(&self, plan: &mut Plan) {
        for group in self.after.groups() {
            let Some(was) = self.now.groups().iter().find(|was| was.id == group.id) else { continue };
            // Under another name it is still the same server.
            let read = |new: &Replica| serving(was).any(|old| old.url == new.url);
            for new in serving(group).filter(|new| !read(new) && self.compared != Some(&new.name)) {
                let (name, url, id) = (&new.name, &new.url, group.id);
                let what = format!("{name} ({url}) would be read at once, whatever it lacks of what group {id} holds");
                let instead = format!(
                    "let it join (state = \"joining\" in a file, or `groups add-replica {id} {name}={url}`), restore its \
                     data, then `groups serve {name}`"
                );
                plan.objections.push(Objection::new(what, instead));
            }
        }
    }

    /// What waits for a replica that goes stays where it is.
    fn who_goes(&self, plan: &mut Plan) {
        let stays = |name: &str| self.after.replicas().any(|replica| replica.name == name);
        for group in self.now.groups() {
            let left = self.after.groups().iter().find(|left| left.id == group.id);
            for replica in group.replicas.iter().filter(|replica| !stays(&replica.name)) {
                let name = &replica.name;
                let Some(holders) = self.waiting.get(name) else { continue };
                let hold = format!("spools of {} hold points for {name}", proxies_text(holders));
                let way = format!("`slotline spool move {name} NAME` or `slotline spool drop {name}`");
                // Its server, under another name, would still want them.
                let left = left.filter(|left| left.replicas.iter().all(|new| new.url != replica.url));
                match left {
                    Some(_) => plan.notes.push(format!("{hold}, which its peers take as well; they stay there: {way}")),
                    None => plan.objections.push(Objection::new(
                        format!("{hold}: nobody would take them"),
                        format!("wait until `slotline status` shows none, or use {way} on these proxies afterwards"),
                    )),
                }
            }
        }
    }

    /// A new replica gets what still waits for an earlier one of its name.
    fn who_comes(&self, store: &mut dyn Store, place: &Place, plan: &mut Plan) -> Result<(), Failure> {
        let known = |name: &str| self.now.replicas().any(|replica| replica.name == name);
        for group in self.after.groups() {
            for replica in group.replicas.iter().filter(|replica| !known(&replica.name)) {
                let name = &replica.name;
                let Some(holders) = self.waiting.get(name) else { continue };
                let hold = format!("spools of {} hold points for an earlier {name}", proxies_text(holders));
                match last_group(store, place, name)? {
                    Some(last) if last == group.id => plan.notes.push(format!("{hold}: the new one gets them")),
                    last => {
                        let whose = last.map_or("a group that is not known".to_owned(), |id| format!("group {id}"));
                        plan.objections.push(Objection::new(
                            format!("{hold} of {whose}: the new one would get them"),
                            format!("take another name, or `slotline spool drop {name}` on these proxies first"),
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// A rollback brings old passwords back as well.
    fn credentials(&self, plan: &mut Plan) {
        for new in self.after.replicas() {
            let same = |old: &Replica| old.name == new.name && old.url == new.url;
            let Some(old) = self.now.replicas().find(|old| same(old)) else { continue };
            if (&old.username, &old.password) == (&new.username, &new.password) {
                continue;
            }
            if let Err(error) = stored::databases(new) {
                let what = format!("{} ({}) cannot be asked with its other credentials: {error}", new.name, new.url);
                plan.objections
                    .push(Objection::new(what, "give the ones that it takes (`topology push --config FILE`)"));
            }
        }
    }

    /// A proxy that is only cut off goes on by what it heard last: it writes to where slots were.
    pub fn absent(&self, gone: &[Proxy], plan: &mut Plan) {
        let moves = !changes_that_hide_data(self.now, self.after).is_empty();
        for proxy in gone {
            let (name, id) = (proxy.name(), &proxy.id);
            let what =
                format!("proxy {name} (id {id}) is gone: if it still runs, it goes on by the topology that it has");
            let instead = format!("bring it back, or make sure that it does not run: `slotline proxies --forget {id}`");
            match moves {
                true => plan.objections.push(Objection::new(what, instead)),
                false => plan.notes.push(format!("{what}; {instead}")),
            }
        }
    }

    /// One server as two replicas: each point twice in a group, or two groups in one server.
    fn twins(&self, plan: &mut Plan) {
        let before: BTreeSet<BTreeSet<&str>> = twins(self.now).into_values().filter(|names| names.len() > 1).collect();
        for (url, names) in twins(self.after) {
            if names.len() > 1 && !before.contains(&names) {
                let names: Vec<&str> = names.into_iter().collect();
                let what = format!("{} would be one server, {url}", names.join(" and "));
                plan.objections.push(Objection::new(what, "give each replica a server of its own"));
            }
        }
    }
}

/// Names by address.
fn twins(topology: &Topology) -> BTreeMap<String, BTreeSet<&str>> {
    let mut names: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for replica in topology.replicas() {
        names.entry(influx::authority(replica)).or_default().insert(&replica.name);
    }
    names
}

fn serving(group: &Group) -> impl Iterator<Item = &Replica> {
    group.replicas.iter().filter(|replica| replica.state == ReplicaState::Serving)
}

fn proxies_text(holders: &[String]) -> String {
    match holders {
        [one] => format!("one proxy ({one})"),
        all => format!("{} proxies", all.len()),
    }
}

/// The group in which a replica of this name was last.
fn last_group(store: &mut dyn Store, place: &Place, name: &str) -> Result<Option<GroupId>, Failure> {
    let epochs = history::epochs(store, &place.znodes).map_err(Failure::new)?;
    for epoch in epochs.into_iter().rev() {
        let note = history::read(store, &place.znodes, epoch).map_err(Failure::new)?;
        let Some(topology) = note.and_then(|note| note.topology) else { continue };
        let has = |group: &&Group| group.replicas.iter().any(|replica| replica.name == name);
        if let Some(group) = topology.groups().iter().find(has) {
            return Ok(Some(group.id));
        }
    }
    Ok(None)
}

const INSTEAD_OF_MOVING: &str = "move slots that hold nothing (`slots spread --empty`), and leave those that hold data with \
    their group; or stop their writes, copy their points to the new group, and do it with --force";
const INSTEAD_OF_RULING: &str = "leave the rules of measurements that hold data, and make rules for those to come; or write \
    their points anew through slotline after it was done with --force";
const INSTEAD_OF_INCOMPLETE: &str =
    "wait until `slotline status` shows no backlog for one that answers, or bring the others back";
