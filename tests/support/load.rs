//! Clients that go on asking while a test changes things around them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::{Http, Request};
use super::{SOON, wait_for};

/// Requests after which a client connects anew, maybe to another core.
const PER_CONNECTION: u64 = 40;

/// A request that was answered well.
pub struct Sent {
    pub began: Instant,
    pub ended: Instant,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// Clients that are at it. A write must be answered with 204, anything else with 200 and no error.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<Sent>>>,
}

impl Load {
    /// `request` makes the n-th of a client, which makes a pause after each answer.
    pub fn start(
        http: Http,
        clients: u64,
        pause: Duration,
        request: impl Fn(u64, u64) -> Request + Send + Clone + 'static,
    ) -> Load {
        let shared = Arc::<Shared>::default();
        let start = |client| {
            let (shared, request) = (shared.clone(), request.clone());
            std::thread::spawn(move || {
                let mut sent = Vec::new();
                let done = run(http, &shared, pause, &mut sent, |n| request(client, n));
                if let Err(failure) = done {
                    shared.failures.lock().expect("no holder panics").push(failure);
                }
                sent
            })
        };
        let clients = (0..clients).map(start).collect();
        Load { shared, clients }
    }

    /// Points of many measurements, and a query now and then.
    pub fn usual(http: Http) -> Load {
        Load::start(http, 4, Duration::from_millis(2), |client, n| match n % 8 {
            7 => Request::query(&[("db", "db"), ("q", &format!("SELECT v FROM usual{}", n % 50))]),
            _ => Request::write("db=db", format!("usual{},client={client} v={n} {}", n % 50, n + 1)),
        })
    }

    /// Somebody who asks whether the proxy is ready.
    pub fn ready(http: Http) -> Load {
        Load::start(http, 1, Duration::from_millis(1), |_, _| Request::new("GET", "/ready"))
    }

    /// Waits for so many further answers.
    #[track_caller]
    pub fn more(&self, answers: u64) {
        let from = self.shared.answered.load(Ordering::Relaxed);
        wait_for("answers", SOON, || {
            self.check();
            (self.shared.answered.load(Ordering::Relaxed) >= from + answers).then_some(())
        });
    }

    #[track_caller]
    pub fn check(&self) {
        let failures = self.shared.failures.lock().expect("no holder panics").join("\n");
        assert!(failures.is_empty(), "requests failed:\n{failures}");
    }

    /// All that was sent, every one of it answered well.
    #[track_caller]
    pub fn finish(mut self) -> Vec<Sent> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let sent = self.clients.drain(..).flat_map(|client| client.join().expect("clients do not panic")).collect();
        self.check();
        sent
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn run(
    http: Http,
    shared: &Shared,
    pause: Duration,
    sent: &mut Vec<Sent>,
    request: impl Fn(u64) -> Request,
) -> Result<(), String> {
    let mut n = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let mut conn = http.try_connect().map_err(|error| format!("no connection: {error}"))?;
        for _ in 0..PER_CONNECTION {
            if shared.stop.load(Ordering::Relaxed) {
                break;
            }
            let request = request(n);
            n += 1;
            let began = Instant::now();
            let asked = conn.try_send(&request.to_bytes()).and_then(|()| conn.try_answer(false));
            let answer = asked.map_err(|error| format!("{} {}: {error}", request.method, request.path))?;
            let wanted = if request.path.starts_with("/write") { 204 } else { 200 };
            if answer.status != wanted || answer.text().contains("\"error\"") {
                let (path, body) = (&request.path, String::from_utf8_lossy(&request.body));
                return Err(format!("{path} {body}\nwas answered after {:?}: {answer:?}", began.elapsed()));
            }
            sent.push(Sent { began, ended: Instant::now(), body: request.body });
            shared.answered.fetch_add(1, Ordering::Relaxed);
            // The pace of a client, not a wait for something.
            std::thread::sleep(pause);
        }
    }
    Ok(())
}
