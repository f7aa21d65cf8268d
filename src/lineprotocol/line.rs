//! What routing needs to know of one line: measurement, tag values, and whether it carries a timestamp.
//!
//! A separator is escaped when the byte before it is a backslash. Names come unescaped as InfluxDB stores them and
//! InfluxQL names them: `\,` `\ ` `\=` lose the backslash; in a measurement `\"` does too (seen on influxd 1.6.7: the
//! series of `m\"q` and `m"q` are one).

use std::borrow::Cow;

use memchr::{memchr, memchr2_iter};

use super::blocks::{BLOCK, below, find};

/// What a backslash escapes in a measurement, and in tag keys, tag values and field keys.
const NAME_ESCAPES: &[u8] = b",\" =";
const TAG_ESCAPES: &[u8] = b", =";

/// One line that is neither blank nor a comment, without the white space before it and the newline behind it.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    bytes: &'a [u8],
    /// Where the measurement ends: at an unescaped comma or space, or at the line's end.
    name_end: usize,
}

impl<'a> Line<'a> {
    /// `None` for blanks and comments.
    #[inline]
    pub fn read(line: &'a [u8]) -> Option<Line<'a>> {
        let start = line.iter().position(|byte| !matches!(byte, b' ' | b'\t' | 0))?;
        let bytes = &line[start..];
        if bytes[0] == b'#' {
            return None;
        }
        let unescaped = |&at: &usize| at == 0 || bytes[at - 1] != b'\\';
        let name_end = memchr2_iter(b',', b' ', bytes).find(unescaped).unwrap_or(bytes.len());
        Some(Line { bytes, name_end })
    }

    /// A line whose first bytes, `name_len` of them, are the measurement of the line before: the usual case of neighbours,
    /// which saves the search. `None` if more than these may be its measurement.
    #[inline]
    pub fn named(line: &'a [u8], name_len: usize) -> Option<Line<'a>> {
        let ends = matches!(line.get(name_len)?, b',' | b' ') && line[name_len.checked_sub(1)?] != b'\\';
        ends.then_some(Line { bytes: line, name_end: name_len })
    }

    /// The measurement as the line has it.
    #[inline]
    pub fn raw_name(&self) -> &'a [u8] {
        &self.bytes[..self.name_end]
    }

    /// Measurement and tags as the line has them.
    pub fn raw_series(&self) -> &'a [u8] {
        match self.bytes.get(self.name_end) {
            Some(b',') => &self.bytes[..self.unescaped(b' ', self.name_end).unwrap_or(self.bytes.len())],
            _ => self.raw_name(),
        }
    }

    /// The measurement as InfluxDB stores it.
    #[inline]
    pub fn name(&self) -> Cow<'a, [u8]> {
        unescape(self.raw_name(), NAME_ESCAPES)
    }

    /// The same in pieces that follow each other, none copied.
    #[inline]
    pub fn name_pieces(&self) -> impl Iterator<Item = &'a [u8]> {
        pieces(self.raw_name(), NAME_ESCAPES)
    }

    /// The value of a tag, as InfluxDB stores it; empty when the line does not have it.
    pub fn tag(&self, key: &str) -> Vec<u8> {
        let (mut tags, mut out) = (self.raw_tags(), Vec::new());
        while let Some(tag) = tags.next_tag() {
            if let Some(value) = tag.value_of(key) {
                self.put_value(value, &mut out);
                break;
            }
        }
        out
    }

    /// Its tags as it has them, one after the other.
    #[inline]
    pub fn raw_tags(&self) -> RawTags<'a> {
        let ended = self.bytes.get(self.name_end) != Some(&b',');
        let first = self.name_end + 1;
        RawTags { line: self.bytes, at: first, ended, next_block: first, base: first, ends: 0, backslashes: 0 }
    }

    /// Puts a tag's value, as InfluxDB stores it, behind what `out` holds. It is one of this very line.
    #[inline]
    pub fn put_value(&self, value: TagValue, out: &mut Vec<u8>) {
        let raw = &self.bytes[value.start..value.end];
        if value.escapes {
            pieces(raw, TAG_ESCAPES).for_each(|piece| out.extend_from_slice(piece));
        } else {
            out.extend_from_slice(raw);
        }
    }

    /// The whole line.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the line wants a timestamp from us: it has none, yet it has fields. A line without fields is no point
    /// whatever is put behind it, and InfluxDB's words for it shall not change.
    #[inline]
    pub fn lacks_timestamp(&self) -> bool {
        !ends_in_timestamp(self.bytes) && self.unescaped(b' ', self.name_end).is_some()
    }

    /// What must stand between the line and its timestamp besides a space: another one where the first would be
    /// escaped. (InfluxDB takes anything behind a string's closing quote for part of the string.)
    pub fn gap(&self) -> &'static [u8] {
        if ends_in_escape(self.bytes) { b" " } else { b"" }
    }

    /// `from` is where no escaped byte stands.
    fn unescaped(&self, byte: u8, from: usize) -> Option<usize> {
        separator(&self.bytes[from..], byte).map(|at| from + at)
    }
}

