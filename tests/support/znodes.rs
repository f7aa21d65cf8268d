//! The znodes of the cluster `main`, changed at will; and topology documents, put together and understood from the
//! contract alone. The client is the library's own.

use ::slotline::control::{self, Expect, Store, StoreError};
use ::slotline::topology::Servers;
use serde_json::{Value, json};

use super::slots::slot;
use super::{SOON, wait_for};

/// What an operator's tools do.
pub struct Znodes {
    servers: String,
    /// `None` until it is needed, and after an outage.
    store: Option<Box<dyn Store>>,
}

impl Znodes {
    /// `servers` is a connect string; nothing is asked of it yet.
    pub fn of(servers: impl std::fmt::Display) -> Znodes {
        Znodes { servers: servers.to_string(), store: None }
    }

    /// Writes a znode, whatever it held.
    #[track_caller]
    pub fn put(&mut self, name: &str, data: impl AsRef<[u8]>) {
        self.ask(name, |store, path| {
            let expect = match store.read(path)? {
                Some(entry) => Expect::Version(entry.version),
                None => Expect::Absent,
            };
            store.write(path, data.as_ref(), expect)
        });
    }

    #[track_caller]
    pub fn get(&mut self, name: &str) -> Option<String> {
        let entry = self.ask(name, |store, path| store.read(path))?;
        Some(String::from_utf8(entry.data).expect("these znodes hold text"))
    }

    #[track_caller]
    pub fn json(&mut self, name: &str) -> Option<Value> {
        Some(serde_json::from_str(&self.get(name)?).expect("these znodes hold JSON"))
    }

    #[track_caller]
    pub fn delete(&mut self, name: &str) {
        self.ask(name, |store, path| store.delete(path));
    }

    /// What the one proxy says of itself, if it does.
    #[track_caller]
    pub fn proxies(&mut self) -> Vec<Value> {
        let ids = self.ask("proxies", |store, path| store.children(path));
        ids.iter().filter_map(|id| self.json(&format!("proxies/{id}"))).collect()
    }

    /// Again on a new session if the old one is over.
    #[track_caller]
    fn ask<T>(&mut self, name: &str, ask: impl Fn(&mut dyn Store, &str) -> Result<T, StoreError>) -> T {
        let path = format!("/slotline/main/{name}");
        wait_for("ZooKeeper's answer", SOON, || {
            let servers = Servers::parse(&self.servers).expect("a good connect string");
            let mut store = self.store.take().or_else(|| control::open(servers, "").ok())?;
            match ask(store.as_mut(), &path) {
                Ok(answer) => {
                    self.store = Some(store);
                    Some(answer)
                }
                Err(error) if error.is_over() => None,
                Err(error) => panic!("{path}: {error}"),
            }
        })
    }
}

/// A replica as the document names it.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    pub url: String,
    pub joining: bool,
}

impl Member {
    pub fn new(name: &str, url: String) -> Member {
        Member { name: name.to_owned(), url, joining: false }
    }
}

/// The `topology` znode.
#[derive(Clone, Debug)]
pub struct Document {
    pub epoch: u64,
    /// Groups by id.
    pub groups: Vec<(u32, Vec<Member>)>,
    /// First slot, last slot, group.
    pub slots: Vec<(u32, u32, u32)>,
    /// Whether measurements of `db` whose names are an `m` and one digit are shared out by the tag `host`.
    pub by_host: bool,
}

impl Document {
    /// Epoch 1: groups 1, 2, … of one replica each, the first with all slots.
    pub fn of(urls: impl IntoIterator<Item = String>) -> Document {
        let group = |(number, url)| (number, vec![Member::new(&format!("g{number}a"), url)]);
        Document { epoch: 1, groups: (1..).zip(urls).map(group).collect(), slots: vec![(0, 1023, 1)], by_host: false }
    }

    /// What `slotline topology show --json` prints; a rule, if there is one, is that of `by_host`.
    pub fn read(json: &Value) -> Document {
        let list = |value: &Value| value.as_array().expect("a list").clone();
        let number = |value: &Value| u32::try_from(value.as_u64().expect("a number")).expect("a small one");
        let member = |replica: &Value| Member {
            name: replica["name"].as_str().expect("a name").to_owned(),
            url: replica["url"].as_str().expect("a URL").to_owned(),
            joining: replica["state"] == "joining",
        };
        let group = |group: &Value| (number(&group["id"]), list(&group["replicas"]).iter().map(member).collect());
        let slots = |slots: &Value| (number(&slots["from"]), number(&slots["to"]), number(&slots["group"]));
        Document {
            epoch: json["epoch"].as_u64().expect("a number"),
            groups: list(&json["groups"]).iter().map(group).collect(),
            slots: list(&json["slots"]).iter().map(slots).collect(),
            by_host: !list(&json["rules"]).is_empty(),
        }
    }

    pub fn group(&mut self, id: u32) -> &mut Vec<Member> {
        let group = self.groups.iter_mut().find(|(own, _)| *own == id);
        &mut group.expect("the document has the group").1
    }

    pub fn json(&self) -> Value {
        let replica = |member: &Member| {
            let state = if member.joining { "joining" } else { "serving" };
            json!({"name": member.name, "url": member.url, "state": state})
        };
        let group = |(id, members): &(u32, Vec<Member>)| json!({"id": id, "replicas": members.iter().map(replica).collect::<Vec<_>>()});
        let slots = |(from, to, group): &(u32, u32, u32)| json!({"from": from, "to": to, "group": group});
        let rules = match self.by_host {
            true => json!([{"db": "db", "measurement": "/^m[0-9]$/", "tags": ["host"]}]),
            false => json!([]),
        };
        json!({
            "epoch": self.epoch,
            "groups": self.groups.iter().map(group).collect::<Vec<_>>(),
            "slots": self.slots.iter().map(slots).collect::<Vec<_>>(),
            "rules": rules,
        })
    }

    pub fn text(&self) -> String {
        self.json().to_string()
    }

    /// The replicas that a point of `db` belongs to.
    pub fn replicas_of(&self, measurement: &str, host: &str) -> &[Member] {
        let digits = measurement.strip_prefix('m').unwrap_or_default();
        let ruled = self.by_host && digits.len() == 1 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let slot = slot("db", measurement, if ruled { std::slice::from_ref(&host) } else { &[] });
        let (_, _, owner) =
            self.slots.iter().find(|(from, to, _)| (*from..=*to).contains(&slot)).expect("all are owned");
        &self.groups.iter().find(|(id, _)| id == owner).expect("groups that own slots are there").1
    }
}
