//! Three proxies under load while everything that can be changed is changed, and ZooKeeper fails in every way: no request
//! fails, and every point lies where a topology of its time says.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use support::*;

/// Times of points tell by which client they came.
const BASE: u64 = 1_000_000_000;
/// All proxies apply a change.
const APPLIED_MEDIAN_MAX: Duration = Duration::from_millis(300);
/// The longest that a client waits for an answer around a change.
const PAUSE_MEDIAN_MAX: Duration = Duration::from_secs(1);
/// Of either, and of any answer at all.
const WORST_MAX: Duration = Duration::from_secs(3);

struct Scene {
    operator: Operator,
    reigns: Vec<Reign>,
    took: Vec<Duration>,
    writers: Vec<Load>,
    others: Vec<Load>,
}

/// What clients and operator have seen.
struct Seen {
    writes: Vec<Sent>,
    /// Queries, and whether proxies are ready.
    others: Vec<Sent>,
    reigns: Vec<Reign>,
    took: Vec<Duration>,
}

impl Seen {
    fn all(&self) -> impl Iterator<Item = &Sent> {
        self.writes.iter().chain(&self.others)
    }

    /// For each change the longest that a client waited for an answer which came, or was asked for, while it was made.
    fn pauses(&self) -> Vec<Duration> {
        // The reign before begins its end with the next one's begin.
        let changes = self.reigns.iter().zip(&self.reigns[1..]);
        let windows = changes.map(|(old, new)| (new.from, old.until.expect("it is over")));
        let pause = |(from, until)| {
            let meanwhile = self.all().filter(|sent| sent.ended >= from && sent.began <= until);
            meanwhile.map(|sent| sent.ended - sent.began).max().unwrap_or_default()
        };
        windows.map(pause).collect()
    }

    /// Prints how long changes took and how long clients waited; neither is too long.
    #[track_caller]
    fn assert_prompt(&self) {
        let median_and_worst = |what: &str, mut times: Vec<Duration>| {
            times.sort();
            let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
            println!("{what}: median {median:.2?}, worst {worst:.2?}");
            (median, worst)
        };
        println!("{} changes, {} writes, {} other requests", self.took.len(), self.writes.len(), self.others.len());
        let applied = median_and_worst("applied by all", self.took.clone());
        let paused = median_and_worst("longest wait of a client around a change", self.pauses());
        let (_, slowest) = median_and_worst("all answers", self.all().map(|sent| sent.ended - sent.began).collect());
        assert!(applied.0 <= APPLIED_MEDIAN_MAX && paused.0 <= PAUSE_MEDIAN_MAX, "{applied:?}, {paused:?}");
        assert!(applied.1 <= WORST_MAX && slowest <= WORST_MAX, "{applied:?}, {slowest:?}");
    }
}

impl Scene {
    fn start(operator: Operator, proxies: &[Slotline]) -> Scene {
        let document = Document::read(&operator.json("topology show"));
        let reigns = vec![Reign { document, from: Instant::now(), until: None }];
        let writers = proxies.iter().zip(1..).map(|(proxy, number)| {
            Load::start(proxy.http(), 2, Duration::from_millis(4), move |client, n| {
                let line = |k: u64| {
                    let time = (number * 10 + client) * BASE + n * 10 + k;
                    format!("m{},host=h{} v=1 {time}", (n * 7 + k * 5) % 30, (n + k) % 4)
                };
                Request::write("db=db", (0..5).map(line).collect::<Vec<_>>().join("\n"))
            })
        });
        let readers = proxies.iter().map(|proxy| {
            Load::start(proxy.http(), 1, Duration::from_millis(5), |_, n| {
                let q = match n % 3 {
                    0 => "SHOW MEASUREMENTS".to_owned(),
                    1 => format!("SELECT count(v) FROM m{}", 10 + n % 20),
                    _ => "CREATE DATABASE db".to_owned(),
                };
                Request::query(&[("db", "db"), ("q", &q)])
            })
        });
        let writers: Vec<Load> = writers.collect();
        let others = readers.chain(proxies.iter().map(|proxy| Load::ready(proxy.http()))).collect();
        let scene = Scene { operator, reigns, took: Vec::new(), writers, others };
        scene.go_on();
        scene
    }

    /// Every client is answered some more.
    #[track_caller]
    fn go_on(&self) {
        self.writers.iter().for_each(|load| load.more(20));
        self.others.iter().for_each(Load::check);
    }

