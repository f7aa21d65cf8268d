//! A SELECT over subqueries, or over measurements of one name, that no group can answer even for a part of the series: the
//! rows of its measurements are gathered, and all its levels are evaluated here.
//!
//! A *reader* is a SELECT of the statement that reads measurements itself; they are numbered in the order of the text, from
//! the outside. Names and wildcards of the statements around are settled here as `RewriteFields` and `TypeValuerEval` of
//! influxql have it: a subquery's columns are the fields, the tags that it is grouped by the tags. `merge::evaluate::nested`
//! makes the answer. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::influxql::ast::{BinaryOp, Call, Cast, Field, MeasurementName, Source, VarRef};
use crate::influxql::range::{TIME_MIN, split_time};
use crate::influxql::{Expr, Measurement, Select};
use crate::merge::evaluate::functions::{Function, Gives, function, tags_of_best};
use crate::merge::evaluate::nested::Fields;
use crate::topology::GroupIndex;

use super::columns::{
    Column, FieldType, Schema, Type, expand_wildcards, has_wildcard, settle_types, settle_types_by, widen,
};
use super::gather::{Gathering, named};
use super::slimit::untyped_names;
use super::sources::{Share, kept, name_of};

/// The measurements that each group has.
pub type Sources = Vec<(GroupIndex, Vec<Source>)>;

/// What has to be gathered for a SELECT with subqueries.
#[derive(Clone, Debug, PartialEq)]
pub struct Nesting {
    /// Wildcards written out and names with their types, at every level.
    pub select: Select,
    /// The measurements that each group has, by input: each reader's, and in inputs of their own those whose names it has
    /// already.
    pub inputs: Vec<Sources>,
    /// By input: the tags that a SELECT must be grouped by for each of its series to come of one group.
    pub apart: Vec<BTreeSet<String>>,
    /// By input: the fields that its reader's measurements have in the storage shards that are read. Empty: nobody was asked.
    pub fields: Vec<Fields>,
    /// What stands in the way of asking one group alone: what a refusal says behind the function's name.
    pub split: String,
}

impl Nesting {
    /// What the groups are asked before anything is known of fields.
    ///
    /// # Errors
    /// A bound in time that cannot be read here.
    pub fn outline(&self) -> Result<Vec<(GroupIndex, Select)>, String> {
        let mut parts = Vec::new();
        let readers = readers(&self.select);
        for (reader, sources) in self.readers().into_iter().map(|number| readers[number]).zip(&self.inputs) {
            let gathering = Gathering { select: reader.clone(), sources: sources.clone(), split: String::new() };
            parts.extend(gathering.rows(&named(reader))?);
        }
        Ok(parts)
    }

    /// The SELECT over what each group has of it.
    pub fn parts(&self) -> Vec<(GroupIndex, Select)> {
        let groups: BTreeSet<GroupIndex> = self.inputs.iter().flatten().map(|(group, _)| *group).collect();
        let part = |group: GroupIndex| {
            let own = self.inputs.iter().flatten().filter(|(own, _)| *own == group);
            let own: Vec<&Source> = own.flat_map(|(_, sources)| sources).collect();
            let owned = |measurement: &Measurement| own.contains(&&Source::Measurement(measurement.clone()));
            part_of(&self.select, &owned).map(|part| (group, part))
        };
        groups.into_iter().filter_map(part).collect()
    }

    /// The number of the SELECT that reads each input.
    pub fn readers(&self) -> Vec<usize> {
        let inputs = |(number, reader): (usize, &Select)| vec![number; copies(reader).len()];
        readers(&self.select).into_iter().enumerate().flat_map(inputs).collect()
    }
}

/// The SELECTs that read measurements.
pub fn readers(select: &Select) -> Vec<&Select> {
    let reads = select.sources.iter().any(|source| matches!(source, Source::Measurement(_)));
    let mut readers = Vec::from_iter(reads.then_some(select));
    for source in &select.sources {
        if let Source::Subquery(inner) = source {
            readers.extend(self::readers(inner));
        }
    }
    readers
}

