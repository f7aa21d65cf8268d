//! The databases and retention policies that InfluxDB was last seen to have. While no replica of a group answers, a write
//! may wait for it only if it is known to have a place there.
//!
//! Shards ask a snapshot (`LastSeen::knows`) and report what they see over a bounded channel; a thread of `server` alone
//! changes the `Ledger`, publishes its snapshots and keeps its text in `data_dir`. Seen is what InfluxDB said of a write,
//! of a statement, or when it was asked for a list, group by group: a list replaces what was known of its group, and what
//! was known from elsewhere only if it is older than the list. Pure: moments come in with the events.
//!
//! Limits: `DATABASES_MAX` and `POLICIES_MAX` for each group's list and for what was seen otherwise; what is beyond them is
//! not known. A report that finds the channel full is dropped: the next write brings it again, or the next list.
//!
//! # The text
//! JSON: `{"groups": {"1": {"telegraf": ["autogen"]}}, "seen": {"new": []}}`: policies by database, first what each group
//! (by its id) has listed, then what was seen otherwise since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use ahash::AHashMap;
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

/// So many are kept.
pub const DATABASES_MAX: usize = 10_000;
pub const POLICIES_MAX: usize = 100_000;
/// Reports on their way.
const EVENTS_MAX: usize = 1024;

/// Policies by database.
pub type List = BTreeMap<String, BTreeSet<String>>;

/// What was seen of databases and policies.
#[derive(Debug)]
pub enum Event {
    /// The policy is empty where only the database is meant.
    Seen {
        db: String,
        rp: String,
    },
    /// The same.
    Gone {
        db: String,
        rp: String,
    },
    Listed(Round),
    /// There will be no more.
    Stop,
}

/// Every group was asked for what it has.
#[derive(Debug)]
pub struct Round {
    pub began: Instant,
    /// All groups there are, by id; `None`: this one could not be asked.
    pub groups: Vec<(u32, Option<List>)>,
}

type Snapshot = AHashMap<String, Vec<String>>;

/// What all shards share.
pub struct LastSeen {
    known: ArcSwap<Snapshot>,
    events: SyncSender<Event>,
}

impl LastSeen {
    /// With the other end of its channel.
    pub fn new() -> (Arc<LastSeen>, Receiver<Event>) {
        let (events, reported) = sync_channel(EVENTS_MAX);
        (Arc::new(LastSeen { known: ArcSwap::default(), events }), reported)
    }

    /// Whether the database has the policy; an empty one is the default that every database has.
    pub fn knows(&self, db: &str, rp: &str) -> bool {
        self.known.load().get(db).is_some_and(|policies| rp.is_empty() || policies.iter().any(|policy| policy == rp))
    }

    /// InfluxDB has them just now. Costs one look when that is known.
    pub fn seen(&self, db: &str, rp: &str) {
        if !self.knows(db, rp) {
            self.tell(Event::Seen { db: db.to_owned(), rp: rp.to_owned() });
        }
    }

    /// InfluxDB does not have the database.
    pub fn gone(&self, db: &str) {
        if self.knows(db, "") {
            self.tell(Event::Gone { db: db.to_owned(), rp: String::new() });
        }
    }

    /// The database does not have the policy.
    pub fn gone_policy(&self, db: &str, rp: &str) {
        if self.knows(db, rp) && !rp.is_empty() {
            self.tell(Event::Gone { db: db.to_owned(), rp: rp.to_owned() });
        }
    }

    /// What every group has listed.
    pub fn listed(&self, round: Round) {
        self.tell(Event::Listed(round));
    }

    fn tell(&self, event: Event) {
        // It comes again.
        let _ = self.events.try_send(event);
    }

    /// The keeper's end: waits for room.
    pub fn stop(&self) {
        // Nobody listens any more: then it has stopped.
        let _ = self.events.send(Event::Stop);
    }

    /// The keeper's: what shards shall know from now on.
    pub fn publish(&self, ledger: &Ledger) {
        self.known.store(Arc::new(ledger.union()));
    }
}

/// All that is known, and from where. Only the keeper has one.
#[derive(Debug, Default, PartialEq)]
pub struct Ledger {
    groups: BTreeMap<u32, List>,
    /// What was seen otherwise, with the last moment.
    seen: BTreeMap<(String, String), Instant>,
    /// What went, lest a list that is older brings it back.
    gone: BTreeMap<(String, String), Instant>,
    /// There was more than is kept.
    overflowed: bool,
}

#[derive(Serialize, Deserialize)]
struct Text {
    groups: BTreeMap<u32, List>,
    seen: List,
}

impl Ledger {
    /// What was kept, as if just seen.
    pub fn parse(json: &[u8], now: Instant) -> Result<Ledger, String> {
        let Text { groups, seen } = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let mut ledger = Ledger::default();
        ledger.groups = groups.into_iter().map(|(id, list)| (id, ledger.bounded(list))).collect();
        for (db, policies) in ledger.bounded(seen) {
            ledger.seen.extend(policies.into_iter().map(|rp| ((db.clone(), rp), now)));
            ledger.seen.insert((db, String::new()), now);
        }
        Ok(ledger)
    }

