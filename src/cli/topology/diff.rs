//! `slotline topology diff`.

use serde_json::json;

use crate::topology::{Topology, changes_that_hide_data, harmless_changes};

use super::super::cluster::{Failure, PlaceArgs, history};
use super::super::print;

#[derive(clap::Args)]
pub struct Args {
    /// From this epoch [default: the one in force].
    from: Option<u64>,
    /// To this epoch [default: the file's topology if --config names one, else the one in force].
    to: Option<u64>,
    #[command(flatten)]
    place: PlaceArgs,
    /// Print the differences as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let (place, config) = args.place.resolve()?;
    let mut store = place.open()?;
    let mut epoch = |epoch: Option<u64>| match epoch {
        Some(epoch) => history::topology(store.as_mut(), &place.znodes, epoch),
        None => place.topology(store.as_mut()),
    };
    let from = epoch(args.from)?;
    let file: Option<Topology> = config.and_then(|config| config.topology).filter(|_| args.to.is_none());
    let (name, to) = match file {
        Some(topology) => ("the file".to_owned(), topology),
        None if args.from.is_none() => {
            return Err(Failure::usage("name an epoch (see `topology history`), or a --config FILE with a topology"));
        }
        None => {
            let to = epoch(args.to)?;
            (format!("epoch {}", to.epoch), to)
        }
    };
    let mut lines = harmless_changes(&from, &to);
    lines.extend(changes_that_hide_data(&from, &to).iter().map(ToString::to_string));
    if args.json {
        print(format!("{}\n", json!({"from": from.epoch, "to": name, "changes": lines})));
        return Ok(());
    }
    print(format!("from epoch {} to {name}:\n", from.epoch));
    lines.iter().for_each(|line| print(format!("  {line}\n")));
    if lines.is_empty() {
        print("  nothing differs\n");
    }
    Ok(())
}
