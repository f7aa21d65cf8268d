//! Rows of one measurement, made while they are sent: what a backend answers to slotline when it asks for a group's part of a
//! SELECT over several, so cheaply that it is slotline which is measured.
//!
//! Chunked MessagePack as InfluxDB writes it, a document of `chunk_size` rows at most. Every SELECT is answered with all rows
//! of the field `v` by `host` and `zone`, whatever it asks for, every EXPLAIN with their types. The values of a document are
//! prepared; its times are written over them.

use std::io::{self, Write};

/// 2023-11-14T22:13:20Z, and a row every so often.
const FIRST_S: u64 = 1_700_000_000;
const INTERVAL_S: u64 = 10;
/// An array of two, a time, a float.
const ROW_BYTES: usize = 25;
/// Where a row's seconds are, big-endian.
const SECONDS: std::ops::Range<usize> = 4..12;

/// What is played.
#[derive(Clone, Debug)]
pub struct Rows {
    pub rows: u64,
    /// At least 1; as many hosts.
    pub series: u64,
    /// No two groups have a series of the same zone.
    pub zone: String,
}

/// A request that `Rows` answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Explain,
    Rows { chunk: usize },
}

/// `params`: those of the URL and of the form, encoded; `None`: none of ours.
pub fn asked(params: &[u8]) -> Option<Asked> {
    let of = |name: &str| params.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(name.as_bytes()));
    let q = of("q=")?;
    if q.starts_with(b"EXPLAIN") {
        return Some(Asked::Explain);
    }
    let chunk = std::str::from_utf8(of("chunk_size=")?).ok()?.parse().ok().filter(|rows| *rows > 0)?;
    q.starts_with(b"SELECT").then_some(Asked::Rows { chunk })
}

impl Rows {
    /// Writes a whole answer, head and all.
    pub fn answer(&self, asked: Asked, out: &mut impl Write) -> io::Result<()> {
        out.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-msgpack\r\nX-Influxdb-Version: 1.8.10\r\n\
              Transfer-Encoding: chunked\r\n\r\n",
        )?;
        match asked {
            Asked::Explain => {
                let mut document = Vec::new();
                explained(&mut document);
                chunk(&document, out)?;
            }
            Asked::Rows { chunk } => self.stream(chunk, out)?,
        }
        out.write_all(b"0\r\n\r\n")?;
        out.flush()
    }

    fn stream(&self, chunk_rows: usize, out: &mut impl Write) -> io::Result<()> {
        let values = prepared(chunk_rows);
        let mut document = Vec::with_capacity(values.len() + 256);
        for series in 0..self.series {
            let rows = self.rows / self.series + u64::from(series < self.rows % self.series);
            let mut first = 0;
            while first < rows {
                let count = chunk_rows.min(usize::try_from(rows - first).unwrap_or(usize::MAX));
                let next = first + count as u64;
                let more_rows = next < rows;
                document.clear();
                self.head(series, count, more_rows, more_rows || series + 1 < self.series, &mut document);
                let body = document.len();
                document.extend_from_slice(&values[..count * ROW_BYTES]);
                for (row, number) in document[body..].chunks_exact_mut(ROW_BYTES).zip(first..) {
                    row[SECONDS].copy_from_slice(&(FIRST_S + number * INTERVAL_S).to_be_bytes());
                }
                chunk(&document, out)?;
                first = next;
            }
        }
        Ok(())
    }

    /// A document up to its rows, which are its end.
    fn head(&self, series: u64, rows: usize, more_rows: bool, more: bool, out: &mut Vec<u8>) {
        begin_result(more, out);
        map(if more_rows { 5 } else { 4 }, out);
        if more_rows {
            is_partial(out);
        }
        text("name", out);
        text("m", out);
        text("tags", out);
        map(2, out);
        for (key, value) in [("host", format!("h{series:06}")), ("zone", self.zone.clone())] {
            text(key, out);
            text(&value, out);
        }
        text("columns", out);
        array(2, out);
        text("time", out);
        text("v", out);
        text("values", out);
        array(rows, out);
    }
}

