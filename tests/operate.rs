//! What an operator does: checking a configuration, dry runs, starting, changing, stopping.

mod support;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use support::*;

/// Groups whose replicas are never asked.
fn paper(groups: usize) -> Config {
    (0..groups).fold(Config::new(), |config, group| {
        let url = format!("http://127.0.0.1:{}", 1000 + group);
        config.group(&[(config::replica_name(group, 0), url)])
    })
}

/// Stands for the data folder in the text of a configuration.
const DATA: &str = "@DATA@";

fn text_of(config: &Config) -> String {
    config.to_toml(Path::new(DATA))
}

struct OnDisk {
    dir: tempfile::TempDir,
}

impl OnDisk {
    /// `text` with [`DATA`] replaced by a folder of its own.
    fn new(text: &str) -> OnDisk {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data_dir = dir.path().join("data");
        let text = text.replace(DATA, data_dir.to_str().expect("temporary paths are UTF-8"));
        std::fs::write(dir.path().join("config.toml"), text).expect("a folder takes a file");
        OnDisk { dir }
    }

    fn of(config: &Config) -> OnDisk {
        OnDisk::new(&text_of(config))
    }

    fn run(&self, command: &str, args: &[&str], input: &str) -> Ended {
        let path = self.dir.path().join("config.toml");
        let path = path.to_str().expect("temporary paths are UTF-8");
        run(&[&[command, "--config", path], args].concat(), input)
    }
}

/// The value of `name=` in a line of `slotline route`.
fn value<'a>(line: &'a str, name: &str) -> &'a str {
    let found = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name}= in {line:?}"))
}

#[test]
fn route_shows_the_slots_of_the_contract() {
    let bare = OnDisk::of(&paper(2));
    let host = OnDisk::of(&paper(2).rule("telegraf", "cpu", &["host"]));
    let both = OnDisk::of(&paper(2).rule("telegraf", "cpu", &["host", "region"]));
    for (disk, db, line, expected) in [
        (&bare, "telegraf", "cpu v=1", 261),
        (&bare, "telegraf", "cpu,host=web-1 v=1 1", 261),
        (&host, "telegraf", "cpu,host=web-1 v=1", 916),
        (&host, "telegraf", "cpu,region=eu,host=web-1 v=1", 916),
        (&host, "telegraf", "cpu v=1", 219),
        (&both, "telegraf", "cpu,region=eu,host=web-1 v=1", 733),
        (&bare, "db", "a\\,b v=1", 527),
        (&bare, "db", "with\\ space v=1", 826),
    ] {
        let ended = disk.run("route", &["--db", db, line], "");
        assert_eq!(ended.code, 0, "{ended:?}");
        let shown = ended.stdout.trim_end();
        assert_eq!(value(shown, "slot"), expected.to_string(), "{line}: {shown}");
        let group = group_of(expected, 2);
        assert_eq!(value(shown, "group"), (group + 1).to_string(), "{line}: {shown}");
        let replicas = value(shown, "replicas");
        assert!(replicas.contains(&config::replica_name(group, 0)), "{line}: {shown}");
        assert!(shown.contains("measurement="), "{shown}");
    }
}

#[test]
fn route_answers_a_line_for_each_line_of_its_input() {
    let disk = OnDisk::of(&paper(7));
    let names: Vec<String> = (0..300).map(|number| format!("m{number}s")).collect();
    let input: String = names.iter().map(|name| format!("{name},host=a v=1\n")).collect();
    let ended = disk.run("route", &["--db", "db"], &input);
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), names.len());
    for (line, name) in lines.iter().zip(&names) {
        let expected = slot("db", name, &[]);
        assert_eq!(value(line, "slot"), expected.to_string());
        assert_eq!(value(line, "group"), (group_of(expected, 7) + 1).to_string());
        assert_eq!(value(line, "measurement"), name);
    }
}

