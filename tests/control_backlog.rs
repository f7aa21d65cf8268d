//! What proxies tell each other of their spools, over a real ZooKeeper: the library's control threads.

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::slotline::control::{self, Audience, Control, Settings};
use ::slotline::topology::Backlogs;

use support::*;

/// How long what one proxy begins or ceases to hold may stay unknown to another. The periodic look takes longer.
const HEARD: Duration = Duration::from_secs(2);

type Waits = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Holds what the test says; says what it hears.
struct Spool {
    waits: Waits,
    others: Sender<Backlogs>,
    topologies: Sender<Vec<u8>>,
}

impl Audience for Spool {
    fn topology(&mut self, document: &[u8]) -> Result<(), String> {
        // The test may have ended.
        let _ = self.topologies.send(document.to_vec());
        Ok(())
    }

    fn topology_missing(&mut self, _: &str) {}

    fn udp(&mut self, _: Option<&[u8]>) -> Result<(), String> {
        Ok(())
    }

    fn registration(&mut self) -> Vec<u8> {
        b"{}".to_vec()
    }

    fn backlog(&mut self) -> Option<BTreeMap<String, Vec<u8>>> {
        Some(self.waits.lock().expect("no holder panics").clone())
    }

    fn backlogs(&mut self, others: &Backlogs) {
        let _ = self.others.send(others.clone());
    }

    fn connected(&mut self, _: bool, _: &str) {}
}

struct Proxy {
    #[expect(dead_code, reason = "held, not read: it runs as long")]
    control: Control,
    waits: Waits,
    /// What it has heard by the time at which it could serve.
    first: Backlogs,
    others: Receiver<Backlogs>,
    topologies: Receiver<Vec<u8>>,
}

impl Proxy {
    fn start(zookeeper: SocketAddr, id: &str) -> Proxy {
        let settings = Settings {
            servers: zookeeper.to_string(),
            auth: String::new(),
            cluster: "main".to_owned(),
            proxy_id: id.to_owned(),
        };
        let waits = Waits::default();
        let ((others_in, others), (topologies_in, topologies)) = (channel(), channel());
        let spool = Spool { waits: waits.clone(), others: others_in, topologies: topologies_in };
        let control = control::start(settings, Box::new(spool)).expect("the settings are good");
        assert!(control.wait_until_heard(SOON));
        let first = others.try_recv().expect("it has heard by now");
        Proxy { control, waits, first, others, topologies }
    }

    fn holds(&self, replicas: impl IntoIterator<Item = String>, text: &str) {
        let replicas = replicas.into_iter().map(|replica| (replica, text.as_bytes().to_vec()));
        *self.waits.lock().expect("no holder panics") = replicas.collect();
    }

    /// The next news of others, and how long it took.
    #[track_caller]
    fn hears(&self, wanted: &[(&str, &[&str])]) -> Duration {
        let before = Instant::now();
        let text = |name: &&str| (*name).to_owned();
        let wanted = wanted.iter().map(|(replica, ids)| (text(replica), ids.iter().map(text).collect())).collect();
        assert_eq!(self.others.recv_timeout(SOON), Ok::<Backlogs, _>(wanted));
        before.elapsed()
    }
}

fn name(replica: &str) -> [String; 1] {
    [replica.to_owned()]
}

#[test]
fn another_proxy_hears_of_a_backlog_and_of_its_end() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let proxies = ["p1", "p2"].map(|id| Proxy::start(zookeeper.addr(), id));
    let [first, second] = &proxies;
    for round in 0..3 {
        first.holds(name("g1a"), "1");
        let took = second.hears(&[("g1a", &["p1"])]);
        assert!(took < HEARD, "round {round}: {took:?}");
        assert_eq!(znodes.get("backlog/g1a/p1").as_deref(), Some("1"));
        second.holds(name("g1a"), "2");
        let took = first.hears(&[("g1a", &["p2"])]);
        assert!(took < HEARD, "round {round}: {took:?}");
        first.holds([], "");
        let took = second.hears(&[]);
        assert!(took < HEARD, "round {round}: {took:?}");
        second.holds([], "");
        let took = first.hears(&[]);
        assert!(took < HEARD, "round {round}: {took:?}");
        wait_for("the end of the folder", SOON, || znodes.get("backlog/g1a").is_none().then_some(()));
    }
    first.holds(name("g1a"), "1");
    second.hears(&[("g1a", &["p1"])]);
    first.holds(name("g1a"), "3");
    wait_for("the new figure", SOON, || (znodes.get("backlog/g1a/p1")? == "3").then_some(()));
    // A third one knows before it serves.
    let third = Proxy::start(zookeeper.addr(), "p3");
    assert!(third.first.contains_key("g1a"), "{:?}", third.first);
}

#[test]
fn hundreds_of_replicas_hold_no_topology_up() {
    const COUNT: usize = 500;
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    znodes.put("topology", "t0");
    let [first, second] = ["p1", "p2"].map(|id| Proxy::start(zookeeper.addr(), id));
    let (mut number, mut slowest) = (0, Duration::ZERO);
    // While one writes them all and the other reads them again and again.
    for (count, text) in [(COUNT, "1"), (COUNT, "2"), (0, "")] {
        first.holds((0..count).map(|replica| format!("r{replica}")), text);
        let before = Instant::now();
        let mut known = usize::MAX;
        while known != count {
            number += 1;
            let topology = format!("t{number}");
            znodes.put("topology", &topology);
            let put = Instant::now();
            for proxy in [&first, &second] {
                while proxy.topologies.recv_timeout(SOON).expect("it is heard") != topology.as_bytes() {}
            }
            slowest = slowest.max(put.elapsed());
            known = second.others.try_iter().last().map_or(known, |others| others.len());
            assert!(before.elapsed() < SOON * 2, "{known} of {count} known");
            if text == "2" && znodes.get(&format!("backlog/r{}/p1", COUNT - 1)).as_deref() == Some("2") {
                break;
            }
        }
        println!("{count} {text:?}: {:?}", before.elapsed());
    }
    println!("{number} topologies, the slowest heard after {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}
