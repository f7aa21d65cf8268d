//! Changes of a topology, as the commands make them: from one that is sound to the next one's spec, or why not.
//!
//! Pure: what is stored, and whether anybody answers, is for the commands to find out. A refusal names the command that
//! would do what is wanted. The result is built, and so checked, by whoever sends it.

mod groups;
mod rules;
mod slots;

pub use groups::{add_group, add_replica, remove_group, remove_replica, replace_replica, serve};
pub use rules::{RuleAt, add_rule, order_rules, remove_rules};
pub use slots::{assign, merged, parse_ranges, spread};
