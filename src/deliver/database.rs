//! Makes a database on every replica, for points that come without a request: InfluxDB's own UDP service does so too.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Request;

use crate::backend::{Backend, Backends};
use crate::http::params;
use crate::influxql::quote_ident;
use crate::net::Payload;

/// An answer to it is short.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Asks every replica at once; what went wrong, by replica. A database that is there already is left as it is.
pub async fn create_database(backends: &Backends, db: &str, until: Instant) -> Vec<String> {
    let body = Bytes::from(params::encode(&[("q", &format!("CREATE DATABASE {}", quote_ident(db)))]));
    let request = || {
        let request = Request::post("/query").header("content-type", "application/x-www-form-urlencoded");
        request.body(Payload::from(body.clone()))
    };
    let asked = backends.all().map(|replica| create(replica, &request, until));
    join_all(asked).await.into_iter().filter_map(Result::err).collect()
}

async fn create(
    replica: &Rc<Backend>,
    request: &impl Fn() -> Result<Request<Payload>, http::Error>,
    until: Instant,
) -> Result<(), String> {
    let name = &replica.target.name;
    let failed = |reason: &dyn std::fmt::Display| format!("replica {name} {reason}");
    let answer = replica.pool.exchange(request, until).await.map_err(|error| failed(&error))?;
    let status = answer.status();
    let body = answer.into_body().whole_by(ANSWER_BYTES_MAX, until).await.map_err(|error| failed(&error))?;
    let text = String::from_utf8_lossy(&body);
    if status.is_success() && !text.contains("\"error\"") {
        return Ok(());
    }
    Err(failed(&format_args!("answered {} {}", status.as_u16(), text.trim())))
}
