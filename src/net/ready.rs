//! When streams can be read or written, on one shard: an epoll(7) of all of them, in which the shard waits for a moment
//! before it sleeps.
//!
//! To go to sleep and wake up costs a glommio executor about ten io_uring_enter(2) and a membarrier(2), whatever it sleeps
//! for, while a replica's answer or a client's next request has often come within a millisecond. So whoever waits for a
//! stream waits here, and two tasks take what has happened:
//!
//! - `hear` has glommio poll the epoll itself, as one more socket: it wakes a shard that sleeps or is busy.
//! - `linger` has its turn when no other task has anything to do, and only for `LINGER` after something has happened. It
//!   blocks the thread in epoll_wait(2), for `SLICE` at most. What does not come over a stream (timers, accepted
//!   connections, datagrams) is seen a slice and a preemption timer later at worst, as beside a busy task. While something
//!   is awaited from another thread (`elsewhere`), which comes so too, it does not block.
//!
//! Made for an executor when its first stream is. Used by `stream` only.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ahash::AHashMap;
use futures_lite::AsyncReadExt;
use glommio::net::TcpStream;
use glommio::{Latency, Shares};

use super::elsewhere::is_awaited;
use super::spawn_loop;

/// So long after the last event is another waited for.
const LINGER: Duration = Duration::from_millis(4);
/// In whole milliseconds, as epoll_wait(2) wants it; as long as the preemption timer, which is due when it has passed.
const SLICE_MS: libc::c_int = 2;
/// Taken at once; what is left over is taken by the next call.
const EVENTS_MAX: usize = 64;

/// Edge-triggered: told once, and again when more has come.
const WANTED: u32 = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
const WRITABLE: u32 = (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) as u32;
const ENDING: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;

thread_local! {
    /// Of the executor of this number.
    static OWN: RefCell<Option<(usize, Rc<Readiness>)>> = const { RefCell::new(None) };
}

/// What is known of all streams of a shard.
struct Readiness {
    epoll: OwnedFd,
    streams: RefCell<AHashMap<u64, Rc<State>>>,
    /// Never given twice: an event of a stream that is gone finds nobody.
    next_number: Cell<u64>,
    last_event: Cell<Instant>,
    /// Of `linger`, while it waits for the next event.
    lingerer: Cell<Option<Waker>>,
}

/// What is known of one stream.
#[derive(Default)]
struct State {
    /// Nothing is there to be read: reading is no use before the next event.
    drained: Cell<bool>,
    /// The other end has sent its last: no event will tell of the end that is read behind it.
    ending: Cell<bool>,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
}

/// A stream among those waited for, until this is dropped.
pub(super) struct Watched {
    readiness: Rc<Readiness>,
    number: u64,
    state: Rc<State>,
}

impl Watched {
    /// The descriptor must stay open as long as this.
    pub fn new(descriptor: RawFd) -> io::Result<Watched> {
        let readiness = Readiness::own()?;
        let number = readiness.next_number.replace(readiness.next_number.get() + 1);
        let mut event = libc::epoll_event { events: WANTED, u64: number };
        // SAFETY: a descriptor of ours and an event that the call only reads.
        let added =
            unsafe { libc::epoll_ctl(readiness.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &raw mut event) };
        if added != 0 {
            return Err(io::Error::last_os_error());
        }
        let state = Rc::<State>::default();
        readiness.streams.borrow_mut().insert(number, state.clone());
        Ok(Watched { readiness, number, state })
    }

    /// Reads when there may be something; `read` must be given room for a byte at least.
    pub fn poll_read(
        &self,
        context: &mut Context<'_>,
        room: usize,
        read: impl FnOnce() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if !self.state.drained.get() {
            match read() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.state.drained.set(true),
                // There was no more: an event tells when there is.
                Ok(length) if length < room && !self.state.ending.get() => {
                    self.state.drained.set(true);
                    return Poll::Ready(Ok(length));
                }
                done => return Poll::Ready(done),
            }
        }
        self.state.reader.set(Some(context.waker().clone()));
        Poll::Pending
    }

    /// Writes, or waits until that may be possible.
    pub fn poll_write(
        &self,
        context: &mut Context<'_>,
        write: impl FnOnce() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        match write() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.state.writer.set(Some(context.waker().clone()));
                Poll::Pending
            }
            done => Poll::Ready(done),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The epoll forgets a descriptor when it is closed.
        self.readiness.streams.borrow_mut().remove(&self.number);
    }
}

