//! Databases, retention policies, continuous queries and subscriptions.

use super::{OUT_OF_RANGE, Parser, Result};
use crate::influxql::ParseError;
use crate::influxql::ast::{
    AlterRetentionPolicy, CreateContinuousQuery, CreateDatabase, CreateRetentionPolicy, CreateSubscription, Delivery,
    Expr, RetentionSpec, Select, Statement,
};
use crate::influxql::text::format_duration;
use crate::influxql::token::{Keyword, Token};

impl Parser<'_> {
    /// What follows CREATE DATABASE. The options have one order.
    pub(super) fn create_database(&mut self) -> Result<Statement> {
        let name = self.ident()?;
        let mut policy = RetentionSpec::default();
        let mut policy_name = None;
        if self.accept_keyword(Keyword::With) {
            let first = self.next();
            use Keyword::{Duration, Name, Replication, Shard};
            match first.token {
                Token::Keyword(Duration | Name | Replication | Shard) => self.unscan(),
                _ => {
                    let options = ["DURATION", "NAME", "REPLICATION", "SHARD"];
                    return Err(first.unexpected(&options));
                }
            }
            if self.accept_keyword(Duration) {
                policy.duration = Some(self.duration_or_inf()?);
            }
            if self.accept_keyword(Replication) {
                policy.replication = Some(self.replication()?);
            }
            if self.accept_keyword(Shard) {
                self.expect_keyword(Duration)?;
                policy.shard_duration = Some(self.duration_or_inf()?);
            }
            if self.accept_keyword(Name) {
                policy_name = super::some_name(self.ident()?);
            }
        }
        Ok(Statement::CreateDatabase(CreateDatabase { name, policy, policy_name }))
    }

    fn replication(&mut self) -> Result<u32> {
        const REPLICATION_MAX: i64 = i32::MAX as i64;
        let number = self.next();
        if number.token != Token::Integer {
            return Err(number.unexpected(&["integer"]));
        }
        let message = match number.text.parse::<i64>() {
            Ok(n) => match u32::try_from(n) {
                Ok(copies) if (1..=REPLICATION_MAX).contains(&n) => return Ok(copies),
                _ => format!("invalid value {n}: must be 1 <= n <= {REPLICATION_MAX}"),
            },
            Err(_) => format!("strconv.Atoi: parsing \"{}\": {OUT_OF_RANGE}", number.text),
        };
        Err(ParseError::at(message, number.position))
    }

    /// What follows SHARD in a policy's own statements. There it can't be INF; in CREATE DATABASE
    /// it can.
    fn shard_duration(&mut self) -> Result<i64> {
        self.expect_keyword(Keyword::Duration)?;
        let value = self.next();
        if value.token == Token::Keyword(Keyword::Inf) {
            let message = "invalid duration INF for shard duration";
            return Err(ParseError::at(message, value.position));
        }
        self.unscan();
        self.duration()
    }

    /// The name of a policy, which may be the word DEFAULT.
    fn policy_name(&mut self) -> Result<String> {
        if self.accept_keyword(Keyword::Default) { Ok("default".to_string()) } else { self.ident() }
    }

    /// What follows CREATE RETENTION POLICY. The options have one order.
    pub(super) fn create_retention_policy(&mut self) -> Result<Statement> {
        let name = self.ident()?;
        let database = self.required_on()?;
        self.expect_keyword(Keyword::Duration)?;
        let duration = self.duration_or_inf()?;
        self.expect_keyword(Keyword::Replication)?;
        Ok(Statement::CreateRetentionPolicy(CreateRetentionPolicy {
            name,
            database,
            duration,
            replication: self.replication()?,
            shard_duration: match self.accept_keyword(Keyword::Shard) {
                true => Some(self.shard_duration()?),
                false => None,
            },
            default: self.accept_keyword(Keyword::Default),
        }))
    }

    /// What follows ALTER. The options may come in any order, each once.
    pub(super) fn alter_retention_policy(&mut self) -> Result<Statement> {
        self.expect_keyword(Keyword::Retention)?;
        self.expect_keyword(Keyword::Policy)?;
        let name = self.policy_name()?;
        let database = self.required_on()?;
        let mut change = RetentionSpec::default();
        let mut default = false;
        loop {
            let option = self.next();
            let given = match option.token {
                Token::Keyword(Keyword::Duration) => change.duration.is_some(),
                Token::Keyword(Keyword::Replication) => change.replication.is_some(),
                Token::Keyword(Keyword::Shard) => change.shard_duration.is_some(),
                Token::Keyword(Keyword::Default) => default,
                _ if change != RetentionSpec::default() || default => {
                    self.unscan();
                    break;
                }
                _ => {
                    let options = ["DURATION", "REPLICATION", "SHARD", "DEFAULT"];
                    return Err(option.unexpected(&options));
                }
            };
            if given {
                let message = format!("found duplicate {} option", option.token.name());
                return Err(ParseError::at(message, option.position));
            }
            match option.token {
                Token::Keyword(Keyword::Duration) => {
                    change.duration = Some(self.duration_or_inf()?);
                }
                Token::Keyword(Keyword::Replication) => {
                    change.replication = Some(self.replication()?);
                }
                Token::Keyword(Keyword::Shard) => {
                    change.shard_duration = Some(self.shard_duration()?);
                }
                _ => default = true,
            }
        }
        let alter = AlterRetentionPolicy { name, database, change, default };
        Ok(Statement::AlterRetentionPolicy(alter))
    }

    /// What follows CREATE CONTINUOUS QUERY.
    pub(super) fn create_continuous_query(&mut self) -> Result<Statement> {
        let name = self.ident()?;
        let database = self.required_on()?;
        let (resample_every, resample_for) = match self.accept_keyword(Keyword::Resample) {
            true => self.resample()?,
            false => (None, None),
        };
        self.expect_keyword(Keyword::Begin)?;
        self.expect_keyword(Keyword::Select)?;
        let select = Box::new(self.select(true)?);
        let interval = group_by_interval(&select);
        if has_call(&select) && !matches!(interval, Ok(ns) if ns != 0) {
            return Err(self.no_interval(interval.err()));
        }
        self.expect_keyword(Keyword::End)?;
        if let Some(range) = resample_for {
            check_range(range, interval.map_err(ParseError::plain)?, resample_every)?;
        }
        Ok(Statement::CreateContinuousQuery(Box::new(CreateContinuousQuery {
            name,
            database,
            resample_every,
            resample_for,
            select,
        })))
    }

    /// EVERY and FOR, at least one of them, 0 counting as none.
    fn resample(&mut self) -> Result<(Option<i64>, Option<i64>)> {
        let mut part = |keyword| match self.accept_keyword(keyword) {
            true => self.duration().map(|ns| Some(ns).filter(|&ns| ns != 0)),
            false => Ok(None),
        };
        let (every, range) = (part(Keyword::Every)?, part(Keyword::For)?);
        if every.is_none() && range.is_none() {
            return Err(self.next().unexpected(&["EVERY", "FOR"]));
        }
        Ok((every, range))
    }

    /// The error of a continuous query that aggregates without GROUP BY time. It names the token
    /// two before the one that was just taken back.
    fn no_interval(&mut self, why: Option<&'static str>) -> ParseError {
        self.unscan();
        self.unscan();
        let found = self.next();
        match why {
            Some(why) => found.unexpected(&["GROUP BY time(...)", why]),
            None => found.unexpected(&["GROUP BY time(...)"]),
        }
    }

    /// What follows CREATE SUBSCRIPTION.
    pub(super) fn create_subscription(&mut self) -> Result<Statement> {
        let (name, database, retention_policy) = self.subscription_name()?;
        self.expect_keyword(Keyword::Destinations)?;
        let delivery = self.next();
        let delivery = match delivery.token {
            Token::Keyword(Keyword::All) => Delivery::All,
            Token::Keyword(Keyword::Any) => Delivery::Any,
            _ => return Err(delivery.unexpected(&["ALL", "ANY"])),
        };
        let mut destinations = vec![self.string()?];
        while self.accept(Token::Comma) {
            destinations.push(self.string()?);
        }
        Ok(Statement::CreateSubscription(CreateSubscription {
            name,
            database,
            retention_policy,
            delivery,
            destinations,
        }))
    }

    /// What follows DROP SUBSCRIPTION.
    pub(super) fn drop_subscription(&mut self) -> Result<Statement> {
        let (name, database, retention_policy) = self.subscription_name()?;
        Ok(Statement::DropSubscription { name, database, retention_policy })
    }

    /// `name ON db.rp`.
    fn subscription_name(&mut self) -> Result<(String, String, String)> {
        let name = self.ident()?;
        let database = self.required_on()?;
        // No space before the full stop, as InfluxDB has it.
        let dot = self.scan();
        if dot.token != Token::Dot {
            return Err(dot.unexpected(&["."]));
        }
        Ok((name, database, self.ident()?))
    }
}

