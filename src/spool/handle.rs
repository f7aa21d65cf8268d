//! A replica's spool as the whole process sees it: `Spool`, which any thread may use and which never blocks, and `Spools`,
//! all of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_channel::oneshot;

use crate::config;
use crate::stats::SpoolStats;

use super::disk::{Folder, make_folder};
use super::log::{Entry, Log};
use super::look::{self, folder};
use super::record::{Depth, Record};
use super::recover::{Position, Recovered, recover};
use super::spare::Spares;
use super::worker::{Command, Fate, Worker};
use super::{AppendError, ConsumeError, DeadLetter, Finished, Queue, dead};

const LOCK_FILE: &str = "lock";

/// All spools of a `data_dir`.
pub struct Spools {
    dir: PathBuf,
    settings: config::Spool,
    /// By name; changed under `opening`, which is held while the disk is read.
    open: ArcSwap<BTreeMap<String, Arc<Spool>>>,
    opening: Mutex<()>,
    /// Files that are needed no more.
    unneeded: Sender<PathBuf>,
}

/// What waits for a replica that is not in use here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    pub name: String,
    pub records: u64,
    pub points: u64,
    pub bytes: u64,
    /// When the oldest was accepted, in milliseconds since 1970; 0: nothing waits.
    pub since_ms: u64,
}

impl Spools {
    /// Those that lie, or will lie, in `dir`, which is made if need be; none of them is opened or locked.
    pub fn open(dir: &Path, settings: config::Spool) -> io::Result<Arc<Spools>> {
        make_folder(dir).map_err(|error| in_words(dir, &error))?;
        let (open, opening, unneeded) = (ArcSwap::default(), Mutex::default(), start_remover()?);
        Ok(Arc::new(Spools { dir: dir.to_owned(), settings, open, opening, unneeded }))
    }

    /// The replica's spool, opened and locked at the first call: all that waits is read once, and damage is told to the
    /// log. Blocks; never called on a shard.
    pub fn of(&self, replica: &str) -> io::Result<Arc<Spool>> {
        let _opening = self.opening();
        let open = self.open.load();
        if let Some(spool) = open.get(replica) {
            return Ok(spool.clone());
        }
        let spool = Arc::new(Spool::open(&self.dir, replica, &self.settings, self.unneeded.clone())?);
        let mut changed = BTreeMap::clone(&open);
        changed.insert(replica.to_owned(), spool.clone());
        self.open.store(Arc::new(changed));
        Ok(spool)
    }

    /// Those that are open, sorted by name.
    pub fn all(&self) -> Vec<Arc<Spool>> {
        self.open.load().values().cloned().collect()
    }

    /// What waits in spools that are not open, for replicas that `known` does not name, sorted by name. Blocks; empty
    /// spools are left out, and those that cannot be read are told to the log.
    pub fn strangers(&self, known: &HashSet<String>) -> io::Result<Vec<Stranger>> {
        let open = self.open.load();
        let mut strangers = Vec::new();
        for name in look::names(&self.dir)? {
            if known.contains(&name) || open.contains_key(&name) {
                continue;
            }
            match look::summary(&self.dir, &name) {
                Err(error) => tracing::error!(replica = name, %error, "what waits for the replica cannot be read"),
                Ok(summary) => {
                    let (main, parked) = (summary.main, summary.parked);
                    let [records, points, bytes] =
                        [main.records + parked.records, main.points + parked.points, main.bytes + parked.bytes];
                    strangers.push(Stranger { name, records, points, bytes, since_ms: summary.since_ms });
                }
            }
        }
        strangers.retain(|stranger| stranger.records > 0);
        Ok(strangers)
    }

    /// Closes a spool, if it is open: what was appended before is on the disk then, its lock is free, and whoever still
    /// holds it hears errors. Blocks.
    pub fn release(&self, replica: &str) {
        let _opening = self.opening();
        let mut open = BTreeMap::clone(&self.open.load());
        let Some(spool) = open.remove(replica) else { return };
        self.open.store(Arc::new(open));
        spool.close();
    }

