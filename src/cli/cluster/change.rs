//! How commands change a topology: read, plan, ask, bring new servers to the databases and users of the others, replace by
//! compare-and-set, write down who and why, wait, and look once more.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::config::Config;
use crate::control::{Expect, Store, StoreError};
use crate::influxql::parse_duration;
use crate::topology::{self, Spec, SpecFault, Topology, changes_that_hide_data, harmless_changes};

use super::super::print;
use super::checks::Checks;
use super::newcomers::Newcomers;
use super::plan::{Manner, Objection, Plan};
use super::proxies::{self, Proxy};
use super::schema::{self, Passwords};
use super::{Failure, Place, PlaceArgs, history, stored};

/// How long proxies are waited for before new servers are looked at once more.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long ZooKeeper is waited for that went away amid a change.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const RECONNECT_PAUSE: Duration = Duration::from_millis(300);

#[derive(clap::Args)]
pub struct ChangeArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    manner: MannerArgs,
    /// Passwords of users that new servers lack: lines of NAME:PASSWORD. InfluxDB does not tell them.
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
}

/// What every command that changes something takes.
#[derive(clap::Args)]
pub struct MannerArgs {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Do it although stored points would no longer be found, or in spite of other objections.
    #[arg(long)]
    force: bool,
    /// Only show what would be done.
    #[arg(long)]
    dry_run: bool,
    /// The reason, for the history [default: the command].
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Wait until every live proxy applies it, or so long [default: 30s], and name those that do not.
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30s",
        value_parser = time
    )]
    wait: Option<Duration>,
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

/// An argument like `30s`.
pub fn time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).ok().and_then(|ns| u64::try_from(ns).ok());
    time.map(Duration::from_nanos).ok_or_else(|| "a time like 500ms, 5s or 2m is wanted".to_owned())
}

impl MannerArgs {
    pub fn manner(&self) -> Manner {
        let MannerArgs { yes, force, dry_run, json, .. } = *self;
        Manner { yes, force, dry_run, json }
    }

    pub fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// The reason, `command` if none is given.
    pub fn why<'a>(&'a self, command: &'a str) -> &'a str {
        self.why.as_deref().unwrap_or(command)
    }
}

/// What ZooKeeper holds before a change.
struct Before {
    expect: Expect,
    /// The topology in force, or the last one that was; `None` if there was never one that can be read.
    topology: Option<Topology>,
    /// The highest so far, 0 if there was none.
    epoch: u64,
    /// That were there.
    proxies: Vec<Proxy>,
    /// That should have been there.
    gone: Vec<Proxy>,
    /// Why `topology` is not what the znode holds.
    trouble: Option<String>,
}

/// A change that is being made.
pub struct Change {
    place: Place,
    config: Option<Config>,
    store: Box<dyn Store>,
    manner: MannerArgs,
    passwords: Passwords,
    before: Before,
    /// What the command itself has against it.
    objections: Vec<Objection>,
    /// A replica that the command has held against its peers.
    compared: Option<String>,
}

impl ChangeArgs {
    /// Whether a configuration file is named.
    pub fn has_file(&self) -> bool {
        self.place.config.is_some()
    }

    /// Reads what is there.
    pub fn begin(self) -> Result<Change, Failure> {
        let (place, config) = self.place.resolve()?;
        let passwords = match &self.users {
            None => Passwords::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| error.to_string())
                .and_then(|text| schema::parse_passwords(&text))
                .map_err(|fault| Failure::usage(format!("--users {}: {fault}", path.display())))?,
        };
        let mut store = place.open()?;
        let before = look(store.as_mut(), &place)?;
        let (manner, objections, compared) = (self.manner, Vec::new(), None);
        Ok(Change { place, config, store, manner, passwords, before, objections, compared })
    }
}

impl Change {
    /// The topology in force; it must be there and sound.
    pub fn topology(&mut self) -> Result<Topology, Failure> {
        match (&self.before.topology, &self.before.trouble) {
            (Some(topology), None) => Ok(topology.clone()),
            // Which says what is wrong.
            _ => self.place.topology(self.store.as_mut()),
        }
    }

