//! `slotline spool move`: a crash in the middle may leave some of it in both places, never in none.

use crate::spool::{Entry, Queue, Record, Spool};

use super::{ConfigFile, Failure, Place, READ_BYTES, finish, print, wait};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// The replica for which it waits now.
    from: String,
    /// The replica that is to take it.
    to: String,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { file, from, to } = args;
    let place = Place::of(&file)?;
    place.check(&from)?;
    if from == to {
        return Err(Failure::Usage(format!("{from} is {to}: there is nothing to move")));
    }
    if place.replicas().is_some_and(|replicas| !replicas.contains(&to)) {
        return Err(Failure::Usage(format!(
            "the topology names no replica {to}: what is moved there would wait for ever"
        )));
    }
    let spools = place.spools()?;
    let (source, target) = (spools.of(&from).map_err(Failure::spool)?, spools.of(&to).map_err(Failure::spool)?);
    let mut moved = (0, 0);
    let done = source.queues().into_iter().try_for_each(|queue| drain(&source, queue, &target, &mut moved));
    spools.release(&from);
    print(format!("{} records, {} points moved from {from} to {to}\n", moved.0, moved.1));
    done
}

fn drain(source: &Spool, queue: Queue, target: &Spool, moved: &mut (u64, u64)) -> Result<(), Failure> {
    loop {
        let entries = wait(source, source.read(queue, READ_BYTES))?;
        if entries.is_empty() {
            return finish(source, queue);
        }
        let append = |entry: &Entry| {
            (entry.end, entry.record.points(), target.append(Queue::Main, entry.record.clone(), entry.accepted_ms))
        };
        // One sync for all. What was taken back goes nowhere.
        let there = entries.iter().filter(|entry| entry.record != Record::Void);
        let answers: Vec<_> = there.map(append).collect();
        let (mut end, mut failure) = (None, None);
        for (at, points, answer) in answers {
            match wait(target, answer) {
                Ok(()) if failure.is_none() => {
                    end = Some(at);
                    *moved = (moved.0 + 1, moved.1 + u64::from(points));
                }
                Ok(()) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if failure.is_none() {
            end = entries.last().map(|entry| entry.end);
        }
        if let Some(end) = end {
            wait(source, source.consume(queue, end, Vec::new()))?;
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
}
