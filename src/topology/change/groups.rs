//! Groups and their replicas come and go.

use crate::topology::{GroupId, GroupSpec, ReplicaSpec, ReplicaState, Spec, Topology};

const JOINING: &str = "joining";

/// A group more, without slots. Its replicas are new to all, and empty: they serve at once.
pub fn add_group(before: &Topology, id: Option<GroupId>, replicas: Vec<ReplicaSpec>) -> Result<Spec, String> {
    let mut spec = before.spec().clone();
    let next = spec.groups.iter().map(|group| group.id).max().unwrap_or(0).saturating_add(1);
    let id = id.unwrap_or(next);
    if spec.groups.iter().any(|group| group.id == id) {
        return Err(format!(
            "there is a group {id}; `groups add-replica {id}` adds a replica to it, or leave the id out"
        ));
    }
    for replica in &replicas {
        free(before, &replica.name)?;
    }
    spec.groups.push(GroupSpec { id, replicas });
    Ok(spec)
}

/// A group less; it must have no slots.
pub fn remove_group(before: &Topology, id: GroupId) -> Result<Spec, String> {
    let mut spec = before.spec().clone();
    let at = position(before, id)?;
    let index = before.group_indexes().nth(at).ok_or("no such group")?;
    let slots = before.slots_of(index);
    if !slots.is_empty() {
        return Err(format!("group {id} owns slots {slots}; give them to others first: `slots assign {slots} GROUP`"));
    }
    spec.groups.remove(at);
    Ok(spec)
}

/// A replica more, which joins.
pub fn add_replica(before: &Topology, group: GroupId, replica: ReplicaSpec) -> Result<Spec, String> {
    let mut spec = before.spec().clone();
    let at = position(before, group)?;
    free(before, &replica.name)?;
    spec.groups[at].replicas.push(ReplicaSpec { state: JOINING.to_owned(), ..replica });
    Ok(spec)
}

/// A replica less; it must not be its group's last.
pub fn remove_replica(before: &Topology, name: &str) -> Result<Spec, String> {
    let mut spec = before.spec().clone();
    let (group, at) = find(before, name)?;
    let replicas = &mut spec.groups[group].replicas;
    if replicas.len() == 1 {
        let id = spec.groups[group].id;
        return Err(format!(
            "{name} is the only replica of group {id}; `groups replace-replica {name}` puts another in its place, \
             `groups remove {id}` removes a group without slots"
        ));
    }
    replicas.remove(at);
    Ok(spec)
}

/// Another server in a replica's place, under its name or a new one; it joins.
pub fn replace_replica(before: &Topology, old: &str, new: ReplicaSpec) -> Result<Spec, String> {
    let mut spec = before.spec().clone();
    let (group, at) = find(before, old)?;
    if new.name != old {
        free(before, &new.name)?;
    }
    let place = &mut spec.groups[group].replicas[at];
    if place.url == new.url && place.name == new.name {
        return Err(format!("{old} is at {} already; --url names the server that takes its place", new.url));
    }
    *place = ReplicaSpec { state: JOINING.to_owned(), ..new };
    Ok(spec)
}

/// A joining replica serves.
pub fn serve(before: &Topology, name: &str) -> Result<Spec, String> {
    let mut spec = before.spec().clone();
    let (group, at) = find(before, name)?;
    if before.groups()[group].replicas[at].state == ReplicaState::Serving {
        return Err(format!("{name} serves already"));
    }
    spec.groups[group].replicas[at].state = "serving".to_owned();
    Ok(spec)
}

fn position(topology: &Topology, id: GroupId) -> Result<usize, String> {
    topology.groups().iter().position(|group| group.id == id).ok_or_else(|| {
        let ids: Vec<String> = topology.groups().iter().map(|group| group.id.to_string()).collect();
        format!("there is no group {id}; there are {}", ids.join(", "))
    })
}

/// The places of a replica's group, and of the replica in it.
fn find(topology: &Topology, name: &str) -> Result<(usize, usize), String> {
    let in_group = |group: &crate::topology::Group| group.replicas.iter().position(|replica| replica.name == name);
    let found = topology.groups().iter().enumerate().find_map(|(at, group)| Some((at, in_group(group)?)));
    found.ok_or_else(|| {
        let names: Vec<&str> = topology.replicas().map(|replica| replica.name.as_str()).collect();
        format!("there is no replica {name}; there are {}", names.join(", "))
    })
}

fn free(topology: &Topology, name: &str) -> Result<(), String> {
    match find(topology, name) {
        Ok((group, _)) => Err(format!(
            "there is a replica {name}, in group {}; take another name, or `groups replace-replica {name}`",
            topology.groups()[group].id
        )),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::evenly;

    fn replica(name: &str) -> ReplicaSpec {
        let empty = String::new;
        let url = format!("http://{name}:1");
        ReplicaSpec { name: name.to_owned(), url, username: empty(), password: empty(), state: "serving".to_owned() }
    }

    /// Groups 1 (a, b) and 2 (c).
    fn before() -> Topology {
        let group = |id, names: &[&str]| GroupSpec { id, replicas: names.iter().map(|name| replica(name)).collect() };
        let spec =
            Spec { groups: vec![group(1, &["a", "b"]), group(2, &["c"])], slots: evenly(&[1, 2]), rules: vec![] };
        spec.build(1).expect("a sound topology")
    }

    fn built(spec: Result<Spec, String>) -> Topology {
        spec.expect("a change").build(2).expect("a sound topology")
    }

    #[test]
    fn a_group_comes_without_slots_and_goes() {
        let after = built(add_group(&before(), None, vec![replica("d")]));
        assert_eq!((after.groups()[2].id, after.slots_of(2).as_str()), (3, ""));
        assert_eq!(after.groups()[2].replicas[0].state, ReplicaState::Serving);
        assert_eq!(built(remove_group(&after, 3)).spec(), before().spec());
        for (refused, part) in [
            (add_group(&before(), Some(2), vec![]), "groups add-replica 2"),
            (add_group(&before(), None, vec![replica("a")]), "in group 1"),
            (remove_group(&before(), 2), "owns slots 512-1023"),
            (remove_group(&before(), 9), "there are 1, 2"),
        ] {
            let text = refused.expect_err(part);
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn replicas_join_serve_and_go() {
        let joined = built(add_replica(&before(), 2, replica("d")));
        assert_eq!(joined.groups()[1].replicas[1].state, ReplicaState::Joining);
        assert_eq!(built(serve(&joined, "d")).groups()[1].replicas[1].state, ReplicaState::Serving);
        assert_eq!(built(remove_replica(&joined, "d")).spec(), before().spec());
        let replaced = built(replace_replica(&before(), "a", ReplicaSpec { name: "a".into(), ..replica("x") }));
        let first = &replaced.groups()[0].replicas[0];
        assert_eq!((first.name.as_str(), first.url.as_str(), first.state), ("a", "http://x:1", ReplicaState::Joining));
        for (refused, part) in [
            (remove_replica(&before(), "c"), "only replica of group 2"),
            (serve(&before(), "a"), "serves already"),
            (serve(&before(), "z"), "there are a, b, c"),
            (replace_replica(&before(), "a", replica("a")), "already"),
            (replace_replica(&before(), "a", replica("b")), "take another name"),
        ] {
            let text = refused.expect_err(part);
            assert!(text.contains(part), "{text}");
        }
    }
}
