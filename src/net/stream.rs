//! A TCP stream as hyper wants it: reads into hyper's own buffers, writes several slices at once, and fails a
//! write that makes no progress for too long.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::rt::ReadBufCursor;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::heads::Heads;
use super::ready::Watched;
use super::targets::Targets;
use super::{Timer, deadline};

/// So long the beginning of a body is waited for, without a look at the head before it.
const HEAD_WAIT: Duration = Duration::from_millis(250);

pub struct Stream {
    /// Before `inner`, which closes the descriptor.
    watched: Watched,
    inner: TcpStream,
    /// Of the answers that come over it, if it is said when one does.
    heads: Rc<RefCell<Heads>>,
    /// Runs while the kernel says nothing of a head that is there alone.
    unsaid: Option<Timer>,
    /// Of the requests that come over it, if any do.
    targets: Option<Rc<RefCell<Targets>>>,
    /// What was read, encoded for hyper, and is still to be given to it.
    encoded: Bytes,
    substitute: Option<Substitute>,
    without_nul: bool,
    stall_max: Duration,
    /// Runs while a write waits for the peer.
    stall: Option<Timer>,
}

/// An answer of ours for one of hyper's.
struct Substitute {
    prefix: &'static [u8],
    /// What of it is still to be written.
    answer: &'static [u8],
}

impl Stream {
    /// A write that the peer takes no byte of for `stall_max` fails with `TimedOut`.
    ///
    /// # Errors
    /// The kernel watches no more streams.
    pub fn new(inner: TcpStream, stall_max: Duration) -> io::Result<Stream> {
        let watched = Watched::new(inner.as_raw_fd())?;
        Ok(Stream {
            watched,
            inner,
            heads: Rc::default(),
            unsaid: None,
            targets: None,
            encoded: Bytes::new(),
            substitute: None,
            without_nul: false,
            stall_max,
            stall: None,
        })
    }

    /// Requests come over it; where it is said that one has come, and how long its body is.
    pub fn targets(&mut self) -> Rc<RefCell<Targets>> {
        self.targets.get_or_insert_default().clone()
    }

    /// Where it is said that an answer is to come.
    pub fn heads(&self) -> Rc<RefCell<Heads>> {
        self.heads.clone()
    }

