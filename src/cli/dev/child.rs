//! A child process that dies with us.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a process may take to end when asked.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

pub struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
    /// Its end was told already, or was our wish.
    ended: bool,
}

impl Child {
    /// Starts it with its output in a log file, in a process group of its own: Ctrl-C reaches only us.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Child, String> {
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.map_err(|error| format!("{}: {error}", log.display()))?;
        let errors = file.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0);
        // SAFETY: prctl(2) is async-signal-safe and touches no memory of ours.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let process = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        Ok(Child { name: name.to_owned(), process, log: log.to_owned(), ended: false })
    }

    /// Waits until it answers 2xx over HTTP, or `interrupted` says to give up.
    pub fn wait_for(
        &mut self,
        address: SocketAddr,
        path: &str,
        timeout: Duration,
        interrupted: &AtomicBool,
    ) -> Result<(), String> {
        self.wait_until(timeout, interrupted, || answers(address, path))
    }

    /// Waits until `up` says that it is up, or `interrupted` says to give up.
    pub fn wait_until(
        &mut self,
        timeout: Duration,
        interrupted: &AtomicBool,
        up: impl Fn() -> bool,
    ) -> Result<(), String> {
        let until = Instant::now() + timeout;
        loop {
            let up = up();
            // Somebody else may have answered.
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(format!("{} has ended ({status}): {}", self.name, self.log_tail()));
            }
            if up {
                return Ok(());
            }
            if interrupted.load(Ordering::Relaxed) {
                return Err("interrupted".to_owned());
            }
            if Instant::now() > until {
                return Err(format!("{} did not answer within {timeout:?}: {}", self.name, self.log_tail()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// News of its end, once, unless we ended it.
    pub fn has_ended(&mut self) -> Option<String> {
        match self.process.try_wait() {
            Ok(Some(status)) if !self.ended => {
                self.ended = true;
                Some(format!("{} has ended ({status}); its log is {}", self.name, self.log.display()))
            }
            _ => None,
        }
    }

    pub fn kill(&mut self) {
        self.ended = true;
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    pub fn ask_to_stop(&mut self) {
        self.ended = true;
        if let (Ok(None), Ok(id)) = (self.process.try_wait(), i32::try_from(self.process.id())) {
            // SAFETY: the process is ours and was not waited for, so that the id is still its own.
            unsafe { libc::kill(id, libc::SIGTERM) };
        }
    }

    /// Asks it to stop and waits; kills it when that takes too long.
    pub fn stop(&mut self) {
        self.ask_to_stop();
        let until = Instant::now() + STOP_TIMEOUT;
        while let Ok(None) = self.process.try_wait() {
            if Instant::now() > until {
                println!("{} does not stop; it is killed", self.name);
                return self.kill();
            }
            std::thread::sleep(POLL);
        }
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

fn answers(address: SocketAddr, path: &str) -> bool {
    let second = Duration::from_secs(1);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, second) else { return false };
    let mut head = [0; 16];
    let asked = stream
        .set_read_timeout(Some(second))
        .and_then(|()| stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()))
        .and_then(|()| stream.read_exact(&mut head[..12]));
    asked.is_ok() && head[9] == b'2'
}
