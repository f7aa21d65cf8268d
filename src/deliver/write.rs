//! The story of a request's batches.
//!
//! 1. Every replica whose gate is open is asked at once (`submit`); for the others it goes into their logs in the same
//!    moment, its fate open, so that nobody waits for the disk after the network. What is likely to be refused waits.
//! 2. Each has until `write.spool_after` (`hear`). Who has not answered by then, or could not take it, waits too, and from
//!    then on all writes to it.
//! 3. `verdict` of those that answered: where one has stored it, what lies in the logs stays, and what waits goes there
//!    (`keep`). What everybody refuses is the client's fault, and is taken back. What nobody answered is kept for databases
//!    that were seen before, after a full parse.
//! 4. Done when each log has synced. `consistency` asks besides how many replicas have really stored it.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_channel::oneshot;

use crate::backend::{Backend, Backends, Item, Target, WriteKey};
use crate::batch::{
    Batch, Batches, Checked, ClientAnswer, ReplicaAnswer, Verdict, check, is_new_conflict, lacks_target, merge,
    merge_replicas, refused_points,
};
use crate::net::{Held, deadline, sleep};
use crate::stats::ShardStats;

use super::Delivery;
use super::keep::{self, Keeping, SYNC_MIN};
use super::way::{self, Place, Way};

/// How often a held gate is looked at.
const HELD_POLL: Duration = Duration::from_millis(1);

/// How many replicas of each group must have stored a write themselves before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    Any,
    One,
    Quorum,
    All,
}

impl Consistency {
    /// As InfluxDB reads the parameter; absent: any.
    pub fn parse(text: &str) -> Option<Consistency> {
        let levels = [
            ("", Consistency::Any),
            ("any", Consistency::Any),
            ("one", Consistency::One),
            ("quorum", Consistency::Quorum),
            ("all", Consistency::All),
        ];
        levels.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, level)| level)
    }

    fn needs(self, replicas: usize) -> usize {
        match self {
            Consistency::Any => 0,
            Consistency::One => 1,
            Consistency::Quorum => replicas / 2 + 1,
            Consistency::All => replicas,
        }
    }
}

/// What a group says of a batch.
pub struct GroupAnswer {
    pub answer: ReplicaAnswer,
    /// Whether as many replicas have stored it as was asked for.
    pub consistent: bool,
}

/// A write as the client made it.
pub struct Write {
    pub key: WriteKey,
    pub batches: Rc<Batches>,
    /// The connection that it came over.
    pub source: u64,
    pub consistency: Consistency,
    /// A replica that lacks the database shall make it.
    pub makes_database: bool,
    /// The memory that it needs.
    pub held: Option<Rc<Held>>,
}

/// A batch on its way.
struct Sent {
    /// Of the group.
    replicas: usize,
    parts: Vec<Part>,
    /// What is to be said of it whatever its replicas say.
    verdict: Option<ReplicaAnswer>,
}

/// One replica's part of one batch.
struct Part {
    backend: Rc<Backend>,
    state: State,
    /// The answer to a request that was too slow may still come.
    late: Option<oneshot::Receiver<ReplicaAnswer>>,
}

enum State {
    Asked(oneshot::Receiver<ReplicaAnswer>),
    /// Its gate is closed, or it did not take the batch: why.
    Waits(String),
    /// Its gate is closed; on the way into its log, where it may not belong.
    Undecided(Keeping),
    Keeping(Keeping),
    Answered(ReplicaAnswer),
}

impl Delivery {
    /// Delivers a request's batches and says what its client is told. It comes to its end whether the client waits or
    /// not, so that replicas stay equal.
    pub async fn write(self: &Rc<Delivery>, backends: Rc<Backends>, write: Write) -> ClientAnswer {
        let delivery = self.clone();
        self.to_its_end(async move { delivery.answer(&backends, &write).await }).await
    }

