//! Random trees and random texts: what is printed parses to the same tree, and nothing panics.

use proptest::prelude::*;
use proptest::{collection::vec, option};

use super::parse;
use crate::influxql::ast::*;
use crate::influxql::reduced::reduce_arguments;
use crate::influxql::token::Keyword;

/// Names that need quotes and names that don't; InfluxQL can't write NUL and `\r`.
fn name() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,5}",
        "[^\0\r]{1,6}",
        "(select|From|TIME|now|distinct|fill|tz|inf|true|All)",
        "['\"\\\\/.;:$ \n-]{1,4}",
    ]
    .boxed()
}

fn text() -> BoxedStrategy<String> {
    prop_oneof!["[a-z]{0,4}", "[^\0\r]{0,8}", "['\"\\\\\n/]{0,5}"].boxed()
}

/// What the lexer can read between slashes.
fn regex() -> BoxedStrategy<String> {
    prop_oneof!["[a-z./^$|()]{0,6}", "[^\0\r\n*+?]([^\0\r\n]{0,5}[^\0\r\n\\\\])?", "[a/\\\\]{0,5}a"]
        .prop_filter("a backslash before the closing slash escapes it", |r| !r.ends_with('\\'))
        .boxed()
}

fn leaf() -> BoxedStrategy<Expr> {
    let cast = prop_oneof![
        Just(Cast::Float),
        Just(Cast::Integer),
        Just(Cast::Unsigned),
        Just(Cast::String),
        Just(Cast::Boolean),
        Just(Cast::Field),
        Just(Cast::Tag)
    ];
    let wild = option::of(prop_oneof![Just(Cast::Field), Just(Cast::Tag)]);
    prop_oneof![
        (name(), option::of(cast)).prop_map(|(name, cast)| Expr::VarRef(VarRef { name, cast })),
        wild.prop_map(Expr::Wildcard),
        name().prop_map(Expr::Distinct),
        text().prop_map(Expr::String),
        any::<i64>().prop_map(Expr::Integer),
        (-3..3i64).prop_map(Expr::Integer),
        (i64::MAX.unsigned_abs() + 1..).prop_map(Expr::Unsigned),
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(Expr::Float),
        (-9999..9999i32).prop_map(|v| Expr::Float(f64::from(v) / 100.0)),
        any::<bool>().prop_map(Expr::Boolean),
        (-i64::MAX..).prop_map(Expr::Duration),
        (-99..99i64).prop_map(|v| Expr::Duration(v * 60_000_000_000)),
        Just(Expr::Call(Call { name: "now".to_string(), args: Vec::new() })),
    ]
    .boxed()
}

fn calc_op() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp::*;
    prop::sample::select(vec![Add, Sub, Mul, Div, Mod, BitAnd, BitOr, BitXor])
}

fn compare_op() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp::*;
    prop::sample::select(vec![Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual])
}

fn binary(op: BinaryOp, lhs: Expr, rhs: Expr) -> Expr {
    Expr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) }
}

/// Trees of any shape, also of those that need parentheses which they don't have. `conditions`
/// adds AND, OR and comparisons.
fn tree(conditions: bool) -> BoxedStrategy<Expr> {
    let grow = move |inner: BoxedStrategy<Expr>| {
        let arg = prop_oneof![4 => inner.clone(), 1 => regex().prop_map(Expr::Regex)];
        let sign = prop::sample::select(vec![-1, 1]);
        let calc = prop_oneof![
            (calc_op(), inner.clone(), inner.clone()).prop_map(|(op, l, r)| binary(op, l, r)),
            (sign, inner.clone()).prop_map(|(n, e)| binary(BinaryOp::Mul, Expr::Integer(n), e)),
            inner.clone().prop_map(|e| Expr::Paren(Box::new(e))),
            (name(), vec(arg, 0..3)).prop_map(|(name, args)| { Expr::Call(Call { name: name.to_lowercase(), args }) }),
        ];
        if !conditions {
            return calc.boxed();
        }
        let matches = prop_oneof![Just(BinaryOp::Match), Just(BinaryOp::NotMatch)];
        let regex = regex().prop_map(Expr::Regex);
        prop_oneof![
            calc,
            (compare_op(), inner.clone(), inner.clone()).prop_map(|(op, l, r)| binary(op, l, r)),
            (matches, inner.clone(), regex).prop_map(|(op, l, r)| binary(op, l, r)),
            vec(inner.clone(), 2..4).prop_map(Expr::And),
            vec(inner.clone(), 2..4).prop_map(Expr::Or),
        ]
        .boxed()
    };
    leaf().prop_recursive(4, 24, 3, move |inner| grow(inner.boxed())).boxed()
}

