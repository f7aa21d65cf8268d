//! The functions over rows: one row of the table a function, one file for what it does.
//!
//! What a function does to points is InfluxDB's (query/functions.go, query/call_iterator.go), down to which of equal points
//! it takes. What the table has not is refused by name.

mod averages;
mod chande_momentum_oscillator;
mod cumulative_sum;
mod derivative;
mod difference;
pub mod distinct;
mod double_exponential_moving_average;
mod elapsed;
mod exponential_moving_average;
mod holt_winters;
mod integral;
mod kaufmans_adaptive_moving_average;
mod kaufmans_efficiency_ratio;
mod mean;
mod median;
mod mode;
mod moving_average;
mod percentile;
mod relative_strength_index;
mod sample;
mod select;
mod spread;
mod stddev;
mod sum;
mod top;
mod triple_exponential_derivative;
mod triple_exponential_moving_average;

use crate::influxql::Expr;
use crate::influxql::ast::Call;

use super::Kind;
use super::rows::Point;
use super::window::Windows;
use crate::merge::results::Value;

pub use median::halfway;
pub use percentile::{percentile, rank};
pub use select::{compare, compare_first};
pub use sum::{WHOLE_SUM_MAX, minus, plus, whole};
pub use top::{Best, best};

/// One function.
pub struct Function {
    pub name: &'static str,
    /// What it takes.
    pub takes: &'static [Kind],
    pub gives: Gives,
    pub how: How,
    pub hides_order: HidesOrder,
    /// What it says of the points of a group.
    pub help: &'static str,
}

/// The kind of what comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    Same,
    Integer,
    Float,
}

/// When it hides in which order points of one time come: the same comes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HidesOrder {
    Always,
    /// Without windows InfluxDB reads but a few points.
    InWindows,
    /// Of points it shows. Of what another call makes there is one a window.
    OfCalls,
    Never,
}

/// How it goes over the points.
#[derive(Clone, Copy)]
pub enum How {
    /// Of each series, then (the second) of what that gave, once for all series and once more for all measurements.
    Twice(fn(&[Point]) -> Point, fn(&[Point]) -> Point),
    /// The first point of all in time, or the last. In windows like `Twice`.
    End { last: bool, of: fn(&[Point]) -> Point },
    /// Of all points of a window.
    Window(fn(&[Point], &Args) -> Vec<Point>),
    /// The different values of a window.
    Distinct,
    /// Point after point, over windows and all. `reads_before`: with GROUP BY time it reads one interval more.
    Stream { reads_before: bool, begin: fn(&Args) -> Box<dyn Stream> },
    /// top, or bottom.
    Best { greatest: bool },
    /// Of all points, over windows and all; the times are its own. The second tells how many values it will hold.
    Whole(fn(&[Point], &Args) -> Vec<Point>, fn(&[Point], &Args) -> usize),
    /// Some of the points of a window, each at its own time.
    Some(fn(&[Point], &Args) -> Vec<Point>),
}

/// What a stream makes of one point after the other.
pub trait Stream {
    fn push(&mut self, point: &Point) -> Option<Point>;

    /// Nothing more comes.
    fn finish(&mut self) -> Option<Point> {
        None
    }
}

/// What a call says beside its points.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    /// All arguments but the first.
    pub rest: &'a [Expr],
    /// The last argument, where it is a number.
    pub number: f64,
    /// The last argument where it is a duration, in nanoseconds.
    pub unit: Option<i64>,
    pub ascending: bool,
    pub windows: Windows,
}

impl Args<'_> {
    pub fn new(call: &Call, ascending: bool, windows: Windows) -> Args<'_> {
        let (mut number, mut unit) = (0.0, None);
        match call.args.last() {
            Some(Expr::Integer(value)) => number = *value as f64,
            Some(Expr::Float(value)) => number = *value,
            Some(Expr::Duration(value)) => unit = Some(*value),
            _ => {}
        }
        Args { rest: call.args.get(1..).unwrap_or_default(), number, unit, ascending, windows }
    }
}

use Kind::{Boolean, Float, Integer, String as Text, Unsigned};

const NUMBERS: &[Kind] = &[Float, Integer, Unsigned];
const ORDERED: &[Kind] = &[Float, Integer, Unsigned, Boolean];
const ALL: &[Kind] = &[Float, Integer, Unsigned, Text, Boolean];

use HidesOrder::{Always, InWindows, Never, OfCalls};

const fn row(
    name: &'static str,
    takes: &'static [Kind],
    gives: Gives,
    how: How,
    hides_order: HidesOrder,
    help: &'static str,
) -> Function {
    Function { name, takes, gives, how, hides_order, help }
}

const fn stream(reads_before: bool, begin: fn(&Args) -> Box<dyn Stream>) -> How {
    How::Stream { reads_before, begin }
}

