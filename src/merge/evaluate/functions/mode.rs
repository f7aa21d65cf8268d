//! mode: the most frequent value, of equally frequent ones the one whose row in time ends first.

use super::Args;
use super::select::compare;
use crate::merge::evaluate::gosort::sort;
use crate::merge::evaluate::rows::{NO_TIME, Point};
use crate::merge::results::Value;

pub fn mode(points: &[Point], _: &Args) -> Vec<Point> {
    let Some(first) = points.first() else { return Vec::new() };
    if let Value::Boolean(_) = first.value {
        let yes = points.iter().filter(|point| point.value == Value::Boolean(true)).count();
        return vec![Point::new(NO_TIME, Value::Boolean(yes * 2 >= points.len()))];
    }
    let mut sorted: Vec<&Point> = points.iter().collect();
    sort(&mut sorted, |a, b| compare(&a.value, &b.value).is_lt());
    // As InfluxDB counts: the first of a run of equal values is not compared, but for the very first run.
    let (mut current, mut current_time, mut frequency) = (&sorted[0].value, sorted[0].time, 0);
    let (mut most, mut most_time, mut most_frequency) = (&sorted[0].value, sorted[0].time, 0);
    for point in &sorted {
        if &point.value != current {
            (current, current_time, frequency) = (&point.value, point.time, 1);
            continue;
        }
        frequency += 1;
        if most_frequency > frequency || (most_frequency == frequency && current_time > most_time) {
            continue;
        }
        (most, most_time, most_frequency) = (&point.value, point.time, frequency);
    }
    vec![Point::new(NO_TIME, most.clone())]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{args, floats};
    use super::*;

    #[test]
    fn the_most_frequent() {
        let of = |points: &[(i64, f64)]| mode(&floats(points), &args(0.0, None)).remove(0).value;
        assert_eq!(of(&[(1, 9.0), (2, 1.0), (3, 9.0)]), Value::Float(9.0));
        assert_eq!(of(&[(1, 9.0), (2, 1.0)]), Value::Float(1.0), "each once: the smallest");
        let booleans = [true, false].map(|value| Point::new(0, Value::Boolean(value)));
        assert_eq!(mode(&booleans, &args(0.0, None))[0].value, Value::Boolean(true));
    }
}
