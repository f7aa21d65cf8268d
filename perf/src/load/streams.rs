//! `--protocol tcp` and `udp`: nobody answers, so that a point counts as sent when the kernel took it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::{Plan, Tally};

const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);
const SEND_BUFFER_BYTES: usize = 4 << 20;

/// Latency: until the kernel took the last byte of a body. Ends when the peer has read everything and closed.
pub fn tcp(plan: &Plan) -> Tally {
    let mut tally = Tally::new();
    let mut connection = None;
    while let Some(claim) = plan.schedule.claim(1) {
        let body = plan.body(claim.unit, claim.points);
        let begun = claim.due.unwrap_or_else(Instant::now);
        tally.sent(claim.points, body.len());
        match stream_out(plan, &mut connection, body) {
            Ok(()) => tally.took(begun.elapsed()),
            Err(error) => {
                connection = None;
                tally.broke(claim.points, error.to_string());
                std::thread::sleep(PAUSE_AFTER_ERROR);
            }
        }
    }
    if let Some(Err(error)) = connection.map(finish) {
        tally.broke(0, format!("at the end: {error}"));
    }
    tally
}

fn stream_out(plan: &Plan, connection: &mut Option<TcpStream>, body: &[u8]) -> io::Result<()> {
    let stream = match connection {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect_timeout(&plan.target, plan.timeout)?;
            stream.set_write_timeout(Some(plan.timeout))?;
            stream.set_read_timeout(Some(plan.timeout))?;
            connection.insert(stream)
        }
    };
    stream.write_all(body)
}

fn finish(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let mut rest = [0; 512];
    while stream.read(&mut rest)? > 0 {}
    Ok(())
}

/// `batch` datagrams a call; `gso`: the lines of a datagram, where the kernel cuts them. Latency: from the moment a
/// call's last datagram was due until the kernel took it.
pub fn udp(plan: &Plan, batch: u64, gso: Option<u16>) -> Tally {
    let mut tally = Tally::new();
    let datagram_bytes = plan.bodies[0].len() / usize::try_from(batch).expect("at most 64");
    let socket = match open(plan.target, gso.is_some().then_some(datagram_bytes)) {
        Ok(socket) => socket,
        Err(error) => {
            tally.broke(0, format!("socket: {error}"));
            return tally;
        }
    };
    let mut turn = 0;
    while let Some(claim) = plan.schedule.claim(batch) {
        let bytes = plan.body(turn, claim.points);
        turn += 1;
        let begun = claim.due.unwrap_or_else(Instant::now);
        send_all(&socket, bytes, datagram_bytes, plan.line_bytes, gso.is_some(), &mut tally);
        tally.took(begun.elapsed());
    }
    tally
}

fn open(target: SocketAddr, segment_bytes: Option<usize>) -> io::Result<UdpSocket> {
    let own = if target.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let socket = UdpSocket::bind(own)?;
    socket.connect(target)?;
    socket2::SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER_BYTES)?;
    if let Some(bytes) = segment_bytes {
        crate::sys::set_segment_bytes(&socket, u16::try_from(bytes).expect("at most 65507"))?;
    }
    Ok(socket)
}

/// A call that fails drops its first datagram and goes on with the next: UDP repeats nothing.
fn send_all(socket: &UdpSocket, bytes: &[u8], datagram_bytes: usize, line_bytes: usize, gso: bool, tally: &mut Tally) {
    let mut left = bytes;
    while !left.is_empty() {
        let taken = if gso {
            socket.send(left)
        } else {
            let sent = crate::sys::send_many(socket, left.chunks(datagram_bytes));
            sent.map(|count| left.len().min(count * datagram_bytes))
        };
        let length = taken.as_ref().map_or(datagram_bytes.min(left.len()), |&taken| taken);
        let points = (length / line_bytes) as u64;
        tally.requests += length.div_ceil(datagram_bytes) as u64;
        tally.points_sent += points;
        tally.bytes += length as u64;
        if let Err(error) = taken {
            tally.broke(points, format!("send: {error}"));
        }
        left = &left[length..];
    }
}
