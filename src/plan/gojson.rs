//! JSON as Go's decoder reads it: the first value of a text, or Go's words about what is wrong there. Called by `params`.
//!
//! Of what lies deeper than a parameter's value can, only the kind is kept.

use std::collections::BTreeMap;

/// Objects in objects whose members are kept.
const KEPT_DEPTH: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    String(String),
    Array,
    Object(BTreeMap<String, Json>),
}

/// What a value stands in.
enum Open {
    Array,
    /// Its members so far, and the key of the next.
    Object(BTreeMap<String, Json>, String),
}

const CUT: &str = "unexpected EOF";

/// The first value of a text.
///
/// # Errors
/// What Go says of it.
pub fn decode(text: &str) -> Result<Json, String> {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
    if reader.peek().is_none() {
        return Err("EOF".to_owned());
    }
    let mut open: Vec<Open> = Vec::new();
    loop {
        let mut value = match reader.sign()? {
            b'{' => match reader.sign()? {
                b'}' => Json::Object(BTreeMap::new()),
                first => {
                    open.push(Open::Object(BTreeMap::new(), reader.key(first)?));
                    continue;
                }
            },
            b'[' if reader.peek() == Some(b']') => {
                reader.at += 1;
                Json::Array
            }
            b'[' => {
                open.push(Open::Array);
                continue;
            }
            b'"' => Json::String(reader.string()?),
            first @ (b'-' | b'0'..=b'9') => Json::Number(reader.number(first)?),
            b't' => reader.literal("true", Json::Bool(true))?,
            b'f' => reader.literal("false", Json::Bool(false))?,
            b'n' => reader.literal("null", Json::Null)?,
            other => return Err(invalid(other, "looking for beginning of value")),
        };
        // It is the last of what is open, or another follows.
        loop {
            let depth = open.len();
            match open.last_mut() {
                None => return Ok(value),
                Some(Open::Array) => match reader.sign()? {
                    b',' => break,
                    b']' => value = Json::Array,
                    other => return Err(invalid(other, "after array element")),
                },
                Some(Open::Object(members, key)) => {
                    if depth <= KEPT_DEPTH {
                        members.insert(std::mem::take(key), value);
                    }
                    match reader.sign()? {
                        b',' => {
                            let first = reader.sign()?;
                            *key = reader.key(first)?;
                            break;
                        }
                        b'}' => value = Json::Object(std::mem::take(members)),
                        other => return Err(invalid(other, "after object key:value pair")),
                    }
                }
            }
            open.pop();
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next byte behind white space, which stays.
    fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    /// The same, taken.
    fn sign(&mut self) -> Result<u8, String> {
        let sign = self.peek().ok_or(CUT)?;
        self.at += 1;
        Ok(sign)
    }

    fn byte(&mut self) -> Result<u8, String> {
        let byte = *self.bytes.get(self.at).ok_or(CUT)?;
        self.at += 1;
        Ok(byte)
    }

    /// A key that begins so, and the colon behind it.
    fn key(&mut self, first: u8) -> Result<String, String> {
        if first != b'"' {
            return Err(invalid(first, "looking for beginning of object key string"));
        }
        let key = self.string()?;
        match self.sign()? {
            b':' => Ok(key),
            other => Err(invalid(other, "after object key")),
        }
    }

    fn literal(&mut self, name: &str, value: Json) -> Result<Json, String> {
        for wanted in name.bytes().skip(1) {
            let seen = self.byte()?;
            if seen != wanted {
                let context = format!("in literal {name} (expecting '{}')", char::from(wanted));
                return Err(invalid(seen, &context));
            }
        }
        Ok(value)
    }

    /// Digits, the first of which must be there.
    fn digits(&mut self, context: &str) -> Result<(), String> {
        match self.byte()? {
            b'0'..=b'9' => {}
            other => return Err(invalid(other, context)),
        }
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self, first: u8) -> Result<String, String> {
        let start = self.at - 1;
        if first != b'-' {
            self.at = start;
        }
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits("in numeric literal")?,
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned())
    }

    /// What stands behind its quote.
    fn string(&mut self) -> Result<String, String> {
        let mut text: Vec<u8> = Vec::new();
        // UTF-16 that has been escaped and not been read.
        let mut units: Vec<u16> = Vec::new();
        loop {
            let byte = self.byte()?;
            if (byte, self.bytes.get(self.at)) == (b'\\', Some(&b'u')) {
                self.at += 1;
                units.push(self.hex()?);
                continue;
            }
            let unescaped = String::from_utf16_lossy(&std::mem::take(&mut units));
            text.extend_from_slice(unescaped.as_bytes());
            match byte {
                b'"' => return Ok(String::from_utf8_lossy(&text).into_owned()),
                b'\\' => text.push(match self.byte()? {
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    same @ (b'"' | b'\\' | b'/') => same,
                    other => return Err(invalid(other, "in string escape code")),
                }),
                0..=0x1f => return Err(invalid(byte, "in string literal")),
                other => text.push(other),
            }
        }
    }

    fn hex(&mut self) -> Result<u16, String> {
        let mut unit = 0;
        for _ in 0..4 {
            let byte = self.byte()?;
            let digit = char::from(byte).to_digit(16);
            let digit = digit.ok_or_else(|| invalid(byte, "in \\u hexadecimal character escape"))?;
            unit = unit << 4 | digit as u16;
        }
        Ok(unit)
    }
}

/// Go takes the byte for a character.
fn invalid(byte: u8, context: &str) -> String {
    let shown = match byte {
        0x07 => r"\a".to_owned(),
        0x08 => r"\b".to_owned(),
        0x0b => r"\v".to_owned(),
        0x0c => r"\f".to_owned(),
        b'\n' => r"\n".to_owned(),
        b'\r' => r"\r".to_owned(),
        b'\t' => r"\t".to_owned(),
        b'\\' | b'\'' => format!("\\{}", char::from(byte)),
        0..=0x1f | 0x7f => format!("\\x{byte:02x}"),
        0x80..=0xa0 | 0xad => format!("\\u{byte:04x}"),
        other => char::from(other).to_string(),
    };
    format!("invalid character '{shown}' {context}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As influxd 1.6.7 says it.
    #[test]
    fn what_is_wrong_is_told_as_go_tells_it() {
        for (text, why) in [
            ("", "EOF"),
            (" \n", "EOF"),
            ("{", CUT),
            ("[1,", CUT),
            ("tr", CUT),
            ("-", CUT),
            ("1.", CUT),
            ("1e", CUT),
            (r#""a"#, CUT),
            (r#"{"x""#, CUT),
            (r#"{"x":"\""#, CUT),
            ("}", "invalid character '}' looking for beginning of value"),
            ("nulx", "invalid character 'x' in literal null (expecting 'l')"),
            (r#"{"x":tRue}"#, "invalid character 'R' in literal true (expecting 'r')"),
            (r#"{"x"}"#, "invalid character '}' after object key"),
            (r#"{"x":}"#, "invalid character '}' looking for beginning of value"),
            (r#"{"x":1,}"#, "invalid character '}' looking for beginning of object key string"),
            (r#"{"x":1 "y":2}"#, "invalid character '\"' after object key:value pair"),
            ("{'x':1}", r"invalid character '\'' looking for beginning of object key string"),
            (r#"{"x":01}"#, "invalid character '1' after object key:value pair"),
            (r#"{"x":[1,]}"#, "invalid character ']' looking for beginning of value"),
            ("[[[1,2],[3 4]]]", "invalid character '4' after array element"),
            (r#"{"x":5.}"#, "invalid character '}' after decimal point in numeric literal"),
            (r#"{"x":-a}"#, "invalid character 'a' in numeric literal"),
            (r#"{"x":1E+}"#, "invalid character '}' in exponent of numeric literal"),
            (r#"{"x":"\x"}"#, "invalid character 'x' in string escape code"),
            (r#"{"x":"\u12zz"}"#, r"invalid character 'z' in \u hexadecimal character escape"),
            ("{\"a\":\"\n", r"invalid character '\n' in string literal"),
            ("\0", r"invalid character '\x00' looking for beginning of value"),
            ("\u{b}", r"invalid character '\v' looking for beginning of value"),
            ("\u{7f}", r"invalid character '\x7f' looking for beginning of value"),
            ("é", "invalid character 'Ã' looking for beginning of value"),
        ] {
            assert_eq!(decode(text), Err(why.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn the_first_value_is_read() {
        let text = r#" {"s": "a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud800x", "n": -1.50e+3, "o": {"a": [1, {}], "b": null},
            "n": 0, "d": {"e": {"f": 1}}} }"#;
        let Ok(Json::Object(mut read)) = decode(text) else { panic!("an object") };
        let string = "a\"\\/\u{8}\u{c}\n\r\té😀\u{fffd}x".to_owned();
        assert_eq!(read.remove("s"), Some(Json::String(string)));
        assert_eq!(read.remove("n"), Some(Json::Number("0".to_owned())), "the last of a name");
        let inner = BTreeMap::from([("a".to_owned(), Json::Array), ("b".to_owned(), Json::Null)]);
        assert_eq!(read.remove("o"), Some(Json::Object(inner)));
        let deep = BTreeMap::from([("e".to_owned(), Json::Object(BTreeMap::new()))]);
        assert_eq!(read.remove("d"), Some(Json::Object(deep)));
        for (text, value) in [
            ("5x", Json::Number("5".to_owned())),
            ("01", Json::Number("0".to_owned())),
            ("-0.5e-1 ", Json::Number("-0.5e-1".to_owned())),
            ("nullx", Json::Null),
            ("[]", Json::Array),
            ("{}}", Json::Object(BTreeMap::new())),
        ] {
            assert_eq!(decode(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn depth_costs_no_recursion() {
        let deep = 200_000;
        assert_eq!(decode(&("[".repeat(deep) + &"]".repeat(deep))), Ok(Json::Array));
        assert_eq!(decode(&"{\"a\":".repeat(deep)), Err(CUT.to_owned()));
        let closed = "{\"a\":".repeat(deep) + "1" + &"}".repeat(deep);
        assert!(matches!(decode(&closed), Ok(Json::Object(_))));
    }
}
