//! How single values are written in InfluxQL: identifiers, strings, regular expressions,
//! durations and numbers, and the way back for durations.
//!
//! Used by the `Display` of the AST and by the parser. Whatever these functions print the lexer
//! reads back to the same value.

use std::borrow::Cow;
use std::fmt;

use super::lexer::is_bare_ident;

/// An identifier, in quotes only when it needs them.
pub fn quote_ident(name: &str) -> Cow<'_, str> {
    if is_bare_ident(name) { Cow::Borrowed(name) } else { Cow::Owned(in_quotes(name, '"')) }
}

/// Whether a text between quotes can say it: for NUL and carriage return there is no escape.
pub fn is_printable(text: &str) -> bool {
    !text.contains(['\0', '\r'])
}

/// The dotted name as InfluxDB's errors show it: all but the last segment always in quotes.
pub(super) fn quote_segments(segments: &[String]) -> String {
    let last = segments.len().saturating_sub(1);
    let mut out = String::new();
    for (i, segment) in segments.iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        if segment.is_empty() && i > 0 && i < last {
            continue;
        }
        if i < last { out += &in_quotes(segment, '"') } else { out += &quote_ident(segment) }
    }
    out
}

/// A string literal in single quotes.
pub fn quote_string(text: &str) -> String {
    in_quotes(text, '\'')
}

pub(super) fn in_quotes(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// A regular expression between slashes.
pub fn quote_regex(regex: &str) -> String {
    format!("/{}/", regex.replace('/', "\\/"))
}

/// The regular expression that means these names alone.
pub fn regex_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| printable_regex(&regex::escape(name))).collect();
    format!("^(?:{})$", names.join("|"))
}

/// The same expression in characters that `/…/` can hold: no raw line ends or NUL, and no
/// backslash at the end, where it would escape the closing slash.
pub(super) fn printable_regex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        let raw = matches!(c, '\n' | '\r' | '\0');
        if raw && !escaped {
            out.push('\\');
        }
        match c {
            '\n' => out.push('n'),
            '\r' => out.push('r'),
            '\0' => out.push_str("x00"),
            other => out.push(other),
        }
        escaped = c == '\\' && !escaped;
    }
    if text.ends_with('\\') {
        out.push_str("(?:)");
    }
    out
}

/// Units of a duration in nanoseconds, longest first, as durations are printed.
const UNITS: [(i64, &str); 8] = [
    (604_800_000_000_000, "w"),
    (86_400_000_000_000, "d"),
    (3_600_000_000_000, "h"),
    (60_000_000_000, "m"),
    (1_000_000_000, "s"),
    (1_000_000, "ms"),
    (1_000, "u"),
    (1, "ns"),
];

/// A duration in the largest unit that divides it, as InfluxDB prints it: 1h30m is `90m`, none
/// is `0s`. (The one value that can't be read back is `i64::MIN`.)
pub fn format_duration(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_string();
    }
    let divides = |unit: &&(i64, &str)| ns % unit.0 == 0;
    let (unit_ns, name) = UNITS.iter().find(divides).unwrap_or(&(1, "ns"));
    format!("{}{name}", ns / unit_ns)
}

/// Why a duration could not be read; its `Display` is InfluxDB's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DurationError {
    Invalid,
    /// Over about 292 years. InfluxDB notices this only when the sum turns out negative.
    Overflow {
        measure: i64,
        unit: &'static str,
    },
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationError::Invalid => f.write_str("invalid duration"),
            DurationError::Overflow { measure, unit } => {
                write!(f, "overflowed duration {measure}{unit}: choose a smaller duration or INF")
            }
        }
    }
}

impl std::error::Error for DurationError {}

/// Reads a duration like `1h30m` or `-5s` to nanoseconds. Units: ns, u, µ, ms, s, m, h, d, w. What is too long runs over,
/// as InfluxDB has it: `99999999999d` is a length that it takes.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return Err(DurationError::Invalid);
    }
    let mut total = 0_i64;
    let (mut measure, mut unit) = (0_i64, "");
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        measure = number.parse().map_err(|_| DurationError::Invalid)?;
        let (unit_ns, name, unit_bytes) = duration_unit(after).ok_or(DurationError::Invalid)?;
        unit = name;
        total = total.wrapping_add(measure.wrapping_mul(unit_ns));
        rest = &after[unit_bytes..];
    }
    if total < 0 && !negative {
        // Like InfluxDB, names the last part, whichever was too much.
        return Err(DurationError::Overflow { measure, unit });
    }
    Ok(if negative { total.wrapping_neg() } else { total })
}

