//! A small HTTP client on a plain socket: it sends exactly the bytes it is told to, in the pieces
//! it is told to, and shows exactly what came back.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;

/// How long a read waits before the test fails: longer than any timeout that a test configures.
const READ_TIMEOUT: Duration = Duration::from_secs(40);

/// A server that speaks HTTP, by its address.
#[derive(Clone, Copy, Debug)]
pub struct Http {
    pub addr: SocketAddr,
}

impl Http {
    pub fn new(addr: SocketAddr) -> Http {
        Http { addr }
    }

    pub fn connect(self) -> Conn {
        let conn = self.try_connect();
        conn.unwrap_or_else(|error| panic!("no connection to {}: {error}", self.addr))
    }

    pub fn try_connect(self) -> io::Result<Conn> {
        Conn::open(self.addr)
    }

    /// One request on a connection of its own.
    pub fn send(self, request: &Request) -> Response {
        let mut conn = self.connect();
        conn.send(&request.to_bytes());
        conn.read_answer(request.method == "HEAD")
    }

    pub fn get(self, path: &str) -> Response {
        self.send(&Request::new("GET", path))
    }

    pub fn write(self, db: &str, body: impl AsRef<[u8]>) -> Response {
        self.send(&Request::write(&format!("db={}", encode(db)), body))
    }

    /// A write with the given URL parameters, for instance `db=x&precision=s`.
    pub fn write_with(self, params: &str, body: impl AsRef<[u8]>) -> Response {
        self.send(&Request::write(params, body))
    }

    /// A statement sent by POST; `db` may be empty.
    pub fn query(self, db: &str, q: &str) -> Response {
        self.send(&Request::query(&[("db", db), ("q", q)]))
    }

    /// A query by GET with any parameters.
    pub fn get_query(self, params: &[(&str, &str)]) -> Response {
        self.get(&format!("/query?{}", form(params)))
    }

    /// A statement that must succeed; its JSON.
    #[track_caller]
    pub fn run(self, db: &str, q: &str) -> Value {
        let answer = self.query(db, q);
        let json = answer.json();
        let failed = answer.status != 200 || answer.text().contains("\"error\"");
        assert!(!failed, "`{q}` on {} failed: {answer:?}", self.addr);
        json
    }

    /// A write that must answer 204.
    #[track_caller]
    pub fn store(self, db: &str, body: impl AsRef<[u8]>) {
        let answer = self.write(db, body);
        assert_eq!(answer.status, 204, "a write to {} failed: {answer:?}", self.addr);
    }
}

pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Request {
        Request { method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn write(params: &str, body: impl AsRef<[u8]>) -> Request {
        Request::new("POST", &format!("/write?{params}")).body(body)
    }

    pub fn query(params: &[(&str, &str)]) -> Request {
        Request::new("POST", "/query").header("Content-Type", "application/x-www-form-urlencoded").body(form(params))
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Line, headers and the blank line, without any header about the body.
    pub fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: slotline\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head
    }

    /// The whole request with a Content-Length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = self.head();
        if self.method == "POST" || !self.body.is_empty() {
            head.truncate(head.len() - 2);
            head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        }
        [head.as_bytes(), &self.body].concat()
    }

    /// The whole request in chunked encoding, one chunk for each of `pieces`.
    pub fn to_chunked<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut bytes = self.chunked_head().into_bytes();
        for piece in pieces {
            bytes.extend(chunk(piece));
        }
        bytes.extend(last_chunk());
        bytes
    }

    pub fn chunked_head(&self) -> String {
        let mut head = self.head();
        head.truncate(head.len() - 2);
        head + "Transfer-Encoding: chunked\r\n\r\n"
    }
}

/// One chunk of chunked encoding; nothing for an empty piece, since that would end the body.
pub fn chunk(piece: &[u8]) -> Vec<u8> {
    if piece.is_empty() {
        return Vec::new();
    }
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

pub fn last_chunk() -> Vec<u8> {
    b"0\r\n\r\n".to_vec()
}

/// One gzip member.
pub fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes.as_ref()).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}