    fn opening(&self) -> MutexGuard<'_, ()> {
        // It guards no data that a panic could have left half changed.
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread that removes files for all spools, so that nobody who waits for a sync waits for that. It ends with
/// the last of them; what it has not removed then is found at the next start.
fn start_remover() -> io::Result<Sender<PathBuf>> {
    let (files, unneeded) = channel::<PathBuf>();
    let remove = move || {
        for path in unneeded {
            shrink(&path);
            remove(&path);
        }
    };
    std::thread::Builder::new().name("spool files".to_owned()).spawn(remove)?;
    Ok(files)
}

/// How much of a file goes at once, and the pause behind that.
const SHRINK_BYTES: u64 = 1 << 20;
const SHRINK_PAUSE: Duration = Duration::from_millis(2);

/// Step by step: a long file that goes all at once keeps whoever syncs another one waiting for milliseconds.
fn shrink(path: &Path) {
    let Ok(file) = OpenOptions::new().write(true).open(path) else { return };
    let mut left = file.metadata().map_or(0, |metadata| metadata.len());
    while left > 0 {
        left = left.saturating_sub(SHRINK_BYTES);
        if file.set_len(left).is_err() {
            return;
        }
        std::thread::sleep(SHRINK_PAUSE);
    }
}

/// A file that is needed no more.
pub fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let path = path.display();
            tracing::warn!(%path, %error, "the file is not needed any more and could not be removed");
        }
        _ => {}
    }
}

/// What a spool's thread and its users share.
pub struct Shared {
    pub replica: String,
    pub stats: Arc<SpoolStats>,
    pub bytes_max: u64,
    /// On disk, and on the way there.
    reserved: AtomicU64,
    level: AtomicU8,
}

/// Of `spool.bytes_max` this part may hold what was taken back.
const VOID_SHARE: u64 = 16;

const LEVEL_FINE: u8 = 0;
const LEVEL_HIGH: u8 = 1;
const LEVEL_FULL: u8 = 2;

/// What a full spool says, to clients and in the log.
const FULL_REMEDY: &str = "bring the replica back, raise spool.bytes_max, or see `slotline spool move` and `drop`";

impl Shared {
    fn reserve(&self, bytes: u64, exempt: bool) -> bool {
        let more = |reserved: u64| {
            let sum = reserved.saturating_add(bytes);
            (exempt || sum <= self.bytes_max).then_some(sum)
        };
        self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub fn free(&self, bytes: u64) {
        let less = |reserved: u64| Some(reserved.saturating_sub(bytes));
        let _ = self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// A record was refused.
    fn refused(&self) {
        self.stats.refused_full.add(1);
        if self.level.swap(LEVEL_FULL, Ordering::Relaxed) != LEVEL_FULL {
            let (replica, bytes_max) = (&self.replica, self.bytes_max);
            tracing::error!(replica, bytes_max, "the replica's spool is full: clients hear 503; {FULL_REMEDY}");
        }
    }

    /// Tells, once, that the spool is nearly full, or that there is room again.
    pub fn watch_level(&self) {
        let bytes = self.reserved.load(Ordering::Relaxed);
        let share = |percent: u64| self.bytes_max / 100 * percent;
        let (replica, bytes_max) = (&self.replica, self.bytes_max);
        let change = |from, to| self.level.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if bytes >= share(80) && change(LEVEL_FINE, LEVEL_HIGH) {
            tracing::warn!(replica, bytes, bytes_max, "the replica's spool is more than 80 % full; {FULL_REMEDY}");
        }
        if bytes < share(70) && self.level.swap(LEVEL_FINE, Ordering::Relaxed) != LEVEL_FINE {
            tracing::info!(replica, bytes, bytes_max, "the replica's spool has room again");
        }
    }
}

/// What was parked when a spool was opened, of the databases of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedFound {
    /// Of its queue.
    pub key: u32,
    pub records: u64,
    pub databases: BTreeSet<String>,
    /// With their databases.
    pub statements: Vec<(String, String)>,
}

/// What becomes of an append.
pub type Appended = oneshot::Receiver<Result<(), AppendError>>;

/// One replica's spool. Every method returns at once; what it returns becomes ready when the spool's thread has done it,
/// or is cancelled if that thread panics.
pub struct Spool {
    shared: Arc<Shared>,
    recovered: u64,
    parked: Vec<ParkedFound>,
    commands: Sender<Command>,
    /// Of the next record whose fate is open.
    next_number: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A record that lies in a log, or will in a moment, and of which nothing is read, nor of what follows it, as long as it is
/// not known whether it belongs there. Dropped, it does.
pub struct Undecided {
    number: u64,
    fate: Fate,
    commands: Sender<Command>,
}

impl Undecided {
    /// It does not belong there. After a crash it may be there all the same.
    pub fn void(mut self) {
        self.fate = Fate::Void;
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        let Undecided { number, fate, .. } = *self;
        // A thread that has ended reads nothing either.
        let _ = self.commands.send(Command::Decide { number, fate });
    }
}

impl Spool {
    fn open(dir: &Path, replica: &str, settings: &config::Spool, unneeded: Sender<PathBuf>) -> io::Result<Spool> {
        let folder = folder(dir, replica)?;
        make_folder(&folder).map_err(|error| in_words(&folder, &error))?;
        let lock = lock(&folder, replica)?;
        let (stats, spares) = (Arc::new(SpoolStats::default()), Spares::default());
        let open = |queue: Queue| {
            let path = folder.join(queue.folder());
            let disk = Folder::make(&path, &spares).map_err(|error| in_words(&path, &error))?;
            let (log, found) = Log::open(disk, settings.segment_bytes_max.0 as u64)?;
            tell(replica, &path, &found, &stats);
            io::Result::Ok((queue, log))
        };
        let queues = look::queues(&folder)?;
        let logs: BTreeMap<Queue, Log<Folder>> = queues.into_iter().map(open).collect::<io::Result<_>>()?;
        let mut parked = Vec::new();
        for (queue, log) in &logs {
            if let (Queue::Parked(key), 1..) = (*queue, log.totals().records) {
                parked.push(found_parked(key, &folder.join(queue.folder()))?);
            }
        }
        let recovered = logs[&Queue::Main].totals().records;
        let bytes = logs.values().map(|log| log.totals().bytes).sum();
        let shared = Arc::new(Shared {
            replica: replica.to_owned(),
            stats,
            bytes_max: settings.bytes_max.0 as u64,
            reserved: AtomicU64::new(bytes),
            level: AtomicU8::new(LEVEL_FINE),
        });
        shared.stats.dead_bytes.set(dead::bytes(&folder));
        let (commands, waiting) = channel();
        let mut worker = Worker::new(shared.clone(), logs, folder, spares, settings, lock, unneeded);
        let name = replica.to_owned();
        let thread = std::thread::Builder::new().name(format!("spool {replica}")).spawn(move || {
            // Dropping the receiver tells all who wait.
            if catch_unwind(AssertUnwindSafe(|| worker.run(&waiting))).is_err() {
                tracing::error!(
                    replica = name,
                    "the replica's spool has panicked and takes nothing more; restart slotline"
                );
            }
        })?;
        let (next_number, thread) = (AtomicU64::new(0), Mutex::new(Some(thread)));
        Ok(Spool { shared, recovered, parked, commands, next_number, thread })
    }

