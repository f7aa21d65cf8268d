//! The ZooKeeper of a dev cluster: Debian's, as a child process, with the cluster's topology in it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::control::{self, Expect};
use crate::topology::{self, Servers, Znodes};

use super::super::cluster::history;
use super::child::Child;
use super::find_program;
use super::layout::Layout;

/// It names the other jars that it needs.
const JAR: &str = "/usr/share/java/zookeeper.jar";
/// Without it ZooKeeper logs nothing.
const LOGGER_JAR: &str = "/usr/share/java/slf4j-simple.jar";
const MAIN: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";

pub fn find_java() -> Result<PathBuf, String> {
    let java = find_program("java").filter(|_| Path::new(JAR).is_file());
    java.ok_or_else(|| format!("java or {JAR} is missing; install ZooKeeper (Debian: apt-get install zookeeper)"))
}

/// Starts it and waits until it serves.
pub fn start(java: &Path, layout: &Layout, timeout: Duration, interrupted: &AtomicBool) -> Result<Child, String> {
    let mut command = Command::new(java);
    command.args(["-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"]);
    command.arg(format!("{JAR}:{LOGGER_JAR}")).arg(MAIN).arg(layout.zookeeper_config());
    let mut child = Child::start("zookeeper", command, &layout.zookeeper_log())?;
    let address = layout.zookeeper().ok_or("no port for ZooKeeper")?;
    child.wait_until(timeout, interrupted, || serves(address))?;
    Ok(child)
}

/// The cluster's first topology, or the last one with the ports that its servers have now.
pub fn publish(layout: &Layout) -> Result<(), String> {
    let address = layout.zookeeper().ok_or("no port for ZooKeeper")?;
    let servers = Servers::parse(&address.to_string())?;
    let mut store = control::open(servers, "").map_err(|error| error.to_string())?;
    let znodes = Znodes::of("main")?;
    let path = znodes.topology();
    let last = store.read(&path).map_err(|error| error.to_string())?;
    let Some(last) = last.filter(|entry| !entry.data.is_empty()) else {
        let config = layout.config();
        let config = config.to_str().ok_or("the folder's name is no text")?;
        return command(address, &["topology", "push", "--why", "slotline dev", "--config", config]);
    };
    let before = topology::parse(&last.data).map_err(|error| format!("ZooKeeper's topology: {error}"))?;
    let mut spec = before.spec().clone();
    for own in layout.replicas() {
        let same =
            spec.groups.iter_mut().flat_map(|group| &mut group.replicas).find(|replica| replica.name == own.name);
        match same {
            Some(replica) => replica.url = format!("http://{}", own.http),
            None => {
                return Err(format!("{} is not in the folder's topology: start with the --groups it had", own.name));
            }
        }
    }
    let after = spec.build(before.epoch + 1).map_err(|faults| format!("the topology has {} faults", faults.len()))?;
    let document = topology::print(&after);
    let written = store.write(&path, document.as_bytes(), Expect::Version(last.version));
    let noted = written.and_then(|()| history::note(store.as_mut(), &znodes, after.epoch, &document, "slotline dev"));
    noted.map_err(|error| error.to_string())
}

/// Runs one of our own commands on the cluster, as an operator would.
pub fn command(zookeeper: SocketAddr, words: &[&str]) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut command = Command::new(own);
    command.args(words).args(["--yes", "--zookeeper", &zookeeper.to_string()]);
    let done = command.stdin(Stdio::null()).output().map_err(|error| format!("{}: {error}", words.join(" ")))?;
    if done.status.success() {
        return Ok(());
    }
    let said = [done.stdout, done.stderr].concat();
    // The answer is one line.
    Err(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&said).trim_end().replace('\n', "; ")))
}

fn serves(address: SocketAddr) -> bool {
    let second = Duration::from_secs(1);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, second) else { return false };
    let mut answer = String::new();
    let asked = stream
        .set_read_timeout(Some(second))
        .and_then(|()| stream.write_all(b"srvr"))
        .and_then(|()| stream.read_to_string(&mut answer));
    asked.is_ok() && answer.contains("Mode:")
}
