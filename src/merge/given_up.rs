//! Whether what this thread makes is still worth making: long loops end where it is not, with what they have. It is not, when
//! nobody waits for it any more, or when making it takes more memory than it may.
//!
//! Used by `query` around work on threads beside a shard's.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::memory::taken;

thread_local! {
    static WORK: RefCell<Option<Work>> = const { RefCell::new(None) };
}

struct Work {
    /// Set when nobody waits any more.
    left: Arc<AtomicBool>,
    /// Of this thread (`memory::taken`).
    taken_max: isize,
    too_much: bool,
}

/// It would have taken more memory than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

/// Does work of this thread that is given up once `left` is set: what it makes then is nothing to anyone; or once it has
/// taken more than `bytes_max` of memory, counted from its beginning.
///
/// # Errors
/// It has taken too much.
pub fn unless<T>(left: Arc<AtomicBool>, bytes_max: usize, work: impl FnOnce() -> T) -> Result<T, TooMuch> {
    struct Ended;
    impl Drop for Ended {
        fn drop(&mut self) {
            WORK.set(None);
        }
    }
    let taken_max = taken().saturating_add(isize::try_from(bytes_max).unwrap_or(isize::MAX));
    WORK.set(Some(Work { left, taken_max, too_much: false }));
    let _ended = Ended;
    let made = work();
    match WORK.with_borrow(|work| work.as_ref().is_some_and(|work| work.too_much)) {
        true => Err(TooMuch),
        false => Ok(made),
    }
}

/// What is made is made for nothing.
pub fn is_given_up() -> bool {
    WORK.with_borrow_mut(|work| {
        let Some(work) = work else { return false };
        work.too_much |= taken() > work.taken_max;
        work.too_much || work.left.load(Ordering::Relaxed)
    })
}

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout, System};

    use super::*;
    use crate::memory::Counting;

    #[test]
    fn work_sees_its_own_flag_and_none_after_it() {
        let flag = Arc::new(AtomicBool::new(false));
        let seen = unless(flag.clone(), usize::MAX, || {
            let before = is_given_up();
            flag.store(true, Ordering::Relaxed);
            (before, is_given_up())
        });
        assert_eq!((seen, is_given_up()), (Ok((false, true)), false));
    }
    #[test]
    fn what_each_work_takes_counts_alone() {
        let (allocator, layout) = (Counting(System), Layout::array::<u8>(100).expect("a layout"));
        let mut taken = Vec::new();
        // SAFETY: the layout has a size; what is taken is given back below, with the same layout.
        let mut take = || taken.push(unsafe { allocator.alloc(layout) });
        let mut work = |times: usize| {
            unless(Arc::default(), 250, || {
                (0..times).for_each(|_| take());
                is_given_up()
            })
        };
        // On one thread, which holds more and more.
        assert_eq!([work(2), work(2), work(3), work(2)], [Ok(false), Ok(false), Err(TooMuch), Ok(false)]);
        // SAFETY: as above.
        taken.into_iter().for_each(|memory| unsafe { allocator.dealloc(memory, layout) });
        assert!(!is_given_up());
    }
}
