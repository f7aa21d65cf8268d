//! A writing statement: on every replica of their groups, with one `now()` for all.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use hyper::Request;

use crate::backend::Backends;
use crate::databases::LastSeen;
use crate::deliver::{Executed, Execution};
use crate::influxql::Statement;
use crate::net::Payload;
use crate::topology::GroupIndex;

use super::request::Asked;
use super::{Queries, Refusal, refuse};

/// Makes a request of the statement's text.
pub type MakeRequest = Box<dyn Fn(&str) -> Result<Request<Payload>, http::Error>>;

/// Carries a statement out whose times are literals; what a replica answered.
pub async fn execute(
    queries: &Queries,
    backends: Rc<Backends>,
    statement: &Statement,
    asked: &Asked,
    groups: Vec<GroupIndex>,
    until: Instant,
    request: MakeRequest,
) -> Result<http::Response<Bytes>, Refusal> {
    let text = statement.to_forwardable();
    let (db, rp) = (asked.params.get("db").to_owned(), asked.params.get("rp").to_owned());
    let limits = &queries.config.limits;
    let written = text.clone();
    let execution = Execution {
        groups,
        request: Box::new(move || request(&written)),
        db,
        rp,
        text,
        until,
        answer_bytes_max: limits.replica_answer_bytes_max.0,
    };
    match queries.delivery.execute(backends, execution).await {
        Executed::Everywhere(answer) => {
            if memchr::memmem::find(answer.body(), b"\"error\"").is_none() {
                learn(&queries.delivery.last_seen, statement);
            }
            Ok(answer)
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
