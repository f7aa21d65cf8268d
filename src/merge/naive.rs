//! The slow twins of what this module does fast: all at once, by sorting. For tests.

use super::results::Series;

/// All pieces in InfluxDB's order of series; those of one series stay as they came.
pub fn concatenate(parts: &[Vec<Series>], descending: bool) -> Vec<Series> {
    let mut all = parts.concat();
    let key = |series: &Series| {
        let tags: Vec<&[u8]> = series.tags.iter().map(|(_, value)| value.as_bytes()).collect();
        (series.name.clone().into_bytes(), tags.join(&0))
    };
    if descending {
        all.sort_by_key(|series| std::cmp::Reverse(key(series)));
    } else {
        all.sort_by_key(key);
    }
    all
}
