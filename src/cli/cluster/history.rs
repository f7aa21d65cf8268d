//! `history/<epoch>`: every topology that was in force, who made it, when and why; the last 200. `udp-history/<number>`: the
//! same of the shared UDP listeners, whose number is the history's own.

use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::control::{Expect, Store, StoreError};
use crate::influxql::civil::rfc3339_nano;
use crate::topology::{self, Topology, Znodes};

use super::super::print;
use super::table::{Cell, Screen};
use super::{Failure, PlaceArgs};

/// Earlier documents that are kept.
const HISTORY_MAX: usize = 200;

/// What the history says of one epoch, as far as commands need it.
pub struct Note {
    pub at: String,
    /// `None` if it cannot be read.
    pub topology: Option<Topology>,
}

/// All epochs that are kept, in order.
pub fn epochs(store: &mut dyn Store, znodes: &Znodes) -> Result<Vec<u64>, StoreError> {
    numbers(store, &znodes.history())
}

fn numbers(store: &mut dyn Store, folder: &str) -> Result<Vec<u64>, StoreError> {
    let names = store.children(folder)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What is kept of an epoch; `None` if nothing is.
pub fn read(store: &mut dyn Store, znodes: &Znodes, epoch: u64) -> Result<Option<Note>, StoreError> {
    let entry = store.read(&format!("{}/{epoch}", znodes.history()))?;
    Ok(entry.map(|entry| {
        let note: Value = serde_json::from_slice(&entry.data).unwrap_or_default();
        let document = note.get("document").map(Value::to_string).unwrap_or_default();
        let topology = topology::parse(document.as_bytes()).ok();
        Note { at: text(&note, "at"), topology }
    }))
}

fn text(note: &Value, name: &str) -> String {
    note.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
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
    write(store, &znodes.history(), epoch, document, why)
}

/// Writes UDP listeners into theirs.
pub fn note_udp(store: &mut dyn Store, znodes: &Znodes, document: &str, why: &str) -> Result<(), StoreError> {
    let folder = znodes.udp_history();
    loop {
        let number = numbers(store, &folder)?.last().map_or(1, |last| last + 1);
        match write(store, &folder, number, document, why) {
            // Somebody else has noted a change meanwhile.
            Err(StoreError::Conflict(_)) => {}
            done => return done,
        }
    }
}

fn write(store: &mut dyn Store, folder: &str, number: u64, document: &str, why: &str) -> Result<(), StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let note = json!({
        "document": document, "by": whoami(), "at": rfc3339_nano(i64::try_from(now).unwrap_or(i64::MAX)), "why": why,
    });
    store.write(&format!("{folder}/{number}"), note.to_string().as_bytes(), Expect::Absent)?;
    let numbers = numbers(store, folder)?;
    for old in &numbers[..numbers.len().saturating_sub(HISTORY_MAX)] {
        store.delete(&format!("{folder}/{old}"))?;
    }
    Ok(())
}

/// `history` of topologies and of UDP listeners.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Only the last so many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

/// Prints what is kept in a folder, the newest first; the documents themselves only if they hold no passwords.
pub fn show(args: Args, folder: impl Fn(&Znodes) -> String, number: &str, documents: bool) -> Result<(), Failure> {
    let (place, _) = args.place.resolve()?;
    let (mut store, folder) = (place.open()?, folder(&place.znodes));
    let mut notes = Vec::new();
    for at in numbers(store.as_mut(), &folder).map_err(Failure::new)?.into_iter().rev().take(args.last) {
        let entry = store.read(&format!("{folder}/{at}")).map_err(Failure::new)?;
        notes.extend(entry.map(|entry| (at, serde_json::from_slice::<Value>(&entry.data).unwrap_or_default())));
    }
    if args.json {
        let line = |(at, note): &(u64, Value)| {
            let mut line = json!({"at": text(note, "at"), "by": text(note, "by"), "why": text(note, "why")});
            line[number] = (*at).into();
            if documents {
                line["document"] = note.get("document").cloned().unwrap_or_default();
            }
            line
        };
        print(format!("{}\n", json!(notes.iter().map(line).collect::<Vec<_>>())));
        return Ok(());
    }
    let mut rows = vec![[&*number.to_uppercase(), "AT", "BY", "WHY"].map(Cell::from)];
    rows.extend(notes.iter().map(|(at, note)| {
        // Seconds are exact enough here.
        let moment = text(note, "at").split('.').next().unwrap_or_default().to_owned();
        [at.to_string(), moment, text(note, "by"), text(note, "why")].map(Cell::from)
    }));
    print(Screen::stdout().table(&rows));
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
