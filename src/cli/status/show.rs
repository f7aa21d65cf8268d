//! The page that operators see.

use crate::topology::{Replica, ReplicaState, SlotId};

use super::super::cluster::Place;
use super::super::cluster::table::{Cell, Paint, Screen, painted, thousands};
use super::Status;
use super::problems::Problem;
use super::view::Seen;

pub fn page(status: &Status, place: &Place, problems: &[Problem], screen: Screen) -> String {
    let Status { topology, proxies, .. } = status;
    let mut text = format!("cluster {}   epoch {}   zookeeper {}\n\n", place.cluster, topology.epoch, place.servers);
    text.push_str(&screen.table(&proxy_rows(status)));
    text.push('\n');
    text.push_str(&screen.table(&replica_rows(status)));
    text.push('\n');
    if problems.is_empty() {
        let all = format!("all is well: {} proxies, {} groups", proxies.len(), topology.groups().len());
        text.push_str(&screen.paint(&all, Paint::Good));
        text.push('\n');
    }
    for Problem { text: problem, urgent } in problems {
        let (mark, paint) = if *urgent { ("!", Paint::Bad) } else { ("-", Paint::Warning) };
        let lines = wrapped(problem, screen.columns.unwrap_or(usize::MAX).saturating_sub(2));
        for (number, line) in lines.iter().enumerate() {
            let mark = if number == 0 { screen.paint(mark, paint) } else { " ".to_owned() };
            text.push_str(&format!("{mark} {line}\n"));
        }
    }
    text
}

fn proxy_rows(status: &Status) -> Vec<[Cell; 5]> {
    let mut rows = vec![["PROXY", "EPOCH", "ZOOKEEPER", "VERSION", "ID"].map(Cell::from)];
    for (proxy, view) in &status.proxies {
        let epoch = match super::applied(proxy, view) {
            own if own >= status.topology.epoch => painted(own.to_string(), Paint::Good),
            own => painted(format!("{own} ({} behind)", status.topology.epoch - own), Paint::Bad),
        };
        let zookeeper = match view {
            Ok(view) if view.zookeeper_connected => painted("connected", Paint::Good),
            Ok(_) => painted("away", Paint::Bad),
            Err(_) => painted("?", Paint::Warning),
        };
        let id: String = proxy.id.chars().take(8).collect();
        rows.push([proxy.name().into(), epoch, zookeeper, proxy.version.as_str().into(), painted(id, Paint::Dim)]);
    }
    rows
}

fn replica_rows(status: &Status) -> Vec<[Cell; 7]> {
    let mut rows = vec![["GROUP", "SLOTS", "REPLICA", "STATE", "UP", "WRITES", "WAITING"].map(Cell::from)];
    let topology = &status.topology;
    for index in topology.group_indexes() {
        let group = topology.group(index);
        let slots = SlotId::all().filter(|slot| topology.owner(*slot) == index).count();
        for (at, replica) in group.replicas.iter().enumerate() {
            let first = |number: usize| if at == 0 { number.to_string() } else { String::new() };
            let state = match replica.state {
                ReplicaState::Serving => painted("serving", Paint::Plain),
                ReplicaState::Joining => painted("joining", Paint::Warning),
            };
            let [up, writes, waiting] = seen_by_all(status, replica);
            let id = first(usize::try_from(group.id).unwrap_or_default());
            rows.push([id.into(), first(slots).into(), replica.name.as_str().into(), state, up, writes, waiting]);
        }
    }
    rows
}

/// For how many proxies it is up; how writes reach it; what waits for it.
fn seen_by_all(status: &Status, replica: &Replica) -> [Cell; 3] {
    let views = status.proxies.iter().filter_map(|(_, view)| view.as_ref().ok()?.replicas.get(&replica.name));
    let seen: Vec<&Seen> = views.collect();
    let up = seen.iter().filter(|seen| seen.up == Some(true)).count();
    let paint = if up == seen.len() { Paint::Good } else { Paint::Bad };
    let up =
        if seen.is_empty() { painted("?", Paint::Warning) } else { painted(format!("{up}/{}", seen.len()), paint) };
    let mut ways = Vec::new();
    for way in ["direct", "draining", "spooling"] {
        match seen.iter().filter(|seen| seen.state == way).count() {
            0 => {}
            all if all == seen.len() => ways.push(way.to_owned()),
            some => ways.push(format!("{way} {some}")),
        }
    }
    let direct = seen.iter().all(|seen| seen.state == "direct");
    let writes = painted(ways.join(", "), if direct { Paint::Plain } else { Paint::Warning });
    let mine = || status.backlogs.iter().filter(|waiting| waiting.replica == replica.name);
    let points: u64 = mine().map(|waiting| waiting.backlog.points).sum();
    let since = mine().map(|waiting| waiting.backlog.since.as_str()).min().map(super::seconds);
    let waiting = match since {
        None => painted("-", Paint::Dim),
        Some(since) => painted(format!("{} since {since}", thousands(points)), Paint::Warning),
    };
    [up, writes, waiting]
}

/// Broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("longer than that", 4), ["longer", "than", "that"]);
    }
}
