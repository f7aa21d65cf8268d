//! `slotline dev`: a whole cluster on one machine, for trying things out.
//!
//! Real influxd processes, if asked for a ZooKeeper, and the proxy before them, all children of this process: they stop with it, however it ends.
//! One thread does everything, since children die with the thread that started them; others only bring it events.

mod child;
mod ctl;
mod layout;
mod zookeeper;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::net;

use child::Child;
use layout::{GROUPS_MAX, Layout, Replica};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Sub>,
    /// How many groups.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=i64::from(GROUPS_MAX)))]
    groups: u32,
    /// How many replicas each group has.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=26))]
    replicas: u32,
    /// Keep the topology in a real ZooKeeper.
    #[arg(long)]
    zookeeper: bool,
    /// Where data and logs lie; kept [default: a temporary folder, removed at the end].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where the proxy listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8086")]
    http: SocketAddr,
}

#[derive(clap::Subcommand)]
enum Sub {
    /// Change the running cluster.
    Ctl(ctl::Args),
}

/// How long the processes may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What the one thread waits for.
enum Event {
    Signal,
    Ctl(ctl::Call),
    /// Look after the children.
    Tick,
}

pub fn run(args: Args) -> ExitCode {
    let done = match args.command {
        Some(Sub::Ctl(call)) => ctl::call(call),
        None => cluster(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slotline dev: {error}");
            ExitCode::FAILURE
        }
    }
}

