//! Line protocol as InfluxDB 1.x reads it, as little of it as routing needs.
//!
//! `split` finds the lines in a stream of buffers, `line` says what one line holds: its name, its tags, whether it has
//! a timestamp. `naive` is the slow twin that property tests and fuzzing hold `split` against.
//!
//! InfluxDB decides what a good point is: nothing here refuses a line. Used by `batch`.

mod line;
#[cfg(test)]
pub mod naive;
mod split;

pub use line::Line;
pub use split::{Lines, Splitter};
