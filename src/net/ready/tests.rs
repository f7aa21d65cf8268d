//! On a shard of its own, beside threads that write and ring.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream as StdTcpStream};
use std::thread;

use futures_channel::oneshot;

use super::*;
use crate::net::{deadline, on_a_shard, sleep, until_ended};

struct End(Watched, StdTcpStream);

/// On an executor: one end for it, one for another thread.
fn pair() -> (End, StdTcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let other = StdTcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let (own, _) = listener.accept().expect("it has connected");
    own.set_nonblocking(true).expect("it is a socket");
    other.set_nodelay(true).expect("it is a socket");
    (End(Watched::new(own.as_raw_fd()).expect("an epoll"), own), other)
}

impl End {
    async fn read(&self) -> Vec<u8> {
        let mut bytes = [0; 64];
        let read = poll_fn(|context| self.0.poll_read(context, bytes.len(), || (&self.1).read(&mut bytes)));
        let read = deadline(Instant::now() + Duration::from_secs(10), read).await.expect("it comes in time");
        bytes[..read.expect("it is open")].to_vec()
    }

    async fn write(&self, bytes: &[u8]) -> usize {
        let written = poll_fn(|context| self.0.poll_write(context, || (&self.1).write(bytes)));
        let written = deadline(Instant::now() + Duration::from_secs(10), written).await;
        written.expect("it goes in time").expect("it is open")
    }
}

#[test]
fn what_comes_is_read_whether_the_shard_lingers_or_sleeps() {
    on_a_shard(|| async {
        let (own, mut other) = pair();
        let (go, gone) = std::sync::mpsc::channel::<Duration>();
        let sending = thread::spawn(move || {
            for pause in gone {
                thread::sleep(pause);
                other.write_all(b"it").expect("it is open");
            }
            other.write_all(b"last").expect("it is open");
        });
        for pause_us in [0, 100, 1_000, 3_000, 5_000, 50_000, 0] {
            go.send(Duration::from_micros(pause_us)).expect("it listens");
            assert_eq!(own.read().await, b"it", "after {pause_us} us");
        }
        drop(go);
        // The end has come with it, or behind it.
        sending.join().expect("it does not panic");
        assert_eq!(own.read().await, b"last");
        assert_eq!(own.read().await, b"");
    });
}

#[test]
fn what_is_sent_behind_urgent_data_is_read() {
    on_a_shard(|| async {
        let (own, mut other) = pair();
        other.write_all(b"before").expect("it is open");
        socket2::SockRef::from(&other).send_out_of_band(b"!").expect("it is open");
        other.write_all(b"behind").expect("it is open");
        // No event comes after this one.
        own.0.readiness.take(Duration::ZERO);
        assert_eq!(own.read().await, b"before");
        assert_eq!(own.read().await, b"behind");
    });
}

#[test]
fn who_cannot_write_hears_when_there_is_room() {
    on_a_shard(|| async {
        let (own, mut other) = pair();
        let block = [7; 64 * 1024];
        let mut written = 0;
        while let Ok(more) = (&own.1).write(&block) {
            written += more;
        }
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            other.read_to_end(&mut all).expect("it is open");
            all.len()
        });
        written += own.write(&block).await;
        own.1.shutdown(Shutdown::Write).expect("it is open");
        assert_eq!(reading.join().expect("it does not panic"), written);
    });
}

#[test]
fn room_to_write_is_told_only_while_somebody_waits_for_it() {
    on_a_shard(|| async {
        let (own, mut other) = pair();
        assert!(!own.0.readiness.take(Duration::ZERO), "there is room from the first");
        let block = [7; 64 * 1024];
        while (&own.1).write(&block).is_ok() {}
        let reading = thread::spawn(move || {
            let mut block = [0; 64 * 1024];
            while other.read(&mut block).is_ok_and(|read| read > 0) {}
        });
        own.write(&block).await;
        own.0.readiness.take(Duration::ZERO);
        assert_eq!(own.write(b"it").await, 2);
        assert!(!own.0.readiness.take(Duration::from_millis(5)), "more room comes, and nobody waits for it");
        own.1.shutdown(Shutdown::Write).expect("it is open");
        reading.join().expect("it does not panic");
    });
}

/// Each time something has just come over a stream, and nothing more does.
#[test]
fn a_timer_that_is_due_soon_does_not_wait_for_streams() {
    on_a_shard(|| async {
        let (own, mut other) = pair();
        let mut late = Vec::new();
        for _ in 0..20 {
            other.write_all(b"it").expect("it is open");
            assert_eq!(own.read().await, b"it");
            // Until the slices are long.
            sleep(4 * SLICE).await;
            let began = Instant::now();
            sleep(SLICE).await;
            late.push(began.elapsed() - SLICE);
        }
        late.sort_unstable();
        assert!(late[10] < 2 * SLICE, "{late:?}");
    });
}

