//! A SELECT that combines points of several groups: they are asked at once, for what each makes of its own points or for
//! these, and the answer is made of what they say.
//!
//! What can be put together as it comes is (`merge::combine`); else rows are held, both within `query.merge_bytes_max`. Where
//! floats run over on the way, what comes of them hangs on their order, and a window that is shown at 0 may be the one of
//! InfluxDB's first times: then rows are asked for after all. Which of several equal rows is the best hangs on others in their
//! storage shard: then the best row of each series there is asked for. What is made of a series of the answer is made on a thread
//! beside the shard's, so that the shard goes on; series go on to the client as they are made. On a shard `query.gathers_max`
//! gather at once, `subquery`'s too; others wait. Used by `select`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::future::join_all;

use crate::influxql::ast::{Call, Expr, Field, VarRef};
use crate::influxql::range::{TIME_MAX, TIME_MIN, TimeRange};
use crate::influxql::{Select, Source};
use crate::merge::alike::Alike;
use crate::merge::combine::ask::{Ask, ask};
use crate::merge::evaluate::combined::{Combination, Combined};
use crate::merge::evaluate::rows::Rows;
use crate::merge::evaluate::{Carried, Evaluation, Group, Shards, Stop};
use crate::merge::results::{Message, Series, StatementResult};
use crate::net::{deadline, yield_if_needed};
use crate::plan::gather::{Gathering, named};
use crate::plan::select::{Passed, cuts_tag_sets};
use crate::plan::sources::name_of;
use crate::topology::GroupIndex;

use super::beside::on_a_thread;
use super::choose::Behind;
use super::partials::document_rows;
use super::select::{failed, first_source};
use super::slimit::Through;
use super::statement::{Ended, Running};
use super::{Refusal, fails, lookup, refuse};

/// Rows of the answer that are made at once, at least, before the client is told.
const TOLD_ROWS: usize = 10_000;
/// So many storage shards are looked at once more for equal rows; where there are more, all rows are asked for.
const SHARDS_AGAIN_MAX: usize = 8;

/// What groups have said so far.
enum Held {
    Combination(Combination),
    /// With how much memory they take, about.
    Rows(Vec<Vec<Rows>>, usize),
}

/// All that the groups have said.
struct Given {
    held: Held,
    /// One for each group that was asked.
    parts: Vec<Part>,
}

/// What there is of one group besides.
#[derive(Default)]
pub struct Part {
    pub behind: Option<Behind>,
    pub messages: Vec<Message>,
}

/// A part that is no answer.
pub enum Broken {
    /// InfluxDB's own error.
    Failed(String),
    Refused(Refusal),
}

/// Where rows are let through, rows are asked for, and where groups' windows do not hold all points.
fn ask_of(gathering: &Gathering, evaluation: &Evaluation, through: Option<&Through>) -> Ask {
    let passed = through.map_or(Passed::All, Through::passed);
    if passed == Passed::Rows || evaluation.needs_points() { Ask::Rows } else { ask(&gathering.select) }
}

fn asked_for(gathering: &Gathering, ask: &Ask, fields: &[VarRef]) -> Result<Vec<(GroupIndex, Select)>, String> {
    match ask.part(&gathering.select, fields) {
        Some((part, wider)) => gathering.parts(part, wider),
        None => gathering.rows(fields),
    }
}

/// What each group is asked by a SELECT that is explained, or carried out for that (`analyze`); what would be refused is
/// refused. The inner error: how it ended.
pub async fn explained(
    running: &mut Running,
    id: usize,
    gathering: &Gathering,
    through: Option<&Through>,
    analyze: bool,
) -> Result<Result<Vec<(GroupIndex, Select)>, Ended>, Refusal> {
    let rows_max = running.context.queries.config.query.rows_max.0;
    match Evaluation::new(&gathering.select, rows_max, false) {
        Ok(evaluation) => {
            let ask = ask_of(gathering, &evaluation, through);
            asked_for(gathering, &ask, &named(&gathering.select)).map(Ok).map_err(|reason| refuse(400, reason))
        }
        Err(Stop::Wrong(error)) => unfit(running, id, gathering.whole_parts(), &error, analyze).await,
        Err(stop) => stopped(running, id, stop, &gathering.split).await.map(Err),
    }
}

