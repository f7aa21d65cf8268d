//! The thread's logic over a store in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

const SOON: Duration = Duration::from_secs(10);
const QUICK: Pace = Pace {
    poll: Duration::from_millis(2),
    reread: Duration::from_millis(20),
    backoff: (Duration::from_millis(1), Duration::from_millis(4)),
    backlog: backlog::Pace {
        update: Duration::from_millis(40),
        settle: Duration::from_millis(2),
        lists: Duration::from_millis(2),
        // So that a turn ends after each step.
        turn: Duration::ZERO,
    },
};

/// A ZooKeeper: its znodes, and the sessions' ends of their event channels.
#[derive(Default)]
struct World {
    up: bool,
    nodes: BTreeMap<String, Node>,
    sessions: BTreeMap<u64, Sender<Event>>,
    sessions_ever: u64,
    forbidden: Option<&'static str>,
    /// How often something was written that is no ephemeral.
    puts: usize,
}

#[derive(Clone, Default)]
struct Node {
    data: Vec<u8>,
    version: i32,
    owner: Option<u64>,
}

#[derive(Clone)]
struct Fake(Arc<Mutex<World>>);

struct Session {
    world: Fake,
    id: u64,
    events: Receiver<Event>,
}

impl Fake {
    fn new(up: bool) -> Fake {
        Fake(Arc::new(Mutex::new(World { up, ..World::default() })))
    }

    fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.0.lock().expect("no holder panics"))
    }

    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let (sender, events) = channel();
        let id = self.with(|world| {
            world.sessions_ever += 1;
            world.sessions.insert(world.sessions_ever, sender);
            if world.up { Ok(world.sessions_ever) } else { Err(StoreError::Away("refused".to_owned())) }
        })?;
        Ok(Box::new(Session { world: self.clone(), id, events }))
    }

    fn put(&self, name: &str, data: &str) {
        self.with(|world| {
            let node = world.nodes.entry(format!("/slotline/main/{name}")).or_default();
            (node.data, node.version) = (data.as_bytes().to_vec(), node.version + 1);
            world.tell(Event::Changed);
        });
    }

    fn remove(&self, name: &str) {
        self.with(|world| {
            world.nodes.remove(&format!("/slotline/main/{name}"));
            world.tell(Event::Changed);
        });
    }

    fn get(&self, name: &str) -> Option<String> {
        let node = self.with(|world| world.nodes.get(&format!("/slotline/main/{name}")).cloned());
        node.map(|node| String::from_utf8(node.data).expect("tests write text"))
    }

    /// Ends all sessions; with `lost` their ephemerals go too.
    fn cut(&self, up: bool, lost: bool) {
        self.with(|world| {
            world.up = up;
            world.tell(Event::Over);
            world.sessions.clear();
            if lost {
                world.nodes.retain(|_, node| node.owner.is_none());
            }
        });
    }
}

impl World {
    fn tell(&mut self, event: Event) {
        self.sessions.retain(|_, session| session.send(event.clone()).is_ok());
    }
}

impl Session {
    fn on<T>(&self, path: &str, act: impl FnOnce(&mut World) -> T) -> Result<T, StoreError> {
        self.world.with(|world| {
            if !world.sessions.contains_key(&self.id) {
                return Err(StoreError::Lost);
            }
            match world.forbidden {
                Some(part) if path.contains(part) => Err(StoreError::Forbidden(path.to_owned())),
                _ => Ok(act(world)),
            }
        })
    }
}

impl Store for Session {
    fn read(&mut self, path: &str) -> Result<Option<Entry>, StoreError> {
        let node = self.on(path, |world| world.nodes.get(path).cloned())?;
        Ok(node.map(|Node { data, version, .. }| Entry { data, version }))
    }

    fn write(&mut self, _: &str, _: &[u8], _: Expect) -> Result<(), StoreError> {
        unreachable!("the thread compares nothing")
    }

    fn put(&mut self, path: &str, data: &[u8]) -> Result<(), StoreError> {
        self.on(path, |world| {
            world.puts += 1;
            let node = world.nodes.entry(path.to_owned()).or_default();
            (node.data, node.version) = (data.to_vec(), node.version + 1);
        })
    }

    fn delete(&mut self, path: &str) -> Result<(), StoreError> {
        self.on(path, |world| world.nodes.remove(path)).map(drop)
    }

