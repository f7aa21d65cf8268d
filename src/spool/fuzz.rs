//! Fuzz body of the scan of a segment; see `src/fuzz.rs`.

use std::io;

use bytes::Bytes;

use super::record::{Depth, Marker, Piece, Record, SEGMENT_HEADER_BYTES, SegmentName, Walk};

/// The segment that seeds are written for.
const NAME: SegmentName = SegmentName { id: 7, marker: Marker(*b"\x01mark\xffer") };

/// Any bytes as a segment: every byte behind its header is told as part of a record or of damage, in order, each record
/// is written as it was read, and reading in small chunks finds the same.
pub fn segment(input: &[u8]) {
    let _ = NAME.check(input);
    let whole = walk(input, Depth::Whole, input.len());
    assert_eq!(walk(input, Depth::Whole, 1), whole);
    let mut at = SEGMENT_HEADER_BYTES.min(input.len()) as u64;
    for piece in &whole {
        let end = match piece {
            Piece::Damage { start, end } => {
                assert!(*start == at && start < end, "{piece:?} at {at}");
                *end
            }
            Piece::Record { header, record, end } => {
                let record = record.as_ref().expect("whole records were asked for");
                if *record == Record::Void {
                    // What it was is not told.
                    assert_eq!(*end, at + header.bytes(), "{piece:?} at {at}");
                    at = *end;
                    continue;
                }
                let mut bytes = record.header(NAME.marker, header.accepted_ms).expect("it was read").to_vec();
                record.body().for_each(|piece| bytes.extend_from_slice(piece));
                assert_eq!(bytes, input[at as usize..*end as usize], "{record:?}");
                *end
            }
        };
        at = end;
    }
    assert_eq!(at, input.len() as u64, "some bytes were left out");
}

fn walk(input: &[u8], depth: Depth, chunk_bytes: usize) -> Vec<Piece> {
    let end = input.len() as u64;
    let mut walk = Walk::new(NAME.marker, depth, (SEGMENT_HEADER_BYTES as u64).min(end), end, chunk_bytes);
    let mut read = |at: u64, count: usize| -> io::Result<Bytes> {
        assert!(at + count as u64 <= end, "{count} bytes at {at} of {end}");
        Ok(Bytes::copy_from_slice(&input[at as usize..][..count]))
    };
    std::iter::from_fn(|| walk.next(&mut read).expect("memory can be read")).collect()
}
