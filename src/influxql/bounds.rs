//! Texts that differ in their times alone: those of a dashboard that writes out from when to when it asks.
//!
//! Of such texts one is parsed; the trees of the others are its tree with other numbers. Used by `query::texts`.

use std::ops::Range;

use super::ast::{Expr, Query};
use super::params::Params;
use super::range::is_time;
use super::read_query;

/// What a text says, its times left out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Written {
    /// The text, with `0` for each digit of its times. Two texts of one form are equally long.
    pub form: String,
    /// The whole numbers that stand right behind a comparison with `time`, in the order of the text; without their units.
    pub numbers: Vec<i64>,
}

impl Written {
    /// Reads a text in place of the one before. What it takes for times may be none: [`Bounds::of`] sees that.
    pub fn read(&mut self, text: &str) {
        self.form.clear();
        self.numbers.clear();
        let mut copied = 0;
        for digits in times(text) {
            // A number that is too large is a part of the form.
            let Ok(number) = text[digits.clone()].parse() else { continue };
            self.numbers.push(number);
            self.form.push_str(&text[copied..digits.start]);
            self.form.extend(digits.clone().map(|_| '0'));
            copied = digits.end;
        }
        self.form.push_str(&text[copied..]);
    }

    fn of(text: &str) -> Written {
        let mut written = Written::default();
        written.read(text);
        written
    }
}

