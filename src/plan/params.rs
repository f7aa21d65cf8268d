//! The `params` of a query: a JSON object whose values stand for `$name` in the text.

use serde_json::Value;

use crate::influxql::{ParamValue, Params};

/// Reads the URL parameter `params`; empty is none. The error is what InfluxDB says behind
/// `error parsing query parameters: `.
pub fn read(json: &str) -> Result<Params, String> {
    let mut params = Params::new();
    if json.is_empty() {
        return Ok(params);
    }
    for (name, value) in read_object(json)? {
        params.insert(&name, read_value(value)).map_err(|error| error.to_string())?;
    }
    Ok(params)
}

/// The first value of the text, as Go's decoder reads it.
fn read_object(json: &str) -> Result<serde_json::Map<String, Value>, String> {
    let other = match serde_json::Deserializer::from_str(json).into_iter().next() {
        Some(Ok(Value::Object(object))) => return Ok(object),
        Some(Ok(Value::Null)) => return Ok(serde_json::Map::new()),
        Some(Ok(Value::Bool(_))) => "bool",
        Some(Ok(Value::Number(_))) => "number",
        Some(Ok(Value::String(_))) => "string",
        Some(Ok(Value::Array(_))) => "array",
        Some(Err(error)) if error.is_eof() => return Err("unexpected EOF".to_owned()),
        Some(Err(error)) => return Err(error.to_string()),
        None => return Err("EOF".to_owned()),
    };
    Err(format!("json: cannot unmarshal {other} into Go value of type map[string]interface {{}}"))
}

fn read_value(value: Value) -> ParamValue {
    match value {
        Value::String(text) => ParamValue::String(text),
        Value::Bool(value) => ParamValue::Boolean(value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => ParamValue::Integer(integer),
            None => ParamValue::Float(number.as_f64().unwrap_or_default()),
        },
        Value::Object(object) => read_typed(object),
        Value::Null => ParamValue::Unusable("unable to bind parameter with type <nil>".to_owned()),
        Value::Array(_) => ParamValue::Unusable("unable to bind parameter with type []interface {}".to_owned()),
    }
}

/// `{"duration": "5m"}` and the like.
fn read_typed(object: serde_json::Map<String, Value>) -> ParamValue {
    let unusable = |why: &str| ParamValue::Unusable(why.to_owned());
    let mut entries = object.into_iter();
    let (Some((kind, value)), None) = (entries.next(), entries.next()) else {
        return unusable("bound object parameter value must have exactly one entry");
    };
    match (kind.as_str(), value) {
        ("ident" | "identifier", Value::String(text)) => ParamValue::Identifier(text),
        ("regex", Value::String(text)) => ParamValue::Regex(text),
        ("string", Value::String(text)) => ParamValue::String(text),
        ("duration", Value::String(text)) => ParamValue::Duration(text),
        ("float", Value::Number(number)) => ParamValue::Float(number.as_f64().unwrap_or_default()),
        ("integer", Value::Number(number)) if number.is_i64() => {
            ParamValue::Integer(number.as_i64().unwrap_or_default())
        }
        ("boolean", Value::Bool(value)) => ParamValue::Boolean(value),
        (kind, _) => unusable(&format!("unable to bind {kind} parameter")),
    }
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

    #[test]
    fn bad_params_are_refused() {
        for (json, reason) in [
            ("[1]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
            ("7", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
            ("{", "unexpected EOF"),
            (" ", "EOF"),
        ] {
            assert_eq!(read(json), Err(reason.to_owned()));
        }
        assert_eq!(read("null"), Ok(Params::new()));
        assert_eq!(read("{} and more"), Ok(Params::new()));
        let params = read(r#"{"x": null}"#).expect("only its use is an error");
        assert!(parse_query("SELECT v FROM m WHERE h = $x", &params).is_err());
    }
}
