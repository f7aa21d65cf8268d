//! sample: so many of a window's points, each as likely as any other, in order of time, then of value.
//!
//! InfluxDB draws anew each time; here the same points always give the same sample.

use super::Args;
use super::select::compare;
use crate::merge::evaluate::gosort::sort;
use crate::merge::evaluate::rows::Point;
use crate::merge::results::Value;

pub fn sample(points: &[Point], args: &Args) -> Vec<Point> {
    let size = args.number as usize;
    let Some(first) = points.first() else { return Vec::new() };
    let mut random = fastrand::Rng::with_seed(first.time as u64 ^ points.len() as u64);
    let mut drawn: Vec<Point> = Vec::new();
    for (at, point) in points.iter().enumerate() {
        if drawn.len() < size {
            drawn.push(point.clone());
        } else if let Some(place) = drawn.get_mut(random.usize(..=at)) {
            *place = point.clone();
        }
    }
    // As InfluxDB has it a false is less than a false too, which shows in the order of those at one time.
    sort(&mut drawn, |a, b| match a.value {
        Value::Boolean(truth) if a.time == b.time => !truth,
        _ => a.time.cmp(&b.time).then_with(|| compare(&a.value, &b.value)).is_lt(),
    });
    drawn
}

#[cfg(test)]
mod tests {
    use super::super::tests::{args, floats};
    use super::*;

    #[test]
    fn each_is_as_likely_as_any_other() {
        let mut seen = [0; 10];
        for begin in 0..1_000 {
            let points: Vec<(i64, f64)> = (0..10).map(|at| (begin + at, at as f64)).collect();
            let drawn = sample(&floats(&points), &args(3.0, None));
            assert!(drawn.len() == 3 && drawn.is_sorted_by_key(|point| point.time), "{drawn:?}");
            drawn.iter().filter_map(Point::number).for_each(|value| seen[value as usize] += 1);
        }
        assert!(seen.iter().all(|count| (200..400).contains(count)), "{seen:?}");
        let all = floats(&[(1, 3.0), (2, 4.0)]);
        assert_eq!(sample(&all, &args(5.0, None)), all);
    }
}
