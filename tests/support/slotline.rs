//! The program under test, as a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::client::Http;
use super::config::Config;
use super::process::{Process, command, die_with_parent, exit_code};
use super::{SOON, wait_for};

const BINARY: &str = env!("CARGO_BIN_EXE_slotline");

/// A running `slotline serve`. When a test fails, its log, configuration and command are printed.
pub struct Slotline {
    dir: tempfile::TempDir,
    http: Http,
    admin: Http,
    process: Process,
    environment: Environment,
}

/// Variables that it finds besides the test's own.
type Environment = Vec<(String, PathBuf)>;

impl Slotline {
    #[track_caller]
    pub fn start(config: &Config) -> Slotline {
        Slotline::start_in(config, Vec::new())
    }

    /// With these variables in its environment, at every start.
    #[track_caller]
    pub fn start_in(config: &Config, environment: Environment) -> Slotline {
        let dir = temp_dir();
        let data_dir = dir.path().join("data");
        std::fs::write(config_path(&dir), config.to_toml(&data_dir)).expect("a folder takes a file");
        let (process, http, admin) = serve(&dir, &[], &environment);
        Slotline { dir, http, admin, process, environment }
    }

    /// Starts it anew on the same data with another configuration; it must have ended.
    #[track_caller]
    pub fn start_again(&mut self, config: &Config, args: &[&str]) {
        self.write_config(config);
        let (process, http, admin) = serve(&self.dir, args, &self.environment);
        (self.process, self.http, self.admin) = (process, http, admin);
    }

    /// Starts it anew as it was; it must have ended.
    #[track_caller]
    pub fn restart(&mut self) {
        let (process, http, admin) = serve(&self.dir, &[], &self.environment);
        (self.process, self.http, self.admin) = (process, http, admin);
    }

    /// Asks it to end, and waits until it has; its exit code.
    #[track_caller]
    pub fn stop(&mut self) -> i32 {
        self.process.signal(libc::SIGTERM);
        self.wait_exit()
    }

    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    pub fn write_config(&self, config: &Config) {
        let text = config.to_toml(&self.data_dir());
        std::fs::write(config_path(&self.dir), text).expect("a folder takes a file");
    }

    pub fn http(&self) -> Http {
        self.http
    }

    pub fn admin(&self) -> Http {
        self.admin
    }

    /// Where its listeners of a protocol are, in the configuration's order.
    pub fn listening(&self, protocol: &str) -> Vec<SocketAddr> {
        let mark = format!("listening protocol={protocol} addr=");
        self.process.log().iter().filter_map(|line| address_behind(&mark, line)).collect()
    }

    /// A metric, added up over all its labels that contain each of `labels`.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let text = self.admin.get("/metrics").text();
        let fits = |line: &&str| line.split(['{', ' ']).next() == Some(name) && labels.iter().all(|l| line.contains(l));
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        text.lines().filter(fits).map(|line| value(line).expect("a number") as u64).sum()
    }

    /// The address of the first listener of a protocol.
    #[track_caller]
    pub fn first_listening(&self, protocol: &str) -> SocketAddr {
        listening(&self.process, protocol).expect("it listens")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn config_path(&self) -> PathBuf {
        config_path(&self.dir)
    }

    pub fn log(&self) -> String {
        self.process.log().join("\n")
    }

    /// How many lines of the log have `part` in them.
    pub fn says(&self, part: &str) -> usize {
        self.process.log().iter().filter(|line| plain(line).contains(part)).count()
    }

    #[track_caller]
    pub fn wait_says(&self, part: &str) {
        wait_for(&format!("{part:?} in the log"), SOON, || (self.says(part) > 0).then_some(()));
    }

    /// A figure of `/metrics`, by its name with its labels; `None` while there is none.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let text = self.admin.get("/metrics").text();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until every replica has all that was kept for it, and is written to directly.
    #[track_caller]
    pub fn wait_direct(&self) {
        wait_for("all replicas to be written to directly", 2 * SOON, || {
            let text = self.admin.get("/metrics").text();
            let states: Vec<&str> = text.lines().filter(|line| line.starts_with("slotline_backend_state{")).collect();
            let direct = |line: &&str| line.contains("state=\"direct\"");
            (!states.is_empty() && states.iter().all(direct)).then_some(())
        });
    }

    #[track_caller]
    pub fn wait_metric(&self, name: &str, wanted: f64) {
        wait_for(&format!("{name} {wanted}"), SOON, || (self.figure(name) == Some(wanted)).then_some(()));
    }

    /// Waits until every core has taken the topology of an epoch over.
    #[track_caller]
    pub fn wait_epoch(&self, epoch: u64) {
        self.wait_metric("slotline_topology_epoch", epoch as f64);
    }

    /// The processor time that it has used so far.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        // After the name in parentheses: utime and stime are the 12th and 13th, in hundredths of a second.
        let (_, rest) = stat.rsplit_once(')').expect("the name ends");
        let ticks = rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    /// The most memory that its process has held, in bytes.
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB")).expect("a size");
        kilobytes.parse::<usize>().expect("a number") * 1024
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// The exit code, once it ends.
    #[track_caller]
    pub fn wait_exit(&mut self) -> i32 {
        exit_code(self.process.wait_exit(SOON))
    }

    #[track_caller]
    pub fn assert_running(&mut self) {
        if let Some(status) = self.process.has_exited() {
            panic!("slotline ended by itself: {status}");
        }
    }
}

