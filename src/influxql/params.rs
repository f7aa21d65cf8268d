//! Bound parameters: the values that stand for `$name` in a query.
//!
//! The HTTP side decodes the request's `params` JSON into them; the parser puts a value's token
//! where the name stood, as InfluxDB 1.8 does, so a value can never become more than one token.
//!
//! A regular expression may stand as any operand then, which no text can say: such a one is printed as a parameter again,
//! `$"/…/"`, and goes on with the `params` of [`named_in`].

use std::collections::BTreeMap;
use std::fmt;

use super::lexer::Lexeme;
use super::text::{in_quotes, is_printable, printable_regex};
use super::token::Token;

/// The value of one parameter. In JSON a plain value, or an object such as
/// `{"duration":"5m"}`.
#[derive(Debug, Clone, PartialEq)]
pub enum ParamValue {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A duration as InfluxQL writes it, `1h30m`, or one that Go wrote, `-5ns`; parsed where it is used.
    Duration(String),
    /// The text between the slashes, nothing escaped.
    Regex(String),
    Identifier(String),
    /// A value of a type that can't be bound, and why; an error only where it is used.
    Unusable(String),
}

/// A value that no InfluxQL text can carry, so that it could not be sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamError {
    pub name: String,
    pub reason: &'static str,
}

impl fmt::Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unable to bind parameter {}: {}", self.name, self.reason)
    }
}

impl std::error::Error for ParamError {}

/// Parameter names (without `$`) and their values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Params(BTreeMap<String, ParamValue>);

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Params::default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds or replaces a value.
    ///
    /// # Errors
    /// A string or identifier with a NUL or carriage return, which InfluxQL can't escape, and a
    /// float that is infinite or not a number.
    pub fn insert(&mut self, name: &str, value: ParamValue) -> Result<(), ParamError> {
        let refuse = |reason| Err(ParamError { name: name.to_string(), reason });
        let value = match value {
            ParamValue::String(s) | ParamValue::Identifier(s) if !is_printable(&s) => {
                return refuse("NUL and carriage return can't be written in InfluxQL");
            }
            ParamValue::Float(v) if !v.is_finite() => return refuse("not a finite number"),
            ParamValue::Regex(text) => ParamValue::Regex(printable_regex(&text)),
            other => other,
        };
        self.0.insert(name.to_string(), value);
        Ok(())
    }

    /// Whether there is a value for `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Puts the parameter's value in place of its token, if it has one.
    pub(super) fn resolve<'a>(&self, lexeme: Lexeme<'a>) -> Lexeme<'a> {
        let Some(value) = lexeme.text.strip_prefix('$').and_then(|name| self.0.get(name)) else {
            return lexeme;
        };
        let (token, text) = match value {
            ParamValue::String(s) => (Token::String, s.clone()),
            ParamValue::Integer(v) => (Token::Integer, v.to_string()),
            ParamValue::Float(v) => (Token::Number, v.to_string()),
            ParamValue::Boolean(true) => (Token::True, "TRUE".to_string()),
            ParamValue::Boolean(false) => (Token::False, "FALSE".to_string()),
            ParamValue::Duration(s) => (Token::Duration, s.clone()),
            ParamValue::Regex(s) => (Token::Regex, s.clone()),
            ParamValue::Identifier(s) => (Token::Ident, s.clone()),
            ParamValue::Unusable(why) => (Token::BoundParam, why.clone()),
        };
        Lexeme { token, text: text.into(), ..lexeme }
    }
}

/// How a regular expression that is an operand is printed.
pub(super) fn regex_param(regex: &str) -> String {
    format!("${}", in_quotes(&format!("/{regex}/"), '"'))
}

/// The `params` that a printed text needs, as JSON; `None`: it names none.
pub fn named_in(text: &str) -> Option<String> {
    const BEGIN: &str = "$\"/";
    let mut named = serde_json::Map::new();
    for (at, _) in text.match_indices(BEGIN) {
        // In a string or a comment it is no parameter: then there is one too many, which is nothing to InfluxDB.
        if let Some(name) = quoted(&text[at + 2..])
            && let Some(regex) = name.strip_prefix('/').and_then(|name| name.strip_suffix('/'))
        {
            named.insert(name.clone(), serde_json::json!({ "regex": regex }));
        }
    }
    (!named.is_empty()).then(|| serde_json::Value::Object(named).to_string())
}

/// What stands before the closing quote, with nothing escaped.
fn quoted(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some(out),
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                escaped => out.push(escaped),
            },
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::parse_query;

    #[test]
    fn values_that_no_text_can_carry_are_refused() {
        let mut params = Params::new();
        let refused = params.insert("a", ParamValue::String("x\ry".into())).unwrap_err();
        let text = "unable to bind parameter a: NUL and carriage return can't be written in \
                    InfluxQL";
        assert_eq!(refused.to_string(), text);
        assert!(params.insert("b", ParamValue::Identifier("\0".into())).is_err());
        assert!(params.insert("c", ParamValue::Float(f64::NAN)).is_err());
        assert!(!params.contains("a") && !params.contains("b") && !params.contains("c"));
        assert!(params.insert("d", ParamValue::String("x\ny".into())).is_ok());
        assert!(params.contains("d"));
    }

    #[test]
    fn regexes_that_are_operands_take_their_params_along() {
        for regex in ["h[12]", "", "a/b\"c\\d", "é"] {
            let mut params = Params::new();
            params.insert("r", ParamValue::Regex(regex.to_owned())).expect("any text can be one");
            let query = parse_query("SELECT v FROM m WHERE a = $r OR b = ($r)", &params).expect("it parses");
            let printed = query.to_string();
            let json: serde_json::Value =
                serde_json::from_str(&named_in(&printed).expect("it names one")).expect("it is JSON");
            let object = json.as_object().expect("an object");
            assert_eq!(object.len(), 1, "{json}");
            let mut again = Params::new();
            for (name, value) in object {
                assert_eq!(value["regex"], regex);
                again.insert(name, ParamValue::Regex(regex.to_owned())).expect("any text can be one");
            }
            let reread = parse_query(&printed, &again).expect("it parses again");
            assert_eq!(reread.statements, query.statements, "{printed}");
        }
        for text in ["SELECT v FROM m WHERE a =~ /x/", "SELECT $\"a\"", "SELECT $\"/", "$\"/a\\"] {
            assert_eq!(named_in(text), None, "{text}");
        }
    }
}
