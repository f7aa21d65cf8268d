//! The load generator: threads that take requests from one schedule, send prebuilt bodies and record what came back.
//!
//! With `--rate` the load is open: every request has a moment at which it is due, whatever became of those before it,
//! and its latency counts from there. Without, each connection sends as fast as it is answered, and latency counts from
//! the moment of sending.

mod http;
mod phases;
mod schedule;
mod streams;
mod tally;

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::lines::Shape;
use phases::Phases;
use schedule::{Limits, Schedule};
use tally::{PhaseReport, Report, Tallies, Tally};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Protocol {
    Http,
    Tcp,
    Udp,
}

#[derive(clap::Args)]
// The last one of an option counts: scripts set some that their callers may set again.
#[command(args_override_self = true)]
pub struct Args {
    #[arg(long, value_enum, default_value = "http")]
    protocol: Protocol,
    /// ADDR:PORT
    #[arg(long)]
    target: String,
    /// HTTP: written as it stands into the URL
    #[arg(long, default_value = "perf", value_parser = plain_name)]
    db: String,
    /// HTTP and TCP: connections, a thread each
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// HTTP and TCP: lines of a body
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    lines_per_request: u32,
    #[arg(long, default_value_t = 200)]
    measurements: u64,
    #[arg(long, default_value_t = 100)]
    hosts: u64,
    /// So many neighbouring lines share a measurement
    #[arg(long, default_value_t = 1)]
    run: u64,
    /// Of a line with its newline
    #[arg(long, default_value_t = 174)]
    line_bytes: usize,
    /// Lines without a time
    #[arg(long)]
    no_timestamps: bool,
    /// About half of the fields' bytes are a string with spaces, commas and escapes
    #[arg(long)]
    strings: bool,
    /// Distinct bodies, sent in turn
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    bodies: u16,
    /// HTTP: compressed beforehand
    #[arg(long)]
    gzip: bool,
    /// Stop after so many seconds
    #[arg(long, required_unless_present = "points")]
    seconds: Option<f64>,
    /// Stop after so many points
    #[arg(long)]
    points: Option<u64>,
    /// Points a second over all connections; without it, flat out
    #[arg(long)]
    rate: Option<f64>,
    /// UDP: lines of a datagram
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=2000))]
    lines_per_datagram: u16,
    /// UDP: sockets, a thread each
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    senders: u16,
    /// UDP: the kernel cuts one large send into datagrams
    #[arg(long)]
    gso: bool,
    /// Seconds to connect, to send and to wait for an answer
    #[arg(long, default_value_t = 30.0)]
    timeout: f64,
    /// HTTP: each line on stdin begins a phase of that name, reported apart; an empty line or the end stops the run
    #[arg(long)]
    phases: bool,
    /// One line of JSON on stdout, the human line on stderr
    #[arg(long)]
    json: bool,
}

fn plain_name(name: &str) -> Result<String, String> {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) && !name.is_empty() {
        return Ok(name.to_owned());
    }
    Err("letters, digits, - _ . only".to_owned())
}

/// What every worker needs.
struct Plan<'a> {
    target: SocketAddr,
    timeout: Duration,
    /// Of equal length, `lines` lines each.
    bodies: &'a [Vec<u8>],
    line_bytes: usize,
    schedule: &'a Schedule,
    phases: &'a Phases,
}

impl Plan<'_> {
    /// The first `lines` lines of the body whose turn it is.
    fn body(&self, unit: u64, lines: u64) -> &[u8] {
        let body = &self.bodies[self.turn(unit)];
        &body[..usize::try_from(lines).expect("of a body") * self.line_bytes]
    }

    fn turn(&self, unit: u64) -> usize {
        usize::try_from(unit % self.bodies.len() as u64).expect("an index")
    }
}

