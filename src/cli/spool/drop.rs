//! `slotline spool drop`: what it removes lies in the dead letters before.

use std::io::{BufRead, IsTerminal, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::gate::parked_key;
use crate::spool::{DeadLetter, Entry, Queue, Record, Spool, look};

use super::{ConfigFile, Failure, Place, READ_BYTES, finish, print, wait};

const REASON: &str = "dropped by an operator";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    replica: String,
    /// Only what is parked, of all databases.
    #[arg(long)]
    parked: bool,
    /// Only what is parked of this database.
    #[arg(long, value_name = "NAME", conflicts_with = "parked")]
    db: Option<String>,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { file, replica, parked, db, yes } = args;
    let place = Place::of(&file)?;
    place.check(&replica)?;
    let summary = look::summary(&place.dir, &replica).map_err(Failure::spool)?;
    let what = match &db {
        Some(db) => format!("points of database {db:?} that are parked for replica {replica}"),
        None if parked => format!("{} points that are parked for replica {replica}", summary.parked.points),
        None => format!("{} points that wait for replica {replica}", summary.main.points + summary.parked.points),
    };
    if !yes && !confirmed(&what)? {
        return Err(Failure::Usage("nothing was dropped".to_owned()));
    }
    let spools = place.spools()?;
    let spool = spools.of(&replica).map_err(Failure::spool)?;
    let meant = |queue: &Queue| match (&db, queue) {
        (Some(db), Queue::Parked(key)) => *key == parked_key(db),
        (Some(_), Queue::Main) => false,
        (None, queue) => !parked || queue.is_parked(),
    };
    if let Some(other) = db.as_ref().and_then(|db| shares(&spool, db)) {
        spools.release(&replica);
        return Err(Failure::Usage(format!(
            "what is parked for replica {replica} of database {other:?} lies in the same log (their names have the same \
             checksum): drop both with --parked, or let the replica take the one"
        )));
    }
    let mut dropped = (0, 0);
    let done = spool.queues().into_iter().filter(meant).try_for_each(|queue| empty(&spool, queue, &mut dropped));
    spools.release(&replica);
    print(format!("{} records, {} points of {replica} are dead letters now\n", dropped.0, dropped.1));
    done
}

/// Another database in the parked log of this one.
fn shares(spool: &Spool, db: &str) -> Option<String> {
    let found = spool.parked().iter().find(|found| found.key == parked_key(db))?;
    found.databases.iter().find(|other| *other != db).cloned()
}

fn confirmed(what: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("{what} would never reach it: say --yes if that is meant")));
    }
    eprint!("Give up the {what}? They go to the dead letters. [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn empty(spool: &Spool, queue: Queue, dropped: &mut (u64, u64)) -> Result<(), Failure> {
    loop {
        let entries = wait(spool, spool.read(queue, READ_BYTES))?;
        let Some(end) = entries.last().map(|entry| entry.end) else { return finish(spool, queue) };
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let letter = |entry: Entry| DeadLetter { record: entry.record, reason: REASON.to_owned(), at_ms };
        let there = entries.into_iter().filter(|entry| entry.record != Record::Void);
        let letters: Vec<DeadLetter> = there.map(letter).collect();
        let points: u64 = letters.iter().map(|letter| u64::from(letter.record.points())).sum();
        let records = letters.len() as u64;
        wait(spool, spool.consume(queue, end, letters))?;
        *dropped = (dropped.0 + records, dropped.1 + points);
    }
}
