//! Rules: which tags, beside the measurement, make the slot key.

use regex::bytes::Regex;

/// One rule. The first that fits a measurement decides; without one the measurement alone makes the key.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `None`: any database.
    pub db: Option<String>,
    pub measurement: MeasurementPattern,
    /// In the order in which their values enter the key; empty: the measurement alone.
    pub tags: Vec<String>,
}

/// What a rule says of the measurement's unescaped name.
#[derive(Clone, Debug)]
pub enum MeasurementPattern {
    Name(String),
    /// Rust's `regex`, unanchored.
    Regex(Regex),
}

impl MeasurementPattern {
    /// Reads `name` or `/regex/`.
    pub fn parse(text: &str) -> Result<MeasurementPattern, String> {
        match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            Some(pattern) => match Regex::new(pattern) {
                Ok(regex) => Ok(MeasurementPattern::Regex(regex)),
                Err(error) => Err(format!("bad regex {text}: {error}")),
            },
            None if text.is_empty() => Err("an empty measurement".to_owned()),
            None => Ok(MeasurementPattern::Name(text.to_owned())),
        }
    }

    fn fits(&self, measurement: &[u8]) -> bool {
        match self {
            MeasurementPattern::Name(name) => name.as_bytes() == measurement,
            MeasurementPattern::Regex(regex) => regex.is_match(measurement),
        }
    }
}

impl Rule {
    pub fn covers(&self, db: &str) -> bool {
        self.db.as_deref().is_none_or(|own| own == db)
    }

    pub fn fits(&self, db: &str, measurement: &[u8]) -> bool {
        self.covers(db) && self.measurement.fits(measurement)
    }
}
