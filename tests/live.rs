//! Topologies and UDP listeners that change through ZooKeeper while the proxy serves.

mod support;

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use support::*;

/// Half a cluster's changes are seen in less; a look that nothing rings for comes only every four seconds.
const PROMPT: Duration = Duration::from_secs(1);

fn config(zookeeper: &Zookeeper) -> Config {
    Config::new().zookeeper(zookeeper.addr()).set("limits", "health_interval = \"100ms\"")
}

fn fakes(count: usize) -> Vec<Fake> {
    (0..count).map(|_| Fake::start(Play::stored())).collect()
}

fn urls(fakes: &[Fake]) -> Vec<String> {
    fakes.iter().map(Fake::url).collect()
}

#[track_caller]
fn assert_prompt(mut times: Vec<Duration>) {
    times.sort();
    assert!(times[times.len() / 2] < PROMPT, "changes take too long: {times:?}");
}

/// Times of points tell by which client they came.
const BASE: u64 = 1_000_000_000;

/// Somebody who sends lines and hears no answer.
struct Lines {
    stop: Arc<AtomicBool>,
    sending: JoinHandle<Vec<Sent>>,
}

impl Lines {
    fn start(slotline: &Slotline, protocol: &str) -> Lines {
        let stop = Arc::<AtomicBool>::default();
        let (stopped, to, tcp) = (stop.clone(), slotline.first_listening(protocol), protocol == "tcp");
        let sending = std::thread::spawn(move || {
            let mut stream = tcp.then(|| Http::new(to).connect());
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            let mut sent = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let n = sent.len() as u64;
                let line = format!("m{},host=h{} v=1 {}", n * 7 % 30, n % 4, if tcp { 8 } else { 9 } * BASE + n);
                let began = Instant::now();
                match &mut stream {
                    Some(stream) => stream.send(format!("{line}\n").as_bytes()),
                    None => drop(socket.send_to(line.as_bytes(), to).expect("loopback takes a datagram")),
                }
                // It goes by a topology that was in force when its batch began: after it was sent, and not long after.
                sent.push(Sent { began, ended: began + Duration::from_secs(5), body: line.into_bytes() });
                // A client's pace.
                std::thread::sleep(Duration::from_millis(1));
            }
            sent
        });
        Lines { stop, sending }
    }

    fn finish(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.sending.join().expect("it does not panic")
    }
}

#[test]
fn every_point_lies_whole_in_a_group_of_its_time() {
    const CHANGES: u64 = 45;
    let mut random = random();
    let zookeeper = Zookeeper::start();
    let servers: Vec<Influxd> = (0..5).map(|_| Influxd::start()).collect();
    servers.iter().for_each(|server| drop(server.http().run("", "CREATE DATABASE db")));
    // Its slot never moves, and both replicas of its group have it whole.
    let fixed = (0..).map(|n| format!("fixed{n}")).find(|name| slot("db", name, &[]) < 100).expect("one of many");
    let rows: Vec<String> = (1..=10).map(|n| format!("{fixed} v=1 {n}")).collect();
    servers[..2].iter().for_each(|server| server.http().store("db", rows.join("\n")));

    let member = |name: &str, server: usize| Member::new(name, servers[server].url());
    let third = vec![member("g3a", 4)];
    let mut document = Document {
        epoch: 1,
        groups: vec![(1, vec![member("g1a", 0), member("g1b", 1)]), (2, vec![member("g2a", 2)])],
        slots: vec![(0, 511, 1), (512, 1023, 2)],
        by_host: false,
    };
    let mut znodes = Znodes::of(zookeeper.addr());
    let mut reigns = vec![Reign { document: document.clone(), from: Instant::now(), until: None }];
    znodes.put("topology", document.text());
    let config = config(&zookeeper);
    let config = ["tcp", "udp"].iter().fold(config, |c, protocol| c.lines_listener(protocol, "127.0.0.1:0", "db"));
    let mut slotline = Slotline::start(&config);
    slotline.wait_epoch(1);

    let writers = Load::start(slotline.http(), 5, Duration::from_millis(1), |client, n| {
        let line = |k: u64| {
            let time = (client + 1) * BASE + n * 10 + k;
            format!("m{},host=h{} v=1 {time}", (n * 7 + k * 5) % 30, (n + k) % 4)
        };
        Request::write("db=db", (0..6).map(line).collect::<Vec<_>>().join("\n"))
    });
    let name = fixed.clone();
    let readers = Load::start(slotline.http(), 2, Duration::from_millis(1), move |_, n| {
        let q = match n % 4 {
            3 => "CREATE DATABASE db".to_owned(),
            0 => format!("SELECT count(v) FROM m{}", 10 + n % 20),
            1 => "SHOW MEASUREMENTS".to_owned(),
            _ => format!("SELECT count(v) FROM {name}"),
        };
        Request::query(&[("db", "db"), ("q", &q)])
    });
    let ready = Load::ready(slotline.http());
    let lines = [Lines::start(&slotline, "tcp"), Lines::start(&slotline, "udp")];

    let mut times = Vec::new();
    for change in 0..CHANGES {
        match change % 5 {
            0 => {
                let (there, third) = (document.groups.len() == 3, third.clone());
                if there { drop(document.groups.pop()) } else { document.groups.push((3, third)) }
            }
            1 => document.by_host = !document.by_host,
            2 => {
                let replica = &mut document.group(2)[0];
                replica.url = servers[if replica.url == servers[2].url() { 3 } else { 2 }].url();
            }
            3 => {
                let replica = &mut document.group(1)[1];
                replica.joining = !replica.joining;
            }
            _ => {}
        }
        let (one, two) = (random.u32(150..500), random.u32(500..900));
        document.slots = vec![(0, one, 1), (one + 1, two, 2), (two + 1, 1023, document.groups.len() as u32)];
        document.epoch += 1;
        let from = Instant::now();
        znodes.put("topology", document.text());
        slotline.wait_epoch(document.epoch);
        let until = Instant::now();
        reigns.last_mut().expect("there is a first").until = Some(until);
        reigns.push(Reign { document: document.clone(), from, until: None });
        times.push(until - from);
        writers.more(15);
        [&readers, &ready].iter().for_each(|load| load.check());
    }
    let mut sent = writers.finish();
    sent.extend(lines.into_iter().flat_map(Lines::finish));
    ready.finish();
    readers.finish();
    assert_prompt(times);
    let counted = slotline.http().run("db", &format!("SELECT count(v) FROM {fixed}"));
    assert_eq!(counted["results"][0]["series"][0]["values"][0][1], 10);
    assert_eq!(slotline.figure("slotline_panics_total"), Some(0.0));
    // What came without a request is delivered by then.
    assert_eq!(slotline.stop(), 0);
    let moved = assert_placed(&sent, &reigns, found(&servers, &fixed), &BTreeSet::new());
    assert!(moved > 150, "the changes hardly changed anything: {moved}");
}

