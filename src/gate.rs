//! The one state of a replica for a whole process: whether writes go to it directly or into its log, over all cores.
//!
//! One atomic word holds the mode, how many batches are on their way directly, and how many the log holds or is about to
//! hold, so that no core can send directly while another one's older points still wait:
//!
//! - `enter` decides for one batch and counts it in the same step;
//! - `close` (a failure, a slow answer) makes everything from then on go into the log, on all cores at once;
//! - replay waits until `direct` is 0: what was on its way directly has ended;
//! - `hold`, when the log is nearly empty, lets what is new wait for a moment, since the log of a busy replica would
//!   never be quite empty; it must not last;
//! - `reopen` succeeds only when the log is empty, nobody is about to append and nothing is on its way.
//!
//! Whoever was acknowledged through the log is therefore replayed before anything newer is sent directly, and whoever was
//! acknowledged directly was stored before anything newer went into the log. Used by `backend` (lanes close it) and
//! `deliver` (enters, replays); `/metrics` calls it direct (open), spooling or draining (closed or held).
//!
//! A database that a replica lacks is *parked*: it has a log and a gate of its own (`Parked`), behind the replica's. Replay
//! alone parks one, while the replica's gate is closed and nothing is on its way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

/// Mode (2 bits), batches on their way directly (22 bits), batches in the log (40 bits).
#[derive(Debug, Default)]
pub struct Gate(AtomicU64);

/// Without either bit: open.
const CLOSED: u64 = 1 << 63;
const HELD: u64 = 1 << 62;
const MODE: u64 = CLOSED | HELD;
const DIRECT: u64 = 1 << 40;
const DIRECT_MASK: u64 = (1 << 22) - 1;
const LOGGED_MASK: u64 = DIRECT - 1;

/// Which way a batch goes.
#[derive(Debug)]
pub enum Way {
    Direct(DirectPass),
    Log(LogPass),
    /// Ask again in a moment.
    Wait,
}

/// A batch on its way directly, until this is dropped.
#[derive(Debug)]
pub struct DirectPass(Arc<Gate>);

/// A batch that is about to be appended; `stay` once it lies in the log, else it is not counted any more.
#[derive(Debug)]
pub struct LogPass(Option<Arc<Gate>>);

impl Gate {
    /// One whose log holds so many batches already.
    pub fn holding(logged: u64) -> Arc<Gate> {
        let closed = if logged > 0 { CLOSED } else { 0 };
        Arc::new(Gate(AtomicU64::new(closed | (logged & LOGGED_MASK))))
    }

    pub fn enter(self: &Arc<Gate>) -> Way {
        let before = self.update(|word| match word & MODE {
            0 => word + DIRECT,
            HELD => word,
            _ => word + 1,
        });
        match before & MODE {
            0 => Way::Direct(DirectPass(self.clone())),
            HELD => Way::Wait,
            _ => Way::Log(LogPass(Some(self.clone()))),
        }
    }

    /// Into the log, and everything after it too.
    pub fn enter_log(self: &Arc<Gate>) -> LogPass {
        self.update(|word| ((word & !MODE) | CLOSED) + 1);
        LogPass(Some(self.clone()))
    }

    /// Nothing more goes directly; whether that is news.
    pub fn close(&self) -> bool {
        self.update(|word| (word & !MODE) | CLOSED) & MODE == 0
    }

    /// Lets what is new wait, if the gate is closed.
    pub fn hold(&self) {
        self.update(|word| if word & MODE == CLOSED { (word & !MODE) | HELD } else { word });
    }

    /// Lets nobody wait any more, if the gate is held. (An open one stays open: what has opened it may have forgotten it.)
    pub fn release(&self) {
        self.update(|word| if word & MODE == HELD { (word & !MODE) | CLOSED } else { word });
    }

