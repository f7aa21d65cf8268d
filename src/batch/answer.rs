//! What replicas say of a batch, and what the client hears: the words of a single InfluxDB.
//!
//! Read beside the table of answers in the README. `Failed` means that the points may not be stored and that asking
//! again may help; `Refused` that InfluxDB will never take them as they are.

use std::borrow::Cow;

use serde::Deserialize;

use crate::lineprotocol::point::{self, FieldType};
use crate::lineprotocol::{Line, Splitter, split};
use crate::topology::GroupIndex;

use super::{Batch, Batches};

/// One replica's answer to one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaAnswer {
    /// InfluxDB said 2xx.
    Stored,
    /// The points lie, synced, in the replica's log.
    Spooled,
    /// InfluxDB's own words for a fault of the request.
    Refused { status: u16, error: String },
    /// The replica could not take it; the reason names it.
    Failed(String),
}

/// What the client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAnswer {
    pub status: u16,
    /// `None` for 204.
    pub error: Option<String>,
}

/// So many lines are complained about one by one; of further ones only their number is told.
const TOLD_MAX: usize = 10_000;
const NO_POLICY: &str = "retention policy not found";
const BEYOND_POLICY: &str = "points beyond retention policy";
const NEW_CONFLICT: &str = "field type conflict";
const NO_TEXT: &str = "contains invalid UTF-8";
const BAD_TAG: &str = "invalid tag key: ";
/// The name that no tag may have, and no field alone.
const TIME: &str = "time";
pub(super) const PARTIAL: &str = "partial write: ";
pub(super) const UNPARSED: &str = "unable to parse '";

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
}

/// Reads an HTTP answer to a write; `replica` names it in what it failed at.
pub fn read_answer(replica: &str, status: u16, body: &[u8]) -> ReplicaAnswer {
    if (200..300).contains(&status) {
        return ReplicaAnswer::Stored;
    }
    let error = match simd_json::serde::from_slice::<ErrorBody>(&mut body.to_vec()) {
        Ok(body) => body.error,
        Err(_) => String::from_utf8_lossy(body).trim().chars().take(1024).collect(),
    };
    let permanent = match status {
        // 413: lanes halve what can be halved before they believe it.
        400 | 404 | 413 => true,
        500 => error.contains(NO_POLICY) || is_poison(&error),
        _ => false,
    };
    if permanent {
        return ReplicaAnswer::Refused { status, error };
    }
    let remedy = match status {
        401 | 403 => "; check the replica's username and password in the topology",
        _ => "",
    };
    ReplicaAnswer::Failed(format!("replica {replica} answered {status}: {error}{remedy}"))
}

/// One answer for a batch out of its replicas' answers, and whether those that answered disagree.
pub fn merge_replicas(answers: &[ReplicaAnswer]) -> (ReplicaAnswer, bool) {
    let failed: Vec<&str> = answers.iter().filter_map(ReplicaAnswer::failure).collect();
    if !failed.is_empty() {
        return (ReplicaAnswer::Failed(failed.join("; ")), false);
    }
    let Some(refusal) = answers.iter().find(|answer| matches!(answer, ReplicaAnswer::Refused { .. })) else {
        let stored = answers.contains(&ReplicaAnswer::Stored);
        return (if stored { ReplicaAnswer::Stored } else { ReplicaAnswer::Spooled }, false);
    };
    let divergent = answers.iter().any(|answer| *answer != ReplicaAnswer::Spooled && !answer.agrees(refusal));
    (refusal.clone(), divergent)
}

/// What comes of a batch for the replicas of its group that did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A replica stored it, or a part of it: the others shall have it too.
    Keep,
    /// Whoever answered refused it whole: the client's fault, nothing is kept for anybody.
    Refuse,
    /// No replica said anything of it.
    Unanswered,
}

