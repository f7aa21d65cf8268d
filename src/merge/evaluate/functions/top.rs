//! top, bottom: the greatest or smallest so many, in order of time.

use std::cmp::Ordering;

use super::select::compare;
use crate::merge::evaluate::order::Heap;
use crate::merge::evaluate::rows::Point;

/// The best of a window: of equal values the earlier; then by time, at one time the better first.
pub fn best(points: Vec<Point>, count: usize, greatest: bool) -> Vec<Point> {
    // Whether one is worse than another.
    let worse = move |a: &Point, b: &Point| {
        let order = compare(&a.value, &b.value);
        match if greatest { order } else { order.reverse() } {
            Ordering::Equal => a.time > b.time,
            order => order.is_lt(),
        }
    };
    let mut heap = Heap::new(Vec::new(), worse);
    for point in points {
        match heap.items.first() {
            Some(first) if heap.items.len() == count => {
                if worse(first, &point) {
                    heap.replace_first(point);
                }
            }
            _ => heap.push(point),
        }
    }
    let mut found = heap.items;
    found.sort_by(|a, b| {
        if worse(b, a) {
            Ordering::Less
        } else if worse(a, b) {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    });
    // Also backwards in time.
    found.sort_by_key(|point| point.time);
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::floats;
    use super::*;

    /// Seen of influxd 1.6.7.
    #[test]
    fn by_time_then_the_better() {
        let points = floats(&[(100, 3.0), (100, 9.0), (110, 2.0), (120, 11.0), (120, 13.0), (120, 12.0), (130, 12.0)]);
        let top: Vec<_> = best(points.clone(), 5, true).iter().map(|p| (p.time, p.number())).collect();
        assert_eq!(top, [(100, 9.0), (120, 13.0), (120, 12.0), (120, 11.0), (130, 12.0)].map(|(t, v)| (t, Some(v))));
        let bottom: Vec<_> = best(points, 2, false).iter().map(|p| (p.time, p.number())).collect();
        assert_eq!(bottom, [(100, Some(3.0)), (110, Some(2.0))]);
    }
}
