//! What the control thread costs while ZooKeeper is there, away or frozen. Alone in its program, whose threads it counts.

mod support;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::slotline::control::{self, Audience, Control, Settings};

use support::*;

struct Nobody;

impl Audience for Nobody {
    fn topology(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn topology_missing(&mut self, _: &str) {}

    fn udp(&mut self, _: Option<&[u8]>) -> Result<(), String> {
        Ok(())
    }

    fn registration(&mut self) -> Vec<u8> {
        b"{}".to_vec()
    }

    fn connected(&mut self, _: bool, _: &str) {}
}

/// What all threads of this process have used so far.
fn cpu() -> Duration {
    // SAFETY: all zeroes is a value of this plain struct, and getrusage(2) writes nothing else.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &raw mut usage), 0);
        usage
    };
    let time = |time: libc::timeval| Duration::from_micros((time.tv_sec * 1_000_000 + time.tv_usec) as u64);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Watches for `span`; the share of one core that was used.
fn share(what: &str, span: Duration) {
    let before = cpu();
    std::thread::sleep(span);
    let used = cpu() - before;
    println!("{what}: {used:?} in {span:?}");
    assert!(used < span / 50, "{what}: {used:?} in {span:?}");
}

/// Threads by name that the control thread and its client have.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc can be listed");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let mut names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    names.retain(|name| ["control", "zookeeper", "io", "event"].contains(&name.as_str()));
    names.sort();
    names
}

fn follow(addr: SocketAddr) -> Control {
    let settings = Settings {
        servers: addr.to_string(),
        auth: String::new(),
        cluster: "main".to_owned(),
        proxy_id: "p1".to_owned(),
    };
    control::start(settings, Box::new(Nobody)).expect("the settings are good")
}

#[test]
fn an_outage_costs_nothing_and_leaves_no_threads() {
    let mut zookeeper = Zookeeper::start_with("maxSessionTimeout=4000");
    let control = follow(zookeeper.addr());
    assert!(control.wait_until_heard(SOON));
    // The second `io` is the timer of the first.
    let there = ["control", "event", "io", "io", "zookeeper"];
    assert_eq!(threads(), there);
    share("connected", Duration::from_secs(2));

    zookeeper.kill9();
    share("killed", Duration::from_secs(4));
    assert_eq!(threads(), ["control"]);
    zookeeper.launch();
    wait_for("a session", SOON, || (threads() == there).then_some(()));

    zookeeper.pause();
    share("frozen", Duration::from_secs(10));
    zookeeper.resume();
    wait_for("one session alone", SOON, || (threads() == there && zookeeper.sessions() == 1).then_some(()));

    control.stop();
    wait_for("the end", SOON, || threads().is_empty().then_some(()));

    // What takes connections only to close them is knocked at now and then.
    let closing = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = closing.local_addr().expect("a bound socket has an address");
    let closed = Arc::new(AtomicUsize::new(0));
    let count = closed.clone();
    std::thread::spawn(move || {
        for stream in closing.incoming() {
            count.fetch_add(1, Ordering::Relaxed);
            drop(stream);
        }
    });
    let control = follow(addr);
    share("closed", Duration::from_secs(3));
    assert!((1..20).contains(&closed.load(Ordering::Relaxed)), "{closed:?}");
    assert_eq!(threads(), ["control"]);
    control.stop();
}
