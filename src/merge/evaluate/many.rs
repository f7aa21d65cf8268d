//! A percentile without windows, of which there may be many points: they are sorted as 16 bytes each, a number that orders as
//! the value does and where the point is.
//!
//! Of several points with its value it is the one that InfluxDB's sort, which is not stable, has there. Where memory is too short
//! for that, the value is found by counting, without more memory, and the earliest point with it is shown.

use crate::influxql::ast::Call;
use crate::merge::results::Value;

use super::Evaluation;
use super::calls::or_none;
use super::functions::rank;
use super::gosort::sort;
use super::rows::{Point, RowAt, Rows};
use super::window::Windows;

impl Evaluation {
    /// From now on points are sorted in no more than so many bytes.
    pub fn sort_within(&mut self, bytes: usize) {
        self.sort_max = bytes;
    }

    /// The point of a percentile without windows; one of no points, when there is no such rank.
    pub(super) fn percentile<'a>(
        &self,
        call: &Call,
        members: &'a [&'a Rows],
        windows: Windows,
        percent: f64,
    ) -> Vec<Point> {
        let points = || {
            let of = |(number, series): (usize, &'a &'a Rows)| self.points_of(call, number, series, windows, true);
            members.iter().enumerate().flat_map(of)
        };
        let count = points().count();
        if count == 0 {
            return Vec::new();
        }
        let Some(rank) = rank(count, percent) else { return or_none(Vec::new()) };
        let found = match count.saturating_mul(size_of::<(u64, RowAt)>()) <= self.sort_max {
            true => {
                let row = self.sorted_row(call, members, windows, count, rank);
                points().find(|point| row.is_some() && point.row == row)
            }
            false => {
                let chosen = nth(rank, || points().filter_map(|point| key(&point.value)));
                points().filter(|point| key(&point.value) == Some(chosen)).min_by_key(|point| point.time)
            }
        };
        found.into_iter().collect()
    }

    /// The row of the point that stands at `rank` of all `count` when they are sorted.
    fn sorted_row(&self, call: &Call, members: &[&Rows], windows: Windows, count: usize, rank: usize) -> Option<RowAt> {
        let mut keys = Vec::with_capacity(count);
        keys.extend(self.ordered(call, members, windows).filter_map(|point| Some((key(&point.value)?, point.row?))));
        sort(&mut keys, |(a, _), (b, _)| a < b);
        keys.get(rank).map(|(_, row)| *row)
    }
}

/// A number that orders as the value does.
pub fn key(value: &Value) -> Option<u64> {
    const SIGN: u64 = 1 << 63;
    match value {
        // Both zeros are equal.
        Value::Float(0.0) => Some(SIGN),
        Value::Float(number) if number.is_sign_negative() => Some(!number.to_bits()),
        Value::Float(number) => Some(number.to_bits() | SIGN),
        Value::Integer(number) => Some(*number as u64 ^ SIGN),
        Value::Unsigned(number) => Some(*number),
        _ => None,
    }
}

/// The number that stands there in order, the smallest at 0; there are more than `rank`.
pub fn nth<I: Iterator<Item = u64>>(mut rank: usize, numbers: impl Fn() -> I) -> u64 {
    const BITS: u32 = 16;
    // The upper bits, as far as they are known.
    let mut found = 0_u64;
    for known in (0..u64::BITS).step_by(BITS as usize) {
        let mut counts = vec![0_usize; 1 << BITS];
        let shift = u64::BITS - known - BITS;
        for number in numbers() {
            if known == 0 || number >> (u64::BITS - known) == found >> (u64::BITS - known) {
                counts[(number >> shift) as usize & ((1 << BITS) - 1)] += 1;
            }
        }
        for (digit, count) in counts.into_iter().enumerate() {
            if rank < count {
                found |= (digit as u64) << shift;
                break;
            }
            rank -= count;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::influxql::{Params, Statement, parse_query};
    use crate::merge::evaluate::Carried;
    use crate::merge::evaluate::functions::percentile;
    use crate::merge::evaluate::functions::tests::args;

    proptest! {
        #[test]
        fn it_is_what_sorting_finds(values in prop::collection::vec(-1e300_f64..1e300, 1..200), at in any::<prop::sample::Index>()) {
            let keys: Vec<u64> = values.iter().filter_map(|value| key(&Value::Float(*value))).collect();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let rank = at.index(values.len());
            prop_assert_eq!(Some(nth(rank, || keys.iter().copied())), key(&Value::Float(sorted[rank])));
        }
    }

    #[test]
    fn keys_order_as_values_do() {
        let floats = [-1e300, -1.0, -0.0, 0.5, 7.0].map(|number| key(&Value::Float(number)));
        assert!(floats.is_sorted_by(|a, b| a < b));
        assert_eq!(key(&Value::Float(0.0)), floats[2]);
        assert!([i64::MIN, -1, 0, i64::MAX].map(|number| key(&Value::Integer(number))).is_sorted_by(|a, b| a < b));
    }

    fn evaluation() -> Evaluation {
        let text = "SELECT percentile(v::float, 37) FROM m";
        let query = parse_query(text, &Params::new()).expect("it is well-formed");
        let Some(Statement::Select(select)) = query.statements.into_iter().next() else { panic!("a SELECT") };
        Evaluation::new(&select, 10, false).expect("it can be told")
    }

    /// At each time one point, of two series in turn.
    fn series(values: &[f64]) -> [Rows; 2] {
        [0, 1].map(|host| {
            let mut rows = Rows::new("m".to_owned(), vec![("host".to_owned(), host.to_string())]);
            let own = values.iter().enumerate().filter(|(at, _)| at % 2 == host);
            let row = |(at, value): (usize, &f64)| vec![Value::Time(at as i64), Value::Float(*value)];
            rows.extend(own.map(row).collect(), 1).expect("rows");
            rows
        })
    }

    fn made(evaluation: &Evaluation, rows: &[Rows]) -> Vec<Vec<Value>> {
        let group = evaluation.groups(rows).remove(0);
        evaluation.series(rows, &group, &mut Carried::default()).expect("one row").remove(0).values
    }

    proptest! {
        #[test]
        fn of_equal_ones_it_is_where_the_sort_has_it(values in prop::collection::vec(0_u8..9, 2..400)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let points: Vec<Point> =
                values.iter().enumerate().map(|(at, value)| Point::new(at as i64, Value::Float(*value))).collect();
            let Some(expected) = percentile(&points, &args(37.0, None)).pop() else { return Ok(()) };
            let mut evaluation = evaluation();
            evaluation.sort_within(values.len() * 16);
            prop_assert_eq!(made(&evaluation, &series(&values)), [[Value::Time(expected.time), expected.value.clone()]]);
            // With less memory the earliest.
            evaluation.sort_within(values.len() * 16 - 1);
            let earliest = points.iter().find(|point| point.value == expected.value).map(|point| point.time);
            let time = Value::Time(earliest.expect("one of them"));
            prop_assert_eq!(made(&evaluation, &series(&values)), [[time, expected.value]]);
        }
    }
}