/// Rows of any times.
fn prepared(rows: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows * ROW_BYTES);
    for number in 0..rows as u32 {
        // Some thousand different values, quarters: sums are exact.
        let value = f64::from(number.wrapping_mul(2_654_435_761) % 40_009) / 4.0;
        out.extend_from_slice(&[0x92, 0xc7, 12, 5]);
        out.extend_from_slice(&[0; 12]);
        out.push(0xcb);
        out.extend_from_slice(&value.to_be_bytes());
    }
    out
}

fn explained(out: &mut Vec<u8>) {
    begin_result(false, out);
    map(2, out);
    text("columns", out);
    array(1, out);
    text("QUERY PLAN", out);
    text("values", out);
    array(1, out);
    array(1, out);
    text("AUXILIARY FIELDS: host::tag, v::float, zone::tag", out);
}

/// A document with one result up to its only series.
fn begin_result(more: bool, out: &mut Vec<u8>) {
    map(1, out);
    text("results", out);
    array(1, out);
    map(if more { 3 } else { 2 }, out);
    if more {
        is_partial(out);
    }
    text("statement_id", out);
    out.push(0);
    text("series", out);
    array(1, out);
}

fn is_partial(out: &mut Vec<u8>) {
    text("partial", out);
    out.push(0xc3);
}

/// Of at most 15 pairs.
fn map(pairs: u8, out: &mut Vec<u8>) {
    out.push(0x80 | pairs);
}

fn array(values: usize, out: &mut Vec<u8>) {
    out.push(0xdd);
    out.extend_from_slice(&u32::try_from(values).unwrap_or(u32::MAX).to_be_bytes());
}

/// Of at most 255 bytes.
fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xd9, u8::try_from(text.len()).unwrap_or(u8::MAX)]);
    out.extend_from_slice(text.as_bytes());
}

/// In the framing of HTTP.
fn chunk(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    write!(out, "{:x}\r\n", bytes.len())?;
    out.write_all(bytes)?;
    out.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Reader;

    fn body(rows: &Rows, asked: Asked) -> Vec<u8> {
        let mut sent = Vec::new();
        rows.answer(asked, &mut sent).expect("a Vec");
        let mut reader = Reader::new(sent.as_slice(), 1000);
        let head = reader.response().expect("HTTP");
        let mut body = Vec::new();
        reader.body(head.framing, |piece| body.extend_from_slice(piece)).expect("whole");
        body
    }

    fn found(body: &[u8], text: &[u8]) -> usize {
        memchr::memmem::find_iter(body, text).count()
    }

    #[test]
    fn parts_are_told_from_the_rest() {
        assert_eq!(asked(b"q=EXPLAIN+SELECT&db=perf"), Some(Asked::Explain));
        assert_eq!(asked(b"db=perf&q=SELECT+v&chunk_size=5000"), Some(Asked::Rows { chunk: 5000 }));
        for other in ["q=SELECT+v", "q=SHOW+DATABASES&chunk_size=5", "q=SELECT+v&chunk_size=0", "db=q"] {
            assert_eq!(asked(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn all_rows_come_in_documents_and_the_last_ends_it() {
        let rows = Rows { rows: 25, series: 2, zone: "z1".to_owned() };
        let body = body(&rows, Asked::Rows { chunk: 10 });
        assert_eq!(found(&body, &[0x92, 0xc7, 12, 5]), 25, "rows");
        assert_eq!(found(&body, b"results"), 4, "10 and 3, 10 and 2");
        // Of results and of series: all but the last result, and of each series all but its last piece.
        assert_eq!(found(&body, b"partial\xc3"), 3 + 2);
        assert_eq!((found(&body, b"h000000"), found(&body, b"h000001"), found(&body, b"z1")), (2, 2, 4));
        assert_eq!(found(&body, &(FIRST_S + 12 * INTERVAL_S).to_be_bytes()), 1, "the first series has 13");
    }

    #[test]
    fn an_explanation_names_the_field() {
        let rows = Rows { rows: 1, series: 1, zone: "z1".to_owned() };
        assert_eq!(found(&body(&rows, Asked::Explain), b"AUXILIARY FIELDS: host::tag, v::float, zone::tag"), 1);
    }
}
