//! Expressions: what stands in a field list, WHERE, GROUP BY and calls.
//!
//! AND and OR chains are flat, since generated queries have thousands of terms; other operators
//! are binary and left-associative, as InfluxDB has them. Printing adds parentheses only where a
//! tree made by hand needs them.

use std::fmt;

use crate::influxql::params::regex_param;
use crate::influxql::text::{format_duration, format_float, quote_ident, quote_regex, quote_string};

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// At least two terms, none of them an `And` or `Or` without parentheses.
    And(Vec<Expr>),
    /// At least two terms, none of them an `Or` without parentheses.
    Or(Vec<Expr>),
    /// `lhs op rhs`. InfluxDB reads `-v`, of anything but a literal, as `-1 * v`, and so do we.
    Binary {
        op: BinaryOp,
        lhs: Box<Expr>,
        rhs: Box<Expr>,
    },
    /// Parentheses as the client wrote them; they show in column names.
    Paren(Box<Expr>),
    Call(Call),
    VarRef(VarRef),
    /// `*`, `*::field` or `*::tag`.
    Wildcard(Option<Cast>),
    /// `DISTINCT v`, without parentheses.
    Distinct(String),
    /// A regular expression without its slashes and with nothing escaped. As an operand only right
    /// of `=~` and `!~`.
    Regex(String),
    /// The same where no text can have one: the value of a parameter, as any other operand. It is printed as a parameter whose
    /// name tells its value ([`named_in`](crate::influxql::named_in)).
    BoundRegex(String),
    String(String),
    Integer(i64),
    /// An integer over `i64::MAX`.
    Unsigned(u64),
    /// Finite.
    Float(f64),
    Boolean(bool),
    /// Nanoseconds; not `i64::MIN`, which has no text.
    Duration(i64),
}

/// A function with its arguments; `now()` has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// In lower case, as InfluxDB keeps it.
    pub name: String,
    pub args: Vec<Expr>,
}

/// A field or a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VarRef {
    /// `a.b` and `"a.b"` are the same name.
    pub name: String,
    pub cast: Option<Cast>,
}

/// What `::` asks for. `Field` and `Tag` are the only ones that a wildcard takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    Float,
    Integer,
    Unsigned,
    String,
    Boolean,
    Field,
    Tag,
}

/// A binary operator but AND and OR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    BitAnd,
    BitOr,
    BitXor,
    Equal,
    NotEqual,
    /// `=~`; the right side is a regular expression.
    Match,
    /// `!~`; the right side is a regular expression.
    NotMatch,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// How tightly OR binds; AND, comparisons, sums and products follow upwards.
pub(in crate::influxql) const OR_PRECEDENCE: u8 = 1;
/// How tightly AND binds.
pub(in crate::influxql) const AND_PRECEDENCE: u8 = 2;
const ATOM_PRECEDENCE: u8 = 6;

impl BinaryOp {
    /// How tightly the operator binds: comparisons 3, sums 4, products 5.
    pub fn precedence(self) -> u8 {
        match self {
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::BitAnd => 5,
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::BitOr | BinaryOp::BitXor => 4,
            _ => 3,
        }
    }

    /// Whether it compares, so that its result is a boolean.
    pub fn is_comparison(self) -> bool {
        self.precedence() == 3
    }

    /// The operator as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::BitAnd => "&",
            BinaryOp::BitOr => "|",
            BinaryOp::BitXor => "^",
            BinaryOp::Equal => "=",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Match => "=~",
            BinaryOp::NotMatch => "!~",
            BinaryOp::Less => "<",
            BinaryOp::LessEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterEqual => ">=",
        }
    }
}

impl Expr {
    fn precedence(&self) -> u8 {
        match self {
            Expr::Or(_) => OR_PRECEDENCE,
            Expr::And(_) => AND_PRECEDENCE,
            Expr::Binary { op, .. } => op.precedence(),
            _ => ATOM_PRECEDENCE,
        }
    }

    /// The sign and operand of a product that can be written `-v` or `+v`.
    fn as_signed(&self) -> Option<(char, &Expr)> {
        let Expr::Binary { op: BinaryOp::Mul, lhs, rhs } = self else {
            return None;
        };
        let sign = match **lhs {
            Expr::Integer(-1) => '-',
            Expr::Integer(1) => '+',
            _ => return None,
        };
        let signable = match &**rhs {
            // A keyword, which no sign may stand before.
            Expr::Call(call) => call.name != "distinct",
            operand => matches!(operand, Expr::VarRef(_) | Expr::Paren(_)),
        };
        signable.then_some((sign, &**rhs))
    }

    /// Writes an operand that must bind at least as tightly as `precedence`.
    fn fmt_operand(&self, f: &mut fmt::Formatter<'_>, precedence: u8) -> fmt::Result {
        if self.precedence() >= precedence {
            return write!(f, "{self}");
        }
        match self.as_signed() {
            Some((sign, operand)) => write!(f, "{sign}{operand}"),
            None => write!(f, "({self})"),
        }
    }

    fn fmt_terms(f: &mut fmt::Formatter<'_>, terms: &[Expr], op: &str, at: u8) -> fmt::Result {
        for (i, term) in terms.iter().enumerate() {
            if i > 0 {
                write!(f, " {op} ")?;
            }
            term.fmt_operand(f, at + 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::And(terms) => Expr::fmt_terms(f, terms, "AND", AND_PRECEDENCE),
            Expr::Or(terms) => Expr::fmt_terms(f, terms, "OR", OR_PRECEDENCE),
            Expr::Binary { op, lhs, rhs } => {
                lhs.fmt_operand(f, op.precedence())?;
                write!(f, " {} ", op.symbol())?;
                rhs.fmt_operand(f, op.precedence() + 1)
            }
            Expr::Paren(inner) => write!(f, "({inner})"),
            Expr::Call(call) => call.fmt(f),
            Expr::VarRef(var) => var.fmt(f),
            Expr::Wildcard(cast) => {
                f.write_str("*")?;
                super::write_opt(f, "::", *cast)
            }
            Expr::Distinct(name) => write!(f, "DISTINCT {}", quote_ident(name)),
            Expr::Regex(regex) => f.write_str(&quote_regex(regex)),
            Expr::BoundRegex(regex) => f.write_str(&regex_param(regex)),
            Expr::String(text) => f.write_str(&quote_string(text)),
            Expr::Integer(v) => write!(f, "{v}"),
            Expr::Unsigned(v) => write!(f, "{v}"),
            Expr::Float(v) => f.write_str(&format_float(*v)),
            Expr::Boolean(v) => write!(f, "{v}"),
            Expr::Duration(ns) => f.write_str(&format_duration(*ns)),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A keyword, yet it needs no quotes before a parenthesis.
        match self.name.as_str() {
            "distinct" => f.write_str("distinct(")?,
            name => write!(f, "{}(", quote_ident(name))?,
        }
        super::write_list(f, &self.args, ", ")?;
        f.write_str(")")
    }
}

impl fmt::Display for VarRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quote_ident(&self.name))?;
        super::write_opt(f, "::", self.cast)
    }
}

impl fmt::Display for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cast::Float => "float",
            Cast::Integer => "integer",
            Cast::Unsigned => "unsigned",
            Cast::String => "string",
            Cast::Boolean => "boolean",
            Cast::Field => "field",
            Cast::Tag => "tag",
        })
    }
}
