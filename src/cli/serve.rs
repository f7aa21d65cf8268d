//! `slotline serve`.

use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::server;

use super::{ConfigFile, EXIT_BAD_START, read_config};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Start although the topology moves slots or changes rules against the last one: data may be hidden.
    #[arg(long)]
    accept_topology: bool,
}

pub fn run(args: Args) -> ExitCode {
    let config = match read_config(&args.file.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    // A thread of its own writes the log: a full pipe must not stop a shard. What does not fit is counted and dropped.
    let (writer, _written_at_exit) = tracing_appender::non_blocking(std::io::stderr());
    let filter = EnvFilter::try_from_env("SLOTLINE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_target(false).with_writer(writer).init();
    match server::serve(config, args.accept_topology) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slotline: {error}");
            ExitCode::from(EXIT_BAD_START)
        }
    }
}
