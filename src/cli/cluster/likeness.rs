//! A replica held against a peer: how many series they have of each measurement, and how many points of each field.
//!
//! As many series prove little where every series is written all the time: a replica that has just joined has them all,
//! and none of what was before. Points are counted up to a moment ago, and no further back than their policy reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::influxql::{quote_ident, quote_string};
use crate::topology::Replica;

use super::{influx, schema, stored};

/// Counting the points of one retention policy reads all of them.
const COUNT_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Differences that are named.
const NAMED_MAX: usize = 5;

type Counts = BTreeMap<String, u64>;

/// How two replicas differ, in words; `None` if they do not. `until`: points before it are counted, RFC 3339; `None`: no
/// points.
pub fn difference(own: &Replica, peer: &Replica, until: Option<&str>) -> Result<Option<String>, String> {
    let told = |what: &str, named: String| format!("{what} of {} and {} differ: {named}", own.name, peer.name);
    let (mine, theirs) = both(own, peer, series)?;
    if let Some(named) = different(&mine, (&theirs, &theirs)) {
        return Ok(Some(told("series", named)));
    }
    let Some(until) = until else { return Ok(None) };
    let count = |replica: &Replica| points(replica, until);
    let (mine, theirs) = both(own, peer, count)?;
    if different(&mine, (&theirs, &theirs)).is_none() {
        return Ok(None);
    }
    // Points of the past may come all the time: then what the peer has before and after decides.
    let before = ask(peer, count)?;
    let mine = ask(own, count)?;
    let after = ask(peer, count)?;
    Ok(different(&mine, (&before, &after)).map(|named| told("points", named)))
}

/// Asks both at the same time.
fn both(
    own: &Replica,
    peer: &Replica,
    count: impl Fn(&Replica) -> Result<Counts, String> + Copy + Send + Sync,
) -> Result<(Counts, Counts), String> {
    std::thread::scope(|scope| {
        let mine = scope.spawn(|| ask(own, count));
        let theirs = ask(peer, count)?;
        let mine = mine.join().unwrap_or(Err("panicked".to_owned()))?;
        Ok((mine, theirs))
    })
}

fn ask(replica: &Replica, count: impl Fn(&Replica) -> Result<Counts, String>) -> Result<Counts, String> {
    count(replica).map_err(|error| format!("{} ({}) cannot be asked: {error}", replica.name, replica.url))
}

/// How many series there are, by `db.measurement`.
fn series(replica: &Replica) -> Result<Counts, String> {
    let mut all = Counts::new();
    for db in stored::databases(replica)? {
        let counts = stored::cardinality(replica, &db)?;
        all.extend(counts.into_iter().map(|(name, count)| (format!("{db}.{name}"), count)));
    }
    Ok(all)
}

/// How many points there are, by `db.policy.measurement field`.
fn points(replica: &Replica, until: &str) -> Result<Counts, String> {
    let mut all = Counts::new();
    let until = quote_string(until);
    for (db, database) in schema::read(replica)?.databases {
        for (policy, kept) in database.policies {
            let since = kept.reach().map(|reach| format!(" AND time >= {until} - {reach}")).unwrap_or_default();
            let statement = format!("SELECT count(*) FROM {}./.*/ WHERE time < {until}{since}", quote_ident(&policy));
            for series in influx::query_within(replica, &db, &statement, COUNT_TIMEOUT)? {
                for (column, value) in series.first_row() {
                    let Some(count) = value.as_u64().filter(|_| column != "time") else { continue };
                    let field = column.strip_prefix("count_").unwrap_or(column);
                    all.insert(format!("{db}.{policy}.{} {field}", series.name), count);
                }
            }
        }
    }
    Ok(all)
}

/// What is not between the peer's two counts, the first few by name.
fn different(mine: &Counts, (before, after): (&Counts, &Counts)) -> Option<String> {
    let names: BTreeSet<&String> = mine.keys().chain(before.keys()).chain(after.keys()).collect();
    let count = |all: &Counts, name: &String| all.get(name).copied().unwrap_or(0);
    let outside = |name: &&String| {
        let (low, high) = (count(before, name).min(count(after, name)), count(before, name).max(count(after, name)));
        !(low..=high).contains(&count(mine, name))
    };
    let different: Vec<&String> = names.into_iter().filter(outside).collect();
    let named = different.iter().take(NAMED_MAX);
    let named: Vec<String> =
        named.map(|name| format!("{name} {} and {}", count(mine, name), count(after, name))).collect();
    let more = match different.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    (!named.is_empty()).then(|| format!("{}{more}", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_alike_is_named() {
        let counts = |list: &[(&str, u64)]| -> Counts {
            list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        let mine = counts(&[("a", 1), ("b", 2)]);
        assert_eq!(different(&mine, (&mine, &mine)), None);
        let other = counts(&[("b", 3), ("c", 4)]);
        let text = different(&mine, (&other, &other));
        assert_eq!(text.as_deref(), Some("a 1 and 0, b 2 and 3, c 0 and 4"));
        // Between the two it may have been as many.
        let (fewer, more) = (counts(&[("a", 1), ("b", 1)]), counts(&[("a", 1), ("b", 4)]));
        assert_eq!(different(&mine, (&fewer, &more)), None);
        assert_eq!(different(&more, (&fewer, &mine)).as_deref(), Some("b 4 and 2"));
        let many: Counts = (0..7).map(|n| (n.to_string(), 1)).collect();
        assert!(
            different(&many, (&Counts::new(), &Counts::new()))
                .is_some_and(|text| text.ends_with("4 1 and 0, and 2 more"))
        );
    }
}
