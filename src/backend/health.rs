//! Asks a replica for a sign of life. One shard does it for the whole process.

use std::rc::Rc;
use std::time::{Duration, Instant};

use glommio::timer::sleep;
use hyper::Request;

use crate::net::Payload;

use super::Backend;

/// Pings a replica after a while.
pub async fn watch(backend: Rc<Backend>, interval: Duration, timeout: Duration) {
    sleep(interval).await;
    check(&backend, timeout).await;
}

/// Pings a replica and keeps what it learns in the replica's statistics.
pub async fn check(backend: &Backend, timeout: Duration) {
    let ping = || Request::get("/ping").body(Payload::default());
    let answer = backend.pool.exchange(ping, Instant::now() + timeout).await;
    let failure = match answer {
        Ok(answer) if answer.status().is_success() => {
            let header = |name: &str| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
            if let Some(version) = header("x-influxdb-version") {
                let build = header("x-influxdb-build").unwrap_or_else(|| "OSS".to_owned());
                backend.target.stats.version.store(Some((version, build).into()));
            }
            // Takes it off the connection, which is kept.
            answer.into_body().whole(1024).await.err().map(|error| error.to_string())
        }
        Ok(answer) => Some(format!("answered {} to /ping", answer.status())),
        Err(error) => Some(error.to_string()),
    };
    let (replica, url) = (&backend.target.name, &backend.target.url);
    if backend.target.stats.set_up(failure.is_none()) {
        match failure {
            None => tracing::info!(replica, url, "replica is up"),
            Some(reason) => tracing::warn!(replica, url, reason, "replica is down"),
        }
    }
}