#[test]
fn changes_are_in_force_on_every_core_of_every_proxy_within_a_second() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fakes = fakes(3);
    let mut document = Document::of(urls(&fakes[..1]));
    znodes.put("topology", document.text());
    let proxies = [
        Slotline::start(&config(&zookeeper).lines_listener("tcp", "127.0.0.1:0", "db")),
        Slotline::start(&config(&zookeeper)),
    ];
    let loads: Vec<Load> = proxies.iter().flat_map(|p| [Load::usual(p.http()), Load::ready(p.http())]).collect();
    let mut lasting: Vec<Vec<Conn>> =
        proxies.iter().map(|proxy| (0..6).map(|_| proxy.http().connect()).collect()).collect();
    let mut marks = 0..;
    // After it every core of every proxy has the document in force: its mark is on `replicas` alone.
    let mut check = |znodes: &mut Znodes, document: &Document, replicas: &[usize]| {
        let before = Instant::now();
        znodes.put("topology", document.text());
        proxies.iter().for_each(|proxy| proxy.wait_epoch(document.epoch));
        let time = before.elapsed();
        let mark = format!("mark{}", marks.next().expect("there are many"));
        let request = Request::write("db=db", format!("{mark} v=1 1"));
        for (proxy, lasting) in proxies.iter().zip(&mut lasting) {
            let mut fresh: Vec<Conn> = (0..6).map(|_| proxy.http().connect()).collect();
            for conn in lasting.iter_mut().chain(&mut fresh) {
                assert_eq!(conn.call(&request).status, 204);
            }
        }
        let got = |fake: &Fake| fake.lines_of("db").iter().filter(|line| line.starts_with(&mark)).count();
        let got: Vec<usize> = fakes.iter().map(got).collect();
        let wanted: Vec<usize> = (0..fakes.len()).map(|n| if replicas.contains(&n) { 24 } else { 0 }).collect();
        assert_eq!(got, wanted, "epoch {}", document.epoch);
        loads.iter().for_each(Load::check);
        time
    };
    let mut times = vec![check(&mut znodes, &document, &[0])];
    // A second group comes and goes, with all slots and with none.
    for owner in [2, 1, 2, 1, 2, 1] {
        document.epoch += 1;
        document.groups.truncate(1);
        if owner == 2 {
            document.groups.push((2, vec![Member::new("g2a", fakes[1].url())]));
        }
        document.slots = vec![(0, 1023, owner)];
        times.push(check(&mut znodes, &document, if owner == 2 { &[1] } else { &[0] }));
    }
    // A second replica joins: it takes writes and no reads.
    document.epoch += 1;
    document.group(1).push(Member { joining: true, ..Member::new("g1b", fakes[1].url()) });
    times.push(check(&mut znodes, &document, &[0, 1]));
    loads.iter().for_each(|load| load.more(10));
    let ask = |n: u32| proxies.iter().for_each(|p| drop(p.http().run("db", &format!("SELECT v FROM some{n}"))));
    let (first, joining) = (fakes[0].queries(), fakes[1].queries());
    (0..20).for_each(ask);
    assert!(fakes[0].queries() >= first + 40);
    assert_eq!(fakes[1].queries(), joining, "a joining replica was read from");
    // It serves, joins again, serves.
    for joining in [false, true, false] {
        document.epoch += 1;
        document.group(1)[1].joining = joining;
        times.push(check(&mut znodes, &document, &[0, 1]));
        let before = fakes[1].queries();
        (0..20).for_each(ask);
        assert_eq!(fakes[1].queries() == before, joining);
    }
    // It moves to another server.
    document.epoch += 1;
    document.group(1)[1].url = fakes[2].url();
    times.push(check(&mut znodes, &document, &[0, 2]));
    // Of many changes at once the last one stays.
    for _ in 0..30 {
        document.epoch += 1;
        znodes.put("topology", document.text());
    }
    times.push(check(&mut znodes, &document, &[0, 2]));
    loads.iter().for_each(|load| load.more(10));
    loads.into_iter().for_each(|load| drop(load.finish()));
    assert_prompt(times);
    let registered = |znodes: &mut Znodes| {
        let all = znodes.proxies();
        (all.len() == 2 && all.iter().all(|proxy| proxy["epoch"] == document.epoch)).then_some(())
    };
    wait_for("both registrations", SOON, || registered(&mut znodes));
    proxies.iter().for_each(|p| assert_eq!(p.figure("slotline_topology_epoch_not_risen_total"), Some(0.0)));
}

