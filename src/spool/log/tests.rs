//! The log against a list in memory, on a disk that fails, fills up and crashes.

use super::super::disk::faulty::{Failing, Faulty};
use super::super::record::tests::points;
use super::*;

/// The random source of a test. The seed is printed, and `SLOTLINE_TEST_SEED` sets it.
fn random() -> fastrand::Rng {
    let seed = match std::env::var("SLOTLINE_TEST_SEED") {
        Ok(text) => text.parse().expect("SLOTLINE_TEST_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("SLOTLINE_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

const SEGMENT_BYTES_MAX: u64 = 400;

fn open(disk: &Faulty) -> Log<Faulty> {
    Log::open(disk.clone(), SEGMENT_BYTES_MAX).expect("the disk can be read").0
}

/// Numbered records, so that their order can be seen; now and then one that is longer than a segment.
fn numbered(number: u64) -> Record {
    points(&format!(
        "m v={number} {}\n",
        "x".repeat(if number.is_multiple_of(13) { 500 } else { number as usize % 50 })
    ))
}

/// What was appended as `numbered`, at that moment; void ones are told apart.
fn number(entry: &Entry) -> (u64, bool) {
    let is_void = entry.record == Record::Void;
    assert!(is_void || entry.record == numbered(entry.accepted_ms), "{entry:?}");
    (entry.accepted_ms, is_void)
}

fn all(log: &mut Log<Faulty>) -> Vec<u64> {
    let entries = log.read(usize::MAX).expect("the disk can be read");
    entries.iter().map(number).filter(|(_, is_void)| !is_void).map(|(number, _)| number).collect()
}

/// The same, with the void ones.
fn found(log: &mut Log<Faulty>) -> Vec<(u64, bool)> {
    log.read(usize::MAX).expect("the disk can be read").iter().map(number).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pending,
    Committed,
    /// The caller heard of an error: never seen again in this process, perhaps after a crash.
    Failed,
    Consumed,
    /// Consumed or failed before the log was seen empty: never seen again.
    Gone,
}

/// What must be true of a log: what became of every number, in the order of appending.
#[derive(Clone, Default)]
struct Model {
    fates: Vec<Fate>,
    /// Those of which it is open whether they belong there.
    held: BTreeSet<u64>,
    /// Those that do not: read as such, and after a crash perhaps as what they were, or not at all.
    void: BTreeSet<u64>,
}

impl Model {
    fn waiting(&self) -> Vec<u64> {
        let committed = |(number, fate): (usize, &Fate)| (*fate == Fate::Committed).then_some(number as u64);
        self.fates.iter().enumerate().filter_map(committed).collect()
    }

    /// What of it may be read.
    fn readable(&self) -> Vec<(u64, bool)> {
        let open = self.held.first().copied().unwrap_or(u64::MAX);
        let waiting = self.waiting().into_iter().take_while(|number| *number < open);
        waiting.map(|number| (number, self.void.contains(&number))).collect()
    }

    fn change(&mut self, from: Fate, to: Fate) {
        self.fates.iter_mut().filter(|fate| **fate == from).for_each(|fate| *fate = to);
    }

    /// Nothing is left, the log says.
    fn emptied(&mut self) {
        self.change(Fate::Consumed, Fate::Gone);
        self.change(Fate::Failed, Fate::Gone);
    }

    /// What a log says after a crash; from then on that is what is there.
    fn survives(&mut self, found: &[(u64, bool)], about: &str) {
        assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{about}: out of order: {found:?}");
        let first = found.first().map_or(u64::MAX, |first| first.0);
        let still_void = found.iter().filter(|found| found.1).map(|found| found.0).collect();
        let void = std::mem::replace(&mut self.void, still_void);
        assert!(self.void.is_subset(&void), "{about}: void: {:?}, not {void:?}", self.void);
        self.held.clear();
        for (number, fate) in self.fates.iter_mut().enumerate() {
            let number = number as u64;
            let there = found.binary_search_by_key(&number, |found| found.0).is_ok();
            match *fate {
                Fate::Committed | Fate::Consumed if void.contains(&number) => {}
                Fate::Committed => assert!(there, "{about}: {number} is lost: {found:?}"),
                Fate::Gone => assert!(!there, "{about}: {number} came back: {found:?}"),
                // With all that follows it.
                Fate::Consumed => assert_eq!(there, number >= first, "{about}: {number}: {found:?}"),
                Fate::Pending | Fate::Failed => {}
            }
            if void.contains(&number) && !there && *fate == Fate::Consumed {
                self.void.insert(number);
            }
            *fate = match (there, *fate) {
                (true, _) => Fate::Committed,
                (false, Fate::Consumed) => Fate::Consumed,
                (false, _) => Fate::Gone,
            };
        }
        assert!(found.iter().all(|(number, _)| *number < self.fates.len() as u64), "{about}: {found:?}");
    }
}

/// A log, its disk and what must be true of them, in one random story.
struct Story {
    random: fastrand::Rng,
    disk: Faulty,
    log: Log<Faulty>,
    model: Model,
    /// Where those lie of which it is open whether they belong there.
    held: Vec<(u64, Position)>,
    crashes: u64,
}

impl Story {
    fn new(mut random: fastrand::Rng) -> Story {
        let disk = Faulty::new(random.fork());
        disk.watch();
        let log = open(&disk);
        Story { random, disk, log, model: Model::default(), held: Vec::new(), crashes: 0 }
    }

    fn step(&mut self) {
        match self.random.u8(..100) {
            0..40 => self.append(),
            40..55 => self.commit(),
            55..65 => self.decide(),
            65..90 => self.take(),
            90..95 => self.trouble(),
            95..98 => self.crash(),
            _ => self.reopen(),
        }
        assert_eq!(self.log.totals().records, self.model.waiting().len() as u64);
    }

    fn append(&mut self) {
        let next = self.model.fates.len() as u64;
        let appended = self.log.append(&numbered(next), next);
        self.model.fates.push(if appended.is_ok() { Fate::Pending } else { Fate::Failed });
        if let (Ok(at), 0) = (appended, self.random.u8(..3)) {
            self.log.hold(at);
            self.held.push((next, at));
            self.model.held.insert(next);
        }
        self.look_at_a_crash();
    }

    fn commit(&mut self) {
        let committed = self.log.commit();
        self.look_at_crashes_at_syncs();
        self.model.change(Fate::Pending, if committed.is_ok() { Fate::Committed } else { Fate::Failed });
        let Model { fates, held, .. } = &mut self.model;
        held.retain(|number| fates[*number as usize] == Fate::Committed);
        self.look_at_a_crash();
    }

    /// One that was held, perhaps of a commit that has failed.
    fn decide(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let (number, at) = self.held.swap_remove(self.random.usize(..self.held.len()));
        self.model.held.remove(&number);
        if self.random.bool() {
            self.log.keep(at);
        } else {
            self.log.void(at).expect("it can be replaced");
            if matches!(self.model.fates[number as usize], Fate::Pending | Fate::Committed) {
                self.model.void.insert(number);
            }
        }
        self.look_at_a_crash();
    }

    fn take(&mut self) {
        self.commit();
        let entries = self.log.read(self.random.usize(..2000));
        self.look_at_crashes_at_syncs();
        let Ok(entries) = entries else { return };
        let readable = self.model.readable();
        let numbers: Vec<(u64, bool)> = entries.iter().map(number).collect();
        assert_eq!(numbers, readable[..numbers.len()]);
        assert_eq!(entries.is_empty(), readable.is_empty());
        assert_eq!(self.log.oldest_ms(), self.model.waiting().first().copied().unwrap_or(0));
        if entries.is_empty() {
            self.finish();
            return;
        }
        let taken = self.random.usize(..=entries.len());
        let Some(last) = entries[..taken].last() else { return };
        numbers[..taken].iter().for_each(|(number, _)| self.model.fates[*number as usize] = Fate::Consumed);
        self.log.consume(last.end).expect("it was read");
        assert_eq!(self.log.oldest_ms(), self.model.waiting().first().copied().unwrap_or(0));
        self.look_at_a_crash();
        if self.random.bool() {
            let _ = self.log.keep_cursor();
        }
        match self.random.u8(..4) {
            0 => self.finish(),
            1 => self.remove(Log::sweep),
            2 => self.remove(Log::sweep_all),
            _ => {}
        }
        self.look_at_crashes_at_syncs();
        self.look_at_a_crash();
    }

    /// Some of what is given up is removed, in any order.
    fn remove(&mut self, sweep: fn(&mut Log<Faulty>) -> io::Result<Vec<PathBuf>>) {
        let mut unneeded = sweep(&mut self.log).unwrap_or_default();
        self.random.shuffle(&mut unneeded);
        unneeded.truncate(self.random.usize(..=unneeded.len()));
        unneeded.iter().for_each(|path| drop(self.disk.remove(path.to_str().expect("it is a name"))));
    }

    fn finish(&mut self) {
        let finished = self.log.finish();
        self.look_at_crashes_at_syncs();
        let Ok(finished) = finished else { return };
        assert_eq!(finished, self.model.waiting().is_empty());
        if finished {
            self.model.emptied();
        }
        self.look_at_a_crash();
    }

    fn trouble(&mut self) {
        let mut any = || self.random.u8(..4) == 0;
        let (sync, sync_names, truncate, create, remove) = (any(), any(), any(), any(), any());
        self.disk.fail(Failing { sync, sync_names, truncate, create, remove, replace: false });
        let room = self.random.usize(..2000);
        self.disk.room((self.random.u8(..4) == 0).then_some(room));
        if self.random.bool() {
            self.disk.fail(Failing::default());
            self.disk.room(None);
        }
    }

    /// What the disk would hold if the machine stopped now; the story goes on.
    fn look_at_a_crash(&mut self) {
        self.holds_on(&self.disk.crashed(), "a crash");
        self.crashes += 1;
    }

    /// The same at each sync since the last time.
    fn look_at_crashes_at_syncs(&mut self) {
        for disk in self.disk.watched() {
            self.holds_on(&disk, "a crash at a sync");
            self.crashes += 1;
        }
    }

    fn holds_on(&self, disk: &Faulty, about: &str) {
        self.model.clone().survives(&found(&mut open(disk)), about);
    }

    /// The machine stops, and the story goes on with what is left.
    fn crash(&mut self) {
        self.disk = self.disk.crashed();
        self.disk.watch();
        self.start("a restart after a crash");
    }

    /// The process is killed: the files stay as they are.
    fn reopen(&mut self) {
        self.disk.fail(Failing::default());
        self.disk.room(None);
        self.start("a restart");
    }

    fn start(&mut self, about: &str) {
        self.log = open(&self.disk);
        self.look_at_crashes_at_syncs();
        self.held.clear();
        self.model.survives(&found(&mut self.log), about);
    }
}

#[test]
fn no_promise_is_broken_whatever_the_disk_does() {
    let mut random = random();
    let mut crashes = 0;
    for _ in 0..150 {
        let mut story = Story::new(random.fork());
        (0..150).for_each(|_| story.step());
        story.crash();
        crashes += story.crashes;
    }
    assert!(crashes > 10_000);
}

fn append_all(log: &mut Log<Faulty>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        log.append(&numbered(number), number).expect("there is room");
    }
    log.commit().expect("the disk is sound");
}

fn remove(disk: &Faulty, unneeded: io::Result<Vec<PathBuf>>) {
    for path in unneeded.expect("the disk is sound") {
        disk.remove(path.to_str().expect("it is a name")).expect("it is there");
    }
}

fn segments(disk: &Faulty) -> Vec<String> {
    let mut names = disk.list().expect("it is there");
    names.retain(|name| name != CURSOR_FILE && name != FLOOR_FILE);
    names
}

#[test]
fn segments_end_and_ids_only_rise() {
    let disk = Faulty::new(fastrand::Rng::with_seed(1));
    let mut log = open(&disk);
    (1..13).for_each(|number| append_all(&mut log, number..number + 1));
    let names = segments(&disk);
    assert!(names.len() > 2, "{names:?}");
    let entries = log.read(usize::MAX).expect("it can be read");
    assert_eq!(entries.iter().map(|entry| entry.bytes).sum::<u64>(), log.totals().bytes);
    log.consume(entries[10].end).expect("it was read");
    remove(&disk, log.sweep());
    assert_eq!((segments(&disk).len(), log.totals().records, log.oldest_ms()), (1, 1, 12));
    log.consume(entries[11].end).expect("it was read");
    log.consume(entries[11].end).expect("twice does no harm");
    assert_eq!((segments(&disk).len(), log.totals(), log.oldest_ms()), (1, Totals::default(), 0));
    remove(&disk, log.sweep_all());
    assert_eq!(segments(&disk), [""; 0]);
    let mut log = open(&disk);
    append_all(&mut log, 0..1);
    assert!(segments(&disk)[0] > names[names.len() - 1]);
}

#[test]
fn nothing_behind_an_open_fate_is_read() {
    let disk = Faulty::new(fastrand::Rng::with_seed(1));
    let mut log = open(&disk);
    append_all(&mut log, 1..3);
    let held: Vec<Position> =
        (3..6).map(|number| log.append(&numbered(number), number).expect("there is room")).collect();
    held.iter().for_each(|at| log.hold(*at));
    log.commit().expect("the disk is sound");
    append_all(&mut log, 6..20);
    assert_eq!((all(&mut log), log.totals().records, log.take_lost()), (vec![1, 2], 19, 0));
    log.keep(held[1]);
    assert_eq!(all(&mut log), [1, 2]);
    log.void(held[0]).expect("it can be replaced");
    assert_eq!((found(&mut log)[2..].to_vec(), log.totals().points), (vec![(3, true), (4, false)], 18));
    let end = log.read(usize::MAX).expect("it can be read")[3].end;
    log.consume(end).expect("it was read");
    assert!(all(&mut log).is_empty() && !log.finish().expect("nothing is asked of the disk"));
    disk.fail(Failing { replace: true, ..Failing::default() });
    log.void(held[2]).expect_err("it is torn");
    assert_eq!((all(&mut log), log.take_lost()), ((6..20).collect(), 1));
}

#[test]
fn what_fits_is_read_and_at_least_one() {
    let disk = Faulty::new(fastrand::Rng::with_seed(1));
    let mut log = open(&disk);
    append_all(&mut log, 13..20);
    let count = |log: &mut Log<Faulty>, bytes_max| log.read(bytes_max).expect("it can be read").len();
    let first = numbered(13).bytes() as usize;
    assert_eq!([0, first, first + numbered(14).bytes() as usize].map(|bytes| count(&mut log, bytes)), [1, 1, 2]);
    let beyond = Position { segment: 99, offset: 0 };
    assert!(log.consume(beyond).is_err());
    assert_eq!(count(&mut log, usize::MAX), 7);
}

/// A byte of the segment's own header costs nothing, one of a record's costs the record.
#[test]
fn a_flipped_byte_anywhere_costs_at_most_its_record() {
    let disk = Faulty::new(fastrand::Rng::with_seed(1));
    append_all(&mut open(&disk), 1..4);
    let name = segments(&disk)[0].clone();
    for at in 0..disk.content(&name).len() {
        let disk = disk.crashed();
        disk.flip(&name, at);
        let (mut log, found) = Log::open(disk, SEGMENT_BYTES_MAX).expect("it can be read");
        assert_eq!(found.damage.len(), 1, "{at}: {found:?}");
        let left = if at < SEGMENT_HEADER_BYTES { 3 } else { 2 };
        assert_eq!((all(&mut log).len(), log.totals().records, log.take_lost()), (left, left as u64, 0), "{at}");
    }
}

#[test]
fn what_is_damaged_later_is_lost_and_told() {
    let disk = Faulty::new(fastrand::Rng::with_seed(1));
    let mut log = open(&disk);
    append_all(&mut log, 1..4);
    let second = SEGMENT_HEADER_BYTES + numbered(1).bytes() as usize;
    disk.flip(&segments(&disk)[0], second + 50);
    assert_eq!((all(&mut log), log.totals().records, log.take_lost()), (vec![1, 3], 2, 1));
}

#[test]
fn another_version_is_left_alone() {
    let disk = Faulty::new(fastrand::Rng::with_seed(1));
    let name = SegmentName { id: 5, marker: Marker([1; 8]) };
    let mut header = name.header();
    header[8] = 2;
    let crc = crc32fast::hash(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    let mut file = disk.create(&name.to_string()).expect("there is none");
    disk.append(&mut file, &[&header, b"who knows"]).expect("there is room");
    let (mut log, found) = Log::open(disk.clone(), SEGMENT_BYTES_MAX).expect("it can be read");
    assert_eq!((found.foreign, found.damage), (vec![(name.to_string(), 2)], vec![]));
    append_all(&mut log, 1..2);
    let entries = log.read(1).expect("it can be read");
    log.consume(entries[0].end).expect("it was read");
    remove(&disk, log.sweep_all());
    assert_eq!(segments(&disk), [name.to_string()]);
}

#[test]
fn a_full_disk_costs_the_records_that_do_not_fit() {
    let disk = Faulty::new(fastrand::Rng::with_seed(1));
    let mut log = open(&disk);
    append_all(&mut log, 1..2);
    log.append(&numbered(2), 2).expect("there is room");
    disk.room(Some(30));
    let error = log.append(&numbered(3), 3).expect_err("there is no room");
    assert!(error.to_string().contains(".seg: "), "{error}");
    disk.room(None);
    log.append(&numbered(4), 4).expect("there is room again");
    log.commit().expect("the disk is sound");
    assert_eq!(all(&mut log), [1, 2, 4]);
    assert_eq!(all(&mut open(&disk)), [1, 2, 4]);
}

#[test]
fn nothing_is_appended_behind_a_failed_sync() {
    let disk = Faulty::new(fastrand::Rng::with_seed(1));
    let mut log = open(&disk);
    append_all(&mut log, 1..2);
    disk.fail(Failing { sync: true, ..Failing::default() });
    log.append(&numbered(2), 2).expect("there is room");
    log.commit().expect_err("the sync fails");
    disk.fail(Failing::default());
    append_all(&mut log, 3..4);
    assert_eq!((all(&mut log), segments(&disk).len()), (vec![1, 3], 2));
}

/// What was refused must not be found again behind values that have passed the empty log: a file that is given up may stay
/// until the next start.
#[test]
fn what_a_failed_commit_has_left_is_given_up_with_its_segment() {
    for newer in [3..3, 3..5] {
        let disk = Faulty::new(fastrand::Rng::with_seed(1));
        let mut log = open(&disk);
        append_all(&mut log, 1..2);
        disk.fail(Failing { sync: true, truncate: true, ..Failing::default() });
        log.append(&numbered(2), 2).expect("there is room");
        log.commit().expect_err("the sync fails");
        disk.fail(Failing::default());
        let entries = log.read(usize::MAX).expect("it can be read");
        assert_eq!(entries.iter().map(number).collect::<Vec<_>>(), [(1, false)]);
        log.consume(entries[0].end).expect("it was read");
        append_all(&mut log, newer.clone());
        assert_eq!(log.sweep().expect("the disk is sound").len(), 1);
        assert_eq!(log.finish().expect("the disk is sound"), newer.is_empty());
        let newer: Vec<u64> = newer.collect();
        assert_eq!(all(&mut open(&disk.crashed())), newer);
        assert_eq!(all(&mut open(&disk)), newer);
    }
}

#[test]
fn a_full_disk_can_be_emptied() {
    let disk = Faulty::new(fastrand::Rng::with_seed(1));
    let mut log = open(&disk);
    (1..12).for_each(|number| append_all(&mut log, number..number + 1));
    disk.room(Some(10));
    let end = log.read(usize::MAX).expect("it can be read")[10].end;
    log.consume(end).expect("it was read");
    assert!(segments(&disk).len() > 1);
    assert!(log.finish().expect("removing needs no room"));
    assert_eq!(segments(&disk), [""; 0]);
    assert_eq!(all(&mut open(&disk.crashed())), [0; 0]);
}

/// Newer values may pass it only when older ones cannot come back.
#[test]
fn a_log_that_cannot_be_emptied_says_so() {
    let disk = Faulty::new(fastrand::Rng::with_seed(1));
    let mut log = open(&disk);
    append_all(&mut log, 1..3);
    let end = log.read(usize::MAX).expect("it can be read")[1].end;
    assert!(!log.finish().expect("nothing is asked of the disk"), "it is not empty");
    log.consume(end).expect("it was read");
    for failing in [Failing { sync_names: true, ..Failing::default() }, Failing { sync: true, ..Failing::default() }] {
        disk.fail(failing);
        log.finish().expect_err("it is not empty for good");
    }
    disk.fail(Failing::default());
    assert!(log.finish().expect("the disk is sound again"));
    assert_eq!(all(&mut open(&disk.crashed())), [0; 0]);
}
