//! Line protocol over TCP streams: what arrives where, what holds a sender back, and what ends a connection.

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::streams::*;
use support::*;

const RECEIVED: &str = "slotline_points_received_total";
const ACKED: &str = "slotline_points_acked_total";
const REJECTED: &str = "slotline_points_rejected_total";
const CLOSED: &str = "slotline_tcp_closed_total";
const UNFINISHED: &str = "slotline_tcp_lines_unfinished_total";
const OPEN: &str = "slotline_connections";

fn cluster(groups: usize, replicas: usize, lines: &str) -> (Cluster, SocketAddr) {
    let cluster = Setup::new(groups, replicas).listen_lines("tcp", lines).start();
    let address = cluster.slotline.listening("tcp")[0];
    (cluster, address)
}

fn one_fake(fake: &Fake, config: Config) -> (Slotline, SocketAddr) {
    before(&[fake], &config, "tcp", "db = \"tcp\"")
}

/// A stream of lines. Nothing that it waits for takes longer than [`SOON`].
struct Lines(TcpStream);

impl Lines {
    fn to(address: SocketAddr) -> Lines {
        let stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_nodelay(true).expect("a socket takes options");
        stream.set_read_timeout(Some(SOON)).expect("a socket takes options");
        stream.set_write_timeout(Some(SOON)).expect("a socket takes options");
        Lines(stream)
    }

    #[track_caller]
    fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).expect("the stream takes it");
    }

    /// Ends our direction and waits for the other end to do so, which it does once all is delivered.
    #[track_caller]
    fn end(mut self) {
        self.0.shutdown(Shutdown::Write).expect("it is open");
        assert!(self.is_closed(), "the other end says something");
    }

    /// Waits until the other end has closed; it must not say anything.
    #[track_caller]
    fn is_closed(&mut self) -> bool {
        match client::read_some(&mut self.0, &mut [0]) {
            Ok(read) => read == 0,
            Err(error) => match error.kind() {
                std::io::ErrorKind::ConnectionReset => true,
                _ => panic!("the other end does not close: {error}"),
            },
        }
    }

    /// In pieces of random length.
    fn send_cut(&mut self, text: &[u8], random: &mut fastrand::Rng, longest: usize) {
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(1..=rest.len().min(longest)));
            self.send(piece);
            rest = after;
        }
    }
}

#[test]
fn lines_are_put_together_however_the_stream_is_cut() {
    let mut random = random();
    let (cluster, address) = cluster(2, 2, "db = \"tcp\"");
    let reference = cluster.reference("tcp");
    let names = [r"a\,b", r"with\ space", "日本語", "in#side", r"ends\ ", r"\x\y", "quote\"in"];
    let mut body = String::from("# a comment\n\n");
    for number in 0..600 {
        let name = names.get(number % 20).map_or(format!("m{}s", number % 31), |name| (*name).to_owned());
        body.push_str(&format!("{name},host=h{} v={number},s=\"one\n\n#two \\\" \\\\\" {number}\n", number % 7));
    }
    reference.http().store("tcp", &body);
    let mut lines = Lines::to(address);
    let (bytes, short, rest) = {
        let (bytes, rest) = body.as_bytes().split_at(300);
        let (short, rest) = rest.split_at(10_000);
        (bytes, short, rest)
    };
    bytes.iter().for_each(|byte| lines.send([*byte]));
    lines.send_cut(short, &mut random, 100);
    lines.send_cut(rest, &mut random, 5000);
    lines.end();
    cluster.assert_holds("tcp", &facts(reference.http(), "tcp"));
    assert_eq!(cluster.slotline.metric(RECEIVED, &["tcp"]), 600);
    assert_eq!(cluster.slotline.metric(UNFINISHED, &[]), 0);
    assert_eq!(cluster.slotline.metric(REJECTED, &[]), 0);
}

