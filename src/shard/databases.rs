//! The first shard asks one replica of each group which databases and retention policies it has, for `crate::databases`:
//! when one comes up where none could be asked before, when the topology changes, and every so often.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Request;

use crate::backend::{Backend, Backends};
use crate::databases::{DATABASES_MAX, List, Round};
use crate::http::params;
use crate::influxql::quote_ident;
use crate::merge::results::{StatementResult, Value, parse};
use crate::net::{Payload, sleep_about, spawn_loop};

use super::Shard;

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(10);
/// How often it is seen whether a round is worth while before that.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// For one group's answers.
const TIMEOUT: Duration = Duration::from_secs(10);
/// InfluxDB's own figures: no place for clients' points.
const INTERNAL: &str = "_internal";

/// The last round.
struct Last {
    at: Instant,
    backends: Rc<Backends>,
    /// Groups that had nobody to ask.
    dead: Vec<usize>,
}

/// Goes on for as long as the shard does.
pub(super) fn watch(shard: &Rc<Shard>) {
    if shard.index > 0 {
        return;
    }
    let last = Rc::new(RefCell::new(None));
    let watching = shard.clone();
    spawn_loop("databases", shard.queues.query, move || {
        let (shard, last) = (watching.clone(), last.clone());
        async move {
            if let Some(backends) = shard.backends.take().filter(|now| is_due(last.borrow().as_ref(), now)) {
                let at = Instant::now();
                let dead = (0..).zip(backends.topology.group_indexes());
                let dead =
                    dead.filter(|(_, group)| !backends.group(*group).iter().any(is_up)).map(|(number, _)| number);
                let dead = dead.collect();
                *last.borrow_mut() = Some(Last { at, backends: backends.clone(), dead });
                shard.process.last_seen.listed(round(&shard, &backends, at).await);
            }
            sleep_about(LOOK_EVERY).await;
            ControlFlow::Continue(())
        }
    });
}

fn is_up(backend: &Rc<Backend>) -> bool {
    backend.target.stats.is_up()
}

fn is_due(last: Option<&Last>, now: &Rc<Backends>) -> bool {
    let Some(last) = last else { return true };
    let groups: Vec<_> = now.topology.group_indexes().collect();
    let has_come_up = || last.dead.iter().any(|number| now.group(groups[*number]).iter().any(is_up));
    last.at.elapsed() >= EVERY || !Rc::ptr_eq(&last.backends, now) || has_come_up()
}

async fn round(shard: &Shard, backends: &Backends, began: Instant) -> Round {
    let bytes_max = shard.config.limits.replica_answer_bytes_max.0;
    let asked = backends.topology.group_indexes().map(async |group| {
        let id = backends.topology.group(group).id;
        let mut list = None;
        for replica in backends.group(group).iter().filter(|replica| is_up(replica)) {
            match ask(replica, bytes_max, began + TIMEOUT).await {
                Ok(found) => {
                    list = Some(found);
                    break;
                }
                Err(reason) => {
                    let replica = &replica.target.name;
                    tracing::debug!(replica, reason, "a replica did not tell which databases it has");
                }
            }
        }
        (id, list)
    });
    Round { began, groups: join_all(asked).await }
}

/// What one replica has.
async fn ask(replica: &Rc<Backend>, bytes_max: usize, until: Instant) -> Result<List, String> {
    let found = results(replica, "SHOW DATABASES", bytes_max, until).await?;
    let names = found.first().map(first_column).unwrap_or_default();
    let names: Vec<String> = names.into_iter().filter(|name| name != INTERNAL).take(DATABASES_MAX + 1).collect();
    if names.is_empty() {
        return Ok(List::new());
    }
    let statements: Vec<String> =
        names.iter().map(|name| format!("SHOW RETENTION POLICIES ON {}", quote_ident(name))).collect();
    let found = results(replica, &statements.join("; "), bytes_max, until).await?;
    if found.len() != names.len() {
        return Err(format!("{} answers to {} statements", found.len(), names.len()));
    }
    Ok(names.into_iter().zip(found.iter().map(|found| first_column(found).into_iter().collect())).collect())
}

async fn results(
    replica: &Rc<Backend>,
    q: &str,
    bytes_max: usize,
    until: Instant,
) -> Result<Vec<StatementResult>, String> {
    let body = Bytes::from(params::encode(&[("q", q)]));
    let request = || {
        let request = Request::post("/query").header("content-type", "application/x-www-form-urlencoded");
        request.body(Payload::from(body.clone()))
    };
    let answer = replica.pool.exchange(request, until).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = answer.into_body().whole_by(bytes_max, until).await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(format!("answered {status}: {}", String::from_utf8_lossy(&body).trim()));
    }
    let answer = parse(&body)?;
    let error = answer.error.clone().or_else(|| answer.results.iter().find_map(|result| result.error.clone()));
    error.map_or(Ok(answer.results), Err)
}

/// The names that a result lists.
fn first_column(result: &StatementResult) -> Vec<String> {
    let rows = result.series.iter().flat_map(|series| &series.values);
    rows.filter_map(|row| row.first().and_then(Value::as_str)).map(str::to_owned).collect()
}
