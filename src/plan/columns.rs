//! A SELECT's wildcards and names x the schema -> fields, tags and types written out.
//!
//! One InfluxDB expands `*` and `/regex/` over all measurements of FROM, and gives every name its type there. A group
//! knows only its own measurements: so that all answer the same columns, the statement is widened before it is sent, by
//! the rules of `RewriteFields` (influxql/ast.go). The schema comes from EXPLAIN SELECT *, which tells every field and tag
//! with its type, of the storage shards in the statement's time range. Pure.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use crate::influxql::ast::{BinaryOp, Call, Cast, Field, VarRef};
use crate::influxql::{Expr, Params, Select, Statement, parse_query};
use crate::merge::evaluate::Kind;
use crate::merge::evaluate::functions::{Function, How, function};

/// What a field may hold; of two types InfluxDB takes the greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldType {
    Boolean,
    String,
    Unsigned,
    Integer,
    Float,
}

impl From<Kind> for FieldType {
    fn from(kind: Kind) -> FieldType {
        match kind {
            Kind::Boolean => FieldType::Boolean,
            Kind::String => FieldType::String,
            Kind::Unsigned => FieldType::Unsigned,
            Kind::Integer => FieldType::Integer,
            Kind::Float => FieldType::Float,
        }
    }
}

/// The fields and tags of all measurements that a SELECT reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    pub fields: BTreeMap<String, FieldType>,
    pub tags: BTreeSet<String>,
}

/// How EXPLAIN begins the line with all that is read.
const AUXILIARY: &str = "AUXILIARY FIELDS: ";

impl Schema {
    /// Adds what a group's EXPLAIN SELECT * says, line by line. Whether it says anything.
    ///
    /// # Errors
    /// The lines are none of EXPLAIN.
    pub fn add_explained<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) -> Result<bool, String> {
        // A line for each measurement, all of which tell the same.
        let Some(names) = lines.into_iter().find_map(|line| line.strip_prefix(AUXILIARY)) else { return Ok(false) };
        let unreadable = || format!("EXPLAIN says something unknown: {names}");
        let query = parse_query(&format!("SELECT {names} FROM m"), &Params::new()).map_err(|_| unreadable())?;
        let [Statement::Select(select)] = query.statements.as_slice() else { return Err(unreadable()) };
        for field in &select.fields {
            let Expr::VarRef(VarRef { name, cast: Some(cast) }) = &field.expr else { return Err(unreadable()) };
            match field_type(*cast) {
                Some(known) => {
                    let own = self.fields.entry(name.clone()).or_insert(known);
                    *own = known.max(*own);
                }
                None => drop(self.tags.insert(name.clone())),
            }
        }
        Ok(true)
    }

    /// What a name is over all measurements, so that every group takes it for that.
    pub fn type_of(&self, name: &str) -> Option<Type> {
        match self.fields.get(name) {
            Some(known) => Some(Type::Field(*known)),
            None => self.tags.contains(name).then_some(Type::Tag),
        }
    }
}

/// What SHOW FIELD KEYS calls a type.
pub fn field_type_named(name: &str) -> Option<FieldType> {
    match name {
        "float" => Some(FieldType::Float),
        "integer" => Some(FieldType::Integer),
        "unsigned" => Some(FieldType::Unsigned),
        "string" => Some(FieldType::String),
        "boolean" => Some(FieldType::Boolean),
        _ => None,
    }
}

fn field_type(cast: Cast) -> Option<FieldType> {
    match cast {
        Cast::Float => Some(FieldType::Float),
        Cast::Integer => Some(FieldType::Integer),
        Cast::Unsigned => Some(FieldType::Unsigned),
        Cast::String => Some(FieldType::String),
        Cast::Boolean => Some(FieldType::Boolean),
        Cast::Field | Cast::Tag => None,
    }
}

fn cast_of(known: FieldType) -> Cast {
    match known {
        FieldType::Float => Cast::Float,
        FieldType::Integer => Cast::Integer,
        FieldType::Unsigned => Cast::Unsigned,
        FieldType::String => Cast::String,
        FieldType::Boolean => Cast::Boolean,
    }
}

/// What a name stands for; of two the greater one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    Tag,
    Field(FieldType),
}

impl Type {
    pub fn cast(self) -> Cast {
        match self {
            Type::Tag => Cast::Tag,
            Type::Field(kind) => cast_of(kind),
        }
    }

