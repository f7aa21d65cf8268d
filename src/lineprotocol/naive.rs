//! The slow twins: of `splitter`, InfluxDB's own loop over a whole body, a byte at a time; of what `line` says of
//! measurement and tags, everything in copies; of `point`, InfluxDB's own scan of a line, its second look at every line's
//! fields with it.

use super::Precision;
use super::point::{KEY_BYTES_MAX, KEY_SEPARATOR_BYTES, TIME_MAX, TIME_MIN, text};

/// Cuts a whole body into lines, newlines left out; a body that ends in a newline has no line behind it.
pub fn lines(body: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut start = 0;
    while start < body.len() {
        let end = line_end(body, start);
        lines.push(&body[start..end]);
        start = end + 1;
    }
    lines
}

fn line_end(body: &[u8], mut i: usize) -> usize {
    let (mut quoted, mut fields) = (false, false);
    let (mut equals, mut commas) = (0, 0);
    while i < body.len() {
        if body[i] == b'\\' && i + 2 < body.len() {
            i += 2;
            continue;
        }
        if body[i] == b' ' {
            fields = true;
        }
        if fields {
            if !quoted && body[i] == b'=' {
                equals += 1;
                i += 1;
                continue;
            } else if !quoted && body[i] == b',' {
                commas += 1;
                i += 1;
                continue;
            } else if body[i] == b'"' && equals > commas {
                quoted = !quoted;
                i += 1;
                continue;
            }
        }
        if body[i] == b'\n' && !quoted {
            break;
        }
        i += 1;
    }
    i
}

/// Measurement and tags as InfluxDB stores them.
#[derive(Debug, PartialEq, Eq)]
pub struct Series {
    pub name: Vec<u8>,
    /// In the line's order.
    pub tags: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Series {
    /// The value of the first tag with that key; empty when there is none.
    pub fn tag(&self, key: &str) -> &[u8] {
        self.tags.iter().find(|(own, _)| own == key.as_bytes()).map_or(b"", |(_, value)| value)
    }
}

/// What a line says before its fields; `None` for blanks and comments.
pub fn series(line: &[u8]) -> Option<Series> {
    let start = line.iter().position(|byte| !b" \t\0".contains(byte))?;
    let line = &line[start..];
    if line[0] == b'#' {
        return None;
    }
    let (name, mut rest) = cut(line, b", ");
    let mut tags = Vec::new();
    while rest.first() == Some(&b',') {
        let (tag, behind) = cut(&rest[1..], b", ");
        let (key, value) = cut(tag, b"=");
        tags.push((unescaped(key, b", ="), unescaped(value.get(1..).unwrap_or_default(), b", =")));
        rest = behind;
    }
    Some(Series { name: unescaped(name, b",\" ="), tags })
}

/// Cuts before the first of `ends` that no backslash stands before.
fn cut<'a>(bytes: &'a [u8], ends: &[u8]) -> (&'a [u8], &'a [u8]) {
    let end = (0..bytes.len()).find(|&at| ends.contains(&bytes[at]) && (at == 0 || bytes[at - 1] != b'\\'));
    bytes.split_at(end.unwrap_or(bytes.len()))
}

fn unescaped(raw: &[u8], special: &[u8]) -> Vec<u8> {
    let mut bytes = raw.iter().copied().peekable();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.next_if(|next| special.contains(next)) } else { None };
        out.push(escaped.unwrap_or(byte));
    }
    out
}

/// InfluxDB's words for a line, without white space before it, that is no point.
pub fn refusal(line: &[u8], precision: Precision) -> Option<String> {
    parse(line, precision).err()
}

fn refused<T>(words: &str) -> Result<T, String> {
    Err(words.to_owned())
}

fn skip_white(line: &[u8], mut at: usize) -> usize {
    while at < line.len() && b" \t\0".contains(&line[at]) {
        at += 1;
    }
    at
}

fn parse(line: &[u8], precision: Precision) -> Result<(), String> {
    let key = scan_key(line)?;
    if key > KEY_BYTES_MAX {
        return Err(format!("max key length exceeded: {key} > {KEY_BYTES_MAX}"));
    }
    let start = skip_white(line, key);
    let end = scan_fields(line, start)?;
    walk_fields(&line[start..end], key)?;
    scan_time(line, end, precision)
}

/// How long measurement and tags are.
fn scan_key(line: &[u8]) -> Result<usize, String> {
    if line.is_empty() || line[0] == b',' {
        return refused("missing measurement");
    }
    let mut at = 1;
    while at < line.len() && (line[at - 1] == b'\\' || !b", ".contains(&line[at])) {
        at += 1;
    }
    if at == line.len() {
        return refused("missing fields");
    }
    let mut keys: Vec<&[u8]> = Vec::new();
    while line[at] == b',' {
        let start = at + 1;
        if start >= line.len() || b" ,=".contains(&line[start]) {
            return refused("missing tag key");
        }
        at = start;
        loop {
            at += 1;
            if at >= line.len() || b" ,".contains(&line[at]) && line[at - 1] != b'\\' {
                return refused("missing tag value");
            }
            if line[at] == b'=' && line[at - 1] != b'\\' {
                break;
            }
        }
        keys.push(&line[start..at]);
        at += 1;
        if at >= line.len() || b" ,".contains(&line[at]) {
            return refused("missing tag value");
        }
        loop {
            at += 1;
            if at >= line.len() {
                return refused("missing fields");
            }
            if line[at - 1] == b'\\' {
                continue;
            }
            if line[at] == b'=' {
                return refused("invalid tag format");
            }
            if b" ,".contains(&line[at]) {
                break;
            }
        }
    }
    let twice = keys.iter().enumerate().any(|(number, key)| keys[..number].contains(key));
    if twice { refused("duplicate tags") } else { Ok(at) }
}

