//! Clients under load that remember, for every point, each value that they wrote, in order, and what they were told; and
//! the check that what was acknowledged is stored.
//!
//! A point is written by one client only, and a client writes nothing while it waits for an answer: a newer value of a
//! point always comes after the answer about the older one.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::{Conn, Http, Request, encode, read_some};
use super::cluster::Cluster;
use super::config::replica_name;
use super::facts::{assert_same, facts};
use super::slots::measurements_of;
use super::streams::Sender;
use super::{SOON, wait_for};

/// How long replay may take once all replicas are well.
pub const RECOVERY: Duration = Duration::from_secs(40);

/// Points that a client writes again and again; their times are 1 to this.
const OVERWRITTEN: i64 = 8;
const OVERWRITTEN_PER_WRITE: i64 = 3;
const FRESH_PER_WRITE: i64 = 4;
/// Times of points that are written once begin here.
const FRESH_FROM: i64 = 1000;
/// Of a client that was not answered with 204.
const AFTER_FAILURE: Duration = Duration::from_millis(20);
/// Points of a request that writes again what was not acknowledged.
const SETTLED_AT_ONCE: usize = 500;

/// Who writes what.
#[derive(Clone)]
pub struct Work {
    pub db: String,
    /// Sets the points apart from those of another run.
    pub run: String,
    /// Clients that keep their connection.
    pub steady: usize,
    /// Clients that open a new connection, maybe to another core, for every write.
    pub hopping: usize,
    /// Clients that write only points that they have written before.
    pub overwriting: usize,
    /// Where a client that streams lines sends them.
    pub tcp: Option<SocketAddr>,
    /// Where a client that sends datagrams sends them.
    pub udp: Option<SocketAddr>,
    /// After each answer.
    pub pause: Duration,
    pub measurements: Vec<String>,
}

impl Work {
    /// The same without any client.
    pub fn none(self) -> Work {
        Work { steady: 0, hopping: 0, overwriting: 0, tcp: None, udp: None, ..self }
    }

