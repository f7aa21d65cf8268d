//! Dead letters: what InfluxDB refused for good, in a file that people read. One JSON object a line, written down in
//! `spool/mod.rs`.
//!
//! The file may be moved away at any time, also while the proxy runs: a new one is begun.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::influxql::civil::rfc3339_nano;

use super::record::Record;

pub const DEAD_FILE: &str = "dead.jsonl";

/// Something that a replica will never take.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Of a batch of which some points were refused: those alone.
    pub record: Record,
    /// In InfluxDB's words, if it has refused it.
    pub reason: String,
    /// Wall clock, in milliseconds since 1970.
    pub at_ms: u64,
}

/// A dead letter as its line has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLine {
    /// RFC 3339.
    pub at: String,
    pub db: String,
    pub rp: String,
    pub reason: String,
    pub points: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<String>,
    /// In place of `lines` where those are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

/// Milliseconds since 1970, as RFC 3339.
pub fn rfc3339(ms: u64) -> String {
    rfc3339_nano(i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000))
}

impl DeadLine {
    pub fn of(letter: &DeadLetter) -> DeadLine {
        let DeadLetter { record, reason, at_ms } = letter;
        let line = DeadLine {
            at: rfc3339(*at_ms),
            db: record.db().to_owned(),
            rp: record.rp().to_owned(),
            reason: reason.clone(),
            points: record.points(),
            precision: None,
            lines: None,
            lines_base64: None,
            statement: None,
        };
        match record {
            Record::Void => line,
            Record::Statement { text, .. } => DeadLine { statement: Some(text.clone()), ..line },
            Record::Points { precision, lines, .. } => {
                let line = DeadLine { precision: Some(precision.as_str().to_owned()), ..line };
                match String::from_utf8(lines.concat()) {
                    Ok(text) => DeadLine { lines: Some(text), ..line },
                    Err(error) => DeadLine { lines_base64: Some(STANDARD.encode(error.as_bytes())), ..line },
                }
            }
        }
    }
}

/// Why dead letters are not on the disk.
#[derive(Debug)]
pub enum DeadError {
    Full,
    Disk(io::Error),
}

impl From<io::Error> for DeadError {
    fn from(error: io::Error) -> DeadError {
        DeadError::Disk(error)
    }
}

/// Adds letters to a folder's file; on the disk when this returns `Ok`, else none of them counts. How long the file is.
pub fn append(folder: &Path, letters: &[DeadLetter], bytes_max: u64) -> Result<u64, DeadError> {
    let path = folder.join(DEAD_FILE);
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    let mut text = Vec::new();
    if bytes > 0 && !ends_a_line(&mut file)? {
        text.push(b'\n');
    }
    for letter in letters {
        serde_json::to_writer(&mut text, &DeadLine::of(letter)).map_err(io::Error::from)?;
        text.push(b'\n');
    }
    if bytes + text.len() as u64 > bytes_max {
        return Err(DeadError::Full);
    }
    let written = file.write_all(&text).and_then(|()| file.sync_data());
    if let Err(error) = written {
        let _ = file.set_len(bytes);
        return Err(error.into());
    }
    if bytes == 0 {
        File::open(folder)?.sync_all()?;
    }
    Ok(bytes + text.len() as u64)
}

/// A crash may have torn the last line.
fn ends_a_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// How long a folder's file is; 0: there is none.
pub fn bytes(folder: &Path) -> u64 {
    fs::metadata(folder.join(DEAD_FILE)).map_or(0, |metadata| metadata.len())
}

/// How many lines a folder's file has.
pub fn count(folder: &Path) -> io::Result<u64> {
    let file = match File::open(folder.join(DEAD_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let mut file = BufReader::with_capacity(256 * 1024, file);
    let mut lines = 0;
    loop {
        let chunk = file.fill_buf()?;
        if chunk.is_empty() {
            return Ok(lines);
        }
        lines += memchr::memchr_iter(b'\n', chunk).count() as u64;
        let bytes = chunk.len();
        file.consume(bytes);
    }
}

/// The letters of a folder's file, oldest first; lines that are none are left out.
pub fn read(folder: &Path) -> io::Result<Vec<DeadLine>> {
    let file = match File::open(folder.join(DEAD_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut lines = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        lines.extend(serde_json::from_slice(&line?).ok());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::record::tests::{points, statement};
    use super::*;

    fn letter(record: Record) -> DeadLetter {
        DeadLetter { record, reason: "field type conflict".into(), at_ms: 1_500_000_000_123 }
    }

    #[test]
    fn letters_are_lines_of_json() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let not_text = Record::Points {
            db: "d".into(),
            rp: "r".into(),
            precision: crate::lineprotocol::Precision::Nanoseconds,
            points: 1,
            open: false,
            makes_database: false,
            lines: vec![Bytes::from_static(b"m v=\"\xff\"\n")],
        };
        let letters = [letter(points("m v=1i 1\n")), letter(statement("DROP SERIES")), letter(not_text)];
        append(folder.path(), &letters[..1], 1000).expect("there is room");
        let path = folder.path().join(DEAD_FILE);
        assert_eq!(
            fs::read_to_string(&path).expect("it is there"),
            "{\"at\":\"2017-07-14T02:40:00.123000000Z\",\"db\":\"db\",\"rp\":\"\",\"reason\":\"field type conflict\",\
             \"points\":1,\"precision\":\"s\",\"lines\":\"m v=1i 1\\n\"}\n"
        );
        // A torn end spoils no other line.
        OpenOptions::new().append(true).open(&path).and_then(|mut file| file.write_all(b"{\"at")).expect("it is there");
        let length = append(folder.path(), &letters[1..], 1000).expect("there is room");
        assert_eq!(length, bytes(folder.path()));
        let expected: Vec<DeadLine> = letters.iter().map(DeadLine::of).collect();
        assert_eq!(read(folder.path()).expect("it is there"), expected);
        assert_eq!(count(folder.path()).expect("it is there"), 4, "the torn one too");
        assert_eq!(expected[2].lines_base64.as_deref(), Some("bSB2PSL/Igo="));
        assert!(matches!(append(folder.path(), &letters, length + 100), Err(DeadError::Full)));
        assert_eq!(length, bytes(folder.path()));
    }
}
