//! Work that takes long on a thread beside the shard's, so that the shard goes on. Used wherever much is evaluated, sorted or
//! printed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::merge::given_up;
use crate::net::{elsewhere, guarded, yield_to_others};

use super::statement::BROKE_OFF;
use super::{Queries, Refusal, fails, refuse};

/// What takes less than the way to another thread and back is done at once.
const SMALL_BYTES: usize = 256 << 10;

/// Does work over so many bytes, about.
pub async fn beside<T: Send + 'static>(
    queries: &Queries,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    if bytes <= SMALL_BYTES { Ok(work()) } else { on_a_thread(queries, work).await }
}

/// Does work of whatever length; dropped, the work is given up. So it is when what is made takes more than twice
/// `query.answer_bytes_max`: once for the answer, once for what it is made of.
pub async fn on_a_thread<T: Send + 'static>(
    queries: &Queries,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let bytes_max = queries.config.query.answer_bytes_max.0.saturating_mul(2);
    made(bytes_max, work).await.map_err(|unmade| match unmade {
        Unmade::BrokeOff => refuse(500, BROKE_OFF),
        Unmade::TooMuch => {
            queries.stats.queries_limited_bytes.add(1);
            fails(format!(
                "to make the answer takes more than {bytes_max} bytes (twice query.answer_bytes_max); ask for less time, \
                 longer intervals or fewer series"
            ))
        }
    })
}

/// Why nothing was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unmade {
    TooMuch,
    BrokeOff,
}

/// Set when whoever waits for work is dropped.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A core that a shard wants too is the shard's.
async fn made<T: Send + 'static>(bytes_max: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Unmade> {
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
            let made = given_up::unless(flag, bytes_max, work);
            *to.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        });
    });
    elsewhere(ended).await;
    let made = done.lock().unwrap_or_else(PoisonError::into_inner).take();
    made.ok_or(Unmade::BrokeOff)?.map_err(|given_up::TooMuch| Unmade::TooMuch)
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
            let work = made(usize::MAX, move || {
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
    fn a_panic_of_work_breaks_only_that_off() {
        on_a_shard(|| async {
            assert_eq!(made(usize::MAX, || 7).await, Ok(7));
            assert_eq!(made(usize::MAX, || -> u8 { panic!("on purpose") }).await, Err(Unmade::BrokeOff));
            assert_eq!(made(usize::MAX, || 8).await, Ok(8));
        });
    }
}
