//! Whether a client has left while its request is being answered: it has closed its end, or its side of it. Used by `shard`,
//! which knows the socket, and `query`, which has no use for an answer that nobody reads.

use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use super::Timer;

/// How often is looked, first after so long: a query that takes less is answered whatever the client does.
const INTERVAL: Duration = Duration::from_millis(500);

/// The other end of a connection. It must not outlive the connection: its number may be another's then.
#[derive(Clone, Copy, Debug)]
pub struct Peer(RawFd);

impl Peer {
    pub fn of(stream: &TcpStream) -> Peer {
        Peer(stream.as_raw_fd())
    }

    /// Ready once it has left.
    pub async fn left(self) {
        loop {
            Timer::new(INTERVAL).await;
            if self.has_left() {
                return;
            }
        }
    }

    fn has_left(self) -> bool {
        let events = libc::POLLRDHUP;
        let mut polled = libc::pollfd { fd: self.0, events, revents: 0 };
        // SAFETY: one pollfd of ours, which poll(2) fills in at once; a descriptor that is closed is told in it.
        let ready = unsafe { libc::poll(&raw mut polled, 1, 0) };
        ready > 0 && polled.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Instant;

    use super::*;
    use crate::net::{deadline, on_a_shard};

    #[test]
    fn who_leaves_is_noticed_whatever_it_has_sent() {
        on_a_shard(|| async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let mut client =
                std::net::TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
            let (accepted, _) = listener.accept().expect("a client");
            client.write_all(b"never read").expect("room");
            let peer = Peer(accepted.as_raw_fd());
            let soon = || Instant::now() + Duration::from_millis(700);
            assert!(deadline(soon(), peer.left()).await.is_err(), "it stays");
            client.shutdown(std::net::Shutdown::Write).expect("it is open");
            let until = Instant::now() + Duration::from_secs(10);
            assert!(deadline(until, peer.left()).await.is_ok(), "it has left");
            drop(accepted);
        });
    }
}
