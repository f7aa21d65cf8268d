//! SELECT INTO: what the SELECT tells becomes points, which go through the write path as a client's would, wherever their
//! series belong.
//!
//! As in InfluxDB: written in requests of `BATCH_POINTS`, one after the other; the first that is refused ends the statement
//! with InfluxDB's words, and what was written before stays. The result tells how many points were written. Used by
//! `statement`.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use hyper::Method;

use crate::backend::WriteKey;
use crate::batch::{BatchLimits, Builder, ClientAnswer, Router, Stamps};
use crate::deliver::{Consistency, Write};
use crate::influxql::ast::{Call, Expr, Fill, Target};
use crate::influxql::inspect::Mention;
use crate::influxql::reduced::reduce_dimensions;
use crate::influxql::{Measurement, Select, Source, Statement};
use crate::lineprotocol::Precision;
use crate::merge::evaluate::written::{Apart, name_tags};
use crate::merge::points::push_lines;
use crate::merge::results::{Series, StatementResult, Value};
use crate::plan::Place;

use super::running::deprecated;
use super::select::failed;
use super::statement::{Context, Ended, Running};
use super::{Queries, Refusal, fails, fails_there, lookup, refuse};

/// Of one write.
const BATCH_POINTS: usize = 10_000;

/// Where results go instead of to the client.
pub struct Into {
    key: WriteKey,
    /// `None`: each series keeps its name.
    measurement: Option<String>,
    /// Which of the columns that come are tags.
    apart: Option<Apart>,
    /// No group's own answer tells what is to be written.
    pub made_here: bool,
    /// Points that have not been written.
    lines: Vec<u8>,
    points: usize,
    written: u64,
}

/// Runs a SELECT INTO whose SELECT is planned to run at this place.
pub async fn run(running: &mut Running, id: usize, statement: &Statement, place: Place) -> Result<Ended, Refusal> {
    let Statement::Select(select) = statement else { return Err(refuse(500, "only a SELECT is written")) };
    let mut read = select.as_ref().clone();
    let messages = match running.context.asked.method {
        Method::GET => vec![deprecated(&Statement::Select(Box::new(named_in_full(&running.context, &read).await?)))],
        _ => Vec::new(),
    };
    let target = read.into.take().ok_or_else(|| refuse(500, "a SELECT without INTO is not written"))?;
    reduce_dimensions(&mut read);
    // Windows without points are not written, not even where a count would be 0.
    if read.fill == Fill::Null && groups_by_time(&read) {
        read.fill = Fill::None;
    }
    name_tags(&mut read);
    let into = Into { apart: Apart::of(&read), ..Into::new(&running.context, &target)? };
    // What counts series is told of no rows.
    let is_limited = read.slimit > 0 || read.soffset > 0;
    let made_here = !is_limited && into.apart.as_ref().is_some_and(|apart| !apart.is_told());
    let into = Into { made_here, ..into };
    let place = if made_here { Place::Asks } else { place };
    // InfluxDB looks for it before it looks for what is read. Where both are one, whoever reads says the same.
    if !reads_there(&read, &into.key.db, running.context.asked.params.get("db"))
        && let Some(error) = lookup::no_database(&running.context, &into.key.db).await?
    {
        return failed(running, id, error).await;
    }
    running.into = Some(into);
    let ended = Box::pin(running.statement(id, &Statement::Select(Box::new(read)), place)).await;
    let into = running.into.take();
    let ended = ended?;
    if ended != Ended::Well {
        return Ok(ended);
    }
    let mut into = into.ok_or_else(|| refuse(500, "a SELECT INTO has lost its target"))?;
    into.write(&running.context).await?;
    running.tell(StatementResult { messages, ..into.result(id) }).await?;
    Ok(Ended::Well)
}

/// A SELECT as InfluxDB tells of it: with the database and the retention policy of every measurement.
pub async fn named_in_full(context: &Context, select: &Select) -> Result<Select, Refusal> {
    let mut select = select.clone();
    let mut defaults = Defaults { context, policies: BTreeMap::new() };
    if let Some(Target { database, retention_policy, .. }) = &mut select.into {
        defaults.set(database, retention_policy).await?;
    }
    let mut selects = vec![&mut select];
    while let Some(select) = selects.pop() {
        for source in &mut select.sources {
            match source {
                Source::Measurement(Measurement { database, retention_policy, .. }) => {
                    defaults.set(database, retention_policy).await?;
                }
                Source::Subquery(select) => selects.push(select),
            }
        }
    }
    Ok(select)
}

/// What a measurement means that does not say it.
struct Defaults<'a> {
    context: &'a Context,
    /// By database.
    policies: BTreeMap<String, Option<String>>,
}