#[test]
fn a_good_configuration_is_accepted_and_the_default_one_is_good() {
    let ended = OnDisk::of(&paper(3).rule("*", "/^cpu/", &["host"])).run("check-config", &[], "");
    assert_eq!(ended.code, 0, "{ended:?}");
    let default = run(&["default-config"], "");
    assert_eq!(default.code, 0, "{default:?}");
    for key in ["[server]", "cores", "data_dir", "[[listen]]", "[admin]", "[write]", "[limits]", "[auth]"] {
        assert!(default.stdout.contains(key), "{key} is missing:\n{}", default.stdout);
    }
    let ended = OnDisk::new(&default.stdout).run("check-config", &[], "");
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// Runs both commands that read a configuration; they must agree that it is bad.
#[track_caller]
fn faults_of(text: &str) -> String {
    let disk = OnDisk::new(text);
    let checked = disk.run("check-config", &[], "");
    assert_eq!(checked.code, 2, "{checked:?}");
    let served = disk.run("serve", &[], "");
    assert_eq!(served.code, 2, "{served:?}");
    checked.said()
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let text = text_of(&paper(2).set("write", "timeout = \"5s\"\ncolour = \"blue\""));
    let line = 1 + text.lines().position(|line| line.starts_with("colour")).expect("it is there");
    let said = faults_of(&text);
    assert!(said.contains("colour"), "{said}");
    let numbers: Vec<&str> = said.split(|char: char| !char.is_ascii_digit()).collect();
    assert!(numbers.contains(&line.to_string().as_str()), "line {line} is not named: {said}");
}

#[test]
fn all_faults_of_a_configuration_are_listed_at_once() {
    let text = r#"[server]
cores = "some"
data_dir = "@DATA@"
colour = "blue"

[admin]
bind = "nowhere"

[[listen]]
protocol = "gopher"
bind = "127.0.0.1:0"

[write]
timeout = "fast"

[limits]
body_bytes_max = "many"

[[group]]
id = 1
  [[group.replica]]
  name = "twin"
  url = "http://127.0.0.1:1"

[[group]]
id = 1
  [[group.replica]]
  name = "twin"
  url = "ftp://127.0.0.1:2"

[[rule]]
db = "db"
measurement = "/(/"
tags = ["host"]
"#;
    let said = faults_of(text);
    for word in ["cores", "colour", "nowhere", "gopher", "fast", "many", "twin", "ftp", "/(/"] {
        assert!(said.contains(word), "{word} is missing: {said}");
    }
}

#[test]
fn each_fault_alone_is_refused() {
    let good = text_of(&paper(2));
    let slots = |ranges: &[(u32, u32, u32)]| -> String {
        let one =
            |(from, to, group): &(u32, u32, u32)| format!("[[slots]]\nfrom = {from}\nto = {to}\ngroup = {group}\n");
        good.clone() + &ranges.iter().map(one).collect::<String>()
    };
    for (what, text) in [
        ("no TOML", "[server\n".to_owned()),
        ("a slot owned twice", slots(&[(0, 600, 1), (600, 1023, 2)])),
        ("a slot owned by nobody", slots(&[(0, 500, 1), (502, 1023, 2)])),
        ("slots of an unknown group", slots(&[(0, 500, 1), (501, 1023, 3)])),
        ("a slot beyond the last", slots(&[(0, 500, 1), (501, 1024, 2)])),
        ("a range backwards", slots(&[(0, 1023, 1), (7, 5, 2)])),
        ("a group without replicas", good.clone() + "[[group]]\nid = 3\n"),
        ("a name used twice", good.replace("g2a", "g1a")),
        ("an id used twice", good.replace("id = 2", "id = 1")),
        ("a rule without a measurement", good.clone() + "[[rule]]\ndb = \"db\"\ntags = [\"t\"]\n"),
        ("an unknown section", good.clone() + "[extras]\nx = 1\n"),
        ("a wrong type", good.replace("cores = 2", "cores = [\"x\", 3]")),
    ] {
        assert_ne!(text, good, "{what}");
        let said = faults_of(&text);
        assert!(said.trim().len() > 15, "{what}: {said:?}");
    }
}

/// Half a topology in a file is no copy of it; a pager that is left is none's trouble.
#[test]
fn what_cannot_be_printed_is_a_failure() {
    let command = |to: std::process::Stdio| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_slotline"));
        command.arg("default-config").stdout(to).output().expect("it runs")
    };
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let ended = command(full.into());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.starts_with("slotline: not all could be printed: No space left"), "{said}");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ended = command(writer.into());
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_missing_configuration_file_is_named() {
    let ended = run(&["serve", "--config", "/nowhere/slotline.toml"], "");
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("/nowhere/slotline.toml"), "{ended:?}");
}

