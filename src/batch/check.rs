//! What a single InfluxDB would answer to a batch, when none can be asked: which lines it would refuse, in its words.
//!
//! Known without a replica is what InfluxDB says of a line alone (`lineprotocol::point`), and that it stores neither tags
//! nor lone fields named `time`. What depends on what is stored (field types, also those that the batch itself gives a
//! new field; retention; limits on series and tags) only a replica can say: such lines are good here.
//!
//! InfluxDB tells dropped points of one of its own time shards alone; here all points of a batch count as of one.
//!
//! Called by whoever spools a batch that no replica has seen. Pure.

use bytes::Bytes;
use memchr::memmem;

use crate::lineprotocol::point::{self, Fault, FieldType, Point, RawField};
use crate::lineprotocol::{Line, Precision, Splitter};

use super::answer::{PARTIAL, UNPARSED};
use super::{Batch, ReplicaAnswer};

/// The name that InfluxDB keeps to itself.
const TIME: &str = "time";

/// A batch, looked at.
#[derive(Debug)]
pub struct Checked {
    /// What InfluxDB would store of it: the batch itself, nothing copied, if that is all; `None` if it is nothing.
    pub good: Option<Batch>,
    /// `Stored`, or `Refused`; for `merge`, with the batch as it was.
    pub answer: ReplicaAnswer,
}

/// Looks at a batch whose times are in the given unit. Each of its pieces holds whole lines.
pub fn check(batch: &Batch, precision: Precision) -> Checked {
    let mut findings = Findings::new(precision);
    for (number, piece) in batch.pieces.iter().enumerate() {
        let mut lines = Splitter::lines(piece, 0);
        while let Some((start, end)) = lines.next_range() {
            findings.look_at(number, piece, start, end, false);
        }
        if lines.rest() < piece.len() {
            findings.look_at(number, piece, lines.rest(), piece.len(), batch.open);
        }
    }
    Checked { good: findings.good(batch), answer: findings.answer() }
}

struct Findings {
    precision: Precision,
    time: memmem::Finder<'static>,
    good: u32,
    /// Lines that are not good, in order.
    bad: Vec<BadLine>,
    /// The complaints about lines that are no points.
    unparsed: String,
    /// Points that are not stored, and what is told of them: a tag outweighs fields.
    dropped: u64,
    bad_tag: Option<String>,
    bad_field: Option<String>,
    /// What InfluxDB fails at.
    failure: Option<String>,
}

/// Where a line stands, its newline with it.
struct BadLine {
    piece: usize,
    start: usize,
    end: usize,
}

/// Why InfluxDB drops a point that it has read.
enum Unstorable<'a> {
    Tag,
    Fields,
    Value(RawField<'a>),
}

impl Findings {
    fn new(precision: Precision) -> Findings {
        let time = memmem::Finder::new(TIME);
        let (unparsed, bad) = (String::new(), Vec::new());
        Findings { precision, time, good: 0, bad, unparsed, dropped: 0, bad_tag: None, bad_field: None, failure: None }
    }

    #[inline]
    fn look_at(&mut self, number: usize, piece: &[u8], start: usize, end: usize, open: bool) {
        let text = &piece[start..end];
        // One newline at the end, escaped or in an open string, is not the line's.
        let Some(line) = Line::read(text.strip_suffix(b"\n").unwrap_or(text)) else { return };
        match point::read(&line, self.precision) {
            // To InfluxDB a point all the same, now and then, which would get its time from each replica by itself.
            Ok(_) if open && line.lacks_timestamp() => self.complain(&line, &Fault::UnbalancedQuotes),
            Ok(point) => match self.unstorable(&line, &point) {
                None => {
                    self.good += 1;
                    return;
                }
                Some(reason) => self.drop_point(&line, &reason),
            },
            Err(fault) => self.complain(&line, &fault),
        }
        self.bad.push(BadLine { piece: number, start, end: piece.len().min(end + 1) });
    }

    #[inline]
    fn unstorable<'a>(&self, line: &Line<'_>, point: &Point<'a>) -> Option<Unstorable<'a>> {
        if let Some(field) = point.unreadable() {
            return Some(Unstorable::Value(field));
        }
        self.time.find(line.bytes())?;
        let mut tags = line.raw_tags();
        while let Some(tag) = tags.next_tag() {
            if tag.value_of(TIME).is_some() {
                return Some(Unstorable::Tag);
            }
        }
        let only_time = point.raw_fields().all(|field| field.name == TIME.as_bytes());
        only_time.then_some(Unstorable::Fields)
    }

