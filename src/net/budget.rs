//! A budget of bytes (or of places) on one shard: who finds it spent waits until others give back.
//!
//! The oldest holder never waits: it may overdraw, so that holders which need more to come to their end cannot all wait
//! for each other. The budget is exceeded by at most what one of them takes, and a frame for each.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

pub struct Budget {
    max: usize,
    held: Cell<usize>,
    next_age: Cell<u64>,
    /// The ages of all holders; the smallest is the oldest.
    holders: RefCell<BTreeSet<u64>>,
    waiting: RefCell<Vec<Waker>>,
}

/// What one holder took out of a budget; it goes back when this is dropped.
pub struct Held {
    budget: Rc<Budget>,
    age: u64,
    taken: usize,
}

impl Budget {
    pub fn new(max: usize) -> Rc<Budget> {
        let (holders, waiting) = (RefCell::default(), RefCell::default());
        Rc::new(Budget { max, held: Cell::new(0), next_age: Cell::new(0), holders, waiting })
    }

    pub fn held(&self) -> usize {
        self.held.get()
    }

    /// A new holder, with nothing.
    pub fn hold(self: &Rc<Budget>) -> Held {
        let age = self.next_age.replace(self.next_age.get() + 1);
        self.holders.borrow_mut().insert(age);
        Held { budget: self.clone(), age, taken: 0 }
    }
}

impl Held {
    /// Waits until the budget is not spent, or this is the oldest holder.
    pub async fn available(&self) {
        let budget = &self.budget;
        poll_fn(|context| {
            let oldest = budget.holders.borrow().first() == Some(&self.age);
            if budget.held.get() < budget.max || oldest {
                return Poll::Ready(());
            }
            budget.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub fn add(&mut self, amount: usize) {
        self.taken += amount;
        self.budget.held.set(self.budget.held.get() + amount);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let budget = &self.budget;
        budget.held.set(budget.held.get() - self.taken);
        budget.holders.borrow_mut().remove(&self.age);
        budget.waiting.take().into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    fn waits(held: &Held) -> bool {
        block_on(poll_once(held.available())).is_none()
    }

    #[test]
    fn the_oldest_may_overdraw_and_others_wait() {
        let budget = Budget::new(10);
        let (mut first, mut second) = (budget.hold(), budget.hold());
        first.add(5);
        second.add(6);
        assert!(!waits(&first) && waits(&second));
        first.add(100);
        assert!(!waits(&first));
        drop(first);
        assert_eq!(budget.held(), 6);
        assert!(!waits(&second));
    }
}
