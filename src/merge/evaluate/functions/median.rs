//! median: the value in the middle, or what is halfway between the two.

use super::Args;
use super::select::compare;
use crate::merge::evaluate::gosort::sort;
use crate::merge::evaluate::rows::{NO_TIME, Point};
use crate::merge::results::Value;

pub fn median(points: &[Point], _: &Args) -> Vec<Point> {
    let mut values: Vec<&Value> = points.iter().map(|point| &point.value).collect();
    // Rust's own sort may panic over what is no number.
    sort(&mut values, |a, b| compare(a, b).is_lt());
    let middle = values.len() / 2;
    let Some(high) = values.get(middle) else { return Vec::new() };
    let low = if values.len() % 2 == 1 { high } else { values[middle - 1] };
    halfway(low, high).map(|value| Point::new(NO_TIME, value)).into_iter().collect()
}

/// What lies between two values, or at both.
pub fn halfway(low: &Value, high: &Value) -> Option<Value> {
    Some(Value::Float(match (low, high) {
        (Value::Float(low), Value::Float(high)) => low + (high - low) / 2.0,
        (Value::Integer(low), Value::Integer(high)) => *low as f64 + high.wrapping_sub(*low) as f64 / 2.0,
        (Value::Unsigned(low), Value::Unsigned(high)) => *low as f64 + (high - low) as f64 / 2.0,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{args, floats};
    use super::*;

    #[test]
    fn the_middle_or_between() {
        let of = |points: &[(i64, f64)]| median(&floats(points), &args(0.0, None)).remove(0).value;
        assert_eq!(of(&[(1, 9.0), (2, 1.0), (3, 4.0)]), Value::Float(4.0));
        assert_eq!(of(&[(1, 9.0), (2, 1.0), (3, 4.0), (4, 2.0)]), Value::Float(3.0));
        // What is no number is in no order, and Rust's own sort would find that out.
        for seed in 0..200 {
            let value = |at: i64| if (at * 7 + seed) % 3 == 0 { f64::NAN } else { (at * (seed + 5) % 31) as f64 };
            assert!(matches!(of(&(0..64).map(|at| (at, value(at))).collect::<Vec<_>>()), Value::Float(_)));
        }
    }
}