    /// What `::` says; `None`: nothing certain.
    pub fn of(cast: Cast) -> Option<Type> {
        match cast {
            Cast::Tag => Some(Type::Tag),
            Cast::Field => None,
            cast => field_type(cast).map(Type::Field),
        }
    }
}

/// What `*` may become: a field, or a tag that the rows are not grouped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// `None`: a subquery's column of which nothing is known.
    pub kind: Option<Type>,
}

impl Column {
    fn expr(&self) -> Expr {
        let none_known = (self.name == "time").then_some(Cast::Field);
        Expr::VarRef(VarRef { name: self.name.clone(), cast: self.kind.map(Type::cast).or(none_known) })
    }
}

/// Writes out what the names of a SELECT over measurements mean (over subqueries: `subquery::settle`). No fields are left when
/// none fits.
///
/// # Errors
/// A regular expression that cannot be read here.
pub fn widen(select: &mut Select, schema: &Schema) -> Result<(), String> {
    let fields =
        || schema.fields.iter().map(|(name, kind)| Column { name: name.clone(), kind: Some(Type::Field(*kind)) });
    expand_wildcards(select, || fields().collect(), &schema.tags)?;
    settle_types(select, schema);
    Ok(())
}

/// Writes out wildcards and regular expressions. `fields` are those of what is read, `tags` what it can be grouped by.
///
/// # Errors
/// A regular expression that cannot be read here.
pub fn expand_wildcards(
    select: &mut Select,
    fields: impl Fn() -> Vec<Column>,
    tags: &BTreeSet<String>,
) -> Result<(), String> {
    let group_wildcard = select.group_by.iter().any(|expr| matches!(expr, Expr::Wildcard(_) | Expr::Regex(_)));
    let field_wildcard = select.fields.iter().any(|field| has_wildcard(&field.expr));
    if field_wildcard {
        let columns = columns(select, fields(), tags, group_wildcard);
        let mut fields = Vec::new();
        for field in &select.fields {
            expand(field, &columns, &mut fields)?;
        }
        select.fields = fields;
    }
    if group_wildcard {
        select.group_by = expand_group_by(&select.group_by, tags)?;
    }
    Ok(())
}

/// Writes behind each name of a SELECT over measurements what it is over all of them: of a name that is a field in one and a
/// tag in another, or of two types, InfluxDB reads only what fits the one type that it takes.
pub fn settle_types(select: &mut Select, schema: &Schema) {
    settle_types_by(select, &|name| schema.type_of(name));
}

/// The same, of what `type_of` says.
pub fn settle_types_by(select: &mut Select, type_of: &dyn Fn(&str) -> Option<Type>) {
    // Within others it may be a subquery's column of that name.
    let fields = select.fields.iter_mut().filter(|field| !is_time(&field.expr));
    fields.for_each(|field| give_types(&mut field.expr, type_of));
    let of_time = |name: &str| if name == "time" { None } else { type_of(name) };
    select.condition.iter_mut().for_each(|expr| give_types(expr, &of_time));
}

/// Whether a column is the time. One of that name that a wildcard means has a type.
fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::VarRef(VarRef { name, cast: None }) if name == "time")
}

/// Whether a field's expression stands for several.
pub fn has_wildcard(expr: &Expr) -> bool {
    match expr {
        Expr::Wildcard(_) | Expr::Regex(_) => true,
        Expr::Call(call) => call.args.iter().any(has_wildcard),
        Expr::Paren(inner) => has_wildcard(inner),
        // Right of `=~` stands no wildcard.
        Expr::Binary { op: BinaryOp::Match | BinaryOp::NotMatch, lhs, .. } => has_wildcard(lhs),
        Expr::Binary { lhs, rhs, .. } => has_wildcard(lhs) || has_wildcard(rhs),
        _ => false,
    }
}

/// In InfluxDB's order: by name, a field before the tag of its name.
fn columns(select: &Select, fields: Vec<Column>, tags: &BTreeSet<String>, group_wildcard: bool) -> Vec<Column> {
    if fields.is_empty() {
        return Vec::new();
    }
    let grouped = |name: &&String| {
        select.group_by.iter().any(|expr| matches!(expr, Expr::VarRef(var) if var.name == **name)) || group_wildcard
    };
    let tags = tags.iter().filter(|name| !grouped(name));
    let tags = tags.map(|name| Column { name: name.clone(), kind: Some(Type::Tag) });
    let mut columns: Vec<Column> = fields.into_iter().chain(tags).collect();
    let is_tag = |column: &Column| column.kind == Some(Type::Tag);
    columns.sort_by(|one, other| one.name.cmp(&other.name).then(is_tag(one).cmp(&is_tag(other))));
    columns
}

