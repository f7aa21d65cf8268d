//! THE READ STORY, on one shard: from a client's query to its answer.
//!
//! 1. `request::read` takes the parameters from URL and form, as InfluxDB does.
//! 2. The topology is taken with its backends, once; the text is parsed whole.
//! 3. `plan::plan` says where it runs, or why it is refused.
//! 4. One group: `forward` asks one healthy replica, and the next if that one fails before its answer began; the answer
//!    streams through untouched. All groups: `show` merges their answers. Writing statements: `Delivery::execute`.
//! 5. A replica that has still to take points is asked last (`choose`). Its answer is stale: with a `warning` and a header,
//!    or it is not asked at all (`query.stale`).
//!
//! Used by `shard`; never by `ingest`.

mod choose;
mod forward;
mod output;
mod request;
mod running;
mod show;
mod warning;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::backend::{Backend, Backends, Current, NO_TOPOLOGY};
use crate::config::Config;
use crate::databases::LastSeen;
use crate::deliver::{Delivery, Executed, Execution};
use crate::influxql::{Query, Statement, parse_query};
use crate::merge::emit::{gather, not_executed};
use crate::merge::results::StatementResult;
use crate::net::{Body, Budget, deadline};
use crate::plan::show::plan as plan_show;
use crate::plan::{Circumstances, Plan, params, plan};
use crate::stats::{Recorder, ShardStats};
use crate::topology::{Backlogs, GroupIndex};

use choose::Behind;
use output::Output;
use request::Asked;
pub use running::RunningQueries;

/// What the read story needs of its shard.
pub struct Queries {
    pub config: Arc<Config>,
    pub backends: Rc<Current>,
    /// Other proxies that hold points for replicas.
    pub backlogs: Arc<ArcSwap<Backlogs>>,
    pub stats: Arc<ShardStats>,
    pub delivery: Rc<Delivery>,
    pub latency: Recorder,
    /// Queries at once.
    pub places: Rc<Budget>,
    /// Of all shards.
    pub running: Arc<RunningQueries>,
}

impl Queries {
    fn behind(&self, replica: &Backend) -> Option<Behind> {
        choose::behind(replica, &self.backlogs.load())
    }
}

/// Why there is no answer: a status and the client's error.
pub struct Refusal {
    pub status: u16,
    pub error: String,
}

fn refuse(status: u16, error: impl Into<String>) -> Refusal {
    Refusal { status, error: error.into() }
}

/// The whole story of one query.
pub async fn answer(queries: &Rc<Queries>, request: Request<Incoming>) -> Response<Body> {
    let began = Instant::now();
    let format = request::format(&request);
    let answer = run(queries, request, began).await;
    queries.latency.record(began.elapsed());
    answer.unwrap_or_else(|refusal| {
        queries.stats.queries_refused.add(1);
        let mut response = Response::new(Body::Whole(output::error(format, &refusal.error).into()));
        *response.status_mut() = http::StatusCode::from_u16(refusal.status).unwrap_or_default();
        let error = crate::http::error_header(&refusal.error);
        let headers = response.headers_mut();
        headers.insert("content-type", http::HeaderValue::from_static(format.content_type()));
        if let Ok(error) = http::HeaderValue::from_bytes(error.as_bytes()) {
            headers.insert("x-influxdb-error", error);
        }
        response
    })
}

