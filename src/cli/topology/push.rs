//! `slotline topology push`.

use super::super::cluster::Failure;
use super::super::cluster::change::ChangeArgs;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    if !args.change.has_file() {
        return Err(Failure::usage("topology push needs --config FILE, whose topology it sends"));
    }
    let change = args.change.begin()?;
    let Some(wanted) = change.config().and_then(|config| config.topology.as_ref()) else {
        return Err(Failure::usage("the file has no [[group]]: there is no topology to push"));
    };
    let spec = wanted.spec().clone();
    change.make("topology push", spec)
}
