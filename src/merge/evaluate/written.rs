//! SELECT INTO: what top() and bottom() name as tags are tags of what is written, not columns.

use crate::influxql::Expr;
use crate::influxql::ast::Call;
use crate::merge::results::{Series, Value};

use super::Evaluation;
use super::rows::{Point, Rows};

impl Evaluation {
    /// The tags that a point keeps, those of GROUP BY too: keys and values in turn: cells that stand behind the columns.
    pub(super) fn kept_tags(&self, point: Option<&Point>, members: &[&Rows]) -> Vec<Value> {
        let Some(call) = self.keeping_call() else { return Vec::new() };
        let Some(rows) = point.and_then(|point| point.row).map(|at| members[at.series as usize]) else {
            return Vec::new();
        };
        let is_in_call =
            |key: &str| call.args.iter().skip(1).any(|arg| matches!(arg, Expr::VarRef(var) if var.name == key));
        let kept = rows.tags.iter().filter(|(key, _)| is_in_call(key) || self.dimensions.contains(key));
        kept.flat_map(|(key, value)| [Value::from(key.as_str()), Value::from(value.as_str())]).collect()
    }

    /// A series of the answer as it is written: as many series as its points have tags.
    pub fn written(&self, series: Series) -> Vec<Series> {
        if self.keeping_call().is_none() {
            return vec![series];
        }
        let mut found: Vec<Series> = Vec::new();
        for mut row in series.values {
            let texts: Vec<String> = row.drain(self.columns.len()..).filter_map(into_text).collect();
            let tags: Vec<(String, String)> =
                texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
            match found.last_mut().filter(|last| last.tags == tags) {
                Some(last) => last.values.push(row),
                None => {
                    let (name, columns) = (series.name.clone(), series.columns.clone());
                    found.push(Series { name, tags, columns, values: vec![row], partial: false });
                }
            }
        }
        found
    }

    /// One without tags keeps those of GROUP BY alone, which the series has.
    fn keeping_call(&self) -> Option<&Call> {
        let tagged = |call: &Call| call.args.iter().skip(1).any(|arg| matches!(arg, Expr::VarRef(_)));
        let keeps = |call: &&Call| matches!(call.name.as_str(), "top" | "bottom") && tagged(call);
        self.calls.iter().find(keeps).filter(|_| self.writes)
    }
}

fn into_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}
