//! The `params` of a query: a JSON object whose values stand for `$name` in the text, bound as InfluxDB binds them.

use std::collections::BTreeMap;

use crate::influxql::{ParamValue, Params, format_duration};

use super::gojson::{Json, decode};

/// How InfluxDB begins what it has against them.
const PARSING: &str = "error parsing query parameters: ";

/// Reads the URL parameter `params`; empty is none. The error is what InfluxDB says.
pub fn read(json: &str) -> Result<Params, String> {
    let mut params = Params::new();
    if json.is_empty() {
        return Ok(params);
    }
    let object = match decode(json).map_err(|error| format!("{PARSING}{error}"))? {
        Json::Object(object) => object,
        Json::Null => BTreeMap::new(),
        other => {
            let kind = kind(&other);
            let why = format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}");
            return Err(format!("{PARSING}{why}"));
        }
    };
    for (name, value) in object {
        params.insert(&name, read_value(value)?).map_err(|error| format!("{PARSING}{error}"))?;
    }
    Ok(params)
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array => "array",
        Json::Object(_) => "object",
    }
}

fn read_value(value: Json) -> Result<ParamValue, String> {
    Ok(match value {
        Json::String(text) => ParamValue::String(text),
        Json::Bool(value) => ParamValue::Boolean(value),
        Json::Number(number) => read_number(&number).map_err(|error| format!("error parsing json value: {error}"))?,
        Json::Object(object) => read_typed(object).unwrap_or_else(ParamValue::Unusable),
        Json::Null => ParamValue::Unusable("unable to bind parameter with type <nil>".to_owned()),
        Json::Array => ParamValue::Unusable("unable to bind parameter with type []interface {}".to_owned()),
    })
}

/// A number with a point is a float, any other an integer.
fn read_number(text: &str) -> Result<ParamValue, String> {
    if text.contains('.') {
        let float = text.parse::<f64>().ok().filter(|float| float.is_finite());
        let error = || format!("strconv.ParseFloat: parsing {text:?}: value out of range");
        return float.map(ParamValue::Float).ok_or_else(error);
    }
    let why = if text.contains(['e', 'E']) { "invalid syntax" } else { "value out of range" };
    text.parse().map(ParamValue::Integer).map_err(|_| format!("strconv.ParseInt: parsing {text:?}: {why}"))
}

