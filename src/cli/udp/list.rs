//! `slotline udp list`.

use crate::topology::print_udp;

use super::super::cluster::table::{Cell, Screen};
use super::super::cluster::{Failure, PlaceArgs};
use super::super::print;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print the document.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let (place, _) = args.place.resolve()?;
    let (listeners, _) = super::read(place.open()?.as_mut(), &place)?;
    if args.json {
        print(format!("{}\n", print_udp(&listeners)));
        return Ok(());
    }
    let mut rows = vec![["LISTENS ON", "DATABASE", "POLICY", "PRECISION", "SPREAD"].map(Cell::from)];
    rows.extend(listeners.iter().map(|listener| {
        let target = &listener.target;
        let rp = if target.rp.is_empty() { "default" } else { &target.rp };
        let texts = [target.db.as_str(), rp, target.precision.as_str(), listener.spread.as_str()];
        let [db, rp, precision, spread] = texts.map(Cell::from);
        [listener.bind.to_string().into(), db, rp, precision, spread]
    }));
    print(Screen::stdout().table(&rows));
    Ok(())
}
