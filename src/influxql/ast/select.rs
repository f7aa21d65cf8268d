//! SELECT and its parts: fields, target, sources, fill, order.

use std::fmt;

use super::{Expr, Shift, write_clause, write_limits, write_opt};
use crate::influxql::text::{format_float_short, is_printable, quote_ident, quote_regex, quote_string, regex_of};

/// `SELECT … [INTO …] FROM … [WHERE …] [GROUP BY …] [fill(…)] [ORDER BY …] [LIMIT …] …`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Select {
    pub fields: Vec<Field>,
    /// InfluxDB takes an INTO inside a subquery too, and ignores it.
    pub into: Option<Target>,
    pub sources: Vec<Source>,
    pub condition: Option<Expr>,
    /// Tags, wildcards, regular expressions and `time(interval, offset)` calls.
    pub group_by: Vec<Expr>,
    pub fill: Fill,
    pub order: Option<SortOrder>,
    /// Rows a series; 0: no limit, here and below.
    pub limit: u64,
    pub offset: u64,
    /// Series.
    pub slimit: u64,
    pub soffset: u64,
    /// The name in `tz('…')`. Whether such a zone exists only a backend can tell.
    pub timezone: Option<String>,
    /// TIMESHIFT, which is slotline's own: no replica may see it.
    pub timeshift: Vec<Shift>,
}

/// One selected column.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub expr: Expr,
    pub alias: Option<String>,
}

/// Where SELECT INTO writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub database: Option<String>,
    pub retention_policy: Option<String>,
    /// `None` is `:MEASUREMENT`: the name of the measurement that a series comes from.
    pub name: Option<String>,
}

/// What SELECT reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    Measurement(Measurement),
    Subquery(Box<Select>),
}

/// A measurement, or all whose names match; missing parts are the request's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    pub database: Option<String>,
    pub retention_policy: Option<String>,
    pub name: MeasurementName,
}

/// The last part of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeasurementName {
    Name(String),
    /// A name that a regular expression stands for which the source before stands for too. It is never read, but written in the
    /// expression's place.
    Also(String),
    Regex(String),
}

impl MeasurementName {
    /// The name, or the regular expression.
    pub fn text(&self) -> &str {
        match self {
            MeasurementName::Name(text) | MeasurementName::Also(text) | MeasurementName::Regex(text) => text,
        }
    }
}

/// What stands for a window without points.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Fill {
    /// Also when there is no `fill()`.
    #[default]
    Null,
    None,
    Previous,
    Linear,
    Value(FillValue),
}

/// The number of `fill(number)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FillValue {
    Integer(i64),
    Float(f64),
}

/// ORDER BY time, the only order that InfluxDB has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortOrder {
    Ascending,
    Descending,
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_clause(f, "SELECT ", &self.fields)?;
        write_opt(f, " INTO ", self.into.as_ref())?;
        write_clause(f, " FROM ", &self.sources)?;
        write_opt(f, " WHERE ", self.condition.as_ref())?;
        write_clause(f, " GROUP BY ", &self.group_by)?;
        self.fill.fmt(f)?;
        write_opt(f, " ", self.order)?;
        write_limits(f, &[("LIMIT", self.limit), ("OFFSET", self.offset)])?;
        write_limits(f, &[("SLIMIT", self.slimit), ("SOFFSET", self.soffset)])?;
        if let Some(zone) = &self.timezone {
            write!(f, " TZ({})", quote_string(zone))?;
        }
        write_clause(f, " TIMESHIFT ", &self.timeshift)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)?;
        write_opt(f, " AS ", self.alias.as_deref().map(quote_ident))
    }
}

fn write_prefix(
    f: &mut fmt::Formatter<'_>,
    database: Option<&String>,
    retention_policy: Option<&String>,
) -> fmt::Result {
    if let Some(database) = database {
        write!(f, "{}.", quote_ident(database))?;
    }
    match retention_policy {
        Some(policy) => write!(f, "{}.", quote_ident(policy)),
        None if database.is_some() => f.write_str("."),
        None => Ok(()),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_prefix(f, self.database.as_ref(), self.retention_policy.as_ref())?;
        match &self.name {
            Some(name) => f.write_str(&quote_ident(name)),
            // `:MEASUREMENT` can't stand alone; an empty name means the same.
            None if self.database.is_none() && self.retention_policy.is_none() => f.write_str("\"\""),
            None => f.write_str(":MEASUREMENT"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Measurement(measurement) => measurement.fmt(f),
            Source::Subquery(select) => write!(f, "({select})"),
        }
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_prefix(f, self.database.as_ref(), self.retention_policy.as_ref())?;
        self.name.fmt(f)
    }
}

/// What no identifier can say is printed as a regular expression that means it alone.
impl fmt::Display for MeasurementName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MeasurementName::Name(name) | MeasurementName::Also(name) if !is_printable(name) => {
                f.write_str(&quote_regex(&regex_of([name.as_str()])))
            }
            MeasurementName::Name(name) | MeasurementName::Also(name) => f.write_str(&quote_ident(name)),
            MeasurementName::Regex(regex) => f.write_str(&quote_regex(regex)),
        }
    }
}

/// Nothing for [`Fill::Null`], else with a space before it.
impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fill::Null => Ok(()),
            Fill::None => f.write_str(" fill(none)"),
            Fill::Previous => f.write_str(" fill(previous)"),
            Fill::Linear => f.write_str(" fill(linear)"),
            Fill::Value(FillValue::Integer(v)) => write!(f, " fill({v})"),
            Fill::Value(FillValue::Float(v)) => write!(f, " fill({})", format_float_short(*v)),
        }
    }
}

impl fmt::Display for SortOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SortOrder::Ascending => "ORDER BY time ASC",
            SortOrder::Descending => "ORDER BY time DESC",
        })
    }
}
