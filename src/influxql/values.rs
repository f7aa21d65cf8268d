//! Texts that differ in their values alone: those of a dashboard that writes out from when to when it asks, and of which host.
//!
//! Of such texts one is parsed; the trees of the others are its tree with other values. Used by `query::texts`.

use std::iter;
use std::ops::Range;

use super::ast::{Expr, Query};
use super::params::Params;
use super::range::is_time;
use super::read_query;

/// What a text says, its values left out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Written {
    /// The text, with `0` for each digit of its times, and with nothing between the quotes of its words.
    pub form: String,
    pub values: Values,
}

/// What stands right behind comparisons, in the order of the text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Values {
    /// Whole numbers behind a comparison with `time`, without their units.
    numbers: Vec<i64>,
    /// What stands in single quotes, each with the quote behind it: no such word holds one.
    words: String,
}

impl Values {
    /// Of the words: a form and these are as long as the text at least.
    pub fn bytes(&self) -> usize {
        self.words.len()
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.words.split_terminator('\'')
    }
}

impl Written {
    /// Reads a text in place of the one before. What it takes for values may be none: [`Form::of`] sees that.
    pub fn read(&mut self, text: &str) {
        let Values { numbers, words } = &mut self.values;
        self.form.clear();
        numbers.clear();
        words.clear();
        let mut copied = 0;
        for place in places(text) {
            let (at, value) = (place.at(), &text[place.at()]);
            match place {
                Place::Word(_) => {
                    words.push_str(value);
                    words.push('\'');
                    self.form.push_str(&text[copied..at.start]);
                }
                Place::Number(_) => {
                    // A number that is too large is a part of the form.
                    let Ok(number) = value.parse() else { continue };
                    numbers.push(number);
                    self.form.push_str(&text[copied..at.start]);
                    self.form.extend(at.clone().map(|_| '0'));
                }
            }
            copied = at.end;
        }
        self.form.push_str(&text[copied..]);
    }

    fn of(text: &str) -> Written {
        let mut written = Written::default();
        written.read(text);
        written
    }
}

/// Where a value stands in a text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Digits right behind a comparison with `time`.
    Number(Range<usize>),
    /// What the quotes behind a comparison hold.
    Word(Range<usize>),
}

impl Place {
    pub(super) fn at(&self) -> Range<usize> {
        match self {
            Place::Number(at) | Place::Word(at) => at.clone(),
        }
    }
}

/// Longer ones are a part of the form.
const WORD_BYTES_MAX: usize = 128;

/// Where values stand in any text, behind `time >= `, `host = `, and the like.
pub(super) fn places(text: &str) -> impl Iterator<Item = Place> {
    let bytes = text.as_bytes();
    let mut read = 0;
    iter::from_fn(move || {
        while let Some(ahead) = memchr::memchr3(b'<', b'>', b'=', &bytes[read..]) {
            let operator = read + ahead;
            read = operator + 1;
            let is_between = |byte: &&u8| matches!(**byte, b'<' | b'>' | b'=' | b' ');
            let start = operator + bytes[operator..].iter().take_while(is_between).count();
            if bytes.get(start) == Some(&b'\'') {
                if let Some(length) = word_length(&bytes[start + 1..]) {
                    read = start + length + 2;
                    return Some(Place::Word(start + 1..start + 1 + length));
                }
            } else if ends_with_time(&bytes[..operator]) {
                let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                if length > 0 {
                    read = start + length;
                    return Some(Place::Number(start..read));
                }
            }
        }
        None
    })
}

/// Of a word that means what is written: up to the quote at its end.
fn word_length(bytes: &[u8]) -> Option<usize> {
    let bytes = &bytes[..bytes.len().min(WORD_BYTES_MAX + 1)];
    let end = bytes.iter().position(|byte| matches!(byte, b'\'' | b'\\' | b'\n' | b'\r' | b'\0'))?;
    (bytes[end] == b'\'').then_some(end)
}

fn ends_with_time(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    let unquoted = before.strip_suffix(b"\"");
    let Some((left, last)) = unquoted.unwrap_or(before).split_last_chunk::<4>() else { return false };
    let is_whole = match left.last() {
        Some(b'"') => unquoted.is_some(),
        Some(byte) => unquoted.is_none() && !byte.is_ascii_alphanumeric() && *byte != b'_',
        None => true,
    };
    is_whole && last.eq_ignore_ascii_case(b"time")
}

