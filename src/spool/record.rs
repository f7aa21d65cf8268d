//! What one record is, and how records lie in a segment: bytes to records and back, without a file in sight. The format
//! itself is written down in `spool/mod.rs`.
//!
//! Called by `log` and `look`, which read the files, and by the fuzz target. Limits: nothing is ever allocated by a
//! length that the file does not back, and a damaged byte costs the record that it lies in, no other.

use std::fmt;
use std::io;

use bytes::{Buf, BufMut, Bytes};
use memchr::memmem;

use crate::lineprotocol::Precision;

/// Of the format; a segment with another one is left alone.
pub const VERSION: u32 = 1;
/// A segment's own header.
pub const SEGMENT_HEADER_BYTES: usize = 32;
/// The header before each record.
pub const RECORD_HEADER_BYTES: usize = 44;

const MAGIC: &[u8; 8] = b"slotspl\n";
const KIND_POINTS: u8 = 1;
const KIND_STATEMENT: u8 = 2;
const KIND_VOID: u8 = 3;
const FLAG_OPEN: u8 = 1;
const FLAG_MAKES_DATABASE: u8 = 2;
const PRECISIONS: [Precision; 6] = [
    Precision::Nanoseconds,
    Precision::Microseconds,
    Precision::Milliseconds,
    Precision::Seconds,
    Precision::Minutes,
    Precision::Hours,
];

/// What waits for a replica: one batch, one statement, or nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Points {
        db: String,
        /// Empty: the database's default.
        rp: String,
        precision: Precision,
        points: u32,
        /// The last line ends inside quotes or behind a backslash, or without a newline: nothing may follow it in one
        /// request.
        open: bool,
        /// A replica that lacks the database shall make it first, as for what comes over TCP and UDP.
        makes_database: bool,
        /// Pieces, which follow each other; read back as one.
        lines: Vec<Bytes>,
    },
    /// A writing statement (DDL, DELETE, DROP) with its `now()` already literal, for `POST /query`.
    Statement { db: String, rp: String, text: String },
    /// What it was was taken back after it was written.
    Void,
}

/// Why something cannot be a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl std::error::Error for TooLarge {}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("larger than a record can be (4 GiB)")
    }
}

impl Record {
    pub fn db(&self) -> &str {
        match self {
            Record::Points { db, .. } | Record::Statement { db, .. } => db,
            Record::Void => "",
        }
    }

    pub fn rp(&self) -> &str {
        match self {
            Record::Points { rp, .. } | Record::Statement { rp, .. } => rp,
            Record::Void => "",
        }
    }

    /// 0 for what is none.
    pub fn points(&self) -> u32 {
        match self {
            Record::Points { points, .. } => *points,
            Record::Statement { .. } | Record::Void => 0,
        }
    }

    /// On disk.
    pub fn bytes(&self) -> u64 {
        let body: usize = self.body().map(<[u8]>::len).sum();
        (RECORD_HEADER_BYTES + body) as u64
    }

    /// The pieces of its body.
    pub fn body(&self) -> impl Iterator<Item = &[u8]> {
        let (lines, text): (&[Bytes], &str) = match self {
            Record::Points { lines, .. } => (lines, ""),
            Record::Statement { text, .. } => (&[], text),
            Record::Void => (&[], ""),
        };
        let names = [self.db().as_bytes(), self.rp().as_bytes(), text.as_bytes()];
        names.into_iter().chain(lines.iter().map(Bytes::as_ref))
    }

    /// The header that stands before its body.
    pub fn header(&self, marker: Marker, accepted_ms: u64) -> Result<[u8; RECORD_HEADER_BYTES], TooLarge> {
        let length = |bytes: u64| u32::try_from(bytes).map_err(|_| TooLarge);
        let (kind, precision, flags) = match self {
            Record::Points { precision, open, makes_database, .. } => {
                let flags = (u8::from(*open) * FLAG_OPEN) | (u8::from(*makes_database) * FLAG_MAKES_DATABASE);
                (KIND_POINTS, *precision, flags)
            }
            Record::Statement { .. } => (KIND_STATEMENT, Precision::Nanoseconds, 0),
            Record::Void => (KIND_VOID, Precision::Nanoseconds, 0),
        };
        let mut crc = crc32fast::Hasher::new();
        self.body().for_each(|piece| crc.update(piece));
        let header = Header {
            body_bytes: length(self.bytes() - RECORD_HEADER_BYTES as u64)?,
            points: self.points(),
            accepted_ms,
            db_bytes: length(self.db().len() as u64)?,
            rp_bytes: length(self.rp().len() as u64)?,
            kind,
            precision,
            flags,
            body_crc: crc.finalize(),
        };
        Ok(header.print(marker))
    }
}

