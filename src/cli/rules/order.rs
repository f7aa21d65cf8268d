//! `slotline rules order`.

use crate::topology::change;

use super::super::cluster::Failure;
use super::super::cluster::change::ChangeArgs;

#[derive(clap::Args)]
pub struct Args {
    /// All rules' numbers, as `topology show` prints them, in the new order.
    #[arg(required = true)]
    numbers: Vec<usize>,
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { numbers, change } = args;
    let mut change = change.begin()?;
    let before = change.topology()?;
    let spec = change::order_rules(&before, &numbers).map_err(Failure::usage)?;
    change.make(&format!("rules order {}", super::listed(&numbers)), spec)
}
