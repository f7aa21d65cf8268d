//! `slotline groups serve`: a joining replica answers queries from now on, if it holds what its peers hold.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::control::Store;
use crate::influxql::civil::rfc3339_nano;
use crate::topology::{Replica, ReplicaState, Topology, change};

use super::super::cluster::change::{ChangeArgs, time};
use super::super::cluster::likeness::{Counting, Difference, difference};
use super::super::cluster::plan::Objection;
use super::super::cluster::{Failure, Place};

/// Points that are younger may still be on their way to one of the two.
const ON_THEIR_WAY: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub struct Args {
    /// The replica.
    name: String,
    /// Compare how many series there are, and do not count points, which reads all of them.
    #[arg(long)]
    no_count: bool,
    /// How long counting points may take; what is not known to be alike by then does not serve.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = time, conflicts_with = "no_count")]
    count_timeout: Duration,
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { name, no_count, count_timeout, change } = args;
    let mut change = change.begin()?;
    let before = change.topology()?;
    let spec = change::serve(&before, &name).map_err(Failure::usage)?;
    let (store, place) = change.store();
    let mut objections = backlog(store, place, &name)?;
    objections.extend(compare(&before, &name, (!no_count).then_some(count_timeout)));
    change.compared(&name, objections);
    change.make(&format!("groups serve {name}"), spec)
}

/// What waits for it is not in it.
fn backlog(store: &mut dyn Store, place: &Place, name: &str) -> Result<Vec<Objection>, Failure> {
    let holders = store.children(&format!("{}/{name}", place.znodes.backlog())).map_err(Failure::new)?;
    let what = || format!("{} proxies hold points that {name} has still to take", holders.len());
    let instead = "wait until `slotline status` shows none";
    Ok((!holders.is_empty()).then(|| Objection::new(what(), instead)).into_iter().collect())
}

/// Holds it against its group's serving replicas; points are counted for so long.
fn compare(topology: &Topology, name: &str, count: Option<Duration>) -> Vec<Objection> {
    let group = topology.groups().iter().find(|group| group.replicas.iter().any(|replica| replica.name == name));
    let replicas = group.map(|group| group.replicas.as_slice()).unwrap_or_default();
    let Some(own) = replicas.iter().find(|replica| replica.name == name) else { return Vec::new() };
    let peers: Vec<&Replica> = replicas.iter().filter(|replica| replica.state == ReplicaState::Serving).collect();
    if peers.is_empty() {
        let what = format!("no replica of its group serves: there is nothing to hold {name} against");
        return vec![Objection::new(what, "make sure that it holds all of the group's data")];
    }
    let counting = count.map(|time| Counting { until: moment(), deadline: Instant::now() + time });
    let differs = |peer: &Replica| match difference(own, peer, counting.as_ref()) {
        Ok(None) => None,
        Ok(Some(Difference::Found(what))) => Some(Objection::new(what, instead(own, peer))),
        Ok(Some(Difference::Unknown(far))) => {
            let time = count.unwrap_or_default();
            let what = format!("{name} and {} were not held against each other within {time:?}: {far}", peer.name);
            Some(Objection::new(what, "--count-timeout gives more time; --no-count compares their series only"))
        }
        Err(error) => Some(Objection::new(error, "bring it back first")),
    };
    peers.into_iter().filter_map(differs).collect()
}

fn instead(own: &Replica, peer: &Replica) -> String {
    let (own, peer) = (&own.name, &peer.name);
    format!(
        "restore the group's data into {own} first: DROP DATABASE on that server itself, never through slotline (its \
         points wait in spools then), `influxd backup -portable` of {peer}, `influxd restore -portable` into {own}"
    )
}

/// Until when points are counted: RFC 3339.
fn moment() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(ON_THEIR_WAY);
    rfc3339_nano(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}
