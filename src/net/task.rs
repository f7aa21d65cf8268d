//! Detached tasks that cannot end a shard: a panic is caught, counted and logged.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_lite::FutureExt;
use glommio::TaskQueueHandle;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Runs a future on this shard's queue to its end.
pub fn spawn(name: &'static str, queue: TaskQueueHandle, future: impl Future<Output = ()> + 'static) {
    let guarded = async move {
        if AssertUnwindSafe(future).catch_unwind().await.is_err() {
            PANICS.fetch_add(1, Ordering::Relaxed);
            tracing::error!(task = name, "a task panicked; the shard goes on");
        }
    };
    match glommio::spawn_local_into(guarded, queue) {
        Ok(task) => drop(task.detach()),
        // The queue was made by this very executor.
        Err(error) => tracing::error!(task = name, %error, "a task could not be started"),
    }
}

/// How many tasks have panicked in this process.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}
