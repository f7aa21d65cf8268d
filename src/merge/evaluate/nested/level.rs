//! One SELECT of a statement: what it takes over from the statements around it, what it has to read, and its raw rows.
//!
//! As `newIteratorOptionsSubstatement` of InfluxDB has it, a subquery takes over the bounds in time, the order, the tags of
//! GROUP BY beside its own, and GROUP BY time unless it has its own; fill(null) of a subquery is fill(none). The zone of tz()
//! is each SELECT's own.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::influxql::ast::{Call, Cast, Field, Fill, MeasurementName, SortOrder, Source, VarRef};
use crate::influxql::range::{TIME_MAX, TIME_MIN, TimeRange, split_time};
use crate::influxql::{Expr, Measurement, Select};
use crate::merge::evaluate::columns::{is_time, name};
use crate::merge::evaluate::filter::Filter;
use crate::merge::evaluate::functions::{How, function, intervals_before, is_best, tags_of_best};
use crate::merge::evaluate::order::{sorted, sorted_in_shards, starts_of};
use crate::merge::evaluate::rows::Rows;
use crate::merge::evaluate::window::Windows;
use crate::merge::evaluate::{Evaluation, Kind, Place, RUNS_OVER, Stop, named_zone};
use crate::merge::given_up::is_given_up;
use crate::merge::results::Value;

use super::order::Ended;
use super::present::{Known, Present};
use super::reads::best_keys;
use super::stream::{Row, Stream, Tagged, Tags, before, cast, limited, subset};

/// A SELECT, ready for rows.
pub struct Level {
    /// Of its columns and calls; without fill(), LIMIT and the tags of GROUP BY, which are told here.
    pub evaluation: Evaluation,
    /// The tags of its own GROUP BY, sorted. Of the outermost one: those of the answer's series.
    pub keys: Vec<String>,
    pub fill: Fill,
    pub limit: usize,
    pub offset: usize,
    /// Its own bounds in time.
    range: TimeRange,
    /// The rest of WHERE.
    pub condition: Option<Expr>,
    /// The same for rows of subqueries.
    filter: Option<Filter>,
    /// What statements around can name, and the column that it is.
    pub names: Vec<(String, usize)>,
    pub inputs: Vec<Input>,
    /// Its sources as they are written.
    pub sources: Vec<SourceAt>,
    /// Names that mean tags, where they are columns like others since there are subqueries.
    tag_names: BTreeSet<String>,
    /// GROUP BY time, its own or taken over.
    pub interval: Option<Expr>,
    /// The groups make its calls' points.
    pub pushed: bool,
    /// The groups are asked for the first or last row of each series: the tags by which these are put together.
    pub end_keys: Option<Vec<String>>,
    /// Tags of the outermost GROUP BY.
    pub outermost: Vec<String>,
    /// How many these are as they are written: one may be there twice. InfluxDB holds their number against that of the tags that
    /// a level is grouped by ([`Level::is_apart`]).
    written: usize,
    pub present: Present,
    /// InfluxDB's own error about a call, once there is a series of it. Else nothing comes of that.
    wrong: Option<String>,
}

/// The inputs, as SELECTs are met that read them.
pub struct Inputs<'a> {
    pub met: usize,
    pub known: Known<'a>,
}

/// What the groups have given, by input: the rows of one series of the answer.
pub struct Given<'a> {
    pub rows: Vec<Vec<&'a Rows>>,
    /// The answer has series beside this one.
    pub several: bool,
    pub ended: &'a Ended,
}

/// A source: its input, and of a measurement the name.
pub struct SourceAt {
    pub input: usize,
    pub name: Option<String>,
    /// It is merged with the one before it first, since one regular expression means both.
    also: bool,
}

/// Where rows come from.
pub enum Input {
    /// Measurements of the groups, by number.
    Measurements(usize),
    Subquery(Box<Level>),
}

