//! `slotline slots spread`.

use crate::topology::{GroupId, SLOTS, change};

use super::super::cluster::change::ChangeArgs;
use super::super::cluster::{Failure, stored};

#[derive(clap::Args)]
pub struct Args {
    /// Over these groups only, with what the others own [default: over all].
    groups: Vec<GroupId>,
    /// Move no slot that holds data, be it even or not.
    #[arg(long)]
    empty: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { groups, empty, change } = args;
    let mut change = change.begin()?;
    let before = change.topology()?;
    let owning: Vec<GroupId> = before.groups().iter().map(|group| group.id).collect();
    let stored = stored::look(&owning, &before, &before);
    // Of a group that cannot be asked every slot may hold data.
    let holding = if stored.unknown.is_empty() { stored.slots(&before) } else { [true; SLOTS] };
    let spec = change::spread(&before, &groups, &|slot| holding[slot.index()], empty).map_err(Failure::usage)?;
    let named: Vec<String> = groups.iter().map(GroupId::to_string).collect();
    let words = [&["slots".to_owned(), "spread".to_owned()], &named[..]].concat().join(" ");
    change.make(&format!("{words}{}", if empty { " --empty" } else { "" }), spec)
}