/// The fields of each reader's measurements, by input.
pub fn fields(select: &Select, schemas: &[Schema]) -> Vec<Fields> {
    let typed = |(name, kind): (&String, &FieldType)| (name.clone(), Type::Field(*kind).cast());
    let of = |(reader, schema): (&Select, &Schema)| {
        let fields: Fields = schema.fields.iter().map(typed).collect();
        vec![fields; copies(reader).len()]
    };
    readers(select).into_iter().zip(schemas).flat_map(of).collect()
}

/// The measurements of a reader: those of each name that come first, those that come second, and so on.
fn copies(reader: &Select) -> Vec<Vec<&Measurement>> {
    let mut copies: Vec<Vec<&Measurement>> = Vec::new();
    for source in &reader.sources {
        let Source::Measurement(measurement) = source else { continue };
        let fits = |copy: &&mut Vec<&Measurement>| copy.iter().all(|other| name_of(other) != name_of(measurement));
        match copies.iter_mut().find(fits) {
            Some(copy) => copy.push(measurement),
            None => copies.push(vec![measurement]),
        }
    }
    copies
}

/// Which groups have which of the measurements, by input, and the tags that part their series. `shares` are those of each
/// reader.
pub fn inputs(select: &Select, shares: &[Vec<Share<'_>>]) -> (Vec<Sources>, Vec<BTreeSet<String>>) {
    let (mut inputs, mut apart) = (Vec::new(), Vec::new());
    for (reader, shares) in readers(select).into_iter().zip(shares) {
        for copy in copies(reader) {
            let (mut groups, mut tags): (BTreeMap<GroupIndex, Vec<Source>>, _) = (BTreeMap::new(), BTreeSet::new());
            let measurements = reader.sources.iter().filter_map(|source| match source {
                Source::Measurement(measurement) => Some(measurement),
                Source::Subquery(_) => None,
            });
            for (measurement, share) in measurements.zip(shares) {
                // Of the copy is the one that stands at this place, not one that looks like it.
                if copy.iter().any(|own| std::ptr::eq(*own, measurement)) {
                    for group in &share.groups {
                        groups.entry(*group).or_default().push(Source::Measurement(measurement.clone()));
                    }
                    if share.groups.len() > 1 {
                        tags.extend(share.rule.iter().flat_map(|rule| rule.tags.iter().cloned()));
                    }
                }
            }
            inputs.push(groups.into_iter().collect());
            apart.push(tags);
        }
    }
    (inputs, apart)
}

/// Every part of a SELECT that a group owns; `owned` says which measurements. `None`: nothing of it.
pub fn part_of(select: &Select, owned: &impl Fn(&Measurement) -> bool) -> Option<Select> {
    let own = |source: &Source| match source {
        Source::Measurement(measurement) => owned(measurement).then(|| source.clone()),
        Source::Subquery(inner) => part_of(inner, owned).map(|inner| Source::Subquery(Box::new(inner))),
    };
    let sources = kept(&select.sources, own);
    (!sources.is_empty()).then(|| Select { sources, ..select.clone() })
}

/// Whether a call of all rows may meet one of a subquery's window that begins before its range. There InfluxDB ends the
/// answer, that of other groups' series too. `bounded`: a statement around has a start.
pub fn may_end(select: &Select, bounded: bool) -> bool {
    if has_own_windows(select) {
        // Those inside have them too.
        return false;
    }
    let starts = |condition| split_time(condition, None).map_or(true, |(_, range)| range.start != TIME_MIN);
    let bounded = bounded || select.condition.as_ref().is_some_and(starts);
    let inside = || select.sources.iter().filter_map(subquery);
    let raw = |field: &Field| matches!(field.expr, Expr::VarRef(_) | Expr::Wildcard(_) | Expr::Regex(_));
    let meets = bounded && !select.fields.iter().all(raw) && inside().any(has_windows);
    meets || inside().any(|inner| may_end(inner, bounded))
}

/// Whether several calls of a subquery are joined by tags that sort before some of the answer's: which of them go on together
/// hangs on the series that others have before theirs, which may lie in other groups. Wildcards are written out in it.
pub fn joins_by_others(select: &Select) -> bool {
    let own: BTreeSet<&String> = dimensions(select).collect();
    select.sources.iter().filter_map(subquery).any(|inner| joins_by_others_than(inner, &own, &own))
}

fn joins_by_others_than(select: &Select, own: &BTreeSet<&String>, around: &BTreeSet<&String>) -> bool {
    let keys: BTreeSet<&String> = around.iter().copied().chain(dimensions(select)).collect();
    let inside = || select.sources.iter().filter_map(subquery).any(|inner| joins_by_others_than(inner, own, &keys));
    !keys.iter().take(own.len()).eq(own) && !have_points_together(select) || inside()
}

/// Whether no call of a SELECT ends in a series before another: there is one, or each makes a point of any window of the same
/// field.
fn have_points_together(select: &Select) -> bool {
    fn collect<'a>(expr: &'a Expr, calls: &mut Vec<&'a Call>) {
        match expr {
            Expr::Call(call) if function(&call.name).is_none() => call.args.iter().for_each(|arg| collect(arg, calls)),
            Expr::Call(call) => calls.push(call),
            Expr::Binary { lhs, rhs, .. } => {
                collect(lhs, calls);
                collect(rhs, calls);
            }
            Expr::Paren(inner) => collect(inner, calls),
            _ => {}
        }
    }
    let mut calls = Vec::new();
    select.fields.iter().for_each(|field| collect(&field.expr, &mut calls));
    let of = |call: &&Call| match call.args.as_slice() {
        [Expr::VarRef(var)] if function(&call.name).is_some_and(Function::makes_one) => Some(var.clone()),
        _ => None,
    };
    calls.windows(2).all(|pair| pair[0] == pair[1] || of(&pair[0]).is_some() && of(&pair[0]) == of(&pair[1]))
}