#[test]
fn a_replica_that_has_gone_is_asked_no_more() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fakes = fakes(2);
    let mut document = Document::of(urls(&fakes[..1]));
    znodes.put("topology", document.text());
    let slotline = Slotline::start(&config(&zookeeper).lines_listener("tcp", "127.0.0.1:0", "lines"));
    // A connection over which nothing comes any more must not hold the old topology.
    let addr = slotline.first_listening("tcp");
    let mut idle = Http::new(addr).connect();
    idle.send(b"a v=1 1\n");
    wait_for("the line", SOON, || (fakes[0].lines_of("lines").len() == 1).then_some(()));
    document.epoch += 1;
    document.group(1)[0].url = fakes[1].url();
    znodes.put("topology", document.text());
    slotline.wait_epoch(document.epoch);
    let mut last = (fakes[0].pings(), Instant::now());
    wait_for("the end of the pings", Duration::from_secs(6), || {
        let pings = fakes[0].pings();
        if pings != last.0 {
            last = (pings, Instant::now());
        }
        (last.1.elapsed() > Duration::from_secs(1)).then_some(())
    });
    assert!(fakes[1].pings() > 0);
    idle.send(b"b v=1 1\n");
    wait_for("the line", SOON, || (fakes[1].lines_of("lines").len() == 1).then_some(()));
    assert_eq!(fakes[0].lines_of("lines").len(), 1);
}

#[test]
fn what_waits_behind_a_slow_batch_goes_by_the_topology_in_force() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fakes = fakes(2);
    let mut document = Document::of(urls(&fakes));
    znodes.put("topology", document.text());
    let slotline = Slotline::start(&config(&zookeeper).lines_listener("tcp", "127.0.0.1:0", "lines"));
    let mut stream = Http::new(slotline.first_listening("tcp")).connect();
    let received = |count| slotline.wait_metric("slotline_points_received_total{protocol=\"tcp\"}", count);
    // The database is made first.
    stream.send(b"zero v=1 1\n");
    wait_for("the first line", SOON, || (fakes[0].lines_of("lines").len() == 1).then_some(()));
    fakes[0].set(Play::Slow(Duration::from_secs(2), 204, String::new()));
    stream.send(b"one v=1 1\n");
    wait_for("a batch on its way", SOON, || (fakes[0].lines_of("lines").len() == 2).then_some(()));
    stream.send(b"two v=1 1\n");
    received(3.0);
    document.epoch += 1;
    document.slots = vec![(0, 1023, 2)];
    znodes.put("topology", document.text());
    slotline.wait_epoch(2);
    stream.send(b"three v=1 1\n");
    wait_for("the last line", SOON, || (fakes[1].lines_of("lines").len() == 2).then_some(()));
    assert_eq!(fakes[0].lines_of("lines"), ["zero v=1 1", "one v=1 1"]);
}

