//! MATH: arithmetic over the results of a request's earlier statements. InfluxDB has no such statement.

use std::fmt;

use crate::influxql::text::quote_ident;

/// `MATH name="x" expr="$0 / $1" keep="0,1"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Math {
    /// Of the series and of its column.
    pub name: String,
    /// In which `$0` is what the request's first statement answered.
    pub expr: String,
    /// Statements that are answered all the same, though the expression names them.
    pub keep: Vec<usize>,
}

impl fmt::Display for Math {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MATH name={} expr={}", quote_ident(&self.name), quote_ident(&self.expr))?;
        if self.keep.is_empty() {
            return Ok(());
        }
        let keep: Vec<String> = self.keep.iter().map(usize::to_string).collect();
        write!(f, " keep=\"{}\"", keep.join(","))
    }
}