#[test]
fn two_hundred_thousand_points_of_one_stream_lie_exactly_where_their_slots_say() {
    const POINTS: usize = 200_000;
    let (cluster, address) = cluster(2, 2, "db = \"tcp\"");
    let mut lines = Lines::to(address);
    for start in (0..POINTS).step_by(1000) {
        let line = |n: usize| format!("m{}s,host=h{} v={n}i {n}\n", n % 100, n / 100 % 10);
        lines.send((start..start + 1000).map(line).collect::<String>());
    }
    lines.end();
    // A replica that could not keep up gets them from its log.
    cluster.slotline.wait_direct();
    for (number, group) in cluster.groups.iter().enumerate() {
        let mut expected: Vec<String> = (0..100).map(|m| format!("m{m}s")).collect();
        expected.retain(|name| cluster.group_of("tcp", name) == number);
        expected.sort();
        assert!(!expected.is_empty(), "every group has its share");
        for replica in group {
            let json = replica.http().run("tcp", "SELECT count(v), sum(v) FROM /.*/");
            let series = json["results"][0]["series"].as_array().expect("series");
            let mut seen = Vec::new();
            for series in series {
                let name = series["name"].as_str().expect("a name").to_owned();
                let first: usize = name[1..name.len() - 1].parse().expect("a number");
                let count = POINTS / 100;
                let sum = count * first + 100 * (count * (count - 1) / 2);
                assert_eq!(series["values"][0][1].as_u64(), Some(count as u64), "{name}");
                assert_eq!(series["values"][0][2].as_u64(), Some(sum as u64), "{name}");
                seen.push(name);
            }
            seen.sort();
            assert_eq!(seen, expected, "a replica of group {}", number + 1);
        }
    }
    assert_eq!(cluster.slotline.metric(ACKED, &[]), POINTS as u64 * 2);
}

#[test]
fn lines_without_a_time_get_rising_ones_that_replicas_share() {
    let fakes = [Fake::start(Play::stored()), Fake::start(Play::stored())];
    let (_slotline, address) = before(&[&fakes[0], &fakes[1]], &Config::new(), "tcp", "db = \"tcp\"");
    let mut random = random();
    let mut lines = Lines::to(address);
    let body: String = (0..20_000).map(|n| format!("m{} v={n}i\n", n % 3)).collect();
    lines.send_cut(body.as_bytes(), &mut random, 20_000);
    lines.end();
    let seen: Vec<Vec<String>> = fakes.iter().map(|fake| wait_lines(fake, 20_000)).collect();
    assert_rising("values", seen[0].iter().map(|line| value_of(line)));
    assert_rising("times", seen[0].iter().map(|line| time_of(line)));
    assert!(seen[0] == seen[1], "replicas get the same");
}

#[test]
fn a_replica_that_hangs_holds_nobody_back_until_its_spool_is_full_and_nothing_is_lost() {
    let fake = Fake::start(Play::Hang);
    let config = Config::new()
        .set("write", "request_bytes_max = \"256KiB\"")
        .set("write", "timeout = \"1s\"")
        .set("write", "hard_timeout = \"1s\"")
        .set("spool", "segment_bytes_max = \"1MiB\"")
        .set("spool", "bytes_max = \"4MiB\"");
    let (slotline, address) = one_fake(&fake, config);
    const LINES: usize = 50_000;
    let line = |n: usize| format!("m v={n}i,s=\"{}\" {n}\n", "x".repeat(1000));
    let total: usize = (0..LINES).map(|n| line(n).len()).sum();
    let accepted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut lines = Lines::to(address);
            lines.0.set_write_timeout(Some(2 * SOON)).expect("a socket takes options");
            for number in 0..LINES {
                let line = line(number);
                lines.send(&line);
                accepted.fetch_add(line.len(), Ordering::Relaxed);
            }
            lines.end();
        });
        let (mut last, mut since) = (0, Instant::now());
        wait_for("the sender to be held back", 2 * SOON, || {
            let now = accepted.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            }
            (last > 0 && since.elapsed() > Duration::from_secs(3)).then_some(())
        });
        assert!(last < total, "all {total} bytes were taken");
        // One batch on its way, one that grows, and to each a last read of at most 256 KiB; the rest is the kernel's.
        let own = slotline.metric("slotline_inflight_bytes", &[]);
        let kept = slotline.metric("slotline_spool_bytes", &[]);
        println!("{last} bytes accepted, {own} held, {kept} kept");
        assert!((256 << 10..=2 * (512 << 10) + 4096).contains(&own), "{own} bytes held");
        assert!((3 << 20..=4 << 20).contains(&kept), "{kept} bytes kept");
        assert!(slotline.metric("slotline_spool_full_total", &[]) > 0);
        fake.set(Play::stored());
        sending.join().expect("all is taken in the end");
    });
    slotline.wait_direct();
    let values: Vec<i64> = fake.lines().iter().map(|line| value_of(line)).collect();
    assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), LINES);
    assert_eq!(values.last(), Some(&(LINES as i64 - 1)));
    wait_metric(&slotline, ACKED, &[], LINES as u64);
    assert_eq!(slotline.metric(REJECTED, &[]), 0);
}

