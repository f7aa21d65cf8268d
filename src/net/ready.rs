//! When streams can be read or written, on one shard: an epoll(7) of all of them, in which the shard waits for a moment
//! before it sleeps. Listening sockets, datagrams and bells are in it too.
//!
//! To go to sleep and wake up costs a glommio executor about ten io_uring_enter(2) and a membarrier(2), whatever it sleeps
//! for, while a replica's answer or a client's next request has often come within a millisecond. So whoever waits for a
//! stream waits here, and two tasks take what has happened:
//!
//! - `hear` has glommio poll the epoll itself, as one more socket: it wakes a shard that sleeps or is busy.
//! - `linger` has its turn when no other task has anything to do, and only for `LINGER` after something has happened. It
//!   blocks the thread in epoll_wait(2), for `SLICE_FIRST`, and for up to `SLICE_LONG` where the wait before was long too.
//!   While somebody pauses who has more to do (`yield_if_needed`) it only looks. While another thread is awaited
//!   (`elsewhere`), which only a shard's rings tell, it has no turn at all.
//!
//! Timers are looked after here as well (`alarms`): whoever waits for streams waits for the first of them at most.
//!
//! glommio looks into its rings when its preemption timer has passed, and a wait in epoll_wait(2) ends for it. So that timer
//! is short while tasks run whose queues say so (`QUEUE_LATENCY`), and long (`PREEMPT_TIMER`) while there is only `linger`.
//! Whatever takes long on a shard pauses with `yield_if_needed` of this module, which sees to it that streams are heard in
//! time all the same.
//!
//! Made for an executor when its first stream or timer is. Used by `stream`, `listen`, `bell`, `datagrams` and `timer`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use ahash::AHashMap;
use futures_lite::{AsyncReadExt, future};
use glommio::net::TcpStream;
use glommio::timer::Timer;
use glommio::{Latency, Shares};

use super::alarms::{Alarm, Alarms};
use super::elsewhere::is_awaited;
use super::spawn_loop;

/// So long after the last event is another waited for.
const LINGER: Duration = Duration::from_millis(50);
/// So long a busy shard may leave its streams and timers unheard.
const SLICE: Duration = Duration::from_millis(2);
/// The same while there is work that pauses. A write waits for it twice, with its request and with its replicas' answers.
const BUSY_LOOK: Duration = Duration::from_micros(500);
/// So long `linger` waits at least. Most of what is waited for comes sooner, and a shard that wakes for nothing finds its caches
/// cold.
const SLICE_FIRST: Duration = Duration::from_millis(8);
const SLICE_LONG: Duration = Duration::from_millis(20);
/// So often is seen whether `linger` has its turns.
const LOOK: Duration = Duration::from_millis(200);
/// Of an executor: so late it hears, while it lingers, of what neither a stream nor a timer tells and nobody has announced
/// (`elsewhere`).
pub const PREEMPT_TIMER: Duration = Duration::from_millis(200);
/// For all queues whose tasks may keep a shard busy.
pub const QUEUE_LATENCY: Latency = Latency::Matters(SLICE);
/// A wait may be so many times as long as the one before. Each leaves the others hundreds of times as much of the core before
/// the next: whoever has more to do, and does not tell by pausing, is kept waiting for less than it has worked, or for `SLICE_FIRST`.
const LONGER: u32 = 100;
/// A wait that is this short leaves them little.
const AT_ONCE: Duration = Duration::from_micros(30);
/// A century.
pub(super) const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Taken at once; what is left over is taken by the next call.
const EVENTS_MAX: usize = 64;

