//! Lines x topology -> one batch a group; replica answers -> the client's answer.
//!
//! `router` finds a line's group, `build` gathers the lines of one request group by group while its body streams in,
//! `answer` reads what replicas say and merges it into the words of a single InfluxDB. Called by `ingest` (build) and
//! `deliver` (answers). Pure: the time comes in as the request's stamp.

mod answer;
mod build;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod router;

pub use answer::{ClientAnswer, ReplicaAnswer, merge, merge_replicas, read_answer, refused_points};
pub use build::{Batch, BatchLimits, Batches, Builder, Run};
pub use router::Router;

/// The unit of a write's timestamps, as InfluxDB reads `precision`: whatever it does not know is nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
}

impl Precision {
    pub fn parse(text: &str) -> Precision {
        match text {
            "u" => Precision::Microseconds,
            "ms" => Precision::Milliseconds,
            "s" => Precision::Seconds,
            "m" => Precision::Minutes,
            "h" => Precision::Hours,
            _ => Precision::Nanoseconds,
        }
    }

    /// As a URL parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::Nanoseconds => "ns",
            Precision::Microseconds => "u",
            Precision::Milliseconds => "ms",
            Precision::Seconds => "s",
            Precision::Minutes => "m",
            Precision::Hours => "h",
        }
    }

    fn nanoseconds(self) -> i64 {
        match self {
            Precision::Nanoseconds => 1,
            Precision::Microseconds => 1_000,
            Precision::Milliseconds => 1_000_000,
            Precision::Seconds => 1_000_000_000,
            Precision::Minutes => 60_000_000_000,
            Precision::Hours => 3_600_000_000_000,
        }
    }

    /// What is put behind a line without a timestamp: a space and the time in this unit, truncated.
    pub fn stamp(self, now_ns: i64) -> String {
        format!(" {}", now_ns.div_euclid(self.nanoseconds()))
    }
}
