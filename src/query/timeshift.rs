//! Statements that look away from now, and MATH: what `timeshift` makes of them is asked like any other statement, and
//! answered moved, joined, or worked out.
//!
//! A part that is one statement streams through, each time moved as it comes. What is joined, evaluated or named by a MATH is
//! held, within `query.merge_bytes_max`. Parts run one after the other. Used by `query` and `statement`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::backend::Backends;
use crate::influxql::ast::{Listing, Shift};
use crate::influxql::range::TimeRange;
use crate::influxql::zone::Zone;
use crate::influxql::{Measurement, Query, Select, Statement};
use crate::merge::evaluate::Stop;
use crate::merge::results::{Message, Series, StatementResult, Value};
use crate::net::apart;
use crate::plan::select::{Question, TagKeys, probe};
use crate::plan::sources::regexes;
use crate::plan::{Circumstances, Place, Plan};
use crate::timeshift::math::{Formula, mentioned};
use crate::timeshift::rows::ByRows;
use crate::timeshift::work::{Part, Work, condition, work};
use crate::timeshift::{Asked, Moved, ask, is_asked, read};

use super::beside::{beside, on_a_thread};
use super::partials::{Ask, Times, in_zone};
use super::request;
use super::select::failed;
use super::statement::{Ended, Running};
use super::{Queries, Refusal, fails, lookup, refuse};

/// What a request asks for beyond InfluxQL.
#[derive(Default)]
pub struct Shifts {
    /// By statement; empty: nothing.
    asked: Vec<Option<Asked>>,
    /// Statements that a MATH names, and those of them that are answered all the same.
    operands: BTreeSet<usize>,
    kept: BTreeSet<usize>,
}

impl Shifts {
    /// Takes out of a request what InfluxDB does not know: from now on its database and its text are InfluxDB's.
    pub async fn read(
        queries: &Queries,
        backends: &Backends,
        asked: &mut request::Asked,
        query: &mut Arc<Query>,
        until: Instant,
    ) -> Result<Shifts, Refusal> {
        let on = queries.config.query.timeshift;
        let named = asked.params.get("db").to_owned();
        let base = if on { base(queries, backends, asked, until).await? } else { None };
        if base.is_none() && !is_asked(query, on) {
            return Ok(Shifts::default());
        }
        // It is kept for others as it is written.
        let query = Arc::make_mut(query);
        let renamed = base.is_some() && rename(query, &named, asked.params.get("db"));
        let shifts = read(query, base, on).map_err(|reason| refuse(400, reason))?;
        if shifts.is_empty() && !renamed {
            return Ok(Shifts::default());
        }
        let plain = query.statements.iter().filter(|statement| !matches!(statement, Statement::Math(_)));
        asked.replace("q", &plain.map(Statement::to_forwardable).collect::<Vec<_>>().join("; "));
        let (operands, kept) = mentioned(shifts.iter().flatten().filter_map(Asked::formula));
        Ok(Shifts { asked: shifts, operands, kept })
    }

    fn of(&self, id: usize) -> Option<&Asked> {
        self.asked.get(id)?.as_ref()
    }

    /// Plans a request: what looks away is planned when it runs.
    pub fn plan(&self, query: &Query, circumstances: Circumstances<'_>) -> Plan {
        if self.asked.is_empty() {
            return crate::plan::plan(query, circumstances);
        }
        let place = |(id, statement): (usize, &Statement)| match self.of(id) {
            Some(_) => Ok(Place::Here),
            None => place(statement, circumstances),
        };
        let places: Result<Vec<Place>, String> = query.statements.iter().enumerate().map(place).collect();
        places.map_or_else(Plan::Refuse, Plan::Each)
    }
}

/// The place of one statement, as if it were the whole request.
fn place(statement: &Statement, circumstances: Circumstances<'_>) -> Result<Place, String> {
    let query = Query { statements: vec![statement.clone()], unproven: false };
    match crate::plan::plan(&query, circumstances) {
        Plan::Whole(groups) => Ok(Place::One(groups)),
        Plan::Everywhere(groups) => Ok(Place::Everywhere(groups)),
        Plan::Each(places) => places.into_iter().next().ok_or_else(|| "there is no statement".to_owned()),
        Plan::Refuse(reason) => Err(reason),
    }
}