/// Edge-triggered: told once, and again when more has come.
const WANTED: u32 = (libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
/// While somebody waits to write. Otherwise what has come, and been read before it was told, would be told as room to write.
const WANTED_ROOM: u32 = WANTED | libc::EPOLLOUT as u32;
/// Told once, then asked for again.
const WANTED_ON_DEMAND: u32 = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLONESHOT) as u32;
const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
const WRITABLE: u32 = (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) as u32;
const BEHIND: u32 = (libc::EPOLLPRI | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;

thread_local! {
    /// Of the executor of this number.
    static OWN: RefCell<Option<(usize, Rc<Readiness>)>> = const { RefCell::new(None) };
}

/// What is known of all streams and timers of a shard.
pub(super) struct Readiness {
    epoll: OwnedFd,
    streams: RefCell<AHashMap<u64, Rc<State>>>,
    alarms: RefCell<Alarms>,
    /// When `hear` looks after the alarms, while it does.
    alarmed: Cell<Option<Instant>>,
    /// Never given twice: an event of a stream that is gone finds nobody.
    next_number: Cell<u64>,
    last_event: Cell<Instant>,
    /// When events were last taken, if there were any.
    last_look: Cell<Instant>,
    /// Tasks that have more to do, and let others have their turn.
    pausing: Cell<usize>,
    /// The executor's main task has ended.
    ended: Cell<bool>,
    /// Whether `linger` waits for events, or is about to.
    lingers: Cell<bool>,
    /// Of `linger`, while it waits for its time.
    lingerer: Cell<Option<Waker>>,
    /// Of `hear`, while it waits.
    hearer: Cell<Option<Waker>>,
}

/// What is known of one stream.
#[derive(Default)]
struct State {
    /// Nothing is there to be read: reading is no use before the next event.
    drained: Cell<bool>,
    /// There may be something behind a read that has room left, of which no event will tell: the end, or what was sent
    /// after urgent data, before which a read stops.
    behind: Cell<bool>,
    reader: Cell<Option<Waker>>,
    /// Room to write is told too.
    room_wanted: Cell<bool>,
    writer: Cell<Option<Waker>>,
}

/// A stream among those waited for, until this is dropped.
pub(super) struct Watched {
    readiness: Rc<Readiness>,
    descriptor: RawFd,
    number: u64,
    state: Rc<State>,
}

impl Watched {
    /// The descriptor must stay open as long as this.
    pub fn new(descriptor: RawFd) -> io::Result<Watched> {
        Watched::begin(descriptor, WANTED)
    }

    /// The same of what comes too often to be told of each: only what `poll_told` waits for is told.
    pub fn on_demand(descriptor: RawFd) -> io::Result<Watched> {
        Watched::begin(descriptor, WANTED_ON_DEMAND)
    }

    fn begin(descriptor: RawFd, wanted: u32) -> io::Result<Watched> {
        let readiness = Readiness::own()?;
        let number = readiness.next_number.replace(readiness.next_number.get() + 1);
        let watched = Watched { readiness, descriptor, number, state: Rc::default() };
        watched.ask(libc::EPOLL_CTL_ADD, wanted)?;
        watched.readiness.streams.borrow_mut().insert(number, watched.state.clone());
        Ok(watched)
    }

    fn ask(&self, operation: libc::c_int, events: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: self.number };
        let epoll = self.readiness.epoll.as_raw_fd();
        // SAFETY: a descriptor of ours and an event that the call only reads.
        let done = unsafe { libc::epoll_ctl(epoll, operation, self.descriptor, &raw mut event) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits until there may be something to be read of what is watched on demand: once for each time that there is.
    pub fn poll_told(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.state.drained.replace(true) {
            return Poll::Ready(Ok(()));
        }
        self.state.reader.set(Some(context.waker().clone()));
        // What has come before is told too.
        self.ask(libc::EPOLL_CTL_MOD, WANTED_ON_DEMAND)?;
        Poll::Pending
    }

    /// Takes one of what comes, when there may be something.
    pub fn poll_take<T>(&self, context: &mut Context<'_>, take: impl FnOnce() -> io::Result<T>) -> Poll<io::Result<T>> {
        if !self.state.drained.get() {
            match take() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.state.drained.set(true),
                done => return Poll::Ready(done),
            }
        }
        self.state.reader.set(Some(context.waker().clone()));
        Poll::Pending
    }

    /// Reads when there may be something; `read` must be given room for a byte at least.
    pub fn poll_read(
        &self,
        context: &mut Context<'_>,
        room: usize,
        read: impl FnOnce() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let read = ready!(self.poll_take(context, read));
        if matches!(read, Ok(length) if length < room) && !self.state.behind.get() {
            // There was no more: an event tells when there is.
            self.state.drained.set(true);
        }
        Poll::Ready(read)
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
                self.want_room(true)?;
                Poll::Pending
            }
            done => {
                // What is told without need does no harm.
                let _ = self.want_room(false);
                Poll::Ready(done)
            }
        }
    }

    fn want_room(&self, wanted: bool) -> io::Result<()> {
        if self.state.room_wanted.replace(wanted) == wanted {
            return Ok(());
        }
        // What is so already is told too.
        self.ask(libc::EPOLL_CTL_MOD, if wanted { WANTED_ROOM } else { WANTED })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The epoll forgets a descriptor when it is closed.
        self.readiness.streams.borrow_mut().remove(&self.number);
    }
}

