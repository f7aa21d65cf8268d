//! A request that one group answers alone: one replica is asked, its answer passes through untouched.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::response::Parts;
use http_body::Frame;
use hyper::Response;
use hyper::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, TRANSFER_ENCODING};

use crate::backend::{Backend, Backends, Lent};
use crate::influxql::Query;
use crate::influxql::inspect::Mention;
use crate::net::{Body, BodyError, Held};
use crate::topology::GroupIndex;

use super::request::Asked;
use super::{Queries, Refusal, choose, refuse};

/// Headers of a replica's answer that are about its connection, or that we set ourselves.
const OWN_HEADERS: [HeaderName; 6] = [
    CONNECTION,
    TRANSFER_ENCODING,
    CONTENT_LENGTH,
    DATE,
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-request-id"),
];

/// Asks one replica after the other until one begins to answer.
pub async fn forward(
    queries: &Rc<Queries>,
    backends: &Backends,
    query: &Query,
    asked: &Asked,
    groups: &[GroupIndex],
    until: Instant,
    place: Held,
) -> Result<Response<Body>, Refusal> {
    let key = key(query);
    let replicas = groups.iter().flat_map(|group| choose::in_order(backends.group(*group), &key));
    let answer = first_answer(queries, &replicas.collect::<Vec<_>>(), until, || asked.as_written()).await?;
    let (head, body) = answer.into_parts();
    Ok(passed_on(head, Body::Stream(Box::pin(Placed { body, place }))))
}

/// The first answer that is not the replica's own failure.
pub async fn first_answer(
    queries: &Queries,
    replicas: &[Rc<Backend>],
    until: Instant,
    request: impl Fn() -> Result<hyper::Request<crate::net::Payload>, http::Error>,
) -> Result<Response<Lent>, Refusal> {
    let mut failures = Vec::new();
    for replica in replicas {
        let name = &replica.target.name;
        match replica.pool.exchange(&request, until).await {
            Ok(answer) if answer.status().is_server_error() || matches!(answer.status().as_u16(), 401 | 403) => {
                let status = answer.status().as_u16();
                let text = answer.into_body().whole(4096).await.unwrap_or_default();
                failures.push(format!("replica {name} answered {status}: {}", String::from_utf8_lossy(&text).trim()));
            }
            Ok(answer) => return Ok(answer),
            Err(error) => failures.push(format!("replica {name} {error}")),
        }
        queries.stats.queries_failed_over.add(1);
    }
    let reason = if failures.is_empty() { "there is no serving replica".to_owned() } else { failures.join("; ") };
    Err(refuse(503, format!("no answer: {reason}")))
}

/// What decides which replica is asked: the first measurement.
fn key(query: &Query) -> String {
    let mut key = String::new();
    for statement in &query.statements {
        statement.visit_measurements(&mut |mention| {
            if let (true, Mention::Source(measurement)) = (key.is_empty(), mention) {
                key = measurement.to_string();
            }
        });
    }
    key
}

/// A replica's answer as our own.
pub fn passed_on(mut head: Parts, body: Body) -> Response<Body> {
    OWN_HEADERS.iter().for_each(|name| drop(head.headers.remove(name)));
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// An answer that keeps its place among the queries at once until it has ended.
struct Placed {
    body: Lent,
    #[expect(dead_code, reason = "held, not read")]
    place: Held,
}

impl http_body::Body for Placed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
