//! A running cluster is changed by commands: groups, replicas, slots, rules, listeners; with real servers and a real
//! ZooKeeper.

mod support;

use serde_json::{Value, json};
use support::*;

struct Cluster {
    zookeeper: Zookeeper,
    servers: Vec<Influxd>,
    slotline: Slotline,
    operator: Operator,
}

impl Cluster {
    /// So many servers, of which the first is group 1's only replica, `g1a`.
    fn start(servers: usize) -> Cluster {
        let zookeeper = Zookeeper::start();
        let servers: Vec<Influxd> = (0..servers).map(|_| Influxd::start()).collect();
        Znodes::of(zookeeper.addr()).put("topology", Document::of([servers[0].url()]).text());
        let config = Config::new().zookeeper(zookeeper.addr()).set("limits", "health_interval = \"100ms\"");
        let slotline = Slotline::start(&config);
        slotline.wait_epoch(1);
        let operator = Operator::of(zookeeper.addr());
        Cluster { zookeeper, servers, slotline, operator }
    }

    fn http(&self) -> Http {
        self.slotline.http()
    }

    /// `NAME=URL` of a server.
    fn named(&self, name: &str, server: usize) -> String {
        format!("{name}={}", self.servers[server].url())
    }
}

fn rows(answer: &Value) -> Vec<String> {
    let series = answer["results"][0]["series"].as_array().into_iter().flatten();
    let rows = series.flat_map(|series| series["values"].as_array().cloned().unwrap_or_default());
    rows.map(|row| row.to_string()).collect()
}

/// Everything that servers of a cluster must have alike.
fn schema(http: Http) -> Vec<Vec<String>> {
    let ask = |q: &str| {
        let mut rows = rows(&http.run("", q));
        rows.sort();
        rows
    };
    let databases = ask("SHOW DATABASES");
    let name = |row: &String| serde_json::from_str::<Vec<String>>(row).expect("a name").remove(0).replace('"', "\\\"");
    let policies = databases.iter().map(|row| ask(&format!("SHOW RETENTION POLICIES ON \"{}\"", name(row))));
    let mut all: Vec<Vec<String>> = policies.collect();
    all.extend([databases, ask("SHOW USERS"), ask("SHOW GRANTS FOR bob"), ask("SHOW GRANTS FOR \"a b\"")]);
    all
}

