//! The library's control thread against a real ZooKeeper that is killed, frozen and restarted.

mod support;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::slotline::control::{self, Audience, Control, Ephemeral, Expect, Settings, Store, StoreError};
use ::slotline::topology::Servers;

use support::*;

const TOPOLOGY: &str = "/slotline/main/topology";
const UDP: &str = "/slotline/main/udp";
const OWN: &str = "/slotline/main/proxies/p1";

/// Writes down what it hears, but for the UDP listeners that it hears of first; refuses what begins with `bad`.
struct Ears {
    heard: Sender<String>,
    registration: Arc<Mutex<String>>,
    udp_heard: bool,
}

impl Ears {
    fn hear(&self, text: String) -> Result<(), String> {
        let bad = text.contains("bad");
        let _ = self.heard.send(text);
        if bad { Err("it is bad".to_owned()) } else { Ok(()) }
    }
}

impl Audience for Ears {
    fn topology(&mut self, document: &[u8]) -> Result<(), String> {
        self.hear(format!("topology {}", String::from_utf8_lossy(document)))
    }

    fn topology_missing(&mut self, reason: &str) {
        let _ = self.hear(format!("missing: {reason}"));
    }

    fn udp(&mut self, document: Option<&[u8]>) -> Result<(), String> {
        if document.is_none() && !std::mem::replace(&mut self.udp_heard, true) {
            return Ok(());
        }
        self.hear(format!("udp {}", document.map_or("none".into(), String::from_utf8_lossy)))
    }

    fn registration(&mut self) -> Vec<u8> {
        self.registration.lock().expect("no holder panics").clone().into_bytes()
    }

    fn connected(&mut self, connected: bool, reason: &str) {
        println!("connected {connected} {reason}");
        let _ = self.heard.send(format!("connected {connected}"));
    }
}

struct Proxy {
    control: Control,
    heard: Receiver<String>,
    registration: Arc<Mutex<String>>,
}

impl Proxy {
    fn start(servers: &str, auth: &str) -> Proxy {
        let (sender, heard) = channel();
        let registration = Arc::new(Mutex::new("one".to_owned()));
        let settings = Settings {
            servers: servers.to_owned(),
            auth: auth.to_owned(),
            cluster: "main".to_owned(),
            proxy_id: "p1".to_owned(),
        };
        let ears = Ears { heard: sender, registration: registration.clone(), udp_heard: false };
        let control = control::start(settings, Box::new(ears)).expect("the settings are good");
        Proxy { control, heard, registration }
    }

    #[track_caller]
    fn hears(&self, wanted: &str) -> Duration {
        let before = Instant::now();
        assert_eq!(self.heard.recv_timeout(SOON).as_deref(), Ok(wanted));
        before.elapsed()
    }
}

#[track_caller]
fn open(servers: &str, auth: &str) -> Box<dyn Store> {
    let servers = Servers::parse(servers).expect("a good connect string");
    control::open(servers, auth).expect("ZooKeeper answers")
}

/// Writes a path whatever it held.
#[track_caller]
fn put(store: &mut dyn Store, path: &str, data: &str) {
    let expect = match store.read(path).expect("it can be read") {
        Some(entry) => Expect::Version(entry.version),
        None => Expect::Absent,
    };
    store.write(path, data.as_bytes(), expect).expect("nobody else writes");
}

fn get(store: &mut dyn Store, path: &str) -> Option<String> {
    let entry = store.read(path).expect("it can be read")?;
    Some(String::from_utf8(entry.data).expect("tests write text"))
}

#[track_caller]
fn wait_registered(store: &mut dyn Store, text: &str) {
    wait_for("the registration", SOON, || (get(store, OWN).as_deref() == Some(text)).then_some(()));
}

