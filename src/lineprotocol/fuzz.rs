//! Fuzz bodies of the splitter and of the full parser; see `src/fuzz.rs`.
//!
//! `refusals` expects the full parser's words to be those of its slow twin, which InfluxDB itself judges in
//! `tests/full_parse.rs`.
//!
//! # Where `points` expects agreement
//! The other parser is the crate `influxdb-line-protocol`, written for InfluxDB 3 after the Go code of 1.x. Each reads
//! one line at a time (its own splitting is that of `lines`), and none with a NUL, which is white space before fields and
//! timestamps in 1.x, and a byte of names in the crate.
//!
//! 1. Lines that both take have the same measurement, tags and fields (names, values of tags, types) in one order, and a
//!    timestamp or not, unless names hold two backslashes in a row (the crate makes them one, InfluxDB 1.x keeps them),
//!    or the measurement holds `\=` or `\"` (1.x drops the backslash: seen on 1.6.7; the crate keeps it).
//! 2. A line that the crate takes is a point for us too, except where 1.x is known to refuse it:
//!    - a field with the suffix `u`: 1.x has no unsigned integers unless built for them;
//!    - a float beyond its range: the crate reads infinity;
//!    - a tag key that comes twice: the crate leaves that to its caller;
//!    - `,` in keys and `=` in tag values without a backslash: 1.x ends the word there. Lines with a backslash are left
//!      out, since names do not show any more whether it stood before that byte;
//!    - a comma behind the only field: the crate overlooks it;
//!    - measurement and tags over 65535 bytes: the crate has no limit;
//!    - the nanoseconds at the very ends of what 64 bits hold.
//!
//! A line that we take and the crate refuses says nothing: it has no tabs and NULs as white space, no `5.`, `.5` and
//! `+`, no space behind the timestamp, nothing between a string and the next comma, and it wants text.

use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};

use super::point::{self, Fault, FieldType};
use super::{End, Line, Precision, Rest, Splitter, line, naive, split};

/// Between two frames.
const CUT: u8 = 0xff;

/// The splitter against its slow twin, cut into frames where the input says so.
pub fn lines(input: &[u8]) {
    let frames: Vec<&[u8]> = input.split(|byte| *byte == CUT).collect();
    let body = frames.concat();
    let slow = naive::lines(&body);
    let (found, rest) = split_frames(&frames);
    let fast: Vec<&[u8]> = found.iter().chain(rest.as_ref().map(|rest| &rest.line)).map(Vec::as_slice).collect();
    assert_eq!(fast, slow);
    if let Some(rest) = rest {
        end_is_told(&rest);
    }
    // Without frames nobody says that the body has ended: the rest is what it is.
    let whole = split(&body);
    assert_eq!(whole[..found.len()], slow[..found.len()]);
}

/// Whether a line may follow the rest of a body is what its end says.
fn end_is_told(rest: &Rest) {
    let followed = [&rest.line[..], b"\nm v=1"].concat();
    let lines = naive::lines(&followed).len();
    assert_eq!(lines == 2, rest.end == End::Clean, "{:?} then {lines} lines", rest.end);
}

/// The lines of a body that comes in frames, and what it leaves over.
pub fn split_frames(frames: &[&[u8]]) -> (Vec<Vec<u8>>, Option<Rest>) {
    let mut splitter = Splitter::default();
    let mut found = Vec::new();
    for frame in frames {
        let Some((carried, at)) = splitter.begin_frame(frame) else { continue };
        if at > 0 {
            found.push(carried);
        }
        let mut lines = Splitter::lines(frame, at);
        while let Some((start, end)) = lines.next_range() {
            found.push(frame[start..end].to_vec());
        }
        splitter.end_frame(&frame[lines.rest()..]);
    }
    (found, splitter.finish())
}

/// The full parser, and what routing reads of a line, against another implementation.
pub fn points(input: &[u8]) {
    for text in split(input) {
        let Some(line) = Line::read(text) else { continue };
        series_is_that_of_the_slow_twin(&line);
        let fields = point::fields(&line);
        let comparable = std::str::from_utf8(text).ok().filter(|text| !text.contains('\0'));
        let Some(other) = comparable.and_then(parse_one) else { continue };
        match fields {
            Some(fields) if are_comparable(&line, &fields) => agree(&line, &fields, &other),
            Some(_) => {}
            None => assert!(text.contains(&b'\\') || is_refused_by_1x(&line, &other), "no point, yet {other:?}"),
        }
    }
}