/// Runs a SELECT over the points of several groups; `through` is let through of them.
pub async fn run(
    running: &mut Running,
    id: usize,
    gathering: Gathering,
    through: Option<&Through>,
) -> Result<Ended, Refusal> {
    let rows_max = running.context.queries.config.query.rows_max.0;
    let mut evaluation = match Evaluation::new(&gathering.select, rows_max, running.into.is_some()) {
        Ok(evaluation) => evaluation,
        Err(Stop::Wrong(error)) => {
            if let Some(told) = objection(running, gathering.whole_parts(), &error).await? {
                return failed(running, id, told).await;
            }
            match Evaluation::without_misfits(&gathering.select, rows_max, running.into.is_some()) {
                Ok(evaluation) => evaluation,
                Err(stop) => return stopped(running, id, stop, &gathering.split).await,
            }
        }
        Err(stop) => return stopped(running, id, stop, &gathering.split).await,
    };
    if let Some(into) = &mut running.into {
        into.come_with_tags();
    }
    if running.tells_zones() {
        evaluation.tell_zone();
    }
    // Without a field there are no rows; which measurements and policies there are the groups still say.
    if evaluation.fields.is_empty() {
        return nothing(running, id, &gathering).await;
    }
    let ask = ask_of(&gathering, &evaluation, through);
    let combination = match &ask {
        Ask::Partials { columns, .. } => evaluation.combination(Some(columns)),
        Ask::Rows => evaluation.combination(None),
        Ask::Chosen(_) => None,
    };
    let _place = running.place_to_gather().await?;
    let mut given = given(running, &gathering, &evaluation, (&ask, combination), through).await;
    if given.as_ref().is_ok_and(|given| given.held.hides_windows()) {
        given =
            self::given(running, &gathering, &evaluation, (&Ask::Rows, evaluation.combination(None)), through).await;
    }
    if given.as_ref().is_ok_and(|given| given.held.runs_over()) {
        given = self::given(running, &gathering, &evaluation, (&Ask::Rows, None), through).await;
    }
    let mut known = None;
    given = match (&ask, given) {
        (Ask::Chosen(_), Ok(Given { held, parts })) => {
            let (equals, own, held) =
                on_a_thread(&running.context.queries, move || (held.equals(&evaluation), evaluation, held)).await?;
            evaluation = own;
            let mut ranges = BTreeSet::new();
            if !equals.is_empty() {
                let shards = shards(running, &gathering).await?;
                ranges.extend(equals.iter().filter_map(|(name, time)| shard_around(&shards, name, *time)));
                known = Some(shards);
            }
            let chosen = Given { held, parts };
            match ranges.len() {
                0 => Ok(chosen),
                1..=SHARDS_AGAIN_MAX => again(running, &gathering, &evaluation, &ask, through, (chosen, ranges)).await,
                _ => self::given(running, &gathering, &evaluation, (&Ask::Rows, None), through).await,
            }
        }
        (_, given) => given,
    };
    let Given { mut held, parts } = match given {
        Ok(given) => given,
        Err(Broken::Failed(error)) => return failed(running, id, error).await,
        Err(Broken::Refused(refusal)) => return Err(refusal),
    };
    let (mut behind, mut messages) = (Vec::new(), Vec::new());
    for part in parts {
        behind.extend(part.behind);
        messages.extend(part.messages);
    }
    messages.splice(0..0, running.stale(&behind));
    messages.dedup();
    let mut by_shards = evaluation.cuts_in_shards();
    if !by_shards && matches!(held, Held::Rows(..)) {
        (by_shards, evaluation, held) =
            on_a_thread(&running.context.queries, move || (held.hangs_on_shards(&evaluation), evaluation, held))
                .await?;
    }
    if by_shards {
        let shards = match known {
            Some(known) => known,
            None => shards(running, &gathering).await?,
        };
        held.know_shards(&shards);
        let twins = twins(&gathering);
        let unknown;
        (unknown, evaluation, held) = on_a_thread(&running.context.queries, move || {
            (held.adds_in_unknown(&evaluation, &twins), evaluation, held)
        })
        .await?;
        if let Some(what) = unknown {
            return stopped(running, id, Stop::Refused(what), &gathering.split).await;
        }
    }
    if let Held::Rows(_, bytes) = &held {
        evaluation.sort_within(running.context.queries.config.query.merge_bytes_max.0.saturating_sub(*bytes));
    }
    let making = on_a_thread(&running.context.queries, move || Making::new(evaluation, held))
        .await?
        .map_err(|error| refuse(503, error))?;
    tell(running, id, making, messages, &gathering).await
}

