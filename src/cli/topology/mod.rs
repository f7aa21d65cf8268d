//! `slotline topology`: a cluster's topology in ZooKeeper, as operators see and change it as a whole.

mod diff;
mod history;
mod push;
mod rollback;
mod show;

use std::process::ExitCode;

use super::cluster::ended;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Print the topology that the cluster has now; passwords are left out.
    Show(show::Args),
    /// Put the topology of a configuration file in its place.
    Push(push::Args),
    /// Print what differs between two epochs, or between one, or a file, and now.
    Diff(diff::Args),
    /// List the topologies that were in force: when, by whom and why.
    History(history::Args),
    /// Put an earlier topology in its place.
    Rollback(rollback::Args),
}

pub fn run(args: Args) -> ExitCode {
    ended(match args.verb {
        Verb::Show(args) => show::run(args),
        Verb::Push(args) => push::run(args),
        Verb::Diff(args) => diff::run(args),
        Verb::History(args) => history::run(args),
        Verb::Rollback(args) => rollback::run(args),
    })
}
