//! Small questions about statements, and the one rewrite that every request needs.
//!
//! Called by the planner and timeshift. Recursion goes as deep as the tree, whose depth the
//! parser limits.

use super::ast::{BinaryOp, Call, Expr, Measurement, NameOrAll, Select, Source, Statement, Target};
use super::civil::rfc3339_nano;

/// A measurement that a statement names, and what for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mention<'a> {
    /// Read, listed or deleted from.
    Source(&'a Measurement),
    /// Written by SELECT INTO.
    Target(&'a Target),
    /// Dropped.
    Dropped(&'a str),
}

impl Statement {
    /// Calls `visit` for every measurement of the statement, subqueries included, in the order of
    /// the text.
    pub fn visit_measurements<'a>(&'a self, visit: &mut impl FnMut(Mention<'a>)) {
        match self {
            Statement::Select(select) | Statement::Explain { select, .. } => {
                select.visit_measurements(visit);
            }
            Statement::CreateContinuousQuery(create) => create.select.visit_measurements(visit),
            Statement::DropMeasurement { name } => visit(Mention::Dropped(name)),
            Statement::ShowMeasurements(show) => {
                show.with.iter().for_each(|m| visit(Mention::Source(m)));
            }
            other => other.listed_sources().iter().for_each(|m| visit(Mention::Source(m))),
        }
    }

    fn listed_sources(&self) -> &[Measurement] {
        match self {
            Statement::Delete(filter) | Statement::DropSeries(filter) => &filter.sources,
            Statement::ShowSeries(listing)
            | Statement::ShowTagKeys(listing)
            | Statement::ShowFieldKeys(listing)
            | Statement::ShowTagValues { listing, .. } => &listing.sources,
            Statement::ShowCardinality(show) => &show.sources,
            _ => &[],
        }
    }

    /// Calls `visit` for every expression of the statement from the outside: fields, conditions
    /// and GROUP BY, of subqueries too.
    fn visit_exprs(&self, visit: &mut impl FnMut(&Expr)) {
        match self {
            Statement::Select(select) | Statement::Explain { select, .. } => {
                select.visit_exprs(visit);
            }
            Statement::CreateContinuousQuery(create) => create.select.visit_exprs(visit),
            Statement::Delete(filter) | Statement::DropSeries(filter) => {
                filter.condition.iter().for_each(visit);
            }
            Statement::ShowSeries(listing)
            | Statement::ShowTagKeys(listing)
            | Statement::ShowFieldKeys(listing)
            | Statement::ShowTagValues { listing, .. } => listing.condition.iter().for_each(visit),
            Statement::ShowMeasurements(show) => show.condition.iter().for_each(visit),
            Statement::ShowCardinality(show) => {
                show.condition.iter().chain(&show.group_by).for_each(visit);
            }
            _ => {}
        }
    }

    pub fn visit_exprs_mut(&mut self, visit: &mut impl FnMut(&mut Expr)) {
        match self {
            Statement::Select(select) | Statement::Explain { select, .. } => {
                select.visit_exprs_mut(visit);
            }
            Statement::CreateContinuousQuery(create) => create.select.visit_exprs_mut(visit),
            Statement::Delete(filter) | Statement::DropSeries(filter) => {
                filter.condition.iter_mut().for_each(visit);
            }
            Statement::ShowSeries(listing)
            | Statement::ShowTagKeys(listing)
            | Statement::ShowFieldKeys(listing)
            | Statement::ShowTagValues { listing, .. } => {
                listing.condition.iter_mut().for_each(visit);
            }
            Statement::ShowMeasurements(show) => show.condition.iter_mut().for_each(visit),
            Statement::ShowCardinality(show) => {
                show.condition.iter_mut().chain(&mut show.group_by).for_each(visit);
            }
            _ => {}
        }
    }

    /// Calls `visit` for every database that a SELECT or a SHOW names, subqueries included.
    pub fn visit_databases_mut(&mut self, visit: &mut impl FnMut(&mut String)) {
        match self {
            Statement::Select(select) | Statement::Explain { select, .. } => select.visit_databases_mut(visit),
            Statement::ShowRetentionPolicies { database } => database.iter_mut().for_each(visit),
            Statement::ShowSeries(listing)
            | Statement::ShowTagKeys(listing)
            | Statement::ShowFieldKeys(listing)
            | Statement::ShowTagValues { listing, .. } => {
                let sources = listing.sources.iter_mut().filter_map(|source| source.database.as_mut());
                listing.database.iter_mut().chain(sources).for_each(visit);
            }
            Statement::ShowMeasurements(show) => {
                if let Some(NameOrAll::Name(database)) = &mut show.database {
                    visit(database);
                }
            }
            Statement::ShowCardinality(show) => {
                let sources = show.sources.iter_mut().filter_map(|source| source.database.as_mut());
                show.database.iter_mut().chain(sources).for_each(visit);
            }
            _ => {}
        }
    }

    /// Whether the statement calls `now()` by name. GROUP BY time has it for its upper bound
    /// without naming it; that one is not counted.
    pub fn mentions_now(&self) -> bool {
        let mut found = false;
        self.visit_exprs(&mut |expr| found |= expr.mentions_now());
        found
    }

    /// Puts a time in place of every `now()` (see [`Expr::replace_now`]), but not in a continuous query's, which means the
    /// moment when it runs, nor among what a SELECT selects, where it is no function.
    pub fn replace_now(&mut self, now_ns: i64) {
        match self {
            Statement::CreateContinuousQuery(_) => {}
            Statement::Select(select) | Statement::Explain { select, .. } => select.replace_now(now_ns),
            other => other.visit_exprs_mut(&mut |expr| expr.replace_now(now_ns)),
        }
    }

    /// Whether the statement changes data, schema, users or policies. KILL QUERY does not: it
    /// changes nothing that lasts.
    pub fn writes(&self) -> bool {
        use Statement::*;
        match self {
            Select(select) => select.into.is_some(),
            Delete(_) | DropSeries(_) | DropMeasurement { .. } | DropShard { .. } => true,
            CreateDatabase(_) | DropDatabase { .. } => true,
            CreateRetentionPolicy(_) | AlterRetentionPolicy(_) | DropRetentionPolicy { .. } => true,
            CreateContinuousQuery(_) | DropContinuousQuery { .. } => true,
            CreateSubscription(_) | DropSubscription { .. } => true,
            CreateUser(_) | DropUser { .. } | SetPassword { .. } => true,
            Grant { .. } | GrantAdmin { .. } | Revoke { .. } | RevokeAdmin { .. } => true,
            Explain { .. } | KillQuery { .. } | Math(_) => false,
            ShowDatabases | ShowMeasurements(_) | ShowSeries(_) | ShowTagKeys(_) => false,
            ShowTagValues { .. } | ShowFieldKeys(_) | ShowCardinality(_) => false,
            ShowRetentionPolicies { .. } | ShowShards | ShowShardGroups => false,
            ShowStats { .. } | ShowDiagnostics { .. } | ShowQueries | ShowUsers => false,
            ShowGrants { .. } | ShowContinuousQueries | ShowSubscriptions => false,
        }
    }

    /// The database after ON; `None` too for the `*` of SHOW MEASUREMENTS, and for the host of
    /// KILL QUERY.
    pub fn on_database(&self) -> Option<&str> {
        use super::ast::NameOrAll;
        match self {
            Statement::ShowMeasurements(show) => match &show.database {
                Some(NameOrAll::Name(name)) => Some(name),
                _ => None,
            },
            Statement::ShowSeries(listing)
            | Statement::ShowTagKeys(listing)
            | Statement::ShowFieldKeys(listing)
            | Statement::ShowTagValues { listing, .. } => listing.database.as_deref(),
            Statement::ShowCardinality(show) => show.database.as_deref(),
            Statement::ShowRetentionPolicies { database } => database.as_deref(),
            Statement::CreateRetentionPolicy(create) => Some(&create.database),
            Statement::AlterRetentionPolicy(alter) => Some(&alter.database),
            Statement::CreateContinuousQuery(create) => Some(&create.database),
            Statement::CreateSubscription(create) => Some(&create.database),
            Statement::DropRetentionPolicy { database, .. }
            | Statement::DropContinuousQuery { database, .. }
            | Statement::DropSubscription { database, .. }
            | Statement::Grant { database, .. }
            | Statement::Revoke { database, .. } => Some(database),
            _ => None,
        }
    }
}

impl Select {
    fn replace_now(&mut self, now_ns: i64) {
        for source in &mut self.sources {
            if let Source::Subquery(select) = source {
                select.replace_now(now_ns);
            }
        }
        // As a tag it is an error, in words of its own.
        let is_now = |expr: &Expr| matches!(expr, Expr::Call(call) if call.name == "now");
        let group_by = self.group_by.iter_mut().filter(|expr| !is_now(expr));
        self.condition.iter_mut().chain(group_by).for_each(|expr| expr.replace_now(now_ns));
    }

    /// Calls `visit` for the target and for every source, of subqueries too.
    pub fn visit_measurements<'a>(&'a self, visit: &mut impl FnMut(Mention<'a>)) {
        if let Some(target) = &self.into {
            visit(Mention::Target(target));
        }
        for source in &self.sources {
            match source {
                Source::Measurement(measurement) => visit(Mention::Source(measurement)),
                Source::Subquery(select) => select.visit_measurements(visit),
            }
        }
    }

    /// Calls `visit` for every measurement that is read, subqueries' included.
    pub fn visit_sources_mut(&mut self, visit: &mut impl FnMut(&mut Measurement)) {
        for source in &mut self.sources {
            match source {
                Source::Measurement(measurement) => visit(measurement),
                Source::Subquery(inner) => inner.visit_sources_mut(visit),
            }
        }
    }

    fn visit_databases_mut(&mut self, visit: &mut impl FnMut(&mut String)) {
        for source in &mut self.sources {
            match source {
                Source::Measurement(measurement) => measurement.database.iter_mut().for_each(&mut *visit),
                Source::Subquery(select) => select.visit_databases_mut(visit),
            }
        }
    }

    fn visit_exprs(&self, visit: &mut impl FnMut(&Expr)) {
        self.fields.iter().for_each(|field| visit(&field.expr));
        for source in &self.sources {
            if let Source::Subquery(select) = source {
                select.visit_exprs(visit);
            }
        }
        self.condition.iter().chain(&self.group_by).for_each(visit);
    }

    fn visit_exprs_mut(&mut self, visit: &mut impl FnMut(&mut Expr)) {
        self.fields.iter_mut().for_each(|field| visit(&mut field.expr));
        for source in &mut self.sources {
            if let Source::Subquery(select) = source {
                select.visit_exprs_mut(visit);
            }
        }
        self.condition.iter_mut().chain(&mut self.group_by).for_each(visit);
    }
}

/// From the year 1, where Go's calendar begins, to 1970.
const NS_FROM_YEAR_1_TO_1970: i128 = 62_135_596_800 * 1_000_000_000;

/// The offset in nanoseconds that `GROUP BY time(interval, now())` means: how long ago, counting
/// from the year 1, an interval began. (Intervals themselves count from 1970: the two differ for
/// weeks, and InfluxDB has it so.)
fn now_as_offset(now_ns: i64, interval_ns: i64) -> i64 {
    since_truncated(now_ns, interval_ns)
}

/// How long before a time an interval began, counting from the year 1: the offset that the time means in
/// `GROUP BY time(interval, time)`.
pub fn since_truncated(now_ns: i64, interval_ns: i64) -> i64 {
    let since_year_1 = i128::from(now_ns) + NS_FROM_YEAR_1_TO_1970;
    // The remainder is smaller than the interval, so it fits.
    since_year_1.rem_euclid(i128::from(interval_ns)) as i64
}

/// A text that InfluxDB has to take for a time.
fn moment(now_ns: i64) -> Expr {
    let (lhs, rhs) = (Expr::String(rfc3339_nano(now_ns)), Expr::Duration(0));
    let sum = Expr::Binary { op: BinaryOp::Add, lhs: Box::new(lhs), rhs: Box::new(rhs) };
    Expr::Paren(Box::new(sum))
}

impl Expr {
    fn is_now(&self) -> bool {
        matches!(self, Expr::Call(call) if call.name == "now" && call.args.is_empty())
    }

    /// Whether the expression calls `now()`.
    pub fn mentions_now(&self) -> bool {
        match self {
            Expr::And(terms) | Expr::Or(terms) => terms.iter().any(Expr::mentions_now),
            Expr::Binary { lhs, rhs, .. } => lhs.mentions_now() || rhs.mentions_now(),
            Expr::Paren(inner) => inner.mentions_now(),
            Expr::Call(call) => self.is_now() || call.args.iter().any(Expr::mentions_now),
            _ => false,
        }
    }

    /// Puts the time, in nanoseconds since 1970, in place of every `now()`: as a string in
    /// RFC 3339, except for the offset of `time(interval, now())`, where InfluxDB takes no string
    /// and it becomes the duration that it stands for. A text that is added to a text lengthens it:
    /// there it becomes a sum of its text and no time, of which InfluxDB makes a time.
    pub fn replace_now(&mut self, now_ns: i64) {
        self.put_now(now_ns, false);
    }

    /// `added`: to what may be a text.
    fn put_now(&mut self, now_ns: i64, added: bool) {
        if self.is_now() {
            *self = if added { moment(now_ns) } else { Expr::String(rfc3339_nano(now_ns)) };
            return;
        }
        match self {
            Expr::Call(Call { name, args }) if name == "time" => {
                if let [Expr::Duration(interval), offset] = args.as_mut_slice()
                    && offset.is_now()
                    && *interval > 0
                {
                    *offset = Expr::Duration(now_as_offset(now_ns, *interval));
                }
            }
            Expr::And(terms) | Expr::Or(terms) => {
                terms.iter_mut().for_each(|term| term.replace_now(now_ns));
            }
            Expr::Binary { op, lhs, rhs } => {
                let added = *op == BinaryOp::Add && lhs.may_be_text() && rhs.may_be_text();
                lhs.put_now(now_ns, added);
                rhs.put_now(now_ns, added);
            }
            Expr::Paren(inner) => inner.put_now(now_ns, added),
            Expr::Call(call) => call.args.iter_mut().for_each(|arg| arg.replace_now(now_ns)),
            _ => {}
        }
    }

    /// Whether it is a text, once `now()` is one, or InfluxDB may reduce it to one.
    fn may_be_text(&self) -> bool {
        match self {
            Expr::Paren(inner) => inner.may_be_text(),
            Expr::Binary { op, lhs, rhs } => *op == BinaryOp::Add && lhs.may_be_text() && rhs.may_be_text(),
            other => matches!(other, Expr::String(_)) || other.is_now(),
        }
    }

    /// The terms that must all hold: those of an AND, looking through parentheses; a single
    /// expression is its own only term.
    pub fn conjuncts(&self) -> Vec<&Expr> {
        let mut found = Vec::new();
        let mut pending = vec![self];
        while let Some(expr) = pending.pop() {
            match expr {
                Expr::And(terms) => pending.extend(terms.iter().rev()),
                Expr::Paren(inner) => pending.push(inner),
                other => found.push(other),
            }
        }
        found
    }

    /// Whether it is of numbers alone. InfluxDB works out such a call before it names columns and looks at types.
    pub fn is_constant(&self) -> bool {
        match self {
            Expr::Integer(_) | Expr::Unsigned(_) | Expr::Float(_) => true,
            Expr::Binary { lhs, rhs, .. } => lhs.is_constant() && rhs.is_constant(),
            Expr::Call(call) => !call.args.is_empty() && call.args.iter().all(Expr::is_constant),
            Expr::Paren(inner) => inner.is_constant(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, parse_query};

    fn statement(text: &str) -> Statement {
        let query = parse_query(text, &Params::new()).unwrap_or_else(|e| panic!("{text}: {e}"));
        query.statements.into_iter().next().expect("each test text holds a statement")
    }

    #[test]
    fn measurements_are_visited_in_the_order_of_the_text() {
        let cases = [
            ("SELECT v INTO t FROM a, (SELECT v FROM (SELECT v FROM db.rp./x/), b)", "t< a db.rp./x/ b"),
            ("EXPLAIN SELECT v FROM rp.a", "rp.a"),
            ("DELETE FROM a, b", "a b"),
            ("DELETE WHERE x = 'y'", ""),
            ("DROP SERIES FROM /a/", "/a/"),
            ("DROP MEASUREMENT a", "a!"),
            ("SHOW TAG VALUES FROM a WITH KEY = k", "a"),
            ("SHOW MEASUREMENTS WITH MEASUREMENT =~ /a/", "/a/"),
            ("SHOW SERIES EXACT CARDINALITY FROM a", "a"),
            ("CREATE CONTINUOUS QUERY c ON d BEGIN SELECT v INTO t FROM a END", "t< a"),
            ("SHOW DATABASES", ""),
        ];
        for (text, expected) in cases {
            let mut seen = Vec::new();
            statement(text).visit_measurements(&mut |mention| {
                seen.push(match mention {
                    Mention::Source(measurement) => measurement.to_string(),
                    Mention::Target(target) => format!("{target}<"),
                    Mention::Dropped(name) => format!("{name}!"),
                });
            });
            assert_eq!(seen.join(" "), expected, "{text}");
        }
    }

    /// The texts that replace now() were run on influxd 1.6.7.
    #[test]
    fn now_becomes_a_literal() {
        let cases = [
            (
                "SELECT v FROM (SELECT v FROM a WHERE time > now() - 1h) WHERE (time < NOW())",
                "SELECT v FROM (SELECT v FROM a WHERE time > '2017-07-14T04:40:00.000000001Z' - 1h) \
                 WHERE (time < '2017-07-14T04:40:00.000000001Z')",
            ),
            (
                "SELECT mean(v) FROM a GROUP BY time(1h, now())",
                "SELECT mean(v) FROM a GROUP BY time(1h, 2400000000001ns)",
            ),
            (
                "SELECT mean(v) FROM a GROUP BY time(1w, now())",
                "SELECT mean(v) FROM a GROUP BY time(1w, 362400000000001ns)",
            ),
            (
                "DELETE WHERE time < now() - 1d AND a = 'now()'",
                "DELETE WHERE time < '2017-07-14T04:40:00.000000001Z' - 1d AND a = 'now()'",
            ),
            ("DELETE WHERE time < now() + 'x'", "DELETE WHERE time < ('2017-07-14T04:40:00.000000001Z' + 0s) + 'x'"),
            ("SHOW TAG KEYS WHERE time > now()", "SHOW TAG KEYS WHERE time > '2017-07-14T04:40:00.000000001Z'"),
        ];
        for (text, expected) in cases {
            let mut statement = statement(text);
            assert!(statement.mentions_now(), "{text}");
            statement.replace_now(1_500_007_200_000_000_001);
            assert_eq!(statement.to_string(), expected);
            assert!(!statement.mentions_now(), "{text}");
        }
        for text in ["SELECT now FROM a", "SELECT v FROM a WHERE now(1) = 2", "SHOW USERS"] {
            assert!(!statement(text).mentions_now(), "{text}");
        }
        let mut continuous =
            statement("CREATE CONTINUOUS QUERY c ON d BEGIN SELECT v INTO t FROM a WHERE time > now() END");
        let before = continuous.clone();
        continuous.replace_now(0);
        assert_eq!(continuous, before);
    }

    #[test]
    fn writing_statements_are_known() {
        let cases = [
            ("SELECT v FROM a", false),
            ("SELECT v INTO b FROM a", true),
            ("EXPLAIN SELECT v FROM a", false),
            ("SHOW DATABASES", false),
            ("KILL QUERY 5", false),
            ("DELETE FROM a", true),
            ("DROP SERIES FROM a", true),
            ("CREATE DATABASE a", true),
            ("GRANT ALL TO u", true),
            ("SET PASSWORD FOR u = 'x'", true),
            ("DROP SUBSCRIPTION s ON d.r", true),
        ];
        for (text, writes) in cases {
            assert_eq!(statement(text).writes(), writes, "{text}");
        }
    }

    #[test]
    fn the_database_after_on_is_known() {
        let cases = [
            ("SHOW MEASUREMENTS ON d", Some("d")),
            ("SHOW MEASUREMENTS ON *.*", None),
            ("SHOW TAG VALUES ON d WITH KEY = k", Some("d")),
            ("SHOW SERIES CARDINALITY ON d", Some("d")),
            ("SHOW RETENTION POLICIES ON d", Some("d")),
            ("SHOW RETENTION POLICIES", None),
            ("DROP RETENTION POLICY r ON d", Some("d")),
            ("GRANT READ ON d TO u", Some("d")),
            ("KILL QUERY 5 ON h", None),
            ("DROP DATABASE d", None),
        ];
        for (text, database) in cases {
            assert_eq!(statement(text).on_database(), database, "{text}");
        }
    }

    #[test]
    fn conjuncts_look_through_parentheses() {
        let Statement::Select(select) =
            statement("SELECT v FROM m WHERE (a = 1 AND (b = 2 OR c = 3)) AND ((d = 4)) AND e")
        else {
            panic!("a SELECT");
        };
        let condition = select.condition.expect("it has one");
        let terms: Vec<String> = condition.conjuncts().iter().map(|t| t.to_string()).collect();
        assert_eq!(terms, ["a = 1", "b = 2 OR c = 3", "d = 4", "e"]);
    }
}