/// `{"duration": "5m"}` and the like. The error is one where the parameter is used.
fn read_typed(object: BTreeMap<String, Json>) -> Result<ParamValue, String> {
    let mut entries = object.into_iter();
    let (Some((kind, value)), None) = (entries.next(), entries.next()) else {
        return Err("bound object parameter value must have exactly one entry".to_owned());
    };
    let number = match &value {
        Json::Number(text) => Some(read_number(text)?),
        _ => None,
    };
    let bound = match (kind.as_str(), value, number) {
        ("ident" | "identifier", Json::String(text), _) => ParamValue::Identifier(text),
        ("regex", Json::String(text), _) => ParamValue::Regex(text),
        ("string", Json::String(text), _) => ParamValue::String(text),
        ("float" | "number", _, Some(ParamValue::Float(float))) => ParamValue::Float(float),
        ("float" | "number", _, Some(ParamValue::Integer(integer))) => ParamValue::Float(integer as f64),
        ("int" | "integer", _, Some(ParamValue::Integer(integer))) => ParamValue::Integer(integer),
        ("duration", Json::String(text), _) => ParamValue::Duration(text),
        ("duration", _, Some(ParamValue::Integer(ns))) => ParamValue::Duration(format_duration(ns)),
        ("ident" | "identifier", ..) => return Err("identifier must be a string value".to_owned()),
        ("regex", ..) => return Err("regex literal must be a string value".to_owned()),
        ("string", ..) => return Err("string literal must be a string value".to_owned()),
        ("float" | "number", ..) => return Err("number literal must be a float value".to_owned()),
        ("int" | "integer", ..) => return Err("integer literal must be an integer value".to_owned()),
        ("duration", ..) => return Err("duration literal must be a string or integer value".to_owned()),
        (kind, ..) => return Err(format!("unknown bind object type: {kind}")),
    };
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::parse_query;

    #[test]
    fn values_take_their_places() {
        let params = read(r#"{"h": "a'b", "n": 3, "f": 1.5, "d": {"duration": "5m"}, "t": true}"#).expect("it reads");
        let text = "SELECT mean(v) FROM m WHERE h = $h AND a > $n AND b < $f AND c = $t GROUP BY time($d)";
        let printed = parse_query(text, &params).expect("it parses").to_string();
        assert!(
            printed.ends_with(r"WHERE h = 'a\'b' AND a > 3 AND b < 1.500 AND c = true GROUP BY time(5m)"),
            "{printed}"
        );
    }

    /// As influxd 1.6.7 says it.
    #[test]
    fn bad_params_are_refused() {
        for (json, reason) in [
            ("[1]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
            ("7", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
            ("{", "unexpected EOF"),
            (" ", "EOF"),
        ] {
            assert_eq!(read(json), Err(format!("{PARSING}{reason}")));
        }
        for (number, reason) in [
            ("1e5", "strconv.ParseInt: parsing \"1e5\": invalid syntax"),
            ("9223372036854775808", "strconv.ParseInt: parsing \"9223372036854775808\": value out of range"),
            ("1.5e400", "strconv.ParseFloat: parsing \"1.5e400\": value out of range"),
        ] {
            let read = read(&format!("{{\"x\": {number}}}"));
            assert_eq!(read, Err(format!("error parsing json value: {reason}")));
        }
        assert_eq!(read("null"), Ok(Params::new()));
        assert_eq!(read("{} and more"), Ok(Params::new()));
    }

    /// As influxd 1.6.7 says it.
    #[test]
    fn what_cannot_be_bound_is_an_error_where_it_is_used() {
        for (value, reason) in [
            ("null", "missing parameter: unable to bind parameter with type <nil>"),
            ("[]", "missing parameter: unable to bind parameter with type []interface {}"),
            ("{}", "missing parameter: bound object parameter value must have exactly one entry"),
            (r#"{"boolean": true}"#, "missing parameter: unknown bind object type: boolean"),
            (r#"{"tag": 1e3}"#, "missing parameter: strconv.ParseInt: parsing \"1e3\": invalid syntax"),
            (r#"{"int": 1.5}"#, "missing parameter: integer literal must be an integer value"),
            (r#"{"number": "1"}"#, "missing parameter: number literal must be a float value"),
            (r#"{"ident": 1}"#, "missing parameter: identifier must be a string value"),
            (r#"{"duration": 1.5}"#, "missing parameter: duration literal must be a string or integer value"),
            (r#"{"duration": "a"}"#, "invalid duration"),
        ] {
            let params = read(&format!("{{\"x\": {value}}}")).expect("only its use is an error");
            let error = parse_query("SELECT v FROM m WHERE v > $x", &params).expect_err(value);
            assert_eq!(error.to_string(), reason, "{value}");
        }
        for (value, found) in [
            ("1.5", "1.5"),
            ("-0.0", "-0"),
            ("1.5e-9", "0.0000000015"),
            ("true", "TRUE"),
            (r#"{"float": 1}"#, "1"),
            (r#"{"duration": 300}"#, "300ns"),
            (r#"{"duration": -5}"#, "-5ns"),
            (r#"{"foo": 1}"#, "unknown bind object type: foo"),
        ] {
            let params = read(&format!("{{\"x\": {value}}}")).expect("only its use is an error");
            let error = parse_query("SELECT v FROM m LIMIT $x", &params).expect_err(value);
            assert_eq!(error.to_string(), format!("found {found}, expected integer at line 1, char 23"));
        }
    }
}
