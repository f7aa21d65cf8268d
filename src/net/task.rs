//! Tasks that cannot end a shard: a panic is caught, counted and logged. Futures that lie apart from those who await them.

use std::future::Future;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_lite::FutureExt as _;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use glommio::{Task, TaskQueueHandle};

use super::yield_if_needed;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// So much less the kernel gives to a thread beside a shard's: about a tenth of the core, while the shard wants it.
const NICE: libc::c_int = 10;

/// A future that lies apart from whoever awaits it: that one is so much smaller, and so is its share of the stack whether it
/// comes to this one or not.
#[inline(never)]
pub fn apart<'a, F: Future + 'a>(make: impl FnOnce() -> F) -> LocalBoxFuture<'a, F::Output> {
    let future: Box<F> = Box::write(Box::new_uninit(), make());
    Box::into_pin(future)
}

/// Runs a future on this shard's queue to its end.
pub fn spawn(name: &'static str, queue: TaskQueueHandle, future: impl Future<Output = ()> + 'static) {
    if let Some(task) = spawn_kept(name, queue, future) {
        drop(task.detach());
    }
}

/// The same, as long as the task is kept: dropped, it stops where it is. `None`: it could not be started, which was told.
pub fn spawn_kept(
    name: &'static str,
    queue: TaskQueueHandle,
    future: impl Future<Output = ()> + 'static,
) -> Option<Task<()>> {
    // In an async block it would be held twice.
    let guarded = AssertUnwindSafe(future).catch_unwind().map(move |ended| {
        if ended.is_err() {
            PANICS.fetch_add(1, Ordering::Relaxed);
            tracing::error!(task = name, "a task panicked; the shard goes on");
        }
    });
    let started = glommio::spawn_local_into(guarded, queue);
    // The queue was made by this very executor.
    started.inspect_err(|error| tracing::error!(task = name, %error, "a task could not be started")).ok()
}

/// Runs a step over and over, until one breaks the loop; after a panic it goes on with the next.
pub fn spawn_loop<F: Future<Output = ControlFlow<()>> + 'static>(
    name: &'static str,
    queue: TaskQueueHandle,
    mut step: impl FnMut() -> F + 'static,
) {
    spawn(name, queue, async move {
        loop {
            match AssertUnwindSafe(step()).catch_unwind().await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return,
                Err(_) => {
                    PANICS.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(task = name, "a task panicked; it goes on");
                    // A panic at every step must not take the core; and it may be who looks after the timers that panicked.
                    glommio::timer::sleep(Duration::from_millis(10)).await;
                }
            }
            yield_if_needed().await;
        }
    });
}

/// Runs a step of a task that must not end with it.
pub fn guarded(name: &'static str, step: impl FnOnce()) {
    if std::panic::catch_unwind(AssertUnwindSafe(step)).is_err() {
        PANICS.fetch_add(1, Ordering::Relaxed);
        tracing::error!(task = name, "a step panicked; its task goes on");
    }
}

/// From now on this thread runs when shards leave a core to it.
pub fn yield_to_others() {
    // SAFETY: no pointers; on Linux 0 is the calling thread, whose niceness anybody may raise. Where it fails the thread goes on
    // as it was.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

/// How many tasks have panicked in this process.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::net::{on_a_shard, sleep};

    #[test]
    fn a_panic_ends_neither_the_loop_nor_the_shard() {
        let steps = on_a_shard(|| async {
            let queue = glommio::executor().current_task_queue();
            let steps = Rc::new(Cell::new(0));
            let counted = steps.clone();
            spawn("panics at once", queue, async { panic!("on purpose") });
            spawn_loop("panics at every other step", queue, move || {
                let steps = counted.clone();
                async move {
                    steps.set(steps.get() + 1);
                    assert!(steps.get() % 2 == 0 || steps.get() == 7, "on purpose");
                    sleep(Duration::from_millis(1)).await;
                    if steps.get() == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                }
            });
            while steps.get() < 7 {
                sleep(Duration::from_millis(1)).await;
            }
            sleep(Duration::from_millis(30)).await;
            steps.get()
        });
        assert_eq!(steps, 7, "the loop goes on until it is broken");
        assert!(panics() >= 4);
    }
}