    pub fn print(&self) -> String {
        let mut seen = List::new();
        for (db, rp) in self.seen.keys() {
            let policies = seen.entry(db.clone()).or_default();
            policies.extend((!rp.is_empty()).then(|| rp.clone()));
        }
        // Maps of texts: nothing that JSON could not hold.
        serde_json::to_string(&Text { groups: self.groups.clone(), seen }).unwrap_or_default() + "\n"
    }

    /// Whether there was more than is kept.
    pub fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// Takes note of something that was reported by now.
    pub fn note(&mut self, event: Event, now: Instant) {
        match event {
            Event::Seen { db, rp } => self.note_seen(db, rp, now),
            Event::Gone { db, rp } => self.note_gone(db, rp, now),
            Event::Listed(round) => self.note_round(round),
            Event::Stop => {}
        }
    }

    fn note_seen(&mut self, db: String, rp: String, now: Instant) {
        self.gone.remove(&(db.clone(), rp.clone()));
        self.gone.remove(&(db.clone(), String::new()));
        if self.seen.len() >= POLICIES_MAX {
            self.overflowed = true;
            return;
        }
        if !rp.is_empty() {
            self.seen.insert((db.clone(), String::new()), now);
        }
        self.seen.insert((db, rp), now);
    }

    fn note_gone(&mut self, db: String, rp: String, now: Instant) {
        self.groups.values_mut().for_each(|list| remove(list, &db, &rp));
        self.seen.retain(|(own, policy), _| *own != db || (!rp.is_empty() && *policy != rp));
        if self.gone.len() < POLICIES_MAX {
            self.gone.insert((db, rp), now);
        }
    }

    fn note_round(&mut self, round: Round) {
        let Round { began, groups } = round;
        let all_were_asked = groups.iter().all(|(_, list)| list.is_some());
        let mut before = std::mem::take(&mut self.groups);
        for (id, list) in groups {
            let list = match list {
                None => before.remove(&id).unwrap_or_default(),
                Some(list) => {
                    let mut list = self.bounded(list);
                    let since = self.gone.iter().filter(|(_, at)| **at >= began);
                    since.for_each(|((db, rp), _)| remove(&mut list, db, rp));
                    list
                }
            };
            self.groups.insert(id, list);
        }
        if all_were_asked {
            self.seen.retain(|_, at| *at >= began);
            self.gone.retain(|_, at| *at >= began);
        }
    }

    /// As much of a list as is kept.
    fn bounded(&mut self, list: List) -> List {
        let mut left = POLICIES_MAX;
        let mut kept = List::new();
        for (db, mut policies) in list {
            if kept.len() >= DATABASES_MAX || policies.len() > left {
                self.overflowed = true;
                break;
            }
            policies.remove("");
            left -= policies.len();
            kept.insert(db, policies);
        }
        kept
    }

    fn union(&self) -> Snapshot {
        let mut union = Snapshot::new();
        let listed = self.groups.values().flatten();
        let listed = listed.flat_map(|(db, policies)| {
            policies.iter().map(String::as_str).chain([""]).map(move |policy| (db.as_str(), policy))
        });
        for (db, policy) in listed.chain(self.seen.keys().map(|(db, policy)| (db.as_str(), policy.as_str()))) {
            if union.len() >= DATABASES_MAX && !union.contains_key(db) {
                continue;
            }
            let known = union.entry(db.to_owned()).or_default();
            if !policy.is_empty() && !known.iter().any(|own| own == policy) {
                known.push(policy.to_owned());
            }
        }
        union
    }
}

