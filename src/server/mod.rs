//! A whole process: checks the machine, locks `data_dir`, opens the ports, starts a shard per core, waits for signals.

mod data_dir;
mod databases;
mod machine;
mod publish;
mod udp;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use glommio::{CpuSet, LocalExecutorBuilder, Placement, PoolPlacement};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::admin::{ControlStats, Process};
use crate::config::{Cluster, Config, Protocol};
use crate::control::{self, Control};
use crate::databases::LastSeen;
use crate::deliver::Logs;
use crate::net::{Doorbell, Heartbeat, PREEMPT_TIMER, Wire, listening_sockets};
use crate::shard::{self, RunningQueries, Setup};

use data_dir::DataDir;
use databases::Keeper;
use publish::{Publisher, Registration};
use udp::UdpListeners;

/// How often it is seen whether the shards have ended.
const JOIN_POLL: Duration = Duration::from_millis(5);
/// A shard that takes longer to start does not start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the start waits for what ZooKeeper holds.
const HEAR_TIMEOUT: Duration = Duration::from_secs(5);

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
    let config = Arc::new(config);
    let (sockets, addresses) = open_sockets(&config, cores.len())?;
    let udp = UdpListeners::open(&config, cores.len())?;
    let follows = !config.cluster.zookeeper.is_empty();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), id = %data_dir.id, ?cores, cluster = config.cluster.name,
        zookeeper = config.cluster.zookeeper, "starting"
    );
    let logs = Logs::open(&config.server.data_dir.join("spool"), config.spool.clone());
    let logs = logs.map_err(|error| StartError(format!("server.data_dir: spool: {error}")))?;
    let (last_seen, reported) = LastSeen::new();
    let keeper = Keeper::start(last_seen.clone(), reported, data_dir.databases())?;
    let process = Arc::new(Process {
        logs: Arc::new(logs),
        last_seen,
        snapshot: ArcSwapOption::empty(),
        udp: ArcSwap::default(),
        shards: cores.iter().map(|_| Arc::default()).collect(),
        backlogs: Arc::default(),
        control: follows.then(|| ControlStats::new(config.cluster.confirm_within)),
        draining: AtomicBool::new(false),
    });
    let (doorbells, wires) = doorbells(cores.len())?;
    let registration = Registration::new(&data_dir.id, addresses);
    let mut publisher = Publisher {
        process: process.clone(),
        doorbells: doorbells.clone(),
        data_dir,
        udp,
        unapplied: None,
        registration,
    };
    let control = match &config.topology {
        Some(topology) if !follows => {
            publisher.start_alone(topology, accept_topology)?;
            None
        }
        _ => Some(follow(&config.cluster, publisher)?),
    };
    let running = start_shards(&config, &process, &cores, sockets, doorbells, wires)?;
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
    if let Some(control) = control {
        control.stop();
    }
    keeper.stop();
    tracing::info!("stopped");
    Ok(())
}

/// Begins with the last copy, unless ZooKeeper tells at once what is in force.
fn follow(cluster: &Cluster, mut publisher: Publisher) -> Result<Control, StartError> {
    tracing::info!(
        "groups, slots and rules come from ZooKeeper: those of the configuration are only for `topology push`"
    );
    let settings = control::Settings {
        servers: cluster.zookeeper.clone(),
        auth: cluster.zookeeper_auth.clone(),
        cluster: cluster.name.clone(),
        proxy_id: publisher.data_dir.id.clone(),
    };
    publisher.restore();
    let process = publisher.process.clone();
    let control = control::start(settings, Box::new(publisher));
    let control = control.map_err(|error| StartError(format!("cluster.zookeeper: {error}")))?;
    if !control.wait_until_heard(HEAR_TIMEOUT) {
        match process.snapshot.load_full() {
            Some(last) => {
                tracing::warn!(epoch = last.topology.epoch, "ZooKeeper is away: serving by the last topology")
            }
            None => tracing::error!("ZooKeeper is away and data_dir holds no topology: waiting for one"),
        }
    }
    Ok(control)
}