/// Eight random bytes that a segment's records begin with, so that no line that a client sends looks like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker(pub [u8; 8]);

/// Which segment of a log, as its file's name says: `00000000000000000001-00c0ffee00c0ffee.seg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentName {
    pub id: u64,
    pub marker: Marker,
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:016x}.seg", self.id, u64::from_be_bytes(self.marker.0))
    }
}

impl SegmentName {
    /// Reads exactly what it prints.
    pub fn parse(name: &str) -> Option<SegmentName> {
        let (id, marker) = name.strip_suffix(".seg")?.split_once('-')?;
        let marker = Marker(u64::from_str_radix(marker, 16).ok()?.to_be_bytes());
        let found = SegmentName { id: id.parse().ok()?, marker };
        (found.to_string() == name).then_some(found)
    }

    pub fn header(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let mut to = &mut header[..];
        to.put_slice(MAGIC);
        to.put_u32_le(VERSION);
        to.put_u64_le(self.id);
        to.put_slice(&self.marker.0);
        let crc = crc32fast::hash(&header[..SEGMENT_HEADER_BYTES - 4]);
        header[SEGMENT_HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// What a file of this name begins with.
    pub fn check(&self, start: &[u8]) -> Opening {
        let Some(header) = start.first_chunk::<SEGMENT_HEADER_BYTES>() else { return Opening::Damaged };
        let (content, crc) = header.split_at(SEGMENT_HEADER_BYTES - 4);
        if crc32fast::hash(content).to_le_bytes() != *crc || !content.starts_with(MAGIC) {
            return Opening::Damaged;
        }
        let version = (&content[MAGIC.len()..]).get_u32_le();
        match version {
            VERSION if *header == self.header() => Opening::Sound,
            VERSION => Opening::Damaged,
            version => Opening::OtherVersion(version),
        }
    }
}

/// What the first bytes of a segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    Sound,
    /// Its records can be read all the same: the name has the marker too.
    Damaged,
    OtherVersion(u32),
}

/// The header of a record whose checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub body_bytes: u32,
    pub points: u32,
    /// Wall clock, in milliseconds since 1970.
    pub accepted_ms: u64,
    /// `db_bytes + rp_bytes <= body_bytes`
    db_bytes: u32,
    rp_bytes: u32,
    kind: u8,
    precision: Precision,
    flags: u8,
    body_crc: u32,
}

impl Header {
    /// Reads the first bytes of `bytes`.
    pub fn parse(bytes: &[u8], marker: Marker) -> Option<Header> {
        let header = bytes.first_chunk::<RECORD_HEADER_BYTES>()?;
        let (content, crc) = header.split_at(RECORD_HEADER_BYTES - 4);
        if !content.starts_with(&marker.0) || crc32fast::hash(content).to_le_bytes() != *crc {
            return None;
        }
        let mut from = &content[marker.0.len()..];
        let (body_bytes, db_bytes, rp_bytes) = (from.get_u32_le(), from.get_u32_le(), from.get_u32_le());
        let (points, accepted_ms) = (from.get_u32_le(), from.get_u64_le());
        let (kind, precision, flags, rest) = (from.get_u8(), from.get_u8(), from.get_u8(), from.get_u8());
        let precision = *PRECISIONS.get(usize::from(precision))?;
        let known = match kind {
            KIND_POINTS => flags & !(FLAG_OPEN | FLAG_MAKES_DATABASE) == 0,
            KIND_STATEMENT | KIND_VOID => flags == 0 && precision == Precision::Nanoseconds && points == 0,
            _ => false,
        };
        let names = u64::from(db_bytes) + u64::from(rp_bytes);
        if !known || rest != 0 || names > u64::from(body_bytes) {
            return None;
        }
        let body_crc = from.get_u32_le();
        Some(Header { body_bytes, points, accepted_ms, db_bytes, rp_bytes, kind, precision, flags, body_crc })
    }