    /// The replica's.
    pub fn name(&self) -> &str {
        &self.shared.replica
    }

    pub fn stats(&self) -> &Arc<SpoolStats> {
        &self.shared.stats
    }

    /// Records that the main log held when it was opened.
    pub fn recovered(&self) -> u64 {
        self.recovered
    }

    /// What was parked when it was opened.
    pub fn parked(&self) -> &[ParkedFound] {
        &self.parked
    }

    /// All logs that it had when it was opened, in the order in which they are to be emptied.
    pub fn queues(&self) -> Vec<Queue> {
        let parked = self.parked.iter().map(|found| Queue::Parked(found.key));
        parked.chain([Queue::Main]).collect()
    }

    /// `Ok` once the record is synced; many callers share a sync. Refused at once if `spool.bytes_max` would be exceeded.
    pub fn append(&self, queue: Queue, record: Record, accepted_ms: u64) -> Appended {
        self.append_limited(queue, record, accepted_ms, None)
    }

    /// Whether something that may not belong there should lie in a log early: not when replay is about to reach its end, which
    /// it would never see, and not when much room has gone to what was taken back.
    pub fn takes_undecided(&self, queue: Queue) -> bool {
        let SpoolStats { ends, void_bytes, .. } = &*self.shared.stats;
        queue == Queue::Main && ends.get() == 0 && void_bytes.get() <= self.shared.bytes_max / VOID_SHARE
    }

    /// The same for what may turn out not to belong there.
    pub fn append_undecided(&self, queue: Queue, record: Record, accepted_ms: u64) -> (Appended, Undecided) {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let appended = self.append_limited(queue, record, accepted_ms, Some(number));
        (appended, Undecided { number, fate: Fate::Kept, commands: self.commands.clone() })
    }

    fn append_limited(&self, queue: Queue, record: Record, accepted_ms: u64, number: Option<u64>) -> Appended {
        if !self.shared.reserve(record.bytes(), false) {
            let (reply, answer) = oneshot::channel();
            self.shared.refused();
            let (replica, bytes_max) = (self.shared.replica.clone(), self.shared.bytes_max);
            // The receiver is in our hands.
            let _ = reply.send(Err(AppendError::Full { replica, bytes_max }));
            return answer;
        }
        self.append_reserved(queue, record, accepted_ms, number)
    }