/// Asks all groups at once, and takes what they say, put together if there is a combination.
async fn given(
    running: &Running,
    gathering: &Gathering,
    evaluation: &Evaluation,
    asked: (&Ask, Option<Combination>),
    through: Option<&Through>,
) -> Result<Given, Broken> {
    given_beside(running, gathering, evaluation, asked, through, 0).await
}

/// The same, beside so many bytes that are held already.
async fn given_beside(
    running: &Running,
    gathering: &Gathering,
    evaluation: &Evaluation,
    (ask, combination): (&Ask, Option<Combination>),
    through: Option<&Through>,
    before: usize,
) -> Result<Given, Broken> {
    let asked = asked_for(gathering, ask, &evaluation.fields);
    let asked = asked.map_err(|reason| Broken::Refused(refuse(400, reason)))?;
    let held = match combination {
        Some(combination) => Held::Combination(combination),
        None => Held::Rows(asked.iter().map(|_| Vec::new()).collect(), 0),
    };
    let (held, fields) = (RefCell::new(held), evaluation.fields.len());
    let passed = through.map_or(Passed::All, Through::passed);
    let filter = through.and_then(|through| through.of(0, gathering.sources.iter().flat_map(|(_, own)| own)));
    let take = |at: usize, series: Series| {
        let series = match &filter {
            Some(filter) => filter.pass(series, passed),
            None => Some(series),
        };
        let held_now = match series {
            Some(series) => held.borrow_mut().take(at, series, fields),
            None => Ok(held.borrow().bytes()),
        };
        held_now.map(|bytes| before + bytes)
    };
    let asking = asked.iter().enumerate().map(|(at, part)| gather(running, part, move |series| take(at, series)));
    let parts: Result<Vec<Part>, Broken> = join_all(asking).await.into_iter().collect();
    Ok(Given { parts: parts?, held: held.into_inner() })
}

/// The first and the last time, in nanoseconds, of the storage shard of a measurement that a time lies in; `None`: there is but
/// one, or nobody knows them.
fn shard_around(shards: &Shards, name: &str, time: i64) -> Option<(i64, i64)> {
    let starts = shards.get(name).filter(|starts| starts.len() > 1)?;
    let behind = starts.partition_point(|start| *start <= time);
    let start = if behind == 0 { TIME_MIN } else { starts[behind - 1] };
    Some((start, starts.get(behind).map_or(TIME_MAX, |next| next - 1)))
}

/// What was said, and beside it what the same call takes of each series in each of these times, one after the other: all of it
/// together is within the limit.
async fn again(
    running: &Running,
    gathering: &Gathering,
    evaluation: &Evaluation,
    ask: &Ask,
    through: Option<&Through>,
    (mut chosen, ranges): (Given, BTreeSet<(i64, i64)>),
) -> Result<Given, Broken> {
    for (start, end) in ranges {
        let within = gathering.within(TimeRange { start, end });
        let before = chosen.held.bytes();
        let more = given_beside(running, &within, evaluation, (ask, None), through, before).await?;
        let joining = move || chosen.held.joined(more.held);
        chosen.held = on_a_thread(&running.context.queries, joining).await.map_err(Broken::Refused)?;
        for (own, more) in chosen.parts.iter_mut().zip(more.parts) {
            own.behind = own.behind.take().or(more.behind);
            for message in more.messages {
                if !own.messages.contains(&message) {
                    own.messages.push(message);
                }
            }
        }
    }
    Ok(chosen)
}

/// When the storage shards of the measurements begin. Not told: of those whose groups cut time each in its own way, and where
/// InfluxDB does not say it, or not to the replicas' user.
async fn shards(running: &Running, gathering: &Gathering) -> Result<Shards, Refusal> {
    let mut policies = lookup::Policies::new(&running.context);
    let mut shards = Shards::new();
    for source in gathering.sources.iter().flat_map(|(_, sources)| sources) {
        let Source::Measurement(measurement) = source else { continue };
        let name = name_of(measurement).to_owned();
        if shards.contains_key(&name) {
            continue;
        }
        let owners = gathering.sources.iter().filter(|(_, sources)| sources.contains(source));
        let groups: Vec<GroupIndex> = owners.map(|(group, _)| *group).collect();
        match policies.starts(&groups, measurement).await? {
            Ok(known) if !known.overlap => drop(shards.insert(name, known.starts)),
            _ => {}
        }
    }
    Ok(shards)
}