    /// Writes go directly again, if nothing older is left anywhere; whether that is so.
    pub fn reopen(&self) -> bool {
        let reopens = |mode| self.0.compare_exchange(mode, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        reopens(CLOSED) || reopens(HELD)
    }

    /// Whether writes go directly.
    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::SeqCst) & MODE == 0
    }

    /// How many batches are on their way directly.
    pub fn direct(&self) -> u64 {
        (self.0.load(Ordering::SeqCst) / DIRECT) & DIRECT_MASK
    }

    /// How many batches lie in the log, or are about to.
    pub fn logged(&self) -> u64 {
        self.0.load(Ordering::SeqCst) & LOGGED_MASK
    }

    /// So many batches have left the log.
    pub fn taken(&self, batches: u64) {
        self.update(|word| word - batches.min(word & LOGGED_MASK));
    }

    fn update(&self, change: impl Fn(u64) -> u64) -> u64 {
        match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| Some(change(word))) {
            Ok(before) | Err(before) => before,
        }
    }
}

impl Drop for DirectPass {
    fn drop(&mut self) {
        self.0.update(|word| word - DIRECT);
    }
}

impl LogPass {
    /// The batch lies in the log: whoever takes it from there calls `taken`.
    pub fn stay(mut self) {
        self.0 = None;
    }
}

impl Drop for LogPass {
    fn drop(&mut self) {
        self.0.iter().for_each(|gate| gate.taken(1));
    }
}

/// Which parked log a database has. Two databases may share one, which harms nobody.
pub fn parked_key(db: &str) -> u32 {
    crc32fast::hash(db.as_bytes())
}

/// Dropped databases that are kept in mind for each replica; the earliest are forgotten.
const DROPPED_MAX: usize = 1000;

/// A replica's parked databases, by `parked_key`, and those that are lacking because statements have dropped them.
#[derive(Debug, Default)]
pub struct Parked {
    table: ArcSwap<BTreeMap<u32, ParkedDatabase>>,
    /// The earliest first.
    dropped: ArcSwap<Vec<String>>,
}

#[derive(Clone, Debug)]
pub struct ParkedDatabase {
    /// Closed as long as something waits.
    pub gate: Arc<Gate>,
    /// Statements that make what a statement that waits will drop: what waits before that one can be taken then.
    pub makes: Vec<String>,
}

impl Parked {
    pub fn is_empty(&self) -> bool {
        self.table.load().is_empty()
    }

    pub fn keys(&self) -> Vec<u32> {
        self.table.load().keys().copied().collect()
    }

    pub fn get(&self, key: u32) -> Option<ParkedDatabase> {
        self.table.load().get(&key).cloned()
    }

    /// Parks it, unless it is; its gate.
    pub fn park(&self, key: u32) -> Arc<Gate> {
        self.insert(key, Gate::holding(0), Vec::new());
        // It was just made, and replay alone takes one out.
        self.get(key).map_or_else(|| Gate::holding(0), |parked| parked.gate)
    }

    /// One that an earlier process has parked.
    pub fn insert(&self, key: u32, gate: Arc<Gate>, makes: Vec<String>) {
        gate.close();
        self.change(|all| {
            all.entry(key).or_insert_with(|| ParkedDatabase { gate: gate.clone(), makes: makes.clone() });
        });
    }

    /// A statement waits that will drop what these make.
    pub fn note_makes(&self, key: u32, makes: &[String]) {
        self.change(|all| {
            if let Some(parked) = all.get_mut(&key) {
                let news = makes.iter().filter(|text| !parked.makes.contains(text)).cloned().collect::<Vec<_>>();
                parked.makes.extend(news);
            }
        });
    }

    /// Its gate is open again.
    pub fn remove(&self, key: u32) {
        self.change(|all| drop(all.remove(&key)));
    }

    /// The replica has carried out a statement that drops the database.
    pub fn note_dropped(&self, db: &str) {
        self.dropped.rcu(|before| {
            let others = before.iter().filter(|other| *other != db).cloned();
            let mut after: Vec<String> = others.chain([db.to_owned()]).collect();
            after.drain(..after.len().saturating_sub(DROPPED_MAX));
            after
        });
    }

    /// It has carried out one that makes it.
    pub fn note_made(&self, db: &str) {
        if self.is_dropped(db) {
            self.dropped.rcu(|before| before.iter().filter(|other| *other != db).cloned().collect::<Vec<String>>());
        }
    }

    /// Whether it was dropped there and not made since, as far as this process has seen.
    pub fn is_dropped(&self, db: &str) -> bool {
        self.dropped.load().iter().any(|dropped| dropped == db)
    }

