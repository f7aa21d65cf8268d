//! The unit of a write's timestamps.

/// The unit of a write's timestamps, as InfluxDB reads `precision`: whatever it does not know is nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    #[default]
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
}

impl Precision {
    pub fn parse(text: &str) -> Precision {
        match text {
            "u" => Precision::Microseconds,
            "ms" => Precision::Milliseconds,
            "s" => Precision::Seconds,
            "m" => Precision::Minutes,
            "h" => Precision::Hours,
            _ => Precision::Nanoseconds,
        }
    }

    /// As a setting, where only what InfluxDB knows will do.
    pub fn named(text: &str) -> Option<Precision> {
        match text {
            "" | "n" | "ns" => Some(Precision::Nanoseconds),
            "u" | "ms" | "s" | "m" | "h" => Some(Precision::parse(text)),
            _ => None,
        }
    }

    /// As a URL parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::Nanoseconds => "ns",
            Precision::Microseconds => "u",
            Precision::Milliseconds => "ms",
            Precision::Seconds => "s",
            Precision::Minutes => "m",
            Precision::Hours => "h",
        }
    }

    pub fn nanoseconds(self) -> i64 {
        match self {
            Precision::Nanoseconds => 1,
            Precision::Microseconds => 1_000,
            Precision::Milliseconds => 1_000_000,
            Precision::Seconds => 1_000_000_000,
            Precision::Minutes => 60_000_000_000,
            Precision::Hours => 3_600_000_000_000,
        }
    }

    /// A time in this unit, truncated.
    pub fn time(self, now_ns: i64) -> i64 {
        now_ns.div_euclid(self.nanoseconds())
    }
}
