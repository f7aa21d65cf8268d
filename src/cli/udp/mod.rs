//! `slotline udp`: the UDP listeners that every proxy opens beside those of its own configuration.

mod add;
mod list;
mod remove;

use std::net::SocketAddr;
use std::process::ExitCode;

use serde_json::json;

use crate::control::{Expect, Store};
use crate::topology::{UdpListener, parse_udp, print_udp};

use super::cluster::change::{MannerArgs, conflict};
use super::cluster::metrics::{PROXY_TIMEOUT, figures};
use super::cluster::plan::Plan;
use super::cluster::{Failure, Place, PlaceArgs, ended, influx, proxies};

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
}

pub fn run(args: Args) -> ExitCode {
    ended(match args.verb {
        Verb::Add(args) => add::run(args),
        Verb::Remove(args) => remove::run(args),
        Verb::List(args) => list::run(args),
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

/// Changes the list: `edit` says in words what it has changed. `bind` is whose coming or going proxies are asked about.
fn change(
    place: PlaceArgs,
    manner: MannerArgs,
    bind: SocketAddr,
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
            true => println!("{}", json!({"changed": false, "changes": []})),
            false => println!("nothing changes: {bind} is as it is wanted"),
        }
        return Ok(());
    }
    plan.changes.push(words);
    if !plan.agreed(manner.manner())? {
        return Ok(());
    }
    let path = place.znodes.udp();
    store.write(&path, document.as_bytes(), expect).map_err(|error| conflict(error, "udp list"))?;
    let mut done = plan.json();
    done["changed"] = true.into();
    if !json {
        println!("cluster {}: the UDP listeners are changed", place.cluster);
    }
    let open = after.iter().any(|listener| listener.bind == bind);
    let waited = match manner.wait() {
        None => None,
        Some(timeout) => Some(proxies::wait(store.as_mut(), &place, timeout, |proxy| lacks(proxy, bind, open))?),
    };
    if let Some(waited) = &waited {
        done["behind"] = waited.behind.clone().into();
    }
    if json {
        println!("{done}");
    }
    waited.map_or(Ok(()), |waited| waited.tell("it", json))
}

/// What a proxy has still to do.
fn lacks(proxy: &proxies::Proxy, bind: SocketAddr, open: bool) -> Option<String> {
    let text = match influx::get(&proxy.admin, "/metrics", PROXY_TIMEOUT) {
        Ok(text) => text,
        Err(error) => return Some(format!("{} cannot be asked at {}: {error}", proxy.name(), proxy.admin)),
    };
    let has = figures(&text)
        .any(|figure| figure.name == "slotline_udp_datagrams_total" && figure.label("listener") == bind.to_string());
    (has != open).then(|| format!("{} (id {})", proxy.name(), proxy.id))
}
