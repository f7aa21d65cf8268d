//! `slotline spool drop`: what it removes lies in the dead letters before.

use std::io::{BufRead, IsTerminal, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::spool::{DeadLetter, Entry, Queue, Record, Spool, look};

use super::{ConfigFile, Failure, Place, READ_BYTES, finish, print, wait};

const REASON: &str = "dropped by an operator";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    replica: String,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { file, replica, yes } = args;
    let place = Place::of(&file)?;
    place.check(&replica)?;
    let summary = look::summary(&place.dir, &replica).map_err(Failure::spool)?;
    let points = summary.main.points + summary.parked.points;
    let what = format!("{points} points that wait for replica {replica}");
    if !yes && !confirmed(&what)? {
        return Err(Failure::Usage("nothing was dropped".to_owned()));
    }
    let spools = place.spools()?;
    let spool = spools.of(&replica).map_err(Failure::spool)?;
    let mut dropped = (0, 0);
    let done = spool.queues().into_iter().try_for_each(|queue| empty(&spool, queue, &mut dropped));
    spools.release(&replica);
    print(format!("{} records, {} points of {replica} are dead letters now\n", dropped.0, dropped.1));
    done
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
