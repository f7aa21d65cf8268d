//! The store over the crate `zookeeper`, and what must be made up for around that crate.
//!
//! The crate (0.8) reconnects by itself, and badly: no watch fires afterwards, the authentication is not sent again, and
//! with the server away its loop burns a core. So one client lives as long as one connection:
//!
//! - A server is probed first, resolved anew each time; the client gets the one address that answered.
//! - The crate tells of a broken connection on its own network thread. [`watch_state`] ends that thread there and then.
//! - A request made while its network thread starts may never be sent: the first waits until there is a session.
//! - Its requests wait without end. They run on a worker thread, which is left behind when an answer takes too long; it
//!   ends by itself when the answer comes or the connection breaks, and there are never more than [`CLIENTS_MAX`].

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use zookeeper::{Acl, CreateMode, Permission, WatchedEvent, ZkError, ZkResult, ZkState, ZooKeeper};

use crate::topology::{Address, ROOT, Servers};

use super::store::{Entry, Ephemeral, Event, Expect, Store, StoreError};

/// Below 10 s the crate ends sessions early when requests leave it no idle time for its pings.
const SESSION_TIMEOUT: Duration = Duration::from_secs(15);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
/// The first request goes out after that long even if nothing has told of the session: it may have begun before anybody
/// listened.
const SESSION_SOON: Duration = Duration::from_millis(250);
/// Clients alive at once, nearly all of them left behind: further sessions wait until one has ended.
const CLIENTS_MAX: usize = 16;
/// Servers take 1 MiB a packet, its head included.
const DATA_BYTES_MAX: usize = 1_000_000;

/// Opens sessions.
pub struct Connector {
    servers: Servers,
    /// `user:password`, or empty. Never printed.
    auth: String,
    /// A clone for each client of the crate whose threads are alive.
    clients: Arc<()>,
}

impl Connector {
    pub fn new(servers: Servers, auth: &str) -> Connector {
        Connector { servers, auth: auth.to_owned(), clients: Arc::new(()) }
    }

    /// A session with a server that answers; [`StoreError::NoSession`] if it then gives none in time.
    pub fn open(&mut self) -> Result<ZooKeeperStore, StoreError> {
        let unanswered = Arc::strong_count(&self.clients) - 1;
        if unanswered >= CLIENTS_MAX {
            return Err(StoreError::Away(format!("{unanswered} earlier requests are still unanswered")));
        }
        let address = probe(&self.servers)?;
        let (calls, received) = channel::<Call>();
        let (opened, outcome) = channel();
        let (happen, events) = channel();
        let (auth, alive) = (self.auth.clone(), self.clients.clone());
        let work = move || {
            let given_up = Arc::default();
            match connect(address, &auth, happen, alive, &given_up) {
                Ok(client) => {
                    // Nobody waits any more if that took too long: then there are no calls either.
                    let _ = opened.send(Ok(()));
                    received.iter().for_each(|call| call(&client));
                    given_up.store(true, Ordering::Relaxed);
                    // Dropping it closes the session.
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        };
        let spawned = std::thread::Builder::new().name("zookeeper".to_owned()).spawn(work);
        spawned.map_err(|error| StoreError::Away(format!("no thread for it: {error}")))?;
        match outcome.recv_timeout(REQUEST_TIMEOUT) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(StoreError::Away(format!("{address}: {error}"))),
            Err(_) => return Err(StoreError::NoSession(address, REQUEST_TIMEOUT)),
        }
        let (chroot, private) = (self.servers.chroot.clone(), !self.auth.is_empty());
        Ok(ZooKeeperStore { calls, events, chroot, private, session: None })
    }
}

/// What the worker is asked to do with its client.
type Call = Box<dyn FnOnce(&ZooKeeper) + Send>;

/// One session of the crate's client.
pub struct ZooKeeperStore {
    calls: Sender<Call>,
    events: Receiver<Event>,
    chroot: String,
    /// We have a user: what we make is for this user alone.
    private: bool,
    /// Our session's id, which the crate keeps to itself: known from our first ephemeral on.
    session: Option<i64>,
}

impl ZooKeeperStore {
    /// Does something with a path on the worker, for a bounded time.
    fn call<T: Send + 'static>(
        &self,
        path: &str,
        request: impl FnOnce(&ZooKeeper, &str) -> ZkResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let full = format!("{}{path}", self.chroot);
        let (answer, answered) = channel();
        let call = move |client: &ZooKeeper| {
            // Nobody waits any more when it took too long.
            let _ = answer.send(request(client, &full));
        };
        self.calls.send(Box::new(call)).map_err(|_| StoreError::Lost)?;
        match answered.recv_timeout(REQUEST_TIMEOUT) {
            Ok(answer) => answer.map_err(|error| explain(path, error)),
            Err(RecvTimeoutError::Timeout) => Err(StoreError::Silent(REQUEST_TIMEOUT)),
            Err(RecvTimeoutError::Disconnected) => Err(StoreError::Lost),
        }
    }

