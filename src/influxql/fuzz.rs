//! Fuzz bodies of the lexer and of the parser; see `src/fuzz.rs`.

use super::lexer::{Lexer, Position};
use super::token::Token;
use super::values::{Form, Place, Written, places};
use super::{ParamValue, Params, Statement, parse_query};

/// Tokens follow each other up to the end (a NUL is one), and never step back.
pub fn lexer(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lexer = Lexer::new(text);
    let mut end = 0;
    let mut last = Position::default();
    loop {
        let lexeme = lexer.scan();
        let before = std::mem::replace(&mut end, lexer.scanned_bytes());
        assert!(before <= end && end <= text.len() && text.is_char_boundary(end), "{lexeme:?} behind {before}");
        let place = (lexeme.position.line, lexeme.position.char);
        assert!(place >= (last.line, last.char), "{lexeme:?} after {last:?}");
        if lexeme.token == Token::Eof {
            assert!(text.len() == end || text.as_bytes()[before] == 0, "the end before the end");
            break;
        }
        assert!(before < end, "{lexeme:?} is empty");
        last = lexeme.position;
    }
}

/// Statements print as texts that parse to the same. `$a` to `$g` are bound.
pub fn query(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let params = params();
    let query = match parse_query(text, &params) {
        Ok(query) => query,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for statement in &query.statements {
        let printed = statement.to_forwardable();
        let again = only(&printed);
        assert_eq!(again, *statement, "{printed:?}");
        assert_eq!(again.to_forwardable(), printed);
    }
    moved(text);
}

/// A text whose values are known to be no more than that means with others what they mean.
fn moved(text: &str) {
    let Ok(mut query) = parse_query(text, &Params::new()) else { return };
    let Some(form) = Form::of(text, &query) else { return };
    let (mut other, mut copied) = (String::new(), 0);
    for (nth, place) in places(text).enumerate() {
        let at = place.at();
        other.push_str(&text[copied..at.start]);
        let own = &text[at.clone()];
        match place {
            Place::Number(_) => {
                let turned = |digit: u8| char::from(b'0' + (digit - b'0' + 3 + nth as u8 % 5) % 10);
                other.extend(own.bytes().map(turned));
            }
            Place::Word(_) => other.extend(own.chars().rev().chain("/=>\"".chars().take(nth % 5))),
        }
        copied = at.end;
    }
    other.push_str(&text[copied..]);
    let mut written = Written::default();
    written.read(&other);
    if form.put(&written.values, &mut query) {
        assert_eq!(parse_query(&other, &Params::new()).as_ref(), Ok(&query), "{other:?}");
    }
}

fn only(text: &str) -> Statement {
    let query = parse_query(text, &Params::new()).unwrap_or_else(|error| panic!("{error}: {text:?}"));
    let [statement] = query.statements.try_into().unwrap_or_else(|_| panic!("not one statement: {text:?}"));
    statement
}

fn params() -> Params {
    let values = [
        ("a", ParamValue::String("it's \"\\\n".to_owned())),
        ("b", ParamValue::Integer(-7)),
        ("c", ParamValue::Float(0.1)),
        ("d", ParamValue::Boolean(true)),
        ("e", ParamValue::Duration("1h30m".to_owned())),
        ("f", ParamValue::Regex("a/b\\".to_owned())),
        ("g", ParamValue::Identifier("from \"x".to_owned())),
    ];
    let mut params = Params::new();
    values.into_iter().for_each(|(name, value)| params.insert(name, value).expect("InfluxQL can carry it"));
    params
}
