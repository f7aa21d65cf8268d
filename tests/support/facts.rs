//! What a server holds, in a form that two servers can be compared in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::client::Http;

/// A series: measurement, and tags that are set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    pub measurement: String,
    pub tags: BTreeMap<String, String>,
}

impl Series {
    pub fn tag(&self, name: &str) -> &str {
        self.tags.get(name).map_or("", String::as_str)
    }
}

/// Values by series, each as `time field=value`.
pub type Facts = BTreeMap<Series, BTreeSet<String>>;

/// Everything that a server stores in `db` under its default retention policy.
#[track_caller]
pub fn facts(http: Http, db: &str) -> Facts {
    read_all(http, db, "SELECT * FROM /.*/ GROUP BY *")
}

/// The rows of a SELECT, grouped by all tags, as facts.
#[track_caller]
pub fn read_all(http: Http, db: &str, q: &str) -> Facts {
    let answer = http.get_query(&[("db", db), ("epoch", "ns"), ("q", q)]);
    let json = answer.json();
    assert!(!answer.text().contains("\"error\""), "`{q}` on {} failed: {answer:?}", http.addr);
    let mut facts = Facts::new();
    for series in json["results"][0]["series"].as_array().into_iter().flatten() {
        let points = facts.entry(series_of(series)).or_default();
        let columns = series["columns"].as_array().expect("series have columns");
        for row in series["values"].as_array().expect("series have values") {
            for (column, value) in columns.iter().zip(row.as_array().expect("rows are lists")) {
                if column != "time" && !value.is_null() {
                    let column = column.as_str().expect("columns are names");
                    points.insert(format!("{} {column}={value}", row[0]));
                }
            }
        }
    }
    facts
}

fn series_of(series: &Value) -> Series {
    let tags = series["tags"].as_object().into_iter().flatten();
    Series {
        measurement: series["name"].as_str().expect("series have names").to_owned(),
        tags: tags
            .map(|(name, value)| (name.clone(), value.as_str().expect("tags are texts").to_owned()))
            .filter(|(_, value)| !value.is_empty())
            .collect(),
    }
}

/// Panics with what is missing; more may be there.
#[track_caller]
pub fn assert_holds_all(who: &str, seen: &Facts, expected: &Facts) {
    let shared = |series: &Series| -> BTreeSet<String> {
        let (has, should) = (seen.get(series), &expected[series]);
        has.map(|has| has.intersection(should).cloned().collect()).unwrap_or_default()
    };
    let there: Facts = expected.keys().map(|series| (series.clone(), shared(series))).collect();
    assert_same(who, &there, expected);
}

/// Panics with the differences only.
#[track_caller]
pub fn assert_same(who: &str, seen: &Facts, expected: &Facts) {
    if seen == expected {
        return;
    }
    let mut told = Vec::new();
    let all: BTreeSet<&Series> = seen.keys().chain(expected.keys()).collect();
    let nothing = BTreeSet::new();
    for series in all {
        let has = seen.get(series).unwrap_or(&nothing);
        let should = expected.get(series).unwrap_or(&nothing);
        let missing: Vec<_> = should.difference(has).take(3).collect();
        let extra: Vec<_> = has.difference(should).take(3).collect();
        if !missing.is_empty() || !extra.is_empty() {
            told.push(format!("{series:?}: missing {missing:?}, too many {extra:?}"));
        }
    }
    let count = told.len();
    told.truncate(10);
    panic!("{who} differs in {count} series:\n{}", told.join("\n"));
}

/// The rows of the first result as lists, for instance of SHOW MEASUREMENTS.
pub fn rows(json: &Value) -> Vec<Vec<Value>> {
    let series = json["results"][0]["series"].as_array().into_iter().flatten();
    series
        .flat_map(|series| series["values"].as_array().into_iter().flatten())
        .map(|row| row.as_array().expect("rows are lists").clone())
        .collect()
}

/// The names in the first column of the first result.
pub fn names(json: &Value) -> Vec<String> {
    rows(json).iter().map(|row| row[0].as_str().expect("names are texts").to_owned()).collect()
}
