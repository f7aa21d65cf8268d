//! Finds the lines of a body that arrives in frames, copying nothing but a line that spans two frames.
//!
//! InfluxDB ends a line at the first newline that is neither quoted nor escaped. A quote opens a string only behind
//! the first unescaped space and while more `=` than `,` were seen there. A backslash takes the next byte with it,
//! newline included, unless that byte is the body's last. These are rules for finding line ends only: what InfluxDB
//! makes of the line is another matter (and treats backslashes differently).
//!
//! Called by `batch` with the frames of an HTTP body, in order, then once with the end.

use memchr::{memchr, memchr2, memrchr};

/// Between two frames: the line that has begun.
#[derive(Default)]
pub struct Splitter {
    /// The bytes of the line that has begun, from its start.
    carry: Vec<u8>,
    /// The state after `carry`.
    scan: Scan,
}

/// Where the byte-by-byte scan of one line stands.
#[derive(Clone, Copy, Default)]
struct Scan {
    quoted: bool,
    /// Behind the first unescaped space.
    fields: bool,
    equals: usize,
    commas: usize,
    /// The last byte was a backslash that takes the next with it.
    escape: bool,
}

impl Scan {
    /// Goes on from `bytes[at]`; the index of the newline that ends the line, if it is there.
    fn find_end(&mut self, bytes: &[u8], mut at: usize) -> Option<usize> {
        while at < bytes.len() {
            if self.escape {
                self.escape = false;
                at += 1;
                continue;
            }
            match bytes[at] {
                b'\\' => self.escape = true,
                b' ' => self.fields = true,
                b'=' if self.fields && !self.quoted => self.equals += 1,
                b',' if self.fields && !self.quoted => self.commas += 1,
                b'"' if self.fields && self.equals > self.commas => self.quoted = !self.quoted,
                b'\n' if !self.quoted => return Some(at),
                _ if self.quoted => match memchr2(b'"', b'\\', &bytes[at..]) {
                    Some(skip) => {
                        at += skip;
                        continue;
                    }
                    None => return None,
                },
                _ => {}
            }
            at += 1;
        }
        None
    }
}

/// The whole lines of one frame.
pub struct Lines<'a> {
    frame: &'a [u8],
    at: usize,
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
        Lines { frame, at }
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
        let end = line_end(self.frame, start)?;
        self.at = end + 1;
        Some((start, end))
    }

    /// Where the rest begins once `next_range` has said `None`.
    pub fn rest(&self) -> usize {
        self.at
    }
}

/// The newline that ends the line which starts at `start`.
#[inline]
fn line_end(bytes: &[u8], start: usize) -> Option<usize> {
    let stop = start + memchr2(b'"', b'\n', bytes.get(start..)?)?;
    if bytes[stop] == b'\n' {
        if stop > start && bytes[stop - 1] == b'\\' {
            return Scan::default().find_end(bytes, start);
        }
        return Some(stop);
    }
    match quoted_line_end(bytes, start, stop) {
        Quoted::End(end) => Some(end),
        Quoted::Rest => None,
        Quoted::Unusual => Scan::default().find_end(bytes, start),
    }
}

enum Quoted {
    End(usize),
    /// The line goes on past these bytes.
    Rest,
    /// Not what a well-made line looks like: the byte-by-byte scan must tell.
    Unusual,
}

/// Jumps from string to string of a line that is made as clients make them: every quote behind `=`, no backslashes
/// outside strings, fields as `key=value`.
fn quoted_line_end(bytes: &[u8], start: usize, first_quote: usize) -> Quoted {
    let mut open = first_quote;
    let Some(space) = memchr(b' ', &bytes[start..open]).map(|at| start + at) else { return Quoted::Unusual };
    let mut outside = start;
    let mut surplus = 0;
    loop {
        let between = &bytes[outside..open];
        if between.last() != Some(&b'=') || memchr(b'\\', between).is_some() {
            return Quoted::Unusual;
        }
        let fields = &bytes[outside.max(space)..open];
        surplus += memchr::memchr_iter(b'=', fields).count() as isize;
        surplus -= memchr::memchr_iter(b',', fields).count() as isize;
        if surplus <= 0 {
            return Quoted::Unusual;
        }
        let Some(close) = string_end(bytes, open + 1) else { return Quoted::Rest };
        outside = close + 1;
        let Some(stop) = memchr2(b'"', b'\n', &bytes[outside..]).map(|at| outside + at) else { return Quoted::Rest };
        if bytes[stop] == b'\n' {
            let escaped = memrchr(b'\\', &bytes[outside..stop]).is_some();
            return if escaped { Quoted::Unusual } else { Quoted::End(stop) };
        }
        open = stop;
    }
}

/// The quote that closes the string whose first byte is at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += 2;
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
