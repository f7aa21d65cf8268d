//! slotline makes many InfluxDB 1.x servers behave as one.
//!
//! # Where to begin
//! The write story is `ingest/mod.rs`, the read story `query/mod.rs`: each calls the steps in the order in which the
//! data moves. `shard/mod.rs` shows what one core owns, `server/mod.rs` how a process starts and ends.
//!
//! # The map: who may use whom
//! A module uses only modules of lines above its own; `tests/layers.rs` names each one's exactly and holds the code
//! against it.
//!
//! Pure: no clock, socket, file, thread, async. `cargo check --lib --no-default-features` builds these alone.
//!
//! | module | is | uses |
//! |---|---|---|
//! | `lineprotocol` | finds lines, names, tags, timestamps; copies nothing | |
//! | `topology` | slots, groups, replicas, rules: the immutable snapshot; its JSON, checks, changes; UDP listeners, backlogs | `lineprotocol` |
//! | `influxql` | the query language: text to tree and back | |
//! | `http` | InfluxDB's HTTP API as bytes: parameters, JSON as Go prints it, gzip | |
//! | `memory` | how much of it a thread has taken: the allocator that counts | |
//! | `gate` | a replica's state over all cores: written to directly, or through its log | |
//! | `stats` | what shards count | `gate` |
//! | `databases` | the databases and policies that InfluxDB was last seen to have | |
//! | `config` | `config.toml` | `lineprotocol`, `topology` |
//! | `batch` | lines x topology -> one batch a group; replica answers -> the client's answer | `lineprotocol`, `topology` |
//! | `merge` | groups' answers -> one, in any of InfluxDB's formats | `influxql`, `http`, `memory` |
//! | `plan` | a request's statements x topology -> where they run, or why not | `influxql`, `topology`, `merge` (its table of functions) |
//! | `timeshift` | SELECTs that look away from now -> those that InfluxDB knows, and their answers' way back; MATH | `influxql`, `plan`, `merge` |
//! | `spool` | what waits on disk for replicas: records, segments, logs, a thread each (pure: `spool::record`, the rest with `server`) | `lineprotocol`, `influxql`, `stats`, `config` |
//! | `fuzz` | the fuzz targets (tests and feature `fuzzing`) | `lineprotocol`, `topology`, `influxql`, `batch`, `merge`, `spool` |
//!
//! Shell (feature `server`):
//!
//! | module | is |
//! |---|---|
//! | `net` | sockets on glommio, in an epoll of their shard: listening, streams for hyper, datagrams, bells; deadlines, bodies, tasks, budgets |
//! | `backend` | one replica seen from one shard: connections, couriers, lanes, health |
//! | `deliver` | batches and statements to replicas or into their logs, what they say, and replay |
//! | `ingest` | THE WRITE STORY (never uses `query`) |
//! | `query` | THE READ STORY (never uses `ingest`) |
//! | `admin` | `/metrics`, `/health`, `/ready` |
//! | `control` | the one ZooKeeper thread: session, watches; what it hears goes to its audience |
//! | `shard` | one pinned executor and all that it owns; the HTTP front |
//! | `server` | a process: machine, `data_dir`, ports, shards, signals; publishes what `control` hears to all shards; keeps `databases` |
//! | `cli` | the commands, a file each |
//!
//! # One meaning a word
//! *point* one line · *series* measurement and tag set · *slot* hash bucket · *group* the replicas that hold the same
//! slots · *replica* one InfluxDB as the topology names it · *backend* our live connections to it, from one shard ·
//! *lane* one of a backend's connections for writes, one request in flight · *topology* the immutable snapshot of
//! groups, slots and rules, with its *epoch* · *rule* which tags beside the measurement make the slot key · *shard* one
//! pinned executor and all that it owns · *batch* points for one group · *source* the connection or UDP socket that
//! points came from · *spool* the durable queue of batches and statements that a replica has still to take · *log* a row
//! of segments on disk, one of a spool's queues · *record* one batch or statement in it · *gate* whether writes reach
//! a replica directly · *backlog* what a replica has still to take, in any proxy's spool: without one it is *complete* ·
//! *statement* one InfluxQL statement · *plan* where its parts run and how they join · *partial* one group's answer.
//!
//! # To add
//! a command: a file in `cli/` and a row in `cli/mod.rs`; a setting: a field and a line in `config/mod.rs`, and its
//! line in `config.toml`; a metric: a row in `admin/metrics.rs`; a path of the HTTP API: a row in `shard/front.rs`; a
//! protocol for points: a file in `ingest/`, a row in `config::Protocol` and one in `shard/accept.rs`; an InfluxQL
//! function over rows of several groups: a file in `merge/evaluate/functions/` and a row in its `mod.rs`, and if it can be put
//! together of what groups make of their points, or point by point, in `merge/combine/` too.

pub mod batch;
pub mod config;
pub mod databases;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod gate;
pub mod http;
pub mod influxql;
pub mod lineprotocol;
pub mod memory;
pub mod merge;
pub mod plan;
pub mod spool;
pub mod stats;
pub mod timeshift;
pub mod topology;

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod backend;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod control;
#[cfg(feature = "server")]
pub mod deliver;
#[cfg(feature = "server")]
pub mod ingest;
#[cfg(feature = "server")]
pub mod net;
#[cfg(feature = "server")]
pub mod query;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod shard;
