//! `slotline topology`: a cluster's topology in ZooKeeper, as operators see and change it.

mod push;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::Config;
use crate::control::{self, Store};
use crate::topology::{Servers, Znodes};

use super::{EXIT_BAD_START, read_config};

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
}

/// Where the cluster is; what is not named here comes from the file's `[cluster]`.
#[derive(clap::Args)]
struct PlaceArgs {
    /// ZooKeeper: HOST:PORT[,HOST:PORT…][/chroot].
    #[arg(long, value_name = "SERVERS")]
    zookeeper: Option<String>,
    /// The cluster's name [default: main].
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// ZooKeeper's user:password; better in the environment as SLOTLINE_ZOOKEEPER_AUTH.
    #[arg(long, value_name = "USER:PASSWORD")]
    zookeeper_auth: Option<String>,
    /// A configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The cluster that a command works on.
struct Place {
    servers: Servers,
    auth: String,
    cluster: String,
    znodes: Znodes,
}

/// Why a command did nothing, and its exit code.
struct Failure {
    /// Empty: it was told already.
    text: String,
    code: ExitCode,
}

impl Failure {
    /// The cluster, or the way to it.
    fn new(text: impl ToString) -> Failure {
        Failure { text: text.to_string(), code: ExitCode::FAILURE }
    }

    /// What the operator wrote.
    fn usage(text: impl ToString) -> Failure {
        Failure { text: text.to_string(), code: ExitCode::from(EXIT_BAD_START) }
    }
}

pub fn run(args: Args) -> ExitCode {
    let done = match args.verb {
        Verb::Show(args) => show::run(args),
        Verb::Push(args) => push::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { text, code }) => {
            if !text.is_empty() {
                eprintln!("slotline: {text}");
            }
            code
        }
    }
}

impl PlaceArgs {
    /// Reads the file, if one is named, and finds out where the cluster is.
    fn resolve(self) -> Result<(Place, Option<Config>), Failure> {
        let PlaceArgs { zookeeper, cluster, zookeeper_auth, config } = self;
        let config = match config {
            Some(path) => Some(read_config(&path).map_err(|code| Failure { text: String::new(), code })?),
            None => None,
        };
        let file = config.as_ref().map(|config| &config.cluster);
        let servers = zookeeper.or_else(|| file.map(|file| file.zookeeper.clone())).unwrap_or_default();
        if servers.is_empty() {
            return Err(Failure::usage(
                "no ZooKeeper is named: --zookeeper HOST:PORT, or a --config FILE with cluster.zookeeper",
            ));
        }
        let servers = Servers::parse(&servers).map_err(|fault| Failure::usage(format!("--zookeeper: {fault}")))?;
        let cluster = cluster.or_else(|| file.map(|file| file.name.clone())).unwrap_or_else(|| "main".to_owned());
        let znodes = Znodes::of(&cluster).map_err(|fault| Failure::usage(format!("--cluster: {fault}")))?;
        let auth = zookeeper_auth.or_else(|| std::env::var("SLOTLINE_ZOOKEEPER_AUTH").ok());
        let auth = auth.or_else(|| file.map(|file| file.zookeeper_auth.clone())).unwrap_or_default();
        Ok((Place { servers, auth, cluster, znodes }, config))
    }
}

impl Place {
    fn open(&self) -> Result<Box<dyn Store>, Failure> {
        control::open(self.servers.clone(), &self.auth).map_err(Failure::new)
    }
}