/// Whether what a call takes of one source may hang on the others: InfluxDB takes what is of the first one's type, and a
/// subquery that has not what the call is of is one of floats. Types are written out in it.
pub fn first_decides(select: &Select) -> bool {
    fn lacks(expr: &Expr, sources: &[Source]) -> bool {
        let lacks_it = |var: &VarRef| {
            let has =
                |inner: &Select| column_of(inner, &var.name).is_some() || dimensions(inner).any(|tag| *tag == var.name);
            !matches!(var.cast, None | Some(Cast::Float))
                && sources.iter().filter_map(subquery).any(|inner| !has(inner))
        };
        match expr {
            Expr::Call(call) => match call.args.first() {
                Some(Expr::VarRef(var)) => {
                    // The best of each tag is a max or a min first.
                    let best_of_tags = tags_of_best(call).next().is_some();
                    let joins = function(&call.name).is_some_and(Function::joins_one_type);
                    (joins || best_of_tags) && lacks_it(var)
                }
                _ => call.args.iter().any(|arg| lacks(arg, sources)),
            },
            Expr::Binary { lhs, rhs, .. } => lacks(lhs, sources) || lacks(rhs, sources),
            Expr::Paren(inner) => lacks(inner, sources),
            _ => false,
        }
    }
    let several = select.sources.len() > 1;
    several && select.fields.iter().any(|field| lacks(&field.expr, &select.sources))
        || select.sources.iter().filter_map(subquery).any(first_decides)
}