    fn change(&self, change: impl Fn(&mut BTreeMap<u32, ParkedDatabase>)) {
        self.table.rcu(|before| {
            let mut after = BTreeMap::clone(before);
            change(&mut after);
            after
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_opens_only_when_nothing_older_is_left() {
        let gate = Gate::holding(0);
        let Way::Direct(first) = gate.enter() else { panic!("it is open") };
        assert!(gate.close() && !gate.close());
        let Way::Log(second) = gate.enter() else { panic!("it is closed") };
        assert_eq!((gate.direct(), gate.logged()), (1, 1));
        assert!(!gate.reopen());
        second.stay();
        drop(first);
        assert!(!gate.reopen(), "the log holds something");
        gate.taken(1);
        assert!(gate.reopen() && !gate.reopen());
        assert!(matches!(gate.enter(), Way::Direct(_)));
    }

    /// Whoever has waited for long comes back to a gate that was opened meanwhile, and is in no table any more.
    #[test]
    fn who_has_waited_closes_a_held_gate_only() {
        let parked = Parked::default();
        let gate = parked.park(1);
        gate.hold();
        assert!(matches!(gate.enter(), Way::Wait));
        assert!(gate.reopen());
        gate.release();
        assert!(matches!(gate.enter(), Way::Direct(_)), "what went into its log now would lie there for ever");
        gate.close();
        gate.hold();
        gate.release();
        assert!(matches!(gate.enter(), Way::Log(_)));
    }

    #[test]
    fn what_is_kept_in_mind_of_dropped_databases_is_bounded() {
        let parked = Parked::default();
        (0..=DROPPED_MAX).for_each(|number| parked.note_dropped(&number.to_string()));
        parked.note_dropped("1");
        assert!(!parked.is_dropped("0") && parked.is_dropped("1") && parked.is_dropped("1000"));
        parked.note_made("1");
        assert!(!parked.is_dropped("1") && parked.is_dropped("2"));
        assert_eq!(parked.dropped.load().len(), DROPPED_MAX - 1);
    }

    #[test]
    fn what_is_not_appended_is_not_counted() {
        let gate = Gate::holding(2);
        assert!(!gate.is_open());
        drop(gate.enter_log());
        assert_eq!(gate.logged(), 2);
        gate.taken(5);
        assert_eq!(gate.logged(), 0);
    }

    /// Two cores: whatever is acknowledged is never followed by something newer that overtakes it.
    #[test]
    fn no_newer_value_overtakes_an_older_one_that_was_acknowledged() {
        // What the replica has and what its log holds, as the threads would change them.
        let gate = Gate::holding(0);
        let replica = Arc::new(AtomicU64::new(0));
        let log = Arc::new(std::sync::Mutex::new(Vec::<u64>::new()));
        let writer = |values: std::ops::Range<u64>| {
            for value in values {
                loop {
                    match gate.enter() {
                        Way::Direct(pass) => {
                            replica.store(value, Ordering::SeqCst);
                            drop(pass);
                            break;
                        }
                        Way::Log(pass) => {
                            log.lock().expect("no panic").push(value);
                            pass.stay();
                            break;
                        }
                        Way::Wait => std::thread::yield_now(),
                    }
                }
                if value % 7 == 0 {
                    gate.close();
                }
            }
        };
        let replay = || {
            if gate.direct() > 0 {
                return;
            }
            let mut log = log.lock().expect("no panic");
            for value in log.drain(..) {
                let before = replica.swap(value, Ordering::SeqCst);
                assert!(before < value, "{before} was there before {value} came out of the log");
                gate.taken(1);
            }
            drop(log);
            gate.hold();
            if !gate.reopen() {
                gate.close();
            }
        };
        // Each value is written after the one before was acknowledged, by the one thread or the other.
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                (0..100).for_each(|turn| {
                    let from = turn * 200 + 1;
                    std::thread::scope(|inner| inner.spawn(|| writer(from..from + 200)).join()).expect("no panic");
                })
            });
            while !writing.is_finished() {
                replay();
            }
        });
        replay();
        assert_eq!(replica.load(Ordering::SeqCst), 20_000);
    }
}
