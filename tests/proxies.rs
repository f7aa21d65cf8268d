//! Two proxies before the same replicas, each with clients of its own, while replicas freeze and die, a clock is set, and a
//! proxy is killed amid its replay and started with another number of cores: in the end every replica has the last
//! acknowledged value of each point.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use support::scene::quick;
use support::*;

/// Each is overwritten again and again, over one connection or the other.
const POINTS: usize = 8;
const CONNECTIONS: usize = 6;

/// Overwrites the points of one measurement: a value is followed by the next once it is acknowledged.
struct Writer {
    measurement: String,
    group: usize,
    target: Arc<Mutex<Http>>,
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u64>>,
}

impl Writer {
    fn start(cluster: &Cluster, stem: &str, group: usize, http: Http, mut random: fastrand::Rng) -> Writer {
        let measurement = cluster.measurement_in("db", stem, group);
        let (target, acknowledged) = (Arc::new(Mutex::new(http)), Arc::new(AtomicU64::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let (name, to, count, ended) = (measurement.clone(), target.clone(), acknowledged.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut connections: [Option<Conn>; CONNECTIONS] = Default::default();
            let mut last = vec![0; POINTS];
            while !ended.load(Ordering::SeqCst) {
                let point = random.usize(..POINTS);
                let value = last[point] + 1;
                let request = Request::write("db=db", format!("{name} v={value}i {point}\n"));
                while !is_stored(&mut connections[random.usize(..CONNECTIONS)], &to, &request) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                last[point] = value;
                count.fetch_add(1, Ordering::SeqCst);
            }
            last
        });
        Writer { measurement, group, target, acknowledged, stop, thread }
    }

    /// Waits for so many further acknowledgements.
    #[track_caller]
    fn more(&self, writes: u64) {
        let until = self.acknowledged.load(Ordering::SeqCst) + writes;
        wait_for("acknowledgements", 3 * SOON, || (self.acknowledged.load(Ordering::SeqCst) >= until).then_some(()));
    }

    /// Every replica has the last values, once it has ended.
    #[track_caller]
    fn check(self, cluster: &Cluster) {
        let last = self.thread.join().expect("a writer does not panic");
        let written = last.iter().enumerate().filter(|(_, value)| **value > 0);
        let expected: Vec<String> = written.map(|(point, value)| format!("{point} v={value}")).collect();
        for (number, replica) in cluster.groups[self.group].iter().enumerate() {
            let q = format!("SELECT v FROM {}", self.measurement);
            let seen: Vec<String> = read_all(replica.http(), "db", &q).into_values().flatten().collect();
            assert_eq!(seen, expected, "{} on replica {number} of group {}", self.measurement, self.group);
        }
    }
}

fn is_stored(connection: &mut Option<Conn>, target: &Mutex<Http>, request: &Request) -> bool {
    let mut exchange = || {
        let mut open = match connection.take() {
            Some(open) => open,
            None => target.lock().expect("no holder panics").try_connect()?,
        };
        open.try_send(&request.to_bytes())?;
        let answer = open.try_answer(false)?;
        if answer.status == 204 {
            *connection = Some(open);
        }
        std::io::Result::Ok(answer.status)
    };
    exchange().is_ok_and(|status| status == 204)
}

fn waits(slotline: &Slotline) -> u64 {
    slotline.metric("slotline_spool_points", &[])
}

#[test]
fn the_last_value_stays_whatever_happens_to_replicas_and_proxies() {
    let mut random = random();
    let clock = Clock::make();
    let mut setup = quick(Setup::new(2, 2)).set("spool", "replay_rate = \"256KiB\"");
    if let Some(clock) = &clock {
        setup = setup.clock(clock);
    }
    let mut cluster = setup.start();
    cluster.create_db("db");
    let other = Slotline::start(&cluster.config);
    let mut writers = Vec::new();
    for (proxy, http) in [("one", cluster.http()), ("two", other.http())] {
        for group in 0..2 {
            let fork = random.fork();
            writers.push(Writer::start(&cluster, &format!("{proxy}_"), group, http, fork));
        }
    }
    for cores in [1, 2, 1, 2] {
        writers.iter().for_each(|writer| writer.more(20));
        cluster.groups[0][1].pause();
        cluster.groups[1][0].kill9();
        writers.iter().for_each(|writer| writer.more(150));
        cluster.groups[0][1].resume();
        cluster.groups[1][0].restart();
        if let Some(clock) = &clock {
            clock.step_to(random.i64(-3..3) * 86_400);
        }
        // Amid replay.
        writers.iter().for_each(|writer| writer.more(5));
        println!("{} points wait", waits(&cluster.slotline));
        cluster.slotline.kill9();
        let config = cluster.config.clone().set("server", &format!("cores = {cores}"));
        cluster.slotline.start_again(&config, &[]);
        for writer in &writers[..2] {
            *writer.target.lock().expect("no holder panics") = cluster.http();
        }
    }
    writers.iter().for_each(|writer| writer.more(20));
    for writer in &writers {
        writer.stop.store(true, Ordering::SeqCst);
    }
    wait_for("the writers to end", 2 * SOON, || writers.iter().all(|writer| writer.thread.is_finished()).then_some(()));
    cluster.slotline.wait_direct();
    other.wait_direct();
    assert_eq!((waits(&cluster.slotline), waits(&other)), (0, 0));
    writers.into_iter().for_each(|writer| writer.check(&cluster));
}