/// Whether GROUP BY of the outermost SELECT has a tag twice, and something inside, or top or bottom by tags, is grouped by as
/// many tags as it names, and others. There InfluxDB takes the tags of rows as they are (`keysMatch` in query/point.go): rows are
/// sorted by tags that the answer does not have, and its series are told several times. Wildcards are written out in it.
pub fn mixes_tags(select: &Select) -> bool {
    fn is_mixed(select: &Select, around: &BTreeSet<&String>, own: &BTreeSet<&String>, written: usize) -> bool {
        let keys: BTreeSet<&String> = around.iter().copied().chain(dimensions(select)).collect();
        let mut sets = vec![keys.clone()];
        select.fields.iter().for_each(|field| best_by(&field.expr, &keys, &mut sets));
        let inner = || select.sources.iter().filter_map(subquery);
        let mixes = |set: &BTreeSet<&String>| {
            set != own && set.len() == written || inner().any(|inner| is_mixed(inner, set, own, written))
        };
        sets.iter().any(mixes)
    }
    fn best_by<'a>(expr: &'a Expr, keys: &BTreeSet<&'a String>, sets: &mut Vec<BTreeSet<&'a String>>) {
        match expr {
            Expr::Call(Call { name, args }) if matches!(name.as_str(), "top" | "bottom") => {
                let tags = args.iter().skip(1).filter_map(|arg| match arg {
                    Expr::VarRef(var) => Some(&var.name),
                    _ => None,
                });
                sets.push(keys.iter().copied().chain(tags).collect());
            }
            Expr::Call(call) => call.args.iter().for_each(|arg| best_by(arg, keys, sets)),
            Expr::Binary { lhs, rhs, .. } => {
                best_by(lhs, keys, sets);
                best_by(rhs, keys, sets);
            }
            Expr::Paren(inner) => best_by(inner, keys, sets),
            _ => {}
        }
    }
    let own: BTreeSet<&String> = dimensions(select).collect();
    let written = dimensions(select).count();
    written > own.len() && is_mixed(select, &own, &own, written)
}

fn has_windows(select: &Select) -> bool {
    has_own_windows(select) || select.sources.iter().filter_map(subquery).any(has_windows)
}

fn has_own_windows(select: &Select) -> bool {
    select.group_by.iter().any(|expr| matches!(expr, Expr::Call(call) if call.name == "time"))
}

fn subquery(source: &Source) -> Option<&Select> {
    match source {
        Source::Subquery(inner) => Some(inner),
        Source::Measurement(_) => None,
    }
}

/// Writes types behind the names of the readers, and what wildcards of subqueries mean: what is wrong in the statement around
/// may hang on a field that one group alone has.
pub fn settle_readers(select: &mut Select, schemas: &mut std::slice::Iter<'_, Schema>) {
    settle_readers_of(select, schemas, false);
}

fn settle_readers_of(select: &mut Select, schemas: &mut std::slice::Iter<'_, Schema>, is_inner: bool) {
    if select.sources.iter().any(|source| matches!(source, Source::Measurement(_)))
        && let Some(schema) = schemas.next()
        && select.sources.iter().all(|source| matches!(source, Source::Measurement(_)))
    {
        if is_inner && all_plain(select) {
            let mut widened = select.clone();
            // What cannot be read here is left for InfluxDB to judge, and what means nothing cannot be written out.
            if widen(&mut widened, schema).is_ok() && !widened.fields.is_empty() {
                select.fields = widened.fields;
            }
        }
        settle_types(select, schema);
    }
    for source in &mut select.sources {
        if let Source::Subquery(inner) = source {
            settle_readers_of(inner, schemas, true);
        }
    }
}

/// The same of the columns of a SELECT that reads measurements and subqueries beside each other: what a name is hangs on both.
pub fn settle_beside(select: &mut Select, schemas: &[Schema]) {
    let reads = select.sources.iter().any(|source| matches!(source, Source::Measurement(_)));
    let mut settled = select.clone();
    let (Some(schema), true) = (schemas.first(), reads && select.sources.iter().any(|own| subquery(own).is_some()))
    else {
        return;
    };
    // What cannot be read here is left for InfluxDB to judge.
    if settle(&mut settled, &mut schemas.iter()).is_ok() {
        let mut own = Select { fields: std::mem::take(&mut select.fields), ..Select::default() };
        settle_types_by(&mut own, &|name| type_of(name, &settled.sources, schema));
        select.fields = own.fields;
    }
}

