//! What the commands share that operate a running cluster through ZooKeeper: where it is, how a change is made (`change`),
//! what is shown and asked before (`plan`), what stands against it (`checks`), what new servers need (`newcomers`), what
//! servers are asked over HTTP (`influx`), what they store (`stored`), how two of
//! them differ (`likeness`), their databases and users (`schema`), which proxies
//! there are (`proxies`) and what they say (`metrics`), and how all that is shown (`table`).

pub mod change;
pub mod checks;
pub mod credentials;
pub mod history;
pub mod influx;
pub mod likeness;
pub mod metrics;
pub mod newcomers;
pub mod plan;
pub mod proxies;
pub mod schema;
pub mod stored;
pub mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::Config;
use crate::control::{self, Store, StoreError};
use crate::topology::{self, ROOT, Servers, Topology, Znodes};

use super::{EXIT_BAD_START, read_config};

/// Where the cluster is; what is not named here comes from the file's `[cluster]`.
#[derive(clap::Args)]
pub struct PlaceArgs {
    /// ZooKeeper: HOST:PORT[,HOST:PORT…][/chroot].
    #[arg(long, value_name = "SERVERS")]
    pub zookeeper: Option<String>,
    /// The cluster's name [default: main].
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// ZooKeeper's user:password; better in the environment as SLOTLINE_ZOOKEEPER_AUTH.
    #[arg(long, value_name = "USER:PASSWORD")]
    pub zookeeper_auth: Option<String>,
    /// A configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The cluster that a command works on.
pub struct Place {
    pub servers: Servers,
    pub auth: String,
    pub cluster: String,
    pub znodes: Znodes,
}

/// Why a command did nothing, or not all, and its exit code.
pub struct Failure {
    /// Empty: it was told already.
    pub text: String,
    pub code: ExitCode,
}

impl Failure {
    /// The cluster, or the way to it.
    pub fn new(text: impl ToString) -> Failure {
        Failure { text: text.to_string(), code: ExitCode::FAILURE }
    }

    /// What the operator wrote.
    pub fn usage(text: impl ToString) -> Failure {
        Failure { text: text.to_string(), code: ExitCode::from(EXIT_BAD_START) }
    }
}

/// The exit code of a command; what went wrong is told.
pub fn ended(done: Result<(), Failure>) -> ExitCode {
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
    pub fn resolve(self) -> Result<(Place, Option<Config>), Failure> {
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
    pub fn open(&self) -> Result<Box<dyn Store>, Failure> {
        self.connect().map_err(Failure::new)
    }

    pub fn connect(&self) -> Result<Box<dyn Store>, StoreError> {
        control::open(self.servers.clone(), &self.auth)
    }

    /// Which clusters there are, as far as our user may know.
    fn other_clusters(&self, store: &mut dyn Store) -> String {
        let mut names = store.children(ROOT).unwrap_or_default();
        names.retain(|name| *name != self.cluster);
        names.sort_unstable();
        if names.is_empty() { String::new() } else { format!(" (there are clusters {})", names.join(", ")) }
    }

    /// The topology that the cluster has now.
    pub fn topology(&self, store: &mut dyn Store) -> Result<Topology, Failure> {
        let Place { servers, cluster, .. } = self;
        let path = self.znodes.topology();
        let entry = store.read(&path).map_err(Failure::new)?;
        let Some(entry) = entry.filter(|entry| !entry.data.is_empty()) else {
            let others = self.other_clusters(store);
            return Err(Failure::new(format!(
                "ZooKeeper {servers}: no topology at {path}{others}; `slotline topology push --config FILE --zookeeper {servers} \
                 --cluster {cluster}` puts one there, `topology rollback EPOCH` an earlier one"
            )));
        };
        topology::parse(&entry.data).map_err(|fault| {
            Failure::new(format!(
                "ZooKeeper {servers}: the topology at {path} is broken, push it anew or `topology rollback EPOCH`: {fault}"
            ))
        })
    }
}
