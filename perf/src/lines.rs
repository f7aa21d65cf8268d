//! The points that are sent. All lines of a run have the same length, so that any number of them is a prefix of a body,
//! and the n-th line is always the same: a run can be repeated byte by byte.

use std::io::Write;

/// 2023-11-14T22:13:20Z; nineteen digits, as every later stamp of a run.
const FIRST_STAMP_NS: u64 = 1_700_000_000_000_000_000;
const STAMP_STEP_NS: u64 = 1_000_000;
/// The shortest `fill=` field, which takes up what the others leave.
const FILL: &str = "fill=0.";
const FILL_BYTES_MIN: usize = FILL.len() + 1;
const FIELDS: [&str; 8] =
    ["usage_user", "usage_system", "usage_idle", "usage_iowait", "usage_steal", "bytes_in", "bytes_out", "requests"];
/// What a field with a string holds, over and over: the bytes that make a splitter look twice.
const TEXT: &[u8] = br#"GET /a b, c=d took \"12 ms\" \\ "#;

/// What lines look like.
#[derive(Clone, Debug)]
pub struct Shape {
    pub measurements: u64,
    pub hosts: u64,
    /// Of a line with its newline.
    pub line_bytes: usize,
    pub timestamps: bool,
    /// About half of the fields' bytes are a string.
    pub strings: bool,
    /// So many neighbouring lines share a measurement.
    pub run: u64,
}

impl Shape {
    /// Says why no line can look like that.
    pub fn check(&self) -> Result<(), String> {
        if self.measurements == 0 || self.hosts == 0 || self.run == 0 {
            return Err("measurements, hosts and run are at least 1".to_owned());
        }
        let least = self.head(0).len() + self.tail(0).len() + FILL_BYTES_MIN + if self.strings { 40 } else { 0 };
        if self.line_bytes < least {
            return Err(format!("such a line has at least {least} bytes"));
        }
        Ok(())
    }

    /// `lines` lines from the `first` on, each with its newline: `lines * line_bytes` bytes.
    ///
    /// Panics on a shape that `check` refuses.
    pub fn body(&self, first: u64, lines: usize) -> Vec<u8> {
        let mut body = Vec::with_capacity(lines * self.line_bytes);
        for index in (first..).take(lines) {
            self.line(index, &mut body);
        }
        assert_eq!(body.len(), lines * self.line_bytes, "lines of one length");
        body
    }

    fn line(&self, index: u64, out: &mut Vec<u8>) {
        let tail = self.tail(index);
        let end = out.len() + self.line_bytes - tail.len();
        out.extend_from_slice(&self.head(index));
        if self.strings {
            push_string(out, (end - out.len()) / 2);
        }
        push_numbers(out, end, index);
        out.extend_from_slice(&tail);
    }

    /// Measurement, tags and the space after them.
    fn head(&self, index: u64) -> Vec<u8> {
        let turn = index / self.run;
        let (measurement, host) = (turn % self.measurements, turn / self.measurements % self.hosts);
        let (wide, host_wide) = (digits(self.measurements - 1), digits(self.hosts - 1));
        format!(
            "measurement_{measurement:0wide$},host=host-{host:0host_wide$},region=eu-west-{},rack=r{:02} ",
            host % 3,
            host % 40
        )
        .into_bytes()
    }

    /// The timestamp, if there is one, and the newline.
    fn tail(&self, index: u64) -> Vec<u8> {
        if !self.timestamps {
            return b"\n".to_vec();
        }
        format!(" {}\n", FIRST_STAMP_NS + index * STAMP_STEP_NS).into_bytes()
    }
}

/// `message="…",` of exactly `bytes`.
fn push_string(out: &mut Vec<u8>, bytes: usize) {
    let (open, close) = (b"message=\"", b"\",");
    let text = bytes - open.len() - close.len();
    out.extend_from_slice(open);
    let begin = out.len();
    out.extend(TEXT.iter().cycle().take(text));
    // An escape that the end cuts in two would escape the closing quote.
    let open_escape = out[begin..].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1;
    if let Some(last) = out.last_mut().filter(|_| open_escape) {
        *last = b'.';
    }
    out.extend_from_slice(close);
}

/// Numeric fields up to `end`, the last one as long as it takes.
fn push_numbers(out: &mut Vec<u8>, end: usize, index: u64) {
    let mut random = index;
    for name in FIELDS {
        random = mix(random);
        let value = random % 10_000;
        if out.len() + name.len() + "=00.00,".len() + FILL_BYTES_MIN > end {
            continue;
        }
        write!(out, "{name}={:02}.{:02},", value / 100, value % 100).expect("a Vec takes any bytes");
    }
    out.extend_from_slice(FILL.as_bytes());
    while out.len() < end {
        random = mix(random);
        out.push(b'0' + u8::try_from(random % 10).expect("a digit"));
    }
}

fn digits(number: u64) -> usize {
    number.to_string().len()
}

/// splitmix64: spreads neighbouring numbers over all of u64.
pub fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn shape() -> Shape {
        Shape { measurements: 200, hosts: 100, line_bytes: 174, timestamps: true, strings: false, run: 1 }
    }

    #[test]
    fn a_body_has_its_lines_and_its_bytes() {
        for strings in [false, true] {
            for timestamps in [false, true] {
                for line_bytes in 130..300 {
                    let shape = Shape { line_bytes, timestamps, strings, ..shape() };
                    shape.check().expect("long enough");
                    let body = shape.body(7, 50);
                    let lines: Vec<&[u8]> = body.split_inclusive(|&byte| byte == b'\n').collect();
                    assert_eq!(lines.len(), 50);
                    assert!(lines.iter().all(|line| line.len() == line_bytes));
                }
            }
        }
    }

    #[test]
    fn every_series_comes_and_every_stamp_once() {
        let body = shape().body(0, 20_000);
        let text = String::from_utf8(body).expect("ASCII");
        let series: HashSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        let stamps: HashSet<&str> = text.lines().filter_map(|line| line.rsplit(' ').next()).collect();
        assert_eq!((series.len(), stamps.len()), (20_000, 20_000));
    }

    #[test]
    fn neighbours_share_a_measurement() {
        let body = Shape { run: 4, ..shape() }.body(0, 8);
        let text = String::from_utf8(body).expect("ASCII");
        let names: Vec<&str> = text.lines().filter_map(|line| line.split(',').next()).collect();
        assert!(names[..4].iter().all(|&name| name == "measurement_000"));
        assert!(names[4..].iter().all(|&name| name == "measurement_001"));
    }

    #[test]
    fn a_string_ends_where_it_should() {
        for bytes in 40..120 {
            let mut out = Vec::new();
            push_string(&mut out, bytes);
            assert_eq!(out.len(), bytes);
            let text = &out[b"message=\"".len()..];
            let mut escaped = false;
            let end = text.iter().position(|&byte| {
                let closes = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                closes
            });
            assert_eq!(end, Some(text.len() - 2), "{}", String::from_utf8_lossy(&out));
        }
    }

    #[test]
    fn a_line_too_short_is_refused() {
        assert!(Shape { line_bytes: 60, ..shape() }.check().is_err());
        assert!(Shape { hosts: 0, ..shape() }.check().is_err());
    }
}
