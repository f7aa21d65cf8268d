//! `slotline check-config`.

use std::process::ExitCode;

use super::{ConfigFile, read_config};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
}

pub fn run(args: Args) -> ExitCode {
    match read_config(&args.file.config) {
        Ok(_) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}
