//! Stands between slotline and a real influxd, speaks HTTP to both, and meddles with writes and statements as the test
//! says. Signs of life (`/ping`) pass unharmed. What it passes on is stored by the real server.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::client::{Conn, Http, Response};
use super::fake::{Recorded, read_body, read_head, reset};

/// What becomes of the requests from now on.
#[derive(Clone, Debug, PartialEq)]
pub enum Meddle {
    /// Nothing.
    Pass,
    /// This answer; the server never hears of the request.
    Answer(u16, String),
    /// This answer to writes that hold the text, the server's own to the others.
    AnswerTo(String, u16, String),
    /// Nothing comes and nothing is passed on, until the next change ends the connection.
    Hang,
    /// The server has stored it; half of its answer comes, then nothing, until the next change ends the connection.
    HangMidAnswer,
    /// Half of the server's answer comes, then the connection ends.
    CutMidAnswer,
    /// The same of its head alone, as of a server that stops while it works on a query.
    HangBehindHead,
    CutBehindHead,
    /// A reset before the server hears of it.
    Reset,
    /// A reset once the server has stored it.
    ResetStored,
    /// Each connection is read at so many bytes a second.
    Slow(usize),
    /// The connection is reset; the server gets the request only so much later.
    LateStored(Duration),
    /// The same, for the first request with the text only; all others pass.
    LateStoredOnce(String, Duration),
    /// The first request with the text is answered 500 `timeout`, as influxd does while it goes on writing in the background;
    /// the server gets it only so much later. All others pass.
    TimeoutOnce(String, Duration),
    /// The server's own answer to requests with the text comes so much later.
    SlowAnswerTo(String, Duration),
    /// The server gets requests with the text only so much later; the connection stays.
    LateTo(String, Duration),
}

impl Meddle {
    /// A status with the text that influxd says with it.
    pub fn status(status: u16, db: &str) -> Meddle {
        let text = match status {
            401 => "authorization failed".to_owned(),
            403 => format!("\\\"s\\\" user is not authorized to write to database \\\"{db}\\\""),
            404 => format!("database not found: \\\"{db}\\\""),
            500 => "engine is closed".to_owned(),
            _ => "timeout".to_owned(),
        };
        Meddle::Answer(status, format!("{{\"error\":\"{text}\"}}\n"))
    }
}

struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    meddle: Meddle,
    /// Rises with each change.
    change: u64,
    ended: bool,
    /// Requests that were meddled with.
    met: u64,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }

    fn wait_change(&self, since: u64) {
        drop(self.changed.wait_while(self.lock(), |inner| inner.change == since && !inner.ended));
    }
}

pub struct Meddler {
    addr: SocketAddr,
    state: Arc<State>,
}

impl Meddler {
    pub fn start(server: Http) -> Meddler {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        shrink_buffer(&listener);
        let inner = Inner { meddle: Meddle::Pass, change: 0, ended: false, met: 0 };
        let state = Arc::new(State { inner: Mutex::new(inner), changed: Condvar::new() });
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.lock().ended {
                    return;
                }
                let state = shared.clone();
                std::thread::spawn(move || serve(&stream, &state, server));
            }
        });
        Meddler { addr, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn set(&self, meddle: Meddle) {
        let mut inner = self.state.lock();
        inner.meddle = meddle;
        inner.change += 1;
        self.state.changed.notify_all();
    }

    /// How many requests it has meddled with.
    pub fn met(&self) -> u64 {
        self.state.lock().met
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.state.lock().ended = true;
        self.state.changed.notify_all();
        let _ = TcpStream::connect(self.addr);
    }
}

/// The connection's other end feels at once that little is read.
fn shrink_buffer(listener: &TcpListener) {
    let bytes: libc::c_int = 4096;
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("a small type");
    // SAFETY: the descriptor is open, and pointer and length describe a live number.
    unsafe {
        libc::setsockopt(listener.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, (&raw const bytes).cast(), length);
    }
}

/// Reads as slowly as the state says at the moment.
struct Paced<'a> {
    stream: &'a TcpStream,
    state: &'a State,
}

impl Read for Paced<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Meddle::Slow(bytes_per_second) = self.state.lock().meddle else { return self.stream.read(buffer) };
        let length = self.stream.read(&mut buffer[..64.min(bytes_per_second)])?;
        let pause = Duration::from_secs_f64(length as f64 / bytes_per_second as f64);
        drop(self.state.changed.wait_timeout_while(self.state.lock(), pause, |inner| !inner.ended));
        Ok(length)
    }
}

fn serve(stream: &TcpStream, state: &State, server: Http) {
    let _ = stream.set_nodelay(true);
    let Ok(peer) = stream.peer_addr() else { return };
    let mut reader = BufReader::with_capacity(4096, Paced { stream, state });
    let mut upstream = None;
    while serve_one(stream, &mut reader, peer, state, server, &mut upstream).is_some() {}
}

