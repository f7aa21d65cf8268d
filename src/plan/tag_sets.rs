//! The tag sets of a measurement that SLIMIT and SOFFSET let through, in each storage shard of InfluxDB.
//!
//! A *tag set* is the values that a series has of the tags of GROUP BY. As `LimitTagSets` of InfluxDB has it, those of a
//! storage shard are counted in the order of their keys: the names of the tags that the series have, then their values,
//! joined by `|` (`MakeTagsKey`), bytewise. Sets of one key, as `a|b`, `c` beside `a`, `b|c`, count as one. SOFFSET without
//! SLIMIT lets nothing through.
//!
//! They are made of what the groups list (`slimit`): each says the first `SLIMIT + SOFFSET` that it has of a storage shard.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::range::TimeRange;

/// The values of GROUP BY's tags, which are sorted by name; a missing tag's is empty.
pub type Values = Vec<String>;

/// What is let through of one measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagSets {
    /// The tags of GROUP BY, sorted.
    dimensions: Vec<String>,
    /// Each with the storage shards that let it through, in order of time; at least one.
    through: BTreeMap<Values, Vec<TimeRange>>,
    parted: bool,
}

/// What the groups have listed of one storage shard.
#[derive(Debug)]
pub struct Listed {
    pub shard: TimeRange,
    pub sets: BTreeSet<Values>,
}

impl TagSets {
    /// Cuts what was listed, which is in order of time, storage shard by storage shard.
    pub fn new(dimensions: &[String], slimit: u64, soffset: u64, listed: &[Listed]) -> TagSets {
        let keyed: Vec<BTreeMap<String, Vec<&Values>>> =
            listed.iter().map(|listed| by_key(dimensions, &listed.sets)).collect();
        let cuts: Vec<Cut<'_>> = keyed.iter().map(|keyed| Cut::new(keyed, slimit, soffset)).collect();
        let keys: BTreeSet<&str> = cuts.iter().flat_map(|cut| &cut.through).copied().collect();
        let parted = keys.iter().any(|key| cuts.iter().any(|cut| cut.may_cut(key)));
        let mut through: BTreeMap<Values, Vec<TimeRange>> = BTreeMap::new();
        for ((listed, keyed), cut) in listed.iter().zip(&keyed).zip(&cuts) {
            for values in cut.through.iter().filter_map(|key| keyed.get(*key)).flatten() {
                through.entry((*values).clone()).or_default().push(listed.shard);
            }
        }
        TagSets { dimensions: dimensions.to_vec(), through, parted }
    }

    /// Whether some set is let through in one storage shard and may be cut off in another: then it hangs on a row's time.
    pub fn is_parted(&self) -> bool {
        self.parted
    }

    pub fn is_empty(&self) -> bool {
        self.through.is_empty()
    }

    /// All that are let through anywhere.
    pub fn all(&self) -> impl Iterator<Item = &Values> {
        self.through.keys()
    }

    /// The storage shards that let a series of these tags through, in order of time.
    pub fn shards(&self, tags: &[(String, String)]) -> &[TimeRange] {
        let value = |key: &String| tags.iter().find(|(own, _)| own == key).map_or("", |(_, value)| value).to_owned();
        let values: Values = self.dimensions.iter().map(value).collect();
        self.through.get(&values).map_or(&[], Vec::as_slice)
    }

    /// Whether they let a row of this time through.
    pub fn lets_through(shards: &[TimeRange], time: i64) -> bool {
        let behind = shards.partition_point(|shard| shard.start <= time);
        behind.checked_sub(1).is_some_and(|at| shards[at].contains(time))
    }
}

/// The keys of one storage shard.
struct Cut<'a> {
    through: BTreeSet<&'a str>,
    /// Listed, and not let through.
    off: BTreeSet<&'a str>,
    /// Behind this one there may be keys that nobody has listed.
    listed_to: Option<&'a str>,
}

impl<'a> Cut<'a> {
    fn new(keyed: &'a BTreeMap<String, Vec<&Values>>, slimit: u64, soffset: u64) -> Cut<'a> {
        let keys: Vec<&str> = keyed.keys().map(String::as_str).collect();
        let (slimit, soffset) = (count(slimit), count(soffset));
        let asked = slimit.saturating_add(soffset);
        let (first, end) = (soffset.min(keys.len()), asked.min(keys.len()));
        Cut {
            through: keys[first..end].iter().copied().collect(),
            off: keys[..first].iter().chain(&keys[end..]).copied().collect(),
            listed_to: if keys.len() < asked { None } else { end.checked_sub(1).map(|last| keys[last]) },
        }
    }

    fn may_cut(&self, key: &str) -> bool {
        let unknown = !self.through.contains(key) && self.listed_to.is_some_and(|last| key > last);
        unknown || self.off.contains(key)
    }
}

fn by_key<'a>(dimensions: &[String], sets: &'a BTreeSet<Values>) -> BTreeMap<String, Vec<&'a Values>> {
    let mut keyed: BTreeMap<String, Vec<&Values>> = BTreeMap::new();
    sets.iter().for_each(|values| keyed.entry(key(dimensions, values)).or_default().push(values));
    keyed
}