    fn drop_point(&mut self, line: &Line<'_>, reason: &Unstorable<'_>) {
        let name = point::text(&line.name());
        let (told, text) = match reason {
            Unstorable::Tag => (
                &mut self.bad_tag,
                format!("invalid tag key: input tag \"{TIME}\" on measurement \"{name}\" is invalid"),
            ),
            Unstorable::Fields => (
                &mut self.bad_field,
                format!("invalid field name: input field \"{TIME}\" on measurement \"{name}\" is invalid"),
            ),
            Unstorable::Value(field) => (&mut self.failure, unreadable(field)),
        };
        self.dropped += u64::from(!matches!(reason, Unstorable::Value(_)));
        told.get_or_insert(text);
    }

    fn complain(&mut self, line: &Line<'_>, fault: &Fault<'_>) {
        if !self.unparsed.is_empty() {
            self.unparsed.push('\n');
        }
        self.unparsed.push_str(&format!("{UNPARSED}{}': {fault}", point::text(line.bytes())));
    }

    /// The good lines, in one piece if there are others.
    fn good(&self, batch: &Batch) -> Option<Batch> {
        if self.good == 0 {
            return None;
        }
        if self.bad.is_empty() {
            return Some(batch.clone());
        }
        let mut text = Vec::with_capacity(batch.bytes);
        let mut bad = self.bad.iter().peekable();
        let mut ends_bad = false;
        for (number, piece) in batch.pieces.iter().enumerate() {
            let mut at = 0;
            while let Some(line) = bad.next_if(|line| line.piece == number) {
                text.extend_from_slice(&piece[at..line.start]);
                at = line.end;
            }
            text.extend_from_slice(&piece[at..]);
            ends_bad = at == piece.len();
        }
        let open = batch.open && !ends_bad;
        Some(Batch { group: batch.group, bytes: text.len(), pieces: vec![Bytes::from(text)], points: self.good, open })
    }

    fn answer(self) -> ReplicaAnswer {
        if let Some(error) = self.failure {
            return ReplicaAnswer::Refused { status: 500, error };
        }
        let error = match self.bad_tag.or(self.bad_field) {
            Some(reason) => format!("{PARTIAL}{reason} dropped={}", self.dropped),
            None if self.unparsed.is_empty() => return ReplicaAnswer::Stored,
            None if self.good == 0 => self.unparsed,
            None => format!("{PARTIAL}{} dropped=0", self.unparsed),
        };
        ReplicaAnswer::Refused { status: 400, error }
    }
}

/// Go's words for a value that it cannot read.
fn unreadable(field: &RawField<'_>) -> String {
    let (kind, function) = match field.kind() {
        FieldType::Integer => ("integer", "ParseInt"),
        FieldType::Boolean => ("bool", "ParseBool"),
        _ => ("floating point", "ParseFloat"),
    };
    let value = field.value.strip_suffix(b"i").filter(|_| field.kind() == FieldType::Integer).unwrap_or(field.value);
    let value = go_quoted(value);
    format!("engine: unable to parse {kind} value {value}: strconv.{function}: parsing {value}: invalid syntax")
}

