//! top, bottom: the greatest or smallest so many, in order of time.

use super::select::{compare, is_none};
use super::{How, function};
use crate::influxql::Expr;
use crate::influxql::ast::{Call, VarRef};
use crate::merge::evaluate::gosort::sort;
use crate::merge::evaluate::order::Heap;
use crate::merge::evaluate::rows::Point;

/// Whether a call is top() or bottom().
pub fn is_best(call: &Call) -> bool {
    function(&call.name).is_some_and(|function| matches!(function.how, How::Best { .. }))
}

/// The tags of top() and bottom(), of each of which they take the best: they stand between what is taken and how many.
pub fn tags_of_best(call: &Call) -> impl Iterator<Item = &VarRef> {
    let last = if is_best(call) { call.args.len().saturating_sub(1) } else { 0 };
    call.args.iter().take(last).skip(1).filter_map(|arg| match arg {
        Expr::VarRef(var) => Some(var),
        _ => None,
    })
}

/// The best of a window: of equal values the earlier; then by time, at one time the better first.
pub fn best(points: Vec<Point>, count: usize, greatest: bool) -> Vec<Point> {
    let mut best = Best::new(count, greatest);
    points.into_iter().for_each(|point| best.push(point));
    best.in_order()
}

/// The best so many of the points so far.
pub struct Best {
    heap: Heap<Point, fn(&Point, &Point) -> bool>,
    /// Whether one is worse than another.
    worse: fn(&Point, &Point) -> bool,
    count: usize,
}

fn worse_at_top(a: &Point, b: &Point) -> bool {
    !either_is_none(a, b) && compare(&a.value, &b.value).then(b.time.cmp(&a.time)).is_lt()
}

fn worse_at_bottom(a: &Point, b: &Point) -> bool {
    !either_is_none(a, b) && compare(&b.value, &a.value).then(b.time.cmp(&a.time)).is_lt()
}

/// What is no number is worse than nothing, nor is anything worse than that.
fn either_is_none(a: &Point, b: &Point) -> bool {
    is_none(&a.value) || is_none(&b.value)
}

impl Best {
    pub fn new(count: usize, greatest: bool) -> Best {
        let worse = if greatest { worse_at_top } else { worse_at_bottom };
        Best { heap: Heap::new(Vec::new(), worse), worse, count }
    }

    pub fn push(&mut self, point: Point) {
        match self.heap.items.first() {
            Some(first) if self.heap.items.len() == self.count => {
                if (self.worse)(first, &point) {
                    self.heap.replace_first(point);
                }
            }
            _ => self.heap.push(point),
        }
    }

    /// How many points it holds.
    pub fn held(&self) -> usize {
        self.heap.items.len()
    }

    pub fn in_order(self) -> Vec<Point> {
        let worse = self.worse;
        let mut found = self.heap.items;
        // Not stable, as Go's: of many the equal come out in an order of its own.
        sort(&mut found, |a, b| worse(b, a));
        // Also backwards in time.
        found.sort_by_key(|point| point.time);
        found
    }
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
