//! `config.toml`: what an operator sets, read once at start.
//!
//! The defaults are the repository's own `config.toml`, which is compiled in and printed by `slotline default-config`:
//! a file is read over it, key by key, and every fault is told with its line. To add a setting: a field here, a line in
//! `read`, a line with its comment in `config.toml`.

mod reader;
mod topology;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use crate::lineprotocol::Precision;
use crate::topology::{LineTarget, Servers, Spread, Topology, Znodes};

pub use reader::Fault;
use reader::{Reader, Section};
use values::ProtocolName;
pub use values::{AuthMode, Bind, Cores, Count, Size, Stale};

/// More lanes would only make smaller requests.
const LANES_MAX: usize = 64;

/// The commented file with every default.
pub const DEFAULT: &str = include_str!("../../config.toml");

#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    /// Never empty.
    pub listen: Vec<Listen>,
    pub admin: Admin,
    pub cluster: Cluster,
    /// As written, at epoch 1. `None` only with ZooKeeper, where the topology may be left to it.
    pub topology: Option<Topology>,
    pub write: Write,
    pub spool: Spool,
    pub query: Query,
    pub limits: Limits,
    pub auth: Auth,
}

#[derive(Clone, Debug)]
pub struct Server {
    pub cores: Cores,
    pub data_dir: PathBuf,
    pub drain_notice: Duration,
    pub drain_timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct Listen {
    pub protocol: Protocol,
    pub bind: Bind,
}

/// What a listener speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// InfluxDB's API.
    Http,
    /// Line protocol in a stream.
    Tcp(LineTarget),
    /// Line protocol in datagrams.
    Udp(LineTarget, Spread),
}

impl Protocol {
    pub fn name(&self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Tcp(_) => "tcp",
            Protocol::Udp(..) => "udp",
        }
    }

    fn is_udp(&self) -> bool {
        matches!(self, Protocol::Udp(..))
    }
}

#[derive(Clone, Debug)]
pub struct Admin {
    pub bind: Bind,
}

#[derive(Clone)]
pub struct Cluster {
    pub name: String,
    /// A connect string that `Servers::parse` takes; empty: the topology is the one written here.
    pub zookeeper: String,
    /// `user:password`, or empty.
    pub zookeeper_auth: String,
    /// After this without ZooKeeper's word for it the topology counts as unconfirmed.
    pub confirm_within: Duration,
}

