//! The syntax tree of InfluxQL as InfluxDB 1.8 has it, and its way back to text.
//!
//! Made by `parser`, read by the planner, rewritten by timeshift. Every type prints InfluxQL that
//! parses to an equal tree, quoting identifiers only where they need it. Limits: a tree that the
//! parser made is at most [`super::NESTING_MAX`] selects and [`super::EXPR_DEPTH_MAX`] expressions
//! deep, so that cloning, comparing, printing and dropping it can't exhaust a stack.

mod ddl;
mod expr;
mod math;
mod select;
mod shift;
mod show;
mod users;

use std::fmt;

pub use ddl::{
    AlterRetentionPolicy, CreateContinuousQuery, CreateDatabase, CreateRetentionPolicy, CreateSubscription, Delivery,
    RetentionSpec, SeriesFilter,
};
pub(super) use expr::{AND_PRECEDENCE, OR_PRECEDENCE};
pub use expr::{BinaryOp, Call, Cast, Expr, VarRef};
pub use math::Math;
pub use select::{Field, Fill, FillValue, Measurement, MeasurementName, Select, SortOrder, Source, Target};
pub use shift::Shift;
pub use show::{CardinalityOf, Listing, NameOrAll, ShowCardinality, ShowMeasurements, TagKeys};
pub use users::{CreateUser, Password, Privilege};

use super::text::{quote_ident, quote_string};

/// A whole query text.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub statements: Vec<Statement>,
    /// It has a time zone, or a regular expression that is not plain: whether there is such a one InfluxDB alone knows, which
    /// refuses the whole text otherwise.
    pub unproven: bool,
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, &self.statements, "; ")
    }
}

/// One statement. `Display` hides passwords, as InfluxDB does in its log;
/// [`Statement::to_forwardable`] shows them.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    Select(Box<Select>),
    Explain {
        analyze: bool,
        select: Box<Select>,
    },
    Delete(SeriesFilter),
    DropSeries(SeriesFilter),
    DropMeasurement {
        name: String,
    },
    DropShard {
        id: u64,
    },

    ShowDatabases,
    ShowMeasurements(Box<ShowMeasurements>),
    ShowSeries(Box<Listing>),
    ShowTagKeys(Box<Listing>),
    ShowTagValues {
        keys: TagKeys,
        listing: Box<Listing>,
    },
    ShowFieldKeys(Box<Listing>),
    ShowCardinality(Box<ShowCardinality>),
    ShowRetentionPolicies {
        database: Option<String>,
    },
    ShowShards,
    ShowShardGroups,
    ShowStats {
        module: Option<String>,
    },
    ShowDiagnostics {
        module: Option<String>,
    },
    ShowQueries,
    ShowUsers,
    ShowGrants {
        user: String,
    },
    ShowContinuousQueries,
    ShowSubscriptions,

    CreateDatabase(CreateDatabase),
    DropDatabase {
        name: String,
    },
    CreateRetentionPolicy(CreateRetentionPolicy),
    AlterRetentionPolicy(AlterRetentionPolicy),
    DropRetentionPolicy {
        name: String,
        database: String,
    },
    CreateContinuousQuery(Box<CreateContinuousQuery>),
    DropContinuousQuery {
        name: String,
        database: String,
    },
    CreateSubscription(CreateSubscription),
    DropSubscription {
        name: String,
        database: String,
        retention_policy: String,
    },

    CreateUser(CreateUser),
    DropUser {
        name: String,
    },
    SetPassword {
        user: String,
        password: Password,
    },
    Grant {
        privilege: Privilege,
        database: String,
        user: String,
    },
    GrantAdmin {
        user: String,
    },
    Revoke {
        privilege: Privilege,
        database: String,
        user: String,
    },
    RevokeAdmin {
        user: String,
    },

    KillQuery {
        id: u64,
        host: Option<String>,
    },

    /// Slotline's own.
    Math(Math),
}

