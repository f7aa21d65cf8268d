//! Reading a `/query` request, and writing it again for a replica.

use std::time::Instant;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};

use crate::config::Limits;
use crate::http::multipart::{self, Part};
use crate::http::params::{Params, encode};
use crate::influxql::named_in;
use crate::merge::format::Format;
use crate::net::{Payload, deadline, discard};

use super::{Refusal, refuse};

/// What clients say of themselves; replicas are spoken to with rights of their own.
const CREDENTIALS: [&str; 2] = ["u", "p"];
/// A longer query string goes as a form.
const URL_BYTES_MAX: usize = 60_000;
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// A request as the client made it.
pub struct Asked {
    pub method: Method,
    pub url: Params,
    pub form: Params,
    /// Form before URL.
    pub params: Params,
    /// The client's own URL, if a replica may read it as it stands.
    passable: Option<PathAndQuery>,
    accept: Option<HeaderValue>,
    accept_encoding: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

/// The format that a client wants its answer in.
pub fn format(accept: Option<&HeaderValue>, uri: &Uri) -> Format {
    format_of(accept, &Params::parse(uri.query().unwrap_or_default().as_bytes()))
}

fn format_of(accept: Option<&HeaderValue>, url: &Params) -> Format {
    let accept = accept.and_then(|accept| accept.to_str().ok());
    // Only the URL can ask for indented JSON.
    Format::of(accept.unwrap_or_default(), url.get("pretty") == "true")
}

pub async fn read(limits: &Limits, request: Request<Incoming>) -> Result<Asked, Refusal> {
    let header = |name| request.headers().get(name).cloned();
    let (accept, accept_encoding, user_agent) = (header(ACCEPT), header(ACCEPT_ENCODING), header(USER_AGENT));
    let url = Params::parse(request.uri().query().unwrap_or_default().as_bytes());
    let method = request.method().clone();
    if method != Method::POST {
        let passable = passable(request.uri(), &url);
        let (form, params) = (Params::default(), url.clone());
        return Ok(Asked { method, url, form, params, passable, accept, accept_encoding, user_agent });
    }
    let content_type = header(CONTENT_TYPE).unwrap_or(HeaderValue::from_static(""));
    let content_type = String::from_utf8_lossy(content_type.as_bytes()).into_owned();
    let kind = content_type.to_ascii_lowercase();
    let form = if kind.starts_with("multipart/form-data") {
        parts(&url, multipart::parse(&content_type, &read_form(limits, request.into_body()).await?))
    } else if kind.starts_with("application/x-www-form-urlencoded") {
        Params::parse(&read_form(limits, request.into_body()).await?)
    } else {
        discard(request.into_body()).await;
        Params::default()
    };
    let params = form.clone().chain(url.clone());
    Ok(Asked { method, url, form, params, passable: None, accept, accept_encoding, user_agent })
}

/// What a replica reads in it as we do, and has no credentials. A raw `;` parts parameters there, and what is no UTF-8 or no
/// sound escape has been left out or replaced here.
fn passable(uri: &Uri, url: &Params) -> Option<PathAndQuery> {
    let written = uri.path_and_query()?;
    let query = written.query()?.as_bytes();
    let is_whole = memchr::memchr_iter(b'&', query).count() + 1 == url.iter().count();
    let is_read_alike =
        is_whole && memchr::memchr(b';', query).is_none() && url.iter().all(|(_, value)| value.is_ascii());
    let is_known = |name: &str| name.is_ascii() && !CREDENTIALS.contains(&name);
    let may_pass = is_read_alike && query.len() <= URL_BYTES_MAX && url.iter().all(|(name, _)| is_known(name));
    may_pass.then(|| written.clone())
}

/// What a multipart body adds: the URL's parameters come before its fields, and a file `q` behind all.
fn parts(url: &Params, parts: Vec<Part>) -> Params {
    let is_new = |part: &Part| url.get(&part.name).is_empty();
    let (files, fields): (Vec<Part>, Vec<Part>) = parts.into_iter().filter(is_new).partition(|part| part.is_file);
    let query = files.into_iter().filter(|file| file.name == "q");
    Params::of(fields.into_iter().chain(query).map(|part| (part.name, part.value)))
}

async fn read_form(limits: &Limits, mut body: Incoming) -> Result<Vec<u8>, Refusal> {
    let mut form = Vec::new();
    let end = Instant::now() + limits.body_total_timeout;
    loop {
        let soon = end.min(Instant::now() + limits.body_timeout);
        match deadline(soon, body.frame()).await {
            Ok(None) => return Ok(form),
            Ok(Some(Ok(frame))) => form.extend_from_slice(frame.data_ref().map_or(&[][..], Bytes::as_ref)),
            Ok(Some(Err(_))) => return Err(refuse(400, "unexpected EOF")),
            Err(_) => return Err(refuse(408, "the form did not arrive in time (limits.body_timeout)")),
        }
        if form.len() > limits.body_bytes_max.0 {
            discard(body).await;
            return Err(refuse(413, "Request Entity Too Large"));
        }
    }
}

impl Asked {
    /// As the client wrote it, credentials left out; the answer is packed only if the client takes that and
    /// `may_be_packed`.
    pub fn as_written(&self, may_be_packed: bool) -> Result<Request<Payload>, http::Error> {
        if let Some(passable) = &self.passable {
            let request = self.begin(self.accept_encoding.as_ref().filter(|_| may_be_packed));
            return request.uri(passable.clone()).body(Payload::default());
        }
        let url = self.url.encode_without(&CREDENTIALS);
        let request = self.begin(self.accept_encoding.as_ref().filter(|_| may_be_packed));
        if self.method == Method::POST {
            let form = self.form.encode_without(&CREDENTIALS);
            return with_form(request.method(Method::POST), &url, form);
        }
        if url.len() > URL_BYTES_MAX {
            return with_form(request.method(Method::POST), "", url);
        }
        with_query(request, &url)
    }

