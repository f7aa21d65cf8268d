//! The topology as JSON: the `topology` znode and its last good copy in `data_dir`.

use serde::{Deserialize, Serialize};

use super::{GroupSpec, RuleSpec, SlotsSpec, Spec, SpecFault, Topology};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    epoch: u64,
    groups: Vec<GroupSpec>,
    slots: Vec<SlotsSpec>,
    #[serde(default)]
    rules: Vec<RuleSpec>,
}

/// Why a document is refused, whole.
#[derive(Debug)]
pub enum DocumentError {
    NotJson(String),
    /// It reads, yet does not hold together.
    Faults(Vec<SpecFault>),
}

impl std::fmt::Display for DocumentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DocumentError::NotJson(reason) => write!(f, "not a topology document: {reason}"),
            DocumentError::Faults(faults) => {
                let texts: Vec<&str> = faults.iter().map(|fault| fault.text.as_str()).collect();
                f.write_str(&texts.join("; "))
            }
        }
    }
}

/// Reads a document.
pub fn parse(json: &[u8]) -> Result<Topology, DocumentError> {
    let mut buffer = json.to_vec();
    let document: Document =
        simd_json::serde::from_slice(&mut buffer).map_err(|error| DocumentError::NotJson(error.to_string()))?;
    let Document { epoch, groups, slots, rules } = document;
    Spec { groups, slots, rules }.build(epoch).map_err(DocumentError::Faults)
}

/// Prints a document, passwords included: write it only where nobody else reads.
pub fn print(topology: &Topology) -> String {
    let Spec { groups, slots, rules } = topology.spec().clone();
    let document = Document { epoch: topology.epoch, groups, slots, rules };
    // Strings, numbers and lists: nothing that JSON could not hold.
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{"epoch": 7, "groups": [{"id": 1, "replicas": [{"name": "g1a", "url": "http://h:1",
        "username": "u", "password": "p", "state": "joining"}]}], "slots": [{"from": 0, "to": 1023, "group": 1}],
        "rules": [{"db": "telegraf", "measurement": "cpu", "tags": ["host"]}]}"#;

    #[test]
    fn what_is_printed_reads_back() {
        let topology = parse(EXAMPLE.as_bytes()).expect("it is good");
        let again = parse(print(&topology).as_bytes()).expect("so is its print");
        assert_eq!((again.epoch, again.spec()), (7, topology.spec()));
    }

    #[test]
    fn broken_documents_are_refused() {
        for bad in ["", "{", "[]", "{}", &EXAMPLE.replace("1023", "1022"), &EXAMPLE.replace("\"rules\"", "\"rulez\"")] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
