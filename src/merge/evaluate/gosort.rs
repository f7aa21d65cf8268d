//! Go's `sort.Sort` (the pattern-defeating quicksort of Go 1.19 on), swap by swap.
//!
//! It is not stable: which of equal values InfluxDB shows for a percentile, and what it counts as a mode, hangs on it.

/// Sorts by `less`.
pub fn sort<T>(data: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let length = data.len();
    if length > 1 {
        Sorter { data, less: &less }.quick(0, length, length.ilog2() + 1);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    Unknown,
    Increasing,
    Decreasing,
}

/// Up to so many are sorted by insertion.
const INSERTION_MAX: usize = 12;
/// From so many on the pivot is a median of medians, and a nearly sorted range is mended.
const LONG: usize = 50;

struct Sorter<'a, T, L> {
    data: &'a mut [T],
    less: &'a L,
}

impl<T, L: Fn(&T, &T) -> bool> Sorter<'_, T, L> {
    fn less(&self, a: usize, b: usize) -> bool {
        (self.less)(&self.data[a], &self.data[b])
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.data.swap(a, b);
    }

    fn quick(&mut self, mut from: usize, mut to: usize, mut limit: u32) {
        let (mut balanced, mut partitioned) = (true, true);
        loop {
            let length = to - from;
            if length <= INSERTION_MAX {
                return self.insertion(from, to);
            }
            if limit == 0 {
                return self.heap(from, to);
            }
            if !balanced {
                self.break_patterns(from, to);
                limit -= 1;
            }
            let (mut pivot, mut hint) = self.pivot(from, to);
            if hint == Hint::Decreasing {
                self.data[from..to].reverse();
                pivot = (to - 1) - (pivot - from);
                hint = Hint::Increasing;
            }
            if balanced && partitioned && hint == Hint::Increasing && self.mend(from, to) {
                return;
            }
            if from > 0 && !self.less(from - 1, pivot) {
                from = self.partition_equal(from, to, pivot);
                continue;
            }
            let middle;
            (middle, partitioned) = self.partition(from, to, pivot);
            let (left, right) = (middle - from, to - middle);
            balanced = left.min(right) >= length / 8;
            if left < right {
                self.quick(from, middle, limit);
                from = middle + 1;
            } else {
                self.quick(middle + 1, to, limit);
                to = middle;
            }
        }
    }

    fn insertion(&mut self, from: usize, to: usize) {
        for end in from + 1..to {
            let mut at = end;
            while at > from && self.less(at, at - 1) {
                self.swap(at, at - 1);
                at -= 1;
            }
        }
    }

    fn heap(&mut self, from: usize, to: usize) {
        let length = to - from;
        for root in (0..=(length - 1) / 2).rev() {
            self.sift_down(root, length, from);
        }
        for end in (0..length).rev() {
            self.swap(from, from + end);
            self.sift_down(0, end, from);
        }
    }

    fn sift_down(&mut self, mut root: usize, end: usize, first: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && self.less(first + child, first + child + 1) {
                child += 1;
            }
            if !self.less(first + root, first + child) {
                return;
            }
            self.swap(first + root, first + child);
            root = child;
        }
    }

    fn partition(&mut self, from: usize, to: usize, pivot: usize) -> (usize, bool) {
        self.swap(from, pivot);
        let (mut low, mut high) = (from + 1, to - 1);
        let mut already = true;
        loop {
            while low <= high && self.less(low, from) {
                low += 1;
            }
            while low <= high && !self.less(high, from) {
                high -= 1;
            }
            if low > high {
                self.swap(high, from);
                return (high, already);
            }
            already = false;
            self.swap(low, high);
            low += 1;
            high -= 1;
        }
    }

    fn partition_equal(&mut self, from: usize, to: usize, pivot: usize) -> usize {
        self.swap(from, pivot);
        let (mut low, mut high) = (from + 1, to - 1);
        loop {
            while low <= high && !self.less(from, low) {
                low += 1;
            }
            while low <= high && self.less(from, high) {
                high -= 1;
            }
            if low > high {
                return low;
            }
            self.swap(low, high);
            low += 1;
            high -= 1;
        }
    }

    /// Mends a range that is nearly sorted; whether it is sorted now.
    fn mend(&mut self, from: usize, to: usize) -> bool {
        let mut at = from + 1;
        for _ in 0..5 {
            while at < to && !self.less(at, at - 1) {
                at += 1;
            }
            if at == to {
                return true;
            }
            if to - from < LONG {
                return false;
            }
            self.swap(at, at - 1);
            if at - from >= 2 {
                let mut left = at - 1;
                while left >= 1 && self.less(left, left - 1) {
                    self.swap(left, left - 1);
                    left -= 1;
                }
            }
            if to - at >= 2 {
                let mut right = at + 1;
                while right < to && self.less(right, right - 1) {
                    self.swap(right, right - 1);
                    right += 1;
                }
            }
        }
        false
    }

    fn break_patterns(&mut self, from: usize, to: usize) {
        let length = to - from;
        if length < 8 {
            return;
        }
        let mut random = length as u64;
        let modulus = 1_u64 << (length.ilog2() + 1);
        let at = from + (length / 4) * 2;
        for number in 0..3 {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let mut other = (random & (modulus - 1)) as usize;
            if other >= length {
                other -= length;
            }
            self.swap(at - 1 + number, from + other);
        }
    }

    fn pivot(&self, from: usize, to: usize) -> (usize, Hint) {
        let length = to - from;
        let quarter = length / 4;
        let (mut a, mut b, mut c) = (from + quarter, from + quarter * 2, from + quarter * 3);
        let mut swaps = 0;
        if length >= 8 {
            if length >= LONG {
                a = self.median(a - 1, a, a + 1, &mut swaps);
                b = self.median(b - 1, b, b + 1, &mut swaps);
                c = self.median(c - 1, c, c + 1, &mut swaps);
            }
            b = self.median(a, b, c, &mut swaps);
        }
        match swaps {
            0 => (b, Hint::Increasing),
            12 => (b, Hint::Decreasing),
            _ => (b, Hint::Unknown),
        }
    }

    fn median(&self, a: usize, b: usize, c: usize, swaps: &mut usize) -> usize {
        let mut ordered = |a, b| {
            if self.less(b, a) {
                *swaps += 1;
                (b, a)
            } else {
                (a, b)
            }
        };
        let (a, b) = ordered(a, b);
        let (b, _) = ordered(b, c);
        ordered(a, b).1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_sorts(mut numbers in prop::collection::vec(0_u8..30, 0..400)) {
            let mut expected = numbers.clone();
            expected.sort();
            sort(&mut numbers, |a, b| a < b);
            prop_assert_eq!(numbers, expected);
        }
    }

    #[test]
    fn few_stay_in_order() {
        let mut pairs: Vec<(u8, usize)> = (0..12).map(|at| (at as u8 % 3, at)).collect();
        sort(&mut pairs, |a, b| a.0 < b.0);
        assert_eq!(pairs.iter().map(|pair| pair.1).collect::<Vec<_>>(), [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
    }
    /// As influxd 1.6.7 has them, whose lone percentile() shows the time of one of the equal.
    #[test]
    fn equal_ones_come_out_as_gos_sort_has_them() {
        let mut pairs: Vec<(usize, usize)> = (0..14).map(|at| (at * at % 3, at)).collect();
        sort(&mut pairs, |a, b| a.0 < b.0);
        let order: Vec<usize> = pairs.iter().map(|pair| pair.1).collect();
        assert_eq!(order, [6, 0, 12, 3, 9, 4, 1, 5, 10, 7, 8, 11, 2, 13]);
    }
}