    async fn answer(&self, backends: &Backends, write: &Write) -> ClientAnswer {
        let answers = self.send(backends, write).await;
        let consistent = answers.iter().all(|group| group.consistent);
        let answers: Vec<ReplicaAnswer> = answers.into_iter().map(|group| group.answer).collect();
        for (batch, answer) in write.batches.list.iter().zip(&answers) {
            count(&self.stats, batch, answer);
        }
        match merge(&write.batches, &answers) {
            ClientAnswer { error: None, .. } if !consistent => {
                ClientAnswer { status: 500, error: Some("timeout".to_owned()) }
            }
            answer => answer,
        }
    }

    /// Delivers batches: what each one's group says.
    pub async fn send(&self, backends: &Backends, write: &Write) -> Vec<GroupAnswer> {
        let settings = &self.config.write;
        let began = Instant::now();
        let (slow, until) = (began + settings.spool_after.min(settings.timeout), began + settings.timeout);
        let list = &write.batches.list;
        let mut unplaced = Vec::new();
        let submit = |index| self.submit(backends, write, index, &mut unplaced);
        let mut sent: Vec<Sent> = (0..list.len()).map(submit).collect();
        for part in sent.iter_mut().flat_map(|sent| &mut sent.parts) {
            part.hear(slow).await;
        }
        let is_stored = |part: &Part| matches!(part.state, State::Answered(ReplicaAnswer::Stored));
        if !sent.iter().flat_map(|sent| &sent.parts).all(is_stored) {
            self.keep_what_waits(write, &mut sent, until).await;
        }
        let mut answers = Vec::with_capacity(list.len());
        let sync_until = until.max(Instant::now() + SYNC_MIN);
        for (sent, batch) in sent.into_iter().zip(list) {
            let group = self.conclude(write, sent, until, sync_until).await;
            self.learn(&write.key, batch, &group.answer);
            answers.push(group);
        }
        answers
    }

    /// `unplaced`: replicas that are to have something earlier of the request that does not lie in their logs.
    fn submit(&self, backends: &Backends, write: &Write, index: usize, unplaced: &mut Vec<Rc<Backend>>) -> Sent {
        let batch = &write.batches.list[index];
        let replicas = backends.group(batch.group);
        let ways: Vec<Way> =
            replicas.iter().map(|backend| way::of_points(&backend.target.stats, &write.key.db)).collect();
        let mut asked = replicas.iter().zip(&ways).filter(|(_, way)| matches!(way, Way::Direct(_))).peekable();
        // Nobody else says whether it belongs there, or it is likely that it does not.
        let waits = asked.peek().is_none() || asked.any(|(backend, _)| backend.suspects(write.source));
        let mut parts = Vec::with_capacity(replicas.len());
        for (backend, way) in replicas.iter().zip(ways) {
            let target = &backend.target;
            let is_unplaced = || unplaced.iter().any(|other| Rc::ptr_eq(other, backend));
            let place = |place: Place| {
                let early = !waits && batch.points > 0 && !is_unplaced();
                let log = self.logs.get(&target.name).filter(|log| early && log.spool.takes_undecided(place.queue))?;
                let known = self.last_seen.knows(&write.key.db, &write.key.rp);
                let record = known.then(|| keep::points(&write.key, batch, write.makes_database))?;
                Some(keep::begin_undecided(&log, place, record, write.held.clone()))
            };
            let state = match way {
                Way::Direct(pass) => ask(backend, write, index, pass),
                Way::Log(at) => place(at).map_or_else(|| State::Waits(waiting(target)), State::Undecided),
                Way::Wait(_) => State::Waits(waiting(target)),
            };
            if !matches!(state, State::Undecided(_)) && write.batches.list.len() > 1 {
                unplaced.push(backend.clone());
            }
            parts.push(Part { backend: backend.clone(), state, late: None });
        }
        Sent { replicas: replicas.len(), parts, verdict: None }
    }

