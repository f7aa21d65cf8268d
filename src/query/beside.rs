//! Work that takes long on a thread beside the shard's, so that the shard goes on. Used wherever much is evaluated, sorted or
//! printed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
    // What the thread returned to glommio would never be dropped if nobody waited for it any more.
    let (flag, done) = (waits.0.clone(), Arc::new(Mutex::new(None)));
    let to = done.clone();
    let ended = glommio::executor().spawn_blocking(move || {
        if flag.load(Ordering::Relaxed) {
            return;
        }
        yield_to_others();
        // A panic there would never come back, and the thread with it.
        guarded("work beside a shard", || {
            let made = given_up::unless(flag, work);
            *to.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        });
    });
    elsewhere(ended).await;
    let made = done.lock().unwrap_or_else(PoisonError::into_inner).take();
    made.ok_or_else(|| refuse(500, BROKE_OFF))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::{on_a_shard, sleep};

    /// Tells when it is dropped.
    struct Told(Arc<AtomicBool>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_made_for_nobody_is_dropped() {
        on_a_shard(|| async {
            let (began, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let (begins, told) = (began.clone(), Told(dropped.clone()));
            let work = on_a_thread(move || {
                begins.store(true, Ordering::Relaxed);
                while !given_up::is_given_up() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                told
            });
            let left = async {
                while !began.load(Ordering::Relaxed) {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            let both = futures_lite::future::or(async { work.await.is_ok() }, async {
                left.await;
                false
            });
            assert!(!both.await, "it ends when it is left alone");
            for _ in 0..2000 {
                if dropped.load(Ordering::Relaxed) {
                    return;
                }
                sleep(Duration::from_millis(1)).await;
            }
            panic!("what was made is still there");
        });
    }

    #[test]
    fn a_panic_of_work_is_a_refusal() {
        on_a_shard(|| async {
            assert_eq!(on_a_thread(|| 7).await.ok(), Some(7));
            assert!(on_a_thread(|| -> u8 { panic!("on purpose") }).await.is_err());
            assert_eq!(on_a_thread(|| 8).await.ok(), Some(8));
        });
    }
}