/// As Go's strconv.Quote.
fn go_quoted(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for ch in chunk.valid().chars() {
            match ch {
                '"' | '\\' => quoted.extend(['\\', ch]),
                '\x07' => quoted.push_str(r"\a"),
                '\x08' => quoted.push_str(r"\b"),
                '\x0b' => quoted.push_str(r"\v"),
                '\x0c' => quoted.push_str(r"\f"),
                '\n' => quoted.push_str(r"\n"),
                '\r' => quoted.push_str(r"\r"),
                '\t' => quoted.push_str(r"\t"),
                '\0'..' ' | '\x7f' => quoted.push_str(&format!(r"\x{:02x}", u32::from(ch))),
                _ if ch.is_control() => quoted.push_str(&format!(r"\u{:04x}", u32::from(ch))),
                _ => quoted.push(ch),
            }
        }
        quoted.extend(chunk.invalid().iter().map(|byte| format!(r"\x{byte:02x}")));
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batches, merge};

    fn batch(pieces: &[&'static str], open: bool) -> Batch {
        let pieces: Vec<Bytes> = pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
        let bytes = pieces.iter().map(Bytes::len).sum();
        Batch { group: 0, points: pieces.len() as u32, pieces, bytes, open }
    }

    fn refused(error: &str) -> ReplicaAnswer {
        ReplicaAnswer::Refused { status: 400, error: error.to_owned() }
    }

    /// The good lines, and the answer.
    fn checked(batch: &Batch) -> (String, ReplicaAnswer) {
        let Checked { good, answer } = check(batch, Precision::Nanoseconds);
        let text = good.as_ref().map(Batch::joined).unwrap_or_default();
        assert_eq!(good.map_or(0, |good| good.bytes), text.len());
        (String::from_utf8(text).expect("test lines are text"), answer)
    }

    #[test]
    fn good_lines_are_left_where_they_are() {
        let batch = batch(&["m v=1 1\nm v=2 2\n", "m v=3 3\n"], false);
        let Checked { good, answer } = check(&batch, Precision::Nanoseconds);
        let good = good.expect("there are points");
        assert_eq!(answer, ReplicaAnswer::Stored);
        assert!(good.pieces.iter().zip(&batch.pieces).all(|(good, own)| good.as_ptr() == own.as_ptr()));
    }

    #[test]
    fn bad_lines_are_told_and_left_out() {
        let all = batch(&["m v=x 1\n", "m v=2 2\nm 3\nm v=4 4\n"], false);
        let want = "partial write: unable to parse 'm v=x 1': invalid boolean\n\
                    unable to parse 'm 3': invalid field format dropped=0";
        assert_eq!(checked(&all), ("m v=2 2\nm v=4 4\n".to_owned(), refused(want)));
        let none = batch(&["m v=x 1\nm\n"], false);
        let want = "unable to parse 'm v=x 1': invalid boolean\nunable to parse 'm': missing fields";
        assert_eq!(checked(&none), (String::new(), refused(want)));
    }

    #[test]
    fn nothing_is_stored_of_the_name_time() {
        let lines = ["a time=1 1\n", "b v=x 1\n", "c,time=1 v=1 1\n", "uptime,a=time v=1,time=2 1\n"];
        let want = "partial write: invalid tag key: input tag \"time\" on measurement \"c\" is invalid dropped=2";
        assert_eq!(checked(&batch(&lines, false)), (lines[3].to_owned(), refused(want)));
        let want = "partial write: invalid field name: input field \"time\" on measurement \"a\" is invalid dropped=1";
        assert_eq!(checked(&batch(&lines[..2], false)), (String::new(), refused(want)));
    }

    #[test]
    fn what_influxdb_takes_and_then_fails_at_is_refused() {
        let lines = ["m s\\\\=\"a,b\",c=1 1\n", "m s\\\\=\"ab\",c=1 1\n", "m s\\\\=\"x, y=z\" 1\n"];
        let (good, answer) = checked(&batch(&lines, false));
        let error =
            "engine: unable to parse bool value \"z\\\"\": strconv.ParseBool: parsing \"z\\\"\": invalid syntax";
        assert_eq!(answer, ReplicaAnswer::Refused { status: 500, error: error.to_owned() });
        assert_eq!(good, lines[..2].concat());
    }

    #[test]
    fn values_are_quoted_as_go_does() {
        let quoted = go_quoted(b"2 5\nm \"a\\\t\x01\x7f\xc3\xa4\xff\xc2\x85");
        assert_eq!(quoted, r#""2 5\nm \"a\\\t\x01\x7fä\xff\u0085""#);
    }

    #[test]
    fn an_open_end_is_told_as_the_client_wrote_it() {
        let open = batch(&["m v=1 1\n", "m s=\"a\n"], true);
        let Checked { good, answer } = check(&open, Precision::Nanoseconds);
        assert!(good.is_some_and(|good| !good.open && good.joined() == b"m v=1 1\n"));
        assert_eq!(answer, refused("partial write: unable to parse 'm s=\"a': unbalanced quotes dropped=0"));
    }

    #[test]
    fn the_client_hears_of_its_lines_without_our_stamps() {
        let batch = batch(&["m v=x 77\n", "m v=1 77\n"], false);
        let answer = check(&batch, Precision::Nanoseconds).answer;
        let run = crate::batch::Run { group: 0, lines: 2, stamped: true };
        let batches = Batches { list: vec![batch], runs: vec![run], stamp: " 77".to_owned(), points: 2 };
        let heard = merge(&batches, &[answer]);
        let want = "partial write: unable to parse 'm v=x': invalid boolean dropped=0";
        assert_eq!((heard.status, heard.error.as_deref()), (400, Some(want)));
    }

    #[test]
    fn a_time_is_in_range_by_its_unit() {
        let late = batch(&["m v=1 9223372037\n"], false);
        assert_eq!(check(&late, Precision::Nanoseconds).answer, ReplicaAnswer::Stored);
        let want = "unable to parse 'm v=1 9223372037': time outside range -9223372036854775806 - 9223372036854775806";
        assert_eq!(check(&late, Precision::Seconds).answer, refused(want));
    }
}