/// The names that several sources have, be it of one measurement: of their rows nobody knows whose they are.
fn twins(gathering: &Gathering) -> BTreeSet<String> {
    let (mut places, mut several) = (BTreeMap::new(), BTreeSet::new());
    for (group, sources) in &gathering.sources {
        for source in sources {
            let Source::Measurement(measurement) = source else { continue };
            let (name, place) = (name_of(measurement), source.to_string());
            let (first, read_by) = places.entry(name).or_insert_with(|| (place.clone(), BTreeSet::new()));
            if *first != place || !read_by.insert(*group) {
                several.insert(name.to_owned());
            }
        }
    }
    several
}

/// All that one group says. `take` takes each series, and says how much memory all takes by now.
pub async fn gather(
    running: &Running,
    (group, part): &(GroupIndex, Select),
    mut take: impl FnMut(Series) -> Result<usize, String>,
) -> Result<Part, Broken> {
    let bytes_max = running.context.queries.config.query.merge_bytes_max.0;
    let rows = document_rows(part.fields.len());
    let begun = running.begin(&[*group], &part.to_string(), &first_source(part), None, rows).await;
    let mut partial = begun.map_err(Broken::Refused)?;
    let mut found = Part { behind: partial.behind.take(), messages: Vec::new() };
    let broken = |error| Broken::Refused(refuse(503, error));
    while let Some(result) = partial.next().await.map_err(broken)? {
        if let Some(error) = result.error {
            return Err(Broken::Failed(error));
        }
        found.messages.extend(result.messages);
        for series in result.series {
            let bytes = take(series).map_err(broken)?;
            if bytes > bytes_max {
                running.context.queries.stats.queries_limited_bytes.add(1);
                let error = format!(
                    "the rows that have to be gathered take more than {bytes_max} bytes (query.merge_bytes_max); ask for \
                     less time or fewer series, or GROUP BY the tags that the measurement is split by"
                );
                return Err(Broken::Refused(fails(error)));
            }
        }
        yield_if_needed().await;
    }
    Ok(found)
}

impl Held {
    /// Takes what a group says of a series; how much memory all takes now.
    fn take(&mut self, at: usize, series: Series, fields: usize) -> Result<usize, String> {
        match self {
            Held::Combination(combination) => combination.take(at, series)?,
            Held::Rows(groups, bytes) => *bytes += add(&mut groups[at], series, fields)?,
        }
        Ok(self.bytes())
    }

    fn runs_over(&self) -> bool {
        match self {
            Held::Combination(combination) => combination.runs_over(),
            Held::Rows(..) => false,
        }
    }

    fn hides_windows(&self) -> bool {
        match self {
            Held::Combination(combination) => combination.hides_windows(),
            Held::Rows(..) => false,
        }
    }

    fn equals(&self, evaluation: &Evaluation) -> BTreeSet<(String, i64)> {
        match self {
            Held::Combination(_) => BTreeSet::new(),
            Held::Rows(groups, _) => evaluation.equals(groups.iter().flatten()),
        }
    }

    /// With more rows of the same series.
    fn joined(mut self, more: Held) -> Held {
        let (Held::Rows(groups, bytes), Held::Rows(more, _)) = (&mut self, more) else { return self };
        for (own, more) in groups.iter_mut().zip(more) {
            let mut series: BTreeMap<String, Vec<Rows>> = BTreeMap::new();
            for rows in std::mem::take(own).into_iter().chain(more) {
                series.entry(rows.key()).or_default().push(rows);
            }
            own.extend(series.values().map(|parts| Rows::joined(parts)));
        }
        *bytes = groups.iter().flatten().map(Rows::bytes).sum();
        self
    }

    /// Whether what is made of it does, of points that their windows do not hold, or of their order.
    fn hangs_on_shards(&self, evaluation: &Evaluation) -> bool {
        let Held::Rows(groups, _) = self else { return false };
        let rows = || groups.iter().flatten();
        evaluation.may_lose_points() && evaluation.loses_points(rows())
            || evaluation.orders_in_shards(rows())
            || rows().any(|rows| evaluation.adds_in_shards(rows, Some))
    }

    /// Why it cannot be told, if it hangs on storage shards that nobody knows.
    fn adds_in_unknown(&self, evaluation: &Evaluation, twins: &BTreeSet<String>) -> Option<String> {
        let Held::Rows(groups, _) = self else { return None };
        groups.iter().flatten().find_map(|rows| evaluation.adds_in_unknown(rows, twins.contains(&rows.name), Some))
    }

    fn know_shards(&mut self, shards: &Shards) {
        let Held::Rows(groups, _) = self else { return };
        know_shards(groups.iter_mut().flatten(), shards);
    }