/// One request; `None` ends the connection.
fn serve_one(
    mut stream: &TcpStream,
    reader: &mut BufReader<Paced<'_>>,
    peer: SocketAddr,
    state: &State,
    server: Http,
    upstream: &mut Option<Conn>,
) -> Option<()> {
    let mut request = read_head(reader, peer)?;
    request.body = read_body(reader, &request.headers)?;
    let (meddle, change) = {
        let mut inner = state.lock();
        let meddle = match &inner.meddle {
            _ if request.path.starts_with("/ping") => Meddle::Pass,
            Meddle::AnswerTo(text, status, body) if holds(&request.body, text) => Meddle::Answer(*status, body.clone()),
            Meddle::AnswerTo(..) => Meddle::Pass,
            Meddle::SlowAnswerTo(text, _)
            | Meddle::LateTo(text, _)
            | Meddle::TimeoutOnce(text, _)
            | Meddle::LateStoredOnce(text, _)
                if !holds(&request.body, text) =>
            {
                Meddle::Pass
            }
            other => other.clone(),
        };
        if let Meddle::LateStoredOnce(..) | Meddle::TimeoutOnce(..) = meddle {
            inner.meddle = Meddle::Pass;
        }
        inner.met += u64::from(meddle != Meddle::Pass);
        (meddle, inner.change)
    };
    match meddle {
        Meddle::Answer(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} Played\r\nContent-Type: application/json\r\nX-Influxdb-Version: 1.6.7~rc0\r\n\
                 X-Influxdb-Build: OSS\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).ok()
        }
        Meddle::Hang => {
            state.wait_change(change);
            None
        }
        Meddle::HangMidAnswer | Meddle::CutMidAnswer | Meddle::HangBehindHead | Meddle::CutBehindHead => {
            let answer = pass_on(&request, server, upstream)?;
            let bytes = bytes_of(&answer);
            let is_half = matches!(meddle, Meddle::HangMidAnswer | Meddle::CutMidAnswer);
            let length = if is_half { bytes.len() / 2 } else { bytes.len() - answer.body.len() };
            stream.write_all(&bytes[..length]).ok()?;
            if let Meddle::HangMidAnswer | Meddle::HangBehindHead = meddle {
                state.wait_change(change);
            }
            None
        }
        Meddle::Reset => {
            reset(stream);
            None
        }
        Meddle::ResetStored => {
            pass_on(&request, server, upstream)?;
            reset(stream);
            None
        }
        Meddle::SlowAnswerTo(_, time) => {
            let answer = pass_on(&request, server, upstream)?;
            std::thread::sleep(time);
            stream.write_all(&bytes_of(&answer)).ok()
        }
        Meddle::TimeoutOnce(_, time) => {
            let body = "{\"error\":\"timeout\"}\n";
            let head = "HTTP/1.1 500 Played\r\nContent-Type: application/json\r\nContent-Length: 20\r\nConnection: close\r\n\r\n";
            stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
            std::thread::sleep(time);
            pass_on(&request, server, upstream);
            None
        }
        Meddle::LateTo(_, time) => {
            std::thread::sleep(time);
            let answer = pass_on(&request, server, upstream)?;
            stream.write_all(&bytes_of(&answer)).ok()
        }
        Meddle::LateStored(time) | Meddle::LateStoredOnce(_, time) => {
            reset(stream);
            let _ = stream.shutdown(std::net::Shutdown::Both);
            drop(state.changed.wait_timeout_while(state.lock(), time, |inner| !inner.ended));
            pass_on(&request, server, upstream);
            None
        }
        Meddle::Pass | Meddle::Slow(_) | Meddle::AnswerTo(..) => {
            let answer = pass_on(&request, server, upstream)?;
            stream.write_all(&bytes_of(&answer)).ok()
        }
    }
}

fn holds(body: &[u8], text: &str) -> bool {
    memchr::memmem::find(body, text.as_bytes()).is_some()
}

/// The server's answer, over the old connection or, when that has ended, a new one.
fn pass_on(request: &Recorded, server: Http, upstream: &mut Option<Conn>) -> Option<Response> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.path).into_bytes();
    for (name, value) in &request.headers {
        if name != "content-length" && name != "transfer-encoding" {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
    }
    bytes.extend(format!("content-length: {}\r\n\r\n", request.body.len()).bytes());
    bytes.extend(&request.body);
    let to_head = request.method == "HEAD";
    let ask = |conn: &mut Conn| conn.try_send(&bytes).and_then(|()| conn.try_answer(to_head)).ok();
    if let Some(answer) = upstream.as_mut().and_then(ask) {
        return Some(answer);
    }
    ask(upstream.insert(server.try_connect().ok()?))
}

fn bytes_of(answer: &Response) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Passed\r\n", answer.status);
    for (name, value) in &answer.headers {
        if !name.eq_ignore_ascii_case("content-length") && !name.eq_ignore_ascii_case("transfer-encoding") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    if answer.status != 204 {
        head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    }
    [head.as_bytes(), b"\r\n", &answer.body].concat()
}