/// The tags of a line, found by the bits of whole blocks.
pub struct RawTags<'a> {
    line: &'a [u8],
    /// Where the next tag begins.
    at: usize,
    ended: bool,
    /// Where the block stands whose bits these are, and the one behind it.
    base: usize,
    next_block: usize,
    /// Unescaped commas and spaces, and backslashes, that are not yet behind us.
    ends: u64,
    backslashes: u64,
}

/// `key=value` as the line has it.
#[derive(Clone, Copy)]
pub struct RawTag<'a> {
    line: &'a [u8],
    start: usize,
    end: usize,
    /// It holds a backslash.
    escapes: bool,
}

/// Where a tag's value stands in its line.
#[derive(Clone, Copy)]
pub struct TagValue {
    start: usize,
    end: usize,
    escapes: bool,
}

impl<'a> RawTags<'a> {
    #[inline]
    pub fn next_tag(&mut self) -> Option<RawTag<'a>> {
        if self.ended {
            return None;
        }
        let (start, mut escapes) = (self.at, false);
        while self.ends == 0 {
            escapes |= self.backslashes != 0;
            if self.next_block >= self.line.len() {
                self.ended = true;
                // Behind what would end the tag, if it were there.
                self.at = self.line.len() + 1;
                return Some(RawTag { line: self.line, start, end: self.line.len(), escapes });
            }
            self.read_block();
        }
        let bit = self.ends.trailing_zeros();
        escapes |= self.backslashes & below(bit) != 0;
        self.backslashes &= !below(bit);
        self.ends &= self.ends - 1;
        let end = self.base + bit as usize;
        self.at = end + 1;
        self.ended = self.line[end] == b' ';
        Some(RawTag { line: self.line, start, end, escapes })
    }

    /// What was read so far, with the comma or space behind it: a line that begins alike has the same tags there. `None`
    /// when the line has ended before.
    #[inline]
    pub fn passed(&self) -> Option<&'a [u8]> {
        matches!(self.line.get(self.at.checked_sub(1)?), Some(b',' | b' ')).then(|| &self.line[..self.at])
    }

    #[inline]
    fn read_block(&mut self) {
        self.base = self.next_block;
        self.next_block += BLOCK;
        match self.line[self.base..].first_chunk() {
            Some(block) => self.read_bits(block),
            None => {
                let rest = &self.line[self.base..];
                let mut block = [0; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                self.read_bits(&block);
            }
        }
    }

    #[inline]
    fn read_bits(&mut self, block: &[u8; BLOCK]) {
        self.backslashes = find(b'\\', block);
        let escaped = self.backslashes << 1 | u64::from(self.line[self.base - 1] == b'\\');
        self.ends = (find(b',', block) | find(b' ', block)) & !escaped;
    }
}