fn reparsed(condition: &Expr) -> Expr {
    let text = format!("DELETE WHERE {condition}");
    let query = parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
    match query.statements.into_iter().next() {
        Some(Statement::Delete(SeriesFilter { condition: Some(condition), .. })) => condition,
        other => panic!("{text}: {other:?}"),
    }
}

/// The tree without parentheses.
fn bare(expr: &Expr) -> Expr {
    match expr {
        Expr::Paren(inner) => bare(inner),
        Expr::And(terms) => Expr::And(terms.iter().map(bare).collect()),
        Expr::Or(terms) => Expr::Or(terms.iter().map(bare).collect()),
        Expr::Binary { op, lhs, rhs } => binary(*op, bare(lhs), bare(rhs)),
        Expr::Call(Call { name, args }) => {
            Expr::Call(Call { name: name.clone(), args: args.iter().map(bare).collect() })
        }
        leaf => leaf.clone(),
    }
}

/// A tree as the parser makes it, with every parenthesis that it needs.
fn condition() -> BoxedStrategy<Expr> {
    tree(true).prop_map(|expr| reparsed(&expr)).boxed()
}

fn calculation() -> BoxedStrategy<Expr> {
    tree(false).prop_map(|expr| reparsed(&expr)).boxed()
}

fn measurement() -> BoxedStrategy<Measurement> {
    let last = prop_oneof![name().prop_map(MeasurementName::Name), regex().prop_map(MeasurementName::Regex)];
    (option::of(name()), option::of(name()), last)
        .prop_map(|(database, retention_policy, name)| Measurement { database, retention_policy, name })
        .boxed()
}

fn order() -> impl Strategy<Value = Option<SortOrder>> {
    option::of(prop_oneof![Just(SortOrder::Ascending), Just(SortOrder::Descending)])
}

fn limit() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..i64::MAX.unsigned_abs()]
}

fn select() -> BoxedStrategy<Select> {
    let plain = measurement().prop_map(Source::Measurement);
    select_from(plain.boxed())
        .prop_recursive(2, 8, 2, |inner| {
            let sub = inner.prop_map(|select| Source::Subquery(Box::new(select)));
            select_from(prop_oneof![measurement().prop_map(Source::Measurement), sub].boxed())
        })
        .boxed()
}

/// All its parts look the same way.
fn shift() -> impl Strategy<Value = Shift> {
    let part = || prop_oneof![Just(0), 0..100i64, 0..i64::MAX];
    (part(), part(), part(), any::<bool>()).prop_map(|(months, days, ns, before)| {
        let shift = Shift { months, days, ns };
        if before { shift.reversed() } else { shift }
    })
}

fn math() -> BoxedStrategy<Statement> {
    let keep = vec(0..99usize, 0..3);
    (name(), name(), keep).prop_map(|(name, expr, keep)| Statement::Math(Math { name, expr, keep })).boxed()
}

fn select_from(source: BoxedStrategy<Source>) -> BoxedStrategy<Select> {
    let expr = prop_oneof![4 => calculation(), 1 => regex().prop_map(Expr::Regex)];
    let field = (expr, option::of(name())).prop_map(|(mut expr, alias)| {
        reduce_arguments(&mut expr);
        Field { expr, alias }
    });
    let target = (option::of(name()), option::of(name()), option::of(name()))
        .prop_map(|(database, retention_policy, name)| Target { database, retention_policy, name });
    let dimension = prop_oneof![condition(), regex().prop_map(Expr::Regex)];
    let fill = prop_oneof![
        Just(Fill::Null),
        Just(Fill::None),
        Just(Fill::Previous),
        Just(Fill::Linear),
        any::<i64>().prop_map(|v| Fill::Value(FillValue::Integer(v))),
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(|v| Fill::Value(FillValue::Float(v))),
    ];
    let head = (vec(field, 1..3), option::of(target), vec(source, 1..3), option::of(condition()));
    let middle = (vec(dimension, 0..3), fill, order(), option::of(text()));
    // A SELECT that names one twice is refused.
    let shifts = vec(shift(), 0..3).prop_map(|mut shifts| {
        shifts.sort();
        shifts.dedup();
        shifts
    });
    (head, middle, [limit(), limit(), limit(), limit()], shifts)
        .prop_map(|((fields, into, sources, condition), (group_by, fill, order, timezone), n, timeshift)| {
            let [limit, offset, slimit, soffset] = n;
            Select {
                fields,
                into,
                sources,
                condition,
                group_by,
                fill,
                order,
                limit,
                offset,
                slimit,
                soffset,
                timezone,
                timeshift,
            }
        })
        .boxed()
}

