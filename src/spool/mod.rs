//! The spool: what a replica has still to take waits here, durably and in order: a log for each replica, and one for each
//! database that is parked.
//!
//! `deliver` appends batches and statements and replays them; `slotline spool` lets operators see and move them. All disk
//! work of one spool is done by a thread of its own (`worker`), so that shards only ever send it a message (`Spool`).
//! Limits: `spool.bytes_max` for all logs of a replica together, `spool.dead_bytes_max` for its dead letters; no record
//! is longer than 4 GiB. Nothing that was acknowledged is ever dropped: what does not fit is refused.
//!
//! | file | is |
//! |---|---|
//! | `record` | records and segments as bytes (pure) |
//! | `disk` | the few things done with files, so that tests can put a faulty disk under it |
//! | `recover` | finds out what a log's folder holds |
//! | `log` | one durable queue |
//! | `dead` | dead letters |
//! | `api` | queues and errors, as users name them |
//! | `worker` | the thread |
//! | `handle` | `Spool` and `Spools`, for the whole process |
//! | `look` | reads without locking |
//!
//! # On disk: version 1
//! ```text
//! data_dir/spool/<replica>/lock                   flock: held by the process that has the spool open
//!                         /main/<id>-<marker>.seg the log of what the replica takes when it is back
//!                         /main/cursor
//!                         /main/floor
//!                         /parked/<key>/…         the logs of what an operator must act on before it can be taken; key: CRC-32
//!                                                 of the database's name, 8 hex digits
//!                         /dead.jsonl             what InfluxDB refused for good
//! ```
//! Folders are 0700, files 0600. A leading `.` of a replica's name is `%2E` in its folder's name. Numbers are
//! little-endian, checksums CRC-32 (IEEE).
//!
//! A *segment* is named by its id, 20 decimal digits, and its marker, 8 random bytes in hex. Ids rise by one; they go on
//! where they were after a restart. A segment begins with 32 bytes:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | `slotspl\n` |
//! | 8 | 4 | version: 1 |
//! | 12 | 8 | id |
//! | 20 | 8 | marker |
//! | 28 | 4 | checksum of the 28 bytes before |
//!
//! If the checksum holds and the version is another, the segment is neither read nor removed. If it does not hold the
//! records are read all the same, by the marker in the name. Behind it lie records, each with 44 bytes before its body:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | the segment's marker |
//! | 8 | 4 | length of the body |
//! | 12 | 4 | of it: the database's name |
//! | 16 | 4 | of it: the retention policy's name |
//! | 20 | 4 | points; 0 for what is not points |
//! | 24 | 8 | when it was accepted, in milliseconds since 1970 |
//! | 32 | 1 | 1: points, 2: a statement, 3: void: it was taken back |
//! | 33 | 1 | precision: 0 ns, 1 u, 2 ms, 3 s, 4 m, 5 h; 0 for what is not points |
//! | 34 | 1 | bits: 1: nothing may follow the last line in one request; 2: the replica shall make the database if it lacks it |
//! | 35 | 1 | 0 |
//! | 36 | 4 | checksum of the body |
//! | 40 | 4 | checksum of the 40 bytes before |
//!
//! The body is the database's name, the retention policy's, and the lines or the statement. Where a record's header does
//! not hold, reading goes on at the next marker with a header that does; where a body does not, behind it. The marker keeps
//! what clients send from ever looking like a record.
//!
//! A record is written before it is known whether InfluxDB's other replicas refuse it, so that nobody waits for the one
//! after the other. If they do it becomes void in place: its header is written anew, and its body means nothing. That is
//! not synced: a process that finds it as it was after a crash replays it and hears the same refusal (of a database that was
//! dropped: parks it), and one of which half was written counts as damaged.
//!
//! `cursor`, 44 bytes, says where the log has got to: `slotcur\n`, the segment's id (8 bytes) and marker (8), the offset in
//! it (8), the next segment's id (8), the checksum of all that (4). It is synced when the log is opened and never again: one
//! that is missing, old or torn only makes some records be replayed twice, with all that follows them. `floor` is alike, and
//! synced: nothing before it is ever read again, whatever files are there. It is raised before a segment is removed, and
//! when nothing is left. (In place: a disk that tears 44 bytes of one sector would lose it.)
//!
//! `dead.jsonl` has one JSON object a line: `at` (RFC 3339), `db`, `rp`, `reason`, `points`, and `precision` with `lines`
//! (or `lines_base64` where they are not UTF-8), or `statement`.
//!
//! Without feature `server` only `record` is built.

#[cfg(feature = "server")]
mod api;
#[cfg(feature = "server")]
mod dead;
#[cfg(feature = "server")]
mod disk;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
#[cfg(feature = "server")]
mod handle;
#[cfg(feature = "server")]
mod log;
#[cfg(feature = "server")]
pub mod look;
pub mod record;
#[cfg(feature = "server")]
mod recover;
#[cfg(feature = "server")]
mod spare;
#[cfg(all(test, feature = "server"))]
mod tests;
#[cfg(feature = "server")]
mod worker;

pub use record::Record;
#[cfg(feature = "server")]
pub use {
    api::{AppendError, ConsumeError, Finished, Queue},
    dead::{DeadLetter, DeadLine, rfc3339},
    handle::{ParkedFound, Spool, Spools, Stranger, Undecided},
    log::Entry,
    recover::{Damage, Position, Totals},
};