    fn print(&self, marker: Marker) -> [u8; RECORD_HEADER_BYTES] {
        let precision = PRECISIONS.iter().position(|one| *one == self.precision).unwrap_or_default() as u8;
        let mut header = [0; RECORD_HEADER_BYTES];
        let mut to = &mut header[..];
        to.put_slice(&marker.0);
        to.put_u32_le(self.body_bytes);
        to.put_u32_le(self.db_bytes);
        to.put_u32_le(self.rp_bytes);
        to.put_u32_le(self.points);
        to.put_u64_le(self.accepted_ms);
        to.put_slice(&[self.kind, precision, self.flags, 0]);
        to.put_u32_le(self.body_crc);
        let crc = crc32fast::hash(&header[..RECORD_HEADER_BYTES - 4]);
        header[RECORD_HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// What stands before the same body once the record is void.
    pub fn voided(&self, marker: Marker) -> [u8; RECORD_HEADER_BYTES] {
        let kind = KIND_VOID;
        Header { kind, points: 0, precision: Precision::Nanoseconds, flags: 0, ..*self }.print(marker)
    }

    /// The whole record, on disk.
    pub fn bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }

    /// The record with this body, if the body is what was written.
    pub fn record(&self, mut body: Bytes) -> Option<Record> {
        if body.len() as u64 != u64::from(self.body_bytes) || crc32fast::hash(&body) != self.body_crc {
            return None;
        }
        let text = |bytes: Bytes| String::from_utf8(bytes.into()).ok();
        let db = text(body.split_to(self.db_bytes as usize))?;
        let rp = text(body.split_to(self.rp_bytes as usize))?;
        Some(match self.kind {
            KIND_STATEMENT => Record::Statement { db, rp, text: text(body)? },
            KIND_VOID => Record::Void,
            _ => Record::Points {
                db,
                rp,
                precision: self.precision,
                points: self.points,
                open: self.flags & FLAG_OPEN != 0,
                makes_database: self.flags & FLAG_MAKES_DATABASE != 0,
                lines: vec![body],
            },
        })
    }
}

/// How much of each record a walk looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Fast: what is damaged inside a body goes unnoticed.
    Headers,
    Whole,
}

/// What stands at a place of a segment, up to `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// `record` is there if the walk is for whole ones.
    Record { header: Header, record: Option<Record>, end: u64 },
    /// Bytes that are no record.
    Damage { start: u64, end: u64 },
}

/// Goes through a segment's records, front to back.
pub struct Walk {
    marker: Marker,
    depth: Depth,
    /// What comes next; `<= end`.
    at: u64,
    /// Nothing is read from here on.
    end: u64,
    /// What was read last, from `at` on; `at + buffer.len() <= end`.
    buffer: Bytes,
    /// Read at once, at least.
    chunk_bytes: usize,
}

/// Reads exactly so many bytes at a place of the segment.
pub type ReadAt<'a> = &'a mut dyn FnMut(u64, usize) -> io::Result<Bytes>;

impl Walk {
    /// From `at`, where a record begins, to `end`, where the segment does.
    pub fn new(marker: Marker, depth: Depth, at: u64, end: u64, chunk_bytes: usize) -> Walk {
        let chunk_bytes = chunk_bytes.max(2 * RECORD_HEADER_BYTES);
        Walk { marker, depth, at: at.min(end), end, buffer: Bytes::new(), chunk_bytes }
    }

    /// The next record, or as much damage as lies before it.
    pub fn next(&mut self, read: ReadAt<'_>) -> io::Result<Option<Piece>> {
        let start = self.at;
        loop {
            if self.at == self.end {
                return Ok((start < self.at).then_some(Piece::Damage { start, end: self.at }));
            }
            self.fill(RECORD_HEADER_BYTES as u64, read)?;
            let header = Header::parse(&self.buffer, self.marker);
            let fits = header.filter(|header| header.bytes() <= self.end - self.at);
            match (header, fits) {
                // Damage is told before the sound record behind it.
                (_, Some(_)) if start < self.at => return Ok(Some(Piece::Damage { start, end: self.at })),
                (_, Some(header)) => match self.take(header, read)? {
                    Some(record) => return Ok(Some(record)),
                    None => continue,
                },
                // It was cut short, and nothing is written behind such a one.
                (Some(_), None) => self.skip(self.end - self.at),
                (None, _) => self.search(read)?,
            }
        }
    }

