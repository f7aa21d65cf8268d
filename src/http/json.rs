//! JSON as Go's encoder prints it: `<`, `>`, `&`, U+2028 and U+2029 are escaped inside strings, floats have an exponent
//! below 1e-6 and from 1e21 on.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// One string, quoted.
pub fn string(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends one string, quoted.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let is_plain = byte >= b' ' && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        if is_plain {
            continue;
        }
        let width = if byte == 0xe2 { 3 } else { 1 };
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0xe2 if bytes[at..].starts_with("\u{2028}".as_bytes()) => b"\\u2028",
            0xe2 if bytes[at..].starts_with("\u{2029}".as_bytes()) => b"\\u2029",
            0xe2 => continue,
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                &[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
            }
        };
        out.extend_from_slice(&bytes[start..at]);
        out.extend_from_slice(escape);
        start = at + width;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

pub fn push_integer(out: &mut Vec<u8>, number: i64) {
    // A Vec takes all bytes.
    let _ = write!(out, "{number}");
}

/// Appends a finite number, in the fewest digits that read back as the same.
pub fn push_float(out: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return push_decimal(out, number);
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    // Go writes the exponent's sign.
    let sign = if size < 1.0 { "" } else { "+" };
    let _ = write!(out, "{digits}e{sign}{exponent}");
}

/// The same without an exponent. Of two that are equally near Go takes the one that ends evenly.
pub fn push_decimal(out: &mut Vec<u8>, number: f64) {
    let start = out.len();
    let _ = write!(out, "{number}");
    let Some(point) = out[start..].iter().position(|byte| *byte == b'.') else { return };
    let decimals = out.len() - start - point - 1;
    // What lies in the middle has one digit more in all.
    if binary_places(number) == decimals + 1 {
        let even = format!("{number:.decimals$}");
        if even.parse() == Ok(number) {
            out.truncate(start);
            out.extend_from_slice(even.as_bytes());
        }
    }
}

/// Behind the point, and so many has the number in decimal too.
fn binary_places(number: f64) -> usize {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    let mantissa = number.to_bits() & ((1 << MANTISSA_BITS) - 1);
    let exponent = (number.to_bits() >> MANTISSA_BITS & 0x7ff) as u32;
    // The bit in front of a mantissa is 1, so that it ends there at the latest.
    let zeros = mantissa.trailing_zeros().min(MANTISSA_BITS);
    (1023 + MANTISSA_BITS).saturating_sub(exponent + zeros) as usize
}

/// A whole value; `pretty` indents by four spaces, as InfluxDB's `pretty=true`.
pub fn to_string(value: &impl Serialize, pretty: bool) -> String {
    let mut out = Vec::new();
    let written = if pretty {
        value.serialize(&mut Serializer::with_formatter(&mut out, Go(PrettyFormatter::with_indent(b"    "))))
    } else {
        value.serialize(&mut Serializer::with_formatter(&mut out, Go(CompactFormatter)))
    };
    debug_assert!(written.is_ok(), "our values have string keys and a Vec takes all bytes");
    String::from_utf8(out).unwrap_or_default()
}

/// Another formatter with Go's idea of strings.
struct Go<F>(F);

impl<F: Formatter> Formatter for Go<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut start = 0;
        for (at, c) in fragment.char_indices() {
            if matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') {
                writer.write_all(&fragment.as_bytes()[start..at])?;
                write!(writer, "\\u{:04x}", c as u32)?;
                start = at + c.len_utf8();
            }
        }
        writer.write_all(&fragment.as_bytes()[start..])
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::Backspace => writer.write_all(b"\\u0008"),
            CharEscape::FormFeed => writer.write_all(b"\\u000c"),
            other => self.0.write_char_escape(writer, other),
        }
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_as_go_prints_them() {
        let text = "a<b>&\"\\\n\r\t\u{8}\u{c}\u{7f}\u{2028}\u{2029}\u{2030}é\0";
        let printed = string(text);
        assert_eq!(
            printed,
            "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\\r\\t\\u0008\\u000c\u{7f}\\u2028\\u2029\u{2030}é\\u0000\""
        );
        assert_eq!(printed, to_string(&text, false));
    }

    /// As influxd 1.6.7 prints them.
    #[test]
    #[allow(clippy::excessive_precision, reason = "the digits behind are what it is about")]
    fn floats_as_go_prints_them() {
        for (number, wanted) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (123456789.123, "123456789.123"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (0.000001, "0.000001"),
            (1e-7, "1e-7"),
            (-1.25e-10, "-1.25e-10"),
            (5e-324, "5e-324"),
            // In the middle between two of as many digits.
            (901.50396728515625, "901.5039672851562"),
            (-901.50396728515625, "-901.5039672851562"),
            (5e-324 * 2.0, "1e-323"),
            (0.5, "0.5"),
            (1125899906842624.25, "1125899906842624.2"),
            (1125899906842624.75, "1125899906842624.8"),
            (140737488355328.1875, "140737488355328.2"),
            (0.00152587890625, "0.00152587890625"),
            (4503599627370496.0, "4503599627370496"),
        ] {
            let mut out = Vec::new();
            push_float(&mut out, number);
            assert_eq!(String::from_utf8_lossy(&out), wanted);
        }
    }

    #[test]
    fn pretty_indents_by_four() {
        assert_eq!(to_string(&serde_json::json!({"a": [1]}), true), "{\n    \"a\": [\n        1\n    ]\n}");
    }
}
