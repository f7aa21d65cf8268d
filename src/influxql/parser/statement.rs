//! Which statement it is: the words that lead to it, in the order that error messages list them.

use super::{Parser, Result};
use crate::influxql::ast::Statement;
use crate::influxql::token::{Keyword, Token};

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Result<Statement> {
        let first = self.next();
        match first.token {
            Token::Keyword(Keyword::Select) => Ok(Statement::Select(Box::new(self.select(false)?))),
            Token::Keyword(Keyword::Delete) => Ok(Statement::Delete(self.series_filter()?)),
            Token::Keyword(Keyword::Show) => self.show(),
            Token::Keyword(Keyword::Create) => self.create(),
            Token::Keyword(Keyword::Drop) => self.drop_statement(),
            Token::Keyword(Keyword::Explain) => self.explain(),
            Token::Keyword(Keyword::Grant) => self.grant(),
            Token::Keyword(Keyword::Revoke) => self.revoke(),
            Token::Keyword(Keyword::Alter) => self.alter_retention_policy(),
            Token::Keyword(Keyword::Set) => self.set_password(),
            Token::Keyword(Keyword::Kill) => self.kill_query(),
            Token::Ident if self.begins_math(&first) => self.math(),
            _ => Err(first.unexpected(&[
                "SELECT", "DELETE", "SHOW", "CREATE", "DROP", "EXPLAIN", "GRANT", "REVOKE", "ALTER", "SET", "KILL",
            ])),
        }
    }

    fn create(&mut self) -> Result<Statement> {
        let what = self.next();
        match what.token {
            Token::Keyword(Keyword::Continuous) => {
                self.expect_keyword(Keyword::Query)?;
                self.create_continuous_query()
            }
            Token::Keyword(Keyword::Database) => self.create_database(),
            Token::Keyword(Keyword::User) => self.create_user(),
            Token::Keyword(Keyword::Retention) => {
                self.expect_keyword(Keyword::Policy)?;
                self.create_retention_policy()
            }
            Token::Keyword(Keyword::Subscription) => self.create_subscription(),
            _ => Err(what.unexpected(&["CONTINUOUS", "DATABASE", "USER", "RETENTION", "SUBSCRIPTION"])),
        }
    }

    fn drop_statement(&mut self) -> Result<Statement> {
        let what = self.next();
        match what.token {
            Token::Keyword(Keyword::Continuous) => {
                self.expect_keyword(Keyword::Query)?;
                let name = self.ident()?;
                Ok(Statement::DropContinuousQuery { name, database: self.required_on()? })
            }
            Token::Keyword(Keyword::Database) => Ok(Statement::DropDatabase { name: self.ident()? }),
            Token::Keyword(Keyword::Measurement) => Ok(Statement::DropMeasurement { name: self.ident()? }),
            Token::Keyword(Keyword::Retention) => {
                self.expect_keyword(Keyword::Policy)?;
                let name = self.ident()?;
                Ok(Statement::DropRetentionPolicy { name, database: self.required_on()? })
            }
            Token::Keyword(Keyword::Series) => Ok(Statement::DropSeries(self.series_filter()?)),
            Token::Keyword(Keyword::Shard) => Ok(Statement::DropShard { id: self.uint()? }),
            Token::Keyword(Keyword::Subscription) => self.drop_subscription(),
            Token::Keyword(Keyword::User) => Ok(Statement::DropUser { name: self.ident()? }),
            _ => Err(what.unexpected(&[
                "CONTINUOUS",
                "DATABASE",
                "MEASUREMENT",
                "RETENTION",
                "SERIES",
                "SHARD",
                "SUBSCRIPTION",
                "USER",
            ])),
        }
    }

    fn explain(&mut self) -> Result<Statement> {
        let analyze = self.accept_keyword(Keyword::Analyze);
        self.expect_keyword(Keyword::Select)?;
        Ok(Statement::Explain { analyze, select: Box::new(self.select(false)?) })
    }

    fn kill_query(&mut self) -> Result<Statement> {
        self.expect_keyword(Keyword::Query)?;
        let id = self.uint()?;
        Ok(Statement::KillQuery { id, host: self.optional_on()? })
    }
}
