//! TIMESHIFT, the last clause of a SELECT, which InfluxDB does not have: none of its statements goes on with that word.

use super::{Parser, Result};
use crate::influxql::ParseError;
use crate::influxql::ast::Shift;
use crate::influxql::token::Token;

impl Parser<'_> {
    /// `TIMESHIFT -1w, 0s`, if it is there.
    pub(super) fn timeshift(&mut self) -> Result<Vec<Shift>> {
        let word = self.next();
        if word.token != Token::Ident || !word.text.eq_ignore_ascii_case("timeshift") {
            self.unscan();
            return Ok(Vec::new());
        }
        let mut shifts = Vec::new();
        loop {
            let before = self.accept(Token::Minus);
            let length = self.next();
            if length.token != Token::Duration {
                return Err(length.unexpected(&["duration"]));
            }
            let Some(shift) = Shift::parse(&length.text) else {
                return Err(ParseError::at("invalid duration".to_owned(), length.position));
            };
            let shift = if before { shift.reversed() } else { shift };
            if shifts.contains(&shift) {
                return Err(ParseError::at(format!("TIMESHIFT {shift} twice"), length.position));
            }
            shifts.push(shift);
            if !self.accept(Token::Comma) {
                return Ok(shifts);
            }
        }
    }
}
