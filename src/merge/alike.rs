//! Series of several groups whose tags InfluxDB takes for the same.
//!
//! It joins the values of GROUP BY's tags by `|` (`MakeTagsKey`), so that `a|b`, `c` and `a`, `b|c` are one set to it. Mostly
//! that does not show; but what it cuts in each set before it looks at all rows it cuts in both together. Only an influxd
//! that holds both does so: over several groups such series are found here, as far as answers have them. Called by `query`.

use std::collections::BTreeMap;

use super::results::Series;

/// The series that may be taken for others, and which group has cut each. As many as an answer has series with a `|`.
#[derive(Default)]
pub struct Alike {
    seen: BTreeMap<String, (Option<usize>, Tags)>,
}

type Tags = Vec<(String, String)>;

impl Alike {
    /// Adds a series, or more rows of it. Those of one `group` it has cut itself; `None`: it is made here.
    ///
    /// # Errors
    /// Another one is the same to InfluxDB, and was cut elsewhere.
    pub fn add(&mut self, group: Option<usize>, series: &Series) -> Result<(), String> {
        let tags = || series.tags.iter().filter(|(_, value)| !value.is_empty());
        if tags().count() < 2 || !tags().any(|(_, value)| value.contains('|')) {
            return Ok(());
        }
        let (names, values): (Vec<&str>, Vec<&str>) =
            tags().map(|(name, value)| (name.as_str(), value.as_str())).unzip();
        let key = [series.name.as_str(), &names.join("|"), &values.join("|")].join("\0");
        let (first, tags) = self.seen.entry(key).or_insert_with(|| (group, series.tags.clone()));
        if *tags == series.tags || (group.is_some() && *first == group) {
            return Ok(());
        }
        Err(format!(
            "series of {:?} whose tags [{}] are one to InfluxDB, which joins them to {:?}, lie in several groups",
            series.name,
            names.join(", "),
            values.join("|")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(tags: &[(&str, &str)]) -> Series {
        let tags = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Series { name: "m".to_owned(), tags, ..Series::default() }
    }

    #[test]
    fn what_is_joined_to_one_text_is_alike() {
        let mut alike = Alike::default();
        for (group, tags) in [
            (0, &[("h", "a|b"), ("r", "c")][..]),
            (0, &[("h", "a"), ("r", "b|c")]),
            (1, &[("h", "a"), ("r", "b"), ("s", "c")]),
            (1, &[("h", "x"), ("r", "c")]),
            (1, &[("h", "a|b|c"), ("r", "")]),
            (1, &[("h", "a|b"), ("s", "c")]),
        ] {
            assert_eq!(alike.add(Some(group), &series(tags)), Ok(()), "{tags:?}");
        }
        let other = series(&[("h", "a"), ("r", "b|c")]);
        let error = alike.add(Some(1), &other).expect_err("the first group has them already");
        assert!(error.contains("[h, r]") && error.contains("\"a|b|c\""), "{error}");
        let mut made = Alike::default();
        let first = series(&[("h", "a|b"), ("r", "c")]);
        assert_eq!([&first, &first].map(|series| made.add(None, series)), [Ok(()), Ok(())], "pieces of one");
        assert!(made.add(None, &other).is_err());
    }
}
