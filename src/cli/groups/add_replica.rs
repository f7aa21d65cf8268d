//! `slotline groups add-replica`.

use crate::topology::{GroupId, change};

use super::super::cluster::Failure;
use super::super::cluster::change::ChangeArgs;
use super::super::cluster::credentials::{CredentialArgs, Named, named};
use super::one;

#[derive(clap::Args)]
pub struct Args {
    /// The group's number.
    group: GroupId,
    /// The new replica: NAME=http://HOST:PORT.
    #[arg(value_name = "NAME=URL", value_parser = named)]
    replica: Named,
    #[command(flatten)]
    credentials: CredentialArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { group, replica, credentials, change } = args;
    let mut change = change.begin()?;
    let before = change.topology()?;
    let given = one(credentials.give(&before, std::slice::from_ref(&replica))?)?;
    let spec = change::add_replica(&before, group, given).map_err(Failure::usage)?;
    change.make(&format!("groups add-replica {group} {}", replica.name), spec)
}
