//! What is asked of an InfluxDB, or of a proxy's admin port, over HTTP: one request a connection, each for a bounded time.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::Value;

use crate::http::params;
use crate::topology::Replica;

/// To reach a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A whole answer to a statement; counting every series takes a while.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);
/// An answer's length.
const ANSWER_BYTES_MAX: u64 = 512 << 20;

/// One series of an answer.
pub struct Series {
    pub name: String,
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Series {
    /// A column of every row; nothing if there is no such column.
    pub fn column<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Value> {
        let at = self.columns.iter().position(|own| own == name);
        self.rows.iter().filter_map(move |row| row.get(at?))
    }

    /// Column by column.
    pub fn first_row(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.columns.iter().map(String::as_str).zip(self.rows.iter().take(1).flatten())
    }

    /// The text of each row's columns, an absent one as "".
    pub fn texts<const N: usize>(&self, names: [&str; N]) -> Vec<[String; N]> {
        let places = names.map(|name| self.columns.iter().position(|own| own == name));
        let text = |row: &Vec<Value>, at: Option<usize>| match at.and_then(|at| row.get(at)) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        self.rows.iter().map(|row| places.map(|at| text(row, at))).collect()
    }
}

/// Where a replica is: `host:port`.
pub fn authority(replica: &Replica) -> String {
    format!("{}:{}", replica.address.host, replica.address.port)
}

/// Runs one statement on a replica, with the rights that the topology gives.
pub fn query(replica: &Replica, db: &str, statement: &str) -> Result<Vec<Series>, String> {
    query_within(replica, db, statement, QUERY_TIMEOUT)
}

/// The same with another limit on its time.
pub fn query_within(replica: &Replica, db: &str, statement: &str, timeout: Duration) -> Result<Vec<Series>, String> {
    let body = params::encode(&[("q", statement), ("db", db)]);
    let authority = authority(replica);
    let target = (replica.address.host.as_str(), replica.address.port);
    let mut head = format!(
        "POST /query HTTP/1.0\r\nHost: {authority}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    if !replica.username.is_empty() {
        let pair = format!("{}:{}", replica.username, replica.password);
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        head.push_str(&format!("Authorization: Basic {encoded}\r\n"));
    }
    let (status, answer) = exchange(target, &format!("{head}\r\n{body}"), timeout)?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|_| format!("it answers {status} and no JSON"))?;
    let error = answer.get("error").or_else(|| answer.pointer("/results/0/error"));
    if let Some(error) = error.and_then(Value::as_str) {
        return Err(error.to_owned());
    }
    let series = answer.pointer("/results/0/series").and_then(Value::as_array);
    Ok(series.map(|series| series.iter().map(read_series).collect()).unwrap_or_default())
}

fn read_series(json: &Value) -> Series {
    let list = |name: &str| json.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Series {
        name: json.get("name").map(text).unwrap_or_default(),
        columns: list("columns").iter().map(text).collect(),
        rows: list("values").iter().filter_map(|row| row.as_array().cloned()).collect(),
    }
}

/// What `http://HOST:PORT/path` answers, if that is 200.
pub fn get(authority: &str, path: &str, timeout: Duration) -> Result<String, String> {
    let (status, body) = exchange(authority, &format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\n\r\n"), timeout)?;
    let text = String::from_utf8_lossy(&body).into_owned();
    if status == 200 { Ok(text) } else { Err(format!("it answers {status}: {}", text.trim_end())) }
}

/// Status and body of an answer that ends with its connection.
fn exchange(target: impl ToSocketAddrs, request: &str, timeout: Duration) -> Result<(u16, Vec<u8>), String> {
    let until = Instant::now() + timeout;
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "it does not answer".to_owned(),
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    };
    let addresses = target.to_socket_addrs().map_err(failed)?;
    let mut stream = Err("the name has no address".to_owned());
    for address in addresses {
        stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT.min(timeout)).map_err(failed);
        if stream.is_ok() {
            break;
        }
    }
    let mut stream = stream?;
    stream.set_write_timeout(Some(timeout)).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("no complete answer within {timeout:?}"));
        }
        stream.set_read_timeout(Some(left)).map_err(failed)?;
        match stream.read(&mut piece).map_err(failed)? {
            0 => break,
            length => answer.extend_from_slice(&piece[..length]),
        }
        if answer.len() as u64 > ANSWER_BYTES_MAX {
            return Err(format!("its answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
    }
    parse(answer)
}

fn parse(mut answer: Vec<u8>) -> Result<(u16, Vec<u8>), String> {
    let broken = || "what answers there does not speak HTTP".to_owned();
    let end = memchr::memmem::find(&answer, b"\r\n\r\n").ok_or_else(broken)?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let body = answer.split_off(end + 4);
    let length: Option<usize> = header("content-length").and_then(|length| length.parse().ok());
    match length {
        Some(length) if body.len() < length => Err("its answer broke off".to_owned()),
        _ => Ok((status, body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let parsed = |text: &str| parse(text.as_bytes().to_vec());
        assert_eq!(parsed("HTTP/1.0 200 OK\r\nA: b\r\n\r\nbody"), Ok((200, b"body".to_vec())));
        assert!(parsed("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nbody").is_err());
        for bad in ["", "HTTP/1.0 200 OK\r\n", "ZooKeeper\r\n\r\n"] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rows_are_read_by_their_columns() {
        let json = serde_json::json!({"name": "m", "columns": ["a", "b"], "values": [["x", 1], [null, true]]});
        let series = read_series(&json);
        assert_eq!(series.texts(["b", "a", "c"]), [["1", "x", ""], ["true", "", ""]]);
        assert_eq!(series.column("a").count(), 2);
        assert_eq!(series.column("c").count(), 0);
    }
}
