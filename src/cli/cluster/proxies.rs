//! The proxies that are there, by what they say of themselves in ZooKeeper.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::control::Store;

use super::{Failure, Place};

/// How often it is looked again.
const POLL: Duration = Duration::from_millis(20);

/// `proxies/<id>`, as far as commands need it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Proxy {
    pub id: String,
    pub version: String,
    pub http: String,
    pub admin: String,
    /// That every core of it applies.
    pub epoch: u64,
    pub started: String,
}

impl Proxy {
    /// As operators know it.
    pub fn name(&self) -> &str {
        if self.http.is_empty() { &self.id } else { &self.http }
    }
}

/// All that are there, by address.
pub fn list(store: &mut dyn Store, place: &Place) -> Result<Vec<Proxy>, Failure> {
    let folder = place.znodes.proxies();
    let mut proxies = Vec::new();
    for id in store.children(&folder).map_err(Failure::new)? {
        // One that went meanwhile, or of a version that says something else, is none.
        let Some(entry) = store.read(&format!("{folder}/{id}")).map_err(Failure::new)? else { continue };
        proxies.extend(serde_json::from_slice::<Proxy>(&entry.data));
    }
    proxies.sort_by(|one, two| (&one.http, &one.id).cmp(&(&two.http, &two.id)));
    Ok(proxies)
}

/// How the proxies took a change.
pub struct Applied {
    pub took: Duration,
    pub proxies: usize,
    /// Those that do not apply it, in words.
    pub behind: Vec<String>,
}

/// Waits until every proxy applies an epoch, or until the time is up.
pub fn wait_epoch(store: &mut dyn Store, place: &Place, epoch: u64, timeout: Duration) -> Result<Applied, Failure> {
    wait(store, place, timeout, |proxy| match proxy.epoch {
        own if own >= epoch => None,
        own => Some(format!("{} (id {}) applies epoch {own}", proxy.name(), proxy.id)),
    })
}

/// Waits until `lacks` has nothing to say against any proxy, or until the time is up.
pub fn wait(
    store: &mut dyn Store,
    place: &Place,
    timeout: Duration,
    lacks: impl Fn(&Proxy) -> Option<String>,
) -> Result<Applied, Failure> {
    let began = Instant::now();
    loop {
        let proxies = list(store, place)?;
        let behind: Vec<String> = proxies.iter().filter_map(&lacks).collect();
        if behind.is_empty() || began.elapsed() >= timeout {
            return Ok(Applied { took: began.elapsed(), proxies: proxies.len(), behind });
        }
        // An event only ends the pause early; an end is seen by the next reading.
        let _ = store.wait(POLL);
    }
}
