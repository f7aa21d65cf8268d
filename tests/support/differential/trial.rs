//! Slotline over groups of real influxds, and three judges with the same data.

use crate::support::client::{Http, encode};
use crate::support::facts::assert_same;
use crate::support::{Cluster, Influxd, Series, Setup, group_of, slot};

use super::answer::{Answer, shown};
use super::ask::Ask;
use super::data::{self, CATALOGUE, Part, SECOND_POLICY};
use super::exceptions;
use super::list::Entry;
use super::refusals::{self, Layout};
use super::tally::{Outcome, Tally};

/// A rule by name or `/regex/`, and the tags that split; the first that fits wins.
const RULES: [(&str, &[&str]); 4] =
    [("cpu", &["host"]), ("disk", &["host", "path"]), ("whole", &[]), ("/^w/", &["host"])];
const DATABASES: [&str; 2] = ["d", "e"];
/// How often the first judge is asked again before its answer counts as the only one.
const ASKED_AGAIN: usize = 8;
/// From 1955 to 2235.
const ONE_SHARD: &str = "SHARD DURATION 102000d";

pub struct Trial {
    pub layout: Layout,
    cluster: Cluster,
    judge: Influxd,
    /// The same data, written in another order into shorter storage shards, on one processor.
    second: Influxd,
    /// The same data in one storage shard. In each InfluxDB puts rows of one time in an order anew; slotline knows of none, and
    /// orders them as if all were one.
    third: Influxd,
    pub tally: Tally,
}

impl Trial {
    /// Starts all servers and stores the points of `seed` in them.
    #[track_caller]
    pub fn start(layout: Layout, seed: u64) -> Trial {
        let groups = if layout == Layout::OneGroup { 1 } else { 3 };
        let mut setup = Setup::new(groups, 1);
        if layout == Layout::Split {
            for (measurement, tags) in RULES {
                setup = setup.rule("d", measurement, tags);
            }
        }
        let cluster = setup.start();
        let (judge, second) = (Influxd::start(), Influxd::start_in(vec![("GOMAXPROCS", "1")]));
        let parts = data::points(seed);
        let third = Influxd::start();
        for (http, shards) in [(cluster.http(), ""), (judge.http(), ""), (third.http(), ONE_SHARD)] {
            prepare(http, shards);
            store(http, &parts);
        }
        prepare(second.http(), "SHARD DURATION 6h");
        store_otherwise(second.http(), &parts);
        let trial = Trial { layout, cluster, judge, second, third, tally: Tally::default() };
        trial.check_placement();
        trial
    }

    /// What the judge holds lies on the groups as the rules say; else nothing that follows would mean anything.
    fn check_placement(&self) {
        for measurement in CATALOGUE {
            let held = |influxd: &Influxd| measurement.read(influxd.http());
            let all = held(&self.judge);
            assert!(!all.is_empty(), "the judge holds points of {:?}", measurement.name);
            for other in [&self.second, &self.third] {
                assert_eq!(all, held(other), "all judges hold the same of {:?}", measurement.name);
            }
            for (number, group) in self.cluster.groups.iter().enumerate() {
                let (mut share, groups) = (all.clone(), self.cluster.groups.len());
                share.retain(|series, _| group_of(self.slot_of(measurement.db, series), groups) == number);
                group.iter().for_each(|replica| assert_same(&format!("group {number}"), &held(replica), &share));
            }
        }
    }

    fn slot_of(&self, db: &str, series: &Series) -> u32 {
        let name = series.measurement.as_str();
        let tags: &[&str] = match name {
            _ if db != "d" || self.layout != Layout::Split => &[],
            "cpu" | "wide" | "weeks" => &["host"],
            "disk" => &["host", "path"],
            _ => &[],
        };
        let values: Vec<&str> = tags.iter().map(|tag| series.tag(tag)).collect();
        slot(db, name, &values)
    }

    /// Asks both sides and counts what came of it.
    pub fn ask(&mut self, ask: &Ask) {
        let outcome = self.outcome(ask);
        self.tally.add(ask, outcome);
    }

    /// The same for one of the list, which says why an answer may be left to chance.
    pub fn ask_listed(&mut self, entry: &Entry, ask: &Ask) {
        let outcome = match (self.outcome(ask), entry.undetermined) {
            (Outcome::Undetermined, None) => Outcome::Different {
                seen: "the judges' own answers differ, and the list gives no reason for it".to_owned(),
                expected: "see SLOTLINE_ASK".to_owned(),
            },
            (outcome, _) => outcome,
        };
        self.tally.add(ask, outcome);
    }

    /// All answers to one request, printed: those of the groups on their own too.
    pub fn show(&self, ask: &Ask) {
        let print = |name: &str, http: Http| {
            let told = ask.send(http).map(|answer| format!("{} {}", answer.status, answer.text()));
            println!("{:?} {name}: {}", self.layout, told.unwrap_or_else(|why| why));
        };
        print("slotline", self.cluster.http());
        print("influxd", self.judge.http());
        print("second judge", self.second.http());
        print("third judge", self.third.http());
        for (number, group) in self.cluster.groups.iter().enumerate().filter(|_| !ask.writes) {
            print(&format!("group {} alone", number + 1), group[0].http());
        }
    }