    /// The same for what comes out of another log of this spool: never refused for want of room.
    pub fn append_moved(&self, queue: Queue, record: Record, accepted_ms: u64) -> Appended {
        self.shared.reserve(record.bytes(), true);
        self.append_reserved(queue, record, accepted_ms, None)
    }

    fn append_reserved(&self, queue: Queue, record: Record, accepted_ms: u64, number: Option<u64>) -> Appended {
        let (reply, answer) = oneshot::channel();
        self.order(Command::Append { queue, record, accepted_ms, number, reply });
        answer
    }

    /// From the first record on that is not consumed: as many as fit into `bytes_max`, at least one; none if nothing is
    /// left.
    pub fn read(&self, queue: Queue, bytes_max: usize) -> oneshot::Receiver<Result<Vec<Entry>, String>> {
        let (reply, answer) = oneshot::channel();
        self.order(Command::Read { queue, bytes_max, reply });
        answer
    }

    /// Takes what the last `read` of this queue found, up to the `end` of one of its entries. The dead letters among it are
    /// on the disk before. After a crash some of it may be there again, with all that follows it, until `finish`. After an
    /// error it may be called again with the same.
    pub fn consume(
        &self,
        queue: Queue,
        to: Position,
        dead: Vec<DeadLetter>,
    ) -> oneshot::Receiver<Result<(), ConsumeError>> {
        let (reply, answer) = oneshot::channel();
        self.order(Command::Consume { queue, to, dead, reply });
        answer
    }

    /// Whether nothing is left of a log; if so nothing older than what is appended from now on ever comes back, also after
    /// a crash.
    pub fn finish(&self, queue: Queue) -> oneshot::Receiver<Result<Finished, String>> {
        let (reply, answer) = oneshot::channel();
        self.order(Command::Finish { queue, reply });
        answer
    }

    fn order(&self, command: Command) {
        // A command that nobody takes is dropped with its reply: the caller sees that.
        if let Err(refused) = self.commands.send(command) {
            refused.0.refuse(&self.shared.replica);
        }
    }

    #[cfg(test)]
    pub fn panic(&self) {
        self.order(Command::Panic);
    }

    fn close(&self) {
        let _ = self.commands.send(Command::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic was told.
        thread.map(JoinHandle::join);
    }
}

fn in_words(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// What a parked log holds.
fn found_parked(key: u32, path: &Path) -> io::Result<ParkedFound> {
    let mut found = ParkedFound { key, records: 0, databases: BTreeSet::new(), statements: Vec::new() };
    recover(&Folder::at(path), Depth::Whole, &mut |_, record| {
        found.records += 1;
        match record {
            Some(Record::Points { db, .. }) => drop(found.databases.insert(db)),
            Some(Record::Statement { db, text, .. }) => found.statements.push((db, text)),
            Some(Record::Void) | None => {}
        }
        true
    })?;
    Ok(found)
}

/// Held as long as the file is open.
fn lock(folder: &Path, replica: &str) -> io::Result<File> {
    let path = folder.join(LOCK_FILE);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|error| in_words(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let text = format!(
                "the spool of replica {replica} is in use by a running slotline ({} is locked); stop that one first, or \
                 take the replica out of its topology and restart it",
                path.display()
            );
            Err(io::Error::new(io::ErrorKind::ResourceBusy, text))
        }
        Err(TryLockError::Error(error)) => Err(in_words(&path, &error)),
    }
}

/// What was found that should not be.
fn tell(replica: &str, path: &Path, found: &Recovered, stats: &SpoolStats) {
    let sound = found.totals.records;
    for damage in &found.damage {
        let (file, offset, bytes) = (path.join(&damage.segment), damage.offset, damage.bytes);
        let place = format!("{}:{offset}", file.display());
        if damage.tail {
            tracing::warn!(
                replica,
                "{bytes} bytes at {place}, the end of the spool, are no whole record, as a write leaves them that was cut \
                 short before anybody was told of it; {sound} records of this spool are sound"
            );
            continue;
        }
        stats.records_damaged.add(1);
        tracing::error!(
            replica,
            "{bytes} bytes at {place} could not be read and are lost; {sound} records of this spool are sound; check the \
             disk"
        );
    }
    for (name, version) in &found.foreign {
        let file = path.join(name);
        tracing::error!(
            replica,
            "{} has format version {version}, which this slotline does not know: it is left alone; run the slotline that \
             wrote it until the spool is empty",
            file.display()
        );
    }
}
