//! Listening sockets, one per core on the same address, and accepting from them.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use glommio::net::TcpStream;
use glommio::timer::sleep;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

const BACKLOG: i32 = 4096;

/// Opens `count` sockets on one address, for SO_REUSEPORT to share connections out. A port that another process has is
/// an error, also when that process would share it. Port 0 becomes one free port for all.
pub fn listening_sockets(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let address = check_free(address)?;
    let sockets = (0..count).map(|_| {
        let socket = socket(address, true)?;
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
    inner: glommio::net::TcpListener,
    /// `inner`'s, which does not tell.
    descriptor: RawFd,
    /// Kept for `close`, and to know that the loop ended on purpose.
    closed: Cell<bool>,
}

impl Listener {
    pub fn new(socket: TcpListener) -> Rc<Listener> {
        let descriptor = socket.into_raw_fd();
        // SAFETY: `socket` has given its descriptor up.
        let inner = unsafe { glommio::net::TcpListener::from_raw_fd(descriptor) };
        Rc::new(Listener { inner, descriptor, closed: Cell::new(false) })
    }

    /// Hands every connection to `serve`, until `close`. Never cancel it: a dropped accept leaks a descriptor.
    pub async fn run(&self, mut serve: impl FnMut(TcpStream)) {
        while !self.closed.get() {
            match self.inner.accept().await {
                Ok(stream) => serve(stream),
                Err(_) if self.closed.get() => break,
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    // Out of descriptors, most likely: others must close first.
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// Takes the connections that wait already, then listens no more.
    pub fn close(&self, mut serve: impl FnMut(TcpStream)) {
        // SAFETY: `inner` owns the descriptor and outlives this borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.descriptor) };
        let socket = SockRef::from(&descriptor);
        self.closed.set(true);
        if socket.set_nonblocking(true).is_ok() {
            while let Ok((stream, _)) = socket.accept() {
                // SAFETY: the descriptor is owned by `stream` and handed over whole.
                serve(unsafe { TcpStream::from_raw_fd(stream.into_raw_fd()) });
            }
        }
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }
}
