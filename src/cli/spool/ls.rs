//! `slotline spool ls`.

use serde_json::{Value, json};

use crate::spool::look::{self, Summary};
use crate::spool::rfc3339;

use super::super::columns::columns;
use super::{ConfigFile, Failure, Place, print, print_json};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    #[arg(long)]
    json: bool,
}

/// What is told of one replica.
struct Row {
    summary: Summary,
    dead: u64,
    /// Whether the topology names it, if that is known.
    known: Option<bool>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let place = Place::of(&args.file)?;
    let replicas = place.replicas();
    let mut rows = Vec::new();
    for name in place.names()? {
        let failed = |error| Failure::Spool(format!("spool of replica {name}: {error}"));
        let summary = look::summary(&place.dir, &name).map_err(failed)?;
        let dead = look::dead_count(&place.dir, &name).map_err(failed)?;
        let known = replicas.as_ref().map(|replicas| replicas.contains(&name));
        rows.push(Row { summary, dead, known });
    }
    match args.json {
        true => print_json(&rows.iter().map(document).collect()),
        false => print(table(&rows)),
    }
    Ok(())
}

fn since(summary: &Summary) -> Option<String> {
    (summary.since_ms > 0).then(|| rfc3339(summary.since_ms))
}

fn document(row: &Row) -> Value {
    let Row { summary, dead, known } = row;
    let foreign: Vec<String> = summary.foreign.iter().map(|path| path.display().to_string()).collect();
    json!({
        "replica": summary.name,
        "records": summary.main.records + summary.parked.records,
        "points": summary.main.points + summary.parked.points,
        "bytes": summary.main.bytes + summary.parked.bytes,
        "parked_records": summary.parked.records,
        "parked_points": summary.parked.points,
        "since": since(summary),
        "dead_letters": dead,
        "dead_bytes": summary.dead_bytes,
        "other_version": foreign,
        "in_topology": known,
    })
}

fn table(rows: &[Row]) -> String {
    let mut cells =
        vec![["REPLICA", "RECORDS", "POINTS", "BYTES", "PARKED", "OLDEST SINCE", "DEAD", ""].map(str::to_owned)];
    for Row { summary, dead, known } in rows {
        let (main, parked) = (summary.main, summary.parked);
        let idle = main.records + parked.records + dead == 0 && summary.foreign.is_empty();
        if idle && *known == Some(false) {
            continue;
        }
        let mut notes = Vec::new();
        if *known == Some(false) {
            notes.push("not in the topology".to_owned());
        }
        if !summary.foreign.is_empty() {
            notes.push(format!("{} segments of another version", summary.foreign.len()));
        }
        cells.push([
            summary.name.clone(),
            (main.records + parked.records).to_string(),
            (main.points + parked.points).to_string(),
            (main.bytes + parked.bytes).to_string(),
            parked.points.to_string(),
            since(summary).unwrap_or_else(|| "-".to_owned()),
            dead.to_string(),
            notes.join(", "),
        ]);
    }
    match cells.len() {
        1 => "nothing waits for any replica\n".to_owned(),
        _ => columns(&cells),
    }
}
