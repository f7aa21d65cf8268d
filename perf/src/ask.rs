//! `slotline-perf ask`: one HTTP request, so that scripts need no other client for counters, faults and metrics.

use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use crate::http1::Reader;

#[derive(clap::Args)]
pub struct Args {
    /// ADDR:PORT
    target: String,
    method: String,
    /// With its query, percent-encoded
    path: String,
    #[arg(default_value = "")]
    body: String,
    /// Seconds to connect and between two pieces of the answer
    #[arg(long, default_value_t = 5)]
    timeout_s: u64,
}

/// Exit 1 where the status is not 2xx.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let timeout = Duration::from_secs(args.timeout_s.max(1));
    let (status, body) = request(&args.target, &args.method, &args.path, &args.body, timeout)
        .map_err(|error| format!("{}: {error}", args.target))?;
    std::io::stdout().write_all(&body).map_err(|error| error.to_string())?;
    if (200..300).contains(&status) {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("slotline-perf: {} {} said {status}", args.target, args.path);
    Ok(ExitCode::FAILURE)
}

/// Status and body of the answer.
pub fn request(
    target: &str,
    method: &str,
    path: &str,
    body: &str,
    timeout: Duration,
) -> std::io::Result<(u16, Vec<u8>)> {
    request_with(target, method, path, "", body, timeout)
}

/// The same with further header lines, each with its end.
pub fn request_with(
    target: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
    timeout: Duration,
) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(target)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    let mut reader = Reader::new(stream, 64 << 10);
    let answer = reader.response()?;
    let mut body = Vec::new();
    reader.body(answer.framing, |piece| body.extend_from_slice(piece))?;
    Ok((answer.status, body))
}
