//! `slotline dev ctl`: speaks to a running dev cluster over a socket in its folder, a line each way.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::Event;

/// Temporary folders of dev clusters begin with it.
pub const TEMPORARY: &str = "slotline-dev-";
const SOCKET: &str = "ctl.sock";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub struct Args {
    /// The cluster's folder [default: that of the one cluster in a temporary folder].
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Add a group with as many replicas as the last one has, and give it slots that hold nothing; needs --zookeeper.
    AddGroup,
    /// Kill a replica's influxd, as a crash would.
    Kill { name: String },
    /// Start a replica's influxd again.
    Restart { name: String },
}

/// One command, and where its answer goes.
pub struct Call {
    pub words: Vec<String>,
    stream: UnixStream,
}

impl Call {
    pub fn answer(mut self, answer: Result<String, String>) {
        let line = match answer {
            Ok(text) => format!("ok {text}\n"),
            Err(text) => format!("error {text}\n"),
        };
        // The caller may have left.
        let _ = self.stream.write_all(line.as_bytes());
    }
}

/// Removes the socket at the end.
pub struct Listening(PathBuf);

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Turns calls into events.
pub fn listen(dir: &Path, events: Sender<Event>) -> Result<Listening, String> {
    let path = dir.join(SOCKET);
    // One left behind by a cluster that was killed.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Some(call) = read(stream)
                && events.send(Event::Ctl(call)).is_err()
            {
                return;
            }
        }
    });
    Ok(Listening(path))
}

fn read(stream: UnixStream) -> Option<Call> {
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).ok()?;
    Some(Call { words: line.split_whitespace().map(str::to_owned).collect(), stream })
}

/// Sends one command to the running cluster and prints its answer.
pub fn call(args: Args) -> Result<(), String> {
    let dir = match args.dir {
        Some(dir) => dir,
        None => only_temporary()?,
    };
    let words = match args.verb {
        Verb::AddGroup => "add-group".to_owned(),
        Verb::Kill { name } => format!("kill {name}"),
        Verb::Restart { name } => format!("restart {name}"),
    };
    let path = dir.join(SOCKET);
    let failed = |error: std::io::Error| format!("no cluster answers at {}: {error}", path.display());
    let mut stream = UnixStream::connect(&path).map_err(failed)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(failed)?;
    stream.write_all(format!("{words}\n").as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(failed)?;
    match answer.trim_end().split_once(' ') {
        Some(("ok", text)) => {
            println!("{text}");
            Ok(())
        }
        Some((_, text)) => Err(text.to_owned()),
        None => Err(format!("the cluster at {} has stopped", dir.display())),
    }
}

/// The folder of the one dev cluster that runs in a temporary folder.
fn only_temporary() -> Result<PathBuf, String> {
    let folder = std::env::temp_dir();
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let running = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(TEMPORARY));
    let running: Vec<PathBuf> = running.map(|entry| entry.path()).filter(|dir| dir.join(SOCKET).exists()).collect();
    match running.as_slice() {
        [dir] => Ok(dir.clone()),
        [] => Err(format!("no cluster runs under {}; name its folder with --dir", folder.display())),
        _ => Err("several clusters run; name the folder of one with --dir".into()),
    }
}
