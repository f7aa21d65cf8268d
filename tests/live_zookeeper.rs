//! ZooKeeper goes away and comes back, in every way, while the proxy serves; and what the proxy tells ZooKeeper of itself.

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::*;

/// How long after ZooKeeper is there again the proxy has found it, at the latest: it looks every three seconds.
const FOUND: Duration = Duration::from_secs(8);
const CONNECTED: &str = "slotline_zookeeper_connected";
const DRAIN_S: u64 = 2;

fn config(zookeeper: SocketAddr) -> Config {
    let config = Config::new().zookeeper(zookeeper).set("server", &format!("drain_timeout = \"{DRAIN_S}s\""));
    config.set("cluster", "confirm_within = \"6s\"")
}

/// A fake replica, and the document that gives it everything.
fn one() -> (Fake, Document) {
    let fake = Fake::start(Play::stored());
    let document = Document::of([fake.url()]);
    (fake, document)
}

/// What a change that hides nothing looks like.
fn next(document: &mut Document) -> String {
    document.epoch += 1;
    document.text()
}

/// The processor time that it uses while nobody asks it anything.
fn idle_share(slotline: &Slotline, time: Duration) -> f64 {
    let before = slotline.cpu();
    std::thread::sleep(time);
    (slotline.cpu() - before).as_secs_f64() / time.as_secs_f64()
}

/// What the one proxy says of itself, once it says what is wanted.
#[track_caller]
fn wait_registered(znodes: &mut Znodes, wanted: impl Fn(&Value) -> bool) -> Value {
    wait_for("the registration", SOON, || {
        let mut all = znodes.proxies();
        assert!(all.len() <= 1, "{all:?}");
        all.pop().filter(&wanted)
    })
}

#[test]
fn the_registration_follows_and_goes_and_comes_back() {
    let zookeeper = Zookeeper::start_with("maxSessionTimeout=4000");
    let mut znodes = Znodes::of(zookeeper.addr());
    let (fake, mut document) = one();
    znodes.put("topology", document.text());
    let mut slotline = Slotline::start(&config(zookeeper.addr()));
    let epoch = |wanted: u64| move |json: &Value| json["epoch"] == wanted;
    let first = wait_registered(&mut znodes, epoch(1));
    let keys: Vec<&String> = first.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["admin", "epoch", "http", "id", "started", "version"]);
    let id = std::fs::read_to_string(slotline.data_dir().join("id")).expect("it has an id");
    assert_eq!(first["id"], id.trim());
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(first["http"], slotline.http().addr.to_string());
    assert_eq!(first["admin"], slotline.admin().addr.to_string());
    let started = first["started"].as_str().expect("a text");
    assert!(started.len() >= 20 && &started[10..11] == "T" && started.ends_with('Z'), "{started}");
    let path = format!("/slotline/main/proxies/{}", id.trim());
    assert!(zookeeper.says("dump").contains(&path), "it is ephemeral: {}", zookeeper.says("dump"));

    znodes.put("topology", next(&mut document));
    wait_registered(&mut znodes, epoch(2));

    // It is gone soon after SIGTERM, and the same at the next start.
    let before = Instant::now();
    assert_eq!(slotline.stop(), 0);
    wait_for("the end of the registration", SOON, || znodes.proxies().is_empty().then_some(()));
    assert!(before.elapsed() < Duration::from_secs(3), "{:?}", before.elapsed());
    slotline.start_again(&config(zookeeper.addr()), &[]);
    assert_eq!(wait_registered(&mut znodes, epoch(2))["id"], id.trim());

    // After a crash the new start takes the place of the session that is still there.
    slotline.kill9();
    slotline.start_again(&config(zookeeper.addr()), &[]);
    let addr = slotline.http().addr.to_string();
    assert_eq!(wait_registered(&mut znodes, |json| json["http"] == *addr)["id"], id.trim());
    wait_for("the end of earlier sessions", SOON, || (zookeeper.sessions() == 2).then_some(()));
    wait_registered(&mut znodes, |json| json["http"] == *addr);

    // Frozen for longer than its session: gone; back again, and it follows.
    slotline.signal(libc::SIGSTOP);
    wait_for("the end of the registration", SOON, || znodes.proxies().is_empty().then_some(()));
    znodes.put("topology", next(&mut document));
    slotline.signal(libc::SIGCONT);
    wait_registered(&mut znodes, epoch(3));
    slotline.http().store("db", "a v=1 1");
    assert_eq!(fake.lines_of("db").len(), 1);
    // Two sessions: the proxy's and the test's.
    wait_for("the end of earlier sessions", SOON, || (zookeeper.sessions() == 2).then_some(()));
}

