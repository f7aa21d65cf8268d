//! What a spool's users name: its queues, and why something cannot be done.

use std::fmt;
use std::path::PathBuf;

/// The two logs of a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    Main,
    /// What an operator must act on before the replica can take it.
    Parked,
}

impl Queue {
    pub const BOTH: [Queue; 2] = [Queue::Main, Queue::Parked];

    /// In the replica's folder.
    pub fn folder(self) -> &'static str {
        match self {
            Queue::Main => "main",
            Queue::Parked => "parked",
        }
    }

    pub(super) fn index(self) -> usize {
        match self {
            Queue::Main => 0,
            Queue::Parked => 1,
        }
    }
}

/// Why a record is not in the log; later it may go well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    Full {
        replica: String,
        bytes_max: u64,
    },
    /// In words, replica and remedy too.
    Disk(String),
}

impl std::error::Error for AppendError {}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Full { replica, bytes_max } => write!(
                f,
                "spool of replica {replica}: full ({bytes_max} bytes); bring the replica back or raise spool.bytes_max"
            ),
            AppendError::Disk(text) => f.write_str(text),
        }
    }
}

/// Why records could not be taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumeError {
    /// The dead letters do not fit; nothing is consumed.
    DeadFull { replica: String, path: PathBuf, bytes_max: u64 },
    /// In words, replica and remedy too.
    Disk(String),
}

impl std::error::Error for ConsumeError {}

impl fmt::Display for ConsumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConsumeError::DeadFull { replica, path, bytes_max } => write!(
                f,
                "spool of replica {replica}: the dead letters do not fit into {} ({bytes_max} bytes), so replay waits; see \
                 `slotline spool dead {replica}`, then move the file away or raise spool.dead_bytes_max",
                path.display()
            ),
            ConsumeError::Disk(text) => f.write_str(text),
        }
    }
}
