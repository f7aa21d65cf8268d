//! The harness of the integration tests: real `influxd` processes, the `slotline` binary before
//! them, an HTTP client that can misbehave, and a backend that plays faults.
//!
//! Every test starts what it needs on free loopback ports and in temporary folders; nothing
//! outlives it, whether it passes, panics or is killed. Nothing here links the slotline library but
//! the ZooKeeper client of `znodes`: slots and placements are worked out anew from the contract, so
//! that the program is held against the contract and not against itself.
#![allow(dead_code, unused_imports, reason = "each test crate uses its own part of the harness")]

pub mod client;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod facts;
pub mod fake;
pub mod influxd;
pub mod judged;
pub mod load;
pub mod meddler;
pub mod operator;
pub mod points;
pub mod port;
pub mod process;
pub mod reigns;
pub mod relay;
pub mod same;
pub mod scene;
pub mod slotline;
pub mod slots;
pub mod streams;
pub mod witness;
pub mod znodes;
pub mod zookeeper;

pub use client::{Conn, Http, Request, Response, chunk, encode, gzip, last_chunk};
pub use clock::Clock;
pub use cluster::{Cluster, Setup};
pub use config::Config;
pub use facts::{Facts, Series, facts, read_all};
pub use fake::{Fake, Play};
pub use influxd::Influxd;
pub use judged::Judged;
pub use load::{Load, Sent};
pub use meddler::{Meddle, Meddler};
pub use operator::Operator;
pub use points::{HOSTS, T0, few_values};
pub use port::own_addr;
pub use reigns::{Reign, assert_placed, found};
pub use relay::Relay;
pub use same::same;
pub use scene::{Fault, Scene};
pub use slotline::{Ended, Slotline, run};
pub use slots::{group_of, slot};
pub use witness::{Record, Witness, Work};
pub use znodes::{Document, Member, Znodes};
pub use zookeeper::Zookeeper;

use std::time::{Duration, Instant};

/// How long anything that should happen soon may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Asks `probe` until it says `Some`; panics naming `what` when that takes longer than `within`.
pub fn wait_for<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The random source of a test. The seed is printed, and `SLOTLINE_TEST_SEED` sets it.
pub fn random() -> fastrand::Rng {
    random_from(fastrand::u64(..))
}

/// The same, with this seed unless another is set.
pub fn random_from(seed: u64) -> fastrand::Rng {
    let seed = match std::env::var("SLOTLINE_TEST_SEED") {
        Ok(text) => text.parse().expect("SLOTLINE_TEST_SEED is a number"),
        Err(_) => seed,
    };
    println!("SLOTLINE_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
