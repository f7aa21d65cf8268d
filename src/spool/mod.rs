//! The spool.

#[cfg(feature = "server")]
mod disk;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
#[cfg(feature = "server")]
mod log;
pub mod record;
#[cfg(feature = "server")]
mod recover;
