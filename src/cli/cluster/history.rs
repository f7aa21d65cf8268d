//! `history/<epoch>`: every topology that was in force, who made it, when and why; the last 200.

use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::control::{Expect, Store, StoreError};
use crate::influxql::civil::rfc3339_nano;
use crate::topology::{self, Topology, Znodes};

use super::Failure;

/// Earlier topologies that are kept.
const HISTORY_MAX: usize = 200;

/// What the history says of one epoch.
pub struct Note {
    pub epoch: u64,
    pub by: String,
    pub at: String,
    pub why: String,
    /// `None` if it cannot be read.
    pub topology: Option<Topology>,
}

/// All epochs that are kept, in order.
pub fn epochs(store: &mut dyn Store, znodes: &Znodes) -> Result<Vec<u64>, StoreError> {
    let names = store.children(&znodes.history())?;
    let mut epochs: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    epochs.sort_unstable();
    Ok(epochs)
}

/// What is kept of an epoch; `None` if nothing is.
pub fn read(store: &mut dyn Store, znodes: &Znodes, epoch: u64) -> Result<Option<Note>, StoreError> {
    let entry = store.read(&format!("{}/{epoch}", znodes.history()))?;
    Ok(entry.map(|entry| {
        let note: Value = serde_json::from_slice(&entry.data).unwrap_or_default();
        let text = |name: &str| note.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let document = note.get("document").map(Value::to_string).unwrap_or_default();
        let topology = topology::parse(document.as_bytes()).ok();
        Note { epoch, by: text("by"), at: text("at"), why: text("why"), topology }
    }))
}

/// The topology of an epoch, or which there are.
pub fn topology(store: &mut dyn Store, znodes: &Znodes, epoch: u64) -> Result<Topology, Failure> {
    let known = || "`slotline topology history` lists what is kept".to_owned();
    match read(store, znodes, epoch).map_err(Failure::new)? {
        Some(Note { topology: Some(topology), .. }) => Ok(topology),
        Some(_) => Err(Failure::new(format!("the history's epoch {epoch} cannot be read; {}", known()))),
        None => Err(Failure::usage(format!("the history has no epoch {epoch}; {}", known()))),
    }
}

/// Writes a topology into the history, and removes what is too old from it.
pub fn note(store: &mut dyn Store, znodes: &Znodes, epoch: u64, document: &str, why: &str) -> Result<(), StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let note = json!({
        "document": document, "by": whoami(), "at": rfc3339_nano(i64::try_from(now).unwrap_or(i64::MAX)), "why": why,
    });
    store.write(&format!("{}/{epoch}", znodes.history()), note.to_string().as_bytes(), Expect::Absent)?;
    let epochs = epochs(store, znodes)?;
    for old in &epochs[..epochs.len().saturating_sub(HISTORY_MAX)] {
        store.delete(&format!("{}/{old}", znodes.history()))?;
    }
    Ok(())
}

/// `user@host`, as far as they are known.
fn whoami() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let number = || std::fs::metadata("/proc/self").map_or_else(|_| "?".to_owned(), |own| own.uid().to_string());
    let user = user.filter(|user| !user.is_empty()).unwrap_or_else(number);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{user}@{}", host.trim())
}
