//! Servers that a change brings into use: they get the databases, policies and users of the others before a slot names
//! them, and are looked at again behind it.

use crate::topology::{Group, Replica, ReplicaState, Topology};

use super::checks::Checks;
use super::metrics::{PROXY_TIMEOUT, figures};
use super::plan::{Objection, Plan};
use super::schema::{self, Passwords, Schema};
use super::{Failure, influx, stored};

/// Those servers, and what they must have.
pub struct Newcomers {
    replicas: Vec<Replica>,
    wanted: Schema,
}

impl Newcomers {
    /// Puts into the plan what they lack.
    pub fn find(checks: &Checks<'_>, passwords: &Passwords, plan: &mut Plan) -> Option<Newcomers> {
        let Checks { now, after, .. } = *checks;
        let owns = |topology: &Topology, id| {
            let mut own = topology.group_indexes().filter(|index| topology.group(*index).id == id);
            own.any(|index| !topology.slots_of(index).is_empty())
        };
        let known = |replica: &Replica| now.replicas().any(|old| old.name == replica.name && old.url == replica.url);
        let (mut replicas, mut silent) = (Vec::new(), Vec::new());
        for group in after.groups() {
            let comes_to_own = owns(after, group.id) && !owns(now, group.id);
            let new = group.replicas.iter().filter(|replica| comes_to_own || !known(replica));
            replicas.extend(new.cloned());
            if now.groups().iter().all(|old| old.id != group.id) {
                group.replicas.iter().for_each(|replica| silent.extend(must_be_empty(replica, plan)));
            }
        }
        if replicas.is_empty() {
            return None;
        }
        let (source, wanted) = source(checks, &replicas, plan)?;
        compare_groups(now, &source, &wanted, &replicas, plan);
        for replica in &replicas {
            if is_slotline(replica) {
                let what = format!("{} ({}) is a slotline, not an InfluxDB", replica.name, replica.url);
                plan.objections.push(Objection::new(what, "name an InfluxDB by its own URL"));
                continue;
            }
            match schema::read(replica) {
                Ok(there) => {
                    // One that does not answer at all is told of once.
                    for (_, error) in silent.iter().filter(|(name, _)| *name == replica.name) {
                        let what = format!("what it holds cannot be found out: {error}");
                        plan.objections.push(Objection::new(what, "take an empty server that answers"));
                    }
                    plan_copy(&source, &wanted, replica, &there, passwords, plan);
                    has_more(&source, &wanted, replica, &there, plan);
                }
                Err(error) => {
                    let what = format!("{} ({}) cannot be asked: {error}", replica.name, replica.url);
                    plan.objections.push(Objection::new(what, "start it first"));
                }
            }
        }
        Some(Newcomers { replicas, wanted })
    }

    /// Databases and users that were made since the plan are copied too; what is lacking then, in words.
    pub fn copy_again(&self, now: &Topology, passwords: &Passwords) -> Vec<String> {
        let mut late = Vec::new();
        let Some(wanted) = sources(now, &self.replicas).find_map(|replica| schema::read(replica).ok()) else {
            return vec!["no serving replica tells again which databases there are".to_owned()];
        };
        for replica in &self.replicas {
            match schema::copy(&wanted, replica, passwords) {
                Ok(lacks) => late.extend(lacks.iter().map(|lack| format!("{} lacks: {lack}", replica.name))),
                Err(error) => late.push(format!("{} was not looked at again: {error}", replica.name)),
            }
        }
        late
    }

    /// Copies and verifies. Forced, a server that cannot be reached is left out.
    pub fn copy(&self, passwords: &Passwords, force: bool) -> Result<(), Failure> {
        for replica in &self.replicas {
            let done = match schema::copy(&self.wanted, replica, passwords) {
                Ok(lacks) if lacks.is_empty() => Ok(()),
                Ok(lacks) => Err(format!("it still lacks: {}", lacks.join("; "))),
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                let text = format!("{} ({}): {error}", replica.name, replica.url);
                if !force {
                    return Err(Failure::new(format!("nothing was changed in ZooKeeper: {text}")));
                }
                eprintln!("slotline: {text}");
            }
        }
        Ok(())
    }
}

