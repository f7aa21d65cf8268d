//! SELECT and its clauses, DELETE and DROP SERIES.

use super::{Parser, Result, some_name};
use crate::influxql::ParseError;
use crate::influxql::ast::{
    Call, Expr, Field, Fill, FillValue, Measurement, MeasurementName, Select, SeriesFilter, SortOrder, Source, Target,
};
use crate::influxql::lexer::Position;
use crate::influxql::reduced::reduce_arguments;
use crate::influxql::token::{Keyword, Token};

impl Parser<'_> {
    /// What follows SELECT. A continuous query requires its INTO.
    pub(super) fn select(&mut self, target_required: bool) -> Result<Select> {
        let fields = self.fields()?;
        let into = self.target(target_required)?;
        self.expect_keyword(Keyword::From)?;
        let sources = self.sources()?;
        let condition = self.condition()?;
        let group_by = self.group_by()?;
        let fill = self.fill()?;
        let order = self.order()?;
        Ok(Select {
            fields,
            into,
            sources,
            condition,
            group_by,
            fill,
            order,
            limit: self.optional_limit(Keyword::Limit)?,
            offset: self.optional_limit(Keyword::Offset)?,
            slimit: self.optional_limit(Keyword::Slimit)?,
            soffset: self.optional_limit(Keyword::Soffset)?,
            timezone: self.timezone()?,
            timeshift: self.timeshift()?,
        })
    }

    fn fields(&mut self) -> Result<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            fields.push(self.field()?);
            if self.scan_token() != Token::Comma {
                self.unscan();
                return Ok(fields);
            }
        }
    }

    fn field(&mut self) -> Result<Field> {
        let expr = match self.regex()? {
            Some(regex) => Expr::Regex(regex),
            None => {
                let position = self.next().position;
                self.unscan();
                let mut expr = self.expr()?;
                if let Some(operator) = condition_operator(&expr) {
                    let message = format!("invalid operator {operator} in SELECT clause");
                    let place = ParseError::at(message, position);
                    let hint = "operator is intended for WHERE clause";
                    return Err(ParseError::plain(format!("{place}; {hint}")));
                }
                reduce_arguments(&mut expr);
                expr
            }
        };
        let alias = match self.accept_keyword(Keyword::As) {
            true => some_name(self.ident()?),
            false => None,
        };
        self.skip_whitespace();
        Ok(Field { expr, alias })
    }

    fn target(&mut self, required: bool) -> Result<Option<Target>> {
        let into = self.next();
        if into.token != Token::Keyword(Keyword::Into) {
            self.unscan();
            return if required { Err(into.unexpected(&["INTO"])) } else { Ok(None) };
        }
        let mut segments = self.segments()?;
        if segments.len() < 3 && self.peek_char() == ':' {
            self.expect(Token::Colon)?;
            self.expect_keyword(Keyword::Measurement)?;
            segments.push(String::new());
        }
        let mut backwards = segments.into_iter().rev();
        let mut part = || backwards.next().and_then(some_name);
        let (name, retention_policy, database) = (part(), part(), part());
        Ok(Some(Target { database, retention_policy, name }))
    }

    fn sources(&mut self) -> Result<Vec<Source>> {
        let mut sources = vec![self.source()?];
        while self.accept(Token::Comma) {
            sources.push(self.source()?);
        }
        Ok(sources)
    }

    fn source(&mut self) -> Result<Source> {
        if let Some(regex) = self.regex()? {
            return Ok(Source::Measurement(unqualified(MeasurementName::Regex(regex))));
        }
        if !self.accept(Token::OpenParen) {
            return Ok(Source::Measurement(self.named_measurement()?));
        }
        self.expect_keyword(Keyword::Select)?;
        let select = self.nested(|parser| parser.select(false))?;
        self.expect(Token::CloseParen)?;
        Ok(Source::Subquery(Box::new(select)))
    }

    /// Measurements separated by commas, no subqueries.
    pub(super) fn measurements(&mut self) -> Result<Vec<Measurement>> {
        let mut measurements = vec![self.measurement()?];
        while self.accept(Token::Comma) {
            measurements.push(self.measurement()?);
        }
        Ok(measurements)
    }

    pub(super) fn measurement(&mut self) -> Result<Measurement> {
        match self.regex()? {
            Some(regex) => Ok(unqualified(MeasurementName::Regex(regex))),
            None => self.named_measurement(),
        }
    }

    fn named_measurement(&mut self) -> Result<Measurement> {
        let mut segments = self.segments()?;
        let regex = if segments.len() < 3 { self.regex()? } else { None };
        let name = match regex {
            Some(regex) => MeasurementName::Regex(regex),
            None => MeasurementName::Name(segments.pop().unwrap_or_default()),
        };
        let mut backwards = segments.into_iter().rev();
        let mut part = || backwards.next().and_then(some_name);
        let (retention_policy, database) = (part(), part());
        Ok(Measurement { database, retention_policy, name })
    }

    /// `FROM …` of a SHOW statement, if it is there.
    pub(super) fn optional_from(&mut self) -> Result<Vec<Measurement>> {
        if self.accept_keyword(Keyword::From) { self.measurements() } else { Ok(Vec::new()) }
    }

    pub(super) fn condition(&mut self) -> Result<Option<Expr>> {
        if self.accept_keyword(Keyword::Where) { Ok(Some(self.expr()?)) } else { Ok(None) }
    }

    pub(super) fn group_by(&mut self) -> Result<Vec<Expr>> {
        let mut dimensions = Vec::new();
        if !self.accept_keyword(Keyword::Group) {
            return Ok(dimensions);
        }
        self.expect_keyword(Keyword::By)?;
        loop {
            dimensions.push(match self.regex()? {
                Some(regex) => Expr::Regex(regex),
                None => self.expr()?,
            });
            if !self.accept(Token::Comma) {
                return Ok(dimensions);
            }
        }
    }

    /// The call `name(…)`, if an identifier `name` comes next; `Some(None)` is something else that
    /// starts with that identifier.
    fn named_call(&mut self, name: &str) -> Result<Option<Option<Call>>> {
        let next = self.next();
        self.unscan();
        if next.token != Token::Ident || !next.text.eq_ignore_ascii_case(name) {
            return Ok(None);
        }
        Ok(Some(match self.expr()? {
            Expr::Call(call) => Some(call),
            _ => None,
        }))
    }

    fn fill(&mut self) -> Result<Fill> {
        let Some(call) = self.named_call("fill")? else {
            return Ok(Fill::Null);
        };
        let call = call.ok_or(ParseError::plain("fill must be a function call"))?;
        let [arg] = call.args.as_slice() else {
            let hint = "fill requires an argument, e.g.: 0, null, none, previous, linear";
            return Err(ParseError::plain(hint));
        };
        match arg {
            Expr::Integer(v) => Ok(Fill::Value(FillValue::Integer(*v))),
            Expr::Float(v) => Ok(Fill::Value(FillValue::Float(*v))),
            Expr::VarRef(word) if word.cast.is_none() => match word.name.as_str() {
                "null" => Ok(Fill::Null),
                "none" => Ok(Fill::None),
                "previous" => Ok(Fill::Previous),
                "linear" => Ok(Fill::Linear),
                _ => Err(ParseError::plain("expected number argument in fill()")),
            },
            _ => Err(ParseError::plain("expected number argument in fill()")),
        }
    }

    pub(super) fn order(&mut self) -> Result<Option<SortOrder>> {
        if !self.accept_keyword(Keyword::Order) {
            return Ok(None);
        }
        self.expect_keyword(Keyword::By)?;
        let first = self.next();
        let only_time = Err(ParseError::plain("only ORDER BY time supported at this time"));
        let order = match first.token {
            Token::Keyword(Keyword::Asc) => SortOrder::Ascending,
            Token::Keyword(Keyword::Desc) => SortOrder::Descending,
            Token::Ident if first.text != "time" => return only_time,
            Token::Ident => self.direction(),
            _ => return Err(first.unexpected(&["identifier", "ASC", "DESC"])),
        };
        if self.accept(Token::Comma) {
            self.ident()?;
            return only_time;
        }
        Ok(Some(order))
    }

    fn direction(&mut self) -> SortOrder {
        if self.accept_keyword(Keyword::Desc) {
            return SortOrder::Descending;
        }
        self.accept_keyword(Keyword::Asc);
        SortOrder::Ascending
    }

    fn timezone(&mut self) -> Result<Option<String>> {
        let Some(call) = self.named_call("tz")? else {
            return Ok(None);
        };
        let call = call.ok_or(ParseError::plain("tz must be a function call"))?;
        match <[Expr; 1]>::try_from(call.args) {
            Ok([Expr::String(zone)]) => {
                self.unproven = true;
                Ok(Some(zone))
            }
            Ok(_) => Err(ParseError::plain("expected string argument in tz()")),
            Err(_) => Err(ParseError::plain("tz requires exactly one argument")),
        }
    }

    /// What follows DELETE and DROP SERIES.
    pub(super) fn series_filter(&mut self) -> Result<SeriesFilter> {
        let first = self.next();
        let sources = match first.token {
            Token::Keyword(Keyword::From) => self.measurements()?,
            Token::Keyword(Keyword::Where) => {
                self.unscan();
                Vec::new()
            }
            _ => return Err(first.unexpected(&["FROM", "WHERE"])),
        };
        let refuse = |what| {
            let message = format!("{what} not supported");
            Err(ParseError::at(message, Position::default()))
        };
        // The last fault is the one that InfluxDB names.
        for source in sources.iter().rev() {
            if source.retention_policy.is_some() {
                return refuse("retention policy");
            }
            if source.database.is_some() {
                return refuse("database");
            }
        }
        Ok(SeriesFilter { sources, condition: self.condition()? })
    }
}

fn unqualified(name: MeasurementName) -> Measurement {
    Measurement { database: None, retention_policy: None, name }
}

/// The operator that makes an expression a condition; the last one where there are several, as
/// InfluxDB reports it.
fn condition_operator(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::And(_) => Some("AND"),
        Expr::Or(_) => Some("OR"),
        Expr::Binary { op, .. } if op.is_comparison() => Some(op.symbol()),
        Expr::Binary { lhs, rhs, .. } => condition_operator(rhs).or_else(|| condition_operator(lhs)),
        Expr::Paren(inner) => condition_operator(inner),
        Expr::Call(call) => call.args.iter().rev().find_map(condition_operator),
        _ => None,
    }
}
