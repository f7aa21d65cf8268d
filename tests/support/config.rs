//! The text of a `config.toml`, put together section by section.

/// A configuration in the making. Ports are chosen by the kernel, data goes to `data_dir`.
#[derive(Clone, Default)]
pub struct Config {
    /// Lines of the plain sections, in the order in which the sections were first named.
    sections: Vec<(String, Vec<String>)>,
    listeners: Vec<String>,
    /// Those of line protocol over TCP and UDP.
    streams: Vec<String>,
    groups: Vec<String>,
    rules: Vec<String>,
}

impl Config {
    pub fn new() -> Config {
        Config::default().set("server", "cores = 2").set("admin", r#"bind = "127.0.0.1:0""#)
    }

    /// Sets a key of a plain section, for instance `set("write", "timeout = \"1s\"")`.
    pub fn set(mut self, section: &str, line: &str) -> Config {
        let key = |line: &str| line.split('=').next().map(|key| key.trim().to_owned());
        match self.sections.iter_mut().find(|(name, _)| name == section) {
            Some((_, lines)) => {
                lines.retain(|own| key(own) != key(line));
                lines.push(line.to_owned());
            }
            None => self.sections.push((section.to_owned(), vec![line.to_owned()])),
        }
        self
    }

    /// An HTTP listener; without any there is one on a port of the kernel's choice.
    pub fn listen(mut self, bind: &str) -> Config {
        self.listeners.push(format!("[[listen]]\nprotocol = \"http\"\nbind = \"{bind}\"\n"));
        self
    }

    /// A listener of line protocol, `tcp` or `udp`; `lines` are its further keys, for instance `db = "x"`.
    pub fn listen_lines(mut self, protocol: &str, bind: &str, lines: &str) -> Config {
        self.streams.push(format!("[[listen]]\nprotocol = \"{protocol}\"\nbind = \"{bind}\"\n{lines}\n"));
        self
    }

    /// A listener for line protocol over `tcp` or `udp`, beside the HTTP listener.
    pub fn lines_listener(self, protocol: &str, bind: &str, db: &str) -> Config {
        self.listen_lines(protocol, bind, &format!("db = {db:?}"))
    }

    /// The cluster `main` of the ZooKeeper at `servers`.
    pub fn zookeeper(self, servers: impl std::fmt::Display) -> Config {
        self.set("cluster", &format!("zookeeper = \"{servers}\""))
    }

    /// The next group, numbered from 1, with replicas by name and URL.
    pub fn group(self, replicas: &[(String, String)]) -> Config {
        self.group_with(replicas, "")
    }

    /// The same with further lines for each replica, for instance `username = "admin"`.
    pub fn group_with(mut self, replicas: &[(String, String)], lines: &str) -> Config {
        let mut text = format!("[[group]]\nid = {}\n", self.groups.len() + 1);
        for (name, url) in replicas {
            text.push_str(&format!("  [[group.replica]]\n  name = \"{name}\"\n  url = \"{url}\"\n{lines}\n"));
        }
        self.groups.push(text);
        self
    }

    /// The same replica under another name.
    pub fn replica_renamed(mut self, from: &str, to: &str) -> Config {
        for group in &mut self.groups {
            *group = group.replace(&format!("name = \"{from}\""), &format!("name = \"{to}\""));
        }
        self
    }

    /// A rule; `measurement` is a name or a `/regex/`.
    pub fn rule(mut self, db: &str, measurement: &str, tags: &[&str]) -> Config {
        self.rules.push(format!("[[rule]]\ndb = {db:?}\nmeasurement = {measurement:?}\ntags = {tags:?}\n"));
        self
    }

    pub fn to_toml(&self, data_dir: &std::path::Path) -> String {
        let mut whole = self.clone().set("server", &format!("data_dir = {data_dir:?}"));
        if whole.listeners.is_empty() {
            whole = whole.listen("127.0.0.1:0");
        }
        let mut parts: Vec<String> =
            whole.sections.iter().map(|(name, lines)| format!("[{name}]\n{}\n", lines.join("\n"))).collect();
        parts.extend(whole.listeners);
        parts.extend(whole.streams);
        parts.extend(whole.groups);
        parts.extend(whole.rules);
        parts.join("\n")
    }
}

/// The name of a replica: group 0, replica 1 is `g1b`.
pub fn replica_name(group: usize, replica: usize) -> String {
    let letter = char::from(b'a' + u8::try_from(replica).expect("few replicas"));
    format!("g{}{letter}", group + 1)
}
