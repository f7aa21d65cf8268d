//! URL and form parameters, as InfluxDB reads them.

use std::rc::Rc;

use form_urlencoded::Serializer;

/// The decoded parameters of one request, those of the body before those of the URL, as Go's `FormValue` finds them.
#[derive(Clone, Debug, Default)]
pub struct Params(Rc<Pairs>);

/// Names and values, decoded, one behind the other.
#[derive(Clone, Debug, Default)]
struct Pairs {
    text: String,
    /// Of each pair: where its name and its value end.
    ends: Vec<(usize, usize)>,
}

impl Pairs {
    fn push(&mut self, name: &str, value: &str) {
        self.text.push_str(name);
        let name_end = self.text.len();
        self.text.push_str(value);
        self.ends.push((name_end, self.text.len()));
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |&(name_end, end)| {
            let pair = (&self.text[start..name_end], &self.text[name_end..end]);
            start = end;
            pair
        })
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Pairs {
        let mut own = Pairs::default();
        pairs.into_iter().for_each(|(name, value)| own.push(name, value));
        own
    }
}

impl Params {
    /// Reads a query string or a form body. A raw `;` is a byte like others: InfluxQL has many. A pair with a broken
    /// `%` escape is left out, as Go does.
    pub fn parse(text: &[u8]) -> Params {
        // Decoded they are no longer.
        let mut pairs = Pairs { text: String::with_capacity(text.len()), ends: Vec::with_capacity(8) };
        let mut decoded = Vec::with_capacity(text.len());
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_at(memchr::memchr(b'=', pair).unwrap_or(pair.len()));
            decoded.clear();
            let Some(name_end) = decode(name, &mut decoded) else { continue };
            if decode(value.get(1..).unwrap_or_default(), &mut decoded).is_some() {
                let (name, value) = decoded.split_at(name_end);
                pairs.push(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value));
            }
        }
        Params(Rc::new(pairs))
    }

    /// Parameters that were told otherwise.
    pub fn of(pairs: impl Iterator<Item = (String, String)>) -> Params {
        let mut own = Pairs::default();
        pairs.for_each(|(name, value)| own.push(&name, &value));
        Params(Rc::new(own))
    }

    /// These parameters, then `behind`: a name in both is found here first.
    pub fn chain(mut self, behind: Params) -> Params {
        if self.0.ends.is_empty() {
            return behind;
        }
        let own = Rc::make_mut(&mut self.0);
        behind.iter().for_each(|(name, value)| own.push(name, value));
        self
    }

    /// The first value of a name; empty when absent, which InfluxDB treats alike.
    pub fn get(&self, name: &str) -> &str {
        self.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter()
    }

    /// Another value for a name, wherever it has one.
    pub fn replace(&mut self, name: &str, value: &str) {
        let replaced = self.iter().map(|(own, old)| (own, if own == name { value } else { old }));
        self.0 = Rc::new(replaced.collect());
    }

    /// Encoded without the given names.
    pub fn encode_without(&self, names: &[&str]) -> String {
        let kept = self.iter().filter(|(name, _)| !names.contains(name));
        Serializer::new(String::new()).extend_pairs(kept).finish()
    }
}

/// Adds what a name or a value of a form means; how long all is then. `None`: an escape is broken.
fn decode(mut encoded: &[u8], decoded: &mut Vec<u8>) -> Option<usize> {
    while let Some(at) = memchr::memchr2(b'%', b'+', encoded) {
        decoded.extend_from_slice(&encoded[..at]);
        let length = match encoded[at] {
            b'+' => {
                decoded.push(b' ');
                1
            }
            _ => {
                let digit = |at: usize| char::from(*encoded.get(at)?).to_digit(16);
                decoded.push(u8::try_from(digit(at + 1)? * 16 + digit(at + 2)?).ok()?);
                3
            }
        };
        encoded = &encoded[at + length..];
    }
    decoded.extend_from_slice(encoded);
    Some(decoded.len())
}

/// Encodes parameters, leaving out empty values.
pub fn encode(pairs: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty())).finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn forms_whose_escapes_are_sound_are_read_as_others_read_them(text in r"([a&=+;]|é|%[0-9a-fA-F]{2}){0,24}") {
            let params = Params::parse(text.as_bytes());
            let theirs: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
            let own: Vec<_> = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(own, theirs);
            for broken in ["%", "%4", "%g1", "%1g", "%+1", "%é"] {
                let with = format!("x=1&{text}{broken}&y=2&{broken}=3&z");
                let last = text.rfind('&').map_or("", |at| &text[..at]);
                let without = format!("x=1&{last}&y=2&z");
                let read = |text: &str| Params::parse(text.as_bytes()).encode_without(&[]);
                prop_assert_eq!(read(&with), read(&without), "a pair with a broken escape is left out");
            }
        }
    }

    #[test]
    fn the_body_comes_before_the_url() {
        let params = Params::parse(b"q=a%3Bb;c&x=1+2").chain(Params::parse(b"q=z&db=d&u=me"));
        assert_eq!((params.get("q"), params.get("x"), params.get("db"), params.get("no")), ("a;b;c", "1 2", "d", ""));
        assert_eq!(params.encode_without(&["q", "u"]), "x=1+2&db=d");
        assert_eq!(Params::parse(b"db=%zz&q=%20x%4&rp=%41").get("db"), "");
        assert_eq!(Params::parse(b"db=%zz&q=%20x%4&rp=%41").encode_without(&[]), "rp=A");
        assert_eq!(encode(&[("db", "a b"), ("rp", ""), ("precision", "s")]), "db=a+b&precision=s");
        let mut params = Params::parse(b"q=a&db=d&q=b&x");
        let shared = params.clone();
        params.replace("q", "SELECT");
        assert_eq!(params.encode_without(&[]), "q=SELECT&db=d&q=SELECT&x=");
        assert_eq!(shared.encode_without(&[]), "q=a&db=d&q=b&x=", "as it was for whoever has it");
    }
}