pub const FUNCTIONS: &[Function] = &[
    row("count", ALL, Gives::Integer, How::Twice(sum::count, sum::sum), Always, "how many"),
    row("sum", NUMBERS, Gives::Same, How::Twice(sum::sum, sum::sum), Always, "integers wrap"),
    row("mean", NUMBERS, Gives::Float, How::Twice(mean::mean, mean::mean), Always, "of means, weighted"),
    row("min", ORDERED, Gives::Same, How::Twice(select::min, select::min), Always, "of equal ones the earliest"),
    row("max", ORDERED, Gives::Same, How::Twice(select::max, select::max), Always, "of equal ones the earliest"),
    row("first", ALL, Gives::Same, How::End { last: false, of: select::first }, InWindows, "the earliest"),
    row("last", ALL, Gives::Same, How::End { last: true, of: select::last }, InWindows, "the latest"),
    row("spread", NUMBERS, Gives::Same, How::Window(spread::spread), Always, "greatest less smallest"),
    row("stddev", NUMBERS, Gives::Float, How::Window(stddev::stddev), Always, "of a sample; null for one point"),
    row("median", NUMBERS, Gives::Float, How::Window(median::median), Always, "the middle, or between the two"),
    row("mode", ALL, Gives::Same, How::Window(mode::mode), Never, "the most frequent"),
    row("percentile", NUMBERS, Gives::Same, How::Window(percentile), Never, "by nearest rank"),
    row("distinct", ALL, Gives::Same, How::Distinct, Never, "by first occurrence, then value"),
    row("top", NUMBERS, Gives::Same, How::Best { greatest: true }, Never, "the greatest, by time"),
    row("bottom", NUMBERS, Gives::Same, How::Best { greatest: false }, Never, "the smallest, by time"),
    row("integral", NUMBERS, Gives::Float, stream(false, integral::begin), Never, "by the trapezium rule"),
    row("derivative", NUMBERS, Gives::Float, stream(true, derivative::derivative), OfCalls, "change a unit of time"),
    row(
        "non_negative_derivative",
        NUMBERS,
        Gives::Float,
        stream(true, derivative::non_negative),
        OfCalls,
        "without what falls",
    ),
    row("difference", NUMBERS, Gives::Same, stream(true, difference::difference), OfCalls, "change"),
    row(
        "non_negative_difference",
        NUMBERS,
        Gives::Same,
        stream(true, difference::non_negative),
        OfCalls,
        "without what falls",
    ),
    row("moving_average", NUMBERS, Gives::Float, stream(true, moving_average::begin), OfCalls, "of the last so many"),
    row("cumulative_sum", NUMBERS, Gives::Same, stream(false, cumulative_sum::begin), OfCalls, "so far"),
    row("elapsed", ALL, Gives::Integer, stream(true, elapsed::begin), OfCalls, "time since the point before"),
    row("sample", ALL, Gives::Same, How::Some(sample::sample), Never, "so many by chance"),
    row(
        "holt_winters",
        NUMBERS,
        Gives::Float,
        How::Whole(holt_winters::predicted, holt_winters::held),
        Never,
        "predicted",
    ),
    row(
        "holt_winters_with_fit",
        NUMBERS,
        Gives::Float,
        How::Whole(holt_winters::fitted, holt_winters::held),
        Never,
        "fitted and predicted",
    ),
    // From InfluxDB 1.7 on.
    average("exponential_moving_average", exponential_moving_average::begin, "the newer, the weightier"),
    average("double_exponential_moving_average", double_exponential_moving_average::begin, "with less delay"),
    average("triple_exponential_moving_average", triple_exponential_moving_average::begin, "with still less"),
    average("triple_exponential_derivative", triple_exponential_derivative::begin, "change of such, in percent"),
    average("relative_strength_index", relative_strength_index::begin, "rise, of all change"),
    average("chande_momentum_oscillator", chande_momentum_oscillator::begin, "rise less fall, of all change"),
    average("kaufmans_efficiency_ratio", kaufmans_efficiency_ratio::begin, "distance, of the way"),
    average("kaufmans_adaptive_moving_average", kaufmans_adaptive_moving_average::begin, "the straighter, the faster"),
];

const fn average(name: &'static str, begin: fn(&Args) -> Box<dyn Stream>, help: &'static str) -> Function {
    row(name, NUMBERS, Gives::Float, stream(true, begin), Never, help)
}

pub fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

impl Function {
    /// What InfluxDB calls it where a type does not fit.
    pub fn named_in_errors(&self) -> String {
        match self.name {
            "holt_winters" | "holt_winters_with_fit" => "elapsed".to_owned(),
            name => name.trim_start_matches("non_negative_").replace('_', " "),
        }
    }
}

impl Gives {
    pub fn of(self, argument: Kind) -> Kind {
        match self {
            Gives::Same => argument,
            Gives::Integer => Integer,
            Gives::Float => Float,
        }
    }
}

/// Runs a stream over points; what has no value is passed over.
pub fn run(stream: &mut dyn Stream, points: &[Point]) -> Vec<Point> {
    running(stream, points.iter().cloned()).collect()
}

/// The same, point by point.
pub fn running<'a>(
    stream: &'a mut dyn Stream,
    mut points: impl Iterator<Item = Point> + 'a,
) -> impl Iterator<Item = Point> + 'a {
    let mut ended = false;
    std::iter::from_fn(move || {
        while !ended {
            let Some(point) = points.next() else {
                ended = true;
                return stream.finish();
            };
            let made = if point.value == Value::Null { None } else { stream.push(&point) };
            if made.is_some() {
                return made;
            }
        }
        None
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::influxql::range::TimeRange;

    pub fn floats(values: &[(i64, f64)]) -> Vec<Point> {
        values.iter().map(|(time, value)| Point::new(*time, Value::Float(*value))).collect()
    }

    pub fn args(number: f64, unit: Option<i64>) -> Args<'static> {
        let windows = Windows { interval: 0, offset: 0, range: TimeRange::default(), zone: None };
        Args { rest: &[], number, unit, ascending: true, windows }
    }

    #[test]
    fn every_function_is_named_once() {
        for (at, function) in FUNCTIONS.iter().enumerate() {
            assert!(FUNCTIONS[at + 1..].iter().all(|other| other.name != function.name), "{}", function.name);
            assert!(!function.help.is_empty() && !function.takes.is_empty());
        }
    }
}
