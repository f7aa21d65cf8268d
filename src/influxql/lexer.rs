//! The lexer: InfluxQL text to tokens, one at a time, as the parser asks for them.
//!
//! Called by `parser` alone. It walks the text the way InfluxDB's scanner does, character by
//! character with a little push-back, because its error positions are visible to clients: a
//! string's position is the one of the character before its quote, the end of the text counts
//! once, `\r` and `\r\n` are one newline, and a NUL ends the text like the end itself.
//! Whether a `/` starts a regular expression only the grammar knows, so the parser asks for one.
//! Every token costs time linear in its length; nothing here recurses.

use std::borrow::Cow;

use super::ParseError;
use super::token::{Keyword, Token};

/// A place in the query text as InfluxDB counts it: both from 0, printed from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    pub line: u32,
    /// In characters, not in bytes.
    pub char: u32,
}

/// One token with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Lexeme<'a> {
    pub token: Token,
    /// The decoded text of a literal, an identifier or whitespace; empty for operators and
    /// keywords.
    pub text: Cow<'a, str>,
    pub position: Position,
}

impl Lexeme<'_> {
    /// How error messages name the token: its text, else the token's own name.
    pub fn found(&self) -> String {
        if self.text.is_empty() { self.token.name().to_string() } else { self.text.to_string() }
    }

    /// The error `found this, expected …`.
    pub fn unexpected(&self, expected: &[&'static str]) -> ParseError {
        ParseError::unexpected(self.found(), expected, self.position)
    }
}

const END: char = '\0';

/// One character read, with its place.
#[derive(Debug, Clone, Copy)]
struct Unit {
    ch: char,
    position: Position,
    start: usize,
    end: usize,
}

/// Characters that the reader keeps: the current one and two to push back.
const UNREAD_MAX: usize = 3;

/// Reads characters with push-back, and counts lines.
///
/// Most characters are plain: a byte each, one place behind the last. Those since the last other one stand in the text, where
/// they are read again; the others are kept in a ring, and the plain ones before them.
#[derive(Debug)]
struct Reader<'a> {
    text: &'a str,
    /// Where the text goes on behind all that was read, but for plain characters that were pushed back.
    next: usize,
    position: Position,
    ended: bool,
    /// Plain characters right before `next`. There are none while some of the ring are pushed back.
    plain: usize,
    ring: [Unit; UNREAD_MAX],
    latest: usize,
    /// How many of the ring's characters were pushed back; < UNREAD_MAX.
    unread: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let blank = Unit { ch: END, position: Position::default(), start: 0, end: 0 };
        Reader {
            text,
            next: 0,
            position: Position::default(),
            ended: false,
            plain: 0,
            ring: [blank; UNREAD_MAX],
            latest: 0,
            unread: 0,
        }
    }

    #[inline]
    fn read(&mut self) -> Unit {
        match self.text.as_bytes().get(self.next) {
            Some(byte) if is_plain(*byte) && self.unread == 0 && !self.ended => {
                self.pass(1);
                self.before(1)
            }
            _ => self.read_other(),
        }
    }

    /// Passes over so many plain characters.
    fn pass(&mut self, count: usize) {
        self.next += count;
        self.plain += count;
        self.position.char = self.position.char.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// What follows, where reading it means passing over it, as long as it is plain.
    fn ahead(&self) -> &'a str {
        let is_ahead = self.unread == 0 && !self.ended;
        self.text.get(self.next..).filter(|_| is_ahead).unwrap_or("")
    }

    /// One of the plain characters right before the next: 1 is the last of them.
    fn before(&self, back: usize) -> Unit {
        let start = self.next - back;
        let char = self.position.char.saturating_sub(u32::try_from(back).unwrap_or(u32::MAX));
        let ch = char::from(self.text.as_bytes()[start]);
        Unit { ch, position: Position { char, ..self.position }, start, end: start + 1 }
    }

    /// What was pushed back into the ring, or what is not plain.
    #[inline(never)]
    fn read_other(&mut self) -> Unit {
        if self.unread > 0 {
            self.unread -= 1;
            return self.current();
        }
        for back in (1..=self.plain.min(UNREAD_MAX - 1)).rev() {
            self.keep(self.before(back));
        }
        self.plain = 0;
        let start = self.next;
        let mut ch = END;
        if let Some(c) = self.text[start..].chars().next() {
            self.next += c.len_utf8();
            ch = c;
            if c == '\r' {
                ch = '\n';
                if self.text[self.next..].starts_with('\n') {
                    self.next += 1;
                }
            }
        }
        self.keep(Unit { ch, position: self.position, start, end: self.next });
        if ch == '\n' {
            self.position.line = self.position.line.saturating_add(1);
            self.position.char = 0;
        } else if !self.ended {
            self.position.char = self.position.char.saturating_add(1);
        }
        if ch == END {
            self.ended = true;
        }
        self.current()
    }

    fn keep(&mut self, unit: Unit) {
        self.latest = (self.latest + 1) % UNREAD_MAX;
        self.ring[self.latest] = unit;
    }

    fn unread(&mut self) {
        if self.plain > 0 {
            self.plain -= 1;
            self.next -= 1;
            self.position.char = self.position.char.saturating_sub(1);
            return;
        }
        debug_assert!(self.unread + 1 < UNREAD_MAX, "the ring forgets older characters");
        self.unread += 1;
    }

    /// The last character read and not pushed back.
    fn current(&self) -> Unit {
        match self.plain {
            0 => self.ring[(self.latest + UNREAD_MAX - self.unread) % UNREAD_MAX],
            _ => self.before(1),
        }
    }

    fn peek(&mut self) -> char {
        let ch = self.read().ch;
        self.unread();
        ch
    }

    /// Reads while `wanted` holds; the first other character is pushed back.
    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        loop {
            let ahead = self.ahead().as_bytes();
            let count = count(ahead, |byte| is_plain(byte) && wanted(char::from(byte)));
            self.pass(count);
            if ahead.get(count).is_some_and(|byte| is_plain(*byte)) {
                return;
            }
            if !wanted(self.read().ch) {
                return self.unread();
            }
        }
    }
}