impl std::fmt::Debug for Cluster {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("name", &self.name).field("zookeeper", &self.zookeeper).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub struct Write {
    pub timeout: Duration,
    pub spool_after: Duration,
    pub hard_timeout: Duration,
    pub lanes: Count,
    pub request_bytes_max: Size,
    pub request_points_max: Count,
    pub queue_bytes_max: Size,
    pub alone_for: Duration,
    pub batch_points: Count,
    pub batch_wait: Duration,
}

/// What waits on disk for replicas.
#[derive(Clone, Debug)]
pub struct Spool {
    pub bytes_max: Size,
    pub segment_bytes_max: Size,
    pub dead_bytes_max: Size,
    pub age_alert: Duration,
    pub retry_max: Duration,
    /// Bytes a second, to one replica.
    pub replay_rate: Size,
}

#[derive(Clone, Debug)]
pub struct Query {
    pub timeout: Duration,
    pub concurrency_max: Count,
    pub gathers_max: Count,
    pub texts_bytes_max: Size,
    pub merge_bytes_max: Size,
    pub answer_bytes_max: Size,
    pub rows_max: Count,
    pub series_max: Count,
    pub stale: Stale,
    pub timeshift: bool,
}

#[derive(Clone, Debug)]
pub struct Limits {
    pub body_bytes_max: Size,
    pub unpacked_bytes_max: Size,
    pub inflight_bytes_max: Size,
    pub connections_max: Count,
    pub line_bytes_max: Size,
    pub udp_buffer: Size,
    pub udp_listeners_max: Count,
    pub header_timeout: Duration,
    pub stream_timeout: Duration,
    pub body_timeout: Duration,
    pub body_total_timeout: Duration,
    pub answer_timeout: Duration,
    pub replica_answer_bytes_max: Size,
    pub connect_timeout: Duration,
    pub health_interval: Duration,
}

#[derive(Clone, Debug)]
pub struct Auth {
    pub mode: AuthMode,
    pub trust_clients: bool,
}

impl Config {
    /// Reads a file's text over the defaults.
    pub fn parse(text: &str) -> Result<Config, Vec<Fault>> {
        let base = read(DEFAULT, None)?;
        read(text, Some(base))
    }
}

fn read(text: &str, base: Option<Config>) -> Result<Config, Vec<Fault>> {
    let (mut reader, mut root) = Reader::new(text);
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let base = base.as_ref();
    let server = read_server(&mut reader, &mut root, base.map(|base| &base.server));
    let listen = read_listen(&mut reader, &mut root, base.map(|base| base.listen.as_slice()));
    let mut section = reader.section(&mut root, "admin");
    let admin = Admin { bind: reader.value(&mut section, "bind", base.map(|base| base.admin.bind)) };
    if let Some(other) = listen.iter().find(|other| !other.protocol.is_udp() && other.bind.overlaps(admin.bind)) {
        reader.fault(section.line, "admin.bind", format!("{} and {} are the same port", other.bind.0, admin.bind.0));
    }
    reader.end(section);
    let cluster = read_cluster(&mut reader, &mut root, base);
    let write = read_write(&mut reader, &mut root, base.map(|base| &base.write));
    let spool = read_spool(&mut reader, &mut root, base.map(|base| &base.spool));
    let query = read_query(&mut reader, &mut root, base.map(|base| &base.query));
    let limits = read_limits(&mut reader, &mut root, base.map(|base| &base.limits));
    let auth = read_auth(&mut reader, &mut root, base.map(|base| &base.auth));
    let topology = topology::read(&mut reader, &mut root, !cluster.zookeeper.is_empty());
    reader.end(root);
    if !reader.faults.is_empty() {
        reader.faults.sort_by_key(|fault| fault.line);
        return Err(reader.faults);
    }
    Ok(Config { server, listen, admin, cluster, topology, write, spool, query, limits, auth })
}

fn read_server(reader: &mut Reader<'_>, root: &mut Section<'_>, base: Option<&Server>) -> Server {
    let mut s = reader.section(root, "server");
    let server = Server {
        cores: reader.value(&mut s, "cores", base.map(|b| b.cores.clone())),
        data_dir: reader.value(&mut s, "data_dir", base.map(|b| b.data_dir.clone())),
        drain_notice: reader.value(&mut s, "drain_notice", base.map(|b| b.drain_notice)),
        drain_timeout: reader.value(&mut s, "drain_timeout", base.map(|b| b.drain_timeout)),
    };
    reader.end(s);
    server
}

fn read_listen(reader: &mut Reader<'_>, root: &mut Section<'_>, base: Option<&[Listen]>) -> Vec<Listen> {
    let Some(sections) = reader.sections(root, "listen") else { return base.unwrap_or_default().to_vec() };
    let mut listen: Vec<Listen> = Vec::new();
    for mut s in sections {
        let name = reader.value(&mut s, "protocol", None);
        let bind: Bind = reader.value(&mut s, "bind", None);
        let protocol = match name {
            ProtocolName::Http => Protocol::Http,
            ProtocolName::Tcp => Protocol::Tcp(read_target(reader, &mut s)),
            ProtocolName::Udp => {
                let target = read_target(reader, &mut s);
                Protocol::Udp(target, reader.value(&mut s, "spread", Some(Spread::Random)))
            }
        };
        let same_kind = |other: &&Listen| other.protocol.is_udp() == protocol.is_udp();
        if let Some(other) = listen.iter().filter(same_kind).find(|other| other.bind.overlaps(bind)) {
            reader.fault(s.line, "listen.bind", format!("{} and {} are the same port", other.bind.0, bind.0));
        }
        listen.push(Listen { protocol, bind });
        reader.end(s);
    }
    listen
}

/// Where the lines of a TCP or UDP listener go.
fn read_target(reader: &mut Reader<'_>, s: &mut Section<'_>) -> LineTarget {
    LineTarget {
        db: reader.some(s, "db", None),
        rp: reader.value(s, "rp", Some(String::new())),
        precision: reader.value(s, "precision", Some(Precision::Nanoseconds)),
    }
}

fn read_cluster(reader: &mut Reader<'_>, root: &mut Section<'_>, base: Option<&Config>) -> Cluster {
    let mut s = reader.section(root, "cluster");
    let empty = || base.map(|_| String::new());
    let name = reader.some(&mut s, "name", base.map(|b| b.cluster.name.clone()));
    let zookeeper = reader.checked(&mut s, "zookeeper", empty(), |text: &String| match text.as_str() {
        "" => Ok(()),
        text => Servers::parse(text).map(drop),
    });
    // Its fault must not print it.
    let zookeeper_auth =
        reader.checked(&mut s, "zookeeper_auth", empty(), |text: &String| match text.split_once(':') {
            Some(("", _) | (_, "")) => Err("a user and a password are wanted, as \"user:password\"".to_owned()),
            None if !text.is_empty() => Err("\"user:password\" is wanted".to_owned()),
            _ => Ok(()),
        });
    if zookeeper.is_empty() && !zookeeper_auth.is_empty() {
        reader.fault(s.line, "cluster.zookeeper_auth", "is set, but cluster.zookeeper is empty".to_owned());
    }
    if !zookeeper.is_empty()
        && !name.is_empty()
        && let Err(text) = Znodes::of(&name)
    {
        reader.fault(s.line, "cluster.name", text);
    }
    let confirm_within = reader.some(&mut s, "confirm_within", base.map(|b| b.cluster.confirm_within));
    reader.end(s);
    Cluster { name, zookeeper, zookeeper_auth, confirm_within }
}

fn read_write(reader: &mut Reader<'_>, root: &mut Section<'_>, base: Option<&Write>) -> Write {
    let mut s = reader.section(root, "write");
    let write = Write {
        timeout: reader.some(&mut s, "timeout", base.map(|b| b.timeout)),
        spool_after: reader.some(&mut s, "spool_after", base.map(|b| b.spool_after)),
        hard_timeout: reader.some(&mut s, "hard_timeout", base.map(|b| b.hard_timeout)),
        lanes: reader.value(&mut s, "lanes", base.map(|b| b.lanes)),
        request_bytes_max: reader.some(&mut s, "request_bytes_max", base.map(|b| b.request_bytes_max)),
        request_points_max: reader.value(&mut s, "request_points_max", base.map(|b| b.request_points_max)),
        queue_bytes_max: reader.some(&mut s, "queue_bytes_max", base.map(|b| b.queue_bytes_max)),
        alone_for: reader.value(&mut s, "alone_for", base.map(|b| b.alone_for)),
        batch_points: reader.value(&mut s, "batch_points", base.map(|b| b.batch_points)),
        batch_wait: reader.some(&mut s, "batch_wait", base.map(|b| b.batch_wait)),
    };
    if write.hard_timeout < write.timeout {
        let text = "must not be shorter than write.timeout".to_owned();
        reader.fault(s.line, "write.hard_timeout", text);
    }
    if write.lanes.0 > LANES_MAX {
        reader.fault(s.line, "write.lanes", format!("at most {LANES_MAX}"));
    }
    reader.end(s);
    write
}

fn read_spool(reader: &mut Reader<'_>, root: &mut Section<'_>, base: Option<&Spool>) -> Spool {
    let mut s = reader.section(root, "spool");
    let spool = Spool {
        bytes_max: reader.some(&mut s, "bytes_max", base.map(|b| b.bytes_max)),
        segment_bytes_max: reader.some(&mut s, "segment_bytes_max", base.map(|b| b.segment_bytes_max)),
        dead_bytes_max: reader.some(&mut s, "dead_bytes_max", base.map(|b| b.dead_bytes_max)),
        age_alert: reader.some(&mut s, "age_alert", base.map(|b| b.age_alert)),
        retry_max: reader.some(&mut s, "retry_max", base.map(|b| b.retry_max)),
        replay_rate: reader.some(&mut s, "replay_rate", base.map(|b| b.replay_rate)),
    };
    if spool.bytes_max.0 < spool.segment_bytes_max.0 {
        let text = "must not be less than spool.segment_bytes_max".to_owned();
        reader.fault(s.line, "spool.bytes_max", text);
    }
    reader.end(s);
    spool
}

fn read_query(reader: &mut Reader<'_>, root: &mut Section<'_>, base: Option<&Query>) -> Query {
    let mut s = reader.section(root, "query");
    let query = Query {
        timeout: reader.some(&mut s, "timeout", base.map(|b| b.timeout)),
        concurrency_max: reader.value(&mut s, "concurrency_max", base.map(|b| b.concurrency_max)),
        gathers_max: reader.value(&mut s, "gathers_max", base.map(|b| b.gathers_max)),
        texts_bytes_max: reader.value(&mut s, "texts_bytes_max", base.map(|b| b.texts_bytes_max)),
        merge_bytes_max: reader.some(&mut s, "merge_bytes_max", base.map(|b| b.merge_bytes_max)),
        answer_bytes_max: reader.some(&mut s, "answer_bytes_max", base.map(|b| b.answer_bytes_max)),
        rows_max: reader.value(&mut s, "rows_max", base.map(|b| b.rows_max)),
        series_max: reader.value(&mut s, "series_max", base.map(|b| b.series_max)),
        stale: reader.value(&mut s, "stale", base.map(|b| b.stale)),
        timeshift: reader.value(&mut s, "timeshift", base.map(|b| b.timeshift)),
    };
    reader.end(s);
    query
}

fn read_limits(reader: &mut Reader<'_>, root: &mut Section<'_>, base: Option<&Limits>) -> Limits {
    let mut s = reader.section(root, "limits");
    let limits = Limits {
        body_bytes_max: reader.some(&mut s, "body_bytes_max", base.map(|b| b.body_bytes_max)),
        unpacked_bytes_max: reader.some(&mut s, "unpacked_bytes_max", base.map(|b| b.unpacked_bytes_max)),
        inflight_bytes_max: reader.some(&mut s, "inflight_bytes_max", base.map(|b| b.inflight_bytes_max)),
        connections_max: reader.value(&mut s, "connections_max", base.map(|b| b.connections_max)),
        line_bytes_max: reader.some(&mut s, "line_bytes_max", base.map(|b| b.line_bytes_max)),
        udp_buffer: reader.some(&mut s, "udp_buffer", base.map(|b| b.udp_buffer)),
        udp_listeners_max: reader.value(&mut s, "udp_listeners_max", base.map(|b| b.udp_listeners_max)),
        header_timeout: reader.some(&mut s, "header_timeout", base.map(|b| b.header_timeout)),
        stream_timeout: reader.some(&mut s, "stream_timeout", base.map(|b| b.stream_timeout)),
        body_timeout: reader.some(&mut s, "body_timeout", base.map(|b| b.body_timeout)),
        body_total_timeout: reader.some(&mut s, "body_total_timeout", base.map(|b| b.body_total_timeout)),
        answer_timeout: reader.some(&mut s, "answer_timeout", base.map(|b| b.answer_timeout)),
        replica_answer_bytes_max: reader.some(
            &mut s,
            "replica_answer_bytes_max",
            base.map(|b| b.replica_answer_bytes_max),
        ),
        connect_timeout: reader.some(&mut s, "connect_timeout", base.map(|b| b.connect_timeout)),
        health_interval: reader.some(&mut s, "health_interval", base.map(|b| b.health_interval)),
    };
    reader.end(s);
    limits
}

fn read_auth(reader: &mut Reader<'_>, root: &mut Section<'_>, base: Option<&Auth>) -> Auth {
    let mut s = reader.section(root, "auth");
    let auth = Auth {
        mode: reader.value(&mut s, "mode", base.map(|b| b.mode)),
        trust_clients: reader.value(&mut s, "trust_clients", base.map(|b| b.trust_clients)),
    };
    reader.end(s);
    auth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        Config::parse(text).expect_err("it has faults").iter().map(Fault::to_string).collect()
    }