impl Defaults<'_> {
    async fn set(&mut self, database: &mut Option<String>, policy: &mut Option<String>) -> Result<(), Refusal> {
        let params = &self.context.asked.params;
        let db = database.get_or_insert_with(|| params.get("db").to_owned()).clone();
        if policy.is_none() && !params.get("rp").is_empty() {
            *policy = Some(params.get("rp").to_owned());
        }
        if policy.is_none() {
            if !self.policies.contains_key(&db) {
                let found = lookup::default_policy(self.context, &db).await?;
                self.policies.insert(db.clone(), found);
            }
            *policy = self.policies.get(&db).cloned().flatten();
        }
        Ok(())
    }
}

/// Whether all measurements that are read lie in this database. `default` is that of those that do not say it.
fn reads_there(read: &Select, db: &str, default: &str) -> bool {
    let (mut some, mut all) = (false, true);
    read.visit_measurements(&mut |mention| {
        if let Mention::Source(measurement) = mention {
            some = true;
            all &= measurement.database.as_deref().unwrap_or(default) == db;
        }
    });
    some && all
}

fn groups_by_time(select: &Select) -> bool {
    let is_time = |expr: &Expr| matches!(expr, Expr::Call(Call { name, .. }) if name.eq_ignore_ascii_case("time"));
    select.group_by.iter().any(is_time)
}

impl Into {
    fn new(context: &Context, target: &Target) -> Result<Into, Refusal> {
        let params = &context.asked.params;
        let db = target.database.as_deref().unwrap_or(params.get("db"));
        if db.is_empty() {
            return Err(fails_there("database name required"));
        }
        let rp = target.retention_policy.as_deref().unwrap_or(params.get("rp"));
        let key = WriteKey { db: db.into(), rp: rp.into(), precision: Precision::Nanoseconds, consistency: "".into() };
        let (measurement, lines) = (target.name.clone(), Vec::new());
        Ok(Into { key, measurement, apart: None, made_here: false, lines, points: 0, written: 0 })
    }

    /// Series that are made here come with the tags that they are written with.
    pub fn come_with_tags(&mut self) {
        self.apart = None;
    }

    /// Takes rows; writes what has gathered.
    pub async fn take(&mut self, context: &Context, series: Vec<Series>) -> Result<(), Refusal> {
        let series = match &self.apart {
            None => series,
            Some(apart) => {
                let split: Result<Vec<Vec<Series>>, String> = series.iter().map(|series| apart.split(series)).collect();
                split.map_err(fails)?.concat()
            }
        };
        for series in &series {
            let points = push_lines(series, self.measurement.as_deref(), &mut self.lines).map_err(fails)?;
            self.points += points;
            if self.points >= BATCH_POINTS || self.lines.len() >= context.queries.config.write.request_bytes_max.0 {
                self.write(context).await?;
            }
        }
        Ok(())
    }

    async fn write(&mut self, context: &Context) -> Result<(), Refusal> {
        if self.points == 0 {
            return Ok(());
        }
        let Queries { delivery, backends, config, .. } = &*context.queries;
        // The statement may have run for long: what is written shall not lie where nobody looks any more.
        let backends = backends.take().unwrap_or_else(|| context.backends.clone());
        let settings = &config.write;
        let limits = BatchLimits { bytes_max: settings.request_bytes_max.0, points_max: settings.request_points_max.0 };
        let stamps = Stamps::same(Precision::Nanoseconds, context.now_ns);
        let mut builder = Builder::new(Router::new(backends.topology.clone(), &self.key.db), stamps, limits);
        builder.frame(&Bytes::from(std::mem::take(&mut self.lines)));
        let points = std::mem::take(&mut self.points) as u64;
        let write = Write {
            key: self.key.clone(),
            batches: Rc::new(builder.finish()),
            source: context.source,
            consistency: Consistency::Any,
            makes_database: false,
            held: None,
        };
        match delivery.write(backends, write).await {
            ClientAnswer { error: None, .. } => {
                self.written += points;
                Ok(())
            }
            ClientAnswer { status, error: Some(error) } => Err(refused(status, &error, &self.key.db)),
        }
    }

    fn result(&self, statement_id: usize) -> StatementResult {
        let written = Value::Integer(i64::try_from(self.written).unwrap_or(i64::MAX));
        let columns = ["time", "written"].map(str::to_owned).to_vec();
        let series =
            Series { name: "result".into(), columns, values: vec![vec![Value::Time(0), written]], ..Series::default() };
        StatementResult { statement_id, series: vec![series], ..StatementResult::default() }
    }
}

/// What a statement says of a write that was refused: InfluxDB's own words are those of its writer, not of its HTTP API.
fn refused(status: u16, error: &str, db: &str) -> Refusal {
    match status {
        404 if error.contains("database not found") => fails_there(format!("database not found: {db}")),
        503 => refuse(503, error),
        _ => fails_there(error),
    }
}