impl Drop for Slotline {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report(&self.process, &config_path(&self.dir));
        }
    }
}

fn temp_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("slotline-").tempdir().expect("a temporary folder")
}

fn config_path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("config.toml")
}

/// Starts the server and waits until it serves.
#[track_caller]
fn serve(dir: &tempfile::TempDir, args: &[&str], environment: &Environment) -> (Process, Http, Http) {
    let path = config_path(dir);
    let config = path.to_str().expect("temporary paths are UTF-8");
    let all = [&["serve", "--config", config], args].concat();
    let mut command = command(BINARY, &all);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let process = Process::start(command).expect("slotline can be started");
    let found = listening(&process, "http").and_then(|http| {
        let admin = listening(&process, "admin")?;
        process.wait_log("serving", 0, SOON, |line| plain(line).ends_with(" serving").then_some(()))?;
        Ok((http, admin))
    });
    match found {
        Ok((http, admin)) => (process, Http::new(http), Http::new(admin)),
        Err(why) => {
            report(&process, &path);
            panic!("slotline does not serve: {why}");
        }
    }
}

fn listening(process: &Process, protocol: &str) -> Result<SocketAddr, String> {
    let mark = format!("listening protocol={protocol} addr=");
    process.wait_log(&mark, 0, SOON, |line| address_behind(&mark, line))
}

fn address_behind(mark: &str, line: &str) -> Option<SocketAddr> {
    let (_, rest) = plain(line).split_once(mark).map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// A log line without quotes and colours.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line.chars();
    while let Some(char) = rest.next() {
        match char {
            '\u{1b}' => while rest.next().is_some_and(|code| !code.is_ascii_alphabetic()) {},
            '"' => {}
            other => text.push(other),
        }
    }
    text
}

fn report(process: &Process, config: &Path) {
    let text = std::fs::read_to_string(config).unwrap_or_default();
    let log = process.log();
    let shown = &log[log.len().saturating_sub(200)..];
    eprintln!("--- command\n{}", process.command());
    eprintln!("--- {}\n{text}", config.display());
    eprintln!("--- log ({} of {} lines)\n{}\n---", shown.len(), log.len(), shown.join("\n"));
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Both streams, for checks that don't care where something was said.
    pub fn said(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

/// Runs `slotline` with `args` and `input` to its end.
#[track_caller]
pub fn run(args: &[&str], input: &str) -> Ended {
    run_command(command(BINARY, args), input)
}

/// The same with another search path for programs.
#[track_caller]
pub fn run_with_path(args: &[&str], path: &str) -> Ended {
    run_with_env(args, "PATH", path)
}

/// The same with a variable set in its environment.
#[track_caller]
pub fn run_with_env(args: &[&str], name: &str, value: &str) -> Ended {
    let mut command = command(BINARY, args);
    command.env(name, value);
    run_command(command, "")
}

#[track_caller]
fn run_command(mut command: Command, input: &str) -> Ended {
    use std::io::Write;
    die_with_parent(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("slotline can be started");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let id = child.id();
    let (done, finished) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if finished.recv_timeout(Duration::from_secs(30)).is_err() {
            super::process::send_signal(id, libc::SIGKILL);
        }
    });
    let output = child.wait_with_output().expect("a child can be waited for");
    let _ = done.send(());
    watchdog.join().expect("the watchdog does not panic");
    Ended {
        code: exit_code(output.status),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Starts `slotline` with `args` and leaves it running.
pub fn spawn(args: &[&str]) -> Process {
    let mut command = command(BINARY, args);
    command.stdout(Stdio::piped());
    Process::start(command).expect("slotline can be started")
}