    fn outcome(&self, ask: &Ask) -> Outcome {
        let seen = answer(ask, self.cluster.http());
        if ask.writes
            && let Ok(seen) = &seen
        {
            // What slotline does not do the judges must not do either.
            if let Some(refused) = self.refused(seen, None) {
                return refused;
            }
        }
        let expected = answer(ask, self.judge.http());
        let others = ask.writes.then(|| [&self.second, &self.third].map(|judge| answer(ask, judge.http())));
        let (seen, expected) = match (seen, expected) {
            (Ok(seen), Ok(expected)) => (seen, expected),
            (seen, expected) => return Outcome::Different { seen: told(seen), expected: told(expected) },
        };
        if seen == expected {
            return Outcome::Equal { rows: seen.has_rows() };
        }
        // What lies beside a measurement in its storage shard changes in which order influxd meets rows of one time, and with
        // that the last digit of a deviation. What may make no point, and so end the answer of all groups, is worked out by slotline.
        let parts = ["(SELECT", "stddev(", "percentile(", "holt_winters"];
        let adds_up = self.layout == Layout::Split
            || self.layout == Layout::Whole && parts.iter().any(|part| ask.q.contains(part));
        if adds_up && seen.rounds_to(&expected) {
            return Outcome::Rounded;
        }
        if let Some(refused) = self.refused(&seen, Some(&expected)) {
            return refused;
        }
        let others = match others {
            Some(others) => others.into_iter().flatten().collect(),
            None => self.other_opinions(ask),
        };
        if exceptions::excepted(ask) || undetermined(&seen, &expected, &others) {
            return Outcome::Undetermined;
        }
        let (seen, expected) = shown(&seen, &expected);
        Outcome::Different { seen, expected }
    }

    /// A refusal that may occur in this layout, with a status that InfluxDB uses for such.
    fn refused(&self, seen: &Answer, expected: Option<&Answer>) -> Option<Outcome> {
        let says = |part: &str| seen.contains(part) && !expected.is_some_and(|expected| expected.contains(part));
        let refusal = refusals::of(says, self.layout)?;
        let told = || shown(seen, seen).0.trim().to_owned();
        matches!(seen.status, 200 | 400 | 403 | 406).then(|| Outcome::Refused { kind: refusal.kind, told: told() })
    }

    fn other_opinions(&self, ask: &Ask) -> Vec<Answer> {
        let again = std::iter::repeat_n(self.judge.http(), ASKED_AGAIN);
        // The other judges' policies are others by design, and their storage shards, in each of which series and rows are cut.
        let differs = |statement: &str| {
            let (is_cut, is_offset) = (statement.contains(" LIMIT "), statement.contains("OFFSET"));
            let best = ["top(", "bottom("].iter().any(|call| statement.contains(call));
            ["RETENTION POLICIES", "SLIMIT"].iter().any(|words| statement.contains(words))
                || is_offset && !is_cut
                || is_cut && best
        };
        let differ = ask.q.split(';').any(differs);
        let others = [&self.second, &self.third].map(|judge| judge.http()).into_iter().filter(|_| !differ);
        again.chain(others).filter_map(|http| answer(ask, http).ok()).collect()
    }
}

/// Whether InfluxDB alone disagrees with itself as much as slotline does with it, or has no answer: a bug of its own stops it.
fn undetermined(seen: &Answer, expected: &Answer, others: &[Answer]) -> bool {
    if expected.contains("[panic:") {
        return true;
    }
    // A call that a type does not have is an error, or now and then that bug, of whichever influxd is asked.
    if seen.contains("[panic:") && expected.contains(" iterator type: *query.") {
        return true;
    }
    // Whoever answers where slotline says an error shows that there is an answer.
    let fails = |answer: &Answer| !answer.has_rows() && answer.contains("error");
    if fails(seen) && !fails(expected) && !others.iter().any(fails) {
        return false;
    }
    // Of several calls that a type does not have, the first that a goroutine meets is named: another one now and then, and
    // not always within a few tries. MessagePack has the error's length before it.
    let names_a_call = |answer: &Answer| !answer.has_rows() && answer.contains(" iterator type: *query.");
    if seen.without_named_calls() == expected.without_named_calls() || names_a_call(seen) && names_a_call(expected) {
        return true;
    }
    if others.iter().all(|other| other == expected) {
        return false;
    }
    let (seen, expected) = (seen.without_order(), expected.without_order());
    others.iter().map(Answer::without_order).any(|other| other != expected || other == seen) || seen == expected
}

fn answer(ask: &Ask, http: Http) -> Result<Answer, String> {
    ask.send(http).map(|response| Answer::of(&response))
}

fn told(answer: Result<Answer, String>) -> String {
    answer.map_or_else(|why| why, |answer| shown(&answer, &answer).0)
}

/// Databases and policies.
fn prepare(http: Http, shards: &str) {
    for db in DATABASES {
        let with = if shards.is_empty() {
            String::new()
        } else {
            format!(" WITH DURATION INF REPLICATION 1 {shards} NAME autogen")
        };
        http.run("", &format!("CREATE DATABASE {db}{with}"));
    }
    http.run("", &format!("CREATE RETENTION POLICY {SECOND_POLICY} ON d DURATION INF REPLICATION 1 {shards}"));
}

/// Writes one request after the other: of several that would create one storage shard at once, influxd may lose one.
fn store(http: Http, parts: &[Part]) {
    for part in parts {
        write(http, part, part.lines.iter().map(String::as_str).collect());
    }
}

/// From the last line to the first, in several requests.
fn store_otherwise(http: Http, parts: &[Part]) {
    for part in parts.iter().rev() {
        let lines: Vec<&str> = part.lines.iter().rev().map(String::as_str).collect();
        lines.chunks(97).for_each(|chunk| write(http, part, chunk.to_vec()));
    }
}

fn write(http: Http, part: &Part, lines: Vec<&str>) {
    let stored = http.write_with(&format!("db={}&rp={}", encode(part.db), part.rp), lines.join("\n") + "\n");
    assert_eq!(stored.status, 204, "a write to {}: {stored:?}", http.addr);
}