impl Readiness {
    /// This executor's; the first call makes it.
    fn own() -> io::Result<Rc<Readiness>> {
        let executor = glommio::executor().id();
        OWN.with_borrow_mut(|own| match own {
            Some((of, readiness)) if *of == executor => Ok(readiness.clone()),
            _ => {
                let readiness = Readiness::start()?;
                *own = Some((executor, readiness.clone()));
                Ok(readiness)
            }
        })
    }

    fn start() -> io::Result<Rc<Readiness>> {
        // SAFETY: no argument but a flag; the descriptor is new and nobody else's.
        let epoll = unsafe {
            match libc::epoll_create1(libc::EPOLL_CLOEXEC) {
                -1 => return Err(io::Error::last_os_error()),
                descriptor => OwnedFd::from_raw_fd(descriptor),
            }
        };
        let readiness = Rc::new(Readiness {
            epoll,
            streams: RefCell::default(),
            next_number: Cell::new(0),
            last_event: Cell::new(Instant::now()),
            lingerer: Cell::new(None),
        });
        let executor = glommio::executor();
        let hearing =
            executor.create_task_queue(Shares::Static(1000), Latency::Matters(Duration::from_millis(2)), "readiness");
        // Its turns count a thousand times: all others come before.
        let lingering = executor.create_task_queue(Shares::Static(1), Latency::NotImportant, "linger");
        let heard = readiness.clone();
        spawn_loop("readiness", hearing, move || heard.clone().hear());
        let lingered = readiness.clone();
        spawn_loop("linger", lingering, move || lingered.clone().linger());
        Ok(readiness)
    }

    /// Waits in glommio's rings until something has happened.
    async fn hear(self: Rc<Readiness>) -> ControlFlow<()> {
        if let Ok(epoll) = self.epoll.try_clone() {
            // SAFETY: the copy is handed over whole.
            let mut polled = unsafe { TcpStream::from_raw_fd(epoll.into_raw_fd()) };
            // An epoll is no socket: to read it waits until it has events, and fails.
            let _ = polled.read(&mut [0]).await;
        } else {
            // Out of descriptors.
            glommio::timer::sleep(Duration::from_millis(1)).await;
        }
        self.take(0);
        ControlFlow::Continue(())
    }

    /// Waits until something has happened, then for more, for as long as nobody else has anything to do.
    async fn linger(self: Rc<Readiness>) -> ControlFlow<()> {
        let is_soon = || self.last_event.get().elapsed() < LINGER && !is_awaited();
        poll_fn(|context| {
            if is_soon() {
                return Poll::Ready(());
            }
            self.lingerer.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        while is_soon() {
            // A turn weighs as much as a millisecond of others, so that at the second they have had theirs.
            glommio::executor().yield_task_queue_now().await;
            glommio::executor().yield_task_queue_now().await;
            if is_soon() {
                self.take(SLICE_MS);
            }
        }
        ControlFlow::Continue(())
    }

    /// Wakes who waits for what has happened; the first of it is waited for.
    fn take(&self, wait_ms: libc::c_int) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        // SAFETY: the array is ours, and as long as is said.
        let count = unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), EVENTS_MAX as libc::c_int, wait_ms)
        };
        // Negative: interrupted by a signal.
        let Ok(count @ 1..) = usize::try_from(count) else { return };
        for event in &events[..count] {
            let (happened, number) = (event.events, event.u64);
            let state = self.streams.borrow().get(&number).cloned();
            state.into_iter().for_each(|state| state.note(happened));
        }
        self.last_event.set(Instant::now());
        if let Some(lingerer) = self.lingerer.take() {
            lingerer.wake();
        }
    }
}

