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
pub use top::{Best, best, is_best, tags_of_best};

/// One function.
pub struct Function {
    pub name: &'static str,
    /// What it takes.
    pub takes: &'static [Kind],
    pub gives: Gives,
    pub how: How,
    pub hides_order: HidesOrder,
    /// It takes one of the points, as those of an end, the best and some do anyhow.
    selects: bool,
    /// Of each window that has points it makes one with a value, as those of an end and all that work twice do anyhow.
    always: bool,
    /// InfluxDB looks for storage shards an interval before the range, though it does not read there.
    maps_before: bool,
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
    Function { name, takes, gives, how, hides_order, selects: false, always: false, maps_before: false, help }
}

const fn stream(reads_before: bool, begin: fn(&Args) -> Box<dyn Stream>) -> How {
    How::Stream { reads_before, begin }
}

pub const FUNCTIONS: &[Function] = &[
    row("count", ALL, Gives::Integer, How::Twice(sum::count, sum::sum), Always, "how many"),
    row("sum", NUMBERS, Gives::Same, How::Twice(sum::sum, sum::sum), Always, "integers wrap"),
    row("mean", NUMBERS, Gives::Float, How::Twice(mean::mean, mean::mean), Always, "of means, weighted"),
    row("min", ORDERED, Gives::Same, How::Twice(select::min, select::min), Always, "of equal ones the earliest")
        .selecting(),
    row("max", ORDERED, Gives::Same, How::Twice(select::max, select::max), Always, "of equal ones the earliest")
        .selecting(),
    row("first", ALL, Gives::Same, How::End { last: false, of: select::first }, InWindows, "the earliest"),
    row("last", ALL, Gives::Same, How::End { last: true, of: select::last }, InWindows, "the latest"),
    row("spread", NUMBERS, Gives::Same, How::Window(spread::spread), Always, "greatest less smallest").always(),
    row("stddev", NUMBERS, Gives::Float, How::Window(stddev::stddev), Always, "of a sample; null for one point"),
    row("median", NUMBERS, Gives::Float, How::Window(median::median), Always, "the middle, or between the two")
        .always(),
    row("mode", ALL, Gives::Same, How::Window(mode::mode), Never, "the most frequent"),
    row("percentile", NUMBERS, Gives::Same, How::Window(percentile), Never, "by nearest rank").selecting(),
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
    row("cumulative_sum", NUMBERS, Gives::Same, stream(false, cumulative_sum::begin), OfCalls, "so far")
        .mapping_before(),
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
    const fn selecting(self) -> Function {
        Function { selects: true, ..self }
    }

    const fn always(self) -> Function {
        Function { always: true, ..self }
    }

    const fn mapping_before(self) -> Function {
        Function { maps_before: true, ..self }
    }

    /// Whether it makes one of the points: alone and without windows at that one's time.
    pub fn takes_one(&self) -> bool {
        self.selects || matches!(self.how, How::End { .. })
    }

    /// Whether it makes one of the points, or some: alone it may stand beside other columns.
    pub fn selects(&self) -> bool {
        self.takes_one() || matches!(self.how, How::Best { .. } | How::Some(_))
    }

    /// Whether it makes one point of each window that has any, never one without a value.
    pub fn makes_one(&self) -> bool {
        self.always || matches!(self.how, How::Twice(..) | How::End { .. })
    }

    /// Whether InfluxDB makes its points of each source and then of all of these, which must be of the first one's type.
    pub fn joins_one_type(&self) -> bool {
        self.gives == Gives::Same && matches!(self.how, How::Twice(..) | How::End { .. })
    }

    /// What InfluxDB calls it where a type does not fit.
    pub fn named_in_errors(&self) -> String {
        match self.name {
            "holt_winters" | "holt_winters_with_fit" => "elapsed".to_owned(),
            name => name.trim_start_matches("non_negative_").replace('_', " "),
        }
    }
}

/// How many intervals of GROUP BY time before the range InfluxDB looks for storage shards: one for what looks at the window
/// before, for averages as many as they are of.
pub fn intervals_before(expr: &Expr) -> i64 {
    match expr {
        Expr::Call(Call { name, args }) => {
            let own = match (function(name).map(|function| (function.how, function.maps_before)), args.get(1)) {
                (Some((How::Stream { reads_before: true, .. }, _)), Some(Expr::Integer(values))) => *values,
                (Some((How::Stream { reads_before: true, .. }, _) | (_, true)), _) => 1,
                _ => 0,
            };
            args.iter().map(intervals_before).fold(own, i64::max)
        }
        Expr::Binary { lhs, rhs, .. } => intervals_before(lhs).max(intervals_before(rhs)),
        Expr::Paren(inner) => intervals_before(inner),
        _ => 0,
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
    use crate::influxql::{Params, Statement, parse_query};

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

    /// As influxd 1.6.7 has it: with so many less there is no answer once the range begins at the first time.
    #[test]
    fn what_looks_back_is_told_by_its_calls() {
        for (columns, intervals) in [
            ("mean(v)", 0),
            ("integral(v), holt_winters(mean(v), 3, 0)", 0),
            ("2 * derivative(mean(v), 10s) - mean(v)", 1),
            ("cumulative_sum(count(v))", 1),
            ("difference(difference(mean(v)))", 1),
            ("moving_average(difference(mean(v)), 3)", 3),
            ("elapsed(v, 1s) + moving_average(v, 4)", 4),
            ("exponential_moving_average(mean(v), 2, 5)", 2),
        ] {
            let query = parse_query(&format!("SELECT {columns} FROM m"), &Params::new()).expect("it reads");
            let Statement::Select(select) = &query.statements[0] else { panic!("a SELECT") };
            let seen = select.fields.iter().map(|field| intervals_before(&field.expr)).max();
            assert_eq!(seen, Some(intervals), "{columns}");
        }
    }

    /// What statements ask of functions beside what these do to points.
    #[test]
    fn functions_tell_what_they_make() {
        let names = |tells: fn(&Function) -> bool| -> Vec<&str> {
            FUNCTIONS.iter().filter(|function| tells(function)).map(|function| function.name).collect()
        };
        let one = ["min", "max", "first", "last", "percentile"];
        assert_eq!(names(Function::takes_one), one);
        assert_eq!(names(Function::selects), [&one[..], &["top", "bottom", "sample"]].concat());
        let always = ["count", "sum", "mean", "min", "max", "first", "last", "spread", "median"];
        assert_eq!(names(Function::makes_one), always);
        assert_eq!(names(Function::joins_one_type), ["sum", "min", "max", "first", "last"]);
    }
}
