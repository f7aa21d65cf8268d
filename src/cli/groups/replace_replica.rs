//! `slotline groups replace-replica`.

use crate::topology::change;

use super::super::cluster::Failure;
use super::super::cluster::change::ChangeArgs;
use super::super::cluster::credentials::{CredentialArgs, Named, named};
use super::one;

#[derive(clap::Args)]
pub struct Args {
    /// The replica that goes.
    old: String,
    /// The server that takes its place: NAME=http://HOST:PORT. Under the old one's name it gets what waits for that one in
    /// spools; under another name that stays there, for `slotline spool move`.
    #[arg(value_name = "NAME=URL", value_parser = named)]
    new: Named,
    #[command(flatten)]
    credentials: CredentialArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { old, new, credentials, change } = args;
    let mut change = change.begin()?;
    let before = change.topology()?;
    let given = one(credentials.give(&before, std::slice::from_ref(&new))?)?;
    let spec = change::replace_replica(&before, &old, given).map_err(Failure::usage)?;
    change.make(&format!("groups replace-replica {old} {}", new.name), spec)
}
