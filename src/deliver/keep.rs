//! Into a replica's log: done when it is synced.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_channel::oneshot;

use crate::backend::WriteKey;
use crate::batch::{Batch, ReplicaAnswer};
use crate::net::{Held, deadline, spawn};
use crate::spool::{AppendError, Record};

use super::way::Place;
use super::{Delivery, ReplicaLog, wall_ms};

/// On its way to the disk.
pub struct Keeping {
    replica: String,
    synced: oneshot::Receiver<Result<(), AppendError>>,
    place: Place,
    held: Option<Rc<Held>>,
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
    Keeping { replica: log.spool.name().to_owned(), synced, place, held }
}

impl Keeping {
    /// `Spooled`, or why not.
    pub async fn end(self, delivery: &Delivery, until: Instant) -> ReplicaAnswer {
        let Keeping { replica, mut synced, place, held } = self;
        let failed = |reason: &dyn std::fmt::Display| ReplicaAnswer::Failed(format!("replica {replica}: {reason}"));
        match deadline(until, &mut synced).await {
            Ok(Ok(Ok(()))) => {
                place.stay();
                ReplicaAnswer::Spooled
            }
            Ok(Ok(Err(error))) => failed(&error),
            Ok(Err(_)) => failed(&"its spool broke off; see slotline's log"),
            Err(_) => {
                // It may still come to lie there: then it counts.
                spawn("late append", delivery.queue, async move {
                    if let Ok(Ok(())) = synced.await {
                        place.stay();
                    }
                    drop(held);
                });
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