/// The unit at the start of `text`: nanoseconds, name and bytes.
fn duration_unit(text: &str) -> Option<(i64, &'static str, usize)> {
    if text.starts_with('µ') {
        return Some((1_000, "µ", 'µ'.len_utf8()));
    }
    let starts = |unit: &&(i64, &'static str)| text.starts_with(unit.1);
    // `ms` before `m`, since the one starts with the other.
    let unit = UNITS.iter().find(|u| u.1 == "ms" && starts(u)).or(UNITS.iter().find(starts));
    unit.map(|&(ns, name)| (ns, name, name.len()))
}

/// A finite float: three decimals as InfluxDB prints it where they say it all, else as many
/// digits as it takes (InfluxDB rounds there).
pub fn format_float(value: f64) -> String {
    let three = format!("{value:.3}");
    if three.parse() == Ok(value) { three } else { format_float_short(value) }
}

/// A finite float in as few digits as say it all, the way InfluxDB prints the number of `fill()`.
/// There is always a full stop, so that it is not read back as an integer.
pub fn format_float_short(value: f64) -> String {
    let digits = format!("{value}");
    if digits.contains('.') { digits } else { digits + ".0" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        let cases = [
            ("cpu", "cpu"),
            ("_x9", "_x9"),
            ("", "\"\""),
            ("9x", "\"9x\""),
            ("a b", "\"a b\""),
            ("a.b", "\"a.b\""),
            ("Select", "\"Select\""),
            ("true", "\"true\""),
            ("é", "\"é\""),
            ("a\"b\\c\nd", "\"a\\\"b\\\\c\\nd\""),
        ];
        for (name, text) in cases {
            assert_eq!(quote_ident(name), text);
        }
    }

    #[test]
    fn durations_print_in_the_largest_whole_unit() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_000, "1u"),
            (1_500_000, "1500u"),
            (90 * 60_000_000_000, "90m"),
            (-3_600_000_000_000, "-1h"),
            (86_400_000_000_000, "1d"),
            (2 * 604_800_000_000_000, "2w"),
        ];
        for (ns, text) in cases {
            assert_eq!(format_duration(ns), text);
            assert_eq!(parse_duration(text), Ok(ns));
        }
    }

    #[test]
    fn durations_parse() {
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(parse_duration("1ms1µ1u1ns"), Ok(1_002_001));
        for bad in ["", "-", "5", "s", "1x", "1us", "1h5", "1n", "99999999999999999999s", "+1s"] {
            assert_eq!(parse_duration(bad), Err(DurationError::Invalid), "{bad}");
        }
        let overflow = DurationError::Overflow { measure: 20_000, unit: "w" };
        assert_eq!(parse_duration("20000w"), Err(overflow));
        assert_eq!(parse_duration("20000w5"), Err(DurationError::Invalid));
        assert_eq!(parse_duration("99999999999d"), Ok(99_999_999_999_i64.wrapping_mul(86_400_000_000_000)));
    }

    #[test]
    fn floats_keep_their_value() {
        let tiny = format!("0.{}5", "0".repeat(323));
        let cases = [
            (1.5, "1.500"),
            (0.0, "0.000"),
            (1.23456, "1.23456"),
            (0.00001, "0.00001"),
            (-2.25, "-2.250"),
            (5e-324, &tiny),
        ];
        for (value, text) in cases {
            assert_eq!(format_float(value), text);
            assert_eq!(text.parse(), Ok(value));
        }
        assert_eq!(format_float(1e23).parse(), Ok(1e23));
    }

    #[test]
    fn names_as_regexes() {
        let names = ["a.b/c|d", "a\\", "x\\\ry\0"];
        let regex = regex_of(names);
        assert_eq!(regex, r"^(?:a\.b/c\|d|a\\(?:)|x\\\ry\x00)$");
        let regex = regex::Regex::new(&regex).expect("it is one");
        assert!(names.iter().all(|name| regex.is_match(name)) && !regex.is_match("a") && !regex.is_match("axb/c"));
    }

    #[test]
    fn regexes_become_printable() {
        let cases = [
            ("a/b", "a/b"),
            ("a\nb", "a\\nb"),
            ("a\\\nb", "a\\nb"),
            ("a\\\\\nb", "a\\\\\\nb"),
            ("a\r\0", "a\\r\\x00"),
            ("a\\\\", "a\\\\(?:)"),
        ];
        for (raw, printable) in cases {
            assert_eq!(printable_regex(raw), printable, "{raw:?}");
        }
    }
}
