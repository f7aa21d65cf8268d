//! One real InfluxDB in a folder of its own, on a loopback port that it chose itself.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::client::Http;
use super::process::{Process, command, exit_code};
use super::{SOON, own_addr, wait_for};

pub struct Influxd {
    dir: tempfile::TempDir,
    addr: SocketAddr,
    auth: bool,
    /// Variables that it finds besides the test's own.
    environment: Vec<(&'static str, &'static str)>,
    /// `None` while stopped.
    process: Option<Process>,
}

impl Influxd {
    pub fn start() -> Influxd {
        Influxd::start_with(false, Vec::new())
    }

    /// One that asks for credentials; it has no user yet.
    pub fn start_with_auth() -> Influxd {
        Influxd::start_with(true, Vec::new())
    }

    /// One with these variables in its environment.
    pub fn start_in(environment: Vec<(&'static str, &'static str)>) -> Influxd {
        Influxd::start_with(false, environment)
    }

    fn start_with(auth: bool, environment: Vec<(&'static str, &'static str)>) -> Influxd {
        let dir = tempfile::Builder::new().prefix("influxd-").tempdir().expect("a temporary folder");
        let mut influxd = Influxd { dir, addr: own_addr(), auth, environment, process: None };
        influxd.launch().expect("influxd starts");
        influxd
    }

    fn launch(&mut self) -> Result<SocketAddr, String> {
        let config = self.dir.path().join("influxdb.conf");
        std::fs::write(&config, self.config_text()).expect("a temporary folder takes a file");
        let config = config.to_str().expect("temporary paths are UTF-8");
        let mut command = command("influxd", &["-config", config]);
        command.envs(self.environment.iter().copied());
        let process = match Process::start(command) {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("influxd is not in PATH: install the Debian package `influxdb`")
            }
            Err(error) => panic!("influxd does not start: {error}"),
        };
        let addr = process
            .wait_log("the HTTP address", 0, SOON, |line| {
                if !line.contains("Listening on HTTP") {
                    return None;
                }
                let (_, rest) = line.split_once("addr=")?;
                rest.split_whitespace().next()?.parse().ok()
            })
            .map_err(|why| format!("{why}\n{}", process.log().join("\n")))?;
        self.process = Some(process);
        Ok(addr)
    }

    fn config_text(&self) -> String {
        let dir = self.dir.path().display();
        let Influxd { addr, auth, .. } = self;
        format!(
            r#"reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = "{dir}/meta"
[data]
  dir = "{dir}/data"
  wal-dir = "{dir}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[continuous_queries]
  enabled = false
[http]
  bind-address = "{addr}"
  auth-enabled = {auth}
  log-enabled = false
"#
        )
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn http(&self) -> Http {
        Http::new(self.addr)
    }

    /// A clean stop, with everything flushed.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("influxd runs");
        process.signal(libc::SIGTERM);
        assert_eq!(exit_code(process.wait_exit(SOON)), 0, "influxd stops cleanly");
    }

    pub fn kill9(&mut self) {
        self.process.take().expect("influxd runs").kill9();
    }

    /// Starts again on the same port with the same data. The test's main thread must call this:
    /// the process dies with the thread that starts it.
    pub fn restart(&mut self) {
        if self.process.is_some() {
            self.stop();
        }
        let addr = wait_for("the old port of influxd", SOON, || self.launch().ok());
        assert_eq!(addr, self.addr, "influxd came back elsewhere");
    }

    /// Freezes the process: connections are accepted by the kernel, nothing answers.
    pub fn pause(&self) {
        self.process.as_ref().expect("influxd runs").signal(libc::SIGSTOP);
    }

    pub fn resume(&self) {
        self.process.as_ref().expect("influxd runs").signal(libc::SIGCONT);
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }
}

/// The version of the installed influxd, as its HTTP headers say it.
pub fn version(http: Http) -> String {
    let ping = http.get("/ping");
    ping.header("X-Influxdb-Version").expect("influxd tells its version").to_owned()
}

/// Time that one request may take when nothing is wrong but the machine is busy.
pub const ONE_REQUEST: Duration = Duration::from_secs(10);