/// What is acknowledged lies where it is looked for, whenever its request began.
#[test]
fn a_request_whose_body_takes_long_goes_by_the_topology_in_force() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fakes = fakes(2);
    let mut document = Document::of(urls(&fakes));
    znodes.put("topology", document.text());
    let slotline = Slotline::start(&config(&zookeeper));
    slotline.wait_epoch(1);
    let body = "one v=1 1\ntwo v=1 2\none v=2 3\n";
    let request = Request::write("db=slow", body).to_bytes();
    let (begun, rest) = request.split_at(request.len() - 14);
    let mut clients: Vec<Conn> = (0..8).map(|_| slotline.http().connect()).collect();
    clients.iter_mut().for_each(|client| client.send(begun));
    // All have begun once the one behind them has been answered.
    for _ in 0..8 {
        assert_eq!(slotline.http().write("before", "b v=1 1\n").status, 204);
    }
    document.epoch += 1;
    document.slots = vec![(0, 1023, 2)];
    znodes.put("topology", document.text());
    slotline.wait_epoch(2);
    for client in &mut clients {
        client.send(rest);
        assert_eq!(client.answer().status, 204);
    }
    assert_eq!(fakes[0].lines_of("slow"), Vec::<String>::new());
    assert_eq!(fakes[1].lines_of("slow").len(), 3 * clients.len());
}

#[test]
fn what_a_select_writes_goes_by_the_topology_in_force_then() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let [reader, writer] = [Influxd::start(), Influxd::start()];
    let meddler = Meddler::start(reader.http());
    meddler.set(Meddle::SlowAnswerTo("SELECT".into(), Duration::from_secs(2)));
    let mut document = Document::of(vec![meddler.url(), writer.url()]);
    document.slots = vec![(0, 1023, 1)];
    znodes.put("topology", document.text());
    let slotline = Slotline::start(&config(&zookeeper));
    slotline.wait_epoch(1);
    let http = slotline.http();
    assert_eq!(http.query("", "CREATE DATABASE db").status, 200);
    assert_eq!(http.write("db", "one v=7 1\n").status, 204);
    let into = std::thread::spawn(move || http.query("db", "SELECT v INTO two FROM one"));
    wait_for("the SELECT is asked", Duration::from_secs(10), || (meddler.met() > 0).then_some(()));
    document.epoch += 1;
    document.slots = vec![(0, 1023, 2)];
    znodes.put("topology", document.text());
    slotline.wait_epoch(2);
    let answer = into.join().expect("it is answered");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let stored = |influxd: &Influxd| influxd.http().query("db", "SELECT v FROM two").text().contains("7]");
    assert_eq!((stored(&reader), stored(&writer)), (false, true), "{}", answer.text());
}

const REFUSED: &str = "slotline_topology_refused_total";

