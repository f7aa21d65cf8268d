//! Gzip of bodies: unpacking in steps, several members as one, and packing of answers, whole or piece by piece.

use std::io::{self, BufRead, Read, Write};

use bytes::{Buf, Bytes};
use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

impl std::fmt::Display for UnpackError {
    /// InfluxDB's words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            UnpackError::TooLarge => "Request Entity Too Large",
            UnpackError::Invalid => "gzip: invalid header",
            UnpackError::Checksum => "gzip: invalid checksum",
            UnpackError::Truncated => "unexpected EOF",
            UnpackError::Empty => "EOF",
        })
    }
}

/// Unpacked bytes come in pieces of at most this length.
const PIECE_BYTES: usize = 128 * 1024;

/// Unpacks a body that arrives in frames.
pub struct Unpacker {
    inner: MultiGzDecoder<Source>,
    /// How many more unpacked bytes may come.
    left: usize,
    begun: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnpackError {
    /// More bytes than allowed.
    TooLarge,
    /// Not gzip, or damaged.
    Invalid,
    /// Its trailer is not that of what it holds.
    Checksum,
    /// It ends before its trailer.
    Truncated,
    /// Not a byte.
    Empty,
}

/// Packed bytes that have not been read, and whether more will come.
struct Source {
    frame: Bytes,
    ended: bool,
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.frame.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(&self.frame)
    }

    fn consume(&mut self, amount: usize) {
        self.frame.advance(amount);
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl Unpacker {
    pub fn new(bytes_max: usize) -> Unpacker {
        Unpacker {
            inner: MultiGzDecoder::new(Source { frame: Bytes::new(), ended: false }),
            left: bytes_max,
            begun: false,
        }
    }

    /// Hands in the next frame; `next_piece` must have said `None` to the one before.
    pub fn frame(&mut self, packed: Bytes) {
        debug_assert!(self.inner.get_ref().frame.is_empty());
        self.begun |= !packed.is_empty();
        self.inner.get_mut().frame = packed;
    }

    /// No further frame will come.
    pub fn end(&mut self) {
        self.inner.get_mut().ended = true;
    }

    /// The next piece; `None`: it wants the next frame or, after `end`, all is unpacked.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, UnpackError> {
        let source = self.inner.get_ref();
        if source.frame.is_empty() && !source.ended {
            return Ok(None);
        }
        if !self.begun {
            return Err(UnpackError::Empty);
        }
        let mut piece = vec![0; PIECE_BYTES.min(self.left + 1)];
        let mut filled = 0;
        while filled < piece.len() {
            match self.inner.read(&mut piece[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(UnpackError::Truncated),
                // The crate says it by its words alone.
                Err(error) if error.to_string().contains("checksum") => return Err(UnpackError::Checksum),
                Err(_) => return Err(UnpackError::Invalid),
            }
        }
        self.left = self.left.checked_sub(filled).ok_or(UnpackError::TooLarge)?;
        piece.truncate(filled);
        Ok((filled > 0).then(|| piece.into()))
    }
}

/// Packs an answer.
pub fn pack(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // A Vec takes all bytes.
    encoder.write_all(body).and_then(|()| encoder.finish()).unwrap_or_default()
}

/// Packs an answer that is made in pieces, as one member: what has come of a piece unpacks to all of it. It holds no more than a
/// few hundred KB between two pieces.
pub struct Packer(GzEncoder<Vec<u8>>);

impl Default for Packer {
    fn default() -> Packer {
        Packer(GzEncoder::new(Vec::new(), Compression::fast()))
    }
}

impl Packer {
    pub fn piece(&mut self, body: &[u8]) -> Vec<u8> {
        // A Vec takes all bytes.
        let _ = self.0.write_all(body).and_then(|()| self.0.flush());
        std::mem::take(self.0.get_mut())
    }

    /// What stands behind the last piece.
    pub fn finish(self) -> Vec<u8> {
        self.0.finish().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, UnpackError> {
        let mut unpacker = Unpacker::new(bytes_max);
        let mut all = Vec::new();
        for frame in packed.chunks(7) {
            unpacker.frame(Bytes::copy_from_slice(frame));
            while let Some(piece) = unpacker.next_piece()? {
                all.extend(piece);
            }
        }
        unpacker.end();
        while let Some(piece) = unpacker.next_piece()? {
            all.extend(piece);
        }
        Ok(all)
    }

    #[test]
    fn members_are_read_as_one() {
        let packed = [pack(b"hello "), pack(b""), pack(b"world")].concat();
        assert_eq!(unpack(&packed, 11), Ok(b"hello world".to_vec()));
        assert_eq!(unpack(&packed, 10), Err(UnpackError::TooLarge));
    }

    #[test]
    fn each_piece_unpacks_once_it_is_there() {
        let mut packer = Packer::default();
        let (mut unpacker, mut unpacked) = (Unpacker::new(1 << 20), Vec::new());
        let mut hand_on = |packed: Vec<u8>, unpacked: &mut Vec<u8>| {
            unpacker.frame(packed.into());
            while let Some(piece) = unpacker.next_piece().expect("it is gzip") {
                unpacked.extend(piece);
            }
        };
        let mut told = Vec::new();
        for piece in [&b"hello "[..], b"", b"world", &[b'x'; 300_000], b"!"] {
            told.extend_from_slice(piece);
            hand_on(packer.piece(piece), &mut unpacked);
            assert_eq!(unpacked.len(), told.len());
        }
        hand_on(packer.finish(), &mut unpacked);
        unpacker.end();
        assert_eq!(unpacker.next_piece(), Ok(None), "it is one whole member");
        assert!(unpacked == told);
    }

    #[test]
    fn every_cut_is_seen() {
        let packed = [pack(b"hello "), pack(b"world, again and again")].concat();
        let first = pack(b"hello ").len();
        assert_eq!(unpack(b"", 1000), Err(UnpackError::Empty));
        for end in (1..packed.len()).filter(|&end| end != first) {
            assert_eq!(unpack(&packed[..end], 1000), Err(UnpackError::Truncated), "cut at {end}");
        }
    }

    #[test]
    fn damage_is_seen() {
        let mut packed = pack(b"hello hello hello");
        let trailer = packed.len() - 6;
        packed[trailer] ^= 1;
        assert_eq!(unpack(&packed, 1000), Err(UnpackError::Checksum));
        assert_eq!(unpack(b"cpu,host=a v=1 1", 1000), Err(UnpackError::Invalid));
        assert_eq!(unpack(&[pack(b"a"), b"trailing bytes".to_vec()].concat(), 1000), Err(UnpackError::Invalid));
    }
}
