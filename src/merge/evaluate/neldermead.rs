//! The Nelder-Mead search of InfluxDB (query/neldermead), step by step: where it ends hangs on every one of them.

use crate::merge::given_up::is_given_up;

const ITERATIONS_MAX: usize = 1000;
const REFLECTION: f64 = 1.0;
const CONTRACTION: f64 = 0.5;
const EXPANSION: f64 = 2.0;

/// The smallest value found of `of` around `start`, and where. `of` may change the place that it is asked about.
pub fn minimum(of: &mut impl FnMut(&mut [f64]) -> f64, start: &[f64], epsilon: f64) -> (f64, Vec<f64>) {
    let dimensions = start.len();
    let mut simplex = Simplex::around(start, of);
    for _ in 0..ITERATIONS_MAX {
        if is_given_up() {
            break;
        }
        simplex.step(of);
        if simplex.spread(dimensions) < epsilon {
            break;
        }
    }
    let best = simplex.best();
    let place = simplex.places[best].clone();
    (of(&mut simplex.places[best]), place)
}

struct Simplex {
    places: Vec<Vec<f64>>,
    values: Vec<f64>,
}

impl Simplex {
    fn around(start: &[f64], of: &mut impl FnMut(&mut [f64]) -> f64) -> Simplex {
        let count = start.len() as f64;
        let root = (count + 1.0).sqrt() - 1.0;
        let far = (root + count) / (count * 2_f64.sqrt());
        let near = root / (count * 2_f64.sqrt());
        let mut places = vec![start.to_vec()];
        for at in 0..start.len() {
            let moved = |(own, from): (usize, &f64)| if own == at { far + from } else { near + from };
            places.push(start.iter().enumerate().map(moved).collect());
        }
        let values = places.iter_mut().map(|place| of(place)).collect();
        Simplex { places, values }
    }

    fn best(&self) -> usize {
        let values = &self.values;
        (0..values.len()).fold(0, |best, at| if values[at] < values[best] { at } else { best })
    }

    fn worst(&self) -> usize {
        let values = &self.values;
        (0..values.len()).fold(0, |worst, at| if values[at] > values[worst] { at } else { worst })
    }

    /// The second worst; the best, if all others are as bad as the worst.
    fn second(&self, best: usize, worst: usize) -> usize {
        let values = &self.values;
        let between = |at: usize, second: usize| values[at] > values[second] && values[at] < values[worst];
        (0..values.len()).fold(best, |second, at| if between(at, second) { at } else { second })
    }

    fn step(&mut self, of: &mut impl FnMut(&mut [f64]) -> f64) {
        let (best, worst) = (self.best(), self.worst());
        let second = self.second(best, worst);
        let count = (self.places.len() - 1) as f64;
        let others = || self.places.iter().enumerate().filter(|(at, _)| *at != worst).map(|(_, place)| place);
        let middle: Vec<f64> =
            (0..self.places.len() - 1).map(|axis| others().fold(0.0, |sum, place| sum + place[axis]) / count).collect();
        let moved = |to: &dyn Fn(f64, usize) -> f64| -> Vec<f64> {
            middle.iter().enumerate().map(|(axis, middle)| to(*middle, axis)).collect()
        };
        let mut reflected = moved(&|middle, axis| middle + REFLECTION * (middle - self.places[worst][axis]));
        let value = of(&mut reflected);
        if value < self.values[second] && value >= self.values[best] {
            self.put(worst, &reflected, value);
        }
        if value < self.values[best] {
            let mut expanded = moved(&|middle, axis| middle + EXPANSION * (reflected[axis] - middle));
            let further = of(&mut expanded);
            match further < value {
                true => self.put(worst, &expanded, further),
                false => self.put(worst, &reflected, value),
            }
        }
        if value >= self.values[second] {
            let mut contracted = match value < self.values[worst] {
                true => moved(&|middle, axis| middle + CONTRACTION * (reflected[axis] - middle)),
                false => moved(&|middle, axis| middle - CONTRACTION * (middle - self.places[worst][axis])),
            };
            let nearer = of(&mut contracted);
            match nearer < self.values[worst] {
                true => self.put(worst, &contracted, nearer),
                false => self.shrink(best, second, worst, of),
            }
        }
    }

    fn put(&mut self, at: usize, place: &[f64], value: f64) {
        self.places[at].copy_from_slice(place);
        self.values[at] = value;
    }

    /// All come halfway to the best; the values of the two worst alone are told anew.
    fn shrink(&mut self, best: usize, second: usize, worst: usize, of: &mut impl FnMut(&mut [f64]) -> f64) {
        let target = self.places[best].clone();
        for (_, place) in self.places.iter_mut().enumerate().filter(|(at, _)| *at != best) {
            for (own, target) in place.iter_mut().zip(&target) {
                *own = target + (*own - target) / 2.0;
            }
        }
        self.values[worst] = of(&mut self.places[worst]);
        self.values[second] = of(&mut self.places[second]);
    }

    fn spread(&self, dimensions: usize) -> f64 {
        let mean = self.values.iter().fold(0.0, |sum, value| sum + value) / (dimensions + 1) as f64;
        let square = |value: &f64| (value - mean) * (value - mean) / dimensions as f64;
        self.values.iter().fold(0.0, |sum, value| sum + square(value)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rosenbrocks_valley_is_found() {
        let mut of = |x: &mut [f64]| 100.0 * (x[1] - x[0] * x[0]).powi(2) + (1.0 - x[0]).powi(2);
        let (least, place) = minimum(&mut of, &[-1.2, 1.0], 1e-4);
        assert!(least < 1e-4 && (place[0] - 1.0).abs() < 1e-2 && (place[1] - 1.0).abs() < 1e-2, "{least} {place:?}");
    }
}