fn tag_keys() -> BoxedStrategy<TagKeys> {
    prop_oneof![
        name().prop_map(TagKeys::Equal),
        name().prop_map(TagKeys::NotEqual),
        regex().prop_map(TagKeys::Match),
        regex().prop_map(TagKeys::NotMatch),
        vec(name(), 1..3).prop_map(TagKeys::In),
    ]
    .boxed()
}

fn show() -> BoxedStrategy<Statement> {
    let clauses = (option::of(name()), vec(measurement(), 0..3), option::of(condition()), order());
    let listing = (clauses, limit(), limit())
        .prop_map(|((database, sources, condition, order), limit, offset)| {
            Box::new(Listing { database, sources, condition, order, limit, offset, ..Listing::default() })
        })
        .boxed();
    let of = prop_oneof![
        Just(CardinalityOf::Measurements),
        Just(CardinalityOf::Series),
        Just(CardinalityOf::TagKeys),
        Just(CardinalityOf::FieldKeys),
        tag_keys().prop_map(CardinalityOf::TagValues),
    ];
    let cardinality =
        (of, any::<bool>(), listing.clone(), vec(condition(), 0..2)).prop_map(|(of, exact, listing, group_by)| {
            let Listing { database, sources, condition, limit, offset, .. } = *listing;
            Statement::ShowCardinality(Box::new(ShowCardinality {
                of,
                exact,
                database,
                sources,
                condition,
                group_by,
                limit,
                offset,
            }))
        });
    let scope = || option::of(prop_oneof![name().prop_map(NameOrAll::Name), Just(NameOrAll::All)]);
    let measurements = (scope(), scope(), option::of(measurement()), listing.clone()).prop_map(
        |(database, retention_policy, with, listing)| {
            let retention_policy = retention_policy.filter(|_| database.is_some());
            let Listing { condition, order, limit, offset, .. } = *listing;
            Statement::ShowMeasurements(Box::new(ShowMeasurements {
                database,
                retention_policy,
                with,
                condition,
                order,
                limit,
                offset,
            }))
        },
    );
    prop_oneof![
        listing.clone().prop_map(Statement::ShowSeries),
        listing.clone().prop_map(|mut l| {
            (l.slimit, l.soffset) = (l.limit / 2, l.offset / 3);
            Statement::ShowTagKeys(l)
        }),
        listing.clone().prop_map(|mut l| {
            l.condition = None;
            Statement::ShowFieldKeys(l)
        }),
        (tag_keys(), listing).prop_map(|(keys, listing)| Statement::ShowTagValues { keys, listing }),
        cardinality,
        measurements,
        option::of(name()).prop_map(|database| Statement::ShowRetentionPolicies { database }),
        name().prop_map(|module| Statement::ShowStats { module: Some(module) }),
        name().prop_map(|user| Statement::ShowGrants { user }),
    ]
    .boxed()
}

fn change() -> BoxedStrategy<Statement> {
    let duration = || option::of(1..i64::MAX);
    let spec = (duration(), option::of(1..i32::MAX as u32), duration())
        .prop_map(|(duration, replication, shard_duration)| RetentionSpec { duration, replication, shard_duration });
    let sources = vec(name().prop_map(MeasurementName::Name), 0..3);
    let filter = (sources, option::of(condition()))
        .prop_filter("one of them", |(names, condition)| !names.is_empty() || condition.is_some())
        .prop_map(|(names, condition)| {
            let source = |name| Measurement { database: None, retention_policy: None, name };
            SeriesFilter { sources: names.into_iter().map(source).collect(), condition }
        })
        .boxed();
    let create = (name(), spec.clone(), option::of(name())).prop_map(|(name, policy, policy_name)| {
        Statement::CreateDatabase(CreateDatabase { name, policy, policy_name })
    });
    let alter = (name(), name(), spec, any::<bool>())
        .prop_filter("a change", |(.., spec, default)| *default || *spec != RetentionSpec::default())
        .prop_map(|(name, database, change, default)| {
            let alter = AlterRetentionPolicy { name, database, change, default };
            Statement::AlterRetentionPolicy(alter)
        });
    let continuous = (name(), name(), duration(), select()).prop_map(|(name, database, every, mut select)| {
        select.into = Some(Target { database: None, retention_policy: None, name: None });
        select.group_by =
            vec![Expr::Call(Call { name: "time".to_string(), args: vec![Expr::Duration(60_000_000_000)] })];
        Statement::CreateContinuousQuery(Box::new(CreateContinuousQuery {
            name,
            database,
            resample_every: every,
            resample_for: None,
            select: Box::new(select),
        }))
    });
    let subscription =
        (name(), name(), name(), vec(text(), 1..3)).prop_map(|(name, database, retention_policy, destinations)| {
            Statement::CreateSubscription(CreateSubscription {
                name,
                database,
                retention_policy,
                delivery: Delivery::Any,
                destinations,
            })
        });
    let user = (name(), text(), any::<bool>()).prop_map(|(name, password, admin)| {
        Statement::CreateUser(CreateUser { name, password: Password::new(password), admin })
    });
    prop_oneof![
        filter.clone().prop_map(Statement::Delete),
        filter.prop_map(Statement::DropSeries),
        create,
        alter,
        continuous,
        subscription,
        user,
        (name(), name()).prop_map(|(database, user)| Statement::Grant { privilege: Privilege::Read, database, user }),
        (any::<u64>(), option::of(name())).prop_map(|(id, host)| Statement::KillQuery { id, host }),
    ]
    .boxed()
}

