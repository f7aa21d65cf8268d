//! What is asked of `/metrics`: the sum of a metric's lines in Prometheus' text format.

use std::net::SocketAddr;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);

/// The whole text; `None` where nobody answers.
pub fn fetch(admin: SocketAddr) -> Option<String> {
    let (status, body) = crate::ask::request(&admin.to_string(), "GET", "/metrics", "", TIMEOUT).ok()?;
    (status == 200).then(|| String::from_utf8_lossy(&body).into_owned())
}

/// Added up over the lines of the metric `name`, only those with the label if one is given; `None` where there is none.
pub fn sum(text: &str, name: &str, label: Option<(&str, &str)>) -> Option<f64> {
    let mut found = None;
    for line in text.lines() {
        let Some((labels, value)) = line.strip_prefix(name).and_then(labels_and_value) else { continue };
        if label.is_none_or(|label| has(labels, label)) {
            found = Some(found.unwrap_or(0.0) + value);
        }
    }
    found
}

/// Of what stands behind a metric's name: `{a="b"} 1` or ` 1`, perhaps with a time behind it.
fn labels_and_value(rest: &str) -> Option<(&str, f64)> {
    let (labels, value) = match rest.strip_prefix('{') {
        Some(inside) => inside.split_at(closing(inside)?),
        None => ("", rest),
    };
    let value = value.strip_prefix('}').unwrap_or(value).strip_prefix(' ')?;
    Some((labels, value.split(' ').next()?.parse().ok()?))
}

/// Where the bracket closes: values of labels may hold one.
fn closing(inside: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    inside.bytes().position(|byte| {
        let ends = byte == b'}' && !quoted;
        quoted ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// Values are compared as they are written; one with a comma in it is not found.
fn has(labels: &str, (name, value): (&str, &str)) -> bool {
    labels.split(',').any(|label| {
        let quoted = label.trim().strip_prefix(name).and_then(|rest| rest.strip_prefix("=\""));
        quoted.and_then(|rest| rest.strip_suffix('"')) == Some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP slotline_spool_bytes On disk.\n# TYPE slotline_spool_bytes gauge\n\
        slotline_spool_bytes{backend=\"g1b\"} 1500\nslotline_spool_bytes{backend=\"g2}b\",shard=\"0\"} 2.5e3 1700000000\n\
        slotline_spool_bytes_max 99\nslotline_up 1\nslotline_odd{a=\"b\" 3\nslotline_odd{a=\"b\"}3\n";

    #[test]
    fn lines_of_one_name_are_added_up() {
        assert_eq!(sum(TEXT, "slotline_spool_bytes", None), Some(4000.0));
        assert_eq!(sum(TEXT, "slotline_spool_bytes_max", None), Some(99.0));
        assert_eq!(sum(TEXT, "slotline_spool", None), None);
        assert_eq!(sum(TEXT, "slotline_odd", None), None);
        assert_eq!(sum("", "slotline_up", None), None);
    }

    #[test]
    fn a_label_picks_its_line() {
        let of = |backend| sum(TEXT, "slotline_spool_bytes", Some(("backend", backend)));
        assert_eq!([of("g1b"), of("g2}b"), of("g1")], [Some(1500.0), Some(2500.0), None]);
        assert_eq!(sum(TEXT, "slotline_spool_bytes", Some(("shard", "0"))), Some(2500.0));
        assert_eq!(sum(TEXT, "slotline_up", Some(("backend", "g1b"))), None);
    }
}
