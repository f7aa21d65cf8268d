//! `slotline status`: the whole cluster on a page, and what needs a hand.
//!
//! ZooKeeper says which topology is in force, which proxies are there and what each proxy's spool holds; the proxies'
//! admin ports say what they see of the replicas (`view`); `problems` makes sentences of it, `show` a page.

mod problems;
mod show;
mod view;

use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use crate::control::Store;
use crate::topology::{self, Backlog, Topology, UdpListener, parse_udp};

use super::cluster::proxies::{self, Proxy};
use super::cluster::table::Screen;
use super::cluster::{Failure, Place, PlaceArgs, ended, history, stored};
use super::print;
use view::View;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Do not ask the replicas for fields that have two types.
    #[arg(long)]
    no_fields: bool,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// All that is known of a cluster.
struct Status {
    /// In force, or the last one that could be read.
    topology: Topology,
    /// Why that is not what ZooKeeper holds.
    trouble: Option<String>,
    /// With what it sees, or why it does not say.
    proxies: Vec<(Proxy, Result<View, String>)>,
    /// Those that should be there.
    gone: Vec<Proxy>,
    backlogs: Vec<Waiting>,
    /// Backlogs that cannot be read: replica and proxy.
    unreadable: Vec<String>,
    /// The listeners that all proxies shall have open, or what is wrong with their znode.
    udp: Result<Vec<UdpListener>, String>,
    /// Fields with two types, in words.
    fields: Vec<String>,
}

/// What one proxy's spool holds for one replica.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Waiting {
    replica: String,
    /// The proxy's id.
    proxy: String,
    /// It is not there.
    gone: bool,
    #[serde(flatten)]
    backlog: Backlog,
    /// Slots that its group owned while it came, and does not own any more: `5-9, 12`; empty if there are none.
    lost_slots: String,
}

pub fn run(args: Args) -> ExitCode {
    ended(status(args))
}

fn status(args: Args) -> Result<(), Failure> {
    let (place, _) = args.place.resolve()?;
    let mut store = place.open()?;
    let status = collect(store.as_mut(), &place, !args.no_fields)?;
    let problems = problems::of(&status);
    if args.json {
        print(format!("{}\n", json(&status, &place, &problems)));
        return Ok(());
    }
    print(show::page(&status, &place, &problems, Screen::stdout()));
    Ok(())
}

fn collect(store: &mut dyn Store, place: &Place, with_fields: bool) -> Result<Status, Failure> {
    let epochs = history::epochs(store, &place.znodes).map_err(Failure::new)?;
    let (topology, trouble) = match place.topology(store) {
        Ok(topology) => (topology, None),
        Err(failure) => match epochs.last() {
            Some(last) => (history::topology(store, &place.znodes, *last)?, Some(failure.text)),
            None => return Err(failure),
        },
    };
    let there = proxies::list(store, place)?;
    let gone = proxies::gone(store, place, &there)?;
    let proxies = view::ask(there);
    let (backlogs, unreadable) = backlogs(store, place, &topology, &proxies, &epochs)?;
    let udp = store.read(&place.znodes.udp()).map_err(Failure::new)?;
    let udp = udp.map_or(Ok(Vec::new()), |entry| parse_udp(&entry.data));
    let fields = if with_fields { stored::fields_of_two_types(&topology) } else { Vec::new() };
    Ok(Status { topology, trouble, proxies, gone, backlogs, unreadable, udp, fields })
}

fn backlogs(
    store: &mut dyn Store,
    place: &Place,
    topology: &Topology,
    proxies: &[(Proxy, Result<View, String>)],
    epochs: &[u64],
) -> Result<(Vec<Waiting>, Vec<String>), Failure> {
    let folder = place.znodes.backlog();
    let (mut all, mut unreadable) = (Vec::new(), Vec::new());
    let mut replicas = store.children(&folder).map_err(Failure::new)?;
    replicas.sort();
    for replica in replicas {
        let mut ids = store.children(&format!("{folder}/{replica}")).map_err(Failure::new)?;
        ids.sort();
        for proxy in ids {
            let entry = store.read(&format!("{folder}/{replica}/{proxy}")).map_err(Failure::new)?;
            // One that has gone meanwhile is none.
            let Some(entry) = entry else { continue };
            let Ok(backlog) = serde_json::from_slice(&entry.data) else {
                unreadable.push(format!("{replica}/{proxy}"));
                continue;
            };
            let gone = proxies.iter().all(|(there, _)| there.id != proxy);
            let (replica, lost_slots) = (replica.clone(), String::new());
            all.push(Waiting { replica, proxy, gone, backlog, lost_slots });
        }
    }
    if all.is_empty() {
        return Ok((all, unreadable));
    }
    // Newest first, as far back as the oldest backlog reaches.
    let mut earlier = Vec::new();
    let oldest = all.iter().map(|waiting| moment(&waiting.backlog.since)).min().unwrap_or_default();
    for epoch in epochs.iter().rev() {
        let Some(note) = history::read(store, &place.znodes, *epoch).map_err(Failure::new)? else { continue };
        let reaches = moment(&note.at) < oldest;
        earlier.push(note);
        if reaches {
            break;
        }
    }
    for waiting in &mut all {
        waiting.lost_slots = lost_slots(waiting, topology, &earlier);
    }
    Ok((all, unreadable))
}

