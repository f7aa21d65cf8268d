//! Answers as bytes: `json` (compact and indented), `csv`, `msgpack`, byte for byte as InfluxDB 1.6 prints them.
//!
//! One `Printer` an answer; a document is a whole answer, or of a chunked one the part of one result. Used by `query`.

mod csv;
mod json;
mod msgpack;
mod time;

use super::results::Answer;

pub use time::{Times, rfc3339};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json { pretty: bool },
    Csv,
    MessagePack,
}

impl Format {
    /// As a client's `Accept` asks for it.
    pub fn of(accept: &str, pretty: bool) -> Format {
        match accept {
            "application/csv" | "text/csv" => Format::Csv,
            "application/x-msgpack" => Format::MessagePack,
            _ => Format::Json { pretty },
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json { .. } => "application/json",
            Format::Csv => "text/csv",
            Format::MessagePack => "application/x-msgpack",
        }
    }
}

/// Prints the documents of one answer, one after the other.
#[derive(Clone)]
pub struct Printer {
    format: Format,
    times: Times,
    csv: csv::Headers,
}

impl Printer {
    pub fn new(format: Format, times: Times) -> Printer {
        Printer { format, times, csv: csv::Headers::default() }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Appends a document.
    pub fn print(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        match self.format {
            Format::Json { pretty } => json::print(answer, pretty, self.times, out),
            Format::Csv => self.csv.print(answer, self.times, out),
            Format::MessagePack => msgpack::print(answer, self.times, out),
        }
    }
}

#[cfg(test)]
mod tests;
