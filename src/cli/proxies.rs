//! `slotline proxies`: who is there, and which epoch each applies.

use std::process::ExitCode;

use serde_json::json;

use super::cluster::proxies::{Proxy, list};
use super::cluster::table::{Cell, Paint, Screen, painted};
use super::cluster::{Failure, PlaceArgs, ended};

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
        println!("{}", json!(proxies));
        return Ok(());
    }
    let epoch = place.topology(store.as_mut()).map_or(0, |topology| topology.epoch);
    let mut rows = vec![["HTTP", "ADMIN", "EPOCH", "VERSION", "STARTED", "ID"].map(Cell::from)];
    rows.extend(proxies.iter().map(|proxy| {
        let Proxy { id, version, http, admin, epoch: own, started } = proxy.clone();
        let paint = if own >= epoch { Paint::Good } else { Paint::Bad };
        let started = started.split('.').next().unwrap_or_default().to_owned();
        [http.into(), admin.into(), painted(own.to_string(), paint), version.into(), started.into(), id.into()]
    }));
    print!("{}", Screen::stdout().table(&rows));
    Ok(())
}