fn expand(field: &Field, columns: &[Column], out: &mut Vec<Field>) -> Result<(), String> {
    let plain = |column: &Column| Field { expr: column.expr(), alias: None };
    match &field.expr {
        Expr::Wildcard(cast) => {
            let wanted = |column: &&Column| match cast {
                Some(Cast::Field) => column.kind != Some(Type::Tag),
                Some(Cast::Tag) => column.kind == Some(Type::Tag),
                _ => true,
            };
            out.extend(columns.iter().filter(wanted).map(plain));
        }
        Expr::Regex(regex) => {
            let regex = read(regex)?;
            out.extend(columns.iter().filter(|column| regex.is_match(&column.name)).map(plain));
        }
        Expr::Call(call) => match innermost(call).args.first() {
            // InfluxDB refuses it, and finds it as it was.
            Some(Expr::Wildcard(Some(Cast::Tag))) => out.push(field.clone()),
            Some(Expr::Wildcard(_)) => expand_call(field, call, columns, None, out),
            Some(Expr::Regex(regex)) => expand_call(field, call, columns, Some(read(regex)?), out),
            _ => out.push(field.clone()),
        },
        _ => out.push(field.clone()),
    }
    Ok(())
}

fn innermost(call: &Call) -> &Call {
    match call.args.first() {
        Some(Expr::Call(inner)) => innermost(inner),
        _ => call,
    }
}

/// `mean(*)` -> `mean(a) AS mean_a, mean(b) AS mean_b`.
fn expand_call(field: &Field, call: &Call, columns: &[Column], regex: Option<Regex>, out: &mut Vec<Field>) {
    let innermost = &innermost(call).name;
    let title = field.alias.as_deref().unwrap_or(&call.name);
    for column in columns {
        let fits = regex.as_ref().is_none_or(|regex| regex.is_match(&column.name));
        if matches!(column.kind, Some(Type::Field(kind)) if takes(innermost, kind)) && fits {
            let expr = Expr::Call(with_argument(call, column.expr()));
            out.push(Field { expr, alias: Some(format!("{title}_{}", column.name)) });
        }
    }
}

/// Whether a function's wildcard stands for fields of a type: for those that it takes.
fn takes(name: &str, kind: FieldType) -> bool {
    match function(name) {
        // InfluxDB has forgotten it there.
        Some(Function { how: How::Whole(..), .. }) if kind == FieldType::Unsigned => false,
        Some(function) => function.takes.iter().any(|taken| FieldType::from(*taken) == kind),
        None => matches!(kind, FieldType::Float | FieldType::Integer | FieldType::Unsigned),
    }
}

/// The call with the first argument of its innermost call replaced.
fn with_argument(call: &Call, argument: Expr) -> Call {
    let mut call = call.clone();
    match call.args.first_mut() {
        Some(Expr::Call(inner)) => *inner = with_argument(inner, argument),
        Some(first) => *first = argument,
        None => {}
    }
    call
}

fn expand_group_by(group_by: &[Expr], tags: &BTreeSet<String>) -> Result<Vec<Expr>, String> {
    let tag = |name: &String| Expr::VarRef(VarRef { name: name.clone(), cast: None });
    let mut expanded = Vec::new();
    for expr in group_by {
        match expr {
            Expr::Wildcard(_) => expanded.extend(tags.iter().map(tag)),
            Expr::Regex(regex) => {
                let regex = read(regex)?;
                expanded.extend(tags.iter().filter(|name| regex.is_match(name)).map(tag));
            }
            other => expanded.push(other.clone()),
        }
    }
    Ok(expanded)
}

/// Go's regular expressions and Rust's agree on what both can read, for names of ASCII at least.
fn read(regex: &str) -> Result<Regex, String> {
    Regex::new(regex).map_err(|_| {
        format!(
            "/{regex}/ over several groups is refused: this expression cannot be read here; name what it stands for"
        )
    })
}

