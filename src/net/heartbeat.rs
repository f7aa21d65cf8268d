//! Keeps parked executors from sleeping for ever.
//!
//! glommio 0.9 parks an executor although tasks are ready to run when its preemption timer has fired before it ran the
//! first of them: the thread was descheduled for that long, as happens on a busy machine. With nothing else to wake it
//! it never runs again (seen at about one start in 200 under load). A signal makes the wait in io_uring_enter(2) return;
//! the executor then looks at its tasks and timers again.

use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

#[cfg(test)]
use super::{PREEMPT_TIMER, prepare};

/// How long a shard can have slept by mistake.
const INTERVAL: Duration = Duration::from_millis(100);
/// Ignored unless handled, and used by nobody else here.
const SIGNAL: libc::c_int = libc::SIGURG;

/// Signals threads every so often until it is dropped; the threads must not be joined before.
pub struct Heartbeat {
    stop: Arc<AtomicBool>,
    beating: Option<JoinHandle<()>>,
}

extern "C" fn only_interrupt(_: libc::c_int) {}

impl Heartbeat {
    pub fn start(threads: &[JoinHandle<()>]) -> std::io::Result<Heartbeat> {
        // SAFETY: a sigaction of zeros is one without flags (no SA_RESTART) and with an empty mask; the handler does
        // nothing, which every context allows.
        let handled = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = only_interrupt as *const () as usize;
            libc::sigaction(SIGNAL, &action, std::ptr::null_mut())
        };
        if handled != 0 {
            return Err(std::io::Error::last_os_error());
        }
        let threads: Vec<libc::pthread_t> = threads.iter().map(JoinHandleExt::as_pthread_t).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let beating = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for thread in &threads {
                    // SAFETY: the thread was not joined, so that its id is valid even if it has ended.
                    unsafe { libc::pthread_kill(*thread, SIGNAL) };
                }
                std::thread::sleep(INTERVAL);
            }
        })?;
        Ok(Heartbeat { stop, beating: Some(beating) })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(beating) = self.beating.take() {
            // It does not panic.
            let _ = beating.join();
        }
    }
}

/// Runs a test on an executor of its own, like a shard's, to its end.
#[cfg(test)]
pub fn on_a_shard<T: Send + 'static, F: Future<Output = T>>(test: impl FnOnce() -> F + Send + 'static) -> T {
    until_ended(test).0
}

/// The same, and when the executor had ended.
#[cfg(test)]
pub fn until_ended<T: Send + 'static, F: Future<Output = T>>(
    test: impl FnOnce() -> F + Send + 'static,
) -> (T, std::time::Instant) {
    let (teller, told) = std::sync::mpsc::channel();
    let threads = [std::thread::spawn(move || {
        let executor =
            glommio::LocalExecutorBuilder::default().preempt_timer(PREEMPT_TIMER).make().expect("an executor");
        let told = executor.run(async {
            let _waits = prepare().expect("an epoll");
            test().await
        });
        let _ = teller.send((told, std::time::Instant::now()));
    })];
    let heartbeat = Heartbeat::start(&threads).expect("a thread");
    let told = told.recv();
    drop(heartbeat);
    for thread in threads {
        thread.join().expect("it did not panic");
    }
    told.expect("it has ended")
}
