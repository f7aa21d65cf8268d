//! Topologies and UDP listeners that change through ZooKeeper while the proxy serves.

mod support;

use std::time::Duration;

use support::*;

fn config(zookeeper: &Zookeeper) -> Config {
    Config::new().zookeeper(zookeeper.addr()).set("limits", "health_interval = \"100ms\"")
}

fn fakes(count: usize) -> Vec<Fake> {
    (0..count).map(|_| Fake::start(Play::stored())).collect()
}

fn urls(fakes: &[Fake]) -> Vec<String> {
    fakes.iter().map(Fake::url).collect()
}

#[test]
fn what_waits_behind_a_slow_batch_goes_by_the_topology_in_force() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fakes = fakes(2);
    let mut document = Document::of(urls(&fakes));
    znodes.put("topology", document.text());
    let slotline = Slotline::start(&config(&zookeeper).listen_lines("tcp", "127.0.0.1:0", "lines"));
    let mut stream = Http::new(slotline.listening("tcp")).connect();
    let received = |count| slotline.wait_metric("slotline_points_received_total{protocol=\"tcp\"}", count);
    // The database is made first.
    stream.send(b"zero v=1 1\n");
    wait_for("the first line", SOON, || (fakes[0].lines("lines").len() == 1).then_some(()));
    fakes[0].set(Play::Slow(Duration::from_secs(2), 204, String::new()));
    stream.send(b"one v=1 1\n");
    wait_for("a batch on its way", SOON, || (fakes[0].lines("lines").len() == 2).then_some(()));
    stream.send(b"two v=1 1\n");
    received(3.0);
    document.epoch += 1;
    document.slots = vec![(0, 1023, 2)];
    znodes.put("topology", document.text());
    slotline.wait_epoch(2);
    stream.send(b"three v=1 1\n");
    wait_for("the last line", SOON, || (fakes[1].lines("lines").len() == 2).then_some(()));
    assert_eq!(fakes[0].lines("lines"), ["zero v=1 1", "one v=1 1"]);
}
