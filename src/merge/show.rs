//! The answers of groups to one SHOW statement -> one, in InfluxDB's order; LIMIT and OFFSET are done behind that.
//!
//! Series keep their names and tags; within a series rows are compared cell by cell, bytewise.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::results::{Message, Series, StatementResult, Value};

/// What the groups said of a statement, one result a group. The first error is the answer: what only one group says of a
/// statement that went to all is still true of the whole.
pub struct Parts {
    pub parts: Vec<Vec<Series>>,
    pub messages: Vec<Message>,
}

/// A series of an answer, by which these are ordered.
type Key = (String, Vec<(String, String)>);

impl Parts {
    pub fn of(results: Vec<StatementResult>) -> Result<Parts, String> {
        let mut parts = Parts { parts: Vec::new(), messages: Vec::new() };
        for result in results {
            if let Some(error) = result.error {
                return Err(error);
            }
            parts.parts.push(result.series);
            for message in result.messages {
                if !parts.messages.contains(&message) {
                    parts.messages.push(message);
                }
            }
        }
        Ok(parts)
    }
}

/// How much memory parts take, about.
pub fn bytes(parts: &[Vec<Series>]) -> usize {
    parts.iter().flatten().map(Series::bytes).sum()
}

/// Of each series the rows of all parts, sorted, each once.
pub fn rows(parts: Vec<Vec<Series>>) -> Vec<Series> {
    let sorted = |mut series: Series| {
        series.values.sort_by(|one, other| compare_rows(one, other));
        series.values.dedup();
        series
    };
    united(parts).into_values().map(sorted).collect()
}

/// Of a list the rows that `other` has too (`with`), or has not. Both come out of [`rows`].
pub fn compared(list: Vec<Series>, other: &[Series], with: bool) -> Vec<Series> {
    let chosen = |mut series: Series| {
        let other = other.iter().find(|other| other.same_series(&series)).map_or(&[][..], |other| &other.values);
        let is_in = |row: &Vec<Value>| other.binary_search_by(|other| compare_rows(other, row)).is_ok();
        series.values.retain(|row| is_in(row) == with);
        (!series.values.is_empty()).then_some(series)
    };
    list.into_iter().filter_map(chosen).collect()
}

/// As [`rows`], for keys of series, which stand in the order of measurements and tags, not in that of their text.
pub fn series_keys(parts: Vec<Vec<Series>>) -> Vec<Series> {
    let sorted = |mut series: Series| {
        series.values.sort_by_cached_key(|row| row.first().and_then(Value::as_str).map(series_key));
        series.values.dedup();
        series
    };
    united(parts).into_values().map(sorted).collect()
}

/// Of each series the rows, each the sum of all parts'. With GROUP BY time() all is in the first, and the rest are windows of
/// nothing up to now: who was asked last has the most of them.
pub fn sum(parts: Vec<Vec<Series>>) -> Vec<Series> {
    let mut found: BTreeMap<Key, Series> = BTreeMap::new();
    for series in parts.into_iter().flatten() {
        match found.entry((series.name.clone(), series.tags.clone())) {
            Entry::Vacant(new) => drop(new.insert(series)),
            Entry::Occupied(known) => add(&mut known.into_mut().values, series.values),
        }
    }
    found.into_values().collect()
}

fn add(sums: &mut Vec<Vec<Value>>, rows: Vec<Vec<Value>>) {
    let number = |row: &[Value]| row.first().and_then(Value::as_i64).unwrap_or_default();
    let behind = rows.len().min(sums.len());
    for (sum, row) in sums.iter_mut().zip(&rows) {
        *sum = vec![Value::Integer(number(sum).wrapping_add(number(row)))];
    }
    sums.extend(rows.into_iter().skip(behind));
}

/// Counts of series by measurement -> of measurements by tags; with GROUP BY time() windows of nothing stand behind.
pub fn measurements(parts: Vec<Vec<Series>>) -> Vec<Series> {
    let (mut names, mut rows): (BTreeMap<_, BTreeSet<String>>, usize) = (BTreeMap::new(), 1);
    for series in parts.into_iter().flatten() {
        rows = series.values.len().max(rows);
        names.entry(series.tags).or_default().insert(series.name);
    }
    let counted = |(tags, names): (_, BTreeSet<String>)| {
        let mut series = count(String::new(), tags, "count", names.len());
        series.values.resize(rows, vec![integer(0)]);
        series
    };
    names.into_iter().map(counted).collect()
}

