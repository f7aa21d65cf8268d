//! A backend that plays the faults which a real InfluxDB can't be made to show on demand.
//!
//! `/ping` always answers as a healthy server does; every other request plays what the test says
//! and is recorded once its body is in.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Play {
    /// A whole, well-formed answer.
    Answer(u16, String),
    /// The same, after a while.
    Slow(Duration, u16, String),
    /// The connection stays open, nothing comes.
    Hang,
    /// The connection is reset once the head is in.
    Reset,
    /// Bytes that are not HTTP.
    Garbage,
    /// An answer whose headers go on for 10 MB.
    HugeHeaders,
    /// An answer cut off in its body.
    CutOff,
    /// These bytes, then the connection's end.
    Raw(String),
}

impl Play {
    pub fn stored() -> Play {
        Play::Answer(204, String::new())
    }
}

#[derive(Clone, Debug)]
pub struct Recorded {
    /// Whose connection it came over.
    pub peer: SocketAddr,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

struct State {
    play: Mutex<Inner>,
    changed: Condvar,
}

/// What happens to a request, of which only the head is there yet.
type Choose = Box<dyn FnMut(&Recorded) -> Play + Send>;

struct Inner {
    choose: Choose,
    requests: Vec<Recorded>,
    pings: u64,
    stopped: bool,
}

pub struct Fake {
    addr: SocketAddr,
    state: Arc<State>,
}

impl Fake {
    pub fn start(play: Play) -> Fake {
        Fake::start_by(move |_| play.clone())
    }

    /// One that plays what `choose` says of each request's head.
    pub fn start_by(choose: impl FnMut(&Recorded) -> Play + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let inner = Inner { choose: Box::new(choose), requests: Vec::new(), pings: 0, stopped: false };
        let state = Arc::new(State { play: Mutex::new(inner), changed: Condvar::new() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.play.lock().expect("no holder panics").stopped {
                    return;
                }
                let state = Arc::clone(&shared);
                if let Ok(stream) = stream {
                    std::thread::spawn(move || while serve_one(&stream, &state).is_some() {});
                }
            }
        });
        Fake { addr, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What happens from the next request on.
    pub fn set(&self, play: Play) {
        self.state.play.lock().expect("no holder panics").choose = Box::new(move |_| play.clone());
        self.state.changed.notify_all();
    }

    /// All requests but pings so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.play.lock().expect("no holder panics").requests.clone()
    }

    /// How often it was asked for a sign of life.
    pub fn pings(&self) -> u64 {
        self.state.play.lock().expect("no holder panics").pings
    }

    /// The lines of all writes to a database so far, in the order in which they came.
    pub fn lines_of(&self, db: &str) -> Vec<String> {
        let (middle, end) = (format!("db={db}&"), format!("db={db}"));
        let mut lines = Vec::new();
        for write in self.writes().iter().filter(|write| write.path.contains(&middle) || write.path.ends_with(&end)) {
            let body = if write.headers.iter().any(|(name, _)| name == "content-encoding") {
                let mut unpacked = Vec::new();
                let read = flate2::read::MultiGzDecoder::new(write.body.as_slice()).read_to_end(&mut unpacked);
                read.expect("slotline packs well");
                unpacked
            } else {
                write.body.clone()
            };
            lines.extend(String::from_utf8_lossy(&body).lines().map(str::to_owned));
        }
        lines
    }

    /// Queries that are clients': slotline itself asks for databases and retention policies now and then.
    pub fn queries(&self) -> usize {
        let own = |request: &Recorded| {
            let form = String::from_utf8_lossy(&request.body).replace("%20", "+");
            form.contains("SHOW+DATABASES") || form.contains("SHOW+RETENTION+POLICIES")
        };
        self.requests().iter().filter(|request| request.path.starts_with("/query") && !own(request)).count()
    }

    pub fn writes(&self) -> Vec<Recorded> {
        let requests = self.requests().into_iter();
        requests.filter(|request| request.path.starts_with("/write")).collect()
    }

    /// The lines of all writes, as often as they came.
    pub fn lines(&self) -> Vec<String> {
        let line = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
        let lines = |body: &[u8]| body.split(|&byte| byte == b'\n').filter(|l| !l.is_empty()).map(line).collect();
        self.writes().iter().flat_map(|write| -> Vec<String> { lines(&write.body) }).collect()
    }

