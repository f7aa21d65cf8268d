//! UDP listeners as written: the `udp` znode, which holds those that every proxy opens, and `config.toml`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::lineprotocol::Precision;

use super::document::read_json;

/// What a UDP listener is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpListener {
    pub bind: SocketAddr,
    /// Where its points go.
    pub target: LineTarget,
    pub spread: Spread,
}

/// Where line protocol goes that comes without a request: over TCP or UDP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LineTarget {
    /// Never empty.
    pub db: String,
    /// Empty: the database's default.
    pub rp: String,
    pub precision: Precision,
}

/// How datagrams are shared out over the cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// One busy sender feeds every core.
    #[default]
    Random,
    /// All of a sender's datagrams go to one core, in their order.
    Source,
}

impl Spread {
    pub fn parse(text: &str) -> Option<Spread> {
        match text {
            "random" => Some(Spread::Random),
            "source" => Some(Spread::Source),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Spread::Random => "random",
            Spread::Source => "source",
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    bind: String,
    db: String,
    #[serde(default)]
    rp: String,
    #[serde(default = "nanoseconds")]
    precision: String,
    #[serde(default = "random")]
    spread: String,
}

fn nanoseconds() -> String {
    Precision::Nanoseconds.as_str().to_owned()
}

fn random() -> String {
    Spread::Random.as_str().to_owned()
}

/// Whether two addresses cannot both be listened on.
pub fn overlap(one: SocketAddr, two: SocketAddr) -> bool {
    let same_ip = one.ip() == two.ip() || one.ip().is_unspecified() || two.ip().is_unspecified();
    one.port() != 0 && one.port() == two.port() && same_ip
}

/// Reads the znode's document, or says every fault of it.
pub fn parse_udp(json: &[u8]) -> Result<Vec<UdpListener>, String> {
    let list: Vec<Written> = read_json(json).map_err(|error| format!("not a list of UDP listeners: {error}"))?;
    let mut faults = Vec::new();
    let mut listeners: Vec<UdpListener> = Vec::new();
    for (at, written) in list.iter().enumerate() {
        match written.read() {
            Ok(listener) => match listeners.iter().find(|other| overlap(other.bind, listener.bind)) {
                Some(other) => faults.push(format!("{} and {} are the same port", other.bind, listener.bind)),
                None => listeners.push(listener),
            },
            Err(fault) => faults.push(format!("[{at}] ({}): {fault}", written.bind)),
        }
    }
    if faults.is_empty() { Ok(listeners) } else { Err(faults.join("; ")) }
}

impl Written {
    fn read(&self) -> Result<UdpListener, String> {
        let bind: SocketAddr =
            self.bind.parse().map_err(|_| "bind is not of the form \"0.0.0.0:8089\" or \"[::]:8089\"".to_owned())?;
        if bind.port() == 0 {
            return Err("bind needs a port other than 0".to_owned());
        }
        if self.db.is_empty() {
            return Err("db is empty".to_owned());
        }
        let precision = Precision::named(&self.precision)
            .ok_or_else(|| format!("precision {:?} is none of ns, u, ms, s, m, h", self.precision))?;
        let spread = Spread::parse(&self.spread)
            .ok_or_else(|| format!("spread {:?} is neither \"random\" nor \"source\"", self.spread))?;
        let target = LineTarget { db: self.db.clone(), rp: self.rp.clone(), precision };
        Ok(UdpListener { bind, target, spread })
    }
}

/// Prints a document.
pub fn print_udp(listeners: &[UdpListener]) -> String {
    let written = |listener: &UdpListener| Written {
        bind: listener.bind.to_string(),
        db: listener.target.db.clone(),
        rp: listener.target.rp.clone(),
        precision: listener.target.precision.as_str().to_owned(),
        spread: listener.spread.as_str().to_owned(),
    };
    let list: Vec<Written> = listeners.iter().map(written).collect();
    // Strings: nothing that JSON could not hold.
    serde_json::to_string_pretty(&list).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        let text = r#"[{"bind": "0.0.0.0:8089", "db": "udp"},
            {"bind": "[::1]:9000", "db": "x", "rp": "r", "precision": "s", "spread": "source"}]"#;
        let listeners = parse_udp(text.as_bytes()).expect("it is good");
        assert_eq!(listeners[0].target.precision, Precision::Nanoseconds);
        assert_eq!((listeners[0].spread, listeners[1].spread), (Spread::Random, Spread::Source));
        assert_eq!(parse_udp(print_udp(&listeners).as_bytes()), Ok(listeners));
        assert_eq!(parse_udp(b"[]"), Ok(vec![]));
    }

    #[test]
    fn faults_are_told_and_nothing_is_taken() {
        for (text, part) in [
            ("", "not a list"),
            ("{}", "not a list"),
            (r#"[{"bind": "x", "db": "d"}]"#, "[0] (x): bind"),
            (r#"[{"bind": "1.2.3.4:0", "db": "d"}]"#, "port other than 0"),
            (r#"[{"bind": "1.2.3.4:5", "db": ""}]"#, "db is empty"),
            (r#"[{"bind": "1.2.3.4:5", "db": "d", "precision": "x"}]"#, "precision"),
            (r#"[{"bind": "1.2.3.4:5", "db": "d", "spread": "x"}]"#, "spread"),
            (r#"[{"bind": "1.2.3.4:5", "db": "d", "colour": "x"}]"#, "listeners: [0].colour: unknown field"),
            (r#"[{"bind": "1.2.3.4:5", "db": "d"}, {"bind": "1.2.3.4:6"}]"#, "listeners: [1]: missing field `db`"),
            (r#"[{"bind": "1.2.3.4:5", "db": "d"}, {"bind": "0.0.0.0:5", "db": "d"}]"#, "same port"),
        ] {
            let fault = parse_udp(text.as_bytes()).expect_err(text);
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }
}
