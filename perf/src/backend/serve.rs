//! One HTTP connection of the counting backend.

use std::io::{self, BufWriter, Read, Write};
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::time::Duration;

use flate2::write::MultiGzDecoder;

use super::Server;
use super::fault::{Fault, Kind};
use super::lines::{Counted, LineCounter};
use super::rows;
use crate::http1::{Reader, Request};

pub const BUFFER_BYTES: usize = 256 << 10;
/// Of a body that is no line protocol: a fault's text, a query.
const SMALL_BODY_BYTES_MAX: usize = 1 << 20;
/// How often a hanging connection looks whether the fault has ended.
const HANG_POLL: Duration = Duration::from_millis(50);

const STORED: &[u8] = b"HTTP/1.1 204 No Content\r\nX-Influxdb-Build: OSS\r\nX-Influxdb-Version: 1.8.10\r\n\r\n";

/// Serves requests until the peer closes or something breaks.
pub fn connection(stream: TcpStream, server: &Server) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut reader = Reader::new(stream, BUFFER_BYTES);
    loop {
        match request(&mut reader, server) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return,
            // A peer that breaks off between requests is no broken body.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && reader.is_drained() => return,
            Err(_) => {
                server.counters.lock().expect("no holder panics").broken();
                return;
            }
        }
    }
}

