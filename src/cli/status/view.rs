//! What one proxy sees: its `/metrics`, as far as operators ask for it here.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::topology::UdpListener;

use super::super::cluster::influx;
use super::super::cluster::metrics::{PROXY_TIMEOUT, figures, udp_listeners};
use super::super::cluster::proxies::Proxy;

#[derive(Debug, Default, PartialEq, Serialize)]
pub struct View {
    pub epoch: u64,
    pub zookeeper_connected: bool,
    /// How long it has not been confirmed, if that is longer than the proxy's limit.
    pub unconfirmed_seconds: Option<u64>,
    /// Why it refuses the topology in ZooKeeper.
    pub refusal: Option<String>,
    /// Why it refuses the UDP listeners in ZooKeeper.
    pub udp_refusal: Option<String>,
    /// The UDP listeners that it has open.
    #[serde(skip)]
    pub udp: Vec<UdpListener>,
    /// By name; also those that only spools know.
    pub replicas: BTreeMap<String, Seen>,
}

/// A replica as one proxy sees it.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Seen {
    /// `None`: no health check of it is known.
    pub up: Option<bool>,
    /// `direct`, `spooling` or `draining`.
    pub state: String,
    pub points: u64,
    pub bytes: u64,
    pub age_seconds: u64,
    pub parked_points: u64,
    /// An operator must act.
    pub blocked: bool,
}

/// Asks all of them at once.
pub fn ask(proxies: Vec<Proxy>) -> Vec<(Proxy, Result<View, String>)> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = proxies
            .into_iter()
            .map(|proxy| {
                let admin = proxy.admin.clone();
                let asking =
                    scope.spawn(move || influx::get(&admin, "/metrics", PROXY_TIMEOUT).map(|text| read(&text)));
                (proxy, asking)
            })
            .collect();
        let heard = asked.into_iter();
        heard.map(|(proxy, asking)| (proxy, asking.join().unwrap_or(Err("panicked".to_owned())))).collect()
    })
}

fn read(text: &str) -> View {
    let mut view = View { udp: udp_listeners(text), ..View::default() };
    let (mut unconfirmed, mut seconds) = (false, 0);
    for figure in figures(text) {
        let number = figure.value as u64;
        match figure.name {
            "slotline_topology_epoch" => view.epoch = number,
            "slotline_zookeeper_connected" => view.zookeeper_connected = number == 1,
            "slotline_topology_unconfirmed" => unconfirmed = number == 1,
            "slotline_topology_confirmed_seconds_ago" => seconds = number,
            "slotline_topology_refusal" => view.refusal = Some(figure.label("reason")),
            "slotline_udp_document_refusal" => view.udp_refusal = Some(figure.label("reason")),
            _ => {}
        }
        let name = figure.label("backend");
        if name.is_empty() {
            continue;
        }
        let seen = view.replicas.entry(name).or_default();
        match figure.name {
            "slotline_backend_up" => seen.up = Some(number == 1),
            "slotline_backend_state" => seen.state = figure.label("state"),
            "slotline_spool_points" => seen.points = number,
            "slotline_spool_bytes" => seen.bytes = number,
            "slotline_spool_age_seconds" => seen.age_seconds = number,
            "slotline_spool_parked_points" => seen.parked_points = number,
            "slotline_spool_blocked" => seen.blocked = number > 0,
            _ => {}
        }
    }
    view.unconfirmed_seconds = unconfirmed.then_some(seconds);
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_read() {
        let text = "slotline_topology_epoch 7\nslotline_zookeeper_connected 0\nslotline_topology_unconfirmed 1\n\
                    slotline_topology_confirmed_seconds_ago 61.5\nslotline_backend_up{backend=\"a\"} 1\n\
                    slotline_spool_points{backend=\"a\"} 3\nslotline_spool_blocked{backend=\"gone\"} 1\n\
                    slotline_backend_state{backend=\"a\",state=\"draining\"} 1\n";
        let a = Seen { up: Some(true), state: "draining".to_owned(), points: 3, ..Seen::default() };
        let gone = Seen { blocked: true, ..Seen::default() };
        let replicas = [("a".to_owned(), a), ("gone".to_owned(), gone)].into();
        let want = View { epoch: 7, unconfirmed_seconds: Some(61), replicas, ..View::default() };
        assert_eq!(read(text), want);
    }
}
