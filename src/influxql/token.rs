//! The kinds of tokens and the keywords, each with the name that error messages print.
//!
//! Used by `lexer` and `parser`. The keywords are those of InfluxDB 1.6 to 1.8; a new one is a
//! row in the table.

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    Illegal,
    Eof,
    Whitespace,
    Comment,
    Ident,
    BoundParam,
    Number,
    Integer,
    Duration,
    String,
    BadString,
    BadEscape,
    True,
    False,
    Regex,
    BadRegex,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Ampersand,
    Pipe,
    Caret,
    And,
    Or,
    Equal,
    NotEqual,
    Match,
    NotMatch,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    OpenParen,
    CloseParen,
    Comma,
    Colon,
    DoubleColon,
    Semicolon,
    Dot,
    Keyword(Keyword),
}

impl Token {
    /// The name that error messages show for a token without a text of its own.
    pub fn name(self) -> &'static str {
        match self {
            Token::Illegal => "ILLEGAL",
            Token::Eof => "EOF",
            Token::Whitespace => "WS",
            // InfluxDB has no name for it.
            Token::Comment => "",
            Token::Ident => "IDENT",
            Token::BoundParam => "BOUNDPARAM",
            Token::Number => "NUMBER",
            Token::Integer => "INTEGER",
            Token::Duration => "DURATIONVAL",
            Token::String => "STRING",
            Token::BadString => "BADSTRING",
            Token::BadEscape => "BADESCAPE",
            Token::True => "TRUE",
            Token::False => "FALSE",
            Token::Regex => "REGEX",
            Token::BadRegex => "BADREGEX",
            Token::Plus => "+",
            Token::Minus => "-",
            Token::Star => "*",
            Token::Slash => "/",
            Token::Percent => "%",
            Token::Ampersand => "&",
            Token::Pipe => "|",
            Token::Caret => "^",
            Token::And => "AND",
            Token::Or => "OR",
            Token::Equal => "=",
            Token::NotEqual => "!=",
            Token::Match => "=~",
            Token::NotMatch => "!~",
            Token::Less => "<",
            Token::LessEqual => "<=",
            Token::Greater => ">",
            Token::GreaterEqual => ">=",
            Token::OpenParen => "(",
            Token::CloseParen => ")",
            Token::Comma => ",",
            Token::Colon => ":",
            Token::DoubleColon => "::",
            Token::Semicolon => ";",
            Token::Dot => ".",
            Token::Keyword(keyword) => keyword.name(),
        }
    }
}

macro_rules! keywords {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// A reserved word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Keyword { $($variant),* }

        impl Keyword {
            /// The word in capitals.
            pub fn name(self) -> &'static str {
                match self { $(Keyword::$variant => $name),* }
            }

            fn from_upper(word: &str) -> Option<Token> {
                Some(match word {
                    "AND" => Token::And,
                    "OR" => Token::Or,
                    "TRUE" => Token::True,
                    "FALSE" => Token::False,
                    $($name => Token::Keyword(Keyword::$variant),)*
                    _ => return None,
                })
            }
        }
    };
}

keywords! {
    All "ALL", Alter "ALTER", Analyze "ANALYZE", Any "ANY", As "AS", Asc "ASC", Begin "BEGIN",
    By "BY", Cardinality "CARDINALITY", Continuous "CONTINUOUS", Create "CREATE",
    Database "DATABASE", Databases "DATABASES", Default "DEFAULT", Delete "DELETE", Desc "DESC",
    Destinations "DESTINATIONS", Diagnostics "DIAGNOSTICS", Distinct "DISTINCT", Drop "DROP",
    Duration "DURATION", End "END", Every "EVERY", Exact "EXACT", Explain "EXPLAIN",
    Field "FIELD", For "FOR", From "FROM", Grant "GRANT", Grants "GRANTS", Group "GROUP",
    Groups "GROUPS", In "IN", Inf "INF", Insert "INSERT", Into "INTO", Key "KEY", Keys "KEYS",
    Kill "KILL", Limit "LIMIT", Measurement "MEASUREMENT", Measurements "MEASUREMENTS",
    Name "NAME", Offset "OFFSET", On "ON", Order "ORDER", Password "PASSWORD",
    Policies "POLICIES", Policy "POLICY", Privileges "PRIVILEGES", Queries "QUERIES",
    Query "QUERY", Read "READ", Replication "REPLICATION", Resample "RESAMPLE",
    Retention "RETENTION", Revoke "REVOKE", Select "SELECT", Series "SERIES", Set "SET",
    Shard "SHARD", Shards "SHARDS", Show "SHOW", Slimit "SLIMIT", Soffset "SOFFSET",
    Stats "STATS", Subscription "SUBSCRIPTION", Subscriptions "SUBSCRIPTIONS", Tag "TAG", To "TO",
    User "USER", Users "USERS", Values "VALUES", Where "WHERE", With "WITH", Write "WRITE",
}

/// Bytes of the longest keyword, SUBSCRIPTIONS: nothing longer needs a look at the table.
const KEYWORD_BYTES_MAX: usize = 13;

impl Keyword {
    /// The token of a reserved word in any case; AND, OR, TRUE and FALSE have tokens of their
    /// own.
    pub fn lookup(word: &str) -> Option<Token> {
        let bytes = word.as_bytes();
        let mut upper = [0; KEYWORD_BYTES_MAX];
        let upper = upper.get_mut(..bytes.len())?;
        upper.copy_from_slice(bytes);
        upper.make_ascii_uppercase();
        Keyword::from_upper(std::str::from_utf8(upper).ok()?)
    }
}