    /// Folders are there while something is in them.
    fn children(&mut self, path: &str) -> Result<Vec<String>, StoreError> {
        let name = |other: &String| Some(other.strip_prefix(path)?.strip_prefix('/')?.split('/').next()?.to_owned());
        let names =
            self.on(path, |world| world.nodes.keys().filter_map(name).collect::<std::collections::BTreeSet<_>>());
        names.map(Vec::from_iter)
    }

    fn ephemeral(&mut self, path: &str, data: &[u8]) -> Result<Ephemeral, StoreError> {
        let node = Node { data: data.to_vec(), version: 0, owner: Some(self.id) };
        self.on(path, |world| world.nodes.insert(path.to_owned(), node))?;
        Ok(Ephemeral::Ours)
    }

    fn wait(&mut self, timeout: Duration) -> Option<Event> {
        self.events.recv_timeout(timeout).ok()
    }

    fn close(self: Box<Self>, _: Duration) {
        self.world.with(|world| {
            world.sessions.remove(&self.id);
            world.nodes.retain(|_, node| node.owner != Some(self.id));
        });
    }
}

/// Writes down what it hears, but for backlogs of nobody that it hears of first; refuses what begins with `bad`.
struct Hears(Sender<String>, Arc<Mutex<String>>, Waits, bool, Arc<AtomicUsize>);

/// What waits for replicas.
type Waits = Arc<Mutex<Option<BTreeMap<String, Vec<u8>>>>>;

impl Hears {
    fn document(&self, kind: &str, document: Option<&[u8]>) -> Result<(), String> {
        let text = document.map_or("none".into(), String::from_utf8_lossy);
        // The test may have ended.
        let _ = self.0.send(format!("{kind} {text}"));
        if text.starts_with("bad") { Err("it is bad".to_owned()) } else { Ok(()) }
    }
}

impl Audience for Hears {
    fn topology(&mut self, document: &[u8]) -> Result<(), String> {
        self.document("topology", Some(document))
    }

    fn topology_read(&mut self) {
        self.4.fetch_add(1, Ordering::Relaxed);
    }

    fn topology_missing(&mut self, reason: &str) {
        let _ = self.0.send(format!("missing: {reason}"));
    }

    fn udp(&mut self, document: Option<&[u8]>) -> Result<(), String> {
        self.document("udp", document)
    }

    fn registration(&mut self) -> Vec<u8> {
        self.1.lock().expect("no holder panics").clone().into_bytes()
    }

    fn backlog(&mut self) -> Option<BTreeMap<String, Vec<u8>>> {
        self.2.lock().expect("no holder panics").clone()
    }

    fn backlogs(&mut self, others: &Backlogs) {
        if std::mem::replace(&mut self.3, true) || !others.is_empty() {
            let _ = self.0.send(format!("backlogs {others:?}"));
        }
    }

    fn connected(&mut self, connected: bool, _: &str) {
        let _ = self.0.send(format!("connected {connected}"));
    }
}

struct Run {
    control: Control,
    heard: Receiver<String>,
    registration: Arc<Mutex<String>>,
    waits: Waits,
    /// How often the topology was read.
    confirmed: Arc<AtomicUsize>,
}

fn start(world: &Fake) -> Run {
    let (sender, heard) = channel();
    let registration = Arc::new(Mutex::new("one".to_owned()));
    let (waits, confirmed) = (Waits::default(), Arc::new(AtomicUsize::new(0)));
    let audience = Box::new(Hears(sender, registration.clone(), waits.clone(), false, confirmed.clone()));
    let znodes = Znodes::of("main").expect("a plain name");
    let world = world.clone();
    let control = run(Loop::new("memory".into(), znodes, "p1", audience, QUICK), move || world.open());
    Run { control: control.expect("a thread starts"), heard, registration, waits, confirmed }
}

impl Run {
    /// The next things heard, exactly these.
    #[track_caller]
    fn hears(&self, wanted: &[&str]) {
        for wanted in wanted {
            assert_eq!(self.heard.recv_timeout(SOON).as_deref(), Ok(*wanted));
        }
    }

    /// So many points wait for each replica; what is not named waits no more.
    fn waits(&self, replicas: &[(&str, u64)]) {
        let text = |(replica, points): &(&str, u64)| ((*replica).to_owned(), points.to_string().into_bytes());
        *self.waits.lock().expect("no holder panics") = Some(replicas.iter().map(text).collect());
    }

