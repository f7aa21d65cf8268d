//! ZooKeeper goes away and comes back, in every way, while the proxy serves; and what the proxy tells ZooKeeper of itself.

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::*;

const CONNECTED: &str = "slotline_zookeeper_connected";
const DRAIN_S: u64 = 2;

fn config(zookeeper: SocketAddr) -> Config {
    Config::new().zookeeper(zookeeper).set("server", &format!("drain_timeout = \"{DRAIN_S}s\""))
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
        .listen_lines("tcp", "127.0.0.1:0", "lines")
        .listen_lines("udp", "127.0.0.1:0", "lines")
        .group(&replicas);
    let mut slotline = Slotline::start(&config);
    slotline.wait_says("data_dir holds no topology");
    assert_without_topology(&slotline);

    // It ends at once, although somebody waits for a topology.
    let mut idle = Http::new(slotline.listening("tcp")).connect();
    idle.send(b"early v=1 1\n");
    wait_for("the connection", SOON, || (slotline.metric("slotline_connections")? >= 1.0).then_some(()));
    let before = Instant::now();
    assert_eq!(slotline.stop(), 0);
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    assert_eq!(slotline.says("drain_timeout"), 0, "{}", slotline.log());

    slotline.start_again(&config, &[]);
    assert_without_topology(&slotline);
    let mut early = Http::new(slotline.listening("tcp")).connect();
    early.send(b"early v=1 1\n");
    zookeeper.launch();
    slotline.wait_metric(CONNECTED, 1.0);
    assert_without_topology(&slotline);
    let path = slotline.config_path();
    let ended = run(&["topology", "push", "--config", path.to_str().expect("UTF-8")], "");
    assert_eq!(ended.code, 0, "{ended:?}");
    let before = Instant::now();
    wait_for("the first answer", SOON, || (slotline.http().write("db", "a v=1 1").status == 204).then_some(()));
    for path in ["/ping", "/query?q=SHOW+DATABASES", "/ready"] {
        let answer = slotline.http().get(path);
        assert!(matches!(answer.status, 200 | 204), "{path}: {answer:?}");
    }
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    wait_for("what came before", SOON, || (fake.lines("lines").len() == 1).then_some(()));
    drop(early);

    // Gone again at the next start: the copy serves, UDP too. A newer document comes with it.
    let shared = SocketAddr::from(([127, 0, 0, 1], 0));
    let shared = std::net::UdpSocket::bind(shared).and_then(|socket| socket.local_addr()).expect("a free port");
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
    assert_eq!(slotline.metric("slotline_topology_epoch"), Some(1.0));
    let loads = [Load::usual(slotline.http()), Load::ready(slotline.http())];
    loads[0].more(50);
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    sender.send_to(b"u v=1 1", shared).expect("loopback takes a datagram");
    wait_for("the datagram", SOON, || (fake.lines("shared").len() == 1).then_some(()));
    assert_eq!(newer.writes().len(), 0);
    zookeeper.launch();
    slotline.wait_epoch(2);
    wait_for("the end of the listener", SOON, || slotline.metric(&datagrams).is_none().then_some(()));
    let before = newer.writes().len();
    wait_for("the newer replica", SOON, || (newer.writes().len() > before + 20).then_some(()));
    loads.into_iter().for_each(|load| drop(load.finish()));
}
