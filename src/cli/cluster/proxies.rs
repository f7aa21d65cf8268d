//! The proxies that are there, by what they say of themselves in ZooKeeper.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::control::{Store, StoreError};

use super::{Failure, Place};

/// How often it is looked again.
const POLL: Duration = Duration::from_millis(20);
/// The same while ZooKeeper is away.
const AWAY_POLL: Duration = Duration::from_millis(200);

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
    registered(store, place).map_err(Failure::new)
}

fn registered(store: &mut dyn Store, place: &Place) -> Result<Vec<Proxy>, StoreError> {
    let folder = place.znodes.proxies();
    let mut proxies = Vec::new();
    for id in store.children(&folder)? {
        // One that went meanwhile, or of a version that says something else, is none.
        let Some(entry) = store.read(&format!("{folder}/{id}"))? else { continue };
        proxies.extend(serde_json::from_slice::<Proxy>(&entry.data));
    }
    proxies.sort_by(|one, two| (&one.http, &one.id).cmp(&(&two.http, &two.id)));
    Ok(proxies)
}

/// Those that registered, did not end in good order, and are not there: crashed, or only cut off from ZooKeeper.
pub fn gone(store: &mut dyn Store, place: &Place, there: &[Proxy]) -> Result<Vec<Proxy>, Failure> {
    let folder = place.znodes.members();
    let mut gone = Vec::new();
    for id in store.children(&folder).map_err(Failure::new)? {
        if there.iter().any(|proxy| proxy.id == id) {
            continue;
        }
        // One that ended meanwhile is none.
        let Some(entry) = store.read(&format!("{folder}/{id}")).map_err(Failure::new)? else { continue };
        gone.extend(serde_json::from_slice::<Proxy>(&entry.data));
    }
    Ok(gone)
}

/// How the proxies took a change.
pub struct Applied {
    pub took: Duration,
    pub proxies: usize,
    /// Those that do not apply it, in words.
    pub behind: Vec<String>,
    /// Why that is not known: ZooKeeper was away to the end.
    pub unknown: Option<StoreError>,
}

/// Waits until every proxy applies an epoch, or until the time is up; `known` were there before.
pub fn wait_epoch(
    store: &mut Box<dyn Store>,
    place: &Place,
    known: &[Proxy],
    epoch: u64,
    timeout: Duration,
) -> Result<Applied, Failure> {
    wait(store, place, known, timeout, |proxy| match proxy.epoch {
        own if own >= epoch => None,
        own => Some(format!("{} (id {}) applies epoch {own}", proxy.name(), proxy.id)),
    })
}

/// Waits until `lacks` has nothing to say against any proxy, or until the time is up. ZooKeeper may be away meanwhile; a
/// proxy that was there and is not any more may still go by what it heard last.
pub fn wait(
    store: &mut Box<dyn Store>,
    place: &Place,
    known: &[Proxy],
    timeout: Duration,
    lacks: impl Fn(&Proxy) -> Option<String>,
) -> Result<Applied, Failure> {
    let began = Instant::now();
    let mut seen: BTreeMap<String, Proxy> = known.iter().map(|proxy| (proxy.id.clone(), proxy.clone())).collect();
    loop {
        let unknown = match registered(store.as_mut(), place) {
            Ok(there) => {
                seen.extend(there.iter().map(|proxy| (proxy.id.clone(), proxy.clone())));
                let gone = seen.values().filter(|proxy| there.iter().all(|own| own.id != proxy.id));
                let gone = gone.map(|proxy| format!("{} (id {}) is not registered any more", proxy.name(), proxy.id));
                let behind: Vec<String> = there.iter().filter_map(&lacks).chain(gone).collect();
                if behind.is_empty() || began.elapsed() >= timeout {
                    return Ok(Applied { took: began.elapsed(), proxies: seen.len(), behind, unknown: None });
                }
                None
            }
            Err(error) if error.is_over() => Some(error),
            Err(error) => return Err(Failure::new(error)),
        };
        if unknown.is_none() {
            // An event only ends the pause early; an end is seen by the next reading.
            let _ = store.wait(POLL);
            continue;
        }
        if began.elapsed() >= timeout {
            return Ok(Applied { took: began.elapsed(), proxies: seen.len(), behind: Vec::new(), unknown });
        }
        std::thread::sleep(AWAY_POLL);
        place.open().into_iter().for_each(|opened| *store = opened);
    }
}
