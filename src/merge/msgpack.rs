//! Reads answers in MessagePack as InfluxDB writes them: one document, or one behind the other when chunked, in frames as
//! they come. Called by `query`.
//!
//! A document is read once it is there as a whole; one over the limit is an error, as is any byte that InfluxDB would not
//! write at its place. Times are extensions of type 5 with 12 bytes: seconds since 1970 and nanoseconds, big-endian.
//! Text that is not UTF-8, which InfluxDB stores, has U+FFFD for what is broken, as InfluxDB's JSON has it.

use std::fmt;

use super::results::{Answer, Message, Series, StatementResult, Value};

/// Bytes that are no answer of InfluxDB's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A document has more bytes than the limit given here.
    TooLarge(usize),
    /// The stream ended within a document.
    Cut,
    /// What stood where something else was due.
    Unexpected(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::TooLarge(max) => write!(f, "a part of the answer has more than {max} bytes"),
            DecodeError::Cut => f.write_str("the answer ends in the middle"),
            DecodeError::Unexpected(what) => write!(f, "not an answer to a query: {what}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Cuts a stream into documents and reads them.
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the document that has not been read begins. `start <= seen <= buffer.len()`.
    start: usize,
    /// How far its values have been walked.
    seen: usize,
    /// How many values are still to come before it ends; 0: it has not begun.
    open: usize,
    document_bytes_max: usize,
}

impl Decoder {
    pub fn new(document_bytes_max: usize) -> Decoder {
        Decoder { buffer: Vec::new(), start: 0, seen: 0, open: 0, document_bytes_max }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        (self.seen, self.start) = (self.seen - self.start, 0);
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes are held that have not been read.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The next document that is whole; `None`: more bytes are due.
    pub fn next_document(&mut self) -> Result<Option<Answer>, DecodeError> {
        if self.held_bytes() == 0 {
            return Ok(None);
        }
        if self.open == 0 {
            self.open = 1;
        }
        while self.open > 0 {
            match walk(&self.buffer[self.seen..])? {
                Some((bytes, values)) => {
                    self.seen += bytes;
                    // Each value has a byte at least.
                    self.open = (self.open - 1).saturating_add(values);
                    let least = (self.seen - self.start).saturating_add(self.open);
                    if least > self.document_bytes_max {
                        return Err(DecodeError::TooLarge(self.document_bytes_max));
                    }
                }
                None if self.held_bytes() > self.document_bytes_max => {
                    return Err(DecodeError::TooLarge(self.document_bytes_max));
                }
                None => return Ok(None),
            }
        }
        let document = &self.buffer[self.start..self.seen];
        let mut reader = Reader(document);
        let answer = reader.answer()?;
        self.start = self.seen;
        Ok(Some(answer))
    }

    /// The stream has ended: an error, if within a document.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.held_bytes() == 0 { Ok(()) } else { Err(DecodeError::Cut) }
    }
}

/// One answer, which is all of these bytes.
pub fn decode(bytes: &[u8]) -> Result<Answer, DecodeError> {
    let mut decoder = Decoder::new(bytes.len());
    decoder.push(bytes);
    let answer = decoder.next_document()?.ok_or(DecodeError::Cut)?;
    match decoder.held_bytes() {
        0 => Ok(answer),
        _ => Err(DecodeError::Unexpected("bytes behind the answer")),
    }
}

/// What begins with a byte: how many bytes of its own it has, that one included, and how many values follow in it. `None`:
/// the bytes end before that is known, or before its own end.
fn walk(bytes: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    let Some(&marker) = bytes.first() else { return Ok(None) };
    // The length that stands behind the marker, in so many bytes.
    let length = |size: usize| {
        let bytes = bytes.get(1..1 + size)?;
        Some(bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte)))
    };
    let flat = |own: usize| Some((own, 0));
    let sized = |size: usize, more: usize| length(size).map(|length| (1 + size + more + length, 0));
    let found = match marker {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => flat(1),
        0x80..=0x8f => Some((1, 2 * usize::from(marker & 0x0f))),
        0x90..=0x9f => Some((1, usize::from(marker & 0x0f))),
        0xa0..=0xbf => flat(1 + usize::from(marker & 0x1f)),
        0xc1 => return Err(DecodeError::Unexpected("a byte that MessagePack does not have")),
        0xc4 | 0xd9 => sized(1, 0),
        0xc5 | 0xda => sized(2, 0),
        0xc6 | 0xdb => sized(4, 0),
        0xc7 => sized(1, 1),
        0xc8 => sized(2, 1),
        0xc9 => sized(4, 1),
        0xcc | 0xd0 => flat(2),
        0xcd | 0xd1 => flat(3),
        0xca | 0xce | 0xd2 => flat(5),
        0xcb | 0xcf | 0xd3 => flat(9),
        0xd4..=0xd8 => flat(2 + (1 << (marker - 0xd4))),
        0xdc => length(2).map(|values| (3, values)),
        0xdd => length(4).map(|values| (5, values)),
        0xde => length(2).map(|pairs| (3, 2 * pairs)),
        0xdf => length(4).map(|pairs| (5, pairs.saturating_mul(2))),
    };
    Ok(found.filter(|(own, _)| *own <= bytes.len()))
}

