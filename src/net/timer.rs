//! Sleeps and deadlines on glommio's timers, and those timers for hyper.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_lite::future;
use futures_util::FutureExt;
use glommio::timer::Timer;
use send_wrapper::SendWrapper;

use super::elsewhere::Awaited;

/// Longer timers may be late by as much as the longest wait for streams (`ready`).
const SOON: Duration = Duration::from_millis(100);

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

/// Sleeps for so long at least.
pub async fn sleep(duration: Duration) {
    let _awaited = (duration < SOON).then(Awaited::timer);
    Timer::new(duration).await;
}

/// Runs a future until a moment; it is dropped when that comes first.
// An async function would hold the future three times over, and deadlines stand within deadlines.
pub fn deadline<T>(at: Instant, future: impl Future<Output = T>) -> impl Future<Output = Result<T, TimedOut>> {
    let late = async move {
        sleep(at.saturating_duration_since(Instant::now())).await;
        Err(TimedOut)
    };
    future::or(future.map(Ok), late)
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
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

impl hyper::rt::Sleep for Sleep {}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut *self.0).poll(context).map(drop)
    }
}
