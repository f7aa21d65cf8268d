//! Results -> the client's answer, in its format: whole, or a document for each result as it comes (`chunked=true`).

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

use crate::http::gzip;
use crate::merge::emit::{CHUNK_ROWS, gather};
use crate::merge::format::{Format, Printer, Times};
use crate::merge::results::{Answer, StatementResult};
use crate::net::Body;

use super::request::Asked;

/// Prints one answer.
#[derive(Clone)]
pub struct Output {
    printer: Printer,
    chunked: bool,
    chunk_rows: usize,
    takes_gzip: bool,
    /// What is printed at the end, as a whole.
    whole: Vec<StatementResult>,
}

impl Output {
    pub fn new(asked: &Asked) -> Output {
        let chunked = asked.params.get("chunked") == "true";
        let size = asked.params.get("chunk_size").parse::<i64>().ok().and_then(|size| usize::try_from(size).ok());
        Output {
            printer: Printer::new(asked.format(), Times::of(asked.params.get("epoch"))),
            chunked,
            chunk_rows: size.filter(|size| chunked && *size > 0).unwrap_or(CHUNK_ROWS),
            takes_gzip: asked.takes_gzip(),
            whole: Vec::new(),
        }
    }

    /// Rows of a result, for `Emitter`.
    pub fn chunk_rows(&self) -> usize {
        self.chunk_rows
    }

    /// Takes the next result; what can be told already is appended to `out`.
    pub fn push(&mut self, result: StatementResult, out: &mut Vec<u8>) {
        if self.chunked {
            return self.printer.print(&Answer { results: vec![result], error: None }, out);
        }
        gather(&mut self.whole, result);
    }

    /// Every result has come.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.chunked {
            self.printer.print(&Answer { results: std::mem::take(&mut self.whole), error: None }, out);
        }
    }

    /// The body of a response with all of these results, gzipped if the client takes that.
    pub fn whole(&mut self, results: Vec<StatementResult>) -> Bytes {
        let mut body = Vec::new();
        results.into_iter().for_each(|result| self.push(result, &mut body));
        self.finish(&mut body);
        if self.takes_gzip { gzip::pack(&body).into() } else { body.into() }
    }

    /// Whether the body is packed.
    pub fn takes_gzip(&self) -> bool {
        self.takes_gzip
    }

    /// Whether a statement's result says why it failed. CSV has no place for it: InfluxDB leaves its own errors out there. What
    /// was not answered here must be seen: then it is told as an error of the whole answer.
    pub fn tells_failures(&self) -> bool {
        self.printer.format() != Format::Csv
    }

    /// An error of the whole answer, behind what was told of it.
    pub fn error(&mut self, error: &str) -> Vec<u8> {
        let mut body = Vec::new();
        self.printer.print(&Answer { results: Vec::new(), error: Some(error.to_owned()) }, &mut body);
        body
    }

    /// A response with this body, which is packed if the client takes that.
    pub fn respond(&self, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        let content_type = HeaderValue::from_static(self.printer.format().content_type());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        if self.takes_gzip {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// An error of the request as a whole, in the client's format.
pub fn error(format: Format, error: &str) -> Vec<u8> {
    let mut body = Vec::new();
    let answer = Answer { results: Vec::new(), error: Some(error.to_owned()) };
    Printer::new(format, Times::Rfc3339).print(&answer, &mut body);
    body
}