    pub fn store(&mut self) -> (&mut dyn Store, &Place) {
        (self.store.as_mut(), &self.place)
    }

    pub fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// Only forced is it done then.
    pub fn object(&mut self, objection: Objection) {
        self.objections.push(objection);
    }

    /// What holding a replica against its peers has come to.
    pub fn compared(&mut self, replica: &str, objections: impl IntoIterator<Item = Objection>) {
        self.compared = Some(replica.to_owned());
        self.objections.extend(objections);
    }

    /// Makes it: `words` are the command, for the history.
    pub fn make(self, words: &str, spec: Spec) -> Result<(), Failure> {
        let Change { place, mut store, manner, passwords, before, objections, compared, .. } = self;
        let after = spec.build(before.epoch + 1).map_err(|faults| Failure::usage(told(&faults)))?;
        let mut plan = compare(&before, &after);
        if plan.is_empty() {
            let epoch = before.topology.map_or(before.epoch, |now| now.epoch);
            match manner.json {
                true => print(format!("{}\n", json!({"epoch": epoch, "changed": false, "changes": []}))),
                false => {
                    print(format!("nothing changes: cluster {} has this topology, at epoch {epoch}\n", place.cluster))
                }
            }
            return Ok(());
        }
        let mut newcomers = None;
        if let Some(now) = &before.topology {
            let checks = Checks::begin(store.as_mut(), &place, (now, &after), compared.as_deref())?;
            checks.look(store.as_mut(), &place, &mut plan)?;
            checks.absent(&before.gone, &mut plan);
            newcomers = Newcomers::find(&checks, &passwords, &mut plan);
        }
        plan.objections.extend(objections);
        if !plan.agreed(manner.manner())? {
            return Ok(());
        }
        if let Some(newcomers) = &newcomers {
            newcomers.copy(&passwords, manner.force)?;
        }
        send(&mut store, &place, &before, &after, manner.why(words))?;
        let mut done = plan.json();
        done["changed"] = true.into();
        done["epoch"] = after.epoch.into();
        if !manner.json {
            print(format!("cluster {}: epoch {} is in force\n", place.cluster, after.epoch));
        }
        let settling = Settling { known: &before.proxies, newcomers: newcomers.is_some(), wait: manner.wait };
        let applied = settling.settle(&mut store, &place, before.topology.as_ref(), &after)?;
        if let Some(now) = before.topology.filter(|_| applied.is_some()) {
            let late = afterthoughts(&now, &after, &plan, newcomers.as_ref(), &passwords);
            late.iter().for_each(|line| eprintln!("slotline: {line}"));
            done["warnings"] = late.into();
        }
        let waited = applied.filter(|_| manner.wait.is_some());
        waited.iter().for_each(|waited| waited.add_to(&mut done));
        if manner.json {
            print(format!("{done}\n"));
        }
        waited.map_or(Ok(()), |waited| waited.tell(&format!("epoch {}", after.epoch), manner.json))
    }
}

impl proxies::Applied {
    /// The same for programs.
    pub fn add_to(&self, done: &mut Value) {
        done["proxies"] = self.proxies.into();
        done["behind"] = self.behind.clone().into();
        done["seconds"] = self.took.as_secs_f64().into();
        done["unknown"] = self.unknown.as_ref().map(ToString::to_string).into();
    }

    /// Says how it went; that some do not follow is a failure.
    pub fn tell(&self, what: &str, json: bool) -> Result<(), Failure> {
        let proxies::Applied { took, proxies, behind, unknown } = self;
        if let Some(error) = unknown {
            return Err(Failure::new(format!(
                "{what} is in ZooKeeper; whether the proxies apply it is not known: {error}; see `slotline status`"
            )));
        }
        if !behind.is_empty() {
            return Err(Failure::new(format!(
                "{} of {proxies} proxies do not apply {what} after {:.1} s: {}; `slotline status` says more",
                behind.len(),
                took.as_secs_f64(),
                behind.join("; ")
            )));
        }
        match (json, proxies) {
            (true, _) => {}
            (false, 0) => print(format!("no proxy is registered: nobody applies {what} yet\n")),
            (false, _) => print(format!("all {proxies} proxies apply {what} ({:.2} s)\n", took.as_secs_f64())),
        }
        Ok(())
    }
}

