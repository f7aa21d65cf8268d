//! Receives the body of a write frame by frame, within its limits.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::CONTENT_ENCODING;

use crate::batch::Builder;
use crate::http::gzip::{UnpackError, Unpacker};
use crate::net::{Held, deadline, discard, yield_if_needed};

use super::Ingest;

/// Why a body does not count. Nothing of it is stored.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyFault {
    TooLarge,
    CutShort,
    Gzip(UnpackError),
    TimedOut(&'static str),
    NoMemory(Duration),
}

impl std::fmt::Display for BodyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BodyFault::TooLarge => f.write_str("Request Entity Too Large"),
            BodyFault::CutShort => f.write_str("unexpected EOF"),
            BodyFault::Gzip(fault) => fault.fmt(f),
            BodyFault::TimedOut(limit) => write!(f, "the body did not arrive in time ({limit})"),
            BodyFault::NoMemory(waited) => {
                write!(f, "no memory for the body within {waited:?} (limits.inflight_bytes_max); try again")
            }
        }
    }
}

/// Hands the lines of a body to the builder; `Ok` only if it ended properly.
pub async fn read(
    ingest: &Ingest,
    request: Request<Incoming>,
    builder: &mut Builder,
    held: &mut Held,
) -> Result<(), BodyFault> {
    let limits = &ingest.config.limits;
    let bytes_max = limits.body_bytes_max.0;
    // Like InfluxDB: any other encoding is taken as none.
    let gzip = request.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    let mut unpacker = gzip.then(|| Unpacker::new(limits.unpacked_bytes_max.0));
    let mut body = request.into_body();
    if body.size_hint().lower() > bytes_max as u64 {
        discard(body).await;
        return Err(BodyFault::TooLarge);
    }
    let end = Instant::now() + limits.body_total_timeout;
    let mut received = 0;
    while let Some(frame) = next_frame(ingest, held, &mut body, end).await? {
        received += frame.len();
        if received > bytes_max {
            discard(body).await;
            return Err(BodyFault::TooLarge);
        }
        match &mut unpacker {
            None => {
                held.add(frame.len());
                builder.frame(&frame);
            }
            Some(unpacker) => {
                unpacker.frame(frame);
                if let Err(fault) = unpack(unpacker, builder, held).await {
                    discard(body).await;
                    return Err(fault);
                }
            }
        }
        yield_if_needed().await;
    }
    if let Some(mut unpacker) = unpacker {
        unpacker.end();
        unpack(&mut unpacker, builder, held).await?;
    }
    Ok(())
}

/// The next frame with data, and memory for it. Who is still to send does not hold up who has sent.
async fn next_frame(
    ingest: &Ingest,
    held: &Held,
    body: &mut Incoming,
    end: Instant,
) -> Result<Option<Bytes>, BodyFault> {
    let silence_max = ingest.config.limits.body_timeout;
    let soon = || end.min(Instant::now() + silence_max);
    loop {
        let data = match deadline(soon(), body.frame()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(frame))) => frame.into_data(),
            // Cut off, or chunks that are none: either way its end was not reached.
            Ok(Some(Err(_))) => return Err(BodyFault::CutShort),
            Err(_) if Instant::now() >= end => return Err(BodyFault::TimedOut("limits.body_total_timeout")),
            Err(_) => return Err(BodyFault::TimedOut("limits.body_timeout")),
        };
        // Trailers say nothing to us.
        let Ok(data) = data else { continue };
        deadline(soon(), held.available()).await.map_err(|_| BodyFault::NoMemory(silence_max))?;
        return Ok(Some(data));
    }
}

async fn unpack(unpacker: &mut Unpacker, builder: &mut Builder, held: &mut Held) -> Result<(), BodyFault> {
    loop {
        match unpacker.next_piece() {
            Ok(Some(piece)) => {
                held.add(piece.len());
                builder.frame(&piece);
            }
            Ok(None) => return Ok(()),
            Err(UnpackError::TooLarge) => return Err(BodyFault::TooLarge),
            Err(UnpackError::Truncated) => return Err(BodyFault::CutShort),
            Err(fault) => return Err(BodyFault::Gzip(fault)),
        }
        yield_if_needed().await;
    }
}
