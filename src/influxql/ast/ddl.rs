//! Statements that make, change and remove databases, policies, queries, subscriptions, series.

use std::fmt;

use super::{Expr, Measurement, Select, write_clause, write_opt};
use crate::influxql::text::{format_duration, quote_ident, quote_string};

/// What a retention policy may be given; durations in nanoseconds, 0 being for ever.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetentionSpec {
    pub duration: Option<i64>,
    pub replication: Option<u32>,
    pub shard_duration: Option<i64>,
}

/// `CREATE DATABASE name [WITH …]`; the policy is the database's default one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateDatabase {
    pub name: String,
    pub policy: RetentionSpec,
    pub policy_name: Option<String>,
}

/// `CREATE RETENTION POLICY name ON db DURATION … REPLICATION … [SHARD DURATION …] [DEFAULT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRetentionPolicy {
    pub name: String,
    pub database: String,
    /// Nanoseconds, 0 being for ever.
    pub duration: i64,
    pub replication: u32,
    pub shard_duration: Option<i64>,
    pub default: bool,
}

/// `ALTER RETENTION POLICY name ON db …` with at least one option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterRetentionPolicy {
    pub name: String,
    pub database: String,
    pub change: RetentionSpec,
    pub default: bool,
}

/// `CREATE CONTINUOUS QUERY name ON db [RESAMPLE …] BEGIN select END`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateContinuousQuery {
    pub name: String,
    pub database: String,
    /// Nanoseconds, not 0.
    pub resample_every: Option<i64>,
    /// Nanoseconds, not 0.
    pub resample_for: Option<i64>,
    pub select: Box<Select>,
}

/// `CREATE SUBSCRIPTION name ON db.rp DESTINATIONS ALL 'url', …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateSubscription {
    pub name: String,
    pub database: String,
    pub retention_policy: String,
    pub delivery: Delivery,
    pub destinations: Vec<String>,
}

/// Which destinations of a subscription get a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    All,
    Any,
}

/// The series that DELETE and DROP SERIES are about: at least one of the two clauses. InfluxDB
/// allows neither a database nor a retention policy in these sources.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesFilter {
    pub sources: Vec<Measurement>,
    pub condition: Option<Expr>,
}

/// The options, each with a space before it.
impl fmt::Display for RetentionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_opt(f, " DURATION ", self.duration.map(format_duration))?;
        write_opt(f, " REPLICATION ", self.replication)?;
        write_opt(f, " SHARD DURATION ", self.shard_duration.map(format_duration))
    }
}

impl fmt::Display for CreateDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE DATABASE {}", quote_ident(&self.name))?;
        if self.policy != RetentionSpec::default() || self.policy_name.is_some() {
            write!(f, " WITH{}", self.policy)?;
        }
        write_opt(f, " NAME ", self.policy_name.as_deref().map(quote_ident))
    }
}

impl fmt::Display for CreateRetentionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote_ident(&self.name), quote_ident(&self.database));
        let duration = format_duration(self.duration);
        write!(f, "CREATE RETENTION POLICY {name} ON {database} DURATION {duration}")?;
        write!(f, " REPLICATION {}", self.replication)?;
        write_opt(f, " SHARD DURATION ", self.shard_duration.map(format_duration))?;
        f.write_str(if self.default { " DEFAULT" } else { "" })
    }
}

impl fmt::Display for AlterRetentionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote_ident(&self.name), quote_ident(&self.database));
        write!(f, "ALTER RETENTION POLICY {name} ON {database}{}", self.change)?;
        f.write_str(if self.default { " DEFAULT" } else { "" })
    }
}

impl fmt::Display for CreateContinuousQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote_ident(&self.name), quote_ident(&self.database));
        write!(f, "CREATE CONTINUOUS QUERY {name} ON {database}")?;
        if self.resample_every.is_some() || self.resample_for.is_some() {
            f.write_str(" RESAMPLE")?;
        }
        write_opt(f, " EVERY ", self.resample_every.map(format_duration))?;
        write_opt(f, " FOR ", self.resample_for.map(format_duration))?;
        write!(f, " BEGIN {} END", self.select)
    }
}

impl fmt::Display for CreateSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote_ident(&self.name), quote_ident(&self.database));
        let policy = quote_ident(&self.retention_policy);
        write!(f, "CREATE SUBSCRIPTION {name} ON {database}.{policy} DESTINATIONS ")?;
        f.write_str(match self.delivery {
            Delivery::All => "ALL ",
            Delivery::Any => "ANY ",
        })?;
        let urls: Vec<_> = self.destinations.iter().map(|url| quote_string(url)).collect();
        f.write_str(&urls.join(", "))
    }
}

impl fmt::Display for SeriesFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_clause(f, " FROM ", &self.sources)?;
        write_opt(f, " WHERE ", self.condition.as_ref())
    }
}
