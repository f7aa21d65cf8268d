//! Finds the lines of a body that arrives in frames, copying nothing but a line that spans two frames.
//!
//! InfluxDB ends a line at the first newline that is neither quoted nor escaped. A quote opens a string only behind
//! the first unescaped space and while more `=` than `,` were seen there. A backslash takes the next byte with it,
//! newline included, unless that byte is the body's last. These are rules for finding line ends only: what InfluxDB
//! makes of the line is another matter (and treats backslashes differently).
//!
//! Called by `batch` with the frames of an HTTP body, in order, then once with the end.

use memchr::memchr2;

use super::blocks::{BLOCK, below, find};

/// Between two frames: the line that has begun.
#[derive(Default)]
pub struct Splitter {
    /// The bytes of the line that has begun, from its start.
    carry: Vec<u8>,
    /// The state after `carry`.
    scan: Scan,
}

/// Where the scan of one line stands.
#[derive(Clone, Copy, Default)]
struct Scan {
    quoted: bool,
    /// There was a quote among the fields.
    strings: bool,
    /// Behind the first unescaped space.
    fields: bool,
    /// `=` less `,` outside strings among the fields.
    surplus: isize,
    /// The last byte was a backslash that takes the next with it.
    escape: bool,
}

impl Scan {
    /// Goes on from `bytes[from]`; the index of the newline that ends the line, if it is there.
    fn find_end(&mut self, bytes: &[u8], from: usize) -> Option<usize> {
        let (blocks, rest) = bytes[from..].as_chunks::<BLOCK>();
        for (number, block) in blocks.iter().enumerate() {
            if let Some(end) = self.find_end_in(block, BLOCK as u32) {
                return Some(from + number * BLOCK + end);
            }
        }
        if rest.is_empty() {
            return None;
        }
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        self.find_end_in(&block, rest.len() as u32).map(|end| from + blocks.len() * BLOCK + end)
    }

    /// The same in one block, of which the first `length` bytes count.
    #[inline]
    fn find_end_in(&mut self, block: &[u8; BLOCK], length: u32) -> Option<usize> {
        let free = !self.escaped(find(b'\\', block), length);
        let newlines = find(b'\n', block) & free;
        // The bits that are not yet behind us.
        let mut live = u64::MAX;
        if !self.fields {
            let space = (find(b' ', block) & free).trailing_zeros();
            let newline = newlines & below(space);
            if newline != 0 {
                return Some(newline.trailing_zeros() as usize);
            }
            self.fields = space < BLOCK as u32;
            live = !below(space);
        }
        let quotes = find(b'"', block) & free;
        if self.quoted && quotes == 0 {
            return None;
        }
        let (equals, commas) = (find(b'=', block) & free, find(b',', block) & free);
        loop {
            // Inside a string only a quote ends it; outside one a newline ends the line.
            let stops = live & if self.quoted { quotes } else { quotes | newlines };
            let stop = stops.trailing_zeros();
            if stops != 0 && newlines >> stop & 1 == 1 {
                return Some(stop as usize);
            }
            if !self.quoted {
                let passed = live & below(stop);
                self.surplus += (equals & passed).count_ones() as isize - (commas & passed).count_ones() as isize;
            }
            if stops == 0 {
                return None;
            }
            self.strings = true;
            self.quoted = !self.quoted && self.surplus > 0;
            live &= !below(stop) << 1;
        }
    }

    /// The bytes that a backslash takes with it, of the first `length`; whether it takes the one behind them is kept.
    #[inline]
    fn escaped(&mut self, backslashes: u64, length: u32) -> u64 {
        let mut taken = u64::from(std::mem::take(&mut self.escape));
        let mut left = backslashes & !taken;
        while left != 0 {
            let at = left.trailing_zeros();
            if at + 1 == length {
                self.escape = true;
                break;
            }
            taken |= 2 << at;
            // What is taken is no backslash any more.
            left &= !(3 << at);
        }
        taken
    }
}

/// The whole lines of one frame.
pub struct Lines<'a> {
    frame: &'a [u8],
    at: usize,
    /// The last line held strings, and so may the next: what finds plain lines faster is not worth a try.
    strings: bool,
}

impl Splitter {
    /// Begins a frame: the line that it completes, if one was carried over (without its newline), and where in the
    /// frame the next line starts. `None` when the frame completes no line and is carried over whole.
    pub fn begin_frame(&mut self, frame: &[u8]) -> Option<(Vec<u8>, usize)> {
        if self.carry.is_empty() {
            return Some((Vec::new(), 0));
        }
        match self.scan.find_end(frame, 0) {
            Some(end) => {
                self.carry.extend_from_slice(&frame[..end]);
                self.scan = Scan::default();
                Some((std::mem::take(&mut self.carry), end + 1))
            }
            None => {
                self.carry.extend_from_slice(frame);
                None
            }
        }
    }