/// Each is held against each: texts with more of them are parsed each.
const VALUES_MAX: usize = 64;

/// How the values of a form's texts stand in their trees.
#[derive(Debug)]
pub struct Form {
    /// Of each number: what one more of it makes in the tree, in nanoseconds.
    units: Vec<i64>,
    words: usize,
}

impl Form {
    /// That of a text that has no parameters and of its tree; `None`: texts of its form may differ in more.
    ///
    /// Shown by another text of the form, which is parsed.
    pub fn of(text: &str, query: &Query) -> Option<Form> {
        let values = Written::of(text).values;
        let (numbers, words): (_, Vec<&str>) = (&values.numbers, values.words().collect());
        if numbers.len() + words.len() > VALUES_MAX {
            return None;
        }
        let (mut units, mut meant) = (Vec::new(), Vec::new());
        let mut left = numbers.iter();
        each_value(&mut query.clone(), &mut |value| match value {
            Value::Number(bound) => {
                let number = left.next().filter(|number| **number > 0 && *bound % **number == 0);
                units.push(number.map_or(0, |number| *bound / number));
            }
            Value::Word(word) => meant.push(word.clone()),
        });
        let has_values = !(units.is_empty() && meant.is_empty());
        let are_those = units.len() == numbers.len() && !units.contains(&0) && meant == words;
        if !(has_values && are_those) {
            return None;
        }
        let form = Form { units, words: words.len() };
        let other = another(text);
        let others = Written::of(&other).values;
        // Each is another one, and none is taken for the place of another: that would be seen.
        let ratios = || numbers.iter().zip(&others.numbers).map(|(one, other)| (i128::from(*one), i128::from(*other)));
        let are_apart = ratios().enumerate().all(|(at, (one, other))| {
            one != other && ratios().take(at).all(|(first, second)| one * second != other * first)
        });
        let mut put = query.clone();
        let is_shown = are_apart
            && form.put(&others, &mut put)
            && read_query(&other, &Params::new()).is_ok_and(|parsed| parsed == put);
        is_shown.then_some(form)
    }

    /// Makes the tree of one text that of another of the same form. `false`: that has a time which no tree can have, and this
    /// one is as it was.
    pub fn put(&self, values: &Values, query: &mut Query) -> bool {
        let numbers = &values.numbers;
        let mut bounds = numbers.iter().zip(&self.units).map(|(number, unit)| number.checked_mul(*unit));
        let is_of_form = numbers.len() == self.units.len() && values.words().count() == self.words;
        if !is_of_form || bounds.clone().any(|bound| bound.is_none()) {
            return false;
        }
        let mut words = values.words();
        each_value(query, &mut |value| match value {
            Value::Number(bound) => {
                if let Some(Some(put)) = bounds.next() {
                    *bound = put;
                }
            }
            Value::Word(word) => {
                if let Some(put) = words.next() {
                    put.clone_into(word);
                }
            }
        });
        true
    }
}

/// A text of the same form with other values: numbers as far below the largest as these are above zero, equal ones apart; words
/// that are neither among these nor among each other.
fn another(text: &str) -> String {
    let values = Written::of(text).values;
    let words: Vec<&str> = values.words().collect();
    let mut unheard = (0..).map(|n: usize| n.to_string()).filter(|word| !words.contains(&word.as_str()));
    let mut before: Vec<&str> = Vec::new();
    let (mut other, mut copied) = (String::new(), 0);
    for place in places(text) {
        let (at, own) = (place.at(), &text[place.at()]);
        let put = match place {
            Place::Word(_) => unheard.next(),
            Place::Number(_) => {
                let length = own.len();
                let equal = before.iter().filter(|number| **number == own).count() as u128;
                before.push(own);
                let end = 10_u128.checked_pow(u32::try_from(length).unwrap_or(u32::MAX));
                let own = end.zip(own.parse::<u128>().ok());
                own.map(|(end, number)| format!("{:0length$}", (end - 1 - number + equal) % end))
            }
        };
        other.push_str(&text[copied..at.start]);
        other.push_str(put.as_deref().unwrap_or(own));
        copied = at.end;
    }
    other.push_str(&text[copied..]);
    other
}

