//! A replica held against a peer: how many series they have of each measurement, and how many points of each field.
//!
//! As many series prove little where every series is written all the time: a replica that has just joined has them all,
//! and none of what was before. Points are counted up to a moment ago, and no further back than their policy reaches.
//! Counting reads every point: it goes piece by piece in time, a policy's shards being the pieces, newest first, so that
//! the first piece that differs ends it, and whoever waits hears how far it is. It has a deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::influxql::{quote_ident, quote_string};
use crate::topology::Replica;

use super::schema::Schema;
use super::{influx, schema, stored};

/// Differences that are named.
const NAMED_MAX: usize = 5;
/// Of one policy; a piece spans several shards where there are more.
const PIECES_MAX: usize = 200;
/// What came between two questions is no difference: so often it is looked again.
const LOOKS: usize = 3;
const PAUSE: Duration = Duration::from_millis(500);
/// Between two lines that tell how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(5);

type Counts = BTreeMap<String, u64>;

/// How points are counted.
#[derive(Clone)]
pub struct Counting {
    /// Points before it, RFC 3339.
    pub until: String,
    pub deadline: Instant,
}

/// How two replicas differ.
#[derive(Debug, PartialEq, Eq)]
pub enum Difference {
    /// In words.
    Found(String),
    /// The deadline came first; how far it was, in words.
    Unknown(String),
}