/// Statements mean by the database of their request what the request does; whether any names it.
fn rename(query: &mut Query, from: &str, to: &str) -> bool {
    let mut renamed = false;
    let mut rename = |database: &mut String| {
        if from != to && database == from {
            *database = to.to_owned();
            renamed = true;
        }
    };
    query.statements.iter_mut().for_each(|statement| statement.visit_databases_mut(&mut rename));
    renamed
}

/// The shift of the whole request. A database that has such a name is a database.
async fn base(
    queries: &Queries,
    backends: &Backends,
    asked: &mut request::Asked,
    until: Instant,
) -> Result<Option<Shift>, Refusal> {
    let mut base = None;
    if let Some((db, shift)) = ask::of_database(asked.params.get("db"))
        && !apart(|| exists(queries, backends, asked, until)).await?
    {
        let db = db.to_owned();
        asked.replace("db", &db);
        base = Some(shift);
    }
    let text = asked.params.get("shift");
    if text.is_empty() {
        return Ok(base);
    }
    let wrong = || refuse(400, format!("shift={text} is no length of time; write a number and a unit, as in shift=1w"));
    let shift = ask::of_parameter(text).ok_or_else(wrong)?;
    base.unwrap_or_default().plus(shift).map(Some).ok_or_else(wrong)
}

/// Whether there is a database of the name that a request is for.
async fn exists(
    queries: &Queries,
    backends: &Backends,
    asked: &request::Asked,
    until: Instant,
) -> Result<bool, Refusal> {
    let groups: Vec<_> = backends.topology.group_indexes().collect();
    let text = Statement::ShowDatabases.to_string();
    let (key, chunk_rows, times) = (text.as_str(), usize::MAX >> 1, Times::Moments);
    let ask = Ask { queries, backends, asked, groups: &groups, text: &text, key, chunk_rows, times, until };
    let (listed, _) = ask.whole().await?;
    if let Some(error) = listed.error {
        return Err(refuse(503, format!("which databases there are is not told: {error}")));
    }
    let name = Value::from(asked.params.get("db"));
    Ok(listed.series.iter().flat_map(|series| &series.values).any(|row| row.first() == Some(&name)))
}

/// What is held of an answer instead of being told.
#[derive(Default)]
pub struct Aside {
    series: Vec<Series>,
    messages: Vec<Message>,
    bytes: usize,
}

impl Aside {
    /// Takes a result that is no error.
    pub fn take(&mut self, result: StatementResult, bytes_max: usize) -> Result<(), Refusal> {
        for series in result.series {
            self.bytes += series.bytes();
            match self.series.last_mut().filter(|last| last.same_series(&series) && last.columns == series.columns) {
                Some(last) => last.values.extend(series.values),
                None => self.series.push(series),
            }
        }
        self.messages
            .extend(result.messages.into_iter().filter(|new| !self.messages.contains(new)).collect::<Vec<_>>());
        within(self.bytes, bytes_max)
    }
}

fn within(bytes: usize, bytes_max: usize) -> Result<(), Refusal> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(fails(format!(
        "what has to be held for a timeshift or MATH takes more than {bytes_max} bytes (query.merge_bytes_max); ask for less \
         time or fewer series"
    )))
}

/// Runs a statement of a request. What a MATH behind it names is held, and told only if it is kept.
pub async fn statement(
    running: &mut Running,
    id: usize,
    statement: &Statement,
    place: Place,
) -> Result<Ended, Refusal> {
    let shifts = running.context.shifts.clone();
    if !shifts.operands.contains(&id) {
        return Box::pin(running.statement(id, statement, place)).await;
    }
    running.aside = Some(Aside::default());
    let ended = Box::pin(running.statement(id, statement, place)).await;
    let aside = running.aside.take().unwrap_or_default();
    let ended = ended?;
    if ended != Ended::Well {
        return Ok(ended);
    }
    running.operands.insert(id, aside.series.clone());
    if shifts.kept.contains(&id) {
        tell(running, id, aside.series, aside.messages, zone_of(statement)).await?;
    }
    Ok(Ended::Well)
}

