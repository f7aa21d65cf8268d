//! The answer of `/query`, typed: integers and floats, which JSON prints alike, stay apart, and times are times.
//!
//! `msgpack` reads it from what a group says, `parse` from its JSON (where the answer's own types are JSON's: a time is a
//! string, and a float without a fraction an integer); `format` prints it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

/// A whole answer, or one document of a chunked one.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Answer {
    #[serde(default)]
    pub results: Vec<StatementResult>,
    /// Of the request as a whole; there are no results then.
    #[serde(default)]
    pub error: Option<String>,
}

/// The number of what InfluxDB says of a request over which it panicked: told as -1.
pub const NO_STATEMENT: usize = usize::MAX;

/// What there is to say of a statement, or a piece of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct StatementResult {
    /// Which statement of the request, from 0 on, or `NO_STATEMENT`. MessagePack does not tell it beside an error: 0 then.
    #[serde(default, deserialize_with = "statement_id")]
    pub statement_id: usize,
    #[serde(default)]
    pub series: Vec<Series>,
    #[serde(default)]
    pub messages: Vec<Message>,
    /// There is more of this statement.
    #[serde(default)]
    pub partial: bool,
    #[serde(default)]
    pub error: Option<String>,
}

/// A series of an answer, or a piece of its rows.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Series {
    /// Empty: it has none.
    #[serde(default)]
    pub name: String,
    /// By key.
    #[serde(default, deserialize_with = "tags")]
    pub tags: Vec<(String, String)>,
    #[serde(default)]
    pub columns: Vec<String>,
    /// Each row has as many cells as there are columns.
    #[serde(default)]
    pub values: Vec<Vec<Value>>,
    /// There are more rows of this series.
    #[serde(default)]
    pub partial: bool,
    /// In front of which of its rows InfluxDB finds no more, gives out what it has as if that were all, and asks once more.
    #[serde(skip)]
    pub pauses: Vec<usize>,
}

/// A cell. An `Unsigned` is what MessagePack writes as such: an integer field is never one, unless the server was built
/// with unsigned fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    #[default]
    Null,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    String(String),
    /// Nanoseconds since 1970.
    Time(i64),
}

/// What an answer says beside its series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub level: String,
    pub text: String,
}

impl Answer {
    /// The request's error, or the first of a statement.
    pub fn first_error(&self) -> Option<&str> {
        self.error.as_deref().or_else(|| self.results.iter().find_map(|result| result.error.as_deref()))
    }
}

impl StatementResult {
    pub fn failed(statement_id: usize, error: impl Into<String>) -> StatementResult {
        StatementResult { statement_id, error: Some(error.into()), ..StatementResult::default() }
    }

    pub fn is_partial(&self) -> bool {
        self.partial || self.series.iter().any(|series| series.partial)
    }
}

impl Message {
    pub fn warning(text: impl Into<String>) -> Message {
        Message { level: "warning".to_owned(), text: text.into() }
    }
}

impl Series {
    /// Whether both are pieces of one series.
    pub fn same_series(&self, other: &Series) -> bool {
        self.name == other.name && self.tags == other.tags
    }

    /// Its name, tags and columns.
    pub fn without_rows(&self) -> Series {
        let (name, tags, columns) = (self.name.clone(), self.tags.clone(), self.columns.clone());
        Series { name, tags, columns, ..Series::default() }
    }

    /// How much memory it takes, about.
    pub fn bytes(&self) -> usize {
        let texts = self.columns.iter().chain(self.tags.iter().flat_map(|(key, value)| [key, value]));
        let head: usize = self.name.len() + texts.map(|text| text.len() + size_of::<String>()).sum::<usize>();
        head + self.values.iter().map(|row| row_bytes(row)).sum::<usize>()
    }
}

/// How much memory a row takes, about.
pub fn row_bytes(row: &[Value]) -> usize {
    size_of::<Vec<Value>>()
        + row.iter().map(|value| size_of::<Value>() + value.as_str().map_or(0, str::len)).sum::<usize>()
}

impl Value {
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A count, however it was written.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            Value::Unsigned(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Integer(number)
    }
}