    /// A change of the topology, which all proxies apply when this returns.
    #[track_caller]
    fn does(&mut self, words: &str) {
        let from = Instant::now();
        let ended = self.operator.run(words, &["--yes", "--wait=20s", "--json"]);
        assert_eq!(ended.code, 0, "{words}: {}", ended.said());
        let until = Instant::now();
        let done: serde_json::Value = serde_json::from_str(&ended.stdout).expect("it prints JSON");
        assert_eq!((done["proxies"].as_u64(), &done["behind"]), (Some(3), &serde_json::json!([])), "{words}: {done}");
        let took = Duration::from_secs_f64(done["seconds"].as_f64().expect("a number"));
        println!("{words}: applied by all after {took:.2?}; the whole command {:.2?}", until - from);
        self.took.push(took);
        self.reigns.last_mut().expect("there is a first").until = Some(until);
        let document = Document::read(&self.operator.json("topology show"));
        self.reigns.push(Reign { document, from, until: None });
        self.go_on();
    }

    /// Nothing has failed.
    #[track_caller]
    fn finish(self) -> Seen {
        let Scene { reigns, took, writers, others, .. } = self;
        let sent = |loads: Vec<Load>| loads.into_iter().flat_map(Load::finish).collect();
        Seen { writes: sent(writers), others: sent(others), reigns, took }
    }
}

fn config(zookeeper: impl std::fmt::Display) -> Config {
    Config::new().zookeeper(zookeeper).set("limits", "health_interval = \"200ms\"")
}

/// What one server holds is written to another: what operators do by backup and restore.
fn restore(from: &Influxd, to: &Influxd) {
    let mut lines = Vec::new();
    for (series, points) in facts(from.http(), "db") {
        for point in points {
            let (time, field) = point.split_once(' ').expect("a time and a field");
            lines.push(format!("{},host={} {field} {time}", series.measurement, series.tag("host")));
        }
    }
    lines.chunks(5000).for_each(|part| to.http().store("db", part.join("\n")));
}

#[test]
fn everything_is_changed_under_load_and_zookeeper_fails() {
    let mut zookeeper = Zookeeper::start();
    let servers: Vec<Influxd> = (0..6).map(|_| Influxd::start()).collect();
    servers[..3].iter().for_each(|server| drop(server.http().run("", "CREATE DATABASE db")));
    let member = |name: &str, at: usize| Member::new(name, servers[at].url());
    let groups = vec![(1, vec![member("g1a", 0), member("g1b", 1)]), (2, vec![member("g2a", 2)])];
    let document = Document { epoch: 1, groups, slots: vec![(0, 511, 1), (512, 1023, 2)], by_host: false };
    Znodes::of(zookeeper.addr()).put("topology", document.text());
    let relay = Relay::start(zookeeper.addr());
    let proxies = [
        Slotline::start(&config(zookeeper.addr())),
        Slotline::start(&config(relay.addr())),
        Slotline::start(&config(zookeeper.addr())),
    ];
    proxies.iter().for_each(|proxy| proxy.wait_epoch(1));
    let mut scene = Scene::start(Operator::of(zookeeper.addr()), &proxies);
    let named = |name: &str, at: usize| format!("{name}={}", servers[at].url());

    scene.does(&format!("groups add {}", named("g3a", 3)));
    scene.does("slots spread --empty");
    scene.does("slots assign 100-300,700-800 3 --force");
    scene.does("rules add db /^m[0-9]$/ host --force");
    scene.does(&format!("groups add-replica 2 {}", named("g2b", 4)));
    restore(&servers[2], &servers[4]);
    scene.does("groups serve g2b");
    scene.does(&format!("groups replace-replica g1b {}", named("g1b", 5)));
    restore(&servers[0], &servers[5]);
    scene.does("groups serve g1b");
    scene.does("rules remove 1 --force");
    scene.does("groups remove --replica g2a --force");
    scene.does("slots spread --force");
    let before_last = scene.reigns[scene.reigns.len() - 2].document.epoch;
    scene.does(&format!("topology rollback {before_last} --force"));
    scene.does("slots assign 0-1023 1 --force");
    scene.does("groups remove 3");

    // ZooKeeper is killed, frozen, cut off from one, and damaged by hand.
    zookeeper.kill9();
    proxies.iter().for_each(|proxy| proxy.wait_metric("slotline_zookeeper_connected", 0.0));
    scene.go_on();
    zookeeper.launch();
    proxies.iter().for_each(|proxy| proxy.wait_metric("slotline_zookeeper_connected", 1.0));
    scene.does("slots assign 0-99 2 --force");
    zookeeper.pause();
    scene.go_on();
    zookeeper.resume();
    relay.cut();
    proxies[1].wait_metric("slotline_zookeeper_connected", 0.0);
    scene.go_on();
    relay.mend();
    proxies.iter().for_each(|proxy| proxy.wait_metric("slotline_zookeeper_connected", 1.0));
    let mut znodes = Znodes::of(zookeeper.addr());
    znodes.put("topology", "{");
    proxies.iter().for_each(|proxy| proxy.wait_metric("slotline_topology_refused_total", 1.0));
    scene.go_on();
    znodes.delete("topology");
    proxies.iter().for_each(|proxy| proxy.wait_metric("slotline_topology_refused_total", 2.0));
    scene.go_on();
    scene.does(&format!("topology rollback {before_last} --force"));

    // Listeners come and go beside it.
    let port = own_addr();
    let udp = |words: &str| scene.operator.run(words, &["--yes"]);
    assert_eq!(udp(&format!("udp add {port} lines")).code, 0);
    assert_eq!(udp(&format!("udp remove {port}")).code, 0);
    scene.go_on();

    let seen = scene.finish();
    seen.assert_prompt();
    proxies.iter().for_each(|proxy| assert_eq!(proxy.figure("slotline_panics_total"), Some(0.0)));
    proxies.iter().for_each(Slotline::wait_direct);
    let late: BTreeSet<String> = [&servers[4], &servers[5]].map(Influxd::url).into();
    assert_placed(&seen.writes, &seen.reigns, found(&servers, ""), &late);
}

