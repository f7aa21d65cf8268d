//! One client connection: hyper over a stream.

use std::convert::Infallible;
use std::net::TcpStream;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use event_listener::Event;
use futures_lite::future;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::net::{Body, HyperTimer, Peer, Stream, deadline};

use super::Shard;
use super::front::{self, Api};

/// A request's head may be so long (its URL 64 KiB: hyper's limit).
const HEAD_BYTES_MAX: usize = 400 * 1024;

/// At the process's end: for the first request of a connection that has not had any.
const LAST_REQUEST: Duration = Duration::from_millis(500);

/// hyper refuses such a request before we see it, in no words.
const BARE_414: &[u8] = b"HTTP/1.1 414 ";
const URL_TOO_LONG: &[u8] = b"HTTP/1.1 414 URI Too Long\r\nContent-Type: application/json\r\n\
    X-Influxdb-Error: the URL is longer than 64 KiB: send q in the body of a POST\r\nContent-Length: 72\r\n\
    Connection: close\r\n\r\n{\"error\":\"the URL is longer than 64 KiB: send q in the body of a POST\"}\n";

impl Shard {
    /// Answers requests until the connection ends.
    pub(super) async fn converse(self: &Rc<Shard>, stream: TcpStream, api: Api) {
        // Only costs latency when it fails.
        let _ = stream.set_nodelay(true);
        let limits = &self.config.limits;
        let peer = Peer::of(&stream);
        let mut stream = match Stream::new(stream, limits.answer_timeout) {
            Ok(stream) => stream.instead_of(BARE_414, URL_TOO_LONG),
            Err(error) => return tracing::warn!(%error, "a client connection could not be served"),
        };
        let source = self.next_source();
        let targets = &stream.targets();
        let begun = Event::new();
        let (first, begins) = (begun.listen(), &begun);
        let service = service_fn(|request: Request<Incoming>| {
            begins.notify(usize::MAX);
            // At once, before hyper reads on.
            targets.borrow_mut().begun(request.body().size_hint().exact());
            async move { Ok::<Response<Body>, Infallible>(front::answer(self, api, request, peer, source).await) }
        });
        let connection = http1::Builder::new()
            .half_close(true)
            .title_case_headers(true)
            .max_buf_size(HEAD_BYTES_MAX)
            .timer(HyperTimer)
            .header_read_timeout(limits.header_timeout)
            .serve_connection(stream, service);
        let mut connection = pin!(connection);
        let drained = self.drain.listen();
        let asked_to_end = async {
            if !self.draining.get() {
                drained.await;
            }
            // A connection that was just accepted: its first request is on its way, and is answered.
            let _ = deadline(Instant::now() + LAST_REQUEST, first).await;
            None
        };
        let ended = future::or(async { Some(connection.as_mut().await) }, asked_to_end).await;
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a client connection broke off");
        }
    }
}
