//! Whether anybody still waits for what this thread makes: long loops end where nobody does, with what they have.
//!
//! Used by `query` around work on threads beside a shard's.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static GIVEN_UP: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Does work of this thread that is given up once `flag` is set: what it makes then is nothing to anyone.
pub fn unless<T>(flag: Arc<AtomicBool>, work: impl FnOnce() -> T) -> T {
    struct Ended;
    impl Drop for Ended {
        fn drop(&mut self) {
            GIVEN_UP.set(None);
        }
    }
    GIVEN_UP.set(Some(flag));
    let _ended = Ended;
    work()
}

/// Nobody waits any more.
pub fn is_given_up() -> bool {
    GIVEN_UP.with_borrow(|flag| flag.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_sees_its_own_flag_and_none_after_it() {
        let flag = Arc::new(AtomicBool::new(false));
        let (before, after) = unless(flag.clone(), || {
            let before = is_given_up();
            flag.store(true, Ordering::Relaxed);
            (before, is_given_up())
        });
        assert_eq!((before, after, is_given_up()), (false, true, false));
    }
}
