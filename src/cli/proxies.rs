//! `slotline proxies`: who is there, and which epoch each applies.

use std::process::ExitCode;

use serde_json::json;

use super::cluster::proxies::{Proxy, list};
use super::cluster::table::{Cell, Paint, Screen, painted};
use super::cluster::{Failure, PlaceArgs, ended};
use super::print;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> ExitCode {
    ended(show(args))
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
