//! Where a cluster's topology lies in ZooKeeper: the servers' connect string, and the paths of the znodes.

use super::Address;

/// Below the chroot; clusters lie in it by name.
pub const ROOT: &str = "/slotline";
const PORT: u16 = 2181;

/// A connect string, read: `host:2181,host2:2181/chroot`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// Never empty.
    pub hosts: Vec<Address>,
    /// Empty, or `/a/b`: no slash at its end.
    pub chroot: String,
}

impl Servers {
    /// Reads a connect string; a port that is left out is 2181, an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Result<Servers, String> {
        let (list, chroot) = match text.find('/') {
            Some(at) => (&text[..at], text[at..].trim_end_matches('/')),
            None => (text, ""),
        };
        if let Some(part) = chroot.split('/').skip(1).find(|part| !is_segment(part)) {
            return Err(format!("{part:?} in the chroot {chroot:?} is no name of a znode"));
        }
        if chroot == "/zookeeper" || chroot.starts_with("/zookeeper/") {
            return Err("the chroot /zookeeper is ZooKeeper's own".to_owned());
        }
        let hosts: Result<Vec<Address>, String> = list.split(',').map(|host| parse_host(host.trim())).collect();
        Ok(Servers { hosts: hosts?, chroot: chroot.to_owned() })
    }
}

impl std::fmt::Display for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, Address { host, port }) in self.hosts.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match host.contains(':') {
                true => write!(f, "{comma}[{host}]:{port}")?,
                false => write!(f, "{comma}{host}:{port}")?,
            }
        }
        f.write_str(&self.chroot)
    }
}

fn parse_host(text: &str) -> Result<Address, String> {
    let fault = || format!("{text:?} is not of the form host:2181");
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(bracketed) => {
            let (host, rest) = bracketed.ok_or_else(fault)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| fault())?;
            (host, rest)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let named = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(fault)?,
        None if port.is_empty() => PORT,
        None => return Err(fault()),
    };
    if named { Ok(Address { host: host.to_owned(), port }) } else { Err(fault()) }
}

/// The paths of one cluster's znodes, below the chroot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Znodes {
    base: String,
}

impl Znodes {
    pub fn of(cluster: &str) -> Result<Znodes, String> {
        if is_segment(cluster) {
            Ok(Znodes { base: format!("{ROOT}/{cluster}") })
        } else {
            Err(format!(
                "{cluster:?} cannot be a cluster's name in ZooKeeper: no '/', no control characters, not \".\""
            ))
        }
    }

    pub fn topology(&self) -> String {
        format!("{}/topology", self.base)
    }

    pub fn udp(&self) -> String {
        format!("{}/udp", self.base)
    }

    /// The folder of all earlier topologies, by epoch.
    pub fn history(&self) -> String {
        format!("{}/history", self.base)
    }

    /// The folder of all earlier UDP listeners, by a number that rises.
    pub fn udp_history(&self) -> String {
        format!("{}/udp-history", self.base)
    }

    /// Proxies that have registered and have not ended in good order since.
    pub fn members(&self) -> String {
        format!("{}/members", self.base)
    }

    pub fn proxies(&self) -> String {
        format!("{}/proxies", self.base)
    }

    /// The folder of what replicas have still to take: `<replica>/<proxy id>` below it.
    pub fn backlog(&self) -> String {
        format!("{}/backlog", self.base)
    }
}

/// Whether ZooKeeper takes it as the name of one znode.
fn is_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.chars().any(|c| c == '/' || c.is_control() || c > '\u{d7ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_strings() {
        let parsed = |text| Servers::parse(text).map(|servers| servers.to_string()).ok();
        assert_eq!(parsed("h"), Some("h:2181".to_owned()));
        assert_eq!(parsed("h:1/"), Some("h:1".to_owned()));
        assert_eq!(parsed("h:1, [::1]:2,[::2]/a/b"), Some("h:1,[::1]:2,[::2]:2181/a/b".to_owned()));
        for bad in [
            "",
            "/a",
            "h:1,",
            "h:x",
            "h:0",
            "h:99999",
            "[::1",
            "[h]:1",
            "::1:2",
            "h:1/a//b",
            "h:1/..",
            "u@h:1",
            "h/zookeeper",
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn paths() {
        let znodes = Znodes::of("main").expect("a plain name");
        assert_eq!(znodes.topology(), "/slotline/main/topology");
        for bad in ["", "a/b", "..", "a\0"] {
            assert!(Znodes::of(bad).is_err(), "{bad:?}");
        }
    }
}
