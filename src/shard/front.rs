//! The HTTP front: which path is whose, and the headers that every answer carries.

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};

use crate::admin::metrics_text;
use crate::backend::NO_TOPOLOGY;
use crate::http::json;
use crate::http::params::Params;
use crate::http::{error_body, error_header};
use crate::ingest::Dialect;
use crate::net::{Body, Peer, apart, discard};
use crate::{ingest, query};

use super::Shard;

/// Who listens on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Influx,
    Admin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Write(Dialect),
    Query,
    Flux,
    Prometheus,
    Ping,
    Health,
    Ready,
    Metrics,
}

/// Path, methods as InfluxDB lists them, route, whether the admin port has it too.
const ROUTES: [(&str, &[Method], Route, bool); 11] = [
    ("/write", &[Method::OPTIONS, Method::POST], Route::Write(Dialect::V1), false),
    ("/api/v2/write", &[Method::POST], Route::Write(Dialect::V2), false),
    ("/api/v2/query", &[Method::POST], Route::Flux, false),
    ("/api/v1/prom/write", &[Method::POST], Route::Prometheus, false),
    ("/api/v1/prom/read", &[Method::POST], Route::Prometheus, false),
    ("/query", &[Method::OPTIONS, Method::GET, Method::POST], Route::Query, false),
    ("/ping", &[Method::GET, Method::HEAD], Route::Ping, true),
    ("/status", &[Method::GET, Method::HEAD], Route::Ping, false),
    ("/health", &[Method::GET], Route::Health, true),
    ("/ready", &[Method::GET], Route::Ready, true),
    ("/metrics", &[Method::GET], Route::Metrics, true),
];

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// As InfluxDB 1.8 says it.
const NO_FLUX: &str =
    "Flux query service disabled. Verify flux-enabled=true in the [http] section of the InfluxDB config.\n";

const NO_PROMETHEUS: &str = "slotline does not offer Prometheus' remote write and read: write line protocol to /write \
                             (Telegraf makes it of remote writes), and query in InfluxQL at /query";

