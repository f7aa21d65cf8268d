//! How commands change a topology: read, plan, ask, bring new servers to the databases and users of the others, replace by
//! compare-and-set, write down who and why, wait, and look once more.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::config::Config;
use crate::control::{Expect, Store, StoreError};
use crate::influxql::parse_duration;
use crate::topology::{self, ReplicaState, Spec, SpecFault, Topology, changes_that_hide_data, harmless_changes};

use super::newcomers::Newcomers;
use super::plan::{Manner, Objection, Plan};
use super::schema::{self, Passwords};
use super::{Failure, Place, PlaceArgs, history, proxies, stored};

/// How long proxies are waited for before new servers are looked at once more.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

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

fn time(text: &str) -> Result<Duration, String> {
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
}

/// What ZooKeeper holds before a change.
struct Before {
    expect: Expect,
    /// The topology in force, or the last one that was; `None` if there was never one that can be read.
    topology: Option<Topology>,
    /// The highest so far, 0 if there was none.
    epoch: u64,
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
        Ok(Change { place, config, store, manner: self.manner, passwords, before, objections: Vec::new() })
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

    pub fn object(&mut self, objections: impl IntoIterator<Item = Objection>) {
        self.objections.extend(objections);
    }

    /// Makes it: `words` are the command, for the history.
    pub fn make(self, words: &str, spec: Spec) -> Result<(), Failure> {
        let Change { place, mut store, manner, passwords, before, objections, .. } = self;
        let after = spec.build(before.epoch + 1).map_err(|faults| Failure::usage(told(&faults)))?;
        let mut plan = compare(&before, &after);
        if plan.is_empty() {
            let Before { epoch, .. } = before;
            match manner.json {
                true => println!("{}", json!({"epoch": epoch, "changed": false, "changes": []})),
                false => println!("nothing changes: cluster {} has this topology, at epoch {epoch}", place.cluster),
            }
            return Ok(());
        }
        let mut newcomers = None;
        if let Some(now) = &before.topology {
            look_at_data(store.as_mut(), &place, now, &after, &mut plan)?;
            look_at_readers(now, &after, &mut plan);
            newcomers = Newcomers::find(now, &after, &passwords, &mut plan);
        }
        plan.objections.extend(objections);
        if !plan.agreed(manner.manner())? {
            return Ok(());
        }
        if let Some(newcomers) = &newcomers {
            newcomers.copy(&passwords, manner.force)?;
        }
        let why = manner.why.as_deref().unwrap_or(words);
        send(store.as_mut(), &place, before.expect, &after, why)?;
        let mut done = plan.json();
        done["changed"] = true.into();
        done["epoch"] = after.epoch.into();
        if !manner.json {
            println!("cluster {}: epoch {} is in force", place.cluster, after.epoch);
        }
        let applied = settle(store.as_mut(), &place, &after, &plan, manner.wait, newcomers.is_some())?;
        if let Some(now) = before.topology.filter(|_| applied.is_some()) {
            let late = afterthoughts(&now, &after, &plan, newcomers.as_ref(), &passwords);
            late.iter().for_each(|line| eprintln!("slotline: {line}"));
            done["warnings"] = late.into();
        }
        let waited = applied.filter(|_| manner.wait.is_some());
        if let Some(waited) = &waited {
            done["proxies"] = waited.proxies.into();
            done["behind"] = waited.behind.clone().into();
            done["seconds"] = waited.took.as_secs_f64().into();
        }
        if manner.json {
            println!("{done}");
        }
        waited.map_or(Ok(()), |waited| waited.tell(&format!("epoch {}", after.epoch), manner.json))
    }
}

