//! What InfluxDBs of a cluster must have alike: databases, retention policies, defaults, users and grants; and the
//! statements that bring one to what another has.
//!
//! Passwords cannot be read from InfluxDB: a user is made only if the operator gives the password.

use std::collections::BTreeMap;

use crate::influxql::{quote_ident, quote_string};
use crate::topology::Replica;

use super::influx::query;
use super::stored::databases;

/// Of one InfluxDB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    pub databases: BTreeMap<String, Database>,
    pub users: BTreeMap<String, User>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    pub policies: BTreeMap<String, Policy>,
    pub default: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// As InfluxDB prints them: `168h0m0s`, `0s` for ever.
    duration: String,
    shard_duration: String,
    replicas: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub admin: bool,
    /// By database: `READ`, `WRITE`, `ALL PRIVILEGES`.
    pub grants: BTreeMap<String, String>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Steps {
    pub statements: Vec<Step>,
    /// Users that cannot be made for want of a password.
    pub without_password: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Without a password.
    pub told: String,
    pub statement: String,
}

/// Users' passwords, by name.
pub type Passwords = BTreeMap<String, String>;

/// Reads all of it from a replica.
pub fn read(replica: &Replica) -> Result<Schema, String> {
    let mut schema = Schema::default();
    for db in databases(replica)? {
        let mut database = Database::default();
        for series in query(replica, "", &format!("SHOW RETENTION POLICIES ON {}", quote_ident(&db)))? {
            let columns = ["name", "duration", "shardGroupDuration", "replicaN", "default"];
            for [name, duration, shard_duration, replicas, default] in series.texts(columns) {
                if default == "true" {
                    database.default = Some(name.clone());
                }
                database.policies.insert(name, Policy { duration, shard_duration, replicas });
            }
        }
        schema.databases.insert(db, database);
    }
    for series in query(replica, "", "SHOW USERS")? {
        for [name, admin] in series.texts(["user", "admin"]) {
            let mut user = User { admin: admin == "true", grants: BTreeMap::new() };
            for grants in query(replica, "", &format!("SHOW GRANTS FOR {}", quote_ident(&name)))? {
                let rows = grants.texts(["database", "privilege"]).into_iter();
                user.grants.extend(rows.filter(|[_, right]| right != "NO PRIVILEGES").map(|[db, right]| (db, right)));
            }
            schema.users.insert(name, user);
        }
    }
    Ok(schema)
}

/// What brings one that has `now` to what `wanted` has. What it has besides stays, but for policies of databases that it
/// had not.
pub fn steps(wanted: &Schema, now: &Schema, passwords: &Passwords) -> Steps {
    let mut steps = Steps::default();
    for (name, database) in &wanted.databases {
        database_steps(name, database, now.databases.get(name), &mut steps.statements);
    }
    for (name, user) in &wanted.users {
        match (now.users.get(name), passwords.get(name)) {
            (Some(now), _) => user_steps(name, user, now, &mut steps.statements),
            (None, Some(password)) => {
                let all = if user.admin { " WITH ALL PRIVILEGES" } else { "" };
                let statement =
                    |password: &str| format!("CREATE USER {} WITH PASSWORD {password}{all}", quote_ident(name));
                let (told, statement) = (statement("***"), statement(&quote_string(password)));
                steps.statements.push(Step { told, statement });
                let made = User { admin: user.admin, grants: BTreeMap::new() };
                user_steps(name, user, &made, &mut steps.statements);
            }
            (None, None) => steps.without_password.push(name.clone()),
        }
    }
    steps
}

/// What one that has `now` has besides what `wanted` has, in words; `own`: the user by which it is asked.
pub fn extras(wanted: &Schema, now: &Schema, own: &str) -> Vec<String> {
    let mut extras = Vec::new();
    for (name, database) in &now.databases {
        let db = quote_ident(name);
        match wanted.databases.get(name) {
            None => extras.push(format!("database {db}")),
            Some(known) => {
                let more = database.policies.keys().filter(|policy| !known.policies.contains_key(*policy));
                extras.extend(more.map(|policy| format!("policy {} on {db}", quote_ident(policy))));
            }
        }
    }
    let users = now.users.keys().filter(|name| *name != own && !wanted.users.contains_key(*name));
    extras.extend(users.map(|name| format!("user {}", quote_ident(name))));
    extras
}