    /// Brings what waits into the logs of its replicas, in the request's order.
    async fn keep_what_waits(&self, write: &Write, sent: &mut [Sent], until: Instant) {
        // Replicas into whose logs something of this request went: what came behind it must not overtake it.
        let mut behind: Vec<Rc<Backend>> = Vec::new();
        let answers = sent.iter().flat_map(|sent| &sent.parts).filter_map(Part::answer);
        let gone = answers.clone().any(lacks_target) && !answers.clone().any(|answer| *answer == ReplicaAnswer::Stored);
        for (index, (sent, batch)) in sent.iter_mut().zip(&write.batches.list).enumerate() {
            let Some(kept) = self.what_is_kept(write, batch, sent, gone) else { continue };
            let refused = sent.parts.iter().filter_map(Part::answer).find(|answer| is_new_conflict(answer)).cloned();
            for part in &mut sent.parts {
                let target = &part.backend.target;
                let overtook = behind.iter().any(|other| Rc::ptr_eq(other, &part.backend));
                part.state = match std::mem::replace(&mut part.state, State::Waits(String::new())) {
                    State::Undecided(keeping) if matches!(kept, Kept::Whole) && !overtook => {
                        State::Keeping(keeping.stays())
                    }
                    State::Undecided(keeping) => {
                        keeping.void(self);
                        State::Waits(waiting(target))
                    }
                    state => state,
                };
                let waits = match &part.state {
                    State::Waits(_) => true,
                    State::Answered(answer) if lacks_target(answer) => {
                        target.close_gate("it does not have the database or retention policy that its peers have");
                        if write.makes_database {
                            self.keep_creation(target, &write.key.db, until).await;
                        }
                        true
                    }
                    // A peer, whose storage shard was there already, has stored a part of it, or one that waits shall.
                    State::Answered(answer) if is_new_conflict(answer) => true,
                    State::Answered(answer @ (ReplicaAnswer::Stored | ReplicaAnswer::Refused { status: 400, .. })) => {
                        if overtook && *answer != ReplicaAnswer::Stored {
                            // What it said of it stays said.
                            sent.verdict = sent.verdict.take().or(Some(answer.clone()));
                        }
                        overtook
                    }
                    _ => false,
                };
                if waits {
                    part.state = self.keep(write, index, &part.backend, kept.of(batch), until).await;
                    // Directly or into the log: it came behind what was sent at first.
                    behind.push(part.backend.clone());
                }
            }
            // Asked once more it may not have answered: what lies in logs alone is refused all the same.
            let is_answer = |answer| matches!(answer, &ReplicaAnswer::Stored | &ReplicaAnswer::Refused { .. });
            if !sent.parts.iter().filter_map(Part::answer).any(is_answer) {
                sent.verdict = sent.verdict.take().or(refused);
            }
        }
    }

    /// The lines of a batch that are kept for replicas that wait; `None` if there is nothing to keep, for good.
    /// `gone`: other groups say that they have no such database or retention policy.
    fn what_is_kept(&self, write: &Write, batch: &Batch, sent: &mut Sent, gone: bool) -> Option<Kept> {
        let answers = || sent.parts.iter().filter_map(Part::answer);
        let new_conflicts = answers().filter(|answer| is_new_conflict(answer)).count();
        let verdict = match Verdict::of(batch, answers()) {
            // What it has of other storage shards it does not say.
            Verdict::Refuse if (1..sent.parts.len()).contains(&new_conflicts) => Verdict::Keep,
            verdict => verdict,
        };
        match verdict {
            Verdict::Keep => {
                // What its peers refused line by line is not kept.
                let refused = |part: &Part| matches!(part.answer(), Some(ReplicaAnswer::Refused { status: 400, .. }));
                let kept = || Kept::of_checked(check(batch, write.key.precision)).0;
                Some(if sent.parts.iter().any(refused) { kept() } else { Kept::Whole })
            }
            Verdict::Refuse => {
                // Nobody shall have it; who did not answer says nothing.
                let (answered, others) =
                    std::mem::take(&mut sent.parts).into_iter().partition(|part| part.answer().is_some());
                sent.parts = answered;
                self.void(others);
                None
            }
            Verdict::Unanswered => {
                let (kept, verdict) = self.unanswered(write, batch, &sent.parts, gone);
                sent.verdict = verdict;
                if matches!(sent.verdict, Some(ReplicaAnswer::Failed(_))) {
                    self.void(std::mem::take(&mut sent.parts));
                }
                Some(kept)
            }
        }
    }

