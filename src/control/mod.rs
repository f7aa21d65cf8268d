//! The control thread: one plain thread owns the ZooKeeper session, and shards never touch it.
//!
//! It reads `topology` and `udp` at the start of each session, at each change and every few seconds besides, offers what
//! differs to its [`Audience`], and keeps `proxies/<id>` as the audience wants it, which goes with the session;
//! `members/<id>` stays until the process ends in good order, so that one that is only cut off is missed. `backlog` does the same for what
//! replicas have still to take. With ZooKeeper away it tries again
//! and again, ever more slowly; whatever was offered last stays. `server` starts it; the commands use [`open`].

mod backlog;
mod store;
mod zookeeper;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::topology::{Backlogs, Servers, Znodes};

use backlog::Folder;
pub use store::{Entry, Ephemeral, Event, Expect, Store, StoreError};
use zookeeper::Connector;

/// Where ZooKeeper is, and who we are.
#[derive(Clone)]
pub struct Settings {
    /// `host:2181,host2:2181/chroot`
    pub servers: String,
    /// `user:password`, or empty. Never printed.
    pub auth: String,
    pub cluster: String,
    pub proxy_id: String,
}

impl std::fmt::Debug for Settings {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Settings { servers, cluster, proxy_id, .. } = self;
        f.debug_struct("Settings")
            .field("servers", servers)
            .field("cluster", cluster)
            .field("proxy_id", proxy_id)
            .finish_non_exhaustive()
    }
}

/// Hears what ZooKeeper holds, on the control thread only, and only when that differs from what it heard last.
pub trait Audience: Send {
    /// `Err`: refused whole, the last good one stays; the log says why, once per content.
    fn topology(&mut self, document: &[u8]) -> Result<(), String>;
    /// The topology was read, and was offered before if it was new.
    fn topology_read(&mut self) {}
    /// Deleted, never made, empty or not to be read: the last good one stays.
    fn topology_missing(&mut self, reason: &str);
    /// `None`: there is no such znode.
    fn udp(&mut self, document: Option<&[u8]>) -> Result<(), String>;
    /// The JSON that `proxies/<id>` shall hold now; asked a few times a second while ZooKeeper is there, and before the
    /// first document too.
    fn registration(&mut self) -> Vec<u8>;
    /// The JSON that `backlog/<replica>/<id>` shall hold now, by replica; those of other replicas are deleted. `None`: not
    /// known yet, all stay as they are. Asked a few times a second while ZooKeeper is there.
    fn backlog(&mut self) -> Option<BTreeMap<String, Vec<u8>>> {
        None
    }
    /// Which other proxies hold points for which replicas.
    fn backlogs(&mut self, _others: &Backlogs) {}
    /// A few times a second, ZooKeeper there or not: what is to be tried again.
    fn tick(&mut self) {}
    fn connected(&mut self, connected: bool, reason: &str);
}

/// The running thread; dropping it ends it without waiting.
pub struct Control {
    shared: Arc<Shared>,
}

/// How long [`Control::stop`] waits.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Of it, for ZooKeeper to end the session.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(1500);

/// How often things are done that nothing rings for.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Asking for the registration, and whether to stop.
    poll: Duration,
    /// Reading everything again although no event came.
    reread: Duration,
    /// Between two attempts to reach ZooKeeper: the first, doubled up to the last.
    backoff: (Duration, Duration),
    backlog: backlog::Pace,
}

/// After a new topology it is looked so often, so soon, whether all of it is applied: others wait for the registration.
const SOON: (u32, Duration) = (30, Duration::from_millis(10));

const PACE: Pace = Pace {
    poll: Duration::from_millis(200),
    reread: Duration::from_secs(4),
    backoff: (Duration::from_millis(200), Duration::from_secs(3)),
    backlog: backlog::PACE,
};

/// Opens a session for a command. Proxies come back until they have one; for a command a server that answers and gives
/// none is asked once more.
pub fn open(servers: Servers, auth: &str) -> Result<Box<dyn Store>, StoreError> {
    let mut connector = Connector::new(servers, auth);
    let store = match connector.open() {
        Err(StoreError::NoSession(..)) => connector.open()?,
        first => first?,
    };
    Ok(Box::new(store))
}

/// Starts the thread.
pub fn start(settings: Settings, audience: Box<dyn Audience>) -> std::io::Result<Control> {
    let invalid = |fault| std::io::Error::new(ErrorKind::InvalidInput, fault);
    let servers = Servers::parse(&settings.servers).map_err(invalid)?;
    let znodes = Znodes::of(&settings.cluster).map_err(invalid)?;
    let place = format!("{servers}, cluster {}", settings.cluster);
    let mut connector = Connector::new(servers, &settings.auth);
    let open = move || connector.open().map(|store| Box::new(store) as Box<dyn Store>);
    run(Loop::new(place, znodes, &settings.proxy_id, audience, PACE), open)
}