/// What InfluxDB orders and tells tag sets by.
fn key(dimensions: &[String], values: &Values) -> String {
    let present = || dimensions.iter().zip(values).filter(|(_, value)| !value.is_empty());
    let names = present().map(|(name, _)| name.as_str());
    names.chain(present().map(|(_, value)| value.as_str())).collect::<Vec<_>>().join("|")
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dimensions() -> Vec<String> {
        ["host", "r"].map(str::to_owned).to_vec()
    }

    fn values(host: &str, r: &str) -> Values {
        vec![host.to_owned(), r.to_owned()]
    }

    fn shard(number: i64) -> TimeRange {
        TimeRange { start: number * 100, end: number * 100 + 99 }
    }

    /// Seen of influxd 1.6.7: one set after the other, by SOFFSET.
    #[test]
    fn sets_are_counted_in_the_order_of_their_keys() {
        let order: [&[(&str, &str)]; 8] = [
            &[("", "")],
            &[("h9", "")],
            &[("r", "")],
            &[("a", "b|c"), ("a|b", "c")],
            &[("h0", "b")],
            &[("h1", "z")],
            &[("zz", "")],
            &[("", "a")],
        ];
        let sets: BTreeSet<Values> = order.concat().iter().map(|(host, r)| values(host, r)).collect();
        let listed = [Listed { shard: shard(0), sets }];
        for (soffset, expected) in order.iter().enumerate() {
            let cut = TagSets::new(&dimensions(), 1, soffset as u64, &listed);
            let expected: BTreeSet<Values> = expected.iter().map(|(host, r)| values(host, r)).collect();
            assert_eq!(cut.all().cloned().collect::<BTreeSet<_>>(), expected, "SOFFSET {soffset}");
        }
        for (slimit, soffset) in [(1, 8), (5, 100), (0, 1), (u64::MAX, u64::MAX)] {
            assert!(TagSets::new(&dimensions(), slimit, soffset, &listed).is_empty(), "{slimit} {soffset}");
        }
        assert_eq!(TagSets::new(&dimensions(), u64::MAX, 0, &listed).all().count(), 9);
    }

    #[test]
    fn a_series_may_be_let_through_in_one_storage_shard_alone() {
        let sets = |hosts: &[&str]| hosts.iter().map(|host| values(host, "")).collect::<BTreeSet<Values>>();
        let listed = |shards: &[&[&str]]| {
            let listed = |(number, hosts): (usize, &&[&str])| Listed { shard: shard(number as i64), sets: sets(hosts) };
            TagSets::new(&dimensions(), 2, 0, &shards.iter().enumerate().map(listed).collect::<Vec<_>>())
        };
        let tags = |host: &str| [("host".to_owned(), host.to_owned()), ("x".to_owned(), "y".to_owned())];
        let cut = listed(&[&["a", "b", "c"], &["b", "c"]]);
        assert!(cut.is_parted(), "c is behind the two of the first");
        assert_eq!(cut.shards(&tags("b")), [shard(0), shard(1)]);
        assert_eq!(cut.shards(&tags("c")), [shard(1)]);
        assert_eq!(cut.shards(&tags("d")), []);
        for (time, through) in [(0, false), (99, false), (100, true), (199, true), (200, false)] {
            assert_eq!(TagSets::lets_through(cut.shards(&tags("c")), time), through, "{time}");
        }
        assert!(!listed(&[&["a", "b", "c"], &["a", "b"]]).is_parted(), "a and b are the first of both");
        assert!(!listed(&[&["a", "b"], &["b"]]).is_parted(), "a is not in the second, which is listed whole");
        assert!(listed(&[&["a", "b"], &["b", "c"]]).is_parted(), "what comes behind b was not listed");
    }

    proptest! {
        /// Of the first that each group lists comes what all would give, and nothing that is cut off is taken for absent.
        #[test]
        fn the_first_of_each_group_are_enough(
            shards in prop::collection::vec(prop::collection::btree_map("[ab|]{0,2}", 0_usize..3, 0..9), 1..4),
            slimit in 0_u64..4,
            soffset in 0_u64..4,
        ) {
            let names = [dimensions()[0].clone()];
            let all = |listed: &BTreeMap<String, usize>| listed.keys().map(|host| vec![host.clone()]).collect();
            let first = |listed: &BTreeMap<String, usize>| {
                let of = |group: usize| {
                    let mut own: Vec<&String> =
                        listed.iter().filter(|(_, owner)| **owner == group).map(|(host, _)| host).collect();
                    own.sort_by_key(|host| key(&names, &vec![(*host).clone()]));
                    own.into_iter().take((slimit + soffset) as usize).map(|host| vec![host.clone()]).collect::<Vec<_>>()
                };
                (0..3).flat_map(of).collect()
            };
            let cut = |sets: &dyn Fn(&BTreeMap<String, usize>) -> BTreeSet<Values>| {
                let listed = |(number, hosts)| Listed { shard: shard(number as i64), sets: sets(hosts) };
                TagSets::new(&names, slimit, soffset, &shards.iter().enumerate().map(listed).collect::<Vec<_>>())
            };
            let (whole, seen) = (cut(&all), cut(&first));
            prop_assert_eq!(&whole.through, &seen.through);
            prop_assert_eq!(seen.parted, whole.parted);
            let cut_off = |(values, let_through): (&Values, &Vec<TimeRange>)| {
                let there = shards.iter().filter(|hosts| hosts.contains_key(&values[0])).count();
                there > let_through.len()
            };
            prop_assert!(seen.parted || !whole.through.iter().any(cut_off));
        }
    }
}
