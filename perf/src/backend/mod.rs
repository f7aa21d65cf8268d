//! `slotline-perf backend`: HTTP servers that answer as InfluxDB does, count what they are sent and keep nothing. A
//! thread a connection; every `--listen` is a server of its own, counted apart, so that one process plays several
//! replicas. `--tcp` and `--udp` count bare line protocol.
//!
//! | request | does |
//! |---|---|
//! | `POST /write?db=` | 204; counts |
//! | `/ping` | 204 |
//! | `/query` | 200, an empty result; with `--rows` those of the measurement `m` (`rows`) |
//! | `GET /counters` | this listener's sums as JSON |
//! | `GET /counters/all` | a line for each listener: protocol, address, sums |
//! | `POST /counters/reset` | sets them to zero |
//! | `POST /fault`, body `KIND [share=S] [seed=N]` | `/write` and `/query` of this listener fail from now on; without a body they no longer do |

mod counters;
mod fault;
mod lines;
mod rows;
mod serve;
mod sinks;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard};

use counters::Counters;
use fault::Fault;
use rows::Rows;

#[derive(clap::Args)]
pub struct Args {
    /// HTTP; ADDR:PORT, may come several times, port 0 takes a free one
    #[arg(long)]
    listen: Vec<SocketAddr>,
    /// Line protocol over TCP
    #[arg(long)]
    tcp: Vec<SocketAddr>,
    /// Line protocol in datagrams
    #[arg(long)]
    udp: Vec<SocketAddr>,
    /// Count every measurement apart (dearer)
    #[arg(long)]
    by_measurement: bool,
    /// Answer slotline's questions for rows with so many of the measurement `m`, field `v`, in its zone `z` and the listener's port
    #[arg(long)]
    rows: Option<u64>,
    /// They are of so many hosts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1_000_000), requires = "rows")]
    series: u64,
    /// status=503, delay=200ms, hang, reset or garbage
    #[arg(long)]
    fault: Option<fault::Kind>,
    /// Share of the requests that the fault meets, 0 to 1
    #[arg(long, default_value_t = 1.0, requires = "fault")]
    fault_share: f64,
    /// Another seed, other requests
    #[arg(long, default_value_t = 0, requires = "fault")]
    fault_seed: u64,
}

/// One listener.
struct Server {
    /// "http 127.0.0.1:1234"
    name: String,
    by_measurement: bool,
    counters: Mutex<Counters>,
    fault: Mutex<Option<Fault>>,
    rows: Option<Rows>,
    all: Listeners,
}

/// Every listener of this process, as long as it lives.
type Listeners = Arc<Mutex<Vec<Arc<Server>>>>;

fn counters_of(all: &Listeners) -> String {
    let servers = all.lock().expect("no holder panics");
    servers.iter().map(|server| format!("{} {}\n", server.name, server.counters_json())).collect()
}

/// Nothing is counted any more, and so nothing answered that the sums shown last do not hold.
fn stop_counting(servers: &[Arc<Server>]) -> Vec<MutexGuard<'_, Counters>> {
    servers.iter().map(|server| server.counters.lock().expect("no holder panics")).collect()
}

impl Server {
    fn counters_json(&self) -> String {
        to_json(&self.counters.lock().expect("no holder panics"))
    }
}

fn to_json(counters: &Counters) -> String {
    serde_json::to_string(counters).expect("keys are strings")
}

/// Prints its addresses, serves until SIGTERM or SIGINT, then prints the sums.
pub fn run(args: Args) -> Result<ExitCode, String> {
    if args.listen.is_empty() && args.tcp.is_empty() && args.udp.is_empty() {
        return Err("nothing to listen on: --listen, --tcp or --udp".to_owned());
    }
    let fault = args.fault.map(|kind| Fault::new(kind, args.fault_share, args.fault_seed)).transpose()?;
    let mut signals =
        signal_hook::iterator::Signals::new([libc::SIGTERM, libc::SIGINT]).map_err(|error| error.to_string())?;
    let all = Listeners::default();
    let server = |protocol: &str, addr: SocketAddr| {
        let name = format!("{protocol} {addr}");
        println!("listening {name}");
        let (counters, fault, by_measurement) = (Mutex::default(), Mutex::new(fault.clone()), args.by_measurement);
        let zone = format!("z{}", addr.port());
        let rows = args.rows.map(|rows| Rows { rows, series: args.series, zone });
        let server = Arc::new(Server { name, by_measurement, counters, fault, rows, all: Arc::clone(&all) });
        all.lock().expect("no holder panics").push(Arc::clone(&server));
        server
    };
    for (protocol, addrs) in [("http", &args.listen), ("tcp", &args.tcp)] {
        for &addr in addrs {
            let listener = TcpListener::bind(addr).map_err(|error| format!("{addr}: {error}"))?;
            let server = server(protocol, listener.local_addr().map_err(|error| error.to_string())?);
            let serve = if protocol == "http" { serve::connection } else { sinks::tcp };
            std::thread::spawn(move || accept(&listener, &server, serve));
        }
    }
    for addr in &args.udp {
        let socket = UdpSocket::bind(addr).map_err(|error| format!("{addr}: {error}"))?;
        let server = server("udp", socket.local_addr().map_err(|error| error.to_string())?);
        std::thread::spawn(move || sinks::udp(&socket, &server));
    }
    signals.forever().next();
    let servers = all.lock().expect("no holder panics").clone();
    let sums = stop_counting(&servers);
    for (server, sums) in servers.iter().zip(&sums) {
        println!("{} {}", server.name, to_json(sums));
    }
    println!("cpu_s {:.2}", crate::sys::cpu_seconds());
    // With the counters still locked: whoever waits for them would count, and answer, what nobody is shown.
    std::process::exit(0)
}

fn accept(listener: &TcpListener, server: &Arc<Server>, serve: fn(std::net::TcpStream, &Server)) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                let server = Arc::clone(server);
                std::thread::spawn(move || serve(stream, &server));
            }
            // Out of descriptors, most likely: wait for some to be closed.
            Err(error) => {
                eprintln!("slotline-perf: {}: accept: {error}", server.name);
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        }
    }
}
