//! Go's heap, and the two ways in which InfluxDB merges the points of series with it.
//!
//! Where points are equal in all that is compared, their order is that of the heap: so it is Go's (`container/heap`), swap by
//! swap, over the series in the order of their keys. InfluxDB starts a heap in each storage shard ([`sorted_in_shards`]); where
//! nobody knows when these begin, here is one for all.

use std::iter::Peekable;

use crate::merge::given_up::is_given_up;

use super::rows::{Point, Rows};

/// Go's `container/heap`.
pub struct Heap<T, L> {
    pub items: Vec<T>,
    less: L,
}

impl<T, L: Fn(&T, &T) -> bool> Heap<T, L> {
    pub fn new(items: Vec<T>, less: L) -> Heap<T, L> {
        let mut heap = Heap { items, less };
        heap.begin();
        heap
    }

    /// Puts the items in their places.
    fn begin(&mut self) {
        for at in (0..self.items.len() / 2).rev() {
            self.down(at, self.items.len());
        }
    }

    pub fn push(&mut self, item: T) {
        self.items.push(item);
        self.up(self.items.len() - 1);
    }

    pub fn pop(&mut self) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        self.items.swap(0, last);
        self.down(0, last);
        self.items.pop()
    }

    /// Puts another in the place of the first, of which there is one.
    pub fn replace_first(&mut self, item: T) {
        self.items[0] = item;
        self.down(0, self.items.len());
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if !(self.less)(&self.items[at], &self.items[parent]) {
                break;
            }
            self.items.swap(parent, at);
            at = parent;
        }
    }

    fn down(&mut self, mut at: usize, count: usize) {
        loop {
            let mut child = 2 * at + 1;
            if child >= count {
                break;
            }
            if child + 1 < count && (self.less)(&self.items[child + 1], &self.items[child]) {
                child += 1;
            }
            if !(self.less)(&self.items[child], &self.items[at]) {
                break;
            }
            self.items.swap(at, child);
            at = child;
        }
    }
}

/// What several series have, each in order, by `less`.
pub fn sorted<T, I: IntoIterator<Item = T>>(
    inputs: impl IntoIterator<Item = I>,
    less: impl Fn(&T, &T) -> bool,
) -> impl Iterator<Item = T> {
    sorted_in_shards(inputs, |_| 0, true, less)
}

/// The same, with a heap for each storage shard, shard after shard; `shard` tells an item's, which follow each other in every
/// series.
pub fn sorted_in_shards<T, I: IntoIterator<Item = T>>(
    inputs: impl IntoIterator<Item = I>,
    shard: impl Fn(&T) -> usize,
    ascending: bool,
    less: impl Fn(&T, &T) -> bool,
) -> impl Iterator<Item = T> {
    let mut inputs: Vec<Peekable<I::IntoIter>> = inputs.into_iter().map(|input| input.into_iter().peekable()).collect();
    // Each with the number of its series.
    let mut heap = Heap::new(Vec::new(), move |(a, _): &(T, usize), (b, _): &(T, usize)| less(a, b));
    let mut own = 0;
    std::iter::from_fn(move || {
        if is_given_up() {
            return None;
        }
        if heap.items.is_empty() {
            let heads = inputs.iter_mut().filter_map(|input| input.peek().map(&shard));
            own = if ascending { heads.min()? } else { heads.max()? };
            let first = |(number, input): (usize, &mut Peekable<I::IntoIter>)| {
                input.next_if(|item| shard(item) == own).map(|item| (item, number))
            };
            heap.items.extend(inputs.iter_mut().enumerate().filter_map(first));
            heap.begin();
        }
        let mut after = |number: usize| inputs[number].next_if(|item| shard(item) == own);
        // With one left there is nothing to compare.
        if let [(next, number)] = heap.items.as_mut_slice()
            && let Some(after) = after(*number)
        {
            return Some(std::mem::replace(next, after));
        }
        let (item, number) = heap.pop()?;
        if let Some(next) = after(number) {
            heap.push((next, number));
        }
        Some(item)
    })
}

/// The number of the storage shard that a point of such rows lies in; 0 for all where nobody knows when shards begin.
pub fn shard_of<'a>(members: &[&'a Rows]) -> impl Fn(&Point) -> usize + use<'a> {
    let starts = starts_of(members);
    |point: &Point| starts.partition_point(|start| *start <= point.time)
}

/// When their storage shards begin.
pub fn starts_of<'a>(members: &[&'a Rows]) -> &'a [i64] {
    members.first().and_then(|rows| rows.shards()).map_or(&[], |starts| starts)
}

/// The first so many of what several series have in each storage shard, shard after shard; `shard` tells a point's, which follow
/// each other in every series.
pub fn cut_in_shards<I: Iterator<Item = Point>>(
    inputs: impl IntoIterator<Item = I>,
    most: usize,
    shard: impl Fn(i64) -> usize,
    less: impl Fn(&Point, &Point) -> bool,
) -> Vec<Point> {
    let mut inputs: Vec<_> = inputs.into_iter().map(Iterator::peekable).collect();
    let mut found = Vec::new();
    // Of the series that have points left the earliest goes on, or the latest.
    while let Some(first) =
        inputs.iter_mut().filter_map(|input| input.peek().cloned()).reduce(|a, b| if less(&b, &a) { b } else { a })
    {
        let own = shard(first.time);
        let is_own = |point: &Point| shard(point.time) == own;
        let parts = inputs.iter_mut().map(|input| std::iter::from_fn(|| input.next_if(is_own)));
        found.extend(sorted(parts, &less).take(most));
        for input in &mut inputs {
            while input.next_if(is_own).is_some() {}
        }
    }
    found
}

