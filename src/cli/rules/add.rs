//! `slotline rules add`.

use crate::topology::RuleSpec;
use crate::topology::change::{self, RuleAt};

use super::super::cluster::Failure;
use super::super::cluster::change::ChangeArgs;
use super::super::cluster::plan::Objection;

#[derive(clap::Args)]
pub struct Args {
    /// The database, or * for any.
    db: String,
    /// The measurement: a name, or /regex/.
    measurement: String,
    /// The tags, in the order in which they make the slot key; none: the measurement alone, an exception before a wider
    /// rule.
    tags: Vec<String>,
    /// Before the rule of this number [default: behind all].
    #[arg(long, value_name = "NUMBER")]
    before: Option<usize>,
    #[command(flatten)]
    change: ChangeArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { db, measurement, tags, before: at, change } = args;
    let mut change = change.begin()?;
    let before = change.topology()?;
    let words = format!("rules add {db} {measurement} {}", tags.join(" "));
    if let Some(objection) = half_a_regex(&measurement) {
        change.object(objection);
    }
    let rule = RuleSpec { db, measurement, tags };
    let at = at.map_or(RuleAt::Last, RuleAt::Before);
    let spec = change::add_rule(&before, rule, at).map_err(Failure::usage)?;
    change.make(words.trim_end(), spec)
}

/// A slash at one end only is more often forgotten at the other than part of a name.
fn half_a_regex(measurement: &str) -> Option<Objection> {
    let half = measurement.starts_with('/') != measurement.ends_with('/') || measurement == "/";
    half.then(|| {
        let what = format!("the rule is for the one measurement that is named {measurement:?}");
        Objection::new(what, "a regular expression has a slash at both ends: /cpu/")
    })
}
