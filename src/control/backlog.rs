//! The folder `backlog`: what this proxy holds for replicas is told there, and who else holds something is read.
//!
//! Own znodes come and go within a poll or two; what they hold is written again every [`Pace::update`] at most. Of other
//! proxies only names are read: the folder and each replica's folder in it are listed at each event, and every few
//! seconds besides. Lists also say which znodes of our own are there, so that those of an earlier life go, and those that
//! somebody removed come back. A turn takes a bounded time, and goes on with the next: thousands of lists hold no topology
//! up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::topology::Backlogs;

use super::{Audience, Store, StoreError};

/// How often things are done.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Writing one znode again, after a failure too.
    pub update: Duration,
    /// From a znode's last write to its end at the least: what comes and goes all the time is no event each time.
    pub settle: Duration,
    /// Between two readings of all lists, unless the last one took long.
    pub lists: Duration,
    /// One turn.
    pub turn: Duration,
}

pub const PACE: Pace = Pace {
    update: Duration::from_secs(2),
    settle: Duration::from_millis(400),
    lists: Duration::from_millis(400),
    turn: Duration::from_millis(100),
};

/// Readings take at most one part in so many of the thread's time.
const READING_SHARE: u32 = 5;

/// What the thread knows of the folder.
pub struct Folder {
    path: String,
    own_id: String,
    pace: Pace,
    /// Our znodes that are there or may be, by replica.
    own: BTreeMap<String, Own>,
    /// The other proxies', as the audience was told last; `None` before the first time.
    others: Option<Backlogs>,
    /// The reading that is under way.
    reading: Option<Reading>,
    /// No other before.
    next_reading: Option<Instant>,
    /// Something has changed since the last reading began.
    due: bool,
    /// Paths whose lists cannot be read, which the log has told.
    unreadable: BTreeSet<String>,
}

/// One of our znodes.
#[derive(Default)]
struct Own {
    /// What it holds; `None` when that is not known.
    data: Option<Vec<u8>>,
    tried: Option<Instant>,
    /// The last attempt failed, and the log has told.
    failed: bool,
}

/// Lists of which some have been read.
struct Reading {
    began: Instant,
    left: Vec<String>,
    others: Backlogs,
}

impl Folder {
    pub fn new(path: String, own_id: &str, pace: Pace) -> Folder {
        let (own, others, unreadable) = Default::default();
        let own_id = own_id.to_owned();
        Folder { path, own_id, pace, own, others, reading: None, next_reading: None, due: true, unreadable }
    }

    /// A new session: everything is read anew.
    pub fn begin(&mut self) {
        (self.reading, self.next_reading, self.due) = (None, None, true);
    }

    /// Writes and reads what is due; `changed`: something in ZooKeeper is new. `false`: there was not time enough for all.
    pub fn turn(
        &mut self,
        store: &mut dyn Store,
        audience: &mut dyn Audience,
        changed: bool,
    ) -> Result<bool, StoreError> {
        self.due |= changed;
        let until = Instant::now() + self.pace.turn;
        let read = self.read(store, audience, until)?;
        Ok(self.tell(store, audience, until)? && read)
    }

