//! Batches and statements to replicas, and their answers back: what a client is told of storing.
//!
//! A write is acknowledged when every replica of every group that its points belong to has stored them. Called by
//! `ingest` (`write`) and `query` (`execute`); works through `backend`.

mod statement;

use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_channel::oneshot;

use crate::backend::{Backends, Item, WriteKey};
use crate::batch::{Batch, Batches, ClientAnswer, ReplicaAnswer, merge, merge_replicas, refused_points};
use crate::net::deadline;
use crate::stats::ShardStats;

pub use statement::{Executed, Execution, execute};

/// Sends the batches of one request to all replicas of their groups at once, and waits until each has answered or
/// `timeout` is over. `source` is the connection that they came from.
pub async fn write(
    backends: &Backends,
    stats: &ShardStats,
    key: WriteKey,
    batches: Rc<Batches>,
    source: u64,
    timeout: Duration,
) -> ClientAnswer {
    let mut awaited: Vec<Vec<(String, oneshot::Receiver<ReplicaAnswer>)>> = Vec::with_capacity(batches.list.len());
    for (index, batch) in batches.list.iter().enumerate() {
        let replicas = backends.group(batch.group).iter().map(|backend| {
            let (reply, answer) = oneshot::channel();
            backend.submit(Item { key: key.clone(), batches: batches.clone(), index, source, reply });
            (backend.target.name.clone(), answer)
        });
        awaited.push(replicas.collect());
    }
    let until = Instant::now() + timeout;
    let mut answers = Vec::with_capacity(awaited.len());
    for (batch, replicas) in batches.list.iter().zip(awaited) {
        let mut named = Vec::with_capacity(replicas.len());
        for (name, answer) in replicas {
            let answer = match deadline(until, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => ReplicaAnswer::Failed(format!("replica {name}: its lane broke off")),
                Err(_) => {
                    let reason = format!("replica {name} did not answer within {timeout:?} (write.timeout)");
                    ReplicaAnswer::Failed(reason)
                }
            };
            named.push((name, answer));
        }
        let (answer, divergent) = merge_replicas(&named);
        if divergent {
            stats.divergences.add(1);
            tracing::warn!(db = %key.db, answers = ?named, "replicas of a group disagree about a write");
        }
        count(stats, batch, &answer);
        answers.push(answer);
    }
    merge(&batches, &answers)
}

fn count(stats: &ShardStats, batch: &Batch, answer: &ReplicaAnswer) {
    match answer {
        ReplicaAnswer::Stored => {}
        ReplicaAnswer::Refused { status, error } => stats.points_refused.add(refused_points(batch, *status, error)),
        ReplicaAnswer::Failed(_) => stats.points_unavailable.add(u64::from(batch.points)),
    }
}
