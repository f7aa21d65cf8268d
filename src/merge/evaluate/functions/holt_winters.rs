//! holt_winters, holt_winters_with_fit: what comes next, by the damped method of Holt and Winters.
//!
//! As InfluxDB's reducer has it (query/functions.go), step by step and rounding by rounding, since what it predicts hangs on
//! where its search ends.

use super::Args;
use crate::influxql::Expr;
use crate::merge::evaluate::gopow::pow;
use crate::merge::evaluate::neldermead::minimum;
use crate::merge::evaluate::rows::Point;
use crate::merge::given_up::is_given_up;
use crate::merge::results::Value;

const WEIGHT: f64 = 0.5;
const EPSILON: f64 = 1e-4;
/// alpha, beta, gamma and phi are searched for from each of these.
const GUESSES: [f64; 2] = [0.3, 0.3 + 0.4];
/// alpha, beta, gamma, phi, the level and the trend; what is behind them are the seasons.
const SEASONS_AT: usize = 6;

/// Only what is predicted.
pub fn predicted(points: &[Point], args: &Args) -> Vec<Point> {
    Series::new(points, args).map_or_else(Vec::new, |series| series.told(args, false))
}

/// What fits to the points too.
pub fn fitted(points: &[Point], args: &Args) -> Vec<Point> {
    Series::new(points, args).map_or_else(Vec::new, |series| series.told(args, true))
}

/// How many numbers are held: one for each interval, what is predicted, and where a search with seasons is at.
pub fn held(points: &[Point], args: &Args) -> usize {
    let whole = |at: usize| match args.rest.get(at) {
        Some(Expr::Integer(number)) => usize::try_from(*number).unwrap_or_default(),
        _ => 0,
    };
    let intervals = usize::try_from(intervals(points, args.windows.interval)).unwrap_or_default();
    let season = Some(whole(1)).filter(|season| (2..=points.len()).contains(season)).unwrap_or_default();
    let places = (season + SEASONS_AT).saturating_mul(season + SEASONS_AT + 1);
    intervals.saturating_add(whole(0)).saturating_add(places)
}

/// How many there are from the first point to the last; as InfluxDB, what runs over comes out anyhow.
fn intervals(points: &[Point], interval: i64) -> i64 {
    let [first, .., last] = points else { return 0 };
    rounded(last.time, interval).wrapping_sub(rounded(first.time, interval)).checked_div(interval).unwrap_or_default()
}

struct Series {
    /// A value for each interval; NaN where there is none.
    values: Vec<f64>,
    first: i64,
    last: i64,
    horizon: usize,
    /// How many points a season has, if there are seasons.
    season: Option<usize>,
}

impl Series {
    fn new(points: &[Point], args: &Args) -> Option<Series> {
        let whole = |at: usize| match args.rest.get(at) {
            Some(Expr::Integer(number)) => usize::try_from(*number).ok(),
            _ => None,
        };
        let (horizon, season) = (whole(0)?, whole(1)?);
        let season = (season >= 2).then_some(season);
        if points.len() < 2 || season.is_some_and(|season| points.len() < season) || horizon == 0 {
            return None;
        }
        let (first, last) = (points.first()?, points.last()?);
        let interval = args.windows.interval;
        if interval == 0 || intervals(points, interval) <= 0 {
            return None;
        }
        let mut values = vec![first.number()?];
        let mut at = rounded(first.time, interval);
        for point in &points[1..] {
            let time = rounded(point.time, interval);
            if time <= at {
                continue;
            }
            at = at.wrapping_add(interval);
            while at != time {
                values.push(f64::NAN);
                at = at.wrapping_add(interval);
            }
            values.push(point.number()?);
        }
        // Points whose distance runs over may all lie before the first.
        if values.len() < 2 {
            return None;
        }
        Some(Series { values, first: first.time, last: last.time, horizon, season })
    }

    fn told(&self, args: &Args, with_fit: bool) -> Vec<Point> {
        let mut best = self.best();
        let values = self.forecast(self.horizon, &mut best);
        let interval = args.windows.interval;
        let (begin, values) = match with_fit {
            true => (self.first, values.as_slice()),
            false => (self.last.wrapping_add(interval), &values[self.values.len()..]),
        };
        let numbered = values.iter().enumerate().filter(|(_, value)| !value.is_nan());
        let time = |at: usize| begin.wrapping_add(interval.wrapping_mul(at as i64));
        numbered.map(|(at, value)| Point::new(time(at), Value::Float(*value))).collect()
    }

    /// The parameters that fit best, of searches from each guess.
    fn best(&self) -> Vec<f64> {
        let mut parameters = self.guess();
        let mut best: Option<(f64, Vec<f64>)> = None;
        for guess in 0..GUESSES.len().pow(4) {
            for (at, parameter) in parameters[..4].iter_mut().enumerate() {
                *parameter = GUESSES[guess >> (3 - at) & 1];
            }
            let found = minimum(&mut |parameters| self.error(parameters), &parameters, EPSILON);
            if best.as_ref().is_none_or(|(least, _)| found.0 < *least) {
                best = Some(found);
            }
        }
        best.map_or(parameters, |(_, parameters)| parameters)
    }

    /// Where a search begins: level, trend and seasons; what is missing is passed over.
    fn guess(&self) -> Vec<f64> {
        let values = &self.values;
        let (mut level, mut trend, mut seasons) = (0.0, 0.0, Vec::new());
        match self.season {
            Some(season) => {
                let of = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
                for at in (0..season).filter(|at| !of(*at).is_nan()) {
                    level += (1.0 / season as f64) * of(at);
                }
                for at in (0..season).filter(|at| !of(*at).is_nan() && !of(season + at).is_nan()) {
                    trend += (1.0 / (season * season) as f64) * (of(season + at) - of(at));
                }
                seasons.extend((0..season).map(|at| if of(at).is_nan() { 0.0 } else { of(at) / level }));
            }
            None => {
                level += WEIGHT * values[0];
                if !values[1].is_nan() {
                    trend = WEIGHT * (values[1] - values[0]);
                }
            }
        }
        let mut guess = vec![0.0; 4];
        guess.extend([level, trend]);
        guess.extend(seasons);
        guess
    }