    const GROUP: &str = "[[group]]\nid = 1\n[[group.replica]]\nname = \"a\"\nurl = \"http://h:1\"\n";

    #[test]
    fn the_default_file_holds_every_key() {
        let default = read(DEFAULT, None).expect("without a base every key must be there");
        assert_eq!(default.topology.map(|topology| topology.groups().len()), Some(1));
        assert_eq!(default.write.timeout, Duration::from_secs(10));
    }

    #[test]
    fn a_file_needs_only_what_differs() {
        let config = Config::parse(&format!("[write]\nlanes = 7\n{GROUP}")).expect("it is sound");
        assert_eq!((config.write.lanes, config.query.concurrency_max), (Count(7), Count(64)));
        let topology = config.topology.expect("it is written there");
        assert_eq!(topology.groups()[0].replicas[0].address.host, "h");
    }

    #[test]
    fn every_fault_has_its_line_and_key() {
        let text = "[server]\ncores = 0\nsmp = 2\n[write]\ntimeout = \"x\"\n[[listen]]\nprotocol = \"udp\"\n[[group]]\n\
                    id = 1\n[[group.replica]]\nname = \"a\"\nurl = \"ftp://h\"\ncolour = \"red\"\n[[slots]]\nfrom = 5\nto = 4\ngroup = 1\n";
        let faults = faults(text);
        let starts: Vec<&str> = faults.iter().map(|fault| &fault[..fault.find(": ").unwrap_or(0)]).collect();
        let all = faults.join("\n");
        assert_eq!(
            starts,
            ["line 2", "line 3", "line 5", "line 6", "line 6", "line 10", "line 13", "line 14"],
            "{all}"
        );
        for part in [
            "server.cores",
            "server.smp: unknown key",
            "write.timeout",
            "listen.bind: is missing",
            "listen.db: is missing",
        ] {
            assert!(all.contains(part), "{part} in {all}");
        }
    }

