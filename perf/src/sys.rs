//! The few system calls that neither the standard library nor socket2 has.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// How many datagrams one `send_many` takes.
pub const DATAGRAMS_MAX: usize = 64;

/// User and system seconds of this process so far.
pub fn cpu_seconds() -> f64 {
    // SAFETY: all zeros is a valid rusage: it consists of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is writable and lives through the call.
    let code = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    assert_eq!(code, 0, "getrusage of this very process has no way to fail");
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// The same of another process, exact to the nanosecond where the kernel counts so.
pub fn cpu_seconds_of(pid: u32) -> io::Result<f64> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is writable and lives through the call.
    let code = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: as above.
    let code = unsafe { libc::clock_gettime(clock, &raw mut time) };
    #[allow(clippy::cast_precision_loss, reason = "seconds of a process are far below 2^52")]
    if code == 0 { Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9) } else { Err(io::Error::last_os_error()) }
}

#[allow(clippy::cast_precision_loss, reason = "seconds of a process are far below 2^52")]
fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

/// Sends up to `DATAGRAMS_MAX` datagrams on a connected socket with one call; how many went out.
pub fn send_many<'a>(socket: &UdpSocket, datagrams: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
    let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; DATAGRAMS_MAX];
    let mut count = 0;
    for (part, datagram) in parts.iter_mut().zip(datagrams) {
        *part = libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() };
        count += 1;
    }
    // SAFETY: all zeros is a valid mmsghdr: null pointers with lengths of zero.
    let mut headers: [libc::mmsghdr; DATAGRAMS_MAX] = unsafe { std::mem::zeroed() };
    for (header, part) in headers.iter_mut().zip(&mut parts) {
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
    }
    let length = libc::c_uint::try_from(count).expect("at most 64");
    // SAFETY: the first `count` headers point at iovecs in `parts`, those at slices that `'a` keeps alive; the kernel
    // only reads them, and writes msg_len of the headers.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), length, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// From now on a `send` of more than `bytes` becomes datagrams of `bytes` each, the last one of the rest: the kernel
/// walks its stack once for all of them (generic segmentation offload).
pub fn set_segment_bytes(socket: &UdpSocket, bytes: u16) -> io::Result<()> {
    let value = libc::c_int::from(bytes);
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("four");
    // SAFETY: the pointer and the length are those of `value`.
    let code = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, (&raw const value).cast(), length)
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a timeout");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        sender.connect(receiver.local_addr().expect("bound")).expect("loopback");
        (sender, receiver)
    }

    fn receive(socket: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).expect("a datagram");
        buffer[..length].to_vec()
    }

    #[test]
    fn cpu_of_a_process_is_its_own() {
        let (own, same) = (cpu_seconds(), cpu_seconds_of(std::process::id()).expect("it runs"));
        assert!(same >= own - 0.01 && same < own + 10.0, "{own} {same}");
        cpu_seconds_of(u32::MAX).expect_err("nobody has this number");
        cpu_seconds_of((1 << 22) + 1).expect_err("nobody has this number");
    }

    #[test]
    fn datagrams_arrive_as_they_were_cut() {
        let (sender, receiver) = pair();
        assert_eq!(send_many(&sender, b"aabbc".chunks(2)).expect("sent"), 3);
        assert_eq!([receive(&receiver), receive(&receiver), receive(&receiver)], [&b"aa"[..], b"bb", b"c"]);
    }

    #[test]
    fn segments_arrive_as_datagrams() {
        let (sender, receiver) = pair();
        set_segment_bytes(&sender, 2).expect("Linux 4.18 has it");
        assert_eq!(sender.send(b"aabbc").expect("sent"), 5);
        assert_eq!([receive(&receiver), receive(&receiver), receive(&receiver)], [&b"aa"[..], b"bb", b"c"]);
    }
}
