//! What a listener counts.

use std::collections::BTreeMap;

use serde::Serialize;

use super::lines::Counted;

/// Requests, body bytes as sent, and lines of bodies once unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    pub lines: u64,
    pub requests: u64,
    pub bytes: u64,
}

impl Sums {
    fn add(&mut self, lines: u64, bytes: u64) {
        self.lines += lines;
        self.requests += 1;
        self.bytes += bytes;
    }
}

/// `lines`, `requests`, `bytes`: of writes answered with 204, over TCP and UDP of everything.
#[derive(Debug, Default, Serialize)]
pub struct Counters {
    #[serde(flatten)]
    stored: Sums,
    /// Writes that a fault kept from being answered with 204.
    failed: Sums,
    /// Bodies that broke off, or were no HTTP or gzip.
    broken: u64,
    queries: u64,
    pings: u64,
    databases: BTreeMap<String, Sums>,
    /// Database, then measurement.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    measurements: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Counters {
    pub fn stored(&mut self, db: &str, counted: Counted) {
        self.stored.add(counted.lines, counted.bytes);
        match self.databases.get_mut(db) {
            Some(sums) => sums.add(counted.lines, counted.bytes),
            None => self.databases.entry(db.to_owned()).or_default().add(counted.lines, counted.bytes),
        }
        if !counted.measurements.is_empty() {
            let of_db = self.measurements.entry(db.to_owned()).or_default();
            for (name, lines) in counted.measurements {
                *of_db.entry(String::from_utf8_lossy(&name).into_owned()).or_default() += lines;
            }
        }
    }

    pub fn failed(&mut self, counted: &Counted) {
        self.failed.add(counted.lines, counted.bytes);
    }

    pub fn broken(&mut self) {
        self.broken += 1;
    }

    pub fn query(&mut self) {
        self.queries += 1;
    }

    pub fn ping(&mut self) {
        self.pings += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_come_first_in_the_json() {
        let mut counters = Counters::default();
        counters.stored("a", Counted { lines: 3, bytes: 30, ..Counted::default() });
        counters.stored("b", Counted { lines: 2, bytes: 20, measurements: [(b"m".to_vec(), 2)].into() });
        counters.failed(&Counted { lines: 7, bytes: 70, ..Counted::default() });
        let json = serde_json::to_string(&counters).expect("keys are strings");
        assert!(json.starts_with(r#"{"lines":5,"requests":2,"bytes":50,"failed":{"lines":7,"#), "{json}");
        assert!(json.contains(r#""databases":{"a":{"lines":3,"#), "{json}");
        assert!(json.contains(r#""measurements":{"b":{"m":2}}"#), "{json}");
    }
}
