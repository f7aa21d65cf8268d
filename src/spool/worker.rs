//! The thread of one spool, which does all its disk work: takes what waits, appends all of it, syncs once, answers all.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_channel::oneshot;

use crate::config;

use super::disk::Folder;
use super::handle::{Shared, remove};
use super::log::{self, Log};
use super::look::oldest;
use super::record::Record;
use super::recover::{Position, Totals};
use super::spare::Spares;
use super::{AppendError, ConsumeError, DeadLetter, Finished, Queue, dead};

/// Appended before a sync, at most about so much.
const GROUP_BYTES_MAX: u64 = 16 * 1024 * 1024;
const GROUP_RECORDS_MAX: usize = 4096;
/// How often the oldest record's age is looked at.
const AGE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a cursor may lag: writing it makes syncs slower.
const CURSOR_INTERVAL: Duration = Duration::from_millis(100);

pub enum Command {
    Append {
        queue: Queue,
        record: Record,
        accepted_ms: u64,
        /// Its fate is open until it is decided under this number.
        number: Option<u64>,
        reply: oneshot::Sender<Result<(), AppendError>>,
    },
    Decide {
        number: u64,
        fate: Fate,
    },
    Read {
        queue: Queue,
        bytes_max: usize,
        reply: oneshot::Sender<Result<Vec<log::Entry>, String>>,
    },
    Consume {
        queue: Queue,
        to: Position,
        dead: Vec<DeadLetter>,
        reply: oneshot::Sender<Result<(), ConsumeError>>,
    },
    Finish {
        queue: Queue,
        reply: oneshot::Sender<Result<Finished, String>>,
    },
    End,
    #[cfg(test)]
    Panic,
}

/// What becomes of a record whose fate was open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Kept,
    Void,
}

impl Command {
    /// Nobody takes commands any more.
    pub fn refuse(self, replica: &str) {
        let text = format!("spool of replica {replica}: it was closed, or its thread has panicked; restart slotline");
        // Callers that have left don't mind.
        match self {
            Command::Append { reply, .. } => drop(reply.send(Err(AppendError::Disk(text)))),
            Command::Read { reply, .. } => drop(reply.send(Err(text))),
            Command::Consume { reply, .. } => drop(reply.send(Err(ConsumeError::Disk(text)))),
            Command::Finish { reply, .. } => drop(reply.send(Err(text))),
            Command::Decide { .. } | Command::End => {}
            #[cfg(test)]
            Command::Panic => {}
        }
    }
}

/// An append that waits for the sync.
struct Waiting {
    queue: Queue,
    bytes: u64,
    points: u32,
    reply: oneshot::Sender<Result<(), AppendError>>,
}

pub struct Worker {
    shared: Arc<Shared>,
    /// `Main` is always there, a parked one since something was appended to it.
    logs: BTreeMap<Queue, Kept>,
    folder: PathBuf,
    /// Of all its logs.
    spares: Spares,
    segment_bytes_max: u64,
    dead_bytes_max: u64,
    age_alert: Duration,
    group: Vec<Waiting>,
    group_bytes: u64,
    /// Where records lie whose fate is open, by their numbers.
    undecided: HashMap<u64, (Queue, Position)>,
    /// What was told last of each kind of trouble.
    ailing: bool,
    dead_full: bool,
    old: bool,
    age_seen: Instant,
    cursors_at: Instant,
    /// When consumed segments may be given up, after that has failed.
    sweep_at: Instant,
    /// To the thread that removes files.
    unneeded: Sender<PathBuf>,
    #[expect(dead_code, reason = "held, not read: the lock lasts as long as the file is open")]
    lock: File,
}

/// A log, and what was told of it.
struct Kept {
    log: Log<Folder>,
    /// Damaged records since the last `Finish`.
    lost: u64,
    /// Taken back since it was last empty.
    void_bytes: u64,
}

