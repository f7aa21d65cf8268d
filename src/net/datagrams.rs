//! UDP sockets, one per core on the same address, and receiving runs of datagrams from them.
//!
//! Datagrams are not awaited one by one: `recvmmsg` takes what is there at a tenth of the cost, and with UDP_GRO one
//! message holds many datagrams of a sender. `Datagrams::receive` never waits, `wait` waits and takes nothing.

use std::cell::{Cell, OnceCell};
use std::future::poll_fn;
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use libc::{c_int, c_void, cmsghdr, iovec, mmsghdr, sock_filter, sock_fprog, timespec};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::ready::Watched;
use super::sleep;

/// After an error while waiting.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Messages a call.
const RUN: usize = 64;
/// No datagram, and no run of them that the kernel joins, is longer.
const MESSAGE_BYTES: usize = 65_536;
/// Room for a drop count, a segment size and an arrival time.
const CONTROL_BYTES: usize = 128;

/// A set of sockets on one address, one for each shard to take.
pub struct UdpPort {
    pub address: SocketAddr,
    sockets: Vec<ArcSwapOption<UdpSocket>>,
    /// How many of those taken have left delivery.
    left: AtomicUsize,
    /// The receive buffer that each got.
    pub buffer_bytes: usize,
}

impl UdpPort {
    pub fn count(&self) -> usize {
        self.sockets.len()
    }

    /// The socket of a shard, once.
    pub fn take(&self, shard: usize) -> Option<UdpSocket> {
        Arc::into_inner(self.sockets.get(shard)?.swap(None)?)
    }

    /// One that was taken has left delivery.
    pub fn leaves(&self) {
        self.left.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether all that were taken have left. Until then one that has left may get datagrams still: kernels before 6.6
    /// let the set's program choose it.
    pub fn have_all_left(&self) -> bool {
        let untaken = self.sockets.iter().filter(|socket| socket.load().is_some()).count();
        self.left.load(Ordering::Acquire) + untaken >= self.count()
    }
}

/// Opens `count` sockets on one address. The kernel shares datagrams out by sender, or at random. A port that another
/// process has is an error, also when that process would share it.
pub fn udp_sockets(address: SocketAddr, count: usize, at_random: bool, buffer_bytes: usize) -> io::Result<UdpPort> {
    let probe = socket(address, false)?;
    probe.bind(&address.into())?;
    let address = probe.local_addr()?.as_socket().unwrap_or(address);
    drop(probe);
    let mut sockets = Vec::with_capacity(count);
    let mut got = usize::MAX;
    for _ in 0..count {
        let socket = socket(address, true)?;
        got = got.min(set_buffer(&socket, buffer_bytes)?);
        socket.set_nonblocking(true)?;
        // Where the kernel cannot join datagrams they come one by one.
        let _ = set_option(&socket, libc::SOL_UDP, libc::UDP_GRO, &1);
        set_option(&socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &1)?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1)?;
        socket.bind(&address.into())?;
        sockets.push(socket);
    }
    if let Some(first) = sockets.first().filter(|_| count > 1) {
        share_out(first, at_random, count)?;
    }
    let sockets = sockets.into_iter().map(|socket| ArcSwapOption::from_pointee(UdpSocket::from(socket))).collect();
    Ok(UdpPort { address, sockets, left: AtomicUsize::new(0), buffer_bytes: got })
}

/// Changes how the datagrams of an open set are shared out.
pub fn share_out(any: &impl AsRawFd, at_random: bool, count: usize) -> io::Result<()> {
    if !at_random {
        return match set_option(any, libc::SOL_SOCKET, libc::SO_DETACH_REUSEPORT_BPF, &0) {
            // There was no program.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            done => done,
        };
    }
    let instruction = |code: u32, k: u32| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // A random number modulo `count` is the index of the socket.
    let random = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, random),
        instruction(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, count as u32),
        instruction(libc::BPF_RET | 0x10, 0),
    ];
    let program = sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    set_option(any, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &program)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