    /// Nothing more while everything is read again several times.
    #[track_caller]
    fn hears_no_more(&self) {
        assert!(self.heard.recv_timeout(QUICK.reread * 4).is_err());
    }
}

#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn each_content_is_offered_once() {
    let world = Fake::new(true);
    world.put("topology", "t1");
    let run = start(&world);
    run.hears(&["topology t1", "udp none", "connected true"]);
    assert!(run.control.wait_until_heard(SOON));
    world.put("topology", "t1");
    run.hears_no_more();
    world.put("topology", "bad t2");
    world.put("udp", "u1");
    let mut both = [run.heard.recv_timeout(SOON), run.heard.recv_timeout(SOON)].map(Result::unwrap_or_default);
    both.sort();
    assert_eq!(both, ["topology bad t2", "udp u1"]);
    run.hears_no_more();
    world.put("topology", "t1");
    run.hears(&["topology t1"]);
}

#[test]
fn a_missing_or_empty_topology_is_told_and_udp_is_on_its_own() {
    let world = Fake::new(true);
    world.put("udp", "bad u1");
    let run = start(&world);
    run.hears(&["missing: there is none", "udp bad u1", "connected true"]);
    world.put("topology", "");
    run.hears(&["missing: it is empty"]);
    world.remove("udp");
    run.hears(&["udp none"]);
    world.put("topology", "t1");
    run.hears(&["topology t1"]);
}

#[test]
fn what_may_not_be_read_stays_as_it_is() {
    let world = Fake::new(true);
    world.put("topology", "t1");
    world.put("udp", "u1");
    let run = start(&world);
    run.hears(&["topology t1", "udp u1", "connected true"]);
    world.with(|world| world.forbidden = Some("udp"));
    run.hears_no_more();
    world.with(|world| world.forbidden = Some("topology"));
    let said = run.heard.recv_timeout(SOON).expect("it is told");
    assert!(said.starts_with("missing: ") && said.contains("no permission for /slotline/main/topology"), "{said}");
    run.hears(&["udp u1"]);
    let confirmed = || run.confirmed.load(Ordering::Relaxed);
    let before = confirmed();
    run.hears_no_more();
    assert_eq!(confirmed(), before, "what cannot be read is not confirmed");
    world.with(|world| world.forbidden = None);
    wait_until("a confirmation", || confirmed() > before);
}

#[test]
fn an_outage_is_told_once_and_changes_made_meanwhile_are_heard() {
    let world = Fake::new(false);
    let run = start(&world);
    run.hears(&["connected false"]);
    assert!(!run.control.wait_until_heard(SOON));
    run.hears_no_more();
    world.put("topology", "t1");
    world.with(|world| world.up = true);
    run.hears(&["topology t1", "udp none", "connected true"]);
    world.cut(false, false);
    run.hears(&["connected false"]);
    world.put("topology", "t2");
    world.with(|world| world.up = true);
    run.hears(&["topology t2", "connected true"]);
    run.hears_no_more();
}

#[test]
fn the_registration_follows_and_comes_back() {
    let world = Fake::new(true);
    let run = start(&world);
    let registered = |text: &str| wait_until(text, || world.get("proxies/p1").as_deref() == Some(text));
    registered("one");
    *run.registration.lock().expect("no holder panics") = "two".to_owned();
    registered("two");
    // By another's hand, without an event for us.
    world.remove("proxies/p1");
    registered("two");
    world.cut(true, true);
    registered("two");
    wait_until("the member", || world.get("members/p1").as_deref() == Some("two"));
    // Cut off, it is missed; ended, it is not.
    world.cut(false, true);
    assert_eq!((world.get("proxies/p1"), world.get("members/p1").as_deref()), (None, Some("two")));
    world.with(|world| world.up = true);
    registered("two");
    run.control.stop();
    assert_eq!(world.get("proxies/p1"), None, "the session's end takes it away");
    assert_eq!(world.get("members/p1"), None);
}

#[test]
fn stopping_waits_for_nobody_who_is_away() {
    let world = Fake::new(false);
    let run = start(&world);
    run.hears(&["connected false"]);
    let before = Instant::now();
    run.control.stop();
    assert!(before.elapsed() < STOP_TIMEOUT);
}