    /// What lies in logs of these is taken back.
    fn void(&self, parts: Vec<Part>) {
        for part in parts {
            if let State::Undecided(keeping) = part.state {
                keeping.void(self);
            }
        }
    }

    /// Into the log, unless the gate is open again.
    async fn keep(
        &self,
        write: &Write,
        index: usize,
        backend: &Rc<Backend>,
        kept: Option<&Batch>,
        until: Instant,
    ) -> State {
        let target = &backend.target;
        let Some(batch) = kept.filter(|batch| batch.points > 0) else { return State::Answered(ReplicaAnswer::Spooled) };
        let Some(log) = self.logs.get(&target.name) else {
            return State::Answered(ReplicaAnswer::Failed(format!("replica {} has no spool", target.name)));
        };
        let record = || keep::points(&write.key, batch, write.makes_database);
        let waited = Instant::now();
        loop {
            match way::of_points(&target.stats, &write.key.db) {
                Way::Log(place) => return State::Keeping(keep::begin(&log, place, record(), write.held.clone())),
                Way::Direct(pass) => {
                    // Once more, and then into the log whatever comes.
                    let mut again =
                        Part { backend: backend.clone(), state: ask(backend, write, index, pass), late: None };
                    again.hear(until.min(Instant::now() + self.config.write.spool_after)).await;
                    return match again.state {
                        State::Answered(answer) if !lacks_target(&answer) => State::Answered(answer),
                        _ => {
                            let place = Place::main(&target.stats);
                            State::Keeping(keep::begin(&log, place, record(), write.held.clone()))
                        }
                    };
                }
                // Whatever replay waits for: nobody waits for it.
                Way::Wait(gate) if waited.elapsed() >= Duration::from_millis(target.stats.hold_ms.get()) => {
                    gate.release();
                }
                Way::Wait(_) => sleep(HELD_POLL).await,
            }
        }
    }

    /// Nobody answered: what of the batch may be kept all the same, and what is said of it if not all is well.
    fn unanswered(&self, write: &Write, batch: &Batch, parts: &[Part], gone: bool) -> (Kept, Option<ReplicaAnswer>) {
        let WriteKey { db, rp, consistency, .. } = &write.key;
        if gone || !self.last_seen.knows(db, rp) {
            let policy = if rp.is_empty() { String::new() } else { format!(" with retention policy {rp:?}") };
            let reasons: Vec<Cow<'_, str>> = parts.iter().filter_map(Part::reason).collect();
            let reason = format!("{}; whether there is a database {db:?}{policy} is not known", reasons.join("; "));
            return (Kept::Good(None), Some(ReplicaAnswer::Failed(reason)));
        }
        if !consistency.is_empty() {
            let error = "invalid consistency level".to_owned();
            return (Kept::Good(None), Some(ReplicaAnswer::Refused { status: 400, error }));
        }
        Kept::of_checked(check(batch, write.key.precision))
    }

    /// Keeps in mind what InfluxDB's own answer to a batch says of its database and policy.
    fn learn(&self, key: &WriteKey, batch: &Batch, answer: &ReplicaAnswer) {
        match answer {
            // Without points not every version looks at the policy.
            ReplicaAnswer::Stored if batch.points == 0 => self.last_seen.seen(&key.db, ""),
            ReplicaAnswer::Stored => self.last_seen.seen(&key.db, &key.rp),
            ReplicaAnswer::Refused { status: 404, error } if error.contains("database not found") => {
                self.last_seen.gone(&key.db);
            }
            ReplicaAnswer::Refused { status: 500, error } if error.contains("retention policy not found") => {
                self.last_seen.gone_policy(&key.db, &key.rp);
            }
            _ => {}
        }
    }