fn cluster(args: Args) -> Result<(), String> {
    let (events, received) = channel();
    let interrupted = Arc::new(AtomicBool::new(false));
    watch_signals(events.clone(), interrupted.clone())?;
    let influxd = find_influxd()?;
    let java = if args.zookeeper { Some(zookeeper::find_java()?) } else { None };
    net::check_free(args.http).map_err(|error| format!("--http {}: {error}", args.http))?;
    let temporary = match &args.dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix(ctl::TEMPORARY).tempdir().map_err(|e| format!("a folder: {e}"))?),
    };
    let dir = match (&args.dir, &temporary) {
        (Some(dir), _) => dir.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        // One of the two is there.
        (None, None) => return Err("no folder".into()),
    };
    let mut layout = Layout::make(&dir, args.groups, args.replicas, args.http, args.zookeeper)?;
    let _ctl = ctl::listen(&dir, events.clone())?;
    let mut replicas = Vec::new();
    for replica in layout.replicas() {
        replicas.push(start_influxd(&influxd, replica)?);
    }
    for (child, replica) in replicas.iter_mut().zip(layout.replicas()) {
        child.wait_for(replica.http, "/ping", START_TIMEOUT, &interrupted)?;
    }
    let mut others = Vec::new();
    if let Some(java) = java {
        others.push(zookeeper::start(&java, &layout, START_TIMEOUT, &interrupted)?);
        zookeeper::publish(&layout)?;
    }
    let mut proxy = start_proxy(&layout)?;
    proxy.wait_for(args.http, "/ready", START_TIMEOUT, &interrupted)?;
    std::thread::spawn(move || {
        while events.send(Event::Tick).is_ok() {
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    print!("{}", layout.greeting());
    let ended = look_after(&mut layout, &influxd, &mut proxy, &mut replicas, &mut others, &received);
    proxy.stop();
    replicas.append(&mut others);
    replicas.iter_mut().for_each(Child::ask_to_stop);
    replicas.iter_mut().for_each(Child::stop);
    println!("stopped");
    ended
}

/// Serves events until a signal comes; that the proxy ends by itself is an error.
fn look_after(
    layout: &mut Layout,
    influxd: &Path,
    proxy: &mut Child,
    replicas: &mut Vec<Child>,
    others: &mut [Child],
    events: &Receiver<Event>,
) -> Result<(), String> {
    while let Ok(event) = events.recv() {
        match event {
            Event::Signal => return Ok(()),
            Event::Ctl(call) => {
                let answer = obey(layout, influxd, replicas, &call.words);
                call.answer(answer);
            }
            Event::Tick => {
                let children = replicas.iter_mut().chain(others.iter_mut());
                children.filter_map(Child::has_ended).for_each(|news| println!("{news}"));
                if let Some(news) = proxy.has_ended() {
                    return Err(news);
                }
            }
        }
    }
    Ok(())
}

fn obey(layout: &mut Layout, influxd: &Path, replicas: &mut Vec<Child>, words: &[String]) -> Result<String, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (verb, name) = match words.as_slice() {
        ["add-group"] => return add_group(layout, influxd, replicas),
        [verb, name] => (*verb, *name),
        _ => return Err("kill NAME, restart NAME or add-group".into()),
    };
    let Some(at) = layout.replicas().iter().position(|replica| replica.name == name) else {
        let names: Vec<&str> = layout.replicas().iter().map(|replica| replica.name.as_str()).collect();
        return Err(format!("there is no replica {name:?}; there are {}", names.join(", ")));
    };
    let (child, replica) = (&mut replicas[at], &layout.replicas()[at]);
    match verb {
        "kill" => {
            child.kill();
            Ok(format!("{name} is killed"))
        }
        "restart" => {
            child.kill();
            *child = start_influxd(influxd, replica)?;
            child.wait_for(replica.http, "/ping", START_TIMEOUT, &AtomicBool::new(false))?;
            Ok(format!("{name} is up again"))
        }
        other => Err(format!("{other:?} is no command; kill NAME, restart NAME or add-group")),
    }
}

/// A group more, as an operator would add it: its servers, then the group, then slots that hold nothing.
fn add_group(layout: &mut Layout, influxd: &Path, replicas: &mut Vec<Child>) -> Result<String, String> {
    let Some(address) = layout.zookeeper() else {
        return Err("add-group needs a topology that can change while it is served: start dev with --zookeeper".into());
    };
    let (group, count) = layout.next_group()?;
    layout.add_group(group, count)?;
    let new: Vec<&Replica> = layout.replicas().iter().filter(|replica| replica.group == group).collect();
    for replica in &new {
        replicas.push(start_influxd(influxd, replica)?);
    }
    let first = replicas.len() - new.len();
    for (child, replica) in replicas[first..].iter_mut().zip(&new) {
        child.wait_for(replica.http, "/ping", START_TIMEOUT, &AtomicBool::new(false))?;
    }
    let named: Vec<String> = new.iter().map(|replica| format!("{}=http://{}", replica.name, replica.http)).collect();
    let id = group.to_string();
    let add: Vec<&str> = ["groups", "add", "--id", &id].into_iter().chain(named.iter().map(String::as_str)).collect();
    zookeeper::command(address, &add)?;
    zookeeper::command(address, &["slots", "spread", "--empty"])?;
    Ok(format!("group {group} is there with slots that held nothing: {}", named.join(" ")))
}

fn start_influxd(influxd: &Path, replica: &Replica) -> Result<Child, String> {
    let mut command = Command::new(influxd);
    command.arg("-config").arg(&replica.config);
    Child::start(&replica.name, command, &replica.log)
}

fn start_proxy(layout: &Layout) -> Result<Child, String> {
    let own = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut command = Command::new(own);
    command.args(["serve", "--config"]).arg(layout.config());
    Child::start("slotline", command, &layout.log())
}

fn find_influxd() -> Result<PathBuf, String> {
    let missing = "influxd is not on PATH; install InfluxDB 1.x (Debian: apt-get install influxdb)";
    find_program("influxd").ok_or_else(|| missing.into())
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn watch_signals(events: Sender<Event>, interrupted: Arc<AtomicBool>) -> Result<(), String> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| format!("signals: {error}"))?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            interrupted.store(true, Ordering::Relaxed);
            if events.send(Event::Signal).is_err() {
                return;
            }
        }
    });
    Ok(())
}
