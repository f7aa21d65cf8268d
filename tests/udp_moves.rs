//! UDP listeners that close while datagrams still come to them: what is lost is what came after the moment of closing.

mod support;

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::*;

const POINTS_PER_MS: u64 = 10;

/// Sends 10,000 datagrams of a numbered point a second to one port, whether somebody listens there or not.
fn send(to: SocketAddr, sent: &AtomicU64, over: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let mut due = Instant::now();
    while !over.load(Ordering::Relaxed) {
        for _ in 0..POINTS_PER_MS {
            let number = sent.load(Ordering::Relaxed);
            let line = format!("u n={number}i {number}");
            // Not connected: it hears nothing of a closed port.
            socket.send_to(line.as_bytes(), to).expect("loopback takes a datagram");
            sent.store(number + 1, Ordering::Release);
        }
        due += Duration::from_millis(1);
        match due.checked_duration_since(Instant::now()) {
            Some(left) => std::thread::sleep(left),
            None => due = Instant::now(),
        }
    }
}

/// The runs of numbers that did not come, between those that did.
fn gaps(came: &BTreeSet<u64>) -> Vec<Range<u64>> {
    let pairs = came.iter().zip(came.iter().skip(1));
    pairs.filter(|(one, next)| *one + 1 < **next).map(|(one, next)| one + 1..*next).collect()
}

#[test]
fn what_a_closing_listener_loses_begins_at_a_moment() {
    const CLOSINGS: usize = 20;
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fake = Fake::start(Play::stored());
    znodes.put("topology", Document::of([fake.url()]).text());
    let slotline = Slotline::start(&Config::new().zookeeper(zookeeper.addr()));
    let addr = own_addr();
    let open = serde_json::json!([{"bind": addr.to_string(), "db": "db"}]).to_string();
    let is_open = || slotline.figure(&format!("slotline_udp_datagrams_total{{listener=\"{addr}\"}}")).is_some();
    let (sent, over) = (AtomicU64::new(0), AtomicBool::new(false));
    // In numbers of datagrams: from when the closing was asked for until the listener was there again.
    let mut closed: Vec<Range<u64>> = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| send(addr, &sent, &over));
        let more = |count| {
            let goal = sent.load(Ordering::Acquire) + count;
            wait_for("more to be sent", SOON, || (sent.load(Ordering::Acquire) >= goal).then_some(()));
        };
        for closing in 0..=CLOSINGS {
            znodes.put("udp", &open);
            wait_for("the listener", SOON, || is_open().then_some(()));
            if let Some(asked) = closed.pop() {
                // One more may be under way to the port as it was.
                closed.push(asked.start..sent.load(Ordering::Acquire) + 1);
            }
            more(1000);
            if closing < CLOSINGS {
                closed.push(sent.load(Ordering::Acquire)..u64::MAX);
                znodes.put("udp", "[]");
                wait_for("the end of the listener", SOON, || (!is_open()).then_some(()));
                more(500);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let sent = sent.into_inner();
    let since = Instant::now();
    let gaps = loop {
        let lines = fake.lines_of("db");
        let number = |line: &String| line.rsplit_once(' ').expect("lines have times").1.parse().expect("a number");
        let came: BTreeSet<u64> = lines.iter().map(number).collect();
        assert_eq!(came.len(), lines.len(), "each comes once");
        let gaps = gaps(&came);
        // What one core has yet to deliver looks like gaps near the end, and nobody listened at the begin.
        if came.last() == Some(&(sent - 1)) && gaps.len() == CLOSINGS {
            println!("{} of {sent} came, the others while the port was closed", came.len());
            break gaps;
        }
        assert!(
            since.elapsed() < SOON,
            "{} of {sent} came; {CLOSINGS} closings: {closed:?}; gaps: {gaps:?}",
            came.len()
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    for (gap, closed) in gaps.iter().zip(&closed) {
        assert!(closed.start <= gap.start && gap.end <= closed.end, "{gap:?} is not within {closed:?}");
    }
}
