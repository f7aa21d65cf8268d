//! What a change would do, in words, and asking for it.

use std::io::{BufRead, IsTerminal, Write};

use serde_json::{Value, json};

use super::super::columns::in_one_line;
use super::super::print;
use super::Failure;

/// Lines of one kind that are shown; JSON has all.
const LINES_MAX: usize = 20;

/// Shown before anything is changed.
#[derive(Default)]
pub struct Plan {
    /// What changes.
    pub changes: Vec<String>,
    /// What is copied to servers that are new.
    pub copies: Vec<String>,
    /// What wants to be known besides.
    pub notes: Vec<String>,
    /// Stored data that nobody would find any more.
    pub unreachable: Vec<String>,
    /// Why it is only done when forced, `unreachable` apart.
    pub objections: Vec<Objection>,
    /// What to do so that `unreachable` stays in reach.
    pub instead: String,
}

pub struct Objection {
    pub what: String,
    pub instead: String,
}

impl Objection {
    pub fn new(what: impl Into<String>, instead: impl Into<String>) -> Objection {
        Objection { what: what.into(), instead: instead.into() }
    }
}

/// How a change is made, apart from what it is.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Without asking.
    pub yes: bool,
    /// In spite of objections.
    pub force: bool,
    pub dry_run: bool,
    pub json: bool,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn needs_force(&self) -> bool {
        !self.unreachable.is_empty() || !self.objections.is_empty()
    }

    pub fn json(&self) -> Value {
        let objections: Vec<&String> = self.objections.iter().map(|objection| &objection.what).collect();
        json!({
            "changes": self.changes, "copies": self.copies, "notes": self.notes, "unreachable": self.unreachable,
            "objections": objections,
        })
    }

    /// Tells what would be done and, unless that is not wanted, asks. `Ok(false)`: it was only to be told.
    pub fn agreed(&self, manner: Manner) -> Result<bool, Failure> {
        // Standard output is for the program that reads JSON.
        let text = self.text(manner.force);
        if manner.json {
            eprint!("{text}")
        } else {
            print(&text)
        }
        let refused = self.needs_force() && !manner.force;
        if manner.json && (manner.dry_run || refused) {
            let mut told = self.json();
            (told["changed"], told["refused"]) = (false.into(), refused.into());
            print(format!("{told}\n"));
        }
        if manner.dry_run {
            return Ok(false);
        }
        if refused {
            return Err(Failure::usage("nothing was changed, for the reasons above; --force does it all the same"));
        }
        if !manner.yes {
            ask()?;
        }
        Ok(true)
    }

    fn text(&self, force: bool) -> String {
        let mut text = String::new();
        let mut list = |head: &str, lines: &[String]| {
            if !head.is_empty() && !lines.is_empty() {
                text.push_str(&format!("{head}\n"));
            }
            let indent = if head.is_empty() { "" } else { "  " };
            lines.iter().take(LINES_MAX).for_each(|line| text.push_str(&format!("{indent}{}\n", in_one_line(line))));
            if lines.len() > LINES_MAX {
                text.push_str(&format!("{indent}and {} more (--json lists all)\n", lines.len() - LINES_MAX));
            }
        };
        list("", &self.changes);
        list("first, on the new servers:", &self.copies);
        let notes: Vec<String> = self.notes.iter().map(|note| format!("note: {note}")).collect();
        list("", &notes);
        list("stored points that would no longer be found:", &self.unreachable);
        if !self.unreachable.is_empty() && !force {
            list("", &[format!("instead: {}", self.instead)]);
        }
        for Objection { what, instead } in &self.objections {
            list("", &[format!("objection: {what}")]);
            if !instead.is_empty() && !force {
                list("", &[format!("instead: {instead}")]);
            }
        }
        text
    }
}

/// Asks whoever sits at the terminal; nobody there means no.
fn ask() -> Result<(), Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage("nothing was changed: nobody is there to be asked; --yes does it without asking"));
    }
    eprint!("Do it? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stderr().flush().and_then(|()| stdin.lock().read_line(&mut answer));
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::usage("nothing was changed")),
    }
}