#[test]
fn a_line_over_the_limit_ends_its_connection_and_the_lines_before_it_are_stored() {
    for in_one_piece in [false, true] {
        let fake = Fake::start(Play::stored());
        let config = Config::new().set("limits", "line_bytes_max = \"64KiB\"");
        let (slotline, address) = one_fake(&fake, config);
        let mut other = Lines::to(address);
        let mut lines = Lines::to(address);
        let long = |bytes: usize| format!("m v=2i,s=\"{}\" 2\n", "x".repeat(bytes - "m v=2i,s=\"\" 2".len()));
        lines.send("m v=1i 1\n");
        lines.send(long(64 << 10));
        wait_lines(&fake, 2);
        let too_long = long(400 << 10);
        let end = if in_one_piece { too_long.len() } else { too_long.len() - 1 };
        // It may be closed before all is sent.
        let _ = lines.0.write_all(format!("m v=3i 3\n{}", &too_long[..end]).as_bytes());
        assert!(lines.is_closed());
        let values: Vec<i64> = wait_lines(&fake, 3).iter().map(|line| value_of(line)).collect();
        assert_eq!(values, [1, 2, 3]);
        assert_eq!(slotline.metric(CLOSED, &["line_too_long"]), 1);
        other.send("m v=4i 4\n");
        other.end();
        assert_eq!(fake.line_count(), 4);
    }
}

#[test]
fn a_stream_that_ends_within_a_line_loses_that_line_only() {
    let fake = Fake::start(Play::stored());
    let (slotline, address) = one_fake(&fake, Config::new());
    for end in ["m v=9i 9", "m s=\"quoted\n", "m v=9i 9\\\n", "# a comment"] {
        let mut lines = Lines::to(address);
        lines.send(format!("m v=1i 1\nm v=2i 2\n{end}"));
        lines.end();
    }
    let mut reset = Lines::to(address);
    reset.send("m v=3i 3\nm v=4");
    wait_lines(&fake, 9);
    socket_linger_reset(&reset.0);
    drop(reset);
    wait_metric(&slotline, UNFINISHED, &[], 5);
    assert_eq!(slotline.metric(UNFINISHED, &[]), 5);
    assert_eq!(slotline.metric(RECEIVED, &["tcp"]), 9);
    assert!(fake.lines().iter().all(|line| !line.contains('9') && !line.contains('"')));
}

/// Its close becomes a reset.
fn socket_linger_reset(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = libc::socklen_t::try_from(size_of::<libc::linger>()).expect("a small struct");
    let option = (&raw const linger).cast();
    // SAFETY: the descriptor is open, and pointer and length describe a live `linger`.
    let done = unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, option, length) };
    assert_eq!(done, 0);
}

#[test]
fn bad_lines_are_counted_and_the_stream_goes_on() {
    let (cluster, address) = cluster(1, 2, "db = \"tcp\"");
    let mut lines = Lines::to(address);
    let slotline = &cluster.slotline;
    lines.send("good v=1 1\nbad\ngood v=2 2\nbad v=\nGET / HTTP/1.1\r\nHost: x\r\n\r\n\0\n");
    // Somebody thought that this is an HTTP port: three lines.
    wait_metric(slotline, REJECTED, &["refused"], 5);
    lines.send("good v=3 3\ngood v=\"conflict\" 4\n");
    wait_metric(slotline, REJECTED, &["refused"], 6);
    lines.send("good v=5 5\nbad again\ngood v=6 6\n");
    lines.end();
    for replica in cluster.replicas() {
        let facts = facts(replica.http(), "tcp");
        let points: Vec<&String> = facts.values().flatten().collect();
        assert_eq!(points, ["1 v=1", "2 v=2", "3 v=3", "5 v=5", "6 v=6"], "{facts:?}");
    }
    assert_eq!(slotline.metric(REJECTED, &["refused"]), 7);
    assert_eq!(slotline.metric(REJECTED, &[]), 7);
}

