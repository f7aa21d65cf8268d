//! The kinds of values in `config.toml`: each reads one TOML value or says what would do.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::lineprotocol::Precision;
use crate::topology::{Spread, overlap};

/// A value of `config.toml`.
pub trait Value: Clone + Default {
    fn read(value: &DeValue<'_>) -> Result<Self, String>;
}

/// Which cores run shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cores {
    #[default]
    All,
    First(usize),
    These(BTreeSet<usize>),
}

/// What a listener speaks, as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProtocolName {
    #[default]
    Http,
    Tcp,
    Udp,
}

/// Who may do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMode {
    #[default]
    Off,
}

/// What a query gets when every replica of a group that it needs has a backlog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stale {
    #[default]
    Warn,
    Refuse,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind(pub SocketAddr);

impl Default for Bind {
    fn default() -> Bind {
        Bind(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}

impl Bind {
    /// Whether the two cannot both be listened on.
    pub fn overlaps(self, other: Bind) -> bool {
        overlap(self.0, other.0)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size(pub usize);

/// A number that is not 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count(/** > 0, but for the default that stands in for a faulty value */ pub usize);

/// A value for which nothing, or 0, makes no sense in most places.
pub trait Emptiable: Value {
    fn is_empty(&self) -> bool;
}

impl Emptiable for String {
    fn is_empty(&self) -> bool {
        self.as_str().is_empty()
    }
}

impl Emptiable for Duration {
    fn is_empty(&self) -> bool {
        self.is_zero()
    }
}

impl Emptiable for Size {
    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl Value for String {
    fn read(value: &DeValue<'_>) -> Result<String, String> {
        value.as_str().map(str::to_owned).ok_or_else(|| format!("a string is wanted, not {}", value.type_str()))
    }
}

impl Value for bool {
    fn read(value: &DeValue<'_>) -> Result<bool, String> {
        value.as_bool().ok_or_else(|| format!("true or false is wanted, not {}", value.type_str()))
    }
}

impl Value for usize {
    fn read(value: &DeValue<'_>) -> Result<usize, String> {
        let fault = || format!("a number from 0 up is wanted, not {}", describe(value));
        let number = value.as_integer().ok_or_else(fault)?;
        usize::from_str_radix(number.as_str(), number.radix()).map_err(|_| fault())
    }
}

impl Value for u32 {
    fn read(value: &DeValue<'_>) -> Result<u32, String> {
        usize::read(value)?.try_into().map_err(|_| "the number is too large".to_owned())
    }
}

impl Value for Count {
    fn read(value: &DeValue<'_>) -> Result<Count, String> {
        match usize::read(value)? {
            0 => Err("a number from 1 up is wanted".to_owned()),
            number => Ok(Count(number)),
        }
    }
}

impl Value for PathBuf {
    fn read(value: &DeValue<'_>) -> Result<PathBuf, String> {
        match String::read(value)?.as_str() {
            "" => Err("a path is wanted".to_owned()),
            path => Ok(path.into()),
        }
    }
}

impl Value for Bind {
    fn read(value: &DeValue<'_>) -> Result<Bind, String> {
        let text = String::read(value)?;
        text.parse().map(Bind).map_err(|_| format!("{text:?} is not of the form \"0.0.0.0:8086\" or \"[::]:8086\""))
    }
}

impl Value for Vec<String> {
    fn read(value: &DeValue<'_>) -> Result<Vec<String>, String> {
        let list = value.as_array().ok_or_else(|| format!("a list is wanted, not {}", value.type_str()))?;
        list.iter().map(|item| String::read(item.get_ref())).collect()
    }
}

impl Value for Duration {
    fn read(value: &DeValue<'_>) -> Result<Duration, String> {
        let fault = || format!("a time like \"500ms\", \"5s\", \"2m\" or \"1h\" is wanted, not {}", describe(value));
        let (number, unit) = number_and_unit(value.as_str().ok_or_else(fault)?).ok_or_else(fault)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(fault()),
        };
        number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(fault)
    }
}

impl Value for Size {
    fn read(value: &DeValue<'_>) -> Result<Size, String> {
        let fault = || format!("a size like \"64KiB\", \"25MB\" or \"1GiB\" is wanted, not {}", describe(value));
        if value.is_integer() {
            return usize::read(value).map(Size);
        }
        let (number, unit) = number_and_unit(value.as_str().ok_or_else(fault)?).ok_or_else(fault)?;
        let bytes: u64 = match unit {
            "B" => 1,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(fault()),
        };
        number.checked_mul(bytes).and_then(|size| size.try_into().ok()).map(Size).ok_or_else(fault)
    }
}

impl Value for ProtocolName {
    fn read(value: &DeValue<'_>) -> Result<ProtocolName, String> {
        match String::read(value)?.as_str() {
            "http" => Ok(ProtocolName::Http),
            "tcp" => Ok(ProtocolName::Tcp),
            "udp" => Ok(ProtocolName::Udp),
            other => Err(format!("{other:?} is no protocol; use \"http\", \"tcp\" or \"udp\"")),
        }
    }
}

impl Value for Precision {
    fn read(value: &DeValue<'_>) -> Result<Precision, String> {
        let text = String::read(value)?;
        Precision::named(&text).ok_or_else(|| format!("{text:?} is none of \"ns\", \"u\", \"ms\", \"s\", \"m\", \"h\""))
    }
}

impl Value for Spread {
    fn read(value: &DeValue<'_>) -> Result<Spread, String> {
        let text = String::read(value)?;
        Spread::parse(&text).ok_or_else(|| format!("{text:?} is neither \"random\" nor \"source\""))
    }
}

impl Value for AuthMode {
    fn read(value: &DeValue<'_>) -> Result<AuthMode, String> {
        match String::read(value)?.as_str() {
            "off" => Ok(AuthMode::Off),
            other => Err(format!("{other:?} is no mode; use \"off\"")),
        }
    }
}

impl Value for Stale {
    fn read(value: &DeValue<'_>) -> Result<Stale, String> {
        match String::read(value)?.as_str() {
            "warn" => Ok(Stale::Warn),
            "refuse" => Ok(Stale::Refuse),
            other => Err(format!("{other:?} is neither \"warn\" nor \"refuse\"")),
        }
    }
}

impl Value for Cores {
    fn read(value: &DeValue<'_>) -> Result<Cores, String> {
        let fault =
            || format!("\"all\", a number from 1 up or a list like \"0-3,8\" is wanted, not {}", describe(value));
        if value.is_integer() {
            return Count::read(value).map(|count| Cores::First(count.0)).map_err(|_| fault());
        }
        let text = value.as_str().ok_or_else(fault)?;
        if text == "all" {
            return Ok(Cores::All);
        }
        let mut cores = BTreeSet::new();
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (from.trim().parse::<u16>(), to.trim().parse::<u16>());
            match (from, to) {
                (Ok(from), Ok(to)) if from <= to => cores.extend(usize::from(from)..=usize::from(to)),
                _ => return Err(fault()),
            }
        }
        Ok(Cores::These(cores))
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        other => other.type_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Value>(toml: &str) -> Result<T, String> {
        T::read(DeValue::parse(toml).expect("the test writes TOML").get_ref())
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(read::<Size>("\"64MiB\""), Ok(Size(64 << 20)));
        assert_eq!(read::<Size>("\"25MB\""), Ok(Size(25_000_000)));
        assert_eq!(read::<Size>("17"), Ok(Size(17)));
        assert_eq!(read::<Duration>("\"2m\""), Ok(Duration::from_secs(120)));
        assert_eq!(read::<Duration>("\"0s\""), Ok(Duration::ZERO));
        for bad in ["5", "\"5\"", "\"s\"", "\"-5s\"", "\"5 parsecs\"", "\"99999999999999999999s\"", "true"] {
            assert!(read::<Duration>(bad).is_err(), "{bad}");
        }
        assert!(read::<Size>("\"64Mi\"").is_err());
    }

    #[test]
    fn cores() {
        assert_eq!(read::<Cores>("\"all\""), Ok(Cores::All));
        assert_eq!(read::<Cores>("3"), Ok(Cores::First(3)));
        assert_eq!(read::<Cores>("\"0-2,8\""), Ok(Cores::These([0, 1, 2, 8].into())));
        for bad in ["0", "\"\"", "\"3-1\"", "\"a\"", "[1]"] {
            assert!(read::<Cores>(bad).is_err(), "{bad}");
        }
    }
}
