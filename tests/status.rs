//! `slotline status` and `proxies`: what operators see of a cluster, well and unwell.

mod support;

use serde_json::Value;
use support::*;

struct Scene {
    zookeeper: Zookeeper,
    znodes: Znodes,
    /// Group 1's two, group 2's one.
    servers: Vec<Influxd>,
    document: Document,
    proxies: Vec<Slotline>,
    operator: Operator,
}

impl Scene {
    fn start(proxies: usize) -> Scene {
        let zookeeper = Zookeeper::start_with("maxSessionTimeout=4000");
        let servers: Vec<Influxd> = (0..3).map(|_| Influxd::start()).collect();
        let mut znodes = Znodes::of(zookeeper.addr());
        let member = |name: &str, at: usize| Member::new(name, servers[at].url());
        let groups = vec![(1, vec![member("g1a", 0), member("g1b", 1)]), (2, vec![member("g2a", 2)])];
        let document = Document { epoch: 1, groups, slots: vec![(0, 511, 1), (512, 1023, 2)], by_host: true };
        znodes.put("topology", document.text());
        znodes.put(
            "history/1",
            serde_json::json!({"document": document.json(), "at": "2026-01-01T00:00:00Z"}).to_string(),
        );
        let config = Config::new().zookeeper(zookeeper.addr()).set("limits", "health_interval = \"100ms\"");
        let proxies: Vec<Slotline> = (0..proxies).map(|_| Slotline::start(&config)).collect();
        proxies.iter().for_each(|proxy| proxy.wait_epoch(1));
        let operator = Operator::of(zookeeper.addr());
        let scene = Scene { zookeeper, znodes, servers, document, proxies, operator };
        scene.wait_page(&["all is well"]);
        scene
    }

    fn page(&self) -> String {
        let ended = self.operator.run("status", &[]);
        assert_eq!(ended.code, 0, "{}", ended.said());
        assert!(!ended.stdout.contains('\x1b'), "colours in a pipe: {}", ended.stdout);
        ended.stdout
    }

