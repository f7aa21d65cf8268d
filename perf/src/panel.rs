//! `slotline-perf panel`: queries as dashboards ask them, over connections that are kept, to several servers in turns: how
//! long they take, and what each server's process spends on them.

use std::io::{self, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::http1::Reader;
use crate::query::{encoded, median};
use crate::sys::cpu_seconds_of;

const TIMEOUT: Duration = Duration::from_secs(30);
const NS_MAX: u64 = 60_000_000_000;

static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

#[derive(clap::Args)]
pub struct Args {
    /// NAME=ADDR:PORT=PID; latency is compared with the first name's, CPU with the second one's. Several of one name are
    /// copies of one program: one line, over all their rounds
    #[arg(long, required = true, value_parser = side)]
    side: Vec<Side>,
    #[arg(long, default_value = "perf")]
    db: String,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Of each side, in each round
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Milliseconds between an answer and the next request on its connection
    #[arg(long, default_value_t = 0.0)]
    pause: f64,
    /// What stands for `@` in the text: nanoseconds
    #[arg(long)]
    from: Option<u64>,
    /// No text is asked twice: each time it is a nanosecond less
    #[arg(long, requires = "from")]
    moving: bool,
    q: String,
}

#[derive(Clone)]
struct Side {
    name: String,
    addr: String,
    pid: u32,
}

fn side(text: &str) -> Result<Side, String> {
    let mut parts = text.split('=');
    let mut next = || parts.next().map(str::to_owned).ok_or("NAME=ADDR:PORT=PID");
    let (name, addr, pid) = (next()?, next()?, next()?);
    Ok(Side { name, addr, pid: pid.parse().map_err(|error| format!("{pid}: {error}"))? })
}

/// What one side did in one round.
#[derive(Clone, Copy)]
struct Round {
    requests: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Microseconds a request.
    cpu_us: f64,
    bytes: usize,
}

/// A line for each name, medians over the rounds; ratios are those within a round. Exit 1 where an answer is no 200, holds
/// an error, or is not as long as the first side's.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let length = Duration::try_from_secs_f64(args.seconds).map_err(|error| format!("seconds: {error}"))?;
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); args.side.len()];
    for round in 0..args.rounds.max(1) {
        for turn in 0..args.side.len() {
            // None always goes first.
            let at = (turn + round) % args.side.len();
            let measured = measure(args, &args.side[at], length);
            rounds[at].push(measured.map_err(|error| format!("{}: {error}", args.side[at].name))?);
        }
    }
    println!(
        "{:<10} {:>10} {:>9} {:>9} {:>8} {:>12} {:>8} {:>10}",
        "side", "requests", "p50 ms", "p99 ms", "x p50", "CPU us/req", "x CPU", "bytes"
    );
    let mut names: Vec<&str> = Vec::new();
    for side in &args.side {
        if !names.contains(&side.name.as_str()) {
            names.push(&side.name);
        }
    }
    let copies = |name: &str| -> Vec<&[Round]> {
        let named = args.side.iter().zip(&rounds).filter(|(side, _)| side.name == name);
        named.map(|(_, rounds)| rounds.as_slice()).collect()
    };
    let (latency_base, cpu_base) = (copies(names[0]), copies(names[1.min(names.len() - 1)]));
    for name in names {
        let own = copies(name);
        let of = |value: fn(&Round) -> f64| median(own.concat().iter().map(value).collect());
        // Copy by copy, each beside a copy of the other program.
        let ratios = |base: &[&[Round]], value: fn(&Round) -> f64| -> Vec<f64> {
            let pairs = own.iter().zip(base.iter().cycle());
            pairs.flat_map(|(own, base)| own.iter().zip(*base)).map(|(own, base)| value(own) / value(base)).collect()
        };
        println!(
            "{:<10} {:>10.0} {:>9.3} {:>9.3} {:>8.3} {:>12.1} {:>8.2} {:>10}",
            name,
            of(|round| round.requests),
            of(|round| round.p50_ms),
            of(|round| round.p99_ms),
            median(ratios(&latency_base, |round| round.p50_ms)),
            of(|round| round.cpu_us),
            median(ratios(&cpu_base, |round| round.cpu_us)),
            own[0][0].bytes,
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &Args, side: &Side, length: Duration) -> Result<Round, String> {
    let pause = Duration::try_from_secs_f64(args.pause / 1e3).map_err(|error| format!("pause: {error}"))?;
    // A number for each connection that was ever made; none asks a million times.
    let next = || args.moving.then(|| 1 + CONNECTIONS.fetch_add(1, Ordering::Relaxed) * 1_000_000);
    let spent = cpu_seconds_of(side.pid).map_err(|error| error.to_string())?;
    let until = Instant::now() + length;
    let asked: Vec<io::Result<(Histogram<u64>, usize)>> = thread::scope(|scope| {
        let each: Vec<_> =
            (0..args.connections).map(|_| scope.spawn(|| ask_until(&side.addr, args, next(), until, pause))).collect();
        each.into_iter().map(|asking| asking.join().expect("it does not panic")).collect()
    });
    let spent = cpu_seconds_of(side.pid).map_err(|error| error.to_string())? - spent;
    let (mut all, mut bytes) = (histogram(), 0);
    for asked in asked {
        let (times, length) = asked.map_err(|error| error.to_string())?;
        all.add(times).map_err(|error| error.to_string())?;
        bytes = length;
    }
    #[allow(clippy::cast_precision_loss, reason = "a run has far less than 2^52 of anything")]
    let ms = |quantile| all.value_at_quantile(quantile) as f64 / 1e6;
    #[allow(clippy::cast_precision_loss, reason = "a run has far less than 2^52 of anything")]
    let requests = all.len() as f64;
    Ok(Round { requests, p50_ms: ms(0.5), p99_ms: ms(0.99), cpu_us: spent * 1e6 / requests, bytes })
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, NS_MAX, 3).expect("bounds in order, three digits")
}

/// One request after the other, those that move each a nanosecond earlier, and the first so many; how long each took to the last
/// byte, and the last answer's length.
fn ask_until(
    addr: &str,
    args: &Args,
    moving: Option<u64>,
    until: Instant,
    pause: Duration,
) -> io::Result<(Histogram<u64>, usize)> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let head = |earlier: u64| {
        let from = args.from.map(|from| (from - earlier).to_string());
        let q = from.map_or_else(|| args.q.clone(), |from| args.q.replace('@', &from));
        let path = format!("/query?db={}&epoch=ms&q={}", args.db, encoded(&q));
        format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nAccept: application/json\r\n\r\n")
    };
    let mut reader = Reader::new(stream.try_clone()?, 64 << 10);
    let (mut times, mut body) = (histogram(), Vec::new());
    while Instant::now() < until {
        body.clear();
        let head = head(moving.map_or(0, |earlier| earlier + times.len()));
        let began = Instant::now();
        stream.write_all(head.as_bytes())?;
        let answer = reader.response()?;
        reader.body(answer.framing, |piece| body.extend_from_slice(piece))?;
        times.saturating_record(u64::try_from(began.elapsed().as_nanos()).unwrap_or(NS_MAX));
        if answer.status != 200 || body.windows(8).any(|window| window == b"\"error\":") {
            return Err(io::Error::other(format!("{}: {}", answer.status, String::from_utf8_lossy(&body))));
        }
        if answer.close {
            return Err(io::Error::other("the connection was closed"));
        }
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
    Ok((times, body.len()))
}