/// What is said of a line against the slow twin, in every unit of time, and against `point::fields`.
pub fn refusals(input: &[u8]) {
    const ALL: [Precision; 6] = [
        Precision::Nanoseconds,
        Precision::Microseconds,
        Precision::Milliseconds,
        Precision::Seconds,
        Precision::Minutes,
        Precision::Hours,
    ];
    for text in split(input) {
        let Some(line) = Line::read(text) else { continue };
        let fields = point::fields(&line);
        for precision in ALL {
            let read = point::read(&line, precision);
            let slow = naive::refusal(line.bytes(), precision);
            assert_eq!(read.err().map(|fault| fault.to_string()), slow, "{precision:?}");
            // The finer the unit, the more times are in range.
            let by_time = matches!(read, Err(Fault::TimeOutOfRange));
            assert!(read.is_ok() == fields.is_some() || by_time && precision != Precision::Nanoseconds);
            let Ok(point) = read else { continue };
            let named: Vec<_> = point.raw_fields().map(|field| (line::field_name(field.name), field.kind())).collect();
            assert_eq!(fields.as_deref(), Some(&named[..]));
        }
    }
}

/// The line as the other parser reads it, if it takes it for one point.
fn parse_one(text: &str) -> Option<ParsedLine<'_>> {
    let mut found = parse_lines(text);
    let first = found.next()?.ok()?;
    found.next().is_none().then_some(first)
}

fn series_is_that_of_the_slow_twin(line: &Line<'_>) {
    let slow = naive::series(line.bytes()).expect("it is a line");
    assert_eq!(line.name().as_ref(), slow.name);
    assert_eq!(line.name_pieces().flatten().copied().collect::<Vec<u8>>(), slow.name);
    let keys = slow.tags.iter().map(|(key, _)| key.as_slice()).chain([&b"host"[..]]);
    for key in keys.filter_map(|key| std::str::from_utf8(key).ok()) {
        assert_eq!(line.tag(key), slow.tag(key), "{key:?}");
    }
}

type Fields<'a> = [(std::borrow::Cow<'a, [u8]>, FieldType)];

/// Whether names hold nothing that the two unescape differently.
fn are_comparable(line: &Line<'_>, fields: &Fields<'_>) -> bool {
    let holds = |bytes: &[u8], part: &[u8]| memchr::memmem::find(bytes, part).is_some();
    let in_names = holds(line.raw_series(), b"\\\\") || fields.iter().any(|(name, _)| holds(name, b"\\\\"));
    let in_measurement = holds(line.raw_name(), b"\\=") || holds(line.raw_name(), b"\\\"");
    !in_names && !in_measurement
}

fn agree(line: &Line<'_>, fields: &Fields<'_>, other: &ParsedLine<'_>) {
    assert_eq!(line.name().as_ref(), other.series.measurement.as_bytes());
    let tags = naive::series(line.bytes()).expect("it is a line").tags;
    let others = other.series.tag_set.iter().flatten();
    let others: Vec<(Vec<u8>, Vec<u8>)> =
        others.map(|(key, value)| (key.as_bytes().into(), value.as_bytes().into())).collect();
    assert_eq!(tags, others);
    let own: Vec<(&[u8], FieldType)> = fields.iter().map(|(name, kind)| (name.as_ref(), *kind)).collect();
    let others: Vec<(&[u8], FieldType)> =
        other.field_set.iter().map(|(name, value)| (name.as_bytes(), kind(value))).collect();
    assert_eq!(own, others);
    assert_eq!(!line.lacks_timestamp(), other.timestamp.is_some(), "a timestamp");
}

fn kind(value: &FieldValue<'_>) -> FieldType {
    match value {
        FieldValue::I64(_) => FieldType::Integer,
        FieldValue::F64(_) => FieldType::Float,
        FieldValue::String(_) => FieldType::String,
        FieldValue::Boolean(_) => FieldType::Boolean,
        FieldValue::U64(_) => panic!("1.x refuses unsigned integers, we took one"),
    }
}

/// A line without backslashes that the other parser takes and InfluxDB 1.x does not.
fn is_refused_by_1x(line: &Line<'_>, other: &ParsedLine<'_>) -> bool {
    let tags: Vec<(&str, &str)> =
        other.series.tag_set.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let twice = tags.iter().enumerate().any(|(at, (key, _))| tags[..at].iter().any(|(other, _)| other == key));
    let cut_tag = tags.iter().any(|(key, value)| key.contains(',') || value.contains('='));
    let cut_field = other.field_set.iter().any(|(name, _)| name.contains(','));
    let text = line.bytes();
    let last_comma =
        other.field_set.len() == 1 && (text.ends_with(b",") || memchr::memmem::find(text, b", ").is_some());
    let number = other.field_set.iter().any(|(_, value)| match value {
        FieldValue::U64(_) => true,
        FieldValue::F64(value) => !value.is_finite(),
        _ => false,
    });
    let late = other.timestamp.is_some_and(|time| !(point::TIME_MIN..=point::TIME_MAX).contains(&time));
    twice || cut_tag || cut_field || last_comma || number || late || line.raw_series().len() > point::KEY_BYTES_MAX
}
