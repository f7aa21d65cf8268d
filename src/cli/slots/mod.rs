//! `slotline slots`: which group of a running cluster owns which of the 1024 slots.

mod assign;
mod show;
mod spread;

use std::process::ExitCode;

use super::cluster::ended;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Give slots to a group.
    Assign(assign::Args),
    /// Even slots out over groups, with as few moves as can be; those without data move first.
    Spread(spread::Args),
    /// Print a picture of the slots by group.
    Show(show::Args),
}

pub fn run(args: Args) -> ExitCode {
    ended(match args.verb {
        Verb::Assign(args) => assign::run(args),
        Verb::Spread(args) => spread::run(args),
        Verb::Show(args) => show::run(args),
    })
}
