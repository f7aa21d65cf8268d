//! `slotline slots show`: 16 lines of 64 slots, a letter a group.

use serde_json::json;

use crate::topology::{SLOTS, SlotId, Topology};

use super::super::cluster::table::{Cell, Paint, Screen, painted};
use super::super::cluster::{Failure, PlaceArgs};
use super::super::print;

const LINE: usize = 64;
/// One for each group, in written order; further ones share the last.
const LETTERS: &[u8] = b"123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ#";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print the ranges as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let (place, _) = args.place.resolve()?;
    let topology = place.topology(place.open()?.as_mut())?;
    if args.json {
        print(format!("{}\n", json!({"epoch": topology.epoch, "slots": topology.spec().slots})));
        return Ok(());
    }
    let screen = Screen::stdout();
    print(format!("{}\n{}", picture(&topology, screen), legend(&topology, screen)));
    Ok(())
}

fn letter(group: usize) -> char {
    char::from(LETTERS[group.min(LETTERS.len() - 1)])
}

/// Each line begins with its first slot.
fn picture(topology: &Topology, screen: Screen) -> String {
    let mut text = String::new();
    for first in (0..SLOTS).step_by(LINE) {
        text.push_str(&screen.paint(&format!("{first:4} "), Paint::Dim));
        let owners: Vec<usize> =
            SlotId::all().skip(first).take(LINE).map(|slot| usize::from(topology.owner(slot))).collect();
        for run in owners.chunk_by(|one, two| one == two) {
            let letters: String = run.iter().map(|group| letter(*group)).collect();
            text.push_str(&screen.paint(&letters, Paint::Number(run[0])));
        }
        text.push('\n');
    }
    text
}

fn legend(topology: &Topology, screen: Screen) -> String {
    let mut rows = vec![["", "GROUP", "SLOTS", "REPLICAS"].map(Cell::from)];
    for index in topology.group_indexes() {
        let group = topology.group(index);
        let count = SlotId::all().filter(|slot| topology.owner(*slot) == index).count();
        let names: Vec<&str> = group.replicas.iter().map(|replica| replica.name.as_str()).collect();
        let at = usize::from(index);
        rows.push([
            painted(letter(at), Paint::Number(at)),
            group.id.to_string().into(),
            count.to_string().into(),
            names.join(" ").into(),
        ]);
    }
    screen.table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology;

    #[test]
    fn the_picture_fits_sixteen_lines() {
        let text = r#"{"epoch": 1, "groups": [{"id": 1, "replicas": [{"name": "a", "url": "http://h:1"}]},
            {"id": 7, "replicas": [{"name": "b", "url": "http://h:2"}]}],
            "slots": [{"from": 0, "to": 99, "group": 1}, {"from": 100, "to": 1023, "group": 7}]}"#;
        let topology = topology::parse(text.as_bytes()).expect("a sound topology");
        let screen = Screen { colours: false, columns: None };
        let picture = picture(&topology, screen);
        let lines: Vec<&str> = picture.lines().collect();
        assert_eq!(lines.len(), 16);
        assert_eq!(lines[1], format!("  64 {}{}", "1".repeat(36), "2".repeat(28)));
        assert_eq!(legend(&topology, screen), "   GROUP  SLOTS  REPLICAS\n1  1      100    a\n2  7      924    b\n");
        assert_eq!(letter(1000), '#');
    }
}
