//! Which values a condition leaves possible for a tag.
//!
//! Only ever too many, never too few: what is not understood leaves any value possible. Understood are `tag = 'value'` and
//! `tag =~ /^(a|b)$/`, through AND, OR and parentheses.

use std::collections::BTreeSet;

use crate::influxql::ast::{BinaryOp, Cast};
use crate::influxql::{Expr, Select};
use crate::topology::{GroupIndex, SlotKey, Topology};

/// The values that a tag may have; `None`: any.
pub type Values = Option<BTreeSet<String>>;

/// More combinations of several tags' values than this are not worked out: any group may have them.
const COMBINATIONS_MAX: usize = 4096;

/// The values that `select`'s own condition leaves to a tag. A series without the tag has the empty value. A name without
/// `::tag` means a field if there is such a field: then it pins nothing.
pub fn values(select: &Select, tag: &str, is_field: bool) -> Values {
    select.condition.as_ref().and_then(|condition| of_expr(condition, tag, is_field))
}

fn of_expr(expr: &Expr, tag: &str, is_field: bool) -> Values {
    match expr {
        Expr::Paren(inner) => of_expr(inner, tag, is_field),
        Expr::And(terms) => {
            let known = terms.iter().filter_map(|term| of_expr(term, tag, is_field));
            known.reduce(|some, others| some.intersection(&others).cloned().collect())
        }
        Expr::Or(terms) => {
            let all: Option<Vec<BTreeSet<String>>> = terms.iter().map(|term| of_expr(term, tag, is_field)).collect();
            Some(all?.into_iter().flatten().collect())
        }
        Expr::Binary { op, lhs, rhs } if names_tag(lhs, tag, is_field) => match (op, &**rhs) {
            (BinaryOp::Equal, Expr::String(value)) => Some(BTreeSet::from([value.clone()])),
            (BinaryOp::Match, Expr::Regex(regex)) => alternatives(regex),
            _ => None,
        },
        Expr::Binary { op: BinaryOp::Equal, lhs, rhs } if names_tag(rhs, tag, is_field) => match &**lhs {
            Expr::String(value) => Some(BTreeSet::from([value.clone()])),
            _ => None,
        },
        _ => None,
    }
}

fn names_tag(expr: &Expr, tag: &str, is_field: bool) -> bool {
    match expr {
        Expr::VarRef(var) if var.name == tag => match var.cast {
            None => !is_field,
            Some(cast) => cast == Cast::Tag,
        },
        _ => false,
    }
}

/// The plain values that a regular expression such as `^(a|b)$` or `^a$` stands for.
fn alternatives(regex: &str) -> Values {
    let inner = regex.strip_prefix('^')?.strip_suffix('$')?;
    let group = inner.strip_prefix("(?:").or_else(|| inner.strip_prefix('('));
    let inner = match group {
        Some(rest) => rest.strip_suffix(')')?,
        // `^a|b$` is something else.
        None if inner.contains('|') => return None,
        None => inner,
    };
    inner.split('|').map(plain).collect()
}

/// The text that an expression without operators stands for.
fn plain(expression: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = expression.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next().filter(char::is_ascii_punctuation)?),
            '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' | '|' => return None,
            other => text.push(other),
        }
    }
    Some(text)
}

