//! What was acknowledged is stored: what waits on disk, and what comes in streams and datagrams, through outages, lines that
//! a replica will never take, full disks and damaged ones.

mod support;

use std::collections::BTreeSet;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::scene::{FIRST, Place, SECOND, check_end, two_by_two};
use support::witness::{RECOVERY, assert_equal, wait_drained};
use support::*;

/// What `slotline spool ARGS… --config …` prints.
fn spool_command(cluster: &Cluster, args: &[&str]) -> Ended {
    let path = cluster.slotline.config_path();
    run(&[&["spool"], args, &["--config", path.to_str().expect("temporary paths are UTF-8")]].concat(), "")
}

#[test]
fn what_waits_for_a_replica_that_the_topology_no_longer_has_is_kept() {
    let mut scene = Scene::start(two_by_two(), "renamed");
    scene.begin(Fault::Killed, &[SECOND]);
    scene.more(60);
    scene.wait_spooled(SECOND);
    assert_eq!(scene.cluster.slotline.stop(), 0);
    let config = scene.cluster.config.clone();
    scene.end(Fault::Killed, &[SECOND]);
    scene.start_again(&config.clone().replica_renamed("g1b", "g1x"));
    scene.more(30);
    let log = scene.cluster.slotline.log();
    assert!(log.lines().any(|line| line.contains("g1b") && line.contains("WARN")), "it is not told:\n{log}");
    let listed = spool_command(&scene.cluster, &["ls"]);
    assert!(listed.code == 0 && listed.stdout.contains("g1b"), "{listed:?}");
    // Named as before, it gets them.
    assert_eq!(scene.cluster.slotline.stop(), 0);
    scene.start_again(&config);
    scene.more(30);
    let (cluster, record) = scene.finish();
    // What was written under the other name came later and is overwritten by older values: only that nothing is missing
    // can be said of points written once.
    wait_drained(&cluster);
    let (_, told) = record.compare(&cluster);
    let missing: Vec<&String> = told.iter().filter(|line| line.contains("is None")).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

// Streams and datagrams.

fn with_streams(setup: Setup, db: &str) -> Setup {
    let lines = format!("db = {db:?}");
    setup.listen_lines("tcp", &lines).listen_lines("udp", &format!("{lines}\nspread = \"source\""))
}

#[track_caller]
fn check_streams(db: &str, places: &[Place], fault: Fault) {
    let mut scene = Scene::start(with_streams(two_by_two(), db), db);
    let received =
        |scene: &Scene, protocol| scene.cluster.slotline.metric("slotline_points_received_total", &[protocol]);
    let before = ["tcp", "udp"].map(|protocol| received(&scene, protocol));
    scene.suffer(fault, places, 150);
    for (protocol, before) in ["tcp", "udp"].into_iter().zip(before) {
        assert!(received(&scene, protocol) > before + 100, "nothing came over {protocol} during the outage");
    }
    scene.more(30);
    let (cluster, mut record) = scene.finish();
    record.assert_none_refused();
    assert_eq!(cluster.slotline.metric("slotline_udp_dropped_total", &[]), 0);
    assert_eq!(cluster.slotline.metric("slotline_points_rejected_total", &[]), 0);
    record.count_sent();
    // Datagrams that were sent last may still be on their way.
    wait_for("all datagrams to be stored", RECOVERY, || record.compare(&cluster).1.is_empty().then_some(()));
    record.verify_equal(&cluster);
}

#[test]
fn points_over_tcp_and_udp_while_a_replica_is_down() {
    check_streams("streams_one", &[SECOND], Fault::Killed);
}

#[test]
fn points_over_tcp_and_udp_while_a_replica_is_frozen() {
    check_streams("streams_frozen", &[SECOND], Fault::Frozen);
}

#[test]
fn points_over_tcp_and_udp_while_a_group_is_down() {
    check_streams("streams_group", &[FIRST, SECOND], Fault::Killed);
}

// What a replica will never take, or not yet.

#[test]
fn poisonous_lines_among_thousands_go_where_dead_ones_lie() {
    const REQUESTS: i64 = 40;
    const GOOD: i64 = 100;
    let mut scene = Scene::start(two_by_two(), "poison");
    let (good, poisoned) =
        (scene.cluster.measurement_in("poison", "good", 0), scene.cluster.measurement_in("poison", "bad", 0));
    // Only this replica has another type there.
    scene.cluster.groups[0][1].http().store("poison", format!("{poisoned},n=other v=\"text\" 1\n"));
    scene.begin(Fault::Killed, &[SECOND]);
    let mut guilty = BTreeSet::new();
    for request in 0..REQUESTS {
        let mut body: String = (0..GOOD).map(|n| format!("{good},n={n} v={request}i {request}\n")).collect();
        if request % 4 == 0 {
            let line = format!("{poisoned},n=n{request} v={request}i {request}");
            body.push_str(&format!("{line}\n{good},n=after v={request}i {request}\n"));
            guilty.insert(line);
        }
        scene.cluster.http().store("poison", body);
    }
    scene.wait_spooled(SECOND);
    scene.end(Fault::Killed, &[SECOND]);
    scene.more(30);
    scene.wait_drained();
    let of_good = |http: Http| read_all(http, "poison", &format!("SELECT * FROM {good} GROUP BY *"));
    let expected = of_good(scene.cluster.groups[0][0].http());
    assert_eq!(expected.len(), 101, "series of good points");
    facts::assert_same("g1b", &of_good(scene.cluster.groups[0][1].http()), &expected);
    let bad = read_all(scene.cluster.groups[0][1].http(), "poison", &format!("SELECT * FROM {poisoned} GROUP BY *"));
    assert_eq!(bad.len(), 1, "{bad:?}");
    let path = scene.cluster.slotline.data_dir().join("spool/g1b/dead.jsonl");
    let dead = std::fs::read_to_string(&path).expect("there are dead lines");
    for line in &guilty {
        let (key, _) = line.split_once(' ').expect("a line has fields");
        let kept = dead.lines().find(|text| text.contains(&format!("{key} ")));
        let kept = kept.unwrap_or_else(|| panic!("{line} is not in {dead}"));
        assert!(kept.contains("field type conflict"), "{kept}");
        let _: serde_json::Value = serde_json::from_str(kept).expect("a JSON document a line");
    }
    assert!(!dead.contains(&good), "good lines lie there: {dead}");
    let listed = spool_command(&scene.cluster, &["dead"]);
    assert!(listed.code == 0 && listed.said().contains("field type conflict"), "{listed:?}");
    let (cluster, record) = scene.finish();
    record.assert_none_refused();
    record.verify(&cluster);
}

#[test]
fn a_database_that_one_replica_lacks_holds_up_no_other() {
    let scene = Scene::start(two_by_two(), "has_it");
    let http = scene.cluster.http();
    for (number, replica) in scene.cluster.replicas().enumerate() {
        if number != 1 {
            replica.http().run("", "CREATE DATABASE lacks_it");
        }
    }
    let name = scene.cluster.measurement_in("lacks_it", "m", 0);
    let store = |from: i64| (from..from + 50).for_each(|n| http.store("lacks_it", format!("{name} v={n}i {n}\n")));
    store(0);
    scene.wait_spooled(SECOND);
    // Others go on, and what is written now gets there now.
    let other = scene.cluster.measurement_in("has_it", "other", 0);
    let replica = scene.cluster.groups[0][1].http();
    for n in 0..3 {
        scene.more(20);
        http.store("has_it", format!("{other} v={n}i {n}\n"));
        store(100 * (n + 1));
        wait_for("a point of another database", Duration::from_secs(5), || {
            let stored = read_all(replica, "has_it", &format!("SELECT * FROM {other}"));
            stored.values().any(|points| points.contains(&format!("{n} v={n}"))).then_some(())
        });
    }
    let log = scene.cluster.slotline.log();
    let told = |line: &str| {
        line.contains("g1b") && line.contains("lacks_it") && (line.contains("WARN") || line.contains("ERROR"))
    };
    assert!(log.lines().any(told), "no alert:\n{log}");
    scene.wait_spooled(SECOND);
    replica.run("", "CREATE DATABASE lacks_it");
    scene.wait_drained();
    let stored = facts(replica, "lacks_it");
    assert_eq!(stored.values().map(BTreeSet::len).sum::<usize>(), 200, "points of the database");
    assert_equal(&scene.cluster, "lacks_it");
    check_end(scene);
}

// The disk.

#[test]
fn a_full_spool_refuses_writes_until_there_is_room() {
    let setup = two_by_two().set("spool", "segment_bytes_max = \"64KiB\"").set("spool", "bytes_max = \"256KiB\"");
    check_full(Scene::start(setup, "full_spool"), Some("Retry-After"));
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let setup = two_by_two().set("spool", "segment_bytes_max = \"256KiB\"");
    let mut scene = Scene::start(setup, "full_disk");
    assert_eq!(scene.cluster.slotline.stop(), 0);
    let folder = scene.cluster.slotline.data_dir().join("spool");
    let mount = Mount::tmpfs(&folder, "1m");
    let config = scene.cluster.config.clone();
    scene.start_again(&config);
    let Some(_mount) = mount else { return };
    check_full(scene, None);
}

/// Fills the log of one replica until writes are refused.
#[track_caller]
fn check_full(mut scene: Scene, header: Option<&str>) {
    let db = scene.db.clone();
    scene.more(10);
    let (one, two) = (scene.cluster.measurement_in(&db, "fill", 0), scene.cluster.measurement_in(&db, "fill", 1));
    let filler = "x".repeat(4000);
    scene.begin(Fault::Killed, &[SECOND]);
    let http = scene.cluster.http();
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    let began = Instant::now();
    for n in 0.. {
        assert!(began.elapsed() < SOON && n < 5000, "{n} writes and no room is lacking");
        let answer = http.write(&db, format!("{one} v={n}i,s=\"{filler}\" {n}\n"));
        match answer.status {
            204 => acknowledged.push(n),
            503 => {
                refused += 1;
                assert!(answer.error().contains("g1b"), "{answer:?}");
                if let Some(name) = header {
                    assert!(answer.header(name).is_some(), "{answer:?}");
                }
            }
            _ => panic!("{answer:?}"),
        }
        if refused == 20 {
            break;
        }
        // The other group is not concerned.
        http.store(&db, format!("{two} v={n}i {n}\n"));
    }
    assert!(acknowledged.len() > 10, "{} were taken", acknowledged.len());
    scene.end(Fault::Killed, &[SECOND]);
    scene.wait_drained();
    scene.more(50);
    for replica in &scene.cluster.groups[0] {
        let stored = read_all(replica.http(), &db, &format!("SELECT v FROM {one}"));
        let points = stored.into_values().next().unwrap_or_default();
        let lost: Vec<_> = acknowledged.iter().filter(|n| !points.contains(&format!("{n} v={n}"))).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
    // Once there is room it serves on, through the next outage too.
    let refused = scene.witness.refused();
    assert!(refused.keys().all(|text| text.starts_with("503 ")), "{refused:?}");
    scene.begin(Fault::Killed, &[SECOND]);
    scene.more(20);
    scene.wait_spooled(SECOND);
    scene.end(Fault::Killed, &[SECOND]);
    let (cluster, record) = scene.finish();
    record.verify(&cluster);
}

/// A file system that is gone with the thread's mounts at the latest: nobody else sees it.
struct Mount(std::ffi::CString);

impl Mount {
    /// `None`, with the reason printed, where that is not permitted.
    fn tmpfs(folder: &Path, size: &str) -> Option<Mount> {
        use std::os::unix::ffi::OsStrExt;
        let text = |text: &str| std::ffi::CString::new(text).expect("no zero in it");
        let target = std::ffi::CString::new(folder.as_os_str().as_bytes()).expect("no zero in it");
        let (kind, root, options) = (text("tmpfs"), text("/"), text(&format!("size={size}")));
        std::fs::create_dir_all(folder).expect("a folder can be made");
        // SAFETY: the strings end with zeros and live until the calls are over; a null pointer means no such argument.
        let done = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    std::ptr::null(),
                    root.as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
                && libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) == 0
        };
        if !done {
            println!("skipped: a file system cannot be mounted here: {}", std::io::Error::last_os_error());
        }
        done.then_some(Mount(target))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // SAFETY: the string ends with a zero and lives until the call is over.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}

/// One client's requests lie in the log of a replica that is down, and slotline has ended.
struct Logged {
    cluster: Cluster,
    measurement: String,
    /// With records in it, the oldest first.
    segments: Vec<PathBuf>,
}

const LOGGED_REQUESTS: i64 = 400;
const LOGGED_POINTS: i64 = 5;

#[track_caller]
fn logged(db: &str) -> Logged {
    let setup = two_by_two().set("spool", "segment_bytes_max = \"32KiB\"");
    let mut cluster = setup.start();
    cluster.create_db(db);
    let measurement = cluster.measurement_in(db, "m", 0);
    cluster.http().store(db, format!("{measurement},n=first v=0i 0\n"));
    cluster.groups[0][1].kill9();
    let mut conn = cluster.http().connect();
    for request in 1..=LOGGED_REQUESTS {
        let body: String =
            (0..LOGGED_POINTS).map(|n| format!("{measurement},n=number{n} v={request}i {request}\n")).collect();
        let answer = conn.call(&Request::write(&format!("db={db}"), body));
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    assert_eq!(cluster.slotline.stop(), 0);
    let folder = cluster.slotline.data_dir().join("spool/g1b/main");
    let files = std::fs::read_dir(&folder).expect("the log's folder").map(|entry| entry.expect("an entry").path());
    let holds_records = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        memchr::memmem::find(&bytes, measurement.as_bytes()).is_some()
    };
    let mut segments: Vec<PathBuf> = files.filter(|path| path.is_file() && holds_records(path)).collect();
    segments.sort();
    println!("segments: {segments:?}");
    assert!(segments.len() >= 2, "{segments:?} in {}", folder.display());
    Logged { cluster, measurement, segments }
}

impl Logged {
    /// Starts slotline and the replica again: how many requests never came.
    #[track_caller]
    fn replayed(mut self, db: &str) -> (Cluster, usize) {
        self.cluster.groups[0][1].restart();
        let config = self.cluster.config.clone();
        self.cluster.slotline.start_again(&config, &[]);
        wait_drained(&self.cluster);
        // It goes on after that.
        self.cluster.http().store(db, format!("{},n=last v=1i 1\n", self.measurement));
        let q = format!("SELECT v FROM {} WHERE n =~ /number/ GROUP BY n", self.measurement);
        let stored = read_all(self.cluster.groups[0][1].http(), db, &q);
        let present: Vec<BTreeSet<String>> = stored.into_values().collect();
        assert_eq!(present.len(), LOGGED_POINTS as usize);
        assert!(present.iter().all(|points| *points == present[0]), "parts of requests came");
        let missing = LOGGED_REQUESTS as usize - present[0].len();
        println!("{missing} of {LOGGED_REQUESTS} requests are missing");
        (self.cluster, missing)
    }
}

/// The log says that something of the replica's spool is lost.
#[track_caller]
fn assert_damage_told(cluster: &Cluster) {
    let log = cluster.slotline.log();
    let told = |line: &str| line.contains("ERROR") && line.contains("g1b") && line.contains("are lost");
    assert!(log.lines().any(told), "no word of the damage:\n{log}");
}

#[test]
fn flipped_bytes_cost_the_records_they_lie_in() {
    const FLIPS: usize = 5;
    let mut random = random_from(1);
    let logged = logged("flipped");
    for _ in 0..FLIPS {
        let path = &logged.segments[random.usize(..logged.segments.len())];
        let bytes = std::fs::read(path).expect("a segment can be read");
        // Among the records: a segment's head is another thing.
        let first = memchr::memmem::find(&bytes, logged.measurement.as_bytes()).expect("it holds records");
        let last = memchr::memmem::rfind(&bytes, logged.measurement.as_bytes()).expect("it holds records");
        let at = random.usize(first..last);
        let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("a segment can be changed");
        file.seek(SeekFrom::Start(at as u64)).expect("within the file");
        file.write_all(&[bytes[at] ^ (1 << random.u8(..8))]).expect("a segment can be changed");
        println!("flipped a bit at {at} of {}", path.display());
    }
    let (cluster, missing) = logged.replayed("flipped");
    assert!(missing <= FLIPS, "{missing} requests are missing after {FLIPS} flips");
    assert!(missing > 0, "nothing was damaged");
    assert_damage_told(&cluster);
}

#[test]
fn cut_segments_cost_the_records_at_the_cut() {
    let logged = logged("cut");
    // One in the middle and the last one, each amid its last record.
    let last = logged.segments.len() - 1;
    for path in [&logged.segments[last / 2], &logged.segments[last]] {
        let bytes = std::fs::read(path).expect("a segment can be read");
        let at = memchr::memmem::rfind(&bytes, logged.measurement.as_bytes()).expect("it holds records");
        let file = std::fs::OpenOptions::new().write(true).open(path).expect("a segment can be changed");
        file.set_len(at as u64 + 3).expect("a segment can be cut");
    }
    let (cluster, missing) = logged.replayed("cut");
    assert!((1..=2).contains(&missing), "{missing} requests are missing after two cuts");
    assert_damage_told(&cluster);
}

#[test]
fn a_segment_that_is_empty_or_gone_costs_no_other() {
    let logged = logged("emptied");
    let count = logged.segments.len();
    let per_segment = LOGGED_REQUESTS as usize / (count - 1) + 2;
    std::fs::OpenOptions::new()
        .write(true)
        .open(&logged.segments[count / 2])
        .and_then(|file| file.set_len(0))
        .expect("a segment can be cut");
    let (_, missing) = logged.replayed("emptied");
    assert!(missing <= per_segment, "{missing} requests are missing with one of {count} segments");
}
