//! Timeshift: yesterday and today in one answer.
//!
//! # How it is asked for
//! `ask` reads it. A field with an alias such as `shift_1_week` (or `bshift_1_week`, for the future), perhaps with a label
//! behind two underscores; a SELECT with `TIMESHIFT -1w`, or with several, one series each, told apart by the tag
//! `timeshift`; a request whose database is called `db@shift_1w`, or that has the parameter `shift=1w`. What stands inside
//! each other adds up. MATH makes series of what a request's earlier statements have answered (`math`).
//!
//! # What it means
//! A SELECT that is shifted is answered as if every point had been written later by the shift (earlier, by one into the
//! future): so the plain SELECT over points moved like that is what it is held against. The shift becomes one length of
//! time for the whole SELECT (`calendar`): months, and with `tz()` days too, are counted by the calendar from where its range
//! in time begins, else ends. No point is mapped by itself.
//!
//! # How it is made
//! `read` is called before the planner and takes out what InfluxDB does not know. Once the request's one now is known, `work`
//! divides a SELECT:
//! - everything in it is shifted alike: one SELECT over another time (`moved`), planned like any other; each time of its
//!   answer is moved back as it comes. Its windows lie where those of the present are: the offset of `GROUP BY time()` takes
//!   up what the shift leaves over of the interval. Windows over which clocks change cannot be written so: these are made
//!   here, of rows (`rows`);
//! - its fields are shifted by several lengths: one SELECT for each, joined on series and time (`join`);
//! - several TIMESHIFTs: one SELECT for each, their series beside each other;
//! - only what stands inside is shifted: each subquery by itself, and the SELECT around them is evaluated here over what they
//!   answer (`outer`).
//!
//! Called by `query`, which runs the parts. Pure; what is joined is held at once, within `query.merge_bytes_max`.

pub mod ask;
mod calendar;
pub mod join;
pub mod math;
mod moved;
pub mod outer;
mod read;
pub mod rows;
#[cfg(test)]
mod tests;
pub mod work;

pub use moved::Moved;
pub use read::{Asked, is_asked, read};
