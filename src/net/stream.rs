//! A glommio TCP stream as hyper wants it: reads into hyper's own buffers, writes several slices at once, and fails a
//! write that makes no progress for too long.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use glommio::net::TcpStream;
use glommio::timer::Timer;
use hyper::rt::ReadBufCursor;
use socket2::SockRef;

use super::ready::Watched;

pub struct Stream {
    /// Before `inner`, which closes the descriptor.
    watched: Watched,
    inner: TcpStream,
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
        Ok(Stream { watched, inner, substitute: None, without_nul: false, stall_max, stall: None })
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

    /// Writes some of it, and begins to count the time while nothing can be written.
    fn poll_send(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let socket = self.inner.as_raw_fd();
        // SAFETY: `inner` owns the descriptor and outlives this borrow.
        let socket = unsafe { BorrowedFd::borrow_raw(socket) };
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let send = || SockRef::from(&socket).send_vectored_with_flags(slices, flags);
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
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.inner.as_raw_fd();
        // SAFETY: `inner` owns the descriptor and outlives this borrow.
        let socket = unsafe { BorrowedFd::borrow_raw(socket) };
        // SAFETY: recv(2) writes into it and never reads, and takes nothing away that was written before. The safe twin,
        // `initialize_unfilled`, writes zeros over the whole buffer before every read.
        let unfilled = unsafe { buffer.as_mut() };
        let room = unfilled.len();
        let receive = || SockRef::from(&socket).recv_with_flags(unfilled, libc::MSG_DONTWAIT);
        let read = ready!(self.watched.poll_read(context, room, receive))?;
        if self.without_nul {
            // SAFETY: recv(2) has filled the first `read` bytes.
            let filled = unsafe { &mut *(&raw mut unfilled[..read] as *mut [u8]) };
            filled.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
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
        // SAFETY: `inner` owns the descriptor and outlives this borrow.
        let socket = unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) };
        Poll::Ready(SockRef::from(&socket).shutdown(Shutdown::Write))
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
