//! Which regular expressions InfluxDB is sure to take. Called by the parser.
//!
//! Go decides what a regular expression is, when InfluxDB parses a request. Here nothing is said of those that are not plain:
//! whoever takes a request apart has to ask InfluxDB about them first.

/// Text, `.`, anchors, alternatives, groups, escaped signs, and single repetitions of something.
pub(super) fn is_plain(regex: &str) -> bool {
    let (mut chars, mut open) = (regex.chars(), 0_usize);
    // Whether the last piece can be repeated.
    let mut repeatable = false;
    while let Some(c) = chars.next() {
        repeatable = match c {
            '\\' if chars.next().is_some_and(|c| c.is_ascii_punctuation()) => true,
            '\\' | '[' | ']' | '{' | '}' => return false,
            '*' | '+' | '?' if repeatable => false,
            '*' | '+' | '?' => return false,
            '^' | '$' | '|' => false,
            '(' => {
                open += 1;
                false
            }
            ')' if open == 0 => return false,
            ')' => {
                open -= 1;
                true
            }
            _ => true,
        };
    }
    open == 0
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn what_go_takes_whatever_its_version() {
        for plain in ["", "a", "^(a|b)$", ".*", "a.b+c?", r"web\-1\.eu", "(a|)(b)*", "é ß", "^$", "a/b", "()"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in
            ["[ab]", "a{2}", "(", ")", "a)(", "(?i)a", "*", "a**", "a*?", "^*", "|+", r"\d", r"\", r"\é", "a|?"]
        {
            assert!(!is_plain(other), "{other}");
        }
    }
}
