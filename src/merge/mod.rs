//! Partials -> one result, as a single InfluxDB would have answered.
//!
//! `results` is the typed answer, which `msgpack` reads from a group; `show` merges the answers of groups to one SHOW
//! statement; `concatenate` puts the series of several groups in order (`naive` is its slow twin), `alike` finds those that
//! InfluxDB takes for one; `emit` cuts and joins results as InfluxDB does, `format` prints them; `points` makes points of
//! rows; `given_up` tells long loops that nobody waits any more, or that they take too much memory;
//! `evaluate` answers a SELECT over rows of several groups, `combine` over what these made of theirs. Pure.

pub mod alike;
pub mod combine;
pub mod concatenate;
pub mod emit;
pub mod evaluate;
pub mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod given_up;
pub mod msgpack;
#[cfg(test)]
mod naive;
pub mod points;
pub mod results;
pub mod show;