impl Worker {
    pub fn new(
        shared: Arc<Shared>,
        logs: BTreeMap<Queue, Log<Folder>>,
        folder: PathBuf,
        spares: Spares,
        settings: &config::Spool,
        lock: File,
        unneeded: Sender<PathBuf>,
    ) -> Worker {
        let kept = |(queue, log)| (queue, Kept { log, lost: 0, void_bytes: 0 });
        let mut worker = Worker {
            shared,
            logs: logs.into_iter().map(kept).collect(),
            folder,
            spares,
            segment_bytes_max: settings.segment_bytes_max.0 as u64,
            dead_bytes_max: settings.dead_bytes_max.0 as u64,
            age_alert: settings.age_alert,
            group: Vec::new(),
            group_bytes: 0,
            undecided: HashMap::new(),
            ailing: false,
            dead_full: false,
            old: false,
            age_seen: Instant::now(),
            cursors_at: Instant::now(),
            sweep_at: Instant::now(),
            unneeded,
            lock,
        };
        worker.publish();
        worker
    }

    /// Until it is told to end, or nobody holds the spool any more.
    pub fn run(&mut self, commands: &Receiver<Command>) {
        self.watch_age();
        loop {
            let lags = self.logs.values().any(|kept| kept.log.is_ahead());
            let ended = match commands.recv_timeout(if lags { CURSOR_INTERVAL } else { AGE_INTERVAL }) {
                Ok(command) => self.work(command, commands),
                Err(RecvTimeoutError::Timeout) if lags => false,
                Err(RecvTimeoutError::Timeout) => {
                    let unneeded = self.sweep(true);
                    self.give_up(unneeded);
                    false
                }
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if ended {
                self.keep_cursors();
                // Nobody waits any more.
                return self.sweep(true).iter().for_each(|path| remove(path));
            }
            if self.cursors_at.elapsed() >= CURSOR_INTERVAL {
                self.keep_cursors();
            }
            let unneeded = self.sweep(false);
            self.give_up(unneeded);
            self.shared.watch_level();
            if self.age_seen.elapsed() >= AGE_INTERVAL {
                self.watch_age();
            }
        }
    }

    /// One command, and all that wait behind it; whether that was the end.
    fn work(&mut self, first: Command, commands: &Receiver<Command>) -> bool {
        let mut next = Some(first);
        let mut ended = false;
        while let Some(command) = next {
            match command {
                Command::Append { queue, record, accepted_ms, number, reply } => {
                    self.append(queue, &record, accepted_ms, number, reply);
                }
                Command::Decide { number, fate } => self.decide(number, fate),
                Command::Read { queue, bytes_max, reply } => {
                    self.commit();
                    let _ = reply.send(self.read(queue, bytes_max));
                }
                Command::Consume { queue, to, dead, reply } => {
                    self.commit();
                    let _ = reply.send(self.consume(queue, to, &dead));
                }
                Command::Finish { queue, reply } => {
                    self.commit();
                    let _ = reply.send(self.finish(queue));
                }
                Command::End => ended = true,
                #[cfg(test)]
                Command::Panic => panic!("a test wants it"),
            }
            if ended {
                break;
            }
            if self.group_bytes >= GROUP_BYTES_MAX || self.group.len() >= GROUP_RECORDS_MAX {
                self.commit();
            }
            next = commands.try_recv().ok();
        }
        self.commit();
        ended
    }

    fn append(
        &mut self,
        queue: Queue,
        record: &Record,
        accepted_ms: u64,
        number: Option<u64>,
        reply: oneshot::Sender<Result<(), AppendError>>,
    ) {
        let bytes = record.bytes();
        let appended = self.log(queue).and_then(|kept| {
            let at = kept.log.append(record, accepted_ms)?;
            number.iter().for_each(|_| kept.log.hold(at));
            Ok(at)
        });
        match appended {
            Ok(at) => {
                self.undecided.extend(number.map(|number| (number, (queue, at))));
                self.group_bytes += bytes;
                self.group.push(Waiting { queue, bytes, points: record.points(), reply });
            }
            Err(error) => {
                self.shared.free(bytes);
                let error = self.failed("a record could not be written; nobody was told that it is stored", &error);
                let _ = reply.send(Err(AppendError::Disk(error)));
            }
        }
    }

    /// Of one that could not be written there is nothing to decide.
    fn decide(&mut self, number: u64, fate: Fate) {
        let Some((queue, at)) = self.undecided.remove(&number) else { return };
        let decided = self.log(queue).and_then(|kept| match fate {
            Fate::Kept => {
                kept.log.keep(at);
                Ok(())
            }
            Fate::Void => {
                kept.void_bytes += kept.log.void(at)?;
                Ok(())
            }
        });
        if let Err(error) = decided {
            self.failed(
                "a record that InfluxDB has refused could not be taken back, and will be refused again",
                &error,
            );
        }
        if fate == Fate::Void {
            self.publish();
        }
    }

    /// One sync for all that was appended since the last, and an answer to everybody who waits for it.
    fn commit(&mut self) {
        if self.group.is_empty() {
            return;
        }
        let queues: BTreeSet<Queue> = self.group.iter().map(|waiting| waiting.queue).collect();
        let mut done = Vec::with_capacity(queues.len());
        for queue in queues {
            self.shared.stats.syncs.add(1);
            let committed = self.log(queue).and_then(|kept| kept.log.commit());
            let said = committed.map_err(|error| {
                self.failed("records could not be synced; nobody was told that they are stored", &error)
            });
            done.push((queue, said));
        }
        if done.iter().all(|(_, said)| said.is_ok()) {
            self.sound();
        }
        // Whoever is answered finds it in the numbers.
        self.publish();
        for Waiting { queue, bytes, points, reply } in std::mem::take(&mut self.group) {
            let error = done.iter().find(|(of, _)| *of == queue).and_then(|(_, said)| said.clone().err());
            match &error {
                None => self.shared.stats.points_appended.add(u64::from(points)),
                Some(_) => self.shared.free(bytes),
            }
            let _ = reply.send(error.map_or(Ok(()), |error| Err(AppendError::Disk(error))));
        }
        self.group_bytes = 0;
    }

    fn read(&mut self, queue: Queue, bytes_max: usize) -> Result<Vec<log::Entry>, String> {
        let read = self.change(queue, |kept| kept.log.read(bytes_max));
        read.map_err(|error| self.failed("what waits could not be read", &error))
    }

    fn consume(&mut self, queue: Queue, to: Position, letters: &[DeadLetter]) -> Result<(), ConsumeError> {
        self.bury(letters)?;
        let consumed = self.change(queue, |kept| kept.log.consume(to));
        consumed.map_err(|error| {
            ConsumeError::Disk(self.failed("what was replayed could not be taken out; it is tried again", &error))
        })
    }

    fn finish(&mut self, queue: Queue) -> Result<Finished, String> {
        let finished = self.log(queue).and_then(|kept| {
            let empty = kept.log.finish()?;
            Ok(Finished { empty, lost: std::mem::take(&mut kept.lost) })
        });
        finished.map_err(|error| self.failed("that nothing is left could not be synced; it is tried again", &error))
    }

    fn keep_cursors(&mut self) {
        self.cursors_at = Instant::now();
        for kept in self.logs.values_mut().filter(|kept| kept.log.is_ahead()) {
            // It only spares reading things twice after a restart.
            let _ = kept.log.keep_cursor();
        }
    }

    /// Gives up segments that nothing is left of; with `all`, those too that something might still be appended to.
    fn sweep(&mut self, all: bool) -> Vec<PathBuf> {
        let (mut unneeded, mut failure) = (Vec::new(), None);
        if Instant::now() < self.sweep_at {
            return unneeded;
        }
        for kept in self.logs.values_mut() {
            match if all { kept.log.sweep_all() } else { kept.log.sweep() } {
                Ok(files) => unneeded.extend(files),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            self.sweep_at = Instant::now() + AGE_INTERVAL;
            self.failed("files that are not needed any more could not be given up; it is tried again", &error);
        }
        unneeded
    }

    /// To remove one takes milliseconds, for which nobody here shall wait.
    fn give_up(&self, unneeded: Vec<PathBuf>) {
        // Without the thread that removes them they stay until the next start.
        unneeded.into_iter().for_each(|path| drop(self.unneeded.send(path)));
    }

    /// A parked one is made if need be.
    fn log(&mut self, queue: Queue) -> io::Result<&mut Kept> {
        match self.logs.entry(queue) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let (log, _) =
                    Log::open(Folder::make(&self.folder.join(queue.folder()), &self.spares)?, self.segment_bytes_max)?;
                Ok(new.insert(Kept { log, lost: 0, void_bytes: 0 }))
            }
        }
    }

