//! Into a replica's log: done when it is synced.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_channel::oneshot;

use crate::backend::WriteKey;
use crate::batch::{Batch, ReplicaAnswer};
use crate::net::{Held, deadline, elsewhere, spawn};
use crate::spool::{AppendError, Record, Undecided};

use super::way::Place;
use super::{Delivery, ReplicaLog, wall_ms};

/// On its way to the disk.
pub struct Keeping {
    replica: String,
    synced: oneshot::Receiver<Result<(), AppendError>>,
    place: Place,
    held: Option<Rc<Held>>,
    /// Whether it stays is still open.
    undecided: Option<Undecided>,
}

pub fn points(key: &WriteKey, batch: &Batch, makes_database: bool) -> Record {
    Record::Points {
        db: key.db.to_string(),
        rp: key.rp.to_string(),
        precision: key.precision,
        points: batch.points,
        open: batch.open,
        makes_database,
        lines: batch.pieces.clone(),
    }
}

/// Appends at once; the order of calls is the order in the log.
pub fn begin(log: &Arc<ReplicaLog>, place: Place, record: Record, held: Option<Rc<Held>>) -> Keeping {
    let synced = log.spool.append(place.queue, record, wall_ms());
    Keeping { replica: log.spool.name().to_owned(), synced, place, held, undecided: None }
}

/// The same for what may turn out not to belong there: nothing behind it is replayed before `stays` or `void`.
pub fn begin_undecided(log: &Arc<ReplicaLog>, place: Place, record: Record, held: Option<Rc<Held>>) -> Keeping {
    let (synced, undecided) = log.spool.append_undecided(place.queue, record, wall_ms());
    Keeping { replica: log.spool.name().to_owned(), synced, place, held, undecided: Some(undecided) }
}

impl Keeping {
    /// It belongs there.
    pub fn stays(mut self) -> Keeping {
        self.undecided = None;
        self
    }

    /// It does not; what is left of it goes by as a record without content.
    pub fn void(mut self, delivery: &Delivery) {
        self.undecided.take().into_iter().for_each(Undecided::void);
        self.end_late(delivery);
    }

    /// It counts, once it lies there.
    fn end_late(self, delivery: &Delivery) {
        let Keeping { synced, place, held, .. } = self;
        spawn("late append", delivery.queue, async move {
            if let Ok(Ok(())) = elsewhere(synced).await {
                place.stay();
            }
            drop(held);
        });
    }

    /// `Spooled`, or why not.
    pub async fn end(mut self, delivery: &Delivery, until: Instant) -> ReplicaAnswer {
        let replica = self.replica.clone();
        let failed = |reason: &dyn std::fmt::Display| ReplicaAnswer::Failed(format!("replica {replica}: {reason}"));
        match elsewhere(deadline(until, &mut self.synced)).await {
            Ok(Ok(Ok(()))) => {
                self.place.stay();
                ReplicaAnswer::Spooled
            }
            Ok(Ok(Err(error))) => failed(&error),
            Ok(Err(_)) => failed(&"its spool broke off; see slotline's log"),
            Err(_) => {
                self.end_late(delivery);
                failed(&"its spool did not sync in time: the disk of server.data_dir is slow")
            }
        }
    }
}

/// How long a gate may be held: a few of its replica's writes, within these bounds. Whoever has waited for longer closes it.
const HOLD_MIN: Duration = Duration::from_millis(100);
const HOLD_MAX: Duration = Duration::from_secs(1);

/// How long the gate of a replica may be held whose last write took so long.
pub fn hold_for(took: Duration) -> Duration {
    (took * 3).clamp(HOLD_MIN, HOLD_MAX)
}

/// Shortest time that is left for the disk, however late a batch comes to it.
pub const SYNC_MIN: Duration = Duration::from_secs(2);
