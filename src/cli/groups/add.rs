//! `slotline groups add`.

use crate::topology::{GroupId, change};

use super::super::cluster::Failure;
use super::super::cluster::change::ChangeArgs;
use super::super::cluster::credentials::{CredentialArgs, Named, named};

#[derive(clap::Args)]
pub struct Args {
    /// Its replicas: NAME=http://HOST:PORT, empty servers.
    #[arg(required = true, value_name = "NAME=URL", value_parser = named)]
    replicas: Vec<Named>,
    /// Its number [default: the next one].
    #[arg(long)]
    id: Option<GroupId>,
    #[command(flatten)]
    credentials: CredentialArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { replicas, id, credentials, change } = args;
    let mut change = change.begin()?;
    let before = change.topology()?;
    let given = credentials.give(&before, &replicas)?;
    let spec = change::add_group(&before, id, given).map_err(Failure::usage)?;
    let names: Vec<&str> = replicas.iter().map(|replica| replica.name.as_str()).collect();
    change.make(&format!("groups add {}", names.join(" ")), spec)
}