/// Percent-encodes everything but letters, digits and `-_.~`.
pub fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Parameters as a query string or a form; those with an empty value are left out.
pub fn form(params: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = params
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}

/// An answer, with chunked encoding undone but gzip left as it is.
#[derive(Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Came in chunked encoding.
    pub chunked: bool,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The text of `{"error": …}`.
    #[track_caller]
    pub fn error(&self) -> String {
        match self.json()["error"].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("no error text: {self:?}"),
        }
    }

    /// The body with gzip undone.
    pub fn unpacked(&self) -> Vec<u8> {
        let mut unpacked = Vec::new();
        let read = MultiGzDecoder::new(self.body.as_slice()).read_to_end(&mut unpacked);
        read.unwrap_or_else(|error| panic!("no gzip ({error}): {self:?}"));
        unpacked
    }

    /// Status and body, which is what two servers must agree about.
    pub fn verdict(&self) -> (u16, String) {
        (self.status, self.text())
    }

    /// Status, type, error header and body. Control characters in the header count as spaces: Go
    /// sends them raw, which HTTP forbids.
    pub fn full_verdict(&self) -> (u16, Option<String>, Option<String>, String) {
        let header = |name| self.header(name).map(|text| text.replace(char::is_control, " "));
        (self.status, header("Content-Type"), header("X-Influxdb-Error"), self.text())
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.text();
        let shown: String = text.chars().take(2000).collect();
        write!(f, "{} {:?} {shown:?}", self.status, self.headers)
    }
}

/// One connection; what has been read beyond an answer is kept for the next.
pub struct Conn {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Conn {
    fn open(addr: SocketAddr) -> io::Result<Conn> {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(10))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_write_timeout(Some(READ_TIMEOUT))?;
        Ok(Conn { stream, unread: Vec::new() })
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes the request");
    }

    /// Sends as much as the server takes: it may answer and close before it has read all.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Ends our direction; the answer can still come.
    pub fn half_close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    #[track_caller]
    pub fn call(&mut self, request: &Request) -> Response {
        self.send(&request.to_bytes());
        self.read_answer(request.method == "HEAD")
    }

    #[track_caller]
    pub fn answer(&mut self) -> Response {
        self.read_answer(false)
    }

    #[track_caller]
    fn read_answer(&mut self, to_head: bool) -> Response {
        self.try_answer(to_head).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// The next answer, or why there is none.
    pub fn try_answer(&mut self, to_head: bool) -> io::Result<Response> {
        loop {
            let (status, headers) = self.read_head()?;
            let mut answer = Response { status, headers, body: Vec::new(), chunked: false };
            if (100..200).contains(&status) {
                continue;
            }
            if to_head || status == 204 || status == 304 {
                return Ok(answer);
            }
            if answer.header("Transfer-Encoding") == Some("chunked") {
                answer.chunked = true;
                answer.body = self.read_chunks()?;
            } else if let Some(length) = answer.header("Content-Length") {
                let length = length.parse().map_err(|_| invalid("Content-Length"))?;
                answer.body = self.take(length)?;
            } else {
                while self.fill()? {}
                answer.body = std::mem::take(&mut self.unread);
            }
            return Ok(answer);
        }
    }

    /// True when the server has closed the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && !matches!(self.fill(), Ok(true))
    }

    fn read_head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let status_line = self.take_line()?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| invalid(&format!("status line {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.take_line()?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("header"))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.take_line()?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(|_| invalid("chunk"))?;
            body.extend(self.take(length)?);
            if !self.take_line()?.is_empty() {
                return Err(invalid("chunk end"));
            }
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn take_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if !self.fill()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            if !self.fill()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn fill(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 65536];
        let length = read_some(&mut self.stream, &mut buffer)?;
        self.unread.extend_from_slice(&buffer[..length]);
        Ok(length > 0)
    }
}

/// One read. A signal breaks off one that has a timeout, whatever the signal does: it is begun anew then.
pub fn read_some(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