#[test]
fn a_locked_data_dir_is_named_and_exits_2() {
    let mut cluster = Cluster::new(1, 1);
    let path = cluster.slotline.config_path();
    let ended = run(&["serve", "--config", path.to_str().expect("temporary paths are UTF-8")], "");
    assert_eq!(ended.code, 2, "{ended:?}");
    let data_dir = cluster.slotline.data_dir();
    assert!(ended.stderr.contains(&*data_dir.to_string_lossy()), "{ended:?}");
    cluster.slotline.assert_running();
    assert_eq!(cluster.http().get("/ping").status, 204);
}

#[test]
fn a_taken_port_is_named_and_exits_2() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("a bound socket has an address").to_string();
    // Another slotline shares its ports between its cores, yet not with us.
    let other = Slotline::start(&paper(1));
    for taken in [taken, other.http().addr.to_string(), other.admin().addr.to_string()] {
        let ended = OnDisk::of(&paper(1).listen(&taken)).run("serve", &[], "");
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(&taken), "{taken} is not named: {ended:?}");
    }
    let admin = format!("bind = \"{}\"", other.admin().addr);
    let text = text_of(&paper(1)).replace("bind = \"127.0.0.1:0\"", &admin);
    let ended = OnDisk::new(&text).run("serve", &[], "");
    assert_eq!(ended.code, 2, "{ended:?}");
}

#[test]
fn a_topology_that_moves_slots_is_refused_until_it_is_accepted() {
    let mut cluster = Cluster::new(2, 1);
    cluster.create_db("db");
    cluster.http().store("db", "m1 v=1 1\n");
    assert_eq!(cluster.slotline.stop(), 0);

    let third = Influxd::start();
    third.http().run("", "CREATE DATABASE db");
    let grown = cluster.config.clone().group(&[("g3a".to_owned(), third.url())]);
    cluster.slotline.write_config(&grown);
    let path = cluster.slotline.config_path();
    let path = path.to_str().expect("temporary paths are UTF-8");
    for _ in 0..2 {
        // Refused again at the next try: a refusal must not count as acceptance.
        let refused = run(&["serve", "--config", path], "");
        assert_eq!(refused.code, 2, "{refused:?}");
        let said = refused.said();
        assert!(said.contains("--accept-topology"), "{said}");
        // Slots 341-511 move from group 1 to group 2, 682-1023 from group 2 to group 3.
        for number in ["341", "511", "682", "1023"] {
            assert!(said.contains(number), "{number} is not named: {said}");
        }
    }
    cluster.slotline.start_again(&grown, &["--accept-topology"]);
    let name = slots::measurements_of("db", "m", 2, 3, 1).remove(0);
    cluster.http().store("db", format!("{name} v=1 1\n"));
    assert_eq!(facts(third.http(), "db").len(), 1);
    // Once accepted, it is the topology to compare with.
    assert_eq!(cluster.slotline.stop(), 0);
    cluster.slotline.start_again(&grown, &[]);
    assert_eq!(cluster.slotline.stop(), 0);

    let ruled = grown.clone().rule("db", "cpu", &["host"]);
    cluster.slotline.write_config(&ruled);
    let refused = run(&["serve", "--config", path], "");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.said().contains("cpu"), "the rule is not named: {refused:?}");
    cluster.slotline.start_again(&ruled, &["--accept-topology"]);
}

