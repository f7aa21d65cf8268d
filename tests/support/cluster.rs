//! Groups of real replicas with a slotline before them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::client::Http;
use super::clock::Clock;
use super::config::{Config, replica_name};
use super::facts::{Facts, Series, facts};
use super::influxd::Influxd;
use super::meddler::Meddler;
use super::slotline::Slotline;
use super::slots::{group_of, slot};

pub const ADMIN: (&str, &str) = ("admin", "s3cret-of-the-admin");

/// How a cluster is to be built.
pub struct Setup {
    /// Replicas of each group.
    replicas: Vec<usize>,
    auth: bool,
    meddled: bool,
    environment: Vec<(String, PathBuf)>,
    config: Config,
}

impl Setup {
    pub fn new(groups: usize, replicas: usize) -> Setup {
        Setup::of(&vec![replicas; groups])
    }

    /// Groups of so many replicas each.
    pub fn of(replicas: &[usize]) -> Setup {
        Setup {
            replicas: replicas.to_vec(),
            auth: false,
            meddled: false,
            environment: Vec::new(),
            config: Config::new(),
        }
    }

    pub fn set(mut self, section: &str, line: &str) -> Setup {
        self.config = self.config.set(section, line);
        self
    }

    /// A listener of line protocol on a port of the kernel's choice; `lines` are its further keys.
    pub fn listen_lines(mut self, protocol: &str, lines: &str) -> Setup {
        self.config = self.config.listen_lines(protocol, "127.0.0.1:0", lines);
        self
    }

    pub fn rule(mut self, db: &str, measurement: &str, tags: &[&str]) -> Setup {
        self.config = self.config.rule(db, measurement, tags);
        self
    }

    /// Replicas ask for the credentials of [`ADMIN`], and slotline has them.
    pub fn with_auth(mut self) -> Setup {
        self.auth = true;
        self
    }

    /// Slotline reaches each replica through a meddler.
    pub fn meddled(mut self) -> Setup {
        self.meddled = true;
        self
    }

    /// Slotline's wall clock.
    pub fn clock(mut self, clock: &Clock) -> Setup {
        self.environment = clock.environment();
        self
    }

    #[track_caller]
    pub fn start(self) -> Cluster {
        let start = || {
            if self.auth { start_with_admin() } else { Influxd::start() }
        };
        let groups: Vec<Vec<Influxd>> =
            self.replicas.iter().map(|&replicas| (0..replicas).map(|_| start()).collect()).collect();
        let credentials = match self.auth {
            true => format!("  username = {:?}\n  password = {:?}\n", ADMIN.0, ADMIN.1),
            false => String::new(),
        };
        let mut config = self.config;
        let mut meddlers = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let mut urls: Vec<String> = group.iter().map(Influxd::url).collect();
            if self.meddled {
                let between: Vec<Meddler> = group.iter().map(|influxd| Meddler::start(influxd.http())).collect();
                urls = between.iter().map(Meddler::url).collect();
                meddlers.push(between);
            }
            let names = (0..).map(|replica| replica_name(number, replica));
            let named: Vec<(String, String)> = names.zip(urls).collect();
            config = config.group_with(&named, &credentials);
        }
        let slotline = Slotline::start_in(&config, self.environment);
        Cluster { slotline, groups, meddlers, config }
    }
}

fn start_with_admin() -> Influxd {
    let influxd = Influxd::start_with_auth();
    let create = format!("CREATE USER {} WITH PASSWORD '{}' WITH ALL PRIVILEGES", ADMIN.0, ADMIN.1);
    influxd.http().run("", &create);
    influxd
}

pub struct Cluster {
    // Dropped first, so that its log shows nothing of the replicas' end.
    pub slotline: Slotline,
    /// Replicas by group; the replica 1 of group 0 is called `g1b`.
    pub groups: Vec<Vec<Influxd>>,
    /// Between slotline and the replicas, if the setup asks for it.
    pub meddlers: Vec<Vec<Meddler>>,
    pub config: Config,
}

impl Cluster {
    #[track_caller]
    pub fn new(groups: usize, replicas: usize) -> Cluster {
        Setup::new(groups, replicas).start()
    }

    pub fn http(&self) -> Http {
        self.slotline.http()
    }

    pub fn replicas(&self) -> impl Iterator<Item = &Influxd> {
        self.groups.iter().flatten()
    }

    /// Creates a database on every replica, past slotline, and its first storage shards: of several writes that would
    /// create one at once, influxd may acknowledge one and not show its points before its next start (`Cache.init` lets
    /// the second go on while the first still makes the store).
    pub fn create_db(&self, db: &str) {
        for replica in self.replicas() {
            let http = replica.http();
            http.run("", &format!("CREATE DATABASE {db:?}"));
            // Near 1970, and now.
            http.store(db, "first v=1 1\nfirst v=1\n");
            http.run(db, "DROP MEASUREMENT first");
        }
    }

    /// A server of its own that gets directly what the cluster gets through slotline.
    pub fn reference(&self, db: &str) -> Influxd {
        let reference = Influxd::start();
        reference.http().run("", &format!("CREATE DATABASE {db:?}"));
        reference
    }

    /// The group, from 0, of a measurement without a rule.
    pub fn group_of(&self, db: &str, measurement: &str) -> usize {
        group_of(slot(db, measurement, &[]), self.groups.len())
    }

    /// A measurement of `db` that lives in `group`.
    pub fn measurement_in(&self, db: &str, stem: &str, group: usize) -> String {
        super::slots::measurements_of(db, stem, group, self.groups.len(), 1).remove(0)
    }

    /// Every replica of every group holds of `expected` what its group's slots say, and no more.
    #[track_caller]
    pub fn assert_holds(&self, db: &str, expected: &Facts) {
        self.assert_holds_by(db, expected, |series| slot(db, &series.measurement, &[]));
    }

    /// The same with the slots that `slot_of` says.
    #[track_caller]
    pub fn assert_holds_by(&self, db: &str, expected: &Facts, slot_of: impl Fn(&Series) -> u32) {
        let mut shares: Vec<Facts> = vec![BTreeMap::new(); self.groups.len()];
        for (series, points) in expected {
            let group = group_of(slot_of(series), self.groups.len());
            shares[group].insert(series.clone(), points.clone());
        }
        for (number, (group, share)) in self.groups.iter().zip(&shares).enumerate() {
            for (replica, influxd) in group.iter().enumerate() {
                let name = replica_name(number, replica);
                super::facts::assert_same(&name, &facts(influxd.http(), db), share);
            }
        }
    }
}
