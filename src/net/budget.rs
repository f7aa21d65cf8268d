//! A budget of bytes (or of places) on one shard: who finds it spent waits until others give back.
//!
//! Holders that need more to come to their end must not all wait for each other: in a lenient budget one of those that
//! wait, the oldest, may overdraw it until it has ended, or has taken nothing for a second.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use event_listener::Event;

/// After so long without taking anything, who may overdraw loses that to the next.
const GRANT: Duration = Duration::from_secs(1);

pub struct Budget {
    max: usize,
    strict: bool,
    held: Cell<usize>,
    next_age: Cell<u64>,
    /// Who may overdraw, and when it last took something.
    grant: Cell<Option<(u64, Instant)>>,
    /// By age, the oldest first.
    waiting: RefCell<BTreeMap<u64, Waker>>,
    /// Who waits for room and never overdraws.
    patient: Event,
}

/// What one holder took out of a budget; it goes back when this is dropped.
pub struct Held {
    budget: Rc<Budget>,
    age: u64,
    taken: usize,
}

impl Budget {
    /// A lenient budget.
    pub fn new(max: usize) -> Rc<Budget> {
        let (held, next_age, grant) = (Cell::new(0), Cell::new(0), Cell::new(None));
        Rc::new(Budget {
            max,
            strict: false,
            held,
            next_age,
            grant,
            waiting: RefCell::default(),
            patient: Event::new(),
        })
    }

    /// One that nobody overdraws: for holders that take once.
    pub fn strict(max: usize) -> Rc<Budget> {
        let (held, next_age, grant) = (Cell::new(0), Cell::new(0), Cell::new(None));
        Rc::new(Budget { max, strict: true, held, next_age, grant, waiting: RefCell::default(), patient: Event::new() })
    }

    pub fn held(&self) -> usize {
        self.held.get()
    }

    /// Waits until something may be taken without overdrawing: for holders that come to their end without it.
    pub async fn room(&self) {
        while self.held.get() >= self.max {
            let room = self.patient.listen();
            if self.held.get() >= self.max {
                room.await;
            }
        }
    }

    /// A new holder, with nothing.
    pub fn hold(self: &Rc<Budget>) -> Held {
        let age = self.next_age.replace(self.next_age.get() + 1);
        Held { budget: self.clone(), age, taken: 0 }
    }

    /// Wakes whoever may go on; call it now and then, since a grant runs out without anybody's doing.
    pub fn nudge(&self) {
        if self.held.get() < self.max {
            self.patient.notify(usize::MAX);
            self.waiting.take().into_values().for_each(Waker::wake);
        } else if let Some(oldest) = self.waiting.borrow().values().next() {
            oldest.wake_by_ref();
        }
    }

    fn may_overdraw(&self, age: u64) -> bool {
        let now = Instant::now();
        let oldest = self.waiting.borrow().keys().next().is_none_or(|oldest| age <= *oldest);
        let mine = match self.grant.get() {
            Some((holder, _)) if holder == age => true,
            Some((_, last)) => oldest && now.duration_since(last) > GRANT,
            None => oldest,
        };
        if mine && !self.strict {
            self.grant.set(Some((age, now)));
        }
        mine && !self.strict
    }
}

impl Held {
    /// Waits until something may be taken.
    pub async fn available(&self) {
        let budget = &self.budget;
        poll_fn(|context| {
            if budget.held.get() < budget.max || budget.may_overdraw(self.age) {
                budget.waiting.borrow_mut().remove(&self.age);
                return Poll::Ready(());
            }
            budget.waiting.borrow_mut().insert(self.age, context.waker().clone());
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
        budget.waiting.borrow_mut().remove(&self.age);
        if budget.grant.get().is_some_and(|(holder, _)| holder == self.age) {
            budget.grant.set(None);
        }
        budget.nudge();
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
    fn one_of_those_that_wait_may_overdraw() {
        let budget = Budget::new(10);
        let (mut idle, mut first, second) = (budget.hold(), budget.hold(), budget.hold());
        idle.add(5);
        first.add(5);
        assert!(!waits(&first) && waits(&second), "the first that asks has the grant");
        first.add(100);
        assert!(!waits(&first) && waits(&second));
        drop(first);
        assert!(!waits(&second));
        assert_eq!(budget.held(), 5);
    }

    #[test]
    fn a_grant_that_is_not_used_runs_out() {
        let budget = Budget::new(1);
        let (mut first, second) = (budget.hold(), budget.hold());
        first.add(1);
        assert!(!waits(&first) && waits(&second));
        budget.grant.set(budget.grant.get().map(|(age, at)| (age, at - 2 * GRANT)));
        assert!(!waits(&second) && waits(&first));
    }

    #[test]
    fn the_patient_wait_for_room_and_hold_up_nobody() {
        let budget = Budget::new(10);
        let (mut holder, mut other) = (budget.hold(), budget.hold());
        holder.add(10);
        let patient = budget.clone();
        let mut room = Box::pin(async move { patient.room().await });
        assert!(block_on(poll_once(&mut room)).is_none());
        assert!(!waits(&other), "who must come to an end may overdraw");
        other.add(1);
        drop(holder);
        assert!(block_on(poll_once(&mut room)).is_some());
    }

    #[test]
    fn a_strict_budget_is_never_overdrawn() {
        let budget = Budget::strict(1);
        let (mut first, second) = (budget.hold(), budget.hold());
        first.add(1);
        assert!(waits(&second));
        drop(first);
        assert!(!waits(&second));
    }
}