impl RawTag<'_> {
    /// Its value if that is its key, as InfluxDB stores it.
    #[inline]
    pub fn value_of(&self, key: &str) -> Option<TagValue> {
        let tag = &self.line[self.start..self.end];
        let equals = match tag.get(key.len()) {
            _ if self.escapes => self.equals_behind(key)?,
            Some(b'=') if tag.starts_with(key.as_bytes()) && !key.contains('=') => key.len(),
            None if tag == key.as_bytes() && !key.contains('=') => key.len(),
            _ => return None,
        };
        let start = (self.start + equals + 1).min(self.end);
        Some(TagValue { start, end: self.end, escapes: self.escapes })
    }

    /// Where the key ends, if it is that one.
    fn equals_behind(&self, key: &str) -> Option<usize> {
        let tag = &self.line[self.start..self.end];
        let equals = separator(tag, b'=').unwrap_or(tag.len());
        pieces(&tag[..equals], TAG_ESCAPES).flatten().eq(key.as_bytes()).then_some(equals)
    }
}

/// A field's name as InfluxDB stores it.
pub fn field_name(raw: &[u8]) -> Cow<'_, [u8]> {
    unescape(raw, TAG_ESCAPES)
}

/// The first `byte` that no backslash stands before.
pub(super) fn separator(bytes: &[u8], byte: u8) -> Option<usize> {
    memchr::memchr_iter(byte, bytes).find(|&at| at == 0 || bytes[at - 1] != b'\\')
}

/// Whether the last word is a number behind white space with an unescaped space in it: only a space ends the fields.
/// No field value can look like that: a string ends in a quote, anything else follows its `=` at once.
#[inline]
fn ends_in_timestamp(line: &[u8]) -> bool {
    let white = |byte: &u8| matches!(byte, b' ' | b'\t' | 0);
    // What nearly every line looks like: nanoseconds since 2001.
    if let Some((head, stamp)) = line.split_last_chunk::<19>()
        && let [.., last, b' '] = head
        && *last != b'\\'
        && !white(last)
        && are_digits(stamp)
    {
        return true;
    }
    let trimmed = match line.last() {
        Some(last) if white(last) => &line[..line.iter().rposition(|byte| !white(byte)).map_or(0, |at| at + 1)],
        _ => line,
    };
    let Some(before) = trimmed.iter().rposition(|byte| !matches!(byte, b'0'..=b'9' | b'-')) else { return false };
    if before + 1 == trimmed.len() {
        return false;
    }
    match trimmed[..=before] {
        [.., last, b' '] if last != b'\\' && !white(&last) => true,
        _ => {
            let start = trimmed[..=before].iter().rposition(|byte| !white(byte)).map_or(0, |at| at + 1);
            let spaces = trimmed[start..=before].iter().enumerate().filter(|(_, byte)| **byte == b' ');
            let escaped = ends_in_escape(&trimmed[..start]);
            spaces.into_iter().any(|(at, _)| at > 0 || !escaped)
        }
    }
}

/// Eight at a time.
#[inline]
fn are_digits(stamp: &[u8; 19]) -> bool {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const THREES: u64 = 0x3030_3030_3030_3030;
    // From '0' to '9' the upper half of a byte is 3, and stays it when 6 is added; a carry only comes from what is none.
    let are = |word: [u8; 8]| {
        let word = u64::from_le_bytes(word);
        word & HIGH == THREES && word.wrapping_add(0x0606_0606_0606_0606) & HIGH == THREES
    };
    let (words, _) = stamp.as_chunks::<8>();
    words.iter().all(|word| are(*word)) && stamp.last_chunk().is_some_and(|word| are(*word))
}

