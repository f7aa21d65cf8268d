//! `slotline topology show`.

use crate::topology::{self, RuleSpec, Topology};

use super::super::cluster::{Failure, Place, PlaceArgs};
use super::super::columns::columns;
use super::super::print;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print the document, passwords as "***".
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let (place, _) = args.place.resolve()?;
    let topology = place.topology(place.open()?.as_mut())?;
    match args.json {
        true => print(format!("{}\n", document(&topology))),
        false => print(table(&place, &topology)),
    }
    Ok(())
}

/// The document with its passwords hidden.
fn document(topology: &Topology) -> String {
    let mut spec = topology.spec().clone();
    let replicas = spec.groups.iter_mut().flat_map(|group| &mut group.replicas);
    replicas.filter(|replica| !replica.password.is_empty()).for_each(|replica| replica.password = "***".to_owned());
    // It was built before, and only passwords differ.
    spec.build(topology.epoch).map_or_else(|_| String::new(), |hidden| topology::print(&hidden))
}

fn table(place: &Place, topology: &Topology) -> String {
    let mut rows = vec![["GROUP", "SLOTS", "REPLICA", "STATE", "URL", "USER"].map(str::to_owned)];
    for index in topology.group_indexes() {
        let group = topology.group(index);
        for (at, replica) in group.replicas.iter().enumerate() {
            let first = |text: String| if at == 0 { text } else { String::new() };
            let slots = match topology.slots_of(index) {
                none if none.is_empty() => "none".to_owned(),
                slots => slots,
            };
            let state = replica.state.as_str();
            let user = if replica.username.is_empty() { "-" } else { &replica.username };
            let (name, url) = (replica.name.clone(), replica.url.clone());
            rows.push([first(group.id.to_string()), first(slots), name, state.to_owned(), url, user.to_owned()]);
        }
    }
    let mut text = format!("cluster {}   epoch {}   zookeeper {}\n\n", place.cluster, topology.epoch, place.servers);
    text.push_str(&columns(&rows));
    let row = |(number, rule): (usize, &RuleSpec)| {
        let tags = format!("[{}]", rule.tags.join(", "));
        [number.to_string(), rule.db.clone(), rule.measurement.clone(), tags]
    };
    let rules: Vec<[String; 4]> = (1..).zip(&topology.spec().rules).map(row).collect();
    if rules.is_empty() {
        text.push_str("\nno rules: the measurement alone decides\n");
    } else {
        let head = [["RULE", "FOR DB", "MEASUREMENT", "TAGS"].map(str::to_owned)];
        text.push('\n');
        text.push_str(&columns(&[&head[..], &rules].concat()));
    }
    text
}