#[test]
fn changes_that_move_nothing_need_no_acceptance() {
    let mut cluster = Cluster::new(2, 1);
    cluster.create_db("db");
    assert_eq!(cluster.slotline.stop(), 0);
    let [first, second, added] = [&cluster.groups[0][0], &cluster.groups[1][0], &Influxd::start()];
    added.http().run("", "CREATE DATABASE db");
    let config = Config::new()
        .set("write", "timeout = \"7s\"")
        .group(&[("g1a".to_owned(), first.url()), ("g1b".to_owned(), added.url())])
        .group(&[("renamed".to_owned(), second.url())]);
    cluster.slotline.start_again(&config, &[]);
    let name = slots::measurements_of("db", "m", 0, 2, 1).remove(0);
    cluster.http().store("db", format!("{name} v=1 1\n"));
    assert_eq!(facts(added.http(), "db").len(), 1);
}

#[test]
fn several_listeners_serve_at_once() {
    let influxd = Influxd::start();
    influxd.http().run("", "CREATE DATABASE db");
    let config = Config::new().listen("127.0.0.1:0").listen("127.0.0.1:0").group(&[("g1a".to_owned(), influxd.url())]);
    let slotline = Slotline::start(&config);
    let log = slotline.log();
    let mark = "listening protocol=http addr=";
    let listeners: BTreeSet<&str> =
        log.lines().filter_map(|line| line.split_once(mark)?.1.split_whitespace().next()).collect();
    assert_eq!(listeners.len(), 2, "{log}");
    for (number, addr) in listeners.iter().enumerate() {
        Http::new(addr.parse().expect("an address")).store("db", format!("m v=1 {number}\n"));
    }
}

