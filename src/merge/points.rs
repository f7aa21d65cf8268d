//! Rows of an answer -> line protocol, as SELECT INTO writes them: tags are the series', every other column is a field of
//! the cell's type, a row without any is left out. Used by `query`.

use std::io::Write;

use super::results::{Series, Value};

/// Appends a line, ending in `\n`, for each row that is a point, with nanoseconds; under `measurement` or, without one,
/// under the series' own name. How many there are.
///
/// # Errors
/// There is no `time`, or a name that line protocol has no form for.
pub fn push_lines(series: &Series, measurement: Option<&str>, out: &mut Vec<u8>) -> Result<usize, String> {
    let time = series.columns.iter().rposition(|column| column == "time");
    let time = time.ok_or("error finding time index in result")?;
    let is_last = |at: usize| !series.columns[at + 1..].contains(&series.columns[at]);
    let counts: Vec<bool> = (0..series.columns.len()).map(is_last).collect();
    let mut head = Vec::new();
    push_head(series, measurement.unwrap_or(&series.name), &mut head)?;
    let keys: Result<Vec<Vec<u8>>, String> = series.columns.iter().map(|column| field_key(column)).collect();
    let keys = keys?;
    let mut points = 0;
    for row in &series.values {
        let Some(Value::Time(ns)) = row.get(time) else { return Err(NOT_A_TIME.to_owned()) };
        let start = out.len();
        out.extend_from_slice(&head);
        let mut sign = b' ';
        for (at, (key, value)) in keys.iter().zip(row).enumerate() {
            if at != time && counts[at] && is_stored(value) {
                out.push(sign);
                out.extend_from_slice(key);
                out.push(b'=');
                push_value(value, out);
                sign = b',';
            }
        }
        if sign == b' ' {
            out.truncate(start);
            continue;
        }
        // A Vec takes all bytes.
        let _ = writeln!(out, " {ns}");
        points += 1;
    }
    Ok(points)
}

/// InfluxDB panics there.
const NOT_A_TIME: &str =
    "SELECT INTO with another column named \"time\" is not supported: nothing says when a point was";

fn push_head(series: &Series, name: &str, out: &mut Vec<u8>) -> Result<(), String> {
    // White space before a line does not count, and a comment begins with `#`. In a measurement `\"` loses its backslash too.
    if name.is_empty() || name.starts_with(['#', '\t', '\0']) || name.contains("\\\"") || !is_writable(name) {
        return Err(unwritable("measurement", name));
    }
    push_escaped(name, b", ", out);
    for (key, value) in series.tags.iter().filter(|(_, value)| !value.is_empty()) {
        if key.is_empty() || !is_writable(key) {
            return Err(unwritable("tag", key));
        }
        if !is_writable(value) {
            return Err(unwritable("tag value", value));
        }
        out.push(b',');
        push_escaped(key, b",= ", out);
        out.push(b'=');
        push_escaped(value, b",= ", out);
    }
    Ok(())
}

fn field_key(column: &str) -> Result<Vec<u8>, String> {
    if column.is_empty() || !is_writable(column) {
        return Err(unwritable("field", column));
    }
    let mut key = Vec::with_capacity(column.len());
    push_escaped(column, b",= ", &mut key);
    Ok(key)
}

/// Line protocol ends at a newline, and a backslash before a separator takes its meaning away.
fn is_writable(name: &str) -> bool {
    !name.contains('\n') && !name.ends_with('\\') && ![r"\,", r"\=", r"\ "].iter().any(|pair| name.contains(pair))
}

fn unwritable(what: &str, name: &str) -> String {
    format!("SELECT INTO cannot write the {what} {name:?}: line protocol has no form for it")
}

fn push_escaped(text: &str, escaped: &[u8], out: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        if escaped.contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// InfluxDB stores neither NaN nor infinity.
fn is_stored(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Float(number) => number.is_finite(),
        _ => true,
    }
}

