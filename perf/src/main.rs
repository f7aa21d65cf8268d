//! `slotline-perf`: load for slotline and what stands behind it while it is measured. Plain threads and blocking
//! sockets: cheap, and nothing in common with the code under test. `perf/README.md` says how to use it.
//!
//! | module | is |
//! |---|---|
//! | `lines` | the points that are sent: pure |
//! | `http1` | HTTP/1.1 heads and bodies from a blocking stream, for both sides |
//! | `load` | the load generator |
//! | `backend` | the counting backend, with faults |
//! | `ask` | one HTTP request, for scripts |
//! | `history` | points of many series at an interval |
//! | `query` | one query to several servers in turns |
//! | `panel` | one query over and over, on connections that are kept |
//! | `moves` | points over UDP while the listeners that they go to move |
//! | `metrics` | sums of lines of `/metrics`: pure but for the asking |
//! | `watch` | memory, CPU, disk and spool of a process, moment by moment |
//! | `disk` | what a disk bears when every write is made durable |
//! | `sys` | the few system calls that need `unsafe` |

mod ask;
mod backend;
mod disk;
mod history;
mod http1;
mod lines;
mod load;
mod metrics;
mod moves;
mod panel;
mod query;
mod sys;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "slotline-perf", about = "Load for slotline, and a backend that counts it")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends points over HTTP, TCP or UDP and says what became of them
    Load(load::Args),
    /// Plays InfluxDB servers that count what they are sent
    Backend(backend::Args),
    /// Sends one HTTP request and prints the answer's body
    Ask(ask::Args),
    /// Prints memory, CPU, disk and spool of a running slotline at intervals
    Watch(watch::Args),
    /// Appends records to a file and makes them durable, as fast as the disk lets it
    Disk(disk::Args),
    /// Writes what many series of one measurement report at an interval
    History(history::Args),
    /// Asks several servers one query, in turns
    Query(query::Args),
    /// Sends points over UDP while `slotline udp` moves the listeners that they go to
    Moves(moves::Args),
    /// Asks several servers one query over and over, in turns, and tells their latency and CPU
    Panel(panel::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Load(args) => load::run(&args),
        Command::Backend(args) => backend::run(args),
        Command::Ask(args) => ask::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Disk(args) => disk::run(&args),
        Command::History(args) => history::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Moves(args) => moves::run(&args),
        Command::Panel(args) => panel::run(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("slotline-perf: {error}");
        ExitCode::from(2)
    })
}
