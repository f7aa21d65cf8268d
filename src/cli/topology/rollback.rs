//! `slotline topology rollback`: an earlier topology is put in force again, as a new epoch.

use super::super::cluster::change::ChangeArgs;
use super::super::cluster::{Failure, history};

#[derive(clap::Args)]
pub struct Args {
    /// The epoch whose topology is wanted; see `topology history`.
    epoch: u64,
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let mut change = args.change.begin()?;
    let (store, place) = change.store();
    let spec = history::topology(store, &place.znodes, args.epoch)?.spec().clone();
    change.make(&format!("topology rollback {}", args.epoch), spec)
}
