//! What a log's folder holds: found by looking at every segment, changing nothing.
//!
//! Called by `log` when it opens, and by `look` while another process may be writing there: a segment that vanishes is
//! gone, one that shrinks has ended.

use std::io;
use std::ops::{AddAssign, SubAssign};

use bytes::{Buf, BufMut};

use super::disk::Disk;
use super::record::{Depth, Header, Marker, Opening, Piece, Record, SEGMENT_HEADER_BYTES, SegmentName, Walk};

/// Read at once.
pub const CHUNK_BYTES: usize = 256 * 1024;
/// The same where only headers are looked at.
const HEADERS_CHUNK_BYTES: usize = 4096;

pub const CURSOR_FILE: &str = "cursor";
/// The same, but synced: nothing before it is ever read again.
pub const FLOOR_FILE: &str = "floor";
const CURSOR_MAGIC: &[u8; 8] = b"slotcur\n";
const CURSOR_BYTES: usize = 44;

/// A place in a log, between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub segment: u64,
    pub offset: u64,
}

/// How much some records are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub records: u64,
    pub points: u64,
    /// On disk, with their headers.
    pub bytes: u64,
}

impl Totals {
    pub fn of(header: &Header) -> Totals {
        Totals { records: 1, points: u64::from(header.points), bytes: header.bytes() }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.records += other.records;
        self.points += other.points;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Totals {
    /// Down to 0.
    fn sub_assign(&mut self, other: Totals) {
        self.records = self.records.saturating_sub(other.records);
        self.points = self.points.saturating_sub(other.points);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// Bytes of a segment that are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file's name.
    pub segment: String,
    pub offset: u64,
    pub bytes: u64,
    /// At the end of the last segment, where a process that was ended in the middle of a write leaves what it had not
    /// promised to anybody.
    pub tail: bool,
}

/// A segment that may hold records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub name: SegmentName,
    pub bytes: u64,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Of rising ids; those before `at` were consumed.
    pub segments: Vec<Found>,
    /// Everything before it was consumed; `floor <= at`.
    pub at: Position,
    pub floor: Position,
    pub totals: Totals,
    /// When the first of them was accepted; 0: there is none.
    pub oldest_ms: u64,
    pub damage: Vec<Damage>,
    /// Segments of another version: their names and versions.
    pub foreign: Vec<(String, u32)>,
    pub next_id: u64,
}

/// Where a log had got to; what the `cursor` and `floor` files say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The segment that the next record lies in, and its marker.
    pub name: SegmentName,
    pub offset: u64,
    pub next_id: u64,
}

impl Cursor {
    pub fn print(&self) -> [u8; CURSOR_BYTES] {
        let mut content = [0; CURSOR_BYTES];
        let mut to = &mut content[..];
        to.put_slice(CURSOR_MAGIC);
        to.put_u64_le(self.name.id);
        to.put_slice(&self.name.marker.0);
        to.put_u64_le(self.offset);
        to.put_u64_le(self.next_id);
        let crc = crc32fast::hash(&content[..CURSOR_BYTES - 4]);
        content[CURSOR_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        content
    }

    fn position(&self) -> Position {
        Position { segment: self.name.id, offset: self.offset }
    }

    /// A torn one is none.
    pub fn parse(content: &[u8]) -> Option<Cursor> {
        let content: &[u8; CURSOR_BYTES] = content.try_into().ok()?;
        let (content, crc) = content.split_at(CURSOR_BYTES - 4);
        if !content.starts_with(CURSOR_MAGIC) || crc32fast::hash(content).to_le_bytes() != *crc {
            return None;
        }
        let mut from = &content[CURSOR_MAGIC.len()..];
        let id = from.get_u64_le();
        let mut marker = Marker([0; 8]);
        from.copy_to_slice(&mut marker.0);
        Some(Cursor { name: SegmentName { id, marker }, offset: from.get_u64_le(), next_id: from.get_u64_le() })
    }
}

/// Looks at everything, front to back. `each` hears of every record that was not consumed, and says whether to go on.
pub fn recover<D: Disk>(
    disk: &D,
    depth: Depth,
    each: &mut dyn FnMut(&Header, Option<Record>) -> bool,
) -> io::Result<Recovered> {
    let mut names: Vec<SegmentName> = disk.list()?.iter().filter_map(|name| SegmentName::parse(name)).collect();
    names.sort_by_key(|name| name.id);
    let (cursor, floor) = (read_cursor(disk, CURSOR_FILE), read_cursor(disk, FLOOR_FILE));
    let known = cursor.filter(|cursor| names.contains(&cursor.name));
    let last_id = names.iter().map(|name| name.id).chain(known.map(|cursor| cursor.name.id)).max().unwrap_or(0);
    let next_id = [cursor, floor].iter().flatten().map(|cursor| cursor.next_id).max().unwrap_or(1);
    let floor = floor.map_or(Position::default(), |floor| floor.position());
    let at = known.map_or(floor, |cursor| cursor.position().max(floor));
    let mut found = Recovered { at, floor, next_id: next_id.max(last_id.saturating_add(1)), ..Recovered::default() };
    let mut go_on = true;
    for name in names {
        let file = match disk.open(&name.to_string()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let bytes = disk.bytes(&file)?;
        let head = match disk.read_at(&file, 0, bytes.min(SEGMENT_HEADER_BYTES as u64) as usize) {
            // It is just being removed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
            head => head?,
        };
        match name.check(&head) {
            Opening::Sound => {}
            Opening::Damaged => damage(&mut found, name, 0, head.len() as u64),
            Opening::OtherVersion(version) => {
                found.foreign.push((name.to_string(), version));
                continue;
            }
        }
        found.segments.push(Found { name, bytes });
        let start = if found.at.segment == name.id { found.at.offset } else { 0 };
        let start = start.max(SEGMENT_HEADER_BYTES as u64).min(bytes);
        if go_on && found.at.segment <= name.id {
            go_on = walk(disk, &file, name, depth, start..bytes, &mut found, each)?;
        }
    }
    if let (Some(damage), Some(last)) = (found.damage.last_mut(), found.segments.last()) {
        damage.tail = damage.segment == last.name.to_string() && damage.offset + damage.bytes == last.bytes;
    }
    Ok(found)
}

/// One segment; whether to go on.
fn walk<D: Disk>(
    disk: &D,
    file: &D::File,
    name: SegmentName,
    depth: Depth,
    range: std::ops::Range<u64>,
    found: &mut Recovered,
    each: &mut dyn FnMut(&Header, Option<Record>) -> bool,
) -> io::Result<bool> {
    let chunk_bytes = if depth == Depth::Headers { HEADERS_CHUNK_BYTES } else { CHUNK_BYTES };
    let mut walk = Walk::new(name.marker, depth, range.start, range.end, chunk_bytes);
    let mut read = |at, bytes| disk.read_at(file, at, bytes);
    loop {
        match walk.next(&mut read) {
            Ok(Some(Piece::Record { header, record, .. })) => {
                if found.totals.records == 0 {
                    found.oldest_ms = header.accepted_ms;
                }
                found.totals += Totals::of(&header);
                if !each(&header, record) {
                    return Ok(false);
                }
            }
            Ok(Some(Piece::Damage { start, end })) => damage(found, name, start, end - start),
            Ok(None) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(true),
            Err(error) => {
                let path = disk.path(&name.to_string());
                return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
            }
        }
    }
}

fn damage(found: &mut Recovered, name: SegmentName, offset: u64, bytes: u64) {
    if bytes == 0 {
        return;
    }
    found.damage.push(Damage { segment: name.to_string(), offset, bytes, tail: false });
}

fn read_cursor<D: Disk>(disk: &D, name: &str) -> Option<Cursor> {
    let file = disk.open(name).ok()?;
    Cursor::parse(&disk.read_at(&file, 0, CURSOR_BYTES).ok()?)
}
