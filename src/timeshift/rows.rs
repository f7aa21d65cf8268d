//! A shifted SELECT that no SELECT over another time can tell: its windows are of a zone whose clocks change. The rows of
//! that other time are asked for, their times moved, and the SELECT is evaluated over them as it stands.

use crate::influxql::ast::{Field, Source, VarRef};
use crate::influxql::{Expr, Measurement, Select};
use crate::merge::evaluate::rows::Rows;
use crate::merge::evaluate::{Evaluation, Stop};
use crate::merge::results::Series;
use crate::plan::columns::{Schema, widen};
use crate::plan::gather::Gathering;
use crate::plan::sources::time_terms;

use super::moved::{Moved, moved};
use super::work::Part;

/// A SELECT over rows that lie `by` away.
#[derive(Clone, Debug, PartialEq)]
pub struct ByRows {
    pub select: Select,
    pub by: i64,
}

/// A SELECT that is ready for its rows.
pub struct Ready {
    evaluation: Evaluation,
    /// What asks for the rows; `None`: there is no field, and no answer.
    pub part: Option<Part>,
}

impl ByRows {
    /// A SELECT for everything there is at that time: its EXPLAIN tells the schema.
    ///
    /// # Errors
    /// A time that cannot be read here.
    pub fn everything(&self) -> Result<Select, String> {
        let all = Field { expr: Expr::Wildcard(None), alias: None };
        let time = moved(
            &Select {
                condition: self.select.condition.clone(),
                timezone: self.select.timezone.clone(),
                ..Select::default()
            },
            self.by,
        )?;
        let condition = time.condition.as_ref().and_then(|condition| {
            let terms: Vec<_> = time_terms(condition).into_iter().cloned().collect();
            (!terms.is_empty()).then_some(Expr::And(terms))
        });
        Ok(Select { fields: vec![all], sources: self.select.sources.clone(), condition, ..Select::default() })
    }

    /// The measurements, to ask for their tags.
    pub fn measurements(&self) -> impl Iterator<Item = &Measurement> {
        self.select.sources.iter().filter_map(|source| match source {
            Source::Measurement(measurement) => Some(measurement),
            Source::Subquery(_) => None,
        })
    }

    /// # Errors
    /// What stands in the way.
    pub fn ready(&self, schema: &Schema, rows_max: usize) -> Result<Ready, Stop> {
        let mut select = self.select.clone();
        widen(&mut select, schema).map_err(Stop::Refused)?;
        let evaluation = Evaluation::new(&select, rows_max, false)?;
        let part = match evaluation.fields.is_empty() {
            true => None,
            false => Some(self.part(&select, &evaluation.fields).map_err(Stop::Refused)?),
        };
        Ok(Ready { evaluation, part })
    }

    fn part(&self, select: &Select, fields: &[VarRef]) -> Result<Part, String> {
        let sources = vec![(0, select.sources.clone())];
        let gathering = Gathering { select: select.clone(), sources, split: String::new() };
        let rows = gathering.rows(fields)?.into_iter().map(|(_, rows)| rows).next();
        let rows = rows.ok_or("there is nothing to ask for")?;
        Ok(Part { select: moved(&rows, self.by)?, moved: Moved { by: self.by, zero_stays: false } })
    }
}

impl Ready {
    /// The answer, of rows whose times are moved.
    ///
    /// # Errors
    /// The rows are not what was asked for, or there are too many.
    pub fn answer(&self, given: Vec<Series>) -> Result<Vec<Series>, Stop> {
        let mut rows = Vec::new();
        for Series { name, tags, values, .. } in given {
            let mut own = Rows::new(name, tags);
            own.extend(values, self.evaluation.fields.len()).map_err(Stop::Refused)?;
            rows.push(own);
        }
        self.evaluation.answer(&rows)
    }
}