/// Whether a byte put behind would be escaped: behind an odd number of backslashes.
fn ends_in_escape(bytes: &[u8]) -> bool {
    bytes.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Drops the backslash before each of `special`.
fn unescape<'a>(raw: &'a [u8], special: &'static [u8]) -> Cow<'a, [u8]> {
    if memchr(b'\\', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(pieces(raw, special).flatten().copied().collect())
}

/// What is left without the backslash before each of `special`.
#[inline]
fn pieces<'a>(raw: &'a [u8], special: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let escape = memchr::memchr_iter(b'\\', rest).find(|&at| rest.get(at + 1).is_some_and(|b| special.contains(b)));
        let piece = match escape {
            // The escaped byte begins the next piece, where it is only a byte.
            Some(0) => {
                let end = 2 + memchr(b'\\', &rest[2..]).unwrap_or(rest.len() - 2);
                let piece = &rest[1..end];
                rest = &rest[end..];
                piece
            }
            Some(at) => {
                let (piece, behind) = rest.split_at(at);
                rest = behind;
                piece
            }
            None => std::mem::take(&mut rest),
        };
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Line<'_> {
        Line::read(line.as_bytes()).expect("a line")
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("test lines are text")
    }

    #[test]
    fn names() {
        for (line, want) in [
            ("cpu v=1", "cpu"),
            (" \tcpu,host=a v=1", "cpu"),
            ("a\\,b v=1", "a,b"),
            ("with\\ space,x=y v=1", "with space"),
            ("m\\=q v=1", "m=q"),
            ("m\\\"q v=1", "m\"q"),
            ("m\\q\\\\,r v=1", "m\\q\\,r"),
            ("\\,\\ \\=\\x\\ \\y v=1", ", =\\x \\y"),
            ("m", "m"),
            (",x=y v=1", ""),
        ] {
            assert_eq!(text(&read(line).name()), want, "{line}");
            assert_eq!(text(&read(line).name_pieces().collect::<Vec<_>>().concat()), want, "{line}");
        }
    }

    #[test]
    fn blanks_and_comments_are_no_lines() {
        for line in ["", " ", "\t \0", "# cpu v=1", "  #x"] {
            assert!(Line::read(line.as_bytes()).is_none(), "{line:?}");
        }
    }

    #[test]
    fn tags() {
        let line = read("cpu,host=web\\ 1,a\\,b=c\\=d,e=\\\"x v=1,host=9");
        for (key, want) in [("host", "web 1"), ("a,b", "c=d"), ("e", "\\\"x"), ("none", ""), ("v", "")] {
            assert_eq!(text(&line.tag(key)), want, "{key}");
        }
        assert_eq!(read("cpu host=1").tag("host"), b"");
        assert_eq!(text(read("cpu,a=b\\ c v=1").raw_series()), "cpu,a=b\\ c");
    }

    #[test]
    fn timestamps() {
        for (line, lacks) in [
            ("m v=1", true),
            ("m v=1 5", false),
            ("m v=1 -5", false),
            ("m v=1 5  ", false),
            ("m v=1 \t5", false),
            ("m v=1 ", true),
            ("m v=1\r", true),
            ("m s=\"a 5\"", true),
            ("m s=\"a\" 5", false),
            ("m,t=a v=1i", true),
            ("m,t=a\\ 5 v=1", true),
            ("m", false),
            ("m,t=a", false),
            ("m\\ x", false),
            ("m\\ ,t=a", false),
            ("m v=1\\", true),
            ("m v=1\\\n", true),
            ("m s=\"x\"\t8", true),
            ("m s=\"x\"\\ 8", true),
            ("m s=\"x\"\\\\ 8", false),
            ("m s=\"x\"\\  8", false),
            ("m s=\"x\"\0\t 8", false),
            ("m s=\"x\" \t8", false),
            ("m s=\"x\"y 8", false),
            ("m s=\"x\"-8", true),
            ("m v=1 5x", true),
        ] {
            assert_eq!(read(line).lacks_timestamp(), lacks, "{line:?}");
            let line = line.replace('8', "1700000000123456789");
            assert_eq!(read(&line).lacks_timestamp(), lacks, "{line:?}");
        }
        for (at, byte) in (0..19).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
            let mut stamp = *b"1700000000123456789";
            stamp[at] = byte;
            assert_eq!(are_digits(&stamp), byte.is_ascii_digit(), "{byte} at {at}");
        }
        assert_eq!((read("m s=\"x\"\\").gap(), read("m s=\"x\\\\").gap()), (&b" "[..], &b""[..]));
    }
}