#[test]
fn an_ensemble_loses_its_leader() {
    let mut ensemble = Zookeeper::ensemble();
    let list = ensemble.iter().map(|member| member.addr().to_string()).collect::<Vec<_>>().join(",");
    let servers: Vec<Influxd> = (0..2).map(|_| Influxd::start()).collect();
    servers.iter().for_each(|server| drop(server.http().run("", "CREATE DATABASE db")));
    Znodes::of(&list).put("topology", Document::of(servers.iter().map(Influxd::url)).text());
    let proxies: Vec<Slotline> = (0..3).map(|_| Slotline::start(&config(&list))).collect();
    proxies.iter().for_each(|proxy| proxy.wait_epoch(1));
    let mut scene = Scene::start(Operator::of(&list), &proxies);
    scene.does("slots assign 0-99 2 --force");
    let leader = ensemble.iter().position(Zookeeper::is_leader).expect("three have a leader");
    ensemble[leader].kill9();
    scene.go_on();
    // The other two agree again, and all are back.
    let others = || ensemble.iter().enumerate().filter(|(at, _)| *at != leader);
    wait_for("another leader", SOON, || others().any(|(_, member)| member.is_leader()).then_some(()));
    proxies.iter().for_each(|proxy| proxy.wait_metric("slotline_zookeeper_connected", 1.0));
    wait_for("all registrations", SOON, || {
        let there = scene.operator.run("proxies", &["--json"]);
        let there: serde_json::Value = serde_json::from_str(&there.stdout).ok()?;
        (there.as_array()?.len() == 3).then_some(())
    });
    scene.does("slots assign 100-199 2 --force");
    // Without a majority the last one only lets others read, which is not enough: what was said last stays.
    let second = others().map(|(at, _)| at).next().expect("two are left");
    ensemble[second].kill9();
    proxies.iter().for_each(|proxy| proxy.wait_metric("slotline_zookeeper_connected", 0.0));
    scene.go_on();
    wait_for("the reason", SOON, || {
        let ended = scene.operator.run("slots assign 0 2 --force", &["--yes"]);
        assert_eq!(ended.code, 1, "{}", ended.said());
        ended.said().contains("it is read-only: it has lost its quorum").then_some(())
    });
    ensemble[leader].launch();
    proxies.iter().for_each(|proxy| proxy.wait_metric("slotline_zookeeper_connected", 1.0));
    wait_for("all registrations", SOON, || {
        let there = scene.operator.run("proxies", &["--json"]);
        let there: serde_json::Value = serde_json::from_str(&there.stdout).ok()?;
        (there.as_array()?.len() == 3).then_some(())
    });
    scene.does("slots assign 0-199 1 --force");
    let seen = scene.finish();
    seen.assert_prompt();
    proxies.iter().for_each(|proxy| assert!(proxy.says("ZooKeeper is away") <= 2, "once an outage: {}", proxy.log()));
    assert_placed(&seen.writes, &seen.reigns, found(&servers, ""), &BTreeSet::new());
}
