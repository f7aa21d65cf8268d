//! `slotline rules`: which tags, beside the measurement, decide where points of a running cluster go.

mod add;
mod order;
mod remove;
mod test;

use std::process::ExitCode;

use super::cluster::ended;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Add a rule.
    Add(add::Args),
    /// Remove rules by their numbers.
    Remove(remove::Args),
    /// Put the rules in another order: the first that fits a measurement decides.
    Order(order::Args),
    /// Show where lines go by the rules and slots in force, and which rule decides.
    Test(test::Args),
}

pub fn run(args: Args) -> ExitCode {
    ended(match args.verb {
        Verb::Add(args) => add::run(args),
        Verb::Remove(args) => remove::run(args),
        Verb::Order(args) => order::run(args),
        Verb::Test(args) => test::run(args),
    })
}

fn listed(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
}
