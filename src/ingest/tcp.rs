//! Line protocol over a plain TCP stream: THE WRITE STORY without a request.
//!
//! 1. The stream is cut at newlines; a line without a time gets a stamp later than that of the line before.
//! 2. `Flow` gathers and delivers; while it is full the stream is not read.
//! 3. A line longer than `limits.line_bytes_max` closes the connection. What follows the last newline at the end is
//!    dropped and counted: a line cut short can be a wrong point.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use futures_lite::future;

use crate::batch::Stamps;
use crate::net::{Stream, deadline, spawn, yield_if_needed};
use crate::topology::LineTarget;

use super::flow::{Flow, unless};
use super::{Ingest, now_ns};

/// The read buffer grows from the first to the last, for those who fill it.
const READ_BYTES_MIN: usize = 16 * 1024;
const READ_BYTES_MAX: usize = 256 * 1024;
/// At the process's end: how long a sender may be silent, and send on.
const LAST_SILENCE: Duration = Duration::from_millis(20);
const LAST_READ_MAX: Duration = Duration::from_secs(1);

/// Reads a connection to its end, or until `asked_to_end`, and delivers what came.
pub async fn serve(
    ingest: &Rc<Ingest>,
    mut stream: Stream,
    target: &LineTarget,
    source: u64,
    asked_to_end: impl Future<Output = ()>,
) {
    let line_bytes_max = ingest.config.limits.line_bytes_max.0;
    let mut asked_to_end = pin!(asked_to_end);
    let begun = Flow::begin(ingest, target, Stamps::rising, |stats| &stats.points_received_tcp, source);
    let Some(flow) = unless(asked_to_end.as_mut(), begun).await else { return };
    flow.add(0, |builder| builder.limit_lines(line_bytes_max));
    let running = flow.clone();
    spawn("tcp flow", glommio::executor().current_task_queue(), async move { running.run().await });
    let silence_max = ingest.config.limits.stream_timeout;
    let ended = future::or(async { Some(read(&mut stream, &flow, silence_max).await) }, async {
        asked_to_end.await;
        None
    });
    let ended = ended.await;
    // Whom we close hears it at once; whoever has closed its side hears ours when all is delivered.
    let closed_by_us = matches!(ended, Some(End::Silent | End::NoMemory | End::LineTooLong(_)));
    let counted = matches!(ended, Some(End::LineTooLong(_)));
    match ended {
        Some(End::Closed) => {}
        Some(End::Silent) => ingest.stats.tcp_idle.add(1),
        Some(End::NoMemory) => ingest.stats.tcp_no_memory.add(1),
        Some(End::LineTooLong(bytes)) => {
            ingest.stats.tcp_lines_too_long.add(1);
            tracing::warn!(bytes, db = %target.db, "a line over TCP is longer than limits.line_bytes_max; its connection is closed");
        }
        // What has arrived by now is taken; a sender that goes on without a pause is cut off.
        None => drop(deadline(Instant::now() + LAST_READ_MAX, read(&mut stream, &flow, LAST_SILENCE)).await),
    }
    let stream = Some(stream).filter(|_| !closed_by_us);
    let left = flow.add(0, |builder| builder.carried());
    if left > 0 && !counted {
        ingest.stats.tcp_lines_unfinished.add(1);
        tracing::debug!(db = %target.db, bytes = left, "a TCP stream ended within a line, which is dropped");
    }
    flow.end().await;
    drop(stream);
}

/// How a stream ended.
enum End {
    Closed,
    Silent,
    /// For the end of a line that has begun (`limits.inflight_bytes_max`).
    NoMemory,
    /// So many bytes of it had come.
    LineTooLong(usize),
}

async fn read(stream: &mut Stream, flow: &Flow, silence_max: Duration) -> End {
    let mut size = READ_BYTES_MIN;
    let mut buffer = BytesMut::zeroed(size);
    loop {
        if !flow.room().await {
            return if flow.has_ended() { End::Closed } else { End::NoMemory };
        }
        let read = match deadline(Instant::now() + silence_max, stream.read(&mut buffer)).await {
            Ok(Ok(read @ 1..)) => read,
            Ok(Ok(0) | Err(_)) => return End::Closed,
            Err(_) => return End::Silent,
        };
        if read == buffer.len() {
            size = (size * 4).min(READ_BYTES_MAX);
        }
        let frame = buffer.split_to(read).freeze();
        let too_long = flow.add(read, |builder| {
            builder.arrived(now_ns());
            builder.frame(&frame);
            builder.too_long()
        });
        if let Some(bytes) = too_long {
            return End::LineTooLong(bytes);
        }
        if buffer.len() < READ_BYTES_MIN / 4 {
            buffer = BytesMut::zeroed(size);
        }
        yield_if_needed().await;
    }
}