async fn run(queries: &Rc<Queries>, request: Request<Incoming>, began: Instant) -> Result<Response<Body>, Refusal> {
    let asked = Rc::new(request::read(&queries.config.limits, request).await?);
    let backends = queries.backends.take().ok_or_else(|| refuse(503, NO_TOPOLOGY))?;
    let topology = &backends.topology;
    let q = asked.params.get("q");
    if q.is_empty() {
        return Err(refuse(400, "missing required parameter \"q\""));
    }
    let params = params::read(asked.params.get("params"))
        .map_err(|error| refuse(400, format!("error parsing query parameters: {error}")))?;
    let query = parse_query(q, &params).map_err(|error| refuse(400, format!("error parsing query: {error}")))?;
    let auth = &queries.config.auth;
    let may_write = auth.trust_clients || !topology.has_credentials();
    let circumstances = Circumstances { topology, db: asked.params.get("db"), may_write };
    let plan = plan(&query, circumstances);

    if let Plan::Refuse(reason) = plan {
        // 403 where rights are missing, as InfluxDB; 400 for what is not supported.
        let status = if reason.contains("auth.trust_clients") { 403 } else { 400 };
        return Err(refuse(status, reason));
    }
    let mut place = queries.places.hold();
    let until = began + queries.config.query.timeout;
    let waited = deadline(until, place.available()).await;
    waited.map_err(|_| refuse(503, "too many queries at once (query.concurrency_max); try again"))?;
    place.add(1);
    let registered = queries.running.begin(shown_text(&query), asked.params.get("db").to_owned(), began);
    if let Plan::Everywhere(groups) = plan {
        return execute(queries, backends.clone(), query, asked, groups, until).await;
    }
    let killed = registered.killed();
    let answered = async {
        match plan {
            Plan::Group(group) => forward::forward(queries, &backends, &query, &asked, &[group], until, place).await,
            Plan::Any => {
                let groups: Vec<GroupIndex> = topology.group_indexes().collect();
                forward::forward(queries, &backends, &query, &asked, &groups, until, place).await
            }
            Plan::Merge => show(queries, &backends, &query, &asked, circumstances, until).await,
            Plan::Everywhere(_) => Err(refuse(500, "a writing statement is no query")),
            Plan::Refuse(reason) => Err(refuse(400, reason)),
        }
    };
    let interrupted = async {
        killed.await;
        let mut results = Vec::new();
        let failed = StatementResult::failed(0, running::INTERRUPTED);
        let all = std::iter::once(failed).chain(not_executed(0, query.statements.len()));
        all.for_each(|result| gather(&mut results, result));
        Ok(Output::new(&asked).respond(results))
    };
    let response = futures_lite::future::or(interrupted, answered).await?;
    Ok(response.map(|body| registered.hold(body)))
}

/// A query as SHOW QUERIES tells of it.
fn shown_text(query: &Query) -> String {
    query.statements.iter().map(Statement::to_string).collect::<Vec<_>>().join(";\n")
}

async fn show(
    queries: &Rc<Queries>,
    backends: &Backends,
    query: &Query,
    asked: &Asked,
    circumstances: Circumstances<'_>,
    until: Instant,
) -> Result<Response<Body>, Refusal> {
    let output = Output::new(asked);
    let statement = &query.statements[0];
    let (statement_id, chunk_rows) = (0, output.chunk_rows());
    let plan = plan_show(statement, circumstances).ok_or_else(|| refuse(400, "not a SHOW statement"))?;
    let showing = show::Showing { queries, backends, asked, statement_id, statement, chunk_rows, until };
    let shown = show::show(&showing, plan).await?;
    let mut response = output.respond(shown.results);
    forward::mark_stale(&mut response, &shown.behind);
    Ok(response)
}

/// Writing statements, on every replica of their groups, with one `now()` for all.
async fn execute(
    queries: &Queries,
    backends: Rc<Backends>,
    mut query: Query,
    asked: Rc<Asked>,
    groups: Vec<GroupIndex>,
    until: Instant,
) -> Result<Response<Body>, Refusal> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ns = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
    query.statements.iter_mut().for_each(|statement| statement.replace_now(now_ns));
    let texts: Vec<String> = query.statements.iter().map(|statement| statement.to_forwardable()).collect();
    let text = texts.join("; ");
    let (db, rp) = (asked.params.get("db").to_owned(), asked.params.get("rp").to_owned());
    let limits = &queries.config.limits;
    let written = text.clone();
    let execution = Execution {
        groups,
        request: Box::new(move || asked.rewritten(&written)),
        db,
        rp,
        text,
        until,
        answer_bytes_max: limits.replica_answer_bytes_max.0,
    };
    match queries.delivery.execute(backends, execution).await {
        Executed::Everywhere(answer) => {
            if memchr::memmem::find(answer.body(), b"\"error\"").is_none() {
                query.statements.iter().for_each(|statement| learn(&queries.delivery.last_seen, statement));
            }
            let (head, body) = answer.into_parts();
            Ok(forward::passed_on(head, Body::Whole(body)))
        }
        Executed::Not { untouched, reason } => {
            if !untouched {
                tracing::error!(reason, "a statement was not carried out by all replicas");
            }
            Err(refuse(503, reason))
        }
    }
}

/// What a statement that was carried out changes of what InfluxDB has.
fn learn(last_seen: &LastSeen, statement: &Statement) {
    match statement {
        Statement::CreateDatabase(create) => {
            last_seen.seen(&create.name, create.policy_name.as_deref().unwrap_or_default());
        }
        Statement::DropDatabase { name } => last_seen.gone(name),
        Statement::CreateRetentionPolicy(create) => last_seen.seen(&create.database, &create.name),
        Statement::DropRetentionPolicy { name, database } => last_seen.gone_policy(database, name),
        _ => {}
    }
}
