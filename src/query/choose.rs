//! Which replica is asked: the same one for the same measurement, so that dashboards do not flap, and one that has still to
//! take points only when no other can answer.

use std::cell::LazyCell;
use std::rc::Rc;

use crate::backend::{Backend, Backends};
use crate::topology::{Backlogs, GroupIndex, ReplicaState};

/// The replicas of these groups that may answer, best first: complete ones, then those with a backlog, each with those
/// first that are up, and those that are down behind all of these. Alike ones stand by group, and in it by rendezvous hash
/// with the key.
pub fn in_order(
    backends: &Backends,
    groups: &[GroupIndex],
    key: impl FnOnce() -> String,
    backlogs: &Backlogs,
) -> Vec<Rc<Backend>> {
    let key = LazyCell::new(key);
    let serving = |replica: &&Rc<Backend>| replica.state == ReplicaState::Serving;
    let of = |(at, group): (usize, &GroupIndex)| {
        backends.group(*group).iter().filter(serving).map(move |replica| (at, replica.clone()))
    };
    let mut order: Vec<(usize, Rc<Backend>)> = groups.iter().enumerate().flat_map(of).collect();
    order.sort_by_cached_key(|(group, replica)| {
        let stats = &replica.target.stats;
        let (up, down) = (stats.is_up(), stats.is_down());
        let unknown = !up && !down;
        let score = crc32fast::hash(format!("{}\0{}", replica.target.name, *key).as_bytes());
        (down, behind(replica, backlogs).is_some(), unknown, *group, score)
    });
    order.into_iter().map(|(_, replica)| replica).collect()
}

/// What a replica has still to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    pub replica: String,
    /// In this proxy's spool.
    points: u64,
    /// How many others hold some.
    proxies: usize,
}

/// `None`: the replica is complete, as far as anybody knows.
pub fn behind(replica: &Backend, backlogs: &Backlogs) -> Option<Behind> {
    let name = &replica.target.name;
    // Statements are records too.
    let (points, records) = (replica.target.stats.spool.points.get(), replica.target.stats.spool.records.get());
    let proxies = backlogs.get(name).map_or(0, Vec::len);
    (points > 0 || records > 0 || proxies > 0).then(|| Behind { replica: name.clone(), points, proxies })
}

impl Behind {
    /// What a client is told with the answer.
    pub fn warning(&self) -> String {
        format!("{self}; this answer may be incomplete")
    }
}

impl std::fmt::Display for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Behind { replica, points, proxies } = self;
        let counted = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let (points_text, proxies_text) =
            (counted(*points, "point", "points"), counted(*proxies as u64, "other proxy", "other proxies"));
        match (points, proxies) {
            (0, 0) => write!(f, "replica {replica} has still to carry out statements"),
            (_, 0) => write!(f, "replica {replica} has still to take {points_text}"),
            (0, _) => write!(f, "replica {replica} has still to take points from {proxies_text}"),
            (_, _) => write!(f, "replica {replica} has still to take {points_text}, and more from {proxies_text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Settings, Snapshot};
    use crate::config::Config;
    use crate::net::on_a_shard;
    use crate::stats::Lasting;

    /// Backends of two groups: `a`, `b`, `c` and the joining `j`; `d`.
    fn with_backends(test: impl FnOnce(&Backends) + Send + 'static) {
        let replica = |name: &str, state: &str| {
            format!("[[group.replica]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:9\"\nstate = \"{state}\"\n")
        };
        let serving = |names: &str| names.split(' ').map(|name| replica(name, "serving")).collect::<String>();
        let text = format!(
            "[[group]]\nid = 1\n{}{}[[group]]\nid = 2\n{}",
            serving("a b c"),
            replica("j", "joining"),
            serving("d")
        );
        on_a_shard(move || async move {
            let config = Config::parse(&text).expect("it is sound");
            let settings =
                Rc::new(Settings { write: config.write, limits: config.limits, silence_max: config.query.timeout });
            let snapshot = Snapshot::following(None, config.topology.expect("it has one"), |_| Lasting::default());
            let queue = glommio::executor().current_task_queue();
            test(&Backends::new(&snapshot, None, &settings, queue));
        });
    }

    fn named<'a>(backends: &'a Backends, name: &str) -> &'a Backend {
        backends.all().find(|backend| backend.target.name == name).expect("there is one")
    }

    fn order(backends: &Backends, groups: &[GroupIndex], key: &str, others: &[&str]) -> String {
        let backlogs = others.iter().map(|name| ((*name).to_owned(), vec!["p2".to_owned()])).collect();
        let names = in_order(backends, groups, || key.to_owned(), &backlogs).into_iter().map(|r| r.target.name.clone());
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn complete_ones_then_those_with_a_backlog_then_those_that_are_down() {
        with_backends(|backends| {
            backends.all().for_each(|backend| assert!(backend.target.stats.set_up(true)));
            // A key for which `a` is first.
            let key = (0..).map(|n| n.to_string()).find(|key| order(backends, &[0], key, &[]).starts_with('a'));
            let key = key.expect("some key does");
            let order = |others: &[&str]| order(backends, &[0], &key, others);
            let (all, rest) = (order(&[]), order(&[])[2..].to_owned());
            assert_eq!(all.len(), "a b c".len(), "no replica that joins: {all}");
            assert_eq!(order(&["a"]), format!("{rest} a"));
            assert_eq!(order(&["a", "b", "c"]), all, "all alike");
            let stats = |name| &named(backends, name).target.stats;
            stats("a").spool.points.set(1);
            assert_eq!(order(&[]), format!("{rest} a"), "our own counts too");
            stats("b").set_up(false);
            assert_eq!(order(&[]), "c a b", "down, yet complete: behind what is up");
            assert_eq!(order(&["b"]), "c a b");
            stats("c").set_up(false);
            assert_eq!(order(&["b"]), "a c b");
        });
    }

    #[test]
    fn any_group_will_do_if_it_has_a_complete_one() {
        with_backends(|backends| {
            backends.all().for_each(|backend| assert!(backend.target.stats.set_up(true)));
            for key in 0..20 {
                assert!(order(backends, &[0, 1], &key.to_string(), &[]).ends_with(" d"), "the first group as ever");
            }
            assert!(order(backends, &[0, 1], "", &["a", "b", "c"]).starts_with("d "));
            named(backends, "d").target.stats.set_up(false);
            assert!(order(backends, &[0, 1], "", &["a", "b", "c"]).ends_with(" d"));
        });
    }

    #[test]
    fn one_that_nobody_has_asked_yet_is_not_down() {
        with_backends(|backends| {
            named(backends, "b").target.stats.set_up(true);
            named(backends, "c").target.stats.set_up(false);
            assert_eq!(order(backends, &[0], "k", &[]), "b a c");
            assert_eq!(order(backends, &[0], "k", &["b"]), "a b c");
        });
    }

    #[test]
    fn what_is_behind_says_so() {
        with_backends(|backends| {
            let others = |count: usize| Backlogs::from([("a".to_owned(), vec!["p".to_owned(); count])]);
            let a = named(backends, "a");
            let text = |count| behind(a, &others(count)).map(|behind| behind.to_string());
            assert_eq!(text(0), None);
            assert_eq!(text(1).as_deref(), Some("replica a has still to take points from 1 other proxy"));
            a.target.stats.spool.points.set(1);
            assert_eq!(text(0).as_deref(), Some("replica a has still to take 1 point"));
            a.target.stats.spool.points.set(20);
            assert_eq!(
                text(2).as_deref(),
                Some("replica a has still to take 20 points, and more from 2 other proxies")
            );
        });
    }
}
