//! Expressions, by operator precedence with explicit stacks: a flat chain costs no recursion.

use super::{Parser, Result};
use crate::influxql::ast::{AND_PRECEDENCE, BinaryOp, Call, Cast, Expr, OR_PRECEDENCE, VarRef};
use crate::influxql::lexer::{Lexeme, Position};
use crate::influxql::plain::is_plain;
use crate::influxql::text::{parse_duration, quote_segments};
use crate::influxql::token::{Keyword, Token};
use crate::influxql::{EXPR_DEPTH_MAX, ParseError};

const OPERAND: [&str; 4] = ["identifier", "string", "number", "bool"];

/// The segments that a dotted name may have: database, retention policy, measurement.
const SEGMENTS_MAX: usize = 3;

/// An expression with the depth of its tree, which is <= [`EXPR_DEPTH_MAX`].
struct Operand {
    expr: Expr,
    depth: usize,
}

impl Operand {
    fn leaf(expr: Expr) -> Self {
        Operand { expr, depth: 1 }
    }

    fn over(expr: Expr, depth: usize, position: Position) -> Result<Self> {
        if depth >= EXPR_DEPTH_MAX {
            return Err(ParseError::TooDeep { limit: EXPR_DEPTH_MAX, position });
        }
        Ok(Operand { expr, depth: depth + 1 })
    }
}

#[derive(Clone, Copy)]
enum Operator {
    And,
    Or,
    Binary(BinaryOp),
}

impl Operator {
    fn of(token: Token) -> Option<Self> {
        Some(match token {
            Token::And => Operator::And,
            Token::Or => Operator::Or,
            Token::Plus => Operator::Binary(BinaryOp::Add),
            Token::Minus => Operator::Binary(BinaryOp::Sub),
            Token::Star => Operator::Binary(BinaryOp::Mul),
            Token::Slash => Operator::Binary(BinaryOp::Div),
            Token::Percent => Operator::Binary(BinaryOp::Mod),
            Token::Ampersand => Operator::Binary(BinaryOp::BitAnd),
            Token::Pipe => Operator::Binary(BinaryOp::BitOr),
            Token::Caret => Operator::Binary(BinaryOp::BitXor),
            Token::Equal => Operator::Binary(BinaryOp::Equal),
            Token::NotEqual => Operator::Binary(BinaryOp::NotEqual),
            Token::Match => Operator::Binary(BinaryOp::Match),
            Token::NotMatch => Operator::Binary(BinaryOp::NotMatch),
            Token::Less => Operator::Binary(BinaryOp::Less),
            Token::LessEqual => Operator::Binary(BinaryOp::LessEqual),
            Token::Greater => Operator::Binary(BinaryOp::Greater),
            Token::GreaterEqual => Operator::Binary(BinaryOp::GreaterEqual),
            _ => return None,
        })
    }

    fn precedence(self) -> u8 {
        match self {
            Operator::Or => OR_PRECEDENCE,
            Operator::And => AND_PRECEDENCE,
            Operator::Binary(op) => op.precedence(),
        }
    }