/// Names -> how many there are.
pub fn count_of_names(parts: Vec<Vec<Series>>, column: &str) -> Vec<Series> {
    let names = rows(parts).iter().map(|series| series.values.len()).sum();
    vec![count(String::new(), Vec::new(), column, names)]
}

/// Counts that cannot be added: those of measurements that several parts count, and which these are.
pub fn counts(parts: Vec<Vec<Series>>) -> (Vec<Series>, BTreeSet<String>) {
    let mut found: BTreeMap<Key, Series> = BTreeMap::new();
    let mut shared = BTreeSet::new();
    for series in parts.into_iter().flatten() {
        let key = (series.name.clone(), series.tags.clone());
        match found.entry(key) {
            Entry::Occupied(known) => drop(shared.insert(known.key().0.clone())),
            Entry::Vacant(new) => drop(new.insert(series)),
        }
    }
    (found.into_values().collect(), shared)
}

/// Puts the numbers of different cells in `column` of a list in the place of counts.
pub fn recounted(counts: Vec<Series>, list: Vec<Vec<Series>>, column: usize) -> Vec<Series> {
    let mut found = united(list);
    let recounted = |mut series: Series| {
        let key = (series.name.clone(), series.tags.clone());
        if let Some(list) = found.remove(&key) {
            let cells = list.values.into_iter().filter_map(|mut row| match row.get_mut(column).map(std::mem::take) {
                Some(Value::String(text)) => Some(text),
                _ => None,
            });
            let cells: BTreeSet<String> = cells.collect();
            told(&mut series, cells.len());
        }
        series
    };
    counts.into_iter().map(recounted).collect()
}

/// The fields of the storage shards in which each series fits.
#[derive(Default)]
pub struct Fields {
    series: BTreeMap<Key, Arc<BTreeSet<String>>>,
    /// Each once: most series share one.
    sets: BTreeSet<Arc<BTreeSet<String>>>,
}

impl Fields {
    /// With those of one more shard: groups have `found` series in it, and list `all` fields in a column.
    #[must_use]
    pub fn with(mut self, found: Vec<Vec<Series>>, all: Vec<Vec<Series>>, column: usize) -> Fields {
        let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for series in all.into_iter().flatten() {
            let cells = series.values.into_iter().filter_map(|mut row| match row.get_mut(column).map(std::mem::take) {
                Some(Value::String(text)) => Some(text),
                _ => None,
            });
            listed.entry(series.name).or_default().extend(cells);
        }
        let of_shard: BTreeMap<String, _> = listed.into_iter().map(|(name, set)| (name, self.shared(set))).collect();
        for series in found.into_iter().flatten() {
            let Some(new) = of_shard.get(&series.name) else { continue };
            let key = (series.name, series.tags);
            let whole = match self.series.get(&key) {
                Some(own) if Arc::ptr_eq(own, new) || new.is_subset(own) => continue,
                Some(own) => self.shared(own.union(new).cloned().collect()),
                None => Arc::clone(new),
            };
            self.series.insert(key, whole);
        }
        // Those that nobody has any more.
        drop(of_shard);
        self.sets.retain(|set| Arc::strong_count(set) > 1);
        self
    }

    fn shared(&mut self, set: BTreeSet<String>) -> Arc<BTreeSet<String>> {
        if let Some(known) = self.sets.get(&set) {
            return Arc::clone(known);
        }
        let set = Arc::new(set);
        self.sets.insert(Arc::clone(&set));
        set
    }

    /// Puts how many there are in the place of counts.
    pub fn counted(&self, mut counts: Vec<Series>) -> Vec<Series> {
        for series in &mut counts {
            if let Some(fields) = self.series.get(&(series.name.clone(), series.tags.clone())) {
                told(series, fields.len());
            }
        }
        counts
    }
}

