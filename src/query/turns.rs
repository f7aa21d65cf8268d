//! How long a query keeps its shard from everybody else: each turn of its task is timed (`slotline_query_turn_seconds`).
//!
//! Whatever takes long has to pause (`glommio::yield_if_needed`), or goes to another thread (`beside`). Used by `shard` and by
//! whoever gives a query a task of its own.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use super::Queries;

/// Times the turns of a task.
pub async fn timed<T>(queries: Rc<Queries>, task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    poll_fn(|context| {
        let began = Instant::now();
        let polled = task.as_mut().poll(context);
        queries.turns.record(began.elapsed());
        polled
    })
    .await
}