impl State {
    fn note(&self, happened: u32) {
        if happened & ENDING != 0 {
            self.ending.set(true);
        }
        if happened & READABLE != 0 {
            self.drained.set(false);
            self.reader.take().into_iter().for_each(Waker::wake);
        }
        if happened & WRITABLE != 0 {
            self.writer.take().into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream as StdTcpStream};
    use std::thread;

    use futures_channel::oneshot;

    use super::*;
    use crate::net::deadline;

    struct End(Watched, StdTcpStream);

    /// On an executor: one end for it, one for another thread.
    fn pair() -> (End, StdTcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let other = StdTcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        let (own, _) = listener.accept().expect("it has connected");
        own.set_nonblocking(true).expect("it is a socket");
        other.set_nodelay(true).expect("it is a socket");
        (End(Watched::new(own.as_raw_fd()).expect("an epoll"), own), other)
    }

    impl End {
        async fn read(&self) -> Vec<u8> {
            let mut bytes = [0; 64];
            let read = poll_fn(|context| self.0.poll_read(context, bytes.len(), || (&self.1).read(&mut bytes)));
            let read = deadline(Instant::now() + Duration::from_secs(10), read).await.expect("it comes in time");
            bytes[..read.expect("it is open")].to_vec()
        }

        async fn write(&self, bytes: &[u8]) -> usize {
            let written = poll_fn(|context| self.0.poll_write(context, || (&self.1).write(bytes)));
            let written = deadline(Instant::now() + Duration::from_secs(10), written).await;
            written.expect("it goes in time").expect("it is open")
        }
    }

    fn on_a_shard<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F + Send + 'static) {
        let shard = glommio::LocalExecutorBuilder::default().spawn(test);
        shard.expect("an executor").join().expect("it did not panic");
    }

    #[test]
    fn what_comes_is_read_whether_the_shard_lingers_or_sleeps() {
        on_a_shard(|| async {
            let (own, mut other) = pair();
            let (go, gone) = std::sync::mpsc::channel::<Duration>();
            let sending = thread::spawn(move || {
                for pause in gone {
                    thread::sleep(pause);
                    other.write_all(b"it").expect("it is open");
                }
                other.write_all(b"last").expect("it is open");
            });
            for pause_us in [0, 100, 1_000, 3_000, 5_000, 50_000, 0] {
                go.send(Duration::from_micros(pause_us)).expect("it listens");
                assert_eq!(own.read().await, b"it", "after {pause_us} us");
            }
            drop(go);
            // The end has come with it, or behind it.
            sending.join().expect("it does not panic");
            assert_eq!(own.read().await, b"last");
            assert_eq!(own.read().await, b"");
        });
    }

    #[test]
    fn who_cannot_write_hears_when_there_is_room() {
        on_a_shard(|| async {
            let (own, mut other) = pair();
            let block = [7; 64 * 1024];
            let mut written = 0;
            while let Ok(more) = (&own.1).write(&block) {
                written += more;
            }
            let reading = thread::spawn(move || {
                let mut all = Vec::new();
                other.read_to_end(&mut all).expect("it is open");
                all.len()
            });
            written += own.write(&block).await;
            own.1.shutdown(Shutdown::Write).expect("it is open");
            assert_eq!(reading.join().expect("it does not panic"), written);
        });
    }

    /// A stream that never rests keeps the shard lingering: what comes from elsewhere is seen nevertheless.
    #[test]
    fn other_threads_and_timers_are_heard_meanwhile() {
        on_a_shard(|| async {
            let (own, mut other) = pair();
            let echoing = thread::spawn(move || {
                let mut byte = [0];
                while let Ok(1) = other.read(&mut byte) {
                    other.write_all(&byte).expect("it is open");
                }
            });
            let busy = Rc::new(Cell::new(true));
            let (playing, still) = (Rc::new(own), busy.clone());
            let played = glommio::spawn_local(async move {
                while still.get() {
                    playing.write(b"x").await;
                    assert_eq!(playing.read().await, b"x");
                }
                playing.1.shutdown(Shutdown::Both).expect("it is open");
            });
            for _ in 0..20 {
                let (teller, told) = oneshot::channel();
                let telling = thread::spawn(move || teller.send(()));
                let soon = Instant::now() + Duration::from_secs(10);
                assert!(matches!(deadline(soon, told).await, Ok(Ok(()))), "a thread is heard");
                telling.join().expect("it does not panic").expect("it is waited for");
                glommio::timer::sleep(Duration::from_millis(1)).await;
            }
            busy.set(false);
            played.await;
            echoing.join().expect("it does not panic");
        });
    }
}