/// Where the fields end.
fn scan_fields(line: &[u8], start: usize) -> Result<usize, String> {
    let (mut quoted, mut equals, mut commas) = (false, 0, 0);
    let mut at = start;
    while at < line.len() {
        if line[at] == b'\\' && at + 1 < line.len() {
            at += 2;
            continue;
        }
        if line[at] == b'"' && equals > commas {
            quoted = !quoted;
            at += 1;
            continue;
        }
        if line[at] == b'=' && !quoted {
            equals += 1;
            if b" ,".contains(&line[at - 1]) && line[at - 2] != b'\\' {
                return refused("missing field key");
            }
            let Some(first) = line.get(at + 1).filter(|first| !b", ".contains(first)) else {
                return refused("missing field value");
            };
            if b"0123456789.-Nn".contains(first) {
                at = scan_number(line, at + 1)?;
                continue;
            }
            if *first != b'"' {
                at = scan_boolean(line, at + 1)?;
                continue;
            }
        }
        if line[at] == b',' && !quoted {
            commas += 1;
        }
        if line[at] == b' ' && !quoted {
            break;
        }
        at += 1;
    }
    if quoted {
        return refused("unbalanced quotes");
    }
    if equals == 0 || commas != equals - 1 {
        return refused("invalid field format");
    }
    Ok(at)
}

fn scan_boolean(line: &[u8], start: usize) -> Result<usize, String> {
    let end = (start..line.len()).find(|&at| b", ".contains(&line[at])).unwrap_or(line.len());
    match &line[start..end] {
        b"t" | b"T" | b"f" | b"F" | b"true" | b"True" | b"TRUE" | b"false" | b"False" | b"FALSE" => Ok(end),
        _ => refused("invalid boolean"),
    }
}

fn scan_number(line: &[u8], start: usize) -> Result<usize, String> {
    let invalid = || refused("invalid number");
    let (mut integer, mut decimal, mut scientific) = (false, false, false);
    let mut at = start;
    if line[at] == b'-' {
        at += 1;
        if at == line.len() {
            return invalid();
        }
    }
    while at < line.len() && !b", ".contains(&line[at]) {
        let byte = line[at];
        at += 1;
        if byte == b'i' && at - 1 > start && !integer {
            integer = true;
            continue;
        }
        if byte == b'.' {
            if decimal {
                return invalid();
            }
            decimal = true;
        }
        if at - 1 > start && b"eE".contains(&byte) {
            scientific = true;
            continue;
        }
        if b"+-".contains(&byte) && b"eE".contains(&line[at - 2]) {
            continue;
        }
        if !byte.is_ascii_digit() && byte != b'.' {
            return invalid();
        }
    }
    if integer && (decimal || scientific) {
        return invalid();
    }
    let digits = at - start - [integer, decimal, line[start] == b'-'].iter().filter(|is| **is).count();
    if digits == 0 || integer && line[at - 1] != b'i' {
        return invalid();
    }
    let number = text(&line[start..at - usize::from(integer)]);
    if integer && number.parse::<i64>().is_err() {
        return Err(format!(
            "unable to parse integer {number}: strconv.ParseInt: parsing \"{number}\": value out of range"
        ));
    }
    if !integer && !number.parse::<f64>().is_ok_and(f64::is_finite) {
        return refused("invalid float");
    }
    Ok(at)
}

fn walk_fields(mut fields: &[u8], key: usize) -> Result<(), String> {
    while !fields.is_empty() {
        let equals = (0..fields.len()).find(|&at| fields[at] == b'=' && (at == 0 || fields[at - 1] != b'\\'));
        let equals = equals.unwrap_or(fields.len());
        if equals + 2 > fields.len() {
            return Err(format!("invalid value: field-key={}", text(&fields[..equals])));
        }
        let bytes = key + KEY_SEPARATOR_BYTES + equals;
        if bytes > KEY_BYTES_MAX {
            return Err(format!("max key length exceeded: {bytes} > {KEY_BYTES_MAX}"));
        }
        let (mut at, mut quoted) = (equals + 1, false);
        while at < fields.len() && (quoted || fields[at] != b',') {
            if fields[at] == b'\\' && at + 1 < fields.len() && b"\"\\".contains(&fields[at + 1]) {
                at += 2;
                continue;
            }
            quoted ^= fields[at] == b'"';
            at += 1;
        }
        fields = fields.get(at + 1..).unwrap_or_default();
    }
    Ok(())
}

fn scan_time(line: &[u8], end: usize, precision: Precision) -> Result<(), String> {
    let start = skip_white(line, end);
    let mut at = start;
    while at < line.len() && !b" \n".contains(&line[at]) {
        if !(line[at].is_ascii_digit() || at == start && line[at] == b'-') {
            return refused("bad timestamp");
        }
        at += 1;
    }
    let time = text(&line[start..at]);
    let number: i64 = match time.as_str() {
        "" => return Ok(()),
        "-" => return refused("strconv.ParseInt: parsing \"-\": invalid syntax"),
        time => time.parse().map_err(|_| format!("strconv.ParseInt: parsing \"{time}\": value out of range"))?,
    };
    let time = i128::from(number) * i128::from(precision.nanoseconds());
    if time < i128::from(TIME_MIN) || time > i128::from(TIME_MAX) {
        return Err(format!("time outside range {TIME_MIN} - {TIME_MAX}"));
    }
    if line[at..].iter().any(|byte| *byte != b' ') { refused("point is invalid") } else { Ok(()) }
}