fn told(faults: &[SpecFault]) -> String {
    let texts: Vec<&str> = faults.iter().map(|fault| fault.text.as_str()).collect();
    texts.join("; ")
}

fn look(store: &mut dyn Store, place: &Place) -> Result<Before, Failure> {
    let entry = store.read(&place.znodes.topology()).map_err(Failure::new)?;
    let last = history::epochs(store, &place.znodes).map_err(Failure::new)?.last().copied().unwrap_or(0);
    // What proxies still serve may be in no znode any more: an epoch of theirs that came again would look applied at once.
    let proxies = proxies::list(store, place)?;
    let gone = proxies::gone(store, place, &proxies)?;
    let applied = proxies.iter().map(|proxy| proxy.epoch).max().unwrap_or(0);
    let expect = entry.as_ref().map_or(Expect::Absent, |entry| Expect::Version(entry.version));
    let trouble = match entry.map(|entry| entry.data) {
        None if last.max(applied) == 0 => None,
        None => Some("it was deleted".to_owned()),
        Some(data) => match topology::parse(&data) {
            Ok(now) => {
                return Ok(Before {
                    expect,
                    epoch: now.epoch.max(last).max(applied),
                    topology: Some(now),
                    proxies,
                    gone,
                    trouble: None,
                });
            }
            Err(_) if data.is_empty() => Some("it is empty".to_owned()),
            Err(fault) => Some(format!("it is broken: {fault}")),
        },
    };
    // The proxies still serve the last good one, which most likely is the one of the highest epoch.
    let note = history::read(store, &place.znodes, last).map_err(Failure::new)?;
    Ok(Before {
        expect,
        epoch: last.max(applied),
        topology: note.and_then(|note| note.topology),
        proxies,
        gone,
        trouble,
    })
}

fn compare(before: &Before, after: &Topology) -> Plan {
    let Before { topology, trouble, .. } = before;
    let mut plan = Plan::default();
    match (topology, trouble) {
        (None, None) => plan.changes.push("the cluster's first topology".to_owned()),
        (None, Some(trouble)) => {
            plan.changes.push("the topology in ZooKeeper is replaced".to_owned());
            let what = format!("the topology in ZooKeeper cannot be compared, since {trouble}");
            plan.objections.push(Objection::new(what, ""));
        }
        (Some(_), Some(trouble)) => plan
            .changes
            .push(format!("the topology in ZooKeeper is replaced, since {trouble}; compared with the last one:")),
        (Some(_), None) => {}
    }
    if let Some(topology) = topology {
        plan.changes.extend(harmless_changes(topology, after));
        plan.changes.extend(changes_that_hide_data(topology, after).iter().map(ToString::to_string));
    }
    plan
}

fn send(
    store: &mut Box<dyn Store>,
    place: &Place,
    before: &Before,
    after: &Topology,
    why: &str,
) -> Result<(), Failure> {
    let (path, document) = (place.znodes.topology(), topology::print(after));
    catch_up(store.as_mut(), place, before)
        .unwrap_or_else(|error| eprintln!("slotline: what was in force is not in the history: {error}"));
    replace(store, place, &path, document.as_bytes(), before.expect)
        .map_err(|error| conflict(error, "topology show"))?;
    let noted = history::note(store.as_mut(), &place.znodes, after.epoch, &document, why);
    // It is in force: that it is not in the history is no reason to say that it failed.
    let epoch = after.epoch;
    noted.unwrap_or_else(|error| eprintln!("slotline: epoch {epoch} is in force, but not in the history: {error}"));
    Ok(())
}

