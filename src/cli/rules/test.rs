//! `slotline rules test`: what `route` does, by the topology in force, with the rule that decides.

use std::io::Read;
use std::sync::Arc;

use serde_json::json;

use crate::batch::Router;
use crate::lineprotocol::split;

use super::super::cluster::table::{Cell, Screen};
use super::super::cluster::{Failure, PlaceArgs};
use super::super::print;

#[derive(clap::Args)]
pub struct Args {
    /// The lines' database.
    db: String,
    /// Lines of line protocol; without any they are read from standard input. The fields may be left out.
    #[arg(value_name = "LINE")]
    lines: Vec<String>,
    #[command(flatten)]
    place: PlaceArgs,
    /// Print a JSON object for each line.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { db, lines, place, json } = args;
    let (place, _) = place.resolve()?;
    let topology = Arc::new(place.topology(place.open()?.as_mut())?);
    let mut body = lines.join("\n").into_bytes();
    if body.is_empty() {
        let read = std::io::stdin().lock().read_to_end(&mut body);
        read.map_err(|error| Failure::usage(format!("standard input: {error}")))?;
    }
    let mut router = Router::new(topology.clone(), &db);
    let mut rows = vec![["MEASUREMENT", "RULE", "KEY TAGS", "SLOT", "GROUP"].map(Cell::from)];
    for text in split(&body) {
        let Some(line) = router.read(text) else { continue };
        let (slot, name) = (router.slot(&line), line.name());
        let rule = topology.rules().iter().position(|rule| rule.fits(&db, &name)).map(|at| at + 1);
        let tags = topology.rule(&db, &name).map(|rule| rule.tags.as_slice()).unwrap_or_default();
        let tag = |key: &String| format!("{key}={}", String::from_utf8_lossy(&line.tag(key)));
        let tags: Vec<String> = tags.iter().map(tag).collect();
        let (name, group) = (String::from_utf8_lossy(&name).into_owned(), topology.group(topology.owner(slot)).id);
        if json {
            let slot = slot.index();
            print(format!(
                "{}\n",
                json!({"measurement": name, "rule": rule, "tags": tags, "slot": slot, "group": group})
            ));
            continue;
        }
        let rule = rule.map_or("none".to_owned(), |rule| rule.to_string());
        rows.push([name, rule, tags.join(" "), slot.to_string(), group.to_string()].map(Cell::from));
    }
    if !json {
        print(Screen::stdout().table(&rows));
    }
    Ok(())
}