#[test]
fn a_killed_zookeeper_disturbs_nobody() {
    let mut zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let (fake, mut document) = one();
    znodes.put("topology", document.text());
    let mut slotline = Slotline::start(&config(zookeeper.addr()));
    slotline.wait_metric(CONNECTED, 1.0);
    let there = idle_share(&slotline, Duration::from_secs(2));
    for round in 0..2 {
        let loads = [Load::usual(slotline.http()), Load::ready(slotline.http())];
        loads[0].more(50);
        zookeeper.kill9();
        slotline.wait_metric(CONNECTED, 0.0);
        loads[0].more(300);
        if round == 0 {
            // The last attempts come every few seconds by then.
            loads.into_iter().for_each(|load| drop(load.finish()));
            let away = idle_share(&slotline, Duration::from_secs(4));
            assert!(away < there + 0.05, "idle with ZooKeeper {there:.3}, without {away:.3} of a core");
        } else {
            loads[0].more(100);
            loads.into_iter().for_each(|load| drop(load.finish()));
        }
        let loads = [Load::usual(slotline.http()), Load::ready(slotline.http())];
        zookeeper.launch();
        znodes.put("topology", next(&mut document));
        let before = Instant::now();
        slotline.wait_epoch(document.epoch);
        assert!(before.elapsed() < FOUND, "{:?}", before.elapsed());
        loads[0].more(50);
        loads.into_iter().for_each(|load| drop(load.finish()));
        wait_registered(&mut znodes, |json| json["epoch"] == document.epoch);
    }
    assert_eq!(slotline.says("ZooKeeper is away"), 2, "once an outage: {}", slotline.log());
    assert!(fake.writes().len() > 400);
    // And it ends well without ZooKeeper.
    zookeeper.kill9();
    slotline.wait_metric(CONNECTED, 0.0);
    assert_eq!(slotline.stop(), 0);
}

#[test]
fn a_frozen_zookeeper_disturbs_nobody() {
    let zookeeper = Zookeeper::start_with("maxSessionTimeout=4000");
    let mut znodes = Znodes::of(zookeeper.addr());
    let (_fake, mut document) = one();
    znodes.put("topology", document.text());
    let mut slotline = Slotline::start(&config(zookeeper.addr()));
    slotline.wait_metric(CONNECTED, 1.0);
    let there = idle_share(&slotline, Duration::from_secs(2));
    let loads = [Load::usual(slotline.http()), Load::ready(slotline.http())];
    zookeeper.pause();
    loads[0].more(500);
    slotline.wait_metric(CONNECTED, 0.0);
    loads[0].more(100);
    loads.into_iter().for_each(|load| drop(load.finish()));
    let away = idle_share(&slotline, Duration::from_secs(4));
    assert!(away < there + 0.05, "idle with ZooKeeper {there:.3}, frozen {away:.3} of a core");
    let loads = [Load::usual(slotline.http()), Load::ready(slotline.http())];
    zookeeper.resume();
    // The session has expired meanwhile.
    znodes.put("topology", next(&mut document));
    slotline.wait_epoch(document.epoch);
    wait_registered(&mut znodes, |json| json["epoch"] == document.epoch);
    loads.into_iter().for_each(|load| drop(load.finish()));

    // SIGTERM while it hangs, first unnoticed, with a client that does not leave; then after a start by the copy.
    zookeeper.pause();
    for round in 0..2 {
        if round == 1 {
            slotline.start_again(&config(zookeeper.addr()), &[]);
            assert_eq!(slotline.figure(CONNECTED), Some(0.0));
            assert_eq!(slotline.figure("slotline_topology_epoch"), Some(document.epoch as f64));
        }
        slotline.http().store("db", "a v=1 1");
        let mut hanging = slotline.http().connect();
        hanging.send(b"POST /write?db=db HTTP/1.1\r\nHost: slotline\r\nContent-Length: 100\r\n\r\na v=");
        let before = Instant::now();
        assert_eq!(slotline.stop(), 0);
        let took = before.elapsed();
        assert!(took < Duration::from_secs(DRAIN_S + 3), "{took:?}");
    }
}