    /// The squares of what a forecast misses the values by.
    fn error(&self, parameters: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        if is_given_up() {
            return sum;
        }
        for (seen, value) in self.forecast(0, parameters).iter().zip(&self.values) {
            if value.is_nan() {
                continue;
            }
            if seen.is_nan() {
                return f64::INFINITY;
            }
            sum += (seen - value) * (seen - value);
        }
        sum
    }

    /// Of the values there are, and so many more. Parameters are brought within their bounds, and the seasons go on from
    /// where they were: whoever asks again about the same place asks about another one.
    fn forecast(&self, more: usize, parameters: &mut [f64]) -> Vec<f64> {
        parameters[..4].iter_mut().for_each(|parameter| *parameter = parameter.clamp(0.0, 1.0));
        let (fixed, seasons) = parameters.split_at_mut(SEASONS_AT);
        let [alpha, beta, gamma, phi] = [fixed[0], fixed[1], fixed[2], fixed[3]];
        let (mut level, mut trend) = (fixed[4], fixed[5]);
        let mut value = self.values[0];
        let mut damped = phi;
        let mut offset = seasons.len().saturating_sub(1);
        let count = self.values.len() + more;
        let mut forecast = vec![value];
        for time in 1..count {
            let (mut season, mut next_season) = (1.0, 1.0);
            if !seasons.is_empty() {
                let length = seasons.len();
                season = seasons[(time + offset - length) % length];
                next_season = seasons[(time + offset - length + time % length) % length];
            }
            let before = level + phi * trend;
            let next_level = alpha * (value / season) + (1.0 - alpha) * before;
            let next_trend = beta * (next_level - level) + (1.0 - beta) * phi * trend;
            let own_season = gamma * (value / before) + (1.0 - gamma) * season;
            value = (next_level + damped * next_trend) * next_season;
            (level, trend) = (next_level, next_trend);
            damped += pow(phi, time as u32);
            if !seasons.is_empty() {
                let length = seasons.len();
                seasons[(time + offset) % length] = own_season;
                offset += 1;
            }
            forecast.push(value);
        }
        forecast
    }
}

/// To the nearest interval.
fn rounded(time: i64, interval: i64) -> i64 {
    if interval == 0 {
        return time;
    }
    let up = i64::from(time % interval > interval / 2);
    (time / interval + up).wrapping_mul(interval)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{args, floats};
    use super::*;
    use crate::influxql::range::TimeRange;
    use crate::merge::evaluate::window::Windows;

    fn told(of: fn(&[Point], &Args) -> Vec<Point>, season: i64, points: &[(i64, f64)]) -> Vec<(i64, f64)> {
        let windows = Windows { interval: 10, offset: 0, range: TimeRange::default(), zone: None };
        let rest = [Expr::Integer(2), Expr::Integer(season)];
        let args = Args { rest: &rest, windows, ..args(0.0, None) };
        of(&floats(points), &args).iter().map(|point| (point.time, point.number().expect("a number"))).collect()
    }

    #[test]
    fn it_goes_on_behind_the_last_point() {
        let line = [(0, 2.0), (10, 4.0), (20, 6.0), (40, 10.0)];
        let next = told(predicted, 0, &line);
        assert_eq!(next.iter().map(|(time, _)| *time).collect::<Vec<_>>(), [50, 60]);
        assert!(next.iter().zip([12.0, 14.0]).all(|((_, seen), value)| (seen - value).abs() < 1.0), "{next:?}");
        let whole = told(fitted, 0, &line);
        assert_eq!(whole.iter().map(|(time, _)| *time).collect::<Vec<_>>(), [0, 10, 20, 30, 40, 50, 60]);
        assert_eq!(whole[5..], next);
        assert!(told(predicted, 5, &line).is_empty(), "not even one season");
        assert!(told(predicted, 0, &[(10, 1.0), (0, 2.0)]).is_empty(), "backwards in time");
        // From 1700 to 2200 there are more nanoseconds than a number holds.
        let centuries = [(-8_520_336_000_000_000_000, 1.0), (7_258_118_400_000_000_000, 2.0)];
        assert!(told(predicted, 0, &centuries).is_empty());
        // Backwards, so far that the distance runs over.
        assert!(told(predicted, 0, &[(5_000_000_000_000_000_000, 1.0), (-5_000_000_000_000_000_000, 2.0)]).is_empty());
    }

    #[test]
    fn what_is_held_is_known_beforehand() {
        let points: Vec<(i64, f64)> = (0..30).map(|at| (at * 10, 1.0)).collect();
        let of = |horizon, season, points: &[(i64, f64)]| {
            let windows = Windows { interval: 10, offset: 0, range: TimeRange::default(), zone: None };
            let rest = [Expr::Integer(horizon), Expr::Integer(season)];
            held(&floats(points), &Args { rest: &rest, windows, ..args(0.0, None) })
        };
        assert_eq!(of(1000, 0, &points), 29 + 1000 + 6 * 7);
        assert_eq!(of(1, 20, &points), 29 + 1 + 26 * 27, "a search has as many places as numbers in each");
        assert_eq!(of(1, 31, &points), 29 + 1 + 6 * 7, "no season is that long");
        assert_eq!(of(i64::MAX, 0, &points), usize::try_from(i64::MAX).expect("64 bits") + 29 + 42);
    }
}
