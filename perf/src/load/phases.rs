//! The stretches of a run that are told apart, each with a name: `--phases` reads the names from stdin as they begin. A
//! run without them is one phase without a name.

use std::io::BufRead;
use std::sync::RwLock;
use std::time::{Duration, Instant};

use super::schedule::Schedule;

const PHASES_MAX: usize = 1000;

pub struct Phases {
    /// In the order of their beginnings; never empty.
    list: RwLock<Vec<(String, Instant)>>,
}

impl Phases {
    pub fn start(now: Instant) -> Phases {
        Phases { list: RwLock::new(vec![(String::new(), now)]) }
    }

    /// A phase in which nothing has happened yet is renamed.
    pub fn begin(&self, name: &str, now: Instant) {
        let mut list = self.list.write().expect("no holder panics");
        if list.len() == 1 && list[0].0.is_empty() {
            name.clone_into(&mut list[0].0);
        } else if list.len() < PHASES_MAX {
            list.push((name.to_owned(), now));
        }
    }

    /// The number of the phase that a moment belongs to; what lies before the first belongs to the first.
    pub fn at(&self, moment: Instant) -> usize {
        let list = self.list.read().expect("no holder panics");
        list.partition_point(|(_, began)| *began <= moment).max(1) - 1
    }

    /// Names and lengths, the last phase up to `end`.
    pub fn lengths(&self, end: Instant) -> Vec<(String, Duration)> {
        let list = self.list.read().expect("no holder panics");
        let ends = list.iter().skip(1).map(|(_, began)| *began).chain([end]);
        list.iter()
            .zip(ends)
            .map(|((name, began), end)| (name.clone(), end.saturating_duration_since(*began)))
            .collect()
    }
}

/// Begins a phase for every line; an empty line or the end of the input ends the run.
pub fn read(input: impl BufRead, phases: &Phases, schedule: &Schedule) {
    for name in input.lines().map_while(Result::ok) {
        if name.trim().is_empty() {
            break;
        }
        phases.begin(name.trim(), Instant::now());
    }
    schedule.stop();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::schedule::Limits;

    #[test]
    fn a_moment_belongs_to_what_began_before_it() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let phases = Phases::start(start);
        phases.begin("healthy", start + second);
        phases.begin("down", start + 3 * second);
        assert_eq!([0, 2, 3, 9].map(|seconds| phases.at(start + seconds * second)), [0, 0, 1, 1]);
        let lengths = phases.lengths(start + 10 * second);
        assert_eq!(lengths, [("healthy".to_owned(), 3 * second), ("down".to_owned(), 7 * second)]);
    }

    #[test]
    fn a_run_without_names_is_one_phase() {
        let start = Instant::now();
        let phases = Phases::start(start);
        assert_eq!(phases.at(start + Duration::from_secs(5)), 0);
        assert_eq!(phases.lengths(start + Duration::from_secs(5)), [(String::new(), Duration::from_secs(5))]);
    }

    #[test]
    fn an_empty_line_ends_the_run() {
        let limits = Limits { lines_per_unit: 1, points: None, seconds: None, rate: None };
        let (phases, schedule) = (Phases::start(Instant::now()), Schedule::start(limits));
        read(&b"healthy\ndown \n\nafter\n"[..], &phases, &schedule);
        assert_eq!(schedule.claim(1), None);
        let names: Vec<String> = phases.lengths(Instant::now()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["healthy", "down"]);
    }
}
