//! The SHOW statements that take clauses.

use std::fmt;

use super::{Expr, Measurement, MeasurementName, SortOrder, write_clause, write_limits, write_opt};
use crate::influxql::text::{quote_ident, quote_regex};

/// The clauses of SHOW SERIES, TAG KEYS, TAG VALUES and FIELD KEYS. FIELD KEYS takes no condition,
/// and only TAG KEYS takes `slimit` and `soffset`: the others leave them empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listing {
    pub database: Option<String>,
    pub sources: Vec<Measurement>,
    pub condition: Option<Expr>,
    pub order: Option<SortOrder>,
    /// 0: no limit, here and below.
    pub limit: u64,
    pub offset: u64,
    pub slimit: u64,
    pub soffset: u64,
}

/// `SHOW MEASUREMENTS [ON db[.rp]] [WITH MEASUREMENT = m] …`; only 1.8 takes a retention policy
/// or a `*` after ON.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShowMeasurements {
    pub database: Option<NameOrAll>,
    pub retention_policy: Option<NameOrAll>,
    pub with: Option<Measurement>,
    pub condition: Option<Expr>,
    pub order: Option<SortOrder>,
    pub limit: u64,
    pub offset: u64,
}

/// A name, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameOrAll {
    Name(String),
    All,
}

/// `SHOW … [EXACT] CARDINALITY …`.
#[derive(Debug, Clone, PartialEq)]
pub struct ShowCardinality {
    pub of: CardinalityOf,
    pub exact: bool,
    pub database: Option<String>,
    pub sources: Vec<Measurement>,
    pub condition: Option<Expr>,
    pub group_by: Vec<Expr>,
    pub limit: u64,
    pub offset: u64,
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardinalityOf {
    Measurements,
    Series,
    TagKeys,
    TagValues(TagKeys),
    FieldKeys,
}

/// `WITH KEY …`: the tags whose values are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagKeys {
    Equal(String),
    NotEqual(String),
    Match(String),
    NotMatch(String),
    In(Vec<String>),
}

impl Listing {
    /// SHOW TAG VALUES, whose WITH KEY stands in the middle of the clauses.
    pub(super) fn fmt_tag_values(&self, f: &mut fmt::Formatter<'_>, keys: &TagKeys) -> fmt::Result {
        f.write_str("SHOW TAG VALUES")?;
        self.fmt_clauses(f, Some(keys))
    }

    fn fmt_clauses(&self, f: &mut fmt::Formatter<'_>, keys: Option<&TagKeys>) -> fmt::Result {
        write_opt(f, " ON ", self.database.as_deref().map(quote_ident))?;
        write_clause(f, " FROM ", &self.sources)?;
        write_opt(f, " WITH KEY ", keys)?;
        write_opt(f, " WHERE ", self.condition.as_ref())?;
        write_opt(f, " ", self.order)?;
        write_limits(f, &[("LIMIT", self.limit), ("OFFSET", self.offset)])?;
        write_limits(f, &[("SLIMIT", self.slimit), ("SOFFSET", self.soffset)])
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_clauses(f, None)
    }
}

impl fmt::Display for ShowMeasurements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW MEASUREMENTS")?;
        write_opt(f, " ON ", self.database.as_ref())?;
        write_opt(f, ".", self.retention_policy.as_ref())?;
        if let Some(with) = &self.with {
            let op = match with.name {
                MeasurementName::Name(_) | MeasurementName::Also(_) => "=",
                MeasurementName::Regex(_) => "=~",
            };
            write!(f, " WITH MEASUREMENT {op} {with}")?;
        }
        write_opt(f, " WHERE ", self.condition.as_ref())?;
        write_opt(f, " ", self.order)?;
        write_limits(f, &[("LIMIT", self.limit), ("OFFSET", self.offset)])
    }
}

impl fmt::Display for NameOrAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameOrAll::Name(name) => f.write_str(&quote_ident(name)),
            NameOrAll::All => f.write_str("*"),
        }
    }
}

impl fmt::Display for ShowCardinality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (of, keys) = match &self.of {
            CardinalityOf::Measurements => ("MEASUREMENT", None),
            CardinalityOf::Series => ("SERIES", None),
            CardinalityOf::TagKeys => ("TAG KEY", None),
            CardinalityOf::TagValues(keys) => ("TAG VALUES", Some(keys)),
            CardinalityOf::FieldKeys => ("FIELD KEY", None),
        };
        write!(f, "SHOW {of}{} CARDINALITY", if self.exact { " EXACT" } else { "" })?;
        write_opt(f, " ON ", self.database.as_deref().map(quote_ident))?;
        write_clause(f, " FROM ", &self.sources)?;
        write_opt(f, " WITH KEY ", keys)?;
        write_opt(f, " WHERE ", self.condition.as_ref())?;
        write_clause(f, " GROUP BY ", &self.group_by)?;
        write_limits(f, &[("LIMIT", self.limit), ("OFFSET", self.offset)])
    }
}

impl fmt::Display for TagKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TagKeys::Equal(key) => write!(f, "= {}", quote_ident(key)),
            TagKeys::NotEqual(key) => write!(f, "!= {}", quote_ident(key)),
            TagKeys::Match(regex) => write!(f, "=~ {}", quote_regex(regex)),
            TagKeys::NotMatch(regex) => write!(f, "!~ {}", quote_regex(regex)),
            TagKeys::In(keys) => {
                let keys: Vec<_> = keys.iter().map(|key| quote_ident(key)).collect();
                write!(f, "IN ({})", keys.join(", "))
            }
        }
    }
}