    /// The same parameters with another text, and an answer that is not packed.
    pub fn rewritten(&self, q: &str) -> Result<Request<Payload>, http::Error> {
        self.with_text(q, &["params"])
    }

    /// The client's own text and what stands behind it, with the client's `params`.
    pub fn followed_by(&self, tail: &str) -> Result<Request<Payload>, http::Error> {
        self.with_text(&format!("{}{tail}", self.params.get("q")), &[])
    }

    fn with_text(&self, q: &str, without: &[&str]) -> Result<Request<Payload>, http::Error> {
        let without = [&["u", "p", "q", "pretty", "chunked", "chunk_size", "async"], without].concat();
        let kept = self.params.encode_without(&without);
        let pretty = if self.is_pretty() { "pretty=true" } else { "" };
        let own = if without.contains(&"params") { named_in(q) } else { None };
        let own = own.map(|own| encode(&[("params", own.as_str())]) + "&").unwrap_or_default();
        self.resent(pretty, &format!("{}&{own}{kept}", encode(&[("q", q)])), self.begin(None))
    }

    /// The same, for an answer in JSON that is merged here.
    pub fn for_merging(&self, q: &str) -> Result<Request<Payload>, http::Error> {
        self.for_us(q, &[], "application/json")
    }

    fn for_us(&self, q: &str, more: &[(&str, &str)], accept: &'static str) -> Result<Request<Payload>, http::Error> {
        let own = named_in(q);
        let own = own.as_deref().map(|own| ("params", own));
        let mut params = [&[("q", q), ("db", self.params.get("db")), ("rp", self.params.get("rp"))], more].concat();
        params.extend(own);
        self.resent("", &encode(&params), Request::builder().header(ACCEPT, accept))
    }

    /// The same, for one statement's part of an answer, in chunks of so many rows: in MessagePack or, with `json`, in JSON.
    pub fn for_part(&self, q: &str, chunk_rows: usize, json: bool) -> Result<Request<Payload>, http::Error> {
        let accept = if json { "application/json" } else { "application/x-msgpack" };
        self.for_us(q, &[("chunked", "true"), ("chunk_size", &chunk_rows.to_string())], accept)
    }

    /// From now on as if the client had said this.
    pub fn replace(&mut self, name: &str, value: &str) {
        self.passable = None;
        for params in [&mut self.url, &mut self.form, &mut self.params] {
            params.replace(name, value);
        }
    }

    /// The format that the client wants.
    pub fn format(&self) -> Format {
        format_of(self.accept.as_ref(), &self.url)
    }

    /// Whether the client wants its JSON indented; only the URL can say so.
    pub fn is_pretty(&self) -> bool {
        self.url.get("pretty") == "true"
    }

    /// Whether an answer may be packed.
    pub fn takes_gzip(&self) -> bool {
        self.accept_encoding.as_ref().is_some_and(|value| String::from_utf8_lossy(value.as_bytes()).contains("gzip"))
    }

    /// `url`: what InfluxDB reads there alone.
    fn resent(
        &self,
        url: &str,
        params: &str,
        request: http::request::Builder,
    ) -> Result<Request<Payload>, http::Error> {
        // GET is kept: InfluxDB warns about writing statements in one.
        if self.method == Method::POST || params.len() > URL_BYTES_MAX {
            return with_form(request.method(Method::POST), url, params.to_owned());
        }
        with_query(request, &format!("{params}&{url}"))
    }

    fn begin(&self, accept_encoding: Option<&HeaderValue>) -> http::request::Builder {
        let mut request = Request::builder();
        for (name, value) in [(ACCEPT, self.accept.as_ref()), (USER_AGENT, self.user_agent.as_ref())] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        match accept_encoding {
            Some(value) => request.header(ACCEPT_ENCODING, value),
            None => request,
        }
    }
}

fn with_query(request: http::request::Builder, query: &str) -> Result<Request<Payload>, http::Error> {
    request.uri(format!("/query?{query}")).body(Payload::default())
}

fn with_form(request: http::request::Builder, url: &str, form: String) -> Result<Request<Payload>, http::Error> {
    let request = request.uri(format!("/query?{url}")).header(CONTENT_TYPE, FORM);
    request.body(Payload::from(Bytes::from(form)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_passes_as_it_stands_where_a_replica_reads_the_same_in_it() {
        let passed = |text: &'static str| {
            let uri = Uri::from_static(text);
            let url = Params::parse(uri.query().unwrap_or_default().as_bytes());
            passable(&uri, &url).map(|passed| passed.to_string())
        };
        let as_it_stands = "/query?q=SELECT+%22v%22%20FROM+m%3b+SHOW+TAGS&db=d&pretty=true&x";
        assert_eq!(passed(as_it_stands).as_deref(), Some(as_it_stands));
        assert_eq!(passed("http://host/query?q=a").as_deref(), Some("/query?q=a"));
        for text in [
            "/query",
            "/query?q=a;b",
            "/query?q=a&u=me&p=secret",
            "/query?q=a&%75=me",
            "/query?q=a%zz&db=d",
            "/query?q=%ff",
            "/query?q=%C3%A4",
            "/query?q=a&&db=d",
        ] {
            assert_eq!(passed(text), None, "{text}");
        }
    }
}