fn push(steps: &mut Vec<Step>, statement: String) {
    steps.push(Step { told: statement.clone(), statement });
}

fn database_steps(name: &str, wanted: &Database, now: Option<&Database>, steps: &mut Vec<Step>) {
    let db = quote_ident(name);
    let mut there = now.cloned().unwrap_or_default();
    if now.is_none() {
        match wanted.default.as_ref().and_then(|default| Some((default, wanted.policies.get(default)?))) {
            Some((default, policy)) => {
                push(steps, format!("CREATE DATABASE {db} WITH {} NAME {}", policy.options(), quote_ident(default)));
                there =
                    Database { policies: [(default.clone(), policy.clone())].into(), default: Some(default.clone()) };
            }
            None => {
                // The policy that InfluxDB makes with it is not wanted.
                push(steps, format!("CREATE DATABASE {db} WITH NAME \"autogen\""));
                if !wanted.policies.contains_key("autogen") {
                    push(steps, format!("DROP RETENTION POLICY \"autogen\" ON {db}"));
                }
            }
        }
    }
    for (policy_name, policy) in &wanted.policies {
        let (name, options) = (quote_ident(policy_name), policy.options());
        match there.policies.get(policy_name) {
            Some(own) if own == policy => {}
            Some(_) => push(steps, format!("ALTER RETENTION POLICY {name} ON {db} {options}")),
            None => push(steps, format!("CREATE RETENTION POLICY {name} ON {db} {options}")),
        }
    }
    if let Some(default) = wanted.default.as_ref().filter(|_| there.default != wanted.default) {
        push(steps, format!("ALTER RETENTION POLICY {} ON {db} DEFAULT", quote_ident(default)));
    }
}

fn user_steps(name: &str, wanted: &User, now: &User, steps: &mut Vec<Step>) {
    let user = quote_ident(name);
    match (wanted.admin, now.admin) {
        (true, false) => push(steps, format!("GRANT ALL PRIVILEGES TO {user}")),
        (false, true) => push(steps, format!("REVOKE ALL PRIVILEGES FROM {user}")),
        _ => {}
    }
    for (db, right) in wanted.grants.iter().filter(|(db, right)| now.grants.get(*db) != Some(*right)) {
        let right = if right == "ALL PRIVILEGES" { "ALL" } else { right };
        push(steps, format!("GRANT {right} ON {} TO {user}", quote_ident(db)));
    }
    for db in now.grants.keys().filter(|db| !wanted.grants.contains_key(*db)) {
        push(steps, format!("REVOKE ALL ON {} FROM {user}", quote_ident(db)));
    }
}

impl Policy {
    /// How far back it keeps points; `None`: all.
    pub fn reach(&self) -> Option<&str> {
        Some(self.duration.as_str()).filter(|duration| *duration != "0s")
    }

    fn options(&self) -> String {
        let Policy { duration, shard_duration, replicas } = self;
        let duration = if duration == "0s" { "INF" } else { duration };
        format!("DURATION {duration} REPLICATION {replicas} SHARD DURATION {shard_duration}")
    }
}

/// Brings a replica to what `wanted` has, and reads it again: what is still lacking, in words. Users without a password
/// are no lack.
pub fn copy(wanted: &Schema, replica: &Replica, passwords: &Passwords) -> Result<Vec<String>, String> {
    for step in steps(wanted, &read(replica)?, passwords).statements {
        query(replica, "", &step.statement).map_err(|error| format!("{}: {error}", step.told))?;
    }
    Ok(steps(wanted, &read(replica)?, passwords).statements.into_iter().map(|step| step.told).collect())
}