/// Rows behind the first `offset`, and no more than `limit` (0: all), of each series; those without any are left out.
pub fn limited(series: Vec<Series>, limit: u64, offset: u64) -> Vec<Series> {
    if (limit, offset) == (0, 0) {
        return series;
    }
    let cut = |mut series: Series| {
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX).min(series.values.len());
        series.values.drain(..skipped);
        if limit > 0 {
            series.values.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        (!series.values.is_empty()).then_some(series)
    };
    series.into_iter().filter_map(cut).collect()
}

/// Each part as it is, with a tag that names its origin.
pub fn concatenated(parts: Vec<(String, Vec<Series>)>, tag: &str) -> Vec<Series> {
    let tagged = |(origin, series): (String, Vec<Series>)| {
        series.into_iter().map(move |mut series| {
            series.tags.retain(|(key, _)| key != tag);
            series.tags.push((tag.to_owned(), origin.clone()));
            series.tags.sort_unstable();
            series
        })
    };
    parts.into_iter().flat_map(tagged).collect()
}

/// The rows that any part has, in the order in which they occur first.
pub fn union(parts: Vec<Vec<Series>>) -> Vec<Series> {
    let mut found: Vec<Series> = Vec::new();
    for series in parts.into_iter().flatten() {
        match found.iter_mut().find(|known| known.same_series(&series) && known.columns == series.columns) {
            Some(known) => {
                for row in series.values {
                    if !known.values.contains(&row) {
                        known.values.push(row);
                    }
                }
            }
            None => found.push(series),
        }
    }
    found
}

fn united(parts: Vec<Vec<Series>>) -> BTreeMap<Key, Series> {
    let mut found: BTreeMap<Key, Series> = BTreeMap::new();
    for series in parts.into_iter().flatten() {
        match found.get_mut(&(series.name.clone(), series.tags.clone())) {
            Some(known) => known.values.extend(series.values),
            None => drop(found.insert((series.name.clone(), series.tags.clone()), series)),
        }
    }
    found
}

fn count(name: String, tags: Vec<(String, String)>, column: &str, count: usize) -> Series {
    let (columns, values) = (vec![column.to_owned()], vec![vec![integer(count)]]);
    Series { name, tags, columns, values, ..Series::default() }
}

/// Puts a number in the place of a count. What windows of nothing stand behind it stay.
fn told(series: &mut Series, count: usize) {
    match series.values.first_mut() {
        Some(row) => *row = vec![integer(count)],
        None => series.values = vec![vec![integer(count)]],
    }
}

