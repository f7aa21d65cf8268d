//! How other threads reach a shard: they ring, or hand it a connection; the shard's task hears it. Rings in between are
//! one.
//!
//! Over a socket pair, eight bytes a message, so that nobody ever waits for a lock.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::os::unix::net::UnixStream;

use super::ready::Watched;

const MESSAGE_BYTES: usize = 8;
/// A message that brings no connection.
const NO_DESCRIPTOR: RawFd = -1;

/// The ringing end.
pub struct Doorbell(UnixStream);

/// The hearing end, made into a `Bell` on the shard.
pub struct Wire(UnixStream);

/// The hearing end on its shard.
pub struct Bell {
    /// Before `hearer`, which closes the descriptor.
    watched: Watched,
    hearer: UnixStream,
}

impl Doorbell {
    pub fn new() -> io::Result<(Doorbell, Wire)> {
        let (ringer, hearer) = UnixStream::pair()?;
        ringer.set_nonblocking(true)?;
        hearer.set_nonblocking(true)?;
        Ok((Doorbell(ringer), Wire(hearer)))
    }

    pub fn ring(&self) {
        // A full pipe rings already, a closed one has nobody to hear.
        let _ = self.send(0, NO_DESCRIPTOR);
    }

    /// Hands a connection of the given listener over; back if the shard does not keep up.
    pub fn hand_over(&self, connection: TcpStream, listener: u32) -> Result<(), TcpStream> {
        let descriptor = connection.into_raw_fd();
        match self.send(listener, descriptor) {
            true => Ok(()),
            // SAFETY: the descriptor is ours still: the message was not sent.
            false => Err(unsafe { TcpStream::from_raw_fd(descriptor) }),
        }
    }

    fn send(&self, listener: u32, descriptor: RawFd) -> bool {
        let mut message = [0; MESSAGE_BYTES];
        message[..4].copy_from_slice(&listener.to_ne_bytes());
        message[4..].copy_from_slice(&descriptor.to_ne_bytes());
        // So few bytes go whole or not at all.
        matches!((&self.0).write(&message), Ok(MESSAGE_BYTES))
    }
}

impl Wire {
    /// On the shard's own thread.
    ///
    /// # Errors
    /// The kernel watches no more streams.
    pub fn connect(self) -> io::Result<Bell> {
        Ok(Bell { watched: Watched::new(self.0.as_raw_fd())?, hearer: self.0 })
    }
}

impl Bell {
    /// Waits for the next ring and takes the connections handed over; `false` when the other end is gone.
    pub async fn heard(&mut self, mut take: impl FnMut(TcpStream, u32)) -> bool {
        // Messages go whole into the pipe, and so they come out: this holds a whole number of them.
        let mut bytes = [0; 64 * MESSAGE_BYTES];
        let read = poll_fn(|context| self.watched.poll_read(context, bytes.len(), || (&self.hearer).read(&mut bytes)));
        let Ok(read @ 1..) = read.await else { return false };
        for message in bytes[..read].chunks_exact(MESSAGE_BYTES) {
            let part = |at: usize| [message[at], message[at + 1], message[at + 2], message[at + 3]];
            let descriptor = RawFd::from_ne_bytes(part(4));
            if descriptor != NO_DESCRIPTOR {
                // SAFETY: the sender, in this process, has given the descriptor up.
                take(unsafe { TcpStream::from_raw_fd(descriptor) }, u32::from_ne_bytes(part(0)));
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::net::on_a_shard;

    #[test]
    fn rings_and_connections_arrive() {
        let (doorbell, wire) = Doorbell::new().expect("a pipe");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let connection = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        let own = connection.local_addr().expect("its address");
        doorbell.ring();
        doorbell.hand_over(connection, 7).expect("there is room");
        let found = on_a_shard(move || async move {
            let mut bell = wire.connect().expect("an epoll");
            let mut found = Vec::new();
            while found.is_empty() {
                let take = |connection: TcpStream, listener| found.push((connection.local_addr().ok(), listener));
                assert!(bell.heard(take).await);
            }
            found
        });
        assert_eq!(found, [(Some(own), 7)]);
        // Nobody hears any more: the connection comes back.
        let connection = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        assert!(doorbell.hand_over(connection, 7).is_err());
    }
}
