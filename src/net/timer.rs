//! Sleeps and deadlines, and timers for hyper. The shard that waits for streams looks after them too (`ready`): they cost no
//! system call.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_lite::future;
use futures_util::FutureExt;
use send_wrapper::SendWrapper;

use super::alarms::Alarm;
use super::ready::{NEVER, Readiness};

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

/// Ready at a moment, or up to a millisecond later; on a shard that others keep busy, later still.
///
/// # Panics
/// When polled on an executor that can have no epoll (`ready::prepare`).
pub struct Timer {
    at: Instant,
    set: Option<(Rc<Readiness>, Alarm)>,
}

impl Timer {
    pub fn new(duration: Duration) -> Timer {
        let now = Instant::now();
        // Nobody lives to see the other.
        Timer::at(now.checked_add(duration).unwrap_or(now + NEVER))
    }

    pub fn at(at: Instant) -> Timer {
        Timer { at, set: None }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some((readiness, alarm)) = &self.set {
            return if readiness.is_set(*alarm, context.waker()) { Poll::Pending } else { Poll::Ready(()) };
        }
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let readiness = Readiness::own().expect("the shard has its epoll");
        let alarm = readiness.set(self.at, context.waker());
        self.set = Some((readiness, alarm));
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some((readiness, alarm)) = self.set.take() {
            readiness.forget(alarm);
        }
    }
}

/// Sleeps for so long at least.
pub async fn sleep(duration: Duration) {
    Timer::new(duration).await;
}

/// Runs a future until a moment; it is dropped when that comes first.
// An async function would hold the future three times over, and deadlines stand within deadlines.
pub fn deadline<T>(at: Instant, future: impl Future<Output = T>) -> impl Future<Output = Result<T, TimedOut>> {
    future::or(future.map(Ok), Timer::at(at).map(|()| Err(TimedOut)))
}

/// Lets hyper sleep on the executor that it runs on.
#[derive(Clone, Copy)]
pub struct HyperTimer;

/// hyper wants its sleeps to be `Send`; they never leave the shard's thread, and would panic if they did.
struct Sleep(SendWrapper<Timer>);

impl hyper::rt::Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(SendWrapper::new(Timer::new(duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(SendWrapper::new(Timer::at(deadline))))
    }
}

impl hyper::rt::Sleep for Sleep {}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut *self.0).poll(context)
    }
}
