//! Counts lines of bodies that come in pieces: newlines, and a last line without one.

use std::collections::HashMap;

/// What one body held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub lines: u64,
    /// As sent, perhaps packed.
    pub bytes: u64,
    /// Lines by raw name; empty where measurements are not counted apart.
    pub measurements: HashMap<Vec<u8>, u64>,
}

#[derive(Default)]
pub struct LineCounter {
    newlines: u64,
    /// Something stands behind the last newline.
    open: bool,
    names: Option<Names>,
}

impl LineCounter {
    pub fn new(by_measurement: bool) -> LineCounter {
        LineCounter { names: by_measurement.then(Names::default), ..LineCounter::default() }
    }

    pub fn push(&mut self, piece: &[u8]) {
        let Some(last) = piece.last() else { return };
        self.newlines += memchr::memchr_iter(b'\n', piece).count() as u64;
        self.open = *last != b'\n';
        if let Some(names) = &mut self.names {
            names.push(piece);
        }
    }

    pub fn finish(self, bytes: u64) -> Counted {
        let measurements = self.names.map(|names| names.finish(self.open)).unwrap_or_default();
        Counted { lines: self.newlines + u64::from(self.open), bytes, measurements }
    }
}

/// Names as written, up to the first comma or space without a backslash before it.
#[derive(Default)]
struct Names {
    lines: HashMap<Vec<u8>, u64>,
    name: Vec<u8>,
    /// The name is whole; the rest of the line is passed over.
    whole: bool,
}

impl Names {
    fn push(&mut self, piece: &[u8]) {
        let mut left = piece;
        while !left.is_empty() {
            if self.whole {
                let Some(end) = memchr::memchr(b'\n', left) else { return };
                left = &left[end..];
            }
            let Some(stop) = memchr::memchr3(b',', b' ', b'\n', left) else {
                self.name.extend_from_slice(left);
                return;
            };
            self.take(&left[..stop], left[stop]);
            left = &left[stop + 1..];
        }
    }

    /// What stands before a separator or newline, and that byte itself.
    fn take(&mut self, before: &[u8], byte: u8) {
        if !self.whole {
            self.name.extend_from_slice(before);
        }
        if byte == b'\n' {
            self.count();
        } else if self.name.last() == Some(&b'\\') {
            self.name.push(byte);
        } else {
            self.whole = true;
        }
    }

    fn count(&mut self) {
        match self.lines.get_mut(&self.name) {
            Some(lines) => *lines += 1,
            None => {
                self.lines.insert(self.name.clone(), 1);
            }
        }
        self.name.clear();
        self.whole = false;
    }

    fn finish(mut self, open: bool) -> HashMap<Vec<u8>, u64> {
        if open {
            self.count();
        }
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(body: &[u8], step: usize) -> Counted {
        let mut counter = LineCounter::new(true);
        body.chunks(step).for_each(|piece| counter.push(piece));
        counter.finish(body.len() as u64)
    }

    #[test]
    fn a_last_line_needs_no_newline() {
        let lines = |body: &[u8]| {
            let mut counter = LineCounter::new(false);
            counter.push(body);
            counter.finish(0).lines
        };
        assert_eq!([lines(b""), lines(b"a"), lines(b"a\n"), lines(b"a\nb"), lines(b"a\nb\n")], [0, 1, 1, 2, 2]);
    }

    #[test]
    fn names_at_every_cut() {
        let body = b"cpu,host=a v=1 1\nmem v=1\ncpu v=\"a, b\"\na\\,b\\ c,d=e v=1\nmem v=2";
        for step in 1..=body.len() {
            let counted = count(body, step);
            assert_eq!(counted.lines, 5);
            let wanted = [(b"cpu".to_vec(), 2), (b"mem".to_vec(), 2), (b"a\\,b\\ c".to_vec(), 1)];
            assert_eq!(counted.measurements, wanted.into(), "step {step}");
        }
    }
}
