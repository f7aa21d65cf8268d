//! CSV as Go's writer prints it. A header stands before a statement's first series and before every other whose columns
//! differ from those above; a blank line between. Errors of statements are not told, as InfluxDB does not.

use crate::http::json::{push_decimal, push_integer};

use super::super::results::{Answer, Series, Value};
use super::Times;

/// The header in force.
#[derive(Default, Clone)]
pub struct Headers {
    /// The statement and the columns that it stands over.
    current: Option<(usize, Vec<String>)>,
}

impl Headers {
    pub fn print(&mut self, answer: &Answer, times: Times, out: &mut Vec<u8>) {
        if let Some(error) = &answer.error {
            if self.current.is_some() {
                out.push(b'\n');
            }
            out.extend_from_slice(b"error\n");
            cell(error, out);
            out.push(b'\n');
        }
        for result in &answer.results {
            for series in &result.series {
                self.header(result.statement_id, series, out);
                rows(series, times, out);
            }
        }
    }

    fn header(&mut self, statement_id: usize, series: &Series, out: &mut Vec<u8>) {
        if self.current.as_ref().is_some_and(|(id, columns)| *id == statement_id && *columns == series.columns) {
            return;
        }
        if self.current.is_some() {
            out.push(b'\n');
        }
        out.extend_from_slice(b"name,tags");
        for column in &series.columns {
            out.push(b',');
            cell(column, out);
        }
        out.push(b'\n');
        self.current = Some((statement_id, series.columns.clone()));
    }
}

/// The columns of SHOW RETENTION POLICIES. InfluxDB's writer does not know how to print the kind of number in one of them: what
/// stood there before, the header, stays in its place.
const POLICIES: [&str; 5] = ["name", "duration", "shardGroupDuration", "replicaN", "default"];

fn rows(series: &Series, times: Times, out: &mut Vec<u8>) {
    let mut head = Vec::new();
    cell(&series.name, &mut head);
    head.push(b',');
    cell(&tags(series), &mut head);
    let is_policies = series.name.is_empty() && series.columns == POLICIES;
    for row in &series.values {
        out.extend_from_slice(&head);
        for (column, value) in row.iter().enumerate() {
            out.push(b',');
            match value {
                Value::Integer(_) if is_policies => out.extend_from_slice(POLICIES[3].as_bytes()),
                Value::Null => {}
                Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
                Value::Integer(number) => push_integer(out, *number),
                Value::Unsigned(number) => out.extend_from_slice(number.to_string().as_bytes()),
                Value::Float(number) => float(*number, out),
                Value::String(text) => cell(text, out),
                Value::Time(ns) => push_integer(out, times.number(column, *ns).unwrap_or(*ns)),
            }
        }
        out.push(b'\n');
    }
}

/// `a=x,b=y`, escaped as in line protocol, empty values left out.
fn tags(series: &Series) -> String {
    let mut text = String::new();
    for (key, value) in series.tags.iter().filter(|(_, value)| !value.is_empty()) {
        if !text.is_empty() {
            text.push(',');
        }
        escaped(key, &mut text);
        text.push('=');
        escaped(value, &mut text);
    }
    text
}

fn escaped(text: &str, out: &mut String) {
    for c in text.chars() {
        if matches!(c, ',' | ' ' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
}

fn float(number: f64, out: &mut Vec<u8>) {
    match number {
        _ if number.is_nan() => out.extend_from_slice(b"NaN"),
        f64::INFINITY => out.extend_from_slice(b"+Inf"),
        f64::NEG_INFINITY => out.extend_from_slice(b"-Inf"),
        _ => push_decimal(out, number),
    }
}

fn cell(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let quoted = memchr::memchr3(b',', b'"', b'\n', bytes).is_some()
        || bytes.contains(&b'\r')
        || text == "\\."
        || text.starts_with(char::is_whitespace);
    if !quoted {
        return out.extend_from_slice(bytes);
    }
    out.push(b'"');
    for &byte in bytes {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