/// The groups that own the series of a measurement whose rule's tags have these values.
pub fn owners(topology: &Topology, db: &str, measurement: &str, tags: &[Values]) -> BTreeSet<GroupIndex> {
    let known: Option<Vec<&BTreeSet<String>>> = tags.iter().map(Option::as_ref).collect();
    let count =
        |known: &Vec<&BTreeSet<String>>| known.iter().try_fold(1_usize, |n, values| n.checked_mul(values.len()));
    let Some(known) = known.filter(|known| count(known).is_some_and(|count| count <= COMBINATIONS_MAX)) else {
        return topology.group_indexes().collect();
    };
    let mut combinations: Vec<Vec<&str>> = vec![Vec::new()];
    for values in known {
        let mut longer = Vec::new();
        for combination in &combinations {
            longer.extend(values.iter().map(|value| [combination.as_slice(), &[value.as_str()]].concat()));
        }
        combinations = longer;
    }
    let owner = |values: &Vec<&str>| {
        let mut key = SlotKey::database(db);
        key.push(measurement.as_bytes());
        values.iter().for_each(|value| key.push(value.as_bytes()));
        topology.owner(key.slot())
    };
    combinations.iter().map(owner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, Statement, parse_query};

    fn host(condition: &str, is_field: bool) -> Option<Vec<String>> {
        let text = format!("SELECT v FROM m WHERE {condition}");
        let query = parse_query(&text, &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let Statement::Select(select) = &query.statements[0] else { panic!("a SELECT") };
        values(select, "host", is_field).map(|values| values.into_iter().collect())
    }

    #[test]
    fn what_pins_a_tag() {
        for (condition, expected) in [
            ("host = 'a'", Some(vec!["a"])),
            ("'a' = host", Some(vec!["a"])),
            ("host::tag = 'a'", Some(vec!["a"])),
            ("host = ''", Some(vec![""])),
            ("host = 'a' AND v > 3 AND time > 5", Some(vec!["a"])),
            ("(host = 'a' OR (host = 'b')) AND v > 3", Some(vec!["a", "b"])),
            ("host = 'a' AND host = 'b'", Some(vec![])),
            ("(host = 'a' OR host = 'b') AND (host = 'b' OR host = 'c')", Some(vec!["b"])),
            ("(host = 'a' AND dc = 'x') OR (host = 'b' AND dc = 'y')", Some(vec!["a", "b"])),
            ("host =~ /^(a|b\\.c|)$/", Some(vec!["", "a", "b.c"])),
            ("host =~ /^(?:a)$/", Some(vec!["a"])),
            ("host =~ /^web-1$/", Some(vec!["web-1"])),
            ("host = 'a' OR v > 3", None),
            ("host != 'a'", None),
            ("host =~ /a/", None),
            ("host =~ /^a|b$/", None),
            ("host =~ /^(a)(b)$/", None),
            ("host =~ /^a.$/", None),
            ("host =~ /^(a|b)\\$/", None),
            ("host =~ /^\\d$/", None),
            ("host !~ /^a$/", None),
            ("host::string = 'a'", None),
            ("host::field = 'a'", None),
            ("other = 'a'", None),
            ("host = other", None),
        ] {
            let expected = expected.map(|values| values.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(host(condition, false), expected, "{condition}");
        }
    }

    /// Conditions of host and dc, and whether a series of these tags fits.
    fn fits(condition: &Expr, host: &str, dc: &str) -> bool {
        match condition {
            Expr::Paren(inner) => fits(inner, host, dc),
            Expr::And(terms) => terms.iter().all(|term| fits(term, host, dc)),
            Expr::Or(terms) => terms.iter().any(|term| fits(term, host, dc)),
            Expr::Binary { op, lhs, rhs } => {
                let value = if lhs.to_string().starts_with("host") { host } else { dc };
                match (op, &**rhs) {
                    (BinaryOp::Equal, Expr::String(wanted)) => value == wanted,
                    (BinaryOp::NotEqual, Expr::String(wanted)) => value != wanted,
                    (BinaryOp::Match, Expr::Regex(regex)) => {
                        regex::Regex::new(regex).expect("it reads").is_match(value)
                    }
                    (BinaryOp::NotMatch, Expr::Regex(regex)) => {
                        !regex::Regex::new(regex).expect("it reads").is_match(value)
                    }
                    other => panic!("no such term is made: {other:?}"),
                }
            }
            other => panic!("no such term is made: {other}"),
        }
    }

    fn condition() -> impl proptest::strategy::Strategy<Value = String> {
        use proptest::prelude::*;
        let name = prop_oneof![Just("host"), Just("host::tag"), Just("dc")];
        let values = prop_oneof![
            "[abc]{0,2}".prop_map(|value| format!("= '{value}'")),
            "[abc]{0,2}".prop_map(|value| format!("!= '{value}'")),
            "[abc.]{0,2}([|][abc]{0,2}){0,2}".prop_map(|text| format!("=~ /^({text})$/")),
            "[abc]{1,2}".prop_map(|text| format!("=~ /{text}/")),
            "[abc]{1,2}([|][abc])?".prop_map(|text| format!("=~ /^{text}$/")),
            "[abc]{1,2}".prop_map(|text| format!("!~ /^{text}$/")),
        ];
        let term = (name, values).prop_map(|(name, value)| format!("{name} {value}"));
        term.prop_recursive(3, 12, 3, |inner| {
            let list = |word: &'static str| {
                proptest::collection::vec(inner.clone(), 2..4).prop_map(move |terms| format!("({})", terms.join(word)))
            };
            prop_oneof![list(" AND "), list(" OR ")]
        })
    }

    proptest::proptest! {
        /// No series that fits has a value that was left out.
        #[test]
        fn never_too_few(condition in condition()) {
            let text = format!("SELECT v FROM m WHERE {condition}");
            let query = parse_query(&text, &Params::new()).expect("the test writes InfluxQL");
            let Statement::Select(select) = &query.statements[0] else { panic!("a SELECT") };
            let known = values(select, "host", false);
            let all = ["", "a", "b", "c", "aa", "ab", "ac", "ba", "bb", "bc", "ca", "cb", "cc"];
            for host in all {
                for dc in all {
                    let fits = fits(select.condition.as_ref().expect("it has one"), host, dc);
                    let left_out = known.as_ref().is_some_and(|known| !known.contains(host));
                    proptest::prop_assert!(!(fits && left_out), "{} {}: {:?}", host, condition, known);
                }
            }
        }
    }

    #[test]
    fn a_name_that_is_a_field_too_pins_nothing() {
        assert_eq!(host("host = 'a'", true), None);
        assert_eq!(host("host::tag = 'a'", true), Some(vec!["a".to_owned()]));
        assert_eq!(host("host = 'a' AND host::tag =~ /^(a|b)$/", true).map(|values| values.len()), Some(2));
    }
}
