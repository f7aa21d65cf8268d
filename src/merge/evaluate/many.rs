//! A lone percentile of so many points that they are not sorted: the value is found by counting, without more memory.
//!
//! Of several points with that value the earliest is shown; of fewer points it is the one that InfluxDB's sort, which is not
//! stable, has there.

use crate::influxql::ast::Call;
use crate::merge::results::Value;

use super::Evaluation;
use super::functions::rank;
use super::rows::{Point, Rows};
use super::window::Windows;

/// From so many points on. Sorted, each takes some 60 bytes.
const MANY: usize = 250_000;

impl Evaluation {
    /// The point of a lone percentile without windows; `None`: it is another function, or there are fewer.
    pub(super) fn percentile_of_many<'a>(
        &self,
        call: &Call,
        members: &'a [&'a Rows],
        windows: Windows,
        percent: f64,
    ) -> Option<Vec<Point>> {
        let rows: usize = members.iter().map(|series| series.len()).sum();
        if call.name != "percentile" || windows.interval > 0 || rows < MANY {
            return None;
        }
        let points = || {
            let of = |(number, series): (usize, &'a &'a Rows)| self.points_of(call, number, series, windows, true);
            members.iter().enumerate().flat_map(of)
        };
        let count = points().count();
        if count < MANY {
            return None;
        }
        let Some(rank) = rank(count, percent) else { return Some(Vec::new()) };
        let chosen = nth(rank, || points().filter_map(|point| key(&point.value)));
        let equal = points().filter(|point| key(&point.value) == Some(chosen));
        Some(equal.min_by_key(|point| point.time).into_iter().collect())
    }
}

/// A number that orders as the value does.
fn key(value: &Value) -> Option<u64> {
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
fn nth<I: Iterator<Item = u64>>(mut rank: usize, numbers: impl Fn() -> I) -> u64 {
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

    #[test]
    fn of_many_points_it_is_the_right_one() {
        let text = "SELECT percentile(v::float, 37) FROM m";
        let query = parse_query(text, &Params::new()).expect("it is well-formed");
        let Some(Statement::Select(select)) = query.statements.into_iter().next() else { panic!("a SELECT") };
        let evaluation = Evaluation::new(&select, 10).expect("it can be told");
        // Each number once, in no order: the one at time `at` is 7919 times that.
        let count = MANY as i64 + 7;
        let series = |host: i64| {
            let mut rows = Rows::new("m".to_owned(), vec![("host".to_owned(), host.to_string())]);
            let row = |at: i64| vec![Value::Time(at), Value::Float((at * 7919 % count) as f64)];
            rows.extend((0..count).filter(|at| at % 2 == host).map(row).collect(), 1).expect("rows");
            rows
        };
        let rows = [series(0), series(1)];
        let group = evaluation.groups(&rows).remove(0);
        let made = evaluation.series(&rows, &group, &mut Carried::default()).expect("one row").expect("a series");
        let rank = rank(count as usize, 37.0).expect("there is one") as i64;
        let time = (0..count).find(|at| at * 7919 % count == rank).expect("each is there");
        assert_eq!(made.values, [[Value::Time(time), Value::Float(rank as f64)]]);
    }
}
