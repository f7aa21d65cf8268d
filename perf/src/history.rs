//! `slotline-perf history`: points of one measurement, as many series report them at an interval, into one or several servers.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use crate::ask::request;

/// 2023-11-14T22:13:20Z.
const FIRST_S: u64 = 1_700_000_000;
const LINES_PER_REQUEST: u64 = 10_000;
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub struct Args {
    /// ADDR:PORT; several get the same
    #[arg(long, required = true)]
    target: Vec<String>,
    #[arg(long, default_value = "perf")]
    db: String,
    #[arg(long, default_value = "m")]
    measurement: String,
    /// Points in all: time after time, of all series
    #[arg(long)]
    points: u64,
    #[arg(long, default_value_t = 100)]
    hosts: u64,
    /// Each host is in all of them: hosts x zones are the series
    #[arg(long, default_value_t = 9)]
    zones: u64,
    #[arg(long, default_value_t = 10)]
    interval_s: u64,
}

pub fn run(args: &Args) -> Result<ExitCode, String> {
    if args.hosts == 0 || args.zones == 0 {
        return Err("hosts and zones are at least 1".to_owned());
    }
    let path = format!("/write?db={}&precision=s", args.db);
    let mut first = 0;
    while first < args.points {
        let end = args.points.min(first + LINES_PER_REQUEST);
        let mut body = String::new();
        (first..end).for_each(|index| line(args, index, &mut body));
        for target in &args.target {
            let (status, answer) =
                request(target, "POST", &path, &body, TIMEOUT).map_err(|e| format!("{target}: {e}"))?;
            if status != 204 {
                return Err(format!("{target} said {status}: {}", String::from_utf8_lossy(&answer)));
            }
        }
        first = end;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(args: &Args, index: u64, out: &mut String) {
    let series = args.hosts * args.zones;
    let (step, number) = (index / series, index % series);
    let (host, zone) = (number / args.zones, number % args.zones);
    // Some thousand different values, quarters: sums are exact.
    let value = index.wrapping_mul(2_654_435_761) % 40_009;
    let time = FIRST_S + step * args.interval_s;
    let written =
        writeln!(out, "{},host=h{host},zone=z{zone} v={}.{} {time}", args.measurement, value / 4, value % 4 * 25);
    written.expect("a String takes any text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_report_in_turn() {
        let args = Args {
            target: Vec::new(),
            db: String::new(),
            measurement: "m".to_owned(),
            points: 0,
            hosts: 2,
            zones: 2,
            interval_s: 10,
        };
        let mut text = String::new();
        (0..5).for_each(|index| line(&args, index, &mut text));
        let heads: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(
            heads,
            ["m,host=h0,zone=z0", "m,host=h0,zone=z1", "m,host=h1,zone=z0", "m,host=h1,zone=z1", "m,host=h0,zone=z0"]
        );
        assert!(text.lines().last().is_some_and(|line| line.ends_with(" 1700000010")), "{text}");
    }
}
