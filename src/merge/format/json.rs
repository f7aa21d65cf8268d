//! JSON as Go prints InfluxDB's answers: keys in its order, what is empty left out, `\n` at the end.
//!
//! A number that JSON does not have (infinite, not a number) makes the document Go's words about it, as InfluxDB prints
//! them.

use crate::http::json::{push_float, push_integer, push_string};

use super::super::results::{Answer, Message, Series, StatementResult, Value};
use super::{Times, rfc3339};

pub fn print(answer: &Answer, pretty: bool, times: Times, out: &mut Vec<u8>) {
    let start = out.len();
    let mut json = Json { out, pretty, times, depth: 0, is_first: true, unsupported: None };
    json.answer(answer);
    if let Some(number) = json.unsupported {
        let name = if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        out.truncate(start);
        let error = "json: error calling MarshalJSON for type";
        let text = format!("{error} httpd.Response: {error} *query.Result: json: unsupported value: {name}");
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'\n');
}

struct Json<'a> {
    out: &'a mut Vec<u8>,
    pretty: bool,
    times: Times,
    depth: usize,
    /// Nothing stands yet in the object or array that is open.
    is_first: bool,
    /// A number that JSON does not have.
    unsupported: Option<f64>,
}

impl Json<'_> {
    fn open(&mut self, sign: u8) {
        self.out.push(sign);
        self.depth += 1;
        self.is_first = true;
    }

    fn close(&mut self, sign: u8) {
        self.depth -= 1;
        if self.pretty && !self.is_first {
            self.line();
        }
        self.out.push(sign);
        self.is_first = false;
    }

    /// What stands before the next member.
    fn item(&mut self) {
        if !self.is_first {
            self.out.push(b',');
        }
        if self.pretty {
            self.line();
        }
        self.is_first = false;
    }

    fn line(&mut self) {
        self.out.push(b'\n');
        let width = self.out.len() + 4 * self.depth;
        self.out.resize(width, b' ');
    }

    fn key(&mut self, name: &str) {
        self.item();
        push_string(self.out, name);
        self.out.extend_from_slice(if self.pretty { b": " } else { b":" });
    }

    fn text_at(&mut self, key: &str, text: &str) {
        self.key(key);
        push_string(self.out, text);
    }

    fn true_at(&mut self, key: &str) {
        self.key(key);
        self.out.extend_from_slice(b"true");
    }

    fn array<T>(&mut self, items: &[T], mut print: impl FnMut(&mut Self, usize, &T)) {
        self.open(b'[');
        for (at, item) in items.iter().enumerate() {
            self.item();
            print(self, at, item);
        }
        self.close(b']');
    }

    fn array_at<T>(&mut self, key: &str, items: &[T], print: impl FnMut(&mut Self, usize, &T)) {
        if !items.is_empty() {
            self.key(key);
            self.array(items, print);
        }
    }

    fn answer(&mut self, answer: &Answer) {
        self.open(b'{');
        self.array_at("results", &answer.results, |json, _, result| json.result(result));
        if let Some(error) = &answer.error {
            self.text_at("error", error);
        }
        self.close(b'}');
    }

    fn result(&mut self, result: &StatementResult) {
        self.open(b'{');
        self.key("statement_id");
        push_integer(self.out, i64::try_from(result.statement_id).unwrap_or(-1));
        self.array_at("series", &result.series, |json, _, series| json.series(series));
        self.array_at("messages", &result.messages, |json, _, message| json.message(message));
        if result.partial {
            self.true_at("partial");
        }
        if let Some(error) = &result.error {
            self.text_at("error", error);
        }
        self.close(b'}');
    }

    fn message(&mut self, message: &Message) {
        self.open(b'{');
        self.text_at("level", &message.level);
        self.text_at("text", &message.text);
        self.close(b'}');
    }

    fn series(&mut self, series: &Series) {
        self.open(b'{');
        if !series.name.is_empty() {
            self.text_at("name", &series.name);
        }
        if !series.tags.is_empty() {
            self.key("tags");
            self.open(b'{');
            series.tags.iter().for_each(|(key, value)| self.text_at(key, value));
            self.close(b'}');
        }
        self.array_at("columns", &series.columns, |json, _, column| push_string(json.out, column));
        self.array_at("values", &series.values, |json, _, row| json.array(row, Json::value));
        if series.partial {
            self.true_at("partial");
        }
        self.close(b'}');
    }

    fn value(&mut self, column: usize, value: &Value) {
        match value {
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Boolean(value) => self.out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::Integer(number) => push_integer(self.out, *number),
            Value::Unsigned(number) => self.out.extend_from_slice(number.to_string().as_bytes()),
            Value::Float(number) if number.is_finite() => push_float(self.out, *number),
            Value::Float(number) => self.unsupported = self.unsupported.or(Some(*number)),
            Value::String(text) => push_string(self.out, text),
            Value::Time(ns) => match self.times.number(column, *ns) {
                Some(number) => push_integer(self.out, number),
                None => {
                    self.out.push(b'"');
                    rfc3339(*ns, self.out);
                    self.out.push(b'"');
                }
            },
        }
    }
}