/// Whether its wildcards stand for columns, not for calls.
fn all_plain(select: &Select) -> bool {
    let is_plain =
        |field: &Field| !has_wildcard(&field.expr) || matches!(field.expr, Expr::Wildcard(_) | Expr::Regex(_));
    select.fields.iter().all(is_plain)
}

/// Writes out wildcards and types at every level, from the inside.
///
/// # Errors
/// A regular expression that cannot be read here.
pub fn settle(select: &mut Select, schemas: &mut std::slice::Iter<'_, Schema>) -> Result<(), String> {
    let reads = select.sources.iter().any(|source| matches!(source, Source::Measurement(_)));
    let schema = if reads { schemas.next().cloned().unwrap_or_default() } else { Schema::default() };
    let mut subqueries = false;
    for source in &mut select.sources {
        if let Source::Subquery(inner) = source {
            settle(inner, schemas)?;
            subqueries = true;
        }
    }
    if !subqueries {
        return widen(select, &schema);
    }
    let sources = std::mem::take(&mut select.sources);
    settle_types_by(select, &|name| type_of(name, &sources, &schema));
    let (fields, tags) = known(&sources, &schema);
    let expanded = expand_wildcards(select, || fields.clone(), &tags);
    select.sources = sources;
    expanded
}

/// Puts wildcards back where nothing is left of them: no statement selects nothing.
pub fn put_back(settled: &mut Select, written: &Select) {
    if settled.fields.is_empty() {
        settled.fields.clone_from(&written.fields);
    }
    for sources in settled.sources.iter_mut().zip(&written.sources) {
        if let (Source::Subquery(settled), Source::Subquery(written)) = sources {
            put_back(settled, written);
        }
    }
}

/// What is read of measurements and subqueries: as `FieldDimensions` has it.
fn known(sources: &[Source], schema: &Schema) -> (Vec<Column>, BTreeSet<String>) {
    let of_schema = schema.fields.iter().map(|(name, kind)| (name.clone(), Some(Type::Field(*kind))));
    let mut fields: BTreeMap<String, Option<Type>> = of_schema.collect();
    let mut tags = schema.tags.clone();
    for source in sources {
        let Source::Subquery(inner) = source else { continue };
        for field in &inner.fields {
            let known = fields.entry(name_of_field(field)).or_default();
            *known = (*known).max(type_of_expr(&field.expr, &inner.sources));
        }
        tags.extend(dimensions(inner).cloned());
    }
    // What a subquery's column is nobody may know, while a source beside it has a tag of that name.
    let column = |(name, kind): (String, Option<Type>)| {
        let kind = kind.or_else(|| tags.contains(&name).then_some(Type::Tag));
        Column { name, kind }
    };
    let fields = fields.into_iter().map(column).collect();
    (fields, tags)
}

fn dimensions(select: &Select) -> impl Iterator<Item = &String> {
    select.group_by.iter().filter_map(|expr| match expr {
        Expr::VarRef(var) => Some(&var.name),
        _ => None,
    })
}

/// What a name is over all sources; what does not fit in one has no type in any.
fn type_of(name: &str, sources: &[Source], schema: &Schema) -> Option<Type> {
    let mut known = schema.type_of(name);
    for source in sources {
        let Source::Subquery(inner) = source else { continue };
        if let Some(expr) = column_of(inner, name) {
            match fitting(expr, &inner.sources) {
                Ok(own) => known = known.max(own),
                Err(Misfit) => return None,
            }
        }
        if known.is_none() && dimensions(inner).any(|tag| tag == name) {
            known = Some(Type::Tag);
        }
    }
    known
}

/// The column of a subquery that has this name, also one that top or bottom shows beside.
fn column_of<'a>(select: &'a Select, name: &str) -> Option<&'a Expr> {
    for field in &select.fields {
        if name_of_field(field) == name {
            return Some(&field.expr);
        }
        if let Expr::Call(call) = &field.expr
            && tags_of_best(call).any(|tag| tag.name == name)
        {
            return call.args[1..].iter().find(|arg| matches!(arg, Expr::VarRef(tag) if tag.name == name));
        }
    }
    None
}