    /// The end of a batch.
    async fn conclude(&self, write: &Write, sent: Sent, until: Instant, sync_until: Instant) -> GroupAnswer {
        let needs = write.consistency.needs(sent.replicas);
        let mut answers = Vec::with_capacity(sent.replicas);
        let mut lates = Vec::new();
        answers.extend(sent.verdict);
        for part in sent.parts {
            lates.extend(part.late);
            answers.push(match part.state {
                State::Answered(answer) => answer,
                State::Keeping(keeping) => keeping.end(self, sync_until).await,
                State::Waits(reason) => ReplicaAnswer::Failed(reason),
                // What nobody has decided stays.
                State::Undecided(keeping) => keeping.end(self, sync_until).await,
                State::Asked(_) => ReplicaAnswer::Failed(format!("replica {} was not heard", part.backend.target.name)),
            });
        }
        let mut stored = answers.iter().filter(|answer| **answer == ReplicaAnswer::Stored).count();
        for late in lates {
            if stored < needs && matches!(deadline(until, late).await, Ok(Ok(ReplicaAnswer::Stored))) {
                stored += 1;
            }
        }
        let (answer, divergent) = merge_replicas(&answers);
        if divergent {
            self.stats.divergences.add(1);
            tracing::warn!(db = %write.key.db, ?answers, "replicas of a group disagree about a write");
        }
        GroupAnswer { answer, consistent: stored >= needs }
    }
}

/// What is kept of a batch.
enum Kept {
    Whole,
    /// Its good lines, if there are any.
    Good(Option<Batch>),
}

impl Kept {
    /// With what is to be said of the rest.
    fn of_checked(checked: Checked) -> (Kept, Option<ReplicaAnswer>) {
        match checked.answer {
            answer @ ReplicaAnswer::Refused { .. } => (Kept::Good(checked.good), Some(answer)),
            _ => (Kept::Whole, None),
        }
    }

    fn of<'a>(&'a self, batch: &'a Batch) -> Option<&'a Batch> {
        match self {
            Kept::Whole => Some(batch),
            Kept::Good(good) => good.as_ref(),
        }
    }
}

fn waiting(target: &Target) -> String {
    format!("replica {} has writes waiting", target.name)
}

fn ask(backend: &Backend, write: &Write, index: usize, pass: crate::gate::DirectPass) -> State {
    let (reply, answer) = oneshot::channel();
    let Write { key, batches, source, held, .. } = write;
    backend.submit(Item {
        key: key.clone(),
        batches: batches.clone(),
        index,
        source: *source,
        reply,
        pass,
        held: held.clone(),
    });
    State::Asked(answer)
}

impl Part {
    fn answer(&self) -> Option<&ReplicaAnswer> {
        match &self.state {
            State::Answered(answer) => Some(answer),
            _ => None,
        }
    }

    /// Why it waits.
    fn reason(&self) -> Option<Cow<'_, str>> {
        match &self.state {
            State::Waits(reason) => Some(reason.into()),
            State::Undecided(_) => Some(waiting(&self.backend.target).into()),
            _ => None,
        }
    }

    /// Waits for the answer to a request, until a moment.
    async fn hear(&mut self, until: Instant) {
        let State::Asked(answer) = &mut self.state else { return };
        let name = &self.backend.target.name;
        let state = match deadline(until, &mut *answer).await {
            Ok(Ok(ReplicaAnswer::Failed(reason))) => State::Waits(reason),
            Ok(Ok(answer)) => State::Answered(answer),
            Ok(Err(_)) => State::Waits(format!("replica {name}: its lane broke off")),
            Err(_) => {
                let reason = "is slow: it did not answer a write within write.spool_after";
                self.backend.target.note_slow();
                self.backend.target.close_gate(reason);
                State::Waits(format!("replica {name} {reason}"))
            }
        };
        let before = std::mem::replace(&mut self.state, state);
        if let (State::Asked(answer), State::Waits(_)) = (before, &self.state) {
            self.late = Some(answer);
        }
    }
}

/// Counts the points of a batch that were not stored.
pub fn count(stats: &ShardStats, batch: &Batch, answer: &ReplicaAnswer) {
    match answer {
        ReplicaAnswer::Stored | ReplicaAnswer::Spooled => {}
        ReplicaAnswer::Refused { status, error } => stats.points_refused.add(refused_points(batch, *status, error)),
        ReplicaAnswer::Failed(_) => stats.points_unavailable.add(u64::from(batch.points)),
    }
}