#[test]
fn changes_are_heard_within_a_second() {
    let zookeeper = Zookeeper::start();
    let servers = zookeeper.addr().to_string();
    let mut store = open(&servers, "");
    let proxy = Proxy::start(&servers, "");
    assert!(proxy.control.wait_until_heard(SOON));
    proxy.hears("missing: there is none");
    proxy.hears("connected true");
    let slow = |n| {
        put(store.as_mut(), TOPOLOGY, &format!("t{n}"));
        proxy.hears(&format!("topology t{n}"))
    };
    // The periodic look would take seconds: these are the watches. The first arms what the next ones ring.
    let mut times: Vec<Duration> = (0..8).map(slow).collect();
    times.sort();
    assert!(times[4] < Duration::from_millis(500), "{times:?}");

    put(store.as_mut(), TOPOLOGY, "bad");
    proxy.hears("topology bad");
    put(store.as_mut(), UDP, "u1");
    proxy.hears("udp u1");
    store.delete(TOPOLOGY).expect("it is there");
    proxy.hears("missing: there is none");
    store.delete(UDP).expect("it is there");
    proxy.hears("udp none");
    put(store.as_mut(), TOPOLOGY, "");
    proxy.hears("missing: it is empty");
    store.delete(TOPOLOGY).expect("it is there");
    proxy.hears("missing: there is none");
    put(store.as_mut(), TOPOLOGY, "again");
    proxy.hears("topology again");
    assert!(proxy.heard.try_recv().is_err());
}

#[test]
fn the_registration_is_ours_follows_and_goes_at_the_end() {
    let zookeeper = Zookeeper::start();
    let servers = zookeeper.addr().to_string();
    let mut store = open(&servers, "");
    let mut earlier = open(&servers, "");
    assert_eq!(earlier.ephemeral(OWN, b"left behind"), Ok(Ephemeral::Ours));
    let proxy = Proxy::start(&servers, "");
    wait_registered(store.as_mut(), "one");
    earlier.close(SOON);
    *proxy.registration.lock().expect("no holder panics") = "two".to_owned();
    wait_registered(store.as_mut(), "two");
    store.delete(OWN).expect("it is there");
    wait_registered(store.as_mut(), "two");
    let before = Instant::now();
    proxy.control.stop();
    assert_eq!(get(store.as_mut(), OWN), None, "it goes with the session");
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
}

#[test]
fn a_killed_and_restarted_server_is_found_again() {
    let mut zookeeper = Zookeeper::start_with("maxSessionTimeout=4000");
    let servers = zookeeper.addr().to_string();
    put(open(&servers, "").as_mut(), TOPOLOGY, "t1");
    let proxy = Proxy::start(&servers, "");
    proxy.hears("topology t1");
    proxy.hears("connected true");
    for round in 2..4 {
        zookeeper.kill9();
        proxy.hears("connected false");
        zookeeper.launch();
        proxy.hears("connected true");
        let mut store = open(&servers, "");
        put(store.as_mut(), TOPOLOGY, &format!("t{round}"));
        proxy.hears(&format!("topology t{round}"));
        store.close(SOON);
        // The killed server's sessions end late; ours stays.
        wait_for("the end of earlier sessions", SOON, || (zookeeper.sessions() == 1).then_some(()));
        assert_eq!(get(open(&servers, "").as_mut(), OWN).as_deref(), Some("one"));
    }
    assert!(proxy.heard.try_recv().is_err());
}

#[test]
fn a_frozen_server_is_away_and_an_expired_session_is_replaced() {
    let zookeeper = Zookeeper::start_with("maxSessionTimeout=4000");
    let servers = zookeeper.addr().to_string();
    put(open(&servers, "").as_mut(), TOPOLOGY, "t1");
    let proxy = Proxy::start(&servers, "");
    proxy.hears("topology t1");
    proxy.hears("connected true");
    zookeeper.pause();
    // By then the session is over as well: the proxy looks every four seconds, and waits four for an answer.
    let noticed = proxy.hears("connected false");
    assert!(noticed < Duration::from_secs(12), "{noticed:?}");
    zookeeper.resume();
    proxy.hears("connected true");
    let mut store = open(&servers, "");
    put(store.as_mut(), TOPOLOGY, "t2");
    proxy.hears("topology t2");
    store.close(SOON);
    wait_for("the end of earlier sessions", SOON, || (zookeeper.sessions() == 1).then_some(()));
    assert_eq!(get(open(&servers, "").as_mut(), OWN).as_deref(), Some("one"));
}

