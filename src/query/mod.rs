//! THE READ STORY, on one shard: from a client's query to its answer.
//!
//! 1. `request::read` takes the parameters from URL and form, as InfluxDB does.
//! 2. The topology is taken with its backends, once; the text is parsed whole, or was lately (`texts`). What InfluxDB
//!    alone can judge in it (most regular expressions, time zones) it judges before anything runs.
//! 3. What looks away from now (`timeshift`) is taken out; `plan::plan` says where the rest runs, or why it is refused.
//! 4. One group has the whole answer: `forward` asks one healthy replica, and the next if that one fails before a byte of its
//!    answer is out; the answer streams through untouched.
//! 5. Else `statement` runs one statement after the other, at the place of each, and tells their results as they come
//!    (`output`): what one group answers is relayed; a SELECT over several (`select`) asks what they hold (`lookup`, and
//!    for SLIMIT which series, `slimit`), then each for its part (`partials`), and puts the series in order, or makes
//!    the answer of their rows (`gather`, and `subquery` where there are levels); SHOW over several servers: `show`; writing statements:
//!    `execute`; the points of a SELECT INTO: `into`.
//! 6. A query ends before its answer when it is killed or its client leaves (`running`).
//! 7. A replica that has still to take points is asked last (`choose`). Its answer is stale: with a `warning` and a header,
//!    or it is not asked at all (`query.stale`).
//!
//! Used by `shard`; never by `ingest`.

mod beside;
mod choose;
mod execute;
mod forward;
mod gather;
mod into;
mod lookup;
mod output;
mod partials;
mod request;
mod running;
mod select;
mod show;
mod slimit;
mod statement;
mod subquery;
mod texts;
mod timeshift;
mod turns;
mod warning;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use futures_lite::future;
use futures_util::FutureExt;
use glommio::TaskQueueHandle;
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::backend::{Backend, Backends, Current, NO_TOPOLOGY};
use crate::config::Config;
use crate::deliver::Delivery;
use crate::influxql::{Misread, Query};
use crate::net::{Body, Budget, Held, Peer, apart, deadline, spawn};
use crate::plan::{Circumstances, Plan, params};
use crate::stats::{Recorder, ShardStats};
use crate::topology::Backlogs;

use choose::Behind;
use output::Output;
pub use output::error as error_in;
use request::Asked;
pub use request::format;
use running::Registered;
pub use running::RunningQueries;
pub use texts::Texts;
use timeshift::Shifts;
use turns::in_own_queue;
pub use turns::{PANICKED, timed};

/// What the read story needs of its shard.
pub struct Queries {
    pub config: Arc<Config>,
    pub backends: Rc<Current>,
    /// Other proxies that hold points for replicas.
    pub backlogs: Arc<ArcSwap<Backlogs>>,
    pub stats: Arc<ShardStats>,
    pub delivery: Rc<Delivery>,
    pub latency: Recorder,
    /// Of their tasks.
    pub turns: Recorder,
    /// Of those that are put together here, so that ingest keeps its share of the core.
    pub queue: TaskQueueHandle,
    /// Queries at once.
    pub places: Rc<Budget>,
    /// Of these, those that hold what groups said.
    pub gathers: Rc<Budget>,
    pub texts: Texts,
    /// Of all shards.
    pub running: Arc<RunningQueries>,
    /// Which of them this is.
    pub shard: usize,
}

impl Queries {
    fn behind(&self, replica: &Backend) -> Option<Behind> {
        choose::behind(replica, &self.backlogs.load())
    }
}

/// How InfluxDB begins what it has against a text.
const PARSING: &str = "error parsing query: ";

/// Why there is no answer: a status and the client's error.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: u16,
    pub error: String,
    /// InfluxDB's own words about a statement, told where InfluxDB tells them: nowhere in CSV.
    pub influxdbs: bool,
    /// A replica's user may not ask that.
    pub denied: bool,
}

fn refuse(status: u16, error: impl Into<String>) -> Refusal {
    Refusal { status, error: error.into(), influxdbs: false, denied: false }
}

/// The same, of a statement that failed as InfluxDB's own fail: told in an answer with 200.
fn fails(error: impl Into<String>) -> Refusal {
    refuse(200, error)
}

/// The same, in InfluxDB's words and for its reasons.
fn fails_there(error: impl Into<String>) -> Refusal {
    Refusal { influxdbs: true, ..fails(error) }
}

const MISSING_Q: &str = "missing required parameter \"q\"";