/// Reads an answer in JSON; the error says what is wrong with it.
pub fn parse(json: &[u8]) -> Result<Answer, String> {
    let answer: Answer = simd_json::serde::from_slice(&mut with_signed_zeros(json))
        .map_err(|error| format!("not an answer to a query: {error}"))?;
    for series in answer.results.iter().flat_map(|result| &result.series) {
        if let Some(row) = series.values.iter().find(|row| row.len() != series.columns.len()) {
            let (cells, columns) = (row.len(), series.columns.len());
            return Err(format!("not an answer to a query: a row of {cells} cells under {columns} columns"));
        }
    }
    Ok(answer)
}

/// Go prints the float -0 as `-0`, which would be read as an integer, and these have no such: it gets a fraction.
fn with_signed_zeros(json: &[u8]) -> Vec<u8> {
    if ![&b"-0,"[..], b"-0]"].iter().any(|zero| memchr::memmem::find(json, zero).is_some()) {
        return json.to_vec();
    }
    let mut text = Vec::with_capacity(json.len() + 64);
    let (mut is_text, mut is_escaped) = (false, false);
    for (at, byte) in json.iter().enumerate() {
        text.push(*byte);
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b'0' if !is_text => {
                let is_signed = [b",-", b"[-"].iter().any(|before| json[..at].ends_with(*before));
                if is_signed && matches!(json.get(at + 1), Some(b',' | b']')) {
                    text.extend(b".0");
                }
            }
            _ => {}
        }
    }
    text
}

fn statement_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    Ok(usize::try_from(i64::deserialize(deserializer)?).unwrap_or(NO_STATEMENT))
}

fn tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Cell)
    }
}

struct Cell;

impl Visitor<'_> for Cell {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cell of a row")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Unsigned(value), Value::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_with_its_types() {
        let json = br#"{"results":[{"statement_id":1,"series":[{"name":"m","tags":{"b":"2","a":"1"},"columns":["x"],
            "values":[[1],[1.5],["s"],[null],[true],[18446744073709551615]],"partial":true}],"partial":true}]}"#;
        let answer = parse(json).expect("it is an answer");
        let series = &answer.results[0].series[0];
        assert_eq!(series.tags, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let cells: Vec<&Value> = series.values.iter().flatten().collect();
        let wanted = [
            Value::Integer(1),
            Value::Float(1.5),
            Value::from("s"),
            Value::Null,
            Value::Boolean(true),
            Value::Unsigned(u64::MAX),
        ];
        assert_eq!(cells, wanted.iter().collect::<Vec<_>>());
        assert!(answer.results[0].is_partial());
        let failed = parse(br#"{"results":[{"statement_id":3,"error":"e"}]}"#).expect("it is an answer");
        assert_eq!(failed.results, [StatementResult::failed(3, "e")]);
        assert_eq!(failed.first_error(), Some("e"));
        let panicked = parse(br#"{"results":[{"statement_id":-1,"error":"e"}]}"#).expect("it is an answer");
        assert_eq!(panicked.results, [StatementResult::failed(NO_STATEMENT, "e")]);
    }

    #[test]
    fn zeros_keep_their_sign() {
        let json = br#"{"results":[{"series":[{"name":"m","columns":["a","b","c","d"],
            "values":[[-0,0,"x\",-0,",-0],[-0.5,-1,"[-0]",-0]]}]}]}"#;
        let answer = parse(json).expect("it is an answer");
        let told: Vec<String> =
            answer.results[0].series[0].values.iter().flatten().map(|cell| format!("{cell:?}")).collect();
        let texts = [r#"String("x\",-0,")"#, r#"String("[-0]")"#];
        let wanted = [
            "Float(-0.0)",
            "Integer(0)",
            texts[0],
            "Float(-0.0)",
            "Float(-0.5)",
            "Integer(-1)",
            texts[1],
            "Float(-0.0)",
        ];
        assert_eq!(told, wanted);
    }

    /// Go prints floats below 1e21 without an exponent.
    #[test]
    fn what_is_beyond_integers_is_a_float() {
        let json = br#"{"results":[{"series":[{"columns":["a","b"],"values":[[123456789012345680000,-9223372036854775809]]}]}]}"#;
        let answer = parse(json).expect("it is an answer");
        let wanted = [Value::Float(123_456_789_012_345_680_000.0), Value::Float(-9_223_372_036_854_775_808.0)];
        assert_eq!(answer.results[0].series[0].values, [wanted]);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for json in ["", "[1]", r#"{"results":[{"series":[{"columns":["a"],"values":[[1,2]]}]}]}"#, r#"{"results":1}"#]
        {
            assert!(parse(json.as_bytes()).is_err(), "{json}");
        }
    }
}
