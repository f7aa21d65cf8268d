//! `slotline-perf disk`: what a disk bears of the kind of writing that a durable log does: records appended to a file,
//! each or each few followed by fdatasync, a new file at a certain length, the old one deleted. One writer.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

const SYNC_US_MAX: u64 = 600_000_000;

#[derive(clap::Args)]
pub struct Args {
    /// Where the files are written; deleted at the end
    #[arg(long)]
    dir: PathBuf,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256 << 20))]
    record_bytes: u32,
    /// Records between two calls of fdatasync
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    records_per_sync: u32,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Of a file
    #[arg(long, default_value_t = 64 << 20)]
    file_bytes_max: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    records: u64,
    bytes: u64,
    syncs: u64,
    seconds: f64,
    mb_per_s: f64,
    records_per_s: f64,
    sync_p50_us: u64,
    sync_p99_us: u64,
}

impl Report {
    #[allow(clippy::cast_precision_loss, reason = "bytes of a run are far below 2^52")]
    fn of(records: u64, record_bytes: u64, syncs_us: &Histogram<u64>, seconds: f64) -> Report {
        let bytes = records * record_bytes;
        Report {
            records,
            bytes,
            syncs: syncs_us.len(),
            seconds,
            mb_per_s: (bytes as f64 / seconds / 1e6 * 100.0).round() / 100.0,
            records_per_s: (records as f64 / seconds).round(),
            sync_p50_us: syncs_us.value_at_quantile(0.5),
            sync_p99_us: syncs_us.value_at_quantile(0.99),
        }
    }
}

pub fn run(args: &Args) -> Result<ExitCode, String> {
    let length = Duration::try_from_secs_f64(args.seconds).map_err(|error| format!("seconds: {error}"))?;
    let report = write(args, length).map_err(|error| format!("{}: {error}", args.dir.display()))?;
    println!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?);
    Ok(ExitCode::SUCCESS)
}

fn write(args: &Args, length: Duration) -> io::Result<Report> {
    let record: Vec<u8> = (0..args.record_bytes).map(|index| (crate::lines::mix(index.into()) & 0xff) as u8).collect();
    let mut syncs_us = Histogram::new_with_bounds(1, SYNC_US_MAX, 3).expect("bounds in order, three digits");
    let (mut records, mut in_file) = (0, 0);
    let start = Instant::now();
    let mut file = nameless(&args.dir)?;
    while start.elapsed() < length {
        if in_file >= args.file_bytes_max {
            (file, in_file) = (nameless(&args.dir)?, 0);
        }
        for _ in 0..args.records_per_sync {
            file.write_all(&record)?;
            records += 1;
            in_file += record.len() as u64;
        }
        let begun = Instant::now();
        file.sync_data()?;
        syncs_us.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(Report::of(records, record.len() as u64, &syncs_us, start.elapsed().as_secs_f64()))
}

/// A file that goes with its last descriptor, so that nothing stays behind, whatever ends us.
fn nameless(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!("slotline-perf-disk-{}", std::process::id()));
    let file = File::create_new(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_arithmetic() {
        let mut syncs_us = Histogram::new_with_bounds(1, SYNC_US_MAX, 3).expect("bounds in order");
        [100, 100, 300].iter().for_each(|&took| syncs_us.saturating_record(took));
        let report = Report::of(2000, 1000, &syncs_us, 0.5);
        assert_eq!((report.bytes, report.syncs, report.sync_p50_us, report.sync_p99_us), (2_000_000, 3, 100, 300));
        assert!((report.mb_per_s - 4.0).abs() < 1e-9 && (report.records_per_s - 4000.0).abs() < 1e-9);
    }

    #[test]
    fn whole_rounds_are_written_and_nothing_stays() {
        let dir = std::env::temp_dir().join(format!("slotline-perf-test-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a new directory");
        let args =
            Args { dir: dir.clone(), record_bytes: 100, records_per_sync: 7, seconds: 0.02, file_bytes_max: 1000 };
        let report = write(&args, Duration::from_millis(20)).expect("a disk");
        let left = std::fs::read_dir(&dir).expect("still there").count();
        std::fs::remove_dir_all(&dir).expect("ours");
        assert_eq!((report.records, report.bytes, left), (report.syncs * 7, report.records * 100, 0));
        assert!(report.syncs > 0);
    }
}
