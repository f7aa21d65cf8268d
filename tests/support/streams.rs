//! What tests of line protocol over TCP and UDP share.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::config::{Config, replica_name};
use super::fake::Fake;
use super::slotline::Slotline;
use super::{SOON, wait_for};

/// A slotline before fakes, which are the replicas of one group, with one listener of line protocol.
#[track_caller]
pub fn before(fakes: &[&Fake], config: &Config, protocol: &str, lines: &str) -> (Slotline, SocketAddr) {
    let numbered = fakes.iter().enumerate();
    let group: Vec<_> = numbered.map(|(number, fake)| (replica_name(0, number), fake.url())).collect();
    let config = config.clone().listen_lines(protocol, "127.0.0.1:0", lines).group(&group);
    let slotline = Slotline::start(&config);
    let address = slotline.listening(protocol)[0];
    (slotline, address)
}

/// A sender waits for a millisecond whenever it has sent so many: where the kernel gives a listener little room, a burst
/// would lose some.
const BURST: usize = 20;

/// One sender of datagrams.
pub struct Sender {
    socket: UdpSocket,
    sent: AtomicUsize,
}

impl Sender {
    pub fn to(address: SocketAddr) -> Sender {
        let any = if address.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" };
        let socket = UdpSocket::bind(any).expect("a free port");
        socket.connect(address).expect("a datagram socket takes any peer");
        Sender { socket, sent: AtomicUsize::new(0) }
    }

    #[track_caller]
    pub fn send(&self, datagram: impl AsRef<[u8]>) {
        self.try_send(datagram).expect("the kernel takes the datagram");
    }

    /// Sends what nobody may be there to hear.
    pub fn try_send(&self, datagram: impl AsRef<[u8]>) -> io::Result<usize> {
        if self.sent.fetch_add(1, Ordering::Relaxed) % BURST == BURST - 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.socket.send(datagram.as_ref())
    }

    /// Sends as fast as it goes.
    #[track_caller]
    pub fn send_now(&self, datagram: impl AsRef<[u8]>) {
        self.socket.send(datagram.as_ref()).expect("the kernel takes the datagram");
    }

    /// Sends many datagrams of `bytes` each (the last may be shorter) at once: GSO.
    #[track_caller]
    pub fn send_segments(&self, datagrams: &[u8], bytes: u16) {
        use std::os::fd::AsRawFd;
        let set = |bytes: libc::c_int| {
            let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("a small type");
            let option = (&raw const bytes).cast();
            // SAFETY: the descriptor is open, and pointer and length describe a live number.
            unsafe { libc::setsockopt(self.socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, option, length) }
        };
        assert_eq!(set(bytes.into()), 0, "the kernel has GSO");
        self.send(datagrams);
        assert_eq!(set(0), 0, "the kernel has GSO");
    }
}

/// Waits until a metric, added up, has reached a number.
#[track_caller]
pub fn wait_metric(slotline: &Slotline, name: &str, labels: &[&str], at_least: u64) {
    let what = format!("{name}{labels:?} of {at_least}");
    wait_for(&what, SOON, || (slotline.metric(name, labels) >= at_least).then_some(()));
}

/// Waits until a fake has got so many lines; they.
#[track_caller]
pub fn wait_lines(fake: &Fake, count: usize) -> Vec<String> {
    wait_for(&format!("{count} lines"), SOON, || (fake.line_count() >= count).then(|| fake.lines()))
}

/// How many lines came over each connection of a proxy: with `write.lanes = 1` a connection is a core's.
pub fn lines_by_connection(fake: &Fake) -> Vec<usize> {
    let mut counts = BTreeMap::new();
    for write in fake.writes() {
        *counts.entry(write.peer).or_insert(0) += write.body.iter().filter(|&&byte| byte == b'\n').count();
    }
    counts.into_values().collect()
}

/// The time at a line's end.
#[track_caller]
pub fn time_of(line: &str) -> i64 {
    line.rsplit(' ').next().and_then(|time| time.parse().ok()).unwrap_or_else(|| panic!("no time: {line:?}"))
}

/// The integer field `v` of a line `… v=1i[ time]`.
#[track_caller]
pub fn value_of(line: &str) -> i64 {
    let value = line.split_once(" v=").and_then(|(_, rest)| rest.split_once('i')?.0.parse().ok());
    value.unwrap_or_else(|| panic!("no value: {line:?}"))
}

/// They rise strictly.
#[track_caller]
pub fn assert_rising(what: &str, values: impl IntoIterator<Item = i64>) {
    let mut last = None;
    for (at, value) in values.into_iter().enumerate() {
        assert!(last.is_none_or(|last| last < value), "{what}: {value} at {at}, behind {last:?}");
        last = Some(value);
    }
}