    /// Measurements in every group.
    pub fn usual(cluster: &Cluster, db: &str) -> Work {
        let groups = cluster.groups.len();
        Work {
            db: db.to_owned(),
            run: "0".to_owned(),
            steady: 3,
            hopping: 2,
            overwriting: 1,
            tcp: None,
            udp: None,
            pause: Duration::from_millis(4),
            measurements: (0..groups).flat_map(|group| measurements_of(db, "w", group, groups, 2)).collect(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Steady,
    Hopping,
    /// Hopping, and nothing but overwrites.
    Overwriting,
    Tcp,
    Udp,
}

/// A client's points: measurement and time.
type Points = BTreeMap<(String, i64), History>;

/// The values of one point.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The last one that was acknowledged.
    acknowledged: Option<i64>,
    /// Those written after it, none of which was.
    later: Vec<i64>,
}

impl History {
    fn note(&mut self, value: i64, acknowledged: bool) {
        if acknowledged {
            self.acknowledged = Some(value);
            self.later.clear();
        } else {
            self.later.push(value);
        }
    }

    fn allows(&self, stored: Option<i64>) -> bool {
        match stored {
            None => self.acknowledged.is_none(),
            Some(value) => self.acknowledged == Some(value) || self.later.contains(&value),
        }
    }
}

struct Shared {
    work: Work,
    target: Mutex<Http>,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    /// What clients heard instead, by its text, and how often.
    refused: Mutex<BTreeMap<String, u64>>,
    /// Connections that broke.
    broken: AtomicU64,
}

impl Shared {
    fn target(&self) -> Http {
        *self.target.lock().expect("no holder panics")
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Clients at work.
pub struct Witness {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<(String, Kind, Points)>>,
}

impl Witness {
    pub fn start(target: Http, work: Work) -> Witness {
        let kinds = [
            vec![Kind::Steady; work.steady],
            vec![Kind::Hopping; work.hopping],
            vec![Kind::Overwriting; work.overwriting],
            vec![Kind::Tcp; work.tcp.iter().len()],
            vec![Kind::Udp; work.udp.iter().len()],
        ];
        let shared = Arc::new(Shared {
            work,
            target: Mutex::new(target),
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            refused: Mutex::default(),
            broken: AtomicU64::new(0),
        });
        let start = |(number, kind): (usize, Kind)| {
            let shared = shared.clone();
            std::thread::spawn(move || {
                let mut client = Client { name: format!("{kind:?}{number}"), kind, value: 0, points: Points::new() };
                client.run(&shared);
                (client.name, kind, client.points)
            })
        };
        let clients = kinds.concat().into_iter().enumerate().map(start).collect();
        Witness { shared, clients }
    }

    /// Where clients connect from now on.
    pub fn target(&self, http: Http) {
        *self.shared.target.lock().expect("no holder panics") = http;
    }

    /// Writes acknowledged so far; over TCP and UDP what was sent does not count.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// What clients have heard that was not 204.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        self.shared.refused.lock().expect("no holder panics").clone()
    }

    pub fn work(&self) -> Work {
        self.shared.work.clone()
    }

    /// Waits for so many further acknowledgements.
    #[track_caller]
    pub fn more(&self, writes: u64) {
        let from = self.acknowledged();
        let deadline = Instant::now() + SOON;
        while self.acknowledged() < from + writes {
            let told = (self.acknowledged() - from, self.refused());
            assert!(
                Instant::now() < deadline,
                "waited {SOON:?} for {writes} acknowledgements; came, refused: {told:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the work; TCP clients end their streams and wait until slotline has, too.
    pub fn stop(mut self) -> Record {
        self.shared.stop.store(true, Ordering::Relaxed);
        let done = self.clients.drain(..).map(|client| client.join().expect("clients do not panic"));
        let clients: BTreeMap<String, (Kind, Points)> =
            done.map(|(name, kind, points)| (name, (kind, points))).collect();
        let broken = self.shared.broken.load(Ordering::Relaxed);
        Record { work: self.shared.work.clone(), clients, refused: self.refused(), broken }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

struct Client {
    name: String,
    kind: Kind,
    /// Of the last write; rises with each.
    value: i64,
    points: Points,
}

impl Client {
    fn run(&mut self, shared: &Shared) {
        match self.kind {
            Kind::Tcp => self.stream(shared),
            Kind::Udp => self.send_datagrams(shared),
            _ => self.ask(shared),
        }
    }

    /// The points of the next write.
    fn next(&mut self, work: &Work) -> Vec<(String, i64)> {
        self.value += 1;
        let of = |number: i64| {
            work.measurements[usize::try_from(number).expect("positive") % work.measurements.len()].clone()
        };
        let again = (0..OVERWRITTEN_PER_WRITE).map(|n| (self.value * OVERWRITTEN_PER_WRITE + n) % OVERWRITTEN);
        let mut points: Vec<(String, i64)> = again.map(|n| (of(n), n + 1)).collect();
        if self.kind != Kind::Overwriting {
            let fresh = (0..FRESH_PER_WRITE).map(|n| self.value * FRESH_PER_WRITE + n);
            points.extend(fresh.map(|n| (of(n), FRESH_FROM + n)));
        }
        points
    }

    fn lines(&self, work: &Work, points: &[(String, i64)]) -> String {
        let (run, name, value) = (&work.run, &self.name, self.value);
        points.iter().map(|(m, time)| format!("{m},client={name},run={run} v={value}i {time}\n")).collect()
    }

    fn note(&mut self, points: Vec<(String, i64)>, acknowledged: bool) {
        for point in points {
            self.points.entry(point).or_default().note(self.value, acknowledged);
        }
    }

    fn ask(&mut self, shared: &Shared) {
        let path = format!("db={}", encode(&shared.work.db));
        let mut conn: Option<Conn> = None;
        while !shared.stopped() {
            if conn.is_none() || self.kind != Kind::Steady {
                conn = shared.target().try_connect().ok();
            }
            let Some(open) = conn.as_mut() else {
                std::thread::sleep(AFTER_FAILURE);
                continue;
            };
            let points = self.next(&shared.work);
            let request = Request::write(&path, self.lines(&shared.work, &points));
            let answer = open.try_send(&request.to_bytes()).and_then(|()| open.try_answer(false));
            self.note(points, answer.as_ref().is_ok_and(|answer| answer.status == 204));
            // The pace of a client, not a wait for something.
            match answer {
                Ok(answer) if answer.status == 204 => {
                    shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(shared.work.pause);
                }
                Ok(answer) => {
                    let text = format!("{} {}", answer.status, answer.text().trim_end());
                    *shared.refused.lock().expect("no holder panics").entry(text).or_default() += 1;
                    // A draining proxy closes.
                    conn = None;
                    std::thread::sleep(AFTER_FAILURE);
                }
                Err(_) => {
                    shared.broken.fetch_add(1, Ordering::Relaxed);
                    conn = None;
                    std::thread::sleep(AFTER_FAILURE);
                }
            }
        }
    }

    /// Over one connection that lasts to the end.
    fn stream(&mut self, shared: &Shared) {
        let address = shared.work.tcp.expect("there is one where there are such clients");
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(RECOVERY)).expect("a socket takes options");
        stream.set_write_timeout(Some(RECOVERY)).expect("a socket takes options");
        while !shared.stopped() {
            let points = self.next(&shared.work);
            let lines = self.lines(&shared.work, &points);
            self.note(points, false);
            stream.write_all(lines.as_bytes()).expect("the stream takes lines");
            std::thread::sleep(shared.work.pause);
        }
        stream.shutdown(Shutdown::Write).expect("it is open");
        let ended = read_some(&mut stream, &mut [0]).expect("the other end closes once all is delivered");
        assert_eq!(ended, 0, "nothing is said over TCP");
    }

    fn send_datagrams(&mut self, shared: &Shared) {
        let sender = Sender::to(shared.work.udp.expect("there is one where there are such clients"));
        while !shared.stopped() {
            let points = self.next(&shared.work);
            let lines = self.lines(&shared.work, &points);
            self.note(points, false);
            sender.send(lines);
            std::thread::sleep(shared.work.pause);
        }
    }
}

/// What clients were told, after the work.
pub struct Record {
    pub work: Work,
    clients: BTreeMap<String, (Kind, Points)>,
    /// What they heard that was not 204, and how often.
    pub refused: BTreeMap<String, u64>,
    /// Connections that broke before the answer.
    pub broken: u64,
}

/// How the points of a record have come through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict {
    pub acknowledged: usize,
    /// On every replica of their group, with the value last acknowledged or a later one.
    pub stored: usize,
}

impl Record {
    #[track_caller]
    pub fn assert_none_refused(&self) {
        assert!(self.refused.is_empty(), "writes were refused: {:?}", self.refused);
    }

    /// How many points were written.
    pub fn points(&self) -> usize {
        self.clients.values().map(|(_, points)| points.len()).sum()
    }

    /// From now on what was sent over TCP and UDP counts as acknowledged, each point with its last value.
    pub fn count_sent(&mut self) {
        for (kind, points) in self.clients.values_mut() {
            if matches!(kind, Kind::Tcp | Kind::Udp) {
                for history in points.values_mut() {
                    let last = history.later.pop();
                    history.note(last.expect("every point was written"), true);
                }
            }
        }
    }

    /// Writes anew, until it is acknowledged, what was not: then replicas must be equal.
    #[track_caller]
    pub fn settle(&mut self, cluster: &Cluster) {
        let mut open: Vec<(String, &mut History)> = Vec::new();
        for (name, (_, points)) in &mut self.clients {
            for ((measurement, time), history) in points.iter_mut().filter(|(_, history)| !history.later.is_empty()) {
                let value = history.later.last().expect("there is one") + 1_000_000_000;
                let line = format!("{measurement},client={name},run={} v={value}i {time}\n", self.work.run);
                history.later.push(value);
                open.push((line, history));
            }
        }
        println!("settling {} points", open.len());
        for share in open.chunks_mut(SETTLED_AT_ONCE) {
            let body: String = share.iter().map(|(line, _)| line.as_str()).collect();
            wait_for("unacknowledged points to be taken", SOON, || {
                (cluster.http().write(&self.work.db, &body).status == 204).then_some(())
            });
            for (_, history) in share {
                let value = *history.later.last().expect("it was just written");
                history.note(value, true);
            }
        }
    }

    /// Once nothing waits any more: every acknowledged point is on every replica of its group, with the value that was
    /// acknowledged last or one that was written later.
    #[track_caller]
    pub fn verify(&self, cluster: &Cluster) -> Verdict {
        wait_drained(cluster);
        let (verdict, told) = self.compare(cluster);
        println!("{verdict}");
        let report = told[..told.len().min(20)].join("\n");
        assert!(told.is_empty(), "{verdict}; {} faults, the first:\n{report}\nrefused: {:?}", told.len(), self.refused);
        verdict
    }

    /// The same, and the replicas of each group hold the same.
    #[track_caller]
    pub fn verify_equal(&mut self, cluster: &Cluster) -> Verdict {
        self.settle(cluster);
        let verdict = self.verify(cluster);
        assert_equal(cluster, &self.work.db);
        verdict
    }

    /// The verdict, and what is wrong.
    pub fn compare(&self, cluster: &Cluster) -> (Verdict, Vec<String>) {
        let stored: Vec<Vec<Stored>> = cluster
            .groups
            .iter()
            .map(|group| group.iter().map(|replica| Stored::of(replica.http(), &self.work)).collect())
            .collect();
        let mut verdict = Verdict::default();
        let mut told = Vec::new();
        for (client, (_, points)) in &self.clients {
            for ((measurement, time), history) in points {
                let group = cluster.group_of(&self.work.db, measurement);
                let mut right = true;
                for (number, replica) in stored[group].iter().enumerate() {
                    let value = replica.value(measurement, client, *time);
                    if !history.allows(value) {
                        right = false;
                        let who = replica_name(group, number);
                        told.push(format!("{who}: {measurement},client={client} at {time} is {value:?}: {history:?}"));
                    }
                }
                if history.acknowledged.is_some() {
                    verdict.acknowledged += 1;
                    verdict.stored += usize::from(right);
                }
            }
        }
        (verdict, told)
    }
}

impl Verdict {
    pub fn lost(&self) -> usize {
        self.acknowledged - self.stored
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "acknowledged={} stored={} lost={}", self.acknowledged, self.stored, self.lost())
    }
}

/// A replica's points of a run.
struct Stored(HashMap<(String, String), HashMap<i64, i64>>);

impl Stored {
    fn of(http: Http, work: &Work) -> Stored {
        let q = format!("SELECT v FROM /^w[0-9]+$/ WHERE run = '{}' GROUP BY client", work.run);
        let answer = http.get_query(&[("db", &work.db), ("epoch", "ns"), ("q", &q)]);
        let json = answer.json();
        assert!(!answer.text().contains("\"error\""), "`{q}` on {} failed: {answer:?}", http.addr);
        let mut all = HashMap::new();
        for series in json["results"][0]["series"].as_array().into_iter().flatten() {
            let text = |value: &serde_json::Value| value.as_str().expect("names are texts").to_owned();
            let rows = series["values"].as_array().expect("series have values").iter();
            let number = |value: &serde_json::Value| value.as_i64().expect("times and values are integers");
            let points = rows.map(|row| (number(&row[0]), number(&row[1]))).collect();
            all.insert((text(&series["name"]), text(&series["tags"]["client"])), points);
        }
        Stored(all)
    }

    fn value(&self, measurement: &str, client: &str, time: i64) -> Option<i64> {
        self.0.get(&(measurement.to_owned(), client.to_owned()))?.get(&time).copied()
    }
}

/// Waits until no replica has anything to catch up on.
#[track_caller]
pub fn wait_drained(cluster: &Cluster) {
    let deadline = Instant::now() + RECOVERY;
    loop {
        let waiting = spooled(cluster);
        if waiting.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "after {RECOVERY:?} there still wait: {waiting:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Points that wait, by replica; those without any are left out.
#[track_caller]
pub fn spooled(cluster: &Cluster) -> BTreeMap<String, u64> {
    let text = cluster.slotline.admin().get("/metrics").text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("slotline_spool_points{")?.split_once("} "));
    let of = lines.map(|(labels, value)| (labels.to_owned(), value.parse::<f64>().expect("a number") as u64));
    of.filter(|(_, points)| *points > 0).collect()
}

/// The replicas of each group hold the same facts.
#[track_caller]
pub fn assert_equal(cluster: &Cluster, db: &str) {
    for (number, group) in cluster.groups.iter().enumerate() {
        let first = facts(group[0].http(), db);
        for (replica, influxd) in group.iter().enumerate().skip(1) {
            let names = format!("{} against {}", replica_name(number, replica), replica_name(number, 0));
            assert_same(&names, &facts(influxd.http(), db), &first);
        }
    }
}