/// The whole story of one query.
pub async fn answer(queries: &Rc<Queries>, request: Request<Incoming>, client: Peer) -> Response<Body> {
    let began = Instant::now();
    let (accept, uri) = (request.headers().get(hyper::header::ACCEPT).cloned(), request.uri().clone());
    let answer = run(queries, request, client, began).await;
    queries.latency.record(began.elapsed());
    answer.unwrap_or_else(|refusal| {
        let format = request::format(accept.as_ref(), &uri);
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

async fn run(
    queries: &Rc<Queries>,
    request: Request<Incoming>,
    client: Peer,
    began: Instant,
) -> Result<Response<Body>, Refusal> {
    let mut asked = request::read(&queries.config.limits, request).await?;
    let backends = queries.backends.take().ok_or_else(|| refuse(503, NO_TOPOLOGY))?;
    let topology = &backends.topology;
    let q = asked.params.get("q");
    if q.is_empty() {
        return Err(refuse(400, MISSING_Q));
    }
    let params = params::read(asked.params.get("params")).map_err(|error| refuse(400, error))?;
    let until = began + queries.config.query.timeout;
    let mut query = match queries.texts.read(q, &params) {
        Ok(query) => query,
        Err(Misread { error, unproven }) => {
            if unproven && let Some(_place) = place(queries, Some(client), until).await? {
                let theirs = apart(|| forward::parse_error(queries, &backends, &asked, until, true)).await;
                if let Some(theirs) = theirs {
                    return Ok(theirs);
                }
            }
            return Err(refuse(400, format!("{PARSING}{error}")));
        }
    };
    // As the client wrote it.
    let shown = query.clone();
    let shifts = Shifts::read(queries, &backends, &mut asked, &mut query, until).await?;
    let asked = Rc::new(asked);
    let auth = &queries.config.auth;
    let may_write = auth.trust_clients || !topology.has_credentials();
    let plan = shifts.plan(&query, Circumstances { topology, db: asked.params.get("db"), may_write });

    if let Plan::Refuse(reason) = plan {
        // 403 where rights are missing, as InfluxDB; 400 for what is not supported.
        let status = if reason.contains("auth.trust_clients") { 403 } else { 400 };
        return Err(refuse(status, reason));
    }
    let content_type = http::HeaderValue::from_static(asked.format().content_type());
    let is_async = asked.params.get("async") == "true" && !matches!(plan, Plan::Whole(_));
    let client = (!is_async).then_some(client);
    let Some(place) = place(queries, client, until).await? else {
        return Ok(interrupted(&asked, query.statements.len()));
    };
    let registered = queries.running.begin(shown, asked.params.get("db").to_owned(), began, queries.shard);
    let registered = registered.waited_for(client);
    // Before a statement runs InfluxDB has parsed them all.
    if query.unproven
        && !matches!(plan, Plan::Whole(_))
        && let Some(refused) = apart(|| forward::parse_error(queries, &backends, &asked, until, false)).await
    {
        return Ok(refused);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ns = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
    let shifts = Rc::new(shifts);
    let is_whole = matches!(plan, Plan::Whole(_));
    let planned = Planned { backends, query, asked, shifts, plan, until, now_ns, place, registered };
    let answered = apart(|| planned.answer(queries.clone()));
    if is_whole {
        return answered.await;
    }
    if !is_async {
        return in_own_queue(queries, answered).await;
    }
    let unheard = async move {
        match answered.await {
            Ok(response) => drain(response.into_body()).await,
            Err(refusal) => tracing::warn!(reason = refusal.error, "a query whose client does not wait was refused"),
        }
    };
    spawn("async query", queries.queue, timed(queries.clone(), apart(|| unheard)));
    let mut response = Response::new(Body::Whole(Default::default()));
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    response.headers_mut().insert("content-type", content_type);
    Ok(response)
}

/// A place among the queries at once; `None`: the client has left before there was one.
async fn place(queries: &Queries, client: Option<Peer>, until: Instant) -> Result<Option<Held>, Refusal> {
    let mut place = queries.places.hold();
    let waited = async { Some(deadline(until, place.available()).await) };
    let given_up = async {
        running::left(client).await;
        None
    };
    match future::or(waited, given_up).await {
        Some(Ok(())) => place.add(1),
        Some(Err(_)) => {
            queries.stats.queries_limited_concurrency.add(1);
            return Err(refuse(503, "too many queries at once (query.concurrency_max); try again"));
        }
        None => return Ok(None),
    }
    Ok(Some(place))
}

/// Reads an answer that nobody wants to its end.
async fn drain(mut body: Body) {
    use http_body_util::BodyExt;
    while let Some(Ok(_)) = body.frame().await {}
}

/// The answer to a request of so many statements that was killed before it had said anything.
fn interrupted(asked: &Asked, statements: usize) -> Response<Body> {
    let mut output = Output::new(asked);
    let whole = output.whole(running::interrupted(statements));
    output.respond(Body::Whole(whole))
}

/// A query that may run now.
struct Planned {
    backends: Rc<Backends>,
    query: Arc<Query>,
    asked: Rc<Asked>,
    shifts: Rc<Shifts>,
    plan: Plan,
    until: Instant,
    now_ns: i64,
    place: Held,
    registered: Registered,
}

impl Planned {
    async fn answer(self, queries: Rc<Queries>) -> Result<Response<Body>, Refusal> {
        let Planned { backends, query, asked, shifts, plan, until, now_ns, place, registered } = self;
        match plan {
            Plan::Whole(groups) => {
                let killed = registered.killed().map(|()| None);
                let forwarded = || forward::forward(&queries, &backends, &query, &asked, &groups, until, place);
                // A future that has a name is held twice.
                match future::or(killed, forwarded().map(Some)).await {
                    Some(answer) => Ok(answer?.map(|body| body.of(registered))),
                    None => Ok(interrupted(&asked, query.statements.len())),
                }
            }
            Plan::Everywhere(groups) => {
                let asking = asked.clone();
                let request = Box::new(move |text: &str| asking.rewritten(text));
                // There is one: that is what the plan says.
                let Some(mut statement) = query.statements.first().cloned() else { return Err(refuse(400, MISSING_Q)) };
                statement.replace_now(now_ns);
                let carried_out = async {
                    let execute = || execute::execute(&queries, backends, &statement, &asked, groups, until, request);
                    let answer = apart(execute).await?;
                    let (head, body) = answer.into_parts();
                    Ok(forward::passed_on(head, Body::Whole(body)))
                };
                // Killed, it comes to its end all the same.
                let killed = async {
                    registered.killed().await;
                    Ok(interrupted(&asked, 1))
                };
                future::or(killed, carried_out).await
            }
            Plan::Each(places) => {
                let source = registered.id();
                let queries = queries.clone();
                let context =
                    statement::Context { queries, backends, asked, shifts, until, now_ns, registered, source };
                apart(|| statement::answer(context, query, places, place)).await
            }
            Plan::Refuse(reason) => Err(refuse(400, reason)),
        }
    }
}