/// A document that `walk` found whole.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next value's own bytes, marker first, and how many values are in it.
    fn next(&mut self) -> Result<(u8, &'a [u8], usize), DecodeError> {
        let (own, values) = walk(self.0)?.ok_or(DecodeError::Cut)?;
        let (value, rest) = self.0.split_at(own);
        self.0 = rest;
        // `own` is 1 at least.
        Ok((value[0], &value[1..], values))
    }

    /// Whatever comes next, with all that is in it.
    fn skip(&mut self) -> Result<(), DecodeError> {
        let mut open = 1_usize;
        while open > 0 {
            let (_, _, values) = self.next()?;
            open = (open - 1).saturating_add(values);
        }
        Ok(())
    }

    /// How many pairs a map has.
    fn map(&mut self, due: &'static str) -> Result<usize, DecodeError> {
        match self.next()? {
            (0x80..=0x8f | 0xde | 0xdf, _, values) => Ok(values / 2),
            _ => Err(DecodeError::Unexpected(due)),
        }
    }

    /// `read` for each value of an array.
    fn array<T>(
        &mut self,
        due: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let (0x90..=0x9f | 0xdc | 0xdd, _, values) = self.next()? else {
            return Err(DecodeError::Unexpected(due));
        };
        // The document has a byte at least for each.
        let mut read_values = Vec::with_capacity(values.min(self.0.len()));
        for _ in 0..values {
            read_values.push(read(self)?);
        }
        Ok(read_values)
    }

    fn text(&mut self, due: &'static str) -> Result<String, DecodeError> {
        let (marker, bytes, _) = self.next()?;
        let text = text(marker, bytes).ok_or(DecodeError::Unexpected(due))?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn key(&mut self) -> Result<&'a [u8], DecodeError> {
        let (marker, bytes, _) = self.next()?;
        text(marker, bytes).ok_or(DecodeError::Unexpected("a key that is not text"))
    }

    fn boolean(&mut self) -> Result<bool, DecodeError> {
        match self.next()?.0 {
            0xc2 => Ok(false),
            0xc3 => Ok(true),
            _ => Err(DecodeError::Unexpected("partial is not a boolean")),
        }
    }

    fn answer(&mut self) -> Result<Answer, DecodeError> {
        let mut answer = Answer::default();
        for _ in 0..self.map("a document that is not a map")? {
            match self.key()? {
                b"results" => answer.results = self.array("results are not an array", Reader::result)?,
                b"error" => answer.error = Some(self.text("an error that is not text")?),
                _ => self.skip()?,
            }
        }
        Ok(answer)
    }

    fn result(&mut self) -> Result<StatementResult, DecodeError> {
        let mut result = StatementResult::default();
        for _ in 0..self.map("a result that is not a map")? {
            match self.key()? {
                b"statement_id" => {
                    let id = self.value()?.as_i64().and_then(|id| usize::try_from(id).ok());
                    result.statement_id = id.ok_or(DecodeError::Unexpected("a statement_id that is not a count"))?;
                }
                b"series" => result.series = self.array("series are not an array", Reader::series)?,
                b"messages" => result.messages = self.array("messages are not an array", Reader::message)?,
                b"partial" => result.partial = self.boolean()?,
                b"error" => result.error = Some(self.text("an error that is not text")?),
                _ => self.skip()?,
            }
        }
        Ok(result)
    }

    fn series(&mut self) -> Result<Series, DecodeError> {
        let mut series = Series::default();
        for _ in 0..self.map("a series that is not a map")? {
            match self.key()? {
                b"name" => series.name = self.text("a name that is not text")?,
                b"tags" => series.tags = self.tags()?,
                b"columns" => {
                    series.columns =
                        self.array("columns are not an array", |reader| reader.text("a column that is not text"))?;
                }
                b"values" => {
                    let row = |reader: &mut Self| reader.array("a row that is not an array", Reader::value);
                    series.values = self.array("values are not an array", row)?;
                }
                b"partial" => series.partial = self.boolean()?,
                _ => self.skip()?,
            }
        }
        match series.values.iter().all(|row| row.len() == series.columns.len()) {
            true => Ok(series),
            false => Err(DecodeError::Unexpected("a row has more or fewer cells than there are columns")),
        }
    }

    fn tags(&mut self) -> Result<Vec<(String, String)>, DecodeError> {
        let mut tags = Vec::new();
        for _ in 0..self.map("tags are not a map")? {
            tags.push((self.text("a tag key that is not text")?, self.text("a tag value that is not text")?));
        }
        // InfluxDB writes them in no order.
        tags.sort_unstable();
        match tags.windows(2).all(|pair| pair[0].0 != pair[1].0) {
            true => Ok(tags),
            false => Err(DecodeError::Unexpected("a tag key occurs twice")),
        }
    }

    fn message(&mut self) -> Result<Message, DecodeError> {
        let (mut level, mut text) = (String::new(), String::new());
        for _ in 0..self.map("a message that is not a map")? {
            match self.key()? {
                b"level" => level = self.text("a level that is not text")?,
                b"text" => text = self.text("a message that is not text")?,
                _ => self.skip()?,
            }
        }
        Ok(Message { level, text })
    }

    fn value(&mut self) -> Result<Value, DecodeError> {
        let (marker, bytes, _) = self.next()?;
        let unsigned = || bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let value = match marker {
            0x00..=0x7f => Value::Integer(i64::from(marker)),
            0xe0..=0xff => Value::Integer(i64::from(marker as i8)),
            0xc0 => Value::Null,
            0xc2 | 0xc3 => Value::Boolean(marker == 0xc3),
            0xca => Value::Float(f64::from(f32::from_bits(unsigned() as u32))),
            0xcb => Value::Float(f64::from_bits(unsigned())),
            0xcc..=0xcf => Value::Unsigned(unsigned()),
            0xd0 => Value::Integer(i64::from(unsigned() as i8)),
            0xd1 => Value::Integer(i64::from(unsigned() as i16)),
            0xd2 => Value::Integer(i64::from(unsigned() as i32)),
            0xd3 => Value::Integer(unsigned() as i64),
            0xc7 => time(bytes)?,
            _ => match text(marker, bytes) {
                Some(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
                None => return Err(DecodeError::Unexpected("a cell of a kind that InfluxDB does not have")),
            },
        };
        Ok(value)
    }
}

