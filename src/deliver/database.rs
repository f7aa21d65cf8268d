//! Makes a database on every replica, for points that come without a request: InfluxDB's own UDP service does so too; and
//! asks whether anybody has one.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::{Request, StatusCode};

use crate::backend::{Backend, Backends, RequestError, Target};
use crate::batch::ReplicaAnswer;
use crate::http::{error_of, params};
use crate::influxql::quote_ident;
use crate::net::Payload;
use crate::spool::Record;

use super::Delivery;
use super::keep::{self, SYNC_MIN};
use super::way::{self, Concern, Place, Way, creation};

/// An answer to it is short.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

impl Delivery {
    /// Asks every replica at once; those that cannot now find it in their logs, before the points. What went wrong, by
    /// replica. A database that is there already is left as it is.
    pub async fn create_database(&self, backends: &Backends, db: &str, until: Instant) -> Vec<String> {
        let asked = backends.all().map(|replica| self.create(replica, db, until));
        let failures: Vec<String> = join_all(asked).await.into_iter().filter_map(Result::err).collect();
        if failures.is_empty() {
            self.last_seen.seen(db, "");
        }
        failures
    }

    async fn create(&self, replica: &Rc<Backend>, db: &str, until: Instant) -> Result<(), String> {
        let (target, text) = (&replica.target, &creation(db));
        let place = match way::of_statement(&target.stats, &Concern::of("", text)) {
            Way::Direct(pass) => match create_now(replica, text, until).await {
                Ok(()) => {
                    target.stats.parked.note_made(db);
                    return Ok(());
                }
                Err(Some(refusal)) => return Err(refusal),
                Err(None) => {
                    let place = Place::main(&target.stats);
                    drop(pass);
                    place
                }
            },
            Way::Log(place) => place,
            Way::Wait(_) => Place::main(&target.stats),
        };
        self.create_later(target, text, place, until).await
    }

    /// Puts it into a replica's log, before points that come after this. A failure is told.
    pub(super) async fn keep_creation(&self, target: &Target, db: &str, until: Instant) {
        if let Err(reason) = self.create_later(target, &creation(db), Place::main(&target.stats), until).await {
            tracing::warn!(db, reason, "the database could not be made on the replica");
        }
    }

    async fn create_later(&self, target: &Target, text: &str, place: Place, until: Instant) -> Result<(), String> {
        let log = self.logs.get(&target.name).ok_or_else(|| format!("replica {} has no spool", target.name))?;
        let record = Record::Statement { db: String::new(), rp: String::new(), text: text.to_owned() };
        let keeping = keep::begin(&log, place, record, None);
        match keeping.end(self, until.max(Instant::now() + SYNC_MIN)).await {
            ReplicaAnswer::Failed(reason) => Err(reason),
            _ => Ok(()),
        }
    }
}

/// Whether every replica says that it has no such database.
pub(super) async fn nobody_has(backends: &Backends, db: &str, until: Instant) -> bool {
    let text = format!("SHOW RETENTION POLICIES ON {}", quote_ident(db));
    let lacks = |error: String| error.starts_with("database not found");
    let asked = backends.all().map(async |replica| {
        let said = ask(replica, &text, until).await;
        said.is_ok_and(|(status, body)| status.is_success() && error_of(&body).is_some_and(lacks))
    });
    join_all(asked).await.into_iter().all(|says_so| says_so)
}

async fn ask(replica: &Backend, text: &str, until: Instant) -> Result<(StatusCode, Bytes), RequestError> {
    let body = Bytes::from(params::encode(&[("q", text)]));
    let request = || {
        let request = Request::post("/query").header("content-type", "application/x-www-form-urlencoded");
        request.body(Payload::from(body.clone()))
    };
    let answer = replica.pool.exchange(request, until).await?;
    let status = answer.status();
    Ok((status, answer.into_body().whole_by(ANSWER_BYTES_MAX, until).await?))
}

/// `Err(None)`: it cannot be asked now.
async fn create_now(replica: &Backend, text: &str, until: Instant) -> Result<(), Option<String>> {
    let target = &replica.target;
    let unheard = |reason: &dyn std::fmt::Display| {
        target.close_gate(&reason.to_string());
        None
    };
    // Made twice or late it does no harm.
    let (status, body) = ask(replica, text, until).await.map_err(|error| unheard(&error))?;
    match error_of(&body) {
        None if status.is_success() => Ok(()),
        error if status.is_server_error() || matches!(status.as_u16(), 401 | 403) => {
            let said = format!("answered {} {}", status.as_u16(), error.unwrap_or_default());
            Err(unheard(&said))
        }
        error => {
            let error = error.unwrap_or_default();
            Err(Some(format!("replica {} answered {} {error}", target.name, status.as_u16())))
        }
    }
}
