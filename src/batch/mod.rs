//! Lines x topology -> one batch a group; replica answers -> the client's answer.
//!
//! `router` finds a line's group (`measurements` knows those of lately), `build` gathers the lines of a request, or of a
//! stream's part, group by group while they come in, `stamp` says what time lines without one get, `answer` reads what
//! replicas say and merges it into the words of a single InfluxDB, `check` says what that would answer when no replica can.
//! Called by `ingest` (build) and `deliver` (answers). Pure: the time comes in as the request's stamp.

mod answer;
mod build;
mod check;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod measurements;
mod router;
mod stamp;

pub use answer::{
    ClientAnswer, ReplicaAnswer, Verdict, is_new_conflict, is_refused_whole, lacks_target, merge, merge_replicas,
    passes_again, read_answer, refused_points,
};
pub use build::{Batch, BatchLimits, Batches, Builder, Run};
pub use check::{Checked, check};
pub use measurements::Routes;
pub use router::Router;
pub use stamp::Stamps;