#[test]
fn a_group_comes_gets_slots_and_goes() {
    let cluster = Cluster::start(2);
    let Cluster { operator, servers, .. } = &cluster;
    for statement in [
        "CREATE DATABASE db WITH DURATION 48h REPLICATION 1 SHARD DURATION 2h NAME \"two days\"",
        "CREATE RETENTION POLICY for_ever ON db DURATION INF REPLICATION 1",
        "CREATE DATABASE \"odd \\\" name\"",
        "CREATE USER bob WITH PASSWORD 'b'",
        "CREATE USER \"a b\" WITH PASSWORD 'x' WITH ALL PRIVILEGES",
        "GRANT WRITE ON db TO bob",
    ] {
        servers[0].http().run("", statement);
    }
    let new = cluster.named("g2a", 1);
    operator
        .cannot(&format!("groups add {new}"), &["g2a lacks users that g1a has: a b, bob", "--users FILE", "passwords"]);
    operator.cannot("groups add g2a=http://127.0.0.1:1", &["cannot be asked: connection refused", "start it first"]);
    operator.cannot(&format!("groups add g1a={}", servers[1].url()), &["there is a replica g1a, in group 1"]);
    operator.cannot("groups add g2a", &["NAME=http://HOST:PORT"]);
    assert_eq!(rows(&servers[1].http().run("", "SHOW DATABASES")).len(), 0, "a refusal changes nothing");
    let users = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(users.path(), "bob:it's:b\na b:y\n").expect("it takes text");
    let file = users.path().to_str().expect("UTF-8");
    let said = operator.does(&format!("groups add {new} --users {file}"));
    for part in
        ["group 2 is new", "g2a: CREATE DATABASE db", "CREATE USER bob WITH PASSWORD ***", "all 1 proxies apply"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("it's:b"), "{said}");
    assert_eq!(schema(servers[1].http()), schema(servers[0].http()));

    // Slots without data move; those with data are refused, and the way back is there.
    let body: String = (0..40).map(|n| format!("m{n},host=h{n} v={n}\n")).collect();
    cluster.http().store("db", body);
    let readable =
        || (0..40).filter(|n| rows(&cluster.http().run("db", &format!("SELECT v FROM m{n}"))).len() == 1).count();
    operator.does("slots spread");
    let shown = operator.json("slots show");
    let owned = |slots: &Value, group: u64| {
        let ranges = slots["slots"].as_array().expect("a list").iter().filter(|range| range["group"] == group);
        ranges.map(|range| range["to"].as_u64().expect("a slot") - range["from"].as_u64().expect("a slot") + 1).sum()
    };
    let counts: [u64; 2] = [owned(&shown, 1), owned(&shown, 2)];
    assert_eq!((counts, readable()), ([512, 512], 40));
    let picture = operator.run("slots show", &[]).stdout;
    assert!(picture.lines().count() == 20 && !picture.contains('\x1b'), "{picture}");
    let of_one = slot("db", "m2", &[]);
    let words = format!("slots assign {of_one} 2");
    operator.cannot(&words, &["no longer be found:", "  db.m2 on group 1", "instead: move slots that hold nothing"]);
    operator.does(&format!("{words} --force"));
    assert_eq!(readable(), 39);
    let epoch = operator.json("topology show")["epoch"].as_u64().expect("a number");
    operator.does(&format!("topology rollback {}", epoch - 1));
    assert_eq!(readable(), 40);
    // What group 2 holds by now would be out of reach as well.
    let body: String = (0..200).map(|n| format!("late{n} v={n}\n")).collect();
    cluster.http().store("db", body);
    operator.cannot("topology rollback 2", &["late", "on group 2", "and ", "more (--json lists all)"]);
    operator.cannot("groups remove 2", &["group 2 owns slots", "slots assign"]);
    operator.cannot("groups remove 1", &["group 1 owns slots"]);
    operator.does("slots assign 0-1023 1 --force");
    operator.does("groups remove 2");
    operator.cannot("groups remove 2", &["there is no group 2; there are 1"]);
    assert_eq!(readable(), 40);
    // Who is not empty is no new group.
    operator.cannot(&format!("groups add {new}"), &["g2a is not empty", "take an empty server"]);
    let why: Vec<String> = operator
        .json("topology history --last 3")
        .as_array()
        .expect("a list")
        .iter()
        .map(|note| note["why"].to_string())
        .collect();
    assert_eq!(why, ["\"groups remove 2\"", "\"slots assign 0-1023 1\"", "\"topology rollback 3\""]);
}