impl Verdict {
    /// By the answers of those that did answer.
    pub fn of<'a>(batch: &Batch, answers: impl Iterator<Item = &'a ReplicaAnswer>) -> Verdict {
        let mut verdict = Verdict::Unanswered;
        for answer in answers {
            match answer {
                ReplicaAnswer::Stored | ReplicaAnswer::Spooled => return Verdict::Keep,
                ReplicaAnswer::Refused { status, error }
                    if refused_points(batch, *status, error) < u64::from(batch.points) =>
                {
                    return Verdict::Keep;
                }
                ReplicaAnswer::Refused { .. } => verdict = Verdict::Refuse,
                ReplicaAnswer::Failed(_) => {}
            }
        }
        verdict
    }
}

/// Whether a replica only lacks the database or retention policy: where its peers have it, an operator must act.
pub fn lacks_target(answer: &ReplicaAnswer) -> bool {
    match answer {
        ReplicaAnswer::Refused { status: 404, .. } => true,
        ReplicaAnswer::Refused { status: 500, error } => error.contains(NO_POLICY),
        _ => false,
    }
}

/// A 500 that is about a line, and so will be said again and again: one that parses, but that the storage cannot read.
fn is_poison(error: &str) -> bool {
    error.starts_with("engine: unable to parse") || error.contains(NO_TEXT)
}

/// Whether InfluxDB may store it when it is sent once more: it has taken a new measurement or field into its list, and could not
/// write that down for a name there, of whatever line, that is no text. It tries again with the next new one alone.
pub fn passes_again(answer: &ReplicaAnswer) -> bool {
    matches!(answer, ReplicaAnswer::Refused { status: 500, error } if error.contains(NO_TEXT))
}

impl ReplicaAnswer {
    /// Whether both stored the same. Of several conflicts InfluxDB names any one: only their number counts.
    fn agrees(&self, other: &ReplicaAnswer) -> bool {
        match (self, other) {
            (ReplicaAnswer::Refused { status: one, error }, ReplicaAnswer::Refused { status: two, error: other }) => {
                match (Refusal::read(*one, error), Refusal::read(*two, other)) {
                    (Refusal::Dropped { count, .. }, Refusal::Dropped { count: others, .. }) => count == others,
                    _ => one == two && error == other,
                }
            }
            (one, two) => one == two,
        }
    }

    fn failure(&self) -> Option<&str> {
        match self {
            ReplicaAnswer::Failed(reason) => Some(reason),
            _ => None,
        }
    }
}

