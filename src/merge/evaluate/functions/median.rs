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
    let low = values[..middle].last().filter(|_| values.len().is_multiple_of(2)).copied();
    halfway(low, high).map(|value| Point::new(NO_TIME, value)).into_iter().collect()
}

/// What lies between two values; of one that stands in the middle, that one, be it -0.
pub fn halfway(low: Option<&Value>, high: &Value) -> Option<Value> {
    Some(Value::Float(match (low, high) {
        (None, Value::Float(alone)) => *alone,
        (None, Value::Integer(alone)) => *alone as f64,
        (None, Value::Unsigned(alone)) => *alone as f64,
        (Some(Value::Float(low)), Value::Float(high)) => low + (high - low) / 2.0,
        (Some(Value::Integer(low)), Value::Integer(high)) => *low as f64 + high.wrapping_sub(*low) as f64 / 2.0,
        (Some(Value::Unsigned(low)), Value::Unsigned(high)) => *low as f64 + (high - low) as f64 / 2.0,
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
        let is_negative = |value| matches!(value, Value::Float(value) if value == 0.0 && value.is_sign_negative());
        assert!(is_negative(of(&[(1, -0.0)])) && !is_negative(of(&[(1, -0.0), (2, -0.0)])));
        // What is no number is in no order, and Rust's own sort would find that out.
        for seed in 0..200 {
            let value = |at: i64| if (at * 7 + seed) % 3 == 0 { f64::NAN } else { (at * (seed + 5) % 31) as f64 };
            assert!(matches!(of(&(0..64).map(|at| (at, value(at))).collect::<Vec<_>>()), Value::Float(_)));
        }
    }
}