#[test]
fn a_replica_joins_serves_and_is_replaced() {
    let cluster = Cluster::start(3);
    let Cluster { operator, servers, .. } = &cluster;
    cluster.http().run("", "CREATE DATABASE db");
    let old: String = (0..10).map(|n| format!("m{n} v={n} 1\n")).collect();
    cluster.http().store("db", &old);
    operator.does(&format!("groups add-replica 1 {}", cluster.named("g1b", 1)));
    cluster.http().store("db", "new v=1 1");
    assert_eq!(rows(&servers[1].http().run("db", "SELECT v FROM new")).len(), 1, "it takes writes");
    operator.cannot("groups serve g1b", &["series of g1b and g1a differ: db.m0 0 and 1", "and 5 more"]);
    operator.cannot("groups serve g1b", &["instead: restore the group's data into g1b", "--force"]);
    operator.cannot("groups serve g9z", &["there is no replica g9z; there are g1a, g1b"]);
    operator.cannot("groups serve g1a", &["g1a serves already"]);
    // As many series, and points that lack: those of a replica that joined where every series is written all the time.
    let newest: String = (0..10).map(|n| format!("m{n} v={n} 2\n")).collect();
    cluster.http().store("db", newest);
    operator.cannot("groups serve g1b", &["points of g1b and g1a differ: db.autogen.m0 v 1 and 2", "and 5 more"]);
    // They are counted piece by piece in time, the newest first: years later it has what its peer has, or not.
    let later = |n| (0..10).map(|m| format!("m{m} v={n} 150000000000000000{n}\n")).collect::<String>();
    servers[0].http().store("db", later(1) + &later(2) + &later(3));
    servers[1].http().store("db", later(1));
    operator.cannot("groups serve g1b", &["points of g1b and g1a differ: db.autogen.m0 v 1 and 3", "and 5 more"]);
    servers[1].http().store("db", later(2) + &later(3));
    operator.cannot("groups serve g1b", &["points of g1b and g1a differ: db.autogen.m0 v 1 and 2", "and 5 more"]);
    servers[1].http().store("db", &old);
    operator.cannot(
        "groups serve g1b --count-timeout 1ms",
        &["g1b and g1a were not held against each other within 1ms: 0 of 2 pieces", "instead: --count-timeout"],
    );
    operator.does("groups serve g1b");
    assert_eq!(operator.json("topology show")["groups"][0]["replicas"][1]["state"], "serving");

    // Another server in a place; the only one that serves cannot go.
    operator.does("groups remove --replica g1b");
    // Back as it was, it would be read without what came meanwhile.
    let epoch = operator.json("topology show")["epoch"].as_u64().expect("a number");
    operator
        .cannot(&format!("topology rollback {}", epoch - 1), &["g1b (http", "would be read at once", "add-replica 1"]);
    operator.cannot(
        &format!("groups replace-replica g1a {}", cluster.named("g1a", 1)),
        &["group 1 would have no serving replica", "instead: `groups add-replica 1 NAME=URL`"],
    );
    operator.cannot("groups remove --replica g1a", &["g1a is the only replica of group 1"]);
    operator.does(&format!("groups add-replica 1 {}", cluster.named("g1b", 1)));
    operator.does("groups serve g1b");
    operator.does(&format!("groups replace-replica g1b {}", cluster.named("g1c", 2)));
    assert_eq!(rows(&servers[2].http().run("", "SHOW DATABASES")), ["[\"db\"]"]);
    cluster.http().store("db", "newer v=1 1");
    assert_eq!(rows(&servers[2].http().run("db", "SELECT v FROM newer")).len(), 1);
    operator.cannot("groups serve g1c", &["series of g1c and g1a differ"]);
    operator.does("groups serve g1c --force");
    let replicas = &operator.json("topology show")["groups"][0]["replicas"];
    assert_eq!((&replicas[1]["name"], &replicas[1]["state"]), (&json!("g1c"), &json!("serving")));
}

#[test]
fn servers_that_ask_for_credentials() {
    let admin = |influxd: Influxd, password: &str| {
        influxd.http().run("", &format!("CREATE USER admin WITH PASSWORD '{password}' WITH ALL PRIVILEGES"));
        influxd
    };
    let zookeeper = Zookeeper::start();
    let servers = ["one", "one", "two"].map(|password| admin(Influxd::start_with_auth(), password));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let lines = "  username = \"admin\"\n  password = \"one\"\n";
    let config = Config::new().zookeeper(zookeeper.addr()).group_with(&[("g1a".to_owned(), servers[0].url())], lines);
    let path = dir.path().join("config.toml");
    std::fs::write(&path, config.to_toml(&dir.path().join("data"))).expect("a folder takes a file");
    let operator = Operator::of(zookeeper.addr());
    let pushed = operator.run("topology push --yes --config", &[path.to_str().expect("UTF-8")]);
    assert_eq!(pushed.code, 0, "{}", pushed.said());
    let own = |q: &str| servers[0].http().get_query(&[("u", "admin"), ("p", "one"), ("q", q)]);
    assert_eq!(own("CREATE DATABASE db").status, 200);

    // The others' credentials, when nothing is said; others by a file; wrong ones are told without the password.
    operator.does(&format!("groups add g2a={}", servers[1].url()));
    let there = servers[1].http().get_query(&[("u", "admin"), ("p", "one"), ("q", "SHOW DATABASES")]);
    assert!(there.text().contains("\"db\""), "{there:?}");
    operator
        .cannot(&format!("groups add g3a={}", servers[2].url()), &["g3a (", "cannot be asked: authorization failed"]);
    let file = dir.path().join("password");
    std::fs::write(&file, "two\n").expect("a folder takes a file");
    let words = format!("groups add g3a={} --username admin --password-file {}", servers[2].url(), file.display());
    let said = operator.does(&words);
    assert!(said.contains("group 3 is new") && !said.contains("two"), "{said}");
    let four = format!("groups add-replica 3 g3b={}", servers[1].url());
    operator.cannot(&four, &["different credentials: --username USER says which"]);
    operator.cannot(&format!("{four} --username admin"), &["--password-file FILE, or SLOTLINE_REPLICA_PASSWORD"]);
    // Other credentials of one that is known are tried.
    let lines = "  username = \"admin\"\n  password = \"three\"\n";
    let config = Config::new().zookeeper(zookeeper.addr()).group_with(&[("g1a".to_owned(), servers[0].url())], lines);
    std::fs::write(&path, config.to_toml(&dir.path().join("data"))).expect("a folder takes a file");
    let push = format!("topology push --config {}", path.display());
    operator.cannot(&push, &["g1a (", "cannot be asked with its other credentials: authorization failed"]);
    let mistyped = operator.run("slots show --cluster mian", &[]);
    assert!(mistyped.code == 1 && mistyped.said().contains("there are clusters main"), "{}", mistyped.said());
    let replicas = &operator.json("topology show")["groups"][2]["replicas"][0];
    assert_eq!((&replicas["username"], &replicas["password"]), (&json!("admin"), &json!("***")));
}

