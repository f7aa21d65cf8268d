//! One durable queue of records: a row of segments in a folder. Synchronous; owned by one thread, the spool's.
//!
//! What it promises, whatever the disk does:
//!
//! - a record for which `commit` said `Ok` is read, in its place, until it is consumed, also after a crash;
//! - one for which `append` or `commit` failed is never read by this process. After a crash it may be there, in its place,
//!   until its segment is given up or `finish` says that nothing is left: then it is gone for good;
//! - what was consumed may come back after a crash, but only together with all that follows it, so that reading it again
//!   ends at the newest values;
//! - once `finish` says that nothing is left, nothing of it ever comes back: newer values may pass the log;
//! - of one whose fate is open (`hold`) nothing is read, nor of what lies behind it, until it is kept or void. A void one
//!   is read as such; after a crash it may be there again, as one that was kept.
//!
//! Two places are kept: the cursor, which is never synced and spares reading things twice after a restart (`keep_cursor`), and the floor,
//! which is synced and is raised before a segment is given up and when the log is finished. An append goes to the newest
//! segment of this process alone, so that nothing is ever written behind a torn end.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;

use super::disk::Disk;
use super::record::{
    Depth, Header, Marker, Piece, RECORD_HEADER_BYTES, Record, SEGMENT_HEADER_BYTES, SegmentName, Walk,
};
use super::recover::{CHUNK_BYTES, CURSOR_FILE, Cursor, FLOOR_FILE, Found, Position, Recovered, Totals, recover};

/// A record that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub record: Record,
    /// `consume` up to here takes this one and all before it.
    pub end: Position,
    /// On disk.
    pub bytes: u64,
    /// Wall clock, in milliseconds since 1970.
    pub accepted_ms: u64,
}

pub struct Log<D: Disk> {
    disk: D,
    segment_bytes_max: u64,
    /// Of rising ids, oldest first; only the last is appended to, unless it is `sealed`.
    segments: VecDeque<Segment<D::File>>,
    /// Everything before it is consumed.
    at: Position,
    /// Committed and not consumed.
    totals: Totals,
    /// Appended to the last segment and not committed.
    pending: Totals,
    /// When the first record was accepted, if `totals` are not 0; when the first pending one was.
    oldest_ms: u64,
    pending_oldest_ms: u64,
    /// What the last `read` found, without what was consumed since.
    handed: VecDeque<Handed>,
    /// Where records begin whose fate is open.
    held: BTreeSet<Position>,
    next_id: u64,
    /// Records that were counted and cannot be read any more, since that was asked for.
    lost: u64,
    /// Nothing before it ever comes back, also after a crash; `floor <= at`.
    floor: Position,
    /// What the cursor says; `cursor <= at`.
    cursor: Position,
}

struct Segment<F> {
    name: SegmentName,
    file: Option<F>,
    /// Nothing is read from here on; `committed <= written`.
    committed: u64,
    written: u64,
    /// Its name is on the disk.
    named: bool,
    /// Nothing more is appended.
    sealed: bool,
}

struct Handed {
    end: Position,
    totals: Totals,
    accepted_ms: u64,
}

fn failed<D: Disk>(disk: &D, name: SegmentName, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", disk.path(&name.to_string()).display()))
}