/// This executor waits for streams, until this is dropped. Kept by its main task: while it lingers, an executor would not see
/// at once that this has ended.
pub struct Waits(Rc<Readiness>);

/// Makes what this executor waits with.
///
/// # Errors
/// There are no descriptors left.
pub fn prepare() -> io::Result<Waits> {
    Readiness::own().map(Waits)
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.ended.set(true);
    }
}

/// Lets others have their turn if this task has had its own; they hear what has happened meanwhile.
pub async fn yield_if_needed() {
    let Ok(readiness) = Readiness::own() else { return glommio::yield_if_needed().await };
    let is_late = readiness.last_look.get().elapsed() >= BUSY_LOOK;
    if is_late {
        readiness.take(Duration::ZERO);
    }
    if is_late || glommio::executor().need_preempt() {
        let _pausing = Pausing::begin(readiness);
        glommio::executor().yield_task_queue_now().await;
    }
}

/// Pauses until it is dropped.
struct Pausing(Rc<Readiness>);

impl Pausing {
    fn begin(readiness: Rc<Readiness>) -> Pausing {
        readiness.pausing.set(readiness.pausing.get() + 1);
        Pausing(readiness)
    }
}

impl Drop for Pausing {
    fn drop(&mut self) {
        self.0.pausing.set(self.0.pausing.get() - 1);
    }
}