/// As `Field.Name` of influxql has it.
fn name_of_field(field: &Field) -> String {
    fn parts(expr: &Expr, found: &mut Vec<String>) {
        match expr {
            Expr::Call(_) if expr.is_constant() => {}
            Expr::Call(call) => found.push(call.name.clone()),
            Expr::VarRef(var) => found.push(var.name.clone()),
            Expr::Binary { lhs, rhs, .. } => {
                parts(lhs, found);
                parts(rhs, found);
            }
            Expr::Paren(inner) => parts(inner, found),
            _ => {}
        }
    }
    let mut found = Vec::new();
    parts(&field.expr, &mut found);
    field.alias.clone().filter(|alias| !alias.is_empty()).unwrap_or_else(|| found.join("_"))
}

/// The type of an expression whose names have theirs; `None`: nobody knows, or its parts do not fit.
fn type_of_expr(expr: &Expr, sources: &[Source]) -> Option<Type> {
    fitting(expr, sources).unwrap_or_default()
}

/// Parts of an expression that no operator takes together. As in InfluxDB, nothing around them has a type, in the statements
/// around neither.
struct Misfit;

/// Refuses names for which a subquery puts together what does not fit, while measurements beside it may have them: InfluxDB
/// knows no type, and what it reads of these hangs on what is made of it.
///
/// # Errors
/// It is such a SELECT. Types are written out in it.
pub fn check_fits(select: &Select) -> Result<(), String> {
    let inner = || select.sources.iter().filter_map(subquery);
    let fits = |name: &str| {
        inner().all(|inner| column_of(inner, name).is_none_or(|expr| fitting(expr, &inner.sources).is_ok()))
    };
    let mut names = BTreeSet::new();
    let reads = select.sources.iter().any(|source| subquery(source).is_none());
    select.fields.iter().filter(|_| reads).for_each(|field| untyped_names(&field.expr, &mut names));
    match names.iter().find(|name| !fits(name)) {
        Some(name) => Err(format!(
            "{name:?} has no type, since what a subquery puts together for it does not fit, and measurements stand beside it"
        )),
        None => inner().try_for_each(check_fits),
    }
}

/// `sources` are those of the SELECT that it stands in.
fn fitting(expr: &Expr, sources: &[Source]) -> Result<Option<Type>, Misfit> {
    let field = |kind| Ok(Some(Type::Field(kind)));
    if let Expr::Call(call) = expr {
        call.args.iter().try_for_each(|arg| fitting(arg, sources).map(drop))?;
    }
    match expr {
        Expr::VarRef(VarRef { name, cast: None }) => {
            let columns =
                sources.iter().filter_map(subquery).filter_map(|inner| Some((column_of(inner, name)?, inner)));
            columns.into_iter().try_for_each(|(expr, inner)| fitting(expr, &inner.sources).map(drop))?;
            Ok(None)
        }
        Expr::VarRef(var) => Ok(var.cast.and_then(Type::of)),
        Expr::Call(call) => match (call.name.as_str(), function(&call.name).map(|function| function.gives)) {
            (_, Some(Gives::Integer)) => field(FieldType::Integer),
            (_, Some(Gives::Float)) => field(FieldType::Float),
            (name, _) if expr.is_constant() && !["abs", "floor", "ceil", "round"].contains(&name) => {
                field(FieldType::Float)
            }
            // Mathematics too.
            _ => call.args.first().map_or(Ok(None), |arg| fitting(arg, sources)),
        },
        Expr::Paren(inner) => fitting(inner, sources),
        // Of numbers alone it is worked out before.
        Expr::Binary { op: BinaryOp::Div, .. } if expr.is_constant() => field(FieldType::Float),
        Expr::Binary { op, lhs, rhs } => match (fitting(lhs, sources)?, fitting(rhs, sources)?) {
            (None, known) | (known, None) => Ok(known),
            (Some(lhs), Some(rhs)) => joined(*op, lhs, rhs).map(Some).ok_or(Misfit),
        },
        Expr::Float(_) => field(FieldType::Float),
        Expr::Integer(_) => field(FieldType::Integer),
        Expr::Unsigned(_) => field(FieldType::Unsigned),
        Expr::String(_) => field(FieldType::String),
        Expr::Boolean(_) => field(FieldType::Boolean),
        _ => Ok(None),
    }
}

