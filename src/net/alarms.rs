//! Who wants to be woken when, on one shard. Pure: `ready` looks at the clock.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Instant;

/// Who waits for a moment: the moment, and a number that is never given twice.
pub(super) type Alarm = (Instant, u64);

#[derive(Default)]
pub(super) struct Alarms {
    waiting: BTreeMap<Alarm, Waker>,
    next_number: u64,
}

impl Alarms {
    pub fn set(&mut self, at: Instant, waker: &Waker) -> Alarm {
        let alarm = (at, self.next_number);
        self.next_number += 1;
        self.waiting.insert(alarm, waker.clone());
        alarm
    }

    /// Whoever polls last is woken. `false`: it has gone off.
    pub fn is_set(&mut self, alarm: Alarm, waker: &Waker) -> bool {
        let waiting = self.waiting.get_mut(&alarm);
        waiting.map(|waiting| waiting.clone_from(waker)).is_some()
    }

    pub fn forget(&mut self, alarm: Alarm) {
        self.waiting.remove(&alarm);
    }

    /// When the next goes off.
    pub fn first(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// Those that go off by now, in order.
    pub fn take_due(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            due.push(first.remove());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Count>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_goes_off_once_and_in_time() {
        let (mut alarms, began) = (Alarms::default(), Instant::now());
        let at = |ms| began + Duration::from_millis(ms);
        let counts: [Arc<Count>; 3] = Default::default();
        let wakers = counts.clone().map(Waker::from);
        let late = alarms.set(at(9), &wakers[0]);
        let early = alarms.set(at(5), &wakers[1]);
        let same = alarms.set(at(5), &wakers[2]);
        assert_eq!(alarms.first(), Some(at(5)));
        assert!(alarms.take_due(at(4)).is_empty());
        alarms.forget(same);
        alarms.take_due(at(6)).into_iter().for_each(Waker::wake);
        assert_eq!(counts.each_ref().map(|count| count.0.load(Ordering::Relaxed)), [0, 1, 0]);
        assert!(!alarms.is_set(early, &wakers[1]) && alarms.is_set(late, &wakers[2]));
        assert_eq!(alarms.first(), Some(at(9)));
        alarms.take_due(at(9)).into_iter().for_each(Waker::wake);
        assert_eq!(counts.each_ref().map(|count| count.0.load(Ordering::Relaxed)), [0, 1, 1], "who polled last");
        assert_eq!(alarms.first(), None);
    }
}
