//! HTTP/1.1 from a blocking stream, for the generator's answers and the backend's requests. Bodies are handed on in
//! pieces as they lie in the buffer and never gathered.
//!
//! Limits: a head and a chunk's size line must fit into the buffer.

use std::io::{self, Read};

const HEADERS_MAX: usize = 64;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    pub framing: Framing,
    pub expects_continue: bool,
    pub gzip: bool,
    pub close: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub framing: Framing,
    pub close: bool,
}

pub struct Reader<S> {
    stream: S,
    buffer: Box<[u8]>,
    /// `start <= end <= buffer.len()`: what is read but not taken.
    start: usize,
    end: usize,
}

impl<S: Read> Reader<S> {
    pub fn new(stream: S, buffer_bytes: usize) -> Reader<S> {
        Reader { stream, buffer: vec![0; buffer_bytes].into_boxed_slice(), start: 0, end: 0 }
    }

    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Nothing is read that is not taken.
    pub fn is_drained(&self) -> bool {
        self.start == self.end
    }

    /// The next request's head; `None` where the peer closed between requests.
    pub fn request(&mut self) -> io::Result<Option<Request>> {
        if self.is_drained() && self.fill()? == 0 {
            return Ok(None);
        }
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut head = httparse::Request::new(&mut headers);
            let parsed = head.parse(&self.buffer[self.start..self.end]).map_err(not_http)?;
            if let httparse::Status::Complete(length) = parsed {
                let fields = Fields::of(head.headers)?;
                let request = Request {
                    method: head.method.unwrap_or_default().to_owned(),
                    target: head.path.unwrap_or_default().to_owned(),
                    framing: fields.framing.unwrap_or(Framing::Length(0)),
                    expects_continue: fields.expects_continue,
                    gzip: fields.gzip,
                    close: fields.close || head.version == Some(0),
                };
                self.start += length;
                return Ok(Some(request));
            }
            self.fill_more()?;
        }
    }

    /// The head of the final answer; 100 Continue is passed over.
    pub fn response(&mut self) -> io::Result<Response> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut head = httparse::Response::new(&mut headers);
            let parsed = head.parse(&self.buffer[self.start..self.end]).map_err(not_http)?;
            let httparse::Status::Complete(length) = parsed else {
                self.fill_more()?;
                continue;
            };
            let fields = Fields::of(head.headers)?;
            let status = head.code.unwrap_or_default();
            let version = head.version;
            self.start += length;
            if (100..200).contains(&status) {
                continue;
            }
            let bodiless = status == 204 || status == 304;
            let framing = if bodiless { Framing::Length(0) } else { fields.framing.unwrap_or(Framing::UntilClose) };
            let close = fields.close || version == Some(0) || framing == Framing::UntilClose;
            return Ok(Response { status, framing, close });
        }
    }

    /// Hands the whole body to `take` in pieces.
    pub fn body(&mut self, framing: Framing, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        match framing {
            Framing::Length(length) => self.pass(length, &mut take),
            Framing::Chunked => self.chunks(&mut take),
            Framing::UntilClose => loop {
                take(&self.buffer[self.start..self.end]);
                self.start = self.end;
                if self.fill()? == 0 {
                    return Ok(());
                }
            },
        }
    }

    fn chunks(&mut self, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            let size = self.chunk_size()?;
            if size == 0 {
                break;
            }
            self.pass(size, take)?;
            if !self.line()?.is_empty() {
                return Err(invalid("a chunk is longer than it says"));
            }
        }
        // Trailers, up to the empty line.
        while !self.line()?.is_empty() {}
        Ok(())
    }

    fn chunk_size(&mut self) -> io::Result<u64> {
        loop {
            let parsed = httparse::parse_chunk_size(&self.buffer[self.start..self.end]);
            match parsed.map_err(|_| invalid("no chunk size"))? {
                httparse::Status::Complete((length, size)) => {
                    self.start += length;
                    return Ok(size);
                }
                httparse::Status::Partial => self.fill_more()?,
            }
        }
    }

    /// A line without its end.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let held = &self.buffer[self.start..self.end];
            if let Some(length) = memchr::memchr(b'\n', held) {
                let line = held[..length].strip_suffix(b"\r").unwrap_or(&held[..length]).to_vec();
                self.start += length + 1;
                return Ok(line);
            }
            self.fill_more()?;
        }
    }

    /// The next `length` bytes.
    fn pass(&mut self, length: u64, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            if self.is_drained() && self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let held = self.end - self.start;
            let piece = usize::try_from(left).map_or(held, |left| left.min(held));
            take(&self.buffer[self.start..self.start + piece]);
            self.start += piece;
            left -= piece as u64;
        }
        Ok(())
    }

    fn fill_more(&mut self) -> io::Result<()> {
        if self.fill()? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Reads once behind what is held; 0 at the stream's end.
    fn fill(&mut self) -> io::Result<usize> {
        if self.is_drained() {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            if self.start == 0 {
                return Err(invalid("a head longer than the buffer"));
            }
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What matters of a head's fields.
#[derive(Default)]
struct Fields {
    framing: Option<Framing>,
    expects_continue: bool,
    gzip: bool,
    close: bool,
}

impl Fields {
    fn of(headers: &[httparse::Header]) -> io::Result<Fields> {
        let mut fields = Fields::default();
        for header in headers {
            let value = header.value.trim_ascii();
            match header.name.to_ascii_lowercase().as_str() {
                "content-length" if fields.framing != Some(Framing::Chunked) => {
                    let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    fields.framing = Some(Framing::Length(length.ok_or_else(|| invalid("no content length"))?));
                }
                "transfer-encoding" if value.eq_ignore_ascii_case(b"chunked") => {
                    fields.framing = Some(Framing::Chunked);
                }
                "expect" => fields.expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
                "content-encoding" => fields.gzip = value.eq_ignore_ascii_case(b"gzip"),
                "connection" => fields.close = value.eq_ignore_ascii_case(b"close"),
                _ => {}
            }
        }
        Ok(fields)
    }
}

fn not_http(error: httparse::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {error}"))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `step` bytes a read, so that every cut is met.
    struct Drip<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.step.min(self.bytes.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.bytes[..length]);
            self.bytes = &self.bytes[length..];
            Ok(length)
        }
    }

    fn body_of<S: Read>(reader: &mut Reader<S>, framing: Framing) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        reader.body(framing, |piece| body.extend_from_slice(piece))?;
        Ok(body)
    }

    #[test]
    fn chunked_bodies_at_every_cut() {
        let bytes = b"POST /write?db=a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
            3;name=v\r\nm v\r\n9\r\n=1\nm v=2\n\r\n0\r\nTrailer: x\r\n\r\nGET /ping HTTP/1.1\r\n\r\n";
        for step in 1..bytes.len() {
            let mut reader = Reader::new(Drip { bytes, step }, 80);
            let request = reader.request().expect("HTTP").expect("a request");
            assert_eq!((request.target.as_str(), request.framing), ("/write?db=a", Framing::Chunked));
            assert_eq!(body_of(&mut reader, request.framing).expect("whole"), b"m v=1\nm v=2\n");
            let next = reader.request().expect("HTTP").expect("the pipelined request");
            assert_eq!((next.target.as_str(), next.framing), ("/ping", Framing::Length(0)));
            assert_eq!(reader.request().expect("the end"), None);
        }
    }

    #[test]
    fn a_body_that_ends_early_is_an_error() {
        for tail in ["5\r\nabc", "3\r\nabc\r\n", "3\r\nabcd\r\n0\r\n\r\n", "x\r\n"] {
            let mut reader = Reader::new(tail.as_bytes(), 80);
            assert!(body_of(&mut reader, Framing::Chunked).is_err(), "{tail}");
        }
        assert!(body_of(&mut Reader::new(&b"abc"[..], 80), Framing::Length(4)).is_err());
    }

    #[test]
    fn answers_tell_whether_the_connection_lives() {
        let mut reader = Reader::new(
            &b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\
               HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"[..],
            100,
        );
        let stored = reader.response().expect("HTTP");
        assert_eq!(stored, Response { status: 204, framing: Framing::Length(0), close: false });
        let busy = reader.response().expect("HTTP");
        assert_eq!(busy, Response { status: 503, framing: Framing::Length(2), close: true });
        assert_eq!(body_of(&mut reader, busy.framing).expect("whole"), b"{}");
    }

    #[test]
    fn a_head_longer_than_the_buffer_is_refused() {
        let head = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(200));
        assert!(Reader::new(head.as_bytes(), 100).request().is_err());
    }
}
