//! How the proxies shall speak to a new replica: username and password, which never stand on a command line.

use std::path::PathBuf;

use crate::topology::{ReplicaSpec, Topology};

use super::Failure;

const VARIABLE: &str = "SLOTLINE_REPLICA_PASSWORD";

#[derive(clap::Args)]
pub struct CredentialArgs {
    /// How slotline speaks to the new replicas; "" without authentication [default: as to the others, if that is one way].
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    /// Holds the password; without it the environment's SLOTLINE_REPLICA_PASSWORD does.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
}

/// A replica as it is named on a command line.
#[derive(Clone)]
pub struct Named {
    pub name: String,
    pub url: String,
}

/// Reads `NAME=URL`.
pub fn named(text: &str) -> Result<Named, String> {
    match text.split_once('=') {
        Some((name, url)) if !name.is_empty() && url.contains("://") => {
            Ok(Named { name: name.to_owned(), url: url.to_owned() })
        }
        _ => Err("a replica is written NAME=http://HOST:PORT".to_owned()),
    }
}

impl CredentialArgs {
    /// The replicas with their credentials.
    pub fn give(&self, topology: &Topology, replicas: &[Named]) -> Result<Vec<ReplicaSpec>, Failure> {
        let (username, password) = self.pair(topology)?;
        let spec = |Named { name, url }: &Named| ReplicaSpec {
            name: name.clone(),
            url: url.clone(),
            username: username.clone(),
            password: password.clone(),
            state: "serving".to_owned(),
        };
        Ok(replicas.iter().map(spec).collect())
    }

    fn pair(&self, topology: &Topology) -> Result<(String, String), Failure> {
        let Some(username) = &self.username else {
            let mut pairs = topology.replicas().map(|replica| (replica.username.clone(), replica.password.clone()));
            let first = pairs.next().unwrap_or_default();
            return match pairs.all(|pair| pair == first) {
                true => Ok(first),
                false => Err(Failure::usage(
                    "the cluster's replicas have different credentials: --username USER says which the new one has \
                     (\"\": none)",
                )),
            };
        };
        if username.is_empty() {
            return Ok(Default::default());
        }
        let password = match &self.password_file {
            Some(path) => std::fs::read_to_string(path)
                .map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
                .map_err(|error| Failure::usage(format!("--password-file {}: {error}", path.display())))?,
            None => std::env::var(VARIABLE)
                .map_err(|_| Failure::usage(format!("--username needs --password-file FILE, or {VARIABLE}")))?,
        };
        Ok((username.clone(), password))
    }
}
