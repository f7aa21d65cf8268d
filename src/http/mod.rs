//! What InfluxDB's HTTP API says and hears, as text and bytes: parameters, multipart forms, JSON as Go prints it, gzip, credentials.
//!
//! Used by both sides of the proxy; the sockets are in `net`.

pub mod gzip;
pub mod json;
pub mod multipart;
pub mod params;
pub mod v2;

/// InfluxDB's error body.
pub fn error_body(error: &str) -> String {
    format!("{{\"error\":{}}}\n", json::string(error))
}

/// The first error that InfluxDB's answer names, of the request or of one of its statements.
pub fn error_of(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        error: Option<String>,
        #[serde(default)]
        results: Vec<Answer>,
    }
    let answer: Answer = simd_json::serde::from_slice(&mut body.to_vec()).ok()?;
    answer.error.or_else(|| answer.results.into_iter().find_map(|result| result.error))
}

/// The value of `X-Influxdb-Error`: the error cut at 1024 bytes, as one line without blanks around it.
pub fn error_header(error: &str) -> String {
    let end = (0..=error.len().min(1024)).rev().find(|&at| error.is_char_boundary(at)).unwrap_or(0);
    let line: String = error[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim_matches(' ').to_owned()
}

/// The value of an `Authorization` header with these credentials.
pub fn basic_authorization(username: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_requests_and_of_statements() {
        assert_eq!(error_of(b"{\"error\":\"x\"}\n").as_deref(), Some("x"));
        let body = b"{\"results\":[{\"statement_id\":0},{\"statement_id\":1,\"error\":\"y\"}]}";
        assert_eq!(error_of(body).as_deref(), Some("y"));
        assert_eq!(error_of(b"{\"results\":[{\"statement_id\":0,\"series\":[]}]}"), None);
        assert_eq!(error_of(b"no JSON"), None);
    }

    #[test]
    fn errors_as_influxdb_writes_them() {
        assert_eq!(error_body("a \"b\" <c>\n"), "{\"error\":\"a \\\"b\\\" \\u003cc\\u003e\\n\"}\n");
        assert_eq!(error_header("a\nb \n"), "a b");
        assert_eq!(error_header(&"é".repeat(600)).len(), 1024);
    }
}
