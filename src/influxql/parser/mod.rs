//! The parser: tokens to syntax tree, by recursive descent.
//!
//! Called by `parse_query`. This file has the token buffer and what all statements share; the
//! statements are in the files beside it, about one a family. It looks ahead and takes back
//! exactly as InfluxDB's parser does, since both show in error positions. Recursion happens only
//! through [`Parser::nested`], which counts it.

mod ddl;
mod expr;
mod math;
mod select;
mod show;
mod statement;
mod timeshift;
mod users;

use super::ast::Query;
use super::lexer::{Lexeme, Lexer, Position};
use super::params::Params;
use super::text::parse_duration;
use super::token::{Keyword, Token};
use super::{Misread, NESTING_MAX, ParseError};

type Result<T> = std::result::Result<T, ParseError>;

/// Tokens that can be taken back: as many as InfluxDB keeps, since it shows in one error, where a
/// continuous query lacks its GROUP BY.
const UNSCAN_MAX: usize = 3;

/// Tokens that are kept.
const BUFFER_TOKENS: usize = UNSCAN_MAX.next_power_of_two();

/// The state of one parse.
pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    params: &'a Params,
    buffer: [Lexeme<'a>; BUFFER_TOKENS],
    latest: usize,
    /// How many of the buffer's tokens were taken back; <= UNSCAN_MAX.
    unscanned: usize,
    nesting: usize,
    /// See [`Query::unproven`].
    unproven: bool,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, params: &'a Params) -> Self {
        let blank = || Lexeme { token: Token::Eof, text: "".into(), position: Position::default() };
        Parser {
            lexer: Lexer::new(text),
            params,
            buffer: [blank(), blank(), blank(), blank()],
            latest: 0,
            unscanned: 0,
            nesting: 0,
            unproven: false,
        }
    }

    pub(super) fn query(mut self) -> std::result::Result<Query, Misread> {
        let mut query = Query { statements: Vec::new(), unproven: false };
        let read = self.statements(&mut query);
        let unproven = self.unproven;
        read.map_err(|error| Misread { error, unproven })?;
        Ok(Query { unproven, ..query })
    }

    fn statements(&mut self, query: &mut Query) -> Result<()> {
        loop {
            let first = self.next();
            match first.token {
                Token::Eof => return Ok(()),
                Token::Semicolon => continue,
                _ => self.unscan(),
            }
            query.statements.push(self.statement()?);
            let after = self.next();
            match after.token {
                Token::Eof => return Ok(()),
                Token::Semicolon => {}
                _ => return Err(after.unexpected(&[";"])),
            }
        }
    }

    /// The next token, whitespace and comments included, a bound parameter being its value.
    fn scan(&mut self) -> Lexeme<'a> {
        self.advance().clone()
    }

    /// Its kind alone.
    fn scan_token(&mut self) -> Token {
        self.advance().token
    }

    /// The next token, which stands where a regular expression may.
    fn scan_regex(&mut self) -> Lexeme<'a> {
        if self.unscanned == 0 {
            let lexeme = self.lexer.scan_regex();
            self.keep(lexeme);
            self.unscanned = 1;
        }
        self.scan()
    }

    fn advance(&mut self) -> &Lexeme<'a> {
        match self.unscanned.checked_sub(1) {
            Some(unscanned) => self.unscanned = unscanned,
            None => {
                let lexeme = self.lexer.scan();
                self.keep(lexeme);
            }
        }
        &self.buffer[self.latest.wrapping_sub(self.unscanned) % BUFFER_TOKENS]
    }

    fn keep(&mut self, lexeme: Lexeme<'a>) {
        self.latest = (self.latest + 1) % BUFFER_TOKENS;
        self.buffer[self.latest] = match lexeme.token {
            Token::BoundParam => self.params.resolve(lexeme),
            _ => lexeme,
        };
    }

    /// Takes back the last token.
    fn unscan(&mut self) {
        debug_assert!(self.unscanned < UNSCAN_MAX, "the buffer forgets older tokens");
        self.unscanned += 1;
    }

    /// The next token but whitespace and comments.
    fn next(&mut self) -> Lexeme<'a> {
        loop {
            let lexeme = self.advance();
            if !matches!(lexeme.token, Token::Whitespace | Token::Comment) {
                return lexeme.clone();
            }
        }
    }

    /// Its kind alone.
    fn next_token(&mut self) -> Token {
        loop {
            let token = self.scan_token();
            if !matches!(token, Token::Whitespace | Token::Comment) {
                return token;
            }
        }
    }

    fn skip_whitespace(&mut self) {
        if self.scan_token() != Token::Whitespace {
            self.unscan();
        }
    }

    /// The character after the last token scanned, even if that was taken back.
    fn peek_char(&mut self) -> char {
        self.lexer.peek_char()
    }

    /// Consumes the next token if it is the wanted one.
    fn accept(&mut self, token: Token) -> bool {
        if self.next_token() == token {
            return true;
        }
        self.unscan();
        false
    }

    fn accept_keyword(&mut self, keyword: Keyword) -> bool {
        self.accept(Token::Keyword(keyword))
    }

    /// The next token, which must be this one.
    fn expect(&mut self, token: Token) -> Result<()> {
        let lexeme = self.next();
        if lexeme.token == token { Ok(()) } else { Err(lexeme.unexpected(&[token.name()])) }
    }

    fn expect_keyword(&mut self, keyword: Keyword) -> Result<()> {
        self.expect(Token::Keyword(keyword))
    }

    fn ident(&mut self) -> Result<String> {
        self.text_of(Token::Ident, "identifier")
    }

    fn string(&mut self) -> Result<String> {
        self.text_of(Token::String, "string")
    }

    fn text_of(&mut self, token: Token, expected: &'static str) -> Result<String> {
        let lexeme = self.next();
        if lexeme.token == token { Ok(lexeme.text.into_owned()) } else { Err(lexeme.unexpected(&[expected])) }
    }

    /// `ON ident`, if it is there.
    fn optional_on(&mut self) -> Result<Option<String>> {
        if !self.accept_keyword(Keyword::On) {
            return Ok(None);
        }
        Ok(some_name(self.ident()?))
    }

    /// `ON ident`.
    fn required_on(&mut self) -> Result<String> {
        self.expect_keyword(Keyword::On)?;
        self.ident()
    }

    /// `keyword n`, else 0. Like InfluxDB, takes a number that is too large for the largest.
    fn optional_limit(&mut self, keyword: Keyword) -> Result<u64> {
        if !self.accept_keyword(keyword) {
            return Ok(0);
        }
        let number = self.next();
        if number.token != Token::Integer {
            return Err(number.unexpected(&["integer"]));
        }
        if number.text.starts_with('-') {
            let message = format!("{} must be >= 0", keyword.name());
            return Err(ParseError::at(message, number.position));
        }
        let limit_max = i64::MAX.unsigned_abs();
        Ok(number.text.parse().unwrap_or(limit_max).min(limit_max))
    }

    /// An id.
    fn uint(&mut self) -> Result<u64> {
        let number = self.next();
        if number.token != Token::Integer {
            return Err(number.unexpected(&["integer"]));
        }
        number.text.parse().map_err(|_| {
            let why = if number.text.starts_with('-') { "invalid syntax" } else { OUT_OF_RANGE };
            let message = format!("strconv.ParseUint: parsing \"{}\": {why}", number.text);
            ParseError::at(message, number.position)
        })
    }

    /// A duration token in nanoseconds; its errors have a place, other than in expressions.
    fn duration(&mut self) -> Result<i64> {
        let lexeme = self.next();
        if lexeme.token != Token::Duration {
            return Err(lexeme.unexpected(&["duration"]));
        }
        parse_duration(&lexeme.text).map_err(|e| ParseError::at(e.to_string(), lexeme.position))
    }

    /// A duration, or INF, which is 0.
    fn duration_or_inf(&mut self) -> Result<i64> {
        if self.accept_keyword(Keyword::Inf) { Ok(0) } else { self.duration() }
    }

    /// Runs `parse` one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.nesting == NESTING_MAX {
            let position = self.buffer[self.latest].position;
            return Err(ParseError::TooDeep { limit: NESTING_MAX, position });
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }
}

/// How InfluxDB's number errors end.
const OUT_OF_RANGE: &str = "value out of range";

/// A name, an empty one being none, as InfluxDB has it.
fn some_name(name: String) -> Option<String> {
    (!name.is_empty()).then_some(name)
}