/// Answers one request.
pub async fn answer(
    shard: &Rc<Shard>,
    api: Api,
    request: Request<Incoming>,
    client: Peer,
    source: u64,
) -> Response<Body> {
    let path = request.uri().path();
    let found = ROUTES.iter().find(|(own, _, _, admin)| *own == path && (api == Api::Influx || *admin));
    let Some((_, methods, route, _)) = found else {
        discard(request.into_body()).await;
        return own_headers(shard, plain(StatusCode::NOT_FOUND, "404 page not found\n"));
    };
    if !methods.contains(request.method()) {
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        insert(response.headers_mut(), ALLOW, &names.join(", "));
        discard(request.into_body()).await;
        return own_headers(shard, response);
    }
    let id = request_id(request.headers());
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = match (route, request.method()) {
        (_, &Method::OPTIONS) => Response::new(Body::Whole(Default::default())),
        (Route::Write(dialect), _) => write(shard, *dialect, request, source).await,
        (Route::Query, _) => query(shard, request, client).await,
        (Route::Flux, _) => {
            discard(request.into_body()).await;
            plain(StatusCode::FORBIDDEN, NO_FLUX)
        }
        (Route::Prometheus, _) => {
            discard(request.into_body()).await;
            let mut response = refused_in(error_body(NO_PROMETHEUS).into_bytes(), NO_PROMETHEUS);
            *response.status_mut() = StatusCode::NOT_FOUND;
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            response
        }
        (Route::Ping, _) => ping(shard, &request),
        (Route::Health, _) => health(shard),
        (Route::Ready, _) => ready(shard),
        (Route::Metrics, _) => {
            let mut response = Response::new(Body::from(metrics_text(&shard.process)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(X_REQUEST_ID, id);
    if let Some(origin) = origin {
        allow_origin(headers, origin);
    }
    own_headers(shard, response)
}

/// In the format that the client accepts, like a query's answer.
async fn write(shard: &Rc<Shard>, dialect: Dialect, request: Request<Incoming>, source: u64) -> Response<Body> {
    let (accept, uri) = (request.headers().get(ACCEPT).cloned(), request.uri().clone());
    let answer = ingest::write(&shard.ingest, dialect, request, source).await;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // The URL only says whether an error is indented.
    let uri = if answer.error.is_some() { uri } else { Uri::default() };
    let format = query::format(accept.as_ref(), &uri);
    let mut response = match &answer.error {
        None => Response::new(Body::Whole(Default::default())),
        Some(error) => refused_in(query::error_in(format, error), error),
    };
    *response.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    response
}

/// A client that leaves ends its query.
async fn query(shard: &Rc<Shard>, request: Request<Incoming>, client: Peer) -> Response<Body> {
    use futures_lite::FutureExt;
    let queries = &shard.queries;
    let timed = query::timed(queries.clone(), apart(|| query::answer(queries, request, client)));
    let answer = std::panic::AssertUnwindSafe(timed).catch_unwind().await;
    answer.unwrap_or_else(|_| {
        let mut response = refused(query::PANICKED);
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// InfluxDB's error answer, its status still to be set.
fn refused(error: &str) -> Response<Body> {
    let mut response = refused_in(error_body(error).into_bytes(), error);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The same in these words of the client's format, which is still to be set too.
fn refused_in(body: Vec<u8>, error: &str) -> Response<Body> {
    let mut response = Response::new(Body::Whole(body.into()));
    insert(response.headers_mut(), HeaderName::from_static("x-influxdb-error"), &error_header(error));
    response
}

fn ping(shard: &Shard, request: &Request<Incoming>) -> Response<Body> {
    let unfit = match () {
        () if shard.process.is_draining() => Some("draining"),
        () if !shard.process.has_topology() => Some(NO_TOPOLOGY),
        () => None,
    };
    if let Some(reason) = unfit {
        let mut response = refused(reason);
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    }
    let format = query::format(request.headers().get(ACCEPT), request.uri());
    let params = Params::parse(request.uri().query().unwrap_or_default().as_bytes());
    let mut response = Response::new(Body::Whole(Default::default()));
    if matches!(params.get("verbose"), "" | "0" | "false") {
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    } else {
        let (version, _) = shard.process.version();
        *response.body_mut() = Body::from(format!("{{\"version\":{}}}\n", json::string(&version)));
        response.headers_mut().insert(CONTENT_TYPE, JSON);
    }
    response
}

fn health(shard: &Shard) -> Response<Body> {
    let version = json::string(&shard.process.version().0);
    let mut response = Response::new(Body::from(format!(
        "{{\"checks\":[],\"message\":\"ready for queries and writes\",\"name\":\"influxdb\",\"status\":\"pass\",\
         \"version\":{version}}}\n"
    )));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn ready(shard: &Shard) -> Response<Body> {
    match shard.process.unready() {
        None => {
            let unconfirmed = shard.process.unconfirmed().map(|text| format!("{text}\n"));
            plain(StatusCode::OK, &format!("ready\n{}", unconfirmed.unwrap_or_default()))
        }
        Some(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {reason}\n")),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// The client's own id, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given =
        [X_REQUEST_ID, REQUEST_ID].iter().find_map(|name| headers.get(name).filter(|id| !id.is_empty()).cloned());
    given.unwrap_or_else(|| {
        let random = fastrand::u128(..).to_ne_bytes();
        let id = uuid::Builder::from_random_bytes(random).into_uuid();
        let mut text = uuid::Uuid::encode_buffer();
        HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).unwrap_or(HeaderValue::from_static(""))
    })
}

fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    let allowed =
        "Accept, Accept-Encoding, Authorization, Content-Length, Content-Type, X-CSRF-Token, X-HTTP-Method-Override";
    headers.insert("access-control-allow-origin", origin);
    headers.insert("access-control-allow-methods", HeaderValue::from_static("DELETE, GET, OPTIONS, POST, PUT"));
    headers.insert("access-control-allow-headers", HeaderValue::from_static(allowed));
    let exposed = HeaderValue::from_static("Date, X-InfluxDB-Version, X-InfluxDB-Build");
    headers.insert("access-control-expose-headers", exposed);
}

/// InfluxDB's version, on every answer: clients choose by it how to behave.
fn own_headers(shard: &Shard, mut response: Response<Body>) -> Response<Body> {
    if !response.headers().contains_key("x-influxdb-version") {
        let (version, build) = shard.process.version();
        insert(response.headers_mut(), HeaderName::from_static("x-influxdb-version"), &version);
        insert(response.headers_mut(), HeaderName::from_static("x-influxdb-build"), &build);
    }
    response
}

/// Sets a header; a value that cannot be one is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}
