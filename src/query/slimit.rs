//! What SLIMIT and SOFFSET let through of measurements whose series lie in several groups: the groups list the tag sets of
//! each of InfluxDB's storage shards, and the parts of the answer are filtered by them (`plan::slimit` has what is counted).
//!
//! A listing is a row for each of the first `SLIMIT + SOFFSET` sets of a group; all together are as many as
//! `query.series_max` has it, and are held within `query.merge_bytes_max`. Used by `select`.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use crate::influxql::range::TimeRange;
use crate::influxql::{Select, Source};
use crate::merge::results::{Series, Value};
use crate::net::yield_if_needed;
use crate::plan::select::Passed;
use crate::plan::slimit::{Counted, Fields, Limited, Limits};
use crate::plan::sources::name_of;
use crate::plan::tag_sets::{Listed, TagSets, Values};

use super::statement::Context;
use super::{Refusal, fails, lookup, refuse};

/// Storage shards that are listed at once.
const SHARDS_AT_ONCE: usize = 4;

/// What is let through of a SELECT's measurements.
#[derive(Default)]
pub struct Through {
    /// By reader, those of each measurement by its text.
    readers: Vec<(usize, BTreeMap<String, TagSets>)>,
}

/// The same of measurements that are read together, by name.
pub struct Filter<'a>(BTreeMap<&'a str, &'a TagSets>);

impl Through {
    /// Asks the groups for the tag sets; the inner error is InfluxDB's own.
    pub async fn list(context: &Context, limits: &Limits) -> Result<Result<Through, String>, Refusal> {
        let (mut through, mut taken) = (Through::default(), Taken::default());
        for limited in &limits.readers {
            let mut sets = BTreeMap::new();
            // Nothing is let through, whatever there is.
            let counted = limited.measurements.iter().filter(|_| limited.slimit > 0);
            for counted in counted {
                let listed = match list(context, limited, counted, &mut taken).await? {
                    Ok(listed) => listed,
                    Err(error) => return Ok(Err(error)),
                };
                let cut = TagSets::new(&limits.dimensions, limited.slimit, limited.soffset, &listed);
                sets.insert(counted.measurement.to_string(), cut);
            }
            through.readers.push((limited.reader, sets));
        }
        Ok(Ok(through))
    }

    /// Whether nothing at all is let through, of no measurement of the SELECT; it has so many readers.
    pub fn is_empty(&self, readers: usize) -> bool {
        let nothing = |(_, sets): &(usize, BTreeMap<String, TagSets>)| sets.values().all(TagSets::is_empty);
        self.readers.len() == readers && self.readers.iter().all(nothing)
    }

    /// Whether series or rows are let through.
    pub fn passed(&self) -> Passed {
        let mut all = self.readers.iter().flat_map(|(_, sets)| sets.values());
        if all.any(TagSets::is_parted) { Passed::Rows } else { Passed::Series }
    }

    /// The tag sets of each reader's measurements.
    pub fn sets(&self) -> Vec<BTreeSet<Values>> {
        let of =
            |(_, sets): &(usize, BTreeMap<String, TagSets>)| sets.values().flat_map(TagSets::all).cloned().collect();
        self.readers.iter().map(of).collect()
    }

    /// The filter of these measurements of a reader, of which no two have one name; `None`: it is not limited.
    pub fn of<'a>(&'a self, reader: usize, sources: impl Iterator<Item = &'a Source>) -> Option<Filter<'a>> {
        let (_, sets) = self.readers.iter().find(|(own, _)| *own == reader)?;
        let of = |source: &'a Source| match source {
            Source::Measurement(measurement) => Some((name_of(measurement), sets.get(&measurement.to_string())?)),
            Source::Subquery(_) => None,
        };
        Some(Filter(sources.filter_map(of).collect()))
    }
}

impl Filter<'_> {
    /// What is let through of a series, or of more rows of it.
    pub fn pass(&self, mut series: Series, passed: Passed) -> Option<Series> {
        let shards = self.0.get(series.name.as_str()).map_or(&[][..], |sets| sets.shards(&series.tags));
        if shards.is_empty() {
            return None;
        }
        if passed == Passed::Rows {
            series
                .values
                .retain(|row| matches!(row.first(), Some(Value::Time(time)) if TagSets::lets_through(shards, *time)));
        }
        Some(series)
    }
}

