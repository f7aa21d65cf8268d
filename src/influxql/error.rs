//! Why a text is not InfluxQL, in InfluxDB's own words.
//!
//! Made by the parser, shown to clients after `error parsing query: `.

use std::fmt;

use super::lexer::Position;

/// A parse error. Its `Display` is what InfluxDB prints after `error parsing query: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseError {
    /// `found X, expected A, B at line 1, char 8`.
    Unexpected { found: String, expected: Vec<String>, position: Position },
    /// A message with a place.
    At { message: String, position: Position },
    /// A message without a place, where InfluxDB names none.
    Plain(String),
    /// Parentheses, calls and subqueries inside each other deeper than [`super::NESTING_MAX`], or
    /// an expression deeper than [`super::EXPR_DEPTH_MAX`]. This one is ours: InfluxDB's stack
    /// grows until the memory ends.
    TooDeep { limit: usize, position: Position },
}

impl ParseError {
    pub(super) fn unexpected(found: String, expected: &[&str], position: Position) -> Self {
        let expected = expected.iter().map(|&e| e.to_string()).collect();
        ParseError::Unexpected { found, expected, position }
    }

    pub(super) fn at(message: impl Into<String>, position: Position) -> Self {
        ParseError::At { message: message.into(), position }
    }

    pub(super) fn plain(message: impl Into<String>) -> Self {
        ParseError::Plain(message.into())
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = match self {
            ParseError::Unexpected { found, expected, position } => {
                write!(f, "found {found}, expected {}", expected.join(", "))?;
                position
            }
            ParseError::At { message, position } => {
                f.write_str(message)?;
                position
            }
            ParseError::Plain(message) => return f.write_str(message),
            ParseError::TooDeep { limit, position } => {
                write!(f, "query is nested deeper than {limit} levels")?;
                position
            }
        };
        let (line, char) = (u64::from(position.line) + 1, u64::from(position.char) + 1);
        write!(f, " at line {line}, char {char}")
    }
}

impl std::error::Error for ParseError {}
