//! `slotline dev`: a whole cluster on a laptop that leaves nothing behind.

mod support;

use std::path::Path;

use support::process::{Process, exit_code, processes_naming};
use support::slotline::{run_with_path, spawn};
use support::*;

struct Dev {
    dir: tempfile::TempDir,
    http: Http,
    process: Process,
}

impl Dev {
    fn start(groups: usize, replicas: usize) -> Dev {
        Dev::start_with(groups, replicas, &[])
    }

    fn start_with(groups: usize, replicas: usize, more: &[&str]) -> Dev {
        let dir = tempfile::Builder::new().prefix("dev-").tempdir().expect("a temporary folder");
        let http = own_addr();
        let (groups, replicas) = (groups.to_string(), replicas.to_string());
        let (dir_text, http_text) = (text(dir.path()), http.to_string());
        let args = ["dev", "--groups", &groups, "--replicas", &replicas, "--dir", dir_text, "--http", &http_text];
        let process = spawn(&[&args, more].concat());
        let mut dev = Dev { dir, http: Http::new(http), process };
        wait_for("the cluster", SOON, || {
            let ended = dev.process.has_exited();
            assert!(ended.is_none(), "dev ended: {ended:?}\n{}", dev.said());
            let up = std::net::TcpStream::connect(http).is_ok();
            (up && dev.http.get("/ready").status == 200).then_some(())
        });
        dev
    }

    fn said(&self) -> String {
        self.process.log().join("\n")
    }

    #[track_caller]
    fn ctl(&self, args: &[&str]) {
        let ended = run(&[&["dev", "ctl", "--dir", text(self.dir.path())], args].concat(), "");
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}\n{}\n---", self.process.command(), self.said());
        }
        for (pid, _) in processes_naming(self.dir.path()) {
            if pid != std::process::id() {
                process::send_signal(pid, libc::SIGKILL);
            }
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

#[track_caller]
fn assert_nothing_left(dir: &Path) {
    wait_for("the end of all processes", SOON, || processes_naming(dir).is_empty().then_some(()));
}

#[test]
fn a_cluster_starts_serves_and_ends_with_sigint() {
    let mut dev = Dev::start(2, 2);
    let running = processes_naming(dev.dir.path());
    let influxds = running.iter().filter(|(_, line)| line.contains("influxd")).count();
    assert_eq!(influxds, 4, "{running:?}");
    dev.http.run("", "CREATE DATABASE db");
    let body: String = (0..20).map(|n| format!("m{n}s v={n} {n}\n")).collect();
    dev.http.store("db", body);
    for n in 0..20 {
        let seen = dev.http.run("db", &format!("SELECT v FROM m{n}s"));
        assert_eq!(seen["results"][0]["series"][0]["values"][0][1], n, "{seen}");
    }
    let said = dev.said();
    assert!(said.contains(&dev.http.addr.to_string()), "the URL is not printed:\n{said}");
    assert!(said.contains("/write") && said.contains("/query"), "nothing to paste:\n{said}");

    dev.process.signal(libc::SIGINT);
    assert_eq!(exit_code(dev.process.wait_exit(SOON)), 0);
    assert_nothing_left(dev.dir.path());
}

#[test]
fn kill_9_of_dev_takes_every_influxd_with_it() {
    let mut dev = Dev::start(2, 1);
    assert!(processes_naming(dev.dir.path()).len() > 2);
    dev.process.kill9();
    assert_nothing_left(dev.dir.path());
}

#[test]
fn ctl_kills_and_restarts_a_replica() {
    let dev = Dev::start(2, 2);
    dev.http.run("", "CREATE DATABASE db");
    let name = slots::measurements_of("db", "m", 0, 2, 1).remove(0);
    let line = format!("{name} v=1 1\n");
    dev.http.store("db", &line);
    let count = || {
        let running = processes_naming(dev.dir.path());
        running.iter().filter(|(_, line)| line.contains("influxd")).count()
    };
    dev.ctl(&["kill", "g1a"]);
    wait_for("the end of g1a", SOON, || (count() == 3).then_some(()));
    dev.http.store("db", &line);
    dev.ctl(&["restart", "g1a"]);
    wait_for("g1a", SOON, || (count() == 4).then_some(()));
    dev.http.store("db", &line);
}

#[test]
fn ctl_names_a_replica_that_is_not_there_and_a_cluster_that_does_not_run() {
    let dev = Dev::start(1, 1);
    let ended = run(&["dev", "ctl", "--dir", text(dev.dir.path()), "kill", "g9z"], "");
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(ended.said().contains("g9z"), "{ended:?}");
    let empty = tempfile::tempdir().expect("a temporary folder");
    let ended = run(&["dev", "ctl", "--dir", text(empty.path()), "kill", "g1a"], "");
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(ended.said().contains(text(empty.path())), "{ended:?}");
}

#[test]
fn data_in_dir_is_there_again_at_the_next_start() {
    let mut dev = Dev::start(1, 1);
    dev.http.run("", "CREATE DATABASE db");
    dev.http.store("db", "kept v=7 1\n");
    dev.process.signal(libc::SIGINT);
    assert_eq!(exit_code(dev.process.wait_exit(SOON)), 0);
    assert_nothing_left(dev.dir.path());
    let http = own_addr();
    let dir = text(dev.dir.path());
    let args = ["dev", "--groups", "1", "--replicas", "1", "--dir", dir, "--http", &http.to_string()];
    dev.process = spawn(&args);
    dev.http = Http::new(http);
    wait_for("the cluster", SOON, || {
        let up = std::net::TcpStream::connect(http).is_ok();
        (up && dev.http.get("/ready").status == 200).then_some(())
    });
    let seen = dev.http.run("db", "SELECT v FROM kept");
    assert_eq!(seen["results"][0]["series"][0]["values"][0][1], 7, "{seen}");
}

#[test]
fn a_missing_influxd_is_told_with_the_package_to_install() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let port = own_addr().to_string();
    let args = ["dev", "--dir", text(dir.path()), "--http", &port];
    let ended = run_with_path(&args, "/nonexistent");
    assert_ne!(ended.code, 0, "{ended:?}");
    let said = ended.said();
    assert!(said.contains("influxd") && said.contains("influxdb"), "{said}");
}

