//! The full parse: whether InfluxDB takes a line for a point, in its own words where it does not, and which types its
//! fields have. Its own scan (`models/points.go`), step by step: the steps' order decides which of several faults is told.
//!
//! Off the fast path of writes: `batch` asks when no replica can say it, and when it must tell which of several lines
//! InfluxDB complained about first. `naive` holds its slow twin; the real influxd judges both (`tests/full_parse.rs`).

use std::borrow::Cow;
use std::fmt;

use memchr::memchr2;

use super::line::separator;
use super::{Line, Precision};

/// Measurement and tags may be so long, and so may they with a separator and a field's name.
pub(super) const KEY_BYTES_MAX: usize = 65535;
/// What stands between a series and a field's name where InfluxDB keeps both.
pub(super) const KEY_SEPARATOR_BYTES: usize = 4;
/// Integers of fewer bytes, their sign with them, cannot leave their range.
const INTEGER_BYTES_MIN: usize = 19;
/// Floats of fewer bytes without an exponent cannot leave theirs.
const FLOAT_BYTES_MIN: usize = 25;
/// The first and the last nanosecond that a point may have.
pub(super) const TIME_MIN: i64 = i64::MIN + 2;
pub(super) const TIME_MAX: i64 = i64::MAX - 1;

const BOOLEANS: [&[u8]; 10] = [b"t", b"T", b"true", b"True", b"TRUE", b"f", b"F", b"false", b"False", b"FALSE"];

/// A field's type, by InfluxDB's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    Float,
    Integer,
    String,
    Boolean,
}

impl FieldType {
    pub fn name(self) -> &'static str {
        match self {
            FieldType::Float => "float",
            FieldType::Integer => "integer",
            FieldType::String => "string",
            FieldType::Boolean => "boolean",
        }
    }
}

/// Why InfluxDB refuses a line. Displayed in its words: what stands behind `unable to parse 'LINE': `.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<'a> {
    MissingMeasurement,
    MissingFields,
    MissingTagKey,
    MissingTagValue,
    InvalidTagFormat,
    DuplicateTags,
    /// So long is a series, or a series with a field's name.
    KeyTooLong(usize),
    MissingFieldKey,
    MissingFieldValue,
    InvalidNumber,
    InvalidFloat,
    IntegerOutOfRange(&'a [u8]),
    InvalidBoolean,
    UnbalancedQuotes,
    InvalidFieldFormat,
    /// A field's name without a value, seen only at the second look.
    NoValue(&'a [u8]),
    BadTimestamp,
    /// The timestamp is only a sign.
    TimestampIsNoNumber(&'a [u8]),
    TimestampOutOfRange(&'a [u8]),
    TimeOutOfRange,
    /// Something stands behind the timestamp.
    PointIsInvalid,
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::MissingMeasurement => f.write_str("missing measurement"),
            Fault::MissingFields => f.write_str("missing fields"),
            Fault::MissingTagKey => f.write_str("missing tag key"),
            Fault::MissingTagValue => f.write_str("missing tag value"),
            Fault::InvalidTagFormat => f.write_str("invalid tag format"),
            Fault::DuplicateTags => f.write_str("duplicate tags"),
            Fault::KeyTooLong(bytes) => write!(f, "max key length exceeded: {bytes} > {KEY_BYTES_MAX}"),
            Fault::MissingFieldKey => f.write_str("missing field key"),
            Fault::MissingFieldValue => f.write_str("missing field value"),
            Fault::InvalidNumber => f.write_str("invalid number"),
            Fault::InvalidFloat => f.write_str("invalid float"),
            Fault::IntegerOutOfRange(digits) => {
                let digits = text(digits);
                write!(
                    f,
                    "unable to parse integer {digits}: strconv.ParseInt: parsing \"{digits}\": value out of range"
                )
            }
            Fault::InvalidBoolean => f.write_str("invalid boolean"),
            Fault::UnbalancedQuotes => f.write_str("unbalanced quotes"),
            Fault::InvalidFieldFormat => f.write_str("invalid field format"),
            Fault::NoValue(key) => write!(f, "invalid value: field-key={}", text(key)),
            Fault::BadTimestamp => f.write_str("bad timestamp"),
            Fault::TimestampIsNoNumber(time) => {
                write!(f, "strconv.ParseInt: parsing \"{}\": invalid syntax", text(time))
            }
            Fault::TimestampOutOfRange(time) => {
                write!(f, "strconv.ParseInt: parsing \"{}\": value out of range", text(time))
            }
            Fault::TimeOutOfRange => write!(f, "time outside range {TIME_MIN} - {TIME_MAX}"),
            Fault::PointIsInvalid => f.write_str("point is invalid"),
        }
    }
}

/// Bytes as InfluxDB tells them in JSON: U+FFFD for each that is not UTF-8.
pub fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    text
}