#[test]
fn two_hundred_connections_at_once_are_all_heard() {
    const CONNECTIONS: usize = 200;
    let fake = Fake::start(Play::stored());
    let (slotline, address) = one_fake(&fake, Config::new());
    let mut streams: Vec<Lines> = (0..CONNECTIONS).map(|_| Lines::to(address)).collect();
    for round in 0..20 {
        for (number, lines) in streams.iter_mut().enumerate() {
            lines.send(format!("m,from={number} v={round}i {round}\nm,from={number} v={round}i {round}"));
            lines.send("\n");
        }
    }
    streams.into_iter().for_each(Lines::end);
    assert_eq!(fake.line_count(), CONNECTIONS * 40);
    assert_eq!(slotline.metric(RECEIVED, &["tcp"]), CONNECTIONS as u64 * 40);
    assert_eq!(slotline.metric(UNFINISHED, &[]), 0);
    wait_for("no open connection but our own", SOON, || (slotline.metric(OPEN, &[]) <= 1).then_some(()));
}

/// With one lane a core, a point shows by its connection to the backend which core has its client.
#[track_caller]
fn check_balance(fake: &Fake, slotline: &Slotline, send: impl Fn(usize) -> Box<dyn std::any::Any>) {
    const CONNECTIONS: usize = 60;
    let open: Vec<_> = (0..CONNECTIONS).map(send).collect();
    wait_lines(fake, CONNECTIONS);
    let counts = lines_by_connection(fake);
    assert_eq!(counts.iter().sum::<usize>(), CONNECTIONS);
    // The admin's connections count too, and two cores may accept at the same moment.
    assert!(counts.len() == 2 && counts.iter().all(|count| *count >= CONNECTIONS / 2 - 4), "{counts:?}");
    println!("{counts:?}, {} handed over", slotline.metric("slotline_connections_handed_over_total", &[]));
    drop(open);
}

#[test]
fn connections_are_shared_out_evenly_between_cores() {
    let config = Config::new().set("write", "lanes = 1");
    let fake = Fake::start(Play::stored());
    let (slotline, address) = one_fake(&fake, config.clone());
    check_balance(&fake, &slotline, |number| {
        let mut lines = Lines::to(address);
        lines.send(format!("m v={number}i {number}\n"));
        Box::new(lines)
    });
    let fake = Fake::start(Play::stored());
    let (slotline, _) = one_fake(&fake, config);
    check_balance(&fake, &slotline, |number| {
        let mut conn = slotline.http().connect();
        assert_eq!(conn.call(&Request::write("db=db", format!("m v={number}i {number}\n"))).status, 204);
        Box::new(conn)
    });
    // The kernel shares out by ports: 60 coins do not all fall as they should.
    assert!(slotline.metric("slotline_connections_handed_over_total", &[]) > 0);
}

#[test]
fn sigterm_stores_what_was_read_of_open_streams_and_exits_0() {
    let fake = Fake::start(Play::stored());
    // Batches would wait for long.
    let (mut slotline, address) = one_fake(&fake, Config::new().set("write", "batch_wait = \"1h\""));
    let mut streams: Vec<Lines> = (0..10).map(|_| Lines::to(address)).collect();
    let idle = Lines::to(address);
    for (number, lines) in streams.iter_mut().enumerate() {
        lines.send((0..100).map(|n| format!("m v={}i 1\n", number * 100 + n)).collect::<String>() + "m v=");
    }
    wait_metric(&slotline, RECEIVED, &["tcp"], 1000);
    assert_eq!(fake.line_count(), 0);
    let began = Instant::now();
    assert_eq!(slotline.stop(), 0);
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    let values: BTreeSet<i64> = fake.lines().iter().map(|line| value_of(line)).collect();
    assert_eq!(values.len(), 1000);
    assert!(streams.into_iter().chain([idle]).all(|mut lines| lines.is_closed()));
}

