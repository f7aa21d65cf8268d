//! What a spool's users name: its queues, and why something cannot be done.

use std::fmt;
use std::path::{Path, PathBuf};

/// One of a spool's logs. What is parked comes first: it is older than what the main log has of its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Queue {
    /// What an operator must act on before the replica can take it: a log for each database, by `gate::parked_key`.
    Parked(u32),
    Main,
}

/// Where the parked logs lie, in the replica's folder.
pub(super) const PARKED_FOLDER: &str = "parked";

impl Queue {
    /// In the replica's folder.
    pub fn folder(self) -> PathBuf {
        match self {
            Queue::Main => "main".into(),
            Queue::Parked(key) => Path::new(PARKED_FOLDER).join(format!("{key:08x}")),
        }
    }

    /// The parked log whose folder has this name.
    pub(super) fn of_parked_folder(name: &str) -> Option<Queue> {
        let queue = Queue::Parked(u32::from_str_radix(name, 16).ok()?);
        (queue.folder().file_name()? == name).then_some(queue)
    }

    pub fn is_parked(self) -> bool {
        self != Queue::Main
    }
}

/// Whether a log is finished: nothing of it is left, and nothing ever comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    pub empty: bool,
    /// Records that were counted since the last time and that the disk has damaged: they will never be read.
    pub lost: u64,
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