/// A source that is merged with others.
pub enum Merged<'a> {
    /// Measurements by their names, and the number of the input.
    Measurements(Vec<(&'a str, usize)>),
    Subquery(&'a Level),
}

impl<'a> Given<'a> {
    /// The rows of measurements.
    pub fn of(&self, names: &[(&str, usize)]) -> Vec<&'a Rows> {
        let rows = names.iter().map(|(name, input)| (name, &self.rows[*input]));
        rows.flat_map(|(name, rows)| rows.iter().copied().filter(move |rows| rows.name == **name)).collect()
    }
}

impl Level {
    /// `around`: the SELECT that it stands in. `inputs` counts. `writes`: its rows become points.
    pub fn new(
        select: &Select,
        around: Option<&Level>,
        rows_max: usize,
        writes: bool,
        inputs: &mut Inputs<'_>,
    ) -> Result<Level, Stop> {
        let zone = named_zone(select)?;
        let (rest, range) = match &select.condition {
            Some(condition) => split_time(condition, zone).map_err(Stop::Refused)?,
            None => (None, TimeRange::default()),
        };
        if range.runs_over() {
            return Err(Stop::Refused(RUNS_OVER.to_owned()));
        }
        let keys = keys(select)?;
        let over_subqueries = select.sources.iter().any(|source| matches!(source, Source::Subquery(_)));
        let interval = own_interval(select).cloned().or_else(|| around.and_then(|around| around.interval.clone()));
        let order = around.map_or(select.order, |around| around.evaluation_order());
        let mut effective = Select {
            sources: Vec::new(),
            condition: None,
            group_by: interval.iter().cloned().collect(),
            fill: Fill::None,
            order,
            limit: 0,
            offset: 0,
            ..select.clone()
        };
        let mut tag_names = BTreeSet::new();
        if over_subqueries {
            let texts = texts(&effective.fields);
            tags_are_texts(&mut effective.fields, &mut tag_names);
            let reads = select.sources.iter().any(|source| matches!(source, Source::Measurement(_)));
            if let (Some(name), true) = (texts.intersection(&tag_names).next(), reads) {
                return Err(Stop::Refused(format!("{name:?}, which is a tag, beside a subquery's column of texts,")));
            }
        }
        let mut evaluation = Evaluation::read(&effective, rows_max, writes)?;
        evaluation.nested = over_subqueries;
        let raw = !effective.fields.iter().any(|field| calls(&field.expr));
        let mut level = Level {
            present: Present::new(rest.as_ref(), inputs.met, inputs.known),
            fill: if around.is_some() && !raw && select.fill == Fill::Null { Fill::None } else { select.fill },
            limit: usize::try_from(select.limit).unwrap_or(usize::MAX),
            offset: usize::try_from(select.offset).unwrap_or(usize::MAX),
            filter: rest.as_ref().filter(|_| over_subqueries).map(Filter::new).transpose()?,
            names: names(&select.fields),
            outermost: around.map_or_else(|| keys.clone(), |around| around.outermost.clone()),
            written: around.map_or_else(|| tags_written(select), |around| around.written),
            condition: rest,
            inputs: Vec::new(),
            sources: Vec::new(),
            evaluation,
            keys,
            range,
            tag_names,
            interval,
            pushed: false,
            end_keys: None,
            wrong: None,
        };
        level.inputs = level.read_inputs(select, rows_max, inputs)?;
        level.sources = level.read_sources(select);
        let wrong: Result<Vec<Option<String>>, Stop> =
            level.evaluation.calls.iter().map(|call| level.wrong_call(call)).collect();
        level.wrong = wrong?.into_iter().flatten().next();
        Ok(level)
    }

    /// What is wrong with a call of its own. What the one inside does not take of its sources has no wrong type.
    fn wrong_call(&self, call: &Call) -> Result<Option<String>, Stop> {
        match (self.evaluation.check_call(call), call.args.first()) {
            (Err(Stop::Wrong(error)), Some(Expr::Call(inner))) if self.evaluation.check_call(inner).is_ok() => {
                Ok((!self.first_is_none(inner)?).then_some(error))
            }
            (Err(Stop::Wrong(error)), _) => Ok(Some(error)),
            (checked, _) => checked.map(|_| None),
        }
    }

    /// What is wrong with it, or first with what it reads.
    pub fn wrong(&self) -> Option<&String> {
        let subqueries = self.inputs.iter().filter_map(|input| match input {
            Input::Subquery(inner) => Some(inner),
            Input::Measurements(_) => None,
        });
        let read = subqueries.filter(|inner| self.reads(inner)).find_map(|inner| inner.wrong());
        read.or(self.wrong.as_ref())
    }

    /// Whether InfluxDB looks into a subquery: for a call it does if its name is there.
    fn reads(&self, inner: &Level) -> bool {
        match self.evaluation.calls.as_slice() {
            [] => self.evaluation.knows_a_ref(),
            calls => calls.iter().any(|call| inner.knows(call)),
        }
    }

    /// Whether statements around can name it.
    pub fn has(&self, var: &VarRef) -> bool {
        self.names.iter().any(|(name, _)| *name == var.name) || self.keys.contains(&var.name)
    }

    /// The same of the name that a call, or the innermost in it, is of.
    pub fn knows(&self, call: &Call) -> bool {
        argument(call).is_some_and(|var| self.has(var))
    }

    fn evaluation_order(&self) -> Option<SortOrder> {
        (!self.ascending()).then_some(SortOrder::Descending)
    }

    pub fn ascending(&self) -> bool {
        self.evaluation.ascending
    }

    /// A measurement whose name is there again is an input of its own: InfluxDB merges the two like those of any names.
    fn read_inputs(&self, select: &Select, rows_max: usize, count: &mut Inputs<'_>) -> Result<Vec<Input>, Stop> {
        let mut found: Vec<&str> = Vec::new();
        let (first, mut copies, mut inputs) = (count.met, 0, Vec::new());
        for source in &select.sources {
            if let Source::Measurement(measurement) = source {
                let name = measurement.name.text();
                found.push(name);
                copies = copies.max(found.iter().filter(|found| **found == name).count());
            }
        }
        count.met += copies;
        let mut begun = false;
        for source in &select.sources {
            match source {
                Source::Measurement(_) if begun => {}
                Source::Measurement(_) => {
                    begun = true;
                    inputs.extend((first..first + copies).map(Input::Measurements));
                }
                Source::Subquery(inner) => {
                    inputs.push(Input::Subquery(Box::new(Level::new(inner, Some(self), rows_max, false, count)?)));
                }
            }
        }
        Ok(inputs)
    }

    /// Names that are there again are those of the next of the inputs that are measurements.
    fn read_sources(&self, select: &Select) -> Vec<SourceAt> {
        let inputs = |is: fn(&Input) -> bool| -> Vec<usize> {
            self.inputs.iter().enumerate().filter(|(_, input)| is(input)).map(|(number, _)| number).collect()
        };
        let measurements = inputs(|input| matches!(input, Input::Measurements(_)));
        let mut subqueries = inputs(|input| matches!(input, Input::Subquery(_))).into_iter();
        let mut found: Vec<&str> = Vec::new();
        let source = |source| match source {
            &Source::Measurement(Measurement { ref name, .. }) => {
                let copy = found.iter().filter(|found| **found == name.text()).count();
                found.push(name.text());
                let also = matches!(name, MeasurementName::Also(_));
                let name = Some(name.text().to_owned());
                measurements.get(copy).map(|input| SourceAt { input: *input, name, also })
            }
            Source::Subquery(_) => subqueries.next().map(|input| SourceAt { input, name: None, also: false }),
        };
        select.sources.iter().map(source).collect::<Option<Vec<_>>>().unwrap_or_default()
    }

    /// What is merged: its sources, those of one regular expression as one.
    pub fn merged_sources(&self) -> impl Iterator<Item = Merged<'_>> {
        self.sources.chunk_by(|_, next| next.also).filter_map(|sources| match &self.inputs[sources[0].input] {
            Input::Subquery(inner) => Some(Merged::Subquery(inner)),
            Input::Measurements(_) => {
                let numbers: Option<_> = sources.iter().map(|source| self.named_input(source)).collect();
                numbers.map(Merged::Measurements)
            }
        })
    }

    pub fn named_input<'a>(&self, source: &'a SourceAt) -> Option<(&'a str, usize)> {
        match self.inputs[source.input] {
            Input::Measurements(number) => Some((source.name.as_deref()?, number)),
            Input::Subquery(_) => None,
        }
    }

    pub fn reads_measurements(&self) -> bool {
        self.measurements().next().is_some()
    }

    /// Its inputs that are measurements.
    pub fn measurements(&self) -> impl Iterator<Item = usize> {
        self.inputs.iter().filter_map(|input| match input {
            Input::Measurements(number) => Some(*number),
            Input::Subquery(_) => None,
        })
    }

    /// Calls `visit` for this level and those inside.
    pub fn visit(&self, visit: &mut impl FnMut(&Level)) {
        visit(self);
        for input in &self.inputs {
            if let Input::Subquery(inner) = input {
                inner.visit(visit);
            }
        }
    }

    /// The time that is left of what is read around.
    pub fn within(&self, outer: TimeRange) -> TimeRange {
        intersection(self.range, outer)
    }

    /// Of the outermost level: the time beyond which InfluxDB reads no measurement, whatever a subquery would read before
    /// its windows.
    pub fn mapped(&self) -> TimeRange {
        let calls = self.evaluation.calls.iter().cloned().map(Expr::Call);
        let windows = calls.map(|call| intervals_before(&call)).max().unwrap_or_default();
        let windows = windows.saturating_mul(self.evaluation.windows.interval);
        let (start, end) = (self.range.start, self.range.end);
        match self.ascending() {
            true => TimeRange { start: start.saturating_sub(windows).max(TIME_MIN), end },
            false => TimeRange { start, end: end.saturating_add(windows).min(TIME_MAX) },
        }
    }

    /// The fields that are asked of the groups.
    pub fn asked(&self) -> Vec<VarRef> {
        let is_field = |var: &&VarRef| !(self.evaluation.nested && self.is_tag(var));
        self.evaluation.fields.iter().filter(is_field).cloned().collect()
    }

    /// Whether a column over subqueries means a tag of measurements beside these. One of another type is a subquery's column,
    /// which measurements do not have.
    fn is_tag(&self, var: &VarRef) -> bool {
        let is_text = var.cast == Some(Cast::String) || var.name == "time";
        is_text && self.tag_names.contains(&var.name)
    }

    /// What a call reads: transformations of windows read one before.
    pub fn reach(&self, call: &Call, range: TimeRange) -> TimeRange {
        let wider = match function(&call.name).map(|function| function.how) {
            Some(How::Stream { reads_before: true, .. }) => self.earlier(range),
            _ => range,
        };
        match call.args.first() {
            Some(Expr::Call(inner)) => self.reach(inner, wider),
            _ => wider,
        }
    }

    /// One window more.
    pub fn earlier(&self, range: TimeRange) -> TimeRange {
        let windows = Windows { range, ..self.evaluation.windows };
        let interval = windows.interval;
        let wider = if self.ascending() { windows.widened(interval, 0) } else { windows.widened(0, interval) };
        wider.range
    }

    /// What a call is made of, and what its column is of; of nothing, if that is wrong: there is no series of it then.
    pub fn kinds_of(&self, call: &Call) -> Result<(Option<Kind>, Option<Kind>), Stop> {
        match self.evaluation.check_call(call) {
            Err(Stop::Wrong(_)) => Ok((None, function(&call.name).map(|function| function.gives.of(Kind::Float)))),
            checked => Ok((checked?, self.evaluation.kind_of_call(call)?)),
        }
    }

    /// All that it makes of rows, `members` by input. `outer` is the time and `outer_keys` the tags that are read around.
    pub fn run(&self, given: &Given<'_>, outer: TimeRange, outer_keys: &[String]) -> Result<Stream, Stop> {
        let range = self.within(outer);
        let keys = self.all_keys(outer_keys);
        if self.evaluation.calls.is_empty() {
            let rows = self.raw(given, range, &keys)?;
            return Ok(Stream { rows: self.join(vec![rows], &[]), keys });
        }
        let (mut scanners, mut kinds) = (Vec::new(), Vec::new());
        for (number, call) in self.evaluation.calls.iter().enumerate() {
            let (kind, shown) = self.kinds_of(call)?;
            let points = match kind {
                Some(_) if self.pushed => self.made(number, call, given, range, &keys)?,
                Some(_) => self.call(call, given, range, &keys)?,
                None => Vec::new(),
            };
            scanners.push(limited(points, self.limit, self.offset, |point| Some(point.tags.clone())));
            kinds.push(shown);
        }
        self.check_joined(&scanners, &kinds, &keys, given)?;
        Ok(Stream { rows: self.join(scanners, &kinds), keys })
    }

    /// The tags that it is grouped by, those of the statements around too.
    pub fn all_keys(&self, outer_keys: &[String]) -> Vec<String> {
        let all: BTreeSet<&String> = self.keys.iter().chain(outer_keys).collect();
        all.into_iter().cloned().collect()
    }

    pub fn raw(&self, given: &Given<'_>, range: TimeRange, keys: &[String]) -> Result<Vec<Tagged>, Stop> {
        if !self.evaluation.knows_a_ref() {
            return Ok(Vec::new());
        }
        let mut sources = Vec::new();
        for source in self.merged_sources() {
            sources.push(match source {
                Merged::Measurements(names) => self.raw_of(&given.of(&names), range, keys),
                Merged::Subquery(inner) => {
                    let made = inner.run(given, range, keys)?;
                    let passed = made.rows.iter().filter(|row| self.passes(inner, &made, row));
                    let tagged = |row: &Row| self.beside(inner, &made, row, keys);
                    passed.map(tagged).take_while(|_| !is_given_up()).collect()
                }
            });
        }
        self.check_ties(&sources, given)?;
        let ascending = self.ascending();
        let merged = sorted(sources, |a, b| before(a, b, ascending)).collect();
        Ok(limited(merged, self.limit, self.offset, |row| Some(row.tags.clone())))
    }

    /// What its names outside calls are in a row of a subquery.
    pub fn beside(&self, inner: &Level, made: &Stream, row: &Row, keys: &[String]) -> Tagged {
        if row.is_silence() {
            return Tagged::silence();
        }
        let beside = self.evaluation.refs.iter().map(|(var, _)| inner.value(made, row, var)).collect();
        let tags = subset(&made.keys, &row.tags, keys);
        Tagged { at: row.at, ..Tagged::new(row.time, tags, Value::Null, beside) }
    }

    /// Whether its rows are cut in each storage shard before they are cut as a whole, so that it matters where these begin.
    pub fn cuts_in_shards(&self) -> bool {
        // Which tags there are around is known only then.
        let cut = self.evaluation.calls.is_empty() || self.evaluation.calls.iter().any(|call| self.is_cut(call));
        cut && self.reads_measurements() && self.limit + self.offset > 0
    }

    /// A call that takes rows of measurements only once LIMIT and OFFSET have cut them: top or bottom without tags.
    pub fn is_cut(&self, call: &Call) -> bool {
        is_best(call) && tags_of_best(call).next().is_none() && self.limit + self.offset > 0
    }

    /// The rows of measurements that such a call takes.
    pub fn cut_for(&self, call: &Call, members: &[&Rows], windows: Windows, keys: &[String]) -> Vec<Tagged> {
        let rows: Vec<Cow<'_, Rows>> = members.iter().map(|rows| self.with_tag_columns(rows, windows.range)).collect();
        let rows: Vec<&Rows> = rows.iter().map(|rows| &**rows).collect();
        let series = rows.iter().zip(members).enumerate().map(|(number, (series, member))| {
            let tags: Tags = Rc::new(keys.iter().map(|key| member.tag(key).to_owned()).collect());
            let points = self.evaluation.points_of(call, number, series, windows, self.ascending());
            points.map(|point| self.tagged(point, &tags, &rows)).collect()
        });
        self.cut(series.collect(), starts_of(members), keys)
    }

    /// Rows of measurements. LIMIT is applied in each storage shard; where rows of several tags take turns to each series there,
    /// and to what comes of them, before it is applied to all.
    pub fn raw_of(&self, members: &[&Rows], range: TimeRange, keys: &[String]) -> Vec<Tagged> {
        let series = members.iter().map(|rows| self.rows_of(&self.with_tag_columns(rows, range), range, keys));
        self.cut(series.collect(), starts_of(members), keys)
    }

    /// Whether LIMIT counts for each series of a level that is grouped by so many tags, since these are not as many as the answer's.
    pub fn is_apart(&self, keys: usize) -> bool {
        keys != self.written
    }

    /// Whether InfluxDB takes points of so many tags for series of the answer by all of these: GROUP BY has a tag twice, and they
    /// are as many as it names (`keysMatch` in query/point.go).
    pub fn mixes(&self, keys: usize) -> bool {
        keys == self.written && self.written > self.outermost.len()
    }

    /// Whether any level is grouped so, or what top or bottom take the best of.
    pub fn mixes_any(&self, outer_keys: &[String]) -> bool {
        let own = self.all_keys(outer_keys);
        let calls = self.evaluation.calls.iter().map(|call| best_keys(call, &own));
        let mut sets = std::iter::once(own.clone()).chain(calls);
        let inside = |keys: &[String], input: &Input| matches!(input, Input::Subquery(inner) if inner.mixes_any(keys));
        sets.any(|keys| self.mixes(keys.len()) || self.inputs.iter().any(|input| inside(&keys, input)))
    }

    /// The order of the series of the answer that InfluxDB takes points for.
    pub fn by_series(&self, a: &Tagged, b: &Tagged) -> Ordering {
        match self.mixes(a.tags.len()) {
            false => a.at.series.cmp(&b.at.series),
            true if self.ascending() => (a.at.name, &a.tags).cmp(&(b.at.name, &b.tags)),
            true => (b.at.name, &b.tags).cmp(&(a.at.name, &a.tags)),
        }
    }

    /// The same within one series of the answer, by the points' tags.
    pub fn by_mixed(&self, a: &Tags, b: &Tags, ascending: bool) -> Ordering {
        match self.mixes(a.len()) {
            false => Ordering::Equal,
            true if ascending => a.cmp(b),
            true => b.cmp(a),
        }
    }

    fn cut(&self, series: Vec<Vec<Tagged>>, shards: &[i64], keys: &[String]) -> Vec<Tagged> {
        let ascending = self.ascending();
        let before = |a: &Tagged, b: &Tagged, ascending| match self.by_series(a, b) {
            Ordering::Equal => before(a, b, ascending),
            order => order.is_lt(),
        };
        let shard = |point: &Tagged| shards.partition_point(|start| *start <= point.time);
        if self.limit + self.offset == 0 {
            return sorted_in_shards(series, shard, ascending, |a, b| before(a, b, ascending)).collect();
        }
        let apart = self.is_apart(keys.len());
        let most = self.limit.saturating_add(self.offset).saturating_add(1);
        let mut by_shard: BTreeMap<usize, Vec<Vec<Tagged>>> = BTreeMap::new();
        for rows in series {
            for part in rows.chunk_by(|a, b| shard(a) == shard(b)) {
                let most = if apart { most.min(part.len()) } else { part.len() };
                by_shard.entry(shard(&part[0])).or_default().push(part[..most].to_vec());
            }
        }
        let cut = |series: Vec<Vec<Tagged>>| {
            let mut rows: Vec<Tagged> = sorted(series, |a, b| before(a, b, ascending)).collect();
            if apart {
                return limited(rows, self.limit, self.offset, |row| Some(row.tags.clone()));
            }
            rows.truncate(most);
            rows
        };
        let shards = by_shard.into_values().map(cut);
        if ascending { shards.flatten().collect() } else { shards.rev().flatten().collect() }
    }

    fn rows_of(&self, rows: &Rows, range: TimeRange, keys: &[String]) -> Vec<Tagged> {
        let tags: Tags = Rc::new(keys.iter().map(|key| rows.tag(key).to_owned()).collect());
        let places: Vec<&Place> = self.evaluation.refs.iter().map(|(_, place)| place).collect();
        let is_tag = |field: usize| self.is_tag(&self.evaluation.fields[field]);
        let valued = |row: &usize| {
            let value =
                |place: &&&Place| matches!(place, Place::Field(at, _) if !is_tag(*at) && !rows.is_null(*at, *row));
            range.contains(rows.time(*row)) && places.iter().any(|place| value(&place))
        };
        let tagged = |row: usize| {
            let beside = |place: &&Place| match place {
                Place::Field(at, _) => rows.value(*at, row),
                Place::Tag(key) => tag_value(rows, key),
                Place::Nowhere => Value::Null,
            };
            let beside = places.iter().map(beside).collect();
            Tagged::new(rows.time(row), tags.clone(), Value::Null, beside)
        };
        let found = (0..rows.len()).filter(|row| !is_given_up() && valued(row)).map(tagged);
        if self.ascending() { found.collect() } else { found.rev().collect() }
    }

    /// Where a field stands in what the groups gave: tags are not among it.
    pub fn given(&self, field: usize) -> Option<usize> {
        let fields = &self.evaluation.fields;
        if !self.evaluation.nested {
            return Some(field);
        }
        let before = fields[..field].iter().filter(|var| !self.is_tag(var)).count();
        (!self.is_tag(&fields[field])).then_some(before)
    }

    /// Rows of measurements beside a subquery: only those that are read, with columns for tags.
    pub fn with_tag_columns<'a>(&self, rows: &'a Rows, range: TimeRange) -> Cow<'a, Rows> {
        if !self.evaluation.nested {
            return Cow::Borrowed(rows);
        }
        let fields = self.evaluation.fields.iter().enumerate();
        let columns: Vec<(&VarRef, Option<usize>)> = fields.map(|(at, var)| (var, self.given(at))).collect();
        let mut read = Rows::new(rows.name.clone(), rows.tags.clone());
        rows.shards().into_iter().for_each(|starts| read.know_shards(starts.clone()));
        for row in (0..rows.len()).filter(|row| range.contains(rows.time(*row))).take_while(|_| !is_given_up()) {
            let cell = |(var, field): &(&VarRef, Option<usize>)| match field {
                Some(field) => rows.value(*field, row),
                None => tag_value(rows, &var.name),
            };
            read.push(rows.time(row), columns.iter().map(cell).collect());
        }
        Cow::Owned(read)
    }

    /// Whether a row of a subquery passes WHERE.
    pub fn passes(&self, inner: &Level, made: &Stream, row: &Row) -> bool {
        let column = |var: &VarRef| inner.evaluation.columns.iter().skip(1).position(|name| *name == var.name);
        row.is_silence()
            || self.filter.as_ref().is_none_or(|filter| {
                filter.passes(&|var| match column(var) {
                    Some(at) => cast(&row.values[at], kind_of(var)),
                    None => Value::String(subset(&made.keys, &row.tags, std::slice::from_ref(&var.name))[0].clone()),
                })
            })
    }

    /// What a name of a statement around means in a row of this one: a column, else a tag of its GROUP BY.
    pub fn value(&self, made: &Stream, row: &Row, var: &VarRef) -> Value {
        if let Some((_, at)) = self.names.iter().find(|(name, _)| *name == var.name) {
            return cast(&row.values[*at], kind_of(var));
        }
        match self.keys.contains(&var.name) {
            true => Value::String(subset(&made.keys, &row.tags, std::slice::from_ref(&var.name))[0].clone()),
            false => Value::Null,
        }
    }
}