fn request(reader: &mut Reader<TcpStream>, server: &Server) -> io::Result<ControlFlow<()>> {
    let Some(request) = reader.request()? else { return Ok(ControlFlow::Break(())) };
    if request.expects_continue && reader.is_drained() {
        reader.stream().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let next = match (request.method.as_str(), path) {
        ("POST", "/write") => write(reader, server, &request, query)?,
        (_, "/query") => select(reader, server, &request, query)?,
        (_, "/ping") => {
            reader.body(request.framing, |_| {})?;
            server.counters.lock().expect("no holder panics").ping();
            reader.stream().write_all(STORED)?;
            ControlFlow::Continue(())
        }
        ("GET", "/counters") => {
            reader.body(request.framing, |_| {})?;
            answer(reader.stream(), 200, &server.counters_json())?
        }
        ("GET", "/counters/all") => {
            reader.body(request.framing, |_| {})?;
            answer(reader.stream(), 200, &super::counters_of(&server.all))?
        }
        ("POST", "/counters/reset") => {
            reader.body(request.framing, |_| {})?;
            *server.counters.lock().expect("no holder panics") = super::Counters::default();
            answer(reader.stream(), 200, "{}")?
        }
        ("POST", "/fault") => switch_fault(reader, server, &request)?,
        _ => {
            reader.body(request.framing, |_| {})?;
            answer(reader.stream(), 404, r#"{"error":"not found"}"#)?
        }
    };
    Ok(if request.close { ControlFlow::Break(()) } else { next })
}

/// Reads the body, counts it and answers, as the fault of the moment has it.
fn write(
    reader: &mut Reader<TcpStream>,
    server: &Server,
    request: &Request,
    query: &str,
) -> io::Result<ControlFlow<()>> {
    let counted = count(reader, request, server.by_measurement)?;
    let fault = striking(server);
    if let Some(Kind::Delay(delay)) = fault {
        std::thread::sleep(delay);
    } else if let Some(kind) = fault {
        server.counters.lock().expect("no holder panics").failed(&counted);
        return fail(reader.stream(), server, &kind);
    }
    let db = query.split('&').find_map(|pair| pair.strip_prefix("db=")).unwrap_or_default();
    // Counted before it is answered, so that who has the answer finds it counted.
    server.counters.lock().expect("no holder panics").stored(db, counted);
    reader.stream().write_all(STORED)?;
    Ok(ControlFlow::Continue(()))
}

fn count(reader: &mut Reader<TcpStream>, request: &Request, by_measurement: bool) -> io::Result<Counted> {
    let mut counter = LineCounter::new(by_measurement);
    let mut bytes = 0;
    if !request.gzip {
        reader.body(request.framing, |piece| {
            bytes += piece.len() as u64;
            counter.push(piece);
        })?;
        return Ok(counter.finish(bytes));
    }
    let mut unpacked = MultiGzDecoder::new(Unpacked(&mut counter));
    let mut broken = Ok(());
    reader.body(request.framing, |piece| {
        bytes += piece.len() as u64;
        if broken.is_ok() {
            broken = unpacked.write_all(piece);
        }
    })?;
    broken.and_then(|()| unpacked.try_finish())?;
    drop(unpacked);
    Ok(counter.finish(bytes))
}

struct Unpacked<'a>(&'a mut LineCounter);

impl Write for Unpacked<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.push(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn select(
    reader: &mut Reader<TcpStream>,
    server: &Server,
    request: &Request,
    query: &str,
) -> io::Result<ControlFlow<()>> {
    let mut params = format!("{query}&").into_bytes();
    params.extend(small_body(reader, request)?);
    server.counters.lock().expect("no holder panics").query();
    match striking(server) {
        Some(Kind::Delay(delay)) => std::thread::sleep(delay),
        Some(kind) => return fail(reader.stream(), server, &kind),
        None => {}
    }
    if let (Some(rows), Some(asked)) = (&server.rows, rows::asked(&params)) {
        rows.answer(asked, &mut BufWriter::with_capacity(BUFFER_BYTES, reader.stream()))?;
        return Ok(ControlFlow::Continue(()));
    }
    answer(reader.stream(), 200, "{\"results\":[{\"statement_id\":0}]}\n")
}

/// What is too much of it is left out.
fn small_body(reader: &mut Reader<TcpStream>, request: &Request) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    reader.body(request.framing, |piece| {
        let room = SMALL_BODY_BYTES_MAX.saturating_sub(text.len());
        text.extend_from_slice(&piece[..piece.len().min(room)]);
    })?;
    Ok(text)
}

fn switch_fault(reader: &mut Reader<TcpStream>, server: &Server, request: &Request) -> io::Result<ControlFlow<()>> {
    let text = small_body(reader, request)?;
    match Fault::parse(&String::from_utf8_lossy(&text)) {
        Ok(fault) => {
            *server.fault.lock().expect("no holder panics") = fault;
            answer(reader.stream(), 200, "{}")
        }
        Err(why) => answer(reader.stream(), 400, &serde_json::json!({ "error": why }).to_string()),
    }
}

/// The fault that meets the request at hand.
fn striking(server: &Server) -> Option<Kind> {
    let fault = server.fault.lock().expect("no holder panics");
    fault.as_ref().filter(|fault| fault.strikes()).map(|fault| fault.kind.clone())
}

fn fail(stream: &mut TcpStream, server: &Server, kind: &Kind) -> io::Result<ControlFlow<()>> {
    match kind {
        Kind::Status(status) => return answer(stream, *status, r#"{"error":"a fault that was asked for"}"#),
        Kind::Delay(_) => unreachable!("a delay is followed by the right answer"),
        Kind::Hang => hang(stream, server)?,
        Kind::Reset => {
            stream.write_all(b"HTTP/1.1 204 No Con")?;
            socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
        }
        Kind::Garbage => stream.write_all(b"\x00\xff\x13 no HTTP\r\n\r\n\x80\x81")?,
    }
    Ok(ControlFlow::Break(()))
}

/// Until the peer closes or the fault is another one.
fn hang(stream: &mut TcpStream, server: &Server) -> io::Result<()> {
    stream.set_read_timeout(Some(HANG_POLL))?;
    let mut unread = [0; 4096];
    loop {
        match stream.read(&mut unread) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        if !matches!(&*server.fault.lock().expect("no holder panics"), Some(fault) if fault.kind == Kind::Hang) {
            return Ok(());
        }
    }
}

fn answer(stream: &mut TcpStream, status: u16, body: &str) -> io::Result<ControlFlow<()>> {
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nX-Influxdb-Build: OSS\r\n\
         X-Influxdb-Version: 1.8.10\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    Ok(ControlFlow::Continue(()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A server and a connection to it.
    fn pair() -> (Arc<Server>, TcpStream) {
        let server = Arc::new(Server {
            name: "test".to_owned(),
            by_measurement: false,
            counters: Mutex::default(),
            fault: Mutex::default(),
            rows: None,
            all: Arc::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let (stream, _) = listener.accept().expect("the connection");
        let serving = Arc::clone(&server);
        std::thread::spawn(move || connection(stream, &serving));
        (server, client)
    }

    fn lines(server: &Server) -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(&server.counters_json()).expect("JSON")
    }

    #[test]
    fn writes_are_counted_whatever_their_framing() {
        let (server, client) = pair();
        let mut reader = Reader::new(client, 1000);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"m v=1\nm v=2\n").expect("a Vec");
        let packed = packed.finish().expect("a Vec");
        let gzip = format!("Content-Encoding: gzip\r\nContent-Length: {}", packed.len());
        for (fields, body) in [
            ("Content-Length: 11", &b"m v=1\nm v=2"[..]),
            ("Transfer-Encoding: chunked", b"4\r\nm v=\r\n2\r\n1\n\r\n0\r\n\r\n"),
            (&gzip, &packed),
        ] {
            let head = format!("POST /write?precision=s&db=a HTTP/1.1\r\n{fields}\r\n\r\n");
            reader.stream().write_all(&[head.as_bytes(), body].concat()).expect("written");
            assert_eq!(reader.response().expect("an answer").status, 204);
        }
        let counters = lines(&server);
        assert_eq!((&counters["lines"], &counters["requests"]), (&5.into(), &3.into()));
        assert_eq!(counters["databases"]["a"]["lines"], 5);
    }

    #[test]
    fn expect_is_answered_before_the_body() {
        let (_server, client) = pair();
        let mut reader = Reader::new(client, 1000);
        let head = b"POST /write?db=a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
        reader.stream().write_all(head).expect("written");
        let mut told = [0; 25];
        reader.stream().read_exact(&mut told).expect("an interim answer");
        assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
        reader.stream().write_all(b"a").expect("written");
        assert_eq!(reader.response().expect("an answer").status, 204);
    }

    #[test]
    fn a_fault_counts_apart_and_ends() {
        let (server, client) = pair();
        let mut reader = Reader::new(client, 1000);
        let mut post = |path: &str, body: &str| {
            let head = format!("POST {path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            reader.stream().write_all(head.as_bytes()).expect("written");
            let answer = reader.response().expect("an answer");
            reader.body(answer.framing, |_| {}).expect("whole");
            answer.status
        };
        assert_eq!([post("/fault", "status=503"), post("/write?db=a", "m v=1\n")], [200, 503]);
        assert_eq!([post("/fault", ""), post("/write?db=a", "m v=1\n")], [200, 204]);
        assert_eq!(post("/fault", "status=1"), 400);
        let counters = lines(&server);
        assert_eq!((&counters["lines"], &counters["failed"]["lines"]), (&1.into(), &1.into()));
    }

    #[test]
    fn reset_and_garbage_are_no_answers() {
        for (fault, kind) in [("reset", io::ErrorKind::ConnectionReset), ("garbage", io::ErrorKind::InvalidData)] {
            let (server, client) = pair();
            *server.fault.lock().expect("no holder panics") = Fault::parse(fault).expect("well-formed");
            let mut reader = Reader::new(client, 1000);
            reader.stream().write_all(b"POST /write HTTP/1.1\r\nContent-Length: 1\r\n\r\na").expect("written");
            assert_eq!(reader.response().expect_err("no answer").kind(), kind);
        }
    }
}