/// A topology that came by hand, or by a command that was killed behind its compare-and-set, is noted before it goes.
fn catch_up(store: &mut dyn Store, place: &Place, before: &Before) -> Result<(), StoreError> {
    let Some(now) = before.topology.as_ref().filter(|_| before.trouble.is_none()) else { return Ok(()) };
    if history::read(store, &place.znodes, now.epoch)?.is_some() {
        return Ok(());
    }
    history::note(
        store,
        &place.znodes,
        now.epoch,
        &topology::print(now),
        "found in force; whoever made it did not note it",
    )
}

/// A compare-and-set. When the connection breaks under it, a new one tells whether it was done.
pub fn replace(
    store: &mut Box<dyn Store>,
    place: &Place,
    path: &str,
    data: &[u8],
    expect: Expect,
) -> Result<(), StoreError> {
    let error = match store.write(path, data, expect) {
        Err(error @ (StoreError::Lost | StoreError::Silent(_))) => error,
        done => return done,
    };
    let began = Instant::now();
    while began.elapsed() < RECONNECT_TIMEOUT {
        if let Ok(opened) = place.connect() {
            *store = opened;
            match store.read(path) {
                Ok(Some(entry)) if entry.data == data => return Ok(()),
                Ok(entry)
                    if entry.as_ref().map_or(Expect::Absent, |entry| Expect::Version(entry.version)) != expect =>
                {
                    return Err(StoreError::Conflict(path.to_owned()));
                }
                Ok(_) => match store.write(path, data, expect) {
                    // It may have been done only now: looking once more tells.
                    Err(StoreError::Lost | StoreError::Silent(_) | StoreError::Conflict(_)) => {}
                    done => return done,
                },
                Err(error) if error.is_over() => {}
                Err(error) => return Err(error),
            }
        }
        std::thread::sleep(RECONNECT_PAUSE);
    }
    Err(error)
}

/// Why a compare-and-set failed, in an operator's words.
pub fn conflict(error: StoreError, look: &str) -> Failure {
    match error {
        StoreError::Conflict(path) => Failure::new(format!(
            "nothing was changed: somebody else changed {path} meanwhile; see `slotline {look}`, then try again"
        )),
        StoreError::Lost | StoreError::Silent(_) => Failure::new(format!(
            "{error}, and did not come back within {RECONNECT_TIMEOUT:?}; whether it was changed is unknown: see `slotline \
             {look}` before you try again"
        )),
        other => Failure::new(other),
    }
}

/// What is waited for.
struct Settling<'a> {
    known: &'a [Proxy],
    newcomers: bool,
    wait: Option<Duration>,
}

impl Settling<'_> {
    /// Waits for the proxies, if that is wanted or something is to be done behind them.
    fn settle(
        &self,
        store: &mut Box<dyn Store>,
        place: &Place,
        before: Option<&Topology>,
        after: &Topology,
    ) -> Result<Option<proxies::Applied>, Failure> {
        let moves = before.is_some_and(|before| !changes_that_hide_data(before, after).is_empty());
        let timeout = match self.wait {
            Some(timeout) => timeout,
            None if moves || self.newcomers => SETTLE_TIMEOUT,
            None => return Ok(None),
        };
        proxies::wait_epoch(store, place, self.known, after.epoch, timeout).map(Some)
    }
}

/// What came between the plan and the change: databases and users made meanwhile are copied, and points that were written
/// to where they are no longer looked for are told.
fn afterthoughts(
    now: &Topology,
    after: &Topology,
    plan: &Plan,
    newcomers: Option<&Newcomers>,
    passwords: &Passwords,
) -> Vec<String> {
    let mut late = newcomers.map(|newcomers| newcomers.copy_again(now, passwords)).unwrap_or_default();
    let groups = stored::concerned(now, after);
    let found = stored::look(&groups, now, after);
    let hidden = found.hidden(now, after);
    let new = hidden.iter().map(ToString::to_string).filter(|text| !plan.unreachable.contains(text));
    late.extend(new.map(|text| {
        format!("written meanwhile, and no longer found: {text}; `topology rollback` brings it back into reach")
    }));
    late
}
