//! Partials -> one result, as a single InfluxDB would have answered.
//!
//! `results` is InfluxDB's JSON; `show` merges the answers of groups to one SHOW statement. Pure.

pub mod results;
pub mod show;
