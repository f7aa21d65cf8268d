//! Users, passwords and privileges.

use super::{Parser, Result};
use crate::influxql::ast::{CreateUser, Password, Privilege, Statement};
use crate::influxql::token::{Keyword, Token};

impl Parser<'_> {
    /// What follows CREATE USER.
    pub(super) fn create_user(&mut self) -> Result<Statement> {
        let name = self.ident()?;
        self.expect_keyword(Keyword::With)?;
        self.expect_keyword(Keyword::Password)?;
        let password = Password::new(self.string()?);
        let admin = self.accept_keyword(Keyword::With);
        if admin {
            self.expect_keyword(Keyword::All)?;
            self.expect_keyword(Keyword::Privileges)?;
        }
        Ok(Statement::CreateUser(CreateUser { name, password, admin }))
    }

    /// What follows SET.
    pub(super) fn set_password(&mut self) -> Result<Statement> {
        self.expect_keyword(Keyword::Password)?;
        self.expect_keyword(Keyword::For)?;
        let user = self.ident()?;
        self.expect(Token::Equal)?;
        Ok(Statement::SetPassword { user, password: Password::new(self.string()?) })
    }

    /// What follows GRANT.
    pub(super) fn grant(&mut self) -> Result<Statement> {
        let privilege = self.privilege()?;
        match self.privilege_database(privilege, Keyword::To)? {
            None => Ok(Statement::GrantAdmin { user: self.ident()? }),
            Some(database) => {
                self.expect_keyword(Keyword::To)?;
                Ok(Statement::Grant { privilege, database, user: self.ident()? })
            }
        }
    }

    /// What follows REVOKE.
    pub(super) fn revoke(&mut self) -> Result<Statement> {
        let privilege = self.privilege()?;
        match self.privilege_database(privilege, Keyword::From)? {
            None => Ok(Statement::RevokeAdmin { user: self.ident()? }),
            Some(database) => {
                self.expect_keyword(Keyword::From)?;
                Ok(Statement::Revoke { privilege, database, user: self.ident()? })
            }
        }
    }

    fn privilege(&mut self) -> Result<Privilege> {
        let word = self.next();
        match word.token {
            Token::Keyword(Keyword::Read) => Ok(Privilege::Read),
            Token::Keyword(Keyword::Write) => Ok(Privilege::Write),
            Token::Keyword(Keyword::All) => {
                self.accept_keyword(Keyword::Privileges);
                Ok(Privilege::All)
            }
            _ => Err(word.unexpected(&["READ", "WRITE", "ALL [PRIVILEGES]"])),
        }
    }

    /// `ON db`, or `None` if `preposition` (TO or FROM) stands there: all privileges everywhere.
    fn privilege_database(&mut self, privilege: Privilege, preposition: Keyword) -> Result<Option<String>> {
        let next = self.next();
        match next.token {
            Token::Keyword(Keyword::On) => self.ident().map(Some),
            _ if privilege != Privilege::All => Err(next.unexpected(&["ON"])),
            Token::Keyword(word) if word == preposition => Ok(None),
            _ => Err(next.unexpected(&["ON", preposition.name()])),
        }
    }
}