enum Value<'a> {
    /// A whole number or a length that `time` is compared with.
    Number(&'a mut i64),
    /// A text that anything is compared with.
    Word(&'a mut String),
}

/// The values of a tree, in the order of its text.
fn each_value(query: &mut Query, visit: &mut impl FnMut(Value<'_>)) {
    for statement in &mut query.statements {
        statement.visit_exprs_mut(&mut |expr| each_value_in(expr, visit));
    }
}

fn each_value_in(expr: &mut Expr, visit: &mut impl FnMut(Value<'_>)) {
    match expr {
        Expr::And(terms) | Expr::Or(terms) => terms.iter_mut().for_each(|term| each_value_in(term, visit)),
        Expr::Paren(inner) => each_value_in(inner, visit),
        Expr::Binary { op, lhs, rhs } if op.is_comparison() => match &mut **rhs {
            Expr::String(word) => visit(Value::Word(word)),
            Expr::Integer(bound) | Expr::Duration(bound) if is_time(lhs) => visit(Value::Number(bound)),
            _ => {}
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Query {
        read_query(text, &Params::new()).unwrap_or_else(|misread| panic!("{text}: {}", misread.error))
    }

    /// The other text's tree, made of the one text's.
    fn moved(text: &str, other: &str) -> Option<Query> {
        let mut query = parsed(text);
        let form = Form::of(text, &query)?;
        let (one, other) = (Written::of(text), Written::of(other));
        assert_eq!(one.form, other.form);
        form.put(&other.values, &mut query).then_some(query)
    }

    #[test]
    fn what_other_values_mean_is_what_their_text_means() {
        for (text, other) in [
            (
                "SELECT mean(v) FROM m WHERE time >= 1700000060000ms and time <= 1700001500000ms GROUP BY time(30s) fill(1)",
                "SELECT mean(v) FROM m WHERE time >= 1700000090000ms and time <= 1700001530000ms GROUP BY time(30s) fill(1)",
            ),
            (
                "SELECT v FROM m WHERE time > 17s AND time < 17s; SELECT w FROM m WHERE time > 17s AND time < 17h",
                "SELECT v FROM m WHERE time > 18s AND time < 19s; SELECT w FROM m WHERE time > 20s AND time < 20h",
            ),
            (
                "SELECT v FROM m WHERE uptime > 25 AND \"response_time\" > 3 AND time > 60h",
                "SELECT v FROM m WHERE uptime > 25 AND \"response_time\" > 3 AND time > 70h",
            ),
            ("SELECT v FROM m WHERE time > 1700000060000000000", "SELECT v FROM m WHERE time > 1800000060000000001"),
            (
                "SELECT v FROM m WHERE \"time\"=7d OR (h = 'time' AND TIME  < 8d)",
                "SELECT v FROM m WHERE \"time\"=9d OR (h = 'time' AND TIME  < 1d)",
            ),
            (
                "SELECT max(v) FROM (SELECT v FROM m WHERE time > 10s AND h =~ /^a$/ LIMIT 5), (SELECT v FROM m WHERE time > 20) WHERE time < 30m",
                "SELECT max(v) FROM (SELECT v FROM m WHERE time > 01s AND h =~ /^a$/ LIMIT 5), (SELECT v FROM m WHERE time > 99) WHERE time < 30m",
            ),
            (
                "DELETE FROM m WHERE time<5h;SHOW TAG VALUES WITH KEY = h WHERE time>4u",
                "DELETE FROM m WHERE time<0h;SHOW TAG VALUES WITH KEY = h WHERE time>9u",
            ),
            (
                "SELECT v FROM m WHERE (h = 'a' OR h='b' or h != '') AND time >= '2026-01-01' AND time < 7d GROUP BY time(1m) tz('UTC')",
                "SELECT v FROM m WHERE (h = 'é' OR h='\"=/' or h != '-- ') AND time >= 'time < 8' AND time < 9d GROUP BY time(1m) tz('UTC')",
            ),
            (
                "SELECT v FROM (SELECT v FROM m WHERE a = 'x' AND b > 'x' AND c =~ /^d$/) WHERE e = 'x'; SHOW SERIES WHERE f='g'",
                "SELECT v FROM (SELECT v FROM m WHERE a = 'y' AND b > 'x' AND c =~ /^d$/) WHERE e = 'w'; SHOW SERIES WHERE f='hh'",
            ),
        ] {
            assert_eq!(moved(text, other).as_ref(), Some(&parsed(other)), "{text}");
        }
    }

    #[test]
    fn texts_whose_values_are_not_what_they_look_like_have_none() {
        for text in [
            "SELECT v FROM m WHERE time > now() - 1h",
            "SELECT v FROM m WHERE time > -5",
            "SELECT v FROM m WHERE time > 1h30m",
            "SELECT v FROM m WHERE time > 5 AND time < 5h30m",
            "SELECT v FROM m WHERE time > 0000000000000000000000000000000000000005h30m",
            "SELECT v FROM m WHERE time > 1.5",
            "SELECT v FROM m WHERE time > 5 + 3",
            "SELECT v FROM m WHERE 5 < time",
            "SELECT v FROM m WHERE uptime > 5",
            "SELECT v FROM m WHERE uptime > 5 AND time > -7",
            "SELECT v FROM m WHERE time > 0",
            "SELECT v FROM m WHERE time > /* time > 5 */ 5",
            "SELECT v FROM m WHERE h =~ /time > 5/ AND time > -5",
            "SELECT v FROM m WHERE h =~ /time > 5/ AND time > (5)",
            "SELECT v FROM m WHERE time > /**/ 5 -- time > 5",
            "SELECT v FROM \"time=3\" WHERE time /**/ > 3",
            "SELECT \"time >7\" FROM m WHERE time >\n7",
            "SELECT v FROM m WHERE time > 18446744073709551615",
            "SELECT v AS \"time <4\" FROM m WHERE \"time\"\n<\t4",
            "SELECT v FROM m WHERE a =/* = 'b'*/'b'",
            "SELECT v FROM m WHERE a =~ /='/ AND b = 'c'",
            "SELECT \"='d'\" FROM m WHERE a = ('d')",
            "SELECT v FROM m WHERE 'a' = 'b' = 'c'",
            "SET PASSWORD FOR a = 'b'",
            "SELECT v FROM m; MATH name=a expr='b'",
        ] {
            assert!(Form::of(text, &parsed(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn a_time_that_is_too_large_is_left_to_the_parser() {
        let text = "SELECT v FROM m WHERE time > 1000000000s";
        assert!(moved(text, "SELECT v FROM m WHERE time > 9223372036s").is_some());
        assert!(moved(text, "SELECT v FROM m WHERE time > 9223372037s").is_none());
        let large = "SELECT v FROM m WHERE time > 9300000000000000000";
        assert_eq!(Written::of(large).form, large);
    }

    #[test]
    fn a_text_of_very_many_times_has_none() {
        let is_known = |times: usize| {
            let times: Vec<String> = (100..100 + times).map(|n| format!("time = {n}s")).collect();
            let text = format!("SELECT v FROM m WHERE {}", times.join(" OR "));
            Form::of(&text, &parsed(&text)).is_some()
        };
        assert!(is_known(VALUES_MAX) && !is_known(VALUES_MAX + 1));
    }

    #[test]
    fn a_form_says_all_but_the_values() {
        let written =
            Written::of("SELECT é FROM m WHERE time >= 1700s AND a = 'é=\"' AND time<25 AND v > 12 AND b!= 'time < 1'");
        assert_eq!(written.form, "SELECT é FROM m WHERE time >= 0000s AND a = '' AND time<00 AND v > 12 AND b!= ''");
        assert_eq!(written.values.numbers, [1700, 25]);
        assert_eq!(written.values.words().collect::<Vec<_>>(), ["é=\"", "time < 1"]);
        for text in ["time > ", "a = '", "a = 'b", "a = 'b\\'c'", "a = 'b\nc'", "a =~ /'b'/"] {
            assert_eq!(Written::of(text), Written { form: text.to_owned(), values: Values::default() }, "{text}");
        }
        for length in [WORD_BYTES_MAX, WORD_BYTES_MAX + 1] {
            let text = format!("a = '{}' AND b = ''", "é".repeat(length / 2) + &"x".repeat(length % 2));
            assert_eq!(
                Written::of(&text).values.words().count(),
                1 + usize::from(length == WORD_BYTES_MAX),
                "{length}"
            );
        }
    }
}
