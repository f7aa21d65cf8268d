//! What goes wrong, and with which requests.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const DELAY_MAX: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole, well-formed answer with this status.
    Status(u16),
    /// The right answer, so much later.
    Delay(Duration),
    /// The connection stays open, nothing comes.
    Hang,
    /// RST in the middle of the answer's head.
    Reset,
    /// Bytes that are no HTTP.
    Garbage,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        match text.split_once('=') {
            Some(("status", status)) => match status.parse() {
                Ok(status) if (200..600).contains(&status) => Ok(Kind::Status(status)),
                _ => Err(format!("status={status}: 200 to 599")),
            },
            Some(("delay", delay)) => Ok(Kind::Delay(duration(delay)?)),
            None if text == "hang" => Ok(Kind::Hang),
            None if text == "reset" => Ok(Kind::Reset),
            None if text == "garbage" => Ok(Kind::Garbage),
            _ => Err(format!("{text}: status=503, delay=200ms, hang, reset or garbage")),
        }
    }
}

/// "200ms", "5s"
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis(1)),
        None => (text.strip_suffix('s').unwrap_or_default(), Duration::from_secs(1)),
    };
    let parsed = number.parse().ok().and_then(|number: u32| unit.checked_mul(number));
    parsed.filter(|&delay| delay <= DELAY_MAX).ok_or_else(|| format!("delay={text}: 200ms or 5s, at most an hour"))
}

/// A kind of fault and the requests that it meets: the n-th one always or never, for a seed.
#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: Kind,
    share: f64,
    seed: u64,
    requests: Arc<AtomicU64>,
}

impl Fault {
    pub fn new(kind: Kind, share: f64, seed: u64) -> Result<Fault, String> {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("share={share}: 0 to 1"));
        }
        Ok(Fault { kind, share, seed, requests: Arc::default() })
    }

    /// `KIND [share=S] [seed=N]`; nothing: no fault.
    pub fn parse(text: &str) -> Result<Option<Fault>, String> {
        let mut words = text.split_whitespace();
        let Some(kind) = words.next() else { return Ok(None) };
        let (mut share, mut seed) = (1.0, 0);
        for word in words {
            match word.split_once('=') {
                Some(("share", number)) => share = number.parse().map_err(|_| format!("{word}: a number"))?,
                Some(("seed", number)) => seed = number.parse().map_err(|_| format!("{word}: a number"))?,
                _ => return Err(format!("{word}: share= or seed=")),
            }
        }
        Fault::new(kind.parse()?, share, seed).map(Some)
    }

    /// Whether the next request is met.
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    pub fn strikes(&self) -> bool {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let random = crate::lines::mix(crate::lines::mix(self.seed) ^ request);
        (random >> 11) as f64 / ((1_u64 << 53) as f64) < self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_as_written() {
        let kind = |text: &str| text.parse::<Kind>();
        assert_eq!(kind("status=503"), Ok(Kind::Status(503)));
        assert_eq!(kind("delay=200ms"), Ok(Kind::Delay(Duration::from_millis(200))));
        assert_eq!(kind("delay=2s"), Ok(Kind::Delay(Duration::from_secs(2))));
        assert_eq!(
            [kind("hang"), kind("reset"), kind("garbage")],
            [Ok(Kind::Hang), Ok(Kind::Reset), Ok(Kind::Garbage)]
        );
        for wrong in ["", "status=", "status=99", "delay=200", "delay=2h", "delay=99999s", "hang=1", "slow"] {
            assert!(kind(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_and_seeds_as_written() {
        let fault = Fault::parse("hang share=0.25 seed=7").expect("well-formed").expect("a fault");
        assert_eq!((fault.kind, fault.seed), (Kind::Hang, 7));
        assert!((fault.share - 0.25).abs() < f64::EPSILON);
        assert!(Fault::parse(" \n").expect("well-formed").is_none());
        for wrong in ["hang share=2", "hang share=x", "hang often", "share=0.5"] {
            assert!(Fault::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_is_met_and_a_seed_repeats() {
        let strikes = |share, seed| {
            let fault = Fault::new(Kind::Reset, share, seed).expect("a share");
            (0..10_000).map(|_| fault.strikes()).collect::<Vec<bool>>()
        };
        let struck = strikes(0.1, 1).iter().filter(|&&struck| struck).count();
        assert!((900..1100).contains(&struck), "{struck}");
        assert_eq!(strikes(0.1, 1), strikes(0.1, 1));
        assert_ne!(strikes(0.1, 1), strikes(0.1, 2));
        assert!(strikes(1.0, 3).iter().all(|&struck| struck) && !strikes(0.0, 3).contains(&true));
    }
}
