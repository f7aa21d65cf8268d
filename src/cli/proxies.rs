//! `slotline proxies`: who is there, and which epoch each applies.

use std::process::ExitCode;

use serde_json::json;

use super::cluster::proxies::{Proxy, gone, list};
use super::cluster::table::{Cell, Paint, Screen, painted};
use super::cluster::{Failure, PlaceArgs, ended};
use super::print;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Do not miss this one any more, which is gone: it does not run, and will not come back.
    #[arg(long, value_name = "ID")]
    forget: Option<String>,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> ExitCode {
    ended(match &args.forget {
        Some(id) => forget(id.clone(), args),
        None => show(args),
    })
}

fn forget(id: String, args: Args) -> Result<(), Failure> {
    let (place, _) = args.place.resolve()?;
    let mut store = place.open()?;
    let there = list(store.as_mut(), &place)?;
    if there.iter().any(|proxy| proxy.id == id) {
        return Err(Failure::usage(format!("proxy {id} is there; one that ends in good order is forgotten by itself")));
    }
    if gone(store.as_mut(), &place, &there)?.iter().all(|proxy| proxy.id != id) {
        return Err(Failure::usage(format!("no proxy {id} is missed; `slotline status` names those that are gone")));
    }
    store.delete(&format!("{}/{id}", place.znodes.members())).map_err(Failure::new)?;
    print(match args.json {
        true => format!("{}\n", json!({"forgotten": id})),
        false => format!("proxy {id} is not missed any more\n"),
    });
    Ok(())
}

fn show(args: Args) -> Result<(), Failure> {
    let (place, _) = args.place.resolve()?;
    let mut store = place.open()?;
    let proxies = list(store.as_mut(), &place)?;
    if args.json {
        print(format!("{}\n", json!(proxies)));
        return Ok(());
    }
    let epoch = place.topology(store.as_mut()).map_or(0, |topology| topology.epoch);
    // What the table has no room for is in the JSON.
    let mut rows = vec![["HTTP", "ADMIN", "EPOCH", "ID"].map(Cell::from)];
    rows.extend(proxies.iter().map(|proxy| {
        let Proxy { id, http, admin, epoch: own, .. } = proxy;
        let paint = if *own >= epoch { Paint::Good } else { Paint::Bad };
        let texts = [http, admin, id].map(|text| Cell::from(text.as_str()));
        let [http, admin, id] = texts;
        [http, admin, painted(own.to_string(), paint), id]
    }));
    print(Screen::stdout().table(&rows));
    Ok(())
}