    /// The record that begins here, if its body holds; else it lies behind.
    fn take(&mut self, header: Header, read: ReadAt<'_>) -> io::Result<Option<Piece>> {
        let end = self.at + header.bytes();
        if self.depth == Depth::Headers {
            self.skip(header.bytes());
            return Ok(Some(Piece::Record { header, record: None, end }));
        }
        self.fill(header.bytes(), read)?;
        // It fits into the buffer, so into a usize.
        let body = self.buffer.slice(RECORD_HEADER_BYTES..header.bytes() as usize);
        self.skip(header.bytes());
        let record = header.record(body);
        Ok(record.map(|record| Piece::Record { header, record: Some(record), end }))
    }

    /// Goes on to where the next record may begin.
    fn search(&mut self, read: ReadAt<'_>) -> io::Result<()> {
        self.skip(1);
        while self.at < self.end {
            self.fill(RECORD_HEADER_BYTES as u64, read)?;
            if let Some(found) = memmem::find(&self.buffer, &self.marker.0) {
                self.skip(found as u64);
                return Ok(());
            }
            // The marker may begin in the last bytes.
            let over = self.buffer.len() - (self.marker.0.len() - 1).min(self.buffer.len());
            let left = self.end - self.at;
            self.skip(if self.buffer.len() as u64 == left { left } else { over as u64 });
        }
        Ok(())
    }

