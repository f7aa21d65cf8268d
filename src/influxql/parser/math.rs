//! MATH, which InfluxDB does not have.

use super::{Parser, Result};
use crate::influxql::ParseError;
use crate::influxql::ast::{Math, Statement};
use crate::influxql::lexer::Lexeme;
use crate::influxql::token::{Keyword, Token};

impl Parser<'_> {
    /// Whether a statement that begins with this name is a MATH: anything else is InfluxDB's to refuse.
    pub(super) fn begins_math(&mut self, first: &Lexeme<'_>) -> bool {
        if !first.text.eq_ignore_ascii_case("math") {
            return false;
        }
        let begins = self.accept_keyword(Keyword::Name);
        if begins {
            self.unscan();
        }
        begins
    }

    /// What follows MATH: `name="x" expr="$0 / $1"`, and perhaps `keep="0,1"`.
    pub(super) fn math(&mut self) -> Result<Statement> {
        self.expect_keyword(Keyword::Name)?;
        let name = self.quoted()?.text.into_owned();
        let word = self.next();
        if word.token != Token::Ident || !word.text.eq_ignore_ascii_case("expr") {
            return Err(word.unexpected(&["EXPR"]));
        }
        let expr = self.quoted()?.text.into_owned();
        let word = self.next();
        if word.token != Token::Ident || !word.text.eq_ignore_ascii_case("keep") {
            self.unscan();
            return Ok(Statement::Math(Math { name, expr, keep: Vec::new() }));
        }
        let listed = self.quoted()?;
        let numbers = listed.text.split(',').map(str::trim).filter(|number| !number.is_empty());
        let keep: std::result::Result<Vec<usize>, _> = numbers.map(str::parse).collect();
        let unread = |_| ParseError::at("keep lists statements by number, as in \"0,1\"".to_owned(), listed.position);
        Ok(Statement::Math(Math { name, expr, keep: keep.map_err(unread)? }))
    }

    /// `= "text"`, in quotes of either kind.
    fn quoted(&mut self) -> Result<Lexeme<'_>> {
        self.expect(Token::Equal)?;
        let text = self.next();
        match text.token {
            Token::Ident | Token::String => Ok(text),
            _ => Err(text.unexpected(&["string"])),
        }
    }
}
