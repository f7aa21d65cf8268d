//! `slotline topology push`: compare, ask if data would be hidden, replace by compare-and-set, write down who and why.

use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::control::{Expect, Store, StoreError};
use crate::influxql::civil::rfc3339_nano;
use crate::topology::{self, Topology, Znodes, changes_that_hide_data, harmless_changes};

use super::{Failure, Place, PlaceArgs};

/// Earlier topologies that are kept.
const HISTORY_MAX: usize = 200;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Push changes that hide stored data without asking.
    #[arg(long)]
    yes: bool,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

/// What ZooKeeper holds before the push.
struct Before {
    expect: Expect,
    /// The topology in force, or the last one that was; `None` if there was never one that can be read.
    topology: Option<Topology>,
    /// The highest so far, 0 if there was none.
    epoch: u64,
    /// Why `topology` is not what the znode holds.
    trouble: Option<String>,
}

/// What the push changes, in words.
struct Changes {
    harmless: Vec<String>,
    /// After these stored points are no longer found.
    hiding: Vec<String>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { place, yes, why, json } = args;
    if place.config.is_none() {
        return Err(Failure::usage("topology push needs --config FILE, whose topology it sends"));
    }
    let (place, config) = place.resolve()?;
    let Some(wanted) = config.and_then(|config| config.topology) else {
        return Err(Failure::usage("the file has no [[group]]: there is no topology to push"));
    };
    let mut store = place.open()?;
    let before = look(store.as_mut(), &place)?;
    let changes = compare(&before, &wanted);
    let Changes { harmless, hiding } = &changes;
    let unchanged = harmless.is_empty() && hiding.is_empty();
    let epoch = if unchanged { before.epoch } else { before.epoch + 1 };
    let done = || json!({"epoch": epoch, "changed": !unchanged, "changes": harmless, "hides_data": hiding});
    if unchanged {
        match json {
            true => println!("{}", done()),
            false => println!("nothing changes: cluster {} has this topology, at epoch {epoch}", place.cluster),
        }
        return Ok(());
    }
    tell(&changes, json);
    if !hiding.is_empty() && !yes {
        ask()?;
    }
    send(store.as_mut(), &place, before.expect, wanted, epoch, &why)?;
    match json {
        true => println!("{}", done()),
        false => println!("cluster {}: epoch {epoch} is in force", place.cluster),
    }
    Ok(())
}

fn look(store: &mut dyn Store, place: &Place) -> Result<Before, Failure> {
    let entry = store.read(&place.znodes.topology()).map_err(Failure::new)?;
    let last = epochs(store, &place.znodes)?.into_iter().max().unwrap_or(0);
    let expect = entry.as_ref().map_or(Expect::Absent, |entry| Expect::Version(entry.version));
    let trouble = match entry.map(|entry| entry.data) {
        None if last == 0 => None,
        None => Some("it was deleted".to_owned()),
        Some(data) => match topology::parse(&data) {
            Ok(now) => {
                return Ok(Before { expect, epoch: now.epoch.max(last), topology: Some(now), trouble: None });
            }
            Err(_) if data.is_empty() => Some("it is empty".to_owned()),
            Err(fault) => Some(format!("it is broken: {fault}")),
        },
    };
    // The proxies still serve the last good one, which most likely is the one of the highest epoch.
    let path = format!("{}/{last}", place.znodes.history());
    let document = store.read(&path).map_err(Failure::new)?.and_then(|entry| {
        let note: serde_json::Value = serde_json::from_slice(&entry.data).ok()?;
        topology::parse(note.get("document")?.to_string().as_bytes()).ok()
    });
    Ok(Before { expect, epoch: last, topology: document, trouble })
}