    /// Dead letters onto the disk.
    fn bury(&mut self, letters: &[DeadLetter]) -> Result<(), ConsumeError> {
        if letters.is_empty() {
            return Ok(());
        }
        let stats = self.shared.stats.clone();
        match dead::append(&self.folder, letters, self.dead_bytes_max) {
            Ok(bytes) => {
                stats.dead_bytes.set(bytes);
                stats.points_dead.add(letters.iter().map(|letter| u64::from(letter.record.points())).sum());
                if std::mem::take(&mut self.dead_full) {
                    tracing::info!(replica = self.shared.replica, "the file of dead letters has room again");
                }
                Ok(())
            }
            Err(dead::DeadError::Full) => {
                stats.dead_bytes.set(dead::bytes(&self.folder));
                let replica = self.shared.replica.clone();
                let path = self.folder.join(dead::DEAD_FILE);
                let full = ConsumeError::DeadFull { replica, path, bytes_max: self.dead_bytes_max };
                if !std::mem::replace(&mut self.dead_full, true) {
                    tracing::error!(replica = self.shared.replica, "{full}");
                }
                Err(full)
            }
            Err(dead::DeadError::Disk(error)) => {
                let what = format!("{} could not be written", self.folder.join(dead::DEAD_FILE).display());
                Err(ConsumeError::Disk(self.failed(&what, &error)))
            }
        }
    }