/// A segment's file, opened if need be.
fn opened<'a, D: Disk>(disk: &D, segment: &'a mut Segment<D::File>) -> io::Result<&'a D::File> {
    let file = match segment.file.take() {
        Some(file) => file,
        None => disk.open(&segment.name.to_string()).map_err(|error| failed(disk, segment.name, error))?,
    };
    Ok(segment.file.insert(file))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl<D: Disk> Log<D> {
    /// Reads all that is there. What was consumed is removed; damage and what else was found is told.
    pub fn open(disk: D, segment_bytes_max: u64) -> io::Result<(Log<D>, Recovered)> {
        let found = recover(&disk, Depth::Whole, &mut |_, _| true)?;
        // A process that was killed has left things that nobody was promised; from now on they are there for good too.
        for Found { name, .. } in &found.segments {
            let synced = disk.open(&name.to_string()).and_then(|file| disk.sync(&file));
            synced.map_err(|error| failed(&disk, *name, error))?;
        }
        let segment = |Found { name, bytes }: &Found| Segment {
            name: *name,
            file: None,
            committed: *bytes,
            written: *bytes,
            named: true,
            sealed: true,
        };
        // So has it left its floor.
        if found.floor > Position::default() {
            let synced = disk.open(FLOOR_FILE).and_then(|file| disk.sync(&file)).and_then(|()| disk.sync_names());
            synced.map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", disk.path(FLOOR_FILE).display()))
            })?;
        }
        let mut log = Log {
            disk,
            segment_bytes_max,
            segments: found.segments.iter().map(segment).collect(),
            at: found.at,
            totals: found.totals,
            pending: Totals::default(),
            oldest_ms: found.oldest_ms,
            pending_oldest_ms: 0,
            handed: VecDeque::new(),
            held: BTreeSet::new(),
            next_id: found.next_id,
            lost: 0,
            floor: found.floor,
            cursor: Position::default(),
        };
        // What cannot be removed now is tried again.
        for path in log.sweep().unwrap_or_default() {
            let name = path.file_name().and_then(|name| name.to_str());
            let _ = name.map(|name| log.disk.remove(name));
        }
        // A cursor of an earlier process that is ahead of this one must not be found after the next crash: what this one
        // has read again would be left half overwritten.
        if log.next_id > 1 {
            log.keep_cursor()?;
            let cursor = log.disk.open(CURSOR_FILE)?;
            log.disk.sync(&cursor)?;
        }
        log.disk.sync_names()?;
        Ok((log, found))
    }

    /// What is committed and not consumed.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// When the oldest of it was accepted; 0: nothing is left.
    pub fn oldest_ms(&self) -> u64 {
        if self.totals.records == 0 { 0 } else { self.oldest_ms }
    }

    /// How many records were counted once and turned out to be unreadable, since the last time.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Not to be read before `commit`; where it begins. An error concerns this record alone.
    pub fn append(&mut self, record: &Record, accepted_ms: u64) -> io::Result<Position> {
        self.make_room(record.bytes())?;
        let Log { disk, segments, .. } = self;
        // `make_room` has left one that is open for writing.
        let Some(segment) = segments.back_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        let Some(file) = &mut segment.file else { return Err(io::ErrorKind::NotFound.into()) };
        let header = record.header(segment.name.marker, accepted_ms).map_err(io::Error::other)?;
        let mut pieces: Vec<&[u8]> = vec![&header];
        pieces.extend(record.body());
        if let Err(error) = disk.append(file, &pieces) {
            segment.sealed = disk.truncate(file, segment.written).is_err();
            return Err(failed(disk, segment.name, error));
        }
        let at = Position { segment: segment.name.id, offset: segment.written };
        segment.written += record.bytes();
        if self.pending.records == 0 {
            self.pending_oldest_ms = accepted_ms;
        }
        self.pending += Totals { records: 1, points: u64::from(record.points()), bytes: record.bytes() };
        Ok(at)
    }

    /// The fate of a record that was appended since the last `commit` is open; until `keep` or `void` has its place.
    pub fn hold(&mut self, at: Position) {
        self.held.insert(at);
    }

    pub fn keep(&mut self, at: Position) {
        self.held.remove(&at);
    }

    /// Takes a record back whose fate is open; how long it is on disk, where it stays. After an error it is one that was kept,
    /// or damaged.
    pub fn void(&mut self, at: Position) -> io::Result<u64> {
        if !self.held.remove(&at) {
            // Its commit has failed.
            return Ok(0);
        }
        let Log { disk, segments, totals, pending, .. } = self;
        // What is not consumed is in a segment.
        let segment = segments.iter_mut().find(|segment| segment.name.id == at.segment);
        let segment = segment.ok_or(io::ErrorKind::NotFound)?;
        let (name, committed) = (segment.name, segment.committed);
        let failed = |error| failed(disk, name, error);
        let head = disk.read_at(opened(disk, segment)?, at.offset, RECORD_HEADER_BYTES).map_err(failed)?;
        let header = Header::parse(&head, name.marker).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        disk.replace(&name.to_string(), at.offset, &header.voided(name.marker)).map_err(failed)?;
        let of = if at.offset < committed { totals } else { pending };
        of.points = of.points.saturating_sub(u64::from(header.points));
        Ok(header.bytes())
    }

    /// Makes all that was appended since the last time durable; on an error none of it was ever there.
    pub fn commit(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let Log { disk, segments, held, .. } = self;
        let Some(segment) = segments.back_mut().filter(|_| pending.records > 0) else { return Ok(()) };
        let Some(file) = &mut segment.file else { return Err(io::ErrorKind::NotFound.into()) };
        let synced = disk.sync(file).and_then(|()| if segment.named { Ok(()) } else { disk.sync_names() });
        match synced {
            Ok(()) => {
                segment.named = true;
                segment.committed = segment.written;
                if self.totals.records == 0 {
                    self.oldest_ms = self.pending_oldest_ms;
                }
                self.totals += pending;
                Ok(())
            }
            Err(error) => {
                // What a failed sync has left on the disk nobody knows.
                let _ = disk.truncate(file, segment.committed).and_then(|()| disk.sync(file));
                segment.written = segment.committed;
                segment.sealed = true;
                let end = Position { segment: segment.name.id, offset: segment.committed };
                held.split_off(&end);
                Err(failed(disk, segment.name, error))
            }
        }
    }

    /// Records from the first one that is not consumed on: as many as fit into `bytes_max`, at least one; none if nothing
    /// is left, or the fate of the first is open.
    pub fn read(&mut self, bytes_max: usize) -> io::Result<Vec<Entry>> {
        self.handed.clear();
        let mut entries: Vec<Entry> = Vec::new();
        let mut left = bytes_max as u64;
        for index in 0..self.segments.len() {
            if !self.read_segment(index, &mut entries, &mut left)? {
                return Ok(entries);
            }
        }
        if !self.held.is_empty() {
            return Ok(entries);
        }
        // All of it was seen: what was counted and is not here cannot be read.
        let mut seen = Totals::default();
        self.handed.iter().for_each(|handed| seen += handed.totals);
        self.lost += self.totals.records.saturating_sub(seen.records);
        self.totals = seen;
        Ok(entries)
    }

    /// Reads on in one segment; whether there is room for more.
    fn read_segment(&mut self, index: usize, entries: &mut Vec<Entry>, left: &mut u64) -> io::Result<bool> {
        let Log { disk, segments, handed, at, held, .. } = self;
        let segment = &mut segments[index];
        let name = segment.name;
        let start = match name.id.cmp(&at.segment) {
            std::cmp::Ordering::Less => return Ok(true),
            std::cmp::Ordering::Equal => at.offset,
            std::cmp::Ordering::Greater => 0,
        };
        let start = start.max(SEGMENT_HEADER_BYTES as u64);
        let open = held.first().filter(|open| open.segment <= name.id);
        let end = match open {
            Some(open) if open.segment < name.id => return Ok(false),
            Some(open) => open.offset.min(segment.committed),
            None => segment.committed,
        };
        if start >= end {
            return Ok(open.is_none());
        }
        let file = opened(disk, segment)?;
        let mut walk = Walk::new(name.marker, Depth::Whole, start, end, CHUNK_BYTES);
        let mut read = |at, bytes| disk.read_at(file, at, bytes);
        while let Some(piece) = walk.next(&mut read).map_err(|error| failed(disk, name, error))? {
            let Piece::Record { header, record: Some(record), end } = piece else { continue };
            let bytes = header.bytes();
            if bytes > *left && !entries.is_empty() {
                return Ok(false);
            }
            *left = left.saturating_sub(bytes);
            let end = Position { segment: name.id, offset: end };
            handed.push_back(Handed { end, totals: Totals::of(&header), accepted_ms: header.accepted_ms });
            entries.push(Entry { record, end, bytes, accepted_ms: header.accepted_ms });
        }
        Ok(open.is_none())
    }

    /// Takes what the last `read` found, up to a place; the same place again does no harm. After a crash some of it may be
    /// there again, with all that followed it, until `finish`. An error is the caller's.
    pub fn consume(&mut self, to: Position) -> io::Result<()> {
        let last = self.handed.back().map_or(self.at, |handed| handed.end.max(self.at));
        if to > last {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "what was not read cannot be consumed"));
        }
        while let Some(handed) = self.handed.front().filter(|handed| handed.end <= to) {
            self.totals -= handed.totals;
            self.handed.pop_front();
        }
        self.at = self.at.max(to);
        if self.totals.records > 0 {
            let next = self.handed.front().map(|handed| handed.accepted_ms);
            self.oldest_ms = next.unwrap_or_else(|| self.peek());
        }
        Ok(())
    }

    /// Whether the cursor is not where everything was consumed.
    pub fn is_ahead(&self) -> bool {
        self.cursor < self.at
    }

    /// Makes sure that what was consumed never comes back, if nothing is left; whether that is so.
    pub fn finish(&mut self) -> io::Result<bool> {
        if self.totals.records > 0 || self.pending.records > 0 {
            return Ok(false);
        }
        if let Some(last) = self.segments.back() {
            // Damage may lie before the end, and behind it what a failed write has left.
            let Segment { name, committed, sealed, .. } = last;
            let (segment, offset) = if *sealed { (name.id.saturating_add(1), 0) } else { (name.id, *committed) };
            self.at = self.at.max(Position { segment, offset });
        }
        match self.raise_floor() {
            Err(error) if is_full(&error) => {
                // A disk without room takes no floor; what is removed does not come back either.
                self.segments.iter_mut().for_each(|segment| segment.sealed = true);
                self.sweep()?;
            }
            raised => raised?,
        }
        Ok(true)
    }

    /// When the first record was accepted.
    fn peek(&mut self) -> u64 {
        let Log { disk, segments, at, oldest_ms, .. } = self;
        for segment in segments.iter_mut().filter(|segment| segment.name.id >= at.segment) {
            let start = if segment.name.id == at.segment { at.offset } else { 0 };
            let start = start.max(SEGMENT_HEADER_BYTES as u64);
            let mut walk = Walk::new(segment.name.marker, Depth::Whole, start, segment.committed, 0);
            let Ok(file) = opened(disk, segment) else { continue };
            let mut read = |at, bytes| disk.read_at(file, at, bytes);
            while let Ok(Some(piece)) = walk.next(&mut read) {
                if let Piece::Record { header, .. } = piece {
                    return header.accepted_ms;
                }
            }
        }
        *oldest_ms
    }

    /// Gives up the segments that nothing is left of: they are the caller's, to be removed at any time (those that are
    /// forgotten are found at the next start). An error harms nobody: it is tried again the next time.
    pub fn sweep(&mut self) -> io::Result<Vec<PathBuf>> {
        let mut unneeded = Vec::new();
        while let Some(first) = self.segments.front().filter(|first| self.is_consumed(first)) {
            // A failed commit may have left more in the file than was ever to be read. The floor must not lie before that:
            // `finish` no longer knows the segment, and at the next start it would be read if the file is still there.
            let behind = Position { segment: first.name.id.saturating_add(1), offset: 0 };
            self.at = self.at.max(behind);
            // What is gone must not leave a gap between older records that come back and newer ones: either none of these
            // is ever read again, or each is gone for good before the next.
            let one_by_one = match self.raise_floor() {
                Err(error) if is_full(&error) => true,
                raised => raised.map(|()| false)?,
            };
            let Some(Segment { name, .. }) = self.segments.front() else { break };
            if one_by_one {
                let removed = match self.disk.remove(&name.to_string()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    removed => removed,
                };
                let removed = removed.and_then(|()| self.disk.sync_names());
                removed.map_err(|error| failed(&self.disk, *name, error))?;
            } else {
                unneeded.push(self.disk.path(&name.to_string()));
            }
            self.segments.pop_front();
        }
        Ok(unneeded)
    }

    /// The same with the last segment too, if nothing is left in it: for a log that nothing is appended to for long.
    pub fn sweep_all(&mut self) -> io::Result<Vec<PathBuf>> {
        if self.finish()? {
            self.segments.iter_mut().for_each(|segment| segment.sealed = true);
        }
        self.sweep()
    }

    fn is_consumed(&self, segment: &Segment<D::File>) -> bool {
        let Position { segment: id, offset } = self.at;
        let all = segment.name.id < id || (segment.name.id == id && offset >= segment.written);
        all && segment.sealed
    }

    /// Up to where everything was consumed.
    fn raise_floor(&mut self) -> io::Result<()> {
        if self.floor >= self.at {
            return Ok(());
        }
        let failed = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.disk.path(FLOOR_FILE).display()))
        };
        let had_one = self.floor > Position::default();
        self.disk.overwrite(FLOOR_FILE, &self.place().print()).map_err(failed)?;
        let synced = self.disk.open(FLOOR_FILE).and_then(|file| self.disk.sync(&file));
        let named = synced.and_then(|()| if had_one { Ok(()) } else { self.disk.sync_names() });
        named.map_err(failed)?;
        self.floor = self.at;
        Ok(())
    }

    /// Brings the cursor up to where everything was consumed.
    pub fn keep_cursor(&mut self) -> io::Result<()> {
        if self.next_id == 1 {
            return Ok(());
        }
        self.disk.overwrite(CURSOR_FILE, &self.place().print())?;
        self.cursor = self.at;
        Ok(())
    }

    /// Where everything was consumed.
    fn place(&self) -> Cursor {
        let id = self.at.segment;
        let marker = self.segments.iter().find(|segment| segment.name.id == id).map(|segment| segment.name.marker);
        let name = SegmentName { id, marker: marker.unwrap_or(Marker([0; 8])) };
        Cursor { name, offset: self.at.offset, next_id: self.next_id }
    }

    /// Sees to it that the last segment can take `bytes` more, a new one if need be. With something pending it is not
    /// left, so that one sync makes all of it durable.
    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        match self.segments.back_mut() {
            Some(last) if self.pending.records > 0 && last.sealed => {
                return Err(io::Error::other("a write before this one failed"));
            }
            Some(last) if !last.sealed => {
                let full = last.written > SEGMENT_HEADER_BYTES as u64 && last.written + bytes > self.segment_bytes_max;
                if !full || self.pending.records > 0 {
                    return Ok(());
                }
                last.sealed = true;
                last.file = None;
            }
            _ => {}
        }
        let name = SegmentName { id: self.next_id, marker: Marker(fastrand::u64(..).to_ne_bytes()) };
        self.next_id += 1;
        let failed = |error| failed(&self.disk, name, error);
        let mut file = self.disk.create(&name.to_string()).map_err(failed)?;
        if let Err(error) = self.disk.append(&mut file, &[&name.header()]) {
            let _ = self.disk.remove(&name.to_string());
            return Err(failed(error));
        }
        let written = SEGMENT_HEADER_BYTES as u64;
        self.segments.push_back(Segment {
            name,
            file: Some(file),
            committed: written,
            written,
            named: false,
            sealed: false,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
