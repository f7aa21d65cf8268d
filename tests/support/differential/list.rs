//! The fixed list: `statements.txt`, a request a line.
//!
//! Lines that begin with `#` name a topic; one that begins with `?` says why InfluxDB itself does not determine the answer
//! to the next. A request is a statement, or `[name=value …] STATEMENT` as `Ask` reads it. Statements that write stand at the
//! end, in an order that matters.

use super::ask::Ask;

pub struct Entry {
    pub ask: Ask,
    /// Why its answer may differ from one InfluxDB to the next.
    pub undetermined: Option<&'static str>,
}

const TEXT: &str = include_str!("statements.txt");

pub fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut reason = None;
    for (number, line) in TEXT.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(text) = line.strip_prefix("? ") {
            reason = Some(text);
            continue;
        }
        let ask = Ask::parse(line).unwrap_or_else(|why| panic!("statements.txt:{}: {why}", number + 1));
        entries.push(Entry { ask, undetermined: reason.take() });
    }
    entries
}

/// Shapes of answers, in which each statement is asked in turn besides as it stands.
pub const SHAPES: [&str; 6] = [
    "epoch=ms chunked=true chunk_size=3",
    "accept=application/csv",
    "accept=application/x-msgpack",
    "pretty=true epoch=s method=POST",
    "accept=text/csv chunked=true epoch=ns",
    "accept=application/x-msgpack chunked=true chunk_size=2",
];
