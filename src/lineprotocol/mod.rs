//! Line protocol as InfluxDB 1.x reads it, as little of it as routing needs.
//!
//! `splitter` finds the lines in a stream of buffers, `line` says what one line holds: its name, its tags, whether it has
//! a timestamp. `blocks` helps `splitter` see many bytes at once. `point` tells whether InfluxDB takes a line for a point,
//! or why not. `naive` holds the slow twins that property tests and fuzzing hold `splitter`, `line` and `point` against.
//!
//! InfluxDB decides what a good point is: nothing here refuses a line that a replica can be asked about. Used by `batch`.

mod blocks;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod line;
#[cfg(any(test, feature = "fuzzing"))]
pub mod naive;
pub mod point;
mod precision;
mod splitter;

pub use line::{Line, TagValue};
pub use precision::Precision;
pub use splitter::{End, Lines, Rest, Splitter};

/// Cuts a whole body into lines, newlines left out: blanks and comments too.
pub fn split(body: &[u8]) -> Vec<&[u8]> {
    let mut lines = Splitter::lines(body, 0);
    let mut found = Vec::new();
    while let Some((start, end)) = lines.next_range() {
        found.push(&body[start..end]);
    }
    if lines.rest() < body.len() {
        found.push(&body[lines.rest()..]);
    }
    found
}
