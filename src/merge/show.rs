//! SHOW MEASUREMENTS, SERIES, TAG KEYS, TAG VALUES and FIELD KEYS over several groups: per measurement the union of the
//! rows, sorted, each once.

use std::collections::BTreeMap;

use super::results::{Answer, Series, StatementResult, Value};

/// Merges the groups' answers to one statement. The first error is the answer: what only one group says of a statement
/// that went to all is still true of the whole.
pub fn merge(partials: Vec<Answer>) -> Answer {
    if let Some(error) = partials.iter().find_map(|partial| partial.error.clone()) {
        return Answer { results: Vec::new(), error: Some(error) };
    }
    let mut merged = StatementResult::default();
    let mut by_name: BTreeMap<String, Series> = BTreeMap::new();
    for result in partials.into_iter().flat_map(|partial| partial.results) {
        for series in result.series {
            let Series { name, columns, values, .. } = series;
            let whole = by_name.entry(name.clone()).or_insert_with(|| Series { name, columns, ..Series::default() });
            whole.values.extend(values);
        }
        for message in result.messages {
            if !merged.messages.contains(&message) {
                merged.messages.push(message);
            }
        }
        merged.error = merged.error.or(result.error);
    }
    if merged.error.is_none() {
        merged.series = by_name.into_values().map(sorted).collect();
    }
    Answer { results: vec![merged], error: None }
}

fn sorted(mut series: Series) -> Series {
    let types = series.columns.iter().position(|column| column == "fieldType");
    let key = |row: &Vec<Value>| -> Vec<(usize, String)> {
        let cell = |(at, value): (usize, &Value)| {
            let text = value.as_str().map_or_else(|| format!("{value:?}"), str::to_owned);
            (if Some(at) == types { type_rank(&text) } else { 0 }, text)
        };
        row.iter().enumerate().map(cell).collect()
    };
    series.values.sort_by_cached_key(key);
    series.values.dedup();
    series
}

/// InfluxDB's order of field types.
fn type_rank(name: &str) -> usize {
    ["float", "integer", "unsigned", "string", "boolean"].iter().position(|known| *known == name).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::results::parse;
    use super::*;
    use crate::merge::format::{Format, Printer, Times};

    fn merged(partials: &[&str]) -> String {
        let partials = partials.iter().map(|text| parse(text.as_bytes()).expect("the test writes JSON")).collect();
        let mut out = Vec::new();
        Printer::new(Format::Json { pretty: false }, Times::Rfc3339).print(&merge(partials), &mut out);
        String::from_utf8(out).expect("JSON is text").trim_end().to_owned()
    }

    #[test]
    fn rows_are_sorted_and_told_once() {
        let first = r#"{"results":[{"statement_id":0,"series":[{"name":"measurements","columns":["name"],"values":[["b"],["d"]]}]}]}"#;
        let second = r#"{"results":[{"statement_id":0,"series":[{"name":"measurements","columns":["name"],"values":[["a"],["d"]]}]}]}"#;
        let want = r#"{"results":[{"statement_id":0,"series":[{"name":"measurements","columns":["name"],"values":[["a"],["b"],["d"]]}]}]}"#;
        assert_eq!(merged(&[first, second]), want);
        assert_eq!(merged(&[r#"{"results":[{"statement_id":0}]}"#, first]), first);
    }

    #[test]
    fn field_keys_stay_in_their_measurements() {
        let first = r#"{"results":[{"statement_id":0,"series":[{"name":"z","columns":["fieldKey","fieldType"],"values":[["v","string"]]}]}]}"#;
        let second = r#"{"results":[{"statement_id":0,"series":[{"name":"m","columns":["fieldKey","fieldType"],"values":[["a","float"]]},
            {"name":"z","columns":["fieldKey","fieldType"],"values":[["v","float"],["u","integer"]]}]}]}"#;
        let answer = merged(&[first, second]);
        assert!(
            answer.contains(r#"{"name":"m","columns":["fieldKey","fieldType"],"values":[["a","float"]]},{"name":"z""#)
        );
        assert!(answer.contains(r#"[["u","integer"],["v","float"],["v","string"]]"#));
    }

    #[test]
    fn an_error_is_the_answer() {
        let error = r#"{"results":[{"statement_id":0,"error":"database name required"}]}"#;
        assert_eq!(merged(&[error, r#"{"results":[{"statement_id":0}]}"#]), error);
    }
}