/// A line that InfluxDB takes for a point.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    fields: &'a [u8],
    /// As `Scanned::odd`.
    odd: bool,
}

/// A field as the line has it: `name=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawField<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

impl<'a> Point<'a> {
    /// Its fields, as InfluxDB reads them to store them.
    pub fn raw_fields(&self) -> impl Iterator<Item = RawField<'a>> {
        // What has been read has no faults.
        RawFields { rest: self.fields }.map_while(Result::ok)
    }

    /// The field whose value InfluxDB took and cannot store: it fails then, today and at every other time.
    #[inline]
    pub fn unreadable(&self) -> Option<RawField<'a>> {
        if self.odd { self.raw_fields().find(|field| !field.is_readable()) } else { None }
    }
}

impl RawField<'_> {
    fn is_readable(&self) -> bool {
        match self.kind() {
            FieldType::Float => parsed::<f64>(self.value).is_some_and(f64::is_finite),
            FieldType::Integer => parsed::<i64>(&self.value[..self.value.len() - 1]).is_some(),
            FieldType::Boolean => self.value.is_empty() || BOOLEANS.contains(&self.value),
            FieldType::String => true,
        }
    }

    pub fn kind(&self) -> FieldType {
        match self.value {
            [b'"', ..] => FieldType::String,
            [b'0'..=b'9' | b'-' | b'.' | b'n' | b'N' | b'i' | b'I' | b'u', .., b'i'] => FieldType::Integer,
            [b'0'..=b'9' | b'-' | b'.' | b'n' | b'N' | b'i' | b'I' | b'u', ..] => FieldType::Float,
            _ => FieldType::Boolean,
        }
    }
}

/// The fields of a line in its order; `None` when it is no point, whatever the unit of its time.
pub fn fields<'a>(line: &Line<'a>) -> Option<Vec<(Cow<'a, [u8]>, FieldType)>> {
    let point = read(line, Precision::Nanoseconds).ok()?;
    Some(point.raw_fields().map(|field| (super::line::field_name(field.name), field.kind())).collect())
}

/// Reads a line whose time is in the given unit.
#[inline]
pub fn read<'a>(line: &Line<'a>, precision: Precision) -> Result<Point<'a>, Fault<'a>> {
    let bytes = line.bytes();
    let name_end = line.raw_name().len();
    if name_end == 0 {
        return Err(Fault::MissingMeasurement);
    }
    let series_end = match bytes.get(name_end) {
        None => return Err(Fault::MissingFields),
        Some(b',') => scan_tags(bytes, name_end + 1)?,
        Some(_) => name_end,
    };
    if series_end > KEY_BYTES_MAX {
        return Err(Fault::KeyTooLong(series_end));
    }
    let start = skip_white_space(bytes, series_end);
    let scanned = scan_fields(bytes, start)?;
    let fields = &bytes[start..scanned.end];
    if scanned.odd || series_end + KEY_SEPARATOR_BYTES + fields.len() > KEY_BYTES_MAX {
        look_again(series_end, fields)?;
    }
    scan_time(bytes, scanned.end, precision)?;
    Ok(Point { fields, odd: scanned.odd })
}

#[inline]
fn skip_white_space(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | 0)).count()
}

/// Scans the tags, of which the first begins at `from`; where they end. Every tag has a key and a value, no key comes
/// twice.
#[inline]
fn scan_tags(bytes: &[u8], from: usize) -> Result<usize, Fault<'_>> {
    let (mut at, mut last, mut rising) = (from, &[][..], true);
    loop {
        let key = at;
        if matches!(bytes.get(key), None | Some(b' ' | b',' | b'=')) {
            return Err(Fault::MissingTagKey);
        }
        at = word_end(bytes, key);
        if bytes.get(at) != Some(&b'=') {
            return Err(Fault::MissingTagValue);
        }
        let (before, value) = (last, at + 1);
        last = &bytes[key..at];
        rising &= before < last;
        if matches!(bytes.get(value), None | Some(b',' | b' ')) {
            return Err(Fault::MissingTagValue);
        }
        at = word_end(bytes, value);
        match bytes.get(at) {
            None => return Err(Fault::MissingFields),
            Some(b'=') => return Err(Fault::InvalidTagFormat),
            Some(b',') => at += 1,
            Some(_) => break,
        }
    }
    if !rising && has_key_twice(&bytes[from..at]) { Err(Fault::DuplicateTags) } else { Ok(at) }
}

