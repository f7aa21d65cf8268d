//! The topology as JSON: the `topology` znode and its last good copy in `data_dir`.

use serde::de::DeserializeOwned;
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
                let texts: Vec<String> = faults.iter().map(SpecFault::with_place).collect();
                f.write_str(&texts.join("; "))
            }
        }
    }
}

/// Reads JSON, or says where it is wrong, as in `groups[2].replicas[0].url: …`. A password is never told.
pub(super) fn read_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (path, reason) = (error.path().to_string(), error.inner());
        match path.as_str() {
            "." => reason.to_string(),
            // What stands there, though it is no text, may be one.
            _ if path.ends_with(".password") && reason.is_data() => {
                format!("{path}: a string is wanted, at line {} column {}", reason.line(), reason.column())
            }
            _ => format!("{path}: {reason}"),
        }
    })?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(read)
}

/// Reads a document.
pub fn parse(json: &[u8]) -> Result<Topology, DocumentError> {
    let Document { epoch, groups, slots, rules } = read_json(json).map_err(DocumentError::NotJson)?;
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
    fn faults_are_told_with_their_place() {
        for (from, to, told) in [
            (r#""url": "http://h:1","#, "", "groups[0].replicas[0]: missing field `url` at line 2"),
            (
                r#""http://h:1""#,
                "5",
                "groups[0].replicas[0].url: invalid type: integer `5`, expected a string at line 1",
            ),
            (r#""p""#, "1234", "groups[0].replicas[0].password: a string is wanted, at line 2"),
            (r#""id": 1"#, r#""id": "1""#, "groups[0].id: invalid type"),
            ("1023", r#""x""#, "slots[0].to: invalid type"),
            (r#"["host"]"#, "[1]", "rules[0].tags[0]: invalid type"),
            ("\"state\"", "\"sate\"", "groups[0].replicas[0].sate: unknown field"),
            ("7", "-7", "document: epoch: invalid value"),
            (r#""epoch": 7,"#, "", "document: missing field `epoch` at line 3"),
            ("]}]}", "]}]} x", "document: trailing characters at line 3"),
            ("]}]}", "]}", "document: rules: EOF while parsing a list at line 3"),
            ("joining", "x", r#"groups[0].replicas[0]: replica "g1a": state "x""#),
            ("http://h:1", "x", r#"groups[0].replicas[0]: replica "g1a": url "x""#),
            ("1023", "1024", "slots[0]: slots 0 to 1024"),
            ("cpu", "/(/", "rules[0]: rule 1 (telegraf /(/)"),
        ] {
            let said = parse(EXAMPLE.replace(from, to).as_bytes()).expect_err(to).to_string();
            assert!(said.contains(told) && !said.contains("1234"), "{to}: {said}");
        }
    }

    #[test]
    fn broken_documents_are_refused() {
        for bad in ["", "{", "[]", "{}", &EXAMPLE.replace("1023", "1022"), &EXAMPLE.replace("\"rules\"", "\"rulez\"")] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
