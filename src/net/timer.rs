//! Sleeps and deadlines, and timers for hyper. The shard that waits for streams looks after them too (`ready`): they cost no
//! system call.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::LazyLock;
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

/// All that sleeps about so long wakes at multiples of this, and so at once: an idle shard that goes to sleep and wakes up again
/// takes a tenth of a millisecond, whatever it does meanwhile.
const ABOUT: Duration = Duration::from_millis(500);

/// Sleeps for so long, half of `ABOUT` more or less: for what comes again and again, and nobody waits for. What is shorter than
/// `ABOUT` is slept as it is.
pub async fn sleep_about(duration: Duration) {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    Timer::at(about(*BEGAN, Instant::now(), duration)).await;
}

fn about(began: Instant, now: Instant, duration: Duration) -> Instant {
    if duration < ABOUT {
        return now + duration;
    }
    let Some(late) = now.checked_add(duration).and_then(|at| at.checked_add(ABOUT / 2)) else { return now + NEVER };
    let beyond = (late - began).as_nanos() % ABOUT.as_nanos();
    late - Duration::from_nanos(u64::try_from(beyond).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use futures_channel::oneshot;

    use super::*;
    use crate::net::{elsewhere, on_a_shard};

    const COUNT: u64 = 5_000;

    #[test]
    fn whoever_sleeps_about_so_long_wakes_with_others() {
        let (began, ms) = (Instant::now(), Duration::from_millis);
        let of = |now: u64, long: u64| about(began, began + ms(now), ms(long)) - began;
        assert_eq!([of(0, 500), of(1, 500), of(249, 500), of(251, 500)], [ms(500), ms(500), ms(500), ms(1000)]);
        assert_eq!([of(501, 600), of(3, 2000), of(999, 2000)], [ms(1000), ms(2000), ms(3000)]);
        assert_eq!((of(3, 20), of(3, 499)), (ms(23), ms(502)), "what is short is as it is");
        assert_eq!(about(began, began, Duration::MAX), began + NEVER);
    }

    /// Each beside one that is due with it and dropped when it goes off, whoever looks after them: a shard that sleeps does
    /// while another thread is awaited.
    #[test]
    fn thousands_go_off_each_in_its_time() {
        on_a_shard(|| async {
            for is_awaited in [false, true] {
                let (teller, told) = oneshot::channel::<()>();
                let awaiting = is_awaited.then(|| glommio::spawn_local(elsewhere(told)));
                let began = Instant::now();
                let timers: Vec<_> = (0..COUNT)
                    .map(|number| {
                        let at = began + Duration::from_millis(number * 7 % 100);
                        glommio::spawn_local(async move {
                            let first = future::or(Timer::at(at), Timer::at(at));
                            let in_time = deadline(at + Duration::from_secs(5), first).await.is_ok();
                            sleep(Duration::from_millis(1)).await;
                            in_time && Instant::now() >= at
                        })
                    })
                    .collect();
                for timer in timers {
                    assert!(timer.await, "while another thread is awaited: {is_awaited}");
                }
                assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
                drop(teller);
                if let Some(awaiting) = awaiting {
                    assert!(awaiting.await.is_err(), "nobody has told it");
                }
            }
        });
    }

    /// A timer that nobody has set before stands before all that are waited for already.
    #[test]
    fn who_comes_later_may_be_due_sooner() {
        on_a_shard(|| async {
            let late = glommio::spawn_local(sleep(Duration::from_secs(30)));
            // Until the shard sleeps.
            sleep(Duration::from_millis(200)).await;
            let mut took = Vec::new();
            for _ in 0..20 {
                let began = Instant::now();
                let other = glommio::spawn_local(sleep(Duration::from_millis(40)));
                sleep(Duration::from_millis(3)).await;
                took.push(began.elapsed());
                drop(other);
            }
            took.sort_unstable();
            assert!(took[10] < Duration::from_millis(20), "{took:?}");
            drop(late);
        });
    }
}
