//! Batches and statements to replicas: what a client is told of storing, and what waits for replicas that do not answer.
//!
//! `write` is the story of a request's batches, `statement` that of a writing statement. Both are acknowledged when every
//! replica of every group concerned has taken them: InfluxDB said so, or they lie, synced, in the replica's log (`spool`).
//! Whether a batch goes to a replica or into its log is the replica's `gate`'s to say, one for all cores (`way`). `replay` takes
//! what lies in the logs to the replicas, in order, and `refused` finds the lines that InfluxDB will never take.
//!
//! Called by `ingest` (writes; `send` and `create_database` for what comes without a request) and `query` (`execute`);
//! works through `backend` and `spool`, which do not know each other.

mod database;
mod keep;
mod logs;
mod pace;
mod refused;
mod replay;
mod statement;
mod way;
mod write;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use glommio::TaskQueueHandle;

use crate::config::Config;
use crate::databases::LastSeen;
use crate::net::spawn;
use crate::stats::ShardStats;

pub use logs::{Logs, ReplicaLog};
pub use replay::{Replays, Rest};
pub use statement::{Executed, Execution};
pub use write::{Consistency, GroupAnswer, Write, count};

/// What delivery needs of its shard.
pub struct Delivery {
    pub config: Arc<Config>,
    pub stats: Arc<ShardStats>,
    pub logs: Arc<Logs>,
    /// Told what answers say of databases, and asked when nobody answers.
    pub last_seen: Arc<LastSeen>,
    /// Of writes.
    pub queue: TaskQueueHandle,
    /// Requests on their way, whether their clients wait or not.
    pub on_their_way: Rc<Cell<usize>>,
}

impl Delivery {
    /// Something that comes to its end though nobody should wait for it any more.
    fn to_its_end<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> ToItsEnd<T> {
        let counted = OnItsWay::new(&self.on_their_way);
        let future = async move {
            let _counted = counted;
            future.await
        };
        ToItsEnd { future: Some(Box::pin(future)), queue: self.queue }
    }
}

/// Runs where it is awaited; dropped before its end, it goes on in a task of its own.
struct ToItsEnd<T: 'static> {
    future: Option<Pin<Box<dyn Future<Output = T>>>>,
    queue: TaskQueueHandle,
}

impl<T> Future for ToItsEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        let done = ready!(future.as_mut().poll(context));
        self.future = None;
        Poll::Ready(done)
    }
}

impl<T> Drop for ToItsEnd<T> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            spawn("request of a client that has left", self.queue, async move { drop(future.await) });
        }
    }
}

/// Counts a request until it is dropped.
struct OnItsWay(Rc<Cell<usize>>);

impl OnItsWay {
    fn new(count: &Rc<Cell<usize>>) -> OnItsWay {
        count.set(count.get() + 1);
        OnItsWay(count.clone())
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Milliseconds since 1970.
fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