#[test]
fn what_waits_for_a_replica_is_not_forgotten() {
    let mut cluster = Cluster::start(4);
    cluster.http().run("", "CREATE DATABASE db");
    cluster.operator.does(&format!("groups add {}", cluster.named("g2a", 1)));
    cluster.operator.does("slots assign 512-1023 2");
    let held = slots::measurements_of("db", "held", 1, 2, 1).remove(0);
    cluster.http().store("db", format!("{held} v=1 1"));
    cluster.servers[1].kill9();
    cluster.http().store("db", format!("{held} v=1 2"));
    let znodes = || Znodes::of(cluster.zookeeper.addr()).proxies()[0]["id"].as_str().map(str::to_owned);
    let id = znodes().expect("a registered proxy");
    wait_for("a told backlog", SOON, || Znodes::of(cluster.zookeeper.addr()).get(&format!("backlog/g2a/{id}")));
    let operator = &cluster.operator;
    operator.cannot("slots assign 512-1023 1", &["what is stored cannot be found out: group 2: g2a"]);
    operator.does("slots assign 512-1023 1 --force");
    operator
        .cannot("groups remove 2", &["hold points for g2a: nobody would take them", "slotline spool move g2a NAME"]);
    operator.does("groups remove 2 --force");
    // Another server of that name, in a group that these points do not belong to.
    let words = format!("groups add-replica 1 {}", cluster.named("g2a", 2));
    operator.cannot(&words, &["hold points for an earlier g2a of group 2: the new one would get them"]);
    // One that its peers stand for leaves a note, and one that they do not stand for stays.
    operator.does(&format!("groups add-replica 1 {}", cluster.named("g1b", 2)));
    operator.does("groups serve g1b --force");
    let held = slots::measurements_of("db", "held", 0, 2, 1).remove(0);
    cluster.servers[2].kill9();
    cluster.http().store("db", format!("{held} v=1 1"));
    wait_for("a told backlog", SOON, || Znodes::of(cluster.zookeeper.addr()).get(&format!("backlog/g1b/{id}")));
    let operator = &cluster.operator;
    operator.cannot(
        "groups remove --replica g1a",
        &["no server of group 1 that would stay has all of its points: g1b has still to take points from spools"],
    );
    let said = operator.does("groups remove --replica g1b");
    assert!(said.contains("note: spools of one proxy (") && said.contains("slotline spool drop g1b"), "{said}");
}

#[test]
fn servers_named_by_mistake() {
    let cluster = Cluster::start(2);
    let Cluster { operator, slotline, .. } = &cluster;
    operator.cannot(&format!("groups add-replica 1 {}", cluster.named("g1b", 0)), &["g1a and g1b would be one server"]);
    operator
        .cannot(&format!("groups add {0} {1}", cluster.named("a", 1), cluster.named("b", 1)), &["a and b would be"]);
    let proxy = format!("groups add g2a=http://{}", slotline.http().addr);
    operator.cannot(&proxy, &["is a slotline, not an InfluxDB", "its own URL"]);
    // A file whose new replica would be read at once.
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("config.toml");
    let replicas = [("g1a".to_owned(), cluster.servers[0].url()), ("g1b".to_owned(), cluster.servers[1].url())];
    let config = Config::new().zookeeper(cluster.zookeeper.addr()).group(&replicas);
    std::fs::write(&path, config.to_toml(&dir.path().join("data"))).expect("a folder takes a file");
    operator.cannot(
        &format!("topology push --config {}", path.display()),
        &["g1b (http", "would be read at once", "state = \"joining\""],
    );
}

