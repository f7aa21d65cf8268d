//! A whole process: checks the machine, locks `data_dir`, opens the ports, starts a shard per core, waits for signals.

mod data_dir;
mod heartbeat;
mod machine;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use glommio::{LocalExecutorBuilder, Placement};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::admin::Process;
use crate::config::Config;
use crate::net::{Doorbell, listening_sockets};
use crate::shard::{self, Setup};
use crate::stats::{ReplicaStats, ShardStats};

use data_dir::DataDir;
use heartbeat::Heartbeat;

/// How late a busy shard may notice timers and wake-ups.
const PREEMPT_TIMER: Duration = Duration::from_millis(2);
/// How often it is seen whether the shards have ended.
const JOIN_POLL: Duration = Duration::from_millis(5);
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
    let Some(topology) = config.topology.clone().filter(|_| config.cluster.zookeeper.is_empty()) else {
        return Err(StartError(
            "cluster.zookeeper: serve does not follow ZooKeeper in this version; leave it empty".into(),
        ));
    };
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
    let Running { doorbells, heartbeat, threads } = running;
    doorbells.iter().for_each(Doorbell::ring);
    while !threads.iter().all(JoinHandle::is_finished) {
        std::thread::sleep(JOIN_POLL);
    }
    // It signals threads that are not joined.
    drop(heartbeat);
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a shard panicked");
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

/// The shards: their bells, their threads, and what keeps them awake.
struct Running {
    doorbells: Vec<Doorbell>,
    heartbeat: Heartbeat,
    threads: Vec<JoinHandle<()>>,
}

fn start_shards(
    config: Arc<Config>,
    process: &Arc<Process>,
    cores: &[usize],
    sockets: Sockets,
) -> Result<Running, StartError> {
    let Sockets { http, mut admin } = sockets;
    let (ready, readies) = channel();
    let (mut doorbells, mut threads) = (Vec::new(), Vec::new());
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
        doorbells.push(doorbell);
        threads.push(start_shard(*core, setup)?);
    }
    drop(ready);
    let heartbeat = Heartbeat::start(&threads).map_err(|error| StartError(format!("the heartbeat: {error}")))?;
    for _ in cores {
        let started = readies.recv_timeout(START_TIMEOUT);
        started.map_err(|_| StartError("a shard did not start; see the log above".to_owned()))?;
    }
    Ok(Running { doorbells, heartbeat, threads })
}

fn start_shard(core: usize, setup: Setup) -> Result<JoinHandle<()>, StartError> {
    let run = move || {
        let executor = LocalExecutorBuilder::new(Placement::Fixed(core))
            .name(&format!("shard-{core}"))
            .preempt_timer(PREEMPT_TIMER)
            .make();
        match executor {
            Ok(executor) => executor.run(shard::run(setup)),
            Err(error) => tracing::error!(core, %error, "a shard could not be made"),
        }
    };
    let thread = std::thread::Builder::new().name(format!("shard-{core}")).spawn(run);
    thread.map_err(|error| StartError(format!("a thread for core {core}: {error}")))
}
