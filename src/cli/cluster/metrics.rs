//! What a proxy says of itself on its admin port, in Prometheus' text format.

use std::time::Duration;

use crate::lineprotocol::Precision;
use crate::topology::{LineTarget, Spread, UdpListener};

/// A proxy's answer.
pub const PROXY_TIMEOUT: Duration = Duration::from_secs(3);

/// One line of `/metrics`.
pub struct Figure<'a> {
    pub name: &'a str,
    labels: &'a str,
    pub value: f64,
}

/// All figures of a text.
pub fn figures(text: &str) -> impl Iterator<Item = Figure<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        Some(Figure { name, labels: labels.strip_suffix('}').unwrap_or(labels), value: value.parse().ok()? })
    })
}

/// The UDP listeners that the proxy has open.
pub fn udp_listeners(text: &str) -> Vec<UdpListener> {
    let read = |figure: Figure<'_>| {
        let (db, rp) = (figure.label("db"), figure.label("rp"));
        let target = LineTarget { db, rp, precision: Precision::named(&figure.label("precision"))? };
        let spread = Spread::parse(&figure.label("spread"))?;
        Some(UdpListener { bind: figure.label("listener").parse().ok()?, target, spread })
    };
    figures(text).filter(|figure| figure.name == "slotline_udp_listener").filter_map(read).collect()
}

impl Figure<'_> {
    /// A label's value, "" if there is none.
    pub fn label(&self, name: &str) -> String {
        let mut rest = self.labels;
        while let Some((own, quoted)) = rest.split_once("=\"") {
            let mut value = String::new();
            let mut letters = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((at, letter)) = letters.next() {
                match letter {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => match letters.next() {
                        Some((_, 'n')) => value.push('\n'),
                        Some((_, other)) => value.push(other),
                        None => {}
                    },
                    other => value.push(other),
                }
            }
            if own == name {
                return value;
            }
            rest = quoted[end..].trim_start_matches(',');
        }
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_their_labels() {
        let text = "# HELP a b\na 1\nb{x=\"y\",reason=\"it \\\"is\\\" {1, 2}\\n\"} 2.5\nc NaN\nbroken\n";
        let all: Vec<(&str, String, String)> =
            figures(text).map(|figure| (figure.name, figure.label("reason"), figure.value.to_string())).collect();
        let row = |name, reason: &str, value: &str| (name, reason.to_owned(), value.to_owned());
        assert_eq!(all, [row("a", "", "1"), row("b", "it \"is\" {1, 2}\n", "2.5"), row("c", "", "NaN")]);
        assert_eq!(figures(text).nth(1).map(|figure| figure.label("x")), Some("y".to_owned()));
        let text = "slotline_udp_listener{db=\"d\",listener=\"[::1]:9\",precision=\"s\",rp=\"\",spread=\"source\"} 1\n\
                    slotline_udp_listener{db=\"d\",listener=\"nowhere\",precision=\"s\",rp=\"\",spread=\"source\"} 1\n";
        let target = LineTarget { db: "d".to_owned(), rp: String::new(), precision: Precision::Seconds };
        let bind = "[::1]:9".parse().expect("an address");
        assert_eq!(udp_listeners(text), [UdpListener { bind, target, spread: Spread::Source }]);
    }
}
