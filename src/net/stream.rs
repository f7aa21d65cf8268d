//! A glommio TCP stream as hyper wants it: reads into hyper's own buffers, writes several slices at once, and fails a
//! write that makes no progress for too long.

use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use glommio::timer::Timer;
use hyper::rt::ReadBufCursor;
use socket2::SockRef;

pub struct Stream {
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
    pub fn new(inner: TcpStream, stall_max: Duration) -> Stream {
        Stream { inner, substitute: None, without_nul: false, stall_max, stall: None }
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

    fn progress<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stall = None;
            return polled;
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
        // SAFETY: the slice is handed to recv(2), which writes into it and never reads; of its bytes only those that
        // recv(2) has written are looked at. The safe twin, `initialize_unfilled`, writes zeros over the whole buffer before every read.
        let unfilled = unsafe { &mut *(buffer.as_mut() as *mut [std::mem::MaybeUninit<u8>] as *mut [u8]) };
        let read = ready!(Pin::new(&mut self.inner).poll_read(context, unfilled))?;
        if self.without_nul {
            unfilled[..read].iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
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
                match Pin::new(&mut self.inner).poll_write(context, answer) {
                    Poll::Ready(written) => answer = &answer[written?..],
                    Poll::Pending => {
                        self.substitute = Some(Substitute { prefix, answer });
                        return self.progress(context, Poll::Pending);
                    }
                }
            }
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.progress(context, polled)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
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
        // SAFETY: `inner` owns the descriptor and outlives this borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) };
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        match SockRef::from(&descriptor).send_vectored_with_flags(slices, flags) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // glommio has no wait for writability but a write.
                let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| &**slice);
                self.poll_write(context, first)
            }
            done => {
                self.stall = None;
                Poll::Ready(done)
            }
        }
    }
}