/// The bytes of a string, its length cut off.
fn text(marker: u8, bytes: &[u8]) -> Option<&[u8]> {
    match marker {
        0xa0..=0xbf => Some(bytes),
        0xd9 => bytes.get(1..),
        0xda => bytes.get(2..),
        0xdb => bytes.get(4..),
        _ => None,
    }
}

/// An extension's length, type and content.
fn time(bytes: &[u8]) -> Result<Value, DecodeError> {
    let [12, 5, time @ ..] = bytes else { return Err(DecodeError::Unexpected("an extension that is not a time")) };
    let (seconds, nanos) = time.split_at(8);
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let ns = i128::from(number(seconds) as i64) * 1_000_000_000 + i128::from(number(nanos));
    i64::try_from(ns).map(Value::Time).map_err(|_| DecodeError::Unexpected("a time that nanoseconds do not reach"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merge::format::{Format, Printer, Times};

    #[test]
    fn documents_come_out_as_soon_as_they_are_whole() {
        let seen = include_bytes!("../../fuzz/corpus/msgpack/chunked");
        let mut decoder = Decoder::new(400);
        let mut ends = Vec::new();
        for (at, byte) in seen.iter().enumerate() {
            decoder.push(&[*byte]);
            assert_eq!(decoder.finish(), Err(DecodeError::Cut));
            if let Some(document) = decoder.next_document().expect("influxd wrote it") {
                assert_eq!(document.results.len(), 1);
                ends.push(at + 1);
                assert_eq!(decoder.finish(), Ok(()));
            }
        }
        assert_eq!(ends.len(), 4, "{ends:?}");
        assert_eq!(ends.last(), Some(&seen.len()));
    }

    #[test]
    fn limits() {
        let seen = include_bytes!("../../fuzz/corpus/msgpack/types");
        let first = |bytes: &[u8], max| {
            let mut decoder = Decoder::new(max);
            decoder.push(bytes);
            decoder.next_document().map(|document| document.is_some())
        };
        assert_eq!(first(seen, seen.len()), Ok(true));
        assert_eq!(first(seen, seen.len() - 1), Err(DecodeError::TooLarge(seen.len() - 1)));
        let open_text = [&b"\x81\xdb\x7f\xff\xff\xff"[..], &[b'x'; 50]].concat();
        assert_eq!(first(&open_text, open_text.len()), Ok(false));
        assert_eq!(first(&open_text, open_text.len() - 1), Err(DecodeError::TooLarge(open_text.len() - 1)));
        // What a length announces counts before it has come.
        let announced = [&b"\x81\xa7results\xdd"[..], &[0xff; 4]].concat();
        assert_eq!(first(&announced, 1 << 20), Err(DecodeError::TooLarge(1 << 20)));
    }

    #[test]
    fn what_influxdb_does_not_write_is_an_error() {
        let results = |rest: &[u8]| decode(&[b"\x81\xa7results", rest].concat());
        let row = |cell: &[u8]| {
            results(&[b"\x91\x81\xa6series\x91\x82\xa7columns\x91\xa1a\xa6values\x91\x91", cell].concat())
        };
        assert!(row(b"\x01").is_ok());
        assert!(results(b"\x91\x81\xa7unknown\x92\x81\x01\x02\x90").is_ok());
        for bad in [
            decode(b"\x01"),
            decode(b""),
            decode(b"\x80\x80"),
            decode(b"\xc1"),
            decode(b"\x81\x01\x01"),
            results(b"\x80"),
            results(b"\x91\x90"),
            results(b"\x91\x81\xacstatement_id\xff"),
            results(b"\x91\x81\xa7partial\x01"),
            row(b"\x90"),
            row(b"\xc4\x00"),
            row(b"\xd4\x05\x00"),
            row(b"\xc7\x0c\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
            row(b"\xc7\x0c\x05\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
            results(b"\x91\x81\xa6series\x91\x82\xa7columns\x91\xa1a\xa6values\x91\x92\x01\x02"),
            results(b"\x91\x81\xa6series\x91\x81\xa4tags\x82\xa1a\xa1b\xa1a\xa1c"),
        ] {
            assert!(matches!(bad, Err(DecodeError::Unexpected(_) | DecodeError::Cut)), "{bad:?}");
        }
    }

    fn cell() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Boolean),
            any::<i64>().prop_map(Value::Integer),
            (-200..70_000_i64).prop_map(Value::Integer),
            // A lower one is written as a signed one.
            (128..=u64::MAX).prop_map(Value::Unsigned),
            any::<f64>().prop_filter("NaN is not equal to itself", |number| !number.is_nan()).prop_map(Value::Float),
            "\\PC{0,40}".prop_map(Value::String),
            any::<i64>().prop_map(Value::Time),
        ]
    }

    prop_compose! {
        fn series()(
            name in "[a-z]{0,3}",
            tags in prop::collection::btree_map("[a-z]{1,2}", "\\PC{0,4}", 0..3),
            (columns, values) in (1..4_usize).prop_flat_map(|width| (
                prop::collection::vec("[a-z]{1,40}", width),
                prop::collection::vec(prop::collection::vec(cell(), width), 0..40),
            )),
            partial: bool,
        ) -> Series {
            Series { name, tags: tags.into_iter().collect(), columns, values, partial, ..Series::default() }
        }
    }

    prop_compose! {
        fn answer()(results in prop::collection::vec(
            (0..300_usize, prop::collection::vec(series(), 0..3), any::<bool>(), prop::option::of("\\PC{0,300}")), 0..20,
        )) -> Answer {
            let result = |(statement_id, series, partial, message): (usize, Vec<Series>, bool, Option<String>)| {
                let messages = message.into_iter().map(Message::warning).collect();
                StatementResult { statement_id, series, partial, messages, error: None }
            };
            Answer { results: results.into_iter().map(result).collect(), error: None }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn what_is_printed_reads_as_the_same(answers in prop::collection::vec(answer(), 1..3), cut in 1..5000_usize) {
            let mut bytes = Vec::new();
            let mut printer = Printer::new(Format::MessagePack, Times::Rfc3339);
            answers.iter().for_each(|answer| printer.print(answer, &mut bytes));
            let mut decoder = Decoder::new(bytes.len());
            let mut read = Vec::new();
            for frame in bytes.chunks(cut) {
                decoder.push(frame);
                while let Some(document) = decoder.next_document().expect("it was printed") {
                    read.push(document);
                }
            }
            prop_assert_eq!(decoder.finish(), Ok(()));
            prop_assert_eq!(read, answers);
        }
    }
}
