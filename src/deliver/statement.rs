//! Writing statements (DDL, DELETE, DROP, users) to every replica of the groups that they concern, in the order of its
//! writes.
//!
//! Replicas whose gates are open carry it out at once, the others find it in their logs, behind what they have still to
//! take and before what comes after it. It is done when each group has one that did, and the logs have synced. A group
//! without such a replica is an error, and then nothing is sent to any group. One that fails midway stays in the logs: it
//! may be carried out later. What all of a group's open replicas refuse is taken back from the logs of the others.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Request;

use crate::backend::{Backend, Backends, Courier, RequestError, health};
use crate::batch::ReplicaAnswer;
use crate::gate::DirectPass;
use crate::http::{error_of, params};
use crate::net::Payload;
use crate::spool::Record;
use crate::topology::GroupIndex;

use super::Delivery;
use super::keep::{self, Keeping, SYNC_MIN};
use super::refused::{Dead, Trouble, away};
use super::way::{self, Concern, Place, Way};

/// One statement as replicas get it.
pub struct Execution {
    pub groups: Vec<GroupIndex>,
    /// For those that carry it out at once.
    pub request: Box<dyn Fn() -> Result<Request<Payload>, http::Error>>,
    /// For those that carry it out later: its text, with every time a literal.
    pub db: String,
    pub rp: String,
    pub text: String,
    pub until: Instant,
    pub answer_bytes_max: usize,
}

/// What came of it.
pub enum Executed {
    /// All replicas said the same, or will be told.
    Everywhere(http::Response<Bytes>),
    /// Some did not; what each did. Nothing was sent to any if `untouched`.
    Not { untouched: bool, reason: String },
}

type Answer = Result<http::Response<Bytes>, RequestError>;

impl Delivery {
    /// Carries a statement out on all replicas of its groups, whether its client waits or not.
    pub async fn execute(self: &Rc<Delivery>, backends: Rc<Backends>, execution: Execution) -> Executed {
        let delivery = self.clone();
        self.to_its_end(async move { delivery.carry_out(&backends, &execution).await }).await
    }

    async fn carry_out(&self, backends: &Backends, execution: &Execution) -> Executed {
        let of_group = |group: GroupIndex| backends.group(group).iter().map(move |replica| (group, replica));
        let replicas: Vec<(GroupIndex, &Rc<Backend>)> = execution.groups.iter().copied().flat_map(of_group).collect();
        // What was known of them may be seconds old, and nothing shall be queued for a group that is away.
        let patience = self.config.limits.connect_timeout;
        join_all(replicas.iter().map(|(_, replica)| health::check(&replica.pool, patience))).await;
        let live = |replica: &Rc<Backend>| replica.target.stats.is_up() && replica.target.stats.gate.is_open();
        if let Some(dead) = execution.groups.iter().find(|group| !backends.group(**group).iter().any(live)) {
            return Executed::Not { untouched: true, reason: no_replica(backends, *dead) };
        }
        let concern = &Concern::of(&execution.db, &execution.text);
        let (mut asked, mut absent, mut keeping) = (Vec::new(), Vec::new(), Vec::new());
        for (group, replica) in replicas {
            // Its place in the log is where it came, not where others have carried it out.
            let place = match way::of_statement(&replica.target.stats, concern) {
                Way::Direct(pass) if replica.target.stats.is_up() => {
                    asked.push(async move { (group, replica, self.ask(replica, execution, concern, pass).await) });
                    continue;
                }
                Way::Log(place) => place,
                Way::Direct(_) | Way::Wait(_) => Place::main(&replica.target.stats),
            };
            absent.push((group, self.keep_statement(replica, execution, place, Fate::Open)));
        }
        let mut said: Vec<(&Rc<Backend>, http::Response<Bytes>)> = Vec::new();
        // Groups in which somebody has carried it out, or may do so, and in which somebody has refused it.
        let (mut takers, mut refusers) = (Vec::<GroupIndex>::new(), Vec::<GroupIndex>::new());
        for (group, replica, outcome) in join_all(asked).await {
            if outcome.refuses() {
                refusers.push(group)
            } else {
                takers.push(group)
            }
            match outcome {
                Outcome::Said(answer) => said.push((replica, answer)),
                Outcome::Kept(kept) => keeping.push(kept),
            }
        }
        for (group, kept) in absent {
            match kept {
                Ok(kept) if refusers.contains(&group) && !takers.contains(&group) => kept.void(self),
                kept => keeping.push(kept.map(Keeping::stays)),
            }
        }
        let until = execution.until.max(Instant::now() + SYNC_MIN);
        let mut not_kept = None;
        for kept in keeping {
            let failed = match kept {
                Ok(kept) => match kept.end(self, until).await {
                    ReplicaAnswer::Failed(reason) => Some(reason),
                    _ => None,
                },
                Err(reason) => Some(reason),
            };
            not_kept = not_kept.or(failed);
        }
        let condition_refused = condition_refused(&said);
        if let Some(reason) = disagreement(&said).filter(|_| condition_refused.is_none()) {
            return Executed::Not { untouched: false, reason };
        }
        let carried_out =
            |group: GroupIndex| backends.group(group).iter().any(|r| said.iter().any(|(s, _)| Rc::ptr_eq(s, r)));
        let without = execution.groups.iter().find(|group| !carried_out(**group));
        if let Some(reason) = not_kept {
            let reason = format!("some replicas carried it out, but it could not be kept for another: {reason}");
            return Executed::Not { untouched: false, reason };
        }
        match (without, said.into_iter().next()) {
            (None, Some((_, answer))) => Executed::Everywhere(condition_refused.unwrap_or(answer)),
            (without, _) => {
                let reason = without.map_or_else(String::new, |group| no_replica(backends, *group));
                Executed::Not { untouched: false, reason: format!("not every group carried it out: {reason}") }
            }
        }
    }