    /// Connects, within a time.
    ///
    /// # Errors
    /// Nobody listens there, or nobody answered in time, or the kernel has no socket.
    pub async fn connect(address: SocketAddr, timeout: Duration, stall_max: Duration) -> io::Result<Stream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // Only costs latency when it fails.
        let _ = socket.set_tcp_nodelay(true);
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            done => done?,
        }
        let stream = Stream::new(socket.into(), stall_max)?;
        let connected = || match (stream.inner.take_error()?, stream.inner.peer_addr()) {
            (Some(error), _) => Err(error),
            (None, Err(error)) if error.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
            (None, peer) => peer.map(|_| 0),
        };
        let waited = poll_fn(|context| stream.watched.poll_write(context, connected));
        let waited = deadline(Instant::now() + timeout, waited).await;
        waited.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out")))?;
        Ok(stream)
    }

    /// Reads some of what comes; nothing at the end.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        poll_fn(|context| {
            // SAFETY: recv(2) writes bytes into it and nothing else.
            let unfilled = unsafe { &mut *(&raw mut *buffer as *mut [MaybeUninit<u8>]) };
            let receive = || SockRef::from(&self.inner).recv_with_flags(unfilled, libc::MSG_DONTWAIT);
            self.watched.poll_read(context, room, receive)
        })
        .await
    }

    /// Reads a space for every NUL. InfluxDB quotes the client's bytes in a header of its answers to writes, and a NUL
    /// there makes them unreadable; their JSON holds none.
    pub fn without_nul(mut self) -> Stream {
        self.without_nul = true;
        self
    }

    /// Writes `answer` in place of a write that begins with `prefix`: for the answers that hyper gives by itself.
    pub fn instead_of(mut self, prefix: &'static [u8], answer: &'static [u8]) -> Stream {
        self.substitute = Some(Substitute { prefix, answer });
        self
    }

    /// Nothing is there: the kernel says when that is so no more, or when enough of an answer is there.
    fn wait_for_more(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(least) = self.heads.borrow().least() else { return Ok(()) };
        if self.unsaid.is_none() {
            self.say_from(least)?;
        }
        let unsaid = self.unsaid.get_or_insert_with(|| Timer::new(HEAD_WAIT));
        if Pin::new(unsaid).poll(context).is_ready() {
            self.unsaid = None;
            self.heads.borrow_mut().overdue();
            // What is there is said at once.
            self.say_from(1)?;
        }
        Ok(())
    }

    /// Whoever waits is told when so many bytes are there, or the end.
    fn say_from(&self, bytes: usize) -> io::Result<()> {
        let low_water = libc::c_int::try_from(bytes).unwrap_or(1);
        let length = size_of_val(&low_water) as libc::socklen_t;
        let (socket, name) = (self.inner.as_raw_fd(), libc::SO_RCVLOWAT);
        // SAFETY: a socket of ours and a number, of the length that is said, which the call only reads.
        let done = unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, name, (&raw const low_water).cast(), length) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Gives hyper as much of what was encoded for it as there is room for.
    fn give(&mut self, buffer: &mut ReadBufCursor<'_>) {
        let length = self.encoded.len().min(buffer.remaining());
        buffer.put_slice(&self.encoded.split_to(length));
    }

    /// Writes some of it, and begins to count the time while nothing can be written.
    fn poll_send(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let send = || SockRef::from(&self.inner).send_vectored_with_flags(slices, flags);
        if let Poll::Ready(sent) = self.watched.poll_write(context, send) {
            self.stall = None;
            return Poll::Ready(sent);
        }
        let stall = self.stall.get_or_insert_with(|| Timer::new(self.stall_max));
        ready!(Pin::new(stall).poll(context));
        self.stall = None;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.encoded.is_empty() {
            self.give(&mut buffer);
            return Poll::Ready(Ok(()));
        }
        // SAFETY: recv(2) writes into it and never reads, and takes nothing away that was written before. The safe twin,
        // `initialize_unfilled`, writes zeros over the whole buffer before every read.
        let unfilled = unsafe { buffer.as_mut() };
        let room = unfilled.len();
        let receive = || SockRef::from(&self.inner).recv_with_flags(unfilled, libc::MSG_DONTWAIT);
        let Poll::Ready(read) = self.watched.poll_read(context, room, receive) else {
            self.wait_for_more(context)?;
            return Poll::Pending;
        };
        let read = read?;
        // SAFETY: recv(2) has filled the first `read` bytes.
        let filled = unsafe { &mut *(&raw mut unfilled[..read] as *mut [u8]) };
        self.heads.borrow_mut().came(filled);
        if self.unsaid.take().is_some() {
            self.say_from(1)?;
        }
        if self.without_nul {
            filled.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        }
        let encoded = self.targets.as_ref().and_then(|targets| targets.borrow_mut().came(filled));
        if let Some(encoded) = encoded {
            self.encoded = encoded.into();
            self.give(&mut buffer);
            return Poll::Ready(Ok(()));
        }
        // SAFETY: recv(2) has filled the first `read` bytes.
        unsafe { buffer.advance(read) };
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(Substitute { prefix, mut answer }) =
            self.substitute.take_if(|found| bytes.starts_with(found.prefix))
        {
            while !answer.is_empty() {
                match self.poll_send(context, &[IoSlice::new(answer)]) {
                    Poll::Ready(written) => answer = &answer[written?..],
                    Poll::Pending => {
                        self.substitute = Some(Substitute { prefix, answer });
                        return Poll::Pending;
                    }
                }
            }
            return Poll::Ready(Ok(bytes.len()));
        }
        self.poll_send(context, &[IoSlice::new(bytes)])
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.inner.shutdown(Shutdown::Write))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self
            .substitute
            .as_ref()
            .is_some_and(|found| slices.first().is_some_and(|first| first.starts_with(found.prefix)))
        {
            return self.poll_write(context, &slices[0]);
        }
        self.poll_send(context, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::on_a_shard;

    const SOON: Duration = Duration::from_secs(10);

    fn listening(backlog: i32) -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(&address.into()).expect("a port");
        socket.listen(backlog).expect("it is bound");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("it is bound");
        (socket, address)
    }

    #[test]
    fn who_listens_is_reached() {
        on_a_shard(|| async {
            let (listener, address) = listening(8);
            let stream = Stream::connect(address, SOON, SOON).await.expect("it listens");
            assert!(stream.inner.nodelay().expect("it is open"));
            drop(listener);
            let refused = Stream::connect(address, SOON, SOON).await.err().expect("nobody listens");
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        });
    }

    async fn come(stream: &mut Stream) -> Vec<u8> {
        let mut bytes = [MaybeUninit::uninit(); 512];
        let mut buffer = hyper::rt::ReadBuf::uninit(&mut bytes);
        let read = poll_fn(|context| hyper::rt::Read::poll_read(Pin::new(&mut *stream), context, buffer.unfilled()));
        deadline(Instant::now() + SOON, read).await.expect("it comes in time").expect("it is open");
        buffer.filled().to_vec()
    }

    #[test]
    fn a_head_is_told_with_its_body_or_when_that_takes_long() {
        on_a_shard(|| async {
            const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
            const BODY: &[u8] = b"0\r\n\r\n";
            let (listener, address) = listening(8);
            let mut stream = Stream::connect(address, SOON, SOON).await.expect("it listens");
            let (other, _) = listener.accept().expect("it has connected");
            other.set_tcp_nodelay(true).expect("it is a socket");
            let (go, pauses) = std::sync::mpsc::channel();
            let answering = std::thread::spawn(move || {
                for pause in pauses {
                    other.send(HEAD).expect("it is open");
                    std::thread::sleep(pause);
                    other.send(BODY).expect("it is open");
                }
            });
            let heads = stream.heads();
            let answer = |pause: Duration| {
                heads.borrow_mut().awaited(true);
                go.send(pause).expect("it waits");
            };
            let short = HEAD_WAIT / 20;
            answer(HEAD_WAIT);
            assert_eq!([come(&mut stream).await, come(&mut stream).await], [HEAD, BODY], "the first that comes so");
            for _ in 0..2 {
                answer(short);
                assert_eq!(come(&mut stream).await, [HEAD, BODY].concat());
            }
            let began = Instant::now();
            answer(HEAD_WAIT * 3);
            assert_eq!(come(&mut stream).await, HEAD);
            assert!(began.elapsed() >= HEAD_WAIT, "{:?}", began.elapsed());
            assert_eq!(come(&mut stream).await, BODY, "shorter than a head, yet told");
            answer(short);
            assert_eq!(come(&mut stream).await, [HEAD, BODY].concat());
            drop(go);
            answering.join().expect("it does not panic");
            heads.borrow_mut().awaited(true);
            assert_eq!(come(&mut stream).await, b"", "the end is told whatever is awaited");
        });
    }

    #[test]
    fn who_does_not_answer_is_given_up() {
        on_a_shard(|| async {
            // The kernel answers for one or two, and for nobody when these are not accepted.
            let (_listener, address) = listening(0);
            let mut kept = Vec::new();
            let given_up = loop {
                match Stream::connect(address, Duration::from_millis(300), SOON).await {
                    Ok(stream) => kept.push(stream),
                    Err(error) => break error,
                }
            };
            assert_eq!(given_up.kind(), io::ErrorKind::TimedOut);
            assert!(kept.len() < 8, "{}", kept.len());
        });
    }
}