    /// Makes a znode, its parents and the chroot first if they are missing. `false`: it is there already.
    fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<bool, StoreError> {
        if data.len() > DATA_BYTES_MAX {
            return Err(too_large(path, data));
        }
        let (data, chroot, private) = (data.to_vec(), self.chroot.clone(), self.private);
        self.call(path, move |client, full| {
            let shared = format!("{chroot}{ROOT}");
            let make = |path: &str, data: &[u8], mode| {
                let acl = if private { acl(&shared, path) } else { Acl::open_unsafe().clone() };
                match client.create(path, data.to_vec(), acl, mode) {
                    Ok(_) => Ok(true),
                    Err(ZkError::NodeExists) => Ok(false),
                    Err(error) => Err(error),
                }
            };
            // Upwards to the first parent that is there, since we may not be allowed to touch those above it.
            let mut missing = vec![full];
            loop {
                let path = missing[missing.len() - 1];
                let last = missing.len() == 1;
                match if last { make(path, &data, mode) } else { make(path, &[], CreateMode::Persistent) } {
                    Ok(made) if last => return Ok(made),
                    Ok(_) => drop(missing.pop()),
                    Err(ZkError::NoNode) => match path.rfind('/') {
                        Some(at) if at > 0 => missing.push(&path[..at]),
                        _ => return Err(ZkError::NoNode),
                    },
                    Err(error) => return Err(error),
                }
            }
        })
    }

    /// Data, version and owner (0: persistent), without asking for events.
    fn look(&self, path: &str) -> Result<Option<(Vec<u8>, i64)>, StoreError> {
        self.call(path, |client, path| match client.get_data(path, false) {
            Ok((data, stat)) => Ok(Some((data, stat.ephemeral_owner))),
            Err(ZkError::NoNode) => Ok(None),
            Err(error) => Err(error),
        })
    }
}

impl Store for ZooKeeperStore {
    fn read(&mut self, path: &str) -> Result<Option<Entry>, StoreError> {
        self.call(path, |client, path| {
            // Watches go to the client's one watcher: those with a watcher of their own pile up in the crate when they
            // are asked for again.
            loop {
                match client.get_data(path, true) {
                    Ok((data, stat)) => return Ok(Some(Entry { data, version: stat.version })),
                    Err(ZkError::NoNode) if client.exists(path, true)?.is_none() => return Ok(None),
                    // It came to be between the two.
                    Err(ZkError::NoNode) => {}
                    Err(error) => return Err(error),
                }
            }
        })
    }

    fn write(&mut self, path: &str, data: &[u8], expect: Expect) -> Result<(), StoreError> {
        let done = match expect {
            Expect::Absent => self.create(path, data, CreateMode::Persistent)?,
            Expect::Version(_) if data.len() > DATA_BYTES_MAX => return Err(too_large(path, data)),
            Expect::Version(version) => {
                let data = data.to_vec();
                self.call(path, move |client, path| match client.set_data(path, data, Some(version)) {
                    Ok(_) => Ok(true),
                    Err(ZkError::BadVersion | ZkError::NoNode) => Ok(false),
                    Err(error) => Err(error),
                })?
            }
        };
        if done { Ok(()) } else { Err(StoreError::Conflict(path.to_owned())) }
    }

    fn put(&mut self, path: &str, data: &[u8]) -> Result<(), StoreError> {
        if data.len() > DATA_BYTES_MAX {
            return Err(too_large(path, data));
        }
        loop {
            let new = data.to_vec();
            let found = self.call(path, move |client, path| match client.set_data(path, new, None) {
                Ok(_) => Ok(true),
                Err(ZkError::NoNode) => Ok(false),
                Err(error) => Err(error),
            })?;
            // Else it came to be between the two.
            if found || self.create(path, data, CreateMode::Persistent)? {
                return Ok(());
            }
        }
    }

    fn delete(&mut self, path: &str) -> Result<(), StoreError> {
        self.call(path, |client, path| match client.delete(path, None) {
            Ok(()) | Err(ZkError::NoNode) => Ok(()),
            Err(error) => Err(error),
        })
    }

