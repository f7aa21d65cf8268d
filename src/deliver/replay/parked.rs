//! What the replica lacks the database or retention policy for: it waits in the database's own log, for an operator, or for
//! a statement that makes it.
//!
//! Points that were on their way while a statement dropped their database may come behind it to one replica and before it
//! to another, where it took them along. No operator need act on these: once every replica says that it lacks the database
//! they are dead letters.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::backend::{Backend, Courier};
use crate::gate::{ParkedDatabase, parked_key};
use crate::net::{elsewhere, sleep, yield_if_needed};
use crate::spool::Queue;

use super::super::database::nobody_has;
use super::super::keep::hold_for;
use super::super::refused::Trouble;
use super::super::way::Concern;
use super::drain::Hold;
use super::run::{Run, runs};
use super::{DIRECT_POLL, Replay, Taken};

/// Between two attempts at what is parked.
const PARKED_RETRY: Duration = Duration::from_secs(3);

impl Replay {
    /// The parked database that a run must not overtake.
    pub fn waits_behind(&self, run: &Run) -> Option<u32> {
        let parked = &self.log.parked;
        match run {
            _ if parked.is_empty() => None,
            Run::Points { key, .. } => Some(parked_key(&key.db)).filter(|key| parked.get(*key).is_some()),
            Run::Statement { db, text, .. } => Concern::of(db, text).waits_for(parked),
            Run::Void { .. } => None,
        }
    }

    /// Moves it out of the main log, behind what waits for its database.
    pub async fn park(&mut self, key: u32, run: Run) -> Result<(), Trouble> {
        let gate = self.log.parked.park(key);
        if let Run::Statement { db, text, .. } = &run {
            self.log.parked.note_makes(key, Concern::of(db, text).makes());
        }
        self.log.spool.stats().blocked.set(1);
        let (end, records, mut synced) = (run.end(), run.records(), Vec::new());
        for (record, accepted_ms) in run.into_records() {
            let appended = self.log.spool.append_moved(Queue::Parked(key), record, accepted_ms);
            // Nobody but this task takes it out of the table, so that it stays closed.
            synced.push((gate.enter_log(), appended));
        }
        let mut failure = None;
        for (pass, synced) in synced {
            // Behind one that failed others may lie there: they count.
            match elsewhere(synced).await {
                Ok(Ok(())) => pass.stay(),
                Ok(Err(error)) => failure = failure.or(Some(Trouble::Operator(error.to_string()))),
                Err(_) => failure = failure.or(Some(self.broken())),
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.taken = Some(Taken { queue: Queue::Main, end, dead: Vec::new(), records });
        self.consume().await
    }

    /// Tries what is parked, each database for itself, when it is time. One that is in trouble is the last the next time.
    pub async fn retry_parked(&mut self, backend: &Rc<Backend>, courier: &Courier) -> Result<(), Trouble> {
        let held = matches!(self.hold, Hold::Since(_));
        if held || self.log.parked.is_empty() || Instant::now() < self.parked_due {
            return Ok(());
        }
        let (before, behind): (Vec<u32>, Vec<u32>) =
            self.log.parked.keys().into_iter().partition(|key| *key <= self.parked_tried);
        let mut tried = Ok(());
        for key in behind.into_iter().chain(before) {
            let Some(parked) = self.log.parked.get(key) else { continue };
            self.parked_tried = key;
            tried = self.drain_parked(key, &parked, backend, courier).await;
            if tried.is_err() {
                parked.gate.close();
                break;
            }
        }
        // However long that took: the main log has its time too.
        self.parked_due = Instant::now() + PARKED_RETRY;
        tried
    }

    /// Sends what waits for one database, from its first on, for as long as it is taken; after the last of it its writes go
    /// directly.
    async fn drain_parked(
        &mut self,
        key: u32,
        parked: &ParkedDatabase,
        backend: &Rc<Backend>,
        courier: &Courier,
    ) -> Result<(), Trouble> {
        let queue = Queue::Parked(key);
        let (mut points, mut held) = (0, None::<Instant>);
        loop {
            if !self.is_current(backend) {
                parked.gate.close();
                return Ok(());
            }
            let chunk = self.pace.chunk(self.delivery().config.write.request_bytes_max.0);
            let entries = self.read(queue, chunk).await?;
            if entries.is_empty() {
                if self.finish(queue).await? && parked.gate.reopen() {
                    self.log.parked.remove(key);
                    tracing::info!(replica = %self.name, points, "the replica has taken what was parked");
                    self.recovered();
                    return Ok(());
                }
                let hold = hold_for(self.proven.map_or(Duration::ZERO, |(took, _)| took));
                match held {
                    Some(since) if since.elapsed() >= hold => {
                        parked.gate.close();
                        return Ok(());
                    }
                    Some(_) => sleep(DIRECT_POLL).await,
                    None => {
                        backend.target.stats.hold_ms.set(u64::try_from(hold.as_millis()).unwrap_or(u64::MAX));
                        parked.gate.hold();
                        held = Some(Instant::now());
                    }
                }
                continue;
            }
            let (began, bytes) = (Instant::now(), entries.iter().map(|entry| entry.bytes).sum::<u64>());
            for run in runs(entries, self.delivery().config.write.request_points_max.0) {
                match self.send(courier, &run, &parked.makes).await {
                    Ok(dead) => {
                        self.let_go(courier, queue, &run, dead).await?;
                        points += u64::from(run.points());
                    }
                    Err(Trouble::Lacks(reason)) if self.is_gone(&run).await => {
                        let reason = format!("{reason}; a statement has dropped it, and none has made it since");
                        self.let_go(courier, queue, &run, run.dead(reason)).await?;
                    }
                    // It was told when it was parked.
                    Err(Trouble::Lacks(_) | Trouble::Denied(_)) => {
                        parked.gate.close();
                        return Ok(());
                    }
                    Err(trouble) => return Err(trouble),
                }
            }
            let pause = self.pace.took(bytes, began.elapsed());
            if held.is_none() {
                sleep(pause).await;
            }
            yield_if_needed().await;
        }
    }

    /// Whether a statement dropped the database of these points and nobody has it any more. (Where it was made anew, the
    /// replica that took the points has it.)
    async fn is_gone(&self, run: &Run) -> bool {
        let Run::Points { key, makes_database: false, .. } = run else { return false };
        if !self.log.parked.is_dropped(&key.db) {
            return false;
        }
        let Some(backends) = self.replays.current.take() else { return false };
        let until = Instant::now() + self.delivery().config.write.timeout;
        nobody_has(&backends, &key.db, until).await
    }

    /// Tells the log that a database is parked.
    pub fn tell_parked(&self, db: &str, reason: &str) {
        if self.log.parked.is_dropped(db) {
            tracing::warn!(
                replica = %self.name, db, reason,
                "points that came when their database had been dropped are parked: until no replica has it, or it is made \
                 on this one"
            );
            return;
        }
        tracing::error!(
            replica = %self.name, db, reason,
            "points are parked: make the database or retention policy on the replica, or let its user write to it, or drop \
             them with `slotline spool drop --db`; other databases go on"
        );
    }
}