#[test]
fn zookeeper_goes_away_amid_a_command() {
    let mut cluster = Cluster::start(1);
    // By hand, or by a command that was killed behind its compare-and-set: the next one notes it.
    let mut document = Document::of([cluster.servers[0].url()]);
    document.epoch = 7;
    Znodes::of(cluster.zookeeper.addr()).put("topology", document.text());
    cluster.slotline.wait_epoch(7);
    cluster.operator.does("rules add db one host");
    let epochs = |operator: &Operator| -> Vec<u64> {
        let history = operator.json("topology history");
        history.as_array().expect("a list").iter().filter_map(|note| note["epoch"].as_u64()).collect()
    };
    assert_eq!(epochs(&cluster.operator), [8, 7]);
    cluster.operator.does("topology rollback 7 --force");

    // Deleted, it comes again with an epoch that no proxy has applied yet.
    let mut znodes = Znodes::of(cluster.zookeeper.addr());
    [7, 8, 9].iter().for_each(|epoch| znodes.delete(&format!("history/{epoch}")));
    znodes.delete("topology");
    cluster.slotline.wait_metric("slotline_topology_refused_total", 1.0);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("config.toml");
    let replicas = [("g1a".to_owned(), cluster.servers[0].url())];
    let config = Config::new().zookeeper(cluster.zookeeper.addr()).group(&replicas);
    std::fs::write(&path, config.to_toml(&dir.path().join("data"))).expect("a folder takes a file");
    let said = cluster.operator.does(&format!("topology push --force --config {}", path.display()));
    assert!(said.contains("epoch 10 is in force"), "{said}");

    // The proxy sleeps, so that the command waits for it; meanwhile ZooKeeper is killed and comes back.
    cluster.slotline.signal(libc::SIGSTOP);
    let Cluster { zookeeper, slotline, operator, .. } = &mut cluster;
    let addr = zookeeper.addr();
    let ended = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| operator.run("rules add db two host", &["--yes", "--wait=30s"]));
        wait_for("the change", SOON, || Znodes::of(addr).json("topology").filter(|json| json["epoch"] == 11));
        zookeeper.kill9();
        zookeeper.launch();
        slotline.signal(libc::SIGCONT);
        waiting.join().expect("it does not panic")
    });
    assert_eq!(ended.code, 0, "{}", ended.said());
    assert!(ended.said().contains("all 1 proxies apply epoch 11"), "{}", ended.said());
}

#[test]
fn rules_are_made_for_what_holds_no_data_yet() {
    let cluster = Cluster::start(2);
    let Cluster { operator, .. } = &cluster;
    cluster.http().run("", "CREATE DATABASE db");
    operator.does(&format!("groups add {}", cluster.named("g2a", 1)));
    operator.does("slots assign 512-1023 2");
    let held = slots::measurements_of("db", "held", 0, 2, 1).remove(0);
    // A host whose series would go to the other group, and one whose would not.
    let host = |group| (0..).map(|n| format!("h{n}")).find(|host| group_of(slot("db", &held, &[host]), 2) == group);
    let (moves, stays) = (host(1).expect("one of many"), host(0).expect("one of many"));
    cluster.http().store("db", format!("{held},host={moves} v=1 1\n{held},host={stays} v=1 1\nfree,host=a v=1 1"));
    let words = format!("rules add db {held} host");
    operator.cannot(&words, &[&format!("db.{held}: 1 series on group 1"), "instead: leave the rules of measurements"]);
    operator.does("rules add db cpu host");
    operator.does("rules add db /^c/ host region");
    operator.cannot("rules add db car host", &["rule 2 fits all that this one fits", "--before 2"]);
    operator.cannot("rules add db /(/", &["bad regex"]);
    operator.cannot("rules add db /cpu host", &["the one measurement that is named \"/cpu\"", "a slash at both ends"]);
    operator.does("rules add * mem --before 1");
    let rules = || operator.json("topology show")["rules"].to_string();
    operator.does("rules order 2 1 3");
    assert!(rules().find("cpu") < rules().find("mem"), "{}", rules());
    operator.cannot("rules order 1 2", &["each of the 3 rules once"]);
    let tested = operator.run("rules test db cpu,host=a cup,region=eu free", &["--json"]).stdout;
    let tested: Vec<Value> = tested.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(tested[0]["rule"], 1);
    assert_eq!((&tested[0]["tags"], &tested[0]["slot"]), (&json!(["host=a"]), &json!(slot("db", "cpu", &["a"]))));
    assert_eq!((&tested[1]["rule"], &tested[1]["slot"]), (&json!(3), &json!(slot("db", "cup", &["", "eu"]))));
    assert_eq!((&tested[2]["rule"], &tested[2]["slot"]), (&Value::Null, &json!(slot("db", "free", &[]))));
    // Written by a rule, its series lie in both groups: the rule stays.
    let hosts: String = (0..20).map(|n| format!("cpu,host=h{n} v={n} 1\n")).collect();
    cluster.http().store("db", hosts);
    operator.cannot("rules remove 1", &["db.cpu: ", "series on group"]);
    operator.does("rules remove 3 2");
    assert_eq!(rows(&cluster.http().run("db", "SELECT v FROM cpu")).len(), 20);
}

