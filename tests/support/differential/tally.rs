//! What came of many requests, and the report of it.

use std::collections::BTreeMap;

use super::ask::Ask;

/// What came of one.
pub enum Outcome {
    Equal {
        /// It has rows, and is not only an error or nothing.
        rows: bool,
    },
    /// Equal but for the last digits of floats; it has rows.
    Rounded,
    /// By the kind of the reason, with the answer that tells it.
    Refused { kind: &'static str, told: String },
    /// The judges' own answers differ.
    Undetermined,
    /// Both answers, as they are shown.
    Different { seen: String, expected: String },
}

#[derive(Default)]
pub struct Tally {
    equal: usize,
    with_rows: usize,
    rounded: usize,
    refused: BTreeMap<&'static str, usize>,
    undetermined: Vec<String>,
    different: usize,
    /// What is printed of them, none twice.
    differences: Vec<String>,
}

/// So many differences are printed in full.
const SHOWN: usize = 200;

impl Tally {
    pub fn add(&mut self, ask: &Ask, outcome: Outcome) {
        match outcome {
            Outcome::Equal { rows } => {
                self.equal += 1;
                self.with_rows += usize::from(rows);
            }
            Outcome::Rounded => {
                self.rounded += 1;
                self.with_rows += 1;
            }
            Outcome::Refused { kind, told } => {
                *self.refused.entry(kind).or_default() += 1;
                if std::env::var_os("SLOTLINE_REFUSED").is_some() {
                    println!("refused ({kind}): {ask}\n    {told}");
                }
            }
            Outcome::Undetermined => self.undetermined.push(ask.to_string()),
            Outcome::Different { seen, expected } => {
                let told = format!("{ask}\n    slotline: {seen}\n    influxd:  {expected}");
                self.different += 1;
                if !self.differences.contains(&told) {
                    self.differences.push(told);
                }
            }
        }
    }

    pub fn compared(&self) -> usize {
        self.equal + self.rounded + self.refused() + self.undetermined.len() + self.different
    }

    /// Equal answers that have rows, rounded ones too.
    pub fn with_rows(&self) -> usize {
        self.with_rows
    }

    pub fn undetermined(&self) -> usize {
        self.undetermined.len()
    }

    fn refused(&self) -> usize {
        self.refused.values().sum()
    }

    /// A line of figures, and one for each kind of refusal and each answer that InfluxDB does not determine.
    fn print(&self, name: &str) {
        println!(
            "differential {name}: compared={} equal={} rounded={} with_rows={} refused={} undetermined={} different={}",
            self.compared(),
            self.equal,
            self.rounded,
            self.with_rows,
            self.refused(),
            self.undetermined.len(),
            self.different
        );
        for (kind, count) in &self.refused {
            println!("differential {name}: refused {count} {kind}");
        }
        for ask in &self.undetermined {
            println!("differential {name}: undetermined {ask}");
        }
    }

    /// Prints the report; an error when slotline answered anything otherwise than InfluxDB. `again` tells how to repeat it.
    pub fn finish(&self, name: &str, again: &str) -> Result<(), String> {
        self.print(name);
        if self.different == 0 {
            return Ok(());
        }
        let shown = &self.differences[..self.differences.len().min(SHOWN)];
        let count = self.different;
        Err(format!("{name}: {count} answers differ ({again}); {} of them:\n\n{}\n", shown.len(), shown.join("\n\n")))
    }
}
