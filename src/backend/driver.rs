//! Whoever waits for an answer drives the connection that it comes over: no task of its own has to be woken for every piece.
//!
//! hyper wakes whoever waits for a piece, and whoever drives the connection once it is taken: here both are one, and what is
//! woken while it is polled is polled again at once. Used by `connection`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use hyper::client::conn::http1;

use crate::net::{Payload, Stream};

pub struct Driver {
    /// `None`: it has ended.
    connection: Option<Pin<Box<http1::Connection<Stream, Payload>>>>,
    relay: Arc<Relay>,
    /// Of the relay.
    waker: Waker,
}

/// Passes a wake-up on, unless the one to be woken is at it.
#[derive(Default)]
struct Relay {
    at_it: AtomicBool,
    again: AtomicBool,
    waiting: AtomicWaker,
}

impl Wake for Relay {
    fn wake(self: Arc<Relay>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Relay>) {
        self.again.store(true, Ordering::Relaxed);
        if !self.at_it.load(Ordering::Relaxed) {
            self.waiting.wake();
        }
    }
}

impl Driver {
    pub fn new(connection: http1::Connection<Stream, Payload>) -> Driver {
        let relay = Arc::new(Relay::default());
        Driver { connection: Some(Box::pin(connection)), waker: relay.clone().into(), relay }
    }

    /// Polls what comes over the connection, and the connection, until that is there or neither gets on.
    pub fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.relay.waiting.register(context.waker());
        self.relay.at_it.store(true, Ordering::Relaxed);
        let polled = loop {
            self.relay.again.store(false, Ordering::Relaxed);
            let mut context = Context::from_waker(&self.waker);
            let polled = wanted(&mut context);
            if polled.is_ready() {
                break polled;
            }
            if let Some(connection) = &mut self.connection
                && let Poll::Ready(ended) = connection.as_mut().poll(&mut context)
            {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection to a replica ended");
                }
                self.connection = None;
                continue;
            }
            if !self.relay.again.load(Ordering::Relaxed) {
                break Poll::Pending;
            }
        };
        self.relay.at_it.store(false, Ordering::Relaxed);
        polled
    }

    /// Lets the connection come to rest.
    pub fn settle(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let _ = self.poll::<()>(&mut context, |_| Poll::Pending);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::pin::pin;
    use std::thread;
    use std::time::{Duration, Instant};

    use http_body::Body;
    use hyper::Request;

    use super::*;
    use crate::net::{deadline, on_a_shard, sleep};

    const SOON: Duration = Duration::from_secs(10);

    /// Answers two requests, each answer in three pieces, and leaves.
    fn answering(listener: &TcpListener) {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        let mut request = Vec::new();
        for _ in 0..2 {
            while !request.ends_with(b"\r\n\r\n") {
                let mut bytes = [0; 256];
                let read = stream.read(&mut bytes).expect("it stays");
                assert!(read > 0, "it has asked for less than it should");
                request.extend_from_slice(&bytes[..read]);
            }
            request.clear();
            for piece in ["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", "one", "two"] {
                stream.write_all(piece.as_bytes()).expect("it stays");
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    #[test]
    fn whoever_waits_drives_the_connection() {
        on_a_shard(|| async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("it is bound");
            let answerer = thread::spawn(move || answering(&listener));
            let stream = Stream::connect(address, SOON, SOON).await.expect("it listens");
            let (mut sender, connection) = http1::handshake::<_, Payload>(stream).await.expect("a fresh connection");
            let mut driver = Driver::new(connection);
            for _ in 0..2 {
                driver.settle();
                assert!(sender.is_ready());
                let request = Request::builder().uri("/").body(Payload::default()).expect("it is one");
                let mut sending = pin!(sender.try_send_request(request));
                let answer = poll_fn(|context| driver.poll(context, |context| sending.as_mut().poll(context)));
                let answer = deadline(Instant::now() + SOON, answer).await.expect("in time").ok().expect("an answer");
                let mut body = answer.into_body();
                let mut whole = Vec::new();
                loop {
                    let frame = poll_fn(|context| {
                        driver
                            .poll(context, |context| Pin::new(&mut body).poll_frame(context).map(|f| f.map(Result::ok)))
                    });
                    let frame = deadline(Instant::now() + SOON, frame).await.expect("in time");
                    let Some(frame) = frame else { break };
                    whole.extend_from_slice(frame.expect("it is sound").data_ref().expect("no trailers"));
                }
                assert_eq!(whole, b"onetwo");
            }
            answerer.join().expect("it does not panic");
            // That it has left is noticed, some time.
            let until = Instant::now() + SOON;
            while sender.is_ready() && Instant::now() < until {
                sleep(Duration::from_millis(5)).await;
                driver.settle();
            }
            assert!(!sender.is_ready());
        });
    }
}