fn push_value(value: &Value, out: &mut Vec<u8>) {
    // A Vec takes all bytes.
    let _ = match value {
        Value::Null => Ok(()),
        Value::Boolean(value) => write!(out, "{value}"),
        Value::Integer(number) => write!(out, "{number}i"),
        Value::Time(ns) => write!(out, "{ns}i"),
        Value::Unsigned(number) => write!(out, "{number}u"),
        Value::Float(number) if number.abs() >= 1e21 || number.abs() < 1e-6 => write!(out, "{number:e}"),
        Value::Float(number) => write!(out, "{number}"),
        Value::String(text) => {
            out.push(b'"');
            push_escaped(text, b"\"\\", out);
            out.push(b'"');
            Ok(())
        }
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lineprotocol::point::{self, FieldType};
    use crate::lineprotocol::{Line, split};

    fn series(tags: &[(&str, &str)], columns: &[&str], values: Vec<Vec<Value>>) -> Series {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Series { name: "from".to_owned(), tags, columns, values, ..Series::default() }
    }

    fn lines(series: &Series, measurement: Option<&str>) -> Result<(usize, String), String> {
        let mut out = Vec::new();
        let points = push_lines(series, measurement, &mut out)?;
        Ok((points, String::from_utf8(out).expect("it is text")))
    }

    #[test]
    fn the_last_column_of_a_name_counts() {
        let row = |x: Value, y: Value| vec![Value::Time(5), x, y];
        let named = |names: [&str; 2], row| series(&[], &["time", names[0], names[1]], vec![row]);
        let (one, two) = (Value::Float(1.5), Value::Integer(2));
        let twice = named(["x", "x"], row(one.clone(), two.clone()));
        assert_eq!(lines(&twice, None), Ok((1, "from x=2i 5\n".to_owned())));
        assert_eq!(lines(&named(["x", "x"], row(one.clone(), Value::Null)), None), Ok((0, String::new())));
        assert_eq!(lines(&named(["time", "x"], row(one, two)), None), Err(NOT_A_TIME.to_owned()));
        assert_eq!(lines(&series(&[], &["time", "time"], Vec::new()), None), Ok((0, String::new())));
    }

    #[test]
    fn rows_become_points() {
        let columns = ["v", "time", "n x", "s", "b", "u"];
        let (null, time) = (Value::Null, Value::Time);
        let rows = vec![
            vec![
                Value::Float(1.0),
                time(5),
                Value::Integer(-3),
                "a\"b\\c,d\ne".into(),
                Value::Boolean(true),
                null.clone(),
            ],
            vec![null.clone(), time(-7), null.clone(), null.clone(), null.clone(), null.clone()],
            vec![Value::Float(f64::INFINITY), time(8), null.clone(), null.clone(), null.clone(), Value::Unsigned(9)],
            vec![Value::Float(1e300), time(9), null.clone(), null.clone(), null.clone(), null],
        ];
        let of = series(&[("a b", "x,y"), ("c", ""), ("d=", "=")], &columns, rows);
        let head = r"m\,\ 1,a\ b=x\,y,d\==\=";
        let wanted = format!("{head} v=1,n\\ x=-3i,s=\"a\\\"b\\\\c,d\ne\",b=true 5\n{head} u=9u 8\n{head} v=1e300 9\n");
        assert_eq!(lines(&of, Some("m, 1")), Ok((3, wanted)));
        assert!(lines(&of, None).expect("it has a name").1.starts_with("from,a"));
    }

    #[test]
    fn what_has_no_form_is_an_error() {
        let row = || vec![vec![Value::Time(1), Value::Integer(1)]];
        let good = series(&[], &["time", "v"], row());
        for name in ["", "#m", "m\\", "a\\,b", "a\nb"] {
            let error = lines(&good, Some(name)).expect_err(name);
            assert!(error.contains("measurement") && error.contains("line protocol"), "{error}");
        }
        assert!(lines(&series(&[("a", "b\n")], &["time", "v"], row()), None).is_err());
        assert!(lines(&series(&[("", "b")], &["time", "v"], row()), None).is_err());
        assert!(lines(&series(&[], &["time", "v\\"], row()), None).is_err());
        let error = lines(&series(&[], &["times", "v"], row()), None).expect_err("there is no time");
        assert_eq!(error, "error finding time index in result");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// What can be written is read as it was.
        #[test]
        fn names_are_read_as_they_were(
            name in "[a-z,= \t\\\\\"#é]{1,6}",
            key in "[a-z,= \\\\\"é]{1,5}",
            value in "[a-z,= \\\\\"é]{1,5}",
            field in "[a-z,= \\\\\"é]{1,5}",
            text in "[a-z,= \\\\\"\n]{0,6}",
        ) {
            let row = vec![Value::Time(3), text.as_str().into(), Value::Integer(1)];
            let of = series(&[(&key, &value)], &["time", &field, "last"], vec![row; 2]);
            let Ok((2, text)) = lines(&of, Some(&name)) else { return Ok(()) };
            let lines: Vec<&[u8]> = split(text.as_bytes());
            prop_assert_eq!(lines.len(), 2, "{}", text);
            for bytes in lines {
                let line = Line::read(bytes).expect("it is a point");
                prop_assert_eq!(&*line.name(), name.as_bytes(), "{}", text);
                prop_assert_eq!(line.tag(&key), value.as_bytes(), "{}", text);
                let fields = point::fields(&line).expect("it has fields");
                let wanted: Vec<(&[u8], FieldType)> =
                    vec![(field.as_bytes(), FieldType::String), (b"last", FieldType::Integer)];
                let seen: Vec<(&[u8], FieldType)> = fields.iter().map(|(key, kind)| (&**key, *kind)).collect();
                prop_assert_eq!(seen, wanted, "{}", text);
            }
        }
    }
}
