//! What tasks of a shard wait for that no stream tells: while it is awaited, the shard must not wait for streams (`ready`).

use std::cell::Cell;

thread_local! {
    static AWAITED: Cell<usize> = const { Cell::new(0) };
}

/// Counts as awaited until it is dropped.
struct Awaited;

impl Drop for Awaited {
    fn drop(&mut self) {
        AWAITED.set(AWAITED.get() - 1);
    }
}

/// Waits for what another thread does. Only a shard's rings tell that it is done.
pub async fn elsewhere<T>(done: impl Future<Output = T>) -> T {
    AWAITED.set(AWAITED.get() + 1);
    let _awaited = Awaited;
    done.await
}

/// Whether another thread is awaited.
pub(super) fn is_awaited() -> bool {
    AWAITED.get() > 0
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
