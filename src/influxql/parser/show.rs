//! SHOW.

use super::{Parser, Result, some_name};
use crate::influxql::ast::{CardinalityOf, Listing, NameOrAll, ShowCardinality, ShowMeasurements, Statement, TagKeys};
use crate::influxql::token::{Keyword, Token};

impl Parser<'_> {
    /// What follows SHOW.
    pub(super) fn show(&mut self) -> Result<Statement> {
        let what = self.next();
        let Token::Keyword(keyword) = what.token else {
            return Err(what.unexpected(&SHOWABLE));
        };
        match keyword {
            Keyword::Continuous => {
                self.expect_keyword(Keyword::Queries)?;
                Ok(Statement::ShowContinuousQueries)
            }
            Keyword::Databases => Ok(Statement::ShowDatabases),
            Keyword::Diagnostics => Ok(Statement::ShowDiagnostics { module: self.optional_module()? }),
            Keyword::Field => self.show_field(),
            Keyword::Grants => {
                self.expect_keyword(Keyword::For)?;
                Ok(Statement::ShowGrants { user: self.ident()? })
            }
            Keyword::Measurement => self.show_cardinality(CardinalityOf::Measurements),
            Keyword::Measurements => self.show_measurements(),
            Keyword::Queries => Ok(Statement::ShowQueries),
            Keyword::Retention => {
                self.expect_keyword(Keyword::Policies)?;
                Ok(Statement::ShowRetentionPolicies { database: self.optional_on()? })
            }
            Keyword::Series => self.show_series(),
            Keyword::Shard => {
                self.expect_keyword(Keyword::Groups)?;
                Ok(Statement::ShowShardGroups)
            }
            Keyword::Shards => Ok(Statement::ShowShards),
            Keyword::Stats => Ok(Statement::ShowStats { module: self.optional_module()? }),
            Keyword::Subscriptions => Ok(Statement::ShowSubscriptions),
            Keyword::Tag => self.show_tag(),
            Keyword::Users => Ok(Statement::ShowUsers),
            _ => Err(what.unexpected(&SHOWABLE)),
        }
    }

    /// `FOR 'module'`, if it is there.
    fn optional_module(&mut self) -> Result<Option<String>> {
        if !self.accept_keyword(Keyword::For) {
            return Ok(None);
        }
        Ok(some_name(self.string()?))
    }

    fn show_field(&mut self) -> Result<Statement> {
        let what = self.next();
        match what.token {
            Token::Keyword(Keyword::Key) => self.show_cardinality(CardinalityOf::FieldKeys),
            Token::Keyword(Keyword::Keys) => Ok(Statement::ShowFieldKeys(Box::new(Listing {
                database: self.optional_on()?,
                sources: self.optional_from()?,
                order: self.order()?,
                limit: self.optional_limit(Keyword::Limit)?,
                offset: self.optional_limit(Keyword::Offset)?,
                ..Listing::default()
            }))),
            _ => Err(what.unexpected(&["KEY", "KEYS"])),
        }
    }

    fn show_tag(&mut self) -> Result<Statement> {
        let what = self.next();
        match what.token {
            Token::Keyword(Keyword::Key) => self.show_cardinality(CardinalityOf::TagKeys),
            Token::Keyword(Keyword::Keys) => {
                let mut listing = self.listing()?;
                listing.slimit = self.optional_limit(Keyword::Slimit)?;
                listing.soffset = self.optional_limit(Keyword::Soffset)?;
                Ok(Statement::ShowTagKeys(Box::new(listing)))
            }
            Token::Keyword(Keyword::Values) => self.show_tag_values(),
            _ => Err(what.unexpected(&["KEY", "KEYS", "VALUES"])),
        }
    }

    fn listing(&mut self) -> Result<Listing> {
        let database = self.optional_on()?;
        let sources = self.optional_from()?;
        self.listing_of(database, sources)
    }

    /// The clauses from WHERE on.
    fn listing_of(&mut self, database: Option<String>, sources: Vec<crate::influxql::Measurement>) -> Result<Listing> {
        Ok(Listing {
            database,
            sources,
            condition: self.condition()?,
            order: self.order()?,
            limit: self.optional_limit(Keyword::Limit)?,
            offset: self.optional_limit(Keyword::Offset)?,
            ..Listing::default()
        })
    }

    fn show_series(&mut self) -> Result<Statement> {
        // InfluxDB takes SHOW SERIES EXACT for SHOW SERIES.
        let exact = self.accept_keyword(Keyword::Exact);
        if self.accept_keyword(Keyword::Cardinality) {
            return self.cardinality_clauses(CardinalityKind::Series, exact);
        }
        Ok(Statement::ShowSeries(Box::new(self.listing()?)))
    }

    fn show_tag_values(&mut self) -> Result<Statement> {
        let exact = self.accept_keyword(Keyword::Exact);
        if exact {
            self.expect_keyword(Keyword::Cardinality)?;
        }
        if exact || self.accept_keyword(Keyword::Cardinality) {
            return self.cardinality_clauses(CardinalityKind::TagValues, exact);
        }
        let database = self.optional_on()?;
        let sources = self.optional_from()?;
        let keys = self.tag_keys()?;
        let listing = Box::new(self.listing_of(database, sources)?);
        Ok(Statement::ShowTagValues { keys, listing })
    }

    /// `[EXACT] CARDINALITY …`.
    fn show_cardinality(&mut self, of: CardinalityOf) -> Result<Statement> {
        let next = self.next();
        let exact = match next.token {
            Token::Keyword(Keyword::Exact) => {
                self.expect_keyword(Keyword::Cardinality)?;
                true
            }
            Token::Keyword(Keyword::Cardinality) => false,
            _ => return Err(next.unexpected(&["EXACT", "CARDINALITY"])),
        };
        self.cardinality_clauses(CardinalityKind::Other(of), exact)
    }

    fn cardinality_clauses(&mut self, kind: CardinalityKind, exact: bool) -> Result<Statement> {
        let database = self.optional_on()?;
        let sources = self.optional_from()?;
        let of = match kind {
            CardinalityKind::Series => CardinalityOf::Series,
            CardinalityKind::TagValues => CardinalityOf::TagValues(self.tag_keys()?),
            CardinalityKind::Other(of) => of,
        };
        Ok(Statement::ShowCardinality(Box::new(ShowCardinality {
            of,
            exact,
            database,
            sources,
            condition: self.condition()?,
            group_by: self.group_by()?,
            limit: self.optional_limit(Keyword::Limit)?,
            offset: self.optional_limit(Keyword::Offset)?,
        })))
    }

    /// `WITH KEY …`.
    fn tag_keys(&mut self) -> Result<TagKeys> {
        self.expect_keyword(Keyword::With)?;
        self.expect_keyword(Keyword::Key)?;
        let op = self.next();
        match op.token {
            Token::Equal => Ok(TagKeys::Equal(self.ident()?)),
            Token::NotEqual => Ok(TagKeys::NotEqual(self.ident()?)),
            Token::Match => Ok(TagKeys::Match(self.required_regex()?)),
            Token::NotMatch => Ok(TagKeys::NotMatch(self.required_regex()?)),
            Token::Keyword(Keyword::In) => {
                self.expect(Token::OpenParen)?;
                let mut keys = vec![self.ident()?];
                while self.accept(Token::Comma) {
                    keys.push(self.ident()?);
                }
                self.expect(Token::CloseParen)?;
                Ok(TagKeys::In(keys))
            }
            _ => Err(op.unexpected(&["IN", "=", "=~"])),
        }
    }

    fn show_measurements(&mut self) -> Result<Statement> {
        let mut show = ShowMeasurements::default();
        if self.accept_keyword(Keyword::On) {
            show.database = self.name_or_all()?;
            if self.accept(Token::Dot) {
                show.retention_policy = self.name_or_all()?;
            }
        }
        if self.accept_keyword(Keyword::With) {
            self.expect_keyword(Keyword::Measurement)?;
            let op = self.next();
            // Which of the two operators stands here makes no difference to InfluxDB.
            if !matches!(op.token, Token::Equal | Token::Match) {
                return Err(op.unexpected(&["=", "=~"]));
            }
            show.with = Some(self.measurement()?);
        }
        show.condition = self.condition()?;
        show.order = self.order()?;
        show.limit = self.optional_limit(Keyword::Limit)?;
        show.offset = self.optional_limit(Keyword::Offset)?;
        Ok(Statement::ShowMeasurements(Box::new(show)))
    }

    fn name_or_all(&mut self) -> Result<Option<NameOrAll>> {
        if self.accept(Token::Star) {
            return Ok(Some(NameOrAll::All));
        }
        Ok(some_name(self.ident()?).map(NameOrAll::Name))
    }
}

/// What a cardinality statement counts, before its clauses are read.
enum CardinalityKind {
    Series,
    TagValues,
    Other(CardinalityOf),
}

const SHOWABLE: [&str; 16] = [
    "CONTINUOUS",
    "DATABASES",
    "DIAGNOSTICS",
    "FIELD",
    "GRANTS",
    "MEASUREMENT",
    "MEASUREMENTS",
    "QUERIES",
    "RETENTION",
    "SERIES",
    "SHARD",
    "SHARDS",
    "STATS",
    "SUBSCRIPTIONS",
    "TAG",
    "USERS",
];
