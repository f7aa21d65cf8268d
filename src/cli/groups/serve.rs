//! `slotline groups serve`: a joining replica answers queries from now on, if it holds the series that its peers hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::control::Store;
use crate::topology::{Replica, ReplicaState, Topology, change};

use super::super::cluster::change::ChangeArgs;
use super::super::cluster::plan::Objection;
use super::super::cluster::{Failure, Place, stored};

/// Series that came between two questions are no difference: so often it is looked again.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(300);
/// Measurements that are named.
const NAMED_MAX: usize = 5;

#[derive(clap::Args)]
pub struct Args {
    /// The replica.
    name: String,
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { name, change } = args;
    let mut change = change.begin()?;
    let before = change.topology()?;
    let spec = change::serve(&before, &name).map_err(Failure::usage)?;
    let (store, place) = change.store();
    let mut objections = backlog(store, place, &name)?;
    objections.extend(compare(&before, &name));
    change.object(objections);
    change.make(&format!("groups serve {name}"), spec)
}

/// What waits for it is not in it.
fn backlog(store: &mut dyn Store, place: &Place, name: &str) -> Result<Vec<Objection>, Failure> {
    let holders = store.children(&format!("{}/{name}", place.znodes.backlog())).map_err(Failure::new)?;
    let what = || format!("{} proxies hold points that {name} has still to take", holders.len());
    let instead = "wait until `slotline status` shows none";
    Ok((!holders.is_empty()).then(|| Objection::new(what(), instead)).into_iter().collect())
}

/// Holds it against its group's serving replicas.
fn compare(topology: &Topology, name: &str) -> Vec<Objection> {
    let group = topology.groups().iter().find(|group| group.replicas.iter().any(|replica| replica.name == name));
    let replicas = group.map(|group| group.replicas.as_slice()).unwrap_or_default();
    let Some(own) = replicas.iter().find(|replica| replica.name == name) else { return Vec::new() };
    let peers: Vec<&Replica> = replicas.iter().filter(|replica| replica.state == ReplicaState::Serving).collect();
    if peers.is_empty() {
        let what = format!("no replica of its group serves: there is nothing to hold {name} against");
        return vec![Objection::new(what, "make sure that it holds all of the group's data")];
    }
    let mut objections = Vec::new();
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(PAUSE);
        }
        objections = peers.iter().filter_map(|peer| differs(own, peer)).collect();
        if objections.is_empty() {
            break;
        }
    }
    objections
}

fn differs(own: &Replica, peer: &Replica) -> Option<Objection> {
    let instead = format!(
        "restore the group's data into {} first, for instance by influxd backup -portable of {} and influxd restore",
        own.name, peer.name
    );
    let asked = series(own).and_then(|mine| Ok((mine, series(peer)?)));
    let (mine, theirs) = match asked {
        Ok(both) => both,
        Err(error) => return Some(Objection::new(error, "bring it back first")),
    };
    let names: BTreeSet<&String> = mine.keys().chain(theirs.keys()).collect();
    let count = |all: &BTreeMap<String, u64>, name: &String| all.get(name).copied().unwrap_or(0);
    let different: Vec<String> = names
        .into_iter()
        .filter(|name| count(&mine, name) != count(&theirs, name))
        .map(|name| format!("{name} {} and {}", count(&mine, name), count(&theirs, name)))
        .collect();
    if different.is_empty() {
        return None;
    }
    let more = different.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!(", and {more} measurements more") };
    let named: Vec<String> = different.into_iter().take(NAMED_MAX).collect();
    let what = format!("series of {} and {} differ: {}{more}", own.name, peer.name, named.join(", "));
    Some(Objection::new(what, instead))
}

/// How many series there are, by `db.measurement`.
fn series(replica: &Replica) -> Result<BTreeMap<String, u64>, String> {
    let named = |error: String| format!("{} ({}) cannot be asked: {error}", replica.name, replica.url);
    let mut all = BTreeMap::new();
    for db in stored::databases(replica).map_err(named)? {
        let counts = stored::cardinality(replica, &db).map_err(named)?;
        all.extend(counts.into_iter().map(|(name, count)| (format!("{db}.{name}"), count)));
    }
    Ok(all)
}
