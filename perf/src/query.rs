//! `slotline-perf query`: one query to several servers in turns, and how long each takes to the last byte of its answer.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::ask::request_with;

#[derive(clap::Args)]
pub struct Args {
    /// NAME=ADDR:PORT; the first is what the others are compared with
    #[arg(long, required = true, value_parser = named)]
    side: Vec<(String, String)>,
    #[arg(long, default_value = "perf")]
    db: String,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// In MessagePack and chunks, as slotline asks its groups
    #[arg(long)]
    part: bool,
    /// Seconds for an answer's next piece
    #[arg(long, default_value_t = 300)]
    timeout_s: u64,
    q: String,
}

fn named(text: &str) -> Result<(String, String), String> {
    let (name, addr) = text.split_once('=').ok_or("NAME=ADDR:PORT")?;
    Ok((name.to_owned(), addr.to_owned()))
}

/// A line for each side: its median, the median of its ratios to the first side of the same round, the answer's bytes.
/// Exit 1 where an answer is no 200 or holds an error.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let format = if args.part { "&chunked=true&chunk_size=5000" } else { "" };
    let path = format!("/query?db={}&epoch=ns{format}&q={}", args.db, encoded(&args.q));
    let accept = format!("Accept: {}\r\n", if args.part { "application/x-msgpack" } else { "application/json" });
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); args.side.len()];
    let mut bytes = vec![0; args.side.len()];
    for round in 0..args.rounds.max(1) {
        for turn in 0..args.side.len() {
            // None always goes first.
            let at = (turn + round) % args.side.len();
            let (name, addr) = &args.side[at];
            let begun = Instant::now();
            let timeout = Duration::from_secs(args.timeout_s);
            let (status, body) =
                request_with(addr, "GET", &path, &accept, "", timeout).map_err(|error| format!("{name}: {error}"))?;
            times[at].push(begun.elapsed().as_secs_f64() * 1e3);
            bytes[at] = body.len();
            let failed = body.windows(8).take(200).any(|window| window == b"\"error\":");
            if status != 200 || failed {
                return Err(format!("{name} said {status}: {}", String::from_utf8_lossy(&body[..body.len().min(500)])));
            }
        }
    }
    println!("{:<12} {:>10} {:>8} {:>12}", "side", "median ms", "x first", "bytes");
    for (at, (name, _)) in args.side.iter().enumerate() {
        let ratios = times[at].iter().zip(&times[0]).map(|(own, first)| own / first).collect();
        println!("{name:<12} {:>10.1} {:>8.2} {:>12}", median(times[at].clone()), median(ratios), bytes[at]);
    }
    Ok(ExitCode::SUCCESS)
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
    }
}

pub fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}
