//! The names by which a shift is asked for: aliases, databases, a parameter of the URL.

use crate::influxql::ast::{Field, Shift};
use crate::influxql::{Expr, Select};

/// What is not moved has this before its unit, what is moved into the future `b` before that.
const PREFIX: &str = "shift_";

/// Further than any calendar goes.
const FAR: Shift = Shift { months: i64::MAX, days: 0, ns: 0 };

/// The shift of an alias such as `shift_1_week` or `bshift_2_h__cpu`; `None`: it is an alias like others.
pub fn of_alias(alias: &str) -> Option<Shift> {
    let (name, _label) = alias.split_once("__").unwrap_or((alias, ""));
    named(name).filter(|_| name.matches('_').count() == 2)
}

/// The database that is meant by `db@shift_1w`, and the shift.
pub fn of_database(name: &str) -> Option<(&str, Shift)> {
    let (db, shift) = name.rsplit_once('@')?;
    Some((db, named(shift)?)).filter(|_| !db.is_empty())
}

/// The parameter `shift`: `1w` or `1_week`.
pub fn of_parameter(text: &str) -> Option<Shift> {
    named(&format!("{PREFIX}{text}"))
}

/// `shift_1w`, `shift_1_week`, `bshift_1w`.
fn named(name: &str) -> Option<Shift> {
    let future = name.strip_prefix('b');
    let length = future.unwrap_or(name).strip_prefix(PREFIX)?;
    let (count, unit) = length.split_at(length.find(|c: char| !c.is_ascii_digit())?);
    let unit = unit.strip_prefix('_').unwrap_or(unit);
    // More than can be counted is a shift too, of which `calendar` says that it is out of reach.
    let far = || Shift::of("1", unit).filter(|_| !count.is_empty()).map(|_| FAR);
    let shift = Shift::of(count, unit).or_else(far)?;
    Some(if future.is_some() { shift } else { shift.reversed() })
}

/// How far a field is moved within its SELECT.
pub fn of_field(field: &Field) -> Shift {
    field.alias.as_deref().and_then(of_alias).unwrap_or_default()
}

/// The fields but the time, which is of none.
pub fn fields(select: &Select) -> impl Iterator<Item = &Field> {
    select.fields.iter().filter(|field| !is_time(field))
}

pub fn is_time(field: &Field) -> bool {
    matches!(&field.expr, Expr::VarRef(var) if var.name == "time")
}

/// The shifts of a SELECT's fields, each once, in the order of the first that has it.
pub fn shifts(select: &Select) -> Vec<Shift> {
    let mut shifts = Vec::new();
    for shift in fields(select).map(of_field) {
        if !shifts.contains(&shift) {
            shifts.push(shift);
        }
    }
    shifts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(shift: Option<Shift>) -> String {
        shift.map_or("none".to_owned(), |shift| shift.to_string())
    }

    #[test]
    fn aliases_that_shift() {
        for (alias, shift) in [
            ("shift_1_weeks", "-1w"),
            ("shift_1_week__cpu", "-1w"),
            ("shift_2_Q", "-2Q"),
            ("shift_3_M", "-1Q"),
            ("shift_3_m", "-3m"),
            ("shift_5_ms__a__b", "-5ms"),
            ("bshift_1_days", "1d"),
            ("shift_0_days", "0s"),
            ("shift_99999999999999999999_weeks", "-9223372036854775807M"),
            ("shift_9223372036854775807_weeks", "-9223372036854775807M"),
            ("shift_1w", "none"),
            ("shift_1_fortnight", "none"),
            ("shift_1_Week", "none"),
            ("shift_1.5_weeks", "none"),
            ("shift_-1_weeks", "none"),
            ("shift__weeks", "none"),
            ("shift_1_weeks_cpu", "none"),
            ("Shift_1_weeks", "none"),
            ("shift", "none"),
            ("", "none"),
        ] {
            assert_eq!(told(of_alias(alias)), shift, "{alias}");
        }
    }

    #[test]
    fn databases_and_parameters_that_shift() {
        assert_eq!(of_database("db@shift_1w").map(|(db, shift)| format!("{db} {shift}")).as_deref(), Some("db -1w"));
        assert_eq!(of_database("a@b@bshift_2_days").map(|(db, _)| db), Some("a@b"));
        for name in ["db", "@shift_1w", "db@shift_1", "db@1w", "db@shift_w"] {
            assert_eq!(of_database(name), None, "{name}");
        }
        assert_eq!([told(of_parameter("1w")), told(of_parameter("2_months"))], ["-1w", "-2M"]);
        assert_eq!([of_parameter("-1w"), of_parameter("w"), of_parameter("")], [None; 3]);
    }
}
