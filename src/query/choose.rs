//! Which replica of a group is asked: the same one for the same measurement, so that dashboards do not flap.

use std::rc::Rc;

use crate::backend::Backend;
use crate::topology::ReplicaState;

/// The replicas that may answer, best first: those that are up before those that are not, each by rendezvous hash with
/// the key.
pub fn in_order(replicas: &[Rc<Backend>], key: &str) -> Vec<Rc<Backend>> {
    let mut order: Vec<(bool, u32, &Rc<Backend>)> = (replicas.iter())
        .filter(|replica| replica.state == ReplicaState::Serving)
        .map(|replica| {
            let target = &replica.target;
            let score = crc32fast::hash(format!("{}\0{key}", target.name).as_bytes());
            (!target.stats.is_up(), score, replica)
        })
        .collect();
    order.sort_by_key(|(down, score, _)| (*down, *score));
    order.into_iter().map(|(_, _, replica)| replica.clone()).collect()
}
