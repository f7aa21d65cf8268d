//! What needs a hand, a sentence each, with the command that helps.

use crate::topology::ReplicaState;

use super::super::cluster::proxies::Proxy;
use super::super::cluster::table::thousands;
use super::view::{Seen, View};
use super::{Status, Waiting};

/// Fields of two types that have a sentence each.
const FIELDS_NAMED: usize = 5;

#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub text: String,
    /// Else it only wants to be known.
    pub urgent: bool,
}

impl Problem {
    fn urgent(text: String) -> Problem {
        Problem { text, urgent: true }
    }

    fn notice(text: String) -> Problem {
        Problem { text, urgent: false }
    }
}

pub fn of(status: &Status) -> Vec<Problem> {
    let mut problems: Vec<Problem> = status.trouble.iter().cloned().map(Problem::urgent).collect();
    if status.proxies.is_empty() {
        problems.push(Problem::urgent("no proxy is registered".to_owned()));
    }
    for proxy in &status.gone {
        let (name, id) = (proxy.name(), &proxy.id);
        problems.push(Problem::urgent(format!(
            "proxy {name} is gone ({id}) and did not end in good order: it has crashed, or is cut off from ZooKeeper and goes \
             on by the topology that it has; start it again on its data_dir, or `slotline proxies --forget {id}`"
        )));
    }
    for (proxy, view) in &status.proxies {
        of_proxy(status, proxy, view, &mut problems);
    }
    if let Err(fault) = &status.udp {
        let text = format!("the UDP listeners in ZooKeeper are broken, put a good list there: {fault}");
        problems.push(Problem::urgent(text));
    }
    of_replicas(status, &mut problems);
    status.backlogs.iter().for_each(|waiting| of_backlog(status, waiting, &mut problems));
    for path in &status.unreadable {
        let text = format!("the znode backlog/{path} cannot be read: how much waits there is in that proxy's /metrics");
        problems.push(Problem::urgent(text));
    }
    for field in status.fields.iter().take(FIELDS_NAMED) {
        let text = format!("{field}: answers over groups mix them; write the field under another name");
        problems.push(Problem::notice(text));
    }
    if let Some(more) = status.fields.len().checked_sub(FIELDS_NAMED).filter(|more| *more > 0) {
        problems
            .push(Problem::notice(format!("{more} fields more have two types; `slotline status --json` lists all")));
    }
    problems
}

fn of_proxy(status: &Status, proxy: &Proxy, view: &Result<View, String>, problems: &mut Vec<Problem>) {
    let (name, now) = (proxy.name(), status.topology.epoch);
    let view = match view {
        Ok(view) => view,
        Err(error) => {
            let text = format!("proxy {name} does not tell how it fares (its admin port {}): {error}", proxy.admin);
            return problems.push(Problem::notice(text));
        }
    };
    let why = match (&view.refusal, view.zookeeper_connected) {
        (Some(reason), _) => format!("it refuses the document: {reason}"),
        (None, false) => "ZooKeeper is away for it".to_owned(),
        (None, true) => "see its log".to_owned(),
    };
    if view.epoch < now {
        problems.push(Problem::urgent(format!(
            "proxy {name} applies epoch {}, {} behind: {why}",
            view.epoch,
            now - view.epoch
        )));
    }
    if let Some(seconds) = view.unconfirmed_seconds {
        problems.push(Problem::urgent(format!("proxy {name} has not confirmed its epoch for {seconds} s: {why}")));
    }
    if let Some(reason) = &view.udp_refusal {
        problems.push(Problem::urgent(format!("proxy {name} refuses the UDP listeners: {reason}")));
    }
    let shared = status.udp.iter().flatten().filter(|_| view.zookeeper_connected && view.udp_refusal.is_none());
    for listener in shared.filter(|listener| !view.udp.contains(listener)) {
        problems.push(Problem::urgent(format!(
            "proxy {name} does not have the UDP listener {} open as it shall be: its log says why (is the port in use \
             there, or in its config.toml?)",
            listener.bind
        )));
    }
}

fn of_replicas(status: &Status, problems: &mut Vec<Problem>) {
    let topology = &status.topology;
    for index in topology.group_indexes() {
        let group = topology.group(index);
        if topology.slots_of(index).is_empty() {
            let text = format!("group {} owns no slots; `slotline slots spread --empty` gives it some", group.id);
            problems.push(Problem::notice(text));
        }
        for replica in &group.replicas {
            let name = &replica.name;
            let seen = |wanted: fn(&Seen) -> bool| {
                let views = status.proxies.iter().filter_map(|(proxy, view)| Some((proxy, view.as_ref().ok()?)));
                let seeing = views.filter(|(_, view)| view.replicas.get(name).is_some_and(wanted));
                seeing.map(|(proxy, _)| proxy.name()).collect::<Vec<&str>>().join(", ")
            };
            let down = seen(|seen| seen.up == Some(false));
            if !down.is_empty() {
                problems.push(Problem::urgent(format!("replica {name} ({}) is down for {down}", replica.url)));
            }
            let blocked = seen(|seen| seen.blocked);
            if !blocked.is_empty() {
                let text = format!("what waits for {name} needs a hand; the log of {blocked} says on what");
                problems.push(Problem::urgent(text));
            }
            if replica.state == ReplicaState::Joining {
                let text = format!("replica {name} joins; once its data is restored: `slotline groups serve {name}`");
                problems.push(Problem::notice(text));
            }
        }
    }
}

fn of_backlog(status: &Status, waiting: &Waiting, problems: &mut Vec<Problem>) {
    let Waiting { replica, proxy, gone, backlog, lost_slots } = waiting;
    let points = thousands(backlog.points);
    let known = status.topology.replicas().any(|own| own.name == *replica);
    let name = status.proxies.iter().find(|(own, _)| own.id == *proxy).map_or(proxy.as_str(), |(own, _)| own.name());
    if *gone {
        problems.push(Problem::urgent(format!(
            "a proxy that is gone ({proxy}) holds {points} points for {replica}: start it again on its data_dir; if that \
             is lost, delete the znode backlog/{replica}/{proxy}"
        )));
    }
    if !known {
        problems.push(Problem::urgent(format!(
            "proxy {name} holds {points} points for {replica}, which is in no group: `slotline spool move {replica} \
             NAME` or `slotline spool drop {replica}`"
        )));
    } else if !lost_slots.is_empty() {
        problems.push(Problem::notice(format!(
            "proxy {name} holds points for {replica} that may be of slots {lost_slots}, which its group does not own any \
             more: they will be stored there, where nobody looks for them"
        )));
    }
}
