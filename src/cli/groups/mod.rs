//! `slotline groups`: the groups of a running cluster, and their replicas.

mod add;
mod add_replica;
mod remove;
mod replace_replica;
mod serve;

use std::process::ExitCode;

use crate::topology::ReplicaSpec;

use super::cluster::{Failure, ended};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Add a group without slots, with the others' databases and users; `slots` gives it some.
    Add(add::Args),
    /// Remove a group that owns no slots, or a replica.
    Remove(remove::Args),
    /// Add a replica to a group: it takes every write, and no read before `groups serve`.
    AddReplica(add_replica::Args),
    /// Put another server in a replica's place; it takes every write, and no read before `groups serve`.
    ReplaceReplica(replace_replica::Args),
    /// Let a replica whose data was restored answer queries.
    Serve(serve::Args),
}

pub fn run(args: Args) -> ExitCode {
    ended(match args.verb {
        Verb::Add(args) => add::run(args),
        Verb::Remove(args) => remove::run(args),
        Verb::AddReplica(args) => add_replica::run(args),
        Verb::ReplaceReplica(args) => replace_replica::run(args),
        Verb::Serve(args) => serve::run(args),
    })
}

/// The one replica that was named.
fn one(replicas: Vec<ReplicaSpec>) -> Result<ReplicaSpec, Failure> {
    replicas.into_iter().next().ok_or_else(|| Failure::usage("no replica is named"))
}