fn run(
    control: Loop,
    open: impl FnMut() -> Result<Box<dyn Store>, StoreError> + Send + 'static,
) -> std::io::Result<Control> {
    let shared = control.shared.clone();
    std::thread::Builder::new().name("control".to_owned()).spawn(move || control.run(open))?;
    Ok(Control { shared })
}

impl Control {
    /// Waits for the first complete read: `true`. `false`: the first attempt failed, with no complete read since, or it
    /// takes longer.
    pub fn wait_until_heard(&self, timeout: Duration) -> bool {
        self.shared.wait(timeout, |state| state.heard.is_some()).heard == Some(true)
    }

    /// Ends the session, so that the proxy's registration goes at once; gives up after two seconds.
    pub fn stop(self) {
        self.shared.set(|state| state.stop = true);
        self.shared.wait(STOP_TIMEOUT, |state| state.ended);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.shared.set(|state| state.stop = true);
    }
}

/// What the thread and its owner tell each other.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// How the first attempt went, once it is over.
    heard: Option<bool>,
    stop: bool,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment: a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// The state when `done` holds, or after `timeout`.
    fn wait(&self, timeout: Duration, done: impl Fn(&State) -> bool) -> State {
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, |state| !done(state));
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn stops(&self) -> bool {
        self.lock().stop
    }
}

/// What the audience was offered last.
#[derive(PartialEq, Eq)]
enum Offered {
    Nothing,
    Document(Vec<u8>),
    /// Why there is none.
    Missing(String),
}

struct Loop {
    /// For the log.
    place: String,
    znodes: Znodes,
    /// `proxies/<id>`
    own: String,
    /// `members/<id>`
    member: String,
    audience: Box<dyn Audience>,
    pace: Pace,
    shared: Arc<Shared>,
    topology: Offered,
    udp: Offered,
    backlog: Folder,
    /// So many more looks at the registration come soon.
    soon: u32,
    /// What `proxies/<id>` holds; `None` when that is not known.
    registered: Option<Vec<u8>>,
    /// The trouble with it that the log has told.
    registration_fault: Option<String>,
    /// Whether the audience was told that ZooKeeper is there, or away.
    connected: Option<bool>,
}

impl Loop {
    fn new(place: String, znodes: Znodes, proxy_id: &str, audience: Box<dyn Audience>, pace: Pace) -> Loop {
        let own = format!("{}/{proxy_id}", znodes.proxies());
        let member = format!("{}/{proxy_id}", znodes.members());
        let (topology, udp) = (Offered::Nothing, Offered::Nothing);
        let backlog = Folder::new(znodes.backlog(), proxy_id, pace.backlog);
        let (registered, registration_fault, connected) = (None, None, None);
        let (shared, soon) = (Arc::default(), 0);
        Loop {
            place,
            znodes,
            own,
            member,
            audience,
            pace,
            shared,
            topology,
            udp,
            backlog,
            soon,
            registered,
            registration_fault,
            connected,
        }
    }

    fn run(mut self, mut open: impl FnMut() -> Result<Box<dyn Store>, StoreError>) {
        // Also when the audience panics: nobody shall wait for us in vain.
        let shared = self.shared.clone();
        let _ended = Ended(&shared);
        let (first, last) = self.pace.backoff;
        let mut backoff = first;
        while !shared.stops() {
            let over = match open() {
                Ok(mut store) => match self.session(store.as_mut(), &mut backoff) {
                    Ok(()) => {
                        // If that fails, operators are told of a proxy that is gone, and forget it.
                        let _ = store.delete(&self.member);
                        store.close(CLOSE_TIMEOUT);
                        return;
                    }
                    Err(over) => over,
                },
                Err(error) => error,
            };
            self.away(&over);
            // Proxies that lost the same server do not come back all at once.
            self.pause(backoff.mul_f64(0.5 + fastrand::f64() / 2.0));
            backoff = (backoff * 2).min(last);
        }
    }

    /// Waits, unless the thread shall end.
    fn pause(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while !self.shared.stops() && Instant::now() < until {
            self.audience.tick();
            let left = until.saturating_duration_since(Instant::now());
            self.shared.wait(left.min(self.pace.poll), |state| state.stop);
        }
    }

    /// Serves one session until it is over, with the reason, or until the thread shall end.
    fn session(&mut self, store: &mut dyn Store, backoff: &mut Duration) -> Result<(), StoreError> {
        self.registered = None;
        // A write first: when a server has done it, it has every change before it as well. Else one that lags behind
        // the server of the last session could take us back to an older topology.
        self.register(store)?;
        self.read(store)?;
        self.join(store)?;
        self.backlog.begin();
        while !self.backlog.turn(store, self.audience.as_mut(), false)? && !self.shared.stops() {}
        self.back();
        *backoff = self.pace.backoff.0;
        let mut read_at = Instant::now();
        let mut done = true;
        while !self.shared.stops() {
            let pause = match (done, self.soon) {
                (false, _) => Duration::ZERO,
                (true, 0) => self.pace.poll,
                (true, _) => SOON.1.min(self.pace.poll),
            };
            self.soon = self.soon.saturating_sub(1);
            let changed = changed(store, pause)?;
            let all = read_at.elapsed() >= self.pace.reread;
            if changed || all {
                self.read(store)?;
            }
            if all {
                // Somebody may have removed it.
                self.registered = None;
                read_at = Instant::now();
            }
            self.audience.tick();
            self.register(store)?;
            done = self.backlog.turn(store, self.audience.as_mut(), changed || all)?;
        }
        Ok(())
    }

