//! fill(): what stands for windows without points.
//!
//! As InfluxDB's FillIterator has it: within one series of the answer, from the range's first window (or the first with a
//! point, when the range has no start) to its last.

use crate::influxql::ast::{Fill, FillValue};
use crate::influxql::range::TIME_MIN;
use crate::merge::given_up::is_given_up;
use crate::merge::results::Value;

use super::Kind;
use super::rows::{Point, whole};
use super::window::Windows;

/// A number of fill() as a value of this kind: InfluxDB makes something of it whatever the kind is.
pub fn number(value: FillValue, kind: Kind) -> Value {
    match (value, kind) {
        (FillValue::Integer(number), Kind::Float) => Value::Float(number as f64),
        (FillValue::Float(number), Kind::Float) => Value::Float(number),
        (FillValue::Integer(number), Kind::Integer) => Value::Integer(number),
        (FillValue::Float(number), Kind::Integer) => Value::Integer(whole(number)),
        (FillValue::Integer(number), Kind::Unsigned) => Value::Unsigned(number as u64),
        (FillValue::Float(number), Kind::Unsigned) => Value::Unsigned(number as u64),
        (_, Kind::String) => Value::String(String::new()),
        (_, Kind::Boolean) => Value::Boolean(false),
    }
}

/// How many points are made.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// More are an error.
    pub allowed: usize,
    /// Nobody reads more.
    pub read: usize,
}

/// Puts points into windows that have none. `points` are in order, their times are windows' starts.
///
/// # Errors
/// There would be more than are allowed: so many.
pub fn fill(
    points: Vec<Point>,
    windows: &Windows,
    fill: Fill,
    kind: Kind,
    ascending: bool,
    most: Most,
) -> Result<Vec<Point>, usize> {
    let Some(first) = points.first() else { return Ok(points) };
    let (start, end) = (windows.start(windows.range.start), windows.start(windows.range.end));
    let (from, to) = if ascending { (start, end) } else { (end, start) };
    let at = if from == TIME_MIN { windows.start(first.time) } else { from };
    let reaches = |at: i64| if ascending { at <= to } else { at >= to && to != TIME_MIN };
    let mut filled: Vec<Point> = Vec::new();
    let mut previous: Option<Point> = None;
    let mut steps = windows.steps(at, ascending);
    let mut rest = points.into_iter().peekable();
    loop {
        let Some(at) = steps.next() else { return Ok(filled) };
        let due = match rest.peek() {
            Some(next) if ascending && next.time > at || !ascending && next.time < at => true,
            Some(_) => false,
            None if reaches(at) => true,
            None => return Ok(filled),
        };
        if filled.len() >= most.read {
            return Ok(filled);
        }
        if filled.len() >= most.allowed || is_given_up() {
            return Err(filled.len() + 1);
        }
        if due {
            filled.push(Point::new(at, missing(at, fill, kind, windows.interval, previous.as_ref(), rest.peek())));
        } else if let Some(point) = rest.next() {
            // What is no point (`ends`) is nothing to go by.
            previous = if point.count > 0 { Some(point.clone()) } else { previous };
            filled.push(point);
        }
    }
}

/// What stands in a window without a point.
pub fn missing(
    at: i64,
    fill: Fill,
    kind: Kind,
    interval: i64,
    previous: Option<&Point>,
    next: Option<&Point>,
) -> Value {
    match fill {
        Fill::Null | Fill::None => Value::Null,
        Fill::Value(value) => number(value, kind),
        Fill::Previous => previous.map_or(Value::Null, |previous| previous.value.clone()),
        Fill::Linear => match (previous, next) {
            (Some(previous), Some(next)) => linear(at / interval, previous, next, interval),
            _ => Value::Null,
        },
    }
}

fn linear(at: i64, previous: &Point, next: &Point, interval: i64) -> Value {
    let (from, to) = (previous.time / interval, next.time / interval);
    match (&previous.value, &next.value) {
        (Value::Float(a), Value::Float(b)) => Value::Float(between(at, from, to, *a, *b)),
        (Value::Integer(a), Value::Integer(b)) => {
            let slope = b.wrapping_sub(*a) as f64 / (to - from) as f64;
            Value::Integer(whole(slope * (at - from) as f64 + *a as f64))
        }
        _ => Value::Null,
    }
}

/// The value of a line at a time.
pub fn between(at: i64, from: i64, to: i64, a: f64, b: f64) -> f64 {
    let slope = (b - a) / (to - from) as f64;
    slope * (at - from) as f64 + a
}