    /// Brings our znodes to what the audience wants: first those that come or go.
    fn tell(&mut self, store: &mut dyn Store, audience: &mut dyn Audience, until: Instant) -> Result<bool, StoreError> {
        let Some(wanted) = audience.backlog() else { return Ok(true) };
        let gone: Vec<String> = self.own.keys().filter(|replica| !wanted.contains_key(*replica)).cloned().collect();
        for replica in gone.iter().filter(|replica| self.may_go(replica)).collect::<Vec<_>>() {
            self.remove(store, replica)?;
            if Instant::now() >= until {
                return Ok(false);
            }
        }
        let (known, new): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|(replica, _)| self.own.contains_key(replica));
        for (replica, data) in new.into_iter().chain(known) {
            if !self.is_due(&replica, &data) {
                continue;
            }
            self.write(store, &replica, data)?;
            if Instant::now() >= until {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn may_go(&self, replica: &str) -> bool {
        self.own.get(replica).is_some_and(|own| {
            let pause = if own.failed { self.pace.update } else { self.pace.settle };
            own.tried.is_none_or(|tried| tried.elapsed() >= pause)
        })
    }

    fn is_due(&self, replica: &str, data: &[u8]) -> bool {
        self.own.get(replica).is_none_or(|own| {
            own.data.as_deref() != Some(data) && own.tried.is_none_or(|tried| tried.elapsed() >= self.pace.update)
        })
    }

    fn write(&mut self, store: &mut dyn Store, replica: &str, data: Vec<u8>) -> Result<(), StoreError> {
        let path = self.own_path(replica);
        let own = self.own.entry(replica.to_owned()).or_default();
        (own.data, own.tried) = (None, Some(Instant::now()));
        let written = store.put(&path, &data);
        own.told(&path, &written);
        match written {
            Err(error) if error.is_over() => Err(error),
            Err(_) => Ok(()),
            Ok(()) => {
                own.data = Some(data);
                Ok(())
            }
        }
    }

    fn remove(&mut self, store: &mut dyn Store, replica: &str) -> Result<(), StoreError> {
        let path = self.own_path(replica);
        let own = self.own.entry(replica.to_owned()).or_default();
        (own.data, own.tried) = (None, Some(Instant::now()));
        let removed = store.delete(&path);
        own.told(&path, &removed);
        match removed {
            Err(error) if error.is_over() => return Err(error),
            Err(_) => return Ok(()),
            Ok(()) => drop(self.own.remove(replica)),
        }
        // It stays if another proxy's znode lies in it.
        match store.delete(&format!("{}/{replica}", self.path)) {
            Err(error) if error.is_over() => Err(error),
            _ => Ok(()),
        }
    }

    fn own_path(&self, replica: &str) -> String {
        format!("{}/{replica}/{}", self.path, self.own_id)
    }

    /// Reads lists, and tells the audience when all have been read and others hold something else than before.
    fn read(&mut self, store: &mut dyn Store, audience: &mut dyn Audience, until: Instant) -> Result<bool, StoreError> {
        if self.reading.is_none() {
            if !self.due || self.next_reading.is_some_and(|next| Instant::now() < next) {
                return Ok(true);
            }
            let began = Instant::now();
            (self.due, self.next_reading) = (false, Some(began + self.pace.lists));
            let path = self.path.clone();
            let Some(left) = self.list(store, &path)? else { return Ok(true) };
            let there: BTreeSet<&String> = left.iter().collect();
            self.own.iter_mut().filter(|(replica, _)| !there.contains(replica)).for_each(|(_, own)| own.data = None);
            self.reading = Some(Reading { began, left, others: Backlogs::new() });
        }
        let Some(mut reading) = self.reading.take() else { return Ok(true) };
        while let Some(replica) = reading.left.pop() {
            let holders = match self.list(store, &format!("{}/{replica}", self.path))? {
                Some(ids) => self.sort_out(&replica, ids),
                None => self.others.as_ref().and_then(|others| others.get(&replica)).cloned().unwrap_or_default(),
            };
            if !holders.is_empty() {
                reading.others.insert(replica, holders);
            }
            if Instant::now() >= until && !reading.left.is_empty() {
                self.reading = Some(reading);
                return Ok(false);
            }
        }
        let pause = self.pace.lists.max(reading.began.elapsed() * (READING_SHARE - 1));
        self.next_reading = Some(Instant::now() + pause);
        if self.others.as_ref() != Some(&reading.others) {
            audience.backlogs(&reading.others);
            self.others = Some(reading.others);
        }
        Ok(true)
    }

    /// The other proxies of a replica's list, in order. Whether we are in it is compared with what we know of our znode.
    fn sort_out(&mut self, replica: &str, mut ids: Vec<String>) -> Vec<String> {
        let before = ids.len();
        ids.retain(|id| *id != self.own_id);
        if ids.len() < before {
            self.own.entry(replica.to_owned()).or_default();
        } else if let Some(own) = self.own.get_mut(replica) {
            own.data = None;
        }
        ids.sort_unstable();
        ids
    }

    /// The names in a folder; `None` if they cannot be read, and then what was known of it stays.
    fn list(&mut self, store: &mut dyn Store, path: &str) -> Result<Option<Vec<String>>, StoreError> {
        match store.children(path) {
            Ok(names) => {
                self.unreadable.remove(path);
                Ok(Some(names))
            }
            Err(error) if error.is_over() => Err(error),
            Err(error) => {
                if self.unreadable.insert(path.to_owned()) {
                    tracing::warn!(path, fault = %error, "what other proxies hold for replicas cannot be read");
                }
                Ok(None)
            }
        }
    }
}

impl Own {
    /// Says in the log that it cannot be written, and that it can again: once each.
    fn told(&mut self, path: &str, outcome: &Result<(), StoreError>) {
        match outcome {
            Err(error) if !error.is_over() && !self.failed => {
                tracing::warn!(path, fault = %error, "other proxies cannot be told what waits for a replica");
                self.failed = true;
            }
            Ok(()) if std::mem::take(&mut self.failed) => tracing::info!(path, "what waits for a replica is told"),
            _ => {}
        }
    }
}
