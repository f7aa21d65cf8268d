//! Asks a replica for a sign of life. One shard does it for the whole process.

use std::ops::ControlFlow;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use hyper::Request;

use crate::net::{Payload, sleep_about};

use super::connection::PING;
use super::{Current, Pool};

/// Pings a replica after a while; no more once the topology in force does not name it. (What is idle may hold an earlier
/// topology for long.)
pub async fn watch(pool: Weak<Pool>, current: Rc<Current>, interval: Duration, timeout: Duration) -> ControlFlow<()> {
    sleep_about(interval).await;
    let named = |pool: &Rc<Pool>| current.take().is_some_and(|backends| backends.uses(pool));
    let Some(pool) = pool.upgrade().filter(named) else { return ControlFlow::Break(()) };
    check(&pool, timeout).await;
    ControlFlow::Continue(())
}

/// Pings a replica and keeps what it learns in the replica's statistics.
pub async fn check(pool: &Rc<Pool>, timeout: Duration) {
    let target = pool.target();
    let ping = || Request::get(PING).body(Payload::default());
    let until = Instant::now() + timeout;
    let answer = pool.exchange(ping, until).await;
    let failure = match answer {
        Ok(answer) if answer.status().is_success() => {
            let header = |name: &str| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
            if let Some(version) = header("x-influxdb-version") {
                let build = header("x-influxdb-build").unwrap_or_else(|| "OSS".to_owned());
                target.stats.version.store(Some((version, build).into()));
            }
            // Takes it off the connection, which is kept.
            answer.into_body().whole_by(1024, until).await.err().map(|error| error.to_string())
        }
        Ok(answer) => Some(format!("answered {} to /ping", answer.status())),
        Err(error) => Some(error.to_string()),
    };
    let (replica, url) = (&target.name, &target.url);
    if target.stats.set_up(failure.is_none()) {
        match failure {
            None => tracing::info!(replica, url, "replica is up"),
            Some(reason) => tracing::warn!(replica, url, reason, "replica is down"),
        }
    }
}