#[test]
fn with_zookeeper_the_topology_lies_there() {
    let mut dev = Dev::start_with(2, 1, &["--zookeeper"]);
    dev.http.run("", "CREATE DATABASE db");
    dev.http.store("db", "m v=1 1\n");
    // The greeting's own line, as a person would paste it.
    let line = wait_for("a line to paste", SOON, || {
        let said = dev.said();
        said.lines().find_map(|line| Some(line.split_once("slotline status ")?.1.to_owned()))
    });
    let status = run(&["status"].into_iter().chain(line.split_whitespace()).collect::<Vec<_>>(), "");
    assert!(status.code == 0 && status.stdout.contains("all is well"), "{status:?}");
    let args: Vec<&str> = ["topology", "show"].into_iter().chain(line.split_whitespace()).collect();
    let shown = run(&args, "");
    assert_eq!(shown.code, 0, "{shown:?}");
    for part in ["epoch 1", "g1a", "g2a", "0-511", "512-1023"] {
        assert!(shown.stdout.contains(part), "{part} in {}", shown.stdout);
    }
    dev.process.signal(libc::SIGINT);
    assert_eq!(exit_code(dev.process.wait_exit(SOON)), 0);
    assert_nothing_left(dev.dir.path());
}

#[test]
fn ctl_adds_a_group_that_is_there_again_at_the_next_start() {
    let mut dev = Dev::start_with(1, 2, &["--zookeeper"]);
    dev.http.run("", "CREATE DATABASE db");
    let body: String = (0..50).map(|n| format!("before{n} v={n} 1\n")).collect();
    dev.http.store("db", body);
    dev.ctl(&["add-group"]);
    let body: String = (0..50).map(|n| format!("after{n} v={n} 1\n")).collect();
    dev.http.store("db", body);
    let all = |dev: &Dev| {
        for n in 0..100 {
            let name = if n < 50 { format!("before{n}") } else { format!("after{}", n - 50) };
            let seen = dev.http.run("db", &format!("SELECT v FROM {name}"));
            assert_eq!(seen["results"][0]["series"][0]["values"][0][1], n % 50, "{name}: {seen}");
        }
    };
    all(&dev);
    let groups = |dev: &Dev| {
        let shown = dev.http.run("", "SHOW DIAGNOSTICS");
        shown.to_string().matches("\"replica\":\"g2").count()
    };
    assert!(groups(&dev) > 0, "the new group is asked for nothing");
    dev.process.signal(libc::SIGINT);
    assert_eq!(exit_code(dev.process.wait_exit(SOON)), 0);
    assert_nothing_left(dev.dir.path());
    let (dir, http) = (text(dev.dir.path()).to_owned(), own_addr());
    let args = ["dev", "--groups", "1", "--replicas", "2", "--zookeeper", "--dir", &dir, "--http", &http.to_string()];
    dev.process = spawn(&args);
    dev.http = Http::new(http);
    wait_for("the cluster", SOON, || {
        let up = std::net::TcpStream::connect(http).is_ok();
        (up && dev.http.get("/ready").status == 200).then_some(())
    });
    all(&dev);
    assert!(groups(&dev) > 0, "the group has gone");
}

#[test]
fn a_missing_zookeeper_is_told_with_the_package_to_install() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("influxd"), "").expect("a folder takes a file");
    let args = ["dev", "--zookeeper", "--http", &own_addr().to_string()];
    let ended = run_with_path(&args, text(dir.path()));
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(ended.said().contains("apt-get install zookeeper"), "{ended:?}");
}