pub fn intersection(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange { start: one.start.max(other.start), end: one.end.min(other.end) }
}

/// The name that a call, or the innermost in it, is of.
pub fn argument(call: &Call) -> Option<&VarRef> {
    match call.args.first() {
        Some(Expr::VarRef(var)) => Some(var),
        Some(Expr::Call(inner)) => argument(inner),
        _ => None,
    }
}

fn tag_value(rows: &Rows, key: &str) -> Value {
    match rows.tag(key) {
        "" => Value::Null,
        text => Value::String(text.to_owned()),
    }
}

pub fn kind_of(var: &VarRef) -> Option<Kind> {
    match var.cast {
        Some(Cast::Float) => Some(Kind::Float),
        Some(Cast::Integer) => Some(Kind::Integer),
        Some(Cast::Unsigned) => Some(Kind::Unsigned),
        Some(Cast::String | Cast::Tag) => Some(Kind::String),
        Some(Cast::Boolean) => Some(Kind::Boolean),
        Some(Cast::Field) | None => None,
    }
}

fn keys(select: &Select) -> Result<Vec<String>, Stop> {
    let mut keys = BTreeSet::new();
    for expr in &select.group_by {
        match expr {
            Expr::VarRef(var) => drop(keys.insert(var.name.clone())),
            Expr::Call(call) if call.name == "time" => {}
            other => return Err(Stop::Refused(format!("GROUP BY {other}"))),
        }
    }
    Ok(keys.into_iter().collect())
}