const UNCONFIRMED: &str = "slotline_topology_unconfirmed";

/// It serves, and says whether its epoch is confirmed.
#[track_caller]
fn wait_unconfirmed(slotline: &Slotline, reason: &str) {
    slotline.wait_metric(UNCONFIRMED, 1.0);
    wait_for(reason, SOON, || {
        let answer = slotline.http().get("/ready");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.text().contains(" has not been confirmed for "), "{answer:?}");
        answer.text().contains(reason).then_some(())
    });
}

#[track_caller]
fn wait_confirmed(slotline: &Slotline) {
    slotline.wait_metric(UNCONFIRMED, 0.0);
    assert_eq!(slotline.admin().get("/ready").text(), "ready\n");
}

#[test]
fn an_epoch_that_is_not_confirmed_is_told() {
    let zookeeper = Zookeeper::start();
    let relay = Relay::start(zookeeper.addr());
    let mut znodes = Znodes::of(zookeeper.addr());
    let (_fake, mut document) = one();
    znodes.put("topology", document.text());
    let slotline = Slotline::start(&config(relay.addr()));
    slotline.wait_metric(CONNECTED, 1.0);
    wait_confirmed(&slotline);
    relay.cut();
    wait_unconfirmed(&slotline, "epoch 1 has not");
    wait_unconfirmed(&slotline, "ZooKeeper is away");
    slotline.http().store("db", "a v=1 1");
    relay.mend();
    wait_confirmed(&slotline);
    znodes.put("topology", "{");
    wait_unconfirmed(&slotline, "ZooKeeper's is refused: not a topology document");
    znodes.delete("topology");
    wait_unconfirmed(&slotline, "ZooKeeper's is refused: there is none");
    znodes.put("topology", next(&mut document));
    wait_confirmed(&slotline);
}

/// Everybody hears that there is no topology, and why.
#[track_caller]
fn assert_without_topology(slotline: &Slotline) {
    let http = slotline.http();
    for answer in [http.write("db", "a v=1 1"), http.query("db", "SELECT v FROM a"), http.get("/ping")] {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.error().contains("no topology"), "{answer:?}");
    }
    for answer in [http.get("/ready"), slotline.admin().get("/ready")] {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.text().contains("no topology"), "{answer:?}");
    }
    assert_eq!(http.get("/health").status, 200);
}