#[test]
fn what_waits_is_told_while_it_waits() {
    let world = Fake::new(true);
    world.put("topology", "t1");
    // Of an earlier life, and another's.
    world.put("backlog/g1a/p1", "7");
    world.put("backlog/g2a/p1", "8");
    world.put("backlog/g2a/p2", "9");
    let run = start(&world);
    run.hears(&["topology t1", "udp none", r#"backlogs {"g2a": ["p2"]}"#, "connected true"]);
    let holds = |replica: &str| world.get(&format!("backlog/{replica}/p1"));
    run.hears_no_more();
    assert_eq!((holds("g1a").as_deref(), holds("g2a").as_deref()), (Some("7"), Some("8")), "nothing is known yet");

    run.waits(&[("g1a", 1), ("g1b", 2)]);
    let told = |replica, points: Option<&str>| {
        wait_until(&format!("{replica} {points:?}"), || holds(replica).as_deref() == points);
    };
    told("g1a", Some("1"));
    told("g1b", Some("2"));
    told("g2a", None);
    assert_eq!(world.get("backlog/g2a/p2").as_deref(), Some("9"), "it is not ours");

    // Removed or changed by another's hand, without an event for us.
    world.with(|world| world.nodes.remove("/slotline/main/backlog/g1b/p1"));
    told("g1b", Some("2"));

    // Over an outage in which it has changed, and something of an earlier life has come back.
    world.cut(false, false);
    run.waits(&[("g1b", 3)]);
    world.put("backlog/g3a/p1", "5");
    world.with(|world| world.up = true);
    told("g1a", None);
    told("g1b", Some("3"));
    told("g3a", None);
    run.waits(&[]);
    told("g1b", None);
}

#[test]
fn what_waits_is_told_at_once_and_then_every_so_often() {
    let world = Fake::new(true);
    let run = start(&world);
    run.hears(&["missing: there is none", "udp none", "connected true"]);
    let before = Instant::now();
    for points in 1.. {
        run.waits(&[("g1a", points)]);
        std::thread::sleep(Duration::from_millis(1));
        if before.elapsed() > QUICK.backlog.update * 5 {
            break;
        }
    }
    let writes = world.with(|world| world.puts);
    let most = before.elapsed().as_millis() / QUICK.backlog.update.as_millis() + 2;
    assert!((2..=most).contains(&(writes as u128)), "{writes} in {:?}", before.elapsed());
}

#[test]
fn who_else_holds_points_is_heard_and_stays_over_faults() {
    let world = Fake::new(true);
    world.put("topology", "t1");
    let run = start(&world);
    run.hears(&["topology t1", "udp none", "connected true"]);
    world.put("backlog/g1a/p3", "{}");
    run.hears(&[r#"backlogs {"g1a": ["p3"]}"#]);
    world.put("backlog/g1a/p2", "{}");
    run.hears(&[r#"backlogs {"g1a": ["p2", "p3"]}"#]);
    // What it holds is not what matters, nor is what is ours.
    world.put("backlog/g1a/p2", "7");
    run.waits(&[("g1a", 1), ("g1b", 1)]);
    run.hears_no_more();
    world.with(|world| world.forbidden = Some("/g1a"));
    world.put("backlog/g2a/p2", "{}");
    run.hears(&[r#"backlogs {"g1a": ["p2", "p3"], "g2a": ["p2"]}"#]);
    world.with(|world| world.forbidden = Some("/backlog"));
    world.remove("backlog/g2a/p2");
    run.hears_no_more();
    world.cut(false, false);
    run.hears(&["connected false"]);
    world.with(|world| (world.forbidden, world.up) = (None, true));
    run.hears(&[r#"backlogs {"g1a": ["p2", "p3"]}"#, "connected true"]);
    world.remove("backlog/g1a/p2");
    world.remove("backlog/g1a/p3");
    wait_until("nobody else holds anything", || run.heard.try_recv().as_deref() == Ok("backlogs {}"));
}

#[test]
fn a_znode_that_cannot_be_written_harms_nothing_else() {
    let world = Fake::new(true);
    world.with(|world| world.forbidden = Some("/g1a"));
    let run = start(&world);
    run.hears(&["missing: there is none", "udp none", "connected true"]);
    run.waits(&[("g1a", 1), ("g1b", 2)]);
    wait_until("the other one", || world.get("backlog/g1b/p1").as_deref() == Some("2"));
    world.put("topology", "t1");
    run.hears(&["topology t1"]);
    assert_eq!(world.get("backlog/g1a/p1"), None);
    world.with(|world| world.forbidden = None);
    wait_until("it may be written", || world.get("backlog/g1a/p1").as_deref() == Some("1"));
}