/// Work that pauses where it should, begun while the shard waits in long slices.
#[test]
fn a_busy_shard_hears_what_happens() {
    on_a_shard(|| async {
        let (own, mut other) = pair();
        let (mut late, mut unheard) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            other.write_all(b"it").expect("it is open");
            assert_eq!(own.read().await, b"it");
            sleep(SLICE_LONG / 2).await;
            let working = glommio::spawn_local(async {
                let until = Instant::now() + 10 * SLICE;
                while Instant::now() < until {
                    std::hint::spin_loop();
                    yield_if_needed().await;
                }
            });
            let began = Instant::now();
            sleep(SLICE).await;
            late.push(began.elapsed() - SLICE);
            let began = Instant::now();
            other.write_all(b"it").expect("it is open");
            assert_eq!(own.read().await, b"it");
            unheard.push(began.elapsed());
            working.await;
        }
        late.sort_unstable();
        unheard.sort_unstable();
        assert!(late[5] < 2 * SLICE && unheard[5] < 3 * SLICE, "{late:?} {unheard:?}");
    });
}

/// Timers of every order, while the shard sleeps and while it lingers.
#[test]
fn timers_go_off_in_their_time() {
    on_a_shard(|| async {
        let (own, mut other) = pair();
        for lingers in [false, true] {
            sleep(2 * LINGER).await;
            if lingers {
                other.write_all(b"it").expect("it is open");
                assert_eq!(own.read().await, b"it");
            }
            let began = Instant::now();
            let timers = [40, 5, 80, 1, 20, 0].map(|ms| {
                glommio::spawn_local(async move {
                    let due = Duration::from_millis(ms);
                    // One that nobody waits for any more holds up nobody.
                    let mut gone = Box::pin(sleep(due / 2));
                    let _ = future::poll_once(&mut gone).await;
                    drop(gone);
                    sleep(due).await;
                    (began.elapsed(), due)
                })
            });
            for timer in timers {
                let (took, due) = timer.await;
                assert!(took >= due && took < due + Duration::from_secs(5), "{took:?} {due:?}");
            }
        }
    });
}

#[test]
fn who_ends_while_the_shard_lingers_does_not_wait_for_its_end() {
    let mut late = [(); 10].map(|()| {
        let (ends, ended) = until_ended(|| async {
            let (own, mut other) = pair();
            other.write_all(b"it").expect("it is open");
            assert_eq!(own.read().await, b"it");
            Instant::now()
        });
        ended - ends
    });
    late.sort_unstable();
    assert!(late[2] < LINGER / 2, "{late:?}");
}

/// A stream that never rests keeps the shard lingering: what comes from elsewhere is seen nevertheless.
#[test]
fn other_threads_and_timers_are_heard_meanwhile() {
    on_a_shard(|| async {
        let (own, mut other) = pair();
        let echoing = thread::spawn(move || {
            let mut byte = [0];
            while let Ok(1) = other.read(&mut byte) {
                other.write_all(&byte).expect("it is open");
            }
        });
        let busy = Rc::new(Cell::new(true));
        let (playing, still) = (Rc::new(own), busy.clone());
        let played = glommio::spawn_local(async move {
            while still.get() {
                playing.write(b"x").await;
                assert_eq!(playing.read().await, b"x");
            }
            playing.1.shutdown(Shutdown::Both).expect("it is open");
        });
        for _ in 0..20 {
            let (teller, told) = oneshot::channel();
            let telling = thread::spawn(move || teller.send(()));
            let soon = Instant::now() + Duration::from_secs(10);
            assert!(matches!(deadline(soon, told).await, Ok(Ok(()))), "a thread is heard");
            telling.join().expect("it does not panic").expect("it is waited for");
            sleep(Duration::from_millis(1)).await;
        }
        busy.set(false);
        played.await;
        echoing.join().expect("it does not panic");
    });
}

/// Work that pauses where it should, begun while the shard lingers and while it sleeps. It has had more than its share of
/// the core by the time that something happens, and comes after whoever lingers.
#[test]
fn who_has_more_to_do_does_not_wait_for_streams() {
    on_a_shard(|| async {
        let (own, mut other) = pair();
        for pause in [Duration::ZERO, SLICE, 2 * LINGER] {
            let queue = glommio::executor().create_task_queue(Shares::Static(250), QUEUE_LATENCY, "work");
            let mut blocked = Vec::new();
            for _ in 0..10 {
                other.write_all(b"it").expect("it is open");
                assert_eq!(own.read().await, b"it");
                sleep(pause).await;
                let working = glommio::spawn_local_into(work(10 * SLICE), queue).expect("it was made here");
                sleep(SLICE).await;
                other.write_all(b"it").expect("it is open");
                assert_eq!(own.read().await, b"it");
                blocked.push(working.await);
            }
            blocked.sort_unstable();
            assert_eq!(blocked[5], 0, "after {pause:?}: {blocked:?}");
        }
    });
}

/// Works for so long. How often the thread has waited for something meanwhile.
async fn work(time: Duration) -> i64 {
    let (began, waits) = (Instant::now(), waits());
    while began.elapsed() < time {
        std::hint::spin_loop();
        yield_if_needed().await;
    }
    self::waits() - waits
}

/// How often this thread has waited for something.
fn waits() -> i64 {
    // SAFETY: zeros are a usage, and a usage of ours is filled in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    };
    usage.ru_nvcsw
}