    #[test]
    fn values_that_make_no_sense_are_faults() {
        for (text, key) in [
            ("[write]\ntimeout = \"0s\"", "line 2: write.timeout"),
            ("[limits]\n\nbody_bytes_max = 0", "line 3: limits.body_bytes_max"),
            ("[write]\nlanes = 1000", "write.lanes"),
            ("[cluster]\nname = \"\"", "cluster.name"),
            ("[admin]\nbind = \"127.0.0.1:8086\"", "admin.bind: 0.0.0.0:8086 and 127.0.0.1:8086 are the same port"),
            ("[write]\ntimeout = \"40s\"", "write.hard_timeout"),
            ("[cluster]\n\nzookeeper = \"h:x\"", "line 3: cluster.zookeeper: \"h:x\""),
            ("[cluster]\nzookeeper = \"h\"\nzookeeper_auth = \"s3cret\"", "line 3: cluster.zookeeper_auth"),
            ("[cluster]\nzookeeper_auth = \"u:p\"", "cluster.zookeeper is empty"),
            ("[cluster]\nname = \"a/b\"\nzookeeper = \"h\"", "cluster.name"),
        ] {
            let faults = faults(&format!("{text}\n{GROUP}"));
            assert!(faults.len() == 1 && faults[0].contains(key), "{text}: {faults:?}");
        }
    }

