//! What of an answer two servers must agree about, and the same without the order of rows.

use crate::support::client::Response;

use super::{msgpack, rounding};

/// The part of an answer that is compared: version, date and request id are each server's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    content_type: String,
    error_header: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn of(response: &Response) -> Answer {
        // Go sends control characters raw, which HTTP forbids.
        let header = |name| response.header(name).unwrap_or_default().replace(char::is_control, " ");
        let content_type = header("Content-Type");
        let body = match content_type == "application/x-msgpack" {
            true => msgpack::with_sorted_tags(&response.body).unwrap_or_else(|| response.body.clone()),
            false => response.body.clone(),
        };
        Answer { status: response.status, content_type, error_header: header("X-Influxdb-Error"), body }
    }

    /// The same but for the last digits of floats.
    pub fn rounds_to(&self, other: &Answer) -> bool {
        let head = |answer: &Answer| (answer.status, answer.content_type.clone(), answer.error_header.clone());
        let same = match self.content_type == "application/x-msgpack" {
            true => rounding::msgpack,
            false => rounding::text,
        };
        head(self) == head(other) && same(&self.body, &other.body)
    }

    pub fn contains(&self, part: &str) -> bool {
        memchr::memmem::find(&self.body, part.as_bytes()).is_some()
    }

    /// Whether it has any row, in whatever form.
    pub fn has_rows(&self) -> bool {
        match self.content_type.as_str() {
            "text/csv" => self.body.starts_with(b"name,"),
            _ => self.contains("values"),
        }
    }

    /// The same where an error `unsupported CALL iterator type: …` names no call.
    pub fn without_named_calls(&self) -> Answer {
        let text = String::from_utf8_lossy(&self.body);
        let pieces = text.split("unsupported ").map(|piece| match piece.split_once(" iterator type: ") {
            Some((call, rest)) if call.chars().all(|char| char.is_alphanumeric() || char == '_') => rest,
            _ => piece,
        });
        let body: String = pieces.collect();
        Answer { body: body.into_bytes(), ..self.clone() }
    }

    /// Everything but the order: of rows, of series, of pieces.
    pub fn without_order(&self) -> (u16, String, Vec<String>) {
        let text = String::from_utf8_lossy(&self.body);
        let mut pieces: Vec<String> = text.split(['[', ']', '\n', '{', '}']).map(str::to_owned).collect();
        pieces.retain(|piece| !piece.is_empty() && piece != ",");
        pieces.sort_unstable();
        (self.status, self.content_type.clone(), pieces)
    }

    /// As text, with what MessagePack has besides text left out; the part around byte `at`, if it is long.
    fn shown(&self, at: usize) -> String {
        const SHOWN: usize = 900;
        const BEFORE: usize = 150;
        let text: String = match self.content_type == "application/x-msgpack" {
            true => self.body.iter().flat_map(|&byte| std::ascii::escape_default(byte)).map(char::from).collect(),
            false => String::from_utf8_lossy(&self.body).into_owned(),
        };
        let mut start = at.saturating_sub(BEFORE).min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let part: String = text[start..].chars().take(SHOWN).collect();
        let error = match self.error_header.is_empty() {
            true => String::new(),
            false => format!(" X-Influxdb-Error {:?}", self.error_header),
        };
        let (before, behind) = (start, text.len() - start - part.len());
        format!(
            "{} {}{error} ({before} bytes before) {} ({behind} behind)",
            self.status,
            self.content_type,
            part.trim_end()
        )
    }
}

/// Both answers, around the first byte at which they differ.
pub fn shown(seen: &Answer, expected: &Answer) -> (String, String) {
    let at = seen.body.iter().zip(&expected.body).take_while(|(a, b)| a == b).count();
    (seen.shown(at), expected.shown(at))
}