#[test]
fn a_start_without_zookeeper_is_told_at_once_and_made_up_for() {
    let mut zookeeper = Zookeeper::stopped("");
    // The first name does not resolve, at the second address nobody listens; neither is in the way later.
    let servers = format!("nowhere.invalid:2181,{}", zookeeper.addr());
    let proxy = Proxy::start(&servers, "");
    let before = Instant::now();
    assert!(!proxy.control.wait_until_heard(Duration::from_secs(60)));
    assert!(before.elapsed() < SOON, "{:?}", before.elapsed());
    proxy.hears("connected false");
    zookeeper.launch();
    proxy.hears("missing: there is none");
    proxy.hears("connected true");
    // It knows of the first attempt already, and of the better one a moment later.
    wait_for("the better one", SOON, || proxy.control.wait_until_heard(SOON).then_some(()));
}

#[test]
fn a_user_and_a_chroot() {
    let mut zookeeper = Zookeeper::start();
    let (servers, auth) = (format!("{}/some/where", zookeeper.addr()), "carol:s3cret");
    put(open(&servers, auth).as_mut(), TOPOLOGY, "t1");
    let mut bare = open(&zookeeper.addr().to_string(), auth);
    assert_eq!(get(bare.as_mut(), &format!("/some/where{TOPOLOGY}")).as_deref(), Some("t1"));
    let proxy = Proxy::start(&servers, auth);
    proxy.hears("topology t1");
    proxy.hears("connected true");
    // The password is sent again by the session after the outage.
    zookeeper.kill9();
    proxy.hears("connected false");
    zookeeper.launch();
    proxy.hears("connected true");
    let mut store = open(&servers, auth);
    put(store.as_mut(), TOPOLOGY, "t2");
    proxy.hears("topology t2");
    wait_registered(store.as_mut(), "one");

    let mut stranger = open(&servers, "mallory:s3cret");
    for denied in [stranger.read(TOPOLOGY).err(), stranger.delete(TOPOLOGY).err()] {
        assert_eq!(denied, Some(StoreError::Forbidden(TOPOLOGY.to_owned())));
    }
    // Another cluster's folder beside it is nobody's business.
    put(stranger.as_mut(), "/slotline/other/topology", "theirs");
    let second = Proxy::start(&servers, "mallory:s3cret");
    let said = second.heard.recv_timeout(SOON).expect("it is told");
    assert!(said.starts_with("missing: ") && said.contains("no permission"), "{said}");
}

#[test]
fn a_write_that_comes_too_late_is_a_conflict() {
    let zookeeper = Zookeeper::start();
    let mut store = open(&zookeeper.addr().to_string(), "");
    let conflict = Err(StoreError::Conflict(TOPOLOGY.to_owned()));
    assert_eq!(store.write(TOPOLOGY, b"a", Expect::Version(0)), conflict);
    assert_eq!(store.write(TOPOLOGY, b"a", Expect::Absent), Ok(()));
    assert_eq!(store.write(TOPOLOGY, b"b", Expect::Absent), conflict);
    assert_eq!(store.write(TOPOLOGY, b"b", Expect::Version(0)), Ok(()));
    assert_eq!(store.write(TOPOLOGY, b"c", Expect::Version(0)), conflict);
    assert_eq!(get(store.as_mut(), TOPOLOGY).as_deref(), Some("b"));
    assert_eq!(store.children("/slotline/main"), Ok(vec!["topology".to_owned()]));
    assert_eq!(store.children("/slotline/none"), Ok(Vec::new()));
    let large = store.write(UDP, &vec![0; 2 << 20], Expect::Absent).expect_err("too large");
    assert!(large.to_string().contains("too many"), "{large}");
}