#[test]
fn sigterm_while_a_replica_is_away_ends_at_once_and_the_next_start_delivers() {
    let fake = Fake::start(Play::Answer(503, "{\"error\":\"go away\"}".to_owned()));
    let config = Config::new();
    let (mut slotline, address) = one_fake(&fake, config);
    let mut lines = Lines::to(address);
    lines.send("m v=1i 1\n");
    wait_metric(&slotline, RECEIVED, &["tcp"], 1);
    let began = Instant::now();
    assert_eq!(slotline.stop(), 0);
    assert!(began.elapsed() < Duration::from_secs(8), "it took {:?}", began.elapsed());
    assert!(!slotline.log().contains("cut off"), "{}", slotline.log());
    fake.set(Play::stored());
    slotline.restart();
    slotline.wait_direct();
    assert!(fake.lines().contains(&"m v=1i 1".to_owned()));
}

#[test]
fn connections_over_the_limit_are_closed_and_counted() {
    let fake = Fake::start(Play::stored());
    let (slotline, address) = one_fake(&fake, Config::new().set("limits", "connections_max = 8"));
    let mut streams: Vec<Lines> = Vec::new();
    let mut refused = 0;
    for number in 0..30 {
        let mut lines = Lines::to(address);
        lines.send(format!("m v={number}i {number}\n"));
        let heard = |number: usize| fake.lines().iter().any(|line| value_of(line) == number as i64);
        lines.0.set_read_timeout(Some(Duration::from_millis(5))).expect("a socket takes options");
        let kept = wait_for("a point or an end", SOON, || match client::read_some(&mut lines.0, &mut [0]) {
            Ok(_) => Some(false),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Some(false),
            Err(_) => heard(number).then_some(true),
        });
        if kept { streams.push(lines) } else { refused += 1 }
    }
    assert_eq!((streams.len(), refused), (16, 14));
    streams[0].send("m v=100i 100\n");
    wait_lines(&fake, 17);
    drop(streams);
    wait_for("the admin's answer", SOON, || slotline.admin().try_connect().ok());
    wait_for("places", SOON, || {
        let mut lines = Lines::to(address);
        lines.0.write_all(b"m v=200i 200\n").ok()?;
        lines.0.shutdown(Shutdown::Write).ok()?;
        let _ = client::read_some(&mut lines.0, &mut [0]);
        fake.lines().iter().any(|line| value_of(line) == 200).then_some(())
    });
    assert!(slotline.metric("slotline_connections_refused_total", &[]) >= refused);
}

