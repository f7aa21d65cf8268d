//! Where everything of a dev cluster lies, and the files it starts with.

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How many groups one machine is asked to run.
pub const GROUPS_MAX: u32 = 64;
/// What the servers' ports are taken from.
const PORTS: Range<u16> = 20_000..32_000;
/// How many ports lie between the first ones of processes that start one after the other.
const APART: usize = 61;

pub struct Layout {
    dir: PathBuf,
    http: SocketAddr,
    admin: SocketAddr,
    /// Where ZooKeeper listens, if there shall be one.
    zookeeper: Option<SocketAddr>,
    replicas: Vec<Replica>,
    ports: Ports,
}

pub struct Replica {
    pub name: String,
    pub group: u32,
    pub http: SocketAddr,
    pub config: PathBuf,
    pub log: PathBuf,
}

impl Layout {
    /// Makes the folders and files; ports are free ones at this moment.
    pub fn make(
        dir: &Path,
        groups: u32,
        replicas: u32,
        http: SocketAddr,
        with_zookeeper: bool,
    ) -> Result<Layout, String> {
        fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let dir = fs::canonicalize(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        // Groups that were added while it ran are there again.
        let there = (groups + 1..=GROUPS_MAX).take_while(|group| dir.join(replica_name(*group, 0)).is_dir());
        let groups = groups + u32::try_from(there.count()).unwrap_or_default();
        let mut ports = Ports::new();
        let admin = ports.take()?;
        let zookeeper = if with_zookeeper { Some(ports.take()?) } else { None };
        let mut layout = Layout { dir, http, admin, zookeeper, replicas: Vec::new(), ports };
        for group in 1..=groups {
            layout.add_group(group, replicas)?;
        }
        write(&layout.config(), &layout.slotline_config())?;
        if let Some(address) = zookeeper {
            write(&layout.zookeeper_config(), &zookeeper_config(&layout.dir.join("zookeeper"), address))?;
        }
        Ok(layout)
    }

    /// Folders and files of a group; its replicas are the last ones then.
    pub fn add_group(&mut self, group: u32, replicas: u32) -> Result<(), String> {
        for replica in 0..replicas {
            let name = replica_name(group, replica);
            let folder = self.dir.join(&name);
            let (config, log) = (folder.join("influxd.conf"), folder.join("influxd.log"));
            let (http, rpc) = (self.ports.take()?, self.ports.take()?);
            fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            write(&config, &influxd_config(&folder, http, rpc))?;
            self.replicas.push(Replica { name, group, http, config, log });
        }
        Ok(())
    }

    /// The number of a group more, and how many replicas the last one has.
    pub fn next_group(&self) -> Result<(u32, u32), String> {
        let last = self.replicas.last().map_or(0, |replica| replica.group);
        let replicas = self.replicas.iter().filter(|replica| replica.group == last).count();
        match last < GROUPS_MAX {
            true => Ok((last + 1, u32::try_from(replicas).unwrap_or(1))),
            false => Err(format!("there are {GROUPS_MAX} groups; that is the limit here")),
        }
    }

    pub fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// The proxy's configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.join("slotline.toml")
    }

    /// The proxy's log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("slotline.log")
    }

    pub fn zookeeper(&self) -> Option<SocketAddr> {
        self.zookeeper
    }

    pub fn zookeeper_config(&self) -> PathBuf {
        self.dir.join("zookeeper.cfg")
    }

    pub fn zookeeper_log(&self) -> PathBuf {
        self.dir.join("zookeeper.log")
    }

    fn slotline_config(&self) -> String {
        let mut text = format!(
            "[server]\ndata_dir = {:?}\n\n[[listen]]\nprotocol = \"http\"\nbind = \"{}\"\n\n[admin]\nbind = \"{}\"\n",
            self.dir.join("slotline"),
            self.http,
            self.admin
        );
        if let Some(address) = self.zookeeper {
            // Writing into a String cannot fail, here and below.
            let _ = write!(text, "\n[cluster]\nzookeeper = \"{address}\"\n");
        }
        let mut last = None;
        for Replica { name, group, http, .. } in &self.replicas {
            if last.replace(group) != Some(group) {
                let _ = write!(text, "\n[[group]]\nid = {group}\n");
            }
            let _ = write!(text, "  [[group.replica]]\n  name = \"{name}\"\n  url = \"http://{http}\"\n");
        }
        text
    }

    /// What the operator sees once all is up.
    pub fn greeting(&self) -> String {
        let (http, admin, dir) = (self.http, self.admin, self.dir.display());
        let mut text = format!("slotline   http://{http}   metrics http://{admin}/metrics\n");
        for Replica { name, group, http, .. } in &self.replicas {
            let _ = writeln!(text, "group {group}    {name} http://{http}");
        }
        if let Some(address) = self.zookeeper {
            let _ = writeln!(text, "zookeeper  {address}   slotline status --zookeeper {address}");
        }
        let _ = write!(
            text,
            "data, logs {dir}\n\nA first write and query:\n\
             \x20 curl -XPOST 'http://{http}/query' --data-urlencode 'q=CREATE DATABASE demo'\n\
             \x20 curl -i -XPOST 'http://{http}/write?db=demo' --data-binary 'cpu,host=web-1 usage=42'\n\
             \x20 curl -G 'http://{http}/query?db=demo&pretty=true' --data-urlencode 'q=SELECT * FROM cpu'\n\n\
             slotline dev ctl --dir {dir} kill {name} | restart {name}{add}\nCtrl-C stops everything.\n",
            add = if self.zookeeper.is_some() { " | add-group" } else { "" },
            name = self.replicas.first().map_or("", |replica| replica.name.as_str()),
        );
        text
    }
}

/// Group 1, replica 0 is `g1a`.
fn replica_name(group: u32, replica: u32) -> String {
    format!("g{group}{}", char::from(b'a' + replica as u8))
}

fn influxd_config(folder: &Path, http: SocketAddr, rpc: SocketAddr) -> String {
    let path = |name: &str| format!("{:?}", folder.join(name));
    format!(
        "reporting-disabled = true\nbind-address = \"{rpc}\"\n\n[meta]\ndir = {}\n\n[data]\ndir = {}\nwal-dir = {}\n\
         query-log-enabled = false\n\n[monitor]\nstore-enabled = false\n\n[http]\nbind-address = \"{http}\"\n\
         log-enabled = false\n\n[subscriber]\nenabled = false\n\n[continuous_queries]\nenabled = false\n",
        path("meta"),
        path("data"),
        path("wal")
    )
}

fn zookeeper_config(folder: &Path, address: SocketAddr) -> String {
    format!(
        "tickTime=1000\ndataDir={}\nclientPort={}\nclientPortAddress={}\nadmin.enableServer=false\n",
        folder.display(),
        address.port(),
        address.ip()
    )
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Free ports on the loopback address, each given once, and none of those that the kernel may give to a connection before
/// the server listens, or while it is down. Clusters that start at the same time look in different places.
struct Ports(Box<dyn Iterator<Item = u16>>);

impl Ports {
    fn new() -> Ports {
        let first = std::process::id() as usize * APART % PORTS.len();
        Ports(Box::new(PORTS.cycle().skip(first).take(PORTS.len())))
    }

    fn take(&mut self) -> Result<SocketAddr, String> {
        let mut addresses = self.0.by_ref().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let free = addresses.find(|address| TcpListener::bind(address).is_ok());
        free.ok_or_else(|| format!("no free port on 127.0.0.1 among {PORTS:?}"))
    }
}