/// The client's answer out of the answers to all batches of its request (`answers[i]` is that of `batches.list[i]`).
pub fn merge(batches: &Batches, answers: &[ReplicaAnswer]) -> ClientAnswer {
    let failed: Vec<&str> = answers.iter().filter_map(ReplicaAnswer::failure).collect();
    if !failed.is_empty() {
        return ClientAnswer { status: 503, error: Some(format!("write not acknowledged: {}", failed.join("; "))) };
    }
    let refusals: Vec<(&Batch, u16, Refusal<'_>)> = (batches.list.iter().zip(answers))
        .filter_map(|(batch, answer)| match answer {
            ReplicaAnswer::Refused { status, error } => Some((batch, *status, Refusal::read(*status, error))),
            _ => None,
        })
        .collect();
    if refusals.is_empty() {
        return ClientAnswer { status: 204, error: None };
    }
    if let Some((_, status, text)) = refusals.iter().find_map(Refusal::whole) {
        return ClientAnswer { status, error: Some(text) };
    }
    let anything_stored = refusals.len() < answers.len() || refusals.iter().any(|(_, _, refusal)| refusal.is_partial());
    let error = match dropped(batches, &refusals) {
        Some((reason, count)) => format!("{PARTIAL}{reason} dropped={count}"),
        None if anything_stored => format!("{PARTIAL}{} dropped=0", unparsed(batches, &refusals)),
        None => unparsed(batches, &refusals),
    };
    ClientAnswer { status: 400, error: Some(error) }
}

/// Whether InfluxDB refused all of a request for what may be the fault of few of its lines: conflicts within it, or its
/// length.
pub fn is_refused_whole(answer: &ReplicaAnswer) -> bool {
    match answer {
        ReplicaAnswer::Refused { status: 400, error } => matches!(Refusal::read(400, error), Refusal::Whole(_)),
        ReplicaAnswer::Refused { status: 500, error } => is_poison(error),
        ReplicaAnswer::Refused { status, .. } => *status == 413,
        _ => false,
    }
}

/// Whether a replica refused all of a request since a new field has two types in it, and the storage shard is new too. Asked once
/// more it has both, and stores the rest.
pub fn is_new_conflict(answer: &ReplicaAnswer) -> bool {
    matches!(answer, ReplicaAnswer::Refused { status: 400, error } if error == NEW_CONFLICT)
}

/// How many points of a batch a refusal is about; never more than it has, whatever the replica says.
pub fn refused_points(batch: &Batch, status: u16, error: &str) -> u64 {
    let all = u64::from(batch.points);
    match Refusal::read(status, error) {
        Refusal::Unparsed { text, .. } => all.min(1 + text.matches(&format!("\n{UNPARSED}")).count() as u64),
        Refusal::Dropped { count, .. } => all.min(count),
        Refusal::Whole(_) => all,
    }
}

/// InfluxDB's words, taken apart.
enum Refusal<'a> {
    /// Lines that do not parse, a complaint behind the other; `stored`: others of the batch did.
    Unparsed { text: &'a str, stored: bool },
    /// Points that the storage refused.
    Dropped { reason: &'a str, count: u64 },
    /// About the request, not about lines.
    Whole(&'a str),
}

impl<'a> Refusal<'a> {
    fn read(status: u16, error: &'a str) -> Refusal<'a> {
        let (text, stored) = match error.strip_prefix(PARTIAL).and_then(|rest| rest.rsplit_once(" dropped=")) {
            Some((text, count)) => match count.trim().parse() {
                Ok(0) if text.starts_with(UNPARSED) => (text, true),
                Ok(count) => return Refusal::Dropped { reason: text, count },
                Err(_) => return Refusal::Whole(error),
            },
            None => (error, false),
        };
        if status != 400 || !text.starts_with(UNPARSED) {
            return Refusal::Whole(error);
        }
        Refusal::Unparsed { text, stored }
    }

    fn whole((_, status, refusal): &(&Batch, u16, Refusal<'_>)) -> Option<((), u16, String)> {
        match refusal {
            Refusal::Whole(text) => Some(((), *status, (*text).to_owned())),
            _ => None,
        }
    }

    fn is_partial(&self) -> bool {
        matches!(self, Refusal::Unparsed { stored: true, .. })
    }
}

/// A single InfluxDB looks for tags that it does not take before it looks at fields, and tells of the first point that it drops.
/// Points beyond the retention policy are told, and counted, where no other is dropped.
fn dropped<'a>(batches: &Batches, refusals: &[(&Batch, u16, Refusal<'a>)]) -> Option<(&'a str, u64)> {
    let found = refusals.iter().filter_map(|(batch, _, refusal)| match refusal {
        Refusal::Dropped { reason, count } => Some((*batch, *reason, *count)),
        _ => None,
    });
    let mut found: Vec<(&Batch, &'a str, u64)> = found.collect();
    if found.iter().any(|(_, reason, _)| *reason != BEYOND_POLICY) {
        found.retain(|(_, reason, _)| *reason != BEYOND_POLICY);
    }
    let place = |batch, reason: &str| (!reason.starts_with(BAD_TAG), first_line_for(batches, batch, reason));
    let (_, reason, _) = match found.as_slice() {
        [only] => only,
        _ => found.iter().min_by_key(|(batch, reason, _)| place(*batch, reason))?,
    };
    Some((reason, found.iter().fold(0, |sum, (_, _, count)| sum.saturating_add(*count))))
}

/// Which line of the request a field type conflict is about: the first with the measurement, field and type that it
/// names; the last of all when it names none.
fn first_line_for(batches: &Batches, batch: &Batch, reason: &str) -> usize {
    let Some(conflict) = Conflict::read(reason) else { return usize::MAX };
    let text = batches.list.iter().filter(|other| other.group == batch.group).flat_map(Batch::joined);
    let text: Vec<u8> = text.collect();
    let mut lines = split(&text).into_iter();
    let mut number = 0;
    for run in &batches.runs {
        for _ in 0..run.lines {
            if run.group == batch.group && lines.next().and_then(Line::read).is_some_and(|line| conflict.fits(&line)) {
                return number;
            }
            number += 1;
        }
    }
    usize::MAX
}

/// Why points were dropped: `… input field "v" on measurement "m" is type string, …` and the like.
struct Conflict<'a> {
    measurement: &'a str,
    about: About<'a>,
}

enum About<'a> {
    /// A field of this name and type.
    Type(&'a str, &'a str),
    /// A tag `time`.
    Tag,
    /// Fields of which none is other than `time`.
    Name,
}

impl<'a> Conflict<'a> {
    fn read(reason: &'a str) -> Option<Conflict<'a>> {
        let (before, rest) = reason.split_once("\" on measurement \"")?;
        let (measurement, rest) = rest.rsplit_once("\" is ")?;
        let name = before.split_once("input field \"").map(|(_, name)| name);
        let kind = rest.strip_prefix("type ").and_then(|rest| rest.split(',').next());
        let about = match name.zip(kind) {
            Some((name, kind)) => About::Type(name, kind),
            None if reason.starts_with(BAD_TAG) => About::Tag,
            None => About::Name,
        };
        Some(Conflict { measurement, about })
    }

    fn fits(&self, line: &Line<'_>) -> bool {
        let conflicts = |fields: Vec<(Cow<'_, [u8]>, FieldType)>| match self.about {
            About::Type(name, kind) => {
                fields.iter().any(|(own, own_kind)| own.as_ref() == name.as_bytes() && own_kind.name() == kind)
            }
            About::Tag => !line.tag(TIME).is_empty(),
            About::Name => fields.iter().all(|(own, _)| own.as_ref() == TIME.as_bytes()),
        };
        line.name().as_ref() == self.measurement.as_bytes() && point::fields(line).is_some_and(conflicts)
    }
}

/// The complaints about lines, in the request's order and about the lines as the client wrote them.
fn unparsed(batches: &Batches, refusals: &[(&Batch, u16, Refusal<'_>)]) -> String {
    let mut groups: Vec<Complaints> = Vec::new();
    for (batch, _, refusal) in refusals {
        let Refusal::Unparsed { text, .. } = refusal else { continue };
        match groups.iter_mut().find(|group| group.group == batch.group) {
            Some(group) => group.text.extend(["\n", text]),
            None => groups.push(Complaints::new(batches, batch.group, text)),
        }
    }
    let mut ordered: Vec<String> = Vec::new();
    'all: for run in &batches.runs {
        let Some(group) = groups.iter_mut().find(|group| group.group == run.group) else { continue };
        for _ in 0..run.lines {
            if ordered.len() >= TOLD_MAX {
                break 'all;
            }
            let stamp = if run.stamped { batches.stamp.as_str() } else { "" };
            ordered.extend(group.about_next_line(stamp));
        }
    }
    let left = groups.iter().map(|group| &group.text[group.told..]).filter(|text| !text.is_empty());
    if ordered.len() >= TOLD_MAX {
        let more: usize = left.map(|text| 1 + text.matches(&format!("\n{UNPARSED}")).count()).sum();
        ordered.extend((more > 0).then(|| format!("and {more} more lines")));
    } else {
        // What matches no line of ours is still told.
        ordered.extend(left.map(|text| text.replace(&format!("{}': ", batches.stamp), "': ")));
    }
    ordered.join("\n")
}

/// What one group said about its lines, in their order.
struct Complaints {
    group: GroupIndex,
    /// The group's lines as they were sent.
    lines: Vec<u8>,
    /// Where the next line begins.
    at: usize,
    text: String,
    /// <= text.len()
    told: usize,
}

impl Complaints {
    fn new(batches: &Batches, group: GroupIndex, text: &str) -> Complaints {
        let batches = batches.list.iter().filter(|batch| batch.group == group);
        let lines = batches.flat_map(|batch| &batch.pieces).flatten().copied().collect();
        Complaints { group, lines, at: 0, text: text.to_owned(), told: 0 }
    }

    fn next_line(&mut self) -> Option<String> {
        let mut lines = Splitter::lines(&self.lines, self.at);
        let (start, end) = match lines.next_range() {
            Some(range) => range,
            None if self.at < self.lines.len() => (self.at, self.lines.len()),
            None => return None,
        };
        self.at = end + 1;
        // With nothing left to tell, what the line says does not matter.
        Some(if self.told < self.text.len() { quoted(&self.lines[start..end]) } else { String::new() })
    }

    /// What was said of the next line, if anything, without the stamp that we gave it. Lines may hold newlines, reasons
    /// do not.
    fn about_next_line(&mut self, stamp: &str) -> Option<String> {
        let line = self.next_line()?;
        let rest = self.text[self.told..].strip_prefix(UNPARSED)?.strip_prefix(line.as_str())?.strip_prefix("': ")?;
        let reason = rest.split('\n').next().unwrap_or_default();
        let mut written = line.strip_suffix(stamp).unwrap_or(&line);
        if !stamp.is_empty() {
            // The gap behind a backslash is ours too, and a newline at the end is not quoted.
            written = written.strip_suffix('\n').unwrap_or(written);
            written = written.strip_suffix(' ').filter(|line| line.ends_with('\\')).unwrap_or(written);
        }
        let complaint = format!("{UNPARSED}{written}': {reason}");
        let behind = &rest[reason.len()..];
        self.told = self.text.len() - behind.strip_prefix('\n').unwrap_or(behind).len();
        Some(complaint)
    }
}

/// As InfluxDB quotes it in JSON: without the white space before it and one (escaped) newline behind it, U+FFFD for
/// each byte that is not UTF-8.
fn quoted(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let start = line.iter().position(|byte| !matches!(byte, b' ' | b'\t' | 0)).unwrap_or(line.len());
    point::text(&line[start..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Run;

    fn refused(status: u16, error: &str) -> ReplicaAnswer {
        ReplicaAnswer::Refused { status, error: error.to_owned() }
    }

    fn failed(reason: &str) -> ReplicaAnswer {
        ReplicaAnswer::Failed(reason.to_owned())
    }

    /// Batches of the given (group, line, stamped), in the request's order.
    fn batches(lines: &[(GroupIndex, &str, bool)]) -> Batches {
        let mut list: Vec<Batch> = Vec::new();
        for (group, line, stamped) in lines {
            let text = format!("{line}{}\n", if *stamped { " 77" } else { "" });
            match list.iter_mut().find(|batch| batch.group == *group) {
                Some(batch) => batch.pieces.push(text.into()),
                None => {
                    list.push(Batch { group: *group, pieces: vec![text.into()], bytes: 0, points: 1, open: false });
                }
            }
        }
        let runs = lines.iter().map(|&(group, _, stamped)| Run { group, lines: 1, stamped }).collect();
        Batches { list, runs, stamp: " 77".to_owned(), points: lines.len() as u64 }
    }

    fn error(batches: &Batches, answers: &[ReplicaAnswer]) -> (u16, String) {
        let answer = merge(batches, answers);
        (answer.status, answer.error.unwrap_or_default())
    }

    #[test]
    fn answers_are_classed() {
        let read = |status, body: &str| read_answer("g1a", status, body.as_bytes());
        assert_eq!(read(204, ""), ReplicaAnswer::Stored);
        assert_eq!(read(400, "{\"error\":\"unable to parse 'x': y\"}\n"), refused(400, "unable to parse 'x': y"));
        assert_eq!(
            read(500, "{\"error\":\"retention policy not found: x\"}"),
            refused(500, "retention policy not found: x")
        );
        let poison = "engine: unable to parse bool value 'z': strconv.ParseBool";
        assert_eq!(read(500, &format!("{{\"error\":\"{poison}\"}}")), refused(500, poison));
        assert!(is_refused_whole(&refused(500, poison)) && !lacks_target(&refused(500, poison)));
        assert_eq!(read(500, "{\"error\":\"timeout\"}"), failed("replica g1a answered 500: timeout"));
        assert_eq!(read(502, "garbage"), failed("replica g1a answered 502: garbage"));
        assert!(matches!(read(401, ""), ReplicaAnswer::Failed(text) if text.contains("username")));
    }

    #[test]
    fn lines_come_back_in_the_requests_order_and_words() {
        let batches = batches(&[(0, "a v=x", true), (1, "b v=y 5", false), (0, "c v=1", true), (0, "d v=x 5", false)]);
        let first = "unable to parse 'a v=x 77': invalid number\nunable to parse 'd v=x 5': invalid number";
        let second = refused(400, "unable to parse 'b v=y 5': invalid number");
        let partly = refused(400, &format!("partial write: {first} dropped=0"));
        let want = "partial write: unable to parse 'a v=x': invalid number\nunable to parse 'b v=y 5': invalid number\n\
                    unable to parse 'd v=x 5': invalid number dropped=0";
        assert_eq!(error(&batches, &[partly, second]), (400, want.to_owned()));
    }

    #[test]
    fn lines_that_are_no_text_or_quote_our_own_words() {
        let mut batches = batches(&[(0, "m v=?", true), (0, "n s=\"\nunable to parse 'x", true), (0, "o v=y", true)]);
        batches.list[0].pieces[0] = bytes::Bytes::from_static(b"m v=\xe2\x82x 77\n");
        let said = "unable to parse 'm v=\u{fffd}\u{fffd}x 77': r\nunable to parse 'o v=y 77': r";
        let want = "unable to parse 'm v=\u{fffd}\u{fffd}x': r\nunable to parse 'o v=y': r";
        batches.list[0].pieces[1] = bytes::Bytes::from_static(b"n s=\"\nunable to parse 'x\" 77\n");
        assert_eq!(error(&batches, &[refused(400, said)]), (400, want.to_owned()));
        let foreign = refused(400, "unable to parse 'what 77': r");
        assert_eq!(error(&batches, &[foreign]).1, "unable to parse 'what': r");
    }

    #[test]
    fn nothing_stored_is_not_partial() {
        let batches = batches(&[(1, "b v=y 5", false), (0, "a v=x 5", false)]);
        let answers = [refused(400, "unable to parse 'b v=y 5': r"), refused(400, "unable to parse 'a v=x 5': r")];
        let want = "unable to parse 'b v=y 5': r\nunable to parse 'a v=x 5': r";
        assert_eq!(error(&batches, &answers), (400, want.to_owned()));
        let one_stored = error(&batches, &[answers[0].clone(), ReplicaAnswer::Stored]);
        assert_eq!(one_stored.1, "partial write: unable to parse 'b v=y 5': r dropped=0");
    }

    #[test]
    fn dropped_points_add_up() {
        let batches = batches(&[(0, "a v=1 5", false), (1, "b v=y 5", false), (2, "c v=1 5", false)]);
        let conflict = "field type conflict: …";
        let dropped = |count| refused(400, &format!("partial write: {conflict} dropped={count}"));
        let answers = [dropped(2), refused(400, "unable to parse 'b v=y 5': r"), dropped(3)];
        assert_eq!(error(&batches, &answers), (400, format!("partial write: {conflict} dropped=5")));
    }

    #[test]
    fn counts_beyond_all_bounds() {
        let batches = batches(&[(0, "a v=1 5", false), (1, "b v=1 5", false)]);
        let text = format!("partial write: x dropped={}", u64::MAX);
        assert_eq!(error(&batches, &[refused(400, &text), refused(400, &text)]), (400, text.clone()));
        assert_eq!(refused_points(&batches.list[0], 400, &text), 1);
        let quoting = "unable to parse 'a\nunable to parse 'b': r";
        assert_eq!(refused_points(&batches.list[0], 400, quoting), 1);
    }

    #[test]
    fn the_first_conflict_of_the_request_is_told() {
        let conflict = |name: &str| {
            let text = format!(
                "field type conflict: input field \"v\" on measurement \"{name}\" is type string, already exists as type float"
            );
            refused(400, &format!("partial write: {text} dropped=1"))
        };
        let lines = [(0, "a v=1 5", false), (1, "b v=\"x\" 5", false), (0, "a v=\"x\" 5", false)];
        let (_, error) = error(&batches(&lines), &[conflict("a"), conflict("b")]);
        assert!(error.contains("measurement \"b\"") && error.ends_with("dropped=2"), "{error}");
    }

    #[test]
    fn what_is_told_of_several_reasons() {
        let dropped = |reason: &str, count: u64| refused(400, &format!("partial write: {reason} dropped={count}"));
        let tag = "invalid tag key: input tag \"time\" on measurement \"b\" is invalid";
        let name = "invalid field name: input field \"time\" on measurement \"a\" is invalid";
        let kind =
            "field type conflict: input field \"v\" on measurement \"b\" is type string, already exists as type float";
        let lines =
            [(0, "a v=1 5", false), (1, "b v=\"x\" 5", false), (0, "a time=1 5", false), (1, "b,time=x v=1 5", false)];
        let batches = batches(&lines);
        for (one, other, told, count) in [
            ((name, 1), (tag, 1), tag, 2),
            ((name, 1), (kind, 1), kind, 2),
            ((BEYOND_POLICY, 1), (kind, 2), kind, 2),
            ((name, 1), (BEYOND_POLICY, 3), name, 1),
            ((BEYOND_POLICY, 2), (BEYOND_POLICY, 3), BEYOND_POLICY, 5),
        ] {
            let answers = [dropped(one.0, one.1), dropped(other.0, other.1)];
            assert_eq!(error(&batches, &answers).1, format!("partial write: {told} dropped={count}"));
        }
    }

    #[test]
    fn a_failure_outweighs_all() {
        let batches = batches(&[(0, "a v=1 5", false), (1, "b v=y 5", false)]);
        let answers = [failed("replica g1a: down"), refused(400, "unable to parse 'b v=y 5': r")];
        assert_eq!(error(&batches, &answers), (503, "write not acknowledged: replica g1a: down".to_owned()));
        let nodb = refused(404, "database not found: \"x\"");
        assert_eq!(error(&batches, &[nodb.clone(), nodb]), (404, "database not found: \"x\"".to_owned()));
    }

    #[test]
    fn replicas_that_disagree() {
        let (stored, spooled) = (ReplicaAnswer::Stored, ReplicaAnswer::Spooled);
        let conflict = refused(400, "partial write: x dropped=1");
        assert_eq!(merge_replicas(&[stored.clone(), conflict.clone()]), (conflict.clone(), true));
        assert_eq!(merge_replicas(&[conflict.clone(), conflict.clone()]), (conflict.clone(), false));
        assert_eq!(merge_replicas(&[spooled.clone(), conflict.clone()]), (conflict.clone(), false));
        let other = refused(400, "partial write: y dropped=1");
        assert!(!merge_replicas(&[conflict.clone(), other]).1);
        assert_eq!(merge_replicas(&[conflict, failed("g1b")]), (failed("g1b"), false));
        assert_eq!(merge_replicas(&[spooled.clone(), stored.clone()]), (stored, false));
        assert_eq!(merge_replicas(&[spooled.clone(), spooled.clone()]), (spooled, false));
    }

    #[test]
    fn what_is_kept_for_replicas_that_do_not_answer() {
        let batch = &batches(&[(0, "a v=1 5", false), (0, "b v=y 5", false)]).list[0];
        let batch = &Batch { points: 2, ..batch.clone() };
        let verdict = |answers: &[ReplicaAnswer]| Verdict::of(batch, answers.iter());
        let nodb = refused(404, "database not found: \"x\"");
        assert_eq!(verdict(&[failed("a"), failed("b")]), Verdict::Unanswered);
        assert_eq!(verdict(&[failed("a"), nodb.clone()]), Verdict::Refuse);
        assert_eq!(verdict(&[nodb, ReplicaAnswer::Stored]), Verdict::Keep);
        let unparsed = "unable to parse 'b v=y 5': invalid number";
        assert_eq!(verdict(&[refused(400, &format!("partial write: {unparsed} dropped=0"))]), Verdict::Keep);
        assert_eq!(verdict(&[refused(400, "partial write: conflict dropped=1")]), Verdict::Keep);
        assert_eq!(verdict(&[refused(400, "partial write: conflict dropped=2")]), Verdict::Refuse);
        assert_eq!(verdict(&[refused(400, "field type conflict: x")]), Verdict::Refuse);
    }
}
