//! A shift as one length of time.

use crate::influxql::ast::Shift;
use crate::influxql::civil::{civil_from_days, days_from_civil};
use crate::influxql::zone::Zone;

const DAY: i64 = 86_400_000_000_000;

/// How far it is, in nanoseconds, from a moment to that moment shifted. Months and days are counted on a zone's calendar,
/// or on UTC's, where a day has 24 hours; a day that the month has not becomes its last.
///
/// # Errors
/// It is out of reach.
pub fn distance(shift: Shift, zone: Option<Zone>, from: i64) -> Result<i64, String> {
    let far = || format!("a timeshift of {shift} is out of reach");
    let local = from.saturating_add(zone.map_or(0, |zone| zone.offset(from)));
    let day = local.div_euclid(DAY);
    let moved = shifted_day(day, shift).and_then(|to| to.checked_sub(day)).ok_or_else(far)?;
    let clock = moved.checked_mul(DAY).and_then(|by| local.checked_add(by)).ok_or_else(far)?;
    let moment = match (zone, moved) {
        // A time that clocks show twice stays the one it is.
        (_, 0) => from,
        (Some(zone), _) => zone.moment(clock),
        (None, _) => clock,
    };
    let moment = moment.checked_add(shift.ns).ok_or_else(far)?;
    moment.checked_sub(from).ok_or_else(far)
}

/// A day counted from 1970, shifted.
fn shifted_day(day: i64, shift: Shift) -> Option<i64> {
    let (year, month, of_month) = civil_from_days(day);
    let months = year.checked_mul(12)?.checked_add(i64::from(month) - 1)?.checked_add(shift.months)?;
    // What nanoseconds can reach, by far.
    let (year, month) =
        (Some(months.div_euclid(12)).filter(|year| (0..10_000).contains(year))?, months.rem_euclid(12) + 1);
    let first = days_from_civil(year, month as u32, 1);
    let next = if month == 12 { days_from_civil(year + 1, 1, 1) } else { days_from_civil(year, month as u32 + 1, 1) };
    (first + i64::from(of_month) - 1).min(next - 1).checked_add(shift.days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::range::parse_time;

    fn shifted(text: &str, shift: &str, zone: &str) -> String {
        let zone = (!zone.is_empty()).then(|| Zone::named(zone).expect("it is known"));
        let from = parse_time(text, zone).expect("the test writes times");
        let by = distance(Shift::parse(shift).expect("the test writes shifts"), zone, from).expect("it is in reach");
        zone.unwrap_or(Zone::named("UTC").expect("it is known")).rfc3339(from + by)
    }

    #[test]
    fn months_end_where_they_end() {
        for (from, shift, to) in [
            ("2021-03-31 12:00:00", "-1M", "2021-02-28T12:00:00Z"),
            ("2020-03-31", "-1M", "2020-02-29T00:00:00Z"),
            ("2021-05-31", "-1Q", "2021-02-28T00:00:00Z"),
            ("2020-02-29", "-1y", "2019-02-28T00:00:00Z"),
            ("2021-01-31", "1M", "2021-02-28T00:00:00Z"),
            ("2021-01-15", "-1M", "2020-12-15T00:00:00Z"),
            ("2021-12-15", "1M", "2022-01-15T00:00:00Z"),
            ("2021-03-29", "-1w", "2021-03-22T00:00:00Z"),
            ("2021-03-29 10:00:00", "-90m", "2021-03-29T08:30:00Z"),
            ("2021-03-31", "-1M1d1h", "2021-02-26T23:00:00Z"),
        ] {
            assert_eq!(shifted(from, shift, ""), to, "{from} {shift}");
        }
    }

    #[test]
    fn days_are_a_zones_where_there_is_one() {
        for (from, shift, to) in [
            ("2021-03-29", "-1w", "2021-03-22T00:00:00+01:00"),
            ("2021-03-29", "-168h", "2021-03-21T23:00:00+01:00"),
            ("2021-11-01", "-1d", "2021-10-31T00:00:00+02:00"),
            ("2021-11-15", "-1M", "2021-10-15T00:00:00+02:00"),
            // Which clocks do not show on that day.
            ("2021-03-29 02:30:00", "-1d", "2021-03-28T03:30:00+02:00"),
            ("2021-10-31T02:30:00+01:00", "0s", "2021-10-31T02:30:00+01:00"),
        ] {
            assert_eq!(shifted(from, shift, "Europe/Berlin"), to, "{from} {shift}");
        }
    }

    #[test]
    fn what_is_out_of_reach_is_refused() {
        for shift in ["-1000y", "99999999999w", "9223372036s"] {
            assert!(distance(Shift::parse(shift).expect("it reads"), None, i64::MAX / 2).is_err(), "{shift}");
        }
    }
}
