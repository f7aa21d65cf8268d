//! A budget of bytes on one shard: who finds it spent waits until others give back.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

pub struct Budget {
    bytes_max: usize,
    held: Cell<usize>,
    waiting: RefCell<VecDeque<Waker>>,
}

/// Bytes taken out of a budget; they go back when this is dropped.
pub struct Held {
    budget: Rc<Budget>,
    bytes: usize,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Rc<Budget> {
        Rc::new(Budget { bytes_max, held: Cell::new(0), waiting: RefCell::default() })
    }

    pub fn held(&self) -> usize {
        self.held.get()
    }

    /// Begins with nothing.
    pub fn hold(self: &Rc<Budget>) -> Held {
        Held { budget: self.clone(), bytes: 0 }
    }

    /// Waits until the budget is not spent. It may then be overdrawn by what the caller takes: one frame each.
    pub async fn available(&self) {
        poll_fn(|context| {
            if self.held.get() < self.bytes_max {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push_back(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Held {
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.budget.held.set(self.budget.held.get() + bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.held.set(self.budget.held.get() - self.bytes);
        if self.budget.held.get() < self.budget.bytes_max {
            self.budget.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        }
    }
}