    /// Waits until the page has all of these; it may be in a pipe, where lines are not broken.
    #[track_caller]
    fn wait_page(&self, parts: &[&str]) -> String {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("the page", SOON, || {
                last = self.page();
                parts.iter().all(|part| last.contains(part)).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| panic!("{parts:?} are not in:\n{last}"))
    }

    fn json(&self) -> Value {
        self.operator.json("status")
    }
}

/// The row of a replica in the page's table, its cells.
fn row(page: &str, replica: &str) -> Vec<String> {
    let row = page.lines().find(|line| line.split_whitespace().any(|word| word == replica));
    let row = row.unwrap_or_else(|| panic!("no {replica} in\n{page}"));
    row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_cluster_that_fares_well_and_one_that_does_not() {
    let mut scene = Scene::start(2);
    let page = scene.page();
    assert!(page.lines().all(|line| line.chars().count() <= 80), "it fits a terminal:\n{page}");
    assert_eq!(row(&page, "g1a"), ["1", "512", "g1a", "serving", "2/2", "direct", "-"]);
    assert_eq!(row(&page, "g1b"), ["g1b", "serving", "2/2", "direct", "-"]);
    let http = scene.proxies[0].http();
    assert!(page.contains(&http.addr.to_string()) && page.contains("connected"), "{page}");

    // A replica away: its points wait, at each proxy that had some.
    http.run("", "CREATE DATABASE db");
    let fixed = slots::measurements_of("db", "fixed", 0, 2, 1).remove(0);
    scene.servers[1].kill9();
    scene.proxies.iter().for_each(|proxy| proxy.http().store("db", format!("{fixed} v=1 1")));
    let down = format!("! replica g1b ({}) is down for 127.0.0.1:", scene.servers[1].url());
    let page = scene.wait_page(&[&down, "2 since 20", "0/2"]);
    assert_eq!(row(&page, "g1b")[..3], ["g1b", "serving", "0/2"]);
    let json = scene.json();
    assert_eq!(json["backlogs"].as_array().map(Vec::len), Some(2), "{json}");
    assert_eq!((&json["backlogs"][0]["replica"], &json["backlogs"][0]["points"]), (&"g1b".into(), &1.into()));
    assert_eq!(json["proxies"][0]["sees"]["replicas"]["g1b"]["up"], false, "{json}");

    // Damaged by hand, it is no backlog of nothing.
    let holder = json["backlogs"][0]["proxy"].as_str().expect("a text").to_owned();
    let path = format!("backlog/g1b/{holder}");
    let good = scene.znodes.get(&path).expect("it is there");
    scene.znodes.put(&path, "{");
    scene.wait_page(&[&format!("! the znode {path} cannot be read")]);
    scene.znodes.put(&path, good);

    // Slots go while points wait for the group that had them.
    scene.document.epoch += 1;
    scene.document.slots = vec![(0, 505, 1), (506, 1023, 2)];
    scene.znodes.put("topology", scene.document.text());
    scene.wait_page(&["holds points for g1b that may be of slots 506-511, which its group does not own any more"]);

    // The replica leaves its group.
    scene.document.epoch += 1;
    scene.document.group(1).pop();
    scene.znodes.put("topology", scene.document.text());
    scene.wait_page(&["holds 1 points for g1b, which is in no group: `slotline spool move g1b NAME`"]);

    // A proxy that is gone still holds what it held.
    let ids: Vec<Value> = scene.operator.json("proxies").as_array().expect("a list").clone();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert_eq!(ids[0]["epoch"], 3);
    let mut gone = scene.proxies.pop().expect("two proxies");
    let addr = gone.http().addr.to_string();
    let id = ids.iter().find(|proxy| proxy["http"] == *addr).expect("it is there")["id"].as_str().expect("a text");
    gone.kill9();
    scene.wait_page(&[&format!("! a proxy that is gone ({id}) holds 1 points for g1b"), "delete the znode"]);
    // What moves slots waits for it, or for the operator's word that it does not run.
    scene.wait_page(&[&format!("! proxy {addr} is gone ({id}) and did not end in good order")]);
    scene.operator.cannot("slots assign 0 2", &[&format!("proxy {addr} (id {id}) is gone"), "proxies --forget"]);
    let other = ids.iter().find(|proxy| proxy["http"] != *addr).expect("it is there")["id"].as_str().expect("a text");
    let refused = scene.operator.run(&format!("proxies --forget {other}"), &[]);
    assert!(refused.code == 2 && refused.said().contains("is there"), "{}", refused.said());
    let forgotten = scene.operator.run(&format!("proxies --forget {id}"), &[]);
    assert_eq!(forgotten.code, 0, "{}", forgotten.said());
    assert!(!scene.page().contains("did not end in good order"));

    // What is broken is told, and the last good topology shown.
    scene.znodes.put("topology", "{");
    let page = scene.wait_page(&["is broken, push it anew or `topology rollback EPOCH`"]);
    assert_eq!(row(&page, "g2a")[..2], ["2", "512"]);
    assert!(scene.zookeeper.sessions() > 0);
}

#[test]
fn a_proxy_that_is_behind_and_fields_of_two_types() {
    let mut scene = Scene::start(2);
    let http = scene.proxies[0].http();
    http.run("", "CREATE DATABASE db");
    // By its rule m1 is shared out by host: each group takes the other's type.
    let host = |group| (0..).map(|n| format!("h{n}")).find(|host| group_of(slot("db", "m1", &[host]), 2) == group);
    let (one, two) = (host(0).expect("one of many"), host(1).expect("one of many"));
    http.store("db", format!("m1,host={one} v=1i 1"));
    http.store("db", format!("m1,host={two} v=1 1"));
    scene.wait_page(&["- db.m1: field 'v' is float and integer"]);
    assert!(!scene.operator.run("status", &["--no-fields"]).stdout.contains("field"));

    // One that hears nothing is behind; a change that waits for it names it.
    scene.proxies[1].signal(libc::SIGSTOP);
    let addr = scene.proxies[1].http().addr.to_string();
    let ended = scene.operator.run("rules add db new host", &["--yes", "--wait=2s"]);
    assert_eq!(ended.code, 1, "{}", ended.said());
    let named = format!("1 of 2 proxies do not apply epoch 2 after 2.0 s: {addr} (id ");
    assert!(ended.said().contains(&named), "{}", ended.said());
    scene.wait_page(&["1 behind", &format!("- proxy {addr} does not tell how it fares")]);
    scene.proxies[1].signal(libc::SIGCONT);
    scene.document.epoch = 3;
    scene.znodes.put("topology", scene.document.text());
    scene.proxies.iter().for_each(|proxy| proxy.wait_epoch(3));
    wait_for("an end of all but the field", SOON, || {
        let page = scene.page();
        (page.contains("field 'v'") && !page.contains("behind") && !page.contains("! ")).then_some(())
    });
}
