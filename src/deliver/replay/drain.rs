//! The main log, to its end: then writes go to the replica directly again.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::backend::{Backend, Courier};
use crate::gate::parked_key;
use crate::net::sleep;
use crate::spool::{Queue, Record};

use super::super::keep::hold_for;
use super::super::refused::Trouble;
use super::run::{Run, runs};
use super::{DIRECT_POLL, Replay, Turn, WATCH};

/// How many times as long a gate is not held again after it was in vain.
const HOLD_REST: u32 = 10;
/// A replica that was slow is tried again directly after this time without a write.
const SLOW_FOR: Duration = Duration::from_secs(3);

/// A log with so much in it is far from its end.
const BACKLOG_BYTES: u64 = 32 << 20;

/// When the gate was held, and when it may be held again.
pub enum Hold {
    Not { again: Instant },
    Since(Instant),
}

impl Replay {
    /// Sends what is read next, and opens the gate if that was all.
    pub async fn drain(&mut self, backend: &Rc<Backend>, courier: &Courier) -> Result<Turn, Trouble> {
        let chunk = self.pace.chunk(self.delivery().config.write.request_bytes_max.0);
        let began = Instant::now();
        let entries = self.read(Queue::Main, chunk).await?;
        let read: u64 = entries.iter().map(|entry| entry.bytes).sum();
        // What was taken back was neither sent nor taken.
        let sent = entries.iter().filter(|entry| entry.record != Record::Void);
        let bytes: u64 = sent.map(|entry| entry.bytes).sum();
        for run in runs(entries, self.delivery().config.write.request_points_max.0) {
            if let Some(key) = self.waits_behind(&run) {
                self.park(key, run).await?;
                continue;
            }
            match self.send(courier, &run, &[]).await {
                Ok(dead) => self.let_go(courier, Queue::Main, &run, dead).await?,
                // Statements that are denied are about more than one database.
                Err(Trouble::Denied(reason)) if matches!(run, Run::Statement { .. }) => {
                    return Err(Trouble::Denied(reason));
                }
                Err(Trouble::Lacks(reason) | Trouble::Denied(reason)) => {
                    let (db, _) = run.target();
                    self.tell_parked(&db, &reason);
                    self.park(parked_key(&db), run).await?;
                }
                Err(trouble) => return Err(trouble),
            }
        }
        let held = matches!(self.hold, Hold::Since(_));
        if bytes > 0 {
            let worked = began.elapsed();
            let pause = self.pace.took(bytes, worked);
            let rate = bytes as f64 / (worked + pause).as_secs_f64();
            self.log.spool.stats().replay_rate.set(rate as u64);
            self.log.spool.stats().arriving.set(self.pace.arriving());
            self.recovered();
            // Writers that are held do not wait for the pace.
            if !held {
                sleep(pause).await;
            }
        }
        let left = self.log.spool.stats().main_bytes.get();
        if let Some((at, before)) = self.left.replace((Instant::now(), left)) {
            self.pace.came((left + read).saturating_sub(before), at.elapsed());
        }
        self.see_the_end(read, left, chunk as u64);
        if read == 0 && left > 0 && !held {
            // The fate of what is left is open.
            sleep(DIRECT_POLL).await;
            return Ok(Turn::Again);
        }
        // With the gate held the rest would be waited for: not while it is much.
        if left > chunk as u64 / 4 {
            self.release();
            return Ok(Turn::Again);
        }
        self.open(backend, read == 0 || held).await
    }

    /// Where replay has nearly reached the end, what peers are still asked for comes behind their answers, as it would else
    /// never reach it.
    fn see_the_end(&self, read: u64, left: u64, chunk: u64) {
        let ends = &self.log.spool.stats().ends;
        if read < chunk / 2 {
            ends.set(1);
        } else if left > BACKLOG_BYTES {
            ends.set(0);
        }
    }

    /// Little is left, or nothing, if `may_be_empty`: opens the gate, unless more came meanwhile.
    async fn open(&mut self, backend: &Rc<Backend>, may_be_empty: bool) -> Result<Turn, Trouble> {
        if self.proven.is_none() {
            // Nothing was sent: whether it lives is still to be seen.
            self.ask(backend).await?;
        }
        let spool_after = self.delivery().config.write.spool_after;
        let slow = self.proven.is_some_and(|(took, at)| took >= spool_after && at.elapsed() < SLOW_FOR);
        if !slow && may_be_empty && self.finish(Queue::Main).await? && self.log.gate.reopen() {
            tracing::info!(
                replica = %self.name, points = self.points, seconds = self.began.elapsed().as_secs_f64(),
                "writes go to the replica directly again"
            );
            self.recovered();
            self.log.spool.stats().replay_rate.set(0);
            self.log.spool.stats().ends.set(0);
            self.hold = Hold::Not { again: Instant::now() };
            return Ok(if self.log.parked.is_empty() { Turn::Open } else { Turn::Again });
        }
        match self.hold {
            Hold::Since(at) if at.elapsed() >= Duration::from_millis(backend.target.stats.hold_ms.get()) => {
                self.release()
            }
            Hold::Not { again } if again <= Instant::now() && !slow => {
                let hold = hold_for(self.proven.map_or(Duration::ZERO, |(took, _)| took));
                backend.target.stats.hold_ms.set(u64::try_from(hold.as_millis()).unwrap_or(u64::MAX));
                self.log.gate.hold();
                self.hold = Hold::Since(Instant::now());
                // Who has entered the log before is read at once.
                return Ok(Turn::Again);
            }
            _ => {}
        }
        // A slow one stays so until a write to it, out of the log, was fast.
        sleep(if slow { WATCH } else { DIRECT_POLL }).await;
        Ok(Turn::Again)
    }

    /// New writes go into the log again.
    pub fn release(&mut self) {
        if let Hold::Since(_) = self.hold {
            self.log.gate.close();
            let rest = hold_for(self.proven.map_or(Duration::ZERO, |(took, _)| took)) * HOLD_REST;
            self.hold = Hold::Not { again: Instant::now() + rest };
        }
    }
}
