//! InfluxQL, the query language of InfluxDB 1.x: text to syntax tree and back.
//!
//! [`parse_query`] is called once for every `/query` request, on the text that the client sent;
//! the planner reads the tree and `Display` prints what backends are asked. Errors have InfluxDB's
//! own words and positions. Accepted is what InfluxDB 1.6.7 accepts, and what 1.8 added.
//! Statements that are wrong without being misspelt (no such function, no aggregate for GROUP BY)
//! are the planner's or a backend's to refuse, as in InfluxDB, where they are statement errors.
//!
//! Limits: [`NESTING_MAX`] and [`EXPR_DEPTH_MAX`], so that no text can exhaust a stack; the length
//! of a text is bounded by its body limit, and the time to parse it is linear. Regular expressions
//! and time zone names are not checked here: a backend refuses bad ones.
//!
//! Inside: `parser` uses `lexer`, `token`, `params`, `reduced` (which uses `range`) and `ast`; `ast` uses
//! `text`; `inspect` uses `ast` and `civil`, `range` too, and `zone`, which alone knows what time zones
//! there are; `values` uses `range`, and parses.

pub mod ast;
pub mod civil;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod inspect;
mod lexer;
mod params;
mod parser;
mod plain;
pub mod range;
pub mod reduced;
#[cfg(test)]
mod tests;
mod text;
mod token;
pub mod values;
pub mod zone;

pub use ast::{Expr, Measurement, Query, Select, Source, Statement};
pub use error::ParseError;
pub use lexer::Position;
pub use params::{ParamError, ParamValue, Params, named_in};
pub use text::{
    DurationError, format_duration, format_float, parse_duration, quote_ident, quote_regex, quote_string, regex_of,
};

/// How deep parentheses, calls and subqueries may stand inside each other.
pub const NESTING_MAX: usize = 100;

/// How deep an expression's tree may be. A chain of arithmetic counts its operators, a chain of
/// AND or OR is one level however long it is.
pub const EXPR_DEPTH_MAX: usize = 500;

/// Parses a query text: statements separated by `;`, of which some may be empty. White space
/// around the text does not count in error positions, as InfluxDB's HTTP handler strips it.
///
/// # Errors
/// The first error in the text, with InfluxDB's words and position.
pub fn parse_query(text: &str, params: &Params) -> Result<Query, ParseError> {
    read_query(text, params).map_err(|misread| misread.error)
}

/// Why a text cannot be parsed.
#[derive(Debug)]
pub struct Misread {
    pub error: ParseError,
    /// Before that stands what InfluxDB alone can judge: its first error may be another.
    pub unproven: bool,
}

/// The same, with whether InfluxDB may have an earlier error.
///
/// # Errors
/// As [`parse_query`].
pub fn read_query(text: &str, params: &Params) -> Result<Query, Misread> {
    parser::Parser::new(text.trim(), params).query()
}