    /// Into the log of a replica that carries it out later.
    fn keep_statement(
        &self,
        replica: &Backend,
        execution: &Execution,
        place: Place,
        fate: Fate,
    ) -> Result<Keeping, String> {
        let target = &replica.target;
        let log = self.logs.get(&target.name).ok_or_else(|| format!("replica {} has no spool", target.name))?;
        let Execution { db, rp, text, .. } = execution;
        let record = Record::Statement { db: db.clone(), rp: rp.clone(), text: text.clone() };
        Ok(match fate {
            Fate::Open => keep::begin_undecided(&log, place, record, None),
            Fate::Stays => keep::begin(&log, place, record, None),
        })
    }

    /// What does not come to a good end lies in the log before anything newer can pass.
    async fn ask(&self, replica: &Rc<Backend>, execution: &Execution, concern: &Concern, pass: DirectPass) -> Outcome {
        let answer = exchange(replica, execution).await;
        if let Err(error) = &answer {
            replica.target.note_unknown(error, self.config.write.hard_timeout);
        }
        let outcome = match answer {
            Ok(answer) if !may_succeed_later(answer.status().as_u16()) => Outcome::Said(answer),
            answer => {
                replica.target.close_gate(&describe(&answer));
                let place = Place::main(&replica.target.stats);
                Outcome::Kept(self.keep_statement(replica, execution, place, Fate::Stays))
            }
        };
        if matches!(outcome, Outcome::Said(_)) && !outcome.refuses() {
            concern.note_done(&replica.target.stats.parked);
        }
        drop(pass);
        outcome
    }
}

/// Whether a statement in a log may still turn out to be refused by the others.
#[derive(Clone, Copy)]
enum Fate {
    Open,
    Stays,
}

/// What became of a statement at a replica that was asked.
enum Outcome {
    Said(http::Response<Bytes>),
    /// It will carry it out later.
    Kept(Result<Keeping, String>),
}

impl Outcome {
    fn refuses(&self) -> bool {
        match self {
            Outcome::Said(answer) => !answer.status().is_success() || error_of(answer.body()).is_some(),
            Outcome::Kept(_) => false,
        }
    }
}

fn no_replica(backends: &Backends, group: GroupIndex) -> String {
    let state = |replica: &Rc<Backend>| {
        let target = &replica.target;
        let state = if target.stats.is_up() { "has writes waiting" } else { "is down" };
        format!("replica {} {state}", target.name)
    };
    let states: Vec<String> = backends.group(group).iter().map(state).collect();
    let id = backends.topology.group(group).id;
    format!("group {id} has no replica that can carry it out now ({}); try again", states.join(", "))
}

