//! `--protocol http`: keep-alive connections, one request in flight on each.

use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Args, Plan, Tallies};
use crate::http1::{Framing, Reader, Response};

const ANSWER_BUFFER_BYTES: usize = 16 << 10;
/// Between two attempts to reach a target that refuses.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// What goes before a body, and how bodies are packed.
pub struct Requests {
    head: String,
    gzip: bool,
    /// With `gzip`: a body's packed bytes, and its points.
    packed: Vec<Vec<u8>>,
}

impl Requests {
    pub fn new(args: &Args, bodies: &[Vec<u8>]) -> Requests {
        let encoding = if args.gzip { "Content-Encoding: gzip\r\n" } else { "" };
        let head = format!(
            "POST /write?db={}&precision=ns HTTP/1.1\r\nHost: {}\r\nUser-Agent: slotline-perf\r\n{encoding}Content-Length: ",
            args.db, args.target
        );
        let packed = if args.gzip { bodies.iter().map(|body| pack(body)).collect() } else { Vec::new() };
        Requests { head, gzip: args.gzip, packed }
    }

    fn head(&self, body: &[u8]) -> String {
        format!("{}{}\r\n\r\n", self.head, body.len())
    }
}

fn pack(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("a Vec takes any bytes")
}

pub fn work(plan: &Plan, requests: &Requests) -> Tallies {
    let mut tallies = Tallies::default();
    let mut connection = None;
    while let Some(claim) = plan.schedule.claim(1) {
        let plain = plan.body(claim.unit, claim.points);
        let short;
        let body = if !requests.gzip {
            plain
        } else if plain.len() == plan.bodies[0].len() {
            &requests.packed[plan.turn(claim.unit)]
        } else {
            short = pack(plain);
            &short
        };
        let begun = claim.due.unwrap_or_else(Instant::now);
        let phase = plan.phases.at(begun);
        tallies.of(phase).sent(claim.points, body.len());
        match exchange(plan, &mut connection, &requests.head(body), body) {
            Ok(status) => {
                let answered = Instant::now();
                tallies.of(phase).answered(claim.points, status, answered - begun);
                if (200..300).contains(&status) {
                    tallies.of(plan.phases.at(answered)).points_acknowledged_meanwhile += claim.points;
                }
            }
            Err(error) => {
                connection = None;
                tallies.of(phase).broke(claim.points, error);
                std::thread::sleep(RECONNECT_PAUSE);
            }
        }
    }
    tallies
}

type Connection = Option<Reader<TcpStream>>;

fn exchange(plan: &Plan, connection: &mut Connection, head: &str, body: &[u8]) -> Result<u16, String> {
    if connection.as_mut().is_some_and(is_stale) {
        *connection = None;
    }
    let reader = match connection {
        Some(reader) => reader,
        None => connection.insert(connect(plan).map_err(|error| told("connect", &error))?),
    };
    let written = write_both(reader.stream(), head.as_bytes(), body);
    // A server that refuses early answers and closes: its answer counts, not the broken pipe.
    let answer = answer(reader).map_err(|error| match written {
        Err(unwritten) => told("write", &unwritten),
        Ok(()) => told("read", &error),
    })?;
    if answer.close {
        *connection = None;
    }
    Ok(answer.status)
}

fn connect(plan: &Plan) -> io::Result<Reader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&plan.target, plan.timeout)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(plan.timeout))?;
    stream.set_write_timeout(Some(plan.timeout))?;
    Ok(Reader::new(stream, ANSWER_BUFFER_BYTES))
}

/// The peer has closed it meanwhile, or said something unasked.
fn is_stale(reader: &mut Reader<TcpStream>) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let peeked =
        socket2::SockRef::from(&*reader.stream()).recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT);
    !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn write_both(stream: &mut TcpStream, head: &[u8], body: &[u8]) -> io::Result<()> {
    let mut slices = [IoSlice::new(head), IoSlice::new(body)];
    let mut left = &mut slices[..];
    while !left.is_empty() {
        match stream.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn answer(reader: &mut Reader<TcpStream>) -> io::Result<Response> {
    let answer = reader.response()?;
    if answer.framing != Framing::Length(0) {
        reader.body(answer.framing, |_| {})?;
    }
    Ok(answer)
}

fn told(doing: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("{doing}: timed out"),
        _ => format!("{doing}: {error}"),
    }
}
