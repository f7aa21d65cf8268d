//! percentile: the value of the nearest rank; no point when there is no such rank.

use super::Args;
use super::select::compare;
use crate::merge::evaluate::gosort::sort;
use crate::merge::evaluate::rows::Point;

pub fn percentile(points: &[Point], args: &Args) -> Vec<Point> {
    let rank = (points.len() as f64 * args.number / 100.0 + 0.5).floor();
    if rank < 1.0 || rank > points.len() as f64 {
        return Vec::new();
    }
    let mut sorted: Vec<&Point> = points.iter().collect();
    sort(&mut sorted, |a, b| compare(&a.value, &b.value).is_lt());
    sorted.get(rank as usize - 1).map(|point| (*point).clone()).into_iter().collect()
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
