//! `slotline-perf moves`: points over UDP at a rate while `slotline udp` opens and closes the listeners that they go to.
//! Every datagram has a measurement of its own, so that the counting backend (`--by-measurement`) tells which ones came.
//!
//! In turns: the other port is opened, the sender turns to it and the old one is closed, which may lose nothing; then the
//! port that the sender goes on with is closed and opened again, which may lose one run of datagrams without a hole: what
//! comes before its first and behind its last was sent to an open port.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::lines::Shape;

const SHAPE: Shape = Shape { measurements: 200, hosts: 100, line_bytes: 174, timestamps: true, strings: false, run: 1 };
const MEASUREMENT_BYTES: usize = "measurement_000".len();
/// A machine that has no time for the sender is not made up for by a burst beyond what was due within this.
const BEHIND_MAX: Duration = Duration::from_millis(20);
/// How long a listener is used before it moves or closes, and how long it stays closed.
const REST: Duration = Duration::from_millis(300);
/// Nothing came for so long: nothing is on its way.
const QUIET: Duration = Duration::from_secs(1);
const ARRIVAL_MAX: Duration = Duration::from_secs(30);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub struct Args {
    /// The `slotline` whose commands move the listeners
    #[arg(long)]
    slotline: PathBuf,
    /// Of its cluster `main`
    #[arg(long)]
    zookeeper: String,
    /// The counting backend's HTTP address
    #[arg(long)]
    backend: String,
    /// Two that nobody listens on; twice
    #[arg(long, num_args = 1, required = true)]
    port: Vec<SocketAddr>,
    /// Points a second
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=376))]
    lines_per_datagram: u16,
}

/// A time without the listener that the sender sends to, in numbers of datagrams: none is lost before `begin` was sent,
/// none from `end` on.
type Closed = Range<u64>;

/// Exit 1 where a datagram was lost that was sent to an open port.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let [first, second] = args.port[..] else { return Err("--port: two of them".to_owned()) };
    let operator = Operator { args };
    operator.does(&["add", &first.to_string(), "perf"])?;
    let target = Mutex::new(first);
    let (sent, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let outcome = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(args, &target, &sent, &over));
        let outcome = operator.keep_moving([first, second], &target, &sent);
        over.store(true, Ordering::Relaxed);
        let length = sender.join().expect("the sender does not panic")?;
        outcome.map(|(moves, closed)| (moves, closed, length))
    });
    let (moves, closed, length) = outcome?;
    let sent = sent.into_inner();
    let came = came(args, sent)?;
    let lines = u64::from(args.lines_per_datagram);
    println!(
        "sent {} points in {sent} datagrams, {:.0} points/s; {moves} moves, {} closings under load",
        sent * lines,
        (sent * lines) as f64 / length.as_secs_f64(),
        closed.len()
    );
    let verdict = judge(&closed, sent, lines, &came);
    print!("{}", verdict.told);
    Ok(if verdict.is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Operator<'a> {
    args: &'a Args,
}

impl Operator<'_> {
    /// `slotline udp`, until all proxies apply it.
    fn does(&self, words: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&self.args.slotline);
        command.arg("udp").args(words).args(["--yes", "--wait=10s", "--zookeeper", &self.args.zookeeper]);
        let done = command.stdin(Stdio::null()).output().map_err(|error| format!("slotline: {error}"))?;
        if done.status.success() {
            return Ok(());
        }
        Err(format!("udp {}: {}", words.join(" "), String::from_utf8_lossy(&[done.stdout, done.stderr].concat())))
    }

    /// How often the sender was told another port, and when its port was closed.
    fn keep_moving(
        &self,
        [mut here, mut there]: [SocketAddr; 2],
        target: &Mutex<SocketAddr>,
        sent: &AtomicU64,
    ) -> Result<(u32, Vec<Closed>), String> {
        let end = Instant::now() + Duration::from_secs(self.args.seconds.into());
        let (mut moves, mut closed) = (0, Vec::new());
        while Instant::now() < end {
            std::thread::sleep(REST);
            self.does(&["add", &there.to_string(), "perf"])?;
            *target.lock().expect("no holder panics") = there;
            self.does(&["remove", &here.to_string()])?;
            (here, there) = (there, here);
            moves += 1;
            std::thread::sleep(REST);
            let begin = sent.load(Ordering::Acquire);
            self.does(&["remove", &here.to_string()])?;
            std::thread::sleep(REST);
            self.does(&["add", &here.to_string(), "perf"])?;
            // One more may be under way to the port as it was.
            closed.push(begin..sent.load(Ordering::Acquire) + 1);
        }
        // So that datagrams that came behind the last closing tell where it ended.
        std::thread::sleep(REST);
        Ok((moves, closed))
    }
}

/// Sends datagrams, counted in `sent`, until it is over; how long that was.
fn send(args: &Args, target: &Mutex<SocketAddr>, sent: &AtomicU64, over: &AtomicBool) -> Result<Duration, String> {
    // Not connected: nobody tells it that a port is closed.
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(|error| error.to_string())?;
    let lines = usize::from(args.lines_per_datagram);
    let mut datagram = SHAPE.body(0, lines);
    let interval = Duration::from_secs_f64(lines as f64 / f64::from(args.rate));
    let began = Instant::now();
    let mut due = began;
    while !over.load(Ordering::Relaxed) {
        let now = Instant::now();
        match due.checked_duration_since(now) {
            // As often as a millisecond, several at once.
            Some(left) if left > Duration::from_millis(1) => std::thread::sleep(left),
            Some(_) => {}
            None if now - due > BEHIND_MAX => due = now,
            None => {}
        }
        due += interval;
        let number = sent.load(Ordering::Relaxed);
        for line in datagram.chunks_mut(SHAPE.line_bytes) {
            line[..MEASUREMENT_BYTES].copy_from_slice(name(number).as_bytes());
        }
        // Nobody changes it while something goes there.
        let target = target.lock().expect("no holder panics");
        socket.send_to(&datagram, *target).map_err(|error| format!("{target}: {error}"))?;
        sent.store(number + 1, Ordering::Release);
    }
    Ok(began.elapsed())
}