/// Of a byte: whether it is a character for which nothing special holds.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// How many of the first bytes are such ones.
fn count(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !wanted(*byte)).unwrap_or(bytes.len())
}

/// Why a quoted text could not be read.
enum BadText {
    /// No closing quote on the line; what was read so far.
    Unclosed(String),
    /// A backslash before something else than `n`, `\`, `'` or `"`.
    Escape(String),
}

/// Turns text into [`Lexeme`]s on demand.
#[derive(Debug)]
pub struct Lexer<'a> {
    reader: Reader<'a>,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Lexer { reader: Reader::new(text) }
    }

    /// The next character that [`Lexer::scan`] would look at. Like InfluxDB's look-ahead it
    /// swallows the end of the text, which then counts as one more character in later positions.
    pub fn peek_char(&mut self) -> char {
        let ch = self.reader.read().ch;
        if ch != END {
            self.reader.unread();
        }
        ch
    }

    /// The next token, whitespace and comments included. At the end [`Token::Eof`], for ever.
    pub fn scan(&mut self) -> Lexeme<'a> {
        self.plain().unwrap_or_else(|| self.scan_any())
    }

    /// The next token, if it is one that needs no look at anything but plain characters, as most do: what [`Lexer::scan_any`]
    /// would find, for less.
    #[inline]
    fn plain(&mut self) -> Option<Lexeme<'a>> {
        let ahead = self.reader.ahead();
        let bytes = ahead.as_bytes();
        let position = self.reader.position;
        let (token, text, length) = match *bytes.first()? {
            b' ' => {
                let length = 1 + count(&bytes[1..], |byte| byte == b' ');
                (Token::Whitespace, &ahead[..length], length)
            }
            first if first == b'_' || first.is_ascii_alphabetic() => {
                let length = 1 + count(&bytes[1..], |byte| is_ident_char(char::from(byte)));
                if bytes.get(length) == Some(&b'"') {
                    return None;
                }
                match Keyword::lookup(&ahead[..length]) {
                    Some(token) => (token, "", length),
                    None => (Token::Ident, &ahead[..length], length),
                }
            }
            first if first.is_ascii_digit() => {
                let digits = 1 + count(&bytes[1..], |byte| byte.is_ascii_digit());
                let length = digits + count(&bytes[digits..], |byte| byte.is_ascii_alphanumeric());
                let token = match bytes.get(digits)? {
                    b'.' => return None,
                    letter if letter.is_ascii_alphabetic() => Token::Duration,
                    _ => Token::Integer,
                };
                (token, &ahead[..length], length)
            }
            quote @ (b'"' | b'\'') => {
                let length = count(&bytes[1..], |byte| is_plain(byte) && byte != quote && byte != b'\\');
                if bytes.get(length + 1) != Some(&quote) {
                    return None;
                }
                let text = &ahead[1..=length];
                let lexeme = match quote {
                    b'"' => Lexeme { token: Token::Ident, text: text.into(), position },
                    // See `string`.
                    _ if self.reader.plain == 0 => return None,
                    _ => Lexeme { token: Token::String, text: text.into(), position: self.reader.before(1).position },
                };
                self.reader.pass(length + 2);
                return Some(lexeme);
            }
            b'(' => (Token::OpenParen, "", 1),
            b')' => (Token::CloseParen, "", 1),
            b',' => (Token::Comma, "", 1),
            b'=' if bytes.get(1) == Some(&b' ') => (Token::Equal, "", 1),
            b'<' if bytes.get(1) == Some(&b' ') => (Token::Less, "", 1),
            b'>' if bytes.get(1) == Some(&b'=') => (Token::GreaterEqual, "", 2),
            _ => return None,
        };
        // What ends a token is looked at, and an end or a newline leaves traces.
        if !bytes.get(length).is_some_and(|byte| is_plain(*byte)) {
            return None;
        }
        self.reader.pass(length);
        Some(Lexeme { token, text: text.into(), position })
    }

    #[inline(never)]
    fn scan_any(&mut self) -> Lexeme<'a> {
        let first = self.reader.read();
        match first.ch {
            c if is_whitespace(c) => self.whitespace(first),
            c if is_letter(c) || c == '_' || c == '"' => self.ident(first, true),
            c if c.is_ascii_digit() => self.number(first),
            '\'' => self.string(),
            '.' if self.reader.peek().is_ascii_digit() => self.number(first),
            '$' => self.bound_param(first),
            END => self.lexeme(Token::Eof, first, ""),
            '-' if self.follows('-') => {
                while !matches!(self.reader.read().ch, '\n' | END) {}
                self.lexeme(Token::Comment, first, "")
            }
            '/' if self.follows('*') => self.block_comment(first),
            _ => self.operator(first),
        }
    }

    /// A regular expression, where the grammar expects one. Only `\/` is an escape, every other
    /// backslash belongs to the expression.
    pub fn scan_regex(&mut self) -> Lexeme<'a> {
        // The position is the one of the character before the slash, as for strings.
        let before = self.reader.current();
        let slash = self.reader.read();
        let mut text = String::new();
        loop {
            match self.reader.read().ch {
                '/' => break,
                '\n' | END => {
                    let mut bad = self.lexeme(Token::BadRegex, slash, "");
                    bad.position = before.position;
                    return bad;
                }
                '\\' if self.reader.peek() == '/' => {
                    self.reader.read();
                    text.push('/');
                }
                c => text.push(c),
            }
        }
        let mut regex = self.lexeme(Token::Regex, slash, text);
        regex.position = before.position;
        regex
    }

    fn lexeme(&self, token: Token, first: Unit, text: impl Into<Cow<'a, str>>) -> Lexeme<'a> {
        Lexeme { token, text: text.into(), position: first.position }
    }

    /// How much of the text the tokens hold that were scanned.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn scanned_bytes(&self) -> usize {
        self.reader.current().end
    }

    /// A lexeme whose text is the source from `first` to here.
    fn verbatim(&self, token: Token, first: Unit) -> Lexeme<'a> {
        let end = self.reader.current().end;
        let text = self.reader.text[first.start..end].trim_end_matches(END);
        self.lexeme(token, first, text)
    }

    /// Consumes the next character if it is `ch`.
    fn follows(&mut self, ch: char) -> bool {
        let is_next = self.reader.read().ch == ch;
        if !is_next {
            self.reader.unread();
        }
        is_next
    }

    fn whitespace(&mut self, first: Unit) -> Lexeme<'a> {
        self.reader.skip_while(is_whitespace);
        // The end of the text is swallowed, and counts.
        self.follows(END);
        self.verbatim(Token::Whitespace, first)
    }

    fn block_comment(&mut self, first: Unit) -> Lexeme<'a> {
        let mut star = false;
        loop {
            match self.reader.read().ch {
                END => return self.lexeme(Token::Illegal, first, ""),
                '/' if star => return self.lexeme(Token::Comment, first, ""),
                c => star = c == '*',
            }
        }
    }

    /// An identifier, bare or quoted, whose first character has been read; a bare one may be a keyword. A quote right after a
    /// bare identifier replaces it: `foo"bar"` is `bar`, as InfluxDB reads it.
    fn ident(&mut self, first: Unit, keywords: bool) -> Lexeme<'a> {
        let mut bare = Cow::Borrowed("");
        let mut unit = first;
        while unit.ch != END {
            if unit.ch == '"' {
                return self.quoted_ident(first);
            }
            if !is_ident_char(unit.ch) {
                self.reader.unread();
                break;
            }
            self.reader.skip_while(is_ident_char);
            bare += &self.reader.text[unit.start..self.reader.current().end];
            // A NUL inside an identifier is skipped.
            self.follows(END);
            unit = self.reader.read();
        }
        match Keyword::lookup(&bare) {
            Some(token) if keywords => self.lexeme(token, first, ""),
            _ => self.lexeme(Token::Ident, first, bare),
        }
    }

    /// The rest of a quoted identifier, whose opening quote has been read.
    fn quoted_ident(&mut self, first: Unit) -> Lexeme<'a> {
        let mut quoted = self.string();
        if quoted.token == Token::String {
            quoted.token = Token::Ident;
            quoted.position = first.position;
        }
        quoted
    }

    /// The text in the quote that was just read, and its end.
    fn string(&mut self) -> Lexeme<'a> {
        self.reader.unread();
        let before = self.reader.current().position;
        let quote = self.reader.read();
        let (token, text, position) = match self.quoted_text(quote.ch) {
            Ok(text) => (Token::String, text, before),
            Err(BadText::Unclosed(text)) => (Token::BadString, Cow::Owned(text), before),
            Err(BadText::Escape(text)) => (Token::BadEscape, Cow::Owned(text), self.reader.current().position),
        };
        let mut lexeme = self.lexeme(token, quote, text);
        lexeme.position = position;
        lexeme
    }

    fn quoted_text(&mut self, quote: char) -> Result<Cow<'a, str>, BadText> {
        let source = &self.reader.text[self.reader.current().end..];
        // Most are written as they are meant.
        let is_special = |byte: u8| matches!(byte, b'\n' | b'\r' | b'\0' | b'\\') || char::from(byte) == quote;
        if let Some(length) = source.bytes().position(is_special)
            && source[length..].starts_with(quote)
        {
            self.reader.skip_while(|ch| ch != quote);
            self.reader.read();
            return Ok(Cow::Borrowed(&source[..length]));
        }
        let mut text = String::new();
        loop {
            match self.reader.read().ch {
                c if c == quote => return Ok(Cow::Owned(text)),
                '\n' | END => return Err(BadText::Unclosed(text)),
                '\\' => match self.reader.read().ch {
                    'n' => text.push('\n'),
                    c @ ('\\' | '"' | '\'') => text.push(c),
                    c => return Err(BadText::Escape(format!("\\{c}"))),
                },
                c => text.push(c),
            }
        }
    }

    fn bound_param(&mut self, dollar: Unit) -> Lexeme<'a> {
        let first = self.reader.read();
        let name = self.ident(first, false);
        let token = if name.token == Token::Ident { Token::BoundParam } else { name.token };
        self.lexeme(token, dollar, format!("${}", name.text))
    }

    /// A number, an integer or a duration; its first character (a digit, or a full stop before
    /// one) has been read.
    fn number(&mut self, first: Unit) -> Lexeme<'a> {
        let digits = |c: char| c.is_ascii_digit();
        self.reader.unread();
        self.reader.skip_while(digits);
        if self.follows('.') {
            // `1.` is the number 1, and the full stop is gone.
            let whole = self.verbatim(Token::Number, first);
            if !self.reader.peek().is_ascii_digit() {
                let text = whole.text.trim_end_matches('.').to_string();
                return Lexeme { text: text.into(), ..whole };
            }
            self.reader.skip_while(digits);
            return self.verbatim(Token::Number, first);
        }
        let unit = self.reader.read().ch;
        self.reader.unread();
        if !is_duration_letter(unit) {
            return self.verbatim(Token::Integer, first);
        }
        self.reader.skip_while(|c| is_duration_letter(c) || c.is_ascii_digit());
        self.verbatim(Token::Duration, first)
    }

    fn operator(&mut self, first: Unit) -> Lexeme<'a> {
        let token = match first.ch {
            '.' => Token::Dot,
            '+' => Token::Plus,
            '-' => Token::Minus,
            '*' => Token::Star,
            '/' => Token::Slash,
            '%' => Token::Percent,
            '&' => Token::Ampersand,
            '|' => Token::Pipe,
            '^' => Token::Caret,
            '(' => Token::OpenParen,
            ')' => Token::CloseParen,
            ',' => Token::Comma,
            ';' => Token::Semicolon,
            '=' if self.follows('~') => Token::Match,
            '=' => Token::Equal,
            '!' if self.follows('=') => Token::NotEqual,
            '!' if self.follows('~') => Token::NotMatch,
            '>' if self.follows('=') => Token::GreaterEqual,
            '>' => Token::Greater,
            '<' if self.follows('=') => Token::LessEqual,
            '<' if self.follows('>') => Token::NotEqual,
            '<' => Token::Less,
            ':' if self.follows(':') => Token::DoubleColon,
            ':' => Token::Colon,
            other => return self.lexeme(Token::Illegal, first, other.to_string()),
        };
        self.lexeme(token, first, "")
    }
}