fn statement() -> BoxedStrategy<Statement> {
    prop_oneof![
        2 => select().prop_map(|select| Statement::Select(Box::new(select))),
        1 => select().prop_map(|s| Statement::Explain { analyze: true, select: Box::new(s) }),
        2 => show(),
        2 => change(),
        1 => math(),
    ]
    .boxed()
}

/// Texts that look like InfluxQL and mostly are not.
fn soup() -> impl Strategy<Value = String> {
    let keyword = prop::sample::select(vec![
        Keyword::Select,
        Keyword::From,
        Keyword::Where,
        Keyword::Group,
        Keyword::By,
        Keyword::Into,
        Keyword::Show,
        Keyword::Tag,
        Keyword::Values,
        Keyword::With,
        Keyword::Key,
        Keyword::Limit,
        Keyword::Create,
        Keyword::Continuous,
        Keyword::Query,
        Keyword::On,
        Keyword::Begin,
        Keyword::End,
        Keyword::Drop,
        Keyword::Series,
        Keyword::Distinct,
        Keyword::Order,
    ])
    .prop_map(|keyword| keyword.name().to_string());
    let piece = prop_oneof![
        4 => keyword,
        2 => prop::sample::select(vec![
            "v", "cpu", "time", "fill", "tz", "timeshift", "math", "name", "expr", "keep", "1w", "'x'", "/x/", "5", "1.5", "5m", "*", "::", ":", ".",
            ",", ";", "(", ")", "=", "=~", "!~", "-", "+", "/", "--", "/*", "*/", "$p", "\n", "\"q\"",
        ]).prop_map(str::to_string),
        1 => any::<char>().prop_map(String::from),
    ];
    (vec(piece, 0..20), any::<bool>()).prop_map(|(pieces, spaced)| pieces.join(if spaced { " " } else { "" }))
}

fn parses_back(text: &str) {
    let Ok(query) = parse(text) else { return };
    let printed: Vec<String> = query.statements.iter().map(|s| s.to_forwardable()).collect();
    let printed = printed.join(";");
    let again = parse(&printed).unwrap_or_else(|e| panic!("{text:?} as {printed:?}: {e}"));
    assert_eq!(again.statements, query.statements, "{printed}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expressions_keep_their_meaning(expr in tree(true)) {
        let parsed = reparsed(&expr);
        prop_assert_eq!(bare(&parsed), bare(&expr), "{}", expr);
        prop_assert_eq!(reparsed(&parsed), parsed, "{}", expr);
    }

    #[test]
    fn statements_round_trip(statement in statement()) {
        let text = statement.to_forwardable();
        let query = parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        prop_assert_eq!(query.statements, [statement], "{}", text);
        crate::influxql::fuzz::query(text.as_bytes());
    }

    #[test]
    fn near_misses_never_panic(text in soup()) {
        parses_back(&text);
    }

    #[test]
    fn noise_never_panics(text in any::<String>()) {
        parses_back(&text);
    }

    #[test]
    fn cut_and_changed_queries_never_panic(
        line in prop::sample::select(include_str!("accepted.txt").lines().collect::<Vec<_>>()),
        at in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        insert in "[ '\"/\\\\().,;:*$\0\r\né=~-]{0,2}",
    ) {
        let chars: Vec<char> = line.chars().collect();
        let (at, to) = (at.index(chars.len() + 1), to.index(chars.len() + 1));
        let mut changed: String = chars[..at].iter().collect();
        changed += &insert;
        changed.extend(&chars[to..]);
        parses_back(&changed);
    }
}