/// Who tells what all have, and that: the first that answers of those that have taken all statements.
fn source(checks: &Checks<'_>, new: &[Replica], plan: &mut Plan) -> Option<(Replica, Schema)> {
    let mut sources: Vec<&Replica> = sources(checks.now, new).collect();
    sources.sort_by_key(|replica| checks.waiting.contains_key(&replica.name));
    let mut reasons = Vec::new();
    for replica in sources {
        match schema::read(replica) {
            Ok(wanted) => {
                let name = &replica.name;
                if checks.waiting.contains_key(name) {
                    let what =
                        format!("{name} tells which databases there are, and has still to take what waits in spools");
                    plan.objections.push(Objection::new(what, "wait until `slotline status` shows none for it"));
                }
                return Some((replica.clone(), wanted));
            }
            Err(error) => reasons.push(format!("{}: {error}", replica.name)),
        }
    }
    let what = format!("no serving replica tells which databases there are ({})", reasons.join("; "));
    plan.objections.push(Objection::new(what, "bring one back first"));
    None
}

/// One replica of each other group should have the same as the source.
fn compare_groups(now: &Topology, source: &Replica, wanted: &Schema, new: &[Replica], plan: &mut Plan) {
    let has_source = |group: &&Group| group.replicas.iter().any(|replica| replica.name == source.name);
    for group in now.groups().iter().filter(|group| !has_source(group)) {
        let mut peers = sources(now, new).filter(|peer| group.replicas.iter().any(|own| own.name == peer.name));
        let Some((peer, there)) = peers.find_map(|peer| Some((peer, schema::read(peer).ok()?))) else { continue };
        let steps = schema::steps(wanted, &there, &Passwords::new());
        let mut differ: Vec<String> =
            steps.without_password.iter().map(|user| format!("it lacks user {user}")).collect();
        differ.extend(steps.statements.into_iter().map(|step| format!("it lacks: {}", step.told)));
        differ
            .extend(schema::extras(wanted, &there, &peer.username).iter().map(|more| format!("it has {more} besides")));
        if !differ.is_empty() {
            let (peer, source) = (&peer.name, &source.name);
            plan.notes.push(format!("{peer} is not like {source}, whose databases are copied: {}", differ.join("; ")));
        }
    }
}

/// What nobody else has would turn up in answers, and let in who nobody else lets in.
fn has_more(source: &Replica, wanted: &Schema, replica: &Replica, there: &Schema, plan: &mut Plan) {
    let extras = schema::extras(wanted, there, &replica.username);
    if !extras.is_empty() {
        let what = format!("{} has what {} has not: {}", replica.name, source.name, extras.join(", "));
        plan.objections.push(Objection::new(what, "drop it on that server itself, or take an empty server"));
    }
}

/// Serving replicas that have what all have.
fn sources<'a>(now: &'a Topology, new: &'a [Replica]) -> impl Iterator<Item = &'a Replica> {
    let is_new = |replica: &&Replica| new.iter().any(|new| new.name == replica.name);
    now.replicas().filter(move |replica| replica.state == ReplicaState::Serving && !is_new(replica))
}

fn plan_copy(
    source: &Replica,
    wanted: &Schema,
    replica: &Replica,
    there: &Schema,
    passwords: &Passwords,
    plan: &mut Plan,
) {
    let steps = schema::steps(wanted, there, passwords);
    plan.copies.extend(steps.statements.iter().map(|step| format!("{}: {}", replica.name, step.told)));
    if !steps.without_password.is_empty() {
        let (users, name, source) = (steps.without_password.join(", "), &replica.name, &source.name);
        let what = format!("{name} lacks users that {source} has: {users}; InfluxDB does not tell their passwords");
        let instead = format!(
            "--users FILE with lines of NAME:PASSWORD makes them, or make them yourself at {} (CREATE USER … WITH \
             PASSWORD …); their rights are copied then. --force goes on without them",
            replica.url
        );
        plan.objections.push(Objection::new(what, instead));
    }
}

/// A proxy that forwards to itself, or to another one that forwards to it, would never end.
fn is_slotline(replica: &Replica) -> bool {
    let metrics = influx::get(&influx::authority(replica), "/metrics", PROXY_TIMEOUT);
    metrics.is_ok_and(|text| figures(&text).any(|figure| figure.name.starts_with("slotline_")))
}

/// What a new group's server holds already would turn up in answers. Its name and why, if it does not tell.
fn must_be_empty<'a>(replica: &'a Replica, plan: &mut Plan) -> Option<(&'a str, String)> {
    let name = replica.name.as_str();
    let found = match stored::measurements(replica) {
        Ok(found) => found,
        Err(error) => return Some((name, error)),
    };
    let first = found.first()?;
    let count = found.len();
    let what = format!("{name} is not empty ({count} measurements, {first} among them): they would turn up in answers");
    plan.objections.push(Objection::new(what, "take an empty server"));
    None
}
