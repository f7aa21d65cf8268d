//! How long a query keeps its shard from everybody else: each turn of its task is timed (`slotline_query_turn_seconds`).
//!
//! What is put together here runs in the task queue of queries, so that ingest keeps its share of the core (`in_own_queue`);
//! what one group answers needs so little that it stays with its client's connection. Whatever takes long has to pause
//! (`yield_if_needed`), or goes to another thread (`beside`). Used by `shard` and by whoever gives a query a task of its own.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Instant;

use futures_lite::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::{Queries, Refusal, refuse};

/// What a query answers that panicked.
pub const PANICKED: &str = "internal error: the query panicked; see slotline's log";

/// Runs a task in the queue of queries, as long as this is waited for.
pub async fn in_own_queue<T: 'static>(
    queries: &Rc<Queries>,
    task: LocalBoxFuture<'static, Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let guarded = AssertUnwindSafe(timed(queries.clone(), task)).catch_unwind();
    let ended = match glommio::spawn_local_into(async { guarded.await.ok() }, queries.queue) {
        Ok(task) => task.await,
        Err(_) => None,
    };
    ended.unwrap_or_else(|| Err(refuse(500, PANICKED)))
}

/// Times the turns of a task.
pub async fn timed<T>(queries: Rc<Queries>, mut task: LocalBoxFuture<'_, T>) -> T {
    poll_fn(|context| {
        let began = Instant::now();
        let polled = task.as_mut().poll(context);
        queries.turns.record(began.elapsed());
        polled
    })
    .await
}
