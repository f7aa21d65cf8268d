//! Texts that would exhaust a stack, on a small one.

use super::parse;
use crate::influxql::{EXPR_DEPTH_MAX, NESTING_MAX, ParseError};

/// Far less than the 2 MiB that a thread has, in a debug build.
const STACK_BYTES: usize = 1024 * 1024;

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test);
    thread.expect("a thread starts").join().expect("the test holds");
}

/// Parses, compares, copies, prints and drops.
fn survives(text: &str) {
    let query = parse(text).unwrap_or_else(|e| panic!("{e}"));
    let copy = query.clone();
    assert!(copy == query);
    assert!(!format!("{query:?}").is_empty());
    assert!(parse(&query.to_string()).is_ok_and(|again| again.statements == query.statements));
}

fn is_too_deep(text: &str) {
    match parse(text) {
        Err(ParseError::TooDeep { .. }) => {}
        other => panic!("{}…: {other:?}", &text[..40]),
    }
}

fn nest(open: &str, middle: &str, close: &str, times: usize) -> String {
    open.repeat(times) + middle + &close.repeat(times)
}

#[test]
fn depth_is_limited() {
    on_a_small_stack(|| {
        let at_limit = [
            format!("SELECT {} FROM m", nest("(", "v", ")", NESTING_MAX)),
            format!("SELECT {} FROM m", nest("-(", "v", ")", NESTING_MAX)),
            format!("SELECT {} FROM m", nest("f(", "v", ")", NESTING_MAX)),
            format!("SELECT {} FROM m", nest("distinct(", "v", ")", NESTING_MAX)),
            nest("SELECT v FROM (", "SELECT v FROM m", ")", NESTING_MAX),
            format!("SELECT v FROM m WHERE {}", nest("(a = 1 OR b * (c + ", "1", "))", NESTING_MAX / 2)),
            format!("SELECT v{} FROM m", " + v".repeat(EXPR_DEPTH_MAX - 1)),
            format!("SELECT v FROM m WHERE v{}", " = v".repeat(EXPR_DEPTH_MAX - 1)),
            // Deep in both ways at once.
            format!(
                "{}{} FROM m{}",
                "SELECT v FROM (".repeat(NESTING_MAX),
                format_args!("SELECT v{}", " + v".repeat(EXPR_DEPTH_MAX - 1)),
                ")".repeat(NESTING_MAX)
            ),
        ];
        at_limit.iter().for_each(|text| survives(text));
        for times in [NESTING_MAX + 1, 200_000] {
            is_too_deep(&format!("SELECT {} FROM m", nest("(", "v", ")", times)));
            is_too_deep(&format!("SELECT {} FROM m", nest("-(", "v", ")", times)));
            is_too_deep(&format!("SELECT {} FROM m", nest("f(", "v", ")", times)));
            is_too_deep(&format!("SELECT v FROM m WHERE {}", "distinct(".repeat(times)));
            is_too_deep(&nest("SELECT v FROM (", "SELECT v FROM m", ")", times));
        }
        for times in [EXPR_DEPTH_MAX, 200_000] {
            is_too_deep(&format!("SELECT v{} FROM m", " + v".repeat(times)));
            is_too_deep(&format!("SELECT v FROM m WHERE v{}", " = -v".repeat(times)));
        }
    });
}

#[test]
fn flat_chains_have_no_limit() {
    on_a_small_stack(|| {
        for (op, last) in [("AND", "a = 1"), ("OR", "b =~ /x/"), ("OR", "c = 1 AND d + -e * 2 > 3")] {
            survives(&format!("SELECT v FROM m WHERE {}{last}", format!("{last} {op} ").repeat(100_000)));
        }
        survives(&format!("SELECT {}v FROM {}m", "v, ".repeat(100_000), "m, ".repeat(100_000)));
        survives(&"SELECT v FROM m;".repeat(50_000));
        survives(&format!("SELECT f({}v) FROM m", "v, ".repeat(100_000)));
        survives(&format!("SELECT v FROM m WHERE a = '{}'", "x\\'".repeat(300_000)));
    });
}

#[test]
fn the_error_says_what_is_too_deep_and_where() {
    let error = parse(&format!("SELECT {}", "(".repeat(NESTING_MAX + 1))).expect_err("too deep");
    assert_eq!(error.to_string(), "query is nested deeper than 100 levels at line 1, char 108");
}
