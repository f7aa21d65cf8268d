//! A cluster under the load of witnesses, and the faults that can be done to it.

use std::time::{Duration, Instant};

use super::cluster::{Cluster, Setup};
use super::config::{Config, replica_name};
use super::meddler::Meddle;
use super::witness::{Record, Witness, Work, spooled, wait_drained};
use super::{SOON, wait_for};

/// A group and a replica of it, from 0.
pub type Place = (usize, usize);

/// After this a replica is slow, where tests set it.
pub const SPOOL_AFTER: Duration = Duration::from_millis(400);
/// How long the outcome of a request can stay open, where tests set it.
pub const HARD_TIMEOUT: Duration = Duration::from_millis(1500);

pub const FIRST: Place = (0, 0);
pub const SECOND: Place = (0, 1);

pub fn two_by_two() -> Setup {
    quick(Setup::new(2, 2))
}

/// Settings with which an outage takes seconds.
pub fn quick(setup: Setup) -> Setup {
    setup
        .set("server", "drain_timeout = \"5s\"")
        .set("write", "timeout = \"1s\"")
        .set("write", "spool_after = \"400ms\"")
        .set("write", "hard_timeout = \"1500ms\"")
        .set("write", "alone_for = \"1s\"")
        .set("spool", "retry_max = \"300ms\"")
        .set("limits", "connect_timeout = \"500ms\"")
        .set("limits", "health_interval = \"200ms\"")
}

/// What can be wrong with a replica, or between it and slotline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9.
    Killed,
    /// SIGSTOP.
    Frozen,
    /// The kinds below need a meddler.
    Answers(u16),
    Hangs,
    HangsMidAnswer,
    Resets,
    ResetsStored,
    /// Its network takes 1 KB/s over four connections.
    Slow,
    /// Requests arrive, although their connections have broken, after a while that `write.hard_timeout` covers.
    LateStored,
}

impl Fault {
    pub const ALL: [Fault; 13] = [
        Fault::Killed,
        Fault::Frozen,
        Fault::Answers(500),
        Fault::Answers(503),
        Fault::Answers(401),
        Fault::Answers(403),
        Fault::Answers(404),
        Fault::Hangs,
        Fault::HangsMidAnswer,
        Fault::Resets,
        Fault::ResetsStored,
        Fault::Slow,
        Fault::LateStored,
    ];

    fn meddle(self, db: &str) -> Meddle {
        match self {
            Fault::Answers(status) => Meddle::status(status, db),
            Fault::Hangs => Meddle::Hang,
            Fault::HangsMidAnswer => Meddle::HangMidAnswer,
            Fault::Resets => Meddle::Reset,
            Fault::ResetsStored => Meddle::ResetStored,
            Fault::Slow => Meddle::Slow(250),
            Fault::LateStored => Meddle::LateStored(HARD_TIMEOUT / 3),
            Fault::Killed | Fault::Frozen => Meddle::Pass,
        }
    }

    pub fn begin(self, cluster: &mut Cluster, (group, replica): Place, db: &str) {
        match self {
            Fault::Killed => cluster.groups[group][replica].kill9(),
            Fault::Frozen => cluster.groups[group][replica].pause(),
            other => cluster.meddlers[group][replica].set(other.meddle(db)),
        }
    }

    pub fn end(self, cluster: &mut Cluster, (group, replica): Place) {
        match self {
            Fault::Killed => cluster.groups[group][replica].restart(),
            Fault::Frozen => cluster.groups[group][replica].resume(),
            _ => cluster.meddlers[group][replica].set(Meddle::Pass),
        }
    }
}

pub struct Scene {
    pub cluster: Cluster,
    pub witness: Witness,
    pub db: String,
}

impl Scene {
    #[track_caller]
    pub fn start(setup: Setup, db: &str) -> Scene {
        Scene::start_with(setup, db, |_| {})
    }

    /// With other work than the usual. It is under way when this returns.
    #[track_caller]
    pub fn start_with(setup: Setup, db: &str, change: impl FnOnce(&mut Work)) -> Scene {
        let cluster = setup.start();
        cluster.create_db(db);
        let mut work = Work::usual(&cluster, db);
        let body: String =
            work.measurements.iter().map(|name| format!("{name},client=none,run=none v=0i 1\n")).collect();
        cluster.http().store(db, body);
        work.tcp = cluster.slotline.listening("tcp").first().copied();
        work.udp = cluster.slotline.listening("udp").first().copied();
        change(&mut work);
        let witness = Witness::start(cluster.http(), work);
        let scene = Scene { cluster, witness, db: db.to_owned() };
        scene.more(20);
        scene
    }

    /// Every replica's place.
    pub fn places(&self) -> Vec<Place> {
        let groups = self.cluster.groups.iter().enumerate();
        groups.flat_map(|(group, replicas)| (0..replicas.len()).map(move |replica| (group, replica))).collect()
    }

    /// Waits for so many further acknowledgements.
    #[track_caller]
    pub fn more(&self, writes: u64) {
        self.witness.more(writes);
    }

    /// Lets the load go on for so long, and for so many acknowledgements.
    #[track_caller]
    pub fn go_on(&self, time: Duration, writes: u64) {
        let until = Instant::now() + time;
        self.more(writes);
        wait_for("time to pass", time + SOON, || (Instant::now() >= until).then_some(()));
    }

    /// Waits until points wait for a replica.
    #[track_caller]
    pub fn wait_spooled(&self, (group, replica): Place) {
        let name = format!("\"{}\"", replica_name(group, replica));
        wait_for(&format!("spooled points of {name}"), SOON, || {
            spooled(&self.cluster).keys().any(|labels| labels.contains(&name)).then_some(())
        });
    }

    #[track_caller]
    pub fn wait_drained(&self) {
        wait_drained(&self.cluster);
    }

    #[track_caller]
    pub fn begin(&mut self, fault: Fault, places: &[Place]) {
        places.iter().for_each(|&place| fault.begin(&mut self.cluster, place, &self.db));
    }

    #[track_caller]
    pub fn end(&mut self, fault: Fault, places: &[Place]) {
        places.iter().for_each(|&place| fault.end(&mut self.cluster, place));
    }

    /// A fault of these replicas at once, for so many acknowledgements of writes that must all be taken.
    #[track_caller]
    pub fn suffer(&mut self, fault: Fault, places: &[Place], writes: u64) {
        self.begin(fault, places);
        self.more(writes);
        places.iter().for_each(|&place| self.wait_spooled(place));
        self.end(fault, places);
    }

    /// Starts slotline anew, after its end; clients go there.
    #[track_caller]
    pub fn start_again(&mut self, config: &Config) {
        self.cluster.slotline.start_again(config, &[]);
        self.witness.target(self.cluster.http());
    }

    #[track_caller]
    pub fn finish(self) -> (Cluster, Record) {
        let Scene { mut cluster, witness, .. } = self;
        cluster.slotline.assert_running();
        (cluster, witness.stop())
    }
}

/// No write was refused, and the replicas of a group are equal.
#[track_caller]
pub fn check_end(scene: Scene) {
    let (cluster, mut record) = scene.finish();
    record.assert_none_refused();
    let verdict = record.verify_equal(&cluster);
    assert!(verdict.acknowledged > 100, "{verdict}");
}
