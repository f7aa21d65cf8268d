//! Neighbours in a log that go to the replica in one request.

use bytes::Bytes;

use crate::backend::WriteKey;
use crate::batch::Batch;
use crate::spool::{Entry, Position, Record};

use super::super::refused::Dead;

/// Entries that share a request.
pub enum Run {
    /// `makes_database`: a replica that lacks the database shall make it.
    Points {
        key: WriteKey,
        batch: Batch,
        makes_database: bool,
        entries: Vec<Entry>,
    },
    Statement {
        db: String,
        rp: String,
        text: String,
        entry: Entry,
    },
    /// What was taken back before it was read.
    Void {
        entries: Vec<Entry>,
    },
}

impl Run {
    fn entries(&self) -> &[Entry] {
        match self {
            Run::Points { entries, .. } | Run::Void { entries } => entries,
            Run::Statement { entry, .. } => std::slice::from_ref(entry),
        }
    }

    pub fn end(&self) -> Position {
        // A run has an entry.
        self.entries()[self.entries().len() - 1].end
    }

    pub fn records(&self) -> u64 {
        self.entries().len() as u64
    }

    pub fn points(&self) -> u32 {
        match self {
            Run::Points { batch, .. } => batch.points,
            Run::Statement { .. } | Run::Void { .. } => 0,
        }
    }

    /// All of its points.
    pub fn dead(&self, reason: String) -> Vec<Dead> {
        match self {
            Run::Points { batch, .. } => vec![Dead { lines: batch.joined(), points: batch.points, reason }],
            Run::Statement { .. } | Run::Void { .. } => Vec::new(),
        }
    }

    /// A part of it.
    pub fn refused(&self, db: &str, rp: &str, lines: Vec<u8>, points: u32) -> Record {
        let (db, rp) = (db.to_owned(), rp.to_owned());
        match self {
            Run::Points { key, .. } => {
                let (precision, lines) = (key.precision, vec![lines.into()]);
                Record::Points { db, rp, precision, points, open: false, makes_database: false, lines }
            }
            Run::Statement { text, .. } => Record::Statement { db, rp, text: text.clone() },
            Run::Void { .. } => Record::Void,
        }
    }

    /// Database and retention policy.
    pub fn target(&self) -> (String, String) {
        match self {
            Run::Points { key, .. } => (key.db.to_string(), key.rp.to_string()),
            Run::Statement { db, rp, .. } => (db.clone(), rp.clone()),
            Run::Void { .. } => Default::default(),
        }
    }

    pub fn into_records(self) -> Vec<(Record, u64)> {
        let entries = match self {
            Run::Points { entries, .. } | Run::Void { entries } => entries,
            Run::Statement { entry, .. } => vec![entry],
        };
        let entries = entries.into_iter().filter(|entry| entry.record != Record::Void);
        entries.map(|entry| (entry.record, entry.accepted_ms)).collect()
    }
}

/// Entries by what may share a request.
pub fn runs(entries: Vec<Entry>, points_max: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for entry in entries {
        let (db, rp, precision, points, open, makes, lines) = match &entry.record {
            Record::Statement { db, rp, text } => {
                runs.push(Run::Statement { db: db.clone(), rp: rp.clone(), text: text.clone(), entry });
                continue;
            }
            Record::Void => {
                match runs.last_mut() {
                    Some(Run::Points { entries, .. } | Run::Void { entries }) => entries.push(entry),
                    _ => runs.push(Run::Void { entries: vec![entry] }),
                }
                continue;
            }
            Record::Points { db, rp, precision, points, open, makes_database, lines } => {
                (db, rp, *precision, *points, *open, *makes_database, lines)
            }
        };
        if let Some(Run::Points { key, batch, makes_database, entries }) = runs.last_mut()
            && *key.db == **db
            && *key.rp == **rp
            && key.precision == precision
            && *makes_database == makes
            && !batch.open
            && !open
            && (batch.points + points) as usize <= points_max
        {
            batch.points += points;
            batch.bytes += lines.iter().map(Bytes::len).sum::<usize>();
            batch.pieces.extend(lines.iter().cloned());
            entries.push(entry);
            continue;
        }
        let key = WriteKey { db: db.as_str().into(), rp: rp.as_str().into(), precision, consistency: "".into() };
        let (pieces, bytes) = (lines.clone(), lines.iter().map(Bytes::len).sum());
        let batch = Batch { group: 0, pieces, bytes, points, open };
        runs.push(Run::Points { key, batch, makes_database: makes, entries: vec![entry] });
    }
    runs
}