    #[test]
    fn listeners() {
        let text = "[[listen]]\nprotocol = \"http\"\nbind = \"127.0.0.1:1\"\n[[listen]]\nprotocol = \"udp\"\n\
                    bind = \"127.0.0.1:1\"\ndb = \"u\"\nspread = \"source\"\n[[listen]]\nprotocol = \"tcp\"\n\
                    bind = \"127.0.0.1:2\"\ndb = \"t\"\nprecision = \"s\"\n";
        let config = Config::parse(&format!("{text}{GROUP}")).expect("UDP has ports of its own");
        let target = |db: &str, precision| LineTarget { db: db.to_owned(), rp: String::new(), precision };
        let protocols: Vec<Protocol> = config.listen.into_iter().map(|listen| listen.protocol).collect();
        let udp = Protocol::Udp(target("u", Precision::Nanoseconds), Spread::Source);
        assert_eq!(protocols, [Protocol::Http, udp, Protocol::Tcp(target("t", Precision::Seconds))]);
        for (text, part) in [
            ("protocol = \"tcp\"\nbind = \"127.0.0.1:2\"", "listen.db: is missing"),
            ("protocol = \"tcp\"\nbind = \"127.0.0.1:2\"\ndb = \"\"", "listen.db: must not be empty"),
            ("protocol = \"udp\"\nbind = \"127.0.0.1:2\"\ndb = \"x\"\nprecision = \"d\"", "is none of"),
            ("protocol = \"tcp\"\nbind = \"127.0.0.1:8087\"\ndb = \"x\"", "are the same port"),
            ("protocol = \"http\"\nbind = \"127.0.0.1:2\"\ndb = \"x\"", "listen.db: unknown key"),
        ] {
            let faults = faults(&format!("[[listen]]\n{text}\n{GROUP}"));
            assert!(faults.len() == 1 && faults[0].contains(part), "{text}: {faults:?}");
        }
    }

    #[test]
    fn syntax_errors_have_their_line() {
        assert!(faults("[server]\ncores = \n")[0].starts_with("line 2: "));
    }

    #[test]
    fn with_zookeeper_the_topology_may_be_left_to_it() {
        let cluster = "[cluster]\nzookeeper = \"h:1,[::1]:2/a\"\nzookeeper_auth = \"u:s3cret\"\n";
        let config = Config::parse(cluster).expect("it is sound");
        assert!(config.topology.is_none());
        assert!(!format!("{config:?}").contains("s3cret"));
        let whole = Config::parse(&format!("{cluster}{GROUP}")).expect("it is sound");
        assert!(whole.topology.is_some());
        assert_eq!(faults(&format!("{cluster}[[rule]]\ndb = \"*\"\nmeasurement = \"m\"\ntags = []\n")).len(), 1);
    }

    #[test]
    fn no_group_is_a_fault() {
        assert_eq!(faults(""), ["no groups: a topology needs at least one [[group]]"]);
    }
}
