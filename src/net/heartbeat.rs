//! Keeps parked executors from sleeping for ever.
//!
//! glommio 0.9 parks an executor although tasks are ready to run when its preemption timer has fired before it ran the
//! first of them: the thread was descheduled for that long, as happens on a busy machine. With nothing else to wake it
//! it never runs again (seen at about one start in 200 under load). A signal makes the wait in io_uring_enter(2) return;
//! the executor then looks at its tasks and timers again. One that has run since the last look is left alone.

use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

#[cfg(test)]
use super::{PREEMPT_TIMER, prepare};

/// A shard can have slept by mistake for twice as long. Each look wakes a thread, and a shard that has had nothing to do.
const INTERVAL: Duration = Duration::from_millis(500);
/// Ignored unless handled, and used by nobody else here.
const SIGNAL: libc::c_int = libc::SIGURG;

/// Signals threads that have not run for a while, until it is dropped; the threads must not be joined before.
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
        let mut watched: Vec<Watched> = threads.iter().map(Watched::new).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let beating = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                watched.iter_mut().for_each(Watched::wake_unless_it_runs);
                std::thread::sleep(INTERVAL);
            }
        })?;
        Ok(Heartbeat { stop, beating: Some(beating) })
    }
}

/// A thread that was not joined: its id is valid even if it has ended.
struct Watched {
    thread: libc::pthread_t,
    /// The CPU time that it had taken at the last look.
    taken: Option<(libc::time_t, libc::c_long)>,
}

impl Watched {
    fn new(thread: &JoinHandle<()>) -> Watched {
        Watched { thread: thread.as_pthread_t(), taken: None }
    }

    /// Whether it has run since the last look, by which the kernel counts what it takes.
    fn has_run(&mut self) -> bool {
        // SAFETY: the calls write what they are given room for; a timespec may be all zeros.
        let taken = unsafe {
            let (mut clock, mut time) = (0, std::mem::zeroed::<libc::timespec>());
            let read = libc::pthread_getcpuclockid(self.thread, &raw mut clock) == 0
                && libc::clock_gettime(clock, &raw mut time) == 0;
            read.then_some((time.tv_sec, time.tv_nsec))
        };
        std::mem::replace(&mut self.taken, taken) != taken
    }

    fn wake_unless_it_runs(&mut self) {
        if !self.has_run() {
            // SAFETY: the id is valid; what the signal does is nothing.
            unsafe { libc::pthread_kill(self.thread, SIGNAL) };
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_not_run_is_woken() {
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let (done, told) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            for () in gone {
                let until = std::time::Instant::now() + Duration::from_millis(5);
                while std::time::Instant::now() < until {}
                done.send(()).expect("it listens");
            }
        });
        let mut watched = Watched::new(&thread);
        for _ in 0..3 {
            go.send(()).expect("it listens");
            told.recv().expect("it answers");
            assert!(watched.has_run());
            // Until it waits again.
            while watched.has_run() {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(!watched.has_run());
        }
        drop(go);
        thread.join().expect("it does not panic");
    }
}
