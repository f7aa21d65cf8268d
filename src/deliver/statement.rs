//! Writing statements (DDL, DELETE, DROP, users) to every replica of the groups that they concern.
//!
//! Until statements can wait for a replica that is away, one that is down refuses them for all: nothing is carried out
//! by some and forgotten by others without the client hearing of it.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Request;

use crate::backend::{Backend, Backends, RequestError, health};
use crate::net::Payload;
use crate::topology::GroupIndex;

/// A statement as replicas get it.
pub struct Execution<'a> {
    pub groups: &'a [GroupIndex],
    pub request: &'a dyn Fn() -> Result<Request<Payload>, http::Error>,
    pub until: Instant,
    pub answer_bytes_max: usize,
}

/// What came of it.
pub enum Executed {
    /// All replicas said the same.
    Everywhere(http::Response<Bytes>),
    /// Some did not; what each did. Nothing was sent to any if `untouched`.
    Not { untouched: bool, reason: String },
}

type Answer = Result<http::Response<Bytes>, RequestError>;

/// Carries a statement out on all replicas of its groups at once.
pub async fn execute(backends: &Backends, execution: Execution<'_>) -> Executed {
    let replicas: Vec<&Rc<Backend>> = execution.groups.iter().flat_map(|group| backends.group(*group)).collect();
    join_all(replicas.iter().map(|replica| health::check_new(replica))).await;
    let down: Vec<&str> = (replicas.iter().filter(|replica| !replica.target.stats.is_up()))
        .map(|replica| replica.target.name.as_str())
        .collect();
    if !down.is_empty() {
        let reason = format!("replica {} is down; nothing was carried out", down.join(", "));
        return Executed::Not { untouched: true, reason };
    }
    let asked = replicas.iter().map(|replica| ask(replica, &execution));
    let answers: Vec<(&str, Answer)> = join_all(asked).await;
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, answer) in &answers {
        let text = describe(answer);
        match said.iter_mut().find(|(other, _)| *other == text) {
            Some((_, names)) => names.push(name),
            None => said.push((text, vec![name])),
        }
    }
    match answers.into_iter().next() {
        Some((_, Ok(answer))) if said.len() == 1 && answer.status().is_success() => Executed::Everywhere(answer),
        _ => {
            let cut = |text: &str| text.chars().take(300).collect::<String>();
            let said = said.iter().map(|(text, names)| format!("replica {} {}", names.join(", "), cut(text)));
            let reason = said.collect::<Vec<_>>().join("; ");
            Executed::Not { untouched: false, reason: format!("not every replica carried it out: {reason}") }
        }
    }
}

async fn ask<'a>(replica: &'a Backend, execution: &Execution<'_>) -> (&'a str, Answer) {
    let name = replica.target.name.as_str();
    let answer = match replica.pool.exchange(execution.request, execution.until).await {
        Ok(answer) => answer,
        Err(error) => return (name, Err(error)),
    };
    let (head, body) = answer.into_parts();
    let body = body.whole(execution.answer_bytes_max).await;
    (name, body.map(|body| http::Response::from_parts(head, body)))
}

fn describe(answer: &Answer) -> String {
    match answer {
        Err(error) => error.to_string(),
        Ok(answer) => {
            format!("answered {} {}", answer.status().as_u16(), String::from_utf8_lossy(answer.body()).trim())
        }
    }
}
