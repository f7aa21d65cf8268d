//! Whether InfluxDB takes a line for a point, and which types its fields have: its own scan, step by step.
//!
//! Off the fast path: `batch` asks when it must tell which of several lines InfluxDB complained about first.

use std::borrow::Cow;

use super::Line;

/// Measurement and tags may be so long.
pub(super) const KEY_BYTES_MAX: usize = 65535;
/// Numbers up to so many bytes cannot leave their range.
const SAFE_INTEGER_BYTES: usize = 18;

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

/// The fields of a line in its order; `None` when it is no point.
pub fn fields<'a>(line: &Line<'a>) -> Option<Vec<(Cow<'a, [u8]>, FieldType)>> {
    let bytes = line.bytes();
    let series = line.raw_series();
    if line.raw_name().is_empty() || series.len() > KEY_BYTES_MAX || !tags_are_good(series, line.raw_name().len()) {
        return None;
    }
    let start = skip_white_space(bytes, series.len());
    let (end, fields) = scan_fields(bytes, start)?;
    timestamp_is_good(bytes, end).then_some(fields)
}

fn skip_white_space(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | 0)).count()
}

/// Every tag has a key and a value, no key comes twice.
fn tags_are_good(series: &[u8], name_end: usize) -> bool {
    let escaped = |at: usize| series[at - 1] == b'\\';
    let mut keys: Vec<&[u8]> = Vec::new();
    let mut at = name_end;
    while at < series.len() {
        // `at` stands on the comma.
        let key = at + 1;
        if key >= series.len() || matches!(series[key], b',' | b'=') {
            return false;
        }
        let Some(equals) = (key + 1..series.len()).find(|&i| matches!(series[i], b'=' | b',') && !escaped(i)) else {
            return false;
        };
        let value = equals + 1;
        if series[equals] == b',' || value >= series.len() || series[value] == b',' {
            return false;
        }
        at = (value + 1..series.len())
            .find(|&i| matches!(series[i], b'=' | b',') && !escaped(i))
            .unwrap_or(series.len());
        if series.get(at) == Some(&b'=') || keys.contains(&&series[key..equals]) {
            return false;
        }
        keys.push(&series[key..equals]);
    }
    true
}

type Fields<'a> = Vec<(Cow<'a, [u8]>, FieldType)>;

/// Scans the fields from `start`; where they end.
fn scan_fields(bytes: &[u8], start: usize) -> Option<(usize, Fields<'_>)> {
    let (mut quoted, mut equals, mut commas) = (false, 0, 0);
    let mut fields = Vec::new();
    let (mut at, mut key) = (start, start);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if at + 1 < bytes.len() => {
                at += 2;
                continue;
            }
            b'"' if equals > commas => quoted = !quoted,
            b'=' if !quoted => {
                equals += 1;
                if at == key {
                    return None;
                }
                let value = at + 1;
                let kind = match *bytes.get(value)? {
                    b',' | b' ' => return None,
                    b'0'..=b'9' | b'.' | b'-' | b'N' | b'n' => number(word(bytes, value))?,
                    b'"' => FieldType::String,
                    _ => boolean(word(bytes, value))?,
                };
                fields.push((super::line::field_name(&bytes[key..at]), kind));
                at = if kind == FieldType::String { value } else { value + word(bytes, value).len() };
                continue;
            }
            b',' if !quoted => {
                commas += 1;
                key = at + 1;
            }
            b' ' if !quoted => break,
            _ => {}
        }
        at += 1;
    }
    (!quoted && equals > 0 && commas == equals - 1).then_some((at, fields))
}

/// What stands from `at` to the next comma or space.
fn word(bytes: &[u8], at: usize) -> &[u8] {
    let rest = &bytes[at..];
    &rest[..rest.iter().position(|byte| matches!(byte, b',' | b' ')).unwrap_or(rest.len())]
}

fn boolean(word: &[u8]) -> Option<FieldType> {
    let known: [&[u8]; 10] = [b"t", b"T", b"true", b"True", b"TRUE", b"f", b"F", b"false", b"False", b"FALSE"];
    known.contains(&word).then_some(FieldType::Boolean)
}

fn number(word: &[u8]) -> Option<FieldType> {
    let text = std::str::from_utf8(word).ok()?;
    if let Some(integer) = text.strip_suffix('i') {
        let digits = integer.strip_prefix('-').unwrap_or(integer);
        let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let fits = digits.len() <= SAFE_INTEGER_BYTES || integer.parse::<i64>().is_ok();
        return (good && fits).then_some(FieldType::Integer);
    }
    let known = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
    (known && finite).then_some(FieldType::Float)
}

/// Nothing but white space and one number in range.
fn timestamp_is_good(bytes: &[u8], end: usize) -> bool {
    let start = skip_white_space(bytes, end);
    let rest = &bytes[start..];
    let digits = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
    let (time, behind) = rest.split_at(digits);
    let time = std::str::from_utf8(time).unwrap_or("x");
    let plain = !time.starts_with('+') && (time.is_empty() || time.parse::<i64>().is_ok());
    plain && behind.iter().all(|byte| *byte == b' ')
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
