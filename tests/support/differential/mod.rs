//! One real InfluxDB with all the data is the judge of slotline over groups of real ones with the same data.
//!
//! `data` makes points from a seed, `list` reads the statements of `statements.txt`, `generate` makes others from a seed, and
//! `nested` such with subqueries, `trial` asks both sides and says what came of it:
//!
//! - *equal*: the same status, type and bytes;
//! - *rounded*: over split measurements and of subqueries over groups, the same but for the last digits of floats (`rounding`);
//! - *refused*: slotline says why it does not answer, and `refusals` has that reason for this layout of the data;
//! - *undetermined*: InfluxDB itself answers otherwise when asked again, or with the same data written in another order
//!   into storage shards of another length, or all into one (other judges are asked when the first and slotline disagree);
//!   slotline's answer still has the same rows as one of theirs, unless theirs have different ones too; or it is one of the
//!   `exceptions`, each with what influxd alone shows of it;
//! - *different*: everything else. It fails the test and prints the seed, the request and both answers.
//!
//! `SLOTLINE_SEED` sets the seed, `SLOTLINE_STATEMENTS` how many statements are made, `SLOTLINE_ASK` one request to ask
//! instead of all (as the report prints it), `SLOTLINE_REFUSED=1` prints what was refused, and why.

pub mod answer;
pub mod ask;
pub mod data;
pub mod exceptions;
pub mod generate;
pub mod list;
pub mod msgpack;
pub mod nested;
pub mod refusals;
pub mod rounding;
pub mod tally;
pub mod trial;

pub use ask::Ask;
pub use refusals::Layout;
pub use trial::Trial;

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}
