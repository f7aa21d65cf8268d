//! JSON as Go's encoder prints it: `<`, `>`, `&`, U+2028 and U+2029 are escaped inside strings.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// One string, quoted.
pub fn string(text: &str) -> String {
    to_string(&text, false)
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
        assert_eq!(string("a<b>&\"\\\n\t\u{8}\u{2028}é"), r#""a\u003cb\u003e\u0026\"\\\n\t\u0008\u2028é""#);
    }

    #[test]
    fn pretty_indents_by_four() {
        assert_eq!(to_string(&serde_json::json!({"a": [1]}), true), "{\n    \"a\": [\n        1\n    ]\n}");
    }
}
