//! `slotline udp`: the UDP listeners that every proxy opens beside those of its own configuration.

mod add;
mod history;
mod list;
mod remove;

use std::net::SocketAddr;
use std::process::ExitCode;

use serde_json::json;

use crate::control::{Expect, Store};
use crate::topology::{UdpListener, parse_udp, print_udp};

use super::cluster::change::{MannerArgs, conflict, replace};
use super::cluster::metrics::{PROXY_TIMEOUT, udp_listeners};
use super::cluster::plan::Plan;
use super::cluster::{Failure, Place, PlaceArgs, ended, history as noted, influx, proxies};
use super::print;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Open a listener on every proxy, or change what one does.
    Add(add::Args),
    /// Close a listener; what it has received is delivered.
    Remove(remove::Args),
    /// List them.
    List(list::Args),
    /// List the changes: when, by whom and why.
    History(history::Args),
}

pub fn run(args: Args) -> ExitCode {
    ended(match args.verb {
        Verb::Add(args) => add::run(args),
        Verb::Remove(args) => remove::run(args),
        Verb::List(args) => list::run(args),
        Verb::History(args) => history::run(args),
    })
}

/// The znode as it is, and what it must be when it is replaced.
fn read(store: &mut dyn Store, place: &Place) -> Result<(Vec<UdpListener>, Expect), Failure> {
    let path = place.znodes.udp();
    let Some(entry) = store.read(&path).map_err(Failure::new)? else { return Ok((Vec::new(), Expect::Absent)) };
    let listeners = parse_udp(&entry.data)
        .map_err(|fault| Failure::new(format!("ZooKeeper {}: {path} is broken, repair it: {fault}", place.servers)))?;
    Ok((listeners, Expect::Version(entry.version)))
}

/// Changes the list: `edit` says in words what it has changed. `bind` is whose coming or going proxies are asked about,
/// `command` what the history says.
fn change(
    place: PlaceArgs,
    manner: MannerArgs,
    bind: SocketAddr,
    command: &str,
    edit: impl FnOnce(&mut Vec<UdpListener>) -> Result<String, String>,
) -> Result<(), Failure> {
    let (place, _) = place.resolve()?;
    let mut store = place.open()?;
    let (before, expect) = read(store.as_mut(), &place)?;
    let mut after = before.clone();
    let words = edit(&mut after).map_err(Failure::usage)?;
    let document = print_udp(&after);
    parse_udp(document.as_bytes()).map_err(Failure::usage)?;
    let json = manner.manner().json;
    let mut plan = Plan::default();
    if after == before {
        match json {
            true => print(format!("{}\n", json!({"changed": false, "changes": []}))),
            false => print(format!("nothing changes: {bind} is as it is wanted\n")),
        }
        return Ok(());
    }
    plan.changes.push(words);
    if !plan.agreed(manner.manner())? {
        return Ok(());
    }
    let path = place.znodes.udp();
    let known = proxies::list(store.as_mut(), &place)?;
    replace(&mut store, &place, &path, document.as_bytes(), expect).map_err(|error| conflict(error, "udp list"))?;
    // They are in force: that they are not in the history is no reason to say that it failed.
    noted::note_udp(store.as_mut(), &place.znodes, &document, manner.why(command))
        .unwrap_or_else(|error| eprintln!("slotline: the change is in force, but not in the history: {error}"));
    let mut done = plan.json();
    done["changed"] = true.into();
    if !json {
        print(format!("cluster {}: the UDP listeners are changed\n", place.cluster));
    }
    let wanted = after.iter().find(|listener| listener.bind == bind);
    let waited = match manner.wait() {
        None => None,
        Some(timeout) => Some(proxies::wait(&mut store, &place, &known, timeout, |proxy| lacks(proxy, bind, wanted))?),
    };
    waited.iter().for_each(|waited| waited.add_to(&mut done));
    if json {
        print(format!("{done}\n"));
    }
    waited.map_or(Ok(()), |waited| waited.tell("it", json))
}

/// What a proxy has still to do.
fn lacks(proxy: &proxies::Proxy, bind: SocketAddr, wanted: Option<&UdpListener>) -> Option<String> {
    let (name, id, admin) = (proxy.name(), &proxy.id, &proxy.admin);
    let open = match influx::get(admin, "/metrics", PROXY_TIMEOUT) {
        Ok(text) => udp_listeners(&text).into_iter().find(|listener| listener.bind == bind),
        Err(error) => return Some(format!("{name} cannot be asked at {admin}: {error}")),
    };
    match (open, wanted) {
        (open, wanted) if open.as_ref() == wanted => None,
        (None, _) => Some(format!("{name} (id {id}) has not opened it; its log says why (is the port in use there?)")),
        (Some(_), None) => Some(format!("{name} (id {id}) has it open; is it in its config.toml?")),
        (Some(_), Some(_)) => Some(format!("{name} (id {id}) has it as it was; is it in its config.toml?")),
    }
}
