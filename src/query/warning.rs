//! A warning for an answer that streams through: set into the first bytes of InfluxDB's JSON as the first result's
//! `messages`. What begins otherwise (CSV, MessagePack, packed, an error as a whole) passes untouched. No I/O here; used by
//! `forward`.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::http::json;

/// How InfluxDB's JSON begins, as it prints it with `pretty=true` and without; what a first result with messages of its own
/// goes on with; and our message's text between what stands around it.
struct Form {
    begins: &'static str,
    has_messages: &'static str,
    message: (&'static str, &'static str),
}

const FORMS: [Form; 2] = [
    Form {
        begins: r#"{"results":[{"statement_id":0"#,
        has_messages: r#","messages""#,
        message: (r#","messages":[{"level":"warning","text":"#, "}]"),
    },
    Form {
        begins: "{\n    \"results\": [\n        {\n            \"statement_id\": 0",
        has_messages: ",\n            \"messages\"",
        message: (
            ",\n            \"messages\": [\n                {\n                    \"level\": \"warning\",\n                    \"text\": ",
            "\n                }\n            ]",
        ),
    },
];

/// Sets one message into a body that comes in frames.
pub struct Warning {
    text: String,
    /// What has come, as long as it may be the beginning of an answer; `None` once that is decided.
    held: Option<Bytes>,
}

/// What the first bytes of a body are.
#[derive(Clone, Copy)]
enum Beginning {
    /// More must come before that is known.
    Open,
    /// The message goes to this place.
    Answer(usize, &'static Form),
    Other,
}

impl Warning {
    pub fn new(text: String) -> Warning {
        Warning { text, held: Some(Bytes::new()) }
    }

    /// Takes the next frame of the body; what may go on goes to `out`.
    pub fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) {
        let Some(held) = self.held.take() else { return out.push_back(frame) };
        let held = if held.is_empty() { frame } else { [held, frame].concat().into() };
        match beginning(&held) {
            Beginning::Open => self.held = Some(held),
            Beginning::Other => out.push_back(held),
            Beginning::Answer(at, form) => {
                let (before, after) = form.message;
                let message = format!("{before}{}{after}", json::string(&self.text));
                out.extend([held.slice(..at), message.into(), held.slice(at..)]);
            }
        }
    }

    /// The body has ended: nothing is held any more.
    pub fn finish(&mut self, out: &mut VecDeque<Bytes>) {
        out.extend(self.held.take().filter(|held| !held.is_empty()));
    }
}

fn beginning(bytes: &[u8]) -> Beginning {
    for form in &FORMS {
        if form.begins.as_bytes().starts_with(bytes) {
            return Beginning::Open;
        }
        let Some(rest) = bytes.strip_prefix(form.begins.as_bytes()) else { continue };
        return match rest[0] {
            _ if rest.starts_with(form.has_messages.as_bytes()) => Beginning::Other,
            b',' if form.has_messages.as_bytes().starts_with(rest) => Beginning::Open,
            b',' | b'}' | b'\n' => Beginning::Answer(form.begins.len(), form),
            _ => Beginning::Other,
        };
    }
    Beginning::Other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::format::{Format, Printer, Times};
    use crate::merge::results::{Answer, Message, parse};

    const TEXT: &str = "replica <g1a> has \"still\" to take 5 points";

    /// What comes out when these frames go in, and whether any byte was kept back without need.
    fn through(frames: &[&[u8]]) -> Vec<u8> {
        let mut warning = Warning::new(TEXT.to_owned());
        let mut out = VecDeque::new();
        for frame in frames {
            warning.push(Bytes::copy_from_slice(frame), &mut out);
        }
        warning.finish(&mut out);
        out.iter().flatten().copied().collect()
    }

    /// The same, however the body is cut into three frames.
    #[track_caller]
    fn through_all(body: &str) -> String {
        let whole = through(&[body.as_bytes()]);
        let end = body.len().min(160);
        for first in 0..=end {
            for second in first..=end {
                let frames = [&body.as_bytes()[..first], &body.as_bytes()[first..second], &body.as_bytes()[second..]];
                assert_eq!(through(&frames), whole, "cut at {first} and {second}: {body}");
            }
        }
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(through(&bytes), whole, "byte by byte: {body}");
        String::from_utf8(whole).expect("it was text")
    }

    fn answer(json: &str) -> Answer {
        parse(json.as_bytes()).expect("it is an answer")
    }

    fn printed(answer: &Answer, pretty: bool) -> String {
        let mut out = Vec::new();
        Printer::new(Format::Json { pretty }, Times::Rfc3339).print(answer, &mut out);
        String::from_utf8(out).expect("JSON is text")
    }

    /// As influxd 1.6.7 prints them.
    const COMPACT: [&str; 4] = [
        r#"{"results":[{"statement_id":0,"series":[{"name":"m","columns":["time","v"],"values":[[1,2]]}]}]}"#,
        r#"{"results":[{"statement_id":0}]}"#,
        r#"{"results":[{"statement_id":0,"error":"database not found: nope"}]}"#,
        r#"{"results":[{"statement_id":0,"series":[{"columns":["a"]}],"partial":true},{"statement_id":1}]}"#,
    ];

    #[test]
    fn the_first_result_gets_the_message() {
        for (body, pretty) in COMPACT.iter().flat_map(|body| [(body, false), (body, true)]) {
            let mut wanted = answer(body);
            let body = printed(&wanted, pretty);
            let seen = through_all(&body);
            wanted.results[0].messages.push(Message::warning(TEXT));
            assert_eq!(answer(&seen), wanted, "{seen}");
            // Printed as InfluxDB prints it, but for the place of the key.
            let message = json::to_string(&wanted.results[0].messages, false);
            let flat = |text: &str| text.split_whitespace().collect::<String>();
            assert!(
                flat(&seen).starts_with(&flat(&format!(r#"{{"results":[{{"statement_id":0,"messages":{message}"#)))
            );
            if pretty {
                let mut alone = Answer { results: vec![wanted.results[0].clone()], error: None };
                (alone.results[0].series, alone.results[0].partial, alone.results[0].error) = Default::default();
                let alone = printed(&alone, true);
                assert!(seen.starts_with(alone.trim_end_matches(['\n', ' ', ']', '}'])), "{seen}\n{alone}");
            }
        }
    }

    #[test]
    fn of_a_chunked_answer_only_the_first_chunk() {
        let chunk = format!("{}\n", COMPACT[0]);
        let seen = through_all(&format!("{chunk}{chunk}"));
        let (first, second) = seen.split_once('\n').expect("two chunks");
        assert_eq!(answer(first).results[0].messages.len(), 1);
        assert_eq!(second, chunk);
    }

    #[test]
    fn what_begins_otherwise_is_untouched() {
        let packed = crate::http::gzip::pack(COMPACT[0].as_bytes());
        assert_eq!(through(&[&packed[..5], &packed[5..]]), packed);
        for body in [
            "",
            "{",
            r#"{"results":[{"statement_id":0"#,
            r#"{"results":[{"statement_id":0,"mess"#,
            r#"{"results":[{"statement_id":0,"messages":[{"level":"warning","text":"x"}]}]}"#,
            "{\n    \"results\": [\n        {\n            \"statement_id\": 0,\n            \"messages\": []",
            r#"{"results":[{"statement_id":01}]}"#,
            r#"{"results":[{"statement_id":1}]}"#,
            r#"{"results":[]}"#,
            r#"{"error":"error parsing query"}"#,
            r#" {"results":[{"statement_id":0}]}"#,
            "name,tags,time,v\nm,,1,2\n",
            "\u{81}\u{a7}results",
        ] {
            assert_eq!(through_all(body), body);
        }
    }

    #[test]
    fn nothing_is_held_longer_than_need_be() {
        let mut warning = Warning::new(String::new());
        let mut out = VecDeque::new();
        warning.push(Bytes::from_static(br#"{"results":[{"statement_id":0,"s"#), &mut out);
        assert_eq!(out.len(), 3);
        warning.push(Bytes::from_static(b"eries"), &mut out);
        assert_eq!(out.pop_back(), Some(Bytes::from_static(b"eries")));
        let mut other = Warning::new(String::new());
        out.clear();
        other.push(Bytes::from_static(b"n"), &mut out);
        assert_eq!(out, [Bytes::from_static(b"n")]);
    }
}