/// InfluxDB merges in as many parts as it has cores. What depends on it is rounding, and which of several points is taken that
/// are equal in time and value: here as on two cores.
const PARTS: usize = 2;

/// The points of several series, window after window, in each of them series after series. `window` tells where a window
/// begins and ends.
pub fn by_window(inputs: Vec<Vec<Point>>, ascending: bool, window: &impl Fn(i64) -> (i64, i64)) -> Vec<Point> {
    let mut inputs: Vec<Vec<Point>> = inputs.into_iter().filter(|input| !input.is_empty()).collect();
    if inputs.len() < 2 {
        return inputs.pop().unwrap_or_default();
    }
    let second = inputs.split_off(inputs.len() / PARTS);
    let halves = [inputs, second].map(|part| one_heap(part, ascending, window));
    one_heap(halves.into_iter().collect(), ascending, window)
}

fn one_heap(inputs: Vec<Vec<Point>>, ascending: bool, window: &impl Fn(i64) -> (i64, i64)) -> Vec<Point> {
    let count = inputs.iter().map(Vec::len).sum();
    let inputs: Vec<_> = inputs.into_iter().map(|input| input.into_iter().peekable()).collect();
    let mut merged: Vec<Point> = Vec::with_capacity(count);
    // The start of each one's next window.
    let mut items = Vec::new();
    for mut input in inputs {
        if let Some(first) = input.peek() {
            items.push((window(first.time).0, input));
        }
    }
    let less = |a: &(i64, _), b: &(i64, _)| if ascending { a.0 < b.0 } else { a.0 > b.0 };
    let mut heap = Heap::new(items, less);
    while let Some((_, mut input)) = heap.pop() {
        let Some(first) = input.next() else { continue };
        let (start, end) = window(first.time);
        merged.push(first);
        // InfluxDB looks at the further border alone.
        while let Some(point) = input.next_if(|point| if ascending { point.time < end } else { point.time >= start }) {
            merged.push(point);
        }
        if let Some(next) = input.peek() {
            heap.push((window(next.time).0, input));
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::results::Value;

    fn series(number: usize, times: &[i64]) -> Vec<Point> {
        times.iter().map(|time| Point::new(*time, Value::Integer(number as i64))).collect()
    }

    /// Seen of influxd 1.6.7: five series, one of them with a point less each time.
    #[test]
    fn equal_times_come_out_as_influxdb_has_them() {
        let inputs = vec![
            series(0, &[100, 110, 120]),
            series(1, &[100, 110, 120]),
            series(2, &[100, 110, 120]),
            series(3, &[100, 110, 130]),
            series(4, &[100]),
        ];
        let merged = sorted(inputs, |a, b| a.time < b.time);
        let order: Vec<i64> = merged.filter_map(|point| point.value.as_i64()).collect();
        assert_eq!(order, [0, 4, 1, 3, 2, 3, 2, 0, 1, 0, 1, 2, 3]);
    }

    /// The second shard knows nothing of the first.
    #[test]
    fn each_storage_shard_has_a_heap_of_its_own() {
        let inputs = || (0..4).map(|number| series(number, if number == 3 { &[1, 11] } else { &[1, 2, 11] }));
        let values = |points: &mut dyn Iterator<Item = Point>| -> Vec<i64> {
            points.filter_map(|point| point.value.as_i64()).collect()
        };
        let less = |a: &Point, b: &Point| a.time < b.time;
        let shard = |point: &Point| (point.time / 10) as usize;
        let apart = values(&mut sorted_in_shards(inputs(), shard, true, less));
        let of = |times: [i64; 2]| {
            inputs().map(move |points| points.into_iter().filter(move |point| times.contains(&point.time)))
        };
        let each = [[1, 2], [11, 11]].into_iter().flat_map(|times| sorted(of(times), less).collect::<Vec<_>>());
        assert_eq!(apart, values(&mut each.into_iter()));
        assert_ne!(apart, values(&mut sorted(inputs(), less)));
    }

    #[test]
    fn each_storage_shard_gives_its_first() {
        let inputs = || [series(0, &[1, 2, 11, 25]), series(1, &[3, 12, 13]), series(2, &[0, 14])].map(Vec::into_iter);
        let times = |points: Vec<Point>| points.iter().map(|point| point.time).collect::<Vec<i64>>();
        let shard = |time: i64| (time / 10) as usize;
        assert_eq!(times(cut_in_shards(inputs(), 2, shard, |a, b| a.time < b.time)), [0, 1, 11, 12, 25]);
        let backwards = inputs().map(|points| points.rev());
        assert_eq!(times(cut_in_shards(backwards, 3, shard, |a, b| a.time > b.time)), [25, 14, 13, 12, 3, 2, 1]);
        assert_eq!(times(cut_in_shards(inputs(), 99, shard, |a, b| a.time < b.time)).len(), 9);
    }

    #[test]
    fn windows_come_one_after_the_other() {
        let inputs = vec![series(0, &[1, 2, 11]), series(1, &[3, 12]), series(2, &[0, 25])];
        let merged = by_window(inputs, true, &|time| (time / 10 * 10, time / 10 * 10 + 10));
        let seen: Vec<i64> = merged.iter().map(|point| point.time).collect();
        assert_eq!(seen, [1, 2, 3, 0, 11, 12, 25]);
    }
}
