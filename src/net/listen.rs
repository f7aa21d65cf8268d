//! Listening sockets, one per core on the same address, and accepting from them.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::ready::Watched;
use super::{sleep, yield_if_needed};

const BACKLOG: i32 = 4096;
/// After an error: out of descriptors, most likely, and others must close first.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// Opens `count` sockets on one address, for SO_REUSEPORT to share connections out. A port that another process has is
/// an error, also when that process would share it. Port 0 becomes one free port for all.
pub fn listening_sockets(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let address = check_free(address)?;
    let sockets = (0..count).map(|_| {
        let socket = socket(address, true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    });
    sockets.collect()
}

/// The address, with a free port for port 0, if a server could listen there now; nobody can connect meanwhile.
pub fn check_free(address: SocketAddr) -> io::Result<SocketAddr> {
    let probe = socket(address, false)?;
    probe.bind(&address.into())?;
    Ok(probe.local_addr()?.as_socket().unwrap_or(address))
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Past connections in TIME_WAIT do not keep a restarted proxy from its port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

/// One shard's socket on an address.
pub struct Listener {
    socket: TcpListener,
    /// Kept for `close`, and to know that the loop ended on purpose.
    closed: Cell<bool>,
}

impl Listener {
    /// The socket must not block, as those of `listening_sockets` do not.
    pub fn new(socket: TcpListener) -> Rc<Listener> {
        Rc::new(Listener { socket, closed: Cell::new(false) })
    }

    /// Hands every connection to `serve`, until `close`.
    pub async fn run(&self, mut serve: impl FnMut(TcpStream)) {
        let watched = loop {
            match Watched::new(self.socket.as_raw_fd()) {
                Ok(watched) => break watched,
                Err(error) => tracing::warn!(%error, "a listener could not be waited for"),
            }
            sleep(ERROR_PAUSE).await;
        };
        while !self.closed.get() {
            match poll_fn(|context| watched.poll_take(context, || self.socket.accept())).await {
                Ok((stream, _)) => serve(stream),
                Err(_) if self.closed.get() => break,
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    sleep(ERROR_PAUSE).await;
                }
            }
            yield_if_needed().await;
        }
    }

    /// Takes the connections that wait already, then listens no more.
    pub fn close(&self, mut serve: impl FnMut(TcpStream)) {
        self.closed.set(true);
        while let Ok((stream, _)) = self.socket.accept() {
            serve(stream);
        }
        let _ = SockRef::from(&self.socket).shutdown(std::net::Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::net::on_a_shard;

    const CONNECTIONS: usize = 51;

    /// The median of the times until some connections, one after the other, are answered.
    fn until_answered(address: SocketAddr) -> Duration {
        let mut times: Vec<Duration> = (0..CONNECTIONS)
            .map(|_| {
                let began = Instant::now();
                let mut stream = TcpStream::connect(address).expect("it listens");
                stream.read_exact(&mut [0]).expect("it answers");
                began.elapsed()
            })
            .collect();
        times.sort();
        times[CONNECTIONS / 2]
    }

    /// A new connection is an event, for which the shard lingers: the next one does not wait for its end.
    #[test]
    fn who_comes_while_the_shard_lingers_is_taken_at_once() {
        let address = "127.0.0.1:0".parse().expect("an address");
        let socket = listening_sockets(address, 1).expect("a port").remove(0);
        let address = socket.local_addr().expect("it is bound");
        let median = on_a_shard(move || async move {
            let listener = Listener::new(socket);
            let closing = listener.clone();
            let client = thread::spawn(move || {
                // A busy machine is late at times.
                let rounds: Vec<Duration> = (0..20).map(|_| until_answered(address)).collect();
                rounds.into_iter().min()
            });
            let mut served = Vec::new();
            let serving = listener.run(|mut stream| {
                stream.write_all(b"x").expect("there is room");
                served.push((Watched::new(stream.as_raw_fd()).expect("an epoll"), stream));
            });
            let ended = async {
                while !client.is_finished() {
                    sleep(Duration::from_millis(5)).await;
                }
                closing.close(drop);
            };
            futures_lite::future::zip(serving, ended).await;
            client.join().expect("it is answered")
        });
        let median = median.expect("there were rounds");
        assert!(median < Duration::from_millis(1), "{median:?}");
    }
}