#[test]
fn shared_udp_listeners_come_and_go() {
    let cluster = Cluster::start(1);
    let Cluster { operator, servers, .. } = &cluster;
    let (one, two) = (own_addr(), own_addr());
    assert!(operator.does(&format!("udp add {one} lines --precision s")).contains("all 1 proxies apply it"));
    operator.does(&format!("udp add {two} other --spread source"));
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    sender.send_to(b"m v=1 7", one).expect("loopback takes it");
    wait_for("the point", SOON, || {
        let found = servers[0].http().query("lines", "SELECT v FROM m").text();
        found.contains("1970-01-01T00:00:07Z").then_some(())
    });
    operator.cannot(&format!("udp add 0.0.0.0:{} x", one.port()), &["are the same port"]);
    operator.cannot(&format!("udp add {one} x --precision y"), &["--precision y is none of"]);
    let said = operator.does(&format!("udp add {one} lines"));
    assert!(said.contains("precision s, spread random), becomes") && said.contains("precision ns"), "{said}");
    assert!(operator.does(&format!("udp add {one} lines")).contains("nothing changes"));
    operator.does(&format!("udp remove {one}"));
    operator.cannot(&format!("udp remove {one}"), &[&format!("there is {two}")]);
    // A change is waited for too, and a port that is in use is told.
    operator.does(&format!("udp add {two} elsewhere --spread source"));
    sender.send_to(b"m v=1 7", two).expect("loopback takes it");
    wait_for("the point", SOON, || {
        let found = servers[0].http().query("elsewhere", "SELECT v FROM m").text();
        found.contains("1970-01-01").then_some(())
    });
    let holder = std::net::UdpSocket::bind(own_addr()).expect("a free port");
    let taken = holder.local_addr().expect("a bound socket has an address");
    let ended = operator.run(&format!("udp add {taken} x"), &["--yes", "--wait=1s"]);
    assert_eq!(ended.code, 1, "{}", ended.said());
    assert!(ended.said().contains("has not opened it; its log says why"), "{}", ended.said());
    let problem = format!("does not have the UDP listener {taken} open");
    assert!(operator.run("status", &[]).stdout.contains(&problem), "{problem}");
    drop(holder);
    wait_for("its port", SOON, || (!operator.run("status", &[]).stdout.contains(&problem)).then_some(()));
    operator.does(&format!("udp remove {taken}"));
    operator.does(&format!("udp add {two} other --spread source"));
    let list = operator.json("udp list");
    assert_eq!((list.as_array().map(Vec::len), &list[0]["db"]), (Some(1), &json!("other")));
    let history = operator.json("udp history --last 2");
    assert_eq!(history[1]["why"], format!("udp remove {taken}"), "{history}");
    assert_eq!((&history[0]["document"], &history[0]["number"]), (&list, &json!(8)), "{history}");
    // Nobody follows while the proxy is stopped: it is named.
    cluster.slotline.signal(libc::SIGSTOP);
    let ended = operator.run(&format!("udp remove {two}"), &["--yes", "--wait=1s"]);
    cluster.slotline.signal(libc::SIGCONT);
    assert_eq!(ended.code, 1, "{}", ended.said());
    assert!(ended.said().contains("1 of 1 proxies do not apply it"), "{}", ended.said());
    assert!(cluster.zookeeper.sessions() >= 1);
}
