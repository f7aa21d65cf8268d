//! The program's commands, a file each. Help comes from the table here.

mod check_config;
mod cluster;
mod columns;
mod default_config;
mod dev;
mod groups;
mod proxies;
mod route;
mod rules;
mod serve;
mod slots;
mod spool;
mod status;
mod topology;
mod udp;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};

use crate::config::Config;

/// Many InfluxDB 1.x servers behind one address, as one InfluxDB.
#[derive(Parser)]
#[command(name = "slotline", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy in the foreground.
    Serve(serve::Args),
    /// Start a whole cluster on this machine: real influxd processes and the proxy before them.
    Dev(dev::Args),
    /// Check a configuration; every fault is listed.
    CheckConfig(check_config::Args),
    /// Print the commented configuration with every default.
    DefaultConfig,
    /// Show where lines or a query would go, without sending anything.
    Route(route::Args),
    /// What waits on disk for which replica, and what InfluxDB refused for good.
    Spool(spool::Args),
    /// Show or change a cluster's topology in ZooKeeper.
    Topology(topology::Args),
    /// Add, remove and replace groups and replicas of a cluster.
    Groups(groups::Args),
    /// Show or change which group owns which slot.
    Slots(slots::Args),
    /// Add, remove, order and try rules: which tags decide where points go.
    Rules(rules::Args),
    /// Add, remove and list the UDP listeners that all proxies open.
    Udp(udp::Args),
    /// List the proxies that are there.
    Proxies(proxies::Args),
    /// Show how a cluster fares: proxies, replicas, what waits, and what needs a hand.
    Status(status::Args),
}

/// Bad configuration, locked data, taken port, unfit machine.
const EXIT_BAD_START: u8 = 2;

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let code = match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Dev(args) => dev::run(args),
        Command::CheckConfig(args) => check_config::run(args),
        Command::DefaultConfig => default_config::run(),
        Command::Route(args) => route::run(args),
        Command::Spool(args) => spool::run(args),
        Command::Topology(args) => topology::run(args),
        Command::Groups(args) => groups::run(args),
        Command::Slots(args) => slots::run(args),
        Command::Rules(args) => rules::run(args),
        Command::Udp(args) => udp::run(args),
        Command::Proxies(args) => proxies::run(args),
        Command::Status(args) => status::run(args),
    };
    // Whoever keeps what a command prints would take the half for the whole.
    if UNPRINTED.load(Ordering::Relaxed) && code == ExitCode::SUCCESS { ExitCode::FAILURE } else { code }
}

/// Something could not be printed, though somebody waits for it: a file on a full disk, say.
static UNPRINTED: AtomicBool = AtomicBool::new(false);

/// Prints; a command goes on to its end also when nobody reads any more.
fn print(text: impl AsRef<[u8]>) {
    let mut to = std::io::stdout().lock();
    match to.write_all(text.as_ref()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe && !UNPRINTED.swap(true, Ordering::Relaxed) => {
            eprintln!("slotline: not all could be printed: {error}");
        }
        _ => {}
    }
}

/// Reads a configuration; its faults are printed, and become the exit code.
fn read_config(path: &Path) -> Result<Config, ExitCode> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        eprintln!("slotline: {}: {error}", path.display());
        ExitCode::from(EXIT_BAD_START)
    })?;
    Config::parse(&text).map_err(|faults| {
        for fault in faults {
            eprintln!("slotline: {}: {fault}", path.display());
        }
        ExitCode::from(EXIT_BAD_START)
    })
}

/// `--config FILE`.
#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}