/// Writes from several clients until `stop` cuts them off; the times that were answered with 204.
fn write_until_cut_off(http: Http, acked: &AtomicUsize, over: &AtomicBool) -> BTreeSet<usize> {
    let times = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for client in 0..8 {
            let times = &times;
            scope.spawn(move || {
                let mut conn = http.connect();
                for number in 0.. {
                    let time = client * 1_000_000 + number;
                    let lines: String = (0..6).map(|n| format!("m{n}s v=1 {time}\n")).collect();
                    let request = Request::write("db=db", lines);
                    let sent = conn.try_send(&request.to_bytes());
                    match sent.and_then(|()| conn.try_answer(false)) {
                        Ok(answer) if answer.status == 204 => {
                            times.lock().expect("no holder panics").insert(time);
                            acked.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(answer) if answer.status == 503 => {}
                        Ok(answer) => panic!("{answer:?}"),
                        Err(_) => return,
                    }
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
    });
    times.into_inner().expect("no holder panics")
}

#[track_caller]
fn assert_all_stored(cluster: &Cluster, times: &BTreeSet<usize>) {
    for (number, group) in cluster.groups.iter().enumerate() {
        for replica in group {
            let stored = facts(replica.http(), "db");
            let names = (0..6).map(|n| format!("m{n}s"));
            for name in names.filter(|name| cluster.group_of("db", name) == number) {
                let series = Series { measurement: name, tags: Default::default() };
                let points = stored.get(&series).unwrap_or_else(|| panic!("no {series:?}"));
                let missing: Vec<_> = times.iter().filter(|time| !points.contains(&format!("{time} v=1"))).collect();
                assert!(missing.is_empty(), "acknowledged and lost: {missing:?} of {series:?}");
            }
        }
    }
}

#[track_caller]
fn check_end_under_load(end: impl FnOnce(&mut Slotline)) {
    let mut cluster = Cluster::new(2, 2);
    cluster.create_db("db");
    let http = cluster.http();
    let (acked, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let times = std::thread::scope(|scope| {
        let load = scope.spawn(|| write_until_cut_off(http, &acked, &over));
        wait_for("writes under way", SOON, || (acked.load(Ordering::Relaxed) > 300).then_some(()));
        end(&mut cluster.slotline);
        over.store(true, Ordering::Relaxed);
        load.join().expect("the load does not panic")
    });
    assert!(times.len() > 300);
    assert_all_stored(&cluster, &times);
    // The data folder is free again.
    let config = cluster.config.clone();
    cluster.slotline.start_again(&config, &[]);
    cluster.http().store("db", "m v=1 1\n");
}

#[test]
fn sigterm_under_load_drains_exits_0_and_loses_nothing_acknowledged() {
    check_end_under_load(|slotline| assert_eq!(slotline.stop(), 0));
}

#[test]
fn sigint_ends_as_sigterm_does() {
    check_end_under_load(|slotline| {
        slotline.signal(libc::SIGINT);
        assert_eq!(slotline.wait_exit(), 0);
    });
}

#[test]
fn kill_9_under_load_loses_nothing_acknowledged() {
    check_end_under_load(Slotline::kill9);
}

#[test]
fn a_request_under_way_at_sigterm_gets_its_answer() {
    let mut cluster = Cluster::new(1, 1);
    cluster.create_db("db");
    let mut conn = cluster.http().connect();
    let whole = Request::write("db=db", "m v=1 1\nm v=1 2\n").to_bytes();
    let (first, rest) = whole.split_at(whole.len() - 5);
    conn.send(first);
    // Served on the same listener, so the first part above has arrived too.
    cluster.http().store("db", "other v=1 1\n");
    cluster.slotline.signal(libc::SIGTERM);
    // Draining shows as a port that is closed, or answers 503.
    wait_for("the begin of draining", SOON, || {
        let Ok(mut conn) = cluster.http().try_connect() else {
            return Some(());
        };
        let _ = conn.try_send(&Request::new("GET", "/ready").to_bytes());
        let ready = conn.try_answer(false).is_ok_and(|answer| answer.status == 200);
        (!ready).then_some(())
    });
    conn.send(rest);
    assert_eq!(conn.answer().status, 204);
    assert_eq!(cluster.slotline.wait_exit(), 0);
    assert_eq!(facts(cluster.groups[0][0].http(), "db").len(), 2);
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    let mut cluster = Cluster::new(1, 1);
    let idle: Vec<Conn> = (0..20).map(|_| cluster.http().connect()).collect();
    let mut used = cluster.http().connect();
    assert_eq!(used.call(&Request::new("GET", "/ping")).status, 204);
    let started = std::time::Instant::now();
    assert_eq!(cluster.slotline.stop(), 0);
    assert!(started.elapsed() < std::time::Duration::from_secs(8), "{:?}", started.elapsed());
    drop(idle);
}

#[test]
fn a_connection_that_has_just_come_is_answered_at_the_end() {
    let mut cluster = Cluster::new(1, 1);
    let mut conns: Vec<Conn> = (0..20).map(|_| cluster.http().connect()).collect();
    wait_for("the connections", SOON, || (cluster.slotline.metric("slotline_connections", &[]) >= 20).then_some(()));
    cluster.slotline.signal(libc::SIGTERM);
    wait_for("the end of listening", SOON, || cluster.http().try_connect().is_err().then_some(()));
    // A moment later than that: a connection that says nothing is kept for half a second.
    conns.iter_mut().for_each(|conn| conn.send(&Request::new("GET", "/health").to_bytes()));
    conns.iter_mut().for_each(|conn| assert_eq!(conn.answer().status, 200));
    assert_eq!(cluster.slotline.wait_exit(), 0);
}
