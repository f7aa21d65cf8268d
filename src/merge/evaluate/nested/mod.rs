//! A SELECT over subqueries, or over measurements of one name -> what one InfluxDB with all rows answers.
//!
//! THE STORY: each SELECT of the statement is a `level`, with an evaluation of its own. The rows of its measurements come of
//! the groups, those of its subqueries of the levels inside. A level hands on a stream of rows, of which each has its tags
//! (`stream`): in InfluxDB a subquery is grouped by what the statements around it are grouped by too, while its rows come in
//! the order of the outermost ones. So rows of several series of the subquery take turns, and LIMIT, fill() and the joining
//! of several calls (`calls`) begin anew wherever the tags change, as they do there. WHERE of the level around is applied to
//! the stream (`filter`). Where the groups need not know of each other, they make the points of a level's calls (`reads`).
//!
//! For each series of the answer all of this is done once, with the rows that have its name and its tags; where it shows that
//! InfluxDB has one stream of all series (`order`), once for all of them (`together`). Used by `query`; `plan` settles names
//! and types, and says which groups have the measurements. Pure.

mod calls;
mod ends;
mod level;
mod order;
mod present;
mod reads;
mod stream;
#[cfg(test)]
mod tests;
mod together;

use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::Select;
use crate::influxql::range::TimeRange;
use crate::merge::results::{Series, Value};

use super::Stop;
use super::rows::{Rows, share_a_time};
use level::{Given, Inputs, Level};
pub use order::Ended;
pub use present::{Fields, Known};
pub use reads::Reads;
use reads::{best_keys, takes_end};
use stream::At;
use together::Together;

/// A statement that is ready for rows.
pub struct Nested {
    top: Level,
    /// By input: one for each reading SELECT, and one more for each time that a measurement's name is there again in it.
    needs: Vec<Option<Select>>,
    rows_max: usize,
}

/// A series of the answer: its name, the tags' values, and of each input the rows that belong to it.
pub struct Group {
    name: String,
    values: Vec<String>,
    members: Vec<Vec<usize>>,
    /// There are others.
    several: bool,
}

impl Nested {
    /// Names have their types in `select`, wildcards are written out, `now()` is a literal and GROUP BY time has its upper
    /// bound. `apart` says for each input which tags a SELECT must be grouped by for the groups to answer each for its own.
    /// `writes`: its rows become points.
    ///
    /// # Errors
    /// Why it cannot be told exactly.
    pub fn new(
        select: &Select,
        apart: &[BTreeSet<String>],
        known: Known<'_>,
        reads: Reads,
        rows_max: usize,
        writes: bool,
    ) -> Result<Nested, Stop> {
        let mut inputs = Inputs { met: 0, known };
        let mut top = Level::new(select, None, rows_max, writes, &mut inputs)?;
        let inputs = inputs.met;
        if inputs != apart.len() {
            return Err(Stop::Refused("a SELECT whose measurements are counted in two ways".to_owned()));
        }
        let mut needs = vec![None; inputs];
        let mapped = top.mapped();
        let reads = if top.mixes_any(&[]) { Reads::Rows } else { reads };
        top.decide(&[(TimeRange::default(), Vec::new())], mapped, apart, reads, &mut needs);
        Ok(Nested { top, needs, rows_max })
    }

    /// What has ended before the first series of the answer.
    pub fn begin(&self) -> Ended {
        Ended::new(self.top.mixes_any(&[]))
    }

    /// InfluxDB's own error about what a call is of, which it tells once there is a series of that. Else nothing comes of it.
    pub fn wrong(&self) -> Option<&String> {
        self.top.wrong()
    }

    /// What has to be read for each input, without its sources: reading SELECTs in the order of the text, from the outside.
    /// `None`: nothing, none of its fields would be looked at.
    pub fn needs(&self) -> &[Option<Select>] {
        &self.needs
    }

    /// The inputs of which it matters where storage shards begin: LIMIT and OFFSET of raw rows count in each.
    pub fn cut_in_shards(&self) -> BTreeSet<usize> {
        let mut inputs = BTreeSet::new();
        self.top.visit(&mut |level| {
            if level.cuts_in_shards() {
                inputs.extend(level.measurements());
            }
        });
        inputs
    }