    fn children(&mut self, path: &str) -> Result<Vec<String>, StoreError> {
        self.call(path, |client, path| {
            loop {
                match client.get_children(path, true) {
                    Err(ZkError::NoNode) if client.exists(path, true)?.is_none() => return Ok(Vec::new()),
                    // It came to be between the two.
                    Err(ZkError::NoNode) => {}
                    answer => return answer,
                }
            }
        })
    }

    fn ephemeral(&mut self, path: &str, data: &[u8]) -> Result<Ephemeral, StoreError> {
        let found = self.look(path)?;
        let ours = found.as_ref().is_some_and(|(_, owner)| self.session == Some(*owner));
        if ours && found.as_ref().is_some_and(|(old, _)| old == data) {
            return Ok(Ephemeral::Ours);
        }
        if ours {
            let new = data.to_vec();
            self.call(path, move |client, path| client.set_data(path, new, None).map(drop))?;
            return Ok(Ephemeral::Ours);
        }
        let foreign = found.is_some();
        if foreign {
            self.delete(path)?;
        }
        if !self.create(path, data, CreateMode::Ephemeral)? {
            return Err(StoreError::Conflict(path.to_owned()));
        }
        let taken_back = foreign && self.session.is_some();
        self.session = self.look(path)?.map(|(_, owner)| owner);
        Ok(if taken_back { Ephemeral::TakenBack } else { Ephemeral::Ours })
    }

    fn wait(&mut self, timeout: Duration) -> Option<Event> {
        match self.events.recv_timeout(timeout) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            // The crate's threads have ended.
            Err(RecvTimeoutError::Disconnected) => Some(Event::Over),
        }
    }

    fn close(self: Box<Self>, timeout: Duration) {
        let (answer, answered) = channel();
        let call = move |client: &ZooKeeper| {
            let _ = answer.send(client.close().is_ok());
        };
        if self.calls.send(Box::new(call)).is_ok() {
            // When it fails the server ends the session itself, later.
            let _ = answered.recv_timeout(timeout);
        }
    }
}

/// What a user's znodes let others do: nothing, but for the folders above a cluster, which other clusters share.
fn acl(shared: &str, path: &str) -> Vec<Acl> {
    let mut acl = Acl::creator_all().clone();
    if shared == path || shared.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')) {
        acl.push(Acl::new(Permission::READ | Permission::CREATE, "world", "anyone"));
    }
    acl
}

fn too_large(path: &str, data: &[u8]) -> StoreError {
    let text = format!("{} bytes are too many; ZooKeeper takes {DATA_BYTES_MAX}", data.len());
    StoreError::Failed(path.to_owned(), text)
}

fn explain(path: &str, error: ZkError) -> StoreError {
    match error {
        ZkError::ConnectionLoss | ZkError::SessionExpired | ZkError::SessionMoved => StoreError::Lost,
        ZkError::NoAuth | ZkError::AuthFailed | ZkError::InvalidACL => StoreError::Forbidden(path.to_owned()),
        other => StoreError::Failed(path.to_owned(), format!("{other:?}")),
    }
}

/// A client with its user known to the server; the first answer proves that there is a session. `alive` lives as long
/// as the client's threads.
fn connect(
    address: SocketAddr,
    auth: &str,
    events: Sender<Event>,
    alive: Arc<()>,
    given_up: &Arc<AtomicBool>,
) -> Result<ZooKeeper, String> {
    let changed = events.clone();
    // It panics when the socket cannot even be made.
    let connected = catch_unwind(AssertUnwindSafe(|| {
        ZooKeeper::connect(&address.to_string(), SESSION_TIMEOUT, move |_: WatchedEvent| {
            let _alive = &alive;
            let _ = changed.send(Event::Changed);
        })
    }));
    let client = connected.map_err(|_| "the client panicked".to_owned())?.map_err(|error| error.to_string())?;
    let (there, session) = channel();
    watch_state(&client, events, there, given_up.clone());
    // Either way the network thread has started. While it does, its queue may lose what it is given, and all that follows.
    let _ = session.recv_timeout(SESSION_SOON);
    let first = match auth {
        "" => client.exists("/", false).map(drop),
        auth => client.add_auth("digest", auth.as_bytes().to_vec()),
    };
    first.map_err(|error| {
        given_up.store(true, Ordering::Relaxed);
        match error {
            ZkError::AuthFailed | ZkError::NoAuth => "zookeeper_auth was refused".to_owned(),
            _ => "the connection broke before there was a session".to_owned(),
        }
    })?;
    Ok(client)
}

