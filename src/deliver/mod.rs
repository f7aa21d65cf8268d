//! Batches and statements to replicas, and their answers back: what a client is told of storing.
//!
//! A write is acknowledged when every replica of every group that its points belong to has stored them. Called by
//! `ingest` (`write`; `send` and `create_database` for what comes without a request) and `query` (`execute`); works
//! through `backend`.

mod database;
mod statement;

use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_channel::oneshot;

use crate::backend::{Backends, Item, WriteKey};
use crate::batch::{Batch, Batches, ClientAnswer, ReplicaAnswer, merge, merge_replicas, refused_points};
use crate::databases::LastSeen;
use crate::net::deadline;
use crate::stats::ShardStats;

pub use database::create_database;
pub use statement::{Executed, Execution, execute};

/// The story of a request's batches: `send`, then what the client is told.
pub async fn write(
    backends: &Backends,
    stats: &ShardStats,
    last_seen: &LastSeen,
    key: WriteKey,
    batches: Rc<Batches>,
    source: u64,
    timeout: Duration,
) -> ClientAnswer {
    let answers = send(backends, stats, key.clone(), &batches, source, timeout).await;
    for (batch, answer) in batches.list.iter().zip(&answers) {
        count(stats, batch, answer);
        learn(last_seen, &key, batch, answer);
    }
    merge(&batches, &answers)
}

/// Sends batches to all replicas of their groups at once, and waits until each has answered or `timeout` is over: the
/// answer of each batch's group. `source` is the connection that they came from.
pub async fn send(
    backends: &Backends,
    stats: &ShardStats,
    key: WriteKey,
    batches: &Rc<Batches>,
    source: u64,
    timeout: Duration,
) -> Vec<ReplicaAnswer> {
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
    for replicas in awaited {
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
        answers.push(answer);
    }
    answers
}

/// Keeps in mind what InfluxDB's own answer to a batch says of its database and policy.
pub fn learn(last_seen: &LastSeen, key: &WriteKey, batch: &Batch, answer: &ReplicaAnswer) {
    match answer {
        // Without points not every version looks at the policy.
        ReplicaAnswer::Stored if batch.points == 0 => last_seen.seen(&key.db, ""),
        ReplicaAnswer::Stored => last_seen.seen(&key.db, &key.rp),
        ReplicaAnswer::Refused { status: 404, error } if error.contains("database not found") => {
            last_seen.gone(&key.db);
        }
        ReplicaAnswer::Refused { status: 500, error } if error.contains("retention policy not found") => {
            last_seen.gone_policy(&key.db, &key.rp);
        }
        _ => {}
    }
}

/// Counts the points of a batch that were not stored.
pub fn count(stats: &ShardStats, batch: &Batch, answer: &ReplicaAnswer) {
    match answer {
        ReplicaAnswer::Stored => {}
        ReplicaAnswer::Refused { status, error } => stats.points_refused.add(refused_points(batch, *status, error)),
        ReplicaAnswer::Failed(_) => stats.points_unavailable.add(u64::from(batch.points)),
    }
}