    /// The inputs of which it may matter too: where several points are the first or the last (`ends`).
    pub fn ends_in_shards(&self) -> BTreeSet<usize> {
        let mut inputs = BTreeSet::new();
        self.top.visit(&mut |level| {
            if level.takes_ends() && level.evaluation.calls.iter().any(takes_end) {
                inputs.extend(level.measurements());
            }
        });
        inputs
    }

    /// The inputs of which it matters as well, of these rows: where it shows in which order several series' come at one time,
    /// and where a sum runs over.
    pub fn ordered_in_shards(&self, rows: &[Vec<Rows>]) -> BTreeSet<usize> {
        let several = |input: &usize| {
            let mut names: BTreeMap<&str, Vec<&Rows>> = BTreeMap::new();
            rows[*input].iter().for_each(|rows| names.entry(&rows.name).or_default().push(rows));
            names.values().any(|series| share_a_time(series))
        };
        let mut inputs = BTreeSet::new();
        self.top.visit(&mut |level| {
            if !level.pushed && level.evaluation.shows_order() {
                inputs.extend(level.measurements().filter(several));
            }
            if !level.pushed {
                let given = |field| level.given(field);
                let adds = |input: &usize| rows[*input].iter().any(|rows| level.evaluation.adds_in_shards(rows, given));
                inputs.extend(level.measurements().filter(adds));
            }
        });
        inputs
    }

    /// Why it cannot be told, if it hangs on storage shards that nobody knows.
    pub fn adds_in_unknown(&self, rows: &[Vec<Rows>]) -> Option<String> {
        let mut found = None;
        self.top.visit(&mut |level| {
            let mut rows = level.measurements().filter(|_| !level.pushed).flat_map(|input| &rows[input]);
            found = found.take().or_else(|| {
                rows.find_map(|rows| level.evaluation.adds_in_unknown(rows, false, |field| level.given(field)))
            });
        });
        found
    }

    /// Looks at what the groups have given, by input: some of it may show which sources are there.
    pub fn see(&mut self, rows: &[Vec<Rows>]) {
        self.top.see(rows);
    }

    /// Whether of these rows, which are the first or last of each series, InfluxDB's own cannot be told: then all rows are needed
    /// ([`Reads::Rows`]).
    pub fn lacks_rows(&self, rows: &[Vec<Rows>]) -> bool {
        let mut lacks = false;
        self.top.visit(&mut |level| lacks |= level.lacks_rows(rows));
        lacks
    }

    /// From now on times are told as texts in the zone of the outermost tz(), if there is one.
    pub fn tell_zone(&mut self) {
        self.top.evaluation.tell_zone();
    }

    /// Sorts rows by series of the answer, in InfluxDB's order. `rows` are by input.
    pub fn groups(&self, rows: &[Vec<Rows>]) -> Vec<Group> {
        let keys = &self.top.keys;
        let mut found: BTreeMap<(String, Vec<String>), Vec<Vec<usize>>> = BTreeMap::new();
        for (input, series) in rows.iter().enumerate() {
            for (number, series) in series.iter().enumerate() {
                let values = keys.iter().map(|key| series.tag(key).to_owned()).collect();
                let members =
                    found.entry((series.name.clone(), values)).or_insert_with(|| vec![Vec::new(); rows.len()]);
                members[input].push(number);
            }
        }
        let (ascending, several) = (self.top.ascending(), found.len() > 1);
        let group = |((name, values), mut members): (_, Vec<Vec<usize>>)| {
            for (input, members) in members.iter_mut().enumerate() {
                members.sort_by_cached_key(|number| rows[input][*number].key());
                if !ascending {
                    members.reverse();
                }
            }
            Group { name, values, members, several }
        };
        let mut groups: Vec<Group> = found.into_iter().map(group).collect();
        if !ascending {
            groups.reverse();
        }
        groups
    }