/// Exit 1 where not one point got through.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let shape = Shape {
        measurements: args.measurements,
        hosts: args.hosts,
        line_bytes: args.line_bytes,
        timestamps: !args.no_timestamps,
        strings: args.strings,
        run: args.run,
    };
    shape.check()?;
    if args.phases && args.protocol != Protocol::Http {
        return Err("phases: with --protocol http only".to_owned());
    }
    let limits = limits(args)?;
    let batch = if args.protocol == Protocol::Udp { datagrams_a_call(args)? } else { 1 };
    let lines = usize::try_from(limits.lines_per_unit * batch).expect("small");
    let bodies: Vec<Vec<u8>> = (0..u64::from(args.bodies)).map(|turn| shape.body(turn * lines as u64, lines)).collect();
    let target = resolve(&args.target)?;
    let timeout = duration(args.timeout, "timeout")?;
    let requests = http::Requests::new(args, &bodies);
    let schedule = Arc::new(Schedule::start(limits));
    let phases = Arc::new(Phases::start(schedule.start_moment()));
    if args.phases {
        let (phases, schedule) = (Arc::clone(&phases), Arc::clone(&schedule));
        // Not waited for: it may sit on a stdin that never ends.
        std::thread::spawn(move || phases::read(std::io::stdin().lock(), &phases, &schedule));
    }
    let plan =
        Plan { target, timeout, bodies: &bodies, line_bytes: shape.line_bytes, schedule: &schedule, phases: &phases };

    let cpu_before = crate::sys::cpu_seconds();
    let workers = if args.protocol == Protocol::Udp { args.senders } else { args.connections };
    let mut tallies = std::thread::scope(|scope| {
        let work = || match args.protocol {
            Protocol::Http => http::work(&plan, &requests),
            Protocol::Tcp => streams::tcp(&plan).into(),
            Protocol::Udp => streams::udp(&plan, batch, args.gso.then_some(args.lines_per_datagram)).into(),
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut sum = Tallies::default();
        for thread in threads {
            sum.add(&thread.join().expect("a worker does not panic"));
        }
        sum
    });
    let length = schedule.length();
    if args.phases {
        let lengths = phases.lengths(schedule.start_moment() + length);
        for (phase, (name, length)) in lengths.into_iter().enumerate() {
            let report = PhaseReport::of(name, tallies.of(phase), length);
            println!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?);
        }
    }
    let report = Report::of(
        &tallies.sum(),
        length.as_secs_f64(),
        crate::sys::cpu_seconds() - cpu_before,
        schedule.points_unsent(),
    );
    print(args, &report)?;
    Ok(if report.points_through() == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(args: &Args, report: &Report) -> Result<(), String> {
    if args.json {
        eprintln!("{report}");
        println!("{}", serde_json::to_string(report).map_err(|error| error.to_string())?);
    } else {
        println!("{report}");
    }
    Ok(())
}

fn limits(args: &Args) -> Result<Limits, String> {
    let lines_per_unit = match args.protocol {
        Protocol::Udp => u64::from(args.lines_per_datagram),
        Protocol::Http | Protocol::Tcp => u64::from(args.lines_per_request),
    };
    if args.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
        return Err("rate: a positive number".to_owned());
    }
    let seconds = args.seconds.map(|seconds| duration(seconds, "seconds")).transpose()?;
    Ok(Limits { lines_per_unit, points: args.points, seconds, rate: args.rate })
}

/// A call for each millisecond's worth of datagrams when paced, as many as a call takes when not.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..=64")]
fn datagrams_a_call(args: &Args) -> Result<u64, String> {
    let datagram_bytes = usize::from(args.lines_per_datagram) * args.line_bytes;
    if datagram_bytes > 65_507 {
        return Err(format!("a datagram of {datagram_bytes} bytes; IPv4 carries 65507"));
    }
    let most = if args.gso { 65_507 / datagram_bytes } else { crate::sys::DATAGRAMS_MAX };
    let most = most.min(crate::sys::DATAGRAMS_MAX) as f64;
    let wanted = args
        .rate
        .map_or(most, |rate| (rate / 1000.0 / f64::from(args.lines_per_datagram) / f64::from(args.senders)).ceil());
    Ok(wanted.clamp(1.0, most) as u64)
}

fn duration(seconds: f64, name: &str) -> Result<Duration, String> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(format!("{name}: a positive number of seconds")),
    }
}

fn resolve(target: &str) -> Result<SocketAddr, String> {
    let mut found = target.to_socket_addrs().map_err(|error| format!("{target}: {error}"))?;
    found.next().ok_or_else(|| format!("{target}: no address"))
}
