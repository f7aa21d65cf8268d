//! A whole process: checks the machine, locks `data_dir`, opens the ports, starts a shard per core, waits for signals.

mod data_dir;
mod machine;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use arc_swap::ArcSwap;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::admin::Process;
use crate::config::Config;
use crate::net::{Doorbell, listening_sockets};
use crate::shard::{self, Setup};
use crate::stats::{ReplicaStats, ShardStats};

use data_dir::DataDir;

/// How often each shard's bell rings. Under load a parked executor was seen to miss its timer and, with nothing else to
/// wake it, to sleep for ever (about one start in 200 on Linux 6.18, glommio 0.9); woken, it looks at its timers again.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// How late a busy shard may notice timers and wake-ups.
const PREEMPT_TIMER: Duration = Duration::from_millis(2);
/// A shard that takes longer to start does not start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the proxy does not start: the exit code is 2.
#[derive(Debug)]
pub struct StartError(pub String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs the proxy until SIGTERM or SIGINT has drained it.
pub fn serve(config: Config, accept_topology: bool) -> Result<(), StartError> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(|error| StartError(format!("signals: {error}")))?;
    machine::probe()?;
    let cores = machine::cores(&config.server.cores)?;
    let data_dir = DataDir::open(&config.server.data_dir)?;
    let topology = config.topology.clone();
    data_dir.check(&topology, accept_topology)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), id = %data_dir.id, cores = ?cores, groups = topology.groups().len(),
        cluster = config.cluster.name, "starting"
    );
    let sockets = open_sockets(&config, cores.len())?;
    data_dir.keep(&topology)?;
    let shards: Vec<Arc<ShardStats>> = cores.iter().map(|_| Arc::default()).collect();
    let names = topology.replicas().map(|replica| (replica.name.clone(), ReplicaStats::new(&replica.name)));
    let process = Arc::new(Process {
        replicas: names.collect::<HashMap<_, _>>(),
        topology: Arc::new(ArcSwap::from_pointee(topology)),
        shards,
        draining: AtomicBool::new(false),
    });
    let running = start_shards(Arc::new(config), &process, &cores, sockets)?;
    tracing::info!("serving");
    // Ends at the first signal; a second one ends the process as it would any other.
    if let Some(signal) = signals.forever().next() {
        tracing::info!(signal, "draining");
    }
    for signal in [SIGTERM, SIGINT] {
        let _ = signal_hook::flag::register_conditional_default(signal, Arc::new(AtomicBool::new(true)));
    }
    process.draining.store(true, Ordering::Relaxed);
    running.iter().for_each(|(doorbell, _)| doorbell.ring());
    for (_, thread) in running {
        if let Err(error) = thread.join() {
            tracing::error!(%error, "a shard ended badly");
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// All listening sockets: per shard those of the HTTP API, and the admin's for the first.
struct Sockets {
    http: Vec<Vec<TcpListener>>,
    admin: Option<TcpListener>,
}

fn open_sockets(config: &Config, shards: usize) -> Result<Sockets, StartError> {
    let open = |protocol: &str, bind: SocketAddr, count| {
        let sockets = listening_sockets(bind, count).map_err(|error| {
            StartError(format!("cannot listen on {bind} ({protocol}): {error}; is another process on that port?"))
        })?;
        let address = sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(bind);
        tracing::info!("listening protocol={protocol} addr={address}");
        Ok(sockets)
    };
    let mut http: Vec<Vec<TcpListener>> = (0..shards).map(|_| Vec::new()).collect();
    for listen in &config.listen {
        let sockets = open("http", listen.bind.0, shards)?;
        http.iter_mut().zip(sockets).for_each(|(shard, socket)| shard.push(socket));
    }
    Ok(Sockets { http, admin: open("admin", config.admin.bind.0, 1)?.pop() })
}

type Running = Vec<(Arc<Doorbell>, ExecutorJoinHandle<()>)>;

fn start_shards(
    config: Arc<Config>,
    process: &Arc<Process>,
    cores: &[usize],
    sockets: Sockets,
) -> Result<Running, StartError> {
    let Sockets { http, mut admin } = sockets;
    let (ready, readies) = channel();
    let mut running = Vec::new();
    for ((core, stats), http) in cores.iter().zip(&process.shards).zip(http) {
        let (doorbell, wire) = Doorbell::new().map_err(|error| StartError(format!("a pipe: {error}")))?;
        let setup = Setup {
            config: config.clone(),
            process: process.clone(),
            stats: stats.clone(),
            http,
            admin: admin.take(),
            wire,
            ready: ready.clone(),
        };
        let thread = LocalExecutorBuilder::new(Placement::Fixed(*core))
            .name(&format!("shard-{core}"))
            .preempt_timer(PREEMPT_TIMER)
            .spawn(move || shard::run(setup))
            .map_err(|error| StartError(format!("a shard on core {core}: {error}")))?;
        running.push((Arc::new(doorbell), thread));
    }
    let doorbells: Vec<Arc<Doorbell>> = running.iter().map(|(doorbell, _)| doorbell.clone()).collect();
    std::thread::spawn(move || {
        loop {
            doorbells.iter().for_each(|doorbell| doorbell.ring());
            std::thread::sleep(HEARTBEAT);
        }
    });
    for _ in cores {
        let started = readies.recv_timeout(START_TIMEOUT);
        started.map_err(|_| StartError("a shard did not start; see the log above".to_owned()))?;
    }
    Ok(running)
}