/// The first `=`, `,` or space behind the byte at `start` that no backslash stands before.
#[inline]
fn word_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'=' | b',' | b' ') && bytes[at - 1] != b'\\' {
            break;
        }
        at += 1;
    }
    at
}

/// Of tags that are well made: `key=value`, with commas between.
fn has_key_twice(tags: &[u8]) -> bool {
    let (mut keys, mut at) = (Vec::new(), 0);
    while at < tags.len() {
        let equals = word_end(tags, at);
        keys.push(&tags[at..equals]);
        at = word_end(tags, equals + 1) + 1;
    }
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Where the fields end, and whether they are odd: only then can a second look read them otherwise.
struct Scanned {
    end: usize,
    /// There is a backslash outside of strings, or more or fewer than one `=` between two commas.
    odd: bool,
}

/// Scans the fields from `start`, where white space stands before.
#[inline]
fn scan_fields(bytes: &[u8], start: usize) -> Result<Scanned, Fault<'_>> {
    let (mut quoted, mut odd) = (false, false);
    let (mut equals, mut commas) = (0, 0);
    let mut at = start;
    while at < bytes.len() {
        if quoted {
            // Only these two mean something in a string.
            let Some(stop) = memchr2(b'"', b'\\', &bytes[at..]) else { return Err(Fault::UnbalancedQuotes) };
            at += stop;
        }
        match bytes[at] {
            b'\\' if at + 1 < bytes.len() => {
                odd |= !quoted;
                at += 1;
            }
            b'"' if equals > commas => quoted = !quoted,
            b'=' if !quoted => {
                equals += 1;
                odd |= equals != commas + 1;
                at = scan_value(bytes, at)?;
                continue;
            }
            b',' if !quoted => commas += 1,
            b' ' if !quoted => break,
            _ => {}
        }
        at += 1;
    }
    match () {
        () if quoted => Err(Fault::UnbalancedQuotes),
        () if equals == 0 || commas != equals - 1 => Err(Fault::InvalidFieldFormat),
        () => Ok(Scanned { end: at, odd }),
    }
}

/// Scans the value behind the `=` at `equals`: where it ends, or where its string begins.
#[inline]
fn scan_value(bytes: &[u8], equals: usize) -> Result<usize, Fault<'_>> {
    if matches!(bytes[..equals], [.., before, b' ' | b','] if before != b'\\') {
        return Err(Fault::MissingFieldKey);
    }
    let value = equals + 1;
    match bytes.get(value) {
        None | Some(b',' | b' ') => Err(Fault::MissingFieldValue),
        Some(b'"') => Ok(value),
        Some(b'0'..=b'9' | b'.' | b'-' | b'N' | b'n') => scan_number(bytes, value),
        Some(_) => {
            let word = word(bytes, value);
            BOOLEANS.contains(&word).then_some(value + word.len()).ok_or(Fault::InvalidBoolean)
        }
    }
}

/// What stands from `at` to the next comma or space.
fn word(bytes: &[u8], at: usize) -> &[u8] {
    let rest = &bytes[at..];
    &rest[..rest.iter().position(|byte| matches!(byte, b',' | b' ')).unwrap_or(rest.len())]
}

/// Where the number ends.
#[inline]
fn scan_number(bytes: &[u8], start: usize) -> Result<usize, Fault<'_>> {
    let negative = bytes[start] == b'-';
    let (mut integer, mut point, mut exponent) = (false, false, false);
    let mut at = start + usize::from(negative);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => {}
            b',' | b' ' => break,
            b'.' if !point => point = true,
            b'i' if !integer && at > start => integer = true,
            b'e' | b'E' if at > start => exponent = true,
            b'+' | b'-' if at > start && matches!(bytes[at - 1], b'e' | b'E') => {}
            _ => return Err(Fault::InvalidNumber),
        }
        at += 1;
    }
    let number = &bytes[start..at];
    let digits = number.len() - usize::from(negative) - usize::from(point) - usize::from(integer);
    if digits == 0 || (integer && (point || exponent || !number.ends_with(b"i"))) {
        return Err(Fault::InvalidNumber);
    }
    if integer {
        let number = &number[..number.len() - 1];
        let fits = number.len() < INTEGER_BYTES_MIN || parsed::<i64>(number).is_some();
        return if fits { Ok(at) } else { Err(Fault::IntegerOutOfRange(number)) };
    }
    let fits = !exponent && number.len() < FLOAT_BYTES_MIN || parsed::<f64>(number).is_some_and(f64::is_finite);
    if fits { Ok(at) } else { Err(Fault::InvalidFloat) }
}