/// Runs what is not InfluxDB's alone.
pub async fn run(running: &mut Running, id: usize, statement: &Statement) -> Result<Ended, Refusal> {
    let shifts = running.context.shifts.clone();
    match shifts.of(id) {
        Some(Asked::Select(select, base)) => run_select(running, id, select, *base).await,
        Some(Asked::Show(shift)) => run_show(running, id, statement, *shift).await,
        Some(Asked::Math(formula)) => run_math(running, id, formula).await,
        None => Err(refuse(500, "a statement has no place")),
    }
}

async fn run_select(running: &mut Running, id: usize, select: &Select, base: Shift) -> Result<Ended, Refusal> {
    let work = work(select, base, running.context.now_ns).map_err(|reason| refuse(400, reason))?;
    if let Work::Part(part) = work {
        return run_part(running, id, *part, zone(select)).await;
    }
    // It may be held as a whole already, by a MATH.
    let held = running.aside.take();
    let answered = answered(running, id, work).await;
    running.aside = held;
    match answered? {
        Some((series, messages)) => {
            tell(running, id, series, messages, zone(select)).await?;
            Ok(Ended::Well)
        }
        None => Ok(Ended::Failed),
    }
}

fn zone(select: &Select) -> Option<Zone> {
    select.timezone.as_deref().and_then(Zone::named)
}

fn zone_of(statement: &Statement) -> Option<Zone> {
    match statement {
        Statement::Select(select) => zone(select),
        _ => None,
    }
}

/// What is planned here only reads.
fn circumstances(running: &Running) -> Circumstances<'_> {
    let context = &running.context;
    Circumstances { topology: &context.backends.topology, db: context.asked.params.get("db"), may_write: false }
}

/// One statement, whose times go back as they come.
async fn run_part(running: &mut Running, id: usize, part: Part, zone: Option<Zone>) -> Result<Ended, Refusal> {
    let statement = Statement::Select(Box::new(part.select));
    let place = {
        let context = &running.context;
        let circumstances = Circumstances {
            topology: &context.backends.topology,
            db: context.asked.params.get("db"),
            may_write: false,
        };
        place(&statement, circumstances).map_err(|reason| refuse(400, reason))?
    };
    let zone = zone.filter(|_| part.moved.by != 0 && running.tells_zones());
    running.moved = Some((part.moved, zone));
    let ended = Box::pin(running.statement(id, &statement, place)).await;
    running.moved = None;
    ended
}

/// A part's answer, held. `None`: it failed, and that was told.
async fn held(running: &mut Running, id: usize, part: Part) -> Result<Option<Aside>, Refusal> {
    running.aside = Some(Aside::default());
    let ended = run_part(running, id, part, None).await;
    let aside = running.aside.take().unwrap_or_default();
    Ok((ended? == Ended::Well).then_some(aside))
}

type Answer = (Vec<Series>, Vec<Message>);

/// What comes of a SELECT that is divided; `None`: it failed, and that was told.
async fn answered(running: &mut Running, id: usize, work: Work) -> Result<Option<Answer>, Refusal> {
    let rows_max = running.context.queries.config.query.rows_max.0;
    match work {
        Work::Part(part) => Ok(held(running, id, *part).await?.map(|aside| (aside.series, aside.messages))),
        Work::Rows(by_rows) => Box::pin(made_of_rows(running, id, &by_rows)).await,
        Work::Join(join, parts) => {
            let Some((answers, messages)) = all(running, id, parts).await? else { return Ok(None) };
            let bytes = bytes(&answers);
            let joined = beside(&running.context.queries, bytes, move || join.joined(answers))
                .await?
                .map_err(|error| refuse(400, error))?;
            Ok(Some((joined, messages)))
        }
        Work::Beside(parts) => {
            let (labels, parts): (Vec<String>, Vec<Work>) = parts.into_iter().unzip();
            let Some((answers, messages)) = all(running, id, parts).await? else { return Ok(None) };
            let series = tagged(labels, answers).map_err(|error| refuse(400, error))?;
            Ok(Some((series, messages)))
        }
        Work::Outer(outer, subqueries) => {
            let Some((answers, messages)) = all(running, id, subqueries).await? else { return Ok(None) };
            match on_a_thread(&running.context.queries, move || outer.evaluated(answers, rows_max)).await? {
                Ok(series) => Ok(Some((series, messages))),
                Err(stop) => stopped(running, id, stop).await,
            }
        }
    }
}

