//! `slotline spool`: what waits on disk for which replica, as operators see and move it.

mod dead;
mod drop;
mod ls;
mod r#move;
mod show;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use futures_channel::oneshot;
use futures_lite::future::block_on;
use serde_json::Value;

use crate::config::Config;
use crate::spool::{DeadLine, Queue, Spool, Spools, look};
use crate::topology;

use super::{ConfigFile, EXIT_BAD_START, print, read_config};

/// Read from a log at once.
const READ_BYTES: usize = 4 * 1024 * 1024;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List what waits for each replica; works while the proxy runs.
    Ls(ls::Args),
    /// Print the records that wait for a replica; works while the proxy runs.
    Show(show::Args),
    /// Print what InfluxDB refused for good, and why; works while the proxy runs.
    Dead(dead::Args),
    /// Let another replica take what waits for one; the proxy must not run.
    Move(r#move::Args),
    /// Give up what waits for a replica; it goes to the dead letters first. The proxy must not run.
    Drop(drop::Args),
}

/// Why a command did not do what it was asked to.
enum Failure {
    /// What the operator wrote; it was told already.
    Told(ExitCode),
    Usage(String),
    Spool(String),
}

impl Failure {
    fn spool(error: impl ToString) -> Failure {
        Failure::Spool(error.to_string())
    }
}

pub fn run(args: Args) -> ExitCode {
    // Damage is told.
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr);
    log.with_ansi(false).with_target(false).without_time().init();
    let done = match args.verb {
        Verb::Ls(args) => ls::run(args),
        Verb::Show(args) => show::run(args),
        Verb::Dead(args) => dead::run(args),
        Verb::Move(args) => r#move::run(args),
        Verb::Drop(args) => drop::run(args),
    };
    let (text, code) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Told(code)) => return code,
        Err(Failure::Usage(text)) => (text, ExitCode::from(EXIT_BAD_START)),
        Err(Failure::Spool(text)) => (text, ExitCode::FAILURE),
    };
    eprintln!("slotline: {text}");
    code
}

/// The spools that a configuration names.
struct Place {
    config: Config,
    dir: PathBuf,
}

impl Place {
    fn of(file: &ConfigFile) -> Result<Place, Failure> {
        let config = read_config(&file.config).map_err(Failure::Told)?;
        let dir = config.server.data_dir.join("spool");
        Ok(Place { config, dir })
    }

    /// Whose spools there are.
    fn names(&self) -> Result<Vec<String>, Failure> {
        look::names(&self.dir).map_err(|error| Failure::Spool(format!("{}: {error}", self.dir.display())))
    }

    /// One of them.
    fn check(&self, replica: &str) -> Result<(), Failure> {
        let names = self.names()?;
        if names.iter().any(|name| name == replica) {
            return Ok(());
        }
        let there =
            if names.is_empty() { "there are none".to_owned() } else { format!("there are: {}", names.join(", ")) };
        let dir = self.dir.display();
        Err(Failure::Usage(format!("no spool of a replica {replica} lies in {dir}; {there}")))
    }

    /// The replicas of the topology: the file's, or with ZooKeeper the one that was served last; `None` if there is none.
    fn replicas(&self) -> Option<BTreeSet<String>> {
        let kept = || topology::parse(&std::fs::read(self.config.server.data_dir.join("topology.json")).ok()?).ok();
        let kept = if self.config.cluster.zookeeper.is_empty() { None } else { kept() };
        let topology = kept.or_else(|| self.config.topology.clone())?;
        Some(topology.replicas().map(|replica| replica.name.clone()).collect())
    }

    fn spools(&self) -> Result<Arc<Spools>, Failure> {
        Spools::open(&self.dir, self.config.spool.clone()).map_err(Failure::spool)
    }
}

/// Waits for what a spool's thread does.
fn wait<T, E: ToString>(spool: &Spool, answer: oneshot::Receiver<Result<T, E>>) -> Result<T, Failure> {
    match block_on(answer) {
        Ok(done) => done.map_err(Failure::spool),
        Err(_) => Err(Failure::Spool(format!("spool of replica {}: its thread has panicked", spool.name()))),
    }
}

/// Nothing of what was taken out of a log comes back, also after a crash.
fn finish(spool: &Spool, queue: Queue) -> Result<(), Failure> {
    wait(spool, spool.finish(queue)).map(|_| ())
}

fn print_json(value: &Value) {
    print(format!("{value:#}\n"));
}

/// A dead letter, or a record that waits, under a line of comment, as lines that could be written again.
fn text(line: &DeadLine, more: &str) -> String {
    let DeadLine { at, db, rp, reason, points, precision, .. } = line;
    let mut text = format!("# {at} {more}db={db:?} rp={rp:?}");
    if let Some(precision) = precision {
        text.push_str(&format!(" precision={precision} points={points}"));
    }
    if !reason.is_empty() {
        text.push_str(&format!(" reason={reason:?}"));
    }
    text.push('\n');
    let base64 = line.lines_base64.as_ref().map(|base64| format!("# not UTF-8, as base64: {base64}"));
    let body = line.lines.as_ref().or(line.statement.as_ref()).or(base64.as_ref());
    text.extend(body.map(String::as_str));
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn json(line: &DeadLine, more: &[(&str, Value)]) -> Value {
    let mut value = serde_json::to_value(line).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }
    value
}
