//! The ZooKeeper of a dev cluster: Debian's, as a child process, with the cluster's topology pushed into it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

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

/// What an operator would do by hand. Changes that hide data are not pushed: the folder's data shall stay visible.
pub fn push(layout: &Layout) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut command = Command::new(own);
    command.args(["topology", "push", "--why", "slotline dev", "--config"]).arg(layout.config());
    let pushed = command.stdin(Stdio::null()).output().map_err(|error| format!("topology push: {error}"))?;
    if pushed.status.success() {
        return Ok(());
    }
    let said = [pushed.stdout, pushed.stderr].concat();
    Err(format!("topology push: {}", String::from_utf8_lossy(&said).trim_end()))
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