    /// Makes the buffer hold `bytes`, or all that is left.
    fn fill(&mut self, bytes: u64, read: ReadAt<'_>) -> io::Result<()> {
        let left = self.end - self.at;
        if self.buffer.len() as u64 >= bytes.min(left) {
            return Ok(());
        }
        let wanted = bytes.max(self.chunk_bytes as u64).min(left);
        let wanted = usize::try_from(wanted).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.buffer = read(self.at, wanted)?;
        match self.buffer.len() == wanted {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn skip(&mut self, bytes: u64) {
        self.at += bytes;
        let held = self.buffer.len();
        self.buffer.advance(usize::try_from(bytes).map_or(held, |bytes| bytes.min(held)));
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const NAME: SegmentName = SegmentName { id: 7, marker: Marker(*b"\x01mark\xffer") };

    pub fn points(text: &str) -> Record {
        let points = text.lines().count() as u32;
        let lines = vec![Bytes::copy_from_slice(text.as_bytes())];
        let open = !text.ends_with('\n');
        let (db, rp, precision) = ("db".into(), String::new(), Precision::Seconds);
        Record::Points { db, rp, precision, points, open, makes_database: false, lines }
    }

    pub fn statement(text: &str) -> Record {
        Record::Statement { db: "db".into(), rp: "two".into(), text: text.into() }
    }

    /// A segment with these records.
    pub fn segment(records: &[Record]) -> Vec<u8> {
        let mut bytes = NAME.header().to_vec();
        for (at, record) in records.iter().enumerate() {
            bytes.extend(record.header(NAME.marker, 1000 + at as u64).expect("it is small"));
            record.body().for_each(|piece| bytes.extend_from_slice(piece));
        }
        bytes
    }

    pub fn walk(bytes: &[u8], depth: Depth, chunk_bytes: usize) -> Vec<Piece> {
        let end = bytes.len() as u64;
        let mut walk = Walk::new(NAME.marker, depth, SEGMENT_HEADER_BYTES as u64, end, chunk_bytes);
        let mut read = |at: u64, count: usize| Ok(Bytes::copy_from_slice(&bytes[at as usize..][..count]));
        let next = || walk.next(&mut read).expect("memory can be read");
        std::iter::from_fn(next).collect()
    }

    /// The sound records, and the damage.
    fn sorted(pieces: Vec<Piece>) -> (Vec<Record>, Vec<(u64, u64)>) {
        let (mut records, mut damage) = (Vec::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Record { record, .. } => records.extend(record),
                Piece::Damage { start, end } => damage.push((start, end)),
            }
        }
        (records, damage)
    }

    fn three() -> Vec<Record> {
        vec![points("cpu v=1 1\ncpu v=2 2\n"), statement("DROP MEASUREMENT \"m\""), points("mem v=\"a")]
    }

    #[test]
    fn what_is_written_is_read() {
        let pieces = vec![Bytes::from_static(b"a v=1\n"), Bytes::new(), Bytes::from_static(b"b v=1\n")];
        for precision in PRECISIONS {
            let (db, rp, lines) = ("d".to_owned(), "r".to_owned(), pieces.clone());
            let makes_database = precision == Precision::Hours;
            let record = Record::Points { db, rp, precision, points: 2, open: false, makes_database, lines };
            let [Piece::Record { header, record: Some(read), end }] =
                &walk(&segment(std::slice::from_ref(&record)), Depth::Whole, 1)[..]
            else {
                panic!("one record")
            };
            assert_eq!((header.accepted_ms, header.points, header.bytes()), (1000, 2, record.bytes()));
            assert_eq!(*end, SEGMENT_HEADER_BYTES as u64 + record.bytes());
            let Record::Points { precision: read_precision, makes_database: makes, lines, .. } = read else {
                panic!("points")
            };
            let joined = &[Bytes::from_static(b"a v=1\nb v=1\n")][..];
            assert_eq!((*read_precision, *makes, lines.as_slice()), (precision, makes_database, joined));
        }
        for chunk_bytes in [1, 100, 1000] {
            assert_eq!(sorted(walk(&segment(&three()), Depth::Whole, chunk_bytes)), (three(), vec![]));
            assert_eq!(walk(&segment(&three()), Depth::Headers, chunk_bytes).len(), 3);
        }
    }

    #[test]
    fn names_of_segments() {
        assert_eq!(NAME.to_string(), "00000000000000000007-016d61726bff6572.seg");
        assert_eq!(SegmentName::parse(&NAME.to_string()), Some(NAME));
        for name in ["", ".seg", "7-016d61726bff6572.seg", "00000000000000000007-016D61726BFF6572.seg", "cursor"] {
            assert_eq!(SegmentName::parse(name), None, "{name}");
        }
        assert_eq!(NAME.check(&NAME.header()), Opening::Sound);
        let mut other = NAME.header();
        other[8] = 9;
        assert_eq!(NAME.check(&other), Opening::Damaged);
        let crc = crc32fast::hash(&other[..28]);
        other[28..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(NAME.check(&other), Opening::OtherVersion(9));
    }

    /// Where each record lies.
    fn places(records: &[Record]) -> Vec<(u64, u64)> {
        let mut at = SEGMENT_HEADER_BYTES as u64;
        let place = |record: &Record| {
            let start = at;
            at += record.bytes();
            (start, at)
        };
        records.iter().map(place).collect()
    }

    #[test]
    fn a_flipped_byte_costs_the_record_that_it_lies_in() {
        let (records, places) = (three(), places(&three()));
        let whole = segment(&records);
        for at in SEGMENT_HEADER_BYTES..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let hit = places.iter().position(|(start, end)| (*start..*end).contains(&(at as u64)));
                let hit = hit.expect("every byte belongs to a record");
                let sound = records.iter().enumerate().filter(|(index, _)| *index != hit);
                let sound: Vec<Record> = sound.map(|(_, record)| record.clone()).collect();
                for chunk_bytes in [1, 1000] {
                    let found = sorted(walk(&bytes, Depth::Whole, chunk_bytes));
                    assert_eq!(found, (sound.clone(), vec![places[hit]]), "byte {at}, flip {flip}");
                }
            }
        }
    }

    #[test]
    fn a_cut_costs_what_lies_behind_it() {
        let (records, places) = (three(), places(&three()));
        let whole = segment(&records);
        for cut in SEGMENT_HEADER_BYTES..whole.len() {
            let sound = places.iter().filter(|(_, end)| *end <= cut as u64).count();
            let end = places[..sound].last().map_or(SEGMENT_HEADER_BYTES as u64, |place| place.1);
            let damage = if end == cut as u64 { vec![] } else { vec![(end, cut as u64)] };
            let found = sorted(walk(&whole[..cut], Depth::Whole, 1));
            assert_eq!(found, (records[..sound].to_vec(), damage), "cut at {cut}");
        }
    }

    /// Bytes that a client sends are lines, whatever they look like.
    #[test]
    fn a_segment_inside_lines_is_lines() {
        let other = SegmentName { id: 7, marker: Marker(*b"another1") };
        let record = points("a v=1\n");
        let mut text = record.header(other.marker, 5).expect("it is small").to_vec();
        record.body().for_each(|piece| text.extend_from_slice(piece));
        let (db, rp, precision) = ("db".to_owned(), String::new(), Precision::Nanoseconds);
        let nested = {
            let lines = vec![text.into()];
            Record::Points { db, rp, precision, points: 1, open: false, makes_database: false, lines }
        };
        let mut bytes = segment(&[nested]);
        bytes[SEGMENT_HEADER_BYTES] ^= 1;
        assert_eq!(sorted(walk(&bytes, Depth::Whole, 1)).0, []);
    }
}