/// Writes types behind the names that have none.
pub(super) fn give_types(expr: &mut Expr, type_of: &dyn Fn(&str) -> Option<Type>) {
    match expr {
        Expr::VarRef(var) if matches!(var.cast, None | Some(Cast::Field)) => match type_of(&var.name) {
            // A tag is not what `::field` asks for.
            Some(Type::Tag) if var.cast.is_some() => {}
            Some(known) => var.cast = Some(known.cast()),
            None => {}
        },
        Expr::And(terms) | Expr::Or(terms) => terms.iter_mut().for_each(|term| give_types(term, type_of)),
        Expr::Binary { lhs, rhs, .. } => {
            give_types(lhs, type_of);
            give_types(rhs, type_of);
        }
        Expr::Paren(inner) => give_types(inner, type_of),
        Expr::Call(call) => call.args.iter_mut().for_each(|arg| give_types(arg, type_of)),
        // Without parentheses it takes no type.
        Expr::Distinct(name) => {
            let mut argument = Expr::VarRef(VarRef { name: name.clone(), cast: None });
            give_types(&mut argument, type_of);
            *expr = Expr::Call(Call { name: "distinct".to_owned(), args: vec![argument] });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As influxd 1.6.7 prints it.
    const EXPLAINED: [&str; 4] = [
        "EXPRESSION: <nil>",
        "AUXILIARY FIELDS: \"a b\"::integer, host::tag, n::integer, ok::boolean, s::string, v::float, zone::string, zone::tag",
        "NUMBER OF SHARDS: 2",
        "",
    ];

    fn schema() -> Schema {
        let mut schema = Schema::default();
        schema.add_explained(EXPLAINED).expect("it reads");
        schema
    }

    fn widened(text: &str) -> String {
        let query = parse_query(text, &Params::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let Some(Statement::Select(mut select)) = query.statements.into_iter().next() else { panic!("a SELECT") };
        widen(&mut select, &schema()).expect("it widens");
        select.to_string()
    }

    #[test]
    fn of_several_types_the_greatest() {
        let mut schema = schema();
        schema.add_explained(["", "AUXILIARY FIELDS: n::float, s::boolean, dc::tag"]).expect("it reads");
        assert_eq!(schema.fields["n"], FieldType::Float);
        assert_eq!(schema.fields["s"], FieldType::String);
        assert_eq!(schema.tags.iter().collect::<Vec<_>>(), ["dc", "host", "zone"]);
        assert_eq!(schema.add_explained([""]), Ok(false), "nothing in this time range");
        assert!(schema.add_explained(["AUXILIARY FIELDS: 5"]).is_err());
    }

    #[test]
    fn wildcards_are_written_out() {
        for (text, expected) in [
            (
                "SELECT * FROM m",
                "SELECT \"a b\"::integer, host::tag, n::integer, ok::boolean, s::string, v::float, zone::string, \
                 zone::tag FROM m",
            ),
            ("SELECT /^(n|host)$/ FROM m", "SELECT host::tag, n::integer FROM m"),
            ("SELECT *::tag, v FROM m GROUP BY host", "SELECT zone::tag, v::float FROM m GROUP BY host"),
            ("SELECT /o/ FROM m GROUP BY *", "SELECT ok::boolean, zone::string FROM m GROUP BY host, zone"),
            ("SELECT mean(/n$/) AS x FROM m", "SELECT mean(n::integer) AS x_n FROM m"),
            (
                "SELECT max(*) FROM m WHERE n > 3",
                "SELECT max(\"a b\"::integer) AS \"max_a b\", max(n::integer) AS max_n, \
              max(ok::boolean) AS max_ok, max(v::float) AS max_v FROM m WHERE n::integer > 3",
            ),
            (
                "SELECT derivative(mean(/v/), 1s) FROM m GROUP BY time(1m), /^z/",
                "SELECT derivative(mean(v::float), 1s) AS derivative_v FROM m GROUP BY time(1m), zone",
            ),
            ("SELECT mean(*::tag) FROM m", "SELECT mean(*::tag) FROM m"),
        ] {
            assert_eq!(widened(text), expected, "{text}");
        }
    }

    #[test]
    fn names_get_their_types() {
        for (text, expected) in [
            (
                "SELECT v, unknown, host, -n AS x FROM m WHERE time > 5 AND (host = 'a' OR zone =~ /b/)",
                "SELECT v::float, unknown, host::tag, -1 * n::integer AS x FROM m WHERE time > 5 AND (host::tag = 'a' OR \
                 zone::string =~ /b/)",
            ),
            ("SELECT DISTINCT v FROM m", "SELECT distinct(v::float) FROM m"),
            ("SELECT count(DISTINCT v) FROM m", "SELECT count(distinct(v::float)) FROM m"),
            ("SELECT v::integer, n::field, host::field FROM m", "SELECT v::integer, n::integer, host::field FROM m"),
            ("SELECT top(v, host, 3) FROM m", "SELECT top(v::float, host::tag, 3) FROM m"),
        ] {
            assert_eq!(widened(text), expected, "{text}");
        }
    }
}