fn parsed<T: std::str::FromStr>(number: &[u8]) -> Option<T> {
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Reads the fields as they are read to be stored.
fn look_again(series_bytes: usize, fields: &[u8]) -> Result<(), Fault<'_>> {
    for field in (RawFields { rest: fields }) {
        let bytes = series_bytes + KEY_SEPARATOR_BYTES + field?.name.len();
        if bytes > KEY_BYTES_MAX {
            return Err(Fault::KeyTooLong(bytes));
        }
    }
    Ok(())
}

/// The fields as InfluxDB reads them once it has taken the line. It finds the same ones, but where `Scanned::odd`.
struct RawFields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for RawFields<'a> {
    type Item = Result<RawField<'a>, Fault<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let equals = separator(self.rest, b'=').unwrap_or(self.rest.len());
        let name = &self.rest[..equals];
        if equals + 2 > self.rest.len() {
            self.rest = &[];
            return Some(Err(Fault::NoValue(name)));
        }
        let behind = &self.rest[equals + 1..];
        let (value, behind) = behind.split_at(value_end(behind));
        self.rest = behind.get(1..).unwrap_or_default();
        Some(Ok(RawField { name, value }))
    }
}

/// The first comma outside of strings.
fn value_end(bytes: &[u8]) -> usize {
    let (mut at, mut quoted) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if matches!(bytes.get(at + 1), Some(b'"' | b'\\')) => at += 1,
            b'"' => quoted = !quoted,
            b',' if !quoted => break,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Nothing but white space and one number in range.
#[inline]
fn scan_time(bytes: &[u8], end: usize, precision: Precision) -> Result<(), Fault<'_>> {
    let start = skip_white_space(bytes, end);
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => {}
            b'-' if at == start => {}
            b' ' | b'\n' => break,
            _ => return Err(Fault::BadTimestamp),
        }
        at += 1;
    }
    let (time, behind) = (&bytes[start..at], &bytes[at..]);
    if time.is_empty() {
        return Ok(());
    }
    if time == b"-" {
        return Err(Fault::TimestampIsNoNumber(time));
    }
    let number = parsed::<i64>(time).ok_or(Fault::TimestampOutOfRange(time))?;
    let nanoseconds = number.checked_mul(precision.nanoseconds());
    if !nanoseconds.is_some_and(|time| (TIME_MIN..=TIME_MAX).contains(&time)) {
        return Err(Fault::TimeOutOfRange);
    }
    if behind.iter().all(|byte| *byte == b' ') { Ok(()) } else { Err(Fault::PointIsInvalid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(line: &str) -> Option<String> {
        let line = Line::read(line.as_bytes())?;
        let fields = fields(&line)?;
        let text =
            |(name, kind): &(Cow<'_, [u8]>, FieldType)| format!("{}:{}", String::from_utf8_lossy(name), kind.name());
        Some(fields.iter().map(text).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn points() {
        for (line, want) in [
            ("m v=1", "v:float"),
            ("m,t=a,u=b v=1i,s=\"x, y=\\\" z\",b=T 5", "v:integer s:string b:boolean"),
            ("m,t== v=-1.5e+3  ", "v:float"),
            ("m a\\ b=1,c\\,d=t 5 ", "a b:float c,d:boolean"),
            ("m s=\"\"", "s:string"),
            ("m v=.5", "v:float"),
        ] {
            assert_eq!(types(line).as_deref(), Some(want), "{line}");
        }
    }

    #[test]
    fn no_points() {
        for line in [
            "m",
            "m ",
            "m v",
            "m v=",
            "m =1",
            "m v=1,",
            "m v=1,=2",
            "m v=x",
            "m v=1x",
            "m v=1 x",
            "m v=1 5 6",
            "m v=1 +5",
            "m,t= v=1",
            "m,t v=1",
            "m,=a v=1",
            "m, v=1",
            "m,t=a=b v=1",
            "m,t=a,t=b v=1",
            ",t=a v=1",
            "m s=\"a",
            "m v=1.1.1",
            "m v=9223372036854775808i",
            "m v=1e999",
            "m v=i",
            "m v=-",
            "m v=nan",
            "m v=tRUE",
            "m v=1 99999999999999999999",
        ] {
            assert_eq!(types(line), None, "{line}");
        }
    }
}