fn compare(before: &Before, wanted: &Topology) -> Changes {
    let Before { topology, trouble, .. } = before;
    let mut harmless = Vec::new();
    let mut hiding = Vec::new();
    match (topology, trouble) {
        (None, None) => harmless.push("the cluster's first topology".to_owned()),
        (None, Some(trouble)) => hiding.push(format!("the topology in ZooKeeper cannot be compared, since {trouble}")),
        (Some(_), Some(trouble)) => {
            harmless
                .push(format!("the topology in ZooKeeper is replaced, since {trouble}; compared with the last one:"));
        }
        (Some(_), None) => {}
    }
    if let Some(topology) = topology {
        harmless.extend(harmless_changes(topology, wanted));
        hiding.extend(changes_that_hide_data(topology, wanted).iter().map(ToString::to_string));
    }
    Changes { harmless, hiding }
}

/// On standard error if standard output is for a program.
fn tell(changes: &Changes, json: bool) {
    let mut lines = changes.harmless.clone();
    if !changes.hiding.is_empty() {
        lines.push("after these changes stored points are no longer found, unless they are moved first:".to_owned());
        lines.extend(changes.hiding.iter().map(|change| format!("  {change}")));
    }
    match json {
        true => lines.iter().for_each(|line| eprintln!("{line}")),
        false => lines.iter().for_each(|line| println!("{line}")),
    }
}

/// Asks whoever sits at the terminal; nobody there means no.
fn ask() -> Result<(), Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(
            "nothing was pushed: the changes would hide stored data; --yes pushes them all the same",
        ));
    }
    eprint!("Push it all the same? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stderr().flush().and_then(|()| stdin.lock().read_line(&mut answer));
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::usage("nothing was pushed")),
    }
}

fn send(
    store: &mut dyn Store,
    place: &Place,
    expect: Expect,
    wanted: Topology,
    epoch: u64,
    why: &str,
) -> Result<(), Failure> {
    let broken = |faults: Vec<_>| Failure::new(format!("the topology has {} faults", faults.len()));
    let topology = wanted.spec().clone().build(epoch).map_err(broken)?;
    let document = topology::print(&topology);
    store.write(&place.znodes.topology(), document.as_bytes(), expect).map_err(|error| match error {
        StoreError::Conflict(path) => Failure::new(format!(
            "nothing was pushed: somebody else changed {path} meanwhile; see `slotline topology show`, then push again"
        )),
        StoreError::Lost | StoreError::Silent(_) => Failure::new(format!(
            "{error}; whether the topology was pushed is unknown: push again, it says so if nothing changes"
        )),
        other => Failure::new(other),
    })?;
    let noted = note(store, &place.znodes, epoch, &document, why);
    // It is in force: that it is not in the history is no reason to say that it failed.
    noted.unwrap_or_else(|error| eprintln!("slotline: epoch {epoch} is in force, but not in the history: {error}"));
    Ok(())
}

/// Writes the topology into the history, and removes what is too old from it.
fn note(store: &mut dyn Store, znodes: &Znodes, epoch: u64, document: &str, why: &str) -> Result<(), StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let document: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
    let note = json!({
        "document": document, "by": whoami(), "at": rfc3339_nano(i64::try_from(now).unwrap_or(i64::MAX)), "why": why,
    });
    store.write(&format!("{}/{epoch}", znodes.history()), note.to_string().as_bytes(), Expect::Absent)?;
    let names = store.children(&znodes.history())?;
    let mut epochs: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    epochs.sort_unstable();
    for old in &epochs[..epochs.len().saturating_sub(HISTORY_MAX)] {
        store.delete(&format!("{}/{old}", znodes.history()))?;
    }
    Ok(())
}

fn epochs(store: &mut dyn Store, znodes: &Znodes) -> Result<Vec<u64>, Failure> {
    let names = store.children(&znodes.history()).map_err(Failure::new)?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// `user@host`, as far as they are known.
fn whoami() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let number = || std::fs::metadata("/proc/self").map_or_else(|_| "?".to_owned(), |own| own.uid().to_string());
    let user = user.filter(|user| !user.is_empty()).unwrap_or_else(number);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{user}@{}", host.trim())
}
