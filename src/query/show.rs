//! A SHOW statement that every group answers for its own part.

use std::rc::Rc;
use std::time::Instant;

use futures_util::future::join_all;
use hyper::Response;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

use crate::backend::Backends;
use crate::http::gzip;
use crate::influxql::Query;
use crate::merge::format::{Format, Printer, Times};
use crate::merge::results::{Answer, Message, parse};
use crate::merge::show::merge;
use crate::net::Body;
use crate::topology::GroupIndex;

use super::choose::Behind;
use super::forward::{Candidates, candidates, first_answer, mark_stale};
use super::request::Asked;
use super::{Queries, Refusal, refuse};

/// Asks one replica of each group at once and merges what they say.
pub async fn show(
    queries: &Rc<Queries>,
    backends: &Backends,
    query: &Query,
    asked: &Asked,
    until: Instant,
) -> Result<Response<Body>, Refusal> {
    if let Some(format) = asked.other_format() {
        let error = format!("{format} is not supported yet for what is merged over groups; ask for application/json");
        return Err(refuse(406, error));
    }
    let text = query.to_string();
    // All first, so that nobody is asked when one of them refuses.
    let groups: Result<Vec<(GroupIndex, Candidates)>, Refusal> = (backends.topology.group_indexes())
        .map(|group| Ok((group, candidates(queries, backends, &[group], &text)?)))
        .collect();
    let groups = groups?;
    let asking = groups.iter().map(|(group, of)| partial(queries, backends, *group, of, asked, &text, until));
    let partials: Result<Vec<(Answer, Option<Behind>)>, Refusal> = join_all(asking).await.into_iter().collect();
    let (partials, behind): (Vec<Answer>, Vec<Option<Behind>>) = partials?.into_iter().unzip();
    let behind: Vec<Behind> = behind.into_iter().flatten().collect();
    let mut merged = merge(partials);
    if let Some(result) = merged.results.first_mut() {
        let warnings = behind.iter().map(|behind| Message::warning(behind.warning()));
        result.messages.splice(0..0, warnings);
    }
    let mut body = Vec::new();
    Printer::new(Format::Json { pretty: asked.is_pretty() }, Times::Rfc3339).print(&merged, &mut body);
    let mut response = if asked.takes_gzip() {
        let mut response = Response::new(Body::Whole(gzip::pack(&body).into()));
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        Response::new(Body::Whole(body.into()))
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    mark_stale(&mut response, &behind);
    Ok(response)
}

async fn partial(
    queries: &Queries,
    backends: &Backends,
    group: GroupIndex,
    candidates: &Candidates,
    asked: &Asked,
    text: &str,
    until: Instant,
) -> Result<(Answer, Option<Behind>), Refusal> {
    let topology = &backends.topology;
    let id = topology.group(group).id;
    let (_, first) = first_answer(queries, candidates, until, |_| asked.for_merging(text)).await?;
    // All groups' parts are held at once.
    let bytes_max = queries.config.query.merge_bytes_max.0 / topology.groups().len();
    let body = first.answer.into_body().whole(bytes_max).await;
    let body = body.map_err(|error| refuse(503, format!("group {id} {error} (query.merge_bytes_max)")))?;
    let answer = parse(&body).map_err(|error| refuse(503, format!("group {id}: {error}")))?;
    match answer.results.iter().any(|result| result.is_partial()) {
        false => Ok((answer, first.behind)),
        true => Err(refuse(503, format!("group {id} told only a part (max-row-limit of its replicas)"))),
    }
}