/// The answers of all parts, and what stands beside them.
async fn all(
    running: &mut Running,
    id: usize,
    parts: Vec<Work>,
) -> Result<Option<(Vec<Vec<Series>>, Vec<Message>)>, Refusal> {
    let (mut answers, mut messages) = (Vec::new(), Vec::<Message>::new());
    for part in parts {
        let Some((series, said)) = Box::pin(answered(running, id, part)).await? else { return Ok(None) };
        messages.extend(said.into_iter().filter(|new| !messages.contains(new)).collect::<Vec<_>>());
        answers.push(series);
        within(bytes(&answers), running.context.queries.config.query.merge_bytes_max.0)?;
    }
    Ok(Some((answers, messages)))
}

fn bytes(answers: &[Vec<Series>]) -> usize {
    answers.iter().flatten().map(Series::bytes).sum()
}

/// The tag that tells answers of several TIMESHIFTs apart.
const TAG: &str = "timeshift";

/// Series of several TIMESHIFTs beside each other, in the order that the tag has among the others.
fn tagged(labels: Vec<String>, answers: Vec<Vec<Series>>) -> Result<Vec<Series>, String> {
    let mut all = Vec::new();
    for (label, answer) in labels.into_iter().zip(answers) {
        for mut series in answer {
            if series.tags.iter().any(|(key, _)| key == TAG) {
                return Err(format!("several TIMESHIFTs are told apart by a tag {TAG}, which the data has itself"));
            }
            let at = series.tags.partition_point(|(key, _)| key.as_str() < TAG);
            series.tags.insert(at, (TAG.to_owned(), label.clone()));
            all.push(series);
        }
    }
    all.sort_by(|a, b| (&a.name, &a.tags).cmp(&(&b.name, &b.tags)));
    Ok(all)
}

/// A SELECT over the rows of another time: its schema is asked for, then the rows.
async fn made_of_rows(running: &mut Running, id: usize, by_rows: &ByRows) -> Result<Option<Answer>, Refusal> {
    let everything = by_rows.everything().map_err(|reason| refuse(400, reason))?;
    let schema = match lookup::schemas(&running.context, &questions(running, by_rows, &everything)?).await? {
        Ok(schemas) => schemas.into_iter().next().unwrap_or_default(),
        Err(error) => return failed(running, id, error).await.map(|_| None),
    };
    let rows_max = running.context.queries.config.query.rows_max.0;
    let ready = match by_rows.ready(&schema, rows_max) {
        Ok(ready) => ready,
        Err(stop) => return stopped(running, id, stop).await,
    };
    let Some(part) = ready.part.clone() else { return Ok(Some((Vec::new(), Vec::new()))) };
    let Some(aside) = held(running, id, part).await? else { return Ok(None) };
    match on_a_thread(&running.context.queries, move || ready.answer(aside.series)).await? {
        Ok(series) => Ok(Some((series, aside.messages))),
        Err(stop) => stopped(running, id, stop).await,
    }
}