/// Whether RESAMPLE FOR is as long as an interval.
fn check_range(range: i64, interval: i64, every: Option<i64>) -> Result<()> {
    let shortest = interval.max(every.unwrap_or(0));
    if range >= shortest {
        return Ok(());
    }
    let (shortest, range) = (format_duration(shortest), format_duration(range));
    Err(ParseError::plain(format!(
        "FOR duration must be >= GROUP BY time duration: must be a minimum of {shortest}, got \
         {range}"
    )))
}

/// The interval of GROUP BY time in nanoseconds, 0 without one.
fn group_by_interval(select: &Select) -> std::result::Result<i64, &'static str> {
    let time = select.group_by.iter().find_map(|dimension| match dimension {
        Expr::Call(call) if call.name == "time" => Some(call.args.as_slice()),
        _ => None,
    });
    match time {
        None => Ok(0),
        Some([Expr::Duration(ns)] | [Expr::Duration(ns), _]) => Ok(*ns),
        Some([_] | [_, _]) => Err("time dimension must have duration argument"),
        Some(_) => Err("time dimension expected 1 or 2 arguments"),
    }
}

/// Whether a field calls a function, so that the select is not one of raw points.
fn has_call(select: &Select) -> bool {
    fn calls(expr: &Expr) -> bool {
        match expr {
            Expr::Call(_) => true,
            Expr::Paren(inner) => calls(inner),
            Expr::Binary { lhs, rhs, .. } => calls(lhs) || calls(rhs),
            Expr::And(terms) | Expr::Or(terms) => terms.iter().any(calls),
            _ => false,
        }
    }
    select.fields.iter().any(|field| calls(&field.expr))
}