fn integer(count: usize) -> Value {
    Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

fn compare_rows(one: &[Value], other: &[Value]) -> std::cmp::Ordering {
    let texts = |row| <[Value]>::iter(row).map(|cell| cell.as_str().unwrap_or_default());
    texts(one).cmp(texts(other))
}

/// The measurement and the tags of a series' key, as line protocol escapes them.
fn series_key(key: &str) -> (String, Vec<(String, String)>) {
    let mut parts = separated(key, ',').into_iter();
    let name = unescaped(parts.next().unwrap_or_default(), &[',', ' ']);
    let tag = |part: &str| {
        let pair = separated(part, '=');
        let key = pair.first().copied().unwrap_or_default();
        // An equals sign in a value needs no escape.
        let value = part.get(key.len() + 1..).unwrap_or_default();
        (unescaped(key, &[',', '=', ' ']), unescaped(value, &[',', '=', ' ']))
    };
    (name, parts.map(tag).collect())
}

/// Cut at separators that no backslash escapes.
fn separated(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(separator) {
        if !text[..at].ends_with('\\') {
            parts.push(&text[start..at]);
            start = at + separator.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescaped(text: &str, escaped: &[char]) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next) if c == '\\' && escaped.contains(next) => {}
            _ => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, columns: &[&str], values: &[&[&str]]) -> Series {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        let values = values.iter().map(|row| row.iter().map(|&cell| Value::from(cell)).collect()).collect();
        Series { name: name.to_owned(), columns, values, ..Series::default() }
    }

    fn counted(name: &str, tags: &[(&str, &str)], number: i64) -> Series {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let (columns, values) = (vec!["count".to_owned()], vec![vec![Value::Integer(number)]]);
        Series { name: name.to_owned(), tags, columns, values, ..Series::default() }
    }

    #[test]
    fn rows_are_sorted_and_told_once() {
        let names = |values: &[&[&str]]| vec![listed("measurements", &["name"], values)];
        let whole = rows(vec![names(&[&["b"], &["d"]]), vec![], names(&[&["a"], &["d"]])]);
        assert_eq!(whole, names(&[&["a"], &["b"], &["d"]]));
        assert_eq!(limited(whole.clone(), 1, 1), names(&[&["b"]]));
        assert_eq!(limited(whole.clone(), 0, 2), names(&[&["d"]]));
        assert_eq!(limited(whole.clone(), 1, 3), []);
        assert_eq!(limited(whole.clone(), 0, 0), whole);
    }

    #[test]
    fn lists_are_compared_row_by_row() {
        let names = |values: &[&[&str]]| vec![listed("measurements", &["name"], values)];
        let (list, other) = (names(&[&["a"], &["b"], &["d"]]), names(&[&["b"], &["c"]]));
        assert_eq!(compared(list.clone(), &other, true), names(&[&["b"]]));
        assert_eq!(compared(list.clone(), &other, false), names(&[&["a"], &["d"]]));
        assert_eq!(compared(list.clone(), &[], true), []);
        assert_eq!(compared(list.clone(), &[], false), list);
        assert_eq!(compared(list.clone(), &list, false), []);
    }

    #[test]
    fn field_keys_stay_in_their_measurements() {
        let columns = ["fieldKey", "fieldType"];
        let whole = rows(vec![
            vec![listed("z", &columns, &[&["v", "string"]])],
            vec![
                listed("m", &columns, &[&["a", "float"]]),
                listed("z", &columns, &[&["v", "float"], &["u", "integer"], &["v", "boolean"]]),
            ],
        ]);
        let wanted = [
            listed("m", &columns, &[&["a", "float"]]),
            listed("z", &columns, &[&["u", "integer"], &["v", "boolean"], &["v", "float"], &["v", "string"]]),
        ];
        assert_eq!(whole, wanted);
        assert_eq!(limited(whole, 1, 0)[1], listed("z", &columns, &[&["u", "integer"]]));
    }

    /// As influxd 1.6.7 orders them.
    #[test]
    fn keys_of_series_stand_in_the_order_of_series() {
        let seen = [
            "e",
            "e,A=1",
            "e,a=x",
            "e,a=x,aa=1",
            "e,a=x,b=1",
            r"e,a=x\ ",
            "e,a=x!",
            r"e,a=x\,b",
            "e,a=x0",
            "e,a=y,aa=1",
            r"e,a\ b=1",
            "e,a!=x",
            r"e,a\=b=1",
            "e,aa=1",
            "e,b=1",
            r"e\ a,b=1",
            "e!,a=x",
            "e#,a=1",
            r"e\,a,b=1",
            "ea",
            "é",
        ];
        let keys = |keys: Vec<&str>| {
            let rows: Vec<[&str; 1]> = keys.into_iter().map(|key| [key]).collect();
            vec![listed("", &["key"], &rows.iter().map(|row| &row[..]).collect::<Vec<_>>())]
        };
        let part = |rest: usize| {
            let part = seen.iter().rev().enumerate().filter(|(at, _)| at % 2 == rest);
            keys(part.map(|(_, key)| *key).collect())
        };
        assert_eq!(series_keys(vec![part(0), part(1), keys(vec!["e"])]), keys(seen.to_vec()));
    }

    #[test]
    fn counts_add_up_or_are_counted_anew() {
        let parts = vec![vec![counted("a", &[], 2), counted("b", &[], 1)], vec![counted("b", &[], 4)]];
        assert_eq!(sum(parts.clone()), [counted("a", &[], 2), counted("b", &[], 5)]);
        let (found, shared) = counts(parts.clone());
        assert_eq!(shared, BTreeSet::from(["b".to_owned()]));
        let values = |values: &[&[&str]]| vec![listed("b", &["key", "value"], values)];
        let list = vec![values(&[&["h", "1"], &["h", "2"]]), values(&[&["h", "2"], &["i", "1"], &["i", "3"]])];
        assert_eq!(recounted(found, list, 1), [counted("a", &[], 2), counted("b", &[], 3)]);
        assert_eq!(measurements(parts), [counted("", &[], 2)]);
        let by_tag = vec![
            vec![counted("a", &[("h", "")], 7)],
            vec![counted("a", &[("h", "x")], 1), counted("b", &[("h", "")], 1)],
        ];
        assert_eq!(measurements(by_tag), [counted("", &[("h", "")], 2), counted("", &[("h", "x")], 1)]);
        let windows = |numbers: &[i64]| {
            let values = numbers.iter().map(|number| vec![Value::Integer(*number)]).collect();
            vec![Series { values, ..counted("a", &[], 0) }]
        };
        // The second was asked a window later.
        assert_eq!(sum(vec![windows(&[2, 0]), windows(&[3, 0, 0])]), windows(&[5, 0, 0]));
        assert_eq!(sum(vec![windows(&[3, 0, 0]), windows(&[2, 0])]), windows(&[5, 0, 0]));
        let whole = [Series { name: String::new(), ..windows(&[1, 0, 0]).remove(0) }];
        assert_eq!(measurements(vec![windows(&[2, 0]), windows(&[3, 0, 0])]), whole);
        let names = |names: &[&[&str]]| vec![listed("measurements", &["name"], names)];
        let all = count_of_names(vec![names(&[&["a"], &["b"]]), names(&[&["b"]]), vec![]], "cardinality estimation");
        assert_eq!((all[0].columns[0].as_str(), &all[0].values[0][0]), ("cardinality estimation", &Value::Integer(2)));
        assert_eq!(count_of_names(vec![vec![]], "x")[0].values, [[Value::Integer(0)]]);
    }

    #[test]
    fn fields_of_all_groups_count_in_the_shards_of_series() {
        let fields = |tags: &[(&str, &str)], names: &[&str]| {
            let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let rows: Vec<&[&str]> = names.iter().map(std::slice::from_ref).collect();
            Series { tags, ..listed("m", &["key"], &rows) }
        };
        let (a, b) = ([("h", "a")], [("h", "b")]);
        let told = Fields::default()
            .with(
                vec![vec![fields(&a, &["x"])], vec![]],
                vec![vec![fields(&[], &["x"])], vec![fields(&[], &["x", "y"])]],
                0,
            )
            .with(vec![vec![], vec![fields(&b, &["z"])]], vec![vec![], vec![fields(&[], &["z"])]], 0)
            .with(vec![vec![fields(&a, &["x"])], vec![]], vec![vec![fields(&[], &["x", "z"])], vec![]], 0);
        let counts = vec![counted("m", &a, 1), counted("m", &b, 7), counted("n", &[], 4)];
        let wanted = [counted("m", &a, 3), counted("m", &b, 1), counted("n", &[], 4)];
        assert_eq!(told.counted(counts), wanted);
    }

    #[test]
    fn servers_tell_their_own() {
        let parts = vec![
            ("g1a".to_owned(), vec![counted("x", &[("z", "1")], 1)]),
            ("g2a".to_owned(), vec![counted("x", &[], 2)]),
        ];
        let wanted = [counted("x", &[("replica", "g1a"), ("z", "1")], 1), counted("x", &[("replica", "g2a")], 2)];
        assert_eq!(concatenated(parts, "replica"), wanted);
        let queries = |values: &[&[&str]]| listed("db", &["name", "query"], values);
        let all = union(vec![
            vec![queries(&[&["a", "1"], &["b", "2"]])],
            vec![listed("other", &["name", "query"], &[]), queries(&[&["b", "2"], &["b", "3"]])],
        ]);
        let wanted = [queries(&[&["a", "1"], &["b", "2"], &["b", "3"]]), listed("other", &["name", "query"], &[])];
        assert_eq!(all, wanted);
    }

    #[test]
    fn an_error_is_the_answer() {
        let failed = StatementResult::failed(0, "database name required");
        let parts = Parts::of(vec![StatementResult::default(), failed]);
        assert_eq!(parts.err().as_deref(), Some("database name required"));
    }
}