impl Readiness {
    /// This executor's; the first call makes it.
    pub fn own() -> io::Result<Rc<Readiness>> {
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
            alarms: RefCell::default(),
            alarmed: Cell::new(None),
            next_number: Cell::new(0),
            last_event: Cell::new(Instant::now()),
            last_look: Cell::new(Instant::now()),
            pausing: Cell::new(0),
            ended: Cell::new(false),
            lingers: Cell::new(false),
            lingerer: Cell::new(None),
            hearer: Cell::new(None),
        });
        let executor = glommio::executor();
        let hearing = executor.create_task_queue(Shares::Static(1000), QUEUE_LATENCY, "readiness");
        // Its turns count a thousand times: all others come before.
        let lingering = executor.create_task_queue(Shares::Static(1), Latency::NotImportant, "linger");
        let heard = readiness.clone();
        spawn_loop("readiness", hearing, move || heard.clone().hear());
        let lingered = readiness.clone();
        spawn_loop("linger", lingering, move || lingered.clone().linger());
        Ok(readiness)
    }

    pub fn set(&self, at: Instant, waker: &Waker) -> Alarm {
        if self.alarmed.get().is_some_and(|alarmed| at < alarmed) {
            // It waits for a later one.
            self.alarmed.set(None);
            self.hearer.take().into_iter().for_each(Waker::wake);
        }
        self.alarms.borrow_mut().set(at, waker)
    }

    pub fn is_set(&self, alarm: Alarm, waker: &Waker) -> bool {
        self.alarms.borrow_mut().is_set(alarm, waker)
    }

    pub fn forget(&self, alarm: Alarm) {
        self.alarms.borrow_mut().forget(alarm);
    }

    /// Wakes whose time has come. Whether there was anybody.
    fn wake_due(&self, now: Instant) -> bool {
        if self.alarms.borrow().first().is_none_or(|first| first > now) {
            return false;
        }
        let due = self.alarms.borrow_mut().take_due(now);
        due.into_iter().for_each(Waker::wake);
        true
    }

    /// Hears what happens while the shard sleeps or is busy.
    async fn hear(self: Rc<Readiness>) -> ControlFlow<()> {
        if self.lingers.get() {
            // It hears for both, unless others that never pause keep it from its turn.
            let stopped = poll_fn(|context| {
                self.hearer.set(Some(context.waker().clone()));
                if self.lingers.get() { Poll::Pending } else { Poll::Ready(()) }
            });
            future::or(stopped, async {
                Timer::new(LOOK).await;
            })
            .await;
            if self.last_look.get().elapsed() < SLICE {
                return ControlFlow::Continue(());
            }
        } else if let Ok(epoll) = self.epoll.try_clone() {
            // SAFETY: the copy is handed over whole.
            let mut polled = unsafe { TcpStream::from_raw_fd(epoll.into_raw_fd()) };
            let mut byte = [0];
            // An epoll is no socket: to read it waits until it has events, and fails.
            let events = async { drop(polled.read(&mut byte).await) };
            future::or(events, self.alarm()).await;
            self.alarmed.set(None);
        } else {
            // Out of descriptors.
            Timer::new(Duration::from_millis(1)).await;
        }
        self.take(Duration::ZERO);
        ControlFlow::Continue(())
    }

    /// Wakes whose time has come, each time that it comes, until `linger` does.
    async fn alarm(&self) {
        let mut timer: Option<Timer> = None;
        poll_fn(|context| {
            loop {
                if self.lingers.get() {
                    return Poll::Ready(());
                }
                self.hearer.set(Some(context.waker().clone()));
                let Some(first) = self.alarms.borrow().first() else {
                    // Whoever comes is earlier.
                    self.alarmed.set(Some(Instant::now() + NEVER));
                    timer = None;
                    return Poll::Pending;
                };
                if self.alarmed.get().is_none_or(|alarmed| first < alarmed) || timer.is_none() {
                    timer = Some(Timer::new(first.saturating_duration_since(Instant::now())));
                    self.alarmed.set(Some(first));
                }
                if timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(context).is_pending()) {
                    return Poll::Pending;
                }
                timer = None;
                self.wake_due(Instant::now());
            }
        })
        .await;
    }

    /// Waits until something has happened, then for more, for as long as nobody else has anything to do.
    async fn linger(self: Rc<Readiness>) -> ControlFlow<()> {
        let is_soon = |now: Instant| {
            now.saturating_duration_since(self.last_event.get()) < LINGER && !is_awaited() && !self.ended.get()
        };
        poll_fn(|context| {
            self.lingers.set(is_soon(Instant::now()));
            if self.lingers.get() {
                return Poll::Ready(());
            }
            self.hearer.take().into_iter().for_each(Waker::wake);
            self.lingerer.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        let (mut now, mut waited) = (Instant::now(), Duration::ZERO);
        while is_soon(now) {
            // A turn weighs hundreds of times as much as it took. Behind one that waited others have had theirs before the next;
            // else most have, as a yield takes a microsecond, before the one after that.
            glommio::executor().yield_task_queue_now().await;
            if waited < AT_ONCE {
                glommio::executor().yield_task_queue_now().await;
            }
            let began = Instant::now();
            if is_soon(began) {
                // Others may have something to do nevertheless: whoever has had more than its share comes after this.
                let longest = (waited * LONGER).clamp(SLICE_FIRST, SLICE_LONG);
                self.take_from(began, if self.pausing.get() > 0 { Duration::ZERO } else { longest });
            }
            now = self.last_look.get().max(began);
            waited = now.saturating_duration_since(began);
        }
        ControlFlow::Continue(())
    }

    /// Wakes who waits for what has happened, which is waited for so long, and whose time has come. Whether there was anybody.
    fn take(&self, wait: Duration) -> bool {
        self.take_from(Instant::now(), wait)
    }

    /// The same for one who has just seen what time it is.
    fn take_from(&self, now: Instant, wait: Duration) -> bool {
        let first = self.alarms.borrow().first();
        let wait = first.map_or(wait, |first| wait.min(first.saturating_duration_since(now)));
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        let count = self.wait(&mut events, now, wait);
        for event in &events[..count] {
            let (happened, number) = (event.events, event.u64);
            let state = self.streams.borrow().get(&number).cloned();
            state.into_iter().for_each(|state| state.note(happened));
        }
        let now = Instant::now();
        self.last_look.set(now);
        if count > 0 {
            self.last_event.set(now);
            if let Some(lingerer) = self.lingerer.take() {
                self.lingers.set(!is_awaited());
                lingerer.wake();
            }
        }
        self.wake_due(now) || count > 0
    }

    /// How many events there are, from now on for so long; none when it is interrupted by anything but the preemption timer.
    fn wait(&self, events: &mut [libc::epoll_event; EVENTS_MAX], now: Instant, wait: Duration) -> usize {
        let until = now + wait;
        let mut left = wait;
        loop {
            let preempted = glommio::executor().need_preempt();
            // Not before its time.
            let left_ms = libc::c_int::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(0);
            // SAFETY: the array is ours, and as long as is said.
            let count = unsafe {
                libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), EVENTS_MAX as libc::c_int, left_ms)
            };
            if let Ok(count) = usize::try_from(count) {
                return count;
            }
            // Interrupted.
            left = until.saturating_duration_since(Instant::now());
            if left < SLICE || preempted || !glommio::executor().need_preempt() {
                return 0;
            }
        }
    }
}

impl State {
    fn note(&self, happened: u32) {
        if happened & BEHIND != 0 {
            self.behind.set(true);
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
mod tests;
