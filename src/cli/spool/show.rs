//! `slotline spool show`.

use crate::spool::look::{self, Waiting};
use crate::spool::{DeadLetter, DeadLine, Record};

use super::{ConfigFile, Failure, Place, json, print, print_json, text};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    replica: String,
    /// At most so many records, oldest first.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { file, replica, limit, json: as_json } = args;
    let place = Place::of(&file)?;
    place.check(&replica)?;
    let found = look::records(&place.dir, &replica, limit);
    let (mut records, damage) =
        found.map_err(|error| Failure::Spool(format!("spool of replica {replica}: {error}")))?;
    records.retain(|waiting| waiting.record != Record::Void);
    for damage in damage.iter().filter(|damage| !damage.tail) {
        eprintln!("slotline: {}:{}: {} bytes cannot be read", damage.segment, damage.offset, damage.bytes);
    }
    let parked = |waiting: &Waiting| waiting.queue.is_parked();
    match as_json {
        true => print_json(&records.iter().map(|one| json(&line(one), &[("parked", parked(one).into())])).collect()),
        false => records.iter().for_each(|one| print(text(&line(one), if parked(one) { "parked " } else { "" }))),
    }
    Ok(())
}

/// As a dead letter without a reason.
fn line(waiting: &Waiting) -> DeadLine {
    let (record, at_ms) = (waiting.record.clone(), waiting.accepted_ms);
    DeadLine::of(&DeadLetter { record, reason: String::new(), at_ms })
}
