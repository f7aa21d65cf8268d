//! Work that takes long on a thread beside the shard's, so that the shard goes on. Used wherever much is evaluated, sorted or
//! printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::merge::given_up;
use crate::net::{elsewhere, guarded, yield_to_others};

use super::statement::BROKE_OFF;
use super::{Refusal, refuse};

/// What takes less than the way to another thread and back is done at once.
const SMALL_BYTES: usize = 256 << 10;

/// Does work over so many bytes, about.
pub async fn beside<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    if bytes <= SMALL_BYTES { Ok(work()) } else { on_a_thread(work).await }
}

/// Set when whoever waits for work is dropped.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does work of whatever length; dropped, the work is given up. A core that a shard wants too is the shard's.
pub async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let waits = Waits(Arc::default());
    let flag = waits.0.clone();
    let done = glommio::executor().spawn_blocking(move || {
        let mut done = None;
        yield_to_others();
        // A panic there would never come back, and the thread with it.
        guarded("work beside a shard", || done = Some(given_up::unless(flag, work)));
        done
    });
    elsewhere(done).await.ok_or_else(|| refuse(500, BROKE_OFF))
}