#[test]
fn a_start_without_zookeeper() {
    let mut zookeeper = Zookeeper::stopped("");
    let mut znodes = Znodes::of(zookeeper.addr());
    let (fake, mut document) = one();
    let replicas = [(config::replica_name(0, 0), fake.url())];
    let config = config(zookeeper.addr())
        .lines_listener("tcp", "127.0.0.1:0", "lines")
        .lines_listener("udp", "127.0.0.1:0", "lines")
        .group(&replicas);
    let mut slotline = Slotline::start(&config);
    slotline.wait_says("data_dir holds no topology");
    assert_without_topology(&slotline);

    // It ends at once, although somebody waits for a topology.
    let mut idle = Http::new(slotline.first_listening("tcp")).connect();
    idle.send(b"early v=1 1\n");
    wait_for("the connection", SOON, || (slotline.figure("slotline_connections")? >= 1.0).then_some(()));
    let before = Instant::now();
    assert_eq!(slotline.stop(), 0);
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    assert_eq!(slotline.says("drain_timeout"), 0, "{}", slotline.log());

    slotline.start_again(&config, &[]);
    assert_without_topology(&slotline);
    let mut early = Http::new(slotline.first_listening("tcp")).connect();
    early.send(b"early v=1 1\n");
    zookeeper.launch();
    slotline.wait_metric(CONNECTED, 1.0);
    assert_without_topology(&slotline);
    let path = slotline.config_path();
    let ended = run(&["topology", "push", "--yes", "--config", path.to_str().expect("UTF-8")], "");
    assert_eq!(ended.code, 0, "{ended:?}");
    let before = Instant::now();
    wait_for("the first answer", SOON, || (slotline.http().write("db", "a v=1 1").status == 204).then_some(()));
    for path in ["/ping", "/query?q=SHOW+DATABASES", "/ready"] {
        let answer = slotline.http().get(path);
        assert!(matches!(answer.status, 200 | 204), "{path}: {answer:?}");
    }
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    wait_for("what came before", SOON, || (fake.lines_of("lines").len() == 1).then_some(()));
    drop(early);

    // Gone again at the next start: the copy serves, UDP too. A newer document comes with it.
    let shared = own_addr();
    znodes.put("udp", serde_json::json!([{"bind": shared.to_string(), "db": "shared"}]).to_string());
    let datagrams = format!("slotline_udp_datagrams_total{{listener=\"{shared}\"}}");
    slotline.wait_metric(&datagrams, 0.0);
    assert_eq!(slotline.stop(), 0);
    let newer = Fake::start(Play::stored());
    document.epoch = 1;
    document.group(1)[0].url = newer.url();
    znodes.put("topology", next(&mut document));
    znodes.put("udp", "[]");
    zookeeper.kill9();
    slotline.start_again(&config, &[]);
    assert_eq!(slotline.figure("slotline_topology_epoch"), Some(1.0));
    let loads = [Load::usual(slotline.http()), Load::ready(slotline.http())];
    loads[0].more(50);
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    sender.send_to(b"u v=1 1", shared).expect("loopback takes a datagram");
    wait_for("the datagram", SOON, || (fake.lines_of("shared").len() == 1).then_some(()));
    assert_eq!(newer.writes().len(), 0);
    zookeeper.launch();
    slotline.wait_epoch(2);
    wait_for("the end of the listener", SOON, || slotline.figure(&datagrams).is_none().then_some(()));
    let before = newer.writes().len();
    wait_for("the newer replica", SOON, || (newer.writes().len() > before + 20).then_some(()));
    loads.into_iter().for_each(|load| drop(load.finish()));
}

#[test]
fn what_changed_while_one_proxy_was_cut_off_is_seen_after() {
    let zookeeper = Zookeeper::start();
    let relay = Relay::start(zookeeper.addr());
    let mut znodes = Znodes::of(zookeeper.addr());
    let (fake, mut document) = one();
    let newer = Fake::start(Play::stored());
    znodes.put("topology", document.text());
    let proxies = [Slotline::start(&config(relay.addr())), Slotline::start(&config(zookeeper.addr()))];
    proxies.iter().for_each(|proxy| proxy.wait_metric(CONNECTED, 1.0));
    let loads: Vec<Load> = proxies.iter().flat_map(|p| [Load::usual(p.http()), Load::ready(p.http())]).collect();
    for (number, url) in [newer.url(), fake.url()].into_iter().enumerate() {
        relay.cut();
        proxies[0].wait_metric(CONNECTED, 0.0);
        let old = document.epoch;
        document.group(1)[0].url = url;
        for _ in 0..3 {
            znodes.put("topology", next(&mut document));
            proxies[1].wait_epoch(document.epoch);
        }
        if number == 1 {
            // What is there when it comes back cannot be taken; what comes then can.
            znodes.put("topology", "{");
        }
        assert_eq!(proxies[0].figure("slotline_topology_epoch"), Some(old as f64));
        loads.iter().for_each(|load| load.more(20));
        relay.mend();
        proxies[0].wait_metric(CONNECTED, 1.0);
        if number == 1 {
            proxies.iter().for_each(|proxy| proxy.wait_metric("slotline_topology_refused_total", 1.0));
            assert_eq!(proxies[0].figure("slotline_topology_epoch"), Some(old as f64));
            znodes.put("topology", next(&mut document));
        }
        proxies.iter().for_each(|proxy| proxy.wait_epoch(document.epoch));
        let (from, to) = if number == 0 { (&fake, &newer) } else { (&newer, &fake) };
        let body = format!("mark{number} v=1 1");
        proxies.iter().for_each(|proxy| proxy.http().store("db", &body));
        let marks = |fake: &Fake| fake.lines_of("db").iter().filter(|line| **line == body).count();
        assert_eq!((marks(from), marks(to)), (0, 2));
    }
    loads.into_iter().for_each(|load| drop(load.finish()));
    wait_for("both registrations", SOON, || (znodes.proxies().len() == 2).then_some(()));
}
