//! An operator at the command line of a cluster in ZooKeeper.

use serde_json::Value;

use super::slotline::{Ended, run};

pub struct Operator {
    zookeeper: String,
}

impl Operator {
    pub fn of(zookeeper: impl std::fmt::Display) -> Operator {
        Operator { zookeeper: zookeeper.to_string() }
    }

    pub fn run(&self, words: &str, args: &[&str]) -> Ended {
        let words: Vec<&str> = words.split_whitespace().collect();
        run(&[&words[..], args, &["--zookeeper", &self.zookeeper]].concat(), "")
    }

    /// A change that goes through without a question.
    #[track_caller]
    pub fn does(&self, words: &str) -> String {
        let ended = self.run(words, &["--yes", "--wait=20s"]);
        assert_eq!(ended.code, 0, "{words}: {}", ended.said());
        ended.said()
    }

    /// A change that is refused, or a question that has no answer, with these words in what is said.
    #[track_caller]
    pub fn cannot(&self, words: &str, parts: &[&str]) {
        let ended = self.run(words, &["--yes"]);
        let said = ended.said();
        assert_eq!(ended.code, 2, "{words}: {said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "{words}: {part:?} is not in:\n{said}"));
    }

    #[track_caller]
    pub fn json(&self, words: &str) -> Value {
        let ended = self.run(words, &["--json"]);
        assert_eq!(ended.code, 0, "{words}: {}", ended.said());
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{words}: {error}: {}", ended.stdout))
    }
}