    /// A series of the answer, those before it made already; nothing: it has no rows. Several: it is written, and its points have
    /// tags of their own.
    ///
    /// # Errors
    /// There are too many rows.
    pub fn series(&self, rows: &[Vec<Rows>], group: &Group, ended: &Ended) -> Result<Vec<Series>, Stop> {
        ended.rewind();
        let made = self.top.run(&given(rows, group, ended), TimeRange::default(), &[])?;
        if made.rows.len() > self.rows_max {
            return Err(Stop::Rows(made.rows.len()));
        }
        let mut series: Vec<Series> = Vec::new();
        for row in made.rows {
            match series.last_mut() {
                Some(last) if self.goes_on(last, &row) => last.values.push(self.row(row)),
                _ => series.push(self.begun(group, row)),
            }
        }
        Ok(series)
    }

    /// All series of the answer, where one by one is not enough ([`Ended::wants_all`]).
    ///
    /// # Errors
    /// There are too many rows, or what is asked for cannot be told exactly of these.
    pub fn all_series(&self, rows: &[Vec<Rows>], groups: &[Group]) -> Result<Vec<Series>, Stop> {
        let ended = Ended::default();
        let names: BTreeSet<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        let place = |(number, group): (usize, &Group)| At {
            name: names.range(..group.name.as_str()).count() as u32,
            series: number as u32,
        };
        let of = |(number, group): (usize, &'_ Group)| (place((number, group)), given(rows, group, &ended));
        let all = groups.iter().enumerate().map(of);
        let all =
            Together { series: all.zip(groups).map(|((at, given), group)| (at, group.name.as_str(), given)).collect() };
        let made = self.top.run_together(&all, TimeRange::default(), &[])?;
        if made.rows.len() > self.rows_max {
            return Err(Stop::Rows(made.rows.len()));
        }
        let mut series: Vec<(At, Series)> = Vec::new();
        let (mut ungiven, mut paused) = (false, false);
        for row in made.rows {
            // InfluxDB gives out what it has, and asks once more.
            let was_ungiven = std::mem::replace(&mut ungiven, !row.is_silence());
            match series.last_mut() {
                _ if row.is_silence() && !was_ungiven => break,
                _ if row.is_silence() => paused = true,
                Some((at, last)) if *at == row.at && self.goes_on(last, &row) => {
                    last.pauses.extend(std::mem::take(&mut paused).then_some(last.values.len()));
                    last.values.push(self.row(row));
                }
                _ => {
                    let at = row.at;
                    let pauses = Vec::from_iter(std::mem::take(&mut paused).then_some(0));
                    series.push((at, Series { pauses, ..self.begun(&groups[at.series as usize], row) }));
                }
            }
        }
        Ok(series.into_iter().map(|(_, series)| series).collect())
    }

    fn row(&self, row: stream::Row) -> Vec<Value> {
        let shown = |value: Value| match value {
            Value::Float(number) if number.is_nan() => Value::Null,
            value => value,
        };
        std::iter::once(self.top.evaluation.told(row.time)).chain(row.values.into_iter().map(shown)).collect()
    }

    /// A series with its first row.
    fn begun(&self, group: &Group, row: stream::Row) -> Series {
        let tags = match self.kept_keys() {
            Some(keys) => keys.into_iter().zip(row.tags.iter().cloned()).collect(),
            None => self.top.keys.iter().cloned().zip(group.values.iter().cloned()).collect(),
        };
        let columns = self.top.evaluation.columns.clone();
        Series { name: group.name.clone(), tags, columns, values: vec![self.row(row)], ..Series::default() }
    }

    /// Whether one more row of the same series of the answer is written with the same tags.
    fn goes_on(&self, series: &Series, row: &stream::Row) -> bool {
        self.top.evaluation.keeping_call().is_none() || series.tags.iter().map(|(_, value)| value).eq(row.tags.iter())
    }

    /// What the tags of a row are values of, if a point that is written keeps its own.
    fn kept_keys(&self) -> Option<Vec<String>> {
        self.top.evaluation.keeping_call().map(|call| best_keys(call, &self.top.keys))
    }
}

/// What of the rows belongs to one series of the answer.
fn given<'a>(rows: &'a [Vec<Rows>], group: &Group, ended: &'a Ended) -> Given<'a> {
    let of = |(input, members): (usize, &Vec<usize>)| members.iter().map(|number| &rows[input][*number]).collect();
    Given { rows: group.members.iter().enumerate().map(of).collect(), several: group.several, ended }
}