impl Statement {
    /// The statement with real passwords, to send to a backend; never to a log.
    pub fn to_forwardable(&self) -> String {
        match self {
            Statement::CreateUser(create) => create.to_forwardable(),
            Statement::SetPassword { user, password } => {
                let password = quote_string(password.reveal());
                format!("SET PASSWORD FOR {} = {password}", quote_ident(user))
            }
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Statement::*;
        let q = quote_ident;
        let module = |m: &Option<String>| m.as_deref().map(quote_string);
        match self {
            Select(select) => select.fmt(f),
            Explain { analyze: false, select } => write!(f, "EXPLAIN {select}"),
            Explain { analyze: true, select } => write!(f, "EXPLAIN ANALYZE {select}"),
            Delete(filter) => write!(f, "DELETE{filter}"),
            DropSeries(filter) => write!(f, "DROP SERIES{filter}"),
            DropMeasurement { name } => write!(f, "DROP MEASUREMENT {}", q(name)),
            DropShard { id } => write!(f, "DROP SHARD {id}"),

            ShowDatabases => f.write_str("SHOW DATABASES"),
            ShowMeasurements(show) => show.fmt(f),
            ShowSeries(listing) => write!(f, "SHOW SERIES{listing}"),
            ShowTagKeys(listing) => write!(f, "SHOW TAG KEYS{listing}"),
            ShowTagValues { keys, listing } => listing.fmt_tag_values(f, keys),
            ShowFieldKeys(listing) => write!(f, "SHOW FIELD KEYS{listing}"),
            ShowCardinality(show) => show.fmt(f),
            ShowRetentionPolicies { database } => {
                f.write_str("SHOW RETENTION POLICIES")?;
                write_opt(f, " ON ", database.as_deref().map(q))
            }
            ShowShards => f.write_str("SHOW SHARDS"),
            ShowShardGroups => f.write_str("SHOW SHARD GROUPS"),
            ShowStats { module: m } => write_module(f, "SHOW STATS", module(m)),
            ShowDiagnostics { module: m } => write_module(f, "SHOW DIAGNOSTICS", module(m)),
            ShowQueries => f.write_str("SHOW QUERIES"),
            ShowUsers => f.write_str("SHOW USERS"),
            ShowGrants { user } => write!(f, "SHOW GRANTS FOR {}", q(user)),
            ShowContinuousQueries => f.write_str("SHOW CONTINUOUS QUERIES"),
            ShowSubscriptions => f.write_str("SHOW SUBSCRIPTIONS"),

            CreateDatabase(create) => create.fmt(f),
            DropDatabase { name } => write!(f, "DROP DATABASE {}", q(name)),
            CreateRetentionPolicy(create) => create.fmt(f),
            AlterRetentionPolicy(alter) => alter.fmt(f),
            DropRetentionPolicy { name, database } => {
                write!(f, "DROP RETENTION POLICY {} ON {}", q(name), q(database))
            }
            CreateContinuousQuery(create) => create.fmt(f),
            DropContinuousQuery { name, database } => {
                write!(f, "DROP CONTINUOUS QUERY {} ON {}", q(name), q(database))
            }
            CreateSubscription(create) => create.fmt(f),
            DropSubscription { name, database, retention_policy } => {
                let policy = q(retention_policy);
                write!(f, "DROP SUBSCRIPTION {} ON {}.{policy}", q(name), q(database))
            }

            CreateUser(create) => create.fmt(f),
            DropUser { name } => write!(f, "DROP USER {}", q(name)),
            SetPassword { user, password } => {
                write!(f, "SET PASSWORD FOR {} = {password}", q(user))
            }
            Grant { privilege, database, user } => {
                write!(f, "GRANT {privilege} ON {} TO {}", q(database), q(user))
            }
            GrantAdmin { user } => write!(f, "GRANT ALL PRIVILEGES TO {}", q(user)),
            Revoke { privilege, database, user } => {
                write!(f, "REVOKE {privilege} ON {} FROM {}", q(database), q(user))
            }
            RevokeAdmin { user } => write!(f, "REVOKE ALL PRIVILEGES FROM {}", q(user)),

            KillQuery { id, host: None } => write!(f, "KILL QUERY {id}"),
            KillQuery { id, host: Some(host) } => write!(f, "KILL QUERY {id} ON {}", q(host)),

            Math(math) => math.fmt(f),
        }
    }
}

fn write_module(f: &mut fmt::Formatter<'_>, statement: &str, module: Option<String>) -> fmt::Result {
    f.write_str(statement)?;
    write_opt(f, " FOR ", module)
}

fn write_list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

/// Writes a clause that may be missing.
fn write_opt<T: fmt::Display>(f: &mut fmt::Formatter<'_>, keyword: &str, value: Option<T>) -> fmt::Result {
    match value {
        Some(value) => write!(f, "{keyword}{value}"),
        None => Ok(()),
    }
}

/// Writes a clause with a list that may be empty.
fn write_clause<T: fmt::Display>(f: &mut fmt::Formatter<'_>, keyword: &str, items: &[T]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    f.write_str(keyword)?;
    write_list(f, items, ", ")
}

/// Writes limits, of which 0 is none.
fn write_limits(f: &mut fmt::Formatter<'_>, limits: &[(&str, u64)]) -> fmt::Result {
    for (keyword, n) in limits.iter().filter(|(_, n)| *n > 0) {
        write!(f, " {keyword} {n}")?;
    }
    Ok(())
}