/// How many tags GROUP BY names, one as often as it is there.
fn tags_written(select: &Select) -> usize {
    select.group_by.iter().filter(|expr| matches!(expr, Expr::VarRef(_))).count()
}

fn own_interval(select: &Select) -> Option<&Expr> {
    select.group_by.iter().find(|expr| matches!(expr, Expr::Call(call) if call.name == "time"))
}

/// Whether anything in it is called, mathematics too: then a SELECT is none of raw rows.
fn calls(expr: &Expr) -> bool {
    match expr {
        Expr::Call(_) => true,
        Expr::Paren(inner) => calls(inner),
        Expr::Binary { lhs, rhs, .. } => calls(lhs) || calls(rhs),
        _ => false,
    }
}

/// The names of the columns as statements around have them, and what top and bottom show beside.
fn names(fields: &[Field]) -> Vec<(String, usize)> {
    let (mut names, mut offset) = (Vec::new(), 0);
    for (at, field) in fields.iter().filter(|field| !is_time(field)).enumerate() {
        names.push((field.alias.clone().unwrap_or_else(|| name(&field.expr)), at + offset));
        if let Expr::Call(call) = &field.expr {
            for tag in tags_of_best(call) {
                offset += 1;
                names.push((tag.name.clone(), at + offset));
            }
        }
    }
    names
}