    /// Reads both documents, which asks for their next events, and offers what is new.
    fn read(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        let read = store.read(&self.znodes.topology());
        // Who may not read it does not know whether what it serves is still in force.
        let told = read.is_ok();
        let topology = match read {
            Ok(Some(entry)) if entry.data.is_empty() => Offered::Missing("it is empty".to_owned()),
            Ok(Some(entry)) => Offered::Document(entry.data),
            Ok(None) => Offered::Missing("there is none".to_owned()),
            Err(error) if error.is_over() => return Err(error),
            Err(error) => Offered::Missing(error.to_string()),
        };
        self.offer_topology(topology);
        if told {
            self.audience.topology_read();
        }
        let udp = match store.read(&self.znodes.udp()) {
            Ok(Some(entry)) => Offered::Document(entry.data),
            Ok(None) => Offered::Missing(String::new()),
            Err(error) if error.is_over() => return Err(error),
            // Not the same as none: the listeners stay.
            Err(error) => Offered::Missing(error.to_string()),
        };
        self.offer_udp(udp);
        Ok(())
    }

    fn offer_topology(&mut self, found: Offered) {
        if found == self.topology {
            return;
        }
        let path = self.znodes.topology();
        match &found {
            Offered::Document(document) => match self.audience.topology(document) {
                Ok(()) => tracing::info!(path, "a topology from ZooKeeper"),
                Err(fault) => tracing::error!(path, fault, "the topology is refused whole; the last good one stays"),
            },
            Offered::Missing(reason) => {
                tracing::error!(path, reason, "no topology in ZooKeeper; the last good one stays");
                self.audience.topology_missing(reason);
            }
            Offered::Nothing => {}
        }
        self.topology = found;
        self.soon = SOON.0;
    }

    fn offer_udp(&mut self, found: Offered) {
        if found == self.udp {
            return;
        }
        let path = self.znodes.udp();
        let taken = match &found {
            Offered::Document(document) => self.audience.udp(Some(document)),
            Offered::Missing(reason) if reason.is_empty() => self.audience.udp(None),
            Offered::Missing(reason) => Err(reason.clone()),
            Offered::Nothing => Ok(()),
        };
        if let Err(fault) = taken {
            tracing::error!(path, fault, "the UDP listeners are refused whole; the last good ones stay");
        }
        self.udp = found;
    }

    /// Writes the registration when it differs from what was written.
    fn register(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        let wanted = self.audience.registration();
        if self.registered.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let fault = match store.ephemeral(&self.own, &wanted) {
            Err(error) if error.is_over() => return Err(error),
            Err(error) => Some(error.to_string()),
            Ok(Ephemeral::TakenBack) => {
                Some("another session had taken it: does a second proxy run on a copy of data_dir?".to_owned())
            }
            Ok(Ephemeral::Ours) => None,
        };
        match &fault {
            Some(text) if fault != self.registration_fault => {
                tracing::warn!(path = self.own, fault = text, "the proxy's registration");
            }
            None if self.registration_fault.is_some() => tracing::info!(path = self.own, "the proxy is registered"),
            _ => {}
        }
        self.registration_fault = fault;
        // If it failed, it is tried again with the next complete read.
        self.registered = Some(wanted);
        Ok(())
    }

    /// Says that it is there, until it says that it ends.
    fn join(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        match store.put(&self.member, &self.audience.registration()) {
            Err(error) if error.is_over() => Err(error),
            Err(error) => {
                tracing::warn!(path = self.member, fault = %error, "nobody will miss this proxy when it is cut off");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn away(&mut self, error: &StoreError) {
        if self.connected != Some(false) {
            let reason = error.to_string();
            tracing::warn!(servers = self.place, reason, "ZooKeeper is away; what it said last stays in force");
            self.audience.connected(false, &reason);
        }
        self.connected = Some(false);
        self.shared.set(|state| state.heard = state.heard.or(Some(false)));
    }

    fn back(&mut self) {
        if self.connected != Some(true) {
            tracing::info!(servers = self.place, "connected to ZooKeeper");
            self.audience.connected(true, "");
        }
        self.connected = Some(true);
        self.shared.set(|state| state.heard = Some(true));
    }
}

/// Whether something has changed within `timeout`; all that has happened until then counts as one.
fn changed(store: &mut dyn Store, timeout: Duration) -> Result<bool, StoreError> {
    let mut changed = false;
    let mut event = store.wait(timeout);
    while let Some(happened) = event {
        if happened == Event::Over {
            return Err(StoreError::Lost);
        }
        changed = true;
        event = store.wait(Duration::ZERO);
    }
    Ok(changed)
}

/// Says at the thread's end that it has ended.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.set(|state| state.ended = true);
    }
}