/// Where the digits stand that follow `time >= `, and the like, in any text.
pub(super) fn times(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    memchr::memchr3_iter(b'<', b'>', b'=', bytes).filter_map(move |at| {
        if !ends_with_time(&bytes[..at]) {
            return None;
        }
        let is_between = |byte: &&u8| matches!(**byte, b'<' | b'>' | b'=' | b' ');
        let start = at + bytes[at..].iter().take_while(is_between).count();
        let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (length > 0).then_some(start..start + length)
    })
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
const NUMBERS_MAX: usize = 64;

/// How the times of a form's texts stand in their trees.
#[derive(Debug)]
pub struct Bounds {
    /// Of each number: what one more of it makes in the tree, in nanoseconds.
    units: Vec<i64>,
}

impl Bounds {
    /// Those of a text that has no parameters and of its tree; `None`: texts of its form may differ in more.
    ///
    /// Shown by another text of the form, which is parsed.
    pub fn of(text: &str, query: &Query) -> Option<Bounds> {
        let numbers = Written::of(text).numbers;
        if numbers.len() > NUMBERS_MAX {
            return None;
        }
        let mut units = Vec::new();
        let mut left = numbers.iter();
        each_bound(&mut query.clone(), &mut |bound| {
            let number = left.next().filter(|number| **number > 0 && *bound % **number == 0);
            units.push(number.map_or(0, |number| *bound / number));
        });
        if units.is_empty() || units.len() != numbers.len() || units.contains(&0) {
            return None;
        }
        let bounds = Bounds { units };
        let other = another(text);
        let others = Written::of(&other).numbers;
        // Each is another one, and none is taken for the place of another: that would be seen.
        let ratios = || numbers.iter().zip(&others).map(|(one, other)| (i128::from(*one), i128::from(*other)));
        let are_apart = ratios().enumerate().all(|(at, (one, other))| {
            one != other && ratios().take(at).all(|(first, second)| one * second != other * first)
        });
        let mut put = query.clone();
        let is_shown = are_apart
            && bounds.put(&others, &mut put)
            && read_query(&other, &Params::new()).is_ok_and(|parsed| parsed == put);
        is_shown.then_some(bounds)
    }

    /// Makes the tree of one text that of another of the same form. `false`: that has a time which no tree can have, and this
    /// one is as it was.
    pub fn put(&self, numbers: &[i64], query: &mut Query) -> bool {
        let mut bounds = numbers.iter().zip(&self.units).map(|(number, unit)| number.checked_mul(*unit));
        if numbers.len() != self.units.len() || bounds.clone().any(|bound| bound.is_none()) {
            return false;
        }
        each_bound(query, &mut |bound| {
            if let Some(Some(put)) = bounds.next() {
                *bound = put;
            }
        });
        true
    }
}

/// A text of the same form with other numbers: as far below the largest as these are above zero, equal ones apart.
fn another(text: &str) -> String {
    let mut other = text.to_owned();
    let mut before: Vec<&str> = Vec::new();
    for digits in times(text) {
        let (own, length) = (&text[digits.clone()], digits.len());
        let equal = before.iter().filter(|number| **number == own).count() as u128;
        before.push(own);
        let end = 10_u128.checked_pow(u32::try_from(length).unwrap_or(u32::MAX));
        if let (Some(end), Ok(number)) = (end, own.parse::<u128>()) {
            other.replace_range(digits, &format!("{:0length$}", (end - 1 - number + equal) % end));
        }
    }
    other
}

/// The whole numbers and lengths that `time` is compared with, in the order of the text.
fn each_bound(query: &mut Query, visit: &mut impl FnMut(&mut i64)) {
    for statement in &mut query.statements {
        statement.visit_exprs_mut(&mut |expr| each_bound_in(expr, visit));
    }
}

fn each_bound_in(expr: &mut Expr, visit: &mut impl FnMut(&mut i64)) {
    match expr {
        Expr::And(terms) | Expr::Or(terms) => terms.iter_mut().for_each(|term| each_bound_in(term, visit)),
        Expr::Paren(inner) => each_bound_in(inner, visit),
        Expr::Binary { op, lhs, rhs } if op.is_comparison() && is_time(lhs) => match &mut **rhs {
            Expr::Integer(bound) | Expr::Duration(bound) => visit(bound),
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
        let bounds = Bounds::of(text, &query)?;
        let (one, other) = (Written::of(text), Written::of(other));
        assert_eq!(one.form, other.form);
        bounds.put(&other.numbers, &mut query).then_some(query)
    }

    #[test]
    fn what_other_times_mean_is_what_their_text_means() {
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
        ] {
            assert_eq!(moved(text, other).as_ref(), Some(&parsed(other)), "{text}");
        }
    }

    #[test]
    fn texts_whose_times_are_not_what_they_look_like_have_none() {
        for text in [
            "SELECT v FROM m WHERE time > now() - 1h",
            "SELECT v FROM m WHERE h = 'time>1' AND time > 7d",
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
        ] {
            assert!(Bounds::of(text, &parsed(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn a_time_that_is_too_large_is_left_to_the_parser() {
        let text = "SELECT v FROM m WHERE time > 1000000000s";
        assert!(moved(text, "SELECT v FROM m WHERE time > 9223372036s").is_some());
        assert!(moved(text, "SELECT v FROM m WHERE time > 9223372037s").is_none());
        let large = "SELECT v FROM m WHERE time > 9300000000000000000";
        assert_eq!(Written::of(large), Written { form: large.to_owned(), numbers: Vec::new() });
    }

    #[test]
    fn a_text_of_very_many_times_has_none() {
        let is_known = |times: usize| {
            let times: Vec<String> = (100..100 + times).map(|n| format!("time = {n}s")).collect();
            let text = format!("SELECT v FROM m WHERE {}", times.join(" OR "));
            Bounds::of(&text, &parsed(&text)).is_some()
        };
        assert!(is_known(NUMBERS_MAX) && !is_known(NUMBERS_MAX + 1));
    }

    #[test]
    fn a_form_is_as_long_as_its_texts_and_says_all_else() {
        let written = Written::of("SELECT é FROM m WHERE time >= 1700s AND time<25 AND v > 12");
        assert_eq!(written.form, "SELECT é FROM m WHERE time >= 0000s AND time<00 AND v > 12");
        assert_eq!(written.numbers, [1700, 25]);
        assert_eq!(Written::of("time > "), Written { form: "time > ".to_owned(), numbers: Vec::new() });
    }
}