/// The names that columns and calls have as fields of texts.
fn texts(fields: &[Field]) -> BTreeSet<String> {
    fn find(expr: &Expr, found: &mut BTreeSet<String>) {
        match expr {
            Expr::VarRef(var) if var.cast == Some(Cast::String) => drop(found.insert(var.name.clone())),
            Expr::Call(call) => call.args.iter().for_each(|arg| find(arg, found)),
            Expr::Binary { lhs, rhs, .. } => {
                find(lhs, found);
                find(rhs, found);
            }
            Expr::Paren(inner) => find(inner, found),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    fields.iter().for_each(|field| find(&field.expr, &mut found));
    found
}

/// Columns of a subquery that are tags are texts to the statement around. One of the time's name no measurement has.
fn tags_are_texts(fields: &mut [Field], names: &mut BTreeSet<String>) {
    fn rename(expr: &mut Expr, names: &mut BTreeSet<String>) {
        match expr {
            Expr::VarRef(var) if var.cast == Some(Cast::Tag) => {
                var.cast = Some(Cast::String);
                names.insert(var.name.clone());
            }
            Expr::VarRef(var) if var.name == "time" && var.cast.is_some() => drop(names.insert(var.name.clone())),
            Expr::Call(call) => call.args.iter_mut().for_each(|arg| rename(arg, names)),
            Expr::Binary { lhs, rhs, .. } => {
                rename(lhs, names);
                rename(rhs, names);
            }
            Expr::Paren(inner) => rename(inner, names),
            _ => {}
        }
    }
    fields.iter_mut().for_each(|field| rename(&mut field.expr, names));
}
