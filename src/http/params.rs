//! URL and form parameters, as InfluxDB reads them.

use std::rc::Rc;

use form_urlencoded::Serializer;

/// The decoded parameters of one request, those of the body before those of the URL, as Go's `FormValue` finds them.
#[derive(Clone, Debug, Default)]
pub struct Params(Rc<Vec<(String, String)>>);

impl Params {
    /// Reads a query string or a form body. A raw `;` is a byte like others: InfluxQL has many. A pair with a broken
    /// `%` escape is left out, as Go does.
    pub fn parse(text: &[u8]) -> Params {
        let pairs = text.split(|byte| *byte == b'&').filter(|pair| well_escaped(pair));
        let pairs = pairs.flat_map(form_urlencoded::parse).map(|(name, value)| (name.into(), value.into()));
        Params(Rc::new(pairs.collect()))
    }

    /// Parameters that were told otherwise.
    pub fn of(pairs: impl Iterator<Item = (String, String)>) -> Params {
        Params(Rc::new(pairs.collect()))
    }

    /// These parameters, then `behind`: a name in both is found here first.
    pub fn chain(mut self, behind: Params) -> Params {
        if self.0.is_empty() {
            return behind;
        }
        Rc::make_mut(&mut self.0).extend(behind.0.iter().cloned());
        self
    }

    /// The first value of a name; empty when absent, which InfluxDB treats alike.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Another value for a name, wherever it has one.
    pub fn replace(&mut self, name: &str, value: &str) {
        for (_, old) in Rc::make_mut(&mut self.0).iter_mut().filter(|(own, _)| own == name) {
            value.clone_into(old);
        }
    }

    /// Encoded without the given names.
    pub fn encode_without(&self, names: &[&str]) -> String {
        let kept = self.0.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        Serializer::new(String::new()).extend_pairs(kept).finish()
    }
}

fn well_escaped(pair: &[u8]) -> bool {
    memchr::memchr_iter(b'%', pair)
        .all(|at| pair.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)))
}

/// Encodes parameters, leaving out empty values.
pub fn encode(pairs: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty())).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_comes_before_the_url() {
        let params = Params::parse(b"q=a%3Bb;c&x=1+2").chain(Params::parse(b"q=z&db=d&u=me"));
        assert_eq!((params.get("q"), params.get("x"), params.get("db"), params.get("no")), ("a;b;c", "1 2", "d", ""));
        assert_eq!(params.encode_without(&["q", "u"]), "x=1+2&db=d");
        assert_eq!(Params::parse(b"db=%zz&q=%20x%4&rp=%41").get("db"), "");
        assert_eq!(Params::parse(b"db=%zz&q=%20x%4&rp=%41").encode_without(&[]), "rp=A");
        assert_eq!(encode(&[("db", "a b"), ("rp", ""), ("precision", "s")]), "db=a+b&precision=s");
    }
}
