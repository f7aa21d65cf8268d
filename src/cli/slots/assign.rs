//! `slotline slots assign`.

use crate::topology::{GroupId, change};

use super::super::cluster::Failure;
use super::super::cluster::change::ChangeArgs;

#[derive(clap::Args)]
pub struct Args {
    /// 5, 0-99, or 0-99,512,600-1023.
    slots: String,
    /// The group's number.
    group: GroupId,
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { slots, group, change } = args;
    let list = change::parse_ranges(&slots).map_err(Failure::usage)?;
    let mut change = change.begin()?;
    let before = change.topology()?;
    let spec = change::assign(&before, &list, group).map_err(Failure::usage)?;
    change.make(&format!("slots assign {slots} {group}"), spec)
}
