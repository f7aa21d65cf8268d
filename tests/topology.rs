//! `slotline topology` against a real ZooKeeper.

mod support;

use ::slotline::control::{self, Expect, Store};
use ::slotline::topology::Servers;

use support::slotline::run_with_env;
use support::*;

/// A configuration file that names a cluster in ZooKeeper.
struct File {
    dir: tempfile::TempDir,
    zookeeper: String,
}

impl File {
    fn new(zookeeper: &str) -> File {
        File { dir: tempfile::tempdir().expect("a temporary folder"), zookeeper: zookeeper.to_owned() }
    }

    fn path(&self) -> String {
        let path = self.dir.path().join("config.toml");
        path.to_str().expect("temporary paths are UTF-8").to_owned()
    }

    /// Its content from now on.
    fn holds(&self, config: Config) -> &File {
        let config = config.set("cluster", &format!("zookeeper = {:?}", self.zookeeper));
        let text = config.to_toml(self.dir.path());
        std::fs::write(self.path(), text).expect("a folder takes a file");
        self
    }

    #[track_caller]
    fn topology(&self, args: &[&str], code: i32) -> Ended {
        let ended = run(&[&["topology", args[0], "--config", &self.path()], &args[1..]].concat(), "");
        assert_eq!(ended.code, code, "{args:?}: {}", ended.said());
        ended
    }
}

/// Groups of one replica each, whose password nobody may see.
fn groups(count: usize) -> Config {
    (0..count).fold(Config::new(), |config, group| {
        let replica = (config::replica_name(group, 0), format!("http://127.0.0.1:{}", 1000 + group));
        config.group_with(&[replica], "  username = \"u\"\n  password = \"s3cret\"\n")
    })
}

#[track_caller]
fn open(servers: &str) -> Box<dyn Store> {
    control::open(Servers::parse(servers).expect("a good connect string"), "").expect("ZooKeeper answers")
}

fn json(data: &[u8]) -> serde_json::Value {
    serde_json::from_slice(data).expect("it is JSON")
}

