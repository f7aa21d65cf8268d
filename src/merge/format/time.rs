//! Times as clients ask for them.

use crate::influxql::civil::civil_from_days;

/// How times are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// RFC 3339 with as many digits of the second as need be; nanoseconds in CSV, a time's own kind in MessagePack.
    #[default]
    Rfc3339,
    /// Whole units of so many nanoseconds since 1970, in the first column alone.
    Epoch(i64),
}

impl Times {
    /// As the parameter `epoch` says it; an unknown unit is nanoseconds.
    pub fn of(epoch: &str) -> Times {
        match epoch {
            "" => Times::Rfc3339,
            "u" => Times::Epoch(1_000),
            "ms" => Times::Epoch(1_000_000),
            "s" => Times::Epoch(1_000_000_000),
            "m" => Times::Epoch(60_000_000_000),
            "h" => Times::Epoch(3_600_000_000_000),
            _ => Times::Epoch(1),
        }
    }

    /// The number that a time of this column is printed as, if it is one.
    pub fn number(self, column: usize, ns: i64) -> Option<i64> {
        match self {
            // Towards 0, as Go divides.
            Times::Epoch(unit) if column == 0 => Some(ns / unit),
            _ => None,
        }
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.n…]Z`: no 0 at the end of a fraction, and none at all for a whole second.
pub fn rfc3339(ns: i64, out: &mut Vec<u8>) {
    let (seconds, mut nanos) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000) as u32);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400) as u32);
    let (year, month, day) = civil_from_days(days);
    // Years that nanoseconds reach have four digits.
    digits(year as u32, 4, out);
    for (sign, number) in
        [(b'-', month), (b'-', day), (b'T', second / 3600), (b':', second / 60 % 60), (b':', second % 60)]
    {
        out.push(sign);
        digits(number, 2, out);
    }
    if nanos > 0 {
        let mut width = 9;
        while nanos % 10 == 0 {
            (nanos, width) = (nanos / 10, width - 1);
        }
        out.push(b'.');
        digits(nanos, width, out);
    }
    out.push(b'Z');
}

fn digits(mut number: u32, width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + width, b'0');
    for place in out[start..].iter_mut().rev() {
        *place += (number % 10) as u8;
        number /= 10;
    }
}
