//! What tasks of a shard wait for that no stream tells: while it is awaited, the shard must not wait for streams alone, or
//! not for long (`ready`).

use std::cell::Cell;
use std::thread::LocalKey;

thread_local! {
    static THREADS: Cell<usize> = const { Cell::new(0) };
    static TIMERS: Cell<usize> = const { Cell::new(0) };
}

/// Counts as awaited until it is dropped.
pub(super) struct Awaited(&'static LocalKey<Cell<usize>>);

impl Awaited {
    fn begin(what: &'static LocalKey<Cell<usize>>) -> Awaited {
        what.set(what.get() + 1);
        Awaited(what)
    }

    /// A timer that is due soon.
    pub fn timer() -> Awaited {
        Awaited::begin(&TIMERS)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Waits for what another thread does. Only a shard's rings tell that it is done.
pub async fn elsewhere<T>(done: impl Future<Output = T>) -> T {
    let _awaited = Awaited::begin(&THREADS);
    done.await
}

/// Whether another thread is awaited.
pub(super) fn is_awaited() -> bool {
    THREADS.get() > 0
}

/// Whether a timer is due soon.
pub(super) fn is_timer_near() -> bool {
    TIMERS.get() > 0
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn what_is_dropped_is_awaited_no_more() {
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut done = pin!(elsewhere(std::future::pending::<()>()));
            assert!(!is_awaited(), "it has not begun");
            assert_eq!(done.as_mut().poll(&mut context), Poll::Pending);
            assert!(is_awaited());
        }
        assert!(!is_awaited());
        assert_eq!(pin!(elsewhere(std::future::ready(7))).poll(&mut context), Poll::Ready(7));
        assert!(!is_awaited());
    }
}