/// How much has been listed.
#[derive(Default)]
struct Taken {
    sets: usize,
    bytes: usize,
}

impl Taken {
    fn add(&mut self, context: &Context, values: &Values) -> Result<(), Refusal> {
        let (stats, limits) = (&context.queries.stats, &context.queries.config.query);
        self.sets += 1;
        self.bytes += size_of::<Values>() + values.iter().map(|value| size_of::<String>() + value.len()).sum::<usize>();
        if self.sets > limits.series_max.0 {
            stats.queries_limited_series.add(1);
            let (sets, max) = (self.sets, limits.series_max.0);
            return Err(fails(format!(
                "max-select-series limit exceeded: ({sets}/{max}) (query.series_max): so many are listed for SLIMIT over \
                 several groups, of all storage shards together; ask for less time"
            )));
        }
        if self.bytes > limits.merge_bytes_max.0 {
            stats.queries_limited_bytes.add(1);
            return Err(fails(format!(
                "the series that are listed for SLIMIT over several groups take more than {} bytes (query.merge_bytes_max); \
                 ask for less time or fewer series",
                limits.merge_bytes_max.0
            )));
        }
        Ok(())
    }
}

/// Has the groups tell what the names in WHERE are that are not in what is read, and writes it into limits and SELECT. The
/// inner error is InfluxDB's own.
pub async fn know(context: &Context, limits: &mut Limits, select: &mut Select) -> Result<Result<(), String>, Refusal> {
    let mut fields: BTreeMap<String, Fields> = BTreeMap::new();
    for limited in limits.readers.iter().filter(|limited| !limited.unknown.is_empty()) {
        for Counted { measurement, groups, .. } in &limited.measurements {
            let text = measurement.to_string();
            if fields.contains_key(&text) {
                continue;
            }
            match lookup::fields_anytime(context, groups, measurement).await? {
                Ok(known) => drop(fields.insert(text, known)),
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    limits.know(select, &fields).map_err(|reason| refuse(400, reason))?;
    Ok(Ok(()))
}

/// The tag sets of a measurement in each storage shard that is read, in order of time.
async fn list(
    context: &Context,
    limited: &Limited,
    counted: &Counted,
    taken: &mut Taken,
) -> Result<Result<Vec<Listed>, String>, Refusal> {
    let Counted { measurement, groups, .. } = counted;
    let (db, policy) = lookup::place_of(context, measurement).await?;
    let shards = match lookup::shards(context, groups, &db, &policy).await? {
        Ok(shards) => shards,
        Err(error) => return Ok(Err(error)),
    };
    if lookup::overlap(&shards) {
        return Err(refuse(
            400,
            format!(
                "SLIMIT over several groups is not supported here: InfluxDB counts the series of each storage shard, and those \
                 of the groups do not begin and end at the same times ({db}.{policy})"
            ),
        ));
    }
    let range = limited.range;
    let read: Vec<TimeRange> =
        shards.into_iter().filter(|shard| shard.start <= range.end && range.start <= shard.end).collect();
    let mut listed: Vec<Listed> = Vec::new();
    for shards in read.chunks(SHARDS_AT_ONCE) {
        let asking = shards.iter().flat_map(|shard| groups.iter().map(move |group| (*shard, *group)));
        let asking = asking.map(async |(shard, group)| {
            let text = limited.listing(counted, Some(shard)).to_string();
            (shard, lookup::whole(context, group, text).await)
        });
        for (shard, answer) in join_all(asking).await {
            let answer = answer?;
            if let Some(error) = answer.error {
                return Ok(Err(error));
            }
            let last = match listed.pop() {
                Some(last) if last.shard == shard => last,
                before => {
                    listed.extend(before);
                    Listed { shard, sets: BTreeSet::new() }
                }
            };
            let Listed { shard, mut sets } = last;
            for series in answer.series {
                let values: Values = series.tags.into_iter().map(|(_, value)| value).collect();
                if values.iter().any(|value| value.contains(char::REPLACEMENT_CHARACTER)) {
                    return Err(refuse(
                        400,
                        "SLIMIT over several groups is not supported of tags that are not UTF-8: which are one cannot be told",
                    ));
                }
                taken.add(context, &values)?;
                sets.insert(values);
            }
            listed.push(Listed { shard, sets });
        }
        yield_if_needed().await;
    }
    Ok(Ok(listed))
}
