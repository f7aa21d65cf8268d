//! stddev: of a sample, around the mean as it grew. Of one point it is no number, which is shown as null and not as fill() says.

use super::Args;
use crate::merge::evaluate::rows::{NO_TIME, Point};
use crate::merge::results::Value;

pub fn stddev(points: &[Point], _: &Args) -> Vec<Point> {
    if points.len() < 2 {
        return vec![Point::new(NO_TIME, Value::Float(f64::NAN))];
    }
    // What is no number is one of another stddev(); it is passed over.
    let numbers: Vec<f64> = points.iter().filter_map(Point::number).filter(|number| !number.is_nan()).collect();
    let (mut mean, mut count) = (0.0, 0.0);
    for number in &numbers {
        count += 1.0;
        mean += (number - mean) / count;
    }
    let squares: f64 = numbers.iter().fold(0.0, |sum, number| sum + (number - mean) * (number - mean));
    vec![Point::new(NO_TIME, Value::Float((squares / (count - 1.0)).sqrt()))]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{args, floats};
    use super::*;

    #[test]
    fn of_one_point_it_is_no_number() {
        let of = |points: &[(i64, f64)]| stddev(&floats(points), &args(0.0, None)).remove(0).value;
        assert!(matches!(of(&[(1, 3.0)]), Value::Float(number) if number.is_nan()));
        assert_eq!(of(&[(1, 1.0), (1, 3.0), (2, 5.0)]), Value::Float(2.0));
        assert_eq!(of(&[(1, 1.0), (1, 3.0), (2, f64::NAN), (3, 5.0)]), Value::Float(2.0));
    }
}