async fn exchange(replica: &Backend, execution: &Execution) -> Answer {
    let (head, body) = replica.pool.exchange_once(&execution.request, execution.until).await?.into_parts();
    let body = body.whole_by(execution.answer_bytes_max, execution.until).await?;
    Ok(http::Response::from_parts(head, body))
}

/// As with writes: who must act, or what heals by itself.
fn may_succeed_later(status: u16) -> bool {
    matches!(status, 401 | 403 | 500..)
}

/// InfluxDB deletes by times and tags alone. Where it has series to look at, and WHERE compares a field or is none, it does
/// nothing and says so; where it has none, or the name is no field, nothing is to be done. So the one that says it speaks for
/// all, if no other says anything else.
fn condition_refused(answers: &[(&Rc<Backend>, http::Response<Bytes>)]) -> Option<http::Response<Bytes>> {
    let error = |answer: &http::Response<Bytes>| error_of(answer.body());
    const BEGINNINGS: [&str; 4] = [
        "invalid operation: time and ",
        "invalid time comparison operator: ",
        "invalid timestamp string",
        "invalid condition expression: ",
    ];
    let refuses = |error: &str| {
        error.ends_with("fields not supported in WHERE clause during deletion")
            || BEGINNINGS.iter().any(|beginning| error.starts_with(beginning))
    };
    let agrees = |answer| error(answer).is_none_or(|error| refuses(&error));
    let refusing = answers.iter().find(|(_, answer)| error(answer).is_some_and(|error| refuses(&error)))?;
    let all = answers.iter().all(|(_, answer)| answer.status().is_success() && agrees(answer));
    all.then(|| refusing.1.clone())
}

/// What replicas said, if they did not all say the same.
fn disagreement(answers: &[(&Rc<Backend>, http::Response<Bytes>)]) -> Option<String> {
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for (replica, answer) in answers {
        let text = text_of(answer);
        match said.iter_mut().find(|(other, _)| *other == text) {
            Some((_, names)) => names.push(&replica.target.name),
            None => said.push((text, vec![&replica.target.name])),
        }
    }
    if said.len() < 2 {
        return None;
    }
    let cut = |text: &str| text.chars().take(300).collect::<String>();
    let said = said.iter().map(|(text, names)| format!("replica {} {}", names.join(", "), cut(text)));
    Some(format!("not every replica carried it out: {}", said.collect::<Vec<_>>().join("; ")))
}

fn text_of(answer: &http::Response<Bytes>) -> String {
    format!("answered {} {}", answer.status().as_u16(), String::from_utf8_lossy(answer.body()).trim())
}

fn describe(answer: &Answer) -> String {
    match answer {
        Err(error) => error.to_string(),
        Ok(answer) => text_of(answer),
    }
}

/// Out of a log: carries a statement out, or finds that InfluxDB never will.
pub async fn replay(courier: &Courier, db: &str, rp: &str, text: &str) -> Result<Vec<Dead>, Trouble> {
    let form = Bytes::from(params::encode(&[("q", text), ("db", db), ("rp", rp)]));
    let request = || {
        let request = Request::post("/query").header("content-type", "application/x-www-form-urlencoded");
        request.body(Payload::from(form.clone()))
    };
    let (status, body) = courier.send(request).await.map_err(|error| Trouble::Away(error.to_string()))?;
    let reason = match (status, error_of(&body)) {
        (200..300, None) => {
            Concern::of(db, text).note_done(&courier.target.stats.parked);
            return Ok(Vec::new());
        }
        (200..300, Some(error)) | (400, Some(error)) => error,
        (status, _) if may_succeed_later(status) => {
            let text = String::from_utf8_lossy(&body);
            return Err(away(status, format!("a statement was answered {status} {}", text.trim())));
        }
        (status, _) => format!("answered {status} {}", String::from_utf8_lossy(&body).trim()),
    };
    Ok(vec![Dead { lines: text.as_bytes().to_vec(), points: 0, reason }])
}