/// What an operator makes of two types. An integer divided by an integer counts as one, though its value is none.
fn joined(op: BinaryOp, lhs: Type, rhs: Type) -> Option<Type> {
    use FieldType::{Boolean, Float, Integer, Unsigned};
    let bits = matches!(op, BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor);
    if op.is_comparison() {
        return Some(Type::Field(Boolean));
    }
    match (lhs, rhs) {
        (Type::Field(Boolean), _) => bits.then_some(Type::Field(Boolean)),
        (Type::Field(lhs @ (Float | Integer | Unsigned)), Type::Field(rhs @ (Float | Integer | Unsigned))) => {
            let kind = match (lhs, rhs) {
                (Float, _) | (_, Float) => Float,
                (Unsigned, _) | (_, Unsigned) => Unsigned,
                _ => Integer,
            };
            (!bits || kind != Float).then_some(Type::Field(kind))
        }
        _ => None,
    }
}

/// Whether two sources of a statement have one name.
pub fn has_twins(shares: &[Share<'_>]) -> bool {
    shares.iter().enumerate().any(|(at, share)| shares[..at].iter().any(|other| other.name == share.name))
}

/// Whether a measurement still stands as a regular expression: it means none.
pub fn is_regex(measurement: &Measurement) -> bool {
    matches!(measurement.name, MeasurementName::Regex(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::parsed;

    fn schema(explained: &str) -> Schema {
        let mut schema = Schema::default();
        schema.add_explained([format!("AUXILIARY FIELDS: {explained}").as_str()]).expect("it reads");
        schema
    }

    #[test]
    fn names_and_wildcards_are_settled_from_the_inside() {
        let schemas = [schema("host::tag, n::integer, s::string, v::float"), schema("dc::tag, v::integer")];
        for (text, expected) in [
            (
                "SELECT * FROM (SELECT v, host FROM m GROUP BY host)",
                "SELECT host::tag, host::tag, v::float FROM (SELECT v::float, host::tag FROM m GROUP BY host)",
            ),
            (
                "SELECT max(x), h FROM (SELECT n / 2 AS x, host AS h FROM m) WHERE x > 1 AND host = 'a'",
                "SELECT max(x::integer), h::tag FROM (SELECT n::integer / 2 AS x, host::tag AS h FROM m) \
                 WHERE x::integer > 1 AND host = 'a'",
            ),
            (
                "SELECT mean(*), /^m/ FROM (SELECT mean(v), count(s), first(s), sqrt(n) FROM m GROUP BY host) GROUP BY *",
                "SELECT mean(count::integer) AS mean_count, mean(mean::float) AS mean_mean, mean(sqrt::integer) AS mean_sqrt, \
                 mean::float FROM (SELECT mean(v::float), count(s::string), first(s::string), sqrt(n::integer) FROM m \
                 GROUP BY host) GROUP BY host",
            ),
            (
                "SELECT v, host, nothing, *::tag FROM (SELECT top(v, host, 3) AS v, nothing FROM m), w",
                "SELECT v::float, host::tag, nothing, dc::tag FROM (SELECT top(v::float, host::tag, 3) AS v, nothing FROM m), w",
            ),
            (
                "SELECT y FROM (SELECT x + 1 AS y FROM (SELECT s + n AS x FROM m))",
                "SELECT y FROM (SELECT x + 1 AS y FROM (SELECT s::string + n::integer AS x FROM m))",
            ),
        ] {
            let mut select = parsed(text);
            // The schema of a reader stands at its place: of `w` outside before that of `m` inside.
            let own = if text.contains(", w") { vec![&schemas[1], &schemas[0]] } else { vec![&schemas[0]] };
            let own: Vec<Schema> = own.into_iter().cloned().collect();
            settle(&mut select, &mut own.iter()).expect("it settles");
            assert_eq!(select.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn readers_and_inputs_are_numbered_from_the_outside() {
        let select = parsed("SELECT * FROM (SELECT * FROM a, b, a), x, (SELECT * FROM (SELECT * FROM c))");
        let sources: Vec<String> = readers(&select).iter().map(|reader| reader.sources[0].to_string()).collect();
        assert_eq!(sources.len(), 3);
        assert_eq!((sources[1].as_str(), sources[2].as_str()), ("a", "c"), "{sources:?}");
        let names = |copies: Vec<Vec<&Measurement>>| {
            copies
                .iter()
                .map(|copy| copy.iter().map(|one| name_of(one).to_owned()).collect())
                .collect::<Vec<Vec<String>>>()
        };
        assert_eq!(names(copies(readers(&select)[1])), [vec!["a", "b"], vec!["a"]]);
    }

    #[test]
    fn a_group_gets_the_subqueries_that_it_has_measurements_of() {
        let select = parsed("SELECT x FROM (SELECT x FROM a, b), (SELECT x FROM b) WHERE x > 1");
        let part = |name: &'static str| part_of(&select, &|own: &Measurement| name_of(own) == name);
        let text = |name| part(name).map(|part| part.to_string());
        assert_eq!(text("a").as_deref(), Some("SELECT x FROM (SELECT x FROM a) WHERE x > 1"));
        assert_eq!(text("b").as_deref(), Some("SELECT x FROM (SELECT x FROM b), (SELECT x FROM b) WHERE x > 1"));
        assert_eq!(text("c"), None);
    }

    #[test]
    fn an_answer_may_end_where_windows_begin_before_the_range() {
        let windows = "(SELECT mean(v) AS x FROM m GROUP BY time(1m))";
        for (text, may) in [
            (format!("SELECT max(x) FROM {windows} WHERE time > 5"), true),
            (format!("SELECT max(y) FROM (SELECT x AS y FROM {windows}) WHERE time > 5"), true),
            (format!("SELECT y FROM (SELECT max(x) AS y FROM {windows}) WHERE time > 5"), true),
            (format!("SELECT max(x) FROM {windows} WHERE time < 5"), false),
            (format!("SELECT max(x) FROM {windows} WHERE time > 5 GROUP BY time(1m)"), false),
            (format!("SELECT x FROM {windows} WHERE time > 5"), false),
            ("SELECT max(x) FROM (SELECT mean(v) AS x FROM m) WHERE time > 5".to_owned(), false),
        ] {
            assert_eq!(may_end(&parsed(&text), false), may, "{text}");
        }
    }

    #[test]
    fn calls_are_joined_by_tags_that_the_answer_does_not_have() {
        for (fields, inside, around, may) in [
            ("sum(n) AS v, sum(v) AS n", "a, h", "h", true),
            ("sum(n) AS v, sum(v) AS n", "a, h", "a, h", false),
            ("sum(n) AS v, sum(v) AS n", "h, z", "h", false),
            ("max(v) - min(v) AS v", "a, h", "h", false),
            ("max(v) - min(n) AS v", "a, h", "h", true),
            ("abs(max(v) - last(n)) AS v", "a, h", "h", true),
            ("derivative(max(v)) AS v, max(v) AS n", "a, h", "h", true),
            ("sum(v) AS v", "a, h", "h", false),
            ("v, n", "a, h", "h", false),
        ] {
            let inner = format!("SELECT {fields} FROM m GROUP BY {inside}");
            for text in [
                format!("SELECT sum(v) FROM ({inner}) GROUP BY {around}"),
                format!("SELECT v FROM (SELECT v FROM ({inner})) GROUP BY {around}"),
            ] {
                assert_eq!(joins_by_others(&parsed(&text)), may, "{text}");
            }
        }
    }
}