/// What tells the fields and tags of a SELECT's measurements: the groups that its plan asks, or else one that has them all.
fn questions(running: &Running, by_rows: &ByRows, everything: &Select) -> Result<Vec<Question>, Refusal> {
    let circumstances = circumstances(running);
    let Circumstances { topology, db, .. } = circumstances;
    if regexes(everything).is_empty() {
        let asked = probe(everything, circumstances).map_err(|reason| refuse(400, reason))?;
        if !asked.is_empty() {
            return Ok(asked);
        }
    }
    let everywhere = Statement::Select(Box::new(everything.clone()));
    let groups = match place(&everywhere, circumstances).map_err(|reason| refuse(400, reason))? {
        Place::One(groups) => groups.into_iter().take(1).collect(),
        _ => topology.group_indexes().collect::<Vec<_>>(),
    };
    let listing = |measurement: &Measurement| Listing {
        database: Some(measurement.database.as_deref().unwrap_or(db).to_owned()),
        sources: vec![Measurement { database: None, retention_policy: None, ..measurement.clone() }],
        ..Listing::default()
    };
    let tag_keys: Vec<TagKeys> = by_rows
        .measurements()
        .map(|measurement| {
            let show = Statement::ShowTagKeys(Box::new(listing(measurement))).to_string();
            TagKeys { of: measurement.clone(), show }
        })
        .collect();
    let question = |group| {
        let (tag_keys, range) = (tag_keys.clone(), TimeRange::default());
        Question { group, reader: 0, explain: format!("EXPLAIN {everything}"), tag_keys, range }
    };
    Ok(groups.into_iter().map(question).collect())
}

async fn stopped<T>(running: &mut Running, id: usize, stop: Stop) -> Result<Option<T>, Refusal> {
    match stop {
        Stop::Wrong(error) => failed(running, id, error).await.map(|_| None),
        Stop::Refused(what) => Err(refuse(400, format!("{what} over a timeshift is not supported"))),
        Stop::Rows(rows) => {
            running.context.queries.stats.queries_limited_rows.add(1);
            let max = running.context.queries.config.query.rows_max.0;
            Err(fails(format!("max-select-point limit exceeded: ({rows}/{max}) (query.rows_max)")))
        }
    }
}

/// A SHOW of another time.
async fn run_show(running: &mut Running, id: usize, statement: &Statement, shift: Shift) -> Result<Ended, Refusal> {
    let mut shown = statement.clone();
    shown.replace_now(running.context.now_ns);
    let (now_ns, mut wrong) = (running.context.now_ns, None);
    shown.visit_exprs_mut(&mut |expr| match condition(expr, shift, now_ns) {
        Ok(moved) => *expr = moved,
        Err(reason) => wrong = Some(reason),
    });
    if let Some(reason) = wrong {
        return Err(refuse(400, reason));
    }
    let place = {
        let context = &running.context;
        let circumstances = Circumstances {
            topology: &context.backends.topology,
            db: context.asked.params.get("db"),
            may_write: false,
        };
        place(&shown, circumstances).map_err(|reason| refuse(400, reason))?
    };
    Box::pin(running.statement(id, &shown, place)).await
}

async fn run_math(running: &mut Running, id: usize, formula: &Formula) -> Result<Ended, Refusal> {
    match formula.series(&running.operands) {
        Ok(series) => {
            tell(running, id, series, Vec::new(), None).await?;
            Ok(Ended::Well)
        }
        Err(error) => failed(running, id, error).await,
    }
}

/// Tells series that were made here, their times in a zone where the format has them so.
async fn tell(
    running: &mut Running,
    id: usize,
    series: Vec<Series>,
    mut messages: Vec<Message>,
    zone: Option<Zone>,
) -> Result<(), Refusal> {
    let zone = zone.filter(|_| running.tells_zones());
    let (mut emitter, mut results) = (running.emitter(id), Vec::new());
    for series in series {
        let mut result = StatementResult { series: vec![series], ..StatementResult::default() };
        if let Some(zone) = zone {
            in_zone(&mut result, zone);
        }
        running.count(&result)?;
        result.series.into_iter().for_each(|series| emitter.push(series, &mut results));
        with_messages(&mut results, &mut messages);
        running.tell_all(&mut results).await?;
    }
    emitter.finish(&mut results);
    with_messages(&mut results, &mut messages);
    running.tell_all(&mut results).await
}

/// They go with the first result.
fn with_messages(results: &mut [StatementResult], messages: &mut Vec<Message>) {
    if let Some(first) = results.first_mut() {
        first.messages.append(messages);
    }
}

/// What was held for MATHs, by statement.
pub type Operands = BTreeMap<usize, Vec<Series>>;

/// How the times of the statement that runs are told: moved, and in a zone that is no longer in it.
pub type Telling = (Moved, Option<Zone>);
