//! A child process that can't outlive its test, with what it says kept line by line.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::wait_for;

/// What a process has written so far.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: Vec<String>,
    /// Standard error has ended.
    ended: bool,
}

impl Log {
    fn collect(&self, stream: impl Read) {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            self.state.lock().expect("no holder panics").lines.push(text);
            self.changed.notify_all();
        }
    }

    fn end(&self) {
        self.state.lock().expect("no holder panics").ended = true;
        self.changed.notify_all();
    }
}

pub struct Process {
    child: Child,
    command: String,
    log: Arc<Log>,
}

impl Process {
    /// Starts `command` with standard error collected, and standard output too if it is piped. It
    /// is killed when dropped, and by the kernel when the thread that started it dies.
    pub fn start(mut command: Command) -> std::io::Result<Process> {
        die_with_parent(&mut command);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let log = Arc::new(Log::default());
        if let Some(stdout) = child.stdout.take() {
            let sink = Arc::clone(&log);
            std::thread::spawn(move || sink.collect(stdout));
        }
        let stderr = child.stderr.take().expect("standard error is piped");
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            sink.collect(stderr);
            sink.end();
        });
        Ok(Process { child, command: format!("{command:?}"), log })
    }

    /// The first line of the log, from line `from` on, for which `pick` says `Some`.
    pub fn wait_log<T>(
        &self,
        what: &str,
        from: usize,
        within: Duration,
        pick: impl Fn(&str) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + within;
        let mut seen = from;
        let mut state = self.log.state.lock().expect("no holder panics");
        loop {
            while let Some(line) = state.lines.get(seen) {
                if let Some(found) = pick(line) {
                    return Ok(found);
                }
                seen += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                let why = if state.ended { "the process ended" } else { "it took too long" };
                return Err(format!("{why} before the log said: {what}"));
            }
            state = self.log.changed.wait_timeout(state, left).expect("no holder panics").0;
        }
    }

    pub fn log(&self) -> Vec<String> {
        self.log.state.lock().expect("no holder panics").lines.clone()
    }

    pub fn command(&self) -> &str {
        &self.command
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: i32) {
        send_signal(self.id(), signal);
    }

    pub fn kill9(&mut self) {
        self.child.kill().expect("a child that was not waited for can be killed");
        self.child.wait().expect("a killed child can be waited for");
    }

    /// Waits for the end; the whole log is in when this returns.
    pub fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let command = self.command.clone();
        let status =
            wait_for(&format!("the end of {command}"), within, || self.child.try_wait().expect("a child can be asked"));
        let mut state = self.log.state.lock().expect("no holder panics");
        let deadline = Instant::now() + Duration::from_secs(2);
        while !state.ended && Instant::now() < deadline {
            let waited = self.log.changed.wait_timeout(state, Duration::from_millis(50));
            state = waited.expect("no holder panics").0;
        }
        drop(state);
        status
    }

    pub fn has_exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A status as shells print it: the exit code, or 128 and the signal.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

pub fn send_signal(pid: u32, signal: i32) {
    let pid = libc::pid_t::try_from(pid).expect("process ids fit");
    // SAFETY: kill(2) takes no pointers; the process is one that the test started.
    let answer = unsafe { libc::kill(pid, signal) };
    assert_eq!(answer, 0, "signal {signal} to process {pid} failed");
}

/// Has the kernel kill the child when the thread that starts it ends.
pub fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl(2) is async-signal-safe and the closure allocates nothing.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

/// Processes, by id, whose command line mentions `folder`; zombies don't count.
pub fn processes_naming(folder: &Path) -> Vec<(u32, String)> {
    let folder = folder.to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").expect("/proc can be listed");
    entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let pid: u32 = name.to_str()?.parse().ok()?;
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(&folder).then_some((pid, line))
        })
        .collect()
}

/// The command as a person would type it again.
pub fn command(program: impl AsRef<OsStr>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}
