//! percentile: the value of the nearest rank; no point when there is no such rank.

use super::Args;
use super::select::compare;
use crate::merge::evaluate::gosort::sort;
use crate::merge::evaluate::rows::Point;

pub fn percentile(points: &[Point], args: &Args) -> Vec<Point> {
    let Some(rank) = rank(points.len(), args.number) else { return Vec::new() };
    let mut sorted: Vec<&Point> = points.iter().collect();
    sort(&mut sorted, |a, b| compare(&a.value, &b.value).is_lt());
    sorted.get(rank).map(|point| (*point).clone()).into_iter().collect()
}

/// Which of so many values it is, the smallest being 0.
pub fn rank(count: usize, percent: f64) -> Option<usize> {
    let rank = (count as f64 * percent / 100.0 + 0.5).floor();
    (rank >= 1.0 && rank <= count as f64).then(|| rank as usize - 1)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{args, floats};
    use super::*;

    #[test]
    fn by_nearest_rank() {
        let points = floats(&[(1, 9.0), (2, 1.0), (3, 4.0)]);
        let at = |percent| percentile(&points, &args(percent, None)).first().map(|point| point.time);
        assert_eq!([0.0, 50.0, 100.0, 101.0, 150.0].map(at), [None, Some(3), Some(1), Some(1), None]);
    }
}