fn is_whitespace(ch: char) -> bool {
    matches!(ch, ' ' | '\t' | '\n')
}

fn is_letter(ch: char) -> bool {
    ch.is_ascii_alphabetic()
}

fn is_ident_char(ch: char) -> bool {
    ch.is_ascii_alphanumeric() || ch == '_'
}

fn is_duration_letter(ch: char) -> bool {
    is_letter(ch) || ch == 'µ'
}

/// Whether `name` can stand without quotes: letters, digits and `_`, no digit first, no keyword.
pub fn is_bare_ident(name: &str) -> bool {
    let starts = name.starts_with(|c| is_letter(c) || c == '_');
    starts && name.chars().all(is_ident_char) && Keyword::lookup(name).is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All characters of a text, as whoever reads them one by one has them, and some of the ends behind them.
    fn units(text: &str) -> Vec<Unit> {
        let mut units = vec![Unit { ch: END, position: Position::default(), start: 0, end: 0 }; UNREAD_MAX];
        let (mut position, mut ended, mut rest) = (Position::default(), false, text);
        for _ in 0..text.len() + 4 {
            let start = text.len() - rest.len();
            let length = if rest.starts_with("\r\n") { 2 } else { rest.chars().next().map_or(0, char::len_utf8) };
            let (read, behind) = rest.split_at(length);
            rest = behind;
            let ch = if read.starts_with('\r') { '\n' } else { read.chars().next().unwrap_or(END) };
            units.push(Unit { ch, position, start, end: start + length });
            match ch {
                '\n' => position = Position { line: position.line + 1, char: 0 },
                _ if !ended => position.char += 1,
                _ => {}
            }
            ended |= ch == END;
        }
        units
    }

    fn seen(unit: Unit) -> (char, Position, usize, usize) {
        (unit.ch, unit.position, unit.start, unit.end)
    }

    /// What is in all texts, and where tokens begin and end in ways of their own.
    const PIECES: [&str; 40] = [
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\0",
        "a",
        "FROM",
        "and",
        "true",
        "_b1",
        "é",
        "1",
        "20",
        "5m",
        "1h30m",
        "3µ",
        ".",
        "7.5",
        "1.",
        "'c'",
        "'d e'",
        "'é'",
        "'\\''",
        "'",
        "\"f\"",
        "\"g\\\"\"",
        "\"",
        "(",
        ")",
        ",",
        ";",
        "=",
        "!",
        "~",
        "<",
        ">",
        "--",
        "/*",
        "*/",
    ];

    proptest! {
        #[test]
        fn a_plain_token_is_the_one_that_any_look_finds(pieces in proptest::collection::vec(0..PIECES.len(), 0..25)) {
            let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
            let (mut lexer, mut careful) = (Lexer::new(&text), Lexer::new(&text));
            for _ in 0..30 {
                prop_assert_eq!(lexer.scan(), careful.scan_any(), "{:?}", &text);
                prop_assert_eq!(seen(lexer.reader.current()), seen(careful.reader.current()), "{:?}", &text);
                prop_assert_eq!(lexer.peek_char(), careful.peek_char(), "{:?}", &text);
            }
        }

        /// 0: one back; 1: passes over letters; else one on.
        #[test]
        fn a_reader_stands_where_its_steps_lead(
            text in r"([ a\-]{0,5}|[\n\r\x00é\t]|\r\n){0,8}",
            steps in proptest::collection::vec(0_u8..5, 0..60),
        ) {
            let all = units(&text);
            let (mut reader, mut at, mut farthest) = (Reader::new(&text), UNREAD_MAX - 1, UNREAD_MAX - 1);
            for step in steps {
                match step {
                    0 if at + UNREAD_MAX > farthest + 1 => {
                        reader.unread();
                        at -= 1;
                    }
                    1 => {
                        reader.skip_while(|ch| ch == 'a');
                        let passed = all[at + 1..].iter().take_while(|unit| unit.ch == 'a').count();
                        (at, farthest) = (at + passed, farthest.max(at + passed + 1));
                    }
                    _ if at + 2 < all.len() => {
                        at += 1;
                        farthest = farthest.max(at);
                        prop_assert_eq!(seen(reader.read()), seen(all[at]));
                    }
                    _ => {}
                }
                prop_assert_eq!(seen(reader.current()), seen(all[at]));
            }
        }
    }
}