/// Tells when there is a session. Ends the client when its connection breaks, and when it has one although it was given
/// up.
fn watch_state(client: &ZooKeeper, events: Sender<Event>, there: Sender<()>, given_up: Arc<AtomicBool>) {
    client.add_listener(move |state| {
        let connected = matches!(state, ZkState::Connected | ZkState::ConnectedReadOnly);
        if connected && !given_up.load(Ordering::Relaxed) {
            // Only the first is waited for.
            let _ = there.send(());
            return;
        }
        let _ = events.send(Event::Over);
        // This runs on the crate's network thread, which otherwise would connect again, in a loop that nothing else can
        // stop: it is unwound, silently, and drops its socket and all requests. (`Closed` ends it in good order.)
        if state != ZkState::Closed {
            resume_unwind(Box::new("the connection broke"));
        }
    });
}

/// The address of a server that serves. They are asked in random order, so that proxies spread over them.
fn probe(servers: &Servers) -> Result<SocketAddr, StoreError> {
    let mut hosts: Vec<&Address> = servers.hosts.iter().collect();
    fastrand::shuffle(&mut hosts);
    let mut reasons = Vec::new();
    for Address { host, port } in hosts {
        let addresses = resolve(host, *port).unwrap_or_else(|reason| {
            reasons.push(format!("{host}: {reason}"));
            Vec::new()
        });
        for address in addresses {
            match ask(address) {
                Ok(()) => return Ok(address),
                Err(reason) => reasons.push(format!("{host}:{port}: {reason}")),
            }
        }
    }
    reasons.sort();
    reasons.dedup();
    Err(StoreError::Away(reasons.join("; ")))
}

/// A name's addresses now. Resolvers may take half a minute over a name that the next server does not need: they get a
/// thread of their own, which ends when they do.
fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::from((ip, port))]);
    }
    let (answer, answered) = channel();
    let name = host.to_owned();
    let lookup = move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        // Nobody waits any more when it took too long.
        let _ = answer.send(found.map_err(|error| error.to_string()));
    };
    let spawned = std::thread::Builder::new().name("resolve".to_owned()).spawn(lookup);
    spawned.map_err(|error| error.to_string())?;
    answered.recv_timeout(RESOLVE_TIMEOUT).unwrap_or_else(|_| Err("the name is not resolved in time".to_owned()))
}

/// Asks for a session, or for one that may only read; the answer's length, protocol and timeout, and nothing that matters
/// only to those who stay.
fn greet(address: SocketAddr, read_only: bool) -> std::io::Result<(TcpStream, [u8; 12])> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    stream.set_write_timeout(Some(PROBE_TIMEOUT))?;
    // Length; protocol 0, last change seen 0, timeout, session 0, an empty password of 16 bytes, read-only or not.
    let mut hello = [0; 49];
    hello[..4].copy_from_slice(&45_u32.to_be_bytes());
    hello[16..20].copy_from_slice(&(SESSION_TIMEOUT.as_millis() as u32).to_be_bytes());
    hello[28..32].copy_from_slice(&16_u32.to_be_bytes());
    hello[48] = u8::from(read_only);
    stream.write_all(&hello)?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok((stream, answer))
}

/// Opens a session with a server and ends it again. One that hangs takes connections too; and one that closes them (no
/// quorum, too many clients) is no place for the crate's client, which would come back thousands of times a second.
fn ask(address: SocketAddr) -> Result<(), String> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "it does not answer".to_owned(),
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => match greet(address, true) {
            Ok(_) => "it is read-only: it has lost its quorum".to_owned(),
            Err(_) => "it closes connections (no quorum, or too many clients?)".to_owned(),
        },
        _ => error.to_string(),
    };
    let (mut stream, answer) = greet(address, false).map_err(failed)?;
    let number = |at: usize| u32::from_be_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]]);
    if !(36..=64).contains(&number(0)) || number(4) != 0 || number(8) == 0 {
        return Err("what answers there is no ZooKeeper".to_owned());
    }
    // Length; number of the request, code of the end of a session. The server closes the connection when it is done.
    let mut goodbye = [0; 12];
    goodbye[..4].copy_from_slice(&8_u32.to_be_bytes());
    goodbye[4..8].copy_from_slice(&1_u32.to_be_bytes());
    goodbye[8..].copy_from_slice(&(-11_i32).to_be_bytes());
    stream.write_all(&goodbye).and_then(|()| stream.take(1024).read_to_end(&mut Vec::new())).map_err(failed)?;
    Ok(())
}
