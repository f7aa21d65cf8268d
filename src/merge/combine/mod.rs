//! What groups make of their own points, or their rows one after the other -> what a function makes of all points: without
//! holding them.
//!
//! One row of the table a function that can be put together from parts. `ask` says what the groups of a SELECT are asked; a
//! [`State`] for each window of each series of the answer takes what comes (`evaluate::combined` keeps them). What has no row,
//! and what hangs on which of several equal points is taken (a row's other columns, the first of all points), is made of rows
//! by `evaluate`, which is right about everything and which this is held against (`fuzz`).
//!
//! Sums and means of floats, and stddev, may differ in the last digits: they are added up in another order. Pure.

pub mod ask;
mod best;
mod chosen;
mod distinct;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod spread;
mod stddev;
#[cfg(test)]
mod tests;
mod total;
mod values;

use crate::influxql::Expr;
use crate::influxql::ast::{Call, Cast, VarRef};

use super::evaluate::functions::Args;
use super::evaluate::rows::Point;
use super::results::Value;

/// A function that can be put together.
pub struct Combine {
    /// Of a call of a call, both; behind it the type that it is of, where that matters.
    pub name: &'static str,
    /// What each group is asked to make of its own points; nothing: it is asked for the points.
    pub asked: &'static [&'static str],
    pub when: When,
    pub begin: fn(&Args) -> Box<dyn State>,
    /// How it is put together. Shown nowhere but here.
    pub help: &'static str,
}

/// In which SELECTs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    /// Without LIMIT and OFFSET, by which InfluxDB cuts the points before it takes some.
    Uncut,
    /// With GROUP BY time.
    InWindows,
    /// With GROUP BY time, or beside other calls: alone it shows the time of one of several equal points.
    NotAlone,
}

/// The series that points are of, and the group that has it. A group's series come one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub group: usize,
    /// Each has another number.
    pub series: usize,
}

/// What is known of one window, or of all points where there are none. It has had one of them at least.
pub trait State: Send {
    /// The points that come next are of this series.
    fn begins(&mut self, _: Origin) {}

    /// One point; its value is not null.
    fn point(&mut self, time: i64, value: &Value);

    /// What a group made of its points: a cell for each name in `asked`, the first not null.
    fn partial(&mut self, time: i64, cells: &[&Value]);

    /// As the function gives them, in order of time: `NO_TIME` for the window's.
    fn finish(self: Box<Self>) -> Vec<Point>;

    /// Whether floats may have run over: then they have to be taken in InfluxDB's own order.
    fn runs_over(&self) -> bool {
        false
    }

    /// How much memory it takes beside itself, about.
    fn bytes(&self) -> usize {
        0
    }
}

const fn row(
    name: &'static str,
    asked: &'static [&'static str],
    when: When,
    begin: fn(&Args) -> Box<dyn State>,
    help: &'static str,
) -> Combine {
    Combine { name, asked, when, begin, help }
}

use When::{Always, InWindows, NotAlone, Uncut};

pub const TABLE: &[Combine] = &[
    row("count", &["count"], Always, total::count, "added up"),
    row("sum", &["sum"], Always, total::sum, "added up; integers wrap"),
    row("mean", &["count", "sum"], Always, total::mean, "the sum of sums over the sum of counts"),
    row(
        "mean integer",
        &["count", "mean"],
        Always,
        total::mean_of_integers,
        "of means, weighted: sums of whole numbers may run over",
    ),
    row("min", &["min"], Always, chosen::min, "the smallest; of equal ones the earlier"),
    row("max", &["max"], Always, chosen::max, "the greatest; of equal ones the earlier"),
    row("first", &[], InWindows, chosen::first, "a window hides its time: of points"),
    row("last", &[], InWindows, chosen::last, "a window hides its time: of points"),
    row("spread", &["max", "min"], Always, spread::begin, "the greatest less the smallest"),
    row("stddev", &["count", "mean", "stddev"], Always, stddev::begin, "by Chan's formula"),
    row("top", &["top"], Uncut, best::top, "the best of the groups' best"),
    row("bottom", &["bottom"], Uncut, best::bottom, "the best of the groups' best"),
    row("distinct", &[], Always, distinct::begin, "ordered by when each came first, which groups hide: of points"),
    row("count distinct", &["distinct"], Always, distinct::count, "as many as there are in all"),
    row("median", &[], Always, values::median, "of all values"),
    row("percentile", &[], NotAlone, values::percentile, "of all values"),
];

/// The row of an aggregate, and what it is of. Neither for what is made of points in their order.
pub fn combine(call: &Call) -> Option<(&'static Combine, &VarRef)> {
    let (name, arg) = match call.args.first()? {
        Expr::Call(inner) => (format!("{} {}", call.name, inner.name), inner.args.first()?),
        arg => (call.name.clone(), arg),
    };
    // What top and bottom group by stands for a function of its own.
    let plain = |arg: &&Expr| !matches!(arg, Expr::VarRef(_));
    match arg {
        Expr::VarRef(var) if call.args.iter().skip(1).all(|arg| plain(&arg)) => {
            let whole = matches!(var.cast, Some(Cast::Integer | Cast::Unsigned));
            let name = if name == "mean" && whole { "mean integer" } else { &name };
            TABLE.iter().find(|row| row.name == name).map(|row| (row, var))
        }
        _ => None,
    }
}