#[track_caller]
fn has(ended: &Ended, parts: &[&str]) {
    let said = ended.said();
    parts.iter().for_each(|part| assert!(said.contains(part), "{part:?} is not in:\n{said}"));
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn push_and_show() {
    let zookeeper = Zookeeper::start();
    let servers = format!("{}/deep/chroot", zookeeper.addr());
    let file = File::new(&servers);
    file.holds(groups(1).rule("telegraf", "cpu", &["host"]));
    has(&file.topology(&["show"], 1), &["no topology at /slotline/main/topology", "topology push"]);
    has(&file.topology(&["push"], 2), &["first topology", "nobody is there to be asked", "--yes"]);
    has(&file.topology(&["push", "--dry-run"], 0), &["first topology"]);
    has(&file.topology(&["show"], 1), &["no topology"]);
    has(&file.topology(&["push", "--yes", "--why", "the beginning"], 0), &["first topology", "epoch 1"]);
    has(&file.topology(&["show"], 0), &["epoch 1", "0-1023", "g1a", "serving", "telegraf", "[host]"]);
    let shown = json(file.topology(&["show", "--json"], 0).stdout.as_bytes());
    assert_eq!((&shown["epoch"], &shown["groups"][0]["replicas"][0]["password"]), (&1.into(), &"***".into()));
    has(&file.topology(&["push"], 0), &["nothing changes", "epoch 1"]);

    let mut store = open(&servers);
    let entry = store.read("/slotline/main/history/1").expect("it can be read").expect("it is there");
    let note = json(&entry.data);
    assert_eq!(note["why"], "the beginning");
    assert_eq!(note["document"]["groups"][0]["id"], 1);
    assert!(note["by"].as_str().is_some_and(|by| by.contains('@')) && note["at"].is_string(), "{note}");

    // Nobody can say what the servers hold, nor what a new one needs.
    file.holds(groups(2));
    let refused = file.topology(&["push", "--yes"], 2);
    has(
        &refused,
        &["slots 512-1023 move from group 1 to group 2", "the rules change: rule 1 goes: telegraf cpu by [host]"],
    );
    has(&refused, &["what is stored cannot be found out: group 1: g1a", "connection refused", "--force"]);
    has(&refused, &["no serving replica tells which databases there are (g1a: connection refused)"]);
    has(&file.topology(&["show"], 0), &["epoch 1"]);
    let pushed = json(file.topology(&["push", "--yes", "--force", "--json"], 0).stdout.as_bytes());
    assert_eq!((&pushed["epoch"], &pushed["changed"]), (&2.into(), &true.into()));
    assert!(pushed["objections"].as_array().is_some_and(|list| list.len() == 2), "{pushed}");
    has(&file.topology(&["show"], 0), &["epoch 2", "512-1023", "no rules"]);

    // Back, and what the history says.
    has(&file.topology(&["diff", "1"], 0), &["from epoch 1 to the file", "group 2 is new"]);
    has(&file.topology(&["diff", "2", "1"], 0), &["from epoch 2 to epoch 1:", "group 2 goes"]);
    has(&file.topology(&["diff", "7"], 2), &["no epoch 7", "topology history"]);
    let back = file.topology(&["rollback", "1", "--yes", "--force"], 0);
    has(&back, &["group 2 goes", "slots 512-1023 move from group 2 to group 1", "epoch 3 is in force"]);
    has(&file.topology(&["show"], 0), &["epoch 3", "0-1023", "[host]"]);
    let history = file.topology(&["history"], 0);
    has(&history, &["the beginning", "topology push", "topology rollback 1"]);
    let history = json(file.topology(&["history", "--json", "--last", "2"], 0).stdout.as_bytes());
    let epochs: Vec<u64> =
        history.as_array().expect("a list").iter().filter_map(|note| note["epoch"].as_u64()).collect();
    assert_eq!(epochs, [3, 2]);
}

#[test]
fn what_was_deleted_or_broken_is_compared_with_the_history() {
    let zookeeper = Zookeeper::start();
    let servers = zookeeper.addr().to_string();
    let file = File::new(&servers);
    file.holds(groups(2)).topology(&["push", "--yes"], 0);
    let mut store = open(&servers);
    store.delete("/slotline/main/topology").expect("it is there");
    file.holds(groups(1));
    let refused = file.topology(&["push", "--yes"], 2);
    has(&refused, &["it was deleted", "slots 512-1023 move from group 2 to group 1", "--force"]);
    has(&file.topology(&["rollback", "1", "--yes"], 0), &["it was deleted", "epoch 2 is in force"]);
    store.write("/slotline/main/topology", b"{", Expect::Version(0)).expect("nobody else writes");
    has(&file.topology(&["show"], 1), &["broken", "push it anew"]);
    let add = run(&["slots", "assign", "5", "2", "--zookeeper", &servers, "--yes"], "");
    assert_eq!(add.code, 1);
    has(&add, &["broken", "push it anew", "topology rollback"]);
    file.holds(groups(2));
    has(&file.topology(&["push", "--yes"], 0), &["it is broken", "epoch 3 is in force"]);
}

#[test]
fn the_history_keeps_the_last_200() {
    let zookeeper = Zookeeper::start();
    let servers = zookeeper.addr().to_string();
    let mut store = open(&servers);
    for epoch in 1..=203 {
        store.write(&format!("/slotline/main/history/{epoch}"), b"{}", Expect::Absent).expect("it is new");
    }
    let file = File::new(&servers);
    has(&file.holds(groups(1)).topology(&["push", "--yes", "--force"], 0), &["epoch 204"]);
    let mut epochs: Vec<u32> = store
        .children("/slotline/main/history")
        .expect("it can be listed")
        .iter()
        .map(|name| name.parse().expect("epochs are numbers"))
        .collect();
    epochs.sort_unstable();
    assert_eq!(epochs, (5..=204).collect::<Vec<_>>());
}

/// Of two who change the same version one hears that the other was faster.
#[test]
fn the_slower_of_two_changes_nothing() {
    let zookeeper = Zookeeper::start();
    let servers = zookeeper.addr().to_string();
    let file = File::new(&servers);
    file.holds(groups(2)).topology(&["push", "--yes"], 0);
    let rules = ["cpu", "mem", "disk", "net", "swap", "load"];
    let ended: Vec<Ended> = std::thread::scope(|scope| {
        let add = |name: &'static str| {
            let servers = servers.clone();
            let args = ["rules", "add", "db", name, "host", "--yes", "--force", "--zookeeper"];
            scope.spawn(move || run(&[&args[..], &[&servers]].concat(), ""))
        };
        let all: Vec<_> = rules.into_iter().map(add).collect();
        all.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    let done = ended.iter().filter(|ended| ended.code == 0).count();
    assert!(done >= 1, "{ended:?}");
    for refused in ended.iter().filter(|ended| ended.code != 0) {
        has(refused, &["nothing was changed: somebody else changed /slotline/main/topology meanwhile"]);
    }
    let shown = json(file.topology(&["show", "--json"], 0).stdout.as_bytes());
    assert_eq!(shown["rules"].as_array().map(Vec::len), Some(done));
    assert_eq!(shown["epoch"], 1 + done as u64);
}

#[test]
fn a_user_from_the_environment_and_the_cluster_from_flags() {
    let zookeeper = Zookeeper::start();
    let servers = zookeeper.addr().to_string();
    let file = File::new("127.0.0.1:1");
    file.holds(groups(1));
    let place = ["--zookeeper", &servers, "--cluster", "two"];
    let with = |args: &[&str], auth| run_with_env(&[args, &place].concat(), "SLOTLINE_ZOOKEEPER_AUTH", auth);
    let pushed = with(&["topology", "push", "--yes", "--config", &file.path()], "carol:pass");
    assert_eq!(pushed.code, 0, "{}", pushed.said());
    assert_eq!(with(&["topology", "show"], "carol:pass").code, 0);
    let denied = with(&["topology", "show"], "");
    assert_eq!(denied.code, 1);
    has(&denied, &["no permission for /slotline/two/topology", "zookeeper_auth"]);
}

#[test]
fn faults_name_their_remedy() {
    let ended = run(&["topology", "show"], "");
    assert_eq!(ended.code, 2);
    has(&ended, &["--zookeeper HOST:PORT"]);
    let ended = run(&["topology", "show", "--zookeeper", "127.0.0.1:1"], "");
    assert_eq!(ended.code, 1);
    has(&ended, &["ZooKeeper cannot be reached: 127.0.0.1:1: connection refused"]);
    let ended = run(&["topology", "push", "--zookeeper", "127.0.0.1:1"], "");
    assert_eq!(ended.code, 2);
    has(&ended, &["--config FILE"]);
}
