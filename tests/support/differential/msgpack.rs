//! MessagePack with the one thing evened out that influxd leaves to chance: it writes a series' tags in the order of Go's
//! maps, another one each time.

/// The same documents with the pairs of each map behind the key `tags` in the order of their bytes; `None` when it is no
/// MessagePack.
pub fn with_sorted_tags(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut walk = Walk { bytes, at: 0, out: Vec::with_capacity(bytes.len()) };
    while walk.at < bytes.len() {
        walk.item(0)?;
    }
    Some(walk.out)
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

/// Answers nest less deeply.
const DEPTH_MAX: usize = 32;

impl Walk<'_> {
    /// Copies one item.
    fn item(&mut self, depth: usize) -> Option<()> {
        let head = self.copy(1)?[0];
        match head {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Some(()),
            0x80..=0x8f => self.map(usize::from(head & 15), depth),
            0x90..=0x9f => self.list(usize::from(head & 15), depth),
            0xa0..=0xbf => self.skip(usize::from(head & 31)),
            0xc4 | 0xd9 => self.sized(1, 0),
            0xc5 | 0xda => self.sized(2, 0),
            0xc6 | 0xdb => self.sized(4, 0),
            0xc7 => self.sized(1, 1),
            0xc8 => self.sized(2, 1),
            0xc9 => self.sized(4, 1),
            0xcc | 0xd0 => self.skip(1),
            0xcd | 0xd1 => self.skip(2),
            0xca | 0xce | 0xd2 => self.skip(4),
            0xcb | 0xcf | 0xd3 => self.skip(8),
            0xd4..=0xd8 => self.skip((1 << (head - 0xd4)) + 1),
            0xdc => self.number(2).and_then(|count| self.list(count, depth)),
            0xdd => self.number(4).and_then(|count| self.list(count, depth)),
            0xde => self.number(2).and_then(|count| self.map(count, depth)),
            0xdf => self.number(4).and_then(|count| self.map(count, depth)),
            0xc1 => None,
        }
    }

    fn list(&mut self, count: usize, depth: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.deeper(depth))
    }

    fn map(&mut self, count: usize, depth: usize) -> Option<()> {
        for _ in 0..count {
            let key_begin = self.out.len();
            self.deeper(depth)?;
            let is_tags = self.out[key_begin..] == *b"\xa4tags";
            let value_begin = self.out.len();
            self.deeper(depth)?;
            if is_tags {
                let value = self.out.split_off(value_begin);
                self.out.extend(sorted_map(&value)?);
            }
        }
        Some(())
    }

    fn deeper(&mut self, depth: usize) -> Option<()> {
        if depth >= DEPTH_MAX { None } else { self.item(depth + 1) }
    }

    fn sized(&mut self, width: usize, more: usize) -> Option<()> {
        let length = self.number(width)?;
        self.skip(length + more)
    }

    fn number(&mut self, width: usize) -> Option<usize> {
        let bytes = self.copy(width)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.copy(count).map(|_| ())
    }

    fn copy(&mut self, count: usize) -> Option<&[u8]> {
        let part = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        self.out.extend_from_slice(part);
        Some(part)
    }
}

/// One map with its pairs sorted; anything else as it is.
fn sorted_map(item: &[u8]) -> Option<Vec<u8>> {
    let mut walk = Walk { bytes: item, at: 0, out: Vec::new() };
    let head = walk.copy(1)?[0];
    let count = match head {
        0x80..=0x8f => usize::from(head & 15),
        0xde => walk.number(2)?,
        0xdf => walk.number(4)?,
        _ => return Some(item.to_vec()),
    };
    let mut sorted = walk.out.clone();
    let mut pairs = Vec::new();
    for _ in 0..count {
        walk.out.clear();
        walk.item(0)?;
        walk.item(0)?;
        pairs.push(walk.out.clone());
    }
    pairs.sort_unstable();
    sorted.extend(pairs.concat());
    Some(sorted)
}