/// Every shard's bell, and the wire that it hears it by.
fn doorbells(shards: usize) -> Result<(Arc<[Doorbell]>, Vec<Wire>), StartError> {
    let bells: std::io::Result<Vec<(Doorbell, Wire)>> = (0..shards).map(|_| Doorbell::new()).collect();
    let bells = bells.map_err(|error| StartError(format!("a pipe: {error}")))?;
    let (doorbells, wires): (Vec<Doorbell>, Vec<Wire>) = bells.into_iter().unzip();
    Ok((doorbells.into(), wires))
}

/// All listening sockets: per shard those that take connections, with the number of the listener in the configuration;
/// and the admin's for the first.
struct Sockets {
    shards: Vec<Vec<(usize, TcpListener)>>,
    admin: Option<TcpListener>,
}

/// Where clients and operators reach us.
pub struct Addresses {
    http: Option<SocketAddr>,
    admin: SocketAddr,
}

fn open_sockets(config: &Config, shards: usize) -> Result<(Sockets, Addresses), StartError> {
    let open = |protocol: &str, bind: SocketAddr, count| {
        let sockets = listening_sockets(bind, count).map_err(|error| {
            StartError(format!("cannot listen on {bind} ({protocol}): {error}; is another process on that port?"))
        })?;
        let address = sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(bind);
        tracing::info!("listening protocol={protocol} addr={address}");
        Ok((sockets, address))
    };
    let mut http = None;
    let mut opened: Vec<Vec<(usize, TcpListener)>> = (0..shards).map(|_| Vec::new()).collect();
    for (number, listen) in config.listen.iter().enumerate() {
        if matches!(listen.protocol, Protocol::Udp(..)) {
            continue;
        }
        let (sockets, address) = open(listen.protocol.name(), listen.bind.0, shards)?;
        if listen.protocol == Protocol::Http {
            http.get_or_insert(address);
        }
        opened.iter_mut().zip(sockets).for_each(|(shard, socket)| shard.push((number, socket)));
    }
    let (mut sockets, admin) = open("admin", config.admin.bind.0, 1)?;
    Ok((Sockets { shards: opened, admin: sockets.pop() }, Addresses { http, admin }))
}

/// The shards: their bells, their threads, and what keeps them awake.
struct Running {
    doorbells: Arc<[Doorbell]>,
    heartbeat: Heartbeat,
    threads: Vec<JoinHandle<()>>,
}

fn start_shards(
    config: &Arc<Config>,
    process: &Arc<Process>,
    cores: &[usize],
    sockets: Sockets,
    doorbells: Arc<[Doorbell]>,
    wires: Vec<Wire>,
) -> Result<Running, StartError> {
    let Sockets { shards, mut admin } = sockets;
    let (ready, readies) = channel();
    let mut threads = Vec::new();
    let running = Arc::new(RunningQueries::new(doorbells.clone()));
    for (index, ((core, wire), listeners)) in cores.iter().zip(wires).zip(shards).enumerate() {
        let setup = Setup {
            index,
            config: config.clone(),
            process: process.clone(),
            listeners,
            admin: admin.take(),
            wire,
            doorbells: doorbells.clone(),
            running: running.clone(),
            ready: ready.clone(),
        };
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

/// Beside one shard.
const THREADS_MAX: usize = 16;

/// On the shard's core: one for each SELECT that may gather, so that none waits for another's long work, and one for the rest;
/// up to `THREADS_MAX`.
fn threads_beside(core: usize, gathers_max: usize) -> glommio::Result<PoolPlacement, ()> {
    let own = CpuSet::online()?.filter(|cpu| cpu.cpu == core);
    Ok(PoolPlacement::Custom(vec![own; gathers_max.min(THREADS_MAX - 1) + 1]))
}

fn start_shard(core: usize, setup: Setup) -> Result<JoinHandle<()>, StartError> {
    let run = move || {
        let executor = threads_beside(core, setup.config.query.gathers_max.0).and_then(|beside| {
            LocalExecutorBuilder::new(Placement::Fixed(core))
                .name(&format!("shard-{core}"))
                .preempt_timer(PREEMPT_TIMER)
                .blocking_thread_pool_placement(beside)
                .make()
        });
        match executor {
            Ok(executor) => executor.run(shard::run(setup)),
            Err(error) => tracing::error!(core, %error, "a shard could not be made"),
        }
    };
    let thread = std::thread::Builder::new().name(format!("shard-{core}")).spawn(run);
    thread.map_err(|error| StartError(format!("a thread for core {core}: {error}")))
}