/// Removes a policy, or with an empty one the whole database.
fn remove(list: &mut List, db: &str, rp: &str) {
    if rp.is_empty() {
        list.remove(db);
    } else if let Some(policies) = list.get_mut(db) {
        policies.remove(rp);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn list(entries: &[(&str, &[&str])]) -> List {
        let owned = |policies: &[&str]| policies.iter().map(|policy| (*policy).to_owned()).collect();
        entries.iter().map(|(db, policies)| ((*db).to_owned(), owned(policies))).collect()
    }

    fn seen(db: &str, rp: &str) -> Event {
        Event::Seen { db: db.to_owned(), rp: rp.to_owned() }
    }

    fn gone(db: &str, rp: &str) -> Event {
        Event::Gone { db: db.to_owned(), rp: rp.to_owned() }
    }

    fn at(second: u64) -> Instant {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *START + Duration::from_secs(second)
    }

    fn round(second: u64, groups: &[(u32, Option<List>)]) -> Event {
        Event::Listed(Round { began: at(second), groups: groups.to_vec() })
    }

    /// Every database with its policies, sorted.
    fn known(ledger: &Ledger) -> String {
        let mut all: Vec<String> = ledger
            .union()
            .into_iter()
            .map(|(db, mut policies)| {
                policies.sort();
                format!("{db}:{}", policies.join(","))
            })
            .collect();
        all.sort();
        all.join(" ")
    }

    fn noted(events: Vec<(u64, Event)>) -> Ledger {
        let mut ledger = Ledger::default();
        events.into_iter().for_each(|(second, event)| ledger.note(event, at(second)));
        ledger
    }

    #[test]
    fn shards_ask_the_last_snapshot_and_report_what_is_new() {
        let (last_seen, reported) = LastSeen::new();
        last_seen.seen("a", "");
        last_seen.gone("a");
        let mut ledger = Ledger::default();
        reported.try_iter().for_each(|event| ledger.note(event, at(0)));
        last_seen.publish(&ledger);
        assert!(last_seen.knows("a", "") && !last_seen.knows("a", "week") && !last_seen.knows("b", ""));
        last_seen.seen("a", "");
        assert!(reported.try_recv().is_err(), "what is known is not reported");
        last_seen.seen("a", "week");
        assert!(matches!(reported.try_recv(), Ok(Event::Seen { rp, .. }) if rp == "week"));
        (0..2 * EVENTS_MAX).for_each(|number| last_seen.seen("b", &number.to_string()));
        assert_eq!(reported.try_iter().count(), EVENTS_MAX, "no more than the channel holds");
    }

    #[test]
    fn a_list_replaces_what_was_known_of_its_group() {
        let (one, two) = (list(&[("a", &["autogen"]), ("b", &["autogen", "week"])]), list(&[("c", &["autogen"])]));
        let mut ledger = noted(vec![(1, round(0, &[(1, Some(one)), (2, Some(two))]))]);
        assert_eq!(known(&ledger), "a:autogen b:autogen,week c:autogen");
        ledger.note(round(2, &[(1, Some(list(&[("b", &["day"])]))), (2, None)]), at(3));
        assert_eq!(known(&ledger), "b:day c:autogen", "a group that could not be asked keeps what it had");
        ledger.note(round(4, &[(1, Some(list(&[("b", &["day"])])))]), at(5));
        assert_eq!(known(&ledger), "b:day", "a group that is no more has nothing");
    }

    #[test]
    fn what_was_seen_holds_against_older_lists_only() {
        let nothing = || [(1, Some(List::new()))];
        let mut ledger = noted(vec![(5, seen("a", "week")), (6, round(4, &nothing()))]);
        assert_eq!(known(&ledger), "a:week");
        ledger.note(round(6, &[(1, None)]), at(7));
        assert_eq!(known(&ledger), "a:week");
        ledger.note(round(8, &nothing()), at(9));
        assert_eq!(known(&ledger), "");
    }

    #[test]
    fn what_went_does_not_come_back_with_an_older_list() {
        let both = || [(1, Some(list(&[("a", &["autogen", "week"]), ("b", &[])])))];
        let mut ledger = noted(vec![(1, round(0, &both())), (5, gone("a", "week")), (5, gone("b", ""))]);
        assert_eq!(known(&ledger), "a:autogen");
        ledger.note(round(4, &both()), at(6));
        assert_eq!(known(&ledger), "a:autogen");
        ledger.note(seen("b", ""), at(7));
        assert_eq!(known(&ledger), "a:autogen b:");
        ledger.note(round(8, &both()), at(9));
        assert_eq!(known(&ledger), "a:autogen,week b:");
    }

    #[test]
    fn the_text_holds_all_that_is_known() {
        let groups = [(1, Some(list(&[("a", &["autogen"])]))), (2, Some(List::new()))];
        let ledger = noted(vec![(1, round(0, &groups)), (2, seen("new", "")), (2, seen("q\"\n", "x"))]);
        let text = ledger.print();
        assert_eq!(
            text,
            "{\"groups\":{\"1\":{\"a\":[\"autogen\"]},\"2\":{}},\"seen\":{\"new\":[],\"q\\\"\\n\":[\"x\"]}}\n"
        );
        let read = Ledger::parse(text.as_bytes(), at(3)).expect("it was printed");
        assert_eq!((known(&read), read.print()), (known(&ledger), text));
        for broken in ["", "{}", "[]", "{\"groups\":{\"x\":{}},\"seen\":{}}", "{\"groups\":{},\"seen\":{\"a\":1}}"] {
            assert!(Ledger::parse(broken.as_bytes(), at(0)).is_err(), "{broken}");
        }
    }

    #[test]
    fn no_more_is_kept_than_the_limits_say() {
        let many: List = (0..DATABASES_MAX + 5).map(|number| (number.to_string(), BTreeSet::new())).collect();
        let ledger = noted(vec![(1, round(0, &[(1, Some(many))]))]);
        assert!(ledger.has_overflowed());
        assert_eq!(ledger.union().len(), DATABASES_MAX);
        let policies: BTreeSet<String> = (0..=POLICIES_MAX).map(|number| number.to_string()).collect();
        let ledger = noted(vec![(1, round(0, &[(1, Some(List::from([("a".to_owned(), policies)])))]))]);
        assert!(ledger.has_overflowed() && ledger.union().is_empty());
        let mut ledger = Ledger::default();
        (0..DATABASES_MAX + 5).for_each(|number| ledger.note(seen(&number.to_string(), ""), at(0)));
        assert_eq!(ledger.union().len(), DATABASES_MAX);
    }
}
