//! One real ZooKeeper in a folder of its own, on a loopback port.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::process::{Process, command};
use super::{SOON, own_addr, wait_for};

/// The jar names those that it needs; the logger writes to standard error.
const CLASSES: &str = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar";
/// Members of an ensemble without a majority serve those who only read, and ask each other every second at least who
/// leads: without this the pauses double up to a minute.
const JAVA: [&str; 9] = [
    "-Dreadonlymode.enabled=true",
    "-Dzookeeper.fastleader.maxNotificationInterval=1000",
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-cp",
    CLASSES,
    "org.apache.zookeeper.server.quorum.QuorumPeerMain",
];

pub struct Zookeeper {
    dir: tempfile::TempDir,
    addr: SocketAddr,
    /// `None` while stopped.
    process: Option<Process>,
}

impl Zookeeper {
    pub fn start() -> Zookeeper {
        Zookeeper::start_with("")
    }

    /// One with further lines in its configuration, for instance `maxSessionTimeout=4000`.
    pub fn start_with(lines: &str) -> Zookeeper {
        let mut zookeeper = Zookeeper::stopped(lines);
        zookeeper.launch();
        zookeeper
    }

    /// One that does not run yet.
    pub fn stopped(lines: &str) -> Zookeeper {
        let dir = tempfile::Builder::new().prefix("zookeeper-").tempdir().expect("a temporary folder");
        let addr = own_addr();
        let text = format!(
            "tickTime=1000\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\npreAllocSize=1024\n{lines}\n",
            dir.path().join("data").display(),
            addr.port()
        );
        std::fs::write(dir.path().join("zoo.cfg"), text).expect("a temporary folder takes a file");
        Zookeeper { dir, addr, process: None }
    }

    /// Three that agree among themselves, all running.
    pub fn ensemble() -> Vec<Zookeeper> {
        let server = |id: usize| format!("server.{id}={}:{}", own_addr(), own_addr().port());
        let lines = format!("initLimit=10\nsyncLimit=5\n{}\n{}\n{}", server(1), server(2), server(3));
        let mut members: Vec<Zookeeper> = (1..=3)
            .map(|id| {
                let member = Zookeeper::stopped(&lines);
                let data = member.dir.path().join("data");
                std::fs::create_dir(&data).expect("a folder takes a folder");
                std::fs::write(data.join("myid"), id.to_string()).expect("a folder takes a file");
                member
            })
            .collect();
        // None serves before two are there.
        members.iter_mut().for_each(Zookeeper::spawn);
        members.iter_mut().for_each(Zookeeper::wait_serving);
        members
    }

    pub fn is_leader(&self) -> bool {
        self.says("srvr").contains("Mode: leader")
    }

    /// Starts it, again too: same port, same data. The test's own thread must call this: the process dies with the
    /// thread that starts it.
    #[track_caller]
    pub fn launch(&mut self) {
        self.spawn();
        self.wait_serving();
    }

    /// Only starts it.
    #[track_caller]
    pub fn spawn(&mut self) {
        let config = self.dir.path().join("zoo.cfg");
        let config = config.to_str().expect("temporary paths are UTF-8");
        let process = match Process::start(command("java", &[&JAVA[..], &[config]].concat())) {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("java is not in PATH: install the Debian package `zookeeper`, which brings it")
            }
            Err(error) => panic!("java does not start: {error}"),
        };
        self.process = Some(process);
    }

    #[track_caller]
    fn wait_serving(&mut self) {
        let process = self.process.as_mut().expect("it was started");
        let addr = self.addr;
        wait_for("ZooKeeper", SOON, || {
            if let Some(status) = process.has_exited() {
                let log = process.log().join("\n");
                panic!("ZooKeeper ended ({status}); is the Debian package `zookeeper` installed?\n{log}");
            }
            four_letters(addr, "srvr").filter(|answer| answer.contains("Mode:"))
        });
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn kill9(&mut self) {
        self.process.take().expect("ZooKeeper runs").kill9();
    }

    /// Freezes the process: connections are accepted by the kernel, nothing answers.
    pub fn pause(&self) {
        self.process.as_ref().expect("ZooKeeper runs").signal(libc::SIGSTOP);
    }

    pub fn resume(&self) {
        self.process.as_ref().expect("ZooKeeper runs").signal(libc::SIGCONT);
    }

    /// The answer to one of its four-letter commands.
    #[track_caller]
    pub fn says(&self, command: &str) -> String {
        wait_for("ZooKeeper's answer", SOON, || four_letters(self.addr, command))
    }

    /// How many sessions it holds.
    pub fn sessions(&self) -> usize {
        let dump = self.says("dump");
        let count = dump.lines().find_map(|line| line.strip_prefix("Session Sets (")?.split_once(")/("));
        let (_, count) = count.expect("dump counts the sessions");
        count.trim_end_matches("):").parse().expect("a number")
    }
}

fn four_letters(addr: SocketAddr, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(command.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