    /// The whole lines of a frame from `at` on; what they leave over goes into `end_frame`.
    pub fn lines(frame: &[u8], at: usize) -> Lines<'_> {
        Lines { frame, at, strings: false }
    }

    /// Carries the rest of a frame over to the next.
    pub fn end_frame(&mut self, rest: &[u8]) {
        debug_assert!(self.carry.is_empty(), "a frame begins before it ends");
        self.scan = Scan::default();
        let end = self.scan.find_end(rest, 0);
        debug_assert!(end.is_none(), "a rest holds no whole line");
        self.carry.extend_from_slice(rest);
    }

    /// How many bytes wait for their line's end.
    pub fn carried(&self) -> usize {
        self.carry.len()
    }

    /// The body has ended properly: what it left over. At a body's very end a backslash escapes nothing, so that a
    /// newline behind it does end the line.
    pub fn finish(mut self) -> Option<Rest> {
        let end = match () {
            () if self.carry.is_empty() => return None,
            () if self.scan.quoted => End::Quoted,
            () if self.scan.escape => End::Backslash,
            () if self.ends_in_escaped_newline() => {
                self.carry.pop();
                End::Backslash
            }
            () => End::Clean,
        };
        Some(Rest { line: self.carry, end })
    }

    fn ends_in_escaped_newline(&self) -> bool {
        let [before @ .., b'\\', b'\n'] = self.carry.as_slice() else { return false };
        let mut scan = Scan::default();
        scan.find_end(before, 0);
        !scan.escape
    }
}

/// The last line of a body that does not end in a newline.
#[derive(Debug, PartialEq, Eq)]
pub struct Rest {
    pub line: Vec<u8>,
    pub end: End,
}

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A newline may follow.
    Clean,
    /// Behind a backslash, which would take what follows with it.
    Backslash,
    /// Inside quotes: all that follows would be part of them.
    Quoted,
}

impl Lines<'_> {
    /// The next line as a range of the frame, its newline left out; `None` at the rest.
    #[inline]
    pub fn next_range(&mut self) -> Option<(usize, usize)> {
        let start = self.at;
        let end = match self.strings {
            false => self.plain_line_end(start),
            true => self.line_end(start),
        }?;
        self.at = end + 1;
        Some((start, end))
    }

    /// The newline that ends the line which starts at `start`, fast where it has no quotes.
    #[inline]
    fn plain_line_end(&mut self, start: usize) -> Option<usize> {
        let stop = start + memchr2(b'"', b'\n', self.frame.get(start..)?)?;
        let ends = self.frame[stop] == b'\n' && (stop == start || self.frame[stop - 1] != b'\\');
        if ends { Some(stop) } else { self.line_end(start) }
    }

    fn line_end(&mut self, start: usize) -> Option<usize> {
        let mut scan = Scan::default();
        let end = scan.find_end(self.frame, start);
        self.strings = scan.strings;
        end
    }

    /// Where the rest begins once `next_range` has said `None`.
    pub fn rest(&self) -> usize {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::lineprotocol::fuzz::split_frames;
    use crate::lineprotocol::naive;

    /// All lines of a body fed in frames, with the open rest cut as at a body's end.
    fn split(frames: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut found, rest) = split_frames(frames);
        found.extend(rest.map(|rest| rest.line));
        found
    }

    fn body() -> impl Strategy<Value = Vec<u8>> {
        let word = prop::sample::select(vec![
            "m",
            ",",
            "=",
            " ",
            "\"",
            "\\",
            "\n",
            "v=\"",
            "\" ",
            "\",",
            "t=a",
            "1",
            "\\\"",
            "\\\\",
            "# ",
            "\r\n",
            "\u{e9}",
            " v=1",
            "\n\n",
            "name=\"a\nb\"",
        ]);
        prop::collection::vec(word, 0..60).prop_map(|words| words.concat().into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn agrees_with_its_slow_twin(body in body(), cuts in prop::collection::vec(0usize..200, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let frames: Vec<&[u8]> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
            let slow: Vec<Vec<u8>> = naive::lines(&body).into_iter().map(<[u8]>::to_vec).collect();
            prop_assert_eq!(split(&frames), slow);
        }
    }

    #[test]
    fn what_influxdb_was_seen_to_do() {
        let lines = |body: &'static str| -> Vec<String> {
            let found = split(&[body.as_bytes()]);
            found.into_iter().map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
        };
        assert_eq!(lines("a v=1\nb v=2"), ["a v=1", "b v=2"]);
        assert_eq!(lines("a s=\"x\ny\"\nb v=2\n"), ["a s=\"x\ny\"", "b v=2"]);
        assert_eq!(lines("a\\\nv v=1\nb v=2\n"), ["a\\\nv v=1", "b v=2"], "a backslash continues the line");
        assert_eq!(lines("b v=2\na\\\n"), ["b v=2", "a\\"], "but not at the body's end");
        assert_eq!(lines("a s=\"\\\\\" 1\nb v=1"), ["a s=\"\\\\\" 1", "b v=1"]);
        assert_eq!(lines(" a,t=x\"y v=1\nb v=1"), [" a,t=x\"y v=1", "b v=1"], "a quote in a tag is a byte");
        assert_eq!(lines("# c =\"x\na v=1\nb v=1"), ["# c =\"x\na v=1\nb v=1"], "comments hide lines too");
        assert_eq!(lines("m v=\"a\nb v=2\n"), ["m v=\"a\nb v=2\n"], "a dangling quote takes all");
    }
}