#[test]
fn a_silent_connection_is_closed_and_counted_a_held_back_one_is_not() {
    let fake = Fake::start(Play::stored());
    let (slotline, address) = one_fake(&fake, Config::new().set("limits", "stream_timeout = \"500ms\""));
    let mut silent = Lines::to(address);
    let mut half = Lines::to(address);
    half.send("m v=1i 1\nm v=");
    let mut busy = Lines::to(address);
    let began = Instant::now();
    let mut sent = 1;
    while began.elapsed() < Duration::from_millis(1500) {
        busy.send("m v=2i 2\n");
        sent += 1;
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert!(silent.is_closed() && half.is_closed());
    wait_metric(&slotline, CLOSED, &["idle"], 2);
    assert_eq!(slotline.metric(CLOSED, &[]), 2);
    assert_eq!(slotline.metric(UNFINISHED, &[]), 1);
    busy.end();
    assert_eq!(fake.line_count(), sent);
}

#[test]
fn what_never_becomes_a_point_takes_no_memory() {
    let fake = Fake::start(Play::stored());
    // The point's batch waits for long.
    let (slotline, address) = one_fake(&fake, Config::new().set("write", "batch_wait = \"1h\""));
    let mut lines = Lines::to(address);
    lines.send(format!("# {}\n\n", "x".repeat(1000)).repeat(4000));
    lines.send("m v=1i 1\n");
    wait_metric(&slotline, RECEIVED, &["tcp"], 1);
    let held = || Some(slotline.metric("slotline_inflight_bytes", &[])).filter(|held| *held > 0);
    let held = wait_for("memory held", SOON, held);
    // That of the read which brought it.
    assert!(held <= 256 << 10, "{held} bytes");
    lines.end();
    assert_eq!(fake.lines(), ["m v=1i 1"]);
}

#[test]
fn a_batch_that_is_full_does_not_wait() {
    let fake = Fake::start(Play::stored());
    let config = Config::new().set("write", "batch_wait = \"1h\"").set("write", "request_bytes_max = \"64KiB\"");
    let (_slotline, address) = one_fake(&fake, config);
    let mut lines = Lines::to(address);
    // More than the kernel keeps, in fewer points than `batch_points`.
    for number in 0..2000 {
        lines.send(format!("m v={number}i,s=\"{}\" {number}\n", "x".repeat(10_000)));
    }
    lines.end();
    assert_rising("values", wait_lines(&fake, 2000).iter().map(|line| value_of(line)));
}

#[test]
fn the_database_is_made_and_overwrites_keep_their_order_while_a_replica_is_away() {
    let (mut cluster, address) = cluster(1, 2, "db = \"a \\\"name\\\"\"");
    let mut lines = Lines::to(address);
    cluster.groups[0][1].stop();
    for number in 0..3000 {
        lines.send(format!("m v={number}i 7\neach v={number}i {number}\n"));
    }
    wait_metric(&cluster.slotline, ACKED, &["g1a"], 1);
    cluster.groups[0][1].restart();
    lines.end();
    wait_metric(&cluster.slotline, RECEIVED, &["tcp"], 6000);
    wait_metric(&cluster.slotline, ACKED, &["g1a"], 6000);
    cluster.slotline.wait_direct();
    for replica in cluster.replicas() {
        let facts = facts(replica.http(), "a \"name\"");
        let points: Vec<&BTreeSet<String>> = facts.values().collect();
        assert_eq!((points.len(), points[0].len()), (2, 3000));
        assert_eq!(*points[1], BTreeSet::from(["7 v=2999".to_owned()]));
    }
    assert_eq!(cluster.slotline.metric(REJECTED, &[]), 0);
}

#[test]
fn a_conflict_within_a_batch_costs_only_the_guilty_line() {
    let (cluster, address) = cluster(1, 2, "db = \"tcp\"");
    let mut lines = Lines::to(address);
    lines.send("good v=1 1\ngood v=2 2\ngood v=\"x\" 3\nother v=4 4\n");
    lines.end();
    for replica in cluster.replicas() {
        let held: BTreeSet<String> =
            facts(replica.http(), "tcp").keys().map(|series| series.measurement.clone()).collect();
        assert_eq!(held, BTreeSet::from(["good".to_owned(), "other".to_owned()]), "{}", replica.addr());
        let good = replica.http().run("tcp", "SELECT count(v) FROM good");
        assert_eq!(good["results"][0]["series"][0]["values"][0][1], 2, "{good}");
    }
    assert_eq!(cluster.slotline.metric(REJECTED, &["refused"]), 1);
}

#[test]
fn sigterm_takes_what_had_arrived_though_it_was_not_read() {
    let fake = Fake::start(Play::stored());
    let (mut slotline, address) = one_fake(&fake, Config::new());
    let mut lines = Lines::to(address);
    let sent: String = (0..200_000).map(|n| format!("m v={n}i 1\n")).collect();
    lines.send(&sent);
    assert_eq!(slotline.stop(), 0);
    assert_eq!(fake.line_count(), 200_000);
}

#[test]
fn half_lines_do_not_keep_the_memory_from_others() {
    let fake = Fake::start(Play::stored());
    let config = Config::new().set("server", "cores = 1").set("limits", "inflight_bytes_max = \"64KiB\"");
    let (slotline, address) = one_fake(&fake, config.set("limits", "body_timeout = \"500ms\""));
    let mut halves: Vec<Lines> = (0..8).map(|_| Lines::to(address)).collect();
    halves.iter_mut().for_each(|lines| lines.send("m s=\"".to_owned() + &"x".repeat(12 * 1024)));
    wait_for("the memory to be used up", SOON, || {
        (slotline.metric("slotline_inflight_bytes", &[]) >= 64 * 1024).then_some(())
    });
    let mut other = Lines::to(address);
    other.send("m v=1i 1\n");
    wait_for("the whole line", SOON, || (fake.line_count() == 1).then_some(()));
    assert!(slotline.metric(CLOSED, &["no_memory"]) > 0);
    other.end();
}
