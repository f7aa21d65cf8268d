//! `slotline topology history`.

use serde_json::json;

use super::super::cluster::table::{Cell, Screen};
use super::super::cluster::{Failure, PlaceArgs, history};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Only the last so many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let (place, _) = args.place.resolve()?;
    let mut store = place.open()?;
    let epochs = history::epochs(store.as_mut(), &place.znodes).map_err(Failure::new)?;
    let mut notes = Vec::new();
    for epoch in epochs.iter().rev().take(args.last) {
        notes.extend(history::read(store.as_mut(), &place.znodes, *epoch).map_err(Failure::new)?);
    }
    if args.json {
        let note = |note: &history::Note| json!({"epoch": note.epoch, "at": note.at, "by": note.by, "why": note.why});
        println!("{}", json!(notes.iter().map(note).collect::<Vec<_>>()));
        return Ok(());
    }
    let mut rows = vec![["EPOCH", "AT", "BY", "WHY"].map(Cell::from)];
    // Seconds are exact enough here.
    let at = |note: &history::Note| note.at.split('.').next().unwrap_or_default().to_owned();
    rows.extend(
        notes.iter().map(|note| [note.epoch.to_string(), at(note), note.by.clone(), note.why.clone()].map(Cell::from)),
    );
    print!("{}", Screen::stdout().table(&rows));
    Ok(())
}