/// `None` if they do not differ; without `counting` series are counted and no points.
pub fn difference(own: &Replica, peer: &Replica, counting: Option<&Counting>) -> Result<Option<Difference>, String> {
    let told = |what: &str, named: String| {
        Difference::Found(format!("{what} of {} and {} differ: {named}", own.name, peer.name))
    };
    let named = settled(|| {
        let (mine, theirs) = both(own, peer, series)?;
        Ok(different(&mine, (&theirs, &theirs)))
    })?;
    if let Some(named) = named {
        return Ok(Some(told("series", named)));
    }
    let Some(counting) = counting else { return Ok(None) };
    let pieces = pieces_of(own, peer)?;
    let mut progress = Progress::begin(format!("points of {} and {}", own.name, peer.name), pieces.len());
    for piece in &pieces {
        let count = |replica: &Replica| piece.count(replica, counting);
        let compared = settled(|| {
            let (mine, theirs) = both(own, peer, count)?;
            if different(&mine, (&theirs, &theirs)).is_none() {
                return Ok(None);
            }
            // Points of the past may come all the time: then what the peer has before and after decides.
            let before = ask(peer, count)?;
            let mine = ask(own, count)?;
            let after = ask(peer, count)?;
            Ok(different(&mine, (&before, &after)))
        });
        match compared {
            _ if Instant::now() >= counting.deadline => return Ok(Some(Difference::Unknown(progress.text()))),
            Ok(None) => progress.done(),
            Ok(Some(named)) => return Ok(Some(told("points", named))),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// What `look` finds, if it finds it each time.
fn settled(look: impl Fn() -> Result<Option<String>, String>) -> Result<Option<String>, String> {
    let mut found = look()?;
    for _ in 1..LOOKS {
        if found.is_none() {
            break;
        }
        std::thread::sleep(PAUSE);
        found = look()?;
    }
    Ok(found)
}

/// Asks both at the same time.
fn both<T: Send>(
    own: &Replica,
    peer: &Replica,
    question: impl Fn(&Replica) -> Result<T, String> + Copy + Send + Sync,
) -> Result<(T, T), String> {
    std::thread::scope(|scope| {
        let mine = scope.spawn(|| ask(own, question));
        let theirs = ask(peer, question)?;
        let mine = mine.join().unwrap_or(Err("panicked".to_owned()))?;
        Ok((mine, theirs))
    })
}

fn ask<T>(replica: &Replica, question: impl Fn(&Replica) -> Result<T, String>) -> Result<T, String> {
    question(replica).map_err(|error| format!("{} ({}) cannot be asked: {error}", replica.name, replica.url))
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

/// Some of a policy's time.
struct Piece {
    db: String,
    policy: String,
    /// RFC 3339; absent at the ends, so that all pieces together are all of time.
    from: Option<String>,
    to: Option<String>,
    /// How far back each replica keeps points, by name; one that has no such policy is not in it.
    reach: BTreeMap<String, Option<String>>,
}

/// All that the two hold, newest first.
fn pieces_of(own: &Replica, peer: &Replica) -> Result<Vec<Piece>, String> {
    let (mine, theirs) = both(own, peer, |replica| Ok((schema::read(replica)?, shard_starts(replica)?)))?;
    let mut reach: BTreeMap<(String, String), BTreeMap<String, Option<String>>> = BTreeMap::new();
    for (replica, schema) in [(own, &mine.0), (peer, &theirs.0)] {
        for (db, policy, kept) in policies(schema) {
            reach.entry((db, policy)).or_default().insert(replica.name.clone(), kept);
        }
    }
    let mut starts = mine.1;
    theirs.1.into_iter().for_each(|(policy, more)| starts.entry(policy).or_default().extend(more));
    let pieces = reach.into_iter().flat_map(|(policy, reach)| {
        let times = cut(starts.remove(&policy).unwrap_or_default());
        let (db, policy) = policy;
        times.into_iter().map(move |(from, to)| {
            let (db, policy, reach) = (db.clone(), policy.clone(), reach.clone());
            Piece { db, policy, from, to, reach }
        })
    });
    Ok(pieces.collect())
}

fn policies(schema: &Schema) -> impl Iterator<Item = (String, String, Option<String>)> {
    schema.databases.iter().flat_map(|(db, database)| {
        let policies = database.policies.iter();
        policies.map(move |(policy, kept)| (db.clone(), policy.clone(), kept.reach().map(str::to_owned)))
    })
}

/// When the shards of each database's policies begin.
fn shard_starts(replica: &Replica) -> Result<BTreeMap<(String, String), BTreeSet<String>>, String> {
    let mut starts: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for series in influx::query(replica, "", "SHOW SHARDS")? {
        for [db, policy, start] in series.texts(["database", "retention_policy", "start_time"]) {
            starts.entry((db, policy)).or_default().insert(start);
        }
    }
    Ok(starts)
}

/// All of time, cut at these moments or, where there are too many, at some of them; newest first.
fn cut(moments: BTreeSet<String>) -> Vec<(Option<String>, Option<String>)> {
    let step = moments.len().div_ceil(PIECES_MAX).max(1);
    // Nothing lies before the first.
    let mut moments = moments.into_iter().skip(step).step_by(step);
    let mut pieces = Vec::new();
    let mut from = None;
    loop {
        let to = moments.next();
        pieces.push((from, to.clone()));
        if to.is_none() {
            break;
        }
        from = to;
    }
    pieces.reverse();
    pieces
}

impl Piece {
    /// How many points there are, by `db.policy.measurement field`.
    fn count(&self, replica: &Replica, counting: &Counting) -> Result<Counts, String> {
        let Piece { db, policy, from, to, reach } = self;
        let Some(reach) = reach.get(&replica.name) else { return Ok(Counts::new()) };
        let until = quote_string(&counting.until);
        let mut statement = format!("SELECT count(*) FROM {}./.*/ WHERE time < {until}", quote_ident(policy));
        statement.extend(reach.iter().map(|reach| format!(" AND time >= {until} - {reach}")));
        statement.extend(from.iter().map(|from| format!(" AND time >= {}", quote_string(from))));
        statement.extend(to.iter().map(|to| format!(" AND time < {}", quote_string(to))));
        let left = counting.deadline.saturating_duration_since(Instant::now());
        let mut counts = Counts::new();
        for series in influx::query_within(replica, db, &statement, left.max(Duration::from_millis(1)))? {
            for (column, value) in series.first_row() {
                let Some(count) = value.as_u64().filter(|_| column != "time") else { continue };
                let field = column.strip_prefix("count_").unwrap_or(column);
                counts.insert(format!("{db}.{policy}.{} {field}", series.name), count);
            }
        }
        Ok(counts)
    }
}

/// Tells whoever waits.
struct Progress {
    what: String,
    done: usize,
    all: usize,
    began: Instant,
    told: Instant,
}

impl Progress {
    fn begin(what: String, all: usize) -> Progress {
        let now = Instant::now();
        Progress { what, done: 0, all, began: now, told: now }
    }

    fn text(&self) -> String {
        format!("{} of {} pieces in time are alike", self.done, self.all)
    }

    fn done(&mut self) {
        self.done += 1;
        if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            eprintln!("slotline: {}: {} after {} s", self.what, self.text(), self.began.elapsed().as_secs());
        }
    }
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

    #[test]
    fn time_is_cut_without_a_gap() {
        let moments = |count: usize| (0..count).map(|n| format!("{n:04}")).collect::<BTreeSet<String>>();
        assert_eq!(cut(moments(0)), [(None, None)]);
        assert_eq!(cut(moments(1)), [(None, None)]);
        let at = |n: &str| Some(n.to_owned());
        assert_eq!(cut(moments(3)), [(at("0002"), None), (at("0001"), at("0002")), (None, at("0001"))]);
        for count in [PIECES_MAX, PIECES_MAX + 1, 10 * PIECES_MAX] {
            let pieces = cut(moments(count));
            assert!((PIECES_MAX / 2..=PIECES_MAX).contains(&pieces.len()), "{count}: {}", pieces.len());
            assert!(pieces.windows(2).all(|pair| pair[0].0 == pair[1].1 && pair[0].0.is_some()));
            assert!(pieces[0].1.is_none() && pieces[pieces.len() - 1].0.is_none());
        }
    }
}
