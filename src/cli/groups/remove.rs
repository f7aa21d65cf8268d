//! `slotline groups remove`.

use crate::topology::{GroupId, change};

use super::super::cluster::Failure;
use super::super::cluster::change::ChangeArgs;

#[derive(clap::Args)]
pub struct Args {
    /// A group's number.
    #[arg(required_unless_present = "replica")]
    group: Option<GroupId>,
    /// Only this replica, of whatever group.
    #[arg(long, value_name = "NAME", conflicts_with = "group")]
    replica: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { group, replica, change } = args;
    let mut change = change.begin()?;
    let before = change.topology()?;
    let (words, spec) = match (group, replica) {
        (Some(id), _) => (format!("groups remove {id}"), change::remove_group(&before, id)),
        (None, Some(name)) => (format!("groups remove --replica {name}"), change::remove_replica(&before, &name)),
        (None, None) => return Err(Failure::usage("groups remove needs a group's number, or --replica NAME")),
    };
    change.make(&words, spec.map_err(Failure::usage)?)
}
