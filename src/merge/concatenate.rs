//! Series of several groups, each group's in InfluxDB's order -> all of them in that order.
//!
//! No series is in two groups, so that nothing is combined: pieces pass through, the first in order first. One that two
//! groups have all the same (points that stayed where their slot was before) is an error, since both would be wrong.
//! Bounded: one piece of each part is held. The slow twin is `naive::concatenate`. Called by `query`.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::results::Series;

/// Puts the series of several parts in order.
pub struct Concatenation {
    parts: Vec<Part>,
    descending: bool,
}

#[derive(Default)]
struct Part {
    /// Pieces that have come and have not gone on.
    pieces: VecDeque<Series>,
    ended: bool,
}

/// What comes next.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// A series, or more rows of the last one.
    Piece(Series),
    /// This part must say more before it can be told.
    Wants(usize),
    End,
}

impl Concatenation {
    /// `descending`: ORDER BY time DESC turns the order of series too.
    pub fn new(parts: usize, descending: bool) -> Concatenation {
        Concatenation { parts: (0..parts).map(|_| Part::default()).collect(), descending }
    }

    /// The next series of a part, or more rows of its last one.
    pub fn push(&mut self, part: usize, piece: Series) {
        self.parts[part].pieces.push_back(piece);
    }

    /// Nothing more comes of a part.
    pub fn end(&mut self, part: usize) {
        self.parts[part].ended = true;
    }

    /// # Errors
    /// Two parts have the same series, or columns of their own.
    pub fn take_next(&mut self) -> Result<Next, String> {
        if let Some(wanted) = self.parts.iter().position(|part| part.pieces.is_empty() && !part.ended) {
            return Ok(Next::Wants(wanted));
        }
        let heads = || self.parts.iter().enumerate().filter_map(|(at, part)| Some((at, part.pieces.front()?)));
        let Some((first, head)) = heads().min_by(|(_, one), (_, other)| self.compare(one, other)) else {
            return Ok(Next::End);
        };
        for (_, other) in heads().filter(|(at, _)| *at != first) {
            if other.columns != head.columns {
                return Err(format!("the groups answer different columns: {:?} and {:?}", head.columns, other.columns));
            }
            if other.same_series(head) {
                let tags: String = head.tags.iter().map(|(key, value)| format!(",{key}={value}")).collect();
                return Err(format!(
                    "two groups have the series {}{tags}: one has points that are not its own",
                    head.name
                ));
            }
        }
        let piece = self.parts[first].pieces.pop_front();
        Ok(piece.map_or(Next::End, Next::Piece))
    }

    fn compare(&self, one: &Series, other: &Series) -> Ordering {
        let order = compare(one, other);
        if self.descending { order.reverse() } else { order }
    }
}

/// InfluxDB's order of series: by name, then by the tags' values, those of the first key first, bytewise.
pub fn compare(one: &Series, other: &Series) -> Ordering {
    let values = |series: &Series| series.tags.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
    one.name.cmp(&other.name).then_with(|| values(one).cmp(&values(other)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::naive;
    use super::super::results::Value;
    use super::*;

    fn series(name: &str, host: &str, rows: std::ops::Range<i64>) -> Series {
        let values = rows.map(|row| vec![Value::Time(row), Value::Integer(row)]).collect();
        let columns = vec!["time".to_owned(), "v".to_owned()];
        let tags = vec![("host".to_owned(), host.to_owned())];
        Series { name: name.to_owned(), tags, columns, values, ..Series::default() }
    }

    /// All that comes out, however the parts' pieces come in: `turns` says whose is next.
    fn joined(parts: &[Vec<Series>], descending: bool, turns: &[usize]) -> Result<Vec<Series>, String> {
        let mut whole = Concatenation::new(parts.len(), descending);
        let mut left: Vec<VecDeque<Series>> = parts.iter().map(|part| part.iter().cloned().collect()).collect();
        let mut feed = |whole: &mut Concatenation, at: usize| match left[at].pop_front() {
            Some(piece) => whole.push(at, piece),
            None => whole.end(at),
        };
        for turn in turns {
            feed(&mut whole, turn % parts.len());
        }
        let mut out = Vec::new();
        loop {
            match whole.take_next()? {
                Next::Piece(piece) => out.push(piece),
                Next::Wants(at) => feed(&mut whole, at),
                Next::End => return Ok(out),
            }
        }
    }

    #[test]
    fn in_order_of_name_and_tags_and_turned_around() {
        let parts = [
            vec![series("a", "", 0..2), series("a", "", 2..3), series("b", "x", 0..1)],
            vec![series("a", "é", 0..1), series("c", "", 0..1)],
        ];
        let names = |out: Vec<Series>| out.iter().map(|s| format!("{}{}", s.name, s.tags[0].1)).collect::<Vec<_>>();
        assert_eq!(
            joined(&parts, false, &[]).map(names),
            Ok(["a", "a", "aé", "bx", "c"].iter().map(|s| s.to_string()).collect())
        );
        let turned = parts.map(|part| part.into_iter().rev().collect::<Vec<_>>());
        assert_eq!(
            joined(&turned, true, &[]).map(names),
            Ok(["c", "bx", "aé", "a", "a"].iter().map(|s| s.to_string()).collect())
        );
    }

    #[test]
    fn a_series_of_two_groups_is_an_error_as_are_other_columns() {
        let error = joined(&[vec![series("a", "x", 0..1)], vec![series("a", "x", 5..6)]], false, &[]).unwrap_err();
        assert!(error.contains("a,host=x"), "{error}");
        let mut other = series("b", "", 0..1);
        other.columns[1] = "w".to_owned();
        assert!(joined(&[vec![series("a", "", 0..1)], vec![other]], false, &[]).is_err());
    }

    proptest! {
        #[test]
        fn as_the_slow_twin_has_it(
            cells in prop::collection::btree_map(("[ab]", "[xyz]{0,2}"), (0_usize..3, 1_i64..6), 0..12),
            descending: bool,
            turns in prop::collection::vec(0_usize..3, 0..10),
        ) {
            let mut parts: Vec<Vec<Series>> = vec![Vec::new(); 3];
            for ((name, host), (part, rows)) in &cells {
                // In pieces of two rows.
                for from in (0..*rows).step_by(2) {
                    parts[*part].push(series(name, host, from..(from + 2).min(*rows)));
                }
            }
            if descending {
                parts.iter_mut().for_each(|part| part.reverse());
            }
            let seen = joined(&parts, descending, &turns).expect("no series is in two parts");
            prop_assert_eq!(seen, naive::concatenate(&parts, descending));
        }
    }
}