    fn bytes(&self) -> usize {
        match self {
            Held::Combination(combination) => combination.bytes(),
            Held::Rows(_, bytes) => *bytes,
        }
    }
}

/// From now on rows tell when their storage shards begin, as far as that is known.
pub fn know_shards<'a>(rows: impl Iterator<Item = &'a mut Rows>, shards: &Shards) {
    for rows in rows {
        if let Some(starts) = shards.get(&rows.name) {
            rows.know_shards(starts.clone());
        }
    }
}

/// Adds what a group says of a series to its rows; how much more memory they take.
pub fn add(rows: &mut Vec<Rows>, series: Series, fields: usize) -> Result<usize, String> {
    let Series { name, tags, values, .. } = series;
    match rows.last_mut().filter(|last| last.name == name && last.tags == tags) {
        Some(last) => {
            let before = last.bytes();
            last.extend(values, fields)?;
            Ok(last.bytes().saturating_sub(before))
        }
        None => {
            let mut new = Rows::new(name, tags);
            new.extend(values, fields)?;
            let bytes = new.bytes();
            rows.push(new);
            Ok(bytes)
        }
    }
}

/// What is made of what the groups said: the series of the answer, one after the other.
struct Making {
    evaluation: Evaluation,
    left: Left,
    carried: Carried,
}

/// What is still to be made.
enum Left {
    Combined(VecDeque<Combined>),
    Groups(Vec<Rows>, VecDeque<Group>),
}

impl Making {
    fn new(evaluation: Evaluation, held: Held) -> Result<Making, String> {
        let left = match held {
            Held::Combination(combination) => Left::Combined(evaluation.in_order(combination).into()),
            Held::Rows(groups, _) => {
                let rows: Vec<Rows> = groups.into_iter().flatten().collect();
                apart(&rows)?;
                let groups = evaluation.groups(&rows).into();
                Left::Groups(rows, groups)
            }
        };
        Ok(Making { evaluation, left, carried: Carried::default() })
    }

    /// The next series, of so many rows at least, if there are; none: that was all.
    fn next(&mut self) -> Result<Vec<Series>, Stop> {
        let (mut made, mut rows, mut ended) = (Vec::new(), 0, false);
        while rows < TOLD_ROWS && !ended {
            let next = match &mut self.left {
                Left::Combined(left) => left.pop_front().map(|next| self.evaluation.combined(next, &mut self.carried)),
                Left::Groups(all, left) => {
                    left.pop_front().map(|next| self.evaluation.series(all, &next, &mut self.carried))
                }
            };
            ended = next.is_none();
            let series = next.unwrap_or_else(|| self.evaluation.last_rows(&mut self.carried))?;
            rows += series.iter().map(|series| series.values.len()).sum::<usize>();
            made.extend(series.into_iter().flat_map(|series| self.evaluation.written(series)));
        }
        Ok(made)
    }
}

/// No series is in two groups.
pub fn apart(rows: &[Rows]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match rows.iter().map(Rows::key).find(|key| !seen.insert(key.clone())) {
        Some(key) => Err(format!("two groups have the series {key}: one has points that are not its own")),
        None => Ok(()),
    }
}

/// Makes the series of the answer, some at a time.
async fn tell(
    running: &mut Running,
    id: usize,
    mut making: Making,
    mut messages: Vec<Message>,
    gathering: &Gathering,
) -> Result<Ended, Refusal> {
    let (mut emitter, mut results) = (running.emitter(id), Vec::new());
    // Made here, each is cut alone.
    let mut alike = cuts_tag_sets(&gathering.select).then(Alike::default);
    loop {
        let (made, kept) = on_a_thread(&running.context.queries, move || (making.next(), making)).await?;
        making = kept;
        let series = match made {
            Ok(series) if series.is_empty() => break,
            Ok(series) => series,
            Err(stop) => return stopped(running, id, stop, &gathering.split).await,
        };
        if let Some(alike) = &mut alike {
            let added = series.iter().try_for_each(|series| alike.add(None, series));
            added.map_err(|reason| refuse(400, reason))?;
        }
        let result = StatementResult { series, ..StatementResult::default() };
        running.count(&result)?;
        result.series.into_iter().for_each(|series| emitter.push(series, &mut results));
        with_messages(&mut results, &mut messages);
        running.tell_all(&mut results).await?;
    }
    emitter.finish(&mut results);
    with_messages(&mut results, &mut messages);
    running.tell_all(&mut results).await?;
    Ok(Ended::Well)
}

