//! Points out of a log to their replica, and what it will never take found out, down to single lines.
//!
//! Whoever wrote these points is long gone. A refusal that is about all lines of a request is believed; any other halves
//! it, and each half is sent again, in order: good lines are stored twice, which is as once.

use crate::backend::{Courier, WriteKey};
use crate::batch::{Batch, ReplicaAnswer, is_refused_whole, lacks_target, passes_again, refused_points};
use crate::net::yield_if_needed;

/// Lines that InfluxDB will never take, and its reason.
pub struct Dead {
    pub lines: Vec<u8>,
    pub points: u32,
    pub reason: String,
}

/// Why a replica does not take what its log holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may take it later by itself.
    Away(String),
    /// Somebody must give us the right, or make room for dead letters; it concerns all that waits.
    Operator(String),
    /// It does not let us write to the database, or run the statement; everything for others can go on.
    Denied(String),
    /// It lacks the database or retention policy; everything for others can go on.
    Lacks(String),
}

/// Longer reasons are cut.
const REASON_CHARS_MAX: usize = 1000;

/// Sends a batch; the lines that were refused for good.
pub async fn send(courier: &Courier, key: &WriteKey, batch: Batch) -> Result<Vec<Dead>, Trouble> {
    let mut dead = Vec::new();
    // What is to be sent, and whether for the first time.
    let mut unsent = vec![(batch, true)];
    while let Some((part, first)) = unsent.pop() {
        let (status, answer) = courier.write(key, || part.pieces.clone()).await;
        match answer {
            ReplicaAnswer::Stored | ReplicaAnswer::Spooled => {}
            ReplicaAnswer::Failed(reason) => return Err(away(status, reason)),
            answer if lacks_target(&answer) => {
                let ReplicaAnswer::Refused { error, .. } = answer else { continue };
                return Err(Trouble::Lacks(error));
            }
            ReplicaAnswer::Refused { status, error } => {
                let answer = ReplicaAnswer::Refused { status, error: error.clone() };
                let all = !is_refused_whole(&answer) && refused_points(&part, status, &error) >= u64::from(part.points);
                if first && part.points <= 1 && passes_again(&answer) {
                    unsent.push((part, false));
                } else if all || part.points <= 1 {
                    let reason = error.chars().take(REASON_CHARS_MAX).collect();
                    dead.push(Dead { lines: part.joined(), points: part.points, reason });
                } else {
                    unsent.extend(part.halves().into_iter().rev().map(|half| (half, true)));
                }
            }
        }
        yield_if_needed().await;
    }
    Ok(dead)
}

/// What a failure is by its status; 0: there was none.
pub fn away(status: u16, reason: String) -> Trouble {
    match status {
        401 => Trouble::Operator(reason),
        403 => Trouble::Denied(reason),
        _ => Trouble::Away(reason),
    }
}
