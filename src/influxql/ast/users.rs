//! Users, their passwords and privileges.

use std::fmt;

use crate::influxql::text::{quote_ident, quote_string};

/// A password: both `Debug` and `Display` hide it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub fn new(password: String) -> Self {
        Password(password)
    }

    /// The password itself, for a backend only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// `CREATE USER name WITH PASSWORD '…' [WITH ALL PRIVILEGES]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateUser {
    pub name: String,
    pub password: Password,
    pub admin: bool,
}

/// What a user may do with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    Read,
    Write,
    All,
}

impl CreateUser {
    fn with_password(&self, password: &str) -> String {
        let privileges = if self.admin { " WITH ALL PRIVILEGES" } else { "" };
        format!("CREATE USER {} WITH PASSWORD {password}{privileges}", quote_ident(&self.name))
    }

    pub(super) fn to_forwardable(&self) -> String {
        self.with_password(&quote_string(self.password.reveal()))
    }
}

impl fmt::Display for CreateUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_password(&self.password.to_string()))
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Privilege::Read => "READ",
            Privilege::Write => "WRITE",
            Privilege::All => "ALL PRIVILEGES",
        })
    }
}