/// Any group says what there is to say of a SELECT without fields.
async fn nothing(running: &mut Running, id: usize, gathering: &Gathering) -> Result<Ended, Refusal> {
    let Some((group, _)) = gathering.sources.first() else { return Err(refuse(500, "no group has the measurement")) };
    let text = gathering.select.to_string();
    running.relay(id, &[*group], &text, &first_source(&gathering.select), None).await
}

/// What InfluxDB has against a SELECT of which these are the groups' parts: a call that its argument's type does not have. It
/// says so once there is a series of it, which each group knows of its own, and before it reads any: so no more than a few rows
/// are asked for, and no more than the beginning of each answer is read. `likely`: what it says if there are series of all, and
/// what stands for it where a server finds no words.
pub async fn objection(
    running: &Running,
    parts: Vec<(GroupIndex, Select)>,
    likely: &str,
) -> Result<Option<String>, Refusal> {
    let first_row = |(group, part): (GroupIndex, Select)| {
        // top() of more rows than LIMIT lets through is something else that InfluxDB has against it.
        let number = |field: &Field| match &field.expr {
            Expr::Call(Call { args, .. }) => match args.last() {
                Some(Expr::Integer(number)) => u64::try_from(*number).ok(),
                _ => None,
            },
            _ => None,
        };
        let rows = part.fields.iter().filter_map(number).max().unwrap_or(1).max(1);
        let (limit, slimit) =
            (if part.limit == 0 { rows } else { part.limit }, if part.slimit == 0 { 1 } else { part.slimit });
        (group, Select { into: None, limit, slimit, ..part })
    };
    let asking = parts.into_iter().map(first_row).map(async |(group, part)| {
        let mut begun = running.begin(&[group], &part.to_string(), &first_source(&part), None, 1).await?;
        let first = deadline(running.context.until, begun.next()).await;
        let first = first.map_err(|_| refuse(503, "a group has not answered in time (query.timeout)"))?;
        Ok(first.map_err(|error| refuse(503, error))?.and_then(|result| result.error))
    });
    let told: Result<Vec<Option<String>>, Refusal> = join_all(asking).await.into_iter().collect();
    let mut told = told?.into_iter().flatten().peekable();
    let any = told.peek().cloned();
    let any = any.map(|error| if error.contains("[panic:") { likely.to_owned() } else { error });
    Ok(told.find(|error| error == likely).or(any))
}

/// What an explained SELECT asks the groups for, of which these are their parts, if they take it: `error` is what InfluxDB
/// says of a call in it when it runs. Where it only plans it lets some pass, and has other words for others.
pub async fn unfit(
    running: &mut Running,
    id: usize,
    parts: Vec<(GroupIndex, Select)>,
    error: &str,
    analyze: bool,
) -> Result<Result<Vec<(GroupIndex, Select)>, Ended>, Refusal> {
    let told = if analyze {
        objection(running, parts.clone(), error).await?
    } else {
        let planning = parts.iter().map(|(group, part)| lookup::invalid(&running.context, *group, part));
        let told: Result<Vec<Option<String>>, Refusal> = join_all(planning).await.into_iter().collect();
        let told: Vec<String> = told?.into_iter().flatten().collect();
        // A group that lacks the first of the fields finds fault with another.
        let own = told.iter().find(|told| lookup::running((*told).clone()) == error);
        own.or(told.first()).cloned()
    };
    match told {
        Some(told) => failed(running, id, told).await.map(Err),
        None => Ok(Ok(parts)),
    }
}

/// What stopped an evaluation, told; `split` says what stands in the way of asking one group.
pub async fn stopped(running: &mut Running, id: usize, stop: Stop, split: &str) -> Result<Ended, Refusal> {
    match stop {
        Stop::Wrong(error) => failed(running, id, error).await,
        Stop::Refused(what) => Err(refuse(400, format!("{what} over several groups is not supported yet: {split}"))),
        Stop::Rows(rows) => {
            running.context.queries.stats.queries_limited_rows.add(1);
            let max = running.context.queries.config.query.rows_max.0;
            Err(fails(format!("max-select-point limit exceeded: ({rows}/{max}) (query.rows_max)")))
        }
    }
}

/// They go with the first result.
pub fn with_messages(results: &mut [StatementResult], messages: &mut Vec<Message>) {
    if let Some(first) = results.first_mut() {
        first.messages.append(messages);
    }
}