/// Past `rmem_max` where we may, else up to it.
fn set_buffer(socket: &Socket, bytes: usize) -> io::Result<usize> {
    let wanted = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    if set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &wanted).is_err() {
        socket.set_recv_buffer_size(bytes)?;
    }
    // The kernel keeps, and tells, twice as much, for its own needs.
    Ok(socket.recv_buffer_size()? / 2)
}

fn set_option<T>(socket: &impl AsRawFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` is a live T, whose size is told; the kernel copies it.
    let done = unsafe {
        let value: *const T = value;
        libc::setsockopt(socket.as_raw_fd(), level, name, value.cast::<c_void>(), size_of::<T>() as u32)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One shard's socket.
pub struct Receiver {
    /// From the first wait on. Before `socket`, which closes the descriptor.
    watched: OnceCell<Watched>,
    socket: UdpSocket,
    /// The highest count of drops that the kernel has told.
    drops: Cell<u32>,
}

impl Receiver {
    /// On the shard's own thread. The socket must not block, as those of `udp_sockets` do not.
    pub fn new(socket: UdpSocket) -> Rc<Receiver> {
        Rc::new(Receiver { watched: OnceCell::new(), socket, drops: Cell::new(0) })
    }

    /// Waits until there may be a datagram, or the socket has left delivery.
    pub async fn wait(&self) {
        // Whatever it is shows at the next `receive`; it must not make a hot loop.
        if self.told().await.is_err() {
            sleep(ERROR_PAUSE).await;
        }
    }

    async fn told(&self) -> io::Result<()> {
        let watched = match self.watched.get() {
            Some(watched) => watched,
            None => {
                let watched = Watched::on_demand(self.as_raw_fd())?;
                self.watched.get_or_init(|| watched)
            }
        };
        poll_fn(|context| watched.poll_told(context)).await
    }

    /// How many datagrams the kernel has dropped here since the last time.
    pub fn take_drops(&self) -> u64 {
        let mut memory = [0u32; 9];
        let mut length = size_of::<[u32; 9]>() as u32;
        let values: *mut [u32; 9] = &mut memory;
        // SAFETY: the kernel writes at most `length` bytes into `memory`.
        let done = unsafe {
            libc::getsockopt(self.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, values.cast::<c_void>(), &mut length)
        };
        // SK_MEMINFO_DROPS
        if done == 0 { self.count_drops(memory[8]) } else { 0 }
    }

    /// How many are new. A datagram tells the count of when it was queued, which may be less than what is known.
    fn count_drops(&self, told: u32) -> u64 {
        let new = told.wrapping_sub(self.drops.get());
        if new > u32::MAX / 2 {
            return 0;
        }
        self.drops.set(told);
        u64::from(new)
    }

    /// Takes the socket out of delivery: what came so far can still be received. (A connected socket hears nobody but
    /// its peer.)
    pub fn leave(&self) {
        let socket = SockRef::from(&self.socket);
        let is_v6 = socket.local_addr().ok().and_then(|own| own.as_socket()).is_some_and(|own| own.is_ipv6());
        // Where IPv6 is switched off, its loopback is not to be reached.
        let nobodies: &[&str] = if is_v6 { &["[::1]:9", "[::ffff:127.0.0.1]:9"] } else { &["127.0.0.1:9"] };
        let nobodies = nobodies.iter().filter_map(|nobody| nobody.parse::<SocketAddr>().ok());
        if !nobodies.map(SockAddr::from).any(|nobody| socket.connect(&nobody).is_ok()) {
            tracing::warn!("a UDP socket could not leave delivery before it closes");
        }
        // Wakes whoever waits, also when it says that the socket is not connected.
        let _ = socket.shutdown(std::net::Shutdown::Read);
    }
}

impl AsRawFd for Receiver {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// One datagram of a run.
pub struct Datagram<'a> {
    pub bytes: &'a [u8],
    /// When the kernel got it, since 1970.
    pub arrived_ns: Option<i64>,
    /// The kernel cut it off.
    pub truncated: bool,
}

/// The memory for one run: 4 MiB, for all sockets of a shard.
pub struct Datagrams {
    bytes: Box<[u8]>,
    control: Box<[[u64; CONTROL_BYTES / 8]; RUN]>,
    messages: Vec<Message>,
}

/// Where a message lies: the i-th at `i * MESSAGE_BYTES`.
struct Message {
    length: usize,
    /// Of one datagram; the last may be shorter.
    segment: usize,
    arrived_ns: Option<i64>,
    truncated: bool,
}

impl Default for Datagrams {
    fn default() -> Datagrams {
        let bytes = vec![0; RUN * MESSAGE_BYTES].into_boxed_slice();
        Datagrams { bytes, control: Box::new([[0; CONTROL_BYTES / 8]; RUN]), messages: Vec::with_capacity(RUN) }
    }
}

impl Datagrams {
    /// Whether the last run was as long as a run can be, so that there is more.
    pub fn is_full(&self) -> bool {
        self.messages.len() == RUN
    }

    /// Takes what is there, up to a run, and how many the kernel has told to have dropped before it. `WouldBlock` when
    /// there is nothing.
    pub fn receive(&mut self, from: &Receiver) -> io::Result<u64> {
        self.messages.clear();
        let mut vectors: [MaybeUninit<iovec>; RUN] = [const { MaybeUninit::uninit() }; RUN];
        // SAFETY: all-zero is a valid mmsghdr: null pointers with lengths of 0.
        let mut headers: [mmsghdr; RUN] = unsafe { zeroed() };
        let parts = self.bytes.chunks_exact_mut(MESSAGE_BYTES).zip(self.control.iter_mut());
        for ((header, vector), (bytes, control)) in headers.iter_mut().zip(&mut vectors).zip(parts) {
            let vector = vector.write(iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() });
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES;
        }
        // SAFETY: every header points to its own vector, buffer and control buffer, of the lengths told, all of which
        // outlive the call and are not otherwise used during it.
        let received = unsafe {
            libc::recvmmsg(from.as_raw_fd(), headers.as_mut_ptr(), RUN as u32, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        let mut drops = 0;
        for header in &headers[..received] {
            let length = header.msg_len as usize;
            let mut message = Message {
                length: length.min(MESSAGE_BYTES),
                segment: length.max(1),
                arrived_ns: None,
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            };
            for_each_control(header, |level, kind, value| match (level, kind) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    message.segment = read::<c_int>(value).and_then(|size| size.try_into().ok()).unwrap_or(0).max(1);
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    drops += read::<u32>(value).map_or(0, |now| from.count_drops(now));
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    message.arrived_ns = read::<timespec>(value).map(|time| time.tv_sec * 1_000_000_000 + time.tv_nsec);
                }
                _ => {}
            });
            self.messages.push(message);
        }
        Ok(drops)
    }

    /// The datagrams of the last run, in the order of their arrival.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.messages.iter().enumerate().flat_map(|(at, message)| {
            let bytes = &self.bytes[at * MESSAGE_BYTES..][..message.length];
            let datagram = |bytes| Datagram { bytes, arrived_ns: message.arrived_ns, truncated: message.truncated };
            // One without bytes is a datagram too.
            let empty = bytes.is_empty().then_some(bytes);
            bytes.chunks(message.segment).chain(empty).map(datagram)
        })
    }
}

/// Calls `each` with the level, the kind and the bytes of every control message.
fn for_each_control(header: &mmsghdr, mut each: impl FnMut(c_int, c_int, &[u8])) {
    let header = &header.msg_hdr;
    // SAFETY: the kernel has filled `msg_control` with `msg_controllen` bytes of control messages; the macros stay within
    // them, and `cmsg_len` is that of the message's header and data.
    unsafe {
        let mut at: *const cmsghdr = libc::CMSG_FIRSTHDR(header);
        while let Some(control) = at.as_ref() {
            let length = control.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
            each(control.cmsg_level, control.cmsg_type, std::slice::from_raw_parts(libc::CMSG_DATA(at), length));
            at = libc::CMSG_NXTHDR(header, at);
        }
    }
}

/// Plain numbers as the kernel writes them.
trait Plain: Copy {}
impl Plain for c_int {}
impl Plain for u32 {}
impl Plain for timespec {}

fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    // SAFETY: there are enough bytes, and a Plain type is any pattern of them.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast::<T>()) })
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::net::on_a_shard;

    /// Everything that is there within a second, one after the other: the safe twin is plain `recv`.
    async fn all(receivers: &[Rc<Receiver>], count: usize) -> Vec<Vec<Vec<u8>>> {
        let mut run = Datagrams::default();
        let mut found = vec![Vec::new(); receivers.len()];
        let until = Instant::now() + Duration::from_secs(2);
        while found.iter().map(Vec::len).sum::<usize>() < count && Instant::now() < until {
            for (receiver, found) in receivers.iter().zip(&mut found) {
                if run.receive(receiver).is_ok() {
                    found.extend(run.iter().map(|datagram| datagram.bytes.to_vec()));
                }
            }
            sleep(Duration::from_millis(1)).await;
        }
        found
    }

    fn open(count: usize, at_random: bool, buffer: usize) -> (SocketAddr, Vec<Rc<Receiver>>) {
        let opened = udp_sockets("127.0.0.1:0".parse().expect("an address"), count, at_random, buffer);
        let opened = opened.expect("sockets");
        let socket = |shard| opened.take(shard).expect("each is there once");
        (opened.address, (0..count).map(|shard| Receiver::new(socket(shard))).collect())
    }

    #[test]
    fn datagrams_come_as_they_were_sent_joined_or_not() {
        on_a_shard(|| async {
            let (address, receivers) = open(1, true, 1 << 20);
            let sender = UdpSocket::bind("127.0.0.1:0").expect("a sender");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as i64;
            let sent: Vec<Vec<u8>> = (0..150usize).map(|i| vec![i as u8; i * 7 % 3000]).collect();
            for datagram in &sent {
                sender.send_to(datagram, address).expect("sent");
            }
            assert_eq!(all(&receivers, sent.len()).await, [sent]);
            // One send of many: GSO.
            let joined: Vec<u8> = (0..100u8).flat_map(|i| [i; 10]).chain([200; 3]).collect();
            set_option(&sender, libc::SOL_UDP, libc::UDP_SEGMENT, &10).expect("the kernel has GSO");
            sender.send_to(&joined, address).expect("sent");
            let found = all(&receivers, 101).await;
            let expected: Vec<Vec<u8>> = joined.chunks(10).map(<[u8]>::to_vec).collect();
            assert_eq!(found, [expected]);
            set_option(&sender, libc::SOL_UDP, libc::UDP_SEGMENT, &0).expect("no more");
            sender.send_to(b"x", address).expect("sent");
            receivers[0].wait().await;
            let mut run = Datagrams::default();
            run.receive(&receivers[0]).expect("it is there");
            let arrived = run.iter().next().and_then(|datagram| datagram.arrived_ns).expect("a time");
            assert!((0..5_000_000_000).contains(&(arrived - now)), "{arrived} {now}");
        });
    }

    #[test]
    fn one_sender_is_spread_or_stays() {
        on_a_shard(|| async {
            for at_random in [true, false] {
                let (address, receivers) = open(4, at_random, 1 << 20);
                let sender = UdpSocket::bind("127.0.0.1:0").expect("a sender");
                (0..400).for_each(|_| assert!(sender.send_to(b"m v=1", address).is_ok()));
                let counts: Vec<usize> = all(&receivers, 400).await.iter().map(Vec::len).collect();
                assert_eq!(counts.iter().sum::<usize>(), 400);
                let busy = counts.iter().filter(|count| **count > 40).count();
                assert_eq!(busy, if at_random { 4 } else { 1 }, "{counts:?}");
                share_out(&*receivers[0], !at_random, 4).expect("changed");
                (0..400).for_each(|_| assert!(sender.send_to(b"m v=1", address).is_ok()));
                let counts: Vec<usize> = all(&receivers, 400).await.iter().map(Vec::len).collect();
                let busy = counts.iter().filter(|count| **count > 40).count();
                assert_eq!(busy, if at_random { 1 } else { 4 }, "{counts:?}");
            }
        });
    }

    #[test]
    fn all_have_left_when_each_that_was_taken_has() {
        let port = udp_sockets("127.0.0.1:0".parse().expect("an address"), 3, true, 1 << 20).expect("sockets");
        let taken = [port.take(0), port.take(2)];
        assert!(taken.iter().all(Option::is_some) && !port.have_all_left());
        port.leaves();
        assert!(!port.have_all_left());
        port.leaves();
        assert!(port.have_all_left());
    }

    #[test]
    fn what_the_kernel_drops_is_counted_once() {
        on_a_shard(|| async {
            let (address, receivers) = open(1, true, 4096);
            let sender = UdpSocket::bind("127.0.0.1:0").expect("a sender");
            (0..500).for_each(|_| assert!(sender.send_to(&[7; 1000], address).is_ok()));
            let dropped = receivers[0].take_drops();
            let received = all(&receivers, 500).await[0].len() as u64;
            assert!(dropped > 0 && received > 0);
            assert_eq!(dropped + received + receivers[0].take_drops(), 500);
        });
    }

    /// What waits in the socket tells of fewer drops than the socket does.
    #[test]
    fn drops_told_late_are_not_counted_again() {
        on_a_shard(|| async {
            let (address, receivers) = open(1, true, 65_536);
            let (sender, receiver) = (UdpSocket::bind("127.0.0.1:0").expect("a sender"), &receivers[0]);
            let send = |count| (0..count).for_each(|_| assert!(sender.send_to(&[7; 100], address).is_ok()));
            let mut run = Datagrams::default();
            let (mut received, mut dropped) = (0, 0);
            let mut receive = |dropped: &mut u64| {
                *dropped += run.receive(receiver).unwrap_or(0);
                received += run.messages.len() as u64;
                run.is_full()
            };
            for _ in 0..3 {
                send(1000);
                receive(&mut dropped);
                send(1000);
                dropped += receiver.take_drops();
                while receive(&mut dropped) {}
                dropped += receiver.take_drops();
            }
            assert!(dropped > 0);
            assert_eq!(dropped + received, 6000);
        });
    }

    #[test]
    fn a_socket_that_leaves_keeps_what_it_has() {
        on_a_shard(|| async {
            let (address, receivers) = open(1, true, 1 << 20);
            let sender = UdpSocket::bind("127.0.0.1:0").expect("a sender");
            sender.send_to(b"before", address).expect("sent");
            receivers[0].leave();
            receivers[0].wait().await;
            // Nobody listens any more: an error at best.
            let _ = sender.send_to(b"after", address);
            assert_eq!(all(&receivers, 2).await, [[b"before"]]);
            // Nothing is there, and nobody waits for it for ever: also who has begun to.
            receivers[0].wait().await;
            let (_, receivers) = open(1, true, 1 << 20);
            let leaving = receivers[0].clone();
            let waiting = async {
                receivers[0].wait().await;
                true
            };
            let left = async {
                sleep(Duration::from_millis(20)).await;
                leaving.leave();
                sleep(Duration::from_secs(2)).await;
                false
            };
            assert!(futures_lite::future::or(waiting, left).await, "leaving wakes");
        });
    }
}
