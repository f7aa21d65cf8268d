//! `POST /write`, and `POST /api/v2/write`, which is the same under other names.

use std::rc::Rc;
use std::time::Instant;

use hyper::Request;
use hyper::body::Incoming;

use crate::backend::{NO_TOPOLOGY, WriteKey};
use crate::batch::{Builder, ClientAnswer, Stamps};
use crate::deliver::{Consistency, Write};
use crate::http::params::Params;
use crate::http::v2;
use crate::lineprotocol::Precision;
use crate::net::discard;
use crate::topology::Topology;

use super::body::{self, BodyFault};
use super::{Ingest, batch_limits, now_ns};

/// Whose names a write has its parameters under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    V1,
    V2,
}

/// Where a write goes.
struct Target<'a> {
    db: &'a str,
    rp: &'a str,
    precision: &'a str,
}

impl Dialect {
    fn target(self, params: &Params) -> Result<Target<'_>, ClientAnswer> {
        let target = match self {
            Dialect::V1 => Target { db: params.get("db"), rp: params.get("rp"), precision: params.get("precision") },
            Dialect::V2 => {
                let precision = v2::precision(params).map_err(|error| refuse(400, &error))?;
                let (db, rp) = v2::bucket(params).map_err(|error| refuse(404, &error))?;
                Target { db, rp, precision }
            }
        };
        if target.db.is_empty() {
            return Err(refuse(400, "database is required"));
        }
        Ok(target)
    }
}

/// The whole story of one write. `source` is the connection that it came over.
pub async fn write(ingest: &Ingest, dialect: Dialect, request: Request<Incoming>, source: u64) -> ClientAnswer {
    let began = Instant::now();
    let params = Params::parse(request.uri().query().unwrap_or_default().as_bytes());
    let Target { db, rp, precision } = match dialect.target(&params) {
        Ok(target) => target,
        Err(refusal) => {
            discard(request.into_body()).await;
            return refusal;
        }
    };
    let Some(backends) = ingest.backends.take() else {
        discard(request.into_body()).await;
        return refuse(503, NO_TOPOLOGY);
    };
    let precision = Precision::parse(precision);
    let mut builder = builder(ingest, &backends.topology, db, precision);
    let mut held = ingest.budget.hold();
    if let Err(fault) = body::read(ingest, request, &mut builder, &mut held).await {
        return fault.answer(&ingest.stats);
    }
    // A body may take minutes to come: what is acknowledged shall not lie where nobody looks any more.
    let (backends, batches) = match ingest.backends.take().filter(|now| !Rc::ptr_eq(now, &backends)) {
        Some(now) => {
            let router = ingest.routes.router(&now.topology, db);
            (now, builder.finish().by(router, batch_limits(&ingest.config.write)))
        }
        None => (backends, builder.finish()),
    };
    let batches = batches.or_empty(existence_group(db, &backends.topology));
    ingest.stats.points_received_http.add(batches.points);
    let key = WriteKey {
        db: db.into(),
        rp: rp.into(),
        precision,
        consistency: unknown_consistency(params.get("consistency")).into(),
    };
    let consistency = Consistency::parse(params.get("consistency")).unwrap_or(Consistency::Any);
    let write =
        Write { key, batches: Rc::new(batches), source, consistency, makes_database: false, held: Some(Rc::new(held)) };
    let answer = ingest.delivery.write(backends, write).await;
    ingest.latency.record(began.elapsed());
    answer
}

fn builder(ingest: &Ingest, topology: &std::sync::Arc<Topology>, db: &str, precision: Precision) -> Builder {
    let stamps = Stamps::same(precision, now_ns());
    Builder::new(ingest.routes.router(topology, db), stamps, batch_limits(&ingest.config.write))
}

/// A write without points is asked of the group that a measurement without a name would belong to: InfluxDB says
/// whether the database exists.
fn existence_group(db: &str, topology: &Topology) -> crate::topology::GroupIndex {
    topology.owner(Topology::measurement_slot(db, b""))
}

/// A consistency that InfluxDB knows is ours to see to; any other is passed on for InfluxDB to refuse, in its place among
/// the other errors.
fn unknown_consistency(text: &str) -> &str {
    if Consistency::parse(text).is_some() { "" } else { text }
}

fn refuse(status: u16, error: &str) -> ClientAnswer {
    ClientAnswer { status, error: Some(error.to_owned()) }
}

impl BodyFault {
    fn answer(&self, stats: &crate::stats::ShardStats) -> ClientAnswer {
        let (counter, status) = match self {
            BodyFault::TooLarge => (&stats.writes_too_large, 413),
            BodyFault::CutShort => (&stats.writes_cut_short, 400),
            BodyFault::Gzip(_) => (&stats.writes_bad_gzip, 400),
            BodyFault::TimedOut(_) => (&stats.writes_timed_out, 408),
            BodyFault::NoMemory(_) => (&stats.writes_no_memory, 503),
        };
        counter.add(1);
        refuse(status, &self.to_string())
    }
}