    /// How many newlines all writes have had.
    pub fn line_count(&self) -> usize {
        let inner = self.state.play.lock().expect("no holder panics");
        let writes = inner.requests.iter().filter(|request| request.path.starts_with("/write"));
        writes.map(|write| write.body.iter().filter(|&&byte| byte == b'\n').count()).sum()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.state.play.lock().expect("no holder panics").stopped = true;
        self.state.changed.notify_all();
        let _ = TcpStream::connect(self.addr);
    }
}

/// One request; `None` ends the connection.
fn serve_one(mut stream: &TcpStream, state: &State) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut request = read_head(&mut reader, stream.peer_addr().ok()?)?;
    if request.path.starts_with("/ping") {
        state.play.lock().expect("no holder panics").pings += 1;
        return stream.write_all(answer(204, "").as_bytes()).ok();
    }
    let play = (state.play.lock().expect("no holder panics").choose)(&request);
    if matches!(play, Play::Reset) {
        reset(stream);
        state.play.lock().expect("no holder panics").requests.push(request);
        return None;
    }
    request.body = read_body(&mut reader, &request.headers)?;
    let is_query = request.path.starts_with("/query");
    state.play.lock().expect("no holder panics").requests.push(request);
    match play {
        Play::Answer(204, _) if is_query => {
            stream.write_all(answer(200, "{\"results\":[{\"statement_id\":0}]}\n").as_bytes()).ok()
        }
        Play::Answer(status, body) => stream.write_all(answer(status, &body).as_bytes()).ok(),
        Play::Slow(time, status, body) => {
            wait_stopped(state, Some(time));
            stream.write_all(answer(status, &body).as_bytes()).ok()
        }
        Play::Hang | Play::Reset => {
            wait_stopped(state, None);
            None
        }
        Play::Garbage => {
            let _ = stream.write_all(&b"\x00\xff\x17 not HTTP at all \r\n\r\n".repeat(50));
            None
        }
        Play::HugeHeaders => {
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n");
            let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
            for _ in 0..10_000 {
                stream.write_all(line.as_bytes()).ok()?;
            }
            stream.write_all(b"\r\n").ok()
        }
        Play::CutOff => {
            let head = "HTTP/1.1 400 Bad Request\r\nContent-Length: 5000\r\n\r\n{\"error\":\"partial wr";
            let _ = stream.write_all(head.as_bytes());
            None
        }
        Play::Raw(text) => {
            let _ = stream.write_all(text.as_bytes());
            None
        }
    }
}

pub(super) fn read_head(reader: &mut impl BufRead, peer: SocketAddr) -> Option<Recorded> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&length| length > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Some(Recorded { peer, method, path, headers, body: Vec::new() });
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

pub(super) fn read_body(reader: &mut impl BufRead, headers: &[(String, String)]) -> Option<Vec<u8>> {
    let find = |name: &str| headers.iter().find(|(own, _)| own == name).map(|(_, value)| value);
    let mut body = Vec::new();
    if find("transfer-encoding").is_some() {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|&length| length > 0)?;
            let length = u64::from_str_radix(line.trim(), 16).ok()?;
            reader.by_ref().take(length).read_to_end(&mut body).ok()?;
            reader.read_line(&mut line).ok()?;
            if length == 0 {
                return Some(body);
            }
        }
    }
    let length = find("content-length").map_or(Some(0), |text| text.parse().ok())?;
    reader.take(length).read_to_end(&mut body).ok()?;
    Some(body)
}

fn answer(status: u16, body: &str) -> String {
    let length = match status {
        204 => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    format!(
        "HTTP/1.1 {status} Played\r\nContent-Type: application/json\r\n\
         X-Influxdb-Version: 1.6.7~rc0\r\nX-Influxdb-Build: OSS\r\n{length}\r\n{body}"
    )
}

fn wait_stopped(state: &State, time: Option<Duration>) {
    let guard = state.play.lock().expect("no holder panics");
    match time {
        Some(time) => drop(state.changed.wait_timeout_while(guard, time, |inner| !inner.stopped)),
        None => drop(state.changed.wait_while(guard, |inner| !inner.stopped)),
    }
}

/// Closes with a reset instead of an orderly end.
pub(super) fn reset(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = libc::socklen_t::try_from(size_of::<libc::linger>()).expect("a small struct");
    // SAFETY: the descriptor is open, and pointer and length describe a live `linger`.
    unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), length);
    }
}