impl proxies::Applied {
    /// Says how it went; that some do not follow is a failure.
    pub fn tell(&self, what: &str, json: bool) -> Result<(), Failure> {
        let proxies::Applied { took, proxies, behind } = self;
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
            (false, 0) => println!("no proxy is registered: nobody applies {what} yet"),
            (false, _) => println!("all {proxies} proxies apply {what} ({:.2} s)", took.as_secs_f64()),
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
    let expect = entry.as_ref().map_or(Expect::Absent, |entry| Expect::Version(entry.version));
    let trouble = match entry.map(|entry| entry.data) {
        None if last == 0 => None,
        None => Some("it was deleted".to_owned()),
        Some(data) => match topology::parse(&data) {
            Ok(now) => {
                return Ok(Before { expect, epoch: now.epoch.max(last), topology: Some(now), trouble: None });
            }
            Err(_) if data.is_empty() => Some("it is empty".to_owned()),
            Err(fault) => Some(format!("it is broken: {fault}")),
        },
    };
    // The proxies still serve the last good one, which most likely is the one of the highest epoch.
    let note = history::read(store, &place.znodes, last).map_err(Failure::new)?;
    Ok(Before { expect, epoch: last, topology: note.and_then(|note| note.topology), trouble })
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

const INSTEAD_OF_MOVING: &str = "move slots that hold nothing (`slots spread --empty`), and leave those that hold data with \
    their group; or stop their writes, copy their points to the new group, and do it with --force";
const INSTEAD_OF_RULING: &str = "leave the rules of measurements that hold data, and make rules for those to come; or write \
    their points anew through slotline after it was done with --force";

/// What stored data would be out of reach.
fn look_at_data(
    store: &mut dyn Store,
    place: &Place,
    now: &Topology,
    after: &Topology,
    plan: &mut Plan,
) -> Result<(), Failure> {
    let groups = stored::concerned(now, after);
    let found = stored::look(&groups, now, after);
    plan.unreachable.extend(found.hidden(now, after).iter().map(ToString::to_string));
    let rules = now.spec().rules != after.spec().rules;
    plan.instead = if rules { INSTEAD_OF_RULING } else { INSTEAD_OF_MOVING }.to_owned();
    for unknown in found.unknown {
        let what = format!("what is stored cannot be found out: {unknown}");
        plan.objections.push(Objection::new(what, "bring a replica of the group back first"));
    }
    for group in now.groups().iter().filter(|group| groups.contains(&group.id)) {
        let mut waits = true;
        for replica in group.replicas.iter().filter(|replica| replica.state == ReplicaState::Serving) {
            let path = format!("{}/{}", place.znodes.backlog(), replica.name);
            waits &= !store.children(&path).map_err(Failure::new)?.is_empty();
        }
        if waits {
            let what = format!("every serving replica of group {} has still to take points from spools", group.id);
            plan.objections.push(Objection::new(what, "wait until `slotline status` shows no backlog for one of them"));
        }
    }
    Ok(())
}

/// Whether every group can be read as before.
fn look_at_readers(now: &Topology, after: &Topology, plan: &mut Plan) {
    let serving = |group: &topology::Group| {
        let serving = group.replicas.iter().filter(|replica| replica.state == ReplicaState::Serving);
        serving.map(|replica| replica.url.clone()).collect::<BTreeSet<String>>()
    };
    for group in after.groups() {
        let Some(was) = now.groups().iter().find(|was| was.id == group.id) else { continue };
        let (old, new) = (serving(was), serving(group));
        if old.is_empty() || old.iter().any(|url| new.contains(url)) {
            continue;
        }
        let id = group.id;
        let instead = format!(
            "`groups add-replica {id} NAME=URL`, restore its data, `groups serve NAME`, and only then let the old one go"
        );
        let what = match new.is_empty() {
            true => format!("group {id} would have no serving replica: nothing of it could be read"),
            false => format!("no server that group {id} is read from would stay: what they hold is out of reach"),
        };
        plan.objections.push(Objection::new(what, instead));
    }
}

fn send(store: &mut dyn Store, place: &Place, expect: Expect, after: &Topology, why: &str) -> Result<(), Failure> {
    let document = topology::print(after);
    store
        .write(&place.znodes.topology(), document.as_bytes(), expect)
        .map_err(|error| conflict(error, "topology show"))?;
    let noted = history::note(store, &place.znodes, after.epoch, &document, why);
    // It is in force: that it is not in the history is no reason to say that it failed.
    let epoch = after.epoch;
    noted.unwrap_or_else(|error| eprintln!("slotline: epoch {epoch} is in force, but not in the history: {error}"));
    Ok(())
}

/// Why a compare-and-set failed, in an operator's words.
pub fn conflict(error: StoreError, look: &str) -> Failure {
    match error {
        StoreError::Conflict(path) => Failure::new(format!(
            "nothing was changed: somebody else changed {path} meanwhile; see `slotline {look}`, then try again"
        )),
        StoreError::Lost | StoreError::Silent(_) => Failure::new(format!(
            "{error}; whether it was changed is unknown: try again, which says so if nothing changes"
        )),
        other => Failure::new(other),
    }
}

/// Waits for the proxies, if that is wanted or something is to be done behind them.
fn settle(
    store: &mut dyn Store,
    place: &Place,
    after: &Topology,
    plan: &Plan,
    wait: Option<Duration>,
    newcomers: bool,
) -> Result<Option<proxies::Applied>, Failure> {
    let moves = plan.changes.iter().any(|change| change.starts_with("slots ") || change.starts_with("the rules "));
    let timeout = match wait {
        Some(timeout) => timeout,
        None if moves || newcomers => SETTLE_TIMEOUT,
        None => return Ok(None),
    };
    proxies::wait_epoch(store, place, after.epoch, timeout).map(Some)
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