fn name(number: u64) -> String {
    format!("d{number:014}")
}

/// Lines that the backend has counted of each datagram, once nothing comes any more.
fn came(args: &Args, sent: u64) -> Result<BTreeMap<u64, u64>, String> {
    let began = Instant::now();
    let (mut last, mut since) = (None, Instant::now());
    loop {
        let (status, body) = crate::ask::request(&args.backend, "GET", "/counters", "", ANSWER_TIMEOUT)
            .map_err(|error| format!("{}: {error}", args.backend))?;
        let counters: serde_json::Value =
            serde_json::from_slice(&body).map_err(|error| format!("/counters: {status}: {error}"))?;
        let lines = counters["lines"].as_u64();
        if lines != last {
            (last, since) = (lines, Instant::now());
        }
        if since.elapsed() > QUIET {
            let names = counters["measurements"]["perf"].as_object().into_iter().flatten();
            let number = |name: &str| name.strip_prefix('d')?.parse().ok().filter(|number| *number < sent);
            let count = |(name, lines): (&String, &serde_json::Value)| Some((number(name)?, lines.as_u64()?));
            return names.map(|entry| count(entry).ok_or_else(|| format!("nobody sent {}", entry.0))).collect();
        }
        if began.elapsed() > ARRIVAL_MAX {
            return Err("points still come".to_owned());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

struct Verdict {
    told: String,
    is_well: bool,
}

/// Holds what came of `sent` datagrams of `lines` lines each against when the port was closed.
fn judge(closed: &[Closed], sent: u64, lines: u64, came: &BTreeMap<u64, u64>) -> Verdict {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for number in (0..sent).filter(|number| !came.contains_key(number)) {
        match runs.last_mut() {
            Some(run) if run.end == number => run.end += 1,
            _ => runs.push(number..number + 1),
        }
    }
    let (of_closed, astray): (Vec<_>, Vec<_>) = runs
        .into_iter()
        .partition(|run| closed.iter().any(|closed| closed.start <= run.start && run.end <= closed.end));
    // Between two runs of one closing something came: one of them was no closed port's.
    let holes = closed.iter().map(|closed| of_closed.iter().filter(|run| closed.contains(&run.start)).count());
    let holes: usize = holes.map(|runs| runs.saturating_sub(1)).sum();
    let in_part = came.values().filter(|count| **count < lines).count();
    let twice = came.values().filter(|count| **count > lines).count();
    let to_closed: u64 = of_closed.iter().map(|run| run.end - run.start).sum();
    let elsewhere: u64 = astray.iter().map(|run| run.end - run.start).sum();
    let mut told = format!(
        "stored {} points; sent to a closed port {}; lost of the others {}\n",
        came.values().sum::<u64>(),
        to_closed * lines,
        elsewhere * lines
    );
    for (what, count) in [
        ("runs of lost datagrams apart from closings", astray.len()),
        ("holes within closings", holes),
        ("datagrams that came in part", in_part),
        ("datagrams that came more than once", twice),
    ] {
        if count > 0 {
            told.push_str(&format!("NOT AS IT SHOULD BE: {count} {what}\n"));
        }
    }
    let is_well = astray.is_empty() && holes + in_part + twice == 0;
    Verdict { told, is_well }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a hundred datagrams; from one number to before another.
    fn judged(closed: &[(u64, u64)], lost: &[(u64, u64)]) -> Verdict {
        let closed: Vec<Closed> = closed.iter().map(|(begin, end)| *begin..*end).collect();
        let came = (0..100).filter(|number| !lost.iter().any(|(begin, end)| (begin..end).contains(&number)));
        judge(&closed, 100, 8, &came.map(|number| (number, 8)).collect())
    }

    #[test]
    fn only_one_run_of_each_closing_may_be_lost() {
        assert!(judged(&[], &[]).is_well);
        let well = judged(&[(10, 30), (50, 60)], &[(12, 30), (55, 58)]);
        assert!(
            well.is_well
                && well.told.starts_with("stored 632 points; sent to a closed port 168; lost of the others 0\n")
        );
        for lost in [&[(5, 6)][..], &[(12, 31)], &[(12, 14), (15, 29)], &[(98, 100)]] {
            assert!(!judged(&[(10, 30)], lost).is_well, "{lost:?}");
        }
    }

    #[test]
    fn what_came_in_part_or_twice_is_told() {
        for (count, told) in [(7, "1 datagrams that came in part"), (16, "1 datagrams that came more than once")] {
            let verdict = judge(&[], 2, 8, &[(0, 8), (1, count)].into());
            assert!(!verdict.is_well && verdict.told.contains(told), "{}", verdict.told);
        }
    }

    #[test]
    fn a_name_is_as_long_as_a_measurement() {
        assert_eq!(name(17).len(), MEASUREMENT_BYTES);
        assert!(SHAPE.body(0, 1).starts_with(b"measurement_000,"));
    }
}