/// Reads lines of `NAME:PASSWORD`.
pub fn parse_passwords(text: &str) -> Result<Passwords, String> {
    let mut passwords = Passwords::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (name, password) =
            line.split_once(':').ok_or_else(|| format!("line {} is not of the form NAME:PASSWORD", number + 1))?;
        passwords.insert(name.to_owned(), password.to_owned());
    }
    Ok(passwords)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(duration: &str) -> Policy {
        Policy { duration: duration.to_owned(), shard_duration: "24h0m0s".to_owned(), replicas: "1".to_owned() }
    }

    fn told(steps: &Steps) -> Vec<&str> {
        steps.statements.iter().map(|step| step.told.as_str()).collect()
    }

    #[test]
    fn an_empty_server_gets_all_of_it() {
        let mut wanted = Schema::default();
        let policies = [("a week".to_owned(), policy("168h0m0s")), ("all".to_owned(), policy("0s"))];
        wanted
            .databases
            .insert("db".to_owned(), Database { policies: policies.into(), default: Some("all".to_owned()) });
        wanted.databases.insert("bare".to_owned(), Database::default());
        let grants = [("db".to_owned(), "ALL PRIVILEGES".to_owned()), ("bare".to_owned(), "READ".to_owned())];
        wanted.users.insert("bob".to_owned(), User { admin: false, grants: grants.into() });
        wanted.users.insert("eve".to_owned(), User { admin: true, grants: BTreeMap::new() });
        let passwords = parse_passwords("bob:it's:one\n\n").expect("good lines");
        let all = steps(&wanted, &Schema::default(), &passwords);
        let want = [
            "CREATE DATABASE bare WITH NAME \"autogen\"",
            "DROP RETENTION POLICY \"autogen\" ON bare",
            "CREATE DATABASE db WITH DURATION INF REPLICATION 1 SHARD DURATION 24h0m0s NAME \"all\"",
            "CREATE RETENTION POLICY \"a week\" ON db DURATION 168h0m0s REPLICATION 1 SHARD DURATION 24h0m0s",
            "CREATE USER bob WITH PASSWORD ***",
            "GRANT READ ON bare TO bob",
            "GRANT ALL ON db TO bob",
        ];
        assert_eq!(told(&all), want);
        assert_eq!(all.statements[4].statement, "CREATE USER bob WITH PASSWORD 'it\\'s:one'");
        assert_eq!(all.without_password, ["eve"]);
        assert!(parse_passwords("bob").is_err_and(|fault| fault.contains("line 1")));
    }

    #[test]
    fn what_differs_is_changed_and_what_is_alike_stays() {
        let of = |duration: &str, default: &str, admin, right: &str| {
            let policies = [("p".to_owned(), policy(duration)), ("q".to_owned(), policy("0s"))].into();
            let user = User { admin, grants: [("db".to_owned(), right.to_owned())].into() };
            let database = Database { policies, default: Some(default.to_owned()) };
            Schema { databases: [("db".to_owned(), database)].into(), users: [("bob".to_owned(), user)].into() }
        };
        let wanted = of("1h0m0s", "p", false, "READ");
        assert_eq!(told(&steps(&wanted, &wanted, &Passwords::new())), [""; 0]);
        let mut more = of("1h0m0s", "p", false, "READ");
        let policies =
            [("p", "1h0m0s"), ("q", "0s"), ("r r", "0s")].map(|(name, kept)| (name.to_owned(), policy(kept)));
        more.databases.insert("db".to_owned(), Database { policies: policies.into(), default: Some("p".to_owned()) });
        more.databases.insert("other".to_owned(), Database::default());
        ["eve", "own"].iter().for_each(|name| drop(more.users.insert((*name).to_owned(), User::default())));
        assert_eq!(told(&steps(&wanted, &more, &Passwords::new())), [""; 0]);
        assert_eq!(extras(&wanted, &more, "own"), ["policy \"r r\" on db", "database other", "user eve"]);
        assert_eq!(extras(&more, &wanted, ""), [""; 0]);
        let now = of("2h0m0s", "q", true, "WRITE");
        let want = [
            "ALTER RETENTION POLICY p ON db DURATION 1h0m0s REPLICATION 1 SHARD DURATION 24h0m0s",
            "ALTER RETENTION POLICY p ON db DEFAULT",
            "REVOKE ALL PRIVILEGES FROM bob",
            "GRANT READ ON db TO bob",
        ];
        assert_eq!(told(&steps(&wanted, &now, &Passwords::new())), want);
    }
}
