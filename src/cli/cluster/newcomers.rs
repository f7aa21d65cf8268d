//! Servers that a change brings into use: they get the databases, policies and users of the others before a slot names
//! them, and are looked at again behind it.

use crate::topology::{Replica, ReplicaState, Topology};

use super::plan::{Objection, Plan};
use super::schema::{self, Passwords, Schema};
use super::{Failure, stored};

/// Those servers, and what they must have.
pub struct Newcomers {
    replicas: Vec<Replica>,
    wanted: Schema,
}

impl Newcomers {
    /// Puts into the plan what they lack.
    pub fn find(now: &Topology, after: &Topology, passwords: &Passwords, plan: &mut Plan) -> Option<Newcomers> {
        let owns = |topology: &Topology, id| {
            let mut own = topology.group_indexes().filter(|index| topology.group(*index).id == id);
            own.any(|index| !topology.slots_of(index).is_empty())
        };
        let known = |replica: &Replica| now.replicas().any(|old| old.name == replica.name && old.url == replica.url);
        let mut replicas = Vec::new();
        for group in after.groups() {
            let comes_to_own = owns(after, group.id) && !owns(now, group.id);
            let new = group.replicas.iter().filter(|replica| comes_to_own || !known(replica));
            replicas.extend(new.cloned());
            if now.groups().iter().all(|old| old.id != group.id) {
                group.replicas.iter().for_each(|replica| must_be_empty(replica, plan));
            }
        }
        if replicas.is_empty() {
            return None;
        }
        let mut reasons = Vec::new();
        let mut source = None;
        for replica in sources(now, &replicas) {
            match schema::read(replica) {
                Ok(wanted) => {
                    source = Some((replica.name.clone(), wanted));
                    break;
                }
                Err(error) => reasons.push(format!("{}: {error}", replica.name)),
            }
        }
        let Some((source, wanted)) = source else {
            let what = format!("no serving replica tells which databases there are ({})", reasons.join("; "));
            plan.objections.push(Objection::new(what, "bring one back first"));
            return None;
        };
        for replica in &replicas {
            match schema::read(replica) {
                Ok(there) => plan_copy(&source, &wanted, replica, &there, passwords, plan),
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

/// Serving replicas that have what all have.
fn sources<'a>(now: &'a Topology, new: &'a [Replica]) -> impl Iterator<Item = &'a Replica> {
    let is_new = |replica: &&Replica| new.iter().any(|new| new.name == replica.name);
    now.replicas().filter(move |replica| replica.state == ReplicaState::Serving && !is_new(replica))
}

fn plan_copy(source: &str, wanted: &Schema, replica: &Replica, there: &Schema, passwords: &Passwords, plan: &mut Plan) {
    let steps = schema::steps(wanted, there, passwords);
    plan.copies.extend(steps.statements.iter().map(|step| format!("{}: {}", replica.name, step.told)));
    if !steps.without_password.is_empty() {
        let (users, name) = (steps.without_password.join(", "), &replica.name);
        let what = format!("{name} lacks users that {source} has: {users}; InfluxDB does not tell their passwords");
        let instead = format!(
            "--users FILE with lines of NAME:PASSWORD makes them, or make them yourself at {} (CREATE USER … WITH \
             PASSWORD …); their rights are copied then. --force goes on without them",
            replica.url
        );
        plan.objections.push(Objection::new(what, instead));
    }
}

/// What a new group's server holds already would turn up in answers.
fn must_be_empty(replica: &Replica, plan: &mut Plan) {
    // One that does not answer is told of elsewhere.
    let found = stored::measurements(replica).unwrap_or_default();
    if let Some(first) = found.first() {
        let (name, count) = (&replica.name, found.len());
        let what =
            format!("{name} is not empty ({count} measurements, {first} among them): they would turn up in answers");
        plan.objections.push(Objection::new(what, "take an empty server"));
    }
}
