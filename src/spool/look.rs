//! What lies in spools, seen without locking or changing anything, also while a proxy writes there: for `slotline spool`,
//! and for the spools of replicas that the topology does not name any more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::api::PARKED_FOLDER;
use super::dead;
use super::disk::Folder;
use super::record::{Depth, Record};
use super::recover::{Damage, Totals, recover};
use super::{DeadLine, Queue};

/// What one replica's spool holds.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub name: String,
    pub main: Totals,
    pub parked: Totals,
    /// When the oldest record was accepted, in milliseconds since 1970; 0: nothing waits.
    pub since_ms: u64,
    pub dead_bytes: u64,
    /// Segments of another version.
    pub foreign: Vec<PathBuf>,
}

/// A record that waits, and when it was accepted, in milliseconds since 1970.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub queue: Queue,
    pub record: Record,
    pub accepted_ms: u64,
}

/// The name of a replica as a folder: a leading '.' would hide it, or mean another one.
fn folder_name(replica: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if replica.is_empty() || !replica.bytes().all(fits) {
        return None;
    }
    Some(match replica.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => replica.to_owned(),
    })
}

fn replica_name(folder: &str) -> Option<String> {
    let name = match folder.strip_prefix("%2E") {
        Some(rest) => format!(".{rest}"),
        None => folder.to_owned(),
    };
    folder_name(&name).filter(|printed| printed == folder).map(|_| name)
}

/// Where a replica's spool lies, in the folder of all spools.
pub fn folder(dir: &Path, replica: &str) -> io::Result<PathBuf> {
    let name = folder_name(replica).ok_or_else(|| {
        let text = format!("{replica:?}: a replica's name is made of letters, digits, '-', '_' and '.'");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    Ok(dir.join(name))
}

/// Whose spools lie in a folder, sorted; none if there is no such folder.
pub fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().to_str().and_then(replica_name));
        }
    }
    names.sort();
    Ok(names)
}

/// The logs of a spool, in the order in which they are to be read. `folder` is the replica's.
pub fn queues(folder: &Path) -> io::Result<Vec<Queue>> {
    let mut queues = vec![Queue::Main];
    match fs::read_dir(folder.join(PARKED_FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        entries => {
            for entry in entries? {
                queues.extend(entry?.file_name().to_str().and_then(Queue::of_parked_folder));
            }
        }
    }
    queues.sort();
    Ok(queues)
}

/// How much waits for a replica, by the records' headers.
pub fn summary(dir: &Path, replica: &str) -> io::Result<Summary> {
    let folder = folder(dir, replica)?;
    let mut summary = Summary { name: replica.to_owned(), dead_bytes: dead::bytes(&folder), ..Summary::default() };
    for queue in queues(&folder)? {
        let path = folder.join(queue.folder());
        if !path.is_dir() {
            continue;
        }
        let found = recover(&Folder::at(&path), Depth::Headers, &mut |_, _| true)?;
        summary.foreign.extend(found.foreign.iter().map(|(name, _)| path.join(name)));
        summary.since_ms = oldest(summary.since_ms, found.oldest_ms);
        match queue {
            Queue::Main => summary.main = found.totals,
            Queue::Parked(_) => summary.parked += found.totals,
        }
    }
    Ok(summary)
}

/// Of two moments, of which 0 is none.
pub fn oldest(one: u64, other: u64) -> u64 {
    if one == 0 || other == 0 { one.max(other) } else { one.min(other) }
}

/// The first records that wait for a replica, parked ones first, and what is damaged before them (`segment` is
/// the file's path then).
pub fn records(dir: &Path, replica: &str, limit: usize) -> io::Result<(Vec<Waiting>, Vec<Damage>)> {
    let folder = folder(dir, replica)?;
    let (mut records, mut damage) = (Vec::new(), Vec::new());
    for queue in queues(&folder)? {
        let path = folder.join(queue.folder());
        if !path.is_dir() || records.len() >= limit {
            continue;
        }
        let found = recover(&Folder::at(&path), Depth::Whole, &mut |header, record| {
            let waiting = |record| Waiting { queue, record, accepted_ms: header.accepted_ms };
            records.extend(record.map(waiting));
            records.len() < limit
        })?;
        damage.extend(found.damage.into_iter().map(|damage| {
            let segment = path.join(&damage.segment).display().to_string();
            Damage { segment, ..damage }
        }));
    }
    Ok((records, damage))
}

/// What a replica refused for good, oldest first.
pub fn dead_letters(dir: &Path, replica: &str) -> io::Result<Vec<DeadLine>> {
    dead::read(&folder(dir, replica)?)
}

/// How many there are, roughly: torn lines count.
pub fn dead_count(dir: &Path, replica: &str) -> io::Result<u64> {
    dead::count(&folder(dir, replica)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_folder_of_its_own() {
        for (replica, folder) in [("g1a", "g1a"), (".", "%2E"), ("..", "%2E."), (".x", "%2Ex"), ("a.b-c_D", "a.b-c_D")]
        {
            assert_eq!(folder_name(replica).as_deref(), Some(folder));
            assert_eq!(replica_name(folder).as_deref(), Some(replica));
        }
        for bad in ["", "a/b", "%2E", "a b", "é", "\0"] {
            assert_eq!(folder_name(bad), None, "{bad:?}");
        }
        for not_ours in [".", "..", ".hidden", "%2E/", "lost+found"] {
            assert_eq!(replica_name(not_ours), None, "{not_ours}");
        }
    }
}