    fn wants_regex(self) -> bool {
        matches!(self, Operator::Binary(BinaryOp::Match | BinaryOp::NotMatch))
    }
}

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Result<Expr> {
        Ok(self.sized_expr()?.expr)
    }

    fn sized_expr(&mut self) -> Result<Operand> {
        let first = self.operand()?;
        let is_joined = Operator::of(self.next_token()).is_some();
        self.unscan();
        if !is_joined {
            return Ok(first);
        }
        let mut operands = Vec::with_capacity(4);
        operands.push(first);
        // Operators that wait for their right side, each binding tighter than the one before:
        // never more than there are precedences.
        let mut waiting: Vec<Operator> = Vec::new();
        loop {
            let lexeme = self.next();
            let Some(operator) = Operator::of(lexeme.token) else {
                self.unscan();
                while let Some(operator) = waiting.pop() {
                    join(&mut operands, operator, lexeme.position)?;
                }
                break;
            };
            while let Some(&earlier) = waiting.last() {
                if earlier.precedence() < operator.precedence() {
                    break;
                }
                waiting.pop();
                join(&mut operands, earlier, lexeme.position)?;
            }
            waiting.push(operator);
            let right = match operator.wants_regex() {
                true => Operand::leaf(Expr::Regex(self.required_regex()?)),
                false => self.operand()?,
            };
            operands.push(right);
        }
        let operand = operands.pop();
        Ok(operand.expect("one operand is left: every operator has joined two"))
    }

    fn operand(&mut self) -> Result<Operand> {
        let lexeme = self.next();
        match lexeme.token {
            Token::OpenParen => {
                let inner = self.nested(Self::sized_expr)?;
                self.expect(Token::CloseParen)?;
                let expr = Expr::Paren(Box::new(inner.expr));
                Operand::over(expr, inner.depth, lexeme.position)
            }
            Token::Ident => self.call_or_var(lexeme),
            Token::Keyword(Keyword::Distinct) => self.distinct(lexeme.position),
            Token::Plus | Token::Minus => self.signed(lexeme.token == Token::Minus),
            Token::Star => {
                let wildcard = Expr::Wildcard(self.wildcard_cast()?);
                Ok(Operand::leaf(wildcard))
            }
            Token::BoundParam => Err(self.unbound(&lexeme)),
            // The value of a parameter.
            Token::Regex => self.checked_regex(lexeme).map(Expr::BoundRegex).map(Operand::leaf),
            _ => literal(&lexeme).map(Operand::leaf),
        }
    }

    fn call_or_var(&mut self, name: Lexeme<'_>) -> Result<Operand> {
        if self.scan_token() == Token::OpenParen {
            let lower = match name.text.is_ascii() {
                true => name.text.to_ascii_lowercase(),
                false => name.text.to_lowercase(),
            };
            return self.nested(|parser| parser.call(lower, name.position));
        }
        self.unscan();
        self.unscan();
        Ok(Operand::leaf(Expr::VarRef(self.var_ref()?)))
    }

    fn distinct(&mut self, position: Position) -> Result<Operand> {
        let next = self.scan();
        match next.token {
            Token::OpenParen => self.nested(|parser| parser.call("distinct".to_string(), position)),
            Token::Whitespace => Ok(Operand::leaf(Expr::Distinct(self.ident()?))),
            _ => Err(next.unexpected(&["(", "identifier"])),
        }
    }

    /// What follows a sign. A literal takes the sign in; anything else is multiplied.
    fn signed(&mut self, negative: bool) -> Result<Operand> {
        let next = self.next();
        match next.token {
            Token::Number | Token::Integer | Token::Duration | Token::OpenParen | Token::Ident => self.unscan(),
            _ => return Err(next.unexpected(&["identifier", "number", "duration", "("])),
        }
        let operand = self.operand()?;
        let expr = match operand.expr {
            literal if !negative && is_number(&literal) => literal,
            Expr::Float(v) => Expr::Float(-v),
            Expr::Integer(v) => Expr::Integer(v.wrapping_neg()),
            Expr::Duration(ns) => Expr::Duration(ns.wrapping_neg()),
            Expr::Unsigned(v) if v == i64::MIN.unsigned_abs() => Expr::Integer(i64::MIN),
            Expr::Unsigned(v) => {
                return Err(ParseError::plain(format!("constant -{v} underflows int64")));
            }
            other => {
                let lhs = Box::new(Expr::Integer(if negative { -1 } else { 1 }));
                let product = Expr::Binary { op: BinaryOp::Mul, lhs, rhs: Box::new(other) };
                return Operand::over(product, operand.depth, next.position);
            }
        };
        Ok(Operand::leaf(expr))
    }

    fn wildcard_cast(&mut self) -> Result<Option<Cast>> {
        if self.scan_token() != Token::DoubleColon {
            self.unscan();
            return Ok(None);
        }
        let kind = self.scan();
        match kind.token {
            Token::Keyword(Keyword::Field) => Ok(Some(Cast::Field)),
            Token::Keyword(Keyword::Tag) => Ok(Some(Cast::Tag)),
            _ => Err(kind.unexpected(&["field", "tag"])),
        }
    }

    /// The error of a parameter without a value, or with one that can't be used.
    fn unbound(&self, lexeme: &Lexeme<'_>) -> ParseError {
        match lexeme.text.strip_prefix('$').unwrap_or(&lexeme.text) {
            "" => ParseError::plain("empty bound parameter"),
            name => ParseError::plain(format!("missing parameter: {name}")),
        }
    }

    fn call(&mut self, name: String, position: Position) -> Result<Operand> {
        let mut args = Vec::new();
        let mut depth = 0;
        let first = self.regex()?;
        if first.is_none() {
            if self.scan_token() == Token::CloseParen {
                return Ok(Operand::leaf(Expr::Call(Call { name, args })));
            }
            self.unscan();
        }
        self.argument(first, &mut args, &mut depth)?;
        while self.accept(Token::Comma) {
            let regex = self.regex()?;
            self.argument(regex, &mut args, &mut depth)?;
        }
        let close = self.scan();
        if close.token != Token::CloseParen {
            return Err(close.unexpected(&[")"]));
        }
        Operand::over(Expr::Call(Call { name, args }), depth, position)
    }

    fn argument(&mut self, regex: Option<String>, args: &mut Vec<Expr>, depth: &mut usize) -> Result<()> {
        let arg = match regex {
            Some(regex) => Operand::leaf(Expr::Regex(regex)),
            None => self.sized_expr()?,
        };
        *depth = arg.depth.max(*depth);
        args.push(arg.expr);
        Ok(())
    }

    fn var_ref(&mut self) -> Result<VarRef> {
        let first = self.ident()?;
        let is_dotted = self.scan_token() == Token::Dot;
        self.unscan();
        let name = if is_dotted { self.segments_from(first)?.join(".") } else { first };
        if self.scan_token() != Token::DoubleColon {
            self.unscan();
            return Ok(VarRef { name, cast: None });
        }
        let kind = self.scan();
        let cast = match (kind.token, kind.text.to_ascii_lowercase().as_str()) {
            (Token::Keyword(Keyword::Field), _) => Cast::Field,
            (Token::Keyword(Keyword::Tag), _) => Cast::Tag,
            (Token::Ident, "float") => Cast::Float,
            (Token::Ident, "integer") => Cast::Integer,
            (Token::Ident, "unsigned") => Cast::Unsigned,
            (Token::Ident, "string") => Cast::String,
            (Token::Ident, "boolean") => Cast::Boolean,
            // InfluxDB lists `unsigned` for one of the two and not for the other.
            (Token::Ident, _) => {
                return Err(kind.unexpected(&["float", "integer", "unsigned", "string", "boolean", "field", "tag"]));
            }
            _ => {
                return Err(kind.unexpected(&["float", "integer", "string", "boolean", "field", "tag"]));
            }
        };
        Ok(VarRef { name, cast: Some(cast) })
    }

    /// A dotted name. Stops after a full stop that a regular expression or `:MEASUREMENT` follows.
    pub(super) fn segments(&mut self) -> Result<Vec<String>> {
        let first = self.ident()?;
        self.segments_from(first)
    }

    fn segments_from(&mut self, first: String) -> Result<Vec<String>> {
        let mut segments = vec![first];
        loop {
            if self.scan_token() != Token::Dot {
                self.unscan();
                break;
            }
            match self.peek_char() {
                '/' | ':' => break,
                '.' => segments.push(String::new()),
                _ => segments.push(self.ident()?),
            }
        }
        if segments.len() > SEGMENTS_MAX {
            let message = format!("too many segments in {}", quote_segments(&segments));
            return Err(ParseError::at(message, Position::default()));
        }
        Ok(segments)
    }

    /// A regular expression, if one comes next.
    pub(super) fn regex(&mut self) -> Result<Option<String>> {
        if matches!(self.peek_char(), ' ' | '\t' | '\n') {
            self.skip_whitespace();
        }
        match self.peek_char() {
            '/' => {}
            '$' => {
                let param = self.scan();
                self.unscan();
                if param.token != Token::Regex {
                    return Ok(None);
                }
            }
            _ => return Ok(None),
        }
        let lexeme = self.scan_regex();
        match lexeme.token {
            Token::Regex => self.checked_regex(lexeme).map(Some),
            Token::BadRegex => {
                let message = format!("bad regex: {}", lexeme.text);
                Err(ParseError::at(message, lexeme.position))
            }
            _ => Err(lexeme.unexpected(&["regex"])),
        }
    }

    fn checked_regex(&mut self, lexeme: Lexeme<'_>) -> Result<String> {
        match dangling_repetition(&lexeme.text) {
            None => {
                self.unproven |= !is_plain(&lexeme.text);
                Ok(lexeme.text.into_owned())
            }
            Some(op) => {
                let why = "error parsing regexp: missing argument to repetition operator";
                Err(ParseError::at(format!("{why}: `{op}`"), lexeme.position))
            }
        }
    }

    pub(super) fn required_regex(&mut self) -> Result<String> {
        match self.regex()? {
            Some(regex) => Ok(regex),
            None => Err(self.next().unexpected(&["regex"])),
        }
    }
}

