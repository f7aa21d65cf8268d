//! How much memory a thread has taken and not given back, so that work is bounded by what it really takes.
//!
//! Counted by the program's allocator, `main.rs`; in a program without [`Counting`] it is always nothing. What one thread
//! takes and another gives back counts for both. Used by `merge::given_up`.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<isize> = const { Cell::new(0) };
}

/// Bytes that this thread has taken more than given back. Negative, when it gave back what others had taken.
pub fn taken() -> isize {
    TAKEN.get()
}

/// No object has more than `isize::MAX` bytes: that is the contract of an allocator.
fn count(more: usize, less: usize) {
    TAKEN.set(TAKEN.get().wrapping_add(more as isize).wrapping_sub(less as isize));
}

/// An allocator that counts for its caller's thread.
pub struct Counting<A>(pub A);

// SAFETY: every call goes to the inner allocator as it came; counting touches one cell that needs no memory and no destructor.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as above.
        unsafe { self.0.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { self.0.dealloc(memory, layout) }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    #[test]
    fn what_is_held_is_counted_for_its_thread() {
        let (allocator, before) = (Counting(System), taken());
        let layout = Layout::from_size_align(100, 8).expect("a layout");
        // SAFETY: the memory is given back with the layouts that it has.
        unsafe {
            let memory = allocator.alloc(layout);
            assert_eq!(taken() - before, 100);
            let memory = allocator.realloc(memory, layout, 40);
            assert_eq!(taken() - before, 40);
            assert_eq!(std::thread::spawn(taken).join().expect("it only looks"), 0);
            allocator.dealloc(memory, Layout::from_size_align(40, 8).expect("a layout"));
        }
        assert_eq!(taken(), before);
    }
}