/// An RFC 3339 time in UTC to the second.
fn seconds(time: &str) -> &str {
    time.get(..19).unwrap_or(time)
}

/// The whole of it, in texts that compare: fractions may have any number of digits.
fn moment(time: &str) -> String {
    let fraction = time.get(19..).unwrap_or_default().trim_matches(['.', 'Z']);
    format!("{}.{fraction:0<9}", seconds(time))
}

/// Slots that the replica's group owned since the backlog began, and does not own now.
fn lost_slots(waiting: &Waiting, now: &Topology, earlier: &[history::Note]) -> String {
    let since = moment(&waiting.backlog.since);
    let mut lost = std::collections::BTreeSet::new();
    for note in earlier {
        lost.extend(note.topology.iter().flat_map(|topology| topology.slots_of_replica(&waiting.replica)));
        // That one was in force when the backlog began.
        if moment(&note.at) < since {
            break;
        }
    }
    let own: Vec<_> = now.slots_of_replica(&waiting.replica);
    let lost: Vec<_> = lost.into_iter().filter(|slot| !own.contains(slot)).collect();
    topology::slots_text(&lost)
}

/// The epoch that a proxy applies: what it says of itself is newer than its registration.
fn applied(proxy: &Proxy, view: &Result<View, String>) -> u64 {
    view.as_ref().map_or(proxy.epoch, |view| view.epoch)
}

fn json(status: &Status, place: &Place, problems: &[problems::Problem]) -> serde_json::Value {
    let Status { topology, proxies, backlogs, fields, .. } = status;
    let proxy = |(proxy, view): &(Proxy, Result<View, String>)| {
        let behind = applied(proxy, view) < topology.epoch;
        let (view, error) = match view {
            Ok(view) => (Some(view), None),
            Err(error) => (None, Some(error)),
        };
        json!({"proxy": proxy, "behind": behind, "sees": view, "error": error})
    };
    let group = |index| {
        let group = topology.group(index);
        let replica = |replica: &topology::Replica| json!({"name": replica.name, "url": replica.url, "state": replica.state.as_str()});
        let replicas: Vec<_> = group.replicas.iter().map(replica).collect();
        json!({"id": group.id, "slots": topology.slots_of(index), "replicas": replicas})
    };
    let problems: Vec<&String> = problems.iter().map(|problem| &problem.text).collect();
    json!({
        "cluster": place.cluster,
        "epoch": topology.epoch,
        "proxies": proxies.iter().map(proxy).collect::<Vec<_>>(),
        "gone": status.gone,
        "groups": topology.group_indexes().map(group).collect::<Vec<_>>(),
        "backlogs": backlogs,
        "fields_of_two_types": fields,
        "problems": problems,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(slots: &str) -> Topology {
        let groups = r#"[{"id": 1, "replicas": [{"name": "a", "url": "http://h:1"}]},
            {"id": 2, "replicas": [{"name": "b", "url": "http://h:2"}]}]"#;
        let text = format!(r#"{{"epoch": 1, "groups": {groups}, "slots": {slots}}}"#);
        topology::parse(text.as_bytes()).expect("a sound topology")
    }

    #[test]
    fn slots_that_went_while_points_waited() {
        let half = topology(r#"[{"from": 0, "to": 511, "group": 1}, {"from": 512, "to": 1023, "group": 2}]"#);
        let more = topology(r#"[{"from": 0, "to": 519, "group": 1}, {"from": 520, "to": 1023, "group": 2}]"#);
        let now = topology(r#"[{"from": 0, "to": 509, "group": 1}, {"from": 510, "to": 1023, "group": 2}]"#);
        let note = |at: &str, topology| history::Note { at: at.to_owned(), topology: Some(topology) };
        let earlier = [
            note("2026-01-03T00:00:00Z", now.clone()),
            note("2026-01-02T00:00:00Z", half),
            note("2026-01-01T00:00:00Z", more),
        ];
        let lost = |replica: &str, since: &str| {
            let backlog = Backlog { since: since.to_owned(), points: 1, bytes: 1 };
            let (replica, proxy, lost_slots) = (replica.to_owned(), "p".to_owned(), String::new());
            super::lost_slots(&Waiting { replica, proxy, gone: false, backlog, lost_slots }, &now, &earlier)
        };
        assert_eq!(lost("a", "2026-01-03T00:00:00.5Z"), "");
        assert_eq!(lost("a", "2026-01-02T23:59:59.999999Z"), "510-511");
        assert_eq!(lost("a", "2026-01-02T12:00:00.5Z"), "510-511");
        assert_eq!(lost("a", "2026-01-01T12:00:00.5Z"), "510-519");
        assert_eq!(lost("b", "2026-01-01T12:00:00.5Z"), "");
    }
}
