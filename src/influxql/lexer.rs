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
    /// Byte offset of the token's first character.
    pub start: usize,
    /// Byte offset just past the token.
    pub end: usize,
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
#[derive(Debug)]
struct Reader<'a> {
    text: &'a str,
    next: usize,
    position: Position,
    ended: bool,
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
            ring: [blank; UNREAD_MAX],
            latest: 0,
            unread: 0,
        }
    }

    fn read(&mut self) -> Unit {
        if self.unread > 0 {
            self.unread -= 1;
            return self.current();
        }
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
        self.latest = (self.latest + 1) % UNREAD_MAX;
        self.ring[self.latest] = Unit { ch, position: self.position, start, end: self.next };
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

    fn unread(&mut self) {
        debug_assert!(self.unread + 1 < UNREAD_MAX, "the ring forgets older characters");
        self.unread += 1;
    }

    /// The last character read and not pushed back.
    fn current(&self) -> Unit {
        self.ring[(self.latest + UNREAD_MAX - self.unread) % UNREAD_MAX]
    }

    fn peek(&mut self) -> char {
        let ch = self.read().ch;
        self.unread();
        ch
    }

    /// Reads while `wanted` holds; the first other character is pushed back.
    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.unread > 0 {
            if !wanted(self.read().ch) {
                return self.unread();
            }
        }
        self.pass_over(&wanted);
        while wanted(self.read().ch) {}
        self.unread();
    }

    /// Passes over wanted characters, as long as they are plain ones, but for the last few, which may be pushed back.
    fn pass_over(&mut self, wanted: impl Fn(char) -> bool) {
        let ahead = self.text.as_bytes()[self.next..].iter();
        let plain = ahead.take_while(|byte| matches!(byte, b' '..=b'~') && wanted(char::from(**byte))).count();
        let passed = plain.saturating_sub(UNREAD_MAX);
        self.next += passed;
        if !self.ended {
            self.position.char = self.position.char.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        }
    }
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
        let first = self.reader.read();
        match first.ch {
            c if is_whitespace(c) => self.whitespace(first),
            c if is_letter(c) || c == '_' || c == '"' => {
                self.reader.unread();
                self.ident(true)
            }
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
        Lexeme {
            token,
            text: text.into(),
            position: first.position,
            start: first.start,
            end: self.reader.current().end,
        }
    }

    /// A lexeme whose text is the source from `first` to here.
    fn verbatim(&self, token: Token, first: Unit) -> Lexeme<'a> {
        let end = self.reader.current().end;
        let text = self.reader.text[first.start..end].trim_end_matches(END);
        self.lexeme(token, first, text)
    }

    /// Consumes the next character if it is `ch`.
    fn follows(&mut self, ch: char) -> bool {
        if self.reader.read().ch == ch {
            return true;
        }
        self.reader.unread();
        false
    }

    fn whitespace(&mut self, first: Unit) -> Lexeme<'a> {
        loop {
            let ch = self.reader.read().ch;
            if ch == END {
                break;
            }
            if !is_whitespace(ch) {
                self.reader.unread();
                break;
            }
        }
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

    /// An identifier, bare or quoted; a bare one may be a keyword. A quote right after a bare
    /// identifier replaces it: `foo"bar"` is `bar`, as InfluxDB reads it.
    fn ident(&mut self, keywords: bool) -> Lexeme<'a> {
        let first = self.reader.read();
        self.reader.unread();
        let mut bare = Cow::Borrowed("");
        loop {
            let unit = self.reader.read();
            if unit.ch == END {
                break;
            }
            if unit.ch == '"' {
                return self.quoted_ident(first);
            }
            self.reader.unread();
            if !is_ident_char(unit.ch) {
                break;
            }
            self.reader.skip_while(is_ident_char);
            bare += &self.reader.text[unit.start..self.reader.current().end];
            // A NUL inside an identifier is skipped.
            self.follows(END);
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
        quoted.start = first.start;
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
        if let Some(length) = source.find(['\n', '\r', END, '\\', quote])
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
        let name = self.ident(false);
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
    use super::*;

    /// What can be known of a reader: its next characters, and those that it takes back.
    fn seen(mut reader: Reader<'_>) -> Vec<(char, Position, usize, usize)> {
        let seen = |unit: Unit| (unit.ch, unit.position, unit.start, unit.end);
        let current = reader.current();
        reader.unread();
        let before = reader.current();
        let ahead: Vec<Unit> = (0..6).map(|_| reader.read()).collect();
        [current, before].into_iter().chain(ahead).map(seen).collect()
    }

    #[test]
    fn whoever_passes_over_characters_comes_where_whoever_reads_them_does() {
        for length in 0..9 {
            for behind in ["", "é", "\n", "\r\nb", "\0", "\"x", " a"] {
                for taken_back in 0..2 {
                    let text = format!("-{}{behind} end", "a".repeat(length));
                    let [mut fast, mut slow] = [0, 1].map(|_| Reader::new(&text));
                    for reader in [&mut fast, &mut slow] {
                        reader.read();
                        (0..taken_back).for_each(|_| reader.unread());
                    }
                    let wanted = |ch| ch == 'a' || ch == '-';
                    fast.skip_while(wanted);
                    while wanted(slow.read().ch) {}
                    slow.unread();
                    assert_eq!(seen(fast), seen(slow), "{text:?}, {taken_back} taken back");
                }
            }
        }
    }
}