#[test]
fn broken_documents_change_nothing() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fakes = fakes(2);
    let mut document = Document::of(urls(&fakes));
    document.epoch = 5;
    let with_password = |document: &Document| {
        let mut json = document.json();
        for group in 0..2 {
            json["groups"][group]["replicas"][0]["username"] = "carol".into();
            json["groups"][group]["replicas"][0]["password"] = "s3cret".into();
        }
        json
    };
    znodes.put("topology", with_password(&document).to_string());
    let config = config(&zookeeper).set("cluster", "zookeeper_auth = \"carol:s3cret\"");
    let mut slotline = Slotline::start(&config);
    slotline.wait_epoch(5);
    let loads = [Load::usual(slotline.http()), Load::ready(slotline.http())];
    let broken = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = with_password(&document);
        json["epoch"] = 6.into();
        change(&mut json);
        json.to_string()
    };
    let slots = |slots: &'static str| {
        broken(&move |json| json["slots"] = serde_json::from_str(slots).expect("the test writes JSON"))
    };
    let long = "x".repeat(900_000);
    let documents = [
        ("cut off", "not a topology document", with_password(&document).to_string().split_off(9)),
        ("no object", "not a topology document", "[]".to_owned()),
        ("long", "not a topology document", long),
        ("a password that is a number", "not a topology document", {
            broken(&|json| json["groups"][0]["replicas"][0]["password"] = 734_618_234.into())
        }),
        ("a password that is a list", "not a topology document", {
            broken(&|json| json["groups"][0]["replicas"][0]["password"] = serde_json::json!(["s3cret"]))
        }),
        ("credentials in a url", "g1a", {
            broken(&|json| json["groups"][0]["replicas"][0]["url"] = "http://u:s3cret@127.0.0.1:1".into())
        }),
        ("credentials in an https url", "g1a", {
            broken(&|json| json["groups"][0]["replicas"][0]["url"] = "https://u:s3cret@127.0.0.1:1".into())
        }),
        ("credentials in no url", "g1a", {
            broken(&|json| json["groups"][0]["replicas"][0]["url"] = "u:s3cret@127.0.0.1:1".into())
        }),
        ("an unknown key", "unknown field `weight`", broken(&|json| json["weight"] = 1.into())),
        ("a slot owned twice", "slots 500-511 belong to two groups", {
            slots(r#"[{"from": 0, "to": 511, "group": 1}, {"from": 500, "to": 1023, "group": 2}]"#)
        }),
        ("slots uncovered", "slots 3-9 belong to no group", {
            slots(r#"[{"from": 0, "to": 2, "group": 1}, {"from": 10, "to": 1023, "group": 2}]"#)
        }),
        ("an unknown group", "there is no group 7", slots(r#"[{"from": 0, "to": 1023, "group": 7}]"#)),
        ("a group without replicas", "group 2 has no replicas", {
            broken(&|json| json["groups"][1]["replicas"] = serde_json::json!([]))
        }),
        ("an empty znode", "it is empty", String::new()),
    ];
    for (number, (what, reason, text)) in (1..).zip(&documents) {
        let lines = slotline.says(reason);
        znodes.put("topology", text);
        wait_for(&format!("the refusal of {what}"), SOON, || {
            let counted = slotline.figure(REFUSED) == Some(f64::from(number));
            (counted && slotline.says(reason) == lines + 1).then_some(())
        });
        let metrics = slotline.admin().get("/metrics").text();
        let refusal = metrics.lines().find(|line| line.starts_with("slotline_topology_refusal{reason=\""));
        assert!(refusal.is_some_and(|line| line.contains(reason)), "{what}: {refusal:?}");
        loads.iter().for_each(|load| load.more(2));
    }
    znodes.delete("topology");
    let all = documents.len() as f64 + 1.0;
    slotline.wait_metric(REFUSED, all);
    slotline.wait_says("there is none");
    // It is looked at again every few seconds, and told of once.
    let since = Instant::now();
    wait_for("another look", SOON, || {
        loads.iter().for_each(Load::check);
        (since.elapsed() > Duration::from_millis(4500)).then_some(())
    });
    assert_eq!((slotline.says("there is none"), slotline.figure(REFUSED)), (1, Some(all)));
    assert_eq!(slotline.figure("slotline_topology_epoch"), Some(5.0));
    assert_eq!(fakes[1].writes().len(), 0, "the second group owns nothing");

    // Good ones are taken, also without a higher epoch, which is told.
    const NOT_RISEN: &str = "slotline_topology_epoch_not_risen_total";
    document.epoch = 6;
    znodes.put("topology", with_password(&document).to_string());
    slotline.wait_epoch(6);
    assert_eq!(slotline.figure(NOT_RISEN), Some(0.0));
    assert!(!slotline.admin().get("/metrics").text().contains("refusal{"), "a good one was taken");
    for (number, epoch) in [(1, 6), (2, 3)] {
        document.epoch = epoch;
        document.slots = vec![(0, 1023, if number == 1 { 2 } else { 1 })];
        let before = fakes[number % 2].writes().len();
        znodes.put("topology", with_password(&document).to_string());
        slotline.wait_metric(NOT_RISEN, number as f64);
        slotline.wait_epoch(epoch);
        wait_for(&format!("epoch {epoch} to be in force"), SOON, || {
            loads[0].more(1);
            (fakes[number % 2].writes().len() > before).then_some(())
        });
        assert_eq!(slotline.says("its epoch did not rise"), number);
    }
    for load in loads {
        load.finish();
    }

    // A broken copy of it is no hindrance while ZooKeeper is there.
    let mut told = slotline.log();
    assert_eq!(slotline.stop(), 0);
    std::fs::write(slotline.data_dir().join("topology.json"), "{\"s3cret").expect("a folder takes a file");
    std::fs::write(slotline.data_dir().join("udp.json"), "nonsense").expect("a folder takes a file");
    slotline.start_again(&config, &[]);
    slotline.wait_epoch(3);
    slotline.http().store("db", "a v=1 1");
    assert_eq!(slotline.http().get("/ready").status, 200);
    assert_eq!(slotline.says("cannot be read"), 2, "{}", slotline.log());
    told += &slotline.log();
    let leaks: Vec<&str> = told.lines().filter(|line| line.contains("s3cret") || line.contains("734618234")).collect();
    assert!(leaks.is_empty(), "passwords in the log:\n{}", leaks.join("\n"));
}

/// Sends datagrams of one numbered line each, `u n=<number>i <number>`, from one address.
struct Sender {
    socket: UdpSocket,
    next: u64,
}

impl Sender {
    fn new() -> Sender {
        Sender { socket: UdpSocket::bind("0.0.0.0:0").expect("a free port"), next: 1 }
    }

    /// The numbers of what was sent.
    #[track_caller]
    fn send(&mut self, to: SocketAddr, count: u64) -> std::ops::Range<u64> {
        let numbers = self.next..self.next + count;
        for number in numbers.clone() {
            let line = format!("u n={number}i {number}");
            self.socket.send_to(line.as_bytes(), to).expect("loopback takes a datagram");
            if number % 64 == 0 {
                // The pace of a sender: no bursts that would fill the kernel's buffer on a busy machine.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.next = numbers.end;
        numbers
    }
}

/// A port on a loopback address that no other test uses.
fn free_udp() -> SocketAddr {
    let [a, b, c, _] = std::process::id().to_be_bytes().map(|byte| byte.wrapping_mul(7));
    let address = SocketAddr::from(([127, a ^ c | 1, b | 1, fastrand::u8(1..=254)], 0));
    let socket = UdpSocket::bind(address).expect("a free port");
    socket.local_addr().expect("a bound socket has an address")
}

/// The numbers that have come for a database, in their order.
fn numbers(fake: &Fake, db: &str) -> Vec<u64> {
    let lines = fake.lines_of(db);
    let number = |line: &String| line.rsplit_once(' ').expect("lines have times").1.parse().expect("a number");
    lines.iter().filter(|line| line.starts_with("u ")).map(number).collect()
}

/// Waits until each of `wanted` has come for a database, once, and nothing else that is later than the first of them.
#[track_caller]
fn wait_numbers(fake: &Fake, db: &str, wanted: std::ops::Range<u64>) {
    let since = Instant::now();
    loop {
        let mut came = numbers(fake, db);
        came.retain(|number| *number >= wanted.start);
        came.sort_unstable();
        if came.iter().copied().eq(wanted.clone()) {
            return;
        }
        let lacking = wanted.clone().filter(|number| came.binary_search(number).is_err()).count();
        let told = format!("{db}: {} came for {wanted:?}, {lacking} of them are lacking", came.len());
        assert!(since.elapsed() < SOON && came.len() as u64 <= wanted.end - wanted.start, "{told}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn udp(listeners: &[(SocketAddr, &str, &str)]) -> String {
    let listener = |(bind, db, spread): &(SocketAddr, &str, &str)| serde_json::json!({"bind": bind.to_string(), "db": db, "spread": spread});
    serde_json::Value::from(listeners.iter().map(listener).collect::<Vec<_>>()).to_string()
}

fn datagrams(slotline: &Slotline, addr: SocketAddr) -> Option<f64> {
    slotline.figure(&format!("slotline_udp_datagrams_total{{listener=\"{addr}\"}}"))
}

#[track_caller]
fn wait_open(slotline: &Slotline, addr: SocketAddr) {
    wait_for(&format!("the listener {addr}"), SOON, || datagrams(slotline, addr).map(drop));
}

#[track_caller]
fn wait_closed(slotline: &Slotline, addr: SocketAddr) {
    wait_for(&format!("the end of the listener {addr}"), SOON, || datagrams(slotline, addr).is_none().then_some(()));
    wait_for(&format!("the port of {addr}"), SOON, || UdpSocket::bind(addr).ok().map(drop));
}

#[test]
fn udp_listeners_open_move_change_and_close_under_load() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fakes = fakes(1);
    let fake = &fakes[0];
    znodes.put("topology", Document::of(urls(&fakes)).text());
    let slotline = Slotline::start(&config(&zookeeper));
    let (one, two) = (free_udp(), free_udp());
    let mut sender = Sender::new();

    znodes.put("udp", udp(&[(one, "first", "random")]));
    wait_open(&slotline, one);
    let mut last = one;
    for _ in 0..4 {
        // It moves at once after the last datagram.
        let sent = sender.send(last, 3000);
        let next = if last == one { two } else { one };
        znodes.put("udp", udp(&[(next, "first", "random")]));
        wait_open(&slotline, next);
        wait_closed(&slotline, last);
        wait_numbers(fake, "first", sent);
        last = next;
    }

    // Under load it is told another database: nothing is lost, and soon all goes there.
    let from = sender.send(last, 200).start;
    znodes.put("udp", udp(&[(last, "second", "random")]));
    wait_for("the other database", SOON, || {
        let sent = sender.send(last, 100);
        wait_for("what was sent", SOON, || {
            let all = numbers(fake, "first").iter().chain(&numbers(fake, "second")).filter(|n| **n >= from).count();
            (all as u64 == sent.end - from).then_some(())
        });
        let there = numbers(fake, "second");
        sent.clone().all(|number| there.contains(&number)).then_some(())
    });
    wait_numbers(fake, "second", sender.send(last, 1000));
    let (mut both, second) = (numbers(fake, "first"), numbers(fake, "second"));
    both.extend(second);
    both.sort_unstable();
    assert!(both.iter().copied().eq(1..sender.next), "each number comes once");

    // One sender's datagrams go to one core, and keep their order; then to all again.
    znodes.put("udp", udp(&[(last, "third", "source")]));
    wait_for("the other spread", SOON, || {
        let sent = sender.send(last, 400);
        let all = || numbers(fake, "second").into_iter().chain(numbers(fake, "third")).filter(|n| *n >= sent.start);
        wait_for("what was sent", SOON, || (all().count() == 400).then_some(()));
        (numbers(fake, "second").last() < Some(&sent.start) && all().is_sorted()).then_some(())
    });
    let sent = sender.send(last, 3000);
    wait_numbers(fake, "third", sent.clone());
    assert!(numbers(fake, "third").into_iter().filter(|n| *n >= sent.start).is_sorted());
    znodes.put("udp", udp(&[(last, "third", "random")]));
    wait_for("both cores", SOON, || {
        let sent = sender.send(last, 3000);
        wait_numbers(fake, "third", sent.clone());
        (!numbers(fake, "third").into_iter().filter(|n| *n >= sent.start).is_sorted()).then_some(())
    });

    // Closed and opened again, in turns by an empty list and by none.
    for round in 0..4 {
        let sent = sender.send(last, 2000);
        if round % 2 == 0 {
            znodes.put("udp", "[]")
        } else {
            znodes.delete("udp")
        }
        wait_closed(&slotline, last);
        wait_numbers(fake, "third", sent);
        znodes.put("udp", udp(&[(last, "third", "random")]));
        wait_open(&slotline, last);
    }
    // What has come before a topology goes to it; what comes later goes elsewhere; nothing is lost in between.
    wait_numbers(fake, "third", sender.send(last, 100));
    let dropped = format!("slotline_udp_dropped_total{{listener=\"{last}\",reason=\"kernel\"}}");
    assert_eq!(slotline.figure(&dropped), Some(0.0));
    assert_eq!(slotline.says("cannot listen"), 0, "{}", slotline.log());
}

#[test]
fn udp_listeners_that_cannot_be() {
    let mut zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fakes = fakes(1);
    let fake = &fakes[0];
    znodes.put("topology", Document::of(urls(&fakes)).text());
    let (own, good, taken) = (free_udp(), free_udp(), free_udp());
    let slotline = Slotline::start(
        &config(&zookeeper).lines_listener("udp", &own.to_string(), "own").set("limits", "udp_listeners_max = 2"),
    );
    let mut sender = Sender::new();
    let good_one = (good, "good", "random");

    // config.toml wins.
    znodes.put("udp", udp(&[(own, "other", "random"), good_one]));
    wait_open(&slotline, good);
    slotline.wait_says("the shared UDP listener is left out");
    wait_numbers(fake, "own", sender.send(own, 500));

    // Broken documents change nothing.
    let broken = [
        ("cut off", "[{".to_owned()),
        ("empty", String::new()),
        ("no list", "{}".to_owned()),
        ("one port twice", udp(&[good_one, (good, "other", "random")])),
        ("port 0", udp(&[(SocketAddr::from(([127, 0, 0, 1], 0)), "other", "random")])),
        ("no database", udp(&[(good, "", "random")])),
        ("an unknown spread", udp(&[(good, "other", "evenly")])),
        ("an unknown key", udp(&[good_one]).replace("\"db\"", "\"base\"")),
        (
            "more than limits.udp_listeners_max",
            udp(&[good_one, (free_udp(), "a", "random"), (free_udp(), "b", "random")]),
        ),
    ];
    for (number, (what, document)) in (1..).zip(&broken) {
        znodes.put("udp", document);
        wait_for(&format!("the refusal of {what}"), SOON, || {
            let counted = slotline.figure("slotline_udp_document_refused_total") == Some(f64::from(number));
            (counted && slotline.says("the UDP listeners are refused whole") == number as usize).then_some(())
        });
        wait_numbers(fake, "good", sender.send(good, 20));
    }

    // Another process has the port.
    let squatter = UdpSocket::bind(taken).expect("it is free");
    znodes.put("udp", udp(&[good_one, (taken, "taken", "random")]));
    slotline.wait_says(&format!("cannot listen on {taken}"));
    wait_numbers(fake, "good", sender.send(good, 20));
    drop(squatter);
    wait_open(&slotline, taken);
    wait_numbers(fake, "taken", sender.send(taken, 20));
    assert_eq!(slotline.says("cannot listen on"), 1, "told once");
    znodes.put("udp", udp(&[good_one]));
    wait_closed(&slotline, taken);
    // The same, and ZooKeeper goes away meanwhile.
    let squatter = UdpSocket::bind(taken).expect("it is free");
    znodes.put("udp", udp(&[good_one, (taken, "taken", "random")]));
    wait_for("the trouble", SOON, || (slotline.says(&format!("cannot listen on {taken}")) == 2).then_some(()));
    zookeeper.kill9();
    slotline.wait_metric("slotline_zookeeper_connected", 0.0);
    drop(squatter);
    wait_open(&slotline, taken);
    wait_numbers(fake, "taken", sender.send(taken, 20));
    wait_numbers(fake, "own", sender.send(own, 20));
}

#[test]
fn a_udp_listener_that_still_delivers_can_be_opened_again() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fakes = fakes(1);
    let fake = &fakes[0];
    znodes.put("topology", Document::of(urls(&fakes)).text());
    let slotline = Slotline::start(&config(&zookeeper));
    let addr = free_udp();
    let any = SocketAddr::from(([0, 0, 0, 0], addr.port()));
    let mut sender = Sender::new();
    znodes.put("udp", udp(&[(addr, "db", "random")]));
    wait_open(&slotline, addr);
    fake.set(Play::Answer(500, "{\"error\":\"down\"}".to_owned()));
    let first = sender.send(addr, 200);
    wait_for("a try", SOON, || (!fake.requests().is_empty()).then_some(()));
    // The replica is down: what has come waits, and must not keep the port.
    znodes.put("udp", "[]");
    slotline.wait_says("closing protocol=udp");
    znodes.put("udp", udp(&[(any, "again", "random")]));
    wait_open(&slotline, any);
    let second = sender.send(addr, 200);
    fake.set(Play::stored());
    wait_for("all that was sent", SOON, || {
        let (one, two) = (numbers(fake, "db"), numbers(fake, "again"));
        (first.clone().all(|n| one.contains(&n)) && second.clone().all(|n| two.contains(&n))).then_some(())
    });
    // From every address to one of them: the ports overlap.
    znodes.put("udp", udp(&[(addr, "one", "random")]));
    wait_open(&slotline, addr);
    wait_numbers(fake, "one", sender.send(addr, 200));
}

/// Somebody who sends 100,000 points a second, 8 a datagram, wherever it is told to.
struct Stream {
    target: Arc<Mutex<SocketAddr>>,
    stop: Arc<AtomicBool>,
    /// How many points it has sent, and for how long.
    sending: JoinHandle<(u64, Duration)>,
}

impl Stream {
    const POINTS_PER_MS: u64 = 100;
    const POINTS_PER_DATAGRAM: u64 = 8;

    fn start(to: SocketAddr) -> Stream {
        let (target, stop) = (Arc::new(Mutex::new(to)), Arc::<AtomicBool>::default());
        let (to, stopped) = (target.clone(), stop.clone());
        let sending = std::thread::spawn(move || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
            let (mut next, began) = (1, Instant::now());
            let mut due = began;
            while !stopped.load(Ordering::Relaxed) {
                // Nobody changes it while something goes there.
                let target = to.lock().expect("no holder panics");
                let end = next + Stream::POINTS_PER_MS;
                while next < end {
                    let upto = (next + Stream::POINTS_PER_DATAGRAM).min(end);
                    let lines: String = (next..upto).map(|number| format!("u n={number}i {number}\n")).collect();
                    socket.send_to(lines.as_bytes(), *target).expect("loopback takes a datagram");
                    next = upto;
                }
                drop(target);
                due += Duration::from_millis(1);
                match due.checked_duration_since(Instant::now()) {
                    Some(left) => std::thread::sleep(left),
                    // A machine that had no time for us is not made up for by a burst.
                    None if due.elapsed() > Duration::from_millis(20) => due = Instant::now(),
                    None => {}
                }
            }
            (next - 1, began.elapsed())
        });
        Stream { target, stop, sending }
    }

    /// From when this returns nothing more goes to the old place.
    fn turn_to(&self, to: SocketAddr) {
        *self.target.lock().expect("no holder panics") = to;
    }
}

#[test]
fn at_full_rate_a_listener_moves_and_nothing_is_lost() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fakes = fakes(1);
    znodes.put("topology", Document::of(urls(&fakes)).text());
    let slotline = Slotline::start(&config(&zookeeper));
    let operator = Operator::of(zookeeper.addr());
    let (mut old, mut new) = (free_udp(), free_udp());
    operator.does(&format!("udp add {old} db"));
    let stream = Stream::start(old);
    for _ in 0..3 {
        operator.does(&format!("udp add {new} db"));
        stream.turn_to(new);
        // What was sent before still lies in its sockets.
        operator.does(&format!("udp remove {old}"));
        (old, new) = (new, old);
    }
    stream.stop.store(true, Ordering::Relaxed);
    let (sent, time) = stream.sending.join().expect("it does not panic");
    println!("{sent} points at {:.0} a second over three moves", sent as f64 / time.as_secs_f64());
    wait_numbers(&fakes[0], "db", 1..sent + 1);
    let dropped = format!("slotline_udp_dropped_total{{listener=\"{old}\",reason=\"kernel\"}}");
    assert_eq!(slotline.figure(&dropped), Some(0.0));
}
