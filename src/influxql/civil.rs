//! Nanoseconds since 1970 as a UTC date and time, the form in which InfluxQL takes times.
//!
//! Used by `inspect`; pure arithmetic on the proleptic Gregorian calendar, for every `i64`.

const NS_PER_SECOND: i128 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Year, month from 1, day from 1 of a day counted from 1970-01-01.
///
/// Counts from 1 March of year 0, so that the leap day ends a year, in eras of 400 years, which
/// are all alike.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    const DAYS_PER_ERA: i64 = 146_097;
    const DAYS_FROM_MARCH_0_TO_1970: i64 = 719_468;
    let days = days + DAYS_FROM_MARCH_0_TO_1970;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March on have 153 days, however one starts.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

/// The day counted from 1970-01-01, of a month from 1 and a day from 1 that exist.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`, always with nine digits.
pub fn rfc3339_nano(ns: i64) -> String {
    rfc3339_ahead(ns, 0)
}

/// The same of clocks that are so many nanoseconds ahead, which may show what no `i64` of nanoseconds reaches.
pub fn rfc3339_ahead(ns: i64, ahead: i64) -> String {
    let shown = i128::from(ns) + i128::from(ahead);
    let (seconds, nanos) = (shown.div_euclid(NS_PER_SECOND) as i64, shown.rem_euclid(NS_PER_SECOND));
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (951_868_800_000_000_001, "2000-03-01T00:00:00.000000001Z"),
            (4_107_542_399_000_000_000, "2100-02-28T23:59:59.000000000Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
            (1_500_000_000_123_456_789, "2017-07-14T02:40:00.123456789Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
        ];
        for (ns, text) in cases {
            assert_eq!(rfc3339_nano(ns), text);
        }
    }

    /// Every day that an `i64` of nanoseconds reaches follows the one before by the calendar.
    #[test]
    fn days_follow_each_other() {
        let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
        let mut expected = (1677, 9, 21);
        for days in -106_752..=106_751 {
            assert_eq!(civil_from_days(days), expected, "day {days}");
            assert_eq!(days_from_civil(expected.0, expected.1, expected.2), days, "day {days}");
            let (year, month, day) = expected;
            let length = match month {
                2 => 28 + u32::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, d) if d == length => (year, month + 1, 1),
                (_, d) => (year, month, d + 1),
            };
        }
    }
}