/// The repetition operator that an expression starts with, having nothing to repeat. Of all
/// faults of regular expressions this one is found here, since a comment where a regular
/// expression may stand (`FROM /* c */ cpu`) is one for InfluxDB too.
fn dangling_repetition(regex: &str) -> Option<&str> {
    let op = regex.strip_prefix(['*', '+', '?'])?;
    let bytes = if op.starts_with('?') { 2 } else { 1 };
    Some(&regex[..bytes])
}

fn is_number(expr: &Expr) -> bool {
    matches!(expr, Expr::Float(_) | Expr::Integer(_) | Expr::Unsigned(_) | Expr::Duration(_))
}

/// Replaces the last two operands by one.
fn join(operands: &mut Vec<Operand>, operator: Operator, position: Position) -> Result<()> {
    let (Some(right), Some(left)) = (operands.pop(), operands.pop()) else {
        unreachable!("an operator waits only between two operands");
    };
    let depth = left.depth.max(right.depth);
    let (rhs, lhs) = (right.expr, left.expr);
    let joined = match (operator, lhs) {
        (Operator::And, Expr::And(mut terms)) | (Operator::Or, Expr::Or(mut terms)) => {
            terms.push(rhs);
            let chain = match operator {
                Operator::And => Expr::And(terms),
                _ => Expr::Or(terms),
            };
            let depth = left.depth.max(right.depth + 1);
            Operand::over(chain, depth - 1, position)?
        }
        (Operator::And, lhs) => Operand::over(Expr::And(vec![lhs, rhs]), depth, position)?,
        (Operator::Or, lhs) => Operand::over(Expr::Or(vec![lhs, rhs]), depth, position)?,
        (Operator::Binary(op), lhs) => {
            let expr = Expr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) };
            Operand::over(expr, depth, position)?
        }
    };
    operands.push(joined);
    Ok(())
}

fn literal(lexeme: &Lexeme<'_>) -> Result<Expr> {
    let text = lexeme.text.as_ref();
    let unable = |what| ParseError::at(format!("unable to parse {what}"), lexeme.position);
    Ok(match lexeme.token {
        Token::String => Expr::String(text.to_string()),
        Token::Number => match text.parse::<f64>() {
            Ok(v) if v.is_finite() => Expr::Float(v),
            _ => return Err(unable("number")),
        },
        Token::Integer => match (text.parse(), text.parse()) {
            (Ok(v), _) => Expr::Integer(v),
            (_, Ok(v)) => Expr::Unsigned(v),
            _ => return Err(unable("integer")),
        },
        Token::Duration => match parse_duration(text) {
            Ok(ns) => Expr::Duration(ns),
            Err(e) => return Err(ParseError::plain(e.to_string())),
        },
        Token::True => Expr::Boolean(true),
        Token::False => Expr::Boolean(false),
        _ => return Err(lexeme.unexpected(&OPERAND)),
    })
}