    /// Does something that may shrink a log; the numbers follow.
    fn change<T>(&mut self, queue: Queue, act: impl FnOnce(&mut Kept) -> io::Result<T>) -> io::Result<T> {
        let kept = self.log(queue)?;
        let before = kept.log.totals();
        let done = act(kept);
        let (after, lost) = (kept.log.totals(), kept.log.take_lost());
        kept.lost += lost;
        self.shared.free(before.bytes.saturating_sub(after.bytes));
        if lost > 0 {
            self.shared.stats.records_damaged.add(lost);
            tracing::error!(
                replica = self.shared.replica,
                "{lost} records in {} were damaged on the disk and are lost; check it",
                self.folder.join(queue.folder()).display()
            );
        }
        self.publish();
        done
    }

    /// What everybody may see.
    fn publish(&mut self) {
        let (mut all, mut parked, mut void_bytes) = (Totals::default(), Totals::default(), 0);
        for (queue, kept) in &mut self.logs {
            if kept.log.totals().records == 0 {
                kept.void_bytes = 0;
            }
            void_bytes += kept.void_bytes;
            all += kept.log.totals();
            if queue.is_parked() {
                parked += kept.log.totals();
            }
        }
        let stats = &self.shared.stats;
        stats.bytes.set(all.bytes);
        stats.records.set(all.records);
        stats.points.set(all.points);
        stats.parked_points.set(parked.points);
        stats.main_bytes.set(all.bytes.saturating_sub(parked.bytes));
        stats.void_bytes.set(void_bytes);
        stats.since_ms.set(self.since_ms());
    }

    fn since_ms(&self) -> u64 {
        self.logs.values().map(|kept| kept.log.oldest_ms()).fold(0, oldest)
    }

    /// Tells, once, that something has waited for too long, or that nothing has any more.
    fn watch_age(&mut self) {
        self.age_seen = Instant::now();
        let since_ms = self.since_ms();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let age = now.saturating_sub(Duration::from_millis(since_ms));
        let old = since_ms > 0 && age >= self.age_alert;
        if old == std::mem::replace(&mut self.old, old) {
            return;
        }
        let (replica, points) = (&self.shared.replica, self.shared.stats.points.get());
        let since = dead::rfc3339(since_ms);
        match old {
            true => tracing::warn!(
                replica,
                points,
                since,
                "points have waited for the replica for longer than spool.age_alert; bring it back, or see `slotline \
                 spool ls`"
            ),
            false => tracing::info!(replica, "nothing waits for the replica for longer than spool.age_alert any more"),
        }
    }

    /// Counts a failure of the disk, and tells of it unless the last thing was one too; in words.
    fn failed(&mut self, what: &str, error: &io::Error) -> String {
        self.shared.stats.failures.add(1);
        let remedy = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on the disk",
            _ => "check the disk",
        };
        let replica = &self.shared.replica;
        if !std::mem::replace(&mut self.ailing, true) {
            tracing::error!(replica, %error, "the replica's spool: {what}; {remedy}");
        }
        format!("spool of replica {replica}: {what}: {error}; {remedy}")
    }

    /// Something was written as it should be.
    fn sound(&mut self) {
        if std::mem::take(&mut self.ailing) {
            tracing::info!(replica = self.shared.replica, "the replica's spool can be written again");
        }
    }
}
