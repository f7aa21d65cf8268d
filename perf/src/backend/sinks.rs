//! Line protocol without HTTP: what a generator's TCP and UDP sides cost, and lose, with nothing in between.

use std::io::Read;
use std::net::{TcpStream, UdpSocket};

use super::Server;
use super::lines::LineCounter;
use super::serve::BUFFER_BYTES;

const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Counts a stream as one request.
pub fn tcp(mut stream: TcpStream, server: &Server) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut counter = LineCounter::new(server.by_measurement);
    let mut bytes = 0;
    while let Ok(read) = stream.read(&mut buffer) {
        if read == 0 {
            break;
        }
        counter.push(&buffer[..read]);
        bytes += read as u64;
    }
    server.counters.lock().expect("no holder panics").stored("", counter.finish(bytes));
}

/// Counts every datagram as a request.
pub fn udp(socket: &UdpSocket, server: &Server) {
    if let Err(error) = socket2::SockRef::from(socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES) {
        eprintln!("slotline-perf: {}: {error}", server.name);
    }
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match socket.recv(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return eprintln!("slotline-perf: {}: {error}", server.name),
        };
        let mut counter = LineCounter::new(server.by_measurement);
        counter.push(&buffer[..read]);
        server.counters.lock().expect("no holder panics").stored("", counter.finish(read as u64));
    }
}
