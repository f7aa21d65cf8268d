//! `slotline rules remove`.

use crate::topology::change;

use super::super::cluster::Failure;
use super::super::cluster::change::ChangeArgs;

#[derive(clap::Args)]
pub struct Args {
    /// Their numbers, as `topology show` prints them.
    #[arg(required = true)]
    numbers: Vec<usize>,
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { numbers, change } = args;
    let mut change = change.begin()?;
    let before = change.topology()?;
    let spec = change::remove_rules(&before, &numbers).map_err(Failure::usage)?;
    change.make(&format!("rules remove {}", super::listed(&numbers)), spec)
}
