//! `slotline-perf watch`: a line for each moment with a process' memory, CPU and disk and what its spool holds, as
//! values between tabs with a head, until the process is gone or it is killed itself.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::metrics;

#[derive(clap::Args)]
pub struct Args {
    /// The process
    #[arg(long)]
    pid: u32,
    /// Its admin address; without it nothing is said about the spool
    #[arg(long)]
    admin: Option<SocketAddr>,
    /// Four more columns for this replica, may come several times
    #[arg(long)]
    backend: Vec<String>,
    /// Seconds between two lines
    #[arg(long, default_value_t = 1.0, value_parser = interval)]
    interval: f64,
    /// So many lines at most
    #[arg(long)]
    count: Option<u64>,
}

fn interval(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|seconds| (0.05..=3600.0).contains(seconds)).ok_or_else(|| "0.05 to 3600".to_owned())
}

/// By replica: a column's name behind the replica's, and the metric. The last two: live writes that it answered, and the
/// seconds that took.
const OF_BACKEND: [(&str, &str); 4] = [
    ("bytes", "slotline_spool_bytes"),
    ("points", "slotline_spool_points"),
    ("writes", "slotline_backend_write_duration_seconds_count"),
    ("seconds", "slotline_backend_write_duration_seconds_sum"),
];
const HEAD: [&str; 6] = ["unix_ms", "rss_kb", "cpu_ticks", "written_bytes", "spool_bytes", "spool_points"];

pub fn run(args: &Args) -> Result<ExitCode, String> {
    let more =
        args.backend.iter().flat_map(|name| OF_BACKEND.iter().map(move |(suffix, _)| format!("{name}_{suffix}")));
    println!("{}", HEAD.iter().map(|name| (*name).to_owned()).chain(more).collect::<Vec<_>>().join("\t"));
    let mut due = Instant::now();
    for number in 1..=args.count.unwrap_or(u64::MAX) {
        let Some(line) = line(args) else { break };
        println!("{line}");
        if args.count == Some(number) {
            break;
        }
        due = (due + Duration::from_secs_f64(args.interval)).max(Instant::now());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(ExitCode::SUCCESS)
}

/// `None`: the process is gone, or dead and not yet waited for.
fn line(args: &Args) -> Option<String> {
    let file = |name| std::fs::read_to_string(format!("/proc/{}/{name}", args.pid)).ok();
    let (status, stat) = (file("status")?, file("stat")?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let mut values = vec![
        now.to_string(),
        field(&status, "VmRSS")?.to_string(),
        or_dash(cpu_ticks(&stat)),
        or_dash(file("io").and_then(|io| field(&io, "write_bytes"))),
    ];
    let text = args.admin.and_then(metrics::fetch).unwrap_or_default();
    let names = ["slotline_spool_bytes", "slotline_spool_points"];
    values.extend(names.map(|name| or_dash(metrics::sum(&text, name, None))));
    for backend in &args.backend {
        let of = |name| or_dash(metrics::sum(&text, name, Some(("backend", backend))));
        values.extend(OF_BACKEND.iter().map(|(_, name)| of(name)));
    }
    Some(values.join("\t"))
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Of the files in /proc that have `NAME: NUMBER` on their lines.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// User and system ticks of a process' `stat`. The name, in brackets, may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc() {
        let status = "Name:\tslotline\nVmHWM:\t  200 kB\nVmRSS:\t   1234 kB\n";
        assert_eq!(
            (field(status, "VmRSS"), field(status, "VmHWM"), field(status, "Vm")),
            (Some(1234), Some(200), None)
        );
        assert_eq!(field("rchar: 1\ncancelled_write_bytes: 7\nwrite_bytes: 5\n", "write_bytes"), Some(5));
        assert_eq!(field("VmRSS: none\n", "VmRSS"), None);
    }

    #[test]
    fn ticks_stand_behind_the_last_bracket() {
        let stat = "77 (a) b (c)) S 1 77 77 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 12345 1 2";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("77 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_a_line() {
        let args =
            Args { pid: std::process::id(), admin: None, backend: vec!["g1b".to_owned()], interval: 1.0, count: None };
        let line = line(&args).expect("alive");
        let values: Vec<&str> = line.split('\t').collect();
        assert_eq!(values.len(), HEAD.len() + 4);
        assert!(values[1].parse::<u64>().expect("resident memory") > 0, "{line}");
        assert_eq!(values[4..], ["-"; 6]);
    }
}
